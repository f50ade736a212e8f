"""The pool is the standard library's own, and is as loud as that one when something goes wrong in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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
