"""What eidos knows of charts, read from the charts: ``python -m tests.chart_data CHARTS [--contents] [COMPONENT/VERSION...]``.

CHARTS is a folder of unpacked charts with their dependencies, as ``<component>/<version>/Chart.yaml``. For each, the key paths of its
values are written to ``recipes/values/<component>/<version>.keys.yaml`` where there is such a file, its images to
``recipes/images/<component>.yaml``, and its ClusterRoles and definitions of resources to ``recipes/charts.yaml``; with ``--contents`` these
alone. It needs helm: values are changed one by one, and what becomes of the images in the render shows which value feeds which part of a
reference, and which one switches an image on.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
VALUES, IMAGES = ROOT / "recipes" / "values", ROOT / "recipes" / "images"
CONTENTS, COMPONENTS = ROOT / "recipes" / "charts.yaml", ROOT / "recipes" / "components.yaml"

#: Documents of a render that may name an image; dashboards and rules, which are most of some, do not.
_WITH_IMAGE = r"image|=[a-z0-9.-]+/"


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the class is chosen at run time
    """PyYAML's, with ``=`` as text, which some labels are."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)

TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list", dict: "mapping", type(None): "any"}

#: Keys of values that are a part of a reference, and of those that switch a part of a chart on.
PARTS = {"registry", "imageRegistry", "hub", "repository", "image", "name", "tag", "version", "digest", "sha", "imageName"}
_TAGS = ("tag", "version", "digest", "sha")
SWITCHES = {"enabled", "enable", "install", "deploy", "deployCR", "forceEnable"}

#: Values without which a chart does not render.
REQUIRED: dict[str, dict[str, Any]] = {
    "cluster-autoscaler": {"autoDiscovery": {"clusterName": "cluster"}},
    "karpenter": {"settings": {"clusterName": "cluster"}},
    "nvidia-dra-driver-gpu": {"gpuResourcesEnabledOverride": True},
}

#: Switches of the operator's operands, by their field of the ClusterPolicy: the chart's own resource names all of them. Of virtual machines
#: those run that the mode of the sandboxes has (controllers/state_manager.go, v26.3.3 and v26.7.0).
_OPERANDS = {
    "driver": ["driver.enabled"],
    "driver.manager": ["driver.enabled"],
    "gds": ["driver.enabled", "gds.enabled"],
    "gdrcopy": ["driver.enabled", "gdrcopy.enabled"],
    "validator": [],
    **{
        name: [f"{name}.enabled"] for name in ("toolkit", "devicePlugin", "gfd", "dcgm", "dcgmExporter", "migManager", "nodeStatusExporter")
    },
    **{
        name: ["sandboxWorkloads.enabled", f"{name.partition('.')[0]}.enabled"]
        for name in (
            *("vgpuManager", "vgpuManager.driverManager", "vgpuDeviceManager", "vfioManager", "vfioManager.driverManager"),
            *("sandboxDevicePlugin", "kataSandboxDevicePlugin", "ccManager", "kataManager"),
        )
    },
}

#: Parts of KAI that its chart renders; its operator makes the others.
_HOOKS = ("operator", "crdupgrader", "kaiConfigDeployer", "topologyMigration", "postCleanup")

#: Fields of a rule of a ClusterRole that may hold a wildcard, in the order of their names.
RULE_FIELDS = ("apiGroups", "nonResourceURLs", "resources", "verbs")

#: Images whose tag the operator ends with the system of the node.
OF_SYSTEM = {"driver", "gds", "gdrcopy", "vgpuManager"}


def find_helm() -> str:
    """The path of helm: of PATH, or the one that the tests have fetched."""
    fetched = ROOT / ".pytest_cache" / "d" / "kubectl-layer" / "layer" / "helm" / "helm"
    helm = os.environ.get("HELM") or shutil.which("helm") or (str(fetched) if fetched.exists() else "")
    if not helm:
        raise SystemExit("error: helm not found in PATH\nhint: install helm, or run the tests of bundles once")
    return helm


