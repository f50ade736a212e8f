r"""PCI devices that a GPU node is made of, and the path between each GPU and each network card.

Knows the files of /sys/bus/pci/devices (the kernel's Documentation/ABI/testing/sysfs-bus-pci and sysfs-kernel-iommu_groups), classes of the
PCI ID Repository and the ACS capability of the PCI Express Base Specification (7.7.11 in revision 6.0); must not know any product. The key
of a reading is the device's address and what is read; bridges are read only above a GPU, for ACS::

    DRIVER=nvidia           0000:1b:00.0.kind: gpu          0000:1b:00.0.width: 16        0000:1b:00.0.acs: "SrcValid ReqRedir"
    PCI_CLASS=30200         0000:1b:00.0.id: 10de:2330      0000:1b:00.0.max-width: 16    0000:1b:00.0.iommu: identity
    PCI_ID=10DE:2330        0000:1b:00.0.driver: nvidia     0000:1b:00.0.numa-node: 0

The path from a GPU to a network card has nvidia-smi's words (``nvidia-smi topo -m``): PIX one switch, PXB several switches, PHB one host
bridge, NODE one NUMA node, SYS across. ``<gpu>.nics`` lists them from the nearest to the farthest. Speeds are volatile: an idle link
slows down.

>>> relation(
...     ("pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:00.0", "0000:18:00.0"),
...     0,
...     ("pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:01.0", "0000:19:00.0"),
...     0,
... )
'PIX'
>>> acs_flags(0x1D)
'SrcValid ReqRedir CmpltRedir UpstreamFwd'
"""

from __future__ import annotations

import errno

from eidos.collectors._sysfs import Facts
from eidos.files.host import FileMissing, FileUnreadable
from eidos.model.measurement import UNREADABLE, VOLATILE, Gap, Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.files.host import Directory
    from eidos.model.measurement import Part, Readings

    Path = tuple[str, ...]

DEVICES = "/sys/bus/pci/devices"
IOMMU_GROUPS = "/sys/kernel/iommu_groups"
IOMMU_UNITS = "/sys/class/iommu"

#: Devices that are looked at, and devices of interest, at most.
DEVICE_LIMIT, READ_LIMIT = 4096, 512

#: Beginnings of PCI classes (class, subclass) → kind; those of NVIDIA alone have its vendor with them.
KINDS = {
    "0200": "nic",
    "0207": "nic",
    "0280": "nic",
    "0108": "nvme",
}
NVIDIA = "10de"
NVIDIA_KINDS = {"0300": "gpu", "0302": "gpu", "0680": "nvswitch"}
BRIDGE = "0604"

#: File of a device → key; the second ones are volatile.
FILES = {"numa_node": "numa-node", "current_link_width": "width", "max_link_width": "max-width", "max_link_speed": "max-speed"}
SRIOV_FILES = {"sriov_numvfs": "sriov-vfs", "sriov_totalvfs": "sriov-max-vfs"}
VOLATILE_FILES = {"current_link_speed": "speed"}

#: Counters of PCI Express errors (the kernel's Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats): the last word is their total.
ERROR_FILES = {"aer_dev_correctable": "aer-correctable", "aer_dev_nonfatal": "aer-non-fatal", "aer_dev_fatal": "aer-fatal"}

#: Bits of the ACS control register, as lspci names them, and its capability among the extended ones, which begin at 0x100.
ACS_BITS = ("SrcValid", "TransBlk", "ReqRedir", "CmpltRedir", "UpstreamFwd", "EgressCtrl", "DirectTrans")
ACS_CAPABILITY, EXTENDED_CAPABILITIES, CAPABILITY_LIMIT = 0x000D, 0x100, 64

#: Words for the path between two devices, from the nearest.
RELATIONS = ("PIX", "PXB", "PHB", "NODE", "SYS")


class _Device:
    """One device: its path below /sys/devices, its kind, and what its uevent says."""

    def __init__(self, path: Path, kind: str, fields: dict[str, str]) -> None:
        self.path = path
        self.address = path[-1]
        self.kind = kind
        self.fields = fields
        self.numa_node: int | None = None

    @property
    def route(self) -> Path:
        """The path from the host bridge on: ``pci0000:15``, ports of switches, the device."""
        first = next((number for number, name in enumerate(self.path) if name.startswith("pci")), 0)
        return self.path[first:]


def device_kind(pci_class: str, vendor: str) -> str:
    """What a device is to a GPU node: a kind, ``bridge``, or nothing.

    >>> device_kind("30200", "10DE"), device_kind("20700", "15B3"), device_kind("60400", "1000"), device_kind("c0330", "8086")
    ('gpu', 'nic', 'bridge', '')
    """
    code = pci_class.lower().zfill(6)[:4]
    if code == BRIDGE:
        return "bridge"
    return (NVIDIA_KINDS.get(code) if vendor.lower() == NVIDIA else None) or KINDS.get(code, "")


