"""The laws of names: no two things share one, and none needs an explanation."""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.project import identifiers
from tests.project.source_tree import ALL_FILES, MODULES, PACKAGE_FILES, parse_file

FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}

#: What a verb is called in the rooms where it is a command, an endpoint and a document.
VERB_FOLDERS = {"eidos/cli", "eidos/server/handlers", "eidos/model"}

#: File names that several modules share, and why.
SHARED_FILE_NAMES: dict[str, str] = {}

#: For now: class names that are used twice, and how many uses of words that are not names are left, by folder. Both only shrink.
CLASS_NAMES = {
    "Kept",
}
REMAINING = {
    "eidos/cli": 2,
    "eidos/collectors": 4,
    "eidos/kube": 132,
    "tests/cli": 73,
    "tests/collectors": 38,
    "tests/files": 9,
    "tests/fleet": 4,
    "tests/http_wire": 25,
    "tests/kube": 149,
    "tests/property": 20,
    "tests/telemetry": 17,
    "tests/workflow": 1,
}


@pytest.mark.parametrize("file", ALL_FILES)
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
    refused = {name: where for name, where in shared.items() if not set(where) <= VERB_FOLDERS and name not in SHARED_FILE_NAMES}
    assert not refused
    assert not SHARED_FILE_NAMES.keys() - shared.keys(), "these are shared no longer"


def test_no_public_class_name_is_used_twice() -> None:
    modules = defaultdict(list)
    for name, file in MODULES.items():
        for node in parse_file(file).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(name)
    assert not {name: where for name, where in modules.items() if len(where) > 1 and name not in CLASS_NAMES}


def test_names_are_words_to_search_for() -> None:
    counts = Counter("/".join(Path(file).parts[:2]) for file, *_ in identifiers.uses(*identifiers.NEVER))
    assert not {folder: count for folder, count in counts.items() if count > REMAINING.get(folder, 0)}
