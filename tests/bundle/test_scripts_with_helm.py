"""The scripts of bundles with a real helm, version 3 and 4, before an API server that keeps what they apply: others are not harmed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bundle_files import recipe
from tests.support.helm_cluster import GOLDEN, HelmCluster, definition, deployment
from tests.support.tools import find_helm3

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive(group="scripts with helm", sample=8)]

GPU = ("gpu-operator", "gpu-operator")
POLICY = "/apis/nvidia.com/v1/clusterpolicies/cluster-policy"


@pytest.fixture(params=["helm3", "helm4"])
def cluster(request: pytest.FixtureRequest, tools: dict[str, str], tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[HelmCluster]:
    helm = find_helm3(pytestconfig) if request.param == "helm3" else tools["helm"]
    with HelmCluster(tmp_path / "cluster", helm, tools["kubectl"]) as cluster:
        yield cluster


@pytest.fixture
def bundle(cluster: HelmCluster) -> Path:
    """The GPU operator alone."""
    return cluster.bundle("self-managed-gh200-training", "gpu-operator")


def theirs(
    cluster: HelmCluster, version: str = "v26.7.0", name: str = "gpu-operator", namespace: str = "gpu-operator", **values: Any
) -> None:
    """Somebody else's release of the chart."""
    file = cluster.folder / "theirs.yaml"
    file.write_text(yaml.safe_dump(values))
    source = ("--repo", cluster.charts_url, "--version", version, "--namespace", namespace, "--create-namespace", "--values", str(file))
    cluster.helm("upgrade", "--install", name, "gpu-operator", *source)


def edit(cluster: HelmCluster) -> None:
    """What a person changes by hand."""
    kubectl = cluster.folder / "bin" / "kubectl"
    cluster.run(kubectl, "patch", "clusterpolicy", "cluster-policy", "--type=merge", "-p", '{"spec":{"mig":{"strategy":"mixed"}}}')


def test_a_diff_shows_what_would_differ_and_no_secret(cluster: HelmCluster, bundle: Path) -> None:
    empty = cluster.snapshot()
    fresh = cluster.run(bundle / "install.sh", "--diff").stdout
    assert "\n+kind: " in fresh and "would be installed: gpu-operator\n" in fresh and cluster.snapshot() == empty
    cluster.run(bundle / "install.sh")
    before = cluster.snapshot()
    assert "\n+" not in cluster.run(bundle / "install.sh", "--diff").stdout
    values = bundle / "gpu-operator" / "values.yaml"
    values.write_text(values.read_text() + "added: Zq7kD02mWx91LpTe\n")
    changed = cluster.run(bundle / "install.sh", "--diff").stdout
    assert "--- live/gpu-operator\n+++ bundle/gpu-operator\n" in changed
    assert cluster.snapshot() == before and changed.endswith("nothing was changed\n")


def test_a_bundle_that_carries_its_charts_needs_no_repository(cluster: HelmCluster) -> None:
    charts = cluster.folder / "charts"
    cluster.bundle("self-managed-gh200-training", "gpu-operator")
    bundle = cluster.bundle("self-managed-gh200-training", "gpu-operator", charts=str(charts))
    assert [path.name for path in (bundle / "charts").iterdir()] == ["gpu-operator-v26.7.0.tgz"]
    for path in charts.iterdir():
        path.unlink()
    assert "would be installed: gpu-operator\n" in cluster.run(bundle / "install.sh", "--diff").stdout
    assert "installed: gpu-operator\n" in cluster.run(bundle / "install.sh").stdout
    assert "unchanged: gpu-operator\n" in cluster.run(bundle / "install.sh").stdout
    assert cluster.revisions(*GPU) == [(1, "deployed")]


# ---- what somebody else installed ----


