"""A fleet's summary as a table, for people.

Knows columns and headings; must not know how nodes were compared. The sentence that says it all comes first.
"""

from __future__ import annotations

from eidos.cli.snapshot_table import ENDLESS, INDENT, NARROWEST, heading, rows, wrap
from eidos.fleet.comparison import EQUAL, ODD
from eidos.fleet.hostlist import folded
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.fleet.comparison import Class, Difference
    from eidos.fleet.comparison_rules import Said
    from eidos.fleet.summary import Silence, Summary

#: Lines that a list of nodes may take.
LINES = 40


def fleet_table(summary: Summary, said: Sequence[Said], width: int) -> str:
    """``summary`` as lines of at most ``width`` columns; 0 or less: as long as they need to be."""
    room = max(width, NARROWEST) if width > 0 else ENDLESS
    blocks = [wrap(printable(summary.sentence(said)), room, LINES)]
    blocks += [list(_class(found, room)) for found in summary.classes]
    if summary.silent:
        blocks.append([heading("No answer", _nodes(len(summary.silent)), room), *rows(_whys(summary.silent), room, INDENT)])
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in blocks) + "\n"


def _class(found: Class, room: int) -> Iterator[str]:
    what = {EQUAL: "Equal", ODD: "Different"}.get(found.kind, "Not known")
    yield heading(what, _nodes(len(found.nodes)), room)
    yield from (INDENT + line for line in wrap(printable(folded(found.nodes)), room - len(INDENT), LINES))
    yield from rows(((difference.path, _sides(difference)) for difference in found.differences), room, INDENT * 2)
    if found.more:
        yield f"{INDENT * 2}and {found.more:,} more differences: the snapshots have them all"
    yield from rows(((f"not read: {what}", why) for what, why in found.unread.items()), room, INDENT * 2)


def _sides(difference: Difference) -> str:
    value, expected = ("nothing" if side is None else side.replace("\t", " ") or '""' for side in (difference.value, difference.expected))
    return f"{value}, not {expected}" + (f" ({difference.why})" if difference.why else "")


def _whys(silent: dict[str, Silence]) -> Iterator[tuple[str, str]]:
    for node, silence in silent.items():
        reason = f"{silence.reason}: " if silence.reason and not silence.why.startswith(silence.reason) else ""
        yield node, reason + silence.why + (f" ({silence.hint})" if silence.hint else "")


def _nodes(count: int) -> str:
    return f"{count:,} node{'' if count == 1 else 's'}"
