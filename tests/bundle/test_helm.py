"""Bundles before real tools: helm takes the values with their types, and helm and kubectl know every option the scripts use.

Charts cannot be fetched without a network, so a chart is built around the
``Chart.yaml`` and ``values.yaml`` that lie beside the repository; its one template gives back what helm made of the values.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bundle.test_charts import CHARTS, chart_file
from tests.fakes.cluster import Cluster, verb
from tests.support.bundle_files import RECIPES, data_of, made, recipe, written

pytestmark = pytest.mark.slow

TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: values
data:
  values: {{ toJson .Values | quote }}
"""


def chart(shared: Path, component: str, version: str, folder: Path) -> Path:
    """A chart with the real one's name and values."""
    about = yaml.safe_load(chart_file(shared, component, version, "Chart.yaml"))
    about.pop("dependencies", None)
    about["version"] = about["version"].lstrip("v")  # helm lint wants it as semver.org has it, and some of these are not
    made = folder / component / version
    (made / "templates").mkdir(parents=True)
    (made / "Chart.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    (made / "values.yaml").write_text(chart_file(shared, component, version, "values.yaml"), encoding="utf-8")
    (made / "templates" / "values.yaml").write_text(TEMPLATE, encoding="utf-8")
    return made


def laid_over(under: Any, over: Any) -> Any:
    """What helm makes of a chart's values and one's own: mappings go together, a null takes a key away, the rest is replaced."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    merged = {**under, **{key: laid_over(under.get(key), value) for key, value in over.items()}}
    return {key: value for key, value in merged.items() if value is not None or key not in over}


@pytest.mark.shared
def test_helm_takes_the_values_as_they_are(shared: Path, tools: dict[str, str], tmp_path: Path) -> None:
    releases: set[tuple[str, str, bytes]] = set()
    for path in RECIPES:
        for entry in recipe(path)["components"]:
            if entry["id"] in CHARTS:
                releases.add((entry["id"], entry["version"], made(path)[f"{entry['id']}/values.yaml"][0]))
    assert {component for component, _, _ in releases} == set(CHARTS)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for number, (component, version, values) in enumerate(sorted(releases)):
        folder = chart(shared, component, version, tmp_path / str(number))
        values_file = tmp_path / f"{number}.yaml"
        values_file.write_bytes(values)
        for command in (["lint", "--strict"], ["template", "release"]):
            line = [tools["helm"], *command, str(folder), "--values", str(values_file)]
            done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, (component, version, done.stdout, done.stderr)
        out = json.loads(yaml.safe_load(done.stdout)["data"]["values"])
        expected = laid_over(yaml.safe_load((folder / "values.yaml").read_bytes()), data_of({"v": (values, 0)}, "v")[0])
        assert json.dumps(out, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_helm_and_kubectl_have_every_flag_that_scripts_use(tools: dict[str, str], tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster", releases={"gpu-operator/gpu-operator": "pending-upgrade"})
    path = next(path for path in RECIPES if path.stem == "self-managed-gh200-training")
    folder = written(made(path), tmp_path / "bundle")
    for script, *arguments in (["install.sh", "--recover"], ["uninstall.sh", "--delete-crds"]):
        line = [str(folder / script), *arguments]
        subprocess.run(line, env=cluster.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    calls = cluster.calls()
    assert {verb(call) for call in calls} >= {"upgrade", "uninstall", "list", "history", "rollback", "apply", "delete", "get", "wait"}
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for call in {tuple(word if "/" not in word or "=" in word or word.startswith("-") else "word" for word in call) for call in calls}:
        # Options are read from left to right, so one that is not known is met before the help.
        line = [tools[call[0]], *call[1:], "--help"]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and "sage:" in done.stdout, (call, done.stderr)


def test_no_cluster_is_an_error(tools: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, path in tools.items():
        (tmp_path / "bin" / name).symlink_to(path)
    folder = written(made(RECIPES[0]), tmp_path / "bundle")
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    line = [str(folder / "install.sh")]
    done = subprocess.run(line, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "error: cannot reach the cluster" in done.stderr
