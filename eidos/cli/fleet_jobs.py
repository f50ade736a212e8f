"""``eidos fleet --kubernetes``: the nodes that the flags select, and the manifests of the Jobs on them.

Knows which flags make which agent; must not know how Jobs are created and watched.
"""

from __future__ import annotations

import os
import time

from eidos import __version__, collectors, log
from eidos.cli import cluster_options, document_locations
from eidos.cli.manifest_flags import AGENT_OPTIONS, COMMON_OPTIONS, RIGHTS, require_configmap, warn_of_share
from eidos.errors import InvalidInput, KubeError
from eidos.formats import serialize
from eidos.manifest import kubernetes_fields
from eidos.model.plugin import carried_entries
from eidos.model.record import replace
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from eidos.cli.options import Option, Values
    from eidos.fleet.results import NodeAnswer
    from eidos.fleet.summary import NoAnswer
    from eidos.kube.api_client import KubeClient
    from eidos.manifest import AgentOptions
    from eidos.model.snapshot import Snapshot

_AGENT_FLAGS = {"create-namespace", "delivery", "image", "memory", "kubernetes-version", "toleration", "gpu", *RIGHTS}

#: Flags of ``eidos manifest`` that apply to the agent here, too.
JOB_OPTIONS: tuple[Option, ...] = (
    *(replace(option, help="run the Jobs in this namespace (default eidos)") for option in COMMON_OPTIONS if option.name == "namespace"),
    *(option for option in (*COMMON_OPTIONS, *AGENT_OPTIONS) if option.name in _AGENT_FLAGS),
)

#: Every node, in place of a selector.
ALL = "*"

#: Seconds that the cluster has for its own readings and its list of nodes, and the collectors on a node for theirs.
CLUSTER_TIMEOUT_S, COLLECTORS_TIMEOUT_S = 30.0, 10

#: Seconds for removing what earlier runs left.
CLEAN_TIMEOUT_S = 30.0

#: Seconds between a node's timeout and the deadline of its Job.
SLACK_S = 15


