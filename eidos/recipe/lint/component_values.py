"""Values that layers choose for a chart which the chart of that version does not have, or does not accept.

Knows which version of a chart a value is for; must not know any chart: what is known of them is data below ``values/``.
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.values_schema import describe_value, format_path, has_type, iterate_leaves, load_schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from eidos.model.chart import Chart
    from eidos.model.values_schema import ValuesSchema
    from eidos.recipe.lint.combinations import MergedRecipe


class ChartSchemas:
    """The schemas of charts by component and version, each read once; a file of ``values/`` that is malformed is an issue."""

    def __init__(self, load: Callable[[str], object]) -> None:
        self._load = load
        self._schemas: dict[str, ValuesSchema | None] = {}
        self.issues: list[LintIssue] = []

    def schema(self, id: str, version: str) -> ValuesSchema | None:
        """The schema of a chart; None when nothing is known of that version."""
        name = f"{id}/{version}"
        if name not in self._schemas:
            try:
                self._schemas[name] = load_schema(name, self._load)
            except InvalidData as fault:
                self._schemas[name] = None
                location, _, reason = fault.message.removeprefix("recipes/").partition(": ")
                self.issues.append(LintIssue(ERROR, "form", location, reason, fault.hint or ""))
        return self._schemas[name]


def value_issues(merged: MergedRecipe, schemas: ChartSchemas, charts: Mapping[str, Chart]) -> Iterator[LintIssue]:
    """An issue for each value of a component that its chart does not have, has as another type, or does not accept.

    A warning where nothing is known of the values of this version of a chart, and something of those of its usual one.
    """
    for component in merged.recipe.components:
        schema = schemas.schema(component.id, component.version) if component.version else None
        if schema is None:
            usual = charts[component.id].version if component.id in charts else ""
            if component.values and usual not in ("", component.version) and schemas.schema(component.id, usual):
                message = f"the values of chart {component.chart or component.id} {component.version} are not checked: no list of them"
                hint = f"add values/{component.id}/{component.version}.keys.yaml"
                yield LintIssue(WARNING, "unchecked-values", merged.location(f"components.{component.id}.version"), message, hint)
            continue
        for path, value in iterate_leaves(component.values):
            place = f"components.{component.id}.values.{format_path(path)}"
            chart = f"chart {component.chart or component.id} {component.version}"
            hint = ""
            try:
                kind = schema.type_of(path)
                schema.check_word(path, value)
                message = "" if has_type(value, kind) else f"the chart expects a {kind}, not {describe_value(value)}"
            except InvalidInput as fault:
                message, hint = fault.message, fault.hint or ""
            if message:
                hint = hint or "write what the chart accepts, or remove it"
                yield LintIssue(ERROR, "chart-value", merged.location(place), f"{message} ({chart})", hint)
