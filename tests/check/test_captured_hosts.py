"""Captured hosts: nothing is wrong with those that were built to be right, and reading less turns nothing into a pass.

``pytest --update-golden`` writes ``golden/checks/``; read the difference before it is kept.
"""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.check.judge import CheckData, CheckOptions, judge, read_check_data
from eidos.check.node_readings import NOT_VOLATILE, NodeReadings
from eidos.collectors import Sources, list_collectors, load_collector
from eidos.errors import EidosError, NotApplicable
from eidos.files.host import Host
from eidos.model.check_report import CheckReport
from eidos.model.condition_nodes import Unread
from eidos.model.finding import FAIL, PASS, UNKNOWN
from eidos.model.measurement import FAILED, TYPES, Outcome, Subtype
from eidos.model.recipe import Recipe
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.store import Store, shipped_store
from eidos.workflow import check_node, make_recipe, parse_snapshot
from tests.support.node_snapshots import HOSTS, NOW, tree_snapshot, without_collector, without_reading

NAMES = sorted(path.name for path in HOSTS.iterdir() if path.is_dir())
#: Tree → the faults that it was made with: GPUs without a driver, a link with 8 of 16 lanes, a specification of an older driver, a newer
#: kernel without the driver, firmware and a governor that differ.
FAULTS = {
    "rhel-9": {"gpu-not-in-driver", "driver-module-missing-next-boot", "rdma-mixed-firmware", "pcie-width-bus", "cpu-governor"},
    "ubuntu-22.04": {"cdi-of-other-driver"},
    "ubuntu-24.04-arm64-64k": {"gpu-not-in-driver"},
}

GOLDEN = Path(__file__).parent.parent / "golden" / "checks"


@lru_cache
def host(name: str) -> Snapshot:
    return tree_snapshot(HOSTS / name)


@lru_cache
def store() -> Store:
    return shipped_store()


@lru_cache
def recipe_of(name: str) -> Recipe:
    return make_recipe({"gpu": "h100", "intent": "training"}, snapshot=host(name), store=store(), explain=True)


@lru_cache
def data() -> CheckData:
    return read_check_data(store().check_data)


def statuses(report: CheckReport) -> dict[str, str]:
    return {finding.id: finding.status for finding in report.findings}


def summary(report: CheckReport) -> str:
    """What a golden has: all but what passed, a line each."""
    lines = [
        f"{finding.status} {finding.severity} {finding.id}" + (f": {finding.actual}" if finding.actual else "")
        for finding in report.findings
        if finding.status in (FAIL, UNKNOWN)
    ]
    counts = report.summary()
    return "\n".join([*lines, f"passed {counts['passed']}, not applicable {counts['not-applicable']}"]) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str, update_golden: bool) -> None:
    report = check_node(host(name), store=store(), options=CheckOptions(now=NOW))
    path = GOLDEN / f"{name}.txt"
    if update_golden:
        path.parent.mkdir(exist_ok=True)
        path.write_text(summary(report), encoding="utf-8")
    assert summary(report) == path.read_text(encoding="utf-8")


@pytest.mark.shared
def test_the_reference_snapshot(shared: Path, update_golden: bool) -> None:
    snapshot = parse_snapshot((shared / "snapshots" / "h100-eks.yaml").read_bytes())
    report = check_node(snapshot, store=store(), options=CheckOptions(now=NOW))
    path = GOLDEN / "reference.txt"
    lines = "".join(f"{f.status} {f.severity} {f.id}\n" for f in report.findings if f.status in (FAIL, UNKNOWN))
    if update_golden:
        path.write_text(lines, encoding="utf-8")
    assert lines == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_without_a_gpu_and_a_query_no_check_alarms(name: str) -> None:
    """None of these trees has another fault than it was made with, but for the recipe's."""
    report = check_node(host(name), store=store(), options=CheckOptions(now=NOW))
    ids = {check.id for check in data().checks}
    assert {finding.id for finding in report.findings if finding.id in ids and finding.status == FAIL} == FAULTS.get(name, set())


