"""Which reading of a GPU comes from which call of NVML.

Knows keys, calls and units; must not know what becomes of a call that fails.

:data:`CONFIGURATION` stays as it is on an idle host, :data:`VOLATILE` changes on its own. The current PCIe generation is volatile because
power management lowers it on an idle GPU; the width is not. A row has one key for each value that its call returns.
"""

from __future__ import annotations

from eidos.errors import NvmlError
from eidos.model.record import Record
from eidos.nvidia import nvlink_readings
from eidos.nvidia.gpu_values import (
    ADDRESSING_MODES,
    ARCHITECTURES,
    COMPUTE_MODES,
    FABRIC_CONFIGURATIONS,
    FABRIC_STATES,
    FABRIC_SUMMARIES,
    RECOVERY_ACTIONS,
    STATES,
    VIRTUALIZATION_MODES,
    NoReading,
    clock_event_names,
    word_of,
)
from eidos.nvidia.nvml import FUNCTION_NOT_FOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Callable

    from eidos.nvidia.gpu_values import GpuValue
    from eidos.nvidia.nvml import Nvml

    Read = Callable[[Nvml, Any], Sequence[GpuValue]]

_NOT_AVAILABLE = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # NVML_VALUE_NOT_AVAILABLE, 32 and 64 bits wide
_MIB = 1 << 20


class ReadingSource(Record):
    """``read(nvml, gpu)`` returns one value for each of ``keys``, or raises NvmlError for all of them."""

    keys: tuple[str, ...]
    read: Read


def driver_version(nvml: Nvml) -> str:
    """Return the version of the kernel module that answers (nvmlSystemGetDriverVersion)."""
    return str(nvml.call("nvmlSystemGetDriverVersion"))


def cuda_version(nvml: Nvml) -> str:
    """Return the newest CUDA version that the driver supports, ``12.8`` (nvmlSystemGetCudaDriverVersion_v2 returns 12080)."""
    number = int(nvml.call("nvmlSystemGetCudaDriverVersion_v2"))
    return f"{number // 1000}.{number % 1000 // 10}"


def text(value: object) -> GpuValue:
    """Return a text unchanged."""
    return str(value)


def number(value: int) -> GpuValue:
    """Return an integer, unless it is NVML_VALUE_NOT_AVAILABLE."""
    return NoReading("not available") if value in _NOT_AVAILABLE else value


def mib(value: int) -> GpuValue:
    """Return bytes as MiB."""
    return NoReading("not available") if value in _NOT_AVAILABLE else value // _MIB


def watts(value: int) -> GpuValue:
    """Return milliwatts as watts with two decimals, as nvidia-smi prints them."""
    return NoReading("not available") if value in _NOT_AVAILABLE else round(value / 1000, 2)


def flag(value: int) -> GpuValue:
    """Return a C truth value as bool."""
    return value != 0


def one_of(words: Mapping[int, str]) -> Callable[[int], GpuValue]:
    """Return a converter from a value of an enumeration to its word."""
    return lambda value: word_of(words, value)


def call(name: str, convert: Callable[[Any], GpuValue], *args: int) -> Read:
    """Read one value with the call ``name``."""
    return lambda nvml, gpu: (convert(nvml.call(name, gpu, *args)),)


def calls(name: str, convert: Callable[[Any], GpuValue]) -> Read:
    """Read several values of one kind with the call ``name``."""
    return lambda nvml, gpu: tuple(convert(value) for value in nvml.call(name, gpu))


def field(number_of_field: int, convert: Callable[[Any], GpuValue]) -> Read:
    """Read one field value; one that this driver does not know is absent."""
    read = nvlink_readings.optional_field(number_of_field)
    return lambda nvml, gpu: tuple(value if isinstance(value, NoReading) else convert(value) for value in read(nvml, gpu))


def member(name: str, member_name: str, convert: Callable[[Any], GpuValue], *args: int) -> Read:
    """Read a structure with the call ``name``, and take one number of it."""
    return lambda nvml, gpu: (convert(getattr(nvml.call(name, gpu, *args), member_name)),)


