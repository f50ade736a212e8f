"""The transport, byte by byte: split, pipelined, malformed and smuggled requests over a real socket."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.transport_process import Answer, Service, answers, everything, read_answer, running
from tests.support.waiting import AMPLE_S

HOST = b"Host: example.com\r\n"
GET = b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /small HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    yield from running(header_timeout=AMPLE_S, max_body=100000)


def request(line: str = "GET /echo HTTP/1.1", *fields: str, body: bytes = b"", host: bool = True) -> bytes:
    lines = [line, *(["Host: example.com"] if host else []), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def one(service: Service, data: bytes) -> Answer:
    """The only answer to ``data``, after which the service closed."""
    parsed = answers(service.ask(data))
    assert len(parsed) == 1
    return parsed[0]


# ---- what is right ----


def test_a_request_reaches_the_application_unchanged(service: Service) -> None:
    with service.connect() as sock:
        sock.sendall(request("POST /echo?a=%20b HTTP/1.1", "X-One: 1", "x-one:\t2 ", "Content-Length: 3", body=b"a\0b"))
        echoed = json.loads(read_answer(sock).body)
    assert (echoed["method"], echoed["target"], echoed["path"], echoed["query"]) == ("POST", "/echo?a=%20b", "/echo", "a=%20b")
    assert echoed["headers"] == {"host": "example.com", "x-one": "1, 2", "content-length": "3"}
    assert (echoed["body"], echoed["client"], echoed["peer"]) == ("a\0b", "127.0.0.1", "127.0.0.1")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", echoed["id"])


def test_an_answer_has_what_every_answer_has(service: Service) -> None:
    answer = one(service, LAST)
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])
    assert answer.headers["server"] == "eidos-api-server"
    assert answer.headers["content-length"] == "4096" == str(len(answer.body))
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "data",
    [
        request("POST /echo HTTP/1.1", "Content-Length: 4", "X: y", body=b"Wiki"),
        request("POST /made HTTP/1.1", "Transfer-Encoding: chunked", body=b"2;x=y\r\nWi\r\n2\r\nki\r\n0\r\nTrailer: z\r\n\r\n"),
    ],
)
def test_a_request_may_be_split_at_every_byte(service: Service, data: bytes) -> None:
    data += LAST
    with service.connect() as steady:
        steady.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(data)):
            with service.connect() as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.sendall(data[:cut])
                time.sleep(0.0005)
                sock.sendall(data[cut:])
                first, second = answers(everything(sock))
                assert json.loads(first.body)["body"] == "Wiki"
                assert second.status == 200
        for at in range(len(data) - len(LAST)):  # and all of it in single bytes
            steady.sendall(data[at : at + 1])
            time.sleep(0.0002)
        assert json.loads(read_answer(steady).body)["body"] == "Wiki"


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    """Some at once, some from a thread, some with a body; more of them than are answered in one turn."""
    paths = [f"/{('echo', 'made', 'echo', 'small')[at % 4]}?{at}" for at in range(203)]
    data = b""
    for at, path in enumerate(paths):
        if at % 5 == 0:
            data += request(f"POST {path} HTTP/1.1", "Content-Length: 2", body=b"%02d" % (at % 100))
        else:
            data += request(f"GET {path} HTTP/1.1")
    parsed = answers(service.ask(data + LAST))
    assert len(parsed) == len(paths) + 1
    for at, (path, answer) in enumerate(zip(paths, parsed)):
        if "small" in path:
            assert len(answer.body) == 4096
        else:
            echoed = json.loads(answer.body)
            assert echoed["target"] == path
            assert echoed["body"] == (f"{at % 100:02}" if at % 5 == 0 else "")


def test_many_pipelined_answers_wait_for_a_client_that_reads_late(service: Service) -> None:
    data = b"GET /small HTTP/1.1\r\n" + HOST + b"\r\n"
    with service.connect() as sock:
        sock.sendall(data * 2000 + LAST)
        time.sleep(0.3)
        parsed = answers(everything(sock))
    assert len(parsed) == 2001
    assert {answer.status for answer in parsed} == {200}


def test_a_large_answer_is_complete_and_the_next_follows_it(service: Service) -> None:
    with service.connect() as sock:
        sock.sendall(request("GET /big?20000000 HTTP/1.1") + request("GET /echo HTTP/1.1") + LAST)
        time.sleep(0.1)
        parsed = answers(everything(sock))
    assert [len(answer.body) for answer in parsed[::2]] == [20_000_000, 4096]
    assert json.loads(parsed[1].body)["path"] == "/echo"


def test_head_gets_the_header_of_get_and_no_body(service: Service) -> None:
    for path in ("/small", "/made", "/nothing"):
        data = request(f"HEAD {path} HTTP/1.1") + request(f"HEAD {path} HTTP/1.1", "Connection: close")
        parsed = answers(service.ask(data), heads=True)
        assert len(parsed) == 2
        assert all(int(answer.headers["content-length"]) > 0 and answer.body == b"" for answer in parsed)


def test_answers_that_have_no_body_have_none(service: Service) -> None:
    parsed = answers(service.ask(request("GET /none HTTP/1.1") + request("GET /unchanged HTTP/1.1") + LAST))
    assert [answer.status for answer in parsed] == [204, 304, 200]
    assert "content-length" not in parsed[0].headers
    assert parsed[1].body == b""


def test_the_body_of_a_get_is_never_a_second_request(service: Service) -> None:
    hidden = b"GET /small HTTP/1.1\r\n" + HOST + b"\r\n"
    for fields in ([f"Content-Length: {len(hidden)}"], ["Transfer-Encoding: chunked"]):
        body = hidden if "Length" in fields[0] else b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
        parsed = answers(service.ask(request("GET /echo?first HTTP/1.1", *fields, body=body) + LAST))
        assert len(parsed) == 2
        assert json.loads(parsed[0].body)["body"].encode() == hidden


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_connections_persist_as_the_version_says(service: Service, version: str) -> None:
    old = version == "1.0"
    for value, stays in ((None, not old), ("keep-alive", True), ("close", False), ("keep-alive, CLOSE", False), ("upgrade", not old)):
        fields = [f"Connection: {value}"] if value else []
        with service.connect() as sock:
            sock.sendall(request(f"GET /echo HTTP/{version}", *fields))
            answer = read_answer(sock)
            assert answer.headers.get("connection") == (("keep-alive" if old else None) if stays else "close")
            sock.settimeout(0.05 if stays else AMPLE_S)
            if stays:
                with pytest.raises(socket.timeout):
                    sock.recv(1)
            else:
                assert sock.recv(1) == b""


def test_http_1_0_needs_no_host_and_1_2_is_taken_for_1_1(service: Service) -> None:
    assert one(service, request("GET /echo HTTP/1.0", host=False)).status == 200
    assert answers(service.ask(request("GET /echo HTTP/1.2") + LAST))[0].status == 200


def test_100_continue_is_sent_to_clients_that_wait_for_it(service: Service) -> None:
    head = request("POST /echo HTTP/1.1", "Expect: 100-Continue", "Content-Length: 4")
    with service.connect() as sock:
        sock.sendall(GET + head)
        assert read_answer(sock).status == 200
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"Wiki")
        assert json.loads(read_answer(sock).body)["body"] == "Wiki"
        sock.sendall(head + b"Wiki")  # it did not wait
        assert json.loads(read_answer(sock).body)["body"] == "Wiki"
        sock.sendall(request("GET /echo HTTP/1.1", "Expect: 100-continue"))
        assert read_answer(sock).status == 200
        sock.sendall(request("POST /echo HTTP/1.1", "Expect: 100-continue", "Content-Length: 100001"))
        assert read_answer(sock).status == 413
    refused = request("POST /nothing HTTP/1.1", "Expect: 100-continue", "Content-Length: 4")
    (answer,) = answers(service.ask(refused))
    assert (answer.status, answer.headers["connection"]) == (404, "close"), "and no 100 before it"
    old = request("POST /echo HTTP/1.0", "Expect: 100-continue", "Content-Length: 1", body=b"x")
    assert one(service, old).status == 200, "HTTP/1.0 knows no expectations"
    assert one(service, request("GET / HTTP/1.1", "Expect: a-miracle")).status == 417


def test_absolute_targets_name_the_path(service: Service) -> None:
    for target, path, query in (
        ("http://example.com/echo?x", "/echo", "x"),
        ("HTTP://[2001:db8::1]:80/echo", "/echo", ""),
        ("http://example.com/%65cho", "/echo", ""),
    ):
        with service.connect() as sock:
            sock.sendall(request(f"GET {target} HTTP/1.1"))
            echoed = json.loads(read_answer(sock).body)
            assert (echoed["path"], echoed["query"]) == (path, query)


def test_an_empty_line_before_a_request_is_ignored(service: Service) -> None:
    assert len(answers(service.ask(b"\r\n" + GET + b"\r\n\r\n" + GET + LAST))) == 3


def test_a_request_id_is_used_if_it_is_a_uuid(service: Service) -> None:
    known = "0B0E7F4E-7F3C-4A8E-9C53-0D6F4F4F8B1A"
    for value, is_used in ((known, True), (known + "0", False), ("a b", False), ("", False)):
        echoed = json.loads(service.get("/echo", f"X-Request-Id: {value}").body)
        assert (echoed["id"] == value) is is_used


def test_a_header_that_would_break_out_is_a_fault_of_ours(service: Service) -> None:
    answer = service.get("/break")
    assert answer.status == 500
    assert "x-forged" not in answer.headers


def test_a_client_that_says_no_more_gets_its_answers(service: Service) -> None:
    """Half-closed, with everything in one packet."""
    with service.connect() as sock:
        sock.sendall(GET + GET)
        sock.shutdown(socket.SHUT_WR)
        assert len(answers(everything(sock))) == 2
    with service.connect() as sock:
        sock.sendall(request("GET /slow?0.1 HTTP/1.1"))
        sock.shutdown(socket.SHUT_WR)
        assert [answer.body for answer in answers(everything(sock))] == [b"done\n"], "and so is what takes little"


# ---- what is wrong ----

CHUNKED = "Transfer-Encoding: chunked"

#: Name → status, bytes. After each the connection is closed, and nothing in it was a second request.
REFUSED = {
    "no-version": (400, request("GET /echo")),
    "http-0.9": (400, b"GET /echo\r\n\r\n"),
    "http-2": (400, request("GET /echo HTTP/2.0")),
    "preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "tls": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "version-case": (400, request("GET /echo http/1.1")),
    "version-digits": (400, request("GET /echo HTTP/1.10")),
    "two-spaces": (400, request("GET  /echo HTTP/1.1")),
    "tab": (400, request("GET\t/echo HTTP/1.1")),
    "space-behind": (400, request("GET /echo HTTP/1.1 ")),
    "space-in-target": (400, request("GET /e cho HTTP/1.1")),
    "space-before": (400, request(" GET /echo HTTP/1.1")),
    "control-in-target": (400, request("GET /e\x00cho HTTP/1.1")),
    "not-ascii-target": (400, request("GET /\xe9 HTTP/1.1")),
    "fragment": (400, request("GET /echo#x HTTP/1.1")),
    "relative": (400, request("GET echo HTTP/1.1")),
    "asterisk": (400, request("GET * HTTP/1.1")),
    "no-authority": (400, request("GET http:///echo HTTP/1.1")),
    "user": (400, request("GET http://a@b/echo HTTP/1.1")),
    "scheme": (400, request("GET ftp://example.com/echo HTTP/1.1")),
    "half-escape": (400, request("GET /%4 HTTP/1.1")),
    "no-escape": (400, request("GET /%zz HTTP/1.1")),
    "not-utf-8": (400, request("GET /%ff HTTP/1.1")),
    "method": (400, request("G(T /echo HTTP/1.1")),
    "no-host": (400, request(host=False)),
    "two-hosts": (400, request("GET /echo HTTP/1.1", "Host: example.com")),
    "two-hosts-1.0": (400, request("GET /echo HTTP/1.0", "Host: example.org")),
    "host-with-path": (400, request("GET /echo HTTP/1.1", "Host: a/b", host=False)),
    "host-with-space": (400, request("GET /echo HTTP/1.1", "Host: a b", host=False)),
    "host-with-user": (400, request("GET /echo HTTP/1.1", "Host: a@b", host=False)),
    "host-list": (400, request("GET /echo HTTP/1.1", "Host: a, b:x", host=False)),
    "fold": (400, request("GET /echo HTTP/1.1", "X: a", " b")),
    "fold-tab": (400, request("GET /echo HTTP/1.1", "X: a", "\tb")),
    "fold-first": (400, request("GET /echo HTTP/1.1", " X: a", host=False)),
    "space-before-colon": (400, request("GET /echo HTTP/1.1", "X : a")),
    "space-before-colon-length": (400, request("POST /echo HTTP/1.1", "Content-Length : 3", body=b"abc")),
    "no-colon": (400, request("GET /echo HTTP/1.1", "X")),
    "no-name": (400, request("GET /echo HTTP/1.1", ": a")),
    "name": (400, request("GET /echo HTTP/1.1", "X[]: a")),
    "name-nul": (400, request("GET /echo HTTP/1.1", "X\x00: a")),
    "name-8-bit": (400, request("GET /echo HTTP/1.1", "\xe9: a")),
    "nul": (400, request("GET /echo HTTP/1.1", "X: a\x00b")),
    "control": (400, request("GET /echo HTTP/1.1", "X: a\x7fb")),
    "bare-cr": (400, request("GET /echo HTTP/1.1", "X: a\rb")),
    "bare-cr-name": (400, request("GET /echo HTTP/1.1", "X: a\rTransfer-Encoding: chunked")),
    "bare-lf": (400, request("GET /echo HTTP/1.1", "X: a\nY: b")),
    "only-lf": (400, b"GET /echo HTTP/1.1\nHost: a\n\n"),
    "lf-end": (400, b"GET /echo HTTP/1.1\r\nHost: a\n\r\n"),
    "cr-lines": (400, b"GET /echo HTTP/1.1\rHost: a\r\r\n\r\n"),
    "te-and-cl": (400, request("POST /echo HTTP/1.1", CHUNKED, "Content-Length: 5", body=b"0\r\n\r\n")),
    "cl-and-te": (400, request("POST /echo HTTP/1.1", "Content-Length: 5", CHUNKED, body=b"0\r\n\r\n")),
    "te-on-1.0": (400, request("POST /echo HTTP/1.0", CHUNKED, body=b"0\r\n\r\n")),
    "te-twice": (400, request("POST /echo HTTP/1.1", CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    "te-list-twice": (400, request("POST /echo HTTP/1.1", CHUNKED + ", chunked", body=b"0\r\n\r\n")),
    "te-not-last": (400, request("POST /echo HTTP/1.1", CHUNKED + ", gzip", body=b"0\r\n\r\n")),
    "te-identity": (400, request("POST /echo HTTP/1.1", "Transfer-Encoding: identity", body=b"0\r\n\r\n")),
    "te-odd": (400, request("POST /echo HTTP/1.1", "Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
    "te-empty": (400, request("POST /echo HTTP/1.1", "Transfer-Encoding:", body=b"0\r\n\r\n")),
    "te-vt": (400, request("POST /echo HTTP/1.1", "Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")),
    "te-quoted": (400, request("POST /echo HTTP/1.1", 'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n")),
    "te-gzip": (400, request("POST /echo HTTP/1.1", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "cl-twice": (400, request("POST /echo HTTP/1.1", "Content-Length: 3", "Content-Length: 3", body=b"abc")),
    "cl-differ": (400, request("POST /echo HTTP/1.1", "Content-Length: 3", "content-length: 0", body=b"abc")),
    "cl-list": (400, request("POST /echo HTTP/1.1", "Content-Length: 3, 3", body=b"abc")),
    "cl-plus": (400, request("POST /echo HTTP/1.1", "Content-Length: +3", body=b"abc")),
    "cl-minus": (400, request("POST /echo HTTP/1.1", "Content-Length: -3", body=b"abc")),
    "cl-hex": (400, request("POST /echo HTTP/1.1", "Content-Length: 0x3", body=b"abc")),
    "cl-underscore": (400, request("POST /echo HTTP/1.1", "Content-Length: 1_0", body=b"abc")),
    "cl-inner-space": (400, request("POST /echo HTTP/1.1", "Content-Length: 1 0", body=b"abc")),
    "cl-superscript": (400, request("POST /echo HTTP/1.1", "Content-Length: \xb3", body=b"abc")),
    "cl-empty": (400, request("POST /echo HTTP/1.1", "Content-Length:", body=b"abc")),
    "cl-endless": (400, request("POST /echo HTTP/1.1", f"Content-Length: {'9' * 30}", body=b"abc")),
    "cl-large": (413, request("POST /echo HTTP/1.1", "Content-Length: 100001", body=b"abc")),
    "chunk-no-size": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"\r\nabc\r\n0\r\n\r\n")),
    "chunk-not-hex": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"g\r\nabc\r\n0\r\n\r\n")),
    "chunk-0x": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n")),
    "chunk-minus": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"-3\r\nabc\r\n0\r\n\r\n")),
    "chunk-space": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"3 \r\nabc\r\n0\r\n\r\n")),
    "chunk-lf": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"3\nabc\r\n0\r\n\r\n")),
    "chunk-ext-lf": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"3;a\nb\r\nabc\r\n0\r\n\r\n")),
    "chunk-ext-cr": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"3;a\rb\r\nabc\r\n0\r\n\r\n")),
    "chunk-too-long": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n")),
    "chunk-too-short": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"5\r\nabc\r\n0\r\n\r\n")),
    "chunk-ends-in-lf": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"3\r\nabc\n0\r\n\r\n")),
    "chunk-huge": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"fffffffffffffffff\r\nabc")),
    "chunk-large": (413, request("POST /echo HTTP/1.1", CHUNKED, body=b"186a1\r\nabc")),
    "chunk-ext-endless": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"1;" + b"x" * 300)),
    "chunk-ext-heavy": (400, request("POST /echo HTTP/1.1", CHUNKED, body=(b"1;" + b"x" * 200 + b"\r\na\r\n") * 50)),
    "chunks-tiny": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"1\r\na\r\n" * 17000)),
    "trailer": (400, request("POST /echo HTTP/1.1", CHUNKED, body=b"0\r\nX : y\r\n\r\n")),
    "trailers-endless": (431, request("POST /echo HTTP/1.1", CHUNKED, body=b"0\r\n" + b"X: y\r\n" * 2000)),
    "long-line": (414, request(f"GET /{'a' * 8192} HTTP/1.1")),
    "endless-line": (414, b"GET /" + b"a" * 9000),
    "long-header": (431, request("GET /echo HTTP/1.1", *(f"X-{at}: {'a' * 1000}" for at in range(66)))),
    "endless-header": (431, b"GET /echo HTTP/1.1\r\nX: " + b"a" * 70000),
    "many-fields": (431, request("GET /echo HTTP/1.1", *(f"X-{at}: a" for at in range(101)))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_and_the_connection_closed(service: Service, name: str) -> None:
    status, data = REFUSED[name]
    answer = one(service, data + LAST)
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    envelope = json.loads(answer.body)
    assert set(envelope) == {"code", "message", "details", "requestId", "timestamp", "retryable"}
    parsed = answers(service.ask(GET + data + LAST))
    assert [answer.status for answer in parsed] == [200, status], "what was asked before it is answered"


def test_a_refusal_of_a_body_answers_its_request(service: Service) -> None:
    known = "0b0e7f4e-7f3c-4a8e-9c53-0d6f4f4f8b1a"
    fields = (f"X-Request-Id: {known}", "Accept: application/problem+json")
    for field, body in (("Content-Length: 100001", b""), (CHUNKED, b"186a1\r\n")):
        answer = one(service, request("POST /echo HTTP/1.1", field, *fields, body=body))
        assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
        assert answer.headers["x-request-id"] == json.loads(answer.body)["requestId"] == known
    assert service.ask(request("HEAD /echo HTTP/1.1", "Content-Length: 100001")).endswith(b"\r\n\r\n")


def test_limits_are_what_they_say(service: Service) -> None:
    """A byte less is fine."""
    line = f"GET /echo?{'a' * (8192 - len('GET /echo? HTTP/1.1'))} HTTP/1.1"
    fields = [f"X-{at}: {'a' * 600}" for at in range(99)]
    length = str(100000)
    parsed = answers(
        service.ask(
            request(line)
            + request("GET /small HTTP/1.1", *fields)
            + request("POST /small HTTP/1.1", f"Content-Length: {length}", body=b"a" * 100000)
            + request("POST /small HTTP/1.1", CHUNKED, body=b"186a0\r\n" + b"a" * 100000 + b"\r\n0\r\n\r\n")
            + LAST
        )
    )
    assert [answer.status for answer in parsed] == [200] * 5


def test_a_body_that_is_refused_does_not_cost_the_answer(service: Service) -> None:
    """The client writes all of it before it reads: the connection must not be reset meanwhile."""
    with service.connect() as sock:
        sock.sendall(request("POST /echo HTTP/1.1", "Content-Length: 8000000"))
        for _ in range(80):
            sock.sendall(b"a" * 100000)
        sock.shutdown(socket.SHUT_WR)
        assert Answer(everything(sock)).status == 413


# ---- anything ----

PIECES = [
    *(b"GET", b"POST", b"HEAD", b"OPTIONS", b" ", b"  ", b"/echo", b"/small", b"/made", b"*", b"http://", b"HTTP/1.1", b"HTTP/1.0"),
    *(b"HTTP/9.9", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b":", b"%", b"0", b"\xff", b"ffffffffff", b"a" * 300),
    *(b"Host: a", b"Content-Length: 5", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Transfer-Encoding:", b"Connection: close"),
    *(b"Expect: 100-continue", b"5\r\nabcde\r\n0\r\n\r\n", b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"),
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
]


def malformed(chance: random.Random) -> bytes:
    """Bytes that are more or less a request."""
    if chance.random() < 0.5:
        return b"".join(chance.choices(PIECES, k=chance.randrange(1, 14)))
    data = bytearray(request("POST /echo?a=b HTTP/1.1", "X-Y: z", "Content-Length: 4", body=b"Wiki") + GET)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data))
        what = chance.randrange(4)
        if what == 0:
            data[at] = chance.randrange(256)
        elif what == 1:
            del data[at : at + chance.randrange(1, 8)]
        elif what == 2:
            data[at:at] = chance.choice(PIECES)
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


def fuzz(service: Service, seed: int, count: int) -> dict[int, int]:
    """Send ``count`` malformed requests and return how often each status came; fails for what is no HTTP/1.1 or a fault of the server."""
    chance = random.Random(seed)
    statuses: dict[int, int] = {}
    for at in range(count):
        data = malformed(chance)
        with service.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            received = everything(sock)
        for match in re.finditer(rb"HTTP/1\.1 (\d{3}) ", received):
            status = int(match[1])
            assert status < 500, (seed, at, data)
            statuses[status] = statuses.get(status, 0) + 1
    return statuses


@pytest.mark.slow
def test_whatever_comes_the_service_goes_on(service: Service) -> None:
    statuses = fuzz(service, 20, 1000)
    assert set(statuses) >= {200, 400}
    assert service.get("/small").status == 200
