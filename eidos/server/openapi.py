"""The interface as a document: OpenAPI 3.1, made of the route table.

Knows how OpenAPI says what a row of the table says (https://spec.openapis.org/oas/v3.1.0); must not know routes of its own: what stood
here and in no row would be a lie sooner or later. Schemas of documents are data, ``templates/server/schemas.json``.
"""

from __future__ import annotations

import json

from eidos import __version__
from eidos.files import resources
from eidos.server.error_responses import CODES, JSON, PROBLEM, STATUSES
from eidos.server.parameters import CHOICE, LIST, NAME, SWITCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.server.knowledge import Knowledge
    from eidos.server.parameters import Parameter
    from eidos.server.routes import Operation, Route

_SCHEMAS = "#/components/schemas/"

#: Headers of answers: name → what it says, and its schema.
_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-Id": ("The request's UUID: the client's own, or a new one.", {"type": "string", "format": "uuid"}),
    "X-API-Version": ("The version of the interface.", {"const": "v1"}),
    "ETag": ("A strong validator, for If-None-Match.", _TEXT),
    "Cache-Control": ("How long the answer may be kept.", _TEXT),
    "X-RateLimit-Limit": ("Requests that may come at once.", _NUMBER),
    "X-RateLimit-Remaining": ("Requests that may come now.", _NUMBER),
    "X-RateLimit-Reset": ("When all of them may come again, in seconds since 1970.", _NUMBER),
    "RateLimit": ("What is left, and in how many seconds all of it is there; of nothing, in how many there is something.", _TEXT),
    "RateLimit-Policy": ("The quota, and the seconds in which all of it comes back.", _TEXT),
    "Retry-After": ("In how many seconds to try again.", _NUMBER),
    "Allow": ("The methods that there are.", _TEXT),
    "Content-Disposition": ("A name for the file.", _TEXT),
}

_EVERY = ("X-Request-Id", "X-API-Version")
_LIMITED = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy")
_PUBLIC = ("ETag", "Cache-Control")


def document(knowledge: Knowledge, max_body: int) -> dict[str, Any]:
    """The document; words of parameters are those that ``knowledge`` answers for, ``max_body`` is in bytes."""
    from eidos.server.routes import ROUTES

    schemas: dict[str, Any] = json.loads(resources.read_text("templates/server/schemas.json"))
    schemas["Code"] = {"enum": list(CODES)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "eidos",
            "version": __version__,
            "summary": "Known-good recipes for GPU nodes, and what deploys them",
            "description": (
                "A recipe is a pure function of a query and of public knowledge: the same request gets the same bytes. Nothing that is "
                "sent here is stored. Errors have one form, and with Accept: application/problem+json that of RFC 9457."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "recipes", "description": "What a node should be"},
            {"name": "bundles", "description": "How to get there"},
            {"name": "system", "description": "How the server does"},
        ],
        "paths": {route.path: _path(route, knowledge, max_body) for route in ROUTES},
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "headers": {name: {"description": says, "schema": schema} for name, (says, schema) in HEADERS.items()},
            "responses": {_error_name(status): _error(status) for status in STATUSES},
        },
    }


def _path(route: Route, knowledge: Knowledge, max_body: int) -> dict[str, Any]:
    path: dict[str, Any] = {}
    for method, operation in route.operations.items():
        path[method.lower()] = _operation(route, operation, method, operation.name, knowledge, max_body)
        if method == "GET":
            head = _operation(route, operation, "HEAD", f"{path['get']['operationId']}Head", knowledge, max_body)
            head["summary"] = f"The same without a body: {operation.summary[0].lower()}{operation.summary[1:]}"
            for answer in head["responses"].values():
                answer.pop("content", None)
            path["head"] = head
    return path


