"""Documents in ConfigMaps and Secrets, from the command line to the fake server and back."""

from __future__ import annotations

import base64
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eidos import log
from eidos.bundle.bundle_reader import read_files
from eidos.errors import IntegrityError, KubeError, NotFound
from eidos.kube import api_client, document_store
from eidos.kube.api_client import KubeClient
from eidos.kube.cluster_config import load_cluster
from eidos.kube.stored_object import parse_reference
from tests.fakes.apiserver import ApiServer
from tests.support.program import ROOT, Result, eidos, environment
from tests.support.waiting import AMPLE_S

pytestmark = pytest.mark.slow

HOST = str(ROOT / "tests" / "hosts" / "ubuntu-22.04")
SNAPSHOT = ("snapshot", "--only", "os.release,os.kmod", "--root", HOST)
NODE = "/api/v1/namespaces/default/configmaps/node"

#: Two parts, three parts.
TWO, THREE = (base64.b64encode(random.Random(size).randbytes(size)) for size in (1_200_000, 2_400_000))


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def client(server: ApiServer, tmp_path: Path) -> Iterator[KubeClient]:
    connected = api_client.connect(load_cluster({}, kubeconfig=str(server.kubeconfig(tmp_path))), deadline=time.monotonic() + 60)
    yield connected
    connected.close()


def run(server: ApiServer, folder: Path, *words: str, **more: Any) -> Result:
    return eidos(*words, "--kubeconfig", str(server.kubeconfig(folder)), **more)


def write(client: KubeClient, reference: str, data: bytes) -> None:
    document_store.write_document(client, parse_reference(reference), data, form="yaml", component="snapshot")


def read(client: KubeClient, reference: str) -> bytes:
    return document_store.read_document(client, parse_reference(reference))


# -- from the command line --


def test_a_snapshot_goes_there_and_a_recipe_comes_of_it(server: ApiServer, tmp_path: Path, pyz: Path) -> None:
    program = [sys.executable, str(pyz)]
    result = run(server, tmp_path, *SNAPSHOT, "-o", "cm://default/node", program=program)
    assert result == (0, "", "")
    held = server.get(NODE)
    labels = held["metadata"]["labels"]
    assert {labels[f"app.kubernetes.io/{name}"] for name in ("name", "managed-by")} == {"eidos"}
    assert labels["app.kubernetes.io/component"] == "snapshot"
    assert set(held["data"]) == {"document.yaml"} and held["data"]["document.yaml"].startswith("kind: Snapshot\n")
    assert [entry["manager"] for entry in held["metadata"]["managedFields"]] == ["eidos"]
    result = run(server, tmp_path, "recipe", "-f", "cm://default/node", "--gpu", "h100", "-o", "secret://default/recipe", program=program)
    assert (result.status, result.out) == (0, "")
    secret = server.get("/api/v1/namespaces/default/secrets/recipe")
    assert secret["type"] == "Opaque"
    assert base64.b64decode(secret["data"]["document.yaml"]).startswith(b"kind: Recipe\n")
    words = ("bundle", "-f", "secret://default/recipe", "-b", "cert-manager", "-o", str(tmp_path / "bundle"))
    assert run(server, tmp_path, *words, program=program).status == 0
    assert (tmp_path / "bundle" / "README.md").exists()


def test_formats(server: ApiServer, tmp_path: Path) -> None:
    for words, key, begin in (
        (("-t", "json"), "document.json", "{"),
        (("-t", "yaml"), "document.yaml", "kind"),
        (("-t", "table"), "document.txt", ""),
    ):
        assert run(server, tmp_path, *SNAPSHOT, *words, "-o", "cm://default/node").status == 0
        assert list(server.get(NODE)["data"]) == [key], "the key of the format before is gone"
        assert server.get(NODE)["data"][key].startswith(begin)
    assert run(server, tmp_path, "recipe", "list", "-o", "cm://default/list.json").status == 0
    assert "document.json" in server.get("/api/v1/namespaces/default/configmaps/list.json")["data"]


