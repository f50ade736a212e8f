"""Values of a chart, laid over one another.

Knows that a mapping goes into a mapping and anything else replaces what was there, and how an assignment becomes a typed value;
must not know where values come from. What the chart says of a value's type decides how its text is read: ``580`` stays text for a
string.
"""

from __future__ import annotations

from eidos.bundle import values_schema as schemas
from eidos.errors import InvalidInput
from eidos.model.recipe import copied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.bundle.bundle_options import Assignment
    from eidos.bundle.values_schema import Path, Schema


def overlay(below: dict[str, Any], above: dict[str, Any]) -> None:
    """Lay ``above`` over ``below``, mapping into mapping; a list replaces a list. Nothing of ``above`` is shared.

    >>> tree = {"a": {"b": 1, "c": [1, 2]}}
    >>> overlay(tree, {"a": {"c": [3]}})
    >>> tree
    {'a': {'b': 1, 'c': [3]}}
    """
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            overlay(below[key], value)
        else:
            below[key] = copied(value)


def assign(tree: dict[str, Any], said: Assignment, schema: Schema | None) -> None:
    """Set one value. Raises InvalidInput for a path that the chart does not have or that is none, or a value of another type."""
    try:
        path = schemas.parse_path(said.path)
        kind = schema.type_of(path) if schema else schemas.ANY
        _put(tree, path, typed(said.value, kind))
    except InvalidInput as fault:
        raise InvalidInput(f"{said.component}: {said.path}: {fault.message}", fault.hint) from fault


def typed(text: str, kind: str) -> Any:
    """The value that ``text`` writes where the chart takes a ``kind``.

    >>> typed("580", "string"), typed("580", "any"), typed("[a, 2]", "list"), typed("false", "boolean"), typed("null", "string")
    ('580', 580, ['a', 2], False, None)
    """
    if text == "null":
        return None
    if kind == schemas.STRING:
        return text
    from eidos import formats
    from eidos.errors import InvalidData

    try:
        value = formats.from_text(text, "the value") if text.strip() else text
    except InvalidData as fault:
        if kind != schemas.ANY:
            raise InvalidInput(fault.message, fault.hint) from fault
        return text
    if isinstance(value, dict) and not text.lstrip().startswith("{"):
        value = text  # "a: b" is text with a colon, not a mapping
    if isinstance(value, list) and not text.lstrip().startswith("["):
        value = text
    if not schemas.fits(value, kind) or value is None:
        if kind == schemas.ANY:
            return text
        raise InvalidInput(f"the chart takes a {kind} here, and {text!r} is none", _EXAMPLES.get(kind))
    return value


_EXAMPLES = {
    schemas.BOOLEAN: "write true or false",
    schemas.LIST: "write [a, b], or one item: path[0]=a",
    schemas.MAPPING: "write {key: value}, or one key: path.key=value",
}


def _put(tree: dict[str, Any], path: Path, value: Any) -> None:
    """Put ``value`` at ``path``; what is missing on the way is made. A list grows by one item at a time."""
    place: Any = tree
    for number, part in enumerate(path):
        last = number == len(path) - 1
        empty: Any = [] if not last and isinstance(path[number + 1], int) else {}
        where = schemas.shown(path[:number])
        if isinstance(part, int):
            if not isinstance(place, list):
                raise InvalidInput(f"{where} is no list here")
            if part > len(place):
                raise InvalidInput(
                    f"{where} has {len(place)} items here, so the next is [{len(place)}]", "set them in order, or give the whole list"
                )
            if part == len(place):
                place.append(empty)
        elif not isinstance(place, dict):
            raise InvalidInput(f"{where} is no mapping here, so there is no {part!r} in it")
        elif place.get(part) is None:
            place[part] = empty
        if last:
            place[part] = value
        else:
            place = place[part]


def lookup(tree: Any, path: Path) -> Any:
    """The value at a path; None when there is none."""
    for part in path:
        if isinstance(part, int):
            tree = tree[part] if isinstance(tree, list) and part < len(tree) else None
        else:
            tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def put(tree: dict[str, Any], path: Path, value: Any) -> None:
    """As an assignment, of a value that has its type."""
    _put(tree, path, value)
