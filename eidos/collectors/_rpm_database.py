"""Installed packages in rpm's own database, in each of its three formats, without running rpm.

Knows SQLite's file through the standard library, the pages of Berkeley DB's hash, the slots of ndb, and the header of a package;
must not know which packages matter, nor where the database is. Sources: rpm's lib/backend/{sqlite,ndb/rpmpkg,bdb_ro}.c and
docs/manual/format_header.md; Berkeley DB's dbinc/db_page.h. Of each header its beginning is read: name, version and release come first.

Nothing is locked and nothing is written: SQLite opens the file ``immutable``, so that what a running transaction holds in its write-ahead
log is not seen.
"""

from __future__ import annotations

import os
import struct

from eidos.errors import InvalidData, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Callable

#: Bytes at the beginning of a header that are read, and packages of a database.
HEADER_LIMIT, PACKAGE_LIMIT = 1 << 16, 100_000

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_INT32, _STRING = 4, 6

_NDB_PAGE, _NDB_BLOCK, _NDB_SLOT = 4096, 16, 16
_HASH_MAGIC, _HASH_PAGES, _OVERFLOW_PAGE, _OFF_PAGE, _ON_PAGE = 0x061561, (2, 13), 7, 3, 1
_PAGE_HEADER = 26


class RpmPackage(Record):
    """An installed package; ``version`` is ``[epoch:]version-release``."""

    name: str
    version: str


def parse_header(data: bytes) -> RpmPackage:
    r"""The package in a header of which ``data`` is all or the beginning. Raises InvalidData.

    >>> entries = b"".join(struct.pack(">4I", tag, 6, offset, 1) for tag, offset in ((1000, 0), (1001, 5), (1002, 7)))
    >>> parse_header(struct.pack(">2I", 3, 9) + entries + b"bash\x005\x003\x00")
    RpmPackage(name='bash', version='5-3')
    """
    try:
        count, size = struct.unpack_from(">2I", data)
        store = 8 + count * 16
        if not 0 < count <= 4096:
            raise InvalidData(f"rpm header with {count} entries")
        values: dict[int, str] = {}
        for index in range(count):
            tag, kind, offset, _ = struct.unpack_from(">4I", data, 8 + index * 16)
            if tag not in (_NAME, _VERSION, _RELEASE, _EPOCH) or offset >= size:
                continue
            if kind == _STRING:
                end = data.index(b"\0", store + offset)
                values[tag] = data[store + offset : end].decode("utf-8", "backslashreplace")
            elif kind == _INT32:
                values[tag] = str(struct.unpack_from(">I", data, store + offset)[0])
    except (struct.error, ValueError) as fault:
        raise InvalidData("rpm header cut off") from fault
    if _NAME not in values or _VERSION not in values or _RELEASE not in values:
        raise InvalidData("rpm header without name, version or release")
    epoch = f"{values[_EPOCH]}:" if values.get(_EPOCH, "0") != "0" else ""
    return RpmPackage(values[_NAME], f"{epoch}{values[_VERSION]}-{values[_RELEASE]}")


def read_sqlite(fd: int, is_selected: Callable[[str], bool]) -> Iterator[RpmPackage]:
    """The packages whose name ``is_selected`` in an open database of rpm 4.16 or later.

    Raises InvalidData for a file that is no such database, Unavailable when this Python has no ``sqlite3``.
    """
    try:
        import sqlite3
    except ImportError as fault:
        raise Unavailable("this Python has no sqlite3 module", "use a Python with it (python3-libs, libpython3-stdlib)") from fault
    try:
        connection = sqlite3.connect(f"file:/proc/self/fd/{fd}?mode=ro&immutable=1", uri=True)
        try:
            connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
            keys = connection.execute("SELECT DISTINCT key FROM Name LIMIT ?", (PACKAGE_LIMIT,))
            names = [key for (key,) in keys if isinstance(key, str) and is_selected(key)]
            for name in names:
                rows = connection.execute(
                    "SELECT substr(blob, 1, ?) FROM Packages WHERE hnum IN (SELECT hnum FROM Name WHERE key = ?)", (HEADER_LIMIT, name)
                )
                for (blob,) in rows:
                    if not isinstance(blob, bytes):
                        raise InvalidData("invalid rpm header: not a blob")
                    yield parse_header(blob)
        finally:
            connection.close()
    except sqlite3.Error as fault:
        raise InvalidData(f"not a SQLite database of rpm: {fault}") from fault


