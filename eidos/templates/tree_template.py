"""Templates that are data: plain trees with placeholders in their strings.

Knows trees and placeholders; must not know files, charts or recipes. A string that is one placeholder and nothing else becomes the value
itself, with its type; within a longer string the value stands as text. An optional value that is absent takes its key along, and a mapping
or a list that is left empty goes, too; one that was written empty stays. An item of a list that is a placeholder for a list is replaced by
its items. Keys are not filled in. Values are never read as YAML, so none can break the syntax.

>>> fill_tree({"cdi": "@{cdi}", "env": {"proxy": "@{proxy?}"}, "list": []}, {"cdi": True})
{'cdi': True, 'list': []}
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.number_format import format_scalar
from eidos.model.recipe import copy_tree
from eidos.templates.placeholder import ABSENT, MalformedPlaceholder, MissingValue, parse_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from eidos.templates.placeholder import Placeholder


def fill_documents(documents: Sequence[Any], values: Mapping[str, Any], name: str, source: Callable[[], str]) -> list[Any]:
    """Each document of the template ``name`` filled in, as :func:`fill_tree` does; ``source`` gives its text.

    Raises InvalidData that begins with the name and, for a value that is missing, the line.
    """
    try:
        return [fill_tree(document, values) for document in documents]
    except MissingValue as fault:
        line = placeholder_line(source(), fault.name)
        raise InvalidData(f"{name}, line {line}: {fault.message}" if line else f"{name}: {fault.message}", fault.hint) from fault
    except InvalidData as fault:
        raise InvalidData(f"{name}: {fault.message}", fault.hint) from fault


def fill_tree(tree: Any, values: Mapping[str, Any]) -> Any:
    """``tree`` with values in place of its placeholders; ABSENT when nothing is left of it.

    Nothing is shared with ``values``. Raises MissingValue for a required name without a value, and InvalidData for a list or a mapping in
    the middle of a text.
    """
    if isinstance(tree, str):
        return _fill_string(tree, values) if "@{" in tree else tree
    if isinstance(tree, dict):
        filled = {key: fill_tree(value, values) for key, value in tree.items()}
        remaining: Any = {key: value for key, value in filled.items() if value is not ABSENT}
    elif isinstance(tree, (list, tuple)):
        remaining = []
        for item in tree:
            value = fill_tree(item, values)
            if isinstance(value, list) and isinstance(item, str):
                remaining += value
            elif value is not ABSENT:
                remaining.append(value)
    else:
        return tree
    return ABSENT if tree and not remaining else remaining


def _fill_string(text: str, values: Mapping[str, Any]) -> Any:
    parts = parse_text(text)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return copy_tree(parts[0].resolve(values))
    filled = []
    for part in parts:
        if isinstance(part, str):
            filled.append(part)
            continue
        value = part.resolve(values)
        if value is ABSENT:
            return ABSENT
        if isinstance(value, (dict, list, tuple)):
            kind = "mapping" if isinstance(value, dict) else "list"
            raise InvalidData(f"{part.name!r} is a {kind} and cannot be part of a text", "make it the only content of its string")
        filled.append(format_scalar(value))
    return "".join(filled)


def placeholders(tree: Any, *, of_keys: bool = False) -> Iterator[Placeholder]:
    """Every placeholder in the values of a tree, or in its keys. Raises MalformedPlaceholder."""
    for text in template_strings(tree, of_keys=of_keys):
        yield from (part for part in parse_text(text) if not isinstance(part, str))


def template_strings(tree: Any, *, of_keys: bool = False) -> Iterator[str]:
    """Every value of a tree, or every key, that has a placeholder in it."""
    if isinstance(tree, str):
        if "@{" in tree and not of_keys:
            yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if of_keys:
                yield from template_strings(key)
            yield from template_strings(value, of_keys=of_keys)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from template_strings(item, of_keys=of_keys)


def placeholder_line(source: str, name: str) -> int:
    """The line of the first placeholder for ``name`` in the text of a tree; 0 when there is none."""
    try:
        return next((part.line for part in parse_text(source) if not isinstance(part, str) and part.name == name), 0)
    except MalformedPlaceholder:  # in a comment, perhaps: the tree itself was parsed
        return 0
