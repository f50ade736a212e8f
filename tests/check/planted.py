"""Faults that were reported in public, planted into hosts that are right: what each changes, and the check that finds it.

Knows the table; must not know how a check judges. ``python3 -m tests.check.planted`` plants each and prints what was found. A source is a
thread of a public repository; where there is none, it is the document that the check names.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Any

from eidos.check.judge import CheckData, CheckOptions, judge, read_check_data
from eidos.model.check_report import CheckReport
from eidos.model.finding import FAIL
from eidos.model.measurement import FAILED, PARTIAL
from eidos.model.query import Query
from eidos.model.record import Record, replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.detection import detect
from eidos.recipe.store import Store, shipped_store
from tests.check.right_hosts import A100, AKS, B200, EKS, GB300, GKE, HGX, OKE, V100, Readings, apply_changes, snapshot_of
from tests.support.node_snapshots import NOW

Changes = dict[str, Any]

HOSTS: dict[str, Readings] = {
    "hgx": HGX,
    "a100": A100,
    "b200": B200,
    "v100": V100,
    "gb300": GB300,
    "eks": EKS,
    "gke": GKE,
    "aks": AKS,
    "oke": OKE,
}


class Fault(Record):
    """One fault: the check that finds it, what happened, the host, the readings that it changes, and who reported it.

    ``gaps`` are what the collector of GPUs reports in place of readings.
    """

    check: str
    what: str
    changes: Changes
    host: str = "hgx"
    source: str = ""
    gaps: dict[str, str] = {}
    failed: str = ""


def one(key: str, value: Any, index: int = 3) -> Changes:
    """A reading of one GPU."""
    return {f"GPU.gpu-{index}": {key: value}}


def each(values: Changes, count: int = 8) -> Changes:
    """Readings of all GPUs."""
    return {f"GPU.gpu-{index}": values for index in range(count)}


def volatile(key: str, value: Any) -> Changes:
    """A volatile reading of one GPU."""
    return {"GPU.gpu-3.volatile": {key: value}}


def driver(version: str, cuda: str, count: int = 8, fabric_manager: str = "nvidia-fabricmanager-580") -> Changes:
    """Another driver, with all that belongs to it."""
    return {
        **each({"gsp.firmware-version": version}, count),
        "GPU.smi": {"driver": version, "cuda-version": cuda},
        "OS.modules": {"driver-module-version": version, "driver-library-version": version, "nvidia.version": version},
        "OS.packages": {fabric_manager: f"{version}-1"},
        "OS.runtime": {"cdi.nvidia.yaml.library-version": version},
        "K8s.node": {"label.nvidia.com/cuda.driver-version.full": version},
    }


def both(*changes: Changes) -> Changes:
    """All of them."""
    result: Changes = {}
    for every in changes:
        for name, values in every.items():
            result[name] = {**result.get(name, {}), **values}
    return result


def xid(code: int, bucket: str) -> Changes:
    """An Xid in the kernel's log."""
    return {"OS.kmsg": {f"xid.0000:13:00.0.{code}": "x", f"xid.0000:13:00.0.{code}.bucket": bucket}}


def driver_container() -> Changes:
    """The operator's driver, in place of the host's."""
    return {"K8s.policy": {"driver.enabled": "true"}, "OS.packages": {"nvidia-driver-580-server-open": None}}


def log(key: str) -> Changes:
    """An event in the kernel's log."""
    return {"OS.kmsg": {key: True}}


def condition(name: str, value: str) -> Changes:
    """A condition of the node."""
    return {"K8s.node": {f"condition.{name}": value}}


_LABEL = "label.nvidia.com/gpu"

