"""An object store on loopback that speaks S3's dialect of presigned URLs (Signature Version 4 in the query string), with faults on demand.

``sign`` makes a URL as the SDKs do, and every PUT is checked as S3 checks it: signature, expiry, headers that are present and not signed,
Content-MD5. ``faults`` are what the next requests get instead.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qsl, quote, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

#: A fault: what a handler does instead of storing.
Fault = Callable[["_Handler"], None]


class ObjectStore:
    """``objects`` are those stored by path, ``requests`` method, target and headers of each request, ``etag`` how an ETag is made."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[Fault] = []
        self.etag: Callable[[bytes], str] = lambda data: hashlib.md5(data).hexdigest()
        self.extra: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": self}))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.scheme = "http" if tls is None else "https"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sign(self, path: str, *, signed: dict[str, str] | None = None, at: float | None = None) -> str:
        """A presigned URL for PUT; ``signed`` are headers that it signs beside Host, with their values."""
        headers = {"host": self.host, **(signed or {})}
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{ACCESS_KEY}/{stamp[:8]}/us-east-1/s3/aws4_request",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": "600",
            "X-Amz-SignedHeaders": ";".join(sorted(headers)),
        }
        text = _encode(query)
        return f"{self.scheme}://{self.host}{path}?{text}&X-Amz-Signature={signature(path, query, headers)}"


def _encode(query: dict[str, str]) -> str:
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))


def signature(path: str, query: dict[str, str], headers: dict[str, str]) -> str:
    """The signature of a presigned PUT, as "Authenticating Requests: Using Query Parameters" of S3 has it."""
    canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join(("PUT", path, _encode(query), canonical, ";".join(sorted(headers)), "UNSIGNED-PAYLOAD"))
    scope = query["X-Amz-Credential"].partition("/")[2]
    text = "\n".join(("AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def answers(status: int, code: str = "", message: str = "", **headers: str) -> Fault:
    """An error of S3; ``_`` in the name of a header stands for ``-``. The body repeats the signature, as S3 does."""
    return lambda handler: handler.refuse(status, code, message, {name.replace("_", "-"): value for name, value in headers.items()})


def cuts(handler: _Handler) -> None:
    """End the connection after the request was read."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    store: ObjectStore
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Take requests until the client leaves, which it may do before it has read a response."""
        try:
            super().handle()
        except OSError:
            pass

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.store.requests.append((self.command, self.path, headers))
        if self.store.faults:
            self.store.faults.pop(0)(self)
            return
        query = dict(parse_qsl(urlsplit(self.path).query))
        requested_signature, path = query.pop("X-Amz-Signature", ""), urlsplit(self.path).path
        signed = query["X-Amz-SignedHeaders"].split(";")
        unsigned = [name for name in headers if (name == "content-md5" or name.startswith("x-amz-")) and name not in signed]
        began = time.mktime(time.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")) - time.timezone
        if unsigned:
            names = f"<HeadersNotSigned>{', '.join(unsigned)}</HeadersNotSigned>"
            self.refuse(403, "AccessDenied", "There were headers present in the request which were not signed", {}, names)
        elif time.time() > began + int(query["X-Amz-Expires"]):
            self.refuse(403, "AccessDenied", "Request has expired", {})
        elif signature(path, query, {name: headers.get(name, "") for name in signed}) != requested_signature:
            self.refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.", {})
        elif headers.get("content-md5", digest(data)) != digest(data):
            self.refuse(400, "BadDigest", "The Content-MD5 you specified did not match what we received.", {})
        else:
            self.store.objects[path] = data
            self._send(200, b"", {"ETag": f'"{self.store.etag(data)}"', **self.store.extra})

    def refuse(self, status: int, code: str, message: str, headers: dict[str, str], more: str = "") -> None:
        """Answer with an error of S3, which repeats what was signed."""
        secret = self.path.partition("X-Amz-Signature=")[2]
        text = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<SignatureProvided>{secret}</SignatureProvided></Error>"
        self._send(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode() if code else b"", headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def digest(data: bytes) -> str:
    """The value of Content-MD5."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()
