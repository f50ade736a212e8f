"""Paths on file systems that may never answer: behind a server, or behind a program.

Knows which they are, without asking them, and the child process that looks there; must not know what a path is for.
"""

from __future__ import annotations

import os
import stat
import time

from eidos.errors import Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Types of file systems behind a server or a program, which may never answer: how their names begin.
NETWORK_FILESYSTEMS = tuple(
    name.encode()
    for name in ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "lustre", "afs", "autofs", "gpfs", "beegfs", "virtiofs", "glusterfs")
)

#: The file system of the kernel's own that controls FUSE, whose name begins like theirs.
_LOCAL = b"fusectl "

#: Seconds that such a file system has to answer where nothing else says how long.
PATH_TIMEOUT_S = 10.0

#: Symbolic links that are followed on the way to a file, as path_resolution(7) does.
MAX_LINKS = 40

#: Once it was read, :func:`mount_types` of this process: a run has many paths, and a node thousands of mounts.
_mounts: list[dict[bytes, bool]] = []


def access_path(flag: str, path: str, work: Callable[[], Any], deadline: float) -> Any:
    """Access a path in a child process, which can be abandoned: on a file server that is gone a system call never returns.

    Raises Timeout at ``deadline`` (on ``time.monotonic``), and what ``work`` raises.
    """
    from eidos.process.child import run_in_child

    try:
        return run_in_child(work, deadline)
    except Timeout as late:
        raise Timeout(f"{flag}: timed out reading the file system at {path!r}", "check that its file server is up") from late


def is_on_network_filesystem(path: str) -> bool:
    """Whether a path, or a link on the way there, lies on a file system behind a server or a program (proc_pid_mountinfo(5)).

    Only then is a child process needed to look there; most paths are on a local disk. The path itself is not opened, nor its status read.
    """
    try:
        if not _mounts:
            with open("/proc/self/mountinfo", "rb", buffering=0) as mounts:  # without a decoder, which costs more than the lines
                _mounts.append(mount_types(mounts.readall()))
        current, rest = b"", [os.fsencode(path)] if path[:1] == "/" else [os.fsencode(path), os.getcwdb()]
    except OSError:
        return False
    is_network = _mounts[0]
    links = MAX_LINKS if any(is_network.values()) else 0
    while rest and links:
        part, _, more = rest.pop().partition(b"/")
        rest += [more] if more else []
        if part == b"..":
            current = os.path.dirname(current)
        elif part not in (b"", b"."):
            current += b"/" + part
            point = current
            while point and point not in is_network:
                point = point.rpartition(b"/")[0]
            if is_network.get(point):
                return True
            try:
                target = os.readlink(current)
            except OSError:  # no link
                continue
            links -= 1
            current = b"" if target[:1] == b"/" else os.path.dirname(current)
            rest.append(target)
    return False


def mount_types(mountinfo: bytes) -> dict[bytes, bool]:
    """Each mount point, "" for the root → whether its file system is behind a server or a program; of several the last one counts."""
    is_network: dict[bytes, bool] = {}
    for line in mountinfo.split(b"\n")[:-1]:  # a mount point may have any other character that ends a line
        before, _, after = line.partition(b" - ")
        point = before.split(b" ", 5)[4].replace(b"\\040", b" ").rstrip(b"/")
        is_network[point] = after.startswith(NETWORK_FILESYSTEMS) and not after.startswith(_LOCAL)
    return is_network


def check_file_system(origin: str, path: str, timeout_s: float) -> None:
    """Raise Timeout when the file system of ``path`` does not answer for ``timeout_s``; ``origin`` is what names the path.

    ``-``, which is standard input or output, and a URL are in no file system.
    """

    def look() -> None:
        try:
            if stat.S_IFMT(os.stat(path).st_mode) in (stat.S_IFREG, stat.S_IFDIR):
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:  # reading it tells why
            pass

    scheme, separator, _ = path.partition("://")
    is_url = bool(separator) and "/" not in scheme
    if path != "-" and not is_url and is_on_network_filesystem(path):
        access_path(origin, path, look, time.monotonic() + timeout_s)
