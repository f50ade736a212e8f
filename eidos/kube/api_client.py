"""Asking a Kubernetes API server: read, list, create, apply, delete, watch, logs.

Knows requests, what may be asked again and when to stop; must not know what the objects are for. Every call ends at the deadline of its
client. What may pass is asked again, at most three times, after 100 ms, 200 ms, 400 ms and up to 100 ms more each, or after what
``Retry-After`` says: a connection that fails, an attempt that takes half of what is left of the time, 429, 500, 502, 503, 504. After five
failures in a row nothing is asked for a while. 401 and 403 are asked again only after a credential was made anew.

Sources: Kubernetes documentation, "Kubernetes API Concepts" (lists in chunks, watches, server-side apply); API conventions (Status).
"""

from __future__ import annotations

import os
import time

from eidos import __version__, log
from eidos.errors import EidosError, InvalidInput, KubeError
from eidos.http_wire import retry
from eidos.kube import responses
from eidos.kube.connection_pool import Broken, Transport
from eidos.kube.credentials import Credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    from eidos.kube.cluster_config import Cluster
    from eidos.kube.connection_pool import Reply
    from eidos.kube.responses import Asked, Raw, Tree

    T = TypeVar("T")

#: Who owns the fields that are applied, and who asks.
MANAGER, AGENT = "eidos", f"eidos/{__version__}"

#: Objects in one page of a list, and bytes of a log.
PAGE, LOG_LIMIT = 250, 1 << 20

_JSON, _APPLY = "application/json", "application/apply-patch+yaml"


def connect(
    cluster: Cluster, *, deadline: float, environ: Mapping[str, str] = os.environ, say: Callable[[str], object] = log.debug
) -> Client:
    """A client of a cluster; nothing is asked yet. ``deadline`` is on ``time.monotonic``, ``say`` hears of attempts that failed."""
    if cluster.insecure:
        log.warn(
            f"{cluster.server}: its certificate is not checked, as {cluster.source} says",
            hint="whoever stands in between reads the credentials; write certificate-authority in place of insecure-skip-tls-verify",
            once=True,
        )
    credentials = Credentials(cluster.user, environ, deadline=deadline)
    return Client(cluster, Transport(cluster, credentials), credentials, deadline, say)


