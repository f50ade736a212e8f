"""The scripts of bundles, run against stand-ins for kubectl and helm that write down their calls."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from eidos.bundle import writer
from eidos.workflow import make_bundle, make_recipe
from tests.fakes.cluster import Cluster

ORDER = ["cert-manager", "kube-prometheus-stack", "gpu-operator", "nim-operator"]

QUERY = {"os": "ubuntu", "service": "eks", "gpu": "h100", "intent": "inference"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in a folder whose name has a blank and a quote."""
    folder = tmp_path_factory.mktemp("made") / "my 'bundle'"
    writer.write(str(folder), make_bundle(make_recipe(QUERY), bundlers=ORDER).files)
    return folder


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def releases(cluster: Cluster) -> list[str]:
    return [change.split()[2] for change in cluster.changes() if change.startswith("helm")]


def test_everything_is_installed_in_order_and_removed_in_reverse(made: Path, cluster: Cluster, tmp_path: Path) -> None:
    done = cluster.run(made / "install.sh", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    installed = releases(cluster)
    assert sorted(installed) == sorted(ORDER)
    assert installed.index("gpu-operator") > installed.index("cert-manager")
    assert installed.index("gpu-operator") > installed.index("kube-prometheus-stack")
    assert installed.index("nim-operator") > installed.index("gpu-operator")
    cluster.forget()
    done = cluster.run(made / "uninstall.sh", cwd=Path("/"))
    assert (done.status, done.err) == (0, "")
    assert releases(cluster) == installed[::-1]
    assert cluster.releases() == []
    assert not [change for change in cluster.changes() if "customresourcedefinition" in change], "they stay"


def test_twice_is_as_good_as_once(made: Path, cluster: Cluster) -> None:
    assert cluster.run(made / "install.sh").status == 0
    before, first = cluster.releases(), cluster.changes()
    cluster.forget()
    assert cluster.run(made / "install.sh").status == 0
    assert (cluster.releases(), cluster.changes()) == (before, first)
    for _ in range(2):
        assert cluster.run(made / "uninstall.sh").status == 0
    assert cluster.releases() == []


def test_a_dry_run_changes_nothing_and_shows_everything(made: Path, cluster: Cluster) -> None:
    done = cluster.run(made / "install.sh", "--dry-run")
    assert done.status == 0
    assert cluster.changes() == []
    shown = [line for line in done.out.splitlines() if line.startswith("would run: helm upgrade")]
    assert len(shown) == len(ORDER)
    # What it shows can be pasted, whatever the folder is called.
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {shown[0].partition(': ')[2]}"], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    assert any(line.startswith(str(made)) and line.endswith("/values.yaml") for line in words.splitlines())
    assert cluster.run(made / "uninstall.sh", "--dry-run", "--delete-crds").status == 0
    assert cluster.changes() == []


def test_a_failure_half_way_says_what_is_done_and_can_be_taken_up_again(made: Path, cluster: Cluster) -> None:
    cluster.fail("helm upgrade --install gpu-operator")
    done = cluster.run(made / "install.sh")
    assert done.status == 1
    assert "error: gpu-operator was not installed" in done.err
    assert "cert-manager" in done.err.partition("done before it:")[2]
    assert not [release for release in cluster.releases() if release.endswith(("gpu-operator", "nim-operator"))]
    cluster.fail(None)
    assert cluster.run(made / "install.sh").status == 0
    assert len(cluster.releases()) == len(ORDER)


def test_the_cluster_and_the_tools_are_looked_at_first(made: Path, cluster: Cluster) -> None:
    done = cluster.run(made / "install.sh", tools=False)
    assert done.status == 1
    assert "kubectl is not on the PATH" in done.err
    cluster.down()
    for script in ("install.sh", "uninstall.sh"):
        done = cluster.run(made / "cert-manager" / "scripts" / script)
        assert done.status == 1
        assert "the cluster does not answer: connection refused" in done.err
    assert cluster.changes() == []


def test_a_namespace_can_be_chosen(made: Path, cluster: Cluster) -> None:
    assert cluster.run(made / "cert-manager" / "scripts" / "install.sh", "--namespace", "other").status == 0
    assert cluster.releases() == ["other/cert-manager"]


def test_wrong_arguments_are_refused_before_anything_is_asked(made: Path, cluster: Cluster) -> None:
    for arguments in (["--nonsense"], ["--namespace"], ["--namespace", ""]):
        for script in ("install.sh", "uninstall.sh", "cert-manager/scripts/install.sh", "cert-manager/scripts/uninstall.sh"):
            done = cluster.run(made / script, *arguments)
            assert done.status == 2, script
            assert "error: " in done.err
    assert cluster.calls() == []


def test_definitions_go_only_when_that_is_said(made: Path, cluster: Cluster) -> None:
    cluster.run(made / "gpu-operator" / "scripts" / "install.sh")
    cluster.forget()
    assert cluster.run(made / "gpu-operator" / "scripts" / "uninstall.sh", "--delete-crds").status == 0
    assert "kubectl delete clusterpolicies.nvidia.com" in cluster.changes()


def test_what_is_there_already_is_left_alone(made: Path, cluster: Cluster) -> None:
    text = (made / "cert-manager" / "scripts" / "install.sh").read_text()
    probe = next(line for line in text.splitlines() if line.startswith("probe=")).partition("=")[2].strip("'")
    assert probe
    cluster.own(probe, "somebody/else")
    done = cluster.run(made / "cert-manager" / "scripts" / "install.sh")
    assert done.status == 0
    assert "left alone" in done.out
    assert cluster.releases() == []


def test_nothing_is_asked_without_a_terminal_and_something_on_one(made: Path, cluster: Cluster) -> None:
    script = made / "cert-manager" / "scripts" / "uninstall.sh"
    assert cluster.run(script).status == 0
    cluster.run(made / "cert-manager" / "scripts" / "install.sh")
    ours, theirs = pty.openpty()
    environ = {"PATH": f"{cluster.bin}:{os.environ['PATH']}"}
    with subprocess.Popen([str(script)], stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env=environ) as process:
        os.close(theirs)
        assert b"[y/N]" in os.read(ours, 1000)
        os.write(ours, b"n\n")
        assert process.wait(30) == 1
    os.close(ours)
    assert cluster.releases() == ["cert-manager/cert-manager"]
