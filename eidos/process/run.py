"""Programs: each with a deadline and bounded output, and when it is stopped, stopped with everything it started.

Knows processes, pipes and how a program is started and ended; must not know what is run, nor what its output means. Everything in eidos
that runs another program does it here: ``nvidia-smi``, credential plugins, ssh, shellcheck.

There is no shell: a command is a list of arguments. Each program leads a session of its own, without a terminal. One that ends by itself is
left alone with what it left in the background (ssh's ControlPersist, a browser that a login opened); such a process may hold its pipes
open, so the end of the program counts and not the end of its output. One that is stopped, because of its deadline, its output or a caller
that has lost interest, is stopped as a :class:`eidos.process.process_tree.ProcessTree`, which says what can be found and what cannot.

The deadline does not cover the start: execve(2) of a file on a mount that does not answer waits for the mount. Where that may happen, run
the program from a :class:`eidos.process.child.Child`.
"""

from __future__ import annotations

import errno
import os
import time

from eidos.errors import os_error_reason
from eidos.model.record import Record
from eidos.process.child import fill_standard_streams
from eidos.process.process_tree import ProcessTree
from eidos.process.signals import DeferredSignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from subprocess import Popen
    from typing import IO

#: Bytes of standard output that a program may print unless the caller says otherwise, and of its standard error that are remembered.
OUTPUT_LIMIT_BYTES, ERRORS_LIMIT_BYTES = 8 << 20, 64 << 10

#: Seconds that output may still arrive after the program has ended, and that a killed program gets to be gone.
DRAIN_S, REAP_S = 0.5, 0.5

#: Seconds between two looks at programs whose pipes are silent, and the first wait for one that has closed them.
SLICE_S, FIRST_PAUSE_S = 0.2, 0.001

#: What says that this machine has no room for another process: fork(2), pipe(2).
_NO_ROOM = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)

#: How running a program came out. It ended by itself; was stopped at its deadline, or because it printed too much; never started.
EXITED, TIMED_OUT, TOO_MUCH_OUTPUT, NOT_STARTED = "exited", "timed-out", "too-much-output", "not-started"


class Command(Record):
    """A program and its arguments, the name first; ``executable`` is its path where that is not the name.

    ``stdin`` is all that it can read, ``environ`` replaces our environment, ``label`` is the caller's.
    """

    arguments: tuple[str, ...]
    stdin: bytes = b""
    executable: str | None = None
    environ: Mapping[str, str] | None = None
    label: str = ""


class ProgramResult(Record):
    """What came of a command: ``outcome`` is one of :data:`EXITED`, :data:`TIMED_OUT`, :data:`TOO_MUCH_OUTPUT`, :data:`NOT_STARTED`.

    ``status`` is the exit status, or the number of the signal that ended it, negative. ``errors`` is the end of its standard error.
    """

    command: Command
    outcome: str
    status: int
    output: bytes = b""
    errors: bytes = b""
    start_error: OSError | ValueError | None = None

    @property
    def start_failure(self) -> str:
        """Why the program was not started, in the system's words; empty when it was."""
        return "" if self.start_error is None else os_error_reason(self.start_error)

    def error_text(self, *known: str) -> str:
        """What it printed on standard error, without what may be a secret; ``known`` are names of the caller's own, which stay."""
        from eidos.redact.secrets_in_text import redact_output

        return redact_output(self.errors, *known)

    @property
    def shell_status(self) -> int:
        """The status as a shell gives it: 128 and the signal's number."""
        return self.status if self.status >= 0 else 128 - self.status


def find_program(name: str, environ: Mapping[str, str]) -> str | None:
    """The path of an executable file, or None; folders of PATH that are relative do not count."""
    import shutil

    folders = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]
    return shutil.which(name, path=os.pathsep.join(folders))


def run_program(command: Command, deadline: float, output_limit_bytes: int = OUTPUT_LIMIT_BYTES) -> ProgramResult:
    """Run one program until ``deadline``, in seconds of ``time.monotonic()``."""
    results = run_programs([command], timeout_s=deadline - time.monotonic(), output_limit_bytes=output_limit_bytes)
    try:
        return next(results)
    finally:
        results.close()


def run_programs(
    commands: Iterable[Command], *, timeout_s: float, parallel: int = 1, output_limit_bytes: int = OUTPUT_LIMIT_BYTES, grace_s: float = 0.0
) -> Generator[ProgramResult, None, None]:
    """Run commands, at most ``parallel`` at a time, and yield a result as each ends.

    ``timeout_s`` is for each, from its start; ``grace_s`` is what it gets between SIGTERM and SIGKILL when it is stopped. Closing the
    generator stops all that are running. When the machine has no room for another process, a command waits for one to end.
    """
    import select

    waiting = iter(commands)
    postponed: Command | None = None
    poll = select.poll()
    by_fd: dict[int, _Running] = {}
    running: list[_Running] = []
    try:
        while True:
            while len(running) < parallel:
                command, postponed = postponed or next(waiting, None), None
                if command is None:
                    break
                try:
                    with DeferredSignals():  # what was started is among those that are stopped, whatever comes in between
                        program = _Running(command, time.monotonic() + timeout_s, output_limit_bytes, grace_s)
                        running.append(program)
                except (OSError, ValueError) as fault:
                    if running and getattr(fault, "errno", None) in _NO_ROOM:
                        postponed, parallel = command, len(running)
                        break
                    yield ProgramResult(command, NOT_STARTED, 127, start_error=fault)
                    continue
                for fd in program.pipes:
                    by_fd[fd] = program
                    poll.register(fd, select.POLLOUT if fd == program.stdin else select.POLLIN)
            if not running:
                return
            now = time.monotonic()
            for fd, _ in poll.poll(min(program.pause_s(now) for program in running) * 1000):
                if not by_fd[fd].transfer(fd):
                    poll.unregister(fd)
                    by_fd.pop(fd).close_pipe(fd)
            for program in [program for program in running if program.is_over()]:
                running.remove(program)
                for fd in program.pipes:
                    poll.unregister(fd)
                    del by_fd[fd]
                yield program.close()
    finally:
        with DeferredSignals():
            _stop(running, grace_s)


