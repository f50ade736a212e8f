"""From a recipe to files: what is made, in which order, with which values, and what is refused."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eidos import formats
from eidos.errors import InvalidData, InvalidInput
from eidos.model.bundle import Bundle, file_mode
from eidos.model.recipe import Recipe
from eidos.workflow import make_recipe
from tests.support.bundle_files import build, load_documents, load_yaml, shipped_charts
from tests.support.program import ROOT

QUERY = {"os": "ubuntu", "osv": "24.04", "service": "eks", "gpu": "h100", "intent": "training"}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return make_recipe(QUERY)


@pytest.fixture(scope="module")
def tree(recipe: Recipe) -> dict[str, Any]:
    return recipe.to_tree(context=True)


def values(bundle: Bundle, id: str) -> Any:
    return load_yaml(bundle.files[f"{id}/values.yaml"])


def from_tree(tree: dict[str, Any]) -> Recipe:
    return Recipe.from_tree(tree, "recipe.yaml")


# ---- the document ----


def test_a_recipe_comes_back_from_its_document(recipe: Recipe) -> None:
    again = from_tree(formats.from_text(formats.to_yaml(recipe.to_tree(context=True)), "recipe.yaml"))
    assert again.to_tree(context=True) == recipe.to_tree(context=True)


def test_a_recipe_of_the_go_program() -> None:
    """No kind, no components, versions as mappings of numbers."""
    measurements = [
        {"type": "k8s", "subtypes": [{"subtype": "image", "data": {"gpu-operator": "v25.3.3", "driver": "580.82.07"}}]},
        {"type": "K8s", "subtypes": [{"subtype": "config", "data": {"cdi": True, "mig": False, "useOpenKernelModule": True}}]},
    ]
    request = {"os": "ubuntu", "osVersion": {"Major": 24, "Minor": 4, "Precision": 2}, "k8s": {"major": 1, "minor": 33, "patch": 5}}
    recipe = from_tree({"request": request, "matchedRules": ["x"], "measurements": measurements})
    assert recipe.request.to_tree() == {"os": "ubuntu", "osv": "24.04", "k8s": "1.33.5"}
    bundle = build(recipe)
    assert [made.id for made in bundle.components][-1] == "gpu-operator"
    assert not bundle.errors
    driver = values(bundle, "gpu-operator")["driver"]
    assert driver == {"kernelModuleType": "open"}, "the chart of that version has this driver itself"
    assert "nvcr.io/nvidia/driver:580.82.07-ubuntu24.04\n" in bundle.files["images.txt"].decode()
    # The chart is that of the image, not the newest.
    assert b"version='v25.3.3'" in bundle.files["gpu-operator/component.sh"]
    assert not [warning for warning in bundle.warnings if warning.startswith("no component")]


def test_images_that_nothing_deploys_are_named_with_the_component_that_would() -> None:
    images = {"gpu-operator": "v25.3.3", "network-operator": "v26.4.1", "node-feature-discovery": "v0.17.3", "ray-operator": "0.6"}
    subtypes = [{"subtype": "image", "data": images}, {"subtype": "config", "data": {"cdi": True, "rdma": True}}]
    recipe = from_tree({"measurements": [{"type": "K8s", "subtypes": subtypes}]})
    (warning,) = [warning for warning in build(recipe).warnings if warning.startswith("no component")]
    assert warning == (
        "no component of this bundle deploys network-operator v26.4.1, ray-operator 0.6; "
        "add --bundlers cert-manager,kube-prometheus-stack,gpu-operator,network-operator for network-operator"
    )
    more = build(recipe, components=("gpu-operator", "network-operator"))
    assert b"version='26.4.1'" in more.files["network-operator/component.sh"]
    assert not [warning for warning in more.warnings if warning.startswith("no component")]


@pytest.mark.parametrize(
    ("change", "locations"),
    [
        ({"image": "v25.10.1"}, "components.gpu-operator.version is v26.7.0, but K8s.image.gpu-operator is v25.10.1"),
        ({"version": "v25.10.1"}, "components.gpu-operator.version is v25.10.1, but K8s.image.gpu-operator is v26.7.0"),
        ({"values": {"cdi": {"enabled": False}}}, "components.gpu-operator.values.cdi.enabled is false, but K8s.config.cdi is true"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(tree: dict[str, Any], change: dict[str, Any], locations: str) -> None:
    changed = copy.deepcopy(tree)
    component = next(component for component in changed["components"] if component["id"] == "gpu-operator")
    component.update({name: value for name, value in change.items() if name != "image"})
    for measurement in changed["measurements"]:
        for subtype in measurement["subtypes"]:
            if "image" in change and subtype["subtype"] == "image":
                subtype["data"]["gpu-operator"] = change["image"]
    with pytest.raises(InvalidData, match=re.escape(f"the recipe contradicts itself: {locations}")):
        build(from_tree(changed))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "the document is empty"),
        ([], "expected a mapping, found a list"),
        ("text", "expected a mapping, found text"),
        ({"kind": "Snapshot", "measurements": []}, "kind: expected Recipe, found"),
        ({"kind": "Recipe"}, "it has no measurements"),
        ({"measurements": []}, "it has no measurements"),
        ({"measurements": [{"type": "K8s", "subtypes": []}]}, "the recipe has no readings"),
        ({"measurements": [{"type": "Moon"}]}, "unknown type"),
        ({"measurements": {"K8s": {}}}, "measurements: expected a list"),
        ({"measurements": [{"type": "K8s", "subtypes": [{"subtype": "image", "data": {"a": [1]}}]}]}, "expected a scalar, found a list"),
    ],
)
def test_what_is_no_recipe_is_refused(document: Any, says: str) -> None:
    with pytest.raises(InvalidData, match="recipe") as caught:
        from_tree(document)
    assert says in caught.value.message


def subtypes(tree: dict[str, Any]) -> list[tuple[int, int]]:
    return [(i, j) for i, measurement in enumerate(tree["measurements"]) for j, _ in enumerate(measurement["subtypes"])]


@pytest.mark.parametrize("how", ["missing", "empty", "null", "texts", "numbers", "booleans", "odd"])
def test_whatever_becomes_of_a_subtype(tree: dict[str, Any], how: str) -> None:
    """Each gives a bundle, a component that failed, or the documented error; nothing else, and no value of a wrong type."""
    for i, j in subtypes(tree):
        changed = copy.deepcopy(tree)
        subtype = changed["measurements"][i]["subtypes"][j]
        if how == "missing":
            del changed["measurements"][i]["subtypes"][j]
        else:
            spoilt = {"texts": "yes", "numbers": 1.5, "booleans": True, "odd": "x\n: {{ y }} # '\"${HOME}"}
            subtype["data"] = (
                {"empty": {}, "null": None}.get(how) if how in ("empty", "null") else dict.fromkeys(subtype["data"], spoilt[how])
            )
        try:
            bundle = build(from_tree(changed))
        except InvalidData:
            continue
        for path, content in bundle.files.items():
            if path.endswith(".yaml"):
                (load_documents(content))
        for id, reason in bundle.errors.items():
            assert reason, id


def test_a_reading_of_a_wrong_type_is_no_value(tree: dict[str, Any]) -> None:
    changed = copy.deepcopy(tree)
    for measurement in changed["measurements"]:
        for subtype in measurement["subtypes"]:
            if subtype["subtype"] == "config":
                subtype["data"]["cdi"] = "yes"
    bundle = build(from_tree(changed))
    assert "cdi.enabled" in bundle.errors["gpu-operator"]
    assert "boolean" in bundle.errors["gpu-operator"]
    assert not [path for path in bundle.files if path.startswith("gpu-operator/")], "nothing half-made"
    assert b"gpu-operator: " in bundle.files["incomplete.txt"]
    assert "cert-manager/values.yaml" in bundle.files, "the others finish"
    with pytest.raises(InvalidData, match="gpu-operator"):
        build(from_tree(changed), fail_fast=True)


def test_a_reading_that_is_required_is_missing(tree: dict[str, Any]) -> None:
    changed = copy.deepcopy(tree)
    for measurement in changed["measurements"]:
        measurement["subtypes"] = [subtype for subtype in measurement["subtypes"] if subtype["subtype"] != "image"]
    with pytest.raises(InvalidData, match="gpu-operator needs K8s"):
        build(from_tree(changed))


# ---- which, and in which order ----


def test_dependencies_come_along_and_first(recipe: Recipe) -> None:
    bundle = build(recipe, components=("gpu-operator",))
    assert sorted(made.id for made in bundle.components) == ["cert-manager", "gpu-operator", "kube-prometheus-stack"]
    assert bundle.components[-1].id == "gpu-operator"


def test_the_order_is_that_of_dependencies_whatever_the_recipe_says(tree: dict[str, Any]) -> None:
    changed = copy.deepcopy(tree)
    changed["components"].reverse()
    order = [made.id for made in build(from_tree(changed)).components]
    for component in changed["components"]:
        for needed in component.get("depends", ()):
            assert order.index(needed) < order.index(component["id"])


def test_what_serves_volumes_goes_before_what_claims_them_and_is_not_required(recipe: Recipe) -> None:
    order = [made.id for made in build(recipe).components]
    assert order.index("aws-ebs-csi-driver") < order.index("kube-prometheus-stack")
    assert [made.id for made in build(recipe, components=("kube-prometheus-stack",)).components] == ["kube-prometheus-stack"]


@pytest.mark.parametrize(
    ("depends", "says"), [({"cert-manager": ["gpu-operator"]}, "in a cycle: "), ({"cert-manager": ["cert-manger"]}, "'cert-manger'")]
)
def test_a_circle_or_an_unknown_dependency_is_named(tree: dict[str, Any], depends: dict[str, list[str]], says: str) -> None:
    changed = copy.deepcopy(tree)
    for component in changed["components"]:
        component["depends"] = depends.get(component["id"], component.get("depends", []))
    with pytest.raises(InvalidData, match=says):
        build(from_tree(changed))


def test_unknown_names_get_the_nearest(recipe: Recipe) -> None:
    with pytest.raises(InvalidInput) as caught:
        build(recipe, components=("gpu-opertor",))
    assert caught.value.hint == "did you mean 'gpu-operator'?"
    with pytest.raises(InvalidInput) as caught:
        build(recipe, sets=["nosuch:foo=bar"])
    assert "'nosuch'" in caught.value.message
    with pytest.raises(InvalidInput, match="is not in this bundle"):
        build(recipe, components=("cert-manager",), sets=["gpu-operator:mig.strategy=mixed"])
    with pytest.raises(InvalidInput):
        build(recipe, namespaces={"nosuch": "x"})


def test_storage_is_resolved_by_service() -> None:
    for service, id in (("eks", "aws-ebs-csi-driver"), ("gke", "gke-persistent-disk"), ("self-managed", "local-path-provisioner")):
        bundle = build(make_recipe({"service": service, "gpu": "h100"}), components=("storage",))
        assert [made.id for made in bundle.components] == [id]
        assert not bundle.errors
    with pytest.raises(InvalidData, match="is available on"):
        build(make_recipe({"gpu": "h100"}), components=("storage",))


def test_a_component_can_be_left_out(recipe: Recipe) -> None:
    bundle = build(recipe, sets=["cert-manager:enabled=false"])
    assert "cert-manager" not in [made.id for made in bundle.components]
    assert "gpu-operator needs cert-manager, which is disabled" in bundle.warnings
    with pytest.raises(InvalidInput, match="no component selected"):
        build(recipe, sets=[f"{id}:enabled=false" for id in ("node-tuning", *(component.id for component in recipe.components))])
    with pytest.raises(InvalidInput, match="expected true or false"):
        build(recipe, sets=["cert-manager:enabled=maybe"])


def test_of_two_decisions_about_a_component_the_last_wins(recipe: Recipe) -> None:
    off, on = "cert-manager:enabled=false", "cert-manager:enabled=true"
    assert "cert-manager" in [component.id for component in build(recipe, sets=[off, on]).components]
    assert "cert-manager" not in [component.id for component in build(recipe, sets=[on, off]).components]


# ---- values ----


def test_values_come_from_the_recipe_with_their_types(recipe: Recipe) -> None:
    actual = values(build(recipe, components=("gpu-operator",)), "gpu-operator")
    assert actual["cdi"]["enabled"] is True
    assert actual["driver"]["kernelModuleType"] == "auto"
    assert {"name": "ACCEPT_NVIDIA_VISIBLE_DEVICES_ENVVAR_WHEN_UNPRIVILEGED", "value": "false"} in actual["toolkit"]["env"]


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("mig.strategy=mixed", ["mig", "strategy"], "mixed"),
        ("driver.version=580", ["driver", "version"], "580"),
        ("driver.enabled=false", ["driver", "enabled"], False),
        ("driver.version=24.10", ["driver", "version"], "24.10"),
        ("devicePlugin.env[0].value=x", ["devicePlugin", "env", 0, "value"], "x"),
        ("devicePlugin.env[1]={name: A, value: 'b, c'}", ["devicePlugin", "env", 1], {"name": "A", "value": "b, c"}),
        (r"daemonsets.labels.example\.com/x=y", ["daemonsets", "labels", "example.com/x"], "y"),
        ("driver.version=a=b: {{ c }} # ${HOME}", ["driver", "version"], "a=b: {{ c }} # ${HOME}"),
        ("driver.version=null", ["driver", "version"], None),
    ],
)
def test_one_value_is_set(recipe: Recipe, assignment: str, path: list[Any], value: object) -> None:
    actual = values(build(recipe, components=("gpu-operator",), sets=[f"gpu-operator:{assignment}"]), "gpu-operator")
    for part in path:
        actual = actual[part]
    assert (actual, type(actual)) == (value, type(value))


@pytest.mark.parametrize(
    ("assignment", "says", "hint"),
    [
        ("gpu-operator:driver.enbled=false", "no value driver.enbled", "driver.enabled"),
        ("gpu-operator:driver.enabled=maybe", "expects a boolean", "true or false"),
        ("gpu-operator:driver.enabled.x=1", "is a boolean", ""),
        ("gpu-operator:driver=1", "expects a mapping", ""),
        ("gpu-operator:devicePlugin.env[7].value=x", "the next item of", "in order"),
        ("gpu-operator:driver[0]=x", "not a list", ""),
        ("gpu-operator:=x", "invalid setting", ""),
        ("gpu-operator:a..b=x", "empty", ""),
        ("gpu-operator", "invalid setting", ""),
        (":a=b", "invalid setting", ""),
    ],
)
def test_what_cannot_be_set_is_refused(recipe: Recipe, assignment: str, says: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build(recipe, sets=[assignment])
    assert says in caught.value.message
    assert hint in (caught.value.hint or "")


def test_files_of_values_lie_between_the_recipe_and_single_values(recipe: Recipe) -> None:
    overlay = {"driver": {"version": "1", "enabled": False}, "toolkit": {"enabled": False}}
    bundle = build(recipe, values={"gpu-operator": overlay}, sets=["gpu-operator:driver.version=2"])
    actual = values(bundle, "gpu-operator")
    assert (actual["driver"]["version"], actual["driver"]["enabled"], actual["toolkit"]["enabled"]) == ("2", False, False)
    assert actual["cdi"] == {"enabled": True}, "what is not said stays"
    with pytest.raises(InvalidInput, match="nosuch"):
        build(recipe, values={"gpu-operator": {"driver": {"nosuch": 1}}})
    with pytest.raises(InvalidInput, match="expects a boolean"):
        build(recipe, values={"gpu-operator": {"driver": {"enabled": "no"}}})


def test_a_chart_that_nothing_is_known_of_gets_a_warning(recipe: Recipe) -> None:
    bundle = build(recipe, components=("kai-scheduler",), sets=["kai-scheduler:what.ever=1"])
    assert values(bundle, "kai-scheduler") == {"what": {"ever": 1}}
    assert any("kai-scheduler" in sentence and "not checked" in sentence for sentence in bundle.warnings)


def test_nodes_are_chosen(recipe: Recipe) -> None:
    bundle = build(
        recipe,
        components=("gpu-operator",),
        accelerated_node_selector={"pool": "gpu"},
        accelerated_tolerations=["dedicated=gpu:NoSchedule"],
        system_node_selector={"pool": "system"},
        system_tolerations=["system"],
    )
    for component in ("gpu-operator", "cert-manager"):
        text = bundle.files[f"{component}/values.yaml"].decode()
        for word, flag in (
            ("pool: gpu", "accelerated-node-selector"),
            ("dedicated", "accelerated-toleration"),
            ("pool: system", "system-node-selector"),
        ):
            assert word in text or any(component in sentence and flag in sentence for sentence in bundle.warnings), "never silently ignored"
    assert "dedicated" in bundle.files["gpu-operator/values.yaml"].decode()
    assert "pool: system" in bundle.files["cert-manager/values.yaml"].decode()
    for wrong in ({"a b": "c"}, {"a": "b c"}, {"": "x"}, {"a/b/c": "d"}):
        with pytest.raises(InvalidInput):
            build(recipe, accelerated_node_selector=wrong)
    for text in ("a=b:Never", "a b", "=x", "a=b c"):
        with pytest.raises(InvalidInput):
            build(recipe, system_tolerations=[text])


def test_a_namespace_for_all_or_for_one(recipe: Recipe) -> None:
    one = build(recipe, components=("gpu-operator",), namespaces={"gpu-operator": "mine"})
    assert b"namespace='mine'" in one.files["gpu-operator/component.sh"]
    assert b"namespace='cert-manager'" in one.files["cert-manager/component.sh"]
    every = build(recipe, components=("gpu-operator",), namespaces={"": "mine"})
    assert b"namespace='mine'" in every.files["cert-manager/component.sh"]
    with pytest.raises(InvalidInput, match="invalid namespace"):
        build(recipe, namespaces={"": "Not A Namespace"})


def test_a_mirror_replaces_every_host(recipe: Recipe) -> None:
    bundle = build(recipe, registry="mirror.example.com/x/")
    for path, content in bundle.files.items():
        if path.endswith(("values.yaml", "install.sh")) or "/manifests/" in path:
            for host in (b"nvcr.io", b"quay.io", b"registry.k8s.io", b"https://helm.", b"https://charts."):
                assert host not in content.replace(b"mirror.example.com/x", b""), path
    assert b"chart='oci://mirror.example.com/x/charts/nvidia/gpu-operator'" in bundle.files["gpu-operator/component.sh"]
    lines = [line for line in bundle.files["images.txt"].decode().splitlines() if line and not line.startswith("#")]
    assert lines
    assert all(line.startswith("mirror.example.com/x/") for line in lines)
    assert load_yaml(bundle.files["gpu-operator/values.yaml"])["driver"]["repository"] == "mirror.example.com/x/nvidia"
    for wrong in ("https://mirror.example.com", "a b", "/x", "../x", "-x", "m.example.com:99999", "m.example.com/X", "m.example.com/../x"):
        with pytest.raises(InvalidInput, match="invalid registry"):
            build(recipe, registry=wrong)
    with pytest.raises(InvalidInput, match=r"look for mirror/\.\.\. on docker.io") as caught:
        build(recipe, registry="mirror/x")
    assert caught.value.hint == "write its domain or its port, such as mirror:443"
    for wrong in ("me:hunter2@mirror.example.com/x", "mirror.example.com/me:hunter2@x", "mirror.example.com/a/me:hunter2@x/"):
        with pytest.raises(InvalidInput, match="username or password") as caught:
            build(recipe, registry=wrong)
        assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_images_are_listed_once_or_marked_as_unknown(recipe: Recipe) -> None:
    lines = build(recipe).files["images.txt"].decode().splitlines()
    references = [line for line in lines if line and not line.startswith("#")]
    assert len(references) == len(set(references))
    assert "nvcr.io/nvidia/gpu-operator:v26.7.0" in references
    assert all(reference.rpartition(":")[1] and "@{" not in reference for reference in references)
    assert not [line for line in lines if line.startswith("# not known")]


def test_a_choice_is_left_out_or_set_by_its_own_name(recipe: Recipe) -> None:
    ids = {made.id for made in build(recipe).components}
    assert "aws-ebs-csi-driver" in ids
    assert {made.id for made in build(recipe, sets=["storage:enabled=false"]).components} == ids - {"aws-ebs-csi-driver"}
    bundle = build(recipe, sets=["storage:controller.replicaCount=3"])
    assert values(bundle, "aws-ebs-csi-driver") == {"controller": {"replicaCount": 3}}


def test_leaving_out_what_was_never_in_is_a_warning(recipe: Recipe) -> None:
    warnings = build(recipe, components=("cert-manager",), sets=["kai-scheduler:enabled=false"]).warnings
    assert any("kai-scheduler" in warning and "was not part of this bundle" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("os", "osv", "older", "newer"),
    [
        ("ubuntu", "24.04", "ubuntu24.04", "ubuntu24.04"),
        ("rocky", "9.7", "rocky9", "rocky9"),
        ("rhel", "8.10", "rhel8.10", "rhel8"),
        ("rhel", "9.6", "rhel9.6", "rhel9"),
        ("rhel", "10.1", "rhel10", "rhel10"),
        ("debian", "12", "", ""),
        ("amazonlinux", "2023", "", ""),
    ],
)
@pytest.mark.parametrize("version", ["v26.3.3", "v26.7.0"])
def test_tags_of_driver_containers_end_as_the_operator_makes_them(version: str, os: str, osv: str, older: str, newer: str) -> None:
    choice = {"id": "gpu-operator", "chart": "gpu-operator", "repository": "https://charts.example.com", "version": version}
    subtypes = [{"subtype": "image", "data": {"gpu-operator": version}}, {"subtype": "config", "data": {"cdi": True}}]
    tree = {"request": {"os": os, "osv": osv}, "measurements": [{"type": "K8s", "subtypes": subtypes}], "components": [choice]}
    lines = build(from_tree(tree), components=("gpu-operator",)).files["images.txt"].decode().splitlines()
    ending = newer if version == "v26.7.0" else older
    for image in ("nvidia/driver:", "nvidia-fs:", "gdrdrv:"):
        references = [line for line in lines if image in line]
        assert [line.endswith(f"-{ending}") for line in references] == ([True] if ending else [])
    assert ending or f"# no container of nvcr.io/nvidia/driver for {os} {osv}: the node image has to bring it" in lines


def test_images_are_those_of_the_values(recipe: Recipe) -> None:
    sets = ["gpu-operator:driver.version=null", "gpu-operator:toolkit.repository=registry.example.com/x", "gpu-operator:toolkit.image=t"]
    lines = build(recipe, sets=sets).files["images.txt"].decode().splitlines()
    assert "nvcr.io/nvidia/driver:595.91.07-ubuntu24.04" in lines
    assert "registry.example.com/x/t:v1.20.0" in lines
    assert not any("container-toolkit" in line for line in lines)
    mirrored = build(recipe, sets=sets, registry="mirror.example.com/m").files["images.txt"].decode().splitlines()
    at = mirrored.index("mirror.example.com/m/x/t:v1.20.0")
    assert mirrored[at - 1] == "# from registry.example.com/x/t:v1.20.0"
    assert all(line.startswith(("#", "mirror.example.com/m/")) for line in mirrored if line)


@pytest.mark.parametrize(("version", "tag"), [("13.0", "13.0.0"), ("12.4.1", "12.4.1"), (13.2, "13.2.0")])
def test_the_check_of_cuda_has_a_tag_that_there_is(tree: dict[str, Any], version: object, tag: str) -> None:
    bundle = build(with_reading(tree, "GPU", "smi", "cuda-version", version))
    pod = load_yaml(bundle.files["gpu-operator/manifests/examples/cuda-check.yaml"])
    assert pod["spec"]["containers"][0]["image"] == f"nvcr.io/nvidia/cuda:{tag}-base-ubuntu24.04"


@pytest.mark.parametrize("value", [4.2, 5])
def test_a_tag_that_came_as_a_number_is_a_tag(tree: dict[str, Any], value: object) -> None:
    bundle = build(with_reading(tree, "K8s", "image", "dcgm", value))
    assert not bundle.errors
    assert values(bundle, "gpu-operator")["dcgm"]["version"] == str(value)


def with_reading(tree: dict[str, Any], type: str, subtype: str, key: str, value: object) -> Recipe:
    changed = copy.deepcopy(tree)
    measurement = next((m for m in changed["measurements"] if m["type"] == type), None)
    if measurement is None:
        measurement = {"type": type, "subtypes": []}
        changed["measurements"].append(measurement)
    entry = next((s for s in measurement["subtypes"] if s["subtype"] == subtype), None)
    if entry is None:
        entry = {"subtype": subtype, "data": {}}
        measurement["subtypes"].append(entry)
    entry["data"][key] = value
    return from_tree(changed)


def test_images_of_manifests_are_listed_the_examples_among_them(tree: dict[str, Any]) -> None:
    bundle = build(with_reading(tree, "GPU", "smi", "cuda-version", "13.0"))
    image = load_yaml(bundle.files["gpu-operator/manifests/examples/cuda-check.yaml"])["spec"]["containers"][0]["image"]
    assert image in bundle.files["images.txt"].decode().splitlines()
    assert not any("images.txt" in warning for warning in bundle.warnings)


@pytest.mark.parametrize("value", ["`id`|*<b>", "13 0", "13\n0", "é"])
def test_what_is_no_reference_of_an_image_is_a_warning(tree: dict[str, Any], value: str) -> None:
    bundle = build(with_reading(tree, "GPU", "smi", "cuda-version", value))
    lines = bundle.files["images.txt"].decode().splitlines()
    assert sum(line.startswith("# not an image reference: ") for line in lines) == 1
    assert sum("not an image reference" in warning for warning in bundle.warnings) == 1


def test_a_version_that_nothing_is_known_of_gets_a_warning(tree: dict[str, Any]) -> None:
    changed = copy.deepcopy(tree)
    next(component for component in changed["components"] if component["id"] == "gpu-operator")["version"] = "v9.9.9"
    for measurement in changed["measurements"]:
        for subtype in measurement["subtypes"]:
            subtype["data"] = {key: "v9.9.9" if key == "gpu-operator" else value for key, value in subtype["data"].items()}
    warnings = build(from_tree(changed)).warnings
    assert any("gpu-operator v9.9.9" in warning and "is not checked" in warning for warning in warnings)


# ---- the same bytes ----


def test_parallel_and_serial_and_again_are_the_same(recipe: Recipe) -> None:
    first = build(recipe, parallel=True)
    assert build(recipe, parallel=False).files == build(recipe).files == first.files
    assert all(build(recipe, parallel=True).files == first.files for _ in range(5))


def test_neither_the_hash_seed_nor_the_time_zone_nor_the_locale_changes_a_byte(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom eidos.bundle.tar_archive import pack_tar_gz\nfrom eidos.workflow import make_bundle, make_recipe\n"
        f"sys.stdout.buffer.write(pack_tar_gz(make_bundle(make_recipe({QUERY!r})).files))"
    )
    outputs = set()
    for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/New_York")):
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"}
        outputs.add(subprocess.run([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, check=True).stdout)
    assert len(outputs) == 1


def test_checksums_cover_everything_but_themselves(recipe: Recipe) -> None:
    files = build(recipe).files
    listed = [line.partition("  ")[2] for line in files["checksums.txt"].decode().splitlines()]
    assert sorted(listed) == sorted(files.keys() - {"checksums.txt", "attestations/statement.json"})
    for id in ("gpu-operator", "cert-manager"):
        inner = [f"{id}/" + line.partition("  ")[2] for line in files[f"{id}/checksums.txt"].decode().splitlines()]
        assert sorted(inner) == sorted(path for path in files if path.startswith(f"{id}/") and path != f"{id}/checksums.txt")
    assert file_mode("a/install.sh") == 0o755
    assert file_mode("a/values.yaml") == 0o644


def test_the_recipe_lies_in_its_bundle(recipe: Recipe) -> None:
    again = from_tree(load_yaml(build(recipe).files["recipe.yaml"]))
    assert build(again).files == build(recipe).files


# ---- a component of one's own ----

COMPONENT = """\
components:
  - id: {id}
    title: Mine
    chart: mine
    repository: https://charts.example.com
    version: 1.2.3
    namespace: mine
    images: {{"1.2.3": ["registry.example.com/mine:@{{component.version}}"]}}
