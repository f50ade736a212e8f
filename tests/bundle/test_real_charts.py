"""Bundles before the real charts: unpacked as ``<component>/<version>/Chart.yaml`` below the folder that ``EIDOS_TEST_CHARTS`` names.

Helm renders each with the values of bundles. No value is one that the chart does not have, the images that are rendered are those that the
bundle lists, and with a mirror every one of them comes from it. A table says which charts were there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from eidos.model.recipe import Recipe
from tests.chart_grid import MIRROR, Case, check_grid, problems_of, recipes_of_grid
from tests.support.bundle_files import RECIPES, recipe

pytestmark = pytest.mark.slow


def check(recipes: Iterable[Recipe], tools: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = os.environ.get("EIDOS_TEST_CHARTS")
    if not folder:
        pytest.skip("EIDOS_TEST_CHARTS names no folder of charts")
    table, problems = check_grid(recipes, Path(folder), tools["helm"])
    with capsys.disabled():
        print(f"\n{table}")
    assert problems == []


def test_charts_render_with_the_values_and_images_of_golden_bundles(tools: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    check((Recipe.from_tree(recipe(path), "recipe.yaml") for path in RECIPES), tools, capsys)


@pytest.mark.exhaustive(sample=0)
@pytest.mark.timeout(1800)
def test_charts_render_with_the_values_and_images_of_the_grid(tools: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    check(recipes_of_grid(Counter()), tools, capsys)


A, B = "registry.example.com/a:1", "registry.example.com/b:1"


@pytest.mark.parametrize(
    ("rendered", "pulled", "is_mirrored", "expected"),
    [
        ({"Pod x.spec.a": A}, {A}, False, []),
        ({"Pod x.spec.a": A}, {A}, True, [f"not from the mirror: {A} of Pod x.spec.a"]),
        ({"Pod x.spec.a": f"{MIRROR}/a:1"}, {f"{MIRROR}/a:1"}, True, []),
        ({"Pod x.spec.a": A, "Pod x.spec.b": B}, {A}, False, [f"not listed: {B} of Pod x.spec.b"]),
        ({"Pod x.spec.a": A}, {A, B}, False, [f"listed, not rendered: {B}"]),
        ({"ClusterPolicy x.spec.driver": A}, {f"{A}-ubuntu24.04"}, False, []),
        ({"ClusterPolicy x.spec.toolkit": A}, set(), False, [f"not listed: {A} of ClusterPolicy x.spec.toolkit"]),
    ],
)
def test_a_difference_is_noticed(rendered: dict[str, str], pulled: set[str], is_mirrored: bool, expected: list[str]) -> None:
    case = Case("a", "1", b"", frozenset(pulled), frozenset(), frozenset(), is_mirrored, "")
    assert problems_of(case, rendered) == expected
