"""Files to a store, whatever is wrong with some of them: each malformed part is an issue, and the rest is read.

Knows which files recipes consist of; must not know what makes their content good. What it cannot read it leaves out, so that one
mistake does not hide all the others.
"""

from __future__ import annotations

from functools import partial

from eidos import formats
from eidos.errors import EidosError, InvalidData
from eidos.files import resources
from eidos.formats.source_text import RepeatedKey
from eidos.model.chart import Chart
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.recipe.catalog import Catalog, Machine, read_catalog
from eidos.recipe.charts import read_charts
from eidos.recipe.data_folder import ENDINGS, FILES, LIMIT, PLAN_FILES, is_recipe
from eidos.recipe.data_stack import canonical_paths, lay_over
from eidos.recipe.layer import Source, read_layer, read_shared_sources
from eidos.recipe.lazy_parts import loaded
from eidos.recipe.lint.layer_content import date_issues, latest_date
from eidos.recipe.lint.rule_tables import LintRules, read_rules
from eidos.recipe.machines import read_machines
from eidos.recipe.store import DOCUMENT_FIELDS, DOCUMENT_FORM, OVERLAYS, Store, in_order, layer_trees
from eidos.semver import InvalidVersion
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeVar

    from eidos.recipe.data_stack import DataPart
    from eidos.recipe.layer import Layer

    T = TypeVar("T")

BASE, CATALOG, COMPONENTS, RULES, MACHINES, COMPARISONS, SOURCES, _RELEASES = FILES

#: Keys of entries of the catalog and of the components.
_ENTRY = ("name", "title", "aliases", "detect", "versions", "source", "architecture", "cpu", "systems", "withdrawn", "excluded")
_CHART = (*(field.replace("_", "-") for field in Chart._fields), "source")


def syntax_issue(fault: InvalidData) -> LintIssue:
    """The issue of a text that is no document: its location is file, line and column."""
    location, _, reason = fault.message.partition(": ")
    return LintIssue(ERROR, "duplicate-key" if isinstance(fault.__cause__, RepeatedKey) else "syntax", location, reason, fault.hint or "")


class ParsedRecipes(Record):
    """What recipe files make, and the issues of their form; ``load_values`` returns a tree below ``values/``, theirs or a shipped one."""

    store: Store
    rules: LintRules
    issues: list[LintIssue]
    load_values: Callable[[str], object] = resources.load_chart_values


