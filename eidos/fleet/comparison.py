"""Nodes in classes of equal configuration, and for each odd one what differs.

Knows how nodes are compared; must not know which readings count, nor where snapshots come from or where the summary goes. Snapshots
come one after the other and are dropped: of each node a name stays, of each class its readings, compressed, so that a thousand
nodes take little memory. The order in which they come makes no difference.

The largest class is what the others are compared with. What a node's collector could not read is unknown: it makes a node neither equal
nor different. So there are three kinds: ``equal`` (the largest class), ``odd`` (something that was read on both sides differs) and
``unknown`` (nothing that was read on both sides differs, but not the same was read).
"""

from __future__ import annotations

from eidos.model.measurement import FAILED, PARTIAL, TYPES
from eidos.model.record import Record
from eidos.model.snapshot import natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from eidos.fleet.comparison_rules import Place, Readings
    from eidos.model.snapshot import Snapshot

    Count = Callable[..., Readings]
    #: What counts, what was not read and why, what collectors had to say that found nothing, and the version that read it.
    Held = tuple[Readings, dict[str, str], dict[str, str], str]

EQUAL, ODD, UNKNOWN = "equal", "odd", "unknown"

#: Differences of one class that are kept; more are counted.
MOST = 200


class Difference(Record):
    """At ``path`` a node says ``value`` where the largest class says ``expected``; None where there is nothing.

    A path without a key is a whole subtype, one without a subtype a whole measurement, which one side lacks; ``why`` says what the
    collector had to say to that.
    """

    path: str
    value: str | None
    expected: str | None
    why: str | None = None

    def to_tree(self) -> dict[str, Any]:
        """For programs."""
        tree: dict[str, Any] = {"path": self.path, "value": self.value, "expected": self.expected}
        return {**tree, "why": self.why} if self.why else tree


class Class(Record):
    """Nodes of equal configuration, sorted: ``kind`` as above; ``more`` differences were found beside those that are listed.

    ``unread`` maps what could not be read, on all of these nodes, to the reason that the first of them gave.
    """

    kind: str
    nodes: tuple[str, ...]
    differences: tuple[Difference, ...] = ()
    more: int = 0
    unread: dict[str, str] = {}

    def to_tree(self) -> dict[str, Any]:
        """For programs."""
        tree: dict[str, Any] = {"kind": self.kind, "count": len(self.nodes), "nodes": list(self.nodes)}
        if self.differences:
            tree["differences"] = [difference.to_tree() for difference in self.differences]
        if self.more:
            tree["more-differences"] = self.more
        if self.unread:
            tree["unread"] = self.unread
        return tree


class _Group:
    """Nodes whose readings and whose gaps are the same; ``held`` is what the first of them by name had."""

    def __init__(self, size: int) -> None:
        self.nodes: list[str] = []
        self.size = size
        self.first: tuple[Any, ...] | None = None
        self.held = b""

    def add(self, name: str, held: Held) -> None:
        self.nodes.append(name)
        order = natural(name)
        # The reasons for gaps are not the same on all nodes: those of the first by name, whatever came first.
        if self.first is None or order < self.first:
            import marshal
            import zlib

            self.first, self.held = order, zlib.compress(marshal.dumps(held), 6)

    def readings(self) -> Held:
        import marshal
        import zlib

        held: Held = marshal.loads(zlib.decompress(self.held))  # noqa: S302 - what add() made
        return held


class Fleet:
    """Takes snapshots, and says how they stand to one another."""

    def __init__(self, count: Count) -> None:
        """``count`` gives the readings of a snapshot that count, place → text: :meth:`eidos.fleet.comparison_rules.Rules.counted`."""
        self._count = count
        self._groups: dict[bytes, _Group] = {}

    def add(self, name: str, snapshot: Snapshot) -> None:
        """Take in the snapshot of the node that the caller calls ``name``."""
        from hashlib import blake2b

        readings = dict(sorted(self._count(snapshot, name).items()))
        unread, notes = _gaps(snapshot)
        digest = blake2b(digest_size=16)
        for part in (*((*place, text) for place, text in readings.items()), *((what,) for what in unread)):
            digest.update("".join(f"{len(word)}:{word}" for word in (*part, "\n")).encode("utf-8", "surrogatepass"))
        key = digest.digest()
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(len(unread))
        group.add(name, (readings, unread, notes, snapshot.version))

    def classes(self) -> list[Class]:
        """The classes: the largest first, and those that are as large as others by the name of their first node."""
        groups = sorted(self._groups.values(), key=lambda group: (-len(group.nodes), group.size, group.first))
        if not groups:
            return []
        reference = groups[0].readings()
        return [_compared(group, group.readings() if group is not groups[0] else reference, reference) for group in groups]


