"""Laws of versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.semver import InvalidVersion, Version, parse_version
from tests.property.strategies import extras, version_texts

versions = version_texts().map(parse_version) | version_texts(small=True).map(parse_version)


@given(st.lists(versions, max_size=3))
def test_order_is_total_and_goes_with_equality_and_hash(some: list[Version]) -> None:
    for a in some:
        assert a == a and not a < a and a <= a and a >= a  # noqa: PLR0124 - that is the law
        for b in some:
            assert [a < b, a == b, a > b].count(True) == 1
            assert (a <= b) == (a < b or a == b)
            assert (a >= b) == (b <= a)
            assert a != b or hash(a) == hash(b)
            for c in some:
                assert not (a <= b <= c) or a <= c


@given(versions)
def test_what_is_printed_is_what_was_read(version: Version) -> None:
    again = parse_version(str(version))
    assert (again.text, again.numbers, again.extra) == (version.text, version.numbers, version.extra)


@given(version_texts(small=True), version_texts(small=True), extras, extras)
def test_an_extra_never_affects_an_order(one: str, other: str, extra: str, another: str) -> None:
    bare = [text.partition("-")[0].partition("+")[0].partition("~")[0].partition("_")[0] for text in (one, other)]
    a, b = map(parse_version, bare)
    c, d = parse_version(bare[0] + extra), parse_version(bare[1] + another)
    assert (a < b, a == b) == (c < d, c == d) == (parse_version(one) < parse_version(other), parse_version(one) == parse_version(other))


@given(versions)
def test_a_version_meets_itself_and_every_shorter_one(version: Version) -> None:
    assert version.matches(version)
    for count in range(1, len(version.numbers) + 1):
        key = parse_version(".".join(map(str, version.numbers[:count])))
        assert version.matches(key)
        assert key.matches(version) == (count == len(version.numbers) and not version.extra)


@given(versions, versions, versions)
def test_keys_nest(version: Version, key: Version, wider: Version) -> None:
    if version.matches(key) and key.matches(wider):
        assert version.matches(wider)
    if version.matches(key) and key.matches(version):
        assert version == key


@given(st.text(max_size=30) | st.text(alphabet="0123456789.-+~_v x", max_size=12))
def test_any_text_is_a_version_or_no_version(text: str) -> None:
    refused: InvalidVersion | None = None
    try:
        version = parse_version(text)
    except InvalidVersion as fault:
        refused = fault
    if refused is None:
        assert version.text == text
        assert 1 <= len(version.numbers) <= 3
        return
    assert refused.text == text
    assert refused.hint
    assert 0 <= refused.position <= len(text)
    assert refused.excerpt is not None and refused.excerpt[1] == min(refused.position, 60)


@given(st.text(alphabet="0123456789.-x", min_size=61, max_size=300))
def test_the_caret_stays_on_the_screen(text: str) -> None:
    with pytest.raises(InvalidVersion) as caught:
        parse_version("x" + text)
    assert len(caught.value.message) < 200
    assert caught.value.excerpt is not None and len(caught.value.excerpt[0]) <= 61 and caught.value.excerpt[1] <= 60
