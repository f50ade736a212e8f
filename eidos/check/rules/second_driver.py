"""Whether the host has packages of a driver although the GPU Operator installs one.

Knows the beginnings of names of packages that bring the driver's modules, and that the operator labels a node whose own driver it uses
``nvidia.com/gpu.deploy.driver: pre-installed``; must not know how the operator works otherwise.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement

_POLICY, _LABEL, _PACKAGES = "K8s.policy.driver.enabled", "K8s.node.label.nvidia.com/gpu.deploy.driver", "OS.packages."

#: Packages of the CUDA and distribution repositories that bring kernel modules.
_NAMES = ("nvidia-driver", "nvidia-dkms", "nvidia-open", "nvidia-kernel", "cuda-drivers", "kmod-nvidia", "linux-modules-nvidia")


def judge(context: RuleContext) -> RuleResult:
    """Fails with the names of the packages."""
    node = context.node
    values, unread = read_each(node, [_POLICY, _LABEL])
    if unread:
        return unknown_because(unread)
    if values.get(_POLICY) != "true":
        return RuleResult(not_applicable=node.absence(_POLICY) or "the operator installs no driver")
    if values.get(_LABEL) == "pre-installed":
        return RuleResult(Judgement(True, values), actual="the operator uses the host's driver")
    packages, gaps = read_instances(node, _PACKAGES, "", ("/",))
    drivers = {f"{_PACKAGES}{name}": version for name, version in packages.items() if name.startswith(_NAMES)}
    if drivers:
        names = ", ".join(path[len(_PACKAGES) :] for path in sorted(drivers)[:3])
        return RuleResult(Judgement(False, {**values, **drivers}), actual=f"packages {names}, and driver.enabled in the policy")
    if gaps:
        return unknown_because(gaps)
    return RuleResult(Judgement(True, values), actual="only the operator's")
