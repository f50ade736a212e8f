"""A bundle as a tar.gz archive, the same bytes every time.

Knows both formats (POSIX.1-1988 ustar; RFC 1952); must not know what is in a bundle. An archive does not record when, by whom or where it
was made. The reader returns paths, modes and digests, a
piece at a time and bounded; nothing is unpacked. Paths that leave the archive, links,
devices and everything else that is neither a file nor a folder are reported as what they are. ``tarfile`` takes 30 ms to import, and
reads many formats that a bundle never has.
"""

from __future__ import annotations

import zlib

from eidos.bundle.checksums import MAX_FILES, Sha256
from eidos.errors import IntegrityError
from eidos.files.tar_writer import FOLDER, REGULAR, tar_header
from eidos.model.bundle import file_mode, is_inside
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from typing import BinaryIO

#: The folder that contains all files, so that unpacking adds one entry to the current folder.
ROOT = "bundle/"

#: Limits of what is read: bytes of the archive, compressed and not, bytes of one file, and number of entries.
MAX_COMPRESSED_BYTES, MAX_ARCHIVE_BYTES, MAX_FILE_BYTES, MAX_ENTRIES = 64 << 20, 256 << 20, 32 << 20, 2 * MAX_FILES

#: A larger file is digested only; the content of a smaller one is stored.
MAX_CONTENT_BYTES = 4 << 20

#: Bytes that are read, and inflated, at once.
_PIECE = 1 << 16

_BLOCK = 512
_REGULAR = (REGULAR, b"\0")
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"7": "a file of another kind"}

#: RFC 1952: magic, deflate, no flags, no time, best compression, Unix.
_GZIP = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03"


class Member(Record):
    """One entry: its path as it is written, its mode, its ``kind`` ("" for a file, "folder", or what else it is), and a file's digest.

    ``content`` is that of a file that the reader was to keep, else empty.
    """

    path: str
    mode: int
    kind: str = ""
    digest: str = ""
    content: bytes = b""


