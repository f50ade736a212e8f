"""One screen says which cards, adapters, disks and runtimes a node has: a line for each kind."""

from __future__ import annotations

import pytest

from eidos.cli.snapshot_table import device_rows, disks, network_cards, rdma_ports, runtimes, snapshot_summary
from eidos.collectors import Sources, load_collector
from eidos.files.host import Host
from eidos.model.measurement import Measurement, Subtype
from eidos.model.number_format import format_scalar
from eidos.model.snapshot import Snapshot
from tests.conftest import ROOT

CASES = {
    "os.net": "bond-of-two-cards",
    "os.rdma": "infiniband-and-roce",
    "os.storage": "nvme-raid-and-network",
    "os.runtime": "containerd-with-nvidia",
    "os.kubelet": "kubeadm",
}


@pytest.fixture(scope="module")
def subtypes() -> tuple[Subtype, ...]:
    """What the collectors make of their cases."""
    data: dict[str, Subtype] = {}
    for collector, case in CASES.items():
        for part in load_collector(collector)(Sources(Host(str(ROOT / "tests/cases" / collector / f"{case}.in")))):
            if isinstance(part, Subtype):
                before = data.get(part.name, Subtype(part.name, {}))
                data[part.name] = Subtype(part.name, {**before.data, **part.data})
    return tuple(data.values())


@pytest.fixture(scope="module")
def facts(subtypes: tuple[Subtype, ...]) -> dict[str, dict[str, str]]:
    """The same as the table has it."""
    return {f"OS.{each.name}": {key: format_scalar(value) for key, value in each.data.items()} for each in subtypes}


def test_equal_devices_share_a_line_and_a_different_one_stands_out(facts: dict[str, dict[str, str]]) -> None:
    assert list(network_cards(facts)) == ["2 x mlx5_core, 400 Gb/s, MTU 9000, up", "1 x mlx5_core, 400 Gb/s, MTU 4092, up"]
    assert list(rdma_ports(facts)) == [
        "1 x MT4129, firmware 28.39.1002, InfiniBand, 400 Gb/s, active",
        "1 x MT4129, firmware 28.36.1010, Ethernet, 200 Gb/s, active",
    ]
    assert list(disks(facts)) == ["1 x raid0, 7.7 TB", "2 x SAMSUNG MZWLO3T8HCLS-00A07, 3.8 TB"]
    assert list(runtimes(facts)) == [
        ("containerd", "version unknown, default runtime nvidia, CDI"),
        ("kubelet", "version unknown, cpu manager static, topology manager restricted"),
    ]


def test_many_kinds_are_counted() -> None:
    facts = {"OS.storage": {f"disk.sd{c}.model": f"Model {c}" for c in "abcdef"}}
    assert list(device_rows(facts)) == [
        ("Disks", "1 x Model a"),
        ("", "1 x Model b"),
        ("", "1 x Model c"),
        ("", "and 3 more kinds"),
    ]


def test_a_port_that_is_down_and_an_unknown_speed() -> None:
    facts = {
        "OS.net": {"eth0.kind": "card", "eth0.state": "down"},
        "OS.rdma": {"mlx5_0.port-1.state": "DOWN", "mlx5_0.port-2.state": "ACTIVE", "mlx5_0.driver": "mlx5_core"},
    }
    assert list(network_cards(facts)) == ["1 x unknown driver, down"]
    assert list(rdma_ports(facts)) == ["1 x mlx5_core, down", "1 x mlx5_core, active"]


def test_missing_host_paths_of_a_specification_are_counted() -> None:
    prefix = "cdi.nvidia.yaml."
    data = {f"{prefix}kind": "nvidia.com/gpu", f"{prefix}devices": "9", f"{prefix}host-paths-missing": "2"}
    assert list(runtimes({"OS.runtime": data})) == [("CDI", "nvidia.com/gpu, 9 devices, 2 host paths missing")]


@pytest.mark.parametrize("width", [40, 80, 0])
def test_it_is_on_the_screen(subtypes: tuple[Subtype, ...], width: int) -> None:
    shot = Snapshot("2026-11-29T06:00:00Z", "1", "gpu-07", (Measurement("OS", subtypes),))
    text = snapshot_summary(shot, width)
    assert "Devices and runtimes" in text and "Cards" in text and "RDMA" in text and "Disks" in text and "kubelet" in text
    assert all(len(line) <= width for line in text.splitlines()) or not width


def test_a_node_without_any_has_no_sections_of_them() -> None:
    text = snapshot_summary(Snapshot("", "", "n", (Measurement("OS", (Subtype("release", {"ID": "x"}),)),)), 80)
    assert "Devices" not in text


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ({"smi": {"gpu-count": 4}, "gpu-0": {"model": "A"}, "gpu-2": {"model": "A"}}, "GPUs  2 x A 2 of 4 not read"),
        ({"smi": {"gpu-count": 2}, "gpu-0": {"model": "A"}, "gpu-1": {"model": "B"}}, "GPUs  1 x A 1 x B"),
        ({"smi": {"gpu-count": 8}}, "GPUs  8 of 8 not read"),
        ({"smi": {"gpu-count": 0}}, "GPUs  none"),
        ({"smi": {"gpu-count": 8, "gpu.model": "A"}}, "GPUs  8 x A"),
    ],
)
def test_gpus_that_were_not_read_are_counted(readings: dict[str, dict[str, str | int]], expected: str) -> None:
    subtypes = tuple(Subtype(name, dict(data)) for name, data in readings.items())
    text = snapshot_summary(Snapshot("", "", "gpu-07", (Measurement("GPU", subtypes),)), 80)
    _, _, gpus = text.partition("  GPUs")
    assert " ".join(f"GPUs{gpus}".partition("\n\n")[0].split()) == " ".join(expected.split())
