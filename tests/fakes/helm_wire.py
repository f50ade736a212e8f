"""What helm and kubectl speak beyond JSON: Secrets in protobuf, the OpenAPI documents that they validate with, strategic merge patches.

Knows the numbers of the fields of a Secret (k8s.io/api, core/v1/generated.proto; apimachinery, runtime/generated.proto and
meta/v1/generated.proto) and the directives of patches (Kubernetes documentation, "Update API Objects in Place Using kubectl patch").
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterable, Iterator
from typing import Any

Tree = dict[str, Any]

PROTOBUF = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


def decode_secret(body: bytes) -> Tree:
    """A Secret from the body of a request in protobuf. Raises ValueError for anything else."""
    if not body.startswith(_MAGIC):
        raise ValueError("no protobuf of Kubernetes")
    envelope = _fields(body[4:])
    if _fields(envelope[1][0])[2] != [b"Secret"]:
        raise ValueError("only Secrets are read in protobuf")
    secret = _fields(envelope[2][0])
    metadata = _fields(secret[1][0])
    names = {1: "name", 2: "generateName", 3: "namespace", 5: "uid", 6: "resourceVersion"}
    tree: Tree = {names[number]: values[0].decode() for number, values in metadata.items() if number in names and values[0]}
    for number, name in ((11, "labels"), (12, "annotations")):
        if metadata.get(number):
            tree[name] = {key: value.decode() for key, value in _map(metadata[number])}
    data = {key: base64.b64encode(value).decode() for key, value in _map(secret.get(2, []))}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": tree, "data": data, "type": secret.get(3, [b"Opaque"])[0].decode()}


def _map(entries: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    for entry in entries:
        fields = _fields(entry)
        yield fields[1][0].decode(), fields.get(2, [b""])[0]


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """Number → values of the fields that are bytes; numbers are passed over."""
    fields: dict[int, list[bytes]] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            size, at = _varint(message, at)
            fields.setdefault(key >> 3, []).append(message[at : at + size])
            at += size
        else:
            raise ValueError(f"wire type {kind}")
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def openapi(path: str, kinds: dict[tuple[str, str], tuple[str, bool]]) -> Tree | None:
    """The index of OpenAPI documents, or that of one group version: enough for a client to know that the server validates fields."""
    versions = {("api/" if "/" not in version else "apis/") + version: version for version, _ in kinds}
    if path == "openapi/v3":
        return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash=0"} for name in versions}}
    version = versions.get(path[len("openapi/v3/") :])
    if version is None:
        return None
    group, _, short = version.rpartition("/")
    paths = {}
    for (at, resource), (kind, namespaced) in kinds.items():
        if at == version:
            names = ("dryRun", "fieldManager", "fieldValidation", "force")
            patch = {
                "x-kubernetes-group-version-kind": {"group": group, "version": short, "kind": kind},
                "parameters": [{"name": name, "in": "query"} for name in names],
            }
            where = "namespaces/{namespace}/" if namespaced else ""
            paths[f"/{'apis' if group else 'api'}/{version}/{where}{resource}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.2"}, "paths": paths}


def strategic_merge(tree: Any, patch: Any) -> Any:
    """A strategic merge patch applied. Items of lists that have a name are merged by it, other lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value):
            result[key] = _merged_items(result.get(key) or [], value)
        else:
            result[key] = strategic_merge(result.get(key), value)
    return result


def _merged_items(items: list[Tree], patches: list[Tree]) -> list[Tree]:
    merged = {item.get("name"): item for item in items}
    for patch in patches:
        if patch.get("$patch") == "delete":
            merged.pop(patch["name"], None)
        else:
            merged[patch["name"]] = strategic_merge(merged.get(patch["name"]), patch)
    return list(merged.values())
