"""Whether the kernel that runs, and the newest that is installed, have a module of the driver.

Knows how the collector of modules names what each installed kernel has; must not know how the module was built. It is about hosts with a
driver of their own: a driver container builds its module when it starts.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition import Judgement
from eidos.semver import try_parse_version

RUNNING, INSTALLED = "OS.modules.kernel-running", "OS.modules.kernels-installed"
_MODULE, _LOADED, _OWNER = "OS.modules.kernel.", "OS.modules.nvidia.loaded", "node.driver-owner"


def judge(context: RuleContext) -> RuleResult:
    """Fails where another kernel has a module and this one has none; the entry's path says which kernel is judged."""
    node = context.node
    values, unread = read_each(node, [_OWNER, RUNNING, INSTALLED, _LOADED])
    modules, gaps = read_instances(node, _MODULE, ".nvidia", ("/modules/", "modules.dep"))
    if unread or gaps:
        return unknown_because({**unread, **gaps})
    if values.get(_OWNER) == "driver-container":
        return RuleResult(not_applicable="the driver is the driver container's, which builds its module for the running kernel")
    if not modules:
        return RuleResult(not_applicable="no installed kernel has a module of the driver")
    if RUNNING not in values or INSTALLED not in values:
        return RuleResult(not_applicable=node.absence(INSTALLED) or "no kernels are installed here")
    kernel = values[RUNNING] if context.path == RUNNING else newest(values[INSTALLED].split())
    if context.path == INSTALLED and kernel == values[RUNNING]:
        return RuleResult(Judgement(True, {INSTALLED: values[INSTALLED], RUNNING: kernel}), actual=f"{kernel}, which runs")
    evidence = {context.path: values[context.path], **({f"{_MODULE}{kernel}.nvidia": modules[kernel]} if kernel in modules else {})}
    # A module that is loaded was found, if not where modules of this kernel are.
    has_module = kernel in modules or (context.path == RUNNING and _LOADED in values)
    if kernel not in modules and has_module:
        evidence[_LOADED] = values[_LOADED]
    return RuleResult(Judgement(has_module, evidence), actual=f"{kernel}{'' if has_module else f', modules only for {_list(modules)}'}")


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


def _list(kernels: dict[str, str]) -> str:
    return ", ".join(sorted(kernels)[:3])
