"""Days and points in time as documents and other programs write them.

Knows RFC 3339 and the calendar; must not know what happens then. Days are text, in which they can be compared.
"""

from __future__ import annotations

import time


def parse_timestamp(text: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 time in UTC, or with an offset; None for anything else.

    Not by ``time.strptime``: it would import ``re``, ``locale`` and ``calendar``, which takes longer than judging a node.

    >>> parse_timestamp("1970-01-02T00:00:00Z"), parse_timestamp("1970-01-01T02:00:00+02:00"), parse_timestamp("soon")
    (86400.0, 0.0, None)
    >>> [parse_timestamp("2026-11-29T06:00:00" + end) for end in (".Z", "+99:99", "+24:00", "-01:60", "")]
    [None, None, None, None, None]
    """
    date, offset = text[:19], text[19:]
    if offset[:1] == "." and "0" <= offset[1:2] <= "9":
        offset = offset[1:].lstrip("0123456789")
    shape = "".join("0" if "0" <= char <= "9" else char for char in date + offset)
    if shape not in ("0000-00-00T00:00:00Z", "0000-00-00T00:00:00+00:00", "0000-00-00T00:00:00-00:00"):
        return None
    year, month, day = int(date[:4]), int(date[5:7]), int(date[8:10])
    hour, minute, second = int(date[11:13]), int(date[14:16]), int(date[17:19])
    if not (is_calendar_day(date[:10]) and hour < 24 and minute < 60 and second <= 60):
        return None
    # The days since the epoch, in years that begin with March (Fliegel and van Flandern).
    shifted = year - (month < 3)
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719468
    seconds = float(days * 86400 + hour * 3600 + minute * 60 + second)
    if offset == "Z":
        return seconds
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        return None
    shift = hours * 3600 + minutes * 60
    return seconds - shift if offset[0] == "+" else seconds + shift


def is_calendar_day(text: str) -> bool:
    """Whether a text is a day of the calendar, as ISO 8601 has it.

    >>> [is_calendar_day(text) for text in ("2028-02-29", "2026-02-29", "2026-13-01", "2026-1-1")]
    [True, False, False, False]
    """
    if len(text) != 10 or "".join("0" if "0" <= char <= "9" else char for char in text) != "0000-00-00":
        return False
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:])
    february = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return year > 0 and 1 <= month <= 12 and 1 <= day <= (february if month == 2 else 30 if month in (4, 6, 9, 11) else 31)


def days_after(day: str, days: int) -> str:
    """The day that comes so many days after another, at the latest the last one that has a year of four digits.

    >>> days_after("2026-11-29", 90), days_after("2024-02-28", 1)
    ('2027-02-27', '2024-02-29')
    >>> days_after("9999-12-31", 90)
    '9999-12-31'
    """
    year, month, date = map(int, day.split("-"))
    later = time.strftime("%Y-%m-%d", time.localtime(time.mktime((year, month, date + days, 12, 0, 0, 0, 0, -1))))
    return later if len(later) == len(day) else "9999-12-31"
