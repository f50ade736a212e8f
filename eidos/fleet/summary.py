"""The comparison of a fleet, as a document and in one sentence.

Knows classes, and nodes without a snapshot; must not know how nodes are reached, nor where a summary goes.

>>> driver = Difference("GPU.smi.driver", "570.86.15", "580.82.07")
>>> equal, odd = NodeClass("equal", ("gpu-1", "gpu-2")), NodeClass("odd", ("gpu-17",), (driver,))
>>> unknown = NodeClass("unknown", ("gpu-3",), unread={"gpu": "x"})
>>> FleetSummary((equal, odd, unknown), {"gpu-5": NoAnswer("no route to host")}).sentence([])
'2 of 4 equal; gpu-17: GPU.smi.driver 570.86.15, not 580.82.07; gpu-3: unknown, not read: gpu; gpu-5: no snapshot (no route to host)'
"""

from __future__ import annotations

from eidos import __version__
from eidos.fleet.comparison import EQUAL, ODD, UNKNOWN, Difference, NodeClass
from eidos.fleet.hostlist import fold_hostlist
from eidos.model.record import Record
from eidos.wording import count_of, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from eidos.fleet.findings import FleetFindings
    from eidos.reading_selection import Phrase

#: Differences of a class, and classes, that the sentence names.
MAX_DIFFERENCES, MAX_CLASSES = 3, 8

#: Characters of a value that the sentence shows.
MAX_VALUE_CHARACTERS = 60


class NoAnswer(Record):
    """Why there is no snapshot of a node; ``reason`` is the system's own word for it, if there is one (``Unschedulable``)."""

    why: str
    hint: str | None = None
    reason: str | None = None


class FleetSummary(Record):
    """``classes`` come from :meth:`eidos.fleet.comparison.FleetComparison.classes`; ``unanswered`` are nodes without a snapshot.

    ``not_compared`` are paths of withheld values that could not be compared. ``golden`` is what the user calls the snapshot that nodes are
    compared with instead of the largest class. ``findings`` are None where nodes were not checked. ``plugins`` are names and digests of
    plug-ins that took part on any node.
    """

    classes: tuple[NodeClass, ...]
    unanswered: dict[str, NoAnswer] = {}
    not_compared: tuple[str, ...] = ()
    golden: str = ""
    findings: FleetFindings | None = None
    plugins: tuple[str, ...] = ()

    @property
    def odd(self) -> list[NodeClass]:
        """The classes that differ from the largest."""
        return [node_class for node_class in self.classes if node_class.kind == ODD]

    @property
    def answered(self) -> int:
        """How many nodes answered."""
        return sum(len(node_class.nodes) for node_class in self.classes)

    def to_tree(self) -> dict[str, Any]:
        """Return the document."""
        counts = {
            kind: sum(len(node_class.nodes) for node_class in self.classes if node_class.kind == kind) for kind in (EQUAL, ODD, UNKNOWN)
        }
        unanswered = [{"node": node, **{k: v for k, v in why.__dict__.items() if v}} for node, why in self.unanswered.items()]
        return {
            "kind": "FleetSummary",
            "version": __version__,
            "nodes": {"total": self.answered + len(unanswered), "answered": self.answered, **counts},
            "classes": [node_class.to_tree() for node_class in self.classes],
            "unanswered": unanswered,
            **({"not-compared": list(self.not_compared)} if self.not_compared else {}),
            **({"golden": self.golden} if self.golden else {}),
            **({"plugins": list(self.plugins)} if self.plugins else {}),
            **(self.findings.to_tree() if self.findings else {}),
        }

    def sentence(self, phrases: Sequence[Phrase]) -> str:
        """Return the comparison in one sentence."""
        parts = [self._describe_largest(node_class) for node_class in self.classes if node_class.kind == EQUAL] or [
            f"none of {self.answered} equal to {self.golden}"
            if self.classes
            else f"no snapshot of {count_of(len(self.unanswered), 'node')}"
        ]
        others = [node_class for node_class in self.classes if node_class.kind != EQUAL]
        parts += [
            f"{fold_hostlist(node_class.nodes)}: {describe_class(node_class, phrases, self.others)}" for node_class in others[:MAX_CLASSES]
        ]
        if len(others) > MAX_CLASSES:
            parts.append(f"{len(others) - MAX_CLASSES} more groups")
        groups = self.group_unanswered()
        parts += [f"{fold_hostlist(nodes)}: no snapshot ({_short(no_answer.why)})" for nodes, no_answer in groups[:MAX_CLASSES]]
        rest = [node for nodes, _ in groups[MAX_CLASSES:] for node in nodes]
        if rest:
            parts.append(f"{count_of(len(rest), 'other node')} without a snapshot")
        if self.not_compared:
            parts.append(f"{count_of(len(self.not_compared), 'withheld value')} not compared")
        return "; ".join(parts)

    def group_unanswered(self) -> list[tuple[list[str], NoAnswer]]:
        """Return the nodes without a snapshot, those with one reason together; NODE stands for the name in a reason of several."""
        groups: dict[NoAnswer, list[str]] = {}
        for node, no_answer in self.unanswered.items():
            name = node.rpartition("@")[2]
            hint = no_answer.hint and _without_name(no_answer.hint, name)
            groups.setdefault(NoAnswer(_without_name(no_answer.why, name), hint, no_answer.reason), []).append(node)
        return [(nodes, shared if len(nodes) > 1 else self.unanswered[nodes[0]]) for shared, nodes in groups.items()]

    @property
    def others(self) -> str:
        """What nodes are compared with, in a word."""
        return "golden" if self.golden else "others"

    def _describe_largest(self, largest: NodeClass) -> str:
        count = len(largest.nodes)
        if self.golden:
            return f"{count} of {self.answered} equal to {self.golden}" + _unread(largest)
        ties = any(len(node_class.nodes) == count for node_class in self.classes if node_class is not largest)
        if ties and count == 1:
            text = f"no 2 of {self.answered} known to be equal; compared with {largest.nodes[0]}"
        else:
            text = f"{count} of {self.answered} equal" + (f" (no majority), compared with {largest.nodes[0]}" if ties else "")
        return text + _unread(largest)


