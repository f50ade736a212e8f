"""What the recipe data covers, for people and for programs.

Knows the keys of layers and the entries of the catalog; must not know the content of any layer.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.recipe.store import Store


def covered(store: Store) -> dict[str, Any]:
    """The catalog's words by field, each with the number of layers made for it, every layer with its key and sources, and their URLs.

    A word without a layer of its own (``layers: 0``) is valid, and gets what holds for every node.
    """
    fields: dict[str, list[dict[str, Any]]] = {}
    for field, entries in store.catalog.entries.items():
        fields[field] = [
            {
                "name": entry.name,
                "title": entry.title,
                "aliases": list(entry.aliases),
                **({"versions": list(entry.versions)} if entry.versions else {}),
                "layers": sum(layer.key.fields().get(field) == entry.name for layer in store.overlays),
            }
            for entry in entries
        ]
    layers = [
        {
            "name": layer.name,
            "key": layer.key.fields(),
            "readings": len(layer.values),
            "constraints": len(layer.constraints),
            "components": [choice.id for choice in layer.choices],
            "sources": [source.citation() for source in layer.sources],
        }
        for layer in (store.base, *store.overlays)
    ]
    urls = {source.citation(): source.url for layer in (store.base, *store.overlays) for source in layer.sources if source.url}
    return {"digest": store.digest, "catalog": fields, "layers": layers, "urls": dict(sorted(urls.items()))}
