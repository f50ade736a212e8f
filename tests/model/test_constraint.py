"""Expressions: read, met, combined, and refused where the fault is."""

from __future__ import annotations

import pytest

from eidos.model.constraint import InvalidExpression, parse_expression
from eidos.model.number_format import FloatLiteral


@pytest.mark.parametrize(
    ("expression", "reading", "holds"),
    [
        (">= 1.32.4", "v1.33.5-eks-3025e55", True),
        (">= 1.32.4", "1.32", False),
        ("> 1.33", "1.33.5", False),
        ("> 1.33", "1.34", True),
        ("<= 1.33", "1.33.5", True),
        ("< 1.33", "1.33.0", False),
        ("< 0", "0", False),
        ("1.33", "1.33.7", True),
        ("== 1.33", "1.34", False),
        ("!= 570.148.08", "570.148.8", False),
        ("!= 570.148.08", "570.148.09", True),
        ("in (24.04, 26.04)", "24.04", True),
        ("in (24.04, 26.04)", "22.04", False),
        (">= 1.30, < 1.36, != 1.33.2", "1.33.2", False),
        ("in (2M, 512M)", "2M", True),
        ("in (2M, 512M)", "1G", False),
        ("!= nouveau", "nvidia", True),
        ("!= nouveau", "nouveau", False),
        ("in (on, 1)", "on", True),
        ("in (on, 1)", "1", True),
        ("in (on, 1)", "off", False),
        ("in (on, 1)", "2", False),
        (">= 6.8", "unknown", None),
        ("!= 570.148.08", "unknown", None),
        (">= 6.8, != latest", "latest", False),
        (">= 6.8, != latest", "unknown", None),
        ("== true", True, True),
        ("== false", True, False),
        ("<= 10", 10, True),
        ("== 24.10", FloatLiteral(24.1, "24.10"), True),
        ("== 24.10", 24.1, False),
        ("== 18446744073709551615", 18446744073709551615, True),
    ],
)
def test_readings_meet_expressions(expression: str, reading: str | float | bool, holds: bool | None) -> None:
    assert parse_expression(expression).holds(reading) is holds


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        (">= 1.25", ">= 1.32.4", ">= 1.32.4"),
        (">= 1.32.4", ">= 1.25", ">= 1.32.4"),
        (">= 1.30", "<= 1.33", ">= 1.30, <= 1.33"),
        (">= 1.30, <= 1.36", ">= 1.32, <= 1.35", ">= 1.32, <= 1.35"),
        ("== 1.33", ">= 1.30", "== 1.33"),
        ("1.33.5", "== 1.33", "== 1.33.5"),
        ("in (2M, 512M)", "!= 2M", "in (2M, 512M), != 2M"),
        (">= 1.30", "!= latest", ">= 1.30, != latest"),
        ("< 1.30", ">= 1.32.4", None),
        ("== 1.33", "!= 1.33", None),
        ("in (2M)", "in (512M)", None),
        ("in (2M, 512M)", ">= 6.8", None),
        ("< 0", ">= 0", None),
    ],
)
def test_the_strictest_wins(left: str, right: str, both: str | None) -> None:
    both_hold = parse_expression(left).intersect(parse_expression(right))
    assert (None if both_hold is None else str(both_hold)) == both


def test_a_list_of_words_and_versions_stays_what_it_is_when_intersected() -> None:
    both = parse_expression("in (1.33, stable)").intersect(parse_expression(">= 1.30"))
    assert both is not None
    assert [both.holds(reading) for reading in ("1.33", "1.34", "stable", "latest")] == [True, False, None, False]


@pytest.mark.parametrize(
    ("text", "position", "why"),
    [
        ("", 0, "missing value"),
        (">= ", 3, "missing value"),
        (">= 1.30,", 8, "missing value"),
        (">= 1.30 < 2", 8, "' ' is not allowed in a value"),
        (">= six", 3, "needs a version or a number"),
        ("=> 1.3", 0, "'=' is not allowed in a value"),
        ("in (1.3", 3, "not closed"),
        ("in ()", 3, "an item of the list is empty"),
        ("in (a, , b)", 3, "an item of the list is empty"),
        ("in (a) b", 7, "a comma or the end"),
        ("~a)", 2, "')' is not allowed"),
        ("^1.33", 0, "write >= 1.33, < 2"),
        (">= 1, ~1.33.5", 6, "write >= 1.33.5, < 1.34"),
        ("== 1.33.x", 3, "write 1.33"),
        ("in (1.*.*, 2)", 4, "write 1"),
    ],
)
def test_what_is_no_expression_is_refused_where_it_is_wrong(text: str, position: int, why: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression(text)
    assert why in caught.value.message
    assert caught.value.excerpt is not None
    assert caught.value.excerpt[0] == text
    assert abs(caught.value.excerpt[1] - position) <= 1


@pytest.mark.parametrize("text", [">= 1.30, < 1.36, != 1.33.2", "in (2M, 512M)", "== 1.33", "!= a, != b"])
def test_an_expression_prints_itself(text: str) -> None:
    assert str(parse_expression(text)) == text
    assert parse_expression(str(parse_expression(text))) == parse_expression(text)
