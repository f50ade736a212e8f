"""The values that pass between rooms: frozen, comparable, without side effects.

Knows documents and their parts; must not know files, sockets, processes or flags.
"""

from __future__ import annotations
