"""What scripts know of clusters: probes of components.yaml and the custom resource definitions of each version of a chart.

Real charts, unpacked as ``<component>/<version>/Chart.yaml`` below the folder that ``EIDOS_TEST_CHARTS`` names, are compared with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from eidos.bundle.template_variables import cluster_variables
from eidos.model.chart import Chart, Probe
from eidos.recipe.charts import load_charts, read_charts
from tests.bundle.test_crds import BUILT_IN
from tests.support.bundle_files import RECIPES, ROOT, data_of, each_recipe, files_of_tree, load_yaml, made, recipe

FILES = sorted((ROOT / "recipes" / "values").glob("*/*.crds.yaml"))

#: Charts that nobody publishes the definitions of, or not of this version.
UNKNOWN = {"nsight-operator", "skyhook-operator", "dynamo-crds", "kgateway-crds", "kgateway", "grove"}


def parsed(path: Path) -> dict[str, Any]:
    tree = load_yaml(path.read_text(encoding="utf-8"))
    assert isinstance(tree, dict)
    return tree


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name.removesuffix('.crds.yaml')}")
def test_definitions_are_well_formed(path: Path) -> None:
    tree = parsed(path)
    assert set(tree) <= {"source", "parts", "crds"} and set(tree["source"]) == {"document", "version", "date"}
    names = [entry["name"] for entry in tree["crds"]]
    assert len(names) == len(set(names))
    for entry in tree["crds"]:
        assert set(entry) <= {"name", "kind", "part", "made"} and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", entry["name"])
        assert entry.get("part", "") in {"", *tree.get("parts", {})}


def test_every_pinned_version_has_its_definitions() -> None:
    charts, load = load_charts(None)
    versions = {(chart.id, chart.version) for chart in charts.values() if chart.chart}
    versions |= {
        (entry["id"], str(entry["version"])) for path in RECIPES for entry in recipe(path).get("components", ()) if entry.get("chart")
    }
    assert {id for id, version in versions if load(f"{id}/{version}.crds") is None} == UNKNOWN


def test_probes_say_what_they_look_for() -> None:
    charts = load_charts(None)[0]
    for chart in charts.values():
        for probe in (*chart.served_by, *chart.parts):
            chosen = [bool(probe.labels), bool(probe.name), bool(probe.driver), bool(probe.port)]
            # A kind of a definition stands for itself; of what every cluster has, some are chosen.
            assert sum(chosen) == 1 or (sum(chosen) == 0 and "." in probe.resource), (chart.id, probe)
            assert bool(probe.part) == (probe in chart.parts), (chart.id, probe)
    # Releases of the same chart under another name are found without a probe.
    detected_by_chart = {"nvsentinel", "ephemeral-storage-metrics", "slurm-operator-crds", "slurm", "kserve-crd"}
    detected_by_chart |= {"nfs-provisioner", "dynamo-platform", "agentgateway-crds", "agentgateway"}
    assert {chart.id for chart in charts.values() if chart.chart and not chart.served_by} == (
        UNKNOWN - {"skyhook-operator"}
    ) | detected_by_chart


def test_an_unknown_field_of_a_probe_is_an_error() -> None:
    entry = {"id": "a", "namespace": "a", "served-by": [{"resource": "deployments", "label": {"a": "b"}}]}
    with pytest.raises(Exception, match="label"):
        read_charts({"components": [entry]}, "components.yaml")


def test_parts_that_are_off_are_not_looked_for() -> None:
    chart = Chart(
        "a", "", "a", "", "1", "a", parts=(Probe("deployments", {"a": "b"}, part="x.on"), Probe("daemonsets", port=1, part="y.on"))
    )
    tree = {
        "parts": {"x.on": True, "y.on": False},
        "crds": [{"name": "a.b", "kind": "A", "part": "x.on"}, {"name": "c.d", "kind": "C", "part": "y.on", "made": ["e", "f"]}],
    }
    for values, parts, crds in (
        ({}, ["x.on deployments --selector=a=b"], ["a.b"]),
        ({"x": {"on": False}}, [], []),
        ({"y": {"on": True}}, ["x.on deployments --selector=a=b", "y.on daemonsets port=1"], ["a.b", "c.d=e,f"]),
        ({"x": 1, "y": None}, ["x.on deployments --selector=a=b"], ["a.b"]),
    ):
        variables = cluster_variables(chart, tree, "file", values)
        assert (variables["component.parts"], variables["component.crds"]) == (parts, crds)
    assert cluster_variables(chart, None, "file", {})["component.crds-unknown"] == "yes"


def kinds_of(files: dict[str, tuple[bytes, int]], id: str, version: str) -> set[tuple[str, str]]:
    """(group, kind) of the definitions that a component of a bundle installs."""
    listed = re.search(r"^    crds\) set -- (.*) ;;$", files[f"{id}/component.sh"][0].decode(), re.MULTILINE)
    assert listed
    names = {word.strip("'").partition("=")[0] for word in listed[1].split()}
    path = ROOT / "recipes" / "values" / id / f"{version}.crds.yaml"
    entries = parsed(path)["crds"] if path.exists() else []
    return {(entry["name"].partition(".")[2], entry["kind"]) for entry in entries if entry["name"] in names}


@each_recipe
@pytest.mark.parametrize("sets", [(), ("network-operator:sriovNetworkOperator.enabled=true",)], ids=["plain", "sriov"])
def test_examples_and_manifests_are_of_kinds_that_the_bundle_installs(path: Path, sets: tuple[str, ...]) -> None:
    if sets and not any(entry["id"] == "network-operator" for entry in recipe(path)["components"]):
        sets = ()
    files = files_of_tree(recipe(path), sets=sets) if sets else made(path)
    for entry in recipe(path)["components"]:
        examples = [name for name in files if name.startswith(f"{entry['id']}/manifests/")]
        kinds = kinds_of(files, entry["id"], str(entry.get("version", ""))) if examples else set()
        for name in examples:
            for document in data_of(files, name):
                group = document["apiVersion"].rpartition("/")[0]
                assert document["kind"] in BUILT_IN or (group, document["kind"]) in kinds, f"{name}: {group} {document['kind']}"
        if sets and entry["id"] == "network-operator":
            assert "network-operator/manifests/examples/sriov.yaml" in files


#: Definitions of dependencies that are off by default, or that another component brings.
ELSEWHERE = {
    "gpu-operator": {"noderesourcetopologies.topology.node.k8s.io"},
    "network-operator": {"noderesourcetopologies.topology.node.k8s.io"},
    "kubeflow-trainer": {"leaderworkersets.leaderworkerset.x-k8s.io"},
    "slurm-operator": {
        f"{name}.slinky.slurm.net" for name in ("accountings", "controllers", "loginsets", "nodesets", "restapis", "tokens")
    },
}


def definitions_in(files: Iterable[Path]) -> set[str]:
    """The names of the definitions in the templates of a chart."""
    names = set()
    for file in files:
        for text in re.split(r"^---\s*$", file.read_text(encoding="utf-8"), flags=re.MULTILINE):
            if "tests" not in file.parts and re.search(r"^kind: CustomResourceDefinition", text, re.MULTILINE):
                names.update(re.findall(r'^  name: "?([a-z0-9-]+\.[^\s"]+)', text, re.MULTILINE)[:1])
    return names


def test_definitions_are_those_of_real_charts() -> None:
    """Charts below ``EIDOS_TEST_CHARTS``, unpacked as <component>/<version>/Chart.yaml, with or without their dependencies."""
    folder = os.environ.get("EIDOS_TEST_CHARTS")
    if not folder:
        pytest.skip("EIDOS_TEST_CHARTS names no folder of charts")
    compared = 0
    for path in FILES:
        id, chart = path.parent.name, Path(folder) / path.parent.name / path.name.removesuffix(".crds.yaml")
        if not chart.is_dir():
            continue
        listed = {entry["name"] for entry in parsed(path)["crds"]}
        files = list(chart.rglob("*.yaml"))
        own = definitions_in(file for file in files if "charts" not in file.relative_to(chart).parts)
        others = definitions_in(file for file in files if "charts" in file.relative_to(chart).parts)
        assert own - ELSEWHERE.get(id, set()) <= listed, path
        assert not others or listed - own == others - own - ELSEWHERE.get(id, set()), path
        compared += 1
    assert compared
