"""What ``lint`` knows about kernels, hosts and drivers, read from ``rules.yaml``.

Knows the tables of that file; must not know any fact in them, nor how a fact becomes an issue. Only ``lint`` reads it:
a recipe is made without it.

>>> rules = read_rules({"cuda": [{"driver": "580", "cuda": "13.0"}]}, "rules.yaml")
>>> rules.cuda
(CudaRelease(driver='580', cuda='13.0', source=''),)
"""

from __future__ import annotations

from eidos.files import resources
from eidos.model.constraint import Expression, parse_expression
from eidos.model.pattern import parse_pattern
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.recipe.layer import Source
from eidos.semver import parse_version
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    R = TypeVar("R", bound=Record)

NAME = "rules.yaml"


class HugePages(Record):
    """Sizes of huge pages of a kernel whose ``page`` has this size; ``default`` is the one that vm.nr_hugepages counts."""

    architecture: str
    page: str
    huge: tuple[str, ...]
    default: str
    source: str = ""


class GpuHost(Record):
    """The machine of a GPU that is not in an x86-64 one; an empty ``page`` is any that the architecture has."""

    gpu: str
    architecture: str
    page: str = ""
    source: str = ""


class OldestKernel(Record):
    """The oldest kernel that a release of a system ships."""

    os: str
    osv: str
    lowest: str
    source: str = ""


class RemovedSetting(Record):
    """A setting that kernels from ``since`` on do not have."""

    path: str
    since: str
    source: str = ""


class SysctlFolder(Record):
    """Names in one ``folder`` of /proc/sys."""

    folder: str
    names: tuple[str, ...]
    source: str = ""


class EquivalentPaths(Record):
    """Two paths that set the same thing; ``means`` maps words of the left one to those of the right one."""

    left: str
    right: str
    means: dict[str, str] = {}
    source: str = ""


class PathRule(Record):
    """What holds of a path, of some of its ``values``, or of texts there with ``pattern`` and without ``unless``; why, and a hint."""

    path: str
    why: str = ""
    values: tuple[str, ...] = ()
    pattern: str = ""
    unless: str = ""
    hint: str = ""
    source: str = ""


class SubjectOfKey(Record):
    """The ``name`` that the sentence about a ``key`` must mention."""

    key: str
    name: str
    source: str = ""


class CudaRelease(Record):
    """The CUDA version that a branch of the driver reports."""

    driver: str
    cuda: str
    source: str = ""


class Requirement(Record):
    """What releases of a component require of the reading ``name``: ``version`` and ``value`` are expressions.

    Only where ``when`` holds, which is written as that of a :class:`Clash`.
    """

    component: str
    version: str
    name: str
    value: str
    when: dict[str, str] = {}
    source: str = ""
    releases: Expression = Expression(())
    expression: Expression = Expression(())


class Incompatibility(Record):
    """Releases of two components that do not work together: ``version`` of ``left``, and ``other`` of ``right``, both expressions."""

    left: str
    version: str
    right: str
    other: str
    why: str = ""
    source: str = ""
    releases: Expression = Expression(())
    other_releases: Expression = Expression(())


class EndOfLife(Record):
    """The last day or month in which releases of a component, or of the ``driver``, get fixes; ``version`` is an expression."""

    product: str
    version: str
    end: str
    service: str = ""
    extended: str = ""
    source: str = ""
    releases: Expression = Expression(())


class AllowedUpgrade(Record):
    """Releases of a product that can be upgraded to ``to``: those of ``after``; see :mod:`eidos.recipe.life_cycles`."""

    product: str
    to: str
    after: tuple[str, ...]
    why: str = ""
    source: str = ""


class GpuFloor(Record):
    """The lowest version of the reading ``name`` with which a GPU works as it should; ``why`` says what begins with it."""

    gpu: tuple[str, ...]
    name: str
    lowest: str
    why: str
    source: str = ""


class KnownReleases(Record):
    """Releases of a product, or of a branch of it, that sources name, oldest first."""

    product: str
    versions: tuple[str, ...]
    source: str = ""


class UnbuiltDriver(Record):
    """A branch of the driver for which no driver container exists for this release of a system."""

    driver: str
    os: str
    osv: str
    source: str = ""


class MovedChart(Record):
    """A chart of a ``repository`` that gets no releases any more, and where it is ``now``."""

    repository: str
    chart: str
    now: str
    source: str = ""


class KnownReadings(Record):
    """Names of readings in a ``subtype`` (``K8s.server``); ``others`` says which more there are, "" where there are none."""

    subtype: str
    names: tuple[str, ...]
    others: str = ""
    source: str = ""


class ValueRange(Record):
    """The whole numbers that a setting can have; "" for an unlimited one. At most ``count`` of them, ascending; one by default.

    With ``words`` it has these instead, one or several with commas between.
    """

    path: str
    minimum: str = ""
    maximum: str = ""
    count: str = ""
    words: tuple[str, ...] = ()
    source: str = ""


class OrderedSettings(Record):
    """Two numbers of which ``left`` must be less than ``right``, or with ``equal`` at most that."""

    left: str
    right: str
    why: str
    equal: str = ""
    source: str = ""


class Clash(Record):
    """Where ``when`` holds, ``path`` is none of ``values``, and one of ``only``, if there are any.

    ``when`` maps paths to words, separated by commas, all paths must match. A path is ``query.gpu``, that of a reading, or
    ``components.<id>.values.<path>``; the word ``unset`` stands for a path without a value.
    """

    path: str
    why: str
    when: dict[str, str] = {}
    values: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    source: str = ""


class SystemsOfService(Record):
    """With this ``service``, the system is one of ``os``."""

    service: str
    os: tuple[str, ...]
    source: str = ""


