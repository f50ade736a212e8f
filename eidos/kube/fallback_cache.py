"""Caches the last facts of a cluster, for when it does not answer.

Knows where a user's caches are (XDG Base Directory Specification), and which file can be trusted; must not know what the facts mean, nor
when they are used.

There is a file for each cluster, user and subject in ``$XDG_CACHE_HOME/eidos`` (``~/.cache/eidos``), named by their hash; it has what a
document would have, and no credentials. A file with any defect counts as missing, and the reason is reported; a failure to write is only
logged.
"""

from __future__ import annotations

import os
import time

from eidos import log
from eidos.errors import EidosError, NotFound, os_error_reason
from eidos.files import open_no_link
from eidos.model.measurement import Gap, Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from eidos.kube.cluster import Cluster
    from eidos.model.measurement import Part

#: The largest file that is read, in bytes.
LIMIT = 16 << 20

#: The layout of the file; files of another one are not read.
LAYOUT_VERSION = 1


class FallbackCache:
    """The cached parts of one cluster and one subject."""

    def __init__(self, environ: Mapping[str, str], cluster: Cluster, subject: str) -> None:
        """``subject`` says which facts they are. No file is opened yet."""
        import hashlib

        # A tunnel may lead one address to another cluster tomorrow: their authorities tell them apart.
        user = cluster.user
        parts = (cluster.server, cluster.ca, cluster.tls_server_name, user.name, user.source, subject)
        name = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        self._folder = cache_folder(environ)
        self._path = f"{self._folder}/kube-{name}.json"
        self._subject = subject

    def store(self, parts: Sequence[Part]) -> None:
        """Write the parts atomically; a failure is logged."""
        if not self._folder:
            return
        import json

        from eidos.files import atomic_write

        rows = [
            ["gap", part.kind, part.what, part.why] if isinstance(part, Gap) else ["subtype", part.name, part.data, part.context]
            for part in parts
        ]
        document = {"version": LAYOUT_VERSION, "subject": self._subject, "time": int(time.time()), "parts": rows}
        try:
            _make_folder(self._folder)
            atomic_write.write_file(self._path, json.dumps(document, ensure_ascii=False).encode(), 0o600)
        except (OSError, UnicodeEncodeError) as fault:
            log.debug(f"cannot cache the cluster's data: {self._folder}: {fault}")
        except EidosError as fault:
            log.debug(f"cannot cache the cluster's data: {fault.message}")

    def load(self, age_limit_s: float) -> tuple[int, list[Part]]:
        """The age of the parts in seconds, and the parts; NotFound, with the reason, when there are no valid ones of that age."""
        if not self._folder:
            raise NotFound("no cache: neither XDG_CACHE_HOME nor HOME is set")
        try:
            data = _read(self._path)
        except FileNotFoundError:
            raise NotFound("no cached data") from None
        except OSError as fault:
            raise NotFound(f"cannot read the cached data: {self._path}: {os_error_reason(fault)}") from fault
        import json

        try:
            document = json.loads(data)
            if document["version"] != LAYOUT_VERSION or document["subject"] != self._subject:
                raise ValueError("another layout")
            written, parts = int(document["time"]), [_part(*row) for row in document["parts"]]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as fault:
            raise NotFound(f"the cached data is damaged: {self._path}") from fault
        age = int(time.time()) - written
        if age < 0:
            raise NotFound(f"the cached data is from the future: {self._path}")
        if age > age_limit_s:
            raise NotFound(f"the cached data is {age} s old")
        return age, parts


def cache_folder(environ: Mapping[str, str]) -> str:
    """The folder of this program's caches, or "" when the environment has none.

    >>> cache_folder({"HOME": "/home/alice"}), cache_folder({"XDG_CACHE_HOME": "/tmp/c"}), cache_folder({"XDG_CACHE_HOME": "c"})
    ('/home/alice/.cache/eidos', '/tmp/c/eidos', '')
    """
    configured, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    # "All paths set in these environment variables must be absolute."
    return f"{configured}/eidos" if configured.startswith("/") else f"{home}/.cache/eidos" if home.startswith("/") else ""


def _make_folder(path: str) -> None:
    """Create the folder and its parent; PermissionError when the folder belongs to another user."""
    for parent in (os.path.dirname(path), path):
        try:
            os.mkdir(parent, 0o700)
        except FileExistsError:
            pass
    _check_owner(os.lstat(path), folder=True)
    os.chmod(path, 0o700)


def _check_owner(status: os.stat_result, folder: bool) -> None:
    import stat

    if not (stat.S_ISDIR if folder else stat.S_ISREG)(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(0, f"not a {'folder' if folder else 'file'} of this user")
    if not folder and status.st_mode & 0o077:
        raise PermissionError(0, "other users can read it")


def _read(path: str) -> bytes:
    _check_owner(os.lstat(os.path.dirname(path)), folder=True)
    with open_no_link(path) as file:
        status = os.fstat(file.fileno())
        _check_owner(status, folder=False)
        data = file.read(min(status.st_size, LIMIT) + 1)
    if len(data) > LIMIT:
        raise OSError(0, f"larger than {LIMIT >> 20} MiB")
    return data


def _part(kind: str, *values: Any) -> Part:
    """A part as :meth:`FallbackCache.store` wrote it; ValueError for anything else."""
    if kind == "gap" and len(values) == 3 and all(isinstance(value, str) for value in values):
        return Gap(*values)
    if kind == "subtype" and len(values) == 3 and isinstance(values[0], str) and all(isinstance(value, dict) for value in values[1:]):
        _, data, context = values
        if all(isinstance(value, (str, int, float)) for value in data.values()) and all(isinstance(text, str) for text in context.values()):
            return Subtype(*values)
    raise ValueError("no part")
