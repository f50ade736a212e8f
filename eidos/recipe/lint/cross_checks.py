"""What cannot go together in one recipe.

Knows which readings, constraints and versions exclude each other, and takes the facts from the rules; must not know layers but as
names in locations.
"""

from __future__ import annotations

from eidos.model.constraint import Expression, Term
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.measurement import path_matches
from eidos.model.query import READING_PATHS
from eidos.model.recipe_consistency import CUDA, DRIVERS, agrees, agrees_with_branch, disagreements, field_of
from eidos.recipe.lint.support_tables import ended_issues, support_issues
from eidos.semver import parse_version, try_parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.model.chart import Chart
    from eidos.recipe.lint.combinations import MergedRecipe
    from eidos.recipe.lint.rule_tables import LintRules


def cross_check(merged: MergedRecipe, rules: LintRules, charts: Mapping[str, Chart], today: str = "") -> Iterator[LintIssue]:
    """Issues of one recipe; ``today`` (2026-11-29) decides what has ended, by default the date of the rules."""
    yield from _constraints(merged)
    yield from _stated_twice(merged, charts)
    yield from _operands(merged, charts)
    yield from _removed(merged, rules)
    yield from _pairs(merged, rules)
    yield from _cuda(merged, rules)
    yield from support_issues(merged, rules, charts)
    yield from ended_issues(merged, rules, today or rules.date())
    yield from _unbuilt(merged, rules)
    yield from _moved(merged, rules)
    yield from _taken_out(merged)


def _constraints(merged: MergedRecipe) -> Iterator[LintIssue]:
    for constraint in merged.recipe.constraints:
        text = merged.text(constraint.name)
        if text is None:
            continue
        holds = constraint.value.holds(text)
        if holds is None:
            message = f"{text!r} cannot be compared with the constraint {constraint.value}{merged.suffix()}"
            yield LintIssue(WARNING, "incomparable", merged.location(constraint.name), message)
        elif not holds:
            message = f"{text} is recommended, but a constraint requires {constraint.value}{merged.suffix()}"
            hint = f"recommend a value that is {constraint.value}"
            yield LintIssue(ERROR, "breaks-constraint", merged.location(constraint.name), message, hint)


def _stated_twice(merged: MergedRecipe, charts: Mapping[str, Chart]) -> Iterator[LintIssue]:
    """Facts that a component states too, and differently: the issue is that of the layer applied later."""
    for item in disagreements(merged.recipe, charts):
        if item.left.startswith("components."):
            locations = [(item.left, item.left_text), (item.right, item.right_text)]
            (first, other), (path, text) = sorted(locations, key=lambda location: merged.rank(location[0]))
            message = f"it is {text}, but {first} is {other} ({merged.owner(first)}): both must state the same{merged.suffix()}"
            yield LintIssue(ERROR, "two-places", f"{merged.owner(path)}: {path}", message, f"change {path}, or {first} with it")


def _operands(merged: MergedRecipe, charts: Mapping[str, Chart]) -> Iterator[LintIssue]:
    """Charts whose version one layer changed, while the images that an earlier one chose for the former version stayed."""
    for component in merged.recipe.components:
        path_of_version = f"components.{component.id}.version"
        if component.id not in charts or merged.step(path_of_version) is None:
            continue
        former: dict[str, str] = {}
        for field, paths in charts[component.id].readings.items():
            for path in paths if field.endswith(".version") and field != "values.driver.version" else ():
                version = merged.version_at(path_of_version, merged.rank(path)) or charts[component.id].version
                if merged.step(path) is not None and not agrees(version, component.version):
                    former[path] = version
        if former:
            names, versions = ", ".join(dict.fromkeys(former)), " and ".join(dict.fromkeys(former.values()))
            message = (
                f"it is {component.version}, but {names} {'is that' if len(former) == 1 else 'are those'} of {versions}{merged.suffix()}"
            )
            yield LintIssue(
                WARNING, "operands", merged.location(path_of_version), message, "set the images of this version in the same layer"
            )


