"""The GPU collector, with a library that behaves as the test wants."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import pytest

from eidos.collectors import Sources, gpu
from eidos.errors import NotApplicable
from eidos.files.host import Host
from eidos.nvidia import driver_files, nvml_readings, pci_bus
from eidos.nvidia.gpu_values import FIRST_GPU_KEYS
from tests.fakes import nvml as fake
from tests.support.waiting import AMPLE_S, DEADLINES_S

QUERY = Path(__file__).parent.parent / "cases/gpu/query.xml"
KEYS = [key for fact in nvml_readings.CONFIGURATION for key in fact.keys] + ["pci.numa-node"]
VOLATILE_KEYS = [key for fact in nvml_readings.VOLATILE for key in fact.keys]
SMI_KEYS = {"driver", "cuda-version", "gpu-count", *FIRST_GPU_KEYS.values()}


@pytest.fixture
def library(nvml_library: Path) -> Path:
    return nvml_library


@pytest.fixture(scope="session")
def old_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake.build(tmp_path_factory.mktemp("old"), version="470.57.02", old=True)


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root


def pci(root: Path, count: int, bound: str | None = "nvidia") -> Path:
    """A PCI bus with ``count`` GPUs, one audio function of theirs, and a network card."""
    devices = {f"0000:{0x10 + index:02x}:00.0": ("0x10de", "0x030200") for index in range(count)}
    devices.update({"0000:10:00.1": ("0x10de", "0x040300"), "0000:01:00.0": ("0x15b3", "0x020000")})
    for bus_id, (vendor, kind) in devices.items():
        folder = f"{pci_bus.PCI}/{bus_id}"
        write(root, {f"{folder}/vendor": f"{vendor}\n", f"{folder}/class": f"{kind}\n", f"{folder}/numa_node": "1\n"})
        if bound:
            (root / folder.lstrip("/") / "driver").symlink_to(f"../../../bus/pci/drivers/{bound}")
    return root


def node(root: Path, library: Path, count: int = 8) -> Path:
    """A host's files with a driver and ``count`` GPUs on the bus; the library lies where Debian puts it."""
    folder = root / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    (folder / library.name).write_bytes(library.read_bytes())
    (folder / "libnvidia-ml.so.1").symlink_to(library.name)
    return pci(write(root, {"/sys/module/nvidia/version": "570.86.15\n"}), count)


#: What the driver reports of itself before any GPU is read.
DRIVER = {
    "driver": "570.86.15",
    "cuda-version": "12.8",
    "driver-branch": "r570_00",
    "confidential-compute.state": "Disabled",
    "confidential-compute.environment": "production",
    "confidential-compute.development-tools": "Disabled",
}

#: Readings of a GPU about each of the others.
REACH_KEYS = {"p2p.read", "p2p.write", "p2p.nvlink", "p2p.atomics", "topology"}


def reported_keys(run: dict[str, Any], name: str) -> set[str]:
    """Every key of a subtype that has a value or a gap."""
    gaps = [*run["absent"], *run["unreadable"]]
    return set(run["subtypes"][name]) | {gap.partition("/")[2] for gap in gaps if gap.startswith(name + "/")}


def unreadable(run: dict[str, Any]) -> dict[str, str]:
    """What of the fake's GPUs was unreadable; a machine with real ones has those on its bus besides."""
    return {what: why for what, why in run["unreadable"].items() if what.startswith(("gpu-", "smi/"))}


def test_eight_gpus(library: Path) -> None:
    run = fake.run(library=library)
    assert run["order"] == ["smi", *(f"gpu-{index}" for index in range(8))]
    assert run["subtypes"]["smi"] == {
        **DRIVER,
        "gpu-count": 8,
        "gpu.model": "NVIDIA H100 80GB HBM3",
        "gpu.product-architecture": "Hopper",
        "gpu.display-mode": "Enabled",
        "gpu.display-active": "Disabled",
        "gpu.persistence-mode": "Disabled",
        "gpu.addressing-mode": "None",
        "gpu.vbios-version": "96.00.A5.00.01",
        "gpu.gsp-firmware-version": "570.86.15",
    }
    for index in range(8):
        assert reported_keys(run, f"gpu-{index}") == set(KEYS) | REACH_KEYS
    assert run["subtypes"]["gpu-3"]["nvlink.links-up"] == 17
    assert run["subtypes"]["gpu-4"]["nvlink.links-up"] == 18
    assert run["subtypes"]["gpu-3"]["nvlink.links"] == 18
    assert run["absent"]["gpu-0/retired-pages.pending"] == "not supported (NVML status 3)"
    assert not unreadable(run)
    assert run["modules"] == ["ctypes", "pynvml"], "neither ctypes.util nor the other source is imported"


