"""D-Bus messages as bytes, and a stream of bytes parsed into messages.

Knows the specification's chapter "Message Protocol", whose sentences it quotes; must not know sockets, nor what a call is for. Fed any
bytes in pieces of any size, :class:`MessageParser` gives messages, or a RemoteProtocolError as soon as the bytes that show it are there:
a peer that announces 2 GB is refused before any of them has arrived.
"""

from __future__ import annotations

from eidos.dbus.marshalling import marshal
from eidos.dbus.signature import NAME_CHARACTERS, LocalProtocolError, RemoteProtocolError, Variant, is_valid_object_path
from eidos.dbus.unmarshalling import Buffer, reader_for, unmarshal
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.dbus.signature import Order, Value

#: Message types; "Unknown types must be ignored", and 0 "is an invalid type".
METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4

#: "The bus must not launch an owner for the destination name in response to this message."
NO_AUTO_START = 0x2

#: The specification allows 128 MiB; the properties of a unit are some 14 kB, and no list in them grows to a thousand times that.
MESSAGE_LIMIT_BYTES = 16 << 20

#: Header fields: code -> (name, type). "UNIX_FDS" (9) is never sent to a peer that did not ask for descriptors.
FIELDS = {
    1: ("path", "o"),
    2: ("interface", "s"),
    3: ("member", "s"),
    4: ("error", "s"),
    5: ("reply_serial", "u"),
    6: ("destination", "s"),
    7: ("sender", "s"),
    8: ("signature", "g"),
}
REQUIRED = {
    METHOD_CALL: ("path", "member"),
    METHOD_RETURN: ("reply_serial",),
    ERROR: ("error", "reply_serial"),
    SIGNAL: ("path", "interface", "member"),
}

_MAX_NAME = 255
_FIXED = 16  # bytes of "yyyyuu" and of the length of the array of fields


class Message(Record):
    """One message; ``body`` is its arguments as bytes, which :meth:`values` unmarshals. A field that the header lacks is empty."""

    kind: int
    serial: int
    flags: int = 0
    path: str = ""
    interface: str = ""
    member: str = ""
    error: str = ""
    reply_serial: int = 0
    destination: str = ""
    sender: str = ""
    signature: str = ""
    body: bytes = b""
    order: Order = "little"

    def values(self) -> list[Value]:
        """Return the arguments; RemoteProtocolError when the body does not match the signature."""
        return unmarshal(self.signature, self.body, self.order)


def is_valid_name(text: str, minimum: int = 2, extra: str = "", digits: bool = False) -> bool:
    """Return whether ``text`` is at least ``minimum`` elements with dots between them, as interfaces (2) and members (1) are.

    "Each element must only contain the ASCII characters [A-Z][a-z][0-9]_ and must not begin with a digit"; names on the bus
    allow "-" besides, and unique ones (":1.42") digits at the start.
    """
    elements = text.split(".")
    return (
        len(text) <= _MAX_NAME
        and (len(elements) == 1 if minimum == 1 else len(elements) >= minimum)
        and all(e and (digits or not e[0].isdigit()) and NAME_CHARACTERS.issuperset(e.replace(extra, "") if extra else e) for e in elements)
    )


def _is_valid_bus_name(text: str) -> bool:
    return is_valid_name(text[1:], extra="-", digits=True) if text.startswith(":") else is_valid_name(text, extra="-")


_GRAMMAR: dict[str, Callable[[str], bool]] = {
    "path": is_valid_object_path,
    "interface": is_valid_name,
    "member": lambda text: is_valid_name(text, minimum=1),
    "error": is_valid_name,
    "destination": _is_valid_bus_name,
    "sender": lambda text: text == "org.freedesktop.DBus" or _is_valid_bus_name(text),
}


def encode_message(message: Message) -> bytes:
    """Return the message as bytes; LocalProtocolError when the specification forbids it."""
    if message.serial <= 0:
        raise LocalProtocolError("cannot send a message without a serial")
    for field in REQUIRED.get(message.kind, ()):
        if not getattr(message, field):
            raise LocalProtocolError(f"cannot send a message of type {message.kind} without its {field}")
    fields = []
    for code, (name, kind) in FIELDS.items():
        value = getattr(message, name)
        if value:
            if name in _GRAMMAR and not _GRAMMAR[name](value):
                raise LocalProtocolError(f"cannot send {value!r:.80} as {name}")
            fields.append((code, Variant((kind, value))))
    start = [b"lB"[message.order == "big"], message.kind, message.flags, 1, len(message.body), message.serial]
    header = marshal("yyyyuua(yv)", [*start, fields], message.order)
    return header + bytes(-len(header) % 8) + message.body


class MessageParser:
    """Parses what a peer sends: :meth:`feed` it bytes as they arrive, then call :meth:`next_message` until it returns None."""

    def __init__(self, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self._buffer += data

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._buffer)

    def next_message(self) -> Message | None:
        """Return the next message, or None when more bytes are needed; RemoteProtocolError when no bytes could make this a message."""
        head = bytes(self._buffer[:_FIXED])
        order = _check_start(head)
        if len(head) < _FIXED:
            return None
        size, serial, fields = (int.from_bytes(head[at : at + 4], order) for at in (4, 8, 12))
        body = _FIXED + (fields + 7 & -8)
        if body + size > self._limit_bytes:
            raise RemoteProtocolError(f"announced a message of {body + size} bytes; at most {self._limit_bytes} are accepted")
        if not serial:
            raise RemoteProtocolError("sent a message whose serial is 0")
        if len(self._buffer) < body + size:
            return None
        data = bytes(self._buffer[: body + size])
        del self._buffer[: body + size]
        values = _header_fields(data, _FIXED + fields, order)
        if data[_FIXED + fields : body].strip(b"\0"):
            raise RemoteProtocolError("sent a header with padding that is not nul")
        missing = [name for name in REQUIRED.get(head[1], ()) if not values.get(name)]
        if missing:
            raise RemoteProtocolError(f"sent a message of type {head[1]} without its {missing[0]}")
        return Message(head[1], serial, head[2], body=data[body:], order=order, **values)


def _check_start(head: bytes) -> Order:
    """Return the byte order; RemoteProtocolError as soon as one of the first four bytes cannot begin a message."""
    if head[:1] not in (b"", b"l", b"B"):
        raise RemoteProtocolError(f"sent an invalid message that begins with {head[:8]!r}")
    if head[1:2] == b"\0":
        raise RemoteProtocolError("sent a message of type 0, which is invalid")
    if head[3:4] not in (b"", b"\1"):
        raise RemoteProtocolError(f"speaks version {head[3]} of the protocol, not 1")
    return "big" if head[:1] == b"B" else "little"


def _header_fields(data: bytes, end: int, order: Order) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for code, variant in reader_for("a(yv)")(Buffer(data, order), _FIXED - 4, end, 0)[0]:
        name, kind = FIELDS.get(code, ("", ""))
        if not name:  # "Implementations must ignore" fields that they do not know
            continue
        if variant.signature != kind:
            raise RemoteProtocolError(f"sent a header whose {name} is of type {variant.signature!r}, not {kind!r}")
        if name in _GRAMMAR and not _GRAMMAR[name](variant.value):
            raise RemoteProtocolError(f"sent a header with {variant.value!r:.80} as {name}")
        values[name] = variant.value
    return values
