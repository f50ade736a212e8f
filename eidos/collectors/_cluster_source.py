"""What every collector of a cluster's facts has in common: how the cluster is found and asked, and what stands in when it is silent.

Knows in which order that goes; must not know what is asked. It is no collector itself.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.errors import KubeError, NotApplicable, NotFound, Outdated, Timeout
from eidos.model.measurement import UNREADABLE, Gap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.errors import EidosError
    from eidos.kube.api_client import Client
    from eidos.kube.fallback_cache import Kept
    from eidos.model.measurement import Part

#: Seconds before the deadline at which a cluster is given up, so that there is time to say so; of a short time a fifth.
MARGIN = 0.5


def facts(sources: Sources, name: str, read: Callable[[Client], Iterable[Part]], subject: str = "") -> Iterator[Part]:
    """What ``read`` yields of the cluster that is meant; ``name`` is the collector's, ``subject`` what else its facts depend on.

    The facts are kept for a day on which the cluster does not answer. Raises NotApplicable for a captured tree and where no cluster is
    configured, and what ``eidos.kube`` raises.
    """
    if not sources.host.is_running_system:
        raise NotApplicable("a captured tree: its cluster is not asked")
    from eidos.kube.cluster_config import load

    choice = sources.cluster
    try:
        cluster = load(sources.environ, kubeconfig=choice.kubeconfig, context=choice.context, namespace=choice.namespace)
    except NotApplicable as why:  # without its hint: most hosts have no cluster, and that is nothing to warn of
        raise NotApplicable(why.reason) from why
    from eidos.kube.api_client import connect
    from eidos.kube.fallback_cache import Kept

    kept = Kept(sources.environ, cluster, f"{name}/{subject}")
    now = time.monotonic()
    deadline = max(sources.deadline - MARGIN, now + (sources.deadline - now) * 0.8)
    found: list[Part] = []
    try:
        client = connect(cluster, deadline=deadline, environ=sources.environ)
        try:
            for part in read(client):
                found.append(part)
                yield part
        finally:
            client.close()
    except (KubeError, Timeout) as fault:
        if choice.stale is None or found or not unreachable(fault):
            raise
        yield from _stale(kept, choice.stale, fault)
        return
    if not any(isinstance(part, Gap) and part.kind == UNREADABLE for part in found):
        kept.keep(found)


def _stale(kept: Kept, most: float, fault: EidosError) -> Iterator[Part]:
    """What is kept, and then Outdated; ``fault``, with the reason why nothing is, when that cannot stand in."""
    try:
        age, parts = kept.last(most)
    except NotFound as why:
        fault.message += f"; {why.message}"
        raise fault from why
    log.debug("what is kept of the cluster stands in", age_s=age)
    yield from parts
    raise Outdated(fault.message, fault.hint, age) from fault


def unreachable(fault: EidosError) -> bool:
    """Whether nobody answered for the cluster, or only to say that it cannot answer now."""
    return not isinstance(fault, KubeError) or fault.may_pass


def listed(client: Client, path: str, add: Callable[[dict[str, Any]], object]) -> None:
    """Give each object of a list to ``add``, page by page, so that no more than a page or two is held."""
    for page in client.pages(path):
        for each in page:
            add(each)
