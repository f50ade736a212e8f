"""Snapshots of a cluster's nodes: a Job for each, pinned to it, some at a time, and nothing left behind.

Knows in which order objects are made, followed and removed, and when a node is given up; must not know what a Job holds: the caller
brings manifests. Every name holds the number of the run, so that two runs do not meet.

A node is given up when its time is over; sooner when its Pod says for :data:`PATIENCE` seconds that it cannot begin, or its Job that
it will have no Pod any more. Then the cluster's own reason is told, and where the Pod has none, that of the newest warning.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.errors import EidosError, KubeError, NotFound, Timeout
from eidos.fleet import pod_status
from eidos.fleet.ssh import snapshot
from eidos.fleet.summary import Silence
from eidos.kube import document_store
from eidos.kube.responses import Missing
from eidos.model.record import Record
from eidos.process.signals import DeferredSignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from eidos.fleet.pod_status import Tree
    from eidos.fleet.ssh import Answer
    from eidos.kube.api_client import Client
    from eidos.kube.document_store import Place

#: Seconds that a Pod may say that it cannot begin, that a look at the cluster may wait for news, and that a request with all its attempts,
#: and cleaning up, may take.
PATIENCE, SLICE, REQUEST, CLEANING = 20.0, 5.0, 30.0, 30.0

#: Seconds that a cluster may be silent in the middle, unless half of a node's time is less, and before it is asked again.
OUTAGE, PAUSE = 90.0, 1.0

#: The label with the number of the run, and the annotation with the name of the node.
RUN, NODE = "eidos.dgxc.io/run", "eidos.dgxc.io/node"

#: Kind → the resource that the API has it under, and whether that is in a namespace.
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


class Plan(Record):
    """What a run does: ``shared`` manifests are made first, in order; ``jobs`` is node → Job, all in ``namespace``, with label ``run``.

    ``place`` says where a node's snapshot will be: ``cm://namespace/name``.
    """

    namespace: str
    run: str
    shared: tuple[Tree, ...]
    jobs: dict[str, Tree]
    place: Callable[[str], str]


class _Job:
    """A Job that was made, and how its Pod stands."""

    def __init__(self, node: str, path: str, deadline: float) -> None:
        self.node, self.path, self.deadline = node, path, deadline
        self.state, self.silence, self.since = pod_status.WAITING, Silence("no Pod was made for it", reason="NoPod"), time.monotonic()
        self.pod, self.is_removed = "", False

    def stands(self, state: str, silence: Silence) -> None:
        if state != self.state:
            self.since = time.monotonic()
        self.state, self.silence = state, silence

    def is_given_up(self, now: float) -> bool:
        hopeless = self.state == pod_status.STUCK or not self.pod
        return now >= self.deadline or (hopeless and now - self.since >= PATIENCE)


def _may_pass(fault: EidosError) -> bool:
    return isinstance(fault, Timeout) or (isinstance(fault, KubeError) and fault.may_pass)


def path_of(tree: Tree) -> tuple[str, str]:
    """The paths of the API at which an object is made, and at which it is."""
    resource, namespaced = RESOURCES[tree["kind"]]
    version, metadata = tree["apiVersion"], tree["metadata"]
    space = f"/namespaces/{metadata['namespace']}" if namespaced else ""
    collection = f"/{'apis' if '/' in version else 'api'}/{version}{space}/{resource}"
    return collection, f"{collection}/{metadata['name']}"


def ask(
    plan: Plan, connect: Callable[[float], Client], *, parallel: int, timeout: float, keep: bool = False
) -> Generator[tuple[str, Answer], None, None]:
    """Do what the plan says, and tell of each node when it is known; whatever ends this, what was made is removed, unless ``keep``.

    ``connect`` gives a client that is good until a time on the monotonic clock; ``timeout`` is in seconds, for each node from its Job
    on. Raises an EidosError when what all Jobs need cannot be made.
    """
    rounds = -(-len(plan.jobs) // parallel)
    client = connect(time.monotonic() + rounds * (timeout + 2 * PATIENCE) + OUTAGE + CLEANING)
    run = _Run(plan, client, timeout)
    try:
        run.prepare()
        yield from run.follow(parallel, keep)
    finally:
        with DeferredSignals():  # an interrupt would leave the rest of it
            client.close()
            if keep:
                log.warn(f"run {plan.run} is left in the cluster", hint=run.how_to_remove())
            else:
                run.clean(connect)


class _Run:
    def __init__(self, plan: Plan, client: Client, timeout: float) -> None:
        self.plan, self.client, self.timeout = plan, client, timeout
        self.made: list[str] = []
        self.running: dict[str, _Job] = {}
        self.left: dict[str, _Job] = {}

    def prepare(self) -> None:
        """Make what all Jobs need."""
        for tree in self.plan.shared:
            _, path = path_of(tree)
            if tree["kind"] != "Namespace":  # it may hold what is not ours
                self.made.append(path)
            self._soon()
            try:
                self.client.apply(path, tree)
            except Missing as missing:
                if missing.kind != "namespaces":
                    raise
                hint = f"kubectl create namespace {missing.name}, or --create-namespace, with the label that Pods with host mounts need"
                raise NotFound(missing.message, hint) from missing

    def follow(self, parallel: int, keep: bool) -> Iterator[tuple[str, Answer]]:
        """Make the Jobs, so many at a time, and follow their Pods; a cluster that is silent for a while is waited for."""
        waiting = list(reversed(self.plan.jobs.items()))
        version: str | None = None
        silent: float | None = None
        while waiting or self.running:
            try:
                while waiting and len(self.running) < parallel:
                    refused = self._start(*waiting[-1])
                    node, _ = waiting.pop()
                    if refused:
                        yield node, refused
                if not self.running:
                    return
                ended, version = self._news(version)
                now = time.monotonic()
                ended += [job for job in self.running.values() if job not in ended and job.is_given_up(now)]
                for job in ended:
                    yield job.node, self._answer(job, now)
                    self._forget(job, keep)
                silent = None
            except EidosError as fault:
                now, version = time.monotonic(), None
                silent = silent or now
                if not _may_pass(fault) or now - silent >= min(OUTAGE, self.timeout / 2):  # those that did answer are not lost
                    reason = getattr(fault, "reason", None) or "Unreachable"
                    silence = Silence(f"the cluster could not be followed: {fault.message}", fault.hint, reason)
                    left = [*(job.node for job in self.running.values()), *(node for node, _ in reversed(waiting))]
                    yield from ((node, silence) for node in left)
                    return
                log.debug(f"the cluster is waited for: {fault.message}")
                time.sleep(PAUSE)
                for job in self.running.values():  # none is to blame for what nobody could see
                    job.since = time.monotonic()

    def _start(self, node: str, tree: Tree) -> Silence | None:
        collection, path = path_of(tree)
        job = _Job(node, path, time.monotonic() + self.timeout)
        is_first = node not in self.left
        self._soon()
        self.left[node] = job  # before it is made: whatever interrupts, it is looked for
        try:
            self.client.create(collection, tree)
        except EidosError as fault:
            status = getattr(fault, "status", None)
            if _may_pass(fault) and status != 500:  # which is said of this Job
                raise
            if status != 409:  # it was made, and nobody heard: the name is this run's
                if is_first and not _may_pass(fault):  # it was not made: there is nothing to remove, on a thousand nodes neither
                    del self.left[node]
                return Silence(fault.message, fault.hint, getattr(fault, "reason", None))
        self.running[tree["metadata"]["name"]] = job
        return None

    def _news(self, version: str | None) -> tuple[list[_Job], str | None]:
        """Jobs whose Pods have ended, and the version from which on to look for more; waits for news, but not long."""
        path, labels = f"/api/v1/namespaces/{self.plan.namespace}/pods", f"{RUN}={self.plan.run}"
        ended: list[_Job] = []
        self._soon()
        if version is None:
            listed = self.client.get(path, {"labelSelector": labels})
            ended += dict.fromkeys(filter(None, map(self._heard, listed.get("items") or ())))
            version = str((listed.get("metadata") or {}).get("resourceVersion") or "")
            if ended:
                return ended, version
        due = min(job.deadline if job.pod else job.since + PATIENCE for job in self.running.values())
        until = min(time.monotonic() + SLICE, max(due, time.monotonic() + 0.1))
        try:
            for kind, pod in self.client.watch(path, version=version, labels=labels, deadline=until):
                version = (pod.get("metadata") or {}).get("resourceVersion") or version
                if kind == "BOOKMARK":
                    continue
                job = self._heard(pod, gone=kind == "DELETED")
                if job:
                    return [*ended, job], version
        except Timeout:
            pass
        except KubeError as fault:
            if fault.status in (401, 403):
                raise
            # Too old, or cut off: what is listed then says more, or nobody answers that either.
            log.debug(f"watching Pods: {fault.message}")
            version = None
            time.sleep(PAUSE)  # whoever refuses at once must not be asked thousands of times
        return ended, version

    def _heard(self, pod: Tree, gone: bool = False) -> _Job | None:
        """Take in how a Pod stands; its Job when that has ended."""
        metadata = pod.get("metadata") or {}
        name = (metadata.get("labels") or {}).get("job-name") or (metadata.get("labels") or {}).get("batch.kubernetes.io/job-name")
        job = self.running.get(name or "")
        if job is None:
            return None
        job.pod = metadata.get("name", "")
        job.stands(*pod_status.judged(pod))
        if gone and job.state not in (pod_status.DONE, pod_status.FAILED):
            job.stands(pod_status.FAILED, Silence("its Pod was removed before it answered", reason="Deleted"))
        return job if job.state in (pod_status.DONE, pod_status.FAILED) else None

    def _soon(self) -> None:
        """From here on a request has its time, and no more: a run may take hours, and no single answer may."""
        self.client.deadline = time.monotonic() + REQUEST

    def _answer(self, job: _Job, now: float) -> Answer:
        self._soon()
        if job.state in (pod_status.DONE, pod_status.FAILED):
            try:
                return snapshot(document_store.read(self.client, self._place(job)))
            except NotFound:
                return job.silence
            except EidosError as fault:
                if _may_pass(fault):
                    raise
                return Silence(fault.message, fault.hint)
        silence = job.silence
        if job.state == pod_status.WAITING:
            silence = self._warning(job) or silence
        if now >= job.deadline and job.state == pod_status.WAITING:
            return Silence(
                f"no answer within {self.timeout:g} s: {silence.why}", silence.hint or "give it more time with --timeout", silence.reason
            )
        return silence

    def _warning(self, job: _Job) -> Silence | None:
        """What the cluster warned of, for a Pod that does not begin, or a Job that gets none."""
        try:
            failed = pod_status.job_failure(self.client.get(job.path)) if not job.pod else None
            name = job.pod or job.path.rpartition("/")[2]
            path = f"/api/v1/namespaces/{self.plan.namespace}/events"
            events = self.client.get(path, {"fieldSelector": f"involvedObject.name={name}", "limit": "50"})
        except EidosError as fault:  # without the right to see them the node is silent all the same
            log.debug(f"events of {job.path} cannot be read: {fault.message}")
            return None
        return pod_status.warned(events.get("items") or ()) or failed

    def _forget(self, job: _Job, keep: bool) -> None:
        """Remove a Job with its Pod and its document, so that a large fleet does not fill the cluster."""
        self.running.pop(job.path.rpartition("/")[2], None)
        if keep:
            return
        self._soon()
        try:
            self.client.delete(job.path)
            job.is_removed = True
            if job.state in (pod_status.DONE, pod_status.FAILED):  # any other may write yet
                document_store.remove(self.client, self._place(job))
                del self.left[job.node]
        except EidosError as fault:  # once more at the end
            log.debug(f"{job.path}: {fault.message}")

    def _place(self, job: _Job) -> Place:
        return document_store.parse(self.plan.place(job.node))

    def clean(self, connect: Callable[[float], Client]) -> None:
        """Remove what is left, with a client of its own: the other may be in the middle of something.

        Documents come last, when no Pod has the right to write one any more.
        """
        deadline = time.monotonic() + CLEANING
        lost: list[str] = []
        try:
            client = connect(deadline)
        except EidosError as fault:
            log.debug(fault.message)
            lost = [*self.made, *(job.path for job in self.left.values())]
        else:
            steps: list[tuple[str, Callable[[], object]]] = [
                *((job.path, lambda job=job: client.delete(job.path)) for job in self.left.values() if not job.is_removed),
                *((path, lambda path=path: client.delete(path)) for path in reversed(self.made)),
                ("Pods", lambda: self._wait(client)),
                *(
                    (f"snapshot of {job.node}", lambda job=job: document_store.remove(client, self._place(job)))
                    for job in self.left.values()
                ),
            ]
            for what, step in steps:
                try:
                    step()
                except EidosError as fault:
                    log.debug(f"{what}: {fault.message}")
                    lost.append(what)
            client.close()
        if lost:
            said = f"objects of run {self.plan.run} may be left in the cluster: {len(lost)} could not be removed"
            log.warn(said, hint=self.how_to_remove())

    def how_to_remove(self) -> str:
        """What the user may type; snapshots have no label of the run."""
        what, space = ",".join(sorted(resource for resource, _ in RESOURCES.values() if resource != "namespaces")), self.plan.namespace
        delete = f"kubectl delete {what} -n {space} -l {RUN}={self.plan.run}"
        return f"{delete}; kubectl get configmaps -n {space} | grep {self.plan.run} shows the snapshots"

    def _wait(self, client: Client) -> None:
        """Wait for Pods that are being ended: one of them may be about to write, and the right to is not taken away at once."""
        path, until = f"/api/v1/namespaces/{self.plan.namespace}/pods", time.monotonic() + SLICE
        unfinished = any(job.state not in (pod_status.DONE, pod_status.FAILED) for job in self.left.values())
        while unfinished and time.monotonic() < until:
            unfinished = bool(client.get(path, {"labelSelector": f"{RUN}={self.plan.run}", "limit": "1"}).get("items"))
            time.sleep(PAUSE / 10)