def render(
    helm: str, chart: Path, values: dict[str, Any], name: str = "release", namespace: str = "of-the-chart", having: str = _WITH_IMAGE
) -> list[Any] | None:
    """The documents of a chart with these values that have this pattern; None where helm refuses them."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        line = [helm, "template", name, str(chart), "--namespace", namespace, "--values", file.name, "--kube-version", "1.34.0"]
        done = subprocess.run([*line, "--no-hooks=false"], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        return None
    texts = [text for text in re.split(r"^---\s*$", done.stdout, flags=re.MULTILINE) if re.search(having, text, re.IGNORECASE)]
    documents = [yaml.load(text, Loader) for text in texts]
    return [document for document in documents if isinstance(document, dict)]


def merged(under: Any, over: Any) -> Any:
    """Values laid over others as helm does."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    return {**copy.deepcopy(under), **{key: merged(under.get(key), value) for key, value in over.items()}}


def subcharts(chart: Path) -> Iterator[tuple[str, Path]]:
    """Key in the values and folder of each dependency that is unpacked."""
    about = yaml.load((chart / "Chart.yaml").read_text(), Loader)
    for entry in about.get("dependencies") or ():
        folder = chart / "charts" / entry["name"]
        if folder.is_dir():
            yield entry.get("alias") or entry["name"], folder


def default_values(chart: Path) -> dict[str, Any]:
    """The values of a chart and, below their keys, of its dependencies."""
    values: dict[str, Any] = {}
    for key, folder in subcharts(chart):
        values[key] = default_values(folder)
    file = chart / "values.yaml"
    own = yaml.load(file.read_text(encoding="utf-8"), Loader) if file.exists() else {}
    tree: dict[str, Any] = merged(values, own or {})
    return tree


def leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each leaf. A mapping that is empty, or has keys with dots (labels, annotations), is a leaf: its keys are free."""
    for key, value in values.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, dict) and value and not any("." in str(name) for name in value):
            yield from leaves(value, path)
        else:
            yield path, value


def keys_of(chart: Path) -> dict[str, str]:
    """Path → type of each value of a chart, of its dependencies, and of those that its templates read though its values lack them."""
    keys = {path: TYPES[type(value)] for path, value in leaves(default_values(chart))}
    for path in sorted(set(_read_paths(chart))):
        parts = path.split(".")
        above = [".".join(parts[:count]) for count in range(1, len(parts))]
        is_open = any(keys.get(each) for each in above)  # below a leaf: an open mapping, or a text that is asked for its length
        if path not in keys and not is_open and not any(known.startswith(f"{path}.") for known in keys):
            keys[path] = "any"
    return dict(sorted(keys.items()))


_READ = re.compile(r"\.Values((?:\.[A-Za-z_][\w-]*)+)")


def _read_paths(chart: Path, above: str = "") -> Iterator[str]:
    for file in sorted((chart / "templates").rglob("*")):
        if file.suffix in (".yaml", ".tpl", ".yml", ".txt") and file.is_file():
            for reference in _READ.findall(file.read_text(encoding="utf-8", errors="replace")):
                if not reference.startswith(".global.") or not above:
                    yield above + reference[1:]
    for key, folder in subcharts(chart):
        yield from _read_paths(folder, f"{above}{key}.")


_REFERENCE = r"(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?/)?[a-z0-9._/-]+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?"
_HOSTED = r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?/[a-z0-9._/-]+(?::[\w.-]+)(?:@sha256:[0-9a-f]{64})?"
_IN_TEXT = re.compile(rf"(?:^|=)({_HOSTED})$|\"image\"\s*:\s*\"({_REFERENCE})\"", re.IGNORECASE)


def images_in(documents: list[Any]) -> dict[str, str]:
    """Where in a render → the reference of an image that is pulled: of containers, resources of operators, arguments and variables."""
    images: dict[str, str] = {}
    for document in documents:
        metadata = document.get("metadata") or {}
        hook = str((metadata.get("annotations") or {}).get("helm.sh/hook", ""))
        if document.get("kind") in ("CustomResourceDefinition", "NVIDIADriver") or "test" in hook:
            continue
        _walk(document, f"{document.get('kind')} {metadata.get('name')}", images)
    # The GPU operator is told of images in variables that it uses only where its resources name none.
    is_operator = any(where.startswith("ClusterPolicy ") for where in images)
    return {where: image for where, image in images.items() if not is_operator or ".env[" not in where}


def _walk(tree: Any, path: str, images: dict[str, str]) -> None:
    if isinstance(tree, dict):
        image, repository = tree.get("image"), tree.get("repository")
        tag = tree.get("version") or tree.get("tag")
        if isinstance(image, str) and isinstance(repository, str) and repository and image:
            images[path] = f"{repository}/{image}:{tag}"
            tree = {key: value for key, value in tree.items() if key not in ("image", "repository", "version")}
        elif isinstance(image, str) and ("/" in image or ":" in image) and "version" not in tree:
            images[path] = image
            tree = {key: value for key, value in tree.items() if key != "image"}
        for key, value in tree.items():
            _walk(value, f"{path}.{key}", images)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            name = value.get("name") if isinstance(value, dict) else None
            _walk(value, f"{path}[{name or number}]", images)
    elif isinstance(tree, str):
        for number, match in enumerate(_IN_TEXT.finditer(tree)):
            image = match[1] or match[2]
            if ":" in image and not path.endswith("._example"):
                images[f"{path}#{number}"] = image


def placed(tree: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The values with another one at a path."""
    changed = copy.deepcopy(tree)
    *above, last = path.split(".")
    inner = changed
    for key in above:
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
    inner[last] = value
    return changed


