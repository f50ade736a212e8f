"""A mount whose file system never answers, as a file server that is gone: whoever looks into it waits in the kernel.

Knows mount(2) and the FUSE device; must not know who looks. Nobody reads the FUSE device, so every request stays open until the
device is closed, which ends the connection and lets all who wait go.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DETACH = 2


@contextmanager
def stuck_mount(folder: Path) -> Iterator[Path]:
    """``folder`` with a dead file system over it; OSError when this process may not mount one."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    try:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"stuck", os.fsencode(folder), b"fuse", 0, options.encode()) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
        try:
            yield folder
        finally:
            libc.umount2(os.fsencode(folder), _DETACH)
    finally:
        os.close(device)
