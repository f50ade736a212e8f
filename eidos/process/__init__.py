"""Child processes, programs, threads and signals.

Knows how work runs beside the program and how it ends; must not know what the work is for. ``child`` runs a function in a process of its
own, ``run`` runs programs, ``process_tree`` ends a process with everything it started, ``thread_pool`` starts threads, ``signals`` defers
signals.
"""

from __future__ import annotations
