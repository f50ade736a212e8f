"""The history of a recipe: for every line of it, the layers that set it, in order.

Knows the paths of lines (``Type.subtype.key``, ``constraints.<path>``, ``components.<id>.<what>``); must not know which layer wins:
``resolver`` decides that.
"""

from __future__ import annotations

from eidos.model.recipe import Step, copy_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from eidos.model.recipe import Recipe
    from eidos.recipe.layer import Layer


def history(layers: tuple[Layer, ...]) -> dict[str, tuple[Step, ...]]:
    """Steps of each line, by its path in alphabetical order; the layers come in the order in which they are applied."""
    return merge_steps(map(layer_steps, layers))


def layer_steps(layer: Layer) -> Iterator[tuple[str, Step]]:
    """The step of one layer at each line that it sets."""
    citations = {source.id: source.citation() for source in layer.sources}
    for path, value, source, why in lines(layer):
        cited = (citations[source],) if source in citations else tuple(citations.values())
        yield path, Step(layer.name, value, cited, why)


def merge_steps(layers: Iterable[Iterable[tuple[str, Step]]]) -> dict[str, tuple[Step, ...]]:
    """The history of a recipe of these layers, whose steps are in the order in which they are applied."""
    steps: dict[str, list[Step]] = {}
    for layer in layers:
        for path, step in layer:
            steps.setdefault(path, []).append(step)
    return {path: tuple(steps[path]) for path in sorted(steps)}


def lines(layer: Layer) -> Iterator[tuple[str, Any, str, str]]:
    """Path, value, the id of its source ("" where all sources of the layer stand behind it), and the reason, of each line.

    The value is None where the layer removes the line from those below it.
    """
    for removal in layer.removals:
        yield removal.path, None, removal.source, removal.why
    for value in layer.values:
        yield f"{value.type}.{value.subtype}.{value.key}", value.reading, "", value.why
    for constraint in layer.constraints:
        yield f"constraints.{constraint.name}", str(constraint.value), constraint.source, constraint.why
    for choice in layer.choices:
        path = f"components.{choice.id}"
        yield f"{path}.enabled", choice.enabled, choice.source, choice.why
        if choice.version:
            yield f"{path}.version", choice.version, choice.source, choice.why
        for leaf, value in leaves(f"{path}.values", choice.values):
            yield leaf, value, choice.source, choice.why


def is_removal(path: str, value: object) -> bool:
    """Whether a step with that value removes the line at ``path``; ``null`` among the values of a chart is one of them."""
    return value is None and not path.startswith("components.")


def find_lines(recipe: Recipe, path: str) -> tuple[str, ...]:
    """The paths of the lines that ``path`` means: itself and the constraint on it, or all below it, or all that end with it.

    Raises NotFound, with the nearest path, when there is none. The recipe has its history.
    """
    history, requested = recipe.history, path.strip()
    exact = [line for line in (requested, f"constraints.{requested}") if line in history]
    below = [line for line in history if line.startswith((f"{requested}.", f"constraints.{requested}."))]
    ending = [line for line in history if requested and line.endswith((f".{requested}", f"/{requested}", f".{requested}.version"))]
    matches = exact or below or ending
    if not matches:
        from eidos.errors import NotFound
        from eidos.wording import did_you_mean

        hint = did_you_mean(requested, history, "run 'eidos recipe --explain -t table' with the same flags for all paths")
        raise NotFound(f"the recipe has nothing at {requested!r}", hint)
    return tuple(matches)


def line_history(recipe: Recipe, path: str) -> dict[str, Any]:
    """The history of one line as a document: what holds, and each layer in order, with key, value, reason, sources, and if it was replaced.

    All layers of a constraint count: what holds is what satisfies each of them. A layer that removes the line has ``removes``; what was
    set before it was replaced, and where no layer sets it again, ``value`` is null.
    """
    steps, keys = recipe.history[path], dict(rule.rpartition(": ")[::2] for rule in recipe.rules)
    limits = {f"constraints.{constraint.name}": str(constraint.value) for constraint in recipe.constraints}
    removed = max((number for number, step in enumerate(steps, 1) if is_removal(path, step.value)), default=0)
    entries = []
    for number, step in enumerate(steps, 1):
        entry = {"layer": step.layer, "key": keys.get(step.layer, ""), "value": copy_tree(step.value), "why": step.why}
        if is_removal(path, step.value):
            entry["removes"] = True
        is_replaced = number < (removed if path in limits else len(steps))
        entries.append({**{k: v for k, v in entry.items() if v != ""}, "sources": list(step.sources), "replaced": is_replaced})
    return {"path": path, "value": limits.get(path, copy_tree(steps[-1].value)), "layers": entries}


def leaves(path: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """The scalars and lists of chart values; a list is one word, because a later layer replaces it as one."""
    if isinstance(tree, dict) and tree:
        for key in sorted(tree):
            yield from leaves(f"{path}.{key}", tree[key])
    elif path.count(".") > 2:
        yield path, copy_tree(tree)
