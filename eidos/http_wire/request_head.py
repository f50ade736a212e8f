"""The head of a request: its request line and its fields, read as strictly as RFC 9112 lets a server be.

Knows the grammar of RFC 9112 and of the fields that frame a message; must not know sockets, times or routes. What two readers could
take for two different things is refused with 400, never repaired: obs-fold, bare CR or LF, white space before a colon, two lengths, a
length beside a transfer coding, a Host that is missing or there twice. That is what request smuggling is made of.

RFC 9112 would have 505 for another version of HTTP and 501 for another transfer coding; here both are 400, because whoever watches the
service counts what is 500 and above as its own faults, and anybody can send such a thing.

One regular expression says whether a head is well-formed; only when it is not, :func:`_explain` looks for the reason, line by line.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from eidos.server.error_responses import Refused
from eidos.server.server_settings import HEADERS_LIMIT, LINE_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: RFC 9110, section 5.6.2: what names of methods and fields are made of.
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rb"(%s) ([!-~]+) HTTP/([0-9])\.([0-9])" % TOKEN)
# No part of it can match in two ways, so it takes time in proportion to the head.
_WHOLE = re.compile(rb"%s [!-~]+ HTTP/1\.[0-9]\r\n(?:%s:[\t -~\x80-\xff]*\r\n)*\r\n" % (TOKEN, TOKEN))
_FIELD = re.compile(rb"%s:[\t -~\x80-\xff]*" % TOKEN)
_STARTS = re.compile(TOKEN)
_BARE_LF = re.compile(rb"(?<!\r)\n")
#: RFC 9112, section 3.2, with RFC 3986, section 3.2.2; no value at all is allowed.
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: The most fields of one head.
FIELDS = 100

#: Heads that are remembered whole with what they say, and the longest of these: a client says the same again and again.
REMEMBERED, LONGEST = 256, 2048

END = b"\r\n\r\n"


class Head:
    """What the head of a request says.

    ``headers`` have lower-case names, repeated ones joined. ``length`` is that of the body in bytes, None when it comes in chunks.
    ``persists`` is whether the connection may stay open, ``old`` whether the client speaks HTTP/1.0, ``expects`` whether it waits for
    100 (Continue). ``fields`` are those of a :class:`~eidos.http_wire.messages.Request` that the head says.
    """

    __slots__ = ("expects", "fields", "headers", "length", "method", "old", "path", "persists", "query", "target")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], old: bool) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.old = old
        self.path, self.query = _split(method, target)
        self.fields = {"method": method, "target": target, "path": self.path, "query": self.query, "headers": headers}
        self.length = _length(headers, old)
        self.persists = _persists(headers, old)
        self.expects = False
        expected = headers.get("expect")
        if expected is not None and not old:
            if expected.lower() != "100-continue":
                raise Refused(417, "the only expectation that is met here is 100-continue")
            self.expects = self.length is None or self.length > 0


class Heads:
    """Reads heads, and remembers those that come again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def known(self, head: bytes) -> Head | None:
        """What ``head`` says, if that is remembered."""
        return self._known.get(head) if len(head) <= LONGEST else None

    def read(self, head: bytes) -> Head:
        """What ``head``, up to its empty line, says; raises Refused with the status that the client deserves."""
        known = self._known.get(head)
        if known is None:
            known = read(head)
            if len(head) <= LONGEST and "authorization" not in known.headers and "cookie" not in known.headers:
                if len(self._known) >= REMEMBERED:
                    del self._known[next(iter(self._known))]
                self._known[head] = known
        return known


def read(head: bytes) -> Head:
    r"""What ``head``, up to its empty line, says; raises Refused with the status that the client deserves.

    >>> read(b"GET /a%20b?c HTTP/1.1\r\nHost: example.com\r\n\r\n").path
    '/a b'
    """
    if _WHOLE.fullmatch(head) is None:
        raise _explain(head)
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    if len(lines[0]) > LINE_LIMIT:
        raise _long_line()
    if len(head) - len(lines[0]) > HEADERS_LIMIT or len(lines) > FIELDS + 3:
        raise _many_fields()
    old = version == "HTTP/1.0"
    headers: dict[str, str] = {}
    for at in range(1, len(lines) - 2):
        name, _, value = lines[at].partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            if name in ("host", "content-length", "transfer-encoding"):
                raise Refused(400, f"the field {name} is there more than once")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    host = headers.get("host")
    if host is None:
        if not old:
            raise Refused(400, "the field Host is missing")
    elif _HOST.fullmatch(host) is None:
        raise Refused(400, "the field Host holds no host")
    # Heads are remembered, so requests share what is in them: nobody can change it.
    return Head(method, target, MappingProxyType(headers), old)


