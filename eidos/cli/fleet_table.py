"""A fleet's summary as a table, for people.

Knows columns and headings; must not know how nodes were compared. The sentence that says it all comes first.
"""

from __future__ import annotations

from eidos.fleet.comparison import EQUAL, ODD
from eidos.fleet.hostlist import folded
from eidos.formats.table import INDENT, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.fleet.comparison import Class, Difference
    from eidos.fleet.comparison_rules import Said
    from eidos.fleet.summary import Silence, Summary

#: Lines that a list of nodes may take.
MAX_NODE_LINES = 40


def fleet_table(summary: Summary, said: Sequence[Said], width: int) -> str:
    """``summary`` as lines of at most ``width`` columns; 0 or less: as long as they need to be."""
    width = line_width(width)
    blocks = [wrap(printable(summary.sentence(said)), width, MAX_NODE_LINES)]
    blocks += [list(_class(found, width)) for found in summary.classes]
    if summary.silent:
        blocks.append([heading("No answer", _nodes(len(summary.silent)), width), *key_value_rows(_reasons(summary.silent), width)])
    return join_blocks(blocks)


def _class(found: Class, width: int) -> Iterator[str]:
    what = {EQUAL: "Equal", ODD: "Different"}.get(found.kind, "Not known")
    yield heading(what, _nodes(len(found.nodes)), width)
    yield from (INDENT + line for line in wrap(printable(folded(found.nodes)), width - len(INDENT), MAX_NODE_LINES))
    yield from key_value_rows(((difference.path, _sides(difference)) for difference in found.differences), width, INDENT * 2)
    if found.more:
        yield f"{INDENT * 2}and {found.more:,} more differences: the snapshots have them all"
    yield from key_value_rows(((f"not read: {what}", why) for what, why in found.unread.items()), width, INDENT * 2)


def _sides(difference: Difference) -> str:
    value, expected = ("nothing" if side is None else side.replace("\t", " ") or '""' for side in (difference.value, difference.expected))
    return f"{value}, not {expected}" + (f" ({difference.why})" if difference.why else "")


def _reasons(silent: dict[str, Silence]) -> Iterator[tuple[str, str]]:
    for node, silence in silent.items():
        reason = f"{silence.reason}: " if silence.reason and not silence.why.startswith(silence.reason) else ""
        yield node, reason + silence.why + (f" ({silence.hint})" if silence.hint else "")


def _nodes(count: int) -> str:
    return f"{count:,} node{'' if count == 1 else 's'}"
