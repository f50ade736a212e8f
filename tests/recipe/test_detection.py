"""The query of a snapshot: from one of several readings, in doubt or missing with a warning."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.collectors import k8s_node
from eidos.errors import InvalidInput
from eidos.formats import from_text
from eidos.model.query import Query
from eidos.model.snapshot import Snapshot
from eidos.recipe.detection import Detection, detect, match_model
from eidos.recipe.lint.rule_tables import shipped_rules
from eidos.recipe.store import shipped_store
from eidos.workflow import make_recipe

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


#: Provider and version of a cluster → its service, and words of the warnings, or () when there are none.
SERVICES = [
    # The service's own version.
    ("aws", "v1.33.5-eks-3025e55", "eks", ()),
    ("", "v1.30.14-eks-3025e55", "eks", ()),
    ("gce", "v1.33.5-gke.1337000", "gke", ()),
    ("", "v1.33.5-gke.1337000", "gke", ()),
    # The collector found the service's labels; versions of AKS and OKE are plain.
    ("eks", "v1.33.5-eks-3025e55", "eks", ()),
    ("aks", "v1.33.5", "aks", ()),
    ("oke", "v1.33.5", "oke", ()),
    ("AKS", "", "aks", ()),
    ("eks", "", "eks", ()),
    ("eks", "v1.33.5", "eks", ("K8s.node.provider 'eks'", "'v1.33.5' has no -eks")),
    ("gke", "v1.33.5", "gke", ("has no -gke",)),
    # A cloud's machines alone: kops, kubeadm, Cluster API.
    ("aws", "v1.33.5", "self-managed", ("nothing shows eks", "use --service eks if it is eks")),
    ("gce", "v1.33.5", "self-managed", ("nothing shows gke",)),
    ("azure", "v1.33.5", "self-managed", ("nothing shows aks", "kubernetes.azure.com/")),
    ("oci", "v1.33.5", "self-managed", ("nothing shows oke", "oke.oraclecloud.com/")),
    ("linode", "v1.33.5", "self-managed", ("nothing shows lke", "lke.linode.com/")),
    ("azure", "", "self-managed", ("nothing shows aks",)),
    ("aws", "", "", ("K8s.server.version is unknown: service stays unset",)),
    ("gce", "", "", ("K8s.server.version is unknown: service stays unset",)),
    # A distribution's version is better evidence than whose machines they are.
    ("aws", "v1.33.5+rke2r1", "rke2", ()),
    ("rke2", "v1.33.5+rke2r1", "rke2", ()),
    ("azure", "v1.33.5+k3s1", "k3s", ()),
    ("k3s", "v1.33.5+k3s1", "k3s", ()),
    ("k3s", "", "k3s", ()),
    ("gce", "v1.33.5+k0s.0", "k0s", ()),
    ("kind", "v1.33.5", "kind", ()),
    ("eks", "v1.33.5+rke2r1", "rke2", ("'v1.33.5+rke2r1' means rke2", "'eks' means eks: using the former")),
    ("", "v1.33.5+k3s1", "k3s", ()),
    # Builds of a cloud's service elsewhere.
    ("tinkerbell", "v1.33.4-eks-1-33-10", "self-managed", ()),
    ("tinkerbell", "v1.33.4-eks-3025e55", "self-managed", ()),
    ("vsphere", "v1.33.4-gke.100", "self-managed", ()),
    ("aws", "v1.33.4-eks-1-33-10", "self-managed", ()),
    ("nebula", "v1.33.4-eks-3025e55", "", ("'nebula', which is not in the catalog", "eks runs on aws", "service stays unset")),
    ("azure", "v1.30.14-eks-3025e55", "self-managed", ("nothing shows aks",)),
    # Two services cannot both be right.
    ("aks", "v1.30.14-eks-3025e55", "", ("means eks", "means aks: service stays unset")),
    # OpenShift is itself, whoever owns the machines.
    ("openshift", "v1.31.6", "openshift", ()),
    ("cks", "v1.35.2", "cks", ()),
    ("coreweave", "v1.35.2", "cks", ()),
    ("nebula", "v1.33.5", "", ("K8s.node.provider is 'nebula', which is not in the catalog: service stays unset",)),
]


@pytest.mark.parametrize(("provider", "version", "service", "words"), SERVICES)
def test_the_service_is_named_by_its_own_evidence(provider: str, version: str, service: str, words: tuple[str, ...]) -> None:
    detection = node(provider, version)
    assert (detection.query.service, detection.query.k8s) == (service, version)
    warnings = [warning for warning in detection.warnings if "service" in warning or " means " in warning or "K8s.node" in warning]
    warnings = [warning for warning in warnings if not warning.startswith("the snapshot has no")]
    assert len(warnings) == bool(words)
    assert all(word in warnings[0] for word in words)
    assert ("service" in detection.unknown) == (not service)


@pytest.mark.parametrize(
    ("provider", "version", "label", "service", "words"),
    [
        # A service's label on machines that are not its cloud's: Hybrid Nodes, Azure Local.
        ("eks-hybrid", "v1.33.5-eks-3025e55", "eks.amazonaws.com/compute-type", "", "means eks, but eks runs on aws): service stays unset"),
        ("moc", "v1.33.5", "kubernetes.azure.com/cluster", "", "cluster means aks, but aks runs on azure): service stays unset"),
        ("vsphere", "v1.33.5", "kubernetes.azure.com/cluster", "self-managed", ""),
        # Those of two services contradict each other wherever they are.
        (
            "aws",
            "v1.33.5-eks-3025e55",
            "kubernetes.azure.com/cluster",
            "",
            "means eks, but the label kubernetes.azure.com/cluster means aks",
        ),
        # Machines on which a distribution runs are not evidence against it.
        ("vsphere", "v1.33.5", "node.openshift.io/os_id", "openshift", ""),
        ("nutanix", "v1.33.5", "microk8s.io/cluster", "microk8s", ""),
        ("vsphere", "v1.33.5+rke2r1", "x/y", "rke2", ""),
        ("k3s", "v1.33.5+rke2r1", "x/y", "rke2", "'k3s' means k3s: using the former"),
    ],
)
def test_labels_are_evidence_on_the_machines_of_their_cloud(provider: str, version: str, label: str, service: str, words: str) -> None:
    detection = node(provider, version, **{f"label.{label}": "x"})
    assert detection.query.service == service
    warnings = [warning for warning in detection.warnings if " means " in warning or "not in the catalog" in warning]
    assert [words in warning for warning in warnings] == [True] * bool(words), warnings


@pytest.mark.parametrize(
    ("id", "service", "words"),
    [
        ("azure:///subscriptions/x", "self-managed", "nothing shows aks"),
        ("aws:///us-east-1e/i-1", "self-managed", "nothing shows eks"),
        ("ocid1.instance.oc1.iad.x", "self-managed", "nothing shows oke"),
        ("cn-hangzhou.i-bp1abc1", "", "K8s.node.provider-id is 'cn-hangzhou.i-bp1abc1', which names no provider: service stays unset"),
        ("i-0a1b", "", "names no provider"),
        ("nebula://x", "", "K8s.node.provider is 'nebula', which is not in the catalog"),
    ],
)
def test_the_scheme_of_a_providers_id_stands_for_the_provider(id: str, service: str, words: str) -> None:
    for facts in ({"provider-id": id}, {"provider-id": id, "provider": id}):
        if facts.get("provider") != id or "://" not in id:
            detection = node(**facts)
            assert detection.query.service == service
            assert any(words in warning for warning in detection.warnings)


@pytest.mark.parametrize(
    ("label", "provider", "service"),
    [
        ("eks.amazonaws.com/nodegroup", "aws", "eks"),
        ("cloud.google.com/gke-nodepool", "gce", "gke"),
        ("kubernetes.azure.com/agentpool", "azure", "aks"),
        ("oke.oraclecloud.com/node.info.private_worker", "oci", "oke"),
        ("lke.linode.com/pool-id", "linode", "lke"),
        ("node.openshift.io/os_id", "aws", "openshift"),
        ("node.openshift.io/os_id", "", "openshift"),
        ("compute.coreweave.com/node-pool", "", "cks"),
        ("microk8s.io/cluster", "aws", "microk8s"),
        ("anywhere.eks.amazonaws.com/x", "aws", "self-managed"),
        ("topology.kubernetes.io/zone", "azure", "self-managed"),
    ],
)
def test_labels_of_the_service_are_evidence(label: str, provider: str, service: str) -> None:
    facts = {"source-node": "gpu-07", **({"provider": provider} if provider else {})}
    one = detect(snapshot(K8s_server={"version": "v1.33.5"}, K8s_node={**facts, f"label.{label}": "x"}), CATALOG)
    every = detect(snapshot(K8s_server={"version": "v1.33.5"}, K8s_node=facts, K8s_topology={f"label.{label}=x": "2: all"}), CATALOG)
    assert (one.query.service, every.query.service) == (service, service)


def test_openshift_is_known_by_its_system() -> None:
    image = "Red Hat Enterprise Linux CoreOS 418.94.202501221327-0"
    for provider in ("aws", "eks", ""):
        detection = node(provider, "v1.31.6", **{"os-image": image})
        assert detection.query.service == "openshift"
        assert any("means eks: using the former" in warning for warning in detection.warnings) == (provider == "eks")
    assert (
        detect(snapshot(OS_release={"ID": "rhel", "PRETTY_NAME": image}, K8s_node={"provider": "aws"}), CATALOG).query.service
        == "openshift"
    )


def test_talos_is_known_by_its_system() -> None:
    detection = node("aws", "v1.34.1", **{"os-image": "Talos (v1.13.2)"})
    assert (detection.query.service, [w for w in detection.warnings if "service" in w]) == ("talos", [])


@pytest.mark.parametrize(
    ("id", "os"),
    [
        ("ol", "oraclelinux"), ("sles", "sles"), ("rhcos", "rhcos"), ("talos", "talos"), ("bottlerocket", "bottlerocket"),
        ("flatcar", "flatcar"), ("azurelinux", "azurelinux"), ("mariner", "azurelinux"), ("amzn", "amazonlinux"),
    ],
)  # fmt: skip
def test_the_system_is_known_by_its_id(id: str, os: str) -> None:
    detection = detect(snapshot(OS_release={"ID": id, "VERSION_ID": "9.1"}), CATALOG)
    assert (detection.query.os, detection.unknown) == (os, {})


@pytest.mark.parametrize(
    ("model", "gpu"),
    [
        ("Tesla T4", "t4"), ("NVIDIA L4", "l4"), ("NVIDIA L40", "l40"), ("NVIDIA L20", "l20"), ("NVIDIA A10", "a10"),
        ("NVIDIA A10G", "a10"),
        ("NVIDIA A30", "a30"), ("NVIDIA A40", "a40"), ("NVIDIA A16", "a16"), ("NVIDIA A2", "a2"), ("NVIDIA H20", "h20"),
        ("NVIDIA H20-3e", "h20"), ("NVIDIA H800", "h800"), ("NVIDIA A800-SXM4-80GB", "a800"), ("NVIDIA H200 NVL", "h200"),
        ("Tesla V100-SXM2-16GB", "v100"), ("Tesla P100-PCIE-16GB", "p100"), ("Tesla P40", "p40"), ("Tesla P4", "p4"),
        ("NVIDIA B300 SXM6 AC", "b300"), ("NVIDIA GB200", "gb200"), ("NVIDIA Graphics Device", ""), ("NVIDIA A100X", ""),
    ],
)  # fmt: skip
def test_the_model_names_the_gpu(model: str, gpu: str) -> None:
    assert gpus(model).query.gpu == gpu


@pytest.mark.parametrize("model", ["Orin (nvgpu)", "NVIDIA Thor"])
def test_what_is_out_of_scope_is_named_and_never_recommended_for(model: str) -> None:
    detection = gpus(model)
    assert (detection.query.gpu, detection.unknown) == ("", {"gpu": model})
    (warning,) = gpu_warnings(detection)
    assert "which is not supported (GPU Operator supports discrete GPUs only" in warning and warning.endswith("gpu stays unset")
    with pytest.raises(InvalidInput) as caught:
        CATALOG.parse_query({"gpu": "jetson"}, {"gpu": "--gpu"})
    assert (caught.value.hint, "NVIDIA Jetson is not supported" in caught.value.message) == ("remove --gpu", True)
    assert "jetson" not in CATALOG.names("gpu")


def test_the_collector_and_the_catalog_agree_on_labels_and_clouds() -> None:
    shown = {entry.clouds[0]: (entry.name, entry.labels) for entry in CATALOG.entries["service"] if entry.is_managed}
    assert shown == k8s_node.MANAGED_SERVICES
    openshift, cks, self_managed = (CATALOG.entry("service", name) for name in ("openshift", "cks", "self-managed"))
    assert openshift is not None and openshift.labels == (k8s_node.OPENSHIFT_LABEL,)
    assert cks is not None and cks.labels == (k8s_node.COREWEAVE_LABEL,)
    assert self_managed is not None and self_managed.clouds == tuple(shown)


@given(st.text(max_size=12), st.text(max_size=20), st.sampled_from(["", "-eks-3025e55", "-gke.1", "+k3s1", "-eks-1-33-1"]))
def test_a_service_is_never_unset_in_silence_and_never_a_clouds_without_evidence(provider: str, id: str, suffix: str) -> None:
    detection = node(provider, f"v1.33.5{suffix}", **({"provider-id": id} if id else {}))
    if not detection.query.service:
        assert any("service" in warning for warning in detection.warnings)
    names = {
        entry.name for entry in CATALOG.entries["service"] if entry.is_managed and provider.lower() not in (entry.name, *entry.aliases)
    }
    if not suffix.startswith(("-eks-3", "-gke")):
        assert detection.query.service not in names


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
        ("Tesla T40", None),
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


@pytest.mark.parametrize("image", ["9.6.20260504-0 (Plow)", "418.94.202501221327-0"])
def test_a_node_of_openshift_has_openshifts_version(image: str) -> None:
    """RHCOS has the id and version of RHEL from 4.19 on, and what its image is called is no version of OpenShift."""
    system = {"ID": "rhel", "VARIANT_ID": "coreos", "VERSION_ID": "9.6"} if image.startswith("9") else {"ID": "rhcos", "VERSION_ID": "4.18"}
    version = "4.21" if image.startswith("9") else "4.18"
    facts = {"OS_release": {**system, "OPENSHIFT_VERSION": version}, "K8s_server": {"version": "v1.34.2"}, "OS_sysctl": {}}
    detection = detect(snapshot(**facts, K8s_node={"os-image": f"Red Hat Enterprise Linux CoreOS {image}"}), CATALOG)
    assert (detection.query.os, detection.query.osv, detection.query.service) == ("rhcos", version, "openshift")
    assert not [warning for warning in detection.warnings if "os-image" in warning]
    plain = detect(snapshot(OS_release={"ID": "rhel", "VERSION_ID": "9.6"}), CATALOG).query
    assert (plain.os, plain.osv) == ("rhel", "9.6")


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


A100, DISPLAY, L40S, VGPU = "NVIDIA A100-SXM4-80GB", "NVIDIA DGX Display", "NVIDIA L40S", "NVIDIA L40S-48C"


def gpus(*models: str | None, first: str | None = None, count: int | None = None) -> Detection:
    """The detection of a node with these GPUs; ``first`` is what ``smi`` says of the first one, ``count`` how many it says there are."""
    first = first if first is not None else models[0] if models else None
    subtypes = {f"GPU_gpu-{number}": {"model": model} if model else {"uuid": "x"} for number, model in enumerate(models)}
    smi = {"gpu.model": first, "gpu-count": count, "driver": "570.86.15"}
    return detect(snapshot(GPU_smi={key: value for key, value in smi.items() if value is not None}, **subtypes), CATALOG)


def gpu_warnings(detection: Detection) -> list[str]:
    return [warning for warning in detection.warnings if not warning.startswith("the snapshot has no")]


@pytest.mark.parametrize(
    ("models", "gpu", "words"),
    [
        ((A100, DISPLAY), "a100", ["1 x 'NVIDIA A100-SXM4-80GB' and 1 x 'NVIDIA DGX Display'", "covers only a100"]),
        ((A100, A100, A100, A100, DISPLAY), "a100", ["4 x 'NVIDIA A100-SXM4-80GB' and 1 x 'NVIDIA DGX Display'"]),
        ((A100, L40S, L40S), "l40s", ["1 x 'NVIDIA A100-SXM4-80GB' and 2 x 'NVIDIA L40S'", "covers only l40s"]),
        (("NVIDIA A100-SXM4-40GB", A100), "a100", []),
        ((A100, L40S), "", ["as many of one as of another", "--gpu"]),
        ((DISPLAY, DISPLAY, A100), "", ["2 x 'NVIDIA DGX Display'", "'NVIDIA A100-SXM4-80GB'", "not in the catalog: gpu stays unset"]),
        ((A100, VGPU), "a100", ["'NVIDIA L40S-48C', a virtual GPU"]),
        ((A100,), "a100", []),
    ],
)
def test_a_node_with_several_models_is_for_the_majority_in_any_order(models: tuple[str, ...], gpu: str, words: list[str]) -> None:
    answers = {(answer.query.gpu, *answer.warnings) for answer in (gpus(*order) for order in itertools.permutations(models))}
    assert len(answers) == 1
    detection = gpus(*models)
    assert detection.query.gpu == gpu
    warnings = gpu_warnings(detection)
    assert len(warnings) == bool(words)
    assert all(word in warnings[0] for word in words)
    assert ("gpu" in detection.unknown) == (not gpu)


@given(st.lists(st.sampled_from([A100, L40S, DISPLAY, VGPU, "NVIDIA H100 80GB HBM3"]), min_size=1, max_size=9), st.randoms())
def test_the_order_of_gpus_changes_nothing_and_no_model_is_passed_over(models: list[str], random: Any) -> None:
    shuffled = list(models)
    random.shuffle(shuffled)
    detection = gpus(*models)
    assert gpus(*shuffled) == detection
    unlike = {model for model in models if match_model(model, CATALOG) != detection.query.gpu}
    assert all(any(repr(model) in warning for warning in detection.warnings) for model in unlike)


def test_the_gpus_count_although_the_first_is_lost() -> None:
    detection = gpus(None, A100, A100, count=3)
    assert detection.query.gpu == "a100"
    assert gpu_warnings(detection) == ["GPU.smi.gpu-count is 3, but 1 GPU has no model"]
    assert gpu_warnings(gpus(None, None, A100, count=3)) == ["GPU.smi.gpu-count is 3, but 2 GPUs have no model"]
    # The Go program writes the first GPU alone.
    assert gpu_warnings(gpus(first=A100, count=8)) == []


@pytest.mark.parametrize("model", [VGPU, "GRID V100D-8Q", "NVIDIA A100-1-5CME", "NVIDIA A16-2B", "NVIDIA H100L-94C", "GRID T4-2B4"])
def test_a_virtual_gpu_is_no_complete_one(model: str) -> None:
    detection = gpus(model)
    assert (detection.query.gpu, detection.unknown) == ("", {"gpu": model})
    (warning,) = gpu_warnings(detection)
    assert repr(model) in warning and "virtual GPU (vGPU)" in warning and warning.endswith("gpu stays unset")


def test_the_driver_reports_a_virtual_gpu_whatever_its_name() -> None:
    modes = {"None": "l40s", "Pass-Through": "l40s", "Host VGPU": "l40s", "VGPU": ""}
    for mode, gpu in modes.items():
        facts = snapshot(GPU_smi={"gpu.model": L40S}, **{"GPU_gpu-0": {"model": L40S, "virtualization-mode": mode}})
        assert detect(facts, CATALOG).query.gpu == gpu


def test_a_jetson_is_named() -> None:
    detection = detect(snapshot(OS_kmod={"nvgpu": True}), CATALOG)
    assert any("Jetson" in warning and "gpu stays unset" in warning for warning in detection.warnings)
    assert not any("no GPU readings" in warning for warning in detection.warnings)


def test_the_catalog_and_the_rules_of_lint_agree() -> None:
    rules = shipped_rules()
    hosts = {entry.name: entry.cpu for entry in CATALOG.entries["gpu"] if entry.cpu}
    assert hosts == {host.gpu: host.architecture for host in rules.hosts}
    systems = {entry.name: entry.systems for entry in CATALOG.entries["service"] if entry.systems}
    assert systems == {rule.service: rule.os for rule in rules.systems}
    assert all(entry.architecture for entry in CATALOG.entries["gpu"])


def test_the_name_of_a_cloud_is_answered_with_its_services() -> None:
    with pytest.raises(InvalidInput) as caught:
        CATALOG.parse_query({"service": "AWS"})
    assert caught.value.hint == "name the Kubernetes service on AWS: eks or self-managed"


@pytest.mark.parametrize(
    ("service", "more", "is_warned"),
    [
        ("eks", {}, True),
        ("eks", {"K8s_image": {"gpu-operator": "v25.3.0"}}, False),
        ("eks", {"K8s_policy": {"driver.enabled": True}}, False),
        ("eks", {"OS_kmod": {"nvidia_peermem": True}}, False),
        ("gke", {}, False),
    ],
)
def test_a_second_driver_is_not_installed_in_silence(service: str, more: dict[str, Any], is_warned: bool) -> None:
    facts = {"OS_kmod": {"nvidia": True}, "GPU_smi": {"driver": "570.133.20", "gpu.model": "NVIDIA H100 80GB HBM3"}, **more}
    recipe = make_recipe({"service": service}, snapshot=snapshot(**facts))
    sentences = [warning for warning in recipe.warnings if "--set gpu-operator:driver.enabled=false" in warning]
    assert len(sentences) == is_warned
    assert all("(570.133.20)" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        ("999.1.1", "unknown branch 999; the newest known are 580, 590, 595, 610, 615 and 620"),
        *((text, "not a version of the driver, such as 580.178.04") for text in ("^580", "580.x", ">= 580", "v580.95.05", "[N/A]", "0")),
        *((text, "") for text in ("580.178.04", "450.80.02", "615.71.09", "620.1", "<withheld>", "")),
    ],
)
def test_what_cannot_be_a_driver_is_a_warning(driver: str, problem: str) -> None:
    recipe = make_recipe({"service": "gke"}, snapshot=snapshot(GPU_smi={"driver": driver, "gpu.model": "NVIDIA H100 80GB HBM3"}))
    sentences = [warning for warning in recipe.warnings if warning.startswith("GPU.smi.driver is ")]
    assert sentences == ([f"GPU.smi.driver is {driver!r}: {problem}"] if problem else [])
