"""``eidos recipe lint``: what is wrong with recipe data.

Knows how faults are shown and which exit status they mean; must not know any rule.
"""

from __future__ import annotations

from eidos.cli import destination
from eidos.log import printable
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
    fmt = destination.format_for(values["format"], values["output"], "table")
    if fmt == "table":
        lines = [printable(line) for fault in faults for line in (str(fault), *([f"  hint: {fault.hint}"] if fault.hint else []))]
        counts = f"{errors} error{'' if errors == 1 else 's'}, {len(faults) - errors} warning{'' if len(faults) - errors == 1 else 's'}"
        text = "".join(f"{line}\n" for line in [*lines, counts])
    else:
        from eidos.cli.recipe import emit

        text = emit(fmt, {"errors": errors, "faults": [{k: v for k, v in fault.__dict__.items() if v} for fault in faults]})
    destination.write(values["output"], text)
    return FINDINGS if errors else 0