def test_volatile_readings_are_apart_and_only_on_demand(library: Path) -> None:
    run = fake.run("gpus=2", library=library, volatile=True)
    assert run["order"] == ["smi", "gpu-0", "gpu-0.volatile", "gpu-1", "gpu-1.volatile"]
    assert reported_keys(run, "gpu-1.volatile") == set(VOLATILE_KEYS)
    assert not set(VOLATILE_KEYS) & set(KEYS)
    assert run["subtypes"]["gpu-0.volatile"]["pcie.generation-current"] == 1


def test_mixed_gpus(library: Path) -> None:
    run = fake.run("mixed", "gpus=2", library=library)
    large, small = run["subtypes"]["gpu-0"], run["subtypes"]["gpu-1"]
    assert (large["model"], small["model"]) == ("NVIDIA H100 80GB HBM3", "NVIDIA L4")
    assert small["architecture"] == "Ada Lovelace"
    assert small["retired-pages.double-bit"] == 0
    for key in ("ecc.current", "mig.current", "mig.devices", "nvlink.links", "fabric.state", "platform.slot-number"):
        assert key in large
        assert run["absent"][f"gpu-1/{key}"].startswith("not supported")
    assert not unreadable(run)


def test_a_slot_without_a_chassis_is_absent(library: Path) -> None:
    run = fake.run("no-chassis", "gpus=1", library=library)
    for key in ("chassis-serial-number", "slot-number", "tray-index", "host-id"):
        assert f"gpu-0/platform.{key}" in run["absent"]
    assert "platform.module-id" in run["subtypes"]["gpu-0"]


def test_links_of_eight_gpus(library: Path) -> None:
    run = fake.run(library=library, volatile=True)
    fourth = run["subtypes"]["gpu-3"]
    assert fourth["nvlink.links-up"] == 17
    assert fourth["nvlink.peers"] == "switch 0000:06:00.0 x9, switch 0000:07:00.0 x8"
    assert (fourth["nvlink.version"], fourth["nvlink.link-speed-mbps"]) == (6, 26562)
    assert fourth["p2p.nvlink"] == "ok: 0 1 2 4 5 6 7"
    assert fourth["topology"] == "NUMA node: 0 1 2; across NUMA nodes: 4 5 6 7"
    assert fourth["power.profiles-requested"] == fourth["power.profiles-enforced"] == "balanced llm-training"
    third = run["subtypes"]["gpu-2.volatile"]
    assert (third["nvlink.errors.recovery"], third["nvlink.errors.replay"], third["nvlink.links-with-errors"]) == (3, 0, "5")
    assert run["subtypes"]["gpu-0.volatile"]["nvlink.links-with-errors"] == "none"
    assert run["absent"]["gpu-0.volatile/nvlink.errors.symbol"].startswith("invalid argument"), "a field of later GPUs"
    assert run["absent"]["gpu-0.volatile/c2c.errors.replay"] == "no C2C links"


def test_links_of_cards_without_any(library: Path) -> None:
    run = fake.run("mixed", "gpus=4", library=library, volatile=True)
    assert run["subtypes"]["gpu-0"]["p2p.nvlink"] == "not supported: 1 3; ok: 2"
    assert run["absent"]["gpu-1/nvlink.peers"] == "no link is up"
    assert run["absent"]["gpu-1.volatile/nvlink.errors.replay"] == "no link is up"


def test_a_matrix_that_a_lost_gpu_cuts_off_is_unreadable(library: Path) -> None:
    run = fake.run("gpus=3", "fail=nvmlDeviceGetP2PStatus@1:15", library=library)
    assert run["unreadable"]["gpu-1/p2p.read"] == "the GPU is lost (NVML status 15)"
    assert run["subtypes"]["gpu-0"]["p2p.read"] == "ok: 1 2"


