"""Whether the CUDA version that the driver's library reports is the one of the driver's branch.

Knows the table ``cuda`` of ``rules.yaml``; must not know any version. A branch that the table does not have is not judged.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, unknown_because, unknown_versions
from eidos.model.condition_nodes import Judgement
from eidos.semver import try_parse_version

DRIVER, CUDA = "GPU.smi.driver", "GPU.smi.cuda-version"


def judge(context: RuleContext) -> RuleResult:
    """Fails where the version is another one than that of the branch."""
    values, unread = read_each(context.node, [DRIVER, CUDA])
    if unread:
        return unknown_because(unread)
    if len(values) < 2:
        return RuleResult(not_applicable=context.node.absence(DRIVER) or context.node.absence(CUDA) or "no driver")
    driver, reported = try_parse_version(values[DRIVER]), try_parse_version(values[CUDA])
    if not (driver and reported and len(driver.numbers) > 1 and len(reported.numbers) > 1):
        return unknown_versions(values)
    for row in context.facts.get("cuda") or ():
        branch, cuda = try_parse_version(str(row.get("driver", ""))), try_parse_version(str(row.get("cuda", "")))
        if branch and cuda and driver.matches(branch):
            return RuleResult(Judgement(reported.matches(cuda), values), expected=f"{cuda}, that of driver {branch}", actual=values[CUDA])
    return RuleResult(not_applicable=f"the recipe data has no CUDA version for driver {values[DRIVER]}")
