"""The scripts of bundles, read by shells and shellcheck and run against a cluster that records what it is asked."""

from __future__ import annotations

import copy
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.fakes.cluster import Cluster, changes, option, verb
from tests.support.bundle_files import RECIPES, bundle_of, files_of_tree, made, recipe, written
from tests.support.waiting import AMPLE_S

pytestmark = pytest.mark.slow

GOLDEN = {path.stem: path for path in RECIPES}

#: Its recipe has a chart from an https repository and one from a registry, manifests with and without a definition to wait for.
TRAINING = GOLDEN["self-managed-gh200-training"]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    # A folder whose name every unquoted expansion would break.
    return written(made(TRAINING), tmp_path / "a bundle; $(x) 'of' it")


def run(script: Path, cluster: Cluster, *arguments: str, cwd: str = "/", without: str = "") -> subprocess.CompletedProcess[str]:
    line = [str(script), *arguments]
    environment = cluster.environment(without=without)
    null = subprocess.DEVNULL
    return subprocess.run(line, cwd=cwd, env=environment, stdin=null, capture_output=True, text=True, timeout=60, check=False)


def order(path: Path) -> list[str]:
    return [entry["id"] for entry in recipe(path)["components"]]


def releases(calls: list[list[str]], command: str) -> list[str]:
    """The releases of those calls of helm, in order."""
    charts = []
    for call in calls:
        if call[0] == "helm" and verb(call) == command:
            after = call[call.index(command) + 1 :]
            charts.append(next(word for word in after if not word.startswith("-")))
    return charts


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every script of every golden recipe's bundle; what is the same in several bundles, once."""
    folder, distinct = tmp_path_factory.mktemp("scripts"), set()
    paths = []
    for path in RECIPES:
        for name, (content, mode) in made(path).items():
            if name.endswith(".sh") and content not in distinct:
                distinct.add(content)
                written({name: (content, mode), "functions.sh": made(path)["functions.sh"]}, folder / path.stem)
                paths.append(folder / path.stem / name)
    return paths


def test_scripts_are_posix_shell(scripts: list[Path]) -> None:
    for path in RECIPES:
        modes = [mode for name, (_, mode) in made(path).items() if name.endswith(".sh") and not name.startswith("node/")]
        assert modes == [0o755] * (3 + 3 * len(recipe(path)["components"]))
    shells = [shell for shell in ("bash", "dash") if shutil.which(shell)]
    for script in scripts:
        for shell in shells:
            subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.slow
