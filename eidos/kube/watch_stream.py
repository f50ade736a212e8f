"""What happens in a collection, as it happens.

Knows watches (Kubernetes documentation, "Kubernetes API Concepts", Efficient detection of changes): lines of JSON, bookmarks, errors that
come as events, and how to go on after them; must not know what is watched.

A stream ends all the time: the server's time is over, a connection breaks, a bookmark was the last that came. It is taken up again from
the last version seen. When that is too old (410) the collection is listed anew: all that is there comes as ADDED once more, what this
watch told of and is gone comes as DELETED, with its name and labels alone, and a BOOKMARK says from which version on it goes on.
"""

from __future__ import annotations

import time

from eidos.errors import KubeError, Timeout
from eidos.kube import list_pages, responses
from eidos.kube.connection_pool import Broken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.kube.api_client import Client
    from eidos.kube.connection_pool import Reply
    from eidos.kube.responses import Asked, Tree

#: Bytes of one event; etcd holds no object that is larger.
LINE_LIMIT = 8 << 20

#: Seconds that a server is asked to keep one stream open, and that it may be silent beyond them.
STREAM, SILENCE = 240, 5.0

#: Streams in a row that break, or are too old, before anything came.
FAILURES = 3

#: Seconds before a broken stream, or one that ends at once, is taken up again; twice that after another one, and at most.
PAUSE, LONGEST = 0.1, 5.0

#: Objects in one page when a list is read anew.
PAGE = 250

_EVENTS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


def watch(client: Client, path: str, version: str, labels: str | None, fields: str | None, deadline: float) -> Iterator[tuple[str, Tree]]:
    """Events until ``deadline``, then nothing more. Raises what :class:`eidos.kube.api_client.Client` does."""
    chosen = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
    request = responses.asked("GET", path, {"watch": "true"})
    seen: dict[str, Tree] = {}
    failures = empty = 0
    while time.monotonic() < deadline:
        began = time.monotonic()
        try:
            for kind, tree in _stream(client, path, {**chosen, "resourceVersion": version}, request, deadline):
                failures = empty = 0
                version = _version(tree) or version
                _note(seen, kind, tree)
                yield kind, tree
            if time.monotonic() - began < PAUSE:  # a proxy that knows no streams must not be asked thousands of times
                empty += 1
                _pause(empty, deadline)
        except responses.Expired as fault:
            failures += 1
            if failures > FAILURES:
                raise
            client.say(f"{fault.message}; it is listed anew")
            before, version, seen = seen, "", {}
            for items, at in list_pages.parts(client, path, chosen, PAGE, deadline):
                version = at
                for tree in items:
                    _note(seen, "ADDED", tree)
                    yield "ADDED", tree
            for name, metadata in before.items():
                if name not in seen:
                    yield "DELETED", {"metadata": metadata}
            yield "BOOKMARK", {"metadata": {"resourceVersion": version}}
        except Broken as broken:
            if isinstance(broken.fault, Timeout) and time.monotonic() >= deadline:
                return
            failures += 1
            if failures > FAILURES or not broken.again:
                raise broken.fault from broken
            client.say(f"{broken.fault.message}; it is watched again")
            _pause(failures, deadline)
        except Timeout:
            if time.monotonic() < deadline:
                raise
            return


def _pause(count: int, deadline: float) -> None:
    time.sleep(max(0.0, min(PAUSE * 2 ** min(count, 9), LONGEST, deadline - time.monotonic())))


def _stream(client: Client, path: str, query: dict[str, str], request: Asked, deadline: float) -> Iterator[tuple[str, Tree]]:
    """The events of one stream, until the server ends it. Raises Broken, Timeout, Expired, KubeError."""
    where = f"{client.cluster.server}: to {request}"
    seconds = max(1, min(STREAM, int(deadline - time.monotonic())))
    asked = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds), **query}
    reply = client.call("GET", path, asked, lambda reply, _: reply, deadline=deadline)
    try:
        for line in _lines(reply, where, min(deadline, time.monotonic() + seconds + SILENCE)):
            event = _event(line, where)
            kind, tree = event.get("type"), event.get("object")
            if kind == "ERROR":
                raise responses.event_fault(tree, request, client.cluster.server)
            # What a later version of Kubernetes may add is not for us.
            if kind in _EVENTS and isinstance(tree, dict):
                yield kind, tree
    finally:
        reply.drop()


def _lines(reply: Reply, where: str, deadline: float) -> Iterator[bytes]:
    if "gzip" in reply.headers.get("content-encoding", ""):
        raise KubeError(f"{where}: it packs what must come at once")
    rest = b""
    while True:
        part = reply.read(deadline)
        if not part:
            return  # what is left over, if anything, is no whole event
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > LINE_LIMIT:
            raise KubeError(f"{where}: an event is larger than {LINE_LIMIT >> 20} MiB")
        yield from (line for line in lines if line.strip())


def _event(line: bytes, where: str) -> Tree:
    raw = responses.Raw(line, False, "application/json")
    return responses.tree(raw, where)


def _version(tree: Tree) -> str:
    metadata = tree.get("metadata")
    return str(metadata.get("resourceVersion") or "") if isinstance(metadata, dict) else ""


def _note(seen: dict[str, Tree], kind: str, tree: Tree) -> None:
    """Keep what must be said of an object should it be gone after a gap."""
    if kind == "DELETED":
        seen.pop(list_pages.key(tree), None)
    elif kind != "BOOKMARK":
        metadata = tree.get("metadata")
        if isinstance(metadata, dict):
            seen[list_pages.key(tree)] = {name: metadata[name] for name in ("name", "namespace", "uid", "labels") if name in metadata}
