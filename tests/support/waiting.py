"""Waiting for what another process or thread does: bounded, and never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which a test that waits has failed: nothing takes a tenth of it.
PATIENCE = 20.0


def until(condition: Callable[..., object], *arguments: object) -> None:
    """Wait until ``condition`` holds of what it is told."""
    end = time.monotonic() + PATIENCE
    while not condition(*arguments):
        assert time.monotonic() < end, "it never was"
        time.sleep(0.01)
