"""eidos: what a GPU node is, what it should be, and how to get there.

Knows its own version; must not know anything else, because every start of the program imports it.
"""

from __future__ import annotations

__version__ = "0.1.0"
