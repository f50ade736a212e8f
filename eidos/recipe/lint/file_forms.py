"""Files to a store, whatever is wrong with some of them: each fault of form is written down, and the rest is read on.

Knows which files recipes are made of; must not know what makes their content good. What it cannot read it leaves out, so that one
slip does not hide all the others.
"""

from __future__ import annotations

from eidos import formats
from eidos.errors import EidosError, InvalidData
from eidos.model.lint import ERROR, WARNING, Fault
from eidos.recipe import catalog as catalogs
from eidos.recipe import components
from eidos.recipe import layer as layers
from eidos.recipe import lint_rules as rule_files
from eidos.recipe.catalog import Catalog
from eidos.recipe.data_folder import ENDINGS, FILES, LIMIT, canonical, is_recipe
from eidos.recipe.store import OVERLAYS, Store, order
from eidos.semver import InvalidVersion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from eidos.recipe.layer import Layer
    from eidos.recipe.lint_rules import Rules

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
        nothing = layers.read({}, BASE, base=True)
        store = Store(
            base=self.attempt(lambda: layers.read(trees.get(BASE), BASE, base=True), BASE, nothing),
            overlays=order(overlays),
            catalog=self.attempt(lambda: catalogs.read(_said(trees.get(CATALOG)), CATALOG), CATALOG, Catalog({})),
            charts=self.attempt(lambda: components.read(_said(trees.get(COMPONENTS)), COMPONENTS), COMPONENTS, {}),
        )
        return store, self.attempt(lambda: rule_files.read(_said(trees.get(RULES)), RULES), RULES, rule_files.Rules())

    def layers(self, tree: object, path: str) -> list[Layer]:
        """The readable layers of one file of overlays, or of the list in a one-file form."""
        if not isinstance(tree, list):
            return self._layer(tree, path)
        return [layer for i, item in enumerate(tree) for layer in self._layer(item, f"{path}[{i}]")]

    def _layer(self, tree: object, name: str) -> list[Layer]:
        layer = self.attempt(lambda: layers.read(tree, name), name, None)
        return [] if layer is None else [layer]

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
    fields: dict[str, object] = tree if isinstance(tree, dict) else {}
    if "base" not in fields:
        reading.faults.append(Fault(ERROR, "form", name, "expected a mapping with base and overlays"))
    for key in fields:
        if key not in ("base", "overlays"):
            reading.faults.append(Fault(ERROR, "form", f"{name}: {key}", f"there is no {key!r} here", "known are base, overlays"))
    items = fields.get("overlays")
    items = [] if items is None else items
    if not isinstance(items, list):
        reading.faults.append(Fault(ERROR, "form", f"{name}: overlays", "expected a list"))
        items = []
    place = f"{name}:base"
    nothing = layers.read({}, place, base=True)
    base = reading.attempt(lambda: layers.read({"measurements": fields.get("base")}, place, base=True), place, nothing)
    return Store(base, order(reading.layers(items, f"{name}:overlays")), catalog, {}), reading.faults


def _said(tree: object) -> object:
    return {} if tree is None else tree
