"""Signals that wait a moment: what must not be done by halves is done before one of them ends the program.

Knows SIGHUP, SIGINT and SIGTERM (signal(7)) and that Python's handlers may raise between any two instructions; must not know what is said
of a signal, nor what is done meanwhile. The handlers stay Python's own, not the kernel's mask, which a program started meanwhile would
inherit and then could not be ended.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Signals that ask the program to end.
ENDING = (1, 2, 15)


class Held:
    """A context in which a signal that has a handler of Python's waits; the first that came is handled at its end.

    In a thread other than the main one nothing is held: handlers do not run there.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._came: list[int] = []

    def __enter__(self) -> None:
        signal = __import__("_signal")  # ``signal`` itself would import ``enum``
        try:
            for number in ENDING:
                handler = signal.getsignal(number)
                if callable(handler):
                    signal.signal(number, self._note)
                    self._before[number] = handler
        except ValueError:  # another thread
            pass

    def _note(self, number: int, _frame: object) -> None:
        self._came.append(number)

    def __exit__(self, *_: object) -> None:
        signal = __import__("_signal")
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._came:
            self._before[self._came[0]](self._came[0], None)
