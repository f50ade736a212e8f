"""Issues of the catalog and of the components.

Knows entries and charts; must not know layers but the components that they choose.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.measurement import TYPES
from eidos.model.query import FIELDS
from eidos.recipe.catalog import IMPLIED, MACHINES
from eidos.recipe.detection import match_model
from eidos.recipe.machines import match_machine
from eidos.semver import parse_version
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.model.chart import Chart
    from eidos.recipe.store import Store

CATALOG, COMPONENTS = "catalog.yaml", "components.yaml"

#: Fields whose entries are detected on a host.
_DETECTED = ("os", "service", "gpu")


def catalog_issues(store: Store) -> Iterator[LintIssue]:
    """Versions that do not parse, systems that are no entries, and patterns that match nothing or the wrong entry."""
    for field, entries in store.catalog.entries.items():
        owners: dict[str, str] = {}
        for entry in entries:
            location = f"{CATALOG}: {field}.{entry.name}"
            for version in entry.versions:
                yield from _version(version, f"{location}.versions")
            for key, systems in (("systems", entry.systems), ("withdrawn", entry.withdrawn)):
                for system in systems:
                    if system not in store.catalog.names("os"):
                        hint = did_you_mean(system, store.catalog.names("os")) or ""
                        yield LintIssue(ERROR, "unknown-word", f"{location}.{key}", f"unknown os {system!r}", hint)
            if entry.cpu not in ("", "arm64", "amd64"):
                yield LintIssue(ERROR, "unknown-word", f"{location}.cpu", f"invalid cpu {entry.cpu!r}; expected arm64 or amd64")
            signs = {"suffix": entry.suffixes, "label": entry.labels, "image": entry.images}
            if field in _DETECTED and not entry.detect and not any(signs.values()) and not entry.is_undetectable:
                yield LintIssue(WARNING, "no-pattern", location, "it has no pattern, so no snapshot can match it")
            for pattern in (*entry.detect, *(f"{kind} {sign}" for kind, group in signs.items() for sign in group)):
                owner = owners.setdefault(pattern.lower(), entry.name)
                if owner != entry.name:
                    yield LintIssue(ERROR, "same-pattern", f"{location}.detect", f"pattern {pattern!r} is already used by {owner}")
            for pattern in entry.detect if field == "gpu" else ():
                match = match_model(pattern, store.catalog)
                if match != entry.name:
                    message = f"a GPU model {pattern!r} is detected as {match or 'none'}"
                    yield LintIssue(ERROR, "wrong-pattern", f"{location}.detect", message)


def machine_issues(store: Store) -> Iterator[LintIssue]:
    """Machines whose GPU or service is not in the catalog, and those that no label would match."""
    for entry in store.catalog.entries.get("machine", ()):
        machine = store.catalog.machine(entry.name)
        for field in IMPLIED if machine else ():
            word, known = getattr(machine, field), store.catalog.names(field)
            if word and word not in known:
                hint = did_you_mean(word, known) or ""
                yield LintIssue(ERROR, "unknown-word", f"{MACHINES}: {entry.name}.{field}", f"unknown {field} {word!r}", hint)
        match = match_machine(entry.name, store.catalog)
        if match is not None and match.name != entry.name:
            message = f"a node of type {entry.name!r} is detected as {match.name}"
            yield LintIssue(ERROR, "wrong-pattern", f"{MACHINES}: {entry.name}", message)


def component_issues(store: Store) -> Iterator[LintIssue]:
    """Charts without a repository, unknown or circular dependencies, and choices of unknown components."""
    for id, chart in store.charts.items():
        location = f"{COMPONENTS}: {id}"
        # Without any of these it is manifests alone, or an alias of another entry.
        has_chart = chart.chart or chart.repository or (chart.version and not chart.manifests)
        fields = ("chart", "version", "namespace") if has_chart else ("namespace",)
        for field in () if chart.service else fields:
            if not getattr(chart, field):
                yield LintIssue(ERROR, f"no-{field}", location, f"the component has no {field}")
        if chart.chart and not chart.repository and not chart.chart.startswith("oci://"):
            yield LintIssue(ERROR, "no-repository", location, f"the chart {chart.chart} has no repository")
        if chart.version:
            yield from _version(chart.version, f"{location}.version")
        for service, id in chart.service.items():
            if id not in store.charts:
                yield LintIssue(
                    ERROR,
                    "unknown-component",
                    f"{location}.service.{service}",
                    f"unknown component {id!r}",
                    did_you_mean(id, store.charts) or "",
                )
        for field in chart.readings:
            if field != "version" and not field.startswith("values."):
                message = f"unknown field {field!r}; expected version or values.PATH"
                yield LintIssue(ERROR, "unknown-key", f"{location}.readings", message)
        yield from _implied_conditions(chart, store)
        for dependency in chart.depends:
            if dependency not in store.charts:
                message = f"it depends on {dependency!r}, which is not in components.yaml"
                yield LintIssue(ERROR, "unknown-component", f"{location}.depends", message, did_you_mean(dependency, store.charts) or "")
        for other in chart.after:
            if other not in store.charts:
                message = f"it comes after {other!r}, which is not in components.yaml"
                yield LintIssue(ERROR, "unknown-component", f"{location}.after", message, did_you_mean(other, store.charts) or "")
        for other in chart.sets:
            if other not in store.charts:
                message = f"it sets values of {other!r}, which is not in components.yaml"
                yield LintIssue(ERROR, "unknown-component", f"{location}.sets", message, did_you_mean(other, store.charts) or "")
        for path in chart.requires:
            if path.count(".") < 2 or path.partition(".")[0] not in TYPES.values():
                yield LintIssue(ERROR, "path", f"{location}.requires", f"invalid path {path!r}", "write a path as Type.subtype.key")
    for circle in _circles(store):
        message = f"components depend on each other in a cycle: {' -> '.join([*circle, circle[0]])}"
        yield LintIssue(ERROR, "cycle", f"{COMPONENTS}: {circle[0]}.depends", message)
    for layer in (store.base, *store.overlays):
        for choice in layer.choices:
            location = f"{layer.name}: components.{choice.id}"
            if choice.id not in store.charts:
                hint = did_you_mean(choice.id, store.charts) or ""
                yield LintIssue(ERROR, "unknown-component", location, f"unknown component {choice.id!r}", hint)
            if choice.version:
                yield from _version(choice.version, f"{location}.version")


def _implied_conditions(chart: Chart, store: Store) -> Iterator[LintIssue]:
    """Conditions of implied values on components, fields and words that there are not."""
    for row in chart.implies:
        location = f"{COMPONENTS}: {chart.id}.implies.{row.path}"
        for path, words in row.when.items():
            head, _, field = path.partition(".")
            if head != "query" and head not in store.charts:
                yield LintIssue(ERROR, "unknown-component", location, f"unknown component {head!r}", did_you_mean(head, store.charts) or "")
            elif head == "query" and field not in FIELDS:
                yield LintIssue(ERROR, "unknown-key", location, f"unknown query field {field!r}", did_you_mean(field, FIELDS) or "")
            elif head == "query":
                known = store.catalog.names(field)
                for word in words if known else ():
                    if word not in known:
                        yield LintIssue(ERROR, "unknown-word", location, f"unknown {field} {word!r}", did_you_mean(word, known) or "")


def _circles(store: Store) -> Iterator[list[str]]:
    """The circle that each dependency closes, walking depth first in the order of the data."""
    finished: set[str] = set()
    for start in store.charts:
        path: dict[str, None] = {}
        waiting = [(start, False)]
        while waiting:
            id, leave = waiting.pop()
            if leave:
                del path[id]
                finished.add(id)
            elif id in path:
                yield list(path)[list(path).index(id) :]
            elif id in store.charts and id not in finished:
                path[id] = None
                waiting.append((id, True))
                waiting += [(dependency, False) for dependency in reversed(store.charts[id].depends)]


def _version(text: str, location: str) -> Iterator[LintIssue]:
    try:
        parse_version(text)
    except InvalidInput as fault:
        yield LintIssue(ERROR, "version", location, fault.message, fault.hint or "")
