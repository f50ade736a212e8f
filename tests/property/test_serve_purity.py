"""No request changes what another one gets: any interleaving gives the bytes that a new process gives to each alone.

Twice: many requests against an application that is new, in this process; and a few of every kind, as bytes in any order and cut anywhere
over several connections, against processes of the built program each of which answered one request in its life.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.http_wire.messages import Response
from eidos.server.app import App
from tests.support.effort import examples
from tests.support.in_process_server import application, request
from tests.support.server_process import Built
from tests.support.waiting import AMPLE_S

pytestmark = pytest.mark.slow

WORDS = {
    "os": ("ubuntu", "rhel", "cos", "debian", "Ubuntu"),
    "osv": ("24.04", "22.04", "9.4"),
    "kernel": ("6.8", "6.8.0-1028-aws"),
    "service": ("eks", "gke", "aks", "oke", "self-managed", "k3s"),
    "k8s": ("1.33", "v1.33.5-eks-3025e55", "1.30"),
    "gpu": ("h100", "gb200", "l40s", "H100", "a100"),
    "intent": ("training", "inference"),
    "platform": ("kubeflow", "none", "RunAI"),
    "machine": ("p5.48xlarge", "a3-megagpu-8g"),
    "context": ("true", "false", ""),
}

ACCEPTS = ("application/json", "application/yaml", "*/*", "application/vnd.nvidia.cns.v1+json", "text/html", "application/problem+json")

Call = tuple[str, str, bytes, str, str]


@st.composite
def call(draw: st.DrawFn) -> Call:
    fields = draw(st.fixed_dictionaries({}, optional={field: st.sampled_from(words) for field, words in WORDS.items()}))
    accept, coding = draw(st.sampled_from(ACCEPTS)), draw(st.sampled_from(("gzip", "identity", "")))
    query = "&".join(f"{field}={word}" for field, word in draw(st.permutations(list(fields.items()))))
    kind = draw(st.sampled_from(("recipe", "recipe", "recipe", "body", "bundle", "snapshot", "catalog", "wrong", "page")))
    if kind == "recipe":
        return "GET", f"/v1/recipe?{query}", b"", accept, coding
    plain = {field: word for field, word in fields.items() if field != "context"}
    if kind == "body":
        return "POST", "/v1/recipe?context=true", json.dumps(plain).encode(), accept, coding
    if kind == "snapshot":
        model = {"gpu.model": f"NVIDIA {plain.get('gpu', 'H100').upper()}", "driver": "580.82.07"}
        tree = {"kind": "Snapshot", "measurements": [{"type": "GPU", "subtypes": [{"subtype": "smi", "data": model}]}]}
        return "POST", "/v1/recipe?intent=training", json.dumps(tree).encode(), accept, coding
    if kind == "bundle":
        form, parts = (
            draw(st.sampled_from(("zip", "tar.gz"))),
            draw(st.sampled_from(("cert-manager", "gpu-operator", "cert-manager,kai-scheduler"))),
        )
        return "POST", f"/v1/bundle?archive={form}&bundlers={parts}", _recipe(tuple(plain.items())), "*/*", coding
    return "GET", {"catalog": "/v1/catalog", "wrong": f"/v1/recipe?{query}&gpu=none", "page": "/"}[kind], b"", accept, coding


@cache
def _recipe(fields: tuple[tuple[str, str], ...]) -> bytes:
    return application().answer(request("POST", "/v1/recipe", json.dumps(dict(fields)).encode())).body


def ask(app: App, what: Call) -> Response:
    method, target, body, accept, coding = what
    context = request(method, target, body, accept=accept, accept_encoding=coding)
    return app.answer_at_once(context) or app.answer(context)


def comparable(response: Response) -> object:
    """Everything but what belongs to one request alone: its id, and the time at which it failed."""
    headers = tuple(pair for pair in response.headers if pair[0] != "X-Request-Id")
    if response.status < 400:
        return response.status, headers, response.body
    tree = json.loads(response.body)
    for name in ("requestId", "timestamp", "instance"):
        tree.pop(name, None)
    return response.status, headers, tree


@cache
def shared() -> App:
    return application()


@cache
def alone(what: Call) -> object:
    return comparable(ask(application(), what))


@settings(max_examples=examples(25))
@given(st.lists(call(), min_size=1, max_size=8))
def test_answers_do_not_depend_on_earlier_requests(requests: list[Call]) -> None:
    for what in requests:
        assert comparable(ask(shared(), what)) == alone(what)


@settings(max_examples=examples(6))
@given(st.lists(call(), min_size=4, max_size=10))
def test_answers_do_not_depend_on_concurrent_requests(requests: list[Call]) -> None:
    app = application()
    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda what: comparable(ask(app, what)), requests * 2))
    assert responses == [alone(what) for what in requests * 2]


# ---- processes ----


def _raw(method: str, target: str, body: bytes = b"", **fields: str) -> bytes:
    lines = {"Host": "example.com", **{name.replace("_", "-"): value for name, value in fields.items()}}
    if method == "POST" and "Transfer-Encoding" not in lines:
        lines["Content-Length"] = str(len(body))
    return b"".join(
        (f"{method} {target} HTTP/1.1\r\n".encode(), *(f"{name}: {value}\r\n".encode() for name, value in lines.items()), b"\r\n", body)
    )


def _chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"


QUERY, SNAPSHOT = b'{"service": "gke", "gpu": "h100"}', b"kind: Snapshot\nmeasurements: []\n"
MINE = "0b6e1e37-3b5c-4f1a-9c7e-8f2f6c9f7a11"


def pool() -> list[bytes]:
    """Requests of every kind; some differ only in what they accept, some are the same question put otherwise, some are wrong."""
    ubuntu, aks = _recipe((("os", "ubuntu"), ("service", "eks"))), _recipe((("service", "aks"), ("intent", "training")))
    return [
        _raw("GET", "/v1/recipe?service=eks&os=ubuntu"),
        _raw("GET", "/v1/recipe?os=ubuntu&env=eks"),
        _raw("GET", "/v1/recipe?os=ubuntu&service=eks", Accept="application/yaml"),
        _raw("GET", "/v1/recipe?os=ubuntu&service=eks", Accept_Encoding="gzip", X_Request_Id=MINE),
        _raw("GET", "/v1/recipe?os=ubuntu&service=eks", If_None_Match="*"),
        _raw("HEAD", "/v1/recipe?os=ubuntu&service=eks"),
        _raw("GET", "/v1/recipe?os=ubuntu&service=eks&context=true"),
        _raw("GET", "/v1/recipe?gpu=h100&intent=training", Accept="application/vnd.nvidia.cns.v1+json"),
        _raw("GET", "/v1/recipe?gpu=none"),
        _raw("GET", "/v1/recipe?gpu=none", Accept="application/json, application/problem+json"),
        _raw("GET", "/v1/recipe?gpu=none", Accept="application/problem+json"),
        _raw("GET", "/v1/recipe", Accept="application/vnd.nvidia.cns.v9+json"),
        _raw("POST", "/v1/recipe", QUERY),
        _raw("POST", "/v1/recipe", _chunked(QUERY), Transfer_Encoding="chunked", Accept="application/yaml"),
        _raw("POST", "/v1/recipe?intent=training", SNAPSHOT, Content_Type="application/yaml"),
        _raw("POST", "/v1/recipe", b"{"),
        _raw("POST", "/v1/bundle?archive=zip&bundlers=cert-manager", ubuntu),
        _raw("POST", "/v1/bundle?archive=tar.gz&bundlers=gpu-operator", aks),
        _raw("POST", "/v1/bundle?archive=zip&bundlers=nonsense", aks),
        _raw("GET", "/v1/catalog"),
        _raw("GET", "/openapi.yaml"),
        _raw("GET", "/", Accept="text/html"),
        _raw("DELETE", "/v1/recipe"),
        _raw("GET", "/nowhere"),
    ]


class Came(NamedTuple):
    """An answer, but what belongs to one request alone: its id unless the client gave it, and the times."""

    status: str
    headers: tuple[str, ...]
    body: bytes


def came(stream: BinaryIO, call: bytes) -> Came:
    """Read the answer to a request."""
    status = stream.readline().decode()
    headers = list(iter(lambda: stream.readline().decode(), "\r\n"))
    assert "" not in headers, (status, headers)
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
    empty = call.startswith(b"HEAD") or " 304 " in status
    body = b"" if empty else stream.read(int(named["content-length"]))
    if named["x-request-id"] != MINE:
        assert MINE not in body.decode("latin-1")
        headers = [line for line in headers if not line.lower().startswith("x-request-id:")]
    if status.split(" ")[1] >= "400":
        assert body.decode().count(named["x-request-id"]) >= 1
        tree = json.loads(body)
        for name in ("requestId", "timestamp", "instance"):
            tree.pop(name, None)
        body = json.dumps(tree).encode()
    return Came(status, tuple(line for line in headers if not line.lower().startswith("date:")), body)


@pytest.fixture(scope="module")
def requests() -> list[bytes]:
    return pool()


@pytest.fixture(scope="module")
def first(pyz: Path, requests: list[bytes]) -> list[Came]:
    """What each request gets from a process that was never asked anything before."""

    def ask_alone(call: bytes) -> Came:
        with (
            Built(pyz, "--workers=1", "--rate=0", "--client-rate=0", fresh=True) as service,
            socket.create_connection(("127.0.0.1", service.port), timeout=AMPLE_S) as sock,
        ):
            sock.sendall(call)
            with sock.makefile("rb") as stream:
                return came(stream, call)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(ask_alone, requests))


@pytest.fixture(scope="module")
def service(pyz: Path) -> Iterator[Built]:
    """The one that gets everything."""
    with Built(pyz, "--workers=2", "--rate=0", "--client-rate=0") as running:
        yield running


Plan = tuple[list[list[int]], list[tuple[int, float]]]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Requests for each of a few connections; in what order their bytes are sent: whose are next, and how much of the rest."""
    connections = draw(st.lists(st.lists(st.integers(0, len(pool()) - 1), min_size=1, max_size=6), min_size=1, max_size=5))
    turns = st.tuples(st.integers(0, len(connections) - 1), st.floats(0.01, 1))
    return connections, draw(st.lists(turns, max_size=20))


@settings(max_examples=examples(150))
@given(plan=plans())
def test_answers_are_those_of_processes_that_got_no_other_request(
    plan: Plan, service: Built, requests: list[bytes], first: list[Came]
) -> None:
    connections, turns = plan
    rest = [b"".join(requests[at] for at in each) for each in connections]
    socks = [socket.create_connection(("127.0.0.1", service.port), timeout=AMPLE_S) for _ in connections]
    try:
        for which, share in turns:
            size = round(len(rest[which]) * share)
            socks[which].sendall(rest[which][:size])
            rest[which] = rest[which][size:]
        for sock, last in zip(socks, rest):
            sock.sendall(last)
        for sock, each in zip(socks, connections):
            with sock.makefile("rb") as stream:
                assert [came(stream, requests[at]) for at in each] == [first[at] for at in each]
    finally:
        for sock in socks:
            sock.close()
