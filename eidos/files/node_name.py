"""The node's name.

Knows who can tell it: the environment, the running system, a file; must not know whether a cluster has a node of that name.
"""

from __future__ import annotations

import os

from eidos.errors import EidosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.files.host import Host

#: Variables in which pods usually get ``spec.nodeName`` (Kubernetes, "Downward API").
NODE_NAME_VARIABLES = ("NODE_NAME", "KUBERNETES_NODE_NAME")


def node_name_from_environment(environ: Mapping[str, str]) -> str:
    """The node's name as the environment sets it, or "".

    >>> node_name_from_environment({"KUBERNETES_NODE_NAME": "gpu-07", "HOSTNAME": "eidos-x7k2p"})
    'gpu-07'
    """
    return next((environ[variable] for variable in NODE_NAME_VARIABLES if environ.get(variable)), "")


def node_names(host: Host, environ: Mapping[str, str]) -> list[str]:
    """The node's name as a list of one; an empty list when the host's root does not exist."""
    try:
        os.stat(os.path.join(host.root, "."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:  # reading it says why
        pass
    return [find_node_name(host, environ)]


def find_node_name(host: Host, environ: Mapping[str, str] = os.environ) -> str:
    """The node's name, or "" when it cannot be determined.

    The environment wins; then the running system's own name, unless this is another UTS namespace, whose name is a container's; then
    ``/etc/hostname`` of the host.
    """
    name = node_name_from_environment(environ)
    if name:
        return name
    if host.is_running_system and "uts" not in host.foreign_namespaces():
        return os.uname().nodename
    try:
        return host.read_text("/etc/hostname").strip()
    except EidosError:
        return ""
