"""Hosts that are right, as snapshots made in this process: one of each kind that a check could mistake for a fault.

Knows the readings of a healthy node; must not know any check. Values follow NVIDIA's documents of these machines and the captured trees in
``tests/hosts``; versions are those that the recipes recommend, names and addresses are made up.
"""

from __future__ import annotations

from typing import Any

from eidos.collectors import list_collectors
from eidos.model.measurement import TYPES, Measurement, Outcome, Subtype
from eidos.model.snapshot import Snapshot
from tests.support.node_snapshots import TIME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

Readings = dict[str, dict[str, Any]]

DRIVER = "580.178.04"
KERNEL = "6.8.0-60-generic"


def snapshot_of(readings: Readings, absent: tuple[str, ...] = ()) -> Snapshot:
    """A snapshot with ``{"OS.kmod": {…}}``; every collector is ok but ``absent`` ones, which found nothing of their kind."""
    types: dict[str, list[Subtype]] = {wire: [] for wire in TYPES.values()}
    for name, values in {"OS.storage.volatile": FILE_SYSTEMS, **readings}.items():
        kind, _, subtype = name.partition(".")
        context = dict.fromkeys(values, "set in /etc/sysctl.d/90-site.conf") if subtype == "boot-sysctl" else {}
        types[kind].append(Subtype(subtype, dict(values), context))
    outcomes = (
        Outcome(name, "skipped", 0.0, "no such thing here") if name in absent else Outcome(name, "ok", 1.0) for name in list_collectors()
    )
    return Snapshot(TIME, "0.1.0", "gpu-07", tuple(Measurement(kind, tuple(parts)) for kind, parts in types.items()), tuple(outcomes))


def gpu(model: str = "NVIDIA H100 80GB HBM3", architecture: str = "Hopper", **changes: Any) -> dict[str, Any]:
    """A healthy GPU."""
    watts = 700.0
    return {
        "model": model,
        "architecture": architecture,
        "ecc.current": "Enabled",
        "ecc.pending": "Enabled",
        "mig.current": "Disabled",
        "mig.pending": "Disabled",
        "persistence-mode": "Enabled",
        "compute-mode": "Default",
        "virtualization-mode": "None",
        "power.enforced-limit-watts": watts,
        "power.default-limit-watts": watts,
        "pcie.width-current": 16,
        "pcie.width-maximum": 16,
        "nvlink.links-up": 18,
        "nvlink.links": 18,
        "fabric.state": "Completed",
        "fabric.status": "Success",
        "fabric.clique-id": 0,
        "fabric.cluster-uuid": "00000000-0000-0000-0000-000000000000",
        "gsp.firmware-version": DRIVER,
        "gsp.mode": "Enabled",
        "gsp.default-mode": "Enabled",
        "vbios-version": "96.00.89.00.01",
        "inforom.image": "G520.0200.00.05",
        "remapped-rows.pending": False,
        "remapped-rows.failure": False,
        "retired-pages.pending": False,
        "recovery-action": "None",
        **{key.replace("__", ".").replace("_", "-"): value for key, value in changes.items()},
    }


def without(values: dict[str, Any], *prefixes: str) -> dict[str, Any]:
    """The readings but those that begin so."""
    return {key: value for key, value in values.items() if not key.startswith(prefixes)}


VOLATILE = {
    "clocks.event-reasons": "gpu-idle",
    "pcie.generation-current": 1,
    "ecc.uncorrected-since-load": 0,
    "nvlink.errors.link-recovery-failed": 0,
}


#: Read-only images and small boot partitions are full by their making.
FILE_SYSTEMS = {
    "mount./.used-percent": 61.4,
    "mount./.inodes-used-percent": 12.0,
    "mount./usr.used-percent": 100.0,
    "mount./boot.used-percent": 99.6,
    "mount./dev/shm.used-percent": 0.0,
    "mount./tmp.used-percent": 98.9,
}


