"""The plan of a bundle for people: as a table, and as Markdown.

Knows columns and headings; must not know how a plan is made.
"""

from __future__ import annotations

from eidos.formats.table import INDENT, aligned_rows, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable
from eidos.model.bundle_plan import REFUSE
from eidos.model.query import written_fields
from eidos.templates.text_template import escape_markdown, markdown_code
from eidos.terminal import BOLD, RED, YELLOW, paint
from eidos.wording import count_of, list_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from eidos.model.bundle_plan import BundlePlan, ComponentDecision, PlannedComponent

_NOT_KNOWN = "not known"
_RIGHTS_NOTE = "With the charts' own values; what an operator creates while it runs is not included."


def plan_table(plan: BundlePlan, width: int, colour: bool) -> str:
    """``plan`` as lines of at most ``width`` columns."""
    width, bold = line_width(width), BOLD if colour else ""
    facts = [("Recipe for", written_fields(plan.request) or "any GPU node"), ("Bundle", _size(plan.files, plan.bytes))]
    facts += [("Compared with", f"the snapshot {plan.existing}")] if plan.existing else []
    facts += [("Not known", sentence) for sentence in plan.unknown]
    blocks = [list(key_value_rows(facts, width, ""))]
    lines = [heading("Components, in order of installation", str(len(plan.components)), width, bold)]
    rows = [(f"{number} {each.id}", _outline(each)) for number, each in enumerate(plan.components, 1)]
    for each, row in zip(plan.components, aligned_rows(rows, width)):
        lines += row
        shade = RED if each.error or (each.decision and each.decision.action == REFUSE) else ""
        lines += [paint(line, shade, colour and bool(shade)) for text in _asides(each) for line in _aside(text, width)]
    blocks.append(lines)
    if plan.left_out:
        lines = [heading("Left out", str(len(plan.left_out)), width, bold)]
        blocks.append([*lines, *_paragraphs([(each.id, each.reason) for each in plan.left_out], width)])
    sections: tuple[tuple[str, list[tuple[str, str]]], ...] = (
        ("What needs a reboot, a drain or a restart", [(f"{item.needs} {owner}", item.what) for owner, item in plan.interruptions()]),
        ("ClusterRoles with wildcards", [(id, f"{role}: {rule}") for id, role, rule in _wildcards(plan)]),
    )
    for title, pairs in sections:
        if pairs or title.startswith("What needs"):
            lines = [heading(title, str(len(pairs)), width, bold)]
            blocks.append([*lines, *(_paragraphs(pairs, width) if pairs else [f"{INDENT}nothing"])])
    if plan.node:
        rows = [(setting.name, _carrier(setting)) for setting in plan.node.settings]
        blocks.append([heading("Settings of the host", str(len(rows)), width, bold), *key_value_rows(rows, width)])
    lines = [heading("Images", str(sum(len(each.images) for each in plan.components)), width, bold)]
    for each in plan.components:
        lines += [f"{INDENT}{each.id}", *(line for text in _images(each) for line in _aside(text, width))]
    blocks.append(lines)
    warnings = _warnings(plan)
    if warnings:
        lines = [heading("Warnings", str(len(warnings)), width, YELLOW if colour else "")]
        blocks.append([*lines, *(line for text in warnings for line in _aside(text, width, 1))])
    return join_blocks(blocks)


def plan_markdown(plan: BundlePlan) -> str:
    """``plan`` as a document in Markdown."""
    lines = ["# Plan of a bundle", "", f"Recipe for: {escape_markdown(written_fields(plan.request) or 'any GPU node')}", ""]
    lines += [f"The bundle has {_size(plan.files, plan.bytes)}. How large images are is not known.", ""]
    if plan.existing:
        lines += [f"Compared with the snapshot {escape_markdown(plan.existing)}.", ""]
        lines += [f"- {escape_markdown(sentence)}" for sentence in plan.unknown] + [""] * bool(plan.unknown)
    heads = ["", "component", "chart", "version", "namespace", "files", "images", "ClusterRoles"]
    rows = [
        [
            str(number),
            each.id,
            each.chart or "manifests",
            each.version,
            each.namespace,
            str(each.files),
            str(len(each.images)),
            _roles(each),
        ]
        for number, each in enumerate(plan.components, 1)
    ]
    if plan.existing:
        heads += ["runs", "decision"]
        rows = [[*row, each.decision.running, each.decision.action] if each.decision else row for row, each in zip(rows, plan.components)]
    lines += ["## Components, in order of installation", "", *_table(heads, rows), ""]
    notes = [f"- **{each.id}**: {escape_markdown(text)}" for each in plan.components for text in _asides(each)]
    lines += [*notes, ""] if notes else []
    if plan.left_out:
        lines += ["## Left out", "", *(f"- **{each.id}**: {escape_markdown(each.reason)}" for each in plan.left_out), ""]
    rows = [[item.needs, owner, item.what] for owner, item in plan.interruptions()]
    lines += ["## What needs a reboot, a drain or a restart", ""]
    lines += [*(_table(["", "by", "what"], rows) if rows else ["Nothing."]), ""]
    lines += ["## ClusterRoles with wildcards", "", _RIGHTS_NOTE, ""]
    unknown = [each.id for each in plan.components if each.rights is None and not each.error]
    lines += [f"Not known: {', '.join(unknown)}.", ""] if unknown else []
    wildcards = [list(row) for row in _wildcards(plan)]
    lines += [*(_table(["component", "role", "rule"], wildcards) if wildcards else ["None."]), ""]
    if plan.node:
        rows = [[setting.name, setting.value, setting.by or f"not covered: {setting.reason}"] for setting in plan.node.settings]
        lines += ["## Settings of the host", "", *_table(["setting", "value", "brought by"], rows), ""]
    lines += ["## Images", ""]
    lines += [f"- {each.id}: {escape_markdown(text)}" for each in plan.components for text in _images(each)] + [""]
    warnings = _warnings(plan)
    if warnings:
        lines += ["## Warnings", "", *(f"- {escape_markdown(text)}" for text in warnings), ""]
    return "\n".join(lines).rstrip() + "\n"


