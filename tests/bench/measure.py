"""Alternating runs of whole commands: wall time, and the peak memory of the largest process.

Knows processes and medians; must not know what the commands do.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# A child's ru_maxrss starts at what its launcher had, so the launcher is as small as an interpreter can be.
LAUNCHER = """
import os, resource, sys
null = os.open("/dev/null", os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
status = os.waitpid(pid, 0)[1]
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, status)
"""

# Starts the launcher, and waits for the processes that the command leaves behind as well: theirs are the second figure.
REAPER = """
import ctypes, os, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
launcher, left_behind = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", *sys.argv[1:]], os.environ), 0
while True:
    try:
        pid, _, usage = os.wait4(-1, 0)
    except ChildProcessError:
        break
    left_behind = max(left_behind, usage.ru_maxrss if pid != launcher else 0)
print(left_behind)
"""

COMPILE = """
import importlib.util, marshal, struct, sys
code = compile("pass", "empty/__main__.py", "exec")
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, 0, 0) + marshal.dumps(code))
"""


class Figures(NamedTuple):
    """Of one command: seconds of each run, and peak memory in KiB of its largest process."""

    seconds: list[float]
    kibibytes: int

    @property
    def median(self) -> float:
        """Seconds, the middle of all runs."""
        return statistics.median(self.seconds)


def empty_zipapp(python: str, folder: Path) -> Path:
    """An archive that holds nothing but the bytecode of an empty ``__main__`` for this interpreter."""
    code = subprocess.run([python, "-I", "-S", "-c", COMPILE], stdout=subprocess.PIPE, check=True).stdout
    path = folder / "empty.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.pyc", code)
    return path


def alternate(commands: Mapping[str, Sequence[str]], runs: int, environ: Mapping[str, str] | None = None) -> dict[str, Figures]:
    """Run every command ``runs`` times, in turns, so that whatever else the machine does falls on all of them alike.

    Raises RuntimeError when a command ends by a signal or with a status above 1 in its first run.
    """
    memory = {name: peak(command, environ) for name, command in commands.items()}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ, check=False
            )
            seconds[name].append(time.perf_counter() - began)
    return {name: Figures(seconds[name], memory[name]) for name in commands}


def peak(command: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Peak memory (VmHWM) in KiB of the largest process of a command."""
    start = [sys.executable, "-I", "-S", "-c", REAPER, LAUNCHER, *command]
    out = subprocess.run(start, env=environ, stdout=subprocess.PIPE, check=True).stdout
    waited_for, status, left_behind = map(int, out.split())
    if status not in (0, 256):
        raise RuntimeError(f"{' '.join(command)} ended with wait status {status}")
    return max(waited_for, left_behind)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of ``values`` lie, nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def interpreters() -> dict[str, str]:
    """Version → path of every CPython from 3.9 on that ``build_zipapp.py`` would find here."""
    from eidos.build.interpreters import select_interpreters

    return {interpreter.version: interpreter.path for interpreter in select_interpreters(["auto"])}


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for what a measurement makes."""
    return tempfile.TemporaryDirectory(prefix="eidos-bench-")
