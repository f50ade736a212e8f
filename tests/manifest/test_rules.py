"""What Prometheus is told: rules that promtool takes, alerts at their thresholds, and no metric that the server does not have."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.manifest import server_manifests
from eidos.model.record import replace
from eidos.server.access_log import SYSTEM_ROUTES
from eidos.server.app import PATHS
from eidos.server.request_metrics import ServerMetrics
from tests.support.manifests import SERVERS, of_kind
from tests.support.promtool import check_rules, expressions, promtool

TREES = server_manifests(SERVERS["monitored"])
GROUPS: list[dict[str, Any]] = of_kind(TREES, "PrometheusRule")[0]["spec"]["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD = json.loads(of_kind(TREES, "ConfigMap")[-1]["data"]["eidos-api-server.eidos-server.json"])

#: Metrics of others: of Prometheus itself, of the kubelet, of kube-state-metrics.
FOREIGN = {"up", "container_memory_working_set_bytes", "kube_pod_container_resource_limits"}

OWN = 'namespace="eidos-server",job="eidos-api-server"'


def test_promtool_takes_the_rules_and_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    check_rules(tmp_path, GROUPS, DASHBOARD)


def counted() -> str:
    """What the server tells of its metrics after a request; the kinds of which nothing was counted are not told."""
    metrics = ServerMetrics(PATHS, tokens=lambda: 1.0)
    metrics.requests.increment("GET", "/v1/recipe", "200")
    metrics.seconds.observe(0.01, "GET", "/v1/recipe")
    return metrics.text()


def test_every_metric_is_one_of_the_server() -> None:
    metrics_text = counted()
    known = set(re.findall(r"^# TYPE (\S+)", metrics_text, re.MULTILINE))
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for expression in expressions(GROUPS, DASHBOARD):
        plain = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|without) \([^)]*\)", " ", expression)
        for name in re.findall(r"\b[a-z_][a-z0-9_:]*\b(?!\s*\()", plain):
            if name not in ("or", "and", "vector"):
                assert name in recorded | FOREIGN or name.removesuffix("_bucket") in known, (name, expression)


def test_labels_are_those_of_the_server() -> None:
    for expression in expressions(GROUPS, DASHBOARD):
        for route in re.findall(r'route!~"([^"]*)"', expression):
            assert route == "|".join(SYSTEM_ROUTES)
    assert 'eidos_http_requests_total{method="GET",route="/v1/recipe",status="200"} 1' in counted()


def test_answers_are_counted_at_the_objective_and_at_the_alert() -> None:
    """Between two bounds histogram_quantile interpolates: were 0.2 none, four answers of a hundred at 110 ms would be alerted as slow."""
    bounds = set(re.findall(r'^eidos_http_request_duration_seconds_bucket\{.*le="([^"]+)"', counted(), re.MULTILINE))
    (objective,) = (rule["expr"] for rule in RULES if rule.get("record", "").endswith("objective:p99_seconds"))
    assert objective.removeprefix("vector(").removesuffix(")") in bounds
    assert THRESHOLDS["EidosApiServerSlow"].removeprefix("> ") in bounds


THRESHOLDS = {
    "EidosApiServerUnavailable": "< 0.995",
    "EidosApiServerSlow": "> 0.2",
    "EidosApiServerErrors": "> 0.01",
    "EidosApiServerRejects": "> 0.1",
    "EidosApiServerErrorBudgetSpent": "> 43",
    "EidosApiServerMemory": "> 0.9",
}


def test_thresholds_and_objectives() -> None:
    alerts = {rule["alert"]: rule["expr"] for rule in RULES if "alert" in rule}
    assert set(alerts) == set(THRESHOLDS)
    for name, end in THRESHOLDS.items():
        assert alerts[name].endswith(end)
    objectives = {rule["record"].rpartition(":")[2]: rule["expr"] for rule in RULES if ":objective:" in rule.get("record", "")}
    assert objectives == {
        "availability": "vector(0.999)",
        "p99_seconds": "vector(0.1)",
        "errors_ratio": "vector(0.001)",
        "rejects_ratio": "vector(0.05)",
    }
    for rule in RULES:
        if "alert" in rule:
            assert rule["annotations"]["summary"] and rule["labels"]["severity"] in ("critical", "warning")


def requests(status: str, each: int) -> dict[str, str]:
    return {"series": f'eidos_http_requests_total{{{OWN},method="GET",route="/v1/recipe",status="{status}"}}', "values": f"0+{each}x60"}


def up(values: str) -> dict[str, str]:
    return {"series": f'up{{{OWN},pod="a"}}', "values": values}


def slow(seconds: str, quick: int, late: int) -> list[dict[str, str]]:
    """So many answers a minute within ``seconds``, and so many in all."""
    series = f'eidos_http_request_duration_seconds_bucket{{{OWN},method="GET",route="/v1/recipe",le="%s"}}'
    counts = {"0.025": quick, seconds: late, "+Inf": late}
    return [{"series": series % bound, "values": f"0+{count}x60"} for bound, count in counts.items()]


MEMORY = [
    {
        "series": 'container_memory_working_set_bytes{namespace="eidos-server",container="server",pod="eidos-api-server-1"}',
        "values": "95x60",
    },
    {
        "series": 'container_memory_working_set_bytes{namespace="eidos-server",container="server",pod="eidos-api-server-2"}',
        "values": "90x60",
    },
    *(
        {
            "series": "kube_pod_container_resource_limits"
            f'{{namespace="eidos-server",container="server",pod="eidos-api-server-{pod}",resource="memory",unit="byte"}}',
            "values": "100x60",
        }
        for pod in (1, 2)
    ),
]

#: What happens → the series, and which alerts fire.
SCENES: dict[str, tuple[list[dict[str, str]], set[str]]] = {
    "all is well": ([up("1x60"), requests("200", 6000), *slow("0.1", 5900, 6000)], set()),
    "one of two is down": ([up("1x60"), {"series": f'up{{{OWN},pod="b"}}', "values": "0x60"}], set()),
    "nobody answers": ([up("0x60")], {"EidosApiServerUnavailable", "EidosApiServerErrorBudgetSpent"}),
    "it was down for five minutes on its first day": ([up("1x10 0x4 1x60")], set()),
    "it is not there": ([], {"EidosApiServerUnavailable", "EidosApiServerErrorBudgetSpent"}),
    "one of a hundred fails": ([up("1x60"), requests("200", 9900), requests("500", 100)], set()),
    "two of a hundred fail": ([up("1x60"), requests("200", 9800), requests("503", 200)], {"EidosApiServerErrors"}),
    "what a client does wrong": ([up("1x60"), requests("200", 50), requests("400", 50)], set()),
    "a tenth is refused": (
        [up("1x60"), requests("200", 90), requests("429", 10), {"series": f"eidos_rate_limit_rejects_total{{{OWN}}}", "values": "0+10x60"}],
        set(),
    ),
    "a fifth is refused": (
        [up("1x60"), requests("200", 80), requests("429", 20), {"series": f"eidos_rate_limit_rejects_total{{{OWN}}}", "values": "0+20x60"}],
        {"EidosApiServerRejects"},
    ),
    "two of a hundred take long": ([up("1x60"), requests("200", 100), *slow("1", 98, 100)], {"EidosApiServerSlow"}),
    "memory": ([up("1x60"), *MEMORY], {"EidosApiServerMemory"}),
}


@pytest.mark.slow
def test_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    rule_files(tmp_path)
    alerts(tmp_path, *(scene(series, firing, name=name) for name, (series, firing) in SCENES.items()))


def rule_files(folder: Path, namespace: str = "eidos-server", name: str = "rules.yaml", mesh: str = "") -> None:
    """The rules as the Prometheus Operator writes them, a file for each PrometheusRule."""
    groups = of_kind(server_manifests(replace(SERVERS["monitored"], namespace=namespace, mesh=mesh)), "PrometheusRule")[0]["spec"]["groups"]
    (folder / name).write_text(json.dumps({"groups": groups}), encoding="utf-8")


def scene(series: list[dict[str, str]], firing: Collection[str], namespace: str = "eidos-server", name: str = "") -> dict[str, Any]:
    """What promtool is to find: which alerts of which server fire, and no others."""
    # Annotations hold measured values, which are not the point: what fires is told by the series ALERTS.
    firing_series = [series_of(rule).replace("eidos-server", namespace) for rule in RULES if rule.get("alert") in firing]
    query = {
        "expr": 'ALERTS{alertstate="firing"}',
        "eval_time": "50m",
        "exp_samples": [{"labels": each, "value": 1} for each in firing_series],
    }
    return {"name": name, "interval": "1m", "input_series": series, "promql_expr_test": [query]}


def alerts(folder: Path, *scenes: dict[str, Any]) -> None:
    """Let promtool play scenes with all the rules that are in the folder."""
    tree = {"rule_files": sorted(path.name for path in folder.iterdir()), "evaluation_interval": "1m", "tests": list(scenes)}
    (folder / "tests.yaml").write_text(yaml.safe_dump(tree))
    promtool(folder, "test", "rules", "tests.yaml")


def test_two_servers_before_one_prometheus_are_two(tmp_path: Path) -> None:
    """What is recorded of one does not stand for the other, and an alert says whose it is, by which the operator routes it."""
    rule_files(tmp_path)
    rule_files(tmp_path, "absent", "absent.yaml")
    alerts(tmp_path, scene(SCENES["all is well"][0], SCENES["it is not there"][1], "absent"))


@pytest.mark.parametrize("answers", [True, False])
def test_a_sidecar_that_is_up_does_not_stand_for_the_server(answers: bool, tmp_path: Path) -> None:
    """Istio's gives Prometheus its own metrics and those of the server, and answers without the latter when the server does not."""
    rule_files(tmp_path, mesh="istio")
    (metric,) = re.findall(r"^(eidos_build_info)\{.* 1$", counted(), re.MULTILINE)
    series = [up("1x60"), {"series": f'{metric}{{{OWN},version="1"}}', "values": "1x60" if answers else "1 stale"}]
    alerts(tmp_path, scene(series, () if answers else SCENES["it is not there"][1]))


