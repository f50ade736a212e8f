"""Traces: what is passed on, what is drawn, and what a collector on a real socket receives."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from eidos.collectors import list_collectors
from eidos.formats import to_json
from eidos.telemetry import spans
from eidos.telemetry.otlp_exporter import MAX_BATCH_SIZE, MAX_QUEUE_SIZE, exporter_from_environment
from eidos.telemetry.spans import CLIENT, INVALID_SPAN, NOOP_TRACER, SERVER, Sampler, Span, Tracer
from eidos.telemetry.trace_context import (
    SpanContext,
    extract_context,
    parse_baggage,
    parse_traceparent,
    parse_tracestate,
    trace_id_from_request_id,
)
from eidos.workflow import make_recipe
from tests.support.program import eidos
from tests.support.scripted_server import ScriptedServer, responds
from tests.support.waiting import AMPLE_S, until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Collector:
    """An OTLP receiver: answers each request with the next of ``answers`` (status, headers, body), then with 200."""

    def __init__(self, answers: Sequence[tuple[int, dict[str, str], bytes]] = ()) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.times: list[float] = []
        left = list(answers)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.times.append(time.monotonic())
                outer.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                status, headers, body = left.pop(0) if left else (200, {}, b"{}")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for _, _, tree in self.requests
            for resource in tree["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.close()


def opened(url: str, lost: list[int] | None = None, **more: str) -> Tracer:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": "always_on", **more}
    return spans.open_tracer(environ, "eidos-api-server", (lost if lost is not None else []).append)


# ---- what comes from outside ----


@pytest.mark.parametrize(
    "text",
    [
        *("", "00", PARENT + "-", PARENT + "x", PARENT.upper(), PARENT[:-1], f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"),
        *(f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0g", f"00_{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-01x", PARENT.replace("a", "ä")),
    ],
)
def test_what_is_no_parent_begins_a_trace(text: str) -> None:
    assert parse_traceparent(text) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{SPAN}-03-what-the-future-brings") == (TRACE, SPAN, True)
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-00") == (TRACE, SPAN, False)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=",
        "=b",
        "A=b",
        "1=b",
        "_x@y=b",
        "x@1=b",
        "a=b,a=c",
        "a=b=c",
        "a=\x01",
        "a=" + "x" * 257,
        ",".join(f"k{n}=v" for n in range(33)),
    ],
)
def test_a_state_that_is_none_is_not_passed_on(text: str) -> None:
    assert parse_tracestate(text) == ""
    assert parse_tracestate("1x@y=b") == "1x@y=b"


def test_what_is_passed_on_is_bounded() -> None:
    state = parse_tracestate(",".join(["first=1", "long=" + "x" * 200, *(f"k{n}={'v' * 20}" for n in range(20))]))
    assert len(state) <= 512
    assert state.startswith("first=1,k0=")
    baggage = parse_baggage(",".join(f"key{n}={'v' * 100}" for n in range(1000)))
    assert len(baggage) <= 8192
    assert baggage.count(",") < 64
    assert parse_baggage("a=b\r\nX-Evil: 1") == ""
    context = extract_context({"traceparent": PARENT, "tracestate": state, "baggage": "user=ann"})
    assert context is not None
    assert context.to_headers() == {"traceparent": PARENT, "tracestate": state, "baggage": "user=ann"}


def test_ids_of_requests_are_ids_of_traces() -> None:
    assert parse_traceparent(f"00-{trace_id_from_request_id('00000000-0000-0000-0000-000000000000')}-{SPAN}-01")
    assert len(trace_id_from_request_id("ä")) == 32


# ---- what is drawn ----


@pytest.mark.parametrize(
    ("environ", "name", "ratio"),
    [
        ({}, "parentbased_traceidratio", 0.1),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.5"}, "parentbased_traceidratio", 0.5),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, "traceidratio", 1.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, "traceidratio", 0.25),
        ({"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_SAMPLER_ARG": "much"}, "always_off", 1.0),
        ({"OTEL_TRACES_SAMPLER_ARG": "nan"}, "parentbased_traceidratio", 0.1),
        ({"OTEL_TRACES_SAMPLER": "mine"}, "parentbased_traceidratio", 0.1),
    ],
)
def test_the_environment_says_what_is_drawn(environ: dict[str, str], name: str, ratio: float) -> None:
    assert spans.sampler_from_environment(environ) == Sampler(name, ratio)


def test_a_tenth_is_a_tenth_and_a_parent_is_followed() -> None:
    drawn = sum(Sampler().should_sample(spans._new_id(16), None) for _ in range(20_000))
    assert 1700 < drawn < 2300
    for sampled in (True, False):
        parent = SpanContext(TRACE, SPAN, sampled)
        assert Sampler().should_sample(TRACE, parent) is sampled
        assert Sampler("always_on").should_sample(TRACE, parent) is True
    assert not any(Sampler("traceidratio", 0.0).should_sample(spans._new_id(16), None) for _ in range(100))
    assert all(Sampler("traceidratio", 1.0).should_sample(spans._new_id(16), None) for _ in range(100))


# ---- spans ----


def test_what_is_not_recorded_costs_nothing_and_is_passed_on() -> None:
    assert NOOP_TRACER.start_span("x") is INVALID_SPAN
    assert INVALID_SPAN.start_child("y") is INVALID_SPAN
    assert NOOP_TRACER.start_span("x", CLIENT, {"traceparent": PARENT, "baggage": "a=b"}).context.to_headers() == {
        "traceparent": PARENT,
        "baggage": "a=b",
    }
    ended: list[Span] = []
    with Tracer(Sampler("always_off"), ended.append).start_span("x", SERVER, {}) as root, root.start_child("y") as part:
        part.set_attribute("a", 1)
        assert not root.is_recording
        assert root.context.trace_id != "0" * 32
    assert ended == []


def test_a_span_is_bounded_and_ends_once() -> None:
    ended: list[Span] = []
    span = Tracer(Sampler("always_on"), ended.append).start_span("x")
    for number in range(100):
        span.set_attribute(f"k{number}", "v" * 1000)
    span.end()
    span.end()
    assert len(ended) == 1
    assert len(ended[0].attributes) == 32
    assert ended[0].attributes["k0"] == "v" * 256


# ---- on the wire ----


def test_a_collector_gets_what_the_protocol_says(collector: Collector) -> None:
    tracer = opened(collector.url + "/", OTEL_EXPORTER_OTLP_HEADERS="api-key=s%20ecret,  x-more=1", OTEL_SERVICE_NAME="mine")
    carrier = {"traceparent": PARENT, "tracestate": "a=b"}
    with pytest.raises(ZeroDivisionError), tracer.start_span("GET /v1/recipe", SERVER, carrier) as root:
        with root.start_child("build", rules_count=3, fresh=True, share=0.5, name_of="x"):
            pass
        raise ZeroDivisionError("of the user's secrets")
    tracer.shutdown(AMPLE_S)
    ((path, headers, tree),) = collector.requests
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/json"
    assert (headers["api-key"], headers["x-more"]) == ("s ecret", "1")
    (resource,) = tree["resourceSpans"]
    assert {"key": "service.name", "value": {"stringValue": "mine"}} in resource["resource"]["attributes"]
    (scope,) = resource["scopeSpans"]
    assert scope["scope"]["name"] == "eidos"
    build, request = scope["spans"]
    assert (request["traceId"], request["parentSpanId"], request["traceState"]) == (TRACE, SPAN, "a=b")
    assert (request["kind"], request["name"], request["status"]) == (2, "GET /v1/recipe", {"code": 2, "message": "ZeroDivisionError"})
    assert request["flags"] == 0x301
    assert (build["traceId"], build["parentSpanId"], build["kind"], build["flags"]) == (TRACE, request["spanId"], 1, 0x101)
    assert "status" not in build
    assert build["attributes"] == [
        {"key": "rules.count", "value": {"intValue": "3"}},
        {"key": "fresh", "value": {"boolValue": True}},
        {"key": "share", "value": {"doubleValue": 0.5}},
        {"key": "name.of", "value": {"stringValue": "x"}},
    ]
    for span in (build, request):
        assert len(span["spanId"]) == 16
        assert isinstance(span["startTimeUnixNano"], str)
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert abs(int(request["startTimeUnixNano"]) / 1e9 - time.time()) < 60


def test_a_thread_sends_in_the_background_and_the_end_sends_the_rest(collector: Collector) -> None:
    tracer = opened(collector.url)
    tracer.start()
    for _ in range(MAX_BATCH_SIZE):
        tracer.start_span("x").end()
    until(lambda: collector.requests)
    assert len(collector.spans()) == MAX_BATCH_SIZE
    tracer.start_span("last").end()
    tracer.shutdown(AMPLE_S)
    assert collector.spans()[-1]["name"] == "last"


@pytest.mark.parametrize(("status", "tries"), [(429, 2), (502, 2), (503, 2), (504, 2), (400, 1), (401, 1), (500, 1), (501, 1)])
def test_only_what_may_pass_is_sent_again(status: int, tries: int) -> None:
    collector = Collector([(status, {}, b"")])
    lost: list[int] = []
    try:
        tracer = opened(collector.url, lost)
        tracer.start_span("x").end()
        tracer.shutdown(AMPLE_S)
        assert len(collector.requests) == tries
        assert sum(lost) == (0 if tries == 2 else 1)
    finally:
        collector.close()


def test_a_collector_that_asks_to_wait_is_waited_for() -> None:
    collector = Collector([(503, {"Retry-After": "1"}, b"")])
    try:
        tracer = opened(collector.url)
        tracer.start_span("x").end()
        tracer.shutdown(AMPLE_S)
        first, second = collector.times
        assert second - first >= 1
    finally:
        collector.close()


def test_what_a_collector_does_not_take_is_counted() -> None:
    body = json.dumps({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too \x1b[31m old"}}).encode()
    collector = Collector([(200, {}, body), (200, {}, b"[" * 100_000)])
    lost: list[int] = []
    try:
        tracer = opened(collector.url, lost)
        tracer.start_span("x").end()
        tracer.shutdown(AMPLE_S)
        tracer.start_span("x").end()
        tracer.shutdown(AMPLE_S)
        assert lost == [2]
    finally:
        collector.close()


def test_a_collector_that_never_responds_blocks_nothing() -> None:
    lost: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as never_responds:
        tracer = opened(f"http://127.0.0.1:{never_responds.getsockname()[1]}", lost)
        tracer.start()
        began = time.monotonic()
        for _ in range(MAX_QUEUE_SIZE * 3):
            tracer.start_span("x").end()
        assert time.monotonic() - began < AMPLE_S
        began = time.monotonic()
        tracer.shutdown(0.3)
        assert time.monotonic() - began < AMPLE_S
        assert 3 * MAX_QUEUE_SIZE - MAX_BATCH_SIZE <= sum(lost) <= 3 * MAX_QUEUE_SIZE, (
            "what does not fit is lost, and so is what nobody took, but for what is on its way"
        )


def test_a_collector_that_is_down_gets_few_requests() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    lost: list[int] = []
    exporter = exporter_from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}, "x", lost.append)
    tracer = Tracer(Sampler("always_on"), exporter.enqueue)
    tracer.exporter = exporter
    for _ in range(3):
        tracer.start_span("x").end()
        tracer.shutdown(AMPLE_S)
    assert exporter._circuit.is_open
    assert exporter._circuit.failures == 5
    assert lost == [1, 1, 1]


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:p@192.0.2.1"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://192.0.2.1/otlp"}, True),
    ],
)
def test_nothing_is_sent_without_an_endpoint(environ: dict[str, str], on: bool) -> None:
    assert (spans.open_tracer(environ, "x") is not NOOP_TRACER) is on


def test_a_header_that_is_none_is_left_out_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    exporter = exporter_from_environment(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1", "OTEL_EXPORTER_OTLP_HEADERS": "good=1,bad=hunter2%0d%0aX: y,a b=c"}, "x", print
    )
    assert exporter._headers == {"good": "1", "Content-Type": "application/json"}
    assert "entry 2" in (err := capfd.readouterr().err)
    assert "hunter2" not in err


# ---- one-shot commands ----


def named(collector: Collector) -> dict[str, dict[str, Any]]:
    return {span["name"]: span for span in collector.spans()}


def test_a_snapshot_is_a_verb_its_collectors_and_a_document(collector: Collector) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER": "always_on", "TRACEPARENT": PARENT}
    assert eidos("snapshot", "--only", "os", env=env).status == 0
    recorded = named(collector)
    root = recorded.pop("eidos snapshot")
    assert set(recorded) == {*(f"collect {name}" for name in list_collectors() if name.startswith("os.")), "serialise"}
    assert (root["traceId"], root["parentSpanId"]) == (TRACE, SPAN)
    assert {"key": "process.exit.code", "value": {"intValue": "0"}} in root["attributes"]
    for span in recorded.values():
        assert (span["traceId"], span["parentSpanId"]) == (TRACE, root["spanId"])
        assert int(root["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        assert int(span["endTimeUnixNano"]) <= int(root["endTimeUnixNano"])
    written = int(recorded["serialise"]["startTimeUnixNano"])
    for name in recorded.keys() - {"serialise"}:
        assert int(recorded[name]["endTimeUnixNano"]) <= written, "the document comes when all collectors are done"
    assert {"service.name"} <= {pair["key"] for pair in collector.requests[0][2]["resourceSpans"][0]["resource"]["attributes"]}


def test_a_recipe_and_a_bundle_have_their_steps(collector: Collector, tmp_path: Path) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER": "always_on"}
    file = str(tmp_path / "recipe.yaml")
    assert eidos("recipe", "--gpu", "h100", "-o", file, env=env).status == 0
    assert set(named(collector)) == {"eidos recipe", "build", "serialise"}
    collector.requests.clear()
    assert eidos("bundle", "-f", file, "-o", str(tmp_path / "bundle"), "--bundlers", "cert-manager", env=env).status == 0
    assert set(named(collector)) == {"eidos bundle", "make", "serialise"}
    collector.requests.clear()
    assert eidos("bundle", "-f", "/nowhere", env=env).status == 2
    assert named(collector)["eidos bundle"]["status"] == {"code": 2, "message": "not-found"}


def test_a_request_to_a_server_is_part_of_the_trace(collector: Collector) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER": "always_on"}
    with ScriptedServer([responds(200, to_json(make_recipe().to_tree()).encode())]) as server:
        assert eidos("recipe", "--server", server.url, env=env).status == 0
    recorded = named(collector)
    assert recorded["request"]["kind"] == CLIENT
    parent = parse_traceparent(server.requests[0].headers["traceparent"])
    assert parent == (recorded["eidos recipe"]["traceId"], recorded["request"]["spanId"], True)


def test_a_command_ends_in_time_and_as_it_would_whatever_the_collector_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as never_responds:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{never_responds.getsockname()[1]}", "OTEL_TRACES_SAMPLER": "always_on"}
        began = time.monotonic()
        done = eidos("recipe", env=env)
        assert time.monotonic() - began < AMPLE_S
    assert (done.status, done.out) == (0, eidos("recipe").out)
    assert "cannot send traces" in done.err
