"""Recipes of the shipped data, whole, and the promise that the same question gets the same bytes."""

from __future__ import annotations

import concurrent.futures
import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eidos import formats
from eidos.recipe.lint.combinations import samples
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, shipped_store
from tests.support.effort import examples
from tests.support.shipped import shipped_trees

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "recipes"

#: Questions that people ask, and some that show what is done with a word that little is known of: file name → query.
QUESTIONS: dict[str, dict[str, str]] = {
    "base": {},
    "aks-h100-training": {"os": "ubuntu", "osv": "22.04", "service": "aks", "k8s": "1.35.1", "gpu": "h100", "intent": "training"},
    "aks-h100-training-1.36": {"os": "ubuntu", "osv": "24.04", "service": "aks", "k8s": "1.36", "gpu": "h100", "intent": "training"},
    "aks-azurelinux-a100-training": {"os": "azurelinux", "service": "aks", "gpu": "a100", "intent": "training"},
    "aks-gb200": {"service": "aks", "gpu": "gb200"},
    "aks-gb300": {"service": "aks", "gpu": "gb300"},
    "aks-rtx-pro-6000": {"os": "ubuntu", "osv": "24.04", "service": "aks", "gpu": "rtx-pro-6000", "intent": "training"},
    "aks-t4-training": {"machine": "Standard_NC64as_T4_v3", "os": "ubuntu", "osv": "24.04", "intent": "training"},
    "aks-nc-h100": {"machine": "Standard_NC40ads_H100_v5", "os": "ubuntu", "osv": "24.04", "intent": "inference"},
    "aks-nc-a100": {"machine": "Standard_NC96ads_A100_v4", "os": "ubuntu", "osv": "24.04", "intent": "training"},
    "aks-a100-inference": {"os": "ubuntu", "osv": "24.04", "service": "aks", "gpu": "a100", "intent": "inference"},
    "eks-a100": {"os": "amazonlinux", "osv": "2023", "service": "eks", "gpu": "a100"},
    "eks-rtx-pro-6000-training": {"os": "ubuntu", "osv": "24.04", "service": "eks", "gpu": "rtx-pro-6000", "intent": "training"},
    "eks-gb300-efa": {"machine": "p6e-gb300.36xlarge", "os": "ubuntu", "osv": "24.04", "intent": "training"},
    "eks-g6e-small": {"machine": "g6e.xlarge", "os": "ubuntu", "osv": "24.04", "intent": "training"},
    "eks-g5-amazonlinux": {"machine": "g5.12xlarge", "os": "amazonlinux", "osv": "2023"},
    "eks-h200-training": {"machine": "p5en.48xlarge", "os": "ubuntu", "osv": "24.04", "intent": "training"},
    "eks-b200-training": {"os": "ubuntu", "osv": "24.04", "service": "eks", "gpu": "b200", "intent": "training"},
    "eks-b300-amazonlinux": {"os": "amazonlinux", "service": "eks", "gpu": "b300", "intent": "inference"},
    "eks-gb200-inference": {"os": "ubuntu", "osv": "24.04", "service": "eks", "k8s": "1.34.2", "gpu": "gb200", "intent": "inference"},
    "eks-gb200-training": {"os": "ubuntu", "osv": "24.04", "service": "eks", "k8s": "1.34.2", "gpu": "gb200", "intent": "training"},
    "eks-gb300-training": {"os": "ubuntu", "osv": "24.04", "service": "eks", "k8s": "1.34.2", "gpu": "gb300", "intent": "training"},
    "eks-h100-inference": {"os": "ubuntu", "osv": "24.04", "service": "eks", "k8s": "1.35", "gpu": "h100", "intent": "inference"},
    "eks-h100-training": {
        "os": "ubuntu",
        "osv": "24.04",
        "kernel": "6.14.0-1018-aws",
        "service": "eks",
        "k8s": "v1.33.5-eks-3025e55",
        "gpu": "h100",
        "intent": "training",
    },
    "gke-h100-training": {"os": "cos", "service": "gke", "k8s": "1.34.1-gke.1337000", "gpu": "h100", "intent": "training"},
    "gke-gb200": {"os": "cos", "service": "gke", "gpu": "gb200"},
    "gke-gb300": {"os": "cos", "service": "gke", "gpu": "gb300"},
    "gke-a100": {"os": "cos", "service": "gke", "gpu": "a100", "intent": "training"},
    "gke-h200-training": {"os": "cos", "service": "gke", "k8s": "1.34", "gpu": "h200", "intent": "training"},
    "gke-gb200-training": {"os": "cos", "machine": "a4x-highgpu-4g", "intent": "training"},
    "gke-rtx-pro-6000": {"os": "cos", "service": "gke", "gpu": "rtx-pro-6000"},
    "gke-a3-high": {"os": "cos", "machine": "a3-highgpu-8g", "intent": "training"},
    "gke-a3-small": {"os": "cos", "machine": "a3-highgpu-2g", "intent": "training"},
    "gke-l40s-inference": {"service": "gke", "gpu": "l40s", "intent": "inference"},
    "gpu-l40": {"gpu": "l40"},
    "gpu-rtx-pro-6000": {"gpu": "rtx-pro-6000", "intent": "inference"},
    "oke-gb200": {"service": "oke", "gpu": "gb200"},
    "lke-rtx-pro-6000": {"os": "ubuntu", "osv": "24.04", "service": "lke", "gpu": "rtx-pro-6000", "intent": "inference"},
    "oke-gb200-infiniband": {"machine": "BM.GPU.GB200.4", "os": "ubuntu", "osv": "24.04"},
    "oke-gb300": {"os": "ubuntu", "osv": "24.04", "service": "oke", "gpu": "gb300", "intent": "training"},
    "oke-l40s": {"service": "oke", "gpu": "l40s", "os": "ubuntu", "osv": "24.04"},
    "oke-h200": {"os": "rhel", "osv": "9.4", "service": "oke", "gpu": "h200"},
    "openshift-h100": {"service": "openshift", "gpu": "h100"},
    "self-managed-gb200-26.04": {"os": "ubuntu", "osv": "26.04", "service": "self-managed", "gpu": "gb200", "intent": "training"},
    "self-managed-gb300-26.04": {"os": "ubuntu", "osv": "26.04", "service": "self-managed", "gpu": "gb300", "intent": "inference"},
    "self-managed-gh200-training": {"os": "ubuntu", "osv": "24.04", "service": "self-managed", "gpu": "gh200", "intent": "training"},
    "self-managed-h100-rhel": {"os": "rhel", "osv": "9.6", "service": "self-managed", "k8s": "1.34", "gpu": "h100"},
    "self-managed-h200-1.36": {"service": "self-managed", "k8s": "1.36.2", "gpu": "h200", "intent": "training"},
    "self-managed-b200-6.6": {"os": "debian", "osv": "12", "kernel": "6.6.30", "service": "self-managed", "gpu": "b200"},
    "eks-gb200-26.04": {"os": "ubuntu", "osv": "26.04", "service": "eks", "gpu": "gb200"},
    "eks-gb200-amazonlinux": {"os": "amazonlinux", "osv": "2023", "service": "eks", "gpu": "gb200"},
    "eks-gb300-amazonlinux": {"os": "amazonlinux", "osv": "2023", "service": "eks", "gpu": "gb300"},
    "eks-gb300-26.04": {"os": "ubuntu", "osv": "26.04", "service": "eks", "gpu": "gb300", "intent": "inference"},
    "aks-a100-26.04-training": {"os": "ubuntu", "osv": "26.04", "service": "aks", "gpu": "a100", "intent": "training"},
    "self-managed-1.32": {"os": "ubuntu", "osv": "24.04", "service": "self-managed", "k8s": "1.32.9", "gpu": "a100"},
    "self-managed-1.36-training": {
        "os": "ubuntu",
        "osv": "24.04",
        "service": "self-managed",
        "k8s": "1.36",
        "gpu": "h100",
        "intent": "training",
    },
    "self-managed-gb200-22.04": {"os": "ubuntu", "osv": "22.04", "service": "self-managed", "gpu": "gb200"},
    "self-managed-gb200-rhel-9": {"os": "rhel", "osv": "9.6", "service": "self-managed", "gpu": "gb200", "intent": "inference"},
    "self-managed-gb300-rhel-training": {
        "os": "rhel",
        "osv": "10.0",
        "service": "self-managed",
        "k8s": "1.36",
        "gpu": "gb300",
        "intent": "training",
    },
    "self-managed-gh200-rhel": {"os": "rhel", "osv": "9.8", "service": "self-managed", "gpu": "gh200"},
    "self-managed-rhel-training": {
        "os": "rhel",
        "osv": "8.10",
        "service": "self-managed",
        "k8s": "1.35",
        "gpu": "h100",
        "intent": "training",
    },
    "self-managed-h800-oraclelinux": {"os": "oraclelinux", "osv": "9", "service": "self-managed", "gpu": "h800", "intent": "training"},
    "self-managed-h20": {"os": "debian", "osv": "12", "service": "self-managed", "gpu": "h20"},
    "gpu-gb200-nvl4": {"gpu": "gb200-nvl4"},
    "rke2-vr200": {"os": "ubuntu", "osv": "26.04", "service": "rke2", "gpu": "vr200", "intent": "inference"},
    "rke2-a800-sles": {"os": "sles", "osv": "15.7", "service": "rke2", "gpu": "a800"},
    "self-managed-a30": {"os": "rhel", "osv": "9.6", "service": "self-managed", "gpu": "a30", "intent": "training"},
    "gpu-a40": {"os": "flatcar", "gpu": "a40"},
    "self-managed-a16": {"os": "azurelinux", "gpu": "a16"},
    "eks-a10-bottlerocket": {"os": "bottlerocket", "service": "eks", "gpu": "a10"},
    "k3s-a2": {"os": "ubuntu", "osv": "24.04", "service": "k3s", "gpu": "a2", "intent": "inference"},
    "gpu-l20-talos": {"os": "talos", "osv": "1.15", "gpu": "l20"},
    "openshift-l4": {"os": "rhcos", "osv": "4.20", "service": "openshift", "gpu": "l4", "intent": "inference"},
    "gke-t4": {"os": "cos", "service": "gke", "gpu": "t4", "intent": "inference"},
    "self-managed-v100": {"os": "ubuntu", "osv": "24.04", "service": "self-managed", "gpu": "v100", "intent": "training"},
    "eks-p100": {"os": "ubuntu", "osv": "22.04", "service": "eks", "gpu": "p100"},
    "self-managed-p40-26.04": {"os": "ubuntu", "osv": "26.04", "service": "self-managed", "gpu": "p40"},
    "aks-p4": {"os": "ubuntu", "osv": "24.04", "service": "aks", "gpu": "p4"},
    "talos-t4": {"os": "talos", "osv": "1.13", "service": "talos", "gpu": "t4"},
    "talos-gb200": {"service": "talos", "gpu": "gb200"},
    "talos-1.15-gb300": {"os": "talos", "osv": "1.15", "gpu": "gb300"},
    "kind-a100": {"service": "kind", "gpu": "a100"},
    "kind-gb200": {"service": "kind", "gpu": "gb200"},
    "k0s-h200-training": {"os": "ubuntu", "osv": "24.04", "service": "k0s", "gpu": "h200", "intent": "training"},
    "microk8s-l40s": {"os": "ubuntu", "osv": "24.04", "service": "microk8s", "gpu": "l40s"},
    "bcm-h100-training": {"os": "ubuntu", "osv": "24.04", "service": "bcm", "gpu": "h100", "intent": "training"},
    "bcm-v100-training": {"os": "ubuntu", "osv": "24.04", "service": "bcm", "gpu": "v100", "intent": "training"},
    "bcm-gb200": {"os": "ubuntu", "osv": "24.04", "service": "bcm", "gpu": "gb200"},
    "rke2-v100-sles": {"os": "sles", "osv": "16.0", "service": "rke2", "gpu": "v100"},
    "openshift-h100-training": {"service": "openshift", "gpu": "h100", "intent": "training"},
    "openshift-gb200": {"service": "openshift", "gpu": "gb200"},
    "cks-h100-training": {"os": "ubuntu", "osv": "24.04", "service": "cks", "k8s": "1.35", "gpu": "h100", "intent": "training"},
    "cks-gb200": {"service": "cks", "gpu": "gb200", "intent": "inference"},
    "self-managed-gb300-training": {"os": "ubuntu", "osv": "24.04", "service": "self-managed", "gpu": "gb300", "intent": "training"},
    "self-managed-h100-debian": {"os": "debian", "osv": "12", "service": "self-managed", "gpu": "h100", "intent": "training"},
    "self-managed-h100-rhel-9-training": {"os": "rhel", "osv": "9.6", "service": "self-managed", "gpu": "h100", "intent": "training"},
    "self-managed-gb200-debian": {"os": "debian", "osv": "12", "service": "self-managed", "gpu": "gb200", "intent": "inference"},
    "oke-gb300-6.8": {"os": "ubuntu", "osv": "24.04", "kernel": "6.8.0-1029-oracle", "service": "oke", "gpu": "gb300"},
    "self-managed-rocky": {"os": "rocky", "osv": "9.7", "service": "self-managed", "gpu": "l40s"},
}


