"""From a query to a recipe: which layers apply, what they say together, and what is said of what is not known."""

from __future__ import annotations

import re
from typing import Any

import pytest

from eidos import formats
from eidos.errors import InvalidInput
from eidos.model.query import Query
from eidos.model.snapshot import Snapshot
from eidos.recipe.coverage import covered
from eidos.recipe.lazy_parts import Overlays, loaded
from eidos.recipe.lint.combinations import samples
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, from_folder, shipped_store
from eidos.wording import list_words
from eidos.workflow import make_recipe

CATALOG = {
    "os": [{"name": "ubuntu", "detect": ["ubuntu"]}, {"name": "rhel", "detect": ["rhel"]}],
    "service": [
        {"name": "eks", "detect": {"provider": ["aws"], "suffix": ["eks"]}},
        {"name": "aks", "detect": {"provider": ["azure"]}},
        {"name": "oke", "detect": {"provider": ["oci"]}},
    ],
    "gpu": [{"name": "h100", "detect": ["H100"]}, {"name": "h200", "detect": ["H200"]}],
    "intent": [{"name": "training"}, {"name": "inference"}],
}
CHARTS = {"components": [{"id": "cert-manager", "chart": "c", "repository": "https://charts.example.com", "version": "v1.0.0"}]}


def store(*overlays: dict[str, Any], **files: Any) -> Store:
    """A store with these overlays, in files a, b, c, …"""
    trees: dict[str, Any] = {"catalog.yaml": CATALOG, "components.yaml": CHARTS}
    trees.update({f"overlays/{'abcdefgh'[i]}.yaml": overlay for i, overlay in enumerate(overlays)})
    return from_folder({**trees, **files})


def grub(**data: object) -> list[Any]:
    return [{"type": "OS", "subtypes": [{"subtype": "grub", "data": data}]}]


def readings(recipe: Any) -> dict[str, object]:
    return {f"{m.type}.{s.name}.{key}": value for m in recipe.measurements for s in m.subtypes for key, value in s.data.items()}


def snapshot(**facts: dict[str, Any]) -> Snapshot:
    types = [{"type": n.partition("_")[0], "subtypes": [{"subtype": n.partition("_")[2], "data": d}]} for n, d in facts.items()]
    return Snapshot.from_tree({"kind": "Snapshot", "measurements": types}, "test")


@pytest.mark.parametrize("osv", ["24.04", "24.10", "22.04", "9.0", "2023", "08.10"])
def test_a_version_comes_back_as_it_was_written(osv: str) -> None:
    recipe = make_recipe({"os": "ubuntu", "osv": osv}, store=store({"key": {"os": "ubuntu", "osv": osv}}), explain=True)
    assert recipe.request.osv == osv
    assert f'osv: "{osv}"' in formats.to_yaml(recipe.to_tree())
    assert recipe.rules[-1] == f"overlays/a.yaml: os=ubuntu, osv={osv}"


def test_both_modes_write_a_complete_document() -> None:
    requested = make_recipe({"gpu": "h100"}, explain=True)
    detected = make_recipe(snapshot=snapshot(GPU_smi={"gpu.model": "NVIDIA H100 80GB HBM3"}), explain=True)
    for recipe in (requested, detected, make_recipe()):
        tree = recipe.to_tree()
        assert list(tree)[:6] == ["kind", "apiVersion", "metadata", "request", "matchedRules", "measurements"]
        assert (tree["kind"], tree["apiVersion"]) == ("Recipe", "recipe.dgxc.io/v1")
        assert tree["metadata"]["recipe-version"]
        assert tree["metadata"]["recipe-timestamp"].endswith("T00:00:00Z")
    assert requested.to_tree() == detected.to_tree()


