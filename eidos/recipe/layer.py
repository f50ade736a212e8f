"""One layer of knowledge, read from its tree.

Knows the form of a layer and reports exactly where a tree departs from it; must not know which values make sense: ``lint`` does. A layer
is a mapping::

    key:           {gpu: [h100, h200], k8s: ">= 1.34", gpu-operator: ">= 26.7"}
    source:        [operator-26.7, {id: …, document: …, version: …, date: …, url: …}]
    measurements:  [{type: OS, subtypes: [{subtype: grub, data: {iommu: pt}, context: {iommu: one sentence}}]}]
    constraints:   [{name: K8s.server.version, value: ">= 1.32.4", why: one sentence, source: id}]
    components:    {gpu-operator: {version: v26.3.3, values: {…}, why: one sentence}}

The key is what a query must have for it to apply, and in which range the recipe's releases of components must be; the base has none. A
source is one of its own, or the id of one in ``sources.yaml``. ``null`` for a reading, or as the value of a constraint, removes what the
layers below set there. ``types`` is read as ``measurements``: the one-file form of the Go program calls them so.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.constraint import Constraint, read_constraint
from eidos.model.measurement import TYPES, read_type
from eidos.model.query import (
    ANY,
    FIELD_ALIASES,
    FIELDS,
    VERSIONS,
    LayerKey,
    is_expression,
    list_text,
    version_expression,
    words_of,
)
from eidos.model.recipe import copy_tree
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.semver import parse_version
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
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


class Removal(Record):
    """What a layer takes out of those below it, and why: a reading (type, subtype, key), or all limits (``constraints``, path)."""

    target: tuple[str, ...]
    why: str = ""
    source: str = ""

    @property
    def path(self) -> str:
        """The path of the line that it removes."""
        return ".".join(self.target)


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
    key: LayerKey
    sources: tuple[Source, ...]
    values: tuple[Value, ...]
    constraints: tuple[Constraint, ...]
    choices: tuple[Choice, ...]
    removals: tuple[Removal, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.values or self.constraints or self.choices or self.removals)


def read_layer(tree: object, name: str, sources: Mapping[str, Source] = {}, *, base: bool = False) -> Layer:
    """The layer that ``tree`` describes; InvalidData with the path of what is wrong in it. A ``base`` has no key.

    ``sources`` are those that layers share, by id.
    """
    root = TreeReader(tree, name)
    if base and "key" in root:
        raise root.error("the base applies to every query and takes no key")
    if "apiVersion" in root:
        from eidos.model import foreign_documents

        if foreign_documents.describe(root.tree):
            raise foreign_documents.refuse(root, "a layer")
    root = root.renamed({"types": "measurements"})
    root.expect_only(_PARTS)
    readings = [item for measurement in root.mappings("measurements") for item in _read_values(measurement)]
    limits = list(map(_read_constraint, root.mappings("constraints")))
    removals = tuple(item for item in (*readings, *limits) if isinstance(item, Removal))
    if base and removals:
        raise root.error("the base has nothing below it to remove", f"remove {removals[0].path} from the base")
    return Layer(
        name=root.document,
        key=_read_key(root.mapping("key")),
        sources=tuple(_read_sources(root, sources)),
        values=tuple(item for item in readings if isinstance(item, Value)),
        constraints=tuple(item for item in limits if isinstance(item, Constraint)),
        choices=tuple(_read_choice(id, tree) for id, tree in root.mapping("components").fields()),
        removals=removals,
    )


def read_key(tree: object, name: str) -> LayerKey:
    """The key alone of the layer that ``tree`` describes; fails as :func:`read_layer` does."""
    return _read_key(TreeReader(tree, name).mapping("key"))


def _read_key(tree: TreeReader) -> LayerKey:
    tree = tree.renamed(_KEY_ALIASES)
    fields: dict[str, str] = {}
    releases: dict[str, str] = {}
    for field in tree.tree:
        items = tree.texts(field) if isinstance(tree.tree[field], (list, tuple)) else (tree.text(field),)
        texts = [text.strip() for text in items]
        if field not in FIELDS:
            # What is no field of a query is a component, with a range of its releases.
            if len(texts) != 1 or not is_expression(texts[0]):
                tree.expect_only(FIELDS)
            tree.parsed(field, _parse_versions)
            releases[field] = texts[0]
        elif [text.lower() for text in texts] in ([""], [ANY]):
            continue
        elif not texts:
            raise tree.error("the list is empty", f"leave {field} out where any is meant", field)
        elif field in VERSIONS:
            if isinstance(tree.tree[field], (list, tuple)):
                _read_versions(tree, field, texts)
            else:
                tree.parsed(field, _parse_versions)
            fields[field] = list_text(texts)
        else:
            words = [word for text in texts for word in words_of(text.lower())]
            if not all(words) or ANY in words:
                raise tree.error("a name of the list is empty or 'any'", f"leave {field} out where any is meant", field)
            fields[field] = list_text(words)
    return LayerKey(**fields, releases=tuple(releases.items()))


def _parse_versions(text: str) -> None:
    """Raise InvalidInput for what is neither a version nor an expression of versions."""
    for term in version_expression(text.strip()).terms:
        for operand in term.operands:
            parse_version(operand)


def _read_versions(tree: TreeReader, field: str, texts: list[str]) -> None:
    """Check each version of a list, which are versions and not ranges."""
    for i, text in enumerate(texts):
        try:
            parse_version(text)
        except InvalidInput as cause:
            raise tree.error(cause.message, cause.hint or 'write only a range: ">= 1.33, < 1.36"', f"{field}[{i}]") from cause


def _read_sources(root: TreeReader, shared: Mapping[str, Source]) -> Iterator[Source]:
    """The sources of a layer, in order: a mapping is one of its own, a text the id of one that layers share."""
    written = root.tree.get("source")
    items = [written] if isinstance(written, (dict, str)) else root.items("source")
    for i, item in enumerate(items):
        if isinstance(item, str):
            if item not in shared:
                hint = did_you_mean(item, shared, "add it to sources.yaml, or write a mapping with document, version and date")
                raise root.error(f"unknown source {item!r}", hint, f"source[{i}]")
            yield shared[item]
        else:
            yield read_source(TreeReader(item, root.document, f"source[{i}]", root.text_types), str(i))


def read_source(tree: TreeReader, id: str) -> Source:
    """The source in a mapping; ``id`` is its id where it has none."""
    tree.expect_only(Source._fields)
    return Source(**{"id": id, "document": "", **{name: tree.text(name) for name in tree.tree}})


def read_shared_sources(tree: object, name: str) -> dict[str, Source]:
    """The sources of a file by id; InvalidData for an id that two have."""
    sources: dict[str, Source] = {}
    for row in TreeReader(tree if tree is not None else {}, name).mappings("sources"):
        source = read_source(row, row.name("id"))
        if source.id in sources:
            raise row.error(f"duplicate source {source.id!r}")
        sources[source.id] = source
    return sources


def source_dates(tree: object, shared: Mapping[str, Source]) -> Iterator[str]:
    """The dates of a layer's sources, without reading more of it than that."""
    written = tree.get("source") if isinstance(tree, dict) else None
    for item in written if isinstance(written, list) else [written]:
        date = shared[item].date if isinstance(item, str) and item in shared else item.get("date") if isinstance(item, dict) else ""
        yield date if isinstance(date, str) else ""