def _gaps(snapshot: Snapshot) -> tuple[dict[str, str], dict[str, str]]:
    """What was not read, and why; and what collectors that found nothing had to say, by name."""
    unread: dict[str, str] = {}
    notes: dict[str, str] = {}
    for outcome in snapshot.collectors:
        unread.update({f"{outcome.name}: {what}": why for what, why in outcome.unreadable.items()})
        if outcome.outcome == FAILED or (outcome.outcome == PARTIAL and outcome.reason):
            unread[outcome.name] = outcome.reason or outcome.outcome
        elif outcome.reason:
            notes[outcome.name] = f"{outcome.outcome}: {outcome.reason}"
    return dict(sorted(unread.items())), notes


def _compared(group: _Group, own: Held, reference: Held) -> Class:
    nodes = tuple(sorted(group.nodes, key=natural))
    readings, unread, notes, version = own
    if own is reference:
        return Class(EQUAL, nodes, unread=unread)
    expected, unread_there, notes_there, version_there = reference
    differing = {
        place
        for place in readings.keys() | expected.keys()
        if readings.get(place) != expected.get(place)
        and (place in readings or not _is_hidden(place, unread))
        and (place in expected or not _is_hidden(place, unread_there))
    }
    found = list(_missing(differing, readings, expected, notes, lambda count: (None, count)))
    found += _missing(differing, expected, readings, notes_there, lambda count: (count, None))
    found += [Difference(".".join(place), readings.get(place), expected.get(place)) for place in differing]
    if found and version != version_there:  # another version may read more, or say it in another way
        found.append(Difference("snapshot-version", version, version_there))
    found.sort(key=lambda difference: natural(difference.path))
    return Class(ODD if found else UNKNOWN, nodes, tuple(found[:MOST]), max(len(found) - MOST, 0), unread)


def _missing(
    differing: set[Place], here: Readings, there: Readings, notes: Mapping[str, str], sides: Callable[[str], tuple[str | None, str | None]]
) -> Iterator[Difference]:
    """Take out of ``differing`` what makes up a measurement or a subtype that is ``there`` and not ``here``, and give one for each."""
    for size in (1, 2):
        present = {place[:size] for place in here}
        for head in sorted({place[:size] for place in there} - present):
            whole = {place for place in there if place[:size] == head}
            if whole <= differing:
                differing -= whole
                own = sorted({note for name, note in notes.items() if any(_is_of(name, place) for place in whole)})
                count = f"{len(whole)} reading{'' if len(whole) == 1 else 's'}"
                yield Difference(".".join(head), *sides(count), why="; ".join(own) or None)


def _is_of(collector: str, place: Place) -> bool:
    """Whether a collector yields the reading at a place."""
    kind, _, subtype = collector.partition(".")
    return TYPES.get(kind) == place[0] and subtype in ("", place[1])


def _is_hidden(place: Place, unread: Mapping[str, str]) -> bool:
    """Whether the reading at ``place`` may be there and was not read.

    A gap is named by the path of a file or a folder, by a subtype, or by ``subtype/key``; what a collector of a single subtype could not
    read may be any key of that.
    """
    _, subtype, key = place
    for what in unread:
        collector, _, gap = what.partition(": ")
        if not _is_of(collector, place):
            continue
        if not gap:
            return True
        if key.startswith("/"):
            if key == gap or key.startswith(gap.rstrip("/") + "/"):
                return True
        elif "." in collector or gap in (subtype, f"{subtype}/{key}"):
            return True
    return False
