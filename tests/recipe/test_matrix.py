"""The matrix of advice: what counts as advice of its own, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from eidos.cli.recipe_table import matrix_markdown, matrix_table
from eidos.recipe.coverage import BY_GPU, BY_SERVICE, GENERIC, NONE, OWN, advice_matrix, summary, table_rows
from eidos.recipe.store import Store, from_folder, shipped_store
from tests.support.shipped import shipped_trees

TREES = shipped_trees()
SOURCE = [{"id": "a", "document": "A", "version": "1", "date": "2026-03"}]


def layer(value: str = "1", source: Any = SOURCE, **key: Any) -> dict[str, Any]:
    data = {"subtype": "sysctl", "data": {"/proc/sys/vm/swappiness": value}}
    return {"key": key, "source": source, "measurements": [{"type": "OS", "subtypes": [data]}]}


def store(*overlays: dict[str, Any]) -> Store:
    others = {name: TREES[name] for name in ("catalog.yaml", "components.yaml", "machines.yaml", "rules.yaml")}
    return from_folder({"base.yaml": {}, **others, **{f"overlays/{i}.yaml": tree for i, tree in enumerate(overlays)}})


def advice(*overlays: dict[str, Any], gpu: str = "h100", service: str = "eks", intent: str = "training") -> tuple[str, str]:
    cells = advice_matrix(store(*overlays))
    return next(
        (cell["advice"], cell["newest"]) for cell in cells if (cell["gpu"], cell["service"], cell["intent"]) == (gpu, service, intent)
    )


@pytest.mark.parametrize(
    ("overlays", "kind"),
    [
        ([], GENERIC),
        ([layer(intent="training")], GENERIC),
        ([layer(service="eks")], BY_SERVICE),
        ([layer(service="eks"), layer(gpu="h100")], BY_GPU),
        ([layer(gpu=["a100", "h100"], service=["gke", "eks"])], OWN),
        ([layer(gpu="h100", service="eks", os="ubuntu", osv="24.04")], OWN),
        ([layer(machine="p5.48xlarge")], OWN),
        ([layer(machine=["bm.gpu.h100.8", "p5.48xlarge"])], OWN),
        ([layer(machine="bm.gpu.h100.8")], GENERIC),
        ([layer(gpu="h100", service="eks", intent="inference")], GENERIC),
        ([layer(gpu="h100", service="gke")], GENERIC),
        ([layer(gpu="h100", service="eks", source=[])], BY_GPU),
        # What a layer for both repeats is no advice of its own.
        ([layer(gpu="h100"), layer(gpu="h100", service="eks")], BY_GPU),
        ([layer(gpu="h100"), layer("2", gpu="h100", service="eks")], OWN),
        ([layer("2", service="eks", os="rhel"), layer("2", gpu="h100", service="eks")], OWN),
        ([layer("2", gpu="h100", service="eks"), layer(gpu="h100", service="eks", intent="training", source=[])], BY_GPU),
        ([{"key": {"gpu": "h100", "service": "eks"}, "source": SOURCE}], GENERIC),
    ],
)
def test_what_counts_as_advice_of_its_own(overlays: list[dict[str, Any]], kind: str) -> None:
    assert advice(*overlays)[0] == kind


def test_the_date_is_that_of_the_newest_source_behind_it() -> None:
    newer = [*SOURCE, {"id": "b", "document": "B", "version": "1", "date": "2026-08-21"}]
    assert advice(layer(gpu="h100", service="eks"), layer(gpu="h100", source=newer, intent="inference")) == (OWN, "2026-03-01")
    assert advice(layer(gpu="h100", source=newer)) == (BY_GPU, "2026-08-21")


def test_a_gpu_that_no_machine_of_the_service_has() -> None:
    assert advice(layer(gpu="l40"), gpu="l40", service="eks")[0] == NONE
    assert advice(layer(gpu="l40"), gpu="l40", service="self-managed")[0] == BY_GPU


def test_the_matrix_has_every_combination_and_its_forms_agree() -> None:
    data = shipped_store()
    cells = advice_matrix(data)
    assert len(cells) == len(data.catalog.names("gpu")) * len(data.catalog.names("service")) * len(data.catalog.names("intent"))
    counts = summary(cells)
    assert sum(counts.values()) == len(cells)
    assert counts[OWN] > 0
    rows = list(table_rows(cells))
    assert len({len(row) for row in rows}) == 1
    assert sum(cell.count("O") for row in rows[1:] for cell in row[1:-1]) == counts[OWN]
    assert all(name in matrix_table(cells) and name in matrix_markdown(cells) for name in data.catalog.names("gpu"))
