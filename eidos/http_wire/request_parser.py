r"""Bytes in, requests out: HTTP/1.1 as a server reads it, without a socket.

Knows how requests follow one another in a stream and what of the next one is missing; must not know sockets, times or answers. A
request is complete with its body; there is one event, a complete request, and its absence, which says that more bytes are needed.

>>> parser = RequestParser(HeadCache(), max_body_bytes=100)
>>> parser.receive(b"POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nh")
>>> parser.next_request(), parser.phase == BODY
(None, True)
>>> parser.receive(b"iGET /c HTT")
>>> head, body = parser.next_request()
>>> head.path, body, parser.next_request(), parser.phase == HEAD
('/a', b'hi', None, True)
"""

from __future__ import annotations

from eidos.http_wire.request_body import ChunkedBody, SizedBody
from eidos.http_wire.request_head import END, HeadCache, check_partial_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.http_wire.request_head import Head

#: What the next bytes belong to: a new request, a head that has begun, a body that has begun.
IDLE, HEAD, BODY = range(3)


class RequestParser:
    """The requests of one connection.

    ``phase`` is :data:`IDLE`, :data:`HEAD` or :data:`BODY`, once :meth:`next_request` has returned None. ``head`` is that of the request
    whose body is incomplete, ``body_bytes`` what was received of it. ``awaits_continue`` says that the client sends that body only after
    100 (Continue); whoever sends it sets this to False.
    """

    __slots__ = (
        *("_at", "_body", "_data", "_heads", "_max_body_bytes", "_partial", "_scanned"),
        *("awaits_continue", "body_bytes", "head", "phase"),
    )

    def __init__(self, heads: HeadCache, max_body_bytes: int) -> None:
        self._heads = heads
        self._max_body_bytes = max_body_bytes
        self._data = b""  # received and not parsed, from index _at on
        self._at = 0
        self._partial = bytearray()  # the beginning of a head, of which so many bytes were checked
        self._scanned = 0
        self._body: SizedBody | ChunkedBody | None = None
        self.phase = IDLE
        self.head: Head | None = None
        self.body_bytes = 0
        self.awaits_continue = False

    @property
    def has_partial_head(self) -> bool:
        """Whether a request has begun, with more than empty lines, and its head is incomplete."""
        return bool(self._partial)

    @property
    def has_data(self) -> bool:
        """Whether bytes were received that :meth:`next_request` has not looked at."""
        return self._at < len(self._data)

    @property
    def unread(self) -> bytes:
        """The bytes that :meth:`next_request` has not looked at, after a request."""
        return self._data[self._at :]

    def receive(self, data: bytes) -> None:
        """Take what was received."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next_request(self) -> tuple[Head, bytes] | None:
        """The head and the body of the next request, or None until more bytes are received.

        Raises HttpError for what is no valid request, after which nothing that follows can be trusted; ``head`` is then that of the
        request, as far as it got.
        """
        if self._body is None:
            head = self._next_head()
            if head is None:
                return None
            if head.content_length == 0:
                self.phase = IDLE
                return head, b""
            self.head = head  # before its body can be refused: the error answers this request
            length, limit = head.content_length, self._max_body_bytes
            self._body = ChunkedBody(limit) if length is None else SizedBody(length, limit)
            self.phase = BODY
            self.awaits_continue = head.expects_continue and not self.has_data
        return self._next_body(self._body)

    def clear(self) -> None:
        """Forget what was received."""
        self._data, self._at, self._scanned = b"", 0, 0
        self._partial.clear()
        self._body = None
        self.body_bytes = 0

    def _next_head(self) -> Head | None:
        data, at, partial = self._data, self._at, self._partial
        if not partial:
            while data.startswith(b"\r\n", at):  # RFC 9112, section 2.2: an empty line before a request is ignored
                at += 2
            end = data.find(END, at) + len(END)
            if end >= len(END):
                self._at = end
                return self._heads.parse(data[at:end])
        if self.has_data:
            self.phase = HEAD
        partial += data[at:]
        self._data, self._at = b"", 0
        while partial.startswith(b"\r\n"):
            del partial[:2]
            self._scanned = 0
        end = partial.find(END, max(0, self._scanned - 3)) + len(END)
        if end >= len(END):
            head = bytes(partial[:end])
            self._data = bytes(partial[end:])
            partial.clear()
            self._scanned = 0
            return self._heads.parse(head)
        if len(partial) > self._scanned:
            check_partial_head(partial, self._scanned)
            self._scanned = len(partial)
        return None

    def _next_body(self, body: SizedBody | ChunkedBody) -> tuple[Head, bytes] | None:
        data = self._data[self._at :]
        self._data, self._at = b"", 0
        if data:
            self.awaits_continue = False
        self.body_bytes += len(data)
        rest = body.feed(data)
        if rest is None:
            return None
        head = self.head
        assert head is not None
        self._data = rest
        self._body, self.head = None, None
        self.body_bytes, self.phase = 0, IDLE
        return head, body.content()