@pytest.fixture(scope="module")
def store() -> Store:
    return shipped_store()


def render(words: dict[str, str], store: Store) -> str:
    """The document without what every change of the data changes, and the warnings."""
    recipe = resolve(store.catalog.parse_query(words), store)
    tree = recipe.to_tree(context=True)
    for name in ("recipe-timestamp", "recipe-version", "recipe-data"):
        tree["metadata"].pop(name)
    return formats.to_yaml({**tree, "warnings": list(recipe.warnings)})


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_recipe_is_what_it_was(name: str, store: Store, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / f"{name}.yaml"
    text = render(QUESTIONS[name], store)
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), "pytest --update-golden writes what it is now"


def test_there_is_no_golden_recipe_without_a_question() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*")) == sorted(QUESTIONS)


def test_each_layer_is_reached_by_a_golden_recipe(store: Store) -> None:
    reached = {layer.name for words in QUESTIONS.values() for layer in store.matching(store.catalog.parse_query(words))}
    assert [layer.name for layer in store.overlays if layer.name not in reached] == []


def test_each_word_of_the_catalog_has_a_golden(store: Store) -> None:
    covered = {(field, word) for words in QUESTIONS.values() for field, word in store.catalog.parse_query(words).fields().items()}
    words = {(field, name) for field in ("os", "service", "gpu", "intent") for name in store.catalog.names(field)}
    assert words - covered == set()


