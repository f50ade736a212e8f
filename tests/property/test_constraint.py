"""Laws of expressions: an intersection asks for both, no more and no less."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eidos.model.constraint import Expression, InvalidExpression, parse_expression
from tests.property.strategies import expression_texts, version_texts, words

expressions = expression_texts().map(parse_expression)
readings = st.lists(version_texts(small=True) | words | st.integers(0, 3), min_size=1, max_size=8)

#: Every version that operands of up to three numbers from 0 to 2 can tell apart.
SAMPLED = [f"{a}.{b}.{c}" for a in range(4) for b in range(4) for c in range(4)]


@given(expressions, expressions, readings)
def test_an_intersection_is_sound(a: Expression, b: Expression, some: list[str | int]) -> None:
    both = a.intersect(b)
    for reading in some:
        left, right = a.holds(reading), b.holds(reading)
        # What fails one of them fails; what cannot be told by one, and fails none, cannot be told.
        expected = False if left is False or right is False else None if left is None or right is None else True
        if both is None:
            assert expected is not True
        else:
            assert both.holds(reading) is expected


@given(expressions, readings)
def test_each_term_is_required(a: Expression, some: list[str | int]) -> None:
    for reading in some:
        each = [Expression((term,)).holds(reading) for term in a.terms]
        assert a.holds(reading) is (False if False in each else None if None in each else True)


@given(expressions, expressions)
def test_an_intersection_is_commutative_in_meaning(a: Expression, b: Expression) -> None:
    left, right = a.intersect(b), b.intersect(a)
    assert (left is None) == (right is None)
    assert left is None or right is None or (left.is_equivalent(right) and right.is_equivalent(left))


@given(expressions, expressions, expressions)
def test_an_intersection_is_associative_in_meaning(a: Expression, b: Expression, c: Expression) -> None:
    ab, bc = a.intersect(b), b.intersect(c)
    left = ab.intersect(c) if ab else None
    right = a.intersect(bc) if bc else None
    assert (left is None) == (right is None)
    assert left is None or right is None or left.is_equivalent(right)


@given(expressions)
def test_an_intersection_with_itself_is_itself(a: Expression) -> None:
    both = a.intersect(a)
    assert (both is None) == a.is_empty()
    assert both is None or both.is_equivalent(a)


@given(expressions, expressions)
def test_an_intersection_says_nothing_twice(a: Expression, b: Expression) -> None:
    both = a.intersect(b)
    again = both.intersect(both) if both else None
    assert both is None or (again is not None and again.terms == both.terms)


@given(expression_texts(with_words=False))
def test_empty_is_what_no_version_satisfies(text: str) -> None:
    expression = parse_expression(text)
    assert expression.is_empty() == (not any(expression.holds(version) for version in SAMPLED))


@given(expression_texts())
def test_empty_is_what_no_reading_satisfies(text: str) -> None:
    expression = parse_expression(text)
    some = [*SAMPLED, "2M", "512M", "1G", "auto", "open", "none", "another"]
    assert expression.is_empty() == (not any(expression.holds(reading) for reading in some))


@given(expression_texts())
def test_canonical_text_is_read_back(text: str) -> None:
    expression = parse_expression(text)
    assert parse_expression(str(expression)) == expression
    assert str(parse_expression(str(expression))) == str(expression)


@given(st.text(max_size=20) | st.text(alphabet="<>=! in(),.0123ab-", max_size=16))
def test_any_text_is_an_expression_or_none(text: str) -> None:
    try:
        expression = parse_expression(text)
    except InvalidExpression:
        return
    assert expression.terms
    assert expression.holds("1.2.3") in (True, False, None)
    assert expression.intersect(expression) is None or not expression.is_empty()
