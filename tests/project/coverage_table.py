"""What recipes are for, as the table of the README, from the catalog of the recipe data.

Knows how the table is laid out; must not know any GPU, service or operating system.
"""

from __future__ import annotations

from eidos.recipe.store import shipped_store

_ROWS = {"gpu": "GPUs", "service": "services", "os": "operating systems"}


def coverage_table() -> str:
    """A Markdown table: a row for each field of a query, with the words of the catalog."""
    catalog = shipped_store().catalog
    rows = [f"| {title} | {', '.join(catalog.names(field))} |\n" for field, title in _ROWS.items()]
    return f"| recipes for | |\n|---|---|\n{''.join(rows)}"
