"""``concurrent.futures`` without what its import costs.

Knows that ``concurrent.futures._base`` imports ``logging`` for the two messages it has about itself, and that ``logging`` brings
``re``, ``enum``, ``string`` and ``traceback``: more than an empty start takes altogether. While the pool is imported, a stand-in answers
to the name ``logging``; its logger hands every call to the real one, imported then. Must not know what the pool runs.

Where ``logging`` is imported already, nothing stands in for it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor, as_completed
    from types import ModuleType
    from typing import Any

__all__ = ["Future", "ThreadPoolExecutor", "as_completed"]


class _Logger:
    """What ``concurrent.futures`` keeps as its LOGGER until it has something to say."""

    def addHandler(self, handler: object) -> None:  # noqa: N802  # logging's own name
        """Do nothing: the real logger falls back to standard error by itself."""

    def __getattr__(self, name: str) -> Any:
        import logging

        return getattr(logging.getLogger("concurrent.futures"), name)


def _import() -> tuple[Any, Any, Any]:
    stand_in: ModuleType | None = None
    if "logging" not in sys.modules:
        stand_in = type(sys)("logging")
        vars(stand_in).update(getLogger=lambda name: _Logger(), StreamHandler=lambda: None)
        sys.modules["logging"] = stand_in
    try:
        from concurrent.futures._base import Future, as_completed
        from concurrent.futures.thread import ThreadPoolExecutor
    finally:
        if stand_in is not None and sys.modules.get("logging") is stand_in:
            del sys.modules["logging"]
    return Future, ThreadPoolExecutor, as_completed


if not TYPE_CHECKING:
    Future, ThreadPoolExecutor, as_completed = _import()
