"""Ends of support and allowed upgrades: what a recipe warns of, on which day, and what lint finds in the tables."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.cli import main
from eidos.files import resources
from eidos.model.chart import Chart
from eidos.model.measurement import Measurement, Subtype
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.charts import load_charts
from eidos.recipe.life_cycles import UpgradeStep, last_day, read_ends, read_upgrades, steps_between
from eidos.recipe.lint import ERROR
from eidos.recipe.lint.rule_tables import read_rules, shipped_rules
from eidos.recipe.lint.support_tables import ended_charts, table_issues
from eidos.recipe.store import shipped_store
from eidos.timestamp import days_after
from eidos.workflow import make_recipe
from tests.support.shipped import shipped_trees

TODAY = "2026-11-29"

WHY = " (upgrades are supported within a major release and to the next one)"
EXTENDED = "; extended support ends "


def warnings_of(query: dict[str, str], today: str = TODAY, **facts: str) -> list[str]:
    """The warnings that a date adds; ``facts`` are readings of a snapshot, with ``__`` for a dot and ``_`` for a hyphen."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for name, value in facts.items():
        kind, subtype, key = name.replace("__", ".").replace("_", "-").split(".", 2)
        groups.setdefault(kind, {}).setdefault(subtype, {})[key] = value
    parts = tuple(Measurement(kind, tuple(Subtype(name, data) for name, data in subtypes.items())) for kind, subtypes in groups.items())
    snapshot = Snapshot(timestamp="2026-11-29T00:00:00Z", version="1", node="a", measurements=parts) if facts else None
    plain = make_recipe(query, snapshot=snapshot).warnings
    return [sentence for sentence in make_recipe(query, snapshot=snapshot, today=today).warnings if sentence not in plain]


@pytest.mark.parametrize(
    ("query", "today", "sentences"),
    [
        ({"service": "eks", "gpu": "h100"}, TODAY, []),
        ({"service": "eks", "gpu": "h100"}, "2026-12-30", []),
        ({"service": "eks", "gpu": "h100"}, "2026-12-31", ["driver 595.91.07 gets no fixes after 2027-03"]),
        ({"service": "eks", "gpu": "h100"}, "2027-04-01", ["driver 595.91.07 has had no fixes since 2027-03"]),
        ({"service": "eks", "gpu": "gb200"}, "2027-04-01", []),
        (
            {"service": "eks", "k8s": "1.34"},
            TODAY,
            ["Kubernetes 1.34 leaves standard support on eks after 2026-12-02" + EXTENDED + "2027-12-02"],
        ),
        (
            {"service": "eks", "k8s": "1.33.5"},
            TODAY,
            ["Kubernetes 1.33.5 has been out of standard support on eks since 2026-07-29" + EXTENDED + "2027-07-29"],
        ),
        ({"service": "eks", "k8s": "1.35"}, TODAY, []),
        ({"service": "gke", "k8s": "1.34"}, TODAY, ["Kubernetes 1.34 has been out of standard support on gke since 2026-10-01"]),
        ({"service": "self-managed", "k8s": "v1.34.2"}, TODAY, ["Kubernetes v1.34.2 has had no fixes upstream since 2026-10-27"]),
        ({"service": "aks", "k8s": "1.34"}, TODAY, ["Kubernetes 1.34 has had no fixes upstream since 2026-10-27"]),
        ({"k8s": "1.36"}, TODAY, []),
        ({"k8s": "1.35"}, "2026-11-30", ["Kubernetes 1.35 gets no fixes upstream after 2027-02-28"]),
    ],
)
def test_what_ends_within_90_days_is_reported(query: dict[str, str], today: str, sentences: list[str]) -> None:
    assert warnings_of(query, today) == sentences


