"""A snapshot as a table, for people.

Knows columns, widths and wrapping; must not know where the text goes: the caller says how wide that is. Each subtype is a block
with its keys and values aligned; a key that is too long for its column stands alone, its value below; a long value is
wrapped, and cut with ``…`` after a few lines: the whole of it is in the document. What became of the collectors comes last,
where whoever has no pager sees it. Nothing in it can steer a terminal: control characters are shown as escapes.
"""

from __future__ import annotations

from eidos.log import printable
from eidos.model.number_format import written
from eidos.model.snapshot import natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.model.measurement import Outcome, Reading, Subtype
    from eidos.model.snapshot import Snapshot

#: Lines that one value may take.
LINES = 4

#: Narrower than this, nothing can be read any more; lines are this wide then.
NARROWEST = 40

#: A column that is to hold long values is at least this wide.
_READABLE = 24

#: What stands in for "as wide as it takes", and the width of headings there.
ENDLESS = 1 << 20
_RULE = 80

_BREAKS = "/,;"
INDENT = "  "
_GAP = "  "


def snapshot_table(snapshot: Snapshot, width: int) -> str:
    """``snapshot`` as lines of at most ``width`` columns; 0 or less: as long as they need to be."""
    room = max(width, NARROWEST) if width > 0 else ENDLESS
    blocks = [_header(snapshot, room)]
    for measurement in snapshot.measurements:
        if not measurement.subtypes:
            blocks.append([heading(measurement.type, "nothing was read", room)])
        subtypes = sorted(measurement.subtypes, key=lambda subtype: natural(subtype.name))
        blocks.extend(_block(measurement.type, subtype, room) for subtype in subtypes)
    if snapshot.collectors:
        blocks.append(_outcomes(snapshot.collectors, room))
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in blocks) + "\n"


def _header(snapshot: Snapshot, room: int) -> list[str]:
    facts = {"Node": snapshot.node, "Time": snapshot.timestamp, "Version": snapshot.version}
    return list(rows(((name, text or "not said") for name, text in facts.items()), room, ""))


def heading(left: str, right: str, room: int) -> str:
    """A line with ``left`` and ``right`` at its ends and a rule between them, ``room`` columns wide."""
    room = _RULE if room == ENDLESS else room
    left = printable(left)
    rule = room - columns(left) - columns(right) - 2
    return f"{left} {'─' * rule} {right}" if rule > 1 else cut(left, room)


def _block(kind: str, subtype: Subtype, room: int) -> list[str]:
    count = len(subtype.data)
    top = heading(f"{kind} · {subtype.name}", f"{count:,} reading{'' if count == 1 else 's'}", room)
    return [top, *rows(((key, _shown(value)) for key, value in sorted(subtype.data.items())), room, INDENT)]


def _shown(value: Reading) -> str:
    # The kernel sets numbers apart with tabs; an escape for each would be noise.
    return written(value).replace("\t", " ") or '""'


