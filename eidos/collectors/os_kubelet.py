"""Settings of the kubelet, and the version of its program.

Knows where distributions put the file, and which of its fields matter (KubeletConfiguration, kubelet.config.k8s.io/v1beta1); must not know
which value is right. One subtype, ``kubelet``, with the names of the fields as keys, components joined by dots. The flags of a kubelet win
over its file; they are in ``SystemD.kubelet.service.ExecStart``. Fields that are not on the list are not read. Real input::

    kind: KubeletConfiguration
    cpuManagerPolicy: static
    topologyManagerPolicy: restricted

The program is not run: its version is read from its file.
"""

from __future__ import annotations

from eidos.collectors._settings import files_below, merge_trees, put_setting, put_settings, put_version, read_tree
from eidos.collectors._sysfs import Facts
from eidos.model.measurement import UNREADABLE
from eidos.redact.harmless_names import is_not_random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

KIND = "KubeletConfiguration"

#: OpenShift's path of the file, at which kubeadm has a kubeconfig.
KUBECONFIG = "/etc/kubernetes/kubelet.conf"

#: Where the file is: kubeadm; EKS, old and new; OpenShift; AKS; GKE; MicroK8s; Bottlerocket; Talos; k0s.
FILES = (
    "/var/lib/kubelet/config.yaml",
    "/etc/kubernetes/kubelet/config.json",
    "/etc/kubernetes/kubelet/kubelet-config.json",
    "/etc/kubernetes/kubelet.yaml",
    "/etc/default/kubeletconfig.json",
    "/home/kubernetes/kubelet-config.yaml",
    "/etc/kubernetes/kubelet/config",
    "/var/lib/k0s/kubelet-config.yaml",
    KUBECONFIG,
)

#: Folders of files that are merged over it (kubelet --config-dir): the documented one, EKS, K3s and RKE2. Of their files, and those of
#: folders in them, the kubelet reads those that end in .conf (kubernetes, cmd/kubelet/app/server.go, mergeKubeletConfigurations).
DROP_IN_FOLDERS = (
    "/etc/kubernetes/kubelet.conf.d",
    "/etc/kubernetes/kubelet/config.json.d",
    "/var/lib/rancher/rke2/agent/etc/kubelet.conf.d",
    "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d",
)

PROGRAMS = (
    "/usr/bin/kubelet",
    "/usr/local/bin/kubelet",
    "/opt/bin/kubelet",
    "/home/kubernetes/bin/kubelet",
    "/var/lib/rancher/rke2/bin/kubelet",
    "/var/lib/k0s/bin/kubelet",
)

#: Fields whose value is a scalar or a list of scalars.
FIELDS = (
    "allowedUnsafeSysctls",
    "cgroupDriver",
    "cgroupsPerQOS",
    "containerLogMaxFiles",
    "containerLogMaxSize",
    "containerRuntimeEndpoint",
    "cpuCFSQuota",
    "cpuManagerPolicy",
    "cpuManagerReconcilePeriod",
    "enforceNodeAllocatable",
    "evictionMaxPodGracePeriod",
    "evictionPressureTransitionPeriod",
    "failCgroupV1",
    "failSwapOn",
    "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent",
    "kubeReservedCgroup",
    "localStorageCapacityIsolation",
    "maxOpenFiles",
    "maxParallelImagePulls",
    "maxPods",
    "memoryManagerPolicy",
    "memoryThrottlingFactor",
    "nodeStatusReportFrequency",
    "nodeStatusUpdateFrequency",
    "podPidsLimit",
    "podsPerCore",
    "protectKernelDefaults",
    "registerNode",
    "reservedSystemCPUs",
    "rotateCertificates",
    "runtimeRequestTimeout",
    "seccompDefault",
    "serializeImagePulls",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
    "singleProcessOOMKill",
    "systemReservedCgroup",
    "topologyManagerPolicy",
    "topologyManagerScope",
)

#: Fields that are mappings of names of resources, features and options to scalars.
MAPPINGS = (
    "cpuManagerPolicyOptions",
    "evictionHard",
    "evictionMinimumReclaim",
    "evictionSoft",
    "evictionSoftGracePeriod",
    "featureGates",
    "kubeReserved",
    "memorySwap",
    "systemReserved",
    "topologyManagerPolicyOptions",
)

SETTINGS = (*(((field,), field) for field in FIELDS), *(((field, "**"), f"{field}.") for field in MAPPINGS))


def reserved_memory(value: Any) -> dict[str, str]:
    """``NODE.LIMIT`` → amount, of the field ``reservedMemory``.

    >>> reserved_memory([{"numaNode": 0, "limits": {"memory": "1Gi"}}])
    {'0.memory': '1Gi'}
    """
    amounts: dict[str, str] = {}
    for each in value if isinstance(value, list) else ():
        limits = each.get("limits") if isinstance(each, dict) else None
        node = each.get("numaNode", 0) if isinstance(limits, dict) else None
        if isinstance(limits, dict) and isinstance(node, int):
            amounts.update((f"{node}.{name}", str(amount)) for name, amount in limits.items() if is_not_random(name))
    return amounts


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``kubelet``. Raises NotApplicable on a host without a kubelet."""
    facts = Facts(sources, "kubelet")
    facts.note_unmounted("/etc", "/usr/bin", "/var/lib")
    put_version(facts, "", PROGRAMS)
    files = []
    tree: dict[str, Any] = {}
    unread = facts.unread_count
    for path in FILES:
        above = read_tree(facts, path)
        if facts.unread_count > unread:
            break
        if above is not None and above.get("kind") == KIND:
            files.append(path)
            tree = above
            break
        if above is not None and path != KUBECONFIG:
            facts.gap(UNREADABLE, path, f"not a {KIND}")
    for folder in DROP_IN_FOLDERS:
        for path in files_below(facts, folder, ".conf"):
            before = facts.unread_count
            above = read_tree(facts, path)
            if facts.unread_count > before:
                tree = {}  # it may set any of them anew
            if above is not None:
                files.append(path)
                tree = merge_trees(tree, above)
    if not files and not facts.data and not facts.gaps:
        facts.require_folders("no kubelet: neither its program nor its configuration file exists", "/etc", "/var/lib")
    facts.put("config", " ".join(files) if facts.unread_count == unread else None)
    if not files and not facts.gaps:
        facts.gap(UNREADABLE, FILES[0], "no configuration file at the usual paths; its flags are in SystemD.kubelet.service")
    put_settings(facts, tree, SETTINGS)
    for key, amount in reserved_memory(tree.get("reservedMemory")).items():
        put_setting(facts, f"reservedMemory.{key}", amount)
    taints = tree.get("registerWithTaints")
    facts.put("registerWithTaints", len(taints) if isinstance(taints, list) else None)
    yield from facts.parts()
