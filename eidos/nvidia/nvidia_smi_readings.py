"""Which reading of a GPU comes from which element of ``nvidia-smi -q -x``.

Knows paths of elements, units and the words for "there is none"; must not know how the document was obtained.

The keys are those of ``nvml_readings``. Elements were renamed over the years (``power_readings`` became ``gpu_power_readings``, its
"power limit" the requested one), so a key may have several paths; the first that is present counts.
"""

from __future__ import annotations

from eidos.nvidia.gpu_values import CLOCK_EVENTS, NoReading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Callable

    from eidos.nvidia.gpu_values import GpuValue
    from eidos.nvidia.nvidia_smi import NvidiaSmiLog

    Convert = Callable[[str], GpuValue]

#: What the program prints where the GPU has no such value.
_NONE = frozenset({"N/A", "[N/A]", "Not Supported", "[Not Supported]", "Requested functionality has been deprecated"})

#: What it prints where it could not read the value.
_BROKEN = frozenset(
    {
        "",
        "ERR!",
        "Unknown Error",
        "[Unknown Error]",
        "GPU is lost",
        "[GPU is lost]",
        "GPU requires reset",
        "[GPU requires reset]",
        "Insufficient Permissions",
        "[Insufficient Permissions]",
    }
)


def text(value: str) -> GpuValue:
    """Return the text itself."""
    return value


def integer(value: str) -> GpuValue:
    """Return a number with or without its unit as an integer.

    >>> integer("81559 MiB"), integer("16x"), integer("x").reason
    (81559, 16, "no number: 'x'")
    """
    first = value.partition(" ")[0].rstrip("x")
    try:
        return int(first)
    except ValueError:
        return NoReading(f"no number: {value[:40]!r}", is_unreadable=True)


def decimal(value: str) -> GpuValue:
    """Return a number with decimals, with or without its unit.

    >>> decimal("700.00 W")
    700.0
    """
    try:
        number = float(value.partition(" ")[0])
    except ValueError:
        number = float("nan")
    return number if abs(number) < 1e12 else NoReading(f"no number: {value[:40]!r}", is_unreadable=True)


def boolean(value: str) -> GpuValue:
    """Return the truth value of Yes, No, True or False."""
    words = {"yes": True, "no": False, "true": True, "false": False}
    return words.get(value.lower(), NoReading(f"neither yes nor no: {value[:40]!r}", is_unreadable=True))


def hexadecimal(value: str) -> GpuValue:
    """Return hexadecimal digits with their prefix; the program prints some without: ``233010DE``."""
    return "0x" + value.upper().rpartition("X")[2]


