"""A fleet's summary as a table, for people.

Knows columns and headings; must not know how nodes are compared. The summary in one sentence comes first.
"""

from __future__ import annotations

from eidos.fleet.comparison import EQUAL, ODD
from eidos.fleet.hostlist import fold_hostlist
from eidos.formats.table import INDENT, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.fleet.comparison import Difference, NodeClass
    from eidos.fleet.comparison_rules import Phrase
    from eidos.fleet.summary import FleetSummary, NoAnswer

#: Lines that a list of nodes may take.
MAX_NODE_LINES = 40


def fleet_table(summary: FleetSummary, phrases: Sequence[Phrase], width: int) -> str:
    """``summary`` as lines of at most ``width`` columns; 0 or less: as long as they need to be."""
    width = line_width(width)
    blocks = [wrap(printable(summary.sentence(phrases)), width, MAX_NODE_LINES)]
    blocks += [list(_class(node_class, width)) for node_class in summary.classes]
    if summary.unanswered:
        blocks.append([heading("No answer", _nodes(len(summary.unanswered)), width), *key_value_rows(_reasons(summary.unanswered), width)])
    return join_blocks(blocks)


def _class(node_class: NodeClass, width: int) -> Iterator[str]:
    title = {EQUAL: "Equal", ODD: "Different"}.get(node_class.kind, "Not known")
    yield heading(title, _nodes(len(node_class.nodes)), width)
    yield from (INDENT + line for line in wrap(printable(fold_hostlist(node_class.nodes)), width - len(INDENT), MAX_NODE_LINES))
    yield from key_value_rows(((difference.path, _sides(difference)) for difference in node_class.differences), width, INDENT * 2)
    if node_class.more:
        yield f"{INDENT * 2}and {node_class.more:,} more differences: the snapshots have them all"
    yield from key_value_rows(((f"not read: {what}", why) for what, why in node_class.unread.items()), width, INDENT * 2)


def _sides(difference: Difference) -> str:
    value, expected = ("nothing" if side is None else side.replace("\t", " ") or '""' for side in (difference.value, difference.expected))
    return f"{value}, not {expected}" + (f" ({difference.why})" if difference.why else "")


def _reasons(unanswered: dict[str, NoAnswer]) -> Iterator[tuple[str, str]]:
    for node, no_answer in unanswered.items():
        reason = f"{no_answer.reason}: " if no_answer.reason and not no_answer.why.startswith(no_answer.reason) else ""
        yield node, reason + no_answer.why + (f" ({no_answer.hint})" if no_answer.hint else "")


def _nodes(count: int) -> str:
    return f"{count:,} node{'' if count == 1 else 's'}"
