"""Representations: finished bytes with their headers, and a bounded cache of them.

Knows codings, validators and which headers belong to a representation (RFC 9110, sections 8.8 and 13.1; RFC 9111); must not know what the
bytes mean, nor who asks. A representation never changes once it is made, so any number of requests may be answered with the same one.

>>> representation = make_representation("application/json", b"{}", public=True)
>>> representation.respond(False, "", "/").headers[0], is_fresh('W/"x", ' + representation.etag, representation.etag)
(('Content-Type', 'application/json'), True)
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import OrderedDict

from eidos.http_wire.messages import PreparedResponse, format_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from eidos.http_wire.messages import Response

    Headers = tuple[tuple[str, str], ...]

#: Seconds for which a public representation may be cached.
MAX_AGE_S = 600

#: Bytes below which compression does not pay.
MIN_COMPRESSED = 400

_VERSION = ("X-API-Version", "v1")
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")


class Representation:
    """Bytes of a ``media_type``, the same compressed (None: it does not pay), and the headers of both.

    ``etag`` is ``""`` for what may not be cached, and otherwise a strong validator: no two representations share one.
    """

    __slots__ = ("_headers", "_lines", "body", "compressed", "etag", "media_type", "size")

    def __init__(self, media_type: str, body: bytes, compressed: bytes | None, public: bool, vary: str, headers: Headers) -> None:
        self.media_type = media_type
        self.body = body
        self.compressed = compressed
        self.size = len(body) + len(compressed or b"") + 2000
        common = (("Vary", vary), *headers, _VERSION, _NO_SNIFFING) if vary else (*headers, _VERSION, _NO_SNIFFING)
        self.etag = ""
        if public:
            digest = hashlib.sha256(media_type.encode() + b"\0" + body).hexdigest()
            self.etag = f'"{digest[:32]}"'
            caching = ("Cache-Control", f"public, max-age={MAX_AGE_S}")
            plain, gzip = ((("ETag", self.validator(gzip)), caching, *common) for gzip in (False, True))
        else:
            plain = gzip = (("Cache-Control", "no-store"), *common)
        content_type = ("Content-Type", media_type)
        self._headers: tuple[tuple[Headers, Headers], ...] = (
            ((content_type, *plain), plain),
            ((content_type, ("Content-Encoding", "gzip"), *gzip), gzip),
        )
        length = f"Content-Length: {len(body)}\r\n", f"Content-Length: {len(compressed or b'')}\r\n"
        self._lines = tuple(format_headers(headers[0]) + length[at] for at, headers in enumerate(self._headers))

    def respond(self, gzip: bool, lines: str, route: str) -> Response:
        """The representation itself, compressed or not, with ``lines`` of headers of this response."""
        body = self.compressed if gzip and self.compressed is not None else self.body
        return PreparedResponse(200, self._lines[gzip] + lines, body, route)

    def headers_of_304(self, gzip: bool) -> Headers:
        """The headers that tell a client that it has the representation already (RFC 9110, section 15.4.5)."""
        return self._headers[gzip][1]

    def validator(self, gzip: bool) -> str:
        """The entity tag, of the compressed bytes or the plain ones."""
        return f'{self.etag[:-1]}-gzip"' if gzip and self.etag else self.etag


def make_representation(
    media_type: str,
    body: bytes,
    *,
    public: bool = False,
    gzip: bool = True,
    vary: str = "Accept, Accept-Encoding",
    headers: Sequence[tuple[str, str]] = (),
) -> Representation:
    """The representation with this body; a ``public`` one may be cached by anyone. ``gzip`` is False for what is compressed already."""
    compressed = None
    if gzip and len(body) >= MIN_COMPRESSED:
        # No name and no time in it (RFC 1952): the same bytes for the same content.
        compressor = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        compressed = compressor.compress(body) + compressor.flush()
    return Representation(media_type, body, compressed, public, vary, tuple(headers))


def is_fresh(condition: str, etag: str) -> bool:
    """Whether If-None-Match holds ``etag`` (RFC 9110, section 13.1.2): the comparison is the weak one."""
    if not etag:
        return False
    if condition == etag:
        return True
    parts = [part.strip() for part in condition.split(",")]
    return parts == ["*"] or etag in (part.removeprefix("W/") for part in parts)


def is_current(condition: str, etag: str) -> bool:
    """Whether If-Match holds ``etag`` (RFC 9110, section 13.1.1): the comparison is the strong one."""
    parts = [part.strip() for part in condition.split(",")]
    return parts == ["*"] or (etag != "" and etag in parts)


class RepresentationCache:
    """The representations that were used last, at most ``max_entries`` of them and ``max_bytes``; for any thread."""

    def __init__(self, max_entries: int = 1024, max_bytes: int = 6 << 20) -> None:
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[Hashable, Representation] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Representation | None:
        """The representation that was stored under ``key``, if it is still there."""
        with self._lock:
            representation = self._entries.get(key)
            if representation is not None:
                self._entries.move_to_end(key)
            return representation

    def put(self, key: Hashable, representation: Representation) -> None:
        """Store a representation, and drop those that were used longest ago; one of more than a quarter of the cache is not stored."""
        if representation.size > self.max_bytes // 4:
            return
        with self._lock:
            previous = self._entries.pop(key, None)
            self.used_bytes += representation.size - (previous.size if previous else 0)
            self._entries[key] = representation
            while self.used_bytes > self.max_bytes or len(self._entries) > self.max_entries:
                self.used_bytes -= self._entries.popitem(last=False)[1].size


class TargetCache:
    """From the text of a request, its target and its Accept header, to its route and the key of its representation.

    It has at most ``max_entries`` of at most ``max_length`` characters, and drops the oldest.
    """

    def __init__(self, max_entries: int = 4096, max_length: int = 512) -> None:
        self.max_entries, self.max_length = max_entries, max_length
        self.entries: dict[tuple[str, str], tuple[str, Hashable]] = {}
        self._lock = threading.Lock()

    def put(self, request: tuple[str, str], route: str, key: Hashable) -> None:
        """Remember the route and the key for a target and an Accept header."""
        if len(request[0]) + len(request[1]) > self.max_length:
            return
        with self._lock:
            if len(self.entries) >= self.max_entries:
                self.entries.pop(next(iter(self.entries)), None)
            self.entries[request] = (route, key)
