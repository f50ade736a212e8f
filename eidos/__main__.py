"""``python3 -m eidos``.

Knows that there is a command line; must not know anything of it.
"""

from __future__ import annotations

import os

try:
    from eidos.cli import program
except KeyboardInterrupt:  # program() handles it from here on
    os._exit(130)

program()
