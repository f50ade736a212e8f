"""Documents in and out: the layout, the corners, and what hostile documents get."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from eidos.errors import InvalidData
from eidos.formats import from_text, to_json, to_yaml
from eidos.formats.json_reader import parse_json
from eidos.formats.source_text import DocumentSyntaxError
from eidos.model.number_format import FloatLiteral, IntLiteral, format_scalar

ROOT = Path(__file__).parent.parent.parent
SNAPSHOT = ROOT / "../shared/fixtures/snapshots/h100-eks.yaml"
DATA = ROOT / "../shared/fixtures/recipes/data-v1.yaml"


def shared(path: Path) -> bytes:
    if not path.is_file():
        pytest.skip(f"no {path.name} beside the repository")
    return path.read_bytes()


# ---- out ----


def test_layout_is_that_of_yaml_v3_with_an_indent_of_two() -> None:
    tree = {
        "kind": "Snapshot",
        "metadata": {"snapshot-timestamp": "2026-11-23T06:00:00Z"},
        "measurements": [
            {"type": "OS", "subtypes": [{"subtype": "sysctl", "data": {"/proc/sys/vm/swappiness": "60", "count": 8, "on": True}}]},
            {"type": "GPU", "subtypes": []},
        ],
        "nested": [[1, [2, "x"]], {}, ()],
        "none": None,
    }
    expected = """\
        kind: Snapshot
        metadata:
          snapshot-timestamp: "2026-11-23T06:00:00Z"
        measurements:
          - type: OS
            subtypes:
              - subtype: sysctl
                data:
                  /proc/sys/vm/swappiness: "60"
                  count: 8
                  "on": true
          - type: GPU
            subtypes: []
        nested:
          - - 1
            - - 2
              - x
          - {}
          - []
        none: null
        """
    assert to_yaml(tree) == dedent(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("containerd.service", "containerd.service"),
        ("/proc/sys/vm/swappiness", "/proc/sys/vm/swappiness"),
        ("", '""'),
        ("60", '"60"'),
        ("0.7.10", '"0.7.10"'),
        ("True", '"True"'),
        ("-1", '"-1"'),
        ('say "a\\b"', '"say \\"a\\\\b\\""'),
        ("a\tb\nc\rd", '"a\\tb\\nc\\rd"'),
        ("\0\x1b\x7f\x85\x9b\xa0", '"\\x00\\x1b\\x7f\\x85\\x9b\\xa0"'),
        ("\u2028\u202e\ufeff\ufffe", '"\\u2028\\u202e\\ufeff\\ufffe"'),
        ("図 \U0001f600", '"図 \U0001f600"'),
        ("\ud800\udc80", '"\\\\ud800\\\\udc80"'),
        (1.0, "1.0"),
        (1e16, "1.0e+16"),
        (1.5e-07, "1.5e-07"),
        (1e-07, "1.0e-07"),
        (float("inf"), ".inf"),
        (float("-inf"), "-.inf"),
        (float("nan"), ".nan"),
        (18446744073709551615, "18446744073709551615"),
        (True, "true"),
        (None, "null"),
        ({}, "{}"),
        ((), "[]"),
        (FloatLiteral(24.1, "24.10"), "24.10"),
        (FloatLiteral(1000.0, "1e3"), "1000.0"),
        (IntLiteral(420, "0644"), "420"),
    ],
)
def test_scalars(value: Any, text: str) -> None:
    assert to_yaml({"a": value}) == f"a: {text}\n"
    assert to_yaml([value]) == f"- {text}\n"
    assert to_yaml(value) == f"{text}\n"


@pytest.mark.parametrize("length", [999, 1000, 1001, 1020, 1030, 5000])
@pytest.mark.parametrize("char", ["k", " ", "\n", "図"])
@pytest.mark.parametrize("value", ["v", {"a": [1]}, [1, {"b": []}], {}])
def test_long_keys(length: int, char: str, value: Any) -> None:
    tree = [{"first": 1, "a" + char * (length - 1): value, "last": 2}]
    assert yaml.safe_load(to_yaml(tree)) == from_text(to_yaml(tree), "x") == tree


@pytest.mark.parametrize("tree", [{"a": object()}, {"a": b"bytes"}, {"a": {1, 2}}, object()])
def test_what_is_no_plain_tree_is_a_type_error(tree: Any) -> None:
    for write in (to_yaml, to_json):
        with pytest.raises(TypeError):
            write(tree)


def test_yaml_keys_are_strings() -> None:
    wrong: Any = {1: "a"}
    with pytest.raises(TypeError, match="keys are strings, not int"):
        to_yaml(wrong)


def test_json() -> None:
    tree = {"ключ": ["図\x9b", 1.5, float("inf"), float("-inf"), float("nan"), "\ud800", True, None], "empty": {}}
    text = to_json(tree)
    assert text.encode().decode() == text
    assert '"ключ"' in text
    assert "\\u009b" in text
    assert json.loads(text) == {"ключ": ["図\x9b", 1.5, "Infinity", "-Infinity", "NaN", "\\ud800", True, None], "empty": {}}


def test_both_formats_hold_the_same_tree() -> None:
    tree = {"a": ["\udc80 \x85", "24.10"], "b": {"c": 18446744073709551615}}
    assert from_text(to_yaml(tree), "x") == from_text(to_json(tree), "x")


def test_the_emitter_needs_neither_yaml_nor_json_nor_re() -> None:
    code = "import sys; from eidos.formats import to_yaml; to_yaml({'a': ['b\\x85', 1.0]}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not {"yaml", "json", "re", "enum", "typing"} & set(done.stdout.decode().split())


# ---- in ----


@pytest.mark.shared
def test_the_go_programs_snapshot_is_read_as_pyyaml_reads_it() -> None:
    data = shared(SNAPSHOT)
    tree = from_text(data, "h100-eks.yaml")
    assert tree == yaml.safe_load(data)
    for text in (to_yaml(tree), to_json(tree)):
        assert from_text(text, "again") == tree


@pytest.mark.shared
def test_the_go_programs_recipe_data_is_read_as_pyyaml_reads_it() -> None:
    data = shared(DATA)
    assert from_text(data, "data-v1.yaml") == yaml.safe_load(data)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("# nothing\n", None),
        ("---\n", None),
        ("\ufeffa: 1", {"a": 1}),
        ("  \n {\n  'a': 1,}", {"a": 1}),
        ("{a: b, c: [d]}", {"a": "b", "c": ["d"]}),
        ('{"a": "two\nlines"}', {"a": "two lines"}),
        ("on: off\nyes: no\n8: 9\n~: null\ntrue: false", {"on": "off", "yes": "no", "8": 9, "~": None, "true": False}),
        ("a: 1:30\nb: =\nc: 2026-01-02\nd: !!timestamp 2026-01-02", {"a": "1:30", "b": "=", "c": "2026-01-02", "d": "2026-01-02"}),
        ("a: !!str 5\nb: !!float 5\nc: ! 5\nd: !!int '5'", {"a": "5", "b": 5.0, "c": "5", "d": 5}),
        ("a: &x [1, {b: 2}]\nc: *x", {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}),
        ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {c: 4, <<: [{c: 5, f: 6}, *x]}", None),
        ('"<<": {a: 1}', {"<<": {"a": 1}}),
        ("a: !!map {}\nb: !!seq []", {"a": {}, "b": []}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("---\n# of a chart\n---\na: 1\n---\n", {"a": 1}),
        ("a: x\n \t y\n\n  \t\n  z\nb:\n- x\n  \ty\n", {"a": "x y\n\nz", "b": ["x y"]}),
        ("a: x\n  \t# y\nb: [x\n\ty]\n", {"a": "x", "b": ["x y"]}),
        ("a: 99999999999999999999", {"a": 99999999999999999999}),
        ("a: " + "9" * 400, {"a": "9" * 400}),
    ],
)
def test_reading(text: str, tree: Any) -> None:
    if "<<: *x" in text:
        tree = {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"c": 4, "f": 6, "b": 1}}
    assert from_text(text, "x") == tree
    assert from_text(text.encode(), "x") == tree
    assert from_text(text.encode("utf-16"), "x") == tree


def test_numbers_remember_how_they_were_written() -> None:
    tree = from_text("a: 24.10\nb: 1.30\nc: 0644\nd: 1_000\ne: 1e3\nf: 24.04\ng: 17\nh: 1.5", "x")
    assert {key: format_scalar(value) for key, value in tree.items()} == {
        "a": "24.10",
        "b": "1.30",
        "c": "0644",
        "d": "1_000",
        "e": "1e3",
        "f": "24.04",
        "g": "17",
        "h": "1.5",
    }
    assert list(tree.values()) == [24.1, 1.3, 420, 1000, 1000.0, 24.04, 17, 1.5]
    assert type(tree["h"]) is float
    assert type(tree["g"]) is int
    assert format_scalar(from_text('{"a": 24.10}', "x")["a"]) == "24.10"
    assert to_yaml(from_text("a: 24.10", "x")) == "a: 24.10\n"


@pytest.mark.parametrize("value", [FloatLiteral(24.1, "24.10"), IntLiteral(420, "0644")])
def test_written_numbers_can_be_copied(value: FloatLiteral | IntLiteral) -> None:
    for copy in (deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert copy == value
        assert copy.text == value.text


def test_an_alias_shares_nothing_that_can_change() -> None:
    tree = from_text("a: &x [{b: 1}]\nc: *x\nd: {<<: &y {e: [1]}}\nf: *y", "x")
    tree["a"][0]["b"] = 2
    tree["d"]["e"].append(2)
    assert tree["c"] == [{"b": 1}]
    assert tree["f"] == {"e": [1]}


BAD = [
    ("a: 1\nb: 2\na: 3", "line 3, column 1", 'the key "a" is repeated; first used on line 1'),
    ("Zq7kD02mWx91LpTe: 1\nZq7kD02mWx91LpTe: 2", "line 2, column 1", 'the key "<withheld>" is repeated; first used on line 1'),
    ("a: &k 1\nZq7kD02mWx91LpTe: 1\nZq7kD02mWx91LpTe: *k", "line 3, column 1", 'the key "<withheld>" is repeated'),
    ('{"Zq7kD02mWx91LpTe": 1, "Zq7kD02mWx91LpTe": 2}', "line 1, column 1", 'the key "<withheld>" is repeated'),
    ("a:\n  on: 1\n  'on': 2", "line 3, column 3", 'the key "on" is repeated; first used on line 2'),
    ("&k a: 1\n*k : 2", "line 2, column 1", 'the key "a" is repeated'),
    ('{\n "b": [{"x": {},\n\n "x": 3}]}', "line 2, column 8", 'the key "x" is repeated in this object'),
    ("a: &x [1, *x]", "line 1, column 11", "an alias refers to itself"),
    ("a: &x {<<: *x}", "line 1, column 12", "an alias refers to itself"),
    ("a: *x", "line 1, column 4", "an alias to an undefined anchor"),
    ("a: 1\nb: !!python/object/apply:os.system [id]", "line 2, column 4", "the tag !!python/object/apply:os.system is not allowed"),
    ("!local a", "line 1, column 1", "a local tag is not allowed"),
    ("a: !!binary aGk=", "line 1, column 4", "the tag !!binary is not allowed"),
    ("!!set {a}", "line 1, column 1", "the tag !!set is not allowed"),
    ("a: !!int b", "line 1, column 4", "not a valid int"),
    ("a: !!seq {}", "line 1, column 4", "the tag !!seq is not allowed"),
    ("a: 1\n---\nb: 2", "line 2, column 1", "a second document begins here"),
    ("? [a]\n: b", "line 1, column 3", "a key must be a scalar"),
    ("? {a: b}\n: b", "line 1, column 3", "a key must be a scalar"),
    ("<<: 1", "line 1, column 5", "<< needs a mapping"),
    ("a:\n\tb: 1", "line 2, column 1", "cannot start any token"),
    ("a: [1, 2", "line 1, column 9", "not YAML"),
    ('a: "b', "line 1, column 6", "not YAML"),
    ("a: b: c", "line 1, column 5", "mapping values are not allowed here"),
    ('a: "\\UFFFFFFFF"', "line 1", "a number out of range"),
    ('a: "\\ud800"', "line 1, column 4", "an escape for an unpaired surrogate, \\ud800"),
    ("a: \x1b", "line 1, column 4", "the character U+001B, which YAML does not allow"),
    ("a:\n b\0", "line 2, column 3", "a NUL character"),
    (b"a:\n b\xff", "line 2, column 3", "byte 0xff is not UTF-8"),
    (b"\xff\xfea", "line 1, column 1", "is not UTF-16"),
    ('{"a": 1,\n "b"', "line 2, column 5", "not JSON"),
    ('{"a": [1,\n2}', "line 2, column 2", "not JSON"),
    ("{a: [1,\n2}", "line 2, column 2", "not YAML"),
    ('{"a": 1} {"b": 2}', "line 1, column 10", "not JSON"),
    ("[1,\n NaN]", "line 2, column 2", "NaN is not valid JSON"),
    ("[1,\n -Infinity]", "line 2, column 2", "-Infinity is not valid JSON"),
    ("[1,\n 1e999]", "line 2, column 2", "is out of range"),
    ("[1,\n " + "9" * 5000 + "]", "line 2, column 2", "a number of 5,000 digits"),
    ('["\\ud83d\\ude00",\n "\\ud800"]', "line 2, column 2", "an escape for an unpaired surrogate"),
    ("[" * 101 + "]" * 101, "line 1, column 101", "nested deeper than 100 levels"),
    ("[" * 100_000, "line 1, column 101", "nested deeper than 100 levels"),
    ('{"a":' * 100_000, "line 1, column 501", "nested deeper than 100 levels"),
    ("- " * 101 + "a", "line 1, column 201", "nested deeper than 100 levels"),
    ("a: &x " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*x" + "]" * 60, "line 2, column 64", "nested deeper than 100 levels"),
    ("[1" + ",1" * 2_000_001 + "]", "", "more than 2,000,000 values"),
]


@pytest.mark.parametrize(("data", "location", "reason"), BAD, ids=[reason[:40] for _, _, reason in BAD])
@pytest.mark.timeout(60)
def test_bad_documents_are_refused_with_line_column_and_reason(data: str | bytes, location: str, reason: str) -> None:
    with pytest.raises(InvalidData) as caught:
        from_text(data, "bad.yaml")
    assert caught.value.message.startswith(f"bad.yaml, {location}" if location else "bad.yaml: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        "*§",
        "!§",
        "!§!x",
        "!!int §",
        "!<§> x",
        "@§",
        "`§",
        "&§ &b c",
        "|§",
        '"\\q§"',
        "'§",
        "[§",
        "{a: §, b: §",
        "b: §",
        "%§",
        "\n §: 1\n§",
    ],
)
def test_a_message_does_not_repeat_a_value(value: str) -> None:
    """It may be a password that begins with a character of YAML's own."""
    with pytest.raises(InvalidData) as caught:
        from_text(f"password: {value}\n".replace("§", "swordfish"), "bad.yaml")
    assert "swordfish" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("text", ['{"a": 1,', '{"a": 1,}', "[1,]", '{"a"}', "{'a': 1}", '["x', "{,}"])
