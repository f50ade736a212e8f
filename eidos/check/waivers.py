"""Findings that a site accepts until a date.

Knows the form of a file of waivers and when one holds; must not know any check::

    waivers:
      - id: swap-with-kubelet          # or path: OS.sysctl./proc/sys/vm/swappiness
        nodes: [gpu-07, "batch-*"]     # [all]
        reason: swap is used by the build cache until the disks are replaced
        expires: "2027-03-31"          # the last day; from then on it fails again

>>> waivers = read_waivers({"waivers": [{"id": "a", "reason": "b", "expires": "2026-12-31"}]}, "waivers.yaml")
>>> waivers[0].is_expired("2026-12-31"), waivers[0].is_expired("2027-01-01")
(False, True)
"""

from __future__ import annotations

from eidos.model.finding import FAIL, WAIVED
from eidos.model.measurement import path_matches
from eidos.model.record import Record, replace
from eidos.model.tree_reader import TreeReader
from eidos.timestamp import days_after, is_calendar_day

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

#: Days that a waiver which we write holds.
DAYS = 90


class Waiver(Record):
    """``id`` of a check or ``path`` of a reading; ``nodes`` are names, in which a ``*`` stands for anything, and none is all nodes."""

    id: str
    path: str
    nodes: tuple[str, ...]
    reason: str
    expires: str

    def is_expired(self, today: str) -> bool:
        """Whether its last day is over; a date is ``2026-11-29``."""
        return bool(self.expires) and today > self.expires

    def covers(self, finding: Finding, node: str) -> bool:
        """Whether it is about that finding of that node."""
        is_its = finding.id == self.id if self.id else finding.path == self.path
        return is_its and (not self.nodes or any(path_matches(name, node) for name in self.nodes))

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without the empty ones."""
        return {name: list(value) if name == "nodes" else value for name, value in self.__dict__.items() if value}


def apply_waivers(findings: Iterable[Finding], waivers: Sequence[Waiver], node: str, today: str) -> list[Finding]:
    """Findings of which those that fail and that a waiver covers are waived; where it has expired they fail, and say so."""
    result = []
    for finding in findings:
        mine = [waiver for waiver in waivers if finding.status == FAIL and waiver.covers(finding, node)]
        valid = [waiver for waiver in mine if not waiver.is_expired(today)]
        if valid:
            until = f" (until {valid[0].expires})" if valid[0].expires else ""
            finding = replace(finding, status=WAIVED, waiver=f"{valid[0].reason}{until}")
        elif mine:
            finding = replace(finding, waiver=f"expired on {mine[0].expires}: {mine[0].reason}")
        result.append(finding)
    return result


def waivers_of(reports: Iterable[CheckReport], today: str) -> dict[str, Any]:
    """A file of waivers for all that fails in these reports, by finding with its nodes, for :data:`DAYS` days."""
    nodes: dict[str, list[str]] = {}
    for report in reports:
        for finding in report.findings:
            if finding.status in (FAIL, WAIVED):
                names = nodes.setdefault(finding.id, [])
                names += [report.node] if report.node and report.node not in names else []
    reason = f"accepted on {today}; replace this with the reason"
    return {"waivers": [Waiver(id, "", tuple(nodes[id]), reason, days_after(today, DAYS)).to_tree() for id in sorted(nodes)]}


def read_waivers(tree: object, name: str) -> tuple[Waiver, ...]:
    """The waivers in a tree; InvalidData with the path of what is wrong in it."""
    root = TreeReader(tree, name)
    root.expect_only(("waivers",))
    return tuple(map(_read_waiver, root.mappings("waivers")))


def _read_waiver(tree: TreeReader) -> Waiver:
    tree.expect_only(("id", "path", "nodes", "reason", "expires"))
    if bool(tree.text("id")) == bool(tree.text("path")):
        raise tree.error("expected either id or path")
    expires = tree.text("expires")
    if expires and not is_calendar_day(expires):
        raise tree.error(f"invalid date {expires!r}", "write a date like 2026-12-31", "expires")
    return Waiver(tree.text("id"), tree.text("path"), tree.names("nodes"), tree.name("reason"), expires)
