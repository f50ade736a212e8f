"""All recipe data of a program: the base, the overlays, the catalog and the components.

Knows how layers are ordered and how a folder or a one-file form becomes a store; must not know how they are merged. A store never
changes once it is read, and nothing that leaves it shares a mapping or a list with it.
"""

from __future__ import annotations

import os

from eidos import formats
from eidos.errors import InvalidData
from eidos.files import resources
from eidos.model.query import NAMES, version_expression, words_of
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.recipe.catalog import IMPLIED, MACHINES, Catalog, read_catalog, read_field
from eidos.recipe.charts import read_chart, read_charts, with_dependencies
from eidos.recipe.layer import newest_date, read_key, read_layer, read_shared_sources, read_source, source_dates
from eidos.recipe.lazy_parts import LayerHead, LazyMapping, Overlays, file_of, loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from eidos.files.resources import RecipeParts
    from eidos.model.chart import Chart
    from eidos.model.query import Query
    from eidos.recipe.catalog import CatalogEntry
    from eidos.recipe.data_stack import DataPart
    from eidos.recipe.layer import Layer, Source

OVERLAYS, SOURCES = "overlays/", "sources.yaml"

#: Beside the files of checks in the archive, which were read without a fault: the trees of all conditions in each, by text.
CONDITIONS = "conditions"

#: The fields of the one-file form, and what is missing in a document of another one.
DOCUMENT_FIELDS = ("base", "overlays")
DOCUMENT_FORM = "expected a mapping with base and overlays"


class Store(Record):
    """``overlays`` are in the order in which they are applied; ``digest`` identifies the data, bit for bit.

    ``cuda`` are branches of the driver, each with the CUDA version that it reports; ``check_data`` are the trees that checks are read from,
    by path; ``newest`` is the date of the newest source, ``rules`` the tables of rules.yaml; ``plugins`` are names and digests of plug-ins
    that were asked for, for recipes to name.
    """

    base: Layer
    overlays: Overlays
    catalog: Catalog
    charts: Mapping[str, Chart]
    digest: str = ""
    cuda: tuple[tuple[str, str], ...] = ()
    check_data: Mapping[str, object] = {}
    newest: str = ""
    rules: Mapping[str, object] = {}
    plugins: tuple[str, ...] = ()

    def matching(self, query: Query, more: tuple[Layer, ...] = ()) -> tuple[Layer, ...]:
        """The overlays that apply to ``query``, in order, what its machine brings, and ``more``.

        A key that names releases of components is judged by those that the base and the overlays without such a key choose.
        """
        layers = self.overlays.matching(query)
        if any(layer.key.releases for layer in layers):
            versions = chosen_versions((self.base, *(layer for layer in layers if not layer.key.releases), *more), self.charts)
            layers = [layer for layer in layers if _has_releases(versions, layer.key.releases)]
        machine = self.catalog.machine(query.machine)
        if machine is None:
            return (*layers, *more)
        from eidos.recipe.machines import machine_layer

        return (*layers, machine_layer(machine), *more)

    def timestamp(self) -> str:
        """When the data was last extended: the newest date among its sources, RFC 3339, or "" when none is dated."""
        return f"{self.newest}T00:00:00Z" if self.newest else ""

    def preload(self) -> None:
        """Read all parts now: for a process whose threads share the store, or that outlives the file it was started from."""
        for parts in (self.overlays, self.charts.values(), self.catalog.entries.values(), self.check_data.values(), self.rules.values()):
            for _ in parts:
                pass


def chosen_versions(layers: Iterable[Layer], charts: Mapping[str, Chart]) -> dict[str, str]:
    """The version of each component that these layers choose, by id; an unknown one is the resolver's to report."""
    enabled: dict[str, bool] = {}
    versions: dict[str, str] = {}
    for choice in (choice for layer in layers for choice in layer.choices if choice.id in charts):
        enabled[choice.id] = choice.enabled
        if choice.version:
            versions[choice.id] = choice.version
    return {id: versions.get(id) or charts[id].version for id in with_dependencies([id for id in enabled if enabled[id]], charts)}


def _has_releases(versions: Mapping[str, str], releases: Iterable[tuple[str, str]]) -> bool:
    return all(id in versions and version_expression(text).holds(versions[id]) is True for id, text in releases)


#: The shipped store, once it was opened: nothing changes it.
_shipped: list[Store] = []


