"""Documents of aicr and cnsctl: snapshots are read as ours, everything else is refused by its name and with what to do."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos import make_recipe, parse_recipe, parse_snapshot
from eidos.errors import InvalidData
from eidos.formats import to_json, to_yaml
from eidos.model.foreign_documents import SNAPSHOT_VERSIONS
from eidos.model.recipe import Recipe
from eidos.model.snapshot import Snapshot
from eidos.recipe.layer import read_layer
from tests.support.program import eidos as run

#: What a node of EKS with eight H100 is, in the form of aicr's collectors.
MEASUREMENTS: list[dict[str, Any]] = [
    {"type": "OS", "subtypes": [{"subtype": "release", "data": {"ID": "ubuntu", "VERSION_ID": "24.04"}}]},
    {
        "type": "K8s",
        "subtypes": [
            {"subtype": "server", "data": {"version": "v1.33.5-eks-3025e55", "platform": "linux/amd64", "goVersion": "go1.24.6"}},
            {"subtype": "node", "data": {"provider": "eks", "source-node": "gpu-07"}},
        ],
    },
    {
        "type": "GPU",
        "subtypes": [
            {"subtype": "hardware", "data": {"gpu-present": True, "gpu-count": 8, "driver-loaded": True, "detection-source": "nfd"}},
            {"subtype": "smi", "data": {"driver": "580.126.20", "gpu-count": 8, "gpu.model": "NVIDIA H100 80GB HBM3"}},
        ],
    },
    {
        "type": "NodeTopology",
        "subtypes": [
            {"subtype": "summary", "data": {"node-count": 1, "taint-count": 0, "label-count": 1}},
            {
                "subtype": "label",
                "data": {"kubernetes.io/os": "linux|gpu-07"},
                "items": [{"context": {"key": "kubernetes.io/os", "value": "linux"}, "data": {"node-count": 1, "truncated": False}}],
            },
        ],
    },
    {"type": "NetworkTopology", "subtypes": [{"subtype": "pfs", "items": [{"data": {"rail": 0}}]}]},
]


def snapshot(version: str = "aicr.run/v1", **fields: Any) -> dict[str, Any]:
    """A snapshot as aicr's snapshotter writes it."""
    return {
        "kind": "Snapshot",
        "apiVersion": version,
        "metadata": {"timestamp": "2026-11-02T10:00:00Z", "version": "v1.3.0", "source-node": "gpu-07"},
        "fingerprint": {"service": {"value": "eks"}},
        "measurements": MEASUREMENTS,
        **fields,
    }


@pytest.mark.parametrize("version", SNAPSHOT_VERSIONS)
@pytest.mark.parametrize("write", [to_yaml, to_json])
def test_a_snapshot_is_read_as_ours(version: str, write: Any) -> None:
    shot = parse_snapshot(write(snapshot(version)), "aicr.yaml")
    assert (shot.timestamp, shot.version, shot.node) == ("2026-11-02T10:00:00Z", "v1.3.0", "gpu-07")
    assert [measurement.type for measurement in shot.measurements] == ["OS", "K8s", "GPU"]
    request = make_recipe({"intent": "training"}, snapshot=shot).request
    assert (request.os, request.osv, request.service, request.gpu) == ("ubuntu", "24.04", "eks", "h100")
    assert Snapshot.from_tree(shot.to_tree(), "again") == parse_snapshot(to_yaml(shot.to_tree()))


def test_what_of_it_is_not_read_is_reported() -> None:
    outcomes = {outcome.name: (outcome.outcome, outcome.reason) for outcome in Snapshot.from_tree(snapshot(), "x").collectors}
    assert outcomes == {
        "k8s.topology": ("skipped", "NodeTopology of aicr has a form that eidos does not read"),
        "network": ("skipped", "NetworkTopology of aicr has a form that eidos does not read"),
    }


def test_a_count_of_no_gpu_where_nvidia_smi_failed_is_no_reading() -> None:
    gpu = {"type": "GPU", "subtypes": [{"subtype": "hardware", "data": {"gpu-count": 8}}, {"subtype": "smi", "data": {"gpu-count": 0}}]}
    shot = Snapshot.from_tree(snapshot(measurements=[gpu]), "x")
    assert [subtype.name for subtype in shot.measurements[0].subtypes] == ["hardware"]
    assert [(outcome.name, outcome.reason) for outcome in shot.collectors] == [("gpu", "nvidia-smi failed or was not found")]


def test_a_fault_in_it_is_reported_with_its_path() -> None:
    broken = snapshot(measurements=[*MEASUREMENTS[3:], {"type": "OS", "subtypes": [{"subtype": "kmod", "data": {"x": []}}]}])
    with pytest.raises(InvalidData, match=r"^aicr\.yaml: measurements\[2\]\.subtypes\[0\]\.data\.x: expected a scalar, found a list$"):
        Snapshot.from_tree(broken, "aicr.yaml")


