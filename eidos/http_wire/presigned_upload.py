"""Uploads to a presigned URL of an object store: one PUT, retried, and which checksum the store confirms.

Knows which headers a signature in a URL allows, how object stores report errors, and which of their headers are checksums; must not know
where the URL comes from, nor what is uploaded. The URL is a secret: messages show its origin alone.

A store refuses every ``x-amz-`` header and a Content-MD5 that the URL does not sign (S3, "Authenticating Requests: Using Query Parameters",
``HeadersNotSigned``), so a checksum is sent only where ``X-Amz-SignedHeaders`` or ``X-Goog-SignedHeaders`` names it, or where the signature
covers no header, as that of a shared access signature of Azure. What a store returns is compared: ``x-amz-checksum-sha256``,
``x-goog-hash``, Content-MD5, and an ETag, which is the MD5 of the content unless SSE-KMS, SSE-C or a directory bucket are in use (S3,
"PutObject"): another ETag proves nothing. A PUT is idempotent, so it is repeated after 408, 429, 500, 502, 503, 504 and a broken
connection. A redirect is not followed: the signature is for one host.
"""

from __future__ import annotations

import time

from eidos import __version__
from eidos.errors import IntegrityError, InvalidInput, Unavailable
from eidos.http_wire import retry
from eidos.http_wire.connection_pool import BodyTooLarge, ConnectionPool, Endpoint, Hints
from eidos.http_wire.url import parse_url
from eidos.log import printable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eidos.http_wire.connection_pool import StreamedResponse
    from eidos.http_wire.url import Url

#: Statuses after which the request is sent again, and codes of S3 that mean the same: "RequestTimeout" and "BadDigest" are status 400.
TRANSIENT_STATUSES, TRANSIENT_CODES = frozenset({408, 429, 500, 502, 503, 504}), frozenset({"RequestTimeout", "BadDigest", "SlowDown"})

#: Seconds that one attempt may take, and bytes for which it has a second more.
ATTEMPT_TIMEOUT_S, SLOWEST_BYTES = 60.0, 100_000

#: Bytes of a response, above which its text is not shown, and characters of a store's own words in a message.
RESPONSE_LIMIT, SHOWN_LIMIT = 1 << 16, 200

#: Headers that this client can send when a URL signs them; Host and Content-Length are always sent.
_SENDABLE = frozenset(
    {"host", "content-length", "content-type", "content-md5", "x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm"}
    | {"x-amz-content-sha256", "user-agent"}
)


