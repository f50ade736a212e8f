"""What ``lint`` knows about the world that recipes speak of, read from ``rules.yaml``.

Knows the form of that file; must not know any fact in it, nor how a fact becomes a fault. Only ``lint`` reads it: a recipe is made
without it.

>>> rules = read({"cuda": [{"driver": "580", "cuda": "13.0"}]}, "rules.yaml")
>>> rules.cuda
(Reports(driver='580', cuda='13.0', source=''),)
>>> matches("SystemD.*.MainPID", "SystemD.containerd.service.MainPID"), matches("OS.grub.root", "OS.grub.rootwait")
(True, False)
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.files import resources
from eidos.model.constraint import Expression
from eidos.model.constraint import parse as parse_expression
from eidos.model.number_format import written
from eidos.model.record import Record, replace
from eidos.recipe.layer import Source
from eidos.semver import parse as parse_version
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


def shipped() -> Rules:
    """The rules that eidos carries; fails as ``resources.recipe_tree`` does."""
    return read(resources.recipe_tree().get(NAME) or {}, NAME)


def read(tree: object, name: str) -> Rules:
    """The rules that ``tree`` describes; InvalidData naming the place when it describes none."""
    if not isinstance(tree, dict):
        raise InvalidData(f"{name}: expected a mapping of tables")
    tables: dict[str, Any] = {}
    for table, rows in tree.items():
        if table not in _TABLES:
            raise InvalidData(f"{name}: there is no table {table!r}", did_you_mean(str(table), _TABLES))
        if not isinstance(rows, list):
            raise InvalidData(f"{name}: {table}: expected a list")
        tables[table] = tuple(_row(_TABLES[table], row, f"{name}: {table}[{i}]") for i, row in enumerate(rows))
    tables["sources"] = {source.id: source for source in tables.get("sources", ())}
    for table, rows in tables.items():
        for i, row in enumerate(rows if isinstance(rows, tuple) else ()):
            if row.source and row.source not in tables["sources"]:
                hint = did_you_mean(row.source, tables["sources"])
                raise InvalidData(f"{name}: {table}[{i}].source: there is no source {row.source!r}", hint)
    return Rules(**tables)


def _row(kind: type[R], tree: object, where: str) -> R:
    if not isinstance(tree, dict):
        raise InvalidData(f"{where}: expected a mapping")
    fields: dict[str, Any] = {}
    for field, value in tree.items():
        if field not in kind._fields or field == "expression":
            raise InvalidData(f"{where}: there is no {field!r} here", did_you_mean(str(field), kind._fields))
        fields[field] = _plain(value, f"{where}.{field}")
    try:
        row = kind(**fields)
        for field in _VERSIONS:
            if field in fields:
                parse_version(fields[field])
        return replace(row, expression=parse_expression(row.value)) if isinstance(row, Need) else row
    except TypeError as fault:
        raise InvalidData(f"{where}: {fault}") from fault
    except InvalidInput as fault:
        raise InvalidData(f"{where}: {fault.message}", fault.hint, fault.excerpt) from fault


def _plain(value: object, where: str) -> Any:
    if isinstance(value, list):
        return tuple(_plain(item, where) for item in value)
    if isinstance(value, dict):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if value is None or isinstance(value, bool):
        raise InvalidData(f"{where}: expected text, found {value!r}", hint="put it in quotes")
    return written(value)


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
