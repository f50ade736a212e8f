"""A client of a Kubernetes API server: get, list, create, apply, delete, watch.

Knows the verbs of the API; must not know what the objects are for, nor how a request is retried.

Sources: Kubernetes documentation, "Kubernetes API Concepts" (lists in chunks, watches, server-side apply); API conventions (Status).
"""

from __future__ import annotations

import os

from eidos import log
from eidos.errors import KubeError
from eidos.kube import responses
from eidos.kube.credentials import Credentials
from eidos.kube.request_sender import APPLY_PATCH, RequestSender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from eidos.kube.cluster import Cluster
    from eidos.kube.responses import Tree

#: The owner of the fields that are applied.
FIELD_MANAGER = "eidos"

#: Objects in one page of a list.
PAGE_SIZE = 250


def connect(
    cluster: Cluster, *, deadline: float, environ: Mapping[str, str] = os.environ, report: Callable[[str], object] = log.debug
) -> KubeClient:
    """A client of a cluster; it opens no connection yet. See :class:`eidos.kube.request_sender.RequestSender` for the arguments."""
    if cluster.insecure:
        log.warn(
            f"{cluster.server}: its certificate is not verified (insecure-skip-tls-verify in {cluster.source})",
            hint="set certificate-authority instead of insecure-skip-tls-verify; without it a proxy on the way can read the credentials",
            once=True,
        )
    return KubeClient(cluster, Credentials(cluster.user, environ, deadline=deadline), deadline, report)


class KubeClient(RequestSender):
    """The verbs of the API, on one cluster, until one deadline."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Tree:
        """An object, or any other JSON object that the server has at ``path``.

        Raises KubeError when the path names an object and the response has no metadata.name.
        """
        tree, request = self.send_object("GET", path, query), responses.request_info("GET", path)
        if request.name and not responses.has_name(tree):
            raise KubeError(f"{self.cluster.server}: to {request}: the response is not a Kubernetes object", responses.SERVER_HINT)
        return tree

    def list_pages(
        self, path: str, *, label_selector: str | None = None, field_selector: str | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[list[Tree]]:
        """The objects of a list, page by page. A page is emptied before the next is returned, so take out of it what is needed.

        While a page is used the next one is fetched. See :mod:`eidos.kube.list_pages`.
        """
        from eidos.kube import list_pages

        return list_pages.list_pages(self, path, label_selector, field_selector, page_size)

    def list_objects(
        self, path: str, *, label_selector: str | None = None, field_selector: str | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[Tree]:
        """The objects of a list, one by one."""
        for page in self.list_pages(path, label_selector=label_selector, field_selector=field_selector, page_size=page_size):
            yield from page

    def create(self, path: str, document: Tree) -> Tree:
        """Create an object in a collection; KubeError with status 409 when the name is taken.

        A request without a response may have been executed, and a retry would create a second object, or report our own as a conflict. So
        it is retried only when no connection was established, and for 429 and 503, with which the server says that it did nothing.
        """
        return self.send_object("POST", path, {"fieldManager": FIELD_MANAGER}, document)

    def apply(self, path: str, document: Tree) -> Tree:
        """Create or change an object by server-side apply; fields that we applied before and that ``document`` lacks are removed.

        KubeError with status 409 when another manager owns a field with another value.
        """
        return self.send_object("PATCH", path, {"fieldManager": FIELD_MANAGER}, document, APPLY_PATCH)

    def delete(self, path: str) -> bool:
        """Delete an object, and in the background its dependents; False when it does not exist.

        A 404 counts as that only when the server names the object; any other 404 is raised.
        """
        try:
            self.send_object("DELETE", path, {"propagationPolicy": "Background"})
        except responses.ObjectNotFound as missing:
            if not missing.name:
                raise
            return False
        return True

    def watch(
        self, path: str, *, resource_version: str, label_selector: str | None = None, field_selector: str | None = None, deadline: float
    ) -> Iterator[tuple[str, Tree]]:
        """Events of a collection since ``resource_version``, until ``deadline``: (ADDED, MODIFIED, DELETED or BOOKMARK, object).

        See :mod:`eidos.kube.watch_stream`.
        """
        from eidos.kube import watch_stream

        return watch_stream.watch_collection(self, path, resource_version, label_selector, field_selector, min(deadline, self.deadline))