def test_a_release_of_others_is_compared_and_left(cluster: HelmCluster, bundle: Path) -> None:
    theirs(cluster, driver={"enabled": False}, adminPassword="abc123", extra={"options": "Zq7kD02mWx91LpTe", "size": "500Gi"})
    before = cluster.snapshot()
    for arguments in ([], ["--dry-run=server"]):
        done = cluster.run(bundle / "install.sh", *arguments, status=1)
        assert re.search(r"  driver\.enabled: false -> (true|the default of the chart)\n", done.stdout + done.stderr)
        assert "adminPassword: (withheld) -> the default of the chart" in done.stdout + done.stderr
        assert "extra.options: (withheld) -> the default of the chart" in done.stdout + done.stderr
        assert 'extra.size: "500Gi" -> the default of the chart' in done.stdout + done.stderr
        assert not any(secret in done.stdout + done.stderr for secret in ("abc123", "Zq7kD02mWx91LpTe"))
        assert "was not installed by eidos\n" in done.stderr and "use --adopt to change it to this bundle, or --use-existing" in done.stderr
    assert done.stdout.endswith("nothing was changed\n") and cluster.snapshot() == before
    done = cluster.run(bundle / "install.sh", "--use-existing")
    assert "left alone: gpu-operator\n" in done.stdout and cluster.snapshot() == before
    done = cluster.run(bundle / "uninstall.sh", "--delete-crds")
    assert "left alone: gpu-operator\n" in done.stdout and cluster.snapshot() == before


def test_adopting_takes_it_over(cluster: HelmCluster, bundle: Path) -> None:
    theirs(cluster, driver={"enabled": False})
    edit(cluster)
    done = cluster.run(bundle / "install.sh", "--adopt")
    assert "    -    strategy: mixed\n    +    strategy: single\n" in done.stdout, "what is overwritten is named"
    assert "taken over: gpu-operator\n" in done.stdout
    assert cluster.revisions(*GPU) == [(1, "superseded"), (2, "deployed")]
    assert cluster.server.get(POLICY)["spec"]["mig"]["strategy"] == "single"
    assert "unchanged: gpu-operator\n" in cluster.run(bundle / "install.sh").stdout
    done = cluster.run(bundle / "uninstall.sh")
    assert "removed: gpu-operator\n" in done.stdout


def test_never_back_to_an_older_version(cluster: HelmCluster, bundle: Path) -> None:
    cluster.publish(("gpu-operator", "v26.9.0"))
    theirs(cluster, "v26.9.0")
    before = cluster.snapshot()
    done = cluster.run(bundle / "install.sh", "--adopt", "--force-conflicts", status=1)
    assert "release gpu-operator has version v26.9.0, and this bundle the older v26.7.0" in done.stderr
    assert cluster.snapshot() == before
    assert "left alone: gpu-operator" in cluster.run(bundle / "install.sh", "--use-existing").stdout


def test_the_work_that_others_do_already(cluster: HelmCluster, bundle: Path) -> None:
    theirs(cluster, name="mine", namespace="elsewhere")
    before = cluster.snapshot()
    done = cluster.run(bundle / "install.sh")
    assert "served by Deployment elsewhere/gpu-operator of release mine/elsewhere" in done.stdout
    assert "left alone: gpu-operator\n" in done.stdout and cluster.snapshot() == before
    cluster.controllers.broken.add("gpu-operator")
    tree = cluster.server.get("/apis/apps/v1/namespaces/elsewhere/deployments/gpu-operator")
    cluster.server.put("/apis/apps/v1/namespaces/elsewhere/deployments/gpu-operator", {**tree, "status": {}})
    cluster.helm("uninstall", "mine", "--namespace", "elsewhere")
    cluster.server.put("/apis/apps/v1/namespaces/elsewhere/deployments/gpu-operator", {**tree, "status": {}})
    done = cluster.run(bundle / "install.sh", status=1)
    assert "Deployment elsewhere/gpu-operator of release mine/elsewhere exists but is not ready" in done.stderr


def test_a_part_that_others_do_already(cluster: HelmCluster, bundle: Path) -> None:
    cluster.server.put("/apis/apps/v1/namespaces/nfd/deployments/nfd-master", deployment("nfd-master", {"app": "nfd"}))
    before = cluster.snapshot()
    done = cluster.run(bundle / "install.sh", status=1)
    assert "error: Deployment nfd/nfd-master does what nfd.enabled of gpu-operator does\n" in done.stderr
    assert "hint: build the bundle with --set gpu-operator:nfd.enabled=false\n" in done.stderr and cluster.snapshot() == before
    without = cluster.bundle("self-managed-gh200-training", "gpu-operator", sets=["gpu-operator:nfd.enabled=false"])
    assert "installed: gpu-operator\n" in cluster.run(without / "install.sh").stdout


