"""Many nodes, one answer: who is equal, and what is different about the others.

Knows how a program gets to many nodes, how their snapshots come back and how they are compared; must not know how a snapshot is taken,
nor where its summary goes.
"""

from __future__ import annotations
