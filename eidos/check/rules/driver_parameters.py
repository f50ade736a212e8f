"""Whether the driver runs with the parameters that modprobe.d sets.

Knows that ``NVreg_X`` of modprobe.d is ``X`` among the parameters in effect; must not know any parameter. A parameter that the driver does
not list is not judged: it may be of another release.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement

_OPTIONS, _RUNNING, _LOADED = "OS.boot-modprobe.options.nvidia.NVreg_", "OS.modules.nvidia.driver.", "OS.modules.nvidia.loaded"
_OWNER = "node.driver-owner"


def judge(context: RuleContext) -> RuleResult:
    """Fails with each parameter that is set to one value and runs with another."""
    node = context.node
    options, gaps = read_instances(node, _OPTIONS, "", ("modprobe.d", "driver/nvidia/params"))
    if not options:
        return unknown_because(gaps) if gaps else RuleResult(not_applicable="modprobe.d sets no parameter of the driver")
    state, unread = read_each(node, [_LOADED, _OWNER])
    if unread:
        return unknown_because(unread)
    if _LOADED not in state:
        return RuleResult(not_applicable="the driver is not loaded")
    if state.get(_OWNER) == "driver-container":
        return RuleResult(not_applicable="a driver container does not read the host's modprobe.d")
    running, unread = read_each(node, [f"{_RUNNING}{name}" for name in options])
    evidence: dict[str, str] = {}
    different: dict[str, str] = {}
    for name, option in options.items():
        value = running.get(f"{_RUNNING}{name}")
        if value is not None:
            pair = {f"{_OPTIONS}{name}": option, f"{_RUNNING}{name}": value}
            (evidence if _number(option) == _number(value) else different).update(pair)
    if different:
        return RuleResult(Judgement(False, different), actual=", ".join(f"{path.rpartition('.')[2]} {v}" for path, v in different.items()))
    if gaps or unread:
        return unknown_because({**gaps, **unread}, evidence)
    if not evidence:
        return RuleResult(not_applicable="the driver does not list these parameters")
    actual = ", ".join(f"{name} {text}" for name, text in options.items())
    return RuleResult(Judgement(True, {_LOADED: state[_LOADED], **evidence}), actual=actual)


def _number(text: str) -> int | str:
    """A parameter as the driver reads it: a number, also in hexadecimal, or a text.

    >>> _number("0x10"), _number("16"), _number("1.5")
    (16, 16, '1.5')
    """
    try:
        return int(text[:20], 0)
    except ValueError:
        return text.strip('"')
