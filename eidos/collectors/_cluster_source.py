"""Runs a collector against the Kubernetes API: connects, caches what it yielded, and falls back to the cache.

Knows in which order that happens; must not know which objects are read. It is no collector itself.
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
    from eidos.kube.api_client import KubeClient
    from eidos.kube.fallback_cache import FallbackCache
    from eidos.model.measurement import Part, Readings

#: Seconds before the deadline at which a request is given up, to leave time to report it; a fifth of the time when that is less.
MARGIN_S = 0.5

#: The condition that is true on a healthy node; all others say what is wrong (Kubernetes, "Node Status"; Node Problem Detector).
HEALTHY_CONDITION = "Ready"


def condition_readings(conditions: Iterable[dict[str, Any]], prefix: str = "condition.") -> Readings:
    """The status of each condition (Kubernetes API, Condition), and the reason of each that is not as it is on a healthy object.

    >>> condition_readings([{"type": "Ready", "status": "True", "reason": "x"}, {"type": "DiskPressure", "status": "True", "reason": "y"}])
    {'condition.Ready': 'True', 'condition.DiskPressure': 'True', 'condition.DiskPressure.reason': 'y'}
    """
    data: Readings = {}
    for each in sorted(conditions, key=lambda condition: condition.get("type") != HEALTHY_CONDITION):
        name, status = str(each.get("type") or ""), str(each.get("status") or "Unknown")
        if not name:
            continue
        data[f"{prefix}{name}"] = status
        reason = each.get("reason")
        if status != ("True" if name == HEALTHY_CONDITION else "False") and isinstance(reason, str) and reason.isidentifier():
            data[f"{prefix}{name}.reason"] = reason
    return data


def collect_from_cluster(sources: Sources, name: str, read: Callable[[KubeClient], Iterable[Part]], subject: str = "") -> Iterator[Part]:
    """The parts that ``read`` yields of the selected cluster; ``name`` is the collector's, ``subject`` what else its parts depend on.

    A complete result without revealed values is cached for when the cluster does not answer. Raises NotApplicable for a captured tree and
    where no cluster is configured, and whatever ``eidos.kube`` raises.
    """
    if not sources.host.is_running_system:
        raise NotApplicable("not available from a captured tree")
    from eidos.kube.cluster_config import load_cluster

    choice = sources.cluster
    try:
        cluster = load_cluster(sources.environ, kubeconfig=choice.kubeconfig, context=choice.context, namespace=choice.namespace)
    except NotApplicable as why:  # without its hint: most hosts have no cluster, and that is nothing to warn of
        raise NotApplicable(why.reason) from why
    from eidos.kube.api_client import connect
    from eidos.kube.fallback_cache import FallbackCache

    cache = FallbackCache(sources.environ, cluster, f"{name}/{subject}")
    now = time.monotonic()
    deadline = max(sources.deadline - MARGIN_S, now + (sources.deadline - now) * 0.8)
    parts: list[Part] = []
    try:
        client = connect(cluster, deadline=deadline, environ=sources.environ)
        try:
            for part in read(client):
                parts.append(part)
                yield part
        finally:
            client.close()
    except (KubeError, Timeout) as fault:
        if choice.stale_limit_s is None or parts or not is_unreachable(fault):
            raise
        yield from _stale_parts(cache, choice.stale_limit_s, fault)
        return
    if not sources.reveal and not any(isinstance(part, Gap) and part.kind == UNREADABLE for part in parts):
        cache.store(parts)


def _stale_parts(cache: FallbackCache, limit_s: float, fault: EidosError) -> Iterator[Part]:
    """The cached parts, then Outdated; raises ``fault``, with the reason added, when the cache has none to use."""
    try:
        age, parts = cache.load(limit_s)
    except NotFound as why:
        fault.message += f"; {why.message}"
        raise fault from why
    log.debug("using cached data of the cluster", age_s=age)
    yield from parts
    raise Outdated(fault.message, fault.hint, age) from fault


def is_unreachable(fault: EidosError) -> bool:
    """Whether the cluster did not answer, or answered that it cannot now."""
    return not isinstance(fault, KubeError) or fault.may_pass


def for_each_object(client: KubeClient, path: str, add: Callable[[dict[str, Any]], object]) -> None:
    """Call ``add`` with each object of a list, page by page, so that no more than two pages are in memory."""
    for page in client.list_pages(path):
        for item in page:
            add(item)
