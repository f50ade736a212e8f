"""Functions that run in processes of their own, so that none of them can hold up the program.

Knows fork, pipes, frames, deadlines and kills; must not know what is computed. A thread that is stuck in the kernel keeps its process from
exiting; a child process can be abandoned. Three rules make that hold:

* a child is forked while no other thread runs, so none inherits a lock that is never released;
* a child holds no descriptor of another child and none of the parent's standard streams, so ``eidos … | cat`` ends when the parent does,
  whatever hangs;
* the parent never waits for a child: it reads until the deadline, sends SIGKILL to the child and everything it started, and goes on. The
  one exception is the kernel's: PID 1 of a PID namespace cannot leave before the processes in it are gone.

A frame is a 4-byte little-endian length and that many bytes of :mod:`marshal`, which is builtin, quick, and safe here because both ends
are the same interpreter; an empty frame is the end.
"""

from __future__ import annotations

import marshal
import os
import select
import time

from eidos.errors import EidosError, Timeout, Unavailable, os_error_reason
from eidos.process.process_tree import ProcessTree, kill_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Callable

    Frame = Any
    Produce = Callable[[], Iterable[Frame]]

#: Bytes that one child may send; more is a fault of its source.
FRAMES_LIMIT_BYTES = 64 << 20

#: What a pipe holds (pipe(7)): no read returns more.
PIPE_BYTES = 1 << 16

#: Seconds after which a reader looks whether the child was killed meanwhile.
SLICE_S = 0.1


#: Children that were killed and had not ended when they were let go of.
_lingering: list[Child] = []


class ChildDied(Unavailable):
    """A child ended without finishing its work: a crash in a driver's library, the kernel short of memory."""


class Child:
    """One function in a process of its own, which begins at once.

    ``is_finished`` says whether its last frame has come; ``received_bytes`` is the size of its frames so far.
    """

    def __init__(self, produce: Produce, siblings: Iterable[Child] = ()) -> None:
        """Fork; ``produce`` returns the frames (plain trees), ``siblings`` are the children that are not closed yet.

        Raises Unavailable when the system has no process or descriptor left.
        """
        self._out = -1
        self.is_finished = self._is_reaped = self._is_killed = False
        self.received_bytes = 0
        self._buffer = bytearray()
        opened: tuple[int, ...] = ()
        try:
            fill_standard_streams()
            opened = os.pipe()
            self.pid = os.fork()
        except OSError as fault:
            for fd in opened:
                os.close(fd)
            hint = "stop other programs, or raise the limits of processes and open files (ulimit -u, ulimit -n)"
            raise Unavailable(f"cannot start a process: {os_error_reason(fault)}", hint) from fault
        out_in, out_out = opened
        if self.pid == 0:
            _run(produce, out_out, [out_in, *(child._out for child in siblings)])
        os.close(out_out)
        self._out = out_in

    def fileno(self) -> int:
        """The descriptor that is readable when :meth:`receive` has something to return."""
        return self._out

    def frames(self, deadline: float) -> Iterator[Frame]:
        """Yield the child's frames as they come, until the last.

        ``deadline`` is in seconds of ``time.monotonic()``. Raises Timeout when it passes or :meth:`kill` was called, ChildDied when the
        child ends early or sends more than :data:`FRAMES_LIMIT_BYTES`. Frames that came before have been yielded.
        """
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if left <= -SLICE_S or self._is_killed:
                raise Timeout("no answer before the deadline")
            # What was sent in time counts, even if it is read a little later.
            if not poll.poll(min(left, SLICE_S) * 1000 + 1 if left > 0 else 0):
                if left <= 0:
                    raise Timeout("no answer before the deadline")
                continue
            frames = self.receive()
            if frames is None:
                return
            yield from frames

    def receive(self) -> list[Frame] | None:
        """The frames that have come, perhaps none yet; None after the last. It waits until there is something to read.

        Raises ChildDied when the child ended early or sent more than :data:`FRAMES_LIMIT_BYTES`.
        """
        chunk = os.read(self._out, PIPE_BYTES)
        if not chunk:
            if self.is_finished:
                return None
            raise ChildDied(self._cause_of_death())
        self.received_bytes += len(chunk)
        if self.received_bytes > FRAMES_LIMIT_BYTES:
            raise ChildDied(f"returned more than {FRAMES_LIMIT_BYTES >> 20} MiB")
        buffer, start = self._buffer, 0
        buffer += chunk
        frames: list[Frame] = []
        while len(buffer) - start >= 4:
            end = start + 4 + int.from_bytes(buffer[start : start + 4], "little")
            if len(buffer) < end:
                break
            if end == start + 4:
                self.is_finished = True
            else:
                frames.append(marshal.loads(memoryview(buffer)[start + 4 : end]))
            start = end
        del buffer[:start]
        return frames

    def _cause_of_death(self) -> str:
        # The pipe closes a moment before the process can be reaped.
        for _ in range(50):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._is_reaped = True
                if os.WIFSIGNALED(status):
                    return f"the child process was killed by signal {os.WTERMSIG(status)}"
                return f"the child process exited with status {os.WEXITSTATUS(status)}"
            time.sleep(0.002)
        return "the child process closed its pipe but did not exit"

    def kill(self) -> None:
        """Kill the child and everything it started, without waiting; a thread that reads its frames stops. Safe from any thread."""
        self._is_killed = True
        if self._is_reaped:
            return
        if not self.is_finished:
            ProcessTree(self.pid).kill()
        else:  # it has started nothing that could be left
            kill_group(self.pid)

    def close(self) -> None:
        """Kill the child if it still runs, and let go of it; only the thread that reads its frames may call this. Again is harmless."""
        self.kill()
        if self._out >= 0:
            # Forgotten first: an interrupt in between must not lead to a second close of a number that is somebody else's by then.
            fd, self._out = self._out, -1
            os.close(fd)
            if not self.reap():
                _lingering.append(self)
        else:
            self.reap()

    def reap(self) -> bool:
        """Collect the child if it has ended, without waiting; True when nothing of it is left."""
        if not self._is_reaped:
            try:
                self._is_reaped = os.waitpid(self.pid, os.WNOHANG)[0] != 0
            except OSError:  # somebody else reaped it
                self._is_reaped = True
        return self._is_reaped


