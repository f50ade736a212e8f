"""Manifests that run eidos in a cluster: the agent, a Job, and the server, a Deployment.

Knows the public functions of the package and their options; must not know flags, nor what a manifest holds: that is data below
``templates/kubernetes/``. A manifest is a plain tree, as the Kubernetes API defines it, and manifests are in the order in which to apply
them.

>>> [tree["kind"] for tree in agent_manifests(AgentOptions(delivery="hostpath", program="/opt/eidos/eidos.pyz"))]
['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'Job']
"""

from __future__ import annotations

from eidos.manifest.agent_manifest import agent_manifests, agent_template, explain_privileges, read_share
from eidos.manifest.server_manifest import server_manifests, server_template
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    #: The bytes of the program, the path of its file on each node, or the reference of an image; ``delivery`` says which of them.
    Program = Union[bytes, str]

__all__ = ["AgentOptions", "ServerOptions", "agent_manifests", "explain_privileges", "manifest_notes", "read_share", "server_manifests"]

#: Where they are deployed by default: apart, because the agent needs a namespace that allows more.
AGENT_NAMESPACE, SERVER_NAMESPACE = "eidos", "eidos-server"


class AgentOptions(Record):
    """An agent, which reads a node and writes a snapshot.

    ``delivery`` is ``configmap`` (``program`` is the bytes of the file that was built for agents), ``hostpath`` (its path on each node) or
    ``image`` (a reference; its entry point is eidos); ``image`` is where Python comes from in the first two, "" for the default.

    With ``watch`` it is a DaemonSet that judges each node again and again, every ``interval_s`` seconds, and exports its findings instead
    of writing a snapshot; ``marks`` are those of the node (``condition``, ``label``), ``monitoring`` adds what Prometheus and Grafana read,
    with ``monitoring_labels`` on it.

    With ``nodes`` there is a Job for each, pinned to it; with ``group``, a label and its values, one for each value; else one, which
    runs wherever ``node_selector`` lets it. ``tolerations`` are those of a Pod's spec, None for the default. ``schedule`` makes CronJobs.

    ``output`` is ``cm://NAMESPACE/NAME`` or ``secret://NAMESPACE/NAME``, ``{node}`` in it the node's name; "" for the default. ``gpu`` is
    how GPUs are reached, with its argument; ``rights`` are opt-ins (``host-network``, …); ``without`` are facts that are not read:
    collectors, by name or group; ``volatile`` adds readings that change on their own. ``timeout_s`` limits the snapshot, ``deadline_s`` the
    whole Job.

    ``plugins`` are names and digests of plug-ins that the program carries, and that it runs with, ``plugin_collectors`` their collectors.

    ``run`` makes every name and the output unique to this run, so that runs at the same time do not meet. ``kubernetes_minor`` is the
    oldest minor version that must accept the manifests, as 1.x.
    """

    namespace: str = AGENT_NAMESPACE
    create_namespace: bool = False
    delivery: str = "configmap"
    program: Program = b""
    image: str = ""
    nodes: tuple[str, ...] = ()
    group: tuple[str, tuple[str, ...]] = ("", ())
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, str], ...] | None = None
    schedule: str = ""
    output: str = ""
    gpu: tuple[str, str] = ("runtime-class", "nvidia")
    rights: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    volatile: bool = False
    timeout_s: int = 60
    deadline_s: int = 600
    memory: str = ""
    run: str = ""
    kubernetes_minor: int = 30
    watch: bool = False
    interval_s: float = 60.0
    marks: tuple[str, ...] = ()
    monitoring: bool = False
    monitoring_labels: dict[str, str] = {}
    plugins: tuple[str, ...] = ()
    plugin_collectors: tuple[str, ...] = ()


class ServerOptions(Record):
    """The server. ``delivery``, ``program``, ``image``, ``memory`` and ``kubernetes_minor`` as for the agent.

    ``monitoring`` adds what Prometheus and Grafana read, with ``monitoring_labels`` on it; ``otlp`` is where traces go; ``issuer`` kind and
    name of a cert-manager issuer; ``mesh`` is istio, linkerd or ""; ``ingress`` a host name, ``ingress_class`` the class of its controller.
    Without ``apparmor`` its profile is left to the runtime: nodes whose kernel has no AppArmor refuse a Pod that names one.
    """

    namespace: str = SERVER_NAMESPACE
    create_namespace: bool = False
    delivery: str = "configmap"
    program: Program = b""
    image: str = ""
    monitoring: bool = False
    monitoring_labels: dict[str, str] = {}
    otlp: str = ""
    issuer: tuple[str, str] = ("", "")
    mesh: str = ""
    ingress: str = ""
    ingress_class: str = ""
    apparmor: bool = True
    memory: str = ""
    kubernetes_minor: int = 30


def manifest_notes(options: AgentOptions | ServerOptions) -> list[str]:
    """What whoever applies the manifests must know, a paragraph each."""
    return (server_template(options) if isinstance(options, ServerOptions) else agent_template(options)).notes()
