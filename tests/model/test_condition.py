"""Conditions: read, judged, and refused where the fault is."""

from __future__ import annotations

import json

import pytest

from eidos.model.condition import DictLookup, InvalidCondition, parse_condition
from eidos.model.condition_nodes import condition_tree, stored_condition
from eidos.model.constraint import parse_expression

NODE = {
    "OS.kmod.nvidia": "true",
    "GPU.smi.driver": "580.82.07",
    "OS.sysctl./proc/sys/kernel/numa_balancing": "0",
    "OS.grub.console": "ttyS0,115200",
    "query.gpu": "h100",
    "GPU.gpu-0.ecc.current": "Enabled",
    "GPU.gpu-0.ecc.pending": "Enabled",
    "GPU.gpu-1.ecc.current": "Enabled",
    "GPU.gpu-1.ecc.pending": "Disabled",
    "GPU.gpu-0.memory.total-mib": "81559",
    "GPU.gpu-1.memory.total-mib": "81559",
    "GPU.gpu-0.vbios-version": "96.00.89.00.01",
    "GPU.gpu-1.vbios-version": "96.00.89.00.01",
}


@pytest.mark.parametrize(
    ("text", "value", "evidence"),
    [
        ("OS.kmod.nvidia", True, ["OS.kmod.nvidia"]),
        ("OS.kmod.nouveau absent", True, ["OS.kmod.nouveau"]),
        ("OS.kmod.nouveau == true", False, ["OS.kmod.nouveau"]),
        ("OS.kmod.nouveau != true", True, ["OS.kmod.nouveau"]),
        ("GPU.smi.driver >= 580, != 580.95", True, ["GPU.smi.driver"]),
        ("GPU.smi.driver >= 575 and < 580", False, None),
        ("GPU.smi.driver matches /^5[78]0[.]/ or OS.kmod.nouveau", True, ["GPU.smi.driver"]),
        ("query.gpu in (h100, h200)", True, ["query.gpu"]),
        ("query.gpu in [a100]", False, ["query.gpu"]),
        ("OS.sysctl./proc/sys/kernel/numa_balancing == 0", True, ["OS.sysctl./proc/sys/kernel/numa_balancing"]),
        ('OS.grub.console == "ttyS0,115200"', True, ["OS.grub.console"]),
        ("all(GPU.gpu-*.ecc.current == GPU.gpu-*.ecc.pending)", False, ["GPU.gpu-1.ecc.current", "GPU.gpu-1.ecc.pending"]),
        ("any(GPU.gpu-*.ecc.current != GPU.gpu-*.ecc.pending)", True, ["GPU.gpu-1.ecc.current", "GPU.gpu-1.ecc.pending"]),
        ("none(GPU.gpu-*.ecc.pending == Unknown)", True, ["GPU.gpu-0.ecc.pending", "GPU.gpu-1.ecc.pending"]),
        ("all(GPU.gpu-*.memory.total-mib >= 79 GiB)", True, ["GPU.gpu-0.memory.total-mib", "GPU.gpu-1.memory.total-mib"]),
        ("all(GPU.gpu-*.memory.total-mib >= 80GiB)", False, ["GPU.gpu-0.memory.total-mib", "GPU.gpu-1.memory.total-mib"]),
        ("same(GPU.gpu-*.vbios-version)", True, ["GPU.gpu-0.vbios-version", "GPU.gpu-1.vbios-version"]),
        ("same(GPU.gpu-*.ecc.pending)", False, ["GPU.gpu-0.ecc.pending", "GPU.gpu-1.ecc.pending"]),
        ("not (OS.kmod.nouveau or OS.kmod.nvidia absent)", True, ["OS.kmod.nouveau", "OS.kmod.nvidia"]),
        ("all(GPU.gpu-*.serial == 1)", True, []),
    ],
)
def test_conditions_are_judged(text: str, value: bool, evidence: list[str] | None) -> None:
    condition = parse_condition(text) if evidence is not None else None
    if condition is None:  # "and" stands between conditions, so its right side needs a path
        with pytest.raises(InvalidCondition):
            parse_condition(text)
        return
    judgement = condition.evaluate(DictLookup(NODE))
    assert judgement.value is value
    assert list(judgement.evidence) == evidence
    stored = stored_condition(text, json.loads(json.dumps(condition_tree(condition.root))))
    assert stored.evaluate(DictLookup(NODE)) == judgement
    assert stored.paths() == condition.paths()


@pytest.mark.parametrize(
    ("text", "mark", "why"),
    [
        ("", 0, "expected a path"),
        ("driver >= 5", 0, "expected a path such as GPU.smi.driver, not 'driver'"),
        ("GPU.smi.driver >=", 17, "missing value"),
        ("GPU.smi.driver >= six", 18, "needs a version or a number"),
        ("GPU.smi.driver 580", 15, "expected an operator"),
        ("GPU.smi.driver matches /(/", 24, "not closed"),
        ("GPU.smi.driver matches /a{2}/", 25, "counting is not supported"),
        ("(GPU.smi.driver present", 0, "not closed"),
        ("GPU.smi.driver present)", 22, "expected 'and', 'or' or the end"),
        ("all(GPU.smi.driver present)", 0, "needs a path with a *"),
        ("GPU.gpu-*.model present", 8, "belongs into any"),
        ("any(all(GPU.gpu-*.model present))", 4, "cannot be inside another"),
        ("OS.kmod.a present and", 21, "expected a path"),
        ("OS.kmod.a in ()", 13, "an item of the list is empty"),
        ("not " * 30 + "OS.kmod.a", 80, "more than 20 levels"),
    ],
)
def test_what_is_no_condition_is_refused_where_it_is_wrong(text: str, mark: int, why: str) -> None:
    with pytest.raises(InvalidCondition) as caught:
        parse_condition(text)
    assert why in caught.value.message
    assert caught.value.excerpt is not None
    shown, position = caught.value.excerpt
    assert text[mark : mark + 5] == shown[position : position + 5] or abs(text.find(shown.rstrip("…")) + position - mark) <= 1


@pytest.mark.parametrize("value", [">= v24.6.0", "ubuntu", "24.04", ">= 6.8", "== 24.04", "!= 1.33", ">= 1.32.4"])
def test_what_aicr_writes_in_constraints_is_understood(value: str) -> None:
    """Every form of a value in the recipes of NVIDIA/aicr (pkg/constraints/constraint.go, ParseConstraintExpression)."""
    expression = parse_expression(value)
    operand = value.rsplit(" ", maxsplit=1)[-1]
    assert expression.holds(operand) is (not value.startswith("!="))


def test_a_pattern_is_searched_for_in_linear_time() -> None:
    condition = parse_condition("OS.kmod.a matches /(a*)*b/")
    assert condition.evaluate(DictLookup({"OS.kmod.a": "a" * 5_000})).value is False