def read_ndb(fd: int) -> Iterator[RpmPackage]:
    """The packages in an open ``Packages.db`` of SUSE. Raises InvalidData."""
    head = os.pread(fd, 32, 0)
    if len(head) < 32 or head[:4] != b"RpmP":
        raise InvalidData("not an ndb database of rpm")
    pages = struct.unpack_from("<I", head, 12)[0]
    if not 0 < pages <= PACKAGE_LIMIT // 100:
        raise InvalidData(f"ndb database with {pages} pages of slots")
    slots = os.pread(fd, pages * _NDB_PAGE, 0)
    for start in range(2 * _NDB_SLOT, len(slots) - _NDB_SLOT + 1, _NDB_SLOT):
        magic, index, offset, blocks = struct.unpack_from("<4s3I", slots, start)
        if magic != b"Slot" or not index or not offset or not blocks:
            continue
        blob = os.pread(fd, min(blocks * _NDB_BLOCK, HEADER_LIMIT), offset * _NDB_BLOCK)
        if blob[:4] != b"BlbS":
            raise InvalidData(f"no package at block {offset} of the ndb database")
        yield parse_header(blob[16:])


def read_berkeley_db(fd: int) -> Iterator[RpmPackage]:
    """The packages in an open ``Packages`` of rpm before 4.16 (RHEL 8): a hash whose values are headers. Raises InvalidData."""
    meta = os.pread(fd, 512, 0)
    if len(meta) < 72:
        raise InvalidData("not a Berkeley DB database")
    order = next((order for order in "<>" if struct.unpack_from(f"{order}I", meta, 12)[0] == _HASH_MAGIC), None)
    if order is None:
        raise InvalidData("not a hash of Berkeley DB")
    size, last = struct.unpack_from(f"{order}I", meta, 20)[0], struct.unpack_from(f"{order}I", meta, 32)[0]
    if size not in (512 << shift for shift in range(8)) or last > 1 << 24:
        raise InvalidData(f"Berkeley DB with pages of {size} bytes")
    for number in range(1, last + 1):
        page = os.pread(fd, size, number * size)
        if len(page) < size:
            raise InvalidData("Berkeley DB cut off")
        if page[25] in _HASH_PAGES:
            for value in _hash_values(fd, page, order):
                if len(value) > 16:  # the number of the last package has a value, too
                    yield parse_header(value)


def _hash_values(fd: int, page: bytes, order: str) -> Iterable[bytes]:
    """The values on a page, which alternate with their keys: on the page itself, or on a chain of overflow pages."""
    count = struct.unpack_from(f"{order}H", page, 20)[0]
    if _PAGE_HEADER + 2 * count > len(page):
        raise InvalidData("Berkeley DB page with too many entries")
    offsets = struct.unpack_from(f"{order}{count}H", page, _PAGE_HEADER)
    for key, at in zip(offsets[::2], offsets[1::2]):
        if at + 12 <= len(page) and page[at] == _OFF_PAGE:
            yield _overflow_value(fd, struct.unpack_from(f"{order}I", page, at + 4)[0], len(page), order)
        elif at < key <= len(page) and page[at] == _ON_PAGE:
            yield page[at + 1 : key]  # entries are laid down from the end of the page
        else:
            raise InvalidData("Berkeley DB page with an unknown entry")


def _overflow_value(fd: int, number: int, size: int, order: str) -> bytes:
    value = b""
    while number and len(value) < HEADER_LIMIT:
        page = os.pread(fd, size, number * size)
        if len(page) < size or page[25] != _OVERFLOW_PAGE:
            raise InvalidData("Berkeley DB with a broken chain of pages")
        used = struct.unpack_from(f"{order}H", page, 22)[0]
        if not 0 < used <= size - _PAGE_HEADER:
            raise InvalidData("Berkeley DB with an empty overflow page")
        value += page[_PAGE_HEADER : _PAGE_HEADER + used]
        number = struct.unpack_from(f"{order}I", page, 16)[0]
    return value
