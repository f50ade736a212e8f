"""What is counted: the text as promtool reads it, sums over processes, and the lines of the access log."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eidos import log
from eidos.http_wire.messages import Request, Response
from eidos.model.bundle import Bundle, ComponentResult
from eidos.server.access_log import FEW_LINES, SAMPLE, AccessLog
from eidos.server.request_metrics import METHODS, ServerMetrics
from eidos.telemetry.metrics import DURATION_BUCKETS_S, MetricRegistry
from eidos.workflow import make_recipe
from tests.support.program import ROOT, eidos
from tests.support.promtool import check_metrics

ROUTES = {"/v1/recipe": ("GET", "POST"), "/v1/bundle": ("POST",), "/health": ("GET",), "/metrics": ("GET",)}
ID = "0b0e7f4e-7f3c-4a8e-9c53-0d6f4f4f8b1a"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


HOST = next(path for path in sorted((ROOT / "tests" / "hosts").iterdir()) if (path / "proc" / "cmdline").exists())


def server(workers: int = 0, **more: Any) -> ServerMetrics:
    return ServerMetrics(ROUTES, workers=workers, rules=("base", "gpu-h100"), bundlers=("gpu-operator",), tokens=lambda: 12.5, **more)


def request(**headers: str) -> Request:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    target = "/v1/recipe?gpu=h100&secret=hunter2"
    return Request("GET", target, "/v1/recipe", "gpu=h100&secret=hunter2", fields, b"body!", "192.0.2.7", "127.0.0.1", ID)


def answer(status: int = 200, route: str = "/v1/recipe", body: bytes = b"12345") -> Response:
    return Response(status, (), body, route)


def value(text: str, series: str) -> float:
    match = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert match, f"no {series} in:\n{text}"
    return float(match[1])


def in_child(work: Callable[[], object]) -> None:
    """Run ``work`` in a forked process, as a worker would."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


# ---- the text ----


def test_promtool_has_nothing_to_say() -> None:
    metrics = server(workers=2)
    metrics.connections_max.set(100)
    for status in (200, 304, 404, 418):
        metrics.on_response("GET", answer(status), 0.002, request())
    metrics.recipe.record_recipe(make_recipe({"gpu": "h100"}), 0.003)
    metrics.bundle.record_bundle(
        Bundle({"a": b"x"}, (ComponentResult("gpu-operator", ("a",), 1, 2.0), ComponentResult("of-my-own", error="no")))
    )
    check_metrics(metrics.text())


def test_every_name_is_there() -> None:
    metrics = server(workers=1)
    metrics.connections_max.set(100)
    metrics.on_response("GET", answer(), 0.002, request())
    metrics.bundle.record_bundle(Bundle({"a": b"xyz"}, (ComponentResult("gpu-operator", ("a",), 3, 2.0),)))
    text = metrics.text()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert names >= {
        *("eidos_http_requests_total", "eidos_http_request_duration_seconds", "eidos_http_requests_in_flight"),
        *("eidos_rate_limit_rejects_total", "eidos_panic_recoveries_total", "eidos_recipe_built_duration_seconds"),
        *("eidos_recipe_rule_match_total", "eidos_recipe_cache_hits_total", "eidos_recipe_cache_misses_total"),
        *("bundler_make_duration_seconds", "bundler_make_total", "bundler_files_generated_total", "bundler_bytes_generated_total"),
        *("bundler_validation_failures_total", "eidos_http_connections", "eidos_http_connections_max", "eidos_http_queue_depth"),
        *("eidos_worker_restarts_total", "eidos_rate_limit_tokens", "eidos_build_info", "process_cpu_seconds_total"),
        *("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds", "process_max_fds"),
        *("process_start_time_seconds", "process_threads", "eidos_worker_resident_memory_bytes"),
    }
    assert value(text, "eidos_rate_limit_tokens") == 12.5
    assert value(text, 'bundler_make_total{bundler_type="gpu-operator",result="success"}') == 1
    assert value(text, "bundler_bytes_generated_total") == 3


def test_names_that_are_none_of_the_fixed_ones_share_a_series() -> None:
    metrics = server()
    for path in range(200):
        metrics.on_response(f"BREW{path}", answer(404, f"/nowhere/{path}"), 0.001)
    text = metrics.text()
    assert value(text, 'eidos_http_requests_total{method="other",route="other",status="404"}') == 200
    assert text.count("eidos_http_requests_total{") == 1
    assert "nowhere" not in text


