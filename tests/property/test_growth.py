"""The work of every parser grows with its input and not with the square of it, and none recurses once for each character.

Whatever the text is, a parser returns something or raises an error that it documents: these texts are fuzz as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.property.parsers import FLAG_MODULES, PARSERS
from tests.support.effort import examples
from tests.support.growth import Shape, draw_shapes, excessive_growth

EIDOS = Path(__file__).parents[2] / "eidos"

#: How names of functions begin that take a text apart.
PREFIXES = ("parse_", "redact_", "split_", "unquote", "resolve_", "decode_")

#: Functions with such a name that need no row: what they do is one of the rows, or bounded before they see it.
NOT_LISTED = {
    "command_lines.unquote_script_word": "called by redact_script",
    "harmless_forms.unquote_once": "called by is_harmless",
    "random_words.split_at": "called by has_random_part",
    "object_store_locations.parse_location": "reads a file; its text goes to parse_presigned_url",
    "options.parse_choice": "a word and those that are allowed",
    "peer.parse_address": "called by client_address",
    "plain_scalars.resolve_number": "called by resolve_scalar with what has the form of a number",
    "yaml_scalars.resolve_plain": "called by the reader of YAML",
    "yaml_scalars.unquoted": "called by the reader of YAML",
}

#: What was too slow once, or recursed, or failed with an error that is none of ours.
FAILED_ONCE = (
    ("redaction of a text", Shape("", "/", "")),
    ("redaction of a text", Shape("", "key=", "")),
    ("redaction of a text", Shape("", "eyJhbGciOi.eyJzdWIiOi.a:", "")),
    ("boot parameters", Shape("", "a ", "")),
    ("boot parameters", Shape("", '"a b" ', "")),
    ("boot line, collected", Shape("a=", "/", "")),
    ("boot line, collected", Shape("", "a=b ", "")),
    ("boot line, collected", Shape("-- ", "a ", "")),
    ("duration", Shape("", "1h", "")),
    ("natural order", Shape("", "1", "")),
    ("natural order", Shape("", "a", "")),
    ("folded host list", Shape("", "1", "")),
    ("names of files", Shape("", "a,", "")),
    ("host list", Shape("", "a[1-99999],", "")),
    ("documents of a template", Shape("", "---\n", "")),
    ("documents of a template", Shape("", "a: b\n---\n", "")),
    ("template", Shape("", "@{a}", "")),
    ("template", Shape("", "`@{a}\n", "")),
    ("placeholder", Shape("", "@{", "")),
    ("table with all lines", Shape("", "\u00e9", "")),
    ("output of a remote program", Shape("", "--m begin\n--m end--m begin\n", "")),
    ("nvidia-smi", Shape("", "<processes>", "")),
    ("nvidia-smi", Shape("", "<gpu><a>", "")),
)


@pytest.mark.exhaustive(sample=40)
@pytest.mark.parametrize("name", PARSERS)
def test_work_grows_with_the_text(name: str) -> None:
    parser = PARSERS[name]
    is_thorough = examples(100) > 100
    for shape in draw_shapes(name, examples(8), parser.atoms):
        assert excessive_growth(parser.run, shape, is_thorough) is None, shape


@pytest.mark.parametrize(("name", "shape"), FAILED_ONCE)
def test_what_failed_once(name: str, shape: Shape) -> None:
    assert excessive_growth(PARSERS[name].run, shape, thorough=True) is None


def test_growth_with_the_square_is_found() -> None:
    def copies_its_rest(text: str) -> None:
        while text:
            text = text[1:]

    def counts_from_everywhere(text: str) -> int:
        return sum(text.count("c", index) for index in range(len(text)))

    shape = Shape("", "ab", "")
    assert "times as long" in str(excessive_growth(copies_its_rest, shape))
    assert "times as long" in str(excessive_growth(counts_from_everywhere, shape))
    assert excessive_growth(lambda text: text.split("a"), shape) is None


def parsers_by_name() -> Iterator[str]:
    """Public functions of modules whose name is one of a parser and whose first parameter is text, as module.function."""
    for path in sorted(EIDOS.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIXES) and node.args.args:
                annotation = node.args.args[0].annotation
                if annotation is not None and ast.unparse(annotation) in ("str", "bytes", "bytes | str", "Sequence[str]", "Iterable[str]"):
                    yield f"{path.stem}.{node.name}"


def test_every_parser_is_measured() -> None:
    tree = ast.parse((Path(__file__).with_name("parsers.py")).read_text())
    measured = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    by_flag = {module.__name__.rpartition(".")[2] for module in FLAG_MODULES}
    listed = set(parsers_by_name())
    found = {name: name.partition(".") for name in listed - set(NOT_LISTED)}
    missing = [name for name, (module, _, function) in found.items() if function not in measured and module not in by_flag]
    assert not missing, "add a row to tests/property/parsers.py"
    assert not set(NOT_LISTED) - listed, "no such function"
