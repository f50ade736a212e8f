r"""The body of a request, put together from what comes.

Knows both ways in which a body is framed (RFC 9112, sections 6 and 7); must not know sockets, times or what a body says. Each reader is
fed with bytes until its body is whole, and gives back what follows it. None keeps more than it was told to.

>>> reader = Chunked(limit=100)
>>> reader.feed(b"4\r\nWi"), reader.feed(b"ki\r\n0\r\n\r\nGET"), reader.whole()
(None, b'GET', b'Wiki')
"""

from __future__ import annotations

import re

from eidos.http_wire.request_head import TOKEN
from eidos.server.error_responses import Refused

#: A size of up to 2**28 - 1 bytes, and extensions, which mean nothing to us (RFC 9112, section 7.1.1).
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,7})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_FIELD = re.compile(rb"%s:[\t -~\x80-\xff]*" % TOKEN)

#: The longest line of a size in bytes, and all of the trailers.
SIZE_LINE, TRAILERS = 256, 8192

#: Chunks that may be as small as they like; of more, one has to hold so many bytes on average, or reading them is work for nothing.
CHUNKS, LEAST = 16384, 16


def too_large(limit: int) -> Refused:
    """What is said of a body over the limit."""
    return Refused(413, f"the body is larger than {limit} bytes", details={"limit": limit})


class Sized:
    """A body whose length is known: ``length`` bytes."""

    def __init__(self, length: int, limit: int) -> None:
        if length > limit:
            raise too_large(limit)
        self._missing = length
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes | None:
        """Take what came; what follows the body once it is whole, else None."""
        missing = self._missing
        if len(data) < missing:
            self._parts.append(data)
            self._missing = missing - len(data)
            return None
        self._parts.append(data[:missing])
        self._missing = 0
        return data[missing:]

    def whole(self) -> bytes:
        """The body."""
        return b"".join(self._parts)


class Chunked:
    """A body in chunks, at most ``limit`` bytes together; Refused for anything that is not exactly so."""

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
        """Take what came; what follows the body once it is whole, else None."""
        self._rest += data
        while self._step():
            if self._done:
                return bytes(self._rest)
        return None

    def whole(self) -> bytes:
        """The body."""
        return bytes(self._body)

    def _line(self, longest: int, what: str) -> bytes | None:
        end = self._rest.find(b"\n")
        if end < 0 and len(self._rest) <= longest:
            return None
        if end < 0 or end > longest:
            raise Refused(400, f"{what} is too long")
        if self._rest[end - 1 : end] != b"\r":
            raise Refused(400, f"{what} ends in a bare LF")
        line = bytes(self._rest[: end - 1])
        del self._rest[: end + 1]
        return line

    def _size(self) -> bool:
        line = self._line(SIZE_LINE, "the size of a chunk")
        if line is None:
            return False
        found = _SIZE.fullmatch(line)
        if found is None:
            raise Refused(400, "the size of a chunk is no hexadecimal number")
        size = int(found[1], 16)
        self._chunks += 1
        if self._chunks > CHUNKS and self._chunks * LEAST > len(self._body) + size:
            raise Refused(400, "the chunks are too small")
        self._framing += len(line) - len(found[1])
        if len(self._body) + size > self._limit:
            raise too_large(self._limit)
        if self._framing > TRAILERS:
            raise Refused(400, "the extensions of chunks are too long")
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
                raise Refused(400, "a chunk is longer than its size")
            return False
        if self._rest[:2] != b"\r\n":
            raise Refused(400, "a chunk is longer than its size")
        del self._rest[:2]
        self._missing, self._step = 0, self._size
        return True

    def _trailer(self) -> bool:
        line = self._line(TRAILERS, "a trailer")
        if line is None:
            return False
        self._trailers += len(line) + 2
        if self._trailers > TRAILERS:
            raise Refused(431, f"the trailers are larger than {TRAILERS} bytes")
        if line and _FIELD.fullmatch(line) is None:
            raise Refused(400, "a trailer is malformed")
        self._done = not line
        return True
