"""One host's files: of the running system, of a host mounted somewhere, or of a captured tree.

Knows how to read a file so that reading changes nothing, never waits for somebody to write, stays below a size, and never
leaves the root; must not know what any file means.

The root ``/`` is read the plain way. Any other root is walked one component at a time (openat(2) with ``O_PATH |
O_NOFOLLOW``), and every link, absolute or relative, is resolved inside it, as chroot(2) would: a mounted host whose ``/etc``
links to ``/usr/etc`` is read as that host sees itself, and no link, not even one of procfs's magic links, leads out.
"""

from __future__ import annotations

import errno
import os
import stat

from eidos.errors import NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Callable

    from typing_extensions import Self

    from eidos.files.path_walk import Walk

#: Bytes that a file may have unless the caller says otherwise.
LIMIT = 1 << 20

#: Most of procfs fits into one read of this size; the kernel clears as much memory for each read of a sysctl.
_FIRST = 4096

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_KINDS = {
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
}


#: What is said of a file whose bytes are not all text; its value is kept, with those written as ``\\xNN``.
NOT_TEXT = "not UTF-8"


def decoded(data: bytes) -> tuple[str, bool]:
    r"""The text of a file, and whether it was all UTF-8; what is not is written as ``\xNN``.

    >>> decoded("é".encode()), decoded(b"\xe9")
    (('é', True), ('\\xe9', False))
    """
    try:
        return data.decode(), True
    except UnicodeDecodeError:
        return data.decode("utf-8", "backslashreplace"), False


class Missing(NotFound):
    """There is no such file; ``path`` is the one asked for, as the host names it."""

    def __init__(self, path: str, reason: str = "no such file or directory") -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Unreadable(Unavailable):
    """The file is there, or may be, and cannot be read; ``reason`` is one phrase, lower case, ``errno`` the kernel's if it was that."""

    def __init__(self, path: str, reason: str, errno: int | None = None) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.errno = errno