@pytest.mark.parametrize(
    ("facts", "sentences"),
    [
        ({"GPU__smi__driver": "570.211.01"}, ["the node has driver 570.211.01 has had no fixes since 2026-02"]),
        ({"GPU__smi__driver": "595.91.07"}, []),
        (
            {"K8s__node__container_runtime_name": "containerd", "K8s__node__container_runtime_version": "1.7.27"},
            ["the node has containerd 1.7.27 has had no fixes since 2026-09"],
        ),
        ({"K8s__node__container_runtime_name": "cri-o", "K8s__node__container_runtime_version": "1.7.27"}, []),
        ({"K8s__node__container_runtime_name": "containerd", "K8s__node__container_runtime_version": "2.3.1"}, []),
        ({"K8s__image__gpu_operator": "v26.3.3"}, []),
        (
            {"K8s__image__gpu_operator": "v25.10.1"},
            [
                "the node has gpu-operator v25.10.1 has had no fixes since 2026-08-20",
                "gpu-operator v25.10.1 cannot be upgraded to v26.7.0 at once: upgrade to 26.3 first" + WHY,
            ],
        ),
        (
            {"K8s__image__gpu_operator": "v24.9.0"},
            [
                "the node has gpu-operator v24.9.0 has had no fixes since 2026-08-20",
                "gpu-operator v24.9.0 cannot be upgraded to v26.7.0: that begins at 26.3 or 26.7" + WHY,
            ],
        ),
        ({"K8s__image__gpu_operator": "v26.7.1"}, []),
        ({"K8s__server__version": "v1.29.4"}, ["Kubernetes v1.29.4 has had no fixes upstream since 2025-11-11"]),
        ({"K8s__server__version": "v1.31.4"}, ["Kubernetes v1.31.4 has had no fixes upstream since 2025-11-11"]),
    ],
)
def test_what_a_node_runs_is_judged_too(facts: dict[str, str], sentences: list[str]) -> None:
    warnings = warnings_of({"service": "self-managed"}, **facts)
    expected = [
        sentence.replace(" has had no fixes", ", which has had no fixes") if "the node" in sentence else sentence for sentence in sentences
    ]
    assert warnings[: len(expected)] == expected
    assert len(warnings) == len(expected) or "Kubernetes" in warnings[-1]


def test_an_old_kubernetes_is_upgraded_one_minor_release_at_a_time() -> None:
    warnings = warnings_of({"service": "self-managed", "gpu": "gb200"}, K8s__server__version="v1.32.4")
    assert warnings[-1] == "Kubernetes v1.32.4 cannot be upgraded to 1.34 at once: upgrade to 1.33 first (minor releases are not skipped)"


VERSIONS = st.sampled_from(["1", "2", "3", "4", "5"])


@given(st.lists(st.tuples(VERSIONS, st.lists(VERSIONS, max_size=3)), unique_by=lambda row: row[0]), VERSIONS, VERSIONS)
def test_each_step_on_a_way_is_allowed(table: list[tuple[str, list[str]]], start: str, goal: str) -> None:
    rows = [UpgradeStep("a", to, tuple(after)) for to, after in table]
    steps = steps_between(start, goal, rows)
    if steps is not None:
        way = [start, *steps, goal]
        for before, after in zip(way, way[1:]):
            assert any(row.to == after and before in row.after for row in rows)
    else:
        assert not any(row.to == goal and start in row.after for row in rows)


@given(st.dates(), st.integers(0, 400))
def test_days_are_counted_as_calendars_do(day: Any, days: int) -> None:
    if 1970 < day.year < 2100:
        assert days_after(day.isoformat(), days) == (day + dt.timedelta(days)).isoformat()
        assert last_day(day.isoformat()[:7]) >= day.isoformat()


@given(
    st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["ends", "upgrades", "product", "version", "end", "to", "after"]), inner, max_size=4)
        ),
    )
)
def test_malformed_tables_are_left_to_lint(tree: Any) -> None:
    assert all(row.product for row in read_ends(tree)) and all(row.product for row in read_upgrades(tree))


def test_every_shipped_row_has_a_source_and_the_versions_that_recipes_have_can_be_reached() -> None:
    rules = shipped_rules()
    assert all(row.source for row in rules.ends) and all(row.source for row in rules.upgrades)
    assert {row.product for row in rules.ends} >= {"driver", "kubernetes", "gpu-operator", "cuda", "containerd", "cert-manager"}
    assert {row.service for row in rules.ends} >= {"eks", "gke", "aks"}
    assert {row.product for row in rules.upgrades} >= {"gpu-operator", "kubernetes", "nvidia-dra-driver-gpu"}
    charts = load_charts(None)[0]
    assert charts["gpu-operator"].upgrades["26.7"] == ("26.3", "26.7") and charts["kueue"].upgrades == {}


SMALL = {path: tree for path, tree in shipped_trees().items() if not path.startswith("overlays/")}


MEANT = "did you mean {!r}?"


