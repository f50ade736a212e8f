"""Takes snapshots of many nodes and compares them: which are equal, and how the others differ.

Knows how a program gets to many nodes, how their snapshots come back and how they are compared; must not know how a snapshot is taken,
nor where the summary goes. ``ssh`` and ``job_runner`` are the two ways to the nodes.
"""

from __future__ import annotations