def test_files_of_the_fabric(library: Path, tmp_path: Path) -> None:
    root = write(
        tmp_path / "host",
        {
            "/usr/share/nvidia/nvswitch/fabricmanager.cfg": "# x\nFABRIC_MODE=1\nFABRIC_MODE_RESTART=0\nUNLISTED=hunter2\n",
            "/etc/nvidia-imex/config.cfg": "SERVER_PORT=50000\nIMEX_ENABLE_AUTH_ENCRYPTION=1\nIMEX_SERVER_KEY=/x\n",
            "/etc/nvidia-imex/nodes_config.cfg": "192.0.2.1\n192.0.2.2\n# x\n",
            "/dev/nvidia-caps-imex-channels/channel0": "",
            "/sys/module/nvidia/version": "570.86.15\n",
        },
    )
    run = fake.run("gpus=1", library=library, root=root)
    assert run["subtypes"]["fabric-manager"] == {"FABRIC_MODE": "1", "FABRIC_MODE_RESTART": "0"}
    assert run["subtypes"]["imex"] == {"IMEX_ENABLE_AUTH_ENCRYPTION": "1", "SERVER_PORT": "50000", "nodes": 2, "channels": 1}


def test_mig(library: Path) -> None:
    run = fake.run("mig", "gpus=1", library=library)
    assert run["subtypes"]["gpu-0"]["mig.current"] == "Enabled"
    assert run["subtypes"]["gpu-0"]["mig.devices"] == 3


def test_no_gpu_but_a_driver(library: Path) -> None:
    run = fake.run("gpus=0", library=library)
    assert run["subtypes"] == {"smi": {**DRIVER, "gpu-count": 0}}


def test_a_driver_that_lacks_calls(old_library: Path) -> None:
    run = fake.run("gpus=1", library=old_library, volatile=True)
    assert reported_keys(run, "gpu-0") == set(KEYS)
    assert run["absent"]["gpu-0/addressing-mode"] == "not in this driver's library (NVML status 13)"
    assert run["absent"]["gpu-0/fabric.clique-id"] == "not in this driver's library (NVML status 13)"
    assert run["absent"]["smi/gpu.addressing-mode"] == "not in this driver's library (NVML status 13)"
    assert run["subtypes"]["gpu-0.volatile"]["clocks.event-reasons"] == "gpu-idle"


def test_a_driver_with_the_older_fabric_structure_only(library: Path) -> None:
    run = fake.run("gpus=1", "fabric-v2", library=library)
    assert run["subtypes"]["gpu-0"]["fabric.health.bandwidth"] == "Full"
    assert run["absent"]["gpu-0/fabric.health.summary"] == "not supported"


def test_one_gpu_is_lost(library: Path) -> None:
    run = fake.run("fail=*@5:15", library=library)
    assert run["subtypes"]["smi"]["gpu-count"] == 8
    assert run["unreadable"]["gpu-5"] == "the GPU is lost (NVML status 15)"
    assert [name for name in run["order"] if name != "smi"] == [f"gpu-{index}" for index in (0, 1, 2, 3, 4, 6, 7)]


def test_a_gpu_that_is_lost_while_it_is_read_keeps_what_was_read(library: Path) -> None:
    run = fake.run("gpus=1", "fail=nvmlDeviceGetEccMode:15", library=library)
    assert run["subtypes"]["gpu-0"]["uuid"]
    assert unreadable(run) == {f"gpu-0/ecc.{which}": "the GPU is lost (NVML status 15)" for which in ("current", "pending")}


def test_the_first_gpu_is_lost(library: Path) -> None:
    run = fake.run("fail=*@0:15", "gpus=2", library=library)
    assert run["subtypes"]["smi"] == {**DRIVER, "gpu-count": 2}
    assert run["unreadable"]["smi/gpu.model"] == "the GPU is lost (NVML status 15)"
    assert run["order"] == ["smi", "gpu-1"]


