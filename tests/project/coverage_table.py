"""Which GPUs are covered on which clouds, as the tables of the README and of the manual, computed from the recipe data.

Knows how the tables are laid out; must not know any GPU, cloud or layer.
"""

from __future__ import annotations

from eidos.recipe.store import Store, shipped_store


def layer_count(store: Store, **query: str) -> int:
    """How many layers match a query, beside the base."""
    return len(store.matching(store.catalog.parse_query(query, {})))


def coverage_table(*, intents: bool = False) -> str:
    """A Markdown table: a row for each GPU, a column for each service that has a layer; with ``intents`` a cell holds no intent / each."""
    store = shipped_store()
    words = {field: store.catalog.names(field) for field in store.catalog.entries}
    services = [service for service in words["service"] if any(layer.key.service == service for layer in store.overlays)]
    lines = [["GPU", *services], ["---"] * (1 + len(services))]
    for gpu in words["gpu"]:
        cells = []
        for service in services:
            counts = [layer_count(store, gpu=gpu, service=service)]
            counts += [layer_count(store, gpu=gpu, service=service, intent=intent) for intent in words["intent"] if intents]
            cells.append(" / ".join(map(str, counts)))
        lines.append([gpu, *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
