"""Long lists, a page at a time.

Knows ``limit`` and ``continue`` (Kubernetes documentation, "Kubernetes API Concepts", Retrieving large results sets in chunks); it
must not know what is listed. While a page is used the next one is fetched and held as it came, compressed; it is taken apart when the
one before it is dropped. So no more than one is in memory as objects, however many there are.

A token to go on with can be too old (410). Then the answer brings another, which goes on where the first would have, in a list that is as
it is now: objects made or removed in between may be in it or not. Without one the list is begun again, once, and what was given
already is left out, for lists come in the order of their keys.
"""

from __future__ import annotations

import time

from eidos.errors import KubeError, Timeout
from eidos.kube import responses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.kube.api_client import Client
    from eidos.kube.responses import Raw, Tree
    from eidos.process.thread_pool import Future

#: Tokens in a row that are too old.
EXPIRED = 3


def pages(client: Client, path: str, labels: str | None, fields: str | None, limit: int) -> Iterator[list[Tree]]:
    """Lists of objects; each is emptied when the next is wanted. Raises what :class:`eidos.kube.api_client.Client` does."""
    chosen = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
    for items, _ in parts(client, path, chosen, limit, client.deadline):
        yield items


def parts(client: Client, path: str, chosen: dict[str, str], limit: int, deadline: float) -> Iterator[tuple[list[Tree], str]]:
    """The same, each with the version of the list; that may be one without objects."""
    query = {**chosen, "limit": str(limit)}
    where = f"{client.cluster.server}: to {responses.asked('GET', path)}"
    raw = client.fetch(path, query, deadline)
    expired, begun, last, version = 0, False, "", ""
    while True:
        tree = responses.tree(raw, where)
        del raw
        items, token, now = _items(tree, where)
        version = version or now
        del tree
        ahead = _fetch_ahead(client, path, {**query, "continue": token}, deadline) if token else None
        if begun:
            items[:] = [each for each in items if key(each) > last]
        last = key(items[-1]) if items else last
        yield items, version
        items.clear()
        if ahead is None:
            return
        while True:
            try:
                raw, expired = _fetched(ahead, deadline, where), 0
                break
            except responses.Expired as fault:
                expired += 1
                if expired > EXPIRED or (not fault.token and begun):
                    raise
                client.say(f"{fault.message}; the list goes on all the same")
                begun = begun or not fault.token
                more = {"continue": fault.token} if fault.token else {}
                ahead = _fetch_ahead(client, path, {**query, **more}, deadline)


def key(item: Tree) -> str:
    """What lists are ordered by: namespace and name, as they stand in the key of an object in etcd."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return ""
    return f"{metadata['namespace']}/{metadata.get('name')}" if metadata.get("namespace") else str(metadata.get("name"))


def _items(tree: Tree, where: str) -> tuple[list[Tree], str, str]:
    """Objects, the token to go on with, and the version."""
    items, metadata = tree.get("items"), tree.get("metadata") or {}
    if items is None and "items" in tree:  # how Go writes a list that was never filled
        items = []
    if not isinstance(items, list) or not isinstance(metadata, dict) or not all(isinstance(each, dict) for each in items):
        raise KubeError(f"{where}: its answer is no list of objects", "is this the API server of a Kubernetes cluster?")
    return items, str(metadata.get("continue") or ""), str(metadata.get("resourceVersion") or "")


def _fetch_ahead(client: Client, path: str, query: dict[str, str], deadline: float) -> Future[Raw]:
    """The answer as it will be; a thread fetches it, which ends at the deadline if nobody wants it any more."""
    from eidos.process.thread_pool import call_in_thread

    return call_in_thread(lambda: client.fetch(path, query, deadline), "list page")


def _fetched(ahead: Future[Raw], deadline: float, where: str) -> Raw:
    """The answer, or the failure raised; Timeout when neither comes in time."""
    from eidos.process.thread_pool import wait_for

    remaining_s = deadline - time.monotonic()
    try:
        return wait_for(ahead, remaining_s + 1.0 if remaining_s > 0 else 0)
    except TimeoutError:
        raise Timeout(f"{where}: no answer in time", "give it more time with --timeout, or see whether the service is up") from None
