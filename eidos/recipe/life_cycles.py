"""When releases stop getting fixes, and from which releases one may be upgraded to another.

Knows the tables ``ends`` and ``upgrades`` of ``rules.yaml`` and the readings that show what a node runs; must not know any product's
dates, nor the clock: the caller has the day. Malformed rows are left out here, ``lint`` reports them.

>>> rows = [UpgradeStep("a", "26.3", ("25.10", "26.3")), UpgradeStep("a", "26.7", ("26.3", "26.7"))]
>>> steps_between("v25.10.1", "v26.7.0", rows), steps_between("26.3.1", "26.7", rows), steps_between("24.1", "26.7.0", rows)
(['26.3'], [], None)
"""

from __future__ import annotations

from eidos.model.constraint import parse_expression
from eidos.model.query import READING_PATHS
from eidos.model.recipe_consistency import agrees_with_branch, upgrade_steps
from eidos.model.record import Record
from eidos.recipe.lazy_parts import LazyMapping
from eidos.semver import try_parse_version
from eidos.timestamp import days_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from eidos.model.recipe import Recipe
    from eidos.recipe.store import Store

#: How many days before an end there is a warning.
NOTICE_DAYS = 90

KUBERNETES, DRIVER, CUDA, CONTAINERD = "kubernetes", "driver", "cuda", "containerd"

#: Products that are no components, and the reading that shows their version.
READINGS = {DRIVER: "GPU.smi.driver", CUDA: "GPU.smi.cuda-version"}

_RUNTIME = "K8s.node.container-runtime-"
_TITLES = {KUBERNETES: "Kubernetes", CUDA: "CUDA"}


class SupportEnd(Record):
    """The last day, or month, in which releases of a product get fixes; ``version`` is an expression.

    With a ``service`` it is that of the service's own releases, which get fixes for a charge until ``extended``, if there is one.
    """

    product: str
    version: str
    end: str
    service: str = ""
    extended: str = ""


class UpgradeStep(Record):
    """Releases of a product that can be upgraded to one of ``to``: those of ``after``, which are versions as far as they matter."""

    product: str
    to: str
    after: tuple[str, ...]
    why: str = ""


def read_ends(rules: object) -> tuple[SupportEnd, ...]:
    """The readable rows of ``ends``."""
    rows = _rows(rules, "ends", ("product", "version", "end"))
    return tuple(SupportEnd(*(row[name] for name in ("product", "version", "end")), *_texts(row, "service", "extended")) for row in rows)


def read_upgrades(rules: object) -> tuple[UpgradeStep, ...]:
    """The readable rows of ``upgrades``."""
    rows = _rows(rules, "upgrades", ("product", "to"))
    lists = [(row, row.get("after")) for row in rows]
    return tuple(
        UpgradeStep(row["product"], row["to"], tuple(after), *_texts(row, "why"))
        for row, after in lists
        if isinstance(after, list) and all(isinstance(version, str) for version in after)
    )


