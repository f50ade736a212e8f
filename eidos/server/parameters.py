"""Parameters of a request: what stands behind the ``?`` of its target.

Knows how parameters are written (WHATWG URL, "application/x-www-form-urlencoded parsing", but strict) and what is wrong with them, in words
and for programs; must not know routes or what is done with the values.

>>> parse_parameters("gpu=H100&env=eks", (Parameter("gpu", "the GPU"), Parameter("service", "where", ("env",)))).values
{'gpu': 'H100', 'service': 'eks'}
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from eidos.http_wire.messages import HttpError
from eidos.model.query import NAMES
from eidos.model.record import Record
from eidos.recipe.catalog import ContradictingQuery, InvalidQuery
from eidos.wording import nearest, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from eidos.model.query import Query
    from eidos.server.recipe_data import RecipeData

#: Kinds of parameters: a word of the catalog, a version, true or false, one of ``choices``, or a list of words.
NAME, VERSION, SWITCH, CHOICE, LIST = "name", "version", "switch", "choice", "list"

_SWITCH_VALUES = {"true": True, "1": True, "": True, "false": False, "0": False}
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: Parameters that are parsed; a request line has no room for more that mean something.
_MAX_PARAMETERS = 100


class Parameter(Record):
    """One parameter of a route: ``aliases`` are other names for it, ``choices`` its only values."""

    name: str
    summary: str
    aliases: tuple[str, ...] = ()
    kind: str = NAME
    choices: tuple[str, ...] = ()
    example: str = ""


class Parameters(Record):
    """Values by parameter, and ``names``: for each the one of its names under which it was sent."""

    values: dict[str, str] = {}
    names: dict[str, str] = {}


def parse_parameters(query: str, known: Sequence[Parameter]) -> Parameters:
    """The parameters in the query of a target. Raises HttpError (400) for one that is unknown, repeated, or no UTF-8."""
    if not query:
        return Parameters()
    canonical = {name: parameter.name for parameter in known for name in (parameter.name, *parameter.aliases)}
    values: dict[str, str] = {}
    names: dict[str, str] = {}
    for part in query.split("&", _MAX_PARAMETERS):
        if not part:
            continue
        name, _, value = part.partition("=")
        name, value = _decode(name), _decode(value)
        if name not in canonical:
            raise _unknown_parameter(name, list(canonical))
        parameter = canonical[name]
        if parameter in values:
            both = f"{names[parameter]} and {name} are the same parameter, and both are set"
            message = f"{name} is set twice" if names[parameter] == name else both
            raise HttpError(400, message, "set it once", details={"parameter": name, "valid": list(canonical)})
        values[parameter], names[parameter] = value, name
    return Parameters(values, names)


def _decode(text: str) -> str:
    try:
        if _BAD_ESCAPE.search(text):
            raise HttpError(400, "a parameter has an invalid % escape", "write %25 for a percent sign")
        decoded = unquote_to_bytes(text.replace("+", " ").encode("latin-1" if text.isascii() else "utf-8")).decode()
    except UnicodeDecodeError:
        raise HttpError(400, "a parameter is not UTF-8") from None
    if "\0" in decoded:
        raise HttpError(400, "a parameter contains a NUL character")
    return decoded


def _unknown_parameter(name: str, valid: list[str]) -> HttpError:
    details: dict[str, Any] = {"valid": valid}
    match = nearest(name, valid) if valid else None
    if match:
        details["nearest"] = match
    hint = f"did you mean {match!r}?" if match else None
    from eidos.redact.harmless_forms import quote_value

    shown = quote_value(name)
    there_are = f"expected one of {', '.join(valid)}" if valid else "this path has no parameters"
    return HttpError(400, f"unknown parameter {shown}; {there_are}", hint, details=details)


def _invalid_value(name: str, value: str, valid: Sequence[str], words: Sequence[str] = ()) -> HttpError:
    """The error for a value that is none of the ``valid`` ones; it may be meant for one of ``words``."""
    match = nearest(value, words or valid)
    details: dict[str, Any] = {"parameter": name, "valid": list(valid)}
    if match:
        details["nearest"] = match
    hint = f"did you mean {match!r}?" if match else None
    return HttpError(400, f"{name}: invalid value; expected one of {', '.join(valid)}", hint, details=details)


def parse_switch(parameters: Parameters, name: str) -> bool:
    """Whether a parameter is on: ``context``, ``context=true``, ``context=1``. Raises HttpError."""
    text = parameters.values.get(name)
    if text is None:
        return False
    value = _SWITCH_VALUES.get(text.lower())
    if value is None:
        raise HttpError(400, f"{name}: invalid value; expected true or false", details={"parameter": name, "valid": ["true", "false"]})
    return value


def parse_choice(parameters: Parameters, parameter: Parameter) -> str:
    """One of the choices of a parameter, the first when it is absent. Raises HttpError."""
    text = parameters.values.get(parameter.name, parameter.choices[0])
    if text not in parameter.choices:
        raise _invalid_value(parameter.name, text, parameter.choices)
    return text


def parse_list(parameters: Parameters, name: str, valid: Sequence[str]) -> list[str] | None:
    """The words of a list, None when it is absent. Raises HttpError for one that is not ``valid``."""
    if name not in parameters.values:
        return None
    words = [word.strip() for word in parameters.values[name].split(",")]
    for word in words:
        if word not in valid:
            raise _invalid_value(name, word, sorted(valid))
    return list(dict.fromkeys(words))


def parse_query(values: Mapping[str, str], names: Mapping[str, str], recipe_data: RecipeData) -> Query:
    """The query that these values make, as far as it is allowed; ``names`` are those of the fields in messages.

    Raises HttpError with the valid values; the value itself may be a secret, and is not repeated.
    """
    try:
        query = recipe_data.store.catalog.parse_query(values, names)
    except InvalidQuery as fault:
        name = names.get(fault.field, fault.field)
        if isinstance(fault, ContradictingQuery):  # both words are the catalog's
            raise HttpError(400, fault.message, fault.hint, details={"parameter": name}) from None
        if fault.field in NAMES:
            valid = recipe_data.allowed_names(fault.field)
            raise _invalid_value(name, str(fault.value), valid, recipe_data.words(fault.field)) from None
        raise HttpError(400, f"{name}: invalid version", fault.hint, details={"parameter": name}) from None
    check_allowed(query, names, recipe_data)
    return query


def check_allowed(query: Query, names: Mapping[str, str], recipe_data: RecipeData) -> None:
    """Raise HttpError for a query with a value that is off the allow-list."""
    field = recipe_data.disallowed_field(query)
    if field is not None:
        value, valid = query.fields()[field], recipe_data.allowed_names(field)
        name = names.get(field, field)
        details = {"parameter": name, "value": value, "valid": list(valid)}
        raise HttpError(400, f"{name}: {value!r} is not allowed on this server; expected one of {', '.join(valid)}", details=details)


def shorten_input(text: str) -> str:
    """A text that a client sent, as long as a message can hold it, and without random words."""
    from eidos.redact.random_words import is_wordy

    return shorten("/".join(part if is_wordy(part.replace("%", ".")) else "<withheld>" for part in text.split("/")), 100)
