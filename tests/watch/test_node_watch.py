"""Cycles of a watch in this process: what counts as a change, what is remembered, and what is done once and not again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.check.judge import CheckData, CheckOptions, read_check_data
from eidos.collector_runner import NO_ANSWER
from eidos.errors import Unavailable
from eidos.model.check_report import CheckReport
from eidos.model.finding import ERROR, FAIL, NOT_APPLICABLE, PASS, UNKNOWN, Finding
from eidos.model.measurement import FAILED, OK, Measurement, Outcome, Subtype
from eidos.model.node_change import NodeChange
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.store import shipped_store
from eidos.watch.node_watch import REUSE_S, STUCK_LIMIT, Cycle, NodeWatch, Schedule, carry_over, wait_until
from eidos.workflow import check_node
from tests.support.node_snapshots import HOSTS, NOW, TIME, tree_snapshot, without_collector
from tests.workflow.test_document_schemas import faults

OPTIONS = CheckOptions(now=NOW)


@lru_cache(maxsize=1)
def check_data() -> CheckData:
    return read_check_data(shipped_store().check_data)


def judge_node(snapshot: Snapshot) -> CheckReport:
    return check_node(snapshot, options=OPTIONS, data=check_data())


def judge_nothing(snapshot: Snapshot) -> CheckReport:
    return CheckReport(TIME, "1.2.3", snapshot.node)


class Node:
    """A node whose next snapshots are set by the test, and the watch of it."""

    def __init__(self, *snapshots: Snapshot | Exception, judge: Any = judge_node) -> None:
        self.snapshots = list(snapshots)
        self.known: list[Mapping[str, Any]] = []
        self.now = 1000.0
        self.stuck = 0
        self.watch = NodeWatch(self.read, judge, clock=lambda: self.now, reap=lambda: self.stuck)

    def read(self, known: Mapping[str, Any]) -> Snapshot:
        self.known.append(known)
        snapshot = self.snapshots.pop(0)
        if isinstance(snapshot, Exception):
            raise snapshot
        return snapshot

    def cycle(self, *snapshots: Snapshot | Exception) -> Cycle:
        self.snapshots += snapshots
        cycle = self.watch.run_cycle()
        if cycle.change is not None:
            assert faults("change", cycle.change.to_tree()) == []
        return cycle

    def change(self, *snapshots: Snapshot | Exception) -> NodeChange:
        change = self.cycle(*snapshots).change
        assert change is not None
        return change


def gpu_node(driver: str = "", outcome: str = OK, reason: str | None = None, **kmod: bool) -> Snapshot:
    parts = (Subtype("smi", {"driver": driver, "gpu-count": 2}),) if driver else ()
    measurements = (Measurement("OS", (Subtype("kmod", {"nvidia": True, **kmod}),)), Measurement("GPU", parts))
    return Snapshot(TIME, "1.2.3", "gpu-07", measurements, (Outcome("os.kmod", OK, 1.0), Outcome("gpu", outcome, 1.0, reason)))


def test_the_first_line_has_what_fails_and_what_is_unknown() -> None:
    change = Node().change(gpu_node("580.95.05", nouveau=True))
    assert (change.since, change.node, change.readings) == ("", "gpu-07", ())
    report = judge_node(gpu_node("580.95.05", nouveau=True))
    assert {(each.id, each.status) for each in change.findings} == {
        (finding.id, finding.status) for finding in report.findings if finding.status in (FAIL, UNKNOWN)
    }
    nouveau = next(each for each in change.findings if each.id == "nouveau-loaded")
    assert (nouveau.change, nouveau.severity, nouveau.was, nouveau.actual) == ("appeared", ERROR, "", "true")
    assert change.summary == report.summary()


def test_the_first_line_is_there_although_all_is_well() -> None:
    change = Node(judge=judge_nothing).change(gpu_node())
    assert (change.sentence, change.findings) == ("nothing wrong found, 0 passed", ())


@pytest.mark.parametrize("host", ["ubuntu-22.04", "rhel-9"])
def test_a_host_that_stays_as_it_is_has_no_change(host: str) -> None:
    node = Node()
    node.change(tree_snapshot(HOSTS / host))
    later = replace(tree_snapshot(HOSTS / host), timestamp="2026-11-29T06:01:00Z")
    assert node.cycle(later).change is None


def test_findings_appear_change_and_go() -> None:
    node = Node()
    node.change(gpu_node("580.95.05"))
    change = node.change(gpu_node("580.95.05", nouveau=True))
    assert [(each.id, each.change, each.was, each.status) for each in change.findings] == [("nouveau-loaded", "appeared", PASS, FAIL)]
    assert [(each.path, each.kind, each.group) for each in change.readings] == [("OS.kmod.nouveau", "added", "OS.kmod")]
    assert change.sentence == "1 new finding, OS.kmod.nouveau added"
    assert change.since == TIME
    assert node.cycle(gpu_node("580.95.05", nouveau=True)).change is None
    change = node.change(gpu_node("580.95.05"))
    assert [(each.id, each.change, each.was, each.status) for each in change.findings] == [("nouveau-loaded", "gone", FAIL, PASS)]


def test_a_driver_that_was_replaced_while_it_could_not_be_read_is_a_change() -> None:
    node = Node()
    node.change(gpu_node("580.82.07"))
    change = node.change(gpu_node(outcome=FAILED, reason="the driver does not answer"))
    assert change.readings == (), "what cannot be read is not gone"
    assert [each.to_tree() for each in change.unreadable] == [{"group": "GPU.smi", "readings": 2, "why": "gpu: the driver does not answer"}]
    assert all(each.status == UNKNOWN for each in change.findings if each.id.startswith("driver"))
    assert node.cycle(gpu_node(outcome=FAILED, reason="the driver does not answer")).change is None
    change = node.change(gpu_node("580.126.20"))
    assert [(each.path, each.old, each.new) for each in change.readings] == [("GPU.smi.driver", "580.82.07", "580.126.20")]
    assert "driver 580.82.07 → 580.126.20" in change.sentence


def test_what_could_never_be_read_and_now_can_is_readable() -> None:
    node = Node(judge=judge_nothing)
    node.change(gpu_node(outcome=FAILED, reason="why"))
    change = node.change(gpu_node("580.82.07"))
    assert (change.readings, change.unreadable) == ((), ())
    assert [(each.group, each.readings) for each in change.readable] == [("GPU.smi", 2)]


def _collectors_with_readings() -> list[str]:
    snapshot = tree_snapshot(HOSTS / "ubuntu-22.04")
    return [outcome.name for outcome in snapshot.collectors if outcome.outcome != "skipped"]


@pytest.mark.exhaustive(sample=3, group="watch")
@pytest.mark.parametrize("name", _collectors_with_readings())
def test_a_collector_that_fails_makes_findings_unknown_and_nothing_else(name: str) -> None:
    complete = tree_snapshot(HOSTS / "ubuntu-22.04")
    node = Node()
    node.change(complete)
    cycle = node.cycle(without_collector(complete, name))
    if cycle.change is not None:
        assert cycle.change.readings == ()
        statuses = {each.status for each in cycle.change.findings if each.id != "snapshot-complete"}
        assert statuses <= {UNKNOWN}, "nothing passes by reading less"
    back = node.cycle(complete).change
    assert back is None or (back.readings, back.unreadable, back.readable) == ((), (), ())


def test_a_cycle_that_reads_nothing_makes_every_finding_unknown() -> None:
    node = Node()
    before = node.cycle(gpu_node("580.95.05", nouveau=True)).report
    assert before is not None
    cycle = node.cycle(Unavailable("the disk is gone"))
    assert cycle.failure == "the disk is gone"
    assert cycle.report is not None and cycle.change is not None
    assert {finding.status for finding in cycle.report.findings} == {UNKNOWN, NOT_APPLICABLE}
    assert cycle.change.sentence == "the disk is gone"
    nouveau = next(each for each in cycle.change.findings if each.id == "nouveau-loaded")
    assert (nouveau.change, nouveau.was, nouveau.status, nouveau.reason) == ("changed", FAIL, UNKNOWN, "the disk is gone")
    assert node.cycle(Unavailable("the disk is gone")).change is None
    back = node.change(gpu_node("580.95.05", nouveau=True))
    assert ("nouveau-loaded", "appeared") in {(each.id, each.change) for each in back.findings}
    assert back.readings == ()


def h100_node(driver: str, outcome: str = OK) -> Snapshot:
    smi = Subtype("smi", {"gpu.model": "NVIDIA H100 80GB HBM3", "driver": driver, "gpu-count": 1})
    node = gpu_node(outcome=outcome, reason=None if outcome == OK else "the driver does not answer")
    return replace(node, measurements=(node.measurements[0], Measurement("GPU", (smi,) if outcome == OK else ())))


def test_a_limit_of_a_recipe_stays_although_its_gpu_cannot_be_read() -> None:
    """Without its GPU the node gets another recipe, which has no limit for the driver: that is not known to be mended."""
    node = Node()
    assert ("GPU.smi.driver", FAIL) in {(each.id, each.status) for each in node.change(h100_node("450.80.02")).findings}
    change = node.change(h100_node("", FAILED))
    assert {each.status for each in change.findings if each.id != "snapshot-complete"} == {UNKNOWN}
    driver = next(each for each in change.findings if each.id == "GPU.smi.driver")
    assert (driver.change, driver.was) == ("changed", FAIL)
    assert driver.reason == "not judged, because it is for what gpu reads, which failed"
    assert node.cycle(h100_node("", FAILED)).change is None
    back = node.change(h100_node("580.126.20"))
    assert ("GPU.smi.driver", UNKNOWN, PASS) in {(each.id, each.was, each.status) for each in back.findings}
    assert [(each.path, each.old, each.new) for each in back.readings] == [("GPU.smi.driver", "450.80.02", "580.126.20")]


def test_what_fails_from_the_start_hides_no_other_recipe() -> None:
    """A collector that always fails must not keep findings that another recipe does not have."""
    node = Node()
    broken = replace(h100_node("450.80.02"), collectors=(*h100_node("").collectors, Outcome("systemd", FAILED, 1.0, "why")))
    node.change(broken)
    change = node.change(replace(gpu_node("450.80.02"), collectors=broken.collectors))
    assert ("GPU.smi.driver", NOT_APPLICABLE) in {(each.id, each.status) for each in change.findings}


def test_before_the_first_reading_there_is_no_line() -> None:
    node = Node(judge=judge_nothing)
    assert node.cycle(Unavailable("why")) == Cycle(None, None, "why")
    assert node.change(gpu_node("580.95.05")).since == ""


def test_answers_of_gpus_are_used_again_for_five_seconds() -> None:
    node = Node(judge=judge_nothing)
    first = gpu_node("580.95.05")
    node.cycle(first)
    for age, is_reused in ((1.0, True), (REUSE_S - 0.1, True), (REUSE_S, False)):
        node.now = 1000.0 + age
        reused = (
            replace(first, collectors=(first.collectors[0], node.watch._gpu[0])) if is_reused and node.watch._gpu else gpu_node("580.95.05")
        )
        node.cycle(reused)
        assert set(node.known[-1]) == ({"gpu"} if is_reused else set())
    outcome, parts = node.known[1]["gpu"]
    assert outcome == first.collectors[1]
    assert parts == first.measurements[1].subtypes
    node.now += 1.0
    node.cycle(gpu_node("580.95.05"))
    assert set(node.known[-1]) == {"gpu"}, "read again at five seconds"


def test_a_failure_of_the_gpus_is_not_used_again() -> None:
    node = Node(judge=judge_nothing)
    node.cycle(gpu_node(outcome=FAILED, reason="why"))
    node.cycle(gpu_node(outcome=FAILED, reason="why"))
    assert node.known[1] == {}


def test_a_collector_whose_process_is_stuck_is_not_started_again() -> None:
    node = Node(judge=judge_nothing)
    node.cycle(gpu_node(outcome=FAILED, reason=NO_ANSWER))
    node.stuck = 1
    for _ in range(3):
        node.cycle(gpu_node(outcome=FAILED, reason="not read: the process of an earlier cycle is stuck in the kernel"))
        assert [outcome.outcome for outcome, _ in node.known[-1].values()] == [FAILED]
        assert set(node.known[-1]) == {"gpu"}
    node.stuck = 0
    node.cycle(gpu_node("580.95.05"))
    assert node.known[-1] == {}


def test_too_many_stuck_processes_are_the_end_of_reading() -> None:
    node = Node(judge=judge_nothing)
    node.cycle(gpu_node("580.95.05"))
    node.stuck = STUCK_LIMIT
    cycle = node.cycle()
    assert cycle.failure == f"{STUCK_LIMIT} processes are stuck in the kernel"
    assert len(node.known) == 1


def test_readings_are_carried_over_where_there_are_none() -> None:
    old, new = gpu_node("580.82.07"), gpu_node()
    assert carry_over(old, new, set()) is new
    carried = carry_over(old, new, {"GPU.smi.driver"})
    assert {(m.type, s.name, key): value for m in carried.measurements for s in m.subtypes for key, value in s.data.items()} == {
        ("OS", "kmod", "nvidia"): True,
        ("GPU", "smi", "driver"): "580.82.07",
    }


@given(
    st.floats(0.01, 1e5),
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20),
)
def test_cycles_begin_at_multiples_of_the_interval(interval_s: float, durations: list[float]) -> None:
    """Each begins when the one before is over, at the first multiple of the interval: none overlaps and none drifts."""
    schedule = Schedule(interval_s, 50.0)
    begun, number, skipped = 50.0, 0, 0
    for duration in durations:
        over = begun + duration
        due, passed = schedule.next_start(over)
        assert due >= over
        number += 1 + passed
        skipped += passed
        assert due == pytest.approx(50.0 + number * interval_s, rel=1e-9, abs=interval_s * 1e-6)
        assert passed == 0 or due - interval_s <= over * (1 + 1e-12) + interval_s * 1e-6, "no beginning is passed over that could be kept"
        begun = due
    assert schedule.skipped == skipped


def test_a_long_wait_looks_around() -> None:
    now, slept, looked = [10.0], [], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    wait_until(22.0, lambda: now[0], sleep, lambda: looked.append(now[0]), 5.0)
    assert slept == [5.0, 5.0, 2.0]
    assert looked == [15.0, 20.0, 22.0]


def test_a_finding_that_is_not_judged_any_more_is_gone() -> None:
    failing = Finding("a", "a title", FAIL, ERROR, "gpu")
    reports = iter([CheckReport(TIME, "1", "gpu-07", findings=(failing,)), CheckReport(TIME, "1", "gpu-07")])
    node = Node(judge=lambda _: next(reports))
    node.change(gpu_node())
    change = node.change(gpu_node())
    assert [(each.id, each.was, each.status) for each in change.findings] == [("a", FAIL, NOT_APPLICABLE)]
