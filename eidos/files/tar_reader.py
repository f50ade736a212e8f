"""Entries of a tar archive that others made, plain or compressed with gzip or xz, one after the other and bounded.

Knows the format (POSIX.1-1988 ustar, pax records of path, link and size, GNU's long names) and what is too much of it; must not know what
an archive is for. Nothing is written. ``tarfile`` reads headers of any size into memory, and follows what they claim.
"""

from __future__ import annotations

import os
import zlib

from eidos.errors import InvalidData, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

FILE, FOLDER, LINK, HARD_LINK, OTHER = "file", "folder", "link", "hard link", "other"

#: How many times its size an archive may have after decompression, where more than usual is expected.
MAX_RATIO = 16

#: Limits: bytes after decompression, entries, bytes of a path or of a record that has one, memory of xz.
ARCHIVE_LIMIT_BYTES, ENTRIES_LIMIT, PATH_LIMIT_BYTES, RECORD_LIMIT_BYTES, XZ_MEMORY_BYTES = 4 << 30, 300_000, 4096, 64 << 10, 256 << 20

_BLOCK, _PIECE = 512, 1 << 16
_KINDS = {b"0": FILE, b"\0": FILE, b"7": FILE, b"1": HARD_LINK, b"2": LINK, b"5": FOLDER}
_LONG_PATH, _LONG_TARGET, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"


class TarEntry(Record):
    """One entry: its path and the target of a link as they are written, its kind, and the bytes of its content."""

    path: str
    kind: str
    size: int
    target: str = ""


class ContentReader:
    """What is left of the content of an entry; what is not read is skipped."""

    def __init__(self, stream: DecompressedStream, size: int) -> None:
        self._stream, self.left = stream, size

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, empty at the end."""
        data = self._stream.read_exactly(min(size, self.left))
        self.left -= len(data)
        return data


class DecompressedStream:
    """The bytes of a file after decompression; ``name`` stands for the file in messages.

    They are at most :data:`ARCHIVE_LIMIT_BYTES`, or ``limit_bytes`` where that is less than :data:`MAX_RATIO` times the size of the file.
    """

    def __init__(self, file: BinaryIO, name: str, *, limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> None:
        self._file, self.name = file, name
        self._limit = ARCHIVE_LIMIT_BYTES
        if limit_bytes > self._limit:
            self._limit = max(self._limit, min(limit_bytes, os.fstat(file.fileno()).st_size * MAX_RATIO))
        self._data = file.read(_PIECE)
        self._make, self._errors = _decompressor_of(self._data)
        self._decompressor = self._make() if self._make else None
        self._total = 0

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, empty at the end. Raises InvalidData for damaged data and above the limit."""
        piece = self._next(size)
        self._total += len(piece)
        if self._total > self._limit:
            raise InvalidData(f"{self.name}: more than {self._limit >> 30} GiB after decompression")
        return piece

    def _next(self, size: int) -> bytes:
        if self._decompressor is None:
            head, self._data = self._data[:size], self._data[size:]
            return head or self._file.read(size)
        try:
            while True:
                if self._decompressor.eof:  # another member, or nothing but padding
                    self._data = self._decompressor.unused_data or self._file.read(_PIECE)
                    if not self._data.strip(b"\0"):
                        return b""
                    assert self._make is not None
                    self._decompressor = self._make()
                piece: bytes = self._decompressor.decompress(self._data, size)
                self._data = getattr(self._decompressor, "unconsumed_tail", b"")
                if piece or self._decompressor.eof:
                    if piece:
                        return piece
                    continue
                if not self._data and getattr(self._decompressor, "needs_input", True):
                    self._data = self._file.read(_PIECE)
                    if not self._data:
                        raise InvalidData(f"{self.name}: the archive is truncated")
        except self._errors as fault:
            raise InvalidData(f"{self.name}: damaged: {fault}") from fault

    def read_exactly(self, size: int) -> bytes:
        """``size`` bytes. Raises InvalidData when there are fewer."""
        pieces, left = [], size
        while left:
            piece = self.read(min(left, _PIECE))
            if not piece:
                raise InvalidData(f"{self.name}: the archive is truncated")
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _decompressor_of(head: bytes) -> tuple[Callable[[], Any] | None, type[Exception]]:
    """What makes a decompressor for data that begins so (None: it is not compressed), and the error that it raises."""
    if head[:2] == b"\x1f\x8b":
        return lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), zlib.error
    if head[:6] == b"\xfd7zXZ\0":
        try:
            import lzma
        except ImportError as fault:
            raise Unavailable("this Python has no module lzma", "unpack the archive with 'xz -d' first") from fault
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_BYTES), lzma.LZMAError
    return None, zlib.error


