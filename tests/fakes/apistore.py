"""What a fake cluster holds: objects by path, versions, owners of fields, and what happened; the rules are those of kube-apiserver 1.36.

Lists are one value in the eyes of ``apply``: who owns what inside them is not told apart.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Tree = dict[str, Any]

#: Kinds that the API server brings: group version, resource, kind, whether it stands in a namespace.
KINDS = (
    ("v1", "configmaps", "ConfigMap", True),
    ("v1", "secrets", "Secret", True),
    ("v1", "pods", "Pod", True),
    ("v1", "services", "Service", True),
    ("v1", "serviceaccounts", "ServiceAccount", True),
    ("v1", "events", "Event", True),
    ("v1", "nodes", "Node", False),
    ("v1", "namespaces", "Namespace", False),
    ("apps/v1", "deployments", "Deployment", True),
    ("apps/v1", "daemonsets", "DaemonSet", True),
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True),
    ("batch/v1", "jobs", "Job", True),
    ("batch/v1", "cronjobs", "CronJob", True),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", True),
    ("networking.k8s.io/v1", "ingresses", "Ingress", True),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", True),
    ("rbac.authorization.k8s.io/v1", "roles", "Role", True),
    ("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding", True),
    ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", False),
    ("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", False),
    ("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", False),
    ("nvidia.com/v1", "clusterpolicies", "ClusterPolicy", False),
    ("nvidia.com/v1alpha1", "nvidiadrivers", "NVIDIADriver", False),
    ("mellanox.com/v1alpha1", "nicclusterpolicies", "NicClusterPolicy", False),
)

#: Their items carry kind and version in a list too.
CUSTOM = ("nvidia.com", "mellanox.com")

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

#: Bytes: what a ConfigMap or a Secret may hold.
DATA_LIMIT = 1 << 20


class Refused(Exception):
    """An answer with a Status of its own."""

    def __init__(self, code: int, reason: str, message: str, details: Tree | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status(code, reason, message, details, **metadata)


def status(code: int, reason: str, message: str, details: Tree | None = None, **metadata: str) -> Tree:
    """A failure, as the API server writes it."""
    body: Tree = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "message": message}
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = details
    return {**body, "code": code}


class ResourcePath(NamedTuple):
    """A path, taken apart: ``version`` is ``v1`` or ``group/version``."""

    version: str
    resource: str
    namespace: str
    name: str
    sub: str

    @property
    def group(self) -> str:
        """The API group; empty for the core one."""
        return self.version.rpartition("/")[0]

    @property
    def collection(self) -> tuple[str, str]:
        """Where objects of this kind lie, of all namespaces."""
        return self.version, self.resource

    @property
    def qualified(self) -> str:
        """The resource as messages name it, like ``jobs.batch``."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def details(self, kind: str = "") -> Tree:
        """Of a Status."""
        details = {"name": self.name, "group": self.group, "kind": kind or self.resource}
        return {name: value for name, value in details.items() if value}

    def path(self) -> str:
        """Written again."""
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return ("/apis/" if self.group else "/api/") + self.version + inside + "".join(f"/{part}" for part in self[1:2] + self[3:] if part)


