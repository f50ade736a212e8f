"""Kubernetes, as the API server of the node's cluster describes it.

Knows that a cluster is asked about; must not know how a node looks from inside. Nothing here talks to an API server yet: the
outcome says so, instead of passing for a host without a cluster.
"""

from __future__ import annotations

from eidos.errors import NotApplicable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from eidos.collectors import Sources


def collect(sources: Sources) -> NoReturn:
    """Raise NotApplicable: this version has no client for the Kubernetes API."""
    raise NotApplicable("this version does not read Kubernetes")
