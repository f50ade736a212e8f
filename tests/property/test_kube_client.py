"""Laws of what an API server may answer: any bytes, any lists, any streams."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import EidosError, KubeError, NotFound
from eidos.kube import list_pages, responses, watch_stream
from eidos.kube.cluster import Cluster

KINDS = ("application/json", "text/plain", "text/html", "")

NAMES = st.text("abz09-.", min_size=1, max_size=6)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


class FakeResponse:
    """An answer that is there already, in parts of some size."""

    def __init__(self, body: bytes, size: int = 1 << 16, status: int = 200, **headers: str) -> None:
        self.status, self.length = status, None
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._parts = [body[start : start + size] for start in range(0, len(body), size)]
        self.is_aborted = False

    def read_chunk(self, deadline: float | None = None) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    def abort(self) -> None:
        self.is_aborted = True


def assert_documented(fault: EidosError) -> None:
    """A message is a line that can be read."""
    assert fault.message.isprintable()
    assert len(fault.message) < 2000


@given(st.binary(max_size=200) | JSON.map(lambda tree: json.dumps(tree).encode()), st.sampled_from(KINDS), st.booleans())
def test_a_body_is_an_object_or_a_documented_failure(body: bytes, kind: str, packed: bool) -> None:
    try:
        tree = responses.parse_object(responses.RawBody(gzip.compress(body) if packed else body, packed, kind), "https://example.com")
    except KubeError as fault:
        assert_documented(fault)
    else:
        assert tree == json.loads(body)


@given(st.binary(max_size=100))
def test_what_is_packed_badly_is_a_documented_failure(body: bytes) -> None:
    for each in (body, gzip.compress(body)[:-4], gzip.compress(body)[:12]):
        try:
            responses.parse_object(responses.RawBody(each, True, "application/json"), "https://example.com")
        except KubeError as fault:
            assert_documented(fault)


@given(JSON, st.integers(300, 599), st.sampled_from(KINDS), st.text(max_size=30))
def test_a_refusal_of_any_form_is_a_documented_error(tree: Any, status: int, kind: str, location: str) -> None:
    reply = FakeResponse(b"", status=status, location=location)
    bodies = (tree, {"message": tree, "reason": tree, "metadata": tree}, {"metadata": {"continue": tree}})
    for each in bodies:
        raw = responses.RawBody(json.dumps(each).encode(), False, kind)
        fault = responses.error_from_response(reply, raw, responses.request_info("GET", "/api/v1/nodes"), "https://example.com", "it")  # type: ignore[arg-type]  # a reply without a connection
        assert isinstance(fault, NotFound if status == 404 else KubeError)
        assert_documented(fault)
    assert isinstance(responses.error_from_event(tree, responses.request_info("GET", "/api/v1/nodes"), "https://example.com"), KubeError)


class Lists:
    """A client whose lists break off where it is told to: a token that is too old brings another, or none."""

    def __init__(self, objects: list[dict[str, Any]], breaks: dict[int, bool]) -> None:
        self.cluster, self.deadline = Cluster("https://example.com"), time.monotonic() + 60
        self.objects, self.breaks = objects, breaks
        self.attempts = 0

    def report(self, text: str) -> None:
        pass

    def fetch_body(self, path: str, query: dict[str, str], deadline: float) -> responses.RawBody:
        self.attempts += 1
        token = query.get("continue", "")
        brings = self.breaks.pop(self.attempts, None) if token and not token.startswith("!") else None
        if brings is not None:
            expired = responses.ResourceExpired("too old", None, 410, "Expired")
            expired.token = f"!{token}" if brings else ""
            raise expired
        start, limit = int(token.lstrip("!") or 0), int(query["limit"])
        page = self.objects[start : start + limit]
        more = start + limit < len(self.objects)
        metadata = {"resourceVersion": "7", **({"continue": str(start + limit)} if more else {})}
        return responses.RawBody(json.dumps({"items": page, "metadata": metadata}).encode(), False, "application/json")


@given(
    st.sets(st.tuples(st.sampled_from(["", "a", "b", "b-c"]), NAMES), max_size=25),
    st.integers(1, 7),
    st.dictionaries(st.integers(2, 9), st.booleans(), max_size=3),
)
def test_a_list_has_each_object_once_and_in_order(keys: set[tuple[str, str]], limit: int, breaks: dict[int, bool]) -> None:
    """However long it is, wherever its tokens are too old, unless it must be begun again more than once."""
    objects = [{"metadata": {"name": name, **({"namespace": space} if space else {})}} for space, name in keys]
    trees = [tree for _, tree in sorted({list_pages.object_key(each): each for each in objects}.items())]
    again = sum(not brings for brings in breaks.values())
    lists = Lists(trees, dict(breaks))
    listed: list[str] = []
    try:
        for page in list_pages.list_pages(lists, "/api/v1/pods", None, None, limit):  # type: ignore[arg-type]  # a client without a server
            assert len(page) <= limit
            listed += map(list_pages.object_key, page)
    except responses.ResourceExpired:
        assert again > 1
        assert listed == sorted(listed)
    else:
        assert listed == [list_pages.object_key(each) for each in trees]


EVENTS = st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "LATER"]), NAMES), max_size=12)


class Streams:
    """A client whose watch is one stream of bytes."""

    def __init__(self, body: bytes, size: int) -> None:
        self.cluster, self.deadline = Cluster("https://example.com"), time.monotonic() + 60
        self.response = FakeResponse(body, size)

    def send(self, *_: Any, **__: Any) -> FakeResponse:
        return self.response


def stream(body: bytes, size: int) -> Iterator[tuple[str, Any]]:
    request = responses.request_info("GET", "/api/v1/nodes", {"watch": "true"})
    client = Streams(body, size)
    yield from watch_stream._read_stream(client, "/api/v1/nodes", {}, request, time.monotonic() + 60)  # type: ignore[arg-type]  # as above
    assert client.response.is_aborted


@given(EVENTS, st.integers(1, 60))
def test_a_stream_is_the_same_in_parts_of_any_size(events: list[tuple[str, str]], size: int) -> None:
    lines = [json.dumps({"type": kind, "object": {"metadata": {"name": name}}}).encode() + b"\n" for kind, name in events]
    expected = [(kind, {"metadata": {"name": name}}) for kind, name in events if kind != "LATER"]
    assert list(stream(b"".join(lines), size)) == expected
    assert list(stream(b"".join(lines) + b'{"type":', size)) == expected


@given(st.binary(max_size=80) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_a_line_of_a_stream_is_an_event_or_a_documented_failure(line: bytes) -> None:
    try:
        for kind, tree in stream(line + b"\n", 16):
            assert isinstance(kind, str)
            assert isinstance(tree, dict)
    except EidosError as fault:
        assert_documented(fault)
