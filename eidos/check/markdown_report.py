"""Reports as Markdown, for a comment on a pull request or a chat.

Knows GitHub Flavored Markdown (https://github.github.com/gfm/); must not know any check. What failed is complete and what could not be
judged is one line for each reason; what passed is only counted. Every text of a finding is escaped or in a code span.
"""

from __future__ import annotations

from eidos.check.report_groups import cost_text, group_findings, node_classes, node_name, remedy_steps, source_text
from eidos.log import printable
from eidos.model.finding import FAIL, UNKNOWN, WAIVED
from eidos.templates.text_template import escape_markdown, markdown_code
from eidos.wording import count_of, list_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.check.report_groups import EqualNodes, FindingGroup
    from eidos.model.check_report import CheckReport

#: Characters: GitHub refuses a comment of more than 65,536.
LIMIT = 60_000

#: Names of nodes that are shown in one place.
SHOWN_NODES = 8


def render(reports: tuple[CheckReport, ...]) -> str:
    """The reports as one text of at most LIMIT characters; one that is cut says how many findings are missing."""
    many = len(reports) > 1
    parts = list(map(_visible, _fleet(reports) if many else _head(reports[0])))
    groups = [group for group in group_findings(reports) if group.finding.status in (FAIL, WAIVED)]
    length = sum(map(len, parts))
    entries = [_visible(_entry(group, many)) for group in groups]
    unknown = list(map(_visible, _unknown([group for group in group_findings(reports) if group.finding.status == UNKNOWN])))
    room = LIMIT - length - min(len(unknown), LIMIT // 10) - 200
    for number, entry in enumerate(entries):
        room -= len(entry)
        if room < 0:
            parts.append(f"\n{count_of(len(entries) - number, 'more finding')}: see the report in another format.\n")
            break
        parts.append(entry)
    if unknown:
        text = "".join(unknown)
        parts.append(
            text if len(text) <= LIMIT // 10 else f"\n{len(unknown) - 1:,} reasons why something could not be judged are left out.\n"
        )
    return "".join(parts)


def _visible(text: str) -> str:
    """The text with what could steer a terminal written as escapes; its lines and tabs stay."""
    return text if text.isprintable() else "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _head(report: CheckReport) -> Iterator[str]:
    yield f"### {markdown_code(node_name(report))}: {escape_markdown(report.verdict())}\n"
    yield from (f"\n{escape_markdown(note)}\n" for note in report.notes)


def _fleet(reports: Sequence[CheckReport]) -> Iterator[str]:
    classes = node_classes(reports)
    yield f"### {count_of(len(reports), 'node')}, {count_of(len(classes), 'class')} of equal nodes\n\n"
    yield "| nodes | names | result |\n|---:|---|---|\n"
    yield from map(_row, classes[:50])
    if len(classes) > 50:
        yield f"| … | {count_of(len(classes) - 50, 'more class')} | |\n"
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    yield from (f"\n{escape_markdown(note)}\n" for note in notes)


def _row(item: EqualNodes) -> str:
    return f"| {len(item.nodes):,} | {escape_markdown(list_first(item.nodes, SHOWN_NODES))} | {escape_markdown(item.report.verdict())} |\n"


def _entry(group: FindingGroup, many: bool) -> str:
    finding = group.finding
    mark = finding.severity if finding.status == FAIL else WAIVED
    nodes = f" on {count_of(len(group.nodes), 'node')}: {escape_markdown(list_first(group.nodes, SHOWN_NODES))}" if many else ""
    new = " (new)" if finding.is_new else ""
    lines = [f"**{mark}** {escape_markdown(finding.title)} {markdown_code(finding.id)}{new}{nodes}"]
    lines.append(f"expected {markdown_code(finding.expected or 'otherwise')}, found {markdown_code(finding.actual or 'not set')}")
    if finding.reason:
        lines[-1] += f". {escape_markdown(finding.reason)}"
    if finding.waiver:
        lines.append(f"waiver: {escape_markdown(finding.waiver)}")
    if source := source_text(finding):
        lines.append(f"source: {escape_markdown(source)}")
    text = "\n- " + "  \n  ".join(lines) + "\n"
    steps = remedy_steps(finding.remedy) if finding.status == FAIL else []
    if steps:
        text += f"\n  Do{cost_text(finding.remedy)}:\n\n"
        block = "\n".join(steps).encode(errors="replace").decode()
        fence = "```"
        while fence in block:
            fence += "`"
        text += "".join(f"  {line}\n" for line in (fence, *filter(None, map(str.rstrip, block.splitlines())), fence))
    return text


def _unknown(groups: Sequence[FindingGroup]) -> list[str]:
    reasons: dict[str, dict[str, None]] = {}
    for group in groups:
        reasons.setdefault(group.finding.reason or "unknown", {})[group.finding.id] = None
    lines = [f"- {escape_markdown(reason)}: {', '.join(map(markdown_code, ids))}\n" for reason, ids in reasons.items()]
    return ["\n**Could not be judged**\n\n", *lines] if lines else []
