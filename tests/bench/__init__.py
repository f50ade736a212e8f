"""Speed and memory, as ratios against an empty zipapp measured in the same run.

Knows how to measure a built file; must not know how it works inside. Nothing here asserts a time: it prints.
"""

from __future__ import annotations
