"""Makes the blocks of bytecode that ``eidos/archive/bytecode_importer.py`` imports from.

Knows what code is compiled without, and which modules are compressed together; must not know where interpreters are, nor how the
archive is written. No start of the program needs it: ``build_zipapp.py`` does, and every interpreter that it compiles for, which
runs this file by itself and then :func:`answer`.

Left out is what no part of the program reads while it runs, a fifth of all code: docstrings (of a module the first line stays, it
is what ``snapshot --list`` says), annotations of functions and of a module's names, and what stands under ``if TYPE_CHECKING:``.
Asserts stay, and so does every line number.
"""

from __future__ import annotations

import ast
import marshal
import re
import sys
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType
    from typing import Any

_NAMES = ("_build", "cli", "cli.help", "cli.version", "errors", "log", "output", "resources")

#: Modules that every start needs: not compressed, so that ``--version`` does without zlib, which is a shared library.
START = frozenset({"eidos"}.union(f"eidos.{name}" for name in _NAMES))


def code_of(text: bytes, file: str) -> CodeType:
    r"""The code of a module, without what the program can do without.

    >>> code = code_of(b"def double(number: int) -> int:\n  'Twice.'\n  return 2 * number\n", "x.py")
    >>> exec(code, names := {})
    >>> names["double"](4), names["double"].__doc__, names["double"].__annotations__
    (8, None, {})
    """
    code: CodeType = compile(_Leaner().visit(ast.parse(text, file)), file, "exec", 0, True, 0)
    return code


class _Leaner(ast.NodeTransformer):
    """Takes out of a module what it can do without."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """A module: its names need no annotations."""
        if _documented(node):
            text: Any = node.body[0]
            text.value.value = text.value.value.partition("\n")[0]
        node.body = [_plain(statement) for statement in node.body]
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A class: its annotations are what a Record is made from."""
        return _undocumented(self.generic_visit(node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function."""
        return _unannotated(_undocumented(self.generic_visit(node)))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """A coroutine."""
        return _unannotated(_undocumented(self.generic_visit(node)))

    def visit_If(self, node: ast.If) -> object:
        """What only type checkers run."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or ast.copy_location(ast.Pass(), node)
        return node


def _documented(node: Any) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _undocumented(node: Any) -> ast.AST:
    if _documented(node):
        node.body[0] = ast.copy_location(ast.Pass(), node.body[0])
    whole: ast.AST = node
    return whole


def _unannotated(node: Any) -> ast.AST:
    given = node.args
    node.returns = None
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if argument is not None:
            argument.annotation = None
    whole: ast.AST = node
    return whole


def _plain(statement: ast.stmt) -> ast.stmt:
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return ast.copy_location(ast.Assign([statement.target], statement.value), statement)
    return statement


# What is compiled, and how, comes by standard input.
_CHILD = """
import marshal, sys
program = {}
exec(marshal.load(sys.stdin.buffer), program)
program["answer"]()
"""


def compiled(python: str, modules: Mapping[str, bytes]) -> tuple[bytes, dict[str, bytes]]:
    """The magic number of the interpreter at a path, and file → marshalled code of each module.

    It compiles in a process of its own, whose environment is empty but for the hash seed. Raises CalledProcessError when it cannot.
    """
    import subprocess

    with open(__file__, "rb") as own:
        given = marshal.dumps(own.read(), 2) + marshal.dumps(sorted(modules.items()), 2)
    # Not -I or -E: they ignore the hash seed. Without columns (3.11 and later) code is a fifth smaller; tracebacks keep their lines.
    command = [python, "-S", "-W", "ignore", "-X", "no_debug_ranges", "-c", _CHILD]
    done = subprocess.run(command, input=given, env={"PYTHONHASHSEED": "0"}, cwd="/", stdout=subprocess.PIPE, check=True)
    magic, codes = marshal.loads(done.stdout)
    return magic, dict(zip(sorted(modules), codes))


def answer() -> None:
    """In the interpreter that is compiled for: read (file, text) pairs, write its magic number and the marshalled code of each."""
    from _frozen_importlib_external import MAGIC_NUMBER

    # Up to 3.10 the reference flags of marshal's newer forms depend on what the process did before.
    version = 2 if sys.version_info < (3, 11) else marshal.version
    pairs = marshal.load(sys.stdin.buffer)
    codes = [marshal.dumps(code_of(text, "eidos.pyz/" + file), version) for file, text in pairs]
    marshal.dump((MAGIC_NUMBER, codes), sys.stdout.buffer, 2)


def importers(modules: Mapping[str, bytes]) -> dict[str, int]:
    """Name of each module → how many others import it, anywhere in their text; ``modules`` is file → text.

    >>> importers({"a/__init__.py": b"", "a/b.py": b"def f(): from a import c", "a/c.py": b"import a.b", "d.py": b"from a.c import g"})
    {'a': 1, 'a.b': 1, 'a.c': 2, 'd': 0}
    """
    found = {_module(file): 0 for file in modules}
    for file, text in modules.items():
        named: set[str | None] = set()
        for node in ast.walk(ast.parse(text, file)):
            if isinstance(node, ast.Import):
                named.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                named.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        for name in named - {_module(file)}:
            if name in found:
                found[name] += 1
    return found


def _module(file: str) -> str:
    return re.sub(r"(/__init__)?\.py$", "", file).replace("/", ".")


def block(magic: bytes, codes: Mapping[str, bytes], wanted: Mapping[str, int]) -> bytes:
    """The block of one interpreter: its magic number, file → marshalled code, and name → how many modules import it.

    In a group what costs little and is wanted by many comes first: it is inflated no further than to the last module that is needed.
    """
    names = {_module(file): file for file in codes}
    groups: dict[str, list[str]] = {"": []}
    for name in sorted(names, key=lambda name: (-wanted[name] / len(codes[names[name]]), name)):
        groups.setdefault("" if name in START else names[name].rpartition("/")[0] or name, []).append(name)
    plain = b"".join(codes[names[name]] for name in groups[""])
    index: dict[str, tuple[bool, int, int, int]] = {}
    places: list[tuple[int, int]] = []
    bodies = b""
    for number, members in enumerate(groups.values()):
        body = b""
        for name in members:
            code = codes[names[name]]
            index[name] = (names[name].endswith("/__init__.py"), number, len(body), len(code))
            body += code
        if number:
            packer = zlib.compressobj(9, zdict=plain)
            body = packer.compress(body) + packer.flush()
        places.append((len(bodies), len(body)))
        bodies += body
    heads = (codes["eidos/archive/bytecode_importer.py"], marshal.dumps((index, places), 2))
    return magic + b"".join(len(head).to_bytes(4, "little") + head for head in heads) + bodies
