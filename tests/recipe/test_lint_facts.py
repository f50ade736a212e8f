"""Lint against facts: paths that no snapshot has, values that a kernel or a chart refuses, versions, dates and pairs that cannot be."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.collectors import k8s_node
from eidos.files import resources
from eidos.model.measurement import path_matches
from eidos.model.values_schema import load_schema
from eidos.nvidia import nvidia_smi_readings, nvml_readings
from eidos.nvidia.gpu_values import FIRST_GPU_KEYS
from eidos.recipe.lint import ERROR, WARNING, LintIssue, lint_files, lint_trees
from eidos.recipe.lint.layer_content import latest_date
from eidos.recipe.lint.layer_keys import other_form
from eidos.recipe.lint.reading_paths import misspelt
from eidos.recipe.lint.rule_tables import shipped_rules
from tests.recipe.test_lint import BASE, SOURCE, chart, issues_in, layer, rules_of
from tests.support.effort import examples
from tests.support.shipped import shipped_trees

H100 = {"gpu": "h100"}
SYSCTL = "OS.sysctl./proc/sys/"


# Paths.


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("K8s.server.verison", "did you mean 'version'?"),
        ("K8s.sever.version", "did you mean 'server'?"),
        ("K8s.node.providr", "did you mean 'provider'?"),
        ("K8s.config.cid", "did you mean 'cdi'?"),
        ("K8s.image.gpu-opertor", "did you mean 'gpu-operator'?"),
        ("GPU.smi.gpu.modle", "did you mean 'gpu.model'?"),
        ("GPU.smi.cuda_version", "did you mean 'cuda-version'?"),
        ("GPU.gpu-3.memory.total-mb", "did you mean 'memory.total-mib'?"),
        ("GPU.sim.driver", "did you mean 'smi'?"),
        ("OS.release.VERSION_DI", "did you mean 'VERSION_ID'?"),
        ("OS.release.version_id", "did you mean 'VERSION_ID'?"),
        ("OS.relese.ID", "did you mean 'release'?"),
        ("OS.grub.hugpagesz", "did you mean 'hugepagesz'?"),
        ("SystemD.containerd.service.LimitNOFLIE", "did you mean 'LimitNOFILE'?"),
        ("SystemD.containerd.LimitNOFILE", "write SystemD.containerd.service.LimitNOFILE"),
        (f"{SYSCTL}kernel/osrelase", "did you mean 'osrelease'?"),
        (f"{SYSCTL}net/ipv5/tcp_sack", ""),
        (f"{SYSCTL}nte/core/rmem_max", "did you mean /proc/sys/net/core/rmem_max?"),
    ],
)
@pytest.mark.parametrize("where", ["constraint", "reading"])
def test_a_misspelt_path_is_an_error_with_the_nearest_name(where: str, path: str, hint: str) -> None:
    issues = issues_in(layer(H100, constraints={path: ">= 1"}) if where == "constraint" else layer(H100, readings={path: "1"}))
    reported = [issue for issue in issues if issue.rule in ("unknown-path", "unknown-sysctl")]
    if not hint:  # a folder that another module may add
        assert reported == []
        return
    (issue,) = reported
    assert (issue.severity, issue.hint) == (ERROR, hint)
    assert issue.location == f"overlays/a.yaml: {'constraints.' if where == 'constraint' else ''}{path}"


@pytest.mark.parametrize(
    "path",
    [
        "K8s.server.version",
        "K8s.node.label.nvidia.com/gpu.product",
        "K8s.node.taint.nvidia.com/gpu:NoSchedule",
        "K8s.node.allocatable.cpu",
        "K8s.image.argocd",
        "K8s.policy.driver.version",
        "GPU.smi.gpu.persistence-mode",
        "GPU.gpu-7.ecc.current",
        "OS.release.UBUNTU_CODENAME",
        "OS.release.KERNEL_COMMIT_ID",
        "OS.grub.nvme_core.multipath",
        "OS.kmod.mlx4_core",
        "SystemD.kubelet.service.CPUWeight",
        "SystemD.system.slice.MemoryHigh",
        f"{SYSCTL}sunrpc/tcp_slot_table_entries",
    ],
)
def test_a_path_that_a_snapshot_can_have_is_no_fault(path: str) -> None:
    assert issues_in(layer(H100, constraints={path: "!= 0"})) == []


def test_a_misspelt_path_of_a_chart_is_an_error() -> None:
    charts = [{**chart("two"), "requires": ["K8s.config.cid"], "readings": {"version": ["K8s.imgae.two"]}}]
    assert rules_of(issues_in(charts=charts)) == [
        (ERROR, "unknown-path", "components.yaml: two.readings.version"),
        (ERROR, "unknown-path", "components.yaml: two.requires"),
    ]


def test_every_name_that_a_collector_gives_is_known() -> None:
    rows = shipped_rules().readings

    def is_known(subtype: str, key: str) -> bool:
        return any(path_matches(row.subtype, subtype) and any(path_matches(name, key) for name in row.names) for row in rows)

    gpu = {row[0] for row in nvidia_smi_readings.CONFIGURATION} | {key for row in nvml_readings.CONFIGURATION for key in row.keys}
    missing = [f"GPU.gpu-0.{key}" for key in gpu if not is_known("GPU.gpu-0", key)]
    missing += [
        f"GPU.smi.{key}" for key in ("driver", "cuda-version", "gpu-count", *FIRST_GPU_KEYS.values()) if not is_known("GPU.smi", key)
    ]
    node = (
        k8s_node.node_readings({"metadata": {"name": "a"}, "spec": {"providerID": "aws:///a"}, "status": {}})[0]
        if hasattr(k8s_node, "node_readings")
        else {}
    )
    missing += [f"K8s.node.{key}" for key in (*k8s_node.NODE_INFO_FIELDS, *node) if not is_known("K8s.node", key)]
    assert missing == []


@pytest.mark.shared
def test_every_name_of_a_recorded_snapshot_is_known(shared: Path) -> None:
    tree = yaml.safe_load((shared / "snapshots" / "h100-eks.yaml").read_text())
    readings = {
        f"{m['type']}.{s['subtype']}.{key}": "1"
        for m in tree["measurements"]
        for s in m["subtypes"]
        for key in s["data"]
        if m["type"] != "K8s" or s["subtype"] != "policy"
    }
    constraints = dict.fromkeys(readings, "!= 0")
    reported = [issue for issue in issues_in(layer(H100, constraints=constraints)) if issue.rule == "unknown-path"]
    assert [issue.message for issue in reported] == []


WORDS = st.text("abcdefgh-_.0123456789", min_size=2, max_size=24)


@given(WORDS, st.lists(WORDS, max_size=6), st.integers(0, 30), st.sampled_from(["swap", "drop", "add", "change"]))
def test_one_slip_and_nothing_else_is_reported(word: str, others: list[str], position: int, kind: str) -> None:
    at = position % len(word)
    slips = {
        "swap": word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
        "drop": word[:at] + word[at + 1 :],
        "add": word[:at] + "z" + word[at:],
        "change": word[:at] + "z" + word[at + 1 :],
    }
    slip = slips[kind]
    nearest = misspelt(slip, [word])
    same_letters = [("0" if char.isdigit() else char) for char in slip] == [("0" if char.isdigit() else char) for char in word]
    assert nearest == (word if slip == word or not same_letters else None)
    match = misspelt(word, others)
    assert match is None or match in others


# Values of settings.


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("vm/swappiness", "500", "invalid value '500'; expected 0 to 200"),
        ("vm/swappiness", "-1", "invalid value '-1'; expected 0 to 200"),
        ("vm/swappiness", "sixty", "invalid value 'sixty'; expected a whole number"),
        ("vm/swappiness", "", "invalid value ''; expected a whole number"),
        ("vm/swappiness", "60 60", "invalid value '60 60'; expected a whole number"),
        ("vm/swappiness", 1000, "invalid value '1000'; expected 0 to 200"),
        ("vm/swappiness", True, "invalid value 'true'; expected a whole number"),
        ("vm/dirty_ratio", "101", "invalid value '101'; expected 0 to 100"),
        ("vm/overcommit_memory", "3", "invalid value '3'; expected 0 to 2"),
        ("kernel/pid_max", "5000000", "invalid value '5000000'; expected 301 to 4194304"),
        ("kernel/sched_rt_runtime_us", "-2", "invalid value '-2'; expected -1 or more"),
        ("net/ipv4/tcp_rmem", "4096 131072 65536", "invalid value '4096 131072 65536'; expected ascending numbers"),
        ("net/ipv4/tcp_rmem", "8192\t4096", "invalid value '8192\\t4096'; expected ascending numbers"),
        ("net/ipv4/tcp_wmem", "4096 16384 4194304 1", "invalid value '4096 16384 4194304 1'; expected 3 whole numbers"),
        ("net/ipv4/ip_local_port_range", "32768 70000", "invalid value '32768 70000'; expected 1 to 65535"),
        ("net/ipv4/ip_local_port_range", "60999 32768", "invalid value '60999 32768'; expected ascending numbers"),
        ("net/ipv4/conf/default/arp_announce", "3", "invalid value '3'; expected 0 to 2"),
        ("net/core/rmem_max", "4294967296", "invalid value '4294967296'; expected 0 to 2147483647"),
        ("fs/inotify/max_user_watches", "-5", "invalid value '-5'; expected 0 or more"),
    ],
)
def test_a_value_that_the_kernel_refuses_is_an_error(name: str, value: object, message: str) -> None:
    (issue,) = issues_in(layer(H100, readings={SYSCTL + name: value}))
    assert (issue.severity, issue.rule, issue.location, issue.message) == (
        ERROR,
        "out-of-range",
        f"overlays/a.yaml: {SYSCTL}{name}",
        message,
    )
    assert issue.source


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vm/swappiness", "0"),
        ("vm/swappiness", 200),
        ("kernel/sched_rt_runtime_us", "-1"),
        ("net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
        ("net/ipv4/tcp_rmem", "4096 4096 4096"),
        ("net/ipv4/ip_local_port_range", "1024 65535"),
        ("net/ipv4/tcp_congestion_control", "bbr"),
        ("kernel/core_pattern", "core"),
    ],
)
def test_a_value_that_the_kernel_takes_is_no_fault(name: str, value: object) -> None:
    assert issues_in(layer(H100, readings={SYSCTL + name: value})) == []


@pytest.mark.parametrize(
    ("expression", "fine"), [(">= 300", False), ("> 200", False), ("== 500", False), ("<= 10", True), (">= 200", True)]
)
def test_a_constraint_that_no_value_satisfies_is_an_error(expression: str, fine: bool) -> None:
    issues = issues_in(layer(H100, constraints={f"{SYSCTL}vm/swappiness": expression}))
    assert [issue.rule for issue in issues] == ([] if fine else ["out-of-range"])


@pytest.mark.parametrize(
    ("left", "right", "fine"),
    [
        (("vm/dirty_background_ratio", "20"), ("vm/dirty_ratio", "10"), False),
        (("vm/dirty_background_ratio", "10"), ("vm/dirty_ratio", "10"), False),
        (("vm/dirty_background_ratio", "5"), ("vm/dirty_ratio", "10"), True),
        (("net/ipv4/neigh/default/gc_thresh1", "9"), ("net/ipv4/neigh/default/gc_thresh2", "8"), False),
        (("net/ipv4/neigh/default/gc_thresh2", "8"), ("net/ipv4/neigh/default/gc_thresh3", "8"), True),
        (("kernel/sched_rt_runtime_us", "950000"), ("kernel/sched_rt_period_us", "900000"), False),
    ],
)
def test_two_numbers_in_the_wrong_order_are_an_error_of_the_later_layer(left: tuple[str, str], right: tuple[str, str], fine: bool) -> None:
    one = layer(H100, readings={SYSCTL + left[0]: left[1]})
    other = layer({"gpu": "h100", "intent": "training"}, readings={SYSCTL + right[0]: right[1]})
    issues = issues_in(one, other)
    assert rules_of(issues) == ([] if fine else [(ERROR, "order", f"overlays/b.yaml: {SYSCTL}{right[0]}")])
    assert all(left[1] in issue.message and "overlays/a.yaml" in issue.message for issue in issues)


@given(st.text(max_size=30) | st.integers() | st.lists(st.integers(), max_size=5).map(lambda numbers: " ".join(map(str, numbers))))
def test_any_value_is_judged(value: Any) -> None:
    from eidos.recipe.layer import read_layer
    from eidos.recipe.lint.setting_values import range_issues

    data = {"/proc/sys/vm/swappiness": value, "/proc/sys/net/ipv4/tcp_rmem": value}
    tree = {"key": H100, "measurements": [{"type": "OS", "subtypes": [{"subtype": "sysctl", "data": data}]}]}
    reported = [issue.location.rpartition("/")[2] for issue in range_issues(read_layer(tree, "x"), RULES)]
    words = str(value).split()
    is_number = len(words) == 1 and words[0].isascii() and words[0].removeprefix("-").isdigit()
    assert ("swappiness" not in reported) == (is_number and 0 <= int(words[0]) <= 200)


RULES = shipped_rules()


# Values of charts.


def carried() -> dict[str, object]:
    """The shipped recipes, of the overlays those that rule something out: lint of all takes its time."""
    names = (
        "service-aks",
        "service-eks",
        "service-gke",
        "service-oke",
        "gpu-gb200",
        "gpu-gb300",
        "gpu-b200",
        "gpu-b300",
        "gpu-gh200",
        "gpu-rtx-pro-6000",
        "grace-blackwell-eks",
        "grace-blackwell-nvlink",
    )
    return {
        name: tree
        for name, tree in shipped_trees().items()
        if not name.startswith("overlays/") or name in {f"overlays/{each}.yaml" for each in names}
    }


ACCEPTS = "write what the chart accepts, or remove it"


def chart_issues(values: dict[str, Any], key: dict[str, str] | None = None, version: str = "", **parts: Any) -> list[LintIssue]:
    """What lint finds when an overlay for EKS, or for ``key``, chooses these values for the GPU operator."""
    tree = layer(key or {"service": "eks"}, **parts)
    tree["components"] = {"gpu-operator": {"values": values, "why": "Why.", "source": "doc", **({"version": version} if version else {})}}
    # None of the overlays that are left sets anything of the network.
    return [issue for issue in lint_trees({**carried(), "overlays/x-mine.yaml": tree}) if issue.rule != "no-network"]


@pytest.mark.parametrize(
    ("values", "path", "message", "hint"),
    [
        (
            {"driver": {"kernelModulTyp": "open"}},
            "driver.kernelModulTyp",
            "the chart has no value",
            "did you mean driver.kernelModuleType?",
        ),
        (
            {"driver": {"kernelModuleType": "opened"}},
            "driver.kernelModuleType",
            "invalid value 'opened'; expected one of auto, open",
            "did you mean 'open'?",
        ),
        ({"mig": {"strategy": "several"}}, "mig.strategy", "invalid value 'several'; expected one of none, single, mixed", ACCEPTS),
        (
            {"daemonsets": {"updateStrategy": "Rolling"}},
            "daemonsets.updateStrategy",
            "invalid value 'Rolling'",
            "did you mean 'RollingUpdate'?",
        ),
        ({"gdrcopy": {"enabled": "yes"}}, "gdrcopy.enabled", "the chart expects a boolean, not 'yes'", ACCEPTS),
        ({"drivr": {"enabled": True}}, "drivr.enabled", "the chart has no value drivr.enabled", "did you mean driver.enabled?"),
    ],
)
def test_a_value_that_the_chart_does_not_have_is_an_error(values: dict[str, Any], path: str, message: str, hint: str) -> None:
    (issue,) = chart_issues(values)
    assert (issue.severity, issue.rule) == (ERROR, "chart-value")
    assert issue.location == f"overlays/x-mine.yaml: components.gpu-operator.values.{path}"
    assert message in issue.message
    assert "v26.7.0" in issue.message
    assert issue.hint == hint


def test_a_value_is_that_of_the_version_that_the_recipe_has() -> None:
    values = {"draDriver": {"computeDomains": {"enabled": True}}}
    older = chart_issues(values, version="v26.3.3", readings={"K8s.image.gpu-operator": "v26.3.3"})
    assert "chart-value" in {issue.rule for issue in older}
    assert chart_issues(values) == []


def test_a_version_of_which_nothing_is_known_is_a_warning() -> None:
    issues = chart_issues({"driver": {"kernelModulTyp": "open"}}, version="v25.10.1", readings={"K8s.image.gpu-operator": "v25.10.1"})
    reported = [(issue.severity, issue.location, issue.hint) for issue in issues if issue.rule == "unchecked-values"]
    location = "overlays/x-mine.yaml: components.gpu-operator.version"
    assert reported == [(WARNING, location, "add values/gpu-operator/v25.10.1.keys.yaml")]


#: Values of a chart whose keys and words are files of the same folder, and what is wrong with them.
OWN_CHART = layer({"service": "eks"}) | {
    "components": {"mine": {"values": {"colr": "red", "size": "huge"}, "why": "Why.", "source": "doc"}}
}
OWN_KEYS = {"values/mine/1.0.keys.yaml": {"color": "string", "size": "string"}, "values/mine/1.0.words.yaml": {"size": ["small", "large"]}}
OWN_CHART_ISSUES = [("components.mine.values.colr", "did you mean color?"), ("components.mine.values.size", ACCEPTS)]


def test_the_keys_of_a_chart_can_be_those_of_the_folder() -> None:
    reported = issues_in(OWN_CHART, charts=[chart("mine")], files=OWN_KEYS)
    assert [(issue.location.rpartition(": ")[2], issue.hint) for issue in reported] == OWN_CHART_ISSUES
    no_kind = {**OWN_KEYS, "values/mine/1.0.keys.yaml": {"color": "colour"}}
    reported = issues_in(OWN_CHART, charts=[chart("mine")], files=no_kind)
    assert [(issue.rule, issue.location) for issue in reported] == [("form", "values/mine/1.0.keys.yaml")]


@pytest.mark.slow
def test_the_keys_of_a_chart_are_read_from_the_files_of_the_folder() -> None:
    trees = {
        "components.yaml": {"components": [*shipped_trees()["components.yaml"]["components"], chart("mine")]},
        "overlays/x-mine.yaml": OWN_CHART,
        **OWN_KEYS,
    }
    reported = lint_files({name: yaml.safe_dump(tree).encode() for name, tree in trees.items()}, "data")
    assert [(issue.location.rpartition(": ")[2], issue.hint) for issue in reported] == OWN_CHART_ISSUES


@pytest.mark.shared
@pytest.mark.parametrize("version", ["v26.3.3", "v26.7.0"])
def test_words_are_those_of_the_custom_resource(shared: Path, version: str) -> None:
    tree = yaml.safe_load((shared / "crds" / "gpu-operator" / version / "nvidia.com_clusterpolicies.yaml").read_text())
    spec = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema = load_schema(f"gpu-operator/{version}", resources.load_chart_values)
    assert schema is not None

    def words(node: dict[str, Any], path: str) -> Any:
        if "enum" in node and path in schema.types:
            yield path, tuple(node["enum"])
        for name, inner in node.get("properties", {}).items():
            yield from words(inner, f"{path}.{name}" if path else name)

    assert dict(words(spec, "")) == schema.words


PATHS = st.sampled_from(
    ["K8s.image.gpu-operator", "K8s.config.cdi", f"{SYSCTL}vm/swappiness", f"{SYSCTL}vm/dirty_ratio", "OS.release.VERSION_ID"]
)
WORDS_OF_VALUES = st.text(max_size=8) | st.integers(-9, 999) | st.booleans() | st.sampled_from(["v26.3.3", "open", "24.4", "/", ""])
NESTED = st.recursive(
    WORDS_OF_VALUES | st.none() | st.lists(WORDS_OF_VALUES, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["driver", "enabled", "kernelModuleType", "version", "a.b", "x["]), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=examples(25), deadline=None)
@given(st.dictionaries(PATHS, WORDS_OF_VALUES, max_size=4), st.dictionaries(st.sampled_from(["driver", "cdi", "mig"]), NESTED, max_size=3))
def test_whatever_a_layer_states_lint_has_no_fault_of_its_own(readings: dict[str, Any], values: dict[str, Any]) -> None:
    tree = layer({"gpu": "gb200"}, readings=readings)
    tree["components"] = {"gpu-operator": {"values": values, "why": "Why.", "source": "doc"}}
    operator = {
        **chart("gpu-operator", "v26.3.3"),
        "readings": {"version": ["K8s.image.gpu-operator"], "values.cdi.enabled": ["K8s.config.cdi"]},
    }
    issues = issues_in(tree, charts=[operator])
    assert all(issue.location and issue.message and issue.severity in (ERROR, WARNING) for issue in issues)
    assert issues == issues_in(tree, charts=[operator])


# What rules out what.


@pytest.mark.parametrize("gpu", ["b200", "b300", "gb200", "gb300", "gh200", "rtx-pro-6000"])
def test_proprietary_modules_on_a_gpu_that_needs_open_ones_are_an_error(gpu: str) -> None:
    issues = [
        issue
        for issue in chart_issues({"driver": {"kernelModuleType": "proprietary"}}, {"gpu": gpu, "intent": "inference"})
        if issue.rule == "clash"
    ]
    assert [issue.location for issue in issues] == ["overlays/x-mine.yaml: components.gpu-operator.values.driver.kernelModuleType"]
    assert f"kernelModuleType is proprietary (overlays/x-mine.yaml) and query.gpu is {gpu}: " in issues[0].message


def test_two_layers_that_rule_each_other_out_are_both_named_and_the_later_one_is_at_fault() -> None:
    reported = chart_issues({"driver": {"enabled": False}}, {"service": "self-managed", "gpu": "gb200", "os": "ubuntu"})
    (issue,) = [issue for issue in reported if issue.rule == "clash"]
    assert issue.location == "overlays/x-mine.yaml: components.gpu-operator.values.driver.enabled"
    assert "nvidiaDriverRoot is /run/nvidia/driver (overlays/grace-blackwell-nvlink.yaml[0])" in issue.message


def test_proprietary_modules_elsewhere_are_no_fault() -> None:
    assert chart_issues({"driver": {"kernelModuleType": "proprietary"}}, {"gpu": "a100", "intent": "inference"}) == []


def test_a_reading_that_turns_the_open_modules_off_is_an_error() -> None:
    readings = {"K8s.config.useOpenKernelModule": False}
    reported = chart_issues({}, {"gpu": "b200", "intent": "inference"}, readings=readings)
    assert ("clash", "overlays/x-mine.yaml: K8s.config.useOpenKernelModule") in {(issue.rule, issue.location) for issue in reported}


@pytest.mark.parametrize(
    ("operator", "root", "fine"),
    [
        ({"driver": {"enabled": False}}, "/run/nvidia/driver", False),
        ({"driver": {"enabled": False}}, "/", True),
        ({"driver": {"enabled": True}}, "/", False),
        ({}, "/", False),
        ({}, "/run/nvidia/driver", True),
        ({"hostPaths": {"driverInstallDir": "/opt/nvidia"}}, "/opt/nvidia", True),
        ({"driver": {"enabled": False}}, "/opt/nvidia", True),
    ],
)
def test_the_driver_root_of_dra_is_where_the_driver_is(operator: dict[str, Any], root: str, fine: bool) -> None:
    tree = layer({"service": "self-managed", "gpu": "gb200"})
    choices = {"gpu-operator": operator, "nvidia-dra-driver-gpu": {"nvidiaDriverRoot": root}}
    tree["components"] = {id: {"values": values, "why": "Why.", "source": "doc"} for id, values in choices.items()}
    reported = [issue for issue in lint_trees({**carried(), "overlays/x-mine.yaml": tree}) if issue.rule == "clash"]
    assert {issue.location for issue in reported} == (
        set() if fine else {"overlays/x-mine.yaml: components.nvidia-dra-driver-gpu.values.nvidiaDriverRoot"}
    )


@pytest.mark.parametrize(
    ("operator", "network", "fine"),
    [
        ("v26.3.2", "26.4.0", False),
        ("v26.3.0", "26.4.0", False),
        ("v26.3.3", "26.4.1", False),
        ("v26.3.3", "26.1.0", True),
        ("v26.7.0", "26.4.1", True),
        ("v25.10.1", "26.4.1", True),
    ],
)
def test_releases_that_do_not_go_together_are_a_range(operator: str, network: str, fine: bool) -> None:
    tree = layer(H100, components={"gpu-operator": operator, "network-operator": network})
    issues = [issue.rule for issue in issues_in(tree, charts=[chart("gpu-operator"), chart("network-operator")]) if issue.severity == ERROR]
    assert [rule for rule in issues if rule not in ("ended", "clash")] == ([] if fine else ["apart"])


@pytest.mark.parametrize(("version", "enabled", "fine"), [("v26.7.0", None, False), ("v26.7.0", False, True), ("v25.10.1", None, True)])
def test_confidential_computing_is_not_left_to_charts_that_enable_it(version: str, enabled: bool | None, fine: bool) -> None:
    tree = layer(H100, components={"gpu-operator": version})
    if enabled is not None:
        tree["components"]["gpu-operator"]["values"] = {"ccManager": {"enabled": enabled}}
    issues = [issue.rule for issue in issues_in(tree, charts=[chart("gpu-operator")])]
    assert ("clash" not in issues) == fine


def test_images_that_an_earlier_layer_chose_for_another_version_are_named() -> None:
    (issue,) = [
        issue for issue in chart_issues({}, version="v26.3.3", readings={"K8s.image.gpu-operator": "v26.3.3"}) if issue.rule == "operands"
    ]
    assert (issue.severity, issue.location) == (WARNING, "overlays/x-mine.yaml: components.gpu-operator.version")
    assert "it is v26.3.3, but K8s.image." in issue.message
    assert "K8s.image.dcgm" in issue.message
    assert "are those of v26.7.0" in issue.message
    tags = {"dcgm": "4.5.2-1-ubuntu22.04", "dcgm-exporter": "4.5.3-4.8.2-distroless", "gpu-operator": "v26.3.3"}
    tags.update({"k8s-device-plugin": "v0.19.3", "k8s-mig-manager": "v0.14.2", "node-feature-discovery": "v0.18.3"})
    tags.update({"container-toolkit": "v1.19.1", "k8s-driver-manager": "v0.11.0"})
    complete = {f"K8s.image.{name}": tag for name, tag in tags.items()}
    assert "operands" not in {issue.rule for issue in chart_issues({}, version="v26.3.3", readings=complete)}


# Versions and dates.


@pytest.mark.parametrize(
    ("os", "text", "right"),
    [
        ("ubuntu", "24.4", "24.04"),
        ("ubuntu", "22.4", "22.04"),
        ("ubuntu", "26.4.1", "26.04.1"),
        ("rhel", "9.06", "9.6"),
        ("ubuntu", "24.04", None),
        ("ubuntu", "24.10", None),
        ("ubuntu", "24", None),
        ("rhel", "9.6", None),
        ("rhel", "8.10", None),
        ("amazonlinux", "2023", None),
    ],
)
@pytest.mark.parametrize("where", ["key", "constraint", "reading"])
def test_a_version_of_a_system_in_another_form_is_an_error(where: str, os: str, text: str, right: str | None) -> None:
    path = "OS.release.VERSION_ID"
    trees = {
        "key": layer({"os": os, "osv": text}, readings={"OS.grub.iommu": "pt"}),
        "constraint": layer({"os": os}, constraints={path: f"!= {text}"}),
        "reading": layer({"os": os}, readings={path: text}),
    }
    issues = [issue for issue in issues_in(trees[where]) if issue.rule == "version-form"]
    location = {"key": "key.osv", "constraint": f"constraints.{path}", "reading": path}[where]
    assert [(issue.severity, issue.location) for issue in issues] == ([(ERROR, f"overlays/a.yaml: {location}")] if right else [])
    assert all(issue.hint == f'write "{right}", in quotes' for issue in issues)


def test_a_version_without_a_system_is_that_of_one_that_has_it() -> None:
    path = "OS.release.VERSION_ID"
    base = {**BASE, "constraints": [{"name": path, "value": "in (24.4, 9.6)", "why": "Why.", "source": "doc"}]}
    issues = [issue for issue in issues_in(base=base) if issue.rule == "version-form"]
    assert issues == []  # the base has no key; what it constrains is every system
    (issue,) = [issue for issue in issues_in(layer(H100, constraints={path: "in (24.4, 9.6)"})) if issue.rule == "version-form"]
    assert issue.hint == 'write "24.04", in quotes'


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from(["24.04", "9.6", "8.10", "2023"]))
def test_a_version_in_another_form_has_the_same_numbers(first: int, second: int, listed: str) -> None:
    for text in (f"{first}.{second}", f"{first}.{second:02}"):
        right = other_form(text, listed)
        assert right is None or [int(part) for part in right.split(".")] == [first, second]
        assert right is None or other_form(right, listed) is None


@pytest.mark.parametrize(
    ("date", "fine"),
    [("2999", False), ("2999-01", False), ("2999-12-31", False), (time.strftime("%Y-%m-%d", time.gmtime()), True), ("2026-07", True)],
)
def test_a_date_in_the_future_is_an_error(date: str, fine: bool) -> None:
    tree = {**layer(H100, readings={"OS.grub.iommu": "pt"}), "source": [{**SOURCE[0], "date": date}]}
    assert rules_of(issues_in(tree)) == ([] if fine else [(ERROR, "date", "overlays/a.yaml: source[0]")])


def test_the_dates_of_entries_and_rules_are_checked_too() -> None:
    recipes = shipped_trees()
    rules = {"sources": [{"id": "x", "document": "d", "version": "1", "date": "2999-01-01"}]}
    charts = [{**chart("two"), "source": {"document": "d", "version": "1", "date": "2999"}}]
    catalog = {**recipes["catalog.yaml"], "intent": [{"name": "a", "source": {"document": "d", "version": "1", "date": "soon"}}]}
    issues = issues_in(charts=charts, files={"rules.yaml": rules, "catalog.yaml": catalog})
    assert {issue.location for issue in issues if issue.rule == "date"} == {
        "rules.yaml: sources.x",
        "components.yaml: components[1].source",
        "catalog.yaml: intent[0].source",
    }


def test_today_decides_which_dates_are_in_the_future() -> None:
    charts = [chart("one"), {**chart("two"), "source": {"document": "d", "version": "1", "date": "2150-06"}}]
    trees = {**carried(), "components.yaml": {"components": charts}}
    for today, issues in (("2150-06-01", 0), ("2150-05-31", 1), ("", 1)):
        assert sum(issue.rule == "date" for issue in lint_trees(trees, today=today)) == issues, today


def test_a_clock_that_is_behind_makes_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert latest_date() == max(source.date for source in RULES.sources.values())
    assert [issue for issue in lint_trees(carried()) if issue.rule == "date"] == []
