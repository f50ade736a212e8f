"""Facts that a recipe states in two places, and where the two differ.

Knows when two texts mean one value; must not know layers, files, nor which of the two is right. Which readings a chart states too is in
its entry (``readings`` of components.yaml): its version, or one of its values.

>>> agrees("v25.10.1", "25.10.1"), agrees("580.82.07-ubuntu24.04", "580.82.07"), agrees(True, "true"), agrees("v26.3.3", "v25.3.3")
(True, True, True, False)
"""

from __future__ import annotations

from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.semver import try_parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from eidos.model.chart import Chart
    from eidos.model.constraint import Expression
    from eidos.model.recipe import Component, Recipe

#: The reading that is the driver's version, best first, and the one that is CUDA's.
DRIVERS = ("GPU.smi.driver", "GPU.smi.driver-version", "K8s.image.driver")
CUDA = "GPU.smi.cuda-version"

_VALUES = "values."


class Disagreement(Record):
    """Two places of a recipe, and what each states; ``reason`` says why both cannot be, where the texts do not show it."""

    left: str
    left_text: str
    right: str
    right_text: str
    reason: str = ""


def agrees(left: Any, right: Any) -> bool:
    """Whether two scalars mean one value: a version stands for those that are longer, and a leading v does not count.

    A flag and a text that is none are not compared: the template that reads the text reports it.
    """
    one, other = format_scalar(left), format_scalar(right)
    if one.lower() == other.lower():
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return not {one.lower(), other.lower()} <= {"true", "false"}
    versions = try_parse_version(one), try_parse_version(other)
    return bool(versions[0] and versions[1] and (versions[0].matches(versions[1]) or versions[1].matches(versions[0])))


def disagreements(recipe: Recipe, charts: Mapping[str, Chart], cuda: Iterable[tuple[str, str]] = ()) -> Iterator[Disagreement]:
    """Each pair of places that differ; ``cuda`` are branches of the driver and the CUDA version that each reports."""
    readings = recipe.readings()
    limits = {constraint.name: constraint.value for constraint in recipe.constraints}
    for path in limits:
        if path in readings:
            yield from _beyond_limit(path, readings[path], path, limits)
    for component in recipe.components:
        chart = charts.get(component.id)
        for field, paths in chart.readings.items() if chart else ():
            if any(path in readings or path in limits for path in paths):
                yield from _compare_field(component, field, paths, readings, limits)
    driver = next((path for path in DRIVERS if path in readings), None)
    if driver is not None and CUDA in readings:
        release, version = format_scalar(readings[driver]), format_scalar(readings[CUDA])
        for branch, reported in cuda:
            if agrees_with_branch(release, branch) and not agrees(version, reported):
                yield Disagreement(CUDA, version, driver, release, f"driver {branch} reports CUDA {reported}")


def _beyond_limit(location: str, value: Any, path: str, limits: Mapping[str, Expression]) -> Iterator[Disagreement]:
    """The constraint on ``path`` that the value at ``location`` breaks."""
    if path in limits and limits[path].holds(value) is False:
        yield Disagreement(location, format_scalar(value), f"constraints.{path}", str(limits[path]))


def _compare_field(
    component: Component, field: str, paths: Sequence[str], readings: Mapping[str, Any], limits: Mapping[str, Expression]
) -> Iterator[Disagreement]:
    """A field of a component against the readings and constraints on ``paths``, and these readings against one another."""
    stated = [(path, readings[path]) for path in paths if readings.get(path, "") != ""]
    if field == "version":  # what is no version, as "latest", says nothing of the chart's
        stated = [(path, text) for path, text in stated if try_parse_version(format_scalar(text))]
    value = field_of(component, field)
    if value is not None:
        location = f"components.{component.id}.{field}"
        for path in paths:
            yield from _beyond_limit(location, value, path, limits)
        stated.insert(0, (location, value))
    for path, text in stated[1:]:
        first, other = stated[0]
        if not agrees(other, text):
            yield Disagreement(first, format_scalar(other), path, format_scalar(text))


def agrees_with_branch(version: str, branch: str) -> bool:
    """Whether a version belongs to a branch; a text that is none belongs to none."""
    one, key = try_parse_version(version), try_parse_version(branch)
    return bool(one and key and one.matches(key))


def upgrade_steps(version: str, target: str, allowed: Mapping[str, Sequence[str]]) -> list[str] | None:
    """The releases to upgrade to on the way from one version to another, without the target's; None when no way is known.

    ``allowed`` maps a release to those that can be upgraded to it.

    >>> allowed = {"26.3": ("25.10", "26.3"), "26.7": ("26.3", "26.7")}
    >>> upgrade_steps("v25.10.1", "v26.7.0", allowed), upgrade_steps("26.3.1", "26.7", allowed), upgrade_steps("24.1", "26.7", allowed)
    (['26.3'], [], None)
    """
    paths: list[tuple[str, list[str]]] = [(to, []) for to in allowed if agrees_with_branch(target, to)]
    visited = set()
    while paths:
        current, steps = paths.pop(0)
        if any(agrees_with_branch(version, branch) for branch in allowed[current]):
            return steps
        for other in allowed:
            if other in allowed[current] and other not in visited and other != current:
                visited.add(other)
                paths.append((other, [other, *steps]))
    return None


def field_of(component: Component, field: str) -> Any:
    """The scalar at ``version`` or ``values.PATH`` of a component; None when it has none there."""
    if not field.startswith(_VALUES):
        return component.version or None
    tree: Any = component.values
    for key in field[len(_VALUES) :].split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, (str, int, float)) and tree != "" else None


def version_from_readings(recipe: Recipe, chart: Chart) -> str:
    """The version of a chart that the readings of a recipe state, written as the chart writes it; "" when they state none.

    A recipe of the Go program has no components: the image of an operator is all that it says of the chart.
    """
    readings = recipe.readings()
    text = next((format_scalar(readings[path]) for path in chart.readings.get("version", ()) if readings.get(path, "") != ""), "")
    if try_parse_version(text) is None:
        return ""
    return f"v{text.lstrip('vV')}" if chart.version.startswith("v") else text.lstrip("vV")
