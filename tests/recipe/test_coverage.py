"""Coverage of the shipped data: how much of the grid has advice of its own, and that every recipe of the grid holds together."""

from __future__ import annotations

import functools

import pytest

from eidos.model.lint_issue import ERROR
from eidos.model.query import Query
from eidos.recipe.catalog import Machine
from eidos.recipe.charts import load_charts
from eidos.recipe.lint.combinations import MergedRecipe, version_limits
from eidos.recipe.lint.cross_checks import cross_check
from eidos.recipe.lint.rule_tables import shipped_rules
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, shipped_store
from eidos.workflow import make_bundle
from tests.support.recipe_grid import grid, is_generic

#: The greatest part of the grid that may be generic.
LIMIT = 0.35


@functools.cache
def store() -> Store:
    return shipped_store()


def test_the_grid_has_638_combinations() -> None:
    assert len(set(grid())) == 638


def test_no_more_of_the_grid_is_generic_than_the_limit() -> None:
    generic = [query for query in grid() if is_generic(query, store())]
    assert len(generic) <= LIMIT * 638, f"{len(generic)} of 638; python -m tests.support.recipe_grid prints them by service and GPU"


#: By service and network of a machine: the component through which training pods get that network. Others have it without one.
NETWORKS = {
    ("eks", "efa"): "aws-efa",
    ("eks", "roce"): "aws-net-dra",
    ("gke", "tcpx"): "gke-nccl-tcpx",
    ("gke", "tcpxo"): "gke-nccl-tcpxo",
    ("gke", "roce"): "gke-nccl-gib",
    ("aks", "infiniband"): "network-operator",
}


@pytest.mark.parametrize("machine", [m for m in store().catalog.entries["machine"] if isinstance(m, Machine)], ids=lambda m: m.name)
def test_training_on_a_machine_has_the_component_of_its_network_and_no_other(machine: Machine) -> None:
    recipe = resolve(store().catalog.parse_query({"machine": machine.name, "intent": "training"}), store())
    own = NETWORKS.get((machine.service, machine.fabric), "")
    if machine.service == "gke" and machine.gpu in ("gb200", "gb300"):  # for Arm; A4X Max needs none
        own = "gke-nccl-gib-arm64" if machine.gpu == "gb200" else ""
    all_networks = {*NETWORKS.values(), "gke-nccl-gib-arm64"}
    present = {component.id for component in recipe.components} & all_networks
    assert present == ({own} - {""} if machine.service else present)


@pytest.mark.exhaustive(sample=10, group="grid")
@pytest.mark.parametrize("query", list(grid()), ids=lambda query: "-".join(query.fields().values()))
def test_a_recipe_of_the_grid_holds_together(query: Query) -> None:
    recipe = resolve(query, store(), explain=True)
    assert "gpu+service" not in (recipe.generic or ()) or is_generic(query, store())
    merged = MergedRecipe(recipe, (store().base, *store().matching(query)), version_limits(recipe, shipped_rules()))
    assert [issue for issue in cross_check(merged, shipped_rules(), store().charts) if issue.severity == ERROR] == []
    bundle = make_bundle(recipe, chart_data=load_charts(None))
    assert not bundle.errors and "gpu-operator" in {component.id for component in bundle.components}
    assert not any("is not checked" in warning for warning in bundle.warnings)
    # NVIDIA builds images with drivers for these systems only; for others there is no tag that could be listed.
    unknown = [line for line in bundle.files["images.txt"].decode().splitlines() if line.startswith("# not known: the tag")]
    assert unknown == [] or query.os not in ("ubuntu", "rhel", "rocky")
    assert all("os.tag" in line for line in unknown)
