"""What follows a Job in a real cluster: the controller that makes its Pod, the scheduler, and the kubelet that runs it.

A Pod's program is really run: the file that the ConfigMap carries, with the arguments of its container, on a captured host in place of the
node's files, with a kubeconfig in place of the service account. What goes wrong is planted by node; each fault leaves the Pod, or the
events, that a real cluster leaves.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from tests.fakes.apistore import Refused
from tests.support.waiting import AMPLE_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from tests.fakes.apiserver import ApiServer

Tree = dict[str, Any]

RUNS, UNSCHEDULABLE, IMAGE_PULL, NO_POD, NO_CLASS, NO_RUNTIME, MOUNT, HANGS, FAILS, EVICTED, LOST = (
    "runs",
    "unschedulable",
    "image-pull",
    "no-pod",
    "no-class",
    "no-runtime",
    "mount",
    "hangs",
    "fails",
    "evicted",
    "lost",
)

_TAINT = "0/3 nodes are available: 1 node(s) had untolerated taint {x: }, 2 node(s) didn't match Pod's node affinity/selector."
_PULL = 'Back-off pulling image "registry.example.com/none:1"'
_REFUSED = 'Error creating: pods "x" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes (volumes "proc", "sys")'
_CLASS = 'Error creating: pods "x" is forbidden: pod rejected: RuntimeClass "nvidia" not found'
_RUNTIME = (
    'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "nvidia" is configured'
)
_MOUNT = 'MountVolume.SetUp failed for volume "dbus" : hostPath type check failed: /run/dbus is not a directory'


class JobController:
    """Plays all three for a fake API server, from the first Job on; ``roots`` is node → its captured host."""

    def __init__(self, server: ApiServer, folder: Path, roots: dict[str, Path], faults: dict[str, str] | None = None) -> None:
        self.server, self.folder, self.roots, self.faults = server, folder, roots, dict(faults or {})
        #: Jobs that had a Pod at the same time, at most; and arguments of every program that was run.
        self.peak = 0
        self.ran: list[list[str]] = []
        self._alive: set[str] = set()
        self._handled: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._programs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.server.on_change(self._changed)
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        self._end.set()
        for program in self._programs:
            program.kill()
        for thread in self._threads:
            thread.join(AMPLE_S)

    def _changed(self, what: str, _: str, tree: Tree) -> None:
        if (what, tree.get("kind")) == ("DELETED", "RoleBinding"):  # the agent has its rights no more
            run = tree["metadata"]["labels"].get("eidos.dgxc.io/run")
            self.server.fault(lambda line: line.startswith("PATCH") and f"/configmaps/eidos-{run}-" in line, "403", times=-1)
        if tree.get("kind") != "Job":
            return
        name = tree["metadata"]["name"]
        with self._lock:
            if what == "DELETED":
                self._alive.discard(name)
                self._handled.add(name)  # this may be told of before that it was made
            if what != "ADDED" or name in self._handled:  # two requests at once may both tell of it
                return
            self._handled.add(name)
            self._alive.add(name)
            self.peak = max(self.peak, len(self._alive))
        thread = threading.Thread(target=self._run, args=(tree,), daemon=True)
        self._threads.append(thread)
        thread.start()

    # ---- one Job ----

    def _run(self, job: Tree) -> None:
        spec = job["spec"]["template"]["spec"]
        terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        node = terms[0]["matchFields"][0]["values"][0]
        fault = self.faults.get(node, RUNS)
        if fault in (NO_POD, NO_CLASS):
            message = _REFUSED if fault == NO_POD else _CLASS
            self._warn(job["metadata"]["namespace"], job["metadata"]["name"], "FailedCreate", message)
            return
        pod = self._pod(job, node)
        if fault == UNSCHEDULABLE:
            self._put(pod, "Pending", conditions=[self._scheduled("False", "Unschedulable", _TAINT)])
            return
        pod["spec"]["nodeName"] = node
        waiting = {"image-pull": ("ImagePullBackOff", _PULL)}.get(fault, ("ContainerCreating", ""))
        self._put(pod, "Pending", state={"waiting": {"reason": waiting[0], **({"message": waiting[1]} if waiting[1] else {})}})
        if fault == MOUNT:
            self._warn(pod["metadata"]["namespace"], pod["metadata"]["name"], "FailedMount", _MOUNT)
        if fault == NO_RUNTIME:
            self._warn(pod["metadata"]["namespace"], pod["metadata"]["name"], "FailedCreatePodSandBox", _RUNTIME)
        if fault in (IMAGE_PULL, MOUNT, NO_RUNTIME):
            return
        self._put(pod, "Running", state={"running": {"startedAt": "2026-11-23T06:40:04Z"}})
        if fault == EVICTED:
            message = "The node was low on resource: memory."
            self._put(pod, "Failed", reason="Evicted", message=message)
        elif fault == FAILS:
            output = "error: /host: cannot look into it: permission denied\nhint: run as a user who may\n"
            self._put(pod, "Failed", state={"terminated": {"exitCode": 1, "reason": "Error", "message": output}})
        elif fault == LOST:
            self._put(pod, "Succeeded", state={"terminated": {"exitCode": 0, "reason": "Completed"}})
        elif fault == RUNS:
            status, output = self._execute(spec["containers"][0], spec, pod["metadata"]["namespace"], node)
            ended = {"exitCode": status, "reason": "Completed" if status == 0 else "Error", "message": output[-2000:] if status else ""}
            self._put(pod, "Succeeded" if status == 0 else "Failed", state={"terminated": ended})
            self._finish(job, "Complete" if status == 0 else "Failed")

    def _finish(self, job: Tree, how: str) -> None:
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
        if name in self._alive and not self._end.is_set():
            self.server.put(path, {**job, "status": {"conditions": [{"type": how, "status": "True"}]}})
            if name not in self._alive:
                self._withdraw(path)

    def _withdraw(self, path: str) -> None:
        try:
            self.server.remove(path)
        except Refused:
            pass

    def _execute(self, container: Tree, spec: Tree, namespace: str, node: str) -> tuple[int, str]:
        """Run what the container would: the program out of its ConfigMap, on the captured host."""
        volume = next(volume for volume in spec["volumes"] if volume["name"] == "program")
        carried = self.server.get(f"/api/v1/namespaces/{namespace}/configmaps/{volume['configMap']['name']}")
        home = self.folder / uuid.uuid4().hex
        home.mkdir()
        program = home / "eidos.pyz"
        program.write_bytes(base64.b64decode(carried["binaryData"]["eidos.pyz"]))
        arguments = [word.replace("$(NODE_NAME)", node) for word in container["args"]]
        arguments = [f"--root={self.roots[node]}" if word == "--root=/host" else word for word in arguments]
        environ = {"PATH": os.environ["PATH"], "NODE_NAME": node, "HOME": str(home), "KUBECONFIG": str(self.server.kubeconfig(home))}
        with self._lock:
            self.ran.append(arguments)
            running = subprocess.Popen(
                [sys.executable, "-I", str(program), *arguments], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            self._programs.append(running)
        _, output = running.communicate(timeout=AMPLE_S)
        return running.returncode, output.decode()

    # ---- objects ----

    @staticmethod
    def _pod(job: Tree, node: str) -> Tree:
        metadata, template = job["metadata"], job["spec"]["template"]
        labels = {**template["metadata"]["labels"], "job-name": metadata["name"], "batch.kubernetes.io/job-name": metadata["name"]}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{metadata['name'][:50]}-{uuid.uuid4().hex[:5]}",
                "namespace": metadata["namespace"],
                "labels": labels,
                "ownerReferences": [owner],
            },
            "spec": dict(template["spec"]),
        }

    @staticmethod
    def _scheduled(status: str, reason: str = "", message: str = "") -> Tree:
        return {"type": "PodScheduled", "status": status, **({"reason": reason, "message": message} if reason else {})}

    def _put(self, pod: Tree, phase: str, state: Tree | None = None, **status: Any) -> None:
        if self._end.is_set():
            return
        containers = [{"name": "eidos", "state": state, "ready": False, "restartCount": 0}] if state else []
        pod["status"] = {"phase": phase, "conditions": [self._scheduled("True")], "containerStatuses": containers, **status}
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        # Without a lock: the server tells of changes meanwhile, from this thread too.
        if metadata["labels"]["job-name"] in self._alive:
            self.server.put(path, pod)
            if metadata["labels"]["job-name"] not in self._alive:  # removed in between, as the garbage collector would
                self._withdraw(path)

    def _warn(self, namespace: str, name: str, reason: str, message: str) -> None:
        event: Tree = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name[:50]}.{uuid.uuid4().hex[:8]}", "namespace": namespace},
            "involvedObject": {"name": name, "namespace": namespace},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "lastTimestamp": "2026-11-23T06:40:04Z",
        }
        self.server.put(f"/api/v1/namespaces/{namespace}/events/{event['metadata']['name']}", event)
