"""HTTP/1.1 as a server parses it, without a socket: bytes in, requests or the status of an error out.

The malformed and smuggled requests are those of ``tests.server.test_wire``, here cut in every way.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.http_wire.messages import HttpError
from eidos.http_wire.request_head import CACHED_HEADS, HeadCache, parse_head
from eidos.http_wire.request_parser import BODY, CHUNK_LIMIT, HEAD, IDLE, MIN_CHUNK_BYTES, SIZE_LINE_LIMIT, ChunkedBody, RequestParser
from tests.server.test_wire import CHUNKED, GET, HOST, LAST, REFUSED, malformed, request

LIMIT = 100_000

WIKI = (
    request("POST /echo HTTP/1.1", "Content-Length: 4", "X: y", body=b"Wiki"),
    request("POST /echo HTTP/1.1", CHUNKED, body=b"2;x=y\r\nWi\r\n2\r\nki\r\n0\r\nTrailer: z\r\n\r\n"),
)


class Parsed(NamedTuple):
    """One request, as far as it matters here."""

    method: str
    target: str
    body: bytes


def parse(*parts: bytes, limit: int = LIMIT, heads: HeadCache | None = None) -> tuple[list[Parsed], int]:
    """The requests in the parts of a stream, and the status of the error that ends it, or 0."""
    parser, requests = RequestParser(heads or HeadCache(), limit), []
    try:
        for part in parts:
            parser.receive(part)
            while (message := parser.next_request()) is not None:
                head, body = message
                requests.append(Parsed(head.method, head.target, body))
    except HttpError as error:
        return requests, error.status
    return requests, 0


def cuts(data: bytes, chance: random.Random, count: int) -> Iterator[list[bytes]]:
    """The same bytes, cut at random."""
    for _ in range(count):
        at = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 8)))})
        yield [data[start:end] for start, end in zip(at, at[1:])]


@pytest.mark.parametrize("data", WIKI)
def test_a_request_may_be_cut_at_every_byte(data: bytes) -> None:
    data = GET + data + LAST
    requests = [Parsed("GET", "/echo", b""), Parsed("POST", "/echo", b"Wiki"), Parsed("GET", "/small", b"")]
    for cut in range(len(data)):
        assert parse(data[:cut], data[cut:]) == (requests, 0)
    assert parse(*(data[at : at + 1] for at in range(len(data)))) == (requests, 0)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_an_error_however_it_is_cut(name: str) -> None:
    """Behind it nothing is a request, whatever it looks like, and before it everything is."""
    status, data = REFUSED[name]
    assert parse(GET + data + LAST) == ([Parsed("GET", "/echo", b"")], status)
    for parts in cuts(data + LAST, random.Random(name), 40 if len(data) < 1000 else 4):
        assert parse(*parts) == ([], status)


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"\x16\x03", 400),
        (b"\r:", 400),
        (b"GET / HTTP/1.1\nX", 400),
        (b"GET /" + b"a" * (8192 - 5), 0),
        (b"GET /" + b"a" * (8193 - 5), 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * (65536 - 5), 0),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * (65537 - 5), 431),
    ],
)
def test_a_head_that_cannot_become_valid_is_an_error_before_its_end(beginning: bytes, status: int) -> None:
    assert parse(beginning) == ([], status)
    assert parse(*(beginning[at : at + 1000] for at in range(0, len(beginning), 1000))) == ([], status)
    assert parse(beginning[:1], beginning[1:]) == ([], status)


@given(st.integers(0, 1 << 32))
def test_any_bytes_give_the_same_requests_however_they_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    data = malformed(chance)
    requests, status = parse(data)
    for parts in cuts(data, chance, 6):
        assert parse(*parts) == (requests, status)


@given(st.binary(max_size=300))
def test_any_bytes_are_requests_or_an_error_of_the_client(data: bytes) -> None:
    _, status = parse(data, data)
    assert status in (0, 400, 408, 413, 414, 417, 431)


def test_phases_follow_the_bytes() -> None:
    parser = RequestParser(HeadCache(), LIMIT)
    steps = (
        (b"", IDLE, False, 0),
        (b"\r\n", HEAD, False, 0),
        (b"POST / HTTP/1.1\r\n", HEAD, True, 0),
        (b"Host: a\r\nContent-Length: 9\r\n\r\n", BODY, False, 0),
        (b"1234", BODY, False, 4),
    )
    for data, phase, has_partial_head, body_bytes in steps:
        parser.receive(data)
        assert parser.next_request() is None
        assert (parser.phase, parser.has_partial_head, parser.body_bytes) == (phase, has_partial_head, body_bytes)
    assert parser.head is not None
    parser.receive(b"56789" + GET)
    message = parser.next_request()
    assert message is not None and message[1] == b"123456789"
    assert (parser.body_bytes, parser.has_data) == (0, True)
    assert parser.next_request() is not None
    assert parser.next_request() is None
    assert (parser.phase, parser.has_data) == (IDLE, False)


def test_bytes_may_be_received_before_those_in_front_of_them_are_looked_at() -> None:
    parser = RequestParser(HeadCache(), LIMIT)
    targets = []
    for count in (3, 2):
        parser.receive(b"".join(request(f"GET /{number} HTTP/1.1") for number in range(count)))
        message = parser.next_request()
        assert message is not None
        targets.append(message[0].target)
    while (message := parser.next_request()) is not None:
        targets.append(message[0].target)
    assert targets == ["/0", "/1", "/2", "/0", "/1"]


def test_a_request_with_a_body_is_known_when_the_body_is_refused() -> None:
    for fields, body in ((("Content-Length: 11",), b""), ((CHUNKED,), b"b\r\n")):
        parser = RequestParser(HeadCache(), 10)
        parser.receive(request("POST /x HTTP/1.1", *fields, body=body))
        with pytest.raises(HttpError) as error:
            parser.next_request()
        assert error.value.status == 413
        assert parser.head is not None and parser.head.target == "/x"
        parser.clear()
        assert (parser.body_bytes, parser.has_data) == (0, False)


def test_a_client_that_waits_for_100_continue_is_known_until_it_sends() -> None:
    head = request("POST /echo HTTP/1.1", "Expect: 100-Continue", "Content-Length: 4")
    steady = request("POST /echo HTTP/1.1", "Content-Length: 4")
    without_body = request("GET / HTTP/1.1", "Expect: 100-continue")
    shortest = request("POST /echo HTTP/1.1", "Expect: 100-continue", "Content-Length: 1")
    for data, awaits in (
        (head, True),
        (shortest, True),
        (head + b"W", False),
        (steady, False),
        (steady + b"W", False),
        (without_body, False),
    ):
        parser = RequestParser(HeadCache(), LIMIT)
        parser.receive(data)
        parser.next_request()
        assert parser.awaits_continue is awaits
    parser = RequestParser(HeadCache(), LIMIT)
    parser.receive(head)
    assert parser.next_request() is None
    parser.receive(b"Wi")
    assert (parser.next_request(), parser.awaits_continue) == (None, False)


def test_limits_are_exact() -> None:
    """A byte less is fine."""
    longest = f"GET /{'a' * (8192 - len('GET / HTTP/1.1'))} HTTP/1.1"
    assert parse(request(longest))[1] == 0
    assert parse(request(longest.replace("/", "/a", 1)))[1] == 414
    for count, status in ((99, 0), (100, 431)):  # with Host
        assert parse(request("GET / HTTP/1.1", *(f"X-{at}: a" for at in range(count))))[1] == status
    for size, status in ((LIMIT, 0), (LIMIT + 1, 413)):
        assert parse(request("POST / HTTP/1.1", f"Content-Length: {size}", body=b"a" * size))[1] == status
        assert parse(request("POST / HTTP/1.1", CHUNKED, body=b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"a" * size)))[1] == status
    for size, status in ((8192, 0), (8193, 431)):
        trailers = b"A: %s\r\nB: %s\r\n\r\n" % (b"a" * 2000, b"a" * (size - 2000 - len("A: \r\nB: \r\n\r\n")))
        assert parse(request("POST / HTTP/1.1", CHUNKED, body=b"0\r\n" + trailers))[1] == status


def test_many_chunks_have_to_be_worth_their_parsing() -> None:
    """The last chunk, which is empty, is one of them."""
    for chunks, size, status in ((CHUNK_LIMIT - 1, 1, 0), (CHUNK_LIMIT, 1, 400), (CHUNK_LIMIT, MIN_CHUNK_BYTES + 1, 0)):
        body = b"%x\r\n%s\r\n" % (size, b"a" * size) * chunks + b"0\r\n\r\n"
        assert parse(request("POST / HTTP/1.1", CHUNKED, body=body), limit=1 << 20)[1] == status


@pytest.mark.parametrize(("size", "status"), [(2 * MIN_CHUNK_BYTES, 0), (2 * MIN_CHUNK_BYTES - 1, 400)])
def test_a_chunk_pays_for_itself_and_for_the_last_one(size: int, status: int) -> None:
    small = b"%x\r\n%s\r\n" % (MIN_CHUNK_BYTES, b"a" * MIN_CHUNK_BYTES) * CHUNK_LIMIT
    body = small + b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"a" * size)
    assert parse(request("POST / HTTP/1.1", CHUNKED, body=body), limit=1 << 20)[1] == status


@pytest.mark.parametrize("at", [0, 1, SIZE_LINE_LIMIT, None], ids=["one part", "two parts", "nearly a line", "bytes"])
def test_a_line_of_a_chunk_is_as_long_as_it_may_be_and_no_longer(at: int | None) -> None:
    def feed(length: int) -> bytes:
        data = b"1;" + b"x" * (length - 2) + b"\r\na\r\n0\r\n\r\n"
        body = ChunkedBody(10)
        for part in (data[:at], data[at:]) if at is not None else (data[at : at + 1] for at in range(len(data))):
            body.feed(part)
        return body.content()

    assert feed(SIZE_LINE_LIMIT - 1) == b"a"
    with pytest.raises(HttpError, match="the size of a chunk is too long"):
        feed(SIZE_LINE_LIMIT)


def test_a_body_never_holds_more_than_its_limit() -> None:
    body = ChunkedBody(10)
    with pytest.raises(HttpError) as error:
        body.feed(b"5\r\nabcde\r\n6\r\nabcdef\r\n")
    assert error.value.status == 413
    assert body.content() == b"abcde"


def test_heads_are_remembered_but_never_credentials_and_never_without_end() -> None:
    heads = HeadCache()
    plain = request("GET /a HTTP/1.1")
    first = heads.parse(plain)
    assert heads.parse(plain) is first
    for field in ("Authorization: Bearer x", "Cookie: x=y", f"X: {'a' * 3000}"):
        data = request("GET /a HTTP/1.1", field)
        assert heads.parse(data) is not heads.parse(data)
    for at in range(CACHED_HEADS - 1):
        heads.parse(request(f"GET /{at} HTTP/1.1"))
    assert heads.parse(plain) is first
    heads.parse(request("GET /b HTTP/1.1"))
    assert heads.parse(plain) is not first, "the oldest makes room"


def test_a_repeated_field_is_one_with_both_values() -> None:
    assert parse_head(b"GET / HTTP/1.1\r\nAccept: a\r\n" + HOST + b"accept: b\r\n\r\n").headers["accept"] == "a, b"


def test_a_remembered_head_cannot_be_changed_by_a_request() -> None:
    head = parse_head(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    with pytest.raises(TypeError):
        head.headers["host"] = "example.org"  # type: ignore[index]  # that is what must fail


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"GET / HTTP/2.1\r\nHost: a", "the version of HTTP must be 1.1 or 1.0"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b: c", "a header line begins with white space"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\tb: c", "a header line begins with white space"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nb", "a header line has no colon"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nb : c", "the name of a field contains invalid characters"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nb: \0", "the value of a field contains a control character"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0", "the field Content-Length is not a valid length"),
    ],
)
def test_a_refused_head_is_explained(lines: bytes, message: str) -> None:
    with pytest.raises(HttpError) as refused:
        parse_head(lines + b"\r\n\r\n")
    assert (refused.value.status, refused.value.message) == (400, message)


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("1.1", "", True),
        ("1.0", "", False),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "Connection: upgrade\r\n", True),
        ("1.0", "Connection: Keep-Alive\r\n", True),
        ("1.0", "Connection: upgrade\r\n", False),
        ("1.0", "Connection: keep-alive, close\r\n", False),
    ],
)
def test_a_connection_stays_open_as_its_version_and_options_say(version: str, connection: str, stays: bool) -> None:
    assert parse_head(f"GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n".encode()).keep_alive is stays


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://example.com", "/", ""),
        ("http://example.com?a=/b", "/", "a=/b"),
        ("http://example.com/a?b=/c?d", "/a", "b=/c?d"),
        ("http://[2001:db8::1]:80/a", "/a", ""),
    ],
)
def test_the_path_of_an_absolute_target_begins_behind_its_authority(target: str, path: str, query: str) -> None:
    head = parse_head(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (head.path, head.query) == (path, query)


def test_a_malformed_trailer_is_refused() -> None:
    assert parse(request("POST / HTTP/1.1", CHUNKED, body=b"0\r\nno colon\r\n\r\n")) == ([], 400)