def test_a_port_of_the_node_that_is_taken(cluster: HelmCluster) -> None:
    pod = {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 9100, "hostPort": 9100}]}]}}
    cluster.server.put("/apis/apps/v1/namespaces/old/daemonsets/exporter", {"spec": {"template": pod}})
    bundle = cluster.bundle("self-managed-gh200-training", "kube-prometheus-stack")
    done = cluster.run(bundle / "install.sh", status=1)
    assert "DaemonSet old/exporter on port 9100 does what nodeExporter.enabled of kube-prometheus-stack does" in done.stderr


def test_an_existing_prometheus_under_another_name(cluster: HelmCluster) -> None:
    bundle = cluster.bundle("gke-l40s-inference", "kube-prometheus-stack", "prometheus-adapter")
    cluster.server.kind("monitoring.coreos.com/v1", "prometheuses", "Prometheus")
    cluster.server.put("/apis/monitoring.coreos.com/v1/namespaces/old/prometheuses/k8s", {"status": {"availableReplicas": 2}})
    before = cluster.snapshot()
    done = cluster.run(bundle / "install.sh")
    assert "left alone: kube-prometheus-stack prometheus-adapter\n" in done.stdout and "served by Prometheus old/k8s" in done.stdout
    assert "its values name kube-prometheus-stack-prometheus of kube-prometheus-stack, which is left alone" in done.stdout
    assert cluster.snapshot() == before
    url = "prometheus-adapter:prometheus.url=http://k8s.old"
    other = cluster.bundle("gke-l40s-inference", "kube-prometheus-stack", "prometheus-adapter", sets=[url])
    assert "\ninstalled: prometheus-adapter\n" in cluster.run(other / "install.sh").stdout


def test_definitions_without_a_controller_serve_no_work(cluster: HelmCluster) -> None:
    bundle = cluster.bundle("self-managed-gh200-training", "cert-manager")
    cluster.run(bundle / "install.sh")
    done = cluster.run(bundle / "uninstall.sh")
    assert "custom resource definitions kept: certificates.cert-manager.io\n" in done.stdout, "and no others, which never existed"
    assert "would be installed: cert-manager\n" in cluster.run(bundle / "install.sh", "--dry-run=server").stdout
    done = cluster.run(bundle / "install.sh", "--namespace", "other", status=1)
    assert "was left by release cert-manager/cert-manager, which does not exist" in done.stderr and "--adopt" in done.stderr
    assert "installed: cert-manager\n" in cluster.run(bundle / "install.sh", "--namespace", "other", "--adopt").stdout
    done = cluster.run(bundle / "install.sh")
    assert "left alone: cert-manager\n" in done.stdout and "of release cert-manager/other" in done.stdout


