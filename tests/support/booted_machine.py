"""A machine that has really booted: systemd and a message bus in a container over this machine's own files.

Knows systemd-nspawn, overlays and namespaces; must not know what a test wants to see. All mounts are made in a mount namespace
of the container's own, on memory, so that nothing is left when its processes are gone, and this machine's files cannot
change. It needs root, and the programs systemd-nspawn (package systemd-container), dbus-daemon (dbus), unshare and nsenter (util-linux).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SYSTEMD = ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")
PROGRAMS = ("systemd-nspawn", "dbus-daemon", "unshare", "nsenter", "mount")

#: Runs in a mount namespace of its own: "$1" a folder for the overlay, "$2" what goes on top of it.
SCRIPT = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
cp -r "$2/." "$1/upper/"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
folder=$1
shift 2
exec systemd-nspawn --directory="$folder/root" "$@"
"""


class Machine:
    """A booted container: ``leader`` is the process that is PID 1 inside, ``root`` its file tree as seen from here."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.root = Path(f"/proc/{leader}/root")

    def run(self, *words: str, timeout: float = 60) -> str:
        """What a program says that runs inside as root, in all of the machine's namespaces; it must succeed."""
        command = ["nsenter", f"--target={self.leader}", "--all", "--", *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr or done.stdout}"
        return done.stdout

    def python(self, source: str, *words: str) -> str:
        """What a Python program prints that runs inside with this interpreter and can import eidos."""
        start = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); sys.dont_write_bytecode = True\n"
        return self.run(os.path.realpath(sys.executable), "-I", "-S", "-c", start + source, *words)


@contextmanager
def booted(folder: Path, files: Mapping[str, str], *options: str) -> Iterator[Machine]:
    """Boot a machine that has ``files`` (path without its leading slash -> content) beside this machine's; skips where it cannot.

    ``options`` are more of systemd-nspawn: with ``--private-network`` it may write its own ``/proc/sys/net``.

    ``folder`` is an empty one to work in. It boots to basic.target and has a message bus with systemd on it.
    """
    if os.geteuid() != 0:
        pytest.skip("booting systemd needs root")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing or not any(map(os.path.exists, SYSTEMD)):
        pytest.skip(f"booting systemd needs {', '.join(missing) or 'systemd'} (packages systemd-container, dbus, util-linux)")
    upper, overlay = folder / "files", folder / "overlay"
    overlay.mkdir()
    for path, content in files.items():
        target = upper / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    # /tmp is empty inside, and the interpreter or the repository may lie on another file system.
    binds = [f"--bind-ro={path}" for path in (str(REPOSITORY), sys.base_prefix) if not path.startswith("/usr")]
    flags = [
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--link-journal=no",
        "--console=pipe",
        *binds,
        f"--machine=eidos-{os.getpid()}",
        *options,
    ]
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", SCRIPT, "sh", str(overlay), str(upper), *flags]
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(
            [*command, "systemd.unit=basic.target", "systemd.log_target=console"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
        try:
            leader = _wait_for_boot(process)
            if not leader:
                log.seek(0)
                output = log.read()[-800:].decode("utf-8", "replace").strip()
                pytest.skip(f"systemd does not boot here: {output or 'it says nothing'}")
            yield Machine(leader)
        finally:
            _end(process)


def _wait_for_boot(process: subprocess.Popen[bytes]) -> int:
    """The process that is PID 1 inside, once its units have started; 0 when that does not happen."""
    patience = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < patience:
        for pid in _children(process.pid):
            root = Path(f"/proc/{pid}/root")
            if _name(pid) == "systemd" and all((root / path).exists() for path in ("run/systemd/private", "run/dbus/system_bus_socket")):
                # "degraded" is good enough: not every unit of this machine works in a container.
                _inside(pid, "systemctl", "is-system-running", "--wait")
                # The bus starts when it is first asked, and systemd comes to it a moment later.
                if _inside(pid, "busctl", "status", "org.freedesktop.systemd1") == 0:
                    return pid
        time.sleep(0.05)
    return 0


def _inside(pid: int, *words: str) -> int:
    command = ["nsenter", f"--target={pid}", "--all", "--", *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False).returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the container to stop, then stop it: with its PID 1 all processes inside are gone."""
    leaders = _children(process.pid)
    for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        if process.poll() is None:
            for pid in leaders if number == signal.SIGKILL else []:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            process.send_signal(number)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
