"""Requests to a registry: authenticated, redirected, retried, and over by a deadline.

Knows HTTP as the OCI distribution specification uses it, and the form of its errors; must not know blobs or manifests.

``Authorization`` goes to the registry's own origin only, never where a redirect or the location of an upload leads; nothing is redirected
from https to http. A 401 is answered once for each request. 408, 429, 500, 502, 503, 504 and a broken connection are retried, after the
delays of :mod:`eidos.http_wire.retry`.
"""

from __future__ import annotations

import time

from eidos import __version__
from eidos.errors import EidosError, InvalidData, NotFound, Unavailable, os_error_reason
from eidos.http_wire import retry
from eidos.http_wire.connection_pool import BodyTooLarge, ConnectionBroken, ConnectionPool, Endpoint, Hints
from eidos.http_wire.url import REDIRECT_LIMIT, parse_url
from eidos.log import printable
from eidos.model.record import Record
from eidos.oci.registry_auth import EXTERNAL_ADDRESS_HINT, LOGIN_HINT, RegistryAuth

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from eidos.http_wire.connection_pool import Body, StreamedResponse
    from eidos.http_wire.url import Url
    from eidos.oci.reference import Reference

    T = TypeVar("T")

#: Statuses after which a request is sent again.
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

#: Seconds that one small request may take, bytes of a response, and characters of a registry's own words in a message.
REQUEST_TIMEOUT_S, RESPONSE_LIMIT, SHOWN_LIMIT = 60.0, 4 << 20, 200

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Redirects that keep method and body (RFC 9110, section 15.4), so that an upload may follow them.
_SAME_METHOD = frozenset({307, 308})

#: A registry, or a proxy before it, does not serve this method.
UNSUPPORTED_METHOD_STATUSES = frozenset({405, 501})

#: Docker Hub answers under another name than that of its images.
_API_HOSTS = {"docker.io": "registry-1.docker.io"}


class RegistrySettings(Record):
    """How registries are reached: ``ca`` are certificates in PEM; ``certificate`` are the paths of the client's and of its key.

    ``chunk_bytes`` is how large a chunk is where a blob is not sent in one request; ``environ`` has proxies and where logins are.
    """

    plain_http: bool = False
    ca: bytes | None = None
    certificate: tuple[str, str] | None = None
    environ: Mapping[str, str] = {}
    chunk_bytes: int = 8 << 20


