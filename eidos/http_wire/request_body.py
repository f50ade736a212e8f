r"""The body of a request, decoded as it arrives.

Knows both ways in which a body is framed (RFC 9112, sections 6 and 7); must not know sockets, times or what a body means. A decoder is
fed bytes until its body is complete, and then returns those that follow it. It never holds more than its limit.

>>> body = ChunkedBody(limit=100)
>>> body.feed(b"4\r\nWi"), body.feed(b"ki\r\n0\r\n\r\nGET"), body.content()
(None, b'GET', b'Wiki')
"""

from __future__ import annotations

import re

from eidos.http_wire.messages import HttpError
from eidos.http_wire.request_head import TOKEN

#: A size of up to 2**28 - 1 bytes, and extensions, which are ignored (RFC 9112, section 7.1.1).
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,7})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_FIELD = re.compile(rb"%s:[\t -~\x80-\xff]*" % TOKEN)

#: Bytes of the line of a chunk size, and of all trailers.
SIZE_LINE_LIMIT, TRAILERS_LIMIT = 256, 8192

#: Chunks that may be of any size; with more of them, each has to hold so many bytes on average, or parsing them costs too much.
CHUNK_LIMIT, MIN_CHUNK_BYTES = 16384, 16


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
        self._missing = 0
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