def _outline(each: PlannedComponent) -> str:
    if each.error:
        return f"failed: {each.error}"
    action = f"{each.decision.action}: " if each.decision else ""
    chart = f"{each.chart} {each.version}" if each.chart else f"manifests {each.version}".rstrip()
    size = _size(each.files, each.bytes) + _carried(each)
    parts = [f"{action}{chart} in {each.namespace}", size, count_of(len(each.images), "image"), _roles(each, True)]
    return ", ".join(parts)


def _carried(each: PlannedComponent) -> str:
    return f" and a chart of {each.chart_bytes:,} bytes" if each.chart_bytes else ""


def _asides(each: PlannedComponent) -> Iterator[str]:
    """What there is to say of a component besides its outline."""
    decision: ComponentDecision | None = each.decision
    if decision is not None:
        yield from filter(None, (decision.reason, *decision.steps, decision.hint))


def _roles(each: PlannedComponent, is_long: bool = False) -> str:
    if each.rights is None:
        return f"ClusterRoles {_NOT_KNOWN}" if is_long else _NOT_KNOWN
    return count_of(each.rights.cluster_roles, "ClusterRole") if is_long else str(each.rights.cluster_roles)


def _wildcards(plan: BundlePlan) -> Iterator[tuple[str, str, str]]:
    """Component, role and rule."""
    for each in plan.components:
        for rule in each.rights.wildcards if each.rights else ():
            yield each.id, str(rule["role"]), _rule(rule)


def _rule(rule: dict[str, Any]) -> str:
    """A rule in words: ``* on configmaps, secrets``."""
    what = [*rule.get("resources", ()), *rule.get("nonResourceURLs", ())]
    shown = list_first(what, 4 if len(what) < 5 else 3)
    groups = ", ".join(group for group in rule.get("apiGroups", ()) if group)
    return f"{', '.join(rule.get('verbs', ()))} on {shown}{groups and f' of {groups}'}"


def _carrier(setting: Any) -> str:
    value = f"{' '.join(setting.value.split())} " if setting.value else ""
    return f"{value}by {setting.by}" if setting.by else f"{value}is not covered: {setting.reason}"


def _images(each: PlannedComponent) -> Iterator[str]:
    yield from each.images
    yield from (f"optional: {image}" for image in each.optional_images)
    yield from (f"{_NOT_KNOWN}: {sentence}" for sentence in each.unknown)


def _warnings(plan: BundlePlan) -> list[str]:
    return [
        *plan.warnings,
        *(f"not from the mirror: {sentence}" for sentence in plan.unmirrored),
        *plan.missing_charts,
        *plan.missing_images,
    ]


def _size(files: int, size: int) -> str:
    return f"{count_of(files, 'file')} of {size:,} bytes"


def _paragraphs(pairs: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Keys and sentences in two columns; a sentence is never cut."""
    pairs = list(pairs)
    for (_, text), lines in zip(pairs, aligned_rows([(key, "") for key, _ in pairs], width)):
        yield lines[0].rstrip()
        yield from _aside(text, width)


def _aside(text: str, width: int, level: int = 2) -> list[str]:
    indent = INDENT * level
    return [indent + line for line in wrap(printable(text), width - len(indent), max_lines=len(text))] if text else []


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    cells = [[markdown_code(cell) if "*" in cell else escape_markdown(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *cells)]