def gpus(count: int, values: dict[str, Any], driver: str = DRIVER, cuda: str = "13.0") -> Readings:
    """The driver and its GPUs."""
    first = {f"gpu.{key}": values[key] for key in ("model", "persistence-mode", "vbios-version") if key in values}
    readings: Readings = {"GPU.smi": {"driver": driver, "cuda-version": cuda, "gpu-count": count, **first}}
    for number in range(count):
        readings[f"GPU.gpu-{number}"] = values
        readings[f"GPU.gpu-{number}.volatile"] = VOLATILE
    return readings


def pci(count: int, switches: int = 0, adapters: int = 0, **changes: Any) -> dict[str, Any]:
    """GPUs, NVSwitches and network cards on the bus, with a bridge above each GPU."""
    data: dict[str, Any] = {}
    for number in range(count):
        data.update(
            {f"0000:{number + 16:02x}:00.0.{key}": value for key, value in {"kind": "gpu", "driver": "nvidia", **_LANES, **changes}.items()}
        )
        data.update({f"0000:{number + 16:02x}:01.0.kind": "bridge", f"0000:{number + 16:02x}:01.0.acs": "SrcValid"})
    for number in range(switches):
        data.update(
            {
                f"0000:{number + 96:02x}:00.0.{key}": value
                for key, value in {"kind": "nvswitch", "driver": "nvidia-nvswitch", "width": 2, "max-width": 2}.items()
            }
        )
    for number in range(adapters):
        data.update(
            {f"0000:{number + 64:02x}:00.0.{key}": value for key, value in {"kind": "nic", "driver": "mlx5_core", **_LANES}.items()}
        )
    return data


_LANES = {"width": 16, "max-width": 16, "iommu": "identity"}


def adapters(count: int, **changes: Any) -> dict[str, Any]:
    """InfiniBand adapters of one board, with one port each that is up."""
    device = {"driver": "mlx5_core", "type": "MT4129", "board-id": "MT_0000000838", "firmware": "28.43.2566"}
    port = {
        "link-layer": "InfiniBand",
        "state": "ACTIVE",
        "physical-state": "LinkUp",
        "rate-gbps": 400,
        "width-and-speed": "4X NDR",
        "gid-types": "IB/RoCE v1",
    }
    port.update({key.replace("_", "-"): value for key, value in changes.items()})
    data: dict[str, Any] = {"devices": count}
    for number in range(count):
        data.update({f"mlx5_{number}.{key}": value for key, value in device.items()})
        data.update({f"mlx5_{number}.port-1.{key}": value for key, value in port.items()})
    return data


def unit(state: str = "active") -> dict[str, Any]:
    """A unit's readings."""
    return {"ActiveState": state, "LoadState": "loaded" if state == "active" else "not-found", "NeedDaemonReload": False}


def cluster(count: int, model: str, **changes: Any) -> Readings:
    """The node in its cluster, with the GPU Operator; the host brings the driver."""
    node = {
        "source-node": "gpu-07",
        "kernel-version": KERNEL,
        "kubelet-version": "v1.35.2",
        "container-runtime-name": "containerd",
        "container-runtime-version": "2.3.1",
        "runtime-handlers": "(default) nvidia",
        "condition.Ready": "True",
        "condition.MemoryPressure": "False",
        "condition.DiskPressure": "False",
        "condition.PIDPressure": "False",
        "condition.NetworkUnavailable": "False",
        "allocatable.nvidia.com/gpu": str(count),
        "capacity.nvidia.com/gpu": str(count),
        "label.nvidia.com/gpu.count": str(count),
        "label.nvidia.com/gpu.product": model.replace(" ", "-"),
        "label.nvidia.com/gpu.sharing-strategy": "none",
        "label.nvidia.com/gpu.replicas": "1",
        "label.nvidia.com/cuda.driver-version.full": DRIVER,
        "label.nvidia.com/gpu.deploy.driver": "pre-installed",
        "label.feature.node.kubernetes.io/kernel-version.full": KERNEL,
        **changes,
    }
    return {
        "K8s.node": node,
        "K8s.server": {"version": "v1.35.2"},
        "K8s.image": {"gpu-operator": "v26.7.0", "container-toolkit": "v1.20.0", "k8s-device-plugin": "v0.20.0"},
        "K8s.policy": {
            "status.state": "ready",
            "toolkit.enabled": "true",
            "driver.enabled": "false",
            "nicclusterpolicy/nic-cluster-policy/status.state": "ready",
        },
    }


