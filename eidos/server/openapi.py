"""The interface as an OpenAPI 3.1 document, made from the route table.

Knows how OpenAPI describes a row of the table (https://spec.openapis.org/oas/v3.1.0); must not know routes of its own, which would be
wrong sooner or later. Schemas of documents are data, ``templates/schemas.json``.
"""

from __future__ import annotations

import json

from eidos import __version__
from eidos.files import resources
from eidos.model.query import FIELDS, NAMES, PURPOSE
from eidos.server.error_responses import CODES, JSON, PROBLEM, STATUSES
from eidos.server.parameters import CHOICE, LIST, NAME, SWITCH
from eidos.server.request_document import aliases_of
from eidos.server.routes import DEPRECATED, ROUTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.server.parameters import Parameter
    from eidos.server.recipe_data import RecipeData
    from eidos.server.routes import Operation, Route

_SCHEMAS = "#/components/schemas/"

#: Headers of responses: name → description and schema.
_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-Id": ("The UUID of the request: the client's, or a new one.", {"type": "string", "format": "uuid"}),
    "X-API-Version": ("The version of the API.", {"const": "v1"}),
    "ETag": ("A strong validator, for If-None-Match.", _TEXT),
    "Cache-Control": ("How long the response may be cached.", _TEXT),
    "X-RateLimit-Limit": ("Requests allowed at once.", _NUMBER),
    "X-RateLimit-Remaining": ("Requests allowed now.", _NUMBER),
    "X-RateLimit-Reset": ("When the full limit is available again, in seconds since 1970.", _NUMBER),
    "RateLimit": (
        "Remaining requests, and the seconds until the full quota is available; when none remain, the seconds until one is.",
        _TEXT,
    ),
    "RateLimit-Policy": ("The quota, and the seconds in which it refills.", _TEXT),
    "Retry-After": ("Seconds to wait before a retry.", _NUMBER),
    "Allow": ("The supported methods.", _TEXT),
    "Content-Disposition": ("The name of the file.", _TEXT),
}

#: What a client may do next with a response: name of the operation → links.
_BUNDLE = {"operationId": "postBundle", "description": "The files that deploy this recipe.", "requestBody": "$response.body"}
_FIRST_GPU = {"gpu": "$response.body#/catalog/gpu/0/name"}
LINKS: dict[str, dict[str, Any]] = {
    "getCatalog": {"recipe": {"operationId": "getRecipe", "description": "The recipe for the first GPU.", "parameters": _FIRST_GPU}},
    "getRecipe": {"bundle": _BUNDLE},
    "postRecipe": {"bundle": _BUNDLE},
}

#: Schemas of documents that no operation returns.
_NOT_SERVED = (
    "CheckReportList",
    "NodeChange",
    "FindingChange",
    "ReadingCount",
    "BundlePlan",
    "PlannedComponent",
    "PlannedInterruption",
    "SignaturePolicy",
)

_EVERY = ("X-Request-Id", "X-API-Version")
_LIMITED = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy")
_PUBLIC = ("ETag", "Cache-Control")


def document(recipe_data: RecipeData, max_body: int) -> dict[str, Any]:
    """The document; words of parameters are those that ``recipe_data`` allows, ``max_body`` is in bytes."""
    schemas: dict[str, Any] = json.loads(resources.read_text("templates/schemas.json"))
    for name in _NOT_SERVED:
        del schemas[name]
    schemas["Code"] = {"enum": list(CODES)}
    fields = {name: _field(field, recipe_data) for field in FIELDS for name in (field, *aliases_of(field))}
    schemas["Query"]["properties"] = fields
    schemas.update({field.title(): fields[field] for field in PURPOSE})
    schemas["Component"]["properties"]["id"] = {"enum": sorted(recipe_data.charts)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "eidos",
            "version": __version__,
            "summary": "Known-good recipes for GPU nodes, and bundles that deploy them",
            "description": (
                "A recipe is a pure function of a query and of public knowledge: the same request gets the same bytes. Nothing that is "
                "sent here is stored. Errors have one form, and with Accept: application/problem+json that of RFC 9457."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "recipes", "description": "The recommended configuration of nodes"},
            {"name": "bundles", "description": "Files that deploy a recipe"},
            {"name": "checks", "description": "What is wrong with a node, and what changed"},
            {"name": "system", "description": "State of the server"},
        ],
        "paths": {route.path: _path(route, recipe_data, max_body) for route in ROUTES.values()},
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "headers": {name: {"description": description, "schema": schema} for name, (description, schema) in HEADERS.items()},
            "responses": {_error_name(status): _error(status) for status in STATUSES},
        },
    }


def _path(route: Route, recipe_data: RecipeData, max_body: int) -> dict[str, Any]:
    path: dict[str, Any] = {}
    for method, operation in route.operations.items():
        path[method.lower()] = _operation(operation, method, operation.name, recipe_data, max_body)
        if method == "GET":
            head = _operation(operation, "HEAD", f"{path['get']['operationId']}Head", recipe_data, max_body)
            head["summary"] = f"The same without a body: {operation.summary[0].lower()}{operation.summary[1:]}"
            for response in head["responses"].values():
                response.pop("content", None)
            path["head"] = head
    return path


