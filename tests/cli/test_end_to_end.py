"""The built file on real systems: every interpreter, an idle host, other namespaces, a booted machine, one collector more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.files.container_root import is_container_root
from tests.fakes import go_reader
from tests.support.booted_machine import Machine, booted

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent

#: What may differ between two snapshots of an idle host.
CHANGES = re.compile(r"^\s*(snapshot-timestamp: .*|milliseconds: .*)$")


def take(python: str, pyz: Path, *arguments: str, prefix: tuple[str, ...] = (), env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the built file isolated, from the root folder, with a home that cannot be written."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/proc", "LC_ALL": "C.UTF-8", **(env or {})}
    command = [*prefix, python, "-I", str(pyz), "snapshot", *arguments]
    done = subprocess.run(command, cwd="/", env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def subtypes(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Data of each subtype, under ``Type.subtype``."""
    return {f"{m['type']}.{s['subtype']}": s["data"] for m in document["measurements"] for s in m["subtypes"]}


def outcomes(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {outcome["name"]: outcome for outcome in document["collectors"]}


def test_a_snapshot_under_every_interpreter(pyz: Path, python: str) -> None:
    status, text, errors = take(python, pyz)
    assert status == 0, errors
    document = yaml.safe_load(text)
    assert (document["kind"], document["apiVersion"]) == ("Snapshot", "snapshot.dgxc.io/v1")
    assert [m["type"] for m in document["measurements"]] == ["K8s", "SystemD", "OS", "GPU"]
    data = subtypes(document)
    assert data["OS.sysctl"]["/proc/sys/kernel/osrelease"] == os.uname().release
    assert is_container_root() or set(data["OS.release"]) >= {"ID", "NAME"}
    assert not outcomes(document)["os.sysctl"].get("reason")
    status, text, _ = take(python, pyz, "-t", "json")
    assert status == 0
    again = json.loads(text)
    assert {k: v for k, v in again.items() if k not in ("metadata", "collectors")} == {
        k: v for k, v in document.items() if k not in ("metadata", "collectors")
    }
    status, text, _ = take(python, pyz, "-t", "table", env={"COLUMNS": "80"})
    assert status == 0
    assert max(map(len, text.splitlines())) <= 80


def test_an_idle_host_gives_the_same_bytes_but_for_time_and_duration(pyz: Path) -> None:
    first, second = (take(sys.executable, pyz)[1].splitlines() for _ in range(2))
    assert len(first) > 100
    different = [(a, b) for a, b in zip(first, second) if a != b]
    assert len(first) == len(second)
    assert all(CHANGES.match(a) and CHANGES.match(b) for a, b in different), different


def test_volatile_readings_stand_apart(pyz: Path) -> None:
    plain = subtypes(json.loads(take(sys.executable, pyz, "-t", "json", "--only", "os")[1]))
    volatile = subtypes(json.loads(take(sys.executable, pyz, "-t", "json", "--only", "os", "--volatile")[1]))
    apart = set(volatile) - set(plain)
    assert {"OS.sysctl.volatile", "OS.memory.volatile"} <= apart and all(name.endswith(".volatile") for name in apart)
    assert {name: data for name, data in volatile.items() if name in plain} == plain
    assert not [name for name in apart if set(volatile[name]) & set(plain.get(name.removesuffix(".volatile"), {}))]
    assert "/proc/sys/kernel/random/boot_id" in volatile["OS.sysctl.volatile"]


def test_what_go_reads_of_it(pyz: Path, tmp_path: Path) -> None:
    missing = go_reader.why_missing()
    if missing:
        pytest.skip(missing)
    reader = go_reader.GoReader(tmp_path)
    try:
        text = take(sys.executable, pyz)[1]
        assert reader.read("yaml", text) == yaml.safe_load(text)
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("flag", "unread", "right"),
    [("--net", "/proc/sys/net/", "hostNetwork"), ("--ipc", "/proc/sys/kernel/shm", "hostIPC"), ("--uts", "/proc/sys/kernel/hostname", "")],
)
def test_what_a_namespace_shows_is_never_taken_for_the_hosts(pyz: Path, flag: str, unread: str, right: str) -> None:
    if subprocess.run(["unshare", flag, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"unshare {flag} is not allowed here")
    document = json.loads(take(sys.executable, pyz, "-t", "json", prefix=("unshare", flag))[1])
    outcome = outcomes(document)["os.sysctl"]
    assert outcome["outcome"] == "partial"
    reasons = {path: why for path, why in outcome["unreadable"].items() if path.startswith(unread)}
    assert reasons and all(right in why and "namespace" in why for why in reasons.values())
    assert not [key for key in subtypes(document)["OS.sysctl"] if key.startswith(unread)]
    if flag == "--uts":
        # A name that was changed in the namespace is the container's.
        script = f"hostname container; exec {sys.executable} -I {pyz} snapshot -t json --only os.kmod"
        done = subprocess.run(["unshare", flag, "sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert json.loads(done.stdout)["metadata"]["source-node"] != "container"


ONE_MORE = '''"""How long the host has been up, from ``/proc/uptime``."""

from __future__ import annotations

from eidos.model.measurement import Subtype


def collect(sources):
    yield Subtype("uptime", {"seconds": float(sources.host.read_text("/proc/uptime").split()[0])})
'''


def test_a_collector_is_one_file_and_nothing_edited(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist", "tests", ".hypothesis")
    shutil.copytree(ROOT, tree, ignore=ignored, symlinks=True)
    (tree / "eidos/collectors/os_uptime.py").write_text(ONE_MORE)
    built = tmp_path / "eidos.pyz"
    subprocess.run(
        [sys.executable, str(tree / "build_zipapp.py"), "--bytecode", sys.executable, "-o", str(built)], check=True, capture_output=True
    )
    listed = subprocess.run([sys.executable, "-I", str(built), "snapshot", "--list"], capture_output=True, text=True, check=True).stdout
    assert "os.uptime" in listed and "How long the host has been up" in listed
    document = json.loads(take(sys.executable, built, "-t", "json", "--only", "os.uptime")[1])
    assert subtypes(document)["OS.uptime"]["seconds"] > 0
    assert outcomes(document)["os.uptime"]["outcome"] == "ok"


UNIT = """[Unit]
Description=stands in for containerd

[Service]
Environment=LEVEL=info REGISTRY_TOKEN=s3cret-value
ExecStart=/bin/sleep infinity
LimitSTACK=67108864

[Install]
WantedBy=basic.target
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, pyz: Path) -> Iterator[Machine]:
    files = {
        "etc/systemd/system/containerd.service": UNIT,
        "etc/systemd/system/basic.target.wants/containerd.service": UNIT,
    }
    with booted(tmp_path_factory.mktemp("booted"), files) as running:
        (running.root / "root/eidos.pyz").write_bytes(pyz.read_bytes())
        running.run("systemctl", "start", "containerd.service")
        yield running


def containerd(document: dict[str, Any]) -> dict[str, Any]:
    data = subtypes(document)["SystemD.containerd.service"]
    assert (data["LoadState"], data["ActiveState"], data["LimitSTACK"]) == ("loaded", "active", 67108864)
    assert data["Environment"] == "[LEVEL=info REGISTRY_TOKEN=<withheld>]"
    assert outcomes(document)["systemd"]["withheld"] >= 1
    return data


def test_inside_a_booted_machine(machine: Machine) -> None:
    text = machine.run(os.path.realpath(sys.executable), "-I", "/root/eidos.pyz", "snapshot", "-t", "json", "--require", "systemd")
    document = json.loads(text)
    assert outcomes(document)["systemd"]["outcome"] == "ok"
    assert "s3cret" not in text
    containerd(document)
    assert subtypes(document)["SystemD.crio.service"]["LoadState"] == "not-found"


def test_from_outside_a_booted_machine_over_its_bus(machine: Machine, pyz: Path) -> None:
    """The private socket refuses peers of another PID namespace; the system bus answers."""
    status, text, errors = take(sys.executable, pyz, "-t", "json", "--root", str(machine.root), "--only", "systemd", "--debug")
    assert status == 0, errors
    assert "systemd: " in errors and "private" in errors
    inside = json.loads(
        machine.run(os.path.realpath(sys.executable), "-I", "/root/eidos.pyz", "snapshot", "-t", "json", "--only", "systemd")
    )
    assert containerd(json.loads(text)) == containerd(inside)


def test_two_snapshots_of_an_idle_machine_differ_in_time_alone(machine: Machine) -> None:
    python = os.path.realpath(sys.executable)
    first, second = (
        machine.run(python, "-I", "/root/eidos.pyz", "snapshot", "--only", "systemd,os.release").splitlines() for _ in range(2)
    )
    assert len(first) == len(second) > 100
    assert all(CHANGES.match(a) for a, b in zip(first, second) if a != b)