def test_shellcheck_is_content(scripts: list[Path]) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("no shellcheck here")
    done = subprocess.run([shellcheck, "--severity=style", *scripts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_all_go_in_in_order_and_out_in_reverse(bundle: Path, cluster: Cluster) -> None:
    done = run(bundle / "install.sh", cluster)
    assert (done.returncode, done.stderr) == (0, "")
    calls = cluster.calls()
    assert calls[0][3:] == ["get", "--raw", "/version", "--request-timeout", "15s"], "the cluster is asked before anything is done"
    for call in calls:  # no request waits for ever
        if call[0] == "kubectl" and "--local" not in call:
            assert call[1:3] == ["--request-timeout", "15m" if {"wait", "--wait"} & set(call) else "60s"], call
        elif verb(call) in ("upgrade", "uninstall", "rollback"):
            assert {"--wait", "--timeout"} <= set(call), call
    assert releases(calls, "upgrade") == order(TRAINING)
    names = [entry["id"] for entry in recipe(TRAINING)["components"]]
    assert names.index("cert-manager") < names.index("gpu-operator")
    done = run(bundle / "uninstall.sh", cluster)
    assert (done.returncode, done.stderr) == (0, "")
    assert releases(cluster.calls(), "uninstall") == order(TRAINING)[::-1]
    assert cluster.state["releases"] == {}
    assert not any(name.startswith("file/") for name in cluster.state["objects"])


def test_charts_are_installed_as_the_recipe_has_them(bundle: Path, cluster: Cluster) -> None:
    run(bundle / "install.sh", cluster)
    upgrades = {releases([call], "upgrade")[0]: call for call in cluster.calls() if call[0] == "helm" and verb(call) == "upgrade"}
    for entry in recipe(TRAINING)["components"]:
        call = upgrades[entry["id"]]
        assert option(call, "--version") == entry["version"], "as it is written, with its v or without"
        assert option(call, "--namespace") == entry["namespace"]
        assert "--create-namespace" in call and "--install" in call
        chart = call[call.index(entry["id"], call.index("--install")) + 1]
        if entry["repository"].startswith("oci://"):
            assert chart == f"{entry['repository']}/{entry['chart']}" and "--repo" not in call
        else:
            assert chart == entry["chart"] and option(call, "--repo") == entry["repository"]
        assert option(call, "--values") == str(bundle / entry["id"] / "values.yaml")


def test_twice_is_the_same_as_once(bundle: Path, cluster: Cluster) -> None:
    run(bundle / "install.sh", cluster)
    first, state = cluster.calls(), cluster.state
    done = run(bundle / "install.sh", cluster)
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(cluster.calls()) == [] != changes(first) and cluster.state == state
    assert done.stdout.splitlines()[-1] == f"unchanged: {' '.join(order(TRAINING))}"
    for _ in range(2):
        done = run(bundle / "uninstall.sh", cluster)
        assert (done.returncode, done.stderr) == (0, "")
        assert cluster.state["releases"] == {}


def test_a_dry_run_changes_nothing_and_says_all(bundle: Path, cluster: Cluster) -> None:
    before = cluster.state
    done = run(bundle / "install.sh", cluster, "--dry-run=server")
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(cluster.calls()) == [] and cluster.state == before
    would = [line for line in done.stdout.splitlines() if line.startswith("would run: ")]
    assert sum(" helm upgrade --install " in line for line in would) == len(order(TRAINING))
    run(bundle / "install.sh", cluster)
    real = changes(cluster.calls())
    # What a dry run prints can be pasted into a shell, and is what is run.
    pasted = [
        subprocess.run(["bash", "-c", f"printf '%s\\n' {line[11:]}"], capture_output=True, text=True, check=True).stdout.splitlines()
        for line in would
    ]
    assert [call for call in pasted if verb(call) != "wait"] == real
    done = run(bundle / "uninstall.sh", cluster, "--dry-run", "--delete-crds")
    assert (done.returncode, done.stderr) == (0, "") and changes(cluster.calls()) == []
    assert done.stdout.splitlines()[-2:] == [f"would be removed: {' '.join(reversed(order(TRAINING)))}", "nothing was changed"]


def test_a_dry_run_needs_neither_tools_nor_a_cluster(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "mktemp", "rm", "sed", "cat", "awk", "grep"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "")
    line = [str(bundle / "install.sh"), "--dry-run"]
    done = subprocess.run(line, env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    would = [line for line in done.stdout.splitlines() if line.startswith("would run: ")]
    assert sum(" helm upgrade --install " in line for line in would) == len(order(TRAINING))
    assert done.stdout.splitlines()[-1].startswith("nothing was changed, and no cluster was looked at")


def test_a_dry_run_without_a_cluster_prints_what_a_first_installation_runs(bundle: Path, cluster: Cluster) -> None:
    lines = [line for line in run(bundle / "install.sh", cluster, "--dry-run").stdout.splitlines() if line.startswith("would run: ")]
    assert cluster.calls() == []
    run(bundle / "install.sh", cluster)
    pasted = [
        subprocess.run(["bash", "-c", f"printf '%s\\n' {line[11:]}"], capture_output=True, text=True, check=True).stdout.splitlines()
        for line in lines
    ]
    assert [call for call in pasted if verb(call) != "wait"] == changes(cluster.calls())


def test_charts_come_from_a_folder(bundle: Path, cluster: Cluster, tmp_path: Path) -> None:
    charts = tmp_path / "charts"
    charts.mkdir()
    done = run(bundle / "install.sh", cluster, "--charts", str(charts))
    assert done.returncode == 1 and changes(cluster.calls()) == []
    assert f"error: no chart cert-manager-v1.21.1.tgz in {charts}" in done.stderr and "helm pull cert-manager --repo " in done.stderr
    for entry in recipe(TRAINING)["components"]:
        (charts / f"{entry['chart'].rpartition('/')[2]}-{entry['version'].lstrip('v')}.tgz").touch()
    done = run(bundle / "install.sh", cluster, "--charts", str(charts))
    assert (done.returncode, done.stderr) == (0, "")
    upgrades = [call for call in cluster.calls() if verb(call) == "upgrade"]
    assert upgrades and all(any(word.startswith(str(charts)) for word in call) and "--repo" not in call for call in upgrades)
    assert run(bundle / "uninstall.sh", cluster, "--charts", str(charts)).returncode == 2


def test_charts_come_unpacked_from_the_folder_of_the_bundle(bundle: Path, cluster: Cluster) -> None:
    for entry in recipe(TRAINING)["components"]:
        folder = bundle / "charts" / entry["chart"].rpartition("/")[2]
        folder.mkdir(parents=True)
        (folder / "Chart.yaml").write_text(f'version: "{entry["version"]}"\n')
    done = run(bundle / "install.sh", cluster)
    assert (done.returncode, done.stderr) == (0, "")
    upgrades = [call for call in cluster.calls() if verb(call) == "upgrade"]
    assert upgrades and all(any(word.startswith(str(bundle / "charts")) for word in call) and "--repo" not in call for call in upgrades)
    (folder / "Chart.yaml").write_text("version: 0.0.1\n")
    done = run(bundle / "install.sh", cluster)
    assert done.returncode == 1 and changes(cluster.calls()) == []
    assert f"error: {folder} is version 0.0.1 of chart {folder.name}, and not {entry['version']}\n" in done.stderr


def test_manifests_wait_for_their_definitions_and_go_first(bundle: Path, cluster: Cluster) -> None:
    run(bundle / "install.sh", cluster)
    calls = cluster.calls()
    upgraded = next(i for i, call in enumerate(calls) if releases([call], "upgrade") == ["network-operator"])
    waited = next(i for i, call in enumerate(calls) if "customresourcedefinition/nicclusterpolicies.mellanox.com" in call)
    applied = next(i for i, call in enumerate(calls) if verb(call) == "apply")
    assert upgraded < waited < applied
    assert [option(call, "--filename") for call in calls if verb(call) == "apply"] == [
        str(bundle / "network-operator" / "manifests" / "nicclusterpolicy.yaml")
    ], "neither examples nor what the chart makes itself"
    run(bundle / "uninstall.sh", cluster)
    calls = cluster.calls()
    deleted = next(i for i, call in enumerate(calls) if verb(call) == "delete")
    gone = next(i for i, call in enumerate(calls) if releases([call], "uninstall") == ["network-operator"])
    assert deleted < gone, "while the operator is there to undo what it did"


def test_failure_half_way(bundle: Path, cluster: Cluster) -> None:
    cluster.change(fail=["upgrade --install gpu-operator"])
    done = run(bundle / "install.sh", cluster)
    assert done.returncode == 1
    names = order(TRAINING)
    before = names[: names.index("gpu-operator")]
    assert releases(cluster.calls(), "upgrade") == [*before, "gpu-operator"], "nothing after it is tried"
    assert "error: not installed: gpu-operator" in done.stderr
    assert done.stdout.endswith(f"installed: {' '.join(before)}\nnot installed: gpu-operator\n")
    cluster.change(fail=[])
    done = run(bundle / "install.sh", cluster)
    assert done.returncode == 0 and releases(cluster.calls(), "upgrade") == names[len(before) :]
    cluster.change(fail=["uninstall gpu-operator"])
    done = run(bundle / "uninstall.sh", cluster)
    assert done.returncode == 1 and "error: gpu-operator was not removed, nor were its dependencies" in done.stderr
    assert "cert-manager/cert-manager" in cluster.state["releases"]


def test_definitions_stay_without_the_flag(bundle: Path, cluster: Cluster) -> None:
    some = ("cert-manager", "gpu-operator")
    run(bundle / "install.sh", cluster, *some)
    done = run(bundle / "uninstall.sh", cluster, *some)
    assert not [call for call in changes(cluster.calls()) if "customresourcedefinition" in call]
    assert "custom resource definitions kept: clusterpolicies.nvidia.com" in done.stdout
    done = run(bundle / "uninstall.sh", cluster, "--delete-crds", *some)
    assert done.returncode == 0 and changes(cluster.calls()) == [], "they go only together with a release"
    assert "; they go only together with their release" in done.stdout
    run(bundle / "install.sh", cluster, *some)
    cluster.calls()
    done = run(bundle / "uninstall.sh", cluster, "--delete-crds", *some)
    calls = changes(cluster.calls())
    deleted = [call[call.index("customresourcedefinition") + 1] for call in calls if "customresourcedefinition" in call]
    assert done.returncode == 0 and "clusterpolicies.nvidia.com" in deleted and "certificates.cert-manager.io" in deleted
    assert "gpu-operator: deletes clusterpolicies.nvidia.com, no objects" in done.stdout


def test_what_is_gone_with_its_kind_is_gone(bundle: Path, cluster: Cluster) -> None:
    cluster.change(unknown=["nicclusterpolicy"])
    done = run(bundle / "network-operator/scripts/uninstall.sh", cluster)
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(cluster.calls()) == [] and done.stdout.endswith("not found: network-operator\n")
    cluster.change(unknown=[])
    run(bundle / "network-operator/scripts/install.sh", cluster)
    cluster.change(fail=["delete --ignore-not-found"])
    done = run(bundle / "network-operator/scripts/uninstall.sh", cluster)
    assert done.returncode == 1 and "Error: told to fail" in done.stderr
    assert "nvidia-network-operator/network-operator" in cluster.state["releases"], "the operator stays to undo what it did"


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh", "gpu-operator/scripts/install.sh", "gpu-operator/scripts/uninstall.sh"])
def test_what_is_needed_is_looked_for_first(bundle: Path, cluster: Cluster, script: str) -> None:
    for tool in ("kubectl", "helm"):
        done = run(bundle / script, cluster, without=tool)
        assert done.returncode == 1 and f"error: {tool} not found in PATH" in done.stderr and cluster.calls() == []
    cluster.change(down=True)
    done = run(bundle / script, cluster)
    assert done.returncode == 1 and "192.0.2.1:6443 was refused" in done.stderr and "hint: " in done.stderr
    assert changes(cluster.calls()) == []
    for wrong in (["--nope"], ["--namespace"], ["--namespace", ""], ["more"]):
        done = run(bundle / script, cluster, *wrong)
        assert done.returncode == 2 and "error: " in done.stderr and cluster.calls() == []
    done = run(bundle / script, cluster, "--help")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(f"usage: {Path(script).name} ")
    flags = set(re.findall(r"--[a-z-]+", done.stdout))
    others = {"--recover", "--adopt", "--use-existing", "--force-conflicts", "--plain-http", "--delete-crds", "--yes"} - flags
    assert others and all(run(bundle / script, cluster, flag).returncode == 2 for flag in others), "what the help does not name is refused"
    cluster.calls()


def test_options_reach_every_component(bundle: Path, cluster: Cluster) -> None:
    done = run(bundle / "install.sh", cluster, "--namespace", "one place", "--context", "a b", "--timeout", "90s")
    assert (done.returncode, done.stderr) == (0, "")
    for call in cluster.calls():
        if verb(call) not in ("template", "version"):  # they do not ask the cluster
            assert option(call, "--context" if call[0] == "kubectl" else "--kube-context") == "a b"
        if verb(call) == "upgrade":
            assert option(call, "--namespace") == "one place" and option(call, "--timeout") == "90s"
    assert {name.partition("/")[0] for name in cluster.state["releases"]} == {"one place"}
    done = run(bundle / "uninstall.sh", cluster, "--namespace", "one place", "--context", "a b")
    assert done.returncode == 0 and cluster.state["releases"] == {}


def test_run_from_any_folder_and_through_a_link(bundle: Path, cluster: Cluster, tmp_path: Path) -> None:
    for cwd, script in ((str(bundle), Path("./install.sh")), (str(bundle / "gpu-operator" / "scripts"), Path("../../install.sh"))):
        environment = cluster.environment()
        done = subprocess.run(
            ["sh", str(script), "cert-manager"], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "link").symlink_to(bundle)
    done = run(tmp_path / "link" / "install.sh", cluster, "cert-manager")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupted_run_is_named_and_cleared_with_the_flag(bundle: Path, cluster: Cluster) -> None:
    script = bundle / "gpu-operator/scripts/install.sh"
    for status, command in (("pending-install", "uninstall"), ("pending-upgrade", "rollback")):
        cluster.change(releases={"gpu-operator/gpu-operator": status})
        done = run(script, cluster)
        assert done.returncode == 1 and "is pending" in done.stderr and "--recover" in done.stderr
        assert changes(cluster.calls()) == []
        done = run(script, cluster, "--recover")
        assert (done.returncode, done.stderr) == (0, "")
        assert [verb(call) for call in changes(cluster.calls())] == [command, "upgrade"]
        assert cluster.state["releases"] == {"gpu-operator/gpu-operator": "deployed"}


def test_only_the_named_components(bundle: Path, cluster: Cluster) -> None:
    done = run(bundle / "install.sh", cluster, "gpu-operator", "cert-manager")
    assert done.returncode == 0 and releases(cluster.calls(), "upgrade") == ["cert-manager", "gpu-operator"], "in their order"
    done = run(bundle / "uninstall.sh", cluster, "gpu-operator")
    assert done.returncode == 0 and releases(cluster.calls(), "uninstall") == ["gpu-operator"]
    assert run(bundle / "install.sh", cluster, "gpu-oprator").returncode == 2


@pytest.mark.parametrize("name", ["gpu-operator/", "./gpu-operator", "{bundle}/gpu-operator/"])
def test_the_folder_of_a_component_names_it(bundle: Path, cluster: Cluster, name: str) -> None:
    done = run(bundle / "install.sh", cluster, name.format(bundle=bundle), cwd=str(bundle))
    assert done.returncode == 0 and releases(cluster.calls(), "upgrade") == ["gpu-operator"]
    for other in ("", "/", ".", "gpu-operator/values.yaml"):
        assert run(bundle / "install.sh", cluster, other).returncode == 2


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh", "gpu-operator/scripts/install.sh"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_folders_of_the_same_name_elsewhere_do_not_matter(bundle: Path, cluster: Cluster, tmp_path: Path, script: str, shell: str) -> None:
    other = tmp_path / "elsewhere" / bundle.name
    other.mkdir(parents=True)
    line = [shell, f"{bundle.name}/{script}", "--dry-run=server"]
    environment = {**cluster.environment(), "CDPATH": str(other.parent)}
    done = subprocess.run(line, cwd=bundle.parent, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "gpu-operator" in done.stdout, done.stderr


@pytest.mark.parametrize(("text", "status"), [("15m", 0), ("1h30m", 0), ("1.5h", 0), ("15", 2), ("1x", 2), ("m", 2), ("1m5", 2)])
def test_a_timeout_is_a_duration(bundle: Path, cluster: Cluster, text: str, status: int) -> None:
    done = run(bundle / "uninstall.sh", cluster, "--timeout", text)
    assert done.returncode == status and ("expected a duration such as 15m" in done.stderr) == bool(status)
    assert not status or not cluster.calls()


def test_recovery_returns_to_the_last_revision_that_worked(bundle: Path, cluster: Cluster) -> None:
    cluster.change(releases={"gpu-operator/gpu-operator": "pending-upgrade"})
    run(bundle / "gpu-operator/scripts/install.sh", cluster, "--recover")
    rollback = next(call for call in cluster.calls() if verb(call) == "rollback")
    assert rollback[rollback.index("gpu-operator") + 1] == "1", "the second one failed, and the third was interrupted"


def test_options_of_the_registry_reach_helm(bundle: Path, cluster: Cluster) -> None:
    run(bundle / "install.sh", cluster, "--plain-http", "--ca-file", "/etc/a b.pem")
    upgrades = [call for call in changes(cluster.calls()) if verb(call) == "upgrade"]
    assert upgrades and all("--plain-http" in call and option(call, "--ca-file") == "/etc/a b.pem" for call in upgrades)


STORAGE = {
    "eks-a100": "aws-ebs-csi-driver",
    "gke-gb200": "gke-persistent-disk",
    "aks-a100-inference": "aks-disk",
    "oke-h200": "oke-block-volume",
    "self-managed-rocky": "local-path-provisioner",
}


@pytest.mark.parametrize("name", STORAGE)
def test_storage_is_what_suits_the_service(name: str, tmp_path: Path, cluster: Cluster) -> None:
    folder = written(files_of_tree(recipe(GOLDEN[name]), components=("storage",)), tmp_path / "bundle")
    assert [path.name for path in folder.iterdir() if path.is_dir() and path.name != "attestations"] == [STORAGE[name]]
    assert (folder / STORAGE[name] / "values.yaml").exists() == (name == "eks-a100"), "a service's own driver needs no chart"
    for script in ("install.sh", "install.sh", "uninstall.sh", "uninstall.sh"):
        done = run(folder / script, cluster)
        assert (done.returncode, done.stderr) == (0, "")
    calls = cluster.calls()
    applied = [Path(option(call, "--filename")).name for call in calls if verb(call) == "apply"]
    assert applied.count("storageclass.yaml") == 1, "the second run finds it as it should be"
    assert bool([call for call in changes(calls) if call[0] == "helm"]) == (name == "eks-a100")


def test_without_a_chart_what_is_there_is_left_alone(tmp_path: Path, cluster: Cluster) -> None:
    folder = written(files_of_tree(recipe(GOLDEN["self-managed-rocky"]), components=("storage",)), tmp_path / "bundle")
    cluster.change(objects={"list/deployments": "Deployment kube-system/local-path-provisioner\t\t\t1\n"})
    for script in ("install.sh", "uninstall.sh"):
        done = run(folder / script, cluster)
        assert done.returncode == 0 and changes(cluster.calls()) == []
    cluster.change(objects={})
    done = run(folder / "install.sh", cluster, "--namespace", "elsewhere")
    assert "using namespace local-path-storage" in done.stdout
    assert {option(call, "--namespace") for call in cluster.calls() if verb(call) == "apply"} == {"local-path-storage"}


def test_objects_of_others_are_neither_changed_nor_removed(tmp_path: Path, cluster: Cluster) -> None:
    folder = written(files_of_tree(recipe(GOLDEN["aks-a100-inference"]), components=("storage",)), tmp_path / "bundle")
    file = folder / "aks-disk" / "manifests" / "storageclass.yaml"
    for owner in ("", "somebody"):
        cluster.change(objects={f"file/{file}": owner})
        for script, *arguments in (["install.sh"], ["install.sh", "--dry-run=server"], ["uninstall.sh"], ["uninstall.sh", "--dry-run"]):
            done = run(folder / script, cluster, *arguments)
            assert done.returncode == 0 and "left alone: aks-disk" in done.stdout and "would run" not in done.stdout
            assert changes(cluster.calls()) == []
    run(folder / "install.sh", cluster, "--adopt")
    assert [verb(call) for call in changes(cluster.calls())] == ["apply"]
    run(folder / "uninstall.sh", cluster)
    assert [verb(call) for call in changes(cluster.calls())] == ["delete"]


def test_values_of_scripts_are_words(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    touch = f"touch${{IFS}}{marker}"
    odd = f"1'2\"$({touch})`{touch}`;{touch}#${{HOME}}\\{{{{ }}}}&|<>*?~".replace(" ", "")
    cluster = Cluster(tmp_path / "cluster")
    tree = copy.deepcopy(recipe(TRAINING))
    next(entry for entry in tree["components"] if entry["id"] == "cert-manager")["version"] = odd
    folder = written(files_of_tree(tree, components=("cert-manager",)), tmp_path / "bundle")
    done = run(folder / "install.sh", cluster)
    assert not marker.exists(), done
    assert [option(call, "--version") for call in cluster.calls() if verb(call) == "upgrade"] == [odd]


def test_asks_on_a_terminal_only(bundle: Path, cluster: Cluster) -> None:
    run(bundle / "install.sh", cluster)
    cluster.calls()
    for script, answer, status in (
        ("uninstall.sh", b"\n", 1),
        ("gpu-operator/scripts/uninstall.sh", b"n\n", 1),
        ("uninstall.sh", b"y\n", 0),
    ):
        done, output = on_terminal([str(bundle / script)], cluster, answer)
        assert "[y/N]" in output and output.count("[y/N]") == 1
        assert done == status, output
        assert bool(changes(cluster.calls())) == (status == 0)
    done, output = on_terminal([str(bundle / "uninstall.sh"), "--yes"], cluster, b"")
    assert done == 0 and "[y/N]" not in output


def on_terminal(command: list[str], cluster: Cluster, answer: bytes) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=cluster.environment(), start_new_session=True)
    os.close(theirs)
    output, end = b"", time.monotonic() + AMPLE_S
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.2)[0]:
                if process.poll() is not None and not select.select([ours], [], [], 0)[0]:
                    break
                continue
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            output += piece
            if answer and output.endswith(b"[y/N] "):
                os.write(ours, answer)
                answer = b""
        return process.wait(AMPLE_S), output.decode()
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


def test_values_set_by_hand_reach_the_policy_that_is_shown() -> None:
    files = bundle_of(TRAINING, ("gpu-operator:driver.version=570.1.2", "gpu-operator:toolkit.enabled=false"))
    policy = files["gpu-operator/manifests/clusterpolicy.yaml"][0].decode()
    assert "570.1.2" in policy and "enabled: false" in policy
