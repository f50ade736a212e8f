"""The shipped recipes, read once in a process: many modules of tests need them when they are imported.

Knows how they are read; must not know what is tested with them.
"""

from __future__ import annotations

import functools
import pickle
from typing import Any

from eidos.files import resources


def shipped_trees() -> dict[str, Any]:
    """All recipe documents: path below ``recipes/`` → tree, a copy for each caller."""
    trees: dict[str, Any] = pickle.loads(_pickled())
    return trees


@functools.cache
def _pickled() -> bytes:
    return pickle.dumps(resources.load_recipes())
