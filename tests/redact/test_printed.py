"""What a credential plugin prints reaches no output, log, metric, trace or cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import eidos

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: COMMAND, args: [--token, ARGUMENT]}}}]
"""


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (
            "An error occurred (ExpiredToken) when calling the AssumeRole operation: token § secret=§ is expired",
            "An error occurred (ExpiredToken) when calling the AssumeRole operation: token <withheld> secret=<withheld> is expired",
        ),
        (
            "request to https://bob:§@example.com/sso?code=§ failed: 403",
            "request to https://<withheld>@example.com/sso?<withheld> failed: 403",
        ),
        ("password is §", "password is <withheld>"),
    ],
)
@pytest.mark.parametrize("secret", ["hunter22", "Zq7kD02mWx91LpTe"])
def test_a_plugin_that_fails_gives_nothing_away(tmp_path: Path, printed: str, shown: str, secret: str) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{printed.replace('§', secret)}' >&2\nexit 254\n")
    plugin.chmod(0o755)
    (tmp_path / "config").write_text(KUBECONFIG.replace("COMMAND", str(plugin)).replace("ARGUMENT", secret))
    environ = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    arguments = [
        "--only",
        "k8s,os.release",
        "--kubeconfig",
        str(tmp_path / "config"),
        "--debug",
        "--metrics-file",
        str(tmp_path / "eidos.prom"),
    ]
    result = eidos("snapshot", *arguments, "-o", str(tmp_path / "node.yaml"), env=environ)
    document = (tmp_path / "node.yaml").read_text()
    assert shown in " ".join(document.split())
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("plugin", "config")]
    assert {path.name for path in written} >= {"node.yaml", "eidos.prom"}
    assert secret not in result.out + result.err + "".join(path.read_text(errors="replace") for path in written)