class UploadError(Unavailable):
    """A store refused an upload, with ``status``."""

    def __init__(self, message: str, hint: str | None, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


class PresignedUrl(Record):
    """``url``, the headers that it ``signs``, in lower case, and whether it ``is_azure``: a shared access signature."""

    url: Url
    signs: frozenset[str] = frozenset()
    is_azure: bool = False


class UploadReceipt(Record):
    """What was stored: ``confirmed`` names the checksum that the store confirms, and is empty when it confirms none."""

    origin: str
    size: int
    sha256: str
    confirmed: str


#: What to do when a store cannot be reached.
_HINTS = Hints(
    tls_error="check that this is an https server",
    certificate_name="use the name in the store's certificate",
    certificate_authority="set EIDOS_CA_FILE to a file with the certificate of its authority",
)


def parse_presigned_url(text: str, source: str, *, allows_http: bool) -> PresignedUrl:
    """A presigned URL; ``source`` names, for messages, where it comes from. InvalidInput for one that cannot be used.

    Without encryption, others can use the signature: http is for loopback addresses, unless ``allows_http``.
    """
    from urllib.parse import parse_qsl

    try:
        url = parse_url(text)
    except InvalidInput as fault:
        raise InvalidInput(
            f"{source}: invalid URL, or one with a username or password", "use a presigned http or https URL for PUT"
        ) from fault
    if url.scheme == "http" and not allows_http and not _is_loopback(url.host):
        raise InvalidInput(f"{source}: {url.origin} is not encrypted", "use https, or set EIDOS_PLAIN_HTTP=true")
    query = {name.lower(): value for name, value in parse_qsl(url.target.partition("?")[2], keep_blank_values=True, max_num_fields=None)}
    names = query.get("x-amz-signedheaders") or query.get("x-goog-signedheaders") or ""
    signs = frozenset(filter(None, names.lower().split(";")))
    unknown = sorted(signs - _SENDABLE)
    if unknown:
        shown = printable(", ".join(unknown))[:SHOWN_LIMIT]
        raise InvalidInput(f"{source}: {url.origin}: the URL signs headers that are not sent: {shown}", "sign no header but host")
    return PresignedUrl(url, signs, "sig" in query and "sv" in query)


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def upload(
    target: PresignedUrl,
    data: bytes,
    content_type: str,
    *,
    deadline: float,
    ca: bytes | None = None,
    environ: Mapping[str, str] = {},
    report: Callable[[str], object] = lambda _: None,
) -> UploadReceipt:
    """Store ``data``; what the store confirms. ``environ`` has the proxies, ``report`` gets a message for each retry.

    Raises UploadError when the store refuses, IntegrityError when it reports the checksum of other content, Timeout at ``deadline`` (on
    ``time.monotonic``), Unavailable for a connection that fails.
    """
    from eidos.http_wire.proxy import check_proxy_url, proxy_from_environment

    url = target.url
    proxy = proxy_from_environment(url.scheme, url.host, url.port, environ)
    proxy = check_proxy_url(proxy, f"{url.scheme.upper()}_PROXY") if proxy else None
    # EIDOS_CA_FILE is about registries; the store may have a public certificate.
    pool = ConnectionPool(Endpoint(url.origin, ca, proxy=proxy, hints=_HINTS, trusts_system=True))
    digests = _Digests(data)
    headers = _headers(target, digests, content_type)

    def attempt() -> UploadReceipt:
        limit = time.monotonic() + ATTEMPT_TIMEOUT_S + len(data) / SLOWEST_BYTES
        response = pool.send("PUT", url.target, headers, data, min(deadline, limit))
        try:
            body = response.read_body(RESPONSE_LIMIT)
        except BodyTooLarge:
            body = b""  # the status says enough
        if response.status not in (200, 201, 202, 204):
            raise _refusal(url, response, body)
        return UploadReceipt(url.origin, len(data), digests.sha256.hex(), _confirmed(url, response.headers, headers, digests))

    try:
        return retry.call_with_retry(attempt, deadline=deadline, report=report)
    finally:
        pool.close()


class _Digests:
    def __init__(self, data: bytes) -> None:
        import hashlib

        self.sha256 = hashlib.sha256(data).digest()
        self.md5 = hashlib.md5(data, usedforsecurity=False).digest()


def _base64(digest: bytes) -> str:
    from binascii import b2a_base64

    return b2a_base64(digest, newline=False).decode()


def _headers(target: PresignedUrl, digests: _Digests, content_type: str) -> dict[str, str]:
    optional = {
        "content-type": content_type,
        "content-md5": _base64(digests.md5),
        "x-amz-checksum-sha256": _base64(digests.sha256),
        "x-amz-sdk-checksum-algorithm": "SHA256",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    }
    sent = {"User-Agent": f"eidos/{__version__}"}
    if target.is_azure:  # Put Blob: the type is required, and Content-MD5 is compared
        sent |= {"x-ms-blob-type": "BlockBlob", "Content-Type": content_type, "Content-MD5": optional["content-md5"]}
    return {**sent, **{name: value for name, value in optional.items() if name in target.signs}}


def _confirmed(url: Url, received: Mapping[str, str], sent: Mapping[str, str], digests: _Digests) -> str:
    """The checksum that the store confirms; IntegrityError when it reports that of other content."""
    hashes = dict(part.strip().partition("=")[::2] for part in received.get("x-goog-hash", "").split(","))
    reported = (
        ("SHA-256", received.get("x-amz-checksum-sha256", ""), digests.sha256),
        ("MD5", hashes.get("md5", ""), digests.md5),
        ("MD5", received.get("content-md5", ""), digests.md5),
    )
    for name, value, digest in reported:
        if value and value != _base64(digest):
            raise IntegrityError(f"{url.origin}: the store reports another {name} than that of the content", "upload it again")
    for name, value, _ in reported:
        if value:
            return name
    sent_names = {name.lower() for name in sent}
    if "x-amz-checksum-sha256" in sent_names:  # a store refuses content that does not have it
        return "SHA-256"
    is_md5 = received.get("etag", "").strip('"').lower() == digests.md5.hex()
    return "MD5" if is_md5 or "content-md5" in sent_names else ""


def _refusal(url: Url, response: StreamedResponse, body: bytes) -> Exception:
    """The error to raise for a response with a status other than 2xx."""
    status = response.status
    code, words = _error_words(body)
    subject = f"{url.origin}: upload"
    if 300 <= status < 400:
        message = f"{subject} redirected, which is not followed: status {status}{words}"
        return UploadError(message, "presign the URL for the host that has the bucket, in its region", status)
    if status in TRANSIENT_STATUSES or code in TRANSIENT_CODES:
        delay = retry.parse_retry_after(response.headers.get("retry-after"), time.time())
        fault = UploadError(f"{subject} failed: status {status}{words}", retry.delay_hint(delay), status)
        return retry.AttemptFailed(fault, delay, status == 429)
    hint = "check that the URL is signed for PUT and has not expired" if status in (400, 401, 403) else None
    return UploadError(f"{subject} refused: status {status}{words}", hint, status)


def _error_words(body: bytes) -> tuple[str, str]:
    """The code of an error, and its code and message for people: the rest of the XML repeats the request, signature and all."""
    from eidos.redact.secrets_in_text import redact_text

    code, message, names = (_element(body, name) for name in ("Code", "Message", "HeadersNotSigned"))
    if not (code.isascii() and code.isalnum()):
        code = ""
    text = redact_text(" ".join(message.split()))[0]
    text += f": {names}" if names.replace("-", "").replace(", ", "").isalnum() and len(names) <= SHOWN_LIMIT else ""
    shown = printable(": ".join(filter(None, (code, text))))
    return code, f" ({shown[:SHOWN_LIMIT]})" if shown else ""


def _element(body: bytes, name: str) -> str:
    """The text of the first element with this name; an empty text when there is none, or it has elements or entities inside."""
    text = body.partition(f"<{name}>".encode())[2].partition(f"</{name}>".encode())[0].decode("utf-8", "replace")
    return "" if "<" in text or "&" in text else text
