"""What a node should be, as a document.

Knows the wire form of a recipe and the layers behind each of its lines; must not know how layers match or merge.
"""

from __future__ import annotations

from itertools import takewhile

from eidos.model.constraint import read_constraint
from eidos.model.measurement import read_measurements
from eidos.model.number_format import format_scalar
from eidos.model.query import FIELD_ALIASES, FIELDS, Query
from eidos.model.record import Record
from eidos.model.tree_reader import ANY_SCALAR, TreeReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.constraint import Constraint
    from eidos.model.measurement import Measurement

KIND = "Recipe"
API_VERSION = "recipe.dgxc.io/v1"

#: What a recipe may be generic in besides single fields: a GPU and a service together.
PAIR = "gpu+service"


class Step(Record):
    """One layer's part in one line: ``layer`` is its name, ``value`` what it set, ``sources`` the documents behind it, ``why`` a reason."""

    layer: str
    value: Any
    sources: tuple[str, ...] = ()
    why: str = ""


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
        tree["values"] = copy_tree(self.values)
        tree["why"] = self.why
        return {name: value for name, value in tree.items() if value or name == "id"}


class Recipe(Record):
    """Readings, constraints and components for one query; ``history``, when requested, has the layers that set each line.

    ``generic`` are those of gpu, service and gpu+service that were requested and that no layer is made for; None when a document does not
    have the list. ``impossible`` has a sentence for each part of the request that no node can be: a system that the service does not offer.
    ``plugins`` are names and digests of plug-ins whose data it follows from, too.
    """

    timestamp: str
    version: str
    digest: str
    request: Query
    rules: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    constraints: tuple[Constraint, ...] = ()
    components: tuple[Component, ...] = ()
    generic: tuple[str, ...] | None = None
    impossible: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    history: dict[str, tuple[Step, ...]] = {}
    plugins: tuple[str, ...] = ()

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Those of ``generic`` that are one field; the metadata has them as text."""
        return tuple(name for name in self.generic or () if name != PAIR)

    def readings(self) -> dict[str, Any]:
        """All recommended readings, by their path: ``K8s.server.version``."""
        return {f"{m.type}.{s.name}.{key}": value for m in self.measurements for s in m.subtypes for key, value in s.data.items()}

    def to_tree(self, *, context: bool = False) -> dict[str, Any]:
        """The document: plain mappings and lists that belong to the caller.

        ``context`` adds the reason of each value. A recipe with a history has an explanation: for each line the layers that set it.
        """
        metadata: dict[str, Any] = {"recipe-timestamp": self.timestamp, "recipe-version": self.version, "recipe-data": self.digest}
        metadata["recipe-uncovered"] = ", ".join(self.uncovered)
        metadata["plugins"] = " ".join(self.plugins)  # metadata holds texts alone
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
        if self.generic is not None:
            tree["generic"] = list(self.generic)
        if self.impossible:
            tree["impossible"] = list(self.impossible)
        if self.history:
            limits = {f"constraints.{constraint.name}": str(constraint.value) for constraint in self.constraints}
            tree["explanation"] = [_explanation(path, steps, limits.get(path)) for path, steps in self.history.items()]
        return tree

    @classmethod
    def from_tree(cls, tree: object, document: str) -> Recipe:
        """The recipe in a document, ours or the Go program's; ``document`` names it in messages.

        The Go program's has no constraints and no components, writes the versions of its request as mappings of numbers, and may
        lack kind, apiVersion and metadata. Unknown names are ignored, and so is an explanation. Raises InvalidData with the path and
        what was expected there.
        """
        root = TreeReader(tree, document, text_types=ANY_SCALAR)
        if tree is None:
            raise root.error("the document is empty", _HINT)
        if (root.tree.get("kind", KIND), root.tree.get("apiVersion", API_VERSION)) != (KIND, API_VERSION):
            from eidos.model import foreign_documents

            if foreign_documents.describe(root.tree) and root.tree.get("kind") != "Snapshot":
                raise foreign_documents.refuse(root, "a recipe")
        kind_hint = "run 'eidos recipe -f FILE' to make a recipe from a snapshot" if root.tree.get("kind") == "Snapshot" else _HINT
        root.expect_kind(KIND, API_VERSION, kind_hint)
        if not root.tree.get("measurements"):
            raise root.error("not a recipe: it has no measurements", _HINT)
        metadata = root.mapping("metadata")
        uncovered = metadata.text("recipe-uncovered")
        generic = root.texts("generic") if "generic" in root else tuple(uncovered.split(", ")) if uncovered else None
        measurements = read_measurements(root.mappings("measurements"))
        if not any(subtype.data for measurement in measurements for subtype in measurement.subtypes):
            raise root.error("the recipe has no readings", _HINT, "measurements")
        return cls(
            timestamp=metadata.text("recipe-timestamp"),
            version=metadata.text("recipe-version"),
            digest=metadata.text("recipe-data"),
            request=_read_request(root.mapping("request")),
            rules=root.texts("matchedRules"),
            measurements=measurements,
            constraints=tuple(map(read_constraint, root.mappings("constraints"))),
            components=tuple(map(_read_component, root.mappings("components"))),
            generic=generic,
            impossible=root.texts("impossible") if "impossible" in root else (),
            plugins=tuple(metadata.text("plugins").split()),
        )


_HINT = "run 'eidos recipe -o recipe.yaml' to write a recipe"


def _read_request(tree: TreeReader) -> Query:
    """The query of a request; a field may have an alias, and a version be a mapping of numbers."""
    tree = tree.renamed(FIELD_ALIASES)
    fields = {}
    for field in FIELDS:
        value = tree.tree.get(field)
        fields[field] = _version_of(value) if isinstance(value, dict) else tree.text(field)
    if fields["os"] == "ubuntu" and fields["osv"].count(".") == 1:
        # Ubuntu counts months; the Go program's numbers have lost the zero.
        year, _, month = fields["osv"].partition(".")
        fields["osv"] = f"{year}.{month:0>2}"
    return Query(**fields)


def _version_of(tree: dict[str, Any]) -> str:
    """A version that was written as ``{major: 1, minor: 33, patch: 5, precision: 3}``; "" when it has no major number."""
    numbers = {key.lower(): value for key, value in tree.items()}
    parts = [numbers.get(name) for name in ("major", "minor", "patch")]
    precision = numbers.get("precision")
    if isinstance(precision, int) and 0 < precision < 3:
        parts = parts[:precision]
    return ".".join(format_scalar(part) for part in takewhile(lambda part: isinstance(part, int), parts))


def _read_component(tree: TreeReader) -> Component:
    texts = {name: tree.text(name) for name in ("chart", "repository", "version", "namespace", "why")}
    return Component(id=tree.name("id"), depends=tree.names("depends"), values=copy_tree(tree.mapping("values").tree), **texts)


def copy_tree(tree: Any) -> Any:
    """A copy that shares no mapping and no list with ``tree``."""
    if isinstance(tree, dict):
        return {key: copy_tree(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [copy_tree(value) for value in tree]
    return tree


def overlay_tree(base: dict[str, Any], overlay: dict[str, Any]) -> None:
    """Lay ``overlay`` over ``base``, in place, mapping into mapping; a list replaces a list. Nothing of ``overlay`` is shared.

    >>> tree = {"a": {"b": 1, "c": [1, 2]}}
    >>> overlay_tree(tree, {"a": {"c": [3]}})
    >>> tree
    {'a': {'b': 1, 'c': [3]}}
    """
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            overlay_tree(base[key], value)
        else:
            base[key] = copy_tree(value)


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


def _explanation(path: str, steps: tuple[Step, ...], limit: str | None) -> dict[str, Any]:
    """One line's history: all layers of a constraint, whose intersection is ``limit``; of anything else the last one."""
    if limit is not None:
        layers = [{"layer": step.layer, "value": step.value, "sources": list(step.sources)} for step in steps]
        return {"path": path, "value": limit, "layers": layers}
    last = steps[-1]
    entry: dict[str, Any] = {"path": path, "value": copy_tree(last.value), "layer": last.layer, "sources": list(last.sources)}
    if len(steps) > 1:
        entry["replaced"] = [{"layer": step.layer, "value": copy_tree(step.value)} for step in reversed(steps[:-1])]
    return {key: value for key, value in entry.items() if value != []}
