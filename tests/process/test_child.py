"""Children that hang, crash, flood or vanish never hold up the parent, nor spoil what their siblings send."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidos.errors import Timeout
from eidos.process.child import FRAMES_LIMIT_BYTES, Child, ChildDied
from tests.support.waiting import AMPLE_S, until

ROOT = Path(__file__).resolve().parent.parent.parent


def soon(seconds: float = AMPLE_S) -> float:
    return time.monotonic() + seconds


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie has)."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> bool:
    until(gone, pid)
    return True


def test_frames_arrive_complete_and_in_order() -> None:
    frames = [("a", 1), {"deep": [1.5, True, None, "é\ud800"]}, "x" * 3_000_000, []]
    child = Child(lambda: iter(frames))
    assert list(child.frames(soon())) == frames
    child.close()


def test_what_came_before_the_deadline_is_not_lost() -> None:
    reader, writer = os.pipe()

    def produce() -> Iterator[str]:
        yield "first"
        os.write(writer, b"sent")
        time.sleep(3600)

    child = Child(produce)
    assert os.read(reader, 4) == b"sent"
    os.close(reader)
    os.close(writer)
    frames = child.frames(soon(0.3))
    assert next(frames) == "first"
    with pytest.raises(Timeout):
        next(frames)
    child.close()
    assert wait_until_gone(child.pid)


def test_what_was_sent_in_time_counts_when_it_is_read_late() -> None:
    child = Child(lambda: ["sent", "in time"])
    assert wait_until_gone(child.pid)
    assert list(child.frames(time.monotonic() - 0.01)) == ["sent", "in time"]
    child.close()


def test_a_hang_inside_a_library_call_is_cut_off() -> None:
    def produce() -> Iterator[int]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the interpreter lock: nothing in this process runs any more
        yield 1

    child = Child(produce)
    with pytest.raises(Timeout):
        list(child.frames(soon(0.3)))
    child.close()
    assert wait_until_gone(child.pid)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_is_reported_with_its_signal(number: int) -> None:
    def produce() -> Iterator[int]:
        faulthandler.disable()  # pytest's would print the test's own stack
        yield 1
        os.kill(os.getpid(), number)
        time.sleep(10)

    child = Child(produce)
    with pytest.raises(ChildDied, match=f"signal {int(number)}"):
        list(child.frames(soon()))
    child.close()


def test_an_uncaught_exception_is_reported() -> None:
    def produce() -> Iterator[object]:
        yield object()  # marshal has no word for it

    child = Child(produce)
    with pytest.raises(ChildDied, match="status 1"):
        list(child.frames(soon()))
    child.close()


def test_endless_talk_is_cut_off() -> None:
    def produce() -> Iterator[bytes]:
        while True:
            yield b"x" * (1 << 20)

    child = Child(produce)
    with pytest.raises(ChildDied, match="MiB"):
        for frame in child.frames(soon()):
            assert isinstance(frame, bytes) and len(frame) < FRAMES_LIMIT_BYTES
    child.close()
    assert wait_until_gone(child.pid)


@pytest.mark.parametrize("leads_a_session", [False, True])
def test_a_grandchild_dies_with_the_child(leads_a_session: bool) -> None:
    def produce() -> Iterator[int]:
        yield subprocess.Popen(["sleep", "3600"], start_new_session=leads_a_session).pid
        time.sleep(3600)

    child = Child(produce)
    frames = child.frames(soon())
    grandchild = next(frames)
    assert isinstance(grandchild, int) and not gone(grandchild)
    child.close()
    assert wait_until_gone(grandchild)


def test_a_child_that_is_closed_before_it_is_read_leaves() -> None:
    child = Child(lambda: iter([1]))
    child.close()
    assert wait_until_gone(child.pid)


def test_without_descriptors_it_says_so_and_leaves_none_open() -> None:
    code = f"""
import os, resource, sys
sys.path.insert(0, {str(ROOT)!r})
from eidos.errors import Unavailable
from eidos.process.child import Child
before = os.listdir("/proc/self/fd")
for limit in range(3, 5):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        Child(lambda: [])
    except Unavailable as fault:
        print(fault.message)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
assert os.listdir("/proc/self/fd") == before
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=AMPLE_S, check=False)
    assert done.stderr == ""
    assert set(done.stdout.splitlines()) == {"cannot start a process: too many open files"}


def test_siblings_hold_nothing_of_each_other() -> None:
    """The second child hangs; the first one's end must be seen all the same, and the other way round."""

    def hang() -> Iterator[int]:
        time.sleep(3600)
        yield 1

    first = Child(lambda: iter([1]))
    second = Child(hang, [first])
    third = Child(lambda: iter([3]), [first, second])
    assert list(first.frames(soon())) == [1]
    assert list(third.frames(soon())) == [3]
    for child in (first, second, third):
        child.close()


def test_kill_from_elsewhere_stops_the_reader() -> None:
    import threading

    child = Child(lambda: iter(lambda: time.sleep(3600), 1))
    threading.Timer(0.2, child.kill).start()
    with pytest.raises((Timeout, ChildDied)):
        list(child.frames(soon()))
    child.close()


CLOSED_STREAMS = """
import os, sys, time
os.close(0); os.close(1)
sys.path.insert(0, {root!r})
from eidos.process.child import Child
child = Child(lambda: iter([list(range(3))]))
frames = list(child.frames(time.monotonic() + 60))
child.close()
assert os.fstat(1).st_rdev == os.stat("/dev/null").st_rdev, "a pipe sits where standard output was"
os.write(2, repr(frames).encode())
"""


def test_closed_standard_streams_do_no_harm() -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED_STREAMS.format(root=str(ROOT))], capture_output=True, timeout=AMPLE_S, check=False)
    assert done.stderr == b"[[0, 1, 2]]"


HANGING = """
import sys, time, os
sys.path.insert(0, {root!r})
from eidos.process.child import Child
from eidos.errors import Timeout
child = Child(lambda: iter(lambda: time.sleep(3600), 1))
try:
    list(child.frames(time.monotonic() + 0.3))
except Timeout:
    print("late", flush=True)
os._exit(0)  # without closing: the child may live on, the pipe to the reader must not
"""


def test_a_reader_of_our_output_is_not_held_up_by_a_hanging_child() -> None:
    """A child holding standard output would keep ``eidos … | cat`` open after eidos has left."""
    process = subprocess.Popen([sys.executable, "-c", HANGING.format(root=str(ROOT))], stdout=subprocess.PIPE, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=AMPLE_S)
    finally:
        # The child made itself a group of its own in the session; find it by its session id.
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    if os.getsid(int(entry)) == process.pid:
                        os.kill(int(entry), signal.SIGKILL)
                except ProcessLookupError:
                    continue
    assert out == b"late\n"