class Probed:
    """A chart whose images are known by what changes them."""

    def __init__(self, helm: str, chart: Path, component: str) -> None:
        self.helm, self.chart, self.component = helm, chart, component
        self.required = REQUIRED.get(component, {})
        self.values = merged(default_values(chart), self.required)
        documents = render(helm, chart, self.required)
        if documents is None:
            raise SystemExit(f"error: {chart}: helm does not render it with its own values")
        self.images = images_in(documents)
        #: Where → switches that it needs, "!" before one that must be off.
        self.when: dict[str, list[str]] = {where: [] for where in self.images}
        self.defaults: dict[str, bool] = {}
        self.state: dict[str, dict[str, Any]] = dict.fromkeys(self.images, self.required)
        about = yaml.load((chart / "Chart.yaml").read_text(), Loader)
        self.conditions = {
            entry.get("alias") or entry["name"]: entry["condition"].partition(",")[0]
            for entry in about.get("dependencies") or ()
            if entry.get("condition")
        }

    def probe(self) -> list[dict[str, Any]]:
        self._find_switches()
        spans = self._find_parts()
        entries: dict[str, dict[str, Any]] = {}
        for where, image in self.images.items():
            text = self._with_placeholders(image, spans.get(where, []))
            entry = self._entry(where, text)
            entries.setdefault(str(entry), entry)
        for entry in _extra(self.component, self.values, self.chart.name):
            entries.setdefault(str(entry), entry)
            for path in entry.get("when", ()):
                self.defaults.setdefault(path.lstrip("!"), bool(_at(self.values, path.lstrip("!"))))
        # What is pulled with fewer switches on is pulled with more of them on, too.
        return [
            entry
            for entry in entries.values()
            if not any(
                other["image"] == entry["image"] and set(other.get("when", ())) < set(entry.get("when", ())) for other in entries.values()
            )
        ]

    def _entry(self, where: str, text: str) -> dict[str, Any]:
        when = self.when[where]
        policy, _, field = where.partition(".spec.")
        if policy.startswith("ClusterPolicy "):
            operand = max((name for name in _OPERANDS if field == name or field.startswith((f"{name}.", f"{name}["))), key=len, default="")
            when = _OPERANDS.get(operand, when)
            if field in OF_SYSTEM:
                text += f"-@{{os.tag{_system_rule(self.chart.name)}}}"
            for path in when:
                self.defaults.setdefault(path, bool(_at(self.values, path)))
        return {"image": text, "when": when} if when else {"image": text}

    def _find_switches(self) -> None:
        switches = [(path, value) for path, value in leaves(self.values) if isinstance(value, bool) and path.rpartition(".")[2] in SWITCHES]
        for path, value in switches:
            changed = placed(self.required, path, not value)
            documents = render(self.helm, self.chart, changed)
            if documents is None:
                continue
            images = images_in(documents)
            for where in list(self.images):
                if where not in images and self.state[where] is self.required:
                    self.when[where].append(path if value else f"!{path}")
                    self.defaults[path] = value
            for where, image in images.items():
                if where not in self.images:
                    self.images[where], self.when[where], self.state[where] = image, [f"!{path}" if value else path], changed
                    self.defaults[path] = value
        # What is switched within a dependency needs the dependency.
        for when in self.when.values():
            for key, condition in self.conditions.items():
                if condition not in when and any(path.lstrip("!").startswith(f"{key}.") for path in when):
                    when.append(condition)
                    self.defaults[condition] = bool(_at(self.values, condition))

    def _find_parts(self) -> dict[str, list[tuple[int, int, str]]]:
        """Where → spans of the reference, and the path of the value that feeds each."""
        fed: dict[str, list[tuple[int, int, str]]] = {}
        paths = {
            path: value
            for path, value in leaves(self.values)
            if path.rpartition(".")[2] in PARTS or (isinstance(value, str) and re.fullmatch(_HOSTED, value))
        }
        paths.update({path: None for path in keys_of(self.chart) if path.rpartition(".")[2] in PARTS and _at(self.values, path) is None})
        texts = {path: str(value or "") for path, value in paths.items() if value is None or isinstance(value, str)}
        texts = {path: text for path, text in texts.items() if text or path.rpartition(".")[2] not in ("digest", "sha")}
        # What the chart sets comes first: of what it leaves empty, some wins over that, and one registry for all over those of each.
        groups: dict[tuple[bool, bool, bool], dict[str, str]] = {}
        for path, text in texts.items():
            is_tag = path.rpartition(".")[2] in _TAGS
            groups.setdefault((not text, not text and not is_tag, path.startswith("global.")), {})[path] = text
        states: list[dict[str, Any]] = []
        for state in self.state.values():
            if state not in states:
                states.append(state)
        for state in states:
            for _, group in sorted(groups.items()):
                for where, spans in self._feeds(state, group).items():
                    known = fed.setdefault(where, [])
                    known += [span for span in spans if not any(span[0] < stop and start < span[1] for start, stop, _ in known)]
        return fed

    def _feeds(self, state: dict[str, Any], texts: dict[str, str]) -> dict[str, list[tuple[int, int, str]]]:
        """What of the images of one state these values feed; one by one where helm refuses them together."""
        # A tag has no slash, and what comes before it has one.
        ends = {path: "" if path.rpartition(".")[2] in _TAGS else "/x" for path in texts}
        markers = {f"marker{number}x.example.com{ends[path]}": path for number, path in enumerate(texts)}
        together = state
        for marker, path in markers.items():
            together = placed(together, path, marker)
        documents = render(self.helm, self.chart, together) if markers else []
        if documents is not None:
            return self._spans(state, documents, markers, texts)
        fed: dict[str, list[tuple[int, int, str]]] = {}
        for marker, path in markers.items():
            documents = render(self.helm, self.chart, placed(state, path, marker))
            for where, spans in self._spans(state, documents or [], {marker: path}, texts).items():
                fed.setdefault(where, []).extend(spans)
        return fed

    def _spans(
        self, state: dict[str, Any], documents: list[Any], markers: dict[str, str], texts: dict[str, str]
    ) -> dict[str, list[tuple[int, int, str]]]:
        fed: dict[str, list[tuple[int, int, str]]] = {}
        for where, image in images_in(documents).items():
            original = self.images.get(where)
            if original is None or self.state[where] != state:
                continue
            parts = re.split(r"(marker\d+x\.example\.com(?:/x)?)", image)
            names = [part for part in parts if part in markers]
            for known in (True, False):  # a text of the values may be changed by a template, such as a v before it
                pattern = "".join(
                    (f"({re.escape(texts[markers[part]])})" if known and texts[markers[part]] else "(.+?)")
                    if part in markers
                    else re.escape(part)
                    for part in parts
                )
                match = re.fullmatch(pattern, original)
                if match:
                    break
            if names and match:
                fed[where] = [(*match.span(number), markers[name]) for number, name in enumerate(names, 1)]
        return fed

    @staticmethod
    def _with_placeholders(image: str, spans: list[tuple[int, int, str]]) -> str:
        text, end = "", len(image)
        for start, stop, path in sorted(spans, reverse=True):
            if stop <= end and start < stop and image[start - 1 : start] != "@":  # of "@@{" the engine makes an @ alone
                text = f"@{{values.{path} | {image[start:stop]}}}" + image[stop:end] + text
                end = start
        return image[:end] + text


