"""Which reading of a GPU comes from which call of NVML.

Knows keys, calls and units; must not know what becomes of a call that fails.

Two tables: :data:`CONFIGURATION` stays as it is on an idle host, :data:`VOLATILE` changes on its own. The current PCIe generation
is volatile because power management lowers it on an idle GPU; the width is not. A row names one key for each value of its answer.
"""

from __future__ import annotations

from eidos.errors import NvmlError
from eidos.model.record import Record
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
    Unsaid,
    events,
    word,
)
from eidos.nvidia.nvml import FUNCTION_NOT_FOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Callable

    from eidos.nvidia.gpu_values import Answer
    from eidos.nvidia.nvml import Nvml

    Ask = Callable[[Nvml, Any], Sequence[Answer]]

_NOT_AVAILABLE = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # NVML_VALUE_NOT_AVAILABLE, 32 and 64 bits wide
_MIB = 1 << 20


class Fact(Record):
    """``ask(nvml, gpu)`` gives one answer for each of ``keys``, or raises NvmlError for all of them."""

    keys: tuple[str, ...]
    ask: Ask


def driver(nvml: Nvml) -> str:
    """Version of the kernel module that answers (nvmlSystemGetDriverVersion)."""
    return str(nvml.call("nvmlSystemGetDriverVersion"))


def cuda_version(nvml: Nvml) -> str:
    """The newest CUDA that the driver supports, ``12.8`` (nvmlSystemGetCudaDriverVersion_v2 says 12080)."""
    number = int(nvml.call("nvmlSystemGetCudaDriverVersion_v2"))
    return f"{number // 1000}.{number % 1000 // 10}"


def text(value: object) -> Answer:
    """A text as it came."""
    return str(value)


def number(value: int) -> Answer:
    """An integer, unless it is the one by which NVML says that it has none."""
    return Unsaid("not available") if value in _NOT_AVAILABLE else value


def mib(value: int) -> Answer:
    """Bytes as MiB."""
    return Unsaid("not available") if value in _NOT_AVAILABLE else value // _MIB


def watts(value: int) -> Answer:
    """Milliwatts as watts, two decimals, as nvidia-smi prints them."""
    return Unsaid("not available") if value in _NOT_AVAILABLE else round(value / 1000, 2)


def flag(value: int) -> Answer:
    """A C truth value."""
    return value != 0


def one_of(words: Mapping[int, str]) -> Callable[[int], Answer]:
    """A converter from an enumeration to its word."""
    return lambda value: word(words, value)


def call(name: str, convert: Callable[[Any], Answer], *args: int) -> Ask:
    """Ask ``name`` for one value."""
    return lambda nvml, gpu: (convert(nvml.call(name, gpu, *args)),)


def calls(name: str, convert: Callable[[Any], Answer]) -> Ask:
    """Ask ``name`` for several values of one kind."""
    return lambda nvml, gpu: tuple(convert(value) for value in nvml.call(name, gpu))


def field(number_of_field: int, convert: Callable[[Any], Answer]) -> Ask:
    """Ask for one field value."""
    return lambda nvml, gpu: (convert(nvml.field(gpu, number_of_field)),)


def member(name: str, member_name: str, convert: Callable[[Any], Answer], *args: int) -> Ask:
    """Ask ``name`` for a structure, and take one number of it."""
    return lambda nvml, gpu: (convert(getattr(nvml.call(name, gpu, *args), member_name)),)


def _architecture(value: int) -> Answer:
    return Unsaid("unknown to this driver") if value in _NOT_AVAILABLE else word(ARCHITECTURES, value)


def _capability(nvml: Nvml, gpu: Any) -> Sequence[Answer]:
    major, minor = nvml.call("nvmlDeviceGetCudaComputeCapability", gpu)
    return (f"{major}.{minor}",)


def _pci(nvml: Nvml, gpu: Any) -> Sequence[Answer]:
    info = nvml.call("nvmlDeviceGetPciInfo", gpu)
    return (_ascii(nvml.bytes_of(info, "busId")), f"0x{info.pciDeviceId:08X}", f"0x{info.pciSubSystemId:08X}")


def _remapped_rows(nvml: Nvml, gpu: Any) -> Sequence[Answer]:
    correctable, uncorrectable, pending, failure = nvml.call("nvmlDeviceGetRemappedRows", gpu)
    return number(correctable), number(uncorrectable), flag(pending), flag(failure)


def _retired_pages(cause: int) -> Ask:
    return lambda nvml, gpu: (len(nvml.call("nvmlDeviceGetRetiredPages", gpu, cause)),)


