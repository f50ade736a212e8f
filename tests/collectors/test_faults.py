"""What goes wrong on hosts, and what the built file makes of it: a table that prints itself.

Each row is a fault, brought about for real, one run of the built file, and what must come of it: the exit status, the outcome
of the collector that it hits (and, always, that the others keep theirs), a word of the reason, and no more time than the
deadline and one second.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eidos.process.process_tree import descendants
from tests.fakes import nvml
from tests.fakes.bus import ANSWERS, GREETINGS, fake_bus
from tests.fakes.stuck_mount import stuck_mount
from tests.support.waiting import AMPLE_S, until

pytestmark = pytest.mark.slow

#: Seconds that a run is given; what is not ready then because the machine is busy is run again, with more.
DEADLINE, LONGER_DEADLINES = 2.0, (10.0, 60.0)

#: Collectors that the stage has a source for.
SOURCES = {"os.grub", "os.kmod", "os.release", "os.sysctl"}

GOOD_RELEASE = 'NAME="Example"\nID=example\nVERSION_ID="1"\n'


class Stage(NamedTuple):
    """A captured tree that is fine until a fault touches it, and how the built file is run on it."""

    root: Path
    environ: dict[str, str]
    arguments: list[str]

    def file(self, path: str, content: str | bytes = "") -> Path:
        """Write a file of the tree."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target


class Row(NamedTuple):
    """One line of the table."""

    fault: str
    description: str
    seconds: float


Fault = Callable[[Stage], Iterator[None]]
ROWS: list[Row] = []


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the rows when all have run."""
    ROWS.clear()
    yield
    lines = [f"{row.fault:<34} {row.seconds:5.2f}  {row.description}" for row in ROWS]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        print("\n\nwhat goes wrong, seconds, what the document says\n" + "\n".join(lines))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A small tree, and a library path for the fake driver."""
    stage = Stage(tmp_path / "host", {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}, [])
    stage.file("etc/os-release", GOOD_RELEASE)
    stage.file("etc/hostname", "gpu-07\n")
    stage.file("proc/cmdline", "quiet iommu=pt\n")
    stage.file("proc/modules", "nvidia 100 0 - Live 0x0000000000000000 (PO)\n")
    stage.file("proc/sys/vm/swappiness", "60\n")
    return stage


def run(pyz: Path, stage: Stage, timeout: float = DEADLINE) -> tuple[int, dict[str, Any], str, float]:
    """One snapshot of the stage: exit status, document, standard error, seconds."""
    command = [sys.executable, "-I", str(pyz), "snapshot", "-t", "json", "--timeout", f"{timeout}s", *stage.arguments]
    if "--root" not in stage.arguments:
        command += ["--root", str(stage.root)]
    began = time.monotonic()
    done = subprocess.run(command, env=stage.environ, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=AMPLE_S, check=False)
    seconds = time.monotonic() - began
    return done.returncode, json.loads(done.stdout or b"{}"), done.stderr.decode(), seconds


def outcome_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """What became of one collector."""
    result: dict[str, Any] = next(outcome for outcome in document["collectors"] if outcome["name"] == name)
    return result


def describe(outcome: dict[str, Any]) -> str:
    """All that an outcome says, in one line."""
    unread = "; ".join(f"{what}: {why}" for what, why in outcome.get("unreadable", {}).items())
    return f"{outcome['outcome']}: " + "; ".join(filter(None, (outcome.get("reason", ""), unread)))


# --- files ---------------------------------------------------------------------------------------------------------------------


def fifo(stage: Stage) -> Iterator[None]:
    (stage.root / "etc/os-release").unlink()
    os.mkfifo(stage.root / "etc/os-release")
    yield


def folder(stage: Stage) -> Iterator[None]:
    (stage.root / "etc/os-release").unlink()
    (stage.root / "etc/os-release").mkdir()
    yield


def huge(stage: Stage) -> Iterator[None]:
    os.truncate(stage.root / "etc/os-release", 100 << 20)
    yield


