"""Which GPUs are covered on which clouds, as the table of the README, computed from the recipe data.

Knows how the table is laid out; must not know any GPU, cloud or layer.
"""

from __future__ import annotations

from eidos.model.query import words_of
from eidos.recipe.store import Store, shipped_store


def layer_count(store: Store, **query: str) -> int:
    """How many layers match a query, beside the base."""
    return len(store.matching(store.catalog.parse_query(query, {})))


def coverage_table() -> str:
    """A Markdown table: a row for each GPU, a column for each service that has a layer."""
    store = shipped_store()
    words = {field: store.catalog.names(field) for field in store.catalog.entries}
    services = [service for service in words["service"] if any(service in words_of(key.service) for key in store.overlays.keys)]
    lines = [["GPU", *services], ["---"] * (1 + len(services))]
    lines += [[gpu, *(str(layer_count(store, gpu=gpu, service=service)) for service in services)] for gpu in words["gpu"]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
