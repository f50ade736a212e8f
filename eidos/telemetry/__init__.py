"""What a run tells of itself: metrics and traces.

Knows the forms in which others read them and the names of what both doors count; must not know how any of it comes about.
"""

from __future__ import annotations
