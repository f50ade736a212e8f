"""Which container images a bundle needs, for those who mirror them: ``images.txt`` for people and scripts, ``images.json`` for programs.

Knows the form of ``recipes/images/<component>.yaml`` and of ``images`` in components.yaml: which images the version of a chart pulls, which
values feed each reference, and which switch it on; must not know any chart or image. What is missing is listed too: a list that looks
complete and is not would be discovered in a network without a way out.

A reference is a text with placeholders of values, ``@{values.image.repository | registry.example.com/a}:@{values.image.tag | v1}``, so that
a bundle lists what its own values pull, and knows which values to set for a mirror: those that begin a reference.

>>> tree = {
...     "versions": {
...         "1.0": {
...             "switches": {"b.enabled": False},
...             "images": ["r.example.com/a:1", {"image": "r.example.com/b:1", "when": ["b.enabled"]}],
...         }
...     }
... }
>>> images = read_chart_images("x", "1.0", {}, lambda name: tree)
>>> [image.switched_off(images.switches, {"b": {"enabled": on}}) for image in images.images for on in (True, False)]
[(), (), (), ('b.enabled=true',)]
"""

from __future__ import annotations

from eidos.bundle.registry_mirror import mirror_image, mirror_repository
from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.templates.placeholder import DEFAULT, REQUIRED, parse_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from eidos.bundle.template_variables import Variables
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component

#: What the variables of the system of a node are called.
_SYSTEM_TAG = "os.tag"

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+")

#: Below this folder of the recipes.
FOLDER = "images/"

#: The beginning of the names of placeholders that are values of the chart.
VALUES = "values."

#: What a switch begins with that must be off.
NOT = "!"

_SHA256 = ":sha256:"


class ListedImage(Record):
    """One image of a component: its own reference, ``optional`` what has to be set for it to be pulled, ``missing`` what is not known.

    ``is_fixed``: no value of the chart says where it comes from, so a mirror cannot take its place.
    """

    reference: str
    optional: tuple[str, ...] = ()
    missing: str = ""
    is_fixed: bool = False


class ComponentImages(Record):
    """The images of one component.

    ``unknown`` are sentences on what is not known of them, ``untagged`` on tags for which the recipe lacks a part, ``notes`` on what has
    none.
    """

    component: Component
    images: tuple[ListedImage, ...]
    unknown: tuple[str, ...] = ()
    untagged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def unmirrored(self) -> Iterator[str]:
        """What of it comes from elsewhere in spite of a mirror."""
        for image in self.images:
            if image.is_fixed and not image.optional:
                yield f"{self.component.id}: the chart has no value for the registry of {image.reference}"
        for sentence in self.unknown:
            yield f"{self.component.id}: {sentence}"


def list_images(
    component: Component, chart: Chart, known: ChartImages | None, variables: Variables, values: Mapping[str, Any], manifests: Iterable[str]
) -> ComponentImages:
    """The images that a component pulls with these values, and those of its manifests, each once."""
    pulled: dict[str, ListedImage] = {}
    optional: dict[str, ListedImage] = {}
    unknown: list[str] = []
    untagged: list[str] = []
    notes: list[str] = []
    manifests = list(manifests)
    completed: set[str] = set()
    for image in known.images if known else ():
        text, missing = image.fill(variables)
        # A resource of an operator names it, and the operator adds the system of the node.
        stems = [each for each in manifests if text.startswith(f"{each}-")]
        completed.update(stems)
        off = image.switched_off(known.switches if known else {}, values)
        fixed = bool(component.chart) and not image.registry[0] and not stems
        if missing and missing[0].startswith(_SYSTEM_TAG) and variables.get("query.os"):
            if not off:
                system = (variables["query.os"], variables.get("query.osv") or "")
                name, driver = text.partition(":")[0], values.get("driver") or {}
                if driver.get("usePrecompiled") is True:
                    tag = f"{driver.get('version', 'BRANCH')}-KERNEL-{''.join(system)}"
                    notes.append(f"one image for each kernel of the nodes (uname -r): {name}:{tag}")
                else:
                    notes.append(f"no container of {name} for {' '.join(system).strip()}: the node image has to bring it")
        elif off:
            optional.setdefault(text, ListedImage(text, off, ", ".join(missing), fixed))
        elif missing:
            untagged.append(f"the tag of {text}, because the recipe does not set it")
        else:
            pulled.setdefault(text, ListedImage(text, is_fixed=fixed))
    for text in manifests:  # the examples among them
        if text not in completed:
            pulled.setdefault(text, ListedImage(text))
    if known is None and component.chart:
        unknown.append(f"the images of chart {component.chart} {component.version}")
    elif known is None and not chart.images_unknown and not pulled:
        unknown.append("whether its manifests have images")
    if chart.images_unknown:
        unknown.append(" ".join(chart.images_unknown.split()))
    rest = [image for text, image in optional.items() if text not in pulled]
    return ComponentImages(component, (*pulled.values(), *rest), tuple(unknown), tuple(untagged), tuple(dict.fromkeys(notes)))


