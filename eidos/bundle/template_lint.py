"""Checks templates of bundles, and locates every fault in them.

Knows the form of a set of templates; must not know any component. Scripts are checked with ``bash -n`` and shellcheck, with sample values
in place of their placeholders; a warning says which of these programs the machine lacks.

>>> from eidos.bundle.template_sets import Templates
>>> index = {"version": "1.0.0", "recipe": "recipe.dgxc.io/v1", "files": [{"template": "README.md"}]}
>>> [
...     str(fault)
...     for fault in lint_templates(
...         Templates({"x/bundle.yaml": [index], "x/README.md": "@{image.drver} @{componet.id}"}), ["x"], shell=False
...     )
... ]
["templates/bundles/x/README.md:1: error: undefined variable 'componet.id' [unknown-name]"]
"""

from __future__ import annotations

import os
import time

from eidos.bundle import template_sets
from eidos.errors import EidosError
from eidos.model.lint_issue import ERROR, WARNING, LintIssue, deduplicated
from eidos.model.query import FIELDS
from eidos.process.run import EXITED, TIMED_OUT, Command, find_program, run_program
from eidos.templates.text_template import fill_text
from eidos.templates.tree_template import placeholder_line, placeholders
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any

    from eidos.bundle.template_sets import TemplateFile, Templates

#: Variables of every component; see :mod:`eidos.bundle.template_variables`.
_SHARED = (
    *("driver.version", "cuda-version", "cuda-version.tag", "os.tag", "os.tag.major", "request", "generic", "registry", "eidos.version"),
    *(f"recipe.{name}" for name in ("timestamp", "version", "digest", "title")),
    *(f"query.{field}" for field in FIELDS),
    *(f"{what}.{kind}" for what in ("node-selector", "toleration") for kind in ("accelerated", "system")),
)
_COMPONENT = (
    "manifests",
    *(f"component.{n}" for n in ("id", "title", "release", "chart", "chart-ref", "repository", "version", "namespace", "why", "depends")),
    *(f"host.{n}" for n in ("files", "items", "digest", "affinity", "expressions", "package", "package.interrupt")),
    *(f"component.{n}" for n in ("served-by", "parts", "crds", "crds-unknown", "fetched", "upgrades")),
)
_BUNDLE = (
    *("order", "order.reverse", "components-table", "readings-table", "charts.note", "existing.summary", "unchecked"),
    *("images.note", "images.pairs", "images.registry"),
    *(f"host.{n}" for n in ("settings-table", "documents", "on-node", "persistence", "uncovered", "summary", "not-covered")),
)

#: Subtypes of readings; their keys depend on the recipe.
_READINGS = ("image.", "config.", "smi.", "server.", "node.", "policy.", "grub.", "kmod.", "release.", "sysctl.")

#: The time limit of a program for one script.
TIMEOUT_S = 60


def lint_templates(templates: Templates, components: Collection[str], *, shell: bool = True) -> list[LintIssue]:
    """The faults of every set of templates, by location; ``components`` are the ids in components.yaml."""
    faults: list[LintIssue] = []
    scripts: list[tuple[str, str]] = []
    for id in templates.ids():
        faults += _lint_set(templates, id, components, scripts)
    if shell:
        faults += _lint_scripts(scripts)
    return deduplicated(faults)


def _lint_set(templates: Templates, id: str, components: Collection[str], scripts: list[tuple[str, str]]) -> Iterator[LintIssue]:
    path = f"{id}/{template_sets.INDEX}"
    index_name = templates.name(path)
    if id not in template_sets.RESERVED and id not in components:
        yield LintIssue(ERROR, "unknown-component", index_name, f"unknown component {id!r}", did_you_mean(id, components) or "")
    try:
        index = templates.documents(path)[0]
        template_set = template_sets.read_template_set(templates, id)
    except (EidosError, IndexError) as fault:
        message = fault.message if isinstance(fault, EidosError) else "it is empty"
        yield LintIssue(ERROR, "form", index_name, message.removeprefix(f"{index_name}: "), getattr(fault, "hint", "") or "")
        return
    for key in index:
        if key not in template_sets.KEYS:
            yield LintIssue(ERROR, "unknown-key", f"{index_name}: {key}", "unknown key", did_you_mean(key, template_sets.KEYS) or "")
    for number, item in enumerate(index.get("files") or []):
        for key in item:
            if key not in template_sets.FILE_KEYS:
                hint = did_you_mean(key, template_sets.FILE_KEYS) or ""
                yield LintIssue(ERROR, "unknown-key", f"{index_name}: files[{number}].{key}", "unknown key", hint)
    known = _variables(templates, id, index)
    used = set()
    for file in template_set.files:
        used.add(file.template)
        yield from _lint_file(templates, file, known, scripts)
        if file.when and not _is_known(file.when, known):
            message = f"undefined variable {file.when!r}"
            yield LintIssue(ERROR, "unknown-name", f"{index_name}: {file.target}.when", message, did_you_mean(file.when, known) or "")
    for other in templates.contents:
        if other.startswith(f"{id}/") and other not in used and other != path:
            yield LintIssue(WARNING, "unknown-file", templates.name(other), "unknown file", f"name it in {index_name}")


