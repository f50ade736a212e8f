"""What a node is called.

Knows who can tell: whoever started this program, the running system, a file; must not know whether a cluster has a node of that name.
"""

from __future__ import annotations

import os

from eidos.errors import EidosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.files.host import Host

#: What a pod is told its node's name in, from the field ``spec.nodeName`` (Kubernetes, "Downward API").
SAID_IN = ("NODE_NAME", "KUBERNETES_NODE_NAME")


def said_name(environ: Mapping[str, str]) -> str:
    """The node's name as whoever started this program said it, or "".

    >>> said_name({"KUBERNETES_NODE_NAME": "gpu-07", "HOSTNAME": "eidos-x7k2p"})
    'gpu-07'
    """
    return next((environ[variable] for variable in SAID_IN if environ.get(variable)), "")


def node_name(host: Host, environ: Mapping[str, str] = os.environ) -> str:
    """The node's name, or "" when nothing here knows it.

    What was said wins; else the running system's own name, unless this is another UTS namespace, whose name is a container's; else
    ``etc/hostname`` of the host's files.
    """
    said = said_name(environ)
    if said:
        return said
    if host.is_live and "uts" not in host.foreign_namespaces():
        return os.uname().nodename
    try:
        return host.read("/etc/hostname").strip()
    except EidosError:
        return ""
