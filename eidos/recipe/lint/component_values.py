"""Values that layers choose for a chart which its version does not have, or does not accept; and names of the files that describe values.

Knows which version of a chart a value is for, and how the files below ``values/`` are named; must not know any chart: what is known of them
is in these files. A bundle opens one by the component and the version of its chart, so one with a slip in its name is never read, and
nothing that it says of a chart is checked or mirrored.
"""

from __future__ import annotations

import re

from eidos.errors import InvalidData, InvalidInput
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.values_schema import describe_value, format_path, has_type, iterate_leaves, load_schema
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from eidos.model.chart import Chart
    from eidos.model.values_schema import ValuesSchema
    from eidos.recipe.lint.combinations import MergedRecipe

#: Below these folders of the recipes.
FOLDER, IMAGES = "values/", "images/"

#: What a file describes: the keys of a chart's values, those that name the registry of an image, the words that a value can be, or the
#: custom resource definitions.
KINDS = ("keys", "registries", "words", "crds")

NAME = re.compile(rf"{FOLDER}(?P<component>[^/]+)/(?P<version>[^/]+)\.({'|'.join(KINDS)})\.yaml")


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
            value_path = f"components.{component.id}.values.{format_path(path)}"
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
                yield LintIssue(ERROR, "chart-value", merged.location(value_path), f"{message} ({chart})", hint)


def values_file_issues(names: Iterable[str], components: Collection[str]) -> Iterator[LintIssue]:
    """An issue for each file that no bundle reads; ``names`` are paths below the recipes, others than those below ``values/`` are ignored.

    >>> names = ["base.yaml", "values/a/v1.2.0.keys.yaml", "values/a/v1.2.0.key.yaml", "values/a/v1.2.0.keys.json", "values/b/1.keys.yaml"]
    >>> for issue in values_file_issues(names, ["a"]):
    ...     print(issue)
    values/a/v1.2.0.key.yaml: error: unknown file [unknown-file]
    values/a/v1.2.0.keys.json: error: unknown file [unknown-file]
    values/b/1.keys.yaml: error: unknown component 'b' [unknown-component]
    """
    for name in names:
        if name.startswith(IMAGES) and (component := name[len(IMAGES) :].rpartition(".")[0]) not in components:
            hint = did_you_mean(component, components) or ""
            yield LintIssue(ERROR, "unknown-component", name, f"unknown component {component!r}", hint)
        if name.startswith(FOLDER):
            match = NAME.fullmatch(name)
            if match is None:
                hint = f"name it {FOLDER}<component>/<chart version>.{KINDS[0]}.yaml, or ….{'.yaml, ….'.join(KINDS[1:])}.yaml"
                yield LintIssue(ERROR, "unknown-file", name, "unknown file", hint)
            elif match["component"] not in components:
                component = match["component"]
                yield LintIssue(
                    ERROR, "unknown-component", name, f"unknown component {component!r}", did_you_mean(component, components) or ""
                )
