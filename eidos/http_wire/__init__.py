"""HTTP/1.1: messages as bytes, a client, and retries.

Knows the protocol; must not know any route or service.
"""

from __future__ import annotations
