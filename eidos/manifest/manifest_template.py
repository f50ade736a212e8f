"""Templates of manifests: which pieces there are, and which parts are laid over them.

Knows the form of the files below ``templates/kubernetes/``; must not know what is in them. Such a file is a tree:

==========  ============================================================================================================
``pieces``  by name: a manifest, or what ``@{name}`` stands for in one
``order``   the names of pieces that are manifests, in the order to apply them; a name without a piece is skipped
``parts``   by name: pieces to lay over the others when an option needs it
``notes``   sentences for whoever applies them; those with ``when`` or ``unless`` go with a part, or without it
==========  ============================================================================================================

Laid over, mappings are merged, lists are appended, and anything else is replaced. Placeholders are those of every template, see
:mod:`eidos.templates`: a name without a value is a piece.
"""

from __future__ import annotations

from eidos.templates.tree_template import fill_documents, fill_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Tree = dict[str, Any]

#: Name → tree of each template that was read.
_templates: dict[str, Tree] = {}


def read_template(name: str) -> Tree:
    """The tree of ``templates/kubernetes/<name>.yaml``; callers must not change it."""
    if name not in _templates:
        from eidos import formats

        tree: Any = formats.from_text(_source(name), _path(name))
        _templates[name] = tree
    return _templates[name]


def _path(name: str) -> str:
    return f"templates/kubernetes/{name}.yaml"


def _source(name: str) -> str:
    from eidos.files import resources

    return resources.read_text(_path(name))


class ManifestTemplate:
    """One template with ``parts`` laid over its pieces, and ``values`` for its placeholders."""

    def __init__(self, name: str, parts: Iterable[str], values: Tree) -> None:
        tree = read_template(name)
        self.order: list[str] = tree["order"]
        self.values = values
        self._name = name
        self._notes: list[Tree] = tree["notes"]
        self._pieces: Tree = tree["pieces"]
        self._parts = tuple(parts)
        for part in self._parts:
            self._pieces = merge_pieces(self._pieces, tree["parts"][part])

    def __contains__(self, piece: str) -> bool:
        return piece in self._pieces

    def render(self, piece: str, values: Mapping[str, Any] | None = None) -> Any:
        """One piece, filled in; ``values`` win over the template's own. Raises InvalidData, with file and line, for a missing value."""
        return self._fill(self._pieces[piece], values or {})

    def notes(self) -> list[str]:
        """What whoever applies the manifests must know, a paragraph each."""
        notes = (note for note in self._notes if note.get("when", self._parts[0]) in self._parts and note.get("unless") not in self._parts)
        return [self._fill(note["text"], {}) for note in notes]

    def add_monitoring(self, file: str, labels: Mapping[str, str]) -> None:
        """Add the values that pieces for Prometheus and Grafana share: the dashboard as ``file``, and ``labels`` besides those of all."""
        from eidos import formats

        self.values["dashboard.data"] = {file: formats.to_json(self.render("dashboard"))}
        self.values["monitoring-labels"] = {**self.render("monitoring-labels"), **labels}

    def _fill(self, tree: Any, values: Mapping[str, Any]) -> Any:
        lookup = _Values({**self.values, **values}, self._pieces)
        return fill_documents([tree], lookup, _path(self._name), lambda: _source(self._name))[0]


class _Values(dict[str, object]):
    """Values by name; a name without one is a piece, filled in when a placeholder asks for it."""

    def __init__(self, values: Mapping[str, Any], pieces: Tree) -> None:
        super().__init__(values)
        self._pieces = pieces

    def get(self, key: str, default: Any = None) -> Any:  # a mapping's signature
        if key in self:
            return self[key]
        return fill_tree(self._pieces[key], self) if key in self._pieces else default


def merge_pieces(base: Any, overlay: Any) -> Any:
    """``overlay`` laid over ``base``; neither is changed.

    >>> merge_pieces({"a": [1], "b": {"c": 1}}, {"a": [2], "b": {"d": 2}})
    {'a': [1, 2], 'b': {'c': 1, 'd': 2}}
    """
    if isinstance(base, dict) and isinstance(overlay, dict):
        return {**base, **{key: merge_pieces(base[key], value) if key in base else value for key, value in overlay.items()}}
    if isinstance(base, list) and isinstance(overlay, list):
        return base + overlay
    return overlay
