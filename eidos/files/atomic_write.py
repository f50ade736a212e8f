"""Writes files atomically, and standard output; temporary folders.

Knows files, links, pipes and devices, and how each can fail; must not know what is written.

A regular file is written to a temporary file in the same folder, synced and renamed, so that a reader sees the old content or the new
and a failure leaves the old. Where the system has ``O_TMPFILE`` (open(2)) the temporary file has no name until it is complete: not even
SIGKILL leaves anything behind. A symbolic link stays, and its target is replaced. What cannot be replaced is written directly: character
devices (``/dev/null``, ``/dev/tty``), pipes, and paths of open descriptors (``/dev/stdout``, ``/dev/fd/3``). A pipe without a reader is
an error at once, not a program that waits for ever; a block device is refused. An existing file without write permission is not replaced
either, although the folder would allow it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from eidos.errors import Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_HINT_BY_ERRNO = {
    errno.EACCES: "choose a folder that you can write to, or run as another user",
    errno.EPERM: "choose a folder that you can write to, or run as another user",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "use a path whose parents are all folders",
    errno.EISDIR: "name a file in that folder",
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "free some space, or write to another disk",
    errno.EROFS: "write to another file system",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENXIO: "start the program that reads from it first",
    errno.EBUSY: "a file that is a mount point cannot be replaced: mount its folder, and name a file in it",
}

_REASON_BY_ERRNO = {
    errno.ENOENT: "the folder does not exist",
    errno.ENXIO: "no process reads from it",
}

_STANDARD_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class Unwritable(Unavailable):
    """Output could not be written: ``path`` as the caller passed it, ``reason`` in the system's words."""

    def __init__(self, path: str, reason: str, hint: str | None = None) -> None:
        super().__init__(f"cannot write {path}: {reason}", hint)
        self.path = path
        self.reason = reason


