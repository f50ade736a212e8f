"""Readings that change by themselves, as data: they are never among the configuration.

Knows their names; must not know how they are read. Two snapshots of one idle host would differ in these, so they are written only on
request, into a separate subtype.
"""

from __future__ import annotations

#: Sysctls, below /proc/sys: counters, sizes of caches, identifiers made anew, limits that the kernel adjusts itself. After the
#: kernel's Documentation/admin-guide/sysctl; of Lustre's network what shows its state.
VOLATILE_SYSCTLS = frozenset(
    (
        "fs/aio-nr",
        "fs/dentry-state",
        "fs/file-nr",
        "fs/inode-nr",
        "fs/inode-state",
        "fs/quota/allocated_dquots",
        "fs/quota/cache_hits",
        "fs/quota/drops",
        "fs/quota/free_dquots",
        "fs/quota/lookups",
        "fs/quota/reads",
        "fs/quota/syncs",
        "fs/quota/writes",
        "kernel/hung_task_detect_count",
        "kernel/hung_task_warnings",
        "kernel/ns_last_pid",
        "kernel/perf_event_max_sample_rate",
        "kernel/pty/nr",
        "kernel/random/boot_id",
        "kernel/random/entropy_avail",
        "kernel/random/uuid",
        "lnet/buffers",
        "lnet/lnet_memused",
        "lnet/nis",
        "lnet/peers",
        "lnet/routers",
        "lnet/stats",
        "net/netfilter/nf_conntrack_count",
    )
)

#: Folders below /proc/sys where all is of that kind: statistics of ZFS's memory.
VOLATILE_SYSCTL_FOLDERS = ("kernel/spl/kmem/",)

#: Parts that make a path below /proc/sys volatile: one per scheduling domain, one per count of RPC over RDMA.
VOLATILE_SYSCTL_PARTS = ("/max_newidle_lb_cost", "/rdma_stat_")

#: Properties of systemd units (org.freedesktop.systemd1(5)): what a unit uses, the status that a program reports, what its timer or
#: its socket counts. Limits and weights are configuration; the counts of what went wrong (NRestarts, OOMKills) and the times of
#: starts and stops change when something happens to a unit, and stay with it.
VOLATILE_UNIT_PROPERTIES = frozenset(
    [
        "CPUUsageNSec",
        "MemoryAvailable",
        "MemoryCurrent",
        "MemoryPeak",
        "MemorySwapCurrent",
        "MemorySwapPeak",
        "MemoryZSwapCurrent",
        "TasksCurrent",
        "IOReadBytes",
        "IOReadOperations",
        "IOWriteBytes",
        "IOWriteOperations",
        "IPEgressBytes",
        "IPEgressPackets",
        "IPIngressBytes",
        "IPIngressPackets",
        "NFileDescriptorStore",
        "StatusText",
        "WatchdogTimestamp",
        "WatchdogTimestampMonotonic",
        "NAccepted",
        "NConnections",
        "NRefused",
        "LastTriggerUSec",
        "LastTriggerUSecMonotonic",
        "NextElapseUSecMonotonic",
        "NextElapseUSecRealtime",
        "NCurrentlyActive",
    ]
)

#: Properties whose order is another after each start of systemd, which keeps them in hash tables (its src/basic/hashmap.c), and means
#: nothing: they are written in order of their text.
UNORDERED_UNIT_PROPERTIES = frozenset(
    [
        "After",
        "Before",
        "BindsTo",
        "BoundBy",
        "ConflictedBy",
        "Conflicts",
        "ConsistsOf",
        "JoinsNamespaceOf",
        "Names",
        "OnFailure",
        "OnFailureOf",
        "OnSuccess",
        "OnSuccessOf",
        "PartOf",
        "PropagatesReloadTo",
        "PropagatesStopTo",
        "Refs",
        "ReloadPropagatedFrom",
        "RequiredBy",
        "Requires",
        "RequiresMountsFor",
        "Requisite",
        "RequisiteOf",
        "SliceOf",
        "StopPropagatedFrom",
        "TriggeredBy",
        "Triggers",
        "UpheldBy",
        "Upholds",
        "WantedBy",
        "Wants",
        "WantsMountsFor",
    ]
)

#: Labels of nodes: when GPU Feature Discovery last looked.
VOLATILE_LABELS = frozenset(("nvidia.com/gfd.timestamp",))


def is_volatile_sysctl(path: str) -> bool:
    """Whether the file ``path``, given from /proc/sys on or in full, changes on its own.

    >>> is_volatile_sysctl("/proc/sys/kernel/random/uuid"), is_volatile_sysctl("vm/swappiness")
    (True, False)
    """
    short = path.removeprefix("/proc/sys/")
    if short in VOLATILE_SYSCTLS or short.startswith(VOLATILE_SYSCTL_FOLDERS):
        return True
    return VOLATILE_SYSCTL_PARTS[0] in short or VOLATILE_SYSCTL_PARTS[1] in short  # any() is slow, and this is called a thousand times
