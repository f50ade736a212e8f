"""A bundle as a tar.gz archive, the same bytes every time.

Knows both formats (POSIX.1-1988 ustar; RFC 1952); must not know what is in a bundle. An archive does not record when, by whom or where it
was made. The reader returns paths, modes and digests, a piece at a time and bounded; nothing is unpacked. Paths that leave the archive,
links, devices and everything else that is neither a file nor a folder are reported as what they are. What programs that unpack read
differently (a folder with content, a prefix outside POSIX headers) is refused. ``tarfile`` takes 30 ms to import, and reads many formats
that a bundle never has.
"""

from __future__ import annotations

import zlib

from eidos.bundle.checksums import MAX_FILES, Sha256
from eidos.errors import IntegrityError
from eidos.files.tar_reader import pax_records
from eidos.files.tar_writer import FOLDER, REGULAR, tar_header
from eidos.model.bundle import MAX_BLOB_BYTES, MAX_BLOBS_BYTES, file_mode, is_image_blob, is_inside
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping
    from typing import BinaryIO

    from eidos.model.bundle import StoredFile

#: The folder that contains all files, so that unpacking adds one entry to the current folder.
ROOT = "bundle/"

#: Limits of what is read: bytes of the archive, compressed and not, bytes of one file, and number of entries. Blobs of images come on top
#: of the first two; an archive with blobs may unpack to this many times its size.
MAX_RATIO = 16
MAX_COMPRESSED_BYTES, MAX_ARCHIVE_BYTES, MAX_FILE_BYTES, MAX_ENTRIES = 64 << 20, 256 << 20, 32 << 20, 2 * MAX_FILES

#: A larger file is digested only; the content of a smaller one is stored.
MAX_CONTENT_BYTES = 4 << 20

#: Bytes that are read, and inflated, at once.
_PIECE = 1 << 16

_BLOCK = 512
_REGULAR = (REGULAR, b"\0")
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"7": "a file of another kind"}
_OTHER_FORMAT = "an entry of another format"
_EXTENDED = (b"x", b"g")
_WITHOUT_CONTENT = ("folder", "a hard link", "a symbolic link", "a device", "a pipe")

#: Records of extended headers (POSIX.1-2001, pax) that say nothing of the path, the kind or the content of an entry; bytes of one header.
_HARMLESS_RECORDS = frozenset(b"atime comment ctime gid gname mtime uid uname LIBARCHIVE.creationtime".split())
_MAX_EXTENDED_BYTES = 1 << 16

#: RFC 1951, 3.2.4: the largest block that is not compressed.
_STORED_BYTES = 0xFFFF

#: RFC 1952: magic, deflate, no flags, no time, best compression, Unix.
_GZIP = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03"


class Member(Record):
    """One entry: its path as it is written, its mode, its ``kind`` ("" for a file, "folder", or what else it is), a file's digest and size.

    ``content`` is that of a file that the reader was to keep, else empty.
    """

    path: str
    mode: int
    kind: str = ""
    digest: str = ""
    content: bytes = b""
    size: int = 0


def pack_tar_gz(files: Mapping[str, bytes], root: str = ROOT) -> bytes:
    """The archive of files, below the folder ``root``. Raises InvalidData for a path that is too long for the format.

    Memory is that of the archive: files are not copied together first.
    """
    return b"".join(tar_gz_pieces(files, {}, root))


