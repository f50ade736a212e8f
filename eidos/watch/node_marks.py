"""A condition or a label on the node's object in Kubernetes, from its findings: for schedulers, autoscalers and whoever drains nodes.

Knows the marks, when they are set and removed, and how often the API server is asked; must not know how findings come about. A mark is
there while a finding at or above a severity fails. One that failed and is unknown now is not known to be gone: its mark stays. Both are
fields that eidos applies (Kubernetes documentation, "Server-Side Apply"), so a mark is removed by applying none, and what others set is
left alone.
"""

from __future__ import annotations

import time

from eidos.kube.labels import FINDINGS_CONDITION, FINDINGS_LABEL
from eidos.model.finding import FAIL, SEVERITIES, UNKNOWN
from eidos.wording import list_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from eidos.kube.api_client import KubeClient
    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

CONDITION, LABEL = "condition", "label"

#: Seconds between two requests for one node, and seconds after which a condition that is as it was says again that somebody looks.
MINIMUM_INTERVAL_S, HEARTBEAT_S = 30.0, 300.0

#: Names of findings in the message of a condition.
MAXIMUM_NAMES = 10


class NodeMarks:
    """The marks of one node: ``kinds`` are :data:`CONDITION` and :data:`LABEL`, ``severity`` the least that is marked.

    ``apply`` sends a document to a path of the API server, in place of the one that was applied there before.
    """

    def __init__(
        self,
        node: str,
        kinds: Iterable[str],
        severity: str,
        apply: Callable[[str, dict[str, Any]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._kinds, self._apply, self._clock = node, tuple(kinds), apply, clock
        self._limit = SEVERITIES.index(severity)
        self._failing: dict[str, str] = {}
        self._since = ""
        self._applied: object = None
        self._applied_at: float | None = None

    def update(self, report: CheckReport) -> None:
        """Make the marks those of a report, unless that was done a moment ago: then a later call does it.

        Raises what ``apply`` raises; the next call tries again.
        """
        self._failing = self._failing_findings(report.findings)
        desired = tuple(sorted(self._failing.items()))
        now = self._clock()
        age = float("inf") if self._applied_at is None else now - self._applied_at
        needs_heartbeat = bool(desired) and CONDITION in self._kinds and age >= HEARTBEAT_S
        if age < MINIMUM_INTERVAL_S or (desired == self._applied and not needs_heartbeat):
            return
        self._applied_at = now
        if not (self._applied and desired):
            self._since = report.timestamp
        path = f"/api/v1/nodes/{self._node}"
        for kind in self._kinds:
            if kind == CONDITION:
                status = {"status": {"conditions": [self._condition(report.timestamp)]}} if self._failing else {}
                self._apply(f"{path}/status", {**self._object(), **status})
            else:
                self._apply(path, self._object(**({"labels": {FINDINGS_LABEL: self._worst()}} if self._failing else {})))
        self._applied = desired

    def _failing_findings(self, findings: Iterable[Finding]) -> dict[str, str]:
        """Id → severity of what fails, and of what failed and is unknown now."""
        return {
            finding.id: finding.severity
            for finding in findings
            if SEVERITIES.index(finding.severity) <= self._limit
            and (finding.status == FAIL or (finding.status == UNKNOWN and finding.id in self._failing))
        }

    def _worst(self) -> str:
        return min(self._failing.values(), key=SEVERITIES.index)

    def _object(self, **metadata: Any) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._node, **metadata}}

    def _condition(self, timestamp: str) -> dict[str, str]:
        """The condition, true as those of Node Problem Detector are while there is a problem."""
        names = sorted(self._failing, key=lambda id: (SEVERITIES.index(self._failing[id]), id))
        condition = {"type": FINDINGS_CONDITION, "status": "True", "reason": f"{self._worst().capitalize()}Findings"}
        message = f"eidos check: {list_first(names, MAXIMUM_NAMES)}"
        return {**condition, "message": message, "lastTransitionTime": self._since, "lastHeartbeatTime": timestamp}


def apply_in_child(connect: Callable[[float], KubeClient], timeout_s: float) -> Callable[[str, dict[str, Any]], object]:
    """A function for :class:`NodeMarks`: each request is sent from a child process, which can be abandoned."""

    def apply(path: str, document: dict[str, Any]) -> None:
        from eidos.process.child import run_in_child

        deadline = time.monotonic() + timeout_s

        def send() -> None:
            client = connect(deadline)
            try:
                client.apply(path, document)
            finally:
                client.close()

        run_in_child(send, deadline)

    return apply
