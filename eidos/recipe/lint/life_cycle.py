"""Releases that get no fixes any more, and faults in the tables of their ends and of allowed upgrades.

Knows what a recipe and components.yaml name with a version; must not know any date or upgrade: the rules do.
"""

from __future__ import annotations

from eidos.model.agreement import CUDA, DRIVERS
from eidos.model.lint_issue import ERROR, LintIssue
from eidos.recipe import life_cycles
from eidos.recipe.lint.reading_paths import misspelt
from eidos.semver import parse_version, try_parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.lint.combinations import MergedRecipe
    from eidos.recipe.lint.rule_tables import EndOfLife, LintRules
    from eidos.recipe.store import Store


def ended_issues(merged: MergedRecipe, rules: LintRules, today: str) -> Iterator[LintIssue]:
    """An issue for each component, driver and CUDA of one recipe whose release gets no fixes on the day ``today``."""
    versions = [(component.id, f"components.{component.id}", component.version) for component in merged.recipe.components]
    versions += [("driver", path, text) for path in DRIVERS if (text := merged.text(path)) is not None]
    versions += [("cuda", CUDA, text) for text in (merged.text(CUDA),) if text is not None]
    for product, path, version in versions:
        for message, source in _ended(product, version, rules, today):
            hint = _newest(product, rules, today)
            yield LintIssue(ERROR, "ended", merged.location(path), message + merged.suffix(), hint, source)


def ended_charts(store: Store, rules: LintRules, today: str) -> Iterator[LintIssue]:
    """The same for the versions in components.yaml, but of components for which layers choose others."""
    pinned = {choice.id for layer in (store.base, *store.overlays) for choice in layer.choices if choice.version}
    for id, chart in ((id, chart) for id, chart in store.charts.items() if id not in pinned):
        for message, source in _ended(id, chart.version, rules, today):
            yield LintIssue(ERROR, "ended", f"components.yaml: {id}.version", message, _newest(id, rules, today), source)


def _ended(product: str, version: str, rules: LintRules, today: str) -> Iterator[tuple[str, str]]:
    for row in rules.ends:
        if row.product == product and not row.service and version and _is_past(row, today) and row.releases.holds(version):
            yield f"{product} {version} has had no fixes since {row.end}", rules.cite(row.source)


def _is_past(row: EndOfLife, today: str) -> bool:
    return row.end < today[: len(row.end)]


def _newest(product: str, rules: LintRules, today: str) -> str:
    """A hint at the releases of the product that do get fixes."""
    rows = [row for row in rules.ends if row.product == product and not row.service and not _is_past(row, today)]
    names = [f"{row.version} (until {row.end})" for row in rows if try_parse_version(row.version)]
    return f"recommend a release of {' or '.join(names)}" if names else "recommend a release that is supported"


def table_issues(store: Store, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for each row of ``ends`` and ``upgrades`` that can hold of nothing, or that the shipped versions contradict."""
    products = {*store.charts, life_cycles.KUBERNETES, life_cycles.DRIVER, life_cycles.CUDA, life_cycles.CONTAINERD}
    names = [(f"ends[{i}]", end.product) for i, end in enumerate(rules.ends)]
    names += [(f"upgrades[{i}]", step.product) for i, step in enumerate(rules.upgrades)]
    for place, product in names:
        # Data with fewer components may have these rules all the same.
        match = misspelt(product, products) if product not in products else None
        if match:
            hint = f"did you mean {match!r}?"
            yield LintIssue(ERROR, "unknown-component", f"rules.yaml: {place}", f"unknown product {product!r}", hint)
    for i, end in enumerate(rules.ends):
        for name in ("end", "extended"):
            if getattr(end, name) and not _is_day(getattr(end, name)):
                message = f"invalid date {getattr(end, name)!r}"
                yield LintIssue(ERROR, "date", f"rules.yaml: ends[{i}].{name}", message, "write it like 2027-03-31 or 2027-03")
        if end.extended and end.extended < end.end:
            message = f"extended support ends {end.extended}, before the standard one, {end.end}"
            yield LintIssue(ERROR, "date", f"rules.yaml: ends[{i}]", message)
    for i, step in enumerate(rules.upgrades):
        location = f"rules.yaml: upgrades[{i}]"
        target = parse_version(step.to)
        for text in step.after:
            before = try_parse_version(text)
            if before is None:
                yield LintIssue(ERROR, "version", f"{location}.after", f"invalid version {text!r}", "write it like 26.3")
            elif before > target and not before.matches(target):
                message = f"{step.product} {text} is newer than {step.to}, and no release is downgraded"
                yield LintIssue(ERROR, "downgrade", f"{location}.after", message, f"remove {text}")
        if step.to not in step.after:
            message = f"{step.product} {step.to} cannot be upgraded to another patch of itself"
            yield LintIssue(ERROR, "upgrade", f"{location}.after", message, f"add {step.to}")
        if not step.source:
            yield LintIssue(ERROR, "no-source", location, "the upgrade has no source")
    for product in dict.fromkeys(step.product for step in rules.upgrades):
        version = store.charts[product].version if product in store.charts else ""
        newest = max((parse_version(step.to) for step in rules.upgrades if step.product == product), key=lambda item: item.key)
        current = try_parse_version(version)
        if current is not None and current > newest and not current.matches(newest):
            message = f"no upgrade to {product} {version} is listed, the newest one is to {newest}"
            yield LintIssue(ERROR, "upgrade", f"components.yaml: {product}.version", message, "add a row to upgrades in rules.yaml")


def _is_day(text: str) -> bool:
    from eidos.recipe.lint.layer_content import is_date

    return len(text) > len("2027") and is_date(text)
