"""Which interpreters the archive gets bytecode for.

Knows where CPythons are found and how one is asked what it is; must not know how anything is compiled.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from eidos.build.prerequisites import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The oldest interpreter that eidos runs on, as sys.hexversion.
MINIMUM_HEXVERSION = 0x03090000

PROBE = """\
import sys
print(sys.implementation.name, "%d.%d.%d" % sys.version_info[:3], sys.hexversion, sys.implementation.cache_tag, sys.executable)
"""


class Interpreter(NamedTuple):
    """A CPython to compile for."""

    path: str
    version: str
    hexversion: int
    cache_tag: str


def select_interpreters(words: Sequence[str]) -> list[Interpreter]:
    """The interpreters that ``--bytecode`` names: of each minor version the newest, and of equal ones the first."""
    if words == ["none"]:
        return []
    automatic = words == ["auto"]
    newest: dict[str, Interpreter] = {}
    for word in candidates() if automatic else words:
        interpreter = probe_interpreter(word)
        if interpreter is None and not automatic:
            fail(f"--bytecode: {word!r} does not run, or is not CPython 3.9 or newer", "use auto, none, or names or paths of interpreters")
        if interpreter and (interpreter.cache_tag not in newest or interpreter.hexversion > newest[interpreter.cache_tag].hexversion):
            newest[interpreter.cache_tag] = interpreter
    return sorted(newest.values(), key=lambda interpreter: interpreter.hexversion)


def candidates() -> list[str]:
    """Paths that may be interpreters: the running one, those on PATH, and those that pyenv installed."""
    pyenv = glob.escape(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    paths = [sys.executable]
    for folder in [*os.get_exec_path(), *sorted(glob.glob(os.path.join(pyenv, "versions", "*", "bin")))]:
        names = glob.glob(os.path.join(glob.escape(folder), "python3*"))
        paths += sorted(path for path in names if re.fullmatch(r"python3(\.\d+)?", os.path.basename(path)))
    return list(dict.fromkeys(os.path.abspath(path) for path in paths if path))


def probe_interpreter(word: str) -> Interpreter | None:
    """The interpreter at a path or of a name on PATH; None when it does not run, is too old or is not CPython."""
    path = shutil.which(word)
    if path is None:
        return None
    try:
        null, command = subprocess.DEVNULL, [path, "-I", "-S", "-c", PROBE]
        done = subprocess.run(command, stdin=null, stdout=subprocess.PIPE, stderr=null, timeout=30, check=True)
        name, version, hexversion, tag, executable = os.fsdecode(done.stdout).rstrip("\n").split(" ", 4)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if name != "cpython" or int(hexversion) < MINIMUM_HEXVERSION or not re.fullmatch(r"cpython-\d+", tag):
        return None
    return Interpreter(executable, version, int(hexversion), tag)  # ``path`` may be a script that runs another interpreter
