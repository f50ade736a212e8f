"""Laws of merging: the same layers make the same recipe, whatever the order they lie in, and nothing handed out reaches the store."""

from __future__ import annotations

import copy
import functools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eidos import formats
from eidos.model.constraint import Expression, parse_expression
from eidos.model.query import Query
from eidos.model.recipe import Recipe
from eidos.recipe.provenance import line_history
from eidos.recipe.resolver import resolve
from eidos.recipe.store import from_folder
from tests.property.strategies import files, queries
from tests.support.effort import examples


def _readings(recipe: Recipe) -> dict[str, object]:
    return {f"{m.type}.{s.name}.{key}": value for m in recipe.measurements for s in m.subtypes for key, value in s.data.items()}


def _reordered(tree: Any, data: st.DataObject) -> Any:
    """The same tree with its mappings in another order."""
    if isinstance(tree, dict):
        return {key: _reordered(tree[key], data) for key in data.draw(st.permutations(sorted(tree)))}
    return [_reordered(item, data) for item in tree] if isinstance(tree, list) else tree


def _spoil(tree: Any) -> None:
    """Change every mapping and list in a tree, down to the last."""
    for value in list(tree.values()) if isinstance(tree, dict) else list(tree) if isinstance(tree, list) else []:
        _spoil(value)
    if isinstance(tree, dict):
        tree.clear()
        tree["spoiled"] = True
    elif isinstance(tree, list):
        tree[:] = ["spoiled"]


@given(files(), queries, st.data())
def test_the_order_of_files_and_mappings_changes_nothing(trees: dict[str, Any], query: Query, data: st.DataObject) -> None:
    first = resolve(query, from_folder(trees), explain=True)
    second = resolve(query, from_folder(_reordered(trees, data)), explain=True)
    assert formats.to_yaml(first.to_tree(context=True)) == formats.to_yaml(second.to_tree(context=True))


@given(files(), queries)
def test_merging_again_changes_nothing(trees: dict[str, Any], query: Query) -> None:
    """Overlays that say once more what they say already, as a copy in the same file."""
    once = resolve(query, from_folder(trees), explain=True)
    doubled = {
        path: [item for layer in (tree if isinstance(tree, list) else [tree]) for item in (layer, copy.deepcopy(layer))]
        if path.startswith("overlays/")
        else tree
        for path, tree in trees.items()
    }
    twice = resolve(query, from_folder(doubled), explain=True)
    assert _readings(once) == _readings(twice)
    assert [str(c.value) for c in once.constraints] == [str(c.value) for c in twice.constraints]
    assert once.components == twice.components


@given(files(), queries)
def test_a_recipe_laid_over_itself_is_itself(trees: dict[str, Any], query: Query) -> None:
    recipe = resolve(query, from_folder(trees), explain=True)
    tree = recipe.to_tree()
    layer = {
        "key": {"intent": "again"},
        "measurements": tree["measurements"],
        "constraints": tree.get("constraints", []),
        "components": {c["id"]: {"version": c["version"], "values": c.get("values", {})} for c in tree.get("components", [])},
    }
    again = resolve(Query(**{**query.fields(), "intent": "again"}), from_folder({**trees, "overlays/zz.yaml": layer}), explain=True)
    mine, theirs = _readings(recipe), _readings(again)
    # Keys that ask for the intent of the query no longer apply; what the recipe said stands all the same.
    assert {path: theirs[path] for path in mine} == mine


@given(files(), queries)
def test_nothing_handed_out_reaches_the_store(trees: dict[str, Any], query: Query) -> None:
    store = from_folder(trees)
    untouched = resolve(query, from_folder(copy.deepcopy(trees)), explain=True)
    recipe = resolve(query, store, explain=True)
    _spoil(recipe.to_tree(context=True))
    for measurement in recipe.measurements:
        for subtype in measurement.subtypes:
            _spoil(subtype.data)
            _spoil(subtype.context)
    for component in recipe.components:
        _spoil(component.values)
    for steps in recipe.history.values():
        for step in steps:
            _spoil(step.value)
    recipe.history.clear()
    # Nor does what the store was made of.
    _spoil(trees)
    assert resolve(query, store, explain=True) == untouched


@given(files(), queries)
def test_each_reading_is_what_the_last_layer_in_order_says(trees: dict[str, Any], query: Query) -> None:
    """The rule, written down once more: fewer fields first, ties by file, then by position; the last one stands.

    What a layer removes it removes from those before it, and not from itself.
    """
    matching: list[tuple[int, str, int, dict[str, Any]]] = [(-1, "", 0, trees["base.yaml"])]
    for path, tree in trees.items():
        if path.startswith("overlays/"):
            for i, layer in enumerate(tree if isinstance(tree, list) else [tree]):
                key = Query(**layer["key"])
                if query.matches(key):
                    matching.append((len(key.fields()), path, i, layer))
    types, expected = {"os": "OS", "k8s": "K8s"}, dict[str, object]()
    for *_, layer in sorted(matching, key=lambda item: item[:3]):
        readings = [
            (f"{types[measurement['type'].lower()]}.{subtype['subtype']}.{key}", value)
            for measurement in layer["measurements"]
            for subtype in measurement["subtypes"]
            for key, value in subtype["data"].items()
        ]
        expected.update(sorted(readings, key=lambda reading: reading[1] is not None))
    recipe = resolve(query, from_folder(trees), explain=True)
    assert _readings(recipe) == {path: value for path, value in expected.items() if value is not None}
    assert {path for path in recipe.history if not path.startswith(("constraints.", "components."))} == set(expected)


@given(files(), queries)
def test_what_a_layer_removes_is_as_if_no_layer_before_it_had_set_it(trees: dict[str, Any], query: Query) -> None:
    """Of each line only the steps after its last removal count, and the removal stays in its history."""
    recipe = resolve(query, from_folder(trees), explain=True)
    limits = {f"constraints.{constraint.name}": constraint.value for constraint in recipe.constraints}
    lines = {**_readings(recipe), **limits}
    for path, steps in recipe.history.items():
        if path.startswith("components."):
            continue
        values = [step.value for step in steps]
        counting = values[len(values) - values[::-1].index(None) :] if None in values else values
        assert (path in lines) == bool(counting)
        story = line_history(recipe, path)
        assert [layer["value"] for layer in story["layers"]] == values
        assert [layer.get("removes", False) for layer in story["layers"]] == [value is None for value in values]
        assert (story["value"] is None) == (path not in lines)
        if path in limits:
            assert limits[path].is_equivalent(functools.reduce(_both, map(parse_expression, counting)))
            assert [layer["replaced"] for layer in story["layers"]].count(False) == len(counting) + (None in values)


def _both(left: Expression, right: Expression) -> Expression:
    both = left.intersect(right)
    assert both is not None
    return both


@given(files(), queries)
@settings(max_examples=examples(50))
def test_a_recipe_comes_back_from_yaml_and_json(trees: dict[str, Any], query: Query) -> None:
    tree = resolve(query, from_folder(trees), explain=True).to_tree(context=True)
    assert formats.from_text(formats.to_yaml(tree), "recipe.yaml") == tree
    assert formats.from_text(formats.to_json(tree), "recipe.json") == tree