def test_times_are_those_of_operations() -> None:
    """Whatever a client sends, there are as many series as operations, and one: a histogram has a sample for each bucket of each."""
    metrics = server()
    sent = [(method, path) for method in (*METHODS, "BREW") for path in (*ROUTES, "/nowhere")]
    for method, path in sent:
        metrics.on_response(method, answer(400, path), 0.002, request())
    text = metrics.text()
    name = "eidos_http_request_duration_seconds"
    assert text.count(f"{name}_count{{") == 6
    assert value(text, f'{name}_count{{method="GET",route="/health"}}') == 2, "HEAD is GET"
    assert value(text, f'{name}_count{{method="POST",route="/v1/bundle"}}') == 1
    assert value(text, f'{name}_count{{method="other",route="other"}}') == len(sent) - 8
    assert text.count(f"{name}_bucket{{") == 6 * (len(DURATION_BUCKETS_S) + 1)
    assert {0.1, 0.2, 30.0} <= set(DURATION_BUCKETS_S)
    assert len(DURATION_BUCKETS_S) <= 8


def test_a_label_takes_only_its_values() -> None:
    metrics = MetricRegistry()
    counter = metrics.counter("a_total", "A.", kind=("x",))
    metrics.allocate_slots()
    for values in ((), ("y",), ("x", "x")):
        with pytest.raises(ValueError, match="a_total has no series"):
            counter.increment(*values)
    with pytest.raises(ValueError, match="declared twice or after the first use"):
        metrics.counter("b_total", "B.")


def test_what_stands_in_a_label_is_escaped() -> None:
    metrics = MetricRegistry()
    metrics.counter("a_total", "Back\\slash\nline.", kind=('q"u\\o\nte',))
    metrics.allocate_slots()
    text = metrics.render_text()
    assert text == '# HELP a_total Back\\\\slash\\nline.\n# TYPE a_total counter\na_total{kind="q\\"u\\\\o\\nte"} 0\n'
    check_metrics(text)


def test_buckets_are_cumulative_and_agree_with_the_count() -> None:
    metrics = MetricRegistry()
    histogram = metrics.histogram("a_seconds", "A.", (0.1, 1.0))
    metrics.allocate_slots()
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    lines = metrics.render_text().splitlines()[2:]
    assert lines[:3] == ['a_seconds_bucket{le="0.1"} 2', 'a_seconds_bucket{le="1"} 3', 'a_seconds_bucket{le="+Inf"} 4']
    assert lines[3:] == ["a_seconds_sum 7.65", "a_seconds_count 4"]


# ---- several processes ----


def test_workers_add_up_and_a_successor_never_counts_back() -> None:
    metrics = server(workers=2)

    def work(slot: int, times: int) -> None:
        metrics.use(slot)
        for _ in range(times):
            metrics.on_response("GET", answer(), 0.001)
        metrics.in_flight.set(times)
        metrics.connections.set(times)

    series = 'eidos_http_requests_total{method="GET",route="/v1/recipe",status="200"}'
    metrics.use(2)
    in_child(lambda: work(0, 3))
    in_child(lambda: work(1, 4))
    assert value(metrics.text(), series) == 7
    assert value(metrics.text(), "eidos_http_connections") == 7
    metrics.forget(0)
    assert value(metrics.text(), "eidos_http_connections") == 4, "those of the dead worker are gone"
    in_child(lambda: work(0, 5))
    assert value(metrics.text(), series) == 12
    assert value(metrics.text(), "eidos_http_requests_in_flight") == 9
    assert value(metrics.text(), "eidos_build_info" + re.findall(r"eidos_build_info(\{.*\})", metrics.text())[0]) == 1


def test_processor_time_does_not_shrink_when_a_worker_ends() -> None:
    metrics = server(workers=1)
    metrics.use(1)
    last, totals = 0.0, []

    def burn() -> None:
        metrics.use(0)
        end = sum(os.times()[:2]) + 0.2
        while sum(os.times()[:2]) < end:
            pass
        metrics.text()

    for _ in range(3):
        in_child(burn)
        totals.append(value(metrics.text(), "process_cpu_seconds_total"))
        assert totals[-1] >= last + 0.15
        last = totals[-1]


def test_threads_of_a_worker_lose_no_count() -> None:
    metrics = MetricRegistry()
    counter = metrics.counter("a_total", "A.")
    metrics.allocate_slots()

    def count() -> None:
        for _ in range(20_000):
            counter.increment()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.render_text().splitlines()[-1] == "a_total 80000"