def loop(stage: Stage) -> Iterator[None]:
    release = stage.root / "etc/os-release"
    release.unlink()
    release.symlink_to("os-release")
    yield


def outside(stage: Stage) -> Iterator[None]:
    secret = stage.root.parent / "outside"
    secret.write_text("ID=outside\n")
    release = stage.root / "etc/os-release"
    release.unlink()
    release.symlink_to(f"../../../../../../../../../../..{secret}")
    yield


def latin(stage: Stage) -> Iterator[None]:
    stage.file("etc/os-release", b'NAME="Fran\xe7ais"\nID=example\n')
    yield


def no_permission(stage: Stage) -> Iterator[None]:
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    (stage.root / "etc/os-release").chmod(0)
    for path in (stage.root, *stage.root.parents):
        if Path(tempfile.gettempdir()) in path.parents:
            path.chmod(path.stat().st_mode | 0o055)
    stage.environ["UNPRIVILEGED"] = "1"
    yield


def input_output_error(stage: Stage) -> Iterator[None]:
    # The first page of a process's memory is not mapped, so reading there is EIO.
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to bind a file over another")
    target = stage.root / "proc/cmdline"
    done = subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/mem", str(target)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot bind a file here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


@contextlib.contextmanager
def stuck(folder: Path) -> Iterator[None]:
    """A dead file server over ``folder``; skipped where this process may not mount one."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(stuck_mount(folder))
        except OSError as fault:
            pytest.skip(f"cannot mount a file system here: {fault}")
        yield


def stuck_etc(stage: Stage) -> Iterator[None]:
    with stuck(stage.root / "etc"):
        yield


def stuck_root(stage: Stage) -> Iterator[None]:
    with stuck(stage.root):
        yield


def no_proc(stage: Stage) -> Iterator[None]:
    shutil.rmtree(stage.root / "proc")
    yield


def binary_sysctl(stage: Stage) -> Iterator[None]:
    stage.file("proc/sys/kernel/core_pattern", b"\x00\xff\xfe\x1b[31m\nerror: forged\n")
    yield


# --- the driver ----------------------------------------------------------------------------------------------------------------


def driver(*words: str) -> Fault:
    """A fake libnvidia-ml.so.1 that does what ``words`` tell it, seen by the running system."""

    def fault(stage: Stage) -> Iterator[None]:
        if shutil.which("gcc") is None:
            pytest.skip("no gcc to build the fake driver with")
        if Path("/proc/driver/nvidia/version").exists():
            pytest.skip("a real NVIDIA driver is here")
        library = nvml.build(stage.root.parent / "driver")
        stage.environ.update(LD_LIBRARY_PATH=str(library.parent), FAKE_NVML=" ".join(words))
        stage.arguments.extend(["--root", "/", "--only", "gpu,os.release"])
        yield

    return fault


def smi_hangs(stage: Stage) -> Iterator[None]:
    """NVML cannot be used, and the program that is asked instead never answers."""
    folder = stage.root.parent / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    stage.environ["PATH"] = f"{folder}:{stage.environ['PATH']}"
    yield from driver("fail=nvmlInitWithFlags:999")(stage)


def no_driver(stage: Stage) -> Iterator[None]:
    for address in ("0000:0f:00.0", "0000:10:00.0"):
        folder = f"sys/devices/pci{address[:7]}/{address}"
        stage.file(f"{folder}/vendor", "0x10de\n")
        stage.file(f"{folder}/class", "0x030200\n")
        stage.file(f"{folder}/uevent", "PCI_CLASS=30200\nPCI_ID=10DE:2330\n")
        link = stage.root / "sys/bus/pci/devices" / address
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../../../devices/pci{address[:7]}/{address}")
    yield


def leads_nowhere(stage: Stage) -> Iterator[None]:
    (stage.root / "proc/sys/vm/gone").symlink_to("nothing")
    yield


# --- the bus -------------------------------------------------------------------------------------------------------------------


def bus(how: str) -> Fault:
    """A peer on the system bus's socket that goes wrong."""

    def fault(stage: Stage) -> Iterator[None]:
        with fake_bus(stage.root / "run/dbus/system_bus_socket", {}, fault=how):
            yield

    return fault