CONFIGURATION: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("model", text, ("product_name",)),
    ("architecture", text, ("product_architecture",)),
    ("uuid", text, ("uuid",)),
    ("serial", text, ("serial",)),
    ("board.part-number", text, ("board_part_number",)),
    ("minor-number", integer, ("minor_number",)),
    ("pci.bus-id", text, ("pci/pci_bus_id", "@id")),
    ("pci.device-id", hexadecimal, ("pci/pci_device_id",)),
    ("pci.subsystem-id", hexadecimal, ("pci/pci_sub_system_id",)),
    ("pcie.generation-maximum", integer, ("pci/pci_gpu_link_info/pcie_gen/max_link_gen",)),
    ("pcie.generation-device-maximum", integer, ("pci/pci_gpu_link_info/pcie_gen/max_device_link_gen",)),
    ("pcie.width-maximum", integer, ("pci/pci_gpu_link_info/link_widths/max_link_width",)),
    ("pcie.width-current", integer, ("pci/pci_gpu_link_info/link_widths/current_link_width",)),
    ("memory.total-mib", integer, ("fb_memory_usage/total",)),
    ("bar1.total-mib", integer, ("bar1_memory_usage/total",)),
    ("ecc.current", text, ("ecc_mode/current_ecc",)),
    ("ecc.pending", text, ("ecc_mode/pending_ecc",)),
    ("mig.current", text, ("mig_mode/current_mig",)),
    ("mig.pending", text, ("mig_mode/pending_mig",)),
    ("persistence-mode", text, ("persistence_mode",)),
    ("display-mode", text, ("display_mode",)),
    ("display-active", text, ("display_active",)),
    ("compute-mode", text, ("compute_mode",)),
    ("virtualization-mode", text, ("gpu_virtualization_mode/virtualization_mode",)),
    ("addressing-mode", text, ("addressing_mode",)),
    ("c2c.mode", text, ("c2c_mode",)),
    ("power.requested-limit-watts", decimal, ("gpu_power_readings/requested_power_limit", "power_readings/power_limit")),
    ("power.enforced-limit-watts", decimal, ("gpu_power_readings/current_power_limit", "power_readings/enforced_power_limit")),
    ("power.default-limit-watts", decimal, ("gpu_power_readings/default_power_limit", "power_readings/default_power_limit")),
    ("power.minimum-limit-watts", decimal, ("gpu_power_readings/min_power_limit", "power_readings/min_power_limit")),
    ("power.maximum-limit-watts", decimal, ("gpu_power_readings/max_power_limit", "power_readings/max_power_limit")),
    ("clocks.maximum-graphics-mhz", integer, ("max_clocks/graphics_clock",)),
    ("clocks.maximum-sm-mhz", integer, ("max_clocks/sm_clock",)),
    ("clocks.maximum-memory-mhz", integer, ("max_clocks/mem_clock",)),
    ("clocks.maximum-video-mhz", integer, ("max_clocks/video_clock",)),
    ("clocks.application-graphics-mhz", integer, ("applications_clocks/graphics_clock",)),
    ("clocks.application-memory-mhz", integer, ("applications_clocks/mem_clock",)),
    ("fabric.state", text, ("fabric/state",)),
    ("fabric.status", text, ("fabric/status",)),
    ("fabric.clique-id", integer, ("fabric/cliqueId",)),
    ("fabric.cluster-uuid", text, ("fabric/clusterUuid",)),
    ("fabric.health.summary", text, ("fabric/health/summary",)),
    ("fabric.health.bandwidth", text, ("fabric/health/bandwidth",)),
    ("fabric.health.route-recovery-in-progress", boolean, ("fabric/health/route_recovery_in_progress",)),
    ("fabric.health.route-unhealthy", boolean, ("fabric/health/route_unhealthy",)),
    ("fabric.health.access-timeout-recovery", boolean, ("fabric/health/access_timeout_recovery",)),
    ("fabric.health.incorrect-configuration", text, ("fabric/health/incorrect_configuration",)),
    ("gsp.firmware-version", text, ("gsp_firmware_version",)),
    ("vbios-version", text, ("vbios_version",)),
    ("inforom.image", text, ("inforom_version/img_version",)),
    ("inforom.oem", text, ("inforom_version/oem_object",)),
    ("inforom.ecc", text, ("inforom_version/ecc_object",)),
    ("inforom.power", text, ("inforom_version/pwr_object",)),
    ("remapped-rows.correctable", integer, ("remapped_rows/remapped_row_corr",)),
    ("remapped-rows.uncorrectable", integer, ("remapped_rows/remapped_row_unc",)),
    ("remapped-rows.pending", boolean, ("remapped_rows/remapped_row_pending",)),
    ("remapped-rows.failure", boolean, ("remapped_rows/remapped_row_failure",)),
    ("retired-pages.single-bit", integer, ("retired_pages/multiple_single_bit_retirement/retired_count",)),
    ("retired-pages.double-bit", integer, ("retired_pages/double_bit_retirement/retired_count",)),
    ("retired-pages.pending", boolean, ("retired_pages/pending_retirement",)),
    ("recovery-action", text, ("gpu_recovery_action",)),
    ("platform.module-id", integer, ("platformInfo/module_id",)),
    ("platform.chassis-serial-number", text, ("platformInfo/chassis_serial_number",)),
    ("platform.slot-number", integer, ("platformInfo/slot_number",)),
    ("platform.tray-index", integer, ("platformInfo/tray_index",)),
    ("platform.host-id", integer, ("platformInfo/host_id",)),
)

