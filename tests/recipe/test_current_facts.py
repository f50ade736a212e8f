"""Facts that the shipped recipes once had wrong: each is as its source says, and the error is found when planted."""

from __future__ import annotations

from typing import Any

import pytest

from eidos.model.recipe_consistency import field_of
from eidos.recipe.lint import lint_trees
from eidos.recipe.resolver import resolve
from eidos.recipe.store import shipped_store
from tests.support.shipped import shipped_trees

EKS, OKE, GKE, OWN = ({"service": name} for name in ("eks", "oke", "gke", "self-managed"))
UBUNTU = {"os": "ubuntu", "osv": "24.04"}


def recipe_facts(query: dict[str, str]) -> dict[str, Any]:
    """Readings, constraints and what components have, each by its path, and ``warnings``."""
    store = shipped_store()
    recipe = resolve(store.catalog.parse_query(query), store)
    facts: dict[str, Any] = {
        f"{m.type}.{s.name}.{key}": value for m in recipe.measurements for s in m.subtypes for key, value in s.data.items()
    }
    facts.update({f"constraints.{constraint.name}": str(constraint.value) for constraint in recipe.constraints})
    for component in recipe.components:
        facts[component.id] = f"{component.repository} {component.chart} {component.version}"
        for path in (
            "driver.enabled",
            "driver.version",
            "gds.enabled",
            "gdrcopy.enabled",
            "toolkit.enabled",
            "devicePlugin.enabled",
            "nvidiaDriverRoot",
            "resources.gpus.enabled",
        ):
            value = field_of(component, f"values.{path}")
            if value is not None:
                facts[f"{component.id}.{path}"] = value
        for entry in (*component.values.get("toolkit", {}).get("env", ()), *component.values.get("devicePlugin", {}).get("env", ())):
            facts[f"{component.id}.{entry['name']}"] = entry["value"]
    return {**facts, "warnings": " ".join(recipe.warnings)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            {},
            {
                "gpu-operator": "https://helm.ngc.nvidia.com/nvidia gpu-operator v26.7.0",
                "constraints.K8s.server.version": ">= 1.33, <= 1.36",
            },
        ),
        ({}, {"cert-manager": "https://charts.jetstack.io cert-manager v1.21.1"}),
        ({**OWN, "gpu": "h100"}, {"GPU.smi.driver": "595.91.07", "GPU.smi.cuda-version": "13.2"}),
        ({**EKS, "gpu": "gb200"}, {"GPU.smi.driver": "580.178.04", "constraints.GPU.smi.driver": ">= 580.126.20, < 595"}),
        ({**EKS, "gpu": "gb300"}, {"GPU.smi.driver": "580.178.04", "constraints.GPU.smi.driver": ">= 580.126.20, < 595"}),
        ({**GKE, "gpu": "gb300"}, {"constraints.GPU.smi.driver": ">= 580.95.05"}),
        ({"gpu": "b300"}, {"constraints.GPU.smi.cuda-version": ">= 12.9"}),
        (EKS, {"constraints.K8s.server.version": ">= 1.33, <= 1.36"}),
        (GKE, {"constraints.K8s.server.version": ">= 1.33, <= 1.36", "gpu-operator.RUNTIME_CONFIG_SOURCE": "file"}),
        ({"os": "ubuntu"}, {"constraints.OS.release.VERSION_ID": "in (22.04, 24.04, 26.04)"}),
        (
            {"os": "rocky"},
            {"constraints.OS.release.VERSION_ID": "in (8.10, 9.7, 10.1)", "constraints.K8s.server.version": ">= 1.33, <= 1.36"},
        ),
        (
            {**EKS, "os": "amazonlinux"},
            {"gpu-operator.driver.enabled": False, "gpu-operator.toolkit.enabled": False, "K8s.image.container-toolkit": None},
        ),
        ({**EKS, "os": "amazonlinux", "gpu": "gb200"}, {"nvidia-dra-driver-gpu.nvidiaDriverRoot": "/", "GPU.smi.driver": "580.178.04"}),
        ({**EKS, "os": "ubuntu"}, {"gpu-operator.driver.enabled": None, "K8s.image.container-toolkit": "v1.20.0"}),
        (OKE, {"gpu-operator.devicePlugin.enabled": False}),
        (GKE, {"gpu-operator.devicePlugin.enabled": False}),
        (OWN, {"gpu-operator.devicePlugin.enabled": None}),
        ({"gpu": "gb200"}, {"constraints.K8s.server.version": ">= 1.34, <= 1.36", "nvidia-dra-driver-gpu.resources.gpus.enabled": False}),
        ({"gpu": "gb300"}, {"nvidia-dra-driver-gpu": "oci://registry.k8s.io/dra-driver-nvidia/charts dra-driver-nvidia-gpu 0.5.0"}),
        ({"intent": "training"}, {"kai-scheduler": "oci://ghcr.io/kai-scheduler/kai-scheduler kai-scheduler v0.16.9"}),
        ({**EKS, "intent": "training"}, {"aws-efa": "https://aws.github.io/eks-charts aws-efa-k8s-device-plugin v0.5.30"}),
        (EKS, {"aws-ebs-csi-driver": "https://kubernetes-sigs.github.io/aws-ebs-csi-driver aws-ebs-csi-driver 2.64.0"}),
        ({**EKS, **UBUNTU, "gpu": "gb200"}, {"OS.grub.acpi_power_meter.force_cap_on": None, "OS.sysctl./proc/sys/vm/max_map_count": None}),
        ({**OWN, **UBUNTU, "gpu": "gb200"}, {"OS.grub.acpi_power_meter.force_cap_on": "y", "OS.sysctl./proc/sys/vm/max_map_count": None}),
        ({**OWN, "os": "ubuntu", "osv": "22.04", "gpu": "gb200"}, {"OS.sysctl./proc/sys/vm/max_map_count": "262144"}),
        ({"gpu": "gb300"}, {"constraints.GPU.smi.driver": ">= 580", "OS.sysctl./proc/sys/vm/overcommit_memory": "1"}),
        ({"gpu": "gb200-nvl4"}, {"nvidia-dra-driver-gpu": None, "K8s.config.useOpenKernelModule": True}),
        ({"gpu": "t4"}, {"K8s.config.useOpenKernelModule": True, "constraints.GPU.smi.cuda-version": ">= 10.0"}),
        ({"gpu": "l40s"}, {"K8s.config.useOpenKernelModule": True, "K8s.config.mig": False}),
        ({"gpu": "h20"}, {"constraints.GPU.smi.driver": ">= 535.161.07"}),
        ({"gpu": "a30"}, {"constraints.GPU.smi.driver": ">= 460.73.01"}),
        ({"gpu": "v100"}, {"constraints.GPU.smi.driver": "<= 580", "K8s.config.useOpenKernelModule": False}),
        ({**OWN, **UBUNTU, "gpu": "v100"}, {"GPU.smi.driver": "580.178.04", "constraints.OS.release.VERSION_ID": "in (22.04, 24.04)"}),
        ({**EKS, **UBUNTU, "gpu": "v100"}, {"GPU.smi.driver": "580.178.04", "gpu-operator.driver.version": "580.178.04"}),
        ({**EKS, "os": "amazonlinux", "gpu": "v100"}, {"GPU.smi.driver": "580.178.04", "gpu-operator.driver.version": None}),
        ({**OWN, **UBUNTU, "gpu": "h200"}, {"OS.grub.iommu": "pt", "OS.sysctl./proc/sys/net/ipv4/tcp_congestion_control": "bbr"}),
        ({**OWN, "os": "rhel", "osv": "9.6", "gpu": "h100"}, {"OS.grub.init_on_alloc": "0", "OS.grub.iommu": "pt"}),
        ({**OWN, "os": "rhel", "osv": "8.10", "gpu": "h100"}, {"OS.grub.init_on_alloc": None, "OS.grub.iommu": "pt"}),
        ({**OWN, "os": "debian", "osv": "11", "gpu": "h100"}, {"OS.grub.init_on_alloc": None, "gpu-operator.driver.enabled": False}),
        ({**OWN, "gpu": "b200"}, {"OS.kmod.ib_umad": True, "OS.kmod.mlx5_core": True}),
        ({**OWN, "gpu": "h100"}, {"OS.kmod.ib_umad": None}),
        (
            {**OWN, **UBUNTU, "gpu": "gb300", "intent": "training"},
            {"gpu-operator.MOFED_ENABLED": "false", "K8s.config.rdma": True, "OS.sysctl./proc/sys/net/core/rmem_max": None},
        ),
        (
            {"service": "rke2"},
            {"gpu-operator.CONTAINERD_SOCKET": "/run/k3s/containerd/containerd.sock", "gpu-operator.CONTAINERD_CONFIG": None},
        ),
        ({"service": "k3s"}, {"constraints.K8s.server.version": ">= 1.33, <= 1.36"}),
        ({"service": "microk8s"}, {"constraints.K8s.server.version": ">= 1.33, <= 1.35"}),
        ({"service": "k0s"}, {"gpu-operator.CONTAINERD_CONFIG": "/etc/k0s/containerd.d/nvidia.toml"}),
        ({"service": "rke2", "gpu": "gb200"}, {"SystemD.containerd.service.LimitSTACK": None}),
        ({**OWN, "gpu": "gb200"}, {"SystemD.containerd.service.LimitSTACK": 67108864}),
        ({"service": "rke2", "os": "sles", "osv": "15.7"}, {"gpu-operator.driver.version": "595", "GPU.smi.driver": None}),
        ({"service": "rke2", "os": "sles", "osv": "15.7", "gpu": "v100"}, {"GPU.smi.driver": "580.178.04"}),
        ({"service": "aks", **UBUNTU, "gpu": "h100", "intent": "inference"}, {"OS.grub.iommu": None, "OS.grub.hugepages": None}),
        ({"service": "aks", **UBUNTU, "gpu": "h100", "intent": "training"}, {"OS.grub.pci": None, "OS.grub.init_on_alloc": None}),
        ({"service": "oke", **UBUNTU, "gpu": "gb300"}, {"OS.grub.hugepages": None, "OS.grub.iommu.passthrough": "1"}),
        ({"service": "oke", **UBUNTU, "gpu": "gb200"}, {"OS.grub.hugepages": "5128"}),
        (
            {"service": "openshift", "gpu": "h100"},
            {
                "K8s.image.dcgm": "4.6.0-1-ubi10",
                "K8s.image.node-feature-discovery": None,
                "constraints.K8s.server.version": ">= 1.32, <= 1.37",
            },
        ),
        (
            {"service": "rke2", "os": "ubuntu", "osv": "26.04", "gpu": "vr200"},
            {"GPU.smi.driver": "615.71.09", "GPU.smi.cuda-version": None, "K8s.image.k8s-driver-manager": None},
        ),
        ({**OWN, "os": "debian", "osv": "12", "gpu": "a100"}, {"K8s.image.k8s-driver-manager": None, "GPU.smi.driver": "595.91.07"}),
        (
            {"service": "bcm", **UBUNTU, "gpu": "h100", "intent": "training"},
            {"gpu-operator.gds.enabled": True, "gpu-operator.gdrcopy.enabled": True},
        ),
        ({"service": "kind"}, {"gpu-operator.driver.enabled": False, "gpu-operator.toolkit.enabled": True}),
        ({"service": "talos", "os": "talos", "osv": "1.13"}, {"gpu-operator.driver.enabled": False, "gpu-operator.toolkit.enabled": False}),
        ({"service": "talos", "os": "talos", "osv": "1.15"}, {"gpu-operator.driver.enabled": False, "gpu-operator.toolkit.enabled": None}),
        ({"service": "openshift", "intent": "inference"}, {"gpu-operator": None, "nim-operator": None, "prometheus-adapter": None}),
        (
            {"service": "cks", "gpu": "h100", "intent": "training"},
            {
                "gpu-operator": None,
                "network-operator": None,
                "kai-scheduler": None,
                "K8s.image.gpu-operator": None,
                "K8s.config.cdi": None,
                "GPU.smi.driver": None,
                "constraints.K8s.server.version": ">= 1.34, <= 1.36",
            },
        ),
        ({"service": "cks", "gpu": "gb200", "intent": "inference"}, {"nvidia-dra-driver-gpu": None, "nim-operator": None}),
        (
            {"service": "rke2", "os": "ubuntu", "osv": "26.04", "gpu": "vr200", "intent": "inference"},
            {
                "constraints.K8s.server.version": ">= 1.34.1, < 1.36",
                "SystemD.nvidia-imex.service.UnitFileState": "masked",
                "gpu-operator.driver.enabled": False,
                "nvidia-dra-driver-gpu.nvidiaDriverRoot": "/",
            },
        ),
        (
            {"service": "oke", **UBUNTU, "gpu": "gb300", "kernel": "6.8.0-1029-oracle"},
            {"OS.grub.iommu.passthrough": "0"},
        ),
        (
            {**EKS, **UBUNTU, "gpu": "h100"},
            {"OS.sysctl./proc/sys/kernel/osrelease": None, "constraints.OS.sysctl./proc/sys/kernel/osrelease": ">= 6.8"},
        ),
    ],
)
def test_a_fact_is_as_its_source_says(query: dict[str, str], expected: dict[str, Any]) -> None:
    facts = recipe_facts(query)
    assert {path: facts.get(path) for path in expected} == expected


