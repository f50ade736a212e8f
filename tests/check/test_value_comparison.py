"""How a reading compares with the recommended one: each way, and what the shipped data says of the paths of recipes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.check.judge import read_check_data
from eidos.check.value_comparison import WAYS, ComparisonRule, read_comparisons
from eidos.errors import InvalidData
from eidos.recipe.store import shipped_store


@pytest.mark.parametrize(
    ("way", "kind", "expected", "actual", "holds"),
    [
        ("equal", "", "1", "1", True),
        ("equal", "", "1", "01", True),
        ("equal", "", "0x10", "16", True),
        ("equal", "", "1", "2", False),
        ("equal", "", "pt", "PT", True),
        ("equal", "", "4096\t87380", "4096 87380", True),
        ("equal", "", "4096\t87380", "4096 87380 1", False),
        ("equal", "", "580.82.07", "580.82.7", True),
        ("equal", "text", "580.82.07", "580.82.7", False),
        ("equal", "number", "2M", "2048K", True),
        ("equal", "number", "2M", "2G", False),
        ("equal", "", "80 GiB", "81920MiB", True),
        ("equal", "switch", "1", "on", True),
        ("equal", "switch", "enable", "Enabled", True),
        ("equal", "switch", "y", "1", True),
        ("equal", "switch", "disable", "0", True),
        ("equal", "switch", "1", "0", False),
        ("equal", "switch", "1", "maybe", False),
        ("equal", "", "1", None, False),
        ("at-least", "", "536870912", "536870913", True),
        ("at-least", "", "536870912", "212992", False),
        ("at-least", "", "4096 87380 268435456", "4096 131072 536870912", True),
        ("at-least", "", "4096 87380 268435456", "4096 131072", False),
        ("at-least", "version", "v26.3.3", "v26.7.0", True),
        ("at-least", "version", "v26.3.3", "v25.10.1", False),
        ("at-least", "version", "4.6.0-1-ubuntu24.04", "4.6.0-1-ubi9", True),
        ("at-least", "version", "13.0", "13.0.2", True),
        ("at-least", "", "5", "latest", False),
        ("at-most", "", "1", "0", True),
        ("at-most", "", "1", "60", False),
        ("one-of", "", "fq, fq_codel", "fq_codel", True),
        ("one-of", "", "fq, fq_codel", "pfifo", False),
        ("present", "", "true", "anything", True),
        ("present", "", "true", None, False),
        ("absent", "", "", None, True),
        ("absent", "", "", "x", False),
        ("contains", "", "a=1,b", "b,c,a=1", True),
        ("contains", "", "a=1,b", "b,c", False),
        ("range", "", "32768 60999", "40000", True),
        ("range", "", "32768 60999", "80", False),
    ],
)
def test_each_way(way: str, kind: str, expected: str, actual: str | None, holds: bool) -> None:
    assert ComparisonRule("OS.x.y", way, kind).is_satisfied(expected, actual) is holds


texts = st.text("0123456789 .xkMG-\tab,", max_size=12) | st.text(max_size=6)


@given(st.sampled_from(WAYS[:-1]), st.sampled_from(["", "number", "version", "switch", "text"]), texts.filter(bool))
def test_a_value_satisfies_itself(way: str, kind: str, text: str) -> None:
    rule = ComparisonRule("OS.x.y", way, kind)
    if way not in ("absent", "range") and (way != "one-of" or (text.strip() == text and "," not in text)):
        assert rule.is_satisfied(text, text)
    assert rule.describe(text)


@given(st.sampled_from(WAYS), st.sampled_from(["", "number", "version", "switch", "text"]), texts, texts | st.none())
def test_any_two_texts_compare(way: str, kind: str, expected: str, actual: str | None) -> None:
    assert ComparisonRule("OS.x.y", way, kind).is_satisfied(expected, actual) in (True, False)


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_more_is_at_least_as_good_and_less_is_not(low: int, high: int) -> None:
    low, high = sorted((low, high))
    minimum, maximum = ComparisonRule("OS.x.y", "at-least"), ComparisonRule("OS.x.y", "at-most")
    assert minimum.is_satisfied(str(low), str(high))
    assert maximum.is_satisfied(str(high), str(low))
    assert minimum.is_satisfied(str(high), str(low)) == (low == high)


def test_the_last_rule_counts() -> None:
    tree = {"comparisons": [{"path": "OS.a.*", "how": "equal"}, {"path": "OS.a.b", "how": "at-least"}]}
    comparisons = read_comparisons(tree)
    assert (comparisons.rule("OS.a.b").way, comparisons.rule("OS.a.c").way, comparisons.rule("OS.x.y").way) == (
        "at-least",
        "equal",
        "equal",
    )


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"path": "OS.a.b", "how": "nearly"}, "unknown how"),
        ({"path": "OS.*.*", "how": "equal"}, "a path can have one *"),
        ({"path": "OS.a.b", "how": "equal", "as": "float"}, "unknown as"),
        ({"how": "equal"}, "expected a name"),
        ({"path": "OS.a.b", "how": "equal", "if": "x"}, "unknown field 'if'"),
    ],
)
def test_malformed_rules_are_refused_where_they_are_wrong(entry: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidData, match=r"comparisons.yaml: comparisons\[0\]") as caught:
        read_comparisons({"comparisons": [entry]})
    assert why in caught.value.message


def test_what_is_larger_than_recommended_is_no_fault() -> None:
    comparisons = read_check_data(shipped_store().check_data).comparisons
    assert comparisons is not None
    for path in ("net/core/rmem_max", "net/core/wmem_default", "net/ipv4/tcp_rmem", "vm/max_map_count", "fs/inotify/max_user_watches"):
        rule = comparisons.rule(f"OS.sysctl./proc/sys/{path}")
        assert (rule.way, rule.absent) == ("at-least", "not-applicable"), path
    assert comparisons.rule("OS.sysctl./proc/sys/vm/swappiness").way == "at-most"
    assert comparisons.rule("OS.sysctl./proc/sys/vm/overcommit_memory").way == "equal"
    assert comparisons.rule("K8s.config.rdma").way == "ignore"
