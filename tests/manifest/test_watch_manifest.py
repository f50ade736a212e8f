"""``manifest agent --watch``: a DaemonSet with few rights, alerts that promtool plays through, a dashboard of metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eidos.cli import watch
from eidos.cli.arguments import parse_arguments
from eidos.cli.user_config import resolve_options
from eidos.collectors import is_cluster_wide, list_collectors
from eidos.errors import InvalidInput
from eidos.manifest import AgentOptions, agent_manifests, explain_privileges, manifest_notes
from eidos.model.check_report import CheckReport
from eidos.model.finding import FAIL, Finding
from eidos.model.measurement import OK, Outcome
from eidos.model.record import replace
from eidos.watch.node_watch import Cycle
from eidos.watch.watch_metrics import WatchMetrics
from tests.manifest.test_kubectl import grants
from tests.support.manifests import AGENTS, of_kind, templates
from tests.support.program import eidos
from tests.support.promtool import check_rules, expressions, promtool

PLAIN, MONITORED = AGENTS["watch"], AGENTS["watch-monitored"]
TREES = agent_manifests(MONITORED)
GROUPS: list[dict[str, Any]] = of_kind(TREES, "PrometheusRule")[0]["spec"]["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD = json.loads(of_kind(TREES, "ConfigMap")[-1]["data"]["eidos-watch.eidos.json"])

#: Labels that Prometheus adds to what it scrapes from a Pod of a PodMonitor, and the one that this PodMonitor adds.
OWN = 'namespace="eidos",job="eidos/eidos-watch",node="{}"'

#: Metrics of others: of Prometheus itself and of kube-state-metrics.
FOREIGN = {"up", "kube_daemonset_status_number_unavailable"}


def test_there_is_a_daemon_set_and_nothing_of_a_job() -> None:
    kinds = ["ConfigMap", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Service", "DaemonSet"]
    assert [tree["kind"] for tree in agent_manifests(PLAIN)] == kinds
    assert [tree["kind"] for tree in TREES] == ["Namespace", *kinds[1:], "PodMonitor", "PrometheusRule", "ConfigMap"]
    names = {tree["metadata"]["name"] for tree in agent_manifests(PLAIN)}
    assert not names & {tree["metadata"]["name"] for tree in agent_manifests(AGENTS["plain"])}, "the Job may be there, too"


def test_selectors_select_the_pods_and_no_job() -> None:
    (pod,), (job,) = templates(TREES), templates(agent_manifests(AGENTS["plain"]))
    labels = pod["metadata"]["labels"]
    (service,), (daemons,), (monitor,) = (of_kind(TREES, kind) for kind in ("Service", "DaemonSet", "PodMonitor"))
    for selector in (service["spec"]["selector"], *(tree["spec"]["selector"]["matchLabels"] for tree in (daemons, monitor))):
        assert selector.items() <= labels.items()
        assert not selector.items() <= job["metadata"]["labels"].items()
    assert service["spec"]["clusterIP"] == "None"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (port,) = pod["spec"]["containers"][0]["ports"]
    assert endpoint["port"] == service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert endpoint["relabelings"] == [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}]
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"


@pytest.mark.parametrize("options", [PLAIN, MONITORED, replace(PLAIN, without=("systemd", "gpu"))])
def test_its_flags_are_flags_of_watch(options: AgentOptions) -> None:
    (pod,) = templates(agent_manifests(options))
    container = pod["spec"]["containers"][0]
    verb, *flags = container["args"]
    arguments = parse_arguments(flags, watch.VERB.options)
    assert verb == "watch" and not arguments.unknown and not arguments.operands and not arguments.incomplete
    values = resolve_options(watch.VERB.options, arguments.flags, {})
    assert (values["root"], values["timeout"], values["interval"]) == ("/host", 60, options.interval_s)
    assert values["listen"] == ("::", container["ports"][0]["containerPort"])
    assert tuple(values["mark-node"]) == options.marks
    unread = {name for name in list_collectors() if is_cluster_wide(name) and name != "k8s.server"}
    assert set(values["without"]) == unread | set(options.without), "thousands of nodes must not list all Pods each minute"
    assert (container["livenessProbe"]["httpGet"]["path"], container["readinessProbe"]["httpGet"]["path"]) == ("/health", "/ready")
    assert pod["spec"]["restartPolicy"] == "Always"


def test_rights_on_nodes_are_there_for_marks_alone() -> None:
    node = ("get", "", "nodes", "")
    assert grants(agent_manifests(PLAIN), "eidos") == {node}
    for marks, rights in (
        (("condition",), {("patch", "", "nodes/status", "")}),
        (("label",), {("patch", "", "nodes", "")}),
        (("condition", "label"), {("patch", "", "nodes/status", ""), ("patch", "", "nodes", "")}),
    ):
        options = replace(PLAIN, marks=marks)
        assert grants(agent_manifests(options), "eidos") == {node, *rights}
        assert "of every node, because rights cannot be limited" in "\n".join(manifest_notes(options))
    assert not grants(agent_manifests(replace(PLAIN, without=("k8s",))), "eidos")
    rows = {(row["fact"], row["needs"]): row for row in explain_privileges(replace(PLAIN, marks=("label",)))}
    assert not [fact for fact, _ in rows if fact == "the document"]
    assert rows["the mark", "patch nodes"]["given"]
    assert rows["the mark", "patch nodes/status"] == {
        "fact": "the mark",
        "needs": "patch nodes/status",
        "given": False,
        "flag": "--mark-node condition",
        "without": "the condition EidosFindings",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": ("gpu-01",)}, "--per is for Jobs, and --watch prints a DaemonSet"),
        ({"group": ("pool", ("gpu",))}, "--per is for Jobs"),
        ({"schedule": "@daily"}, "--schedule is for Jobs"),
        ({"output": "cm://eidos/x"}, "--output is for Jobs"),
        ({"watch": False}, "--mark-node needs --watch"),
        ({"watch": False, "marks": ()}, "--monitoring needs --watch"),
        ({"monitoring": False}, "--monitoring-label needs --monitoring"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        agent_manifests(replace(MONITORED, **changes))


def test_intervals_are_checked() -> None:
    done = eidos("manifest", "agent", "--watch", "--interval", "1ms", "--delivery", "hostpath")
    assert done.status == 2
    assert done.err.startswith("error: --interval: invalid interval '1ms': shorter than 0.01 s\n")


# ---- alerts and dashboard ----


def test_promtool_takes_the_rules_and_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    check_rules(tmp_path, GROUPS, DASHBOARD)


def test_every_metric_is_one_of_a_watch() -> None:
    metrics = WatchMetrics(("gpu",), 60.0, 60.0)
    report = CheckReport("2026-11-29T06:00:00Z", "1.2.3", "gpu-07", findings=(Finding("a", "a", FAIL, "error", "gpu"),))
    metrics.record_cycle(Cycle(report, outcomes=(Outcome("gpu", OK, 1.0),)), 1.0)
    known = set(re.findall(r"^# TYPE (\S+)", metrics.text(), re.MULTILINE))
    for expression in expressions(GROUPS, DASHBOARD):
        plain = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|without) \([^)]*\)|offset \w+", " ", expression)
        for name in re.findall(r"\b[a-z_][a-z0-9_:]*\b(?!\s*\()", plain):
            if name not in ("or", "and"):
                assert name in FOREIGN or name in known, (name, expression)


def finding(node: str, values: str, status: str = "fail", severity: str = "critical", check: str = "a") -> dict[str, str]:
    labels = f'{OWN.format(node)},check="{check}",severity="{severity}",status="{status}"'
    return {"series": f"eidos_finding{{{labels}}}", "values": values}


def health(node: str, up: str = "1x200", last: str = "0+60x200", stuck: str = "0x200") -> list[dict[str, str]]:
    own = OWN.format(node)
    return [
        {"series": f"up{{{own}}}", "values": up},
        {"series": f"eidos_watch_interval_seconds{{{own}}}", "values": "60x200"},
        {"series": f"eidos_watch_last_success_timestamp_seconds{{{own}}}", "values": last},
        {"series": f"eidos_watch_stuck_processes{{{own}}}", "values": stuck},
        finding(node, "1x200", "pass", check="z"),
    ]


UNAVAILABLE = 'kube_daemonset_status_number_unavailable{namespace="eidos",daemonset="eidos-watch"}'

#: Series → the alerts that fire after 100 minutes, with the labels that they have besides their own.
SCENES: dict[str, tuple[list[dict[str, str]], list[tuple[str, dict[str, str]]]]] = {
    "all is well": ([*health("a"), *health("b"), {"series": UNAVAILABLE, "values": "0x200"}], []),
    "a warning": ([*health("a"), finding("a", "1x200", severity="warning")], []),
    "a critical finding": ([*health("a"), *health("b"), finding("b", "1x200")], [("EidosFindingCritical", {"node": "b", "check": "a"})]),
    "an error": ([*health("a"), finding("a", "1x200", severity="error")], [("EidosFindingError", {"node": "a", "check": "a"})]),
    "a finding that is gone": ([*health("a"), finding("a", "1x90 stale")], []),
    "always unknown": ([*health("a"), finding("a", "1x200", "unknown")], []),
    "unknown now": ([*health("a"), finding("a", "_x70 1x200", "unknown")], [("EidosFindingsUnknown", {"node": "a"})]),
    "not judged": ([*health("a", last="0+60x60 3600x140")], [("EidosWatchStale", {"node": "a"})]),
    "stuck": ([*health("a", stuck="0x50 2x150")], [("EidosWatchStuckProcesses", {"node": "a"})]),
    "not scraped": ([*health("a"), {"series": f"up{{{OWN.format('b')}}}", "values": "0x200"}], [("EidosWatchDown", {"node": "b"})]),
    "no Pod": ([*health("a"), {"series": UNAVAILABLE, "values": "2x200"}], [("EidosWatchUnavailable", {})]),
}


@pytest.mark.slow
def test_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in RULES}
    assert {name for _, firing in SCENES.values() for name, _ in firing} == set(severities), "each has a scene"
    tests = []
    for name, (series, firing) in SCENES.items():
        samples = []
        for alert, more in firing:
            labels = {"alertname": alert, "alertstate": "firing", "namespace": "eidos", "severity": severities[alert], **more}
            samples.append({"labels": "ALERTS{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}", "value": 1})
        query = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "100m", "exp_samples": samples}
        tests.append({"name": name, "interval": "1m", "input_series": series, "promql_expr_test": [query]})
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": GROUPS}), encoding="utf-8")
    tree = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(json.dumps(tree), encoding="utf-8")
    promtool(tmp_path, "test", "rules", "tests.yaml")


def test_the_dashboard_is_as_grafana_documents_it() -> None:
    """Grafana documentation, "Dashboard JSON model": its fields, and panels that do not overlap in a grid of 24 columns."""
    assert of_kind(TREES, "ConfigMap")[-1]["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert set(DASHBOARD) == {"uid", "title", "tags", "timezone", "schemaVersion", "refresh", "time", "templating", "panels"}
    assert re.fullmatch("[A-Za-z0-9_-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["timezone"] in ("browser", "utc") and set(DASHBOARD["time"]) == {"from", "to"}
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["name"]) == ("datasource", "datasource")
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert set(panel) == {"type", "datasource", "id", "title", "gridPos", "fieldConfig", "targets"}
        assert panel["type"] in ("timeseries", "table") and panel["datasource"]["uid"] == "${datasource}"
        x, y, w, h = (panel["gridPos"][name] for name in "xywh")
        area = {(column, row) for column in range(x, x + w) for row in range(y, y + h)}
        assert x + w <= 24 and not cells & area
        cells |= area
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) and all(target["expr"] for target in panel["targets"])
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
