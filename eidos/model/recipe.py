"""What a node should be, as a document.

Knows the wire form of a recipe and where each of its lines came from; must not know how layers are found or merged.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.number_format import written
from eidos.model.query import FIELDS, WIRE, Query
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.constraint import Constraint
    from eidos.model.measurement import Measurement
    from eidos.model.tree_reader import Reader

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

    @classmethod
    def from_tree(cls, tree: Any, where: str) -> Recipe:
        """The recipe in a document, ours or the Go program's; ``where`` names the document in messages.

        The Go program's has no constraints and no components, writes the versions of its request as mappings of numbers, and may
        lack kind, apiVersion and metadata. Names that we do not know are passed over, and so is an explanation. Raises InvalidData
        with the place and what was expected there.
        """
        from eidos.model.tree_reader import Reader

        reader = Reader(where)
        if tree is None:
            raise reader.fault("", "the document is empty", _MAKE)
        root = reader.mapping(tree, "")
        _expect_kind(reader, root)
        metadata = reader.mapping(root.get("metadata"), "metadata")
        said = {name: reader.text(metadata.get(f"recipe-{name}"), f"metadata.recipe-{name}") for name in _METADATA}
        measurements = tuple(reader.measurement(item, at) for item, at in reader.items(root.get("measurements"), "measurements"))
        if not any(subtype.data for measurement in measurements for subtype in measurement.subtypes):
            raise reader.fault("measurements", "the recipe has no readings", _MAKE)
        return cls(
            timestamp=said["timestamp"],
            version=said["version"],
            digest=said["data"],
            request=_request(reader, root.get("request")),
            rules=tuple(reader.text(item, at) for item, at in reader.items(root.get("matchedRules"), "matchedRules")),
            measurements=measurements,
            constraints=tuple(_read_constraint(reader, item, at) for item, at in reader.items(root.get("constraints"), "constraints")),
            components=tuple(_read_component(reader, item, at) for item, at in reader.items(root.get("components"), "components")),
            uncovered=tuple(said["uncovered"].split(", ")) if said["uncovered"] else (),
        )


_MAKE = "'eidos recipe -o recipe.yaml' writes a recipe"
_METADATA = ("timestamp", "version", "data", "uncovered")


def _expect_kind(reader: Reader, root: dict[str, Any]) -> None:
    from eidos.model.tree_reader import short

    for name, expected in (("kind", KIND), ("apiVersion", API_VERSION)):
        found = root.get(name, expected)
        if found != expected:
            hint = "'eidos recipe -f FILE' makes a recipe from a snapshot" if found == "Snapshot" else _MAKE
            raise reader.fault(name, f"expected {expected}, found {short(found)}", hint)
    if not root.get("measurements"):
        raise reader.fault("", "this is no recipe: it has no measurements", _MAKE)


def _request(reader: Reader, value: Any) -> Query:
    tree = reader.mapping(value, "request")
    fields = {}
    for field in FIELDS:
        name = WIRE.get(field, field)
        found = next((tree[key] for key in (name, field) if tree.get(key) is not None), "")
        fields[field] = _version(found) if isinstance(found, dict) else reader.text(found, f"request.{name}")
    if fields["os"] == "ubuntu" and fields["osv"].count(".") == 1:
        # Ubuntu counts months; the Go program's numbers have lost the zero.
        year, _, month = fields["osv"].partition(".")
        fields["osv"] = f"{year}.{month:0>2}"
    return Query(**fields)


def _version(tree: dict[str, Any]) -> str:
    """A version that was written as ``{major: 1, minor: 33, patch: 5, precision: 3}``; "" when it has no major number."""
    found = {key.lower(): value for key, value in tree.items()}
    parts = [found.get(name) for name in ("major", "minor", "patch")]
    precision = found.get("precision")
    if isinstance(precision, int) and 0 < precision < 3:
        parts = parts[:precision]
    numbers = []
    for part in parts:
        if not isinstance(part, int):
            break
        numbers.append(written(part))
    return ".".join(numbers)


def _read_constraint(reader: Reader, value: Any, at: str) -> Constraint:
    from eidos.errors import InvalidInput
    from eidos.model.constraint import Constraint, parse

    tree = reader.mapping(value, at)
    text = reader.name(tree.get("value"), f"{at}.value")
    try:
        expression = parse(text)
    except InvalidInput as fault:
        raise InvalidData(f"{reader.where}: {at}.value: {fault.message}", fault.hint, fault.excerpt) from fault
    return Constraint(reader.name(tree.get("name"), f"{at}.name"), expression, reader.text(tree.get("why"), f"{at}.why"))


def _read_component(reader: Reader, value: Any, at: str) -> Component:
    tree = reader.mapping(value, at)
    texts = {name: reader.text(tree.get(name), f"{at}.{name}") for name in ("chart", "repository", "version", "namespace", "why")}
    depends = tuple(reader.name(item, place) for item, place in reader.items(tree.get("depends"), f"{at}.depends"))
    values = copied(reader.mapping(tree.get("values"), f"{at}.values"))
    return Component(id=reader.name(tree.get("id"), f"{at}.id"), depends=depends, values=values, **texts)


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
