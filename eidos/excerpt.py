"""Cuts out of a module the definitions that nobody names.

Knows how definitions name one another; must not know the module, nor who names what. No start of the program needs it:
``build_zipapp.py`` does, for NVIDIA's bindings. Of their 2,400 constants, structures and functions the program calls fifty; the
others would be an eighth of the archive, and most of the time that an import of them takes.
"""

from __future__ import annotations

import ast
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: What defines a name at the top level of a module, and nothing else.
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def excerpt(text: str, wanted: Iterable[str]) -> str:
    r"""The module without functions, classes and constants that neither ``wanted`` nor any that stays names.

    A string that stays names too: what equals it, and what begins with it where it ends in ``_`` (names are looked up that way).
    Each line is the original's or empty, so that numbers of lines stay; what stands before the first statement, the license, stays.

    >>> excerpt("# License\nA_X = 1\nB = 2\ndef one():\n    return dir('A_')\ndef two():\n    return B\n", ["one"])
    "# License\nA_X = 1\n\ndef one():\n    return dir('A_')\n\n\n"
    """
    statements = ast.parse(text).body
    definitions: dict[str, list[ast.stmt]] = {}
    for statement in statements:
        for name in _defined(statement):
            definitions.setdefault(name, []).append(statement)
    kept = {id(statement) for statement in statements if not _defined(statement)}
    names = {name for statement in statements if id(statement) in kept for name in _named(statement, definitions)}
    names.update(definitions.keys() & set(wanted))
    seen: set[str] = set()
    while names - seen:
        name = min(names - seen)
        seen.add(name)
        for statement in definitions[name]:
            kept.add(id(statement))
            names.update(_named(statement, definitions))
    lines = text.split("\n")
    stay = set(range(_begin(statements[0])))
    for statement in statements:
        if id(statement) in kept:
            stay.update(range(_begin(statement), statement.end_lineno or 0))
    return "\n".join(line if number in stay else "" for number, line in enumerate(lines))


def words(text: str) -> set[str]:
    """Everything in a text that could be a name, in strings and comments too.

    >>> sorted(words("call('nvmlInit', 1)"))
    ['1', 'call', 'nvmlInit']
    """
    return set(re.findall(r"\w+", text))


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement defines, if that is all that it does."""
    if isinstance(statement, _DEFINES):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        return names if len(names) == len(statement.targets) else []
    return []


def _named(statement: ast.stmt, definitions: Iterable[str]) -> set[str]:
    """Of the names that are defined, those that a statement may look up."""
    found: set[str] = set()
    prefixes: list[str] = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
            prefixes += [node.value] if len(node.value) > 1 and node.value.endswith("_") else []
    return {name for name in definitions if name in found or name.startswith(tuple(prefixes))}


def _begin(statement: ast.stmt) -> int:
    """Number of its first line, from 0, with its decorators."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)]) - 1
