"""What a bundle says of its images: those that its values pull, those that it could pull, and what is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eidos.bundle.image_list import ChartImage, ChartImages, is_reference, read_chart_images
from eidos.bundle.registry_mirror import mirror_image
from eidos.errors import InvalidData
from eidos.model.bundle import Bundle
from eidos.model.recipe import Recipe
from eidos.recipe.charts import load_charts
from eidos.workflow import make_recipe
from tests.support.bundle_files import RECIPES, ROOT, build, each_recipe, load_yaml, recipe
from tests.support.program import eidos

FILES = sorted((ROOT / "recipes" / "images").glob("*.yaml"))
CHARTS, LOAD = load_charts(None)
MIRROR = "mirror.example.com/x"

#: Charts of shipped components whose images no public source names.
UNKNOWN = {"nsight-operator", "skyhook-operator", "nfs-provisioner", "dynamo-crds", "kgateway-crds", "kgateway"}


def operator(os: str = "ubuntu", osv: str = "24.04", version: str = "v26.7.0", **values: Any) -> Recipe:
    """A recipe of the GPU operator alone."""
    choice = {
        "id": "gpu-operator",
        "chart": "gpu-operator",
        "repository": "https://charts.example.com",
        "version": version,
        "values": values,
    }
    subtypes = [{"subtype": "image", "data": {"gpu-operator": version}}, {"subtype": "config", "data": {"cdi": True}}]
    request = {name: text for name, text in (("os", os), ("osv", osv)) if text}
    tree = {"request": request, "measurements": [{"type": "K8s", "subtypes": subtypes}], "components": [choice]}
    return Recipe.from_tree(tree, "recipe.yaml")


def listed(recipe: Recipe, **options: Any) -> Bundle:
    return build(
        recipe, components=("gpu-operator",), sets=["cert-manager:enabled=false", "kube-prometheus-stack:enabled=false"], **options
    )


def references(bundle: Bundle) -> list[str]:
    return [line for line in bundle.files["images.txt"].decode().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_data_are_well_formed(path: Path) -> None:
    tree = load_yaml(path.read_text(encoding="utf-8"))
    assert set(tree) == {"versions"} and path.stem in CHARTS
    for version in tree["versions"]:
        images = read_chart_images(path.stem, version, {}, LOAD)
        assert images is not None
        for image in images.images:
            text, missing = image.fill(
                {"query.os": "ubuntu", "query.osv": "24.04", "os.tag": "a1", "os.tag.major": "a1", "os.tag.full": "a1"}
            )
            # What the user alone can give is asked for where it is switched on.
            assert is_reference(text) or (missing and image.when), (path.name, text)
            name = image.registry[0]
            assert not name or image.registry[1] or image.when, (path.name, image.text)
        assert all(isinstance(value, bool) for value in images.switches.values())


def test_every_pinned_version_has_its_images() -> None:
    versions = {(chart.id, chart.version) for chart in CHARTS.values() if chart.chart}
    versions |= {
        (entry["id"], str(entry["version"])) for path in RECIPES for entry in recipe(path).get("components", ()) if entry.get("chart")
    }
    unknown = {id for id, version in versions if read_chart_images(id, version, CHARTS[id].images, LOAD) is None}
    assert unknown <= UNKNOWN


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"versions": {"1": {"images": "a"}}}, "versions.1.images"),
        ({"versions": {"1": {"images": [{"image": "a", "whem": ["b"]}]}}}, "versions.1.images[0]"),
        ({"versions": {"1": {"images": [{"image": "a", "when": ["b.on"]}]}}}, "b.on"),
        ({"versions": {"1": {"images": [1]}}}, "versions.1.images[0]"),
        ({"versions": []}, "versions"),
    ],
)
def test_malformed_data_are_refused_with_their_path(tree: object, path: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read_chart_images("mine", "1", {}, lambda name: tree)
    assert "recipes/images/mine.yaml" in caught.value.message and path in caught.value.message


def test_images_are_those_of_operands_that_are_on() -> None:
    plain = references(listed(operator()))
    assert "nvcr.io/nvidia/driver:595.91.07-ubuntu24.04" in plain
    assert not [line for line in plain if "nvidia-fs" in line or "gdrdrv" in line or "kubevirt" in line or "/dcgm:" in line]
    more = references(listed(operator(gds={"enabled": True}, gdrcopy={"enabled": True}, dcgm={"enabled": True})))
    assert {line.partition(":")[0].rpartition("/")[2] for line in set(more) - set(plain)} == {"nvidia-fs", "gdrdrv", "dcgm"}
    assert set(plain) < set(more)


def test_without_a_driver_pod_there_is_no_image_of_it() -> None:
    values: dict[str, Any] = {"driver": {"enabled": False}, "gds": {"enabled": True}, "gdrcopy": {"enabled": True}}
    lines = references(listed(operator(**values)))
    assert lines and not [line for line in lines if any(name in line for name in ("/driver:", "nvidia-fs", "gdrdrv", "k8s-driver-manager"))]


def test_what_a_switch_would_pull_is_marked() -> None:
    bundle = listed(operator())
    (line,) = [line for line in bundle.files["images.txt"].decode().splitlines() if "gdrdrv" in line]
    assert line == "# optional, with gdrcopy.enabled=true: nvcr.io/nvidia/cloud-native/gdrdrv:v2.6-ubuntu24.04"
    entries = {entry["image"]: entry for entry in json.loads(bundle.files["images.json"])["images"]}
    assert entries["nvcr.io/nvidia/cloud-native/gdrdrv:v2.6-ubuntu24.04"]["optional"] == ["gdrcopy.enabled=true"]
    assert "optional" not in entries["nvcr.io/nvidia/driver:595.91.07-ubuntu24.04"]


@pytest.mark.parametrize(("os", "osv"), [("amazonlinux", "2023"), ("debian", "12")])
def test_a_system_without_driver_containers_has_no_line_of_one(os: str, osv: str) -> None:
    text = listed(operator(os, osv)).files["images.txt"].decode()
    assert f"# no container of nvcr.io/nvidia/driver for {os} {osv}: the node image has to bring it\n" in text
    assert "not known" not in text and "<os.tag" not in text.replace("optional", "")[: text.index("optional")]


def test_precompiled_drivers_of_another_registry_have_one_image_for_each_kernel() -> None:
    values: dict[str, Any] = {"driver": {"repository": "registry.example.com/nvidia", "usePrecompiled": True, "version": "595"}}
    text = listed(operator("sles", "15.7", **values)).files["images.txt"].decode()
    assert "# one image for each kernel of the nodes (uname -r): registry.example.com/nvidia/driver:595-KERNEL-sles15.7\n" in text
    assert "no container of" not in text


@pytest.mark.parametrize(
    ("version", "os", "osv", "ending"),
    [("v25.3.3", "rocky", "9.7", "rocky9.7"), ("v25.3.3", "rhel", "9.6", "rhel9.6"), ("v25.3.3", "ubuntu", "24.04", "ubuntu24.04")],
)
def test_older_operators_end_tags_with_the_complete_version(version: str, os: str, osv: str, ending: str) -> None:
    (line,) = [line for line in references(listed(operator(os, osv, version))) if "/nvidia/driver:" in line]
    assert line.endswith(f"-{ending}")


def test_a_digest_replaces_tag_and_system() -> None:
    digest = f"sha256:{'ab' * 32}"
    bundle = listed(operator(driver={"version": digest}))
    assert f"nvcr.io/nvidia/driver@{digest}" in references(bundle)
    entry = next(entry for entry in json.loads(bundle.files["images.json"])["images"] if "/driver@" in entry["image"])
    assert entry["digest"] == digest


@each_recipe
def test_both_lists_say_the_same(path: Path) -> None:
    bundle = build(Recipe.from_tree(recipe(path), "recipe.yaml"), registry=MIRROR)
    document = json.loads(bundle.files["images.json"])
    pulled = [entry["image"] for entry in document["images"] if "optional" not in entry]
    assert list(dict.fromkeys(pulled)) == references(bundle)
    for entry in document["images"]:
        assert entry["image"] == mirror_image(entry["from"], MIRROR) and entry["component"] in {result.id for result in bundle.components}


def test_own_images_of_an_entry_win() -> None:
    images = read_chart_images("gpu-operator", "v26.7.0", {"v26.7.0": ("registry.example.com/a:1",)}, LOAD)
    assert images == ChartImages((ChartImage("registry.example.com/a:1"),))


def test_a_mirror_replaces_every_registry() -> None:
    bundle = listed(operator(), registry=MIRROR)
    values = load_yaml(bundle.files["gpu-operator/values.yaml"])
    assert values["node-feature-discovery"]["image"]["repository"] == f"{MIRROR}/nfd/node-feature-discovery"
    assert values["nodeStatusExporter"]["repository"] == f"{MIRROR}/nvidia" and not bundle.unmirrored
    assert listed(operator()).unmirrored == ()


def test_an_image_that_an_operator_completes_is_listed_once_and_comes_from_the_mirror() -> None:
    query = {"gpu": "h100", "service": "aks", "intent": "training", "os": "ubuntu", "osv": "24.04"}
    bundle = build(make_recipe(query), registry=MIRROR)
    drivers = [line for line in references(bundle) if "/doca-driver:" in line]
    assert [line.rpartition("-")[2] for line in drivers] == ["amd64", "arm64"] and bundle.unmirrored == ()
    policy = load_yaml(bundle.files["network-operator/manifests/nicclusterpolicy.yaml"])["spec"]["ofedDriver"]
    assert all(line.startswith(f"{policy['repository']}/doca-driver:{policy['version']}-") for line in drivers)


def test_what_does_not_come_from_the_mirror_is_named() -> None:
    bundle = build(make_recipe({"gpu": "h100"}, components=("nsight-operator", "gateway-api", "mpi-operator")), registry=MIRROR)
    text = "\n".join(bundle.unmirrored)
    assert "nsight-operator: the images of chart nsight-operator" in text
    assert "mpi-operator: its manifests are fetched when it is installed" in text
    assert "gateway-api" not in text  # definitions pull nothing
    assert "kube-prometheus-stack" not in text and "gpu-operator" not in text


def test_strict_is_a_finding_where_the_mirror_is_incomplete(tmp_path: Path) -> None:
    for extra, status in (("nsight-operator", 4), ("nfd", 0)):
        made = eidos("recipe", "--gpu", "h100", "--service", "eks", "--intent", "training", "--with", extra, "-o", "r.yaml", cwd=tmp_path)
        assert made.status == 0, made.err
        done = eidos("bundle", "-f", "r.yaml", "-o", extra, "--registry", MIRROR, "--strict", "-t", "json", cwd=tmp_path)
        assert done.status == status, done.err
        assert ("--strict: the mirror is incomplete" in done.err) == (status == 4)
        assert ("unmirrored" in json.loads(done.out)) == (status == 4)
        assert (tmp_path / extra / "images.json").exists()


def test_strict_is_a_finding_for_a_generic_recipe(tmp_path: Path) -> None:
    eidos("recipe", "--gpu", "t4", "--service", "oke", "-o", "r.yaml", cwd=tmp_path)
    done = eidos("bundle", "-f", "r.yaml", "--strict", cwd=tmp_path)
    assert done.status == 4 and "--strict: the recipe is generic" in done.err, done.err
