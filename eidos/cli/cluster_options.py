"""The options that select a cluster, and the connection to it.

Knows the flags; must not know where configuration lies, nor what is requested.
"""

from __future__ import annotations

import os

from eidos.cli.options import Option, parse_path
from eidos.errors import NotApplicable, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.kube.api_client import KubeClient
    from eidos.kube.cluster import Cluster

#: How the help of ``--output`` and ``--file`` ends where a document may also lie in a cluster.
OR_IN_CLUSTER = ", cm://NAMESPACE/NAME or secret://NAMESPACE/NAME"

#: Every verb that may connect to a cluster has these.
CLUSTER = (
    Option("kubeconfig", "read this kubeconfig file (default the same as kubectl)", "FILE", convert=parse_path, completion="file"),
    Option("kube-context", "use this context of the kubeconfig (default the current one)", "NAME"),
    Option("kube-namespace", "use this namespace where none is given", "NAME"),
)


def load_cluster(values: Values) -> Cluster:
    """The selected cluster; raises an EidosError, NotFound when none is configured."""
    from eidos.cli.path_access import PATH_TIMEOUT_S, check_file_system
    from eidos.kube.cluster_config import kubeconfig_paths, load_cluster

    for path in [values["kubeconfig"]] if values["kubeconfig"] else kubeconfig_paths(os.environ):
        check_file_system("--kubeconfig" if values["kubeconfig"] else "kubeconfig", path, PATH_TIMEOUT_S)
    try:
        return load_cluster(os.environ, kubeconfig=values["kubeconfig"], context=values["kube-context"], namespace=values["kube-namespace"])
    except NotApplicable as fault:
        raise NotFound(fault.reason, fault.hint) from fault


def connect(values: Values, deadline: float) -> KubeClient:
    """A client of the selected cluster, whose every request ends at ``deadline`` (on ``time.monotonic``)."""
    cluster = load_cluster(values)
    from eidos.kube import api_client

    return api_client.connect(cluster, deadline=deadline)
