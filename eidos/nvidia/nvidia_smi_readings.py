"""Which reading of a GPU comes from which element of ``nvidia-smi -q -x``.

Knows paths of elements, and which form each text must have; must not know how the document was obtained.

The keys are those of ``nvml_readings``. Elements were renamed over the years (``power_readings`` became ``gpu_power_readings``, its
"power limit" the requested one; ``driver_version`` becomes ``kmd_version`` with the thirteenth DTD), so a key may have several paths; the
first that holds a reading counts.
"""

from __future__ import annotations

from eidos.nvidia.gpu_values import (
    ADDRESSING_MODES,
    ARCHITECTURES,
    CLOCK_EVENTS,
    COMPUTE_MODES,
    FABRIC_CONFIGURATIONS,
    FABRIC_STATES,
    FABRIC_SUMMARIES,
    RECOVERY_ACTIONS,
    STATES,
    VIRTUALIZATION_MODES,
    NoReading,
)
from eidos.nvidia.nvidia_smi_values import (
    BUS_ID,
    CLUSTER_UUID,
    INFOROM_IMAGE,
    PART_NUMBER,
    PERFORMANCE_STATE,
    SERIAL,
    UUID,
    VBIOS,
    VERSION,
    boolean,
    decimal,
    fabric_status,
    hexadecimal,
    model,
    number,
    one_of,
    to_no_reading,
    to_reading,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eidos.nvidia.gpu_values import GpuValue
    from eidos.nvidia.nvidia_smi import NvidiaSmiLog
    from eidos.nvidia.nvidia_smi_values import Convert

_STATE = one_of(STATES.values())
_COUNT, _MIB, _MHZ, _CELSIUS, _PERCENT, _LANES = number(), number("MiB"), number("MHz"), number("C"), number("%"), number("x")
_WATTS = decimal("W")

CONFIGURATION: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("model", model, ("product_name",)),
    ("architecture", one_of(ARCHITECTURES.values()), ("product_architecture",)),
    ("uuid", UUID, ("uuid",)),
    ("serial", SERIAL, ("serial",)),
    ("board.part-number", PART_NUMBER, ("board_part_number",)),
    ("minor-number", _COUNT, ("minor_number",)),
    ("pci.bus-id", BUS_ID, ("pci/pci_bus_id", "@id")),
    ("pci.device-id", hexadecimal, ("pci/pci_device_id",)),
    ("pci.subsystem-id", hexadecimal, ("pci/pci_sub_system_id",)),
    ("pcie.generation-maximum", _COUNT, ("pci/pci_gpu_link_info/pcie_gen/max_link_gen",)),
    ("pcie.generation-device-maximum", _COUNT, ("pci/pci_gpu_link_info/pcie_gen/max_device_link_gen",)),
    ("pcie.width-maximum", _LANES, ("pci/pci_gpu_link_info/link_widths/max_link_width",)),
    ("pcie.width-current", _LANES, ("pci/pci_gpu_link_info/link_widths/current_link_width",)),
    ("memory.total-mib", _MIB, ("fb_memory_usage/total",)),
    ("bar1.total-mib", _MIB, ("bar1_memory_usage/total",)),
    ("ecc.current", _STATE, ("ecc_mode/current_ecc",)),
    ("ecc.pending", _STATE, ("ecc_mode/pending_ecc",)),
    ("mig.current", _STATE, ("mig_mode/current_mig",)),
    ("mig.pending", _STATE, ("mig_mode/pending_mig",)),
    ("persistence-mode", _STATE, ("persistence_mode",)),
    ("display-mode", _STATE, ("display_mode",)),
    ("display-active", _STATE, ("display_active",)),
    ("compute-mode", one_of(COMPUTE_MODES.values()), ("compute_mode",)),
    ("virtualization-mode", one_of(VIRTUALIZATION_MODES.values()), ("gpu_virtualization_mode/virtualization_mode",)),
    ("addressing-mode", one_of(ADDRESSING_MODES.values()), ("addressing_mode",)),
    ("c2c.mode", _STATE, ("c2c_mode",)),
    ("power.requested-limit-watts", _WATTS, ("gpu_power_readings/requested_power_limit", "power_readings/power_limit")),
    ("power.enforced-limit-watts", _WATTS, ("gpu_power_readings/current_power_limit", "power_readings/enforced_power_limit")),
    ("power.default-limit-watts", _WATTS, ("gpu_power_readings/default_power_limit", "power_readings/default_power_limit")),
    ("power.minimum-limit-watts", _WATTS, ("gpu_power_readings/min_power_limit", "power_readings/min_power_limit")),
    ("power.maximum-limit-watts", _WATTS, ("gpu_power_readings/max_power_limit", "power_readings/max_power_limit")),
    ("clocks.maximum-graphics-mhz", _MHZ, ("max_clocks/graphics_clock",)),
    ("clocks.maximum-sm-mhz", _MHZ, ("max_clocks/sm_clock",)),
    ("clocks.maximum-memory-mhz", _MHZ, ("max_clocks/mem_clock",)),
    ("clocks.maximum-video-mhz", _MHZ, ("max_clocks/video_clock",)),
    ("clocks.application-graphics-mhz", _MHZ, ("applications_clocks/graphics_clock",)),
    ("clocks.application-memory-mhz", _MHZ, ("applications_clocks/mem_clock",)),
    ("fabric.state", one_of(FABRIC_STATES.values()), ("fabric/state",)),
    ("fabric.status", fabric_status, ("fabric/status",)),
    ("fabric.clique-id", _COUNT, ("fabric/cliqueId",)),
    ("fabric.cluster-uuid", CLUSTER_UUID, ("fabric/clusterUuid",)),
    ("fabric.health.summary", one_of(FABRIC_SUMMARIES.values()), ("fabric/health/summary",)),
    ("fabric.health.bandwidth", one_of(("Degraded", "Full")), ("fabric/health/bandwidth",)),
    ("fabric.health.route-recovery-in-progress", boolean, ("fabric/health/route_recovery_in_progress",)),
    ("fabric.health.route-unhealthy", boolean, ("fabric/health/route_unhealthy",)),
    ("fabric.health.access-timeout-recovery", boolean, ("fabric/health/access_timeout_recovery",)),
    (
        "fabric.health.incorrect-configuration",
        one_of(FABRIC_CONFIGURATIONS.values()),
        ("fabric/health/incorrect_configuration",),
    ),
    ("gsp.firmware-version", VERSION, ("gsp_firmware_version",)),
    ("vbios-version", VBIOS, ("vbios_version",)),
    ("inforom.image", INFOROM_IMAGE, ("inforom_version/img_version",)),
    ("inforom.oem", VERSION, ("inforom_version/oem_object",)),
    ("inforom.ecc", VERSION, ("inforom_version/ecc_object",)),
    ("inforom.power", VERSION, ("inforom_version/pwr_object",)),
    ("remapped-rows.correctable", _COUNT, ("remapped_rows/remapped_row_corr",)),
    ("remapped-rows.uncorrectable", _COUNT, ("remapped_rows/remapped_row_unc",)),
    ("remapped-rows.pending", boolean, ("remapped_rows/remapped_row_pending",)),
    ("remapped-rows.failure", boolean, ("remapped_rows/remapped_row_failure",)),
    ("retired-pages.single-bit", _COUNT, ("retired_pages/multiple_single_bit_retirement/retired_count",)),
    ("retired-pages.double-bit", _COUNT, ("retired_pages/double_bit_retirement/retired_count",)),
    ("retired-pages.pending", boolean, ("retired_pages/pending_retirement",)),
    ("recovery-action", one_of(RECOVERY_ACTIONS.values()), ("gpu_recovery_action",)),
    ("platform.module-id", _COUNT, ("platformInfo/module_id",)),
    ("platform.chassis-serial-number", SERIAL, ("platformInfo/chassis_serial_number",)),
    ("platform.slot-number", _COUNT, ("platformInfo/slot_number",)),
    ("platform.tray-index", _COUNT, ("platformInfo/tray_index",)),
    ("platform.host-id", _COUNT, ("platformInfo/host_id",)),
)