FAULTS = (
    # Driver.
    Fault("driver-end-of-life", "a driver of branch 570", driver("570.148.08", "12.8"), source="NVIDIA/go-nvml#152"),
    Fault(
        "driver-end-of-life",
        "a driver of branch 535",
        both(driver("535.309.01", "12.2")),
        source="NVIDIA/cloud-native-docs, 26.7 lists 535.309.01",
    ),
    Fault("driver-end-of-life", "a driver of branch 550", driver("550.90.07", "12.4"), source="NVIDIA, supported drivers, 2025-08"),
    Fault("driver-end-of-life", "a driver of branch 590", driver("590.48.01", "13.1"), source="NVIDIA/gpu-driver-container#735"),
    Fault("driver-vulnerable", "driver 580 without the fixes of September 2026", driver("580.173.02", "13.0"), source="CVE-2026-47601"),
    Fault("driver-vulnerable", "driver 595 without the fixes of September 2026", driver("595.71.05", "13.2"), source="CVE-2026-47601"),
    Fault("nouveau-loaded", "nouveau was not blacklisted", {"OS.kmod": {"nouveau": True}}, source="Oneflow-Inc/oneflow#3106"),
    Fault(
        "driver-library-mismatch",
        "apt upgraded the library under a loaded module",
        {"GPU.smi": None, **dict.fromkeys([f"GPU.gpu-{n}" for n in range(8)] + [f"GPU.gpu-{n}.volatile" for n in range(8)])},
        failed="NVML: driver/library version mismatch: kernel module 580.126.20, library 580.178.04 (/usr/lib/libnvidia-ml.so.1)",
        source="NVIDIA/ubuntu-packaging-nvidia-driver#3, lyulyul/shine-cluster#30",
    ),
    Fault(
        "gpu-not-in-driver",
        "seven of eight GPUs",
        {},
        gaps={"0000:17:00.0": "on the PCI bus with driver nvidia, but not in NVML"},
        source="NVIDIA/aicr#1858",
    ),
    Fault(
        "driver-module-missing",
        "the kernel was upgraded, DKMS built nothing",
        {
            "OS.modules": {
                "kernel-running": "6.8.0-71-generic",
                "kernels-installed": "6.8.0-60-generic 6.8.0-71-generic",
                "nvidia.loaded": None,
            }
        },
        source="negativo17/nvidia-driver#56",
    ),
    Fault(
        "driver-module-missing-next-boot",
        "unattended-upgrades installed a kernel",
        {"OS.modules": {"kernels-installed": "6.8.0-60-generic 6.8.0-71-generic"}},
        source="NVIDIA/cloud-native-docs, platform support",
    ),
    Fault(
        "driver-needs-open-modules",
        "proprietary modules on B200",
        {"OS.modules": {"nvidia.taint": "POE"}},
        "b200",
        "Start9Labs/start-technologies#3693",
    ),
    Fault(
        "driver-needs-open-modules",
        "proprietary modules on GB300",
        {"OS.modules": {"nvidia.taint": "POE"}, "OS.kmod": {"nvidia_peermem": True}},
        "gb300",
        "Start9Labs/start-technologies#3693",
    ),
    Fault(
        "driver-needs-proprietary-modules",
        "open modules on V100",
        {"OS.modules": {"nvidia.taint": "OE"}},
        "v100",
        source="negativo17/nvidia-driver#158",
    ),
    Fault(
        "driver-dropped-gpu",
        "driver 595 on V100",
        both(driver("595.91.07", "13.2", 4, "manager"), {"OS.packages": {"manager": "dpkg"}}, each({"gsp.firmware-version": None}, 4)),
        "v100",
        source="NixOS/nixos-hardware#1880",
    ),
    Fault(
        "cuda-not-of-driver",
        "cuda-compat comes first in the library path",
        {"GPU.smi": {"cuda-version": "12.4"}},
        source="gpustack/gpustack#1254",
    ),
    Fault(
        "gsp-firmware-off",
        "NVreg_EnableGpuFirmware=0 since a fault of the firmware",
        both(each({"gsp.mode": "Disabled"})),
        source="leptonai/gpud#1074",
    ),
    Fault("gsp-firmware-version", "firmware of the driver before", one("gsp.firmware-version", "570.148.08")),
    Fault(
        "driver-parameters-not-in-effect",
        "an option that the initramfs does not have",
        {"OS.boot-modprobe": {"options.nvidia.NVreg_EnableStreamMemOPs": "0"}},
    ),
    Fault(
        "driver-gsp-option-with-open-modules",
        "the GSP turned off for the open modules",
        {"OS.boot-modprobe": {"options.nvidia.NVreg_EnableGpuFirmware": "0"}},
        source="NVIDIA/open-gpu-kernel-modules#820",
    ),
    Fault(
        "driver-topology-option-removed",
        "driver 595 with the option for EFA",
        both(driver("595.91.07", "13.2"), {"OS.boot-modprobe": {"options.nvidia.NVreg_GrdmaPciTopoCheckOverride": "1"}}),
        source="NVIDIA/aicr#2439",
    ),
    Fault(
        "driver-coherent-memory-with-mig",
        "MIG on GB300 with CDMM",
        both(
            {"OS.modules": {"nvidia.driver.CoherentGPUMemoryMode": "driver"}}, each({"mig.current": "Enabled", "mig.pending": "Enabled"}, 4)
        ),
        "gb300",
    ),
    Fault(
        "driver-installed-twice",
        "packages of a driver on a node of the operator's",
        {"OS.packages": {"nvidia-driver-570-server": "570.86.15-0ubuntu1"}},
        "eks",
        "NVIDIA/gpu-operator#126",
    ),
    Fault("driver-not-of-policy", "a node that the upgrade left out", {"K8s.policy": {"driver.version": "580.126.20"}}, "eks"),
    Fault(
        "driver-blacklisted",
        "a left-over of prime-select",
        {"OS.boot-modprobe": {"blacklist.nvidia": True}},
        source="Bumblebee-Project/Bumblebee#1093",
    ),
    Fault(
        "gds-needs-open-modules",
        "nvidia-fs 2.29 with proprietary modules",
        {"OS.modules": {"nvidia.taint": "POE", "nvidia_fs.version": "2.29.4"}},
        source="NVIDIA/gds-nvidia-fs#41",
    ),
    Fault(
        "driver-not-signed",
        "secure boot, and the key not enrolled",
        {"OS.kernel": {"secure-boot": "on"}, "OS.kmod": {"nvidia": None}},
        source="sebastiaanfranken/systemd-boot-conversion#2",
    ),
    # GPUs.
    Fault("gpu-ecc-pending", "ECC switched without a reset", one("ecc.pending", "Disabled")),
    Fault("gpu-mig-pending", "MIG switched without a reset", one("mig.pending", "Enabled"), source="NVIDIA/gpu-operator#668"),
    Fault("gpu-row-remap-pending", "a row waits", one("remapped-rows.pending", True), source="leptonai/gpud#80"),
    Fault("gpu-row-remap-failure", "no spare row", one("remapped-rows.failure", True), source="aws/eks-node-monitoring-agent#245"),
    Fault("gpu-retired-pages-pending", "a page waits on V100", one("retired-pages.pending", True), "v100"),
    Fault("gpu-recovery-action", "the driver asks for a drain", one("recovery-action", "Drain and Reset")),
    Fault("gpu-recovery-action", "the driver asks for a reboot", one("recovery-action", "Reboot")),
    Fault("gpu-power-limit", "one card at 350 W", one("power.enforced-limit-watts", 350.0)),
    Fault(
        "gpu-persistence-mode", "persistenced does not run", each({"persistence-mode": "Disabled"}), source="NVIDIA/nvidia-persistenced#2"
    ),
    Fault("gpu-mixed-vbios", "a replaced card", one("vbios-version", "96.00.74.00.01")),
    Fault("gpu-mixed-inforom", "a replaced card", one("inforom.image", "G520.0200.00.03")),
    Fault(
        "gpu-inforom-corrupted",
        "a board that lost its configuration",
        one("inforom.image", None),
        source="NVIDIA/gpu-operator#2596, NVIDIA/DCGM#2",
        gaps={"gpu-3/inforom.image": "the InfoROM is corrupted"},
    ),
    Fault("gpu-mixed-ecc", "ECC off on one card", both(one("ecc.current", "Disabled"), one("ecc.pending", "Disabled"))),
    Fault("gpu-ecc-off", "ECC off on all cards", each({"ecc.current": "Disabled", "ecc.pending": "Disabled"})),
    Fault("gpu-hardware-slowdown", "a thermal slowdown", volatile("clocks.event-reasons", "hw-slowdown hw-thermal-slowdown")),
    Fault("gpu-hardware-slowdown", "a power brake", volatile("clocks.event-reasons", "hw-power-brake-slowdown")),
    Fault("gpu-uncorrected-errors", "two double bit errors", volatile("ecc.uncorrected-since-load", 2), source="NVIDIA/gpu-operator#1146"),
    Fault("gpu-compute-prohibited", "compute mode Prohibited", one("compute-mode", "Prohibited")),
    Fault("gpu-c2c-off", "NVLink-C2C is off", one("c2c.mode", "Disabled", 1), "gb300"),
    # PCI Express.
    Fault("pcie-width", "a GPU with 8 of 16 lanes", one("pcie.width-current", 8)),
    Fault("pcie-width", "a GPU with one lane", one("pcie.width-current", 1), "a100"),
    Fault("pcie-width-bus", "an adapter with 8 of 16 lanes", {"OS.pci": {"0000:41:00.0.width": 8}}),
    Fault("pcie-width-bus", "an NVSwitch with one of two lanes", {"OS.pci": {"0000:61:00.0.width": 1}}),
    Fault("iommu-translation", "no iommu=pt", {"OS.pci": {"0000:10:00.0.iommu": "DMA-FQ"}}, source="NVIDIA/nccl-tests#115"),
    Fault(
        "acs-redirect",
        "ACS on at a switch",
        {"OS.pci": {"0000:10:01.0.acs": "SrcValid ReqRedir CmpltRedir UpstreamFwd"}},
        source="NVIDIA/nccl#304, NVIDIA/nccl-tests#112",
    ),
    Fault("acs-redirect", "ACS on, NCCL hangs", {"OS.pci": {"0000:12:01.0.acs": "ReqRedir"}}, "a100", "NVIDIA/nccl#2079"),
    # Fabric.
    Fault("nvlink-count", "17 of 18 NVLinks", one("nvlink.links-up", 17)),
    Fault("nvlink-count", "no NVLink after a failed training", one("nvlink.links-up", 0), source="NVIDIA/open-gpu-kernel-modules#1150"),
    Fault("nvlink-count", "10 of 12 NVLinks on A100", one("nvlink.links-up", 10), "a100", source="Azure/azhpc-diagnostics#73"),
    Fault("nvlink-recovery-failed", "a link did not come back", volatile("nvlink.errors.link-recovery-failed", 1)),
    Fault(
        "fabric-not-ready",
        "the fabric manager did not finish",
        each({"fabric.state": "In Progress"}),
        source="huggingface/huggingface_hub#4134",
    ),
    Fault("fabric-not-ready", "completed with an error", one("fabric.status", "NVML status 999"), source="Azure/azhpc-images#506"),
    Fault("fabric-without-clique", "completed without a clique", one("fabric.clique-id", 0, 1), "gb300", "Azure/azhpc-images#506"),
    Fault(
        "fabric-without-clique",
        "completed without a cluster",
        one("fabric.cluster-uuid", "00000000-0000-0000-0000-000000000000", 1),
        "gb300",
        "Azure/azhpc-images#506",
    ),
    Fault("fabric-unhealthy", "bandwidth degraded", one("fabric.health.summary", "Unhealthy", 1), "gb300"),
    Fault(
        "fabric-manager-version",
        "driver 580 with fabric manager 590.48.01",
        {"OS.packages": {"nvidia-fabricmanager-580": "590.48.01-1"}},
        source="NVIDIA/gpu-driver-container#735",
    ),
    Fault(
        "fabric-manager-version",
        "the driver was upgraded, the fabric manager was not",
        {"OS.packages": {"nvidia-fabricmanager-580": "580.126.20-1"}},
        "a100",
        "NVIDIA/nvtrust#55",
    ),
    Fault("imex-version", "IMEX of another patch", {"OS.packages": {"nvidia-imex-580": "580.126.20-1"}}, "gb300"),
    Fault(
        "fabric-manager-not-running",
        "no fabric manager, CUDA error 802",
        {"SystemD.nvidia-fabricmanager.service": {"ActiveState": "inactive"}},
        source="aws-samples/aws-deep-learning-ami-ubuntu-dcv-desktop#33",
    ),
    Fault(
        "fabric-manager-not-running",
        "no fabric manager on A100",
        {"SystemD.nvidia-fabricmanager.service": {"ActiveState": "inactive"}},
        "a100",
        "jax-ml/jax#34113",
    ),
    Fault(
        "imex-beside-dra",
        "IMEX of the host beside the DRA driver",
        {"SystemD.nvidia-imex.service": {"ActiveState": "active"}, "K8s.image": {"dra-driver-nvidia-gpu": "v0.5.0"}},
        "gb300",
        "NVIDIA/aicr, rke2-vr200-setup.md",
    ),
    Fault("fabric-without-umad", "no ib_umad on B200", {"OS.kmod": {"ib_umad": None}}, "b200", "NVIDIA/gpu-operator#2781"),
    # Network.
    Fault("rdma-port-down", "a cable without light", {"OS.rdma": {"mlx5_3.port-1.state": "DOWN"}}, source="ROCm/rccl#1423"),
    Fault("rdma-slower-port", "a link at half width", {"OS.rdma": {"mlx5_3.port-1.width-and-speed": "2X NDR"}}),
    Fault("rdma-slower-port", "a link at HDR", {"OS.rdma": {"mlx5_5.port-1.width-and-speed": "4X HDR"}}, "aks"),
    Fault("rdma-mixed-firmware", "a replaced adapter", {"OS.rdma": {"mlx5_3.firmware": "28.39.1002"}}),
    Fault("rdma-port-not-configured", "no subnet manager", {"OS.rdma": {f"mlx5_{n}.port-1.state": "INIT" for n in range(8)}}),
    Fault("roce-without-v2", "a port without an IP address", {"OS.rdma": {"mlx5_3.port-1.gid-types": "IB/RoCE v1"}}, "oke"),
    Fault(
        "gpudirect-module-missing",
        "neither peermem nor DMA-BUF",
        {"OS.kmod": {"nvidia_peermem": None}, "OS.modules": {"nvidia.taint": "POE"}},
        source="NVIDIA/nccl#1412",
    ),
    Fault(
        "gpudirect-module-missing",
        "peermem not loaded on AKS",
        {"OS.kmod": {"nvidia_peermem": None}, "OS.modules": {"nvidia.taint": "POE"}},
        "aks",
        "NVIDIA/gpu-operator#2868",
    ),
    Fault("peermem-twice", "nv_peer_mem of an old installation", {"OS.kmod": {"nv_peer_mem": True}}),
    Fault(
        "rdma-memory-limit",
        "the default memory limit",
        {"OS.limits": {"process.containerd.memlock": "8388608"}},
        source="NVIDIA/nccl-tests#206",
    ),
    Fault("bond-link-down", "one of two links", {"OS.net": {"eth1.state": "down"}}),
    # Memory.
    Fault(
        "huge-page-size-unsupported",
        "pages of 1G on a 64k kernel",
        {"OS.grub": {"hugepagesz": "1G"}, "OS.boot-cmdline": {"hugepagesz": "1G"}},
        "gb300",
        "NVIDIA/nodewright-packages#135",
    ),
    Fault("huge-pages-not-allocated", "5128 of 8192 pages", {"OS.memory": {"hugepages.2048kB.total": 5128}}),
    Fault("swap-with-kubelet", "swap came back with a reboot", {"OS.memory": {"swap.devices": 1}}, source="kubernetes/kubernetes#50373"),
    Fault("memory-uncorrected-errors", "an uncorrected error of a DIMM", {"OS.memory.volatile": {"ecc.mc0.ue-count": 1}}),
    # Kernel and boot.
    Fault("numa-balancing-two-ways", "tuned sets what the boot parameter forbids", {"OS.sysctl": {"/proc/sys/kernel/numa_balancing": "1"}}),
    Fault("kernel-taint-fault", "a machine check", {"OS.kernel": {"taint.flags": "out-of-tree-module machine-check"}}),
    Fault("clock-source-slow", "the TSC was marked unstable", {"OS.kernel": {"clock-source": "hpet"}}, source="sozu-proxy/sozu#500"),
    Fault("cpu-governor", "powersave", {"OS.cpu": {"governor": "powersave"}}),
    Fault("boot-parameters-next-boot", "grub was changed, the node not rebooted", {"OS.boot-cmdline": {"init_on_alloc": "0"}}),
    Fault(
        "boot-parameters-next-boot",
        "a drop-in replaced the command line",
        {"OS.boot-cmdline": {"iommu": None}},
        source="NVIDIA/nodewright-packages, bootloader.sh of nvidia-setup",
    ),
    Fault("sysctl-next-boot", "a value set by hand", {"OS.sysctl": {"/proc/sys/vm/swappiness": "60"}}),
    Fault("reboot-required", "a new libc waits", {"OS.kernel": {"reboot-required": True}}),
    # The kernel's log.
    Fault("xid-reboot", "Xid 79, fallen off the bus", xid(79, "reboot"), source="NVIDIA/open-gpu-kernel-modules#888"),
    Fault("xid-reset", "Xid 46", xid(46, "reset")),
    Fault("xid-hardware", "Xid 54, auxiliary power", xid(54, "hardware")),
    Fault("xid-support", "an Xid for support", xid(140, "support")),
    Fault("xid-software", "Xid 78", xid(78, "software")),
    Fault("xid-workflow", "Xid 48, double bit error", xid(48, "workflow"), source="NVIDIA/gpu-operator#1146"),
    Fault("xid-application", "Xid 31, page fault", xid(31, "application"), source="akash-network/support#244"),
    Fault("sxid-fatal", "an NVSwitch error", {"OS.kmsg": {"sxid.0000:05:00.0.20034": "fatal"}}, source="leptonai/gpud#338"),
    Fault("driver-probe-failed", "probe routine failed", log("nvrm-probe-failed"), source="NVIDIA/aicr#1858"),
    Fault("driver-init-failed", "RmInitAdapter failed", log("nvrm-init-failed"), source="NVIDIA/open-gpu-kernel-modules#246"),
    Fault("uvm-hmm-failed", "CUDA initialization fails", log("uvm-hmm-failed"), source="dmlc/xgboost#11356"),
    Fault("pcie-fatal-error", "AER fatal", log("aer-fatal"), source="wilicc/gpu-burn#1"),
    Fault("pcie-non-fatal-error", "AER non-fatal", log("aer-non-fatal"), source="NVIDIA/open-gpu-kernel-modules#1229"),
    Fault("machine-check", "a machine check", log("mce"), source="radiasoft/devops#134"),
    Fault("hung-task", "nvidia-smi in state D", log("hung-task"), source="NVIDIA/open-gpu-kernel-modules#971"),
    Fault("soft-lockup", "a soft lockup", log("soft-lockup"), source="deepspeedai/DeepSpeed#925"),
    Fault("hard-lockup", "a hard lockup", log("hard-lockup"), source="iron-fish/ironfish#701"),
    Fault("out-of-memory", "the kernel killed a process", log("oom"), source="k3s-io/k3s#838"),
    # Services.
    Fault(
        "unit-failed",
        "persistenced failed",
        {"SystemD.nvidia-persistenced.service": {"ActiveState": "failed"}},
        source="NVIDIA/ansible-role-nvidia-driver#3",
    ),
    Fault("unit-needs-reload", "containerd's unit was changed", {"SystemD.containerd.service": {"NeedDaemonReload": True}}),
    Fault("time-not-synchronized", "the clock runs free", {"OS.kernel": {"time.synchronized": False}}),
    Fault(
        "two-time-services",
        "timesyncd beside chrony",
        {"SystemD.systemd-timesyncd.service": {"ActiveState": "active"}},
        source="systemd/systemd#7104",
    ),
    # Container runtimes.
    Fault(
        "containerd-end-of-life",
        "containerd 2.0",
        {"OS.runtime": {"containerd.version": "2.0.3"}, "K8s.node": {"container-runtime-version": "2.0.3"}},
    ),
    Fault("toolkit-vulnerable", "toolkit 1.17.5", {"OS.runtime": {"nvidia.version": "1.17.5"}}, source="CVE-2025-23266"),
    Fault("toolkit-vulnerable", "toolkit 1.19.0", {"OS.runtime": {"nvidia.version": "1.19.0"}}, source="CVE-2026-24260"),
    Fault(
        "operator-toolkit-vulnerable",
        "the operator's toolkit 1.19.0",
        {"K8s.image": {"container-toolkit": "v1.19.0-ubuntu20.04"}},
        "eks",
        "CVE-2026-24260",
    ),
    Fault(
        "cgroup-driver-containerd",
        "the runtime nvidia without SystemdCgroup",
        {
            "OS.runtime": {"containerd.version": "1.7.24", "containerd.runtime.nvidia.type": "io.containerd.runc.v2"},
            "K8s.node": {"container-runtime-version": "1.7.24"},
        },
        "eks",
        "NVIDIA/nvidia-container-toolkit#48",
    ),
    Fault("cgroup-driver-crio", "CRI-O with cgroupfs", {"OS.runtime": {"crio.cgroup-manager": "cgroupfs"}}, source="google/gvisor#193"),
    Fault(
        "cgroup-version-1",
        "a host with cgroup version 1",
        {"OS.limits": {"cgroup.version": 1}},
        source="NVIDIA/OpenShell#360, k0sproject/k0s#7398",
    ),
    Fault(
        "cdi-of-other-driver",
        "the specification is of the old driver",
        {"OS.runtime": {"cdi.nvidia.yaml.library-version": "570.148.08"}},
        source="containers/podman#26233",
    ),
    Fault(
        "cdi-missing-files",
        "a library is gone",
        {"OS.runtime": {"cdi.nvidia.yaml.host-paths-missing": 4}},
        source="containers/podman#26233",
    ),
    Fault(
        "toolkit-no-cgroups",
        "no-cgroups for a rootless trial",
        {"OS.runtime": {"nvidia.cli.no-cgroups": True}},
        source="NVIDIA/nvidia-container-toolkit#381",
    ),
    Fault(
        "toolkit-devices-unprivileged",
        "the default of the toolkit",
        {"OS.runtime": {"nvidia.accept-devices-when-unprivileged": True}},
        source="NVIDIA/k8s-device-plugin#61",
    ),
    Fault("containerd-not-restarted", "containerd was upgraded", {"K8s.node": {"container-runtime-version": "2.3.0"}}),
    Fault(
        "runtime-handler-missing",
        "the toolkit's file is not read",
        {"K8s.node": {"runtime-handlers": "(default)"}},
        source="NVIDIA/nvidia-container-toolkit#1956",
    ),
    # The node in its cluster.
    Fault("node-not-ready", "the kubelet stopped", condition("Ready", "Unknown")),
    Fault("node-memory-pressure", "memory pressure", condition("MemoryPressure", "True"), source="kubernetes/kubernetes#52386"),
    Fault("node-disk-pressure", "disk pressure", condition("DiskPressure", "True"), source="akash-network/support#226"),
    Fault("node-pid-pressure", "pid pressure", condition("PIDPressure", "True"), source="kubernetes/kubernetes#78930"),
    Fault("node-network-unavailable", "no network plugin", condition("NetworkUnavailable", "True"), source="kubernetes/kubernetes#44254"),
    Fault("node-cordoned", "left cordoned", {"K8s.node": {"unschedulable": True}}),
    Fault(
        "gpu-not-advertised",
        "no device plugin",
        {"K8s.node": {"allocatable.nvidia.com/gpu": None, "capacity.nvidia.com/gpu": None}},
        source="NVIDIA/k8s-device-plugin#834",
    ),
    Fault(
        "gpu-unhealthy-in-cluster",
        "one GPU unhealthy",
        {"K8s.node": {"allocatable.nvidia.com/gpu": "7"}},
        "eks",
        source="NVIDIA/k8s-device-plugin#1014",
    ),
    Fault(
        "gpu-count-in-cluster",
        "the plugin started before the eighth GPU",
        {"K8s.node": {"allocatable.nvidia.com/gpu": "7", "capacity.nvidia.com/gpu": "7"}},
        source="NVIDIA/aicr#1858",
    ),
    Fault(
        "label-gpu-product",
        "the label of the GPU before",
        {"K8s.node": {f"{_LABEL}.product": "NVIDIA-A100-SXM4-80GB"}},
        source="NVIDIA/k8s-device-plugin#731",
    ),
    Fault("label-gpu-count", "the label counts seven", {"K8s.node": {f"{_LABEL}.count": "7"}}),
    Fault(
        "label-driver-version", "the label of the driver before", {"K8s.node": {"label.nvidia.com/cuda.driver-version.full": "570.148.08"}}
    ),
    Fault(
        "label-kernel-version",
        "the label of the kernel before",
        {"K8s.node": {"label.feature.node.kubernetes.io/kernel-version.full": "6.8.0-41-generic"}},
    ),
    Fault("policy-not-ready", "an operand is not ready", {"K8s.policy": {"status.state": "notReady"}}, source="NVIDIA/gpu-operator#667"),
    Fault(
        "network-policy-not-ready",
        "the OFED driver is not ready",
        {"K8s.policy": {"nicclusterpolicy/nic-cluster-policy/status.state": "notReady"}},
        source="Mellanox/network-operator#720",
    ),
    Fault(
        "policy-and-gpucluster",
        "both policies",
        {"K8s.policy": {"gpucluster/gpu-cluster/status.state": "ready"}},
        source="NVIDIA/gpu-operator#2696",
    ),
    Fault(
        "operator-driver-unsupported",
        "the operator's driver on COS",
        {"K8s.policy": {"driver.enabled": "true"}},
        "gke",
        source="NVIDIA/gpu-operator#1623",
    ),
    Fault(
        "operator-driver-unsupported",
        "the operator's driver on Debian",
        both(
            driver_container(), {"OS.release": {"ID": "debian", "VERSION_ID": "12"}, "K8s.policy": {"driver.repository": "nvcr.io/nvidia"}}
        ),
        source="NVIDIA/gpu-driver-container, image matrix",
    ),
    Fault(
        "operator-rdma-without-adapter",
        "driver.rdma.enabled with EFA",
        {"K8s.policy": {"driver.rdma.enabled": "true"}},
        "eks",
        "NVIDIA/aicr, values of the GPU Operator",
    ),
    Fault(
        "kubelet-skew", "a kubelet four versions older", {"K8s.node": {"kubelet-version": "v1.31.4"}, "OS.kubelet": {"version": "v1.31.4"}}
    ),
    Fault(
        "kubelet-skew",
        "a kubelet newer than the API server",
        {"K8s.node": {"kubelet-version": "v1.36.0"}, "OS.kubelet": {"version": "v1.36.0"}},
    ),
    Fault("kubelet-not-restarted", "the kubelet was upgraded", {"OS.kubelet": {"version": "v1.35.3"}}),
    Fault(
        "kubernetes-end-of-life",
        "Kubernetes 1.33",
        {"K8s.server": {"version": "v1.33.5"}, "K8s.node": {"kubelet-version": "v1.33.5"}, "OS.kubelet": {"version": "v1.33.5"}},
    ),
    Fault(
        "kubernetes-end-of-life",
        "Kubernetes 1.32",
        {"K8s.server": {"version": "v1.32.13"}, "K8s.node": {"kubelet-version": "v1.32.13"}, "OS.kubelet": {"version": "v1.32.13"}},
    ),
    Fault(
        "kubernetes-end-of-life",
        "EKS 1.30 after its extended support",
        {
            "K8s.server": {"version": "v1.30.14-eks-3025e55"},
            "K8s.node": {"kubelet-version": "v1.30.14"},
            "OS.kubelet": {"version": "v1.30.14"},
        },
        "eks",
    ),
    Fault(
        *("file-system-full", "the disk of the system is full", {"OS.storage.volatile": {"mount./.used-percent": 100.0}}),
        source="nebius/soperator#1392",
    ),
    Fault("file-system-full", "no inode is left", {"OS.storage.volatile": {"mount./tmp.inodes-used-percent": 99.2}}),
    Fault(
        "mig-manager-glibc",
        "a host driver on RHEL 8",
        {"OS.release": {"ID": "rhel", "VERSION_ID": "8.10"}, "K8s.image": {"k8s-mig-manager": "v0.14.0"}},
        source="NVIDIA/mig-parted#329",
    ),
    Fault("gpu-operator-end-of-life", "GPU Operator 25.3", {"K8s.image": {"gpu-operator": "v25.3.4"}}),
)