def read_entries(stream: DecompressedStream) -> Iterator[tuple[TarEntry, ContentReader]]:
    """The entries of an archive in its order, each with its content, which has to be read before the next one.

    Raises InvalidData for another format, for damage, and above the limits.
    """
    records: dict[str, str] = {}
    count = 0
    while True:
        header = stream.read_exactly(_BLOCK)
        if not header.strip(b"\0"):
            return
        count += 1
        if count > ENTRIES_LIMIT:
            raise InvalidData(f"{stream.name}: more than {ENTRIES_LIMIT:,} entries")
        if _number(header[148:156], stream.name) != sum(header) - sum(header[148:156]) + 8 * 32:
            raise InvalidData(f"{stream.name}: not a tar archive, or entry {count} is damaged")
        size, flag = _number(header[124:136], stream.name), header[156:157]
        if flag in (_LONG_PATH, _LONG_TARGET, _PAX, _PAX_GLOBAL):
            if size > RECORD_LIMIT_BYTES:
                raise InvalidData(f"{stream.name}: entry {count} has a record of more than {RECORD_LIMIT_BYTES >> 10} KiB")
            data = stream.read_exactly(size + -size % _BLOCK)[:size]
            if flag == _PAX:
                records.update(_known_records(data, stream.name))
            elif flag != _PAX_GLOBAL:
                records["path" if flag == _LONG_PATH else "linkpath"] = _text(data)
            continue
        if "size" in records:
            size = int(records["size"]) if records["size"].isdecimal() and len(records["size"]) < 16 else -1
        if not 0 <= size <= ARCHIVE_LIMIT_BYTES:
            raise InvalidData(f"{stream.name}: entry {count} has no valid size")
        path, kind = records.get("path", _header_path(header)), _KINDS.get(flag, OTHER)
        if len(path) > PATH_LIMIT_BYTES:
            raise InvalidData(f"{stream.name}: entry {count} has a path of more than {PATH_LIMIT_BYTES} bytes")
        kind = FOLDER if kind == FILE and path.endswith("/") else kind
        # Links and folders have no content, whatever their size says.
        content = ContentReader(stream, 0 if kind in (LINK, HARD_LINK, FOLDER) and flag != b"\0" else size)
        padding = -content.left % _BLOCK
        yield TarEntry(path, kind, content.left, records.get("linkpath", _text(header[157:257]))), content
        while content.left:
            content.read(_PIECE)
        stream.read_exactly(padding)
        records = {}


def _header_path(header: bytes) -> str:
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100])


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, name: str) -> int:
    """An octal number, or GNU's base-256 one."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b"\0 ")
    if text and not (text.isdigit() and b"8" not in text and b"9" not in text):
        raise InvalidData(f"{name}: not a tar archive, or a damaged one")
    return int(text or b"0", 8)


def pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    r"""Key and value of each record of an extended header (POSIX.1-2001, pax). Raises ValueError for a damaged record.

    >>> list(pax_records(b"12 path=abc\n11 mtime=1\n"))
    [(b'path', b'abc'), (b'mtime', b'1')]
    """
    begin = 0
    while begin < len(data):
        space = data.find(b" ", begin, begin + 8)
        digits = data[begin:space] if space > begin else b""
        end = begin + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : max(end - 1, 0)].partition(b"=")
        if not key or not equals or data[end - 1 : end] != b"\n":
            raise ValueError("a damaged pax record")
        yield key, value
        begin = end


def _known_records(data: bytes, name: str) -> dict[str, str]:
    """The records that change how an entry is read. Raises InvalidData for a damaged one."""
    try:
        return {key.decode(): _text(value) for key, value in pax_records(data) if key in (b"path", b"linkpath", b"size")}
    except ValueError as fault:
        raise InvalidData(f"{name}: {fault}") from fault
