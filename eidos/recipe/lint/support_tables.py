"""Versions that the tables of support rule out, and releases that get no fixes any more: of components, Kubernetes, systems and drivers.

Knows how a row of a table is compared with a recipe and with components.yaml; must not know any version, date or upgrade: the rules do.
"""

from __future__ import annotations

from eidos.model.constraint import Expression, Term, parse_expression
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.query import FIELDS, READING_PATHS, words_of
from eidos.model.recipe_consistency import CUDA, DRIVERS, agrees_with_branch, field_of
from eidos.recipe import life_cycles
from eidos.recipe.lint.reading_paths import misspelt
from eidos.recipe.lint.setting_values import conditions_met
from eidos.recipe.recipe_warnings import driver_branches, driver_problem
from eidos.semver import parse_version, try_parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from eidos.model.chart import Chart
    from eidos.recipe.lint.combinations import MergedRecipe
    from eidos.recipe.lint.rule_tables import EndOfLife, LintRules
    from eidos.recipe.store import Store


def support_issues(merged: MergedRecipe, rules: LintRules, charts: Mapping[str, Chart]) -> Iterator[LintIssue]:
    """Issues of one recipe."""
    yield from _needs(merged, rules)
    yield from _apart(merged, rules)
    yield from _kubernetes(merged, charts)
    yield from _below_floor(merged, rules)
    yield from _releases(merged, rules)


