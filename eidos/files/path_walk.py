"""Resolves a path below a root, component by component, without ever leaving the root.

Knows how to resolve links as chroot(2) would, without its privilege and without a race with whoever replaces a link (openat(2) with
``O_PATH | O_NOFOLLOW`` for each component); must not know what is read at the end. Every failure is an OSError.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

#: Links that one path may go through, as in the kernel (path_resolution(7)).
LINK_LIMIT = 40

_PATH_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC


class PathWalk:
    """A path resolved inside a root; ``components`` are its names once links and ``..`` are resolved.

    Descriptors of the directories on the way stay open until :meth:`close`, because ``..`` goes back to them.
    """

    def __init__(self, root: int, path: str, follow: bool = True) -> None:
        self._stack = [os.dup(root)]
        self.components: list[str] = []
        try:
            self._resolve(path, follow)
        except BaseException:
            self.close()
            raise

    def _resolve(self, path: str, follow: bool) -> None:
        ahead = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        must_be_folder = path.endswith(("/", "/."))
        links = 0
        while ahead:
            name = ahead.pop()
            if name == "..":
                if len(self._stack) > 1:
                    self._close_last()
                continue
            fd = os.open(name, _PATH_FLAGS, dir_fd=self._stack[-1])
            mode = os.fstat(fd).st_mode
            if stat.S_ISLNK(mode) and (ahead or follow or must_be_folder):
                try:
                    target = os.readlink("", dir_fd=fd)
                finally:
                    os.close(fd)
                links += 1
                if links > LINK_LIMIT:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if target.startswith("/"):
                    while len(self._stack) > 1:
                        self._close_last()
                must_be_folder = must_be_folder or (not ahead and target.endswith("/"))
                ahead += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                continue
            self._stack.append(fd)
            self.components.append(name)
            if not stat.S_ISDIR(mode) and (ahead or must_be_folder):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def _close_last(self) -> None:
        os.close(self._stack.pop())
        self.components.pop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors; a second call does nothing."""
        while self._stack:
            os.close(self._stack.pop())

    def stat(self) -> os.stat_result:
        """The status of the file, or of the link when it is not followed."""
        return os.fstat(self._stack[-1])

    def read_link(self) -> str:
        """The target of the link; OSError with EINVAL when the file is not a link."""
        if not stat.S_ISLNK(self.stat().st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return os.readlink("", dir_fd=self._stack[-1])

    def open(self, flags: int) -> int:
        """Open the file. Without procfs an ``O_PATH`` descriptor cannot be reopened, so it is opened by name and checked to be the same."""
        if len(self._stack) == 1:
            return os.open(".", flags, dir_fd=self._stack[0])
        fd = os.open(self.components[-1], flags | os.O_NOFOLLOW, dir_fd=self._stack[-2])
        if os.path.samestat(os.fstat(fd), self.stat()):
            return fd
        os.close(fd)
        raise OSError(errno.ESTALE, "changed while being opened")
