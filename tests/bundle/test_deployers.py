"""Bundles for Argo CD, Flux, helmfile and plain manifests: valid objects, in order, pinned as in the recipe, without a credential."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from eidos.bundle.deployers import HELM, list_deployers
from eidos.bundle.verification import verify_bundle
from eidos.cli.bundle import VERB
from eidos.errors import InvalidInput, Unavailable
from eidos.model.bundle import Bundle
from eidos.model.recipe import Recipe
from eidos.workflow import make_recipe, write_bundle
from tests.conftest import ROOT
from tests.support.bundle_files import RECIPES, build, load_documents, load_yaml
from tests.support.bundle_files import recipe as recipe_tree
from tests.support.tools import find_tools

SCHEMAS = json.loads((Path(__file__).parent.parent / "schemas" / "deployers.json").read_text())

REPOSITORY: dict[str, Any] = {"repo": "https://git.example.com/team/clusters.git", "path": "gpu/eks", "revision": "main"}

QUERY = {"os": "ubuntu", "service": "eks", "gpu": "h100", "intent": "training"}

#: Each folder → its index.
INDEXES = {path.parent.name: load_yaml(path.read_bytes()) for path in (ROOT / "templates" / "deployers").glob("*/deployer.yaml")}

#: Those that need no program while the bundle is built.
DEPLOYERS = tuple(sorted(name for name, index in INDEXES.items() if not index.get("renders")))


@cache
def recipe() -> Recipe:
    return make_recipe(QUERY)


@cache
def bundle_of(deployer: str) -> Bundle:
    return build(recipe(), deployer=deployer, **repository(deployer))


def repository(deployer: str) -> dict[str, Any]:
    """The options that a deployer cannot do without."""
    return REPOSITORY if "repo" in INDEXES[deployer].get("needs", ()) else {}


def objects(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Every Kubernetes object of the deployer's own, by its path; the folders of components and of the node hold those of others."""
    folders = tuple(f"{result.id}/" for result in bundle.components)
    trees = {}
    for path, content in bundle.files.items():
        if path.endswith(".yaml") and not path.startswith((*folders, "node/")) and path != "recipe.yaml":
            (tree,) = load_documents(content)
            # What kustomize alone reads, and what every cluster has.
            if "kind" in tree and not tree["apiVersion"].startswith("kustomize.config.") and tree["kind"] != "ConfigMap":
                trees[path] = tree
    return trees


def problems(tree: dict[str, Any]) -> list[str]:
    """What its definition does not accept of an object."""
    kind = f"{tree['apiVersion']}/{tree['kind']}"
    if kind not in SCHEMAS:
        return [f"{kind}: tests/schemas/deployers.json has no definition"]
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMAS[kind]).iter_errors(tree["spec"])]


def test_each_folder_is_a_deployer_with_a_title() -> None:
    names = list_deployers()
    assert list(names) == [HELM, *sorted(INDEXES)]
    assert all(names.values())


def test_the_help_names_each_deployer() -> None:
    (option,) = (option for option in VERB.options if option.name == "deployer")
    assert set(list_deployers()) <= set(re.findall(r"\w+", option.help))


@pytest.mark.parametrize("deployer", DEPLOYERS)
def test_the_scripts_are_those_of_helm_alone(deployer: str, tmp_path: Path) -> None:
    bundle = bundle_of(deployer)
    assert not [path for path in bundle.files if path.endswith(("install.sh", "component.sh"))]
    assert {"README.md", "recipe.yaml", "images.txt", "node/apply.sh", "gpu-operator/values.yaml"} <= set(bundle.files)
    page = bundle.files["README.md"].decode()
    assert "install.sh" not in page and "## What the recipe says" in page
    for result in bundle.components:
        folder = "node" if result.id == "node-tuning" else result.id
        assert all(f"{folder}/{path}" in bundle.files for path in result.files)
    write_bundle(bundle, str(tmp_path / "bundle"))
    assert verify_bundle(str(tmp_path / "bundle")) == ()
    assert build(recipe(), deployer=deployer, **repository(deployer)).files == bundle.files


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "deployer", [pytest.param(name, marks=pytest.mark.exhaustive(sample=2, group=f"objects of {name}")) for name in DEPLOYERS]
)
def test_every_object_is_what_its_definition_accepts(deployer: str, path: Path) -> None:
    bundle = build(Recipe.from_tree(recipe_tree(path), path.name), deployer=deployer, **repository(deployer))
    made = objects(bundle)
    assert bool(made) == (deployer != "helmfile") and not bundle.errors, "a helmfile is no object of Kubernetes"
    assert not [problem for tree in made.values() for problem in problems(tree)]


