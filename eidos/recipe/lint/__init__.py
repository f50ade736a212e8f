"""Whether recipe data can be trusted: every fault in it, each with place, reason and source.

Knows the order in which things are looked at; must not know any rule: each module here knows one kind of them, and what is only a
fact about the world stands in ``rules.yaml``. ``lint`` never refuses: what does not even have the form of a recipe is a fault too.

>>> from eidos.recipe.lint_rules import read_rules
>>> from eidos.recipe.lint.file_forms import read_trees
>>> store, _, faults = read_trees({"overlays/x.yaml": {"key": {"gpu": "any"}}})
>>> [fault.rule for fault in lint(store, read_rules({}, "rules.yaml"))]
['no-network', 'empty-layer', 'empty-key']
"""

from __future__ import annotations

import os

from eidos import formats
from eidos.errors import InvalidData
from eidos.files import resources
from eidos.model.lint import ERROR, WARNING, Fault, settled
from eidos.recipe.charts import component_ids
from eidos.recipe.data_folder import LIMIT, read_file, read_folder
from eidos.recipe.lint.catalog_checks import catalog_faults, component_faults
from eidos.recipe.lint.combinations import merged
from eidos.recipe.lint.cross_checks import together_faults
from eidos.recipe.lint.file_forms import COMPONENTS, read_document, read_texts, read_trees, unreadable
from eidos.recipe.lint.huge_pages import huge_faults
from eidos.recipe.lint.layer_content import content_faults
from eidos.recipe.lint.layer_keys import key_faults
from eidos.recipe.lint.values_files import values_file_faults
from eidos.recipe.lint_rules import shipped_rules
from eidos.recipe.store import shipped_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eidos.recipe.lint_rules import Rules
    from eidos.recipe.store import Store

__all__ = ["ERROR", "WARNING", "Fault", "lint", "lint_document", "lint_files", "lint_path", "lint_trees", "lint_values_files"]


def lint(store: Store, rules: Rules | None = None) -> list[Fault]:
    """What is wrong with what a store says, by place; ``rules`` default to those that eidos carries. The store is not changed."""
    return settled(_faults(store, shipped_rules() if rules is None else rules))


def lint_trees(trees: Mapping[str, object], values_files: Iterable[str] = ()) -> list[Fault]:
    """What is wrong with recipes as plain trees: path below the folder → tree, ``rules.yaml`` among them.

    ``values_files`` are the paths of the files below ``values/``, which are not among the trees.
    """
    store, rules, faults = read_trees(trees)
    return _all(store, rules, [*faults, *values_file_faults(values_files, store.charts)])


def lint_files(texts: Mapping[str, bytes], folder: str = "") -> list[Fault]:
    """What is wrong with files laid over the shipped ones, name by name; ``folder`` is where people find them."""
    below, broken = _shipped_trees()
    store, rules, faults = read_texts(texts, below, folder)
    return _all(store, rules, [*broken, *faults, *values_file_faults(texts, store.charts)])


def lint_document(content: bytes | str, name: str) -> list[Fault]:
    """What is wrong with one file of the form ``{base: [measurements], overlays: [{key: {…}, types: [measurements]}]}``."""
    try:
        tree = formats.from_text(content, name, LIMIT)
    except InvalidData as fault:
        return [unreadable(fault)]
    known = shipped_store()
    store, faults = read_document(tree, name, known.catalog)
    # The catalog is ours, not the file's.
    return _all(store, shipped_rules(), faults, catalog=False)


def lint_path(path: str | None = None) -> list[Fault]:
    """What is wrong with the recipes at ``path``: a folder, one file, or (None) those that eidos carries.

    Raises NotFound or Unavailable when there is nothing to read, and InvalidData for a folder that cannot be one of recipes.
    """
    if path is None:
        trees, broken = _shipped_trees()
        return broken or lint_trees(trees, resources.chart_values_files())
    if os.path.isdir(path):
        return lint_files(read_folder(path), path)
    return lint_document(read_file(path), path)


def lint_values_files(data: str | None = None) -> list[Fault]:
    """What is wrong with the names of the files below ``values/``, of the shipped recipes or of those in the folder ``data``."""
    names = resources.chart_values_files() if data is None else sorted(read_folder(data))
    return list(values_file_faults(names, component_ids(data)))


def _shipped_trees() -> tuple[dict[str, object], list[Fault]]:
    """What eidos carries; in a checkout under work it may not even be well-formed."""
    try:
        return resources.load_recipes(), []
    except InvalidData as fault:
        return {}, [unreadable(fault)]


def _all(store: Store, rules: Rules, faults: list[Fault], *, catalog: bool = True) -> list[Fault]:
    # A file of components that cannot be read names none, which is not the fault of those who choose them.
    unread = [fault.place.partition(", line")[0].partition(":")[0] for fault in faults if fault.rule in ("form", "syntax", "duplicate-key")]
    lost = any(place.endswith(COMPONENTS) for place in unread)
    more = [fault for fault in _faults(store, rules, catalog) if not (lost and fault.rule == "unknown-component")]
    return settled([*faults, *more])


def _faults(store: Store, rules: Rules, catalog: bool = True) -> Iterator[Fault]:
    if catalog:
        yield from catalog_faults(store)
    yield from component_faults(store)
    yield from key_faults(store, rules)
    yield from content_faults(store, rules)
    for found in merged(store, rules):
        if isinstance(found, Fault):
            yield found
        else:
            yield from together_faults(found, rules)
            yield from huge_faults(found, rules)
