"""Whether devices on the bus have all their PCIe lanes: GPUs that no driver judges, NVSwitches, and adapters for RDMA.

Knows which kinds of devices are in slots with all their lanes by design; must not know any model. Of GPUs with a driver NVML says more;
other network cards and disks are often in smaller slots.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.check.node_readings import not_a_number
from eidos.model.condition_nodes import Judgement
from eidos.model.quantity import parse_count

_PREFIX = "OS.pci."
_KEYS = ("driver", "width", "max-width")


def judge(context: RuleContext) -> RuleResult:
    """Fails with each device that has fewer lanes than it could."""
    kinds, unread = read_instances(context.node, _PREFIX, ".kind", ("pci/devices", "uevent"))
    evidence: dict[str, str] = {}
    decisive: dict[str, str] = {}
    narrow: list[str] = []
    for device, kind in kinds.items():
        if kind not in ("gpu", "nic", "nvswitch"):
            continue
        values, gaps = read_each(context.node, [f"{_PREFIX}{device}.{key}" for key in _KEYS])
        driver, width, maximum = (values.get(f"{_PREFIX}{device}.{key}", "") for key in _KEYS)
        if (kind == "gpu" and driver == "nvidia") or (kind == "nic" and driver not in ("mlx5_core", "")):
            continue
        lanes = {f"{_PREFIX}{device}.{key}": text for key, text in (("width", width), ("max-width", maximum)) if text}
        gaps.update({path: not_a_number(text) for path, text in lanes.items() if parse_count(text) is None})
        if gaps:
            unread.update(gaps)
        elif len(lanes) == 2:
            own = {f"{_PREFIX}{device}.kind": kind, **values}
            evidence.update(own)
            if 0 < int(width) < int(maximum):
                narrow.append(f"{device} ({kind}) {width} of {maximum} lanes")
                decisive.update(own)
    if narrow:
        return RuleResult(Judgement(False, decisive), actual=", ".join(narrow))
    if unread:
        return unknown_because(unread, evidence)
    if not evidence:
        return RuleResult(not_applicable="no such device")
    return RuleResult(Judgement(True, evidence), actual=f"{sum(path.endswith('.kind') for path in evidence)} devices with all lanes")
