"""All recipe data of a program: the base, the overlays, the catalog and the components.

Knows how layers are ordered and how a folder or a one-file form becomes a store; must not know how they are merged. A store never
changes once it is read, and nothing that leaves it shares a mapping or a list with it.
"""

from __future__ import annotations

import os

from eidos import formats
from eidos.files import resources
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.recipe.catalog import IMPLIED, read_catalog
from eidos.recipe.charts import read_charts
from eidos.recipe.data_folder import LIMIT, canonical, read_file, read_folder
from eidos.recipe.layer import lazy_layer, read_layer
from eidos.recipe.machines import NAME as MACHINES
from eidos.recipe.machines import machine_layer, read_machines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from eidos.model.chart import Chart
    from eidos.model.query import Query
    from eidos.recipe.catalog import Catalog
    from eidos.recipe.layer import Layer

OVERLAYS = "overlays/"

#: The fields of the one-file form, and what is missing in a document of another one.
DOCUMENT_FIELDS = ("base", "overlays")
DOCUMENT_FORM = "expected a mapping with base and overlays"


class Store(Record):
    """``overlays`` are in the order in which they are applied; ``digest`` identifies the data, bit for bit.

    ``cuda`` are branches of the driver, each with the CUDA version that it reports; ``check_data`` are the trees that checks are read from,
    by path.
    """

    base: Layer
    overlays: tuple[Layer, ...]
    catalog: Catalog
    charts: dict[str, Chart]
    digest: str = ""
    cuda: tuple[tuple[str, str], ...] = ()
    check_data: Mapping[str, object] = {}

    def matching(self, query: Query) -> tuple[Layer, ...]:
        """The overlays that apply to ``query``, in order, and what its machine brings."""
        machine = self.catalog.machine(query.machine)
        return (*(layer for layer in self.overlays if query.matches(layer.key)), *([machine_layer(machine)] if machine else []))

    def timestamp(self) -> str:
        """When the data was last extended: the newest date among its sources, RFC 3339, or "" when none is dated."""
        dates = [date for layer in (self.base, *self.overlays) for date in layer.dates() if date[:4].isdigit()]
        return f"{max(f'{date}-01-01'[:10] for date in dates)}T00:00:00Z" if dates else ""


def shipped_store(lazy: bool = True) -> Store:
    """The shipped store; ``lazy`` reads each of its layers once it is needed."""
    return from_folder(resources.load_recipes(), resources.data_digest(), lazy_layer if lazy else read_layer)


def open_store(path: str) -> Store:
    """The store at ``path``: a folder is laid over the shipped files, name by name; one file replaces base and overlays.

    Raises NotFound, Unavailable (see ``data_folder``), or InvalidData with file and path.
    """
    if os.path.isdir(path):
        files = read_folder(path)
        trees = resources.load_recipes()
        trees.update({canonical(name): formats.from_text(content, os.path.join(path, name), LIMIT) for name, content in files.items()})
        return from_folder(trees, _digest(resources.data_digest(), files))
    content = read_file(path)
    return from_document(formats.from_text(content, path, LIMIT), path, shipped_store(), _digest("", {"": content}))


def _digest(below: str, files: Mapping[str, bytes]) -> str:
    import hashlib

    digest = hashlib.sha256(below.encode())
    for name in sorted(files):
        digest.update(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def in_order(overlays: list[Layer]) -> tuple[Layer, ...]:
    """Fewer fields first, ties by name; sorting is stable, so within one file the position decides.

    A machine counts for what it implies, too.
    """

    def rank(layer: Layer) -> tuple[int, str]:
        fields = layer.key.fields()
        return len({*fields, *IMPLIED} if "machine" in fields else fields), layer.name.partition("[")[0]

    return tuple(sorted(overlays, key=rank))


def from_folder(files: Mapping[str, object], digest: str = "", read: Callable[[object, str], Layer] = read_layer) -> Store:
    """The store of a folder: path below it → tree (``base.yaml``, ``catalog.yaml``, ``components.yaml``, ``overlays/*.yaml`` …).

    ``read`` makes a layer of a tree and a name. Raises InvalidData with file and path.
    """
    overlays = [read(item, name) for path in sorted(files) if path.startswith(OVERLAYS) for item, name in layer_trees(files[path], path)]
    return Store(
        base=read_layer(files.get("base.yaml"), "base.yaml", base=True),
        overlays=in_order(overlays),
        catalog=read_catalog(files.get("catalog.yaml"), "catalog.yaml", read_machines(files.get(MACHINES), MACHINES)),
        charts=read_charts(files.get("components.yaml"), "components.yaml"),
        digest=digest,
        cuda=_cuda_releases(files.get("rules.yaml")),
        check_data={path: tree for path, tree in files.items() if path in ("rules.yaml", "comparisons.yaml") or path.startswith("checks/")},
    )


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
    overlays = [read_layer(item, part) for item, part in layer_trees(root.items("overlays"), f"{name}:overlays")]
    base = read_layer({"measurements": root.tree["base"]}, f"{name}:base", base=True)
    # Without charts and releases of CUDA: the Go program's own data has a driver and a CUDA version that do not go together.
    return Store(base, in_order(overlays), shipped.catalog, {}, digest, check_data=shipped.check_data)


def layer_trees(tree: object, name: str) -> Iterator[tuple[object, str]]:
    """The trees of the layers in a file of overlays, which is one or a list of them, each with its name."""
    return ((item, f"{name}[{i}]") for i, item in enumerate(tree)) if isinstance(tree, (list, tuple)) else iter([(tree, name)])
