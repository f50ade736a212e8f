"""Reads and parses the responses of an API server, and turns its errors into messages with a hint.

Knows bodies, the Status object and request verbs (Kubernetes API conventions; "Authorization Overview"); must not know connections, nor
what the objects are for.
"""

from __future__ import annotations

import re
import zlib

from eidos.errors import EidosError, KubeError, NotFound
from eidos.http_wire.connection_pool import BodyTooLarge, ConnectionBroken
from eidos.log import printable
from eidos.model.record import Record
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.http_wire.connection_pool import StreamedResponse

    Tree = dict[str, Any]

#: Bytes of the largest response, as lists may be long, and of the largest error response.
BODY_LIMIT, STATUS_LIMIT = 64 << 20, 64 << 10

#: Characters of a server's message that are shown.
MESSAGE_LIMIT = 400

#: Statuses of transient errors, and those of them that mean that the request was not executed.
TRANSIENT_STATUSES, UNPROCESSED_STATUSES = frozenset({429, 500, 502, 503, 504}), frozenset({429, 503})

#: Statuses that other credentials or more rights would change, but a retry does not.
AUTH_STATUSES = frozenset({401, 403})

SERVER_HINT = "check that this is the API server of a Kubernetes cluster"

_CONTROL_CHARACTERS = re.compile(r"([\x00-\x08\x0b-\x1f\x7f-\x9f]+)")


class ResourceExpired(KubeError):
    """A continue token or resource version has expired (410); ``token`` is the one to continue with, or ""."""

    token = ""


class ObjectNotFound(NotFound):
    """404: the server has no object ``name`` of resource ``kind``; both are "" when it names none, as on a proxy's error page."""

    kind = name = ""


class RequestInfo(Record):
    """A request as messages name it: ``verb``, ``resource`` and ``group`` are those of RBAC."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{named}{f' in namespace {self.namespace}' if self.namespace else ''}"


class RawBody(Record):
    """A body as received, maybe compressed; ``content_type`` is without parameters."""

    data: bytes
    is_gzip: bool
    content_type: str


def request_info(method: str, path: str, query: Mapping[str, str] | None = None) -> RequestInfo:
    """Verb, resource and object of a request.

    >>> for path in ("/apis/batch/v1/namespaces/eidos/jobs", "/api/v1/nodes/gpu-1", "/version"):
    ...     print(request_info("GET", path))
    list jobs.batch in namespace eidos
    get nodes gpu-1
    get /version
    """
    parts = path.strip("/").split("/")
    skip = {"api": 2, "apis": 3}.get(parts[0], 0)
    verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method, "get")
    if not skip or len(parts) <= skip:
        return RequestInfo(verb, path)
    group = parts[1] if skip == 3 else ""
    rest, namespace = parts[skip:], ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    if len(rest) == 1 and verb == "get":
        verb = "watch" if (query or {}).get("watch") else "list"
    resource = rest[0] + (f"/{rest[2]}" if len(rest) > 2 else "")
    return RequestInfo(verb, resource, group, namespace, rest[1] if len(rest) > 1 else "")


def read_body(response: StreamedResponse, subject: str, limit: int = BODY_LIMIT) -> RawBody:
    """The body; KubeError when it is larger than ``limit`` bytes. Raises ConnectionBroken when it is cut off."""
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = response.headers.get("content-encoding", "identity").lower()
    try:
        data = response.read_body(limit)
    except BodyTooLarge as fault:
        raise KubeError(f"{subject}: {fault}", SERVER_HINT) from fault
    if encoding not in ("identity", "gzip"):
        raise KubeError(f"{subject}: unexpected content encoding {printable(encoding[:40])}")
    return RawBody(data, encoding == "gzip", content_type)


def read_error_body(response: StreamedResponse, subject: str) -> RawBody:
    """The body of an error response; empty when it is too large or unreadable, because the status says enough.

    Raises ConnectionBroken when it is cut off, unless the request will not be retried for its status.
    """
    try:
        return read_body(response, subject, STATUS_LIMIT)
    except (KubeError, ConnectionBroken) as fault:
        response.abort()
        if isinstance(fault, ConnectionBroken) and response.status not in AUTH_STATUSES:
            raise
        return RawBody(b"", False, "")


def parse_object(raw: RawBody, subject: str) -> Tree:
    """The JSON object in a body; KubeError for anything else."""
    import json

    if raw.content_type != "application/json":
        what = printable(raw.content_type[:60]) or "no content type"
        raise KubeError(f"{subject}: unexpected content type: {what}, not application/json", SERVER_HINT)
    try:
        text = (_decompress(raw.data, subject) if raw.is_gzip else raw.data).decode()
        parsed = json.loads(text)
    except RecursionError as fault:
        raise KubeError(f"{subject}: the response is nested too deeply") from fault
    except ValueError as fault:
        raise KubeError(
            f"{subject}: the response is not JSON: {printable(str(fault))[:MESSAGE_LIMIT]}", "check whether a proxy answered instead"
        ) from fault
    if not isinstance(parsed, dict):
        raise KubeError(f"{subject}: the response is not a JSON object, but {type(parsed).__name__}")
    return parsed


def has_name(item: object) -> bool:
    """Whether a part of a response is an object of the API: a mapping whose metadata have a name."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)


