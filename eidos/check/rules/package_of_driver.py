"""Whether a package that works with one driver only, such as the fabric manager, is of the driver's version.

Knows that the version of such a package begins with the driver's; must not know any package: the path of the entry names it. Packages for
one branch have its number behind the name (``nvidia-fabricmanager-580``).
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement

_DRIVER, _OWNER, _ALL = "OS.modules.driver-module-version", "node.driver-owner", "OS.packages."


def judge(context: RuleContext) -> RuleResult:
    """Fails where packages of that name are installed, and none is of the version of the loaded driver."""
    name = context.path[len(_ALL) :]
    packages, unread = read_instances(context.node, context.path, "", ("/",))
    values, gaps = read_each(context.node, [context.path])
    own = {**values, **{f"{context.path}{each}": text for each, text in packages.items() if each[:1] == "-" and each[1:].isdecimal()}}
    unread.update(gaps)
    if not own:
        return unknown_because(unread) if unread else RuleResult(not_applicable=f"{name} is not installed")
    values, gaps = read_each(context.node, [_DRIVER, _OWNER])
    if unread or gaps:
        return unknown_because({**unread, **gaps})
    if values.get(_OWNER) == "driver-container":
        return RuleResult(not_applicable="the driver container brings its own")
    if _DRIVER not in values:
        return RuleResult(not_applicable="the driver is not loaded")
    versions = [upstream_version(word) for text in own.values() for word in text.split()]
    evidence = {_DRIVER: values[_DRIVER], **own}
    return RuleResult(Judgement(values[_DRIVER] in versions, evidence), expected=values[_DRIVER], actual=", ".join(sorted(set(versions))))


def upstream_version(version: str) -> str:
    """The version without a distribution's epoch and revision.

    >>> upstream_version("3:580.95.05-1.el9"), upstream_version("570.86.15-0ubuntu1")
    ('580.95.05', '570.86.15')
    """
    return version.rpartition(":")[2].partition("-")[0].partition("~")[0]
