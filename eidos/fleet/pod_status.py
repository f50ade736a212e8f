"""The state of a Pod that takes a snapshot, from its status and its events.

Knows the fields of a Pod's status and of an Event (Kubernetes API, PodStatus, ContainerState, core/v1 Event), and which reasons do not go
away on their own; must not know clients, nor how long to wait.

>>> state, no_answer = read_pod_state(
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
>>> state, no_answer.reason
('stuck', 'Unschedulable')
"""

from __future__ import annotations

from eidos.fleet.bootstrap import error_line
from eidos.fleet.summary import NoAnswer
from eidos.redact.secrets_in_text import redact_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Tree = dict[str, Any]

#: The Pod may still succeed; it cannot start unless somebody does something; it succeeded; it failed.
WAITING, STUCK, DONE, FAILED = "waiting", "stuck", "done", "failed"

#: Reasons of containers that wait for ever → hint (the kubelet's pkg/kubelet/images and container errors).
_STUCK_REASONS = {
    "ErrImagePull": "choose an image that the node can pull with --image",
    "ImagePullBackOff": "choose an image that the node can pull with --image",
    "ImageInspectError": "choose another image with --image",
    "ErrImageNeverPull": "load the image on the node, or choose another with --image",
    "InvalidImageName": "set a valid image with --image",
    "RegistryUnavailable": "choose an image that the node can pull with --image",
    "CreateContainerConfigError": None,
    "CreateContainerError": None,
    "RunContainerError": None,
}

_UNSCHEDULABLE = "check free resources and taints with 'kubectl describe node'"

_NO_RUNTIME = "use --gpu none, --gpu cdi or --gpu driver-root --privileged, or name an existing class with --gpu runtime-class=NAME"

#: Parts of a warning → hint. Host mounts need the privileged standard (Kubernetes documentation, "Pod Security Standards"); a Pod's runtime
#: class must exist (Kubernetes' plugin/pkg/admission/runtimeclass), and so must its handler on the node (containerd: "no runtime for").
_WARNINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("violates PodSecurity",), "label the namespace pod-security.kubernetes.io/enforce=privileged, as --create-namespace does"),
    (("RuntimeClass", "not found"), _NO_RUNTIME),
    (("no runtime for", "is configured"), _NO_RUNTIME),
)


def read_pod_state(pod: Tree) -> tuple[str, NoAnswer]:
    """Return the state of a Pod, and why there is no snapshot."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return DONE, NoAnswer("finished without a snapshot", reason="Completed")
    if phase == "Failed":
        return FAILED, _failed(status)
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return FAILED, NoAnswer("its Pod was deleted", reason="Deleted")
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _STUCK_REASONS:
            why = waiting.get("message") or f"its container is waiting: {waiting['reason']}"
            return STUCK, NoAnswer(why, _STUCK_REASONS[waiting["reason"]], waiting["reason"])
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return STUCK, NoAnswer(
                condition.get("message") or "its Pod cannot be scheduled", _UNSCHEDULABLE, condition.get("reason") or "Unschedulable"
            )
    names = [((container.get("state") or {}).get("waiting") or {}).get("reason") for container in _containers(status)]
    reason = next(filter(None, names), None)
    return WAITING, NoAnswer(f"its Pod is {phase.lower()}" + (f": {reason}" if reason else ""), reason=reason or phase)


def _containers(status: Tree) -> Iterator[Tree]:
    for name in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(name) or ()


def _failed(status: Tree) -> NoAnswer:
    if status.get("reason"):  # of the Pod itself: Evicted, DeadlineExceeded, NodeLost
        return NoAnswer(status.get("message") or f"its Pod ended: {status['reason']}", reason=status["reason"])
    for container in _containers(status):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            why = error_line(redact_text(ended.get("message") or "")[0])
            hint = "raise --memory" if ended.get("reason") == "OOMKilled" else None
            return NoAnswer(why or f"exited with status {ended['exitCode']}", hint, ended.get("reason"))
    return NoAnswer("its Pod failed", reason="Failed")


def job_failure(job: Tree) -> NoAnswer | None:
    """Return why a Job will have no more Pods, or None."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return NoAnswer(condition.get("message") or "its Job failed", reason=condition.get("reason") or "Failed")
    return None


def latest_warning(events: Iterable[Tree]) -> NoAnswer | None:
    """Return what the newest warning among events says: a missing mount, a Pod that the cluster rejects."""
    newest: tuple[str, Tree] | None = None
    for event in events:
        when = event.get("lastTimestamp") or event.get("eventTime") or (event.get("metadata") or {}).get("creationTimestamp") or ""
        if event.get("type") == "Warning" and event.get("message") and (newest is None or when >= newest[0]):
            newest = when, event
    if newest is None:
        return None
    why = " ".join(newest[1]["message"].split())[:500]
    hint = next((hint for parts, hint in _WARNINGS if all(part in why for part in parts)), None)
    return NoAnswer(why, hint, newest[1].get("reason"))