def _decompress(data: bytes, subject: str) -> bytes:
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = decompressor.decompress(data, BODY_LIMIT)
    except zlib.error as fault:
        raise KubeError(f"{subject}: the response is labelled gzip but is not gzip") from fault
    if decompressor.unconsumed_tail:
        raise KubeError(f"{subject}: the response is larger than {BODY_LIMIT >> 20} MiB")
    if not decompressor.eof:
        raise KubeError(f"{subject}: the response is truncated")
    return content


def error_from_response(response: StreamedResponse, raw: RawBody, request: RequestInfo, server: str, source: str) -> EidosError:
    """The error of a response without success: :class:`ObjectNotFound`, :class:`ResourceExpired` or KubeError."""
    status, status_object = response.status, _parse_status(raw, server)
    message, reason = _shown_text(status_object.get("message"), request), _shown_text(status_object.get("reason"), request)
    if not message and raw.content_type == "text/plain":
        message = _shown_text(raw.data[:MESSAGE_LIMIT].decode("utf-8", "replace").strip(), request)
    if 300 <= status < 400:
        to = _shown_text(response.headers.get("location", "")[:200], request)
        return KubeError(
            f"{server}: redirect to {to or 'nowhere'} not followed with credentials", "use the URL of the API server itself",
            status,
        )  # fmt: skip
    if status == 401:
        return KubeError(
            f"{server}: cannot {request}: not authenticated with the credentials of {source}: {message or 'Unauthorized'}",
            "log in again, or check that the token or certificate is still valid", status, reason,
        )  # fmt: skip
    if status == 403:
        if request.resource.startswith("/"):
            hint = f"grant the verb {request.verb} on the path {request.resource} in a ClusterRole"
        else:
            role = f"a Role in namespace {request.namespace}" if request.namespace else "a ClusterRole"
            hint = f"grant the verb {request.verb} on {request.resource}, API group {request.group or 'core'}, in {role}"
        return KubeError(f"{server}: not allowed to {request}: {message or 'Forbidden'}", hint, status, reason)
    if status == 404:
        missing = ObjectNotFound(f"{server}: cannot {request}: {message or 'not found'}")
        details = status_object.get("details")
        if isinstance(details, dict):
            missing.kind, missing.name = _printable_text(details.get("kind")), _printable_text(details.get("name"))
        return missing
    text = f"{server}: cannot {request}: {status}{f' {reason}' if reason else ''}{f': {message}' if message else ''}"
    if status == 410:
        expired = ResourceExpired(text, None, status, reason)
        metadata = status_object.get("metadata")
        expired.token = str(metadata.get("continue") or "") if isinstance(metadata, dict) else ""
        return expired
    return KubeError(text, None, status, reason)


def error_from_event(status_object: Any, request: RequestInfo, server: str) -> KubeError:
    """The error of an ERROR event of a watch, whose object is a Status."""
    status_object = status_object if isinstance(status_object, dict) else {}
    code = status_object.get("code")
    kind = ResourceExpired if code == 410 else KubeError
    message = f"{server}: cannot {request}: {_shown_text(status_object.get('message'), request) or 'connection lost'}"
    return kind(message, None, code if isinstance(code, int) else None, _shown_text(status_object.get("reason"), request))


def _parse_status(raw: RawBody, subject: str) -> Tree:
    """The Status object; empty when the body is none, because a proxy may have sent it."""
    try:
        return parse_object(raw, subject)
    except KubeError:
        return {}


def _printable_text(value: object) -> str:
    """A string of a Status, printable and shortened."""
    text = printable(value) if isinstance(value, str) else ""
    return shorten(text, MESSAGE_LIMIT)


def _shown_text(value: object, request: RequestInfo) -> str:
    """A string of a server, without what may be a secret; the names of the request stay, because they are the user's own."""
    from eidos.redact.secrets_in_text import redact_output

    text = value[: 2 * MESSAGE_LIMIT] if isinstance(value, str) else ""
    parts = _CONTROL_CHARACTERS.split(text)  # each stands between two words
    shown = [
        redact_output(part.encode("utf-8", "replace"), request.name, request.namespace) if at % 2 == 0 else part
        for at, part in enumerate(parts)
    ]
    return shorten(printable("".join(shown)), MESSAGE_LIMIT)
