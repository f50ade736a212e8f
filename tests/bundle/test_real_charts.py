"""Bundles before the real charts: unpacked as ``<component>/<version>/Chart.yaml`` below the folder that ``EIDOS_TEST_CHARTS`` names.

Helm renders each with the values of the golden recipes' bundles. No value is one that the chart does not have, every image that is rendered
is listed, and with a mirror every one of them comes from it. A table says which charts were there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from eidos.model.bundle import Bundle
from eidos.model.recipe import Recipe
from eidos.model.values_schema import ValuesSchema
from tests import chart_data
from tests.support.bundle_files import RECIPES, build, load_yaml, recipe

pytestmark = pytest.mark.slow

MIRROR = "mirror.example.com/x"

#: Images of charts that no value names.
FIXED = ("kubeflow/trainer/dataset-initializer", "kubeflow/trainer/model-initializer")


@pytest.fixture(scope="module")
def charts() -> Path:
    folder = os.environ.get("EIDOS_TEST_CHARTS")
    if not folder:
        pytest.skip("EIDOS_TEST_CHARTS names no folder of charts")
    return Path(folder)


def images_of(bundle: Bundle, id: str) -> set[str]:
    """The images of one component that its list has, without optional ones."""
    entries = json.loads(bundle.files["images.json"])["images"]
    return {entry["image"] for entry in entries if entry["component"] == id and "optional" not in entry}


@pytest.mark.parametrize("registry", ["", MIRROR], ids=["plain", "mirror"])
def test_charts_render_with_the_values_and_images_of_bundles(
    charts: Path, registry: str, tools: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rendered: dict[tuple[str, str, bytes], int] = {}
    absent: set[tuple[str, str]] = set()
    for path in RECIPES:
        bundle = build(Recipe.from_tree(recipe(path), "recipe.yaml"), registry=registry)
        for entry in recipe(path)["components"]:
            id, version = entry["id"], str(entry.get("version", ""))
            chart = charts / id / version
            if not entry.get("chart") or not (chart / "Chart.yaml").exists():
                absent.update([(id, version)] if entry.get("chart") else ())
                continue
            values = bundle.files[f"{id}/values.yaml"]
            pulled = images_of(bundle, id)
            key = (id, version, values + b"\n".join(sorted(image.encode() for image in pulled)))
            if key in rendered:
                continue
            tree = load_yaml(values) or {}
            ValuesSchema(chart_data.keys_of(chart)).check(tree, f"{path.stem}: {id}")
            documents = chart_data.render(tools["helm"], chart, chart_data.merged(chart_data.REQUIRED.get(id, {}), tree))
            assert documents is not None, (path.stem, id)
            found = chart_data.images_in(documents)
            rendered[key] = len(found)
            for where, image in found.items():
                if where.partition(".spec.")[2] in chart_data.OF_SYSTEM:
                    continue  # not for every system is there a container
                if where.startswith("ClusterPolicy "):  # it names the operands that are off, too, and no system
                    name = image.partition(":")[0].replace(f"{MIRROR}/", "")
                    assert name in bundle.files["images.txt"].decode(), (path.stem, where, image)
                else:
                    assert image in pulled, (path.stem, id, where, image)
                if registry and not any(name in image for name in FIXED):
                    assert image.startswith(f"{MIRROR}/"), (path.stem, id, where, image)
    with capsys.disabled():
        for id, version in sorted({key[:2] for key in rendered}):
            print(f"\n{id:28} {version:12} {sum(key[:2] == (id, version) for key in rendered)} renders", end="")
        print(f"\nnot there: {', '.join(f'{id} {version}' for id, version in sorted(absent)) or 'none'}")
    assert rendered
