"""What holds of the bundle of every golden recipe."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.bundle_files import each_recipe, files_of_tree, made
from tests.support.bundle_files import recipe as document


@each_recipe
def test_nothing_tells_when_it_was_made(path: Path) -> None:
    files = made(path)
    clock = re.compile(rb"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
    for name, (content, _) in files.items():
        # The recipe has the date of its data.
        lines = [line for line in content.splitlines() if b"recipe-timestamp: " not in line]
        assert not any(map(clock.search, lines)), name
    assert {name: content for name, (content, _) in files_of_tree(document(path)).items()} == {n: c for n, (c, _) in files.items()}


@each_recipe
def test_no_placeholder_is_left(path: Path) -> None:
    for name, (content, _) in made(path).items():
        assert b"@{" not in content.replace(b"[@]}", b""), name
        is_theirs = name in ("install.sh", "functions.sh") or name.startswith("node/ansible/")
        assert b"{{" not in content or is_theirs, f"{name}: only what kubectl, helm and Ansible fill in is written so"


@each_recipe
def test_every_manifest_of_a_component_comes_along(path: Path) -> None:
    files = made(path)
    for name in files:
        id, _, rest = name.partition("/")
        if rest.startswith("manifests/") and not rest.startswith("manifests/examples/") and rest != "manifests/clusterpolicy.yaml":
            assert f"'{rest}'".encode() in files[f"{id}/component.sh"][0], name
