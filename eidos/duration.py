"""Durations as people and Go write them: ``30s``, ``1m30s``, ``1.5h``, ``500ms``.

Knows the grammar of Go's ``time.ParseDuration`` (package documentation of ``time``); must not know what takes that long.
Two rules differ: a bare number is seconds, as in ``timeout(1)`` and ``sleep(1)``, and there is no sign, because no duration here is
negative.
"""

from __future__ import annotations

from eidos.errors import InvalidInput

#: Units and their lengths in seconds.
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

#: The longest duration (a hundred years); the clock could not count much further.
MAXIMUM_S = 100 * 365.25 * 86400

HINT = "write a duration like 30s, 1m30s, 500ms or 1.5h; units are ns, us, ms, s, m and h, default s"

_NUMBER = "0123456789."


def parse_duration(text: str) -> float:
    """The duration in ``text``, in seconds.

    >>> parse_duration("30s"), parse_duration("1m30s"), parse_duration("1.5h"), parse_duration("500ms"), parse_duration("10")
    (30.0, 90.0, 5400.0, 0.5, 10.0)

    Raises InvalidInput, which names the part of the text that is wrong:

    >>> parse_duration("1m30x")
    Traceback (most recent call last):
    eidos.errors.InvalidInput: invalid duration '1m30x': unknown unit 'x'
    """
    seconds, position = 0.0, 0
    if not text:
        raise InvalidInput("invalid duration '': empty", HINT)
    while position < len(text):
        start, position = position, _end(text, position, is_number=True)
        number = text[start:position]
        if not number or number == "." or number.count(".") > 1:
            raise InvalidInput(f"invalid duration {text!r}: expected a number at {text[start:]!r}", HINT)
        start, position = position, _end(text, position, is_number=False)
        unit = text[start:position]
        if not unit:
            if number != text:
                raise InvalidInput(f"invalid duration {text!r}: {number!r} has no unit", HINT)
            unit = "s"
        elif unit not in UNITS:
            raise InvalidInput(f"invalid duration {text!r}: unknown unit {unit!r}", HINT)
        seconds += float(number) * UNITS[unit]
    if seconds > MAXIMUM_S:
        raise InvalidInput(f"invalid duration {text!r}: longer than a hundred years", HINT)
    return seconds


def _end(text: str, position: int, *, is_number: bool) -> int:
    """Where the number, or the unit, that begins at ``position`` ends."""
    while position < len(text) and (text[position] in _NUMBER) == is_number:
        position += 1
    return position
