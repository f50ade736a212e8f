"""Whether the label of the GPU names the model that the driver has.

Knows how GPU Feature Discovery writes a model as a label (dashes for blanks, ``-SHARED`` or ``-MIG-…`` behind it); must not know any model.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement

_PREFIX = "GPU.gpu-"


def judge(context: RuleContext) -> RuleResult:
    """Fails where the label is that of no GPU of the node."""
    node = context.node
    label, unread = read_each(node, [context.path])
    if unread:
        return unknown_because(unread)
    if not label:
        return RuleResult(not_applicable=node.absence(context.path) or "no such label")
    models, unread = read_instances(node, _PREFIX, ".model")
    why = node.unread_instances(_PREFIX)
    if why or unread or not models:
        return (
            unknown_because({**unread, **({"GPU.gpu-*.model": why} if why else {})})
            if why or unread
            else RuleResult(not_applicable="no GPU")
        )
    text = label[context.path]
    same = {f"{_PREFIX}{gpu}.model": model for gpu, model in models.items() if text.startswith(model.replace(" ", "-"))}
    evidence = {**label, **(same or {f"{_PREFIX}{gpu}.model": model for gpu, model in models.items()})}
    return RuleResult(
        Judgement(bool(same), evidence), expected=next(iter((same or models).values() if same else models.values())), actual=text
    )
