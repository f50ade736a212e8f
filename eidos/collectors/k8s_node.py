"""This node as its cluster knows it: provider, container runtime, labels, taints, resources.

Knows the fields of a node object and which labels count; must not know the other nodes.

Real input is the answer to ``GET /api/v1/nodes/NAME`` (Kubernetes API, Node):

>>> taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
>>> node = {
...     "metadata": {"name": "gpu-07", "labels": {"nvidia.com/gpu.count": "8", "kubernetes.io/os": "linux", "team": "x"}},
...     "spec": {"providerID": "aws:///us-west-2a/i-0a1b", "taints": [taint]},
...     "status": {"nodeInfo": {"containerRuntimeVersion": "containerd://1.7.24"}, "allocatable": {"nvidia.com/gpu": "7"}},
... }
>>> for key, value in readings(node)[0].items():
...     print(key, value)
source-node gpu-07
provider aws
provider-id aws:///us-west-2a/i-0a1b
container-runtime-id containerd://1.7.24
container-runtime-name containerd
container-runtime-version 1.7.24
label.nvidia.com/gpu.count 8
label.kubernetes.io/os linux
taint.nvidia.com/gpu:NoSchedule present
allocatable.nvidia.com/gpu 7

Conditions, heartbeats, versions of the object and its list of images change on their own, and are left out.
"""

from __future__ import annotations

from eidos.collectors._cluster_source import facts
from eidos.errors import NotApplicable, NotFound
from eidos.files.node_name import find_node_name, node_name_from_environment
from eidos.model.measurement import VOLATILE, Subtype
from eidos.model.volatile import VOLATILE_LABELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import Client
    from eidos.model.measurement import Part, Readings

#: Key → field of ``status.nodeInfo`` (Kubernetes API, NodeSystemInfo).
INFO = {"kernel-version": "kernelVersion", "operating-system": "operatingSystem", "os-image": "osImage"}

#: Scheme of a provider id → the managed Kubernetes of that provider, and how the labels begin that only its nodes have. Without one of
#: these the node is one of a cluster that somebody runs on the provider's machines, and the provider is what the scheme says.
SERVICES = {
    "aws": ("eks", ("eks.amazonaws.com/", "alpha.eksctl.io/")),
    "gce": ("gke", ("cloud.google.com/gke-",)),
    "azure": ("aks", ("kubernetes.azure.com/",)),
    "oci": ("oke", ("oke.oraclecloud.com/",)),
}

#: Domains of labels that are read: the features that NVIDIA's operators and Node Feature Discovery found, and where the node stands
#: (Kubernetes, "Well-Known Labels, Annotations and Taints"; GKE names its racks in the last).
DOMAINS = (
    "nvidia.com",
    "feature.node.kubernetes.io",
    "kubernetes.io",
    "node.kubernetes.io",
    "beta.kubernetes.io",
    "failure-domain.beta.kubernetes.io",
)
_BEGINNINGS = ("topology.", "cloud.google.com/gce-topology-")


def counts(label: str) -> bool:
    """Whether a label tells of hardware, system or place.

    >>> [counts(label) for label in ("network.nvidia.com/operator.mofed.wait", "topology.kubernetes.io/zone", "example.com/team", "team")]
    [True, True, False, False]
    """
    domain, slash, _ = label.partition("/")
    return bool(slash) and (domain in DOMAINS or domain.endswith(".nvidia.com") or label.startswith(_BEGINNINGS))


def provider(provider_id: str, labels: dict[str, str]) -> str:
    """Who runs the cluster, or else the machine, by a provider id like ``aws:///us-west-2a/i-0a1b`` and the labels of the node.

    >>> provider("gce://project/zone/name", {"cloud.google.com/gke-nodepool": "a3"}), provider("ocid1.instance.oc1.iad.x", {})
    ('gke', 'oci')
    """
    scheme = "oci" if provider_id.startswith("ocid1.") else provider_id.partition("://")[0].lower()
    service, signs = SERVICES.get(scheme, ("", ()))
    return service if service and any(label.startswith(signs) for label in labels) else scheme


def readings(node: dict[str, Any]) -> tuple[Readings, Readings]:
    """What a node object says of its configuration, and what of it changes on its own."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    labels = node["metadata"].get("labels") or {}
    data: Readings = {"source-node": node["metadata"]["name"]}
    if spec.get("providerID"):
        data["provider"] = provider(spec["providerID"], labels)
        data["provider-id"] = spec["providerID"]
    info = status.get("nodeInfo") or {}
    runtime = info.get("containerRuntimeVersion")
    if runtime:
        name, _, version = runtime.partition("://")
        data.update({"container-runtime-id": runtime, "container-runtime-name": name, "container-runtime-version": version})
    data.update((key, info[field]) for key, field in INFO.items() if info.get(field))
    data.update((f"label.{label}", value) for label, value in labels.items() if counts(label) and label not in VOLATILE_LABELS)
    for taint in spec.get("taints") or ():
        data[f"taint.{taint['key']}:{taint['effect']}"] = taint.get("value") or ""
    for kind in ("allocatable", "capacity"):
        data.update((f"{kind}.{resource}", amount) for resource, amount in (status.get(kind) or {}).items())
    return data, {f"label.{label}": value for label, value in labels.items() if label in VOLATILE_LABELS}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``node``.

    Raises NotFound when the cluster has no node of the name that it was given, NotApplicable when this machine is no node of it.
    """
    environ = sources.environ
    said = node_name_from_environment(environ)
    # A pod has its own name in HOSTNAME, unless it has the host's network.
    names = dict.fromkeys([said] if said else filter(None, [environ.get("HOSTNAME"), find_node_name(sources.host, environ)]))

    def read(client: Client) -> Iterator[Part]:
        from eidos.kube.cluster_config import IN_CLUSTER

        for name in names:
            try:
                node = client.get(f"/api/v1/nodes/{_quoted(name)}")
            except NotFound:
                if said:
                    message = f"{client.cluster.server}: there is no node {name!r}"
                    raise NotFound(message, "NODE_NAME must be the pod's spec.nodeName") from None
                continue
            data, volatile = readings(node)
            yield Subtype("node", data)
            if volatile:
                yield Subtype("node" + VOLATILE, volatile)
            return
        hint = "set NODE_NAME from the pod's spec.nodeName" if client.cluster.context == IN_CLUSTER else None
        raise NotApplicable(f"no node of {client.cluster.server} is called {' or '.join(map(repr, names)) or 'like this machine'}", hint)

    return facts(sources, "k8s.node", read, "/".join(names))


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
