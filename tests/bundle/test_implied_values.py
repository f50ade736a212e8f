"""Values that follow from others: what is set, what is only warned of, and that nothing of the caller's is changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.bundle.bundle_options import BundleOptions, ComponentValues, parse_assignment
from eidos.bundle.chart_values import UNSET, apply_implications, get_value, requested_values
from eidos.model.chart import Implication
from eidos.model.recipe import Component, Recipe
from eidos.model.values_schema import parse_path
from eidos.workflow import make_recipe
from tests.support.bundle_files import build, load_yaml, shipped_charts

CHARTS = shipped_charts()[0]

GPUS_BY_DRA = "nvidia-dra-driver-gpu:resources.gpus.enabled=true"

#: Every implication of the data: component, value, sets that make it hold, its value then (None: only a warning), and what the warning has.
IMPLIED = [
    ("gpu-operator", "migManager.enabled", ("gpu-operator:mig.strategy=mixed",), True, "nvidia.com/mig.config"),
    ("gpu-operator", "migManager.enabled", ("gpu-operator:mig.strategy=single",), True, "nvidia.com/mig.config"),
    (
        "gpu-operator",
        "driver.rdma.enabled",
        ("gpu-operator:driver.enabled=false", "gpu-operator:driver.rdma.enabled=true"),
        None,
        "nvidia_peermem",
    ),
    ("gpu-operator", "gdrcopy.enabled", ("gpu-operator:driver.enabled=false", "gpu-operator:gdrcopy.enabled=true"), None, "GDRCopy runs"),
    ("gpu-operator", "gds.enabled", ("gpu-operator:driver.enabled=false", "gpu-operator:gds.enabled=true"), None, "GPUDirect Storage runs"),
    ("nvidia-dra-driver-gpu", "nvidiaDriverRoot", ("gpu-operator:driver.enabled=false",), "/", "/run/nvidia/driver"),
    ("nvsentinel", "labeler.assumeDriverInstalled", ("gpu-operator:driver.enabled=false",), True, "the Pod of the driver"),
    ("gpu-operator", "devicePlugin.enabled", (GPUS_BY_DRA,), False, "must not advertise the same GPUs"),
    ("nvidia-dra-driver-gpu", "gpuResourcesEnabledOverride", (GPUS_BY_DRA,), True, "the chart refuses it otherwise"),
]
QUERY = {"gpu": "gb200", "service": "self-managed", "os": "ubuntu", "osv": "24.04", "intent": "training"}
OPERATOR = ("gpu-operator", "nvidia-dra-driver-gpu", "nvsentinel")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    made = make_recipe(QUERY, components=OPERATOR)
    tree = made.to_tree()
    for each in tree["components"]:  # what recipes without a driver of the host say
        if each["id"] == "nvidia-dra-driver-gpu":
            each.setdefault("values", {})["nvidiaDriverRoot"] = "/run/nvidia/driver"
    for measurement in tree["measurements"]:
        for subtype in measurement["subtypes"]:
            if subtype["subtype"] == "config":
                subtype["data"].update({"mig": False, "rdma": False})
    return Recipe.from_tree(tree, "recipe.yaml")


def made(recipe: Recipe, id: str, *sets: str) -> tuple[Any, list[str]]:
    bundle = build(recipe, components=OPERATOR, sets=sets)
    return load_yaml(bundle.files[f"{id}/values.yaml"]), [text for text in bundle.warnings if text.startswith(f"{id}: ")]


def value_at(values: Any, path: str) -> Any:
    return get_value(values, parse_path(path))


@pytest.mark.parametrize(("id", "path", "sets", "value", "words"), IMPLIED)
def test_what_follows_is_set_or_warned_of(recipe: Recipe, id: str, path: str, sets: tuple[str, ...], value: Any, words: str) -> None:
    before, quiet = made(recipe, id)
    after, warnings = made(recipe, id, *sets)
    (sentence,) = [text for text in warnings if words in text and f"{path}" in text]
    assert sentence not in quiet
    if value is None:
        assert "has no effect" in sentence and value_at(after, path) is True
    else:
        assert value_at(before, path) != value and value_at(after, path) == value
        assert sentence.startswith(f"{id}: {path} is set to {str(value).lower() if isinstance(value, bool) else value}, because ")


def test_every_implication_of_the_data_is_tried() -> None:
    stated = {(chart.id, implication.path) for chart in CHARTS.values() for implication in chart.implies}
    assert stated == {(id, path) for id, path, *_ in IMPLIED}


@pytest.mark.parametrize("service", ["aks", "gke", "oke", "eks"])
def test_a_driver_in_a_pod_has_its_own_root(service: str) -> None:
    """Where the recipe takes the driver of the host, and the caller one of the GPU Operator."""
    recipe = make_recipe({**QUERY, "service": service}, components=OPERATOR[:2])
    bundle = build(recipe, components=OPERATOR[:2], sets=("gpu-operator:driver.enabled=true",))
    assert load_yaml(bundle.files["nvidia-dra-driver-gpu/values.yaml"])["nvidiaDriverRoot"] == "/run/nvidia/driver"
    assert any("nvidiaDriverRoot is set to /run/nvidia/driver" in text for text in bundle.warnings) == (service != "eks")


@pytest.mark.parametrize(("sets", "value"), [(("gpu-operator:driver.enabled=false",), False), ((), None)])
def test_where_a_service_advertises_the_gpus_the_plugin_is_off(sets: tuple[str, ...], value: Any) -> None:
    recipe = make_recipe({"gpu": "h100", "service": "oke", "os": "ubuntu", "osv": "22.04"})
    tree = recipe.to_tree()
    for each in tree["components"]:
        if each["id"] == "gpu-operator":
            each["values"] = {}
    bundle = build(Recipe.from_tree(tree, "recipe.yaml"), components=("gpu-operator",), sets=sets)
    assert value_at(load_yaml(bundle.files["gpu-operator/values.yaml"]), "devicePlugin.enabled") is value
    assert any("NvidiaGpuPlugin" in text for text in bundle.warnings) == bool(sets)


@pytest.mark.parametrize(
    ("id", "path", "contrary", "sets"),
    [
        ("gpu-operator", "migManager.enabled", "false", ("gpu-operator:mig.strategy=mixed",)),
        ("nvidia-dra-driver-gpu", "nvidiaDriverRoot", "/run/nvidia/driver", ("gpu-operator:driver.enabled=false",)),
        ("nvsentinel", "labeler.assumeDriverInstalled", "false", ("gpu-operator:driver.enabled=false",)),
    ],
)
def test_what_the_caller_set_stays_and_is_warned_of(recipe: Recipe, id: str, path: str, contrary: str, sets: tuple[str, ...]) -> None:
    values, warnings = made(recipe, id, *sets, f"{id}:{path}={contrary}")
    assert str(value_at(values, path)).lower() == contrary
    assert any(text.startswith(f"{id}: {path} is {contrary}, but ") for text in warnings)


def test_a_condition_on_a_component_that_is_not_in_the_bundle_does_not_hold() -> None:
    implication = Implication("a", (UNSET,), 1, {"other.b": (UNSET,)}, "why")
    values: dict[str, Any] = {}
    assert list(apply_implications((implication,), "mine", values, {}, {})) == [] and values == {}
    assert list(apply_implications((implication,), "mine", values, {}, {"other": {}})) == [
        "mine: a is set to 1, because other.b is unset: why"
    ]
    assert values == {"a": 1}


def test_all_conditions_have_to_hold() -> None:
    implication = Implication("a", ("1",), 2, {"other.b": ("x", "y"), "mine.c": ("true",)}, "why")
    for b, c, expected in (("x", True, 2), ("y", True, 2), ("z", True, 1), ("x", False, 1)):
        values: dict[str, Any] = {"a": 1, "c": c}
        assert len(list(apply_implications((implication,), "mine", values, {}, {"other": {"b": b}}))) == (expected == 2)
        assert values["a"] == expected


def test_what_is_requested_is_the_recipe_s_and_over_it_the_caller_s() -> None:
    component = Component("a", "chart", "https://charts.example.com", "1", "a", (), {"x": {"y": 1, "z": 2}}, "")
    options = BundleOptions(
        assignments=(parse_assignment("a:x.y=3"), parse_assignment("b:x.y=9"), parse_assignment("a:x[=1")),
        values=(ComponentValues("a", {"x": {"y": 2, "w": 5}}), ComponentValues("b", {"q": 1})),
    )
    assert requested_values(component, options) == ({"x": {"y": "3", "z": 2, "w": 5}}, {"x": {"y": "3", "w": 5}})
    assert component.values == {"x": {"y": 1, "z": 2}}


SCALARS = st.one_of(st.booleans(), st.integers(0, 2), st.sampled_from(["true", "false", "mixed", ""]), st.none())
TREES = st.dictionaries(st.sampled_from("abc"), st.one_of(SCALARS, st.dictionaries(st.sampled_from("abc"), SCALARS)), max_size=3)
TEXTS = st.lists(st.sampled_from([UNSET, "true", "false", "mixed", "0", "1"]), max_size=3).map(tuple)


@given(TREES, TREES, TREES, st.sampled_from(["a", "a.b", "c"]), TEXTS, st.one_of(st.none(), st.booleans()), TEXTS)
def test_applying_twice_changes_nothing_and_never_the_caller_s(
    values: dict[str, Any],
    caller: dict[str, Any],
    other: dict[str, Any],
    path: str,
    was: tuple[str, ...],
    to: bool | None,
    texts: tuple[str, ...],
) -> None:
    if "." in path and not isinstance(values.get("a", {}), dict):
        return
    implication = Implication(path, was, to, {"other.b": texts}, "why")
    own = get_value(caller, parse_path(path))
    if own is not None:
        from eidos.bundle.chart_values import set_value

        set_value(values, parse_path(path), own)
    before = repr(values)
    sentences = list(apply_implications((implication,), "mine", values, caller, {"other": other}))
    after = repr(values)
    assert len(sentences) <= 1 and (before == after or sentences)
    if own is not None or to is None:
        assert before == after
    again = list(apply_implications((implication,), "mine", values, caller, {"other": other}))
    assert repr(values) == after and len(again) <= len(sentences)
