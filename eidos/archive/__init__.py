"""Reads modules and data from the zipapp that the program runs from.

Knows the layout that build_zipapp.py writes; must not know what any module or file is for. It imports nothing: every start pays for it.
"""

from __future__ import annotations