@pytest.mark.parametrize(("os", "osv", "has_rdma"), [
    ("ubuntu", "22.04", True), ("ubuntu", "24.04", True), ("ubuntu", "26.04", False), ("rhel", "8.10", True), ("rhel", "10.0", True),
    ("rhel", "9.6", False), ("rhel", "10.1", False), ("rocky", "9.7", False), ("debian", "12", False),
])  # fmt: skip
def test_rdma_is_recommended_only_where_a_release_of_the_network_operator_is_named(os: str, osv: str, has_rdma: bool) -> None:
    for k8s, is_supported in (("1.34", True), ("1.35.2", True), ("1.36", False), ("1.37", False)):
        facts = recipe_facts({**OWN, "intent": "training", "os": os, "osv": osv, "k8s": k8s})
        assert ("network-operator" in facts) == (facts.get("K8s.config.rdma") is True) == (has_rdma and is_supported)


@pytest.mark.parametrize(
    "query", [{**OWN, "k8s": "1.37"}, {**EKS, "k8s": "1.32"}, {"os": "rhel", "k8s": "1.32"}, {"gpu": "gb200", "k8s": "1.33.9"}]
)
def test_a_kubernetes_release_that_is_out_of_range_is_reported(query: dict[str, str]) -> None:
    assert f"does not cover k8s '{query['k8s']}'" in recipe_facts(query)["warnings"]