@pytest.mark.parametrize("deployer", DEPLOYERS)
def test_the_default_storage_class_is_left_to_a_person(deployer: str) -> None:
    """The scripts look whether the cluster has one; the others cannot."""
    bundle = bundle_of(deployer)
    (warning,) = (text for text in bundle.warnings if "storage class" in text)
    assert warning.startswith(f"aws-ebs-csi-driver: {deployer} makes no storage class the default one")
    assert (
        "run 'kubectl annotate storageclass gp3 " in warning and "kubectl annotate storageclass gp3" in bundle.files["README.md"].decode()
    )


def test_a_definition_refuses_an_unknown_field() -> None:
    tree = objects(bundle_of("argocd"))["argocd/gpu-operator.yaml"]
    assert problems({**tree, "spec": {**tree["spec"], "sorces": []}})


def test_applications_take_charts_and_values_by_reference() -> None:
    made = objects(bundle_of("argocd"))
    for component in recipe().components:
        tree = made[f"argocd/{component.id}.yaml"]
        chart, values = tree["spec"]["sources"]
        assert chart["targetRevision"] == component.version, "a leading v belongs to the tag"
        assert chart["repoURL"] == component.repository.removeprefix("oci://") and "oci://" not in chart["repoURL"]
        assert chart["helm"]["valueFiles"] == [f"${values['ref']}/gpu/eks/{component.id}/values.yaml"]
        assert (values["repoURL"], values["targetRevision"]) == (REPOSITORY["repo"], "main")
        assert "path" not in values, "a path beside ref would apply what is there"
        assert f"{component.id}/values.yaml" in bundle_of("argocd").files
    waves = {path: int(tree["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", -1)) for path, tree in made.items()}
    for component in recipe().components:
        for needed in component.depends:
            assert waves[f"argocd/{needed}.yaml"] < waves[f"argocd/{component.id}.yaml"]
    assert waves["argocd/aws-ebs-csi-driver.yaml"] < waves["argocd/aws-ebs-csi-driver-manifests.yaml"]
    manifests = made["argocd/aws-ebs-csi-driver-manifests.yaml"]["spec"]["source"]
    resources = load_yaml(bundle_of("argocd").files["aws-ebs-csi-driver/kustomization.yaml"])["resources"]
    assert manifests["path"] == "gpu/eks/aws-ebs-csi-driver" and resources == ["manifests/storageclass.yaml"]
    assert made["argocd.yaml"]["spec"]["source"]["path"] == "gpu/eks/argocd"


def test_releases_of_flux_depend_on_one_another_and_replace_definitions() -> None:
    bundle = bundle_of("flux")
    made = objects(bundle)
    for component in recipe().components:
        release, source = made[f"flux/{component.id}.yaml"]["spec"], made[f"flux/{component.id}-source.yaml"]
        assert release["install"]["crds"] == release["upgrade"]["crds"] == "CreateReplace"
        assert (release["releaseName"], release["targetNamespace"]) == (component.id, component.namespace)
        values = load_yaml(bundle.files[f"{component.id}/values.yaml"]) or {}
        assert release.get("values", {}) == values
        needed = {item["name"] for item in release.get("dependsOn", ())}
        assert set(component.depends) & {other.id for other in recipe().components} <= needed
        if component.repository.startswith("oci://"):
            assert source["kind"] == "OCIRepository" and release["chartRef"] == {"kind": "OCIRepository", "name": component.id}
            assert source["spec"]["url"] == f"{component.repository}/{component.chart}"
            assert source["spec"]["ref"] == {"tag": component.version}
        else:
            assert source["kind"] == "HelmRepository" and source["spec"]["url"] == component.repository
            assert release["chart"]["spec"]["version"] == component.version
    names = {tree["metadata"]["name"] for tree in made.values() if tree["kind"] == "HelmRelease"}
    for tree in made.values():
        assert {item["name"] for item in tree["spec"].get("dependsOn", ())} <= names
    assert made["flux/bundle-source.yaml"]["spec"]["ref"] == {"branch": "main"}
    assert made["flux/aws-ebs-csi-driver-manifests.yaml"]["spec"]["path"] == "./gpu/eks/aws-ebs-csi-driver"


