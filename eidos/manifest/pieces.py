"""Manifests made of pieces: which pieces there are, what is laid over them, and what stands for their placeholders.

Knows the form of the files below ``templates/kubernetes/``; must not know what is in them. Such a file is a tree:

==========  ============================================================================================================
``pieces``  by name: a manifest, or what stands in one at ``@{name}``
``order``   the names of pieces that are manifests, in the order to apply them; a name without a piece is passed over
``parts``   by name: pieces that are laid over the others when what is asked for needs it
``notes``   sentences for whoever applies them; those with ``when`` or ``unless`` go with a part, or without it
==========  ============================================================================================================

Laid over, mappings go together, lists go behind one another, and anything else replaces what was there. A placeholder is written as in
templates of bundles: ``@{name}`` alone becomes the value itself, within a longer text its text; ``@{name?}`` goes away with its key
where nothing stands for it. A list that stands as an item of a list is spliced into it. Values are put into trees, never into YAML,
so none can break out of its place; ``@@{`` is a literal ``@{``.
"""

from __future__ import annotations

from eidos.errors import InvalidData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Tree = dict[str, Any]

#: What stands where nothing does.
NOTHING = object()

_read: dict[str, Any] = {}


def template(name: str) -> Tree:
    """The tree of ``templates/kubernetes/<name>.yaml``, to be looked at only."""
    if name not in _read:
        from eidos import formats
        from eidos.files import resources

        path = f"templates/kubernetes/{name}.yaml"
        _read[name] = formats.from_text(resources.read_bytes(path), path)
    tree: Tree = _read[name]
    return tree


class Pieces:
    """The pieces of one template with ``parts`` laid over them, and the values for their placeholders."""

    def __init__(self, name: str, parts: Iterable[str], values: Mapping[str, Any]) -> None:
        self._where = f"templates/kubernetes/{name}.yaml"
        found = template(name)
        self.order: list[str] = found["order"]
        self.values = values
        self._pieces: Tree = found["pieces"]
        self._notes: list[Tree] = found["notes"]
        self._parts = tuple(parts)
        for part in self._parts:
            self._pieces = laid(self._pieces, found["parts"][part])

    def __contains__(self, piece: str) -> bool:
        return piece in self._pieces

    def filled(self, piece: str, values: Mapping[str, Any] | None = None) -> Any:
        """One piece, whole; ``values`` come before the others."""
        return self._fill(self._pieces[piece], {**self.values, **(values or {})})

    def notes(self) -> list[str]:
        """What is to be said of them, a paragraph each."""
        wanted = [note for note in self._notes if note.get("when", self._parts[0]) in self._parts and note.get("unless") not in self._parts]
        return [self._fill(note["text"], self.values) for note in wanted]

    def _fill(self, tree: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(tree, str):
            return self._text(tree, values) if "@{" in tree else tree
        if isinstance(tree, dict):
            done = {self._text(key, values): self._fill(value, values) for key, value in tree.items()}
            return {key: value for key, value in done.items() if value is not NOTHING}
        if isinstance(tree, list):
            items: list[Any] = []
            for item in tree:
                value = self._fill(item, values)
                if isinstance(value, list) and isinstance(item, str):
                    items += value
                elif value is not NOTHING:
                    items.append(value)
            return items
        return tree

    def _text(self, text: str, values: Mapping[str, Any]) -> Any:
        begin, *rest = text.split("@{")
        for part in rest:
            if begin.endswith("@"):
                begin = f"{begin[:-1]}@{{{part}"
                continue
            name, _, after = part.partition("}")
            value = self._value(name, values)
            if not begin and not after and len(rest) == 1:
                return value
            begin += f"{'' if value is NOTHING else value}{after}"
        return begin

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        wanted = name.rstrip("?")
        value = values.get(wanted, NOTHING)
        if value is NOTHING and wanted in self._pieces:
            value = self._fill(self._pieces[wanted], values)
        if value is NOTHING and wanted == name:
            raise InvalidData(f"{self._where}: nothing is known by the name {name!r}")
        return value


def laid(under: Any, over: Any) -> Any:
    """``over`` laid over ``under``; neither is changed.

    >>> laid({"a": [1], "b": {"c": 1}}, {"a": [2], "b": {"d": 2}})
    {'a': [1, 2], 'b': {'c': 1, 'd': 2}}
    """
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{key: laid(under[key], value) if key in under else value for key, value in over.items()}}
    if isinstance(under, list) and isinstance(over, list):
        return under + over
    return over
