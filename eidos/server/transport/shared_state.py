"""What the supervisor and its workers tell one another: a few numbers in memory that they share.

Knows whether the service leaves and how many connections each worker has; must not know processes or sockets. Each number has one
writer and is written in one store, so nobody waits for a lock.
"""

from __future__ import annotations

import mmap

#: What stands for a slot that nobody serves from.
NOBODY = -1


class Board:
    """Numbers for ``slots`` workers; make it before the fork."""

    def __init__(self, slots: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, (1 + slots) * 8)).cast("q")
        for slot in range(slots):
            self.leave(slot)

    @property
    def leaving(self) -> bool:
        """Whether the service was told to stop: it is ready for nothing new."""
        return self._cells[0] != 0

    def stop(self) -> None:
        """Say that the service was told to stop."""
        self._cells[0] = 1

    def has(self, slot: int, connections: int) -> None:
        """The worker of ``slot`` accepts, and has so many connections."""
        self._cells[1 + slot] = connections

    def leave(self, slot: int) -> None:
        """The worker of ``slot`` accepts no more."""
        self._cells[1 + slot] = NOBODY

    def fewest(self) -> int:
        """Connections of the worker that has the fewest; 0 when nobody accepts."""
        return min((count for count in self._cells[1:].tolist() if count != NOBODY), default=0)
