"""Names in checks that nothing has: misspelt paths of readings, words of a query, and values of charts.

Knows how each kind of name is looked up; must not know any check. Plug-ins read subtypes of their own, so a subtype that no rule lists is
an issue only where it is a slip of another one. Paths that the shipped checks name are readings, whatever the rules list.

>>> from eidos.model.lint_issue import DataReference
>>> from eidos.recipe.lint.file_forms import read_trees
>>> named = [DataReference("checks/x.yaml: checks[0]", READING, path) for path in ("OS.kmod.nvidai", "OS.kmdo.nvidia", "Os.kmod.nvidia")]
>>> for issue in reference_issues(named, ["OS.kmod.nvidia"], read_trees({})):
...     print(issue.message, "|", issue.hint)
no shipped check reads 'OS.kmod.nvidai' | did you mean 'OS.kmod.nvidia'?
unknown reading 'OS.kmdo.nvidia' | did you mean 'OS.kmod'?
'Os' is not a type of measurement | did you mean 'OS'?
"""

from __future__ import annotations

from eidos import formats
from eidos.errors import InvalidData, InvalidInput
from eidos.model.lint_issue import ERROR, READING, SET, WARNING, LintIssue
from eidos.model.measurement import TYPES, path_matches
from eidos.model.values_schema import STRING, describe_value, has_type, parse_path
from eidos.recipe.lint.component_values import ChartSchemas
from eidos.recipe.lint.reading_paths import UNITS, misspelt, misspelt_unit, name_issues, split_path
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from eidos.model.lint_issue import DataReference
    from eidos.recipe.lint.file_forms import ParsedRecipes
    from eidos.recipe.lint.rule_tables import LintRules
    from eidos.recipe.store import Store

#: Letters of a last word that can be a slip of another one.
_LONG = 4

#: First words of names that are no readings (``eidos/check/node_readings.py``).
_DERIVED = ("query", "node", "recipe", "snapshot")


def reference_issues(references: Iterable[DataReference], known: Collection[str], data: ParsedRecipes) -> Iterator[LintIssue]:
    """An issue for each reference that names nothing; ``known`` are paths of readings, and those of subtypes."""
    schemas = ChartSchemas(data.load_values)
    subtypes = list(dict.fromkeys(".".join(split_path(path)[:2]) if path.count(".") > 1 else path for path in known))
    for reference in references:
        if reference.kind == READING:
            yield from _reading_issues(reference, known, subtypes, data.rules)
        elif reference.kind == SET:
            yield from _value_issues(reference, schemas, data.store)
        else:
            field = reference.text.partition(".")[2]
            names = data.store.catalog.names(field) if reference.text.startswith("query.") and field in data.store.catalog.entries else ()
            if names and reference.word not in names:
                hint = did_you_mean(reference.word, names, f"valid values: {', '.join(names)}") or ""
                yield LintIssue(ERROR, "never-matches", reference.location, f"{reference.text} is never {reference.word!r}", hint)


def _reading_issues(reference: DataReference, known: Collection[str], subtypes: Collection[str], rules: LintRules) -> Iterator[LintIssue]:
    path = reference.text
    kind, subtype, key = split_path(path)
    if kind in _DERIVED or path in known:
        return
    if kind not in TYPES.values():
        hint = did_you_mean(kind, TYPES.values(), f"known types: {', '.join(TYPES.values())}") or ""
        yield LintIssue(ERROR, "unknown-path", reference.location, f"{kind!r} is not a type of measurement", hint)
        return
    issues = []
    if key and subtype != "*" and any(path_matches(row.subtype, f"{kind}.{subtype}") for row in rules.readings):
        issues = list(name_issues(kind, subtype, key, reference.location, rules)) if "*" not in key else []
    yield from issues
    if not issues:
        yield from _slips(reference, known, subtypes)


def _slips(reference: DataReference, known: Collection[str], subtypes: Collection[str]) -> Iterator[LintIssue]:
    """An error for a slip of a subtype; a warning for one of a path, since the shipped checks do not name every reading."""
    path = reference.text
    kind, subtype, key = split_path(path)
    name = f"{kind}.{subtype}"
    if kind == UNITS:
        match = None if name in subtypes else misspelt_unit(name, [other for other in subtypes if "*" not in other])
    elif any(path_matches(pattern, path) for pattern in known):
        return
    else:
        matched = any(path_matches(pattern, name) for pattern in subtypes)
        # Patterns are compared with patterns only: gpu-0 is close to gpu-* and right.
        match = None if matched else misspelt(name, [other for other in subtypes if ("*" in other) == ("*" in name)])
    if match:
        yield LintIssue(ERROR, "unknown-path", reference.location, f"unknown reading {path!r}", f"did you mean {match!r}?")
    # Short names are close to each other: ena is no slip of efa.
    elif kind != UNITS and len(key.rpartition(".")[2]) >= _LONG:
        match = misspelt(path, [other for other in known if ("*" in other) == ("*" in path)])
        if match:
            yield LintIssue(WARNING, "unknown-path", reference.location, f"no shipped check reads {path!r}", f"did you mean {match!r}?")


def _value_issues(reference: DataReference, schemas: ChartSchemas, store: Store) -> Iterator[LintIssue]:
    target, _, text = reference.text.partition("=")
    component, _, path = target.partition(":")
    message, hint = "", ""
    if component not in store.charts:
        message, hint = f"unknown component {component!r}", did_you_mean(component, store.charts) or ""
    else:
        schema = schemas.schema(component, store.charts[component].version)
        try:
            if schema is not None:
                parts = parse_path(path)
                kind = schema.type_of(parts)
                schema.check_word(parts, text)
                value = text if kind == STRING else formats.from_text(text, "the value")
                message = "" if has_type(value, kind) else f"the chart expects a {kind}, not {describe_value(value)}"
        except (InvalidInput, InvalidData) as fault:
            message, hint = fault.message, fault.hint or ""
    if message:
        yield LintIssue(ERROR, "chart-value", reference.location, f"{reference.text}: {message}", hint or "write what the chart accepts")
