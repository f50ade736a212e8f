"""The Kubernetes API server: its version, platform and the Go it was built with.

Knows the fields of a server's version; must not know nodes, pods, or how a server is reached.

Real input is the response to ``GET /version`` (Kubernetes, ``k8s.io/apimachinery/pkg/version``, Info):

>>> version_readings({"gitVersion": "v1.33.5-eks-3025e55", "goVersion": "go1.24.6", "platform": "linux/amd64", "major": "1", "minor": "33"})
{'version': 'v1.33.5-eks-3025e55', 'platform': 'linux/amd64', 'goVersion': 'go1.24.6'}
"""

from __future__ import annotations

from eidos.collectors._cluster_source import collect_from_cluster
from eidos.errors import KubeError
from eidos.model.measurement import Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import KubeClient
    from eidos.model.measurement import Part, Readings

#: Key → field of the response.
VERSION_FIELDS = {"version": "gitVersion", "platform": "platform", "goVersion": "goVersion"}


def version_readings(answer: dict[str, Any]) -> Readings:
    """The readings of a server's version; fields that it leaves out have none."""
    return {key: answer[field] for key, field in VERSION_FIELDS.items() if isinstance(answer.get(field), str)}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``server``; raises KubeError when the server is not Kubernetes."""
    return collect_from_cluster(sources, "k8s.server", _read)


def _read(client: KubeClient) -> Iterator[Part]:
    data = version_readings(client.get("/version"))
    if "version" not in data:
        raise KubeError(
            f"{client.cluster.server}/version: no gitVersion in the response", "check that this is the API server of a Kubernetes cluster"
        )
    yield Subtype("server", data)