def tar_gz_pieces(files: Mapping[str, bytes], blobs: Mapping[str, StoredFile], root: str = ROOT) -> Iterator[bytes]:
    """The archive of files in memory and on disk, with no more than a piece of the latter in memory.

    Blobs of images are compressed already, so they are not compressed again. Raises InvalidData for a path that is too long for the format,
    and IntegrityError or Unavailable for a file on disk that is not what it was.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    yield _GZIP
    checksum = length = 0
    is_flushed = False
    for block, is_stored in _blocks(files, blobs, root):
        checksum = zlib.crc32(block, checksum)
        length += len(block)
        if not is_stored:
            yield packer.compress(block)
        else:
            yield (b"" if is_flushed else packer.flush(zlib.Z_FULL_FLUSH)) + _stored(block)
        is_flushed = is_stored
    yield packer.flush()
    yield checksum.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little")


def _stored(data: bytes) -> bytes:
    """Blocks of deflate that hold ``data`` as it is, after a flush, which ends at a full byte."""
    parts = []
    for begin in range(0, len(data), _STORED_BYTES):
        part = data[begin : begin + _STORED_BYTES]
        parts += [b"\0", len(part).to_bytes(2, "little"), (len(part) ^ 0xFFFF).to_bytes(2, "little"), part]
    return b"".join(parts)


def _blocks(files: Mapping[str, bytes], blobs: Mapping[str, StoredFile], root: str) -> Iterator[tuple[bytes, bool]]:
    """The parts of a tar archive, in order, and whether each is stored as it is."""
    folders: set[str] = set()
    for path in sorted([*files, *blobs]):
        full_path = root + path
        for end in (index for index, char in enumerate(full_path, 1) if char == "/"):
            if full_path[:end] not in folders:
                folders.add(full_path[:end])
                yield tar_header(full_path[:end], 0o755, 0, FOLDER), False
        blob = blobs.get(path)
        size = len(files[path]) if blob is None else blob.size
        yield tar_header(full_path, file_mode(path), size, REGULAR), False
        if blob is None:
            yield files[path], False
        else:
            from eidos.oci.image_layout import stored_pieces

            for piece in stored_pieces(blob):
                yield piece, True
        yield b"\0" * (-size % _BLOCK), False
    yield b"\0" * 2 * _BLOCK, False


def is_gzip(data: bytes) -> bool:
    """Whether data begins as a gzip file does."""
    return data[:2] == _GZIP[:2]


def read_members(
    file: BinaryIO, name: str, keep: Container[str] = frozenset(), open_blob: Callable[[str], BinaryIO] | None = None
) -> Iterator[Member]:
    """The entries of an archive, in its order; files at paths in ``keep`` with their content.

    The content of blobs of images is written to what ``open_blob`` returns for their path, if that is there. Raises IntegrityError for data
    in another format, or truncated, or above the limits. Memory is that of a few pieces.
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
        path, kind = _path_and_kind(header)
        if size and kind in _WITHOUT_CONTENT:  # some programs skip the content, others read it as the next entries
            raise IntegrityError(f"{name}: entry {count} is {kind} with content")
        is_blob = not kind and is_image_blob(path[len(ROOT) :])
        if is_blob:
            archive.allow_blob(size)
        elif size > MAX_FILE_BYTES:
            raise IntegrityError(f"{name}: entry {count} is larger than {MAX_FILE_BYTES >> 20} MiB")
        if header[156:157] in _EXTENDED and size <= _MAX_EXTENDED_BYTES:
            if not _is_harmless(archive.read(size + -size % _BLOCK)[:size]):
                yield Member(path, 0, _OTHER_FORMAT)
            continue
        wants_content = path in keep and not kind and not is_blob
        if wants_content and size > MAX_CONTENT_BYTES:
            raise IntegrityError(f"{name}: {path} is larger than {MAX_CONTENT_BYTES >> 20} MiB")
        digest, content = Sha256(size), []
        target = open_blob(path) if is_blob and open_blob else None
        try:
            for begin in range(0, size, _PIECE):
                piece = archive.read(min(_PIECE, size - begin))
                digest.update(piece)
                if wants_content:
                    content.append(piece)
                if target:
                    target.write(piece)
        finally:
            if target:
                target.close()
        if archive.read(-size % _BLOCK).strip(b"\0"):
            raise IntegrityError(f"{name}: unexpected data after the content of entry {count}")
        mode = _octal(header[100:108], name)
        yield Member(path, mode, kind) if kind else Member(path, mode, "", digest.hexdigest(), b"".join(content), size)


def _is_harmless(records: bytes) -> bool:
    r"""Whether the records of an extended header leave the next entry as its own header has it.

    >>> [_is_harmless(records) for records in (b"30 mtime=1700000000.123456789\n", b"17 path=../evil\n", b"9 uid=1\n", b"")]
    [True, False, False, True]
    """
    try:
        return all(key in _HARMLESS_RECORDS and b"\n" not in value for key, value in pax_records(records))
    except ValueError:
        return False


def _path_and_kind(header: bytes) -> tuple[str, str]:
    kind = header[156:157]
    raw = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0]
    raw = prefix + b"/" + raw if prefix else raw
    path = raw.decode("utf-8", "backslashreplace")
    if prefix and header[257:263] != b"ustar\0":
        return path, _OTHER_FORMAT  # not every program reads the prefix then
    if kind == FOLDER or (kind in _REGULAR and path.endswith("/")):
        return path, "folder"
    return path, "" if kind in _REGULAR else _KINDS.get(kind, _OTHER_FORMAT)


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
        self._compressed = self._inflated = self._blobs = 0

    def allow_blob(self, size: int) -> None:
        """Expect a blob of an image. Raises IntegrityError for one that is larger than they may be, or one too many."""
        self._blobs += size
        if size > MAX_BLOB_BYTES or self._blobs > MAX_BLOBS_BYTES:
            raise IntegrityError(f"{self._name}: more than {MAX_BLOBS_BYTES >> 40} TiB of images")

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
            if self._compressed > MAX_COMPRESSED_BYTES + self._blobs + (self._blobs >> 6):
                raise IntegrityError(f"{self._name}: larger than {MAX_COMPRESSED_BYTES >> 20} MiB")
            if not data:
                raise IntegrityError(f"{self._name}: the archive is truncated")
            try:
                piece = inflate.decompress(data, _PIECE)
            except zlib.error as fault:
                raise IntegrityError(f"{self._name}: the archive is damaged") from fault
            self._inflated += len(piece)
            if self._inflated > MAX_ARCHIVE_BYTES + self._blobs:
                raise IntegrityError(f"{self._name}: more than {MAX_ARCHIVE_BYTES >> 20} MiB when unpacked")
            if self._inflated > MAX_ARCHIVE_BYTES + MAX_RATIO * self._compressed:
                raise IntegrityError(f"{self._name}: more than {MAX_RATIO} times its size when unpacked")
            if piece:
                return piece
        return b""


def relative_path(path: str) -> str | None:
    """The path of an entry below the archive's one folder; None for one that leaves it.

    >>> [relative_path(path) for path in ("bundle/gpu-operator/values.yaml", "./bundle/a", "bundle/../../etc/passwd", "/etc/passwd")]
    ['gpu-operator/values.yaml', None, None, None]
    """
    return path[len(ROOT) :] if path.startswith(ROOT) and is_inside(path.rstrip("/")) else None