def test_a_snapshot_there_is_evidence(server: ApiServer, tmp_path: Path) -> None:
    assert run(server, tmp_path, *SNAPSHOT, "-o", "cm://default/node").status == 0
    archive = str(tmp_path / "evidence.tar.gz")
    assert run(server, tmp_path, "evidence", "cm://default/node", "-o", archive).status == 0
    assert read_files(archive)["snapshot.yaml"].decode() == server.get(NODE)["data"]["document.yaml"]


def test_kubectl_reads_what_we_wrote_and_we_what_it_wrote(
    tools: dict[str, str],
    server: ApiServer,
    tmp_path: Path,
) -> None:
    assert run(server, tmp_path, *SNAPSHOT, "-o", "cm://default/node").status == 0

    def kubectl(*words: str, stdin: str = "") -> str:
        command = [tools["kubectl"], "--kubeconfig", str(server.kubeconfig(tmp_path)), *words]
        done = subprocess.run(command, input=stdin, env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    text = kubectl("get", "configmap", "node", "-o", r"jsonpath={.data.document\.yaml}")
    assert text.startswith("kind: Snapshot\n")
    (tmp_path / "snapshot.yaml").write_text(text)
    made = kubectl("create", "configmap", "other", f"--from-file={tmp_path}/snapshot.yaml", "--dry-run=client", "-o", "json")
    kubectl("apply", "--server-side", "--validate=false", "-f", "-", stdin=made)
    result = run(server, tmp_path, "recipe", "-f", "cm://default/other", "--gpu", "h100")
    assert result.status == 0 and "kind: Recipe" in result.out


def test_names_are_checked_before_the_work(server: ApiServer, tmp_path: Path) -> None:
    for reference, words in (
        ("cm://node", "write it like cm://namespace/name"),
        ("cm://Default/node", "invalid namespace 'Default'"),
        ("cm://default/node_1", "invalid ConfigMap name 'node_1'"),
        ("secret://default/a/b", "invalid Secret name 'a/b'"),
    ):
        result = run(server, tmp_path, *SNAPSHOT, "-o", reference)
        assert (result.status, result.out) == (2, "") and words in result.err
    assert not server.requests


def test_no_cluster_is_configured() -> None:
    for words in (("snapshot", "-o", "cm://default/node"), ("recipe", "-f", "cm://default/node"), ("bundle", "-f", "cm://default/r")):
        result = eidos(*words)
        assert (result.status, result.out) == (2, "")
        assert "error: no cluster is configured: /nonexistent/.kube/config" in result.err


def test_who_writes_no_document(tmp_path: Path) -> None:
    for words in (("version", "-o", "cm://a/b"), ("snapshot", "--metrics-file", "cm://a/b"), ("bundle", "-f", "x", "-o", "cm://a/b")):
        result = eidos(*words)
        assert (result.status, result.out) == (2, "") and "cm://a/b" in result.err


# -- what bad luck gets --


def test_what_is_missing(server: ApiServer, tmp_path: Path) -> None:
    result = run(server, tmp_path, "recipe", "-f", "cm://default/nothing")
    assert (result.status, result.out) == (2, "")
    assert "cm://default/nothing: no such ConfigMap" in result.err
    result = run(server, tmp_path, *SNAPSHOT, "-o", "cm://nowhere/node")
    assert result.status == 2
    assert "cm://nowhere/node: no such namespace 'nowhere'" in result.err and "kubectl create namespace nowhere" in result.err


def test_invalid_locations_and_a_missing_cluster(server: ApiServer, tmp_path: Path) -> None:
    for words in ((*SNAPSHOT, "-o", "configmap://default/node"), ("recipe", "-f", "CM://default/node")):
        result = run(server, tmp_path, *words)
        assert result.status in (1, 2) and "hint: write cm://namespace/name" in result.err
    elsewhere = str(server.kubeconfig(tmp_path, cluster={"server": f"{server.url}/elsewhere"}))
    for words in ((*SNAPSHOT, "-o", "cm://default/node"), ("recipe", "-f", "cm://default/node")):
        result = eidos(*words, "--kubeconfig", elsewhere)
        assert result.status == 2 and result.err.startswith(f"error: {server.url}/elsewhere: cannot get configmaps node"), result.err


def test_what_may_not_be_done(server: ApiServer, tmp_path: Path) -> None:
    for verb, path in (("get", "recipe"), ("patch", "snapshot")):
        server.forbidden = {(verb, "configmaps")}
        words = SNAPSHOT if path == "snapshot" else ("recipe", "-f", "cm://default/node")
        result = run(server, tmp_path, *words, *(("-o", "cm://default/node") if path == "snapshot" else ()))
        assert result.status == 1
        assert verb in result.err and "configmaps" in result.err and "default" in result.err
    assert not server.objects("/api/v1/configmaps")


def test_what_somebody_else_owns(server: ApiServer, tmp_path: Path) -> None:
    server.put(NODE, {"data": {"a": "1"}}, manager="helm")
    result = run(server, tmp_path, *SNAPSHOT, "-o", "cm://default/node")
    assert result.status == 1
    assert "cm://default/node: this ConfigMap was not created by eidos: written by helm" in result.err
    server.put(NODE, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "data": {"a": "1"}}, manager="helm")
    assert "managed-by is Helm" in run(server, tmp_path, *SNAPSHOT, "-o", "cm://default/node").err
    assert server.get(NODE)["data"] == {"a": "1"}


