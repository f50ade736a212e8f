"""Runs the command line, of the checkout or of a built file, as its users do: a process, with an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from tests.support.waiting import AMPLE_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

CHECKOUT = [sys.executable, "-m", "eidos"]

#: The file that TESTS_PROGRAM names, which starts in a fifth of the time of the checkout: that reads all recipes each time.
PROGRAM = [sys.executable, os.environ["TESTS_PROGRAM"]] if "TESTS_PROGRAM" in os.environ else CHECKOUT


class Result(NamedTuple):
    """How a run ended: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


#: Words of a command line, and variables of its environment by keyword → how it ended.
Run = Callable[..., Result]


def environment(**more: str) -> dict[str, str]:
    """An environment in which nothing of the caller's shows: no HOME that exists, no configuration, no EIDOS_ variable but the day.

    On that day, nothing that tests recommend or observe has ended.
    """
    fixed = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), "EIDOS_TODAY": "2025-12-01"}
    return {**fixed, **more}


def eidos(
    *arguments: str | bytes,
    program: Sequence[str] = PROGRAM,
    stdout: int | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Result:
    """Run ``program`` with ``arguments``; ``env`` is added to its environment."""
    done = subprocess.run(
        [*program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=2 * AMPLE_S,
        check=False,
    )
    return Result(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())


def command_line(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process, with an environment of its own."""
    from eidos.cli import main

    def call(*words: str | Path, **variables: str) -> Result:
        with mock.patch.dict(os.environ, environment(**variables), clear=True):
            status = main([str(word) for word in words])
        return Result(status, *capfd.readouterr())

    return call
