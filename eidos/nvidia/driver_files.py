"""Finds an NVIDIA driver and NVIDIA devices in a file tree, without loading or running anything.

Knows where the kernel module, the device nodes, the library and the PCI bus appear; must not know NVML.

Sources: /proc/driver/nvidia (NVIDIA driver README, "Using the /proc/driver/nvidia interface"), /sys/module/nvidia/version,
/sys/bus/pci/devices (Linux, Documentation/ABI/testing/sysfs-bus-pci), ld.so(8) for where libraries are searched.
"""

from __future__ import annotations

import os

from eidos.errors import EidosError, NotFound, Unavailable
from eidos.model.record import Record
from eidos.nvidia.gpu_values import normalize_bus_id
from eidos.nvidia.nvml import SONAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.files.host import Host

PCI = "/sys/bus/pci/devices"

#: Where drivers put their library. The driver container of the GPU Operator comes first: where it runs, its driver is the one in use.
LIBRARY_FOLDERS = (
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
    "/run/nvidia/driver/usr/lib/aarch64-linux-gnu",
    "/run/nvidia/driver/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",  # Kubernetes on Google Cloud, inside a container
    "/home/kubernetes/bin/nvidia/lib64",  # the same, on Container-Optimized OS itself
    "/opt/nvidia/lib64",
    "/run/opengl-driver/lib",  # NixOS
    "/usr/lib/wsl/lib",  # WSL 2
)

#: Any of these shows that a driver is at work. (WSL 2 has none of them: there the library is the trace.)
_TRACES = ("/proc/driver/nvidia/version", "/sys/module/nvidia", "/dev/nvidiactl")

_LD_CACHE = "/etc/ld.so.cache"


class InstalledDriver(Record):
    """``is_loaded``: a kernel driver is active; ``version``: of its module, if known; ``libraries``: paths below the root, best first."""

    is_loaded: bool
    version: str | None
    libraries: tuple[str, ...]


class PciDevice(Record):
    """An NVIDIA display or 3D controller on the PCI bus: its address as sysfs writes it, and the kernel driver bound to it, if any."""

    bus_id: str
    driver: str | None


def find_driver(host: Host, environ: Mapping[str, str] = os.environ) -> InstalledDriver:
    """Look for traces of a driver; a trace that cannot be read counts as one.

    On the running system, in a container too, the dynamic linker is consulted as well (LD_LIBRARY_PATH and its cache): NVIDIA's container
    runtime puts the library there. A library that only the linker finds is listed by its bare name.
    """
    version = module_version(host)
    libraries = [f"{folder}/{SONAME}" for folder in LIBRARY_FOLDERS if _exists(host, f"{folder}/{SONAME}")]
    if version is not None:
        # With the libraries of two drivers, the one whose file is named after the module's version is the one that can talk to it.
        libraries.sort(key=lambda path: library_version(_link_target(host, path)) != version)
    if (host.root == "/" or host.is_running_system) and _linker_finds(environ):
        libraries.insert(0, SONAME)
    return InstalledDriver(version is not None or any(_exists(host, path) for path in _TRACES), version, tuple(libraries))


def module_version(host: Host) -> str | None:
    """Return the version of the loaded kernel module, or None."""
    try:
        return host.read_text("/sys/module/nvidia/version").strip() or None
    except EidosError:
        pass
    try:
        return parse_module_version(host.read_text("/proc/driver/nvidia/version"))
    except EidosError:
        return None


def parse_module_version(text: str) -> str | None:
    """Return the module's version from the text of /proc/driver/nvidia/version, or None.

    >>> parse_module_version("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U16)")
    '570.86.15'
    >>> parse_module_version("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023")
    '535.54.03'
    """
    for word in text.partition("\n")[0].split():
        if "." in word and word.replace(".", "").isdecimal() and word.isascii():
            return word
    return None


def library_version(path: str) -> str | None:
    """Return the version that a library's file is named after, or None.

    >>> library_version("/usr/lib/libnvidia-ml.so.570.86.15"), library_version("/usr/lib/libnvidia-ml.so.1")
    ('570.86.15', None)
    """
    version = path.rpartition("/")[2].partition(".so.")[2]
    return version if "." in version else None


def library_in_use() -> str | None:
    """Return the path of the management library that this process has loaded, links resolved; None when it has none."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                path = line.rstrip("\n").partition("/")
                if path[2].rpartition("/")[2].startswith("libnvidia-ml.so"):
                    return path[1] + path[2]
    except OSError:
        pass
    return None


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


def _bound_driver(host: Host, folder: str) -> str | None:
    try:
        return host.read_link(f"{folder}/driver").rstrip("/").rpartition("/")[2] or None
    except EidosError:
        return None


def numa_node(host: Host, bus_id: str) -> int | None:
    """Return the NUMA node of a PCI device; None when the platform names none. Raises NotFound or Unavailable."""
    node = host.read_text(f"{PCI}/{bus_id}/numa_node").strip()
    return int(node) if node.isdecimal() else None


def _exists(host: Host, path: str) -> bool:
    try:
        return host.exists(path)
    except Unavailable:
        return True


def _link_target(host: Host, path: str) -> str:
    try:
        return host.read_link(path)
    except EidosError:
        return path


def _linker_finds(environ: Mapping[str, str]) -> bool:
    folders = environ.get("LD_LIBRARY_PATH", "").split(":")
    if any(folder and os.path.exists(f"{folder}/{SONAME}") for folder in folders):
        return True
    try:
        with open(_LD_CACHE, "rb") as cache:
            return SONAME.encode() in cache.read(8 << 20)
    except OSError:
        return False