def labels_of(rule: dict[str, Any]) -> dict[str, str]:
    """The labels of an alert."""
    own: dict[str, str] = {**rule["labels"], "namespace": "eidos-server"}
    if rule["alert"] == "EidosApiServerMemory":
        own.update(pod="eidos-api-server-1")
    return own


def series_of(rule: dict[str, Any]) -> str:
    """The series that tells of a firing alert."""
    labels = {**labels_of(rule), "alertname": rule["alert"], "alertstate": "firing"}
    return "ALERTS{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def test_the_dashboard_is_one() -> None:
    assert of_kind(TREES, "ConfigMap")[-1]["metadata"]["labels"]["grafana_dashboard"] == "1"
    panels = DASHBOARD["panels"]
    assert (
        len({panel["id"] for panel in panels}) == len(panels) == len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels})
    )
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


def test_dashboards_of_two_servers_are_two() -> None:
    """A Grafana has each uid once, of at most 40 characters, and its sidecar has each file once."""
    namespaces = ("eidos-server", "n" * 63, "n" * 62)
    files = [of_kind(server_manifests(replace(SERVERS["monitored"], namespace=name)), "ConfigMap")[-1]["data"] for name in namespaces]
    shown = [json.loads(text) for file in files for text in file.values()]
    assert (
        len({name for file in files for name in file})
        == len({each["uid"] for each in shown})
        == len({each["title"] for each in shown})
        == 3
    )
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,40}", each["uid"]) for each in shown)
    assert all(re.fullmatch("[A-Za-z0-9._-]{1,253}", name) for file in files for name in file)
