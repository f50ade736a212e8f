"""Checks that an expression cannot say: a module each, named by ``rule`` of its entry in ``recipes/checks``.

Knows nothing itself; must not know any rule: ``eidos.check.evaluation.load_rule`` imports one by its name. A module has
``judge(context: RuleContext) -> RuleResult`` and imports no other rule.
"""

from __future__ import annotations