def _variables(templates: Templates, id: str, index: dict[str, Any]) -> set[str]:
    """The variables that templates of a set may use, other than readings and values."""
    known = {*_SHARED, *(_BUNDLE if id == template_sets.ALL else _COMPONENT)}
    trees = [index]
    if index.get("extends"):
        trees += templates.documents(f"{index['extends']}/{template_sets.INDEX}")[:1]
    for tree in trees:
        settings = [tree.get("settings") or {}]
        for key in ("versions", "services"):
            settings += [inner or {} for inner in (tree.get(key) or {}).values()]
        known |= {f"setting.{name}" for setting in settings if isinstance(setting, dict) for name in setting}
    return known


def _is_known(name: str, known: Collection[str]) -> bool:
    return name in known or name.startswith((*_READINGS, "values."))


def _lint_file(templates: Templates, file: TemplateFile, known: Collection[str], scripts: list[tuple[str, str]]) -> Iterator[LintIssue]:
    name = templates.name(file.template)
    used: list[tuple[str, int, str]] = []
    try:
        if file.kind == template_sets.DATA:
            documents = templates.documents(file.template)
            source = templates.source(file.template)
            used = [(one.name, placeholder_line(source, one.name), "") for one in placeholders(documents)]
            for one in placeholders(documents, of_keys=True):
                used.append((one.name, placeholder_line(source, one.name), "a placeholder in a key is not replaced"))
        else:
            parts = templates.parts(file.template)
            used = [(part.name, part.line, "") for part in parts if not isinstance(part, str)]
            if file.target.endswith(".sh"):
                problems = _position_problems(templates.source(file.template))
                used = [(variable, line, problem) for (variable, line, _), problem in zip(used, problems)]
                scripts.append((name, fill_text(file.target, parts, _Samples())))
    except EidosError as fault:
        message = fault.message.removeprefix(f"{name}: ").removeprefix(f"{name}, ")
        yield LintIssue(ERROR, "syntax", name, message, fault.hint or "")
        return
    for variable, line, problem in used:
        if not _is_known(variable, known) and not (variable.startswith("setting.") and file.template.startswith(f"{template_sets.EVERY}/")):
            yield LintIssue(
                ERROR, "unknown-name", f"{name}:{line}", f"undefined variable {variable!r}", did_you_mean(variable, known) or ""
            )
        if problem:
            yield LintIssue(ERROR, "misplaced", f"{name}:{line}", problem)


def _position_problems(script: str) -> Iterator[str]:
    """For each placeholder of a script what is wrong with its position, or "": it becomes words, so a word must be able to begin there."""
    from eidos.templates.template_syntax import placeholder_offsets

    for offset in placeholder_offsets(script):
        before = script[script.rfind("\n", 0, offset) + 1 : offset]
        unescaped = before.replace("\\'", "").replace('\\"', "")
        if before.lstrip().startswith("#") or " # " in before:
            yield "a placeholder in a comment: a value with a line break would end the comment"
        elif unescaped.count('"') % 2 or unescaped.count("'") % 2:
            yield "a placeholder inside quotes: remove the quotes, the value is quoted already"
        elif before and before[-1] not in " \t=(;":
            yield "a placeholder in the middle of a word: assign it to a variable first"
        else:
            yield ""


class _Samples(dict[str, str]):
    """A value for every name, so that a script can be parsed."""

    def get(self, key: str, default: Any = None) -> Any:  # a mapping's signature
        """A word."""
        return "sample"


def _lint_scripts(scripts: list[tuple[str, str]]) -> Iterator[LintIssue]:
    """The faults that bash and shellcheck report."""
    for program in ("bash", "shellcheck"):
        path = find_program(program, os.environ)
        if path is None:
            if scripts:
                yield LintIssue(
                    WARNING,
                    f"no-{program}",
                    "templates",
                    f"{program} is not installed: scripts were not checked with it",
                    f"install {program}",
                )
            continue
        for name, content in scripts:
            # Those that are for any POSIX shell say so in their first line.
            shell = "sh" if content.startswith(("#!/bin/sh\n", "# shellcheck shell=sh")) else "bash"
            arguments = ("-n",) if program == "bash" else (f"--shell={shell}", "--format=gcc", "-")
            yield from _lint_script(name, content, program, (path, *arguments))


def _lint_script(name: str, content: str, program: str, command: tuple[str, ...]) -> Iterator[LintIssue]:
    result = run_program(Command(command, content.encode()), time.monotonic() + TIMEOUT_S)
    if result.outcome != EXITED:
        why = result.start_error or (f"timed out after {TIMEOUT_S} seconds" if result.outcome == TIMED_OUT else "too much output")
        yield LintIssue(WARNING, program, name, f"{program} failed: {why}")
        return
    output = result.output + result.errors
    for line in output.decode(errors="backslashreplace").splitlines() if result.status else []:
        # "-:12:3: warning: … [SC2086]" and "bash: line 12: …"
        where, _, message = line.partition(": ")
        number = where.split(":")[1] if where.count(":") > 1 else message.partition(":")[0].removeprefix("line ")
        yield LintIssue(ERROR, program, f"{name}:{number}" if number.isdigit() else name, message)