def floor_issues(store: Store, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for each constraint of a layer for a GPU whose lower limit is below what the GPU needs."""
    for layer in store.overlays:
        gpus = words_of(layer.key.gpu) if layer.key.gpu else ()
        for constraint in layer.constraints:
            lower = [term for term in constraint.value.terms if term.operator in (">=", ">", "==", "in")]
            for row in rules.floors:
                below = Expression((Term("<", (row.lowest,)),))
                is_for_all = bool(gpus) and set(gpus) <= set(row.gpu)
                if is_for_all and row.name == constraint.name and lower and constraint.value.intersect(below) is not None:
                    message = f"{constraint.value} allows versions below {row.lowest}: {row.why}"
                    location = f"{layer.name}: constraints.{constraint.name}"
                    yield LintIssue(ERROR, "floor", location, message, f"write >= {row.lowest}", rules.cite(row.source))


def _versions(merged: MergedRecipe) -> dict[str, str]:
    """The versions that a recipe has of components and images, by path."""
    versions = {f"components.{component.id}": component.version for component in merged.recipe.components}
    versions.update({path: text for path in merged.recipe.history if path.startswith("K8s.image.") and (text := merged.text(path))})
    return versions


def _released(component: str, releases: Expression, versions: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Path and version of each place where the component has one of these releases."""
    for path in (f"components.{component}", f"K8s.image.{component}"):
        if path in versions and releases.holds(versions[path]):
            yield path, versions[path]


def _needs(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    versions = _versions(merged)
    named = {path.rpartition(".")[2] for path in versions}
    for need in rules.requirements:
        if need.component not in named:
            continue
        located_versions = list(_released(need.component, need.releases, versions))
        if located_versions and need.when and conditions_met(merged, need.when) is None:
            continue
        for path, version in located_versions:
            reading, versions_left = merged.text(need.name), merged.versions.get(need.name)
            subject = f"{need.component} {version} requires {need.name} {need.value}"
            if need.when:
                subject += f" where {' and '.join(f'{name} is {words}' for name, words in need.when.items())}"
            path_at_fault = max((path, *(p for p in need.when if not p.startswith("query."))), key=merged.rank)
            if reading is not None and need.expression.holds(reading) is False:
                message = f"{subject}, but {reading} is recommended{merged.suffix()}"
                path_at_fault = path_at_fault if need.name in READING_PATHS.values() else max((path_at_fault, need.name), key=merged.rank)
            elif versions_left is not None and versions_left.excludes(need.expression):
                message = f"{subject}, but the layer is for {versions_left}{merged.suffix()}"
            else:
                continue
            # Where no key names the version, the recipe covers more than the component does.
            field = next((field for field, name in READING_PATHS.items() if name == need.name), "")
            is_stated = reading is not None or any(field in layer.key.fields() for layer in merged.layers)
            hint = f"choose a release of {need.component} that supports it, or another {need.name}"
            if not is_stated:
                hint = f"disable it in a layer whose key has {field}, or add a constraint"
            yield LintIssue(
                ERROR if is_stated else WARNING, "unsupported", merged.location(path_at_fault), message, hint, rules.cite(need.source)
            )


def _apart(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    versions = _versions(merged)
    for apart in rules.incompatible:
        for path, version in _released(apart.left, apart.releases, versions):
            for _, other in _released(apart.right, apart.other_releases, versions):
                message = f"{apart.left} {version} is not compatible with {apart.right} {other}: {apart.why}{merged.suffix()}"
                hint = f"choose another release of {apart.left} or {apart.right}, or disable one of the two"
                yield LintIssue(ERROR, "apart", merged.location(path), message, hint, rules.cite(apart.source))


def _kubernetes(merged: MergedRecipe, charts: Mapping[str, Chart]) -> Iterator[LintIssue]:
    """Components of which no supported release of Kubernetes is left, by their entries in components.yaml."""
    versions_left = merged.versions.get(READING_PATHS["k8s"])
    for component in merged.recipe.components:
        supported = charts[component.id].kubernetes if component.id in charts else ""
        if supported and versions_left is not None and versions_left.excludes(parse_expression(supported)):
            message = f"{component.id} supports Kubernetes {supported}, but the layer is for {versions_left}{merged.suffix()}"
            hint = "disable it in a layer whose key has k8s, or add a constraint"
            yield LintIssue(ERROR, "unsupported", merged.location(f"components.{component.id}"), message, hint)


def _below_floor(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    for row in rules.floors:
        text = merged.text(row.name) if merged.recipe.request.gpu in row.gpu else None
        version = try_parse_version(text or "")
        if version is not None and version < parse_version(row.lowest):
            message = f"{text} is below {row.lowest}: {row.why}{merged.suffix()}"
            yield LintIssue(ERROR, "floor", merged.location(row.name), message, f"write {row.lowest} or newer", rules.cite(row.source))


def _releases(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    """Versions that look like a slip of a release that there is, and drivers that a newer patch of their branch replaces."""
    operator = next((component for component in merged.recipe.components if component.id == "gpu-operator"), None)
    is_installed = operator is not None and field_of(operator, "values.driver.enabled") is not False
    located_versions = [(component.id, f"components.{component.id}", component.version) for component in merged.recipe.components]
    located_versions += [("driver", path, text) for path in DRIVERS if (text := merged.text(path)) is not None]
    branches = _driver_branches(rules)
    for product, path, version in located_versions:
        problem = driver_problem(version.partition("-")[0], branches) if product == "driver" and try_parse_version(version) else ""
        if problem:
            hint = "recommend a driver that NVIDIA has released"
            yield LintIssue(WARNING, "unknown-release", merged.location(path), f"{version}: {problem}{merged.suffix()}", hint)
        for row in rules.releases:
            if row.product != product or version in row.versions or not version:
                continue
            slips = [other for other in row.versions if _is_one_digit_apart(version, other)]
            if slips:
                message = f"no source names {product} {version}{merged.suffix()}"
                hint = f"did you mean {slips[-1]}?"
                yield LintIssue(WARNING, "unknown-release", merged.location(path), message, hint, rules.cite(row.source))
        for row in rules.releases if product == "driver" and is_installed else ():
            newest, current = row.versions[-1], try_parse_version(version)
            is_same_branch = row.product == product and agrees_with_branch(version, newest.partition(".")[0])
            if is_same_branch and current and current < parse_version(newest):
                message = f"{newest} is the newest patch of this branch that sources name, not {version}{merged.suffix()}"
                yield LintIssue(WARNING, "superseded", merged.location(path), message, f"recommend {newest}", rules.cite(row.source))


def _driver_branches(rules: LintRules) -> list[str]:
    """The branches of the driver that the tables of the rules name, in order."""
    tables = {
        "ends": [{"product": row.product, "version": row.version} for row in rules.ends],
        "releases": [{"product": row.product, "versions": list(row.versions)} for row in rules.releases],
    }
    return driver_branches([(row.driver, row.cuda) for row in rules.cuda], tables)


def _is_one_digit_apart(text: str, other: str) -> bool:
    """Whether two versions differ in exactly one digit.

    >>> _is_one_digit_apart("595.91.97", "595.91.07"), _is_one_digit_apart("595.91.07", "595.91.07")
    (True, False)
    """
    return len(text) == len(other) and sum(a != b for a, b in zip(text, other)) == 1 and text.strip("v.0123456789") == ""


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
    for location, product in names:
        # Data with fewer components may have these rules all the same.
        match = misspelt(product, products) if product not in products else None
        if match:
            hint = f"did you mean {match!r}?"
            yield LintIssue(ERROR, "unknown-component", f"rules.yaml: {location}", f"unknown product {product!r}", hint)
    yield from _word_issues(store, rules)
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


#: Tables of the rules with words of the catalog, and with ids of components: the field of the rules, the table, and its fields.
_CATALOG_WORDS = (
    ("hosts", "hosts", ("gpu",)),
    ("kernels", "kernels", ("os",)),
    ("floors", "floors", ("gpu",)),
    ("unbuilt", "unbuilt", ("os",)),
    ("systems", "only", ("service", "os")),
    ("ends", "ends", ("service",)),
)
_COMPONENT_IDS = (
    ("requirements", "needs", ("component",)),
    ("incompatible", "apart", ("left", "right")),
    ("releases", "releases", ("product",)),
)


def _word_issues(store: Store, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for each word in the tables that is a slip of one of the catalog, or of the id of a component."""
    components = (*store.charts, life_cycles.DRIVER)
    located: list[tuple[str, str, Collection[str]]] = []
    for name, table, fields in (*_CATALOG_WORDS, *_COMPONENT_IDS):
        for i, row in enumerate(getattr(rules, name)):
            for field in fields:
                value = getattr(row, field)
                valid = components if (name, table, fields) in _COMPONENT_IDS else store.catalog.names(field)
                located += [(f"{table}[{i}].{field}", word, valid) for word in ((value,) if isinstance(value, str) else value)]
    for name, table in (("requirements", "needs"), ("clashes", "clashes")):
        for i, row in enumerate(getattr(rules, name)):
            for path, text in row.when.items():
                head, _, field = path.partition(".")
                if head == "query":
                    located.append((f"{table}[{i}].when", field, FIELDS))
                    located += [(f"{table}[{i}].when.{path}", word, store.catalog.names(field)) for word in words_of(f"in ({text})")]
                elif head == "components":
                    located.append((f"{table}[{i}].when", field.partition(".")[0], components))
    for location, word, known in located:
        match = misspelt(word, known) if word and word not in known else None
        if match:
            yield LintIssue(ERROR, "unknown-word", f"rules.yaml: {location}", f"unknown word {word!r}", f"did you mean {match!r}?")


def _is_day(text: str) -> bool:
    from eidos.recipe.lint.layer_content import is_date

    return len(text) > len("2027") and is_date(text)
