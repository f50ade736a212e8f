"""Which cluster a verb speaks to: its options, and the connection.

Knows the flags; must not know where configuration lies, nor what is asked.
"""

from __future__ import annotations

import os

from eidos.cli.options import Option, path
from eidos.errors import NotApplicable, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.kube.api_client import Client
    from eidos.kube.cluster_config import Cluster

#: How ``--output`` ends where a document may be kept in a cluster.
OR_KEPT = ", cm://NAMESPACE/NAME a ConfigMap, secret://NAMESPACE/NAME a Secret"

#: Every verb that may speak to a cluster has these.
CLUSTER = (
    Option("kubeconfig", "the kubeconfig to take, instead of those that kubectl would", "FILE", convert=path, completes="file"),
    Option("kube-context", "the context of it to take, instead of the current one", "NAME"),
    Option("kube-namespace", "the namespace, where nothing else says one", "NAME"),
)


def load(values: Values) -> Cluster:
    """The cluster that is meant; raises an EidosError, NotFound when nothing says which."""
    from eidos.kube.cluster_config import load

    try:
        return load(os.environ, kubeconfig=values["kubeconfig"], context=values["kube-context"], namespace=values["kube-namespace"])
    except NotApplicable as fault:
        raise NotFound(fault.reason, fault.hint) from fault


def connect(values: Values, deadline: float) -> Client:
    """A client of that cluster, whose every request ends at ``deadline`` (on ``time.monotonic``)."""
    cluster = load(values)
    from eidos.kube import api_client

    return api_client.connect(cluster, deadline=deadline)