def system(id: str = "ubuntu", version: str = "24.04", vendor: str = "Supermicro", product: str = "SYS-821GE-TNHR") -> Readings:
    """The host, without GPUs and network."""
    line = {"iommu": "pt", "numa_balancing": "disable", "hugepagesz": "2M", "hugepages": "8192"}
    sysctls = {"/proc/sys/kernel/numa_balancing": "0", "/proc/sys/kernel/osrelease": KERNEL, "/proc/sys/vm/swappiness": "1"}
    units = ("containerd", "kubelet", "nvidia-persistenced", "nvidia-fabricmanager", "chrony")
    return {
        "OS.release": {"ID": id, "VERSION_ID": version},
        "OS.machine": {"sys-vendor": vendor, "product-name": product},
        "OS.cpu": {"governor": "performance"},
        "OS.grub": {"BOOT_IMAGE": "/vmlinuz", **line},
        "OS.boot-cmdline": line,
        "OS.sysctl": sysctls,
        "OS.boot-sysctl": {"/proc/sys/vm/swappiness": "1"},
        "OS.boot-modprobe": {"options.nvidia.NVreg_EnableStreamMemOPs": "1"},
        "OS.kmod": {"nvidia": True, "nvidia_uvm": True, "nvidia_peermem": True},
        "OS.modules": {
            "nvidia.loaded": True,
            "nvidia.version": DRIVER,
            "nvidia.taint": "OE",
            "nvidia.driver.EnableStreamMemOPs": "1",
            "driver-module-version": DRIVER,
            "driver-library-version": DRIVER,
            "kernel-running": KERNEL,
            "kernels-installed": f"6.8.0-41-generic {KERNEL}",
            f"kernel.{KERNEL}.nvidia": "updates/dkms/nvidia.ko.zst",
            "kernel.6.8.0-41-generic.nvidia": "updates/dkms/nvidia.ko.zst",
        },
        "OS.packages": {
            "manager": "dpkg",
            "nvidia-fabricmanager-580": f"{DRIVER}-1",
            "nvidia-driver-580-server-open": f"{DRIVER}-0ubuntu1",
        },
        "OS.memory": {
            "swap.devices": 0,
            "hugepages.default-size-kib": 2048,
            "hugepages.2048kB.total": 8192,
            "hugepages.1048576kB.total": 0,
            "ecc.controllers": 1,
        },
        "OS.memory.volatile": {"ecc.mc0.ue-count": 0, "ecc.mc0.ce-count": 0},
        "OS.kernel": {
            "taint": 12288,
            "taint.flags": "out-of-tree-module unsigned-module",
            "clock-source": "tsc",
            "secure-boot": "off",
            "time.synchronized": True,
            "reboot-required": False,
        },
        "OS.kmsg": {"log-read": True},
        "OS.limits": {"cgroup.version": 2, "process.containerd.memlock": "unlimited"},
        "OS.kubelet": {"config": "/var/lib/kubelet/config.yaml", "version": "v1.35.2", "cgroupDriver": "systemd"},
        "OS.runtime": {
            "containerd.version": "2.3.1",
            "containerd.runtime.runc.type": "io.containerd.runc.v2",
            "containerd.runtime.runc.systemd-cgroup": True,
            "nvidia.version": "1.20.0",
            "nvidia.cli.no-cgroups": False,
            "nvidia.accept-devices-when-unprivileged": False,
            "cdi.nvidia.yaml.library-version": DRIVER,
            "cdi.nvidia.yaml.host-paths-missing": 0,
        },
        **{f"SystemD.{name}.service": unit() for name in units},
        **{
            f"SystemD.{name}.service": unit("inactive")
            for name in ("nvidia-imex", "systemd-timesyncd", "crio", "docker", "nvidia-cdi-refresh")
        },
    }