class Client:
    """One cluster, until one deadline; several threads may ask. Paths are absolute, such as ``/api/v1/nodes``.

    Every call raises answers.Missing, a NotFound (404), Timeout (the deadline passed), KubeError (anything else that the server or the
    way to it has), and what credentials raise.
    """

    def __init__(
        self, cluster: Cluster, transport: Transport, credentials: Credentials, deadline: float, say: Callable[[str], object]
    ) -> None:
        self.cluster = cluster
        self.say = say
        self._transport = transport
        self._credentials = credentials
        self.deadline = deadline
        self._circuit = retry.Circuit(cluster.server, time.monotonic)

    @property
    def deadline(self) -> float:
        """When every call ends, a credential plugin that it runs included; it may be set anew between calls."""
        return self._deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._deadline = self._credentials.deadline = deadline

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Tree:
        """One object, or what else is there."""
        return self._tree("GET", path, query)

    def pages(self, path: str, *, labels: str | None = None, fields: str | None = None, limit: int = PAGE) -> Iterator[list[Tree]]:
        """The objects of a list, page by page; a page is emptied when the next is wanted, so take from it what is needed.

        ``labels`` and ``fields`` are selectors. While a page is used the next one is fetched. See :mod:`eidos.kube.list_pages`.
        """
        from eidos.kube import list_pages

        return list_pages.pages(self, path, labels, fields, limit)

    def items(self, path: str, *, labels: str | None = None, fields: str | None = None, limit: int = PAGE) -> Iterator[Tree]:
        """The same, one object after the other."""
        for page in self.pages(path, labels=labels, fields=fields, limit=limit):
            yield from page

    def create(self, path: str, document: Tree) -> Tree:
        """Make an object in a collection; KubeError with status 409 when there is one of this name.

        What was sent and not answered may have been done, and doing it again would make two, or report as somebody else's what is ours. So
        this is asked again only when no connection came about, or for 429 and 503, with which the server says that it did nothing.
        """
        return self._tree("POST", path, {"fieldManager": MANAGER}, document, _JSON)

    def apply(self, path: str, document: Tree) -> Tree:
        """Make an object, or the fields of one, be as ``document`` says (server-side apply); those it said before and no longer does go.

        KubeError with status 409 when another manager has a field and wants another value.
        """
        return self._tree("PATCH", path, {"fieldManager": MANAGER}, document, _APPLY)

    def delete(self, path: str) -> bool:
        """Remove an object, and afterwards what it owns. False when it was not there.

        The server says so by its name; any other 404 is a failure.
        """
        try:
            self._tree("DELETE", path, {"propagationPolicy": "Background"})
        except responses.Missing as missing:
            if not missing.name:
                raise
            return False
        return True

    def watch(
        self, path: str, *, version: str, labels: str | None = None, fields: str | None = None, deadline: float
    ) -> Iterator[tuple[str, Tree]]:
        """What happens in a collection from ``version`` on, as (ADDED, MODIFIED, DELETED or BOOKMARK, object); it ends at ``deadline``.

        See :mod:`eidos.kube.watch_stream`.
        """
        from eidos.kube import watch_stream

        return watch_stream.watch(self, path, version, labels, fields, min(deadline, self.deadline))

    def logs(self, namespace: str, pod: str, *, container: str | None = None, limit: int = LOG_LIMIT) -> bytes:
        """The log of a Pod's container, its first ``limit`` bytes."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        query = {"limitBytes": str(limit), **({"container": container} if container else {})}
        return self.call("GET", path, query, lambda reply, where: responses.read(reply, where, limit + 4096)).data[:limit]

    def close(self) -> None:
        """End the connections."""
        self._transport.close()

    # ---- what the others stand on ----

    def fetch(self, path: str, query: Mapping[str, str], deadline: float) -> Raw:
        """What GET gives, not yet taken apart."""
        return self.call("GET", path, query, responses.read, deadline=deadline)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        use: Callable[[Reply, str], T],
        body: bytes | None = None,
        kind: str = _JSON,
        deadline: float | None = None,
    ) -> T:
        """What ``use(reply, where)`` makes of a successful answer; what may pass is asked again."""
        from random import random
        from urllib.parse import quote, urlencode

        deadline = self.deadline if deadline is None else deadline
        target = self._transport.prefix + quote(path, safe="/%:~") + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        request = responses.asked(method, path, query)
        attempts = iter(range(retry.Backoff.retries, -1, -1))

        def attempt() -> T:
            now, left = time.monotonic(), next(attempts)
            # One that takes long must leave time for another.
            until = deadline if not left else now + (deadline - now) / 2
            try:
                return self._attempt(method, target, request, use, body, kind, until)
            except Broken as broken:
                again = broken.again and not (method == "POST" and broken.sent)
                raise retry.Failed(self._fault(broken, request), again=again) from broken

        try:
            return retry.call(
                attempt,
                clock=time.monotonic,
                sleep=time.sleep,
                random=random,
                deadline=deadline,
                circuit=self._circuit,
                say=self.say,
            )
        except retry.CircuitOpen as open_:
            raise KubeError(open_.message, open_.hint) from open_

    def _attempt(
        self, method: str, target: str, request: Asked, use: Callable[[Reply, str], T], body: bytes | None, kind: str, until: float
    ) -> T:
        server, shown, renewed = self.cluster.server, None, False
        while True:
            is_log = request.resource.endswith("/log")
            # A log is not taken apart, and of a watch what was packed would come late.
            packed = "identity" if is_log or request.verb == "watch" else "gzip"
            headers = {"Accept": "*/*" if is_log else _JSON, "Accept-Encoding": packed, "User-Agent": AGENT}
            if body is not None:
                headers["Content-Type"] = kind
            if self._transport.is_secret:  # where anybody reads along nothing is shown, as with kubectl
                shown = self._credentials.authorization()
                if shown:
                    headers["Authorization"] = shown
            reply = self._transport.ask(method, target, headers, body, until)
            where = f"{server}: to {request}"
            if 200 <= reply.status < 300:
                return use(reply, where)
            raw = responses.read_refusal(reply, where)
            if reply.status == 401 and not renewed and self._credentials.refuse(shown):
                renewed = True
                self.say(f"{server}: 401: credentials are made anew")
                self._transport.renew()
                continue
            fault = responses.refusal(reply, raw, request, server, self.cluster.source)
            if reply.status in responses.PASSING:
                after = retry.retry_after(reply.headers.get("retry-after"), time.time())
                again = method != "POST" or reply.status in responses.UNDONE
                raise retry.Failed(fault, after, reply.status == 429, again)
            raise fault

    def _fault(self, broken: Broken, request: Asked) -> EidosError:
        """The failure as the caller gets it: what was asked is part of it."""
        fault = broken.fault
        if request.verb == "create" and broken.sent:
            fault = type(fault)(f"{fault.message}; whether it did {request} is not known", fault.hint)
        return fault

    def _tree(self, method: str, path: str, query: Mapping[str, str] | None, document: Tree | None = None, kind: str = _JSON) -> Tree:
        body = None
        if document is not None:
            import json

            try:
                body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            except (TypeError, ValueError) as fault:
                raise InvalidInput(f"{path}: what is to be written is no JSON: {fault}") from fault
        raw = self.call(method, path, query, responses.read, body, kind)
        return responses.tree(raw, f"{self.cluster.server}: to {responses.asked(method, path, query)}")