def test_a_field_that_somebody_else_changed(server: ApiServer, tmp_path: Path) -> None:
    ours = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "eidos"}}, "data": {"document.yaml": "a: 1\n"}}
    server.put(NODE, ours, manager="kubectl-edit")
    result = run(server, tmp_path, *SNAPSHOT, "-o", "cm://default/node")
    assert result.status == 1
    assert "changed by another writer" in result.err and "kubectl-edit" in result.err
    assert server.get(NODE)["data"] == {"document.yaml": "a: 1\n"}


def test_a_server_that_does_not_answer(server: ApiServer, tmp_path: Path) -> None:
    server.fault("configmaps", "silent", times=-1)
    began = time.monotonic()
    result = run(server, tmp_path, "recipe", "-f", "cm://default/node", "--timeout", "1s")
    assert result.status in (1, 124) and result.err.startswith("error: ")
    assert time.monotonic() - began < AMPLE_S


# -- in parts --


@pytest.mark.parametrize("scheme", ["cm", "secret"])
def test_parts_come_and_go(server: ApiServer, client: KubeClient, scheme: str) -> None:
    reference, resource = f"{scheme}://default/node", {"cm": "configmaps", "secret": "secrets"}[scheme]

    def names() -> set[str]:
        return {each["metadata"]["name"] for each in server.objects(f"/api/v1/{resource}")}

    for data, held in (
        (TWO, {"node", "node-1", "node-2"}),
        (THREE, {"node", "node-3", "node-4", "node-5"}),
        (TWO, {"node", "node-1", "node-2"}),
        (b"a: 1\n" * 400_000, {"node"}),
        (THREE, {"node", "node-1", "node-2", "node-3"}),
        (b"a: 1\n", {"node"}),
    ):
        write(client, reference, data)
        assert read(client, reference) == data
        assert names() == held


def test_a_part_that_is_lost(server: ApiServer, client: KubeClient) -> None:
    write(client, "cm://default/node", TWO)
    server.remove(f"{NODE}-2")
    with pytest.raises(IntegrityError, match="cm://default/node-2, part 2 of cm://default/node, is missing"):
        read(client, "cm://default/node")


def test_a_writer_that_may_not_go_on_leaves_the_document_before(server: ApiServer, client: KubeClient) -> None:
    write(client, "cm://default/node", TWO)
    server.fault("PATCH /api/v1/namespaces/default/configmaps/node-4", "403", times=-1)
    with pytest.raises(KubeError):
        write(client, "cm://default/node", THREE)
    assert read(client, "cm://default/node") == TWO
    assert {each["metadata"]["name"] for each in server.objects("/api/v1/configmaps")} == {"node", "node-1", "node-2"}
    server.calm()
    write(client, "cm://default/node", THREE)
    assert read(client, "cm://default/node") == THREE