def apply_changes(readings: Readings, changes: Mapping[str, Mapping[str, Any] | None]) -> Readings:
    """The readings with some of a subtype changed (``{"OS.kmod": {"nouveau": True}}``); None removes a subtype, or a reading."""
    result = {name: dict(values) for name, values in readings.items()}
    for name, values in changes.items():
        if values is None:
            result.pop(name, None)
        else:
            merged = {**result.get(name, {}), **values}
            result[name] = {key: value for key, value in merged.items() if value is not None}
    return result


def update(readings: Readings, **changes: dict[str, Any] | None) -> Readings:
    """The same with names of arguments in place of names of subtypes: ``OS_kmod`` for ``OS.kmod``."""
    return apply_changes(readings, {name.replace("_", ".", 1): values for name, values in changes.items()})


def node(count: int, values: dict[str, Any], base: Readings, cuda: str = "13.0", **changes: dict[str, Any] | None) -> Readings:
    """A node with GPUs in a cluster."""
    return update({**base, **gpus(count, values, cuda=cuda), **cluster(count, values["model"])}, **changes)


HGX = node(
    8,
    gpu(),
    system(),
    OS_pci=pci(8, 4, 8),
    OS_rdma=adapters(8),
    OS_net={"bond0.state": "up", "eth0.state": "up", "eth0.bond": "bond0", "eth1.state": "up", "eth1.bond": "bond0"},
)

PCIE = gpu("NVIDIA H100 PCIe")
CARD = without({**PCIE, "nvlink.links-up": 0}, "fabric.")
_NO_FABRIC: dict[str, Any] = {"SystemD_nvidia-fabricmanager.service": unit("inactive"), "OS_packages": {"nvidia-fabricmanager-580": None}}
#: A guest does not see the host's bridges and IOMMU, nor the errors of its memory.
_GUEST: dict[str, Any] = {
    "OS_memory": {"ecc.controllers": None},
    "OS_memory.volatile": {"ecc.mc0.ue-count": None},
    "OS_cpu": {"governor": None},
    "OS_kernel": {"clock-source": "kvm-clock"},
    "OS_grub": {"iommu": None},
    "OS_boot-cmdline": {"iommu": None},
}


def guest_pci(count: int, switches: int = 0) -> dict[str, Any]:
    """What a guest sees of its bus."""
    return without(pci(count, switches, iommu="DMA", width=0), "0000:10:01", "0000:11:01")


def service(
    count: int,
    values: dict[str, Any],
    labels: dict[str, Any],
    vendor: str,
    product: str,
    *,
    id: str = "ubuntu",
    version: str = "24.04",
    server: str = "v1.35.2",
    **changes: Any,
) -> Readings:
    """A node of a managed service: a guest whose image brings the driver."""
    base = update(node(count, values, system(id, version, vendor, product), OS_pci=guest_pci(count)), **_GUEST)
    return update(base, K8s_node=labels, K8s_server={"version": server}, **changes)


_OPERATOR_DRIVER: dict[str, Any] = {
    "K8s_policy": {"driver.enabled": "true", "driver.version": DRIVER, "driver.rdma.enabled": "false"},
    "OS_packages": {"nvidia-driver-580-server-open": None, "nvidia-fabricmanager-580": None},
    "SystemD_nvidia-fabricmanager.service": unit("inactive"),
    "SystemD_nvidia-persistenced.service": unit("inactive"),
    "OS_modules": {f"kernel.{KERNEL}.nvidia": None, "kernel.6.8.0-41-generic.nvidia": None, "driver-library-version": None},
}

