"""What a node should be, as a document.

Knows the wire form of a recipe and where each of its lines came from; must not know how layers are found or merged.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.constraint import Constraint
    from eidos.model.measurement import Measurement
    from eidos.model.query import Query

KIND = "Recipe"
API_VERSION = "recipe.dgxc.io/v1"


class Step(Record):
    """One layer's word on one line: ``layer`` its name, ``value`` what it set, ``sources`` the documents behind it."""

    layer: str
    value: Any
    sources: tuple[str, ...] = ()


class Component(Record):
    """A deployable of the recipe: its chart, where it comes from, and the values that the layers chose for it."""

    id: str
    chart: str
    repository: str
    version: str
    namespace: str
    depends: tuple[str, ...] = ()
    values: dict[str, Any] = {}
    why: str = ""

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without the empty ones."""
        tree: dict[str, Any] = {"id": self.id, "chart": self.chart, "repository": self.repository, "version": self.version}
        tree["namespace"] = self.namespace
        tree["depends"] = list(self.depends)
        tree["values"] = copied(self.values)
        tree["why"] = self.why
        return {name: value for name, value in tree.items() if value or name == "id"}


class Recipe(Record):
    """Readings, constraints and components for one query; ``history``, when it was asked for, tells who said what."""

    timestamp: str
    version: str
    digest: str
    request: Query
    rules: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    constraints: tuple[Constraint, ...] = ()
    components: tuple[Component, ...] = ()
    uncovered: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    history: dict[str, tuple[Step, ...]] = {}

    def to_tree(self, *, context: bool = False) -> dict[str, Any]:
        """The document: plain mappings and lists that belong to the caller.

        ``context`` adds the sentences that say why. A recipe with a history tells it: for each line the layers that set it.
        """
        metadata: dict[str, Any] = {"recipe-timestamp": self.timestamp, "recipe-version": self.version, "recipe-data": self.digest}
        if self.uncovered:
            metadata["recipe-uncovered"] = ", ".join(self.uncovered)
        tree: dict[str, Any] = {"kind": KIND, "apiVersion": API_VERSION, "metadata": {k: v for k, v in metadata.items() if v}}
        tree["request"] = self.request.to_tree()
        tree["matchedRules"] = list(self.rules)
        tree["measurements"] = [_measurement(measurement, context) for measurement in self.measurements]
        if self.constraints:
            tree["constraints"] = [_constraint(constraint, context) for constraint in self.constraints]
        if self.components:
            tree["components"] = [component.to_tree() for component in self.components]
            if not context:
                for component in tree["components"]:
                    component.pop("why", None)
        if self.history:
            met = {f"constraints.{constraint.name}": str(constraint.value) for constraint in self.constraints}
            tree["explanation"] = [_explanation(path, steps, met.get(path)) for path, steps in self.history.items()]
        return tree


def copied(tree: Any) -> Any:
    """A copy that shares no mapping and no list with ``tree``."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [copied(value) for value in tree]
    return tree


def _measurement(measurement: Measurement, context: bool) -> dict[str, Any]:
    subtypes = []
    for subtype in measurement.subtypes:
        entry: dict[str, Any] = {"subtype": subtype.name, "data": dict(subtype.data)}
        if context and subtype.context:
            entry["context"] = dict(subtype.context)
        subtypes.append(entry)
    return {"type": measurement.type, "subtypes": subtypes}


def _constraint(constraint: Constraint, context: bool) -> dict[str, Any]:
    entry = {"name": constraint.name, "value": str(constraint.value)}
    return {**entry, "why": constraint.why} if context and constraint.why else entry


def _explanation(path: str, steps: tuple[Step, ...], met: str | None) -> dict[str, Any]:
    """One line's history: of a constraint (``met`` is what is left of it) all layers count, of anything else the last one."""
    if met is not None:
        said = [{"layer": step.layer, "value": step.value, "sources": list(step.sources)} for step in steps]
        return {"path": path, "value": met, "layers": said}
    last = steps[-1]
    entry: dict[str, Any] = {"path": path, "value": copied(last.value), "layer": last.layer, "sources": list(last.sources)}
    if len(steps) > 1:
        entry["replaced"] = [{"layer": step.layer, "value": copied(step.value)} for step in reversed(steps[:-1])]
    return {key: value for key, value in entry.items() if value != []}
