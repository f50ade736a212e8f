"""Pods of about 8 kB, each another, as many as are wanted; the proportions are those of a GPU node's: a third is ``managedFields``."""

from __future__ import annotations

import json
from typing import Any

#: How many images there are among them.
IMAGES = 40


def _template() -> bytes:
    names = ("trainer", "metrics", "logs")
    env = [{"name": f"SETTING_{number}", "value": f"value-{number}-of-%INDEX%"} for number in range(12)]
    mounts = [{"name": f"volume-{number}", "mountPath": f"/mnt/{number}", "readOnly": number > 1} for number in range(5)]
    containers: list[dict[str, Any]] = [
        {
            "name": name,
            "image": f"registry.example.com/team/{name}:v1.%IMAGE%.0",
            "imagePullPolicy": "IfNotPresent",
            "env": env,
            "volumeMounts": mounts,
            "resources": {"limits": {"cpu": "4", "memory": "16Gi"}, "requests": {"cpu": "2", "memory": "8Gi"}},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
        for name in names
    ]
    owned: dict[str, Any] = {f"k:{json.dumps({'name': each['name']})}": {".": {}, "f:name": {}, "f:value": {}} for each in env}
    fields = {"f:spec": {"f:containers": {f"k:{json.dumps({'name': name})}": {".": {}, "f:image": {}, "f:env": owned} for name in names}}}
    managed = {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z"}
    statuses = [
        {
            "name": name,
            "image": f"registry.example.com/team/{name}:v1.%IMAGE%.0",
            "imageID": f"registry.example.com/team/{name}@sha256:%DIGEST%",
            "containerID": "containerd://%DIGEST%",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
        }
        for name in names
    ]
    conditions = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    tree = {
        "metadata": {
            "name": "pod-%INDEX%",
            "namespace": "team-%TEAM%",
            "uid": "00000000-0000-4000-8000-0000000%INDEX%",
            "resourceVersion": "%INDEX%",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"app": "trainer", "pod-template-hash": "%IMAGE%", "team": "%TEAM%"},
            "managedFields": [{**managed, "fieldsType": "FieldsV1", "fieldsV1": fields}],
        },
        "spec": {
            "nodeName": "gpu-%TEAM%",
            "containers": containers,
            "volumes": [{"name": f"volume-{number}", "emptyDir": {}} for number in range(5)],
            "restartPolicy": "Never",
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": each, "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"} for each in conditions],
            "containerStatuses": statuses,
            "hostIP": "192.0.2.1",
            "podIP": "198.51.100.1",
        },
    }
    return json.dumps(tree, separators=(",", ":")).encode()


_TEMPLATE = _template()


def pod(index: int) -> bytes:
    """The JSON of one; lists of them are in the order of their names."""
    image = b"%d" % (index % IMAGES)
    text = _TEMPLATE.replace(b"%INDEX%", b"%05d" % index).replace(b"%TEAM%", b"%03d" % (index // 100)).replace(b"%IMAGE%", image)
    return text.replace(b"%DIGEST%", b"%064x" % (index % IMAGES))
