"""The program that each interpreter runs to compile the modules for its own bytecode.

Knows how source becomes marshalled code that is the same in every build, and which docstrings stay; must not know where the code goes.
Reads marshalled ``[(file, source, names)]`` and groups of files from standard input, and writes to standard output the interpreter's
magic number, the marshalled code of each file, and for each group the marshalled mapping of its modules to their code. Docstrings are
dropped, and what only tells the type checker what a value is: asserts, its imports, the annotations of functions. Bytecode is a fifth
smaller and a start a twentieth faster. Of a module with ``names`` its own docstring and those of these classes and functions stay, with
annotations, for ``help()``.
"""

from __future__ import annotations

import ast
import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from types import CodeType

    from typing_extensions import TypeGuard

#: What ``from __future__ import annotations`` tells the compiler.
_ANNOTATIONS = annotations.compiler_flag

#: Up to 3.10 the reference flags of marshal's newer versions depend on what the process did before.
VERSION = 2 if sys.version_info < (3, 11) else marshal.version


def compile_module(file: str, source: bytes, names: Collection[str]) -> CodeType:
    """The code of a module."""
    tree = ast.parse(source)
    # A flag says the same as the import, which would import a module at every start.
    future = [statement for statement in tree.body if isinstance(statement, ast.ImportFrom) and statement.module == "__future__"]
    tree.body = [statement for statement in tree.body if statement not in future]
    flags = _ANNOTATIONS if future else 0
    drop_types(tree, names)
    if not names:
        optimized: CodeType = compile(tree, file, "exec", flags, True, 2)
        return optimized
    for definition in tree.body:
        if getattr(definition, "name", None) not in names:
            for node in ast.walk(definition):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                    first = node.body[0]
                    node.body[0] = ast.copy_location(ast.Pass(), first)
    documented: CodeType = compile(tree, file, "exec", flags, True, 1)
    return documented


def drop_types(tree: ast.Module, names: Collection[str] = ()) -> None:
    """Remove from a module what only a type checker reads, but for the annotations in the classes and functions with these names.

    Annotations of classes stay: records are made of them.
    """
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and any(map(_is_for_type_checker, body)):
            remaining = [each for statement in body for each in (statement.orelse if _is_for_type_checker(statement) else [statement])]
            setattr(node, "body", remaining or [ast.copy_location(ast.Pass(), body[0])])  # noqa: B010 - not every node has one
    for definition in tree.body:
        if getattr(definition, "name", None) not in names:
            for node in ast.walk(definition):
                if isinstance(node, ast.FunctionDef):
                    node.returns = None
                elif isinstance(node, ast.arg):
                    node.annotation = None


def _is_for_type_checker(statement: ast.stmt) -> TypeGuard[ast.If]:
    return isinstance(statement, ast.If) and isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"


def main() -> None:
    """Compile what standard input lists."""
    from _frozen_importlib_external import MAGIC_NUMBER

    modules, groups = marshal.load(sys.stdin.buffer)  # noqa: S302 - from the build
    texts = {}
    for file, source, names in modules:
        texts[file] = marshal.dumps(compile_module(f"eidos.pyz/{file}", source, names), VERSION)
    # Read again, so that nothing but the texts decides which objects the modules share.
    together = [
        marshal.dumps({name: marshal.loads(texts[file]) for name, file in group}, VERSION)  # noqa: S302 - of a moment ago
        for group in groups
    ]
    marshal.dump((MAGIC_NUMBER, texts, together), sys.stdout.buffer, 2)


if __name__ == "__main__":
    main()
