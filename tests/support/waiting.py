"""Waiting for what another process or thread does: bounded, and never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which what should have ended or happened has not: so many that nothing else on the machine matters.
AMPLE_S = 60.0


def until(condition: Callable[..., object], *arguments: object) -> None:
    """Wait until ``condition(*arguments)`` holds."""
    end = time.monotonic() + AMPLE_S
    while not condition(*arguments):
        assert time.monotonic() < end, "it never was"
        time.sleep(0.01)
