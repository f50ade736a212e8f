"""Bundles as the tests of bundles make them: one of each golden recipe, once."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import yaml

from eidos.model.bundle import mode_of
from eidos.model.recipe import Recipe
from eidos.workflow import make_bundle

ROOT = Path(__file__).resolve().parent.parent.parent

#: The recipes that the shipped data gives, whole.
RECIPES = sorted((ROOT / "tests" / "golden" / "recipes").glob("*.yaml"))


def recipe(path: Path) -> dict[str, Any]:
    """The document of one recipe."""
    tree = _loaded(path)
    assert isinstance(tree, dict)
    return tree


@functools.cache
def _loaded(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def made(path: Path) -> dict[str, tuple[bytes, int]]:
    """The files of the bundle of one recipe: path → bytes and mode."""
    return bundle_of(path, ())


@functools.cache
def bundle_of(path: Path, sets: tuple[str, ...]) -> dict[str, tuple[bytes, int]]:
    """The same with values set."""
    return files_of(path, sets=sets)


def files_of(path: Path, **options: Any) -> dict[str, tuple[bytes, int]]:
    """The files of a bundle made with options."""
    return files_of_tree(recipe(path), **options)


def files_of_tree(tree: dict[str, Any], **options: Any) -> dict[str, tuple[bytes, int]]:
    """The files of a bundle of a recipe's document, made with options."""
    bundle = make_bundle(Recipe.from_tree(tree, "recipe"), **options)
    assert not bundle.errors, bundle.errors
    return {path: (content, mode_of(path)) for path, content in bundle.files.items()}


def data_of(files: dict[str, tuple[bytes, int]], name: str) -> list[Any]:
    """The documents of one YAML file of a bundle."""
    return [document for document in yaml.safe_load_all(files[name][0]) if document is not None]


def written(files: dict[str, tuple[bytes, int]], folder: Path) -> Path:
    """The files on disk, with their modes."""
    for name, (content, mode) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.chmod(path, mode)
    return folder
