"""What follows workloads and definitions in a real cluster, for a fake API server: Deployments become ready, custom kinds become known.

Knows statuses as the controllers of Kubernetes write them; what is named in ``broken`` stays as it is.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.fakes.apiserver import ApiServer

Tree = dict[str, Any]

#: Kinds that charts use, besides those that every fake cluster knows.
KINDS = (
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim", True),
    ("apps/v1", "statefulsets", "StatefulSet", True),
    ("apps/v1", "replicasets", "ReplicaSet", True),
    ("storage.k8s.io/v1", "storageclasses", "StorageClass", False),
    ("storage.k8s.io/v1", "csidrivers", "CSIDriver", False),
    ("storage.k8s.io/v1", "csinodes", "CSINode", False),
    ("apiregistration.k8s.io/v1", "apiservices", "APIService", False),
    ("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False),
    ("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False),
    ("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", False),
    ("v1", "resourcequotas", "ResourceQuota", True),
    ("resource.k8s.io/v1", "deviceclasses", "DeviceClass", False),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", False),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", False),
)

#: Kinds of custom resources that the fake knows without a definition; here they come with theirs.
_CUSTOM = (("nvidia.com/v1", "clusterpolicies"), ("nvidia.com/v1alpha1", "nvidiadrivers"), ("mellanox.com/v1alpha1", "nicclusterpolicies"))


class WorkloadControllers:
    """Plays them, from the start on."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        #: Names of workloads that never become ready.
        self.broken: set[str] = set()
        for version, resource, kind, namespaced in KINDS:
            server.kind(version, resource, kind, namespaced)
        for version, resource in _CUSTOM:
            server.kind(version, resource, "")
        server.on_change(self._follow)

    def _follow(self, event: str, path: str, tree: Tree) -> None:
        kind = tree["kind"]
        if kind == "CustomResourceDefinition":
            self._define(event, path, tree)
        elif kind == "ClusterPolicy":
            self._operate(event, tree)
        elif event != "DELETED" and kind == "Service" and "clusterIP" not in tree.get("spec", {}):
            self.server.put(path, {**copy.deepcopy(tree), "spec": {**tree.get("spec", {}), "clusterIP": "192.0.2.10"}})
        elif event != "DELETED" and kind == "Job":
            self._put(path, tree, {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]})
        elif event != "DELETED" and kind in ("Deployment", "DaemonSet", "StatefulSet") and tree["metadata"]["name"] not in self.broken:
            count = tree.get("spec", {}).get("replicas", 1)
            ready = {
                "replicas": count, "readyReplicas": count, "availableReplicas": count, "updatedReplicas": count,
                "conditions": [
                    {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                    {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
                ],
            }  # fmt: skip
            daemon = {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}
            # helm 4 asks of which generation the status of a DaemonSet is.
            numbered = {**tree, "metadata": {**tree["metadata"], "generation": 1}}
            if kind == "DaemonSet":
                rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}  # what the server fills in
                numbered["spec"] = {**tree["spec"], "updateStrategy": {**rolling, **tree["spec"].get("updateStrategy", {})}}
                self._put(path, numbered, {**daemon, "numberReady": 1, "observedGeneration": 1})
            else:
                if kind == "Deployment":  # what the server fills in, and helm 3 reads
                    strategy = {"type": "RollingUpdate", **tree["spec"].get("strategy", {})}
                    if strategy["type"] == "RollingUpdate":
                        strategy = {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}, **strategy}
                    tree = {**tree, "spec": {**tree["spec"], "replicas": count, "strategy": strategy}}
                self._put(path, tree, ready)
            if kind == "Deployment":
                self._replica_set(path, tree, count)

    def _operate(self, event: str, policy: Tree) -> None:
        """What the operator creates for its policy, unless that is broken: a DaemonSet."""
        name = "nvidia-operator-validator"
        path = f"/apis/apps/v1/namespaces/gpu-operator/daemonsets/{name}"
        if event == "DELETED":
            self.server.remove(path)
        elif name not in self.broken and not any(
            tree["metadata"]["name"] == name for tree in self.server.objects("/apis/apps/v1/daemonsets")
        ):
            owner = {"apiVersion": policy["apiVersion"], "kind": "ClusterPolicy", "name": policy["metadata"]["name"], "controller": True}
            pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "registry.example.com/a:1"}]}}
            spec = {"selector": {"matchLabels": {"app": name}}, "template": pod}
            self.server.put(path, {"metadata": {"ownerReferences": [owner]}, "spec": spec})

    def _replica_set(self, path: str, tree: Tree, count: int) -> None:
        """The one of the current template: helm 3 takes a Deployment for ready when this one is."""
        metadata = tree["metadata"]
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        template = copy.deepcopy(tree["spec"]["template"])
        made = {
            "metadata": {"labels": template.get("metadata", {}).get("labels", {}), "ownerReferences": [owner]},
            "spec": {"replicas": count, "selector": tree["spec"]["selector"], "template": template},
            "status": {"replicas": count, "readyReplicas": count},
        }
        self.server.put(f"{path.replace('/deployments/', '/replicasets/')}-1", made)

    def _define(self, event: str, path: str, tree: Tree) -> None:
        spec = tree["spec"]
        for version in spec["versions"]:
            name = f"{spec['group']}/{version['name']}", spec["names"]["plural"]
            if event == "DELETED":
                for each in self.server.objects(f"/apis/{name[0]}/{name[1]}"):
                    home = each["metadata"].get("namespace")
                    inside = f"namespaces/{home}/" if home else ""
                    self.server.remove(f"/apis/{name[0]}/{inside}{name[1]}/{each['metadata']['name']}")
                if name in self.server.store.kinds:
                    self.server.kind(*name, "")
            else:
                self.server.kind(*name, spec["names"]["kind"], spec["scope"] == "Namespaced")
        if event != "DELETED":
            conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]
            self._put(path, tree, {"conditions": conditions, "acceptedNames": spec["names"], "storedVersions": [version["name"]]})

    def _put(self, path: str, tree: Tree, status: Tree) -> None:
        if tree.get("status") != status:
            self.server.put(path, {**copy.deepcopy(tree), "status": status})
