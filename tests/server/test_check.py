"""``POST /v1/check``: the report of the command line, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eidos.server.server_settings import Settings
from tests.support.in_process_server import Client, application, parse_error
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


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/check", [], "the body is not a snapshot: expected a mapping"),
        ("/v1/check", {"kind": "Recipe"}, "Snapshot"),
        ("/v1/check", {}, "not a snapshot"),
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
