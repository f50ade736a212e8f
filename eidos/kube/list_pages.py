"""Lists of objects in pages.

Knows ``limit`` and ``continue`` (Kubernetes documentation, "Kubernetes API Concepts", Retrieving large results sets in chunks);
must not know what is listed. While a page is used the next one is fetched and held compressed, as received; it is parsed when the page
before it is dropped. So there is never more than one page of objects in memory, however many there are.

A continue token can expire (410). Then the server returns another, which continues at the same key in the list as it is now: objects that
were created or deleted in between may be included or not. Without one the list is started again, once, and objects up to the last key
that was returned are skipped, for lists are ordered by key.
"""

from __future__ import annotations

import time

from eidos.errors import KubeError
from eidos.http_wire.dialer import timeout_error
from eidos.kube import responses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.kube.request_sender import RequestSender
    from eidos.kube.responses import RawBody, Tree
    from eidos.process.thread_pool import Future

#: Continue tokens in a row that may be expired.
EXPIRED_LIMIT = 3


def selectors(label_selector: str | None, field_selector: str | None) -> dict[str, str]:
    """The query parameters of the selectors that are set."""
    pairs = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    return {name: value for name, value in pairs if value}


def list_pages(
    sender: RequestSender, path: str, label_selector: str | None, field_selector: str | None, page_size: int
) -> Iterator[list[Tree]]:
    """Pages of objects; each is emptied before the next is returned. Raises what ``sender`` does."""
    for items, _ in list_versioned_pages(sender, path, selectors(label_selector, field_selector), page_size, sender.deadline):
        yield items


def list_versioned_pages(
    sender: RequestSender, path: str, query: dict[str, str], page_size: int, deadline: float
) -> Iterator[tuple[list[Tree], str]]:
    """Pages of objects, each with the resource version of the list; the only page of an empty list has no objects."""
    query = {**query, "limit": str(page_size)}
    subject = f"{sender.cluster.server}: to {responses.request_info('GET', path)}"
    raw = sender.fetch_body(path, query, deadline)
    expired, is_restarted, last_key, version = 0, False, "", ""
    while True:
        tree = responses.parse_object(raw, subject)
        del raw
        items, token, page_version = _parse_page(tree, subject)
        version = version or page_version
        del tree
        next_page = _fetch_in_thread(sender, path, {**query, "continue": token}, deadline) if token else None
        if is_restarted:
            items[:] = [item for item in items if object_key(item) > last_key]
        last_key = object_key(items[-1]) if items else last_key
        yield items, version
        items.clear()
        if next_page is None:
            return
        while True:
            try:
                raw, expired = _wait_for_page(next_page, deadline, subject), 0
                break
            except responses.ResourceExpired as fault:
                expired += 1
                if expired > EXPIRED_LIMIT or (not fault.token and is_restarted):
                    raise
                sender.report(f"{fault.message}; continuing with the list")
                is_restarted = is_restarted or not fault.token
                more = {"continue": fault.token} if fault.token else {}
                next_page = _fetch_in_thread(sender, path, {**query, **more}, deadline)


def object_key(item: Tree) -> str:
    """The key that lists are ordered by: namespace and name, as in etcd."""
    metadata = item["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _parse_page(tree: Tree, subject: str) -> tuple[list[Tree], str, str]:
    """Objects, the continue token, and the resource version."""
    items, metadata = tree.get("items"), tree.get("metadata") or {}
    if items is None and "items" in tree:  # how Go writes a nil slice
        items = []
    if not isinstance(items, list) or not isinstance(metadata, dict) or not all(map(responses.has_name, items)):
        raise KubeError(f"{subject}: the response is not a list of objects", responses.SERVER_HINT)
    return items, str(metadata.get("continue") or ""), str(metadata.get("resourceVersion") or "")


def _fetch_in_thread(sender: RequestSender, path: str, query: dict[str, str], deadline: float) -> Future[RawBody]:
    """The body of a page, fetched in a thread that ends at the deadline even if the page is not used."""
    from eidos.process.thread_pool import call_in_thread

    return call_in_thread(lambda: sender.fetch_body(path, query, deadline), "list page")


def _wait_for_page(page: Future[RawBody], deadline: float, subject: str) -> RawBody:
    """The body of a page; raises the error of its request, or Timeout."""
    from eidos.process.thread_pool import wait_for

    remaining_s = deadline - time.monotonic()
    try:
        return wait_for(page, remaining_s + 1.0 if remaining_s > 0 else 0)
    except TimeoutError:
        raise timeout_error(subject) from None
