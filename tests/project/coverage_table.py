"""Which GPUs are covered on which clouds, as the tables of the README and of the manual, computed from the recipe data.

Knows how the tables are laid out; must not know any GPU, cloud or layer.
"""

from __future__ import annotations

from eidos.recipe import store
from eidos.workflow import make_recipe


def layer_count(**query: str) -> int:
    """How many layers match a query, beside the base."""
    shipped = store.shipped_store()
    return len(make_recipe(shipped.catalog.parse_query(query, {}), store=shipped).rules) - 1


def coverage_table(*, intents: bool = False) -> str:
    """A Markdown table with a row for each GPU and a column for each cloud; with ``intents`` a cell holds no intent / each intent."""
    words = {field: [entry.name for entry in entries] for field, entries in store.shipped_store().catalog.entries.items()}
    lines = [["GPU", *words["service"]], ["---"] * (1 + len(words["service"]))]
    for gpu in words["gpu"]:
        cells = []
        for service in words["service"]:
            counts = [layer_count(gpu=gpu, service=service)]
            counts += [layer_count(gpu=gpu, service=service, intent=intent) for intent in words["intent"] if intents]
            cells.append(" / ".join(map(str, counts)))
        lines.append([gpu, *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
