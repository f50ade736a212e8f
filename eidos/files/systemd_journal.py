"""Messages of the kernel in a file of systemd's journal, read without its library.

Knows the format of the files (https://systemd.io/JOURNAL_FILE_FORMAT, and journal-def.h of systemd 257), also the compact one;
must not know where the files are, nor which messages matter. Every object is read at its offset with pread(2), so that a file which is
written meanwhile, cut off or damaged costs its own messages only. A message that is compressed (one of 512 bytes or more; lz4 and zstd are
not in the standard library) is reported, and not read.

Objects begin with their type and size; numbers are little-endian::

    field hash table → FIELD "_TRANSPORT" → DATA "_TRANSPORT=kernel" → ENTRY_ARRAY → ENTRY → DATA "MESSAGE=…"
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE, _HEADER_BYTES = b"LPKSHHRH", 208

#: Flags of the header that say how objects are written; with others a file cannot be read.
_COMPACT, _KNOWN_FLAGS = 1 << 4, (1 << 5) - 1

#: Types of objects.
_DATA, _FIELD, _ENTRY, _ENTRY_ARRAY = 1, 2, 3, 6

#: Bits in an object's flags that say how its payload is compressed.
_COMPRESSED = 7

#: Size limits in bytes of a table or an array, and of any other object; how much of an object is read at first.
_TABLE_LIMIT, _OBJECT_LIMIT, _FIRST_READ = 16 << 20, 1 << 16, 640

#: Entries of one file, objects in a list, and fields that are remembered, at most.
ENTRY_LIMIT, _LIST_LIMIT, _CACHE_LIMIT = 200_000, 4096, 4096

#: What is read of an entry: whose message it is (0: the kernel's own, not one that a program wrote to its log), the time, the text.
_FACILITY, _TIME, _MESSAGE = b"SYSLOG_FACILITY", b"_SOURCE_MONOTONIC_TIMESTAMP", b"MESSAGE"


class JournalFile:
    """One file, open as ``fd``. Raises InvalidData when it is none, or is written in a way that is not known."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        header = os.pread(fd, _HEADER_BYTES, 0)
        if len(header) < _HEADER_BYTES or header[:8] != _SIGNATURE:
            raise InvalidData("not a file of systemd's journal")
        flags = _number(header, 12, 4)
        if flags & ~_KNOWN_FLAGS:
            raise InvalidData(f"written by a newer systemd: unknown flags {flags:#x}")
        self._is_compact = bool(flags & _COMPACT)
        self._fields_at, self._fields_size = _number(header, 120), _number(header, 128)
        self._fields: dict[int, tuple[bytes, bytes]] = {}

    def kernel_records(self, boot_id: bytes) -> Iterator[tuple[float, str | None]]:
        """Seconds since the boot ``boot_id``, and the message, of each record of the kernel, the latest first; None for one not read.

        Raises InvalidData where the file is damaged, OSError.
        """
        for offset in reversed(self._kernel_entries()):
            entry = self._object(offset, _ENTRY)
            if entry[40:56] != boot_id:  # all before it are of earlier boots
                return
            step, size = (4, 4) if self._is_compact else (16, 8)
            fields = dict(self._field(_number(entry, at, size)) for at in range(64, len(entry) - size + 1, step))
            if fields.get(_FACILITY) == b"0":
                source = fields.get(_TIME, b"")
                microseconds = int(source) if source.isdigit() and len(source) < 20 else _number(entry, 32)
                yield microseconds / 1e6, fields[_MESSAGE].decode("utf-8", "replace") if _MESSAGE in fields else None

    def _kernel_entries(self) -> list[int]:
        """Offsets of the entries that came from the kernel's log, in their order."""
        at = self._kernel_data()
        if not at:
            return []
        data = self._object(at, _DATA)
        offsets, at = list(filter(None, [_number(data, 40)])), _number(data, 48)
        size = 4 if self._is_compact else 8
        while at and len(offsets) < ENTRY_LIMIT:
            array = self._object(at, _ENTRY_ARRAY, _TABLE_LIMIT)
            offsets += filter(None, (_number(array, start, size) for start in range(24, len(array) - size + 1, size)))
            at, before = _number(array, 16), at
            if 0 < at <= before:
                raise InvalidData("damaged: an array of entries points backwards")
        return offsets

    def _kernel_data(self) -> int:
        """The offset of the object with ``_TRANSPORT=kernel``, which has the list of its entries; 0 when there is none."""
        if self._fields_size > _TABLE_LIMIT:
            raise InvalidData("damaged: hash table too large")
        table = os.pread(self._fd, self._fields_size, min(self._fields_at, 1 << 48))
        if len(table) < self._fields_size:
            raise InvalidData("damaged: cut off")
        for start in range(0, len(table) - 15, 16):
            for _, field in self._list(_number(table, start), _FIELD, 24):
                if field[40:] == b"_TRANSPORT":
                    values = self._list(_number(field, 32), _DATA, 32)
                    return next((at for at, data in values if data[self._payload_at :] == b"_TRANSPORT=kernel"), 0)
        return 0

    def _list(self, at: int, kind: int, link: int) -> Iterator[tuple[int, bytes]]:
        """Offset and content of each object in a list; the next one's offset is ``link`` bytes into each."""
        for _ in range(_LIST_LIMIT):
            if not at:
                return
            content = self._object(at, kind)
            yield at, content
            at = _number(content, link)
        raise InvalidData("damaged: endless list of objects")

    @property
    def _payload_at(self) -> int:
        return 72 if self._is_compact else 64

    def _field(self, at: int) -> tuple[bytes, bytes]:
        """Name and value of a field; most of an entry are those of the entry before."""
        if at not in self._fields:
            data = self._object(at, _DATA)
            name, _, value = data[self._payload_at :].partition(b"=")
            if len(self._fields) >= _CACHE_LIMIT:
                self._fields.clear()
            self._fields[at] = (b"", b"") if data[1] & _COMPRESSED else (name, value)
        return self._fields[at]

    def _object(self, at: int, kind: int, limit: int = _OBJECT_LIMIT) -> bytes:
        if at >> 48:
            raise InvalidData("damaged: offset beyond the end")
        data = os.pread(self._fd, _FIRST_READ, at)
        size = _number(data, 8)
        if len(data) < 16 or data[0] != kind or not (self._payload_at if kind == _DATA else 24) <= size <= limit:
            raise InvalidData("damaged: no such object")
        if size > len(data):
            data += os.pread(self._fd, size - len(data), at + len(data))
            if len(data) < size:
                raise InvalidData("damaged: cut off")
        return data[:size]


def _number(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")
