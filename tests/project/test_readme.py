"""Every command in the README works as it stands there, in a copy of the tree."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apiserver import ApiServer
from tests.fakes.job_controller import JobController
from tests.manifest.test_kubectl import OF_PROJECTS
from tests.support.tools import find_tools

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()

#: Fenced console blocks: lines that begin with "$ " are commands, the others what they print.
BLOCKS = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]

#: Commands of blocks that ask a server.
WITH_CURL = {line[2:] for block in BLOCKS if "\n$ curl " in block for line in block.splitlines() if line.startswith("$ ")}

#: Commands of blocks that need a cluster.
CLUSTER_WORDS = re.compile(r"kubectl |cm://| --kubernetes\b")
IN_CLUSTER = {line for line in COMMANDS if CLUSTER_WORDS.search(line)}

#: Commands that would run this test again, or take long, do so for less instead.
SHORTENED = {
    "python3 -m tests": "python3 -m tests --collect-only -q tests/ground/test_duration.py",
    "python3 -m tests.bench --runs 3": "python3 -m tests.bench recipe --runs 1",
}

SSHD = "/usr/sbin/sshd"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, with wheels if there are any, so that a build needs no network the second time."""
    target = tmp_path_factory.mktemp("readme") / "eidos"
    ignored = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist", ".hypothesis", ".pytest_cache")
    shutil.copytree(ROOT, target, ignore=ignored, symlinks=True)
    return target


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | str]:
    """A folder with an ``ssh`` and an ``scp`` that reach a real sshd on loopback under the README's name; or why there is none."""
    missing = [program for program in (SSHD, "ssh", "scp", "ssh-keygen") if shutil.which(program) is None]
    if missing or os.getuid() != 0:
        yield f"needs root and {', '.join(missing) or 'sshd'} (packages openssh-server, openssh-client)"
        return
    folder = tmp_path_factory.mktemp("ssh")
    folder.chmod(0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
    home = folder / "home"
    home.mkdir()
    start = folder / "start"
    start.write_text(f'#!/bin/sh\ncd {home}\nPATH={Path(sys.executable).parent}:$PATH\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n')
    start.chmod(0o755)
    port = 20000 + os.getpid() % 20000
    config = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
        "ForceCommand": start,
        "PidFile": "none",
    }
    (folder / "sshd").write_text("".join(f"{key} {value}\n" for key, value in config.items()))
    client = {
        "Host": "gpu-07.example.com gpu-08.example.com gpu-09.example.com",
        "HostName": "127.0.0.1",
        "Port": port,
        "User": "root",
        "IdentityFile": folder / "user",
        "UserKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "no",
        "LogLevel": "ERROR",
    }
    (folder / "client").write_text("".join(f"{key} {value}\n" for key, value in client.items()))
    programs = folder / "bin"
    programs.mkdir()
    for name in ("ssh", "scp"):
        # The old protocol of scp, because the server runs every command through one that begins elsewhere.
        old = " -O" if name == "scp" else ""
        (programs / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)}{old} -F {folder / "client"} "$@"\n')
        (programs / name).chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if subprocess.run([str(programs / "ssh"), "gpu-07.example.com", "true"], capture_output=True, check=False).returncode == 0:
                break
        else:
            pytest.fail("sshd does not let us in")
        yield programs
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[dict[str, str] | str]:
    """Variables by which a real kubectl reaches a cluster of three nodes whose Jobs are run; or why there is none."""
    try:
        program = find_tools(pytestconfig)["kubectl"]
    except pytest.skip.Exception as reason:
        yield str(reason)
        return
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "kubectl").write_text(
        f'#!/bin/sh\nverb=$1; shift\n[ "$verb" = apply ] && set -- --validate=false "$@"\nexec {program} "$verb" "$@"\n'
    )
    (folder / "kubectl").chmod(0o755)
    names = ["gpu-07", "gpu-08", "gpu-09"]
    with ApiServer() as server, JobController(server, folder, dict.fromkeys(names, ROOT / "tests" / "hosts" / "ubuntu-22.04")):
        for version, resource, kind in OF_PROJECTS:
            server.kind(version, resource, kind)
        for name in names:
            labels = {"kubernetes.io/hostname": name, "nvidia.com/gpu.present": "true"}
            server.put(f"/api/v1/nodes/{name}", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        server.put("/api/v1/namespaces/eidos", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "eidos"}})
        rolled: set[str] = set()

        def roll_out(what: str, path: str, tree: dict[str, Any]) -> None:
            """What a Deployment's controller would write, when all its Pods are there."""
            if tree.get("kind") == "Deployment" and what == "ADDED" and path not in rolled:
                rolled.add(path)
                count, generation = tree["spec"].get("replicas", 2), tree["metadata"].get("generation", 1)
                counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
                server.put(path, {**tree, "status": {"observedGeneration": generation, **counts}})

        server.on_change(roll_out)
        yield {"KUBECONFIG": str(server.kubeconfig(folder)), "FOLDER": str(folder)}


