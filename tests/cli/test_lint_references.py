"""``eidos recipe lint``: what checks and comparisons name that nothing has, one slip at a time."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import pytest

from eidos.check.check_lint import lint_checks, references
from eidos.collectors import list_collectors
from eidos.files.resources import load_recipes
from eidos.formats import from_text
from eidos.model.lint_issue import READING, DataReference
from eidos.model.measurement import TYPES
from eidos.recipe.lint import lint_files
from eidos.recipe.lint.file_forms import ParsedRecipes, read_trees
from eidos.recipe.lint.references import reference_issues
from eidos.recipe.store import check_trees
from tests.check.right_hosts import RIGHT
from tests.support.program import eidos as run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

#: A check without a fault, that names each kind of thing.
CHECK = """\
source: [{id: a, document: x, version: "1", date: "2026-01-01", url: "https://example.com"}]
checks:
  - id: mine
    title: a driver of ours is off
    severity: error
    path: GPU.gpu-*.ecc.current
    needs: [GPU.gpu-*.ecc.current, OS.runtime.containerd.version, OS.machine.product-name, K8s.image.our-image, OS.kmod.ena, OS.acme.x]
    applies: query.service in (eks, gke) and query.gpu == h100 and node.driver-owner == host and K8s.node.label.nvidia.com/gpu.count > 0
    applies-to: hosts of ours
    expect: all(GPU.gpu-*.ecc.current == Enabled) and OS.kmod.nvidia_peermem present and none(SystemD.*.SubState == dead)
    reason: It is ours.
    source: a
    remedy:
      - {when: node.is-guest == false and query.os == ubuntu, steps: [{setting: OS.grub.iommu, value: pt}]}
      - {when: K8s.node.condition.Ready == True, steps: [{setting: SystemD.nvidia-persistenced.service.UnitFileState, value: enabled}]}
      - {steps: [{set: "gpu-operator:driver.kernelModuleType=open"}, {set: "gpu-operator:driver.enabled=false"}], cost: drain, owner: host}
"""

COMPARISONS = """\
comparisons:
  - {path: OS.sysctl./proc/sys/vm/swappiness, how: at-most}
  - {path: OS.grub.iommu, how: equal, applies: node.is-guest != true and query.os == ubuntu, applies-to: bare metal}
