"""How far a fleet's answers are: a line that is redrawn on a terminal, a line of the log elsewhere.

Knows terminals and estimates; must not know how a node is reached, nor what an answer is.
"""

from __future__ import annotations

import os
import sys
import time

from eidos import log
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

    from eidos.fleet.results import FleetResults

#: The number of nodes from which on the time is announced.
MANY_HOSTS = 500

#: Seconds between two lines about the progress where no terminal is.
REPORT_INTERVAL_S = 60.0


def time_left(done: int, total: int, last_s: float, now_s: float, parallel: int, timeout_s: float) -> str:
    """The time until all nodes are done, in words; ``last_s`` is when a node was done last, and ``now_s`` is now, both since the start.

    About as long as if the others take as long as those before, and at most until all reach their timeout: that is all that is known
    before the first is done, or when the others take longer.

    >>> time_left(32, 64, 10.0, 12.0, 32, 60.0), time_left(0, 64, 0.0, 5.0, 32, 60.0), time_left(32, 64, 1.0, 31.0, 32, 60.0)
    ('about 0m08s left', 'at most 1m55s left', 'at most 0m30s left')
    """
    remaining, since_s = total - done, now_s - last_s
    bound_s = -(-remaining // parallel) * timeout_s - since_s
    estimate_s = last_s / done * remaining - since_s if done else 0.0
    left_s = max(0.0, min(estimate_s, bound_s) if estimate_s > 0 else bound_s)
    return f"{'about' if 0 < estimate_s <= bound_s else 'at most'} {int(left_s // 60)}m{int(left_s % 60):02}s left"


class Progress:
    """A progress line on a terminal, redrawn every second; elsewhere a line of the log every minute, and a warning for very many nodes."""

    def __init__(
        self, total: int, parallel: int, timeout_s: float, interval_s: float = 1.0, report_interval_s: float = REPORT_INTERVAL_S
    ) -> None:
        import threading

        try:
            self._shown = log.shows("warn") and sys.stderr is not None and sys.stderr.isatty()
        except ValueError:  # closed
            self._shown = False
        self._report_interval_s = report_interval_s
        self._total, self._parallel, self._timeout_s, self._interval_s = total, parallel, timeout_s, interval_s
        self._is_reported = not self._shown and log.shows("info")
        self._began = self._reported = time.monotonic()
        self._answered = self._failed = 0
        self._last_s = 0.0
        self._lock, self._ended = threading.Lock(), threading.Event()

    def __enter__(self) -> Self:
        self._redraw()
        if not self._shown and self._total > MANY_HOSTS:
            bound = time_left(0, self._total, 0.0, 0.0, self._parallel, self._timeout_s)
            log.warn(f"{count_of(self._total, 'node')}, {self._parallel} at a time: {bound}")
        if self._shown or self._is_reported:
            from eidos.process.thread_pool import start_thread

            try:
                start_thread(self._tick, "progress")
            except RuntimeError:  # no thread is left: it moves with the answers alone
                pass
        return self

    def show(self, folder: FleetResults, message: str = "", hint: str | None = None) -> None:
        """Update the line; ``message`` is logged above it."""
        with self._lock:
            self._answered, self._failed = folder.answered, len(folder.unanswered)
            self._last_s = time.monotonic() - self._began
            if message:
                if log.shows("info"):
                    self._write("")
                log.info(message, hint=hint)
        self._redraw()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._lock:
            self._write("")
            self._shown = False

    def _tick(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._redraw()

    def _redraw(self) -> None:
        with self._lock:
            done = self._answered + self._failed
            text = f"{self._answered} of {count_of(self._total, 'snapshot')}" + (f", {self._failed} failed" if self._failed else "")
            if done < self._total:
                now_s = time.monotonic() - self._began
                text += f", {time_left(done, self._total, self._last_s, now_s, self._parallel, self._timeout_s)}"
            self._write(text)
            now = time.monotonic()
            if self._is_reported and now - self._reported >= self._report_interval_s:
                self._reported = now
                log.info(text)

    def _write(self, text: str) -> None:
        if self._shown:
            try:
                width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
                sys.stderr.write(f"\r{text if width < 1 else text[:width]}\x1b[K")  # a line that wraps is not erased
                sys.stderr.flush()
            except (OSError, ValueError):  # the terminal is gone
                self._shown = False
