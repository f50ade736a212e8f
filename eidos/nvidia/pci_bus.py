"""Finds NVIDIA devices on the PCI bus, and says what drives those that the NVIDIA driver does not.

Knows sysfs and the kernel drivers that a device may be bound to; must not know NVML, nor where libraries are.

Sources: Linux, Documentation/ABI/testing/sysfs-bus-pci; Documentation/driver-api/vfio.rst and drivers/vfio/pci (passthrough to virtual
machines; variants such as nvgrace-gpu-vfio-pci end in ``vfio-pci``); drivers/xen/xen-pciback; drivers/gpu/drm/nouveau. The NVIDIA driver's
README, "Interaction with the Nouveau Driver", has the remedy for nouveau.
"""

from __future__ import annotations

from eidos.errors import EidosError, NotFound
from eidos.model.record import Record
from eidos.nvidia.gpu_values import normalize_bus_id
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.files.host import Host

PCI = "/sys/bus/pci/devices"

NOUVEAU_REMEDY = (
    "block nouveau (in /etc/modprobe.d/nouveau.conf: 'blacklist nouveau' and 'options nouveau modeset=0'), rebuild the initramfs "
    "(update-initramfs -u, or dracut --force), reboot, then install the NVIDIA driver"
)
_UNBOUND_HINT = "install or load the NVIDIA driver (modprobe nvidia); check the kernel log for why it was not loaded"


class PciDevice(Record):
    """An NVIDIA display or 3D controller on the PCI bus: its address as sysfs writes it, and the kernel driver bound to it, if any."""

    bus_id: str
    driver: str | None

    @property
    def is_passed_through(self) -> bool:
        """Whether the device is set aside for a virtual machine, which is no fault."""
        driver = (self.driver or "").replace("_", "-")
        return driver.endswith("vfio-pci") or driver in ("pciback", "xen-pciback")


def pci_devices(host: Host) -> tuple[PciDevice, ...]:
    """Return NVIDIA's display and 3D controllers (PCI classes 0300 and 0302) on the bus, without virtual functions.

    Raises NotFound when the host has no PCI bus, Unavailable when it cannot be read.
    """
    devices = []
    for bus_id in host.list_directory(PCI):
        folder = f"{PCI}/{bus_id}"
        try:
            if host.read_text(f"{folder}/vendor").strip() != "0x10de" or host.read_text(f"{folder}/class")[:6] not in ("0x0300", "0x0302"):
                continue
            if not host.exists(f"{folder}/physfn"):
                devices.append(PciDevice(normalize_bus_id(bus_id) or bus_id, _bound_driver(host, folder)))
        except NotFound:  # unplugged meanwhile
            continue
    return tuple(devices)


def numa_node(host: Host, bus_id: str) -> int | None:
    """Return the NUMA node of a PCI device; None when the platform names none. Raises NotFound or Unavailable."""
    node = host.read_text(f"{PCI}/{bus_id}/numa_node").strip()
    return int(node) if node.isdecimal() else None


def explain_without_driver(devices: Sequence[PciDevice]) -> tuple[str, str | None]:
    """Return what drives ``devices`` on a host without an NVIDIA driver, and the remedy; None where nothing is wrong.

    >>> explain_without_driver([PciDevice("0000:17:00.0", "vfio-pci")])
    ('1 NVIDIA device on the PCI bus is passed through to virtual machines (vfio-pci); a snapshot inside the machine reads it', None)
    >>> explain_without_driver([PciDevice("0000:17:00.0", "nouveau"), PciDevice("0000:18:00.0", None)])[0]
    '2 NVIDIA devices on the PCI bus: 1 without a kernel driver, 1 bound to nouveau'
    """
    drivers = [device.driver or "" for device in devices]
    total = f"{count_of(len(devices), 'NVIDIA device')} on the PCI bus"
    verb = "are" if len(devices) > 1 else "is"
    kinds = sorted(set(drivers))
    if all(device.is_passed_through for device in devices):
        reads = "reads them" if len(devices) > 1 else "reads it"
        return f"{total} {verb} passed through to virtual machines ({', '.join(kinds)}); a snapshot inside the machine {reads}", None
    states = {kind: f"bound to {kind}" if kind else "without a kernel driver" for kind in kinds}
    if len(kinds) == 1:
        explanation = f"{total} {verb} {states[kinds[0]]}"
    else:
        explanation = f"{total}: " + ", ".join(f"{drivers.count(kind)} {states[kind]}" for kind in kinds)
    if "nouveau" in kinds:
        return explanation, NOUVEAU_REMEDY
    others = [device.driver for device in devices if device.driver and not device.is_passed_through]
    if others and "" not in kinds:
        return explanation, f"unbind the GPUs from {others[0]}, then install or load the NVIDIA driver (modprobe nvidia)"
    return explanation, _UNBOUND_HINT


def explain_missing_device(device: PciDevice, source: str) -> str:
    """Return why ``source`` may not show a device that is on the bus, while the NVIDIA driver runs.

    >>> explain_missing_device(PciDevice("0000:17:00.0", "nvidia"), "NVML")
    'on the PCI bus but not in NVML: its kernel driver is nvidia'
    """
    if device.driver is None:
        return f"on the PCI bus but not in {source}: no kernel driver is bound to it"
    remedy = f"; {NOUVEAU_REMEDY}" if device.driver == "nouveau" else ""
    return f"on the PCI bus but not in {source}: its kernel driver is {device.driver}{remedy}"


def _bound_driver(host: Host, folder: str) -> str | None:
    try:
        return host.read_link(f"{folder}/driver").rstrip("/").rpartition("/")[2] or None
    except EidosError:
        return None
