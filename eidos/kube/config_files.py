"""Reads kubeconfig, token and certificate files.

Knows size limits, and pipes, such as a shell's ``<(command)``, which can be read only once; must not know what a file holds.
"""

from __future__ import annotations

import os
import stat

from eidos.errors import InvalidData, Unavailable, os_error_reason

#: The largest file that is read, in bytes.
CONFIG_FILE_LIMIT = 4 << 20

#: Seconds that the writer of a pipe may take.
PIPE_TIMEOUT_S = 5.0

#: Content that was read from pipes, by path.
_pipe_contents: dict[str, bytes] = {}


def read_config_file(path: str, subject: str) -> bytes | None:
    """The content of a file, or None when it does not exist; Unavailable or InvalidData, about ``subject``, when it cannot be read.

    A pipe is read to its end, for at most :data:`PIPE_TIMEOUT_S`, and its content is remembered for the next call.
    """
    if path in _pipe_contents:
        data = _pipe_contents[path]
    else:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
            raise Unavailable(f"{subject}: {os_error_reason(fault)}", "run as a user that can read it") from fault
        try:
            data = _read_to_end(fd, subject)
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                _pipe_contents[path] = data
        except OSError as fault:
            raise Unavailable(f"{subject}: {os_error_reason(fault)}") from fault
        finally:
            os.close(fd)
    if len(data) > CONFIG_FILE_LIMIT:
        raise InvalidData(f"{subject}: larger than {CONFIG_FILE_LIMIT >> 20} MiB", "check that this is the right file")
    if not data and path in _pipe_contents:
        raise Unavailable(f"{subject}: empty pipe", "write it to a file")
    return data


def read_pem_file(path: str, subject: str) -> bytes:
    """The content of a file that a kubeconfig names; Unavailable when it does not exist."""
    data = read_config_file(path, subject)
    if data is None:
        raise Unavailable(f"{subject}: no such file", "correct its path in the kubeconfig")
    return data


def _read_to_end(fd: int, subject: str) -> bytes:
    import select
    import time

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    deadline, data = time.monotonic() + PIPE_TIMEOUT_S, b""
    while len(data) <= CONFIG_FILE_LIMIT:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Unavailable(f"{subject}: no data within {PIPE_TIMEOUT_S:g} s")
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            continue
        if not part:
            break
        data += part
    return data
