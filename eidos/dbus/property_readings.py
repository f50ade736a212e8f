"""D-Bus properties as readings: the scalars and texts that the Go program of the same name writes.

Knows how go-systemd passes a property on and how Go's ``fmt`` prints it with ``%v``; must not know what any property means. Strings,
booleans, 64-bit integers and doubles stay as they are; every other type becomes its text in Go:

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

#: Types that are readings as they are.
_NATIVE = frozenset("sogbtx")

_NOT_FINITE = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


def property_reading(signature: str, value: Value) -> Reading:
    """Return the reading for a property of type ``signature``.

    >>> [property_reading(*pair) for pair in (("t", 5), ("u", 5), ("as", ["a", "b"]), ("(aiai)", ([], [])))]
    [5, '5', '[a b]', '[[] []]']
    """
    if signature in _NATIVE:
        scalar: Reading = value
        return scalar
    if signature == "d" and value - value == 0:  # infinity and NaN have no form that all readers of a document share
        number: float = value
        return number
    return go_text(value)


def go_text(value: Value) -> str:
    r"""Return ``value`` as ``fmt.Sprintf("%v", value)`` prints it: elements separated by blanks, a map's keys in order.

    A variant inside a value is printed as the value that it carries; no property of a unit has one.

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
        # Go sorts strings by their bytes, which for UTF-8 is the order of the characters.
        return "map[" + " ".join([f"{go_text(key)}:{go_text(value[key])}" for key in sorted(value)]) + "]"
    return str(value)


def _go_float(value: float) -> str:
    """Return a float64 as ``%v`` prints it: the shortest digits that give it back, with an exponent below 1e-4 and from 1e21 on.

    >>> [_go_float(number) for number in (1.0, -0.5, 1.25e20, 1e21, 1.5e-7, float("inf"), float("nan"))]
    ['1', '-0.5', '125000000000000000000', '1e+21', '1.5e-07', '+Inf', 'NaN']
    """
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return _NOT_FINITE.get(text) or mantissa.removesuffix(".0")
    if not 0 <= int(exponent) < 21:
        return text
    digits, _, fraction = mantissa.partition(".")
    return digits + fraction.ljust(int(exponent), "0")
