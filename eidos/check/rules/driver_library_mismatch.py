"""Whether the driver's user space library is of the version of its kernel module.

Knows how the collector of GPUs reports that they differ; must not know how it found out. NVML refuses to start then
(NVML_ERROR_LIB_RM_VERSION_MISMATCH), so the collector fails and names both versions; where a program answered all the same, it notes the
difference as a gap.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult
from eidos.model.condition_nodes import Judgement, Unread

PATH = "GPU.smi.driver"

#: What the collector writes of a library that does not fit, and the gap of a driver that answers with another version.
_MISMATCH, _GAP = ": kernel module ", "/sys/module/nvidia/version"


def judge(context: RuleContext) -> RuleResult:
    """Fails where both versions were read and differ."""
    outcome = context.node.outcomes.get("gpu")
    if outcome is not None:
        difference = outcome.unreadable.get(_GAP) or next(
            (text.partition(_MISMATCH)[2] for text in (outcome.reason or "", *outcome.unreadable.values()) if _MISMATCH in text), ""
        )
        if difference:
            actual = difference.removeprefix("kernel module ")
            return RuleResult(Judgement(False, {"snapshot.gpu": difference}), actual=f"kernel module {actual}")
    try:
        driver = context.node.read(PATH)
    except Unread as fault:
        return RuleResult(Judgement(None, unread={PATH: fault.why}))
    if driver is None:
        return RuleResult(not_applicable=context.node.absence(PATH) or "no driver")
    if outcome is None:
        return RuleResult(Judgement(None, unread={"the version of the kernel module": "the snapshot does not say what was looked at"}))
    return RuleResult(Judgement(True, {PATH: driver}))
