"""A fleet's summary as a table, for people.

Knows columns and headings; must not know how nodes are compared. The summary in one sentence comes first.
"""

from __future__ import annotations

from eidos.fleet.comparison import EQUAL, ODD
from eidos.fleet.hostlist import fold_hostlist
from eidos.formats.table import INDENT, aligned_rows, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable
from eidos.model.finding import FAIL
from eidos.terminal import GREEN, RED, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.fleet.comparison import Difference, NodeClass
    from eidos.fleet.findings import FleetFinding, FleetFindings
    from eidos.fleet.summary import FleetSummary
    from eidos.reading_selection import Phrase

#: Lines that a list of nodes may take.
MAX_NODE_LINES = 40


def fleet_table(summary: FleetSummary, phrases: Sequence[Phrase], width: int, folder: str = "", colour: bool = False) -> str:
    """``summary`` as lines of at most ``width`` columns; 0 or less: as long as they need to be. ``folder`` is where the snapshots are."""
    width = line_width(width)
    blocks = [wrap(printable(summary.sentence(phrases)), width, MAX_NODE_LINES)]
    if summary.findings:
        blocks[0] += wrap(printable("; ".join((summary.findings.sentence(), *summary.findings.notes))), width, MAX_NODE_LINES)
    blocks += [list(_class(node_class, width, colour, summary.others)) for node_class in summary.classes]
    if summary.findings:
        blocks += _findings(summary.findings, width, colour)
    if summary.unanswered:
        title = heading("No snapshot", _nodes(len(summary.unanswered)), width, RED if colour else "")
        rows = aligned_rows(_reasons(summary), width, max_key_lines=MAX_NODE_LINES)
        blocks.append([title, *(line for row in rows for line in row)])
    if folder:
        snapshots = f"{count_of(summary.answered, 'snapshot')} and summary.yaml"
        blocks.append(wrap(printable(f"wrote {snapshots} to {folder}"), width, MAX_NODE_LINES))
    return join_blocks(blocks)


def _class(node_class: NodeClass, width: int, colour: bool, others: str) -> Iterator[str]:
    title, shade = {EQUAL: ("Equal", GREEN), ODD: ("Different", YELLOW)}.get(node_class.kind, ("Unknown", YELLOW))
    yield heading(title, _nodes(len(node_class.nodes)), width, shade if colour else "")
    yield from (INDENT + line for line in wrap(printable(fold_hostlist(node_class.nodes)), width - len(INDENT), MAX_NODE_LINES))
    yield from key_value_rows(((difference.path, _sides(difference, others)) for difference in node_class.differences), width, INDENT * 2)
    if node_class.more:
        yield f"{INDENT * 2}and {count_of(node_class.more, 'more difference')} in the snapshots"
    yield from key_value_rows(((f"not read: {what}", why) for what, why in node_class.unread.items()), width, INDENT * 2)


def _findings(findings: FleetFindings, width: int, colour: bool) -> Iterator[list[str]]:
    """What fails, worst first: what it is, on which nodes, what to do; then what could not be judged, in one line each."""
    from eidos.check.report_groups import comparison_text, remedy_lines

    failed = [finding for finding in findings.findings if finding.example.status == FAIL]
    others = [finding for finding in findings.findings if finding.example.status != FAIL]
    if failed:
        lines = [heading("Findings", str(len(failed)), width, RED if colour else "")]
        for finding in failed:
            example = finding.example
            shade = {"critical": RED, "error": RED, "warning": YELLOW}.get(example.severity, "")
            title = wrap(printable(f"{example.severity}: {example.title} [{example.id}]"), width - len(INDENT), MAX_NODE_LINES)
            lines += (INDENT + paint(line, shade, colour and bool(shade)) for line in title)
            nodes = f"{_nodes(len(finding.nodes))}: {fold_hostlist(finding.nodes)}"
            comparison = comparison_text(example) + (f" on {finding.nodes[0]}" if len(finding.nodes) > 1 else "")
            remedy = list(remedy_lines(example.remedy)) if example.remedy else []
            if remedy and not finding.is_uniform:
                remedy = [f"on {finding.nodes[0]}; other nodes need other steps:", *remedy]
            for text in (nodes, comparison, *remedy):
                lines += (INDENT * 2 + line for line in wrap(printable(text), width - 2 * len(INDENT), MAX_NODE_LINES))
        yield lines
    if others:
        yield [heading("Unknown or waived", str(len(others)), width, YELLOW if colour else ""), *_unknown(others, width)]
    if findings.not_judged:
        rows = key_value_rows(findings.not_judged.items(), width)
        yield [heading("Not judged", _nodes(len(findings.not_judged)), width, RED if colour else ""), *rows]


def _unknown(others: Sequence[FleetFinding], width: int) -> Iterator[str]:
    """What could not be judged or is accepted: each reason once for the same nodes."""
    from eidos.check.report_groups import unknown_reason

    groups: dict[tuple[str, ...], list[str]] = {}
    for finding in others:
        why = finding.example.waiver or unknown_reason(finding.example)
        groups.setdefault((finding.example.status, why, *finding.nodes), []).append(finding.example.id)
    for (status, why, *nodes), names in groups.items():
        title = f"{status}: {why} ({_nodes(len(nodes))}: {fold_hostlist(nodes)})"
        for text, indent in ((title, INDENT), (", ".join(names), INDENT * 2)):
            yield from (indent + line for line in wrap(printable(text), width - len(indent), MAX_NODE_LINES))


def _sides(difference: Difference, others: str) -> str:
    value, expected = ("unset" if side is None else side.replace("\t", " ") or '""' for side in (difference.value, difference.expected))
    return f"{value} ({others}: {expected})" + (f" ({difference.why})" if difference.why else "")


def _reasons(summary: FleetSummary) -> Iterator[tuple[str, str]]:
    for nodes, no_answer in summary.group_unanswered():
        reason = f"{no_answer.reason}: " if no_answer.reason and not no_answer.why.startswith(no_answer.reason) else ""
        yield fold_hostlist(nodes), reason + no_answer.why + (f" ({no_answer.hint})" if no_answer.hint else "")


def _nodes(count: int) -> str:
    return count_of(count, "node")
