"""One request on a connection of its own, and its response, read to its end.

Knows redirects, and what may follow them; must not know what is requested, nor whether to retry. Redirects are followed for GET and HEAD;
credentials are sent to their own origin only (RFC 9110, section 15.4), and nothing is redirected from https to http. Proxies in the
environment are not used: the user names the service by its own address.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.http_wire import dialer
from eidos.http_wire.connection_pool import BodyTooLarge, ConnectionPool, Endpoint
from eidos.http_wire.retry import AttemptFailed
from eidos.http_wire.url import REDIRECT_LIMIT, parse_url, quote_url
from eidos.log import printable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.http_wire.connection_pool import StreamedResponse
    from eidos.http_wire.url import Url

#: Bytes of a response's body.
BODY_LIMIT = 16 << 20

#: Headers that are dropped when a redirect leaves the origin.
CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})

_REDIRECT_STATUSES = {301, 302, 303, 307, 308}


class ClientResponse(Record):
    """A response. ``headers`` have names in lower case; values of repeated ones are joined by ``", "``. ``url`` is that after redirects."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: Url


def send_request(
    method: str,
    url: str,
    *,
    deadline: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    limit: int = BODY_LIMIT,
) -> ClientResponse:
    """Send a request; its response, whatever the status. Redirects of GET and HEAD are followed.

    ``deadline`` is a time of ``time.monotonic``. Raises AttemptFailed with a Timeout when it passes, with a RequestError for a response
    that is missing, cut off, malformed or larger than ``limit`` bytes; InvalidInput for an invalid URL.
    """
    target, sent_headers = parse_url(url), dict(headers or {})
    for _ in range(REDIRECT_LIMIT + 1):
        response = _send_once(method, target, sent_headers, body, deadline, limit)
        location = response.headers.get("location")
        if response.status not in _REDIRECT_STATUSES or location is None or method not in ("GET", "HEAD"):
            return response
        redirected = _redirect_target(target, location)
        if redirected.origin != target.origin:
            sent_headers = {name: value for name, value in sent_headers.items() if name.lower() not in CREDENTIAL_HEADERS}
        target = redirected
    raise _unusable(f"{target.origin}: more than {REDIRECT_LIMIT} redirects in a row")


def _unusable(message: str) -> AttemptFailed:
    return AttemptFailed(dialer.RequestError(message, is_transient=False), is_retryable=False)


def _redirect_target(url: Url, location: str) -> Url:
    from urllib.parse import urljoin

    try:
        target = parse_url(urljoin(url.origin + url.target, location))
    except (InvalidInput, ValueError) as fault:
        raise _unusable(f"{url.origin}: redirect to invalid URL {quote_url(printable(location[:100]))}") from fault
    if (url.scheme, target.scheme) == ("https", "http"):
        raise _unusable(f"{url.origin}: redirect to {target.origin} not followed, because it is not encrypted")
    return target


def _send_once(method: str, url: Url, headers: Mapping[str, str], body: bytes | None, deadline: float, limit: int) -> ClientResponse:
    pool = ConnectionPool(Endpoint(url.origin))
    try:
        response = pool.send(method, url.target, {"Accept-Encoding": "identity", "Connection": "close", **headers}, body, deadline)
        try:
            return ClientResponse(response.status, response.headers, _read_body(response, url.origin, limit), url)
        finally:
            response.abort()
    finally:
        pool.close()


def _read_body(response: StreamedResponse, origin: str, limit: int) -> bytes:
    """The body; AttemptFailed when it is larger than ``limit`` bytes, or encoded."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _unusable(f"{origin}: unexpected content encoding")
    try:
        return response.read_body(limit)
    except BodyTooLarge as fault:
        raise _unusable(f"{origin}: {fault}") from fault