def _architecture(value: int) -> GpuValue:
    return NoReading("unknown to this driver") if value in _NOT_AVAILABLE else word_of(ARCHITECTURES, value)


def _capability(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    major, minor = nvml.call("nvmlDeviceGetCudaComputeCapability", gpu)
    return (f"{major}.{minor}",)


def _pci(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    info = nvml.call("nvmlDeviceGetPciInfo", gpu)
    return (_ascii(nvml.bytes_of(info, "busId")), f"0x{info.pciDeviceId:08X}", f"0x{info.pciSubSystemId:08X}")


def _remapped_rows(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    correctable, uncorrectable, pending, failure = nvml.call("nvmlDeviceGetRemappedRows", gpu)
    return number(correctable), number(uncorrectable), flag(pending), flag(failure)


def _retired_pages(cause: int) -> Read:
    return lambda nvml, gpu: (len(nvml.call("nvmlDeviceGetRetiredPages", gpu, cause)),)


def _platform(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    info = nvml.platform_info(gpu)
    serial = _ascii(nvml.bytes_of(info, "chassisSerialNumber"))
    position = (nvml.bytes_of(info, name)[0] for name in ("slotNumber", "trayIndex", "hostId"))
    if not serial:
        # Without a chassis the driver still returns numbers (an H200 in a machine of its own: slot 0, tray 0, host 1), and nvidia-smi
        # prints N/A for each: they mean nothing.
        return (NoReading("empty"), *(NoReading("the driver reports no chassis"),) * 3)
    return (serial, *position)


def _fabric(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    info = nvml.fabric_info(gpu)
    none = NoReading("not supported")
    if info.state == 0:
        return (none,) * 10
    uuid = bytes(info.clusterUuid).hex()
    mask = info.healthMask
    summary = getattr(info, "healthSummary", 0)
    bandwidth, configuration = mask & 3, mask >> 8 & 15
    return (
        word_of(FABRIC_STATES, info.state),
        "Success" if info.status == 0 else f"NVML status {info.status}",
        info.cliqueId,
        "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:])),
        word_of(FABRIC_SUMMARIES, summary) if summary else none,
        word_of({1: "Degraded", 2: "Full"}, bandwidth) if bandwidth else none,
        *({1: True, 2: False}.get(mask >> shift & 3, none) for shift in (2, 4, 6)),
        word_of(FABRIC_CONFIGURATIONS, configuration) if configuration else none,
    )


def _clock_events(nvml: Nvml, gpu: Any) -> Sequence[GpuValue]:
    try:
        return (clock_event_names(nvml.call("nvmlDeviceGetCurrentClocksEventReasons", gpu)),)
    except NvmlError as fault:
        if fault.status != FUNCTION_NOT_FOUND:
            raise
        return (clock_event_names(nvml.call("nvmlDeviceGetCurrentClocksThrottleReasons", gpu)),)  # the name before driver 535


def _ascii(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace").strip()


CONFIGURATION: tuple[ReadingSource, ...] = (
    ReadingSource(("model",), call("nvmlDeviceGetName", text)),
    ReadingSource(("architecture",), call("nvmlDeviceGetArchitecture", _architecture)),
    ReadingSource(("compute-capability",), _capability),
    ReadingSource(("uuid",), call("nvmlDeviceGetUUID", text)),
    ReadingSource(("serial",), call("nvmlDeviceGetSerial", text)),
    ReadingSource(("board.part-number",), call("nvmlDeviceGetBoardPartNumber", text)),
    ReadingSource(("minor-number",), call("nvmlDeviceGetMinorNumber", number)),
    ReadingSource(("pci.bus-id", "pci.device-id", "pci.subsystem-id"), _pci),
    ReadingSource(("pcie.generation-maximum",), call("nvmlDeviceGetMaxPcieLinkGeneration", number)),
    ReadingSource(("pcie.generation-device-maximum",), call("nvmlDeviceGetGpuMaxPcieLinkGeneration", number)),
    ReadingSource(("pcie.width-maximum",), call("nvmlDeviceGetMaxPcieLinkWidth", number)),
    ReadingSource(("pcie.width-current",), call("nvmlDeviceGetCurrPcieLinkWidth", number)),
    ReadingSource(("memory.total-mib",), member("nvmlDeviceGetMemoryInfo", "total", mib)),
    ReadingSource(("bar1.total-mib",), member("nvmlDeviceGetBAR1MemoryInfo", "bar1Total", mib)),
    ReadingSource(("ecc.current", "ecc.pending"), calls("nvmlDeviceGetEccMode", one_of(STATES))),
    ReadingSource(("mig.current", "mig.pending"), calls("nvmlDeviceGetMigMode", one_of(STATES))),
    ReadingSource(("mig.devices",), lambda nvml, gpu: (nvml.count_mig_devices(gpu),)),
    ReadingSource(("persistence-mode",), call("nvmlDeviceGetPersistenceMode", one_of(STATES))),
    ReadingSource(("display-mode",), call("nvmlDeviceGetDisplayMode", one_of(STATES))),
    ReadingSource(("display-active",), call("nvmlDeviceGetDisplayActive", one_of(STATES))),
    ReadingSource(("compute-mode",), call("nvmlDeviceGetComputeMode", one_of(COMPUTE_MODES))),
    ReadingSource(("virtualization-mode",), call("nvmlDeviceGetVirtualizationMode", one_of(VIRTUALIZATION_MODES))),
    ReadingSource(("addressing-mode",), call("nvmlDeviceGetAddressingMode", one_of(ADDRESSING_MODES))),
    ReadingSource(("c2c.mode",), member("nvmlDeviceGetC2cModeInfoV", "isC2cEnabled", one_of(STATES))),
    ReadingSource(("c2c.links",), nvlink_readings.optional_field(nvlink_readings.C2C_LINKS)),
    ReadingSource(("numa-node",), call("nvmlDeviceGetNumaNodeId", number)),
    ReadingSource(("power.requested-limit-watts",), call("nvmlDeviceGetPowerManagementLimit", watts)),
    ReadingSource(("power.enforced-limit-watts",), call("nvmlDeviceGetEnforcedPowerLimit", watts)),
    ReadingSource(("power.default-limit-watts",), call("nvmlDeviceGetPowerManagementDefaultLimit", watts)),
    ReadingSource(("power.minimum-limit-watts", "power.maximum-limit-watts"), calls("nvmlDeviceGetPowerManagementLimitConstraints", watts)),
    ReadingSource(("power.profiles-requested", "power.profiles-enforced"), nvlink_readings.power_profiles),
    ReadingSource(("clocks.maximum-graphics-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 0)),
    ReadingSource(("clocks.maximum-sm-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 1)),
    ReadingSource(("clocks.maximum-memory-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 2)),
    ReadingSource(("clocks.maximum-video-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 3)),
    ReadingSource(("clocks.application-graphics-mhz",), call("nvmlDeviceGetApplicationsClock", number, 0)),
    ReadingSource(("clocks.application-memory-mhz",), call("nvmlDeviceGetApplicationsClock", number, 2)),
    ReadingSource(("nvlink.links-up", "nvlink.links"), lambda nvml, gpu: nvml.count_nvlinks(gpu)),
    ReadingSource(("nvlink.peers",), nvlink_readings.peers),
    ReadingSource(("nvlink.version",), call("nvmlDeviceGetNvLinkVersion", number, 0)),
    ReadingSource(("nvlink.link-speed-mbps",), nvlink_readings.optional_field(nvlink_readings.LINK_SPEED)),
    ReadingSource(
        (
            "fabric.state",
            "fabric.status",
            "fabric.clique-id",
            "fabric.cluster-uuid",
            "fabric.health.summary",
            "fabric.health.bandwidth",
            "fabric.health.route-recovery-in-progress",
            "fabric.health.route-unhealthy",
            "fabric.health.access-timeout-recovery",
            "fabric.health.incorrect-configuration",
        ),
        _fabric,
    ),
    ReadingSource(("gsp.firmware-version",), call("nvmlDeviceGetGspFirmwareVersion", _ascii)),
    ReadingSource(("gsp.mode", "gsp.default-mode"), calls("nvmlDeviceGetGspFirmwareMode", one_of(STATES))),
    ReadingSource(("vbios-version",), call("nvmlDeviceGetVbiosVersion", text)),
    ReadingSource(("inforom.image",), call("nvmlDeviceGetInforomImageVersion", text)),
    ReadingSource(("inforom.oem",), call("nvmlDeviceGetInforomVersion", text, 0)),
    ReadingSource(("inforom.ecc",), call("nvmlDeviceGetInforomVersion", text, 1)),
    ReadingSource(("inforom.power",), call("nvmlDeviceGetInforomVersion", text, 2)),
    ReadingSource(
        ("remapped-rows.correctable", "remapped-rows.uncorrectable", "remapped-rows.pending", "remapped-rows.failure"),
        _remapped_rows,
    ),
    ReadingSource(("retired-pages.single-bit",), _retired_pages(0)),
    ReadingSource(("retired-pages.double-bit",), _retired_pages(1)),
    ReadingSource(("retired-pages.pending",), call("nvmlDeviceGetRetiredPagesPendingStatus", flag)),
    ReadingSource(("recovery-action",), field(230, one_of(RECOVERY_ACTIONS))),  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
    ReadingSource(("platform.module-id",), call("nvmlDeviceGetModuleId", number)),
    ReadingSource(("platform.chassis-serial-number", "platform.slot-number", "platform.tray-index", "platform.host-id"), _platform),
)

VOLATILE: tuple[ReadingSource, ...] = (
    ReadingSource(("temperature.gpu-celsius",), call("nvmlDeviceGetTemperature", number, 0)),
    ReadingSource(("temperature.memory-celsius",), field(82, number)),  # NVML_FI_DEV_MEMORY_TEMP
    ReadingSource(("power.draw-watts",), call("nvmlDeviceGetPowerUsage", watts)),
    ReadingSource(
        ("performance-state",), call("nvmlDeviceGetPerformanceState", lambda value: f"P{value}" if value <= 15 else NoReading("unknown"))
    ),
    ReadingSource(("utilization.gpu-percent",), member("nvmlDeviceGetUtilizationRates", "gpu", number)),
    ReadingSource(("utilization.memory-percent",), member("nvmlDeviceGetUtilizationRates", "memory", number)),
    ReadingSource(("memory.used-mib",), member("nvmlDeviceGetMemoryInfo", "used", mib, 0x02000028)),  # nvmlMemory_v2: without the reserved
    ReadingSource(("memory.reserved-mib",), member("nvmlDeviceGetMemoryInfo", "reserved", mib, 0x02000028)),
    ReadingSource(("clocks.current-graphics-mhz",), call("nvmlDeviceGetClockInfo", number, 0)),
    ReadingSource(("clocks.current-sm-mhz",), call("nvmlDeviceGetClockInfo", number, 1)),
    ReadingSource(("clocks.current-memory-mhz",), call("nvmlDeviceGetClockInfo", number, 2)),
    ReadingSource(("clocks.current-video-mhz",), call("nvmlDeviceGetClockInfo", number, 3)),
    ReadingSource(("clocks.event-reasons",), _clock_events),
    ReadingSource(("pcie.generation-current",), call("nvmlDeviceGetCurrPcieLinkGeneration", number)),
    ReadingSource(("pcie.replay-counter",), call("nvmlDeviceGetPcieReplayCounter", number)),
    ReadingSource((*nvlink_readings.ERROR_COUNTERS, "nvlink.links-with-errors"), nvlink_readings.error_counters),
    ReadingSource(tuple(nvlink_readings.ERROR_FIELDS), nvlink_readings.error_fields),
    ReadingSource(tuple(nvlink_readings.C2C_ERRORS), nvlink_readings.c2c_errors),
    ReadingSource(("ecc.corrected-since-load",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 0, 0),)),
    ReadingSource(("ecc.uncorrected-since-load",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 1, 0),)),
    ReadingSource(("ecc.corrected-lifetime",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 0, 1),)),
    ReadingSource(("ecc.uncorrected-lifetime",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 1, 1),)),
)
