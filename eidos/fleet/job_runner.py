"""Snapshots of a cluster's nodes: a Job for each, pinned to it, some at a time, and everything removed at the end.

Knows in which order objects are created, watched and removed, and when a node is given up; must not know what is in a Job: the caller
brings manifests. Every name contains the id of the run, so that two runs do not collide.

A node is given up when its time is over; sooner when its Pod could not start for the start timeout, or its Job will have no more Pods. The
reported reason is the Pod's, else that of the newest warning.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.errors import EidosError, KubeError, NotFound, Timeout
from eidos.fleet import pod_status
from eidos.fleet.results import parse_snapshot
from eidos.fleet.summary import NoAnswer
from eidos.kube import document_store
from eidos.kube.responses import ObjectNotFound
from eidos.kube.stored_object import parse_reference
from eidos.model.record import Record
from eidos.process.signals import DeferredSignals
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from eidos.fleet.pod_status import Tree
    from eidos.fleet.results import NodeAnswer
    from eidos.kube.api_client import KubeClient
    from eidos.kube.stored_object import ObjectReference

#: Seconds that one watch lasts, and that a request with all its attempts, and cleaning up, may take.
WATCH_S, REQUEST_S, CLEANUP_S = 5.0, 30.0, 30.0

#: Seconds that the API server may be unreachable (at most half of a node's time), and between two attempts.
OUTAGE_LIMIT_S, RETRY_PAUSE_S = 90.0, 1.0

#: The label with the number of the run, and the annotation with the name of the node.
RUN_LABEL, NODE_ANNOTATION = "eidos.dgxc.io/run", "eidos.dgxc.io/node"

#: The annotation with the seconds after which a run is over, and its value when the objects are to stay.
LIFETIME_ANNOTATION, LIFETIME_UNLIMITED = "eidos.dgxc.io/run-lifetime-seconds", "unlimited"

#: Kind → its resource in the API, and whether that is namespaced.
RESOURCES = {
    "Namespace": ("namespaces", False),
    "ServiceAccount": ("serviceaccounts", True),
    "ConfigMap": ("configmaps", True),
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "Job": ("jobs", True),
}


class FleetPlan(Record):
    """What a run does: ``shared`` manifests are created first, in order; ``jobs`` is node → Job, all in ``namespace``, with label ``run``.

    ``location`` gives the location of a node's snapshot: ``cm://namespace/name``.
    """

    namespace: str
    run: str
    shared: tuple[Tree, ...]
    jobs: dict[str, Tree]
    location: Callable[[str], str]


class _Job:
    """A Job that was created, and the state of its Pod."""

    def __init__(self, node: str, path: str, deadline: float, start_timeout: float) -> None:
        self.node, self.path, self.deadline, self.start_timeout = node, path, deadline, start_timeout
        self.state, self.no_answer, self.since = pod_status.WAITING, NoAnswer("", reason="NoPod"), time.monotonic()
        self.pod, self.is_removed = "", False

    def set_state(self, state: str, no_answer: NoAnswer) -> None:
        if state != self.state:
            self.since = time.monotonic()
        self.state, self.no_answer = state, no_answer

    @property
    def due(self) -> float:
        """When the node is given up, unless its Pod starts or finishes before."""
        cannot_start = self.state == pod_status.STUCK or not self.pod
        return min(self.deadline, self.since + self.start_timeout) if cannot_start else self.deadline


def _may_pass(fault: EidosError) -> bool:
    return isinstance(fault, Timeout) or (isinstance(fault, KubeError) and fault.may_pass)


def path_of(tree: Tree) -> tuple[str, str]:
    """Return the path of the collection in which an object is created, and the path of the object."""
    resource, namespaced = RESOURCES[tree["kind"]]
    version, metadata = tree["apiVersion"], tree["metadata"]
    space = f"/namespaces/{metadata['namespace']}" if namespaced else ""
    collection = f"/{'apis' if '/' in version else 'api'}/{version}{space}/{resource}"
    return collection, f"{collection}/{metadata['name']}"


def removal_command(namespace: str, run: str) -> str:
    """Return the kubectl command that removes the objects of a run."""
    what = ",".join(sorted(resource for resource, _ in RESOURCES.values() if resource != "namespaces"))
    return f"kubectl delete {what} -n {namespace} -l {RUN_LABEL}={run}"


def collect_with_jobs(
    plan: FleetPlan, connect: Callable[[float], KubeClient], *, parallel: int, timeout: float, start_timeout: float, keep: bool = False
) -> Generator[tuple[str, NodeAnswer], None, None]:
    """Run the plan and yield the answer of each node as it arrives; however this ends, all objects are removed, unless ``keep``.

    ``connect`` returns a client whose requests end at a time on the monotonic clock; ``timeout`` is in seconds, for each node from its
    Job on; so is ``start_timeout``, for as long as no Pod can start. Raises an EidosError when what all Jobs need cannot be created.
    """
    rounds = -(-len(plan.jobs) // parallel)
    run_s = 2 * rounds * (timeout + REQUEST_S) + OUTAGE_LIMIT_S
    client = connect(time.monotonic() + run_s)
    run = _Run(plan, client, timeout, start_timeout, time.monotonic() + run_s)
    try:
        run.prepare(LIFETIME_UNLIMITED if keep else str(int(run_s + 2 * (REQUEST_S + CLEANUP_S))))
        yield from run.follow(parallel, keep)
    finally:
        with DeferredSignals():  # an interrupt would leave objects in the cluster
            client.close()
            if keep:
                log.warn(f"objects of run {plan.run} are still in the cluster", hint=run.how_to_remove())
            else:
                run.clean_up(connect)


class _Run:
    def __init__(self, plan: FleetPlan, client: KubeClient, timeout: float, start_timeout: float, deadline: float) -> None:
        self.plan, self.client, self.timeout, self.start_timeout, self.deadline = plan, client, timeout, start_timeout, deadline
        self.created: list[str] = []
        self.running: dict[str, _Job] = {}
        self.unremoved: dict[str, _Job] = {}

    def prepare(self, lifetime: str) -> None:
        """Create what all Jobs need; ``lifetime`` is the value of its annotation."""
        for tree in self.plan.shared:
            _, path = path_of(tree)
            if tree["kind"] != "Namespace":  # others may have objects in it
                self.created.append(path)
                metadata = tree["metadata"]
                annotations = {**metadata.get("annotations", {}), LIFETIME_ANNOTATION: lifetime}
                tree = {**tree, "metadata": {**metadata, "annotations": annotations}}
            self._renew_deadline()
            try:
                self.client.apply(path, tree)
            except ObjectNotFound as missing:
                if missing.kind != "namespaces":
                    raise
                hint = f"kubectl create namespace {missing.name}, or use --create-namespace, which also labels it for Pods with host mounts"
                raise NotFound(missing.message, hint) from missing

    def follow(self, parallel: int, keep: bool) -> Iterator[tuple[str, NodeAnswer]]:
        """Create the Jobs, so many at a time, and watch their Pods; an API server that is away for a moment is waited for."""
        waiting = list(reversed(self.plan.jobs.items()))
        version: str | None = None
        silent_since: float | None = None
        while waiting or self.running:
            if time.monotonic() >= self.deadline:  # soon others may remove what this run created
                yield from self._give_up(waiting, NoAnswer("the run took too long", "raise --parallel or --timeout", "Overdue"))
                return
            try:
                while waiting and len(self.running) < parallel:
                    refused = self._start(*waiting[-1])
                    node, _ = waiting.pop()
                    if refused:
                        yield node, refused
                if not self.running:
                    return
                ended, version = self._wait_for_pods(version)
                now = time.monotonic()
                ended += [job for job in self.running.values() if job not in ended and now >= job.due]
                for job in ended:
                    yield job.node, self._answer(job, now)
                    self._remove(job, keep)
                silent_since = None
            except EidosError as fault:
                now, version = time.monotonic(), None
                silent_since = silent_since or now
                if not _may_pass(fault) or now - silent_since >= min(OUTAGE_LIMIT_S, self.timeout / 2):  # the answers so far are not lost
                    reason = getattr(fault, "reason", None) or "Unreachable"
                    no_answer = NoAnswer(f"lost contact with the cluster: {fault.message}", fault.hint, reason)
                    yield from self._give_up(waiting, no_answer)
                    return
                log.debug(f"waiting for the cluster: {fault.message}")
                time.sleep(RETRY_PAUSE_S)
                for job in self.running.values():  # no Pod was observed meanwhile
                    job.since = time.monotonic()

    def _give_up(self, waiting: list[tuple[str, Tree]], no_answer: NoAnswer) -> Iterator[tuple[str, NodeAnswer]]:
        """Yield the same answer for all nodes that have none yet."""
        yield from ((job.node, no_answer) for job in self.running.values())
        yield from ((node, no_answer) for node, _ in reversed(waiting))

    def _start(self, node: str, tree: Tree) -> NoAnswer | None:
        collection, path = path_of(tree)
        job = _Job(node, path, time.monotonic() + self.timeout, self.start_timeout)
        is_first = node not in self.unremoved
        self._renew_deadline()
        self.unremoved[node] = job  # before it is created: if that is interrupted, it is removed all the same
        try:
            self.client.create(collection, tree)
        except EidosError as fault:
            status = getattr(fault, "status", None)
            if _may_pass(fault) and status != 500:  # 500 is about this Job
                raise
            if status != 409:  # 409: it was created before, and the answer was lost, because the name is this run's
                if is_first and not _may_pass(fault):  # it was not created, so a thousand nodes cost no thousand requests to remove it
                    del self.unremoved[node]
                return NoAnswer(fault.message, fault.hint, getattr(fault, "reason", None))
        self.running[tree["metadata"]["name"]] = job
        return None

    def _wait_for_pods(self, version: str | None) -> tuple[list[_Job], str | None]:
        """Wait a little for changes; return Jobs whose Pods have ended, and the version from which to watch on."""
        path, labels = f"/api/v1/namespaces/{self.plan.namespace}/pods", f"{RUN_LABEL}={self.plan.run}"
        ended: list[_Job] = []
        self._renew_deadline()
        if version is None:
            listed = self.client.get(path, {"labelSelector": labels})
            ended += dict.fromkeys(filter(None, map(self._update, listed.get("items") or ())))
            version = str((listed.get("metadata") or {}).get("resourceVersion") or "")
            if ended:
                return ended, version
        due = min(job.due for job in self.running.values())
        until = min(time.monotonic() + WATCH_S, max(due, time.monotonic() + 0.1))
        try:
            for kind, pod in self.client.watch(path, resource_version=version, label_selector=labels, deadline=until):
                version = (pod.get("metadata") or {}).get("resourceVersion") or version
                if kind == "BOOKMARK":
                    continue
                job = self._update(pod, gone=kind == "DELETED")
                if job:
                    return [*ended, job], version
        except Timeout:
            pass
        except KubeError as fault:
            if fault.status in (401, 403):
                raise
            # Too old, or cut off: the next list has the present state, or fails as well.
            log.debug(f"watching Pods: {fault.message}")
            version = None
            time.sleep(RETRY_PAUSE_S)  # a server that refuses at once must not get thousands of requests
        return ended, version

    def _update(self, pod: Tree, gone: bool = False) -> _Job | None:
        """Note the state of a Pod; return its Job when it has ended."""
        metadata = pod.get("metadata") or {}
        name = (metadata.get("labels") or {}).get("job-name") or (metadata.get("labels") or {}).get("batch.kubernetes.io/job-name")
        job = self.running.get(name or "")
        if job is None:
            return None
        job.pod = metadata.get("name", "")
        job.set_state(*pod_status.read_pod_state(pod))
        if gone and job.state not in (pod_status.DONE, pod_status.FAILED):
            job.set_state(pod_status.FAILED, NoAnswer("its Pod was removed before it finished", reason="Deleted"))
        return job if job.state in (pod_status.DONE, pod_status.FAILED) else None

    def _renew_deadline(self) -> None:
        """Give the next request its time: a run may take hours, a single request may not."""
        self.client.deadline = time.monotonic() + REQUEST_S

    def _answer(self, job: _Job, now: float) -> NodeAnswer:
        self._renew_deadline()
        if job.state in (pod_status.DONE, pod_status.FAILED):
            try:
                return parse_snapshot(document_store.read_document(self.client, self._location(job)))
            except NotFound:
                return job.no_answer
            except EidosError as fault:
                if _may_pass(fault):
                    raise
                return NoAnswer(fault.message, fault.hint)
        no_answer = job.no_answer
        if job.state == pod_status.WAITING:
            no_answer = self._warning(job) or no_answer
        limit, flag = (self.timeout, "--timeout") if now >= job.deadline else (self.start_timeout, "--start-timeout")
        what = "no Pod was created" if not job.pod else "its Pod did not start" if job.state == pod_status.STUCK else "no result"
        why = f"{what} within {limit:g} s ({flag})" + (f": {no_answer.why}" if no_answer.why else "")
        return NoAnswer(why, no_answer.hint or f"raise {flag}", no_answer.reason)

    def _warning(self, job: _Job) -> NoAnswer | None:
        """Return what the cluster warned of, for a Pod that does not start, or a Job without one."""
        try:
            failed = pod_status.job_failure(self.client.get(job.path)) if not job.pod else None
            name = job.pod or job.path.rpartition("/")[2]
            path = f"/api/v1/namespaces/{self.plan.namespace}/events"
            events = self.client.get(path, {"fieldSelector": f"involvedObject.name={name}", "limit": "50"})
        except EidosError as fault:  # without the right to read events there is one reason less
            log.debug(f"cannot read events of {job.path}: {fault.message}")
            return None
        return pod_status.latest_warning(events.get("items") or ()) or failed

    def _remove(self, job: _Job, keep: bool) -> None:
        """Remove a Job with its Pod and its document, so that a large fleet does not fill the cluster."""
        self.running.pop(job.path.rpartition("/")[2], None)
        if keep:
            return
        self._renew_deadline()
        try:
            self.client.delete(job.path)
            job.is_removed = True
            if job.state in (pod_status.DONE, pod_status.FAILED):  # any other may still write its document
                document_store.remove_document(self.client, self._location(job))
                del self.unremoved[job.node]
        except EidosError as fault:  # once more at the end
            log.debug(f"{job.path}: {fault.message}")

    def _location(self, job: _Job) -> ObjectReference:
        return parse_reference(self.plan.location(job.node))

    def clean_up(self, connect: Callable[[float], KubeClient]) -> None:
        """Remove what is left, with a new client: the other may be in the middle of a request.

        Documents are removed last, when no Pod has the right to write one any more.
        """
        deadline = time.monotonic() + CLEANUP_S
        remaining: list[str] = []
        try:
            client = connect(deadline)
        except EidosError as fault:
            log.debug(fault.message)
            remaining = [*self.created, *(job.path for job in self.unremoved.values())]
        else:
            steps: list[tuple[str, Callable[[], object]]] = [
                *((job.path, lambda job=job: client.delete(job.path)) for job in self.unremoved.values() if not job.is_removed),
                *((path, lambda path=path: client.delete(path)) for path in reversed(self.created)),
                ("Pods", lambda: self._wait(client)),
                *(
                    (f"snapshot of {job.node}", lambda job=job: document_store.remove_document(client, self._location(job)))
                    for job in self.unremoved.values()
                ),
            ]
            for what, step in steps:
                try:
                    step()
                except EidosError as fault:
                    log.debug(f"{what}: {fault.message}")
                    remaining.append(what)
            client.close()
        if remaining:
            message = f"cannot remove {count_of(len(remaining), 'object')} of run {self.plan.run} from the cluster"
            log.warn(message, hint=self.how_to_remove())

    def how_to_remove(self) -> str:
        """Return what the user may type; snapshots do not have the label of the run."""
        space, run = self.plan.namespace, self.plan.run
        return f"{removal_command(space, run)}; list its snapshots with kubectl get configmaps -n {space} | grep {run}"

    def _wait(self, client: KubeClient) -> None:
        """Wait for Pods that are terminating: one may be about to write, and its right to write is not revoked at once."""
        path, until = f"/api/v1/namespaces/{self.plan.namespace}/pods", time.monotonic() + WATCH_S
        unfinished = any(job.state not in (pod_status.DONE, pod_status.FAILED) for job in self.unremoved.values())
        while unfinished and time.monotonic() < until:
            unfinished = bool(client.get(path, {"labelSelector": f"{RUN_LABEL}={self.plan.run}", "limit": "1"}).get("items"))
            time.sleep(RETRY_PAUSE_S / 10)
