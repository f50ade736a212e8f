"""Whether the kernel that runs, and the newest that is installed, have a module of the driver.

Knows how the collector of modules names what each installed kernel has; must not know how the module was built. It is about hosts with a
driver of their own: a driver container builds its module when it starts.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement
from eidos.semver import try_parse_version

RUNNING, INSTALLED = "OS.modules.kernel-running", "OS.modules.kernels-installed"
_MODULE, _LOADED, _OWNER = "OS.modules.kernel.", "OS.modules.nvidia.loaded", "node.driver-owner"


def judge(context: RuleContext) -> RuleResult:
    """Fails where another kernel has a module and this one has none; the entry's path says which kernel is judged."""
    node = context.node
    values, unread = read_each(node, [_OWNER, context.path])
    if not unread and values.get(_OWNER) != "host":
        return RuleResult(not_applicable="the driver is not the host's own")
    if unread:
        return unknown_because(unread)
    if not values.get(context.path, "").split():
        return RuleResult(not_applicable=node.absence(context.path) or "no kernels are installed here")
    kernel = values[RUNNING] if context.path == RUNNING else newest(values[INSTALLED].split())
    own, unread = read_each(node, [f"{_MODULE}{kernel}.nvidia"])
    modules, gaps = read_instances(node, _MODULE, ".nvidia", ("/modules/", "modules.dep"))
    evidence = {context.path: values[context.path], **own}
    if own:
        return RuleResult(Judgement(True, evidence), actual=kernel)
    if unread or gaps:
        return unknown_because({**unread, **gaps})
    if not modules:
        return RuleResult(not_applicable="no installed kernel has a module of the driver")
    # A module that is loaded was found, if not where modules of this kernel are; the kernel that runs is judged by the other entry.
    other, unread = read_each(node, [_LOADED if context.path == RUNNING else RUNNING])
    if unread:
        return unknown_because(unread)
    if _LOADED in other or kernel in other.values():
        return RuleResult(Judgement(True, {**evidence, **other}), actual=kernel)
    evidence.update({**other, **{f"{_MODULE}{each}.nvidia": file for each, file in modules.items()}})
    return RuleResult(Judgement(False, evidence), actual=f"{kernel}, modules only for {', '.join(sorted(modules)[:3])}")


def newest(kernels: list[str]) -> str:
    """The release that a boot loader takes first.

    >>> newest(["6.8.0-60-generic", "6.8.0-101-generic", "5.15.0-25-generic"])
    '6.8.0-101-generic'
    """
    return max(kernels, key=_order)


def _order(kernel: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    version = try_parse_version(kernel)
    numbers = tuple(int(word) for word in kernel.replace("-", ".").split(".") if word.isdecimal() and len(word) < 10)
    return (version.numbers if version else ()), numbers