def shipped_store() -> Store:
    """The shipped store, opened once in a process; its overlays are read when they are needed."""
    if not _shipped:
        parts = resources.recipe_parts()
        if parts is not None:
            _shipped.append(packed_store(parts, resources.data_digest()))
        else:
            _shipped.append(from_folder(resources.load_recipes(), resources.data_digest(), lazy=True))
    return _shipped[0]


def packed_store(parts: RecipeParts, digest: str) -> Store:
    """The store whose parts ``eidos.build.recipe_packer`` has written, each parsed when it is used.

    Their form was checked when the archive was built: a recipe parses the layers that match its query, and the charts that these choose.
    """
    index, files = parts.index["store"], parts.index["files"]

    def source(id: str) -> Source:
        return read_source(TreeReader(parts.read(index["sources"][id]), SOURCES), id)

    def chart(id: str) -> Chart:
        return read_chart(TreeReader(parts.read(index["charts"][id]), "components.yaml", text_types=QUOTED))

    def field(name: str) -> tuple[CatalogEntry, ...]:
        if name == "machine":
            from eidos.recipe.machines import read_machines

            return read_machines(parts.read(files[MACHINES]))
        return read_field(TreeReader({name: parts.read(files["catalog.yaml"]["map"][name])}, "catalog.yaml", text_types=QUOTED), name)

    sources: Mapping[str, Source] = LazyMapping(index["sources"], source)

    def layer(name: str, location: Any, *, base: bool = False) -> Callable[[], Layer]:
        return lambda: read_layer(parts.read(location), name, sources, base=base)

    heads = (
        LayerHead(name, fields, tuple(map(tuple, releases)), layer(name, location)) for name, fields, releases, location in index["layers"]
    )
    tables = files["rules.yaml"]["map"]
    rules: Mapping[str, object] = LazyMapping(tables, lambda table: parts.read(tables[table]))

    def check_file(path: str) -> object:
        return rules if path == "rules.yaml" else parts.read(index[path] if path == CONDITIONS else files[path])

    return Store(
        base=layer("base.yaml", files["base.yaml"], base=True)(),
        overlays=Overlays(heads),
        catalog=Catalog(LazyMapping((*files["catalog.yaml"]["map"], "machine"), field)),
        charts=LazyMapping(index["charts"], chart),
        digest=digest,
        cuda=tuple(map(tuple, index["cuda"])),
        check_data=LazyMapping((*filter(is_check_data, files), CONDITIONS), check_file),
        newest=index["newest"],
        rules=rules,
    )


def open_store(path: str | Sequence[str]) -> Store:
    """The store at ``path``: folders are laid over the shipped files, in order; one file replaces base and overlays.

    Raises NotFound, Unavailable (see ``data_folder``), InvalidData with file and path, or InvalidInput for a file beside others.
    """
    from eidos.recipe.data_folder import LIMIT, read_file
    from eidos.recipe.data_stack import read_parts

    paths = [path] if isinstance(path, str) else list(path)
    if len(paths) == 1 and not os.path.isdir(paths[0]):
        content = read_file(paths[0])
        return from_document(formats.from_text(content, paths[0], LIMIT), paths[0], shipped_store(), _digest("", {"": content}))
    return stack_store(read_parts(paths))


def stack_store(parts: Sequence[DataPart]) -> Store:
    """The store of the shipped files with these places laid over them, in order."""
    from eidos.recipe.data_stack import stack

    trees, ranks = stack(resources.load_recipes(), parts)
    digest = resources.data_digest()
    for part in parts:
        digest = _digest(digest, part.files)
    return from_folder(trees, digest, ranks=ranks)


def check_trees(parts: Sequence[DataPart] = ()) -> dict[str, object]:
    """The trees that checks are read from: the shipped ones and, over them, those of each location that can be read at all."""
    from eidos.recipe.data_folder import LIMIT, canonical

    trees = _check_trees(resources.load_recipes())
    for part in parts:
        for name, content in part.files.items():
            if is_check_data(canonical(name)):
                try:
                    trees[canonical(name)] = formats.from_text(content, name, LIMIT)
                except InvalidData:  # lint of recipes reports the syntax of every file
                    trees.pop(canonical(name), None)
    return trees


def is_check_data(name: str) -> bool:
    """Whether checks are read from a file of recipes: from the entries, the comparisons, and the facts of lint."""
    return name in ("rules.yaml", "comparisons.yaml") or name.startswith("checks/")


def _check_trees(files: Mapping[str, object]) -> dict[str, object]:
    return {path: tree for path, tree in files.items() if is_check_data(path)}