def _platform(nvml: Nvml, gpu: Any) -> Sequence[Answer]:
    info = nvml.platform(gpu)
    serial = _ascii(nvml.bytes_of(info, "chassisSerialNumber"))
    places = (nvml.bytes_of(info, name)[0] for name in ("slotNumber", "trayIndex", "hostId"))
    if not serial:
        # Outside a rack of such chassis the driver answers all the same (an H200 in a machine of its own: slot 0, tray 0, host 1), and
        # nvidia-smi shows N/A for each: places in no chassis are no places.
        return (Unsaid("empty"), *(Unsaid("the driver names no chassis"),) * 3)
    return (serial, *places)


def _fabric(nvml: Nvml, gpu: Any) -> Sequence[Answer]:
    info = nvml.fabric(gpu)
    none = Unsaid("not supported")
    if info.state == 0:
        return (none,) * 10
    uuid = bytes(info.clusterUuid).hex()
    mask = info.healthMask
    summary = getattr(info, "healthSummary", 0)
    bandwidth, configuration = mask & 3, mask >> 8 & 15
    return (
        word(FABRIC_STATES, info.state),
        "Success" if info.status == 0 else f"NVML status {info.status}",
        info.cliqueId,
        "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:])),
        word(FABRIC_SUMMARIES, summary) if summary else none,
        word({1: "Degraded", 2: "Full"}, bandwidth) if bandwidth else none,
        *({1: True, 2: False}.get(mask >> shift & 3, none) for shift in (2, 4, 6)),
        word(FABRIC_CONFIGURATIONS, configuration) if configuration else none,
    )


def _clock_events(nvml: Nvml, gpu: Any) -> Sequence[Answer]:
    try:
        return (events(nvml.call("nvmlDeviceGetCurrentClocksEventReasons", gpu)),)
    except NvmlError as fault:
        if fault.status != FUNCTION_NOT_FOUND:
            raise
        return (events(nvml.call("nvmlDeviceGetCurrentClocksThrottleReasons", gpu)),)  # its name before driver 535


