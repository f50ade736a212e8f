"""Recipe data of several folders, laid over the shipped data in order.

Knows how the files of one data folder lie over those below it, and how their layers are named; must not know what is in a file, nor how a
cluster is read. A file replaces the shipped one of its name; lists of entries (components, sources, machines, the catalog) are joined, and
an entry replaces one of its name. Overlays of several folders all count, under the name of their folder.
"""

from __future__ import annotations

import os

from eidos import formats
from eidos.errors import InvalidInput
from eidos.model.record import Record
from eidos.recipe.data_folder import ENDINGS, FILES, FOLDERS, LIMIT, canonical, read_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from eidos.model.plugin import Plugin

OVERLAYS = "overlays/"

#: Files whose lists are joined, and the field that names an entry of each.
_JOINED = {"components.yaml": "id", "sources.yaml": "id", "machines.yaml": "", "catalog.yaml": "name"}


class DataPart(Record):
    """One data folder: its ``name`` as the user wrote it, and its files' bytes by path below it; ``below`` is the folder that has most."""

    name: str
    files: dict[str, bytes]
    below: str = ""

    def shown(self, name: str) -> str:
        """A file of it, for people."""
        return f"{self.name.rstrip('/')}/{'' if name.startswith('checks/') else self.below}{name}"


def read_parts(paths: Sequence[str]) -> tuple[DataPart, ...]:
    """The folders at these paths; InvalidInput for a file, which replaces the shipped data and so cannot be one of several.

    Fails as ``data_folder`` does.
    """
    for path in paths:
        if os.path.isfile(path):
            raise InvalidInput(
                f"{path}: one file replaces the built-in data and cannot be combined with others", "name folders, or only this file"
            )
    return tuple(DataPart(path, read_folder(path)) for path in paths)


def parts_of_plugins(plugins: Sequence[Plugin]) -> tuple[DataPart, ...]:
    """The recipe data and the checks of plug-ins, in order; those that have neither are left out."""
    parts = []
    for plugin in plugins:
        files = plugin.folder("recipes")
        files.update({name: content for name, content in plugin.files.items() if name.startswith("checks/")})
        files = {name: content for name, content in files.items() if name.endswith(ENDINGS)}
        if files:
            parts.append(DataPart(plugin.path, files, "recipes/"))
    return tuple(parts)


def part_of_keys(name: str, contents: Mapping[str, bytes]) -> DataPart:
    """The data folder of an object in a cluster, whose keys cannot have slashes: ``mine.yaml`` and ``overlays.mine.yaml`` are overlays."""

    def path(key: str) -> str:
        if canonical(key) in FILES:
            return key
        folder = next((folder for folder in FOLDERS if key.startswith(f"{folder[:-1]}.")), None)
        return f"{folder}{key[len(folder) :]}" if folder else OVERLAYS + key

    return DataPart(name, {path(key): content for key, content in contents.items()})


def canonical_paths(parts: Sequence[DataPart], shipped: Iterable[str]) -> list[dict[str, str]]:
    """For each data folder, the path of each of its files in the merged data.

    Of several folders, an overlay that is not shipped has the name of its folder. Raises InvalidInput for a file of checks that a plug-in
    would put in place of another.
    """
    known = set(shipped)
    labels: list[str] = []
    for part in parts:
        label = part.name if "://" in part.name else os.path.basename(os.path.realpath(part.name)) or part.name
        labels.append(label if label not in labels else f"{label}~{labels.count(label) + 1}")
    listings = []
    for part, label in zip(parts, labels):
        paths = {}
        for name in part.files:
            path = canonical(name)
            if part.below and path.startswith("checks/"):
                if path in known:
                    raise InvalidInput(f"{part.shown(name)}: there is a file {path} already, whose checks would be lost", "rename the file")
                known.add(path)
            is_own = len(parts) > 1 and path.startswith(OVERLAYS) and path not in known
            paths[name] = f"{OVERLAYS}{label}/{path[len(OVERLAYS) :]}" if is_own else path
        listings.append(paths)
    return listings


def lay_over(trees: dict[str, object], path: str, tree: object) -> None:
    """Lay the tree of a file over those below it."""
    below = trees.get(path)
    trees[path] = _joined(below, tree, _JOINED[path]) if path in _JOINED and isinstance(below, dict) and isinstance(tree, dict) else tree


def _joined(below: dict[str, Any], above: dict[str, Any], id: str) -> dict[str, Any]:
    result = {**below, **above}
    for key, rows in above.items():
        field = id or ("id" if key == "sources" else "name")
        if isinstance(rows, list) and isinstance(below.get(key), list):
            own = [row.get(field) for row in rows if isinstance(row, dict)]
            result[key] = [row for row in below[key] if not (isinstance(row, dict) and row.get(field) in own)] + rows
    return result


def stack(shipped: Mapping[str, object], parts: Sequence[DataPart]) -> tuple[dict[str, object], dict[str, int]]:
    """All trees by path, and for each file of a data folder the folder's position, from 1 on. Raises InvalidData for a syntax error."""
    trees, ranks = dict(shipped), {}
    for number, (part, paths) in enumerate(zip(parts, canonical_paths(parts, shipped)), 1):
        for name, content in part.files.items():
            lay_over(trees, paths[name], formats.from_text(content, part.shown(name), LIMIT))
            ranks[paths[name]] = number
    return trees, ranks