class RecipeFiles:
    """Trees by file, and the issues of those that were read so far."""

    def __init__(self, today: str = "") -> None:
        self.issues: list[LintIssue] = []
        self.trees: dict[str, object] = {}
        self.latest = latest_date(today)
        self.sources: dict[str, Source] = {}
        self.ranks: dict[str, int] = {}

    def text(self, content: bytes | str, name: str, shown: str) -> None:
        """Read one file's text; ``shown`` is its name for people."""
        try:
            lay_over(self.trees, name, formats.from_text(content, shown, LIMIT))
        except InvalidData as fault:
            self.issues.append(syntax_issue(fault))

    def attempt(self, read: Callable[[], T], name: str, otherwise: T) -> T:
        """What ``read`` returns, or ``otherwise`` when it fails, which is an issue."""
        try:
            return read()
        except EidosError as fault:
            rule = "version" if isinstance(fault.__cause__, InvalidVersion) else "form"
            location, _, reason = fault.message.partition(": ")
            location, reason = (location, reason) if location == name and reason else (name, fault.message)
            self.issues.append(LintIssue(ERROR, rule, location, reason, fault.hint or ""))
            return otherwise

    def warn(self, rule: str, location: str, message: str, hint: str = "") -> None:
        """Add a warning."""
        self.issues.append(LintIssue(WARNING, rule, location, message, hint))

    def read(self) -> ParsedRecipes:
        """What the readable files make."""
        trees = self.trees
        self._check_names()
        none: dict[str, Source] = {}
        self.sources = self.attempt(lambda: read_shared_sources(trees.get(SOURCES), SOURCES), SOURCES, none)
        overlays: list[Layer] = []
        for path in sorted(trees):
            if path.startswith(OVERLAYS):
                overlays += self.layers(trees[path], path)
        nothing: tuple[Machine, ...] = ()
        machines = self.attempt(lambda: read_machines(trees.get(MACHINES)), MACHINES, nothing)
        store = Store(
            base=self.base(trees.get(BASE), BASE),
            overlays=in_order(loaded(layer, self.ranks) for layer in overlays),
            catalog=self.attempt(lambda: read_catalog(trees.get(CATALOG), CATALOG, machines), CATALOG, Catalog({})),
            charts=self.attempt(lambda: read_charts(trees.get(COMPONENTS), COMPONENTS), COMPONENTS, {}),
        )
        rules = self.attempt(lambda: read_rules(trees.get(RULES), RULES), RULES, LintRules())

        def load_values(name: str) -> object:
            path = f"{resources.VALUES_FOLDER}{name}.yaml"
            return trees[path] if path in trees else resources.load_chart_values(name)

        return ParsedRecipes(store, rules, self.issues, load_values)

    def base(self, tree: object, name: str) -> Layer:
        """The base, empty when it cannot be read."""
        return self.attempt(lambda: read_layer(tree, name, self.sources, base=True), name, read_layer({}, name, base=True))

    def layers(self, tree: object, name: str) -> Iterator[Layer]:
        """The readable layers of one file of overlays, or of the list in a one-file form."""
        for item, part in layer_trees(tree, name):
            layer = self.attempt(partial(read_layer, item, part, self.sources), part, None)
            if layer is not None:
                yield layer

    def _check_names(self) -> None:
        for path, tree in self.trees.items():
            if not is_recipe(path) and path not in PLAN_FILES:
                hint = f"recipe files are {', '.join(FILES)} and {OVERLAYS}*.yaml"
                self.warn("unknown-file", path, "unknown file", hint)
            if path == CATALOG and isinstance(tree, dict):
                for field, entries in tree.items():
                    self._check_keys(entries, _ENTRY, f"{path}: {field}")
            if path == COMPONENTS and isinstance(tree, dict):
                self._check_keys(tree.get("components"), _CHART, f"{path}: components")
                for key in tree:
                    if key != "components":
                        self.warn("unknown-key", f"{path}: {key}", "unknown key")

    def _check_keys(self, entries: object, names: tuple[str, ...], location: str) -> None:
        for i, entry in enumerate(entries if isinstance(entries, list) else ()):
            for key in entry if isinstance(entry, dict) else ():
                if key not in names:
                    self.warn("unknown-key", f"{location}[{i}].{key}", "unknown key", f"valid fields: {', '.join(names)}")
            source = entry.get("source") if isinstance(entry, dict) else None
            for key in source if isinstance(source, dict) else ():
                if key not in Source._fields:
                    hint = did_you_mean(key, Source._fields) or ""
                    self.warn("unknown-key", f"{location}[{i}].source.{key}", "unknown key", hint)
            if isinstance(source, dict) and isinstance(source.get("date"), str):
                self.issues += date_issues(source["date"], f"{location}[{i}].source", self.latest)


def read_trees(trees: Mapping[str, object], today: str = "") -> ParsedRecipes:
    """What these trees make (path below the folder → tree); ``today`` is the last day that a source can be of, by default by the clock."""
    files = RecipeFiles(today)
    files.trees.update(trees)
    return files.read()


def read_stack(parts: Sequence[DataPart], below: Mapping[str, object], today: str = "") -> ParsedRecipes:
    """As :func:`read_trees`, of places laid over the trees ``below``, in order."""
    files = RecipeFiles(today)
    files.trees.update(below)
    for number, (part, paths) in enumerate(zip(parts, canonical_paths(parts, below)), 1):
        for name in sorted(part.files):
            if name.endswith(ENDINGS):
                files.text(part.files[name], paths[name], part.shown(name) if part.name else name)
                files.ranks[paths[name]] = number
    return files.read()


def read_document(tree: object, name: str, catalog: Catalog, rules: LintRules) -> ParsedRecipes:
    """What a one-file form makes, with that catalog and those rules."""
    files = RecipeFiles()
    root = TreeReader(tree if isinstance(tree, dict) else None, name)
    if "base" not in root:
        files.issues.append(LintIssue(ERROR, "form", name, DOCUMENT_FORM))
    for key, error in root.unknown(DOCUMENT_FIELDS):
        files.issues.append(LintIssue(ERROR, "form", f"{name}: {key}", error.message.removeprefix(f"{name}: "), error.hint or ""))
    nothing: Sequence[object] = ()
    overlays = files.attempt(lambda: root.items("overlays"), name, nothing)
    base = files.base({"measurements": root.tree.get("base")}, f"{name}:base")
    return ParsedRecipes(Store(base, in_order(map(loaded, files.layers(overlays, f"{name}:overlays"))), catalog, {}), rules, files.issues)
