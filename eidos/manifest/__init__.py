"""Manifests that run eidos in a cluster: the agent, a Job, and the server, a Deployment.

Knows the public functions of the package; must not know what a manifest holds: all of that is data below ``templates/kubernetes/``. A
manifest is a plain tree, as the Kubernetes API defines it, and manifests are in the order in which to apply them.

>>> [tree["kind"] for tree in agent_manifests(AgentOptions(delivery="hostpath", program="/opt/eidos/eidos.pyz"))]
['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'Job']
"""

from __future__ import annotations

from eidos.manifest.agent_manifest import agent_manifests, agent_template, explain_privileges
from eidos.manifest.manifest_options import AgentOptions, ServerOptions
from eidos.manifest.server_manifest import server_manifests, server_template

__all__ = ["AgentOptions", "ServerOptions", "agent_manifests", "explain_privileges", "manifest_notes", "server_manifests"]


def manifest_notes(options: AgentOptions | ServerOptions) -> list[str]:
    """What whoever applies the manifests must know, a paragraph each."""
    return (server_template(options) if isinstance(options, ServerOptions) else agent_template(options)).notes()
