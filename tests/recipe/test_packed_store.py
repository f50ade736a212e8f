"""The recipes of the archive: the same as those of the checkout, of which a recipe parses what it needs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.build.recipe_packer import pack_recipes
from eidos.check.judge import CONDITIONS, CheckData, read_check_data
from eidos.check.value_comparison import ComparisonRule
from eidos.errors import InvalidData
from eidos.files.resources import RecipeParts
from eidos.model.condition_nodes import Condition
from eidos.model.query import Query
from eidos.model.record import Record, replace
from eidos.recipe.coverage import advice_matrix
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, from_folder, packed_store
from tests.support.shipped import shipped_trees

TREES = shipped_trees()
PACKED = pack_recipes(TREES)
PLAIN = from_folder(TREES, "digest")


def fresh() -> tuple[RecipeParts, Store]:
    parts = RecipeParts(PACKED)
    return parts, packed_store(parts, "digest")


def test_the_parts_make_the_trees() -> None:
    parts, _ = fresh()
    assert {path: parts.read(location) for path, location in parts.index["files"].items()} == json.loads(json.dumps(TREES))


def test_the_store_is_that_of_the_checkout() -> None:
    _, packed = fresh()
    assert list(packed.overlays) == list(PLAIN.overlays)
    assert packed.overlays.keys == PLAIN.overlays.keys
    assert packed.base == PLAIN.base
    assert dict(packed.charts) == dict(PLAIN.charts)
    assert list(packed.charts) == list(PLAIN.charts)
    assert dict(packed.catalog.entries) == dict(PLAIN.catalog.entries)
    assert (packed.cuda, packed.newest, packed.digest) == (PLAIN.cuda, PLAIN.newest, PLAIN.digest)
    assert {path: tree for path, tree in packed.check_data.items() if path != CONDITIONS} == dict(PLAIN.check_data)
    assert dict(packed.rules) == dict(PLAIN.rules)
    assert advice_matrix(packed) == advice_matrix(PLAIN)


def test_checks_that_were_read_before_are_parsed_when_they_are_needed() -> None:
    store = fresh()[1]
    stored, parsed = read_check_data(store.check_data), read_check_data(PLAIN.check_data)
    assert CONDITIONS in store.check_data
    assert CONDITIONS not in PLAIN.check_data
    for late, check in [*zip(stored.checks, parsed.checks), *zip(rules_of(stored), rules_of(parsed))]:
        conditions = {name: value for name, value in check.__dict__.items() if isinstance(value, Condition)}
        for name, condition in conditions.items():
            assert str(getattr(late, name)) == str(condition)
            assert getattr(late, name).paths() == condition.paths()
        assert replace(late, **conditions, **as_parsed(check)) == check
    for late, check in zip(stored.checks, parsed.checks):
        assert [(str(each.when), each.remedy) for each in late.remedies] == [(str(each.when), each.remedy) for each in check.remedies]
    assert stored.facts == parsed.facts


def rules_of(data: CheckData) -> tuple[ComparisonRule, ...]:
    assert data.comparisons
    return data.comparisons.rules


def as_parsed(check: Record) -> dict[str, object]:
    """The field that is read late."""
    return {"remedies": check.remedies} if hasattr(check, "remedies") else {}


def test_a_check_that_is_malformed_is_not_packed() -> None:
    check = {"id": "x", "title": "x", "severity": "info", "path": "OS.kmod.x", "expect": "OS.kmod.x ==="}
    with pytest.raises(InvalidData, match="invalid condition"):
        pack_recipes({**TREES, "checks/x.yaml": {"checks": [check]}})


words = {field: st.sampled_from(["", *PLAIN.catalog.names(field)]) for field in ("os", "service", "gpu", "intent", "platform")}
versions = {"osv": ["", "24.04", "22.04", "9.6"], "k8s": ["", "1.33", "1.34.2", "1.36"]}


@given(st.fixed_dictionaries({**words, **{field: st.sampled_from(texts) for field, texts in versions.items()}}))
def test_every_recipe_is_the_same(fields: dict[str, str]) -> None:
    query = Query(**fields)
    assert resolve(query, SHARED, explain=True, check=False) == resolve(query, PLAIN, explain=True, check=False)


SHARED = fresh()[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"gpu": "h100"},
        {"gpu": "gb200", "service": "eks", "os": "ubuntu", "osv": "24.04", "k8s": "1.34", "intent": "training"},
        {"machine": "p5.48xlarge", "platform": "kubeflow"},
    ],
)
def test_a_recipe_parses_the_layers_that_match_and_little_else(fields: dict[str, str]) -> None:
    parts, store = fresh()
    unread = parts.parsed_bytes
    query = store.catalog.parse_query(fields)
    recipe = resolve(query, store)
    index = parts.index["store"]
    names = {rule.rpartition(": ")[0] for rule in recipe.rules}
    layers = [end - start for name, _, _, (start, end) in index["layers"] if name in names]
    charts = [end - start for start, end in index["charts"].values()]
    fields_of_catalog = sum(end - start for start, end in parts.index["files"]["catalog.yaml"]["map"].values())
    machines = parts.index["files"]["machines.yaml"]
    allowed = sum(layers) + sum(sorted(charts)[-3 * len(recipe.components) :]) + fields_of_catalog + machines[1] - machines[0]
    sources = sum(end - start for start, end in index["sources"].values())
    assert parts.parsed_bytes - unread <= allowed + sources
    assert parts.parsed_bytes < parts.size / 2


def test_work_grows_with_what_matches_and_not_with_the_data() -> None:
    more = {f"overlays/zz-{i}.yaml": {**TREES["overlays/service-oke.yaml"], "key": {"gpu": f"x{i}"}} for i in range(900)}
    counts = []
    for content in (PACKED, pack_recipes({**TREES, **more})):
        parts = RecipeParts(content)
        store = packed_store(parts, "digest")
        resolve(Query(gpu="h100"), store)
        counts.append((parts.parsed_bytes, parts.size))
    assert counts[0][0] == counts[1][0]
    assert counts[1][1] > counts[0][1] * 1.5


def test_data_that_is_no_recipe_is_not_packed() -> None:
    with pytest.raises(InvalidData, match="unknown field"):
        pack_recipes({**TREES, "overlays/x.yaml": {"keys": {}}})


def test_a_number_in_a_check_where_text_is_expected_is_not_packed() -> None:
    source = {"id": "notes", "document": "Release notes", "version": 26.4}
    check = {"id": "x", "title": "x", "severity": "info", "path": "OS.kmod.x", "expect": "OS.kmod.x absent", "source": "notes"}
    with pytest.raises(InvalidData, match=r"source of OS\.kmod\.x: expected text, found a number"):
        pack_recipes({**TREES, "checks/mine.yaml": {"source": source, "checks": [check]}})
