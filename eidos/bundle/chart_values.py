"""Values of a chart: set one at its path, and those that follow from others, of the same chart or of another one in the bundle.

Knows how an assignment becomes a typed value in the tree, and how an implication of components.yaml is decided and applied; must not know
any value, nor where values come from. The chart's type of a value decides how its text is read: ``580`` stays text for a string. What the
caller set is never changed: where it contradicts what follows, there is a warning.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model import values_schema
from eidos.model.number_format import format_scalar
from eidos.model.recipe import copy_tree, overlay_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from eidos.bundle.bundle_options import Assignment, BundleOptions
    from eidos.model.chart import Implication
    from eidos.model.recipe import Component
    from eidos.model.values_schema import Path, ValuesSchema

#: The text of a value that is not there.
UNSET = "unset"


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


def requested_values(component: Component, options: BundleOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the recipe and the caller set of a component, and what the caller alone does; the text of ``--set`` as it is."""
    caller: dict[str, Any] = {}
    for overlay in options.values:
        if overlay.component == component.id:
            overlay_tree(caller, copy_tree(overlay.tree))
    for assignment in options.assignments:
        if assignment.component == component.id:
            try:  # without contextlib.suppress: importing it takes longer than making a component
                set_value(caller, values_schema.parse_path(assignment.path), assignment.value)
            except InvalidInput:  # refused with the component's own values
                pass
    both: dict[str, Any] = copy_tree(component.values)
    overlay_tree(both, copy_tree(caller))
    return both, caller


def apply_implications(
    implications: tuple[Implication, ...],
    id: str,
    values: dict[str, Any],
    caller: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Set in ``values``, those of component ``id``, what follows; a sentence for each value that was set, or contradicts.

    ``others`` are the requested values of all components of the bundle, and under ``query`` the fields of the recipe's query.
    """
    trees: dict[str, Mapping[str, Any]] = {**others, id: values}
    for implication in implications:
        if not all(_holds(trees, where, texts) for where, texts in implication.when.items()):
            continue
        path = values_schema.parse_path(implication.path)
        current = _text(get_value(values, path))
        if current not in implication.was:
            continue
        reason = " and ".join(f"{where} is {_value_at(trees, where)}" for where in implication.when)
        if implication.to is None:
            yield f"{id}: {implication.path}={current} has no effect: {reason}, and {implication.why}"
        elif get_value(caller, path) is not None:
            yield f"{id}: {implication.path} is {current}, but {reason}: {implication.why}"
        else:
            set_value(values, path, implication.to)
            yield f"{id}: {implication.path} is set to {_text(implication.to)}, because {reason}: {implication.why}"


def without_nulls(tree: Any) -> Any:
    """The tree without what is null, at any depth: helm leaves out the chart's own value for it, and the API server refuses or drops it.

    >>> without_nulls({"a": None, "b": [{"c": None}, None]})
    {'b': [{}]}
    """
    if isinstance(tree, dict):
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    return [without_nulls(value) for value in tree if value is not None] if isinstance(tree, list) else tree


def _holds(trees: Mapping[str, Mapping[str, Any]], where: str, texts: tuple[str, ...]) -> bool:
    return where.partition(".")[0] in trees and _value_at(trees, where) in texts


def _value_at(trees: Mapping[str, Mapping[str, Any]], where: str) -> str:
    id, _, path = where.partition(".")
    return _text(get_value(trees[id], values_schema.parse_path(path)))


def _text(value: object) -> str:
    return UNSET if value is None else format_scalar(value) if isinstance(value, (str, int, float)) else "a list or mapping"
