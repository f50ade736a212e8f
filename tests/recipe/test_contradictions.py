"""What a recipe states in two places: both agree, or the recipe is not made and both places are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.bundle import template_sets
from eidos.errors import InvalidData
from eidos.model.chart import Chart
from eidos.model.measurement import Measurement, Subtype
from eidos.model.query import Query
from eidos.model.recipe import Recipe
from eidos.model.recipe_consistency import agrees, disagreements, version_from_readings
from eidos.recipe.charts import load_charts
from eidos.recipe.lint import ERROR, lint_trees
from eidos.recipe.resolver import Contradiction, resolve
from eidos.recipe.store import from_folder, open_store
from eidos.semver import parse_version
from eidos.templates.tree_template import placeholders
from tests.support.shipped import shipped_trees

CARRIED = shipped_trees()
SOURCE = [{"id": "board", "document": "Our change board", "version": "1", "date": "2026-07-01"}]


def pin(**parts: Any) -> dict[str, Any]:
    """An overlay for EKS; ``readings`` and ``constraints`` by path, ``components`` as in a layer."""
    measurements = []
    for path, value in parts.get("readings", {}).items():
        kind, subtype, key = path.split(".", 2)
        measurements.append({"type": kind, "subtypes": [{"subtype": subtype, "data": {key: value}, "context": {key: "Why."}}]})
    constraints = [{"name": path, "value": text, "why": "Why.", "source": "board"} for path, text in parts.get("constraints", {}).items()]
    components = {id: {"why": "Why.", "source": "board", **choice} for id, choice in parts.get("components", {}).items()}
    return {"key": {"service": "eks"}, "source": SOURCE, "measurements": measurements, "constraints": constraints, "components": components}


#: An overlay → the two places that contradict each other, with what they state and where.
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "the chart's version, by its image": (
        {"readings": {"K8s.image.gpu-operator": "v25.10.1"}},
        "components.gpu-operator.version: v26.7.0 (base.yaml)",
        "K8s.image.gpu-operator: v25.10.1 (overlays/x-pin.yaml)",
    ),
    "the image, by the chart's version": (
        {"components": {"gpu-operator": {"version": "v25.10.1"}}},
        "components.gpu-operator.version: v25.10.1 (overlays/x-pin.yaml)",
        "K8s.image.gpu-operator: v26.7.0 (base.yaml)",
    ),
    "another image of the chart": (
        {"readings": {"K8s.image.gpu-operator-validator": "v25.10.1"}},
        "components.gpu-operator.version: v26.7.0 (base.yaml)",
        "K8s.image.gpu-operator-validator: v25.10.1 (overlays/x-pin.yaml)",
    ),
    "a version of the entry of a chart": (
        {"readings": {"K8s.image.network-operator": "v26.4.1"}, "components": {"network-operator": {}}},
        "components.network-operator.version: 26.1.2 (components.yaml)",
        "K8s.image.network-operator: v26.4.1 (overlays/x-pin.yaml)",
    ),
    "an operand": (
        {"components": {"gpu-operator": {"values": {"dcgm": {"version": "4.4.2-1-ubuntu22.04"}}}}},
        "components.gpu-operator.values.dcgm.version: 4.4.2-1-ubuntu22.04 (overlays/x-pin.yaml)",
        "K8s.image.dcgm: 4.6.0-1-ubuntu24.04 (base.yaml)",
    ),
    "a switch": (
        {"components": {"gpu-operator": {"values": {"cdi": {"enabled": False}}}}},
        "components.gpu-operator.values.cdi.enabled: false (overlays/x-pin.yaml)",
        "K8s.config.cdi: true (base.yaml)",
    ),
    "the driver": (
        {"readings": {"GPU.smi.driver": "580.126.20"}, "components": {"gpu-operator": {"values": {"driver": {"version": "570.211.01"}}}}},
        "components.gpu-operator.values.driver.version: 570.211.01 (overlays/x-pin.yaml)",
        "GPU.smi.driver: 580.126.20 (overlays/x-pin.yaml)",
    ),
    "driver and image": (
        {"readings": {"GPU.smi.driver": "580.126.20", "K8s.image.driver": "580.105.08"}},
        "K8s.image.driver: 580.105.08 (overlays/x-pin.yaml)",
        "GPU.smi.driver: 580.126.20 (overlays/x-pin.yaml)",
    ),
    "driver and CUDA": (
        {"readings": {"GPU.smi.driver": "580.126.20", "GPU.smi.cuda-version": "13.1"}},
        "GPU.smi.cuda-version: 13.1 (overlays/x-pin.yaml)",
        "GPU.smi.driver: 580.126.20 (overlays/x-pin.yaml)",
    ),
    "a reading and its constraint": (
        {"readings": {"K8s.server.version": "1.31.2"}},
        "K8s.server.version: 1.31.2 (overlays/x-pin.yaml)",
        "constraints.K8s.server.version: ",
    ),
    "the chart's version and a constraint": (
        {"constraints": {"K8s.image.gpu-operator-validator": ">= 26.8"}},
        "components.gpu-operator.version: v26.7.0 (base.yaml)",
        "constraints.K8s.image.gpu-operator-validator: >= 26.8 (overlays/x-pin.yaml)",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_refused_with_both_locations(name: str) -> None:
    overlay, left, right = CONTRADICTIONS[name]
    store = from_folder({**CARRIED, "overlays/x-pin.yaml": pin(**overlay)})
    with pytest.raises(Contradiction) as raised:
        resolve(Query(service="eks"), store)
    assert raised.value.message.startswith(left)
    assert f" and {right}" in raised.value.message
    assert "contradict each other" in raised.value.message
    assert resolve(Query(service="gke"), store).components


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_lint_finds_the_same(name: str) -> None:
    overlay, *_ = CONTRADICTIONS[name]
    few = {file: tree for file, tree in CARRIED.items() if not file.startswith("overlays/") or file == "overlays/service-eks.yaml"}
    issues = lint_trees({**few, "overlays/x-pin.yaml": pin(**overlay)})
    reported = [issue for issue in issues if issue.rule in ("two-places", "two-versions", "cuda", "breaks-constraint")]
    assert reported
    assert {issue.severity for issue in reported} == {ERROR}
    assert any(issue.location.startswith("overlays/x-pin.yaml: ") for issue in reported), [str(issue) for issue in issues]


@pytest.mark.parametrize(
    "overlay",
    [
        {"readings": {"K8s.image.gpu-operator": "26.7.0"}},
        {"readings": {"K8s.image.gpu-operator": "v25.10.1"}, "components": {"gpu-operator": {"version": "v25.10.1"}}},
        {"readings": {"GPU.smi.driver": "580.126.20", "K8s.image.driver": "580.126.20-ubuntu24.04", "GPU.smi.cuda-version": "13.0"}},
        {
            "readings": {"GPU.smi.driver": "580.126.20", "GPU.smi.cuda-version": "13.0"},
            "components": {"gpu-operator": {"values": {"driver": {"version": 580}}}},
        },
        {"readings": {"K8s.image.network-operator": "v26.4.1"}},
    ],
)
def test_what_agrees_is_a_recipe(overlay: dict[str, Any]) -> None:
    assert resolve(Query(service="eks"), from_folder({**CARRIED, "overlays/x-pin.yaml": pin(**overlay)})).components


@pytest.mark.shared
def test_the_pin_of_the_cases(shared: Path) -> None:
    with pytest.raises(InvalidData, match=r"v26\.7\.0 \(base\.yaml\) and K8s\.image\.gpu-operator: v25\.10\.1 \(overlays/pin\.yaml\)"):
        resolve(Query(service="eks"), open_store(str(shared.parent / "cases/documents/pin-overlay")))


def test_each_image_and_setting_of_a_template_is_compared() -> None:
    """What the templates of a component take from readings, its entry names: a new placeholder cannot be forgotten."""
    charts, _ = load_charts(None)
    templates = template_sets.shipped_templates()
    checked = 0
    for id, chart in charts.items():
        if chart.readings:
            values = next(
                file for file in template_sets.read_template_set(templates, id, chart.version, "").files if file.target == "values.yaml"
            )
            names = {item.name for item in placeholders(templates.documents(values.template))}
            compared = {path for paths in chart.readings.values() for path in paths}
            expected = {f"K8s.{name}" for name in names if name.startswith(("image.", "config.")) and name != "config.kernel-module-type"}
            assert expected <= compared, id
            checked += len(expected)
    assert checked > 12


# The words themselves.


VERSIONS = st.lists(st.integers(0, 999), min_size=1, max_size=3).map(lambda numbers: ".".join(map(str, numbers)))


@given(VERSIONS, VERSIONS)
def test_agreement_is_symmetric_and_that_of_versions(left: str, right: str) -> None:
    assert agrees(left, right) == agrees(right, left)
    assert agrees(left, f"v{left}")
    shorter, longer = sorted((left, right), key=lambda text: text.count("."))
    assert agrees(left, right) == parse_version(longer).matches(parse_version(shorter))


@given(VERSIONS, st.sampled_from(["v1.2.3", "1.2.3"]))
def test_a_version_that_follows_from_a_reading_agrees_with_it(text: str, style: str) -> None:
    chart = Chart("a", "", "a", "https://charts.example.com", style, "a", readings={"version": ("K8s.image.a",)})
    recipe = Recipe("", "", "", Query(), (), (Measurement("K8s", (Subtype("image", {"a": f"v{text}"}),)),))
    version = version_from_readings(recipe, chart)
    assert agrees(version, text)
    assert version.startswith("v") == style.startswith("v")


@given(
    st.dictionaries(
        st.sampled_from(["driver", "cuda-version"]), st.text(max_size=8) | st.integers() | st.booleans() | st.floats(allow_nan=False)
    ),
    st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=3),
)
def test_any_reading_can_be_compared(data: dict[str, Any], cuda: list[tuple[str, str]]) -> None:
    recipe = Recipe("", "", "", Query(), (), (Measurement("GPU", (Subtype("smi", data),)),))
    assert all(item.left and item.right for item in disagreements(recipe, {}, cuda))
