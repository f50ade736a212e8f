"""The query of a snapshot: from one of several readings, in doubt or missing with a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eidos.formats import from_text
from eidos.model.query import Query
from eidos.model.snapshot import Snapshot
from eidos.recipe.detection import Detection, detect, match_model
from eidos.recipe.store import shipped_store

REFERENCE = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "fixtures" / "snapshots" / "h100-eks.yaml"

CATALOG = shipped_store().catalog


def snapshot(**facts: Any) -> Snapshot:
    """A snapshot with these readings: ``OS_release={"ID": "ubuntu"}``."""
    types: dict[str, list[Any]] = {}
    for name, data in facts.items():
        kind, _, subtype = name.partition("_")
        types.setdefault(kind, []).append({"subtype": subtype, "data": data})
    return Snapshot.from_tree({"kind": "Snapshot", "measurements": [{"type": k, "subtypes": s} for k, s in types.items()]}, "test")


def node(provider: str = "", version: str = "v1.33.5", **more: str) -> Detection:
    facts = {"provider": provider, **more} if provider or more else {"source-node": "gpu-07"}
    return detect(snapshot(K8s_server={"version": version}, K8s_node=facts), CATALOG)


@pytest.mark.shared
@pytest.mark.skipif(not REFERENCE.exists(), reason=f"{REFERENCE} is not here")
def test_the_reference_snapshot() -> None:
    detection = detect(Snapshot.from_tree(from_text(REFERENCE.read_bytes(), REFERENCE.name), REFERENCE.name), CATALOG)
    assert detection.query == Query(
        os="ubuntu", osv="24.04", kernel="6.8.0-1024-aws", service="eks", k8s="v1.30.14-eks-3025e55", gpu="h100"
    )
    (warning,) = detection.warnings
    assert "Ubuntu 24.04.3 LTS" in warning
    assert "Ubuntu 22.04.5 LTS" in warning


@pytest.mark.parametrize(
    ("provider", "version", "service"),
    [
        ("aws", "v1.33.5", "eks"),
        ("eks", "v1.33.5", "eks"),
        ("azure", "v1.33.5", "aks"),  # the version of AKS has no suffix
        ("aks", "v1.33.5", "aks"),
        ("gce", "v1.33.5-gke.1337000", "gke"),
        ("oci", "v1.33.5", "oke"),
        ("", "v1.30.14-eks-3025e55", "eks"),
        ("", "v1.33.5-gke.1337000", "gke"),
        ("", "v1.33.5+k3s1", "self-managed"),
        ("", "v1.33.5", ""),
    ],
)
def test_the_service_comes_from_the_provider_first_and_the_suffix_second(provider: str, version: str, service: str) -> None:
    detection = node(provider, version)
    assert (detection.query.service, detection.query.k8s) == (service, version)


def test_a_provider_that_disagrees_with_the_suffix_wins_with_a_warning() -> None:
    detection = node("azure", "v1.30.14-eks-3025e55")
    assert detection.query.service == "aks"
    assert any("provider means aks but the server's version means eks" in warning for warning in detection.warnings)


def test_the_providers_id_tells_as_well() -> None:
    assert node(**{"provider-id": "azure:///subscriptions/x"}).query.service == "aks"
    assert node(**{"provider-id": "aws:///us-east-1e/i-1"}).query.service == "eks"


def test_an_unknown_provider_is_warned_of() -> None:
    detection = node("nebula")
    assert detection.query.service == ""
    assert "K8s.node.provider is 'nebula', which is not in the catalog: service stays unset" in detection.warnings


@pytest.mark.parametrize(
    ("id", "name"),
    [("amzn", "amazonlinux"), ("rhel", "rhel"), ("rocky", "rocky"), ("debian", "debian"), ("cos", "cos"), ("ubuntu", "ubuntu")],
)
def test_systems_are_detected_by_the_id_of_their_release_file(id: str, name: str) -> None:
    assert detect(snapshot(OS_release={"ID": id, "VERSION_ID": "9.4"}), CATALOG).query == Query(os=name, osv="9.4")


def test_an_unknown_system_is_not_taken_for_its_kin() -> None:
    detection = detect(snapshot(OS_release={"ID": "pop", "ID_LIKE": "ubuntu debian", "VERSION_ID": "24.04"}), CATALOG)
    assert detection.query.os == ""
    assert any("'pop'" in warning and "--os ubuntu" in warning for warning in detection.warnings)


@pytest.mark.parametrize(
    ("model", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100"),
        ("NVIDIA H100 NVL", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA H200 NVL", "h200"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA GH200 144G HBM3e", "gh200"),
        ("NVIDIA L40", "l40"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA GB200", "gb200"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("NVIDIA GB300", "gb300"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("NVIDIA GeForce RTX 4090", None),
        ("NVIDIA RTX 6000 Ada Generation", None),
        ("Tesla T4", None),
        ("NVIDIA H1000", None),
    ],
)
def test_a_gpu_is_detected_by_complete_words_of_its_model(model: str, gpu: str | None) -> None:
    assert match_model(model, CATALOG) == gpu
    detection = detect(snapshot(GPU_smi={"gpu.model": model}), CATALOG)
    assert detection.query.gpu == (gpu or "")
    assert any(repr(model) in warning for warning in detection.warnings) == (gpu is None)


def test_a_version_that_does_not_parse_is_a_warning_and_the_field_stays_unset() -> None:
    detection = detect(
        snapshot(
            OS_release={"ID": "ubuntu", "VERSION_ID": "noble"},
            OS_sysctl={"/proc/sys/kernel/osrelease": "-6.8"},
            K8s_server={"version": "1.x"},
        ),
        CATALOG,
    )
    assert detection.query == Query(os="ubuntu")
    for path, field in (
        ("OS.release.VERSION_ID", "osv"),
        ("OS.sysctl./proc/sys/kernel/osrelease", "kernel"),
        ("K8s.server.version", "k8s"),
    ):
        (warning,) = (warning for warning in detection.warnings if warning.startswith(path))
        assert warning.endswith(f"{field} stays unset")
        assert "\n" not in warning


def test_what_was_not_measured_is_named() -> None:
    detection = detect(snapshot(), CATALOG)
    assert detection.query == Query()
    assert [warning.partition(":")[0] for warning in detection.warnings] == [
        "the snapshot has no OS readings",
        "the snapshot has no K8s readings",
        "the snapshot has no GPU readings",
    ]
    assert [warning.partition(": ")[2] for warning in detection.warnings] == [
        "os, osv and kernel stay unset",
        "k8s and service stay unset",
        "gpu stays unset",
    ]


def test_a_measurement_without_readings_was_not_measured() -> None:
    detection = detect(snapshot(GPU_smi={}), CATALOG)
    assert any("no GPU readings" in warning for warning in detection.warnings)


@pytest.mark.parametrize(
    ("image", "doubted"),
    [
        ("Ubuntu 24.04.3 LTS", False),
        ("Ubuntu 22.04.5 LTS", True),
        ("Debian GNU/Linux 12 (bookworm)", True),
        ("Ubuntu", False),
        ("Amazon Linux 2023.5.20240701", True),
        ("Some Image 1.x", False),
    ],
)
def test_a_node_image_that_says_otherwise_is_a_warning(image: str, doubted: bool) -> None:
    release = {"ID": "ubuntu", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu 24.04.3 LTS"}
    detection = detect(snapshot(OS_release=release, K8s_node={"os-image": image}), CATALOG)
    assert detection.query.os == "ubuntu"
    assert any("Ubuntu 24.04.3 LTS" in warning and image in warning for warning in detection.warnings) == doubted


def test_a_node_kernel_that_says_otherwise_is_a_warning() -> None:
    facts = {"OS_sysctl": {"/proc/sys/kernel/osrelease": "6.8.0-1024-aws"}, "K8s_node": {"kernel-version": "6.14.0-1018-aws"}}
    detection = detect(snapshot(**facts), CATALOG)
    assert detection.query.kernel == "6.8.0-1024-aws"
    assert any("6.8.0-1024-aws" in warning and "6.14.0-1018-aws" in warning for warning in detection.warnings)


def test_numbers_stay_as_they_were_written() -> None:
    tree = from_text("measurements: [{type: os, subtypes: [{subtype: release, data: {ID: ubuntu, VERSION_ID: 24.10}}]}]", "x")
    assert detect(Snapshot.from_tree(tree, "x"), CATALOG).query.osv == "24.10"


def test_a_requested_field_is_not_warned_of() -> None:
    assert not detect(snapshot(), CATALOG, Query(os="ubuntu", osv="24.04", kernel="6.8", k8s="1.33", service="eks", gpu="h100")).warnings
    assert detect(snapshot(), CATALOG, Query(gpu="h100", k8s="1.33")).warnings == (
        "the snapshot has no OS readings: os, osv and kernel stay unset",
        "the snapshot has no K8s readings: service stays unset",
    )
