"""A process and everything it started, ended together.

Knows process groups and where Linux shows which process started which (proc(5)); must not know what the processes do, nor why they are
ended.

A child that called setsid(2) has left the group, and is still found by its parent. What cannot be found: a process whose parent had ended
before anybody looked (a daemon that forked twice: its parent is init by then), and anything outside the group where ``/proc`` is not
mounted. A process of another user (sudo) is found, and cannot be signalled without the right to.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIGKILL, SIGTERM, SIGSTOP = 9, 15, __import__("_signal").SIGSTOP  # a number of its own on each system


class ProcessTree:
    """The process ``pid``, which leads a process group, and its descendants.

    To be used by the parent of that process before it reaps it: until then no other process can get the same number.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descendants: dict[int, bytes] = {}  # pid -> start time, which tells it from a later process with the same number

    def terminate(self) -> None:
        """Send SIGTERM to the group, and remember the descendants: nothing leads to them once their parents have ended."""
        self._find(self._pid)
        _send(os.killpg, self._pid, SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the group and to every descendant, without waiting for them to end."""
        # A stopped process neither forks nor reaps, so when a search after stopping finds no new one, none is missing.
        stopped: set[int] = set()
        pending = {self._pid, *self._descendants}
        while pending:
            for pid in pending:
                self._signal(pid, SIGSTOP)
            stopped |= pending
            self._find(*stopped)
            pending = self._descendants.keys() - stopped
        kill_group(self._pid)
        for pid in stopped:
            self._signal(pid, SIGKILL)

    def _find(self, *roots: int) -> None:
        for pid in descendants(roots) - self._descendants.keys():
            self._descendants[pid] = _start_time(pid)

    def _signal(self, pid: int, number: int) -> None:
        if pid == self._pid or self._descendants[pid] == _start_time(pid):
            _send(os.kill, pid, number)


def kill_group(pid: int) -> None:
    """Send SIGKILL to a process and to the group it leads, if it leads one yet."""
    _send(os.killpg, pid, SIGKILL)
    _send(os.kill, pid, SIGKILL)


def _send(kill: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        kill(pid, number)
    except OSError:  # it has ended, or belongs to another user
        pass


def descendants(roots: Iterable[int], proc: str = "/proc") -> set[int]:
    """Processes that ``roots`` started, directly or not, without the roots; empty where ``proc`` does not say."""
    children = _listed_children if os.path.exists(f"{proc}/thread-self/children") else _children_by_parent(proc)
    pending, pids = list(roots), set(roots)
    while pending:
        new = set(children(pending.pop(), proc)) - pids
        pids |= new
        pending += new
    return pids.difference(roots)


def _listed_children(pid: int, proc: str) -> list[int]:
    """From kernels with CONFIG_PROC_CHILDREN, which nearly all distributions' are: a few reads, however many processes there are."""
    children: list[int] = []
    try:
        for thread in os.listdir(f"{proc}/{pid}/task"):
            children += map(int, _read(f"{proc}/{pid}/task/{thread}/children").split())
    except OSError:  # it has ended
        pass
    return children


def _children_by_parent(proc: str) -> Callable[[int, str], list[int]]:
    """From every other kernel: the parent of each process is field 4 of its ``stat``."""
    by_parent: dict[int, list[int]] = {}
    for name in os.listdir(proc) if os.path.isdir(proc) else ():
        fields = _stat(name, proc) if name.isdigit() else []
        if fields:
            by_parent.setdefault(int(fields[1]), []).append(int(name))
    return lambda pid, _: by_parent.get(pid, [])


def _start_time(pid: int) -> bytes:
    fields = _stat(str(pid), "/proc")
    return fields[19] if fields else b""


def _stat(pid: str, proc: str) -> list[bytes]:
    """The fields of ``stat`` from the third on (the second may hold blanks and parentheses); none when the process has ended."""
    try:
        return _read(f"{proc}/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return []


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
