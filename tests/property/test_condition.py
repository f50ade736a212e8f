"""Laws of patterns, quantities and conditions, and that any text is one or is refused."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.model.condition import Condition, DictLookup, InvalidCondition, Unread, parse_condition
from eidos.model.condition_nodes import Comparison, condition_tree, node_of
from eidos.model.constraint import InvalidExpression, parse_expression
from eidos.model.pattern import InvalidPattern, parse_pattern
from eidos.model.quantity import UNITS, parse_quantity
from tests.property.strategies import expression_texts, version_texts, words

PATTERN_CHARACTERS = "ab01.*+?|()[]^$-\\dws"

readings = st.dictionaries(
    st.sampled_from(["OS.kmod.a", "OS.kmod.b", "GPU.gpu-0.x", "GPU.gpu-1.x", "GPU.gpu-2.x", "GPU.gpu-0.y", "GPU.gpu-1.y"]),
    st.sampled_from(["1", "2", "on", "580.1"]),
)


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # of re, about [[ and -- in a set
@given(st.text(PATTERN_CHARACTERS, max_size=12), st.text("ab01.-\n", max_size=8))
def test_a_pattern_matches_where_re_does(pattern: str, text: str) -> None:
    try:
        parsed = parse_pattern(pattern)
    except InvalidPattern:
        return
    try:
        expected = re.compile(pattern.replace("$", r"\Z"), re.ASCII | re.DOTALL)
    except (re.error, OverflowError):
        return  # a quantifier on a quantifier, which re refuses or gives another meaning
    if re.search(r"[*+?][*+?]|[\^$][*+?]|\[[^\]]*\$", pattern):
        return
    assert parsed.occurs_in(text) == bool(expected.search(text)), (pattern, text)


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_none(pattern: str) -> None:
    try:
        parse_pattern(pattern).occurs_in(pattern)
    except InvalidPattern:
        return


@given(st.integers(0, 10**6), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " "]))
def test_a_quantity_is_its_number_of_base_units(number: int, unit: str, space: str) -> None:
    value = parse_quantity(f"{number}{space}{unit}")
    assert value == pytest.approx(number * UNITS[unit])
    assert parse_expression(f">= {number}{unit}").holds(f"{number} {unit}") is True
    assert parse_expression(f"< {number}{unit}").holds(f"{number} {unit}") is False


@given(expression_texts(), version_texts(small=True) | words)
def test_not_is_the_opposite(text: str, reading: str) -> None:
    answer = parse_expression(text).holds(reading)
    assert parse_expression(f"not ({text})").holds(reading) is (None if answer is None else not answer)
    assert parse_expression(f"not not ({text})").holds(reading) is answer


@given(expression_texts(), expression_texts(), version_texts(small=True) | words)
def test_or_holds_where_one_holds(left: str, right: str, reading: str) -> None:
    answers = {parse_expression(text).holds(reading) for text in (left, right)}
    expected = True if True in answers else None if None in answers else False
    both = parse_expression(f"({left}) or {right}")
    assert both.holds(reading) is expected
    assert parse_expression(str(both)) == both


@given(expression_texts(with_words=False), expression_texts(with_words=False), version_texts(small=True))
def test_alternatives_intersect(left: str, right: str, version: str) -> None:
    either = parse_expression(f"({left}) or ({right})")
    both = either.intersect(parse_expression(">= 1"))
    assert both is None or both.holds(version) is (either.holds(version) and parse_expression(">= 1").holds(version))


@given(st.text("GPUOS.gpu-*x knot()anyl<>=!,/\"'1", max_size=40) | st.text(max_size=20))
def test_any_text_is_a_condition_or_none(text: str) -> None:
    try:
        condition = parse_condition(text)
    except InvalidCondition as fault:
        shown, position = fault.excerpt or ("", -1)
    else:
        shown, position = "x", 0
        assert condition.evaluate(DictLookup({})).value in (True, False, None)
    assert 0 <= position <= len(shown)


@given(st.text('<>=!in[]()matchespresentabsent/ ,ora"1nd', max_size=24))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        expression = parse_expression(text)
    except InvalidExpression:
        return
    assert parse_expression(str(expression)) == expression


comparisons = st.sampled_from(
    [
        "OS.kmod.a present",
        "OS.kmod.b == 1",
        "OS.kmod.a == OS.kmod.b",
        "all(GPU.gpu-*.x == 1)",
        "any(GPU.gpu-*.x >= 2)",
        "none(GPU.gpu-*.x == on and GPU.gpu-*.y present)",
        "same(GPU.gpu-*.x)",
    ]
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} and {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} or {pair[1]})"),
        inner.map(lambda text: f"not {text}"),
    ),
    max_leaves=6,
).map(parse_condition)


@given(conditions, expression_texts())
def test_a_condition_is_the_same_when_it_was_stored(condition: Condition, text: str) -> None:
    for root in (condition.root, Comparison("OS.kmod.a", parse_expression(text))):
        assert node_of(json.loads(json.dumps(condition_tree(root)))) == root


class Partly(DictLookup):
    """A lookup in which some paths cannot be read."""

    def __init__(self, readings: dict[str, str], unread: set[str]) -> None:
        super().__init__(readings)
        self.unread = unread

    def read(self, path: str) -> str | None:
        if path in self.unread:
            raise Unread("permission denied")
        return super().read(path)


@given(conditions, readings, st.data())
def test_reading_less_never_decides_otherwise(condition: Condition, all_of_them: dict[str, str], data: st.DataObject) -> None:
    """What is known stays so or becomes unknown, whatever cannot be read."""
    unread = data.draw(st.sets(st.sampled_from(sorted(all_of_them) or ["OS.kmod.a"])))
    before = condition.evaluate(DictLookup(all_of_them))
    after = condition.evaluate(Partly(all_of_them, unread))
    assert after.value in (before.value, None)
    assert (after.value is None) == bool(after.unread)
    assert set(after.unread) <= unread | set(before.unread) | {path for path, text in all_of_them.items() if text == "on"}


@given(conditions, readings)
def test_evidence_is_what_was_read(condition: Condition, some: dict[str, str]) -> None:
    judgement = condition.evaluate(DictLookup(some))
    assert judgement.value is not None or "on" in some.values()
    assert all(some.get(path, "") == text for path, text in judgement.evidence.items())
