"""A bundle as a zip file, the same bytes every time.

Knows the format (PKWARE APPNOTE 6.3, sections 4.3 and 4.4); must not know what is in a bundle. An archive does not record when, by whom or
where it was made: every time is the earliest of the format, 1 January 1980. ``zipfile`` takes ten times as long to import as this takes to
run.
"""

from __future__ import annotations

import zlib
from struct import pack, unpack

from eidos.bundle.checksums import Sha256
from eidos.bundle.tar_archive import (
    MAX_ARCHIVE_BYTES,
    MAX_COMPRESSED_BYTES,
    MAX_CONTENT_BYTES,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    ROOT,
    Member,
    tar_gz_pieces,
)
from eidos.errors import IntegrityError, InvalidData, InvalidInput
from eidos.model.bundle import file_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from typing import BinaryIO

    from eidos.model.bundle import StoredFile

#: Made on Unix (so that modes count) for version 2.0, which has folders and deflate; names are UTF-8 (bit 11).
_UNIX = 3
_MADE, _NEEDED, _UTF8 = _UNIX << 8 | 20, 20, 1 << 11
_STORED, _DEFLATED = 0, 8

#: 1980-01-01, 00:00, as MS-DOS writes it.
_TIME, _DATE = 0, 1 << 5 | 1

#: Unix file types in the upper half of the external attributes, and the folder bit of MS-DOS.
_FILE, _FOLDER, _DOS_FOLDER = 0o100000, 0o040000, 0x10
_FILE_TYPES = {
    0: "",
    _FILE: "",
    _FOLDER: "folder",
    0o120000: "a symbolic link",
    0o020000: "a device",
    0o060000: "a device",
    0o010000: "a pipe",
}

#: Flag of an entry whose checksum and sizes follow its data, with or without a signature (4.3.9).
_DESCRIPTOR, _DESCRIPTOR_SIGNATURE = 1 << 3, b"PK\7\x08"

#: Before the record at the end, where the format has extensions for large files (4.3.15).
_LOCATOR_SIGNATURE = b"PK\6\7"

#: Extra fields that say nothing of the path, the kind or the content: sizes above 4 GiB, times, owners. One may repeat the path in UTF-8.
_EXTRA_FIELDS, _UNICODE_PATH = frozenset((0x0001, 0x000A, 0x5455, 0x5855, 0x7855, 0x7875)), 0x7075

#: Bytes in which the record at the end stands, with the longest comment; bytes of the largest directory; bytes that are read at once.
_END_LIMIT, _DIRECTORY_LIMIT, _PIECE = 22 + 0xFFFF, 16 << 20, 1 << 16


def archive_pieces(files: Mapping[str, bytes], blobs: Mapping[str, StoredFile], extension: str) -> Iterator[bytes]:
    """The archive of files in the format of an extension: zip for ``.zip``, else tar.gz. Raises InvalidData as both do.

    Raises InvalidInput for a zip file with blobs of images, which its format bounds to 2 GiB.
    """
    if extension == ".zip":
        if blobs:
            raise InvalidInput("a zip file cannot hold images", "name a file that ends with .tar.gz")
        return iter((pack_zip(files),))
    return tar_gz_pieces(files, blobs)


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


def is_zip(data: bytes) -> bool:
    """Whether data begins as a zip file with entries does."""
    return data[:4] == b"PK\3\4"


def read_zip_members(file: BinaryIO, name: str, keep: Container[str] = frozenset()) -> Iterator[Member]:
    """The entries of a zip file, in the order of its directory; files at paths in ``keep`` with their content.

    Raises IntegrityError for data in another format, or truncated, or above the limits of a tar archive. Memory is that of the directory
    and of a few pieces. Every byte of the file belongs to one entry or to the directory, and both describe an entry alike: otherwise a
    small file could stand for a huge one, and programs that read one of the two alone would unpack something else.
    """
    directory, begin_of_directory, entries = _read_directory(file, name)
    count = total = 0
    intervals: list[tuple[int, int]] = []
    at = 0
    while at < len(directory):
        count += 1
        where = f"{name}: entry {count}"
        fields = directory[at : at + 46]
        if len(fields) < 46 or fields[:4] != b"PK\1\2":
            raise IntegrityError(f"{where} of the directory is damaged")
        made, _, flags, method, _, _, crc, packed, size, name_size, extra, comment, _, _, attributes, offset = unpack(
            "<HHHHHHIIIHHHHHII", fields[4:]
        )
        raw = directory[at + 46 : at + 46 + name_size]
        _check_extra(directory[at + 46 + name_size : at + 46 + name_size + extra], raw, where)
        at += 46 + name_size + extra + comment
        if count > MAX_ENTRIES:
            raise IntegrityError(f"{name}: more than {MAX_ENTRIES:,} entries")
        if flags & 1 or method not in (_STORED, _DEFLATED):
            raise IntegrityError(f"{where} is encrypted, or compressed by an unknown method")
        if size > MAX_FILE_BYTES:
            raise IntegrityError(f"{where} is larger than {MAX_FILE_BYTES >> 20} MiB")
        total += size
        if total > MAX_ARCHIVE_BYTES:
            raise IntegrityError(f"{name}: more than {MAX_ARCHIVE_BYTES >> 20} MiB when unpacked")
        begin = _check_local_header(file, offset, (flags, method, crc, packed, size), raw, where)
        path = raw.decode("utf-8", "backslashreplace")
        mode = attributes >> 16 if made >> 8 == _UNIX or attributes >> 16 else 0o644  # several systems have modes there
        kind = "folder" if path.endswith("/") else _FILE_TYPES.get(mode & 0o170000, "an entry of another format")
        if kind == "folder" and size:
            raise IntegrityError(f"{where} is a folder with content")
        if path in keep and size > MAX_CONTENT_BYTES:
            raise IntegrityError(f"{name}: {path} is larger than {MAX_CONTENT_BYTES >> 20} MiB")
        file.seek(begin)
        digest, content = _inflate_entry(file, packed, size, crc, method == _DEFLATED, where, path in keep)
        end = begin + packed
        intervals.append((offset, end + _descriptor_size(file, end, (crc, packed, size)) if flags & _DESCRIPTOR else end))
        yield Member(path, mode & 0o7777, kind) if kind else Member(path, mode & 0o7777, "", digest, content, size)
    intervals = [(0, 0), *sorted(intervals), (begin_of_directory, begin_of_directory)]
    if any(end != begin for (_, end), (begin, _) in zip(intervals, intervals[1:])):
        raise IntegrityError(f"{name}: entries overlap, or have other data between them")
    if count & 0xFFFF != entries:
        raise IntegrityError(f"{name}: the directory has {count:,} entries, expected {entries:,}")


