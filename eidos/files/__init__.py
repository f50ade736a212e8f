"""Files: of a host that is read, of the program's own data, and those it writes.

Knows paths, links and bytes; must not know what a file means.
"""

from __future__ import annotations