def format_image_list(listed: Iterable[ComponentImages], mirror: str) -> str:
    """The text of ``images.txt``: one reference a line, each once, grouped by component; lines with ``#`` are for people."""
    lines = ["# Images of this bundle. Lines without # are references."]
    if mirror:
        lines.append(f"# They are pulled from {mirror}; the original of each follows 'from'.")
    listed_references: set[str] = set()
    for part in listed:
        component = part.component
        lines += ["", f"# {component.id}" + (f", chart {component.chart} {component.version}" if component.chart else "")]
        for image in part.images:
            reference = mirror_image(image.reference, mirror)
            if image.optional:
                lines.append(f"# optional, with {' and '.join(image.optional)}: {reference}")
            elif not is_reference(image.reference):  # a value of the user's made it so; the cluster will say the same of it
                lines.append(f"# {not_a_reference(image.reference)}")
            elif reference not in listed_references:
                listed_references.add(reference)
                lines += ([f"# from {image.reference}"] if mirror else []) + [reference]
        lines += [f"# {sentence}" for sentence in part.notes]
        lines += [f"# not known: {sentence}" for sentence in (*part.untagged, *part.unknown)]
        if not any((part.images, part.untagged, part.unknown, part.notes)):
            lines.append("# none")
    return "\n".join(lines) + "\n"


def image_documents(listed: Iterable[ComponentImages], mirror: str) -> dict[str, Any]:
    """The tree of ``images.json``: every image with its component, what is optional, and what is not known."""
    images: list[dict[str, Any]] = []
    unknown: list[dict[str, str]] = []
    for part in listed:
        component = part.component
        for image in part.images:
            if not is_reference(image.reference) or image.missing:
                continue
            entry: dict[str, Any] = {"image": mirror_image(image.reference, mirror), "component": component.id}
            if entry["image"] != image.reference:
                entry["from"] = image.reference
            if "@" in image.reference:
                entry["digest"] = image.reference.rpartition("@")[2]
            if component.chart:
                entry.update(chart=component.chart, version=component.version)
            if image.optional:
                entry["optional"] = list(image.optional)
            images.append(entry)
        unknown += [{"component": component.id, "reason": sentence} for sentence in (*part.untagged, *part.unknown)]
    return {"images": images, "unknown": unknown}


def chart_documents(
    listed: Iterable[ComponentImages], charts: Mapping[str, Chart], mirror: str, archives: Mapping[str, str]
) -> dict[str, Any]:
    """What ``images.json`` has besides: charts, with the file of the bundle that has one, and manifests that are fetched."""
    trees: list[dict[str, str]] = []
    manifests: list[dict[str, str]] = []
    for part in listed:
        component = part.component
        manifests += [{"component": component.id, "url": each.url, "sha256": each.sha256} for each in charts[component.id].manifests]
        if component.chart:
            repository = mirror_repository(component.repository, mirror)
            tree = {"component": component.id, "chart": component.chart, "version": component.version, "namespace": component.namespace}
            tree["repository"] = repository
            if repository != component.repository:
                tree["from"] = component.repository
            if component.id in archives:
                tree["archive"] = archives[component.id]
            trees.append(tree)
    return {"charts": trees, "manifests": manifests}


def not_a_reference(text: str) -> str:
    """What a list and a warning report of a text that cannot be a reference."""
    return f"not an image reference: {text[:200]!a}"


def is_reference(text: str) -> bool:
    """Whether ``text`` has the characters of a reference (distribution/reference, its grammar)."""
    name, colon, tag = text.rpartition("/")[2].partition(":")
    return bool(name) and _CHARACTERS.issuperset(text) and (not colon or tag[:1].isalnum() or tag[:1] == "_")


def images_of_manifests(trees: Iterable[Any]) -> list[str]:
    """The images that containers of manifests run, in order, each once."""
    images: dict[str, None] = {}
    remaining = list(trees)[::-1]
    while remaining:
        tree = remaining.pop()
        if isinstance(tree, dict):
            image = tree.get("image")
            if isinstance(image, str) and "name" in tree:
                images[image] = None
            elif isinstance(image, str) and isinstance(tree.get("repository"), str) and isinstance(tree.get("version"), str):
                images[f"{tree['repository']}/{image}:{tree['version']}"] = None  # of an operator's resource
            elif isinstance(image, dict) and isinstance(image.get("repository"), str) and isinstance(image.get("tag"), str):
                images[f"{image['repository']}:{image['tag']}"] = None
            remaining += list(tree.values())[::-1]
        elif isinstance(tree, list):
            remaining += tree[::-1]
    return list(images)


