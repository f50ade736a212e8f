"""Manifests as people review them: what the command prints, for a dozen of what can be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from eidos import __version__
from tests.support.manifests import archive
from tests.support.program import eidos

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "manifest"

COMMANDS = {
    "agent": "agent",
    "agent-nodes": "agent --per node --nodes gpu-01,ip-10-0-42-17.us-west-2.compute.internal --create-namespace",
    "agent-groups": "agent --per group=nvidia.com/gpu.product --groups NVIDIA-H100,NVIDIA-H200 --node-selector pool=gpu --memory 512Mi",
    "agent-nightly": "agent --delivery hostpath /opt/eidos/eidos.pyz --image docker.io/library/python:3.13-slim --schedule @daily",
    "agent-host-files": "agent --host-files",
    "agent-rights": "agent --host-network --host-ipc --host-pid --unconfined --gpu runtime-class=nvidia-cdi",
    "agent-driver-root": "agent --gpu driver-root --privileged --toleration nvidia.com/gpu:NoSchedule --without k8s",
    "agent-old-cluster": "agent --unconfined --gpu cdi --kubernetes-version 1.29",
    "agent-secret": "agent --delivery image registry.example.com/eidos:1.2.3 --output secret://vault/eidos-{node} --gpu none",
    "agent-watch": "agent --watch --interval 5m --node-selector nvidia.com/gpu.present=true",
    "agent-watch-monitored": "agent --watch --monitoring --monitoring-label release=prometheus --mark-node condition,label",
    "server": "server",
    "server-monitored": "server --monitoring --monitoring-label release=kube-prometheus-stack --create-namespace",
    "server-istio": "server --mesh istio --monitoring --otlp http://otel.example.com:4318",
    "server-linkerd": "server --mesh linkerd --tls-issuer Issuer/ca --namespace recipes --kubernetes-version 1.29",
    "server-ingress": "server --ingress eidos.example.com --ingress-class nginx --tls-issuer letsencrypt --no-apparmor",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_manifests_are_as_reviewed(name: str, tmp_path: Path, update_golden: bool) -> None:
    program = ["--program", str(archive(tmp_path / "eidos.pyz"))] if "--delivery" not in COMMANDS[name] else []
    done = eidos("manifest", *COMMANDS[name].split(" "), *program, "--quiet")
    assert (done.status, done.err) == (0, "")
    text = done.out.replace(f'app.kubernetes.io/version: "{__version__}"', "app.kubernetes.io/version: some")
    golden = GOLDEN / f"{name}.yaml"
    if update_golden:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_privileges_are_as_reviewed(update_golden: bool) -> None:
    done = eidos("manifest", "agent", "--explain-privileges")
    assert (done.status, done.err) == (0, "")
    golden = GOLDEN / "privileges.txt"
    if update_golden:
        golden.write_text(done.out, encoding="utf-8")
    assert done.out == golden.read_text(encoding="utf-8")


def test_every_golden_has_its_command() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(COMMANDS)