def test_the_first_two_commands_are_those_that_matter() -> None:
    assert COMMANDS[0].startswith("python3 build_zipapp.py && python3 dist/eidos.pyz snapshot")
    assert COMMANDS[1] == "python3 -m tests"
    assert '-m tests "$@"' in (ROOT / ".ci" / "run").read_text()


@pytest.fixture
def port() -> int:
    """One that is free, for the README's 8080."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        free: int = sock.getsockname()[1]
        return free


@contextlib.contextmanager
def served(command: str, tree: Path, environ: dict[str, str]) -> Iterator[None]:
    """A command that goes on until somebody ends it."""
    server = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=tree, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        first = server.stderr.readline()
        assert first.startswith("info: listening on http://127.0.0.1:"), first
        yield
    finally:
        server.terminate()
        output = server.communicate(timeout=60)[1]
    assert server.returncode == 0, output
    assert "Traceback" not in output


def test_every_command_works(tree: Path, remote: Path | str, cluster: dict[str, str] | str, port: int) -> None:
    with contextlib.ExitStack() as servers:
        every_command_works(tree, remote, cluster, port, servers)


def every_command_works(tree: Path, remote: Path | str, cluster: dict[str, str] | str, port: int, servers: contextlib.ExitStack) -> None:
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    if isinstance(remote, Path):
        path.insert(0, str(remote))
    environ = {"PATH": ":".join(path), "HOME": str(tree.parent), "LC_ALL": "C.UTF-8", "IN_TESTS_VENV": "1", "COLUMNS": "96"}
    skipped = []
    for command in COMMANDS:
        if re.match(r"(ssh|scp) |.* fleet --hosts", command) and isinstance(remote, str):
            skipped.append(f"{command}: {remote}")
            continue
        variables = {}
        if command in IN_CLUSTER:
            if isinstance(cluster, str):
                skipped.append(f"{command}: {cluster}")
                continue
            variables = {"KUBECONFIG": cluster["KUBECONFIG"], "PATH": f"{cluster['FOLDER']}:{environ['PATH']}"}
        if command in WITH_CURL and shutil.which("curl") is None:
            skipped.append(f"{command}: needs curl")
            continue
        words = SHORTENED.get(command, command).replace("--root /host", "--root /").replace("8080", str(port))
        words = words.replace("https://eidos.example.com", f"http://127.0.0.1:{port}")
        if command.startswith("python3 dist/eidos.pyz serve"):
            servers.enter_context(served(words, tree, environ))
            continue
        expected = re.search(r"# exit status (\d+)(.*)", command)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", words],
            cwd=tree,
            env={**environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        status = int(expected[1]) if expected else 0
        allowed = {0, status} if expected and "without" in expected[2] else {status}
        assert done.returncode in allowed, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr
    if not any(line.startswith("ssh") for line in skipped):
        assert "kind: Snapshot" in (tree / "gpu-07.yaml").read_text()
    if skipped:
        pytest.skip("; ".join(skipped))


def test_messages_stand_there_as_they_are_printed(pyz: Path, tmp_path: Path) -> None:
    """The errors and hints of the session are those of the program, letter by letter."""
    shown = [line for block in BLOCKS for line in block.splitlines() if line.startswith(("error: ", "hint: ", "warning: "))]
    assert shown
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    output = ""
    node = tmp_path / "node.yaml"
    snapshot = ["snapshot", "--root", str(tmp_path)]
    for words in (
        [*snapshot, "--require", "gpu", "-o", str(node)],
        [*snapshot, "--only", "os.sysctls"],
        ["recipe", "-f", str(node), "--gpu", "h100", "--intent", "training"],
    ):
        command = [sys.executable, "-I", str(pyz), *words]
        output += subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr
    assert not set(shown) - set(output.splitlines())
