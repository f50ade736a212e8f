"""Programs that hang, flood, fork, vanish or never start: each costs its own result and no more, and nothing that was stopped is left."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eidos.process.run import (
    ERRORS_LIMIT_BYTES,
    EXITED,
    NOT_STARTED,
    TIMED_OUT,
    TOO_MUCH_OUTPUT,
    Command,
    ProgramResult,
    run_program,
    run_programs,
)
from tests.process.test_child import wait_until_gone
from tests.support.waiting import AMPLE_S, DEADLINES_S, until


def sh(script: str, *arguments: str, stdin: bytes = b"", label: str = "") -> Command:
    return Command(("sh", "-c", script, "sh", *arguments), stdin, label=label)


def run(command: Command, timeout_s: float = AMPLE_S, limit_bytes: int = 1 << 20) -> ProgramResult:
    return run_program(command, time.monotonic() + timeout_s, limit_bytes)


def read_pids(path: Path, count: int) -> list[int]:
    return [int(line) for line in path.read_text().split()[:count]]


def started(path: Path, count: int) -> list[int]:
    """Process ids that a program has written, once there are as many."""
    until(lambda: has_written(path, count))
    return read_pids(path, count)


def has_written(path: Path, count: int) -> bool:
    return path.exists() and len(path.read_text().split()) >= count


@pytest.mark.parametrize(
    ("script", "status", "shell_status"), [("exit 0", 0, 0), ("exit 14", 14, 14), ("kill -9 $$", -9, 137), ("kill -TERM $$", -15, 143)]
)
def test_a_program_that_ends_by_itself(script: str, status: int, shell_status: int) -> None:
    result = run(sh(f"echo out; echo err >&2; {script}"))
    assert (result.outcome, result.output, result.errors) == (EXITED, b"out\n", b"err\n")
    assert (result.status, result.shell_status) == (status, shell_status)


def test_executable_environment_and_arguments_are_the_callers() -> None:
    command = Command(("a name", "-c", 'echo "$0 $1 $A $HOME"', "a b", "c"), executable="/bin/sh", environ={"A": "é"})
    assert run(command).output.decode() == "a b c é \n"


def test_it_has_no_terminal_and_a_session_of_its_own() -> None:
    result = run(sh("read x </dev/tty; echo $?; cut -d' ' -f5,6 /proc/self/stat; echo $$"))
    words = result.output.split()
    assert words[0] != b"0"
    assert words[1:3] == [words[3], words[3]]


@pytest.mark.parametrize("size", [0, 1, 1 << 16, 3_000_000])
def test_what_it_is_fed_comes_back(size: int) -> None:
    text = os.urandom(size)
    result = run(Command(("cat",), text), limit_bytes=size)
    assert (result.outcome, result.status, result.output) == (EXITED, 0, text)


@pytest.mark.parametrize(
    "script", ["exec 0<&-; echo done", "true; echo done", "exec 0<&-; sleep 0.2; echo done", "head -c 1 >/dev/null; echo done"]
)
def test_a_program_that_does_not_read_what_it_is_fed(script: str) -> None:
    result = run(sh(script, stdin=bytes(1 << 20)))
    assert (result.outcome, result.status, result.output) == (EXITED, 0, b"done\n")


def test_one_that_closes_its_output_is_waited_for() -> None:
    result = run(sh("exec 1>&- 2>&-; sleep 0.3; exit 5"))
    assert (result.outcome, result.status) == (EXITED, 5)


def test_of_errors_the_end_is_remembered() -> None:
    result = run(sh("seq 1 200000 >&2; echo the end >&2"))
    assert result.errors.endswith(b"200000\nthe end\n")
    assert len(result.errors) == ERRORS_LIMIT_BYTES


@pytest.mark.parametrize("script", ["yes", "yes & wait", "trap '' TERM; yes", "head -c 100001 /dev/zero; sleep 600"])
def test_a_flood_of_output_is_cut_off(script: str, tmp_path: Path) -> None:
    began = time.monotonic()
    result = run(sh(f"echo $$ >$1; {script}", str(tmp_path / "pids")), limit_bytes=100_000)
    assert (result.outcome, result.output) == (TOO_MUCH_OUTPUT, b"")
    assert time.monotonic() - began < AMPLE_S
    assert all(map(wait_until_gone, read_pids(tmp_path / "pids", 1)))


def test_output_up_to_the_limit_is_none() -> None:
    assert run(sh("head -c 100000 /dev/zero"), limit_bytes=100_000).output == bytes(100_000)


#: A program that writes its process id into a file, starts itself as the next word says, and stays.
TREE = """#!/bin/sh
echo $$ >>"$1"
[ $# -gt 1 ] || exec sleep 600
pids=$1 how=$2
shift 2
case $how in
    deaf) trap '' TERM HUP INT; "$0" "$pids" "$@" & ;;
    child) "$0" "$pids" "$@" & ;;
    session) setsid "$0" "$pids" "$@" & ;;
