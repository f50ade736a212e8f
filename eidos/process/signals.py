"""Signals that wait a moment: what must not be left half done is done before one of them ends the program.

Knows SIGHUP, SIGINT and SIGTERM (signal(7)) and that Python's handlers may raise between any two instructions; must not know what a
handler does, nor what happens meanwhile. The handlers are replaced, and the kernel's signal mask is left alone: a program started meanwhile
would inherit the mask, and SIGTERM could not end it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: SIGHUP, SIGINT, SIGTERM.
TERMINATING = (1, 2, 15)


class DeferredSignals:
    """A context in which a signal that has a Python handler waits; the first that came is handled at the end of the context.

    In a thread other than the main one nothing is deferred: handlers do not run there.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._pending: list[int] = []

    def __enter__(self) -> None:
        signal = __import__("_signal")  # ``signal`` itself would import ``enum``
        try:
            for number in TERMINATING:
                handler = signal.getsignal(number)
                if callable(handler):
                    signal.signal(number, self._defer)
                    self._handlers[number] = handler
        except ValueError:  # another thread
            pass

    def _defer(self, number: int, _frame: object) -> None:
        self._pending.append(number)

    def __exit__(self, *_: object) -> None:
        signal = __import__("_signal")
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._pending:
            self._handlers[self._pending[0]](self._pending[0], None)