def reap_children() -> int:
    """Collect every child process that has ended, PID 1 those of others, too; the number of killed ones that have not ended yet.

    A child that the kernel does not let go of ends later or never: a program that runs on and on must not start another one each time.
    Call this while no program of :mod:`eidos.process.run` runs, whose end it would take.
    """
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # there is none
        pass
    _lingering[:] = [child for child in _lingering if not child.reap()]
    return len(_lingering)


def run_in_child(function: Callable[[], Frame], deadline: float) -> Frame:
    """Return what ``function`` returns (a plain tree), from a child: for a look at a file system that may never answer.

    An EidosError of the child's is raised here, with its code, message and hint; Timeout when the deadline passes, Unavailable when
    no process can be started, ChildDied when the child ends early.
    """

    def produce() -> Iterator[Frame]:
        try:
            yield (None, function(), None)
        except EidosError as fault:
            yield (fault.code, fault.message, fault.hint)

    child = Child(produce)
    try:
        ((code, value, hint),) = child.frames(deadline)
    finally:
        child.close()
    if code is None:
        return value
    fault = EidosError(value, hint)
    fault.code = code
    raise fault


def fill_standard_streams() -> None:
    """Open /dev/null wherever descriptor 0, 1 or 2 is closed, so that no pipe ever gets one of these numbers."""
    while True:
        fd = _open_null()
        if fd > 2:
            os.close(fd)
            return


def _open_null() -> int:
    """A new descriptor of /dev/null, or of an empty file in memory where a bare root has no /dev."""
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:
        return os.memfd_create("null")


def _run(produce: Produce, out: int, foreign: list[int]) -> None:
    """Do the work of the child and leave; never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        _default_signals()
        __import__("gc").disable()  # it would copy the parent's memory, and the child does not live long enough to need it
        for fd in foreign:
            if fd >= 0:
                os.close(fd)
        null = _open_null()
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        for frame in produce():
            _send(out, marshal.dumps(frame))
        _send(out, b"")
        status = 0
    finally:
        # Whatever was raised, a forked child must not run the parent's exit handlers or flush its buffers.
        os._exit(status)


def _default_signals() -> None:
    signal = __import__("_signal")  # ``signal`` itself would import ``enum``, in every child
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def _send(out: int, data: bytes) -> None:
    view = memoryview(len(data).to_bytes(4, "little") + data)
    while view:
        view = view[os.write(out, view) :]
