r"""Settings of nodes that a service makes: of AKS and GKE in the node pool, of others in the user data of its machines.

Knows the document each service takes, the sysctls and ranges that it accepts, and what it lets nobody set; must not know any cluster.

Sources: Microsoft, Customize node configuration for AKS node pools (linux-os-config, only for new node pools; anything else by a DaemonSet,
without losing support); kubernetes-sigs/cluster-api-provider-azure, api/v1beta1/azuremanagedmachinepool_types.go, and Azure SDK,
SysctlConfig (names and ranges); Google, Customizing node system configuration (linuxConfig.sysctl, ``--system-config-from-file``), GKE API,
LinuxNodeConfig.sysctls (the list); awslabs/amazon-eks-ami, nodeadm (NodeConfig in MIME parts beside those of cloud-init); cloud-init
documentation, write_files and runcmd; NVIDIA/gpu-driver-container (files of module parameters have bare ``KEY=VALUE`` lines); GPU Operator
chart v26.3.3 (driver.kernelModuleConfig.name).

>>> print(aks(Setting(SYSCTL, "vm/swappiness", "1")).files[0].text, end="")
{
  "sysctls": {
    "vmSwappiness": 1
  }
}
>>> aks(Setting(SYSCTL, "net/core/rmem_max", "536870912")).form
'DaemonSet'
>>> print(gke(Setting(SYSCTL, "net/ipv4/tcp_rmem", "4096 87380 6291456")).files[0].text, end="")
linuxConfig:
  sysctl:
    net.ipv4.tcp_rmem: "4096 87380 6291456"
>>> gke(Setting(BOOT, "iommu", "pt"))
Traceback (most recent call last):
eidos.host_settings.setting.Unsettable: GKE has no setting for boot parameters of its nodes
"""

from __future__ import annotations

from eidos.formats import to_json, to_yaml
from eidos.host_settings.setting import (
    BLACKLIST,
    BOOT,
    MODULE,
    SYSCTL,
    SYSFS,
    Delivery,
    Setting,
    SettingFile,
    Unsettable,
    one_line,
    safe_name,
)
from eidos.host_settings.system_files import dotted, sysctl_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: Sysctl → its name in AKS, least and greatest value. Ranges of ports are texts.
AKS_SYSCTLS = {
    "fs.aio-max-nr": ("fsAioMaxNr", 65536, 6553500),
    "fs.file-max": ("fsFileMax", 8192, 12000500),
    "fs.inotify.max_user_watches": ("fsInotifyMaxUserWatches", 781250, 2097152),
    "fs.nr_open": ("fsNrOpen", 8192, 20000500),
    "kernel.threads-max": ("kernelThreadsMax", 20, 513785),
    "net.core.netdev_max_backlog": ("netCoreNetdevMaxBacklog", 1000, 3240000),
    "net.core.optmem_max": ("netCoreOptmemMax", 20480, 4194304),
    "net.core.rmem_default": ("netCoreRmemDefault", 212992, 134217728),
    "net.core.rmem_max": ("netCoreRmemMax", 212992, 134217728),
    "net.core.somaxconn": ("netCoreSomaxconn", 4096, 3240000),
    "net.core.wmem_default": ("netCoreWmemDefault", 212992, 134217728),
    "net.core.wmem_max": ("netCoreWmemMax", 212992, 134217728),
    "net.ipv4.neigh.default.gc_thresh1": ("netIpv4NeighDefaultGcThresh1", 128, 80000),
    "net.ipv4.neigh.default.gc_thresh2": ("netIpv4NeighDefaultGcThresh2", 512, 90000),
    "net.ipv4.neigh.default.gc_thresh3": ("netIpv4NeighDefaultGcThresh3", 1024, 100000),
    "net.ipv4.tcp_fin_timeout": ("netIpv4TcpFinTimeout", 5, 120),
    "net.ipv4.tcp_keepalive_intvl": ("netIpv4TcpkeepaliveIntvl", 1, 75),
    "net.ipv4.tcp_keepalive_probes": ("netIpv4TcpKeepaliveProbes", 1, 15),
    "net.ipv4.tcp_keepalive_time": ("netIpv4TcpKeepaliveTime", 30, 432000),
    "net.ipv4.tcp_max_syn_backlog": ("netIpv4TcpMaxSynBacklog", 128, 3240000),
    "net.ipv4.tcp_max_tw_buckets": ("netIpv4TcpMaxTwBuckets", 8000, 1440000),
    "net.netfilter.nf_conntrack_buckets": ("netNetfilterNfConntrackBuckets", 65536, 147456),
    "net.netfilter.nf_conntrack_max": ("netNetfilterNfConntrackMax", 131072, 1048576),
    "vm.max_map_count": ("vmMaxMapCount", 65530, 262144),
    "vm.swappiness": ("vmSwappiness", 0, 100),
    "vm.vfs_cache_pressure": ("vmVfsCachePressure", 1, 100),
}