# ---- one-shot commands ----


def test_a_file_for_node_exporter(tmp_path: Path) -> None:
    file, recipe = tmp_path / "eidos.prom", str(tmp_path / "recipe.yaml")
    assert eidos("snapshot", "--only", "os,gpu", "--root", str(HOST), "--metrics-file", str(file)).status == 0
    text = file.read_text()
    check_metrics(text)
    assert {value(text, f'eidos_collector_success{{collector="os.{name}"}}') for name in ("grub", "kmod", "release")} == {1}
    assert value(text, 'eidos_collector_duration_seconds{collector="os.sysctl"}') >= 0
    assert value(text, 'eidos_command_success{command="snapshot"}') == 1
    assert "process_" not in text, "node_exporter has those of its own"
    assert file.stat().st_mode & 0o044, "another user reads it"
    assert os.listdir(tmp_path) == ["eidos.prom"]
    assert eidos("recipe", "--gpu", "h100", "-o", recipe, env={"EIDOS_METRICS_FILE": str(file)}).status == 0
    text = file.read_text()
    check_metrics(text)
    assert value(text, "eidos_recipe_built_duration_seconds_count") == 1
    assert value(text, 'eidos_recipe_rule_match_total{rule="base.yaml: any"}') == 1
    done = eidos("bundle", "-f", recipe, "-o", str(tmp_path / "bundle"), "-b", "cert-manager", "--metrics-file", str(file))
    assert done.status == 0, done.err
    text = file.read_text()
    check_metrics(text)
    assert value(text, 'bundler_make_total{bundler_type="cert-manager",result="success"}') == 1
    assert value(text, "bundler_files_generated_total") == sum(len(files) for _, _, files in os.walk(tmp_path / "bundle"))


def test_a_failed_run_is_recorded_too(tmp_path: Path) -> None:
    file, recipe = tmp_path / "eidos.prom", str(tmp_path / "recipe.yaml")
    assert eidos("recipe", "--gpu", "h1OO", "--metrics-file", str(file)).status == 2
    assert value(file.read_text(), 'eidos_command_success{command="recipe"}') == 0
    eidos("recipe", "--gpu", "h100", "-o", recipe)
    assert eidos("bundle", "-f", recipe, "-o", str(tmp_path / "b"), "--set", "nobody:a=b", "--metrics-file", str(file)).status == 2
    assert value(file.read_text(), "bundler_validation_failures_total") == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("metrics.txt", "does not end in .prom"),
        ("-", "does not end in .prom"),
        ("/nowhere/a.prom", "--metrics-file: cannot write /nowhere/a.prom"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_the_work(path: str, words: str) -> None:
    done = eidos("recipe", "--metrics-file", path)
    assert done.status in (1, 2)
    assert done.out == ""
    assert words in done.err


# ---- the access log ----


@pytest.fixture
def loud() -> Iterator[None]:
    log.configure("info", "json")
    yield
    log.configure()


class Log:
    """An access log that writes into a pipe."""

    def __init__(self, **more: Any) -> None:
        self.end, descriptor = os.pipe()
        self.access_log = AccessLog(descriptor=descriptor, **more)
        self.descriptor = descriptor

    def lines(self) -> list[dict[str, object]]:
        self.access_log.flush()
        os.close(self.descriptor)
        with open(self.end, "rb") as file:
            return [json.loads(line) for line in file.read().splitlines()]


def test_a_line_has_the_client_and_the_route_but_no_parameters(loud: None) -> None:
    out = Log()
    server(access_log=out.access_log).on_response("GET", answer(), 0.0125, request(traceparent=PARENT), body_bytes=3)
    (line,) = out.lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("time")))
    assert line == {
        "level": "info",
        "msg": "request",
        "request_id": ID,
        "trace_id": PARENT[3:35],
        "method": "GET",
        "route": "/v1/recipe",
        "status": 200,
        "bytes": 3,
        "duration_ms": 12.5,
    }


def test_without_a_trace_the_request_is_the_trace(loud: None) -> None:
    out = Log()
    metrics = server(access_log=out.access_log)
    metrics.on_response("GET", answer(), 0.001, request())
    metrics.on_response("what?", answer(400, "", b"{}"), 0.001, request_id=ID)
    first, second = out.lines()
    assert first["trace_id"] == second["trace_id"] == ID.replace("-", "")
    assert (second["method"], second["route"], second["status"]) == ("other", "other", 400)


