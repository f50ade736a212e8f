"""What becomes of collectors: whatever they do, the document says it, and the others keep their results."""

from __future__ import annotations

import faulthandler
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from eidos import collector_runner
from eidos.collector_runner import run_collectors
from eidos.collectors import KERNEL_FILES, SERVICE_FILES, Sources, absent_services, batches, list_collectors, load_collector
from eidos.errors import EidosError, InvalidInput, NotApplicable, NotFound
from eidos.files.host import Host
from eidos.files.node_name import find_node_name
from eidos.model.measurement import ABSENT, SECRET, UNREADABLE, Gap, Outcome, Subtype
from eidos.model.snapshot import Snapshot
from eidos.process.child import Child
from eidos.workflow import SnapshotOptions, take_snapshot
from tests.support.waiting import AMPLE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.collectors import CollectFunction
    from eidos.model.measurement import Part

ALL = (
    *(f"k8s.{name}" for name in ("image", "node", "policy", "server", "topology")),
    "systemd",
    "os.grub",
    "os.kmod",
    "os.release",
    "os.sysctl",
    "gpu",
)


def fine(sources: Sources) -> Iterator[Part]:
    yield Subtype("fine", {"a": 1, "b": "x", "c": 1.5, "d": True})


def partly(sources: Sources) -> Iterator[Part]:
    yield Gap(UNREADABLE, "/proc/secret", "permission denied")
    yield Gap(ABSENT, "gpu-0/fabric", "not supported")
    yield Gap(SECRET, "token", "a token")
    yield Subtype("partly", {"a": 1})


def skipped(sources: Sources) -> NoReturn:
    raise NotApplicable("no such thing here", "never mind")


def failed(sources: Sources) -> NoReturn:
    raise NotFound("nothing there", "look elsewhere")


def late(sources: Sources) -> Iterator[Part]:
    yield Subtype("late", {"first": True})
    time.sleep(3600)


def stuck(sources: Sources) -> Iterator[Part]:
    time.sleep(3600)
    yield Subtype("never", {})


def crashing(sources: Sources) -> Iterator[Part]:
    faulthandler.disable()  # pytest's would print the test's own stack
    yield Subtype("crashing", {"before": True})
    os.abort()


