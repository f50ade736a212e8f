"""The work of every parser grows with its input and not with the square of it, and none recurses once for each character.

Whatever the text is, a parser returns something or raises an error that it documents: these texts are fuzz as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
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
    ("list with keys, compared", Shape("", "a ", "")),
    ("gaps and readings", Shape("", "/", "")),
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


class Work:
    """Steps that a function took, and the clock that they move: a microsecond each, and more while other processes have the machine."""

    def __init__(self, steps: Callable[[int], int], slowness: Sequence[int]) -> None:
        self._steps, self._slowness, self._now = steps, iter(slowness), 0.0

    def parse(self, text: str) -> None:
        self._now += self._steps(len(text)) * 1e-6 * next(self._slowness, 1)

    def clock(self) -> float:
        return self._now


GROWTHS: dict[str, tuple[Callable[[int], int], str | None]] = {
    "linear": (lambda length: length, None),
    "sorting": (lambda length: length * length.bit_length(), None),
    "square": (lambda length: length**2 // 1000, "16 kB take 16 times as long as 4 kB"),
    "square of a tenth": (lambda length: length + length**2 // 10_000, "64 kB take 8. times as long as 4 kB"),
    "square of little": (lambda length: length // 100 + length**2 // 10**7, "1024 kB take 11. times as long as 64 kB"),
}


#: How much longer the first runs take than the others. Three runs of the small text come first, then one of each in turn.
@pytest.mark.parametrize("slowness", [[], [30], [30, 30], [1, 30, 30, 30], [1, 1, 1, 30, 30, 30, 30, 30]])
@pytest.mark.parametrize("growth", GROWTHS)
def test_growth_with_the_square_is_detected_on_a_loaded_machine(growth: str, slowness: list[int]) -> None:
    steps, expected = GROWTHS[growth]
    work = Work(steps, slowness)
    assert re.match(expected or "None", str(excessive_growth(work.parse, Shape("", "ab", ""), thorough=True, clock=work.clock)))


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
    unlisted = {name: name.partition(".") for name in listed - set(NOT_LISTED)}
    missing = [name for name, (module, _, function) in unlisted.items() if function not in measured and module not in by_flag]
    assert not missing, "add a row to tests/property/parsers.py"
    assert not set(NOT_LISTED) - listed, "no such function"
