"""What an API server answers: read as far as its bound, taken apart, and when it is a refusal, said so that people know what to do.

Knows bodies, the Status object and request verbs (Kubernetes API conventions; "Authorization Overview"); must not know connections, nor
what the objects are for.
"""

from __future__ import annotations

import zlib

from eidos.errors import EidosError, KubeError, NotFound
from eidos.log import printable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.kube.connection_pool import Reply

    Tree = dict[str, Any]

#: Bytes: the largest answer, of which some lists need many; the largest refusal.
BODY_LIMIT, STATUS_LIMIT = 64 << 20, 64 << 10

#: Characters of what a server says that are shown.
SAID = 400

#: Statuses that may be others in a moment; of them those that say that nothing was done.
PASSING, UNDONE = frozenset({429, 500, 502, 503, 504}), frozenset({429, 503})

#: Those that are others only for somebody else, or once somebody has more rights.
FINAL = frozenset({401, 403})


class Expired(KubeError):
    """What was to be gone on with is too old (410); ``token`` goes on all the same, "" when there is none."""

    token = ""


class Missing(NotFound):
    """The server says what it has not (404): the object ``name`` of the resource ``kind``; "" when it does not say, as a proxy's page."""

    kind = name = ""


class Asked(Record):
    """A request as messages name it: ``verb`` and ``resource`` are those of RBAC, ``group`` its API group."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{named}{f' in namespace {self.namespace}' if self.namespace else ''}"


class Raw(Record):
    """A body as it came; ``packed`` when it is compressed."""

    data: bytes
    packed: bool
    kind: str


def asked(method: str, path: str, query: Mapping[str, str] | None = None) -> Asked:
    """What a request means.

    >>> str(asked("GET", "/apis/batch/v1/namespaces/eidos/jobs")), str(asked("GET", "/api/v1/nodes/gpu-1")), str(asked("GET", "/version"))
    ('list jobs.batch in namespace eidos', 'get nodes gpu-1', 'get /version')
    """
    parts = path.strip("/").split("/")
    skip = {"api": 2, "apis": 3}.get(parts[0], 0)
    verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method, "get")
    if not skip or len(parts) <= skip:
        return Asked(verb, path)
    group = parts[1] if skip == 3 else ""
    rest, namespace = parts[skip:], ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    if len(rest) == 1 and verb == "get":
        verb = "watch" if (query or {}).get("watch") else "list"
    resource = rest[0] + (f"/{rest[2]}" if len(rest) > 2 else "")
    return Asked(verb, resource, group, namespace, rest[1] if len(rest) > 1 else "")


def read(reply: Reply, where: str, limit: int = BODY_LIMIT) -> Raw:
    """The body, no further than ``limit`` bytes; KubeError beyond them. Raises Broken when it is cut off."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    packed = reply.headers.get("content-encoding", "identity").lower()
    parts: list[bytes] = []
    size = reply.length or 0
    while size <= limit:
        part = reply.read()
        if not part:
            break
        parts.append(part)
        if reply.length is None:
            size += len(part)
    else:
        reply.drop()
        raise KubeError(f"{where}: its answer is larger than {limit >> 20 or 1} MiB", "is this the API server of a Kubernetes cluster?")
    if packed not in ("identity", "gzip"):
        raise KubeError(f"{where}: its answer is encoded as {printable(packed[:40])}, which was not asked for")
    return Raw(b"".join(parts), packed == "gzip", kind)


def read_refusal(reply: Reply, where: str) -> Raw:
    """The body of a refusal; nothing of one that is too large or cannot be read, because its status says enough.

    Raises Broken when it is cut off, unless it is one of those that are never asked for again.
    """
    from eidos.kube.connection_pool import Broken

    try:
        return read(reply, where, STATUS_LIMIT)
    except (KubeError, Broken) as fault:
        reply.drop()
        if isinstance(fault, Broken) and reply.status not in FINAL:
            raise
        return Raw(b"", False, "")


