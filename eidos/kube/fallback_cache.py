"""The last good facts of a cluster, kept for when it does not answer.

Knows where a user's caches lie (XDG Base Directory Specification), and which file is to be trusted; must not know what the facts mean nor
when they are wanted.

One file for each cluster, user and subject, in ``$XDG_CACHE_HOME/eidos`` (``~/.cache/eidos``), named by their hash; it holds what a
document would show, and no credentials. Whatever is wrong with a file, the answer is that nothing is kept, and why; failing to keep
costs nothing but a line of the log.
"""

from __future__ import annotations

import os
import time

from eidos import log
from eidos.errors import EidosError, NotFound
from eidos.model.measurement import Gap, Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from eidos.kube.cluster_config import Cluster
    from eidos.model.measurement import Part

#: The largest file that is read, in bytes.
LIMIT = 16 << 20

#: Of the layout below; another one is not read.
VERSION = 1


class Kept:
    """What is kept of one cluster about one subject."""

    def __init__(self, environ: Mapping[str, str], cluster: Cluster, subject: str) -> None:
        """Touches nothing yet; ``subject`` says which facts they are."""
        import hashlib

        # One address may lead to another cluster tomorrow (a tunnel): its authorities tell them apart.
        user = cluster.user
        parts = (cluster.server, cluster.ca, cluster.tls_server_name, user.name, user.source, subject)
        name = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        self._folder = folder(environ)
        self._path = f"{self._folder}/kube-{name}.json"
        self._subject = subject

    def keep(self, parts: Sequence[Part]) -> None:
        """Write the facts, whole or not at all; what prevents it is logged."""
        if not self._folder:
            return
        import json

        from eidos.files import atomic_write

        rows = [
            ["gap", part.kind, part.what, part.why] if isinstance(part, Gap) else ["subtype", part.name, part.data, part.context]
            for part in parts
        ]
        document = {"version": VERSION, "subject": self._subject, "time": int(time.time()), "parts": rows}
        try:
            _make(self._folder)
            atomic_write.write_file(self._path, json.dumps(document, ensure_ascii=False).encode(), 0o600)
        except (OSError, UnicodeEncodeError) as fault:
            log.debug(f"what the cluster said is not kept: {self._folder}: {fault}")
        except EidosError as fault:
            log.debug(f"what the cluster said is not kept: {fault.message}")

    def last(self, most: float) -> tuple[int, list[Part]]:
        """The age of the facts in seconds, and the facts; NotFound, with the reason, when there are none to trust younger than ``most``."""
        if not self._folder:
            raise NotFound("nothing is kept: there is neither XDG_CACHE_HOME nor HOME")
        try:
            data = _read(self._path)
        except FileNotFoundError:
            raise NotFound("nothing is kept of what it said before") from None
        except OSError as fault:
            raise NotFound(f"what is kept cannot be read: {self._path}: {(fault.strerror or str(fault)).lower()}") from fault
        import json

        try:
            document = json.loads(data)
            if document["version"] != VERSION or document["subject"] != self._subject:
                raise ValueError("another layout")
            kept, parts = int(document["time"]), [_part(*row) for row in document["parts"]]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as fault:
            raise NotFound(f"what is kept is damaged: {self._path}") from fault
        age = int(time.time()) - kept
        if age < 0:
            raise NotFound(f"what is kept is from the future: {self._path}")
        if age > most:
            raise NotFound(f"what is kept is {age} s old")
        return age, parts


def folder(environ: Mapping[str, str]) -> str:
    """Where this program keeps what it can do without, or "" when nobody says where.

    >>> folder({"HOME": "/home/alice"}), folder({"XDG_CACHE_HOME": "/tmp/c", "HOME": "/home/alice"}), folder({"XDG_CACHE_HOME": "c"})
    ('/home/alice/.cache/eidos', '/tmp/c/eidos', '')
    """
    said, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    # "All paths set in these environment variables must be absolute."
    return f"{said}/eidos" if said.startswith("/") else f"{home}/.cache/eidos" if home.startswith("/") else ""


def _make(path: str) -> None:
    """Make the folder and the one around it; PermissionError when the folder is somebody else's."""
    for place in (os.path.dirname(path), path):
        try:
            os.mkdir(place, 0o700)
        except FileExistsError:
            pass
    _own(os.lstat(path), folder=True)
    os.chmod(path, 0o700)


def _own(found: os.stat_result, folder: bool) -> None:
    import stat

    if not (stat.S_ISDIR if folder else stat.S_ISREG)(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(0, f"it is no {'folder' if folder else 'file'} of this user")
    if not folder and found.st_mode & 0o077:
        raise PermissionError(0, "it is open to other users")


def _read(path: str) -> bytes:
    _own(os.lstat(os.path.dirname(path)), folder=True)
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _own(os.fstat(fd), folder=False)
        data = b""
        while len(data) <= LIMIT:
            part = os.read(fd, 1 << 20)
            if not part:
                return data
            data += part
        raise OSError(0, f"it is larger than {LIMIT >> 20} MiB")
    finally:
        os.close(fd)


def _part(kind: str, *values: Any) -> Part:
    """A part as :meth:`Kept.keep` wrote it; ValueError for anything else."""
    if kind == "gap" and len(values) == 3 and all(isinstance(value, str) for value in values):
        return Gap(*values)
    if kind == "subtype" and len(values) == 3 and isinstance(values[0], str) and all(isinstance(value, dict) for value in values[1:]):
        readings = all(isinstance(value, (str, int, float)) for value in values[1].values())
        if readings and all(isinstance(value, str) for value in values[2].values()):
            return Subtype(*values)
    raise ValueError("no part")
