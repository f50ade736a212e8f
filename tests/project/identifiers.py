"""``python3 -m tests.project.identifiers``: how often words that explain nothing are used as names.

Knows which words, and how a name is taken apart; must not know what any name stands for. Exit status 1 when a word that is no
name anywhere is one somewhere.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache

from tests.project.source_tree import ALL_FILES, walk_file

#: Words that are not names, not even in part.
NEVER = ("said", "asked", "told", "kept", "whole", "nobody", "everybody")

#: Words for which there is nearly always a better one: value, path, item, available, required, observed, maximum.
RARELY = ("found", "place", "thing", "know", "knows", "given", "wanted", "called", "seen", "most", "such")


@cache
def words(name: str) -> list[str]:
    """The words of a name in snake_case, CamelCase or both.

    >>> words("_parse_HTTPHeader_lines2")
    ['parse', 'http', 'header', 'lines']
    """
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def names(file: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a file names: variables, attributes, arguments, functions, classes, and the file itself."""
    yield 1, file
    for node in walk_file(file):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, (ast.arg, ast.keyword)):
            yield line, node.arg or ""
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
            yield line, node.name or ""
        elif isinstance(node, ast.alias):
            yield from ((line, name) for name in (node.name, node.asname or ""))


def uses(*listed: str) -> list[tuple[str, int, str, str]]:
    """File, line, name and word of each use of a listed word in a name."""
    return [(file, line, name, word) for file in ALL_FILES for line, name in names(file) for word in words(name) if word in listed]


def count_uses() -> tuple[list[str], list[str]]:
    """For each folder a line that says how often each word is used, and a line for each use of a word that is no name."""
    names_in_use = uses(*NEVER, *RARELY)
    counts = Counter((file.partition("/")[0], word) for file, _, _, word in names_in_use)
    folders = ("eidos", "tests")
    lines = [f"names in {folder}: " + ", ".join(f"{word} {counts[folder, word]}" for word in (*NEVER, *RARELY)) for folder in folders]
    return lines, [f"{file}:{line}: {name}: {word!r} is not a name" for file, line, name, word in names_in_use if word in NEVER]


def main() -> int:
    """Print how often each word is used, and every use of those that must not be."""
    lines, faults = count_uses()
    print(*lines, *faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