@pytest.mark.parametrize("deployer", DEPLOYERS)
def test_what_the_chart_makes_is_applied_by_nothing_else(deployer: str) -> None:
    """The ClusterPolicy of a bundle is part of the chart's own, to be read."""
    bundle = bundle_of(deployer)
    assert b"kind: ClusterPolicy" in bundle.files["gpu-operator/manifests/clusterpolicy.yaml"]
    assert "gpu-operator/kustomization.yaml" not in bundle.files
    others = [path for path, content in bundle.files.items() if b"gpu-operator-manifests" in content or b"clusterpolicy.yaml" in content]
    assert set(others) <= {"checksums.txt", "gpu-operator/checksums.txt"}


def test_a_value_that_is_null_reaches_helm_from_a_config_map() -> None:
    """Kubernetes drops it from the values of a HelmRelease."""
    path = next(path for path in RECIPES if path.stem == "eks-gb200-training")
    files = build(Recipe.from_tree(recipe_tree(path), path.name), deployer="flux", **REPOSITORY).files
    (release,) = load_documents(files["flux/nvidia-dra-driver-gpu.yaml"])
    (config,) = load_documents(files["flux/nvidia-dra-driver-gpu-values.yaml"])
    values = load_yaml(files["nvidia-dra-driver-gpu/values.yaml"])
    assert values["controller"].pop("affinity") == {"nodeAffinity": None}
    assert release["spec"]["values"] == {**values, "controller": {**values["controller"], "affinity": {}}}
    assert release["spec"]["valuesFrom"] == [{"kind": config["kind"], "name": config["metadata"]["name"]}]
    assert config["data"]["values.yaml"].encode() == files["nvidia-dra-driver-gpu/values.yaml"]
    assert config["metadata"]["namespace"] == release["metadata"]["namespace"]
    assert "nvidia-dra-driver-gpu-values.yaml" in load_yaml(files["flux/kustomization.yaml"])["resources"]
    assert [name for name in files if name.startswith("flux/") and name.endswith("-values.yaml")] == [
        "flux/nvidia-dra-driver-gpu-values.yaml"
    ]
    assert not problems(release)


@pytest.mark.parametrize(
    ("revision", "ref"),
    [
        ("v1.2", {"branch": "v1.2"}),
        ("refs/tags/v1", {"name": "refs/tags/v1"}),
        ("a" * 40, {"commit": "a" * 40}),
        ("v1+b", {"branch": "v1+b"}),
    ],
)
def test_a_revision_is_a_branch_a_commit_or_a_full_name(revision: str, ref: dict[str, str]) -> None:
    options = {**REPOSITORY, "repo": "git@git.example.com:team/clusters.git", "revision": revision, "path": "./"}
    made = objects(build(recipe(), components=("aws-ebs-csi-driver",), deployer="flux", **options))
    source = made["flux/bundle-source.yaml"]
    assert source["spec"]["url"] == "ssh://git@git.example.com/team/clusters.git" and source["spec"]["ref"] == ref
    assert made["flux/aws-ebs-csi-driver-manifests.yaml"]["spec"]["path"] == "./aws-ebs-csi-driver"
    assert not problems(source)


def test_releases_of_helmfile_need_one_another() -> None:
    tree = load_yaml(bundle_of("helmfile").files["helmfile.yaml"])
    releases = {f"{release['namespace']}/{release['name']}": release for release in tree["releases"]}
    assert len(releases) == len(tree["releases"])
    repositories = {repository["name"]: repository["url"] for repository in tree["repositories"]}
    for component in recipe().components:
        release = releases[f"{component.namespace}/{component.id}"]
        assert release["version"] == component.version and release["values"] == [f"{component.id}/values.yaml"]
        if component.repository.startswith("oci://"):
            assert release["chart"] == f"{component.repository}/{component.chart}"
        else:
            repository, _, chart = release["chart"].partition("/")
            assert (repositories[repository], chart) == (component.repository, component.chart)
    for name, release in releases.items():
        assert set(release.get("needs", ())) <= set(releases), name
    assert releases["kube-system/aws-ebs-csi-driver-manifests"]["chart"] == "./aws-ebs-csi-driver"


def test_a_mirror_is_the_source_of_charts_too() -> None:
    bundle = build(recipe(), components=("kai-scheduler",), deployer="argocd", registry="mirror.example.com/x", **REPOSITORY)
    chart = objects(bundle)["argocd/gpu-operator.yaml"]["spec"]["sources"][0]
    assert (chart["repoURL"], chart["chart"]) == ("mirror.example.com/x/charts/nvidia", "gpu-operator")