@pytest.mark.parametrize(("trust", "shown"), [(0, False), (1, True)])
def test_a_user_is_believed_of_a_trusted_proxy_alone(loud: None, trust: int, shown: bool) -> None:
    out = Log(user_header="X-Remote-User", trust_proxy=trust)
    user = 'ann"\x1b[31m\n{"level"' + "x" * 1000
    server(access_log=out.access_log).on_response("GET", answer(), 0.001, request(x_remote_user=user))
    (line,) = out.lines()
    assert ("user" in line) is shown
    if shown:
        assert str(line["user"]).isprintable()
        assert str(line["user"]).startswith('ann"\\x1b[31m\\n{"level"xxx')
        assert len(str(line["user"])) < 200


def test_a_level_that_hides_the_lines_hides_them() -> None:
    out = Log()
    server(access_log=out.access_log).on_response("GET", answer(), 0.001, request())
    assert out.lines() == []


def test_system_endpoints_are_lines_for_whoever_looks_for_a_fault_and_sampled(loud: None) -> None:
    out = Log()
    metrics = server(access_log=out.access_log)
    metrics.on_response("GET", answer(route="/health"), 0.001, request())
    metrics.on_response("GET", answer(503, route="/health"), 0.001, request())
    log.configure("debug", "json")
    for _ in range(SAMPLE * 3):
        metrics.on_response("GET", answer(route="/health"), 0.001, request())
    lines = out.lines()
    assert [line["status"] for line in lines] == [503, 200, 200, 200]
    assert [line["level"] for line in lines] == ["info", "debug", "debug", "debug"]
    assert {line["sampled"] for line in lines[1:]} == {"1 in 100"}


def test_lines_of_requests_have_the_format_of_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever reads the stream needs one parser, and finds all lines of a request by its id."""
    for fmt, pattern in (("text", rf"(?:info|error): .+ \(request_id={ID}(?: [a-z_]+=[^ ]+)*\)"), ("json", rf'\{{"time": .+"{ID}".*\}}')):
        log.configure("info", fmt)
        try:
            access_log = AccessLog(user_header="X-User", trust_proxy=1)
            server(access_log=access_log).on_response("GET", answer(), 0.0125, request(x_user="ann"), body_bytes=3)
            access_log.flush()
            with log.Context(request_id=ID):
                log.info("built a bundle", files=3)
            log.error("internal error", request_id=ID)
            log.info("stopped")
        finally:
            log.configure()
        *lines, last = capfd.readouterr().err.splitlines()
        assert len(lines) == 3
        assert all(re.fullmatch(pattern, line) for line in lines), lines
        assert ID not in last, "the context of a thread ends"
        if fmt == "text":
            assert lines[0] == f'info: GET /v1/recipe 200 (request_id={ID} bytes=3 duration_ms=12.500 user="ann")'


def test_a_context_inside_another_adds_to_it_and_restores_it(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    try:
        with log.Context(request_id=ID, step="outer"):
            with log.Context(step="inner"):
                log.info("one")
            log.info("two")
        log.info("three")
    finally:
        log.configure()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line.get("request_id"), line.get("step")) for line in lines] == [(ID, "inner"), (ID, "outer"), (None, None)]


def test_lines_wait_for_others_but_not_long(loud: None) -> None:
    out = Log()
    metrics = server(access_log=out.access_log)
    reader = os.fdopen(os.dup(out.end), "rb", buffering=0)
    os.set_blocking(out.end, False)
    with reader:
        metrics.on_response("GET", answer(), 0.001, request())
        out.access_log.flush(60.0)
        assert reader.read(1) is None
        for _ in range(FEW_LINES):
            metrics.on_response("GET", answer(), 0.001, request())
        out.access_log.flush(60.0)
        assert reader.read(1) == b"{"
        metrics.on_response("GET", answer(), 0.001, request())
        out.access_log.flush(1e-9)
        os.set_blocking(out.end, True)
    os.close(out.descriptor)
    with open(out.end, "rb") as file:
        assert file.read().count(b"\n") == FEW_LINES + 2


def test_a_log_without_a_reader_blocks_no_request(loud: None) -> None:
    out = Log()
    metrics = server(access_log=out.access_log)
    for _ in range(2000):
        metrics.on_response("GET", answer(), 0.001, request())
        out.access_log.flush()
    lost = value(metrics.text(), "eidos_log_lines_lost_total")
    written = len(out.lines())
    assert lost > 0
    assert written + lost == 2000, "each line is whole, or counted"
