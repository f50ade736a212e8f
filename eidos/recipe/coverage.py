"""What the recipe data covers, for people and for programs.

Knows the keys of layers, the entries of the catalog and the versions that constraints name; must not know what a layer recommends.
"""

from __future__ import annotations

from eidos.model.query import READING_PATHS, version_expression, words_of
from eidos.recipe.catalog import Machine
from eidos.recipe.charts import with_dependencies
from eidos.semver import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.recipe.store import Store


def covered(store: Store) -> dict[str, Any]:
    """The catalog's words by field, each with the number of layers made for it, every layer with its key and sources, and their URLs.

    A word without a layer of its own (``layers: 0``) is valid, and gets what holds for every node.
    """
    fields: dict[str, list[dict[str, Any]]] = {}
    keys = store.overlays.keys
    for field, entries in store.catalog.entries.items():
        fields[field] = [
            {
                "name": entry.name,
                "title": entry.title,
                "aliases": list(entry.aliases),
                **({"versions": list(entry.versions)} if entry.versions else {}),
                "layers": sum(entry.name in words_of(getattr(key, field)) for key in keys) + isinstance(entry, Machine),
                **({"hardware": entry.facts()} if isinstance(entry, Machine) else {}),
            }
            for entry in entries
            if not entry.excluded
        ]
    layers = [
        {
            "name": layer.name,
            "key": {**layer.key.fields(), **dict(layer.key.releases)},
            "readings": len(layer.values),
            "constraints": len(layer.constraints),
            **({"removed": [removal.path for removal in layer.removals]} if layer.removals else {}),
            "components": [choice.id for choice in layer.choices],
            "sources": [source.citation() for source in layer.sources],
        }
        for layer in (store.base, *store.overlays)
    ]
    urls = {source.citation(): source.url for layer in (store.base, *store.overlays) for source in layer.sources if source.url}
    tree = {"digest": store.digest, "catalog": fields, "layers": layers, "available": available_components(store)}
    return {**tree, "urls": dict(sorted(urls.items()))}


def available_components(store: Store) -> list[dict[str, str]]:
    """The components that no recipe has unless they are requested: no layer chooses them, and none that a layer chooses needs them."""
    chosen = [choice.id for layer in (store.base, *store.overlays) for choice in layer.choices if choice.id in store.charts]
    present = {*with_dependencies(dict.fromkeys(chosen), store.charts)}
    for chart in store.charts.values():  # one that stands for others, by service, and those
        if chart.service:
            present |= {chart.id, *chart.service.values()}
    return [{"id": id, "title": chart.title or id, "version": chart.version} for id, chart in store.charts.items() if id not in present]


def known_versions(store: Store, field: str) -> list[str]:
    """The versions of a query's field that the data names, oldest first; of ``k8s`` every minor release between those, too.

    >>> from eidos.recipe.store import shipped_store
    >>> known_versions(shipped_store(), "osv")[-4:], {"1.33", "1.34"} <= set(known_versions(shipped_store(), "k8s"))
    (['22.04', '24.04', '26.04', '2023'], True)
    """
    layers = (store.base, *store.overlays)
    keys = [key[field] for layer in layers if field in (key := layer.key.fields())]
    texts = {operand for key in keys for term in version_expression(key).terms for operand in term.operands}
    if field == "osv":
        texts |= {version for entry in store.catalog.entries.get("os", ()) for version in entry.versions}
    if field == "k8s":
        constraints = [constraint for layer in layers for constraint in layer.constraints if constraint.name == READING_PATHS[field]]
        texts |= {operand for constraint in constraints for term in constraint.value.terms for operand in term.operands}
        minors = [parse_version(text).key[:2] for text in texts]
        texts = {f"{major}.{minor}" for major, _ in minors for minor in range(min(minors)[1], max(minors)[1] + 1)}
    return sorted(texts, key=lambda text: parse_version(text).key)