def test_manifests_of_others_are_named_with_their_address() -> None:
    bundle = build(recipe(), components=("gateway-api",), deployer="flux", **REPOSITORY)
    resources = load_yaml(bundle.files["gateway-api/kustomization.yaml"])["resources"]
    assert all(url.startswith("https://") for url in resources)
    assert any("compares no digest" in warning for warning in bundle.warnings)
    assert "targetNamespace" not in objects(bundle)["flux/gateway-api-manifests.yaml"]["spec"]


# ---- nothing that is a secret ----


@pytest.mark.parametrize("deployer", DEPLOYERS)
@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"grafana": {"adminPassword": "hunter2-Sesame"}}, "grafana.adminPassword"),
        ({"grafana": {"env": [{"name": "API_TOKEN", "value": "Zm9vYmFy-q1"}]}}, r"grafana.env\[0\].API_TOKEN"),
        ({"prometheus": {"url": "https://user:pass-word@metrics.example.com/x"}}, "prometheus.url"),
        ({"grafana": {"note": "see hvs.hunter20123456789ab"}}, "grafana.note"),
        ({"grafana": {"cert": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"}}, "grafana.cert"),
    ],
)
def test_a_credential_is_refused_and_not_printed(deployer: str, values: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidInput, match=where) as caught:
        options = {"components": ("kube-prometheus-stack",), "values": {"kube-prometheus-stack": values}, **repository(deployer)}
        build(recipe(), deployer=deployer, **options)
    text = str(caught.value.message)
    assert "hunter2" not in text and "Zm9v" not in text and "pass-word" not in text


def test_names_of_secrets_are_no_credentials() -> None:
    values = {"grafana": {"admin": {"existingSecret": "grafana"}, "image": {"pullSecrets": []}}, "global": {"imagePullSecrets": ["a"]}}
    built = build(recipe(), components=("kube-prometheus-stack",), values={"kube-prometheus-stack": values}, deployer="flux", **REPOSITORY)
    assert objects(built)["flux/kube-prometheus-stack.yaml"]["spec"]["values"]["grafana"]["admin"] == {"existingSecret": "grafana"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deployer": "argocd"}, "needs the git repository"),
        ({"repo": REPOSITORY["repo"]}, "--repo is for deployers"),
        ({"deployer": "flux", "repo": "https://me:token@git.example.com/x.git"}, "has a user or a credential"),
        ({"deployer": "flux", "repo": "ssh://git:token@git.example.com/x.git"}, "has a user or a credential"),
        ({"deployer": "flux", "repo": "git:token@git.example.com:x.git"}, "has a user or a credential"),
        ({"deployer": "flux", "repo": "git:to@ken@git.example.com:x.git"}, "has a user or a credential"),
        ({"deployer": "flux", "repo": "ssh://git:a/token@git.example.com/x.git"}, "has a user or a credential"),
        ({"deployer": "flux", "repo": "https://me:a/token@git.example.com/x.git"}, "has a user or a credential"),
        ({"deployer": "flux", "repo": "https://git.example.com/x.git?key=token"}, "or a query"),
        ({"deployer": "flux", "repo": "https://git.example.com/x.git#token"}, "or a query"),
        ({"deployer": "flux", "repo": "file:///srv/x.git"}, "invalid repository"),
        ({"deployer": "argocd", "repo": "https://"}, "invalid repository"),
        ({"deployer": "argocd", "repo": "git@git.example.com"}, "invalid repository"),
        ({"deployer": "flux", "repo": REPOSITORY["repo"]}, "needs a branch, refs/tags/TAG or a full commit"),
        ({"deployer": "flux", "repo": REPOSITORY["repo"], "revision": "HEAD"}, "needs a branch, refs/tags/TAG or a full commit"),
        ({"path": "gpu"}, "--path is for deployers"),
        ({"deployer": "helmfile", "revision": "main"}, "--revision is for deployers"),
        ({"deployer": "argocd", "repo": REPOSITORY["repo"], "path": "../x"}, "invalid path"),
        ({"deployer": "argocd", "repo": REPOSITORY["repo"], "revision": "a b"}, "invalid revision"),
    ],
)
def test_a_deployer_without_what_it_needs_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        build(recipe(), components=("cert-manager",), **options)
    assert "token" not in caught.value.message