VOLATILE: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("temperature.gpu-celsius", integer, ("temperature/gpu_temp",)),
    ("temperature.memory-celsius", integer, ("temperature/memory_temp",)),
    (
        "power.draw-watts",
        decimal,
        ("gpu_power_readings/power_draw", "gpu_power_readings/instant_power_draw", "power_readings/power_draw"),
    ),
    ("performance-state", text, ("performance_state",)),
    ("utilization.gpu-percent", integer, ("utilization/gpu_util",)),
    ("utilization.memory-percent", integer, ("utilization/memory_util",)),
    ("memory.used-mib", integer, ("fb_memory_usage/used",)),
    ("memory.reserved-mib", integer, ("fb_memory_usage/reserved",)),
    ("clocks.current-graphics-mhz", integer, ("clocks/graphics_clock",)),
    ("clocks.current-sm-mhz", integer, ("clocks/sm_clock",)),
    ("clocks.current-memory-mhz", integer, ("clocks/mem_clock",)),
    ("clocks.current-video-mhz", integer, ("clocks/video_clock",)),
    ("pcie.generation-current", integer, ("pci/pci_gpu_link_info/pcie_gen/current_link_gen",)),
    ("pcie.replay-counter", integer, ("pci/replay_counter",)),
)


def driver_version(log: NvidiaSmiLog) -> GpuValue:
    """Return the version of the driver."""
    return _value(log.top, text, ("driver_version",))


def cuda_version(log: NvidiaSmiLog) -> GpuValue:
    """Return the newest CUDA version that the driver supports."""
    return _value(log.top, text, ("cuda_version",))


def gpu_count(log: NvidiaSmiLog) -> GpuValue:
    """Return how many GPUs there are, including those that the program could not describe."""
    return _value(log.top, integer, ("attached_gpus",))


def configuration(gpu: Mapping[str, str]) -> dict[str, GpuValue]:
    """Return every reading of :data:`CONFIGURATION`, and the number of MIG devices."""
    values = {key: _value(gpu, convert, paths) for key, convert, paths in CONFIGURATION}
    mig = values["mig.current"]
    values["mig.devices"] = mig if isinstance(mig, NoReading) else integer(gpu.get("@mig-devices", "0"))
    return values


def volatile(gpu: Mapping[str, str]) -> dict[str, GpuValue]:
    """Return every reading of :data:`VOLATILE`, and the clock event reasons that are active."""
    values = {key: _value(gpu, convert, paths) for key, convert, paths in VOLATILE}
    values["clocks.event-reasons"] = _events(gpu)
    return values


def _events(gpu: Mapping[str, str]) -> GpuValue:
    for folder, prefix in (("clocks_event_reasons", "clocks_event_reason_"), ("clocks_throttle_reasons", "clocks_throttle_reason_")):
        states = {name: gpu.get(f"{folder}/{prefix}{name.replace('-', '_')}") for name in CLOCK_EVENTS.values()}
        if any(state is not None for state in states.values()):
            return " ".join(name for name, state in states.items() if state == "Active") or "none"
    return MISSING


#: For a key that the document has no element for.
MISSING = NoReading("nvidia-smi -q -x does not say it", is_unreadable=True)


def _value(elements: Mapping[str, str], convert: Convert, paths: Sequence[str]) -> GpuValue:
    for path in paths:
        value = elements.get(path)
        if value is None:
            continue
        if value in _NONE:
            return NoReading("not supported" if "deprecated" not in value else "deprecated in this driver")
        return NoReading(value or "empty", is_unreadable=True) if value in _BROKEN else convert(value)
    return MISSING
