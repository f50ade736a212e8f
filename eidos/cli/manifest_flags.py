"""The options of ``eidos manifest``, and what their values may be.

Knows flags and the forms of their values; must not know what a manifest holds.
"""

from __future__ import annotations

from eidos.cli.judge_options import MARKS, parse_interval
from eidos.cli.options import Option, parse_choice, parse_path, parse_text, parse_timeout
from eidos.errors import InvalidInput
from eidos.kube.labels import check_dns_label, check_dns_subdomain, parse_selector
from eidos.manifest import kubernetes_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from eidos.manifest import AgentOptions
    from eidos.model.plugin import Plugin

DELIVERIES = {
    "configmap": "the program in a ConfigMap",
    "hostpath": "a file on each node: hostpath=/opt/eidos/eidos.pyz",
    "image": "an image whose entry point is eidos: image=REF",
}

#: How the agent reaches GPUs: what it means, and its default argument.
GPU = {
    "runtime-class": ("through a runtime class", "nvidia"),
    "cdi": ("through CDI, injected by NVIDIA's NRI plugin", "nvidia.com/gpu=all"),
    "driver-root": ("with the files of a driver container, and --privileged", "/run/nvidia/driver"),
    "default": ("through the default runtime of the nodes", ""),
    "none": ("not at all", ""),
}

