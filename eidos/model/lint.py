"""One thing that is wrong with data.

Knows how a fault is named and shown; must not know any rule.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ERROR, WARNING = "error", "warning"


class Fault(Record):
    """``rule`` is a short name that stays; ``place`` a file and the path in it; ``source`` the document that says otherwise."""

    severity: str
    rule: str
    place: str
    message: str
    hint: str = ""
    source: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message} [{self.rule}]"


def settled(faults: Iterable[Fault]) -> list[Fault]:
    """Each fault once, by place: of several that one rule found at one place the worst one stands, of equals the first."""
    worst: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        known = worst.get((fault.place, fault.rule))
        if known is None or (known.severity, fault.severity) == (WARNING, ERROR):
            worst[(fault.place, fault.rule)] = fault
    return [worst[key] for key in sorted(worst)]