def _check_local_header(file: BinaryIO, offset: int, fields: tuple[int, int, int, int, int], raw: bytes, where: str) -> int:
    """Where the data of an entry begins. Raises IntegrityError unless the header before it says what the directory does.

    ``fields`` are flags, method, checksum, and size with and without compression.
    """
    file.seek(offset)
    local = file.read(30)
    if len(local) < 30 or local[:4] != b"PK\3\4":
        raise IntegrityError(f"{where} is missing")
    _, flags, method, _, _, *sizes, name_size, extra = unpack("<HHHHHIIIHH", local[4:])
    if flags & _DESCRIPTOR:  # what follows the data may be 0 here, or all ones where sizes have 64 bits
        sizes = [end if size in (0, 0xFFFFFFFF) else size for size, end in zip(sizes, fields[2:])]
    if file.read(name_size) != raw or (flags, method, *sizes) != fields:
        raise IntegrityError(f"{where} is damaged: its header and the directory differ")
    _check_extra(file.read(extra), raw, where)
    return offset + 30 + int(name_size + extra)


def _check_extra(extra: bytes, raw: bytes, where: str) -> None:
    """Raise IntegrityError for a field that could give an entry another path or kind (4.5)."""
    at = 0
    while len(extra) - at >= 4:
        id, length = unpack("<HH", extra[at : at + 4])
        data = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if id not in _EXTRA_FIELDS and not (id == _UNICODE_PATH and data[5:] == raw):
            raise IntegrityError(f"{where} has an extra field 0x{id:04x}, which a bundle cannot have")
    if at != len(extra):
        raise IntegrityError(f"{where} is damaged: its extra fields are truncated")


def _descriptor_size(file: BinaryIO, at: int, fields: tuple[int, int, int]) -> int:
    """The size of what follows the data of an entry; 0 if it is anything else than its checksum and sizes."""
    file.seek(at)
    data = file.read(24)
    for sizes in ("<III", "<IQQ"):
        for descriptor in (_DESCRIPTOR_SIGNATURE + pack(sizes, *fields), pack(sizes, *fields)):
            if data.startswith(descriptor):
                return len(descriptor)
    return 0


def _read_directory(file: BinaryIO, name: str) -> tuple[bytes, int, int]:
    """The directory at the end of a zip file, where it begins, and how many entries it is said to have."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_LIMIT))
    tail = file.read(_END_LIMIT)
    at = tail.rfind(b"PK\5\6")
    if size > MAX_COMPRESSED_BYTES:
        raise IntegrityError(f"{name}: larger than {MAX_COMPRESSED_BYTES >> 20} MiB")
    if at < 0 or len(tail) < at + 22:
        raise IntegrityError(f"{name}: the archive is truncated")
    disk, first, here, entries, length, offset, comment = unpack("<HHHHIIH", tail[at + 4 : at + 22])
    end = size - len(tail) + at
    if disk or first or here != entries or offset + length != end or at + 22 + comment != len(tail):
        raise IntegrityError(f"{name}: the archive is damaged, or has unexpected data after its end")
    if length > _DIRECTORY_LIMIT:
        raise IntegrityError(f"{name}: more than {MAX_ENTRIES:,} entries")
    file.seek(offset)
    directory = file.read(length)
    if directory[-20:-16] == _LOCATOR_SIGNATURE:  # other programs would read the directory that it points to
        raise IntegrityError(f"{name}: a second directory, as zip files of more than 4 GiB have it")
    return directory, offset, entries


def _inflate_entry(
    file: BinaryIO, packed: int, size: int, crc: int, is_deflated: bool, where: str, wants_content: bool
) -> tuple[str, bytes]:
    """The digest of an entry that begins here, and its content if that is to be stored."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    digest, content, checksum, length = Sha256(), [], 0, 0
    while True:
        data = inflate.unconsumed_tail
        if not data and packed:
            data = file.read(min(packed, _PIECE))
            packed -= len(data)
        try:
            piece = inflate.decompress(data, _PIECE) if is_deflated else data
        except zlib.error as fault:
            raise IntegrityError(f"{where} is damaged") from fault
        if not data and not piece:
            break
        length += len(piece)
        if length > size:
            raise IntegrityError(f"{where} is damaged")
        checksum = zlib.crc32(piece, checksum)
        digest.update(piece)
        if wants_content:
            content.append(piece)
    if length != size or checksum != crc or (is_deflated and (not inflate.eof or inflate.unused_data)):
        raise IntegrityError(f"{where} is damaged")
    return digest.hexdigest(), b"".join(content)
