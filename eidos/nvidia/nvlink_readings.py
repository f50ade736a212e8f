"""What NVML tells of the links between GPUs: NVLink peers and errors, C2C, who reaches whom, and power profiles.

Knows the calls, their enumerations and how a link's answers become one reading of its GPU; must not know what becomes of a call that fails.
The rows go into :data:`eidos.nvidia.nvml_readings.CONFIGURATION` and ``VOLATILE``. Enumerations are those of nvml.h (CUDA 13).
"""

from __future__ import annotations

from eidos.errors import NvmlError
from eidos.nvidia.gpu_values import NoReading, normalize_bus_id, word_of
from eidos.nvidia.nvml import ABSENT_STATUSES, FUNCTION_NOT_FOUND, INVALID_ARGUMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from eidos.nvidia.gpu_values import GpuValue
    from eidos.nvidia.nvml import Nvml

#: nvmlIntNvLinkDeviceType_t.
PEER_TYPES = {0: "GPU", 1: "IBM NPU", 2: "switch", 255: "unknown"}

#: nvmlGpuP2PStatus_t, and the indexes of nvmlGpuP2PCapsIndex_t that are read (the bindings have the first as a tuple, by mistake).
P2P_STATES = {
    0: "ok",
    1: "chipset not supported",
    2: "GPU not supported",
    3: "topology not supported",
    4: "disabled by registry key",
    5: "not supported",
    6: "unknown",
}
P2P_CAPABILITIES = {"p2p.read": 0, "p2p.write": 1, "p2p.nvlink": 2, "p2p.atomics": 3}

#: nvmlGpuTopologyLevel_t: the nearest thing that two GPUs share.
TOPOLOGY_LEVELS = {0: "same board", 10: "one switch", 20: "several switches", 30: "host bridge", 40: "NUMA node", 50: "across NUMA nodes"}

#: NVML_POWER_PROFILE_*.
POWER_PROFILES = [
    *("max-p", "max-q", "compute", "memory-bound", "network", "balanced", "llm-inference", "llm-training", "rbm", "dcpcie"),
    *("hmma-sparse", "hmma-dense", "sync-balanced", "hpc", "mig", "max-q-1", "network-bound", "high-throughput-inference"),
    *("medium-throughput-inference", "low-latency-inference", "training", "inference", "max-q-2", "max-q-3", "low-priority-background"),
]

#: nvmlNvLinkErrorCounter_t, of GPUs before Blackwell, and NVML_FI_DEV_NVLINK_COUNT_*, of those since.
ERROR_COUNTERS = {"nvlink.errors.replay": 0, "nvlink.errors.recovery": 1, "nvlink.errors.crc-flit": 2, "nvlink.errors.crc-data": 3}
ERROR_FIELDS = {
    "nvlink.errors.receive": 208,
    "nvlink.errors.receive-remote": 209,
    "nvlink.errors.local-integrity": 211,
    "nvlink.errors.transmit-discards": 212,
    "nvlink.errors.link-recovery-successful": 213,
    "nvlink.errors.link-recovery-failed": 214,
    "nvlink.errors.effective": 219,
    "nvlink.errors.symbol": 221,
}

#: NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON, NVML_FI_DEV_C2C_LINK_COUNT, NVML_FI_DEV_C2C_LINK_ERROR_INTR and _REPLAY.
LINK_SPEED, C2C_LINKS, C2C_ERRORS = 90, 170, {"c2c.errors.interrupt": 231, "c2c.errors.replay": 232}

#: NVML_CC_SYSTEM_ENVIRONMENT_*, and the states of the feature and of its development tools.
ENVIRONMENTS = {0: "unavailable", 1: "simulation", 2: "production"}
_STATES = {0: "Disabled", 1: "Enabled"}

_MAXIMUM_LINKS = 36  # NVML_NVLINK_MAX_LINKS


