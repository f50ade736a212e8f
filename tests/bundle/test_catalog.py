"""Every entry of components.yaml: it has what a site needs to know of it, and a bundle with it builds, whether a recipe names it or not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from eidos.bundle.bundle_options import BundleOptions
from eidos.bundle.image_list import read_chart_images
from eidos.errors import InvalidData
from eidos.files import resources
from eidos.model.chart import Chart
from eidos.model.constraint import parse_expression
from eidos.model.query import Query
from eidos.recipe.charts import load_charts, read_charts
from eidos.recipe.layer import read_layer
from eidos.recipe.lazy_parts import Overlays, loaded
from eidos.recipe.lint import ERROR, lint_trees
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, shipped_store
from eidos.workflow import make_bundle
from tests.fakes.cluster import Cluster, changes, option, verb
from tests.support.bundle_files import written
from tests.support.shipped import shipped_trees

CHARTS = load_charts(None)[0]
DEPLOYED = [id for id, chart in CHARTS.items() if not chart.service]


def with_component(*ids: str, **key: str) -> Store:
    """The shipped data, and a layer for every query that chooses these components."""
    store = shipped_store()
    # The readings without which the network operator is no part of a bundle.
    rdma = [{"type": "K8s", "subtypes": [{"subtype": "config", "data": {"rdma": True}}]}] if "network-operator" in ids else []
    tree = {"key": {"intent": "any"}, "components": {id: {"why": "A test."} for id in ids}, "measurements": rdma}
    layer = read_layer(tree, "overlays/test.yaml")
    return Store(store.base, Overlays((*store.overlays.heads, loaded(layer))), store.catalog, store.charts, store.digest, store.cuda)


def files_with(*ids: str, **options: Any) -> dict[str, bytes]:
    recipe = resolve(Query(service="eks", gpu="h100", k8s="1.35", os="ubuntu", osv="24.04"), with_component(*ids))
    return make_bundle(recipe, BundleOptions(fail_fast=True, **options)).files


def test_what_sites_run_is_in_the_catalog() -> None:
    expected = """
        gke-nccl-tcpxo gke-nccl-tcpx gke-nccl-gib gke-nccl-gib-arm64 gcp-driver-installer aws-net-dra aws-dranet dranet nfd skyhook-operator
        node-problem-detector nvsentinel prometheus-operator-crds ephemeral-storage-metrics kueue lws grove jobset kubeflow-trainer
        mpi-operator slurm-operator-crds slurm-operator slurm dynamo-platform nim-operator kserve-crd kserve gateway-api
        gateway-api-inference-extension dcgm-exporter topograph cluster-autoscaler karpenter
    """
    assert set(expected.split()) <= set(CHARTS)


def test_every_entry_says_what_it_is_and_where_that_is_from() -> None:
    entries = shipped_trees()["components.yaml"]["components"]
    sources = {entry["id"]: entry["source"] for entry in entries}
    for id in DEPLOYED:
        chart = CHARTS[id]
        assert chart.namespace and chart.title
        assert not chart.kubernetes or parse_expression(chart.kubernetes).terms
        assert set(sources[id]) == {"document", "version", "date"} and all(sources[id].values())
        # A revision is a commit, which nobody can move.
        assert all(len(manifest.url.split("/")[5]) == 40 for manifest in chart.manifests)


@pytest.mark.exhaustive(sample=8)
@pytest.mark.parametrize("id", DEPLOYED)
def test_a_bundle_with_it_builds_with_values_that_are_the_charts_own_and_its_images(id: str) -> None:
    files = files_with(id)
    assert f"{id}/component.sh" in files
    section = files["images.txt"].decode().partition(f"\n# {id}")[2].partition("\n\n")[0]
    chart = CHARTS[id]
    known = read_chart_images(id, chart.version if chart.chart else "", chart.images, load_charts(None)[1])
    assert ("# not known: the images" in section) == (bool(chart.chart) and known is None)
    assert known is None or known.images or "# none" in section


@pytest.mark.parametrize(
    ("ids", "path", "value"),
    [
        (("nfd",), ("gpu-operator", "nfd", "enabled"), False),
        (("nfd", "network-operator"), ("network-operator", "nfd", "enabled"), False),
        (("dcgm-exporter",), ("gpu-operator", "dcgmExporter", "enabled"), False),
        (("prometheus-operator-crds",), ("kube-prometheus-stack", "crds", "enabled"), False),
        (("jobset", "kubeflow-trainer"), ("kubeflow-trainer", "jobset", "install"), False),
        (("grove", "dynamo-platform"), ("dynamo-platform", "global", "grove", "enabled"), True),
    ],
)
def test_what_a_component_does_is_off_in_the_charts_that_do_it_too(ids: tuple[str, ...], path: tuple[str, ...], value: bool) -> None:
    def value_in_recipe(store: Store) -> Any:
        recipe = resolve(Query(), store)
        tree: Any = next((component.values for component in recipe.components if component.id == path[0]), None)
        for key in path[1:]:
            tree = tree.get(key) if isinstance(tree, dict) else None
        return tree

    assert value_in_recipe(with_component(*ids)) is value
    assert value_in_recipe(with_component(*ids[1:])) is None


def test_a_layer_wins_over_what_a_component_sets() -> None:
    store = with_component("nfd")
    layer = read_layer({"key": {"gpu": "any"}, "components": {"gpu-operator": {"values": {"nfd": {"enabled": True}}}}}, "overlays/z.yaml")
    store = Store(store.base, Overlays((*store.overlays.heads, loaded(layer))), store.catalog, store.charts)
    (operator,) = [component for component in resolve(Query(), store).components if component.id == "gpu-operator"]
    assert operator.values["nfd"] == {"enabled": True}


@pytest.mark.parametrize(("id", "k8s", "is_covered"), [("aws-dranet", "1.34", False), ("aws-dranet", "1.35", True)])
def test_a_release_of_kubernetes_that_a_component_does_not_support_is_reported(id: str, k8s: str, is_covered: bool) -> None:
    warnings = " ".join(resolve(Query(k8s=k8s), with_component(id)).warnings)
    assert (f"{id} supports {CHARTS[id].kubernetes}" in warnings) != is_covered
    layer = {"key": {"k8s": k8s}, "components": {id: {"why": "Why."}}}
    trees = {path: tree for path, tree in shipped_trees().items() if not path.startswith("overlays/")}
    issues = [issue for issue in lint_trees({**trees, "overlays/x.yaml": layer}) if issue.rule == "unsupported" and id in issue.message]
    assert bool(issues) != is_covered


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"url": "http://example.com/a.yaml", "sha256": "0" * 64}, "invalid URL"),
        ({"url": "https://example.com/a.yaml#x", "sha256": "0" * 64}, "invalid URL"),
        ({"url": "https://example.com/a.yaml", "sha256": "0" * 63}, "invalid SHA-256"),
        ({"url": "https://example.com/a.yaml", "sha256": "Z" * 64}, "invalid SHA-256"),
        ({"url": "https://example.com/a.yaml"}, "sha256"),
        ({"url": "https://example.com/a.yaml", "sha256": "0" * 64, "name": "a"}, "name"),
    ],
)
def test_a_manifest_whose_content_could_change_is_refused(manifest: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        read_charts({"components": [{"id": "a", "namespace": "a", "manifests": [manifest]}]}, "components.yaml")


def test_lint_names_an_unknown_component_in_sets() -> None:
    trees = shipped_trees()
    entry = {"id": "mine", "namespace": "a", "sets": {"gpu-operatr": {"nfd": {"enabled": False}}}, "kubernetes": ">= 1.30"}
    tree = {"components": [*trees["components.yaml"]["components"], entry]}
    trees = {path: tree for path, tree in trees.items() if not path.startswith("overlays/")}
    (issue,) = [issue for issue in lint_trees({**trees, "components.yaml": tree}) if issue.severity == ERROR and issue.rule != "no-network"]
    assert (issue.rule, issue.location, issue.hint) == ("unknown-component", "components.yaml: mine.sets", "did you mean 'gpu-operator'?")


# What is fetched.

TEXT = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"


def fetched_bundle(tmp_path: Path, sha256: str) -> Path:
    from eidos.model.chart import RemoteManifest

    chart = Chart("mine", "Mine", "", "", "", "mine", manifests=(RemoteManifest("https://manifests.example.com/v1/mine.yaml", sha256),))
    store = with_component()
    layer = read_layer({"key": {"intent": "any"}, "components": {"mine": {"why": "A test."}}}, "overlays/test.yaml")
    store = Store(store.base, Overlays([loaded(layer)]), store.catalog, {**store.charts, "mine": chart})
    from eidos.bundle.engine import prepare_bundle

    options = BundleOptions(components=("mine",), fail_fast=True)
    build = prepare_bundle(resolve(Query(), store), options, dict(store.charts), resources.load_chart_values)
    bundle = build.assemble([build.make_component(component) for component in build.components], 0.0)
    return written({name: (content, 0o755 if name.endswith(".sh") else 0o644) for name, content in bundle.files.items()}, tmp_path / "b")


def with_curl(cluster: Cluster, content: str, status: int = 0) -> None:
    path = cluster.bin / "curl"
    (cluster.folder / "content").write_text(content)
    path.write_text(
        f'#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" != --output ] || cp \'{cluster.folder}/content\' "$2"; shift; done\n'
        f"echo \"$1\" >>'{cluster.folder}/fetched'\nexit {status}\n"
    )
    path.chmod(0o755)


def digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def run(script: Path, cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(script), *arguments], capture_output=True, text=True, env=cluster.environment(), timeout=60, check=False)


def test_what_is_fetched_is_compared_marked_and_applied(tmp_path: Path) -> None:
    folder, cluster = fetched_bundle(tmp_path, digest(TEXT)), Cluster(tmp_path / "cluster")
    with_curl(cluster, TEXT)
    done = run(folder / "install.sh", cluster)
    assert done.returncode == 0, done.stderr
    calls = cluster.calls()
    (label,) = [call for call in calls if verb(call) == "label"]
    assert "app.kubernetes.io/managed-by=eidos" in label and "--local" in label
    assert [verb(call) for call in changes(calls)] == ["create", "apply"]
    assert (cluster.folder / "fetched").read_text() == "https://manifests.example.com/v1/mine.yaml\n"


def test_what_was_modified_is_refused_before_anything_is_applied(tmp_path: Path) -> None:
    folder, cluster = fetched_bundle(tmp_path, digest(TEXT)), Cluster(tmp_path / "cluster")
    with_curl(cluster, TEXT + "# more\n")
    done = run(folder / "install.sh", cluster)
    assert done.returncode == 1 and "https://manifests.example.com/v1/mine.yaml was modified" in done.stderr
    assert [call for call in cluster.calls() if verb(call) == "apply"] == []


def test_what_cannot_be_fetched_may_lie_in_the_bundle(tmp_path: Path) -> None:
    folder, cluster = fetched_bundle(tmp_path, digest(TEXT)), Cluster(tmp_path / "cluster")
    with_curl(cluster, TEXT, status=6)
    done = run(folder / "install.sh", cluster)
    path = folder / "mine" / "manifests" / "mine.yaml"
    assert done.returncode == 1 and f"save it as {path}" in done.stderr
    path.parent.mkdir()
    path.write_text(TEXT)
    cluster.calls()
    assert run(folder / "install.sh", cluster).returncode == 0
    assert "apply" in [verb(call) for call in cluster.calls()]


def test_definitions_of_what_was_fetched_stay(tmp_path: Path) -> None:
    folder, cluster = fetched_bundle(tmp_path, digest(TEXT)), Cluster(tmp_path / "cluster")
    path = folder / "mine" / "manifests" / "mine.yaml"
    path.parent.mkdir()
    for text, is_deleted in ((TEXT, True), (TEXT.partition("---\n")[2], False)):
        path.write_text(text)
        sh = folder / "mine" / "component.sh"
        sh.write_text(sh.read_text().replace(digest(TEXT), digest(text)))
        # Every object that is asked for has our mark.
        script = (folder / "functions.sh").read_text()
        (folder / "functions.sh").write_text(
            script.replace(
                'awk -F \'\\t\' \'$1 != "" && $2 != "eidos" { print $1 }\' "$work/live-objects"', 'echo x >"$work/live-objects"; :'
            )
        )
        done = run(folder / "uninstall.sh", cluster, "--yes")
        assert done.returncode == 0 and "custom resource definitions of its manifests are kept" in done.stderr
        deleted = [option(call, "--filename") for call in cluster.calls() if verb(call) == "delete"]
        assert bool(deleted) == is_deleted


def test_the_readme_names_the_manifests_and_a_mirror_is_no_secret(tmp_path: Path) -> None:
    files = files_with("gke-nccl-tcpxo")
    readme = files["gke-nccl-tcpxo/README.md"].decode()
    assert all(manifest.url in readme for manifest in CHARTS["gke-nccl-tcpxo"].manifests)
    assert not any(name.startswith("gke-nccl-tcpxo/values") for name in files)
    recipe = resolve(Query(), with_component("gke-nccl-tcpxo"))
    bundle = make_bundle(recipe, BundleOptions(registry="mirror.example.com"))
    assert any("gke-nccl-tcpxo: its manifests are fetched" in sentence for sentence in bundle.unmirrored)
