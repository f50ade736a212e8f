"""Bytes as D-Bus values.

Knows the specification's chapter "Marshaling", from the reader's side; must not know messages or sockets. Whatever bytes come
in, values or a PeerFault come out, in time and memory in proportion to the bytes that are there: no length that a peer
announces is believed before the bytes behind it have been seen. A fault names the byte at which the peer went wrong.
"""

from __future__ import annotations

import sys

from eidos.dbus.signature import ALIGNMENT, INTEGERS, PeerFault, Variant, is_object_path, split
from eidos.errors import DBusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.dbus.signature import Order, Value

    Reader = Callable[["Frame", int, int, int], tuple[Value, int]]  # frame, position, end, depth -> value, position after it

#: "Use of variants may not cause a total message depth to be larger than 64, including other container types."
MAX_DEPTH = 64
#: "Arrays have a maximum length defined to be 2 to the 26th power or 67108864 (64 MiB)."
MAX_ARRAY = 1 << 26


class Frame:
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
    """What a cast memoryview is, for bytes in the order that is not this machine's."""

    def __init__(self, data: bytes, code: str, order: Order) -> None:
        self._data, self._order, self._code = data, order, code
        self._size, self._signed = INTEGERS.get(code, (ALIGNMENT[code], False))

    def __getitem__(self, index: int) -> Value:
        raw = self._data[index * self._size : (index + 1) * self._size]
        if self._code == "d":
            return memoryview(raw[::-1]).cast("d")[0]
        return int.from_bytes(raw, self._order, signed=self._signed)


def reader(kind: str) -> Reader:
    """The function that reads one value of ``kind``, a valid single complete type.

    It takes the frame, the position to start at, the end that it must not pass and the depth of the containers around, and
    returns the value and the position after it.
    """
    return _cached(kind.encode())[1]


# Readers are built once for each type: a unit has 400 properties of some twenty types.
_READERS: dict[bytes, tuple[str, Reader]] = {}
_MOST_READERS = 512


def _cached(raw: bytes) -> tuple[str, Reader]:
    found = _READERS.get(raw)
    if found is None:
        try:
            kind = raw.decode("ascii")
            types = split(kind)
        except (UnicodeDecodeError, DBusError) as fault:
            raise PeerFault(f"no signature: {raw!r}") from fault
        if len(types) != 1:
            raise PeerFault(f"{kind!r} is not the type of one value")
        if len(_READERS) >= _MOST_READERS:  # a peer that thinks up types must not fill our memory
            _READERS.clear()
        found = _READERS[raw] = (kind, _build(kind))
    return found


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


def _pad(frame: Frame, position: int, alignment: int) -> int:
    """The next multiple of ``alignment``; the padding before it "must always be made up of nul bytes"."""
    after = (position + alignment - 1) & -alignment
    if frame.data[position:after].strip(b"\0"):
        raise PeerFault(f"byte {position}: padding that is not nul")
    return after


def _short(position: int, what: str) -> PeerFault:
    return PeerFault(f"byte {position}: {what} that ends beyond its frame")


def _deep(position: int) -> PeerFault:
    return PeerFault(f"byte {position}: containers deeper than {MAX_DEPTH}")


def _read_number(code: str) -> Reader:
    size = ALIGNMENT[code]
    shift = size.bit_length() - 1

    def read(frame: Frame, position: int, end: int, _depth: int) -> tuple[Value, int]:
        if position & (size - 1):
            position = _pad(frame, position, size)
        if position + size > end:
            raise _short(position, "a number")
        return frame.views[code][position >> shift], position + size

    return read


def _read_boolean(frame: Frame, position: int, end: int, _depth: int) -> tuple[Value, int]:
    if position & 3:
        position = _pad(frame, position, 4)
    if position + 4 > end:
        raise _short(position, "a boolean")
    value = frame.views["u"][position >> 2]
    if value > 1:
        raise PeerFault(f"byte {position}: {value} is no boolean")
    return value == 1, position + 4


def _read_string(frame: Frame, position: int, end: int, _depth: int) -> tuple[Value, int]:
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
        raise PeerFault(f"byte {start}: a string with its nul in the wrong place")
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise PeerFault(f"byte {start + fault.start}: a string that is not UTF-8") from fault


def _read_path(frame: Frame, position: int, end: int, depth: int) -> tuple[Value, int]:
    text, after = _read_string(frame, position, end, depth)
    if not is_object_path(text):
        raise PeerFault(f"byte {position}: {text[:80]!r} is no object path")
    return text, after


def _read_signature(frame: Frame, position: int, end: int, _depth: int) -> tuple[Value, int]:
    data = frame.data
    if position >= end or (stop := position + 1 + data[position]) >= end:
        raise _short(position, "a signature")
    text = _text(data, position + 1, stop)
    try:
        split(text)
    except DBusError as fault:
        raise PeerFault(f"byte {position}: {fault.message}") from fault
    return text, stop + 1


def _read_variant(frame: Frame, position: int, end: int, depth: int) -> tuple[Value, int]:
    data = frame.data
    if depth >= MAX_DEPTH:
        raise _deep(position)
    if position >= end or (stop := position + 1 + data[position]) >= end:
        raise _short(position, "a variant")
    if data[stop]:
        raise PeerFault(f"byte {position}: a signature with its nul in the wrong place")
    kind, read = _cached(data[position + 1 : stop])
    value, after = read(frame, stop + 1, end, depth + 1)
    return Variant((kind, value)), after


def _begin_array(frame: Frame, position: int, end: int, alignment: int) -> tuple[int, int]:
    """Where the elements of the array at ``position`` begin, and where they end."""
    if position & 3:
        position = _pad(frame, position, 4)
    if position + 4 > end:
        raise _short(position, "an array")
    size = frame.views["u"][position >> 2]
    if size > MAX_ARRAY:
        raise PeerFault(f"byte {position}: an array of {size} bytes; at most {MAX_ARRAY} are allowed")
    start = position + 4
    if start & (alignment - 1):
        start = _pad(frame, start, alignment)
    if start + size > end:
        raise _short(position, f"an array of {size} bytes")
    return start, start + size


def _read_array(kind: str) -> Reader:
    element = kind[1:]
    alignment = ALIGNMENT[element[0]]
    read_element = reader(element)
    octets = element == "y"

    def read(frame: Frame, position: int, end: int, depth: int) -> tuple[Value, int]:
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
    read_key, read_value = (reader(part) for part in split(kind[2:-1]))

    def read(frame: Frame, position: int, end: int, depth: int) -> tuple[Value, int]:
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
    readers = tuple(reader(field) for field in split(kind[1:-1]))

    def read(frame: Frame, position: int, end: int, depth: int) -> tuple[Value, int]:
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
