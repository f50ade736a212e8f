"""Manifests before a real kubectl, and before an API server that writes down which rights were used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.manifest import AgentOptions, agent_manifests
from tests.fakes.apiserver import ApiServer
from tests.support.manifests import AGENTS, PROGRAM, archive, of_kind, templates
from tests.support.program import ROOT, eidos, environment

pytestmark = pytest.mark.slow

#: Kinds that the projects bring for which a server's manifests are: version, resource, kind.
OF_PROJECTS = (
    ("monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "podmonitors", "PodMonitor"),
    ("monitoring.coreos.com/v1", "prometheusrules", "PrometheusRule"),
    ("cert-manager.io/v1", "certificates", "Certificate"),
    ("security.istio.io/v1", "peerauthentications", "PeerAuthentication"),
    ("networking.istio.io/v1", "destinationrules", "DestinationRule"),
    ("networking.istio.io/v1", "virtualservices", "VirtualService"),
)

NODE = "gpu-01"


@pytest.fixture
def cluster() -> Iterator[ApiServer]:
    """A cluster with two nodes and an object of each kind that the agent reads."""
    with ApiServer() as server:
        for version, resource, kind in OF_PROJECTS:
            server.kind(version, resource, kind)
        server.kind("nvidia.com/v1alpha1", "gpuclusters", "GPUCluster", namespaced=False)
        for name, product in ((NODE, "NVIDIA-H100"), ("gpu-02", "NVIDIA-H200"), ("cpu-01", "")):
            labels = {"kubernetes.io/hostname": name, **({"nvidia.com/gpu.product": product, "pool": "gpu"} if product else {})}
            info = {"containerRuntimeVersion": "containerd://2.1.4", "kernelVersion": "6.8.0", "osImage": "Ubuntu 24.04"}
            server.put(f"/api/v1/nodes/{name}", {"metadata": {"labels": labels}, "status": {"nodeInfo": info}})
        server.put("/api/v1/namespaces/eidos/pods/a", {"spec": {"containers": [{"name": "a", "image": "registry.example.com/a:1"}]}})
        for group, resource in (
            ("nvidia.com/v1", "clusterpolicies"),
            ("nvidia.com/v1alpha1", "gpuclusters"),
            ("nvidia.com/v1alpha1", "nvidiadrivers"),
            ("mellanox.com/v1alpha1", "nicclusterpolicies"),
        ):
            server.put(f"/apis/{group}/{resource}/one", {"spec": {"enabled": True}})
        yield server


def kubectl(program: str, cluster: ApiServer, folder: Path, manifests: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Apply a file."""
    line = [program, "--kubeconfig", str(cluster.kubeconfig(folder)), "apply", "-f", str(manifests), *arguments]
    home = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(line, env=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


COMMANDS = (
    "agent --per node --nodes gpu-01,gpu-02 --create-namespace --host-pid --unconfined",
    "agent --schedule @daily --per group=nvidia.com/gpu.product --groups NVIDIA-H100 --create-namespace",
    "agent --watch --monitoring --mark-node condition,label --create-namespace",
    "server --monitoring --ingress eidos.example.com --tls-issuer letsencrypt --mesh istio --create-namespace",
)


@pytest.mark.parametrize("options", COMMANDS)
def test_kubectl_takes_what_is_printed(options: str, cluster: ApiServer, tmp_path: Path, tools: dict[str, str]) -> None:
    file = tmp_path / "manifests.yaml"
    program = archive(tmp_path / "eidos.pyz")
    done = eidos("manifest", *options.split(" "), "--program", str(program), "-o", str(file), "--quiet")
    assert (done.status, done.out, done.err) == (0, "", "")
    trees = [tree for tree in yaml.safe_load_all(file.read_bytes()) if tree]
    cluster.put(f"/api/v1/namespaces/{trees[0]['metadata']['name']}", {})
    for mode in ("client", "server"):
        applied = kubectl(tools["kubectl"], cluster, tmp_path, file, f"--dry-run={mode}", "--validate=false", "--server-side", "-o", "name")
        if mode == "client":  # which cannot go with --server-side
            applied = kubectl(tools["kubectl"], cluster, tmp_path, file, "--dry-run=client", "--validate=false", "-o", "name")
        assert applied.returncode == 0, applied.stderr
        assert len(applied.stdout.splitlines()) == len(trees)
    assert not cluster.objects("/api/v1/configmaps"), "a dry run writes nothing"
    applied = kubectl(tools["kubectl"], cluster, tmp_path, file, "--server-side", "--validate=false")
    assert applied.returncode == 0 and len(applied.stdout.splitlines()) == len(trees), applied.stderr
    assert [tree["binaryData"] for tree in cluster.objects("/api/v1/configmaps") if "binaryData" in tree]


def test_a_list_in_json_is_taken_too(cluster: ApiServer, tmp_path: Path, tools: dict[str, str]) -> None:
    file = tmp_path / "manifests.json"
    done = eidos("manifest", "agent", "--program", str(archive(tmp_path / "eidos.pyz")), "-o", str(file), "--quiet")
    assert (done.status, done.err) == (0, "")
    assert json.loads(file.read_text())["kind"] == "List"
    applied = kubectl(tools["kubectl"], cluster, tmp_path, file, "--server-side", "--validate=false", "-o", "name")
    assert applied.returncode == 0 and "job.batch/eidos-agent" in applied.stdout, applied.stderr


def test_which_nodes_there_are_the_cluster_says(cluster: ApiServer, tmp_path: Path) -> None:
    program, config = str(archive(tmp_path / "eidos.pyz")), str(cluster.kubeconfig(tmp_path))
    common = ("manifest", "agent", "--program", program, "--kubeconfig", config, "-t", "json")

    def jobs(*arguments: str) -> list[dict[str, Any]]:
        done = eidos(*common, *arguments, "--quiet")
        assert (done.status, done.err) == (0, ""), done.err
        return of_kind(json.loads(done.out)["items"], "Job", "CronJob")

    assert [job["metadata"]["name"] for job in jobs("--per", "node")] == ["eidos-agent-cpu-01", "eidos-agent-gpu-01", "eidos-agent-gpu-02"]
    assert [job["metadata"]["name"] for job in jobs("--per", "node", "--node-selector", "pool=gpu")] == [
        "eidos-agent-gpu-01",
        "eidos-agent-gpu-02",
    ]
    groups = jobs("--per", "group=nvidia.com/gpu.product")
    assert [job["metadata"]["labels"]["eidos.dgxc.io/group"] for job in groups] == ["NVIDIA-H100", "NVIDIA-H200"]
    used = {(verb, resource) for verb, _, resource, _ in cluster.used()}
    assert used == {("list", "nodes")}, "nothing is written"
    done = eidos(*common, "--per", "node", "--node-selector", "pool=none")
    assert done.status == 2 and "no node matches pool=none" in done.err
    cluster.forbidden.add(("list", "nodes"))
    done = eidos(*common, "--per", "node")
    assert done.status == 1 and "list" in done.err and "nodes" in done.err


def test_without_a_cluster_nodes_have_to_be_named(tmp_path: Path) -> None:
    done = eidos("manifest", "agent", "--program", str(archive(tmp_path / "eidos.pyz")), "--per", "node")
    assert done.status == 2 and "--nodes" in done.err and done.out == ""


def grants(trees: list[dict[str, Any]], namespace: str) -> set[tuple[str, str, str, str]]:
    """The rights that roles give: verb, group, resource, and the namespace they hold in ("" for the cluster)."""
    return {
        (verb, group, resource, "" if tree["kind"] == "ClusterRole" else namespace)
        for tree in of_kind(trees, "Role", "ClusterRole")
        for rule in tree["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def run_the_job(trees: list[dict[str, Any]], cluster: ApiServer, folder: Path) -> tuple[int, str]:
    """Do what the kubelet would: expand the variables, and run the command; this machine's own root stands for the host's."""
    (pod,) = templates(trees)
    container = pod["spec"]["containers"][0]
    variables = {"NODE_NAME": NODE}
    for each in container["env"]:
        if "value" in each:
            variables[each["name"]] = each["value"].replace("/tmp", str(folder))
    words = [word.replace("$(NODE_NAME)", NODE).replace("--root=/host", "--root=/") for word in container["args"]]
    command = [sys.executable, "-m", "eidos", *words, "--kubeconfig", str(cluster.kubeconfig(folder)), "--log-level=error"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(**variables), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "options",
    [
        AgentOptions(program=PROGRAM),
        AgentOptions(program=PROGRAM, without=("k8s.image", "k8s.policy", "k8s.topology", "k8s.server")),
        AgentOptions(program=PROGRAM, without=("k8s",), nodes=(NODE,), run="r1"),
        AgentOptions(program=PROGRAM, output="secret://vault/eidos-{node}", without=("os", "systemd", "gpu")),
    ],
    ids=["everything", "the node alone", "nothing of the cluster", "into a secret"],
)
def test_rights_are_exactly_those_that_a_run_uses(options: AgentOptions, cluster: ApiServer, tmp_path: Path) -> None:
    trees = agent_manifests(options)
    role = of_kind(trees, "Role")[0]["metadata"]["namespace"]
    cluster.put(f"/api/v1/namespaces/{role}", {})
    for _ in range(2):  # the second finds what the first wrote
        status, applied = run_the_job(trees, cluster, tmp_path)
        assert status == 0, applied
    kind = "secrets" if role == "vault" else "configmaps"
    name = f"eidos-{options.run + '-' if options.run else ''}{NODE}"
    written = cluster.get(f"/api/v1/namespaces/{role}/{kind}/{name}")
    assert written["data"]
    assert cluster.used() == grants(trees, role)


def test_every_agent_can_do_what_its_job_needs() -> None:
    """Whoever writes elsewhere has the right there; nobody has one that its facts do not need."""
    for options in AGENTS.values():
        if options.watch:  # tests/manifest/test_watch_manifest.py
            continue
        trees = agent_manifests(options)
        cluster_wide = {right for right in grants(trees, "x") if not right[3]}
        assert all(right[0] in ("get", "list") for right in cluster_wide)
        assert {right[2] for right in grants(trees, "x") if right[3]} in ({"configmaps"}, {"secrets"})