@pytest.mark.parametrize("driver", ["deployment", "registered"])
def test_the_driver_and_the_class_of_the_service(cluster: HelmCluster, driver: str) -> None:
    bundle = cluster.bundle("eks-h100-training", "aws-ebs-csi-driver")
    if driver == "deployment":
        addon = deployment("ebs-csi-controller", {"app.kubernetes.io/name": "aws-ebs-csi-driver", "app.kubernetes.io/managed-by": "EKS"})
        cluster.server.put("/apis/apps/v1/namespaces/kube-system/deployments/ebs-csi-controller", addon)
    else:
        cluster.server.put("/apis/storage.k8s.io/v1/csinodes/a", {"spec": {"drivers": [{"name": "ebs.csi.aws.com"}]}})
    done = cluster.run(bundle / "install.sh")
    assert "left alone: aws-ebs-csi-driver" in done.stdout and "helm" not in done.stderr
    made = cluster.server.get("/apis/storage.k8s.io/v1/storageclasses/gp3")
    assert made["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true", "there was none"
    before = cluster.snapshot()
    cluster.run(bundle / "install.sh")
    assert cluster.snapshot() == before
    cluster.run(bundle / "uninstall.sh")
    assert not cluster.server.objects("/apis/storage.k8s.io/v1/storageclasses")
    default = {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "x"}
    cluster.server.put("/apis/storage.k8s.io/v1/storageclasses/fast", default)
    cluster.server.put("/apis/storage.k8s.io/v1/storageclasses/gp3", {"provisioner": "ebs.csi.aws.com"})
    before = cluster.snapshot()
    done = cluster.run(bundle / "install.sh")
    assert "StorageClass/gp3" in done.stdout and "the default storage class stays fast" in done.stdout and cluster.snapshot() == before
    cluster.run(bundle / "uninstall.sh", "--delete-crds")
    assert cluster.snapshot() == before


# ---- what was changed by hand ----


def test_changes_by_hand_are_named_and_stay(cluster: HelmCluster, bundle: Path) -> None:
    cluster.run(bundle / "install.sh")
    edit(cluster)
    before = cluster.snapshot()
    done = cluster.run(bundle / "install.sh", status=1)
    assert "    -    strategy: mixed\n    +    strategy: single\n" in done.stdout and "--force-conflicts" in done.stderr
    assert cluster.snapshot() == before
    done = cluster.run(bundle / "install.sh", "--force-conflicts")
    assert "strategy: mixed" in done.stdout and "repaired: gpu-operator\n" in done.stdout
    assert cluster.server.get(POLICY)["spec"]["mig"]["strategy"] == "single"
    assert cluster.server.get(POLICY)["metadata"]["annotations"]["meta.helm.sh/release-name"] == "gpu-operator", "still helm's"
    assert "unchanged: gpu-operator\n" in cluster.run(bundle / "install.sh").stdout
    cluster.server.remove(POLICY)
    done = cluster.run(bundle / "install.sh", status=1)
    assert "cluster-policy is missing" in done.stdout
    cluster.run(bundle / "install.sh", "--force-conflicts")
    assert cluster.server.get(POLICY)


def test_changes_are_reported_whatever_diff_and_preferences_a_person_has(
    cluster: HelmCluster, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.run(bundle / "install.sh")
    edit(cluster)
    environment = {**cluster.environment(), "KUBECTL_EXTERNAL_DIFF": "true"}
    monkeypatch.setattr(cluster, "environment", lambda: environment)
    preferences = {"apiVersion": "kubectl.config.k8s.io/v1beta1", "kind": "Preference"}
    defaults = [{"command": "diff", "options": [{"name": "server-side", "default": "false"}, {"name": "output", "default": "x"}]}]
    (cluster.folder / ".kube").mkdir(exist_ok=True)
    (cluster.folder / ".kube" / "kuberc").write_text(yaml.safe_dump({**preferences, "defaults": defaults}))
    # As that of BusyBox, which has no line with the command before each file.
    diff = cluster.folder / "bin" / "diff"
    diff.write_text(
        '#!/bin/sh\n/usr/bin/diff "$@" >"$TMPDIR/difference"\nstatus=$?\ngrep -v "^diff " "$TMPDIR/difference"\nexit "$status"\n'
    )
    diff.chmod(0o755)
    done = cluster.run(bundle / "install.sh", status=1)
    assert "  nvidia.com.v1.ClusterPolicy..cluster-policy:\n" in done.stdout and "-    strategy: mixed\n" in done.stdout
    assert "changes that were made by hand would be lost" in done.stderr


def test_an_upgrade_after_changes_by_hand(cluster: HelmCluster, bundle: Path) -> None:
    cluster.run(bundle / "install.sh")
    edit(cluster)
    newer = cluster.bundle("self-managed-gh200-training", "gpu-operator", sets=["gpu-operator:driver.version=590.1.1"])
    assert "strategy: mixed" in cluster.run(newer / "install.sh", status=1).stdout
    done = cluster.run(newer / "install.sh", "--force-conflicts")
    assert 'driver.version: the default of the chart -> "590.1.1"' in done.stdout and "upgraded: gpu-operator\n" in done.stdout
    assert [status for _, status in cluster.revisions(*GPU)] == ["superseded", "deployed"]


def test_objects_of_manifests_that_were_changed_by_hand(cluster: HelmCluster) -> None:
    bundle = cluster.bundle("aks-a100-inference", "storage")
    cluster.run(bundle / "install.sh")
    kubectl = cluster.folder / "bin" / "kubectl"
    cluster.run(kubectl, "patch", "storageclass", "premium-disk", "--type=merge", "-p", '{"parameters":{"skuName":"Standard_LRS"}}')
    done = cluster.run(bundle / "install.sh", status=1)
    assert "skuName: Standard_LRS" in done.stdout and 'conflict with "kubectl-patch"' in done.stderr
    done = cluster.run(bundle / "install.sh", "--force-conflicts")
    assert "skuName: Standard_LRS" in done.stdout
    assert cluster.server.get("/apis/storage.k8s.io/v1/storageclasses/premium-disk")["parameters"]["skuName"] == "Premium_LRS"


# ---- nothing to do, and interrupted runs ----


def test_again_changes_nothing(cluster: HelmCluster, bundle: Path) -> None:
    assert "installed: gpu-operator\n" in cluster.run(bundle / "install.sh").stdout
    before = cluster.snapshot()
    assert "unchanged: gpu-operator\n" in cluster.run(bundle / "install.sh").stdout
    assert cluster.snapshot() == before and cluster.revisions(*GPU) == [(1, "deployed")]


def mark_status(cluster: HelmCluster, revision: int, status: str) -> None:
    """The record of a revision as an interrupted helm leaves it."""
    import base64
    import gzip
    import json

    path = f"/api/v1/namespaces/gpu-operator/secrets/sh.helm.release.v1.gpu-operator.v{revision}"
    tree = cluster.server.get(path)
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(tree["data"]["release"]))))
    release["info"]["status"] = status
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    labels = {**tree["metadata"]["labels"], "status": status}
    cluster.server.put(path, {**tree, "metadata": {**tree["metadata"], "labels": labels}, "data": {"release": packed}})


