"""``eidos fleet --kubernetes``: the flags of the verb as a plan for the cluster's nodes.

Knows which manifests, which facts and which nodes are meant; must not know how Jobs are followed.
"""

from __future__ import annotations

import os
import time

from eidos import collectors
from eidos.cli import cluster_options
from eidos.cli.manifest_flags import AGENT_OPTIONS, COMMON_OPTIONS, RIGHTS
from eidos.errors import InvalidInput, KubeError
from eidos.manifest import kubernetes_fields
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from eidos.cli.options import Option, Values
    from eidos.fleet.ssh import Answer
    from eidos.fleet.summary import Silence
    from eidos.kube.api_client import Client
    from eidos.manifest import AgentOptions
    from eidos.model.snapshot import Snapshot

_TAKEN = {"create-namespace", "delivery", "image", "memory", "kubernetes-version", "toleration", "gpu", *RIGHTS}

#: What the agent may be asked: rows of ``eidos manifest``.
JOB_OPTIONS: tuple[Option, ...] = (
    *(replace(option, help="the namespace of the Jobs (default: eidos)") for option in COMMON_OPTIONS if option.name == "namespace"),
    *(option for option in (*COMMON_OPTIONS, *AGENT_OPTIONS) if option.name in _TAKEN),
)

#: Every node, in place of a selector.
ALL = "*"

#: Seconds that the cluster may take to say what is the same for all, and the collectors on a node.
READING, COLLECT = 30.0, 10

#: Seconds between a Job's own end and the time at which it is given up.
SLACK = 15


class Asked:
    """The nodes that match, and what is to be done with them."""

    def __init__(self, values: Values, selected: Sequence[str]) -> None:
        """Ask the cluster which nodes there are. Raises InvalidInput when none matches, and what the client raises."""
        if values["units"]:
            raise InvalidInput("--units: the agent in a cluster reads the usual units", "leave it out, or reach the nodes with --hosts")
        self._values, self._selected = values, selected
        self._cluster = cluster_options.load_cluster(values)
        self._agent = _agent(values, [name for name in selected if not collectors.is_cluster_wide(name)])
        self.silent: dict[str, Silence] = {}
        self.nodes: list[str] = []
        wanted = values["selector"]
        client = self.connect(time.monotonic() + READING)
        try:
            for node in client.items("/api/v1/nodes", labels=None if wanted == ALL else wanted):
                name = node["metadata"]["name"]
                self.nodes.append(name)
                silence = _unready(node) or _unnamed(name)
                if silence:
                    self.silent[name] = silence
        except KubeError as fault:
            if fault.status == 400:  # nothing else of this request is the user's
                raise InvalidInput(f"--selector: {wanted!r}: {fault.message}", "write it like 'a=b,c!=d'") from fault
            raise
        finally:
            client.close()
        if not self.nodes:
            hint = f"name other labels with --selector, or {ALL!r} for all nodes; 'kubectl get nodes --show-labels' says what there is"
            raise InvalidInput(f"--selector: no node of the cluster matches {wanted!r}", hint)
        from eidos.model.snapshot import natural

        self.nodes.sort(key=natural)

    def connect(self, deadline: float) -> Client:
        """A client whose requests end at ``deadline``."""
        from eidos.kube import api_client

        return api_client.connect(self._cluster, deadline=deadline)

    def facts(self) -> Snapshot | None:
        """What is the same for all nodes, or None when nobody wants it; to be called while no thread runs."""
        from eidos.collectors import ClusterSelection
        from eidos.workflow import SnapshotOptions, take_snapshot

        wanted = [name for name in self._selected if collectors.is_cluster_wide(name)]
        if not wanted:
            return None
        choice = ClusterSelection(self._values["kubeconfig"], self._values["kube-context"], self._values["kube-namespace"])
        return take_snapshot(SnapshotOptions(collectors=tuple(wanted), timeout_s=READING, cluster=choice))

    def answers(self) -> Generator[tuple[str, Answer], None, None]:
        """Run a Job on each node that is ready, and tell of each node."""
        from eidos import manifest
        from eidos.fleet import job_runner as jobs

        yield from self.silent.items()
        ready = tuple(name for name in self.nodes if name not in self.silent)
        if not ready:
            return
        agent = replace(self._agent, nodes=ready, run=os.urandom(4).hex())
        trees = manifest.agent_manifests(agent)
        plan = jobs.Plan(
            agent.namespace,
            agent.run,
            tuple(tree for tree in trees if tree["kind"] != "Job"),
            {tree["metadata"]["annotations"][jobs.NODE]: tree for tree in trees if tree["kind"] == "Job"},
            lambda node: f"cm://{agent.namespace}/eidos-{agent.run}-{node}",
        )
        timeout = self._values["timeout"]
        yield from jobs.ask(plan, self.connect, parallel=self._values["parallel"], timeout=timeout, keep=self._values["keep"])


def _agent(values: Values, selected: Sequence[str]) -> AgentOptions:
    """The agent without its nodes."""
    from eidos.kube.labels import check_dns_label, parse_toleration
    from eidos.manifest import AgentOptions, agent_manifest, payload

    how, argument = values["delivery"]
    sent: bytes | str
    if how == "image":
        sent = kubernetes_fields.check_image(argument)
    elif how == "hostpath":
        sent = kubernetes_fields.check_host_path(argument or "/opt/eidos/eidos.pyz")
    else:
        sent = payload.read_slim_program(values["program"] or argument or payload.running_program())
    names = [name for name, _ in agent_manifest.fact_choices().items() if name in collectors.list_collectors()]
    return AgentOptions(
        namespace=check_dns_label(values["namespace"] or values["kube-namespace"] or AgentOptions.namespace, "namespace"),
        create_namespace=values["create-namespace"],
        delivery=how,
        program=sent,
        image=values["image"] or "",
        memory=values["memory"] or "",
        kubernetes_minor=values["kubernetes-version"],
        tolerations=tuple(map(parse_toleration, values["toleration"])) or None,
        gpu=values["gpu"],
        rights=tuple(name for name in RIGHTS if values[name]),
        without=tuple(name for name in names if name not in selected),
        timeout_s=min(COLLECT, max(1, int(values["timeout"] / 2))),
        deadline_s=int(values["timeout"]) + SLACK,
    )


def _unnamed(name: str) -> Silence | None:
    """Why there can be no document for a node: its name is as long as names of objects may be."""
    from eidos.fleet.summary import Silence
    from eidos.kube import document_store

    try:
        document_store.parse(f"cm://x/eidos-{'0' * 8}-{name}")
    except InvalidInput:
        return Silence(f"no ConfigMap can be named after it: its name has {len(name)} characters", "ask it with --hosts")
    return None


def _unready(node: dict[str, object]) -> Silence | None:
    """Why a node will run no Pod: its kubelet does not report (Kubernetes API, NodeCondition)."""
    from eidos.fleet.summary import Silence

    status = node.get("status")
    for condition in (status.get("conditions") if isinstance(status, dict) else None) or ():
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return Silence(
                condition.get("message") or "the node is not ready", "is its kubelet running?", condition.get("reason") or "NotReady"
            )
    return None
