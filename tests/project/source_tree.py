"""The source as data: which files there are, what they import, and which names they use.

Knows Python's syntax and the layout of the repository; must not know which laws hold.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def python_files(*folders: str) -> list[str]:
    """Paths below the repository's root, sorted."""
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(file: str) -> str:
    """The name that a file is imported by.

    >>> module_name("eidos/cli/help.py"), module_name("eidos/cli/__init__.py")
    ('eidos.cli.help', 'eidos.cli')
    """
    return re.sub(r"(/__init__)?\.py$", "", file).replace("/", ".")


#: Files that Python 2.7 can parse, to say which Python is needed.
OLD_SYNTAX_FILES = ("build_zipapp.py", "tests/__main__.py")

BUILD_FILES = python_files("eidos/build")
PACKAGE_FILES = [file for file in python_files("eidos") if file not in BUILD_FILES]
TEST_FILES = [file for file in python_files("tests") if file not in OLD_SYNTAX_FILES]
ALL_FILES = [*PACKAGE_FILES, *TEST_FILES, *BUILD_FILES, *OLD_SYNTAX_FILES]

#: Name → file of each module of the package.
MODULES = {module_name(file): file for file in [*PACKAGE_FILES, *BUILD_FILES]}


def read_lines(file: str) -> list[str]:
    """The lines of a file."""
    return (ROOT / file).read_text(encoding="utf-8").splitlines()


@cache
def parse_file(file: str) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


@cache
def walk_file(file: str) -> list[ast.AST]:
    """All nodes of a file."""
    return list(ast.walk(parse_file(file)))


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below ``node``, without those that only type checkers run."""
    waiting = [node]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
                waiting.append(ast.Module(child.orelse, []))
            else:
                yield child
                waiting.append(child)


def imports(nodes: Iterable[ast.AST], modules: Collection[str] = MODULES.keys()) -> Iterator[tuple[int, str]]:
    r"""Line and name of each of ``modules`` that is imported among ``nodes``.

    ``from eidos.kube import responses`` imports the module ``eidos.kube.responses`` and not the face of its package.

    >>> text = "import eidos.log\nfrom eidos import errors, formats\nfrom eidos.cli import main"
    >>> list(imports(ast.parse(text).body))
    [(1, 'eidos.log'), (2, 'eidos.errors'), (2, 'eidos.formats'), (3, 'eidos.cli')]
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule, module = f"{node.module}.{alias.name}", node.module or ""
                if submodule in modules:
                    yield node.lineno, submodule
                elif module in modules:
                    yield node.lineno, module


@cache
def import_graph() -> dict[str, set[str]]:
    """Module of the package → modules of the package that it imports when it runs, at its top or in a function."""
    # The face of the package gives every module the version; it imports nothing at its top.
    ignored = {"eidos"}
    return {name: {module for _, module in imports(runtime_nodes(parse_file(file)))} - {name} - ignored for name, file in MODULES.items()}


def reached(graph: Mapping[str, set[str]], start: Iterable[str]) -> set[str]:
    """What the modules of ``start`` import, directly or by way of others."""
    reached_modules: set[str] = set()
    waiting = [module for name in start for module in graph[name]]
    while waiting:
        name = waiting.pop()
        if name not in reached_modules:
            reached_modules.add(name)
            waiting += graph[name]
    return reached_modules


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another, directly or by way of others.

    >>> circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}})
    [['b', 'c']]
    """
    below = {name: reached(graph, [name]) for name in graph}
    groups = {tuple(sorted(other for other in below[name] if name in below[other])) for name in graph if name in below[name]}
    return [list(group) for group in sorted(groups)]


def for_each(files: Iterable[str]) -> Callable[[Callable[[str], None]], Callable[[], None]]:
    """Makes one test of a test of a file: of thousands, most of the time would be pytest's own. It fails with all files at fault."""

    def decorate(test: Callable[[str], None]) -> Callable[[], None]:
        def run() -> None:
            faults = []
            for file in files:
                try:
                    test(file)
                except AssertionError as fault:
                    faults.append(f"{file}: {fault}")
            assert not faults, "\n".join(faults)

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate
