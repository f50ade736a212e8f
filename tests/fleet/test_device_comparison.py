"""Nodes of one kind are equal although each has its own addresses, GUIDs and serial numbers; what differs in a device is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from eidos.collectors import Sources, list_collectors, load_collector
from eidos.errors import NotApplicable
from eidos.files.host import Host
from eidos.fleet.comparison import FleetComparison, NodeClass
from eidos.fleet.pseudonyms import shipped_pseudonyms
from eidos.model.measurement import VOLATILE, Measurement, Subtype
from eidos.model.snapshot import Snapshot
from eidos.reading_selection import shipped_selection
from tests.conftest import ROOT

#: Files of sysfs and procfs that identify a machine or a device in it, and what to write into them: every digit becomes another one.
IDENTITY_FILES = (
    "address",
    "node_guid",
    "sys_image_guid",
    "serial",
    "lid",
    "product_serial",
    "product_uuid",
    "board_serial",
    "chassis_serial",
)


def take(root: Path, node: str) -> Snapshot:
    """A snapshot of the OS of a tree, with volatile readings."""
    subtypes: dict[str, Subtype] = {}
    for collector in list_collectors():
        if not collector.startswith("os."):
            continue
        try:
            for part in load_collector(collector)(Sources(Host(str(root)), volatile=True)):
                if isinstance(part, Subtype):
                    before = subtypes.get(part.name, Subtype(part.name, {}))
                    subtypes[part.name] = Subtype(part.name, {**before.data, **part.data})
        except NotApplicable:
            continue
    return Snapshot("2026-11-29T06:00:00Z", "1", node, (Measurement("OS", tuple(subtypes.values())),))


def make_twin(name: str, folder: Path) -> Path:
    """A copy of a captured host that is another machine of the same kind."""
    shutil.copytree(ROOT / "tests/hosts" / name, folder, symlinks=True)
    digits = str.maketrans("0123456789", "1234567890")
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        if path.name in IDENTITY_FILES:
            path.write_text(path.read_text().translate(digits))
        elif path.name in ("cmdline", "grub") or path.suffix == ".conf":
            uuid = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}"
            path.write_text(re.sub(uuid, lambda match: match[0].translate(digits), path.read_text()))
        elif path.name in ("link_downed", "symbol_error", "rx_errors", "carrier_changes"):
            path.write_text("77\n")
    return folder


def classes(*snapshots: Snapshot) -> list[NodeClass]:
    comparison = FleetComparison(shipped_selection().select_readings)
    for each in snapshots:
        comparison.add(each.node, each)
    return comparison.classes()


@pytest.mark.parametrize("is_anonymous", [False, True])
@pytest.mark.parametrize("name", ["rhel-9", "ubuntu-22.04", "amazon-linux-2023", "ubuntu-24.04-arm64-64k"])
def test_twins_are_equal(name: str, is_anonymous: bool, tmp_path: Path) -> None:
    one, other = take(ROOT / "tests/hosts" / name, "gpu-01"), take(make_twin(name, tmp_path / "twin"), "gpu-02")
    assert one.measurements != other.measurements, "each has its own identities"
    volatile = [each for each in other.measurements[0].subtypes if each.name.endswith(VOLATILE)]
    assert any(77 in each.data.values() for each in volatile), "counters are there, and do not count"
    if is_anonymous:
        pseudonyms = shipped_pseudonyms(b"0123456789abcdef")
        one, other = pseudonyms.anonymize(one), pseudonyms.anonymize(other)
    result = classes(one, other)
    assert [each.kind for each in result] == ["equal"], result[-1].differences


@pytest.mark.parametrize(
    ("file", "content", "path"),
    [
        ("sys/class/infiniband/mlx5_0/fw_ver", "28.36.1010", "OS.rdma.mlx5_0.firmware"),
        ("sys/class/infiniband/mlx5_0/ports/1/state", "1: DOWN", "OS.rdma.mlx5_0.port-1.state"),
        ("sys/class/infiniband/mlx5_0/ports/1/rate", "100 Gb/sec (2X HDR)", "OS.rdma.mlx5_0.port-1.rate-gbps"),
        ("sys/class/net/eno1/mtu", "9000", "OS.net.eno1.mtu"),
        ("sys/class/net/eno1/operstate", "down", "OS.net.eno1.state"),
        ("sys/block/nvme0n1/device/firmware_rev", "GDC5702Q", "OS.storage.disk.nvme0n1.firmware"),
        ("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nmaxPods: 58\n", "OS.kubelet.maxPods"),
        ("etc/containerd/config.toml", "version = 2\n", "OS.runtime.containerd.default-runtime"),
        (
            "usr/lib/modules/5.14.0-427.13.1.el9_4.x86_64/modules.dep",
            "a/mlx5_core.ko:\n",
            "OS.modules.kernel.5.14.0-427.13.1.el9_4.x86_64.nvidia",
        ),
    ],
)
def test_a_device_that_differs_is_named(file: str, content: str, path: str, tmp_path: Path) -> None:
    other = make_twin("rhel-9", tmp_path / "twin")
    (other / file).write_text(f"{content}\n")
    first = take(ROOT / "tests/hosts/rhel-9", "gpu-01")
    result = classes(first, Snapshot(first.timestamp, "1", "gpu-03", first.measurements), take(other, "gpu-02"))
    assert [each.kind for each in result] == ["equal", "odd"]
    assert path in {difference.path for difference in result[1].differences}


def test_a_fact_that_is_read_twice_is_one_difference() -> None:
    def node(name: str, release: str, module: str, *, reads_sysctls: bool = True) -> Snapshot:
        sysctl = [Subtype("sysctl", {"/proc/sys/kernel/osrelease": release})] if reads_sysctls else []
        subtypes = (
            Subtype("kernel", {"release": release, "taint": 0}),
            Subtype("kmod", {"nvidia": True, module: True}),
            Subtype("modules", {"kernel-running": release, "nvidia.loaded": True, f"{module}.loaded": True}),
        )
        return Snapshot("2026-11-29T06:00:00Z", "1", name, (Measurement("OS", (*subtypes, *sysctl)),))

    def differences(*snapshots: Snapshot) -> list[str]:
        comparison = FleetComparison(shipped_selection().select_readings, shipped_selection().repeat_of)
        for each in snapshots:
            comparison.add(each.node, each)
        return [difference.path for difference in comparison.classes()[1].differences]

    equal = [node(name, "6.8.0-60-generic", "nvidia_uvm") for name in ("gpu-01", "gpu-02")]
    assert differences(*equal, node("gpu-03", "6.8.0-50-generic", "nouveau")) == [
        "OS.kmod.nouveau",
        "OS.kmod.nvidia_uvm",
        "OS.sysctl./proc/sys/kernel/osrelease",
    ]
    # Without the one, the other is what shows it.
    blind = [node(name, "6.8.0-60-generic", "nvidia_uvm", reads_sysctls=False) for name in ("gpu-01", "gpu-02")]
    assert "OS.kernel.release" in differences(*blind, node("gpu-03", "6.8.0-50-generic", "nvidia_uvm", reads_sysctls=False))