def _extra(component: str, values: dict[str, Any], version: str) -> Iterator[dict[str, Any]]:
    """Images that no resource of the chart names: an operator makes their references of the values."""
    if component == "gpu-operator":
        system = f"@{{os.tag{_system_rule(version)}}}"
        image = "@{values.vgpuManager.repository}/@{values.vgpuManager.image | vgpu-manager}:@{values.vgpuManager.version}"
        yield {"image": f"{image}-{system}", "when": ["sandboxWorkloads.enabled", "vgpuManager.enabled"]}
        driver = values.get("draDriver")
        if driver:
            parts = (f"@{{values.draDriver.{key} | {driver[key]}}}" for key in ("repository", "image", "version"))
            image = "{}/{}:{}".format(*parts)
            yield {"image": image, "when": ["gpuCluster.deployCR"]}
    if component == "network-operator":
        # The driver of network cards, of the policy that a bundle applies.
        index = yaml.load((ROOT / "templates" / "bundles" / component / "bundle.yaml").read_text(), Loader)
        release = index["versions"].get(version)
        for architecture in ("amd64", "arm64") if release else ():
            yield {"image": f"nvcr.io/nvidia/mellanox/doca-driver:{release['doca-driver']}-@{{query.os}}@{{query.osv}}-{architecture}"}
    if component == "kai-scheduler":
        for name, part in values.items():
            for key, image in part.items() if isinstance(part, dict) else ():
                if name not in _HOOKS and key.lower().endswith("image") and isinstance(image, dict) and image.get("name"):
                    text = "@{values.global.registry | ghcr.io/kai-scheduler/kai-scheduler}/"
                    text += f"@{{values.{name}.{key}.name | {image['name']}}}:@{{values.global.tag | {version}}}"
                    yield {"image": text, **({"when": [f"{name}.enabled"]} if isinstance(part.get("enabled"), bool) else {})}


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _system_rule(version: str) -> str:
    """How the operator of a version ends tags: with the version of the system, or of some systems with its major version alone."""
    major, minor = (int(number) for number in version.lstrip("v").split(".")[:2])
    return ".major" if (major, minor) >= (26, 7) else "" if (major, minor) >= (26, 3) else ".full"


