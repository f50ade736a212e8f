"""Python values as the bytes of a D-Bus message's body.

Knows the specification's chapter "Marshaling", and checks what is about to be sent as strictly as :mod:`eidos.dbus.unmarshalling` checks
what was received; must not know messages or sockets.

====================  =========================
D-Bus                 Python
====================  =========================
``y n q i u x t h``   int
``b``, ``d``          bool, float
``s o g``             str
``ay``, other arrays  bytes, list
``a{..}``             dict
``(...)``             tuple
``v``                 Variant
====================  =========================

>>> marshal("sb", ["foo", True]).hex(" ", 4)
'03000000 666f6f00 01000000'
"""

from __future__ import annotations

import sys

from eidos.dbus.signature import (
    ALIGNMENT,
    INTEGERS,
    LocalProtocolError,
    Variant,
    is_valid_object_path,
    split_signature,
)
from eidos.dbus.unmarshalling import MAX_ARRAY_BYTES, MAX_DEPTH
from eidos.errors import DBusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.dbus.signature import Order, Value


def marshal(signature: str, values: Sequence[Value], order: Order = "little") -> bytes:
    """``values``, one for each type in ``signature``, as bytes; OwnFault when one is not of its type."""
    try:
        types = split_signature(signature)
    except DBusError as fault:
        raise LocalProtocolError(f"cannot send {fault.message}") from fault
    if len(types) != len(values):
        raise LocalProtocolError(f"cannot send {len(values)} values as {signature!r}")
    out = bytearray()
    for kind, value in zip(types, values):
        _write(out, kind, value, order, 0)
    return bytes(out)


def _write(out: bytearray, kind: str, value: Value, order: Order, depth: int) -> None:
    code = kind[0]
    if code not in "ygv":
        out += bytes(-len(out) % ALIGNMENT[code])
    if code in INTEGERS:
        _write_integer(out, code, value, order)
    elif code in "sog":
        _write_string(out, code, value, order)
    elif code == "b":
        _require(isinstance(value, bool), value, kind)
        out += int(value).to_bytes(4, order)
    elif code == "d":
        _require(isinstance(value, (float, int)) and not isinstance(value, bool), value, kind)
        raw = bytearray(8)
        memoryview(raw).cast("d")[0] = float(value)
        out += raw if order == sys.byteorder else raw[::-1]
    else:
        if depth >= MAX_DEPTH:
            raise LocalProtocolError(f"cannot send containers deeper than {MAX_DEPTH}")
        if code == "v":
            _write_variant(out, value, order, depth)
        elif code == "a":
            _write_array(out, kind, value, order, depth)
        else:  # a struct or a dict entry, which differ in their brackets alone
            kinds = split_signature(kind[1:-1])
            _require(isinstance(value, tuple) and len(value) == len(kinds), value, kind)
            for field, part in zip(kinds, value):
                _write(out, field, part, order, depth + 1)


def _require(holds: bool, value: Value, kind: str) -> None:
    if not holds:
        raise LocalProtocolError(f"cannot send {value!r:.80} as {kind!r}")


def _write_integer(out: bytearray, code: str, value: Value, order: Order) -> None:
    size, signed = INTEGERS[code]
    _require(isinstance(value, int) and not isinstance(value, bool), value, code)
    try:
        out += value.to_bytes(size, order, signed=signed)
    except OverflowError as fault:
        raise LocalProtocolError(f"cannot send {value!r:.80} as {code!r}: it has {size} bytes") from fault


def _write_string(out: bytearray, code: str, value: Value, order: Order) -> None:
    _require(isinstance(value, str) and "\0" not in value, value, code)
    try:
        raw = value.encode("utf-8")
        if code == "g":
            split_signature(value)
    except (UnicodeEncodeError, DBusError) as fault:
        raise LocalProtocolError(f"cannot send {value!r:.80} as {code!r}") from fault
    _require(code != "o" or is_valid_object_path(value), value, code)
    out += len(raw).to_bytes(1 if code == "g" else 4, order) + raw + b"\0"


def _write_variant(out: bytearray, value: Value, order: Order, depth: int) -> None:
    _require(isinstance(value, Variant), value, "v")
    _write_string(out, "g", value.signature, order)
    _require(len(split_signature(value.signature)) == 1, value, "v")
    _write(out, value.signature, value.value, order, depth + 1)


def _write_array(out: bytearray, kind: str, value: Value, order: Order, depth: int) -> None:
    element = kind[1:]
    _require(isinstance(value, bytes if element == "y" else dict if element[0] == "{" else list), value, kind)
    size_at = len(out)
    out += bytes(4)
    out += bytes(-len(out) % ALIGNMENT[element[0]])
    start = len(out)
    if element == "y":
        out += value
    else:
        for part in value.items() if element[0] == "{" else value:
            _write(out, element, part, order, depth + 1)
    size = len(out) - start
    if size > MAX_ARRAY_BYTES:
        raise LocalProtocolError(f"cannot send an array of {size} bytes; at most {MAX_ARRAY_BYTES} are allowed")
    out[size_at : size_at + 4] = size.to_bytes(4, order)
