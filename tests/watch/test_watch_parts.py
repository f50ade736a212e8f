"""What is told of a change, and to whom: the program of --on-change, the marks of a node, the metrics; and children that linger."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from eidos import log
from eidos.cli.cluster_options import CLUSTER, connect
from eidos.cli.user_config import resolve_options
from eidos.collectors.k8s_node import node_readings
from eidos.errors import InvalidInput, KubeError
from eidos.http_wire.messages import Request
from eidos.model.check_report import CheckReport
from eidos.model.finding import CRITICAL, ERROR, FAIL, PASS, UNKNOWN, WARNING, Finding
from eidos.model.measurement import FAILED, OK, Outcome
from eidos.process.child import Child, reap_children
from eidos.server.deadline import Deadline
from eidos.server.metrics_listener import MetricsApplication
from eidos.server.request_context import RequestContext
from eidos.watch.change_program import OUTPUT_LIMIT_BYTES, ChangeProgram, require_program
from eidos.watch.node_marks import HEARTBEAT_S, MAXIMUM_NAMES, MINIMUM_INTERVAL_S, NodeMarks, apply_in_child
from eidos.watch.node_watch import Cycle
from eidos.watch.watch_metrics import TEXT_LIMIT_BYTES, SharedText, WatchMetrics
from tests.fakes.apiserver import ApiServer
from tests.support.waiting import AMPLE_S, until

TIME = "2026-11-29T06:00:00Z"


def report(**statuses: tuple[str, str]) -> CheckReport:
    """A report of findings: id → status and severity."""
    findings = tuple(Finding(id, id, status, severity, "gpu") for id, (status, severity) in statuses.items())
    return CheckReport(TIME, "1.2.3", "gpu-07", findings=findings)


# ---- the program of --on-change ----


def script(folder: Path, text: str) -> str:
    path = folder / "on-change"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def logged() -> Any:
    lines: list[tuple[str, str]] = []
    log.divert(lambda level, message, fields: lines.append((level, message)))
    yield lines
    log.divert(None)


def test_the_program_gets_the_line(tmp_path: Path, logged: list[tuple[str, str]]) -> None:
    assert ChangeProgram(script(tmp_path, f"cat > {tmp_path}/line"), AMPLE_S).run('{"node": "gpü"}\n')
    assert (tmp_path / "line").read_text(encoding="utf-8") == '{"node": "gpü"}\n'
    assert logged == []


@pytest.mark.parametrize(
    ("text", "timeout_s", "why"),
    [
        ("echo no route >&2; exit 3", AMPLE_S, "exit status 3: no route"),
        ("kill -9 $$", AMPLE_S, "exit status 137"),
        ("exec sleep 1000", 0.2, "stopped after 0.2 s"),
        ("exec yes", AMPLE_S, "stopped: it printed more than 1 MiB"),
    ],
)
def test_a_program_that_fails_is_logged(tmp_path: Path, logged: list[tuple[str, str]], text: str, timeout_s: float, why: str) -> None:
    path = script(tmp_path, text)
    assert not ChangeProgram(path, timeout_s).run("{}\n")
    assert logged == [("warn", f"--on-change {path}: {why}")]
    assert OUTPUT_LIMIT_BYTES == 1 << 20


def test_a_program_that_went_away_is_logged(tmp_path: Path, logged: list[tuple[str, str]]) -> None:
    assert not ChangeProgram(str(tmp_path / "gone"), AMPLE_S).run("{}\n")
    assert logged == [("warn", f"--on-change {tmp_path}/gone: cannot run it: no such file or directory")]


def test_a_program_that_cannot_be_run_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert require_program("sh").endswith("/sh")
    plain = tmp_path / "plain"
    plain.write_text("", encoding="utf-8")
    for name, why in ((str(plain), "not executable"), (str(tmp_path / "none"), "no such program"), ("no-such-program", "no such program")):
        with pytest.raises(InvalidInput, match=re.escape(f"--on-change: cannot run {name!r}: {why}")):
            require_program(name)
    plain.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    with pytest.raises(InvalidInput, match="cannot run 'plain': no such program"):
        require_program("plain")
    assert require_program("./plain") == "./plain"


# ---- marks ----


class Marked:
    """A node whose marks are recorded."""

    def __init__(self, *kinds: str, severity: str = ERROR) -> None:
        self.now = 1000.0
        self.applied: list[tuple[str, dict[str, Any]]] = []
        self.failure: KubeError | None = None
        self.marks = NodeMarks("gpu-07", kinds, severity, self.apply, lambda: self.now)

    def apply(self, path: str, document: dict[str, Any]) -> None:
        if self.failure:
            raise self.failure
        self.applied.append((path, document))

    def update(self, after_s: float = MINIMUM_INTERVAL_S, /, **statuses: tuple[str, str]) -> list[dict[str, Any]]:
        """What is applied for a report ``after_s`` seconds later."""
        self.now += after_s
        before = len(self.applied)
        self.marks.update(report(**statuses))
        return [document for _, document in self.applied[before:]]


def labels(documents: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [document["metadata"].get("labels", {}) for document in documents]


def test_a_label_is_there_while_a_finding_fails() -> None:
    node = Marked("label")
    assert labels(node.update(a=(PASS, ERROR))) == [{}], "what an earlier run left behind is removed"
    assert node.update(a=(PASS, ERROR)) == []
    assert labels(node.update(a=(FAIL, ERROR), b=(FAIL, WARNING))) == [{"eidos.dgxc.io/findings": "error"}]
    assert labels(node.update(a=(FAIL, ERROR), b=(FAIL, CRITICAL))) == [{"eidos.dgxc.io/findings": "critical"}]
    assert node.update(a=(UNKNOWN, ERROR), b=(UNKNOWN, CRITICAL)) == [], "what is unknown is not known to be gone"
    assert labels(node.update(a=(PASS, ERROR), b=(PASS, CRITICAL), c=(UNKNOWN, CRITICAL))) == [{}]
    assert {path for path, _ in node.applied} == {"/api/v1/nodes/gpu-07"}


def test_a_condition_says_which_findings_and_since_when() -> None:
    node = Marked("condition", severity=WARNING)
    assert ["status" in document for document in node.update()] == [False]
    (document,) = node.update(b=(FAIL, WARNING), a=(FAIL, ERROR), c=(FAIL, "info"))
    (condition,) = document["status"]["conditions"]
    assert condition == {
        "type": "EidosFindings",
        "status": "True",
        "reason": "ErrorFindings",
        "message": "eidos check: a, b",
        "lastTransitionTime": TIME,
        "lastHeartbeatTime": TIME,
    }
    assert node.update(HEARTBEAT_S - 1, b=(FAIL, WARNING), a=(FAIL, ERROR)) == []
    assert len(node.update(1, b=(FAIL, WARNING), a=(FAIL, ERROR))) == 1, "a heartbeat"
    assert ["status" in document for document in node.update()] == [False]
    many = {f"f{number:02}": (FAIL, ERROR) for number in range(MAXIMUM_NAMES + 2)}
    assert node.update(MINIMUM_INTERVAL_S, **many)[0]["status"]["conditions"][0]["message"].endswith("f08, f09 and 2 more")
    assert {path for path, _ in node.applied} == {"/api/v1/nodes/gpu-07/status"}


def test_a_finding_that_comes_and_goes_does_not_keep_the_api_server_busy() -> None:
    node = Marked("label")
    node.update(a=(PASS, ERROR))
    for number in range(1, 60):
        node.update(1, a=(FAIL if number % 2 else PASS, ERROR))
    assert len(node.applied) <= 1 + 60 / MINIMUM_INTERVAL_S
    node.update(a=(FAIL, ERROR))
    assert labels([node.applied[-1][1]]) == [{"eidos.dgxc.io/findings": "error"}], "and in the end it is right"


def test_a_mark_that_could_not_be_set_is_tried_again() -> None:
    node = Marked("label")
    node.failure = KubeError("forbidden", status=403)
    with pytest.raises(KubeError):
        node.update(a=(FAIL, ERROR))
    assert node.update(1, a=(FAIL, ERROR)) == [], "not at once"
    node.failure = None
    assert labels(node.update(a=(FAIL, ERROR))) == [{"eidos.dgxc.io/findings": "error"}]


@pytest.mark.parametrize("kind", ["label", "condition"])
def test_what_others_set_stays(kind: str, tmp_path: Path) -> None:
    """Against an API server: what eidos applied is removed, what others own is not."""
    ready = {"type": "Ready", "status": "True"}
    node = {"metadata": {"name": "gpu-07", "labels": {"pool": "gpu"}}, "status": {"conditions": [ready]}}
    path, times = "/api/v1/nodes/gpu-07", iter(range(0, 10000, 100))
    with ApiServer() as server:
        server.put(path, {"apiVersion": "v1", "kind": "Node", **node}, "kubelet")
        values = resolve_options(CLUSTER, {}, {})
        values["kubeconfig"] = str(server.kubeconfig(tmp_path))
        apply = apply_in_child(lambda deadline: connect(values, deadline), AMPLE_S)
        marks = NodeMarks("gpu-07", [kind], ERROR, apply, lambda: next(times))

        def marked() -> tuple[dict[str, str], list[str]]:
            tree = server.get(path)
            return tree["metadata"]["labels"], [condition["type"] for condition in tree["status"]["conditions"]]

        marks.update(report(a=(FAIL, ERROR)))
        more = ({"eidos.dgxc.io/findings": "error"}, []) if kind == "label" else ({}, ["EidosFindings"])
        assert marked() == ({"pool": "gpu", **more[0]}, ["Ready", *more[1]])
        marks.update(report(a=(PASS, ERROR)))
        assert marked() == ({"pool": "gpu"}, ["Ready"])
        assert {(verb, resource) for verb, _, resource, _ in server.used()} == {("patch", "nodes" if kind == "label" else "nodes/status")}


def test_the_condition_that_eidos_sets_is_no_reading() -> None:
    """What it found would be a finding then, and the condition would never go."""
    conditions = [{"type": name, "status": "True"} for name in ("Ready", "EidosFindings")]
    data, _ = node_readings({"metadata": {"name": "gpu-07"}, "status": {"conditions": conditions}})
    assert data == {"source-node": "gpu-07", "condition.Ready": "True"}


# ---- metrics ----


def test_a_reader_gets_one_text_and_no_parts_of_two() -> None:
    shared, faults, is_over = SharedText(4096), [], threading.Event()

    def read() -> None:
        while not is_over.is_set():
            text = shared.read()
            if len(set(text)) > 1:
                faults.append(text)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(3000):
        shared.write("abcdefg"[number % 7] * (1 + number % 4096))
    is_over.set()
    reader.join(AMPLE_S)
    assert faults == []


def metrics() -> WatchMetrics:
    return WatchMetrics(("gpu", "os.kmod"), 60.0, 100.0)


def test_findings_and_health_are_exported() -> None:
    watch = metrics()
    assert not watch.is_ready()
    outcomes = (Outcome("gpu", FAILED, 1500.0, "why"), Outcome("os.kmod", OK, 2.0))
    watch.record_cycle(Cycle(report(a=(FAIL, ERROR), b=(PASS, WARNING)), outcomes=outcomes, stuck=2), 1.25)
    watch.record_cycle(Cycle(report(a=(UNKNOWN, ERROR)), failure="why"), 2.5)
    watch.record_skipped(3)
    watch.record_program_failure()
    watch.record_mark_failure()
    samples = dict(line.rsplit(" ", 1) for line in watch.text().splitlines() if not line.startswith("#"))
    assert watch.is_ready()
    assert samples['eidos_finding{check="a",severity="error",status="unknown"}'] == "1"
    assert not [name for name in samples if 'status="fail"' in name]
    expected = {
        "eidos_watch_cycles_total": "2",
        "eidos_watch_cycle_failures_total": "1",
        "eidos_watch_cycles_skipped_total": "3",
        "eidos_watch_program_failures_total": "1",
        "eidos_watch_mark_failures_total": "1",
        "eidos_watch_cycle_duration_seconds": "2.5",
        "eidos_watch_interval_seconds": "60",
        'eidos_collector_success{collector="gpu"}': "0",
        'eidos_collector_success{collector="os.kmod"}': "1",
    }
    assert expected.items() <= samples.items()
    assert float(samples["eidos_watch_last_success_timestamp_seconds"]) <= float(samples["eidos_watch_last_cycle_timestamp_seconds"])
    assert {"process_resident_memory_bytes", "process_open_fds"} <= samples.keys()


def test_findings_that_do_not_fit_are_not_shown_as_they_were(logged: list[tuple[str, str]]) -> None:
    watch = metrics()
    watch.record_cycle(Cycle(report(a=(FAIL, ERROR))), 1.0)
    watch.record_cycle(Cycle(report(**{"b" * TEXT_LIMIT_BYTES: (FAIL, ERROR)})), 1.0)
    assert "eidos_finding" not in watch.text()
    assert [level for level, _ in logged] == ["error"]


class Scraper:
    """What asks the application."""

    def __init__(self, watch: WatchMetrics, parent: int = os.getppid()) -> None:
        self.orphaned = 0
        self.application = MetricsApplication(watch, parent, self.note)

    def note(self) -> None:
        self.orphaned += 1

    def ask(self, target: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
        request = Request(method, target, target, "", {}, b"", "192.0.2.1", "192.0.2.1", "0b0e7f4e-7f3c-4a8e-9c53-0d6f4f4f8b1a")
        response = self.application.answer(RequestContext(request, Deadline(time.monotonic() + AMPLE_S)))
        return response.status, response.body, dict(response.headers)


def test_the_routes() -> None:
    watch = metrics()
    client = Scraper(watch)
    assert client.ask("/ready")[0] == 503
    assert client.ask("/health")[:2] == (200, b'{"status": "healthy"}\n')
    watch.record_cycle(Cycle(report(a=(FAIL, ERROR))), 1.0)
    assert client.ask("/ready")[0] == 200
    status, body, headers = client.ask("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'eidos_finding{check="a",severity="error",status="fail"} 1\n' in body
    assert client.ask("/metrics", "POST")[0] == 405
    assert client.ask("/v1/recipe")[0] == 404
    watch.expect_cycle(-1000.0)
    assert client.ask("/health")[0] == 503, "no cycle ends any more"
    client.application.end_turn(0.0)
    assert client.orphaned == 0
    alone = Scraper(watch, parent=-1)
    alone.application.end_turn(0.0)
    assert alone.orphaned == 1


# ---- children ----


def test_children_that_were_let_go_of_are_counted_until_they_end() -> None:
    def produce() -> Any:
        time.sleep(1000)
        return ()

    child = Child(produce)
    os.kill(child.pid, signal.SIGSTOP)
    child.kill = lambda: None  # type: ignore[method-assign]  # as if the kernel did not let go of it
    child.close()
    assert reap_children() >= 1
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: reap_children() == 0)
    assert child.reap()


def test_children_of_others_are_collected() -> None:
    """What a killed program leaves behind becomes a child of PID 1, which the program is in its container."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    until(lambda: reap_children() == 0 and not Path(f"/proc/{pid}").exists())