@pytest.mark.parametrize("gpu", ["gb200", "gb300"])
def test_that_no_driver_is_valid_is_stated(gpu: str) -> None:
    warnings = recipe_facts({**EKS, "gpu": gpu, "os": "ubuntu", "osv": "26.04"})["warnings"]
    assert "does not cover osv '26.04'" in warnings and "No driver works on Ubuntu 26.04 here" in warnings
    assert recipe_facts({**EKS, "gpu": "h100", "os": "ubuntu", "osv": "26.04"})["warnings"] == ""


@pytest.mark.parametrize("gpu", ["gb200", "gb300", "gh200"])
def test_rhel_9_has_no_driver_container_for_arm(gpu: str) -> None:
    assert "does not cover osv '9.6'" in recipe_facts({**OWN, "gpu": gpu, "os": "rhel", "osv": "9.6"})["warnings"]
    assert recipe_facts({**OWN, "gpu": "h100", "os": "rhel", "osv": "9.6"})["constraints.OS.release.VERSION_ID"].startswith(
        "in (8.8, 8.10, 9.2"
    )


@pytest.mark.parametrize("gpu", ["h100", "a100", "b200", "gb200", "l4"])
@pytest.mark.parametrize("intent", ["training", "inference"])
def test_rke2_on_any_machine_has_what_a_cluster_of_your_own_has(gpu: str, intent: str) -> None:
    """A snapshot of RKE2 on EC2 is of service rke2: what self-managed recommends holds for it, and nothing of EKS does."""
    own, rke2 = (recipe_facts({"service": service, **UBUNTU, "gpu": gpu, "intent": intent}) for service in ("self-managed", "rke2"))
    for facts in (own, rke2):
        facts.pop("warnings")
    differing = {path for path in own if rke2.get(path) != own[path]}
    # Its containerd is no unit of systemd.
    assert differing <= {"SystemD.containerd.service.LimitSTACK", "SystemD.containerd.service.LimitSTACKSoft"}
    assert not {"aws-efa", "aws-ebs-csi-driver"} & set(rke2)