class LintRules(Record):
    """The rows of every table; ``sources`` by id."""

    sources: dict[str, Source] = {}
    pages: tuple[HugePages, ...] = ()
    hosts: tuple[GpuHost, ...] = ()
    kernels: tuple[OldestKernel, ...] = ()
    removed: tuple[RemovedSetting, ...] = ()
    sysctls: tuple[SysctlFolder, ...] = ()
    equivalents: tuple[EquivalentPaths, ...] = ()
    versions: tuple[EquivalentPaths, ...] = ()
    versioned: tuple[PathRule, ...] = ()
    observed: tuple[PathRule, ...] = ()
    readonly: tuple[PathRule, ...] = ()
    unwanted: tuple[PathRule, ...] = ()
    texts: tuple[PathRule, ...] = ()
    subjects: tuple[SubjectOfKey, ...] = ()
    cuda: tuple[CudaRelease, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    incompatible: tuple[Incompatibility, ...] = ()
    systems: tuple[SystemsOfService, ...] = ()
    ends: tuple[EndOfLife, ...] = ()
    upgrades: tuple[AllowedUpgrade, ...] = ()
    floors: tuple[GpuFloor, ...] = ()
    releases: tuple[KnownReleases, ...] = ()
    unbuilt: tuple[UnbuiltDriver, ...] = ()
    moved: tuple[MovedChart, ...] = ()
    readings: tuple[KnownReadings, ...] = ()
    ranges: tuple[ValueRange, ...] = ()
    ordered: tuple[OrderedSettings, ...] = ()
    clashes: tuple[Clash, ...] = ()

    def date(self) -> str:
        """The date of the newest source, which is that of the rules."""
        return max((source.date for source in self.sources.values()), default="")

    def cite(self, id: str) -> str:
        """The source of that id as people cite it; "" when there is none."""
        source = self.sources.get(id)
        return f"{source.document}, {source.version} ({source.date})" if source else ""


#: Tables of the file: the field of the rules that each fills, and its rows.
_TABLES: dict[str, tuple[str, type[Record]]] = {
    "sources": ("sources", Source),
    "pages": ("pages", HugePages),
    "hosts": ("hosts", GpuHost),
    "kernels": ("kernels", OldestKernel),
    "removed": ("removed", RemovedSetting),
    "known": ("sysctls", SysctlFolder),
    "same": ("equivalents", EquivalentPaths),
    "versions": ("versions", EquivalentPaths),
    "versioned": ("versioned", PathRule),
    "observed": ("observed", PathRule),
    "readonly": ("readonly", PathRule),
    "unwanted": ("unwanted", PathRule),
    "texts": ("texts", PathRule),
    "called": ("subjects", SubjectOfKey),
    "cuda": ("cuda", CudaRelease),
    "needs": ("requirements", Requirement),
    "apart": ("incompatible", Incompatibility),
    "only": ("systems", SystemsOfService),
    "ends": ("ends", EndOfLife),
    "upgrades": ("upgrades", AllowedUpgrade),
    "floors": ("floors", GpuFloor),
    "releases": ("releases", KnownReleases),
    "unbuilt": ("unbuilt", UnbuiltDriver),
    "moved": ("moved", MovedChart),
    "readings": ("readings", KnownReadings),
    "ranges": ("ranges", ValueRange),
    "ordered": ("ordered", OrderedSettings),
    "clashes": ("clashes", Clash),
}

#: Fields whose text must parse.
_CHECKED: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("osv", "lowest", "since", "driver", "cuda", "to"), parse_version),
    **dict.fromkeys(("pattern", "unless"), parse_pattern),
}

#: Fields that are parsed from the text of another one.
_PARSED = {"expression": "value", "releases": "version", "other_releases": "other"}

#: The shipped rules, once they were read: nothing changes them.
_shipped: list[LintRules] = []


def shipped_rules() -> LintRules:
    """The rules that eidos carries, read once in a process; fails as ``resources.load_recipes`` does."""
    if not _shipped:
        _shipped.append(read_rules(resources.load_recipe_file(NAME), NAME))
    return _shipped[0]


def read_rules(tree: object, name: str) -> LintRules:
    """The rules that ``tree`` describes; InvalidData with the path of what is wrong in it."""
    root = TreeReader(tree, name)
    root.expect_only(tuple(_TABLES))
    sources = {source.id: source for source in (_read_row(Source, row) for row in root.mappings("sources"))}
    tables: dict[str, Any] = {}
    for table in root.tree:
        field, kind = _TABLES[table]
        rows = []
        for row in root.mappings(table):
            rows.append(_read_row(kind, row))
            source = row.text("source")
            if source and source not in sources:
                raise row.error(f"unknown source {source!r}", did_you_mean(source, sources), "source")
        tables[field] = tuple(rows)
    return LintRules(**{**tables, "sources": sources})


def _read_row(kind: type[R], tree: TreeReader) -> R:
    """A row of a table: texts, lists of texts and mappings of texts, as the record's fields are annotated."""
    fields = tuple(field for field in kind._fields if field not in _PARSED)
    tree.expect_only(fields)
    values: dict[str, Any] = {}
    for field in fields:
        annotation = kind.__annotations__[field]
        if annotation == "str":
            values[field] = tree.text(field) if hasattr(kind, field) else tree.name(field)
        else:
            values[field] = tree.texts(field) if annotation.startswith("tuple") else tree.text_map(field)
        if field in _CHECKED and values[field]:
            tree.parsed(field, _CHECKED[field])
    for field, text in _PARSED.items():
        if field in kind._fields:
            values[field] = tree.parsed(text, parse_expression)
    return kind(**values)
