"""One node, judged again and again: what changed since the last time.

Knows a cycle, the clock that starts cycles, what is told of a change, and the marks on a node; must not know flags, HTTP, or how a node is
read and judged: that is passed in.
"""

from __future__ import annotations
