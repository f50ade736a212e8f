"""Laws of placeholders: what stands still, what is replaced, and what a missing value or a malformed placeholder raises."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.templates.placeholder import ABSENT, MalformedPlaceholder, Placeholder, parse_text
from eidos.templates.template_syntax import split_text
from eidos.templates.text_template import fill_text, parse_template
from eidos.templates.tree_template import fill_documents, fill_tree, placeholders
from tests.support.effort import examples

#: Every character that means something to the syntax, and some that do not.
syntax = st.text(st.sampled_from("@{}|? ab.1\n\"'$\\`"), max_size=30)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
plain = texts.filter(lambda text: "@{" not in text)
names = st.text(st.sampled_from("abc.-0"), min_size=1, max_size=6)


def filled(text: str, values: dict[str, Any], path: str = "a.txt") -> str:
    return fill_text(path, parse_template(text), values)


@given(plain)
def test_a_text_without_placeholders_is_unchanged(text: str) -> None:
    assert filled(text, {}) == filled(text, {}, "a.sh") == filled(text, {}, "a.md") == fill_tree(text, {}) == text


@settings(max_examples=examples(300))
@given(syntax)
def test_any_text_is_parsed_or_refused_with_its_line(text: str) -> None:
    try:
        parts = parse_text(text)
    except MalformedPlaceholder as fault:
        line = fault.line
        with pytest.raises(InvalidData, match=f"^line {line}: "):
            parse_template(text)
        return
    assert json.loads(json.dumps(split_text(text))) == split_text(text)
    assert "".join(part if isinstance(part, str) else "" for part in parts).count("@{") == text.count("@@{")


@given(
    st.lists(
        st.one_of(plain.map(lambda text: text.replace("@", "")), names.map("@{{{}}}".format), names.map("@{{{}?}}".format)), max_size=8
    ),
    plain,
)
def test_what_is_filled_in_has_no_placeholder(parts: list[str], value: str) -> None:
    text = "".join(parts)
    values = {part.name: value.replace("@", "") for part in parse_text(text) if isinstance(part, Placeholder)}
    assert [part for part in parse_text(filled(text, values)) if isinstance(part, Placeholder)] == []
    assert list(placeholders(fill_tree([text, {"a": text}], values))) == []


@given(names, texts)
def test_a_value_is_inserted_and_never_searched(name: str, value: str) -> None:
    assert filled(f"<@{{{name}}}>", {name: value}) == f"<{value}>"
    assert fill_tree({"part": f"<@{{{name}}}>", "alone": f"@{{{name}}}"}, {name: value}) == {"part": f"<{value}>", "alone": value}


@pytest.mark.parametrize(
    ("text", "values", "alone", "inside"),
    [
        ("@{a}", {"a": "x"}, "x", "x"),
        ("@{a}", {"a": ""}, "", ""),
        ("@{a}", {"a": None}, None, ""),
        ("@{a?}", {"a": "x"}, "x", "x"),
        ("@{a?}", {"a": ""}, "", ""),
        ("@{a?}", {}, ABSENT, ""),
        ("@{a | 1}", {}, 1, "1"),
        ("@{a | 1}", {"a": ""}, 1, "1"),
        ("@{a | 1}", {"a": None}, 1, "1"),
        ("@{a | 1}", {"a": False}, False, "false"),
        ("@{a | 1}", {"a": 0}, 0, "0"),
        ("@{a | '1'}", {}, "1", "1"),
        ("@{a|}", {}, None, ""),
        ("@{ a | b | c }", {}, "b | c", "b | c"),
        ("@{a | 24.10}", {}, 24.1, "24.10"),
        ("@{a | 580.126.20}", {}, "580.126.20", "580.126.20"),
        ("@{a | true}", {}, True, "true"),
    ],
)
def test_data_and_text_resolve_alike(text: str, values: dict[str, Any], alone: Any, inside: str) -> None:
    value = fill_tree(text, values)
    assert (value, type(value) is bool) == (alone, type(alone) is bool)
    assert filled(text, values) == inside
    assert fill_tree(f"<{text}>", values) == (ABSENT if alone is ABSENT else f"<{inside}>")


@pytest.mark.parametrize("text", ["@{}", "@{ }", "@{a b}", "@{a{b}", "@{?}", "@{a? | 1}", "@{é}", "@{a", "@{a\n}", '@{"a"}'])
def test_a_malformed_placeholder_is_refused(text: str) -> None:
    for fill in (fill_tree, filled):
        with pytest.raises(InvalidData, match=r"invalid placeholder|unclosed placeholder"):
            fill(f"x\n{text}", {"a": 1})


def test_a_missing_value_is_named_with_its_file_and_line() -> None:
    source = "# @{driver.version2}\na: 1\nb:\n  c: '@{driver.version}'\n"
    with pytest.raises(InvalidData, match=r"^values\.yaml, line 4: undefined variable 'driver\.version'$") as caught:
        fill_documents([{"a": 1, "b": {"c": "@{driver.version}"}}], {"driver.versions": 1}, "values.yaml", lambda: source)
    assert "driver.versions" in str(caught.value.hint)
    with pytest.raises(InvalidData, match=r"^line 3: undefined variable 'b'$"):
        filled("@{a}\n\n@{b}", {"a": 1})


@given(names, st.integers(0, 5))
def test_any_missing_value_is_located(name: str, lines: int) -> None:
    source = "\n" * lines + f"a: '@{{{name}}}'\n"
    with pytest.raises(InvalidData, match=f"^a.yaml, line {lines + 1}: undefined variable '{re.escape(name)}'$"):
        fill_documents([{"a": f"@{{{name}}}"}], {}, "a.yaml", lambda: source)
    with pytest.raises(InvalidData, match=f"^line {lines + 1}: "):
        filled(source, {})


def test_containers_left_empty_go_and_those_written_empty_stay() -> None:
    tree = {"a": {"b": "@{x?}"}, "c": ["@{x?}"], "d": [], "e": {}, "f": ["@{list}"], "g": "@{list}", "h": ["1", "@{list}"]}
    assert fill_tree(tree, {"list": []}) == {"d": [], "e": {}, "g": [], "h": ["1"]}
    assert fill_tree(["@{list}", ["@{list}"]], {"list": [1, 2]}) == [1, 2, [1, 2]]


def test_what_is_filled_in_shares_nothing_with_the_values() -> None:
    values = {"a": {"b": [1]}}
    result = fill_tree({"x": "@{a}", "y": "@{a}"}, values)
    result["x"]["b"].append(2)
    assert (values, result["y"]) == ({"a": {"b": [1]}}, {"b": [1]})


def test_a_list_stands_alone_in_data_and_becomes_words_in_scripts() -> None:
    with pytest.raises(InvalidData, match="'a' is a list and cannot be part of a text"):
        fill_tree("<@{a}>", {"a": [1]})
    assert filled("set -- @{a}", {"a": ["x y", 1]}, "a.sh") == "set -- 'x y' '1'"
    with pytest.raises(InvalidData, match="line 1: the value contains a NUL"):
        filled("@{a}", {"a": "\0"}, "a.sh")
