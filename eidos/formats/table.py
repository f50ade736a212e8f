"""Text laid out in columns for a terminal: headings, key-value rows, wrapping and truncation.

Knows display widths and how a long value is broken; must not know what the text says, nor where it goes: the caller gives the
width. Control characters are shown as escapes, so no value can steer a terminal.
"""

from __future__ import annotations

from eidos.log import printable
from eidos.terminal import paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Lines that one value may take.
MAX_LINES = 4

#: A narrower terminal is unreadable, so lines are this wide there and the terminal breaks them.
MIN_WIDTH = 40

#: The width that stands for "as wide as it takes", and the width of headings there.
UNLIMITED = 1 << 20
_HEADING_WIDTH = 80

#: A column for long values is at least this wide.
_MIN_VALUE_WIDTH = 24

INDENT = GAP = "  "
_BREAK_AFTER = "/,;"


def line_width(width: int) -> int:
    """The width of lines on a terminal with ``width`` columns; 0 or less: as wide as they need to be."""
    return max(width, MIN_WIDTH) if width > 0 else UNLIMITED


def join_blocks(blocks: Iterable[Iterable[str]]) -> str:
    """Blocks of lines as one text: a blank line between blocks, no blanks at the ends of lines."""
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in blocks) + "\n"


def heading(left: str, right: str, width: int, colour: str = "") -> str:
    """A line of ``width`` columns with ``left`` and ``right`` at its ends and a rule between them, in a colour of :mod:`eidos.terminal`."""
    width = _HEADING_WIDTH if width == UNLIMITED else width
    left, right = printable(left), printable(right)
    rule = width - display_width(left) - display_width(right) - (2 if right else 1)
    line = f"{left} {'─' * rule} {right}".rstrip() if rule > 1 else truncate(left, width)
    return paint(line, colour, bool(colour))


def key_value_rows(pairs: Iterable[tuple[str, str]], width: int, indent: str = INDENT) -> Iterator[str]:
    """Keys and values in two columns, as :func:`aligned_rows` lays them out."""
    for lines in aligned_rows(pairs, width, indent):
        yield from lines


def aligned_rows(pairs: Iterable[tuple[str, str]], width: int, indent: str = INDENT, max_key_lines: int = MAX_LINES) -> Iterator[list[str]]:
    """The lines of each pair: all values begin in the same column.

    The first column is as wide as its widest key, but a third of the width, and no less than values need to be readable, is left for
    values. A key that is too long for its column stands alone, its value below; a long value is wrapped, and truncated after
    :data:`MAX_LINES`.
    """
    shown = [(printable(key), printable(value)) for key, value in pairs]
    key_widths = [display_width(key) for key, _ in shown]
    reserved = min(max((display_width(value) for _, value in shown), default=0), max(width // 3, _MIN_VALUE_WIDTH))
    limit = width - len(indent) - len(GAP) - reserved
    left = max((key_width for key_width in key_widths if key_width <= limit), default=len(INDENT))
    column = len(indent) + left + len(GAP)
    for (key, value), key_width in zip(shown, key_widths):
        first, *rest = wrap(value, width - column)
        if key_width <= left:
            lines = [f"{indent}{pad(key, left)}{GAP}{first}"]
        else:
            lines = [f"{indent}{line}" for line in wrap(key, width - len(indent), max_key_lines)]
            lines.append(" " * column + first)
        yield [*lines, *(" " * column + line for line in rest)]


def display_width(text: str) -> int:
    r"""The columns that ``text`` takes: two for a wide East Asian character, none for a combining mark (UAX #11).

    >>> display_width("gpu"), display_width("図"), display_width("e\u0301")
    (3, 2, 1)
    """
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) == "Me" else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def wrap(text: str, width: int, max_lines: int = MAX_LINES) -> list[str]:
    """``text`` in lines of at most ``width`` columns, truncated with ``…`` after ``max_lines``.

    It is broken at a space, else after what ends a part of a path or of a list, unless that leaves a line half empty.

    >>> wrap("the quick brown fox", 10), wrap("/proc/sys/kernel/sched", 12), wrap("abcdefghi", 3, max_lines=2)
    (['the quick', 'brown fox'], ['/proc/sys/', 'kernel/sched'], ['abc', 'de…'])
    """
    width = max(width, 3)
    lines: list[str] = []
    start = 0
    while True:
        stop = _prefix_end(text, start, width)
        if stop == len(text):
            break
        if len(lines) == max_lines - 1:
            return [*lines, text[start : _prefix_end(text, start, width - 1)] + "…"]
        if text[stop] != " ":
            half = start + (stop - start) // 2
            end = text.rfind(" ", start, stop) + 1
            if end <= half:
                end = max(text.rfind(char, start, stop) + 1 for char in _BREAK_AFTER)
            stop = end if end > half else stop
        lines.append(text[start:stop].rstrip(" "))
        start = stop
        while text.startswith(" ", start):
            start += 1
    return [*lines, text[start:]] if start < len(text) or not lines else lines


def truncate(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns, with ``…`` where something is missing."""
    return text if _prefix_end(text, 0, width) == len(text) else text[: _prefix_end(text, 0, width - 1)] + "…"


def pad(text: str, width: int) -> str:
    """``text`` with blanks behind it, ``width`` columns wide."""
    return text + " " * (width - display_width(text))


def _prefix_end(text: str, start: int, width: int) -> int:
    """Where the longest piece from ``start`` ends that takes at most ``width`` columns, and at least one character."""
    if text.isascii():
        return min(start + width, len(text))
    columns, end = 0, start
    while end < len(text) and columns + display_width(text[end]) <= width:
        columns += display_width(text[end])
        end += 1
    return min(max(end, start + 1), len(text))
