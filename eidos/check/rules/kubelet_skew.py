"""Whether the kubelet's minor version is one that its API server supports.

Knows Kubernetes' Version Skew Policy: a kubelet is never newer than its API server, and at most three minor versions older (two before
1.28); must not know any release.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, unknown_because, unknown_versions
from eidos.model.condition_nodes import Judgement
from eidos.semver import try_parse_version

_SERVER, _KUBELET = "K8s.server.version", "K8s.node.kubelet-version"


def judge(context: RuleContext) -> RuleResult:
    """Fails where the kubelet is too old or too new."""
    values, unread = read_each(context.node, [_SERVER, _KUBELET])
    if unread:
        return unknown_because(unread)
    if len(values) < 2:
        return RuleResult(not_applicable=context.node.absence(_SERVER) or context.node.absence(_KUBELET) or "no cluster")
    server, kubelet = try_parse_version(values[_SERVER]), try_parse_version(values[_KUBELET])
    if not (server and kubelet and len(server.numbers) > 1 and len(kubelet.numbers) > 1):
        return unknown_versions(values)
    older = server.numbers[1] - kubelet.numbers[1]
    allowed = 3 if server.numbers[1] >= 28 else 2
    is_right = server.numbers[0] == kubelet.numbers[0] and 0 <= older <= allowed
    return RuleResult(Judgement(is_right, values), actual=f"kubelet {values[_KUBELET]}, API server {values[_SERVER]}")
