"""Every sentence of the program that can reach a person: literals of the package, recipes, and templates.

Knows Python's syntax, and which keys of the data are prose; must not know which phrases are bad.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.project.source_tree import PACKAGE_FILES, ROOT, parse_file

#: What an f-string shows for a value that only a run knows.
HOLE = "{}"

#: Keys of recipe data whose values are sentences.
PROSE_KEYS = {"title", "why", "images-unknown"}

#: Files of the templates that people read, or that print.
TEMPLATE_SUFFIXES = {".md", ".sh", ".yaml", ".html", ".txt"}


class Prose(NamedTuple):
    """A text and where it is written."""

    file: str
    line: int
    text: str


def literals(tree: ast.AST, file: str = "") -> Iterator[Prose]:
    r"""Each literal of a syntax tree that holds a blank, in the form in which it is shown; docstrings are not shown.

    >>> tree = ast.parse('"a docstring"\nraise InvalidInput(f"{name!r} is " "empty", "write one")\nkey = "word"')
    >>> [text for _, _, text in literals(tree)]
    ['{} is empty', 'write one']
    """
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return
    text = _shown(tree)
    if text is not None:
        if " " in text.strip():
            yield Prose(file, getattr(tree, "lineno", 0), text)
        for part in ast.walk(tree):
            if isinstance(part, ast.FormattedValue):
                yield from literals(part.value, file)
        return
    for child in ast.iter_child_nodes(tree):
        yield from literals(child, file)


def _shown(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_shown(part) or HOLE for part in node.values)
    return None


def package_prose() -> list[Prose]:
    """The sentences of the package's own code."""
    return [prose for file in PACKAGE_FILES for prose in literals(parse_file(file), file)]


def recipe_prose() -> list[Prose]:
    """Titles, reasons and contexts of the recipe data."""
    paths = sorted(path for path in (ROOT / "recipes").rglob("*.yaml") if "values" not in path.parts)
    return [prose for path in paths for prose in _sentences(yaml.compose(path.read_text(encoding="utf-8")), path)]


def _sentences(node: Any, path: Path, *, all_values: bool = False) -> Iterator[Prose]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            prose = all_values or key.value in PROSE_KEYS
            if prose and isinstance(value, yaml.ScalarNode):
                yield Prose(str(path.relative_to(ROOT)), value.start_mark.line + 1, value.value)
            yield from _sentences(value, path, all_values=key.value == "context")
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _sentences(child, path)


def template_prose() -> list[Prose]:
    """The lines of templates that people read."""
    paths = sorted(path for path in (ROOT / "templates").rglob("*") if path.suffix in TEMPLATE_SUFFIXES)
    return [
        Prose(str(path.relative_to(ROOT)), number, line)
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\w \w", line)
    ]
