"""Which reading of a GPU comes from which element of ``nvidia-smi -q -x``.

Knows paths of elements, units and the words for "there is none"; must not know how the document was come by.

The keys are those of ``nvml_facts``. Elements were renamed over the years (``power_readings`` became ``gpu_power_readings``, its
"power limit" the requested one), so a key may have several paths; the first that is there counts.
"""

from __future__ import annotations

from eidos.nvidia.gpu_values import CLOCK_EVENTS, Unsaid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Callable

    from eidos.nvidia.gpu_values import Answer
    from eidos.nvidia.nvidia_smi import Document

    Convert = Callable[[str], Answer]

#: Texts by which the program says that there is no such thing.
_NONE = frozenset({"N/A", "[N/A]", "Not Supported", "[Not Supported]", "Requested functionality has been deprecated"})

#: Texts by which it says that it could not read it.
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


def text(value: str) -> Answer:
    """The text itself."""
    return value


def whole(value: str) -> Answer:
    """A number with or without its unit.

    >>> whole("81559 MiB"), whole("16x"), whole("x").why
    (81559, 16, "no number: 'x'")
    """
    first = value.partition(" ")[0].rstrip("x")
    try:
        return int(first)
    except ValueError:
        return Unsaid(f"no number: {value[:40]!r}", broken=True)


def decimal(value: str) -> Answer:
    """A number with decimals, with or without its unit.

    >>> decimal("700.00 W")
    700.0
    """
    try:
        number = float(value.partition(" ")[0])
    except ValueError:
        number = float("nan")
    return number if abs(number) < 1e12 else Unsaid(f"no number: {value[:40]!r}", broken=True)


def yes(value: str) -> Answer:
    """Yes, No, True or False."""
    known = {"yes": True, "no": False, "true": True, "false": False}
    return known.get(value.lower(), Unsaid(f"neither yes nor no: {value[:40]!r}", broken=True))


def hexadecimal(value: str) -> Answer:
    """Hexadecimal digits without their prefix: ``233010DE``."""
    return "0x" + value.upper().rpartition("X")[2]


CONFIGURATION: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("model", text, ("product_name",)),
    ("architecture", text, ("product_architecture",)),
    ("uuid", text, ("uuid",)),
    ("serial", text, ("serial",)),
    ("board.part-number", text, ("board_part_number",)),
    ("minor-number", whole, ("minor_number",)),
    ("pci.bus-id", text, ("pci/pci_bus_id", "@id")),
    ("pci.device-id", hexadecimal, ("pci/pci_device_id",)),
    ("pci.subsystem-id", hexadecimal, ("pci/pci_sub_system_id",)),
    ("pcie.generation-maximum", whole, ("pci/pci_gpu_link_info/pcie_gen/max_link_gen",)),
    ("pcie.generation-device-maximum", whole, ("pci/pci_gpu_link_info/pcie_gen/max_device_link_gen",)),
    ("pcie.width-maximum", whole, ("pci/pci_gpu_link_info/link_widths/max_link_width",)),
    ("pcie.width-current", whole, ("pci/pci_gpu_link_info/link_widths/current_link_width",)),
    ("memory.total-mib", whole, ("fb_memory_usage/total",)),
    ("bar1.total-mib", whole, ("bar1_memory_usage/total",)),
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
    ("clocks.maximum-graphics-mhz", whole, ("max_clocks/graphics_clock",)),
    ("clocks.maximum-sm-mhz", whole, ("max_clocks/sm_clock",)),
    ("clocks.maximum-memory-mhz", whole, ("max_clocks/mem_clock",)),
    ("clocks.maximum-video-mhz", whole, ("max_clocks/video_clock",)),
    ("clocks.application-graphics-mhz", whole, ("applications_clocks/graphics_clock",)),
    ("clocks.application-memory-mhz", whole, ("applications_clocks/mem_clock",)),
    ("fabric.state", text, ("fabric/state",)),
    ("fabric.status", text, ("fabric/status",)),
    ("fabric.clique-id", whole, ("fabric/cliqueId",)),
    ("fabric.cluster-uuid", text, ("fabric/clusterUuid",)),
    ("fabric.health.summary", text, ("fabric/health/summary",)),
    ("fabric.health.bandwidth", text, ("fabric/health/bandwidth",)),
    ("fabric.health.route-recovery-in-progress", yes, ("fabric/health/route_recovery_in_progress",)),
    ("fabric.health.route-unhealthy", yes, ("fabric/health/route_unhealthy",)),
    ("fabric.health.access-timeout-recovery", yes, ("fabric/health/access_timeout_recovery",)),
    ("fabric.health.incorrect-configuration", text, ("fabric/health/incorrect_configuration",)),
    ("gsp.firmware-version", text, ("gsp_firmware_version",)),
    ("vbios-version", text, ("vbios_version",)),
    ("inforom.image", text, ("inforom_version/img_version",)),
    ("inforom.oem", text, ("inforom_version/oem_object",)),
    ("inforom.ecc", text, ("inforom_version/ecc_object",)),
    ("inforom.power", text, ("inforom_version/pwr_object",)),
    ("remapped-rows.correctable", whole, ("remapped_rows/remapped_row_corr",)),
    ("remapped-rows.uncorrectable", whole, ("remapped_rows/remapped_row_unc",)),
    ("remapped-rows.pending", yes, ("remapped_rows/remapped_row_pending",)),
    ("remapped-rows.failure", yes, ("remapped_rows/remapped_row_failure",)),
    ("retired-pages.single-bit", whole, ("retired_pages/multiple_single_bit_retirement/retired_count",)),
    ("retired-pages.double-bit", whole, ("retired_pages/double_bit_retirement/retired_count",)),
    ("retired-pages.pending", yes, ("retired_pages/pending_retirement",)),
    ("recovery-action", text, ("gpu_recovery_action",)),
    ("platform.module-id", whole, ("platformInfo/module_id",)),
    ("platform.chassis-serial-number", text, ("platformInfo/chassis_serial_number",)),
    ("platform.slot-number", whole, ("platformInfo/slot_number",)),
    ("platform.tray-index", whole, ("platformInfo/tray_index",)),
    ("platform.host-id", whole, ("platformInfo/host_id",)),
)

