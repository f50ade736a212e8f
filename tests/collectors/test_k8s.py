"""What becomes of a cluster's objects: by cases, by laws, and of what a real API server answered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eidos.collectors import is_cluster_wide, k8s_image, k8s_node, k8s_policy, k8s_server, k8s_topology, list_collectors, start_order
from eidos.errors import Timeout
from eidos.model.measurement import WITHHELD, Gap, Subtype
from eidos.model.snapshot import Snapshot

if TYPE_CHECKING:
    from eidos.kube.api_client import KubeClient

Tree = dict[str, Any]


def image(pods: list[Tree]) -> dict[str, Any]:
    images = k8s_image.Images()
    for pod in pods:
        images.add(pod)
    data, context = images.readings()
    return {"data": data, "context": context}


def node(tree: Tree) -> dict[str, Any]:
    data, volatile = k8s_node.node_readings(tree)
    return {"data": data, "volatile": volatile}


def policy(objects: dict[str, list[Tree]]) -> object:
    data: Tree = {}
    gaps = []
    for kind in k8s_policy.KINDS:
        for part in k8s_policy.policy_parts(objects.get(kind.name, []), kind) if kind.name in objects else ():
            if isinstance(part, Subtype):
                assert not data.keys() & part.data.keys(), "nothing overwrites anything"
                data.update(part.data)
            else:
                gaps.append([part.kind, part.what, part.why])
    return {"data": data, "gaps": gaps}


def topology(nodes: list[Tree], **bounds: int) -> Tree:
    result = k8s_topology.Topology()
    for each in nodes:
        result.add(each)
    return dict(result.readings(**bounds))


PARSERS: dict[str, Callable[[Any], object]] = {
    "k8s.image": image,
    "k8s.node": node,
    "k8s.policy": policy,
    "k8s.server": k8s_server.version_readings,
    "k8s.topology": topology,
}


def test_every_collector_of_a_cluster_has_its_cases_and_its_turn() -> None:
    ours = {name for name in list_collectors() if name.startswith("k8s")}
    assert ours == PARSERS.keys()
    assert {name for name in list_collectors() if is_cluster_wide(name)} == ours - {"k8s.node"}
    assert sorted(list_collectors(), key=start_order)[-len(ours) :] == [name for name in list_collectors() if name in ours]


DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("bob:hunter22@shared.example.com:5000/a:1", "shared.example.com:5000/a:1"),
        ("bob:hunter22@sha256.example.com/a", "sha256.example.com/a"),
        ("bob:hunter22@sha256:5000/a", "sha256:5000/a"),
        ("bob:hunter22@sha256:5000", "sha256:5000"),
        (f"bob:hunter22@shark/a@{DIGEST}", f"shark/a@{DIGEST}"),
        (f"bob:hun@ter22@shared/a:1@{DIGEST}", f"shared/a:1@{DIGEST}"),
        (f"shark/a@{DIGEST}", f"shark/a@{DIGEST}"),
        (f"a@{DIGEST.replace('256', '512')}", f"a@{DIGEST.replace('256', '512')}"),
        (f"https://bob:hunter22@shared/a@{DIGEST}?key=hunter22", f"shared/a@{DIGEST}"),
        ("bob:hunter22?x@shared/a", WITHHELD),
        ("shared/a?user=bob@hunter22", WITHHELD),
        ("shared/a:1 password=hunter22", WITHHELD),
        ("shared/a:1;hunter22", WITHHELD),
        ("bob:hun!ter22@shared/a:1", "shared/a:1"),
    ],
)
def test_an_image_is_named_without_a_login(name: str, clean: str) -> None:
    images = k8s_image.Images()
    images.add({"spec": {"containers": [{"name": "x", "image": name}]}})
    assert "hunter22" not in str(images.readings()) and images.with_login == ({clean} - {name})
    assert k8s_image.drop_login(name) == k8s_image.drop_login(clean) == clean


@pytest.mark.parametrize("name", ["[fd00::1]:5000/gpu/driver:1", "[2001:db8::1]/gpu/driver:1"])
def test_an_image_of_a_registry_with_an_ipv6_address_is_shown(name: str) -> None:
    images = k8s_image.Images()
    images.add({"spec": {"containers": [{"name": "x", "image": name}]}})
    assert images.readings()[0] == {"driver": "1", name: k8s_image.NOT_PULLED} and not images.with_login


def test_an_image_with_letters_of_no_reference_is_withheld() -> None:
    assert k8s_image.drop_login("registry.example.com/gpu/drïver:1") == "<withheld>"


def test_a_label_that_may_be_a_secret_is_withheld() -> None:
    labels = {"password": "4711", "key": "", "note": "Zq7kD02mWx91LpTe", "team": "gpu-2", "node": "i-0123456789abcdef0"}
    labels.update({"rack": "row3-rack7-u12", "pool": "pool-x7k2p", "licence": "Zq7k-D02m-Wx91-LpTe"})
    result = k8s_topology.Topology()
    result.add({"metadata": {"name": "a", "labels": {**labels, "oci.example.com/block": "5tjxbt2dwca"}}})
    assert set(result.readings()) == {
        *("nodes", "label.password=<withheld>", "label.note=<withheld>", "label.key=", "label.team=gpu-2"),
        *("label.node=i-0123456789abcdef0", "label.oci.example.com/block=5tjxbt2dwca"),
        *("label.rack=row3-rack7-u12", "label.pool=pool-x7k2p", "label.licence=<withheld>"),
    }
    assert result.withheld == {"password", "note", "licence"}


# -- laws --

references = st.builds(
    lambda registry, folder, name, tag, digest: f"{registry}{folder}{name}{tag}{digest}",
    st.sampled_from(["", "nvcr.io/", "registry.example.com:5000/", "localhost/"]),
    st.sampled_from(["", "nvidia/", "a/b/"]),
    st.sampled_from(["driver", "cuda"]),
    st.sampled_from(["", ":1.2", ":v2"]),
    st.sampled_from(["", "@sha256:aa", "@sha256:bb"]),
)


@given(st.lists(references))
def test_no_image_hides_another_and_their_order_does_not_matter(images: list[str]) -> None:
    pods = [{"spec": {"containers": [{"name": "x", "image": each}]}} for each in images]
    readings = image(pods)
    assert readings == image(pods[::-1])
    data = readings["data"]
    for each in images:
        repository, tag, digest = k8s_image.parse_image_reference(each)
        key = k8s_image.qualify_repository(repository) + (f":{tag or 'latest'}" if tag or not digest else "")
        assert digest in data[key]
        assert repository.rpartition("/")[2] in data


labels = st.dictionaries(st.sampled_from(["a", "b/c", "d"]), st.sampled_from(["", "x", "y", "z"]))
taints = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from("kl"), "value": st.sampled_from(["", "v", "w"]), "effect": st.sampled_from(["E", "F"])}),
    max_size=3,
    unique_by=lambda taint: (taint["key"], taint["effect"]),
)


@given(st.lists(st.tuples(labels, taints), max_size=9))
def test_the_topology_names_exactly_the_nodes_that_have_it(nodes: list[tuple[dict[str, str], list[dict[str, str]]]]) -> None:
    trees = [{"metadata": {"name": f"n{i}", "labels": labels}, "spec": {"taints": taints}} for i, (labels, taints) in enumerate(nodes)]
    readings = topology(trees)
    assert readings.pop("nodes") == len(nodes)
    having: dict[str, set[str]] = {}
    for i, (own, tainted) in enumerate(nodes):
        for key, value in own.items():
            having.setdefault(f"label.{key}={value}", set()).add(f"n{i}")
        for taint in tainted:
            value = f"={taint['value']}" if taint["value"] else ""
            having.setdefault(f"taint.{taint['key']}{value}:{taint['effect']}", set()).add(f"n{i}")
    all_names = {f"n{i}" for i in range(len(nodes))}
    read = {}
    for key, text in readings.items():
        count, _, which = text.partition(": ")
        named = set(which.removeprefix("all but ").split(", "))
        read[key] = all_names if which == "all" else all_names - named if which.startswith("all but ") else named
        assert int(count) == len(read[key])
    assert read == having


def test_the_topology_of_many_nodes_is_bounded_and_still_names_the_odd_one() -> None:
    def named(number: int) -> Tree:
        name = f"ip-10-0-{number // 250}-{number % 250}.us-west-2.compute.internal"
        own = {f"nvidia.com/feature-{i}": "true" for i in range(60)}
        return {"metadata": {"name": name, "labels": {**own, "kubernetes.io/hostname": name, "rack": f"r{number // 30}"}}}

    nodes = [named(number) for number in range(5000)]
    nodes[1717]["metadata"]["labels"]["nvidia.com/feature-7"] = "false"
    readings = topology(nodes)
    assert sum(len(key) + len(str(value)) for key, value in readings.items()) <= k8s_topology.SIZE_LIMIT
    assert readings["label.nvidia.com/feature-7=true"] == "4999: all but ip-10-0-6-217.us-west-2.compute.internal"
    assert readings["label.nvidia.com/feature-6=true"] == "5000: all"
    assert readings["label.kubernetes.io/hostname"] == "5000 values on 5000 nodes"
    assert readings["label.rack"] == "167 values on 5000 nodes"


def test_a_reading_that_names_fewer_says_how_many_more() -> None:
    nodes = [{"metadata": {"name": f"n{i}", "labels": {"half": str(i % 2), "own": f"{i}"}}} for i in range(20)]
    assert topology(nodes)["label.half=1"].count("n") == 10
    small = topology(nodes, limit=400)
    assert small["label.half=1"] == "10: n1, n3, 8 more"
    assert topology(nodes, limit=1) == {"nodes": 20, "label.half": "2 values on 20 nodes", "label.own": "20 values on 20 nodes"}


# -- what a real API server answered --


def kube(shared: Path, name: str) -> Tree:
    tree: Tree = json.loads((shared / "kube" / f"{name}.json").read_text())
    return tree


@pytest.mark.shared
def test_images_of_real_pods(shared: Path) -> None:
    readings = image(kube(shared, "17-pods-all")["items"])
    data = readings["data"]
    assert data["gpu-operator"] == "v25.3.4"
    assert data["docker.io/library/busybox:latest"].startswith("sha256:9d75f0d7")
    assert data["registry.example.com:5000/research/trainer:2025.09.01-rc1"].startswith("sha256:e30c16cb")
    assert data["quay.io/cilium/cilium:v1.17.7"].startswith("sha256:88731849")
    assert data["nvcr.io/nvidia/cuda:13.0.1-base-ubuntu24.04"] == "not pulled"
    assert data["trainer"] == "2025.09.01-rc1"
    local = image([kube(shared, "208-real-pod-privileged")])
    assert local == {
        "data": {
            "py": "bookworm",
            "localhost/py:bookworm": "id sha256:44b11c97e7d2b86ed8edf07396c23f462af2fb3c1dc9c36789dcbe303b66dd92",
        },
        "context": {},
    }


@pytest.mark.shared
def test_real_nodes(shared: Path) -> None:
    nodes = {name: node(kube(shared, name)) for name in ("10-node-ip", "11-node-gke", "12-node-dgx", "201-real-node")}
    data = {name: each["data"] for name, each in nodes.items()}
    assert [each.get("provider") for each in data.values()] == ["eks", "gke", None, None]
    assert data["12-node-dgx"]["allocatable.nvidia.com/gpu"] == "8"
    assert data["10-node-ip"]["taint.nvidia.com/gpu:NoSchedule"] == "true"
    assert data["201-real-node"]["container-runtime-id"] == "containerd://2.2.7"
    text = json.dumps(data)
    assert not [word for word in ("Heartbeat", "resourceVersion", "bootID", "gfd.timestamp") if word in text]


@pytest.mark.shared
def test_policies_are_flattened_as_the_go_program_did(shared: Path) -> None:
    kinds = {kind.name: kind for kind in k8s_policy.KINDS}
    shot = Snapshot.from_tree(yaml.safe_load((shared / "snapshots" / "h100-eks.yaml").read_text()), "h100-eks.yaml")
    (wrote,) = (s for m in shot.measurements if m.type == "K8s" for s in m.subtypes if s.name == "policy")
    (ours,) = (
        p for p in k8s_policy.policy_parts(kube(shared, "26-clusterpolicies")["items"], kinds["ClusterPolicy"]) if isinstance(p, Subtype)
    )
    assert {key.partition(".")[0] for key in ours.data} <= {"status"} | {key.partition(".")[0] for key in wrote.data}
    assert len(ours.data.keys() & wrote.data.keys()) > 120
    assert all(isinstance(value, str) for value in ours.data.values())
    nic = list(k8s_policy.policy_parts(kube(shared, "28-nicclusterpolicies")["items"], kinds["NicClusterPolicy"]))
    assert not [each for each in nic if isinstance(each, Gap)]
    assert isinstance(nic[0], Subtype)
    assert nic[0].data["nicclusterpolicy/nic-cluster-policy/ibKubernetes.ufmSecret"] == "ufm-secret"


class ManyNodes:
    """A cluster of a million nodes, in which every tenth has the name that is looked for, as far as its time allows."""

    def __init__(self, seconds: float, *, fails_at: int = 0) -> None:
        self.deadline, self.count, self.fails_at = time.monotonic() + seconds, 0, fails_at

    def list_objects(self, path: str) -> Iterator[dict[str, Any]]:
        for number in range(1_000_000):
            self.count += 1
            if self.count == self.fails_at:
                raise Timeout("too late")
            yield {"metadata": {"name": f"gpu-7.{number}.example.com" if number % 10 == 0 else f"a-{number}"}}


def test_the_search_for_a_similar_name_is_bounded_and_keeps_what_it_has() -> None:
    for cluster, count, similar in ((ManyNodes(60.0), 5001, 500), (ManyNodes(-1.0), 1, 0), (ManyNodes(60.0, fails_at=102), 102, 11)):
        assert len(k8s_node._similar_nodes(cast("KubeClient", cluster), ["GPU-7"])) == similar
        assert cluster.count == count