class ClusterJobs:
    """The nodes that match, and the Jobs that run on them."""

    def __init__(self, values: Values, selected: Sequence[str]) -> None:
        """List the nodes. Raises InvalidInput when none matches, and what the client raises."""
        if values["units"]:
            raise InvalidInput("--units: not available with --kubernetes", "remove --units, or use --hosts")
        self._values, self._selected = values, selected
        self._cluster = cluster_options.load_cluster(values)
        self._agent = _agent_options(values, [name for name in selected if not collectors.is_cluster_wide(name)])
        self.unanswered: dict[str, NoAnswer] = {}
        self.nodes: list[str] = []
        selector = values["selector"]
        client = self.connect(time.monotonic() + CLUSTER_TIMEOUT_S)
        try:
            for node in client.list_objects("/api/v1/nodes", label_selector=None if selector == ALL else selector):
                name = node["metadata"]["name"]
                self.nodes.append(name)
                no_answer = _unready(node) or _too_long_name(name)
                if no_answer:
                    self.unanswered[name] = no_answer
        except KubeError as fault:
            if fault.status == 400:  # the selector is all that the user gave for this request
                raise InvalidInput(f"--selector: {selector!r}: {fault.message}", "write it like 'a=b,c!=d'") from fault
            raise
        finally:
            client.close()
        if not self.nodes:
            hint = f"use other labels, or {ALL!r} for all nodes; run 'kubectl get nodes --show-labels' to list them"
            raise InvalidInput(f"--selector: no node matches {selector!r}", hint)
        from eidos.model.snapshot import natural_key

        self.nodes.sort(key=natural_key)

    def connect(self, deadline: float) -> KubeClient:
        """A client whose requests end at ``deadline``."""
        from eidos.kube import api_client

        return api_client.connect(self._cluster, deadline=deadline)

    def take_cluster_snapshot(self) -> Snapshot | None:
        """The cluster-wide readings, or None when none are selected; to be called while no thread runs."""
        from eidos.collectors import ClusterSelection
        from eidos.workflow import SnapshotOptions, take_snapshot

        names = tuple(name for name in self._selected if collectors.is_cluster_wide(name))
        if not names:
            return None
        cluster = ClusterSelection(self._values["kubeconfig"], self._values["kube-context"], self._values["kube-namespace"])
        return take_snapshot(SnapshotOptions(collectors=names, timeout_s=CLUSTER_TIMEOUT_S, cluster=cluster))

    def run(self) -> Generator[tuple[str, NodeAnswer], None, None]:
        """Run a Job on each node that is ready, and yield the answer of every node."""
        from eidos import manifest
        from eidos.fleet import job_runner

        yield from self.unanswered.items()
        ready = tuple(name for name in self.nodes if name not in self.unanswered)
        if not ready:
            return
        warn_of_share(self._agent)
        self._remove_leftovers()
        agent = replace(self._agent, nodes=ready, run=os.urandom(4).hex())
        trees = manifest.agent_manifests(agent)
        plan = job_runner.FleetPlan(
            agent.namespace,
            agent.run,
            tuple(tree for tree in trees if tree["kind"] != "Job"),
            {tree["metadata"]["annotations"][job_runner.NODE_ANNOTATION]: tree for tree in trees if tree["kind"] == "Job"},
            lambda node: f"cm://{agent.namespace}/eidos-{agent.run}-{node}",
        )
        values = self._values
        yield from job_runner.collect_with_jobs(
            plan,
            self.connect,
            parallel=values["parallel"],
            timeout=values["timeout"],
            start_timeout=values["start-timeout"],
            keep=values["keep"],
        )

    def _remove_leftovers(self) -> None:
        """Remove what runs that are over left in the namespace; what cannot be listed or removed costs this run nothing."""
        from eidos.fleet import leftovers

        client = self.connect(time.monotonic() + CLEAN_TIMEOUT_S)
        orphans = leftovers.find_leftovers(client, self._agent.namespace)
        for fault in orphans.errors:
            log.info(f"cannot look for what earlier runs left: {fault.message}")
        for run in orphans.runs:
            if run.state == leftovers.OVER:
                removed, errors = leftovers.remove_run(client, self._agent.namespace, run)
                what = count_of(len(removed), "object")
                log.warn(f"removed {what} that run {run.number} left in the cluster {_in_words(run.age_s)} ago")
                for fault in errors:
                    log.warn(
                        f"cannot remove an object of run {run.number}: {fault.message}", hint=fault.hint or "run 'eidos fleet --clean'"
                    )
        client.close()


def clean_cluster(values: Values) -> int:
    """Remove what runs that are over left in the namespace, and print what became of each run; the exit status."""
    from eidos.fleet import leftovers

    namespace = _namespace(values)
    client = cluster_options.connect(values, time.monotonic() + CLEAN_TIMEOUT_S)
    try:
        orphans = leftovers.find_leftovers(client, namespace)
        rows = []
        failures = list(orphans.errors)
        for run in orphans.runs:
            removed: list[str] = []
            if run.state == leftovers.OVER:
                removed, errors = leftovers.remove_run(client, namespace, run)
                failures += errors
            rows.append(
                {
                    "run": run.number,
                    "state": run.state,
                    "objects": list(run.paths),
                    "removed": removed,
                    "remaining-seconds": int(run.remaining_s),
                }
            )
    finally:
        client.close()
    fmt = values["format"] or "table"
    tree = {"kind": "FleetLeftovers", "version": __version__, "namespace": namespace, "runs": rows}
    text = _leftover_lines(namespace, rows) if fmt == "table" else serialize(tree, fmt)
    document_locations.write_document(document_locations.STDOUT, text)
    for other in orphans.other_namespaces:
        log.warn(f"runs in namespace {other} have objects, too", hint=f"eidos fleet --clean --namespace {other}")
    for fault in failures:
        log.error(fault.message, hint=fault.hint)
    return 1 if failures else 0


