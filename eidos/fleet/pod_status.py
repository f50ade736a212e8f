"""What a Pod that is to take a snapshot says of itself, in the words of Kubernetes.

Knows the fields of a Pod's status and of an Event (Kubernetes API, PodStatus, ContainerState, core/v1 Event), and which reasons do not go
away on their own; must not know clients, nor when to lose patience.

>>> state, silence = judged(
...     {
...         "status": {
...             "phase": "Pending",
...             "conditions": [
...                 {
...                     "type": "PodScheduled",
...                     "status": "False",
...                     "reason": "Unschedulable",
...                     "message": "0/3 nodes are available: 1 Insufficient cpu.",
...                 }
...             ],
...         }
...     }
... )
>>> state, silence.reason
('stuck', 'Unschedulable')
"""

from __future__ import annotations

from eidos.fleet.bootstrap import reason
from eidos.fleet.summary import Silence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Tree = dict[str, Any]

#: On its way; not on its way, unless somebody does something; ended as it should; ended otherwise.
WAITING, STUCK, DONE, FAILED = "waiting", "stuck", "done", "failed"

#: Why a container waits that will wait for ever, and what may be done about it (the kubelet's pkg/kubelet/images and container errors).
_HOPELESS = {
    "ErrImagePull": "name an image that the node can pull, with --image",
    "ImagePullBackOff": "name an image that the node can pull, with --image",
    "ImageInspectError": "name another image, with --image",
    "ErrImageNeverPull": "put the image onto the node, or name another with --image",
    "InvalidImageName": "name an image, with --image",
    "RegistryUnavailable": "name an image that the node can pull, with --image",
    "CreateContainerConfigError": None,
    "CreateContainerError": None,
    "RunContainerError": None,
}

_UNSCHEDULABLE = "kubectl describe node says what the node has left and which taints it has"


#: Host mounts need it (Kubernetes documentation, "Pod Security Standards").
_STANDARDS = "label the namespace pod-security.kubernetes.io/enforce=privileged, as --create-namespace does"


def judged(pod: Tree) -> tuple[str, Silence]:
    """How a Pod stands, and why it has not answered."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return DONE, Silence("it ended without a snapshot", reason="Completed")
    if phase == "Failed":
        return FAILED, _failed(status)
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return FAILED, Silence("somebody deleted its Pod", reason="Deleted")
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            why = waiting.get("message") or f"its container waits: {waiting['reason']}"
            return STUCK, Silence(why, _HOPELESS[waiting["reason"]], waiting["reason"])
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return STUCK, Silence(
                condition.get("message") or "no node takes its Pod", _UNSCHEDULABLE, condition.get("reason") or "Unschedulable"
            )
    names = [((container.get("state") or {}).get("waiting") or {}).get("reason") for container in _containers(status)]
    found = next(filter(None, names), None)
    return WAITING, Silence(f"its Pod is {phase.lower()}" + (f": {found}" if found else ""), reason=found or phase)


def _containers(status: Tree) -> Iterator[Tree]:
    for name in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(name) or ()


def _failed(status: Tree) -> Silence:
    if status.get("reason"):  # the whole Pod: Evicted, DeadlineExceeded, NodeLost
        return Silence(status.get("message") or f"its Pod ended: {status['reason']}", reason=status["reason"])
    for container in _containers(status):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            said = reason(ended.get("message") or "")
            hint = "give it more with --memory" if ended.get("reason") == "OOMKilled" else None
            return Silence(said or f"it ended with status {ended['exitCode']}", hint, ended.get("reason"))
    return Silence("its Pod failed", reason="Failed")


def job_failure(job: Tree) -> Silence | None:
    """Why a Job will have no Pod any more, or None."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return Silence(condition.get("message") or "its Job failed", reason=condition.get("reason") or "Failed")
    return None


def warned(events: Iterable[Tree]) -> Silence | None:
    """What the newest warning among events says: a mount that is not there, a Pod that the cluster refuses."""
    newest: tuple[str, Tree] | None = None
    for event in events:
        when = event.get("lastTimestamp") or event.get("eventTime") or (event.get("metadata") or {}).get("creationTimestamp") or ""
        if event.get("type") == "Warning" and event.get("message") and (newest is None or when >= newest[0]):
            newest = when, event
    if newest is None:
        return None
    why = " ".join(newest[1]["message"].split())[:500]
    return Silence(why, _STANDARDS if "violates PodSecurity" in why else None, newest[1].get("reason"))