def test_each_layer_alone_makes_a_recipe_that_comes_back_from_its_file(store: Store) -> None:
    for query in (query for layer in store.overlays for query in samples(layer.key)):
        tree = resolve(query, store, explain=True).to_tree(context=True)
        assert formats.from_text(formats.to_yaml(tree), "recipe.yaml") == tree
        assert formats.from_text(formats.to_json(tree), "recipe.json") == tree


#: Resolves every question (and a snapshot's) and prints one digest of all bytes. Its trees are JSON: they come from the same files.
_DIGEST = """
import hashlib, json, sys
from eidos import formats
from eidos.model.snapshot import Snapshot
from eidos.recipe.detection import detect
from eidos.recipe.lint.combinations import samples
from eidos.recipe.resolver import resolve
from eidos.recipe.store import from_folder

trees, questions, snapshot = json.load(sys.stdin)
store = from_folder(trees)
queries = [store.catalog.parse_query(words) for words in questions.values()]
queries += [query for layer in store.overlays for query in samples(layer.key)]
queries.append(detect(Snapshot.from_tree(snapshot, "snapshot"), store.catalog).query)
digest = hashlib.sha256()
for query in queries:
    tree = resolve(query, store, explain=True).to_tree(context=True)
    digest.update((formats.to_yaml(tree) + formats.to_json(tree)).encode())
print(digest.hexdigest())
"""

