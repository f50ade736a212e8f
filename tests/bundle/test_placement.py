"""Where Pods run: the flags for nodes with GPUs and for all others reach every component that runs Pods there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eidos.bundle.image_list import read_chart_images
from eidos.kube.labels import parse_toleration
from eidos.model.bundle import Bundle
from eidos.model.recipe import Recipe
from eidos.model.values_schema import iterate_leaves
from eidos.workflow import make_recipe
from tests import chart_data
from tests.support.bundle_files import build, load_documents, load_yaml, shipped_charts

CHARTS, LOAD = shipped_charts()
SELECTORS = {"accelerated": {"pool": "gpu"}, "system": {"pool": "cpu"}}
TOLERATIONS = {"accelerated": "pool=gpu:NoSchedule", "system": "pool=cpu:NoExecute"}
FLAGS: dict[str, Any] = {
    "accelerated_node_selector": SELECTORS["accelerated"],
    "accelerated_tolerations": (TOLERATIONS["accelerated"],),
    "system_node_selector": SELECTORS["system"],
    "system_tolerations": (TOLERATIONS["system"],),
}

#: Component → what its Pods are placed by: selectors (s) and tolerations (t) of nodes with GPUs, and of all others.
#: Operators place Pods that they make on nodes with GPUs themselves, by labels; what runs on every node has no selector.
PLACED = {
    "aws-dranet": ("st", ""),
    "aws-ebs-csi-driver": ("", "st"),
    "aws-efa": ("st", ""),
    "cert-manager": ("", "st"),
    "cluster-autoscaler": ("", "st"),
    "dcgm-exporter": ("st", ""),
    "ephemeral-storage-metrics": ("", "st"),
    "gpu-operator": ("t", "st"),
    "jobset": ("", "st"),
    "kai-scheduler": ("", "st"),
    "karpenter": ("", "st"),
    "kserve": ("", "st"),
    "kube-prometheus-stack": ("", "st"),
    "kubeflow-trainer": ("", "st"),
    "kueue": ("", "st"),
    "local-path-provisioner": ("", "st"),
    "lws": ("", "st"),
    "network-operator": ("t", "st"),
    "nfd": ("", "st"),
    "nim-operator": ("", "st"),
    "node-agent": ("st", ""),
    "nvidia-dra-driver-gpu": ("st", "st"),
    "prometheus-adapter": ("", "st"),
    "skyhook-operator": ("st", ""),
    "slurm-operator": ("", "st"),
    "topograph": ("st", "st"),
}

#: Components without values of their own for it, each with the reason; a bundle warns that the flags have no effect.
NOT_PLACED = {
    "node-problem-detector": "it runs on every node",
    "aws-net-dra": "it runs on every node that has such a card",
    "dranet": "its manifests are fetched as they are",
    "mpi-operator": "its manifests are fetched as they are",
    **{f"gke-nccl-{name}": "its manifests are fetched as they are" for name in ("gib", "gib-arm64", "tcpx", "tcpxo")},
    "gcp-driver-installer": "its manifests are fetched as they are",
    **dict.fromkeys(("agentgateway", "dynamo-platform", "grove", "nvsentinel", "nsight-operator"), "the keys of its chart are not known"),
    **dict.fromkeys(("nfs-provisioner", "kgateway"), "the keys of its chart are not known"),
    "slurm": "its Pods are the nodes and controllers of a cluster of the user's own",
}


def recipe_of(id: str) -> Recipe:
    """A recipe with one component, on a service that has it."""
    service = {"aws": "eks", "gke": "gke", "gcp": "gke", "karp": "eks"}.get(id[: 4 if id.startswith("karp") else 3], "self-managed")
    recipe = make_recipe({"gpu": "h100", "service": service, "os": "ubuntu", "osv": "24.04", "intent": "training"}, components=(id,))
    tree = recipe.to_tree()
    for measurement in tree["measurements"]:
        for subtype in measurement["subtypes"]:
            if subtype["subtype"] == "config":
                subtype["data"]["rdma"] = True
    return Recipe.from_tree(tree, "recipe.yaml")


def placed(id: str, **flags: Any) -> Bundle:
    components = (id, "node-tuning") if id == "skyhook-operator" else (id,)
    return build(recipe_of(id), components=components, node_agent=id == "node-agent", **flags)


def placements(trees: list[Any]) -> Iterator[tuple[str, str]]:
    """The kind of nodes and s or t, for each place that has what the flags say."""
    tolerated = {kind: dict(parse_toleration(text)) for kind, text in TOLERATIONS.items()}
    remaining = list(trees)
    while remaining:
        tree = remaining.pop()
        for kind, selector in SELECTORS.items():
            if isinstance(tree, dict) and selector.items() <= tree.items():
                yield kind, "s"
            if isinstance(tree, dict) and tolerated[kind].items() <= tree.items():
                yield kind, "t"
        remaining += tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()


def applied(bundle: Bundle, id: str) -> list[Any]:
    files = [path for path in bundle.files if path.startswith(f"{id}/") and path.endswith(".yaml") and "/examples/" not in path]
    return [tree for path in files for tree in load_documents(bundle.files[path])]


def test_every_component_that_runs_pods_is_in_the_table() -> None:
    running = set()
    for chart in CHARTS.values():
        known = read_chart_images(chart.id, chart.version if chart.chart else "", chart.images, LOAD)
        if (known is None and chart.chart and not chart.id.endswith("-crds")) or (known and known.images):
            running.add(chart.id)
    tables = set(PLACED) | set(NOT_PLACED)
    assert running - {"storage"} <= tables and tables <= set(CHARTS) and not set(PLACED) & set(NOT_PLACED)


@pytest.mark.parametrize("id", PLACED)
def test_flags_reach_the_values_or_manifests(id: str) -> None:
    accelerated, system = PLACED[id]
    expected = {("accelerated", letter) for letter in accelerated} | {("system", letter) for letter in system}
    bundle = placed(id, **FLAGS)
    assert not bundle.errors
    assert set(placements(applied(bundle, id))) == expected
    unused = {text.split("--")[1].split()[0] for text in bundle.warnings if text.startswith(f"{id}: --")}
    names = {("accelerated", "s"): "accelerated-node-selector", ("accelerated", "t"): "accelerated-toleration"}
    names |= {("system", "s"): "system-node-selector", ("system", "t"): "system-toleration"}
    assert unused == {name for pair, name in names.items() if pair not in expected}
    assert not set(placements(applied(placed(id), id)))


@pytest.mark.parametrize("id", sorted(set(NOT_PLACED) - {"nsight-operator", "kgateway", "nfs-provisioner"}))
def test_where_a_flag_has_no_effect_there_is_a_warning(id: str) -> None:
    bundle = placed(id, **FLAGS)
    assert sum(text.startswith(f"{id}: --") and "has no effect" in text for text in bundle.warnings) == 4


def test_a_list_of_tolerations_is_added_to_what_a_component_needs() -> None:
    values = load_yaml(placed("gpu-operator", **FLAGS).files["gpu-operator/values.yaml"])
    keys = [each["key"] for each in values["daemonsets"]["tolerations"]]
    assert keys == ["nvidia.com/gpu", "pool"]
    leaves = {".".join(map(str, path)) for path, value in iterate_leaves(values) if value == "cpu"}
    assert {"operator.nodeSelector.pool", "node-feature-discovery.master.nodeSelector.pool"} <= leaves


#: Fields of a workload with the Pod's spec.
WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")

#: Workloads that run on every node, whatever its taints, or that the values of the chart cannot place.
ELSEWHERE = {
    ("kube-prometheus-stack", "DaemonSet"),
    ("nfd", "DaemonSet"),
    ("gpu-operator", "DaemonSet"),
    ("network-operator", "DaemonSet"),
    ("aws-ebs-csi-driver", "DaemonSet"),
    ("topograph", "DaemonSet"),
}


@pytest.mark.slow
@pytest.mark.parametrize("id", PLACED)
def test_every_workload_of_a_chart_is_placed(id: str, tools: dict[str, str]) -> None:
    """Charts below ``EIDOS_TEST_CHARTS``, unpacked as <component>/<version>/Chart.yaml."""
    folder = Path(os.environ.get("EIDOS_TEST_CHARTS") or "/nonexistent") / id / CHARTS[id].version
    if not CHARTS[id].chart or not folder.is_dir():
        pytest.skip("EIDOS_TEST_CHARTS does not have this chart")
    bundle = placed(id, **FLAGS)
    values = chart_data.merged(chart_data.REQUIRED.get(id, {}), load_yaml(bundle.files[f"{id}/values.yaml"]))
    documents = chart_data.render(tools["helm"], folder, values, id)
    assert documents is not None
    workloads = [each for each in documents if each.get("kind") in WORKLOADS and (id, each["kind"]) not in ELSEWHERE]
    unplaced = [f"{each['kind']} {each['metadata']['name']}" for each in workloads if not set(placements([each["spec"]["template"]]))]
    assert not unplaced, unplaced