def judged(name: str, snapshot: Snapshot) -> dict[str, str]:
    recipe = recipe_of(name)
    return statuses(judge(snapshot, recipe, recipe.request, data(), CheckOptions(now=NOW)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outcome", ["", FAILED], ids=["not collected", "failed"])
def test_a_collector_less_turns_its_findings_to_unknown(name: str, outcome: str) -> None:
    before = judged(name, host(name))
    changed: set[str] = set()
    for collector in (each.name for each in host(name).collectors):
        after = judged(name, without_collector(host(name), collector, outcome))
        assert after.keys() == before.keys()
        for id, status in after.items():
            if id == "snapshot-complete":
                continue
            assert status in (before[id], UNKNOWN), (collector, id, before[id], status)
            changed.update({id} if status != before[id] else ())
        if collector == "os.sysctl":
            assert all(after[id] == UNKNOWN for id in after if id.startswith("OS.sysctl."))
    assert changed


@given(st.sampled_from(NAMES), st.data())
def test_a_reading_less_turns_exactly_its_findings_to_unknown(name: str, draw: st.DataObject) -> None:
    recipe = recipe_of(name)
    report = judge(host(name), recipe, recipe.request, data(), CheckOptions(now=NOW))
    evidence = {f.id: set(f.evidence) for f in report.findings if f.status in (PASS, FAIL) and not f.id.startswith("snapshot-")}
    paths = sorted({path for each in evidence.values() for path in each if not path.startswith(("query.", "node."))})
    readings = [f"{m.type}.{s.name}.{key}" for m in host(name).measurements for s in m.subtypes for key in s.data]
    path = draw.draw(st.sampled_from([path for path in paths if path in readings]))
    after = judged(name, without_reading(host(name), path))
    before = statuses(report)
    assert {id for id in after if after[id] != before[id] and not id.startswith("snapshot-")} == {
        id for id, each in evidence.items() if path in each
    }
    assert all(after[id] == UNKNOWN for id, each in evidence.items() if path in each)


SOURCES = [
    (name, str(path.relative_to(HOSTS / name)))
    for name in NAMES
    for path in sorted((HOSTS / name).rglob("*"))
    if path.is_file() and not path.is_symlink()
]


@pytest.mark.exhaustive(sample=5)
@pytest.mark.parametrize(("name", "source"), SOURCES)
def test_a_file_that_cannot_be_read_turns_nothing_into_a_pass_or_a_fault(name: str, source: str, tmp_path: Path) -> None:
    """A link to itself in its place, which not even root can read."""
    root = tmp_path / name
    shutil.copytree(HOSTS / name, root, symlinks=True)
    before = judged(name, tree_snapshot(root))
    (root / source).unlink()
    (root / source).symlink_to(Path(source).name)
    for id, status in judged(name, tree_snapshot(root)).items():
        assert status in (before[id], UNKNOWN) or id.startswith("snapshot-"), (id, before[id], status)


@pytest.mark.parametrize("name", NAMES)
def test_every_reading_belongs_to_the_collector_that_read_it(name: str) -> None:
    """A collector of another name would make what it did not read absent, or what is absent unread."""
    node = NodeReadings(host(name))
    for collector in list_collectors():
        sources = Sources(host=Host(str(HOSTS / name)), volatile=True)
        if collector.startswith("k8s."):
            continue
        try:
            subtypes = [part.name for part in load_collector(collector)(sources) if isinstance(part, Subtype)]
        except (NotApplicable, EidosError):
            continue
        wire = TYPES[collector.partition(".")[0]]
        for subtype in subtypes:
            assert [outcome.name for outcome in node._outcomes_of(f"{wire}.{subtype}.x", wire)] == [collector], subtype


def test_what_is_volatile_was_not_read_or_does_not_apply() -> None:
    """``taken without --volatile`` is for a host that has the thing."""
    node = NodeReadings(host("ubuntu-22.04"))
    with pytest.raises(Unread, match="taken without --volatile"):
        node.read("OS.sysctl.volatile./proc/sys/kernel/random/uuid")
    assert node.unread_instances("OS.memory.volatile.*-kib") == NOT_VOLATILE
    without = NodeReadings(replace(host("debian-12"), collectors=(Outcome("gpu", "skipped", 0.0, "no NVIDIA driver", "install it"),)))
    assert without.read("GPU.gpu-0.volatile.power.draw-watts") is None
    assert without.unread_instances("GPU.gpu-*.volatile.power.draw-watts") == ""
