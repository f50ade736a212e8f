"""What machine a node is, on one screen: by its firmware where that names it, else by its GPUs and network cards."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eidos.collectors import list_collectors
from eidos.formats import to_yaml
from eidos.model.measurement import TYPES
from eidos.model.snapshot import Snapshot
from eidos.recipe.machines import describe_gpus, find_machines, gpu_models
from eidos.recipe.store import shipped_store
from eidos.workflow import SnapshotOptions, take_snapshot
from tests.support.node_tree import MACHINES, write_node_tree
from tests.support.program import eidos

HOSTS = Path(__file__).parent.parent / "hosts"
NODE_COLLECTORS = tuple(name for name in list_collectors() if name.startswith("os."))

#: Machine of the builder, or captured host → what its row says.
ROWS = {
    "NVIDIA DGX H100": "dgx-h100 (NVIDIA DGXH100)",
    "AWS p5.48xlarge": "p5.48xlarge (Amazon EC2)",
    "Google Cloud a3-megagpu-8g": "a3-megagpu-8g (Google Compute Engine)",
    "Azure ND H100 v5": "Standard_ND96isr_H100_v5 (Microsoft Corporation Virtual Machine)",
    "OCI BM.GPU.H100.8": "BM.GPU.H100.8 (Supermicro SYS-821GE-TNHR)",
    "rhel-9": "Supermicro SYS-821GE-TNHR",
    "ubuntu-22.04": "NVIDIA DGXA100 920-23687-2530-000",
    "ubuntu-24.04-arm64-64k": "NVIDIA GB200 NVL",
}
DEVICES = {
    "NVIDIA DGX H100": "8 x H100 SXM5 80GB (HGX), 4 NVSwitches, 12 network cards, 10 NVMe disks",
    "rhel-9": "8 x H100 SXM5 80GB (HGX), 4 NVSwitches",
    "ubuntu-24.04-arm64-64k": "4 x GB200 (NVL72 tray)",
}


@pytest.mark.parametrize("name", ROWS)
def test_the_table_says_what_machine_this_is(name: str, tmp_path: Path) -> None:
    root = HOSTS / name
    if name in MACHINES:
        root = tmp_path
        write_node_tree(root, MACHINES[name])
    done = eidos("snapshot", "--root", str(root), "--only", "os.machine,os.pci,os.cpu,os.memory", "-t", "table", "--quiet")
    rows = {words[0]: words[1].strip() for line in done.out.splitlines() if len(words := line.strip().split("  ", 1)) == 2}
    assert rows["Machine"] == ROWS[name]
    assert rows["Devices"].startswith(DEVICES.get(name, ""))
    assert "CPU" in rows and "Memory" in rows
    assert len(done.out.splitlines()) <= 24, "one screen"


def test_one_network_card_more_or_less_is_another_machine() -> None:
    catalog = shipped_store().catalog

    def names(nics: int, gpus: int = 8, gpu: str = "10de:2330", vendor: str = "Google") -> list[str]:
        pci = {f"0000:{bus:02x}:00.0.{key}": value for bus in range(gpus) for key, value in (("kind", "gpu"), ("id", gpu))}
        pci.update({f"0001:{bus:02x}:00.0.kind": "nic" for bus in range(nics)})
        return [machine.name for machine in find_machines({"sys-vendor": vendor, "product-name": "x"}, pci, catalog)]

    assert names(9) == ["a3-megagpu-8g"] and names(5) == ["a3-highgpu-8g"]
    assert names(9, gpus=7) == [] and names(9, vendor="Example") == [] and names(9, gpu="10de:ffff") == []
    assert names(1, gpus=0) == []


def test_gpus_that_are_unknown_are_named_by_their_id() -> None:
    pci = {"0000:01:00.0.kind": "gpu", "0000:01:00.0.id": "10de:ffff", "0000:02:00.0.kind": "gpu", "0000:02:00.0.id": "10de:2331"}
    assert describe_gpus(pci) == "1 x NVIDIA 10de:ffff, 1 x H100 PCIe"
    assert describe_gpus({}) == ""


def test_every_gpu_with_an_id_is_in_the_catalog() -> None:
    catalog = shipped_store().catalog
    ids = {entry.name for entry in catalog.entries["gpu"]}
    assert {model.gpu for model in gpu_models().values()} - ids <= {"b100"}, "the catalog has no source for that one"


@pytest.fixture(scope="module")
def dgx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dgx")
    write_node_tree(root, MACHINES["NVIDIA DGX H100"], with_each_cpu=True)
    return root


def take(root: str) -> Snapshot:
    return take_snapshot(SnapshotOptions(root=root, collectors=NODE_COLLECTORS, timeout_s=100.0))


def test_a_large_node_makes_a_small_document(dgx: Path) -> None:
    """224 processors, 8 GPUs, 12 network cards; the sysctls of a host take 80 kB besides."""
    text = to_yaml(take(str(dgx)).to_tree())
    assert len(text.encode()) < 150_000 - 80_000
    assert not [line for line in text.splitlines() if "0-223," in line]


@pytest.mark.parametrize("root", ["/", "dgx"])
def test_two_snapshots_of_an_idle_host_are_equal(dgx: Path, root: str) -> None:
    first, second = (take(root if root == "/" else str(dgx)) for _ in range(2))
    assert first.measurements == second.measurements
    states = [[(o.name, o.outcome, o.reason, o.unreadable, o.absent) for o in shot.collectors] for shot in (first, second)]
    assert states[0] == states[1]


def test_the_go_program_reads_the_subtypes_of_its_own(dgx: Path) -> None:
    """Its types are these four, its readings are scalars below ``data``, and it takes the subtypes that it knows by name."""
    tree = yaml.safe_load(to_yaml(take(str(dgx)).to_tree()))
    assert {measurement["type"] for measurement in tree["measurements"]} <= set(TYPES.values()) == {"K8s", "SystemD", "OS", "GPU"}
    for measurement in tree["measurements"]:
        names = [subtype["subtype"] for subtype in measurement["subtypes"]]
        assert len(names) == len(set(names))
        for subtype in measurement["subtypes"]:
            assert set(subtype) <= {"subtype", "data", "context"}
            assert all(type(value) in (str, int, float, bool) for value in subtype["data"].values())
            assert all(type(text) is str for text in subtype.get("context", {}).values())
