"""``eidos snapshot`` of a cluster: the built file against an API server on loopback, and what it says when that does not answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from eidos.errors import NotFound
from eidos.kube.cluster import Cluster, User
from eidos.kube.fallback_cache import FallbackCache, cache_folder
from eidos.model.measurement import ABSENT, Gap, Subtype
from tests.cli.test_start import imported
from tests.fakes.apiserver import ApiServer
from tests.support.program import ROOT, Result, eidos
from tests.support.waiting import AMPLE_S

if TYPE_CHECKING:
    from eidos.model.measurement import Part

Tree = dict[str, Any]

NODE = "gpu-07"


class Shot(NamedTuple):
    """A run, and its document."""

    result: Result
    tree: Tree

    def subtype(self, name: str) -> Tree:
        """The readings of a subtype of K8s; {} when there is none."""
        return next((s["data"] for m in self.tree["measurements"] if m["type"] == "K8s" for s in m["subtypes"] if s["subtype"] == name), {})

    @property
    def outcomes(self) -> dict[str, Tree]:
        """What became of the collectors."""
        return {each["name"]: each for each in self.tree["collectors"]}


def bare(tree: Tree) -> Tree:
    """A document without what no two have in common."""
    tree["metadata"].pop("snapshot-timestamp")
    for each in tree["collectors"]:
        each.pop("milliseconds")
    return tree


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        for number, driver in ((7, "580.82.07"), (8, "580.82.07"), (9, "570.86.15")):
            labels = {"nvidia.com/cuda.driver-version.full": driver, "nvidia.com/gfd.timestamp": f"175700000{number}", "team": "x"}
            spec = {
                "providerID": "aws:///us-west-2a/i-0a",
                "taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}],
            }
            status = {
                "nodeInfo": {"containerRuntimeVersion": "containerd://1.7.27", "kernelVersion": "6.8.0", "operatingSystem": "linux"},
                "allocatable": {"nvidia.com/gpu": "8"},
                "conditions": [{"type": "Ready", "lastHeartbeatTime": "2026-11-23T06:40:03Z"}],
            }
            server.put(f"/api/v1/nodes/gpu-0{number}", {"metadata": {"labels": labels}, "spec": spec, "status": status})
        for number, (image, image_id) in enumerate(
            (
                ("nvcr.io/nvidia/driver:580.82.07", "nvcr.io/nvidia/driver@sha256:aa"),
                ("registry.example.com:5000/mirror/driver:570.86.15", "registry.example.com:5000/mirror/driver@sha256:bb"),
                ("ghcr.io/example/fetcher@sha256:cc", "ghcr.io/example/fetcher@sha256:cc"),
                ("busybox", "docker.io/library/busybox@sha256:dd"),
            )
        ):
            pod = {
                "spec": {"containers": [{"name": "main", "image": image}]},
                "status": {"containerStatuses": [{"name": "main", "imageID": image_id}]},
            }
            server.put(f"/api/v1/namespaces/default/pods/pod-{number}", pod)
        for name, state, version in (("cluster-policy", "ready", "580.82.07"), ("another", "ignored", "570.86.15")):
            policy = {"spec": {"driver": {"version": version, "enabled": True}}, "status": {"state": state}}
            server.put(f"/apis/nvidia.com/v1/clusterpolicies/{name}", policy)
        server.put("/apis/mellanox.com/v1alpha1/nicclusterpolicies/nic", {"spec": {"ofedDriver": {"version": "doca3.1.0"}}})
        yield server


class Take:
    """Runs the program with a home of its own."""

    def __init__(self, pyz: Path, home: Path, server: ApiServer) -> None:
        self.pyz, self.home = pyz, home
        self.kubeconfig = server.kubeconfig(home)

    def __call__(self, *words: str, kubeconfig: Path | None = None, **more: str) -> Shot:
        env = {"HOME": str(self.home), "KUBECONFIG": str(kubeconfig or self.kubeconfig), "NODE_NAME": NODE, **more}
        result = eidos("snapshot", *words, program=[sys.executable, "-I", str(self.pyz)], env=env)
        return Shot(result, yaml.safe_load(result.out) if result.out.startswith("kind:") else {})


@pytest.fixture
def take(pyz: Path, tmp_path: Path, server: ApiServer) -> Take:
    return Take(pyz, tmp_path, server)


# -- what is read --


def test_a_cluster_from_a_laptop(server: ApiServer, take: Take) -> None:
    shot = take("--cluster-only")
    assert (shot.result.status, shot.result.err) == (0, "")
    assert list(shot.outcomes) == ["k8s.image", "k8s.node", "k8s.policy", "k8s.server", "k8s.topology"]
    assert {name: each["outcome"] for name, each in shot.outcomes.items()} == dict.fromkeys(shot.outcomes, "ok")
    assert shot.tree["metadata"]["source-node"] == NODE
    assert [measurement["type"] for measurement in shot.tree["measurements"]] == ["K8s"]
    assert shot.subtype("server") == {"version": "v1.36.2", "platform": "linux/amd64", "goVersion": "go1.26.6"}
    assert shot.subtype("image") == {
        "driver": "570.86.15",
        "fetcher": "sha256:cc",
        "busybox": "latest",
        "nvcr.io/nvidia/driver:580.82.07": "sha256:aa",
        "registry.example.com:5000/mirror/driver:570.86.15": "sha256:bb",
        "ghcr.io/example/fetcher": "sha256:cc",
        "docker.io/library/busybox:latest": "sha256:dd",
    }
    assert shot.subtype("policy") == {
        "driver.version": "580.82.07",
        "driver.enabled": "true",
        "clusterpolicy/another/driver.version": "570.86.15",
        "clusterpolicy/another/driver.enabled": "true",
        "clusterpolicy/another/status.state": "ignored",
        "status.state": "ready",
        "nicclusterpolicy/nic/ofedDriver.version": "doca3.1.0",
    }
    assert shot.outcomes["k8s.policy"]["absent"] == {
        "gpuclusters.nvidia.com": "not installed",
        "nvidiadrivers.nvidia.com": "no objects",
    }
    node = shot.subtype("node")
    assert (node["source-node"], node["provider"], node["taint.nvidia.com/gpu:NoSchedule"]) == (NODE, "aws", "true")
    assert node["container-runtime-version"] == "1.7.27"
    assert "gfd.timestamp" not in shot.result.out
    topology = shot.subtype("topology")
    assert topology["nodes"] == 3
    assert topology["label.nvidia.com/cuda.driver-version.full=570.86.15"] == "1: gpu-09"
    assert topology["taint.nvidia.com/gpu=true:NoSchedule"] == "3: all"
    rights = {("get", "", "nodes", ""), ("list", "", "nodes", ""), ("list", "", "pods", "")}
    rights |= {("list", "nvidia.com", kind, "") for kind in ("clusterpolicies", "nvidiadrivers")}
    assert server.used() == rights | {("list", "mellanox.com", "nicclusterpolicies", "")}


def test_two_snapshots_are_the_same_but_for_their_times(take: Take) -> None:
    first, second = (bare(take("--cluster-only", "--volatile").tree) for _ in range(2))
    assert first == second


def test_volatile_labels_come_on_request(take: Take) -> None:
    shot = take("--only", "k8s.node", "--volatile")
    assert shot.subtype("node.volatile") == {"label.nvidia.com/gfd.timestamp": "1757000007"}


def test_without_a_name_no_node_is_read(take: Take) -> None:
    shot = take("--cluster-only", NODE_NAME="")
    assert "k8s.node" not in shot.outcomes
    assert shot.tree["metadata"]["source-node"] == ""


def test_a_snapshot_has_the_host_and_the_cluster(take: Take) -> None:
    shot = take()
    assert {"K8s", "OS"} <= {measurement["type"] for measurement in shot.tree["measurements"]}
    assert shot.outcomes["k8s.node"]["outcome"] == shot.outcomes["os.sysctl"]["outcome"] == "ok"


def test_an_agent_reads_its_own_node_and_no_more(server: ApiServer, take: Take) -> None:
    shot = take("--only", "k8s.node,os.kmod", NODE_NAME="", KUBERNETES_NODE_NAME="gpu-09")
    assert shot.subtype("node")["label.nvidia.com/cuda.driver-version.full"] == "570.86.15"
    assert server.used() == {("get", "", "nodes", "")}


def test_the_name_of_a_pod_is_none_of_a_node(server: ApiServer, take: Take) -> None:
    server.put(f"/api/v1/nodes/{os.uname().nodename}", {"spec": {}})
    shot = take("--only", "k8s.node", NODE_NAME="", HOSTNAME="eidos-x7k2p")
    assert shot.subtype("node")["source-node"] == os.uname().nodename
    server.remove(f"/api/v1/nodes/{os.uname().nodename}")
    shot = take("--only", "k8s.node", NODE_NAME="", HOSTNAME="eidos-x7k2p")
    assert shot.outcomes["k8s.node"]["outcome"] == "skipped"
    assert "'eidos-x7k2p'" in shot.outcomes["k8s.node"]["reason"]
    shot = take("--only", "k8s.node", NODE_NAME="gpu-99")
    assert shot.result.status == 1
    assert "no such node 'gpu-99'" in shot.outcomes["k8s.node"]["reason"]


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def test_a_name_in_capitals_is_that_of_a_node_in_small_letters(take: Take) -> None:
    shot = take("--only", "k8s.node", NODE_NAME="GPU-07")
    assert (shot.result.status, shot.subtype("node")["source-node"]) == (0, "gpu-07")


@pytest.mark.skipif(not BOOT_ID.exists(), reason="the kernel has no boot id")
@pytest.mark.parametrize(
    ("host", "node", "label"),
    [
        ("gpu-17", "gpu-17.example.com", ""),
        ("GPU-17.example.com", "gpu-17", ""),
        ("gpu-17.site-a.example.com", "gpu-17.site-b.example.com", ""),
        ("gpu-17", "i-0a1b.us-west-2.compute.internal", "GPU-17"),
    ],
)
def test_a_longer_or_shorter_name_is_matched_by_the_boot_and_named_in_the_hint_otherwise(
    server: ApiServer, take: Take, host: str, node: str, label: str
) -> None:
    labels = {"kubernetes.io/hostname": label} if label else {}
    info = {"bootID": BOOT_ID.read_text().strip()}
    server.put(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}, "status": {"nodeInfo": info}})
    server.put("/api/v1/nodes/gpu-17.other.example.com", {"status": {"nodeInfo": {"bootID": "another"}}})
    server.put("/api/v1/nodes/gpu-17.new.example.com", {"status": {"nodeInfo": None}})
    for name, pod in ((host, ""), ("", host)):
        shot = take("--only", "k8s.node", NODE_NAME=name, HOSTNAME=pod)
        assert (shot.result.status, shot.subtype("node").get("source-node")) == (0, node)
        info["bootID"] = "of yesterday"
        server.put(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}, "status": {"nodeInfo": info}})
        missed = take("--only", "k8s.node", NODE_NAME=name, HOSTNAME=pod)
        assert missed.outcomes["k8s.node"]["outcome"] == ("failed" if name else "skipped")
        names = ", ".join(sorted(["gpu-17.new.example.com", "gpu-17.other.example.com", node]))
        assert missed.outcomes["k8s.node"]["hint"] == f"set NODE_NAME to the node's name, such as {names}"
        info["bootID"] = BOOT_ID.read_text().strip()
        server.put(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}, "status": {"nodeInfo": info}})


def test_whoever_cannot_list_nodes_gets_the_usual_hint(server: ApiServer, take: Take) -> None:
    server.forbidden.add(("list", "nodes"))
    server.put("/api/v1/nodes/gpu-17.example.com", {})
    outcome = take("--only", "k8s.node", NODE_NAME="gpu-17").outcomes["k8s.node"]
    assert (outcome["outcome"], outcome["hint"]) == ("failed", "set NODE_NAME to the pod's spec.nodeName")
    outcome = take("--only", "k8s.node", NODE_NAME="", HOSTNAME="gpu-17").outcomes["k8s.node"]
    assert outcome["outcome"] == "skipped" and "hint" not in outcome
    server.forbidden.clear()
    server.fault("GET /api/v1/nodes?", "500", -1)
    outcome = take("--only", "k8s.node", NODE_NAME="", HOSTNAME="gpu-17").outcomes["k8s.node"]
    assert outcome["outcome"] == "skipped" and "hint" not in outcome


def test_a_recipe_is_made_of_it(take: Take, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    assert take("--cluster-only", "-o", str(path)).result.status == 0
    assert path.stat().st_mode & 0o777 == 0o600
    recipe = eidos("recipe", "-f", str(path), program=[sys.executable, "-I", str(take.pyz)])
    assert recipe.status == 0
    request = yaml.safe_load(recipe.out)["request"]
    assert (request["k8s"], request["service"]) == ("v1.36.2", "self-managed")
    assert "nothing shows eks" in recipe.err


# -- what the caller may not, and what is not there --


def test_a_right_that_is_missing_costs_its_own_part(server: ApiServer, take: Take) -> None:
    server.forbidden |= {("list", "pods"), ("list", "clusterpolicies")}
    shot = take("--cluster-only")
    assert shot.result.status == 0
    assert {name: each["outcome"] for name, each in shot.outcomes.items()} == {
        "k8s.image": "failed",
        "k8s.node": "ok",
        "k8s.policy": "partial",
        "k8s.server": "ok",
        "k8s.topology": "ok",
    }
    assert "list" in shot.outcomes["k8s.image"]["reason"]
    assert "pods" in shot.outcomes["k8s.image"]["reason"]
    assert "list" in shot.outcomes["k8s.policy"]["unreadable"]["clusterpolicies.nvidia.com"]
    assert shot.subtype("policy") == {"nicclusterpolicy/nic/ofedDriver.version": "doca3.1.0"}


def test_a_kind_that_is_not_installed_is_absent_even_when_it_is_forbidden(server: ApiServer, take: Take) -> None:
    """The right is asked for before the kind is looked up."""
    server.fault("GET /apis/nvidia.com/v1alpha1/gpuclusters", "403", -1)
    server.forbidden.add(("list", "nvidiadrivers"))
    policy = take("--only", "k8s.policy").outcomes["k8s.policy"]
    assert policy["absent"] == {"gpuclusters.nvidia.com": "not installed"}
    assert list(policy["unreadable"]) == ["nvidiadrivers.nvidia.com"]


def test_no_operator_is_no_failure(server: ApiServer, take: Take) -> None:
    for version, resource in list(server.store.kinds):
        if version.startswith(("nvidia.com/", "mellanox.com/")):
            server.kind(version, resource, "")
    policy = take("--only", "k8s.policy").outcomes["k8s.policy"]
    assert policy["outcome"] == "ok"
    assert set(policy["absent"].values()) == {"not installed"}
    assert len(policy["absent"]) == 4
    server.fault("", "503", -1)
    policy = take("--only", "k8s.policy", "--allow-stale", "1h").outcomes["k8s.policy"]
    assert (policy["outcome"], len(policy["absent"])) == ("partial", 4)


def test_a_cluster_that_answers_nothing_is_not_one_without_operators(server: ApiServer, take: Take) -> None:
    take.kubeconfig = server.kubeconfig(take.home, cluster={"server": f"{server.url}/elsewhere"})
    shot = take("--cluster-only")
    assert {each["outcome"] for each in shot.outcomes.values()} == {"failed"} and shot.result.status == 1
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "nobody-has-it", "interactiveMode": "Never"}
    take.kubeconfig = server.kubeconfig(take.home, user={"exec": plugin})
    policy = take("--only", "k8s.policy").outcomes["k8s.policy"]
    assert policy["outcome"] == "failed" and "nobody-has-it cannot be run" in policy["reason"]


def test_a_user_without_any_right(server: ApiServer, take: Take) -> None:
    take.kubeconfig = server.kubeconfig(take.home, user={"token": "expired"})
    shot = take("--cluster-only")
    assert shot.result.status == 1
    assert {each["outcome"] for each in shot.outcomes.values()} == {"failed"}
    assert "expired" not in shot.result.out + shot.result.err


# -- no cluster, or none that answers --


def test_no_cluster_is_skipped_and_no_warning(take: Take) -> None:
    shot = take(kubeconfig=take.home / "none", NODE_NAME="")
    assert {each["outcome"] for name, each in shot.outcomes.items() if name.startswith("k8s")} == {"skipped"}
    assert "no cluster is configured" in shot.outcomes["k8s.node"]["reason"]
    assert "k8s" not in shot.result.err
    assert shot.outcomes["os.sysctl"]["outcome"] == "ok"
    shot = take("--cluster-only", kubeconfig=take.home / "none")
    assert shot.result.status == 0
    assert shot.result.err.startswith("warning: no data: no cluster is configured")
    shot = take("--only", "k8s", "--kubeconfig", str(take.home / "none"))
    assert {each["outcome"] for each in shot.outcomes.values()} == {"failed"}
    assert f"{take.home / 'none'}: no such file" in shot.outcomes["k8s.server"]["reason"]


def test_a_captured_tree_has_no_cluster(server: ApiServer, take: Take, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    shot = take("--only", "k8s", "--root", str(tmp_path / "host"))
    assert {each["outcome"] for each in shot.outcomes.values()} == {"skipped"}
    assert not server.requests
    result = take("--cluster-only", "--root", str(tmp_path / "host")).result
    assert (result.status, result.err.splitlines()[0]) == (2, "error: --cluster-only cannot be used with --root")


def test_flags_that_leave_nothing(take: Take) -> None:
    assert take("--cluster-only", "--only", "os").result.err.startswith("error: --cluster-only, --only and --skip leave no collector")
    assert "'gpu' is excluded" in take("--cluster-only", "--require", "gpu").result.err
    assert take("--cluster-only", "--require", "k8s", NODE_NAME="").result.status == 0


def test_a_silent_server_costs_its_own_collectors_and_no_more_than_the_time(server: ApiServer, take: Take) -> None:
    server.fault("", "silent", -1)
    began = time.monotonic()
    shot = take("--only", "k8s,os.sysctl,os.release,os.grub", "--timeout", "5s")
    assert time.monotonic() - began < AMPLE_S
    for name, each in shot.outcomes.items():
        if name.startswith("k8s."):
            assert each["outcome"] == "failed"
    assert server.url.removeprefix("https://") in shot.outcomes["k8s.server"]["reason"]
    assert {shot.outcomes[name]["outcome"] for name in ("os.sysctl", "os.release", "os.grub")} <= {"ok", "partial"}


def test_another_authority_is_not_trusted(server: ApiServer, take: Take) -> None:
    server.fault("", "wrong-ca", -1)
    shot = take("--only", "k8s,os.grub")
    assert shot.outcomes["k8s.server"]["outcome"] == "failed"
    assert "certificate" in shot.outcomes["k8s.server"]["reason"]
    assert shot.outcomes["os.grub"]["outcome"] == "ok"
    warnings = [line for line in shot.result.err.splitlines() if line.startswith("warning: ")]
    names = ", ".join(name for name in shot.outcomes if name.startswith("k8s."))
    assert len(warnings) == 1 and warnings[0].startswith(f"warning: {names}: failed: ")  # once for all of them
    assert not server.requests


def test_an_unchecked_certificate_is_reported_once(server: ApiServer, take: Take) -> None:
    """Four collectors and what writes the document ask the same server."""
    cluster = {"insecure-skip-tls-verify": True, "certificate-authority-data": None}
    shot = take("--cluster-only", "-o", "cm://default/x", kubeconfig=server.kubeconfig(take.home, name="insecure", cluster=cluster))
    assert shot.result.status == 0
    assert shot.result.err.count("its certificate is not verified") == shot.result.err.count("\nhint: ") == 1, shot.result.err


def test_what_answers_is_no_kubernetes(server: ApiServer, take: Take) -> None:
    server.version.clear()
    shot = take("--only", "k8s.server")
    assert "no gitVersion" in shot.outcomes["k8s.server"]["reason"]


def test_a_kubeconfig_that_comes_through_a_pipe(take: Take) -> None:
    # Every collector is a process of its own, and the pipe is read once.
    words = [sys.executable, "-I", str(take.pyz), "snapshot", "--cluster-only", "--kubeconfig"]
    env = {"PATH": os.environ["PATH"], "HOME": str(take.home)}
    for more, config in (("/dev/stdin", take.kubeconfig.read_bytes()), ("/dev/stdin", b"")):
        done = subprocess.run([*words, more], input=config, env=env, capture_output=True, timeout=60, check=False)
        outcomes = {each["name"]: each for each in yaml.safe_load(done.stdout)["collectors"]}
        if config:
            assert {each["outcome"] for each in outcomes.values()} == {"ok"}, done.stderr
        else:
            assert "empty pipe" in outcomes["k8s.server"]["reason"]


def test_a_kubeconfig_that_is_none(take: Take) -> None:
    (take.home / "broken").write_text("clusters: [")
    shot = take("--only", "k8s.server", kubeconfig=take.home / "broken")
    assert shot.outcomes["k8s.server"]["outcome"] == "failed"
    assert "broken" in shot.outcomes["k8s.server"]["reason"]


# -- what a cluster said before --


def test_the_cache_is_used_only_for_a_cluster_that_does_not_answer(server: ApiServer, take: Take) -> None:
    fresh = take("--cluster-only").tree
    caches = list((take.home / ".cache" / "eidos").iterdir())
    assert len(caches) == 5
    assert {path.stat().st_mode & 0o777 for path in caches} == {0o600}
    assert (take.home / ".cache" / "eidos").stat().st_mode & 0o777 == 0o700
    assert not [path for path in caches if server.token in path.read_text()]
    server.fault("", "503", -1)
    without = take("--cluster-only")
    assert without.result.status == 1
    assert not without.tree["measurements"][0].get("subtypes")
    shot = take("--cluster-only", "--allow-stale", "1h")
    assert shot.result.status == 0
    assert shot.tree["measurements"] == fresh["measurements"]
    for each in shot.outcomes.values():
        assert each["outcome"] == "partial"
        assert 0 <= each["stale"] < 60
        assert each["reason"]
    table = take("--only", "k8s.server", "--allow-stale", "1h", "-t", "table").result.out
    assert "an answer of " in table
    for path in caches:
        tree = json.loads(path.read_text())
        path.write_text(json.dumps({**tree, "time": tree["time"] - 7200}))
    shot = take("--cluster-only", "--allow-stale", "1h")
    assert shot.result.status == 1
    assert "s old" in shot.outcomes["k8s.server"]["reason"]
    assert all(7200 <= each["stale"] < 7260 for each in take("--cluster-only", "--allow-stale", "3h").outcomes.values())


def test_it_stands_in_for_a_server_that_hangs_or_is_gone(server: ApiServer, take: Take) -> None:
    assert take("--only", "k8s.server").result.status == 0
    server.fault("", "silent", -1)
    shot = take("--only", "k8s.server", "--allow-stale", "1h", "--timeout", "4s")
    assert shot.outcomes["k8s.server"]["outcome"] == "partial"
    assert shot.subtype("server")["version"] == "v1.36.2"
    server.calm()
    # A right that is missing is an answer.
    server.fault("GET /version", "403", -1)
    assert take("--only", "k8s.server", "--allow-stale", "1h").outcomes["k8s.server"]["outcome"] == "failed"


def test_it_belongs_to_the_user_alone(server: ApiServer, take: Take) -> None:
    """Another user, and another cluster at the same address, find nothing."""
    take("--only", "k8s.server")
    server.fault("", "503", -1)
    tree = json.loads(take.kubeconfig.read_text())
    tree["users"].append({"name": "other", "user": {"token": server.token}})
    tree["contexts"][0]["context"]["user"] = "other"
    other = take.home / "other"
    other.write_text(json.dumps(tree))
    shot = take("--only", "k8s.server", "--allow-stale", "1h", kubeconfig=other)
    assert shot.outcomes["k8s.server"]["outcome"] == "failed"
    assert "no cache" in shot.outcomes["k8s.server"]["reason"]


CLUSTER = Cluster("https://api.example.com:6443", b"ca", user=User("alice", "users[0] of config"))
FACTS: list[Part] = [Subtype("server", {"version": "v1"}, {"version": "A sentence."}), Gap(ABSENT, "x", "there is none")]


@pytest.fixture
def cache(tmp_path: Path) -> FallbackCache:
    return FallbackCache({"XDG_CACHE_HOME": str(tmp_path / "cache")}, CLUSTER, "k8s.server/")


def only_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache" / "eidos").iterdir()
    return path


def refused(cache: FallbackCache) -> str:
    with pytest.raises(NotFound) as caught:
        cache.load(3600)
    return caught.value.message


def test_stored_parts_are_loaded(tmp_path: Path, cache: FallbackCache) -> None:
    assert refused(cache).startswith("cannot read the cached data") or refused(cache).startswith("no cache")
    cache.store(FACTS)
    age, parts = cache.load(3600)
    assert (0 <= age <= 2, parts) == (True, FACTS)
    cache.store(FACTS[:1])
    assert cache.load(3600)[1] == FACTS[:1]
    assert only_file(tmp_path).name.startswith("kube-")


DAMAGED = (
    *("", "{", "[]", "null", "{}", '{"version": 1}', "[" * 100_000, "\x00\xff"),
    '{"version":1,"subject":"k8s.server/","time":1,"parts":[["x"]]}',
    '{"version":1,"subject":"k8s.server/","time":1e400,"parts":[]}',
    '{"version":1,"subject":"other","time":1,"parts":[]}',
    '{"version":1,"subject":"k8s.server/","time":1,"parts":[["subtype","a",{"b":[]},{}]]}',
)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_ignored(tmp_path: Path, cache: FallbackCache, text: str) -> None:
    cache.store(FACTS)
    only_file(tmp_path).write_bytes(text.encode("latin-1"))
    assert "damaged" in refused(cache)


def test_a_file_that_is_not_to_be_trusted_is_ignored(tmp_path: Path, cache: FallbackCache) -> None:
    cache.store(FACTS)
    path = only_file(tmp_path)
    path.chmod(0o644)
    assert "other users can read it" in refused(cache)
    cache.store(FACTS)
    assert cache.load(3600)
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, "time": tree["time"] + 3600}))
    assert "from the future" in refused(cache)
    real = tmp_path / "elsewhere"
    path.rename(real)
    path.symlink_to(real)
    assert "cannot read" in refused(cache)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "cannot read" in refused(cache)


def test_a_failure_to_store_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for environ in ({}, {"XDG_CACHE_HOME": str(tmp_path / "file")}, {"HOME": str(tmp_path / "missing")}, {"HOME": "/proc/self"}):
        FallbackCache(environ, CLUSTER, "k8s.server/").store(FACTS)
    assert not (tmp_path / "missing").exists(), "nobody's home is made"
    assert cache_folder({"XDG_CACHE_HOME": "relative", "HOME": "relative"}) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_somebody_elses_file_is_ignored(tmp_path: Path, cache: FallbackCache) -> None:
    cache.store(FACTS)
    os.chown(only_file(tmp_path), 65534, 65534)
    assert "not a file of this user" in refused(cache)
    os.chown(tmp_path / "cache" / "eidos", 65534, 65534)
    assert "not a folder of this user" in refused(cache)
    cache.store(FACTS)
    assert os.stat(only_file(tmp_path)).st_uid == 65534, "nothing is written there"


# -- what a start costs --


def in_the_archive(pyz: Path, text: str) -> list[str]:
    """Arguments of an interpreter that imports from the built file, as the program does, and then runs ``text``."""
    return ["-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(pyz)!r}); import eidos\n{text}"]


def test_ten_thousand_pods_take_no_more_memory_than_a_page(server: ApiServer, take: Take) -> None:
    padding = "x" * 7800

    def pod(number: int) -> bytes:
        containers = [{"name": "a", "image": f"nvcr.io/nvidia/tool-{number % 40}:1.0"}]
        metadata = {"name": f"p{number}", "namespace": "many", "annotations": {"padding": padding}}
        return json.dumps({"metadata": metadata, "spec": {"containers": containers}}).encode()

    script = f"""
