"""The options of ``eidos manifest``, and what their values may be.

Knows flags and the forms of their values; must not know what a manifest holds.
"""

from __future__ import annotations

from eidos.cli.options import Option, parse_choice, parse_path, parse_text, parse_timeout
from eidos.errors import InvalidInput
from eidos.kube.labels import check_dns_label, check_dns_subdomain, parse_selector
from eidos.manifest import kubernetes_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DELIVERIES = {
    "configmap": "the program in a ConfigMap",
    "hostpath": "a file that lies on each node: hostpath=/opt/eidos/eidos.pyz",
    "image": "an image whose entry point is eidos: image=REF",
}

#: How the agent reaches GPUs: what it means, and its default argument.
GPU = {
    "runtime-class": ("through a runtime class", "nvidia"),
    "cdi": ("through CDI, injected by NVIDIA's NRI plugin", "nvidia.com/gpu=all"),
    "driver-root": ("with the files of a driver container, and --privileged", "/run/nvidia/driver"),
    "default": ("nodes whose usual runtime brings them", ""),
    "none": ("not at all", ""),
}

RIGHTS = {
    "host-network": "the host's network namespace: shows /proc/sys/net",
    "host-ipc": "the host's IPC namespace: shows its limits",
    "host-pid": "the host's PID namespace: systemd answers on its own socket",
    "unconfined": "no AppArmor profile, SELinux type spc_t: systemd's units on Ubuntu and where SELinux is enforced",
    "privileged": "a privileged container; --gpu driver-root needs it",
}

ISSUERS = ("ClusterIssuer", "Issuer")

#: The first minor version with every field that the manifests always have: containerResource of a HorizontalPodAutoscaler came last.
MIN_KUBERNETES = 27


def parse_delivery(value: str) -> tuple[str, str]:
    """How the program is delivered, and the argument of that."""
    return _parse_pair(value, DELIVERIES)


def parse_gpu(value: str) -> tuple[str, str]:
    """How GPUs are reached, and the argument of that."""
    way, argument = _parse_pair(value, GPU)
    default = GPU[way][1]
    if argument and not default:
        raise InvalidInput(f"{value!r}: {way} takes nothing")
    argument = argument or default
    if way == "runtime-class":
        check_dns_subdomain(argument, "runtime class")
    elif way == "driver-root":
        kubernetes_fields.check_host_path(argument)
    elif way == "cdi":
        kubernetes_fields.check_cdi_device(argument)
    return way, argument


def parse_per(value: str) -> tuple[str, str]:
    """What gets a Job of its own, and for a group its label."""
    unit, _, label = value.partition("=")
    if value != "node" and (unit != "group" or not label):
        raise InvalidInput(f"{value!r} is neither node nor group=LABEL", "as in group=nvidia.com/gpu.product")
    if label:
        parse_selector([f"{label}="])
    return unit, label


def parse_output(value: str) -> str:
    """A file, - for standard output, or where the agent writes."""
    scheme = value.partition("://")[0] if "://" in value else ""
    if scheme in ("cm", "secret"):
        return parse_text(value)
    if scheme:
        from eidos.suggest import did_you_mean

        raise InvalidInput(f"{value!r} is neither a file, nor cm:// nor secret://", did_you_mean(scheme, ("cm", "secret")))
    return parse_path(value)


def parse_namespace(value: str) -> str:
    """A namespace."""
    return check_dns_label(value, "namespace")


def parse_minor_version(value: str) -> int:
    """A version of Kubernetes: its minor number."""
    major, dot, rest = value.removeprefix("v").partition(".")
    number = rest.partition(".")[0]
    if major != "1" or not dot or not (number.isascii() and number.isdigit()) or len(number) > 3:
        raise InvalidInput(f"{value!r} is no version of Kubernetes", "write it like 1.29")
    if int(number) < MIN_KUBERNETES:
        raise InvalidInput(
            f"{value!r}: the manifests have fields that Kubernetes took first in 1.{MIN_KUBERNETES}", f"1.{MIN_KUBERNETES} is the oldest"
        )
    return int(number)


def parse_otlp_endpoint(value: str) -> str:
    """The URL of a receiver of traces."""
    from eidos.http_wire.client import parse_url

    parse_url(value)
    return value


