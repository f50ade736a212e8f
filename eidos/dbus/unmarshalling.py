"""The bytes of a D-Bus message's body as Python values.

Knows the specification's chapter "Marshaling", from the receiver's side; must not know messages or sockets. Any bytes give values or a
RemoteProtocolError, in time and memory proportional to their number: a length that a peer announces counts only once the bytes behind it
have arrived. An error names the byte at which the peer went wrong.

>>> unmarshal("sb", bytes.fromhex("03000000 666f6f00 01000000"))
['foo', True]
"""

from __future__ import annotations

import sys

from eidos.dbus.signature import ALIGNMENT, INTEGERS, RemoteProtocolError, Variant, is_valid_object_path, split_signature
from eidos.errors import DBusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.dbus.signature import Order, Value

    Reader = Callable[["Buffer", int, int, int], tuple[Value, int]]  # buffer, position, end, depth -> value, position after it

#: "Use of variants may not cause a total message depth to be larger than 64, including other container types."
MAX_DEPTH = 64
#: "Arrays have a maximum length defined to be 2 to the 26th power or 67108864 (64 MiB)."
MAX_ARRAY_BYTES = 1 << 26


def unmarshal(signature: str, data: bytes, order: Order = "little") -> list[Value]:
    """Return the values in ``data``, one for each type in ``signature``; RemoteProtocolError when it holds anything else."""
    try:
        types = split_signature(signature)
    except DBusError as fault:
        raise RemoteProtocolError(fault.message) from fault
    buffer = Buffer(data, order)
    values, position = [], 0
    for kind in types:
        value, position = reader_for(kind)(buffer, position, buffer.size, 0)
        values.append(value)
    if position != buffer.size:
        raise RemoteProtocolError(f"byte {position}: {buffer.size - position} bytes more than {signature!r} has")
    return values


class Buffer:
    """Bytes to read from, with views of them as arrays of aligned numbers.

    Every number on the wire is aligned to its size, so ``views["u"][position // 4]`` is the UINT32 at ``position``; indexing
    such a view takes a fifth of the time of cutting four bytes out and converting them.
    """

    __slots__ = ("data", "size", "views")

    def __init__(self, data: bytes, order: Order) -> None:
        """``data`` in byte ``order``; its first byte is the one that alignment counts from."""
        self.data = data
        self.size = len(data)
        if order == sys.byteorder:
            view = memoryview(data + bytes(-len(data) % 8))
            self.views: dict[str, memoryview | _Swapped] = {code: view.cast(native) for code, native in _NATIVE.items()}
        else:
            self.views = {code: _Swapped(data, code, order) for code in _NATIVE}


#: Type codes of numbers as memoryview.cast() knows them, which has the sizes of C: q and Q are 8 bytes on every Linux.
_NATIVE: dict[str, Any] = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "h": "I", "x": "q", "t": "Q", "d": "d", "b": "I"}


class _Swapped:
    """Stands in for a cast memoryview where the bytes are in the other order than this machine's."""

    def __init__(self, data: bytes, code: str, order: Order) -> None:
        self._data, self._order, self._code = data, order, code
        self._size, self._signed = INTEGERS.get(code, (ALIGNMENT[code], False))

    def __getitem__(self, index: int) -> Value:
        raw = self._data[index * self._size : (index + 1) * self._size]
        if self._code == "d":
            return memoryview(raw[::-1]).cast("d")[0]
        return int.from_bytes(raw, self._order, signed=self._signed)


def reader_for(kind: str) -> Reader:
    """Return the function that reads one value of ``kind``, a valid single complete type.

    It takes the buffer, the position to start at, the end that it must not pass and the depth of the containers around, and returns
    the value and the position after it.
    """
    return _cached_reader(kind.encode())[1]


# Readers are built once for each type: a unit has 400 properties of some twenty types.
_READERS: dict[bytes, tuple[str, Reader]] = {}
_READERS_LIMIT = 512


def _cached_reader(raw: bytes) -> tuple[str, Reader]:
    cached = _READERS.get(raw)
    if cached is None:
        try:
            kind = raw.decode("ascii")
            types = split_signature(kind)
        except (UnicodeDecodeError, DBusError) as fault:
            raise RemoteProtocolError(f"no signature: {raw!r}") from fault
        if len(types) != 1:
            raise RemoteProtocolError(f"{kind!r} is not the type of one value")
        if len(_READERS) >= _READERS_LIMIT:  # a peer that invents types must not fill our memory
            _READERS.clear()
        cached = _READERS[raw] = (kind, _build(kind))
    return cached


def _build(kind: str) -> Reader:
    code = kind[0]
    if code == "b":
        return _read_boolean
    if code in _NATIVE:
        return _read_number(code)
    if code == "g":
        return _read_signature
    if code == "s":
        return _read_string
    if code == "o":
        return _read_path
    if code == "v":
        return _read_variant
    if code == "(":
        return _read_struct(kind)
    return _read_dict(kind) if kind[1] == "{" else _read_array(kind)


def _pad(frame: Buffer, position: int, alignment: int) -> int:
    """The next multiple of ``alignment``; the padding before it "must always be made up of nul bytes"."""
    after = (position + alignment - 1) & -alignment
    if frame.data[position:after].strip(b"\0"):
        raise RemoteProtocolError(f"byte {position}: padding that is not nul")
    return after


def _short(position: int, what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"byte {position}: {what} that ends beyond its frame")


