"""Values that the charts accept: every generated key is one of the chart's own of that version, with its type.

The charts' own ``values.yaml`` lie beside the repository. The key paths that eidos carries, ``recipes/values/<component>/<chart
version>.keys.yaml``, have those and more; ``python -m tests.chart_data`` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eidos.errors import InvalidInput
from eidos.files import resources
from eidos.model.values_schema import load_schema, parse_path
from eidos.recipe.store import shipped_store
from tests.chart_grid import MIRROR, Case, problems_of
from tests.support.bundle_files import RECIPES, ROOT, data_of, each_recipe, each_recipe_of, files_of_tree, load_yaml, made, recipe

pytestmark = pytest.mark.slow

VALUES = ROOT / "recipes" / "values"

#: Component → the folder of its chart among the fixtures, and how a chart version is written as that folder's subfolder.
CHARTS = {"gpu-operator": "gpu-operator/{}", "network-operator": "network-operator/v{}", "nim-operator": "k8s-nim-operator/v{}"}

#: Recipes with one of these components; some clouds and OpenShift run them themselves.
WITH_CHARTS = [path for path in RECIPES if any(f"id: {component}\n" in path.read_text() for component in CHARTS)]

TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list", dict: "mapping", type(None): "any"}


def key_types(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Path → type of each leaf. A mapping that is empty, or has keys with dots (labels, annotations), is a leaf: its keys are free."""
    for key, value in values.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, dict) and value and not any("." in str(name) for name in value):
            yield from key_types(value, path)
        else:
            yield path, TYPES[type(value)]


def strange(values: dict[str, Any], known: dict[str, str], above: str = "") -> Iterator[str]:
    """What in ``values`` the chart does not have, or has as another type."""
    inner = {path.rpartition(".")[0] for path in known}
    inner |= {above for path in inner for above in (".".join(path.split(".")[:count]) for count in range(1, path.count(".") + 2))}
    for key, value in values.items():
        path = f"{above}.{key}" if above else str(key)
        if path in known:
            expected, actual = known[path], TYPES[type(value)]
            if value is not None and expected not in ("any", actual):  # helm removes what is null
                yield f"{path}: the chart has {expected}, the bundle {actual} ({value!r})"
        elif path not in inner:
            yield f"{path}: the chart has no such key"
        elif not isinstance(value, dict):
            yield f"{path}: the chart has a mapping, the bundle {value!r}"
        else:
            yield from strange(value, known, path)


#: Versions whose chart differs from that of another only where it says its own version (git diff of the two tags), and the other one.
ALIKE = {("network-operator", "26.1.2"): "26.1.0"}


def chart_file(shared: Path, component: str, version: str, name: str) -> str:
    """A file of the chart, as this version has it."""
    stored = ALIKE.get((component, version.lstrip("v")), version.lstrip("v"))
    path = shared / "charts" / CHARTS[component].format(version.replace(version.lstrip("v"), stored)) / name
    return path.read_text(encoding="utf-8").replace(stored, version.lstrip("v"))


def chart_values(shared: Path, component: str, version: str) -> dict[str, Any]:
    loaded = load_yaml(chart_file(shared, component, version, "values.yaml"))
    assert isinstance(loaded, dict)
    return loaded


def pinned() -> list[tuple[str, str]]:
    """Each component and version that components.yaml or an overlay names and that a fixture may exist for."""
    entries = load_yaml((ROOT / "recipes" / "components.yaml").read_text(encoding="utf-8"))["components"]
    versions = {(entry["id"], entry["version"]) for entry in entries if entry["id"] in CHARTS}
    for path in RECIPES:
        versions |= {(entry["id"], entry["version"]) for entry in recipe(path).get("components", ()) if entry["id"] in CHARTS}
    return sorted(versions)


def carried_keys(component: str, version: str) -> dict[str, str]:
    """Path → type, as eidos carries them."""
    tree = load_yaml((VALUES / component / f"{version}.keys.yaml").read_text(encoding="utf-8"))
    assert isinstance(tree, dict)
    return tree


@pytest.mark.shared
@pytest.mark.parametrize(("component", "version"), pinned())
def test_carried_keys_have_those_of_the_chart(shared: Path, component: str, version: str) -> None:
    """Those of dependencies, and those that templates alone read, are there besides."""
    carried = carried_keys(component, version)
    own = dict(key_types(chart_values(shared, component, version)))
    parents = {".".join(path.split(".")[:count]) for path in carried for count in range(1, path.count(".") + 1)}
    assert {path: kind for path, kind in own.items() if carried.get(path) != kind and path not in parents} == {}


@pytest.mark.parametrize(
    "text",
    [
        "gpu-operator:operator.version=v26.7.0",
        "gpu-operator:node-feature-discovery.image.repository=registry.example.com/nfd",
        "gpu-operator:node-feature-discovery.master.nodeSelector={a: b}",
        "network-operator:sriov-network-operator.images.operator=registry.example.com/a:1",
        "network-operator:node-feature-discovery.worker.tolerations=[]",
    ],
)
def test_keys_of_dependencies_and_templates_can_be_set(text: str) -> None:
    path = next(path for path in RECIPES if path.stem == "self-managed-gh200-training")
    assert files_of_tree(recipe(path), sets=(text,))
    with pytest.raises(InvalidInput, match="the chart has no value"):
        files_of_tree(recipe(path), sets=(text.replace("=", "x=", 1).replace("nodeSelectorx", "nodeSelectr"),))


