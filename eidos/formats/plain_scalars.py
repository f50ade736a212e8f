"""The value of a plain scalar of YAML, by the rules of Go's yaml.v3.

Knows how text becomes a scalar; must not know documents. The rules are those of resolve.go of yaml.v3, so that eidos and the Go
program read one file alike: ``on``, ``yes``, ``1:30`` and ``=`` are strings, ``0x1F``, ``0o17``, ``017``, ``0b11`` and ``1_000``
are integers, ``1e3`` is a float. Three differences: a date stays the string that it is, an integer beyond 64 bits stays exact,
and a number that ``str`` would not give back remembers how it was written (``24.10``, ``0644``).

>>> [resolve_scalar(text) for text in ("true", "on", "2026-01-02", "1:30", "24.10", "0o17", "~")]
[True, 'on', '2026-01-02', '1:30', 24.1, 15, None]
"""

from __future__ import annotations

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
_DECIMAL = frozenset("0123456789")
#: The marks behind a zero of integers that are not decimal, their base and their digits.
_BASES = (("xX", 16, frozenset("0123456789abcdefABCDEF")), ("bB", 2, frozenset("01")), ("oO", 8, frozenset("01234567")))

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
    # yaml.v3 drops underscores anywhere in a number that begins with a digit or a sign; ParseFloat takes them between digits.
    if text[0] == "." and "_" in text:
        parts = text.split("_")
        if not all(_is_decimal(left[-1:]) and _is_decimal(right[:1]) for left, right in zip(parts, parts[1:])):
            return text
    return resolve_number(text.replace("_", ""), text)


def resolve_number(digits: str, text: str) -> str | int | float:
    """The number in ``digits``, which remembers ``text``; ``text`` itself when there is none."""
    integer = _integer(digits)
    if integer is not None:
        value, base = integer
        if base == 10 or -(1 << 63) <= value < 1 << 64:
            return value if str(value) == text else IntLiteral(value, text)
        return text
    if _is_float(digits):
        real = float(digits)
        if real - real == 0:  # beyond the range of a float it is a string to yaml.v3 as well
            return real if repr(real) == text else FloatLiteral(real, text)
    return text


def _integer(digits: str) -> tuple[int, int] | None:
    """An integer and its base: decimal without zeros in front, ``0x…``, ``0b…``, ``0o…`` or octal behind a zero."""
    body = digits[1:] if digits[:1] in ("+", "-") else digits
    if body[:1] != "0" or body == "0":
        return (int(digits), 10) if body and _DECIMAL.issuperset(body) else None
    base, rest, allowed = 8, body[1:], _BASES[-1][2]
    for marks, number, numerals in _BASES:
        if rest[0] in marks:
            base, rest, allowed = number, rest[1:], numerals
            break
    if not rest or not allowed.issuperset(rest):
        return None
    value = int(rest, base)
    return (-value if digits[0] == "-" else value), base


def _is_float(digits: str) -> bool:
    """Whether it is a decimal number with digits before or behind the point, perhaps with an exponent."""
    body = digits[1:] if digits[:1] in ("+", "-") else digits
    mantissa, mark, exponent = body.replace("E", "e").partition("e")
    if mark and not _is_decimal(exponent[1:] if exponent[:1] in ("+", "-") else exponent):
        return False
    integer, _, fraction = mantissa.partition(".")
    if not integer:
        return _is_decimal(fraction)
    return _is_decimal(integer) and (not fraction or _is_decimal(fraction))


def _is_decimal(text: str) -> bool:
    return bool(text) and _DECIMAL.issuperset(text)