class TemporaryFolder:
    """A new folder of our own in ``parent`` (None: that of TMPDIR), which is removed at the end of the block. Raises Unavailable."""

    def __init__(self, parent: str | None = None) -> None:
        self._parent = parent

    def __enter__(self) -> str:
        from tempfile import mkdtemp

        try:
            self._path = mkdtemp(prefix=".eidos-", suffix=".tmp", dir=self._parent)
        except OSError as fault:
            raise Unavailable(f"cannot make a temporary folder: {os_error_reason(fault)}", "set TMPDIR to a folder with space") from fault
        return self._path

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        from shutil import rmtree

        rmtree(self._path, ignore_errors=True)


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write ``data`` to ``path`` atomically; the new file has ``mode`` (less the umask), whatever the old one had.

    Raises Unwritable. Any other exception (of a signal handler) propagates, and leaves nothing behind.
    """
    if not path:
        raise Unwritable('""', "the file name is empty")
    try:
        descriptor = _open_descriptor(path)
        if descriptor is not None:
            _write_all(descriptor, data)
        elif not _is_special(path):
            _replace(os.path.realpath(path), (data,), mode)
        else:
            _write_special(path, data)
    except OSError as cause:
        raise unwritable(path, cause) from cause
    except ValueError as cause:  # a NUL, or a character that the system's encoding does not have
        raise Unwritable(path, "invalid file name") from cause


def write_pieces(path: str, pieces: Iterable[bytes], mode: int = 0o600) -> None:
    """Write a file as :func:`write_file` does, with no more than a piece of it in memory, unless it cannot be replaced.

    What ``pieces`` raises leaves nothing behind.
    """
    try:
        is_special = not path or _open_descriptor(path) is not None or _is_special(path)
    except OSError as cause:
        raise unwritable(path, cause) from cause
    except ValueError as cause:
        raise Unwritable(path, "invalid file name") from cause
    if is_special:  # nothing is written there before the last piece is known to come
        write_file(path, b"".join(pieces), mode)
        return
    try:
        _replace(os.path.realpath(path), pieces, mode)
    except OSError as cause:
        raise unwritable(path, cause) from cause


def write_stdout(data: bytes) -> None:
    """Write all of ``data`` to standard output, and flush.

    Raises Unwritable when it is closed, full, or its reader has gone. After that it is /dev/null, so that the interpreter reports
    nothing more at exit.
    """
    name = "standard output"
    if sys.stdout is None:  # it was closed before the program started; descriptor 1 may be anything by now
        raise Unwritable(name, "it is closed")
    try:
        sys.stdout.flush()
        _write_all(1, data)
    except OSError as cause:
        _redirect_stdout_to_null()
        raise unwritable(name, cause) from cause


def check_stdout() -> None:
    """Raises Unwritable when standard output is a pipe whose reader has gone: for a program that may not write for a long time."""
    import select

    poll = select.poll()
    poll.register(1, 0)
    if any(events & select.POLLERR for _, events in poll.poll(0)):
        _redirect_stdout_to_null()
        cause = BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        raise unwritable("standard output", cause) from cause


def _redirect_stdout_to_null() -> None:
    try:
        null = os.open(os.devnull, os.O_WRONLY)
    except OSError:  # a bare root without /dev
        os.close(1)
    else:
        os.dup2(null, 1)
        os.close(null)


def unwritable(path: str, cause: OSError) -> Unwritable:
    """The error to raise for ``path``, a file or a folder that the system did not let us write, with a hint by its errno."""
    number = cause.errno or 0
    if number == errno.EPIPE:
        return Unwritable(path, "broken pipe", "the output is incomplete: its reader closed the pipe")
    words = os.strerror(number)
    reason = _REASON_BY_ERRNO.get(number) or words[:1].lower() + words[1:]
    return Unwritable(path, reason, _HINT_BY_ERRNO.get(number))


def check_permission(path: str, output: str) -> None:
    """Raise Unwritable, about ``output``, when this user may not write to the file or the folder at ``path``."""
    if not os.access(path, os.W_OK | (os.X_OK if os.path.isdir(path) else 0)):
        number = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
        raise unwritable(output, OSError(number, ""))


def _open_descriptor(path: str) -> int | None:
    """The open descriptor that ``path`` names, if it names one."""
    if path in _STANDARD_STREAMS:
        return _STANDARD_STREAMS[path]
    folder, _, name = path.rpartition("/")
    if folder in ("/dev/fd", "/proc/self/fd") and name.isascii() and name.isdigit():
        return int(name[:9])
    return None


def _is_special(path: str) -> bool:
    """Whether ``path`` exists and must be written in place, not replaced; raises OSError for what cannot be written at all."""
    if path.endswith("/"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISBLK(kind):
        raise Unwritable(path, "it is a block device; writing would destroy its contents")
    if not stat.S_ISREG(kind):
        return True
    if not os.access(path, os.W_OK):
        # open(2) tells why: permission, or a read-only file system.
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    return False


def _write_special(path: str, data: bytes) -> None:
    # Without O_NONBLOCK, opening a pipe waits for a reader; with it, _write_all has to wait for a slow one.
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _write_all(fd, data)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            import select

            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()


def _replace(target: str, pieces: Iterable[bytes], mode: int) -> None:
    """Write a new file and give it the name ``target``."""
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".eidos-{os.urandom(8).hex()}.tmp")
    try:
        # What comes once cannot be written again where a file without a name cannot get one.
        if not isinstance(pieces, tuple) or not _write_nameless(folder, temporary, target, pieces, mode):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            try:
                _write_synced(fd, pieces)
            finally:
                os.close(fd)
            os.rename(temporary, target)
    except BaseException:  # a signal handler may raise anything, anywhere above
        try:
            os.unlink(temporary)
        except OSError:  # it was not created, or is renamed already
            pass
        raise


def _write_nameless(folder: str, temporary: str, target: str, pieces: tuple[bytes, ...], mode: int) -> bool:
    """Write a file that has no name before it is complete; False when the file system cannot."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag:
        return False
    try:
        fd = os.open(folder or ".", os.O_WRONLY | flag | os.O_CLOEXEC, mode)
    except OSError:  # not supported, or the folder is missing: the ordinary way will tell
        return False
    try:
        _write_synced(fd, pieces)
        return _link_to_target(fd, temporary, target)
    finally:
        os.close(fd)


def _link_to_target(fd: int, temporary: str, target: str) -> bool:
    # A link cannot replace a file, so an existing one takes a second step. ``src_dir_fd`` makes os.link call linkat(2), which follows
    # the link in /proc; link(2) does not.
    source = f"/proc/self/fd/{fd}"
    try:
        os.link(source, target, src_dir_fd=fd)
        return True
    except FileExistsError:
        pass
    except OSError:  # /proc is not mounted, or the file system has no links
        return False
    try:
        os.link(source, temporary, src_dir_fd=fd)
    except OSError:
        return False
    os.rename(temporary, target)
    return True


def _write_synced(fd: int, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        _write_all(fd, piece)
    try:
        os.fsync(fd)
    except OSError as cause:
        if cause.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot sync
            raise