def test_what_is_reported_is_what_was_applied() -> None:
    data = shipped_store()
    for fields in (
        {"service": "aks", "k8s": "1.31", "gpu": "h100", "intent": "training"},
        {"gpu": "gb200", "service": "eks", "os": "ubuntu"},
    ):
        query = Query(**fields)
        recipe = resolve(query, data, explain=True)
        reported = [rule.rpartition(": ")[0] for rule in recipe.rules]
        assert reported == ["base.yaml", *(layer.name for layer in data.overlays if query.matches(layer.key))]
        used = {step.layer for steps in recipe.history.values() for step in steps}
        assert used <= set(reported)
        # And a layer that was not reported changes nothing when it is gone.
        fewer = Store(data.base, Overlays(map(loaded, data.matching(query))), data.catalog, data.charts, data.digest)
        assert readings(resolve(query, fewer, explain=True)) == readings(recipe)
        assert resolve(query, fewer, explain=True).components == recipe.components


def is_for(rule: str, field: str, word: str) -> bool:
    """Whether the key in a line of matchedRules has that word, alone or in a list."""
    listed = re.search(rf"\b{field} in \(([^)]*)\)", rule)
    return f"{field}={word}" in rule or (listed is not None and word in listed[1].split(", "))


def test_a_generic_answer_says_so_whatever_else_matches() -> None:
    always = {"key": {"intent": "any"}, "measurements": grub(a=1)}
    data = store(always, {"key": {"service": "eks", "gpu": "h100"}, "measurements": grub(b=1)})
    recipe = make_recipe({"service": "oke"}, store=data, explain=True)
    assert readings(recipe) == {"OS.grub.a": 1}
    assert recipe.generic == ("service",)
    assert recipe.to_tree()["metadata"]["recipe-uncovered"] == "service"
    assert recipe.to_tree()["generic"] == ["service"]
    # A layer for another service and a GPU that was not asked for is not near.
    assert recipe.warnings == ("nothing specific to service 'oke' is known",)


def test_a_service_that_is_covered_only_with_a_gpu_is_not_covered_without() -> None:
    data = store({"key": {"service": "oke", "gpu": "h100", "os": "ubuntu"}, "measurements": grub(a=1)})
    recipe = make_recipe({"service": "oke"}, store=data, explain=True)
    assert recipe.generic == ("service",)
    assert "the nearest covered query is os=ubuntu, service=oke, gpu=h100" in recipe.warnings[0]
    covered_one = make_recipe({"service": "oke", "gpu": "h100", "os": "ubuntu"}, store=data, explain=True)
    assert (covered_one.generic, covered_one.warnings) == ((), ())


def test_every_service_and_gpu_that_we_ship_words_for_gets_more_than_the_base_or_says_so() -> None:
    data = shipped_store()
    for field in ("service", "gpu"):
        for word in data.catalog.names(field):
            recipe = make_recipe({field: word}, store=data, explain=True)
            assert any(is_for(rule, field, word) for rule in recipe.rules) != (field in (recipe.generic or ()))
            assert any("is left out" not in warning for warning in recipe.warnings) == bool(recipe.generic)


@pytest.mark.parametrize(("floor", "requested"), [(">= 1.34", ">= 1.32.4"), (">= 1.32.4", ">= 1.34")])
def test_a_floor_is_never_loosened(floor: str, requested: str) -> None:
    data = store(
        {"key": {"service": "aks"}, "constraints": [{"name": "K8s.server.version", "value": floor, "why": f"because {floor}"}]},
        {
            "key": {"service": "aks", "gpu": "h100"},
            "constraints": [{"name": "K8s.server.version", "value": requested, "why": f"because {requested}"}],
        },
    )
    (constraint,) = make_recipe({"service": "aks", "gpu": "h100"}, store=data, explain=True).constraints
    assert str(constraint.value) == ">= 1.34"
    assert constraint.why == "because >= 1.34"


def test_no_shipped_layer_loosens_what_another_one_asks_for_but_by_removing_it() -> None:
    data = shipped_store()
    for query in (query for layer in data.overlays for query in samples(layer.key)):
        merged = {constraint.name: constraint.value for constraint in resolve(query, data, explain=True).constraints}
        layers = (data.base, *data.matching(query))
        removed = {removal.target[-1]: i for i, applied in enumerate(layers) for removal in applied.removals if len(removal.target) == 2}
        for i, applied in enumerate(layers):
            for constraint in applied.constraints:
                if i < removed.get(constraint.name, 0):
                    continue
                both = merged[constraint.name].intersect(constraint.value)
                assert both is not None
                assert both.is_equivalent(merged[constraint.name])