@pytest.mark.parametrize("word", ["absurd", "latin", "empty"])
def test_answers_that_make_no_sense(library: Path, word: str) -> None:
    run = fake.run(word, "gpus=2", library=library, volatile=True)
    assert reported_keys(run, "gpu-1") == set(KEYS) | REACH_KEYS
    assert reported_keys(run, "gpu-1.volatile") == set(VOLATILE_KEYS)
    first = run["subtypes"]["gpu-0"]
    if word == "latin":
        assert first["model"] == "NVIDIA \\xa9 H100"
    elif word == "empty":
        assert first["model"] == ""
    else:
        assert set(first["model"]) == {"A"}
        assert run["absent"]["gpu-0/clocks.maximum-sm-mhz"] == "not available"
        assert first["ecc.current"] == "unknown (4294967295)"
        assert run["unreadable"]["gpu-0/recovery-action"] == "unknown value type 77"


def test_a_call_that_never_returns_keeps_the_gpus_before_it(library: Path) -> None:
    expected = {"smi", *(f"gpu-{index}" for index in range(5))}
    for deadline_s in DEADLINES_S:
        run = fake.run("hang=nvmlDeviceGetEccMode@5", library=library, seconds=deadline_s, how="snapshot")
        if set(run["subtypes"]) == expected:
            break
    assert run["outcome"] == "partial"
    assert "deadline" in run["reason"]
    assert set(run["subtypes"]) == expected
    assert run["milliseconds"] < AMPLE_S * 1000


def test_a_first_gpu_that_hangs_does_not_take_the_driver_along(library: Path) -> None:
    for deadline_s in DEADLINES_S:
        run = fake.run("hang=nvmlDeviceGetEccMode@0", library=library, seconds=deadline_s, how="snapshot")
        if run["subtypes"]:
            break
    assert run["outcome"] == "partial"
    assert run["subtypes"] == {"smi": {**DRIVER, "gpu-count": 8}}


def test_an_initialisation_that_never_returns(library: Path) -> None:
    run = fake.run("hang=nvmlInitWithFlags", library=library, seconds=1.0, how="snapshot")
    assert run["outcome"] == "failed"
    assert run["subtypes"] == {}
    assert run["milliseconds"] < AMPLE_S * 1000


def test_a_library_of_another_version_than_the_kernel_module(tmp_path: Path, library: Path) -> None:
    root = node(tmp_path, library)
    (root / "sys/module/nvidia/version").write_text("565.57.01\n")
    run = fake.run("fail=nvmlInitWithFlags:18", root=root)
    assert "kernel module 565.57.01, library 570.86.15" in run["failed"]
    assert "nvidia-smi is not run with --root" in run["failed"]
    assert "reboot" in run["hint"]
    assert run["code"] == "nvml"


def test_an_answer_of_another_version_than_the_kernel_module(tmp_path: Path, library: Path) -> None:
    run = fake.run("gpus=8", "driver=565.57.01", root=node(tmp_path, library))
    assert run["unreadable"] == {"/sys/module/nvidia/version": "kernel module 570.86.15, driver 565.57.01"}


def test_the_library_below_another_root(tmp_path: Path, library: Path) -> None:
    run = fake.run(root=node(tmp_path, library))
    assert run["subtypes"]["smi"]["gpu-count"] == 8
    assert run["subtypes"]["gpu-2"]["pci.numa-node"] == 1
    assert not run["unreadable"]


def test_of_two_libraries_the_one_of_the_kernel_module(tmp_path: Path, library: Path) -> None:
    root = node(tmp_path, library)
    (root / "run/nvidia/driver/usr/lib64").mkdir(parents=True)
    (root / "run/nvidia/driver/usr/lib64/libnvidia-ml.so.1").symlink_to("libnvidia-ml.so.535.54.03")
    (root / "run/nvidia/driver/usr/lib64/libnvidia-ml.so.535.54.03").write_text("")
    assert driver_files.find_driver(Host(str(root))).libraries[0] == "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
    assert fake.run(root=root)["subtypes"]["smi"]["gpu-count"] == 8


def test_a_library_that_is_none(tmp_path: Path) -> None:
    root = write(tmp_path, {"/usr/lib64/libnvidia-ml.so.1": "not a library", "/sys/module/nvidia/version": "570.86.15\n"})
    run = fake.run(root=root)
    assert "file too short" in run["failed"] or "invalid ELF header" in run["failed"]


