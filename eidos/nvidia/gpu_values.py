"""What both sources of GPU readings share: the words for states, and the absence of a reading.

Knows the words that ``nvidia-smi`` prints for NVML's enumerations; must not know how either source is read.

Keys are lower case; a dot separates a group from its member, a dash the words of one name; a unit is part of the key
(``power.default-limit-watts``). A state is a word (``Enabled``), a plain yes or no is a boolean.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Union

    from eidos.model.measurement import Reading

    GpuValue = Union[Reading, "NoReading"]

#: Readings that the subtype ``smi`` repeats for the first GPU → their keys there.
FIRST_GPU_KEYS = {
    "model": "gpu.model",
    "architecture": "gpu.product-architecture",
    "display-mode": "gpu.display-mode",
    "display-active": "gpu.display-active",
    "persistence-mode": "gpu.persistence-mode",
    "addressing-mode": "gpu.addressing-mode",
    "vbios-version": "gpu.vbios-version",
    "gsp.firmware-version": "gpu.gsp-firmware-version",
}

#: nvmlDeviceArchitecture_t (nvml.h, NVML_DEVICE_ARCH_*).
ARCHITECTURES = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}

#: nvmlEnableState_t.
STATES = {0: "Disabled", 1: "Enabled"}

#: nvmlComputeMode_t.
COMPUTE_MODES = {0: "Default", 1: "Exclusive_Thread", 2: "Prohibited", 3: "Exclusive_Process"}

#: nvmlGpuVirtualizationMode_t.
VIRTUALIZATION_MODES = {0: "None", 1: "Pass-Through", 2: "VGPU", 3: "Host VGPU", 4: "Host VSGA"}

#: nvmlDeviceAddressingModeType_t.
ADDRESSING_MODES = {0: "None", 1: "HMM", 2: "ATS"}

#: nvmlDeviceGpuRecoveryAction_t; the words up to 4 are those of NVIDIA's guide to GPU memory errors.
RECOVERY_ACTIONS = {
    0: "None",
    1: "Reset",
    2: "Reboot",
    3: "Drain P2P",
    4: "Drain and Reset",
    5: "Recover IMEX Domain",
    6: "Bus Reset",
    7: "System Reboot",
}

#: nvmlGpuFabricState_t; 0 is "not supported".
FABRIC_STATES = {1: "Not Started", 2: "In Progress", 3: "Completed"}

#: NVML_GPU_FABRIC_HEALTH_SUMMARY_*; 0 is "not supported".
FABRIC_SUMMARIES = {1: "Healthy", 2: "Unhealthy", 3: "Limited Capacity"}

#: NVML_GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_*; 0 is "not supported".
FABRIC_CONFIGURATIONS = {
    1: "None",
    2: "Incorrect SysGUID",
    3: "Incorrect Chassis Serial Number",
    4: "No Partition",
    5: "Insufficient NVLinks",
    6: "Incompatible GPU Firmware",
    7: "Invalid Location",
    8: "Invalid GPU State",
}

#: nvmlClocksEventReason*: the bits of nvmlDeviceGetCurrentClocksEventReasons.
CLOCK_EVENTS = {
    0x1: "gpu-idle",
    0x2: "applications-clocks-setting",
    0x4: "sw-power-cap",
    0x8: "hw-slowdown",
    0x10: "sync-boost",
    0x20: "sw-thermal-slowdown",
    0x40: "hw-thermal-slowdown",
    0x80: "hw-power-brake-slowdown",
    0x100: "display-clocks-setting",
}


class NoReading(Record):
    """The absence of a reading: ``reason`` in one phrase; ``is_unreadable`` when the value may exist and could not be read."""

    reason: str
    is_unreadable: bool = False


def word_of(words: Mapping[int, str], value: int) -> str:
    """Return the word for ``value``; a value that is newer than the table stays visible.

    >>> word_of(STATES, 1), word_of(STATES, 7)
    ('Enabled', 'unknown (7)')
    """
    return words.get(value, f"unknown ({value})")


def clock_event_names(mask: int) -> str:
    """Return the names of the bits in a mask of clock event reasons.

    >>> clock_event_names(0), clock_event_names(0x84), clock_event_names(0x1001)
    ('none', 'sw-power-cap hw-power-brake-slowdown', 'gpu-idle 0x1000')
    """
    names = [name for bit, name in CLOCK_EVENTS.items() if mask & bit]
    rest = mask & ~sum(CLOCK_EVENTS)
    return " ".join(names + ([hex(rest)] if rest else [])) or "none"


def normalize_bus_id(bus_id: str) -> str | None:
    """Return a PCI address as sysfs writes it, or None when it is not one; NVML writes the domain with eight digits.

    >>> normalize_bus_id("00000000:0F:00.0"), normalize_bus_id("10000:0f:00.0"), normalize_bus_id("GPU")
    ('0000:0f:00.0', '10000:0f:00.0', None)
    """
    try:
        domain, bus, rest = bus_id.strip().lower().split(":")
        device, function = rest.split(".")
        return f"{int(domain, 16):04x}:{int(bus, 16):02x}:{int(device, 16):02x}.{int(function, 16):x}"
    except ValueError:
        return None
