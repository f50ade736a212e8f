"""Threads: pools of them, and single ones that may be left behind, with the futures of ``concurrent.futures``.

Knows what importing ``concurrent.futures`` costs and how to avoid it; must not know what the threads do. ``concurrent.futures._base``
imports ``logging`` for two messages about itself, and ``logging`` imports ``re``, ``enum``, ``string`` and ``traceback``: more than an
empty start takes altogether. While it is imported here, a stand-in answers to the name ``logging``; its logger hands every call to the real
one, imported then. Where ``logging`` is imported already, nothing stands in for it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
    from types import ModuleType
    from typing import Any, TypeVar

    S = TypeVar("S")
    T = TypeVar("T")

__all__ = ["Future", "ThreadPoolExecutor", "as_completed", "call_in_thread", "map_in_threads", "start_thread", "wait_for"]


class _Logger:
    """What ``concurrent.futures`` has as its LOGGER until it logs something."""

    def addHandler(self, handler: object) -> None:  # noqa: N802  # logging's own name
        """Do nothing: the real logger falls back to standard error by itself."""

    def __getattr__(self, name: str) -> Any:
        import logging

        return getattr(logging.getLogger("concurrent.futures"), name)


def _import() -> tuple[Any, ...]:
    stand_in: ModuleType | None = None
    if "logging" not in sys.modules:
        stand_in = type(sys)("logging")
        vars(stand_in).update(getLogger=lambda name: _Logger(), StreamHandler=lambda: None)
        sys.modules["logging"] = stand_in
    try:
        from concurrent.futures._base import Future, as_completed, wait
        from concurrent.futures.thread import ThreadPoolExecutor
    finally:
        if stand_in is not None and sys.modules.get("logging") is stand_in:
            del sys.modules["logging"]
    return Future, ThreadPoolExecutor, as_completed, wait


if not TYPE_CHECKING:
    Future, ThreadPoolExecutor, as_completed, wait = _import()


def start_thread(function: Callable[[], T], name: str) -> Future[T]:
    """Call ``function`` in a daemon thread of its own, and return the future of its result.

    Unlike a thread of a pool it does not hold up the end of the program, so it may wait for what never comes. Raises RuntimeError when the
    system has no thread left.
    """
    import threading

    future: Future[T] = Future()
    threading.Thread(target=_fulfil, args=(future, function), name=name, daemon=True).start()
    return future


def call_in_thread(function: Callable[[], T], name: str) -> Future[T]:
    """The same; when the system has no thread left ``function`` is called in this one, and the future is done."""
    try:
        return start_thread(function, name)
    except RuntimeError:
        future: Future[T] = Future()
        _fulfil(future, function)
        return future


def wait_for(future: Future[T], timeout_s: float) -> T:
    """Return the result of ``future``, or raise what its function raised; TimeoutError when neither is there in time."""
    if not wait((future,), timeout_s).done:
        raise TimeoutError
    return future.result()


def map_in_threads(function: Callable[[S], T], items: Iterable[S], max_workers: int) -> list[T]:
    """The results of ``function`` in the order of ``items``; the first failure is raised, and what has not begun is left out."""
    with ThreadPoolExecutor(max_workers=max_workers) as pool:
        tasks = [pool.submit(function, item) for item in items]
        try:
            return [task.result() for task in tasks]
        except BaseException:
            for task in tasks:
                task.cancel()
            raise


def _fulfil(future: Future[T], function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except BaseException as fault:  # noqa: BLE001  # raised where the result is wanted
        future.set_exception(fault)
