"""Manifests that run eidos in a cluster: the agent, a Job, and the server, a Deployment.

Knows the doors; must not know what a manifest holds: all of that is data below ``templates/kubernetes/``. A manifest is a plain
tree, as the Kubernetes API has it, and manifests stand in the order in which they are to be applied.

>>> [tree["kind"] for tree in agent(Agent(delivery="hostpath", program="/opt/eidos/eidos.pyz"))]
['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'Job']
"""

from __future__ import annotations

from eidos.manifest import agent_manifest, server_manifest
from eidos.manifest.agent_manifest import agent, privileges
from eidos.manifest.manifest_options import Agent, Server
from eidos.manifest.server_manifest import server

__all__ = ["Agent", "Server", "agent", "notes", "privileges", "server"]


def notes(asked: Agent | Server) -> list[str]:
    """What whoever applies the manifests has to know, a paragraph each."""
    return (server_manifest.prepared(asked) if isinstance(asked, Server) else agent_manifest.prepared(asked)).notes()
