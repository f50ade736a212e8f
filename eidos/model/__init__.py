"""The values that pass between the arrows: frozen, comparable, without behaviour that touches the world.

Knows documents and their parts; must not know files, sockets, processes or flags.
"""

from __future__ import annotations
