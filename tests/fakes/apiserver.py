"""A Kubernetes API server on loopback: HTTPS with an authority of its own, answers in the shape of kube-apiserver 1.36, faults on demand.

``with ApiServer() as server:`` and it listens; ``server.put("/api/v1/nodes/gpu-1", {...})`` fills it, ``server.kubeconfig(folder)`` is the
way in, ``server.requests`` what it received, ``server.fault("GET /version", "slow", seconds=2)`` spoils what it answers.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import trustme

from tests.fakes.apistore import Event, Made, Refused, ResourcePath, Store, Tree, dump, parse_resource_path, selector, status
from tests.fakes.helm_wire import PROTOBUF, decode_secret, openapi, strategic_merge
from tests.fakes.proxy import shut_down

if TYPE_CHECKING:
    from typing_extensions import Self

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-01-02T03:04:05Z",
    "goVersion": "go1.26.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}

#: Verbs of RBAC by method (Kubernetes documentation, "Authorization Overview", request verbs).
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

#: Bytes: the largest body that is taken, and the smallest that is sent compressed to whoever takes that.
BODY_LIMIT, GZIP_FROM = 3 << 20, 128 << 10

#: Faults of TLS, which come before anything is asked; the others are in :class:`_Handler`.
TLS_FAULTS = ("expired-certificate", "wrong-ca")


class RecordedRequest(NamedTuple):
    """A request: ``verb`` and ``resource`` (``pods``, "" for what is none) as RBAC calls them; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    user: str


class Fault(NamedTuple):
    """Which requests it spoils (a part of ``METHOD path?query``, or a function of it), how, and how often."""

    match: str | Callable[[str], bool]
    kind: str
    left: list[int]
    more: dict[str, Any]

    def meets(self, line: str) -> bool:
        """Whether this request is to be spoilt; it counts."""
        if self.left[0] == 0 or not (self.match(line) if callable(self.match) else self.match in line):
            return False
        self.left[0] -= 1
        return True


