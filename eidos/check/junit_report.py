"""Reports as JUnit XML, for continuous integration: a suite for each node, a case for each finding.

Knows the schema of Apache Ant's JUnit reports (https://github.com/windyroad/JUnit-Schema); must not know any check. What fails is a
failure whose type is its severity, what is unknown an error, and what is waived or does not apply is skipped.

>>> from eidos.model.check_report import CheckReport
>>> [line.strip()[:48] for line in render((CheckReport("2026-11-29T06:00:00Z", "1.2.3", "gpu-07"),)).splitlines()[2:3]]
['<testsuite name="gpu-07" package="eidos.check" i']
"""

from __future__ import annotations

from eidos.check.report_groups import comparison_text, node_name, remedy_lines, source_text
from eidos.model.finding import FAIL, NOT_APPLICABLE, UNKNOWN, WAIVED
from eidos.timestamp import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

#: What XML 1.0 (section 2.2) has no characters for becomes a replacement character.
_INVALID = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535, *range(55296, 57344)), "�")
_TEXT = {**_INVALID, ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_ATTRIBUTE = {**_TEXT, ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}


def render(reports: tuple[CheckReport, ...]) -> str:
    """The reports as one document."""
    suites = "".join(line for number, report in enumerate(reports) for line in _suite(number, report))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{suites}</testsuites>\n'


def _suite(number: int, report: CheckReport) -> Iterator[str]:
    statuses = [finding.status for finding in report.findings]
    node = " ".join(node_name(report).split()) or "-"
    attributes = {
        "name": node,
        "package": "eidos.check",
        "id": number,
        # The schema allows no zone; the time is UTC.
        "timestamp": report.timestamp[:19] if parse_timestamp(report.timestamp) is not None else "1970-01-01T00:00:00",
        "hostname": node,
        "tests": len(statuses),
        "failures": statuses.count(FAIL),
        "errors": statuses.count(UNKNOWN),
        "skipped": statuses.count(WAIVED) + statuses.count(NOT_APPLICABLE),
        "time": 0,
    }
    yield f"  <testsuite{_attributes(attributes)}>\n    <properties>\n"
    metadata = {"snapshot-timestamp": report.snapshot_timestamp, "report-version": report.version, "recipe-data": report.recipe_digest}
    for name, value in (*metadata.items(), *(("note", note) for note in report.notes)):
        if value:
            yield f"      <property{_attributes({'name': name, 'value': value})}/>\n"
    yield "    </properties>\n"
    for finding in report.findings:
        yield from _case(finding)
    yield "    <system-out/>\n    <system-err/>\n  </testsuite>\n"


def _case(finding: Finding) -> Iterator[str]:
    name = " ".join(finding.id.split())
    case = f"    <testcase{_attributes({'name': name, 'classname': f'eidos.{finding.domain}', 'time': 0})}"
    if finding.status in (FAIL, UNKNOWN):
        tag = "failure" if finding.status == FAIL else "error"
        kind = finding.severity if finding.status == FAIL else UNKNOWN
        text = "\n".join(_details(finding)).translate(_TEXT)
        yield f"{case}>\n      <{tag}{_attributes({'message': finding.title, 'type': kind})}>{text}</{tag}>\n    </testcase>\n"
    elif finding.status in (WAIVED, NOT_APPLICABLE):
        why = f"waived: {finding.waiver}" if finding.status == WAIVED else finding.reason or "does not apply"
        yield f"{case}>\n      <skipped{_attributes({'message': why})}/>\n    </testcase>\n"
    else:
        yield f"{case}/>\n"


def _details(finding: Finding) -> Iterator[str]:
    if finding.status == FAIL:
        yield comparison_text(finding)
    yield from filter(None, (finding.reason, finding.waiver and f"waiver {finding.waiver}"))
    if finding.remedy:
        yield from remedy_lines(finding.remedy)
    if source := source_text(finding):
        yield f"source: {source}"
    yield from (f"evidence: {path} = {value}" for path, value in finding.evidence.items())


def _attributes(values: dict[str, object]) -> str:
    return "".join(f' {name}="{str(value).translate(_ATTRIBUTE)}"' for name, value in values.items())
