"""Sections of a unified kernel image: the kernel's command line and the os-release inside it, without the rest of the file.

Knows the headers of PE (Microsoft, PE Format) and the sections of UAPI.5, Unified Kernel Image; must not know which image is booted. Of a
file of any size the headers and these sections are read.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData

#: Section headers of a file (systemd refuses more), and bytes of a section that are read.
_SECTION_COUNT_LIMIT, _SECTION_LIMIT = 96, 64 << 10

_FILE_HEADER_SIZE, _SECTION_HEADER_SIZE = 24, 40


def read_unified_kernel(fd: int) -> tuple[str, str]:
    """The command line ("" for an image without) and the os-release of an open image. Raises InvalidData when it is none, OSError.

    An image with profiles has a command line for each: InvalidData as well.
    """
    head = os.pread(fd, 64, 0)
    start = _number(head, 60, 4)
    header = os.pread(fd, _FILE_HEADER_SIZE, start)
    if head[:2] != b"MZ" or header[:4] != b"PE\0\0" or len(header) < _FILE_HEADER_SIZE:
        raise InvalidData("not a PE file")
    count = _number(header, 6, 2)
    table_size = count * _SECTION_HEADER_SIZE
    table = os.pread(fd, table_size, start + _FILE_HEADER_SIZE + _number(header, 20, 2))
    if not 0 < count <= _SECTION_COUNT_LIMIT or len(table) < table_size:
        raise InvalidData("PE file without a table of sections")
    texts: dict[bytes, str] = {}
    for at in range(0, table_size, _SECTION_HEADER_SIZE):
        name = table[at : at + 8].rstrip(b"\0")
        if name == b".profile":
            raise InvalidData("a unified kernel image with several profiles")
        if name in (b".cmdline", b".osrel"):
            # The size in memory is that of the content; the one in the file is rounded up.
            size = min(_number(table, at + 8, 4), _number(table, at + 16, 4))
            content = os.pread(fd, min(size, _SECTION_LIMIT), _number(table, at + 20, 4))
            if name in texts or size > _SECTION_LIMIT or len(content) < size:
                raise InvalidData(f"section {name.decode()} occurs twice, is too large or is cut off")
            texts[name] = content.rstrip(b"\0").decode("utf-8", "backslashreplace").strip()
        elif name == b".linux":
            texts[name] = ""
    if b".linux" not in texts:
        raise InvalidData("a PE file without a kernel")
    return texts.get(b".cmdline", ""), texts.get(b".osrel", "")


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