class ApiServer:
    """It; ``version`` is what it says of itself, ``forbidden`` holds (verb, resource) that nobody may, ``users`` names by their tokens.

    Callbacks of :meth:`on_change` get event type, path and object, after the change, from the thread that made it; they may change more.
    """

    def __init__(self, *, secure: bool = True, prefix: str = "") -> None:
        """``prefix`` is a path before all others, as behind a gateway; what is not ``secure`` speaks HTTP."""
        self.token = uuid.uuid4().hex
        self.users = {self.token: "tester"}
        self.version: Tree = dict(VERSION)
        self.forbidden: set[tuple[str, str]] = set()
        self.requests: list[RecordedRequest] = []
        self.connections = 0
        self.secure, self.prefix = secure, prefix
        self.bookmark_every = 60.0
        self.store = Store()
        self.closing = False
        self._created: set[tuple[str, str, str, str]] = set()
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._heard: list[Callable[[str, str, Tree], object]] = []
        self._reported = 0
        self._ca = trustme.CA()
        self.ca_pem: bytes = self._ca.cert_pem.bytes()
        self._contexts = {"": self._context(self._ca)}
        self._server: _Server | None = None
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.put(f"/api/v1/namespaces/{name}", {"status": {"phase": "Active"}})

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self.closing = True
        with self.store.changed:
            self.store.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Likewise, whole."""
        return f"http{'s' if self.secure else ''}://127.0.0.1:{self.port}{self.prefix}"

    # ---- what it holds ----

    def put(self, path: str, tree: Tree, manager: str = "") -> Tree:
        """Write an object at its path, whatever was there; ``manager`` then owns its fields. The namespace comes to be with it."""
        at = _existing_path(path)
        assert at.name, f"{path} names no object"
        written = self.store.put(at, tree, manager, bool(manager))
        self.tell()
        return written

    def make(self, path: str, count: int, make: Callable[[int], bytes]) -> None:
        """A collection of ``count`` objects that are made when they are listed: ``make`` gives the JSON of one."""
        self.store.made[_existing_path(path).collection] = Made(count, make)

    def remove(self, path: str) -> None:
        """Take an object away."""
        self.store.delete(_existing_path(path))
        self.tell()

    def get(self, path: str) -> Tree:
        """One object; KeyError when it is not there."""
        try:
            return self.store.get(_existing_path(path))
        except Refused as refused:
            raise KeyError(path) from refused

    def objects(self, prefix: str) -> list[Tree]:
        """All of a collection, of one namespace or of all: ``/api/v1/pods``, ``/api/v1/namespaces/default/pods``."""
        return self.store.all(_existing_path(prefix))

    def kind(self, version: str, resource: str, kind: str, namespaced: bool = True) -> None:
        """Make one more kind known, or (with "" as its name) one less."""
        if kind:
            self.store.kinds[version, resource] = (kind, namespaced)
        else:
            del self.store.kinds[version, resource]

    def on_change(self, callback: Callable[[str, str, Tree], object]) -> None:
        """Hear of every change: ``callback("ADDED" or "MODIFIED" or "DELETED", path, object)``."""
        self._heard.append(callback)

    def expire(self) -> None:
        """What was listed or watched before now is too old to go on with (410); a watch that goes on is told so."""
        self.store.expire()

    # ---- who may ----

    def used(self) -> set[tuple[str, str, str, str]]:
        """(verb, group, resource, namespace) of all that was asked: the rights that it took. What apply made anew took ``create`` too."""
        return {(each.verb, each.group, each.resource, each.namespace) for each in self.requests if each.resource} | self._created

    def certificate(self, name: str = "tester") -> tuple[bytes, bytes]:
        """A client certificate for a user, and its key, in PEM."""
        made = self._ca.issue_cert(common_name=name, organization_name="system:masters")
        return b"".join(blob.bytes() for blob in made.cert_chain_pems), made.private_key_pem.bytes()

    def kubeconfig(self, folder: Path, **overrides: Any) -> Path:
        """Write a kubeconfig (YAML in the form of JSON); ``cluster``, ``user``, ``context`` replace what is there, ``name`` its file."""
        import base64

        cluster = {"server": self.url, "certificate-authority-data": base64.b64encode(self.ca_pem).decode(), **overrides.get("cluster", {})}
        user = overrides.get("user", {"token": self.token})
        context = {"cluster": "fake", "user": "tester", **overrides.get("context", {})}
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {name: value for name, value in cluster.items() if value is not None}}],
            "users": [{"name": "tester", "user": user}],
            "contexts": [{"name": "fake", "context": context}],
        }
        path = folder / str(overrides.get("name", "kubeconfig"))
        path.write_text(json.dumps(tree, indent=1))
        path.chmod(0o600)
        return path

    # ---- faults ----

    def fault(self, match: str | Callable[[str], bool] = "", kind: str = "500", times: int = 1, **more: Any) -> None:
        """Spoil the next ``times`` requests (-1: all) that ``match``.

        Kinds: ``slow`` (``seconds``, before the answer), ``trickle`` (a byte each ``seconds``), ``silent`` (no answer), ``truncated``,
        ``reset``, ``hang-up``, ``garbage``, ``bad-json``, ``wrong-type``, ``gigabyte``, ``bomb``, ``redirect`` (``to``), a status
        from 400 on (``after``: Retry-After in seconds; ``body``). An event of a watch matches as "EVENT type name": the stream then
        breaks in the middle of a line, whatever the kind. Connections have ``expired-certificate`` and ``wrong-ca``.
        """
        with self._lock:
            self._faults.append(Fault("TLS" if kind in TLS_FAULTS else match, kind, [times], more))

    def calm(self) -> None:
        """No more faults."""
        with self._lock:
            self._faults.clear()

    def _meets(self, line: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._faults if (fault.kind in TLS_FAULTS) == (line == "TLS") and fault.meets(line)), None)

    def tls(self) -> ssl.SSLContext:
        """For the next connection."""
        fault = self._meets("TLS")
        kind = fault.kind if fault else ""
        if kind not in self._contexts:
            past = datetime.now(timezone.utc) - timedelta(days=1)
            self._contexts[kind] = self._context(
                self._ca if kind == "expired-certificate" else trustme.CA(), **({"not_after": past} if kind.startswith("expired") else {})
            )
        return self._contexts[kind]

    def _context(self, ca: trustme.CA, **more: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1", "::1", "localhost", "kubernetes.default.svc", **more).configure_cert(context)
        context.load_verify_locations(cadata=self.ca_pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def hang_up(self) -> None:
        """End every connection that is open."""
        assert self._server is not None
        self._server.hang_up()

    def secure_with(self, context: ssl.SSLContext) -> None:
        """Show another certificate."""
        self._contexts[""] = context

    def tell(self) -> None:
        """Call back for each change that nobody was told of yet."""
        with self._lock:
            events = self.store.events[self._reported :]
            self._reported += len(events)
        for event in events:
            metadata = event.object["metadata"]
            path = ResourcePath(*event.collection, metadata.get("namespace", ""), metadata["name"], "").path()
            for callback in self._heard:
                callback(event.type, path, event.object)


def _existing_path(path: str) -> ResourcePath:
    at = parse_resource_path(path)
    assert at is not None, f"{path} is no path of an API"
    return at


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], fake: ApiServer) -> None:
        self.fake = fake
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the thread of the connection: TLS first."""
        self._open.add(request)
        self.fake.connections += 1
        try:
            request.settimeout(30)
            with self.fake.tls().wrap_socket(request, server_side=True) if self.fake.secure else request as secured:
                self._open.add(secured)
                try:
                    secured.settimeout(None)
                    super().finish_request(secured, client_address)
                finally:
                    self._open.discard(secured)
        except (OSError, ValueError):  # the other side went away, or trusts nothing
            pass
        finally:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: the client reports it."""

    def hang_up(self) -> None:
        """Close what is still open."""
        shut_down(*self._open)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.server.fake.store.clock_ahead_s if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's names

    # ---- one request ----

    def _handle(self) -> None:
        self.fake = self.server.fake
        if not self.path.startswith(self.fake.prefix):
            self._send(404, b"404 page not found\n", "text/plain; charset=utf-8")
            return
        url = urlsplit(self.path[len(self.fake.prefix) :])
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.headers_ = {name.lower(): value for name, value in self.headers.items()}
        size = int(self.headers_.get("content-length", "0"))
        if size > BODY_LIMIT:
            self.close_connection = True
            self._status(413, "RequestEntityTooLarge", f"Request entity too large: limit is {BODY_LIMIT}")
            self.connection.settimeout(0.5)
            try:  # so that the answer is read before the connection breaks
                while self.rfile.read1(1 << 16):
                    pass
            except OSError:
                pass
            return
        body = self.rfile.read(size)
        user = self._user()
        at = parse_resource_path(unquote(url.path))
        verb = self._verb(at)
        if at is not None and at.collection in self.fake.store.kinds:
            what = (at.group, at.resource + (f"/{at.sub}" if at.sub else ""), at.namespace, at.name)
        else:
            what = ("", "", "", "")
        self.fake.requests.append(RecordedRequest(self.command, url.path, self.query, self.headers_, body, verb, *what, user or ""))
        fault = self.fake._meets(f"{self.command} {self.path}")
        if fault is not None and self._spoil(fault):
            return
        try:
            if user is None:
                raise Refused(401, "Unauthorized", "Unauthorized")
            self._answer(at, url.path, body, user, verb)
        except Refused as refused:
            self._send(refused.code, dump(refused.status))
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            self.close_connection = True

    def _user(self) -> str | None:
        """Who asks; None when it cannot be told."""
        kind, _, value = self.headers_.get("authorization", "").partition(" ")
        if kind == "Bearer":
            return self.fake.users.get(value)
        if kind == "Basic":
            import base64

            return self.fake.users.get(base64.b64decode(value).decode())
        certificate = self.connection.getpeercert() if self.fake.secure else None
        for part in (certificate or {}).get("subject", ()):
            for name, value in part:
                if name == "commonName":
                    return str(value)
        return "system:anonymous"

    def _verb(self, at: ResourcePath | None) -> str:
        if self.command != "GET":
            verb = VERBS[self.command]
            return "deletecollection" if verb == "delete" and at is not None and not at.name else verb
        if at is None or at.name:
            return "get"
        return "watch" if self.query.get("watch") in ("true", "1") else "list"

    def _answer(self, at: ResourcePath | None, path: str, body: bytes, user: str, verb: str) -> None:
        fake, store = self.fake, self.fake.store
        if path in ("/version", "/version/") and self.command == "GET":
            self._send(200, json.dumps(fake.version, indent=2).encode())
            return
        if path in ("/readyz", "/livez", "/healthz"):
            self._send(200, b"ok", "text/plain; charset=utf-8")
            return
        if at is not None and at.collection in store.kinds:
            resource = at.resource + (f"/{at.sub}" if at.sub else "")
            if user == "system:anonymous" or (verb, resource) in fake.forbidden:
                raise _forbidden(at, resource, verb, user)
            self._resource(at, body, verb)
            return
        if user == "system:anonymous":
            message = f'forbidden: User "{user}" cannot {verb} path "{path}"'
            raise Refused(403, "Forbidden", message, {})
        path = path.strip("/")
        document = openapi(path, store.kinds) if path.startswith("openapi/v3") else self._discovery(path)
        if document is None:
            self._send(404, b"404 page not found\n", "text/plain; charset=utf-8")
            return
        self._send(200, dump(document))
        return

    def _resource(self, at: ResourcePath, body: bytes, verb: str) -> None:
        fake, store = self.fake, self.fake.store
        dry, manager = self.query.get("dryRun") == "All", self.query.get("fieldManager", "")
        writer = manager or self.headers_.get("user-agent", "unknown").partition("/")[0]
        if verb == "get":
            self._send(200, dump(store.get(at)))
            return
        if verb == "list":
            metadata, items = store.page(at, self.query)
            kind = store.kinds[at.collection][0]
            head = dump({"kind": f"{kind}List", "apiVersion": at.version, "metadata": metadata})
            self._send(200, head[:-1] + b',"items":[' + b",".join(items) + b"]}")
            return
        if verb == "watch":
            self._watch(at)
            return
        if verb in ("delete", "deletecollection"):
            orphan = self.query.get("propagationPolicy") == "Orphan"
            if verb == "deletecollection":
                selects = selector(self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))
                for each in [each for each in store.all(at) if selects(each)]:
                    store.delete(at._replace(name=each["metadata"]["name"], namespace=each["metadata"].get("namespace", "")), orphan)
                answer, code = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 200
            else:
                answer, code = store.delete(at, orphan), 200
        else:
            try:
                tree = decode_secret(body) if self.headers_.get("content-type", "").startswith(PROTOBUF) else _parsed(body)
            except ValueError as error:
                raise Refused(400, "BadRequest", f"error decoding: {error}") from None
            if verb == "create":
                answer, code = store.create(at, tree, writer, dry), 201
            elif verb == "update":
                answer, code = store.replace(at, tree, writer, dry), 200
            else:
                answer, code = self._patch(at, tree, manager, writer, dry)
        self._send(code, dump(answer))
        fake.tell()

    def _patch(self, at: ResourcePath, tree: Tree, manager: str, writer: str, dry: bool) -> tuple[Tree, int]:
        kind = self.headers_.get("content-type", "").partition(";")[0]
        if kind == "application/apply-patch+yaml":
            answer, new = self.fake.store.apply(at, tree, manager, self.query.get("force") == "true", dry)
            if new:
                self.fake._created.add(("create", at.group, at.resource, at.namespace))
            return answer, 201 if new else 200
        if kind == "application/merge-patch+json":
            return self.fake.store.merge(at, tree, writer, dry), 200
        if kind == "application/strategic-merge-patch+json":
            merged = strategic_merge(self.fake.store.get(at), tree)
            return self.fake.store.replace(at, merged, writer, dry), 200
        raise Refused(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})

    def _discovery(self, path: str) -> Tree | None:
        versions = list(dict.fromkeys(version for version, _ in self.fake.store.kinds))
        if path == "api":
            where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": f"127.0.0.1:{self.fake.port}"}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}
        if path == "apis":
            groups: dict[str, list[Tree]] = {}
            for each in versions:
                if "/" in each:
                    groups.setdefault(each.split("/")[0], []).append({"groupVersion": each, "version": each.split("/")[1]})
            named = [{"name": name, "versions": versions, "preferredVersion": versions[0]} for name, versions in groups.items()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}
        version = path.partition("/")[2]
        if version not in versions:
            return None
        verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        resources = [
            {"name": resource, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": verbs}
            for (at, resource), (kind, namespaced) in self.fake.store.kinds.items()
            if at == version
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}

    # ---- watch ----

    def _watch(self, at: ResourcePath) -> None:
        store, kind = self.fake.store, self.fake.store.kinds[at.collection][0]
        selects = selector(self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))
        until = time.monotonic() + float(self.query.get("timeoutSeconds", 3600))
        marks = self.query.get("allowWatchBookmarks") in ("true", "1")
        self._begin(200, "application/json", chunked=True)
        version = self.query.get("resourceVersion", "")
        initial = self.query.get("sendInitialEvents") == "true" or version in ("", "0")
        with store.changed:
            sent = int(version or 0)
            if not initial and sent < store.oldest:
                failure = status(410, "Expired", f"too old resource version: {sent} ({store.oldest})")
                self._line("ERROR", failure)
                self._end()
                return
            first = [each for each in store.all(at) if selects(each)] if initial else []
            if initial:
                sent = store.version
        for each in first:
            self._line("ADDED", each)
        if self.query.get("sendInitialEvents") == "true" and marks:
            self._mark(at, kind, sent, {"annotations": {"k8s.io/initial-events-end": "true"}})
        self._flush()
        marked = time.monotonic() + self.fake.bookmark_every
        while time.monotonic() < until and not self.fake.closing:
            with store.changed:
                events = [event for event in store.events if event.version > sent]
                if not events:
                    store.changed.wait(max(0.0, min(until, marked) - time.monotonic()))
                    events = [event for event in store.events if event.version > sent]
                old = sent < store.oldest and not events
                sent = max(sent, events[-1].version) if events else sent
            if old:
                self._line("ERROR", status(410, "Expired", f"too old resource version: {sent} ({store.oldest})"))
                self._end()
                return
            for event in events:
                shown = self._shown(event, at, selects)
                if shown is not None:
                    fault = self.fake._meets(f"EVENT {event.type} {event.object['metadata']['name']}")
                    if fault is not None:
                        self._chunk(b'{"type":"ADD')
                        self._flush()
                        self._drop(reset=False)
                        return
                    self._line(shown, event.object)
            if marks and time.monotonic() >= marked:
                self._mark(at, kind, sent, {})
                marked = time.monotonic() + self.fake.bookmark_every
            self._flush()
        self._end()

    def _shown(self, event: Event, at: ResourcePath, selects: Callable[[Tree], bool]) -> str | None:
        if event.collection != at.collection or at.namespace not in ("", event.object["metadata"].get("namespace", "")):
            return None
        before, after = event.before is not None and selects(event.before), selects(event.object)
        if event.type == "MODIFIED":
            return "MODIFIED" if before and after else "ADDED" if after else "DELETED" if before else None
        return event.type if after else None

    def _mark(self, at: ResourcePath, kind: str, version: int, more: Tree) -> None:
        self._line("BOOKMARK", {"kind": kind, "apiVersion": at.version, "metadata": {"resourceVersion": str(version), **more}})

    def _line(self, what: str, tree: Tree) -> None:
        self._chunk(dump({"type": what, "object": tree}) + b"\n")

    # ---- sending ----

    def _status(self, code: int, reason: str, message: str) -> None:
        self._send(code, dump(status(code, reason, message)))

    def _begin(self, code: int, kind: str, *, size: int = 0, chunked: bool = False, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.send_response_only(code)
        for name, value in (
            ("Audit-Id", str(uuid.uuid4())),
            ("Cache-Control", "no-cache, private"),
            ("Content-Type", kind),
            ("Date", self.date_time_string()),
            ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size)),
            *headers,
            *([("Connection", "close")] if self.close_connection else []),
        ):
            self.send_header(name, value)
        self.end_headers()

    def _send(self, code: int, body: bytes, kind: str = "application/json", headers: Iterable[tuple[str, str]] = ()) -> None:
        if len(body) > GZIP_FROM and "gzip" in self.headers_.get("accept-encoding", ""):
            body, headers = gzip.compress(body, 1), (*headers, ("Content-Encoding", "gzip"))
        chunked = len(body) > 2048
        self._begin(code, kind, size=len(body), chunked=chunked, headers=headers)
        if chunked:
            for start in range(0, len(body), 1 << 16):
                self._chunk(body[start : start + (1 << 16)])
            self._end()
        else:
            self.wfile.write(body)
        self._flush()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self._flush()

    def _flush(self) -> None:
        self.wfile.flush()

    def _drop(self, reset: bool) -> None:
        self.close_connection = True
        if reset:  # nothing lingers: the other side gets RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()

    # ---- faults ----

    def _spoil(self, fault: Fault) -> bool:
        """Do it; False when the answer still comes."""
        kind, more = fault.kind, fault.more
        try:
            if kind == "slow":
                self._pause(more.get("seconds", 1.0))
                return False
            if kind.isdigit():
                reasons = {
                    "401": "Unauthorized",
                    "403": "Forbidden",
                    "429": "TooManyRequests",
                    "500": "InternalError",
                    "503": "ServiceUnavailable",
                    "504": "Timeout",
                }
                headers = [("Retry-After", str(more["after"]))] if "after" in more else []
                body = more.get("body") or dump(status(int(kind), reasons.get(kind, ""), more.get("message", "told to fail")))
                self._send(int(kind), body, headers=headers)
            elif kind == "redirect":
                self._send(more.get("code", 302), b"", headers=[("Location", more.get("to", "https://192.0.2.1/"))])
            elif kind == "wrong-type":
                self._send(more.get("code", 200), more.get("body", b"<html><body>Please log in</body></html>"), "text/html")
            elif kind == "bad-json":
                self._send(200, more.get("body", b'{"kind":"NodeList","items":[{'))
            elif kind == "bomb":
                packed = gzip.compress(b"[" * more.get("size", 80 << 20), 1)
                self._begin(200, "application/json", size=len(packed), headers=[("Content-Encoding", "gzip")])
                self.wfile.write(packed)
            elif kind == "silent":
                self._pause(more.get("seconds", 60.0))
                self._drop(reset=False)
            elif kind == "garbage":
                self.wfile.write(b"\x00\x01\x02 what is this\r\n\r\n")
                self._flush()
                self._drop(reset=False)
            elif kind == "truncated":
                self._begin(more.get("code", 200), "application/json", size=more.get("size", 100_000))
                self.wfile.write(b'{"kind":"NodeList","items":[')
                self._flush()
                self._drop(reset=False)
            elif kind in ("reset", "hang-up"):
                self._drop(reset=kind == "reset")
            elif kind == "trickle":
                self._begin(200, "application/json", size=1000)
                for _ in range(1000):
                    self.wfile.write(b" ")
                    self._flush()
                    self._pause(more.get("seconds", 0.05))
            elif kind == "gigabyte":
                self._gigabyte(more.get("size", 1 << 30), more.get("promised", False))
            else:
                raise AssertionError(f"no such fault: {kind}")
        except (OSError, ValueError):
            self.close_connection = True
        return True

    def _gigabyte(self, size: int, promised: bool) -> None:
        self._begin(200, "application/json", size=size, chunked=not promised)
        part = b'"' + b"x" * ((1 << 16) - 1)
        for _ in range(size >> 16):
            if promised:
                self.wfile.write(part)
            else:
                self._chunk(part)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.fake.closing:
            time.sleep(min(0.02, max(0.0, until - time.monotonic())))


def _parsed(body: bytes) -> Tree:
    try:
        tree = json.loads(body)
    except ValueError:
        import yaml

        try:
            tree = yaml.safe_load(body)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    if not isinstance(tree, dict):
        raise ValueError("it is no object")
    return tree


def _forbidden(at: ResourcePath, resource: str, verb: str, user: str) -> Refused:
    where = f'in the namespace "{at.namespace}"' if at.namespace else "at the cluster scope"
    what = f'{at.qualified} "{at.name}" is' if at.name else f"{at.qualified} is"
    message = f'{what} forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "{at.group}" {where}'
    return Refused(403, "Forbidden", message, at.details())
