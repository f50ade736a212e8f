from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.duration import MAXIMUM_S, parse_duration
from eidos.errors import InvalidInput

UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}

numbers = st.from_regex(r"[0-9]{1,6}(\.[0-9]{0,6})?|\.[0-9]{1,6}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("10", 10),
        ("0", 0),
        ("0.25", 0.25),
        (".5s", 0.5),
        ("1.s", 1),
        ("1s1s", 2),
    ],
)
def test_what_go_and_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.lists(st.tuples(numbers, st.sampled_from(sorted(UNITS))), min_size=1, max_size=5))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[str, str]]) -> None:
    exact = sum(Fraction(number) * UNITS[unit] for number, unit in parts)
    text = "".join(number + unit for number, unit in parts)
    if exact < MAXIMUM_S:
        assert parse_duration(text) == pytest.approx(float(exact), rel=1e-12)


@given(numbers)
def test_a_bare_number_is_seconds(number: str) -> None:
    assert parse_duration(number) == parse_duration(number + "s")


@given(st.text() | st.text("0123456789.nuµmsh -+e_"))
def test_any_text_gives_a_length_or_the_documented_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except InvalidInput:
        return
    assert 0 <= seconds <= MAXIMUM_S


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "invalid duration '': empty"),
        ("s", "expected a number at 's'"),
        ("-5s", "expected a number at '-5s'"),
        ("+5s", "expected a number at '+5s'"),
        ("1m30x", "unknown unit 'x'"),
        ("1m30", "'30' has no unit"),
        ("1 m", "unknown unit ' m'"),
        ("1.2.3s", "expected a number at '1.2.3s'"),
        ("1e3s", "unknown unit 'e'"),
        ("1_000s", "unknown unit '_'"),
        ("5d", "unknown unit 'd'"),
        ("٣s", "expected a number at '٣s'"),
        ("9" * 400 + "s", "longer than a hundred years"),
    ],
)
def test_the_message_names_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_duration(text)
    assert why in caught.value.message
    assert caught.value.hint is not None
    assert "1m30s" in caught.value.hint
