"""The document in the body of a request.

Knows which bodies are read, and the document that says a query; must not know routes or what becomes of a document. What is wrong
is said in words of our own, never in those of a library.
"""

from __future__ import annotations

from eidos import formats
from eidos.errors import InvalidData
from eidos.http_wire.messages import HttpError
from eidos.model.measurement import WITHHELD
from eidos.model.number_format import format_scalar
from eidos.model.query import FIELD_ALIASES, FIELDS
from eidos.server.parameters import parse_query, shorten_input
from eidos.wording import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.model.query import Query
    from eidos.server.recipe_data import RecipeData
    from eidos.server.request_context import RequestContext

#: What the body is called in messages.
BODY = "the body"

#: Fields of a query by each name that a document may give them.
_FIELDS = {**{field: field for field in FIELDS}, **FIELD_ALIASES, "env": "service"}


def parse_document(context: RequestContext, max_bytes: int) -> Any:
    """The tree in the body, JSON or YAML whatever its Content-Type says. Raises HttpError."""
    request = context.request
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        message = f"unsupported content coding {shorten_input(coding)!r} of the body; send it uncompressed"
        raise HttpError(415, message, headers=[("Accept-Encoding", "identity")])
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type.startswith(("multipart/", "image/", "audio/", "video/", "font/")):
        accepted = "application/json, application/yaml"
        raise HttpError(
            415, f"unsupported media type {shorten_input(media_type)}; expected {accepted}", headers=[("Accept-Post", accepted)]
        )
    if not request.body.strip():
        raise HttpError(400, "the body is empty; expected a JSON or YAML document")
    try:
        return formats.from_text(request.body, BODY, max_bytes, context.deadline.check)
    except InvalidData as fault:
        location, _, reason = fault.message.partition(": ")
        if not reason.startswith(("not JSON", "not YAML")):
            raise
        # The rest of the reason is in the words of a library; the location is ours.
        raise HttpError(400, f"{location}: not valid JSON or YAML from here", "check that the document is complete") from fault


def parse_query_document(tree: Mapping[str, Any], recipe_data: RecipeData) -> Query:
    """The query in a document, which holds the fields of a query and nothing else. Raises HttpError."""
    values: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in tree.items():
        field = _FIELDS.get(name)
        if field is None:
            raise _unknown_field(str(name))
        if value is None:
            continue
        if isinstance(value, (dict, list, bool)):
            raise HttpError(400, f"{BODY}: {name}: expected a word or a version", details={"field": name})
        if field in values:
            raise HttpError(400, f"{BODY}: {names[field]} and {name} are the same field, and both are set", details={"field": name})
        values[field], names[field] = format_scalar(value), name
    try:
        return parse_query(values, names, recipe_data)
    except HttpError as fault:
        raise HttpError(fault.status, f"{BODY}: {fault.message}", fault.hint, details=fault.details) from fault


def aliases_of(field: str) -> tuple[str, ...]:
    """Other names that a document may give a field."""
    return tuple(name for name, meant in _FIELDS.items() if meant == field != name)


def _unknown_field(name: str) -> HttpError:
    match = nearest(name, _FIELDS)
    from eidos.redact.harmless_forms import is_speaking

    shown = name if is_speaking(name) else WITHHELD
    details: dict[str, Any] = {"field": shown, "valid": list(_FIELDS), **({"nearest": match} if match else {})}
    hint = f"did you mean {match!r}?" if match else "send a query with these fields, or a snapshot with measurements"
    return HttpError(400, f"{BODY}: unknown field {shown!r}; a query has {', '.join(FIELDS)}", hint, details=details)