def test_a_mistake_in_json_is_explained_before_anything_imported_the_decoder(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "json.decoder"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(DocumentSyntaxError, match="not JSON"):
        parse_json(text, 100, 1000)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: b: c", "put a value that contains ': ' in quotes"),
        ("key:value\nb: 1", "the blank after each colon"),
        ("a: @b", "put a value that begins with this character in quotes"),
        ("a: *b", "put a value that begins with '*' in quotes"),
        ("a: [1 2}", "separate items with commas, and close the bracket"),
        ("a:\n  b: 1\n c: 2\n", "in the same column"),
        ('a: "b\nc: 1', "a quote is not closed"),
        ("a: [1, 2", "it may be truncated"),
        ("a:\n\tb: 1", "indent with spaces, not tabs"),
    ],
)
def test_a_mistake_in_yaml_comes_with_what_to_do(text: str, hint: str) -> None:
    with pytest.raises(InvalidData) as caught:
        from_text(text, "bad.yaml")
    assert hint in (caught.value.hint or "")


def test_what_is_not_too_deep_is_read() -> None:
    for text in ("[" * 100 + "]" * 100, "- " * 100 + "a"):
        from_text(text, "x")


def test_commas_in_strings_are_no_values() -> None:
    tree = ['\\",",' * 300_000]
    assert from_text(to_json(tree), "x") == tree


