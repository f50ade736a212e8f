"""Asking an HTTP server: bounds in time and size, what a redirect takes along, and what each failure is called."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import EidosError, InvalidInput, Timeout
from eidos.http_wire.dialer import RequestError
from eidos.http_wire.fetch import ClientResponse, send_request
from eidos.http_wire.retry import AttemptFailed
from eidos.http_wire.url import parse_url
from tests.support.certificates import make_certificate, server_context
from tests.support.scripted_server import Reply, ScriptedServer, never_responds, resets_connection, responds, sends_bytes, sends_slowly
from tests.support.waiting import AMPLE_S


def ask(url: str, method: str = "GET", seconds: float = AMPLE_S, **more: Any) -> ClientResponse:
    try:
        return send_request(method, url, deadline=time.monotonic() + seconds, **more)
    except AttemptFailed as failure:
        raise failure.fault from failure


def fault(play: Reply, **more: Any) -> EidosError:
    with ScriptedServer([play]) as server, pytest.raises(EidosError) as caught:
        ask(server.url, **more)
    assert f"127.0.0.1:{server.port}" in caught.value.message
    return caught.value


def test_an_answer_is_an_answer_whatever_its_status() -> None:
    with ScriptedServer([responds(418, b"short and stout", X_Twice="a")]) as server:
        answer = ask(f"{server.url}/pot?x=1", "POST", body=b"tea", headers={"X-Id": "7"})
    assert (answer.status, answer.body, answer.headers["x-twice"]) == (418, b"short and stout", "a")
    (request,) = server.requests
    assert (request.line, request.body, request.headers["x-id"]) == ("POST /pot?x=1 HTTP/1.1", b"tea", "7")
    assert request.headers["connection"] == "close"


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name stands for two addresses, and the queue of the first is full: the kernel answers no further connection there."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    before = [socket.socket() for _ in range(3)]
    for sock in before:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    with ScriptedServer([responds(200, b"here")]) as server:
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", path) for path in (full.getsockname(), ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: addresses)
        assert ask(f"http://example.com:{server.port}", seconds=4).body == b"here"
    for sock in (full, *before):
        sock.close()


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
    ],
)
def test_bodies_in_every_framing(data: bytes, body: bytes) -> None:
    with ScriptedServer([sends_bytes(data)]) as server:
        assert ask(server.url).body == body


@pytest.mark.parametrize(
    ("play", "is_transient", "word"),
    [
        (sends_bytes(b""), True, "without a response"),
        (resets_connection, True, "reset"),
        (sends_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), True, "truncated"),
        (sends_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"), True, "truncated"),
        (sends_bytes(b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-"), True, "truncated"),
        (sends_bytes(b"HTTP/1.1 200 OK\r\n"), True, "truncated"),
        (sends_bytes(b"SSH-2.0-OpenSSH_9.6\r\n"), False, "not HTTP"),
        (sends_bytes(b"HTTP/1.1 2OO OK\r\n\r\n"), False, "not HTTP"),
        (sends_bytes(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"), False, "not HTTP"),
        (sends_bytes(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"), False, "not HTTP"),
        (responds(200, b"\x1f\x8b", Content_Encoding="gzip"), False, "unexpected content encoding"),
        (responds(200, b"", Content_Length="1000000000"), False, "larger than"),
    ],
)
def test_an_invalid_response_is_reported_as_one(play: Reply, is_transient: bool, word: str) -> None:
    result = fault(play)
    assert isinstance(result, RequestError)
    assert word in result.message
    assert result.is_transient is is_transient


def test_a_body_without_a_length_is_read_no_further_than_its_bound() -> None:
    def endless(connection: socket.socket, _: object) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    assert "larger than 100,000 bytes" in fault(endless, limit=100_000).message


@pytest.mark.parametrize(
    "play",
    [
        never_responds,
        sends_slowly(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000),
        sends_slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + b"x" * 9999),
        sends_slowly(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
)
def test_the_deadline_holds_whatever_comes(play: Reply) -> None:
    began = time.monotonic()
    assert isinstance(fault(play, seconds=0.3), Timeout)
    assert time.monotonic() - began < AMPLE_S


def test_the_deadline_holds_for_a_body_that_is_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with pytest.raises(Timeout):
            ask(f"http://127.0.0.1:{deaf.getsockname()[1]}", "POST", 0.3, body=b"x" * (16 << 20))
        assert time.monotonic() - began < AMPLE_S


def test_an_answer_before_the_end_of_the_request_is_heard() -> None:
    def impatient(connection: socket.socket, _: object) -> None:
        connection.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 8\r\n\r\ntoo much")

    with ScriptedServer([impatient]) as server:
        assert ask(server.url, "POST", body=b"x").status == 413


def test_no_server_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(RequestError, match="connection refused") as caught:
        ask(f"http://127.0.0.1:{port}")
    assert caught.value.is_transient
    with pytest.raises(RequestError, match="cannot resolve"):
        ask("http://eidos.invalid")


# ---- redirects ----


def test_credentials_stay_at_home() -> None:
    secrets = {"Authorization": "Bearer x", "Cookie": "y", "X-Plain": "z"}
    with (
        ScriptedServer([responds(200, b"there")]) as away,
        ScriptedServer([responds(302, Location="/b"), responds(307, Location=away.url + "/c")]) as home,
    ):
        answer = ask(home.url + "/a", headers=secrets)
    assert (answer.body, answer.url.origin) == (b"there", away.url)
    assert [request.line.split()[1] for request in home.requests] == ["/a", "/b"]
    assert all(request.headers["authorization"] == "Bearer x" for request in home.requests)
    (request,) = away.requests
    assert request.headers["x-plain"] == "z"
    assert not {"authorization", "cookie"} & set(request.headers)


def test_redirects_that_are_not_followed() -> None:
    with ScriptedServer([responds(302, Location="/again")]) as circle:
        with pytest.raises(RequestError, match="more than 5 redirects"):
            ask(circle.url)
        assert len(circle.requests) == 6
        assert ask(circle.url, "POST", body=b"x").status == 302, "what was said is not said to somebody else"
    for path in ("file:///etc/passwd", "http://u:p@127.0.0.1/", "http://["):
        with ScriptedServer([responds(302, Location=path)]) as server, pytest.raises(RequestError, match="redirect to invalid URL"):
            ask(server.url)


# ---- TLS ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_certificate_is_verified(certificate: Path) -> None:
    with (
        ScriptedServer([responds(200)], server_context(certificate)) as server,
        pytest.raises(RequestError, match="certificate not trusted") as caught,
    ):
        ask(server.url)
    assert not caught.value.is_transient
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    assert server.requests == []


def test_a_certificate_that_is_trusted_and_no_way_back_to_http(certificate: Path) -> None:
    code = (
        "import sys, time\nfrom eidos.http_wire.fetch import send_request\nfrom eidos.http_wire.retry import AttemptFailed\n"
        "try:\n    print(send_request('GET', sys.argv[1], deadline=time.monotonic() + 60).body)\n"
        "except AttemptFailed as failure:\n    print(failure.fault)\n"
    )
    plays = [responds(200, b"trusted"), responds(302, Location="http://127.0.0.1/"), never_responds]
    with ScriptedServer(plays, server_context(certificate)) as server:
        outputs = []
        for _ in range(2):
            environ = {**os.environ, "SSL_CERT_FILE": str(certificate / "ca.pem")}
            command = [sys.executable, "-c", code, server.url]
            outputs.append(subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=AMPLE_S).stdout)
        with pytest.raises(EidosError):
            ask(server.url, seconds=0.3)
    assert outputs[0] == "b'trusted'\n"
    assert "not encrypted" in outputs[1]


def test_http_is_no_https() -> None:
    with ScriptedServer([responds(400)]) as server, pytest.raises(RequestError, match="TLS failed") as caught:
        ask(server.url.replace("http", "https"))
    assert not caught.value.is_transient


# ---- URLs ----


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com", "ftp://example.com", "http://", "http:///x", "http://u:p@example.com", "http://@example.com", "http://a b"),
        *(
            "http://example.com:0",
            "http://example.com:99999",
            "http://example.com:x",
            "http://[::1",
            "http://exämple.com",
            "http://a/\r\nX: y",
        ),
        "http://example.com/" + "x" * 10_000,
    ],
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_url(text)


@given(st.text(max_size=40).map(lambda text: f"http://{text}") | st.text(max_size=40))
def test_any_text_is_a_url_or_an_error(text: str) -> None:
    try:
        result = parse_url(text)
    except InvalidInput:
        return
    assert result.scheme in ("http", "https")
    assert result.host
    assert 0 < result.port < 65536
    assert result.target.startswith("/")
