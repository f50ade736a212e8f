"""Manifests as trees: names, rights, mounts, command lines, and what makes two runs strangers to each other."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eidos.archive.purposes import AGENT
from eidos.collectors import Sources, list_collectors, load_collector
from eidos.errors import EidosError, InvalidInput
from eidos.files.host import Host
from eidos.kube.labels import check_dns_subdomain
from eidos.manifest import (
    AgentOptions,
    ServerOptions,
    agent_manifest,
    agent_manifests,
    explain_privileges,
    manifest_notes,
    payload,
    server_manifests,
)
from eidos.manifest.kubernetes_fields import (
    check_cdi_device,
    check_host_path,
    check_image,
    check_ingress_host,
    check_memory,
    check_schedule,
    parse_memory,
)
from eidos.manifest.manifest_template import ManifestTemplate, merge_pieces, read_template
from eidos.model.measurement import Subtype
from eidos.model.record import replace
from eidos.nvidia import driver_files
from tests.conftest import ROOT
from tests.support.manifests import AGENTS, PROGRAM, SERVERS, archive, everything, of_kind, templates

ALL = dict(everything())


def rules(trees: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    """Kind of the role, group, resource, verb of every right."""
    return {
        (tree["kind"], group, resource, verb)
        for tree in of_kind(trees, "Role", "ClusterRole")
        for rule in tree["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_facts_are_the_collectors() -> None:
    assert set(read_template("agent")["facts"]) == set(list_collectors())


@pytest.mark.parametrize("name", ALL)
def test_names_are_names_and_labels_are_labels(name: str) -> None:
    keys = set()
    for tree in ALL[name]:
        meta = tree["metadata"]
        key = tree["kind"], meta.get("namespace"), meta["name"]
        assert key not in keys, key
        keys.add(key)
        assert len(meta["name"]) <= {"CronJob": 52}.get(tree["kind"], 63)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", meta["name"])
        if tree["kind"] != "Namespace":
            assert {"name", "instance", "version", "component", "part-of", "managed-by"} <= {
                key.partition("/")[2] for key in meta["labels"] if key.startswith("app.kubernetes.io/")
            }
        for labels in [meta["labels"], *(pod["metadata"]["labels"] for pod in templates([tree]))]:
            for value in labels.values():
                assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value) and len(value) < 64, labels
        if tree["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert meta["namespace"]
    assert "@{" not in json.dumps(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_every_container_is_bounded_and_needs_no_shell(name: str) -> None:
    for pod in templates(ALL[name]):
        spec = pod["spec"]
        assert spec["enableServiceLinks"] is False
        for container in spec["containers"]:
            for kind in ("requests", "limits"):
                assert set(container["resources"][kind]) == {"cpu", "memory"}
            assert parse_memory(container["resources"]["limits"]["memory"]) >= parse_memory(container["resources"]["requests"]["memory"])
            words = container["command"] + container["args"]
            assert container["command"] in (["python3", "-I", "/opt/eidos/eidos.pyz"], []), "an image brings its own"
            assert not {"sh", "bash", "-c", "/bin/sh"} & set(words) and all(isinstance(word, str) for word in words)
            assert not [word for word in words if re.search(r"[;&|`<>]|\$(?!\(NODE_NAME\))", word)]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in spec["volumes"]}
            assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(container["volumeMounts"])


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("agent")])
def test_the_host_is_read_only_and_nothing_is_shared_unasked(name: str) -> None:
    options = AGENTS[name.removeprefix("agent-")]
    for pod in templates(ALL[name]):
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        for flag in ("hostNetwork", "hostIPC", "hostPID"):
            assert spec.get(flag, False) is (flag.lower().replace("host", "host-") in options.rights)
        security = container["securityContext"]
        assert security.get("privileged", False) is ("privileged" in options.rights)
        assert security["capabilities"] == {"drop": ["ALL"]} and security["readOnlyRootFilesystem"] is True
        paths = {volume["name"]: volume["hostPath"] for volume in spec["volumes"] if "hostPath" in volume}
        for mount in container["volumeMounts"]:
            if mount["name"] in paths:
                there = paths[mount["name"]]
                assert mount["readOnly"] is True
                assert there["type"] in ("Directory", "File"), "no other type leaves a host as it is that has no such path"
                if mount["name"] != "program":
                    assert mount["mountPath"] == "/host" + there["path"]
                if there["type"] == "Directory" and options.kubernetes_minor >= 30 and "mountPropagation" not in mount:
                    assert mount["recursiveReadOnly"] == "IfPossible"
        assert container["resources"]["requests"] == {"cpu": "50m", "memory": "64Mi"}
        environment = {each["name"]: each for each in container["env"]}
        assert environment["NODE_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
        writable = next(mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly"))
        assert all(environment[name]["value"].startswith(writable) for name in ("HOME", "XDG_CACHE_HOME"))


def test_usual_mounts_are_those_of_the_usual_facts() -> None:
    pod = next(templates(agent_manifests(AGENTS["plain"])))
    paths = {volume["hostPath"]["path"] for volume in pod["spec"]["volumes"] if "hostPath" in volume}
    assert paths == {"/proc", "/sys", "/lib", "/etc/os-release", "/run/dbus", "/run/systemd"}
    facts = read_template("agent")["facts"]
    others = tuple(name for name in facts if not name.startswith("k8s.") and set(facts[name].get("mounts", ())) - {"proc"})
    pod = next(templates(agent_manifests(replace(AGENTS["plain"], without=others))))
    assert {volume["hostPath"]["path"] for volume in pod["spec"]["volumes"] if "hostPath" in volume} == {"/proc"}
    assert f"--skip={','.join(others)}" in pod["spec"]["containers"][0]["args"]
    assert "runtimeClassName" not in pod["spec"]


def test_folders_with_keys_are_mounted_on_request_only_and_show_what_is_configured(tmp_path: Path) -> None:
    pod = next(templates(agent_manifests(AGENTS["host-files"])))
    paths = {volume["hostPath"]["path"] for volume in pod["spec"]["volumes"] if "hostPath" in volume}
    assert paths == {"/proc", "/sys", "/lib", "/run/dbus", "/run/systemd", "/etc", "/usr", "/boot", "/var/lib"}
    assert not any(one != other and one.startswith(f"{other}/") for one in paths for other in paths), "none is inside another"
    host = ROOT / "tests/hosts/rhel-9"
    for path in paths:
        if (host / path[1:]).exists():
            shutil.copytree(host / path[1:], tmp_path / path[1:], symlinks=True)
    for name in ("os.packages", "os.kubelet", "os.boot", "os.release", "os.limits"):
        mounted, complete = (
            [part for part in load_collector(name)(Sources(Host(str(root)))) if isinstance(part, Subtype)] for root in (tmp_path, host)
        )
        assert mounted == complete != [], name
    assert any("volumes of all Pods" in note for note in manifest_notes(AGENTS["host-files"]))
    assert not any("volumes of all Pods" in note for note in manifest_notes(AGENTS["plain"]))
    only = next(templates(agent_manifests(replace(AGENTS["host-files"], without=("os", "systemd")))))
    assert {volume["hostPath"]["path"] for volume in only["spec"]["volumes"] if "hostPath" in volume} == {"/proc", "/sys"}


def test_a_root_is_named_where_something_is_mounted_below_it() -> None:
    for without, roots in (((), 1), (("systemd",), 1), (("os", "systemd", "gpu"), 0)):
        pod = next(templates(agent_manifests(replace(AGENTS["plain"], without=without))))
        (container,) = pod["spec"]["containers"]
        assert container["args"].count("--root=/host") == roots
        assert any(mount["mountPath"].startswith("/host") for mount in container["volumeMounts"]) == bool(roots)
    with pytest.raises(InvalidInput, match="--without excludes every collector"):
        agent_manifests(replace(AGENTS["plain"], without=("os", "systemd", "gpu", "k8s")))


def test_the_notes_warn_of_the_message_bus() -> None:
    for without, is_warned in (((), True), (("systemd",), False)):
        options = replace(AGENTS["plain"], without=without)
        assert any("message bus" in note and "root on its nodes" in note for note in manifest_notes(options)) == is_warned
    assert not any("/run/dbus, read-only" in row["needs"] for row in explain_privileges(AGENTS["plain"]))


def test_rights_are_few_and_go_with_the_facts() -> None:
    usual = rules(agent_manifests(AGENTS["plain"]))
    policies = ("clusterpolicies", "gpuclusters", "nvidiadrivers")
    assert usual == {
        ("ClusterRole", "", "nodes", "get"),
        ("ClusterRole", "", "nodes", "list"),
        ("ClusterRole", "", "pods", "list"),
        *(("ClusterRole", "nvidia.com", policy, "list") for policy in policies),
        ("ClusterRole", "mellanox.com", "nicclusterpolicies", "list"),
        *(("Role", "", "configmaps", verb) for verb in ("get", "create", "patch")),
    }
    only_node = replace(AGENTS["plain"], without=("k8s.server", "k8s.image", "k8s.policy", "k8s.topology"))
    assert {right for right in rules(agent_manifests(only_node)) if right[0] == "ClusterRole"} == {("ClusterRole", "", "nodes", "get")}
    assert not of_kind(agent_manifests(AGENTS["fleet"]), "ClusterRole", "ClusterRoleBinding"), "nothing of the cluster is read"
    secret = agent_manifests(AGENTS["secret"])
    assert {right[2] for right in rules(secret) if right[0] == "Role"} == {"secrets"}
    assert {tree["metadata"]["namespace"] for tree in of_kind(secret, "Role", "RoleBinding")} == {"vault"}
    assert of_kind(secret, "RoleBinding")[0]["subjects"][0]["namespace"] == "eidos"
    assert not rules(server_manifests(SERVERS["monitored"])), "the server needs none"


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("agent")])
def test_bindings_bind_what_there_is(name: str) -> None:
    trees = ALL[name]
    there = {(tree["kind"], tree["metadata"].get("namespace"), tree["metadata"]["name"]) for tree in trees}
    for binding in of_kind(trees, "RoleBinding", "ClusterRoleBinding"):
        reference = binding["roleRef"]
        assert (reference["kind"], binding["metadata"].get("namespace"), reference["name"]) in there
        assert [("ServiceAccount", subject["namespace"], subject["name"]) in there for subject in binding["subjects"]] == [True]
    for pod in templates(trees):
        assert ("ServiceAccount", "eidos", pod["spec"]["serviceAccountName"]) in there


def test_jobs_are_pinned_one_to_each_node() -> None:
    nodes = ("gpu-01", "gpu-01.example.com", "x" * 60 + ".example.com", "y" * 63)
    trees = agent_manifests(replace(AGENTS["nodes"], nodes=nodes))
    jobs = trees[-len(nodes) :]
    assert [job["kind"] for job in jobs] == ["Job"] * len(nodes) and len({job["metadata"]["name"] for job in jobs}) == len(nodes)
    for node, job in zip(nodes, jobs):
        terms = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert terms == {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]}
        assert job["metadata"]["annotations"]["eidos.dgxc.io/node"] == node
        assert {"operator": "Exists"} in job["spec"]["template"]["spec"]["tolerations"]
        assert "--output=cm://eidos/eidos-$(NODE_NAME)" in job["spec"]["template"]["spec"]["containers"][0]["args"]
    kinds = [tree["kind"] for tree in trees]
    assert kinds == ["Namespace", "ConfigMap", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] + ["Job"] * 4


def test_two_runs_have_nothing_in_common() -> None:
    def names_of(run: str) -> set[str]:
        trees = agent_manifests(AgentOptions(program=PROGRAM, nodes=("gpu-01",), run=run))
        outputs = {word for pod in templates(trees) for word in pod["spec"]["containers"][0]["args"] if word.startswith("--output")}
        return outputs | {f"{tree['kind']} {tree['metadata']['name']}" for tree in trees}

    assert not names_of("a") & names_of("b")
    trees = agent_manifests(AgentOptions(program=PROGRAM, nodes=("gpu-01",), run="a"))
    assert {tree["metadata"]["labels"]["eidos.dgxc.io/run"] for tree in trees} == {"a"}
    assert [pod["metadata"]["labels"]["eidos.dgxc.io/run"] for pod in templates(trees)] == ["a"]
    with pytest.raises(InvalidInput, match="invalid run 'A b'"):
        agent_manifests(AgentOptions(program=PROGRAM, run="A b"))


def test_options_are_not_changed() -> None:
    for name, options in AGENTS.items():
        assert agent_manifests(options) == ALL[f"agent-{name}"]
    for name, other in SERVERS.items():
        assert server_manifests(other) == ALL[f"server-{name}"]


def test_agents_that_cannot_be() -> None:
    with pytest.raises(InvalidInput, match="only a privileged container"):
        agent_manifests(replace(AGENTS["driver-root"], rights=()))
    with pytest.raises(InvalidInput, match="2 Jobs would overwrite the same document"):
        agent_manifests(replace(AGENTS["fleet"], output="cm://eidos/one"))
    for output in ("cm://eidos", "file:///x", "cm:///x", "secret://Eidos/x", "cm://eidos/a b"):
        with pytest.raises(InvalidInput):
            agent_manifests(replace(AGENTS["plain"], output=output))
    with pytest.raises(InvalidInput, match=r"invalid value 'k8s\.nod'; expected") as caught:
        agent_manifests(replace(AGENTS["plain"], without=("k8s.nod",)))
    assert caught.value.hint == "did you mean 'k8s.node'?"


def test_servers_that_cannot_be() -> None:
    with pytest.raises(InvalidInput, match="hostpath"):
        server_manifests(ServerOptions(delivery="hostpath", program="/opt/eidos.pyz"))
    with pytest.raises(InvalidInput, match="ingress-class"):
        server_manifests(ServerOptions(program=PROGRAM, ingress_class="nginx"))
    with pytest.raises(InvalidInput, match="not an http or https URL"):
        server_manifests(ServerOptions(program=PROGRAM, otlp="nowhere"))


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("server")])
def test_every_object_of_a_server_has_one_name(name: str) -> None:
    trees = ALL[name]
    assert {tree["metadata"]["name"].removesuffix("-adapter").removesuffix("-dashboard") for tree in trees} - {"eidos-server"} == {
        "eidos-api-server"
    }
    deployment, service, budget, policy = (
        of_kind(trees, kind)[0] for kind in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")
    )
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
        policy["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]),
    ):
        assert selector.items() <= labels.items()
    assert deployment["spec"]["replicas"] == 2 == of_kind(trees, "HorizontalPodAutoscaler")[0]["spec"]["minReplicas"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert [port["name"] for port in container["ports"]] == ["http"] == [service["spec"]["ports"][0]["targetPort"]]
    probes = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}


def test_a_file_that_is_read_while_the_server_runs_stays_the_same() -> None:
    """The ConfigMap has one name for all versions, and the kubelet renews a volume under a Pod, but not what is mounted by subPath."""
    for name, options in SERVERS.items():
        spec = next(templates(ALL[f"server-{name}"]))["spec"]
        renewed = {volume["name"]: volume["configMap"] for volume in spec["volumes"] if "configMap" in volume}
        mounts = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] in renewed]
        assert len(mounts) == (options.delivery == "configmap")
        for mount in mounts:
            assert (mount["mountPath"], mount["subPath"]) == (spec["containers"][0]["command"][-1], "eidos.pyz")


def test_a_pod_of_the_server_has_the_time_that_it_needs_to_leave() -> None:
    from eidos.cli import serve
    from eidos.cli.arguments import parse_arguments
    from eidos.cli.user_config import resolve_options

    for name in SERVERS:
        spec = next(templates(ALL[f"server-{name}"]))["spec"]
        verb, *flags = spec["containers"][0]["args"]
        assert verb == "serve"
        arguments = parse_arguments(flags, serve.VERB.options)
        assert not arguments.unknown and not arguments.operands and not arguments.incomplete
        settings = serve.settings_of(resolve_options(serve.VERB.options, arguments.flags, {}))
        assert settings.drain_delay > 5 and settings.port == 8080 and settings.trust_proxy == (name == "ingress")
        assert spec["terminationGracePeriodSeconds"] > settings.drain_delay + settings.drain_timeout + settings.idle_grace


def test_the_agents_flags_are_flags_of_snapshot() -> None:
    from eidos.cli import snapshot
    from eidos.cli.arguments import parse_arguments
    from eidos.cli.user_config import resolve_options

    for name, options in AGENTS.items():
        for pod in templates(ALL[f"agent-{name}"]) if not options.watch else ():
            verb, *flags = pod["spec"]["containers"][0]["args"]
            arguments = parse_arguments(flags, snapshot.VERB.options)
            assert verb == "snapshot" and not arguments.unknown and not arguments.operands and not arguments.incomplete
            values = resolve_options(snapshot.VERB.options, arguments.flags, {})
            assert values["root"] == "/host" and values["timeout"] == 60


def test_every_route_but_the_metrics_is_reachable_from_outside() -> None:
    from eidos.server.routes import ROUTES

    rule = of_kind(ALL["server-ingress"], "Ingress")[0]["spec"]["rules"][0]["http"]

    def leads(to: str, path: str, kind: str) -> bool:
        return to == path or (kind == "Prefix" and to.startswith(f"{path}/"))  # by elements (IngressRule's pathType)

    reached = {route.path for route in ROUTES.values() if any(leads(route.path, row["path"], row["pathType"]) for row in rule["paths"])}
    assert {route.path for route in ROUTES.values()} - reached == {"/metrics"}
    plain = re.compile("/[A-Za-z0-9_/-]*")  # strict-validate-path-type of ingress-nginx, on by default from 1.12
    assert all(plain.fullmatch(row["path"]) for row in rule["paths"] if row["pathType"] != "ImplementationSpecific")


def test_scaling_by_requests_has_its_rule() -> None:
    assert [metric["type"] for metric in of_kind(ALL["server-plain"], "HorizontalPodAutoscaler")[0]["spec"]["metrics"]] == [
        "ContainerResource"
    ]
    trees = ALL["server-monitored"]
    metric = of_kind(trees, "HorizontalPodAutoscaler")[0]["spec"]["metrics"][1]["pods"]["metric"]["name"]
    import yaml

    rule = yaml.safe_load(next(tree for tree in trees if tree["metadata"]["name"].endswith("-adapter"))["data"]["config.yaml"])["rules"][0]
    series = rule["seriesQuery"].partition("{")[0]
    assert re.sub(rule["name"]["matches"], rule["name"]["as"].replace("${1}", r"\1"), series) == metric


def test_a_sidecar_that_requests_no_cpu_does_not_prevent_scaling() -> None:
    """Utilization is relative to what is requested, and of a whole Pod it is unknown when one container requests nothing, as Linkerd's."""
    for name in SERVERS:
        (container,) = next(templates(ALL[f"server-{name}"]))["spec"]["containers"]
        for metric in of_kind(ALL[f"server-{name}"], "HorizontalPodAutoscaler")[0]["spec"]["metrics"]:
            if metric["type"] != "Pods":
                measured = metric["containerResource"]
                assert measured["container"] == container["name"] and measured["name"] in container["resources"]["requests"]