def test_an_interrupted_uninstallation_is_finished_first(cluster: HelmCluster, bundle: Path) -> None:
    cluster.run(bundle / "install.sh")
    mark_status(cluster, 1, "uninstalling")
    cluster.server.remove(POLICY)
    done = cluster.run(bundle / "install.sh")
    assert "recovered: gpu-operator\n" in done.stdout and cluster.revisions(*GPU) == [(1, "deployed")]
    assert cluster.server.get(POLICY)
    mark_status(cluster, 1, "uninstalling")
    assert "removed: gpu-operator\n" in cluster.run(bundle / "uninstall.sh").stdout


def test_recovery_goes_to_the_last_revision_that_worked(cluster: HelmCluster, bundle: Path) -> None:
    cluster.run(bundle / "install.sh")
    for _ in range(2):
        cluster.helm("upgrade", *GPU, "--repo", cluster.charts_url, "--version", "v26.7.0", "--namespace", "gpu-operator")
    for number, status in enumerate(("deployed", "failed", "pending-upgrade"), 1):
        mark_status(cluster, number, status)
    assert "is pending" in cluster.run(bundle / "install.sh", status=1).stderr
    cluster.run(bundle / "install.sh", "--recover")
    history = yaml.safe_load(cluster.helm("history", "gpu-operator", "--namespace", "gpu-operator", "--output", "yaml"))
    assert [entry["description"] for entry in history if entry["revision"] == 4] == ["Rollback to 1"]


