"""Single values of a chart, set at their paths.

Knows how an assignment becomes a typed value in the tree; must not know where values come from. The chart's type of a value decides how its
text is read: ``580`` stays text for a string.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model import values_schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.bundle.bundle_options import Assignment
    from eidos.model.values_schema import Path, ValuesSchema


def assign_value(tree: dict[str, Any], assignment: Assignment, schema: ValuesSchema | None) -> None:
    """Set one value. Raises InvalidInput for a path that the chart does not have or that is none, or a value of another type."""
    try:
        path = values_schema.parse_path(assignment.path)
        kind = schema.type_of(path) if schema else values_schema.ANY
        value = parse_value(assignment.value, kind)
        if schema:
            schema.check_word(path, value)
        set_value(tree, path, value)
    except InvalidInput as fault:
        raise InvalidInput(f"{assignment.component}: {assignment.path}: {fault.message}", fault.hint) from fault


def parse_value(text: str, kind: str) -> Any:
    """The value that ``text`` writes where the chart takes a ``kind``. Raises InvalidInput.

    >>> [parse_value(text, kind) for text, kind in (("580", "string"), ("580", "any"), ("[a, 2]", "list"), ("null", "string"))]
    ['580', 580, ['a', 2], None]
    """
    if text == "null":
        return None
    if kind == values_schema.STRING:
        return text
    from eidos import formats
    from eidos.errors import InvalidData

    try:
        value = formats.from_text(text, "the value") if text.strip() else text
    except InvalidData as fault:
        if kind != values_schema.ANY:
            raise InvalidInput(f"the chart expects a {kind}; the value is not one", _EXAMPLES.get(kind)) from fault
        return text
    if isinstance(value, dict) and not text.lstrip().startswith("{"):
        value = text  # "a: b" is text with a colon, not a mapping
    if isinstance(value, list) and not text.lstrip().startswith("["):
        value = text
    if not values_schema.has_type(value, kind) or value is None:
        if kind == values_schema.ANY:
            return text
        raise InvalidInput(f"the chart expects a {kind}; the value is not one", _EXAMPLES.get(kind))
    return value


_EXAMPLES = {
    values_schema.BOOLEAN: "write true or false",
    values_schema.LIST: "write [a, b], or one item: path[0]=a",
    values_schema.MAPPING: "write {key: value}, or one key: path.key=value",
}


def set_value(tree: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at ``path``; mappings and lists on the way are created. A list grows by one item at a time.

    Raises InvalidInput where something else is on the way, or items are missing before the index.
    """
    parent: Any = tree
    for number, part in enumerate(path):
        is_last = number == len(path) - 1
        empty: Any = [] if not is_last and isinstance(path[number + 1], int) else {}
        where = values_schema.format_path(path[:number])
        if isinstance(part, int):
            if not isinstance(parent, list):
                raise InvalidInput(f"{where} is not a list")
            if part > len(parent):
                raise InvalidInput(
                    f"index out of range: the next item of {where} is [{len(parent)}]", "set the items in order, or set the complete list"
                )
            if part == len(parent):
                parent.append(empty)
        elif not isinstance(parent, dict):
            raise InvalidInput(f"{where} is not a mapping, so it cannot have {part!r}")
        elif parent.get(part) is None:
            parent[part] = empty
        if is_last:
            parent[part] = value
        else:
            parent = parent[part]


def get_value(tree: Any, path: Path) -> Any:
    """The value at a path; None when there is none."""
    for part in path:
        if isinstance(part, int):
            tree = tree[part] if isinstance(tree, list) and part < len(tree) else None
        else:
            tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
