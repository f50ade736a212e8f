"""Trees of GPU nodes, written from a short description: what /proc and /sys of such a machine hold, and nothing that was captured.

Knows the form of procfs and sysfs (the kernel's Documentation/ABI/testing) and, of each machine in :data:`MACHINES`, what public documents
say of it; must not know what a collector reads. Bus ids of the DGX H100's GPUs and network cards are those of ``nvidia-smi topo -m`` in
NVIDIA's DGX H100 user guide; ids of devices are those of the PCI ID Repository; ports of switches, serial numbers and other bus ids are
made up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

H100, A100, GB200, NVSWITCH = ("10de:2330", "10de:16c1"), ("10de:20b0", "10de:134f"), ("10de:2941", "10de:2046"), ("10de:22a3", "10de:1796")
CX7, CX7_VF, EFA, GVNIC, NVME = (
    ("15b3:1021", "15b3:0041"),
    ("15b3:101e", "15b3:0127"),
    ("1d0f:efa2", "1d0f:efa2"),
    ("1ae0:0042",) * 2,
    (
        "144d:a824",
        "144d:aa8b",
    ),
)


class Slot(NamedTuple):
    """A device: its class, ids, driver, NUMA node, and the addresses of what it is behind."""

    address: str
    pci_class: str
    ids: tuple[str, str]
    driver: str
    node: int = -1
    behind: tuple[str, ...] = ()
    width: int = 16


class Machine(NamedTuple):
    """A machine: texts of DMI, its processors, and its devices."""

    dmi: dict[str, str]
    model: str
    sockets: int
    cores: int
    threads_per_core: int
    slots: tuple[Slot, ...]
    governor: str = "performance"
    memory_kib: int = 2113462016


def _dgx_h100() -> tuple[Slot, ...]:
    slots: list[Slot] = []
    pairs = {"1b": "18", "43": "40", "52": "4f", "61": "5e", "9d": "9a", "c3": "c0", "d1": "ce", "df": "dc"}
    for number, (gpu, nic) in enumerate(pairs.items()):
        node, root = number // 4, f"{int(nic, 16) - 3:02x}"
        up, down = f"{int(root, 16) + 1:02x}", f"{int(root, 16) + 2:02x}"
        above = (f"pci0000:{root}", f"0000:{root}:01.0", f"0000:{up}:00.0")
        for bus in (nic, gpu):
            port = f"0000:{down}:{'00' if bus == nic else '01'}.0"
            device = Slot(
                f"0000:{bus}:00.0", "30200" if bus == gpu else "20700", H100 if bus == gpu else CX7, "nvidia" if bus == gpu else "mlx5_core"
            )
            slots.append(device._replace(node=node, behind=(*above, port)))
    storage = [(bus, node, f"{int(bus, 16) - 1:02x}", function) for bus, node in (("29", 0), ("aa", 1)) for function in range(2)]
    slots += [
        Slot(f"0000:{bus}:00.{function}", "20000", CX7, "mlx5_core", node, (f"pci0000:{root}", f"0000:{root}:01.0"))
        for bus, node, root, function in storage
    ]
    above_switches = ("pci0000:03", "0000:03:01.0", "0000:04:00.0")
    slots += [
        Slot(f"0000:{number + 7:02x}:00.0", "68000", NVSWITCH, "nvidia-nvswitch", 0, (*above_switches, f"0000:05:0{number}.0"), 2)
        for number in range(4)
    ]
    disks = [(f"0001:{number + 2:02x}:00.0", number % 2, f"0001:{number + 1:02x}") for number in range(10)]
    slots += [Slot(address, "10802", NVME, "nvme", node, (f"pci{port}", f"{port}:00.0"), 4) for address, node, port in disks]
    return tuple(slots)


def _flat(
    gpus: Iterable[str], gpu_ids: tuple[str, str], nics: Iterable[str], nic_ids: tuple[str, str], nic_driver: str, half: int
) -> tuple[Slot, ...]:
    """Devices as a hypervisor shows them: each right below a host bridge."""
    nic_class = "20700" if nic_driver == "mlx5_core" else "20000"
    groups = (("30200", gpus, gpu_ids, "nvidia"), (nic_class, nics, nic_ids, nic_driver))
    return tuple(
        Slot(address, pci_class, ids, driver, number // half, (f"pci{address[:7]}",))
        for pci_class, addresses, ids, driver in groups
        for number, address in enumerate(addresses)
    )


MACHINES = {
    "NVIDIA DGX H100": Machine(
        # NVIDIA DGX H100 user guide, and /sys/class/dmi/id of such systems in public reports
        {
            "sys_vendor": "NVIDIA",
            "product_name": "DGXH100",
            "product_family": "DGX",
            "board_vendor": "NVIDIA",
            "bios_version": "1.06.07",
            "product_serial": "1660224000001",
        },
        "Intel(R) Xeon(R) Platinum 8480C",
        2,
        56,
        2,
        _dgx_h100(),
    ),
    "AWS p5.48xlarge": Machine(
        # AWS: DMI names the instance type (EC2 user guide, "Identify EC2 instances"); 8 H100, 32 EFA devices, 192 vCPUs
        {
            "sys_vendor": "Amazon EC2",
            "product_name": "p5.48xlarge",
            "board_asset_tag": "i-00000000000000001",
            "bios_vendor": "Amazon EC2",
            "bios_version": "1.0",
        },
        "AMD EPYC 7R13 Processor",
        2,
        48,
        2,
        _flat(
            [f"0000:{bus}:00.0" for bus in ("53", "64", "75", "86", "97", "a8", "b9", "ca")],
            H100,
            [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x40)],
            EFA,
            "efa",
            4,
        ),
    ),
    "Google Cloud a3-megagpu-8g": Machine(
        # Google: DMI says "Google Compute Engine" of every type; 8 H100, 8 network cards for the GPUs and one more, 208 vCPUs
        {"sys_vendor": "Google", "product_name": "Google Compute Engine", "bios_vendor": "Google", "bios_version": "Google"},
        "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
        2,
        52,
        2,
        _flat(
            [f"0000:{bus}:00.0" for bus in ("04", "05", "0a", "0b", "84", "85", "8a", "8b")],
            H100,
            [f"0000:{bus}:00.0" for bus in ("00", "06", "07", "0c", "0d", "86", "87", "8c", "8d")],
            GVNIC,
            "gvnic",
            4,
        ),
    ),
    "Azure ND H100 v5": Machine(
        # Azure: DMI says "Virtual Machine", and the asset tag is the same on all; 8 H100, 8 virtual functions of ConnectX-7, 96 vCPUs
        {
            "sys_vendor": "Microsoft Corporation",
            "product_name": "Virtual Machine",
            "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
            "bios_version": "Hyper-V UEFI Release v4.1",
        },
        "Intel(R) Xeon(R) Platinum 8480C",
        2,
        48,
        1,
        _flat(
            [f"000{number + 1}:00:00.0" for number in range(8)],
            H100,
            [f"010{number + 1}:00:00.0" for number in range(8)],
            CX7_VF,
            "mlx5_core",
            4,
        ),
    ),
    "OCI BM.GPU.H100.8": Machine(
        # Oracle: the asset tag names the cloud on bare metal, too; 8 H100, 16 ports of ConnectX-7 for the GPUs and 2 more, 112 cores
        {
            "sys_vendor": "Supermicro",
            "product_name": "SYS-821GE-TNHR",
            "chassis_asset_tag": "OracleCloud.com",
            "bios_vendor": "American Megatrends International, LLC.",
            "bios_version": "2.1",
        },
        "Intel(R) Xeon(R) Platinum 8480+",
        2,
        56,
        2,
        _flat(
            [f"0000:{bus}:00.0" for bus in ("0f", "2d", "44", "5b", "89", "a8", "c0", "d8")],
            H100,
            [f"0000:{bus}:00.{port}" for bus in ("0c", "2a", "41", "58", "86", "a5", "bd", "d5", "1f") for port in (0, 1)],
            CX7,
            "mlx5_core",
            4,
        ),
    ),
}


def write_node_tree(root: Path, machine: Machine, with_each_cpu: bool = False) -> None:
    """Write the tree of a machine below ``root``; the folders of each processor are most of it, and left out by default."""
    for name, text in machine.dmi.items():
        _write(root / "sys/devices/virtual/dmi/id" / name, text)
    _link(root / "sys/class/dmi/id", "../../devices/virtual/dmi/id")
    _write_cpus(root, machine, with_each_cpu)
    for slot in machine.slots:
        write_slot(root, slot)


def _write_cpus(root: Path, machine: Machine, with_each_cpu: bool) -> None:
    cores = machine.sockets * machine.cores
    threads = cores * machine.threads_per_core
    cpus = root / "sys/devices/system/cpu"
    for name in ("online", "present", "possible"):
        _write(cpus / name, f"0-{threads - 1}")
    _write(cpus / "isolated", "")
    _write(cpus / "nohz_full", "(null)")
    _write(cpus / "smt/control", "on" if machine.threads_per_core > 1 else "notsupported")
    _write(cpus / "vulnerabilities/meltdown", "Not affected")
    _write(cpus / "vulnerabilities/spectre_v1", "Mitigation: usercopy/swapgs barriers and __user pointer sanitization")
    info = []
    for cpu in range(threads if with_each_cpu else 1):
        core, socket = cpu % cores, cpu % cores // machine.cores
        siblings = [core + number * cores for number in range(machine.threads_per_core)]
        package = [
            f"{socket * machine.cores + number * cores}-{(socket + 1) * machine.cores - 1 + number * cores}"
            for number in range(machine.threads_per_core)
        ]
        _write(cpus / f"cpu{cpu}/topology/core_cpus_list", ",".join(map(str, siblings)))
        _write(cpus / f"cpu{cpu}/topology/package_cpus_list", ",".join(package))
        _write(cpus / f"cpufreq/policy{cpu}/scaling_governor", machine.governor)
        _write(cpus / f"cpufreq/policy{cpu}/scaling_driver", "intel_pstate")
        _write(cpus / f"cpufreq/policy{cpu}/energy_performance_preference", "performance")
        flags = "flag " * 150
        info.append(
            f"processor\t: {cpu}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: {machine.model}\n"
            f"stepping\t: 8\nmicrocode\t: 0x2b000603\nflags\t\t: {flags}\n"
        )
    _write(root / "proc/cpuinfo", "\n".join(info))
    for state, name in enumerate(("POLL", "C1", "C1E", "C6")):
        _write(cpus / f"cpu0/cpuidle/state{state}/name", name)
        _write(cpus / f"cpu0/cpuidle/state{state}/disable", "0")
    _write(
        root / "proc/meminfo",
        f"MemTotal:       {machine.memory_kib} kB\nMemAvailable:   {machine.memory_kib - 9000000} kB\nHugepagesize:       2048 kB",
    )
    _write(root / "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
    for node in range(machine.sockets):
        path = root / f"sys/devices/system/node/node{node}"
        first = [node * machine.cores + number * cores for number in range(machine.threads_per_core)]
        _write(path / "cpulist", ",".join(f"{start}-{start + machine.cores - 1}" for start in first))
        _write(path / "distance", " ".join("10" if other == node else "21" for other in range(machine.sockets)))
        _write(path / "meminfo", f"Node {node} MemTotal:       {machine.memory_kib // machine.sockets} kB")
        for size in (2048, 1048576):
            for name in ("nr_hugepages", "free_hugepages", "surplus_hugepages"):
                _write(path / f"hugepages/hugepages-{size}kB/{name}", "0")
    for size in (2048, 1048576):
        for name in ("nr_hugepages", "free_hugepages", "surplus_hugepages", "resv_hugepages", "nr_overcommit_hugepages"):
            _write(root / f"sys/kernel/mm/hugepages/hugepages-{size}kB/{name}", "0")


def write_slot(root: Path, slot: Slot) -> None:
    """Write a device, and the bridges that it is behind."""
    path = root / "sys/devices"
    for name in slot.behind:
        path /= name
        if not name.startswith("pci"):
            _write_device(root, path, Slot(name, "60400", ("8086:352a", "8086:0000"), "pcieport", slot.node, width=slot.width))
            _write(path / "power/runtime_status", "active")
            (path / "config").write_bytes(config_space(0x1D))
    _write_device(root, path / slot.address, slot)


def _write_device(root: Path, path: Path, slot: Slot) -> None:
    _link(root / "sys/bus/pci/devices" / slot.address, "../../../" + str(path.relative_to(root / "sys")))
    ids, subsystem = (text.upper() for text in slot.ids)
    _write(
        path / "uevent",
        f"DRIVER={slot.driver}\nPCI_CLASS={slot.pci_class}\nPCI_ID={ids}\nPCI_SUBSYS_ID={subsystem}\nPCI_SLOT_NAME={slot.address}",
    )
    _write(path / "class", f"0x{slot.pci_class:0>6}")
    _write(path / "vendor", f"0x{slot.ids[0][:4]}")
    _write(path / "device", f"0x{slot.ids[0][5:]}")
    _write(path / "numa_node", str(slot.node))
    for name in ("current_link_width", "max_link_width"):
        _write(path / name, str(slot.width))
    for name in ("current_link_speed", "max_link_speed"):
        _write(path / name, "32.0 GT/s PCIe")
    if slot.pci_class[0] == "2":
        _write(path / "sriov_numvfs", "0")
        _write(path / "sriov_totalvfs", "16")
    group = str(int(slot.address.replace(":", "").replace(".", ""), 16) % 997)
    _link(path / "iommu_group", f"/sys/kernel/iommu_groups/{group}")
    _write(root / f"sys/kernel/iommu_groups/{group}/type", "identity")


def config_space(acs_control: int, before: tuple[int, ...] = (0x0001,), size: int = 0x200) -> bytes:
    """A configuration space whose extended capabilities are ``before`` and then ACS, with that control register."""
    data = bytearray(size)
    offset = 0x100
    for capability in before:
        data[offset : offset + 4] = (capability | 1 << 16 | offset + 0x40 << 20).to_bytes(4, "little")
        offset += 0x40
    data[offset : offset + 4] = (0x000D | 1 << 16).to_bytes(4, "little")
    data[offset + 6 : offset + 8] = acs_control.to_bytes(2, "little")
    return bytes(data)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(target)


def read_tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Path → mode and content of everything below a folder."""
    entries = {}
    for path in sorted(root.rglob("*")):
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        entries[str(path.relative_to(root))] = (path.lstat().st_mode, content)
    return entries