class Host:
    """The files below ``root``; paths are absolute and as the host itself names them.

    Raises :class:`Missing` or :class:`Unreadable` when ``root`` is no directory that can be entered. One instance may be used
    by one thread at a time, and by forked children.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root
        self._live: bool | None = None
        self._opened: int | None = None

    @property
    def _fd(self) -> int:
        """The root, held open, or -1 for the plain way; opened at the first use, because even that may wait for ever."""
        if self._opened is None:
            fd = -1
            if self.root != "/":
                try:
                    fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                    same = os.path.samestat(os.fstat(fd), os.stat("/"))
                except OSError as fault:
                    raise translated(fault, self.root) from fault
                if same:
                    os.close(fd)
                    fd, self.root = -1, "/"
            self._opened = fd
        return self._opened

    def __del__(self) -> None:
        fd = self.__dict__.get("_opened")
        if fd is not None and fd >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        return f"Host({self.root!r})"

    def _walk(self, path: str, follow: bool = True) -> Walk:
        from eidos.files.path_walk import Walk  # the running system is read without

        return Walk(self._fd, path, follow)

    def read(self, path: str, limit: int = LIMIT) -> str:
        r"""The text of a file, at most ``limit`` bytes of UTF-8; what is no UTF-8 is written as ``\xNN``."""
        return decoded(self.read_bytes(path, limit))[0]

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        """The bytes of a regular file, all of them or none: a file beyond ``limit`` is Unreadable."""
        try:
            if self._fd < 0:
                # Looked at before it is opened: opening a device can do things (a watchdog starts, a tape rewinds).
                _regular(path, os.stat(path))
                return _read(os.open(path, _READ), path, limit)
            with self._walk(path) as walk:
                _regular(path, walk.stat())
                return _read(walk.open(_READ), path, limit)
        except OSError as fault:
            raise translated(fault, path) from fault

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        with self.folder(path) as folder:
            return sorted(folder.names())

    def folder(self, path: str) -> Folder:
        """A directory, held open: the fast way to read many of its files."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            if self._fd < 0:
                return Folder(self, path, os.open(path, flags))
            with self._walk(path) as walk:
                return Folder(self, path, walk.open(flags))
        except OSError as fault:
            raise translated(fault, path) from fault

    def exists(self, path: str) -> bool:
        """Whether there is such a file of any kind; a link that leads nowhere is none. Raises Unreadable when nobody can tell."""
        try:
            if self._fd < 0:
                os.stat(path)
            else:
                self._walk(path).close()
        except OSError as fault:
            if fault.errno in _ABSENT:
                return False
            raise translated(fault, path) from fault
        return True

    def readlink(self, path: str) -> str:
        """Where a link points, as it says itself; a file that is no link is Unreadable."""
        try:
            if self._fd < 0:
                return os.readlink(path)
            with self._walk(path, follow=False) as walk:
                return walk.readlink()
        except OSError as fault:
            if fault.errno == errno.EINVAL:
                raise Unreadable(path, "not a link", fault.errno) from fault
            raise translated(fault, path) from fault

    def real(self, path: str) -> str:
        """The path by which the running system reaches a file of this host, for connecting to a socket.

        Links are resolved inside the root. Between this call and the use of its result the host may put a link in their place:
        use it for sockets of system services, not for reading.
        """
        try:
            if self._fd < 0:
                os.stat(path)
                return os.path.realpath(path)
            with self._walk(path) as walk:
                return os.path.join(self.root, *walk.trail)
        except OSError as fault:
            raise translated(fault, path) from fault

    @property
    def is_live(self) -> bool:
        """Whether the root's /proc is the running kernel's and no copy of one: its files have content and no size (proc(5))."""
        if self._live is None:
            try:
                if self._fd < 0:
                    size = os.stat("/proc/version").st_size
                else:
                    with self._walk("/proc/version") as walk:
                        size = walk.stat().st_size
                self._live = size == 0 and self.read_bytes("/proc/version", 4096) != b""
            except (OSError, NotFound, Unavailable):
                self._live = False
        return self._live

    def foreign_namespaces(self) -> dict[str, str]:
        """Namespaces in which this process is not the host's own (net, ipc, uts, pid, user), and the right that would change that.

        Empty for a captured tree: it shows what it shows. See :func:`foreign_namespaces`.
        """
        return foreign_namespaces(self.exists) if self.is_live else {}


class Folder:
    """A directory of a host, held open until :meth:`close` or the end of a ``with``."""

    def __init__(self, host: Host, path: str, fd: int) -> None:
        self.path = path.rstrip("/")
        self._host = host
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; again is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def names(self) -> list[str]:
        """Names in it, in no order."""
        try:
            return os.listdir(self._fd)
        except OSError as fault:
            raise translated(fault, self.path) from fault

    def entries(self) -> tuple[list[str], list[str], list[str]]:
        """Names of regular files, of directories, and of everything else (links among it), each in no order."""
        regular: list[str] = []
        folders: list[str] = []
        others: list[str] = []
        try:
            with os.scandir(self._fd) as found:
                for entry in found:
                    if entry.is_file(follow_symlinks=False):
                        regular.append(entry.name)
                    else:
                        (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
        except OSError as fault:
            raise translated(fault, self.path) from fault
        return regular, folders, others

    def folder(self, name: str) -> Folder:
        """A directory in it; a link to one is Missing."""
        path = f"{self.path}/{name}"
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as fault:
            raise translated(fault, path) from fault
        return Folder(self._host, path, fd)

    def read_regular(self, name: str, limit: int = LIMIT) -> bytes:
        """As :meth:`Host.read_bytes`, of a file in it that :meth:`entries` called regular: that is not asked again."""
        try:
            fd = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=self._fd)
            try:
                # What nearly every sysctl comes to, without a call more than that takes.
                data = os.read(fd, _FIRST)
                if len(data) < _FIRST and not os.read(fd, _FIRST):
                    return data
            finally:
                os.close(fd)
            return _content(os.open(name, _READ | os.O_NOFOLLOW, dir_fd=self._fd), f"{self.path}/{name}", limit)
        except OSError as fault:
            raise translated(fault, f"{self.path}/{name}") from fault

    def read_linked(self, name: str, limit: int = LIMIT) -> bytes:
        """As :meth:`Host.read_bytes`, of anything in it: a link is followed inside the root."""
        return self._host.read_bytes(f"{self.path}/{name}", limit)

    def readable(self, name: str) -> bool:
        """Whether the file's mode lets anybody read it at all."""
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode & 0o444 != 0
        except OSError as fault:
            raise translated(fault, f"{self.path}/{name}") from fault


