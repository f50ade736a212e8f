"""Numbers in memory that the supervisor and its worker processes share.

Knows whether the service stops and how many connections each worker has; must not know processes or sockets. Each number has one
writer and is written in one store, so no lock is needed.
"""

from __future__ import annotations

import mmap

#: The count of a slot without a worker that accepts.
VACANT = -1


class SharedState:
    """Numbers of a service with so many workers; create it before the fork.

    ``slots`` is how many processes have a place in it: workers, and as many that finish while others have taken over.
    """

    def __init__(self, workers: int) -> None:
        self.slots = 2 * workers
        self._cells = memoryview(mmap.mmap(-1, (1 + self.slots) * 8)).cast("q")
        for slot in range(self.slots):
            self.vacate(slot)

    @property
    def is_stopping(self) -> bool:
        """Whether the service was told to stop: it is not ready for new work."""
        return self._cells[0] != 0

    def stop(self) -> None:
        """Let every process see that the service stops."""
        self._cells[0] = 1

    def set_connections(self, slot: int, count: int) -> None:
        """The worker of ``slot`` accepts, and has ``count`` connections."""
        self._cells[1 + slot] = count

    def vacate(self, slot: int) -> None:
        """The worker of ``slot`` accepts no more."""
        self._cells[1 + slot] = VACANT

    def fewest_connections(self) -> int:
        """Connections of the worker that has the fewest; 0 when none accepts."""
        return min((count for count in self._cells[1:].tolist() if count != VACANT), default=0)

    def all_connections(self) -> int:
        """Connections of all workers that accept."""
        return sum(count for count in self._cells[1:].tolist() if count != VACANT)
