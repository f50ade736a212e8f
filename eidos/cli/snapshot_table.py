"""A snapshot as a table, for people.

Knows what people look for in a snapshot and in which order; must not know where the text goes. Each subtype is a block of keys
and values. The outcomes of the collectors come last, where they are visible without a pager.
"""

from __future__ import annotations

from eidos.formats.table import GAP, INDENT, display_width, heading, join_blocks, key_value_rows, line_width, pad, truncate, wrap
from eidos.log import printable
from eidos.model.measurement import FAILED, OK, PARTIAL
from eidos.model.number_format import format_scalar
from eidos.model.snapshot import natural_key
from eidos.terminal import BOLD, GREEN, RED, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.model.measurement import Outcome, Reading, Subtype
    from eidos.model.snapshot import Snapshot

#: Outcomes that have a colour; what does not apply to a host has none.
OUTCOME_COLOURS = {OK: GREEN, PARTIAL: YELLOW, FAILED: RED}

#: A note beside its collector needs at least this many columns; else it goes below.
_MIN_NOTE_WIDTH = 24


def snapshot_table(snapshot: Snapshot, width: int, colour: bool = False) -> str:
    """``snapshot`` as lines of at most ``width`` columns; 0 or less: as long as they need to be."""
    width, bold = line_width(width), BOLD if colour else ""
    blocks = [_header(snapshot, width)]
    for measurement in snapshot.measurements:
        if not measurement.subtypes:
            blocks.append([heading(measurement.type, "no data", width, bold)])
        subtypes = sorted(measurement.subtypes, key=lambda subtype: natural_key(subtype.name))
        blocks.extend(_subtype(measurement.type, subtype, width, bold) for subtype in subtypes)
    if snapshot.collectors:
        blocks.append(_outcomes(snapshot.collectors, width, bold))
    return join_blocks(blocks)


def _header(snapshot: Snapshot, width: int) -> list[str]:
    facts = {"Node": snapshot.node, "Time": snapshot.timestamp, "Version": snapshot.version}
    return list(key_value_rows(((name, text or "unknown") for name, text in facts.items()), width, ""))


def _subtype(kind: str, subtype: Subtype, width: int, bold: str) -> list[str]:
    count = len(subtype.data)
    top = heading(f"{kind} · {subtype.name}", count_of(count, "reading"), width, bold)
    return [top, *key_value_rows(((key, _shown(value)) for key, value in sorted(subtype.data.items())), width)]


def _shown(value: Reading) -> str:
    # The kernel separates numbers with tabs; an escape for each would be noise.
    return format_scalar(value).replace("\t", " ") or '""'


def _outcomes(outcomes: tuple[Outcome, ...], width: int, bold: str) -> list[str]:
    rows = [(printable(o.name), o.outcome, f"{o.milliseconds:.1f}", printable(_note(o))) for o in outcomes]
    heads = ("Collector", "Outcome", "ms")
    widths = [max(display_width(head), *(display_width(row[number]) for row in rows)) for number, head in enumerate(heads)]
    widths[0] = min(widths[0], max(width - sum(widths[1:]) - len(GAP) * 3 - 3, 8))
    column = sum(widths) + len(GAP) * 3 + len(INDENT)
    fits_beside = width - column - 3 >= _MIN_NOTE_WIDTH
    lines = [heading("Collectors", _tally(outcomes), width, bold)]
    for name, outcome, time, note in rows:
        shown = paint(f"{outcome:{widths[1]}}", OUTCOME_COLOURS.get(outcome, ""), bool(bold and outcome in OUTCOME_COLOURS))
        start = f"{INDENT}{pad(truncate(name, widths[0]), widths[0])}{GAP}{shown}{GAP}{time:>{widths[2]}} ms"
        if not note:
            lines.append(start)
        elif fits_beside:
            first, *rest = wrap(note, width - column - 3)
            lines += [f"{start}{GAP}{first}", *(" " * (column + 3) + line for line in rest)]
        else:
            lines += [start, *(INDENT * 2 + line for line in wrap(note, width - len(INDENT) * 2))]
    return lines


def _tally(outcomes: tuple[Outcome, ...]) -> str:
    kinds = [outcome.outcome for outcome in outcomes]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _note(outcome: Outcome) -> str:
    counts = {"unreadable": len(outcome.unreadable), "absent": len(outcome.absent), "withheld": outcome.withheld}
    counted = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    age = f"cached {outcome.stale:,} s ago" if outcome.stale is not None else ""
    return "; ".join(part for part in (outcome.reason, age, counted) if part)
