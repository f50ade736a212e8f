"""What reports of several nodes have in common, and a finding in words.

Knows when two findings say the same and when two nodes are equal; must not know any check, nor a form in which reports are written.

>>> from eidos.model.check_report import CheckReport
>>> [(item.name, item.nodes) for item in node_classes((CheckReport("", "", "gpu-01"), CheckReport("", "", "gpu-02")))]
[('A', ('gpu-01', 'gpu-02'))]
"""

from __future__ import annotations

from eidos.model.finding import FAIL, PASS, SET, SETTING, WRITE
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding, Remedy

_COSTS = {
    "": "",
    "reload": " (no interruption)",
    "restart": " (restarts a service)",
    "drain": " (drain the node)",
    "reboot": " (reboots the node)",
}


class FindingGroup(Record):
    """One finding, as the first of its nodes has it, and all nodes that have the same one: evidence may differ, nothing else."""

    finding: Finding
    nodes: tuple[str, ...]


class EqualNodes(Record):
    """Nodes whose findings have the same statuses: its name (A, B, …, Z, AA, …) and the nodes; ``report`` is that of the first one."""

    name: str
    nodes: tuple[str, ...]
    report: CheckReport


def node_name(report: CheckReport) -> str:
    """The node of a report, for people."""
    return report.node or "unknown node"


def group_findings(reports: Iterable[CheckReport]) -> list[FindingGroup]:
    """The findings of all reports, each once, worst first; of those that are equally bad, the one of most nodes first."""
    groups: dict[tuple[object, ...], tuple[Finding, list[str]]] = {}
    for report in reports:
        for finding in report.findings:
            remedy = str(finding.remedy.to_tree()) if finding.remedy else ""
            texts = (finding.title, finding.expected, finding.actual, finding.reason, finding.waiver)
            key = (finding.id, finding.status, finding.severity, *texts, remedy)
            groups.setdefault(key, (finding, []))[1].append(node_name(report))
    finding_groups = [FindingGroup(finding, tuple(nodes)) for finding, nodes in groups.values()]
    return sorted(finding_groups, key=lambda group: (*group.finding.sort_key()[:2], -len(group.nodes), *group.finding.sort_key()[2:]))


def node_classes(reports: Iterable[CheckReport]) -> list[EqualNodes]:
    """Classes of equal nodes, the largest first; nodes keep their order."""
    classes: dict[tuple[object, ...], list[CheckReport]] = {}
    for report in reports:
        statuses = tuple(sorted((f.id, f.status, f.severity if f.status == FAIL else "") for f in report.findings if f.status != PASS))
        classes.setdefault(statuses, []).append(report)
    largest = sorted(classes.values(), key=lambda members: -len(members))
    return [EqualNodes(_letters(number), tuple(map(node_name, members)), members[0]) for number, members in enumerate(largest)]


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def unknown_reason(finding: Finding) -> str:
    """Why a finding is unknown, without the path that could not be read, which differs from finding to finding.

    >>> from eidos.model.finding import Finding
    >>> text = "could not read OS.net.*.bond: /sys/class/net: of a container; needs hostNetwork: true"
    >>> unknown_reason(Finding("bond", "a bond is down", "unknown", "error", "network", reason=text))
    'of a container; needs hostNetwork: true'
    """
    if not finding.reason.startswith("could not read"):
        return finding.reason
    setting, mark = ": true", "\0true"  # a setting of a pod is one word
    return finding.reason.replace(setting, mark).rpartition(": ")[2].replace(mark, setting)


def comparison_text(finding: Finding) -> str:
    """What is expected and what was found, in words."""
    return f"expected {finding.expected or 'otherwise'}, found {finding.actual or 'not set'}"


def source_text(finding: Finding) -> str:
    """The document behind a finding, with version and date; "" for none."""
    source = finding.source
    return " ".join(filter(None, (source.document, source.version, source.date)))


def remedy_steps(remedy: Remedy | None) -> list[str]:
    """The steps of a remedy, one line each unless a file has more; nothing for none."""
    steps = remedy.steps if remedy else ()
    return [
        f"write {step.file}:\n{step.text.rstrip()}"
        if step.kind == WRITE
        else f"set {step.file} to {step.text}, in the form that the host takes"
        if step.kind == SETTING
        else f"set {step.text}"
        if step.kind == SET
        else step.text
        for step in steps
    ]


def cost_text(remedy: Remedy | None) -> str:
    """What a remedy costs, in parentheses with a space in front; "" for nothing."""
    return _COSTS.get(remedy.cost, "") if remedy else ""


def remedy_lines(remedy: Remedy) -> Iterator[str]:
    """A remedy as lines that begin with ``do:``, one for each step; the last says what it costs."""
    steps = remedy_steps(remedy)
    for number, step in enumerate(steps):
        first, *others = step.splitlines() or [""]
        text = f"{first} {'; '.join(others)}" if others else first
        yield f"{'do:' if number == 0 else '   '} {text}{cost_text(remedy) if number == len(steps) - 1 else ''}"
