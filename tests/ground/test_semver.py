"""Versions as vendors write them: read, ordered, matched, and refused with the position of the fault."""

from __future__ import annotations

import pytest

from eidos import semver
from eidos.semver import InvalidVersion, NegativeNumber, NotNumeric, Version, parse_version


@pytest.mark.parametrize(
    ("text", "numbers", "extra"),
    [
        ("1.33", (1, 33), ""),
        ("24.04", (24, 4), ""),
        ("580.82.07", (580, 82, 7), ""),
        ("v1.30.14-eks-3025e55", (1, 30, 14), "eks-3025e55"),
        ("V2", (2,), ""),
        ("6.8.0-1024-aws", (6, 8, 0), "1024-aws"),
        ("1.33.5+k3s1", (1, 33, 5), "k3s1"),
        ("1.33.5-gke.1337000", (1, 33, 5), "gke.1337000"),
        ("4.3.1-1", (4, 3, 1), "1"),
        ("5.14.0_el9", (5, 14, 0), "el9"),
        ("2023", (2023,), ""),
        ("6.6.72+", (6, 6, 72), ""),
        ("6.18.0-rc3+", (6, 18, 0), "rc3+"),
        ("6.6.96.2-2.azl3", (6, 6, 96), "2-2.azl3"),
        ("5.15.186.1-1.cm2", (5, 15, 186), "1-1.cm2"),
    ],
)
def test_numbers_and_extra_are_separate_and_the_text_stays(text: str, numbers: tuple[int, ...], extra: str) -> None:
    version = parse_version(text)
    assert (version.numbers, version.extra, str(version)) == (numbers, extra, text)
    assert repr(version) == f"Version({text!r})"


@pytest.mark.parametrize(
    ("text", "kind", "position"),
    [
        ("", InvalidVersion, 0),
        ("v", InvalidVersion, 1),
        ("1.2.3.4", InvalidVersion, 6),
        ("1.x.4", NotNumeric, 2),
        ("1..4", NotNumeric, 2),
        ("1.", NotNumeric, 2),
        ("latest", NotNumeric, 0),
        ("1.-2", NegativeNumber, 2),
        ("-1", NegativeNumber, 0),
        ("v-3.2", NegativeNumber, 1),
        ("1.2-", InvalidVersion, 3),
        ("1.2.3-", InvalidVersion, 5),
        ("1.33+", InvalidVersion, 4),
        ("1.2.3.4+a", InvalidVersion, 6),
        ("1.2.3.4-", InvalidVersion, 7),
        ("1.2.3.x-1", InvalidVersion, 6),
        ("1.2.3.4.5-1", InvalidVersion, 6),
        ("1.2- 3", InvalidVersion, 4),
        ("1.2-a\n", InvalidVersion, 4),
        ("1.٣", NotNumeric, 2),
        ("1.-٣", NotNumeric, 2),
        ("1." + "9" * 19, InvalidVersion, 2),
        (" 1.2", NotNumeric, 0),
    ],
)
def test_what_is_no_version_is_refused_with_the_position(text: str, kind: type[InvalidVersion], position: int) -> None:
    with pytest.raises(InvalidVersion) as caught:
        parse_version(text)
    assert type(caught.value) is kind
    assert (caught.value.text, caught.value.position) == (text, position)


def test_the_position_of_the_fault_is_shown() -> None:
    with pytest.raises(NotNumeric) as caught:
        parse_version("1.x.4")
    assert caught.value.message == "invalid version '1.x.4': 'x' is not a number"
    assert caught.value.excerpt == ("1.x.4", 2)


def test_a_long_text_is_shown_in_part() -> None:
    with pytest.raises(InvalidVersion) as caught:
        parse_version("x" * 10_000)
    assert all(len(line) < 200 for line in caught.value.message.splitlines())


def test_a_number_has_eighteen_digits_or_fewer() -> None:
    assert parse_version("9" * 18).numbers == (10**18 - 1,)
    with pytest.raises(InvalidVersion, match="more than 18 digits"):
        parse_version("9" * 19)


@pytest.mark.parametrize(("length", "shown"), [(60, 60), (61, 59)])
def test_sixty_characters_of_a_text_are_shown(length: int, shown: int) -> None:
    text = "1." + "x" * (length - 2)
    with pytest.raises(InvalidVersion) as caught:
        parse_version(text)
    assert repr(text[:shown] + ("…" if shown < length else "")) in caught.value.message


@pytest.mark.parametrize("length", [30, 31])
def test_thirty_characters_of_a_part_are_shown(length: int) -> None:
    part = "x" * length
    with pytest.raises(NotNumeric) as caught:
        parse_version(f"1.{part}")
    assert f": {part if length <= 30 else part[:29] + '…'!r} is not a number" in caught.value.message


@pytest.mark.parametrize(("zeros", "caret"), [(58, 58), (59, 59), (60, 59), (90, 59)])
def test_a_fault_behind_what_is_shown_is_marked_at_its_end(zeros: int, caret: int) -> None:
    with pytest.raises(InvalidVersion) as caught:
        parse_version("0" * zeros + "-")
    assert caught.value.position == zeros
    assert caught.value.excerpt is not None
    assert caught.value.excerpt[1] == caret


def test_versions_are_shared_and_not_without_bound() -> None:
    assert parse_version("7.6.5") is parse_version("7.6.5")
    cache = semver._CACHE
    cache.clear()
    for number in range(3000):
        parse_version(str(number))
        assert len(cache) <= 1024
    assert len(cache) > 100, "it is emptied when it is full, and not for each"


def test_extras_never_decide_an_order() -> None:
    assert parse_version("1.33.5-eks-1") == parse_version("1.33.5-gke.9") == parse_version("v1.33.5")
    assert parse_version("6.8.0-1024-aws") < parse_version("6.8.1-1-aws")
    assert sorted(map(parse_version, ["1.33.10", "1.33.9", "1.34"])) == [
        parse_version("1.33.9"),
        parse_version("1.33.10"),
        parse_version("1.34"),
    ]


@pytest.mark.parametrize(
    ("version", "key", "met"),
    [
        ("1.33.5", "1.33", True),
        ("1.33", "1.33.5", False),
        ("1.33.5-eks-3025e55", "1.33.5", True),
        ("1.33.5", "1.33.5-eks-3025e55", False),
        ("1.33.5-eks-3025e55", "1.33-eks-3025e55", True),
        ("1.33.5-gke.1", "1.33.5-eks-3025e55", False),
        ("1.3", "1.33", False),
        ("24.04", "24.4", True),
        ("24.04.1", "24", True),
    ],
)
def test_a_key_speaks_of_all_versions_that_are_at_least_as_exact(version: str, key: str, met: bool) -> None:
    assert parse_version(version).matches(parse_version(key)) is met


def test_a_version_equals_no_text() -> None:
    assert parse_version("1.2") != "1.2"
    assert len({parse_version("1.2"), parse_version("1.2.0"), Version("v1.2", (1, 2), "")}) == 1