def describe_class(node_class: NodeClass, phrases: Sequence[Phrase], others: str = "others") -> str:
    """Return how a class differs, in a few words; ``others`` is what it is compared with."""
    if node_class.kind == UNKNOWN:
        return f"unknown{_unread(node_class) or ': the other nodes could not read the same values'}"
    order = {row.path: number for number, row in enumerate(phrases)}
    differences = sorted(node_class.differences, key=lambda difference: order.get(difference.path, len(order)))
    implying = [phrases[order[d.path]] for d in differences if d.path in order and None not in (d.value, d.expected)]
    differences = [d for d in differences if not any(row.implies(d.path) for row in implying)]
    parts = [
        _describe_difference(difference, phrases[order[difference.path]].form if difference.path in order else "", others)
        for difference in differences[:MAX_DIFFERENCES]
    ]
    more = len(differences) - MAX_DIFFERENCES + node_class.more
    lead = f"{count_of(len(parts) + more, 'difference')}, first " if more > 0 else ""
    return lead + ", and ".join(parts)


def _unread(node_class: NodeClass) -> str:
    """Return what was not read, by collector, all of it or a part."""
    parts: dict[str, bool] = {}
    for what in node_class.unread:
        name, gap, _ = what.partition(": ")
        parts[name] = bool(gap) and parts.get(name, True)
    return ", not read: " + ", ".join(name + (" (partly)" if part else "") for name, part in parts.items()) if parts else ""


def _describe_difference(difference: Difference, form: str, others: str) -> str:
    value, expected = difference.value, difference.expected
    if value is None:
        return f"{difference.path}: " + (
            f"no data ({_short(difference.why)})" if difference.why else f"unset ({others}: {_short(expected or '')})"
        )
    if expected is None:
        return f"{difference.path}: {_short(value) or '(empty)'} ({others}: unset)"
    if form:
        return form.replace("{expected}", _short(expected)).replace("{}", _short(value))
    return f"{difference.path} {_short(value) or '(empty)'}, not {_short(expected) or '(empty)'}"


def _without_name(why: str, name: str) -> str:
    """Return a reason without the name of its node, so that several nodes may share it; a part of a word is not a name.

    >>> _without_name("connect to host gpu-1: refused", "gpu-1"), _without_name("false exited with status 1", "a")
    ('connect to host NODE: refused', 'false exited with status 1')
    """
    import re

    return re.sub(rf"(?<!\w){re.escape(name)}(?![\w-])", "NODE", why)


def _short(text: str) -> str:
    return shorten(text, MAX_VALUE_CHARACTERS)