def newest_date(dates: Iterable[str]) -> str:
    """The newest of some dates, which may be a month or a year alone; "" when there is none.

    >>> newest_date(["2026-02", "2025", "2026-01-31", "as read", ""])
    '2026-02-01'
    """
    return max((f"{date}-01-01"[:10] for date in dates if date[:4].isdigit()), default="")


def _read_values(tree: TreeReader) -> Iterator[Value | Removal]:
    tree.expect_only(("type", "subtypes"))
    kind = read_type(tree)
    for part in tree.mappings("subtypes"):
        part.expect_only(("subtype", "data", "context"))
        name, data, context = part.name("subtype"), part.scalars("data", or_null=True), part.text_map("context")
        for key in context:
            if key not in data:
                raise part.error("context for a key that is not in data", did_you_mean(key, data), f"context.{key}")
        for key, reading in data.items():
            why = context.get(key, "")
            yield Removal((kind, name, key), why) if reading is None else Value(kind, name, key, reading, why)


def _read_constraint(tree: TreeReader) -> Constraint | Removal:
    tree.expect_only(Constraint._fields)
    path = tree.name("name")
    if path.count(".") < 2 or path.partition(".")[0] not in TYPES.values():
        raise tree.error(f"invalid path {path!r}", "write a path as Type.subtype.key, such as K8s.server.version", "name")
    if "value" in tree and tree.tree["value"] is None:
        return Removal(("constraints", path), tree.text("why"), tree.text("source"))
    return read_constraint(tree)


def _read_choice(id: str, tree: TreeReader) -> Choice:
    tree.expect_only(_COMPONENT)
    texts = {name: tree.text(name) for name in ("version", "why", "source")}
    return Choice(id, values=copy_tree(tree.mapping("values").tree), enabled=tree.flag("enabled", True), **texts)