"""


def own(tmp_path: Path, id: str = "mine", **files: str) -> dict[str, Any]:
    """Folders with an entry and a set of templates; no Python."""
    data, templates = tmp_path / "data", tmp_path / "templates" / id
    data.mkdir(parents=True)
    templates.mkdir(parents=True)
    (data / "components.yaml").write_text(COMPONENT.format(id=id))
    index = ['version: "1.0.0"', "recipe: recipe.dgxc.io/v1", "extends: every", "files:"]
    for name, content in files.items():
        path = name.replace("__", "/").replace("_yaml", ".yaml")
        (templates / path).parent.mkdir(exist_ok=True)
        (templates / path).write_text(content)
        index.append(f"  - template: {path}")
    (templates / "bundle.yaml").write_text("\n".join(index) + "\n")
    return {"data": str(data), "templates": str(tmp_path / "templates")}


def test_a_component_takes_a_folder_and_an_entry(tmp_path: Path, recipe: Recipe) -> None:
    manifest = "kind: ConfigMap\ndata: {gpu: '@{query.gpu}', none: '@{query.nosuch?}'}\n---\nempty: '@{nosuch?}'\n"
    folders = own(tmp_path, values_yaml="driver: '@{driver.version}'\nflag: '@{config.mig}'\n", manifests__a_yaml=manifest)
    bundle = build(recipe, components=("mine",), **folders)
    assert not bundle.errors
    assert values(bundle, "mine") == {"driver": "595.91.07", "flag": False}
    assert (load_documents(bundle.files["mine/manifests/a.yaml"])) == [{"kind": "ConfigMap", "data": {"gpu": "h100"}}]
    assert b"manifests) set -- 'manifests/a.yaml' ;;" in bundle.files["mine/component.sh"]
    assert b"registry.example.com/mine:1.2.3" in bundle.files["images.txt"]


def test_a_missing_name_is_an_error_with_template_and_line(tmp_path: Path, recipe: Recipe) -> None:
    folders = own(tmp_path, values_yaml="a: 1\nb:\n  c: '@{image.drivr}'\n")
    bundle = build(recipe, components=("mine",), **folders)
    assert bundle.errors["mine"].startswith(f"{folders['templates']}/mine/values.yaml, line 3: ")
    assert "'image.drivr'" in bundle.errors["mine"]
    assert bundle.files == {}, "nothing is left to write"


def test_an_entry_cannot_lead_out_of_the_bundle(tmp_path: Path, recipe: Recipe) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for id in ("../evil", "every", "-x", "a b"):
        (data / "components.yaml").write_text(COMPONENT.format(id=f"'{id}'"))
        with pytest.raises(InvalidData):
            build(recipe, components=(id,), data=str(data))
    folders = own(tmp_path / "second", values_yaml="a: 1\n")
    index = Path(folders["templates"]) / "mine" / "bundle.yaml"
    for target in ("../x", "/etc/x", "a/../../x", "checksums.txt", "a\\b"):
        index.write_text(
            f'version: "1"\nrecipe: recipe.dgxc.io/v1\nfiles: [{{template: values.yaml, target: "{target}"}}]\n'.replace("\\", "\\\\")
        )
        assert build(recipe, components=("mine",), **folders).errors["mine"]


@pytest.mark.parametrize("id", ["../evil", "/etc", "a/b", "..", "A", "a" * 300])
def test_a_component_of_a_recipe_cannot_lead_out_of_the_bundle(tree: dict[str, Any], id: str) -> None:
    changed = copy.deepcopy(tree)
    changed["components"][0]["id"] = id
    with pytest.raises(InvalidData):
        build(from_tree(changed))


def test_what_could_trick_helm_is_refused(tree: dict[str, Any]) -> None:
    for field, text in (
        ("version", "--post-renderer=x"),
        ("chart", "-x"),
        ("repository", "file:///etc"),
        ("namespace", "a b"),
        ("version", "1 2"),
    ):
        changed = copy.deepcopy(tree)
        changed["components"][0][field] = text
        with pytest.raises(InvalidData):
            build(from_tree(changed))


def test_a_set_for_another_kind_of_recipe_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    folders = own(tmp_path, values_yaml="a: 1\n")
    index = Path(folders["templates"]) / "mine" / "bundle.yaml"
    index.write_text(index.read_text().replace("/v1", "/v2"))
    assert "recipe.dgxc.io/v2" in build(recipe, components=("mine",), **folders).errors["mine"]


# ---- versions of images that belong to a version of a chart ----

#: What the shipped data states of the operator's images, which its own version of the chart has as well.
OPERANDS = ("toolkit", "devicePlugin", "gfd", "dcgm", "dcgmExporter", "migManager")


def with_operator(tree: dict[str, Any], version: str, **more: str) -> Recipe:
    """The recipe with another version of the operator, as data of one's own choose it."""
    changed = with_reading(tree, "K8s", "image", "gpu-operator", version).to_tree()
    next(each for each in changed["components"] if each["id"] == "gpu-operator")["version"] = version
    images = next(s for m in changed["measurements"] if m["type"] == "K8s" for s in m["subtypes"] if s["subtype"] == "image")
    images["data"].update(more)
    return from_tree(changed)