def unfinished(buffer: bytearray, seen: int) -> None:
    """Raise Refused for a head that can only become wrong; its first ``seen`` bytes were looked at before."""
    if seen == 0 and _STARTS.match(buffer) is None and buffer[:2] != b"\r\n"[: len(buffer)]:
        raise Refused(400, "this is no HTTP request", "TLS ends at the proxy in front; speak plain HTTP here")
    if _BARE_LF.search(buffer, max(0, seen - 1)):
        raise Refused(400, "a line ends in a bare LF")
    if len(buffer) > LINE_LIMIT:
        end = buffer.find(b"\r\n", 0, LINE_LIMIT + 2)
        if end < 0:
            raise _long_line()
        if len(buffer) - end > HEADERS_LIMIT:
            raise _many_fields()


def _long_line() -> Refused:
    return Refused(414, f"the request line is longer than {LINE_LIMIT} bytes")


def _many_fields() -> Refused:
    return Refused(431, f"the header is larger than {HEADERS_LIMIT} bytes, or has more than {FIELDS} fields")


def _explain(head: bytes) -> Refused:
    lines = head[: -len(END)].split(b"\r\n")
    first = lines[0]
    if len(first) > LINE_LIMIT:
        return _long_line()
    found = _LINE.fullmatch(first)
    if found is None:
        return Refused(400, "the request line is not: METHOD target HTTP/1.1")
    if found[3] != b"1":
        return Refused(400, "the version of HTTP must be 1.1 or 1.0")
    for line in lines[1:]:
        if _FIELD.fullmatch(line):
            continue
        if line[:1] in (b" ", b"\t"):
            return Refused(400, "a header line begins with white space")
        name, colon, value = line.partition(b":")
        if not colon:
            return Refused(400, "a header line has no colon")
        if _STARTS.fullmatch(name) is None:
            return Refused(400, "the name of a field holds what no name may hold")
        what = "a bare CR or LF" if b"\r" in value or b"\n" in value else "a control character"
        return Refused(400, f"the value of a field holds {what}")
    return Refused(400, "the header is malformed")


def _split(method: str, target: str) -> tuple[str, str]:
    """Path, percent-decoded once, and query of a target in each of the forms of RFC 9112, section 3.2."""
    if "#" in target:
        raise Refused(400, "the request target holds a fragment")
    if target[0] != "/":
        scheme, _, rest = target.partition("://")
        if rest and scheme.lower() in ("http", "https"):
            at = min(at for at in (rest.find("/"), rest.find("?"), len(rest)) if at >= 0)
            if at == 0 or rest[0] == ":" or _HOST.fullmatch(rest[:at]) is None:
                raise Refused(400, "the request target names no host")
            rest = rest[at:]
            target = rest if rest[:1] == "/" else "/" + rest
        elif (method == "OPTIONS" and target == "*") or method == "CONNECT":
            return target, ""
        else:
            raise Refused(400, "the request target is no path")
    path, _, query = target.partition("?")
    if "%" in path:
        if _ESCAPE.search(path):
            raise Refused(400, "the path holds a % that begins no escape")
        from urllib.parse import unquote_to_bytes

        try:
            path = unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            raise Refused(400, "the path is not UTF-8") from None
    return path, query


def _length(headers: Mapping[str, str], old: bool) -> int | None:
    """How long the body is (RFC 9112, section 6.3)."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise Refused(400, "the fields Transfer-Encoding and Content-Length exclude one another")
        if old:
            raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != "chunked":
            last = coding.rpartition(",")[2].strip(" \t").lower()
            if last != "chunked" or coding.lower().count("chunked") > 1:
                raise Refused(400, "the last transfer coding must be chunked, and once")
            raise Refused(400, "the only transfer coding that is read here is chunked")
        return None
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise Refused(400, "the field Content-Length holds no length")
    return int(length)


def _persists(headers: Mapping[str, str], old: bool) -> bool:
    """Whether the connection may stay open after the answer (RFC 9112, section 9.3)."""
    said = headers.get("connection")
    if said is None:
        return not old
    options = [option.strip(" \t") for option in said.lower().split(",")]
    return "close" not in options and (not old or "keep-alive" in options)