#: What GKE accepts in linuxConfig.sysctl, by the folder of the names.
GKE_SYSCTLS = {
    "net.core": "busy_poll busy_read netdev_max_backlog rmem_max rmem_default wmem_default wmem_max optmem_max somaxconn",
    "net.ipv4": (
        "tcp_rmem tcp_wmem tcp_tw_reuse tcp_mtu_probing tcp_max_orphans tcp_max_tw_buckets tcp_syn_retries tcp_ecn tcp_congestion_control"
    ),
    "net.netfilter": (
        "nf_conntrack_max nf_conntrack_buckets nf_conntrack_tcp_timeout_close_wait nf_conntrack_tcp_timeout_time_wait "
        "nf_conntrack_tcp_timeout_established nf_conntrack_acct"
    ),
    "kernel": "shmmni shmmax shmall perf_event_paranoid sched_rt_runtime_us softlockup_panic kptr_restrict dmesg_restrict sysrq",
    "kernel.yama": "ptrace_scope",
    "fs": "aio-max-nr file-max nr_open",
    "fs.inotify": "max_user_instances max_user_watches",
    "vm": (
        "dirty_background_ratio dirty_background_bytes dirty_expire_centisecs dirty_ratio dirty_bytes dirty_writeback_centisecs "
        "max_map_count overcommit_memory overcommit_ratio vfs_cache_pressure swappiness watermark_scale_factor min_free_kbytes"
    ),
}

_OWNER = "managed-service"


def aks(*settings: Setting) -> Delivery:
    """The linux-os-config of a new node pool; what that does not accept, by a DaemonSet: one such setting makes it the form of all."""
    sysctls: dict[str, int] = {}
    for setting in settings:
        if setting.kind == BOOT:
            raise Unsettable("AKS has no setting for boot parameters of its nodes")
        name, least, greatest = AKS_SYSCTLS.get(dotted(setting.name), ("", 0, 0)) if setting.kind == SYSCTL else ("", 0, 0)
        if not (name and setting.value.isdecimal() and setting.value.isascii() and least <= int(setting.value[:20]) <= greatest):
            return _daemon_set(setting, "AKS")
        sysctls[name] = int(setting.value)
    file = SettingFile("linuxosconfig.json", to_json({"sysctls": sysctls}))
    what = (
        "add a node pool with 'az aks nodepool add --linux-os-config linuxosconfig.json' and its other flags, and move the workload to it: "
        "AKS takes these settings for new node pools only"
    )
    return Delivery("AKS node configuration", (file,), instruction=what, cost="drain", owner=_OWNER)


