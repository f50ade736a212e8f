"""The head of a request: its request line and its fields, read as strictly as RFC 9112 lets a server be.

Knows the grammar of RFC 9112 and of the fields that frame a message; must not know sockets, times or routes. What two parsers could
interpret differently is refused with 400, never repaired: obs-fold, bare CR or LF, white space before a colon, two lengths, a
length beside a transfer coding, a Host that is missing or repeated. That is what request smuggling is made of.

RFC 9112 would have 505 for another version of HTTP and 501 for another transfer coding; here both are 400, because whoever monitors the
service counts 500 and above as its own faults, and any client can send such a request.

One regular expression says whether a head is well-formed; only when it is not, :func:`_explain` looks for the reason, line by line.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from eidos.http_wire.messages import HttpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes of a request line without its CRLF (RFC 9112, section 3, asks for 8,000 at least), and of all header lines.
LINE_LIMIT, HEADERS_LIMIT = 8192, 65536

#: Fields of one head.
FIELD_LIMIT = 100

#: RFC 9110, section 5.6.2: what names of methods and fields are made of.
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%s) ([!-~]+) HTTP/([0-9])\.([0-9])" % TOKEN)
# No part of it can match in two ways, so it takes time in proportion to the head.
_HEAD = re.compile(rb"%s [!-~]+ HTTP/1\.[0-9]\r\n(?:%s:[\t -~\x80-\xff]*\r\n)*\r\n" % (TOKEN, TOKEN))
_FIELD = re.compile(rb"%s:[\t -~\x80-\xff]*" % TOKEN)
_TOKEN = re.compile(TOKEN)
_BARE_LF = re.compile(rb"(?<!\r)\n")
#: RFC 9112, section 3.2, with RFC 3986, section 3.2.2; an empty value is allowed.
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: Heads that are cached with their parsed form, and bytes of the longest of these: a client sends the same head again and again.
CACHED_HEADS, CACHED_HEAD_BYTES = 256, 2048

END = b"\r\n\r\n"


class Head:
    """A parsed head.

    ``headers`` have lower-case names, repeated ones joined. ``content_length`` is that of the body in bytes, None when it comes in
    chunks. ``keep_alive`` says whether the connection may stay open, ``is_http_1_0`` whether the client speaks HTTP/1.0,
    ``expects_continue`` whether it waits for 100 (Continue) before it sends the body.
    """

    __slots__ = ("content_length", "expects_continue", "headers", "is_http_1_0", "keep_alive", "method", "path", "query", "target")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], is_http_1_0: bool) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.is_http_1_0 = is_http_1_0
        self.path, self.query = _split_target(method, target)
        self.content_length = _content_length(headers, is_http_1_0)
        self.keep_alive = _keep_alive(headers, is_http_1_0)
        self.expects_continue = False
        expected = headers.get("expect")
        if expected is not None and not is_http_1_0:
            if expected.lower() != "100-continue":
                raise HttpError(417, "unsupported Expect; only 100-continue is supported")
            self.expects_continue = self.content_length is None or self.content_length > 0


class HeadCache:
    """Parses heads, and remembers those that come again; never one with credentials."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def parse(self, data: bytes) -> Head:
        """As :func:`parse_head`."""
        head = self._heads.get(data)
        if head is None:
            head = parse_head(data)
            if len(data) <= CACHED_HEAD_BYTES and "authorization" not in head.headers and "cookie" not in head.headers:
                if len(self._heads) >= CACHED_HEADS:
                    del self._heads[next(iter(self._heads))]
                self._heads[data] = head
        return head


def parse_head(data: bytes) -> Head:
    r"""The head in ``data``, which ends with its empty line; raises HttpError with the status to answer.

    >>> parse_head(b"GET /a%20b?c HTTP/1.1\r\nHost: example.com\r\n\r\n").path
    '/a b'
    """
    if _HEAD.fullmatch(data) is None:
        raise _explain(data)
    lines = data.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    if len(lines[0]) > LINE_LIMIT:
        raise _long_line()
    if len(data) - len(lines[0]) > HEADERS_LIMIT or len(lines) > FIELD_LIMIT + 3:
        raise _large_header()
    is_http_1_0 = version == "HTTP/1.0"
    headers: dict[str, str] = {}
    for at in range(1, len(lines) - 2):
        name, _, value = lines[at].partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            if name in ("host", "content-length", "transfer-encoding"):
                raise HttpError(400, f"the field {name} is repeated")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    host = headers.get("host")
    if host is None:
        if not is_http_1_0:
            raise HttpError(400, "the field Host is missing")
    elif _HOST.fullmatch(host) is None:
        raise HttpError(400, "the field Host is not a valid host")
    # Heads are remembered, so requests share what is in them: nobody can change it.
    return Head(method, target, MappingProxyType(headers), is_http_1_0)