def _rows(rules: object, table: str, required: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = rules.get(table) if isinstance(rules, (dict, LazyMapping)) else None
    return [
        row
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and all(isinstance(row.get(name), str) and row[name] for name in required)
    ]


def _texts(row: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(row[name] if isinstance(row.get(name), str) else "" for name in names)


def last_day(end: str) -> str:
    """A day that is comparable with others, and not before the last one of the month.

    >>> last_day("2027-03"), last_day("2026-12-02")
    ('2027-03-31', '2026-12-02')
    """
    return end if len(end) > len("2027-03") else f"{end}-31"


def life_cycle_warnings(recipe: Recipe, facts: Mapping[str, str], store: Store, today: str) -> Iterator[str]:
    """A sentence for what the recipe recommends, or a node with ``facts`` (path → reading) runs, that ends within 90 days of ``today``.

    And one for each upgrade from what the node runs to what is recommended that needs steps between, or is none.
    """
    service = recipe.request.fields().get("service", "")
    horizon = days_after(today, NOTICE_DAYS)
    rows = read_ends(store.rules)
    ends = [row for row in rows if last_day(row.end) <= horizon]
    recommended, observed = _recommended(recipe), _observed(recipe, facts, store)
    reported: set[tuple[str, str]] = set()
    drivers = {
        row.end for product, version in recommended for row in ends if product == row.product == DRIVER and _is_of(row.version, version)
    }
    # CUDA ends with the driver that it came with: where that is reported, it is no other fact.
    ends = [row for row in ends if row.product != CUDA or row.end not in drivers]
    for versions, subject in ((recommended, ""), (observed, "the node has ")):
        for product, version in versions:
            if (product, version) in reported:
                continue
            reported.add((product, version))
            due = [row for row in ends if row.product == product and _is_of(row.version, version)]
            for row in _of_service(due, rows, service, version) if due else ():
                yield _sentence(row, version, today, subject)
    yield from _upgrades(recipe, dict(observed), store)


def _recommended(recipe: Recipe) -> list[tuple[str, str]]:
    versions = [(component.id, component.version) for component in recipe.components]
    for product, path in READINGS.items():
        kind, subtype, key = path.split(".")
        for measurement in recipe.measurements:
            values = [
                part.data[key] for part in measurement.subtypes if (measurement.type, part.name) == (kind, subtype) and key in part.data
            ]
            versions += [(product, str(value)) for value in values]
    if recipe.request.k8s:
        versions.append((KUBERNETES, recipe.request.k8s))
    return [(product, version) for product, version in versions if try_parse_version(version) is not None]


def _observed(recipe: Recipe, facts: Mapping[str, str], store: Store) -> list[tuple[str, str]]:
    paths: dict[str, tuple[str, ...]] = {product: (path,) for product, path in READINGS.items()}
    paths[KUBERNETES] = (READING_PATHS["k8s"],)
    if facts.get(f"{_RUNTIME}name") == CONTAINERD:
        paths[CONTAINERD] = (f"{_RUNTIME}version",)
    for component in recipe.components:
        paths[component.id] = store.charts[component.id].readings.get("version", ()) if component.id in store.charts else ()
    versions = [(product, next((facts[path] for path in group if path in facts), "")) for product, group in paths.items()]
    return [(product, version) for product, version in versions if try_parse_version(version) is not None]


def _is_of(expression: str, version: str) -> bool:
    """Whether a version is one of an expression; a branch, as ``1.34``, counts for all its releases."""
    return agrees_with_branch(version, expression) if expression[0].isdigit() else parse_expression(expression).allows(version)


def _of_service(due: list[SupportEnd], rows: Sequence[SupportEnd], service: str, version: str) -> list[SupportEnd]:
    """Those of the service; what ends elsewhere is no end there, if the service has an end of its own for this version."""
    own = [row for row in due if row.service == service and service]
    has_own = any(row.product == due[0].product and _is_of(row.version, version) for row in rows if service and row.service == service)
    return own if own or has_own else [row for row in due if not row.service]


def _sentence(row: SupportEnd, version: str, today: str, subject: str) -> str:
    """What ends, and when; ``subject`` says whose it is."""
    title = f"{subject}{_TITLES.get(row.product, row.product)} {version}{subject and ', which'}"
    is_past = last_day(row.end) < today
    if row.service:
        state = f"has been out of standard support on {row.service} since" if is_past else f"leaves standard support on {row.service} after"
        more = f"; extended support ends {row.extended}" if row.extended and last_day(row.extended) >= today else ""
        return f"{title} {state} {row.end}{more}"
    if row.product == KUBERNETES:
        return f"{title} {'has had no fixes upstream since' if is_past else 'gets no fixes upstream after'} {row.end}"
    return f"{title} {'has had no fixes since' if is_past else 'gets no fixes after'} {row.end}"


def steps_between(version: str, target: str, rows: Sequence[UpgradeStep]) -> list[str] | None:
    """The releases to upgrade to on the way from one version to another, without the target's; None when no way is known."""
    return upgrade_steps(version, target, {row.to: row.after for row in rows})


def _upgrades(recipe: Recipe, observed: Mapping[str, str], store: Store) -> Iterator[str]:
    upgrades = read_upgrades(store.rules)
    targets = [(component.id, component.id, component.version) for component in recipe.components]
    limit = next((constraint.value for constraint in recipe.constraints if constraint.name == READING_PATHS["k8s"]), None)
    node_k8s = try_parse_version(observed.get(KUBERNETES, ""))
    if limit is not None and node_k8s is not None and not limit.allows(observed[KUBERNETES]):
        higher = [row.to for row in upgrades if row.product == KUBERNETES and limit.allows(row.to)]
        lowest = min(higher, key=lambda text: [int(number) for number in text.split(".")], default="")
        targets.append((KUBERNETES, "Kubernetes", lowest))
    for product, title, target in targets:
        rows = [row for row in upgrades if row.product == product]
        before, after = try_parse_version(observed.get(product, "")), try_parse_version(target)
        goal = next((row for row in rows if agrees_with_branch(target, row.to)), None)
        if goal is None or before is None or after is None or before >= after:
            continue
        steps = steps_between(observed[product], target, rows)
        why = f" ({goal.why.rstrip('.')})" if goal.why else ""
        if steps is None:
            yield f"{title} {observed[product]} cannot be upgraded to {target}: that begins at {' or '.join(goal.after)}{why}"
        elif steps:
            yield f"{title} {observed[product]} cannot be upgraded to {target} at once: upgrade to {', then to '.join(steps)} first{why}"
