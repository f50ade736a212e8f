"""Child processes, programs, threads and signals.

Knows how work runs beside the program and how it ends; must not know what the work is for.
"""

from __future__ import annotations