def foreign_namespaces(exists: Callable[[str], bool]) -> dict[str, str]:
    """Which namespaces of this process are not the initial ones, by their names in /proc/self/ns, and the right that shows the host's.

    The kernel gives its initial namespaces fixed inode numbers (linux/nsfs.h, before that linux/proc_ns.h). That of the network
    got one in 6.18 only; before, the test is that some of net.core is there in the initial one alone (net/core/sysctl_net_core.c
    registers ``net_core_table`` with ``init_net``), and /proc/sys/net is always the reader's own, whichever procfs it is read in.
    ``exists`` says whether a path exists on the host. A namespace that this kernel does not have is not foreign.
    """
    foreign: dict[str, str] = {}
    for kind, (number, right) in _NAMESPACES.items():
        try:
            link = os.readlink(f"/proc/self/ns/{kind}")
        except OSError:  # the kernel was built without it, or there is no /proc of our own to ask
            continue
        if link == f"{kind}:[{number}]":
            continue
        if kind == "net" and exists("/proc/sys/net/core/dev_weight"):
            continue
        foreign[kind] = right
    return foreign


#: Inode numbers of the initial namespaces, and what a Pod needs to be in them; a Pod on the host's network has its names, too.
_NAMESPACES = {
    "net": (0xEFFFFFF9, "hostNetwork: true"),
    "ipc": (0xEFFFFFFF, "hostIPC: true"),
    "uts": (0xEFFFFFFE, "hostNetwork: true"),
    "pid": (0xEFFFFFFC, "hostPID: true"),
    "user": (0xEFFFFFFD, "hostUsers: true"),
}


def translated(fault: OSError, path: str) -> Missing | Unreadable:
    """``fault`` as one of this module's errors, with a phrase of our own for the common ones."""
    if fault.errno in _ABSENT:
        return Missing(path, (fault.strerror or "no such file or directory").lower())
    if fault.errno == errno.EAGAIN:
        return Unreadable(path, "nothing to read without waiting", fault.errno)
    return Unreadable(path, (fault.strerror or str(fault)).lower(), fault.errno)


def _regular(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable(path, f"not a regular file: {_KINDS.get(stat.S_IFMT(found.st_mode), 'of unknown kind')}")


def _read(fd: int, path: str, limit: int) -> bytes:
    """Check that ``fd`` is a regular file of a fair size, read it, close it."""
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_size <= limit:
        return _content(fd, path, limit)
    os.close(fd)
    _regular(path, found)
    raise Unreadable(path, _too_large(limit))


def _content(fd: int, path: str, limit: int) -> bytes:
    """Read ``fd`` to its end and close it."""
    try:
        data = os.read(fd, _FIRST)
        if len(data) == _FIRST < limit:
            # A sysctl of many numbers is cut off at the size of the read and has no second half: begin again, with room.
            os.lseek(fd, 0, os.SEEK_SET)
            data = os.read(fd, limit + 1)
        more = data
        while more and len(data) <= limit:  # a short read is not the end: procfs's tables come in pages
            more = os.read(fd, limit + 1 - len(data))
            data += more
    finally:
        os.close(fd)
    if len(data) > limit:
        raise Unreadable(path, _too_large(limit))
    return data


def _too_large(limit: int) -> str:
    for shift, unit in ((20, "MiB"), (10, "KiB")):
        if limit >> shift:
            return f"larger than {limit >> shift} {unit}"
    return f"larger than {limit} bytes"
