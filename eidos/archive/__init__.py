"""The program's own file: how modules and data are read from the zipapp.

Knows the layout that build_zipapp.py writes; must not know what any module or file is for. Nothing is imported
here: every start pays for it.
"""

from __future__ import annotations