def write_keys(chart: Path, component: str) -> None:
    """The file of key paths, where there is one."""
    version = chart.name
    path = VALUES / component / f"{version}.keys.yaml"
    text = (
        f"# The values of chart {component} {version} and their types, with those of its dependencies; any: read by its templates alone.\n"
    )
    rows = "".join(f"{key}: {kind}\n" for key, kind in keys_of(chart).items())
    path.write_text(text + (rows or "{}\n"), encoding="utf-8")  # an empty mapping: the chart has no value


def main(arguments: list[str]) -> None:
    if not arguments:
        raise SystemExit(__doc__)
    contents_only = "--contents" in arguments
    first, *named = [each for each in arguments if each != "--contents"]
    helm, folder = find_helm(), Path(first)
    for about in sorted(folder.glob("*/*/Chart.yaml")):
        chart = about.parent
        component, version = chart.parent.name, chart.name
        if named and f"{component}/{version}" not in named:
            continue
        write_contents(component, version, contents_of(helm, chart, component))
        if contents_only:
            continue
        if (VALUES / component / f"{version}.keys.yaml").exists():
            write_keys(chart, component)
        probed = Probed(helm, chart, component)
        write_images(component, version, probed.probe(), probed.defaults)
        print(f"{component} {version}: {len(probed.images)} images", flush=True)


