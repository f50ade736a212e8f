"""Errors that public sources shipped, and others of their kinds, planted one at a time: lint finds each, with its file, line and a hint.

A row is the key of a layer, what the layer says (``path: value`` of a reading, ``path >= limit`` of a constraint, ``id@version`` or
``id path=value`` of a component), the shipped overlays that it needs beside it, and the rule that finds it.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eidos.recipe.lint import ERROR, WARNING, LintIssue, lint_trees, merged_issues
from eidos.recipe.lint.combinations import combinations
from eidos.recipe.lint.file_forms import read_trees
from eidos.recipe.lint.line_numbers import line_of, with_lines
from eidos.recipe.lint.rule_tables import shipped_rules
from tests.support.shipped import shipped_trees

CARRIED = shipped_trees()

EKS, GKE, OKE, AKS, OWN = "service: eks", "service: gke", "service: oke", "service: aks", "service: self-managed"
H100, GB200, NOBLE, SYSCTL = "gpu: h100", "gpu: gb200", 'os: ubuntu, osv: "24.04"', "OS.sysctl./proc/sys/"

Row = tuple[str, str, tuple[str, ...], str]

PLANTED: dict[str, Row] = {
    # Versions that ended, moved on or never were.
    "a driver of an ended branch": (OWN, "GPU.smi.driver: 570.211.01", (), "ended"),
    "a feature branch that ended": (OWN, "GPU.smi.driver: 610.57.04", (), "ended"),
    "a driver that a matrix of support lists after its end": (OWN, "GPU.smi.driver: 535.309.01", (), "ended"),
    "an operator without support": (H100, "gpu-operator@v25.10.1", (), "ended"),
    "cert-manager without support": (H100, "cert-manager@v1.17.2", (), "ended"),
    "CUDA of a driver that ended": (OWN, 'GPU.smi.cuda-version: "12.8"', (), "ended"),
    "a driver that release notes misspell": (OWN, "GPU.smi.driver: 595.91.97", (), "unknown-release"),
    "a driver of an unknown branch": (OWN, "GPU.smi.driver: 999.1.1", (), "unknown-release"),
    "an operator that a page of life cycles misspells": (H100, "gpu-operator@v26.6.0", (), "unknown-release"),
    "a patch that is not built any more": (OWN, "GPU.smi.driver: 580.173.02", (), "superseded"),
    # Words that a setting does not have.
    "a misspelt word of a boot parameter": (H100, "OS.grub.numa_balancing: disbale", (), "out-of-range"),
    "a misspelt truth": (H100, "K8s.config.cdi: treu", (), "out-of-range"),
    "a misspelt mode": (H100, "GPU.smi.gpu.persistence-mode: Enbaled", (), "out-of-range"),
    # Ranges of support.
    "cert-manager on a newer Kubernetes": ('k8s: "1.35"', "cert-manager@v1.17.2", (), "unsupported"),
    "the newest cert-manager on an older one": ('k8s: "1.32"', "cert-manager@v1.21.1", (), "never-satisfied"),
    "an operator before Ubuntu 26.04": ('os: ubuntu, osv: "26.04"', "gpu-operator@v26.3.3", (), "unsupported"),
    "an operator before Kubernetes 1.36": ('k8s: "1.36"', "gpu-operator@v26.3.1", (), "unsupported"),
    "a Network Operator on Kubernetes 1.36": ('k8s: ">= 1.36"', "network-operator@26.1.2", (), "unsupported"),
    "compute domains without the stable API": ('k8s: "1.33"', "nvidia-dra-driver-gpu@0.5.0", (), "unsupported"),
    "the operator's own form of DRA before 1.34.2": ('k8s: "1.34.1"', "gpu-operator gpuCluster.deployCR=true", (), "unsupported"),
    "network devices of AWS through DRA before 1.35": ('k8s: "1.34"', "aws-dranet@1.0.0", (), "unsupported"),
    "an operand older than its operator": (H100, "K8s.image.vgpu-device-manager: v0.4.2", (), "unsupported"),
    "another one": (H100, "K8s.image.kubevirt-gpu-device-plugin: v1.5.0", (), "unsupported"),
    "a driver that a Volta GPU is too old for": ("gpu: v100", "GPU.smi.driver: 595.91.07", (), "unsupported"),
    "modules chosen by a driver that is too old for it": (
        OWN,
        "GPU.smi.driver: 565.57.01 + gpu-operator driver.kernelModuleType=auto",
        (),
        "unsupported",
    ),
    "a driver with which Pods beside MIG stay pending": (
        OWN,
        "GPU.smi.driver: 570.158.01 + gpu-operator mig.strategy=mixed",
        (),
        "unsupported",
    ),
    "RDMA on a system that no release is named for": (
        'os: rhel, osv: "9.6"',
        'network-operator@26.1.2 + K8s.config.rdma: true + OS.release.VERSION_ID: "9.6"',
        (),
        "unsupported",
    ),
    "a pair of operators without RDMA": (H100, "gpu-operator@v26.3.3 + network-operator@26.4.1", (), "apart"),
    "EFA given out twice": (EKS, "aws-efa@v0.5.30 + aws-dranet@1.0.0", (), "apart"),
    "two installers that are one DaemonSet": (GKE, "gke-nccl-gib@v1.1.1 + gke-nccl-gib-arm64@v1.1.0", (), "apart"),
    # Drivers and where they can be.
    "branch 580 on Ubuntu 26.04": ('os: ubuntu, osv: "26.04"', "GPU.smi.driver: 580.178.04", (), "unbuilt-driver"),
    "branch 595 where EFA needs 580": (
        f"{EKS}, {GB200}, intent: training",
        "GPU.smi.driver: 595.91.07",
        ("grace-blackwell-eks",),
        "breaks-constraint",
    ),
    "a driver below the floor of GB300": (
        "gpu: gb300, service: gke, intent: training",
        "GPU.smi.driver: 580.82.07",
        ("gpu-generations", "gke-networks"),
        "breaks-constraint",
    ),
    "CUDA that B300 is too new for": (
        "gpu: b300, intent: training",
        'GPU.smi.cuda-version: "12.8"',
        ("gpu-generations",),
        "breaks-constraint",
    ),
    "CUDA that a branch does not report": (OWN, 'GPU.smi.driver: 595.91.07 + GPU.smi.cuda-version: "13.0"', (), "cuda"),
    "a floor of MIG of another GPU": (H100, "GPU.smi.driver >= 450.80.02", (), "floor"),
    "a driver below the first of a GPU": ("gpu: b200", "GPU.smi.driver: 550.90.07", (), "floor"),
    "CUDA below the first of an architecture": ("gpu: rtx-pro-6000", 'GPU.smi.cuda-version: "12.4"', (), "floor"),
    "RHEL 9 on Arm": ('gpu: gb200, os: rhel, osv: "9.6"', "OS.release.VERSION_ID == 9.6", ("os-others",), "never-satisfied, contradiction"),
    # Who owns the driver, and who advertises the GPUs.
    "two device plugins on OKE": (f"{OKE}, {H100}", "gpu-operator devicePlugin.enabled=true", ("service-oke",), "clash"),
    "two device plugins on GKE": (f"{GKE}, {H100}", "gpu-operator devicePlugin.enabled=true", ("service-gke",), "clash"),
    "a device plugin beside DRA": (H100, "nvidia-dra-driver-gpu resources.gpus.enabled=true", (), "clash"),
    "the open modules for Volta": ("gpu: v100", "gpu-operator driver.kernelModuleType=open", (), "clash"),
    "a driver container for Debian": ("os: debian", "gpu-operator driver.enabled=true", (), "clash"),
    "branch 595 for Pascal": (
        f"{OWN}, gpu: p100, intent: training",
        "GPU.smi.driver: 595.91.07",
        ("gpu-generations",),
        "breaks-constraint",
    ),
    "two drivers on Amazon Linux": (f"{EKS}, os: amazonlinux", "gpu-operator driver.enabled=true", (), "clash"),
    "a version of a driver that is not installed": (GKE, "gpu-operator driver.version=580.95.05", ("service-gke",), "clash"),
    "GDRCopy without a driver pod": (AKS, "gpu-operator gdrcopy.enabled=true", ("service-aks",), "clash"),
    "a driver of AKS with another toolkit": (f"{AKS}, {H100}", "gpu-operator toolkit.enabled=true", ("service-aks",), "clash"),
    "a driver of AKS with another runtime class": (
        f"{AKS}, {H100}",
        "gpu-operator operator.runtimeClass=nvidia",
        ("service-aks",),
        "clash",
    ),
    "the root as the folder of a driver": (H100, "gpu-operator hostPaths.driverInstallDir=/", (), "clash"),
    "DRA that looks for the driver elsewhere": (H100, "nvidia-dra-driver-gpu nvidiaDriverRoot=/", (), "clash"),
    "NVSentinel that waits for a driver pod": (AKS, "nvsentinel labeler.assumeDriverInstalled=false", ("service-aks",), "clash"),
    "both forms of the operator": ('k8s: "1.35"', "gpu-operator gpuCluster.deployCR=true", (), "clash"),
    "NRI with an older CRI-O": (
        H100,
        "gpu-operator cdi.nriPluginEnabled=true + K8s.node.container-runtime-name: cri-o + K8s.node.container-runtime-version: 1.33.2",
        (),
        "unsupported",
    ),
    "peermem beside EFA": (EKS, "gpu-operator driver.rdma.enabled=true", (), "clash"),
    "storage with a precompiled driver": (H100, "gpu-operator gds.enabled=true + gpu-operator driver.usePrecompiled=true", (), "clash"),
    "two feature discoveries": (H100, "nfd@0.19.0 + gpu-operator nfd.enabled=true", (), "clash"),
    "two exporters of one GPU": (H100, "dcgm-exporter@4.8.2 + gpu-operator dcgmExporter.enabled=true", (), "clash"),
    "closed modules of a Blackwell GPU": ("gpu: b200", "gpu-operator driver.kernelModuleType=proprietary", (), "clash, chart-value"),
    "confidential computing left to the chart, whose documents say that it is off": (
        H100,
        "gpu-operator ccManager.enabled=null",
        (),
        "clash",
    ),
    "confidential computing that no recipe is for": (H100, "gpu-operator ccManager.enabled=true", (), "clash"),
    "a driver of network cards of another set of images": (
        H100,
        "network-operator@26.4.1 + K8s.image.doca-driver: doca3.4.0-26.04-0.8.6.0-0",
        (),
        "unsupported",
    ),
    "an operator of network cards of another set of images": (
        H100,
        "network-operator@26.4.1 + K8s.image.nic-configuration-operator: v1.3.1",
        (),
        "unsupported",
    ),
    "a release of NodeWright that one table forbids and another has": (
        f'{H100}, skyhook-operator: "< 0.18"',
        "OS.grub.quiet: true",
        (),
        "never-matches",
    ),
    "parameters of the driver with the words that its container writes": (
        H100,
        """components:
  gpu-operator:
    why: Why.
    source: doc
    values:
      extraObjects:  # planted
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: parameters}, data: {nvidia.conf: "options nvidia NVreg_X=1"}}
""",
        (),
        "text",
    ),
    "boot parameters of an image that are dropped": (
        H100,
        """components:
  gpu-operator:
    why: Why.
    source: doc
    values:
      extraObjects:  # planted
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: boot}, data: {tuned.cfg: 'GRUB_CMDLINE_LINUX_DEFAULT="$TUNED"'}}
""",
        (),
        "text",
    ),
    "a driver manager where no driver is installed": (GKE, "K8s.image.k8s-driver-manager: v0.12.0", ("service-gke",), "clash"),
    "a boot parameter that is given twice": (H100, "OS.grub.iommu: pt pt", (), "repeated"),
    "a value that is of no chart": (GKE, "gpu-operator driver.nvidiaDriverRoot=/home", (), "chart-value"),
    "a value that the chart has no more": (GKE, "gpu-operator cdi.default=true", (), "chart-value"),
    "a word that the chart does not take": (H100, "gpu-operator mig.strategy=several", (), "chart-value"),
    # Nodes.
    "one build of a kernel": (EKS, f"{SYSCTL}kernel/osrelease: 6.14.0-1018-aws", (), "observed"),
    "a lower limit of mappings": (NOBLE, f'{SYSCTL}vm/max_map_count: "262144"', (), "clash"),
    "a power cap on AWS": (f"{EKS}, {GB200}", 'OS.grub.acpi_power_meter.force_cap_on: "y"', (), "clash"),
    "huge pages that a kernel of 64K pages does not have": (GB200, "OS.grub.hugepagesz: 1G", (), "huge-page-size"),
    "settings of the scheduler that were removed": (NOBLE, f'{SYSCTL}kernel/sched_latency_ns: "1"', (), "removed"),
    "persistence that is off": (H100, "GPU.smi.gpu.persistence-mode: Disabled", (), "unwanted"),
    "a file of one machine": (H100, "OS.grub.BOOT_IMAGE: /boot/vmlinuz", (), "observed"),
    "a value that the kernel refuses": (H100, f'{SYSCTL}vm/swappiness: "500"', (), "out-of-range"),
    "a misspelt reading": (H100, "K8s.server.verison: v1.34.0", (), "unknown-path"),
    "a release of Ubuntu that lost its zero": ('os: ubuntu, osv: "24.4"', "OS.grub.quiet: true", (), "version-form"),
}


def planted_text(key: str, content: str) -> str:
    """A layer with these parts; what is planted has the comment on its lines."""
    readings, constraints, components = [], [], []
    head = f"key: {{{key}}}  # planted\nsource: [{{id: doc, document: A document, version: '1', date: '2026-07-01'}}]\n"
    if content.startswith("components:"):
        return head + content
    for part in content.split(" + "):
        if "@" in part and "/" not in part:
            id, _, version = part.partition("@")
            components.append(f"  {id}:  # planted\n    why: Why.\n    source: doc\n    version: {version}  # planted\n")
        elif "=" in part.partition(" ")[2] and ":" not in part and ">=" not in part and "==" not in part:
            id, _, assignment = part.partition(" ")
            path, _, value = assignment.partition("=")
            *above, leaf = path.split(".")
            nested = "".join(f"{'  ' * (depth + 3)}{name}:\n" for depth, name in enumerate(above))
            nested += f"{'  ' * (len(above) + 3)}{leaf}: {value}  # planted\n"
            components.append(f"  {id}:  # planted\n    why: Why.\n    source: doc\n    values:\n{nested}")
        elif ": " in part:
            path, _, value = part.partition(": ")
            kind, rest = path.split(".", 1)
            subtype, name = rest.split(".", 1)
            lines = f"      - subtype: {subtype}\n        data:\n          {name}: {value}  # planted\n        context: {{{name}: Why.}}\n"
            readings.append(f"  - type: {kind}\n    subtypes:\n{lines}")
        else:
            path, _, limit = part.partition(" ")
            constraints.append(f"  - {{name: {path}, value: '{limit}', why: Why., source: doc}}  # planted\n")
    text = head
    for part, items in (("measurements", readings), ("constraints", constraints), ("components", merged(components))):
        text += f"{part}:\n{''.join(items)}" if items else ""
    return text


def merged(components: list[str]) -> list[str]:
    """Parts of one component under one key."""
    bodies: dict[str, str] = {}
    for part in components:
        head, _, rest = part.partition("\n")
        if head in bodies:
            bodies[head] += rest.partition("    values:\n")[2]
        else:
            bodies[head] = rest
    return [f"{head}\n{rest}" for head, rest in bodies.items()]


def issues_of(text: str, overlays: tuple[str, ...]) -> list[LintIssue]:
    names = {f"overlays/{name}.yaml" for name in overlays}
    trees = {path: tree for path, tree in CARRIED.items() if not path.startswith(("overlays/", "checks/")) or path in names}
    issues = lint_trees({**trees, "overlays/x.yaml": yaml.safe_load(text)})
    return with_lines(issues, {"overlays/x.yaml": text}.get)


@pytest.mark.exhaustive(sample=8)
@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_error_is_reported(name: str) -> None:
    key, content, overlays, rules = PLANTED[name]
    text = planted_text(key, content)
    marked = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# planted")]
    issues = [issue for issue in issues_of(text, overlays) if issue.rule in rules.split(", ") and "overlays/x.yaml" in issue.location]
    assert issues, name
    for issue in issues:
        assert issue.severity == (WARNING if issue.rule in ("unknown-release", "superseded") else issue.severity)
        assert issue.line in marked, (issue, text)
        assert issue.hint, issue


def compare_with_every_recipe(trees: dict[str, Any]) -> int:
    """Check that the recipes that are checked have the issues of all, by rule and location; how many were left out."""
    data = read_trees(trees)
    reported, counts = [], []
    for every in (False, True):
        items = list(combinations(data.store, data.rules, every=every))
        counts.append(len(items))
        reported.append({(issue.severity, issue.rule, issue.location) for issue in merged_issues(data, items)})
    assert reported[0] == reported[1]
    return counts[1] - counts[0]


@pytest.mark.exhaustive(sample=5)
@pytest.mark.parametrize("name", PLANTED)
def test_recipes_without_anything_new_have_no_other_error(name: str) -> None:
    key, content, overlays, _ = PLANTED[name]
    names = {f"overlays/{name}.yaml" for name in (*overlays, "gpu-generations")}
    trees = {path: tree for path, tree in CARRIED.items() if not path.startswith(("overlays/", "checks/")) or path in names}
    assert compare_with_every_recipe({**trees, "overlays/x.yaml": yaml.safe_load(planted_text(key, content))}) > 0


@pytest.mark.exhaustive(sample=0)
def test_all_errors_at_once_are_reported_without_the_recipes_that_have_nothing_new() -> None:
    planted = {f"overlays/x{i}.yaml": yaml.safe_load(planted_text(row[0], row[1])) for i, row in enumerate(PLANTED.values())}
    assert compare_with_every_recipe({**CARRIED, **planted}) > 1000


def test_at_least_forty_kinds_are_planted() -> None:
    assert len(PLANTED) >= 40


def test_a_layer_without_fault_has_no_issue() -> None:
    text = planted_text(f"{EKS}, {H100}", "GPU.smi.driver: 595.91.07 + GPU.smi.driver >= 525.85.12 + kueue@0.19.2")
    assert [str(issue) for issue in issues_of(text, ()) if issue.rule not in ("no-network", "unchecked-values")] == []


@pytest.mark.parametrize("row", shipped_rules().moved, ids=lambda row: row.chart)
def test_a_chart_that_moved_is_reported(row: Any) -> None:
    entry = {"id": "mine", "chart": row.chart, "repository": row.repository, "version": "1.0.0", "namespace": "mine"}
    trees: dict[str, Any] = {path: tree for path, tree in CARRIED.items() if not path.startswith(("overlays/", "checks/"))}
    trees["components.yaml"] = {"components": [*trees["components.yaml"]["components"], entry]}
    layer = yaml.safe_load(planted_text(H100, "mine@1.0.0"))
    (issue,) = [issue for issue in lint_trees({**trees, "overlays/x.yaml": layer}) if issue.rule == "moved"]
    assert (issue.severity, issue.location) == (ERROR, "components.yaml: mine.repository")
    assert row.now in issue.hint


@pytest.mark.parametrize(
    ("file", "path", "line"),
    [
        ("overlays/a.yaml", "key", 1),
        ("overlays/a.yaml", "GPU.smi.gpu.model", 6),
        ("overlays/a.yaml", "SystemD.containerd.service.LimitNOFILE", 10),
        ("overlays/a.yaml", "constraints.K8s.server.version", 12),
        ("overlays/a.yaml", "components.one.values.a\\.b.c", 17),
        ("overlays/a.yaml", "components.one.values.nothing", 16),
        ("overlays/a.yaml", "nothing", 1),
    ],
)
def test_lines_are_those_of_what_a_location_names(file: str, path: str, line: int) -> None:
    text = """key: {gpu: h100}
measurements:
  - type: GPU
    subtypes:
      - subtype: smi
        data: {gpu.model: x}
  - type: SystemD
    subtypes:
      - subtype: containerd.service
        data: {LimitNOFILE: 1}
constraints:
  - {name: K8s.server.version, value: ">= 1"}
components:
  one:
    why: x
    values:
      a.b: {c: 1}
"""
    assert line_of(text, file, path) == line
    indented = "".join(f"  {row}\n" for row in text.splitlines())
    assert line_of("- x: 1\n-\n" + indented, f"{file}[1]", path) == line + 2
    assert line_of("a: [", file, path) == 0


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["data", "- ", ": ", "\n", " ", "a", "[", "{", "]", "}", "&x ", "*x", "'"])).map("".join)
)
def test_any_text_has_a_line_or_none(text: str) -> None:
    assert 0 <= line_of(text, "overlays/a.yaml[1]", "data.a.data[0].a") <= text.count("\n") + 2


def test_a_text_of_many_levels_costs_no_stack() -> None:
    assert line_of("data: " * 1 + "{data: " * 3000 + "1" + "}" * 3000, "overlays/a.yaml", "a.b") == 1