VOLATILE: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("temperature.gpu-celsius", whole, ("temperature/gpu_temp",)),
    ("temperature.memory-celsius", whole, ("temperature/memory_temp",)),
    (
        "power.draw-watts",
        decimal,
        ("gpu_power_readings/power_draw", "gpu_power_readings/instant_power_draw", "power_readings/power_draw"),
    ),
    ("performance-state", text, ("performance_state",)),
    ("utilization.gpu-percent", whole, ("utilization/gpu_util",)),
    ("utilization.memory-percent", whole, ("utilization/memory_util",)),
    ("memory.used-mib", whole, ("fb_memory_usage/used",)),
    ("memory.reserved-mib", whole, ("fb_memory_usage/reserved",)),
    ("clocks.current-graphics-mhz", whole, ("clocks/graphics_clock",)),
    ("clocks.current-sm-mhz", whole, ("clocks/sm_clock",)),
    ("clocks.current-memory-mhz", whole, ("clocks/mem_clock",)),
    ("clocks.current-video-mhz", whole, ("clocks/video_clock",)),
    ("pcie.generation-current", whole, ("pci/pci_gpu_link_info/pcie_gen/current_link_gen",)),
    ("pcie.replay-counter", whole, ("pci/replay_counter",)),
)


def driver(document: Document) -> Answer:
    """Version of the driver."""
    return _answer(document.top, text, ("driver_version",))


def cuda_version(document: Document) -> Answer:
    """The newest CUDA that the driver supports."""
    return _answer(document.top, text, ("cuda_version",))


def count(document: Document) -> Answer:
    """How many GPUs the program found; those that it could not describe are among them."""
    return _answer(document.top, whole, ("attached_gpus",))


def configuration(gpu: Mapping[str, str]) -> dict[str, Answer]:
    """Every reading of :data:`CONFIGURATION`, and the number of MIG devices."""
    answers = {key: _answer(gpu, convert, paths) for key, convert, paths in CONFIGURATION}
    mig = answers["mig.current"]
    answers["mig.devices"] = mig if isinstance(mig, Unsaid) else whole(gpu.get("@mig-devices", "0"))
    return answers


def volatile(gpu: Mapping[str, str]) -> dict[str, Answer]:
    """Every reading of :data:`VOLATILE`, and the clock event reasons that are active."""
    answers = {key: _answer(gpu, convert, paths) for key, convert, paths in VOLATILE}
    answers["clocks.event-reasons"] = _events(gpu)
    return answers


def _events(gpu: Mapping[str, str]) -> Answer:
    for folder, prefix in (("clocks_event_reasons", "clocks_event_reason_"), ("clocks_throttle_reasons", "clocks_throttle_reason_")):
        found = {name: gpu.get(f"{folder}/{prefix}{name.replace('-', '_')}") for name in CLOCK_EVENTS.values()}
        if any(state is not None for state in found.values()):
            return " ".join(name for name, state in found.items() if state == "Active") or "none"
    return _MISSING


_MISSING = Unsaid("nvidia-smi -q -x does not say it", broken=True)


def missing() -> Unsaid:
    """The answer for a key that the document has no element for."""
    return _MISSING


def _answer(elements: Mapping[str, str], convert: Convert, paths: Sequence[str]) -> Answer:
    for path in paths:
        value = elements.get(path)
        if value is None:
            continue
        if value in _NONE:
            return Unsaid("not supported" if "deprecated" not in value else "deprecated in this driver")
        return Unsaid(value or "empty", broken=True) if value in _BROKEN else convert(value)
    return _MISSING
