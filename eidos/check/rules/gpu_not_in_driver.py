"""Whether every NVIDIA GPU on the PCI bus is one that the driver shows: seven of eight.

Knows how the collector of GPUs reports a device that is missing; must not know the bus. A device that is passed through to a virtual
machine does not belong to the host, and the collector reports that.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, unknown_because
from eidos.check.node_readings import GPU_COUNT, not_a_number
from eidos.model.condition_nodes import Judgement, Unread
from eidos.model.measurement import SKIPPED
from eidos.model.quantity import parse_count

#: The gap for a bus that could not be read, or on which more devices are than the driver has.
_BUS = "/sys/bus/pci/devices"


def judge(context: RuleContext) -> RuleResult:
    """Fails with the address of each missing device."""
    node = context.node
    outcome = node.outcomes.get("gpu")
    if outcome is None:
        why = "the snapshot does not say what was looked at" if not node.outcomes else "not collected"
        return unknown_because({"the devices on the PCI bus": why})
    missing = {what: why for what, why in outcome.unreadable.items() if _is_bus_id(what) or (what == _BUS and " on the PCI bus" in why)}
    # Without a hint nothing is wrong: all of them are passed through to virtual machines.
    if outcome.outcome == SKIPPED and outcome.hint and outcome.reason and " on the PCI bus" in outcome.reason:
        missing = {_BUS: outcome.reason}
    if missing:
        evidence = {f"snapshot.gpu {what}": why for what, why in missing.items()}
        return RuleResult(Judgement(False, evidence), actual="; ".join(f"{what}: {why}" for what, why in missing.items()))
    if _BUS in outcome.absent:
        return unknown_because({_BUS: outcome.absent[_BUS]})
    if _BUS in outcome.unreadable:
        return unknown_because({_BUS: outcome.unreadable[_BUS]})
    try:
        count = node.read(GPU_COUNT)
    except Unread as fault:
        return unknown_because({GPU_COUNT: fault.why})
    if count is None:
        return RuleResult(not_applicable=node.absence(GPU_COUNT) or "no GPUs")
    if parse_count(count) is None:
        return unknown_because({GPU_COUNT: not_a_number(count)})
    return RuleResult(Judgement(True, {GPU_COUNT: count}))


def _is_bus_id(text: str) -> bool:
    """``0000:04:00.0``, with a domain of four or eight digits."""
    parts = text.replace(".", ":").split(":")
    return len(parts) == 4 and len(parts[0]) in (4, 8) and all(part and set(part.lower()) <= set("0123456789abcdef") for part in parts)
