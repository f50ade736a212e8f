"""Waiting for what another process or thread does: bounded, and never for a fixed time; and threads that do it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

#: Seconds after which what should have ended or happened has not: so many that nothing else on the machine matters.
AMPLE_S = 60.0

#: Deadlines to try in turn, in seconds, for what is cut off by one and has to get somewhere first, which takes longer on a busy machine.
DEADLINES_S = (0.5, 4.0, 30.0)


def until(condition: Callable[..., object], *arguments: object) -> None:
    """Wait until ``condition(*arguments)`` holds."""
    end = time.monotonic() + AMPLE_S
    while not condition(*arguments):
        assert time.monotonic() < end, "it never was"
        time.sleep(0.01)


class ClientThreads:
    """Clients that ask while a block runs: ``ask(number)`` in a thread for each, until :attr:`is_over`."""

    def __init__(self, count: int) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(count)]

    def ask(self, number: int) -> None:
        """What the client of this number does."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Whether the block was left."""
        return self._over.is_set()

    def end(self) -> None:
        """Let each client end with the request that it has sent."""
        self._over.set()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for thread in self._threads:
            thread.join(AMPLE_S)
            assert not thread.is_alive()
