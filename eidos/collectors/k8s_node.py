"""This node in its cluster: versions, labels, conditions, resources.

Knows the fields of a node object and which labels are relevant; must not know the other nodes.

Real input is the response to ``GET /api/v1/nodes/NAME`` (Kubernetes API, Node):

>>> taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
>>> node = {
...     "metadata": {"name": "gpu-07", "labels": {"nvidia.com/gpu.count": "8", "kubernetes.io/os": "linux", "team": "x"}},
...     "spec": {"providerID": "aws:///us-west-2a/i-0a1b", "taints": [taint]},
...     "status": {
...         "nodeInfo": {"containerRuntimeVersion": "containerd://1.7.24", "kubeletVersion": "v1.34.1"},
...         "conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "…"}],
...         "runtimeHandlers": [{"name": "nvidia"}, {"name": ""}],
...         "allocatable": {"nvidia.com/gpu": "7"},
...     },
... }
>>> for key, value in node_readings(node)[0].items():
...     print(key, value)
source-node gpu-07
provider aws
provider-id aws:///us-west-2a/i-0a1b
container-runtime-id containerd://1.7.24
container-runtime-name containerd
container-runtime-version 1.7.24
kubelet-version v1.34.1
runtime-handlers (default) nvidia
condition.Ready False
condition.Ready.reason KubeletNotReady
label.nvidia.com/gpu.count 8
label.kubernetes.io/os linux
taint.nvidia.com/gpu:NoSchedule present
allocatable.nvidia.com/gpu 7

A condition is a state, like that of a unit; its heartbeat and its message are left out, and so are the resource version and the list of
images, which change on their own. The reason is there when the condition is not as on a healthy node.
"""

from __future__ import annotations

import time

from eidos.collectors._cluster_source import collect_from_cluster, condition_readings
from eidos.errors import EidosError, KubeError, NotApplicable, NotFound, Timeout
from eidos.files.node_name import find_node_name, node_name_from_environment
from eidos.kube.labels import FINDINGS_CONDITION, provider_of
from eidos.model.measurement import VOLATILE, Subtype
from eidos.model.volatile import VOLATILE_LABELS
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.files.host import Host
    from eidos.kube.api_client import KubeClient
    from eidos.model.measurement import Part, Readings

#: What a search for a similar name may take: nodes that are looked at, and the share of the time that is left.
SEARCHED_NODES, SEARCH_SHARE = 5000, 0.5

#: Key → field of ``status.nodeInfo`` (Kubernetes API, NodeSystemInfo).
NODE_INFO_FIELDS = {
    "kernel-version": "kernelVersion",
    "kubelet-version": "kubeletVersion",
    "operating-system": "operatingSystem",
    "os-image": "osImage",
}

#: Scheme of a provider id → the managed Kubernetes of that provider, and prefixes of labels that only its nodes have. Without such a
#: label the cluster is self-managed on the provider's machines, and the provider is the scheme.
MANAGED_SERVICES = {
    "aws": ("eks", ("eks.amazonaws.com/", "alpha.eksctl.io/")),
    "gce": ("gke", ("cloud.google.com/gke-",)),
    "azure": ("aks", ("kubernetes.azure.com/",)),
    "oci": ("oke", ("oke.oraclecloud.com/",)),
    "linode": ("lke", ("lke.linode.com/",)),
}

#: What the machine-config operator of OpenShift sets on every node, whoever owns its machine.
OPENSHIFT_LABEL = "node.openshift.io/"

#: What CoreWeave sets on every node of a node pool of CKS; the scheme of its provider ids is not published.
COREWEAVE_LABEL = "compute.coreweave.com/"

#: Domains and prefixes of labels that are read: features found by NVIDIA's operators and Node Feature Discovery, and the topology
#: (Kubernetes, "Well-Known Labels, Annotations and Taints"; GKE names its accelerators, their network and its racks in the last ones).
LABEL_DOMAINS = (
    "nvidia.com",
    "feature.node.kubernetes.io",
    "kubernetes.io",
    "node.kubernetes.io",
    "beta.kubernetes.io",
    "failure-domain.beta.kubernetes.io",
)
_LABEL_PREFIXES = (
    "topology.",
    "cloud.google.com/gce-topology-",
    "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-networking-dra-driver",
    "gke.networks.io/accelerator-",
)


def is_relevant_label(label: str) -> bool:
    """Whether a label describes hardware, system or topology.

    >>> labels = ("network.nvidia.com/operator.mofed.wait", "topology.kubernetes.io/zone", "example.com/team", "team")
    >>> [is_relevant_label(label) for label in labels]
    [True, True, False, False]
    """
    domain, slash, _ = label.partition("/")
    return bool(slash) and (domain in LABEL_DOMAINS or domain.endswith(".nvidia.com") or label.startswith(_LABEL_PREFIXES))


def detect_provider(provider_id: str, labels: dict[str, str]) -> str:
    """The managed Kubernetes service, or else the cloud, by a provider id like ``aws:///us-west-2a/i-0a1b`` and the labels of the node.

    >>> detect_provider("gce://project/zone/name", {"cloud.google.com/gke-nodepool": "a3"}), detect_provider("ocid1.instance.oc1.iad.x", {})
    ('gke', 'oci')
    >>> detect_provider("aws:///us-west-2a/i-0a1b", {"node.openshift.io/os_id": "rhcos"}), detect_provider("cn-hangzhou.i-bp1abc1", {})
    ('openshift', '')
    >>> detect_provider("linode://1234", {"lke.linode.com/pool-id": "1"}), detect_provider("linode://1234", {})
    ('lke', 'linode')
    >>> detect_provider("", {"compute.coreweave.com/node-pool": "h100"})
    'cks'
    """
    scheme = provider_of(provider_id)
    for service, signs in (("openshift", OPENSHIFT_LABEL), ("cks", COREWEAVE_LABEL), MANAGED_SERVICES.get(scheme, ("", ()))):
        if any(label.startswith(signs) for label in labels):
            return service
    return scheme