esac
wait
sleep 600
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.write_text(TREE)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("grace_s", [0.0, 0.2])
@pytest.mark.parametrize("words", ["", "child", "deaf", "session", "child session", "session session child", "deaf session deaf session"])
def test_what_is_late_is_killed_with_all_that_it_started(tree: Path, words: str, grace_s: float) -> None:
    pids, count = tree.with_name("pids"), 1 + len(words.split())
    for deadline_s in DEADLINES_S:
        pids.unlink(missing_ok=True)
        (result,) = run_programs([Command((str(tree), str(pids), *words.split()))], timeout_s=deadline_s, grace_s=grace_s)
        assert result.outcome == TIMED_OUT
        if has_written(pids, count):
            break
    assert result.status in (-9, -15)
    assert all(map(wait_until_gone, started(pids, count)))


#: A program that stays when it is killed, as one does that waits for a file server: a daemon of its own traces it and does not let go.
UNKILLABLE = """
import ctypes, os, sys, time
libc, pid = ctypes.CDLL(None), os.getpid()
libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    for fd in (0, 1, 2):
        os.close(fd)
    is_seized = libc.ptrace(0x4206, pid, None, None) == 0  # PTRACE_SEIZE
    open(sys.argv[1], "w").write(f"{pid} {is_seized} {os.getpid()}")
    time.sleep(600)
os.wait()
time.sleep(600)
"""