def test_what_keeps_it_from_becoming_ready(cluster: HelmCluster, bundle: Path) -> None:
    cluster.controllers.broken.add("gpu-operator")
    pods = "/api/v1/namespaces/gpu-operator/pods"
    image = "registry.example.com/none:1"
    waiting = {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image {image}"}}}
    cluster.server.put(
        f"{pods}/pull",
        {
            "spec": {"containers": [{"name": "main", "image": image}]},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [waiting]},
        },
    )
    message = "0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    ports = [{"containerPort": 9100, "hostPort": 9100}]
    cluster.server.put(
        f"{pods}/port",
        {"spec": {"containers": [{"name": "main", "ports": ports}]}, "status": {"phase": "Pending", "conditions": [unscheduled]}},
    )
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.server.put(f"{pods}/well", {"spec": {"containers": []}, "status": ready})
    event = {"involvedObject": {"kind": "Pod", "name": "pull"}, "type": "Warning", "reason": "Failed", "message": "401 Unauthorized"}
    cluster.server.put("/api/v1/namespaces/gpu-operator/events/pull.1", event)
    done = cluster.run(bundle / "install.sh", "--timeout", "2s", status=1)
    assert f"Pod pull: Pending, container main ({image}): ImagePullBackOff: Back-off pulling image {image}\n" in done.stderr
    assert "    Failed: 401 Unauthorized\n" in done.stderr
    assert f"Pod port: Pending, Unschedulable: {message}, port 9100 of the node\n" in done.stderr
    assert "Pod well" not in done.stderr
    assert "not installed: gpu-operator\n" in done.stdout


# ---- definitions ----


def test_definitions_go_with_their_release_and_not_with_objects_of_others(cluster: HelmCluster) -> None:
    bundle = cluster.bundle("self-managed-gh200-training", "cert-manager", "gpu-operator", "kai-scheduler")
    cluster.run(bundle / "install.sh")
    objects = cluster.server.put
    objects("/apis/cert-manager.io/v1/namespaces/default/certificates/theirs", {"spec": {}})
    objects("/apis/nfd.k8s-sigs.io/v1/namespaces/gpu-operator/nodefeatures/n1", {"spec": {}})
    objects("/apis/scheduling.run.ai/v2/queues/team-a", {"spec": {}})
    objects("/apis/kai.scheduler/v1/configs/kai-config", {"spec": {}})
    before = cluster.snapshot()
    done = cluster.run(bundle / "uninstall.sh", "--delete-crds", "--dry-run")
    for line in (
        "cert-manager: keeps certificates.cert-manager.io: it has objects of others: default/theirs",
        "gpu-operator: deletes nodefeatures.nfd.k8s-sigs.io, with gpu-operator/n1",
        "kai-scheduler: keeps queues.scheduling.run.ai: it has objects of others: team-a",
        "kai-scheduler: deletes configs.kai.scheduler, with kai-config",
        "would be removed: kai-scheduler gpu-operator cert-manager",
    ):
        assert f"{line}\n" in done.stdout
    assert cluster.snapshot() == before
    cluster.run(bundle / "uninstall.sh", "--delete-crds")
    left = {tree["metadata"]["name"] for tree in cluster.server.objects("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")}
    assert left == {"certificates.cert-manager.io", "queues.scheduling.run.ai", "servicemonitors.monitoring.coreos.com"} & left
    assert {"certificates.cert-manager.io", "queues.scheduling.run.ai"} <= left
    again = cluster.run(bundle / "uninstall.sh", "--delete-crds")
    assert (
        "they go only together with their release" in again.stdout and "not found: kai-scheduler gpu-operator cert-manager" in again.stdout
    )


def test_definitions_of_another_release_stay(cluster: HelmCluster, bundle: Path) -> None:
    cluster.run(bundle / "install.sh")
    owned = definition("clusterpolicies.nvidia.com", "ClusterPolicy")
    owned["metadata"]["annotations"] = {"meta.helm.sh/release-name": "x", "meta.helm.sh/release-namespace": "y"}
    cluster.server.put("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusterpolicies.nvidia.com", owned)
    done = cluster.run(bundle / "uninstall.sh", "--delete-crds")
    assert "keeps clusterpolicies.nvidia.com: it belongs to release x/y" in done.stdout
    assert cluster.server.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusterpolicies.nvidia.com")