def node_readings(node: dict[str, Any]) -> tuple[Readings, Readings]:
    """The readings of a node object, and those that are volatile."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    labels = node["metadata"].get("labels") or {}
    data: Readings = {"source-node": node["metadata"]["name"]}
    provider_id = spec.get("providerID") or ""
    data.update({key: text for key, text in (("provider", detect_provider(provider_id, labels)), ("provider-id", provider_id)) if text})
    info = _node_info(node)
    runtime = info.get("containerRuntimeVersion")
    if runtime:
        name, _, version = runtime.partition("://")
        data.update({"container-runtime-id": runtime, "container-runtime-name": name, "container-runtime-version": version})
    data.update((key, info[field]) for key, field in NODE_INFO_FIELDS.items() if info.get(field))
    handlers = sorted(str(each.get("name") or "(default)") for each in status.get("runtimeHandlers") or ())
    data.update({"runtime-handlers": " ".join(handlers)} if handlers else {})
    data.update({"unschedulable": True} if spec.get("unschedulable") is True else {})
    # Not the one that eidos sets: what it found would be a finding then.
    data.update(condition_readings(each for each in status.get("conditions") or () if each.get("type") != FINDINGS_CONDITION))
    data.update((f"label.{label}", value) for label, value in labels.items() if is_relevant_label(label) and label not in VOLATILE_LABELS)
    for taint in spec.get("taints") or ():
        data[f"taint.{taint['key']}:{taint['effect']}"] = taint.get("value") or ""
    for kind in ("allocatable", "capacity"):
        data.update((f"{kind}.{resource}", amount) for resource, amount in (status.get(kind) or {}).items())
    return data, {f"label.{label}": value for label, value in labels.items() if label in VOLATILE_LABELS}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``node``.

    A node of the host's name in small letters is found, and one with a longer or shorter name if it was booted as this machine was. Raises
    NotFound when the cluster has no node of the name in the environment, NotApplicable when this machine is not in the cluster.
    """
    environ = sources.environ
    configured = node_name_from_environment(environ)
    # A pod has its own name in HOSTNAME, unless it has the host's network.
    names = dict.fromkeys([configured] if configured else filter(None, [environ.get("HOSTNAME"), find_node_name(sources.host, environ)]))

    def read(client: KubeClient) -> Iterator[Part]:
        from eidos.kube.cluster import IN_CLUSTER

        node, similar = _get_node(client, names), []
        if node is None:
            similar = _similar_nodes(client, names)
            boot_id = _boot_id(sources.host)
            node = next((each for each in similar if boot_id and _node_info(each).get("bootID") == boot_id), None)
        if node is not None:
            data, volatile = node_readings(node)
            yield Subtype("node", data)
            if volatile:
                yield Subtype("node" + VOLATILE, volatile)
            return
        hint = "set NODE_NAME to the pod's spec.nodeName" if configured or client.cluster.context == IN_CLUSTER else None
        if similar:
            hint = f"set NODE_NAME to the node's name, such as {list_words(sorted(each['metadata']['name'] for each in similar))}"
        if configured:
            raise NotFound(f"{client.cluster.server}: no such node {configured!r}", hint)
        raise NotApplicable(f"{client.cluster.server} has no node named {' or '.join(map(repr, names)) or 'like this host'}", hint)

    return collect_from_cluster(sources, "k8s.node", read, "/".join(names))


def _get_node(client: KubeClient, names: Iterable[str]) -> dict[str, Any] | None:
    """The first node that has one of the names, as written or in small letters, which is how kubelets register."""
    from urllib.parse import quote

    for name in dict.fromkeys(form for each in names for form in (each, each.lower())):
        try:
            return client.get(f"/api/v1/nodes/{quote(name, safe='')}")
        except NotFound:
            continue
    return None


def _similar_nodes(client: KubeClient, names: Iterable[str]) -> list[dict[str, Any]]:
    """Nodes whose name, or whose host's, has the same first part as one of the names: those that the search finds before its limits."""
    parts = {name.lower().partition(".")[0] for name in names}
    now = time.monotonic()
    until = now + (client.deadline - now) * SEARCH_SHARE
    similar: list[dict[str, Any]] = []
    try:
        for number, node in enumerate(client.list_objects("/api/v1/nodes") if parts else ()):
            if number == SEARCHED_NODES or time.monotonic() > until:
                break
            if not parts.isdisjoint(name.partition(".")[0] for name in _host_names(node["metadata"])):
                similar.append(node)
    except (KubeError, Timeout):  # no node has the exact name, whatever becomes of this search
        pass
    return similar


def _node_info(node: dict[str, Any]) -> dict[str, Any]:
    """What the kubelet reports of its machine; empty before it did."""
    return (node.get("status") or {}).get("nodeInfo") or {}


def _host_names(metadata: dict[str, Any]) -> tuple[str, str]:
    return metadata["name"].lower(), (metadata.get("labels") or {}).get("kubernetes.io/hostname", "").lower()


def _boot_id(host: Host) -> str:
    """The random number of this boot, which the kubelet reports of its machine as well."""
    try:
        return host.read_text("/proc/sys/kernel/random/boot_id").strip()
    except EidosError:
        return ""
