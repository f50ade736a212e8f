"""Finds an NVIDIA driver in a file tree, without loading or running anything.

Knows where the kernel module, the device nodes and the library appear; must not know NVML, nor the PCI bus (``pci_bus`` does).

Sources: /proc/driver/nvidia (NVIDIA driver README, "Using the /proc/driver/nvidia interface"), /sys/module/nvidia/version, ld.so(8) and
ldconfig(8) for where libraries are searched. Where a distribution puts the library, row by row: Talos keeps glibc and the driver apart from
its own musl (siderolabs/extensions; /usr/local/lib since 1.13), Bottlerocket has its own folder (packages/kmod-*-nvidia), Debian one for
each driver that is installed (libnvidia-ml1, update-glx), Container-Optimized OS the installer's target (cos-gpu-installer).
"""

from __future__ import annotations

import os

from eidos.errors import EidosError, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.files.host import Host

#: The name under which the dynamic linker knows the driver's library.
SONAME = "libnvidia-ml.so.1"

_ARCHITECTURES = ("x86_64", "aarch64")
_DEBIAN_FOLDERS = tuple(f"/usr/lib/{machine}-linux-gnu" for machine in _ARCHITECTURES)

#: Where drivers put their library. The driver container of the GPU Operator comes first: where it runs, its driver is the one in use.
LIBRARY_FOLDERS = (
    *(f"/run/nvidia/driver{folder}" for folder in (*_DEBIAN_FOLDERS, "/usr/lib64", "/usr/lib")),
    *_DEBIAN_FOLDERS,
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",  # Kubernetes on Google Cloud, inside a container
    "/home/kubernetes/bin/nvidia/lib64",  # the same, on Container-Optimized OS itself
    "/var/lib/nvidia/lib64",  # Container-Optimized OS without Kubernetes
    "/opt/nvidia/lib64",  # Kubernetes on Google Cloud, Ubuntu nodes
    "/usr/local/glibc/usr/lib",  # Talos 1.8 to 1.12
    "/usr/local/glibc/lib",  # Talos before 1.8
    "/usr/local/lib",  # Talos since 1.13
    "/usr/lib/nvidia/tesla",  # Bottlerocket
    "/usr/lib/nvidia",
    *(f"/{machine}-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia/tesla" for machine in _ARCHITECTURES),
    *(f"/{machine}-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia" for machine in _ARCHITECTURES),
    "/run/opengl-driver/lib",  # NixOS
    "/usr/lib/wsl/lib",  # WSL 2
)

#: Folders with one folder for each driver, named after its branch (Debian: current, tesla-535) or its version (old Bottlerocket).
_FOLDERS_OF_FOLDERS = (*(f"{folder}/nvidia" for folder in _DEBIAN_FOLDERS), "/usr/lib/nvidia/tesla")

#: What the kernel module says of itself.
MODULE_VERSION = "/proc/driver/nvidia/version"

#: Any of these shows that a driver is at work. (WSL 2 has none of them: there the library is the trace.)
_TRACES = (MODULE_VERSION, "/sys/module/nvidia", "/dev/nvidiactl")

_LD_CACHE, _LD_CACHE_LIMIT = "/etc/ld.so.cache", 8 << 20


class InstalledDriver(Record):
    """``is_loaded``: a kernel driver is active; ``version``: of its module, if known; ``libraries``: paths below the root, best first."""

    is_loaded: bool
    version: str | None
    libraries: tuple[str, ...]


def find_driver(host: Host, environ: Mapping[str, str] = os.environ) -> InstalledDriver:
    """Look for traces of a driver; a trace that cannot be read counts as one.

    On the running system, in a container too, the dynamic linker is consulted as well (LD_LIBRARY_PATH and its cache): NVIDIA's container
    runtime puts the library there. A library that only the linker finds is listed by its bare name. Under another root that root's cache is
    read, which names every library that its ldconfig(8) found.
    """
    if host.is_container_root or host.root == "/":  # what a container has there is what its runtime put there
        from eidos.files.host import Host

        host = Host()
    version = module_version(host)
    libraries = _find_libraries(host, version)
    if version is not None:
        # With the libraries of two drivers, the one whose file is named after the module's version is the one that can talk to it.
        libraries.sort(key=lambda path: library_version(_resolve(host, path)) != version)
    if (host.root == "/" or host.is_running_system) and _linker_finds(environ):
        libraries.insert(0, SONAME)
    return InstalledDriver(version is not None or any(_exists(host, path) for path in _TRACES), version, tuple(libraries))


def is_jetson(host: Host) -> bool:
    """Return whether the kernel drives the integrated GPU of a Jetson, for which NVML is not made (NVIDIA/k8s-device-plugin, issue 297)."""
    try:
        return host.exists("/sys/module/nvgpu") or any(line.startswith("nvgpu ") for line in host.read_text("/proc/modules").splitlines())
    except EidosError:
        return False


def module_version(host: Host) -> str | None:
    """Return the version of the loaded kernel module, or None."""
    try:
        return host.read_text("/sys/module/nvidia/version").strip() or None
    except EidosError:
        pass
    try:
        return parse_module_version(host.read_text(MODULE_VERSION))
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


def _find_libraries(host: Host, version: str | None) -> list[str]:
    """Return the libraries that exist; by the versioned name where nobody made the link (ldconfig has not run yet)."""
    names = (SONAME,) if version is None else (SONAME, f"libnvidia-ml.so.{version}")
    folders = list(LIBRARY_FOLDERS)
    for folder in _FOLDERS_OF_FOLDERS:
        try:
            folders += [f"{folder}/{name}" for name in host.list_directory(folder)]
        except EidosError:
            continue
    libraries = []
    for folder in folders:
        path = next((f"{folder}/{name}" for name in names if _exists(host, f"{folder}/{name}")), None)
        if path is not None:
            libraries.append(path)
    if not libraries and host.root != "/":
        libraries = [path for path in _libraries_in_cache(host) if _exists(host, path)]
    return libraries


def _libraries_in_cache(host: Host) -> list[str]:
    """Return the paths that the root's ld.so.cache has for the library: the cache holds them as text, each ended by a NUL byte."""
    try:
        cache = host.read_bytes(_LD_CACHE, _LD_CACHE_LIMIT)
    except EidosError:
        return []
    ending = f"/{SONAME}".encode()
    return [os.fsdecode(path) for path in cache.split(b"\0") if path.endswith(ending) and path.startswith(b"/")]


def _exists(host: Host, path: str) -> bool:
    try:
        return host.exists(path)
    except Unavailable:
        return True


def _resolve(host: Host, path: str) -> str:
    try:
        return host.real_path(path)  # through all links: Debian's leads over /etc/alternatives
    except EidosError:
        return path


def _linker_finds(environ: Mapping[str, str]) -> bool:
    folders = environ.get("LD_LIBRARY_PATH", "").split(":")
    if any(folder and os.path.exists(f"{folder}/{SONAME}") for folder in folders):
        return True
    try:
        with open(_LD_CACHE, "rb") as cache:
            return SONAME.encode() in cache.read(_LD_CACHE_LIMIT)
    except OSError:
        return False
