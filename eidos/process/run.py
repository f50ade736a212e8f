"""Many programs at once: each fed, listened to, bounded, and ended at its deadline.

Knows processes, pipes and process groups; must not know what is run. One thread waits for all of them; each has a session of its own,
so that whatever it started is ended with it, and none is left when the caller goes, for whatever reason.

A program has ended when its process has: what it left behind (ssh's ControlPersist is one) may keep its pipes open for ever.
"""

from __future__ import annotations

import errno
import os
import time

from eidos.model.record import Record
from eidos.process.signals import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from subprocess import Popen

#: The most that one program may print, in bytes, and how much of the end of its standard error is kept.
LIMIT, TAIL = 8 << 20, 4096

#: Seconds that a program gets to end when it is asked to, and that what it printed last may take to arrive.
GRACE = 0.5

#: Seconds between two looks at processes whose pipes say nothing.
SLICE = 0.2

#: What says that there is no room on this machine: fork(2), pipe(2).
FULL = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)

LATE, TOO_MUCH, NOT_STARTED = "late", "too-much", "not-started"


class Ended(Record):
    """How a program ended: ``status`` as a shell would have it (128 and the signal), ``fault`` when it was ended or never began."""

    name: str
    status: int
    out: bytes
    err: str
    fault: str | None = None


class _Running:
    """One program; ``deadline`` is on the monotonic clock."""

    def __init__(self, name: str, process: Popen[bytes], feed: bytes, deadline: float) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.name, self.process, self.deadline = name, process, deadline
        self.input, self.output, self.error = process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno()
        self.left = memoryview(feed)
        self.out, self.err = bytearray(), bytearray()
        self.open = {self.input, self.output, self.error}
        self.fault: str | None = None
        self.gone: float | None = None
        self.asked: float | None = None
        for fd in self.open:
            os.set_blocking(fd, False)

    def handle(self, fd: int) -> bool:
        """Do what a pipe is ready for; False when it is used up."""
        try:
            if fd == self.input:
                if self.left:
                    self.left = self.left[os.write(fd, self.left[: 1 << 16]) :]
                return bool(self.left)
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        except OSError:  # nobody reads it any more
            return False
        if fd == self.error:
            self.err += data
            del self.err[:-TAIL]
        else:
            self.out += data
            if len(self.out) > LIMIT and self.fault is None:
                self.fault = TOO_MUCH
                del self.out[:]
        return bool(data)

    def signal(self, number: int) -> None:
        """Send a signal to the program and to all that it started and that did not leave its session."""
        try:
            os.killpg(self.process.pid, number)
        except OSError:  # nothing is left of it
            pass

    def is_over(self, now: float) -> bool:
        """Whether there is nothing more to wait for; ends what is late or says too much."""
        if self.gone is None and self.process.poll() is not None:
            self.gone = now
        if self.gone is not None:
            return self.output not in self.open or now - self.gone > GRACE
        if self.fault is None and now >= self.deadline:
            self.fault = LATE
        if self.fault is not None:
            if self.asked is None:
                self.asked = now
                self.signal(15)
            elif now - self.asked > GRACE:
                self.signal(9)
                return now - self.asked > 2 * GRACE  # in the kernel's hands: it may never go
        return False

    def close(self) -> None:
        """Let go of the pipes, and of whatever is left."""
        if self.process.poll() is None or self.fault is not None:
            self.signal(9)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was not written is lost, and known to be
                    pass
        self.process.poll()

    def ended(self) -> Ended:
        status = self.process.returncode
        status = -1 if status is None else 128 - status if status < 0 else status
        return Ended(self.name, status, bytes(self.out), self.err.decode("utf-8", "replace"), self.fault)


def run(commands: Iterable[tuple[str, Sequence[str]]], feed: bytes, parallel: int, timeout: float) -> Generator[Ended, None, None]:
    """Run each (name, command) with ``feed`` on its standard input, at most ``parallel`` at a time, and tell of each when it ends.

    ``timeout`` is in seconds, for each program from its start. When the caller stops listening, all of them are ended. What this machine
    has no room for (processes, open files) waits until another has ended.
    """
    import select
    import subprocess

    waiting = iter(commands)
    held: tuple[str, Sequence[str]] | None = None
    poll = select.poll()
    running: dict[int, _Running] = {}
    current: list[_Running] = []
    exhausted = False
    try:
        while True:
            while not exhausted and len(current) < parallel:
                chosen, held = held or next(waiting, None), None
                if chosen is None:
                    exhausted = True
                    break
                name, command = chosen
                pipe = subprocess.PIPE
                try:
                    # What began must be among those that are ended, whatever comes in between.
                    with Held():
                        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
                        one = _Running(name, process, feed, time.monotonic() + timeout)
                        current.append(one)
                except OSError as fault:
                    if fault.errno in FULL and current:
                        held, parallel = chosen, len(current)
                        break
                    yield Ended(name, 127, b"", f"{command[0]}: {(fault.strerror or str(fault)).lower()}", NOT_STARTED)
                    continue
                for fd in one.open:
                    running[fd] = one
                    poll.register(fd, select.POLLOUT if fd == one.input else select.POLLIN)
            if not current:
                return
            for fd, _ in poll.poll(SLICE * 1000):
                one = running[fd]
                if not one.handle(fd):
                    poll.unregister(fd)
                    del running[fd]
                    one.open.discard(fd)
                    if fd == one.input:
                        _close(one)
            now = time.monotonic()
            for one in [one for one in current if one.is_over(now)]:
                current.remove(one)
                for fd in one.open:
                    poll.unregister(fd)
                    del running[fd]
                one.close()
                yield one.ended()
    finally:
        with Held():
            for one in current:
                one.signal(15)
            deadline = time.monotonic() + GRACE
            while any(one.process.poll() is None for one in current) and time.monotonic() < deadline:
                time.sleep(0.01)
            for one in current:
                one.close()


def _close(one: _Running) -> None:
    assert one.process.stdin is not None
    try:
        one.process.stdin.close()
    except OSError:  # its reader has gone
        pass