@pytest.mark.parametrize(
    ("fields", "message"), [({"gpus": "h100"}, "unknown query field 'gpus'"), ({"k8s": 1.3}, "k8s: expected text, found 1.3")]
)
def test_a_program_with_an_invalid_query_gets_an_error(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_recipe(fields)


RECIPE_LIST = "'eidos recipe list'"


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("gpu", "h1000", "--gpu: invalid value 'h1000'; expected one of " + list_words(shipped_store().catalog.names("gpu"), RECIPE_LIST)),
        ("k8s", "1.x.4", "--k8s: invalid version '1.x.4': 'x' is not a number"),
    ],
)
def test_a_wrong_word_or_version_is_named_with_its_flag(field: str, text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        shipped_store().catalog.parse_query({field: text}, {field: f"--{field}"})
    assert caught.value.message == message
    assert field != "gpu" or caught.value.hint == "did you mean 'h100'?"


@pytest.mark.parametrize("fields", [{}, {"gpu": ""}, {"gpu": "any", "os": "ANY", "k8s": " "}])
def test_no_criteria_give_the_base(fields: dict[str, str]) -> None:
    recipe = make_recipe(fields, explain=True)
    assert recipe.rules == ("base.yaml: any",)
    assert recipe.request == Query()


def test_words_are_taken_in_any_case_and_under_their_other_names() -> None:
    assert make_recipe({"gpu": " H100 ", "os": "amzn"}, explain=True).request == Query(gpu="h100", os="amazonlinux")


def test_fields_that_a_snapshot_lacks_are_warned_of() -> None:
    recipe = make_recipe(snapshot=snapshot(OS_release={"ID": "ubuntu", "VERSION_ID": "24.04"}), explain=True)
    assert recipe.request == Query(os="ubuntu", osv="24.04")
    assert any("no GPU readings" in warning for warning in recipe.warnings)
    assert any("no K8s readings" in warning for warning in recipe.warnings)


def test_the_list_tells_what_has_layers_of_its_own_from_what_has_none() -> None:
    tree = covered(store({"key": {"gpu": "h100"}, "measurements": grub(a=1)}))
    layers = {entry["name"]: entry["layers"] for entry in tree["catalog"]["gpu"]}
    assert layers == {"h100": 1, "h200": 0}


def test_every_line_can_be_traced_to_its_layer_and_source() -> None:
    for fields in ({"gpu": "gb200", "service": "eks", "intent": "training", "os": "ubuntu", "osv": "24.04"}, {}):
        recipe = make_recipe(fields, explain=True)
        explained = {entry["path"]: entry for entry in recipe.to_tree()["explanation"]}
        set_readings = readings(recipe)
        assert set(explained) >= set(set_readings)
        for path, reading in set_readings.items():
            assert explained[path]["value"] == reading
        for constraint in recipe.constraints:
            entry = explained.pop(f"constraints.{constraint.name}")
            assert entry["value"] == str(constraint.value)
            assert all(step["layer"] and step["sources"] for step in entry["layers"])
        for entry in explained.values():
            assert entry["layer"]
            assert entry["sources"]
        assert {f"components.{c.id}.enabled" for c in recipe.components} & set(explained)
        contexts = {f"{m.type}.{s.name}.{key}" for m in recipe.measurements for s in m.subtypes for key in s.context}
        assert contexts == set(set_readings)


def test_what_a_layer_replaced_is_explained_newest_first() -> None:
    data = store(
        {"key": {"gpu": "h100"}, "measurements": grub(a=1)},
        {"key": {"gpu": "h100", "intent": "training"}, "measurements": grub(a=2)},
        **{"base.yaml": {"measurements": grub(a=0)}},
    )
    (entry,) = make_recipe({"gpu": "h100", "intent": "training"}, store=data, explain=True).to_tree()["explanation"]
    assert entry == {
        "path": "OS.grub.a",
        "value": 2,
        "layer": "overlays/b.yaml",
        "replaced": [{"layer": "overlays/a.yaml", "value": 1}, {"layer": "base.yaml", "value": 0}],
    }
