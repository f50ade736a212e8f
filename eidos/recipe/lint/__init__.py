"""Whether recipe data can be trusted: every issue in it, each with location, reason and source.

Knows the order of the checks; must not know any rule: each module here knows one kind of them, and what is only a fact about the world
is in ``rules.yaml``. ``lint`` never refuses: what does not even have the form of a recipe is an issue too.

>>> from eidos.recipe.lint.rule_tables import read_rules
>>> from eidos.recipe.lint.file_forms import read_trees
>>> data = read_trees({"overlays/x.yaml": {"key": {"gpu": "any"}}})
>>> [issue.rule for issue in lint(data.store, read_rules({}, "rules.yaml"))]
['no-network', 'empty-layer', 'empty-key']
"""

from __future__ import annotations

import os

from eidos import formats
from eidos.errors import InvalidData, NotFound
from eidos.files import resources
from eidos.model.lint_issue import ERROR, WARNING, LintIssue, deduplicated
from eidos.recipe.charts import component_ids
from eidos.recipe.data_folder import LIMIT, PLAN_FILES, canonical, read_file, read_folder
from eidos.recipe.data_stack import OVERLAYS, DataPart, canonical_paths
from eidos.recipe.lint.catalog_checks import catalog_issues, component_issues, machine_issues
from eidos.recipe.lint.combinations import combinations
from eidos.recipe.lint.component_values import ChartSchemas, value_issues, values_file_issues
from eidos.recipe.lint.cross_checks import cross_check
from eidos.recipe.lint.file_forms import COMPONENTS, ParsedRecipes, read_document, read_stack, read_trees, syntax_issue
from eidos.recipe.lint.layer_content import layer_issues
from eidos.recipe.lint.layer_keys import key_issues, removal_issues
from eidos.recipe.lint.line_numbers import with_lines
from eidos.recipe.lint.reading_paths import path_issues
from eidos.recipe.lint.rule_tables import shipped_rules
from eidos.recipe.lint.setting_values import clash_issues, huge_page_issues, order_issues
from eidos.recipe.lint.support_tables import ended_charts, floor_issues, table_issues
from eidos.recipe.store import SOURCES, shipped_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eidos.recipe.lint.combinations import MergedRecipe
    from eidos.recipe.lint.rule_tables import LintRules
    from eidos.recipe.store import Store

__all__ = ["ERROR", "WARNING", "LintIssue", "lint", "lint_document", "lint_files", "lint_path", "lint_trees", "lint_values_files"]


def lint(store: Store, rules: LintRules | None = None, today: str = "") -> list[LintIssue]:
    """The issues of a store, by location; ``rules`` default to the shipped ones. The store is not changed.

    ``today``, such as 2026-11-29, decides which releases have ended, by default the date of the rules' newest source, and which dates
    of sources are in the future, by default those after tomorrow.
    """
    return deduplicated(_issues(ParsedRecipes(store, shipped_rules() if rules is None else rules, []), today=today))


def lint_trees(trees: Mapping[str, object], values_files: Iterable[str] = (), today: str = "") -> list[LintIssue]:
    """The issues of recipes as plain trees: path below the folder → tree, ``rules.yaml`` among them.

    ``values_files`` are the paths of the files below ``values/``, which are not among the trees.
    """
    data = read_trees(trees, today)
    return _all(data, values_file_issues(values_files, data.store.charts), today=today)


def lint_files(texts: Mapping[str, bytes], folder: str = "", today: str = "") -> list[LintIssue]:
    """The issues of files laid over the shipped ones; ``folder`` is where people find them."""
    return lint_stack((DataPart(folder, dict(texts)),), today)


def lint_stack(parts: Sequence[DataPart], today: str = "") -> list[LintIssue]:
    """The issues of places laid over the shipped files, in order."""
    below, syntax_issues = _shipped_trees()
    data = read_stack(parts, below, today)
    values = [issue for part in parts for issue in values_file_issues(part.files, data.store.charts)]
    unread = [
        name for part in parts for name, content in part.files.items() if canonical(name) in PLAN_FILES and not _is_shipped(name, content)
    ]
    values += [LintIssue(WARNING, "unknown-file", name, "only the file of eidos itself is read", "remove it") for name in unread]
    issues = _all(data, [*syntax_issues, *values], today=today, own=not changes_shipped_recipes(parts, below))
    paths = canonical_paths(parts, below)
    texts = {paths[number][name]: content for number, part in enumerate(parts) for name, content in part.files.items()}

    def load_text(name: str) -> str | None:
        return texts[name].decode(errors="replace") if name in texts else _shipped_text(name)

    return with_lines(issues, load_text)


