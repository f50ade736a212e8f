"""Objects that runs left in the cluster because they were killed: which there are, and how they are removed.

Knows labels, ages and the order of removal; must not know what a run does, nor how its results are shown.

A run marks what it creates with its number (a label) and its lifetime (an annotation), after which it is over for certain, because it ends
itself before. The times compared are those of the API server: its ``Date`` and the newest creation timestamp of the run. So a wrong clock
here removes nothing of a run that still works. Runs with ``--keep`` are never over.

>>> role = {"metadata": {"name": "a", "labels": {RUN_LABEL: "0a1b2c3d"}, "creationTimestamp": "2026-11-23T06:00:00Z"}}
>>> role["metadata"]["annotations"] = {LIFETIME_ANNOTATION: "900"}
>>> [(run.number, run.state, run.remaining_s) for run in judge_runs([("/x", role)], 1795413600.0 + 600)]
[('0a1b2c3d', 'running', 300.0)]
>>> [run.state for run in judge_runs([("/x", role)], 1795413600.0 + 900)]
['over']
"""

from __future__ import annotations

import time

from eidos.errors import EidosError, Timeout
from eidos.fleet.job_runner import LIFETIME_ANNOTATION, REQUEST_S, RUN_LABEL, path_of
from eidos.http_wire.retry import parse_http_date
from eidos.kube.api_client import PAGE_SIZE
from eidos.kube.stored_object import MANAGED_BY
from eidos.model.record import Record
from eidos.timestamp import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from eidos.kube.api_client import KubeClient

    Tree = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io/v1"

#: Kind → version, in the order of removal: first what makes Pods, then their rights. What a run creates first is removed last, so that a
#: run whose removal was interrupted is found again.
KINDS = {
    "Job": "batch/v1",
    "RoleBinding": _RBAC,
    "ClusterRoleBinding": _RBAC,
    "Role": _RBAC,
    "ClusterRole": _RBAC,
    "ServiceAccount": "v1",
    "ConfigMap": "v1",
}

#: The states of a run.
OVER, RUNNING, RETAINED = "over", "running", "retained"

#: Seconds after which a run is over that has no lifetime, because an earlier version of eidos made it.
DEFAULT_LIFETIME_S = 86400.0

#: Programs or documents in a page of their list: they are large.
LARGE_PAGE_SIZE = 20


class EarlierRun(Record):
    """A run with objects in the cluster: their ``paths``, in the order of removal, the age of the newest, and the time until it is over."""

    number: str
    state: str
    paths: tuple[str, ...]
    age_s: float
    remaining_s: float = 0.0


class Leftovers(Record):
    """What was found in a namespace: runs, errors about what could not be listed, and other namespaces that have cluster-wide objects."""

    runs: tuple[EarlierRun, ...]
    errors: tuple[EidosError, ...] = ()
    other_namespaces: tuple[str, ...] = ()


def find_leftovers(client: KubeClient, namespace: str) -> Leftovers:
    """The runs that have objects in ``namespace``; a kind that cannot be listed is an error in the result."""
    objects: list[tuple[str, Tree]] = []
    errors: list[EidosError] = []
    others: set[str] = set()
    for kind, version in KINDS.items():
        collection, _ = path_of({"kind": kind, "apiVersion": version, "metadata": {"namespace": namespace, "name": ""}})
        try:
            size = LARGE_PAGE_SIZE if kind == "ConfigMap" else PAGE_SIZE
            for tree in client.list_objects(collection, label_selector=f"{RUN_LABEL},{MANAGED_BY}=eidos", page_size=size):
                metadata = tree.get("metadata") or {}
                name = str(metadata.get("name") or "")
                if not _is_ours(metadata) or RUN_LABEL not in metadata["labels"]:  # whatever selected it, nothing else is removed
                    continue
                owner = metadata.get("namespace") or name.partition(".")[2]  # see the names in templates/kubernetes/agent.yaml
                if owner == namespace:
                    objects.append((f"{collection}/{name}", {"metadata": {**metadata, "managedFields": None}}))
                elif owner:
                    others.add(owner)
        except EidosError as fault:
            errors.append(fault)
    return Leftovers(tuple(judge_runs(objects, parse_http_date(client.server_date))), tuple(errors), tuple(sorted(others)))


def _is_ours(metadata: Tree) -> bool:
    return bool(metadata.get("name")) and (metadata.get("labels") or {}).get(MANAGED_BY) == "eidos"


def judge_runs(objects: Iterable[tuple[str, Tree]], now: float | None) -> list[EarlierRun]:
    """The runs that these objects (path, object) belong to; ``now`` is the server's time. What has no readable age is not over."""
    runs: dict[str, list[tuple[str, Tree]]] = {}
    for path, tree in objects:
        runs.setdefault(tree["metadata"]["labels"][RUN_LABEL], []).append((path, tree["metadata"]))
    return [_judge(number, members, now) for number, members in sorted(runs.items())]


def _judge(number: str, members: list[tuple[str, Tree]], now: float | None) -> EarlierRun:
    paths = tuple(path for path, _ in members)
    texts = [str(text) for _, metadata in members if (text := (metadata.get("annotations") or {}).get(LIFETIME_ANNOTATION)) is not None]
    lifetimes = [float(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= 9]
    created = [parse_timestamp(str(metadata.get("creationTimestamp"))) for _, metadata in members]
    is_ours = len(number) == 8 and not set(number) - set("0123456789abcdef")  # others may use the label for what they apply
    age_s = max(0.0, min(now - time_ for time_ in created if time_ is not None)) if now is not None and None not in created else 0.0
    if len(lifetimes) < len(texts) or not (texts or is_ours):  # LIFETIME_UNLIMITED, or nothing that eidos writes
        return EarlierRun(number, RETAINED, paths, age_s)
    remaining_s = max(lifetimes, default=DEFAULT_LIFETIME_S) - age_s
    return EarlierRun(number, RUNNING if remaining_s > 0 else OVER, paths, age_s, max(0.0, remaining_s))


def remove_run(client: KubeClient, namespace: str, run: EarlierRun, request_s: float = REQUEST_S) -> tuple[list[str], list[EidosError]]:
    """Remove the objects of a run and its snapshots; the paths of what was removed, and an error for each that was not.

    There may be thousands, so each request has its own ``request_s`` seconds, and the first that gets no answer in them is the last.
    """
    removed: list[str] = []
    errors: list[EidosError] = []
    last = [path for path in run.paths if "/serviceaccounts/" in path or "/configmaps/" in path]
    first = [path for path in run.paths if path not in last]
    client.deadline = time.monotonic() + request_s
    try:
        first += _snapshots(client, namespace, run.number)
    except EidosError as fault:
        errors.append(fault)
    for paths in (first, last):
        if paths is last and errors:  # so that the rest is found again
            break
        for path in paths:
            client.deadline = time.monotonic() + request_s
            try:
                if client.delete(path):
                    removed.append(path)
            except EidosError as fault:
                errors.append(fault)
                if isinstance(fault, Timeout):
                    return removed, errors
    return removed, errors


def _snapshots(client: KubeClient, namespace: str, number: str) -> list[str]:
    """Paths of the documents that the Jobs of a run wrote, and of their parts: they have its number in their names."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    listed = client.list_objects(path, label_selector=f"{MANAGED_BY}=eidos,!{RUN_LABEL}", page_size=LARGE_PAGE_SIZE)
    names = [str(metadata["name"]) for metadata in (tree.get("metadata") or {} for tree in listed) if _is_ours(metadata)]
    return [f"{path}/{name}" for name in names if name.startswith(f"eidos-{number}-")]
