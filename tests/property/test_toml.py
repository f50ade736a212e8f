"""Laws of the TOML reader: it gives what Python's own reader gives, and any text gives a mapping or the documented error."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.formats.toml_reader import DEPTH_LIMIT, parse_toml
from tests.support.effort import examples

#: Texts of few pieces meet the corners of the grammar far more often than any text.
PIECES = (
    *(
        "a",
        "b",
        " = ",
        "1",
        "[",
        "[[",
        "]",
        "]]",
        "\n",
        ".",
        '"x"',
        "'y'",
        '"""',
        "'''",
        ",",
        "{",
        "}",
        " ",
        "#c",
        "true",
        "0",
        "-",
        "+",
        "_",
    ),
    *("e5", "0x1F", "1.5", "\\", "\\n", "\\u00e9", "\r\n", "2020-01-01", "07:32:00", "inf", "é", "a = 1\n", "[a]\n", "[[b]]\n", "[a.b]\n"),
    *("a.c = 1\n", "x = {a = 1}\n", "y = [1, 2]\n", "\t", "\x00", "\x7f"),
)
documents = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)

keys = st.text(max_size=6)
scalars = st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False) | st.text(max_size=12)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8)


def write_text(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08X}" if c in '"\\' or ord(c) < 32 or ord(c) == 127 else c for c in text) + '"'


def write_value(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{write_text(key)} = {write_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write_value, value)) + "]"
    if isinstance(value, str):
        return write_text(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def parse(text: str) -> Any:
    try:
        return parse_toml(text)
    except InvalidData:
        return None


@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_comes_back(tree: dict[str, Any]) -> None:
    text = "".join(f"{write_text(key)} = {write_value(value)}\n" for key, value in tree.items())
    assert parse_toml(text) == tree
    sections = "".join(
        f"[{write_text(key)}]\n" + "".join(f"{write_text(name)} = {write_value(each)}\n" for name, each in value.items())
        for key, value in tree.items()
        if isinstance(value, dict)
    )
    assert parse_toml(sections) == {key: value for key, value in tree.items() if isinstance(value, dict)}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="this Python has no tomllib to compare with")
@given(documents)
@example("a = 1979-05-27 07:32:00Z\nb = 07:32:00.5\n")
@example("a = [1, 2,]\n[[b]]\nc = {d.e = 1}\n[b.f]\n")
def test_it_reads_what_pythons_reader_reads(text: str) -> None:
    tomllib = importlib.import_module("tomllib")  # mypy checks for Python 3.9
    try:
        expected: Any = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError):
        expected = None
    assert comparable(parse(text), of_ours=True) == comparable(expected, of_ours=False)


def comparable(value: Any, of_ours: bool) -> Any:
    """A tree in which dates and times, which stay text with us, are one mark."""
    if isinstance(value, dict):
        return {key: comparable(each, of_ours) for key, each in value.items()}
    if isinstance(value, list):
        return [comparable(each, of_ours) for each in value]
    if isinstance(value, str):
        is_time = of_ours and value[:2].isdigit() and (value[2:3] == ":" or value[4:5] == "-")
        return "(time)" if is_time else value
    if value is None or isinstance(value, (bool, int)):
        return value
    return repr(value) if isinstance(value, float) else "(time)"


@given(st.text(max_size=200) | documents)
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    message = ""
    try:
        assert isinstance(parse_toml(text), dict)
    except InvalidData as fault:
        message = fault.message
    if message:
        assert message.startswith("line ")
        assert int(message[5:].partition(":")[0]) <= text.count("\n") + 1


@pytest.mark.parametrize("text", ["a = " + "[" * 1000, "a = " + "{a = " * 1000, "a" + ".a" * 1000 + " = 1", "[" + "a." * 1000 + "a]"])
def test_nesting_is_bounded(text: str) -> None:
    assert parse(text) is None
    assert parse("a = " + "[" * (DEPTH_LIMIT // 2) + "]" * (DEPTH_LIMIT // 2)) is not None


def test_the_sample_is_large_enough() -> None:
    assert examples(100) >= 5
