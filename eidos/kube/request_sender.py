"""Sends requests to an API server: authenticated, retried, and over by a deadline.

Knows headers, which failures are retried, and when a credential is renewed; must not know what the objects are for.

Every request ends at its deadline. Transient failures are retried up to three times, after 100 ms, 200 ms, 400 ms and up to 100 ms more
each, or after ``Retry-After``: a connection that breaks, an attempt that takes half of the remaining time, and 429, 500, 502, 503, 504.
After five failures in a row a circuit breaker opens. 401 is retried once, with a new credential; 403 is not retried.
"""

from __future__ import annotations

import time

from eidos import __version__
from eidos.errors import InvalidInput, KubeError
from eidos.http_wire import retry
from eidos.http_wire.connection_pool import RESENDABLE_METHODS, ConnectionBroken, ConnectionPool, Endpoint, Hints
from eidos.kube import responses
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from eidos.http_wire.connection_pool import StreamedResponse
    from eidos.kube.cluster import Cluster
    from eidos.kube.credentials import Credentials
    from eidos.kube.responses import RawBody, RequestInfo, Tree

    T = TypeVar("T")

USER_AGENT = f"eidos/{__version__}"

#: Patches are ours, and have no other effect the second time.
IDEMPOTENT_METHODS = RESENDABLE_METHODS | {"PATCH"}

JSON, APPLY_PATCH = "application/json", "application/apply-patch+yaml"


class _Request(Record):
    """A request as it is sent: ``target`` is path and query, ``info`` how messages name it."""

    method: str
    target: str
    info: RequestInfo
    body: bytes | None = None
    content_type: str = JSON


class RequestSender:
    """Requests to one cluster; threads may share it. Paths are absolute, such as ``/api/v1/nodes``.

    Every method raises :class:`~eidos.kube.responses.ObjectNotFound` (404), Timeout (the deadline passed), KubeError (any other failure of
    the server or of the way to it), and what :class:`~eidos.kube.credentials.Credentials` raises.
    """

    def __init__(self, cluster: Cluster, credentials: Credentials, deadline: float, report: Callable[[str], object]) -> None:
        """``deadline`` is a time of ``time.monotonic``; ``report`` gets a message for each attempt that failed."""
        self.cluster = cluster
        self.report = report
        #: The ``Date`` of the newest response, or "".
        self.server_date = ""
        hints = Hints(
            connection_refused=f"check that the cluster is up and that {cluster.source} has the right server",
            certificate_name="set tls-server-name in the kubeconfig to the name in its certificate",
            certificate_authority=f"check that certificate-authority in {cluster.source} belongs to this cluster",
        )
        endpoint = Endpoint(cluster.server, cluster.ca, cluster.insecure, cluster.tls_server_name, cluster.proxy, cluster.source, hints)
        self._connections = ConnectionPool(endpoint, credentials.load_certificate, IDEMPOTENT_METHODS, KubeError)
        self._credentials = credentials
        self.deadline = deadline
        self._circuit_breaker = retry.CircuitBreaker(cluster.server, time.monotonic)

    @property
    def deadline(self) -> float:
        """When every request ends, with the credential plugin that it may run; it can be set between requests."""
        return self._deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._deadline = self._credentials.deadline = deadline

    def fetch_body(self, path: str, query: Mapping[str, str], deadline: float) -> RawBody:
        """The body that GET returns, not parsed."""
        return self.send("GET", path, query, responses.read_body, deadline=deadline)

    def send_object(
        self, method: str, path: str, query: Mapping[str, str] | None, document: Tree | None = None, content_type: str = JSON
    ) -> Tree:
        """Send a request, with ``document`` as JSON if there is one; the JSON object that is returned."""
        body = None
        if document is not None:
            import json

            try:
                body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            except (TypeError, ValueError) as fault:
                raise InvalidInput(f"{path}: the object to write is not valid JSON: {fault}") from fault
        raw = self.send(method, path, query, responses.read_body, body, content_type)
        return responses.parse_object(raw, f"{self.cluster.server}: to {responses.request_info(method, path, query)}")

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        handle: Callable[[StreamedResponse, str], T],
        body: bytes | None = None,
        content_type: str = JSON,
        deadline: float | None = None,
    ) -> T:
        """The result of ``handle(response, subject)`` for a successful response; ``subject`` begins the message of an error about it."""
        from urllib.parse import quote, urlencode

        deadline = self.deadline if deadline is None else deadline
        target = self._connections.prefix + quote(path, safe="/%:~") + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        request = _Request(method, target, responses.request_info(method, path, query), body, content_type)
        retries_left = iter(range(retry.Backoff.retries, -1, -1))

        def attempt() -> T:
            now = time.monotonic()
            # An attempt must not use up the time of the next one.
            attempt_deadline = now + (deadline - now) / 2 if next(retries_left) else deadline
            try:
                return self._attempt(request, handle, attempt_deadline)
            except ConnectionBroken as broken:
                fault = broken.fault
                if request.info.verb == "create" and broken.was_sent:
                    fault = type(fault)(f"{fault.message}; unknown whether {request.info} took effect", fault.hint)
                is_retryable = broken.is_retryable and not (method == "POST" and broken.was_sent)
                raise retry.AttemptFailed(fault, is_retryable=is_retryable) from broken

        try:
            return retry.call_with_retry(attempt, deadline=deadline, circuit=self._circuit_breaker, report=self.report)
        except retry.CircuitOpen as open_:
            raise KubeError(open_.message, open_.hint) from open_

    def _attempt(self, request: _Request, handle: Callable[[StreamedResponse, str], T], deadline: float) -> T:
        server, info = self.cluster.server, request.info
        authorization, is_renewed = None, False
        while True:
            # Compression would delay the events of a watch.
            encoding = "identity" if info.verb == "watch" else "gzip"
            headers = {"Accept": JSON, "Accept-Encoding": encoding, "User-Agent": USER_AGENT}
            if request.body is not None:
                headers["Content-Type"] = request.content_type
            if self._connections.is_encrypted:  # credentials are never sent in clear text, as with kubectl
                authorization = self._credentials.authorization()
                if authorization:
                    headers["Authorization"] = authorization
            response = self._connections.send(request.method, request.target, headers, request.body, deadline)
            self.server_date = response.headers.get("date", "")
            subject = f"{server}: to {info}"
            if 200 <= response.status < 300:
                return handle(response, subject)
            raw = responses.read_error_body(response, subject)
            if response.status == 401 and not is_renewed and self._credentials.invalidate(authorization):
                is_renewed = True
                self.report(f"{server}: 401: renewing credentials")
                self._connections.reset()
                continue
            fault = responses.error_from_response(response, raw, info, server, self.cluster.source)
            if response.status in responses.TRANSIENT_STATUSES:
                retry_after_s = retry.parse_retry_after(response.headers.get("retry-after"), time.time())
                is_retryable = request.method != "POST" or response.status in responses.UNPROCESSED_STATUSES
                raise retry.AttemptFailed(fault, retry_after_s, response.status == 429, is_retryable)
            raise fault

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()
