"""Whether the branch of the driver still gets fixes, by the life cycles in ``rules.yaml``.

Knows that table's columns (product, version, end) and how a driver belongs to a branch; must not know any date. A branch that the table
does not have is unknown: that it is not listed does not make it supported.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult
from eidos.model.condition import Judgement, Unread
from eidos.semver import try_parse_version

PATH = "GPU.smi.driver"


def judge(context: RuleContext) -> RuleResult:
    """Fails after the last day, or the last month, of the driver's branch; says when it ends otherwise."""
    try:
        driver = context.node.read(PATH)
    except Unread as fault:
        return RuleResult(Judgement(None, unread={PATH: fault.why}))
    if driver is None:
        return RuleResult(not_applicable=context.node.absence(PATH) or "no driver")
    version = try_parse_version(driver)
    for row in context.facts.get("ends") or ():
        key = try_parse_version(str(row.get("version", ""))) if row.get("product") == "driver" else None
        if version and key and version.matches(key):
            end = str(row.get("end", ""))
            is_supported = context.today[: len(end)] <= end
            state = "supported until" if is_supported else "without fixes since"
            return RuleResult(Judgement(is_supported, {PATH: driver}), actual=f"{driver}, {state} {end}")
    return RuleResult(Judgement(None, {PATH: driver}, {f"the life cycle of driver {driver}": "the recipe data has no such branch"}))
