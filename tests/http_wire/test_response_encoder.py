"""Responses as bytes: what every response has, what none has twice, and what breaks out of its line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.http_wire.messages import Response, ResponseEncoder

ENCODER = ResponseEncoder({200: ("OK", "more"), 204: ("No Content",), 304: ("Not Modified",)}, "example")

HEADERS = (("Content-Type", "text/plain"), ("X-Name", "é"))


def lines(data: bytes) -> list[str]:
    """The status line and the header lines, of a head that ends as it must."""
    head, end, _ = data.partition(b"\r\n\r\n")
    assert end
    return head.decode("latin-1").split("\r\n")


def test_a_response_has_what_every_response_has() -> None:
    data = ENCODER.encode(Response(200, HEADERS, b"body"))
    status_line, *fields = lines(data)
    assert status_line == "HTTP/1.1 200 OK"
    assert fields[0] == "Server: example"
    assert re.fullmatch(r"Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", fields[1])
    assert fields[2:] == ["Content-Type: text/plain", "X-Name: é", "Content-Length: 4"]
    assert data.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"close": True}, "Connection: close"),
        ({"is_http_1_0": True}, "Connection: keep-alive"),
        ({"close": True, "is_http_1_0": True}, "Connection: close"),
    ],
)
def test_the_connection_header_tells_what_is_not_the_default(options: dict[str, bool], line: str) -> None:
    assert lines(ENCODER.encode(Response(200, (), b""), **options))[-1] == line


def test_responses_without_a_body_have_none() -> None:
    response = Response(200, (), b"body")
    assert ENCODER.encode(response, is_head=True) == ENCODER.encode(response)[: -len(b"body")]
    for status in (204, 304):
        data = ENCODER.encode(Response(status, (), b"body"))
        assert data.endswith(b"\r\n\r\n")
        assert b"Content-Length" not in data


def test_a_status_without_a_phrase_is_sent_without_one() -> None:
    assert lines(ENCODER.encode(Response(299, (), b"")))[0] == "HTTP/1.1 299 "


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_header_breaks_out_of_its_line(name: str, value: str) -> None:
    try:
        data = ENCODER.encode(Response(200, ((name, value),), b""))
    except ValueError:
        assert "\r" in name + value or "\n" in name + value
    else:
        assert len(lines(data)) == 5