def test_versions_of_images_are_set_only_where_the_recipe_asks_for_others(tree: dict[str, Any]) -> None:
    made = values(build(from_tree(tree)), "gpu-operator")
    assert not any("version" in made.get(name, {}) for name in (*OPERANDS, "driver"))
    bundle = build(with_reading(tree, "K8s", "image", "container-toolkit", "v9.9.9"))
    made = values(bundle, "gpu-operator")
    assert made["toolkit"]["version"] == "v9.9.9" and "version" not in made["devicePlugin"]
    policy = load_yaml(bundle.files["gpu-operator/manifests/clusterpolicy.yaml"])
    assert (policy["spec"]["toolkit"]["version"], policy["spec"]["devicePlugin"]["version"]) == ("v9.9.9", "v0.20.0")
    assert "nvcr.io/nvidia/k8s-device-plugin:v0.20.0\n" in bundle.files["images.txt"].decode()
    own = build(from_tree(tree), sets=["gpu-operator:toolkit.version=v1.20.0"])
    assert values(own, "gpu-operator")["toolkit"]["version"] == "v1.20.0"


@pytest.mark.parametrize(("version", "is_known"), [("v26.3.3", True), ("v25.10.1", False)])
def test_images_of_one_version_of_a_chart_are_not_set_for_another(tree: dict[str, Any], version: str, is_known: bool) -> None:
    bundle = build(with_operator(tree, version, **{"k8s-mig-manager": "v7.7.7"}))
    made = values(bundle, "gpu-operator")
    assert made["migManager"]["version"] == "v7.7.7", "this the recipe asks for"
    assert not any("version" in made.get(name, {}) for name in OPERANDS if name != "migManager")
    assert made["driver"]["version"] == "595.91.07", "a reading of the host is what the recipe asks for"
    sentence = f"gpu-operator: the images that belong to chart v26.7.0 are not set for {version}, which has its own: "
    (warning,) = [text for text in bundle.warnings if text.startswith(sentence)]
    assert "toolkit.version=v1.20.0" in warning and "migManager" not in warning
    section = bundle.files["README.md"].decode().partition("## Not checked\n")[2]
    assert sentence in section and ("no list of values for chart gpu-operator" in section) == (not is_known)
    assert ("the images of chart gpu-operator" in section) == (not is_known)


