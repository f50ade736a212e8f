"""All knowledge that a program holds: the base, the overlays, the catalog and the components.

Knows how layers are ordered and how a folder or a one-file form becomes a store; must not know how they are merged. A store never
changes once it is read, and nothing that leaves it shares a mapping or a list with it.
"""

from __future__ import annotations

import os

from eidos import formats
from eidos.errors import InvalidData
from eidos.files import resources
from eidos.model.record import Record
from eidos.recipe import catalog as catalogs
from eidos.recipe import components
from eidos.recipe import layer as layers
from eidos.recipe.data_folder import LIMIT, canonical, read_file, read_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eidos.model.chart import Chart
    from eidos.model.query import Query
    from eidos.recipe.catalog import Catalog
    from eidos.recipe.layer import Layer

OVERLAYS = "overlays/"


class Store(Record):
    """``overlays`` stand in the order in which they are applied; ``digest`` names the data, bit for bit."""

    base: Layer
    overlays: tuple[Layer, ...]
    catalog: Catalog
    charts: dict[str, Chart]
    digest: str = ""

    def matching(self, query: Query) -> tuple[Layer, ...]:
        """The overlays that apply to ``query``, in order."""
        return tuple(layer for layer in self.overlays if query.meets(layer.key))

    def timestamp(self) -> str:
        """When the knowledge was last added to: the newest date among its sources, RFC 3339, or "" when none is dated."""
        dates = [date for layer in (self.base, *self.overlays) for date in layer.dates() if date[:4].isdigit()]
        return f"{max(f'{date}-01-01'[:10] for date in dates)}T00:00:00Z" if dates else ""


def shipped(whole: bool = False) -> Store:
    """The store that eidos carries; its layers are read when they are needed, or now, to be ``whole``."""
    return from_folder(resources.recipe_tree(), resources.data_digest(), layers.read if whole else layers.later)


def open_store(path: str) -> Store:
    """The store at ``path``: a folder is laid over the shipped files, name by name; one file stands in place of base and overlays.

    Raises NotFound, Unavailable (see ``folder``), or InvalidData naming file and place.
    """
    if os.path.isdir(path):
        files = read_folder(path)
        trees = resources.recipe_tree()
        trees.update({canonical(name): formats.from_text(content, os.path.join(path, name), LIMIT) for name, content in files.items()})
        return from_folder(trees, _digest(resources.data_digest(), files))
    content = read_file(path)
    return from_document(formats.from_text(content, path, LIMIT), path, shipped(), _digest("", {"": content}))


def _digest(below: str, files: Mapping[str, bytes]) -> str:
    import hashlib

    digest = hashlib.sha256(below.encode())
    for name in sorted(files):
        digest.update(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def order(overlays: list[Layer]) -> tuple[Layer, ...]:
    """Fewer fields first, ties by name; sorting is stable, so within one file the position decides."""
    return tuple(sorted(overlays, key=lambda layer: (len(layer.key.said()), layer.name.partition("[")[0])))


def from_folder(files: Mapping[str, object], digest: str = "", read: Callable[[object, str], Layer] = layers.read) -> Store:
    """The store of a folder: path below it → tree (``base.yaml``, ``catalog.yaml``, ``components.yaml``, ``overlays/*.yaml``).

    ``read`` makes a layer of a tree and a name. Raises InvalidData naming file and place.
    """
    overlays: list[Layer] = []
    for path in sorted(files):
        if path.startswith(OVERLAYS):
            overlays += _overlays(files[path], path, read)
    return Store(
        base=layers.read(files.get("base.yaml"), "base.yaml", base=True),
        overlays=order(overlays),
        catalog=catalogs.read(_tree(files, "catalog.yaml"), "catalog.yaml"),
        charts=components.read(_tree(files, "components.yaml"), "components.yaml"),
        digest=digest,
    )


def from_document(tree: object, name: str, shipped: Store, digest: str = "") -> Store:
    """The store of the one-file form ``{base: [measurements], overlays: [{key: {…}, types: [measurements]}]}``.

    The catalog is the shipped one: the form has none. Raises InvalidData naming the place.
    """
    if not isinstance(tree, dict) or "base" not in tree:
        raise InvalidData(f"{name}: expected a mapping with base and overlays", hint="give a folder of recipes, or one file of this form")
    extra = sorted(str(key) for key in tree if key not in ("base", "overlays"))
    if extra:
        raise InvalidData(f"{name}: there is no {extra[0]!r} here", hint="known are base, overlays")
    items = tree.get("overlays")
    items = [] if items is None else items
    if not isinstance(items, list):
        raise InvalidData(f"{name}: overlays: expected a list")
    overlays = [layers.read(item, f"{name}:overlays[{i}]") for i, item in enumerate(items)]
    base = layers.read({"measurements": tree["base"]}, f"{name}:base", base=True)
    return Store(base, order(overlays), shipped.catalog, {}, digest)


def _tree(files: Mapping[str, object], name: str) -> object:
    """The tree of a file, where a missing or empty file says nothing."""
    tree = files.get(name)
    return {} if tree is None else tree


def _overlays(tree: object, path: str, read: Callable[[object, str], Layer]) -> list[Layer]:
    if isinstance(tree, list):
        return [read(item, f"{path}[{i}]") for i, item in enumerate(tree)]
    return [read(tree, path)]