def tree(raw: Raw, where: str) -> Tree:
    """The JSON object that a body holds; KubeError for anything else."""
    import json

    if raw.kind != "application/json":
        what = printable(raw.kind[:60]) or "something of no kind"
        raise KubeError(f"{where}: it answers with {what}, not application/json", "is this the API server of a Kubernetes cluster?")
    try:
        text = (_unpacked(raw.data, where) if raw.packed else raw.data).decode()
        found = json.loads(text)
    except RecursionError as fault:
        raise KubeError(f"{where}: its answer is nested too deeply") from fault
    except ValueError as fault:
        raise KubeError(f"{where}: its answer is not JSON: {printable(str(fault))[:SAID]}", "does a proxy stand in between?") from fault
    if not isinstance(found, dict):
        raise KubeError(f"{where}: its answer is no JSON object, but {type(found).__name__}")
    return found


def _unpacked(data: bytes, where: str) -> bytes:
    packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = packed.decompress(data, BODY_LIMIT)
    except zlib.error as fault:
        raise KubeError(f"{where}: its answer is not gzip, as it says") from fault
    if packed.unconsumed_tail:
        raise KubeError(f"{where}: its answer is larger than {BODY_LIMIT >> 20} MiB")
    if not packed.eof:
        raise KubeError(f"{where}: its answer is cut off")
    return found


def refusal(reply: Reply, raw: Raw, request: Asked, server: str, source: str) -> EidosError:
    """What a status other than success means: :class:`Missing`, :class:`Expired` or KubeError."""
    status, said = reply.status, _status(raw, server)
    message, reason = _text(said.get("message")), _text(said.get("reason"))
    if not message and raw.kind == "text/plain":
        message = printable(raw.data[:SAID].decode("utf-8", "replace").strip())
    if 300 <= status < 400:
        to = printable(reply.headers.get("location", "")[:200])
        return KubeError(
            f"{server}: it redirects to {to or 'nowhere'}; with credentials that is not followed", "name the API server itself",
            status,
        )  # fmt: skip
    if status == 401:
        return KubeError(
            f"{server}: to {request} it wants to know who asks, and does not take what {source} has to show: {message or 'Unauthorized'}",
            "log in again, or see whether the token or certificate there is still good", status, reason,
        )  # fmt: skip
    if status == 403:
        if request.resource.startswith("/"):
            hint = f"a ClusterRole must grant the verb {request.verb} on the path {request.resource}"
        else:
            role = f"a Role in namespace {request.namespace}" if request.namespace else "a ClusterRole"
            hint = f"{role} must grant the verb {request.verb} on {request.resource}, API group {request.group or 'core'}"
        return KubeError(f"{server}: may not {request}: {message or 'Forbidden'}", hint, status, reason)
    if status == 404:
        missing = Missing(f"{server}: cannot {request}: {message or 'not found'}")
        details = said.get("details")
        if isinstance(details, dict):
            missing.kind, missing.name = _text(details.get("kind")), _text(details.get("name"))
        return missing
    told = f"{server}: cannot {request}: {status}{f' {reason}' if reason else ''}{f': {message}' if message else ''}"
    if status == 410:
        expired = Expired(told, None, status, reason)
        metadata = said.get("metadata")
        expired.token = str(metadata.get("continue") or "") if isinstance(metadata, dict) else ""
        return expired
    return KubeError(told, None, status, reason)


def event_fault(said: Any, request: Asked, server: str) -> KubeError:
    """What an ERROR event of a watch means; its object is a Status."""
    said = said if isinstance(said, dict) else {}
    code = said.get("code")
    kind = Expired if code == 410 else KubeError
    message = f"{server}: cannot {request}: {_text(said.get('message')) or 'it broke off'}"
    return kind(message, None, code if isinstance(code, int) else None, _text(said.get("reason")))


def _status(raw: Raw, where: str) -> Tree:
    """The Status object, empty when it is none: a proxy may have answered."""
    try:
        return tree(raw, where)
    except KubeError:
        return {}


def _text(value: object) -> str:
    """A text of a Status, as it may be shown."""
    text = printable(value) if isinstance(value, str) else ""
    return text if len(text) <= SAID else f"{text[:SAID]}…"
