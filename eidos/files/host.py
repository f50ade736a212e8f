"""One host's files: of the running system, of a host mounted somewhere, or of a captured tree.

Knows how to read a file without changing anything, without waiting for a writer, within a size limit and without leaving the root;
must not know what any file means.

The root ``/`` is read with plain system calls. Any other root is walked one component at a time (openat(2) with ``O_PATH |
O_NOFOLLOW``), and every link, absolute or relative, is resolved inside it, as chroot(2) would: a mounted host whose ``/etc``
links to ``/usr/etc`` is read as that host sees itself, and no link, not even one of procfs's magic links, leads out.
"""

from __future__ import annotations

import errno
import os
import stat

from eidos.errors import NotFound, Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from eidos.files.path_walk import PathWalk

#: The size of a file, in bytes, beyond which it is not read unless the caller says otherwise.
FILE_LIMIT = 1 << 20

#: Most of procfs fits into one read of this size; the kernel clears as much memory for each read of a sysctl.
_FIRST_READ = 4096

#: A read that returns less, up to a newline, has returned all: a sequence file of the kernel fills a buffer unless a record would not fit.
_SHORT_READ = 1024

_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MISSING_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_FILE_TYPES = {
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
}


#: The reason that is reported for a file with bytes that are not UTF-8; its text is used, with those bytes as ``\\xNN``.
NOT_TEXT = "not UTF-8"


def decode_text(data: bytes) -> tuple[str, bool]:
    r"""The text of a file, and whether all of it was UTF-8; other bytes become ``\xNN``.

    >>> decode_text("é".encode()), decode_text(b"\xe9")
    (('é', True), ('\\xe9', False))
    """
    try:
        return data.decode(), True
    except UnicodeDecodeError:
        return data.decode("utf-8", "backslashreplace"), False


class FileMissing(NotFound):
    """The file does not exist; ``path`` is the one that was requested, as the host names it."""

    def __init__(self, path: str, reason: str = "no such file or directory") -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class FileUnreadable(Unavailable):
    """The file exists, or may exist, and cannot be read: ``reason`` is a phrase in lower case, ``errno`` the kernel's where it was that."""

    def __init__(self, path: str, reason: str, errno: int | None = None) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason, self.errno = path, reason, errno


class _Translation:
    """Within it an OSError becomes one of this module's errors; of a ``host`` that is not complete, what is missing is unreadable."""

    def __init__(self, path: str, host: Host | None = None) -> None:
        self._path, self._host = path, host

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(fault, OSError):
            raise translate_os_error(fault, self._path, self._host) from fault