def check_partial_head(buffer: bytearray, scanned: int) -> None:
    """Raise HttpError for the beginning of a head that cannot become valid; its first ``scanned`` bytes were checked before."""
    if scanned < 2 and _TOKEN.match(buffer) is None and buffer[:2] != b"\r\n"[: len(buffer)]:
        raise HttpError(400, "not an HTTP request", "use plain HTTP; TLS ends at the proxy in front")
    if _BARE_LF.search(buffer, max(0, scanned - 1)):
        raise HttpError(400, "a line ends in a bare LF")
    if len(buffer) > LINE_LIMIT:
        end = buffer.find(b"\r\n", 0, LINE_LIMIT + 2)
        if end < 0:
            raise _long_line()
        if len(buffer) - end > HEADERS_LIMIT:
            raise _large_header()


def _long_line() -> HttpError:
    return HttpError(414, f"the request line is longer than {LINE_LIMIT} bytes")


def _large_header() -> HttpError:
    return HttpError(431, f"the header is larger than {HEADERS_LIMIT} bytes, or has more than {FIELD_LIMIT} fields")


def _explain(head: bytes) -> HttpError:
    lines = head[: -len(END)].split(b"\r\n")
    first = lines[0]
    if len(first) > LINE_LIMIT:
        return _long_line()
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        return HttpError(400, "invalid request line; expected METHOD target HTTP/1.1")
    if match[3] != b"1":
        return HttpError(400, "the version of HTTP must be 1.1 or 1.0")
    for line in lines[1:]:
        if _FIELD.fullmatch(line):
            continue
        if line[:1] in (b" ", b"\t"):
            return HttpError(400, "a header line begins with white space")
        name, colon, value = line.partition(b":")
        if not colon:
            return HttpError(400, "a header line has no colon")
        if _TOKEN.fullmatch(name) is None:
            return HttpError(400, "the name of a field contains invalid characters")
        what = "a bare CR or LF" if b"\r" in value or b"\n" in value else "a control character"
        return HttpError(400, f"the value of a field contains {what}")
    return HttpError(400, "the header is malformed")


def _split_target(method: str, target: str) -> tuple[str, str]:
    """Path, percent-decoded once, and query of a target, in each of the forms of RFC 9112, section 3.2."""
    if "#" in target:
        raise HttpError(400, "the request target contains a fragment")
    if target[0] != "/":
        scheme, _, rest = target.partition("://")
        if rest and scheme.lower() in ("http", "https"):
            at = min(at for at in (rest.find("/"), rest.find("?"), len(rest)) if at >= 0)
            if at == 0 or rest[0] == ":" or _HOST.fullmatch(rest[:at]) is None:
                raise HttpError(400, "the request target has no host")
            rest = rest[at:]
            target = rest if rest[:1] == "/" else "/" + rest
        elif (method == "OPTIONS" and target == "*") or method == "CONNECT":
            return target, ""
        else:
            raise HttpError(400, "the request target is not a path")
    path, _, query = target.partition("?")
    if "%" in path:
        if _BAD_ESCAPE.search(path):
            raise HttpError(400, "the path contains an invalid % escape")
        from urllib.parse import unquote_to_bytes

        try:
            path = unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            raise HttpError(400, "the path is not UTF-8") from None
    return path, query


def _content_length(headers: Mapping[str, str], is_http_1_0: bool) -> int | None:
    """The length of the body in bytes, None for chunks (RFC 9112, section 6.3)."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise HttpError(400, "the fields Transfer-Encoding and Content-Length exclude each other")
        if is_http_1_0:
            raise HttpError(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != "chunked":
            last = coding.rpartition(",")[2].strip(" \t").lower()
            if last != "chunked" or coding.lower().count("chunked") > 1:
                raise HttpError(400, "chunked must be the last transfer coding, and only once")
            raise HttpError(400, "unsupported transfer coding; only chunked is supported")
        return None
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise HttpError(400, "the field Content-Length is not a valid length")
    return int(length)


def _keep_alive(headers: Mapping[str, str], is_http_1_0: bool) -> bool:
    """Whether the connection may stay open after the response (RFC 9112, section 9.3)."""
    connection = headers.get("connection")
    if connection is None:
        return not is_http_1_0
    options = [option.strip(" \t") for option in connection.lower().split(",")]
    return "close" not in options and (not is_http_1_0 or "keep-alive" in options)