def parse_resource_path(path: str) -> ResourcePath | None:
    """Take a path apart; None for what names no resource."""
    parts = path.strip("/").split("/")
    taken = 2 if parts[0] == "api" else 3 if parts[0] == "apis" else 0
    if not taken or len(parts) <= taken:
        return None
    version, rest = "/".join(parts[1:taken]), parts[taken:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    rest += ["", "", ""]
    return ResourcePath(version, rest[0], namespace, rest[1], rest[2])


class Event(NamedTuple):
    """Something that happened; ``before`` is the object as it was."""

    version: int
    collection: tuple[str, str]
    type: str
    object: Tree
    before: Tree | None


class Made(NamedTuple):
    """Objects that are made when they are asked for: ``make`` gives the JSON of the one with a number."""

    total: int
    make: Callable[[int], bytes]


class Store:
    """All of it. ``changed`` is notified of every event, under its lock."""

    def __init__(self) -> None:
        self.version = 900
        self.clock_ahead_s = 0.0  # of the server's clock, which stamps objects and responses
        self.oldest = 0  # what a watch or a list may go on from
        self.changed = threading.Condition(threading.RLock())
        self.events: list[Event] = []
        self.kinds = {(version, resource): (kind, namespaced) for version, resource, kind, namespaced in KINDS}
        self.made: dict[tuple[str, str], Made] = {}
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Tree]] = {}
        self._owners: dict[str, dict[tuple[str, str], set[tuple[str, ...]]]] = {}

    # ---- reading ----

    def known(self, at: ResourcePath) -> bool:
        """Whether there is such a kind."""
        return at.collection in self.kinds

    def get(self, at: ResourcePath) -> Tree:
        """One object; Refused when it is not there."""
        tree = self._objects.get(at.collection, {}).get((at.namespace, at.name))
        if tree is None:
            raise Refused(404, "NotFound", f'{at.qualified} "{at.name}" not found', at.details())
        return tree

    def all(self, at: ResourcePath) -> list[Tree]:
        """The objects of a collection, in the order of their keys."""
        objects = self._objects.get(at.collection, {})
        return [objects[key] for key in sorted(objects) if at.namespace in ("", key[0])]

    def page(self, at: ResourcePath, query: Tree) -> tuple[Tree, list[bytes]]:
        """The metadata of a list, and its items, each as JSON."""
        made = self.made.get(at.collection)
        try:
            limit = int(query.get("limit") or 0)
        except ValueError:
            raise Refused(400, "BadRequest", f'strconv.ParseInt: parsing "{query["limit"]}": invalid syntax') from None
        start = self._token(query["continue"]) if query.get("continue") else None
        selects = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if made is not None:
            first = int(start or 0)
            last = min(made.total, first + (limit or made.total))
            items, more, key = [made.make(index) for index in range(first, last)], made.total - last, str(last)
        else:
            matches = [each for each in self.all(at) if selects(each)]
            matches = [each for each in matches if start is None or _key(each) > start]
            if limit and query.get("resourceVersion") != "0":
                more, matches = max(0, len(matches) - limit), matches[:limit]
            else:
                more = 0
            key = _key(matches[-1]) if matches else ""
            kind = self.kinds[at.collection][0]
            items = [dump(_typed(each, at.version, kind) if at.group in CUSTOM else _bare(each)) for each in matches]
        metadata: Tree = {"resourceVersion": str(self.version)}
        if more:
            metadata["continue"] = token(self.version, key)
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = more
        return metadata, items

    def _token(self, text: str) -> str:
        try:
            tree = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            version, start = tree["rv"], tree["start"]
        except (ValueError, TypeError, KeyError):
            message = "invalid continue token: continue key is not valid: invalid character '\\u0081' looking for beginning of value"
            raise Refused(400, "BadRequest", message) from None
        if 0 <= version < self.oldest:
            message = (
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
                "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with "
                "the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the "
                "first chunk was returned and now may show up in the list."
            )
            raise Refused(410, "Expired", message, None, **{"continue": token(-1, start)})
        return str(start)

    # ---- writing ----

    def put(self, at: ResourcePath, tree: Tree, manager: str = "fake", owns: bool = False) -> Tree:
        """Write an object whatever there was; its namespace comes to be with it."""
        with self.changed:
            if at.namespace and at.resource != "namespaces":
                home = parse_resource_path(f"/api/v1/namespaces/{at.namespace}")
                assert home is not None
                if (("", home.name)) not in self._objects.get(home.collection, {}):
                    self._write(home, {})
            return self._write(at, tree, manager, {(manager, "Update"): set(_leaves(tree))} if owns else None)

    def create(self, at: ResourcePath, tree: Tree, manager: str, dry: bool) -> Tree:
        """POST."""
        with self.changed:
            metadata = tree.setdefault("metadata", {})
            if not metadata.get("name") and metadata.get("generateName"):
                metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
            at = at._replace(name=metadata.get("name", ""))
            self._admit(at, tree)
            if (at.namespace, at.name) in self._objects.get(at.collection, {}):
                raise Refused(409, "AlreadyExists", f'{at.qualified} "{at.name}" already exists', at.details())
            return self._write(at, tree, manager, {(manager, "Update"): set(_leaves(tree))}, dry)

    def replace(self, at: ResourcePath, tree: Tree, manager: str, dry: bool) -> Tree:
        """PUT."""
        with self.changed:
            old = self.get(at)
            version = tree.get("metadata", {}).get("resourceVersion")
            if version and version != old["metadata"]["resourceVersion"]:
                message = (
                    f'Operation cannot be fulfilled on {at.qualified} "{at.name}": the object has been modified; '
                    "please apply your changes to the latest version and try again"
                )
                raise Refused(409, "Conflict", message, at.details())
            self._admit(at, tree)
            return self._update(at, tree, manager, dry)

    def merge(self, at: ResourcePath, patch: Tree, manager: str, dry: bool) -> Tree:
        """PATCH, as RFC 7386 has it."""
        with self.changed:
            tree = _merged(self.get(at), patch)
            self._admit(at, tree)
            return self._update(at, tree, manager, dry)

    def apply(self, at: ResourcePath, tree: Tree, manager: str, force: bool, dry: bool) -> tuple[Tree, bool]:
        """Server-side apply: the object, and whether it is new."""
        with self.changed:
            if not manager:
                problem = {
                    "reason": "FieldValueRequired",
                    "message": "Required value: is required for apply patch",
                    "field": "fieldManager",
                }
                message = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
                raise Refused(422, "Invalid", message, {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [problem]})
            name = tree.get("metadata", {}).get("name", at.name)
            if name != at.name:
                raise Refused(400, "BadRequest", f"the name of the object ({name}) does not match the name on the URL ({at.name})")
            self._admit(at, tree)
            mine, leaves = (manager, "Apply"), dict(_leaves(tree).items())
            old = self._objects.get(at.collection, {}).get((at.namespace, at.name))
            if old is None:
                return self._write(at, tree, manager, {mine: set(leaves)}, dry), True
            owners = copy.deepcopy(self._owners.get(old["metadata"]["uid"], {}))
            before = _leaves(old)
            clash = [
                (owner, path) for owner, paths in owners.items() if owner != mine for path in sorted(paths & set(leaves))
                if before.get(path) != leaves[path]
            ]  # fmt: skip
            if clash and not force:
                raise _conflict(clash, at.version)
            for owner, path in clash:
                owners[owner].discard(path)
            result = copy.deepcopy(old)
            others = set().union(*[paths for owner, paths in owners.items() if owner != mine])
            for path in owners.get(mine, set()) - set(leaves) - others:
                _drop(result, path)
            for path, value in leaves.items():
                _set(result, path, value)
            owners[mine] = set(leaves)
            return self._write(at, result, manager, owners, dry), False

    def delete(self, at: ResourcePath, orphan: bool = False) -> Tree:
        """Take an object away, and what it owns; the Status that says so."""
        with self.changed:
            gone = self.get(at)
            del self._objects[at.collection][at.namespace, at.name]
            self.version += 1
            gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
            self._happened(at, "DELETED", gone, gone)
            uid = gone["metadata"]["uid"]
            for collection, objects in [] if orphan else list(self._objects.items()):
                for (namespace, name), each in list(objects.items()):
                    owned = any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences", ()))
                    if owned or (at.collection == ("v1", "namespaces") and namespace == at.name):
                        self.delete(ResourcePath(*collection, namespace, name, ""))
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {**at.details(), "uid": uid}}

    def _admit(self, at: ResourcePath, tree: Tree) -> None:
        kind = self.kinds[at.collection][0]
        if not at.name:
            raise Refused(422, "Invalid", f'{kind} "" is invalid: metadata.name: Required value: name or generateName is required')
        if tree.get("kind", kind) != kind or tree.get("apiVersion", at.version) != at.version:
            message = f"the API version in the data ({tree.get('apiVersion')}) does not match the expected API version ({at.version})"
            raise Refused(400, "BadRequest", message)
        inside = tree.get("metadata", {}).get("namespace")
        if at.namespace and inside and inside != at.namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise Refused(400, "BadRequest", message)
        if at.namespace and ("", at.namespace) not in self._objects.get(("v1", "namespaces"), {}):
            details = {"name": at.namespace, "kind": "namespaces"}
            raise Refused(404, "NotFound", f'namespaces "{at.namespace}" not found', details)
        if not NAME.fullmatch(at.name) and at.group != "rbac.authorization.k8s.io":
            message = (
                f"Invalid value: \"{at.name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
                "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            )
            raise self._invalid(at, "FieldValueInvalid", message, "metadata.name")
        texts, blobs = ("data", "binaryData") if at.resource == "configmaps" else ("stringData", "data")
        held = sum(len(value.encode()) for value in (tree.get(texts) or {}).values())
        held += sum(len(value) * 3 // 4 - value.count("=") for value in (tree.get(blobs) or {}).values())
        if at.resource in ("configmaps", "secrets") and held > DATA_LIMIT:
            raise self._invalid(at, "FieldValueTooLong", "Too long: may not be more than 1048576 bytes", "[]")

    def _invalid(self, at: ResourcePath, reason: str, message: str, field: str) -> Refused:
        kind = self.kinds[at.collection][0]
        shown = f"{kind}.{at.group}" if at.group else kind
        causes = [{"reason": reason, "message": message, "field": field}]
        return Refused(422, "Invalid", f'{shown} "{at.name}" is invalid: {field}: {message}', {**at.details(kind), "causes": causes})

    def _update(self, at: ResourcePath, tree: Tree, manager: str, dry: bool) -> Tree:
        old = self.get(at)
        before, after = _leaves(old), _leaves(tree)
        owners = copy.deepcopy(self._owners.get(old["metadata"]["uid"], {}))
        changed = {path for path, value in after.items() if before.get(path) != value}
        for paths in owners.values():
            paths -= changed | (set(before) - set(after))
        owners.setdefault((manager, "Update"), set()).update(changed)
        return self._write(at, tree, manager, owners, dry)

    def _write(self, at: ResourcePath, tree: Tree, manager: str = "", owners: dict[Any, Any] | None = None, dry: bool = False) -> Tree:
        """Every change ends here; the version moves on only when there is one."""
        objects = self._objects.setdefault(at.collection, {})
        old = objects.get((at.namespace, at.name))
        kind = self.kinds[at.collection][0]
        fields = {name: value for name, value in tree.items() if name not in ("kind", "apiVersion", "metadata")}
        metadata: Tree = {"name": at.name, **({"namespace": at.namespace} if at.namespace else {})}
        was = old["metadata"] if old else {}
        metadata["uid"] = was.get("uid") or tree.get("metadata", {}).get("uid") or str(uuid.uuid4())
        metadata["resourceVersion"] = was.get("resourceVersion", "")
        metadata["creationTimestamp"] = was.get("creationTimestamp") or time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.clock_ahead_s)
        )
        metadata.update(
            {name: value for name, value in tree.get("metadata", {}).items() if name not in metadata and name != "managedFields"}
        )
        if owners is not None:
            metadata["managedFields"] = [
                _managed(owner, paths, at.version) for owner, paths in sorted(owners.items(), key=lambda item: item[0][1]) if paths
            ]
        elif "managedFields" in was:
            metadata["managedFields"] = was["managedFields"]
        new = {"kind": kind, "apiVersion": at.version, "metadata": metadata, **copy.deepcopy(fields)}
        if old is not None and _without_times(old) == _without_times(new):
            return old
        if dry:
            if not old:
                del metadata["resourceVersion"]
            return new
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        objects[at.namespace, at.name] = new
        if owners is not None:
            self._owners[metadata["uid"]] = owners
        self._happened(at, "MODIFIED" if old else "ADDED", new, old)
        return new

    def _happened(self, at: ResourcePath, what: str, new: Tree, old: Tree | None) -> None:
        self.events.append(Event(self.version, at.collection, what, new, old))
        self.changed.notify_all()

    def expire(self) -> None:
        """Forget the past: tokens and versions from before now are too old."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.changed.notify_all()


# ---- selectors ----


def selector(labels: str, fields: str) -> Callable[[Tree], bool]:
    """What decides which objects are meant (Kubernetes documentation, Labels and Selectors; Field Selectors)."""
    tests = [_label(each.strip()) for each in re.split(r",(?![^(]*\))", labels) if each.strip()]
    tests += [_field(each.strip()) for each in fields.split(",") if each.strip()]
    return lambda tree: all(test(tree) for test in tests)


def _label(text: str) -> Callable[[Tree], bool]:
    def value(tree: Tree, key: str) -> Any:
        return (tree["metadata"].get("labels") or {}).get(key)

    match = re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", text)
    if match:
        key, how, among = match[1], match[2], {each.strip() for each in match[3].split(",")}
        return lambda tree: (value(tree, key) in among) == (how == "in")
    match = re.fullmatch(r"([^=!\s]+)\s*(==|=|!=)\s*(\S*)", text)
    if match:
        key, how, expected = match[1], match[2], match[3]
        return lambda tree: (value(tree, key) == expected) == (how != "!=")
    if text.startswith("!"):
        return lambda tree: value(tree, text[1:]) is None
    if re.fullmatch(r"[\w./-]+", text):
        return lambda tree: value(tree, text) is not None
    raise Refused(400, "BadRequest", f'unable to parse requirement: found "{text}"')


def _field(text: str) -> Callable[[Tree], bool]:
    match = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", text)
    if match is None:
        raise Refused(400, "BadRequest", f"invalid selector: '{text}'; can't understand '{text}'")

    def test(tree: Tree) -> bool:
        at: Any = tree
        for part in match[1].split("."):
            at = at.get(part) if isinstance(at, dict) else None
        return (str(at if at is not None else "") == match[3]) == (match[2] != "!=")

    return test


# ---- trees ----


def dump(tree: Any) -> bytes:
    """Compact, as the API server writes for programs."""
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()


def token(version: int, key: str) -> str:
    """What a list goes on with."""
    return base64.urlsafe_b64encode(dump({"v": "meta.k8s.io/v1", "rv": version, "start": key})).decode().rstrip("=")


def _key(tree: Tree) -> str:
    metadata = tree["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _bare(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if name not in ("kind", "apiVersion")}


def _typed(tree: Tree, version: str, kind: str) -> Tree:
    return {"apiVersion": version, "kind": kind, **_bare(tree)}


def _without_times(tree: Tree) -> Tree:
    metadata = {name: value for name, value in tree["metadata"].items() if name != "resourceVersion"}
    metadata["managedFields"] = [{**each, "time": ""} for each in metadata.get("managedFields", ())]
    return {**tree, "metadata": metadata}


_UNOWNED = {
    ("kind",), ("apiVersion",), *(("metadata", name) for name in (
        "name", "generateName", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"))
}  # fmt: skip


_CONDITIONS = ("status", "conditions")


def _leaves(tree: Tree) -> dict[tuple[str, ...], Any]:
    """Path → value of all that can be owned; a list is one value, but for that of conditions (``x-kubernetes-list-map-keys: [type]``)."""

    def walk(at: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        if path in _UNOWNED:
            return
        if isinstance(at, dict) and (at or not path):
            for name, value in at.items():
                yield from walk(value, (*path, name))
        elif path == _CONDITIONS and isinstance(at, list) and at:
            for each in at:
                yield (*path, f"[type={each['type']}]"), each
        elif path != ("metadata",):
            yield path, at

    return dict(walk(tree, ()))


def _without_condition(tree: Tree, item: str) -> list[Any]:
    return [each for each in tree.get("status", {}).get("conditions") or () if f"[type={each['type']}]" != item]


def _set(tree: Tree, path: tuple[str, ...], value: Any) -> None:
    if path[:-1] == _CONDITIONS:
        tree.setdefault("status", {})["conditions"] = [*_without_condition(tree, path[-1]), copy.deepcopy(value)]
        return
    for name in path[:-1]:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    tree[path[-1]] = copy.deepcopy(value)


def _drop(tree: Tree, path: tuple[str, ...]) -> None:
    if path[:-1] == _CONDITIONS:
        tree["status"]["conditions"] = _without_condition(tree, path[-1])
        return
    for name in path[:-1]:
        tree = tree.get(name, {})
    tree.pop(path[-1], None)


def _merged(tree: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(tree) if isinstance(tree, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _managed(owner: tuple[str, str], paths: set[tuple[str, ...]], version: str) -> Tree:
    fields: Tree = {}
    for path in sorted(paths):
        at = fields
        for index, name in enumerate(path):
            at = at.setdefault(f"f:{name}", {".": {}} if owner[1] == "Update" and 0 < index + 1 < len(path) and name != "metadata" else {})
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    named = {"manager": owner[0], "operation": owner[1], "apiVersion": version, "time": now}
    return {**named, "fieldsType": "FieldsV1", "fieldsV1": fields}


def _conflict(clash: list[tuple[tuple[str, str], tuple[str, ...]]], version: str) -> Refused:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{owner}" using {version}', "field": "." + ".".join(path)}
        for (owner, _), path in clash
    ]
    count = f"{len(clash)} conflict{'s' if len(clash) > 1 else ''}"
    if len(clash) == 1:
        message = f"{causes[0]['message']}: {causes[0]['field']}"
    else:
        by: dict[str, list[str]] = {}
        for cause in causes:
            by.setdefault(cause["message"].replace("conflict", "conflicts", 1), []).append(f"- {cause['field']}")
        message = "\n".join(f"{message}:\n" + "\n".join(fields) for message, fields in by.items())
    return Refused(409, "Conflict", f"Apply failed with {count}: {message}", {"causes": causes})
