"""Telemetry: metrics and traces of a run, of the server and of the one-shot commands.

Knows the formats of Prometheus and OpenTelemetry and the names of what is measured; must not know how any of it is done.
"""

from __future__ import annotations
