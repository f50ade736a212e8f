"""``eidos recipe lint``: what is wrong with recipe data.

Knows how faults are shown and which exit status they mean; must not know any rule.
"""

from __future__ import annotations

from eidos.cli import destination
from eidos.recipe.lint import lint_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

#: Lint found an error; warnings alone are no reason to fail.
FINDINGS = 4


def run_lint(values: Values) -> int:
    """Check the shipped data, or that of ``--data``, and print every fault."""
    faults = lint_path(values["data"])
    errors = sum(fault.severity == "error" for fault in faults)
    fmt = values["format"] or ("json" if values["output"].lower().endswith(".json") else "table")
    if fmt == "table":
        lines = [str(fault) for fault in faults]
        counts = f"{errors} error{'' if errors == 1 else 's'}, {len(faults) - errors} warning{'' if len(faults) - errors == 1 else 's'}"
        text = "".join(f"{line}\n" for line in [*lines, counts])
    else:
        from eidos import formats

        tree = {"errors": errors, "faults": [{k: v for k, v in fault.__dict__.items() if v} for fault in faults]}
        text = formats.to_json(tree) if fmt == "json" else formats.to_yaml(tree)
    destination.write(values["output"], text)
    return FINDINGS if errors else 0