def _stop(running: list[_Running], grace_s: float) -> None:
    """Stop programs whose results are not wanted any more."""
    for program in running:
        program.stop(TIMED_OUT)
    _wait(running, grace_s)
    for program in running:
        program.kill()
    _wait(running, REAP_S)
    for program in running:
        program.close()


def _wait(running: list[_Running], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not all(program.has_exited() for program in running) and time.monotonic() < until:
        time.sleep(0.005)


class _Running:
    """A program that was started; it may still run, or have ended and not been reaped."""

    def __init__(self, command: Command, deadline: float, output_limit_bytes: int, grace_s: float) -> None:
        """Start it. Raises OSError, or ValueError for an argument with a NUL."""
        import subprocess

        fill_standard_streams()
        pipe = subprocess.PIPE
        self._process: Popen[bytes] = subprocess.Popen(
            command.arguments,
            executable=command.executable,
            env=command.environ,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        self._tree = ProcessTree(self._process.pid)
        self._command, self._deadline, self._limit_bytes, self._grace_s = command, deadline, output_limit_bytes, grace_s
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        self.pipes: dict[int, IO[bytes]] = {stream.fileno(): stream for stream in streams if stream}
        self.stdin, self._stdout, self._stderr = self.pipes
        self._unsent = memoryview(command.stdin)
        self._output, self._errors = bytearray(), bytearray()
        self._outcome = EXITED
        self._exited_at: float | None = None
        self._stopped_at: float | None = None
        self._is_killed = False
        self._pause_s = FIRST_PAUSE_S
        for fd in self.pipes:
            os.set_blocking(fd, False)

    def pause_s(self, now: float) -> float:
        """Seconds that may pass until the next look, if no pipe is ready before."""
        pause_s = SLICE_S
        if self._stdout not in self.pipes:  # it will end in a moment, and no pipe says when
            pause_s = self._pause_s = min(2 * self._pause_s, SLICE_S)
        until = self._deadline if self._stopped_at is None else self._stopped_at + self._grace_s
        return min(pause_s, until - now) if until > now else pause_s

    def transfer(self, fd: int) -> bool:
        """Write or read what a pipe is ready for; False when the pipe is of no more use."""
        try:
            if fd == self.stdin:
                if self._unsent:
                    self._unsent = self._unsent[os.write(fd, self._unsent[: 1 << 16]) :]
                return bool(self._unsent)
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        except OSError:  # the other end is closed
            return False
        if fd == self._stderr:
            self._errors += data
            del self._errors[:-ERRORS_LIMIT_BYTES]
        elif self._outcome != TOO_MUCH_OUTPUT:
            self._output += data
            if len(self._output) > self._limit_bytes:
                self._output.clear()
                self.stop(TOO_MUCH_OUTPUT)
        return bool(data)

    def close_pipe(self, fd: int) -> None:
        """Close one of :attr:`pipes`."""
        try:
            self.pipes.pop(fd).close()
        except OSError:  # what was not written is lost
            pass

    def has_exited(self) -> bool:
        """Whether the process has ended; it is not reaped, where the system allows, and so its number stays its own."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._process.poll() is not None
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else reaped it
            return True

    def is_over(self) -> bool:
        """Whether there is nothing more to wait for; stops the program when its time is over."""
        now = time.monotonic()
        if self._exited_at is None and self.has_exited():
            self._exited_at = now
        if self._exited_at is not None:
            return self._outcome != EXITED or self._stdout not in self.pipes or now - self._exited_at > DRAIN_S
        if now >= self._deadline:
            self.stop(TIMED_OUT)
        if self._stopped_at is None:
            return False
        if now >= self._stopped_at + self._grace_s:
            self.kill()
        return now > self._stopped_at + self._grace_s + REAP_S  # stuck in the kernel: it may never end

    def stop(self, outcome: str) -> None:
        """Begin to end the program and what it started; again changes nothing."""
        if self._stopped_at is None:
            self._outcome, self._stopped_at = outcome, time.monotonic()
            if self._grace_s:
                self._tree.terminate()
            else:
                self.kill()

    def kill(self) -> None:
        """Kill the program and what it started; again changes nothing."""
        if not self._is_killed:
            self._is_killed = True
            self._tree.kill()

    def close(self) -> ProgramResult:
        """Kill what is left of a program that was stopped, close its pipes and reap it."""
        if self._stopped_at is not None:
            self.kill()
        for _ in range(16):  # what is left in the pipe; a process that inherited it may write for ever
            if self._stderr in self.pipes and not self.transfer(self._stderr):
                break
        for fd in tuple(self.pipes):
            self.close_pipe(fd)
        status = self._process.poll()
        if status is None:  # stuck in the kernel: it is left behind
            status = self._process.returncode = -9
        return ProgramResult(self._command, self._outcome, status, bytes(self._output), bytes(self._errors))
