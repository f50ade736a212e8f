"""Laws of keys and queries: what is left open, and what a version speaks of."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from eidos import semver
from eidos.model.constraint import parse_expression
from eidos.model.query import FIELDS, NAMES, VERSIONS, Query, is_expression
from eidos.model.record import replace
from eidos.recipe.lint.combinations import samples
from eidos.recipe.lint.layer_keys import intersect_keys
from tests.property.strategies import WORDS, queries


@given(queries)
def test_a_key_that_asks_for_nothing_is_met_by_every_query(query: Query) -> None:
    assert query.matches(Query())
    assert query.matches(Query(**dict.fromkeys(FIELDS, "any")))


@given(queries)
def test_a_query_that_says_nothing_meets_only_keys_that_ask_for_nothing(key: Query) -> None:
    assert Query().matches(key) == (not key.fields())


@given(queries, queries, st.sampled_from(FIELDS))
def test_any_and_empty_are_one(query: Query, key: Query, field: str) -> None:
    assert replace(query, **{field: ""}).matches(key) == replace(query, **{field: "any"}).matches(key)
    assert query.matches(replace(key, **{field: ""})) == query.matches(replace(key, **{field: "any"}))


@given(queries)
def test_a_query_meets_itself(query: Query) -> None:
    assert query.matches(query)


@given(queries, queries, st.sampled_from(FIELDS))
def test_a_key_that_asks_for_less_is_met_as_well(query: Query, key: Query, field: str) -> None:
    if query.matches(key):
        assert query.matches(replace(key, **{field: ""}))


@given(queries, queries, st.sampled_from(FIELDS), st.data())
def test_a_query_that_says_more_meets_what_it_met(query: Query, key: Query, field: str, data: st.DataObject) -> None:
    assume(field not in query.fields())
    if query.matches(key):
        assert replace(query, **{field: data.draw(st.sampled_from(WORDS[field]))}).matches(key)


@given(queries, queries, queries)
def test_keys_nest(query: Query, key: Query, wider: Query) -> None:
    if query.matches(key) and key.matches(wider):
        assert query.matches(wider)


@given(queries, queries)
def test_fields_are_looked_at_one_by_one(query: Query, key: Query) -> None:
    alone = [
        replace(query, **{field: query.fields().get(field, "")}).matches(Query(**{field: key.fields()[field]})) for field in key.fields()
    ]
    assert query.matches(key) == all(alone)


@given(queries, queries)
def test_an_independent_reading_of_the_rule(query: Query, key: Query) -> None:
    met = True
    for field in NAMES:
        required, requested = (getattr(side, field) for side in (key, query))
        met = met and (required in ("", "any") or requested == required)
    for field in VERSIONS:
        required, requested = (getattr(side, field) for side in (key, query))
        if required in ("", "any"):
            continue
        if requested in ("", "any"):
            met = False
            continue
        want, have = (version.lstrip("v").partition("-") for version in (required, requested))
        numbers = [[int(part) for part in version[0].split(".")] for version in (want, have)]
        met = met and numbers[1][: len(numbers[0])] == numbers[0] and want[2] in ("", have[2])
    assert query.matches(key) == met


@given(queries, queries, queries)
def test_a_joined_key_is_met_by_exactly_the_queries_that_meet_both(query: Query, left: Query, right: Query) -> None:
    both = intersect_keys(left, right)
    if query.matches(left) and query.matches(right):
        assert both is not None
    if both is not None:
        assert both.matches(left)
        assert both.matches(right)
        assert query.matches(both) == (query.matches(left) and query.matches(right))


@given(queries)
def test_nothing_a_query_says_is_lost_or_rewritten_on_the_wire(query: Query) -> None:
    assert query.to_tree() == query.fields()
    assert all(semver.parse_version(value).text == value for field, value in query.fields().items() if field in VERSIONS)


MINORS = st.integers(0, 9).map(lambda minor: f"1.{minor}")
RANGES = st.one_of(
    st.builds(lambda operator, minor: f"{operator} {minor}", st.sampled_from([">=", ">", "<=", "<", "==", "!="]), MINORS),
    st.lists(MINORS, min_size=1, max_size=3, unique=True).map(lambda minors: f"in ({', '.join(minors)})"),
    st.tuples(MINORS, MINORS).map(lambda pair: f">= {min(pair)}, <= {max(pair)}"),
)


@given(RANGES, RANGES, MINORS)
def test_a_range_in_a_key_is_the_versions_that_satisfy_it(one: str, other: str, minor: str) -> None:
    left, right = Query(k8s=one), Query(k8s=other)
    assert Query(k8s=minor).matches(left) == (parse_expression(one).holds(minor) is True)
    assert all(sample.matches(left) and not is_expression(sample.k8s) for sample in samples(left))
    both = intersect_keys(left, right)
    if both is None:
        assert not (Query(k8s=minor).matches(left) and Query(k8s=minor).matches(right))
    else:
        assert Query(k8s=minor).matches(both) == (Query(k8s=minor).matches(left) and Query(k8s=minor).matches(right))
        assert both.matches(left) and both.matches(right)