import time
from eidos.collectors import Sources, load_collector
from eidos.files.host import Host
(part,) = load_collector("k8s.image")(Sources(Host(), deadline=time.monotonic() + 60, environ={{"KUBECONFIG": {str(take.kubeconfig)!r}}}))
print(len(part.data), *[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
"""
    peaks = {}
    for count in (250, 10_000):
        server.make("/api/v1/namespaces/many/pods", count, pod)
        server.requests.clear()
        done = subprocess.run(
            [sys.executable, *in_the_archive(take.pyz, script)], stdout=subprocess.PIPE, text=True, timeout=120, check=True
        )
        readings, peak = map(int, done.stdout.split())
        assert (readings, len(server.requests)) == (80, count // 250)
        peaks[count] = peak / 1024
    assert peaks[10_000] < min(peaks[250] + 8, 42), peaks
    print(peaks)


def test_without_a_cluster_no_client_is_imported(python: str, pyz: Path) -> None:
    """In the children, too: each collector tells which modules its process has."""
    script = """
from eidos import collectors
from eidos.model.measurement import Subtype
from eidos.workflow import SnapshotOptions, take_snapshot
HEAVY = {"ssl", "http", "yaml", "json", "re", "socket", "subprocess", "hashlib", "eidos.formats"}
HEAVY |= {f"eidos.kube.{name}" for name in ("api_client", "kubeconfig", "fallback_cache", "proxy", "credentials")}
before = HEAVY & set(sys.modules)
def load(name):
    def noted(sources):
        try:
            yield from collectors.load_collector(name)(sources)
        finally:
            yield Subtype(name, dict.fromkeys(HEAVY & set(sys.modules) - before, True))
    return noted
names = tuple(name for name in collectors.list_collectors() if name.startswith("k8s"))
shot = take_snapshot(SnapshotOptions(collectors=names), load_collector=load, environ={"HOME": "/nonexistent"})
assert [outcome.outcome for outcome in shot.collectors] == ["skipped"] * len(names), shot.collectors
found = {s.name: list(s.data) for m in shot.measurements for s in m.subtypes}
assert found == {name: [] for name in names}, found
print("ran")
"""
    done = subprocess.run([python, *in_the_archive(pyz, script)], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_without_a_cluster_the_program_itself_imports_nothing_for_one(
    python: str, pyz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    new = imported(python, pyz, "snapshot", "--skip", "gpu,systemd") - imported(python, pyz, "snapshot", "--skip", "k8s,gpu,systemd")
    assert not new
