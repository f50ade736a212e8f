"""Keys of layers: lists, ranges, releases of components; and sources that layers share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.model.query import FIELDS, NAMES, Query, list_text, words_of
from eidos.recipe.layer import read_layer, read_shared_sources
from eidos.recipe.lint import lint_trees
from eidos.recipe.lint.combinations import samples
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, from_folder
from tests.property.strategies import WORDS, queries
from tests.support.shipped import shipped_trees

SHARED = {"sources": [{"id": "operator", "document": "Operator", "version": "26.7", "date": "2026-08-21"}]}


def layer(key: dict[str, Any], value: str = "1", **more: Any) -> dict[str, Any]:
    data = {"subtype": "sysctl", "data": {"/proc/sys/vm/swappiness": value}, "context": {"/proc/sys/vm/swappiness": "why"}}
    return {"key": key, "measurements": [{"type": "OS", "subtypes": [data]}], **more}


TREES = shipped_trees()


def store(*overlays: dict[str, Any], **files: Any) -> Store:
    others = {name: TREES[name] for name in ("catalog.yaml", "components.yaml", "machines.yaml", "rules.yaml")}
    named = {f"overlays/{chr(97 + i)}.yaml": tree for i, tree in enumerate(overlays)}
    return from_folder({"base.yaml": {}, **others, **named, **files})


def names(data: Store, **query: str) -> list[str]:
    return [layer.name for layer in data.matching(data.catalog.parse_query(query))]


def test_a_list_in_a_key_is_each_of_its_words() -> None:
    data = store(layer({"gpu": ["H100", "h200"], "service": "eks"}))
    assert [names(data, gpu=gpu, service="eks") for gpu in ("h100", "h200", "a100")] == [["overlays/a.yaml"], ["overlays/a.yaml"], []]
    assert names(data, service="eks") == []
    assert resolve(Query(gpu="h200", service="eks"), data).rules[1] == "overlays/a.yaml: service=eks, gpu in (h100, h200)"


def test_a_list_of_versions_and_a_range_are_understood_alike() -> None:
    data = store(layer({"os": "ubuntu", "osv": ["22.04", "24.04"]}), layer({"k8s": ">=1.33, <1.36"}))
    assert names(data, os="ubuntu", osv="22.04.5", k8s="1.33.2") == ["overlays/b.yaml", "overlays/a.yaml"]
    assert names(data, os="ubuntu", osv="26.04", k8s="1.36") == []


def test_the_shorter_list_wins() -> None:
    data = store(layer({"gpu": "h100"}, "1"), layer({"gpu": ["h100", "h200"]}, "2"), layer({"gpu": ["h100", "h200", "b200"]}, "3"))
    assert names(data, gpu="h100") == ["overlays/c.yaml", "overlays/b.yaml", "overlays/a.yaml"]


@pytest.mark.parametrize("key", [{"gpu": ["any"]}, {"gpu": "any"}, {"gpu": ""}, {"osv": ["any"]}, {}])
def test_any_leaves_a_field_open(key: dict[str, Any]) -> None:
    assert read_layer({"key": key}, "x.yaml").key.fields() == {}


@pytest.mark.parametrize("field", FIELDS)
def test_an_empty_list_is_refused(field: str) -> None:
    with pytest.raises(InvalidData, match=rf"x\.yaml: key\.{field}: the list is empty"):
        read_layer({"key": {field: []}}, "x.yaml")


lists = st.fixed_dictionaries({}, optional={field: st.lists(st.sampled_from(WORDS[field]), min_size=1, max_size=2) for field in NAMES})


@given(queries, lists)
def test_a_list_matches_when_one_of_its_words_would(query: Query, key: dict[str, list[str]]) -> None:
    joined = Query(**{field: list_text(words) for field, words in key.items()})
    each: list[dict[str, str]] = [{}]
    for field, words in key.items():
        each = [{**fields, field: word} for fields in each for word in words]
    assert query.matches(joined) == any(query.matches(Query(**fields)) for fields in each)
    drawn = [sample.fields() for sample in samples(joined)]
    assert all(fields in each for fields in drawn)
    assert all(any(fields[field] == word for fields in drawn) for field, words in key.items() for word in words)
    assert all(sample.matches(joined) for sample in samples(joined))
    assert all(words_of(text) for text in joined.fields().values())


PIN = {"gpu-operator": {"version": "v26.3.3", "why": "Ours."}}


def test_a_layer_for_releases_of_a_component() -> None:
    recent, old = layer({"gpu-operator": ">=26.7"}, "7"), layer({"gpu": "h100", "gpu-operator": "< 26.7"}, "3")
    base = {"components": {"gpu-operator": {"version": "v26.7.0", "why": "Current."}}}
    data = store(recent, old, **{"base.yaml": base})
    assert names(data, gpu="h100") == ["overlays/a.yaml"]
    pinned = store(recent, old, layer({"service": "eks"}, components=PIN), **{"base.yaml": base})
    assert names(pinned, gpu="h100", service="eks") == ["overlays/c.yaml", "overlays/b.yaml"]
    assert resolve(Query(gpu="h100", service="eks"), pinned).rules[-1] == "overlays/b.yaml: gpu=h100, gpu-operator < 26.7"
    without = store(recent, **{"base.yaml": {}})
    assert names(without, gpu="h100") == []


def test_a_component_that_another_one_needs_counts_too() -> None:
    charts = store().charts
    needing = next(id for id, chart in charts.items() if "cert-manager" in chart.depends)
    data = store(layer({"cert-manager": ">= 1"}), layer({"gpu": "h100"}, components={needing: {"why": "x"}}))
    assert set(names(data, gpu="h100")) == {"overlays/a.yaml", "overlays/b.yaml"}
    assert names(data, gpu="h200") == []


def test_lint_reports_a_key_with_an_unknown_component_and_one_that_changes_its_own_release() -> None:
    others = {name: TREES[name] for name in ("base.yaml", "catalog.yaml", "components.yaml", "machines.yaml", "rules.yaml")}
    overlays = {
        "overlays/a.yaml": layer({"gpu": "h100", "gpu-operater": ">= 26"}),
        "overlays/b.yaml": layer({"gpu": "h200", "gpu-operator": ">= 26"}, components=PIN),
        "overlays/c.yaml": layer({"gpu": ["h100", "h1000"]}),
    }
    issues = {(issue.rule, issue.location, issue.hint) for issue in lint_trees({**others, **overlays}) if issue.severity == "error"}
    assert ("unknown-component", "overlays/a.yaml: key.gpu-operater", "did you mean 'gpu-operator'?") in issues
    assert "own-release" in {rule for rule, location, _ in issues if location == "overlays/b.yaml: key.gpu-operator"}
    assert "never-matches" in {rule for rule, location, _ in issues if location == "overlays/c.yaml: key.gpu"}


def test_layers_share_sources_by_their_id() -> None:
    own = {"id": "own", "document": "Mine", "date": "2027"}
    layers = layer({"gpu": "h100"}, source="operator"), layer({"gpu": "h200"}, source=["operator", own])
    data = store(*layers, **{"sources.yaml": SHARED})
    assert [[source.citation() for source in overlay.sources] for overlay in data.overlays] == [
        ["Operator 26.7 2026-08-21"],
        ["Operator 26.7 2026-08-21", "Mine 2027"],
    ]
    assert data.timestamp() == "2027-01-01T00:00:00Z"
    history = resolve(Query(gpu="h100"), data, explain=True).history
    assert history["OS.sysctl./proc/sys/vm/swappiness"][0].sources == ("Operator 26.7 2026-08-21",)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "sources.yaml: expected a mapping"),
        ({"sources": [{"document": "d"}]}, "sources[0].id: expected a name"),
        ({"sources": [{"id": "a", "documents": "d"}]}, "sources[0]: unknown field 'documents'"),
        ({"sources": [{"id": "a"}, {"id": "a"}]}, "sources[1]: duplicate source 'a'"),
    ],
)
def test_shared_sources_have_a_form(tree: Any, message: str) -> None:
    with pytest.raises(InvalidData) as fault:
        read_shared_sources(tree, "sources.yaml")
    assert message in fault.value.message


texts = st.text(max_size=8) | st.sampled_from([">= 1", "in (a, b)", "in (", "in ()", "any", "24.04"])
values = st.none() | texts | st.lists(texts | st.integers(), max_size=3) | st.floats()


@given(st.dictionaries(st.sampled_from([*FIELDS, "gpu-operator", "env", ""]), values))
def test_any_key_is_read_or_refused(key: dict[str, Any]) -> None:
    try:
        read = read_layer({"key": key}, "x.yaml").key
    except InvalidData:
        return
    for sample in samples(read):
        assert sample.matches(read)