def parse_issuer(value: str) -> tuple[str, str]:
    """Kind and name of a cert-manager issuer."""
    kind, slash, name = value.rpartition("/")
    kind = kind if slash else ISSUERS[0]
    if kind not in ISSUERS:
        from eidos.suggest import did_you_mean

        raise InvalidInput(f"{value!r}: invalid value {kind!r}; expected one of {', '.join(ISSUERS)}", did_you_mean(kind, ISSUERS))
    return kind, check_dns_subdomain(name, "name of an issuer")


def _fact_choices() -> dict[str, str]:
    # The template has the same names, but completion needs them, too, and reading the template costs more.
    from eidos.cli.snapshot import collector_choices

    return collector_choices()


def _mesh_choices() -> dict[str, str]:
    from eidos.manifest import server_manifest

    return server_manifest.MESHES


def _parse_pair(value: str, choices: dict[str, Any]) -> tuple[str, str]:
    word, _, argument = value.partition("=")
    return parse_choice(word, choices), argument


def flag_option(name: str, help: str, metavar: str | None = None, **fields: Any) -> Option:
    """An option that is not in the environment or the configuration file."""
    return Option(name, help, metavar, flag_only=True, **fields)


COMMON_OPTIONS = (
    flag_option("namespace", "where it goes (default: eidos, and eidos-server for the server)", "NAME", convert=parse_namespace),
    flag_option("create-namespace", "make the namespace, too, with the pod security label that it needs"),
    flag_option("delivery", f"how the program gets there: {', '.join(DELIVERIES)}", "HOW", default="configmap", convert=parse_delivery),
    flag_option("program", "the file that the ConfigMap carries (default: this one)", "FILE", convert=parse_path, completion="file"),
    flag_option(
        "image", "the image with Python 3.9 or newer (default: a pinned python:slim)", "REF", convert=kubernetes_fields.check_image
    ),
    flag_option("memory", "how much memory it may take (default: 256Mi)", "QUANTITY", convert=kubernetes_fields.check_memory),
    flag_option("kubernetes-version", "the oldest version that must take it", "VERSION", default="1.30", convert=parse_minor_version),
)

AGENT_OPTIONS = (
    flag_option("per", "a Job for each node, or for each group=LABEL of nodes (default: one Job)", "WHAT", convert=parse_per),
    flag_option(
        "nodes",
        "the nodes for --per node, where the cluster is not to be asked",
        "NAME",
        multiple=True,
        convert=check_dns_subdomain,
    ),
    flag_option("groups", "the values of the label for --per group, where the cluster is not to be asked", "VALUE", multiple=True),
    flag_option("node-selector", "a label that nodes must have: key=value", "LABEL", multiple=True),
    flag_option("toleration", "taints to put up with, instead of the usual ones: key=value:effect, or *", "TAINT", multiple=True),
    flag_option("schedule", "a CronJob: five fields, or @daily and the like", "CRON", convert=kubernetes_fields.check_schedule),
    flag_option("gpu", f"how GPUs are reached: {', '.join(GPU)}; each may take =WHAT", "HOW", default="runtime-class", convert=parse_gpu),
    *(flag_option(name, help) for name, help in RIGHTS.items()),
    flag_option("without", "leave facts out, with the mounts and rights that they need", "FACTS", multiple=True, choices=_fact_choices),
    flag_option("explain-privileges", "say for each fact which mount or right it needs, and what is lost without"),
    flag_option("timeout", "how long the cluster may take to say which nodes there are", "DURATION", default="30s", convert=parse_timeout),
)

SERVER_OPTIONS = (
    flag_option("monitoring", "ServiceMonitor, PrometheusRule, a dashboard for Grafana, and scaling by requests"),
    flag_option("monitoring-label", "a label by which Prometheus selects: key=value", "LABEL", multiple=True),
    flag_option("otlp", "send traces to this collector", "ENDPOINT", convert=parse_otlp_endpoint),
    flag_option("tls-issuer", "a Certificate from this issuer of cert-manager: NAME, or Issuer/NAME", "NAME", convert=parse_issuer),
    flag_option("mesh", "what its mesh needs", "MESH", choices=_mesh_choices),
    flag_option("ingress", "an Ingress for this host", "HOST", convert=kubernetes_fields.check_ingress_host),
    flag_option("ingress-class", "who serves the Ingress", "NAME", convert=lambda value: check_dns_subdomain(value, "class of an Ingress")),
    flag_option("no-apparmor", "name no AppArmor profile: for nodes whose kernel has none"),
)