def rows(pairs: Iterable[tuple[str, str]], room: int, indent: str) -> Iterator[str]:
    """Two columns: the first as wide as its widest key, but a third of the room stays for values that need it."""
    shown = [(printable(key), printable(text)) for key, text in pairs]
    sizes = [columns(key) for key, _ in shown]
    kept = min(max((columns(text) for _, text in shown), default=0), room // 3)
    most = room - len(indent) - len(_GAP) - kept
    left = max((size for size in sizes if size <= most), default=0)
    column = len(indent) + left + len(_GAP)
    below = len(indent) + len(INDENT) * 2
    for (key, text), size in zip(shown, sizes):
        if size <= left and (columns(text) <= room - column or room - column >= _READABLE):
            first, *rest = wrap(text, room - column)
            yield f"{indent}{key}{' ' * (left - size)}{_GAP}{first}"
            yield from (" " * column + line for line in rest)
        elif len(indent) + size + len(_GAP) + columns(text) <= room:
            yield f"{indent}{key}{_GAP}{text}"
        else:
            yield from (f"{indent}{line}" for line in wrap(key, room - len(indent)))
            yield from (" " * below + line for line in wrap(text, room - below))


def _outcomes(outcomes: tuple[Outcome, ...], room: int) -> list[str]:
    rows = [(printable(o.name), o.outcome, f"{o.milliseconds:.1f}", printable(_note(o))) for o in outcomes]
    heads = ("Collector", "Outcome", "ms")
    widths = [max(columns(head), *(columns(row[number]) for row in rows)) for number, head in enumerate(heads)]
    widths[0] = min(widths[0], max(room - sum(widths[1:]) - len(_GAP) * 3 - 3, 8))
    column = sum(widths) + len(_GAP) * 3 + len(INDENT)
    beside = room - column - 3 >= _READABLE
    lines = [heading("Collectors", _tally(outcomes), room)]
    for name, outcome, time, note in rows:
        start = f"{INDENT}{pad(cut(name, widths[0]), widths[0])}{_GAP}{outcome:{widths[1]}}{_GAP}{time:>{widths[2]}} ms"
        if not note:
            lines.append(start)
        elif beside:
            first, *rest = wrap(note, room - column - 3)
            lines += [f"{start}{_GAP}{first}", *(" " * (column + 3) + line for line in rest)]
        else:
            lines += [start, *(INDENT * 2 + line for line in wrap(note, room - len(INDENT) * 2))]
    return lines


def _tally(outcomes: tuple[Outcome, ...]) -> str:
    kinds = [outcome.outcome for outcome in outcomes]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _note(outcome: Outcome) -> str:
    counts = {"unreadable": len(outcome.unreadable), "absent": len(outcome.absent), "withheld": outcome.withheld}
    counted = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    age = f"this is what it said {outcome.stale:,} s ago" if outcome.stale is not None else ""
    return "; ".join(part for part in (outcome.reason, age, counted) if part)


def columns(text: str) -> int:
    r"""The columns that ``text`` takes: two for a wide character of East Asia, none for a mark upon another.

    >>> columns("gpu"), columns("図"), columns("e\u0301")
    (3, 2, 1)
    """
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) == "Me" else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def wrap(text: str, room: int, lines: int = LINES) -> list[str]:
    """``text`` in pieces of at most ``room`` columns, at most ``lines`` of them, then cut with ``…``.

    It is broken at a space, else after what ends a part of a path or of a list, unless that leaves a piece half empty.

    >>> wrap("the quick brown fox", 10), wrap("/proc/sys/kernel/sched", 12), wrap("abcdefghi", 3, lines=2)
    (['the quick', 'brown fox'], ['/proc/sys/', 'kernel/sched'], ['abc', 'de…'])
    """
    room = max(room, 3)
    pieces: list[str] = []
    while columns(text) > room:
        if len(pieces) == lines - 1:
            return [*pieces, cut(text, room)]
        head = _fitting(text, room)
        if text[len(head)] != " ":
            end = head.rfind(" ") + 1
            if end <= len(head) // 2:
                end = max(head.rfind(char) + 1 for char in _BREAKS)
            head = head[:end] if end > len(head) // 2 else head
        text = text[len(head) :].lstrip(" ")
        pieces.append(head.rstrip(" "))
    return [*pieces, text] if text or not pieces else pieces


def _fitting(text: str, room: int) -> str:
    """The longest beginning of ``text`` that takes at most ``room`` columns, and at least one character."""
    if text.isascii():
        return text[:room]
    size = end = 0
    while end < len(text) and size + columns(text[end]) <= room:
        size += columns(text[end])
        end += 1
    return text[: max(end, 1)]


def cut(text: str, room: int) -> str:
    """``text`` in at most ``room`` columns, with ``…`` where something is missing."""
    return text if columns(text) <= room else _fitting(text, room - 1) + "…"


def pad(text: str, width: int) -> str:
    """``text`` with blanks behind it, ``width`` columns wide."""
    return text + " " * (width - columns(text))
