"""Connections, the event loop, worker processes and their supervisor.

Knows sockets and processes; must not know routes or documents.
"""

from __future__ import annotations