def test_egress_is_limited_to_the_collector_of_traces_and_the_mesh() -> None:
    def ports(name: str) -> list[int]:
        policy = of_kind(ALL[f"server-{name}"], "NetworkPolicy")[0]["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        return [port["port"] for rule in policy["egress"] for port in rule.get("ports", ())]

    assert ports("plain") == [] and ports("istio") == [53, 53, 4318] and ports("linkerd") == [53, 53]


def test_agents_of_two_namespaces_that_write_into_one_keep_their_rights() -> None:
    identities = set()
    for namespace in ("eidos", "other"):
        trees = agent_manifests(replace(AGENTS["plain"], namespace=namespace, output="cm://facts/node-{node}"))
        (role,), (binding,) = of_kind(trees, "Role"), of_kind(trees, "RoleBinding")
        assert {tree["metadata"]["namespace"] for tree in (role, binding)} == {"facts"}
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        identities.add((role["metadata"]["name"], binding["metadata"]["name"], binding["subjects"][0]["namespace"]))
    assert len({names[:2] for names in identities}) == 2


def test_the_explanation_matches_the_manifests() -> None:
    rows = explain_privileges(AGENTS["plain"])
    assert {row["fact"] for row in rows} == {*read_template("agent")["facts"], "the document"}
    flags = {row["flag"] for row in rows if not row["given"]} - {""}
    assert flags == {
        "--host-network",
        "--host-ipc",
        "--host-pid",
        "--host-files",
        "--unconfined",
        "--privileged",
        "--gpu cdi",
        "--gpu driver-root",
    }
    unmounted = {row["fact"] for row in rows if not row["given"] and not row["flag"]}
    assert unmounted == {"os.storage", "os.runtime"}, "no flag mounts the root or the sockets in /run"
    missing = {row["flag"] for row in explain_privileges(AGENTS["rights"]) if not row["given"]} - {""}
    assert missing == {"--privileged", "--host-files", "--gpu cdi", "--gpu driver-root"}
    read = {row["fact"] for row in explain_privileges(AGENTS["host-files"]) if row["flag"] == "--host-files" and row["given"]}
    assert read == {name for name, needs in read_template("agent")["facts"].items() if needs.keys() == {"host-files"}}
    assert not any(row["given"] for row in explain_privileges(AGENTS["fleet"]) if row["fact"].startswith("k8s."))
    left_out = [row for row in explain_privileges(replace(AGENTS["plain"], without=("systemd",))) if row["fact"] == "systemd"]
    assert left_out and not [row for row in left_out if row["given"] or row["flag"]]
    assert {right for right in read_template("agent")["parts"] if right.startswith("host-")} == {
        "host-network",
        "host-ipc",
        "host-pid",
        "host-files",
    }
    assert "get, create, patch secrets in vault" in {row["needs"] for row in explain_privileges(AGENTS["secret"])}


def test_the_notes_match_the_options() -> None:
    def notes(options: AgentOptions | ServerOptions) -> str:
        return "\n".join(manifest_notes(options))

    assert "enforce=privileged" in notes(AGENTS["plain"]) and "must exist" in notes(AGENTS["plain"])
    assert "is created with the label" in notes(AGENTS["nodes"])
    assert "server-side" in notes(AGENTS["plain"])
    assert "a node without that runtime starts no such Pod" in notes(AGENTS["plain"]) and "runtime" not in notes(AGENTS["cdi"])
    assert "kubectl delete job --namespace eidos" in notes(AGENTS["plain"]) and "delete job" not in notes(AGENTS["nightly"])
    assert "to port 4318 and no other" in notes(SERVERS["istio"]) and "Traces" not in notes(SERVERS["plain"])
    assert "rules.custom" in notes(SERVERS["monitored"])
    assert "leave spec.replicas of the Deployment out" in notes(SERVERS["plain"])
    assert "Secret eidos-api-server-tls" in notes(SERVERS["linkerd"]) and "Secret" not in notes(SERVERS["ingress"])
    all_options: list[AgentOptions | ServerOptions] = [*AGENTS.values(), *SERVERS.values()]
    assert not [options for options in all_options if "@{" in notes(options)]


def test_pieces() -> None:
    pieces = ManifestTemplate("agent", [], {"name": "x"})
    with pytest.raises(EidosError, match="undefined variable 'namespace'"):
        pieces.render("account")
    assert merge_pieces({"a": {"b": [1]}}, {"a": {"b": [2], "c": None}}) == {"a": {"b": [1, 2], "c": None}}


def test_every_placeholder_and_every_part_is_used() -> None:
    for name, trees in (("agent", AGENTS), ("server", SERVERS)):
        parts: set[str] = set()
        for options in trees.values():
            if isinstance(options, ServerOptions):
                from eidos.manifest import server_manifest

                parts.update(server_manifest.required_parts(options))
            else:
                parts.update(agent_manifest.required_parts(options, agent_manifest.selected_facts(options)))
        unused = set(read_template(name)["parts"]) - parts
        assert unused <= {"gpu-none"}, unused


GOOD: dict[Callable[[str], str], list[str]] = {
    check_schedule: [
        "0 3 * * *",
        "*/15 0-6,22 1 jan-mar sun",
        "@daily",
        "5 4 ? * *",
        "0  0 * * *",
        "0 0 29 2 *",
        "0 0 30 1-2 *",
        "0 0 31 2 mon",
    ],
    check_image: ["python", "python:3.12", "localhost/x", "a.example.com:5000/b/c_d:v1", "x@sha256:" + "a" * 64],
    check_memory: ["64Mi", "1Gi", "100M", "268435456"],
    check_dns_subdomain: ["a", "gpu-01", "a.b-c.d", "10.0.0.1"],
    check_ingress_host: ["eidos.example.com", "*.example.com"],
    check_cdi_device: ["nvidia.com/gpu=all", "nvidia.com/gpu=0:1", "management.nvidia.com/gpu=GPU-1a2b"],
    check_host_path: ["/opt/eidos.pyz", "/a b/c"],
}

BAD: dict[Callable[[str], str], list[str]] = {
    check_schedule: [
        *("", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "*/0 * * * *", "5-2 * * * *", "@dayly"),
        *("a * * * *", "1,,2 * * * *", "*-3 * * * *", "1-2-3 * * * *", "*/-1 * * * *", "٣ * * * *", "1/2/3 * * * *"),
        *("0 0 30 2 *", "0 0 31 4,jun *", "0 0 31 4/5 *", "0 0 30/1 feb ?"),
    ],
    check_image: [
        "",
        "Python",
        "a b",
        "python:",
        "python:-x",
        "x@sha256:abc",
        "x@sha256:" + "g" * 64,
        "a//b",
        "https://x/y",
        "x\ny",
        "-x",
    ],
    check_memory: ["", "Mi", "1Ti", "0", "0Gi", "1025Gi", "-1Gi", "1.5Gi", "1 Gi", "٦٤Mi", "9" * 20],
    check_dns_subdomain: ["", "A", "-a", "a-", "a..b", "a_b", "x" * 254, "a\n", "é"],
    check_cdi_device: [
        "",
        "all",
        "x=all",
        "nvidia.com/gpu=",
        "=x",
        "nvidia.com/=all",
        "/gpu=all",
        "1.com/gpu=all",
        "a/b/c=d",
        "a/b=c=d",
    ],
    check_ingress_host: ["", "10.0.0.1", "example.com:80", "*", "*.*.example.com", "Example.com", "a b", "https://x"],
    check_host_path: ["", "eidos.pyz", "/a/../b", "/a/", "/a\nb", "/a:b"],
}


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in GOOD.items() for text in texts])
def test_what_kubernetes_takes(check: Callable[[str], str], text: str) -> None:
    assert check(text)


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in BAD.items() for text in texts])
def test_what_kubernetes_does_not_take(check: Callable[[str], str], text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(text)
    assert repr(text) in caught.value.message and caught.value.hint


def test_the_file_that_travels_is_that_for_agents(pyz: Path, agent_pyz: Path, server_pyz: Path, tmp_path: Path) -> None:
    content = payload.read_program(str(pyz), AGENT)
    assert content == agent_pyz.read_bytes() == payload.read_program(str(agent_pyz), AGENT) == payload.read_program(str(server_pyz), AGENT)
    trees = agent_manifests(AgentOptions(program=content))
    carried = base64.b64decode(of_kind(trees, "ConfigMap")[0]["binaryData"]["eidos.pyz"])
    file = tmp_path / "eidos.pyz"
    file.write_bytes(carried)
    done = subprocess.run([sys.executable, "-I", str(file), "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("eidos ")


def test_files_that_cannot_travel(tmp_path: Path) -> None:
    for content, reason in ((b"", "is not eidos"), (b"PK\3\4 not a zip", "is not eidos")):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(InvalidInput, match=reason):
            payload.read_program(str(tmp_path / "x"), AGENT)
    import zipfile

    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a", "b")
    with pytest.raises(InvalidInput, match="but not eidos"):
        payload.read_program(str(tmp_path / "other.zip"), AGENT)
    with zipfile.ZipFile(tmp_path / "large.pyz", "w") as large:
        large.writestr("eidos/archive/packs.py", "x" * (2 << 20))
    with pytest.raises(InvalidInput, match="a ConfigMap holds"):
        payload.read_program(str(tmp_path / "large.pyz"), AGENT)
    with pytest.raises(EidosError, match="no such file"):
        payload.read_program(str(tmp_path / "none"), AGENT)
    with pytest.raises(EidosError, match="is a directory"):
        payload.read_program(str(tmp_path), AGENT)
    content = payload.read_program(str(archive(tmp_path / "a", "bytecode/cpython-312", "__main__.pyc")), AGENT)
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["eidos/archive/packs.py"]


class Mounted(Host):
    """A host whose files are mounted somewhere, with its own kernel's ``/proc``."""

    @property
    def is_running_system(self) -> bool:
        """It is the running kernel's."""
        return True


def test_a_library_that_the_container_runtime_puts_beside_the_hosts_files_is_used(tmp_path: Path) -> None:
    """A runtime class, or CDI, gives the container the driver's library; what is mounted of the host has none."""
    (tmp_path / "host").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libnvidia-ml.so.1").touch()
    environ = {"LD_LIBRARY_PATH": str(tmp_path / "lib")}
    assert driver_files.find_driver(Mounted(str(tmp_path / "host")), environ).libraries == ("libnvidia-ml.so.1",)
    assert driver_files.find_driver(Mounted(str(tmp_path / "host")), {}).libraries in ((), ("libnvidia-ml.so.1",)), (
        "unless this machine has one"
    )
    assert driver_files.find_driver(Host(str(tmp_path / "host")), environ).libraries == (), (
        "a captured tree has nothing to do with this machine"
    )