def test_why_a_component_is_left_out_is_stated() -> None:
    warnings = recipe_facts({"service": "openshift"})["warnings"]
    assert "gpu-operator is left out: OpenShift installs the certified operator from its own catalog (OLM)" in warnings
    warnings = recipe_facts({"service": "cks"})["warnings"]
    assert "gpu-operator is left out: CoreWeave manages the GPU Operator on CKS" in warnings
    assert "spec.gpu.version of a node pool chooses the branch of the driver" in warnings
    assert "left out" not in recipe_facts({**OWN, "intent": "training"})["warnings"]


@pytest.mark.slow
def test_nothing_shipped_ends_before_the_date_of_the_data_and_all_of_it_some_day() -> None:
    trees = {path: tree for path, tree in shipped_trees().items() if not path.startswith("overlays/") or "service-" in path}
    assert [issue for issue in lint_trees(trees) if issue.rule == "ended"] == []
    assert [issue for issue in lint_trees(trees, today="2027-03-31") if issue.rule == "ended"] == []
    ended = [issue for issue in lint_trees(trees, today="2027-04-01") if issue.rule == "ended"]
    assert {issue.message.partition(" (")[0] for issue in ended} == {
        "driver 595.91.07 has had no fixes since 2027-03",
        "cuda 13.2 has had no fixes since 2027-03",
    }
