"""What is wrong with the catalog and with the components.

Knows entries and charts; must not know layers but by the components they choose.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.lint import ERROR, WARNING, Fault
from eidos.model.measurement import TYPES
from eidos.recipe.detection import match_model
from eidos.semver import parse_version
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.store import Store

CATALOG, COMPONENTS = "catalog.yaml", "components.yaml"

#: Fields whose entries are found on a host.
_DETECTED = ("os", "service", "gpu")


def catalog_faults(store: Store) -> Iterator[Fault]:
    """Versions that are none, and patterns that find nothing or the wrong thing."""
    for field, entries in store.catalog.entries.items():
        seen: dict[str, str] = {}
        for entry in entries:
            place = f"{CATALOG}: {field}.{entry.name}"
            for version in entry.versions:
                yield from _version(version, f"{place}.versions")
            if field in _DETECTED and not entry.detect and not entry.suffixes:
                yield Fault(WARNING, "no-pattern", place, "no snapshot can show it: it has no pattern")
            for pattern in (*entry.detect, *(f"suffix {suffix}" for suffix in entry.suffixes)):
                owner = seen.setdefault(pattern.lower(), entry.name)
                if owner != entry.name:
                    yield Fault(ERROR, "same-pattern", f"{place}.detect", f"{pattern!r} stands for {owner} already")
            for pattern in entry.detect if field == "gpu" else ():
                found = match_model(pattern, store.catalog)
                if found != entry.name:
                    message = f"a GPU that calls itself {pattern!r} is taken for {found or 'none'}"
                    yield Fault(ERROR, "wrong-pattern", f"{place}.detect", message)


def component_faults(store: Store) -> Iterator[Fault]:
    """Charts without a place to come from, dependencies that are unknown or go round, choices of what is not there."""
    for id, chart in store.charts.items():
        place = f"{COMPONENTS}: {id}"
        # Without any of these it is manifests alone, or stands for another entry.
        fields = ("chart", "version", "namespace") if chart.chart or chart.repository or chart.version else ("namespace",)
        for field in () if chart.service else fields:
            if not getattr(chart, field):
                yield Fault(ERROR, f"no-{field}", place, f"the component has no {field}")
        if chart.chart and not chart.repository and not chart.chart.startswith("oci://"):
            yield Fault(ERROR, "no-repository", place, f"nothing says where the chart {chart.chart} comes from")
        if chart.version:
            yield from _version(chart.version, f"{place}.version")
        for service, id in chart.service.items():
            if id not in store.charts:
                yield Fault(
                    ERROR,
                    "unknown-component",
                    f"{place}.service.{service}",
                    f"{id!r} is no component",
                    did_you_mean(id, store.charts) or "",
                )
        for dependency in chart.depends:
            if dependency not in store.charts:
                message = f"it depends on {dependency!r}, which is no component"
                yield Fault(ERROR, "unknown-component", f"{place}.depends", message, did_you_mean(dependency, store.charts) or "")
        for other in chart.after:
            if other not in store.charts:
                message = f"it comes after {other!r}, which is no component"
                yield Fault(ERROR, "unknown-component", f"{place}.after", message, did_you_mean(other, store.charts) or "")
        for path in chart.requires:
            if path.count(".") < 2 or path.partition(".")[0] not in TYPES.values():
                yield Fault(ERROR, "path", f"{place}.requires", f"{path!r} is no path of a reading", "a path is Type.subtype.key")
    for circle in _circles(store):
        message = f"components depend on one another in a circle: {' -> '.join([*circle, circle[0]])}"
        yield Fault(ERROR, "cycle", f"{COMPONENTS}: {circle[0]}.depends", message)
    for layer in (store.base, *store.overlays):
        for choice in layer.choices:
            place = f"{layer.name}: components.{choice.id}"
            if choice.id not in store.charts:
                hint = did_you_mean(choice.id, store.charts) or ""
                yield Fault(ERROR, "unknown-component", place, f"there is no component {choice.id!r}", hint)
            if choice.version:
                yield from _version(choice.version, f"{place}.version")


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


def _version(text: str, place: str) -> Iterator[Fault]:
    try:
        parse_version(text)
    except InvalidInput as fault:
        yield Fault(ERROR, "version", place, fault.message, fault.hint or "")