def optional_field(number: int) -> Callable[[Nvml, Any], Sequence[GpuValue]]:
    """Read a field value that a driver may not know: it answers that the argument is invalid."""

    def read(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
        try:
            return (nvml.field_value(gpu, number),)
        except NvmlError as fault:
            if fault.status != INVALID_ARGUMENT:
                raise
            return (NoReading("not known to this driver"),)

    return read


def peers(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    """What the links that are up lead to: ``switch 0000:06:00.0 x9, switch 0000:07:00.0 x9``."""
    counts: dict[str, int] = {}
    for link in _links_up(nvml, gpu):
        kind = word_of(PEER_TYPES, nvml.call("nvmlDeviceGetNvLinkRemoteDeviceType", gpu, link))
        try:
            raw = nvml.bytes_of(nvml.call("nvmlDeviceGetNvLinkRemotePciInfo", gpu, link), "busId")
            address = normalize_bus_id(raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")) or ""
        except NvmlError as fault:
            if fault.status not in ABSENT_STATUSES:
                raise
            address = ""
        name = f"{kind} {address}" if address and address != "0000:00:00.0" else kind
        counts[name] = counts.get(name, 0) + 1
    if not counts:
        return (NoReading("no link is up"),)
    return (", ".join(f"{name} x{count}" for name, count in sorted(counts.items())),)


def error_counters(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    """The sum of each error over all links, then the links that have any."""
    sums, links = _sum_of_links(nvml, gpu, ERROR_COUNTERS, lambda link, kind: nvml.call("nvmlDeviceGetNvLinkErrorCounter", gpu, link, kind))
    return (*sums, " ".join(map(str, links)) or "none")


def error_fields(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    """The sum of each newer error over all links."""
    return _sum_of_links(nvml, gpu, ERROR_FIELDS, lambda link, number: nvml.field_value(gpu, (number, link)))[0]


def c2c_errors(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    """The sum of each error over the links between CPU and GPU."""
    (links,) = optional_field(C2C_LINKS)(nvml, gpu)
    if not isinstance(links, int) or not links:
        return (NoReading("no C2C links"),) * len(C2C_ERRORS)
    return tuple(sum(int(nvml.field_value(gpu, (number, link))) for link in range(min(links, 64))) for number in C2C_ERRORS.values())


def power_profiles(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    """The workload power profiles that were requested, and those that are enforced."""
    profiles = nvml.power_profiles(gpu)
    return tuple(_profile_names(bytes(mask)) for mask in (profiles.requestedProfilesMask, profiles.enforcedProfilesMask))


def driver_branch(nvml: Nvml) -> GpuValue:
    """The branch that the driver was built from: ``r570_00``."""
    raw = nvml.bytes_of(nvml.call("nvmlSystemGetDriverBranch"), "branch")
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace") or NoReading("empty")


def confidential_compute(nvml: Nvml) -> dict[str, GpuValue]:
    """Whether confidential computing is on, in which environment, and whether its development tools are."""
    state = nvml.call("nvmlSystemGetConfComputeState")
    return {
        "confidential-compute.state": word_of(_STATES, state.ccFeature),
        "confidential-compute.environment": word_of(ENVIRONMENTS, state.environment),
        "confidential-compute.development-tools": word_of(_STATES, state.devToolsMode),
    }


def reach(nvml: Nvml, gpus: Mapping[int, Any], index: int) -> dict[str, GpuValue]:
    """How GPU ``index`` reaches each other: for each capability and for the topology, ``state: GPUs; state: GPUs``."""
    answers: dict[str, GpuValue] = {}
    for key, number in P2P_CAPABILITIES.items():
        answers[key] = _matrix_row(
            gpus, index, P2P_STATES, lambda one, other, number=number: nvml.call("nvmlDeviceGetP2PStatus", one, other, number)
        )
    answers["topology"] = _matrix_row(
        gpus, index, TOPOLOGY_LEVELS, lambda one, other: nvml.call("nvmlDeviceGetTopologyCommonAncestor", one, other)
    )
    return answers


def _matrix_row(gpus: Mapping[int, Any], index: int, words: Mapping[int, str], ask: Callable[..., int]) -> GpuValue:
    states: dict[str, list[int]] = {}
    try:
        for other, gpu in gpus.items():
            if other != index:
                states.setdefault(word_of(words, ask(gpus[index], gpu)), []).append(other)
    except NvmlError as fault:
        return NoReading(fault.message, is_unreadable=fault.status not in ABSENT_STATUSES)
    return "; ".join(f"{state}: {' '.join(map(str, others))}" for state, others in states.items())


def _links_up(nvml: Nvml, gpu: Any) -> list[int]:
    up = []
    for link in range(_MAXIMUM_LINKS):
        try:
            if nvml.call("nvmlDeviceGetNvLinkState", gpu, link) == 1:
                up.append(link)
        except NvmlError as fault:
            if fault.status == INVALID_ARGUMENT and link:
                break  # beyond the last
            if fault.status not in ABSENT_STATUSES or fault.status == FUNCTION_NOT_FOUND:
                raise
    return up


def _sum_of_links(
    nvml: Nvml, gpu: Any, rows: Mapping[str, int], ask: Callable[[int, int], int | float]
) -> tuple[list[GpuValue], list[int]]:
    """The sum of each row over the links that are up, and the links for which one is not zero."""
    up = _links_up(nvml, gpu)
    if not up:
        return [NoReading("no link is up")] * len(rows), []
    sums: list[GpuValue] = []
    links: set[int] = set()
    for number in rows.values():
        total = 0
        try:
            for link in up:
                count = int(ask(link, number))
                total += count
                links.update([link] if count else [])
        except NvmlError as fault:
            is_absent = fault.status in ABSENT_STATUSES or (fault.status == INVALID_ARGUMENT and rows is ERROR_FIELDS)
            sums.append(NoReading(fault.message, is_unreadable=not is_absent))
        else:
            sums.append(total)
    return sums, sorted(links)


def _profile_names(mask: bytes) -> str:
    """The names of the bits of an nvmlMask255_t: eight words of 32 bits.

    >>> _profile_names(bytes([5]) + bytes(31)), _profile_names(bytes(32)), _profile_names(bytes(31) + bytes([64]))
    ('max-p compute', 'none', '254')
    """
    import sys

    bits = [
        word * 32 + bit
        for word in range(len(mask) // 4)
        for bit in range(32)
        if int.from_bytes(mask[word * 4 : word * 4 + 4], sys.byteorder) >> bit & 1
    ]
    return " ".join(POWER_PROFILES[bit] if bit < len(POWER_PROFILES) else str(bit) for bit in bits) or "none"