def gke(*settings: Setting) -> Delivery:
    """The node system configuration of a node pool; what that does not accept, by a DaemonSet, as :func:`aks` does."""
    sysctls: dict[str, str] = {}
    for setting in settings:
        if setting.kind == BOOT:
            raise Unsettable("GKE has no setting for boot parameters of its nodes")
        folder, _, name = dotted(setting.name).rpartition(".")
        if setting.kind != SYSCTL or name not in GKE_SYSCTLS.get(folder, "").split():
            return _daemon_set(setting, "GKE")
        sysctl_line(setting)
        sysctls[dotted(setting.name)] = one_line(setting.value, setting.name)
    tree = {"linuxConfig": {"sysctl": sysctls}}
    what = (
        "run 'gcloud container node-pools update' for the node pool with --system-config-from-file=node-system-config.yaml: "
        "GKE makes its nodes anew"
    )
    file = SettingFile("node-system-config.yaml", to_yaml(tree))
    return Delivery("GKE node system configuration", (file,), instruction=what, cost="drain", owner=_OWNER)


def _daemon_set(setting: Setting, service: str) -> Delivery:
    if setting.kind == SYSCTL:
        what = f"set {sysctl_line(setting)}"
    elif setting.kind in (MODULE, BLACKLIST):
        what = f"{'load' if setting.kind == MODULE else 'blacklist'} the kernel module {safe_name(setting.name, 'module')}"
    else:
        name = f"/sys/{setting.name}" if setting.kind == SYSFS else setting.name
        what = f"set {safe_name(name, setting.kind, '@/*')}{f' to {one_line(setting.value, setting.name)}' if setting.value else ''}"
    return Delivery(
        "DaemonSet", instruction=f"{what} by a privileged DaemonSet: the node pools of {service} have no such setting", owner=_OWNER
    )


def cloud_config(deliveries: Sequence[Delivery], before: Sequence[str] = (), reboots: bool = False) -> str:
    """User data for cloud-init that writes the files of deliveries at the first boot, and runs their commands.

    ``before`` are commands that run first; with ``reboots`` the machine is rebooted once, when all of it is done, where it has to be.
    """
    files = [{"path": file.path, "permissions": "0644", "content": file.text} for each in deliveries for file in each.files]
    commands = list(dict.fromkeys([*before, *(command for each in deliveries for command in each.commands)]))
    tree: dict[str, Any] = {"write_files": files, "runcmd": commands}
    if reboots and any(each.cost == "reboot" for each in deliveries):
        tree["power_state"] = {"mode": "reboot", "message": "boot parameters were set"}
    return "#cloud-config\n" + to_yaml({name: part for name, part in tree.items() if part})


def eks_user_data(deliveries: Sequence[Delivery], *, reboots: bool = False) -> str:
    """User data of an EKS node: a MIME part for cloud-init. The service adds that of nodeadm; where it does not, add one."""
    part = cloud_config(deliveries, reboots=reboots)
    head = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="EIDOS"\n'
    return f'{head}\n--EIDOS\nContent-Type: text/cloud-config; charset="us-ascii"\n\n{part}\n--EIDOS--\n'


def driver_option(setting: Setting) -> Delivery:
    """An option of the driver's module where the GPU Operator installs the driver: a ConfigMap that a value of its chart names."""
    module, _, option = setting.name.partition(".")
    module, option = safe_name(module, "module").replace("_", "-"), safe_name(option, "module option")
    name, line = "nvidia-kernel-module-params", f"{option}={one_line(setting.value, setting.name)}"
    tree = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "gpu-operator"},
        "data": {f"{module}.conf": f"{line}\n"},
    }
    what = f"apply kernel-module-params.yaml, and set driver.kernelModuleConfig.name={name} in the values of the GPU Operator"
    file = SettingFile("kernel-module-params.yaml", to_yaml(tree))
    return Delivery("GPU Operator", (file,), instruction=what, cost="drain", owner="driver-container")


def chart_value(setting: Setting) -> Delivery:
    """A value of the GPU Operator's chart, as ``--set`` of bundle takes it."""
    name = safe_name(setting.name, "value")
    what = f"{name}={one_line(setting.value, name)}"
    return Delivery("GPU Operator", instruction=f"set {what} in the values of the GPU Operator", cost="drain", owner="driver-container")
