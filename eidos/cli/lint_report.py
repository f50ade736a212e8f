"""What lint found, for people and for programs.

Knows how faults are shown; must not know any rule.
"""

from __future__ import annotations

from eidos.cli import document_locations
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.model.lint import Fault


def show(faults: Sequence[Fault], fmt: str | None, place: str) -> int:
    """Write every fault to ``place`` and give the number of errors."""
    errors = sum(fault.severity == "error" for fault in faults)
    fmt = document_locations.format_for(fmt, place, "table")
    if fmt == "table":
        lines = [printable(line) for fault in faults for line in (str(fault), *([f"  hint: {fault.hint}"] if fault.hint else []))]
        counts = f"{errors} error{'' if errors == 1 else 's'}, {len(faults) - errors} warning{'' if len(faults) - errors == 1 else 's'}"
        text = "".join(f"{line}\n" for line in [*lines, counts])
    else:
        from eidos import formats

        tree = {"errors": errors, "faults": [{k: v for k, v in fault.__dict__.items() if v} for fault in faults]}
        text = formats.to_json(tree) if fmt == "json" else formats.to_yaml(tree)
    document_locations.write(place, text)
    return errors
