"""A fleet's summary as a table, for people.

Knows columns and headings; must not know how nodes are compared. The summary in one sentence comes first.
"""

from __future__ import annotations

from eidos.fleet.comparison import EQUAL, ODD
from eidos.fleet.hostlist import fold_hostlist
from eidos.formats.table import INDENT, aligned_rows, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable
from eidos.terminal import GREEN, RED, YELLOW
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.comparison_rules import Phrase
    from eidos.fleet.comparison import Difference, NodeClass
    from eidos.fleet.summary import FleetSummary

#: Lines that a list of nodes may take.
MAX_NODE_LINES = 40


def fleet_table(summary: FleetSummary, phrases: Sequence[Phrase], width: int, folder: str = "", colour: bool = False) -> str:
    """``summary`` as lines of at most ``width`` columns; 0 or less: as long as they need to be. ``folder`` is where the snapshots are."""
    width = line_width(width)
    blocks = [wrap(printable(summary.sentence(phrases)), width, MAX_NODE_LINES)]
    blocks += [list(_class(node_class, width, colour)) for node_class in summary.classes]
    if summary.unanswered:
        title = heading("No snapshot", _nodes(len(summary.unanswered)), width, RED if colour else "")
        rows = aligned_rows(_reasons(summary), width, max_key_lines=MAX_NODE_LINES)
        blocks.append([title, *(line for row in rows for line in row)])
    if folder:
        snapshots = f"{count_of(summary.answered, 'snapshot')} and summary.yaml"
        blocks.append(wrap(printable(f"wrote {snapshots} to {folder}"), width, MAX_NODE_LINES))
    return join_blocks(blocks)


def _class(node_class: NodeClass, width: int, colour: bool) -> Iterator[str]:
    title, shade = {EQUAL: ("Equal", GREEN), ODD: ("Different", YELLOW)}.get(node_class.kind, ("Unknown", YELLOW))
    yield heading(title, _nodes(len(node_class.nodes)), width, shade if colour else "")
    yield from (INDENT + line for line in wrap(printable(fold_hostlist(node_class.nodes)), width - len(INDENT), MAX_NODE_LINES))
    yield from key_value_rows(((difference.path, _sides(difference)) for difference in node_class.differences), width, INDENT * 2)
    if node_class.more:
        yield f"{INDENT * 2}and {count_of(node_class.more, 'more difference')} in the snapshots"
    yield from key_value_rows(((f"not read: {what}", why) for what, why in node_class.unread.items()), width, INDENT * 2)


def _sides(difference: Difference) -> str:
    value, expected = ("unset" if side is None else side.replace("\t", " ") or '""' for side in (difference.value, difference.expected))
    return f"{value} (others: {expected})" + (f" ({difference.why})" if difference.why else "")


def _reasons(summary: FleetSummary) -> Iterator[tuple[str, str]]:
    for nodes, no_answer in summary.group_unanswered():
        reason = f"{no_answer.reason}: " if no_answer.reason and not no_answer.why.startswith(no_answer.reason) else ""
        yield fold_hostlist(nodes), reason + no_answer.why + (f" ({no_answer.hint})" if no_answer.hint else "")


def _nodes(count: int) -> str:
    return count_of(count, "node")
