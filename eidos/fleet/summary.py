"""What a fleet has to say, in one tree and in one sentence.

Knows classes, and nodes that did not answer; must not know how nodes are reached, nor where a summary goes.

>>> driver = Difference("GPU.smi.driver", "570.86.15", "580.82.07")
>>> classes = [Class("equal", ("gpu-1", "gpu-2")), Class("odd", ("gpu-17",), (driver,)), Class("unknown", ("gpu-3",), unread={"gpu": "x"})]
>>> Summary(tuple(classes), {"gpu-5": Silence("no route to host")}).sentence([])
'2 of 4 equal; gpu-17: GPU.smi.driver 570.86.15, not 580.82.07; gpu-3: unknown, not read: gpu; gpu-5: no answer (no route to host)'
"""

from __future__ import annotations

from eidos import __version__
from eidos.fleet.comparison import EQUAL, ODD, UNKNOWN, Class, Difference
from eidos.fleet.hostlist import folded
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from eidos.fleet.comparison_rules import Said

#: Differences of a class, and classes, that a sentence names.
NAMED, CLASSES = 3, 8

#: Characters of a value that it shows.
WIDTH = 60


class Silence(Record):
    """Why a node did not answer; ``reason`` is the system's own word for it where there is one (``Unschedulable``)."""

    why: str
    hint: str | None = None
    reason: str | None = None


class Summary(Record):
    """``classes`` as :meth:`eidos.fleet.comparison.Fleet.classes` gives them; ``silent`` nodes did not answer."""

    classes: tuple[Class, ...]
    silent: dict[str, Silence] = {}

    @property
    def odd(self) -> list[Class]:
        """Classes that differ from the largest."""
        return [found for found in self.classes if found.kind == ODD]

    @property
    def answered(self) -> int:
        """Nodes whose snapshot is there."""
        return sum(len(found.nodes) for found in self.classes)

    def to_tree(self) -> dict[str, Any]:
        """For programs."""
        counts = {kind: sum(len(found.nodes) for found in self.classes if found.kind == kind) for kind in (EQUAL, ODD, UNKNOWN)}
        silent = [{"node": node, **{k: v for k, v in why.__dict__.items() if v}} for node, why in self.silent.items()]
        return {
            "kind": "FleetSummary",
            "version": __version__,
            "nodes": {"asked": self.answered + len(silent), "answered": self.answered, **counts},
            "classes": [found.to_tree() for found in self.classes],
            "unanswered": silent,
        }

    def sentence(self, said: Sequence[Said]) -> str:
        """All of it in one line."""
        parts = [self._equal(found) for found in self.classes if found.kind == EQUAL] or [f"none of {len(self.silent)} answered"]
        others = [found for found in self.classes if found.kind != EQUAL]
        parts += [f"{folded(found.nodes)}: {briefly(found, said)}" for found in others[:CLASSES]]
        if len(others) > CLASSES:
            parts.append(f"{len(others) - CLASSES} more classes")
        whys: dict[str, list[str]] = {}
        for node, silence in self.silent.items():
            whys.setdefault(_nameless(silence.why, node.rpartition("@")[2]), []).append(node)
        parts += [
            f"{folded(nodes)}: no answer ({_short(why if len(nodes) > 1 else self.silent[nodes[0]].why)})"
            for why, nodes in list(whys.items())[:CLASSES]
        ]
        rest = [node for nodes in list(whys.values())[CLASSES:] for node in nodes]
        if rest:
            parts.append(f"{len(rest)} more did not answer")
        return "; ".join(parts)

    def _equal(self, largest: Class) -> str:
        count = len(largest.nodes)
        ties = any(len(found.nodes) == count for found in self.classes if found is not largest)
        if ties and count == 1:
            said = f"no two of {self.answered} known to be equal, compared with {largest.nodes[0]}"
        else:
            said = f"{count} of {self.answered} equal" + (f", no more than others, compared with {largest.nodes[0]}" if ties else "")
        return said + _unread(", not read: ", largest)


def briefly(found: Class, said: Sequence[Said]) -> str:
    """What is the matter with a class, in a few words."""
    if found.kind == UNKNOWN:
        return f"unknown{_unread(', not read: ', found) or ', the others could not read what is here'}"
    order = {row.path: number for number, row in enumerate(said)}
    differences = sorted(found.differences, key=lambda difference: order.get(difference.path, len(order)))
    implying = [said[order[d.path]] for d in differences if d.path in order and None not in (d.value, d.expected)]
    differences = [d for d in differences if not any(row.implied.fullmatch(d.path) for row in implying)]
    parts = [_said(difference, said[order[difference.path]].form if difference.path in order else "") for difference in differences[:NAMED]]
    more = len(differences) - NAMED + found.more
    return ", and ".join([*parts, *([f"{more} more"] if more > 0 else [])])


def _unread(lead: str, found: Class) -> str:
    """What was not read, by collector: all or a part of it."""
    parts: dict[str, bool] = {}
    for what in found.unread:
        name, gap, _ = what.partition(": ")
        parts[name] = bool(gap) and parts.get(name, True)
    return lead + ", ".join(name + (" in part" if part else "") for name, part in parts.items()) if parts else ""


def _said(difference: Difference, form: str) -> str:
    value, expected = difference.value, difference.expected
    if value is None:
        return f"no {difference.path}" + (f" ({_short(difference.why)})" if difference.why else "")
    if expected is None:
        return f"{difference.path}, which the others have not"
    if form:
        return form.replace("{expected}", _short(expected)).replace("{}", _short(value))
    return f"{difference.path} {_short(value) or '(empty)'}, not {_short(expected) or '(empty)'}"


def _nameless(why: str, name: str) -> str:
    """A reason without the name of the node that gave it, so that several may share it; a part of a word is none.

    >>> _nameless("connect to host gpu-1: refused", "gpu-1"), _nameless("false ended with status 1", "a")
    ('connect to host …: refused', 'false ended with status 1')
    """
    import re

    return re.sub(rf"(?<!\w){re.escape(name)}(?![\w-])", "…", why)


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
