"""Each fault of the table is found, with what is to be done, and nothing else; hosts that are right have no finding."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.check.definitions import read_checks
from eidos.check.judge import CheckOptions, judge
from eidos.check.node_readings import NodeReadings
from eidos.model.finding import FAIL, NOT_APPLICABLE, PASS, UNKNOWN
from eidos.model.measurement import Measurement, Subtype
from eidos.model.query import Query
from eidos.model.recipe import Recipe
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.detection import detect
from eidos.workflow import check_node
from tests.check.planted import FAULTS, Fault, check_data, failures, is_reported, plant, report_of, store
from tests.check.right_hosts import EKS, HGX, RIGHT, apply_changes, snapshot_of
from tests.support.effort import examples
from tests.support.node_snapshots import HOSTS, NOW, tree_snapshot, without_reading

#: Hosts of which less is read.
LESS = ("HGX H100, bare metal, InfiniBand", "EKS p5.48xlarge, driver container", "GB300 idle, no IMEX daemon, 64k pages")


@pytest.mark.parametrize("name", RIGHT)
def test_a_host_that_is_right_has_no_finding(name: str) -> None:
    """Nothing fails, and as everything was read, nothing is unknown."""
    report = report_of(snapshot_of(*RIGHT[name]))
    assert failures(report) == set()
    assert [finding.id for finding in report.findings if finding.status == UNKNOWN] == []


def test_there_is_a_host_that_is_right_on_each_service() -> None:
    """But for the one that no reading shows."""
    catalog = store().catalog
    services = {detect(snapshot_of(*each), catalog, Query()).query.service for each in RIGHT.values()}
    assert services >= {entry.name for entry in catalog.entries["service"]} - {"bcm"}


#: What a check could mistake for a fault → the hosts that have it, and a reading that shows it.
PECULIAR = {
    "MIG node": ("MIG node", "GPU.gpu-0.mig.current", "Enabled"),
    "vGPU guest": ("vGPU guest", "GPU.gpu-0.virtualization-mode", "VGPU"),
    "PCIe card without NVLink": ("H100 PCIe without NVLink", "GPU.gpu-0.nvlink.links-up", "0"),
    "no IMEX daemon": ("GB300 idle, no IMEX daemon, 64k pages", "SystemD.nvidia-imex.service.ActiveState", "inactive"),
    "64k pages": ("GB300 idle, no IMEX daemon, 64k pages", "OS.memory.hugepages.default-size-kib", "524288"),
    "ECC off": ("workstation card without ECC", "GPU.gpu-0.ecc.current", "Disabled"),
    "PCIe generation 1 at idle": ("HGX H100, bare metal, InfiniBand", "GPU.gpu-0.volatile.pcie.generation-current", "1"),
    "no driver": ("CPU node without a driver", "OS.kmod.nvidia", None),
}


@pytest.mark.parametrize("peculiarity", PECULIAR)
def test_what_looks_like_a_fault_is_among_the_hosts_that_are_right(peculiarity: str) -> None:
    name, path, value = PECULIAR[peculiarity]
    assert NodeReadings(snapshot_of(*RIGHT[name])).readings.get(path) == value


def test_no_check_reads_devices_that_only_a_subnet_manager_needs() -> None:
    """Of ``/dev/infiniband/issm*`` a node that runs none has none, and that is no fault."""
    named = [path for check in check_data().checks for path in (*check.paths(), check.path)]
    assert not [path for path in named if "issm" in path]
    assert not [path for path in NodeReadings(snapshot_of(HGX)).readings if "issm" in path]


@lru_cache
def evidence_of(name: str) -> list[str]:
    """The readings that decide findings of a host, but for names that are derived from others."""
    texts = {path: text for finding in report_of(snapshot_of(*RIGHT[name])).findings for path, text in finding.evidence.items()}
    return sorted(path for path, text in texts.items() if text and not path.startswith(("query.", "node.", "snapshot")))


@settings(max_examples=examples(40))
@given(st.sampled_from(LESS), st.data())
def test_nothing_passes_or_fails_by_reading_less(name: str, draw: st.DataObject) -> None:
    """What passed passes by other readings or is unknown; what did not apply is unknown at most."""
    path = draw.draw(st.sampled_from(evidence_of(name)))
    right = snapshot_of(*RIGHT[name])
    before = {finding.id: finding for finding in report_of(right).findings}
    for finding in report_of(without_reading(right, path)).findings:
        was = before[finding.id]
        assert finding.status in (was.status, UNKNOWN) or finding.id.startswith("snapshot-"), (path, finding.id, was.status, finding.status)
        if finding.status == PASS:
            assert path not in finding.evidence


#: Readings of numbers that rules compare.
COUNTS = ("GPU.smi.gpu-count", "GPU.gpu-0.nvlink.links-up", "OS.pci.0000:40:00.0.width", "OS.memory.hugepages.2048kB.total")


def holding(snapshot: Snapshot, text: str, paths: Collection[str] | None = None) -> Snapshot:
    """The same snapshot with this text in all readings, or in those at ``paths``."""
    measurements = []
    for each in snapshot.measurements:
        subtypes = []
        for subtype in each.subtypes:
            prefix = f"{each.type}.{subtype.name}."
            data = {key: text if paths is None or prefix + key in paths else value for key, value in subtype.data.items()}
            subtypes.append(replace(subtype, data=data))
        measurements.append(replace(each, subtypes=tuple(subtypes)))
    return replace(snapshot, measurements=tuple(measurements))


@pytest.mark.exhaustive(sample=5)
@pytest.mark.parametrize("text", ["", "²", "9" * 5000, "N/A", "-1", "0x"], ids=lambda text: text[:9])
@pytest.mark.parametrize("name", LESS)
def test_a_host_whose_readings_hold_nonsense_has_a_report(name: str, text: str) -> None:
    """And what is compared as a number does not pass."""
    right = snapshot_of(*RIGHT[name])
    assert report_of(holding(right, text)).findings
    ids = ("gpu-not-found", "gpu-not-in-driver", "nvlink-count", "pcie-width-bus", "huge-pages-not-allocated")
    for finding in report_of(holding(right, text, COUNTS)).findings:
        assert finding.id not in ids or finding.status != PASS or text not in finding.evidence.values(), finding.id


@pytest.mark.exhaustive(sample=25)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.check}: {fault.what}")
def test_a_planted_fault_is_the_only_finding_and_has_its_remedy(fault: Fault) -> None:
    report = report_of(plant(fault))
    assert failures(report) == {fault.check}
    (finding,) = [finding for finding in report.findings if finding.id == fault.check]
    assert finding.remedy is not None
    assert finding.remedy.steps
    assert finding.actual
    assert finding.evidence or finding.actual == "none"


def test_each_check_has_a_fault_and_at_least_eighty_were_reported_in_public() -> None:
    assert {fault.check for fault in FAULTS} == {check.id for check in read_checks(store().check_data)}
    assert sum(map(is_reported, FAULTS)) >= 80


# Planted into the files of captured hosts.


def append(name: str, text: str) -> Callable[[Path], None]:
    """An edit that adds a line to a file."""

    def edit(root: Path) -> None:
        path = root / name
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "").rstrip("\n") + text, encoding="utf-8")

    return edit


TREES = [
    ("nouveau-loaded", "rhel-9", append("proc/modules", "\nnouveau 2400256 0 - Live 0x0000000000000000\n")),
    ("numa-balancing-two-ways", "ubuntu-22.04", append("proc/cmdline", " numa_balancing=disable\n")),
    ("huge-page-size-unsupported", "ubuntu-24.04-arm64-64k", append("proc/cmdline", " hugepagesz=1G\n")),
    ("swap-with-kubelet", "amazon-linux-2023", append("proc/swaps", "\n/dev/dm-1 partition 4001788 0 -2\n")),
    (
        "xid-reboot",
        "ubuntu-22.04",
        append("dev/kmsg", "\n4,1201,93018130,-;NVRM: Xid (PCI:0000:07:00): 79, pid=1, GPU has fallen off the bus.\n"),
    ),
]


@pytest.mark.parametrize(("check", "name", "edit"), TREES, ids=[check for check, _, _ in TREES])
def test_a_fault_in_the_files_of_a_host_is_a_finding(check: str, name: str, edit: Callable[[Path], None], tmp_path: Path) -> None:
    def failed(root: Path) -> set[str]:
        report = judge(tree_snapshot(root), None, Query(), check_data(), CheckOptions(now=NOW))
        return {finding.id for finding in report.findings if finding.status == FAIL}

    root = tmp_path / name
    shutil.copytree(HOSTS / name, root, symlinks=True)
    before = failed(root)
    edit(root)
    assert failed(root) - before - {"boot-parameters-next-boot"} == {check}


# Advice that cannot hold for a host.

BARE_METAL_ONLY = ("OS.grub.iommu", "OS.grub.pci")


@pytest.mark.parametrize("name", [name for name in RIGHT if name.startswith(("EKS", "AKS", "guest"))])
def test_boot_parameters_for_bare_metal_are_not_for_guests(name: str) -> None:
    report = check_node(snapshot_of(*RIGHT[name]), query={"intent": "training"}, store=store(), options=CheckOptions(now=NOW))
    statuses = {finding.id: (finding.status, finding.reason) for finding in report.findings}
    # Recipes for AKS have none of them.
    expected = None if name.startswith("AKS") else (NOT_APPLICABLE, "only for bare metal")
    assert [statuses.get(path) for path in BARE_METAL_ONLY] == [expected] * len(BARE_METAL_ONLY)


def test_boot_parameters_for_bare_metal_are_for_bare_metal() -> None:
    report = check_node(snapshot_of(HGX), query={"intent": "training"}, store=store(), options=CheckOptions(now=NOW))
    assert {finding.id: finding.status for finding in report.findings}["OS.grub.pci"] == FAIL


def recommending(subtype: str, readings: dict[str, str | bool]) -> Recipe:
    return Recipe("", "", "", Query(), (), (Measurement("OS", (Subtype(subtype, {**readings}),)),))


@pytest.mark.parametrize(
    ("path", "reason", "status"),
    [
        ("gpu-3/inforom.image", "the InfoROM is corrupted", FAIL),
        ("gpu-3/inforom.image", "corrupted", FAIL),
        ("gpu-3/serial", "the InfoROM is corrupted", FAIL),
        ("gpu-1/power.limit", "data corrupted", PASS),
    ],
)
def test_a_reason_that_names_no_inforom_is_about_something_else(path: str, reason: str, status: str) -> None:
    report = report_of(plant(Fault("gpu-inforom-corrupted", "", {}, gaps={path: reason})))
    assert {finding.id: finding.status for finding in report.findings}["gpu-inforom-corrupted"] == status


@pytest.mark.parametrize(
    ("id", "efa", "bus", "status"),
    [
        ("no adapter", True, "8086:1533", NOT_APPLICABLE),
        ("an adapter", True, "1d0f:efa2", FAIL),
        ("not recommended", False, "1d0f:efa2", NOT_APPLICABLE),
    ],
)
def test_efa_is_for_machines_with_efa(id: str, efa: bool, bus: str, status: str) -> None:
    recipe = recommending("kmod", {"efa": efa})
    node = snapshot_of(apply_changes(EKS, {"OS.pci": {"0000:40:00.0.kind": "nic", "0000:40:00.0.id": bus}}))
    report = check_node(node, recipe, store=store(), options=CheckOptions(now=NOW))
    assert {finding.id: finding.status for finding in report.findings}["OS.kmod.efa"] == status, id


@pytest.mark.parametrize(
    ("labels", "status"),
    [({}, NOT_APPLICABLE), ({"label.node.kubernetes.io/instance-type": "g4dn.metal"}, FAIL)],
    ids=["type unknown", "metal"],
)
def test_a_node_of_a_service_is_a_guest_unless_its_type_is_metal(labels: dict[str, str], status: str) -> None:
    """Also where firmware was not read."""
    readings = apply_changes(EKS, {"OS.machine": None, "K8s.node": {"label.node.kubernetes.io/instance-type": None, **labels}})
    snapshot = snapshot_of(readings)
    snapshot = replace(snapshot, collectors=tuple(each for each in snapshot.collectors if each.name != "os.machine"))
    recipe = recommending("grub", {"iommu": "pt"})
    report = check_node(snapshot, recipe, store=store(), options=CheckOptions(now=NOW))
    assert {finding.id: finding.status for finding in report.findings}["OS.grub.iommu"] == status