def is_complete(chart: Path) -> bool:
    """Whether a folder is a chart with all that it depends on."""
    if not (chart / "Chart.yaml").exists():
        return False
    dependencies = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8")).get("dependencies") or []
    return all(list((chart / "charts").glob(f"{each['name']}*")) for each in dependencies)


@pytest.mark.parametrize("golden", ["self-managed-gh200-training", "eks-gb200-training", "gke-l40s-inference"])
def test_real_charts_come_and_go(cluster: HelmCluster, golden: str) -> None:
    """The charts below ``EIDOS_TEST_CHARTS``, as <component>/<version>/Chart.yaml: no drift of their own, and only namespaces stay."""
    folder = os.environ.get("EIDOS_TEST_CHARTS")
    if not folder:
        pytest.skip("EIDOS_TEST_CHARTS names no folder of charts")
    for entry in recipe(GOLDEN[golden])["components"]:
        source = Path(folder) / entry["id"] / str(entry["version"])
        if entry.get("chart") and is_complete(source):
            cluster.real_charts[entry["chart"]] = source
    ids = [entry["id"] for entry in recipe(GOLDEN[golden])["components"] if entry.get("chart") in cluster.real_charts]
    assert ids
    bundle = cluster.bundle(golden, *ids)
    for resource, kind in (("servicemonitors", "ServiceMonitor"), ("prometheusrules", "PrometheusRule"), ("podmonitors", "PodMonitor")):
        cluster.server.kind("monitoring.coreos.com/v1", resource, kind)  # charts of exporters need them
    before = set(cluster.snapshot())
    done = cluster.run(bundle / "install.sh")
    assert set(done.stdout.splitlines()[-1].split()) == {"installed:", *ids} and "warning" not in done.stdout
    installed = cluster.snapshot()
    again = cluster.run(bundle / "install.sh").stdout
    assert set(again.splitlines()[-1].split()) == {"unchanged:", *ids} and cluster.snapshot() == installed
    cluster.run(bundle / "uninstall.sh", "--delete-crds")
    assert [name for name in cluster.snapshot() if name not in before and not name.startswith("v1/namespaces/")] == []


def test_rights_that_are_missing_are_no_absence(cluster: HelmCluster, bundle: Path) -> None:
    cluster.server.forbidden = {("list", "deployments")}
    before = cluster.snapshot()
    done = cluster.run(bundle / "install.sh", status=1)
    assert 'cannot list resource "deployments"' in done.stderr and cluster.snapshot() == before


# ---- installed, but on no node ----


@pytest.fixture
def no_wait(cluster: HelmCluster) -> None:
    """Sleeping takes no time and moves the clock of the scripts, so that what has to succeed keeps its timeout."""
    programs = {"sleep": "echo 1000 >>clock", "date": "wc -l <clock | sed 's/.*[0-9]/&000/'"}
    (cluster.folder / "clock").touch()
    for name, command in programs.items():
        program = cluster.folder / "bin" / name
        program.write_text(f"#!/bin/sh\ncd '{cluster.folder}' && {command}\n")
        program.chmod(0o755)


PLUGIN = "/apis/apps/v1/namespaces/gpu-operator/daemonsets/plugin"


