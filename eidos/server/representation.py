"""Answers as finished bytes, and a bounded store of them.

Knows codings, validators and which headers belong to a representation (RFC 9110, sections 8.8 and 13.1; RFC 9111); must not know what the
bytes mean, nor who asked. An answer never changes once it is made, so any number of requests may be given the same one.

>>> answer = make("application/json", b"{}", public=True)
>>> answer.whole(False)[0], is_fresh('W/"x", ' + answer.etag, answer.etag)
(('Content-Type', 'application/json'), True)
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    Headers = tuple[tuple[str, str], ...]

#: How long a public answer may be kept, in seconds.
MAX_AGE = 600

#: Less than this is not worth compressing.
_SMALL = 400

_VERSION = ("X-API-Version", "v1")
_PLAIN = ("X-Content-Type-Options", "nosniff")


class Answer:
    """One representation: its bytes, the same compressed (None: not worth it), and the headers of both.

    ``etag`` is ``""`` for what is not to be kept by anybody, and otherwise a strong validator: no two representations share one.
    """

    __slots__ = ("_headers", "body", "etag", "kind", "packed", "size")

    def __init__(self, kind: str, body: bytes, packed: bytes | None, public: bool, vary: str, more: Headers) -> None:
        self.kind = kind
        self.body = body
        self.packed = packed
        self.size = len(body) + len(packed or b"") + 2000
        common = (("Vary", vary), *more, _VERSION, _PLAIN) if vary else (*more, _VERSION, _PLAIN)
        self.etag = ""
        if public:
            digest = hashlib.sha256(kind.encode() + b"\0" + body).hexdigest()
            self.etag = f'"{digest[:32]}"'
            keep = ("Cache-Control", f"public, max-age={MAX_AGE}")
            tags = [("ETag", self.etag), ("ETag", f'{self.etag[:-1]}-gzip"')]
            fresh = [(tag, keep, *common) for tag in tags]
        else:
            fresh = [(("Cache-Control", "no-store"), *common)] * 2
        content = ("Content-Type", kind)
        self._headers: tuple[tuple[Headers, Headers], ...] = (
            ((content, *fresh[0]), fresh[0]),
            ((content, ("Content-Encoding", "gzip"), *fresh[1]), fresh[1]),
        )

    def whole(self, gzip: bool) -> Headers:
        """The headers of a 200."""
        return self._headers[gzip][0]

    def unchanged(self, gzip: bool) -> Headers:
        """The headers of a 304 (RFC 9110, section 15.4.5)."""
        return self._headers[gzip][1]

    def tag(self, gzip: bool) -> str:
        """The validator of what is sent."""
        return f'{self.etag[:-1]}-gzip"' if gzip and self.etag else self.etag


def make(
    kind: str,
    body: bytes,
    *,
    public: bool = False,
    gzip: bool = True,
    vary: str = "Accept, Accept-Encoding",
    headers: Sequence[tuple[str, str]] = (),
) -> Answer:
    """The answer with this content; ``public`` may be kept by whoever passes it on. ``gzip`` is false for what is compressed already."""
    packed = None
    if gzip and len(body) >= _SMALL:
        # No name and no time in it (RFC 1952): the same bytes for the same content.
        packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        packed = packer.compress(body) + packer.flush()
    return Answer(kind, body, packed, public, vary, tuple(headers))


def is_fresh(condition: str, etag: str) -> bool:
    """Whether If-None-Match says that the client has this representation (RFC 9110, section 13.1.2): the comparison is the weak one."""
    if not etag:
        return False
    if condition == etag:
        return True
    parts = [part.strip() for part in condition.split(",")]
    return parts == ["*"] or etag in (part.removeprefix("W/") for part in parts)


class Answers:
    """The answers that were asked for last, at most ``most`` of them and ``size`` bytes; any thread may ask."""

    def __init__(self, most: int = 1024, size: int = 6 << 20) -> None:
        self.most, self.size = most, size
        self.used = 0
        self._known: OrderedDict[Hashable, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable) -> Answer | None:
        """The answer that was put there, if it is still there."""
        with self._lock:
            answer = self._known.get(key)
            if answer is not None:
                self._known.move_to_end(key)
            return answer

    def put(self, key: Hashable, answer: Answer) -> None:
        """Keep ``answer``, and let go of those that nobody asked for lately; one that is too large for that is not kept."""
        if answer.size > self.size // 4:
            return
        with self._lock:
            before = self._known.pop(key, None)
            self.used += answer.size - (before.size if before else 0)
            self._known[key] = answer
            while self.used > self.size or len(self._known) > self.most:
                self.used -= self._known.popitem(last=False)[1].size


class Shortcuts:
    """From what a request said, letter by letter, to its route and the key of its answer; bounded, and forgetful of the oldest."""

    def __init__(self, most: int = 4096, longest: int = 512) -> None:
        self.most, self.longest = most, longest
        self.keys: dict[tuple[str, str], tuple[str, Hashable]] = {}
        self._lock = threading.Lock()

    def put(self, said: tuple[str, str], route: str, key: Hashable) -> None:
        """Remember that who says this gets that, from this route; what is long is not remembered."""
        if len(said[0]) + len(said[1]) > self.longest:
            return
        with self._lock:
            if len(self.keys) >= self.most:
                self.keys.pop(next(iter(self.keys)), None)
            self.keys[said] = (route, key)
