"""The functions that answer requests: one file a subject.

Knows what each route answers; must not know sockets.
"""

from __future__ import annotations
