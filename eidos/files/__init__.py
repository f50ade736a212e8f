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

from eidos.errors import NotFound, Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


def read_named_file(path: str, limit: int, subject: str = "", hint: str | None = None) -> bytes:
    """The content of the file at ``path``; a byte more than ``limit`` when it is larger, which the caller refuses.

    ``subject`` is what messages call it (default: its path), ``hint`` is that of a file that does not exist. Raises NotFound for that, also
    for a path with a NUL, which no file has, and Unavailable for a file that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except (FileNotFoundError, ValueError) as fault:
        raise NotFound(f"{subject or path}: no such file", hint) from fault
    except OSError as fault:
        raise Unavailable(f"{subject or path}: {os_error_reason(fault)}") from fault


def open_no_link(path: str) -> BinaryIO:
    """The file at ``path``, to be read. Raises OSError for a link; opening a pipe does not wait."""
    return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
