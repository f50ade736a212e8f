"""Bundles as the tests of bundles make them: one of each golden recipe, once."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from eidos.bundle.bundle_options import BundleOptions, ComponentValues, parse_assignment
from eidos.kube.labels import parse_toleration
from eidos.model.bundle import Bundle, file_mode
from eidos.model.chart import Chart
from eidos.model.recipe import Recipe
from eidos.recipe.charts import load_charts
from eidos.workflow import make_bundle

Test = TypeVar("Test", bound=Callable[..., None])

ROOT = Path(__file__).resolve().parent.parent.parent

#: The recipes that the shipped data gives, whole.
#: Recipes without components, as on OpenShift, make no bundle.
RECIPES = sorted(path for path in (ROOT / "tests" / "golden" / "recipes").glob("*.yaml") if "\ncomponents:" in path.read_text())


#: PyYAML's reader, in C where that is there: ten times as fast, and of what bundles hold there is a lot.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str | bytes) -> Any:
    """What PyYAML reads in a document."""
    return yaml.load(text, Loader)


def load_documents(text: str | bytes) -> list[Any]:
    """What PyYAML reads in a stream of documents."""
    return list(yaml.load_all(text, Loader))


def each_recipe(test: Test) -> Test:
    """Gives a test the ``path`` of each golden recipe; a run that is not for all takes a few of them."""
    return each_recipe_of(RECIPES)(test)


def each_recipe_of(paths: Sequence[Path]) -> Callable[[Test], Test]:
    """The same with these recipes alone."""

    def decorate(test: Test) -> Test:
        each: Test = pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)(test)
        sampled: Test = pytest.mark.exhaustive(sample=8)(each)
        return sampled

    return decorate


def recipe(path: Path) -> dict[str, Any]:
    """The document of one recipe."""
    tree = _loaded(path)
    assert isinstance(tree, dict)
    return tree


@functools.cache
def _loaded(path: Path) -> object:
    return load_yaml(path.read_bytes())


def made(path: Path) -> dict[str, tuple[bytes, int]]:
    """The files of the bundle of one recipe: path → bytes and mode."""
    return bundle_of(path, ())


@functools.cache
def bundle_of(path: Path, sets: tuple[str, ...]) -> dict[str, tuple[bytes, int]]:
    """The same with values set."""
    return files_of(path, sets=sets)


def build(
    recipe: Recipe,
    *,
    sets: Sequence[str] = (),
    values: Mapping[str, dict[str, Any]] | None = None,
    accelerated_tolerations: Sequence[str] = (),
    system_tolerations: Sequence[str] = (),
    **options: Any,
) -> Bundle:
    """A bundle made with options, those that have a form of their own as people write them.

    The shipped charts are read once: a checkout parses them each time.
    """
    return make_bundle(
        recipe,
        BundleOptions(
            assignments=tuple(map(parse_assignment, sets)),
            values=tuple(ComponentValues(id, tree, f"values of {id}") for id, tree in (values or {}).items()),
            accelerated_tolerations=tuple(map(parse_toleration, accelerated_tolerations)),
            system_tolerations=tuple(map(parse_toleration, system_tolerations)),
            **options,
        ),
        chart_data=None if options.get("data") else shipped_charts(),
    )


@functools.cache
def shipped_charts() -> tuple[dict[str, Chart], Callable[[str], object]]:
    """The shipped charts, and what is known of them, each file of which is parsed once, as from the built file."""
    charts, load = load_charts(None)
    return charts, functools.cache(load)


def files_of(path: Path, **options: Any) -> dict[str, tuple[bytes, int]]:
    """The files of a bundle made with options."""
    return files_of_tree(recipe(path), **options)


def files_of_tree(tree: dict[str, Any], **options: Any) -> dict[str, tuple[bytes, int]]:
    """The files of a bundle of a recipe's document, made with options."""
    bundle = build(Recipe.from_tree(tree, "recipe"), **options)
    assert not bundle.errors, bundle.errors
    return {path: (content, file_mode(path)) for path, content in bundle.files.items()}


def data_of(files: dict[str, tuple[bytes, int]], name: str) -> list[Any]:
    """The documents of one YAML file of a bundle."""
    return [document for document in load_documents(files[name][0]) if document is not None]


def written(files: dict[str, tuple[bytes, int]], folder: Path) -> Path:
    """The files on disk, with their modes."""
    for name, (content, mode) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.chmod(path, mode)
    return folder