def test_the_limit_can_be_chosen() -> None:
    assert from_text(b"a: 1", "x", limit=4) == {"a": 1}
    for data in (b"a: 12", "a: 12"):
        with pytest.raises(InvalidData, match="too large"):
            from_text(data, "x", limit=4)


HOSTILE = """
import resource, sys
sys.path.insert(0, {root!r})
import yaml, json  # before the limit: what is measured is the document
from eidos.errors import InvalidData
from eidos.formats import from_text
resource.setrlimit(resource.RLIMIT_AS, (320 << 20, 320 << 20))
laughs = "a0: &a0 [" + "x, " * 10 + "]\\n" + "".join(f"a{{i + 1}}: &a{{i + 1}} [" + f"*a{{i}}, " * 10 + "]\\n" for i in range(12))
merges = "a0: &a0 {{x: 1}}\\n" + "".join(f"a{{i + 1}}: &a{{i + 1}} {{{{<<: [*a{{i}}, *a{{i}}, *a{{i}}, *a{{i}}]}}}}\\n" for i in range(20))
million = "- &x a\\n" + "- *x\\n" * 1_000_000
large = "a: b\\n" * 10_000_000
documents = [laughs, merges, million, large, large.encode(), "[" * 8_000_000]
del large
while documents:
    try:
        from_text(documents.pop(0), "x")
    except InvalidData as fault:
        print(fault)
"""

REFUSALS = [
    *["more than 250,000 values"] * 3,
    "50,000,000 characters, the limit is 33,554,432",
    "47.7 MiB, the limit is 32 MiB",
    "nested deeper than 100 levels",
]


@pytest.mark.slow
def test_hostile_documents_are_refused_in_bounded_memory() -> None:
    done = subprocess.run([sys.executable, "-c", HOSTILE.format(root=str(ROOT))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [reason in line for reason, line in zip(REFUSALS, lines)] == [True] * len(REFUSALS), done.stdout
    assert len(lines) == len(REFUSALS)
