"""What a run of the tests builds once, however many processes it has.

Knows pytest's temporary folders and xdist's; must not know what is built.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def build_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """The folder ``name`` of this run, filled by ``build``: by the first process that needs it, while the others wait."""
    run = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent  # a worker's folder lies in that of the run
    folder, complete = run / name, run / f"{name}.complete"
    with open(run / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            folder.mkdir(exist_ok=True)
            build(folder)
            complete.touch()
    return folder