_SNAPSHOT = {
    "kind": "Snapshot",
    "measurements": [
        {"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"gpu.model": "NVIDIA H100 80GB HBM3"}}]},
        {"type": "OS", "subtypes": [{"subtype": "release", "data": {"ID": "ubuntu", "VERSION_ID": "24.04"}}]},
        {"type": "K8s", "subtypes": [{"subtype": "server", "data": {"version": "v1.33.5-eks-3025e55"}}]},
    ],
}


@pytest.mark.slow
def test_runs_under_any_hash_seed_and_locale_give_one_digest() -> None:
    task = json.dumps([shipped_trees(), QUESTIONS, _SNAPSHOT])
    locales = itertools.cycle(["C", "C.UTF-8", "POSIX", "de_DE.UTF-8", "tr_TR.UTF-8", "ja_JP.eucJP"])
    zones = itertools.cycle(["UTC", "Asia/Kathmandu", "America/St_Johns", ""])

    def run(seed: int) -> str:
        environ = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed), "LC_ALL": next(locales), "TZ": next(zones)}
        command = [sys.executable, "-S", "-c", _DIGEST]
        done = subprocess.run(command, input=task, capture_output=True, text=True, env=environ, check=True, cwd="/")
        return done.stdout.strip()

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = set(pool.map(run, range(examples(12))))
    assert len(digests) == 1
    assert len(digests.pop()) == len(hashlib.sha256().hexdigest())