"""

#: What is replaced in the check or the comparisons, by what, and the field, the rule and the hint of the issue.
SLIPS = [
    ("path: GPU.gpu-*.ecc.current", "path: GPU.gpu-*.ecc.curent", "checks[0].path", "unknown-path", "'ecc.current'"),
    ("[GPU.gpu-*.ecc.current", "[GPU.gpu-*.volatle.temperature.gpu-celsius", "checks[0].needs", "unknown-path", ""),
    (
        "OS.runtime.containerd.version",
        "OS.runtime.containerd.versoin",
        "checks[0].needs",
        "unknown-path",
        "'OS.runtime.containerd.version'",
    ),
    ("OS.runtime.containerd.version", "OS.runtmie.containerd.sandbox", "checks[0].needs", "unknown-path", "'OS.runtime'"),
    ("OS.machine.product-name", "OS.machin.product-name", "checks[0].needs", "unknown-path", "'OS.machine'"),
    ("OS.machine.product-name", "Os.machine.product-name", "checks[0].needs", "unknown-path", "'OS'"),
    ("(eks, gke)", "(eks, gek)", "checks[0].applies", "never-matches", "'gke'"),
    ("(eks, gke)", "(eks, ocp)", "checks[0].applies", "never-matches", ""),
    ("query.gpu == h100", "query.gpu == h10", "checks[0].applies", "never-matches", "'h100'"),
    ("node.driver-owner == host", "node.driver-owner != driver-containr", "checks[0].applies", "never-matches", "'driver-container'"),
    ("query.service in", "query.servce in", "checks[0].applies", "unknown-name", "'query.service'"),
    ("OS.kmod.nvidia_peermem", "OS.kmod.nvidia_peermen", "checks[0].expect", "unknown-path", "'nvidia_peermem'"),
    ("node.is-guest == false", "node.is-guest == flase", "checks[0].remedy", "never-matches", "'false'"),
    ("OS.grub.iommu, value: pt", "OS.grub.iomu, value: pt", "checks[0].remedy", "unknown-path", "'iommu'"),
    ("nvidia-persistenced", "nvidia-persistanced", "checks[0].remedy", "unknown-path", "'SystemD.nvidia-persistenced.service'"),
    ("condition.Ready", "condition.Raedy", "checks[0].remedy", "unknown-path", "'K8s.node.condition.Ready'"),
    ("driver.kernelModuleType", "driver.kernelModulType", "checks[0].remedy", "chart-value", "driver.kernelModuleType"),
    ("kernelModuleType=open", "kernelModuleType=opened", "checks[0].remedy", "chart-value", "'open'"),
    ("driver.enabled=false", "driver.enabled=falsch", "checks[0].remedy", "chart-value", ""),
    ("gpu-operator:driver.enabled", "gpu-operatr:driver.enabled", "checks[0].remedy", "chart-value", "'gpu-operator'"),
    ("vm/swappiness", "vm/swapiness", "comparisons[0].path", "unknown-sysctl", "'swappiness'"),
    ("path: OS.grub.iommu", "path: OS.grub.iomu", "comparisons[1].path", "unknown-path", "'iommu'"),
    ("node.is-guest != true", "node.is-gest != true", "comparisons[1].applies", "unknown-name", "'node.is-guest'"),
    ("true and query.os == ubuntu", "true and query.os == ubunt", "comparisons[1].applies", "never-matches", "'ubuntu'"),
]


def test_a_folder_without_a_slip_has_no_issue_and_one_with_a_slip_has_one(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "mine.yaml").write_text(CHECK)
    (tmp_path / "comparisons.yaml").write_text(COMPARISONS)
    done = run("recipe", "lint", "--data", str(tmp_path))
    assert (done.status, done.out) == (0, "0 errors, 0 warnings\n")
    (tmp_path / "checks" / "mine.yaml").write_text(CHECK.replace("nvidia_peermem", "nvidia_peermen"))
    done = run("recipe", "lint", "--data", str(tmp_path), "-t", "json")
    (fault,) = json.loads(done.out)["faults"]
    assert (done.status, fault["place"]) == (4, "checks/mine.yaml: checks[0].expect")


@lru_cache
def shipped() -> tuple[dict[str, object], list[str], ParsedRecipes]:
    """The trees of the shipped checks, the paths that are known, and the recipes."""
    trees = check_trees()
    known = [reference.text for reference in references(trees) if reference.kind == READING]
    known += [f"{TYPES[group]}.{subject}" for group, _, subject in (name.partition(".") for name in list_collectors()) if subject]
    return trees, known, read_trees({**load_recipes()})


@pytest.mark.parametrize(("text", "other", "field", "rule", "hint"), SLIPS, ids=[other[:40] for _, other, *_ in SLIPS])
def test_a_slip_is_an_error_with_the_nearest_name(text: str, other: str, field: str, rule: str, hint: str) -> None:
    assert (CHECK + COMPARISONS).count(text) == 1
    trees, known, data = shipped()
    trees = {**trees, "checks/mine.yaml": from_text(CHECK.replace(text, other), "mine.yaml")}
    trees["comparisons.yaml"] = from_text(COMPARISONS.replace(text, other), "comparisons.yaml")
    issues = [*lint_checks(trees), *reference_issues(references(trees), known, data)]
    (issue,) = [issue for issue in issues if issue.location.startswith("checks/mine.yaml") or issue.severity == "error"]
    # Readings that no shipped check names may be real ones.
    assert issue.severity == ("warning" if issue.message.startswith("no shipped check") else "error")
    assert (issue.location.rpartition(": ")[2], issue.rule) == (field, rule)
    assert hint in issue.hint


def issues_of(paths: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Severity and hint for each path that an issue is about, when checks name these."""
    _, known, data = shipped()
    issues = reference_issues([DataReference(path, READING, path) for path in paths], known, data)
    return {issue.location: (issue.severity, issue.hint) for issue in issues}


def test_readings_of_hosts_are_no_errors() -> None:
    hosts = [host for host, _ in RIGHT.values()]
    paths = {f"{subtype.replace('_', '.', 1)}.{key}" for host in hosts for subtype, readings in host.items() for key in readings}
    for file in sorted((GOLDEN / "hosts").glob("*.yaml")):
        tree = from_text(file.read_bytes(), file.name)
        assert isinstance(tree, dict)
        for collector, subtypes in tree.items():
            kind = TYPES[collector.partition(".")[0]]
            paths |= {f"{kind}.{subtype}.{key}" for subtype, data in subtypes.items() if isinstance(data, dict) for key in data}
    assert len(paths) > 1500
    issues = issues_of(paths)
    assert [path for path, (severity, _) in issues.items() if severity == "error"] == []
    # Close to a reading of a shipped check.
    close = {"OS.kernel.clock-sources", "OS.memory.volatile.ecc.mc0.ce-count"}
    assert {path for path in issues if not path.startswith("OS.sysctl.")} == close


