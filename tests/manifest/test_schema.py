"""Manifests before the schemas of a real API server, with no field too many, and before the pod security standards.

The schemas lie beside the repository. Custom resources are of projects whose definitions do not; what of them is written here is held
against the fields that their documentation names.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from eidos.manifest import ServerOptions, agent_manifests, server_manifests
from tests.bundle.test_crds import closed
from tests.support.manifests import AGENTS, PROGRAM, SERVERS, everything, of_kind, templates

ALL = dict(everything())

Pod = dict[str, Any]

#: Custom resources: kind → apiVersion and the fields of its spec (documentation of the Prometheus Operator, cert-manager and Istio).
CUSTOM = {
    "ServiceMonitor": ("monitoring.coreos.com/v1", {"selector", "endpoints"}),
    "PodMonitor": ("monitoring.coreos.com/v1", {"selector", "podMetricsEndpoints"}),
    "PrometheusRule": ("monitoring.coreos.com/v1", {"groups"}),
    "Certificate": ("cert-manager.io/v1", {"secretName", "dnsNames", "usages", "privateKey", "issuerRef"}),
    "PeerAuthentication": ("security.istio.io/v1", {"selector", "mtls"}),
    "DestinationRule": ("networking.istio.io/v1", {"host", "trafficPolicy"}),
    "VirtualService": ("networking.istio.io/v1", {"hosts", "http"}),
}


@pytest.fixture(scope="session")
def validators(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], list[str]]:
    """What is wrong with a manifest, as the API server's own schemas see it."""
    folder = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "fixtures" / "kube" / "openapi"
    if not folder.is_dir():
        pytest.skip(f"needs the fixtures beside the repository, {folder}")
    schemas: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        schemas.update(json.loads(path.read_text(encoding="utf-8"))["components"]["schemas"])
    kinds = {
        (each["group"], each["version"], each["kind"]): name
        for name, schema in schemas.items()
        for each in schema.get("x-kubernetes-group-version-kind", ())
    }
    definitions = {"components": {"schemas": closed(schemas)}}

    def faults(tree: dict[str, Any]) -> list[str]:
        group, _, version = tree["apiVersion"].rpartition("/")
        name = kinds[group, version, tree["kind"]]
        schema = {"$ref": f"#/components/schemas/{name}", **definitions}
        errors = jsonschema.Draft202012Validator(schema).iter_errors(tree)
        return [f"{tree['kind']} {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]

    return faults


@pytest.mark.shared
@pytest.mark.parametrize("name", ALL)
def test_manifests_are_as_the_api_has_them(name: str, validators: Callable[[dict[str, Any]], list[str]]) -> None:
    checked = 0
    for tree in ALL[name]:
        if tree["kind"] in CUSTOM:
            version, fields = CUSTOM[tree["kind"]]
            assert tree["apiVersion"] == version and set(tree["spec"]) == fields
            continue
        assert validators(tree) == []
        checked += 1
    assert checked > 4


@pytest.mark.shared
def test_a_field_too_many_is_reported(validators: Callable[[dict[str, Any]], list[str]]) -> None:
    tree = copy.deepcopy(of_kind(ALL["agent-plain"], "Job")[0])
    tree["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    tree["spec"]["backoffLimit"] = "0"
    assert len(validators(tree)) == 2


#: Volumes that the restricted standard allows.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}

#: Capabilities and SELinux types of the baseline, and the one that the restricted standard leaves.
BASELINE = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
}


def baseline(template: Pod) -> Iterator[str]:
    """What the baseline standard forbids (Kubernetes documentation, "Pod Security Standards", Baseline; each control in its order)."""
    spec = template["spec"]
    containers = [*spec.get("initContainers", ()), *spec["containers"], *spec.get("ephemeralContainers", ())]
    contexts = [spec.get("securityContext", {}), *(each.get("securityContext", {}) for each in containers)]
    if any(context.get("windowsOptions", {}).get("hostProcess") for context in contexts):
        yield "HostProcess"
    if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "Host Namespaces"
    if any(context.get("privileged") for context in contexts):
        yield "Privileged Containers"
    if any(set(context.get("capabilities", {}).get("add", ())) - BASELINE for context in contexts):
        yield "Capabilities"
    if any("hostPath" in volume for volume in spec.get("volumes", ())):
        yield "HostPath Volumes"
    if any(port.get("hostPort") for each in containers for port in each.get("ports", ())):
        yield "Host Ports"
    probes = [each[name] for each in containers for name in ("livenessProbe", "readinessProbe", "startupProbe") if name in each]
    probes += [each["lifecycle"][name] for each in containers for name in each.get("lifecycle", ())]
    if any(probe.get(kind, {}).get("host") for probe in probes for kind in ("httpGet", "tcpSocket")):
        yield "Host Probes / Lifecycle Hooks"
    named = [
        value for key, value in (template["metadata"].get("annotations") or {}).items() if key.startswith("container.apparmor.security")
    ]
    if any(context.get("appArmorProfile", {}).get("type") == "Unconfined" for context in contexts) or "unconfined" in named:
        yield "AppArmor"
    labels = [context.get("seLinuxOptions", {}) for context in contexts]
    if any(label.get("type", "") not in SELINUX or label.get("user") or label.get("role") for label in labels):
        yield "SELinux"
    if any(context.get("procMount", "Default") != "Default" for context in contexts):
        yield "/proc Mount Type"
    if any(context.get("seccompProfile", {}).get("type") == "Unconfined" for context in contexts):
        yield "Seccomp"
    if any(each["name"] not in SYSCTLS for each in spec.get("securityContext", {}).get("sysctls", ())):
        yield "Sysctls"


def restricted(template: Pod) -> Iterator[str]:
    """What the restricted standard forbids besides (the same page, Restricted)."""
    yield from baseline(template)
    spec = template["spec"]
    pod = spec.get("securityContext", {})
    containers = [*spec.get("initContainers", ()), *spec["containers"], *spec.get("ephemeralContainers", ())]
    contexts = [each.get("securityContext", {}) for each in containers]
    if any(not (set(volume) - {"name"}) <= VOLUMES for volume in spec.get("volumes", ())):
        yield "Volume Types"
    if any(context.get("allowPrivilegeEscalation") is not False for context in contexts):
        yield "Privilege Escalation"
    if any(context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True for context in contexts):
        yield "Running as Non-root"
    if any(context.get("runAsUser") == 0 for context in (pod, *contexts)):
        yield "Running as Non-root user"
    kinds = {context.get("seccompProfile", pod.get("seccompProfile", {})).get("type") for context in contexts}
    if not kinds <= {"RuntimeDefault", "Localhost"}:
        yield "Seccomp (restricted)"
    for context in contexts:
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
            yield "Capabilities (restricted)"


@pytest.mark.parametrize("name", SERVERS)
def test_the_server_keeps_to_the_restricted_standard(name: str) -> None:
    (template,) = templates(ALL[f"server-{name}"])
    assert list(restricted(template)) == []
    spec = template["spec"]
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False
    assert ("appArmorProfile" in spec["securityContext"]) is (SERVERS[name].kubernetes_minor >= 30)


def test_apparmor_can_be_left_to_the_runtime() -> None:
    (template,) = templates(server_manifests(ServerOptions(program=PROGRAM, apparmor=False)))
    assert "appArmorProfile" not in template["spec"]["securityContext"] and list(restricted(template)) == []


def test_the_agent_breaks_the_rules_that_it_says_and_no_others() -> None:
    root = {"Running as Non-root", "Running as Non-root user"}
    host = {"HostPath Volumes", "Volume Types"}
    for name, options in AGENTS.items():
        expected = root | host
        if set(options.rights) & {"host-network", "host-ipc", "host-pid"}:
            expected = expected | {"Host Namespaces"}
        if "unconfined" in options.rights:
            expected = expected | {"AppArmor", "SELinux"}
        if "privileged" in options.rights:
            expected = expected | {"Privileged Containers", "Privilege Escalation"}
        for template in templates(agent_manifests(options)):
            assert set(restricted(template)) == expected, name


def _set(path: str, value: object) -> Callable[[Pod], None]:
    def change(template: Pod) -> None:
        *way, last = path.split(".")
        parent: Any = template
        for step in way:
            parent = parent[int(step)] if step.isdigit() else parent.setdefault(step, {})
        parent[last] = value

    return change


CONTAINER = "spec.containers.0.securityContext"

BREAKS = {
    "HostProcess": _set("spec.securityContext.windowsOptions", {"hostProcess": True}),
    "Host Namespaces": _set("spec.hostPID", True),
    "Privileged Containers": _set(f"{CONTAINER}.privileged", True),
    "Capabilities": _set(f"{CONTAINER}.capabilities.add", ["SYS_ADMIN"]),
    "HostPath Volumes": _set("spec.volumes", [{"name": "x", "hostPath": {"path": "/"}}]),
    "Host Ports": _set("spec.containers.0.ports", [{"containerPort": 1, "hostPort": 1}]),
    "Host Probes / Lifecycle Hooks": _set("spec.containers.0.livenessProbe.httpGet.host", "127.0.0.1"),
    "AppArmor": _set("metadata.annotations", {"container.apparmor.security.beta.kubernetes.io/server": "unconfined"}),
    "SELinux": _set("spec.securityContext.seLinuxOptions", {"type": "spc_t"}),
    "/proc Mount Type": _set(f"{CONTAINER}.procMount", "Unmasked"),
    "Seccomp": _set(f"{CONTAINER}.seccompProfile", {"type": "Unconfined"}),
    "Sysctls": _set("spec.securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    "Volume Types": _set("spec.volumes", [{"name": "x", "nfs": {}}]),
    "Privilege Escalation": _set(f"{CONTAINER}.allowPrivilegeEscalation", None),
    "Running as Non-root": _set("spec.securityContext.runAsNonRoot", False),
    "Running as Non-root user": _set("spec.securityContext.runAsUser", 0),
    "Seccomp (restricted)": _set("spec.securityContext.seccompProfile", {}),
    "Capabilities (restricted)": _set(f"{CONTAINER}.capabilities", {"drop": ["NET_RAW"]}),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_a_rule_that_is_broken_is_reported(rule: str) -> None:
    (template,) = templates(copy.deepcopy(ALL["server-plain"]))
    BREAKS[rule](template)
    assert rule in list(restricted(template))