def test_a_readme_without_unknowns_has_no_section_for_them(recipe: Recipe) -> None:
    assert "## Not checked" not in build(recipe).files["README.md"].decode()


@pytest.mark.parametrize("id", [chart.id for chart in shipped_charts()[0].values() if "version" in chart.readings])
def test_the_image_and_the_version_of_a_chart_are_one_truth(id: str) -> None:
    """What K8s.image states of a chart is its version, or no bundle is made."""
    chart = shipped_charts()[0][id]
    image = chart.readings["version"][0].rpartition(".")[2]
    made = make_recipe({"gpu": "h100", "service": "self-managed"}, components=(id,)).to_tree()
    tree = with_reading(made, "K8s", "config", "rdma", True).to_tree()
    assert build(with_reading(tree, "K8s", "image", image, chart.version.lstrip("v")), components=(id,)).files
    with pytest.raises(InvalidData, match=f"components.{id}.version is .*, but K8s.image.{image} is 0.0.9"):
        build(with_reading(tree, "K8s", "image", image, "0.0.9"), components=(id,))
    other = "26.4.1" if id == "network-operator" else "0.0.9"  # whose resources differ by version, of which none is made up
    images = {image: other} if id == "gpu-operator" else {image: other, "gpu-operator": "v26.7.0"}
    subtypes = [{"subtype": "image", "data": images}, {"subtype": "config", "data": {"cdi": True, "rdma": True}}]
    bundle = build(from_tree({"measurements": [{"type": "K8s", "subtypes": subtypes}]}), components=(id,))
    assert f"version='{'v' * chart.version.startswith('v')}{other}'" in bundle.files[f"{id}/component.sh"].decode()
