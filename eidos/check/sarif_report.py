"""Reports as SARIF 2.1.0, for code scanning and the viewers of editors: a run for each node, a result for each finding.

Knows the format (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html); must not know any check. A finding has no line of a
file: its location is the node, as a file by that name, and in it the path of the reading. What is unknown is a result of kind ``open``,
what is waived a suppressed one.
"""

from __future__ import annotations

from eidos import __version__
from eidos.check.report_groups import comparison_text, cost_text, node_name, remedy_steps
from eidos.formats import to_json
from eidos.model.finding import CRITICAL, ERROR, FAIL, INFO, NOT_APPLICABLE, PASS, UNKNOWN, WAIVED, WARNING
from eidos.timestamp import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_LEVELS = {CRITICAL: "error", ERROR: "error", WARNING: "warning", INFO: "note"}
_KINDS = {FAIL: "fail", WAIVED: "fail", UNKNOWN: "open", PASS: "pass", NOT_APPLICABLE: "notApplicable"}


def render(reports: tuple[CheckReport, ...]) -> str:
    """The reports as one document."""
    return to_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(report) for report in reports]})


def _run(report: CheckReport) -> dict[str, Any]:
    rules: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    for finding in report.findings:
        numbers.setdefault(finding.id, len(numbers))
        rules.setdefault(finding.id, _rule(finding))
    results = [{"ruleId": f.id, "ruleIndex": numbers[f.id], **_result(f, node_name(report))} for f in report.findings]
    notes = [{"level": "note", "message": {"text": note}} for note in report.notes]
    ended = {"endTimeUtc": report.timestamp} if parse_timestamp(report.timestamp) is not None else {}
    invocation: dict[str, Any] = {"executionSuccessful": True, **ended}
    if notes:
        invocation["toolExecutionNotifications"] = notes
    driver = {"name": "eidos", "version": report.version or __version__, "rules": list(rules.values())}
    return {
        "tool": {"driver": driver},
        # Code scanning keeps the results of each node apart.
        "automationDetails": {"id": f"eidos/{node_name(report)}/"},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": finding.id, "shortDescription": {"text": finding.title or finding.id}}
    if finding.status in (FAIL, WAIVED, PASS) and finding.reason:
        rule["fullDescription"] = {"text": finding.reason}
    if finding.source.url:
        rule["helpUri"] = finding.source.url
    if finding.remedy and finding.status == FAIL:
        rule["help"] = {"text": _remedy(finding)}
    rule["defaultConfiguration"] = {"level": _LEVELS[finding.severity]}
    rule["properties"] = {"tags": [finding.domain]} if finding.domain else {}
    return rule


def _result(finding: Finding, node: str) -> dict[str, Any]:
    is_fault = finding.status in (FAIL, WAIVED)
    sentences = [finding.title]
    if is_fault or finding.status == PASS:
        sentences.append(comparison_text(finding))
    sentences += [finding.reason, _remedy(finding) if finding.status in (FAIL, UNKNOWN) else ""]
    location = {"fullyQualifiedName": f"{node}/{finding.path or finding.id}", "kind": "member"}
    result: dict[str, Any] = {
        "kind": _KINDS[finding.status],
        "level": _LEVELS[finding.severity] if is_fault else "none",
        "message": {"text": ". ".join(filter(None, sentences))},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(node)}}, "logicalLocations": [location]}],
        "partialFingerprints": {"finding/v1": f"{node}/{finding.id}"},
    }
    if finding.status == WAIVED:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.waiver}]
    if finding.is_new:
        result["baselineState"] = "new"
    details = {name: text for name in ("severity", "path", "expected", "actual") if (text := getattr(finding, name))}
    evidence = {"evidence": dict(finding.evidence)} if finding.evidence else {}
    remedy = {"remedy": finding.remedy.to_tree()} if finding.remedy else {}
    result["properties"] = {**details, **evidence, **remedy}
    return result


def _remedy(finding: Finding) -> str:
    steps = remedy_steps(finding.remedy)
    return f"Do{cost_text(finding.remedy)}: {'; '.join(steps)}" if steps else ""


def _uri(text: str) -> str:
    """A relative reference (RFC 3986) of one segment."""
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    return "".join(c if c in plain else "".join(f"%{byte:02X}" for byte in c.encode(errors="replace")) for c in text)
