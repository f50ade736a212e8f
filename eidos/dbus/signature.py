"""The D-Bus type system: signatures, object paths, variants, and the errors of those that break its rules.

Knows the specification's chapter "Type System", whose sentences it quotes; must not know how a value is laid out in bytes.
"""

from __future__ import annotations

from eidos.errors import DBusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Value = Any  # its type is what its signature says, which no static type can
    Order = Literal["little", "big"]

#: "The maximum length of a signature is 255."
MAX_SIGNATURE = 255
#: "The maximum depth of container type nesting is 32 array type codes and 32 open parentheses."
MAX_NESTED = 32
#: Integers: type code -> (bytes, signed). BOOLEAN, a UINT32 that may only be 0 or 1, and DOUBLE stand apart.
INTEGERS = {
    "y": (1, False),
    "n": (2, True),
    "q": (2, False),
    "i": (4, True),
    "u": (4, False),
    "x": (8, True),
    "t": (8, False),
    "h": (4, False),
}
BASIC = frozenset("ynqiuxthbdsog")
ALIGNMENT = {
    "y": 1,
    "g": 1,
    "v": 1,
    "n": 2,
    "q": 2,
    "b": 4,
    "i": 4,
    "u": 4,
    "h": 4,
    "s": 4,
    "o": 4,
    "a": 4,
    "x": 8,
    "t": 8,
    "d": 8,
    "(": 8,
    "{": 8,
}

#: "Each element must only contain the ASCII characters [A-Z][a-z][0-9]_"
NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


class RemoteProtocolError(DBusError):
    """The peer broke the specification."""


class LocalProtocolError(DBusError):
    """We were about to send something that the specification forbids."""


class Variant(tuple[str, object]):
    """A value that carries its type: ``Variant((signature, value))``."""

    __slots__ = ()

    @property
    def signature(self) -> str:
        """The signature, one single complete type."""
        return self[0]

    @property
    def value(self) -> Value:
        """The value of that type."""
        return self[1]


def split_signature(signature: str) -> tuple[str, ...]:
    """Return the single complete types of ``signature``; DBusError when it is not a signature.

    >>> split_signature("sa{sv}(ii)")
    ('s', 'a{sv}', '(ii)')
    """
    if len(signature) > MAX_SIGNATURE:
        raise DBusError(f"a signature of {len(signature)} characters; at most {MAX_SIGNATURE} are allowed")
    types, start = [], 0
    while start < len(signature):
        end = _complete(signature, start, 0, 0)
        types.append(signature[start:end])
        start = end
    return tuple(types)


def is_valid_object_path(text: str) -> bool:
    """Return whether ``text`` is an object path: "/" alone, or elements that each follow a "/" and are not empty."""
    if text == "/":
        return True
    start, *elements = text.split("/")
    return not start and bool(elements) and all(element and NAME_CHARACTERS.issuperset(element) for element in elements)


def _complete(signature: str, start: int, arrays: int, structs: int) -> int:
    """Return where the single complete type ends that begins at ``start``."""
    code = signature[start : start + 1]
    if code in BASIC or code == "v":
        return start + 1
    if code == "a":
        if arrays == MAX_NESTED:
            raise DBusError(f"signature {signature!r}: more than {MAX_NESTED} nested arrays")
        if signature[start + 1 : start + 2] != "{":
            return _complete(signature, start + 1, arrays + 1, structs)
        if signature[start + 2 : start + 3] not in BASIC:
            raise DBusError(f"signature {signature!r}: the key of a dict entry must be a basic type")
        end = _complete(signature, start + 3, arrays + 1, structs)
        if signature[end : end + 1] != "}":
            raise DBusError(f"signature {signature!r}: a dict entry must have a key and one value")
        return end + 1
    if code == "(":
        if structs == MAX_NESTED:
            raise DBusError(f"signature {signature!r}: more than {MAX_NESTED} nested structs")
        end = _complete(signature, start + 1, arrays, structs + 1)
        while signature[end : end + 1] != ")":
            end = _complete(signature, end, arrays, structs + 1)
        return end + 1
    raise DBusError(f"signature {signature!r}: {code!r} at {start} where a type should begin")
