"""Where a document goes: standard output, or a file.

Knows how ``--output`` is read, what follows from it for format and width, and which places cannot be written before any work is
done for them; must not know what is written. ``eidos.output`` does the writing, whole or not at all.
"""

from __future__ import annotations

import os
import sys

from eidos.errors import InvalidInput, NotFound, Unavailable
from eidos.output import Unwritable

STDOUT = "-"


def check(place: str) -> None:
    """Raise an EidosError when ``place`` clearly cannot be written: it is cheaper to hear it before the work than after."""
    if place == STDOUT:
        if sys.stdout is None:
            raise Unwritable("standard output", "it is closed", "open it, or write to a file with --output")
        return
    if place.startswith("cm://"):
        hint = "write to a file or to standard output; kubectl create configmap takes it from there"
        raise InvalidInput(f"--output: {place!r} names a ConfigMap, and this version writes files and standard output", hint)
    if place.startswith(("/dev/", "/proc/")):  # another name for something that is open already, with rights of its own
        return
    try:
        folder = os.path.dirname(os.path.realpath(place))
    except FileNotFoundError as fault:  # from getcwd(3)
        hint = "change to another folder, or give the whole path"
        raise Unwritable(place, "the current folder was removed", hint) from fault
    if os.path.isdir(place) or place.endswith("/"):
        raise Unwritable(place, "it is a folder", "name a file in it")
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise Unwritable(place, "what should be its folder is a file", "name a file in a folder")
        raise Unwritable(place, "its folder does not exist", "create the folder first")
    for path in (folder, place):
        if os.path.exists(path) and not os.access(path, os.W_OK):
            if os.statvfs(path).f_flag & os.ST_RDONLY:
                raise Unwritable(place, "read-only file system", "write to another file system, or to standard output with -")
            raise Unwritable(place, "permission denied", "choose a place that you may write to, or run as a user who may")


def write(place: str, text: str) -> None:
    """Write ``text``; raises an EidosError when the place is full, gone or refused."""
    from eidos import output

    if place == STDOUT:
        output.write_stdout(text.encode())
    else:
        output.write_file(place, text.encode())


def read(place: str, limit: int = 32 << 20, missing: str = "'eidos snapshot -o node.yaml' writes a snapshot") -> bytes:
    """The bytes of a file, or of standard input for ``-``; at most one more than ``limit``, so that a reader sees it is too large.

    ``missing`` is the hint for a file that is not there. Raises NotFound or Unavailable with path and reason, and InvalidInput for
    what is no path.
    """
    try:
        if place == STDOUT:
            if sys.stdin is None:
                raise Unavailable("standard input is closed", "give a file with --file")
            return sys.stdin.buffer.read(limit + 1)
        if place.startswith("cm://"):
            hint = "kubectl get configmap writes what it holds to a file or to a pipe"
            raise InvalidInput(f"{place!r} names a ConfigMap, and this version reads files and standard input", hint)
        with open(place, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError as fault:
        raise NotFound(f"{place}: there is no such file", missing) from fault
    except OSError as fault:
        raise Unavailable(f"{place}: {(fault.strerror or str(fault)).lower()}") from fault


def format_for(asked: str | None, place: str, otherwise: str = "yaml") -> str:
    """The format that was asked for, or else the one that the name of the file promises.

    >>> format_for(None, "node.json"), format_for(None, "-"), format_for("table", "node.json"), format_for(None, "a.yml", "table")
    ('json', 'yaml', 'table', 'yaml')
    """
    endings = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
    return asked or endings.get(os.path.splitext(place)[1].lower(), otherwise)


def width(place: str) -> int:
    """Columns to lay a table out for: what COLUMNS says, else what the terminal has; 0, as wide as it takes, for a file or a pipe."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and len(columns) < 5 and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(1).columns if place == STDOUT else 0
    except OSError:
        return 0
