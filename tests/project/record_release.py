"""``python3 -m tests.project.record_release VERSION [FOLDER]``: add the record of a release to ``recipes/releases.yaml``.

Run it when a version is released, before the version in ``eidos/__init__.py`` is raised; ``FOLDER`` holds the recipes of an older one.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from eidos import formats
from eidos.recipe.release_notes import record
from eidos.recipe.store import from_folder
from tests.project.source_tree import ROOT

FILE = ROOT / "recipes" / "releases.yaml"
HEAD = """\
# What the recipes of each release were, for 'eidos recipe list --changes-since VERSION': of each query of a grid the number of its set of
# components, and digests of its readings and constraints. Written by 'python3 -m tests.project.record_release VERSION'; never edited.
"""


def record_of(folder: Path) -> dict[str, object]:
    """The record of the recipes in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    trees = {
        str(path.relative_to(folder)): formats.from_text(path.read_bytes(), path.name)
        for path in files
        if path.suffix == ".yaml" and path.relative_to(folder).parts[0] != "values" and path.name != FILE.name
    }
    return record(from_folder(trees, hashlib.sha256("".join(lines).encode()).hexdigest()))


def main(version: str, folder: str = str(ROOT / "recipes")) -> None:
    """Add the record, or replace that of the version."""
    records = formats.from_text(FILE.read_bytes(), FILE.name) if FILE.exists() else {}
    records[version] = record_of(Path(folder))
    FILE.write_text(HEAD + formats.to_yaml(records), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