def _leftover_lines(namespace: str, rows: Sequence[dict[str, Any]]) -> str:
    from eidos.fleet.job_runner import removal_command
    from eidos.fleet.leftovers import OVER, RETAINED

    lines = []
    for row in rows:
        if row["state"] == OVER:
            lines.append(f"run {row['run']}: removed {count_of(len(row['removed']), 'object')}")
        elif row["state"] == RETAINED:
            lines.append(f"run {row['run']}: kept because of --keep; remove it with: {removal_command(namespace, row['run'])}")
        else:
            soon = f"may still be running, and is over in {_in_words(row['remaining-seconds'])} at the latest"
            lines.append(f"run {row['run']}: {soon}; remove it now with: {removal_command(namespace, row['run'])}")
    return "\n".join(lines or [f"nothing to remove in namespace {namespace}"]) + "\n"


def _in_words(seconds: float) -> str:
    """A time in its two largest units.

    >>> _in_words(59.4), _in_words(3700), _in_words(90000)
    ('59s', '1h1m', '1d1h')
    """
    count = int(seconds)
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if count >= size:
            return f"{count // size}{unit}{count % size // smaller}{smaller_unit}"
    return f"{count}s"


def _namespace(values: Values) -> str:
    from eidos.kube.labels import check_dns_label
    from eidos.manifest import AgentOptions

    return check_dns_label(values["namespace"] or values["kube-namespace"] or AgentOptions.namespace, "namespace")


def _agent_options(values: Values, selected: Sequence[str]) -> AgentOptions:
    """The options of the agent, without its nodes."""
    from eidos.archive.purposes import AGENT
    from eidos.kube.labels import parse_toleration
    from eidos.manifest import AgentOptions, agent_manifest, payload

    how, argument = values["delivery"]
    require_configmap(values["plugin"], how)
    program: bytes | str
    if how == "image":
        program = kubernetes_fields.check_image(argument)
    elif how == "hostpath":
        program = kubernetes_fields.check_host_path(argument or "/opt/eidos/eidos.pyz")
    else:
        path = values["program"] or argument or payload.running_program()
        program = payload.read_program(path, AGENT, carried_entries(values["plugin"]))
    added = tuple(name for name in collectors.list_collectors() if collectors.is_added(name) and not collectors.is_cluster_wide(name))
    names = [name for name in (*agent_manifest.fact_choices(), *added) if name in collectors.list_collectors()]
    return AgentOptions(
        namespace=_namespace(values),
        create_namespace=values["create-namespace"],
        delivery=how,
        program=program,
        image=values["image"] or "",
        memory=values["memory"] or "",
        kubernetes_minor=values["kubernetes-version"],
        tolerations=tuple(map(parse_toleration, values["toleration"])) or None,
        gpu=values["gpu"],
        rights=tuple(name for name in RIGHTS if values[name]),
        without=tuple(name for name in names if name not in selected),
        volatile=values["check"],
        timeout_s=min(COLLECTORS_TIMEOUT_S, max(1, int(values["timeout"] / 2))),
        deadline_s=int(values["timeout"]) + SLACK_S,
        plugins=tuple(plugin.reference() for plugin in values["plugin"]),
        plugin_collectors=added,
    )


def _too_long_name(name: str) -> NoAnswer | None:
    """Why a node can have no document: its name is too long for that of an object."""
    from eidos.fleet.summary import NoAnswer
    from eidos.kube.stored_object import parse_reference

    try:
        parse_reference(f"cm://x/eidos-{'0' * 8}-{name}")
    except InvalidInput:
        return NoAnswer(f"the node name is too long for a ConfigMap: {len(name)} characters", "use --hosts for this node")
    return None


def _unready(node: dict[str, object]) -> NoAnswer | None:
    """Why a node will run no Pod: its kubelet does not report (Kubernetes API, NodeCondition)."""
    from eidos.fleet.summary import NoAnswer

    status = node.get("status")
    for condition in (status.get("conditions") if isinstance(status, dict) else None) or ():
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return NoAnswer(
                condition.get("message") or "the node is not ready",
                "check that its kubelet is running",
                condition.get("reason") or "NotReady",
            )
    return None
