"""Files to a store, whatever is wrong with some of them: each fault of form is written down, and the rest is read on.

Knows which files recipes are made of; must not know what makes their content good. What it cannot read it leaves out, so that one
slip does not hide all the others.
"""

from __future__ import annotations

from functools import partial

from eidos import formats
from eidos.errors import EidosError, InvalidData
from eidos.model.lint import ERROR, WARNING, Fault
from eidos.model.tree_reader import TreeReader
from eidos.recipe.catalog import Catalog, read_catalog
from eidos.recipe.components import read_components
from eidos.recipe.data_folder import ENDINGS, FILES, LIMIT, canonical, is_recipe
from eidos.recipe.layer import read_layer
from eidos.recipe.lint_rules import Rules, read_rules
from eidos.recipe.store import DOCUMENT_FIELDS, DOCUMENT_FORM, OVERLAYS, Store, in_order, layer_trees
from eidos.semver import InvalidVersion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeVar

    from eidos.recipe.layer import Layer

    T = TypeVar("T")

BASE, CATALOG, COMPONENTS, RULES = FILES

#: What stands in entries of the catalog and of the components.
_ENTRY = ("name", "title", "aliases", "detect", "versions", "source", "architecture", "kernel-module")
_FOR_BUNDLES = ("images", "images-unknown", "service")
_CHART = (
    "id",
    "title",
    "chart",
    "repository",
    "version",
    "namespace",
    "depends",
    "after",
    "requires",
    "source",
    "images",
    "images-unknown",
    "service",
)


def unreadable(fault: InvalidData) -> Fault:
    """The fault of a text that is no document: file, line and column are its place."""
    place, _, reason = fault.message.partition(": ")
    return Fault(ERROR, "duplicate-key" if "stands here again" in reason else "syntax", place, reason, fault.hint or "")


class Reading:
    """Files under way; ``faults`` grows with each that has one."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.trees: dict[str, object] = {}

    def text(self, content: bytes | str, name: str, shown: str) -> None:
        """Read one file's text; ``shown`` is its name for people."""
        try:
            self.trees[name] = formats.from_text(content, shown, LIMIT)
        except InvalidData as fault:
            self.faults.append(unreadable(fault))

    def attempt(self, read: Callable[[], T], name: str, otherwise: T) -> T:
        """What ``read`` gives, or ``otherwise`` with its fault written down."""
        try:
            return read()
        except EidosError as fault:
            rule = "version" if isinstance(fault.__cause__, InvalidVersion) else "form"
            place, _, reason = fault.message.partition(": ")
            place, reason = (place, reason) if place == name and reason else (name, fault.message)
            self.faults.append(Fault(ERROR, rule, place, reason, fault.hint or ""))
            return otherwise

    def store(self) -> tuple[Store, Rules]:
        """The store and the rules that the readable files make."""
        trees = self.trees
        self._unknown()
        overlays: list[Layer] = []
        for path in sorted(trees):
            if path.startswith(OVERLAYS):
                overlays += self.layers(trees[path], path)
        store = Store(
            base=self.base(trees.get(BASE), BASE),
            overlays=in_order(overlays),
            catalog=self.attempt(lambda: read_catalog(trees.get(CATALOG), CATALOG), CATALOG, Catalog({})),
            charts=self.attempt(lambda: read_components(trees.get(COMPONENTS), COMPONENTS), COMPONENTS, {}),
        )
        return store, self.attempt(lambda: read_rules(trees.get(RULES), RULES), RULES, Rules())

    def base(self, tree: object, name: str) -> Layer:
        """The base, empty when it cannot be read."""
        return self.attempt(lambda: read_layer(tree, name, base=True), name, read_layer({}, name, base=True))

    def layers(self, tree: object, name: str) -> Iterator[Layer]:
        """The readable layers of one file of overlays, or of the list in a one-file form."""
        for item, part in layer_trees(tree, name):
            layer = self.attempt(partial(read_layer, item, part), part, None)
            if layer is not None:
                yield layer

    def _unknown(self) -> None:
        for path, tree in self.trees.items():
            if not is_recipe(path):
                hint = f"files are {', '.join(FILES)} and {OVERLAYS}*.yaml"
                self.faults.append(Fault(WARNING, "unknown-file", path, "nothing reads this file", hint))
            if path == CATALOG and isinstance(tree, dict):
                for field, entries in tree.items():
                    self._keys(entries, _ENTRY, f"{path}: {field}")
            if path == COMPONENTS and isinstance(tree, dict):
                self._keys(tree.get("components"), _CHART, f"{path}: components")
                for key in tree:
                    if key != "components":
                        self.faults.append(Fault(WARNING, "unknown-key", f"{path}: {key}", "nothing reads this key"))

    def _keys(self, entries: object, known: tuple[str, ...], place: str) -> None:
        for i, entry in enumerate(entries if isinstance(entries, list) else ()):
            for key in entry if isinstance(entry, dict) else ():
                if key not in known:
                    hint = f"known are {', '.join(known)}"
                    self.faults.append(Fault(WARNING, "unknown-key", f"{place}[{i}].{key}", "nothing reads this key", hint))


def read_trees(trees: Mapping[str, object]) -> tuple[Store, Rules, list[Fault]]:
    """The store and the rules in these trees (path below the folder → tree), and what is wrong with their form."""
    reading = Reading()
    reading.trees.update(trees)
    store, rules = reading.store()
    return store, rules, reading.faults


def read_texts(texts: Mapping[str, bytes], below: Mapping[str, object], folder: str = "") -> tuple[Store, Rules, list[Fault]]:
    """As :func:`read_trees`, of files laid over the trees ``below``, name by name; ``folder`` is where the files lie."""
    reading = Reading()
    reading.trees.update(below)
    for name in sorted(texts):
        if name.endswith(ENDINGS):
            reading.text(texts[name], canonical(name), f"{folder.rstrip('/')}/{name}" if folder else name)
    store, rules = reading.store()
    return store, rules, reading.faults


def read_document(tree: object, name: str, catalog: Catalog) -> tuple[Store, list[Fault]]:
    """The store in a one-file form, and what is wrong with its form."""
    reading = Reading()
    root = TreeReader(tree if isinstance(tree, dict) else None, name)
    if "base" not in root:
        reading.faults.append(Fault(ERROR, "form", name, DOCUMENT_FORM))
    for key, error in root.unknown(DOCUMENT_FIELDS):
        reading.faults.append(Fault(ERROR, "form", f"{name}: {key}", error.message.removeprefix(f"{name}: "), error.hint or ""))
    nothing: Sequence[object] = ()
    overlays = reading.attempt(lambda: root.items("overlays"), name, nothing)
    base = reading.base({"measurements": root.tree.get("base")}, f"{name}:base")
    return Store(base, in_order(list(reading.layers(overlays, f"{name}:overlays"))), catalog, {}), reading.faults
