"""What ``lint`` knows about the world that recipes speak of, read from ``rules.yaml``.

Knows the form of that file; must not know any fact in it, nor how a fact becomes a fault. Only ``lint`` reads it: a recipe is made
without it.

>>> rules = read_rules({"cuda": [{"driver": "580", "cuda": "13.0"}]}, "rules.yaml")
>>> rules.cuda
(Reports(driver='580', cuda='13.0', source=''),)
>>> matches("SystemD.*.MainPID", "SystemD.containerd.service.MainPID"), matches("OS.grub.root", "OS.grub.rootwait")
(True, False)
"""

from __future__ import annotations

from eidos.files import resources
from eidos.model.constraint import Expression, parse_expression
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.recipe.layer import Source
from eidos.semver import parse_version
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    R = TypeVar("R", bound=Record)

NAME = "rules.yaml"


class Pages(Record):
    """Huge pages that a kernel of this ``page`` size can have; ``default`` is the size that vm.nr_hugepages counts."""

    architecture: str
    page: str
    huge: tuple[str, ...]
    default: str
    source: str = ""


class Host(Record):
    """What a GPU sits in, where that is no x86-64 machine; an empty ``page`` is any that the architecture has."""

    gpu: str
    architecture: str
    page: str = ""
    source: str = ""


class Kernel(Record):
    """The oldest kernel that a release of a system ships."""

    os: str
    osv: str
    lowest: str
    source: str = ""


class Removed(Record):
    """A setting that kernels from ``since`` on do not have."""

    path: str
    since: str
    source: str = ""


class Known(Record):
    """Names in one ``folder`` of /proc/sys."""

    folder: str
    names: tuple[str, ...]
    source: str = ""


class Pair(Record):
    """Two paths that set one thing; ``means`` gives the right one's words for the left one's."""

    left: str
    right: str
    means: dict[str, str] = {}
    source: str = ""


class Remark(Record):
    """Something that holds of a path, or of some of its ``values``, and why."""

    path: str
    why: str = ""
    values: tuple[str, ...] = ()
    source: str = ""


class Called(Record):
    """What the sentence about a ``key`` must name."""

    key: str
    name: str
    source: str = ""


class Reports(Record):
    """The CUDA version that a branch of the driver reports."""

    driver: str
    cuda: str
    source: str = ""


class Need(Record):
    """What a release of a component asks of the reading ``name``; ``expression`` is its ``value``, understood."""

    component: str
    version: str
    name: str
    value: str
    source: str = ""
    expression: Expression = Expression(())


class Apart(Record):
    """Releases of two components that do not work together."""

    left: str
    version: str
    right: str
    other: str
    why: str = ""
    source: str = ""


class Only(Record):
    """With this ``service``, the system is one of ``os``."""

    service: str
    os: tuple[str, ...]
    source: str = ""


class Rules(Record):
    """All of it, table by table; ``sources`` by id."""

    sources: dict[str, Source] = {}
    pages: tuple[Pages, ...] = ()
    hosts: tuple[Host, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    removed: tuple[Removed, ...] = ()
    known: tuple[Known, ...] = ()
    same: tuple[Pair, ...] = ()
    versions: tuple[Pair, ...] = ()
    versioned: tuple[Remark, ...] = ()
    observed: tuple[Remark, ...] = ()
    readonly: tuple[Remark, ...] = ()
    unwanted: tuple[Remark, ...] = ()
    called: tuple[Called, ...] = ()
    cuda: tuple[Reports, ...] = ()
    needs: tuple[Need, ...] = ()
    apart: tuple[Apart, ...] = ()
    only: tuple[Only, ...] = ()

    def cite(self, id: str) -> str:
        """The source of that id as people cite it; "" when there is none."""
        source = self.sources.get(id)
        return f"{source.document}, {source.version} ({source.date})" if source else ""


_TABLES: dict[str, type[Record]] = {
    "sources": Source,
    "pages": Pages,
    "hosts": Host,
    "kernels": Kernel,
    "removed": Removed,
    "known": Known,
    "same": Pair,
    "versions": Pair,
    "versioned": Remark,
    "observed": Remark,
    "readonly": Remark,
    "unwanted": Remark,
    "called": Called,
    "cuda": Reports,
    "needs": Need,
    "apart": Apart,
    "only": Only,
}

#: Fields that hold a version, which must parse.
_VERSIONS = ("osv", "lowest", "since", "driver", "cuda", "other")


def shipped_rules() -> Rules:
    """The rules that eidos carries; fails as ``resources.load_recipes`` does."""
    return read_rules(resources.load_recipes().get(NAME), NAME)


def read_rules(tree: object, name: str) -> Rules:
    """The rules that ``tree`` describes; InvalidData with the path of what is wrong in it."""
    root = TreeReader(tree, name)
    root.expect_only(tuple(_TABLES))
    sources = {source.id: source for source in (_read_row(Source, row) for row in root.mappings("sources"))}
    tables: dict[str, Any] = {}
    for table in root.tree:
        rows = []
        for row in root.mappings(table):
            rows.append(_read_row(_TABLES[table], row))
            source = row.text("source")
            if source and source not in sources:
                raise row.error(f"there is no source {source!r}", did_you_mean(source, sources), "source")
        tables[table] = tuple(rows)
    return Rules(**{**tables, "sources": sources})


def _read_row(kind: type[R], tree: TreeReader) -> R:
    """A row of a table: texts, lists of texts and mappings of texts, as the record's fields are annotated."""
    fields = tuple(field for field in kind._fields if field != "expression")
    tree.expect_only(fields)
    values: dict[str, Any] = {}
    for field in fields:
        annotation = kind.__annotations__[field]
        if annotation == "str":
            values[field] = tree.text(field) if hasattr(kind, field) else tree.name(field)
        else:
            values[field] = tree.texts(field) if annotation.startswith("tuple") else tree.text_map(field)
        if field in _VERSIONS:
            tree.parsed(field, parse_version)
    if kind is Need:
        values["expression"] = tree.parsed("value", parse_expression)
    return kind(**values)


def matches(pattern: str, path: str) -> bool:
    """Whether ``path`` is one of those that ``pattern`` writes, where a ``*`` stands for anything."""
    if "*" not in pattern:
        return pattern == path
    first, *rest = pattern.split("*")
    if not path.startswith(first) or not path.endswith(rest[-1]) or len(path) < sum(map(len, (first, *rest))):
        return False
    place = len(first)
    for part in rest[:-1]:
        found = path.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return place <= len(path) - len(rest[-1])
