"""One layer of knowledge, read from its tree.

Knows the form of a layer and reports exactly where a tree departs from it; must not know which values make sense: ``lint`` does. A layer
is a mapping::

    key:           {gpu: h100, k8s: ">= 1.34"}         what a query must have for it to apply; the base has none
    source:        [{id: …, document: …, version: …, date: …, url: …}]
    measurements:  [{type: OS, subtypes: [{subtype: grub, data: {iommu: pt}, context: {iommu: one sentence}}]}]
    constraints:   [{name: K8s.server.version, value: ">= 1.32.4", why: one sentence, source: id}]
    components:    {gpu-operator: {version: v26.3.3, values: {…}, why: one sentence}}

``types`` is read as ``measurements``: the one-file form of the Go program calls them so.
"""

from __future__ import annotations

from eidos.model.constraint import Constraint, read_constraint
from eidos.model.measurement import TYPES, read_subtype, read_type
from eidos.model.query import ANY, FIELD_ALIASES, FIELDS, VERSIONS, Query, version_expression
from eidos.model.recipe import copy_tree
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.model.measurement import Reading

_PARTS = ("key", "source", "measurements", "types", "constraints", "components")
_KEY_ALIASES = {**FIELD_ALIASES, "env": "service"}
_COMPONENT = ("version", "values", "why", "source", "enabled")


class Source(Record):
    """A public document that a layer is based on."""

    id: str
    document: str
    version: str = ""
    date: str = ""
    url: str = ""

    def citation(self) -> str:
        """Document, version and date."""
        return " ".join(filter(None, (self.document, self.version, self.date)))


class Value(Record):
    """One recommended reading and the reason, a sentence."""

    type: str
    subtype: str
    key: str
    reading: Reading
    why: str = ""


class Choice(Record):
    """A component as a layer chooses it: ``version`` and ``values`` as its chart takes them; ``enabled`` False takes it out."""

    id: str
    version: str = ""
    values: dict[str, Any] = {}
    why: str = ""
    source: str = ""
    enabled: bool = True


class Layer(Record):
    """Everything that one layer adds; ``name`` is its file, with the position in it when it is not the only one."""

    name: str
    key: Query
    sources: tuple[Source, ...]
    values: tuple[Value, ...]
    constraints: tuple[Constraint, ...]
    choices: tuple[Choice, ...]

    def dates(self) -> list[str]:
        """The dates of its sources; a source may be dated by its month or its year alone."""
        return [source.date for source in self.sources]


class _LazyLayer(Layer):
    """A layer of which all but name and key is read once it is used."""

    def __init__(self, tree: object, name: str) -> None:
        root = TreeReader(tree, name)
        self.__dict__.update(name=name, key=_read_key(root.mapping("key")), _tree=root)

    def __getattr__(self, part: str) -> Any:
        if part not in Layer._fields:
            raise AttributeError(part)
        self.__dict__.update(_read(self._tree).__dict__)
        return self.__dict__[part]

    def dates(self) -> list[str]:
        """Without reading more of it than that."""
        return [source.text("date") for source in self._tree.mappings("source", or_one=True)]


def lazy_layer(tree: object, name: str) -> Layer:
    """The layer that ``tree`` describes, for a tree that was read before: a start needs one in five of the shipped ones."""
    return _LazyLayer(tree, name)


def read_layer(tree: object, name: str, *, base: bool = False) -> Layer:
    """The layer that ``tree`` describes; InvalidData with the path of what is wrong in it. A ``base`` has no key."""
    root = TreeReader(tree, name)
    if base and "key" in root:
        raise root.error("the base applies to every query and takes no key")
    return _read(root)


def _read(root: TreeReader) -> Layer:
    if "apiVersion" in root:
        from eidos.model import foreign_documents

        if foreign_documents.describe(root.tree):
            raise foreign_documents.refuse(root, "a layer")
    root = root.renamed({"types": "measurements"})
    root.expect_only(_PARTS)
    return Layer(
        name=root.document,
        key=_read_key(root.mapping("key")),
        sources=tuple(_read_source(tree, str(i)) for i, tree in enumerate(root.mappings("source", or_one=True))),
        values=tuple(value for measurement in root.mappings("measurements") for value in _read_values(measurement)),
        constraints=tuple(map(_read_constraint, root.mappings("constraints"))),
        choices=tuple(_read_choice(id, tree) for id, tree in root.mapping("components").fields()),
    )


def _read_key(tree: TreeReader) -> Query:
    tree = tree.renamed(_KEY_ALIASES)
    tree.expect_only(FIELDS)
    fields: dict[str, str] = {}
    for field in tree.tree:
        text = tree.text(field).strip()
        if field not in VERSIONS or text.lower() == ANY:
            text = text.lower()
        elif text:
            tree.parsed(field, lambda version: version_expression(version.strip()))
        fields[field] = text
    return Query(**fields)


def _read_source(tree: TreeReader, id: str) -> Source:
    tree.expect_only(Source._fields)
    return Source(**{"id": id, "document": "", **{name: tree.text(name) for name in tree.tree}})


def _read_values(tree: TreeReader) -> Iterator[Value]:
    tree.expect_only(("type", "subtypes"))
    kind = read_type(tree)
    for part in tree.mappings("subtypes"):
        part.expect_only(("subtype", "data", "context"))
        subtype = read_subtype(part)
        for key in subtype.context:
            if key not in subtype.data:
                raise part.error("context for a key that is not in data", did_you_mean(key, subtype.data), f"context.{key}")
        for key, reading in subtype.data.items():
            yield Value(kind, subtype.name, key, reading, subtype.context.get(key, ""))


def _read_constraint(tree: TreeReader) -> Constraint:
    tree.expect_only(Constraint._fields)
    path = tree.name("name")
    if path.count(".") < 2 or path.partition(".")[0] not in TYPES.values():
        raise tree.error(f"invalid path {path!r}", "write a path as Type.subtype.key, such as K8s.server.version", "name")
    return read_constraint(tree)


def _read_choice(id: str, tree: TreeReader) -> Choice:
    tree.expect_only(_COMPONENT)
    texts = {name: tree.text(name) for name in ("version", "why", "source")}
    return Choice(id, values=copy_tree(tree.mapping("values").tree), enabled=tree.flag("enabled", True), **texts)
