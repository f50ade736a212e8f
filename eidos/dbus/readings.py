"""D-Bus values as readings: the scalars and texts that the Go program of the same name wrote.

Knows how go-systemd hands a property on and how Go's ``fmt`` prints it with ``%v``; must not know what any property means.
Strings, booleans, 64-bit integers and doubles stay what they are; every other type becomes its text in Go:

====================  ==============  ====================
type                  value           reading
====================  ==============  ====================
``i n q u y h``       15              ``"15"``
``o g``               /               ``"/"``
``as``                a, b            ``"[a b]"``
``ay``                255, 1          ``"[255 1]"``
``(bs)``              false, empty    ``"[false ]"``
``a{ss}``             k: v            ``"map[k:v]"``
====================  ==============  ====================
"""

from __future__ import annotations

from eidos.dbus.signature import Variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.dbus.signature import Value
    from eidos.model.measurement import Reading

#: Types that are readings as they are; the string-like are texts already.
_NATIVE = frozenset("sogbtx")

_NOT_FINITE = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


def reading(signature: str, value: Value) -> Reading:
    """The reading for a property of type ``signature``.

    >>> reading("t", 5), reading("u", 5), reading("as", ["a", "b"]), reading("(aiai)", ([], []))
    (5, '5', '[a b]', '[[] []]')
    """
    if signature in _NATIVE:
        scalar: Reading = value
        return scalar
    if signature == "d" and value - value == 0:  # what is not finite has no form that all readers of a document share
        number: float = value
        return number
    return go_text(value)


def go_text(value: Value) -> str:
    r"""``value`` as ``fmt.Sprintf("%v", value)`` prints it: elements between blanks, a map's keys in order.

    A variant within a value is printed as the value that it carries; no property of a unit has one.

    >>> go_text([("/bin/true", ["/bin/true", "-x"], False)]), go_text({"b": b"\x01", "a": 1e21})
    ('[[/bin/true [/bin/true -x] false]]', 'map[a:1e+21 b:[1]]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _go_float(value)
    if isinstance(value, Variant):
        return go_text(value.value)
    if isinstance(value, (list, tuple, bytes)):
        return "[" + " ".join([go_text(part) for part in value]) + "]"
    if isinstance(value, dict):
        # Strings in the order of their bytes, which for UTF-8 is that of their characters.
        return "map[" + " ".join([f"{go_text(key)}:{go_text(value[key])}" for key in sorted(value)]) + "]"
    return str(value)


def _go_float(value: float) -> str:
    """A float64 as ``%v`` prints it: the shortest digits that give it back, with an exponent below 1e-4 and from 1e21 on.

    >>> [_go_float(number) for number in (1.0, -0.5, 1.25e20, 1e21, 1.5e-7, float("inf"), float("nan"))]
    ['1', '-0.5', '125000000000000000000', '1e+21', '1.5e-07', '+Inf', 'NaN']
    """
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return _NOT_FINITE.get(text) or mantissa.removesuffix(".0")
    if not 0 <= int(exponent) < 21:
        return text
    whole, _, fraction = mantissa.partition(".")
    return whole + fraction.ljust(int(exponent), "0")
