"""What has to be in a closed network for a bundle: images, charts and manifests, as lists and as scripts and packages of other tools.

Knows ``images.json`` of a bundle and the formats of skopeo, oras, helm, hauler (``pkg/apis/hauler.cattle.io/v1``) and Zarf
(``zarf-v1alpha1-schema.json``); must not know registries.
"""

from __future__ import annotations

from eidos import formats
from eidos.bundle.chart_archives import FOLDER
from eidos.bundle.registry_mirror import mirror_image, mirror_repository, with_host
from eidos.bundle.template_sets import VALUES
from eidos.errors import InvalidData
from eidos.files import resources
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.templates.text_template import Markdown, fill_text, parse_template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

IMAGES = "images.json"

_MANIFESTS_ROW = (
    "\n| `manifests.txt` | SHA-256 and address of each manifest that `install.sh` would fetch; "
    "save it in the folder `manifests/` of its component |"
)

#: Stands for a registry where only the path on it is wanted.
_ANY = "registry.invalid"


class NeededImage(Record):
    """An image: its ``source``, what the bundle asks for (``pulled``: on the mirror, if it has one), and the components that run it.

    ``optional`` is what would have to be set for it to be pulled.
    """

    source: str
    pulled: str
    components: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Its digest, "" where the reference has none."""
        return self.source.rpartition("@")[2] if "@" in self.source else ""

    @property
    def copied(self) -> str:
        """The reference from which tools copy it: with a host, and with a digest they take no tag."""
        name, at, digest = with_host(self.source).partition("@")
        return f"{_without_tag(name)}@{digest}" if at else name

    def at(self, registry: str) -> str:
        """The reference under which the bundle finds it in a registry: with its tag, or else its digest."""
        name, at, digest = mirror_image(self.source, registry).partition("@")
        has_tag = _without_tag(name) != name
        return f"{name}@{digest}" if at and not has_tag else name


class NeededChart(Record):
    """A chart: where it comes from, where the bundle pulls it from, and the file of the bundle that has it, if one does."""

    component: str
    name: str
    version: str
    namespace: str
    source: str
    pulled: str
    archive: str = ""

    def at(self, registry: str) -> str:
        """Its reference in a registry; a tag has no plus."""
        return f"{mirror_repository(self.source, registry)}/{self.name}:{self.version.replace('+', '_')}"


class NeededManifest(Record):
    """A manifest that is fetched when its component is installed."""

    component: str
    url: str
    sha256: str


class MirrorList(Record):
    """All that a bundle needs; ``unknown`` are sentences on what is not known."""

    images: tuple[NeededImage, ...]
    charts: tuple[NeededChart, ...]
    manifests: tuple[NeededManifest, ...]
    unknown: tuple[str, ...]

    def to_tree(self) -> dict[str, Any]:
        """For programs: lists without empty fields."""
        images = [{**_fields(image), **({"digest": image.digest} if image.digest else {})} for image in self.images]
        tree = {"images": images, "charts": list(map(_fields, self.charts)), "manifests": list(map(_fields, self.manifests))}
        return {**tree, "unknown": list(self.unknown)}


def _fields(record: Record) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in record.__dict__.items() if value}


def _without_tag(name: str) -> str:
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def read_mirror_list(files: Mapping[str, bytes], name: str) -> MirrorList:
    """What the bundle of these files needs. Raises InvalidData for one without the list, as older programs built them."""
    if IMAGES not in files:
        raise InvalidData(f"{name}: no {IMAGES}", "build the bundle again with 'eidos bundle'")
    tree = TreeReader(formats.from_text(files[IMAGES], IMAGES), f"{name}: {IMAGES}", text_types=QUOTED)
    if "charts" not in tree:
        raise InvalidData(f"{name}: {IMAGES} does not list charts: an older eidos built it", "build the bundle again with 'eidos bundle'")
    images: dict[tuple[str, bool], NeededImage] = {}
    for item in tree.mappings("images"):
        pulled, optional = item.name("image"), item.texts("optional")
        source, component = item.text("from") or pulled, item.name("component")
        known = images.get((source, bool(optional)))
        components = tuple(dict.fromkeys((*(known.components if known else ()), component)))
        images[source, bool(optional)] = NeededImage(source, pulled, components, optional)
    needed = {source for source, is_optional in images if not is_optional}
    charts = tuple(
        NeededChart(
            item.name("component"),
            item.name("chart"),
            item.name("version"),
            item.name("namespace"),
            item.text("from") or item.name("repository"),
            item.name("repository"),
            item.text("archive"),
        )
        for item in tree.mappings("charts")
    )
    manifests = tuple(NeededManifest(item.name("component"), item.name("url"), item.name("sha256")) for item in tree.mappings("manifests"))
    unknown = tuple(f"{item.name('component')}: {item.name('reason')}" for item in tree.mappings("unknown"))
    listed = tuple(image for (source, is_optional), image in images.items() if not is_optional or source not in needed)
    return MirrorList(listed, charts, manifests, unknown)


def mirror_files(needed: MirrorList, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Lists, scripts and packages, by path. The charts that the bundle carries, its values and manifests go with them."""
    images = [image for image in needed.images if not image.optional]
    pairs = [word for image in images for word in (image.copied, path_in_registry(image))]
    charts = [word for chart in needed.charts for word in (chart.name, chart.version, chart.source.rstrip("/"), _path(chart))]
    optional = [
        f"- `{image.source}`, with {' and '.join(f'`{each}`' for each in image.optional)}" for image in needed.images if image.optional
    ]
    variables = {
        "pairs": pairs,
        "charts": charts,
        "unknown": Markdown(_section("Not known", [f"- {sentence}" for sentence in needed.unknown])),
        "optional": Markdown(_section("Images of settings that are off", optional)),
        "manifests": Markdown(_MANIFESTS_ROW if needed.manifests else ""),
    }
    written = {
        "images.txt": "".join(f"{image.source}\n" for image in images),
        "charts.txt": "".join(f"{chart.name} {chart.version} {chart.source}\n" for chart in needed.charts),
        "hauler.yaml": "---\n".join(map(formats.to_yaml, _hauler(needed, images))),
        "zarf.yaml": formats.to_yaml(_zarf(needed, images, files)),
    }
    if needed.manifests:
        written["manifests.txt"] = "".join(f"{manifest.sha256}  {manifest.url}\n" for manifest in needed.manifests)
    for name in ("skopeo.sh", "oras.sh", "helm.sh", "README.md"):
        written[name] = fill_text(name, parse_template(resources.read_text(f"templates/mirror/{name}")), variables)
    made = {path: text.encode() for path, text in written.items()}
    carried = {chart: _archive(chart, files) for chart in needed.charts}
    made.update({f"{FOLDER}/{path.rpartition('/')[2]}": files[path] for path in carried.values() if path})
    for component in _components(needed):
        made.update({f"{component}/{path}": files[f"{component}/{path}"] for path in _copied(component, files)})
    return dict(sorted(made.items()))


