"""``eidos fleet --kubernetes`` from the built file, against a fake API server, with a kubelet that really runs what the Jobs say."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos import formats
from eidos.fleet.job_runner import FleetPlan, _Job, _Run
from eidos.fleet.leftovers import OVER, RETAINED, RUNNING, find_leftovers, judge_runs, remove_run
from eidos.fleet.pod_status import DONE, FAILED, STUCK, WAITING, job_failure, latest_warning, read_pod_state
from eidos.kube import api_client
from eidos.kube.cluster_config import load_cluster
from eidos.model.record import replace
from tests.fakes import job_controller as controller
from tests.fakes.apiserver import ApiServer
from tests.support import macos
from tests.support.effort import examples
from tests.support.program import Result, eidos, environment
from tests.support.waiting import AMPLE_S, until

pytestmark = pytest.mark.slow

HOSTS = Path(__file__).parent.parent / "hosts"
RUN = "eidos.dgxc.io/run"

#: Where a run may leave something behind.
RUN_COLLECTIONS = (
    "/api/v1/namespaces/eidos/pods",
    "/api/v1/namespaces/eidos/configmaps",
    "/api/v1/namespaces/eidos/serviceaccounts",
    "/apis/batch/v1/namespaces/eidos/jobs",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/eidos/roles",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/eidos/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
)


def roots(folder: Path, names: list[str], odd: dict[str, dict[str, str]]) -> dict[str, Path]:
    """A captured host for each node; of those in ``odd`` some files have other contents."""
    roots = {}
    for name in names:
        root = roots[name] = folder / "roots" / name
        shutil.copytree(HOSTS / "ubuntu-22.04", root, symlinks=True)
        for path, content in {"etc/hostname": f"{name}.example.com\n", **odd.get(name, {})}.items():
            (root / path).write_text(content)
    return roots


def add_nodes(server: ApiServer, names: list[str], **unready: str) -> None:
    """Nodes with GPUs, and one without."""
    for name in (*names, "cpu-1"):
        labels = {"kubernetes.io/hostname": name, **({} if name == "cpu-1" else {"nvidia.com/gpu.present": "true"})}
        ready = {
            "type": "Ready",
            "status": "False" if name in unready else "True",
            "reason": "KubeletNotReady",
            "message": unready.get(name, ""),
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": {"conditions": [ready]}}
        server.put(f"/api/v1/nodes/{name}", node)
    server.put("/api/v1/namespaces/eidos", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "eidos"}})


def left(server: ApiServer) -> list[str]:
    """What is there of any run."""
    return [
        tree["metadata"]["name"]
        for path in RUN_COLLECTIONS
        for tree in server.objects(path)
        if RUN in (tree["metadata"].get("labels") or {})
    ]


def documents(server: ApiServer) -> list[str]:
    """ConfigMaps that hold a snapshot."""
    return [tree["metadata"]["name"] for tree in server.objects("/api/v1/namespaces/eidos/configmaps")]


@pytest.fixture(scope="module")
def program(pyz: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(pyz), "fleet", "--kubernetes"]


def run(program: list[str], server: ApiServer, folder: Path, *arguments: str, out: str = "out") -> tuple[Result, dict[str, Any]]:
    env = {"KUBECONFIG": str(server.kubeconfig(folder, name=f"{out}.kubeconfig"))}
    done = eidos("-o", str(folder / out), *arguments, program=program, env=env, cwd=folder)
    text = folder / out / "summary.yaml"
    return done, (formats.from_text(text.read_bytes(), str(text)) if text.exists() else {})


def test_a_cluster_is_read_from_macos(pyz: Path, tmp_path: Path) -> None:
    names = ["gpu-01", "gpu-02"]
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, names, {})):
        add_nodes(server, names)
        done, summary = run([*macos.PROGRAM, "fleet", "--kubernetes", "--program", str(pyz)], server, tmp_path)
        assert (done.status, summary["nodes"]["answered"]) == (0, 2), done
        assert left(server) == []


def test_the_odd_nodes_are_listed_and_nothing_is_left(program: list[str], tmp_path: Path) -> None:
    names = [f"gpu-{number:02}" for number in range(1, 9)]
    odd = {"gpu-02": {"proc/sys/kernel/osrelease": "5.15.0-1-odd\n"}, "gpu-07": {"proc/sys/net/core/somaxconn": "17\n"}}
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, names, odd)) as kubelet:
        add_nodes(server, names)
        done, summary = run(program, server, tmp_path, "--exit-code", "--parallel", "3")
        assert done.status == 4, done.err
        assert done.err.splitlines() == [
            (
                "warning: the agent reads 29 % of a node's operating system (measured on Linux 6.18 without modules), "
                "because it has namespaces of its own"
            ),
            "hint: add --host-network --host-ipc --host-pid to read 99.6 %, without a privileged container",
        ]
        assert done.out.startswith("6 of 8 equal; gpu-02: kernel 5.15.0-1-odd, not 5.15.0"), done.out
        assert {tuple(each["nodes"]) for each in summary["classes"] if each["kind"] == "odd"} == {("gpu-02",), ("gpu-07",)}
        assert sorted(os.listdir(tmp_path / "out")) == ["cluster.yaml", *(f"{name}.yaml" for name in names), "summary.yaml"]
        assert left(server) == []
        assert documents(server) == []
        assert kubelet.peak <= 3
        skipped = {word for arguments in kubelet.ran for word in arguments if word.startswith("--skip=")}
        assert skipped == {"--skip=k8s.server,k8s.topology,k8s.image,k8s.policy"}
    cluster = formats.from_text((tmp_path / "out" / "cluster.yaml").read_bytes(), "x")
    assert {subtype["subtype"] for subtype in cluster["measurements"][0]["subtypes"]} >= {"server", "topology"}


FAULTS = {
    "gpu-02": (controller.UNSCHEDULABLE, "Unschedulable", "its Pod did not start within 5 s (--start-timeout): 0/3 nodes are available"),
    "gpu-03": (controller.IMAGE_PULL, "ImagePullBackOff", "its Pod did not start within 5 s (--start-timeout): Back-off pulling image"),
    "gpu-04": (controller.NO_POD, "FailedCreate", "violates PodSecurity"),
    "gpu-05": (controller.MOUNT, "FailedMount", "no result within 10 s (--timeout): MountVolume.SetUp failed"),
    "gpu-06": (controller.HANGS, "Running", "no result within 10 s (--timeout): its Pod is running"),
    "gpu-07": (controller.FAILS, "Error", "/host: cannot look into it: permission denied"),
    "gpu-08": (controller.EVICTED, "Evicted", "The node was low on resource: memory."),
    "gpu-09": (controller.LOST, "Completed", "finished without a snapshot"),
    "gpu-11": (
        controller.NO_CLASS,
        "FailedCreate",
        'no Pod was created within 5 s (--start-timeout): Error creating: pods "x" is forbidden: pod rejected: RuntimeClass "nvidia"',
    ),
    "gpu-12": (controller.NO_RUNTIME, "FailedCreatePodSandBox", 'no runtime for "nvidia" is configured'),
}


#: Those for which a timeout decides; the others end of themselves, however long that takes on a busy machine.
TIMED_OUT = ("gpu-02", "gpu-03", "gpu-04", "gpu-05", "gpu-06", "gpu-11", "gpu-12")


def without_answer(
    program: list[str], folder: Path, names: list[str], *arguments: str, **unready: str
) -> tuple[Result, dict[str, Any], dict[str, dict[str, Any]]]:
    """A run over nodes with the faults of their names: its result, its summary, and each node without a snapshot."""
    faults = {name: FAULTS[name][0] for name in names if name in FAULTS}
    healthy = [name for name in names if name not in FAULTS]
    with ApiServer() as server, controller.JobController(server, folder, roots(folder, healthy, {}), faults):
        add_nodes(server, names, **unready)
        done, summary = run(program, server, folder, *arguments, "--exit-code", "--only", "os")
        assert done.status == 3, done.err
        assert left(server) == []
    unanswered = {each["node"]: each for each in summary["unanswered"]}
    for name in faults:
        _, reason, why = FAULTS[name]
        assert unanswered[name]["reason"] == reason, (name, unanswered[name])
        assert why in unanswered[name]["why"], (name, unanswered[name])
    return done, summary, unanswered


def test_who_does_not_answer_and_why(program: list[str], tmp_path: Path) -> None:
    names = ["gpu-01", *(name for name in FAULTS if name not in TIMED_OUT)]
    _, summary, unanswered = without_answer(program, tmp_path, [*names, "gpu-10"], **{"gpu-10": "container runtime is down"})
    assert set(unanswered) == {*names, "gpu-10"} - {"gpu-01"}
    assert (unanswered["gpu-10"]["reason"], unanswered["gpu-10"]["why"]) == ("KubeletNotReady", "container runtime is down")
    assert summary["nodes"]["answered"] == 1


def test_who_does_not_answer_in_time_and_why(program: list[str], tmp_path: Path) -> None:
    done, _, unanswered = without_answer(program, tmp_path, list(TIMED_OUT), "--timeout", "10s", "--start-timeout", "5s")
    assert set(unanswered) == set(TIMED_OUT)
    assert "Unschedulable: its Pod did not start within 5 s (--start-timeout): 0/3" in " ".join(done.out.split())
    assert "pod-security.kubernetes.io/enforce=privileged" in unanswered["gpu-04"]["hint"]
    for name in ("gpu-11", "gpu-12"):
        assert "--gpu none, --gpu cdi or --gpu driver-root" in unanswered[name]["hint"]


@pytest.mark.parametrize("keep", [False, True])
def test_an_interrupt_cleans_up(program: list[str], tmp_path: Path, keep: bool) -> None:
    faults = {"gpu-01": controller.HANGS, "gpu-02": controller.HANGS}
    with ApiServer() as server, controller.JobController(server, tmp_path, {}, faults):
        add_nodes(server, list(faults))
        command = [*program, "-o", str(tmp_path / "out"), "--only", "os", *(["--keep"] if keep else [])]
        env = environment(KUBECONFIG=str(server.kubeconfig(tmp_path)))
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
        until(lambda: len(server.objects("/api/v1/namespaces/eidos/pods")) == 2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=AMPLE_S)
        assert process.returncode == 130, err
        assert b"Traceback" not in err
        assert bool(left(server)) == keep
        assert (b"are still in the cluster" in err) == keep


def test_a_cluster_that_goes_away_costs_those_that_had_not_answered(program: list[str], tmp_path: Path) -> None:
    faults = {"gpu-02": controller.HANGS, "gpu-03": controller.HANGS}
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, ["gpu-01"], {}), faults):
        add_nodes(server, ["gpu-01", *faults])

        def spoil() -> None:
            until((tmp_path / "out" / "gpu-01.yaml").exists)
            server.fault("GET /api/v1/namespaces/eidos/pods", "hang-up", times=-1)

        spoiler = threading.Thread(target=spoil)
        spoiler.start()
        done, summary = run(program, server, tmp_path, "--only", "os.release", "--parallel", "2", "--timeout", "20s")
        spoiler.join(AMPLE_S)
        assert done.status == 3, done.err
        assert summary["nodes"]["answered"] == 1
        assert {each["node"]: each["reason"] for each in summary["unanswered"]} == {"gpu-02": "Unreachable", "gpu-03": "Unreachable"}
        assert left(server) == []


def test_a_right_that_is_missing_is_no_silence(program: list[str], tmp_path: Path) -> None:
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, ["gpu-01"], {})):
        add_nodes(server, ["gpu-01"])
        server.forbidden |= {("watch", "pods"), ("list", "clusterroles")}
        done, summary = run(program, server, tmp_path, "--only", "os.release")
        assert done.status == 3
        assert summary["unanswered"][0]["reason"] == "Forbidden"
        assert "clusterroles" not in done.err  # that no leftovers can be looked for costs nothing
        assert left(server) == documents(server) == []


def test_a_cluster_that_is_silent_for_a_moment_costs_no_node(program: list[str], tmp_path: Path) -> None:
    """Four times is more than one request bears."""
    names = [f"gpu-{number}" for number in range(1, 7)]
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, names, {})) as kubelet:
        add_nodes(server, names)
        server.fault("POST /apis/batch/v1/namespaces/eidos/jobs", "truncated", times=1)
        server.fault("GET /api/v1/namespaces/eidos/pods", "503", times=4)
        server.fault("GET /api/v1/namespaces/eidos/configmaps", "503", times=4)
        done, summary = run(program, server, tmp_path, "--only", "os", "--parallel", "2")
        assert (done.status, summary["nodes"]["answered"]) == (0, 6), done
        assert len(kubelet.ran) == 6
        assert left(server) == []


def job(node: str) -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"eidos-agent-1-{node}", "namespace": "eidos"}, "spec": {}}


@contextmanager
def begun(tmp_path: Path, *nodes: str, seconds: float = 10) -> Iterator[tuple[ApiServer, _Run, Callable[[float], api_client.KubeClient]]]:
    """A run before its first Job, a server where no kubelet starts Pods, and what connects to it."""
    with ApiServer() as server:
        add_nodes(server, [])
        cluster = load_cluster({}, kubeconfig=str(server.kubeconfig(tmp_path)))

        def connect(deadline: float) -> api_client.KubeClient:
            return api_client.connect(cluster, deadline=deadline)

        client = connect(time.monotonic() + 5 * AMPLE_S)
        plan = FleetPlan("eidos", "1", (), {node: job(node) for node in nodes}, "cm://eidos/{}".format)
        yield server, _Run(plan, client, seconds, 20.0, time.monotonic() + 600), connect
        client.close()


def test_a_job_whose_creation_was_not_confirmed(tmp_path: Path) -> None:
    with begun(tmp_path, "gpu-1") as (_, run, _):
        for _ in range(2):
            assert run._start("gpu-1", job("gpu-1")) is None
        assert list(run.running) == ["eidos-agent-1-gpu-1"]


def test_the_lifetime_of_a_run_is_added_to_the_annotations_of_its_objects(tmp_path: Path) -> None:
    metadata = {"name": "eidos", "namespace": "eidos", "annotations": {"example.com/team": "gpu"}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    with begun(tmp_path) as (_, run, _):
        run.plan = replace(run.plan, shared=(account,))
        run.prepare("900")
        stored = run.client.get("/api/v1/namespaces/eidos/serviceaccounts/eidos")
    assert stored["metadata"]["annotations"] == {"example.com/team": "gpu", "eidos.dgxc.io/run-lifetime-seconds": "900"}


def test_a_server_that_refuses_watches_gets_no_flood_of_requests(tmp_path: Path) -> None:
    with begun(tmp_path, "gpu-1", seconds=2.5) as (server, run, _):
        server.fault("watch=", "400", -1)
        (answer,) = run.follow(1, keep=False)
        assert answer[0] == "gpu-1"
        assert 1 <= sum(each.verb == "watch" for each in server.requests) <= 4


def test_nothing_is_removed_that_is_not_there(tmp_path: Path) -> None:
    """A Job that was refused, and one that was given up and removed: cleaning up has its time for the others."""
    with begun(tmp_path, "gpu-1", "gpu-2", "gpu-3") as (server, run, connect):
        server.fault("POST", "403")
        assert "told to fail" in getattr(run._start("gpu-1", job("gpu-1")), "why", "")
        for name in ("gpu-2", "gpu-3"):
            assert run._start(name, job(name)) is None
        run._remove(run.running["eidos-agent-1-gpu-2"], keep=False)
        run.clean_up(connect)
        requests = [(each.method, each.resource, each.name) for each in server.requests if each.method != "POST"]
    assert requests[0] == ("DELETE", "jobs", "eidos-agent-1-gpu-2")
    assert [each for each in requests[1:] if each[1] != "pods"] == [
        ("DELETE", "jobs", "eidos-agent-1-gpu-3"),
        ("GET", "configmaps", "gpu-2"),
        ("GET", "configmaps", "gpu-3"),
    ]


def test_two_runs_at_once_do_not_meet(program: list[str], tmp_path: Path) -> None:
    names = ["gpu-01", "gpu-02"]
    results: list[Result] = []
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, names, {})) as kubelet:
        add_nodes(server, names)
        threads = [
            threading.Thread(target=lambda out=out: results.append(run(program, server, tmp_path, "--only", "os.release", out=out)[0]))
            for out in ("one", "two")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * AMPLE_S)
        assert [(done.status, done.out.partition("\n")[0], done.err) for done in results] == [(0, "2 of 2 equal", "")] * 2
        assert len(kubelet.ran) == 4
        assert left(server) == []


def killed(program: list[str], server: ApiServer, folder: Path, node: str) -> str:
    """The number of a run that was killed while the Pod of ``node`` was running."""
    env = environment(KUBECONFIG=str(server.kubeconfig(folder)))
    arguments = ["-o", str(folder / "killed"), "--only", "os.release,k8s.node"]
    process = subprocess.Popen([*program, *arguments], env=env, stderr=subprocess.PIPE, cwd=folder)
    until(lambda: bool(server.objects("/api/v1/namespaces/eidos/pods")))
    process.kill()
    process.communicate(timeout=AMPLE_S)
    (number,) = {tree["metadata"]["labels"][RUN] for tree in server.objects("/api/v1/namespaces/eidos/serviceaccounts")}
    return str(number)


def test_the_next_run_removes_what_a_killed_one_left(program: list[str], tmp_path: Path) -> None:
    """As soon as that is over for certain, and nothing else: neither documents of others, nor what somebody kept, nor a run at work."""
    maps = "/api/v1/namespaces/eidos/configmaps"
    ours = {"app.kubernetes.io/managed-by": "eidos"}
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, ["gpu-02"], {}), {"gpu-01": controller.HANGS}):
        add_nodes(server, ["gpu-01"])
        number = killed(program, server, tmp_path, "gpu-01")
        expected = left(server)
        assert len(expected) == 8  # a Job and its Pod, the program, an account, two roles, two bindings
        server.remove("/api/v1/nodes/gpu-01")
        add_nodes(server, ["gpu-02"])
        for name, labels in ((f"eidos-{number}-gpu-01", ours), ("eidos-gpu-01", ours), (f"eidos-{number}-other", {})):
            server.put(f"{maps}/{name}", {"metadata": {"labels": labels}, "data": {"document.yaml": "x"}})
        retained = {"labels": {**ours, RUN: "99999999"}, "annotations": {"eidos.dgxc.io/run-lifetime-seconds": "unlimited"}}
        server.put("/api/v1/namespaces/eidos/serviceaccounts/kept", {"metadata": retained})
        clean = [*program[:-2], "fleet", "--clean"]
        env = {"KUBECONFIG": str(server.kubeconfig(tmp_path))}

        server.store.clock_ahead_s = 700  # it may take 420 s, its lifetime is twice that with some slack
        done, _ = run(program, server, tmp_path, "--only", "os.release", out="early")
        assert (done.status, done.err) == (0, "")
        done = eidos(program=clean, env=env, cwd=tmp_path)
        assert done.status == 0, done.err
        assert f"run {number}: may still be running, and is over in" in done.out
        assert "run 99999999: kept because of --keep; remove it with: kubectl delete" in done.out
        assert sorted(left(server)) == sorted([*expected, "kept"])

        server.store.clock_ahead_s = 1000
        done, _ = run(program, server, tmp_path, "--only", "os.release", out="late")
        assert done.status == 0, done.err
        assert f"removed 8 objects that run {number} left in the cluster 1" in done.err
        assert left(server) == ["kept"]
        assert sorted(documents(server)) == sorted(["eidos-gpu-01", f"eidos-{number}-other"])


def test_clean_removes_what_is_over_and_names_what_it_cannot(program: list[str], tmp_path: Path) -> None:
    with ApiServer() as server, controller.JobController(server, tmp_path, {}, {"gpu-01": controller.HANGS}):
        add_nodes(server, ["gpu-01"])
        number = killed(program, server, tmp_path, "gpu-01")
        server.store.clock_ahead_s = 86400
        clean = [*program[:-2], "fleet", "--clean"]
        env = {"KUBECONFIG": str(server.kubeconfig(tmp_path))}
        done = eidos("--namespace", "other", program=clean, env=env, cwd=tmp_path)
        assert (done.status, done.out) == (0, "nothing to remove in namespace other\n")
        assert "eidos fleet --clean --namespace eidos" in done.err

        agent, role = f"eidos-agent-{number}", f"eidos-agent-{number}.eidos"
        # What could not be removed is found again by what a run creates first.
        for verb, resource, remaining in (("delete", "clusterroles", [agent, agent, role]), ("list", "rolebindings", [])):
            server.forbidden.add((verb, resource))
            done = eidos(program=clean, env=env, cwd=tmp_path)
            assert done.status == 1
            assert f"not allowed to {verb} {resource}" in done.err, done.err
            assert left(server) == remaining
            server.forbidden.clear()
        done = eidos("-t", "json", program=clean, env=env, cwd=tmp_path)
        assert (done.status, json.loads(done.out)["runs"]) == (0, [])
        assert documents(server) == []
        done = eidos("--hosts", "gpu-01", program=clean, env=env, cwd=tmp_path)
        assert (done.status, "--hosts and --clean cannot be used together" in done.err) == (2, True)
        done = eidos("--hosts", "gpu-01", "--start-timeout", "5s", program=clean[:-1], env=env, cwd=tmp_path)
        assert (done.status, "--start-timeout needs --kubernetes" in done.err) == (2, True)


def test_each_object_that_cannot_be_removed_is_an_error_unless_the_server_is_silent(tmp_path: Path) -> None:
    """Then the first is the last, although there are many; what names the run stays for the next time."""
    with begun(tmp_path) as (server, run, _):
        labels = {"labels": {RUN: HEX, "app.kubernetes.io/managed-by": "eidos"}}
        for number in range(30):
            server.put(f"/apis/batch/v1/namespaces/eidos/jobs/x-{number:02}", {"metadata": labels})
        server.put("/api/v1/namespaces/eidos/serviceaccounts/x", {"metadata": labels})
        server.store.clock_ahead_s = 86401
        (over,) = find_leftovers(run.client, "eidos").runs
        server.fault("DELETE /apis/batch/v1/namespaces/eidos/jobs/x-02", "403")
        server.fault("DELETE /apis/batch/v1/namespaces/eidos/jobs/x-04", "422")
        removed, errors = remove_run(run.client, "eidos", over)
        assert (len(removed), len(errors)) == (28, 2)
        assert len(left(server)) == 3
        server.fault("DELETE", "silent", times=-1)
        (over,) = find_leftovers(run.client, "eidos").runs
        removed, errors = remove_run(run.client, "eidos", over, 0.5)
        assert (removed, len(errors)) == ([], 1)
        assert len(left(server)) == 3


def member(number: str, created: object = "2026-11-23T06:00:00Z", lifetime: object = None) -> tuple[str, dict[str, Any]]:
    annotations = {} if lifetime is None else {"eidos.dgxc.io/run-lifetime-seconds": lifetime}
    return "/x", {"metadata": {"name": "x", "labels": {RUN: number}, "annotations": annotations, "creationTimestamp": created}}


SIX = 1795413600.0  # 2026-11-23T06:00:00Z
HEX = "0a1b2c3d"


@pytest.mark.parametrize(
    ("members", "now", "state"),
    [
        ([member(HEX, lifetime="900")], SIX + 899, RUNNING),
        ([member(HEX, lifetime="900")], SIX + 900, OVER),
        ([member(HEX, lifetime="900")], SIX - 9999, RUNNING),
        ([member(HEX, lifetime="900"), member(HEX, "2026-11-23T06:10:00Z")], SIX + 900, RUNNING),  # a Job that is new
        ([member(HEX, lifetime="900"), member(HEX, "2026-11-23T06:10:00Z")], SIX + 1500, OVER),
        ([member(HEX, lifetime="900"), member(HEX, lifetime="1800")], SIX + 1000, RUNNING),
        ([member(HEX, lifetime="900"), member(HEX, lifetime="unlimited")], SIX + 1e9, RETAINED),
        ([member(HEX, lifetime="9.5")], SIX + 1e9, RETAINED),  # not eidos' hand
        ([member(HEX)], SIX + 86399, RUNNING),  # of a version that set no lifetime
        ([member(HEX)], SIX + 86400, OVER),
        ([member("nightly")], SIX + 1e9, RETAINED),  # applied by hand
        ([member("abc")], SIX + 1e9, RETAINED),
        ([member("nightly", lifetime="900")], SIX + 900, OVER),
        ([member(HEX, None, "900")], SIX + 1e9, RUNNING),  # of unknown age
        ([member(HEX, lifetime="900"), member(HEX, "yesterday")], SIX + 1e9, RUNNING),
        ([member(HEX, lifetime="900")], None, RUNNING),  # a server that says no time
    ],
)
def test_when_a_run_is_over(members: list[tuple[str, dict[str, Any]]], now: float | None, state: str) -> None:
    for order in (members, members[::-1]):
        (run,) = judge_runs(order, now)
        assert (run.number, run.state) == (members[0][1]["metadata"]["labels"][RUN], state)


def test_objects_of_others_are_no_leftovers_even_if_the_server_ignores_selectors(tmp_path: Path) -> None:
    with begun(tmp_path) as (server, run, _):
        labels = {
            "a": {RUN: HEX},
            "b": {"app.kubernetes.io/managed-by": "eidos"},
            "c": {RUN: HEX, "app.kubernetes.io/managed-by": "helm"},
            "d": {},
        }
        for name, each in labels.items():
            server.put(f"/api/v1/namespaces/eidos/configmaps/eidos-{HEX}-{name}", {"metadata": {"labels": each}})

        class Unselective:
            server_date = "Mon, 23 Nov 2026 06:00:00 GMT"

            def list_objects(self, path: str, **_: object) -> Iterator[dict[str, Any]]:
                return run.client.list_objects(path)

        assert find_leftovers(cast("api_client.KubeClient", Unselective()), "eidos").runs == ()


_text = st.text(max_size=12) | st.none()


@given(st.lists(st.tuples(st.text(max_size=9), _text, _text), max_size=6), st.floats(allow_nan=False, allow_infinity=False) | st.none())
@settings(max_examples=examples(100))
def test_whatever_objects_say_each_run_is_judged_once(objects: list[tuple[str, str | None, str | None]], now: float | None) -> None:
    members = [member(number, created, lifetime) for number, created, lifetime in objects]
    runs = judge_runs(members, now)
    assert [run.number for run in runs] == sorted({number for number, _, _ in objects})
    assert sum(len(run.paths) for run in runs) == len(objects)
    assert all(run.state in (RUNNING, RETAINED) or run.age_s > 0 or run.remaining_s == 0 for run in runs)


def test_a_run_that_takes_too_long_ends_itself(tmp_path: Path) -> None:
    """Before its lifetime is over, when others would remove its objects."""
    with begun(tmp_path, "gpu-1", "gpu-2") as (_, run, _):
        run.deadline = time.monotonic() + 1
        answers = dict(run.follow(1, keep=False))
        assert [getattr(answer, "reason", "") for answer in answers.values()] == ["Overdue"] * 2


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--selector", "a b(("], 2, "--selector: 'a b((': "),
        (["--selector", "a=b"], 2, "no node matches 'a=b'"),
        (["--via", "srun -w {host}"], 2, "--via needs --hosts"),
        (["--units", "kubelet"], 2, "--units: not available with --kubernetes"),
        (["--namespace", "missing"], 2, 'namespaces "missing" not found'),
        (["--gpu", "driver-root"], 2, "only a privileged container"),
    ],
)
def test_invalid_arguments(program: list[str], tmp_path: Path, arguments: list[str], status: int, expected: str) -> None:
    with ApiServer() as server:
        add_nodes(server, ["gpu-01"])
        done, _ = run(program, server, tmp_path, *arguments, "--only", "os")
        assert (done.status, expected in done.err) == (status, True), done.err
        assert left(server) == []


def test_names_as_long_as_they_may_be(program: list[str], tmp_path: Path) -> None:
    names = ["gpu.1.example.com", f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}"]
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, names[:1], {})):
        add_nodes(server, names)
        done, summary = run(program, server, tmp_path, "--only", "os.release")
        assert (done.status, summary["nodes"]["answered"]) == (3, 1)
        assert summary["unanswered"][0]["why"] == "the node name is too long for a ConfigMap: 253 characters"
        assert "may be left" not in done.err
        assert left(server) == documents(server) == []


def test_what_could_not_be_removed_is_reported(program: list[str], tmp_path: Path) -> None:
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, ["gpu-01"], {})):
        add_nodes(server, ["gpu-01"])
        server.fault("DELETE", "403", times=-1)
        done, _ = run(program, server, tmp_path, "--only", "os.release")
        assert done.status == 0
        assert "cannot remove 6 objects of run" in done.err
        assert "kubectl get configmaps -n eidos | grep" in done.err
        assert documents(server)


def test_an_interrupt_leaves_no_document(program: list[str], tmp_path: Path) -> None:
    """Programs that are about to write theirs may not any more."""
    names = ["gpu-01", "gpu-02", "gpu-03"]
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, names, {})) as kubelet:
        add_nodes(server, names)
        env = environment(KUBECONFIG=str(server.kubeconfig(tmp_path)))
        process = subprocess.Popen([*program, "-o", str(tmp_path / "out")], env=env, stderr=subprocess.PIPE, cwd=tmp_path)
        until(lambda: len(kubelet.ran) == 3)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=AMPLE_S)
        assert process.returncode == 143, err
        assert b"out holds 0 of 3 snapshots and no summary" in err
        for thread in kubelet._threads:
            thread.join(AMPLE_S)
        assert left(server) == documents(server) == []


def test_pods_that_are_being_ended_are_waited_for(tmp_path: Path) -> None:
    """One of them may be writing its document while its rights go."""
    pod, document = "/api/v1/namespaces/eidos/pods/p", "/api/v1/namespaces/eidos/configmaps/gpu-1"
    ours = {"app.kubernetes.io/managed-by": "eidos"}
    with begun(tmp_path, "gpu-1") as (server, run, connect):
        server.put(pod, {"metadata": {"labels": {RUN: "1"}}})
        run._start("gpu-1", job("gpu-1"))

        def writes() -> None:
            server.put(document, {"metadata": {"labels": ours}, "data": {"document.yaml": "late"}})
            server.remove(pod)

        late = threading.Timer(1.0, writes)
        late.start()
        run.clean_up(connect)
        late.join()
        assert documents(server) == []


def test_an_interrupt_before_the_first_job_leaves_no_folder(program: list[str], tmp_path: Path) -> None:
    with ApiServer() as server:
        add_nodes(server, ["gpu-01"])
        server.fault("GET /api/v1/pods", "silent", -1)
        env = environment(KUBECONFIG=str(server.kubeconfig(tmp_path)))
        process = subprocess.Popen([*program, "-o", str(tmp_path / "out")], env=env, stderr=subprocess.PIPE, cwd=tmp_path)
        until(lambda: any(each.resource == "pods" for each in server.requests))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=AMPLE_S)
        assert process.returncode == 143, err
        assert not (tmp_path / "out").exists()


def test_an_interrupt_while_it_cleans_up_comes_after(program: list[str], tmp_path: Path) -> None:
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, ["gpu-01"], {})):
        add_nodes(server, ["gpu-01"])
        server.fault("DELETE /apis/rbac", "slow", seconds=1)
        command = [*program, "-o", str(tmp_path / "out"), "--only", "os.release"]
        env = environment(KUBECONFIG=str(server.kubeconfig(tmp_path)))
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, cwd=tmp_path)
        until(lambda: any(each.method == "DELETE" and each.path.startswith("/apis/rbac") for each in server.requests))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=AMPLE_S)
        assert process.returncode == 130, err
        assert left(server) == documents(server) == []


def test_no_cluster(program: list[str], tmp_path: Path) -> None:
    done = eidos(program=program, cwd=tmp_path)
    assert done.status == 2
    assert "Traceback" not in done.err
    assert os.listdir(tmp_path) == []


# ---- what a Pod says ----


def pod(phase: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "status": {"phase": phase, **status}}


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "eidos", "state": state}]


@pytest.mark.parametrize(
    ("tree", "state", "reason"),
    [
        ({}, WAITING, "Pending"),
        (pod("Running"), WAITING, "Running"),
        (pod("Pending", containerStatuses=container(waiting={"reason": "ContainerCreating"})), WAITING, "ContainerCreating"),
        (pod("Pending", containerStatuses=container(waiting={"reason": "InvalidImageName"})), STUCK, "InvalidImageName"),
        (pod("Pending", initContainerStatuses=container(waiting={"reason": "ErrImagePull", "message": "x"})), STUCK, "ErrImagePull"),
        (pod("Failed", containerStatuses=container(terminated={"exitCode": 137, "reason": "OOMKilled"})), FAILED, "OOMKilled"),
        (pod("Failed", reason="DeadlineExceeded"), FAILED, "DeadlineExceeded"),
        (pod("Failed"), FAILED, "Failed"),
        ({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}, FAILED, "Deleted"),
        (pod("Succeeded"), DONE, "Completed"),
    ],
)
def test_how_a_pod_stands(tree: dict[str, Any], state: str, reason: str) -> None:
    actual, no_answer = read_pod_state(tree)
    assert (actual, no_answer.reason) == (state, reason)
    assert no_answer.why


def test_when_patience_ends() -> None:
    now = time.monotonic()
    job = _Job("gpu-1", "/apis/batch/v1/namespaces/eidos/jobs/x", now + 300, 20)
    assert job.due == job.since + 20  # without a Pod
    job.pod = "x-1"
    assert job.due == now + 300
    job.set_state(*read_pod_state(pod("Pending", containerStatuses=container(waiting={"reason": "ErrImagePull"}))))
    since = job.since
    job.set_state(*read_pod_state(pod("Pending", containerStatuses=container(waiting={"reason": "ImagePullBackOff"}))))
    assert job.since == since
    assert job.due == since + 20
    job.start_timeout = 400
    assert job.due == now + 300
    job.start_timeout = 20
    job.set_state(*read_pod_state(pod("Running")))
    assert job.due == now + 300


def test_what_events_and_jobs_say() -> None:
    events: list[dict[str, Any]] = [
        {"type": "Warning", "message": "new\nand long", "reason": "FailedMount", "lastTimestamp": "2026-11-23T06:40:05Z"},
        {"type": "Warning", "message": "old", "reason": "Old", "lastTimestamp": None, "eventTime": "2026-11-23T06:40:04.0Z"},
        {"type": "Normal", "message": "newest", "lastTimestamp": "2026-11-23T06:40:06Z"},
    ]
    warning = latest_warning(events)
    assert warning is not None
    assert (warning.why, warning.reason) == ("new and long", "FailedMount")
    assert latest_warning([]) is None
    failed = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "m"}]}}
    assert job_failure({}) is None
    assert job_failure(failed) is not None


def test_nodes_of_a_cluster_are_judged(program: list[str], tmp_path: Path) -> None:
    """With what the API server says of the cluster, so that nothing of it is unknown, and nothing is left there."""
    names = ["gpu-01", "gpu-02"]
    with ApiServer() as server, controller.JobController(server, tmp_path, roots(tmp_path, names, {})):
        add_nodes(server, names)
        done, summary = run(program, server, tmp_path, "--check")
        assert left(server) == []
    assert done.status == 4, done.err
    findings = {each["id"]: each for each in summary["findings"]}
    assert findings["cdi-of-other-driver"]["nodes"] == names
    assert "2 nodes checked: 1 error on all nodes, " in done.out
    assert "not collected" not in done.out, done.out
