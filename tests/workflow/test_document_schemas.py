"""``eidos schema``: every document that the tests have is valid by its schema, and what is none is not."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from eidos.cli.schema import DOCUMENTS, document_schema
from eidos.model.check_report import reports_tree
from eidos.workflow import check_node, compare, make_recipe, parse_snapshot
from tests.check.test_report_formats import REPORT, fleet
from tests.support.node_snapshots import HOSTS, tree_snapshot
from tests.support.program import eidos

GOLDEN = Path(__file__).parent.parent / "golden"


@lru_cache
def schema(name: str) -> Any:
    list(Draft202012Validator(document_schema(name)).iter_errors({}))  # raises for what is no schema
    return Draft202012Validator(document_schema(name))


def faults(name: str, tree: object) -> list[str]:
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in schema(name).iter_errors(tree)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_stands_alone(name: str) -> None:
    result = eidos("schema", name)
    assert (result.status, result.err) == (0, "")
    tree = json.loads(result.out)
    assert tree == document_schema(name)
    assert tree["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "#/components/" not in result.out


@pytest.mark.parametrize("host", sorted(path.name for path in HOSTS.iterdir() if path.is_dir()))
def test_documents_of_captured_hosts_are_valid(host: str) -> None:
    snapshot = tree_snapshot(HOSTS / host)
    assert faults("snapshot", snapshot.to_tree()) == []
    report = check_node(snapshot)
    assert faults("report", report.to_tree()) == []
    assert faults("diff", compare(snapshot, tree_snapshot(HOSTS / "cos")).to_tree()) == []
    assert faults("diff", compare(report, REPORT).to_tree()) == []


def test_golden_recipes_are_valid() -> None:
    files = sorted((GOLDEN / "recipes").glob("*.yaml"))
    assert len(files) > 20
    for file in files[::8]:
        tree = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        assert faults("recipe", tree) == [], file.name
    assert faults("recipe", make_recipe({"gpu": "h100", "service": "eks"}, explain=True).to_tree(context=True)) == []


@pytest.mark.parametrize("name", ["snapshot", "recipe"])
def test_released_documents_stay_valid(name: str) -> None:
    folder = GOLDEN / "compatibility" / "0.1.0"
    assert faults(name, json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))) == []


def test_reports_are_valid_one_and_many() -> None:
    assert faults("report", reports_tree((REPORT,))) == []
    assert faults("report", reports_tree(fleet(3))) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("report", {"kind": "Snapshot"}),
        ("report", {"findings": [{"id": "a", "status": "good", "severity": "error"}]}),
        ("report", {"findings": [{"id": "a", "status": "fail", "severity": "error", "remedy": {"steps": [{"run": "a", "do": "b"}]}}]}),
        ("report", {"summary": {}}),
        ("diff", {}),
        ("snapshot", {"measurements": [{"type": "OS", "subtypes": [{"data": {}}]}]}),
        ("recipe", {}),
    ],
)
def test_a_document_of_another_kind_is_refused(name: str, change: dict[str, object]) -> None:
    base = REPORT.to_tree() if name == "report" else parse_snapshot("measurements: []").to_tree()
    assert faults(name, {**base, **change})