@pytest.mark.parametrize("version", ["aicr.run/v2", "aicr.nvidia.com/v1", "cns.nvidia.com/v2"])
def test_a_version_that_is_not_read_is_named_with_those_that_are(version: str) -> None:
    with pytest.raises(InvalidData, match=f"apiVersion: a Snapshot of .* \\({version}\\) is not supported") as raised:
        Snapshot.from_tree(snapshot(version), "x")
    assert "aicr.run/v1" in str(raised.value.hint)


RESULT = {
    "kind": "RecipeResult",
    "apiVersion": "aicr.run/v1",
    "metadata": {"version": "v1.3.0", "appliedOverlays": ["base", "eks"]},
    "criteria": {"service": "eks", "accelerator": "h100", "intent": "training", "os": "any", "platform": "kubeflow"},
    "componentRefs": [{"name": "gpu-operator", "type": "Helm", "version": "v26.3.3"}],
}


@pytest.mark.parametrize("read", [parse_recipe, parse_snapshot])
@pytest.mark.parametrize(
    ("header", "name"),
    [
        ({}, "a RecipeResult of aicr (aicr.run/v1)"),
        ({"apiVersion": "aicr.run/v1beta2"}, "a RecipeResult of aicr (aicr.run/v1beta2)"),
        ({"apiVersion": "aicr.nvidia.com/v1alpha1"}, "a RecipeResult of aicr (aicr.nvidia.com/v1alpha1)"),
        ({"kind": "recipeResult", "apiVersion": "cns.nvidia.com/v1alpha1"}, "a RecipeResult of cnsctl (cns.nvidia.com/v1alpha1)"),
        ({"kind": "RecipeResult", "apiVersion": ""}, "a RecipeResult of aicr"),
        ({"kind": "Recipe"}, "a Recipe of aicr (aicr.run/v1)"),
        ({"kind": "RecipeMetadata", "apiVersion": "aicr.run/v1beta1"}, "a RecipeMetadata of aicr (aicr.run/v1beta1)"),
    ],
)
def test_a_result_is_named_with_the_command_that_makes_ours(read: Any, header: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidData) as raised:
        read(to_yaml({**RESULT, **header}), "result.yaml")
    expected = "a recipe" if read is parse_recipe else "a snapshot"
    assert raised.value.message == f"result.yaml: {name}, not {expected} of eidos"
    command = "eidos recipe --gpu h100 --service eks --intent training --platform kubeflow"
    assert raised.value.hint == f"run '{command}' to make a recipe for the same criteria"
    assert make_recipe({"gpu": "h100", "service": "eks", "intent": "training"}).components


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"spec": {"criteria": {"service": "gke", "os": "cos"}}}, "eidos recipe --service gke --os cos"),
        ({"spec": {"service": "aks"}}, "eidos recipe --service aks"),
        ({"criteria": {"service": "eks; rm -rf /", "accelerator": "any"}}, "eidos recipe -f SNAPSHOT"),
        ({"criteria": []}, "eidos recipe -f SNAPSHOT"),
        ({}, "eidos recipe -f SNAPSHOT"),
    ],
)
def test_the_command_has_the_criteria_that_are_words(fields: dict[str, Any], command: str) -> None:
    with pytest.raises(InvalidData) as raised:
        Recipe.from_tree({"kind": "RecipeCriteria", "apiVersion": "aicr.run/v1", **fields}, "x")
    assert f"'{command}'" in str(raised.value.hint)


def test_a_layer_of_aicr_is_named() -> None:
    tree = {"kind": "RecipeMetadata", "apiVersion": "aicr.run/v1beta1", "spec": {"criteria": {"service": "eks", "accelerator": "h100"}}}
    with pytest.raises(InvalidData, match=r"^overlays/eks\.yaml: a RecipeMetadata of aicr \(aicr\.run/v1beta1\), not a layer of eidos$"):
        read_layer(tree, "overlays/eks.yaml")


def test_on_the_command_line(tmp_path: Path) -> None:
    node, result = tmp_path / "node.yaml", tmp_path / "result.yaml"
    node.write_text(to_yaml(snapshot()))
    result.write_text(to_yaml(RESULT))
    done = run("recipe", "-f", str(node), "--intent", "training")
    assert done.status == 0
    assert parse_recipe(done.out).request.gpu == "h100"
    done = run("bundle", "-f", str(result), "-o", str(tmp_path / "bundle"))
    assert done.status == 2
    assert "a RecipeResult of aicr (aicr.run/v1), not a recipe of eidos\nhint: run 'eidos recipe --gpu h100" in done.err
    assert not (tmp_path / "bundle").exists()


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["Snapshot", "RecipeResult", *SNAPSHOT_VERSIONS])
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3))


@given(
    st.fixed_dictionaries(
        {"kind": SCALARS, "apiVersion": SCALARS},
        optional={"metadata": TREES, "measurements": TREES | st.just(MEASUREMENTS), "criteria": TREES, "spec": TREES},
    )
)
def test_any_document_with_its_header_is_read_or_refused(tree: dict[str, Any]) -> None:
    for read in (Snapshot.from_tree, Recipe.from_tree):
        with suppress(InvalidData):
            read(tree, "x")
