"""Files: of a host that is read, of the program's own data, those it writes, and those that the user named.

Knows paths, links and bytes; must not know what a file means. A file of the host that a snapshot is of is read through
:mod:`eidos.files.host`, which follows no link out of its root; one that the user named is read here, and links are followed, because a
mounted ConfigMap or Secret has them.

>>> read_named_file("/nonexistent", 100, "--key: /nonexistent", "pass the path of a key")
Traceback (most recent call last):
eidos.errors.NotFound: --key: /nonexistent: no such file
"""

from __future__ import annotations

import os
import stat

from eidos.errors import NotFound, Timeout, Unavailable, os_error_reason

#: Seconds until a program must have opened a pipe to write to it, and the longest time between two of its writes.
OPENING_TIMEOUT_S, WRITING_TIMEOUT_S = 5.0, 60.0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


def read_named_file(path: str, limit: int, subject: str = "", hint: str | None = None) -> bytes:
    """The content of the file at ``path``; a byte more than ``limit`` when it is larger, which the caller refuses.

    ``subject`` is what messages call it (default: its path), ``hint`` is that of a file that does not exist. Raises NotFound for that, also
    for a path with a NUL, which no file has, Unavailable for a file that cannot be read, and Timeout for a pipe, as :func:`read_pipe` does.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISFIFO(mode):
                return read_pipe(file.fileno(), limit, subject or path)
            if not stat.S_ISREG(mode):
                os.set_blocking(file.fileno(), True)
            return file.read(limit + 1)
    except (FileNotFoundError, ValueError) as fault:
        raise NotFound(f"{subject or path}: no such file", hint) from fault
    except OSError as fault:
        raise Unavailable(f"{subject or path}: {os_error_reason(fault)}") from fault


def open_no_link(path: str) -> BinaryIO:
    """The file at ``path``, to be read. Raises OSError for a link; opening a pipe does not wait."""
    return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; of a pipe, opening would otherwise wait for a program that writes to it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def read_pipe(fd: int, limit: int, subject: str, timeout_s: float = WRITING_TIMEOUT_S) -> bytes:
    """What programs write to a pipe that is open without blocking, until the last of them closes it; at most a byte more than ``limit``.

    Raises Timeout when none opens it within :data:`OPENING_TIMEOUT_S`, or when none writes for ``timeout_s``.
    """
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    data, left_ms = bytearray(), OPENING_TIMEOUT_S * 1000
    while len(data) <= limit:
        try:
            part = os.read(fd, min(1 << 16, limit + 1 - len(data)))
        except BlockingIOError as fault:  # a program has it open
            if not poll.poll(timeout_s * 1000):
                hint = "check the program that writes to this pipe, or write its output to a file first"
                raise Timeout(f"{subject}: no data within {timeout_s:g} s", hint) from fault
            continue
        data += part
        if part:
            continue
        events = () if data else poll.poll(left_ms)
        if not events and not data and not left_ms:
            raise Timeout(f"{subject}: no program writes to this pipe", "start that program first")
        left_ms = 0.0
        if data or any(event == select.POLLHUP for _, event in events):
            break
    return bytes(data)