def test_seven_of_eight(tmp_path: Path, library: Path) -> None:
    run = fake.run("gpus=7", root=node(tmp_path, library, count=8))
    assert run["subtypes"]["smi"]["gpu-count"] == 7
    assert run["unreadable"] == {"0000:17:00.0": "on the PCI bus but not in NVML: its kernel driver is nvidia"}


def test_seven_of_eight_when_an_address_is_unknown(tmp_path: Path, library: Path) -> None:
    run = fake.run("gpus=7", "fail=nvmlDeviceGetPciInfo_v3@2:999", root=node(tmp_path, library, count=8))
    assert run["unreadable"][pci_bus.PCI] == "8 NVIDIA devices on the PCI bus, 7 in NVML"
    assert run["unreadable"]["gpu-2/pci.numa-node"] == "the PCI address is unknown"


def test_a_gpu_passed_to_a_virtual_machine_and_a_virtual_function(tmp_path: Path, library: Path) -> None:
    root = node(tmp_path, library, count=8)
    lent = root / "sys/bus/pci/devices/0000:17:00.0"
    (lent / "driver").unlink()
    (lent / "driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    function = "sys/bus/pci/devices/0000:10:00.4"
    write(root, {f"{function}/vendor": "0x10de\n", f"{function}/class": "0x030200\n"})
    (root / function / "physfn").symlink_to("../0000:10:00.0")
    run = fake.run("gpus=7", root=root)
    assert run["absent"]["0000:17:00.0"] == "passed through to a virtual machine (vfio-pci)"
    assert not run["unreadable"]


def test_no_driver() -> None:
    if driver_files.find_driver(Host("/")) != driver_files.InstalledDriver(is_loaded=False, version=None, libraries=()):
        pytest.skip("this machine has an NVIDIA driver")
    run = fake.run()
    assert run["skipped"].startswith("no NVIDIA driver")
    assert run["hint"]
    assert run["modules"] == [], "nothing is loaded to find that out"


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (8, "no NVIDIA driver; 8 NVIDIA devices on the PCI bus are without a kernel driver"),
        (1, "no NVIDIA driver; 1 NVIDIA device on the PCI bus is without a kernel driver"),
        (0, "no NVIDIA driver"),
    ],
)
def test_devices_without_a_driver(tmp_path: Path, count: int, reason: str) -> None:
    host = Host(str(pci(tmp_path, count, bound=None)))
    with pytest.raises(NotApplicable) as caught:
        list(gpu.collect(Sources(host=host)))
    assert caught.value.reason == reason
    assert caught.value.hint


def test_a_captured_tree_does_not_show_the_running_kernel(tmp_path: Path, library: Path) -> None:
    run = fake.run(root=node(tmp_path, library), library=library, live=False)
    assert "captured tree" in run["skipped"]
    assert "570.86.15" in run["skipped"]
    assert run["modules"] == []


def test_a_kernel_module_without_its_library(tmp_path: Path) -> None:
    run = fake.run(root=write(tmp_path, {"/sys/module/nvidia/version": "570.86.15\n"}))
    assert run["failed"].startswith("NVML: libnvidia-ml.so.1 not found")
    assert "--root" in run["hint"]


def test_a_library_whose_driver_is_not_loaded(library: Path) -> None:
    if driver_files.find_driver(Host("/")).is_loaded:
        pytest.skip("an NVIDIA driver is loaded here")
    run = fake.run("fail=nvmlInitWithFlags:9", library=library)
    assert run["skipped"].startswith("no NVIDIA driver loaded")


