"""What a request asks for: its parameters, and the document in its body.

Knows how parameters are written (WHATWG URL, "application/x-www-form-urlencoded parsing", but strict) and what is wrong with them, in words
and for programs; must not know routes or what is done with the values.

>>> parameters("gpu=H100&env=eks", (Parameter("gpu", "the GPU"), Parameter("service", "where", ("env",)))).said
{'gpu': 'H100', 'service': 'eks'}
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from eidos.errors import EidosError, InvalidData
from eidos.model.query import FIELDS, NAMES, WIRE
from eidos.model.record import Record
from eidos.recipe.catalog import InvalidQuery
from eidos.server.error_responses import Refused
from eidos.suggest import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from eidos.http_wire.messages import Request
    from eidos.model.query import Query
    from eidos.server.knowledge import Knowledge

#: What parameters are: a word of the catalog, a version, yes or no, one of ``choices``, or a list of words.
NAME, VERSION, SWITCH, CHOICE, LIST = "name", "version", "switch", "choice", "list"

_ON = {"true": True, "1": True, "": True, "false": False, "0": False}
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: The most parameters that are looked at; a request line has no room for more that mean something.
_MOST = 100


class Parameter(Record):
    """One parameter of a route: ``also`` are other names for it, ``choices`` its only values."""

    name: str
    summary: str
    also: tuple[str, ...] = ()
    kind: str = NAME
    choices: tuple[str, ...] = ()
    example: str = ""


class Asked(Record):
    """Values by parameter, and ``called``: what the client called each."""

    said: dict[str, str] = {}
    called: dict[str, str] = {}


def parameters(query: str, known: Sequence[Parameter]) -> Asked:
    """The parameters of a request. Raises Refused (400) for one that is unknown, said twice, or no UTF-8."""
    if not query:
        return Asked()
    names = {name: parameter.name for parameter in known for name in (parameter.name, *parameter.also)}
    said: dict[str, str] = {}
    called: dict[str, str] = {}
    for part in query.split("&", _MOST):
        if not part:
            continue
        name, _, value = part.partition("=")
        name, value = _decoded(name), _decoded(value)
        if name not in names:
            raise _unknown(name, names)
        field = names[name]
        if field in said:
            same = f"{called[field]} and {name} are the same parameter, and both are said"
            twice = f"{name} is said twice" if called[field] == name else same
            raise Refused(400, twice, "say it once", details={"parameter": name, "valid": list(names)})
        said[field], called[field] = value, name
    return Asked(said, called)


def _decoded(text: str) -> str:
    try:
        if _BAD_ESCAPE.search(text):
            raise Refused(400, "a parameter has a % that no two hexadecimal digits follow", "write %25 for a percent sign")
        decoded = unquote_to_bytes(text.replace("+", " ").encode("latin-1" if text.isascii() else "utf-8")).decode()
    except UnicodeDecodeError:
        raise Refused(400, "a parameter is not UTF-8") from None
    if "\0" in decoded:
        raise Refused(400, "a parameter holds a NUL character")
    return decoded


def _unknown(name: str, names: Mapping[str, str]) -> Refused:
    valid = list(names)
    details: dict[str, Any] = {"parameter": _short(name), "valid": valid}
    found = nearest(name, valid) if valid else None
    if found:
        details["nearest"] = found
    hint = f"did you mean {found!r}?" if found else None
    there_are = f"there are {', '.join(valid)}" if valid else "there is none here"
    return Refused(400, f"unknown parameter {_short(name)!r}; {there_are}", hint, details=details)


def _none_of(name: str, said: str, valid: Sequence[str], words: Sequence[str] = ()) -> Refused:
    """What to raise for a word that is none of the ``valid`` ones; it may be meant for one of ``words``."""
    like = nearest(said, words or valid)
    details: dict[str, Any] = {"parameter": name, "value": _short(said), "valid": list(valid)}
    if like:
        details["nearest"] = like
    return Refused(
        400, f"{name}: {_short(said)!r} is none of {', '.join(valid)}", f"did you mean {like!r}?" if like else None, details=details
    )


def switch(asked: Asked, name: str) -> bool:
    """Whether a parameter is on: ``context``, ``context=true``, ``context=1``. Raises Refused."""
    text = asked.said.get(name)
    if text is None:
        return False
    found = _ON.get(text.lower())
    if found is None:
        details = {"parameter": name, "value": _short(text), "valid": ["true", "false"]}
        raise Refused(400, f"{name}: {_short(text)!r} is neither true nor false", details=details)
    return found


def choice(asked: Asked, parameter: Parameter) -> str:
    """One of the choices of a parameter, the first when nothing is said. Raises Refused."""
    text = asked.said.get(parameter.name, parameter.choices[0])
    if text not in parameter.choices:
        raise _none_of(parameter.name, text, parameter.choices)
    return text


def words(asked: Asked, name: str, valid: Sequence[str]) -> list[str] | None:
    """The words of a list, None when nothing is said. Raises Refused for one that is not ``valid``."""
    if name not in asked.said:
        return None
    found = [word.strip() for word in asked.said[name].split(",")]
    for word in found:
        if word not in valid:
            raise _none_of(name, word, sorted(valid))
    return list(dict.fromkeys(found))


def query(said: Mapping[str, str], called: Mapping[str, str], knowledge: Knowledge) -> Query:
    """The query that these words make, as far as it is answered for. Raises Refused, which names the word and the valid ones."""
    catalog = knowledge.store.catalog
    try:
        parsed = catalog.parse_query(said, called)
    except InvalidQuery as fault:
        name, value = called.get(fault.field, fault.field), str(fault.value)
        if fault.field in NAMES:
            valid = knowledge.names(fault.field)
            words = [word for entry in catalog.entries[fault.field] if entry.name in valid for word in (entry.name, *entry.aliases)]
            raise _none_of(name, value, valid, words) from fault
        raise Refused(400, fault.message, fault.hint, details={"parameter": name, "value": _short(value)}) from fault
    refuse(parsed, called, knowledge)
    return parsed


def refuse(query: Query, called: Mapping[str, str], knowledge: Knowledge) -> None:
    """Raise Refused for a query with a value that is off the allow-list."""
    field = knowledge.refused(query)
    if field is not None:
        value, valid = query.fields()[field], knowledge.names(field)
        name = called.get(field, field)
        details = {"parameter": name, "value": value, "valid": list(valid)}
        raise Refused(400, f"{name}: {value!r} is not answered for here; what is: {', '.join(valid)}", details=details)


#: What the body is called in messages.
BODY = "the body"


def document(request: Request, limit: int) -> Any:
    """The tree in the body, JSON or YAML whatever its Content-Type says. Raises Refused for what is none, in words of our own."""
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        message = f"the body has the content coding {_short(coding)!r}; send it as it is"
        raise Refused(415, message, headers=[("Accept-Encoding", "identity")])
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith(("multipart/", "image/", "audio/", "video/", "font/")):
        accepted = "application/json, application/yaml"
        raise Refused(415, f"the body is {_short(kind)}; send a document as {accepted}", headers=[("Accept-Post", accepted)])
    if not request.body.strip():
        raise Refused(400, "the body is empty; it is a JSON or YAML document")
    from eidos import formats

    try:
        return formats.from_text(request.body, BODY, limit, request.deadline.check)
    except InvalidData as fault:
        place, _, reason = fault.message.partition(": ")
        if not reason.startswith(("not JSON", "not YAML")):
            raise
        # The rest of the reason is in the words of whoever read it; the place is ours.
        raise Refused(400, f"{place}: here it stops being JSON or YAML", "is it cut off, or another kind of file?") from fault


def query_document(tree: Mapping[str, Any], knowledge: Knowledge) -> Query:
    """The query in a document: the fields of a query and nothing else, under the names that recipes give them in ``request``."""
    names = {**{field: field for field in FIELDS}, **{wire: field for field, wire in WIRE.items()}, "env": "service"}
    said: dict[str, str] = {}
    called: dict[str, str] = {}
    from eidos.model.number_format import format_scalar

    for name, value in tree.items():
        field = names.get(name)
        if field is None:
            like = nearest(str(name), names)
            details: dict[str, Any] = {"field": _short(str(name)), "valid": list(names), **({"nearest": like} if like else {})}
            hint = f"did you mean {like!r}?" if like else "a snapshot has measurements, a query has these fields"
            message = f"{BODY}: {_short(str(name))!r} is no field of a query; there are {', '.join(FIELDS)}"
            raise Refused(400, message, hint, details=details)
        if value is None:
            continue
        if isinstance(value, (dict, list, bool)):
            raise Refused(400, f"{BODY}: {name}: expected a word or a version", details={"field": name})
        if field in said:
            raise Refused(400, f"{BODY}: {called[field]} and {name} are the same field, and both are said", details={"field": name})
        said[field], called[field] = format_scalar(value), name
    try:
        return query(said, called, knowledge)
    except Refused as fault:
        raise Refused(fault.status, f"{BODY}: {fault.message}", fault.hint, details=fault.details) from fault


def told(fault: EidosError, places: Sequence[str] = ()) -> str:
    """The message of a failure, without paths of the host."""
    text = fault.message
    for place in places:
        if "/" in place:
            text = text.replace(place, "the recipe data")
        else:  # it can be part of any word
            text = re.sub(rf"(?<![\w./-]){re.escape(place)}(?=/|:|,|$)", "the recipe data", text)
    return text


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"