EKS = service(
    8,
    gpu(),
    {"provider": "eks", "label.node.kubernetes.io/instance-type": "p5.48xlarge", "label.nvidia.com/gpu.deploy.driver": "true"},
    "Amazon EC2",
    "p5.48xlarge",
    server="v1.35.2-eks-3025e55",
    **_OPERATOR_DRIVER,
)
GKE = service(
    8,
    gpu(),
    {"provider": "gke", "label.node.kubernetes.io/instance-type": "a3-megagpu-8g"},
    "Google",
    "Google Compute Engine",
    id="cos",
    version="121",
    server="v1.35.2-gke.1200000",
    **_NO_FABRIC,
)
AKS = service(
    8,
    gpu(),
    {"provider": "aks", "label.node.kubernetes.io/instance-type": "Standard_ND96isr_H100_v5"},
    "Microsoft Corporation",
    "Virtual Machine",
    OS_rdma=adapters(8),
)
OKE = node(
    8,
    gpu(),
    system(vendor="Oracle Corporation", product="ORACLE SERVER E5-2L"),
    OS_pci=pci(8, 4, 16),
    OS_rdma=adapters(16, link_layer="Ethernet", gid_types="IB/RoCE v1, RoCE v2"),
    K8s_node={"provider": "oke", "label.node.kubernetes.io/instance-type": "BM.GPU.H100.8"},
    OS_grub={"iommu": "pt"},
)

GB300_GPU = gpu(
    "NVIDIA GB300",
    "Blackwell",
    fabric__clique_id=7,
    fabric__cluster_uuid="5f3d1a70-0c1b-4a6e-9a64-0d1e2f3a4b5c",
    c2c__mode="Enabled",
    nvlink__links_up=18,
)
_LINE_64K = {"hugepagesz": "512M", "hugepages": "4", "iommu": None, "iommu.passthrough": "1"}
_BOOT_64K: dict[str, Any] = {"OS_grub": _LINE_64K, "OS_boot-cmdline": _LINE_64K}
GB300 = node(
    4,
    GB300_GPU,
    system("ubuntu", "24.04", "NVIDIA", "GB300 NVL72"),
    OS_pci=without(pci(4, 0, 4, iommu="DMA-FQ"), "0000:10:01", "0000:11:01", "0000:12:01", "0000:13:01"),
    OS_rdma=adapters(4),
    OS_kernel={"clock-source": "arch_sys_counter"},
    **_BOOT_64K,
    OS_memory={"hugepages.default-size-kib": 524288, "hugepages.524288kB.total": 4, "hugepages.1048576kB.total": None},
    OS_kmod={"nvidia_peermem": None},
    **_NO_FABRIC,
)

_MIG = gpu(mig__current="Enabled", mig__pending="Enabled", nvlink__links_up=0)
_VGPU = without(
    gpu("NVIDIA A100X-40C", "Ampere", virtualization_mode="VGPU", persistence_mode="Enabled"),
    "ecc.",
    "mig.",
    "nvlink.",
    "fabric.",
    "gsp.",
    "power.",
    "remapped",
    "retired",
    "inforom",
    "recovery",
    "vbios",
)
_WORKSTATION = without(
    gpu("NVIDIA RTX 6000 Ada Generation", "Ada Lovelace", ecc__current="Disabled", ecc__pending="Disabled"),
    "mig.",
    "fabric.",
    "nvlink.",
    "remapped",
)
_CPU_ONLY = {
    name: values for name, values in system(product="SYS-620U-TNR").items() if not name.startswith(("OS.modules", "SystemD.nvidia"))
}

_V100 = without(gpu("Tesla V100-PCIE-32GB", "Volta"), "nvlink.", "fabric.", "gsp.", "mig.", "remapped")
V100 = node(4, _V100, system(), OS_pci=pci(4), OS_modules={"nvidia.taint": "POE"}, **_NO_FABRIC)
B200 = node(8, gpu("NVIDIA B200", "Blackwell"), system(), OS_pci=pci(8, 0, 8), OS_rdma=adapters(8), OS_kmod={"ib_umad": True})
A100 = node(
    8, gpu("NVIDIA A100-SXM4-80GB", "Ampere", nvlink__links_up=12, nvlink__links=12), system(), OS_pci=pci(8, 6, 8), OS_rdma=adapters(8)
)

#: A driver that the service's image brings, instead of the operator's.
_IMAGE_DRIVER: dict[str, Any] = {
    "K8s_policy": {"driver.enabled": "false"},
    "K8s_node": {"label.nvidia.com/gpu.deploy.driver": "pre-installed"},
    "OS_modules": {f"kernel.{KERNEL}.nvidia": "kernel/nvidia.ko", "driver-library-version": DRIVER},
    "SystemD_nvidia-persistenced.service": unit(),
}