def test_one_that_cannot_be_killed_is_left(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    for deadline_s in DEADLINES_S:
        began = time.monotonic()
        result = run(Command((sys.executable, "-c", UNKILLABLE, str(path))), timeout_s=deadline_s)
        assert time.monotonic() - began < AMPLE_S
        if has_written(path, 3):
            break
    pid, is_seized, tracer = path.read_text().split()
    try:
        if is_seized != "True":
            pytest.skip("no process may trace another here")
        assert (result.outcome, result.status) == (TIMED_OUT, -9)
        assert Path(f"/proc/{pid}").exists()
    finally:
        os.kill(int(tracer), signal.SIGKILL)


def test_one_that_ends_on_sigterm_reports_its_output() -> None:
    for deadline_s in DEADLINES_S:
        (result,) = run_programs([sh("trap 'echo bye; exit 3' TERM; echo hello; sleep 600 & wait")], timeout_s=deadline_s, grace_s=AMPLE_S)
        if result.output:
            break
    assert (result.outcome, result.status, result.output) == (TIMED_OUT, 3, b"hello\nbye\n")


def test_what_it_leaves_in_the_background_is_left_alone(tmp_path: Path) -> None:
    """It holds both pipes open for longer than anybody would wait."""
    path = tmp_path / "pids"
    result = run(sh("sleep 600 & echo $! >$1; echo done", str(path)))
    assert (result.outcome, result.status, result.output) == (EXITED, 0, b"done\n")
    (pid,) = read_pids(path, 1)
    os.kill(pid, 0)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "content", "mode", "words"),
    [
        ("missing", None, 0, "no such file or directory"),
        ("no-permission", b"#!/bin/sh\n", 0o644, "permission denied"),
        ("no-interpreter", b"#!/nonexistent/interpreter\n", 0o755, "no such file or directory"),
        ("no-program", b"\x7fELF", 0o755, "exec format error"),
        ("a\0b", None, 0, "null byte"),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, name: str, content: bytes | None, mode: int, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    result = run(Command((str(path),)))
    assert (result.outcome, result.output, result.errors) == (NOT_STARTED, b"", b"")
    assert words in result.start_failure


def test_many_run_at_once_and_come_as_they_end() -> None:
    commands = (sh(f"sleep {delay}; exit {number}", label=str(number)) for number, delay in enumerate((1.0, 0.5, 0.0)))
    results = list(run_programs(commands, timeout_s=AMPLE_S, parallel=3))
    assert sorted((result.command.label, result.status) for result in results) == [("0", 0), ("1", 1), ("2", 2)]


def test_no_more_than_parallel_run(tmp_path: Path) -> None:
    script = "mkdir $1/$$; ls $1 | wc -l; sleep 0.2; rmdir $1/$$"
    results = list(run_programs([sh(script, str(tmp_path)) for _ in range(9)], timeout_s=AMPLE_S, parallel=3))
    assert len(results) == 9
    assert max(int(result.output) for result in results) <= 3


def test_one_that_cannot_start_costs_the_others_nothing() -> None:
    commands = [sh("echo 1"), Command(("/nonexistent",)), sh("sleep 600"), sh("echo 2")]
    for deadline_s in DEADLINES_S:
        outcomes = [result.outcome for result in run_programs(commands, timeout_s=deadline_s, parallel=4)]
        if outcomes.count(TIMED_OUT) == 1:
            break
    assert sorted(outcomes) == sorted([EXITED, NOT_STARTED, TIMED_OUT, EXITED])


@pytest.mark.parametrize("grace_s", [0.0, 0.2])
def test_whoever_stops_listening_leaves_none_running(tree: Path, grace_s: float) -> None:
    pids = tree.with_name("pids")
    command = Command((str(tree), str(pids), "deaf", "session"))
    results = run_programs([sh("sleep 0.5"), command, command, command], timeout_s=AMPLE_S, parallel=4, grace_s=grace_s)
    next(results)
    expected = started(pids, 9)
    results.close()
    assert all(map(wait_until_gone, expected))


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """No room for more than ``count`` descriptors besides those that are open; what other tests closed among them is filled."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filling = [os.dup(0)]
    while filling[-1] <= highest:
        filling.append(os.dup(0))
    os.close(filling.pop())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in filling:
            os.close(fd)


def test_what_there_is_no_room_for_waits_for_another_to_end() -> None:
    with descriptors(12):
        results = list(run_programs([sh(f"echo {number}; sleep 0.1") for number in range(12)], timeout_s=AMPLE_S, parallel=12))
    assert {(result.outcome, result.status) for result in results} == {(EXITED, 0)}
    assert sorted(int(result.output) for result in results) == list(range(12))


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_without_any_room_it_says_so(count: int) -> None:
    open_before = os.listdir("/proc/self/fd")
    with descriptors(count):
        result = run(sh("true"))
    assert (result.outcome, result.start_failure) == (NOT_STARTED, "too many open files")
    assert set(os.listdir("/proc/self/fd")) <= set(open_before)


CLOSED_STREAMS = """
import os, sys, time
sys.path.insert(0, {root!r})
from eidos.process.run import Command, run_program
for fd in (0, 1, 2):
    os.close(fd)
result = run_program(Command(("sh", "-c", "cat; echo err >&2"), b"fed"), time.monotonic() + 60)
with open({out!r}, "w") as file:
    file.write(repr((result.outcome, result.status, result.output, result.errors)))
"""


def test_closed_standard_streams_do_no_harm(tmp_path: Path) -> None:
    root, out = str(Path(__file__).resolve().parents[2]), tmp_path / "out"
    assert run(Command((sys.executable, "-c", CLOSED_STREAMS.format(root=root, out=str(out))))).status == 0
    assert out.read_text() == "('exited', 0, b'fed', b'err\\n')"


def test_no_program_is_left_that_was_starting_when_a_signal_came(tmp_path: Path) -> None:
    """Each interrupts whoever starts the next, as near to its start as can be."""
    path = tmp_path / "pids"
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt):
            list(
                run_programs(
                    (sh("echo $$ >>$1; kill -INT $PPID; exec sleep 600", str(path)) for _ in range(12)), timeout_s=AMPLE_S, parallel=12
                )
            )
    assert all(map(wait_until_gone, read_pids(path, 1000)))
