"""The history of a recipe: for every line of it, the layers that set it, in order.

Knows the paths of lines (``Type.subtype.key``, ``constraints.<path>``, ``components.<id>.<what>``); must not know which layer wins:
``resolver`` decides that.
"""

from __future__ import annotations

from eidos.model.recipe import Step, copy_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.recipe.layer import Layer


def history(layers: tuple[Layer, ...]) -> dict[str, tuple[Step, ...]]:
    """Steps of each line, by its path in alphabetical order; the layers come in the order in which they are applied."""
    steps: dict[str, list[Step]] = {}
    for layer in layers:
        citations = {source.id: source.citation() for source in layer.sources}
        for path, value, source in _lines(layer):
            cited = (citations[source],) if source in citations else tuple(citations.values())
            steps.setdefault(path, []).append(Step(layer.name, value, cited))
    return {path: tuple(steps[path]) for path in sorted(steps)}


def _lines(layer: Layer) -> Iterator[tuple[str, Any, str]]:
    """Path, value and the id of its source; "" where all sources of the layer stand behind it."""
    for value in layer.values:
        yield f"{value.type}.{value.subtype}.{value.key}", value.reading, ""
    for constraint in layer.constraints:
        yield f"constraints.{constraint.name}", str(constraint.value), constraint.source
    for choice in layer.choices:
        path = f"components.{choice.id}"
        yield f"{path}.enabled", choice.enabled, choice.source
        if choice.version:
            yield f"{path}.version", choice.version, choice.source
        for leaf, value in _leaves(f"{path}.values", choice.values):
            yield leaf, value, choice.source


def _leaves(path: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """The scalars and lists of chart values; a list is one word, because a later layer replaces it as one."""
    if isinstance(tree, dict) and tree:
        for key in sorted(tree):
            yield from _leaves(f"{path}.{key}", tree[key])
    elif path.count(".") > 2:
        yield path, copy_tree(tree)