def daemon(cluster: HelmCluster, labels: dict[str, str], *, tolerations: list[dict[str, str]] | None = None, **affinity: Any) -> None:
    """A DaemonSet of the release of the GPU operator that no node takes."""
    pod: dict[str, Any] = {"containers": [{"name": "main", "image": "registry.example.com/a:1"}], "nodeSelector": labels}
    pod["tolerations"] = tolerations or []
    if affinity:
        terms = [{"matchExpressions": [{"key": key.replace("_", "-"), **expression}]} for key, expression in affinity.items()]
        pod["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    owner = {"meta.helm.sh/release-name": "gpu-operator", "meta.helm.sh/release-namespace": "gpu-operator"}
    cluster.controllers.broken.add("plugin")
    spec = {"selector": {"matchLabels": {"app": "plugin"}}, "template": {"metadata": {"labels": {"app": "plugin"}}, "spec": pod}}
    status = {"desiredNumberScheduled": 0, "observedGeneration": 1}
    cluster.server.put(PLUGIN, {"metadata": {"annotations": owner, "generation": 1}, "spec": spec, "status": status})


def nodes(cluster: HelmCluster, *labels: dict[str, str], taints: list[dict[str, str]] | None = None) -> None:
    for number, each in enumerate(labels):
        cluster.server.put(f"/api/v1/nodes/gpu-{number}", {"metadata": {"labels": each}, "spec": {"taints": taints or []}})


@pytest.mark.usefixtures("no_wait")
def test_a_release_without_a_node_is_a_failure_that_names_what_nodes_lack(cluster: HelmCluster, bundle: Path) -> None:
    nodes(cluster, {"machine": "p5.48xlarge"}, {"machine": "p5.48xlarge"}, {"other": "x"})
    daemon(cluster, {"machine": "p5en.48xlarge"})
    done = cluster.run(bundle / "install.sh", status=1)
    assert "gpu-operator: DaemonSet gpu-operator/plugin has no Pod on any node\n" in done.stderr
    assert "  needs a node with machine=p5en.48xlarge: 0 of 3; nodes have p5.48xlarge\n" in done.stderr
    assert "error: installed, but it runs on no node\n" in done.stderr and "use --allow-idle\n" in done.stderr
    assert "installed, but without a node: gpu-operator\n" in done.stdout
    again = cluster.run(bundle / "install.sh", status=1)
    assert "error: unchanged, but it runs on no node\n" in again.stderr and cluster.revisions(*GPU) == [(1, "deployed")]
    allowed = cluster.run(bundle / "install.sh", "--allow-idle")
    assert "unchanged: gpu-operator\n  gpu-operator: no node for DaemonSet/plugin" in allowed.stdout
    assert "needs a node with machine=p5en.48xlarge" in allowed.stderr


@pytest.mark.usefixtures("no_wait")
def test_taints_that_are_not_tolerated_are_named(cluster: HelmCluster, bundle: Path) -> None:
    taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}, {"key": "a", "effect": "PreferNoSchedule"}]
    nodes(cluster, {"machine": "p5", "zone": "a"}, {"machine": "p5", "zone": "b"}, taints=taints)
    expressions: dict[str, Any] = {"machine": {"operator": "In", "values": ["p4", "p5"]}, "zone": {"operator": "Exists"}}
    daemon(cluster, {}, tolerations=[{"key": "other", "operator": "Exists"}], **expressions)
    done = cluster.run(bundle / "install.sh", status=1)
    assert "  needs a node with machine in p4,p5: 2 of 2; nodes have p5\n  needs a node with zone: 2 of 2; nodes have a, b\n" in done.stderr
    assert "  does not tolerate nvidia.com/gpu=present:NoSchedule, which 2 of 2 matching nodes have\n" in done.stderr
    assert "PreferNoSchedule" not in done.stderr and "a:" not in done.stderr.partition("does not tolerate")[2]


@pytest.mark.usefixtures("no_wait")
def test_an_operator_that_finds_no_node_is_a_failure(cluster: HelmCluster, bundle: Path) -> None:
    cluster.controllers.broken.add("nvidia-operator-validator")
    nodes(cluster, {"feature.node.kubernetes.io/pci-1af4.present": "true"})
    done = cluster.run(bundle / "install.sh", status=1)
    assert "DaemonSet gpu-operator/nvidia-operator-validator has no Pod on any node\n" in done.stderr
    assert "  needs a node with feature.node.kubernetes.io/pci-10de.present=true: 0 of 1; no node has this label\n" in done.stderr


def test_pods_that_no_node_takes_are_named_with_what_the_scheduler_says(cluster: HelmCluster, bundle: Path) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/4 nodes are available: 4 Insufficient cpu.",
    }
    pod = {"spec": {"containers": []}, "status": {"phase": "Pending", "conditions": [condition]}}
    cluster.server.put("/api/v1/namespaces/gpu-operator/pods/driver-x", pod)
    done = cluster.run(bundle / "install.sh")
    assert "gpu-operator: warning: Pod driver-x: 0/4 nodes are available: 4 Insufficient cpu.\n" in done.stderr