def dead_socket(stage: Stage) -> Iterator[None]:
    import socket

    path = stage.root / "run/dbus"
    path.mkdir(parents=True)
    here = os.getcwd()
    os.chdir(path)  # the whole path may be longer than an address may be
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("system_bus_socket")
    finally:
        os.chdir(here)
    yield


# fault, what brings it about, the collector it hits, the outcome, a word of what is said
FAULTS: list[tuple[str, Fault, str, str, str]] = [
    ("a FIFO", fifo, "os.release", "partial", "fifo"),
    ("a folder in a file's place", folder, "os.release", "partial", "directory"),
    ("100 MB", huge, "os.release", "partial", "larger than"),
    ("a link to itself", loop, "os.release", "partial", "too many levels"),
    ("a link out of the root", outside, "os.release", "skipped", "neither"),
    ("not UTF-8", latin, "os.release", "partial", "not UTF-8"),
    ("permission denied", no_permission, "os.release", "partial", "permission denied"),
    ("an I/O error", input_output_error, "os.grub", "partial", "input/output error"),
    ("a dead file server at /etc", stuck_etc, "os.release", "failed", "deadline"),
    ("no /proc", no_proc, "os.sysctl", "skipped", "/proc/sys"),
    ("binary in a sysctl", binary_sysctl, "os.sysctl", "partial", "not UTF-8"),
    ("the second GPU hangs", driver("hang=nvmlDeviceGetEccMode@1"), "gpu", "partial", "deadline"),
    ("nvmlInit never returns", driver("hang=nvmlInitWithFlags"), "gpu", "failed", "deadline"),
    ("NVML ends the process", driver("crash=nvmlDeviceGetName"), "gpu", "partial", "signal 6"),
    ("driver/library mismatch", driver("fail=nvmlInitWithFlags:18"), "gpu", "failed", "different versions"),
    ("a GPU fell off the bus", driver("fail=*@3:15"), "gpu", "partial", "lost"),
    ("nvidia-smi never returns", smi_hangs, "gpu", "failed", "nvidia-smi"),
    ("devices without a driver", no_driver, "gpu", "skipped", "2 NVIDIA devices on the PCI bus are without a kernel driver"),
    ("a link that leads nowhere", leads_nowhere, "os.sysctl", "partial", "dangling symbolic link"),
    ("a socket without a listener", dead_socket, "systemd", "failed", "refused"),
    *((f"bus: {how}", bus(how), "systemd", "failed", "") for how in (*GREETINGS, *ANSWERS)),
]


@pytest.mark.parametrize(("fault", "cause", "hit", "outcome", "word"), FAULTS, ids=[row[0].replace(" ", "-") for row in FAULTS])
def test_fault(pyz: Path, stage: Stage, fault: str, cause: Fault, hit: str, outcome: str, word: str) -> None:
    with contextlib.contextmanager(cause)(stage):
        if stage.environ.pop("UNPRIVILEGED", None):
            status, document, errors, seconds = run_unprivileged(pyz, stage)
        else:
            status, document, errors, seconds = run(pyz, stage)
            for deadline in LONGER_DEADLINES:
                result, late = outcome_of(document, hit), [each for each in document["collectors"] if "deadline" in each.get("reason", "")]
                if word.lower() in describe(result).lower() and (cause is stuck_etc or late in ([], [result])):
                    break
                status, document, errors, seconds = run(pyz, stage, deadline)
    result = outcome_of(document, hit)
    ROWS.append(Row(fault, f"{hit} {describe(result)}".replace(str(stage.root), "")[:110], seconds))
    assert "Traceback" not in errors
    assert status == 0, errors
    if outcome:
        assert result["outcome"] == outcome, result
        assert word.lower() in describe(result).lower(), result
    assert "outside" not in json.dumps(document)
    assert seconds < AMPLE_S
    others = [o for o in document["collectors"] if o["name"] != hit and o["name"].startswith("os.")]
    if cause is not no_proc and cause is not stuck_etc and "/" not in stage.arguments:
        assert {o["name"] for o in others if o["outcome"] == "ok"} >= SOURCES - {hit}, others
        # The stage names a module, and no kernel that has it.
        assert all(o["outcome"] in ("ok", "skipped") or o["name"] == "os.modules" for o in others), others
    if cause is stuck_etc:
        assert outcome_of(document, "os.sysctl")["outcome"] == outcome_of(document, "os.kmod")["outcome"] == "ok"
        assert not any("not started" in o.get("reason", "") for o in others), "each has its try"


