"""What a node should be: knowledge in layers, and how they become one recipe.

Knows layers, keys and merging; must not know where documents come from or go to, nor what a bundle is.
"""

from __future__ import annotations
