"""Laws of documents: what is written is read alike by every reader, and whatever is read gives a tree or InvalidData."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.formats import block_yaml, from_text, to_json, to_yaml, yaml_reader
from eidos.formats.json_writer import emit_json
from eidos.formats.plain_scalars import resolve_number, resolve_scalar
from eidos.formats.source_text import DocumentSyntaxError
from tests.fakes.go_reader import GoReader, Time, why_missing
from tests.support.effort import examples

_WORDS = """
~ null Null NULL true True yes No on OFF y N = << ? - ... %YAML @ ` 1:30 12:30:45 1e3 1E3 0o17 0O17 0x1F 0X1f 0b11 08 017 0777 1_000 +1 -1
.5 5. 1.5e+3 _1 2026-1-2 2026-01-02 2026-01-02T03:04:05Z 18446744073709551616 99999999999999999999 .inf -.INF .nan inf NaN 24.10 1.30.0 v1.2
a: # [a] {a} &a *a !a | > ' " \\ \\/ \\u0041
"""
_CHARACTERS = "\t\n\r\0\x1b\x7f\x85\x9b\xa0\xad\u2028\u2029\ufeff\ufffe\uffff\u202e\u2066\U0001f600\U0001ffff\u56f3\u0301"

#: Strings that some reader has taken for something else.
TRAPS = ["", "a: b", "a #b", "--- x", "a\tb", " a", "a ", "a\n", *_WORDS.split(), *_CHARACTERS]

# Lone surrogates have no form in YAML that all take; tests/formats/test_formats.py says what becomes of them.
texts = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.sampled_from("aeEnyYtf0123456789_.-+:/~<=#,'\" \\xob\t\n"), max_size=12),
)
integers = st.integers(-(1 << 63), (1 << 64) - 1)
scalars = st.one_of(texts, integers, st.booleans(), st.none(), st.floats(allow_nan=False))
keys = st.one_of(texts, texts.map(lambda text: text * 300))
trees = st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)), max_leaves=12)


def same(left: Any, right: Any) -> bool:
    """Equal, with equal types: 1, 1.0 and True are three things."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right))
    kinds = (bool, int, float, str, type(None))
    alike = [kind for kind in kinds if isinstance(left, kind)][:1] == [kind for kind in kinds if isinstance(right, kind)][:1]
    return alike and bool(left == right or str(left) == str(right) == "nan")


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoReader]:
    missing = why_missing()
    if missing:
        pytest.skip(missing)
    reader = GoReader(tmp_path_factory.mktemp("go"))
    yield reader
    reader.close()


@given(trees)
@example(TRAPS)
@example({trap: trap for trap in TRAPS})
def test_yaml_is_read_alike_by_pyyaml_and_by_us(tree: Any) -> None:
    text = to_yaml(tree)
    assert same(yaml.safe_load(text), tree)
    assert same(from_text(text, "x"), tree)
    assert same(from_text(text.encode(), "x"), tree)


@given(trees)
@example(TRAPS)
@example({trap: trap for trap in TRAPS})
@pytest.mark.slow
def test_yaml_is_read_alike_by_go(go: GoReader, tree: Any) -> None:
    assert same(go.read("yaml", to_yaml(tree)), tree)


@given(trees)
@example(TRAPS)
def test_json_is_read_alike_by_python_and_by_us(tree: Any) -> None:
    assume("Infinity" not in json.dumps(tree))
    text = to_json(tree)
    assert same(json.loads(text), tree)
    assert same(from_text(text, "x"), tree)


@given(trees)
@example(TRAPS)
@pytest.mark.slow
def test_json_is_read_alike_by_go(go: GoReader, tree: Any) -> None:
    assume("Infinity" not in json.dumps(tree))
    assert same(go.read("json", to_json(tree)), tree)


@given(st.text())
def test_every_string_has_a_form(text: str) -> None:
    sayable = text.encode(errors="backslashreplace").decode()
    assert from_text(to_yaml({"a": text}), "x") == yaml.safe_load(to_yaml({"a": text})) == {"a": sayable}
    assert from_text(to_json({"a": text}), "x") == {"a": sayable}


@given(trees)
def test_a_document_cannot_steer_a_terminal(tree: Any) -> None:
    for text in (to_yaml(tree), to_json(tree)):
        assert not [char for char in text if (ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0 or "\u202a" <= char <= "\u202e"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_text(value: float) -> None:
    from eidos.model.number_format import format_scalar

    assert format_scalar(resolve_scalar(f"{value}")) == f"{value}"
    assert format_scalar(resolve_scalar(f"{value}0")) == f"{value}0"


numberlike = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.sampled_from("0123456789+-._eExXoObBaAfF:"), max_size=10),
    st.text(st.sampled_from("nulNULtrefasTRUEFALSyYoOfF~.iInNaA"), max_size=6),
    st.from_regex(r"\A[-+]?0[xXoObB][0-9a-fA-F_]{1,8}\Z"),
    st.from_regex(r"\A[-+]?[0-9_]{1,12}(\.[0-9_]{0,4})?([eE][-+]?[0-9]{1,3})?\Z"),
)


#: Numbers in resolve.go of yaml.v3, without underscores.
INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z", re.ASCII)
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z", re.ASCII)


@given(st.text(st.sampled_from("0127.eE+-xXbBoOf\u0663"), min_size=1, max_size=8))
def test_a_plain_number_is_what_its_form_says(text: str) -> None:
    value = resolve_number(text, text)
    expected = int if INTEGER.match(text) else float if FLOAT.match(text) else str
    assert isinstance(value, (expected, str) if expected is float else expected)  # a float that is too large stays text


@given(numberlike)
@settings(max_examples=examples(500))
@pytest.mark.slow
def test_plain_scalars_are_what_go_takes_them_for(go: GoReader, text: str) -> None:
    document = f"a: {text}\n"
    try:
        theirs = go.read("yaml", document)
    except ValueError:
        return
    # A comment, a tag, a nested mapping: no plain scalar.
    assume(isinstance(theirs, dict) and set(theirs) == {"a"} and not isinstance(theirs["a"], (dict, list)))
    try:
        ours = from_text(document, "x")["a"]
    except InvalidData:
        assume(False)
    expected = theirs["a"]
    if isinstance(expected, Time):
        assert ours == text.strip()
    elif isinstance(expected, float) and isinstance(ours, int):
        assert abs(ours) >= 1 << 63
        assert math.isclose(ours, expected)
    else:
        assert same(ours, expected)


_PIECES = """
a b: ? : - -- { } [ ] , " ' \\ \\u00 \\ud800 \\U0011 &x *x <<: !!str !!int !!python/none !<x> !e!f ---
... | |2- > # 1 1.5 ~ = null true NaN 1e999
"""
_SPACES = [
    "\n",
    "\n  ",
    "\n    ",
    "\t",
    " ",
    "\r",
    "\x85",
    "\u2028",
    "\ufeff",
    "\0",
    "\x1b",
    "\ud800",
    "\u00e9",
    "%TAG ! x\n",
    "%YAML 1.1\n",
    "9" * 400,
]
pieces = st.sampled_from([*_PIECES.split(), *(piece + " " for piece in _PIECES.split()), *_SPACES])


def refused_or_read(data: bytes | str) -> tuple[str | None, Any]:
    try:
        return None, from_text(data, "input.yaml")
    except InvalidData as fault:
        return fault.message, None


@given(st.one_of(st.lists(pieces, max_size=40).map("".join), st.binary(), st.text(), st.lists(pieces).map(lambda p: "{" + "".join(p))))
@example("? ")
@example("a: &x {<<: *x}")
@example('"\\UFFFFFFFF"')
@example("{" * 3000)
@example("- " * 3000)
@example("? " * 3000)
@example("a: " * 3000)
@example("!<" + "%ff" * 10 + "> a")
@example(b"\xff\xfe")
@example(b"\xff\xfe\x00\xd8")
@settings(max_examples=examples(400))
def test_whatever_is_read_gives_a_tree_or_invalid_data(data: bytes | str) -> None:
    refused, tree = refused_or_read(data)
    if refused is None:
        assert same(from_text(to_yaml(tree), "again"), tree)
    else:
        assert refused.startswith("input.yaml")


@given(trees, st.sampled_from([None, 2]))
def test_json_is_written_as_the_standard_library_does(tree: Any, indent: int | None) -> None:
    try:
        expected = json.dumps(tree, ensure_ascii=False, indent=indent, allow_nan=False)
        expected.encode()
    except ValueError:  # not a number, or half of a surrogate pair
        return
    written = emit_json(tree, indent)
    assert written == f"{expected}\n" or not expected.replace("\n", "").isprintable()  # what steers terminals is escaped
    assert json.loads(written) == json.loads(expected)


@given(trees, st.sampled_from([to_yaml, to_json]), st.data())
def test_a_document_cut_off_is_read_or_refused_with_its_line(tree: Any, write: Callable[[Any], str], data: st.DataObject) -> None:
    text = write(tree).encode()
    refused, _ = refused_or_read(text[: data.draw(st.integers(0, len(text)))])
    assert refused is None or ", line " in refused


# ---- the fast way in ----

_LINES = st.sampled_from(
    [
        "a",
        "b",
        '"c d"',
        "true",
        "-",
        "- ",
        ":",
        ": ",
        " ",
        "  ",
        "    ",
        "\n",
        "\n",
        "1",
        "01",
        "-5",
        "~",
        "null",
        "{}",
        "[]",
        "#",
        '"x"',
        '"',
        "\\",
        "1.5",
        "\\t",
        '\\"',
        "\\\\",
        'k: "',
        "\n",
    ]
)


@settings(max_examples=examples(600))
@given(
    st.one_of(
        trees.map(to_yaml),
        st.lists(_LINES, max_size=20).map("".join),
        st.lists(_LINES, max_size=12).map(lambda parts: "".join(parts) + "\n"),
    )
)
def test_what_is_read_fast_is_what_is_read_slowly(text: str) -> None:
    try:
        tree = block_yaml.parse_block_yaml(text)
    except DocumentSyntaxError:
        with pytest.raises(DocumentSyntaxError):
            yaml_reader.parse_yaml(text, 100, 250_000)
        return
    if tree is not block_yaml.UNKNOWN:
        assert same(yaml_reader.parse_yaml(text, 100, 250_000), tree)


def test_our_own_documents_are_read_fast() -> None:
    text = to_yaml(
        {"kind": "Recipe", "metadata": {"x": "24.04", "empty": {}}, "list": [{"a": 1, "b": True, "c": ["x", "y: z"]}, "k", None]}
    )
    assert same(block_yaml.parse_block_yaml(text), yaml_reader.parse_yaml(text, 100, 250_000))