def path_in_registry(image: NeededImage) -> str:
    """The path of an image in any registry, with its tag, or else its digest."""
    return image.at(_ANY)[len(_ANY) + 1 :]


def _archive(chart: NeededChart, files: Mapping[str, bytes]) -> str:
    """The file of the bundle that has a chart, wherever its deployer looks for it; "" if there is none."""
    end = f"/{chart.archive.rpartition('/')[2]}"
    return next((path for path in files if path.startswith(f"{FOLDER}/") and path.endswith(end)), "") if chart.archive else ""


def _path(chart: NeededChart) -> str:
    """The path of a chart's repository in a registry, after a dot: the path may be empty."""
    return "." + mirror_repository(chart.source, _ANY)[len(f"oci://{_ANY}") :]


def _section(title: str, lines: list[str]) -> str:
    return "\n".join((f"## {title}", "", *lines)) if lines else ""


def _hauler(needed: MirrorList, images: list[NeededImage]) -> list[dict[str, Any]]:
    items = {
        "Images": [{"name": image.copied} for image in images],
        "Charts": [{"name": chart.name, "repoURL": chart.source, "version": chart.version} for chart in needed.charts],
        "Files": [{"path": manifest.url} for manifest in needed.manifests],
    }
    version = "content.hauler.cattle.io/v1"
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": "eidos-bundle"}, "spec": {kind.lower(): entries}}
        for kind, entries in items.items()
        if entries
    ]


def _zarf(needed: MirrorList, images: list[NeededImage], files: Mapping[str, bytes]) -> dict[str, Any]:
    components = []
    for id in _components(needed):
        component: dict[str, Any] = {"name": id, "required": True}
        for chart in needed.charts:
            if chart.component == id:
                component["charts"] = [_zarf_chart(chart, files)]
        manifests = [f"{id}/{path}" for path in _manifests(id, files) if f"{id}/{path}" in files]
        # Zarf compares what it fetches with the digest after the @.
        manifests += [f"{manifest.url}@{manifest.sha256}" for manifest in needed.manifests if manifest.component == id]
        if manifests:
            namespaces = [chart.namespace for chart in needed.charts if chart.component == id]
            component["manifests"] = [
                {"name": f"{id}-manifests", **({"namespace": namespaces[0]} if namespaces else {}), "files": manifests}
            ]
        # An image of several components belongs to the first.
        pulled = [image.pulled for image in images if image.components[0] == id]
        components.append({**component, **({"images": pulled} if pulled else {})})
    return {"kind": "ZarfPackageConfig", "metadata": {"name": "eidos-bundle"}, "components": components}


def _zarf_chart(chart: NeededChart, files: Mapping[str, bytes]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": chart.component, "version": chart.version, "namespace": chart.namespace}
    archive = _archive(chart, files)
    if archive:
        entry["localPath"] = f"{FOLDER}/{archive.rpartition('/')[2]}"
    elif chart.pulled.startswith("oci://"):
        entry["url"] = f"{chart.pulled.rstrip('/')}/{chart.name}"
    else:
        entry.update(url=chart.pulled, repoName=chart.name)
    values = f"{chart.component}/{VALUES}"
    return {**entry, **({"valuesFiles": [values]} if values in files else {})}


def _components(needed: MirrorList) -> list[str]:
    """The components in the order of their installation, which that of the lists is."""
    ids = [image.components[0] for image in needed.images]
    return list(dict.fromkeys((*(chart.component for chart in needed.charts), *ids, *(each.component for each in needed.manifests))))


def _manifests(component: str, files: Mapping[str, bytes]) -> list[str]:
    """The manifests that are applied beside the chart: those that the scripts, or a kustomization, name."""
    import shlex

    script, kustomization = f"{component}/component.sh", f"{component}/kustomization.yaml"
    if script in files:
        lines = files[script].decode().splitlines()
        line = next((line for line in lines if line.startswith("    manifests) set -- ")), "")
        return shlex.split(line.partition(" set -- ")[2].rpartition(" ;;")[0])
    if kustomization in files:
        return list(TreeReader(formats.from_text(files[kustomization], kustomization), kustomization).texts("resources"))
    return []


def _copied(component: str, files: Mapping[str, bytes]) -> list[str]:
    return [path for path in (VALUES, *_manifests(component, files)) if f"{component}/{path}" in files]