def _digest(below: str, files: Mapping[str, bytes]) -> str:
    import hashlib

    digest = hashlib.sha256(below.encode())
    for name in sorted(files):
        digest.update(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def in_order(heads: Iterable[LayerHead]) -> Overlays:
    """Fewer fields first, then longer lists, then the order of data folders, ties by name; within one file the position in it decides.

    A machine counts for what it implies, too.
    """

    def rank(head: LayerHead) -> tuple[int, int, int, str]:
        fields = head.fields
        number = len({*fields, *IMPLIED} if "machine" in fields else fields) + len(head.releases)
        words = sum(len(words_of(fields[field])) - 1 for field in NAMES if field in fields)
        return number, -words, head.rank, file_of(head.name)

    return Overlays(sorted(heads, key=rank))


def from_folder(files: Mapping[str, object], digest: str = "", *, lazy: bool = False, ranks: Mapping[str, int] = {}) -> Store:
    """The store of a folder: path below it → tree (``base.yaml``, ``catalog.yaml``, ``components.yaml``, ``overlays/*.yaml`` …).

    ``ranks`` are positions of files: of layers with keys as specific as each other, those of a file further up win. Raises InvalidData
    with file and path; with ``lazy``, of an overlay only once it is used.
    """
    from eidos.recipe.machines import read_machines

    sources = read_shared_sources(files.get(SOURCES), SOURCES)
    trees = [(item, name) for path in sorted(files) if path.startswith(OVERLAYS) for item, name in layer_trees(files[path], path)]
    heads = [_head(tree, name, sources) if lazy else loaded(read_layer(tree, name, sources), ranks) for tree, name in trees]
    dates = [date for tree in (files.get("base.yaml"), *(tree for tree, _ in trees)) for date in source_dates(tree, sources)]
    return Store(
        base=read_layer(files.get("base.yaml"), "base.yaml", sources, base=True),
        overlays=in_order(heads),
        catalog=read_catalog(files.get("catalog.yaml"), "catalog.yaml", read_machines(files.get(MACHINES))),
        charts=read_charts(files.get("components.yaml"), "components.yaml"),
        digest=digest,
        cuda=_cuda_releases(files.get("rules.yaml")),
        check_data=_check_trees(files),
        newest=newest_date(dates),
        rules=_mapping(files.get("rules.yaml")),
    )


def _mapping(tree: object) -> dict[str, object]:
    return tree if isinstance(tree, dict) else {}


def _head(tree: object, name: str, sources: Mapping[str, Source]) -> LayerHead:
    key = read_key(tree, name)
    return LayerHead(name, key.fields(), key.releases, lambda: read_layer(tree, name, sources))


def _cuda_releases(rules: object) -> tuple[tuple[str, str], ...]:
    """The rows of ``cuda`` in rules.yaml: of all that lint knows, what a recipe depends on. Malformed rows are lint's to report."""
    rows = rules.get("cuda") if isinstance(rules, dict) else None
    pairs = ((row.get("driver"), row.get("cuda")) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    return tuple((driver, cuda) for driver, cuda in pairs if isinstance(driver, str) and isinstance(cuda, str))


def from_document(tree: object, name: str, shipped: Store, digest: str = "") -> Store:
    """The store of the one-file form ``{base: [measurements], overlays: [{key: {…}, types: [measurements]}]}``.

    The catalog is the shipped one: the form has none. Raises InvalidData with the path.
    """
    root = TreeReader(tree if isinstance(tree, dict) else None, name)
    if "base" not in root:
        raise root.error(DOCUMENT_FORM, "name a folder of recipes, or one file with base and overlays")
    root.expect_only(DOCUMENT_FIELDS)
    overlays = [loaded(read_layer(item, part)) for item, part in layer_trees(root.items("overlays"), f"{name}:overlays")]
    base = read_layer({"measurements": root.tree["base"]}, f"{name}:base", base=True)
    # Without charts and releases of CUDA: the Go program's own data has a driver and a CUDA version that do not go together.
    dates = [source.date for head in overlays for source in head.read().sources]
    return Store(
        base, in_order(overlays), shipped.catalog, {}, digest, check_data=shipped.check_data, newest=newest_date(dates), rules=shipped.rules
    )


def layer_trees(tree: object, name: str) -> Iterator[tuple[object, str]]:
    """The trees of the layers in a file of overlays, which is one or a list of them, each with its name."""
    return ((item, f"{name}[{i}]") for i, item in enumerate(tree)) if isinstance(tree, (list, tuple)) else iter([(tree, name)])
