"""Where a driver's library is found under a mounted root, and what drives GPUs that the NVIDIA driver does not drive."""

from __future__ import annotations

from pathlib import Path

import pytest

from eidos.collectors import Sources, gpu
from eidos.errors import NotApplicable
from eidos.files.host import Host
from eidos.nvidia import driver_files, pci_bus
from eidos.nvidia.driver_files import SONAME

VERSION = "570.86.15"
DEBIAN = "/usr/lib/x86_64-linux-gnu"
BOTTLEROCKET = "/x86_64-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia/tesla"


def install(root: Path, folder: str, version: str = VERSION, link: str | None = SONAME) -> None:
    target = root / folder.lstrip("/")
    target.mkdir(parents=True, exist_ok=True)
    (target / f"libnvidia-ml.so.{version}").write_text("a library")
    if link:
        (target / link).symlink_to(f"libnvidia-ml.so.{version}")


def load_module(root: Path, version: str = VERSION) -> None:
    (root / "sys/module/nvidia").mkdir(parents=True)
    (root / "sys/module/nvidia/version").write_text(f"{version}\n")


def libraries(root: Path) -> tuple[str, ...]:
    return driver_files.find_driver(Host(str(root)), {}).libraries


@pytest.mark.parametrize(
    "folder",
    [
        "/usr/local/glibc/usr/lib",
        "/usr/local/glibc/lib",
        "/usr/local/lib",
        BOTTLEROCKET,
        "/aarch64-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia/tesla",
        "/usr/lib/nvidia/tesla",
        f"/usr/lib/nvidia/tesla/{VERSION}",
        DEBIAN,
        "/usr/lib/aarch64-linux-gnu",
        f"{DEBIAN}/nvidia/current",
        f"{DEBIAN}/nvidia/tesla-535",
        "/usr/lib64",
        "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
        "/run/nvidia/driver/usr/lib64",
        "/home/kubernetes/bin/nvidia/lib64",
        "/var/lib/nvidia/lib64",
        "/opt/nvidia/lib64",
    ],
)
def test_a_library_where_a_distribution_puts_it(tmp_path: Path, folder: str) -> None:
    install(tmp_path, folder)
    assert libraries(tmp_path) == (f"{folder}/{SONAME}",)


def test_a_library_behind_absolute_links_of_the_mounted_root(tmp_path: Path) -> None:
    """Debian's alternatives: two absolute links, which lead out of the root unless they are resolved inside it."""
    install(tmp_path, f"{DEBIAN}/nvidia/current")
    (tmp_path / "etc/alternatives").mkdir(parents=True)
    (tmp_path / "etc/alternatives/nvml").symlink_to(f"{DEBIAN}/nvidia/current/{SONAME}")
    (tmp_path / DEBIAN.lstrip("/") / SONAME).symlink_to("/etc/alternatives/nvml")
    install(tmp_path, "/usr/lib64", "535.54.03")
    load_module(tmp_path)
    paths = libraries(tmp_path)
    assert paths == (
        f"{DEBIAN}/{SONAME}",
        f"{DEBIAN}/nvidia/current/{SONAME}",
        f"/usr/lib64/{SONAME}",
    )
    assert Host(str(tmp_path)).real_path(paths[0]) == f"{tmp_path}{DEBIAN}/nvidia/current/libnvidia-ml.so.{VERSION}"


def test_a_library_that_no_link_names_yet(tmp_path: Path) -> None:
    install(tmp_path, DEBIAN, link=None)
    assert libraries(tmp_path) == ()
    load_module(tmp_path)
    assert libraries(tmp_path) == (f"{DEBIAN}/libnvidia-ml.so.{VERSION}",)


def test_the_driver_container_comes_first_and_the_version_of_the_module_before_it(tmp_path: Path) -> None:
    install(tmp_path, "/run/nvidia/driver/usr/lib64", "535.54.03")
    install(tmp_path, DEBIAN)
    own, other = f"{DEBIAN}/{SONAME}", f"/run/nvidia/driver/usr/lib64/{SONAME}"
    assert libraries(tmp_path) == (other, own)
    load_module(tmp_path)
    assert libraries(tmp_path) == (own, other)


def test_a_library_in_a_folder_that_only_the_roots_linker_cache_names(tmp_path: Path) -> None:
    install(tmp_path, "/srv/driver/lib")
    (tmp_path / "etc").mkdir()
    cache = b"glibc-ld.so.cache1.1" + bytes(40) + b"/srv/driver/lib/libnvidia-ml.so.1\0/gone/libnvidia-ml.so.1\0/lib/libc.so.6\0"
    (tmp_path / "etc/ld.so.cache").write_bytes(cache)
    assert libraries(tmp_path) == ("/srv/driver/lib/libnvidia-ml.so.1",)


