"""Manifests that an API server accepts: every custom resource against the schema of its definition, with no field too many.

The definitions lie beside the repository, by version of the chart that brings them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.bundle.test_charts import ALIKE, FLAGS
from tests.support.bundle_files import RECIPES, data_of, each_recipe, each_recipe_of, files_of_tree, made, recipe

pytestmark = pytest.mark.slow

#: Component → folder of its definitions among the fixtures, by version of its chart.
DEFINITIONS = {"gpu-operator": "gpu-operator/{}", "network-operator": "network-operator/v{}", "nim-operator": "k8s-nim-operator/v{}"}

#: Kinds that every cluster knows; they have no definition to validate against.
BUILT_IN = {
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "Deployment",
    "DaemonSet",
    "DeviceClass",
    "Pod",
    "Role",
    "RoleBinding",
    "ServiceAccount",
    "StorageClass",
}


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused, as ``kubectl apply --validate=strict`` does, and quantities taken as text or number."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) if key not in ("enum", "default") else value for key, value in schema.items()}
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("type", None)
        # A pattern is for text alone, and has no say about numbers.
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    free = schema.pop("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in schema and not free and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
    # Go's regular expressions and its formats are not Python's; what of them matters here are patterns that both know.
    schema.pop("format", None)
    return schema


def schemas(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) → schema, for all definitions below a folder."""
    schemas: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        spec = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
            schema["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"})
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = closed(schema)
    return schemas


_read: dict[Path, dict[tuple[str, str], dict[str, Any]]] = {}


def faults(shared: Path, component: str, version: str, document: dict[str, Any]) -> Iterator[str]:
    folder = shared / "crds" / DEFINITIONS[component].format(ALIKE.get((component, version), version))
    if folder not in _read:
        _read[folder] = schemas(folder)
    key = document["apiVersion"], document["kind"]
    if key not in _read[folder]:
        yield f"{component} {version} defines no {' '.join(key)}"
        return
    for error in jsonschema.Draft202012Validator(_read[folder][key]).iter_errors(document):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"


#: Recipes with a component that has custom resources of ours in every bundle; some clouds run those themselves.
WITH_CUSTOM_RESOURCES = [path for path in RECIPES if any(f"id: {id}\n" in path.read_text() for id in ("gpu-operator", "network-operator"))]


@pytest.mark.shared
@each_recipe_of(WITH_CUSTOM_RESOURCES)
@pytest.mark.parametrize("flags", [{}, FLAGS], ids=["plain", "with-flags"])
def test_custom_resources_are_as_their_definitions_say(shared: Path, path: Path, flags: dict[str, Any]) -> None:
    files = files_of_tree(recipe(path), **flags)
    checked = 0
    for entry in recipe(path)["components"]:
        for name in files:
            if name.startswith(f"{entry['id']}/manifests/"):
                for document in data_of(files, name):
                    if document["kind"] not in BUILT_IN:
                        assert list(faults(shared, entry["id"], entry["version"], document)) == [], name
                        checked += 1
    assert checked, "at least the ClusterPolicy"


@each_recipe
def test_manifests_are_resources(path: Path) -> None:
    for name in made(path):
        if "/manifests/" in name:
            for document in data_of(made(path), name):
                assert isinstance(document["apiVersion"], str) and isinstance(document["kind"], str)
                assert document["metadata"]["name"], name
                assert list(nulls(document)) == [], name


def nulls(tree: Any, above: str = "") -> Iterator[str]:
    """Paths of what is null in a document; the API server refuses it in most fields."""
    if tree is None:
        yield above
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in entries:
        yield from nulls(value, f"{above}.{key}")


@pytest.mark.parametrize(
    "setting",
    [
        "driver.version=null",
        "driver=null",
        "driver.env=[{name: A, value: null}, null]",
        "driver.kernelModuleConfig={name: null}",
        "daemonsets.tolerations=null",
        "toolkit.version=null",
        "operator.runtimeClass=null",
    ],
)
def test_a_value_without_which_helm_does_is_no_field_of_a_manifest(setting: str) -> None:
    path = next(path for path in RECIPES if path.stem == "self-managed-gh200-training")
    files = files_of_tree(recipe(path), sets=(f"gpu-operator:{setting}",))
    key = setting.partition("=")[0].split(".")
    value = data_of(files, "gpu-operator/values.yaml")[0]
    for part in key:
        value = value[part]
    assert list(nulls(value)), "helm gets the null"
    assert list(nulls(data_of(files, "gpu-operator/manifests/clusterpolicy.yaml"))) == []
    assert b"None" not in files["gpu-operator/README.md"][0] and b"null" not in files["gpu-operator/README.md"][0]


@pytest.mark.shared
def test_a_field_too_many_is_reported(shared: Path) -> None:
    policy = {"apiVersion": "mellanox.com/v1alpha1", "kind": "NicClusterPolicy", "metadata": {"name": "a"}, "spec": {"ofed": {}}}
    assert list(faults(shared, "network-operator", "26.1.0", policy)) == [
        "spec: Additional properties are not allowed ('ofed' was unexpected)"
    ]
    policy["spec"] = {"nvIpam": {"image": "a", "repository": "b", "version": 26.1}}
    assert list(faults(shared, "network-operator", "26.1.0", policy)) == ["spec.nvIpam.version: 26.1 is not of type 'string'"]
