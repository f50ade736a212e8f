"""The recipe for a query: the layers that match it, merged.

Knows the order of layers and how their content combines; must not know files, flags or the wire. Readings: the later layer wins.
Constraints: they intersect, so none is loosened but by a layer that removes those below it. Components: versions and values of the later
layer win, value by value.
"""

from __future__ import annotations

from eidos import __version__
from eidos.errors import InvalidData
from eidos.model.constraint import Constraint
from eidos.model.measurement import TYPES, Measurement, Subtype
from eidos.model.query import LayerKey
from eidos.model.recipe import Component, Recipe, overlay_tree
from eidos.model.recipe_consistency import disagreements
from eidos.recipe.charts import values_for_others, with_dependencies
from eidos.recipe.layer import Choice, Layer
from eidos.recipe.provenance import history
from eidos.recipe.recipe_warnings import find_generic, find_impossible, find_warnings
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from eidos.model.chart import Chart
    from eidos.model.query import Query
    from eidos.model.recipe import Step
    from eidos.recipe.layer import Value
    from eidos.recipe.store import Store


class Contradiction(InvalidData):
    """Two layers state one fact differently: constraints that nothing satisfies, or two places that must agree and do not."""


def resolve(
    query: Query,
    store: Store,
    *,
    unknown: Mapping[str, str] | None = None,
    explain: bool = False,
    check: bool = True,
    extra: Iterable[str] = (),
) -> Recipe:
    """The recipe for ``query``: a pure function of both; the result shares nothing with the store. ``explain`` fills its history.

    ``unknown`` are words of a node, by field, that the catalog does not have: no layer is made for them, and there is a warning. ``extra``
    are ids of components to have besides. ``check`` looks for facts that are stated in two places and differ, and for what a reader should
    know: what is generic, impossible, or calls for a warning. Raises Contradiction naming both layers, or InvalidData for components that
    are unknown or depend on one another in a circle.
    """
    layers = (store.base, *store.matching(query, _requested(tuple(extra))))
    requested = {**query.fields(), **(unknown or {})}
    constraints, components = _constraints(layers), _components(layers, store.charts)
    recipe = Recipe(
        timestamp=store.timestamp(),
        version=__version__,
        digest=store.digest,
        plugins=store.plugins,
        request=query,
        rules=tuple(f"{layer.name}: {layer.key}" for layer in layers),
        measurements=_readings(layers),
        constraints=constraints,
        components=components,
        generic=find_generic(requested, layers, store.catalog) if check else (),
        impossible=tuple(find_impossible(requested, store)) if check else (),
        warnings=tuple(find_warnings(requested, store, layers, constraints, components)) if check else (),
        history=history(layers) if explain else {},
    )
    if check:
        _check(recipe, layers, store)
    return recipe


def merged_content(layers: Sequence[Layer], store: Store) -> object:
    """What layers make of a recipe, without the reasons: equal for those that make the same. None when they contradict one another."""
    try:
        limits = {constraint.name: constraint.value for constraint in _constraints(layers)}
        components = [(component.id, component.version, component.values) for component in _components(layers, store.charts)]
    except InvalidData:
        return None
    return [(kind.type, part.name, part.data) for kind in _readings(layers) for part in kind.subtypes], limits, components


def _requested(ids: tuple[str, ...]) -> tuple[Layer, ...]:
    """The layer of the components that the caller requests, if there are any."""
    choices = tuple(Choice(id, why="It was requested.") for id in dict.fromkeys(ids))
    return (Layer(f"--with {','.join(ids)}", LayerKey(), (), (), (), choices),) if ids else ()


def _check(recipe: Recipe, layers: tuple[Layer, ...], store: Store) -> None:
    """Raise Contradiction for the first fact that two places state differently."""
    for item in disagreements(recipe, store.charts, store.cuda):
        steps = history(layers)
        left, right = (
            f"{path}: {text} ({_owners(path, steps)})" for path, text in ((item.left, item.left_text), (item.right, item.right_text))
        )
        reason = f": {item.reason}" if item.reason else ""
        raise Contradiction(
            f"{left} and {right} contradict each other{reason}",
            hint="change one of the two, or the keys of the layers so that they do not match together",
        )