@pytest.mark.parametrize(
    ("repo", "url"),
    [
        ("git@git.example.com:team/c@v2.git", "ssh://git@git.example.com/team/c@v2.git"),
        ("ssh://git@git.example.com:2222/team/c@v2.git", "ssh://git@git.example.com:2222/team/c@v2.git"),
        ("https://git.example.com/team/c@v2.git", "https://git.example.com/team/c@v2.git"),
    ],
)
def test_an_at_sign_in_the_path_of_a_repository_is_no_login(repo: str, url: str) -> None:
    made = objects(build(recipe(), components=("aws-ebs-csi-driver",), deployer="flux", **{**REPOSITORY, "repo": repo}))
    assert made["flux/bundle-source.yaml"]["spec"]["url"] == url


# ---- what the README says ----


@pytest.mark.parametrize(("component", "is_read"), [("cert-manager", False), ("aws-ebs-csi-driver", True)])
def test_the_readme_names_the_source_of_the_bundle_where_there_is_one(component: str, is_read: bool) -> None:
    bundle = build(recipe(), components=(component,), deployer="flux", **REPOSITORY)
    page = bundle.files["README.md"].decode()
    assert ("flux/bundle-source.yaml" in bundle.files) == ("`flux/bundle-source.yaml`" in page) == ("Kustomizations" in page) == is_read
    assert not [path for path in bundle.files if path.endswith("source-note.md")]


@pytest.mark.parametrize("deployer", ["argocd", "flux", "helmfile"])  # another one's README need not say so
def test_the_readme_says_which_manifests_are_applied(deployer: str) -> None:
    bundle = bundle_of(deployer)
    shown = {path for path in bundle.files if re.match("[^/]+/manifests/", path) and not path.startswith("node/")}
    kustomizations = [path for path in bundle.files if path.endswith("/kustomization.yaml") and not path.startswith(f"{deployer}/")]
    listed = {path.replace("kustomization.yaml", name) for path in kustomizations for name in load_yaml(bundle.files[path])["resources"]}
    assert listed < shown and "gpu-operator/manifests/clusterpolicy.yaml" in shown - listed
    page = " ".join(bundle.files["README.md"].decode().split())
    assert "Those that its `kustomization.yaml` lists are applied, and no others" in page and "not in the chart" not in page


# ---- manifests, rendered by helm ----


def test_manifests_are_rendered_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = """---
# Source: x
apiVersion: v1
kind: Secret
metadata:
  name: grafana
data:
  admin-password: aHVudGVyMg==
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data: {a: b}
"""
    (tmp_path / "output").write_text(output)
    program = tmp_path / "helm"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/commands\ncat >/dev/null\ncat {tmp_path}/output\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    bundle = build(recipe(), components=("gpu-operator",), deployer="manifests")
    commands = (tmp_path / "commands").read_text()
    assert "template gpu-operator gpu-operator --repo https://helm.ngc.nvidia.com/nvidia --version v26.7.0" in commands
    rendered = [path for path in bundle.files if path.startswith("rendered/")]
    assert [path.partition("-")[2] for path in rendered][-1] == "gpu-operator.yaml"
    documents = load_documents(bundle.files[rendered[-1]])
    assert [document["kind"] for document in documents] == ["Namespace", "ConfigMap", "ClusterPolicy"] or documents[0][
        "kind"
    ] == "Namespace"
    assert not any(b"aHVudGVyMg" in content for content in bundle.files.values())
    assert any("the Secrets grafana are left out" in warning for warning in bundle.warnings)
    page = " ".join(bundle.files["README.md"].decode().split())
    assert "What is to be applied is in `rendered/`" in page and "not in the chart" not in page


def test_without_helm_there_are_no_rendered_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="helm was not found"):
        build(recipe(), components=("cert-manager",), deployer="manifests")


# ---- by the tools themselves ----


@pytest.mark.slow
def test_kustomize_builds_every_folder(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """kubectl has kustomize in it."""
    kubectl = find_tools(pytestconfig)["kubectl"]
    folder = tmp_path / "bundle"
    write_bundle(bundle_of("flux"), str(folder))
    folders = [path.parent for path in folder.rglob("kustomization.yaml")]
    assert len(folders) == 2
    for each in folders:
        done = subprocess.run([kubectl, "kustomize", str(each)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "kind:" in done.stdout


@pytest.mark.slow
def test_helmfile_reads_the_helmfile(tmp_path: Path) -> None:
    helmfile = shutil.which("helmfile")
    if not helmfile:
        pytest.skip("helmfile is not installed, and is in no registry of packages")
    write_bundle(bundle_of("helmfile"), str(tmp_path / "bundle"))
    done = subprocess.run([helmfile, "build"], cwd=tmp_path / "bundle", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
