"""Watches: the events of a collection, across streams that end.

Knows watches (Kubernetes documentation, "Kubernetes API Concepts", Efficient detection of changes): lines of JSON, bookmarks, errors
that arrive as events, and how to resume; must not know what is watched.

A stream ends often: the server closes it after its timeout, or a connection breaks. It is resumed from the last resource version. When that
has expired (410) the collection is listed again: every object comes as ADDED once more, objects of this watch that are gone come as
DELETED, with only their name and labels, and a BOOKMARK has the resource version to continue from.
"""

from __future__ import annotations

import time

from eidos.errors import KubeError, Timeout
from eidos.http_wire.connection_pool import ConnectionBroken
from eidos.kube import list_pages, responses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.http_wire.connection_pool import StreamedResponse
    from eidos.kube.request_sender import RequestSender
    from eidos.kube.responses import RequestInfo, Tree

#: Bytes of one event; etcd stores no larger object.
EVENT_LIMIT = 8 << 20

#: Seconds after which the server is told to end a stream, and that the stream may be silent beyond them.
STREAM_S, SILENCE_S = 240, 5.0

#: Streams in a row that may break, or expire, before their first event.
FAILURE_LIMIT = 3

#: Seconds before a stream is resumed that broke or ended at once; doubled for each further one, up to the maximum.
PAUSE_S, MAX_PAUSE_S = 0.1, 5.0

#: Objects in one page when the collection is listed again.
PAGE_SIZE = 250

_EVENT_TYPES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


def watch_collection(
    sender: RequestSender,
    path: str,
    resource_version: str,
    label_selector: str | None,
    field_selector: str | None,
    deadline: float,
) -> Iterator[tuple[str, Tree]]:
    """Event types and objects until ``deadline``. Raises what ``sender`` does."""
    selectors = list_pages.selectors(label_selector, field_selector)
    request = responses.request_info("GET", path, {"watch": "true"})
    version = resource_version
    existing: dict[str, Tree] = {}
    failures = empty = 0
    while time.monotonic() < deadline:
        started = time.monotonic()
        try:
            for event_type, item in _read_stream(sender, path, {**selectors, "resourceVersion": version}, request, deadline):
                failures = empty = 0
                version = _resource_version(item) or version
                _remember(existing, event_type, item)
                yield event_type, item
            if time.monotonic() - started < PAUSE_S:  # a proxy without support for streams must not get thousands of requests
                empty += 1
                _pause(empty, deadline)
        except responses.ResourceExpired as fault:
            failures += 1
            if failures > FAILURE_LIMIT:
                raise
            sender.report(f"{fault.message}; listing again")
            previous, version, existing = existing, "", {}
            for items, list_version in list_pages.list_versioned_pages(sender, path, selectors, PAGE_SIZE, deadline):
                version = list_version
                for item in items:
                    _remember(existing, "ADDED", item)
                    yield "ADDED", item
            for key, metadata in previous.items():
                if key not in existing:
                    yield "DELETED", {"metadata": metadata}
            yield "BOOKMARK", {"metadata": {"resourceVersion": version}}
        except ConnectionBroken as broken:
            if isinstance(broken.fault, Timeout) and time.monotonic() >= deadline:
                return
            failures += 1
            if failures > FAILURE_LIMIT or not broken.is_retryable:
                raise broken.fault from broken
            sender.report(f"{broken.fault.message}; watching again")
            _pause(failures, deadline)
        except Timeout:
            if time.monotonic() < deadline:
                raise
            return


def _pause(count: int, deadline: float) -> None:
    time.sleep(max(0.0, min(PAUSE_S * 2 ** min(count, 9), MAX_PAUSE_S, deadline - time.monotonic())))


def _read_stream(
    sender: RequestSender, path: str, query: dict[str, str], request: RequestInfo, deadline: float
) -> Iterator[tuple[str, Tree]]:
    """The events of one stream, until the server ends it. Raises ConnectionBroken, Timeout, ResourceExpired, KubeError."""
    subject = f"{sender.cluster.server}: to {request}"
    seconds = max(1, min(STREAM_S, int(deadline - time.monotonic())))
    parameters = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds), **query}
    response = sender.send("GET", path, parameters, lambda response, _: response, deadline=deadline)
    try:
        for line in _read_lines(response, subject, min(deadline, time.monotonic() + seconds + SILENCE_S)):
            event = responses.parse_object(responses.RawBody(line, False, "application/json"), subject)
            event_type, item = event.get("type"), event.get("object")
            if event_type == "ERROR":
                raise responses.error_from_event(item, request, sender.cluster.server)
            # A later version of Kubernetes may add types; they are ignored.
            if event_type not in _EVENT_TYPES:
                continue
            if not isinstance(item, dict) or (event_type != "BOOKMARK" and not responses.has_name(item)):
                raise KubeError(f"{subject}: an event has no object", responses.SERVER_HINT)
            yield event_type, item
    finally:
        response.abort()


def _read_lines(response: StreamedResponse, subject: str, deadline: float) -> Iterator[bytes]:
    if "gzip" in response.headers.get("content-encoding", ""):
        raise KubeError(f"{subject}: unexpected compression of a stream")
    rest = b""
    while True:
        chunk = response.read_chunk(deadline)
        if not chunk:
            return  # an unterminated line is an incomplete event
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > EVENT_LIMIT:
            raise KubeError(f"{subject}: an event is larger than {EVENT_LIMIT >> 20} MiB")
        yield from (line for line in lines if line.strip())


def _resource_version(item: Tree) -> str:
    metadata = item.get("metadata")
    return str(metadata.get("resourceVersion") or "") if isinstance(metadata, dict) else ""


def _remember(existing: dict[str, Tree], event_type: str, item: Tree) -> None:
    """Update ``existing``, which has the metadata for a DELETED event in case an object is gone after a gap."""
    if event_type == "DELETED":
        existing.pop(list_pages.object_key(item), None)
    elif event_type != "BOOKMARK":
        metadata = item["metadata"]
        fields = {name: metadata[name] for name in ("name", "namespace", "uid", "labels") if name in metadata}
        existing[list_pages.object_key(item)] = fields
