"""Threads are the standard library's own, import little, and report what goes wrong in them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from eidos.process.thread_pool import call_in_thread, start_thread, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Callable

ROOT = Path(__file__).resolve().parent.parent.parent

LEAN = """
import sys
sys.path.insert(0, {root!r})
from eidos.process.thread_pool import ThreadPoolExecutor, as_completed
with ThreadPoolExecutor(max_workers=2) as pool:
    assert sorted(done.result() for done in as_completed([pool.submit(pow, 2, n) for n in range(4)])) == [1, 2, 4, 8]
    failing = pool.submit(int, "x")
    assert isinstance(failing.exception(), ValueError)
print([name for name in ("logging", "re", "enum", "string") if name in sys.modules])
import concurrent.futures
assert concurrent.futures.ThreadPoolExecutor is ThreadPoolExecutor
import logging
assert logging.getLogger("x").name == "x" and logging.StreamHandler() is not None
"""

LOUD = """
import sys
sys.path.insert(0, {root!r})
{before}
from eidos.process.thread_pool import Future
future = Future()
future.add_done_callback(lambda done: 1 // 0)
future.set_result(1)
"""


def run(python: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)


def test_it_works_and_imports_little(python: str) -> None:
    assert run(python, LEAN.format(root=str(ROOT))).stdout == "[]\n"


@pytest.mark.parametrize("before", ["", "import logging"])
def test_a_fault_inside_is_logged_by_the_real_logger(python: str, before: str) -> None:
    errors = run(python, LOUD.format(root=str(ROOT), before=before)).stderr
    assert "ZeroDivisionError" in errors
    assert errors.startswith("exception calling callback")


@pytest.mark.parametrize("start", [start_thread, call_in_thread])
def test_a_thread_has_a_future(start: Callable[[Callable[[], object], str], Future[object]]) -> None:
    assert wait_for(start(lambda: threading.current_thread().name, "a name"), 60) == "a name"
    with pytest.raises(ZeroDivisionError):
        wait_for(start(lambda: 1 // 0, "a name"), 60)
    with pytest.raises(SystemExit):
        wait_for(start(lambda: sys.exit(3), "a name"), 60)


def test_a_result_that_does_not_come_in_time() -> None:
    release = threading.Event()
    future = start_thread(release.wait, "waits")
    with pytest.raises(TimeoutError):
        wait_for(future, 0.05)
    with pytest.raises(TimeoutError):
        wait_for(future, 0)
    release.set()
    assert wait_for(future, 60) is True
    assert wait_for(future, 0) is True


def test_without_a_thread_the_caller_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert call_in_thread(threading.current_thread, "a name").result(0) is threading.current_thread()
    with pytest.raises(RuntimeError):
        start_thread(threading.current_thread, "a name")


STUCK = """
import sys, time
sys.path.insert(0, {root!r})
from eidos.process.thread_pool import start_thread
start_thread(lambda: time.sleep(600), "stuck")
print("done")
"""


def test_a_thread_that_waits_for_ever_does_not_hold_up_the_end(python: str) -> None:
    began = time.monotonic()
    assert run(python, STUCK.format(root=str(ROOT))).stdout == "done\n"
    assert time.monotonic() - began < 300
