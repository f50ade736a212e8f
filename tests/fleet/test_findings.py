"""``eidos fleet --check``, ``--from`` and ``--against``: one promise a test."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from eidos.cli import main
from eidos.errors import InvalidInput
from eidos.fleet.findings import FindingGroups
from eidos.fleet.results import FleetResults, with_cluster
from eidos.model.check_report import CheckReport
from eidos.model.finding import CRITICAL, ERROR, FAIL, PASS, UNKNOWN, WARNING, Finding, Remedy, RemedyStep
from eidos.model.measurement import OK, SKIPPED, Measurement, Outcome, Subtype
from eidos.model.snapshot import Snapshot
from eidos.reading_selection import shipped_selection

GPU = {"model": "NVIDIA H100 80GB HBM3", "ecc.current": "Enabled", "ecc.pending": "Enabled"}


def node_tree(name: str, driver: str = "580.126.20", nouveau: bool = False, swappiness: str = "60") -> dict[str, Any]:
    """A snapshot of a node, new enough to be judged."""
    import time

    kmod = {"nvidia": True, **({"nouveau": True} if nouveau else {})}
    collectors = [{"name": n, "outcome": "ok", "milliseconds": 1} for n in ("os.release", "os.kmod", "os.sysctl", "gpu")]
    return {
        "kind": "Snapshot",
        "apiVersion": "snapshot.dgxc.io/v1",
        "metadata": {"snapshot-timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "source-node": name},
        "measurements": [
            {
                "type": "OS",
                "subtypes": [
                    {"subtype": "release", "data": {"ID": "ubuntu", "VERSION_ID": "24.04"}},
                    {"subtype": "kmod", "data": kmod},
                    {"subtype": "sysctl", "data": {"/proc/sys/vm/swappiness": swappiness}},
                ],
            },
            {
                "type": "GPU",
                "subtypes": [{"subtype": "smi", "data": {"driver": driver, "gpu-count": 1}}, {"subtype": "gpu-0", "data": GPU}],
            },
        ],
        "collectors": collectors,
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Snapshots of four nodes, one of which has nouveau loaded, one another setting."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    for number in range(1, 5):
        tree = node_tree(f"gpu-{number}", nouveau=number == 3, swappiness="10" if number == 4 else "60")
        (nodes / f"file-{number}.json").write_text(json.dumps(tree))
    return nodes


def fleet(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["fleet", *words])
    captured = capfd.readouterr()
    return status, captured.out, captured.err


def test_saved_snapshots_are_compared_and_nothing_is_written(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.parent.rglob("*"))
    status, out, _ = fleet(capfd, "--from", "nodes", "-t", "json")
    tree = json.loads(out)
    assert (status, [(c["kind"], c["nodes"]) for c in tree["classes"]]) == (
        0,
        [("equal", ["gpu-1", "gpu-2"]), ("odd", ["gpu-3"]), ("odd", ["gpu-4"])],
    )
    assert "findings" not in tree
    assert "folder" not in tree
    assert fleet(capfd, "--from", "nodes", "--exit-code")[0] == 4
    assert sorted(folder.parent.rglob("*")) == before


def test_findings_come_once_with_their_nodes_worst_first_and_fail_the_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = fleet(capfd, "--from", "nodes", "--check", "-t", "json")
    tree = json.loads(out)
    rows = {row["id"]: row for row in tree["findings"]}
    assert status == 4
    assert rows["nouveau-loaded"]["nodes"] == ["gpu-3"]
    assert (rows["nouveau-loaded"]["count"], rows["nouveau-loaded"]["status"]) == (1, "fail")
    assert rows["nouveau-loaded"]["remedy"]["steps"]
    assert "evidence" not in rows["nouveau-loaded"]
    assert tree["checked"]["nodes"] == 4
    assert [row["status"] for row in tree["findings"]] == sorted((row["status"] for row in tree["findings"]), key=["fail", "unknown"].index)
    table = fleet(capfd, "--from", "nodes", "--check")[1]
    assert "[nouveau-loaded]\n    1 node: gpu-3\n" in table
    assert "settings were not judged (choose with --intent)" in " ".join(table.split())


def test_exit_statuses_of_check(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "file-3.json").unlink()
    assert fleet(capfd, "--from", "nodes", "--check")[0] == 3  # something is unknown
    assert fleet(capfd, "--from", "nodes", "--check", "--allow-unknown")[0] == 0
    assert fleet(capfd, "--from", "nodes", "--check", "--fail-on", "never")[0] == 0
    (folder / "cluster.yaml").write_bytes(b'{"kind": "Snap')
    assert fleet(capfd, "--from", "nodes")[0] == 0  # nothing is judged by it
    status, out, error = fleet(capfd, "--from", "nodes", "--check", "--allow-unknown")
    assert (status, "3 nodes" in out, "error: nodes are judged without the cluster: nodes/cluster.yaml" in error) == (3, True, True), error
    (folder / "cluster.yaml").unlink()
    (folder / "cluster.yaml").symlink_to("removed.yaml")
    assert "hint: run 'eidos fleet --kubernetes' again" in fleet(capfd, "--from", "nodes", "--check")[2]
    (folder / "cluster.yaml").unlink()
    (folder / "broken.yaml").write_text("{")
    status, out, error = fleet(capfd, "--from", "nodes")
    assert (status, "broken" in out, "no snapshot of 1 of 4 nodes" in error) == (3, True, True)
    assert fleet(capfd, "--from", "nodes", "--exit-code")[0] == 3  # as ever
    assert fleet(capfd, "--from", "nodes", "--check", "--fail-on", "info")[0] == 4


def test_a_golden_node_is_the_measure_even_against_the_majority(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = fleet(capfd, "--from", "nodes", "--against", "nodes/file-4.json", "-t", "json")
    tree = json.loads(out)
    assert [(c["kind"], c["nodes"]) for c in tree["classes"]] == [("equal", ["gpu-4"]), ("odd", ["gpu-1", "gpu-2"]), ("odd", ["gpu-3"])]
    assert (status, tree["golden"]) == (0, "nodes/file-4.json")
    assert "golden: 10" in fleet(capfd, "--from", "nodes", "--against", "nodes/file-4.json")[1]
    golden = node_tree("elsewhere", driver="1.2.3")
    (folder.parent / "golden.json").write_text(json.dumps(golden))
    status, out, _ = fleet(capfd, "--from", "nodes", "--against", "golden.json", "--exit-code")
    assert (status, out.startswith("none of 4 equal to golden.json")) == (4, True)


def test_a_recipe_as_the_measure_judges(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = "kind: Recipe\nmeasurements:\n- {type: OS, subtypes: [{subtype: sysctl, data: {/proc/sys/vm/swappiness: 60}}]}\n"
    recipe += "constraints:\n- {name: GPU.smi.driver, value: '>= 590'}\n"
    (folder.parent / "recipe.yaml").write_text(recipe)
    for words in (("--against", "recipe.yaml"), ("--check", "-r", "recipe.yaml"), ("-r", "recipe.yaml")):
        rows = {row["id"]: row for row in json.loads(fleet(capfd, "--from", "nodes", *words, "-t", "json")[1])["findings"]}
        assert rows["GPU.smi.driver"]["count"] == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "missing"), "--from: missing: no such folder"),
        (("--from", "empty"), "no snapshots in this folder"),
        (("--from", "nodes", "--hosts", "a"), "--hosts and --from cannot be used together"),
        (("--from", "nodes", "--kubernetes"), "--kubernetes and --from cannot be used together"),
        (("--from", "nodes", "-o", "x"), "--output cannot be used with --from"),
        (("--from", "nodes", "--only", "gpu"), "--only cannot be used with --from"),
        (("--from", "nodes", "--intent", "training"), "--intent needs --check"),
        (("--from", "nodes", "--data", "nodes"), "--data needs --check"),
        (("--from", "nodes", "--check", "--intent", "trainin"), "did you mean 'training'"),
        (("--from", "nodes", "-r", "recipe.yaml", "--check", "--intent", "training"), "a recipe cannot be used with --intent"),
        (("--from", "nodes", "--against", "recipe.yaml", "-r", "recipe.yaml"), "both name a recipe"),
        (("--from", "nodes", "--against", "missing.yaml"), "missing.yaml: no such file"),
        ((), "needs --hosts, --kubernetes or --from"),
    ],
)
def test_wrong_usage_is_exit_2(words: tuple[str, ...], message: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = "kind: Recipe\nmeasurements:\n- {type: OS, subtypes: [{subtype: sysctl, data: {/proc/sys/vm/swappiness: 60}}]}\n"
    (folder.parent / "recipe.yaml").write_text(text)
    (folder.parent / "empty").mkdir()
    status, _, error = fleet(capfd, *words)
    assert (status, message in error) == (2, True), error


def test_two_files_of_one_node_are_two(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("again", "gpu-1"):
        (folder / f"{name}.yaml").write_text(json.dumps(node_tree("gpu-1")))
    nodes = [node for row in json.loads(fleet(capfd, "--from", "nodes", "-t", "json")[1])["classes"] for node in row["nodes"]]
    assert sorted(nodes) == ["file-1", "gpu-1", "gpu-1.yaml", "gpu-2", "gpu-3", "gpu-4"]


def test_the_readings_of_the_cluster_belong_to_each_node() -> None:
    node = Snapshot(
        "",
        "1",
        "gpu-1",
        (Measurement("K8s", (Subtype("node", {"a": "1"}),)),),
        (Outcome("k8s.server", SKIPPED, 1.0), Outcome("gpu", OK, 1.0)),
    )
    cluster = Snapshot(
        "",
        "1",
        "",
        (Measurement("K8s", (Subtype("server", {"version": "v1.33"}), Subtype("node", {"a": "2"}))),),
        (Outcome("k8s.server", OK, 1.0),),
    )
    merged = with_cluster(node, cluster)
    assert merged.measurements == (Measurement("K8s", (Subtype("node", {"a": "1"}), Subtype("server", {"version": "v1.33"}))),)
    assert [(outcome.name, outcome.outcome) for outcome in merged.collectors] == [("gpu", OK), ("k8s.server", OK)]


def report(*rows: tuple[str, str, str], actual: str = "") -> CheckReport:
    remedy = Remedy((RemedyStep("run", f"echo {actual}"),))
    return CheckReport(
        "t", "1", "", findings=tuple(Finding(i, i, status, severity, "d", actual=actual, remedy=remedy) for i, status, severity in rows)
    )


def test_the_order_of_nodes_makes_no_difference_and_the_first_by_name_is_the_example() -> None:
    reports = {
        f"gpu-{n}": report(("a", FAIL, ERROR), ("b", FAIL if n % 2 else PASS, CRITICAL), ("c", UNKNOWN, WARNING), actual=str(n))
        for n in range(1, 12)
    }
    results = []
    for seed in range(3):
        groups, names = FindingGroups(), list(reports)
        random.Random(seed).shuffle(names)
        for name in names:
            groups.add(name, reports[name])
        results.append(groups.findings())
    assert results[0] == results[1] == results[2]
    assert [(f.example.id, len(f.nodes), f.example.actual, f.is_uniform) for f in results[0].findings] == [
        ("b", 6, "1", False),
        ("a", 11, "1", False),
        ("c", 11, "1", False),
    ]
    assert results[0].sentence() == "11 nodes checked: 1 critical on gpu-[1,3,5,7,9],gpu-11, 1 error on all nodes, 1 unknown"


def test_a_node_that_no_recipe_is_for_is_not_judged_and_the_summary_says_why() -> None:
    def judge(snapshot: Snapshot) -> CheckReport:
        if snapshot.node == "gpu-2":
            raise InvalidInput("no such node can be")
        return report(("a", FAIL, ERROR))

    results = FleetResults(shipped_selection(), judge)
    for name in ("gpu-1", "gpu-2"):
        results.add(name, Snapshot("", "1", name))
    findings = results.summarize().findings
    assert findings is not None
    assert (findings.judged, findings.not_judged) == (1, {"gpu-2": "no such node can be"})
    assert findings.to_tree()["not-judged"] == [{"node": "gpu-2", "why": "no such node can be"}]
    assert findings.sentence().endswith("; 1 node not judged")
