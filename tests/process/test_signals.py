"""Signals that come at an awkward moment: what was begun is finished, or ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from eidos.process import run
from eidos.process.signals import Held


def test_what_is_held_comes_at_the_end() -> None:
    done = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Held():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_held() -> None:
    before, found = signal.getsignal(signal.SIGINT), []

    def held() -> None:
        with Held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=held)
    thread.start()
    thread.join()
    assert found == [before]


def test_no_program_is_left_that_began_as_the_signal_came(tmp_path: Path) -> None:
    """Each interrupts whoever starts the next, as near to its beginning as can be."""
    tool = tmp_path / "interrupts"
    tool.write_text("#!/bin/sh\nkill -INT $PPID\nexec sleep 600\n")
    tool.chmod(0o755)
    before = _children()
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt):
            list(run.run(((str(number), [str(tool)]) for number in range(12)), b"", 12, 60))
    for _ in range(100):
        if _children() <= before:
            return
        time.sleep(0.02)
    raise AssertionError(f"left: {_children() - before}")


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
