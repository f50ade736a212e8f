"""The quick checks: the same judgement from a part of the readings, in one line, for the health check of a scheduler."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.check.judge import CheckData, CheckOptions, judge
from eidos.check.profile import Profile
from eidos.check.quick_check import CHECKS, COLLECTORS, LINE_LENGTH, quick_line
from eidos.collectors import list_collectors
from eidos.model.check_report import CheckReport
from eidos.model.finding import FAIL, PASS, SEVERITIES, UNKNOWN, Finding
from eidos.model.query import Query
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.detection import detect
from tests.check.planted import FAULTS, Fault, check_data, plant, report_of, store
from tests.check.right_hosts import RIGHT, snapshot_of
from tests.support.node_snapshots import NOW, without_collector

OPTIONS = CheckOptions(Profile(only=tuple(CHECKS)), now=NOW)


def quick_part(snapshot: Snapshot) -> Snapshot:
    """The snapshot as it is when only the quick collectors ran."""
    for name in list_collectors():
        if name not in COLLECTORS:
            snapshot = without_collector(snapshot, name)
    return snapshot


def quick_report(snapshot: Snapshot) -> CheckReport:
    query = detect(snapshot, store().catalog, Query()).query
    data = CheckData(tuple(check for check in check_data().checks if check.id in CHECKS), None, check_data().facts)
    return judge(snapshot, None, query, data, OPTIONS)


def statuses(report: CheckReport) -> dict[str, str]:
    return {finding.id: finding.status for finding in report.findings if finding.id in CHECKS}


def test_quick_checks_and_collectors_exist() -> None:
    assert {check.id for check in check_data().checks} >= CHECKS
    assert set(list_collectors()) > set(COLLECTORS)


@pytest.mark.parametrize("name", RIGHT)
def test_a_host_that_is_right_is_ok(name: str) -> None:
    full = snapshot_of(*RIGHT[name])
    report = quick_report(quick_part(full))
    assert statuses(report) == statuses(report_of(full))
    assert quick_line([report], "error").startswith("ok: ")


@pytest.mark.exhaustive(sample=15)
@pytest.mark.parametrize("fault", [f for f in FAULTS if f.check in CHECKS], ids=lambda fault: f"{fault.check}: {fault.what}")
def test_less_detects_a_planted_fault(fault: Fault) -> None:
    report = quick_report(quick_part(plant(fault)))
    assert {finding.id for finding in report.findings if finding.status == FAIL} == {fault.check}
    severity = next(finding.severity for finding in report.findings if finding.id == fault.check)
    line = quick_line([report], severity)
    assert line.startswith(f"{fault.check}: ")


def test_what_could_not_be_judged_is_not_ok() -> None:
    snapshot = without_collector(quick_part(snapshot_of(*next(iter(RIGHT.values())))), "gpu", "failed")
    line = quick_line([quick_report(snapshot)], "error")
    assert line.startswith("unknown: no answer before the deadline: ")
    assert quick_line([quick_report(snapshot)], "never").startswith("ok: ")


TEXTS = st.text(max_size=300)
FINDINGS = st.builds(
    Finding,
    TEXTS,
    TEXTS,
    st.sampled_from([PASS, FAIL, UNKNOWN]),
    st.sampled_from(SEVERITIES),
    st.just("gpu"),
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
)


@given(st.lists(FINDINGS, max_size=30), st.sampled_from([*SEVERITIES, "never"]))
def test_the_result_is_one_line_that_fits_a_reason(findings: list[Finding], fail_on: str) -> None:
    report = CheckReport("", "", "gpu-07", findings=tuple(findings))
    line = quick_line([report], fail_on)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert '"' not in line
    assert len(line) <= LINE_LENGTH + 1
    limit = SEVERITIES.index(fail_on) if fail_on in SEVERITIES else -1
    assert line.startswith("ok: ") is not any(f.status in (FAIL, UNKNOWN) and SEVERITIES.index(f.severity) <= limit for f in findings) or (
        findings[0].id.startswith("ok")
    )
    lines = quick_line([report, replace(report, node='gpu-08\n\x1b[31m"')], fail_on)
    assert lines.count("\n") == 2
    assert lines.replace("\n", "").isprintable()