class RegistryError(Unavailable):
    """A registry refused a request, with ``status``."""

    def __init__(self, message: str, hint: str | None = None, status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status


class RegistryNotFound(NotFound):
    """A repository, a manifest or a blob does not exist."""


class RegistryResponse(Record):
    """A response that was read to its end; names of ``headers`` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


#: What to do when a registry cannot be reached.
_HINTS = Hints(
    connection_refused="check that the registry is running, and the port",
    tls_error="use --plain-http or EIDOS_PLAIN_HTTP=true if this registry has no TLS, "
    "--client-cert or EIDOS_CLIENT_CERT if it requires a certificate",
    certificate_name="use the name in the registry's certificate",
    certificate_authority="pass the certificate of its authority with --ca-file FILE, or set EIDOS_CA_FILE",
)


class RegistryClient:
    """Requests for one repository; ``deadline`` is a time of ``time.monotonic``, ``report`` gets a message for each retry."""

    def __init__(self, reference: Reference, settings: RegistrySettings, deadline: float, report: Callable[[str], object]) -> None:
        scheme = "http" if settings.plain_http else "https"
        self.origin = parse_url(f"{scheme}://{_API_HOSTS.get(reference.host, reference.host)}").origin
        self.reference = reference
        self.settings = settings
        self.deadline = deadline
        self.report = report
        self._pools: dict[str, ConnectionPool] = {}
        self._auth = RegistryAuth(reference, settings.environ, deadline, self._send_plain, allows_http=settings.plain_http)

    def url(self, path: str, repository: str = "") -> str:
        """The URL of a path below the repository."""
        return f"{self.origin}/v2/{repository or self.reference.repository}/{path}"

    def send(
        self,
        method: str,
        url: str,
        expected: tuple[int, ...],
        *,
        headers: Mapping[str, str] | None = None,
        open_body: Callable[[], Body] | None = None,
        is_retried: bool = True,
        follows_303: bool = True,
        what: str = "",
    ) -> RegistryResponse:
        """Send a request; its response, whose status is one of ``expected``. ``what`` names, for messages, what it is about.

        Raises RegistryNotFound (404), RegistryError (any other status), Timeout, Unavailable for a connection that fails; with
        ``is_retried`` off, :class:`~eidos.http_wire.retry.AttemptFailed` for a failure that may pass.
        """

        def attempt() -> RegistryResponse:
            limit = time.monotonic() + REQUEST_TIMEOUT_S
            deadline = self.deadline if open_body else min(self.deadline, limit)
            response = self.exchange(method, url, headers, open_body, deadline, follows_303)
            body = _read_body(response, f"{self.reference.name}: {what or method}")
            if response.status not in expected:
                raise self.error(RegistryResponse(response.status, response.headers, body), what or method)
            return RegistryResponse(response.status, response.headers, body)

        return self.retried(attempt) if is_retried else attempt()

    def probe(self, url: str, what: str, headers: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The headers of what is at ``url``, without its body: by HEAD, or by GET where HEAD is not served. Raises as :meth:`send`."""
        try:
            return self.send("HEAD", url, (200,), headers=headers, what=what).headers
        except RegistryError as fault:
            # Only a body has the reason of a 400 and of a 403, and a store may have signed its address for GET alone.
            if fault.status not in UNSUPPORTED_METHOD_STATUSES | {400, 403}:
                raise

        def attempt() -> Mapping[str, str]:
            response = self.exchange("GET", url, headers, None, min(self.deadline, time.monotonic() + REQUEST_TIMEOUT_S))
            if response.status != 200:
                raise self.error(RegistryResponse(response.status, response.headers, _drain(response)), what)
            response.abort()
            return response.headers

        return self.retried(attempt)

    def retried(self, attempt: Callable[[], T]) -> T:
        """The result of ``attempt``, repeated while it raises AttemptFailed."""
        return retry.call_with_retry(attempt, deadline=self.deadline, report=self.report)

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        open_body: Callable[[], Body] | None,
        deadline: float,
        follows_303: bool = True,
    ) -> StreamedResponse:
        """Send a request once, or again with other credentials, or to where it is redirected; the response, its body not yet read.

        Raises AttemptFailed when the connection fails, RegistryError for a redirect that is not followed.
        """
        target, is_renewed, is_redirected = parse_url(url), False, False
        redirects = (_REDIRECTS if follows_303 else _REDIRECTS - {303}) if method in ("GET", "HEAD") else _SAME_METHOD
        for _ in range(REDIRECT_LIMIT + 2):
            sent = {"User-Agent": f"eidos/{__version__}", **(headers or {})}
            authorization = self._auth.header if target.origin == self.origin else None
            if authorization is not None:
                sent["Authorization"] = authorization
            response = self._pool(target).send(method, target.target, sent, open_body() if open_body else None, deadline)
            location = response.headers.get("location")
            if response.status == 401 and target.origin == self.origin and not is_renewed:
                challenge = response.headers.get("www-authenticate", "")
                raw = _drain(response)
                if not self._auth.renew(challenge, authorization):
                    raise self.error(RegistryResponse(401, response.headers, raw), "access")
                is_renewed = True
            elif location is not None and response.status in redirects:
                _drain(response)
                target, is_redirected = self.resolve_location(target, location), True
            else:
                if location is not None and is_redirected and response.status == 202:  # an upload goes on there
                    upload = self.resolve_location(target, location)
                    response.headers["location"] = upload.origin + upload.target
                return response
        raise RegistryError(f"{self.origin}: more than {REDIRECT_LIMIT} redirects in a row")

    def resolve_location(self, base: Url, location: str) -> Url:
        """The URL that a ``Location`` names; RegistryError for an invalid one, and for one that is not encrypted although ``base`` is."""
        from urllib.parse import urljoin

        try:
            url = parse_url(urljoin(base.origin + base.target, location))
        except (EidosError, ValueError) as fault:
            raise RegistryError(f"{self.origin}: redirect to an invalid URL", "check the address of the registry") from fault
        if url.scheme == "http" and not self.settings.plain_http:
            message = f"{self.origin}: redirect to {url.origin} not followed, because it is not encrypted"
            raise RegistryError(message, EXTERNAL_ADDRESS_HINT)
        return url

    def error(self, response: RegistryResponse, what: str) -> Exception:
        """What to raise for a response: AttemptFailed for a failure that may pass."""
        subject, status = f"{self.reference.name}: {what}", response.status
        words = _registry_words(response.body, self._auth.withhold)
        if status == 404:
            return RegistryNotFound(f"{subject}: not found{words}", "check the name, the tag and that you have access")
        if status in (401, 403):
            if self._auth.header is None or self._auth.credential is None:
                return RegistryError(f"{subject}: login required: status {status}{words}", LOGIN_HINT, status)
            # A token server accepts the login before the registry refuses its token.
            is_known = status == 403 or self._auth.header.startswith("Bearer ")
            hint = "check the name of the repository and the rights of the login" if is_known else LOGIN_HINT
            return RegistryError(f"{subject}: access denied: status {status}{words}", hint, status)
        advice = "raise the limit of the registry, or of the proxy before it, for the size of a request" if status == 413 else None
        location = response.headers.get("location", "") if status in _REDIRECTS else ""
        is_to_tls = location.startswith("https:") or (status == 400 and b"HTTPS" in response.body)  # as Go's and nginx's servers say it
        if is_to_tls and self.settings.plain_http:
            advice = "omit --plain-http, or unset EIDOS_PLAIN_HTTP: this registry has TLS"
        elif status == 400 and b"SSL certificate" in response.body:
            advice = "use --client-cert or EIDOS_CLIENT_CERT: this registry requires a certificate"
        elif location:
            try:
                advice = f"use the address {self.resolve_location(parse_url(self.origin), location).origin}, to which it redirects"
            except RegistryError as fault:
                advice = fault.hint
        return _failure(f"{subject}: the registry failed: status {status}{words}", status, response.headers, advice)

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def _send_plain(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        """A request to a token server, which is not redirected: it carries a password."""

        def attempt() -> tuple[int, bytes]:
            target = parse_url(url)
            deadline = min(self.deadline, time.monotonic() + REQUEST_TIMEOUT_S)
            response = self._pool(target).send(method, target.target, {"User-Agent": f"eidos/{__version__}", **headers}, body, deadline)
            data = _read_body(response, f"the token server {target.origin}")
            if response.status in TRANSIENT_STATUSES:
                message = f"the token server {target.origin} failed: status {response.status}"
                raise _failure(message, response.status, response.headers)
            return response.status, data

        return self.retried(attempt)

    def _pool(self, url: Url) -> ConnectionPool:
        pool = self._pools.get(url.origin)
        if pool is None:
            from eidos.http_wire.proxy import check_proxy_url, proxy_from_environment

            proxy = proxy_from_environment(url.scheme, url.host, url.port, self.settings.environ)
            proxy = check_proxy_url(proxy, f"{url.scheme.upper()}_PROXY") if proxy else None
            is_foreign = url.origin != self.origin  # a public store behind the registry, or its token server
            endpoint = Endpoint(url.origin, self.settings.ca, proxy=proxy, hints=_HINTS, trusts_system=is_foreign)
            pool = self._pools[url.origin] = ConnectionPool(endpoint, (lambda context: None) if is_foreign else self._load_certificate)
        return pool

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        if self.settings.certificate is None:
            return
        certificate, key = self.settings.certificate

        def reject_passphrase() -> str:
            raise InvalidData(f"--client-key: {key} is encrypted", "remove its passphrase: openssl pkey -in KEY -out NEW_KEY")

        try:
            context.load_cert_chain(certificate, key, reject_passphrase)
        except OSError as fault:  # ssl.SSLError is one
            reason = os_error_reason(fault) if isinstance(fault, (FileNotFoundError, PermissionError)) else "not PEM, or they do not match"
            raise InvalidData(f"--client-cert {certificate} and --client-key {key}: {reason}", "name a certificate and its key") from fault


def _failure(message: str, status: int, headers: Mapping[str, str], hint: str | None = None) -> Exception:
    """The error to raise for a status: AttemptFailed for one that may pass, with the delay that the server asks for."""
    if status not in TRANSIENT_STATUSES:
        return RegistryError(message, hint, status)
    delay = retry.parse_retry_after(headers.get("retry-after"), time.time())
    return retry.AttemptFailed(RegistryError(message, retry.delay_hint(delay) or hint, status), delay, status == 429)


def _read_body(response: StreamedResponse, subject: str) -> bytes:
    try:
        return response.read_body(RESPONSE_LIMIT)
    except BodyTooLarge as fault:
        raise RegistryError(f"{subject}: {fault}", "check the address of the registry") from fault


def _drain(response: StreamedResponse) -> bytes:
    """What an error or a redirect says, as far as it matters; the connection is free afterwards."""
    try:
        return _read_body(response, "")
    except (ConnectionBroken, RegistryError):
        return b""


def _registry_words(body: bytes, withhold: Callable[[str], str]) -> str:
    """What the errors of a response say (distribution specification, "Error Codes"), for a message without secrets."""
    from eidos.formats import from_text
    from eidos.redact.secrets_in_text import redact_text

    try:
        errors = from_text(body, "response")["errors"]
        fields = [[fault.get(name) for name in ("code", "message", "detail")] for fault in errors[:3]]
        texts = [": ".join(text for text in texts if text and isinstance(text, str)) for texts in fields]
    except (EidosError, LookupError, TypeError, AttributeError):
        return ""
    text = printable(redact_text(withhold(" ".join("; ".join(texts).split())))[0])
    return f" ({text[:SHOWN_LIMIT]})" if text else ""
