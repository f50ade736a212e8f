"""Every command of the README and of the manual works as written, in a copy of the tree, and prints what is shown there."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eidos import make_bundle, make_recipe, to_json, write_bundle
from eidos.cli import commands, exit_status
from eidos.cli.help import TOPICS
from tests.fakes.apiserver import ApiServer
from tests.fakes.job_controller import JobController
from tests.fakes.oci_registry import OciRegistry
from tests.manifest.test_kubectl import OF_PROJECTS
from tests.project.documents import DOCUMENTS, all_commands, differing_output, prose_words
from tests.support.server_process import free_port
from tests.support.smi_output import smi_output
from tests.support.tools import find_tools
from tests.support.waiting import AMPLE_S

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = all_commands()

#: Words that a command needs a cluster for.
CLUSTER_WORDS = re.compile(r"kubectl |cm://| --kubernetes\b")

#: A captured host, which gives the same output everywhere.
CAPTURED = ROOT / "tests" / "hosts" / "ubuntu-22.04"

#: The check whose finding the README shows, and the fleet whose odd node; their screens have tests of their own.
FIRST_CHECK = "eidos check --intent training"
ODD_FLEET = "eidos fleet --hosts 'gpu-[01-08]' -o today"

#: Runs the built file on the day of the README's screen: what is judged by dates is then judged as it was.
ON_THAT_DAY = (
    "import runpy, sys, time; time.time = lambda: 1795932000.0; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)

#: What the README says of releases, until there is one.
RELEASES = re.compile(r"https://eidos\.example\.com/releases/[0-9.]+")

#: A row of its memory waits for a reset to be remapped.
PENDING_ROW = {"remapped_row_pending": "Yes"}

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
    port = free_port()
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
        for _ in range(300):
            if subprocess.run([str(programs / "ssh"), "gpu-07.example.com", "true"], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            pytest.fail("sshd does not let us in")
        yield programs
    finally:
        server.terminate()
        server.wait(AMPLE_S)


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


def test_the_first_commands_are_those_of_a_stranger() -> None:
    written = [shown.command for shown in COMMANDS if shown.document == "README.md"]
    assert written[0] == FIRST_CHECK
    assert "python3 build_zipapp.py" in written
    assert "`python3 -m tests`" in README


def test_the_readme_is_short() -> None:
    assert prose_words(README) <= 900


def test_links_lead_to_files() -> None:
    links = [(path, link) for path in DOCUMENTS for link in re.findall(r"\]\((?!https://)([^)#]+)", path.read_text(encoding="utf-8"))]
    assert len(links) > 10
    assert not [link for path, link in links if not (path.parent / link).exists()]
    assert all(f"(templates/help/{topic}.md)" in README for topic in TOPICS)


def test_the_tables_are_those_of_the_program_and_its_data() -> None:
    rows = [f"| `{name}` | {summary} |" for name, (_, summary) in commands.COMMANDS.items()]
    rows += [f"| {status} | {meaning} |" for status, meaning in exit_status.EXIT_STATUS_HELP.items()]
    rows += [f"| [{topic}](templates/help/{topic}.md) | {subject} |" for topic, subject in TOPICS.items()]
    assert not [row for row in rows if f"\n{row}\n" not in README]


def test_the_first_screen_is_a_check_with_a_finding_and_its_remedy(pyz: Path, tmp_path: Path, update_golden: bool) -> None:
    """What the built file prints of a captured host, one of whose GPUs waits for a reset; in one screen of a terminal.

    The verdict counts all checks: with a new one, ``--update-golden`` writes its line.
    """
    (tmp_path / "smi.xml").write_text(smi_output(CAPTURED, "NVIDIA A100-SXM4-80GB", "Ampere", "535.54.03", "12.2", {6: PENDING_ROW}))
    done = subprocess.run(
        [sys.executable, "-I", "-c", ON_THAT_DAY, str(pyz), *shlex.split(FIRST_CHECK)[1:], "--root", str(CAPTURED), "--smi", "smi.xml"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    (shown,) = (shown.output for shown in COMMANDS if shown.command == FIRST_CHECK and shown.document == "README.md")
    if update_golden:
        text = README.replace(shown.partition("\n\n")[0], done.stdout.partition("\n\n")[0], 1)
        (ROOT / "README.md").write_text(text, encoding="utf-8")
    assert not differing_output(shown, done.stdout), done.stdout
    assert re.match(r"gpu-01\.example\.com: 1 error, ", shown)
    assert len(re.findall(r"^ +do: ", shown, re.MULTILINE)) == len(re.findall(r"^(?:critical|error|warning) ", shown, re.MULTILINE)) > 1
    assert README.index("```console") < README.index("\n## ")
    assert shown.count("\n") <= 35


@pytest.mark.slow
def test_the_odd_node_of_the_readme_is_what_a_fleet_prints(pyz: Path, tmp_path: Path) -> None:
    for number in range(1, 9):
        root = tmp_path / f"gpu-{number:02}"
        shutil.copytree(CAPTURED, root, symlinks=True)
        (root / "etc" / "hostname").write_text(f"{root.name}.example.com\n")
    modules = root.parent / "gpu-06" / "proc" / "modules"
    modules.write_text("".join(line for line in modules.read_text().splitlines(True) if not line.startswith("nvidia_peermem ")))
    (tmp_path / "gpu-06/proc/sys/kernel/osrelease").write_text("5.15.0-97-generic\n")
    (tmp_path / "gpu-06/proc/sys/net/core/somaxconn").write_text("128\n")
    reach = tmp_path / "reach"
    reach.write_text(f'#!/bin/sh\nhost=$1; shift\nEIDOS_ROOT={tmp_path}/$host PATH={Path(sys.executable).parent}:$PATH exec "$@"\n')
    reach.chmod(0o755)
    command = [sys.executable, "-I", str(pyz), *shlex.split(ODD_FLEET)[1:], "--via", f"{reach} {{host}}"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (shown,) = (shown.output for shown in COMMANDS if shown.command == ODD_FLEET)
    assert done.stdout == shown


@pytest.fixture
def port() -> int:
    """For the README's 8080."""
    return free_port()


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
        output = server.communicate(timeout=AMPLE_S)[1]
    assert server.returncode == 0, output
    assert "Traceback" not in output