def _removed(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    kernels = merged.versions.get(READING_PATHS["kernel"])
    if kernels is None and READING_PATHS["kernel"] in merged.versions:
        return  # no node runs such a kernel
    for removed in rules.removed:
        before = Expression((Term("<", (removed.since,)),))
        for path in merged.recipe.history:
            if not path_matches(removed.path, path) or merged.step(path) is None:
                continue
            cite = rules.cite(removed.source)
            if kernels is None:
                message = f"removed in kernel {removed.since}, and the key names no older kernel"
                yield LintIssue(WARNING, "removed", merged.location(path), message, "remove it, or name the kernel in the key", cite)
            elif kernels.excludes(before):
                message = f"removed in kernel {removed.since}, but the layer is for {kernels}{merged.suffix()}"
                yield LintIssue(ERROR, "removed", merged.location(path), message, "remove it", cite)


def _pairs(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    for pair in rules.equivalents:
        left, right = merged.text(pair.left), merged.text(pair.right)
        if left is None or right is None or pair.left == "OS.grub.hugepages":
            continue  # huge pages are counted by size: see huge_pages
        yield from _twice(merged, pair.left, pair.right, pair.means.get(left, left) == right, rules.cite(pair.source))
    for pair in rules.versions:
        left, right = merged.text(pair.left), merged.text(pair.right)
        versions = [version for version in map(try_parse_version, filter(None, (left, right))) if version]
        if len(versions) == 2 and versions[0] != versions[1]:  # layer_content reports what is no version
            message = f"it is {left}, but {pair.right} is {right}: both must be the same version{merged.suffix()}"
            yield LintIssue(ERROR, "two-versions", merged.location(pair.left), message, "write the same in both", rules.cite(pair.source))


def _twice(merged: MergedRecipe, left: str, right: str, agree: bool, cite: str) -> Iterator[LintIssue]:
    shown = f"{merged.text(left)}, and {right} sets the same value to {merged.text(right)}{merged.suffix()}"
    severity, reason = (WARNING, "a later change may miss one of the two") if agree else (ERROR, "the one set last wins")
    yield LintIssue(severity, "said-twice", merged.location(left), f"it is {shown}: {reason}", "set it in one place only", cite)


def _cuda(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    cuda = merged.text(CUDA)
    driver = next((text for path in DRIVERS if (text := merged.text(path)) is not None), None)
    branch, release = try_parse_version(driver or ""), try_parse_version(cuda or "")
    if branch is None or release is None:
        return  # layer_content reports what is no version
    for reports in rules.cuda:
        if branch.matches(parse_version(reports.driver)) and not release.matches(parse_version(reports.cuda)):
            message = f"driver {driver} reports CUDA {reports.cuda}, not {cuda}{merged.suffix()}"
            yield LintIssue(ERROR, "cuda", merged.location(CUDA), message, f"write {reports.cuda}", rules.cite(reports.source))


def _unbuilt(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    """Drivers that the operator is to install, and for whose system no driver container is built."""
    fields, limits = merged.recipe.request.fields(), merged.versions
    operator = next((component for component in merged.recipe.components if component.id == "gpu-operator"), None)
    path = next((path for path in DRIVERS if merged.text(path) is not None), "")
    if (
        operator is None
        or not path
        or field_of(operator, "values.driver.enabled") is False
        or limits.get(READING_PATHS["osv"], limits) is None
    ):
        return  # a constraint excludes this system
    for row in rules.unbuilt:
        driver = merged.text(path) or ""
        if fields.get("os") == row.os and agrees_with_branch(fields.get("osv", ""), row.osv) and agrees_with_branch(driver, row.driver):
            message = f"no driver container of branch {row.driver} exists for {row.os} {row.osv}{merged.suffix()}"
            hint = f"recommend another driver, or exclude {row.osv} by a constraint on {READING_PATHS['osv']}"
            yield LintIssue(ERROR, "unbuilt-driver", merged.location(path), message, hint, rules.cite(row.source))


def _moved(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    """Components whose chart is looked for where it gets no releases any more."""
    for component in merged.recipe.components:
        for row in rules.moved:
            if (component.repository.rstrip("/"), component.chart) == (row.repository, row.chart):
                message = f"chart {row.chart} gets no releases in {row.repository} any more"
                location = f"components.yaml: {component.id}.repository"
                yield LintIssue(ERROR, "moved", location, message, f"it is now {row.now}", rules.cite(row.source))


def _taken_out(merged: MergedRecipe) -> Iterator[LintIssue]:
    """Components that a layer takes out and another component brings back."""
    for component in merged.recipe.components:
        choices = [(layer, choice) for layer in merged.layers for choice in layer.choices if choice.id == component.id]
        if choices and not choices[-1][1].enabled:
            owners = ", ".join(other.id for other in merged.recipe.components if component.id in other.depends)
            message = f"the layer disables {component.id}, but {owners} depends on it{merged.suffix()}"
            yield LintIssue(ERROR, "needed", f"{choices[-1][0].name}: components.{component.id}", message, f"disable {owners} too")
