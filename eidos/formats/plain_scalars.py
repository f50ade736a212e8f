"""The value of a plain scalar of YAML, by the rules of Go's yaml.v3.

Knows how text becomes a scalar; must not know documents. The rules are those of resolve.go of yaml.v3, so that eidos and the Go
program read one file alike: ``on``, ``yes``, ``1:30`` and ``=`` are strings, ``0x1F``, ``0o17``, ``017``, ``0b11`` and ``1_000``
are integers, ``1e3`` is a float. Three differences: a date stays the string that it is, an integer beyond 64 bits stays exact,
and a number that ``str`` would not give back remembers how it was written (``24.10``, ``0644``).

>>> [resolve_scalar(text) for text in ("true", "on", "2026-01-02", "1:30", "24.10", "0o17", "~")]
[True, 'on', '2026-01-02', '1:30', 24.1, 15, None]
"""

from __future__ import annotations

import re

from eidos.model.number_format import FloatLiteral, IntLiteral

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Scalar = Union[str, int, float, bool, None]

_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_INFINITE = (".inf", ".Inf", ".INF")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(_NULL),
    **dict.fromkeys(_TRUE, True),
    **dict.fromkeys(_FALSE, False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in _INFINITE},
}

#: What yaml.v3 looks at before it takes a scalar for a string.
_HINTS = frozenset("+-0123456789.yYnNtTfFoO~")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_BASES = (16, 2, 8, 10)

#: The longest number; a longer one is beyond a float, and reading it takes time with the square of its length.
_DIGITS = 300


def resolve_scalar(text: str) -> Scalar:
    """The value of ``text`` without quotes."""
    if text and text[0] not in _HINTS:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _DIGITS:
        return text
    # yaml.v3 drops underscores anywhere in a number that begins with a digit or a sign.
    return text if text[0] == "." and "_" in text else resolve_number(text.replace("_", ""), text)


def resolve_number(digits: str, text: str) -> str | int | float:
    """The number in ``digits``, which remembers ``text``; ``text`` itself when there is none."""
    match = _INTEGER.match(digits)
    if match:
        sign, *forms = match.groups()
        value, base = next((form, base) for form, base in zip(forms, _BASES) if form is not None)
        integer = int(sign + value, base)
        if base == 10 or -(1 << 63) <= integer < 1 << 64:
            return integer if str(integer) == text else IntLiteral(integer, text)
        return text
    if _FLOAT.match(digits):
        real = float(digits)
        if real - real == 0:  # beyond the range of a float it is a string to yaml.v3 as well
            return real if repr(real) == text else FloatLiteral(real, text)
    return text