class Host:
    """The files below ``root``; paths are absolute and as the host itself names them.

    Every method raises :class:`FileMissing` or :class:`FileUnreadable`, also when ``root`` is not a directory that can be entered. An
    instance may be used by one thread at a time, and by forked children. With ``known_absent`` it is a part of a host, out of an archive:
    what is missing there, and is not one of these paths, is FileUnreadable, for the reason ``why_unknown``.
    """

    def __init__(self, root: str = "/", known_absent: frozenset[str] | None = None, why_unknown: str = "not in the archive") -> None:
        self.root, self.known_absent, self.why_unknown = root, known_absent, why_unknown
        self._is_running_system: bool | None = None
        self._opened_root_fd: int | None = None

    @property
    def _root_fd(self) -> int:
        """The open root, or -1 for ``/``. It is opened at the first use, not by the constructor, because even that may block for ever."""
        if self._opened_root_fd is None and self.root != "/":
            from eidos.files.container_root import open_root

            with _Translation(self.root):
                self._opened_root_fd, self.root = open_root(self.root)
        return -1 if self._opened_root_fd is None else self._opened_root_fd

    @property
    def is_container_root(self) -> bool:
        """Whether the root is / and that of a container: only what is in /proc and /sys is the host's, and every path is walked."""
        return self._root_fd >= 0 and self.root == "/"

    def __del__(self) -> None:
        fd = self.__dict__.get("_opened_root_fd")
        if fd is not None and fd >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        return f"Host({self.root!r})"

    def _walk(self, path: str, follow: bool = True) -> PathWalk:
        from eidos.files.container_root import WHY, container_folder  # the running system needs none
        from eidos.files.path_walk import PathWalk

        if self.is_container_root and (folder := container_folder(path)):
            raise FileUnreadable(folder, WHY)
        return PathWalk(self._root_fd, path, follow)

    def read_text(self, path: str, limit: int = FILE_LIMIT) -> str:
        r"""The text of a file of at most ``limit`` bytes; bytes that are not UTF-8 become ``\xNN``."""
        return decode_text(self.read_bytes(path, limit))[0]

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> bytes:
        """The complete content of a regular file; a file larger than ``limit`` bytes is FileUnreadable."""
        fd = self.open_file(path)
        try:
            return _read_checked(fd, path, limit)
        except OSError as fault:
            raise translate_os_error(fault, path, self) from fault

    def open_file(self, path: str) -> int:
        """A descriptor of a regular file, for reading parts of one that is larger than the limit; the caller closes it."""
        try:
            if self._root_fd < 0:
                # stat(2) first: opening a device can have effects (a watchdog starts, a tape rewinds).
                _require_regular_file(path, os.stat(path))
                return os.open(path, _READ_FLAGS)
            with self._walk(path) as walk:
                _require_regular_file(path, walk.stat())
                return walk.open(_READ_FLAGS)
        except OSError as fault:
            raise translate_os_error(fault, path, self) from fault

    def file_system_status(self, path: str) -> os.statvfs_result:
        """What statvfs(3) tells of the file system that ``path`` is on; one on a server that is gone blocks for ever."""
        try:
            if self._root_fd < 0:
                return os.statvfs(path)
            with self._walk(path) as walk:
                fd = walk.open(_DIRECTORY_FLAGS)
            try:
                return os.statvfs(fd)
            finally:
                os.close(fd)
        except OSError as fault:
            raise translate_os_error(fault, path, self) from fault

    def list_directory(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        with self.open_directory(path) as directory:
            return sorted(directory.list_names())

    def open_directory(self, path: str) -> Directory:
        """An open directory: the fast way to read many of its files."""
        with _Translation(path, self):
            if self._root_fd < 0:
                return Directory(self, path, os.open(path, _DIRECTORY_FLAGS))
            with self._walk(path) as walk:
                return Directory(self, path, walk.open(_DIRECTORY_FLAGS))

    def exists(self, path: str) -> bool:
        """Whether a file of any kind exists; False for a dangling link. Raises FileUnreadable when the kernel does not tell."""
        try:
            if self._root_fd < 0:
                os.stat(path)
            else:
                self._walk(path).close()
        except OSError as fault:
            if fault.errno in _MISSING_ERRNOS and (self.known_absent is None or path in self.known_absent):
                return False
            raise translate_os_error(fault, path, self) from fault
        return True

    def read_link(self, path: str) -> str:
        """The target of a link, unresolved; a file that is not a link is FileUnreadable."""
        try:
            if self._root_fd < 0:
                return os.readlink(path)
            with self._walk(path, follow=False) as walk:
                return walk.read_link()
        except OSError as fault:
            if fault.errno == errno.EINVAL:
                raise FileUnreadable(path, "not a link", fault.errno) from fault
            raise translate_os_error(fault, path, self) from fault

    def real_path(self, path: str) -> str:
        """The path by which the running system reaches a file of this host, for connecting to a socket.

        Links are resolved inside the root. The host may put a link in their place before the result is used: use it for sockets of
        system services, not for reading.
        """
        with _Translation(path, self):
            if self._root_fd < 0:
                os.stat(path)
                return os.path.realpath(path)
            with self._walk(path) as walk:
                return os.path.join(self.root, *walk.components)

    @property
    def is_running_system(self) -> bool:
        """Whether the root is /, or its /proc the running kernel's and no copy of one: its files have content and size 0 (proc(5))."""
        if self._is_running_system is None:
            try:
                if self._root_fd < 0 or self.is_container_root:
                    return True
                with self._walk("/proc/version") as walk:
                    size = walk.stat().st_size
                self._is_running_system = size == 0 and self.read_bytes("/proc/version", 4096) != b""
            except (OSError, NotFound, Unavailable):
                self._is_running_system = False
        return self._is_running_system

    def foreign_namespaces(self) -> dict[str, str]:
        """Those of :func:`eidos.files.namespaces.foreign_namespaces`; empty for a captured tree."""
        if not self.is_running_system:
            return {}
        from eidos.files.namespaces import foreign_namespaces

        return foreign_namespaces(self.exists)


class Directory:
    """An open directory of a host; :meth:`close` or the end of a ``with`` closes it."""

    def __init__(self, host: Host, path: str, fd: int) -> None:
        self.path = path.rstrip("/")
        self._host = host
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def list_names(self) -> list[str]:
        """Names in it, unsorted."""
        with _Translation(self.path, self._host):
            return os.listdir(self._fd)

    def scan(self) -> tuple[list[str], list[str], list[str]]:
        """Names of regular files, of directories, and of everything else (links included), each unsorted."""
        kinds: tuple[list[str], list[str], list[str]] = ([], [], [])
        with _Translation(self.path, self._host), os.scandir(self._fd) as entries:
            for entry in entries:
                kind = 0 if entry.is_file(follow_symlinks=False) else 1 if entry.is_dir(follow_symlinks=False) else 2
                kinds[kind].append(entry.name)
        return kinds

    def open_directory(self, name: str) -> Directory:
        """A directory in it, or further down (``a/b``); a link on the way is FileMissing."""
        path, fd = self.path, self._fd
        for part in name.split("/"):
            path, above = f"{path}/{part}", fd
            try:
                with _Translation(path, self._host):
                    fd = os.open(part, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=above)
            finally:
                if above != self._fd:
                    os.close(above)
        return Directory(self._host, path, fd)

    def read_regular_files(
        self, names: Iterable[str], limit: int = FILE_LIMIT, is_checked: bool = True
    ) -> Iterator[tuple[str, bytes | FileMissing | FileUnreadable]]:
        """Each of ``names`` with its content as :meth:`Host.read_bytes` returns it, or with the error that this would raise.

        The names are those that :meth:`scan` reported as regular files: their type is not checked again, unless ``is_checked`` is False.
        An ``open``, a ``read`` and a ``close`` are all that a short file costs. Links are not followed: they are unreadable.
        """
        flags, folder = _READ_FLAGS | os.O_NOFOLLOW, self._fd
        open_file, read, close = os.open, os.read, os.close
        for name in names:
            try:
                fd = open_file(name, flags, dir_fd=folder)
                try:
                    if not is_checked:
                        _require_regular_file(f"{self.path}/{name}", os.fstat(fd))
                    data = read(fd, _FIRST_READ)
                    size = len(data)
                    is_complete = (size < _SHORT_READ and data[-1:] == b"\n") or (size < _FIRST_READ and not read(fd, _FIRST_READ))
                finally:
                    close(fd)
                if not is_complete:
                    data = _read_to_end(open_file(name, flags, dir_fd=folder), f"{self.path}/{name}", limit)
            except OSError as fault:
                yield name, translate_os_error(fault, f"{self.path}/{name}", self._host)
            except FileUnreadable as fault:
                yield name, fault
            else:
                yield name, data

    def read_link(self, name: str) -> str:
        """As :meth:`Host.read_link`, of a link in it."""
        with _Translation(f"{self.path}/{name}", self._host):
            return os.readlink(name, dir_fd=self._fd)

    def read_at(self, name: str, offset: int, length: int) -> bytes:
        """``length`` bytes of a regular file, fewer at its end."""
        path = f"{self.path}/{name}"
        with _Translation(path, self._host):
            fd = os.open(name, _READ_FLAGS | os.O_NOFOLLOW, dir_fd=self._fd)
            try:
                _require_regular_file(path, os.fstat(fd))
                return os.pread(fd, length, offset)
            finally:
                os.close(fd)

    def is_readable(self, name: str) -> bool:
        """Whether the file's mode has a read bit for anybody."""
        with _Translation(f"{self.path}/{name}", self._host):
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode & 0o444 != 0


def translate_os_error(fault: OSError, path: str, host: Host | None = None) -> FileMissing | FileUnreadable:
    """``fault`` as one of this module's errors, with a phrase of our own for the common ones."""
    if fault.errno in _MISSING_ERRNOS:
        if host is not None and host.known_absent is not None and path not in host.known_absent:
            return FileUnreadable(path, host.why_unknown)
        return FileMissing(path, (fault.strerror or "no such file or directory").lower())
    if fault.errno == errno.EAGAIN:
        return FileUnreadable(path, "no data available without waiting", fault.errno)
    return FileUnreadable(path, os_error_reason(fault), fault.errno)


def _require_regular_file(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileUnreadable(path, f"not a regular file: {_FILE_TYPES.get(stat.S_IFMT(status.st_mode), 'unknown type')}")


def _read_checked(fd: int, path: str, limit: int) -> bytes:
    """Check that ``fd`` is a regular file of a fair size, read it, close it."""
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size <= limit:
        return _read_to_end(fd, path, limit)
    os.close(fd)
    _require_regular_file(path, status)
    raise FileUnreadable(path, _too_large_reason(limit))


def _read_to_end(fd: int, path: str, limit: int) -> bytes:
    """Read ``fd`` to its end and close it."""
    try:
        data = os.read(fd, _FIRST_READ)
        if len(data) == _FIRST_READ < limit:
            # A sysctl of many numbers is cut off at the size of the read and has no second half: begin again, with room.
            os.lseek(fd, 0, os.SEEK_SET)
            data = os.read(fd, limit + 1)
        more = data
        while more and len(data) <= limit:  # a short read is not the end: procfs's tables come in pages
            more = os.read(fd, min(limit + 1 - len(data), _FIRST_READ + len(data)))
            data += more
    finally:
        os.close(fd)
    if len(data) > limit:
        raise FileUnreadable(path, _too_large_reason(limit))
    return data


def _too_large_reason(limit: int) -> str:
    unit = next(((1 << shift, name) for shift, name in ((20, "MiB"), (10, "KiB")) if limit >> shift), (1, "bytes"))
    return f"larger than {limit // unit[0]} {unit[1]}"
