"""Whether the InfoROM of each GPU could be read, the memory on the board that holds its configuration and its errors.

Knows how the collector of GPUs reports one that is corrupted (NVML_ERROR_CORRUPTED_INFOROM, and the text of nvidia-smi); must not know what
an InfoROM holds. Such a GPU answers everything else, and programs may run on it, so its other readings are no evidence.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_instances, unknown_because
from eidos.check.node_readings import GPUS
from eidos.model.condition_nodes import Judgement

_KEY, _INFOROM, _CORRUPTED = ".inforom.image", "inforom", "corrupted"


def judge(context: RuleContext) -> RuleResult:
    """Fails with each GPU of which the driver says that it is corrupted."""
    node = context.node
    versions, gaps = read_instances(node, GPUS, _KEY)
    outcome = node.outcomes.get("gpu")
    reported = {f"GPU.{what.replace('/', '.', 1)}": why for what, why in outcome.unreadable.items()} if outcome else {}
    corrupted = {
        path: why
        for path, why in {**reported, **gaps}.items()
        if path.startswith(GPUS) and _CORRUPTED in why.lower() and (_INFOROM in why.lower() or f".{_INFOROM}." in path)
    }
    if corrupted:
        names = dict.fromkeys(path.split(".")[1] for path in corrupted)
        return RuleResult(Judgement(False, corrupted), actual=f"corrupted ({', '.join(names)})")
    missing = node.unread_instances(GPUS)
    if gaps or missing:
        return unknown_because(gaps or {f"{GPUS}*{_KEY}": missing})
    if not versions:
        return RuleResult(not_applicable=node.absence(f"{GPUS}*{_KEY}") or "the driver reports no InfoROM")
    evidence = {f"{GPUS}{gpu}{_KEY}": version for gpu, version in versions.items()}
    return RuleResult(Judgement(True, evidence), actual=", ".join(dict.fromkeys(versions.values())))