def run_unprivileged(pyz: Path, stage: Stage) -> tuple[int, dict[str, Any], str, float]:
    """The same run as another user, from a copy of the built file that this user may read."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("no interpreter of the system that another user may run")
    copy = Path("/tmp") / f"eidos-{os.getpid()}.pyz"
    shutil.copy(pyz, copy)
    copy.chmod(0o644)
    began = time.monotonic()
    try:
        command = [python, "-I", str(copy), "snapshot", "-t", "json", "--timeout", f"{AMPLE_S}s", "--root", str(stage.root)]
        done = subprocess.run(
            command, user=65534, group=65534, extra_groups=[], env=stage.environ, cwd="/", capture_output=True, timeout=AMPLE_S, check=False
        )
    finally:
        copy.unlink()
    return done.returncode, json.loads(done.stdout or b"{}"), done.stderr.decode(), time.monotonic() - began


def test_a_root_that_never_answers(pyz: Path, stage: Stage) -> None:
    with contextlib.contextmanager(stuck_root)(stage):
        status, document, errors, seconds = run(pyz, stage)
    ROWS.append(Row("a dead file server as the root", errors.splitlines()[0].replace(str(stage.root), "/host")[:110], seconds))
    assert (status, document) == (124, {})
    assert "error: " in errors and "hint: " in errors
    assert seconds < AMPLE_S


def test_a_home_that_never_answers(pyz: Path, stage: Stage, tmp_path: Path) -> None:
    home = tmp_path / "home of somebody"
    home.mkdir()
    stage.environ["HOME"] = str(home)
    with stuck(home):
        status, document, errors, seconds = run(pyz, stage)
    ROWS.append(Row("a dead file server for the home", errors.splitlines()[0].replace(str(home), "~")[:110], seconds))
    assert status == 0 and document["kind"] == "Snapshot"
    assert "continuing without a configuration file" in errors


def test_an_output_that_never_answers(pyz: Path, stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "server"
    path.mkdir()
    stage.arguments.extend(["-o", str(path / "node.yaml")])
    with stuck(path):
        status, document, errors, seconds = run(pyz, stage)
    ROWS.append(Row("a dead file server for the output", errors.splitlines()[0].replace(str(path), "/server")[:110], seconds))
    assert (status, document) == (124, {})
    assert "--output" in errors and "hint: " in errors
    assert seconds < AMPLE_S


def test_a_full_disk_and_a_closed_pipe(pyz: Path, stage: Stage) -> None:
    for path, stdout in (("/dev/full", None), ("-", "/dev/full")):
        began = time.monotonic()
        with open(stdout or os.devnull, "wb") as out:
            command = [sys.executable, "-I", str(pyz), "snapshot", "--root", str(stage.root), "-o", path]
            done = subprocess.run(command, env=stage.environ, stdout=out, stderr=subprocess.PIPE, timeout=AMPLE_S, check=False)
        ROWS.append(Row(f"-o {path}{' to ' + stdout if stdout else ''}", done.stderr.decode().splitlines()[0], time.monotonic() - began))
        assert done.returncode == 1
        assert b"no space left" in done.stderr.lower() and b"Traceback" not in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    began = time.monotonic()
    command = [sys.executable, "-I", str(pyz), "snapshot", "--root", str(stage.root)]
    done = subprocess.run(command, env=stage.environ, stdout=writer, stderr=subprocess.PIPE, timeout=AMPLE_S, check=False)
    os.close(writer)
    ROWS.append(Row("a closed pipe", f"exit status {done.returncode}", time.monotonic() - began))
    assert done.returncode == 141, "as if SIGPIPE had ended it"
    assert b"error: " not in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_without_half_a_file(pyz: Path, stage: Stage, tmp_path: Path, number: int, status: int) -> None:
    path = tmp_path / "out" / "node.yaml"
    path.parent.mkdir()
    with fake_bus(stage.root / "run/dbus/system_bus_socket", {}, fault="silence"):
        command = [sys.executable, "-I", str(pyz), "snapshot", "--root", str(stage.root), "-o", str(path), "--timeout", "10m"]
        process = subprocess.Popen(command, env=stage.environ, stderr=subprocess.PIPE)
        until(descendants, [process.pid])
        began = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=AMPLE_S)
        seconds = time.monotonic() - began
    ROWS.append(Row(signal.Signals(number).name, errors.decode().splitlines()[-1], seconds))
    assert process.returncode == status
    assert b"Traceback" not in errors
    assert not list(path.parent.iterdir())
    assert seconds < AMPLE_S


def test_what_a_host_says_cannot_forge_a_line_of_the_log(pyz: Path, stage: Stage) -> None:
    stage.file("etc/os-release", 'ID="x\x1b[31m\nerror: forged"\n')
    stage.arguments.extend(["--log-format", "json", "--debug"])
    status, document, errors, _ = run(pyz, stage)
    assert status == 0 and document["kind"] == "Snapshot"
    for line in errors.splitlines():
        entry = json.loads(line)
        assert {"time", "level", "msg"} <= set(entry)
        assert "\x1b" not in line


def test_hardly_any_descriptors_are_left(pyz: Path, stage: Stage) -> None:
    """With too few descriptors for all children at once, some wait for others to end."""
    began = time.monotonic()
    command = ["sh", "-c", f"ulimit -n 12; exec {sys.executable} -I {pyz} snapshot -t json --root {stage.root}"]
    done = subprocess.run(command, env=stage.environ, capture_output=True, timeout=AMPLE_S, check=False)
    ROWS.append(Row("12 descriptors", f"exit {done.returncode}", time.monotonic() - began))
    assert b"internal error" not in done.stderr
    outcomes = {outcome["name"]: outcome for outcome in json.loads(done.stdout)["collectors"]}
    assert outcomes["os.sysctl"]["outcome"] == outcomes["os.release"]["outcome"] == "ok"
    assert not any("too many open files" in outcome.get("reason", "") for outcome in outcomes.values())
    assert done.returncode == 0


def test_a_root_without_devices(pyz: Path, stage: Stage) -> None:
    """In a bare chroot there is no /dev/null, and nothing here needs it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    script = 'mount -t tmpfs none /dev && exec "$@"'
    command = [
        "unshare",
        "-m",
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-I",
        str(pyz),
        "snapshot",
        "-t",
        "json",
        "--root",
        str(stage.root),
    ]
    began = time.monotonic()
    done = subprocess.run(command, env=stage.environ, stdin=subprocess.PIPE, capture_output=True, timeout=AMPLE_S, check=False)
    ROWS.append(Row("no /dev/null", f"exit {done.returncode}", time.monotonic() - began))
    assert done.returncode == 0, done.stderr
    assert outcome_of(json.loads(done.stdout), "os.release")["outcome"] == "ok"


@pytest.mark.parametrize("limit", [5, 6, 7])
def test_no_descriptor_is_left(pyz: Path, stage: Stage, limit: int) -> None:
    command = ["sh", "-c", f"ulimit -n {limit}; exec {sys.executable} -I {pyz} snapshot -t json --fail-fast --root {stage.root}"]
    done = subprocess.run(command, env=stage.environ, capture_output=True, timeout=AMPLE_S, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert (b"cannot start a process: too many open files" if limit == 5 else b"too many open files") in done.stderr
    assert b"internal error" not in done.stderr
