"""``eidos schema``: the JSON Schema of a document.

Knows which schema is that of which document; must not know what is in one: ``templates/schemas.json`` is the source, for the OpenAPI
document of the server too.
"""

from __future__ import annotations

import json

from eidos.cli import document_locations
from eidos.cli.options import FLAG_OUTPUT, HELP, LOGGING, Operand, Option, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.cli.options import Values

#: Document → the names of its schemas, of which one holds.
DOCUMENTS = {
    "snapshot": ("Snapshot",),
    "recipe": ("Recipe",),
    "report": ("CheckReport", "CheckReportList"),
    "diff": ("Diff",),
    "change": ("NodeChange",),
    "plan": ("BundlePlan",),
    "policy": ("SignaturePolicy",),
}

#: How the source refers to a schema, and how a document of its own does.
_SOURCE, _OWN = "#/components/schemas/", "#/$defs/"

_PURPOSES = {
    "snapshot": "what eidos snapshot writes",
    "recipe": "what eidos recipe writes",
    "report": "what eidos check writes",
    "diff": "what eidos diff writes",
    "change": "a line of what eidos watch prints",
    "plan": "what eidos bundle plan writes",
    "policy": "what eidos verify --policy reads",
}
_FORMATS = {"json": "JSON Schema, draft 2020-12", "yaml": "the same as YAML"}

VERB = Verb(
    "schema",
    ("Print the JSON Schema (draft 2020-12) of a document, for editors and validators.",),
    (FLAG_OUTPUT, Option("format", "set the output format", "FORMAT", "t", "json", choices=_FORMATS, flag_only=True), *LOGGING, HELP),
    (Operand("document", "the document", _PURPOSES),),
    (("eidos schema report", "of the report of eidos check"), ("eidos schema snapshot -o snapshot.schema.json", "into a file")),
)


def document_schema(name: str) -> dict[str, Any]:
    """The schema of a document of :data:`DOCUMENTS`, with all that it refers to."""
    from eidos.files import resources

    schemas: dict[str, Any] = json.loads(resources.read_text("templates/schemas.json"))
    roots = DOCUMENTS[name]
    names: dict[str, None] = {}
    waiting = [*roots]
    while waiting:
        current = waiting.pop()
        if current not in names:
            names[current] = None
            waiting += _references(schemas[current])
    root: dict[str, Any] = {"$ref": _OWN + roots[0]} if len(roots) == 1 else {"oneOf": [{"$ref": _OWN + each} for each in roots]}
    definitions = {each: _with_own_references(schemas[each]) for each in sorted(names)}
    title = f"{roots[0]} of eidos"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **root, "$defs": definitions}


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value[len(_SOURCE) :]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _with_own_references(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _OWN + value[len(_SOURCE) :] if key == "$ref" else _with_own_references(value) for key, value in schema.items()}
    return [_with_own_references(value) for value in schema] if isinstance(schema, list) else schema


def run(values: Values) -> int:
    """Write the schema."""
    from eidos.formats import serialize

    document_locations.check_writable(values["output"])
    document_locations.write_document(values["output"], serialize(document_schema(values["document"]), values["format"]))
    return 0