def relation(gpu: Path, gpu_node: int | None, other: Path, other_node: int | None) -> str:
    """The word for the path between two devices, given as their addresses from the host bridge on, and their NUMA nodes."""
    common = 0
    while common < min(len(gpu), len(other)) and gpu[common] == other[common]:
        common += 1
    if common == 0:
        return "NODE" if gpu_node is not None and gpu_node == other_node else "SYS"
    if common == 1:  # nothing but the host bridge
        return "PHB"
    # A switch is an upstream and a downstream port: what is left of each path are the ports below the common one, and the device.
    return "PIX" if max(len(gpu), len(other)) - common <= 2 else "PXB"


def acs_flags(control: int) -> str:
    """The names of the bits of an ACS control register; empty if none is set."""
    return " ".join(name for bit, name in enumerate(ACS_BITS) if control >> bit & 1)


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the readings of each device of interest, the paths between GPUs and network cards, and gaps."""
    facts = Facts(sources, "pci")
    try:
        with sources.host.open_directory(DEVICES) as folder:
            paths = _paths(facts, folder)
    except FileMissing:
        facts.require_folders("no PCI bus", "/sys")
        yield from facts.gaps
        return
    except FileUnreadable as fault:
        yield Gap(UNREADABLE, DEVICES, fault.reason)
        return
    tree = _Tree(facts)
    try:
        devices = [device for device in map(tree.device, paths) if device is not None]
        read = [device for device in devices if device.kind not in ("", "bridge")]
        if len(read) > READ_LIMIT:
            facts.gap(UNREADABLE, DEVICES, f"more than {READ_LIMIT} devices of interest")
            del read[READ_LIMIT:]
        above_gpus = {name for device in read if device.kind == "gpu" for name in device.path[:-1]}
        data: Readings = dict(_iommu_units(facts))
        volatile: Readings = {}
        for device in [*read, *(device for device in devices if device.kind == "bridge" and device.address in above_gpus)]:
            data.update(tree.bridge_readings(device) if device.kind == "bridge" else tree.readings(device))
            if sources.volatile and device.kind != "bridge":
                volatile.update(tree.volatile_readings(device))
    finally:
        tree.close()
    if not any(gap.kind == UNREADABLE and _hides_a_card(gap.what) for gap in facts.gaps):
        data.update(_nearest(read))
    yield from facts.gaps
    yield Subtype("pci", data)
    if sources.volatile:
        yield Subtype("pci" + VOLATILE, volatile)


def _iommu_units(facts: Facts) -> Iterator[tuple[str, int]]:
    folder = facts.open_folder(IOMMU_UNITS)
    if folder is not None:
        with folder:
            yield "iommu.units", len(folder.list_names())


def _hides_a_card(what: str) -> bool:
    """Whether a gap leaves open which network cards there are, or where."""
    return what.endswith(("/uevent", "/numa_node")) or (what.startswith(DEVICES) and not what.endswith("/config"))


def _nearest(devices: list[_Device]) -> Iterator[tuple[str, str]]:
    """For each GPU the network cards by distance."""
    nics = [device for device in devices if device.kind == "nic"]
    for gpu in devices if nics else ():
        if gpu.kind == "gpu":
            words = [(relation(gpu.route, gpu.numa_node, nic.route, nic.numa_node), nic.address) for nic in nics]
            words.sort(key=lambda pair: (RELATIONS.index(pair[0]), pair[1]))
            yield f"{gpu.address}.nearest-nic", words[0][0]
            yield f"{gpu.address}.nics", " ".join(f"{address}={word}" for word, address in words)


def _paths(facts: Facts, folder: Directory) -> list[Path]:
    """Of each device the names on its path below /sys/devices, in order, so that a bridge comes before what is behind it."""
    paths: list[Path] = []
    names = sorted(folder.list_names())
    if len(names) > DEVICE_LIMIT:
        facts.gap(UNREADABLE, DEVICES, f"more than {DEVICE_LIMIT} devices")
    for name in names[:DEVICE_LIMIT]:
        try:
            target = folder.read_link(name)
        except (FileMissing, FileUnreadable) as fault:
            facts.gap(UNREADABLE, f"{DEVICES}/{name}", fault.reason)
            continue
        _, devices, path = target.partition("/devices/")
        if devices and path.endswith(name):
            paths.append(tuple(path.split("/")))
        else:
            facts.gap(UNREADABLE, f"{DEVICES}/{name}", "not a link to a device")
    return sorted(paths)


class _Tree:
    """The folders of /sys/devices on the way to the device that was last looked at, which the next one mostly shares."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._open: list[tuple[str, Directory]] = []
        self._iommu_types: dict[str, str] = {}
        self._lacks_right = False

    def close(self) -> None:
        """Close the folders."""
        while self._open:
            self._open.pop()[1].close()

    def _folder(self, path: Path) -> Directory | None:
        if not self._open:
            top = self._facts.open_folder("/sys/devices")
            if top is None:
                return None
            self._open.append(("", top))
        shared = 0
        while shared < min(len(self._open) - 1, len(path)) and self._open[shared + 1][0] == path[shared]:
            shared += 1
        while len(self._open) > shared + 1:
            self._open.pop()[1].close()
        for name in path[shared:]:
            below = self._facts.open_folder(name, inside=self._open[-1][1])
            if below is None:
                return None
            self._open.append((name, below))
        return self._open[-1][1]

    def device(self, path: Path) -> _Device | None:
        """The device at a path, or None if it disappeared or cannot be read."""
        folder = self._folder(path)
        text = self._facts.lines(folder, ("uevent",)).get("uevent") if folder else None
        if folder is None or text is None:
            return None
        fields = {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}
        if "PCI_CLASS" not in fields:
            self._facts.gap(UNREADABLE, f"{folder.path}/uevent", "without PCI_CLASS")
        kind = device_kind(fields.get("PCI_CLASS", ""), fields.get("PCI_ID", "").partition(":")[0])
        if kind in ("gpu", "nic", "nvme") and self._link_name(folder, "physfn"):
            kind = ""  # a virtual function: counted at the physical one
        return _Device(path, kind, fields)

    def readings(self, device: _Device) -> Readings:
        """The readings of a device of interest."""
        folder = self._folder(device.path)
        if folder is None:
            return {}
        fields = device.fields
        data: Readings = {"kind": device.kind}
        for key, field in (("id", "PCI_ID"), ("subsystem", "PCI_SUBSYS_ID"), ("driver", "DRIVER")):
            if fields.get(field):
                data[key] = fields[field].lower() if field != "DRIVER" else fields[field]
        data.setdefault("driver", "none")
        for name, text in self._facts.lines(folder, (*FILES, *(SRIOV_FILES if device.kind == "nic" else ()))).items():
            if name == "max_link_speed":
                data["max-speed"] = text.removesuffix(" PCIe")
                continue
            number = self._facts.parse_number(f"{folder.path}/{name}", text)
            if name == "numa_node":
                number = device.numa_node = None if number is None or number < 0 else number
            if number is not None:
                data[FILES.get(name) or SRIOV_FILES[name]] = number
        group = self._link_name(folder, "iommu_group")
        if group:
            if group not in self._iommu_types:
                unread = self._facts.unread_count
                kind = self._facts.line(f"{IOMMU_GROUPS}/{group}/type") or f"group {group}"  # old kernels have no types
                self._iommu_types[group] = kind if self._facts.unread_count == unread else ""
            data.update({"iommu": self._iommu_types[group]} if self._iommu_types[group] else {})
        return {f"{device.address}.{key}": value for key, value in data.items()}

    def volatile_readings(self, device: _Device) -> Readings:
        """The readings of a device of interest that change on their own."""
        folder = self._folder(device.path)
        data: Readings = {}
        for name, text in self._facts.lines(folder, (*VOLATILE_FILES, *ERROR_FILES)).items() if folder else ():
            if name in VOLATILE_FILES:
                data[VOLATILE_FILES[name]] = text.removesuffix(" PCIe")
                continue
            total = self._facts.parse_number(f"{device.path[-1]}/{name}", text.rpartition(" ")[2])
            if total is not None:
                data[ERROR_FILES[name]] = total
        return {f"{device.address}.{key}": value for key, value in data.items()}

    def bridge_readings(self, device: _Device) -> Readings:
        """Which ACS controls of a bridge are on; reading them would wake a bridge that sleeps."""
        folder = self._folder(device.path)
        if folder is None or self._lacks_right:
            return {}
        unread = self._facts.unread_count
        power = self._facts.open_folder("power", inside=folder)
        if power is not None:
            with power:
                if self._facts.lines(power, ("runtime_status",)).get("runtime_status", "").startswith("suspend"):
                    self._facts.gap(UNREADABLE, f"{folder.path}/config", "suspended, and reading its configuration would wake it")
        if self._facts.unread_count > unread:
            return {}
        try:
            control = self._acs_control(folder)
        except FileMissing:
            return {}
        except FileUnreadable as fault:
            self._lacks_right = fault.errno == errno.EPERM  # once is enough
            self._facts.gap(UNREADABLE, fault.path, fault.reason)
            return {}
        flags = "unsupported" if control is None else acs_flags(control) or "none"
        return {f"{device.address}.kind": "bridge", f"{device.address}.acs": flags}

    def _acs_control(self, folder: Directory) -> int | None:
        """The ACS control register; None for a device without that capability."""
        if len(folder.read_at("config", 0x40, 4)) < 4:
            why = "only the first 64 bytes are readable; needs CAP_SYS_ADMIN in the host's user namespace"
            raise FileUnreadable(f"{DEVICES}/*/config", why, errno.EPERM)
        offset = EXTENDED_CAPABILITIES
        for _ in range(CAPABILITY_LIMIT):
            # A capability's header: its number, its version, and where the next one is.
            header = int.from_bytes(folder.read_at("config", offset, 4), "little")
            if header & 0xFFFF == ACS_CAPABILITY:
                return int.from_bytes(folder.read_at("config", offset + 6, 2), "little")
            offset = header >> 20
            if offset < EXTENDED_CAPABILITIES:
                break
        return None

    @staticmethod
    def _link_name(folder: Directory, name: str) -> str:
        """The last part of a link's target; empty if there is no such link."""
        try:
            return folder.read_link(name).rpartition("/")[2]
        except (FileMissing, FileUnreadable):
            return ""
