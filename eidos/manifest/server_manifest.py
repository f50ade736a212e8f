"""The server's manifests: two replicas behind a Service, and what monitors, scales, guards and meshes them.

Knows which parts of ``templates/kubernetes/server.yaml`` an option needs, and the values of its placeholders; must not know how the server
responds.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.manifest import kubernetes_fields
from eidos.manifest.agent_manifest import program_values
from eidos.manifest.manifest_template import ManifestTemplate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.manifest import ServerOptions
    from eidos.manifest.manifest_template import Tree

#: The supported meshes, each with its help.
MESHES = {"istio": "sidecars of Istio", "linkerd": "sidecars of Linkerd"}


def server_manifests(options: ServerOptions) -> list[Tree]:
    """The manifests, in the order to apply them. Raises InvalidInput for options that exclude one another."""
    _check(options)
    template = server_template(options)
    return [template.render(piece) for piece in template.order if piece in template]


def _check(options: ServerOptions) -> None:
    if options.delivery == "hostpath":
        hint = "use --delivery configmap or --delivery image"
        raise InvalidInput(
            "--delivery hostpath: the restricted Pod Security Standard, under which the server runs, allows no host paths", hint
        )
    if options.ingress_class and not options.ingress:
        raise InvalidInput("--ingress-class needs --ingress", "add --ingress HOST")
    if options.monitoring_labels and not options.monitoring:
        raise InvalidInput("--monitoring-label needs --monitoring", "add --monitoring")


def server_template(options: ServerOptions) -> ManifestTemplate:
    """The server's template with the parts and values that the options need."""
    template = ManifestTemplate("server", required_parts(options), _values(options))
    if options.monitoring:
        from eidos import formats

        template.values["adapter.text"] = formats.to_yaml(template.render("adapter"))
        template.add_monitoring(f"eidos-api-server.{options.namespace}.json", options.monitoring_labels)
    return template


def required_parts(options: ServerOptions) -> Iterator[str]:
    """The parts of the template that the options need."""
    if options.create_namespace:
        yield "create-namespace"
    yield f"delivery-{options.delivery}"
    if options.apparmor and options.kubernetes_minor >= 30:
        yield "apparmor"
    if options.otlp or options.mesh:
        yield "names"
    if options.otlp:
        yield "otlp"
    if options.monitoring:
        yield "monitoring"
    if options.ingress:
        yield "ingress"
    if options.issuer[1]:
        yield "certificate"
        if options.ingress:
            yield "ingress-tls"
    if options.mesh:
        yield from (f"mesh-{options.mesh}", "mesh")
        if options.mesh == "istio" and options.monitoring:
            yield "mesh-istio-monitoring"


def _values(options: ServerOptions) -> Tree:
    """Values of the placeholders."""
    host = f"eidos-api-server.{options.namespace}"
    names = [options.ingress] if options.ingress else [f"{host}.svc.cluster.local", f"{host}.svc", host]
    kind, name = options.issuer
    values: Tree = {
        **program_values("server", options),
        "namespace": options.namespace,
        "host": options.ingress,
        "names": names,
        "dashboard.uid": kubernetes_fields.fit_name(f"eidos-{options.namespace}", kubernetes_fields.MAX_DASHBOARD_UID),
        "issuer.kind": kind,
        "issuer.name": name,
    }
    if options.otlp:
        from eidos.http_wire.url import parse_url

        values.update({"otlp": options.otlp, "otlp.port": parse_url(options.otlp).port})
    if options.ingress_class:
        values["ingress-class"] = options.ingress_class
    return values
