r"""Bytes in, requests out: HTTP/1.1 as a server reads it, without a socket.

Knows how requests follow one another in a stream, both ways in which a body is framed (RFC 9112, sections 6 and 7), and what of the next
request is missing; must not know sockets, times or answers. A request is complete with its body; there is one event, a complete request,
and its absence, which says that more bytes are needed. The decoder of a body is fed bytes until its body is complete, and then returns
those that follow it. It never holds more than its limit.

>>> parser = RequestParser(HeadCache(), max_body_bytes=100)
>>> parser.receive(b"POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nh")
>>> parser.next_request(), parser.phase == BODY
(None, True)
>>> parser.receive(b"iGET /c HTT")
>>> head, body = parser.next_request()
>>> head.path, body, parser.next_request(), parser.phase == HEAD
('/a', b'hi', None, True)
>>> chunks = ChunkedBody(limit=100)
>>> chunks.feed(b"4\r\nWi"), chunks.feed(b"ki\r\n0\r\n\r\nGET"), chunks.content()
(None, b'GET', b'Wiki')
"""

from __future__ import annotations

import re

from eidos.http_wire.messages import HttpError
from eidos.http_wire.request_head import END, TOKEN, HeadCache, check_partial_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.http_wire.request_head import Head

#: What the next bytes belong to: a new request, a head that has begun, a body that has begun.
IDLE, HEAD, BODY = range(3)

#: A size of up to 2**28 - 1 bytes, and extensions, which are ignored (RFC 9112, section 7.1.1).
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,7})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_FIELD = re.compile(rb"%s:[\t -~\x80-\xff]*" % TOKEN)

#: Bytes of the line of a chunk size, and of all trailers.
SIZE_LINE_LIMIT, TRAILERS_LIMIT = 256, 8192

#: Chunks that may be of any size; with more of them, each has to hold so many bytes on average, or parsing them costs too much.
CHUNK_LIMIT, MIN_CHUNK_BYTES = 16384, 16


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


def too_large(limit: int) -> HttpError:
    """The error for a body over the limit."""
    return HttpError(413, f"the body is larger than {limit} bytes", details={"limit": limit})


class SizedBody:
    """A body of ``length`` bytes, at most ``limit``; HttpError (413) for a longer one."""

    def __init__(self, length: int, limit: int) -> None:
        if length > limit:
            raise too_large(limit)
        self._missing = length
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes | None:
        """Take what was received; return what follows the body once it is complete, else None."""
        missing = self._missing
        if len(data) < missing:
            self._parts.append(data)
            self._missing = missing - len(data)
            return None
        self._parts.append(data[:missing])
        return data[missing:]

    def content(self) -> bytes:
        """The body."""
        return b"".join(self._parts)


class ChunkedBody:
    """A body in chunks, at most ``limit`` bytes together; HttpError for any deviation from the grammar."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._rest = bytearray()
        self._missing = 0  # of the chunk, with its CRLF
        self._step = self._size
        self._trailers = 0
        self._framing = self._chunks = 0
        self._done = False

    def feed(self, data: bytes) -> bytes | None:
        """Take what was received; return what follows the body once it is complete, else None."""
        self._rest += data
        while self._step():
            if self._done:
                return bytes(self._rest)
        return None

    def content(self) -> bytes:
        """The body."""
        return bytes(self._body)

    def _line(self, limit: int, what: str) -> bytes | None:
        end = self._rest.find(b"\n")
        if end < 0 and len(self._rest) <= limit:
            return None
        if end < 0 or end > limit:
            raise HttpError(400, f"{what} is too long")
        if self._rest[end - 1 : end] != b"\r":
            raise HttpError(400, f"{what} ends in a bare LF")
        line = bytes(self._rest[: end - 1])
        del self._rest[: end + 1]
        return line

    def _size(self) -> bool:
        line = self._line(SIZE_LINE_LIMIT, "the size of a chunk")
        if line is None:
            return False
        match = _SIZE.fullmatch(line)
        if match is None:
            raise HttpError(400, "the size of a chunk is not a hexadecimal number")
        size = int(match[1], 16)
        self._chunks += 1
        if self._chunks > CHUNK_LIMIT and self._chunks * MIN_CHUNK_BYTES > len(self._body) + size:
            raise HttpError(400, "the chunks are too small")
        self._framing += len(line) - len(match[1])
        if len(self._body) + size > self._limit:
            raise too_large(self._limit)
        if self._framing > TRAILERS_LIMIT:
            raise HttpError(400, "the extensions of chunks are too long")
        self._missing, self._step = (size + 2, self._data) if size else (0, self._trailer)
        return True

    def _data(self) -> bool:
        taken = min(len(self._rest), self._missing - 2) if self._missing > 2 else 0
        if taken:
            self._body += self._rest[:taken]
            del self._rest[:taken]
            self._missing -= taken
        if self._missing > 2 or len(self._rest) < 2:
            if self._missing == 2 and bytes(self._rest[:1]) not in (b"", b"\r"):
                raise HttpError(400, "a chunk is longer than its size")
            return False
        if self._rest[:2] != b"\r\n":
            raise HttpError(400, "a chunk is longer than its size")
        del self._rest[:2]
        self._missing, self._step = 0, self._size
        return True

    def _trailer(self) -> bool:
        line = self._line(TRAILERS_LIMIT, "a trailer")
        if line is None:
            return False
        self._trailers += len(line) + 2
        if self._trailers > TRAILERS_LIMIT:
            raise HttpError(431, f"the trailers are larger than {TRAILERS_LIMIT} bytes")
        if line and _FIELD.fullmatch(line) is None:
            raise HttpError(400, "a trailer is malformed")
        self._done = not line
        return True