def changes_shipped_recipes(parts: Sequence[DataPart], below: Mapping[str, object]) -> bool:
    """Whether a recipe of the shipped layers alone may become another: then all are checked again, which takes seconds.

    Checks, overlays, and components and sources with new ids do not, nor the charts of such components; a file that cannot be read may.
    """
    components = _ids(below.get(COMPONENTS), "components")
    for part in parts:
        for name, content in part.files.items():
            path = canonical(name)
            folder, _, rest = path.partition("/")
            if path.startswith((OVERLAYS, "checks/")):
                continue
            if path in (COMPONENTS, SOURCES):
                field = path.partition(".")[0]
                try:
                    tree = formats.from_text(content, name, LIMIT)
                except InvalidData:
                    return True
                if not isinstance(tree, dict) or set(tree) != {field} or _ids(tree, field) & _ids(below.get(path), field):
                    return True
            elif (
                f"{folder}/" not in (resources.VALUES_FOLDER, resources.IMAGES_FOLDER)
                or rest.partition("/")[0].partition(".yaml")[0] in components
            ):
                return True
    return False


def _ids(tree: object, field: str) -> set[object]:
    """The ids of the entries in a file."""
    rows = tree.get(field) if isinstance(tree, dict) else None
    return {row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)} if isinstance(rows, list) else set()


def lint_document(content: bytes | str, name: str, today: str = "") -> list[LintIssue]:
    """The issues of one file of the form ``{base: [measurements], overlays: [{key: {…}, types: [measurements]}]}``."""
    try:
        tree = formats.from_text(content, name, LIMIT)
    except InvalidData as fault:
        return [syntax_issue(fault)]
    # The catalog is ours, not the file's.
    return _all(read_document(tree, name, shipped_store().catalog, shipped_rules()), catalog=False, today=today)


def lint_path(path: str | None = None, today: str = "") -> list[LintIssue]:
    """The issues of the recipes at ``path``: a folder, one file, or (None) the shipped ones; ``today`` as in :func:`lint`.

    Raises NotFound or Unavailable when there is nothing to read, and InvalidData for a folder that cannot be one of recipes.
    """
    if path is None:
        trees, syntax_issues = _shipped_trees()
        return syntax_issues or with_lines(lint_trees(trees, resources.chart_values_files(), today), _shipped_text)
    if os.path.isdir(path):
        return lint_files(read_folder(path), path, today)
    return lint_document(read_file(path), path, today)


def lint_values_files(data: str | None = None) -> list[LintIssue]:
    """The issues of the names of the files below ``values/``, of the shipped recipes or of those in the folder ``data``."""
    names = resources.chart_values_files() if data is None else sorted(read_folder(data))
    return list(values_file_issues(names, component_ids(data)))


def _is_shipped(name: str, content: bytes) -> bool:
    """Whether a file says what the shipped one of its name does."""
    try:
        return bool(formats.from_text(content, name, LIMIT) == resources.load_recipe_file(canonical(name)))
    except InvalidData:
        return False


def _shipped_text(name: str) -> str | None:
    """The text of a shipped file; None in an archive, which has the trees alone."""
    try:
        return resources.read_text(f"recipes/{name}")
    except NotFound:
        return None


def _shipped_trees() -> tuple[dict[str, object], list[LintIssue]]:
    """The shipped trees; in a checkout under development they may not even be well-formed."""
    try:
        return resources.load_recipes(), []
    except InvalidData as fault:
        return {}, [syntax_issue(fault)]


def _all(
    data: ParsedRecipes, more: Iterable[LintIssue] = (), *, catalog: bool = True, today: str = "", own: bool = False
) -> list[LintIssue]:
    issues = [*more, *data.issues]
    unread = [
        issue.location.partition(", line")[0].partition(":")[0] for issue in issues if issue.rule in ("form", "syntax", "duplicate-key")
    ]
    content_issues = _issues(data, catalog, today, own)
    if any(path.endswith(COMPONENTS) for path in unread):
        # A file of components that cannot be read names none, and those who choose them are not to blame.
        content_issues = (issue for issue in content_issues if issue.rule != "unknown-component")
    return deduplicated([*issues, *content_issues])


def _issues(data: ParsedRecipes, catalog: bool = True, today: str = "", own: bool = False) -> Iterator[LintIssue]:
    store, rules = data.store, data.rules
    if catalog:
        yield from catalog_issues(store)
        yield from machine_issues(store)
    yield from component_issues(store)
    yield from ended_charts(store, rules, today or rules.date())
    yield from table_issues(store, rules)
    yield from key_issues(store, rules)
    yield from removal_issues(store)
    yield from layer_issues(store, rules, today)
    yield from path_issues(store, rules)
    yield from floor_issues(store, rules)
    yield from merged_issues(data, combinations(store, rules, own), today)


def merged_issues(data: ParsedRecipes, items: Iterable[MergedRecipe | LintIssue], today: str = "") -> Iterator[LintIssue]:
    """The issues of recipes that these data make; what is one already stays as it is."""
    rules, charts, schemas = data.rules, data.store.charts, ChartSchemas(data.load_values)
    for item in items:
        if isinstance(item, LintIssue):
            yield item
        else:
            yield from cross_check(item, rules, charts, today)
            yield from huge_page_issues(item, rules)
            yield from order_issues(item, rules)
            yield from clash_issues(item, rules)
            yield from value_issues(item, schemas, charts)
    yield from schemas.issues
