"""Templates that are data: plain trees with placeholders in their strings.

Knows trees and expressions; must not know files, charts or recipes. A string that is one placeholder and nothing else becomes the value
itself, with its type; in a longer string the value stands as text. What may be missing and is takes its key along, and a mapping or a
list that is left empty goes, too; one that was written empty stays. An item of a list that is a placeholder for a list stands for its
items. Values are never read as YAML, so none can break the syntax.

>>> fill({"cdi": "@{cdi}", "env": {"proxy": "@{proxy?}"}, "list": []}, {"cdi": True})
{'cdi': True, 'list': []}
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.number_format import format_scalar
from eidos.model.recipe import copied
from eidos.templates.placeholder import ABSENT, Missing, parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from eidos.templates.placeholder import Expression


def fill(tree: Any, names: Mapping[str, Any]) -> Any:
    """``tree`` with values in place of its placeholders; ABSENT when nothing is left of it.

    Nothing is shared with ``names``. Raises InvalidData (Missing) for a name that is not there.
    """
    if isinstance(tree, str):
        return _text(tree, names) if "@{" in tree else tree
    if isinstance(tree, dict):
        filled = {key: fill(value, names) for key, value in tree.items()}
        left: Any = {key: value for key, value in filled.items() if value is not ABSENT}
    elif isinstance(tree, (list, tuple)):
        left = []
        for item in tree:
            value = fill(item, names)
            # An item that is a placeholder for a list stands for its items.
            if isinstance(value, list) and isinstance(item, str):
                left += value
            elif value is not ABSENT:
                left.append(value)
    else:
        return tree
    return ABSENT if tree and not left else left


def _text(text: str, names: Mapping[str, Any]) -> Any:
    pieces = parts(text)
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        return copied(pieces[0].value(names))
    filled = []
    for piece in pieces:
        value = piece if isinstance(piece, str) else piece.value(names)
        if value is ABSENT:
            return ABSENT
        if isinstance(value, (dict, list, tuple)):
            assert not isinstance(piece, str)
            kind = "mapping" if isinstance(value, dict) else "list"
            raise InvalidData(f"{piece.name!r} is a {kind}, which cannot stand inside a text", "let it stand alone in its string")
        filled.append(format_scalar(value))
    return "".join(filled)


def fill_text(text: str, names: Mapping[str, Any]) -> str | None:
    """One string, as text; None when a name in it may be missing and is, or must not be and is."""
    try:
        value = _text(text, names)
    except Missing:
        return None
    return None if value is ABSENT else format_scalar(value)


def expressions(tree: Any, keys: bool = False) -> Iterator[Expression]:
    """Every placeholder of a tree, of its ``keys`` instead if so asked; raises Malformed."""
    if isinstance(tree, str):
        if not keys:
            yield from (piece for piece in parts(tree) if not isinstance(piece, str))
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if keys:
                yield from (piece for piece in parts(key) if not isinstance(piece, str))
            yield from expressions(value, keys)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from expressions(item, keys)
