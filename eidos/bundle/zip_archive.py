"""A bundle as a zip file, the same bytes every time.

Knows the format (PKWARE APPNOTE 6.3, sections 4.3 and 4.4); must not know what is in a bundle. An archive does not record when, by whom or
where it was made: every time is the earliest of the format, 1 January 1980. ``zipfile`` takes ten times as long to import as this takes to
run.
"""

from __future__ import annotations

import zlib
from struct import pack

from eidos.bundle.tar_archive import ROOT
from eidos.errors import InvalidData
from eidos.model.bundle import file_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Made on Unix (so that modes count) for version 2.0, which has folders and deflate; names are UTF-8 (bit 11).
_MADE, _NEEDED, _UTF8 = 3 << 8 | 20, 20, 1 << 11
_STORED, _DEFLATED = 0, 8

#: 1980-01-01, 00:00, as MS-DOS writes it.
_TIME, _DATE = 0, 1 << 5 | 1

#: Unix file types in the upper half of the external attributes, and the folder bit of MS-DOS.
_FILE, _FOLDER, _DOS_FOLDER = 0o100000, 0o040000, 0x10


def pack_zip(files: Mapping[str, bytes]) -> bytes:
    """The archive of a bundle's files. Raises InvalidData for more than the format without its extensions can hold."""
    entries: dict[str, bytes | None] = {}
    for path in sorted(files):
        full_path = ROOT + path
        for end in (index for index, char in enumerate(full_path, 1) if char == "/"):
            entries.setdefault(full_path[:end], None)
        entries[full_path] = files[path]
    if len(entries) > 0xFFFF:
        raise InvalidData(f"too many files for a zip file: {len(entries):,}")
    parts: list[bytes] = []
    index: list[bytes] = []
    offset = 0
    for path, content in entries.items():
        name, data = path.encode(), content or b""
        method, body = _body(data)
        if len(name) > 0xFFFF or max(len(data), offset + len(body)) > 0x7FFFFFFF:
            raise InvalidData(f"{path[:100]!r}: too large for a zip file")
        common = pack("<HHHHHIIIHH", _NEEDED, _UTF8, method, _TIME, _DATE, zlib.crc32(data), len(body), len(data), len(name), 0)
        mode, dos = (_FOLDER | 0o755, _DOS_FOLDER) if content is None else (_FILE | file_mode(path), 0)
        index.append(b"PK\1\2" + pack("<H", _MADE) + common + pack("<HHHII", 0, 0, 0, mode << 16 | dos, offset) + name)
        entry = b"PK\3\4" + common + name + body
        parts.append(entry)
        offset += len(entry)
    directory = b"".join(index)
    last = b"PK\5\6" + pack("<HHHHIIH", 0, 0, len(index), len(index), len(directory), offset, 0)
    return b"".join((*parts, directory, last))


def _body(data: bytes) -> tuple[int, bytes]:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    compressed = compressor.compress(data) + compressor.flush()
    return (_DEFLATED, compressed) if len(compressed) < len(data) else (_STORED, data)
