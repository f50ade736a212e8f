"""Messages, and a stream of bytes cut into them.

Knows the specification's chapter "Message Protocol", whose sentences it quotes; must not know sockets, nor what is asked of
whom. Fed any bytes, whole or one at a time, :class:`Parser` gives messages or a PeerFault, and the fault as soon as the bytes
that show it have come: a peer that announces 2 GB is refused before a byte of them is waited for.
"""

from __future__ import annotations

from eidos.dbus.decoder import Frame, reader
from eidos.dbus.marshalling import marshal, unmarshal
from eidos.dbus.signature import NAME_CHARACTERS, OwnFault, PeerFault, Variant, is_object_path
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.dbus.signature import Order, Value

#: Message types; "Unknown types must be ignored", and 0 "is an invalid type".
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4

#: "The bus must not launch an owner for the destination name in response to this message."
NO_AUTO_START = 0x2

#: The specification allows 128 MiB; the properties of a unit are some 14 kB, and no list in them grows to a thousand times that.
LIMIT = 16 << 20

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
REQUIRED = {CALL: ("path", "member"), RETURN: ("reply_serial",), ERROR: ("error", "reply_serial"), SIGNAL: ("path", "interface", "member")}

_LONGEST_NAME = 255
_FIXED = 16  # bytes of "yyyyuu" and of the length of the array of fields


class Message(Record):
    """One message; ``body`` is still bytes, :meth:`values` reads them. A field that is not in the header is empty."""

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
        """The arguments; PeerFault when the body does not hold what its signature says."""
        return unmarshal(self.signature, self.body, self.order)


def is_name(text: str, least: int = 2, extra: str = "", digits: bool = False) -> bool:
    """Whether ``text`` is at least ``least`` elements with dots between them, as interfaces (2) and members (1) are.

    "Each element must only contain the ASCII characters [A-Z][a-z][0-9]_ and must not begin with a digit"; names on the bus
    allow "-" besides, and unique ones (":1.42") digits at the start.
    """
    elements = text.split(".")
    return (
        len(text) <= _LONGEST_NAME
        and (len(elements) == 1 if least == 1 else len(elements) >= least)
        and all(e and (digits or not e[0].isdigit()) and NAME_CHARACTERS.issuperset(e.replace(extra, "") if extra else e) for e in elements)
    )


def _is_bus_name(text: str) -> bool:
    return is_name(text[1:], extra="-", digits=True) if text.startswith(":") else is_name(text, extra="-")


_GRAMMAR: dict[str, Callable[[str], bool]] = {
    "path": is_object_path,
    "interface": is_name,
    "member": lambda text: is_name(text, least=1),
    "error": is_name,
    "destination": _is_bus_name,
    "sender": lambda text: text == "org.freedesktop.DBus" or _is_bus_name(text),
}


def encode(message: Message) -> bytes:
    """The message as bytes; OwnFault when the specification forbids it."""
    if message.serial <= 0:
        raise OwnFault("cannot send a message without a serial")
    for field in REQUIRED.get(message.kind, ()):
        if not getattr(message, field):
            raise OwnFault(f"cannot send a message of type {message.kind} without its {field}")
    fields = []
    for code, (name, kind) in FIELDS.items():
        value = getattr(message, name)
        if value:
            if name in _GRAMMAR and not _GRAMMAR[name](value):
                raise OwnFault(f"cannot send {value!r:.80} as {name}")
            fields.append((code, Variant((kind, value))))
    start = [b"lB"[message.order == "big"], message.kind, message.flags, 1, len(message.body), message.serial]
    header = marshal("yyyyuua(yv)", [*start, fields], message.order)
    return header + bytes(-len(header) % 8) + message.body


class Parser:
    """Cuts what a peer sends into messages: :meth:`feed` it bytes as they come, then call :meth:`next` until it gives None."""

    def __init__(self, limit: int = LIMIT) -> None:
        """``limit`` is the most bytes that one message may have."""
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what has come."""
        self._buffer += data

    @property
    def waiting(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)

    def next(self) -> Message | None:
        """The next message, or None when more bytes are needed; PeerFault when no bytes could make this a message."""
        head = bytes(self._buffer[:_FIXED])
        order = _check_start(head)
        if len(head) < _FIXED:
            return None
        size, serial, fields = (int.from_bytes(head[at : at + 4], order) for at in (4, 8, 12))
        body = _FIXED + (fields + 7 & -8)
        if body + size > self._limit:
            raise PeerFault(f"announced a message of {body + size} bytes; at most {self._limit} are taken")
        if not serial:
            raise PeerFault("sent a message whose serial is 0")
        if len(self._buffer) < body + size:
            return None
        data = bytes(self._buffer[: body + size])
        del self._buffer[: body + size]
        found = _fields(data, _FIXED + fields, order)
        if data[_FIXED + fields : body].strip(b"\0"):
            raise PeerFault("sent a header with padding that is not nul")
        missing = [name for name in REQUIRED.get(head[1], ()) if not found.get(name)]
        if missing:
            raise PeerFault(f"sent a message of type {head[1]} without its {missing[0]}")
        return Message(head[1], serial, head[2], body=data[body:], order=order, **found)


def _check_start(head: bytes) -> Order:
    """The byte order; PeerFault as soon as one of the first four bytes cannot begin a message."""
    if head[:1] not in (b"", b"l", b"B"):
        raise PeerFault(f"sent what is no message: it begins with {head[:8]!r}")
    if head[1:2] == b"\0":
        raise PeerFault("sent a message of type 0, which is invalid")
    if head[3:4] not in (b"", b"\1"):
        raise PeerFault(f"speaks version {head[3]} of the protocol, not 1")
    return "big" if head[:1] == b"B" else "little"


def _fields(data: bytes, end: int, order: Order) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for code, variant in reader("a(yv)")(Frame(data, order), _FIXED - 4, end, 0)[0]:
        name, kind = FIELDS.get(code, ("", ""))
        if not name:  # "Implementations must ignore" fields that they do not know
            continue
        if variant.signature != kind:
            raise PeerFault(f"sent a header whose {name} is of type {variant.signature!r}, not {kind!r}")
        if name in _GRAMMAR and not _GRAMMAR[name](variant.value):
            raise PeerFault(f"sent a header with {variant.value!r:.80} as {name}")
        found[name] = variant.value
    return found
