"""The findings of a fleet: each once, with the nodes that have it.

Knows check reports and how those of many nodes are put together; must not know any check, nor how a node is judged. A report is not stored:
a node leaves its name with each of its findings. The order in which reports are added makes no difference.
"""

from __future__ import annotations

from eidos.fleet.hostlist import fold_hostlist
from eidos.model.finding import FAIL, SEVERITIES, STATUSES, UNKNOWN, WAIVED
from eidos.model.record import Record
from eidos.model.snapshot import natural_key
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

#: What is reported: what passes or does not apply is not.
_LISTED = (FAIL, UNKNOWN, WAIVED)


class FleetFinding(Record):
    """One finding and its nodes, sorted; ``example`` is that of the first of them. ``is_uniform`` says that all have the same remedy."""

    example: Finding
    nodes: tuple[str, ...]
    is_uniform: bool = True

    def to_tree(self) -> dict[str, Any]:
        """The finding in a document: the example, without its evidence, and the nodes."""
        tree = self.example.to_tree()
        tree.pop("evidence", None)
        return {**tree, "example": self.nodes[0], "count": len(self.nodes), "nodes": list(self.nodes)}


class FleetFindings(Record):
    """The findings of the nodes that were judged, worst first; ``not_judged`` maps other nodes to the reason."""

    judged: int
    findings: tuple[FleetFinding, ...] = ()
    not_judged: dict[str, str] = {}
    notes: tuple[str, ...] = ()

    def to_tree(self) -> dict[str, Any]:
        """The fields of the summary: how many nodes were judged, and findings by status and severity."""
        failed = {
            severity: sum(f.example.status == FAIL and f.example.severity == severity for f in self.findings) for severity in SEVERITIES
        }
        counts = {**failed, **{status: sum(f.example.status == status for f in self.findings) for status in (UNKNOWN, WAIVED)}}
        tree: dict[str, Any] = {"checked": {"nodes": self.judged, **counts}}
        if self.notes:
            tree["notes"] = list(self.notes)
        if self.not_judged:
            tree["not-judged"] = [{"node": node, "why": why} for node, why in self.not_judged.items()]
        return {**tree, "findings": [finding.to_tree() for finding in self.findings]}

    def sentence(self) -> str:
        """What was found, in one sentence: ``findings on 64 nodes: 1 critical on gpu-17, 2 errors``."""
        parts = []
        for severity in SEVERITIES:
            group = [finding for finding in self.findings if finding.example.status == FAIL and finding.example.severity == severity]
            if group:
                nodes = {node for finding in group for node in finding.nodes}
                count = f"{len(group)} {severity}" if severity in ("critical", "info") else count_of(len(group), severity)
                parts.append(f"{count} on {'all nodes' if len(nodes) == self.judged > 1 else fold_hostlist(nodes)}")
        unknown = sum(finding.example.status == UNKNOWN for finding in self.findings)
        parts += [f"{unknown} unknown"] if unknown else []
        text = f"{count_of(self.judged, 'node')} checked: {', '.join(parts) or 'nothing wrong found'}"
        return text + (f"; {count_of(len(self.not_judged), 'node')} not judged" if self.not_judged else "")


class FindingGroups:
    """Takes the reports of a fleet, one by one."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], list[str]] = {}
        self._examples: dict[tuple[str, ...], tuple[tuple[Any, ...], Finding]] = {}
        self._remedies: dict[tuple[str, ...], set[int]] = {}
        self._notes: dict[str, None] = {}
        self.not_judged: dict[str, str] = {}
        self.judged = 0

    def add(self, node: str, report: CheckReport) -> None:
        """Add the report of the node that the caller calls ``node``."""
        self.judged += 1
        self._notes.update(dict.fromkeys(report.notes))
        order = natural_key(node)
        for finding in report.findings:
            if finding.status not in _LISTED:
                continue
            key = (finding.status, finding.severity, finding.domain, finding.id)
            self._groups.setdefault(key, []).append(node)
            self._remedies.setdefault(key, set()).add(hash(finding.remedy))
            # Values may differ between nodes: those of the first by name count, in whatever order nodes are added.
            if key not in self._examples or order < self._examples[key][0]:
                self._examples[key] = (order, finding)

    def findings(self) -> FleetFindings:
        """The findings, worst first."""
        keys = sorted(self._groups, key=lambda key: (STATUSES.index(key[0]), SEVERITIES.index(key[1]), *key[2:]))
        rows = (
            FleetFinding(self._examples[key][1], tuple(sorted(self._groups[key], key=natural_key)), len(self._remedies[key]) == 1)
            for key in keys
        )
        return FleetFindings(self.judged, tuple(rows), dict(sorted(self.not_judged.items())), tuple(self._notes))
