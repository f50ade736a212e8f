"""The options of ``eidos manifest``, and what their values may be.

Knows flags and forms; must not know what becomes of them.
"""

from __future__ import annotations

from eidos.cli.options import Option, duration, path, text
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

#: How the agent reaches GPUs, and with what unless something else is said.
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

#: The minor version that took the youngest field that is always there: containerResource of a HorizontalPodAutoscaler.
OLDEST = 27


def delivery(value: str) -> tuple[str, str]:
    """A way of delivery, and its argument."""
    return _pair(value, DELIVERIES)


def gpu(value: str) -> tuple[str, str]:
    """A way to GPUs, and its argument."""
    way, argument = _pair(value, GPU)
    usual = GPU[way][1]
    if argument and not usual:
        raise InvalidInput(f"{value!r}: {way} takes nothing")
    argument = argument or usual
    if way == "runtime-class":
        check_dns_subdomain(argument, "runtime class")
    elif way == "driver-root":
        kubernetes_fields.check_host_path(argument)
    elif way == "cdi":
        kubernetes_fields.check_cdi_device(argument)
    return way, argument


def each(value: str) -> tuple[str, str]:
    """What gets a Job of its own: each node, or each group by a label."""
    what, _, label = value.partition("=")
    if value != "node" and (what != "group" or not label):
        raise InvalidInput(f"{value!r} is neither node nor group=LABEL", "as in group=nvidia.com/gpu.product")
    if label:
        parse_selector([f"{label}="])
    return what, label


def place(value: str) -> str:
    """A file, - for standard output, or where the agent writes."""
    scheme = value.partition("://")[0] if "://" in value else ""
    if scheme in ("cm", "secret"):
        return text(value)
    if scheme:
        from eidos.suggest import did_you_mean

        raise InvalidInput(f"{value!r} is neither a file, nor cm:// nor secret://", did_you_mean(scheme, ("cm", "secret")))
    return path(value)


def namespace(value: str) -> str:
    """A namespace."""
    return check_dns_label(value, "namespace")


def minor(value: str) -> int:
    """The minor version of a Kubernetes."""
    major, dot, rest = value.removeprefix("v").partition(".")
    number = rest.partition(".")[0]
    if major != "1" or not dot or not (number.isascii() and number.isdigit()) or len(number) > 3:
        raise InvalidInput(f"{value!r} is no version of Kubernetes", "write it like 1.29")
    if int(number) < OLDEST:
        raise InvalidInput(f"{value!r}: the manifests have fields that Kubernetes took first in 1.{OLDEST}", f"1.{OLDEST} is the oldest")
    return int(number)


def otlp(value: str) -> str:
    """Where traces go."""
    from eidos.http_wire.client import parse_url

    parse_url(value)
    return value


def issuer(value: str) -> tuple[str, str]:
    """Kind and name of an issuer of cert-manager."""
    kind, slash, name = value.rpartition("/")
    kind = kind if slash else ISSUERS[0]
    if kind not in ISSUERS:
        from eidos.suggest import did_you_mean

        raise InvalidInput(f"{value!r}: {kind!r} is none of {', '.join(ISSUERS)}", did_you_mean(kind, ISSUERS))
    return kind, check_dns_subdomain(name, "name of an issuer")


def _facts() -> dict[str, str]:
    # The template has the same names, and reading it costs more: these are asked for by whoever completes a word, too.
    from eidos.cli.snapshot import names_and_groups

    return names_and_groups()


def _meshes() -> dict[str, str]:
    from eidos.manifest import server_manifest

    return server_manifest.MESHES


def _pair(value: str, known: dict[str, Any]) -> tuple[str, str]:
    word, _, argument = value.partition("=")
    if word not in known:
        from eidos.suggest import did_you_mean

        raise InvalidInput(f"{word!r} is none of {', '.join(known)}", did_you_mean(word, known))
    return word, argument


def option(name: str, help: str, metavar: str | None = None, **more: Any) -> Option:
    """A row of the table; none of them may come from the environment."""
    return Option(name, help, metavar, anywhere=False, **more)


OF_BOTH = (
    option("namespace", "where it goes (default: eidos, and eidos-server for the server)", "NAME", convert=namespace),
    option("create-namespace", "make the namespace, too, with the pod security label that it needs"),
    option("delivery", f"how the program gets there: {', '.join(DELIVERIES)}", "HOW", default="configmap", convert=delivery),
    option("program", "the file that the ConfigMap carries (default: this one)", "FILE", convert=path, completes="file"),
    option("image", "the image with Python 3.9 or newer (default: a pinned python:slim)", "REF", convert=kubernetes_fields.check_image),
    option("memory", "how much memory it may take (default: 256Mi)", "QUANTITY", convert=kubernetes_fields.check_memory),
    option("kubernetes-version", "the oldest version that must take it", "VERSION", default="1.30", convert=minor),
)

OF_AGENT = (
    option("per", "a Job for each node, or for each group=LABEL of nodes (default: one Job)", "WHAT", convert=each),
    option("nodes", "the nodes for --per node, where the cluster is not to be asked", "NAME", many=True, convert=check_dns_subdomain),
    option("groups", "the values of the label for --per group, where the cluster is not to be asked", "VALUE", many=True),
    option("node-selector", "a label that nodes must have: key=value", "LABEL", many=True),
    option("toleration", "taints to put up with, instead of the usual ones: key=value:effect, or *", "TAINT", many=True),
    option("schedule", "a CronJob: five fields, or @daily and the like", "CRON", convert=kubernetes_fields.check_schedule),
    option("gpu", f"how GPUs are reached: {', '.join(GPU)}; each may take =WHAT", "HOW", default="runtime-class", convert=gpu),
    *(option(name, help) for name, help in RIGHTS.items()),
    option("without", "leave facts out, with the mounts and rights that they need", "FACTS", many=True, choices=_facts),
    option("explain-privileges", "say for each fact which mount or right it needs, and what is lost without"),
    option("timeout", "how long the cluster may take to say which nodes there are", "DURATION", default="30s", convert=duration),
)

OF_SERVER = (
    option("monitoring", "ServiceMonitor, PrometheusRule, a dashboard for Grafana, and scaling by requests"),
    option("monitoring-label", "a label by which Prometheus selects: key=value", "LABEL", many=True),
    option("otlp", "send traces to this collector", "ENDPOINT", convert=otlp),
    option("tls-issuer", "a Certificate from this issuer of cert-manager: NAME, or Issuer/NAME", "NAME", convert=issuer),
    option("mesh", "what its mesh needs", "MESH", choices=_meshes),
    option("ingress", "an Ingress for this host", "HOST", convert=kubernetes_fields.check_ingress_host),
    option("ingress-class", "who serves the Ingress", "NAME", convert=lambda value: check_dns_subdomain(value, "class of an Ingress")),
    option("no-apparmor", "name no AppArmor profile: for nodes whose kernel has none"),
)
