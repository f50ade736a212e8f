"""The server's manifests: two replicas behind a Service, and what watches, scales, guards and meshes them.

Knows which parts of ``templates/kubernetes/server.yaml`` go with what is asked, and what stands for its placeholders; must not know
how the server answers.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.manifest import kubernetes_fields
from eidos.manifest.agent_manifest import program
from eidos.manifest.pieces import Pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.manifest.manifest_options import Server

    Tree = dict[str, Any]

#: How many characters the uid of a dashboard may have (Grafana documentation, "Dashboard HTTP API").
UID = 40

#: Which meshes there are.
MESHES = {"istio": "sidecars of Istio", "linkerd": "sidecars of Linkerd"}


def server(asked: Server) -> list[Tree]:
    """The manifests, in the order to apply them; InvalidInput for what does not go together."""
    _check(asked)
    pieces = prepared(asked)
    return [pieces.filled(piece) for piece in pieces.order if piece in pieces]


def _check(asked: Server) -> None:
    if asked.delivery == "hostpath":
        hint = "take --delivery configmap, or --delivery image"
        raise InvalidInput("--delivery hostpath: the server needs nothing of a node, and the restricted standard allows no host path", hint)
    if asked.ingress_class and not asked.ingress:
        raise InvalidInput("--ingress-class says who serves an Ingress, and there is none", "name its host with --ingress")
    if asked.monitoring_labels and not asked.monitoring:
        raise InvalidInput("--monitoring-label is for what Prometheus reads, and there is none of it", "add --monitoring")


def prepared(asked: Server) -> Pieces:
    """The pieces that go with what is asked."""
    values = _values(asked)
    pieces = Pieces("server", _parts(asked), values)
    if asked.monitoring:
        from eidos import formats

        values["adapter.text"] = formats.to_yaml(pieces.filled("adapter"))
        values["dashboard.text"] = formats.to_json(pieces.filled("dashboard"))
        values["monitoring-labels"] = {**pieces.filled("monitoring-labels"), **asked.monitoring_labels}
    return pieces


def _parts(asked: Server) -> Iterator[str]:
    if asked.create_namespace:
        yield "create-namespace"
    yield f"delivery-{asked.delivery}"
    if asked.apparmor and asked.kubernetes >= 30:
        yield "apparmor"
    if asked.otlp or asked.mesh:
        yield "names"
    if asked.otlp:
        yield "otlp"
    if asked.monitoring:
        yield "monitoring"
    if asked.ingress:
        yield "ingress"
    if asked.issuer[1]:
        yield "certificate"
        if asked.ingress:
            yield "ingress-tls"
    if asked.mesh:
        yield from (f"mesh-{asked.mesh}", "mesh")
        if asked.mesh == "istio" and asked.monitoring:
            yield "mesh-istio-monitoring"


def _values(asked: Server) -> Tree:
    """What stands for the placeholders."""
    host = f"eidos-api-server.{asked.namespace}"
    names = [asked.ingress] if asked.ingress else [f"{host}.svc.cluster.local", f"{host}.svc", host]
    kind, name = asked.issuer
    values = {
        **program("server", asked),
        "namespace": asked.namespace,
        "host": asked.ingress,
        "names": names,
        "dashboard.uid": kubernetes_fields.fitted(f"eidos-{asked.namespace}", UID),
        "issuer.kind": kind,
        "issuer.name": name,
    }
    if asked.otlp:
        from eidos.http_wire import client

        values.update({"otlp": asked.otlp, "otlp.port": client.parse_url(asked.otlp).port})
    if asked.ingress_class:
        values["ingress-class"] = asked.ingress_class
    return values
