"""Lint: each rule finds what it is for, leaves alone what is right, and every error that public sources shipped is found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eidos.errors import InvalidData
from eidos.files import resources
from eidos.model.measurement import path_matches
from eidos.recipe.lint import ERROR, WARNING, LintIssue, lint, lint_document, lint_files, lint_path, lint_trees
from eidos.recipe.lint.rule_tables import read_rules, shipped_rules
from eidos.recipe.store import from_folder
from tests.support.shipped import shipped_trees

GO_DATA = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "fixtures" / "recipes" / "data-v1.yaml"

CARRIED = shipped_trees()

SOURCE = [{"id": "doc", "document": "A document", "version": "1", "date": "2026-07-01"}]
CHART = {"id": "one", "chart": "one", "repository": "https://charts.example.com", "version": "1.0", "namespace": "one"}

#: A base without fault: something about the network, with a reason and a source.
BASE = {
    "source": SOURCE,
    "measurements": [
        {
            "type": "OS",
            "subtypes": [
                {"subtype": "sysctl", "data": {"/proc/sys/net/core/rmem_max": "1"}, "context": {"/proc/sys/net/core/rmem_max": "Why."}}
            ],
        }
    ],
}


def layer(key: dict[str, str] | None = None, **parts: Any) -> dict[str, Any]:
    """A layer with a source: ``readings={"OS.grub.iommu": "pt"}``, each with a reason, ``constraints={path: expression}``, components."""
    types: dict[str, dict[str, dict[str, object]]] = {}
    for path, value in parts.get("readings", {}).items():
        kind, subtype, name = split(path)
        types.setdefault(kind, {}).setdefault(subtype, {})[name] = value
    tree: dict[str, Any] = {
        "source": SOURCE,
        "measurements": [
            {
                "type": k,
                "subtypes": [{"subtype": s, "data": d, "context": dict.fromkeys(d, parts.get("why", "Why."))} for s, d in subtypes.items()],
            }
            for k, subtypes in types.items()
        ],
        "constraints": [{"name": n, "value": v, "why": "Why.", "source": "doc"} for n, v in parts.get("constraints", {}).items()],
        "components": {id: {"version": v, "why": "Why.", "source": "doc"} for id, v in parts.get("components", {}).items()},
    }
    return {**tree, "key": key} if key is not None else tree


def split(path: str) -> tuple[str, str, str]:
    kind, rest = path.split(".", 1)
    subtype = rest[: rest.index(".service") + 8] if ".service" in rest else rest.split(".", 1)[0]
    return kind, subtype, rest[len(subtype) + 1 :]


#: The shipped recipes without overlays: lint of all takes its time.
SMALL = {path: tree for path, tree in CARRIED.items() if not path.startswith("overlays/")}


def issues_in(
    *overlays: dict[str, Any],
    base: dict[str, Any] | None = None,
    charts: list[dict[str, Any]] | None = None,
    files: Mapping[str, object] | None = None,
) -> list[LintIssue]:
    """What lint finds in these layers, with the shipped catalog and rules."""
    trees: dict[str, Any] = {"catalog.yaml": CARRIED["catalog.yaml"], "rules.yaml": CARRIED["rules.yaml"], "base.yaml": base or BASE}
    trees["components.yaml"] = {"components": [CHART, *(charts or [])]}
    trees.update({f"overlays/{'abcdefgh'[i]}.yaml": overlay for i, overlay in enumerate(overlays)})
    return lint_trees({**trees, **(files or {})})


def errors_in(*overlays: dict[str, Any], **parts: Any) -> list[LintIssue]:
    return [issue for issue in issues_in(*overlays, **parts) if issue.severity == ERROR]


IOMMU = {"OS.grub.iommu": "pt"}


def rules_of(issues: list[LintIssue]) -> list[tuple[str, str, str]]:
    return [(issue.severity, issue.rule, issue.location) for issue in issues]


def chart(id: str, version: str = "1.0") -> dict[str, Any]:
    return {**CHART, "id": id, "chart": id, "version": version}


def test_the_shipped_recipes_have_no_fault() -> None:
    assert [str(issue) for issue in lint_path()] == []


def test_a_base_without_fault_has_none() -> None:
    assert issues_in() == []


# The errors that public sources shipped.


@pytest.mark.parametrize("key", [{"gpu": "gb200"}, {"gpu": "gb300"}, {"gpu": "gb200", "service": "eks", "intent": "inference"}])
def test_one_gigabyte_pages_cannot_be_on_a_kernel_with_pages_of_64k(key: dict[str, str]) -> None:
    (issue,) = issues_in(layer(key, readings={"OS.grub.hugepagesz": "1G", "OS.grub.hugepages": "2"}))
    assert (issue.severity, issue.rule, issue.location) == (ERROR, "huge-page-size", "overlays/a.yaml: OS.grub.hugepagesz")
    assert "2M, 512M, 16G" in issue.message
    assert "Linux kernel" in issue.source


@pytest.mark.parametrize("size", ["2M", "512M", "16G", "2048K", "2M,512M"])
def test_pages_that_a_64k_kernel_has_are_no_fault(size: str) -> None:
    assert issues_in(layer({"gpu": "gb200"}, readings={"OS.grub.hugepagesz": size})) == []


@pytest.mark.parametrize(
    ("key", "size", "fine"),
    [
        ({"gpu": "h100"}, "1G", True),
        ({"gpu": "h100"}, "512M", False),
        ({"gpu": "gh200"}, "512M", True),
        ({"gpu": "gh200"}, "1G", True),
        ({"gpu": "gh200"}, "3M", False),
        ({"kernel": "6.8.0-1010-nvidia-64k"}, "1G", False),
        ({"intent": "training"}, "1M", False),
        ({"gpu": "h100"}, "huge", False),
        ({"gpu": "h100"}, "2M 1G", True),
    ],
)
def test_huge_pages_go_by_the_pages_of_the_host(key: dict[str, str], size: str, fine: bool) -> None:
    issues = issues_in(layer(key, readings={"OS.grub.hugepagesz": size}))
    assert [issue.rule for issue in issues] == ([] if fine else ["huge-page-size"])


def test_a_size_of_the_base_is_looked_at_for_hosts_that_no_layer_names() -> None:
    base = {**layer(readings={"OS.grub.hugepagesz": "1G"})}
    base["measurements"] = base["measurements"] + BASE["measurements"]
    (issue,) = issues_in(base=base)
    assert (issue.rule, issue.location) == ("huge-page-size", "base.yaml: OS.grub.hugepagesz")
    assert "gb200" in issue.message


@pytest.mark.parametrize("name", ["sched_latency_ns", "sched_min_granularity_ns", "sched_wakeup_granularity_ns", "sched_migration_cost_ns"])
@pytest.mark.parametrize(
    ("key", "constraints", "severity"),
    [
        ({"os": "ubuntu", "osv": "24.04", "intent": "inference"}, {}, ERROR),
        ({"kernel": "6.8", "intent": "inference"}, {}, ERROR),
        ({"intent": "inference"}, {"OS.sysctl./proc/sys/kernel/osrelease": ">= 6.8"}, ERROR),
        ({"kernel": "5.4", "intent": "inference"}, {}, None),
    ],
)
def test_scheduler_settings_that_left_the_kernel_are_reported(
    name: str, key: dict[str, str], constraints: dict[str, str], severity: str | None
) -> None:
    path = f"OS.sysctl./proc/sys/kernel/{name}"
    issues = issues_in(layer(key, readings={path: "1000000"}, constraints=constraints))
    assert rules_of(issues) == ([(severity, "removed", f"overlays/a.yaml: {path}")] if severity else [])
    assert all("8a99b6833c88" in issue.source for issue in issues)


def test_a_removed_setting_is_reported_together_with_the_layer_that_names_the_kernel() -> None:
    settings = layer({"intent": "inference"}, readings={"OS.sysctl./proc/sys/kernel/sched_latency_ns": "1"})
    kernel = layer({"gpu": "h100"}, constraints={"OS.sysctl./proc/sys/kernel/osrelease": ">= 6.8"})
    (issue,) = issues_in(settings, kernel)
    assert (issue.severity, issue.rule, issue.location) == (
        ERROR,
        "removed",
        "overlays/a.yaml: OS.sysctl./proc/sys/kernel/sched_latency_ns",
    )


def test_a_removed_boot_parameter_is_reported() -> None:
    (issue,) = issues_in(layer({"kernel": "6.8"}, readings={"OS.grub.elevator": "noop"}))
    assert (issue.rule, issue.severity) == ("removed", ERROR)


@pytest.mark.shared
@pytest.mark.skipif(not GO_DATA.exists(), reason=f"{GO_DATA} is not here")
@pytest.mark.parametrize(
    ("severity", "rule", "location"),
    [
        (ERROR, "said-twice", "base: OS.grub.hugepages"),
        (WARNING, "said-twice", "base: OS.grub.numa_balancing"),
        (ERROR, "unwanted", "base: GPU.smi.persistence-mode"),
        (ERROR, "cuda", "base: GPU.smi.cuda-version"),
        (ERROR, "observed", "base: SystemD.containerd.service.EffectiveCPUs"),
        (ERROR, "observed", "base: SystemD.containerd.service.EffectiveMemoryNodes"),
        (ERROR, "observed", "base: OS.grub.BOOT_IMAGE"),
        (ERROR, "observed", "overlays[0]: OS.grub.BOOT_IMAGE"),
        (ERROR, "observed", "base: OS.sysctl./proc/sys/kernel/threads-max"),
        (ERROR, "observed", "base: GPU.smi.vbios-version"),
        (ERROR, "misnamed", "base: OS.kmod.gdrdrv"),
        (ERROR, "misnamed", "base: K8s.image.gdrdrv"),
        (ERROR, "read-only", "base: OS.sysctl./proc/sys/sunrpc/transports/rdma"),
        (WARNING, "no-network", "base"),
        (WARNING, "no-source", "base"),
    ],
)
def test_the_faults_of_the_go_programs_data_are_reported(severity: str, rule: str, location: str) -> None:
    issues = [issue for issue in lint_path(str(GO_DATA)) if issue.rule == rule and issue.location == f"{GO_DATA}:{location}"]
    assert [issue.severity for issue in issues] == [severity]


@pytest.mark.parametrize(
    ("key", "readings"),
    [
        ({"k8s": "1.36"}, {}),
        ({"k8s": "1.36.2", "service": "self-managed"}, {}),
        ({"service": "self-managed"}, {"K8s.server.version": "1.36.2"}),
        ({"service": "self-managed"}, {"K8s.server.version": "v1.30.14-eks-3025e55"}),
    ],
)
@pytest.mark.parametrize("where", ["component", "image", "chart"])
def test_a_release_that_does_not_support_the_recommended_kubernetes_is_reported(
    key: dict[str, str], readings: dict[str, str], where: str
) -> None:
    charts = [chart("network-operator", "26.4.0" if where == "chart" else "25.1.0")]
    if where == "image":
        readings = {**readings, "K8s.image.network-operator": "v26.4.0"}
    versions = {"network-operator": "26.4.0"} if where == "component" else {"network-operator": ""}
    issues = errors_in(layer(key, readings=readings, components=versions), charts=charts)
    locations = {
        "component": "overlays/a.yaml: components.network-operator",
        "image": "overlays/a.yaml: K8s.image.network-operator",
        "chart": "components.yaml: components.network-operator",
    }
    assert rules_of(issues) == [(ERROR, "unsupported", locations[where])]
    assert "1.31" in issues[0].message


def test_the_release_that_does_support_it_is_no_fault() -> None:
    charts = [chart("network-operator", "26.4.0")]
    assert errors_in(layer({"k8s": "1.35"}, components={"network-operator": "26.4.0"}), charts=charts) == []


def test_a_release_that_ends_before_the_recipe_does_is_a_warning_and_an_error_where_a_key_names_the_version() -> None:
    charts = [chart("network-operator", "26.1.2")]
    tree = layer({"gpu": "h100"}, components={"network-operator": "26.1.2"})
    reported = {(issue.severity, issue.rule, issue.message.partition(" (for")[2]) for issue in issues_in(tree, charts=charts)}
    assert reported == {(WARNING, "unsupported", " k8s=1.36, gpu=h100)")}  # of the issues at one place, the first
    limits = layer({"gpu": "h100"}, constraints={"K8s.server.version": "<= 1.35", "OS.release.VERSION_ID": "in (22.04, 24.04)"})
    assert issues_in(tree, limits, charts=charts) == []
    for key in ({"k8s": ">= 1.36"}, {"k8s": "> 1.35"}, {"k8s": "1.36"}, {"k8s": ">= 1.34"}):
        assert (ERROR, "unsupported") in {
            (issue.severity, issue.rule) for issue in issues_in(tree, layer(key, readings=IOMMU), charts=charts)
        }


def test_no_network_setting_anywhere_is_reported_and_one_is_enough() -> None:
    (issue,) = issues_in(base={"source": SOURCE, "constraints": []})
    assert (issue.severity, issue.rule, issue.location) == (WARNING, "no-network", "base.yaml")
    assert issues_in(layer({"gpu": "h100"}, readings={"OS.sysctl./proc/sys/net/ipv4/tcp_rmem": "1"}), base={"source": SOURCE}) == []


# Keys.


@pytest.mark.parametrize(
    ("key", "severity", "rule", "field"),
    [
        ({}, ERROR, "empty-key", ""),
        ({"gpu": "any", "os": ""}, ERROR, "empty-key", ""),
        ({"gpu": "h1000"}, ERROR, "never-matches", ".gpu"),
        ({"os": "amzn"}, ERROR, "never-matches", ".os"),
        ({"service": "gke", "os": "rhel"}, ERROR, "never-matches", ".os"),
        ({"os": "ubuntu", "osv": "24.04", "kernel": "5.4"}, ERROR, "never-matches", ".kernel"),
        ({"osv": "24.04"}, WARNING, "version-alone", ".osv"),
        ({"os": "ubuntu", "osv": "23.10"}, WARNING, "unknown-version", ".osv"),
    ],
)
def test_keys_that_no_query_meets_are_reported(key: dict[str, str], severity: str, rule: str, field: str) -> None:
    issues = issues_in(layer(key, readings={"OS.grub.iommu": "pt"}))
    assert rules_of(issues) == [(severity, rule, f"overlays/a.yaml: key{field}")]


@pytest.mark.parametrize(
    "key",
    [
        {"os": "ubuntu", "osv": "24"},
        {"os": "ubuntu", "osv": "24.04.3"},
        {"os": "ubuntu", "osv": "24.04", "kernel": "6"},
        {"os": "ubuntu", "osv": "22.04", "kernel": "5.15.0-1057-aws"},
        {"service": "gke", "os": "cos"},
        {"service": "gke", "gpu": "h100"},
        {"gpu": "h200", "intent": "any"},
    ],
)
def test_keys_that_queries_can_meet_are_no_fault(key: dict[str, str]) -> None:
    assert issues_in(layer(key, readings={"OS.grub.iommu": "pt"})) == []


def test_the_nearest_word_of_the_catalog_is_named() -> None:
    (issue,) = issues_in(layer({"gpu": "h1000"}, readings={"OS.grub.iommu": "pt"}))
    assert issue.hint == "did you mean 'h100'?"
    (issue,) = issues_in(layer({"os": "amzn"}, readings={"OS.grub.iommu": "pt"}))
    assert issue.hint == "write amazonlinux"


def test_a_reading_that_never_stands_is_reported() -> None:
    exact = layer({"gpu": "h100", "k8s": "1.33.5"}, readings={"OS.grub.iommu": "pt"})
    wide = layer({"gpu": "h100", "k8s": "1.33"}, readings={"OS.grub.iommu": "off"})
    (issue,) = issues_in(exact, wide)
    assert (issue.severity, issue.rule, issue.location) == (ERROR, "shadowed", "overlays/a.yaml: OS.grub.iommu")
    # The other way round the exact one is applied last.
    assert issues_in(wide, exact) == []
    assert [issue.rule for issue in issues_in(wide, layer({"gpu": "h100", "k8s": "1.33"}, readings={"OS.grub.iommu": "on"}))] == [
        "shadowed"
    ]


def test_a_removal_of_what_no_layer_below_sets_is_reported() -> None:
    wide = layer({"gpu": "h100"}, readings={"OS.grub.iommu": "pt"}, constraints={"K8s.server.version": ">= 1.32"})
    near = layer({"gpu": "h100", "service": "aks"}, readings={"OS.grub.iommu": None}, constraints={"K8s.server.version": None})
    assert issues_in(wide, near) == []
    # Of another GPU, mistyped, and in the layer that is applied first.
    for other in (
        [wide, {**near, "key": {"gpu": "gb200", "service": "aks"}}],
        [wide, layer({"gpu": "h100", "service": "aks"}, readings={"OS.grub.iomu": None}, constraints={"K8s.server.verison": None})],
        [{**wide, "key": {"gpu": "h100", "service": "aks", "os": "ubuntu"}}, near],
    ):
        issues = issues_in(*other)
        assert [(issue.severity, issue.rule) for issue in issues] == [(WARNING, "removes-nothing")] * 2
        assert all(issue.hint and "overlays/" in issue.location for issue in issues)
    assert (
        issues_in(wide, layer({"gpu": "h100", "service": "aks"}, readings={"OS.grub.iomu": None}))[0].hint
        == "did you mean 'OS.grub.iommu'?"
    )


def test_what_is_removed_is_checked_no_more_and_has_a_reason_and_a_source() -> None:
    value, key = layer({"gpu": "h100"}, readings={"GPU.smi.driver": "580.178.04"}), {"gpu": "h100", "service": "aks"}
    limit = {"GPU.smi.driver": ">= 595"}
    assert [issue.rule for issue in issues_in(value, layer(key, constraints=limit))] == ["breaks-constraint"]
    assert issues_in(value, layer(key, readings={"GPU.smi.driver": None}, constraints=limit)) == []
    bare = layer(key, readings={"GPU.smi.driver": None}, why="")
    assert {issue.rule for issue in issues_in(value, {**bare, "source": []})} == {"no-reason", "no-source"}


def test_a_value_that_is_always_removed_and_a_removal_that_is_always_replaced_are_reported() -> None:
    value, removal = (
        layer({"gpu": "h100", "k8s": "1.33.5"}, readings=IOMMU),
        layer({"gpu": "h100", "k8s": "1.33"}, readings={"OS.grub.iommu": None}),
    )
    below = layer({"gpu": "h100"}, readings=IOMMU)
    assert [issue.rule for issue in issues_in(value, removal, below)] == ["shadowed"]
    assert [
        issue.rule
        for issue in issues_in(
            {**removal, "key": {"gpu": "h100", "k8s": "1.33.5"}}, {**value, "key": {"gpu": "h100", "k8s": "1.33"}}, below
        )
    ] == ["shadowed"]


def test_a_version_in_a_key_that_its_own_recipe_rules_out_is_reported() -> None:
    floor = layer({"gpu": "h100"}, constraints={"K8s.server.version": ">= 1.32"})
    (issue,) = issues_in(floor, layer({"gpu": "h100", "k8s": "1.30"}, readings={"OS.grub.iommu": "pt"}))
    assert (issue.rule, issue.location) == ("never-satisfied", "overlays/b.yaml: key.k8s")


# Readings, reasons and sources.


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("K8s.server.version", "1.x", "version"),
        ("K8s.image.dcgm", "latest", "version"),
        ("GPU.smi.driver", "R580", "version"),
        ("OS.grub.BOOT_IMAGE", "/boot/vmlinuz", "observed"),
        ("OS.grub.root", "UUID=1", "observed"),
        ("SystemD.containerd.service.MainPID", 4711, "observed"),
        ("GPU.smi.gpu.uuid", "GPU-1", "observed"),
        ("OS.sysctl./proc/sys/fs/file-nr", "1", "read-only"),
        ("GPU.smi.gpu.persistence-mode", "Disabled", "unwanted"),
        ("GPU.smi.gpu.persistence-mode", "Off", "unwanted"),
        ("OS.kmod.gdrdrv", True, "misnamed"),
        ("OS.sysctl.vm.swappiness", "1", "sysctl-path"),
    ],
)
def test_readings_that_cannot_be_recommended_are_reported(path: str, value: object, rule: str) -> None:
    issues = issues_in(layer({"gpu": "h100"}, readings={path: value}))
    assert rules_of(issues) == [(ERROR, rule, f"overlays/a.yaml: {path}")]
    assert issues[0].source or issues[0].hint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("K8s.server.version", "v1.33.5-eks-3025e55"),
        ("K8s.image.dcgm", "4.3.1-1"),
        ("OS.grub.rootwait", ""),
        ("OS.sysctl./proc/sys/fs/aio-max-nr", "65536"),
        ("GPU.smi.gpu.persistence-mode", "Enabled"),
    ],
)
def test_readings_that_are_right_are_no_fault(path: str, value: object) -> None:
    assert issues_in(layer({"gpu": "h100"}, readings={path: value})) == []


def test_a_sentence_that_names_the_owner_is_no_fault() -> None:
    assert issues_in(layer({"gpu": "h100"}, readings={"OS.kmod.gdrdrv": True}, why="The module of GDRCopy.")) == []


def test_what_has_no_reason_and_no_source_is_reported() -> None:
    bare = {
        "key": {"gpu": "h100"},
        "measurements": [{"type": "OS", "subtypes": [{"subtype": "grub", "data": {"iommu": "pt"}}]}],
        "constraints": [{"name": "K8s.server.version", "value": ">= 1.30"}],
        "components": {"one": {"version": "1.1"}},
    }
    assert rules_of(issues_in(bare)) == [
        (WARNING, "no-source", "overlays/a.yaml"),
        (WARNING, "no-reason", "overlays/a.yaml: OS.grub.iommu"),
        (WARNING, "no-reason", "overlays/a.yaml: components.one"),
        (WARNING, "no-reason", "overlays/a.yaml: constraints.K8s.server.version"),
    ]


@pytest.mark.parametrize(
    ("source", "severity", "rule"),
    [
        ({"document": "d", "version": "1"}, WARNING, "no-source"),
        ({"version": "1", "date": "2026"}, WARNING, "no-source"),
        ({"document": "d", "version": "1", "date": "July 2026"}, ERROR, "date"),
        ({"document": "d", "version": "1", "date": "2026-13-01"}, ERROR, "date"),
        ({"document": "d", "version": "1", "date": "2026-02-30"}, ERROR, "date"),
    ],
)
def test_a_source_has_document_version_and_date(source: dict[str, str], severity: str, rule: str) -> None:
    tree = {**layer({"gpu": "h100"}, readings={"OS.grub.iommu": "pt"}), "source": [source]}
    assert rules_of(issues_in(tree)) == [(severity, rule, "overlays/a.yaml: source[0]")]


@pytest.mark.parametrize("date", ["2026", "2026-07", "2026-07-31"])
def test_dates_may_be_less_exact(date: str) -> None:
    source = [{"id": "doc", "document": "d", "version": "1", "date": date}]
    assert issues_in({**layer({"gpu": "h100"}, readings={"OS.grub.iommu": "pt"}), "source": source}) == []


def test_two_sources_of_one_name_are_reported() -> None:
    source = {"id": "doc", "document": "d", "version": "1", "date": "2026"}
    tree = {**layer({"gpu": "h100"}, readings={"OS.grub.iommu": "pt"}), "source": [source, source]}
    assert rules_of(issues_in(tree)) == [(ERROR, "source-twice", "overlays/a.yaml: source[1]")]


def test_a_source_that_is_not_there_is_reported() -> None:
    tree = layer({"gpu": "h100"}, constraints={"K8s.server.version": ">= 1.30"}, components={"one": "1.1"})
    tree["constraints"][0]["source"] = tree["components"]["one"]["source"] = "other"
    assert [issue.rule for issue in issues_in(tree)] == ["unknown-source", "unknown-source"]


def test_a_layer_that_says_nothing_is_reported() -> None:
    assert rules_of(issues_in({"key": {"gpu": "h100"}})) == [(WARNING, "empty-layer", "overlays/a.yaml")]


# What does not go together.


@pytest.mark.parametrize(
    ("readings", "severity"),
    [
        ({"OS.grub.hugepages": "5128", "OS.sysctl./proc/sys/vm/nr_hugepages": "15841"}, ERROR),
        ({"OS.grub.hugepages": 5128, "OS.sysctl./proc/sys/vm/nr_hugepages": "5128"}, WARNING),
        ({"OS.grub.hugepagesz": "2M", "OS.grub.hugepages": "1", "OS.sysctl./proc/sys/vm/nr_hugepages": "2"}, ERROR),
        ({"OS.grub.hugepagesz": "1G", "OS.grub.hugepages": "1", "OS.sysctl./proc/sys/vm/nr_hugepages": "2"}, None),
        (
            {
                "OS.grub.default_hugepagesz": "1G",
                "OS.grub.hugepagesz": "1G",
                "OS.grub.hugepages": "1",
                "OS.sysctl./proc/sys/vm/nr_hugepages": "2",
            },
            ERROR,
        ),
        ({"OS.grub.numa_balancing": "disable", "OS.sysctl./proc/sys/kernel/numa_balancing": "1"}, ERROR),
        ({"OS.grub.numa_balancing": "disable", "OS.sysctl./proc/sys/kernel/numa_balancing": 0}, WARNING),
        ({"OS.grub.numa_balancing": "disable"}, None),
    ],
)
def test_a_value_set_two_ways_is_reported(readings: dict[str, object], severity: str | None) -> None:
    issues = issues_in(layer({"gpu": "h100"}, readings=readings))
    assert [(issue.severity, issue.rule) for issue in issues] == ([(severity, "said-twice")] if severity else [])


def test_a_value_set_two_ways_by_two_layers_is_reported() -> None:
    one = layer({"gpu": "h100"}, readings={"OS.grub.numa_balancing": "disable"})
    other = layer({"intent": "training"}, readings={"OS.sysctl./proc/sys/kernel/numa_balancing": "1"})
    (issue,) = issues_in(one, other)
    assert (issue.severity, issue.location) == (ERROR, "overlays/a.yaml: OS.grub.numa_balancing")
    assert "gpu=h100, intent=training" in issue.message
    assert issues_in(one, {**other, "key": {"gpu": "h200"}}) == []


@pytest.mark.parametrize(
    ("readings", "rules"),
    [
        ({"GPU.smi.driver": "580.82.07", "GPU.smi.cuda-version": "13.1"}, ["cuda"]),
        ({"GPU.smi.driver": "570.86.15", "GPU.smi.cuda-version": "12.8"}, []),
        ({"K8s.image.driver": "580.105.08-ubuntu24.04", "GPU.smi.cuda-version": "12.8"}, ["cuda"]),
        ({"GPU.smi.driver": "999.1.1", "GPU.smi.cuda-version": "12.8"}, ["unknown-release"]),
        ({"GPU.smi.driver": "580.82.07", "K8s.image.driver": "580.105.08"}, ["two-versions"]),
        ({"GPU.smi.driver": "580.82.07", "K8s.image.driver": "580.82.07-ubuntu24.04"}, []),
    ],
)
def test_a_driver_goes_with_its_cuda_and_its_image(readings: dict[str, str], rules: list[str]) -> None:
    reported = [issue.rule for issue in issues_in(layer({"gpu": "h100"}, readings=readings))]
    assert [rule for rule in reported if rule != "ended"] == rules


def test_releases_that_do_not_work_together_are_reported_across_layers() -> None:
    charts = [chart("gpu-operator"), chart("network-operator")]
    one = layer({"gpu": "h100"}, components={"gpu-operator": "v26.3.2"})
    one["components"]["gpu-operator"]["values"] = {"ccManager": {"enabled": False}}
    other = layer({"intent": "training"}, components={"network-operator": "26.4.0"})
    (issue,) = errors_in(one, other, charts=charts)
    assert (issue.severity, issue.rule, issue.location) == (ERROR, "apart", "overlays/a.yaml: components.gpu-operator")
    assert errors_in(one, {**other, "key": {"gpu": "h200"}}, charts=charts) == []


def test_constraints_that_leave_nothing_are_reported_even_if_no_layer_asks_for_both() -> None:
    one = layer({"gpu": "h100"}, constraints={"K8s.server.version": ">= 1.32"})
    other = layer({"service": "eks"}, constraints={"K8s.server.version": "< 1.30"})
    (issue,) = issues_in(one, other)
    assert (issue.severity, issue.rule, issue.location) == (ERROR, "contradiction", "overlays/b.yaml: constraints.K8s.server.version")
    assert "overlays/a.yaml" in issue.message
    assert "gpu=h100" in issue.message


def test_a_recommended_reading_that_breaks_a_constraint_is_reported() -> None:
    floor = layer({"service": "eks"}, constraints={"K8s.server.version": ">= 1.34", "OS.grub.iommu": ">= 2"})
    reading = layer({"gpu": "h100"}, readings={"K8s.server.version": "1.33.5", "OS.grub.iommu": "pt"})
    assert rules_of(issues_in(floor, reading)) == [
        (ERROR, "breaks-constraint", "overlays/b.yaml: K8s.server.version"),
        (WARNING, "incomparable", "overlays/b.yaml: OS.grub.iommu"),
    ]


# Components and catalog.


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"chart": ""}, ["no-chart"]),
        ({"repository": ""}, ["no-repository"]),
        ({"repository": "", "chart": "oci://ghcr.io/example/one"}, []),
        ({"version": ""}, ["no-version"]),
        ({"namespace": ""}, ["no-namespace"]),
        ({"version": "latest"}, ["version"]),
        ({"depends": ["tow"]}, ["unknown-component"]),
        ({"depends": ["two"]}, ["cycle"]),
        ({"requires": ["version"]}, ["path"]),
        ({"requires": ["K8s.config.cdi"]}, []),
        ({"chrat": "x"}, ["unknown-key"]),
    ],
)
def test_components_that_cannot_be_deployed_are_reported(change: dict[str, Any], rules: list[str]) -> None:
    charts = [{**chart("two"), "depends": ["three"], **change}, chart("three")]
    assert [issue.rule for issue in issues_in(charts=charts)] == rules


def test_a_circle_is_named_once() -> None:
    charts = [{**chart(id), "depends": [next_id]} for id, next_id in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))]
    (issue,) = issues_in(charts=charts)
    assert issue.message.endswith("a -> b -> c -> a")
    assert issues_in(charts=[{**chart(f"c{i}"), "depends": [f"c{i + 1}"]} for i in range(3000)] + [chart("c3000")]) == []


def test_a_component_that_is_chosen_and_not_there_is_reported_and_the_nearest_named() -> None:
    (issue,) = issues_in(layer({"gpu": "h100"}, components={"on": "1.0"}))
    assert (issue.rule, issue.location, issue.hint) == ("unknown-component", "overlays/a.yaml: components.on", "did you mean 'one'?")


def test_a_component_that_is_taken_out_and_still_needed_is_reported() -> None:
    tree = layer({"gpu": "h100"}, components={"one": "", "two": "1.0"})
    tree["components"]["one"]["enabled"] = False
    (issue,) = issues_in(tree, charts=[{**chart("two"), "depends": ["one"]}])
    assert (issue.rule, issue.location) == ("needed", "overlays/a.yaml: components.one")


@pytest.mark.parametrize(
    ("entries", "rules"),
    [
        ({"os": [{"name": "a", "detect": ["x"], "versions": ["1.x"]}]}, ["version"]),
        ({"os": [{"name": "a"}]}, ["no-pattern"]),
        ({"os": [{"name": "a", "detect": ["x"]}, {"name": "b", "detect": ["X"]}]}, ["same-pattern"]),
        ({"gpu": [{"name": "a", "detect": ["X 1"]}, {"name": "b", "detect": ["X-1"]}]}, ["wrong-pattern"]),
        ({"gpu": [{"name": "a", "detect": ["X"], "detects": []}]}, ["unknown-key"]),
        ({"gpu": [{"name": "a", "detect": ["X"], "cpu": "arm46"}]}, ["unknown-word"]),
        ({"gpu": [{"name": "a", "detect": ["X"], "source": {"document": "d", "verison": "1"}}]}, ["unknown-key"]),
        ({"intent": [{"name": "a"}]}, []),
    ],
)
def test_a_catalog_that_detects_nothing_or_the_wrong_host_is_reported(entries: dict[str, Any], rules: list[str]) -> None:
    assert [issue.rule for issue in issues_in(files={"catalog.yaml": entries})] == rules


def test_a_system_of_a_service_that_is_no_entry_is_reported_where_it_is_written() -> None:
    service = {"name": "b", "detect": ["b"], "systems": ["c"], "withdrawn": {"d": "ended in 2026"}}
    issues = issues_in(files={"catalog.yaml": {"os": [{"name": "a", "detect": ["x"]}], "service": [service]}})
    locations = [("unknown-word", f"catalog.yaml: service.b.{key}") for key in ("systems", "withdrawn")]
    assert [(issue.rule, issue.location) for issue in issues] == locations


# Form: everything is collected, nothing is raised.


SLIPS = {
    "overlays/a.yaml": b"key: {gpu: h1000}\n",
    "overlays/b.yaml": b"key: {k8s: 1.x}\n",
    "overlays/c.yaml": b"- keys: {}\n- key: {}\n",
    "overlays/d.yaml": b"a: [\n",
    "overlays/e.yaml": b"key: {}\nkey: {}\n",
}

SLIP_ISSUES = {
    ("never-matches", "overlays/a.yaml: key.gpu"),
    ("version", "overlays/b.yaml"),
    ("form", "overlays/c.yaml[0]"),
    ("empty-key", "overlays/c.yaml[1]: key"),
    ("syntax", "data/overlays/d.yaml, line 2, column 1"),
    ("duplicate-key", "data/overlays/e.yaml, line 2, column 1"),
}


def test_one_slip_does_not_hide_the_others() -> None:
    assert {(issue.rule, issue.location) for issue in lint_files(SLIPS, "data")} >= SLIP_ISSUES


@pytest.mark.slow
def test_one_slip_in_a_file_that_changes_every_recipe_hides_no_other() -> None:
    texts = {
        **SLIPS,
        "base.yaml": b"measurements: []\nmeasurements: []\n",
        "components.yaml": b"components: [\n",
        "overlay/e.yaml": b"key: {}\n",
        "overlays/f.yaml": b"key: {gpu: h100}\ncomponents: {mine: {}}\n",
        "README.md": b"no recipe: [",
    }
    issues = {(issue.rule, issue.location) for issue in lint_files(texts, "data")}
    more = {("duplicate-key", "data/base.yaml, line 2, column 1"), ("unknown-file", "overlay/e.yaml")}
    assert issues >= SLIP_ISSUES | more
    assert "unknown-component" not in {rule for rule, _ in issues}, "a file of components that cannot be read names none"


@pytest.mark.parametrize("name", ["catalog.yaml", "components.yaml", "base.yaml", "rules.yaml", "overlays/a.yaml"])
@pytest.mark.parametrize("tree", [[], [[]], 3, "x", {"x": 1}, {"os": 3}, {"components": 3}, {"components": [3]}, {"sources": [{}]}, True])
def test_any_tree_gets_its_fault_and_no_traceback(name: str, tree: object) -> None:
    issues = issues_in(files={name: tree})
    # A file of no overlays is one.
    assert bool(issues) == ((name, tree) != ("overlays/a.yaml", []))
    assert all(issue.location and issue.message and "\n" not in issue.rule for issue in issues)


def test_a_file_of_components_that_cannot_be_read_is_not_held_against_those_who_choose_them() -> None:
    issues = issues_in(layer({"gpu": "h100"}, components={"one": "1.0"}), files={"components.yaml": []})
    assert rules_of(issues) == [(ERROR, "form", "components.yaml")]


def test_one_file_that_is_no_document_has_one_fault() -> None:
    assert rules_of(lint_document("base: []\nbase: []", "x.yaml")) == [(ERROR, "duplicate-key", "x.yaml, line 2, column 1")]
    assert (ERROR, "form", "x.yaml") in rules_of(lint_document("[]", "x.yaml"))
    issues = rules_of(lint_document("{base: [], overlays: [{keys: {}}, {key: {gpu: h100}}, 3], more: 1}", "x.yaml"))
    assert {issue for issue in issues if issue[1] == "form"} == {
        (ERROR, "form", "x.yaml: more"),
        (ERROR, "form", "x.yaml:overlays[0]"),
        (ERROR, "form", "x.yaml:overlays[2]"),
    }


@pytest.mark.slow
def test_lint_changes_nothing_and_says_the_same_twice() -> None:
    names = ("catalog", "components", "base", "rules", "sources", "machines", "overlays/service-eks", "overlays/gpu-h100")
    trees = {path: tree for path, tree in shipped_trees().items() if path.removesuffix(".yaml") in names}
    store, untouched = from_folder(trees), from_folder(trees)
    rules = shipped_rules()
    assert lint(store, rules) == lint(store, rules) == lint(store)
    # Overlays are read when they are used, so those of two stores are equal when all are read.
    assert [*store.overlays] == [*untouched.overlays]
    fields = [field for field in store._fields if field != "overlays"]
    assert all(getattr(store, field) == getattr(untouched, field) for field in fields)


def test_an_issue_has_location_severity_and_rule() -> None:
    issue = LintIssue(ERROR, "cuda", "base.yaml: GPU.smi.cuda-version", "driver 580 reports CUDA 13.0, not 13.1")
    assert str(issue) == "base.yaml: GPU.smi.cuda-version: error: driver 580 reports CUDA 13.0, not 13.1 [cuda]"


# The rules themselves.


def test_every_fact_has_a_source_and_every_source_document_version_and_date() -> None:
    rules = shipped_rules()
    for table in rules._fields:
        rows = getattr(rules, table)
        if table in ("sources", "versioned"):
            continue
        assert rows, table
        assert all(row.source for row in rows), table
    used = {row.source for table in rules._fields if table not in ("sources", "versioned") for row in getattr(rules, table)}
    assert used == set(rules.sources)
    assert all(source.document and source.version and source.date and source.url for source in rules.sources.values())


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "rules.yaml: expected a mapping, found a list"),
        ({"cudas": []}, "rules.yaml: unknown field 'cudas'"),
        ({"cuda": {}}, "rules.yaml: cuda: expected a list"),
        ({"cuda": [3]}, r"rules.yaml: cuda\[0\]: expected a mapping"),
        ({"cuda": [{"driver": "580"}]}, r"rules.yaml: cuda\[0\].cuda: expected a name, found nothing"),
        ({"cuda": [{"driver": "580", "cuda": "x"}]}, r"rules.yaml: cuda\[0\].cuda: invalid version 'x'"),
        ({"cuda": [{"driver": "580", "cuda": "13.0", "by": "x"}]}, r"rules.yaml: cuda\[0\]: unknown field 'by'"),
        ({"cuda": [{"driver": "580", "cuda": "13.0", "source": "x"}]}, r"rules.yaml: cuda\[0\].source: unknown source 'x'"),
        (
            {"needs": [{"component": "a", "version": "1", "name": "K8s.server.version", "value": ">= x"}]},
            r"needs\[0\].value: invalid expression '>= x'",
        ),
        ({"unwanted": [{"path": "a", "values": [True]}]}, r"unwanted\[0\].values\[0\]: expected text, found true or false"),
    ],
)
def test_malformed_rules_are_refused_with_the_path(tree: object, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        read_rules(tree, "rules.yaml")


@pytest.mark.parametrize(
    ("pattern", "path", "met"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        ("a.*", "a.b.c", True),
        ("*.c", "a.b.c", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.c", False),
        ("a*a", "a", False),
        ("a*b*c", "axbxc", True),
        ("a*b*c", "acb", False),
        ("*", "", True),
    ],
)
def test_a_star_stands_for_anything(pattern: str, path: str, met: bool) -> None:
    assert path_matches(pattern, path) is met


def test_a_sysctl_that_no_kernel_has_is_doubted(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    names = ("vm/swapiness", "vm/nosuch", "vm/swappiness", "sunrpc/whatever", "net/ipv4/conf/default/arp_ignore", "kernel/sched_latency_ns")
    data = "".join(f'          /proc/sys/{name}: "1"\n' for name in names)
    (tmp_path / "overlays" / "mine.yaml").write_text(
        f"key: {{gpu: h100}}\nmeasurements:\n  - type: OS\n    subtypes:\n      - subtype: sysctl\n        data:\n{data}"
    )
    doubts = {issue.location.rpartition("/proc/sys/")[2]: issue for issue in lint_path(str(tmp_path)) if issue.rule == "unknown-sysctl"}
    assert set(doubts) == {"vm/swapiness", "vm/nosuch"}
    assert doubts["vm/swapiness"].hint == "did you mean 'swappiness'?"
    assert {name: issue.severity for name, issue in doubts.items()} == {"vm/swapiness": ERROR, "vm/nosuch": WARNING}
    assert all(issue.source for issue in doubts.values())


@pytest.mark.slow
@pytest.mark.exhaustive(sample=1)
@pytest.mark.parametrize(
    "name", ["v26.7.0.yaml", "v26.7.0.key.yaml", "v26.7.0.keys.json", "v26.7.0.keys.yml", "keys.yaml", "v26.7.0/keys.yaml"]
)
def test_a_file_of_values_that_no_bundle_reads_is_an_error(name: str) -> None:
    path = f"values/gpu-operator/{name}"
    issues = lint_files({path: b"{}", "values/gpu-operator/v1.keys.yaml": b"{}"}, "data")
    errors = {(issue.rule, issue.location) for issue in issues if issue.severity == ERROR}
    assert ("unknown-file", path) in errors
    assert not [location for _, location in errors if "v1.keys" in location]


def test_the_shipped_files_of_values_are_checked_too() -> None:
    assert resources.chart_values_files()
    issues = lint_trees(SMALL, [*resources.chart_values_files(), "values/gpu-operatr/v1.keys.yaml"])
    assert [(issue.rule, issue.location, issue.hint) for issue in issues if "values/" in issue.location] == [
        ("unknown-component", "values/gpu-operatr/v1.keys.yaml", "did you mean 'gpu-operator'?")
    ]