def _of_version(version: str) -> Readings:
    """A node of a distribution of Kubernetes that versions of its programs name."""
    return update(HGX, K8s_node={"kubelet-version": version}, K8s_server={"version": version}, OS_kubelet={"version": version})


#: Name → readings, and collectors that have nothing to read there.
RIGHT: dict[str, tuple[Readings, tuple[str, ...]]] = {
    "HGX H100, bare metal, InfiniBand": (HGX, ()),
    "EKS p5.48xlarge, driver container": (EKS, ("os.rdma", "os.net")),
    "GKE a3-megagpu-8g, Container-Optimized OS": (GKE, ("os.rdma", "os.net", "os.packages")),
    "AKS ND96isr H100 v5": (AKS, ("os.net",)),
    "OKE BM.GPU.H100.8, RoCE": (OKE, ("os.net",)),
    "V100 PCIe, proprietary modules": (V100, ("os.rdma", "os.net")),
    "HGX B200": (B200, ("os.net",)),
    "HGX A100": (A100, ("os.net",)),
    "MIG node": (
        update(
            {**HGX, **gpus(8, _MIG)},
            K8s_node={
                "allocatable.nvidia.com/gpu": "56",
                "capacity.nvidia.com/gpu": "56",
                "label.nvidia.com/gpu.count": "56",
                "label.nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
            },
        ),
        (),
    ),
    "GPUs shared by time": (
        update(
            HGX,
            K8s_node={
                "allocatable.nvidia.com/gpu": "32",
                "capacity.nvidia.com/gpu": "32",
                "label.nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED",
                "label.nvidia.com/gpu.sharing-strategy": "time-slicing",
                "label.nvidia.com/gpu.replicas": "4",
            },
        ),
        (),
    ),
    "vGPU guest": (
        update(node(1, _VGPU, system(vendor="VMware, Inc.", product="VMware7,1"), OS_pci=guest_pci(1), **_NO_FABRIC), **_GUEST),
        ("os.rdma", "os.net"),
    ),
    "H100 PCIe without NVLink": (node(4, CARD, system(product="SYS-420GP-TNR"), OS_pci=pci(4), **_NO_FABRIC), ("os.rdma", "os.net")),
    "guest with one H100 of an HGX board": (
        update(
            node(
                1,
                without(gpu(nvlink__links_up=0), "fabric."),
                system(vendor="Google", product="Google Compute Engine"),
                OS_pci=guest_pci(1),
                **_NO_FABRIC,
            ),
            **_GUEST,
        ),
        ("os.rdma", "os.net"),
    ),
    "GB300 idle, no IMEX daemon, 64k pages": (GB300, ("os.net",)),
    "workstation card without ECC": (
        node(2, _WORKSTATION, system(product="Precision 7960"), OS_pci=pci(2), **_NO_FABRIC),
        ("os.rdma", "os.net"),
    ),
    "CPU node without a driver": (
        update(
            {**_CPU_ONLY, **cluster(0, "")},
            OS_kmod={"nvidia": None, "nvidia_uvm": None, "nvidia_peermem": None},
            OS_pci={"0000:01:00.0.kind": "nvme"},
            K8s_node={key: None for key in cluster(0, "")["K8s.node"] if "nvidia.com" in key},
            OS_packages={"nvidia-fabricmanager-580": None, "nvidia-driver-580-server-open": None},
            OS_runtime={"cdi.nvidia.yaml.library-version": None, "cdi.nvidia.yaml.host-paths-missing": None},
        ),
        ("gpu", "os.rdma", "os.net", "os.modules"),
    ),
    "Talos Linux without GPUs, in a cluster of nodes with them": (
        update(
            {**_CPU_ONLY, **cluster(0, "")},
            OS_release={"ID": "talos", "VERSION_ID": "1.13.0"},
            OS_kmod={"nvidia": None, "nvidia_uvm": None, "nvidia_peermem": None},
            OS_pci={"0000:01:00.0.kind": "nvme"},
            K8s_node={**{key: None for key in cluster(0, "")["K8s.node"] if "nvidia.com" in key}, "runtime-handlers": "(default)"},
            K8s_policy={"driver.enabled": "true", "driver.version": DRIVER, "driver.rdma.enabled": "true"},
            OS_runtime={"cdi.nvidia.yaml.library-version": None, "cdi.nvidia.yaml.host-paths-missing": None},
            OS_packages=None,
        ),
        ("gpu", "os.rdma", "os.net", "os.modules", "os.packages", "os.boot"),
    ),
    "Debian, a driver container of one's own": (
        update(
            HGX,
            OS_release={"ID": "debian", "VERSION_ID": "12"},
            OS_packages={"nvidia-driver-580-server-open": None},
            K8s_policy={"driver.enabled": "true", "driver.repository": "registry.example.com/nvidia", "driver.version": DRIVER},
        ),
        (),
    ),
    "HGX H100 without Kubernetes": (
        {name: values for name, values in HGX.items() if not name.startswith("K8s.")},
        ("k8s.node", "k8s.image", "k8s.policy", "k8s.server"),
    ),
    "OpenShift, CRI-O and driver container": (
        update(
            HGX,
            OS_release={"ID": "rhel", "VARIANT_ID": "coreos", "VERSION_ID": "9.6", "OPENSHIFT_VERSION": "4.20"},
            K8s_node={"container-runtime-name": "cri-o", "container-runtime-version": "1.35.2", "label.node.openshift.io/os_id": "rhel"},
            OS_runtime={"crio.cgroup-manager": "systemd", "containerd.version": None},
            **_OPERATOR_DRIVER,
            **{"SystemD_crio.service": unit(), "SystemD_containerd.service": unit("inactive")},
        ),
        (),
    ),
    "Talos Linux, driver in the image": (
        update(HGX, OS_release={"ID": "talos", "VERSION_ID": "1.13.0"}, K8s_node={"os-image": "Talos (v1.13.0)"}),
        ("os.packages", "os.boot"),
    ),
    "Bottlerocket on EKS": (update(EKS, OS_release={"ID": "bottlerocket", "VERSION_ID": "1.57.0"}, **_IMAGE_DRIVER), ("os.rdma", "os.net")),
    "Linode Kubernetes Engine": (
        service(2, _WORKSTATION, {"label.lke.linode.com/pool-id": "7"}, "Akamai", "Compute Instance", **_NO_FABRIC),
        ("os.rdma", "os.net"),
    ),
    # What ends upstream is the service's to replace, and its own ends are not published.
    "CoreWeave Kubernetes Service": (
        update(
            _of_version("v1.34.1"),
            K8s_node={"provider": "cks", "container-runtime-version": "2.1.4"},
            OS_runtime={"containerd.version": "2.1.4"},
        ),
        (),
    ),
    "K3s": (update(HGX, K8s_node={"provider": "k3s", "container-runtime-version": "2.1.4-k3s2"}), ()),
    "k0s": (_of_version("v1.35.2+k0s"), ()),
    "MicroK8s": (update(HGX, K8s_node={"label.microk8s.io/cluster": "true"}), ()),
    "kind": (update(HGX, K8s_node={"provider": "kind"}), ()),
    "self-managed on vSphere": (update(HGX, K8s_node={"provider": "vsphere"}), ()),
    "RKE2 beside Docker's containerd": (
        update(_of_version("v1.35.2+rke2r1"), K8s_node={"container-runtime-version": "2.1.4-k3s2"}),
        (),
    ),
    "HGX with an unused storage adapter": (
        update(
            HGX,
            OS_rdma={
                "mlx5_8.driver": "mlx5_core",
                "mlx5_8.board-id": "MT_0000000834",
                "mlx5_8.firmware": "28.39.1002",
                "mlx5_8.port-1.link-layer": "Ethernet",
                "mlx5_8.port-1.state": "DOWN",
            },
        ),
        (),
    ),
}