VOLATILE: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("temperature.gpu-celsius", _CELSIUS, ("temperature/gpu_temp",)),
    ("temperature.memory-celsius", _CELSIUS, ("temperature/memory_temp",)),
    (
        "power.draw-watts",
        _WATTS,
        (
            "gpu_power_readings/power_draw",
            "gpu_power_readings/average_power_draw",
            "gpu_power_readings/instant_power_draw",
            "power_readings/power_draw",
        ),
    ),
    ("performance-state", PERFORMANCE_STATE, ("performance_state",)),
    ("utilization.gpu-percent", _PERCENT, ("utilization/gpu_util",)),
    ("utilization.memory-percent", _PERCENT, ("utilization/memory_util",)),
    ("memory.used-mib", _MIB, ("fb_memory_usage/used",)),
    ("memory.reserved-mib", _MIB, ("fb_memory_usage/reserved",)),
    ("clocks.current-graphics-mhz", _MHZ, ("clocks/graphics_clock",)),
    ("clocks.current-sm-mhz", _MHZ, ("clocks/sm_clock",)),
    ("clocks.current-memory-mhz", _MHZ, ("clocks/mem_clock",)),
    ("clocks.current-video-mhz", _MHZ, ("clocks/video_clock",)),
    ("pcie.generation-current", _COUNT, ("pci/pci_gpu_link_info/pcie_gen/current_link_gen",)),
    ("pcie.replay-counter", _COUNT, ("pci/replay_counter",)),
)