@pytest.mark.shared
@each_recipe_of(WITH_CHARTS)
def test_generated_values_are_the_charts_own(shared: Path, path: Path) -> None:
    files = made(path)
    checked = 0
    for entry in recipe(path)["components"]:
        if entry["id"] in CHARTS:
            known = dict(key_types(chart_values(shared, entry["id"], entry["version"])))
            values = data_of(files, f"{entry['id']}/values.yaml")[0]
            assert list(strange(values, known)) == [], f"{path.name}: {entry['id']}"
            checked += 1
    assert checked


#: Every flag that reaches into values and manifests.
FLAGS: dict[str, Any] = {
    "accelerated_node_selector": {"example.com/gpu": "yes"},
    "accelerated_tolerations": ["example.com/gpu=true:NoSchedule"],
    "system_node_selector": {"example.com/system": "yes"},
    "system_tolerations": ["example.com/system=true:NoExecute"],
    "registry": "mirror.example.com/x",
}


@pytest.mark.shared
@each_recipe_of(WITH_CHARTS)
def test_values_are_the_charts_own_with_all_flags(shared: Path, path: Path) -> None:
    files = files_of_tree(recipe(path), **FLAGS)
    for entry in recipe(path)["components"]:
        if entry["id"] in CHARTS:
            values = data_of(files, f"{entry['id']}/values.yaml")
            # With a mirror, values of dependencies are set too.
            known = {**carried_keys(entry["id"], entry["version"]), **dict(key_types(chart_values(shared, entry["id"], entry["version"])))}
            assert list(strange(values[0], known)) == [], f"{path.name}: {entry['id']}"


@each_recipe
def test_nothing_comes_from_elsewhere_with_a_mirror(path: Path) -> None:
    for name, (content, _) in files_of_tree(recipe(path), **FLAGS).items():
        if name.endswith(("values.yaml", "install.sh")) or "/manifests/" in name:
            hosts = re.findall(
                r"nvcr\.io|ghcr\.io|quay\.io|docker\.io|registry\.k8s\.io|helm\.ngc\.nvidia\.com|\bcharts\.", content.decode()
            )
            assert hosts == [], name


def test_tolerations_are_added_to_those_that_the_chart_has() -> None:
    files = files_of_tree(recipe(RECIPES[0]), accelerated_tolerations=FLAGS["accelerated_tolerations"])
    tolerations = data_of(files, "gpu-operator/values.yaml")[0]["daemonsets"]["tolerations"]
    assert [entry["key"] for entry in tolerations] == ["nvidia.com/gpu", "example.com/gpu"]


@pytest.mark.shared
def test_a_key_that_the_chart_lacks_is_reported(shared: Path) -> None:
    known = dict(key_types(chart_values(shared, "gpu-operator", "v26.3.3")))
    assert list(strange({"driver": {"useOpenKernelModules": True}}, known)) == ["driver.useOpenKernelModules: the chart has no such key"]
    assert list(strange({"driver": {"version": 580}}, known)) == ["driver.version: the chart has string, the bundle integer (580)"]
    assert list(strange({"driver": True, "operator": {"annotations": {"example.com/a": "b"}}}, known)) == [
        "driver: the chart has a mapping, the bundle True"
    ]


@pytest.mark.parametrize("id", ["kserve-crd", "slurm-operator-crds"])
def test_a_chart_without_values_accepts_none(id: str) -> None:
    schema = load_schema(f"{id}/{shipped_store().charts[id].version}", resources.load_chart_values)
    assert schema is not None
    with pytest.raises(InvalidInput, match="the chart has no value foo"):
        schema.type_of(parse_path("foo"))
    with pytest.raises(InvalidInput, match="a quote in a key"):
        parse_path('labels."a.b"')


A, B = "registry.example.com/a:1", "registry.example.com/b:1"


@pytest.mark.parametrize(
    ("rendered", "pulled", "is_mirrored", "expected"),
    [
        ({"Pod x.spec.a": A}, {A}, False, []),
        ({"Pod x.spec.a": A}, {A}, True, [f"not from the mirror: {A} of Pod x.spec.a"]),
        ({"Pod x.spec.a": f"{MIRROR}/a:1"}, {f"{MIRROR}/a:1"}, True, []),
        ({"Pod x.spec.a": A, "Pod x.spec.b": B}, {A}, False, [f"not listed: {B} of Pod x.spec.b"]),
        ({"Pod x.spec.a": A}, {A, B}, False, [f"listed, not rendered: {B}"]),
        ({"ClusterPolicy x.spec.driver": A}, {f"{A}-ubuntu24.04"}, False, []),
        ({"ClusterPolicy x.spec.toolkit": A}, set(), False, [f"not listed: {A} of ClusterPolicy x.spec.toolkit"]),
    ],
)
def test_a_chart_that_renders_other_images_is_noticed(
    rendered: dict[str, str], pulled: set[str], is_mirrored: bool, expected: list[str]
) -> None:
    case = Case("a", "1", b"", frozenset(pulled), frozenset(), frozenset(), is_mirrored, "")
    assert problems_of(case, rendered) == expected