def _owners(path: str, steps: Mapping[str, tuple[Step, ...]]) -> str:
    """The layer that set ``path``, or all that limit it; the chart's entry where none did."""
    lines = steps.get(path, ())
    names = [step.layer for step in (lines if path.startswith("constraints.") else lines[-1:])]
    return ", ".join(dict.fromkeys(names)) or "components.yaml"


def _readings(layers: Sequence[Layer]) -> tuple[Measurement, ...]:
    grouped: dict[str, dict[str, dict[str, Value]]] = {}
    for layer in layers:
        for kind, name, key in (removal.target for removal in layer.removals if len(removal.target) == 3):
            grouped.get(kind, {}).get(name, {}).pop(key, None)
        for value in layer.values:
            grouped.setdefault(value.type, {}).setdefault(value.subtype, {})[value.key] = value
    measurements = []
    for kind in TYPES.values():
        subtypes = []
        for name, values in sorted(grouped.get(kind, {}).items()):
            if not values:
                continue
            data = {key: value.reading for key, value in sorted(values.items())}
            why = {key: value.why for key, value in sorted(values.items()) if value.why}
            subtypes.append(Subtype(name, data, why))
        if subtypes:
            measurements.append(Measurement(kind, tuple(subtypes)))
    return tuple(measurements)


def _constraints(layers: Sequence[Layer]) -> tuple[Constraint, ...]:
    merged: dict[str, Constraint] = {}
    owners: dict[str, list[str]] = {}
    for layer in layers:
        for _, path in (removal.target for removal in layer.removals if len(removal.target) == 2):
            merged.pop(path, None)
        for new in layer.constraints:
            old = merged.get(new.name)
            if old is None:
                merged[new.name] = new
                owners[new.name] = [layer.name]
                continue
            both = old.value.intersect(new.value)
            if both is None:
                before = ", ".join(owners[new.name])
                raise Contradiction(
                    f"{new.name}: {old.value} ({before}) and {new.value} ({layer.name}) contradict each other",
                    hint="correct one of the two layers, or change their keys so that they do not match together",
                )
            # The sentence of the stricter one explains the result; of two that both add to it, both do.
            why = (
                new.why
                if both.is_equivalent(new.value)
                else old.why
                if both.is_equivalent(old.value)
                else " ".join(filter(None, (old.why, new.why)))
            )
            merged[new.name] = Constraint(new.name, both, why)
            owners[new.name].append(layer.name)
    return tuple(merged[name] for name in sorted(merged))


def _components(layers: Sequence[Layer], charts: Mapping[str, Chart]) -> tuple[Component, ...]:
    choices: dict[str, list[Choice]] = {}
    for layer in layers:
        for choice in layer.choices:
            if choice.id not in charts:
                raise InvalidData(f"{layer.name}: components.{choice.id}: unknown component", did_you_mean(choice.id, charts))
            choices.setdefault(choice.id, []).append(choice)
    # In the order of components.yaml: that of the mappings in layers means nothing.
    enabled = [id for id in charts if id in choices and choices[id][-1].enabled]
    components = []
    ids = with_dependencies(enabled, charts)
    shared_values = values_for_others(ids, charts)
    for id in ids:
        chosen = choices.get(id, [])
        values = shared_values.get(id, {})
        for choice in chosen:
            overlay_tree(values, choice.values)
        version = next((choice.version for choice in reversed(chosen) if choice.version), charts[id].version)
        why = next((choice.why for choice in reversed(chosen) if choice.why), "")
        chart = charts[id]
        components.append(Component(id, chart.chart, chart.repository, version, chart.namespace, chart.depends, _sorted(values), why))
    return tuple(components)


def _sorted(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _sorted(value) for key, value in sorted(tree.items())}
    return [_sorted(item) for item in tree] if isinstance(tree, list) else tree
