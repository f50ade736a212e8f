"""The way to a file below a root, link by link, never out of it.

Knows how to resolve a path as chroot(2) would, without being allowed to and without a moment in which somebody could swap a link
(openat(2) with ``O_PATH | O_NOFOLLOW`` for each component); must not know what is read at its end. All failures are OSErrors.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

#: Links that one path may go through, as the kernel has it (path_resolution(7)).
LINKS = 40

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Walk:
    """The way from a root to a file, each link resolved inside the root; ``trail`` holds the names that remain.

    Descriptors of the directories on the way stay open until :meth:`close`, because ``..`` goes back to them.
    """

    def __init__(self, root: int, path: str, follow: bool = True) -> None:
        self._stack = [os.dup(root)]
        self.trail: list[str] = []
        try:
            self._go(path, follow)
        except BaseException:
            self.close()
            raise

    def _go(self, path: str, follow: bool) -> None:
        ahead = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        must_be_folder = path.endswith(("/", "/."))
        links = 0
        while ahead:
            name = ahead.pop()
            if name == "..":
                if len(self._stack) > 1:
                    self._close_last()
                continue
            fd = os.open(name, _PATH, dir_fd=self._stack[-1])
            mode = os.fstat(fd).st_mode
            if stat.S_ISLNK(mode) and (ahead or follow or must_be_folder):
                try:
                    target = os.readlink("", dir_fd=fd)
                finally:
                    os.close(fd)
                links += 1
                if links > LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if target.startswith("/"):
                    while len(self._stack) > 1:
                        self._close_last()
                must_be_folder = must_be_folder or (not ahead and target.endswith("/"))
                ahead += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                continue
            self._stack.append(fd)
            self.trail.append(name)
            if not stat.S_ISDIR(mode) and (ahead or must_be_folder):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def _close_last(self) -> None:
        os.close(self._stack.pop())
        self.trail.pop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all that is held; again is harmless."""
        while self._stack:
            os.close(self._stack.pop())

    def stat(self) -> os.stat_result:
        """What was found: the file itself, or a link that was not to be followed."""
        return os.fstat(self._stack[-1])

    def readlink(self) -> str:
        """Where what was found points; OSError with EINVAL when it is no link."""
        if not stat.S_ISLNK(self.stat().st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return os.readlink("", dir_fd=self._stack[-1])

    def open(self, flags: int) -> int:
        """Open what was found; without procfs a descriptor of ``O_PATH`` opens only by its name, so it is checked to be the same."""
        if len(self._stack) == 1:
            return os.open(".", flags, dir_fd=self._stack[0])
        fd = os.open(self.trail[-1], flags | os.O_NOFOLLOW, dir_fd=self._stack[-2])
        if os.path.samestat(os.fstat(fd), self.stat()):
            return fd
        os.close(fd)
        raise OSError(errno.ESTALE, "changed while it was being opened")