def mistaken(sources: Sources) -> Iterator[Part]:
    yield Subtype("mistaken", {"x": 1 // len([])})


def take(table: dict[str, CollectFunction], **options: Any) -> Snapshot:
    fields: dict[str, Any] = {"collectors": tuple(table), "timeout_s": AMPLE_S, **options}
    return take_snapshot(SnapshotOptions(**fields), load_collector=table.__getitem__, environ={})


@pytest.fixture
def deadline_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the deadline pass once the runner has so many ``ends`` of collectors, ``subtypes`` and ``children``, and not before."""

    def passes_after(**events: int) -> None:
        counts, required = Counter[str](), Counter(events)

        def count(owner: Any, name: str, event: Callable[..., str]) -> None:
            original = getattr(owner, name)

            def counted(*arguments: Any) -> Any:
                counts[event(*arguments)] += 1
                return original(*arguments)

            monkeypatch.setattr(owner, name, counted)

        count(collector_runner._Run, "_add", lambda *_: "ends")
        count(collector_runner._Report, "add", lambda _, frame: "subtypes" if frame[0] == "subtype" else "others")
        count(collector_runner, "Child", lambda *_: "children")
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + (0 if required - counts else 2 * AMPLE_S), sleep=time.sleep)
        monkeypatch.setattr(collector_runner, "time", clock)
        monkeypatch.setattr(collector_runner, "STUCK_S", 0.1)

    return passes_after


def outcomes(shot: Snapshot) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in shot.collectors}


def test_every_kind_of_end_is_in_the_document(deadline_passes: Callable[..., None]) -> None:
    table: dict[str, CollectFunction] = {
        "k8s": skipped,
        "systemd": failed,
        "os.grub": fine,
        "os.kmod": partly,
        "os.release": crashing,
        "os.sysctl": mistaken,
        "gpu": late,
    }
    deadline_passes(ends=6, subtypes=4)
    shot = take(table)
    by_name = outcomes(shot)
    assert [outcome.name for outcome in shot.collectors] == list(table)
    assert {name: outcome.outcome for name, outcome in by_name.items()} == {
        "k8s": "skipped",
        "systemd": "failed",
        "os.grub": "ok",
        "os.kmod": "partial",
        "os.release": "partial",
        "os.sysctl": "failed",
        "gpu": "partial",
    }
    assert (by_name["k8s"].reason, by_name["k8s"].hint) == ("no such thing here", "never mind")
    assert (by_name["systemd"].reason, by_name["systemd"].hint) == ("nothing there", "look elsewhere")
    assert by_name["os.kmod"].unreadable == {"/proc/secret": "permission denied"}
    assert by_name["os.kmod"].absent == {"gpu-0/fabric": "not supported"}
    assert by_name["os.kmod"].withheld == 1
    assert "signal 6" in (by_name["os.release"].reason or "")
    assert "ZeroDivisionError" in (by_name["os.sysctl"].reason or "")
    assert "deadline" in (by_name["gpu"].reason or "") and "--timeout" in (by_name["gpu"].hint or "")
    assert [measurement.type for measurement in shot.measurements] == ["K8s", "SystemD", "OS", "GPU"]
    assert [s.name for s in shot.measurements[2].subtypes] == ["crashing", "fine", "partly"]
    assert [s.name for s in shot.measurements[3].subtypes] == ["late"]


def test_all_stuck_is_still_a_document_on_time(deadline_passes: Callable[..., None]) -> None:
    deadline_passes(children=4 + 5)
    began = time.monotonic()
    shot = take(dict.fromkeys(ALL, stuck))
    assert time.monotonic() - began < AMPLE_S
    assert {outcome.outcome for outcome in shot.collectors} == {"failed"}
    waited = [outcome.name for outcome in shot.collectors if "not started" in (outcome.reason or "")]
    assert waited[-2:] == ["k8s.server", "k8s.topology"], "five at a time"
    assert not any(name.startswith("os.") for name in waited), "not counting those of files, of which each had its try"


def test_a_stuck_collector_holds_up_none_of_its_batch_and_keeps_its_deadline(tmp_path: Path, deadline_passes: Callable[..., None]) -> None:
    def slow(sources: Sources) -> Iterator[Part]:
        yield Subtype("slow", {"process": os.getpid(), "first": True})
        until((tmp_path / "d").exists)
        yield Subtype("slow", {"process": os.getpid(), "last": True})

    def brief(name: str) -> CollectFunction:
        def collect(sources: Sources) -> Iterator[Part]:
            (tmp_path / name).touch()
            yield Subtype(name, {"process": os.getpid()})

        return collect

    table: dict[str, CollectFunction] = {"os.a": slow, "os.b": brief("b"), "os.c": stuck, "os.d": brief("d")}
    deadline_passes(ends=3)
    shot = take(table)
    assert {name: outcome.outcome for name, outcome in outcomes(shot).items()} == {
        "os.a": "ok",
        "os.b": "ok",
        "os.c": "failed",
        "os.d": "ok",
    }
    data = {subtype.name: subtype.data for subtype in shot.measurements[0].subtypes}
    assert data["slow"]["last"], "d did not wait for it"
    assert len({subtype["process"] for subtype in data.values()}) == 3
    assert outcomes(shot)["os.c"].reason == "no answer before the deadline"
    assert outcomes(shot)["os.c"].milliseconds > AMPLE_S * 1000 > outcomes(shot)["os.d"].milliseconds


@pytest.mark.parametrize("bad", [crashing, mistaken, failed, skipped])
def test_the_end_of_one_collector_is_not_that_of_its_batch(bad: CollectFunction) -> None:
    names = ["os.a", "os.b", "os.c", "os.d", "os.e"]
    shot = take(dict.fromkeys(names, fine) | {"os.b": bad, "os.d": bad})
    by_name = {name: outcome.outcome for name, outcome in outcomes(shot).items()}
    assert [by_name[name] for name in ("os.a", "os.c", "os.e")] == ["ok"] * 3
    assert by_name["os.b"] == by_name["os.d"] != "ok"


def test_collectors_that_only_read_files_share_two_children() -> None:
    def process(sources: Sources) -> Iterator[Part]:
        yield Subtype(f"process-{os.getpid()}", {"pid": os.getpid()})

    names = [name for name in list_collectors() if name.startswith("os.")]
    (measurement,) = take(dict.fromkeys(names, process)).measurements
    assert len(measurement.subtypes) <= len(names)
    assert len({subtype.name for subtype in measurement.subtypes}) == 2
    assert sorted(name for batch in batches(list_collectors()) for name in batch) == sorted(list_collectors())


def test_what_may_block_does_not_hold_up_the_files_of_the_kernel() -> None:
    (batch, *_) = batches(list_collectors())
    assert set(batch) == KERNEL_FILES


def test_something_else_can_be_done_while_collectors_run() -> None:
    inbound, outbound = os.pipe()

    def waiting(sources: Sources) -> Iterator[Part]:
        yield Subtype("waiting", {"heard": os.read(inbound, 1).decode()})

    with open(inbound, "rb"), open(outbound, "wb", buffering=0) as pipe:
        options = SnapshotOptions(collectors=("os.grub",), timeout_s=AMPLE_S)
        shot = take_snapshot(options, load_collector=lambda _: waiting, environ={}, meanwhile=lambda: pipe.write(b"y"))
        assert shot.measurements[0].subtypes[0].data == {"heard": "y"}

        def refused() -> None:
            raise InvalidInput("no such word")

        with pytest.raises(InvalidInput, match="no such word"):
            take_snapshot(options, load_collector=lambda _: waiting, environ={}, meanwhile=refused)


def test_collectors_of_absent_services_share_the_child_of_those_that_read_files() -> None:
    names = list_collectors()
    together = batches(names, frozenset(("gpu", "systemd")))
    assert sorted(name for batch in together for name in batch) == sorted(names)
    assert [batch for batch in together if batch[0].startswith("k8s")] == together[2:]
    assert together[1][-2:] == ["systemd", "gpu"]
    assert all(["gpu"] in batches(names, absent) for absent in (frozenset[str](), frozenset(("systemd",))))


def test_an_absent_service_that_turns_up_holds_nothing_up(tmp_path: Path, deadline_passes: Callable[..., None]) -> None:
    """A driver that is loaded in between: as slow as it may be, its collector is abandoned like any other."""
    table: dict[str, CollectFunction] = {"gpu": stuck, "os.a": fine, "os.b": crashing, "systemd": late}
    deadline_passes(ends=2, subtypes=3)
    sources = Sources(Host(str(tmp_path)), deadline=time.monotonic() + AMPLE_S)
    results = run_collectors(tuple(table), sources, table.__getitem__, False, [], frozenset(("gpu", "systemd")))
    assert {name: result[0].outcome for name, result in results.items()} == {
        "gpu": "failed",
        "os.a": "ok",
        "os.b": "partial",
        "systemd": "partial",
    }
    assert "deadline" in (results["gpu"][0].reason or "")


@pytest.mark.parametrize("name", sorted(SERVICE_FILES))
def test_a_service_is_absent_only_without_all_of_its_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [str(tmp_path / str(number)) for number in range(3)]
    monkeypatch.setitem(SERVICE_FILES, name, tuple(files))
    assert name in absent_services()
    assert (name in absent_services("/host")) is (name == "gpu")  # whether systemd runs there is not known without looking
    for file in files:
        os.symlink("missing", file)
        assert name not in absent_services()
        os.unlink(file)


def test_each_collector_may_send_as_much_as_a_child() -> None:
    def large(name: str) -> CollectFunction:
        return lambda sources: iter([Subtype(name, {"x": "y" * (40 << 20)})])

    shot = take({"os.a": large("a"), "os.b": large("b")})
    assert [outcome.outcome for outcome in shot.collectors] == ["ok", "ok"]


def test_the_name_is_known_although_a_collector_is_stuck(tmp_path: Path, deadline_passes: Callable[..., None]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hostname").write_text("gpu-07\n")
    deadline_passes(ends=1)
    shot = take({"gpu": stuck, "os.grub": fine}, root=str(tmp_path))
    assert outcomes(shot)["gpu"].outcome == "failed"
    assert shot.node == "gpu-07"


def test_what_cannot_be_started_waits_for_a_process_to_end(monkeypatch: pytest.MonkeyPatch, deadline_passes: Callable[..., None]) -> None:
    """A container's limit on processes (pids.max): what a fork raises then is EAGAIN."""
    fork, running = os.fork, set[int]()

    def limited() -> int:
        running.difference_update([pid for pid in running if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)])
        if len(running) >= 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        if pid := fork():
            running.add(pid)
        return pid

    monkeypatch.setattr(os, "fork", limited)
    reap = Child.reap

    def reaped(child: Child) -> bool:
        running.discard(child.pid)
        return reap(child)

    monkeypatch.setattr(Child, "reap", reaped)
    table: dict[str, CollectFunction] = {**dict.fromkeys(ALL, fine), "gpu": stuck}
    deadline_passes(ends=len(ALL) - 1)
    shot = take(table)
    assert {name: outcome.outcome for name, outcome in outcomes(shot).items()} == dict.fromkeys(ALL, "ok") | {"gpu": "failed"}
    monkeypatch.undo()
    monkeypatch.setattr(os, "fork", lambda: os.close(-1))
    shot = take(table)
    assert {outcome.reason for outcome in shot.collectors} == {"cannot start a process: bad file descriptor"}


def test_five_run_at_a_time(tmp_path: Path) -> None:
    def counted(sources: Sources) -> Iterator[Part]:
        mark = tmp_path / str(os.getpid())
        mark.touch()
        running = len(os.listdir(tmp_path))
        time.sleep(0.1)
        running = max(running, len(os.listdir(tmp_path)))
        mark.unlink()
        yield Subtype(f"run-{os.getpid()}", {"running": running})

    names = [f"k8s.{number}" for number in range(8)] + ["gpu", "systemd", "os.a"]
    shot = take(dict.fromkeys(names, counted))
    counts = [int(subtype.data["running"]) for m in shot.measurements for subtype in m.subtypes]
    assert len(counts) == len(names)
    assert max(counts) <= 5


def test_fail_fast_raises_the_first_failure_and_stops_the_rest() -> None:
    began = time.monotonic()
    with pytest.raises(EidosError, match=r"systemd: nothing there") as caught:
        take({"systemd": failed, "gpu": stuck, "os.grub": fine}, fail_fast=True, timeout_s=600.0)
    assert caught.value.hint == "look elsewhere"
    assert time.monotonic() - began < AMPLE_S


def test_fail_fast_does_not_mind_what_is_skipped_or_partial() -> None:
    shot = take({"systemd": skipped, "os.kmod": partly}, fail_fast=True)
    assert [outcome.outcome for outcome in shot.collectors] == ["skipped", "partial"]


def test_subtypes_of_one_name_are_laid_together() -> None:
    def twice(sources: Sources) -> Iterator[Part]:
        yield Subtype("smi", {"driver": "1"}, {"driver": "why"})
        yield Subtype("smi", {"count": 8}, {"count": "because"})

    (measurement,) = take({"gpu": twice}).measurements
    assert measurement.subtypes == (Subtype("smi", {"driver": "1", "count": 8}, {"driver": "why", "count": "because"}),)


def test_volatile_readings_only_on_request() -> None:
    def both(sources: Sources) -> Iterator[Part]:
        yield Subtype("gpu-0", {"uuid": "GPU-1"})
        yield Subtype("gpu-0.volatile", {"temperature": 40})

    assert [s.name for s in take({"gpu": both}).measurements[0].subtypes] == ["gpu-0"]
    assert [s.name for s in take({"gpu": both}, volatile=True).measurements[0].subtypes] == ["gpu-0", "gpu-0.volatile"]


def test_values_that_no_document_holds_are_the_collectors_fault() -> None:
    def odd(sources: Sources) -> Iterator[Part]:
        value: Any = object()
        yield Subtype("odd", {"x": value})

    (outcome,) = take({"gpu": odd}).collectors
    assert outcome.outcome == "failed"


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_leaves_no_time_is_refused(timeout: float) -> None:
    with pytest.raises(InvalidInput):
        take({"gpu": fine}, timeout_s=timeout)


def test_the_order_of_all_collectors() -> None:
    """In the order of their types, then by name; a collector that is added need not be listed here."""
    assert tuple(name for name in list_collectors() if name in ALL) == ALL
    for name in list_collectors():
        assert callable(load_collector(name))
    with pytest.raises(NotFound, match=r"gpuu"):
        load_collector("gpuu")


def test_node_name_comes_from_kubernetes_first_then_from_the_host(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    captured = Host(str(tmp_path))
    assert find_node_name(captured, {}) == ""
    (tmp_path / "etc/hostname").write_text("gpu-07\n")
    assert find_node_name(captured, {}) == "gpu-07"
    assert find_node_name(captured, {"KUBERNETES_NODE_NAME": "node-b"}) == "node-b"
    assert find_node_name(captured, {"NODE_NAME": "node-a", "KUBERNETES_NODE_NAME": "node-b"}) == "node-a"
    assert find_node_name(Host("/"), {}) in {os.uname().nodename, Path("/etc/hostname").read_text().strip()}


def test_nothing_of_a_snapshot_is_left_running(deadline_passes: Callable[..., None]) -> None:
    """Every process that a snapshot began has ended or been killed when it returns."""

    def pid(sources: Sources) -> Iterator[Part]:
        yield Subtype("pid", {"pid": os.getpid()})
        time.sleep(3600)

    deadline_passes(subtypes=2)
    shot = take({"gpu": pid, "systemd": pid})
    pids = [int(s.data["pid"]) for m in shot.measurements for s in m.subtypes]
    assert len(pids) == 2

    def is_gone(number: int) -> bool:
        try:
            return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    for number in pids:
        until(is_gone, number)
