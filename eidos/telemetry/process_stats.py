"""What the processes of a program cost: processor time, memory, descriptors, from ``/proc``.

Knows ``proc(5)`` and the names that Prometheus' client libraries give (documentation, "Writing client libraries", process metrics);
must not know what the processes do.

Several processes are one service, so processor time, memory and threads are summed over them (pages that they share count once in
each: the truth is below the sum). Descriptors are those of the process with the most, because a limit holds for each process alone.
"""

from __future__ import annotations

import os

from eidos.model.record import Record
from eidos.telemetry.metrics import Family

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.telemetry.metrics import Metrics


class Cost(Record):
    """One process: seconds of processor time (``reaped``: of children that ended), bytes, threads, start in seconds since boot."""

    seconds: float
    reaped: float
    virtual: float
    resident: float
    threads: float
    start: float


def cost(pid: int, proc: str = "/proc") -> Cost | None:
    """What a process costs, or None when there is none, or it may not be looked at (``proc(5)``, ``/proc/pid/stat``)."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            fields = file.read(4096).rpartition(b")")[2].split()
        utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
        threads, start, virtual, pages = (int(fields[at]) for at in (17, 19, 20, 21))
    except (OSError, ValueError, IndexError):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    return Cost((utime + stime) / tick, (cutime + cstime) / tick, float(virtual), float(resident), float(threads), start / tick)


def descriptors(pid: int, proc: str = "/proc") -> int | None:
    """How many descriptors a process has open, or None when nobody may know."""
    folder = f"{proc}/{pid}/fd"
    try:
        # Since Linux 6.2 the size of the folder is their number; listing thousands takes as long as a hundred requests.
        return os.stat(folder).st_size or len(os.listdir(folder))
    except OSError:
        return None


def most_descriptors() -> float | None:
    """How many descriptors this process may have open, and so may those it forked; None when any number."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else float(limit)


def watch(metrics: Metrics, workers: int = 0) -> None:
    """Add ``process_*`` of all processes of ``metrics`` to its text; with ``workers`` also the memory of the first so many slots."""
    started = _boot()

    def read() -> Iterator[Family]:
        # The parent first: what a child that ends meanwhile has used is missed then, rather than counted twice.
        owner = cost(metrics.owner)
        slots = metrics.processes()
        by_pid = {pid: found for pid in slots if pid and pid != metrics.owner and (found := cost(pid)) is not None}
        everybody = [*([owner] if owner else []), *by_pid.values()]
        if not everybody:
            return
        seconds = sum(found.seconds for found in everybody) + (owner.reaped if owner else 0.0)
        yield _one("process_cpu_seconds_total", "counter", "Processor time of all processes.", metrics.highest(seconds))
        yield _one("process_resident_memory_bytes", "gauge", "Memory of all processes, shared pages in each.", _sum(everybody, "resident"))
        yield _one("process_virtual_memory_bytes", "gauge", "Address space of all processes.", _sum(everybody, "virtual"))
        yield _one("process_threads", "gauge", "Threads of all processes.", _sum(everybody, "threads"))
        if started is not None:
            first = started + min(found.start for found in everybody)
            yield _one("process_start_time_seconds", "gauge", "When the first process began, since 1970.", first)
        opened = [count for pid in {metrics.owner, *by_pid} if (count := descriptors(pid)) is not None]
        if opened:
            yield _one("process_open_fds", "gauge", "Descriptors of the process that has the most.", max(opened))
        most = most_descriptors()
        if most is not None:
            yield _one("process_max_fds", "gauge", "Descriptors that each process may have.", most)
        if workers:
            known = [(slot, by_pid.get(pid, owner)) for slot, pid in enumerate(slots[:workers]) if pid]
            samples = tuple(("", (("worker", str(slot)),), found.resident) for slot, found in known if found)
            yield Family("eidos_worker_resident_memory_bytes", "gauge", "Memory of each worker, shared pages in each.", samples)

    metrics.also(read)


def _sum(costs: list[Cost], field: str) -> float:
    return float(sum(getattr(found, field) for found in costs))


def _one(name: str, kind: str, help: str, value: float) -> Family:
    return Family(name, kind, help, (("", (), float(value)),))


def _boot(proc: str = "/proc") -> float | None:
    """When the system began, in seconds since 1970 (``proc(5)``, ``/proc/stat``, btime)."""
    try:
        with open(f"{proc}/stat", "rb") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith(b"btime ")), None)
