"""Prometheus's own tool, and the queries of a dashboard beside the rules of its alerts.

Knows promtool and the forms of rules and dashboards; must not know any metric.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


def promtool(folder: Path, *arguments: str, text: str = "") -> str:
    """What it prints, run in ``folder`` with ``text`` on its standard input: it is content. Skips where it is not installed."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no promtool here (Debian package prometheus)")
    done = subprocess.run([tool, *arguments], cwd=folder, input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check_metrics(text: str) -> None:
    """promtool takes the metrics, and has nothing to say of them."""
    assert promtool(Path.cwd(), "check", "metrics", text=text) == ""


def expressions(groups: Sequence[Mapping[str, Any]], dashboard: Mapping[str, Any]) -> list[str]:
    """The queries of all rules and panels."""
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    return [*rules, *(expression.replace("$__rate_interval", "5m") for expression in panels)]


def check_rules(folder: Path, groups: Sequence[Mapping[str, Any]], dashboard: Mapping[str, Any]) -> None:
    """promtool finds nothing to say of the rules, nor of the queries of the dashboard."""
    queries = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions(groups, dashboard))]
    (folder / "rules.yaml").write_text(json.dumps({"groups": [*groups, {"name": "panels", "rules": queries}]}), encoding="utf-8")
    promtool(folder, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