#: Counters of <ecc_errors>: key → its group there, and the names whose sum it is, one set for each layout of the document. NVML's total is
#: the sum over all memories; since Ampere the uncorrectable errors of SRAM come in two counters, before Turing there were totals.
_CORRECTED = (("sram_correctable", "dram_correctable"), ("single_bit/total",))
_UNCORRECTED = (
    ("sram_uncorrectable_parity", "sram_uncorrectable_secded", "dram_uncorrectable"),
    ("sram_uncorrectable", "dram_uncorrectable"),
    ("double_bit/total",),
)
_ECC_COUNTERS = (
    ("ecc.corrected-since-load", "ecc_errors/volatile", _CORRECTED),
    ("ecc.uncorrected-since-load", "ecc_errors/volatile", _UNCORRECTED),
    ("ecc.corrected-lifetime", "ecc_errors/aggregate", _CORRECTED),
    ("ecc.uncorrected-lifetime", "ecc_errors/aggregate", _UNCORRECTED),
)


def driver_version(log: NvidiaSmiLog) -> GpuValue:
    """Return the version of the kernel driver."""
    return _value(log.top, VERSION, ("driver_version", "kmd_version"))


def cuda_version(log: NvidiaSmiLog) -> GpuValue:
    """Return the newest CUDA version that the driver supports."""
    return _value(log.top, VERSION, ("cuda_version", "cuda_umd_version"))


def gpu_count(log: NvidiaSmiLog) -> GpuValue:
    """Return how many GPUs there are, including those that the program could not describe."""
    return _value(log.top, _COUNT, ("attached_gpus",))


def configuration(gpu: Mapping[str, str]) -> dict[str, GpuValue]:
    """Return every reading of :data:`CONFIGURATION`, and the number of MIG devices."""
    values = {key: _value(gpu, convert, paths) for key, convert, paths in CONFIGURATION}
    mig = values["mig.current"]
    values["mig.devices"] = mig if isinstance(mig, NoReading) else int(gpu.get("@mig-devices", "0"))
    state = values["fabric.state"]
    if isinstance(state, NoReading) and not isinstance(values["fabric.status"], NoReading):
        values["fabric.status"] = state  # the text of the failed call, not the status of a registration
    return values


def volatile(gpu: Mapping[str, str]) -> dict[str, GpuValue]:
    """Return every reading of :data:`VOLATILE`, the counters of ECC errors, and the clock event reasons that are active."""
    values = {key: _value(gpu, convert, paths) for key, convert, paths in VOLATILE}
    values.update({key: _ecc_total(gpu, group, layouts) for key, group, layouts in _ECC_COUNTERS})
    values["clocks.event-reasons"] = _events(gpu)
    return values


def _ecc_total(gpu: Mapping[str, str], group: str, layouts: Sequence[Sequence[str]]) -> GpuValue:
    """The sum of a layout's counters: those that the GPU does not have count nothing, one that could not be read makes it unreadable."""
    for names in layouts:
        paths = [f"{group}/{name}" for name in names]
        if paths[0] not in gpu:
            continue
        counters = [_value(gpu, _COUNT, (path,)) for path in paths]
        numbers = [counter for counter in counters if isinstance(counter, int)]
        failed = [counter for counter in counters if isinstance(counter, NoReading) and (counter.is_unreadable or not numbers)]
        return failed[0] if failed else sum(numbers)
    return _value(gpu, _COUNT, (f"{group}/total",))  # a word for the whole group, or nothing


def _events(gpu: Mapping[str, str]) -> GpuValue:
    for folder, prefix in (("clocks_event_reasons", "clocks_event_reason_"), ("clocks_throttle_reasons", "clocks_throttle_reason_")):
        paths = {name: f"{folder}/{prefix}{name.replace('-', '_')}" for name in CLOCK_EVENTS.values()}
        states = {name: _value(gpu, one_of(("Active", "Not Active")), (path,)) for name, path in paths.items() if path in gpu}
        read = [state for state in states.values() if not isinstance(state, NoReading)]
        failed = [state for state in states.values() if isinstance(state, NoReading) and (state.is_unreadable or not read)]
        if failed:
            return failed[0]
        if read:
            return " ".join(name for name, state in states.items() if state == "Active") or "none"
    return _value(gpu, _COUNT, ("clocks_event_reasons/none", "clocks_throttle_reasons/none"))


#: For a key that the document has no element for.
MISSING = NoReading("not in the output of nvidia-smi -q -x", is_unreadable=True)


def _value(elements: Mapping[str, str], convert: Convert, paths: Sequence[str]) -> GpuValue:
    """The first of ``paths`` that holds a reading; else why the first that is present holds none.

    A group can be one word (``<remapped_rows>N/A</remapped_rows>``, or a whole GPU that is lost): it is that of each element in it.
    """
    reason: NoReading | None = None
    for path in paths:
        value = elements.get(path)
        reading = to_reading(value, convert) if value is not None else _of_group(elements, path)
        if not isinstance(reading, NoReading):
            return reading
        if reason is None or reason is MISSING:
            reason = reading
    return reason or MISSING


def _of_group(elements: Mapping[str, str], path: str) -> NoReading:
    while path:
        path = path.rpartition("/")[0]
        word = elements.get(path)
        if word:
            return to_no_reading(word)
    return MISSING
