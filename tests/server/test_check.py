"""``POST /v1/check`` and ``POST /v1/diff``: the documents of the command line, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from eidos.server.deadline import Deadline
from eidos.server.request_context import RequestContext
from eidos.server.server_settings import Settings
from tests.support.in_process_server import Client, application, parse_error, request
from tests.support.program import eidos

SNAPSHOT: dict[str, Any] = {
    "kind": "Snapshot",
    "apiVersion": "snapshot.dgxc.io/v1",
    "metadata": {"source-node": "gpu-07", "snapshot-timestamp": "2026-11-29T06:00:00Z"},
    "measurements": [
        {"type": "OS", "subtypes": [{"subtype": "kmod", "data": {"nouveau": True, "nvidia": True}}]},
        {"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"driver": "580.95.05", "gpu.model": "NVIDIA H100 80GB HBM3"}}]},
    ],
}


@pytest.fixture(scope="module")
def ask() -> Client:
    return Client(application())


def test_a_report_is_what_the_command_line_writes(ask: Client, tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(json.dumps(SNAPSHOT), encoding="utf-8")
    for query, flags in (("", ()), ("?intent=training&service=eks", ("--intent", "training", "--service", "eks"))):
        response = ask.post(f"/v1/check{query}", json.dumps(SNAPSHOT).encode())
        assert response.status == 200
        report = json.loads(response.body)
        result = eidos("check", "-f", "node.json", "-t", "json", *flags, cwd=tmp_path)
        expected = json.loads(result.out)
        for tree in (report, expected):
            del tree["metadata"]["report-timestamp"]
            # It says how old the snapshot is.
            tree["findings"] = [finding for finding in tree["findings"] if finding["id"] != "snapshot-age"]
        assert report == expected
        assert next(f for f in report["findings"] if f["id"] == "nouveau-loaded")["status"] == "fail"
        assert ("notes" in report) is not bool(flags)


def test_a_recipe_in_the_body_judges(ask: Client, tmp_path: Path) -> None:
    recipe = json.loads(ask.get("/v1/recipe?gpu=h100&service=eks&intent=training&explain=true").body)
    for name, tree in (("node.json", SNAPSHOT), ("recipe.json", recipe)):
        (tmp_path / name).write_text(json.dumps(tree), encoding="utf-8")
    response = ask.post("/v1/check", json.dumps({"snapshot": SNAPSHOT, "recipe": recipe}).encode())
    expected = json.loads(eidos("check", "-f", "node.json", "-r", "recipe.json", "-t", "json", cwd=tmp_path).out)
    findings = [
        [finding for finding in tree["findings"] if finding["id"] != "snapshot-age"] for tree in (json.loads(response.body), expected)
    ]
    assert findings[0] == findings[1]


def test_no_recipe_of_a_client_takes_longer_than_the_request_may(ask: Client) -> None:
    """A body can hold tens of thousands of values, so time is looked at between any two."""
    data = {f"setting.{number}": "1" for number in range(200)}
    measurements = [{"type": "OS", "subtypes": [{"subtype": "sysctl", "data": data}]}]
    body = json.dumps({"snapshot": {**SNAPSHOT, "measurements": measurements}, "recipe": {"measurements": measurements}}).encode()
    for ticks, status in ((100, 503), (100_000, 200)):
        clock = itertools.count()
        context = RequestContext(request("POST", "/v1/check", body).request, Deadline(ticks, clock.__next__))
        assert ask.app.answer(context).status == status
    assert next(clock) > 300


def changed(value: str, **more: Any) -> dict[str, Any]:
    """The snapshot with another driver, and more changes of its fields."""
    gpu = {"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"driver": value}}]}
    return {**SNAPSHOT, "measurements": [SNAPSHOT["measurements"][0], gpu], **more}


@pytest.mark.parametrize("kind", ["Snapshot", "Recipe", "CheckReport"])
def test_differences_are_those_of_the_command_line(ask: Client, tmp_path: Path, kind: str) -> None:
    def make(is_old: bool) -> Any:
        if kind == "Recipe":
            return json.loads(ask.get(f"/v1/recipe?gpu={'h100' if is_old else 'h200'}&service=eks").body)
        snapshot = SNAPSHOT if is_old else changed("580.126.20", metadata={"source-node": "gpu-08"})
        return snapshot if kind == "Snapshot" else json.loads(ask.post("/v1/check", json.dumps(snapshot).encode()).body)

    documents = {"from": make(True), "to": make(False)}
    for field, tree in documents.items():
        (tmp_path / field).write_text(json.dumps(tree), encoding="utf-8")
    for query, flags in (("", ()), ("?include=identity,volatile", ("--include", "identity,volatile"))):
        for form, accept in (("json", "application/json"), ("yaml", "application/yaml")):
            response = ask("POST", f"/v1/diff{query}", json.dumps(documents).encode(), accept=accept)
            result = eidos("diff", "from", "to", "-t", form, *flags, cwd=tmp_path)
            assert (response.status, result.status) == (200, 0)
            assert response.body.decode() == result.out
    assert json.loads(ask.post("/v1/diff", json.dumps({"from": documents["to"], "to": documents["to"]}).encode()).body)["changes"] == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/diff", [], "the body is not a comparison: expected a mapping"),
        ("/v1/diff", {}, "the body: from and to missing"),
        ("/v1/diff", {"from": SNAPSHOT}, "the body: to missing"),
        ("/v1/diff", {"from": SNAPSHOT, "to": SNAPSHOT, "and": 1}, "the body: a field besides"),
        ("/v1/diff", {"from": SNAPSHOT, "to": 1}, "the body: to: not a document of eidos; expected a snapshot"),
        ("/v1/diff", {"from": SNAPSHOT, "to": {"kind": "Deployment"}}, "the body: to: a Deployment; expected a snapshot"),
        ("/v1/diff", {"from": SNAPSHOT, "to": {"kind": None, "measurements": []}}, "the body: to: not a document of eidos"),
        ("/v1/diff", {"from": {"measurements": 1}, "to": SNAPSHOT}, "the body: from"),
        ("/v1/diff", {"from": {"kind": "CheckReport"}, "to": SNAPSHOT}, "the body: from"),
        ("/v1/check", [], "the body is not a snapshot: expected a mapping"),
        ("/v1/check", None, "the body is not a snapshot: expected a mapping"),
        ("/v1/recipe", None, "the body is neither a query nor a snapshot: expected a mapping"),
        ("/v1/diff", None, "the body is not a comparison: expected a mapping"),
        ("/v1/check", {"kind": "Recipe"}, "Snapshot"),
        ("/v1/check", {}, "not a snapshot"),
        ("/v1/check", {"snapshot": SNAPSHOT}, "the body: expected the documents snapshot and recipe"),
        ("/v1/check", {"recipe": {}, "measurements": []}, "the body: expected the documents snapshot and recipe"),
        ("/v1/check", {"snapshot": SNAPSHOT, "recipe": {"kind": "Snapshot"}}, "the body: recipe: kind: expected Recipe"),
        ("/v1/check", {"snapshot": 1, "recipe": {}}, "the body: snapshot: expected a mapping, found a number"),
        ("/v1/check?gpu=h100", {"snapshot": SNAPSHOT, "recipe": {}}, "the body has a recipe, which cannot be used with gpu"),
    ],
)
def test_what_is_wrong_in_a_body_is_named(ask: Client, path: str, body: object, words: str) -> None:
    response = ask.post(path, json.dumps(body).encode())
    assert response.status == 400
    assert words in parse_error(response)["message"]


def test_a_node_off_the_allow_list_is_not_judged() -> None:
    ask = Client(application(Settings(rate=0, client_rate=0, allowed_gpus=("l40s",))))
    response = ask.post("/v1/check", json.dumps(SNAPSHOT).encode())
    assert response.status == 400
    assert "not allowed on this server" in parse_error(response)["message"]