@pytest.mark.parametrize(
    ("table", "row", "rule", "location", "hint"),
    [
        ("ends", {"product": "drivr", "version": "580", "end": "2028-06"}, "unknown-component", "ends[{}]", "did you mean 'driver'?"),
        ("ends", {"product": "driver", "version": "640", "end": "2028-13"}, "date", "ends[{}].end", "write it like 2027-03-31 or 2027-03"),
        ("ends", {"product": "driver", "version": "640", "end": "2028"}, "date", "ends[{}].end", "write it like 2027-03-31 or 2027-03"),
        ("ends", {"product": "kubernetes", "version": "1.36", "end": "2028-01", "extended": "2027-01"}, "date", "ends[{}]", ""),
        (
            "upgrades",
            {"product": "cert-manager", "to": "1.20", "after": ["1.20", "1.21"], "source": "dra-api"},
            "downgrade",
            "upgrades[{}].after",
            "remove 1.21",
        ),
        (
            "upgrades",
            {"product": "kueue", "to": "0.19", "after": ["0.18"], "source": "dra-api"},
            "upgrade",
            "upgrades[{}].after",
            "add 0.19",
        ),
        (
            "upgrades",
            {"product": "kueue", "to": "0.19", "after": ["0.19", "x"], "source": "dra-api"},
            "version",
            "upgrades[{}].after",
            "write it like 26.3",
        ),
        ("upgrades", {"product": "kueue", "to": "0.19", "after": ["0.19"]}, "no-source", "upgrades[{}]", ""),
        (
            "floors",
            {"gpu": ["h1o0"], "name": "GPU.smi.driver", "lowest": "1", "why": "x"},
            "unknown-word",
            "floors[{}].gpu",
            MEANT.format("h100"),
        ),
        ("only", {"service": "esk", "os": ["ubuntu"]}, "unknown-word", "only[{}].service", MEANT.format("eks")),
        (
            "apart",
            {"left": "kueeu", "version": ">= 1", "right": "cert-manager", "other": ">= 1"},
            "unknown-word",
            "apart[{}].left",
            MEANT.format("kueue"),
        ),
        (
            "clashes",
            {"path": "K8s.config.mig", "why": "x", "when": {"query.service": "gke, ake"}, "values": ["true"]},
            "unknown-word",
            "clashes[{}].when.query.service",
            MEANT.format("gke"),
        ),
    ],
)
def test_lint_checks_the_tables(table: str, row: dict[str, Any], rule: str, location: str, hint: str | None) -> None:
    rules: Any = SMALL["rules.yaml"]
    path = f"rules.yaml: {location.format(len(rules[table]))}"
    issues = table_issues(shipped_store(), read_rules({**rules, table: [*rules[table], row]}, "rules.yaml"))
    (issue,) = [issue for issue in issues if issue.location == path]
    assert (issue.severity, issue.rule) == (ERROR, rule) and (hint is None or issue.hint == hint)


def test_a_version_to_which_no_upgrade_is_listed_is_an_error() -> None:
    store = shipped_store()
    charts = {**store.charts, "gpu-operator": replace(store.charts["gpu-operator"], version="v26.10.0")}
    issues = table_issues(replace(store, charts=charts), shipped_rules())
    assert [(issue.location, issue.message) for issue in issues] == [
        ("components.yaml: gpu-operator.version", "no upgrade to gpu-operator v26.10.0 is listed, the newest one is to 26.7")
    ]


def test_a_chart_that_no_layer_chooses_ends_too() -> None:
    rules: Any = SMALL["rules.yaml"]
    ends = [*rules["ends"], {"product": "old", "version": "1.0", "end": "2026-01"}, {"product": "old", "version": "2.0", "end": "2030-01"}]
    store = shipped_store()
    store = replace(store, charts={**store.charts, "old": Chart("old", "", "a", "https://charts.example.com", "1.0.0", "a")})
    (issue,) = ended_charts(store, read_rules({**rules, "ends": ends}, "rules.yaml"), TODAY)
    assert (issue.location, issue.hint) == ("components.yaml: old.version", "recommend a release of 2.0 (until 2030-01)")


def test_the_command_takes_the_day(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, is_reported in ((["--today", "2027-01-15"], True), (["--today", "2026-11-29"], False)):
        assert main(["recipe", "--service", "eks", "--gpu", "h100", "-o", str(tmp_path / "r.yaml"), *arguments]) == 0
        assert ("driver 595.91.07 gets no fixes after 2027-03" in capsys.readouterr().err) == is_reported


def test_documents_are_the_same_on_every_day() -> None:
    trees = [make_recipe({"service": "eks", "gpu": "h100"}, today=today).to_tree() for today in ("", TODAY, "2031-01-01")]
    assert trees[0] == trees[1] == trees[2]


def upgradable(branches: str, version: str) -> bool:
    """The function of install.sh by itself."""
    text = resources.read_text("templates/bundles/all/install.sh")
    function = text[text.index("upgradable() {") : text.index("# install_component ID")]
    script = (
        f"set -f\nIFS='\n'\nlist() {{ printf '%s\\n' {branches}; }}\n[ -n '{branches}' ] || list() {{ :; }}\n{function}\nupgradable \"$1\""
    )
    return subprocess.run(["sh", "-c", script, "sh", version], check=False).returncode == 0


@pytest.mark.parametrize(
    ("branches", "version", "is_allowed"),
    [
        ("26.3 26.7", "v26.3.3", True),
        ("26.3 26.7", "26.7.0", True),
        ("26.3 26.7", "v25.10.1", False),
        ("26.3", "26.30.0", False),
        ("", "1", True),
    ],
)
def test_the_scripts_refuse_what_the_table_does_not_allow(branches: str, version: str, is_allowed: bool) -> None:
    assert upgradable(branches, version) == is_allowed
