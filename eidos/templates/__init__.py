"""Templates: placeholders, and the texts and trees that hold them.

Knows the syntax of placeholders and how values are quoted; must not know any variable's meaning.
"""

from __future__ import annotations
