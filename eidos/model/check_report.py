"""What is wrong with one node: the document that ``eidos check`` writes.

Knows the document and how findings are counted and ordered; must not know YAML, JSON, any check, nor how a report is shown.

>>> report = CheckReport("2026-11-29T06:00:00Z", "1.2.3", "gpu-07")
>>> report.summary()["error"], CheckReport.from_tree(report.to_tree(), "report.yaml") == report
(0, True)
"""

from __future__ import annotations

from eidos.model.finding import FAIL, NOT_APPLICABLE, PASS, SEVERITIES, UNKNOWN, WAIVED, Finding, read_finding
from eidos.model.record import Record
from eidos.model.tree_reader import ANY_SCALAR, TreeReader
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KIND = "CheckReport"
API_VERSION = "check.dgxc.io/v1"

#: Several reports in one document: those of a folder of snapshots.
LIST_KIND = "CheckReportList"

#: Name in the summary → status.
COUNTED = {"passed": PASS, "unknown": UNKNOWN, "waived": WAIVED, "not-applicable": NOT_APPLICABLE}

_HINT = "run 'eidos check -o report.yaml' to write a report"


class CheckReport(Record):
    """The findings of one node.

    ``timestamp`` is when the node was judged, ``snapshot_timestamp`` when it was read (RFC 3339, UTC); ``recipe_digest`` identifies the
    recipe data; ``notes`` say what was not judged; ``plugins`` are names and digests of plug-ins that took part.
    """

    timestamp: str
    version: str
    node: str
    snapshot_timestamp: str = ""
    recipe_digest: str = ""
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    plugins: tuple[str, ...] = ()

    def summary(self) -> dict[str, int]:
        """How many findings fail, by severity, and how many have each other status."""
        counts = {severity: sum(f.status == FAIL and f.severity == severity for f in self.findings) for severity in SEVERITIES}
        return {**counts, **{name: sum(f.status == status for f in self.findings) for name, status in COUNTED.items()}}

    def verdict(self) -> str:
        """The summary in one line: ``2 critical, 1 error, 3 warnings, 41 passed, 6 unknown``; what fails comes first, always."""
        counts = self.summary()
        failed = [
            f"{number:,} {name}" if name in ("critical", "info") else count_of(number, name)
            for name, number in counts.items()
            if name in SEVERITIES and number
        ]
        others = [f"{counts[name]:,} {name.replace('-', ' ')}" for name in COUNTED if counts[name] or name == "passed"]
        return ", ".join([*(failed or ["nothing wrong found"]), *others])

    def to_tree(self) -> dict[str, Any]:
        """The document as a plain tree."""
        metadata = {
            "report-timestamp": self.timestamp,
            "report-version": self.version,
            "source-node": self.node,
            "snapshot-timestamp": self.snapshot_timestamp,
            "recipe-data": self.recipe_digest,
            "plugins": " ".join(self.plugins),
        }
        tree: dict[str, Any] = {"kind": KIND, "apiVersion": API_VERSION, "metadata": {k: v for k, v in metadata.items() if v}}
        tree["summary"] = self.summary()
        if self.notes:
            tree["notes"] = list(self.notes)
        tree["findings"] = [finding.to_tree() for finding in self.findings]
        return tree

    @classmethod
    def from_tree(cls, tree: object, document: str) -> CheckReport:
        """The report in a document, which ``document`` names in messages; the summary is counted anew, unknown names are ignored.

        Raises InvalidData with the path and what was expected there.
        """
        root = TreeReader(tree, document, text_types=ANY_SCALAR)
        if tree is None:
            raise root.error("the document is empty", _HINT)
        root.expect_kind(KIND, API_VERSION, _HINT)
        if "findings" not in root:
            raise root.error("not a report: it has no findings", _HINT)
        metadata = root.mapping("metadata")
        names = ("report-timestamp", "report-version", "source-node", "snapshot-timestamp", "recipe-data")
        timestamp, version, node, snapshot_timestamp, digest = (metadata.text(name) for name in names)
        findings = tuple(map(read_finding, root.mappings("findings")))
        plugins = tuple(metadata.text("plugins").split())
        return cls(timestamp, version, node, snapshot_timestamp, digest, root.texts("notes"), findings, plugins)


def reports_tree(reports: tuple[CheckReport, ...]) -> dict[str, Any]:
    """The document of one report, or of several."""
    items = [report.to_tree() for report in reports]
    return items[0] if len(items) == 1 else {"kind": LIST_KIND, "apiVersion": API_VERSION, "items": items}