@pytest.mark.parametrize(
    ("path", "severity", "hint"),
    [
        ("OS.sysctl./proc/sys/net/core/rmem_max", "", ""),
        ("OS.sysctl.volatile./proc/sys/fs/aio-nr", "", ""),
        ("OS.sysctl.volatile./proc/sys/fs/aio-n", "error", "'aio-nr'"),
        ("GPU.gpu-0.ecc.pending", "", ""),
        ("GPU.gup-*.ecc.pending", "error", "'GPU.gpu-*'"),
        ("OS.net.*.stat", "warning", "'OS.net.*.state'"),
        ("OS.memory.volatile.ecc.mc0.ue-count", "", ""),
        ("OS.kmod.ib_mad", "", ""),
        ("OS.grub.boot", "", ""),
        ("OS.grub.pti", "", ""),
        ("OS.grub.tsa", "", ""),
        ("OS.grub.nosmp", "", ""),
        ("OS.grub.nosmap", "", ""),
        ("OS.grub.kpti", "", ""),
        ("OS.grub.psi", "", ""),
        ("SystemD.chrony.service.ActiveState", "", ""),
        ("SystemD.kubelte.service.ActiveState", "error", "'SystemD.kubelet.service'"),
    ],
)
def test_a_reading_beside_a_known_one_is_no_slip_of_it(path: str, severity: str, hint: str) -> None:
    assert issues_of([path]).get(path, ("", ""))[0] == severity
    assert hint in issues_of([path]).get(path, ("", ""))[1]


#: A layer that names a module and a unit.
LAYER = """\
key: {gpu: h100, service: lke}
source: [{id: a, document: x, version: "1", date: "2026-01-01", url: "https://example.com"}]
measurements:
  - type: OS
    subtypes: [{subtype: kmod, data: {nvidia_peermem: true}, context: {nvidia_peermem: RDMA reaches GPU memory by it.}}]
  - type: SystemD
    subtypes: [{subtype: containerd.service, data: {LimitSTACK: "67108864"}, context: {LimitSTACK: Stacks need it.}}]
"""


@pytest.mark.parametrize(
    ("name", "text", "other", "expected"),
    [
        ("overlays/mine.yaml", "", "", ""),
        ("overlays/mine.yaml", "nvidia_peermem", "nvidia_peermen", "error: unknown-path"),
        ("overlays/mine.yaml", "containerd.service", "contianerd.service", "warning: unknown-path"),
        ("overlays/mine.yaml", "nvidia_peermem", "our_own_module", ""),
        ("overlays/mine.yaml", "nvidia_peermem", "ib_mad", ""),
        ("images/gpu-operatr.yaml", "", "", "error: unknown-component"),
        ("installations.yaml", "", "", "warning: unknown-file"),
        ("charts.yaml", "", "", "warning: unknown-file"),
    ],
)
def test_a_slip_in_a_layer_and_a_file_that_nothing_reads_are_issues(name: str, text: str, other: str, expected: str) -> None:
    content = LAYER.replace(text, other) if name.startswith("overlays") else "{}\n"
    issues = [issue for issue in lint_files({name: content.encode()}) if issue.location.startswith(name)]
    assert [f"{issue.severity}: {issue.rule}" for issue in issues] == ([expected] if expected else [])


def test_units_of_two_distributions_are_no_slips_of_each_other() -> None:
    text = LAYER.replace("containerd.service", "sshd.service")
    files = {"overlays/fedora.yaml": text, "overlays/rhel.yaml": text.replace("lke", "oke")}
    files["overlays/ubuntu.yaml"] = LAYER.replace("containerd.service", "ssh.service").replace("lke", "eks")
    issues = lint_files({name: content.encode() for name, content in files.items()})
    assert [str(issue) for issue in issues if issue.rule == "unknown-path"] == []


@pytest.mark.parametrize("name", ["charts.yaml", "installations.yaml"])
def test_a_copy_of_a_shipped_file_that_is_read_from_the_program_alone_is_no_issue(name: str) -> None:
    text = (ROOT / "recipes" / name).read_bytes()
    assert lint_files({name: text}) == []
    assert [issue.rule for issue in lint_files({name: text + b"more: {}\n"})] == ["unknown-file"]


def test_what_is_malformed_names_nothing() -> None:
    assert references({"checks/x.yaml": 7, "checks/y.yaml": {"checks": [{"id": "a"}]}, "comparisons.yaml": [1]}) == []