@pytest.fixture
def release(pyz: Path, tmp_path: Path) -> Path:
    """A folder with what the release workflow attaches to a release."""
    shutil.copy(pyz, tmp_path / "eidos.pyz")
    shutil.copy(pyz, tmp_path / "eidos-agent.pyz")
    lines = subprocess.run(["sha256sum", "eidos.pyz", "eidos-agent.pyz"], cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout
    (tmp_path / "SHA256SUMS").write_bytes(lines)
    (tmp_path / "eidos-agent.pyz").unlink()
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_command_works(tree: Path, remote: Path | str, cluster: dict[str, str] | str, release: Path, port: int) -> None:
    with contextlib.ExitStack() as servers:
        every_command_works(tree, remote, cluster, release, port, servers)


def every_command_works(
    tree: Path, remote: Path | str, cluster: dict[str, str] | str, release: Path, port: int, servers: contextlib.ExitStack
) -> None:
    programs = tree.parent / "programs"
    programs.mkdir()
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "sudo").chmod(0o755)
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    if isinstance(remote, Path):
        path.insert(0, str(remote))
    environ = {"PATH": ":".join(path), "HOME": str(tree.parent), "LC_ALL": "C.UTF-8", "IN_TESTS_VENV": "1", "COLUMNS": "80"}
    registry = servers.enter_context(OciRegistry())
    skipped = []
    for shown in COMMANDS:
        command = shown.command
        if command in (FIRST_CHECK, ODD_FLEET):
            continue
        if re.match(r"(ssh|scp) |.* fleet --hosts", command) and isinstance(remote, str):
            skipped.append(f"{command}: {remote}")
            continue
        variables = {}
        if CLUSTER_WORDS.search(command):
            if isinstance(cluster, str):
                skipped.append(f"{command}: {cluster}")
                continue
            variables = {"KUBECONFIG": cluster["KUBECONFIG"], "PATH": f"{cluster['FOLDER']}:{environ['PATH']}"}
        if (shown.asks_server or command.startswith("curl ")) and shutil.which("curl") is None:
            skipped.append(f"{command}: needs curl")
            continue
        words = RELEASES.sub(release.as_uri(), command).replace("--root /host", "--root /").replace("8080", str(port))
        words = words.replace("/usr/local/bin", str(programs)).replace("https://eidos.example.com", f"http://127.0.0.1:{port}")
        if "oci://" in command:
            words = words.replace("oci://registry.example.com", f"oci://{registry.host}")
            variables["EIDOS_PLAIN_HTTP"] = "1"
        if command.startswith("eidos serve"):
            servers.enter_context(served(words, tree, environ))
            continue
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", words],
            cwd=tree,
            env={**environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        where = f"{shown.document}: {command}"
        assert done.returncode == 0, f"{where}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr
        assert not differing_output(shown.output, done.stdout), f"{where}\n{done.stdout[:4000]}"
    if isinstance(remote, Path):
        assert "kind: Snapshot" in (tree / "gpu-07.yaml").read_text()
    if skipped:
        pytest.skip("; ".join(skipped))


#: Runs a command line in a process where an attempt to connect anywhere, or to look up a name, is a failure.
OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname") or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        sys.stderr.write(f"contacted: {event} {arguments}\\n")
sys.addaudithook(refuse)
from eidos.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["snapshot", "-o", "node.yaml"],
        ["recipe", "--gpu", "h100", "--service", "eks", "-o", "recipe.yaml"],
        ["recipe", "list"],
        pytest.param(["recipe", "lint"], marks=pytest.mark.slow),
        ["bundle", "lint"],
        ["bundle", "-f", "recipe.json", "-o", "bundle"],
        ["verify", "bundle"],
        ["manifest", "agent", "--delivery", "hostpath"],
        ["completion", "bash"],
        ["version"],
        ["help", "secrets"],
    ],
)
@pytest.mark.slow
def test_nothing_is_contacted_without_a_request(tmp_path: Path, words: list[str]) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    if words[0] in ("bundle", "verify"):
        recipe = make_recipe({"gpu": "h100", "service": "eks"})
        (tmp_path / "recipe.json").write_text(to_json(recipe.to_tree()))
        if words[0] == "verify":
            write_bundle(make_bundle(recipe), str(tmp_path / "bundle"))
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "contacted: " not in done.stderr


def test_a_contact_would_be_noticed(tmp_path: Path) -> None:
    words = ["recipe", "--server", "http://127.0.0.1:9", "--gpu", "h100", "--timeout", "2s"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", OFFLINE, *words], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert "contacted: " in done.stderr