def pack_tar_gz(files: Mapping[str, bytes], root: str = ROOT) -> bytes:
    """The archive of files, below the folder ``root``. Raises InvalidData for a path that is too long for the format.

    Memory is that of the archive: files are not copied together first.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = [_GZIP]
    checksum = length = 0
    for block in _blocks(files, root):
        packed.append(packer.compress(block))
        checksum = zlib.crc32(block, checksum)
        length += len(block)
    packed += [packer.flush(), checksum.to_bytes(4, "little"), (length & 0xFFFFFFFF).to_bytes(4, "little")]
    return b"".join(packed)


def _blocks(files: Mapping[str, bytes], root: str) -> Iterator[bytes]:
    """The parts of a tar archive, in order."""
    folders: set[str] = set()
    for path in sorted(files):
        full_path = root + path
        for end in (index for index, char in enumerate(full_path, 1) if char == "/"):
            if full_path[:end] not in folders:
                folders.add(full_path[:end])
                yield tar_header(full_path[:end], 0o755, 0, FOLDER)
        content = files[path]
        yield tar_header(full_path, file_mode(path), len(content), REGULAR)
        yield content
        yield b"\0" * (-len(content) % _BLOCK)
    yield b"\0" * 2 * _BLOCK


def is_gzip(data: bytes) -> bool:
    """Whether data begins as a gzip file does."""
    return data[:2] == _GZIP[:2]


def read_members(file: BinaryIO, name: str, keep: Container[str] = frozenset()) -> Iterator[Member]:
    """The entries of an archive, in its order; files at paths in ``keep`` with their content.

    Raises IntegrityError for data in another format, or truncated, or above the limits. Memory is that of a few pieces.
    """
    archive = _Inflater(file, name)
    count = 0
    while True:
        header = archive.read(_BLOCK)
        if not header.strip(b"\0"):
            archive.finish()
            return
        count += 1
        if count > MAX_ENTRIES:
            raise IntegrityError(f"{name}: more than {MAX_ENTRIES:,} entries")
        total = sum(header) - sum(header[148:156]) + 8 * 32
        if _octal(header[148:156], name) != total:
            raise IntegrityError(f"{name}: entry {count} has a damaged header, or this is not a tar archive")
        size = _octal(header[124:136], name)
        if size > MAX_FILE_BYTES:
            raise IntegrityError(f"{name}: entry {count} is larger than {MAX_FILE_BYTES >> 20} MiB")
        path, kind = _path_and_kind(header)
        wants_content = path in keep and not kind
        if wants_content and size > MAX_CONTENT_BYTES:
            raise IntegrityError(f"{name}: {path} is larger than {MAX_CONTENT_BYTES >> 20} MiB")
        digest, content = Sha256(), []
        for begin in range(0, size, _PIECE):
            piece = archive.read(min(_PIECE, size - begin))
            digest.update(piece)
            if wants_content:
                content.append(piece)
        if archive.read(-size % _BLOCK).strip(b"\0"):
            raise IntegrityError(f"{name}: unexpected data after the content of entry {count}")
        mode = _octal(header[100:108], name)
        yield Member(path, mode, kind) if kind else Member(path, mode, "", digest.hexdigest(), b"".join(content))


def _path_and_kind(header: bytes) -> tuple[str, str]:
    kind = header[156:157]
    raw = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].partition(b"\0")[0]
        raw = prefix + b"/" + raw if prefix else raw
    path = raw.decode("utf-8", "backslashreplace")
    if kind == FOLDER or (kind in _REGULAR and path.endswith("/")):
        return path, "folder"
    return path, "" if kind in _REGULAR else _KINDS.get(kind, "an entry of another format")


def _octal(field: bytes, name: str) -> int:
    digits = field.strip(b" \0")
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise IntegrityError(f"{name}: invalid number in a header: not a tar archive, or one of another format")
    return int(digits, 8)


class _Inflater:
    """The bytes of a gzip file, inflated a piece at a time."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._buffer = b""
        self._compressed = self._inflated = 0

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises IntegrityError when there are fewer, or more than the limits allow."""
        while len(self._buffer) < size:
            piece = self._next_piece()
            if not piece:
                raise IntegrityError(f"{self._name}: the archive is truncated")
            self._buffer += piece
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def finish(self) -> None:
        """Raise IntegrityError unless nothing but zeros follows."""
        piece = self._buffer
        while True:
            if piece.strip(b"\0"):
                raise IntegrityError(f"{self._name}: unexpected data after the end of the archive")
            piece = self._next_piece()
            if not piece:
                break
        if self._inflate.unused_data or self._file.read(1):
            raise IntegrityError(f"{self._name}: unexpected data after the end of the archive")

    def _next_piece(self) -> bytes:
        """Some more bytes; none at the end."""
        inflate = self._inflate
        while not inflate.eof:
            data = inflate.unconsumed_tail or self._file.read(_PIECE)
            self._compressed += 0 if inflate.unconsumed_tail else len(data)
            if self._compressed > MAX_COMPRESSED_BYTES:
                raise IntegrityError(f"{self._name}: larger than {MAX_COMPRESSED_BYTES >> 20} MiB")
            if not data:
                raise IntegrityError(f"{self._name}: the archive is truncated")
            try:
                piece = inflate.decompress(data, _PIECE)
            except zlib.error as fault:
                raise IntegrityError(f"{self._name}: the archive is damaged") from fault
            self._inflated += len(piece)
            if self._inflated > MAX_ARCHIVE_BYTES:
                raise IntegrityError(f"{self._name}: more than {MAX_ARCHIVE_BYTES >> 20} MiB when unpacked")
            if piece:
                return piece
        return b""


def relative_path(path: str) -> str | None:
    """The path of an entry below the archive's one folder; None for one that leaves it.

    >>> [relative_path(path) for path in ("bundle/gpu-operator/values.yaml", "./bundle/a", "bundle/../../etc/passwd", "/etc/passwd")]
    ['gpu-operator/values.yaml', None, None, None]
    """
    return path[len(ROOT) :] if path.startswith(ROOT) and is_inside(path.rstrip("/")) else None
