"""``eidos recipe --server``: what is asked, what each kind of trouble leads to, and how an answer that is not the server's is marked."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.errors import EidosError, InvalidInput, RateLimited, Timeout, Unavailable
from eidos.formats import to_json
from eidos.http_wire.retry import CircuitOpen
from eidos.server_client import ServerClient
from eidos.workflow import make_recipe
from tests.support.program import PROGRAM, eidos
from tests.support.scripted_server import ScriptedServer, never_responds, resets_connection, responds, sends_bytes, sends_slowly
from tests.support.waiting import AMPLE_S

pytestmark = pytest.mark.slow

RECIPE = to_json(make_recipe({"gpu": "h100", "intent": "training"}).to_tree()).encode()

SNAPSHOT = """
kind: Snapshot
apiVersion: snapshot.dgxc.io/v1
measurements:
  - type: GPU
    subtypes:
      - subtype: smi
        data: {gpu.model: NVIDIA H100 80GB HBM3}
"""


def envelope(code: str, message: str, **details: object) -> bytes:
    return json.dumps({"code": code, "message": message, "details": details, "requestId": "x", "retryable": False}).encode()


FINE = responds(200, RECIPE, Content_Type="application/json")
BAD = responds(400, envelope("INVALID_REQUEST", "gpu: invalid value 'h1OO'; expected one of h100", hint="did you mean 'h100'?"))


@pytest.mark.parametrize("words", [(), ("-t", "json"), ("-t", "table")])
def test_the_document_is_what_the_local_command_gives(words: tuple[str, ...]) -> None:
    with ScriptedServer([FINE]) as server:
        received = eidos("recipe", "--gpu", "h100", "--intent=training", "--server", f"{server.url}/", *words)
    local = eidos("recipe", "--gpu", "h100", "--intent=training", *words)
    assert received == local
    (request,) = server.requests
    assert request.line == "GET /v1/recipe?gpu=h100&intent=training HTTP/1.1"
    assert request.headers["accept"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", request.headers["x-request-id"])


def test_a_snapshot_is_posted_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(SNAPSHOT)
    with ScriptedServer([FINE]) as server:
        done = eidos("recipe", "-f", str(file), "--intent", "training", "--context", "--server", f"{server.url}/behind/a/proxy")
        assert done.status == 0, done.err
        (request,) = server.requests
        assert request.line == "POST /behind/a/proxy/v1/recipe?intent=training&context=true HTTP/1.1"
        assert request.body == SNAPSHOT.encode()
        assert request.headers["content-type"] == "application/yaml"
        done = eidos("recipe", "-f", str(file), "--gpu", "h100", "--server", server.url)
        assert done.status == 2
        assert "--gpu cannot be combined with a snapshot on a server; only --intent and --platform can" in done.err
        file.write_text("kind: Pod\n")
        assert eidos("recipe", "-f", str(file), "--server", server.url).status == 2
        assert len(server.requests) == 1, "what is no snapshot is not sent"


def test_the_trace_that_we_are_in_goes_along() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with ScriptedServer([FINE]) as server:
        env = {"TRACEPARENT": parent, "TRACESTATE": "a=b", "BAGGAGE": "user=ann, nonsense"}
        assert eidos("recipe", "--server", server.url, env=env).status == 0
    (request,) = server.requests
    assert (request.headers["traceparent"], request.headers["tracestate"], request.headers["baggage"]) == (parent, "a=b", "user=ann")


# ---- trouble that passes ----


CUT_OFF = sends_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")


@pytest.mark.parametrize("trouble", [responds(500), responds(502, b"<html>"), resets_connection, CUT_OFF])
def test_twice_in_trouble_then_fine(trouble: Any) -> None:
    with ScriptedServer([trouble, trouble, FINE]) as server:
        done = eidos("recipe", "--server", server.url, "-t", "json")
    assert (done.status, done.out.encode()) == (0, RECIPE)
    assert done.err.count("retrying in") == 2
    first, second, third = (received.at for received in server.requests)
    assert second - first >= 0.1
    assert third - second >= 0.2


def test_whoever_asks_to_wait_is_waited_for() -> None:
    with ScriptedServer([responds(429, envelope("RATE_LIMIT_EXCEEDED", "too many requests"), Retry_After="1"), FINE]) as server:
        done = eidos("recipe", "--server", server.url)
    assert done.status == 0
    assert server.requests[1].at - server.requests[0].at >= 1
    assert "returned 429: too many requests; retrying in 1 s" in done.err


@pytest.mark.parametrize("after", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_no_retry_when_the_server_wants_too_long_a_wait(after: str) -> None:
    with ScriptedServer([responds(429, Retry_After=after)]) as server:
        done = eidos("recipe", "--server", server.url)
    assert done.status == 1
    assert len(server.requests) == 1
    assert "retry after" in done.err


# ---- trouble that stays ----


@pytest.fixture(scope="module")
def built_in() -> dict[str, Any]:
    return make_recipe({"gpu": "h100"}).to_tree()


@pytest.mark.parametrize(
    ("play", "words", "tries", "status"),
    [
        (responds(500), "returned 500", 4, 1),
        (responds(501), "returned 501", 1, 1),
        (responds(408), "returned 408", 4, 1),
        (responds(204), "not a recipe", 1, 1),
        (responds(401), "returned 401", 1, 1),
        (responds(301, Location="/v1/recipe"), "redirects", 6, 1),
        (resets_connection, "reset", 4, 1),
        (responds(200, b"<html>not us</html>"), "not a recipe", 1, 1),
        (responds(200, b'{"kind": "Snapshot", "measurements": []}'), "not a recipe", 1, 1),
        (responds(200, b"[" * 100_000), "not a recipe", 1, 1),
        (responds(200, Content_Length="1073741824"), "larger than", 1, 1),
        (sends_bytes(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (9 << 20)), "larger than", 1, 1),
        (never_responds, "timed out", 1, 124),
        (sends_slowly(b"HTTP/1.1 200 OK\r\n\r\n" + RECIPE), "timed out", 1, 124),
    ],
)
def test_a_failing_server_is_an_error_and_with_fallback_marked(
    built_in: dict[str, Any], play: Any, words: str, tries: int, status: int
) -> None:
    timeout = "--timeout=500ms" if status == 124 else "--timeout=60s"
    with ScriptedServer([play]) as server:
        done = eidos("recipe", "--gpu", "h100", "--server", server.url, timeout)
        assert (done.status, done.out) == (status, "")
        assert words in done.err
        assert len(server.requests) == tries or status == 124, "a deadline may pass before anything is sent"
        assert done.err.count("error: ") == 1
        done = eidos("recipe", "--gpu", "h100", "--server", server.url, timeout, "--fallback")
    assert done.status == 0
    assert "using the built-in data" in done.err
    tree = yaml.safe_load(done.out)
    assert tree["metadata"].pop("recipe-source") == "built-in"
    assert tree == built_in


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (BAD, "returned 400: gpu: invalid value 'h1OO'; expected one of h100\nhint: did you mean 'h100'?"),
        (responds(404), "check that this is the address of an eidos server"),
        (responds(413, envelope("PAYLOAD_TOO_LARGE", "too large")), "returned 413: too large"),
        (responds(400, b'{"message": "\\u001b[31m' + b"x" * 5000 + b'"}'), "returned 400: \\x1b[31mxxx"),
        (responds(400, b"[[["), "returned 400\n"),
    ],
)
def test_what_the_caller_did_wrong_is_wrong_with_fallback_too(play: Any, words: str) -> None:
    with ScriptedServer([play]) as server:
        done = eidos("recipe", "--gpu", "h1OO", "--server", server.url, "--fallback")
    assert (done.status, done.out, len(server.requests)) == (2, "", 1)
    assert words in done.err
    assert len(done.err) < 1500


def test_no_server_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = eidos("recipe", "--server", f"http://127.0.0.1:{port}")
    assert (done.status, done.out) == (1, "")
    assert "connection refused\nhint: check that the service is running" in done.err
    done = eidos("recipe", env={"EIDOS_SERVER": f"http://127.0.0.1:{port}", "EIDOS_FALLBACK": "1"})
    assert done.status == 0
    assert "recipe-source: built-in" in done.out
    done = eidos("recipe", "--server", f"http://127.0.0.1:{port}", "--fallback", "-t", "table")
    assert "Recipe data  built-in 20" in done.out
    assert "built-in" not in eidos("recipe", "-t", "table").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--server", "eidos.example.com"), "--server: 'eidos.example.com' is not an http or https URL"),
        (("--server", "http://u:hunter2@192.0.2.1"), "a URL with a username or password is not accepted"),
        (("--server", "http://192.0.2.1/?x=1"), "cannot have a query"),
        (("--server", "http://192.0.2.1", "--explain"), "--explain cannot be used with --server"),
        (("--server", "http://192.0.2.1", "--data", "."), "--data cannot be used with --server, which has its own data"),
        (("list", "--server", "http://192.0.2.1"), "does not take --server"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], message: str) -> None:
    done = eidos("recipe", *words)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert "hunter2" not in done.err


# ---- one client, many requests ----


class Client:
    """A client whose sleep takes no time."""

    def __init__(self, url: str) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.remote = ServerClient(url, clock=lambda: self.now, sleep=self._sleep, chance=lambda: 0.5)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def ask(self) -> Any:
        try:
            return self.remote.recipe({}, deadline=self.now + 60)
        except EidosError as fault:
            return fault


def test_after_five_failures_in_a_row_no_request_is_sent_for_a_while(capfd: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer([responds(429), responds(500), resets_connection, responds(429), responds(503), FINE]) as server:
        client = Client(server.url)
        assert isinstance(client.ask(), RateLimited)
        assert isinstance(client.ask(), Unavailable)
        assert len(server.requests) == 5
        assert "failed 5 times in a row; next attempt in 30 s" in capfd.readouterr().err
        assert isinstance(client.ask(), CircuitOpen)
        assert len(server.requests) == 5
        client.now += 30
        assert client.ask()["kind"] == "Recipe"


def test_a_limited_client_slows_down_and_recovers() -> None:
    with ScriptedServer([responds(429), responds(429), FINE]) as server:
        client = Client(server.url)
        assert client.ask()["kind"] == "Recipe"
        client.slept.clear()
        for _ in range(12):
            client.ask()
        waits = list(client.slept)
    assert waits[0] > 0.1, "the next one waits"
    assert waits == sorted(waits, reverse=True)
    assert len(waits) < 12, "and later ones do not"


def test_an_answer_in_time_counts_and_a_late_one_does_not() -> None:
    with ScriptedServer([never_responds]) as server:
        began = time.monotonic()
        with pytest.raises(Timeout):
            ServerClient(server.url).recipe({}, deadline=time.monotonic() + 0.3)
        assert time.monotonic() - began < AMPLE_S
    with pytest.raises(InvalidInput):
        ServerClient("http://")


def test_strict_judges_what_the_server_sent() -> None:
    generic = make_recipe({"gpu": "l40", "service": "gke"}).to_tree()
    older = {name: part for name, part in generic.items() if name != "generic"}
    for tree, warns, words in (
        (make_recipe({"gpu": "h100", "service": "eks"}).to_tree(), False, ""),
        (generic, True, "the recipe is generic: no layer is made for the requested gpu+service"),
        (older, False, "the recipe does not say whether it is generic"),
        (
            make_recipe({"service": "gke", "os": "rhel"}).to_tree(),
            False,
            "no such node is possible: gke offers cos and ubuntu, not rhel",
        ),
    ):
        with ScriptedServer([responds(200, to_json(tree).encode(), Content_Type="application/json")]) as server:
            result = eidos("recipe", "--gpu", "x", "--server", server.url, "--strict")
        assert result.status == (4 if words else 0)
        assert ("warning: the server's recipe is generic" in result.err) == warns
        assert ("error: --strict: " in result.err) == bool(words) and words in result.err


def test_strict_judges_the_servers_constraints_by_the_snapshot_that_was_sent(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(SNAPSHOT)
    with ScriptedServer([FINE]) as server:
        result = eidos("recipe", "-f", str(file), "--server", server.url, "--strict")
    assert result.status == 4
    assert "GPU.smi.driver >= 525.85.12, which cannot be judged for this snapshot: no such reading" in result.err


def test_a_snapshot_on_standard_input_is_read_once() -> None:
    with ScriptedServer([responds(503, b"{}")] * 4) as server:
        words = ["recipe", "-f", "-", "--server", server.url, "--fallback", "--timeout", "1s"]
        done = subprocess.run([*PROGRAM, *words], input=SNAPSHOT.encode(), capture_output=True, check=False)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["request"]["gpu"] == "h100"