def test_no_library(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ld.so.cache").write_bytes(bytes(range(256)) * 8)
    assert libraries(tmp_path) == ()


def put_on_bus(root: Path, *drivers: str | None) -> Host:
    for number, driver in enumerate(drivers):
        folder = root / pci_bus.PCI.lstrip("/") / f"0000:{0x17 + number:02x}:00.0"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text("0x10de\n")
        (folder / "class").write_text("0x030200\n")
        if driver:
            (folder / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
    return Host(str(root))


@pytest.mark.parametrize(
    ("drivers", "words", "hint"),
    [
        (("nouveau",) * 8, "8 NVIDIA devices on the PCI bus are bound to nouveau", "blacklist nouveau"),
        (("nouveau", None), "1 without a kernel driver, 1 bound to nouveau", "blacklist nouveau"),
        (("nouveau", "vfio-pci"), "1 bound to nouveau, 1 bound to vfio-pci", "blacklist nouveau"),
        (("vfio-pci",), "1 NVIDIA device on the PCI bus is passed through to virtual machines (vfio-pci)", None),
        (("vfio-pci", "nvgrace_gpu_vfio_pci"), "2 NVIDIA devices on the PCI bus are passed through", None),
        (("pciback",), "is passed through", None),
        (("vfio-pci", None), "1 without a kernel driver, 1 bound to vfio-pci", "modprobe nvidia"),
        (("nova_core",), "is bound to nova_core", "unbind the GPUs from nova_core"),
        (("nova_core", "vfio-pci"), "1 bound to nova_core, 1 bound to vfio-pci", "unbind the GPUs from nova_core"),
        (("nova_core", None), "1 without a kernel driver, 1 bound to nova_core", "modprobe nvidia"),
        ((None,), "is without a kernel driver", "modprobe nvidia"),
    ],
)
def test_what_drives_the_gpus_of_a_host_without_the_nvidia_driver(
    tmp_path: Path, drivers: tuple[str | None, ...], words: str, hint: str | None
) -> None:
    host = put_on_bus(tmp_path, *drivers)
    with pytest.raises(NotApplicable) as caught:
        list(gpu.collect(Sources(host=host)))
    assert caught.value.reason.startswith("no NVIDIA driver; ")
    assert words in caught.value.reason
    # A passed-through GPU is no fault, so there is nothing to do.
    assert caught.value.hint is None if hint is None else hint in str(caught.value.hint)
    if hint != "modprobe nvidia":
        assert "install or load the driver;" not in str(caught.value.hint)


@pytest.mark.parametrize("captured", [False, True], ids=["mounted", "captured"])
@pytest.mark.parametrize("display", [False, True], ids=["alone", "with the display's driver"])
def test_a_jetson_needs_no_driver(tmp_path: Path, display: bool, captured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if captured:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/modules").write_text("nvmap 204800 70 nvgpu, Live 0x0\nnvgpu 2629632 22 - Live 0x0\n")
    else:
        (tmp_path / "sys/module/nvgpu").mkdir(parents=True)
    (tmp_path / pci_bus.PCI.lstrip("/")).mkdir(parents=True)
    if display:
        load_module(tmp_path, "540.4.0")
        monkeypatch.setattr(Host, "is_running_system", property(lambda self: True))
    with pytest.raises(NotApplicable) as caught:
        list(gpu.collect(Sources(host=Host(str(tmp_path)))))
    assert "the GPU is that of a Jetson (nvgpu)" in caught.value.reason
    assert caught.value.hint is None


def test_a_gpu_in_a_slot_of_a_jetson_needs_one(tmp_path: Path) -> None:
    (tmp_path / "sys/module/nvgpu").mkdir(parents=True)
    with pytest.raises(NotApplicable) as caught:
        list(gpu.collect(Sources(host=put_on_bus(tmp_path, None))))
    assert "modprobe nvidia" in str(caught.value.hint)


def test_a_gpu_that_nouveau_took_from_the_nvidia_driver() -> None:
    words = pci_bus.explain_missing_device(pci_bus.PciDevice("0000:17:00.0", "nouveau"), "NVML")
    assert words.startswith("on the PCI bus but not in NVML: its kernel driver is nouveau; block nouveau")
    words = pci_bus.explain_missing_device(pci_bus.PciDevice("0000:17:00.0", None), "NVML")
    assert words == "on the PCI bus but not in NVML: no kernel driver is bound to it"
    assert "without" not in pci_bus.explain_missing_device(pci_bus.PciDevice("0000:17:00.0", "nvidia"), "NVML")