def test_nvidia_smi_where_nvml_cannot_be_used(tmp_path: Path, library: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\nwhile read -r line; do echo "$line"; done < {QUERY}\n')
    program.chmod(0o755)
    run = fake.run("fail=nvmlInitWithFlags:999", library=library, path=str(tmp_path), volatile=True)
    assert run["unreadable"]["NVML"] == "NVML: unknown error in the driver (NVML status 999)"
    assert run["order"] == ["smi", "gpu-0", "gpu-0.volatile", "gpu-1", "gpu-1.volatile"]
    assert run["subtypes"]["smi"]["gpu.model"] == "NVIDIA Example 80GB"
    assert run["subtypes"]["smi"]["gpu-count"] == 2
    assert set(run["subtypes"]["smi"]) <= SMI_KEYS
    assert reported_keys(run, "gpu-0") == set(KEYS)
    assert reported_keys(run, "gpu-1.volatile") == set(VOLATILE_KEYS)
    assert run["unreadable"]["gpu-0/nvlink.links"] == "not in the output of nvidia-smi -q -x"


def smi_printing(folder: Path, case: Path) -> str:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nexec /bin/cat {case}\n")
    program.chmod(0o755)
    return str(folder)


def test_nvidia_smi_with_a_gpu_that_is_malformed(tmp_path: Path, library: Path) -> None:
    path = smi_printing(tmp_path, QUERY.with_name("malformed-skipped.xml"))
    run = fake.run("fail=nvmlInitWithFlags:999", library=library, path=path)
    assert run["order"] == ["smi", "gpu-0", "gpu-2"]
    assert run["unreadable"]["gpu-1"] == "nvidia-smi -q -x: mismatched tag in line 31"
    assert run["subtypes"]["smi"]["gpu-count"] == 3
    assert "nvidia-smi" not in run["unreadable"]


def test_nvidia_smi_with_warnings_and_fewer_gpus_than_it_counts(tmp_path: Path, library: Path) -> None:
    case = tmp_path / "case.xml"
    case.write_text(QUERY.with_name("warnings-around.xml").read_text().replace("<attached_gpus>1<", "<attached_gpus>8<"))
    run = fake.run("fail=nvmlInitWithFlags:999", library=library, path=smi_printing(tmp_path, case))
    assert run["subtypes"]["gpu-0"]["model"] == "Tesla T4"
    assert run["unreadable"]["nvidia-smi"] == (
        "WARNING: infoROM is corrupted at gpu 0000:3B:00.0; WARNING: persistenced is not running; 8 GPUs attached, 1 in the output"
    )


def test_nvidia_smi_with_a_first_gpu_that_is_malformed(tmp_path: Path, library: Path) -> None:
    case = tmp_path / "case.xml"
    case.write_text(QUERY.read_text().replace("<minor_number>0</minor_number>", "<minor_number>0"))
    run = fake.run("fail=nvmlInitWithFlags:999", library=library, path=smi_printing(tmp_path, case))
    assert run["subtypes"]["smi"] == {"driver": "580.95.05", "cuda-version": "13.0", "gpu-count": 2}
    assert run["unreadable"]["smi/gpu.model"] == run["unreadable"]["gpu-0"] == "nvidia-smi -q -x: mismatched tag in line 77"
    assert run["order"] == ["smi", "gpu-1"]


def test_both_sources_fail(tmp_path: Path, library: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Unable to determine the device handle for GPU0: 0000:01:00.0: GPU is lost.'\nexit 15\n")
    program.chmod(0o755)
    run = fake.run("fail=nvmlInitWithFlags:15", library=library, path=str(tmp_path))
    assert run["failed"].startswith("NVML: the GPU is lost (NVML status 15); ")
    assert run["failed"].endswith("status 15: Unable to determine the device handle for GPU0: 0000:01:00.0: GPU is lost.")


def test_an_nvidia_smi_that_hangs_is_gone_when_the_collector_is(tmp_path: Path, library: Path) -> None:
    mark = tmp_path / "pid"
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho $$ > {mark}\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    for deadline_s in DEADLINES_S:
        run = fake.run("fail=nvmlInitWithFlags:999", library=library, path=str(tmp_path), seconds=deadline_s, how="snapshot")
        if mark.exists() and mark.read_text():
            break
    assert run["outcome"] == "failed"
    assert "timed out" in run["reason"]
    pid = int(mark.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_bindings_use_nothing_else_of_the_modules_that_are_stood_in_for() -> None:
    pynvml = pytest.importorskip("pynvml")
    tree = ast.parse(Path(pynvml.__file__).read_text(encoding="utf-8"))
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    members = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "string"}
    assert "find_library" not in names
    assert members == {"capwords"}
    assert names.count("string") == 1, "used while it is imported, not later"
