"""The program of ``--on-change``: it gets each change on its standard input.

Knows how its run is bounded and what is logged of a failure; must not know what it does. A run ends before the next begins, and a failure
is logged and does not end the watch.
"""

from __future__ import annotations

import os
import time

from eidos import log
from eidos.errors import InvalidInput
from eidos.process.run import EXITED, NOT_STARTED, TIMED_OUT, Command, find_program, run_program

#: Bytes that it may print; what it prints is not shown, but for the end of its standard error when it fails.
OUTPUT_LIMIT_BYTES = 1 << 20


def require_program(name: str) -> str:
    """The path of a program, looked up in PATH unless it has a slash. Raises InvalidInput when there is none that can be run."""
    path = find_program(name, os.environ)
    if path is None:
        why = "not executable" if os.path.isfile(name) and "/" in name else "no such program"
        raise InvalidInput(f"--on-change: cannot run {name!r}: {why}", "name an executable file; put its arguments into a script")
    return path


class ChangeProgram:
    """A program that is run for each change, until ``timeout_s`` seconds have passed."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path, self._timeout_s = path, timeout_s

    def run(self, line: str) -> bool:
        """Run it with ``line`` on its standard input, and wait for its end; whether its exit status was 0."""
        command = Command((self._path,), line.encode())
        result = run_program(command, time.monotonic() + self._timeout_s, OUTPUT_LIMIT_BYTES)
        if result.outcome == EXITED and result.status == 0:
            return True
        if result.outcome == NOT_STARTED:
            why = f"cannot run it: {result.start_failure}"
        elif result.outcome == TIMED_OUT:
            why = f"stopped after {self._timeout_s:g} s"
        elif result.outcome == EXITED:
            why = f"exit status {result.shell_status}"
        else:
            why = f"stopped: it printed more than {OUTPUT_LIMIT_BYTES >> 20} MiB"
        errors = result.error_text().strip().splitlines()
        log.warn(f"--on-change {self._path}: {why}" + (f": {errors[-1]}" if errors else ""))
        return False