def _operation(route: Route, operation: Operation, method: str, name: str, knowledge: Knowledge, max_body: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"operationId": name, "tags": [operation.tag], "summary": operation.summary}
    if operation.parameters:
        tree["parameters"] = [
            _parameter(parameter, said, knowledge) for parameter in operation.parameters for said in (parameter.name, *parameter.also)
        ]
    if operation.body:
        choices = [{"$ref": _SCHEMAS + each} for each in operation.body]
        schema = {"oneOf": choices} if len(choices) > 1 else choices[0]
        description = f"{' or '.join(operation.body)}, JSON or YAML, at most {max_body} bytes"
        tree["requestBody"] = {
            "description": description,
            "required": True,
            "content": {kind: {"schema": schema} for kind in (JSON, "application/yaml")},
        }
    tree["responses"] = {"200": _success(route, operation)}
    if operation.public:
        names = (*_EVERY, *_PUBLIC, *_LIMITED)
        tree["responses"]["304"] = {"description": "The client has it already.", "headers": _headers(names)}
    for status in _errors(route, operation):
        empty = {"description": STATUSES[status][1], "headers": _headers(_EVERY)}
        tree["responses"][str(status)] = empty if method == "HEAD" else {"$ref": f"#/components/responses/{_error_name(status)}"}
    return tree


def _errors(route: Route, operation: Operation) -> list[int]:
    found = [400, 408, 413, 414, 417, 431, 500, 503]  # a body may stand where none is looked at, and be too large
    if route.limited:
        found += [406, 429]
    if operation.body:
        found.append(415)
    return sorted(found)


def _success(route: Route, operation: Operation) -> dict[str, Any]:
    from eidos.server.routes import DEPRECATED

    names = _EVERY + (_PUBLIC if operation.public else ("Cache-Control",)) + (_LIMITED if route.limited else ())
    if not operation.answer and operation.body:
        names += ("Content-Disposition",)
    content: dict[str, Any] = {}
    for kind in (kind for kind in operation.offers if kind not in DEPRECATED):
        schema: dict[str, Any] = {"$ref": _SCHEMAS + operation.answer} if operation.answer and kind != "text/html" else {}
        if kind.startswith("text/"):
            schema = {"type": "string"}
        content[kind] = {"schema": schema} if schema else {}
    return {"description": operation.summary, "headers": _headers(names), "content": content}


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _error_name(status: int) -> str:
    return "".join(word.title() for word in STATUSES[status][1].split())


def _error(status: int) -> dict[str, Any]:
    names = _EVERY + {405: ("Allow",), 429: ("Retry-After", *_LIMITED), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": f"{STATUSES[status][1]}: {STATUSES[status][0]}",
        "headers": _headers(names),
        "content": {JSON: {"schema": {"$ref": f"{_SCHEMAS}Error"}}, PROBLEM: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }


def _parameter(parameter: Parameter, said: str, knowledge: Knowledge) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if parameter.kind == NAME and knowledge.names(parameter.name):
        words = [
            word
            for entry in knowledge.store.catalog.entries[parameter.name]
            if entry.name in knowledge.names(parameter.name)
            for word in (entry.name, *entry.aliases)
        ]
        schema["enum"] = [*words, "any"]
    elif parameter.kind == SWITCH:
        schema = {"type": "boolean"}
    elif parameter.kind == CHOICE:
        schema["enum"] = list(parameter.choices)
        schema["default"] = parameter.choices[0]
    elif parameter.kind == LIST:
        schema = {"type": "array", "items": {"enum": sorted(knowledge.charts)}}
    else:
        schema["pattern"] = VERSION_PATTERN
    tree: dict[str, Any] = {"name": said, "in": "query", "description": parameter.summary, "schema": schema}
    if said != parameter.name:
        tree["description"] = f"Another name for {parameter.name}; only one of the two can be said."
    if parameter.kind == LIST:
        tree.update({"style": "form", "explode": False})
    if parameter.example:
        tree["example"] = {"true": True}.get(parameter.example, [parameter.example] if parameter.kind == LIST else parameter.example)
    return tree


#: Versions, as :mod:`eidos.semver` reads them, and the two ways to say nothing.
VERSION_PATTERN = r"^(|any|[vV]?[0-9]{1,18}(\.[0-9]{1,18}){0,2}([-+~_][!-~]+)?)$"
