"""Manifests as the tests of manifests make them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eidos.manifest import AgentOptions, ServerOptions, agent_manifests, server_manifests

#: What stands for the program where its bytes do not matter.
PROGRAM = b"the program"

#: An agent, and a server, of each kind that there is.
AGENTS = {
    "plain": AgentOptions(program=PROGRAM),
    "nodes": AgentOptions(program=PROGRAM, nodes=("gpu-01", "ip-10-0-42-17.us-west-2.compute.internal"), create_namespace=True),
    "group": AgentOptions(program=PROGRAM, group=("nvidia.com/gpu.product", ("NVIDIA-H100", "NVIDIA-H200")), node_selector={"pool": "gpu"}),
    "nightly": AgentOptions(delivery="hostpath", program="/opt/eidos/eidos.pyz", schedule="0 3 * * *", nodes=("gpu-01",)),
    "rights": AgentOptions(program=PROGRAM, rights=("host-network", "host-ipc", "host-pid", "unconfined")),
    "host-files": AgentOptions(program=PROGRAM, rights=("host-files",)),
    "old-cluster": AgentOptions(program=PROGRAM, rights=("unconfined",), kubernetes_minor=29),
    "driver-root": AgentOptions(program=PROGRAM, gpu=("driver-root", "/run/nvidia/driver"), rights=("privileged",)),
    "cdi": AgentOptions(program=PROGRAM, gpu=("cdi", "nvidia.com/gpu=all"), tolerations=({"operator": "Exists"},)),
    "secret": AgentOptions(delivery="image", program="registry.example.com/eidos:1.2.3", output="secret://vault/node-{node}"),
    "watch": AgentOptions(program=PROGRAM, watch=True, interval_s=300.0),
    "watch-monitored": AgentOptions(
        delivery="hostpath",
        program="/opt/eidos/eidos.pyz",
        watch=True,
        monitoring=True,
        monitoring_labels={"release": "kube-prometheus-stack"},
        marks=("condition", "label"),
        create_namespace=True,
        node_selector={"nvidia.com/gpu.present": "true"},
    ),
    "fleet": AgentOptions(program=PROGRAM, nodes=("gpu-01", "gpu-02"), run="r1a2b3", without=("k8s",), gpu=("default", ""), memory="512Mi"),
}

SERVERS = {
    "plain": ServerOptions(program=PROGRAM),
    "monitored": ServerOptions(
        program=PROGRAM, monitoring=True, monitoring_labels={"release": "kube-prometheus-stack"}, create_namespace=True
    ),
    "istio": ServerOptions(program=PROGRAM, mesh="istio", monitoring=True, otlp="https://otel.example.com:4318"),
    "linkerd": ServerOptions(program=PROGRAM, mesh="linkerd", issuer=("Issuer", "ca")),
    "ingress": ServerOptions(
        delivery="image",
        program="registry.example.com/eidos:1.2.3",
        ingress="eidos.example.com",
        ingress_class="nginx",
        issuer=("ClusterIssuer", "letsencrypt"),
    ),
    "old-cluster": ServerOptions(program=PROGRAM, kubernetes_minor=29, memory="1Gi"),
}


def everything() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The manifests of each of them."""
    yield from ((f"agent-{name}", agent_manifests(options)) for name, options in AGENTS.items())
    yield from ((f"server-{name}", server_manifests(options)) for name, options in SERVERS.items())


def of_kind(trees: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """Those of some kinds."""
    return [tree for tree in trees if tree["kind"] in kinds]


def templates(trees: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The templates of Pods: metadata and spec."""
    for tree in of_kind(trees, "Job", "CronJob", "Deployment", "DaemonSet"):
        spec = tree["spec"]["jobTemplate"]["spec"] if tree["kind"] == "CronJob" else tree["spec"]
        yield spec["template"]


def archive(path: Path, *more: str) -> Path:
    """A zip file that has the marks of the program, always the same bytes."""
    with zipfile.ZipFile(path, "w") as file:
        for name in ("eidos/archive/packs.py", "packs/eidos-server", *more):
            file.writestr(zipfile.ZipInfo(name), f"# {name}\n")
    return path
