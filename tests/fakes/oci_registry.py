"""An OCI registry on loopback, in memory: blobs with uploads that are resumed, manifests, tags, referrers, tokens, and faults on demand.

It speaks what the OCI distribution specification 1.1 says of a registry, so that what real registries differ in can be chosen.
``CuttingProxy`` stands before it and cuts a connection after so many bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.fakes.proxy import Listener, shut_down

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

INDEX = "application/vnd.oci.image.index.v1+json"


class ReceivedRequest(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


class Reply(NamedTuple):
    """What a registry answers in place of what it should."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class OciRegistry:
    """``users`` are names and passwords; with ``tokens`` they get a token first, for its scope. ``redirect`` is where blobs are read."""

    def __init__(
        self,
        *,
        users: dict[str, str] | None = None,
        tokens: bool = False,
        has_referrers: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.users, self.tokens, self.has_referrers = users or {}, tokens, has_referrers
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.issued: dict[str, set[str]] = {}
        self.requests: list[ReceivedRequest] = []
        self.redirect = ""
        self.minimum_chunk = self.stored_chunk = 0  # what a chunk must have, and what of one is stored
        self.chunk_status = 202
        self.ranges = "{first}-{last}"  # of a download, as a registry understands them; "" where it refuses them
        self.next_page = ""  # the reference in the header Link of a page of referrers, which has one of them
        self.before: Callable[[ReceivedRequest], Reply | int | None] = lambda received: None  # what to answer at once, or None
        self.spoil: Callable[[bytes], bytes] = bytes  # what becomes of a blob that is read
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": self}))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def writes(self) -> list[str]:
        """Methods of the requests that changed something, or would have."""
        return [received.method for received in self.requests if received.writes]

    def put_manifest(self, repository: str, target: str, data: bytes, kind: str) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        for name in {digest, target}:
            self.manifests[repository, name] = (data, kind)
        return digest

    def put_blob(self, repository: str, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[repository, digest] = data
        return digest

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        descriptors = {}
        for (where, _), (data, kind) in self.manifests.items():
            tree = json.loads(data)
            if where == repository and (tree.get("subject") or {}).get("digest") == digest:
                own = f"sha256:{hashlib.sha256(data).hexdigest()}"
                descriptors[own] = {"mediaType": kind, "digest": own, "size": len(data), "artifactType": tree.get("artifactType", "")}
        return list(descriptors.values())


class _Handler(BaseHTTPRequestHandler):
    registry: OciRegistry
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # cut off
            self.close_connection = True

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - as http.server calls them

    def _handle(self) -> None:
        registry = self.registry
        received = ReceivedRequest(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        registry.requests.append(received)
        reply = registry.before(received)
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if reply is not None:
            self.close_connection = True
            reply = reply if isinstance(reply, Reply) else Reply(reply)
            self._answer(reply.status, reply.body, **reply.headers)
        elif url.path == "/token":
            self._token(parse_qs(url.query), self._body())
        elif self._is_allowed(url.path):
            self._route(url.path, query)

    def _route(self, path: str, query: dict[str, str]) -> None:
        routes: tuple[tuple[str, Callable[..., None]], ...] = (
            (r"/v2/(.+)/blobs/uploads/", self._start),
            (r"/v2/(.+)/blobs/uploads/([^/]+)", self._upload),
            (r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", self._blob),
            (r"/v2/(.+)/manifests/([^/]+)", self._manifest),
            (r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})", self._referrers),
        )
        for pattern, route in routes:
            match = re.fullmatch(pattern, path)
            if match:
                route(*match.groups(), query=query)
                return
        self._answer(404)

    def _start(self, repository: str, query: dict[str, str]) -> None:
        registry, digest = self.registry, query.get("mount", "")
        if (query.get("from", ""), digest) in registry.blobs:
            registry.blobs[repository, digest] = registry.blobs[query["from"], digest]
            self._answer(201, Location=f"/v2/{repository}/blobs/{digest}")
            return
        name = f"u{len(registry.uploads)}"
        registry.uploads[name] = bytearray()
        more = {"OCI-Chunk-Min-Length": str(registry.minimum_chunk)} if registry.minimum_chunk else {}
        self._answer(202, Location=f"/v2/{repository}/blobs/uploads/{name}?state=1", **more)

    def _upload(self, repository: str, name: str, query: dict[str, str]) -> None:
        content = self.registry.uploads.get(name)
        if content is None:
            self._body()
            self._answer(404)
            return
        location = {"Location": f"/v2/{repository}/blobs/uploads/{name}?state={len(content)}"}
        if self.command == "GET":
            self._answer(204, Range=f"0-{max(0, len(content) - 1)}", **location)
            return
        start = self.headers.get("Content-Range", "").partition("-")[0]
        if start and int(start) != len(content):
            self._body()
            self._answer(416, Range=f"0-{max(0, len(content) - 1)}", **location)
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read1(min(left, 1 << 16))
            if not piece:
                self.close_connection = True
                return
            content += piece
            left -= len(piece)
        if self.command == "PATCH":
            del content[int(start) + (self.registry.stored_chunk or len(content)) :]
            self._answer(self.registry.chunk_status, Range=f"0-{max(0, len(content) - 1)}", **location)
            return
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != query.get("digest"):
            self._error(400, "DIGEST_INVALID")
            return
        self.registry.blobs[repository, query["digest"]] = bytes(content)
        del self.registry.uploads[name]
        self._answer(201)

    def _blob(self, repository: str, digest: str, query: dict[str, str]) -> None:
        content = self.registry.blobs.get((repository, digest))
        if content is None:
            self._error(404, "BLOB_UNKNOWN")
        elif self.command == "HEAD":
            self._answer(200, b"", len(content))
        elif self.registry.redirect:
            self._answer(307, Location=f"{self.registry.redirect}{self.path}")
        else:
            content = self.registry.spoil(content)
            start = self.headers.get("Range", "").partition("=")[2].partition("-")[0]
            if start and not self.registry.ranges:
                self._answer(416)
            elif start:
                span = self.registry.ranges.format(first=start, last=len(content) - 1)
                content = content[int(span.partition("-")[0]) :]
                self._answer(206, content, **{"Content-Range": f"bytes {span}/{len(content)}"})
            else:
                self._answer(200, content)

    def _manifest(self, repository: str, target: str, query: dict[str, str]) -> None:
        registry = self.registry
        if self.command == "PUT":
            data = self._body()
            tree = json.loads(data)
            parts = [*tree.get("layers", ()), *([tree["config"]] if "config" in tree else [])]
            children = [(repository, each["digest"]) for each in tree.get("manifests", ())]
            if any((repository, part["digest"]) not in registry.blobs for part in parts) or not registry.manifests.keys() >= set(children):
                self._error(400, "MANIFEST_BLOB_UNKNOWN")
                return
            digest = registry.put_manifest(repository, target, data, self.headers["Content-Type"])
            subject = {"OCI-Subject": tree["subject"]["digest"]} if registry.has_referrers and "subject" in tree else {}
            self._answer(201, **{"Docker-Content-Digest": digest, **subject})
            return
        if (repository, target) not in registry.manifests:
            self._error(404, "MANIFEST_UNKNOWN")
            return
        data, kind = registry.manifests[repository, target]
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._answer(200, data, **{"Content-Type": kind, "Docker-Content-Digest": digest})

    def _referrers(self, repository: str, digest: str, query: dict[str, str]) -> None:
        if not self.registry.has_referrers:
            self._answer(404)
            return
        descriptors, link = self.registry.referrers(repository, digest), {}
        if self.registry.next_page:
            number = int(query.get("page", "0"))
            target = self.registry.next_page.format(host=self.registry.host, path=urlsplit(self.path).path, page=number + 1)
            link = {"Link": f'</first>; rel="first", <{target}>; rel="next"'} if number + 1 < len(descriptors) else {}
            descriptors = descriptors[number : number + 1]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}
        self._answer(200, json.dumps(index).encode(), **{"Content-Type": INDEX}, **link)

    def _is_allowed(self, path: str) -> bool:
        registry, header = self.registry, self.headers.get("Authorization", "")
        if not registry.users:
            return True
        repository = re.sub(r"^/v2/(.+)/(blobs|manifests|referrers)/.*$", r"\1", path)
        action = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        scope = f"repository:{repository}:{action}"
        if registry.tokens:
            if scope in registry.issued.get(header.removeprefix("Bearer "), ()):
                return True
            challenge = f'Bearer realm="http://{registry.host}/token",service="fake registry",scope="{scope}"'
        else:
            if self._user(header):
                return True
            challenge = 'Basic realm="fake"'
        self._body()
        self._error(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})
        return False

    def _user(self, header: str) -> str:
        try:
            name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        except ValueError:
            return ""
        return name if self.registry.users.get(name) == password else ""

    def _token(self, query: dict[str, list[str]], body: bytes) -> None:
        registry = self.registry
        form = parse_qs(body.decode())
        user = self._user(self.headers.get("Authorization", "")) or ("oauth" if form.get("refresh_token") == ["identity"] else "")
        if not user:
            self._answer(401)
            return
        token = f"t{len(registry.issued)}.{user}"
        scopes = {*(query.get("scope") or form.get("scope") or [])}
        registry.issued[token] = scopes | {scope.replace("pull,push", "pull") for scope in scopes}
        self._answer(200, json.dumps({"token": token, "expires_in": 60}).encode())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _error(self, status: int, code: str, /, **headers: str) -> None:
        self._answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(), **headers)

    def _answer(self, status: int, body: bytes = b"", length: int | None = None, /, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


class CuttingProxy(Listener):
    """Hands on connections to a port; cuts one, with all that is under way, when ``cut_after`` bytes have gone either way. 0: never."""

    def __init__(self, port: int, cut_after: int = 0) -> None:
        super().__init__()
        self.host = f"127.0.0.1:{self.port}"
        self.total = self.cuts = 0
        self._target, self._cut_after = port, cut_after
        self._lock = threading.Lock()

    def serve(self, sock: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            sock.close()
            return
        for source, sink in ((sock, far), (far, sock)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(1 << 14):
                with self._lock:
                    left = self._cut_after - self.total if self._cut_after and not self.cuts else len(piece)
                    self.total += len(piece)
                    is_cut = left < len(piece)
                    self.cuts += is_cut
                sink.sendall(piece[: max(0, left)] if is_cut else piece)
                if is_cut:
                    break
        except OSError:
            pass
        shut_down(source, sink)
        source.close()
        sink.close()
