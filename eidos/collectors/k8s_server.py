"""The Kubernetes API server: its version, platform and the Go it was built with.

Knows the fields of the version that a server tells; must not know nodes, pods, or how a server is reached.

Real input is the answer to ``GET /version`` (Kubernetes, ``k8s.io/apimachinery/pkg/version``, Info):

>>> readings({"gitVersion": "v1.33.5-eks-3025e55", "goVersion": "go1.24.6", "platform": "linux/amd64", "major": "1", "minor": "33"})
{'version': 'v1.33.5-eks-3025e55', 'platform': 'linux/amd64', 'goVersion': 'go1.24.6'}
"""

from __future__ import annotations

from eidos.collectors._cluster_source import facts
from eidos.errors import KubeError
from eidos.model.measurement import Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import Client
    from eidos.model.measurement import Part, Readings

#: Key → field of the answer.
FIELDS = {"version": "gitVersion", "platform": "platform", "goVersion": "goVersion"}


def readings(answer: dict[str, Any]) -> Readings:
    """What a server said of itself; what it left out is not there."""
    return {key: answer[field] for key, field in FIELDS.items() if isinstance(answer.get(field), str)}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``server``; KubeError when what answers is no Kubernetes."""
    return facts(sources, "k8s.server", _read)


def _read(client: Client) -> Iterator[Part]:
    data = readings(client.get("/version"))
    if "version" not in data:
        raise KubeError(f"{client.cluster.server}/version: the answer has no gitVersion", "is that the API server of a Kubernetes cluster?")
    yield Subtype("server", data)
