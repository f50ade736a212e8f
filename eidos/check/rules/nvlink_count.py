"""Whether each GPU has as many NVLinks as its model.

Knows how many links models have that are connected by NVSwitches or on one board; must not know where they lead. PCIe cards have links only
where a bridge was put on, a guest with one GPU has none, and MIG does not use them, so those are not judged.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.check.node_readings import GPU_COUNT, GPUS, not_a_number
from eidos.model.condition_nodes import Judgement
from eidos.model.quantity import parse_count

#: The model as the driver names it → links: NVIDIA's Fabric Manager User Guide (six NVSwitches with one link each to a V100, with two to an
#: A100; 18 links since Hopper).
LINKS = {
    "Tesla V100-SXM3-32GB": 6,
    "NVIDIA A100-SXM4-40GB": 12,
    "NVIDIA A100-SXM4-80GB": 12,
    "NVIDIA H100 80GB HBM3": 18,
    "NVIDIA H200": 18,
    "NVIDIA B200": 18,
    "NVIDIA B300": 18,
    "NVIDIA B300 SXM6 AC": 18,
    "NVIDIA GB200": 18,
    "NVIDIA GB300": 18,
}


def judge(context: RuleContext) -> RuleResult:
    """Fails with the GPUs that have fewer."""
    node = context.node
    _, unread = read_each(node, [GPU_COUNT])
    models, gaps = read_instances(node, GPUS, ".model")
    why = node.unread_instances(GPUS)
    if unread or gaps or why:
        return unknown_because({**unread, **gaps, **({"GPU.gpu-*.nvlink.links-up": why} if why else {})})
    known = {gpu: LINKS[model] for gpu, model in models.items() if model in LINKS}
    if not known or len(models) < 2:
        return RuleResult(
            not_applicable=node.absence(GPU_COUNT) or "only for models with a known number of NVLinks, and several in one node"
        )
    paths = [f"{GPUS}{gpu}.{key}" for gpu in known for key in ("mig.current", "virtualization-mode")]
    modes, unread = read_each(node, paths)
    if "Enabled" in modes.values() or "VGPU" in modes.values():
        return RuleResult(not_applicable="not for GPUs with MIG, or virtual ones")
    links, gaps = read_each(node, [f"{GPUS}{gpu}.nvlink.links-up" for gpu in known])
    numbers = {path: parse_count(text) for path, text in links.items()}
    gaps.update({path: not_a_number(links[path]) for path, number in numbers.items() if number is None})
    fewer = {
        path: links[path] for path, number in numbers.items() if number is not None and number < known[path[len(GPUS) :].partition(".")[0]]
    }
    expected = ", ".join(str(number) for number in sorted(set(known.values())))
    if fewer and not unread:
        actual = ", ".join(f"{path[4:].partition('.')[0]} {text}" for path, text in fewer.items())
        return RuleResult(Judgement(False, fewer), expected=expected, actual=actual)
    if unread or gaps:
        return unknown_because({**unread, **gaps}, links)
    return RuleResult(Judgement(True, links), expected=expected) if links else RuleResult(not_applicable="the driver reports no NVLinks")