def test_a_writer_that_is_cut_off_leaves_no_parts(server: ApiServer, client: KubeClient) -> None:
    server.fault("PATCH /api/v1/namespaces/default/configmaps/node-2", "hang-up", times=-1)
    with pytest.raises(KubeError, match="without a response"):
        write(client, "cm://default/node", TWO)
    assert server.objects("/api/v1/configmaps") == []


#: Writes a document in three parts.
WRITER = """
import random, sys, time
from eidos.kube import api_client, cluster_config, document_store, stored_object
client = api_client.connect(cluster_config.load_cluster({}, kubeconfig=sys.argv[1]), deadline=time.monotonic() + 60)
text = random.Random(1).randbytes(1_200_000).hex().encode()
document_store.write_document(client, stored_object.parse_reference("cm://default/node"), text, form="yaml", component="snapshot")
"""


def test_a_writer_that_is_interrupted_leaves_no_parts(server: ApiServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(server.kubeconfig(tmp_path))]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) as process:
        server.on_change(lambda kind, path, tree: process.send_signal(signal.SIGINT) if (kind, path) == ("ADDED", f"{NODE}-1") else None)
        _, err = process.communicate(timeout=AMPLE_S)
    assert err.decode().endswith("KeyboardInterrupt\n")
    assert server.objects("/api/v1/configmaps") == []


def test_a_name_that_another_document_has(server: ApiServer, client: KubeClient) -> None:
    write(client, "cm://default/node-2", b"a: 1\n")
    with pytest.raises(KubeError, match="cm://default/node needs the name cm://default/node-2, which is in use by another ConfigMap"):
        write(client, "cm://default/node", TWO)
    assert read(client, "cm://default/node-2") == b"a: 1\n"
    with pytest.raises(NotFound):
        read(client, "cm://default/node")
    document_store.remove_document(client, parse_reference("cm://default/node-2"))
    write(client, "cm://default/node", TWO)
    with pytest.raises(KubeError, match="cm://default/node-2 is part of cm://default/node"):
        write(client, "cm://default/node-2", b"a: 1\n")


def test_of_two_concurrent_writers_one_reports_a_conflict(server: ApiServer, client: KubeClient, tmp_path: Path) -> None:
    other = api_client.connect(load_cluster({}, kubeconfig=str(server.kubeconfig(tmp_path))), deadline=time.monotonic() + 60)
    between = [lambda: write(other, "cm://default/node", THREE)]
    server.on_change(lambda kind, path, tree: between.pop()() if between and path == f"{NODE}-1" else None)
    with pytest.raises(KubeError, match="cm://default/node: changed by another writer at the same time"):
        write(client, "cm://default/node", TWO)
    other.close()
    write(client, "cm://default/node", TWO)
    assert read(client, "cm://default/node") == TWO


def test_parts_that_may_not_be_removed(server: ApiServer, client: KubeClient) -> None:
    write(client, "cm://default/node", TWO)
    server.forbidden = {("delete", "configmaps")}
    messages: list[str] = []
    log.divert(lambda level, message, _: messages.append(f"{level}: {message}"))
    try:
        write(client, "cm://default/node", b"a: 1\n")
    finally:
        log.divert(None)
    assert read(client, "cm://default/node") == b"a: 1\n"
    assert any(line.startswith("warn: cannot remove cm://default/node-1, a part of the previous document") for line in messages)


def test_what_it_takes(server: ApiServer, client: KubeClient) -> None:
    """A document that fits needs the right to get, to create and to patch, and no other."""
    write(client, "cm://default/node", b"a: 1\n")
    write(client, "cm://default/node", b"a: 2\n")
    assert {request.verb for request in server.requests if request.resource == "configmaps"} == {"get", "patch"}
    assert server.used() == {(verb, "", "configmaps", "default") for verb in ("get", "create", "patch")}
