"""``eidos recipe lint``: what is wrong with recipe data.

Knows which data is meant and which exit status faults mean; must not know any rule.
"""

from __future__ import annotations

from eidos.cli.lint_report import show
from eidos.recipe.lint import lint_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

#: Lint found an error; warnings alone are no reason to fail.
FINDINGS = 4


def run_lint(values: Values) -> int:
    """Check the shipped data, or that of ``--data``, and print every fault."""
    return FINDINGS if show(lint_path(values["data"]), values["format"], values["output"]) else 0