def _operation(operation: Operation, method: str, name: str, recipe_data: RecipeData, max_body: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"operationId": name, "tags": [operation.tag], "summary": operation.summary}
    if operation.parameters:
        tree["parameters"] = [_parameter(parameter, recipe_data) for parameter in operation.parameters]
    if operation.documents:
        choices = [{"$ref": _SCHEMAS + each} for each in operation.documents]
        schema = {"oneOf": choices} if len(choices) > 1 else choices[0]
        description = f"{' or '.join(operation.documents)}, JSON or YAML, at most {max_body} bytes"
        tree["requestBody"] = {
            "description": description,
            "required": True,
            "content": {kind: {"schema": schema} for kind in (JSON, "application/yaml")},
        }
    tree["responses"] = {"200": _success(operation)}
    if operation.name in LINKS and method != "HEAD":
        tree["responses"]["200"]["links"] = LINKS[operation.name]
    if operation.is_public:
        names = (*_EVERY, *_PUBLIC, *_LIMITED)
        tree["responses"]["304"] = {"description": "Not modified since the client's copy.", "headers": _headers(names)}
    for status in _errors(operation):
        empty = {"description": STATUSES[status][0], "headers": _headers(_EVERY)}
        tree["responses"][str(status)] = empty if method == "HEAD" else {"$ref": f"#/components/responses/{_error_name(status)}"}
    return tree


def _errors(operation: Operation) -> list[int]:
    statuses = [400, 408, 412, 413, 414, 417, 431, 500, 503]  # a body may come where none is looked at, and be too large
    if operation.is_rate_limited:
        statuses += [406, 429]
    if operation.documents:
        statuses.append(415)
    return sorted(statuses)


def _success(operation: Operation) -> dict[str, Any]:
    names = _EVERY + (_PUBLIC if operation.is_public else ("Cache-Control",)) + (_LIMITED if operation.is_rate_limited else ())
    if not operation.schema and operation.documents:
        names += ("Content-Disposition",)
    content: dict[str, Any] = {}
    for media_type in operation.media_types:
        if media_type in DEPRECATED:
            continue
        schema: dict[str, Any] = {"$ref": _SCHEMAS + operation.schema} if operation.schema and media_type != "text/html" else {}
        if media_type.startswith("text/"):
            schema = {"type": "string"}
        content[media_type] = {"schema": schema} if schema else {}
    return {"description": operation.summary, "headers": _headers(names), "content": content}


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _error_name(status: int) -> str:
    return "".join(word.title() for word in STATUSES[status][0].split())


def _error(status: int) -> dict[str, Any]:
    names = _EVERY + {405: ("Allow",), 429: ("Retry-After", *_LIMITED), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": f"{STATUSES[status][0]}: {STATUSES[status][1]}",
        "headers": _headers(names),
        "content": {JSON: {"schema": {"$ref": f"{_SCHEMAS}Error"}}, PROBLEM: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }


def _field(field: str, recipe_data: RecipeData) -> dict[str, Any]:
    """The values of one field of a query document."""
    if field in NAMES:
        return {"enum": [*recipe_data.words(field), "any", "", None]}
    number = {"type": "number", "minimum": 0, "maximum": 10**9}
    return {"anyOf": [{"type": ["string", "null"], "pattern": VERSION_PATTERN}, number]}


def _parameter(parameter: Parameter, recipe_data: RecipeData) -> dict[str, Any]:
    """A parameter under its first name: of two names for one value a client may set only one, which no schema can say."""
    schema: dict[str, Any] = {"type": "string"}
    if parameter.kind == NAME and recipe_data.allowed_names(parameter.name):
        schema["enum"] = [*recipe_data.words(parameter.name), "any", ""]
    elif parameter.kind == SWITCH:
        schema = {"type": ["boolean", "string"], "enum": [True, False, "1", "0", ""]}
    elif parameter.kind == CHOICE:
        schema["enum"] = list(parameter.choices)
        schema["default"] = parameter.choices[0]
    elif parameter.kind == LIST:
        schema = {"type": "array", "items": {"enum": list(parameter.choices) or sorted(recipe_data.charts)}}
    else:
        schema["pattern"] = VERSION_PATTERN
    tree: dict[str, Any] = {"name": parameter.name, "in": "query", "description": parameter.summary, "schema": schema}
    if parameter.aliases:
        tree["description"] += f"; also accepted as {', '.join(parameter.aliases)}, in its place"
    if parameter.kind == LIST:
        tree.update({"style": "form", "explode": False})
    if parameter.example:
        tree["example"] = {"true": True}.get(parameter.example, [parameter.example] if parameter.kind == LIST else parameter.example)
    return tree


#: Versions, as :mod:`eidos.semver` reads them, and the two ways to say nothing.
VERSION_PATTERN = r"^(|any|[vV]?[0-9]{1,18}(\.[0-9]{1,18}){0,2}([-+~_][!-~]+)?)$"
