"""Whether a label has the same text as a reading: versions that differ in their last part only are not the same.

Knows how two readings are compared as texts; must not know which: the entry needs both.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, unknown_because
from eidos.model.condition_nodes import Judgement


def judge(context: RuleContext) -> RuleResult:
    """Fails where the two differ."""
    values, unread = read_each(context.node, context.needs)
    if unread:
        return unknown_because(unread)
    texts = list(values.values())
    return RuleResult(Judgement(len(set(texts)) == 1, values), expected=texts[-1], actual=texts[0])