def _deep(position: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"byte {position}: containers deeper than {MAX_DEPTH}")


def _read_number(code: str) -> Reader:
    size = ALIGNMENT[code]
    shift = size.bit_length() - 1

    def read(frame: Buffer, position: int, end: int, _depth: int) -> tuple[Value, int]:
        if position & (size - 1):
            position = _pad(frame, position, size)
        if position + size > end:
            raise _short(position, "a number")
        return frame.views[code][position >> shift], position + size

    return read


def _read_boolean(frame: Buffer, position: int, end: int, _depth: int) -> tuple[Value, int]:
    if position & 3:
        position = _pad(frame, position, 4)
    if position + 4 > end:
        raise _short(position, "a boolean")
    value = frame.views["u"][position >> 2]
    if value > 1:
        raise RemoteProtocolError(f"byte {position}: invalid boolean {value}")
    return value == 1, position + 4


def _read_string(frame: Buffer, position: int, end: int, _depth: int) -> tuple[Value, int]:
    if position & 3:
        position = _pad(frame, position, 4)
    start = position + 4
    # The nul that ends it must be there as well.
    if start >= end or (stop := start + frame.views["u"][position >> 2]) >= end:
        raise _short(position, "a string")
    return _text(frame.data, start, stop), stop + 1


def _text(data: bytes, start: int, stop: int) -> str:
    raw = data[start:stop]
    if data[stop] or 0 in raw:
        raise RemoteProtocolError(f"byte {start}: a string with its nul in the wrong place")
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise RemoteProtocolError(f"byte {start + fault.start}: a string that is not UTF-8") from fault


def _read_path(frame: Buffer, position: int, end: int, depth: int) -> tuple[Value, int]:
    text, after = _read_string(frame, position, end, depth)
    if not is_valid_object_path(text):
        raise RemoteProtocolError(f"byte {position}: invalid object path {text[:80]!r}")
    return text, after


def _read_signature(frame: Buffer, position: int, end: int, _depth: int) -> tuple[Value, int]:
    data = frame.data
    if position >= end or (stop := position + 1 + data[position]) >= end:
        raise _short(position, "a signature")
    text = _text(data, position + 1, stop)
    try:
        split_signature(text)
    except DBusError as fault:
        raise RemoteProtocolError(f"byte {position}: {fault.message}") from fault
    return text, stop + 1


def _read_variant(frame: Buffer, position: int, end: int, depth: int) -> tuple[Value, int]:
    data = frame.data
    if depth >= MAX_DEPTH:
        raise _deep(position)
    if position >= end or (stop := position + 1 + data[position]) >= end:
        raise _short(position, "a variant")
    if data[stop]:
        raise RemoteProtocolError(f"byte {position}: a signature with its nul in the wrong place")
    kind, read = _cached_reader(data[position + 1 : stop])
    value, after = read(frame, stop + 1, end, depth + 1)
    return Variant((kind, value)), after


def _begin_array(frame: Buffer, position: int, end: int, alignment: int) -> tuple[int, int]:
    """Where the elements of the array at ``position`` begin, and where they end."""
    if position & 3:
        position = _pad(frame, position, 4)
    if position + 4 > end:
        raise _short(position, "an array")
    size = frame.views["u"][position >> 2]
    if size > MAX_ARRAY_BYTES:
        raise RemoteProtocolError(f"byte {position}: an array of {size} bytes; at most {MAX_ARRAY_BYTES} are allowed")
    start = position + 4
    if start & (alignment - 1):
        start = _pad(frame, start, alignment)
    if start + size > end:
        raise _short(position, f"an array of {size} bytes")
    return start, start + size


def _read_array(kind: str) -> Reader:
    element = kind[1:]
    alignment = ALIGNMENT[element[0]]
    read_element = reader_for(element)
    octets = element == "y"

    def read(frame: Buffer, position: int, end: int, depth: int) -> tuple[Value, int]:
        if depth >= MAX_DEPTH:
            raise _deep(position)
        position, stop = _begin_array(frame, position, end, alignment)
        if octets:
            return frame.data[position:stop], stop
        values = []
        while position < stop:
            value, position = read_element(frame, position, stop, depth + 1)
            values.append(value)
        return values, stop

    return read


def _read_dict(kind: str) -> Reader:
    read_key, read_value = (reader_for(part) for part in split_signature(kind[2:-1]))

    def read(frame: Buffer, position: int, end: int, depth: int) -> tuple[Value, int]:
        if depth >= MAX_DEPTH - 1:  # the array and its entries
            raise _deep(position)
        position, stop = _begin_array(frame, position, end, 8)
        pairs = {}
        while position < stop:
            if position & 7:
                position = _pad(frame, position, 8)
            key, position = read_key(frame, position, stop, depth + 2)
            pairs[key], position = read_value(frame, position, stop, depth + 2)
        return pairs, stop

    return read


def _read_struct(kind: str) -> Reader:
    readers = tuple(reader_for(field) for field in split_signature(kind[1:-1]))

    def read(frame: Buffer, position: int, end: int, depth: int) -> tuple[Value, int]:
        if depth >= MAX_DEPTH:
            raise _deep(position)
        if position & 7:
            position = _pad(frame, position, 8)
        values = []
        for read_field in readers:
            value, position = read_field(frame, position, end, depth + 1)
            values.append(value)
        return tuple(values), position

    return read
