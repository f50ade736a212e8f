"""What changed in the data since a released version: which recipes, and what in each.

Knows what is recorded of a release in ``releases.yaml``: for each query of a grid the versions of its components, and digests of its
readings and of its constraints; must not know how notes are shown. A record is made with its release, and never changes.
"""

from __future__ import annotations

import hashlib

from eidos.errors import NotFound
from eidos.model.query import Query
from eidos.model.tree_reader import TreeReader
from eidos.recipe.resolver import resolve
from eidos.wording import did_you_mean, list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from eidos.model.recipe import Recipe
    from eidos.recipe.store import Store

NAME = "releases.yaml"

#: Parts of a recipe besides its components, of which a digest is recorded, in this order.
PARTS = ("readings", "constraints")

#: The system of the grid, where the service offers it.
_OS, _OSV = "ubuntu", "24.04"


def grid(store: Store) -> Iterator[tuple[str, Query]]:
    """The queries that are recorded, each with its name: every GPU on every service, for each intent."""
    for service in store.catalog.entries["service"]:
        os = _OS if not service.systems or _OS in service.systems else service.systems[0]
        system = {"os": os, "osv": _OSV} if os == _OS else {"os": os}
        for gpu in store.catalog.names("gpu"):
            for intent in store.catalog.names("intent"):
                yield f"{gpu} {service.name} {intent}", Query(gpu=gpu, service=service.name, intent=intent, **system)


def record(store: Store) -> dict[str, Any]:
    """What is recorded of the recipes of a store: plain mappings and lists, small enough to ship."""
    components: list[dict[str, str]] = []
    recipes: dict[str, dict[str, str]] = {}
    for name, query in grid(store):
        recipe = resolve(query, store, check=False)
        versions = {component.id: component.version for component in recipe.components}
        if versions not in components:
            components.append(versions)
        gpu, _, rest = name.partition(" ")
        recipes.setdefault(rest, {})[gpu] = " ".join((str(components.index(versions)), *_digests(recipe)))
    return {"data": store.digest, "date": store.newest, "components": components, "recipes": recipes}


def _digests(recipe: Recipe) -> tuple[str, ...]:
    tree = recipe.to_tree()
    parts = (tree.get("measurements"), tree.get("constraints"))
    return tuple(hashlib.sha256(repr(part).encode()).hexdigest()[:6] for part in parts)


def read_release(tree: object, version: str) -> dict[str, Any]:
    """The record of a version among those of the file. Raises NotFound, or InvalidData for one that is malformed."""
    root = TreeReader(tree, NAME)
    if version.lstrip("v") not in root:
        known = list(root.tree)
        hint = did_you_mean(version, known) or f"versions with a record: {list_words(known)}"
        raise NotFound(f"no record of the recipe data of version {version!r}", hint)
    entry = root.mapping(version.lstrip("v"))
    recipes = entry.mapping("recipes")
    components = [{id: item.text(id) for id in item.tree} for item in entry.mappings("components")]
    names = {f"{gpu} {rest}": recipes.mapping(rest).text(gpu) for rest in recipes.tree for gpu in recipes.mapping(rest).tree}
    for name, text in names.items():
        number, *digests = text.split(" ")
        if not number.isdecimal() or int(number) >= len(components) or len(digests) != len(PARTS):
            raise recipes.error(f"invalid entry {text!r}", name=name)
    return {"data": entry.text("data"), "date": entry.text("date"), "components": components, "recipes": names}


def changes(before: Mapping[str, Any], store: Store) -> list[dict[str, Any]]:
    """What differs between the record of a version and a store, by what it is: each with the queries for which it is so.

    ``added``, ``removed`` and ``changed`` are components, the last with both versions; ``parts`` are those of PARTS that differ. Queries
    whose ``is`` is new or gone come last.
    """
    now = record(store)
    after = {f"{gpu} {rest}": text for rest, row in now["recipes"].items() for gpu, text in row.items()}
    groups: dict[str, dict[str, Any]] = {}
    for name in {**after, **before["recipes"]}:
        if name not in before["recipes"] or name not in after:
            change: dict[str, Any] = {"is": "new" if name in after else "gone"}
        else:
            change = _difference(before["recipes"][name], before["components"], after[name], now["components"])
        if change:
            groups.setdefault(repr(change), {**change, "queries": []})["queries"].append(name)
    return sorted(groups.values(), key=lambda group: ("is" in group, -len(group["queries"])))


def _difference(old: str, old_sets: list[dict[str, str]], new: str, new_sets: list[dict[str, str]]) -> dict[str, Any]:
    (old_number, *old_digests), (new_number, *new_digests) = old.split(" "), new.split(" ")
    was, is_now = old_sets[int(old_number)], new_sets[int(new_number)]
    change = {
        "added": {id: version for id, version in is_now.items() if id not in was},
        "removed": {id: version for id, version in was.items() if id not in is_now},
        "changed": {id: f"{was[id]} -> {version}" for id, version in is_now.items() if id in was and was[id] != version},
        "parts": [part for part, one, other in zip(PARTS, old_digests, new_digests) if one != other],
    }
    return {key: value for key, value in change.items() if value}


def queries_in_words(names: Iterable[str]) -> list[str]:
    """Names of queries by service and intent: ``eks for training: h100, h200``.

    >>> queries_in_words(["h100 eks training", "h200 eks training", "h100 gke inference"])
    ['eks for training: h100, h200', 'gke for inference: h100']
    """
    rows: dict[str, list[str]] = {}
    for name in names:
        gpu, service, intent = name.split(" ")
        rows.setdefault(f"{service} for {intent}", []).append(gpu)
    return [f"{row}: {', '.join(gpus)}" for row, gpus in rows.items()]
