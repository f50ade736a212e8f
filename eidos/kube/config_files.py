"""Reads kubeconfig, token and certificate files.

Knows size limits, and pipes, such as a shell's ``<(command)``, which can be read only once; must not know what a file holds.
"""

from __future__ import annotations

import os
import stat

from eidos.errors import InvalidData, Unavailable, os_error_reason

#: The largest file that is read, in bytes.
CONFIG_FILE_LIMIT = 4 << 20

#: The longest time in seconds between two writes to a pipe.
PIPE_TIMEOUT_S = 5.0

#: Content that was read from pipes, by path.
_pipe_contents: dict[str, bytes] = {}


def read_config_file(path: str, subject: str) -> bytes | None:
    """The content of a file, or None when it does not exist; an EidosError about ``subject`` when it cannot be read.

    A pipe is read to its end, while something comes within :data:`PIPE_TIMEOUT_S`, and its content is remembered for the next call.
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
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                from eidos.files import read_pipe

                data = _pipe_contents[path] = read_pipe(fd, CONFIG_FILE_LIMIT, subject, PIPE_TIMEOUT_S)
            else:
                with open(fd, "rb", closefd=False) as file:
                    data = file.read(CONFIG_FILE_LIMIT + 1) or b""
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
