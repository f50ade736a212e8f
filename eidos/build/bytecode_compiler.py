"""The program that each interpreter runs to compile the modules for its own bytecode.

Knows how source becomes marshalled code that is the same in every build, and which docstrings stay; must not know where the code goes.
Reads marshalled ``[(file, source, names)]`` from standard input and writes the interpreter's magic number and the marshalled code of
each file to standard output. Docstrings are dropped, and asserts, which only tell the type checker what a value is: bytecode is a sixth
smaller and a start a twentieth faster. Of a module with ``names`` its own docstring and those of these classes and functions stay, for
``help()``.
"""

from __future__ import annotations

import ast
import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

#: Up to 3.10 the reference flags of marshal's newer versions depend on what the process did before.
VERSION = 2 if sys.version_info < (3, 11) else marshal.version


def compile_module(file: str, source: bytes, names: Collection[str]) -> bytes:
    """The marshalled code of a module."""
    if not names:
        return marshal.dumps(compile(source, file, "exec", 0, True, 2), VERSION)
    tree = ast.parse(source)
    for definition in tree.body:
        if getattr(definition, "name", None) not in names:
            for node in ast.walk(definition):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                    first = node.body[0]
                    node.body[0] = ast.copy_location(ast.Pass(), first)
    return marshal.dumps(compile(tree, file, "exec", 0, True, 1), VERSION)


def main() -> None:
    """Compile what standard input lists."""
    from _frozen_importlib_external import MAGIC_NUMBER

    modules = marshal.load(sys.stdin.buffer)  # noqa: S302 - from the build
    codes = [compile_module(f"eidos.pyz/{file}", source, names) for file, source, names in modules]
    marshal.dump((MAGIC_NUMBER, codes), sys.stdout.buffer, 2)


if __name__ == "__main__":
    main()
