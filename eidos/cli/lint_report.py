"""``eidos recipe lint`` and ``eidos bundle lint``: the issues of recipe data and of templates.

Knows which data is checked, how issues are shown and the exit status; must not know any rule.
"""

from __future__ import annotations

from eidos.cli import document_locations
from eidos.cli.exit_status import FINDINGS
from eidos.errors import InvalidInput
from eidos.formats import serialize
from eidos.log import printable
from eidos.model.measurement import TYPES
from eidos.terminal import fit_locale
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.cli.options import Values
    from eidos.model.lint_issue import LintIssue


def lint_recipe_data(values: Values) -> int:
    """Check the shipped recipe data, or that of ``--plugin`` and ``--data``, and report every issue."""
    from eidos.check.check_lint import lint_checks, references
    from eidos.cli.recipe_query import with_plugins
    from eidos.collectors import list_collectors
    from eidos.files.resources import load_recipes
    from eidos.model.lint_issue import READING
    from eidos.recipe.lint import lint_path, lint_stack
    from eidos.recipe.lint.file_forms import read_stack
    from eidos.recipe.lint.references import reference_issues
    from eidos.recipe.store import check_trees

    data, today = values["data"] or (), values["today"] or ""
    parts = document_locations.read_data(data, values) if data else ()
    parts = with_plugins(values["plugin"], parts, data)
    issues = lint_stack(parts, today) if parts else lint_path(data[0] if data else None, today)
    trees = check_trees(parts)
    issues += lint_checks(trees)
    known = [reference.text for reference in references(check_trees()) if reference.kind == READING]
    known += [f"{TYPES[group]}.{subject}" for group, _, subject in (name.partition(".") for name in list_collectors()) if subject]
    issues += reference_issues(references(trees), known, read_stack(parts, load_recipes(), today))
    return _write_report(issues, values["format"], values["output"])


def lint_templates(values: Values) -> int:
    """Check the shipped templates, or those of ``--templates`` laid over them, and report every issue."""
    flags = [f"--{name}" for name in ("file", "output", "archive", "bundlers", "set", "values") if values[name]]
    if flags:
        raise InvalidInput(f"eidos bundle lint does not take {', '.join(flags)}")
    from eidos.bundle import template_lint, template_sets
    from eidos.recipe.charts import component_ids
    from eidos.recipe.lint import lint_values_files

    templates = template_sets.shipped_templates()
    for plugin in values["plugin"]:
        templates = template_sets.overlay_plugin(templates, plugin)
    if values["templates"] is not None:
        templates = template_sets.overlay_folder(templates, values["templates"])
    issues = [
        *template_lint.lint_templates(templates, component_ids(values["data"], values["plugin"])),
        *lint_values_files(values["data"]),
    ]
    return _write_report(issues, values["format"], document_locations.STDOUT)


def _write_report(issues: Sequence[LintIssue], fmt: str | None, location: str) -> int:
    """Write every issue to ``location``; the exit status: warnings alone are no reason to fail."""
    errors = sum(issue.severity == "error" for issue in issues)
    fmt = document_locations.choose_format(fmt, location, "table")
    if fmt == "table":
        lines = [printable(line) for issue in issues for line in (str(issue), *([f"  hint: {issue.hint}"] if issue.hint else []))]
        counts = f"{count_of(errors, 'error')}, {count_of(len(issues) - errors, 'warning')}"
        text = "".join(f"{line}\n" for line in [*lines, counts])
        text = fit_locale(text) if location == document_locations.STDOUT else text
    else:
        tree = {"errors": errors, "faults": [issue.to_tree() for issue in issues]}
        text = serialize(tree, fmt)
    document_locations.write_document(location, text)
    return FINDINGS if errors else 0
