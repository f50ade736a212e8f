"""``python3 -m tests.project.identifiers``: how often words that explain nothing are used as names.

Knows which words, how a name is taken apart and where the project gives one; must not know what any name stands for. Exit status 1 when
a word that is no name is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache

from tests.project.source_tree import ALL_FILES, walk_file

#: Words that are not names, not even in part: for each there is a better one, such as value, path, item, requested, observed or maximum.
NEVER = (
    *("said", "asked", "told", "kept", "whole", "nobody", "everybody", "found", "place", "places"),
    *("thing", "things", "know", "knows", "given", "wanted", "called", "seen", "most", "such"),
)

#: What HTTP, Kubernetes, Python and NVML call the absence of something.
TERM = ["not", "found"]


@cache
def words(name: str) -> list[str]:
    """The words of a name in snake_case, CamelCase or both.

    >>> words("_parse_HTTPHeader_lines2")
    ['parse', 'http', 'header', 'lines']
    """
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def wrong_words(name: str) -> list[str]:
    """Those of its words that are no names.

    >>> wrong_words("places_found"), wrong_words("ObjectNotFound")
    (['places', 'found'], [])
    """
    parts = words(name)
    return [word for index, word in enumerate(parts) if word in NEVER and parts[max(index - 1, 0) : index + 1] != TERM]


def names(file: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a file gives a name: variables, attributes, arguments, functions, classes, and the file itself."""
    yield 1, file
    for node in walk_file(file):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield line, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield line, node.attr
        elif isinstance(node, ast.arg):
            yield line, node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
            yield line, node.name or ""
        elif isinstance(node, ast.alias):
            yield line, node.asname or ""


def count_uses() -> tuple[list[str], list[str]]:
    """For each folder a line that says how often each word is used, and a line for each use."""
    uses = [(file, line, name, word) for file in ALL_FILES for line, name in names(file) for word in wrong_words(name)]
    counts = Counter((file.partition("/")[0], word) for file, _, _, word in uses)
    lines = [f"names in {folder}: " + ", ".join(f"{word} {counts[folder, word]}" for word in NEVER) for folder in ("eidos", "tests")]
    return lines, [f"{file}:{line}: {name}: {word!r} is not a name" for file, line, name, word in uses]


def main() -> int:
    """Print how often each word is used, and every use."""
    lines, faults = count_uses()
    print(*lines, *faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