def _ascii(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace").strip()


CONFIGURATION: tuple[Fact, ...] = (
    Fact(("model",), call("nvmlDeviceGetName", text)),
    Fact(("architecture",), call("nvmlDeviceGetArchitecture", _architecture)),
    Fact(("compute-capability",), _capability),
    Fact(("uuid",), call("nvmlDeviceGetUUID", text)),
    Fact(("serial",), call("nvmlDeviceGetSerial", text)),
    Fact(("board.part-number",), call("nvmlDeviceGetBoardPartNumber", text)),
    Fact(("minor-number",), call("nvmlDeviceGetMinorNumber", number)),
    Fact(("pci.bus-id", "pci.device-id", "pci.subsystem-id"), _pci),
    Fact(("pcie.generation-maximum",), call("nvmlDeviceGetMaxPcieLinkGeneration", number)),
    Fact(("pcie.generation-device-maximum",), call("nvmlDeviceGetGpuMaxPcieLinkGeneration", number)),
    Fact(("pcie.width-maximum",), call("nvmlDeviceGetMaxPcieLinkWidth", number)),
    Fact(("pcie.width-current",), call("nvmlDeviceGetCurrPcieLinkWidth", number)),
    Fact(("memory.total-mib",), member("nvmlDeviceGetMemoryInfo", "total", mib)),
    Fact(("bar1.total-mib",), member("nvmlDeviceGetBAR1MemoryInfo", "bar1Total", mib)),
    Fact(("ecc.current", "ecc.pending"), calls("nvmlDeviceGetEccMode", one_of(STATES))),
    Fact(("mig.current", "mig.pending"), calls("nvmlDeviceGetMigMode", one_of(STATES))),
    Fact(("mig.devices",), lambda nvml, gpu: (nvml.mig_devices(gpu),)),
    Fact(("persistence-mode",), call("nvmlDeviceGetPersistenceMode", one_of(STATES))),
    Fact(("display-mode",), call("nvmlDeviceGetDisplayMode", one_of(STATES))),
    Fact(("display-active",), call("nvmlDeviceGetDisplayActive", one_of(STATES))),
    Fact(("compute-mode",), call("nvmlDeviceGetComputeMode", one_of(COMPUTE_MODES))),
    Fact(("virtualization-mode",), call("nvmlDeviceGetVirtualizationMode", one_of(VIRTUALIZATION_MODES))),
    Fact(("addressing-mode",), call("nvmlDeviceGetAddressingMode", one_of(ADDRESSING_MODES))),
    Fact(("c2c.mode",), member("nvmlDeviceGetC2cModeInfoV", "isC2cEnabled", one_of(STATES))),
    Fact(("numa-node",), call("nvmlDeviceGetNumaNodeId", number)),
    Fact(("power.requested-limit-watts",), call("nvmlDeviceGetPowerManagementLimit", watts)),
    Fact(("power.enforced-limit-watts",), call("nvmlDeviceGetEnforcedPowerLimit", watts)),
    Fact(("power.default-limit-watts",), call("nvmlDeviceGetPowerManagementDefaultLimit", watts)),
    Fact(("power.minimum-limit-watts", "power.maximum-limit-watts"), calls("nvmlDeviceGetPowerManagementLimitConstraints", watts)),
    Fact(("clocks.maximum-graphics-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 0)),
    Fact(("clocks.maximum-sm-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 1)),
    Fact(("clocks.maximum-memory-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 2)),
    Fact(("clocks.maximum-video-mhz",), call("nvmlDeviceGetMaxClockInfo", number, 3)),
    Fact(("clocks.application-graphics-mhz",), call("nvmlDeviceGetApplicationsClock", number, 0)),
    Fact(("clocks.application-memory-mhz",), call("nvmlDeviceGetApplicationsClock", number, 2)),
    Fact(("nvlink.links-up", "nvlink.links"), lambda nvml, gpu: nvml.nvlinks(gpu)),
    Fact(
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
    Fact(("gsp.firmware-version",), call("nvmlDeviceGetGspFirmwareVersion", _ascii)),
    Fact(("gsp.mode", "gsp.default-mode"), calls("nvmlDeviceGetGspFirmwareMode", one_of(STATES))),
    Fact(("vbios-version",), call("nvmlDeviceGetVbiosVersion", text)),
    Fact(("inforom.image",), call("nvmlDeviceGetInforomImageVersion", text)),
    Fact(("inforom.oem",), call("nvmlDeviceGetInforomVersion", text, 0)),
    Fact(("inforom.ecc",), call("nvmlDeviceGetInforomVersion", text, 1)),
    Fact(("inforom.power",), call("nvmlDeviceGetInforomVersion", text, 2)),
    Fact(
        ("remapped-rows.correctable", "remapped-rows.uncorrectable", "remapped-rows.pending", "remapped-rows.failure"),
        _remapped_rows,
    ),
    Fact(("retired-pages.single-bit",), _retired_pages(0)),
    Fact(("retired-pages.double-bit",), _retired_pages(1)),
    Fact(("retired-pages.pending",), call("nvmlDeviceGetRetiredPagesPendingStatus", flag)),
    Fact(("recovery-action",), field(230, one_of(RECOVERY_ACTIONS))),  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
    Fact(("platform.module-id",), call("nvmlDeviceGetModuleId", number)),
    Fact(("platform.chassis-serial-number", "platform.slot-number", "platform.tray-index", "platform.host-id"), _platform),
)

VOLATILE: tuple[Fact, ...] = (
    Fact(("temperature.gpu-celsius",), call("nvmlDeviceGetTemperature", number, 0)),
    Fact(("temperature.memory-celsius",), field(82, number)),  # NVML_FI_DEV_MEMORY_TEMP
    Fact(("power.draw-watts",), call("nvmlDeviceGetPowerUsage", watts)),
    Fact(("performance-state",), call("nvmlDeviceGetPerformanceState", lambda value: f"P{value}" if value <= 15 else Unsaid("unknown"))),
    Fact(("utilization.gpu-percent",), member("nvmlDeviceGetUtilizationRates", "gpu", number)),
    Fact(("utilization.memory-percent",), member("nvmlDeviceGetUtilizationRates", "memory", number)),
    Fact(("memory.used-mib",), member("nvmlDeviceGetMemoryInfo", "used", mib, 0x02000028)),  # nvmlMemory_v2: without the reserved
    Fact(("memory.reserved-mib",), member("nvmlDeviceGetMemoryInfo", "reserved", mib, 0x02000028)),
    Fact(("clocks.current-graphics-mhz",), call("nvmlDeviceGetClockInfo", number, 0)),
    Fact(("clocks.current-sm-mhz",), call("nvmlDeviceGetClockInfo", number, 1)),
    Fact(("clocks.current-memory-mhz",), call("nvmlDeviceGetClockInfo", number, 2)),
    Fact(("clocks.current-video-mhz",), call("nvmlDeviceGetClockInfo", number, 3)),
    Fact(("clocks.event-reasons",), _clock_events),
    Fact(("pcie.generation-current",), call("nvmlDeviceGetCurrPcieLinkGeneration", number)),
    Fact(("pcie.replay-counter",), call("nvmlDeviceGetPcieReplayCounter", number)),
    Fact(("ecc.corrected-since-load",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 0, 0),)),
    Fact(("ecc.uncorrected-since-load",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 1, 0),)),
    Fact(("ecc.corrected-lifetime",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 0, 1),)),
    Fact(("ecc.uncorrected-lifetime",), lambda nvml, gpu: (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, 1, 1),)),
)
