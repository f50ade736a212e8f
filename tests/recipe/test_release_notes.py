"""What changed in the data since a release: the record of one, and the difference to another."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import eidos
from eidos.errors import InvalidData, NotFound
from eidos.files.resources import load_recipe_file
from eidos.recipe.release_notes import NAME, changes, grid, queries_in_words, read_release, record
from eidos.recipe.store import Store, from_folder
from tests.conftest import ROOT
from tests.support.program import eidos as run
from tests.support.shipped import shipped_trees

TREES = shipped_trees()
WORDS = {"gpu": [{"name": "h100"}, {"name": "h200"}], "service": [{"name": "eks"}, {"name": "gke", "systems": ["cos"]}]}
CATALOG = {**WORDS, "intent": [{"name": "training"}], "os": [{"name": "ubuntu"}, {"name": "cos"}]}
CHARTS = {"components": [{"id": id, "chart": id, "version": "1", "namespace": id} for id in ("a", "b", "c")]}


def store(*overlays: dict[str, Any], catalog: dict[str, Any] = CATALOG) -> Store:
    files = {f"overlays/{i}.yaml": tree for i, tree in enumerate(overlays)}
    return from_folder({"base.yaml": {}, "catalog.yaml": catalog, "components.yaml": CHARTS, **files}, "d" * 64)


def layer(key: dict[str, Any], value: str = "", **components: str) -> dict[str, Any]:
    data = {"measurements": [{"type": "OS", "subtypes": [{"subtype": "sysctl", "data": {"x": value}}]}]} if value else {}
    return {"key": key, **data, "components": {id: {"version": version} for id, version in components.items()}}


def difference(before: Store, after: Store) -> list[dict[str, Any]]:
    tree = json.loads(json.dumps({"1.0.0": record(before)}))
    return changes(read_release(tree, "1.0.0"), after)


def test_nothing_changes_between_a_store_and_itself() -> None:
    data = store(layer({"gpu": "h100"}, "1", a="2"))
    assert difference(data, data) == []


def test_each_change_has_the_queries_for_which_it_is_so() -> None:
    before = store(layer({"gpu": "h100"}, "1", a="1", b="1"))
    after = store(layer({"gpu": "h100"}, "2", a="2", c="1"), layer({"gpu": "h200", "service": "gke"}, a="1"))
    assert difference(before, after) == [
        {
            "added": {"c": "1"},
            "removed": {"b": "1"},
            "changed": {"a": "1 -> 2"},
            "parts": ["readings"],
            "queries": ["h100 eks training", "h100 gke training"],
        },
        {"added": {"a": "1"}, "queries": ["h200 gke training"]},
    ]


def test_a_constraint_and_a_new_query_are_named() -> None:
    limit = {"key": {"service": "gke"}, "constraints": [{"name": "K8s.server.version", "value": ">= 1.33"}]}
    smaller = {**CATALOG, "gpu": [{"name": "h100"}]}
    changes = difference(store(catalog=smaller), store(limit))
    assert changes == [
        {"parts": ["constraints"], "queries": ["h100 gke training"]},
        {"is": "new", "queries": ["h200 eks training", "h200 gke training"]},
    ]
    assert difference(store(), store(catalog=smaller)) == [{"is": "gone", "queries": ["h200 eks training", "h200 gke training"]}]


def test_the_grid_is_on_a_system_that_the_service_offers() -> None:
    queries = dict(grid(store()))
    assert (queries["h100 eks training"].os, queries["h100 eks training"].osv) == ("ubuntu", "24.04")
    assert (queries["h100 gke training"].os, queries["h100 gke training"].osv) == ("cos", "")


@pytest.mark.parametrize("version", ["0.0.9", "", "latest"])
def test_a_version_without_a_record_is_an_error_that_lists_those_with_one(version: str) -> None:
    with pytest.raises(NotFound) as fault:
        read_release(load_recipe_file(NAME), version)
    assert "0.1.0" in str(fault.value.hint)


@pytest.mark.parametrize("text", ["", "0", "9 a b", "x a b", "0 a", "0 a b c"])
def test_a_malformed_record_is_refused(text: str) -> None:
    tree = {"1.0.0": {"components": [{"a": "1"}], "recipes": {"eks training": {"h100": text}}}}
    with pytest.raises(InvalidData, match=r"releases\.yaml: 1\.0\.0\.recipes"):
        read_release(tree, "1.0.0")


def test_every_release_has_a_record_and_that_of_0_1_0_is_of_its_data() -> None:
    tree = load_recipe_file(NAME)
    assert isinstance(tree, dict)
    released = re.findall(r"^## \[(\d\S*)\]", (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(released) <= set(tree)
    for folder in (ROOT / "tests" / "golden" / "compatibility").iterdir():
        if folder.is_dir():
            recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
            assert read_release(tree, folder.name)["data"] == recipe["metadata"]["recipe-data"]
    before = read_release(tree, "v0.1.0")
    number = int(before["recipes"]["h100 eks training"].split()[0])
    assert before["components"][number]["gpu-operator"] == "v26.3.3"


@pytest.mark.slow
def test_the_command_prints_what_changed_since_a_release() -> None:
    done = run("recipe", "list", "--changes-since", "0.1.0", "-t", "json")
    assert (done.status, done.err) == (0, "")
    tree = json.loads(done.out)
    eks = [change for change in tree["changes"] if "h100 eks training" in change["queries"]]
    version = next(each.version for each in eidos.make_recipe({"gpu": "h100", "service": "eks"}).components if each.id == "gpu-operator")
    assert eks[0]["changed"]["gpu-operator"] == f"v26.3.3 -> {version}"
    assert run("recipe", "list", "--changes-since", "9.9.9").status != 0


def test_queries_in_words_lose_none() -> None:
    names = [name for name, _ in grid(store())]
    expanded = []
    for line in queries_in_words(names):
        row, _, gpus = line.partition(": ")
        expanded += [f"{gpu} {row.replace(' for ', ' ')}" for gpu in gpus.split(", ")]
    assert sorted(expanded) == sorted(names)