class ChartImage(Record):
    """One image: ``text`` is its reference with placeholders; ``when`` are paths of values that must be on, those with a ``!`` off."""

    text: str
    when: tuple[str, ...] = ()

    def switched_off(self, switches: Mapping[str, bool], values: Mapping[str, Any]) -> tuple[str, ...]:
        """What would have to be set for the image to be pulled, as ``path=true``; empty if it is pulled."""
        return tuple(
            f"{path.lstrip(NOT)}={str(path[0] != NOT).lower()}" for path in self.when if _is_on(path, switches, values) == (path[0] == NOT)
        )

    def fill(self, variables: Variables) -> tuple[str, tuple[str, ...]]:
        """The reference, and the names of what is missing in it, which stand in angle brackets."""
        text, missing = "", []
        for part in parse_text(self.text):
            if isinstance(part, str):
                text += part
            elif part.kind == REQUIRED and part.name not in variables:
                text += f"<{part.name}>"
                missing.append(part.name)
            else:
                text += format_scalar(part.resolve(variables))
        if _SHA256 in text:  # a digest has no system behind it
            name, _, digest = text.partition(_SHA256)
            return f"{name}@sha256:{digest.partition('-')[0]}", ()
        return text, tuple(missing)

    @property
    def registry(self) -> tuple[str, str]:
        """The path of the value that begins the reference, and the chart's own text of it; twice "" where the chart leaves no choice."""
        first = next(iter(parse_text(self.text)), "")
        if isinstance(first, str) or not first.name.startswith(VALUES):
            return "", ""
        return first.name[len(VALUES) :], format_scalar(first.default) if first.kind == DEFAULT else ""


class ChartImages(Record):
    """The images of one version of a chart, and the chart's own state of the values that switch them on."""

    images: tuple[ChartImage, ...]
    switches: dict[str, bool] = {}

    def own_text(self, path: str) -> str | None:
        """What the chart itself has where an image takes the value at ``path``; None where none does.

        >>> ChartImages((ChartImage("r.example.com/a:@{values.a.version | v1.20.0}"),)).own_text("a.version")
        'v1.20.0'
        """
        begin = f"@{{{VALUES}{path} | "
        return next((image.text.partition(begin)[2].partition("}")[0] for image in self.images if begin in image.text), None)

    @property
    def registries(self) -> dict[str, str]:
        """The paths of values that begin a reference, and the chart's own text of each."""
        return {path: default for path, default in (image.registry for image in self.images) if path}


def read_chart_images(
    id: str, version: str, own: Mapping[str, tuple[str, ...]], load_chart_data: Callable[[str], object]
) -> ChartImages | None:
    """The images of a version of a component; None when they are not known. Raises InvalidData with the place of a fault.

    ``own`` are those of the entry in components.yaml, by version: they win.
    """
    texts = own.get(version, own.get(""))
    if texts is not None:
        return ChartImages(tuple(map(ChartImage, texts)))
    tree = load_chart_data(f"{FOLDER}{id}")
    if tree is None:
        return None
    versions = TreeReader(tree, f"recipes/{FOLDER}{id}.yaml", text_types=QUOTED).mapping("versions")
    if version not in versions.tree:
        return None
    reader = versions.mapping(version)
    switches = reader.mapping("switches")
    entries = reader.tree.get("images") or ()
    if not isinstance(entries, (list, tuple)):
        raise reader.mismatch("a list", entries, "images")
    images = tuple(_read_image(entry, reader, number) for number, entry in enumerate(entries))
    for path in {path.lstrip(NOT) for image in images for path in image.when}:
        if not isinstance(switches.tree.get(path), bool):
            raise switches.error("expected true or false, the default of the chart", name=path)
    return ChartImages(images, switches.tree)


def image_names(id: str, own: Mapping[str, tuple[str, ...]], load_chart_data: Callable[[str], object]) -> set[str]:
    """The names of the images of all known versions of a component, without registry, path and tag; arguments as in read_chart_images."""
    tree = load_chart_data(f"{FOLDER}{id}")
    versions = {*own, *(TreeReader(tree, f"recipes/{FOLDER}{id}.yaml", text_types=QUOTED).mapping("versions").tree if tree else ())}
    known = (read_chart_images(id, version, own, load_chart_data) for version in versions)
    texts = (image.fill({})[0] for images in known if images for image in images.images)
    return {text.rpartition("/")[2].partition(":")[0].partition("@")[0] for text in texts}


def _read_image(entry: object, reader: TreeReader, number: int) -> ChartImage:
    if isinstance(entry, str):
        return ChartImage(entry)
    image = TreeReader(entry, reader.document, f"{reader.location('images')}[{number}]", text_types=QUOTED)
    image.expect_only(("image", "when"))
    return ChartImage(image.name("image"), image.names("when"))


def _is_on(path: str, switches: Mapping[str, bool], values: Mapping[str, Any]) -> bool:
    tree: Any = values
    for key in path.lstrip(NOT).split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return bool(switches.get(path.lstrip(NOT), True) if tree is None else tree)
