"""Checks: what is wrong with a node, and what to do about it.

Knows where each part of checking lies; must not know any check. Everything here is pure: a snapshot, a recipe and data go in, a
:class:`~eidos.model.check_report.CheckReport` comes out of :func:`eidos.check.judge.judge`. :func:`eidos.workflow.check_node` is the face.

**A check that an expression can say** is an entry in ``recipes/checks/<domain>.yaml``; nothing else is edited. ``definitions`` shows the
form, :mod:`eidos.model.condition` the language, ``derived_readings`` the names beside readings (``query.os``, ``node.driver-owner``). The
file's name is the domain. ``eidos recipe lint`` reads every entry, and a test asks for a case in which it passes, fails and is unknown.

**A check that needs code** is such an entry with ``rule: name`` instead of ``expect``, and ``eidos/check/rules/name.py`` with
``judge(context: RuleContext) -> RuleResult``. Several entries may name one rule; ``context.path`` is that of the entry. A rule reads
through ``evaluation.read_each`` and ``read_instances``, which give the readings that are there and why others are not known; what is not
known goes into ``unknown_because``, unless what is known decides, as ``eidos.check.rules.end_of_life`` does.

**Remedies** of an entry stand in it, one for each distribution and owner, the first whose ``when`` holds is taken
(``evaluation.choose_remedy``). Those of settings that a recipe recommends come from ``setting_remedies.setting_remedy(path, value, node)``,
which takes the form of each setting from :mod:`eidos.host_settings`.
Both are :class:`~eidos.model.finding.Remedy` records: what writes a script from them, or applies them, needs nothing else.

**A renderer** is a module with ``render(reports: tuple[CheckReport, ...]) -> str`` and one row in ``report_formats.FORMATS``; the command
line and the server read that table. It gets reports whose findings are ordered already, and knows no check. The table for people, which
has a width and colours, is ``eidos/cli/check_table.py``.

**What is not known stays unknown**: ``node_readings`` decides whether a missing reading is absent; nothing else does.
"""

from __future__ import annotations
