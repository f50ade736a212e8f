"""A node is judged: by the recipe, by expert checks, with what a site accepts; and a report is a document."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eidos
from eidos.check.check_lint import lint_checks
from eidos.check.definitions import read_checks
from eidos.check.evaluation import RuleContext, evaluate
from eidos.check.judge import CheckOptions, merge_paths
from eidos.check.node_readings import NodeReadings
from eidos.check.profile import Profile, read_profile
from eidos.check.report_formats import render
from eidos.check.value_comparison import read_comparisons
from eidos.check.waivers import read_waivers, waivers_of
from eidos.errors import InvalidData, InvalidInput
from eidos.formats import from_text
from eidos.model.check_report import CheckReport
from eidos.model.condition_nodes import Unread
from eidos.model.finding import COSTS, OWNERS, SEVERITIES, STATUSES, STEP_KINDS, WRITE, Finding, FindingSource, Remedy, RemedyStep
from eidos.model.measurement import Measurement, Outcome, Subtype
from eidos.model.query import Query
from eidos.model.recipe import Recipe
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.store import Store, shipped_store
from eidos.workflow import check_node as check_node_of_store
from eidos.workflow import make_recipe
from tests.support.node_snapshots import NOW, TIME
from tests.support.recipe_grid import grid

OPTIONS = CheckOptions(now=NOW)


@lru_cache
def store() -> Store:
    return shipped_store()


def check_node(snapshot: Snapshot, recipe: Recipe | None = None, **arguments: Any) -> CheckReport:
    """With the shipped data, read once."""
    return check_node_of_store(snapshot, recipe, store=store(), **arguments)


def snapshot(readings: dict[str, dict[str, Any]], **outcomes: Any) -> Snapshot:
    """A snapshot with ``{"OS.kmod": {…}}``; every collector is ok but those in ``outcomes`` (``gpu=Outcome(…)``)."""
    types: dict[str, list[Subtype]] = {}
    for name, values in readings.items():
        kind, _, subtype = name.partition(".")
        types.setdefault(kind, []).append(Subtype(subtype, values))
    names = ["systemd", "os.grub", "os.kmod", "os.release", "os.sysctl", "gpu"]
    collectors = tuple(outcomes.get(name.replace(".", "_"), Outcome(name, "ok", 1.0)) for name in names)
    k8s = tuple(Outcome(f"k8s.{name}", "skipped", 0.0, "no cluster is configured") for name in ("image", "node", "policy", "server"))
    return Snapshot(TIME, "0.1.0", "gpu-07", tuple(Measurement(kind, tuple(parts)) for kind, parts in types.items()), k8s + collectors)


def by_id(report: CheckReport) -> dict[str, Finding]:
    return {finding.id: finding for finding in report.findings}


UBUNTU: dict[str, dict[str, Any]] = {"OS.release": {"ID": "ubuntu", "VERSION_ID": "24.04"}, "OS.kmod": {"nvidia": True}}


def test_a_limit_is_an_error_and_a_recommendation_a_warning_and_both_are_one_finding() -> None:
    node = snapshot({**UBUNTU, "GPU.smi": {"driver": "450.80.02", "gpu-count": 8}, "OS.sysctl": {"/proc/sys/vm/swappiness": "60"}})
    report = check_node(node, query={"gpu": "h100", "intent": "inference"}, options=OPTIONS)
    findings = by_id(report)
    driver = findings["GPU.smi.driver"]
    assert (driver.status, driver.severity, driver.expected, driver.actual) == ("fail", "error", ">= 525.85.12", "450.80.02")
    assert driver.reason == "MIG on H100 requires this driver or later."
    assert (driver.source.layer, "Multi-Instance GPU" in driver.source.document) == ("gpu-h100.yaml", True) or driver.source.layer
    assert driver.evidence == {"GPU.smi.driver": "450.80.02"}
    swappiness = findings["OS.sysctl./proc/sys/vm/swappiness"]
    assert (swappiness.status, swappiness.severity, swappiness.expected) == ("fail", "warning", "<= 1")
    assert swappiness.remedy is not None
    assert swappiness.remedy.to_tree() == {
        "steps": [
            {"write": "/etc/sysctl.d/95-eidos-vm.swappiness.conf", "content": "vm.swappiness = 1\n"},
            {"run": "sysctl -p /etc/sysctl.d/95-eidos-vm.swappiness.conf"},
        ],
        "cost": "reload",
        "owner": "host",
        "revert": [{"run": "rm /etc/sysctl.d/95-eidos-vm.swappiness.conf"}, {"run": "sysctl -w vm.swappiness=60"}],
    }
    assert [finding.path for finding in report.findings].count("OS.sysctl./proc/sys/vm/swappiness") == 1


def test_without_an_intent_the_report_says_what_was_not_judged() -> None:
    assert "training and inference" in check_node(snapshot(UBUNTU), options=OPTIONS).notes[0]
    assert check_node(snapshot(UBUNTU), query={"intent": "training"}, options=OPTIONS).notes == ()


def test_a_recipe_and_a_query_exclude_one_another() -> None:
    with pytest.raises(InvalidInput, match="cannot be used together"):
        check_node(snapshot(UBUNTU), make_recipe({"gpu": "h100"}), query={"gpu": "h100"})


@pytest.mark.parametrize(
    ("outcome", "status", "part"),
    [
        (Outcome("os.sysctl", "ok", 1.0), "not-applicable", "not set"),
        (Outcome("os.sysctl", "failed", 1.0, "no answer before the deadline"), "unknown", "no answer before the deadline"),
        (Outcome("os.sysctl", "skipped", 1.0, "/proc/sys does not exist"), "not-applicable", "/proc/sys does not exist"),
        (
            Outcome("os.sysctl", "partial", 1.0, unreadable={"/proc/sys/vm/swappiness": "permission denied"}),
            "unknown",
            "permission denied",
        ),
        (Outcome("os.sysctl", "partial", 1.0, unreadable={"/proc/sys/vm/*": "permission denied"}), "unknown", "permission denied"),
        (Outcome("os.sysctl", "partial", 1.0, unreadable={"/proc/sys/net/*": "permission denied"}), "not-applicable", "not set"),
        (Outcome("os.sysctl", "ok", 1.0, absent={"/proc/sys/vm/swappiness": "not supported"}), "not-applicable", "not supported"),
    ],
)
def test_what_is_missing_is_absent_only_where_the_collector_looked(outcome: Outcome, status: str, part: str) -> None:
    node = snapshot({**UBUNTU, "OS.sysctl": {"/proc/sys/vm/overcommit_memory": "1"}}, os_sysctl=outcome)
    report = check_node(node, query={"gpu": "h100", "intent": "inference"}, options=OPTIONS)
    finding = by_id(report)["OS.sysctl./proc/sys/vm/swappiness"]
    assert finding.status == status
    assert part in finding.reason
    if part == "permission denied":
        assert finding.remedy is not None
        assert finding.remedy.steps[0].text == "run as root"


def test_a_withheld_reading_is_unknown_and_says_how_to_show_it() -> None:
    node = NodeReadings(snapshot({"OS.grub": {"iommu": "<withheld>"}}))
    with pytest.raises(Unread, match="--reveal iommu"):
        node.read("OS.grub.iommu")


def test_a_snapshot_without_volatile_readings_says_so() -> None:
    with pytest.raises(Unread, match="taken without --volatile"):
        NodeReadings(snapshot(UBUNTU)).read("GPU.gpu-0.volatile.temperature.gpu-celsius")


@pytest.mark.parametrize(
    ("now", "status"), [(NOW, "pass"), (NOW + 86400, "pass"), (NOW + 86401, "fail"), (NOW - 300, "pass"), (NOW - 301, "fail")]
)
def test_the_age_of_a_snapshot_is_judged(now: float, status: str) -> None:
    assert by_id(check_node(snapshot(UBUNTU), options=CheckOptions(now=now)))["snapshot-age"].status == status


def test_a_snapshot_of_two_nodes_and_an_incomplete_one_are_findings() -> None:
    node = snapshot({**UBUNTU, "K8s.node": {"source-node": "gpu-08"}}, gpu=Outcome("gpu", "failed", 1.0, "no answer"))
    findings = by_id(check_node(node, options=OPTIONS))
    assert (findings["snapshot-node"].status, findings["snapshot-node"].actual) == ("fail", "gpu-08")
    assert (findings["snapshot-complete"].status, findings["snapshot-complete"].actual) == ("fail", "gpu is failed")


GPU: dict[str, Any] = {
    "model": "NVIDIA H100 80GB HBM3",
    "ecc.current": "Enabled",
    "ecc.pending": "Enabled",
    "mig.current": "Disabled",
    "mig.pending": "Disabled",
    "remapped-rows.pending": False,
    "remapped-rows.failure": False,
    "retired-pages.pending": False,
    "recovery-action": "None",
    "power.enforced-limit-watts": 700.0,
    "power.default-limit-watts": 700.0,
    "persistence-mode": "Enabled",
    "vbios-version": "96.00.89.00.01",
    "pcie.width-current": 16,
    "pcie.width-maximum": 16,
}
SMI: dict[str, Any] = {"driver": "580.178.04", "gpu-count": 2}
OK_NODE: dict[str, dict[str, Any]] = {**UBUNTU, "OS.grub": {"quiet": ""}, "GPU.smi": SMI, "GPU.gpu-0": GPU, "GPU.gpu-1": GPU}


def expert(node: Snapshot) -> dict[str, Finding]:
    ids = {check.id for check in read_checks(store().check_data)}
    return {id: finding for id, finding in by_id(check_node(node, options=OPTIONS)).items() if id in ids}


FIRST_CHECKS: dict[str, dict[str, Any]] = {
    "gpu-ecc-pending": {"ecc.pending": "Disabled"},
    "gpu-mig-pending": {"mig.pending": "Enabled"},
    "gpu-row-remap-pending": {"remapped-rows.pending": True},
    "gpu-row-remap-failure": {"remapped-rows.failure": True},
    "gpu-retired-pages-pending": {"retired-pages.pending": True},
    "gpu-recovery-action": {"recovery-action": "Reset"},
    "gpu-power-limit": {"power.enforced-limit-watts": 350.0},
    "gpu-persistence-mode": {"persistence-mode": "Disabled"},
    "gpu-mixed-vbios": {"vbios-version": "96.00.74.00.01"},
    "pcie-width": {"pcie.width-current": 8},
}


def test_a_node_that_is_right_has_no_finding() -> None:
    assert {id for id, finding in expert(snapshot(OK_NODE)).items() if finding.status == "fail"} == set()


@pytest.mark.parametrize("id", FIRST_CHECKS)
def test_a_fault_of_one_gpu_is_the_only_finding(id: str) -> None:
    findings = expert(snapshot({**OK_NODE, "GPU.gpu-1": {**GPU, **FIRST_CHECKS[id]}}))
    assert [name for name, finding in findings.items() if finding.status == "fail"] == [id]
    assert findings[id].remedy is not None
    assert any("gpu-1" in path for path in findings[id].evidence)


@pytest.mark.parametrize("id", FIRST_CHECKS)
def test_what_a_gpu_does_not_have_does_not_apply_and_what_was_not_read_is_unknown(id: str) -> None:
    (key,) = FIRST_CHECKS[id]
    less = {name: value for name, value in GPU.items() if name != key}
    absent = {f"gpu-{number}/{key}": "not supported" for number in (0, 1)}
    node = {**OK_NODE, "GPU.gpu-0": less, "GPU.gpu-1": less}
    assert expert(snapshot(node, gpu=Outcome("gpu", "ok", 1.0, absent=absent)))[id].status == "not-applicable"
    assert expert(snapshot(node, gpu=Outcome("gpu", "partial", 1.0, unreadable=absent)))[id].status == "unknown"
    one = Outcome("gpu", "partial", 1.0, unreadable={f"gpu-1/{key}": "GPU is lost"})
    assert expert(snapshot({**OK_NODE, "GPU.gpu-1": less}, gpu=one))[id].status == "unknown"


def test_seven_of_eight_gpus_pass_nothing() -> None:
    findings = expert(snapshot({**OK_NODE, "GPU.smi": {**SMI, "gpu-count": 3}}))
    assert {findings[id].status for id in FIRST_CHECKS} == {"unknown"}


@pytest.mark.parametrize(
    ("today", "driver", "status"),
    [
        ("2026-11-29", "570.148.08", "fail"),
        ("2026-02-28", "570.148.08", "pass"),
        ("2026-03-01", "570.148.08", "fail"),
        ("2026-11-29", "580.95.05", "pass"),
        ("2026-11-29", "560.28.03", "fail"),
        ("2026-11-29", "590.48.01", "fail"),
        ("2026-11-29", "615.71.09", "unknown"),
    ],
)
def test_a_driver_ends_with_its_branch(today: str, driver: str, status: str) -> None:
    trees = store().check_data
    (check,) = (check for check in read_checks(trees) if check.id == "driver-end-of-life")
    rules = trees["rules.yaml"]
    assert isinstance(rules, dict)
    node = NodeReadings(snapshot({**OK_NODE, "GPU.smi": {**SMI, "driver": driver}}))
    assert evaluate(check, RuleContext(node, rules, today)).status == status


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome("gpu", "skipped", 1.0, "no NVIDIA driver"), "fail"),
        (Outcome("gpu", "failed", 1.0, "NVML: timeout"), "unknown"),
        (Outcome("gpu", "ok", 1.0), "pass"),
    ],
)
def test_a_gpu_that_was_requested_and_is_not_there(outcome: Outcome, status: str) -> None:
    readings = OK_NODE if status == "pass" else UBUNTU
    report = check_node(snapshot(readings, gpu=outcome), query={"gpu": "h100"})
    assert by_id(report)["gpu-not-found"].status == status
    if status == "pass":
        for count, other in ((0, "fail"), ("N/A", "unknown"), ("", "unknown"), ("8.0", "unknown")):
            report = check_node(snapshot({**OK_NODE, "GPU.smi": {**SMI, "gpu-count": count}}, gpu=outcome), query={"gpu": "h100"})
            assert by_id(report)["gpu-not-found"].status == other, count
    assert by_id(check_node(snapshot(UBUNTU, gpu=outcome)))["gpu-not-found"].status == "not-applicable"


@pytest.mark.parametrize(
    ("driver", "cuda", "status"), [("580.178.04", "13.0", "pass"), ("580.178.04", "12.8", "fail"), ("580.178.04", "N/A", "unknown")]
)
def test_a_version_that_cannot_be_parsed_is_unknown(driver: str, cuda: str, status: str) -> None:
    finding = expert(snapshot({**OK_NODE, "GPU.smi": {**SMI, "driver": driver, "cuda-version": cuda}}))["cuda-not-of-driver"]
    assert finding.status == status
    assert (status == "unknown") == ("'N/A' is not a version" in str(finding.to_tree()))


def test_a_library_that_does_not_fit_and_a_gpu_that_is_missing() -> None:
    failed = Outcome("gpu", "failed", 1.0, "NVML: driver/library version mismatch: kernel module 535.161, library 535.183 (/usr/lib/x)")
    findings = expert(snapshot(UBUNTU, gpu=failed))
    assert (findings["driver-library-mismatch"].status, findings["driver-library-mismatch"].severity) == ("fail", "critical")
    assert "535.161" in findings["driver-library-mismatch"].actual
    lost = Outcome("gpu", "partial", 1.0, unreadable={"0000:1b:00.0": "on the PCI bus, not in NVML"})
    assert expert(snapshot(OK_NODE, gpu=lost))["gpu-not-in-driver"].status == "fail"
    passed_through = Outcome(
        "gpu", "skipped", 1.0, "no NVIDIA driver; 1 NVIDIA device on the PCI bus is passed through to virtual machines (vfio)"
    )
    assert expert(snapshot(UBUNTU, gpu=passed_through))["gpu-not-in-driver"].status == "not-applicable"


@pytest.mark.parametrize(
    ("grub", "sysctl", "status"),
    [("disable", "0", "pass"), ("disable", "1", "fail"), ("enable", "0", "fail"), ("enable", "1", "pass"), (None, "1", "not-applicable")],
)
def test_numa_balancing_is_set_one_way(grub: str | None, sysctl: str, status: str) -> None:
    readings = {"OS.grub": {"numa_balancing": grub} if grub else {"quiet": ""}, "OS.sysctl": {"/proc/sys/kernel/numa_balancing": sysctl}}
    assert expert(snapshot({**UBUNTU, **readings}))["numa-balancing-two-ways"].status == status


def test_the_remedy_is_that_of_the_distribution() -> None:
    def steps(id: str) -> list[str]:
        release = {"ID": id, "VERSION_ID": "9.4"}
        remedy = expert(snapshot({**OK_NODE, "OS.release": release, "OS.kmod": {"nouveau": True}}))["nouveau-loaded"].remedy
        return [step.text for step in remedy.steps] if remedy else []

    assert "update-initramfs -u" in steps("ubuntu")
    assert "dracut --force" in steps("rhel")
    assert [step.partition(" with ")[0] for step in steps("cos")] == ["keep nouveau from being loaded"]


def test_a_check_and_a_recommendation_of_one_path_are_one_finding() -> None:
    recommended = Finding("OS.a.b", "setting", "fail", "warning", "kernel", "OS.a.b")
    check = Finding("a-check", "title", "fail", "info", "kernel", "OS.a.b")
    limit = replace(recommended, severity="error")
    assert merge_paths([recommended, check]) == [replace(check, severity="warning")]
    assert merge_paths([limit, check]) == [limit, check]
    assert merge_paths([recommended, replace(check, status="pass")]) == [recommended, replace(check, status="pass")]


def test_a_profile_changes_severities_and_selects() -> None:
    node = snapshot({**OK_NODE, "GPU.gpu-1": {**GPU, "ecc.pending": "Disabled"}})
    profile = read_profile({"severity": {"gpu-ecc-pending": "critical"}, "only": ["gpu"], "skip": ["gpu-power-limit"]}, "p.yaml")
    report = check_node(node, options=CheckOptions(profile, now=NOW))
    assert by_id(report)["gpu-ecc-pending"].severity == "critical"
    assert {finding.domain for finding in report.findings} == {"gpu"}
    assert "gpu-power-limit" not in by_id(report)
    assert report.summary()["critical"] == 1
    with pytest.raises(InvalidData, match=r"p.yaml: severity.x: unknown x \"bad\""):
        read_profile({"severity": {"x": "bad"}}, "p.yaml")
    assert check_node(node, options=CheckOptions(Profile(only=("nothing",)), now=NOW)).findings == ()


def test_waivers_hold_until_their_last_day_and_for_their_nodes() -> None:
    node = snapshot({**OK_NODE, "GPU.gpu-1": {**GPU, "ecc.pending": "Disabled"}})
    entry = {"id": "gpu-ecc-pending", "nodes": ["gpu-*"], "reason": "reset is planned", "expires": "2026-11-29"}

    def finding(**changes: Any) -> Finding:
        waivers = read_waivers({"waivers": [{**entry, **changes}]}, "w.yaml")
        return by_id(check_node(node, options=CheckOptions(waivers=waivers, now=NOW)))["gpu-ecc-pending"]

    assert (finding().status, finding().waiver) == ("waived", "reset is planned (until 2026-11-29)")
    assert (finding(expires="2026-11-28").status, finding(expires="2026-11-28").waiver) == (
        "fail",
        "expired on 2026-11-28: reset is planned",
    )
    assert finding(nodes=["cpu-*"]).status == "fail"
    assert finding(nodes=["g*u*-*"]).status == "waived"
    assert finding(nodes=[]).status == "waived"
    assert finding(expires="").status == "waived"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"reason": "x"}, "expected either id or path"),
        ({"id": "a", "path": "OS.a.b", "reason": "x"}, "expected either id or path"),
        ({"id": "a"}, "expected a name"),
        ({"id": "a", "reason": "x", "expires": "soon"}, "invalid date"),
        ({"id": "a", "reason": "x", "expires": "2026-02-29"}, "invalid date"),
        ({"id": "a", "reason": "x", "expires": "٢٠٢٦-12-31"}, "invalid date"),
        ({"id": "a", "reason": "x", "until": "2026-12-31"}, "unknown field 'until'"),
    ],
)
def test_malformed_waivers_are_refused(entry: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidData, match=r"w.yaml: waivers\[0\]") as caught:
        read_waivers({"waivers": [entry]}, "w.yaml")
    assert why in caught.value.message


def test_waivers_of_a_report_make_it_green() -> None:
    node = snapshot({**OK_NODE, "GPU.gpu-1": {**GPU, "ecc.pending": "Disabled", "remapped-rows.failure": True}})
    report = check_node(node, options=OPTIONS)
    waivers = read_waivers(waivers_of([report], "2026-11-29"), "w.yaml")
    assert {waiver.expires for waiver in waivers} == {"2027-02-27"}
    after = check_node(node, options=CheckOptions(waivers=waivers, now=NOW))
    assert not [finding for finding in after.findings if finding.status == "fail"]
    assert after.summary()["waived"] == sum(finding.status == "fail" for finding in report.findings)


# Documents.

words = st.text("abc -:'\"\n{}[]é", max_size=8)
steps = st.builds(
    lambda kind, text, file: RemedyStep(kind, text, file if kind == WRITE else ""),
    st.sampled_from(STEP_KINDS),
    words.filter(bool),
    words.filter(bool),
)
remedies = st.builds(
    Remedy,
    st.lists(steps, max_size=3).map(tuple),
    st.sampled_from(COSTS),
    st.sampled_from(OWNERS),
    st.booleans(),
    st.lists(steps, max_size=2).map(tuple),
)
findings = st.builds(
    Finding,
    id=words.filter(bool),
    title=words,
    status=st.sampled_from(STATUSES),
    severity=st.sampled_from(SEVERITIES),
    domain=words,
    path=words,
    expected=words,
    actual=words,
    reason=words,
    source=st.builds(FindingSource, words, words, words, words, words, words),
    remedy=st.none() | remedies,
    evidence=st.dictionaries(words.filter(bool), words, max_size=3),
    waiver=words,
    is_new=st.booleans(),
)
reports = st.builds(
    CheckReport, words, words, words, words, words, st.lists(words, max_size=2).map(tuple), st.lists(findings, max_size=4).map(tuple)
)


@given(reports, st.sampled_from(["yaml", "json"]))
def test_a_report_is_read_as_it_was_written(report: CheckReport, form: str) -> None:
    again = CheckReport.from_tree(from_text(render((report,), form), "report"), "report")
    assert again == report
    assert again.summary() == report.summary()


def test_several_reports_are_a_list() -> None:
    report = check_node(snapshot(UBUNTU), options=OPTIONS)
    tree = from_text(render((report, report), "json"), "reports")
    assert isinstance(tree, dict)
    assert (tree["kind"], len(tree["items"])) == ("CheckReportList", 2)


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        (None, "the document is empty"),
        ({"kind": "Snapshot"}, "expected CheckReport"),
        ({}, "not a report: it has no findings"),
        ({"findings": [{"id": "a", "status": "bad", "severity": "error"}]}, 'findings[0].status: unknown status "bad"'),
        ({"findings": [{"id": "a", "status": "fail", "severity": "error", "remedy": {"steps": [{"fly": "x"}]}}]}, "remedy.steps[0]"),
    ],
)
def test_what_is_no_report_is_refused(tree: object, why: str) -> None:
    with pytest.raises(InvalidData) as caught:
        CheckReport.from_tree(tree, "report.yaml")
    assert why in caught.value.message


def test_the_python_api_judges() -> None:
    report = eidos.check_node(snapshot(OK_NODE), options=eidos.CheckOptions(now=NOW))
    assert report.verdict().startswith("nothing wrong found, ") or report.summary()["warning"]


# Data of checks.


@pytest.mark.parametrize(
    ("entry", "rule", "part"),
    [
        ({"id": "A"}, "form", "invalid id 'A'"),
        ({"severity": "bad"}, "form", "unknown severity"),
        ({"expect": "OS.kmod.x >="}, "form", "missing value"),
        ({"expect": None, "rule": "no-such"}, "unknown-rule", "no function judge in eidos/check/rules/no_such.py"),
        ({"applies": "query.colour == red", "applies-to": "x"}, "unknown-name", "unknown name 'query.colour'"),
        ({"source": ""}, "unsourced-check", "has no source"),
        ({"reason": "none"}, "no-reason", "one sentence"),
        ({"remedy": []}, "no-remedy", "what to do"),
        ({"remedy": [{"steps": []}, {"steps": []}]}, "unused-remedy", "must be the last"),
        ({"more": 1}, "form", "unknown field 'more'"),
        ({"source": "other"}, "form", "unknown source 'other'"),
    ],
)
def test_lint_finds_what_is_wrong_with_a_check(entry: dict[str, Any], rule: str, part: str) -> None:
    right: dict[str, Any] = {
        "id": "a",
        "title": "a is so",
        "severity": "info",
        "expect": "OS.kmod.x absent",
        "reason": "It matters.",
        "source": "doc",
        "remedy": {"steps": [{"run": "rmmod x"}]},
    }
    changed = {name: value for name, value in {**right, **entry}.items() if value is not None}
    source = [{"id": "doc", "document": "A document"}]
    assert lint_checks({"checks/x.yaml": {"source": source, "checks": [right]}}) == []
    issues = lint_checks(
        {"checks/x.yaml": {"source": source, "checks": [changed, right]}}
        if rule != "form"
        else {"checks/x.yaml": {"source": source, "checks": [right, changed]}}
    )
    assert any(issue.rule == rule and part in issue.message for issue in issues), [str(issue) for issue in issues]


def test_lint_finds_a_check_twice_and_a_rule_that_never_counts() -> None:
    tree = {"source": [{"id": "d", "document": "D"}], "checks": []}
    check = {
        "id": "a",
        "title": "t",
        "severity": "info",
        "expect": "OS.kmod.x absent",
        "reason": "R.",
        "source": "d",
        "remedy": {"steps": []},
    }
    issues = lint_checks({"checks/x.yaml": {**tree, "checks": [check]}, "checks/y.yaml": {**tree, "checks": [check]}})
    assert [issue.rule for issue in issues] == ["duplicate-check"]
    with pytest.raises(InvalidData, match=r"is in checks/x\.yaml too"):
        read_checks({"checks/x.yaml": {**tree, "checks": [check]}, "checks/y.yaml": {**tree, "checks": [check]}})
    rules = [{"path": "OS.a.b", "how": "at-least"}, {"path": "OS.a.*", "how": "equal", "source": "x"}]
    assert [issue.rule for issue in lint_checks({"comparisons.yaml": {"comparisons": rules}})] == ["unused-comparison", "unknown-source"]


def test_the_shipped_checks_have_no_issue() -> None:
    assert [str(issue) for issue in lint_checks(store().check_data)] == []


# The grid.


@pytest.mark.exhaustive(sample=12)
@pytest.mark.parametrize("query", list(grid()), ids=lambda query: "-".join(query.fields().values()))
def test_a_recipe_finds_nothing_wrong_with_its_own_values(query: Query) -> None:
    recipe: Recipe = make_recipe(query, store=store())
    names = ("k8s.image", "k8s.server", "k8s.policy", "k8s.node", "systemd", "os.grub", "os.kmod", "os.release", "os.sysctl", "gpu")
    node = Snapshot(TIME, "0.1.0", "gpu-07", recipe.measurements, tuple(Outcome(name, "ok", 1.0) for name in names))
    report = check_node(node, recipe, options=OPTIONS)
    assert [(f.id, f.expected, f.actual) for f in report.findings if f.status == "fail" and not f.id.startswith("snapshot-")] == []


# Any tree is a document or is refused.

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | words
    | st.sampled_from(["a", "fail", "error", "OS.a.b present", "2026-11-29"])
)
names = st.sampled_from(
    [
        "kind",
        "findings",
        "metadata",
        "id",
        "status",
        "severity",
        "remedy",
        "steps",
        "run",
        "write",
        "waivers",
        "reason",
        "only",
        "checks",
        "title",
        "expect",
        "source",
        "comparisons",
        "path",
        "how",
        "when",
        "evidence",
        "needs",
        "applies",
    ]
)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | words, inner, max_size=4), max_leaves=12)


@given(trees | st.dictionaries(st.sampled_from(["findings", "waivers", "checks", "comparisons", "severity"]), trees, min_size=1))
def test_any_tree_is_a_document_or_is_refused(tree: Any) -> None:
    readers: dict[str, Any] = {
        "report": lambda: CheckReport.from_tree(tree, "x"),
        "profile": lambda: read_profile(tree, "x"),
        "waivers": lambda: read_waivers(tree, "x"),
        "checks": lambda: read_checks({"checks/x.yaml": tree}),
        "comparisons": lambda: read_comparisons(tree),
    }
    for read in readers.values():
        try:
            read()
        except InvalidData:
            continue
    assert all(issue.message for issue in lint_checks({"checks/x.yaml": tree, "comparisons.yaml": tree}))


@pytest.mark.parametrize(
    ("constraints", "status", "expected"),
    [
        ([("GPU.smi.driver", ">= 590"), ("GPU.smi.driver", "< 600")], "fail", ">= 590, < 600"),
        ([("GPU.smi.driver", "< 600"), ("GPU.smi.driver", ">= 590")], "fail", "< 600, >= 590"),
        ([("GPU.smi.driver", ">= 570"), ("GPU.smi.driver", ">= 570")], "pass", ">= 570"),
        ([("OS.kmod.nouveau", "absent")], "pass", "absent"),
        ([("OS.kmod.nouveau", "absent or == false")], "pass", "absent or == false"),
        ([("OS.kmod.nouveau", "present")], "fail", "present"),
        ([("OS.kmod.nouveau", "== true")], "not-applicable", "== true"),
        ([("os.kmod.nouveau", "absent")], "unknown", "absent"),
        ([("Foo.bar", "!= 1")], "unknown", "!= 1"),
    ],
)
def test_every_constraint_of_a_path_counts_and_presence_is_judged(constraints: list[tuple[str, str]], status: str, expected: str) -> None:
    tree = {
        "measurements": [{"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"driver": "570"}}]}],
        "constraints": [{"name": name, "value": value} for name, value in constraints],
    }
    finding = by_id(check_node(snapshot(OK_NODE), Recipe.from_tree(tree, "recipe.yaml"), options=OPTIONS))[constraints[0][0]]
    assert (finding.status, finding.expected) == (status, expected)


def test_a_constraint_on_every_gpu_names_those_that_break_it() -> None:
    gpus = {"GPU.gpu-0": {**GPU, "memory.total-mib": 81559}, "GPU.gpu-1": {**GPU, "memory.total-mib": 40960}}
    recipe = Recipe.from_tree(
        {
            "measurements": [{"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"driver": "580.95.05"}}]}],
            "constraints": [{"name": "GPU.gpu-*.memory.total-mib", "value": ">= 79 GiB"}],
        },
        "recipe.yaml",
    )
    finding = by_id(check_node(snapshot({**OK_NODE, **gpus}), recipe, options=OPTIONS))["GPU.gpu-*.memory.total-mib"]
    assert (finding.status, finding.severity, finding.actual) == ("fail", "error", "40960 (gpu-1)")
    assert finding.evidence == {"GPU.gpu-1.memory.total-mib": "40960"}
    lost = Outcome("gpu", "failed", 1.0, "no answer before the deadline")
    assert by_id(check_node(snapshot(UBUNTU, gpu=lost), recipe, options=OPTIONS))["GPU.gpu-*.memory.total-mib"].status == "unknown"
    assert by_id(check_node(snapshot(UBUNTU), recipe, options=OPTIONS))["GPU.gpu-*.memory.total-mib"].status == "not-applicable"
