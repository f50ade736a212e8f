"""Process metrics from ``/proc``: processor time, memory, descriptors.

Knows ``proc(5)`` and the names of Prometheus' client libraries (documentation, "Writing client libraries", process metrics);
must not know what the processes do.

Several processes are one service, so processor time, memory and threads are summed over them (a shared page counts once in each: the
real usage is lower). Descriptors are those of the process with the most, because the limit is per process.
"""

from __future__ import annotations

import os

from eidos.model.record import Record
from eidos.telemetry.metrics import MetricFamily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.telemetry.metrics import MetricRegistry


class ProcessStats(Record):
    """One process: processor time (``children_cpu_s``: of children that were waited for), memory, threads, start after boot."""

    cpu_s: float
    children_cpu_s: float
    virtual_bytes: float
    resident_bytes: float
    threads: float
    start_s: float


def read_process_stats(pid: int) -> ProcessStats | None:
    """The statistics of a process, or None when it does not exist or may not be read (``proc(5)``, ``/proc/pid/stat``)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read(4096).rpartition(b")")[2].split()
        utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
        threads, start, virtual, pages = (int(fields[at]) for at in (17, 19, 20, 21))
    except (OSError, ValueError, IndexError):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    return ProcessStats((utime + stime) / tick, (cutime + cstime) / tick, float(virtual), float(resident), float(threads), start / tick)


def count_open_fds(pid: int) -> int | None:
    """How many descriptors a process has open, or None when that may not be read."""
    folder = f"/proc/{pid}/fd"
    try:
        # Since Linux 6.2 the size of the folder is their number; listing thousands takes as long as serving a hundred requests.
        return os.stat(folder).st_size or len(os.listdir(folder))
    except OSError:
        return None


def fd_limit() -> float | None:
    """How many descriptors this process and its forks may have open; None without a limit."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else float(limit)


def register_process_metrics(metrics: MetricRegistry, workers: int = 0) -> None:
    """Add ``process_*`` of all processes of ``metrics`` to its text, and the memory of each of the first ``workers`` slots."""
    booted = _boot_time()

    def collect() -> Iterator[MetricFamily]:
        # The parent is read first: the time of a child that exits meanwhile is then missed rather than counted twice.
        owner = read_process_stats(metrics.owner)
        slots = metrics.slot_pids()
        by_pid = {pid: stats for pid in slots if pid and pid != metrics.owner and (stats := read_process_stats(pid)) is not None}
        processes = [*([owner] if owner else []), *by_pid.values()]
        if not processes:
            return
        seconds = metrics.shared_maximum(sum(stats.cpu_s for stats in processes) + (owner.children_cpu_s if owner else 0.0))
        yield MetricFamily("process_cpu_seconds_total", "counter", "CPU time of all processes.", (("", (), seconds),))
        resident = sum(stats.resident_bytes for stats in processes)
        yield _gauge("process_resident_memory_bytes", "Resident memory of all processes; shared pages count in each.", resident)
        yield _gauge("process_virtual_memory_bytes", "Virtual memory of all processes.", sum(stats.virtual_bytes for stats in processes))
        yield _gauge("process_threads", "Threads of all processes.", sum(stats.threads for stats in processes))
        if booted is not None:
            first = booted + min(stats.start_s for stats in processes)
            yield _gauge("process_start_time_seconds", "Start time of the first process, in seconds since 1970.", first)
        open_fds = [count for pid in {metrics.owner, *by_pid} if (count := count_open_fds(pid)) is not None]
        if open_fds:
            yield _gauge("process_open_fds", "Open file descriptors of the process with the most.", max(open_fds))
        limit = fd_limit()
        if limit is not None:
            yield _gauge("process_max_fds", "Maximum file descriptors of each process.", limit)
        if workers:
            by_slot = [(slot, by_pid.get(pid, owner)) for slot, pid in enumerate(slots[:workers]) if pid]
            samples = tuple(("", (("worker", str(slot)),), stats.resident_bytes) for slot, stats in by_slot if stats)
            yield MetricFamily(
                "eidos_worker_resident_memory_bytes", "gauge", "Resident memory of each worker; shared pages count in each.", samples
            )

    metrics.add_callback(collect)


def _gauge(name: str, help: str, value: float) -> MetricFamily:
    return MetricFamily(name, "gauge", help, (("", (), float(value)),))


def _boot_time() -> float | None:
    """When the system booted, in seconds since 1970 (``proc(5)``, ``/proc/stat``, btime)."""
    try:
        with open("/proc/stat", "rb") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith(b"btime ")), None)
