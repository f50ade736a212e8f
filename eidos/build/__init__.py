"""What builds and tests eidos on a developer's machine.

Knows interpreters, pip and the archive; must not know what the program does. Nothing here is shipped in the archive.
"""

from __future__ import annotations