RIGHTS = {
    "host-network": "share the host's network namespace: shows /proc/sys/net",
    "host-ipc": "share the host's IPC namespace: shows its limits",
    "host-pid": "share the host's PID namespace: reads systemd over its private socket",
    "host-files": "mount the host's /etc, /usr, /boot and /var/lib, read-only: packages, runtimes, kubelet, next boot",
    "unconfined": "run without AppArmor profile, with SELinux type spc_t: systemd's units on Ubuntu and where SELinux is enforced",
    "privileged": "run a privileged container; --gpu driver-root needs it",
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
        raise InvalidInput(f"{value!r}: {way} takes no value")
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
        raise InvalidInput(
            f"invalid value {value!r}; expected node or group=LABEL", "write group=LABEL, such as group=nvidia.com/gpu.product"
        )
    if label:
        parse_selector([f"{label}="])
    return unit, label


def parse_output(value: str) -> str:
    """A file, - for standard output, or where the agent writes."""
    scheme = value.partition("://")[0] if "://" in value else ""
    if scheme in ("cm", "secret"):
        return parse_text(value)
    if scheme:
        from eidos.wording import did_you_mean

        raise InvalidInput(f"invalid location {value!r}; expected a file, cm:// or secret://", did_you_mean(scheme, ("cm", "secret")))
    return parse_path(value)


def parse_namespace(value: str) -> str:
    """A namespace."""
    return check_dns_label(value, "namespace")


def parse_minor_version(value: str) -> int:
    """A version of Kubernetes: its minor number."""
    major, dot, rest = value.removeprefix("v").partition(".")
    number = rest.partition(".")[0]
    if major != "1" or not dot or not (number.isascii() and number.isdigit()) or len(number) > 3:
        raise InvalidInput(f"invalid Kubernetes version {value!r}", "write it like 1.31")
    if int(number) < MIN_KUBERNETES:
        raise InvalidInput(f"{value!r}: the manifests need Kubernetes 1.{MIN_KUBERNETES} or newer", f"use 1.{MIN_KUBERNETES} or newer")
    return int(number)


def parse_otlp_endpoint(value: str) -> str:
    """The URL of a receiver of traces."""
    from eidos.http_wire.url import parse_url

    parse_url(value)
    return value


def parse_issuer(value: str) -> tuple[str, str]:
    """Kind and name of a cert-manager issuer."""
    kind, slash, name = value.rpartition("/")
    kind = kind if slash else ISSUERS[0]
    if kind not in ISSUERS:
        from eidos.wording import did_you_mean

        raise InvalidInput(f"{value!r}: invalid value {kind!r}; expected one of {', '.join(ISSUERS)}", did_you_mean(kind, ISSUERS))
    return kind, check_dns_subdomain(name, "issuer name")


def _fact_choices() -> dict[str, str]:
    # The template has the same names, but completion needs them, too, and reading the template costs more.
    from eidos.collectors import collector_choices

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


def require_configmap(plugins: Sequence[Plugin], delivery: str) -> None:
    """Raise InvalidInput for plug-ins with another delivery: they travel in the program's file, which the node has already."""
    if plugins and delivery != "configmap":
        message = f"--plugin cannot be used with --delivery {delivery}: plug-ins are sent inside the program's file"
        raise InvalidInput(message, "use --delivery configmap, or remove --plugin")


def warn_of_share(options: AgentOptions) -> None:
    """Log which share of a node's readings the agent reads, and which flags read more, unless it shares the node's namespaces."""
    from eidos import log
    from eidos.manifest import read_share

    share = read_share(options)
    if share:
        what = f"{share['share']} % of a node's operating system (measured on {share['share.measured-on']})"
        log.warn(
            f"the agent reads {what}, because it has namespaces of its own",
            hint=f"add {share['share.flags']} to read {share['share.more']} %, without a privileged container",
        )


COMMON_OPTIONS = (
    flag_option("namespace", "deploy to this namespace (default eidos or eidos-server)", "NAME", convert=parse_namespace),
    flag_option("create-namespace", "create the namespace, with its pod security label"),
    flag_option("delivery", f"deliver the program by {', '.join(DELIVERIES)}", "HOW", default="configmap", convert=parse_delivery),
    flag_option("program", "deliver this eidos.pyz (default this file)", "FILE", convert=parse_path, completion="file"),
    flag_option("image", "use this image with Python 3.9+ (default a pinned python:slim)", "REF", convert=kubernetes_fields.check_image),
    flag_option("memory", "set the memory limit (default 256Mi)", "QUANTITY", convert=kubernetes_fields.check_memory),
    flag_option("monitoring", "add monitors, alerts and a Grafana dashboard; for the server autoscaling, too"),
    flag_option("monitoring-label", "add this label for Prometheus to select: key=value", "LABEL", multiple=True),
    flag_option("kubernetes-version", "support this Kubernetes version and newer", "VERSION", default="1.30", convert=parse_minor_version),
)

AGENT_OPTIONS = (
    flag_option("watch", "print a DaemonSet of 'eidos watch' instead of a Job: it exports the findings of each node"),
    flag_option("interval", "with --watch: start a cycle at this interval", "DURATION", default="60s", convert=parse_interval),
    flag_option("mark-node", "with --watch: mark nodes while findings fail; needs rights on nodes", "MARKS", choices=MARKS, multiple=True),
    flag_option("per", "create a Job per node or per group=LABEL of nodes (default one Job)", "WHAT", convert=parse_per),
    flag_option(
        "nodes",
        "use these nodes for --per node, without asking the cluster",
        "NAME",
        multiple=True,
        convert=check_dns_subdomain,
    ),
    flag_option("groups", "use these label values for --per group, without asking the cluster", "VALUE", multiple=True),
    flag_option("node-selector", "run on nodes with this label: key=value", "LABEL", multiple=True),
    flag_option("toleration", "tolerate these taints instead of the default ones: key=value:effect or *", "TAINT", multiple=True),
    flag_option("schedule", "create a CronJob with this schedule: five fields or @daily", "CRON", convert=kubernetes_fields.check_schedule),
    flag_option("gpu", f"access GPUs by {', '.join(GPU)}, each with an optional =WHAT", "HOW", default="runtime-class", convert=parse_gpu),
    *(flag_option(name, help) for name, help in RIGHTS.items()),
    flag_option(
        "without", "do not collect these facts, and drop their mounts and privileges", "FACTS", multiple=True, choices=_fact_choices
    ),
    flag_option("explain-privileges", "list the mounts and privileges, and which facts need them"),
    flag_option("timeout", "give up listing the nodes of the cluster after this time", "DURATION", default="30s", convert=parse_timeout),
)

SERVER_OPTIONS = (
    flag_option("otlp", "send traces to this collector", "ENDPOINT", convert=parse_otlp_endpoint),
    flag_option("tls-issuer", "add a Certificate of this cert-manager issuer: NAME or Issuer/NAME", "NAME", convert=parse_issuer),
    flag_option("mesh", "add the resources of this service mesh", "MESH", choices=_mesh_choices),
    flag_option("ingress", "add an Ingress for this host", "HOST", convert=kubernetes_fields.check_ingress_host),
    flag_option("ingress-class", "use this class of Ingress", "NAME", convert=lambda value: check_dns_subdomain(value, "Ingress class")),
    flag_option("no-apparmor", "omit the AppArmor profile, for nodes without AppArmor"),
)