def contents_of(helm: str, chart: Path, component: str) -> dict[str, Any]:
    """The ClusterRoles of a chart with its own values, those rules that have a wildcard, and the definitions that helm never upgrades."""
    entries = yaml.load(COMPONENTS.read_text(encoding="utf-8"), Loader)["components"]
    namespace = next(entry["namespace"] for entry in entries if entry["id"] == component)
    documents = render(helm, chart, REQUIRED.get(component, {}), component, namespace, r'(?m)^kind: *"?ClusterRole')
    if documents is None:
        raise SystemExit(f"error: {chart}: helm does not render it with its own values")
    roles: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        if document["kind"] == "ClusterRole":
            roles[document["metadata"]["name"]] = document.get("rules") or []
        elif document["kind"] == "ClusterRoleBinding" and document["roleRef"]["name"] == "cluster-admin":
            roles["cluster-admin"] = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    wildcards = [
        {"role": name, **{field: rule[field] for field in RULE_FIELDS if rule.get(field)}}
        for name, rules in sorted(roles.items())
        for rule in rules
        if any("*" in text for field in RULE_FIELDS for text in rule.get(field) or ())
    ]
    definitions = sum(1 for folder in (chart, *(below for _, below in subcharts(chart))) for _ in (folder / "crds").glob("**/*.yaml"))
    return {"cluster-roles": len(roles), "crds-folder": definitions, "wildcards": wildcards}


def write_contents(component: str, version: str, contents: dict[str, Any]) -> None:
    """The version's part of the file of contents; what else is in it stays."""
    tree = yaml.load(CONTENTS.read_text(encoding="utf-8"), Loader) if CONTENTS.exists() else {}
    tree.setdefault("charts", {}).setdefault(component, {})[version] = contents
    lines = [
        "# What charts bring to a cluster besides images, by component and version of the chart, with the chart's own values:",
        "# python -m tests.chart_data. cluster-roles: how many; wildcards: their rules with one; crds-folder: files of definitions, which",
        "# helm never upgrades. What an operator creates while it runs is not in the chart, and not here.",
        "charts:",
    ]
    for name, versions in sorted(tree["charts"].items()):
        lines.append(f"  {name}:")
        for each, part in versions.items():
            numbers = f"cluster-roles: {part['cluster-roles']}, crds-folder: {part['crds-folder']}"
            lines.append(f'    "{each}": {{{numbers}}}' if not part.get("wildcards") else f'    "{each}":')
            if part.get("wildcards"):
                lines += [f"      {number}" for number in numbers.split(", ")] + ["      wildcards:"]
                lines += [f"        - {json.dumps(rule)}" for rule in part["wildcards"]]
    CONTENTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_images(component: str, version: str, entries: list[dict[str, Any]], defaults: dict[str, bool]) -> None:
    """The version's part of the file of images; what else is in it stays."""
    path = IMAGES / f"{component}.yaml"
    tree = yaml.load(path.read_text(encoding="utf-8"), Loader) if path.exists() else {}
    needed = {path.lstrip("!") for entry in entries for path in entry.get("when", ())}
    switches = {path: value for path, value in sorted(defaults.items()) if path in needed}
    tree.setdefault("versions", {})[version] = {**({"switches": switches} if switches else {}), "images": entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(format_images(component, tree), encoding="utf-8")


def format_images(component: str, tree: dict[str, Any]) -> str:
    """The text of a file of images."""
    lines = [f"# Images of the chart of {component} by its version, as its templates and values have them: python -m tests.chart_data"]
    lines += ["versions:"]
    for version, part in tree["versions"].items():
        lines.append(f'  "{version}":')
        if part.get("switches"):
            lines += ["    # Values that switch images on, and whether they are on by default.", "    switches:"]
            lines += [f"      {path}: {str(value).lower()}" for path, value in part["switches"].items()]
        lines.append("    images:" if part["images"] else "    images: []")
        for entry in part["images"]:
            image = entry if isinstance(entry, str) else entry["image"]
            if isinstance(entry, str) or not entry.get("when"):
                lines.append(f"      - {json.dumps(image)}")
            else:  # in blocks, which eidos reads many times as fast
                lines += [f"      - image: {json.dumps(image)}", "        when:"]
                lines += [f"          - {json.dumps(path) if path[0] == '!' else path}" for path in entry["when"]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
