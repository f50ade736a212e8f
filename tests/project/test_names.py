"""The laws of names: no two things share one."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

from tests.project.source_tree import ALL_FILES, MODULES, PACKAGE_FILES, for_each, parse_file

FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}

#: What a verb is called in the rooms where it is a command, an endpoint and a document.
VERB_FOLDERS = {"eidos/cli", "eidos/server/handlers", "eidos/model"}

#: File names that several modules share, and why.
SHARED_FILE_NAMES: dict[str, str] = {}


@for_each(ALL_FILES)
def test_a_module_is_named_after_what_it_holds(file: str) -> None:
    path = Path(file)
    assert not {path.stem, *path.parent.parts} & FORBIDDEN
    standard: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())
    if path.parent == Path("eidos"):
        assert path.stem not in standard - {"__main__"}, "shadows a module of the standard library"


def test_no_two_modules_share_a_file_name() -> None:
    folders = defaultdict(set)
    for file in PACKAGE_FILES:
        folders[Path(file).name].add(str(Path(file).parent))
    shared = {name: sorted(where) for name, where in folders.items() if name != "__init__.py" and len(where) > 1}
    of_verbs = {name for name, where in shared.items() if "eidos/cli" in where and set(where) <= VERB_FOLDERS}
    assert not shared.keys() - of_verbs - SHARED_FILE_NAMES.keys()
    assert not SHARED_FILE_NAMES.keys() - shared.keys(), "these are shared no longer"


def test_no_public_class_name_is_used_twice() -> None:
    modules = defaultdict(list)
    for name, file in MODULES.items():
        for node in parse_file(file).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(name)
    assert not {name: where for name, where in modules.items() if len(where) > 1}