def is_reported(fault: Fault) -> bool:
    """Whether somebody met the fault and reported it: a thread of a public repository, or a bulletin of the vendor."""
    return re.match(r"[\w.-]+/[\w.-]+#\d+|CVE-\d+-\d+$", fault.source) is not None


def plant(fault: Fault) -> Snapshot:
    """The snapshot of the host with the fault."""
    snapshot = snapshot_of(apply_changes(HOSTS[fault.host], fault.changes), ("os.rdma", "os.net") if fault.host == "eks" else ())
    if not (fault.gaps or fault.failed):
        return snapshot
    outcome = {"outcome": FAILED if fault.failed else PARTIAL, "reason": fault.failed or None, "unreadable": fault.gaps}
    return replace(snapshot, collectors=tuple(replace(each, **outcome) if each.name == "gpu" else each for each in snapshot.collectors))


@lru_cache
def store() -> Store:
    """The built-in data, read once."""
    return shipped_store()


@lru_cache
def check_data() -> CheckData:
    """The checks, read once."""
    return read_check_data(store().check_data)


def report_of(snapshot: Snapshot) -> CheckReport:
    """What expert checks say of it."""
    query = detect(snapshot, store().catalog, Query()).query
    return judge(snapshot, None, query, check_data(), CheckOptions(now=NOW))


def failures(report: CheckReport) -> set[str]:
    """The checks that failed, but for those of the snapshot itself."""
    return {finding.id for finding in report.findings if finding.status == FAIL and not finding.id.startswith("snapshot-")}


def main() -> int:
    """Print the table: what was planted, what was found, what is to be done; 1 if one was not found alone."""
    missed = 0
    for fault in FAULTS:
        report = report_of(plant(fault))
        failed = failures(report)
        missed += failed != {fault.check}
        (finding,) = [finding for finding in report.findings if finding.id == fault.check]
        steps = "; ".join((step.file or step.text) for step in finding.remedy.steps) if finding.remedy else "no remedy"
        verdict = "found" if failed == {fault.check} else f"expected it alone, found {', '.join(sorted(failed)) or 'nothing'}"
        source = fault.source or finding.source.document
        print(f"{fault.check}\n  {fault.host}: {fault.what}\n  {verdict}: {finding.actual}\n  {steps}\n  {source}")
    counts = f"{len(FAULTS)} faults of {len({fault.check for fault in FAULTS})} checks, {sum(map(is_reported, FAULTS))} reported in public"
    print(f"{counts}, {len(FAULTS) - missed} found alone")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
