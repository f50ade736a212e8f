"""Groups nodes into classes of equal configuration, and lists what differs in each odd class.

Knows how nodes are compared; must not know which readings count, nor where snapshots come from or where the summary goes. Snapshots are
added one by one and not stored: a node leaves its name, a class its readings, compressed, so that a thousand nodes take little memory. The
order in which they are added makes no difference.

The other classes are compared with the largest. What a node's collector could not read is unknown, neither equal nor different. So there
are three kinds: ``equal`` (the largest class), ``odd`` (something that was read on both sides differs) and ``unknown`` (nothing that was
read on both sides differs, but not the same was read).
"""

from __future__ import annotations

from eidos.model.measurement import TYPES, WITHHELD
from eidos.model.reading_gaps import ReadingGaps, is_of, unread_parts
from eidos.model.record import Record
from eidos.model.snapshot import natural_key
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from eidos.model.snapshot import Snapshot
    from eidos.reading_selection import ReadingPath, Readings

    SelectReadings = Callable[..., Readings]
    #: Readings that count, what was not read and why, notes of collectors that read nothing, and the version of eidos.
    _Content = tuple[Readings, dict[str, str], dict[str, str], str]

EQUAL, ODD, UNKNOWN = "equal", "odd", "unknown"

#: Stands between a text and the digest of what is withheld in it; both are in memory only.
_DIGEST_MARK = "\0"

#: Differences that a class lists; more are counted.
DIFFERENCE_LIMIT = 200


class Difference(Record):
    """At ``path`` a node has ``value`` where the largest class has ``expected``; None where it has nothing.

    A path without a key is a subtype, one without a subtype a measurement, that one side lacks; ``why`` is the collector's reason.
    """

    path: str
    value: str | None
    expected: str | None
    why: str | None = None

    def to_tree(self) -> dict[str, Any]:
        """Return the difference as it is written."""
        tree: dict[str, Any] = {"path": self.path, "value": self.value, "expected": self.expected}
        return {**tree, "why": self.why} if self.why else tree


class NodeClass(Record):
    """Nodes of equal configuration, sorted; ``kind`` is one of the three, and ``more`` counts differences that are not listed.

    ``unread`` maps what could not be read on any of these nodes to the reason that the first of them gave.
    """

    kind: str
    nodes: tuple[str, ...]
    differences: tuple[Difference, ...] = ()
    more: int = 0
    unread: dict[str, str] = {}

    def to_tree(self) -> dict[str, Any]:
        """Return the class as it is written."""
        tree: dict[str, Any] = {"kind": self.kind, "count": len(self.nodes), "nodes": list(self.nodes)}
        if self.differences:
            tree["differences"] = [difference.to_tree() for difference in self.differences]
        if self.more:
            tree["more-differences"] = self.more
        if self.unread:
            tree["unread"] = self.unread
        return tree


class _Group:
    """Nodes with the same readings and the same gaps; ``content`` is that of the first by name."""

    def __init__(self, size: int) -> None:
        self.nodes: list[str] = []
        self.size = size
        self.first: tuple[Any, ...] | None = None
        self.content = b""

    def add(self, name: str, content: _Content) -> None:
        self.nodes.append(name)
        order = natural_key(name)
        # Reasons for gaps may differ between nodes: those of the first by name count, in whatever order nodes are added.
        if self.first is None or order < self.first:
            import marshal
            import zlib

            self.first, self.content = order, zlib.compress(marshal.dumps(content), 6)

    def readings(self) -> _Content:
        import marshal
        import zlib

        content: _Content = marshal.loads(zlib.decompress(self.content))  # noqa: S302 - what add() made
        return content


class FleetComparison:
    """Takes the snapshots of a fleet, and compares them."""

    def __init__(self, select_readings: SelectReadings, repeat_of: Callable[[str], str | None] = lambda _: None) -> None:
        """The two are methods of :class:`eidos.reading_selection.ReadingSelection`."""
        self._select_readings, self._repeat_of = select_readings, repeat_of
        self._groups: dict[bytes, _Group] = {}
        #: Paths whose values are withheld on a node, without a digest by which they could be compared.
        self.not_compared: set[str] = set()

    def add(self, name: str, snapshot: Snapshot) -> None:
        """Add the snapshot of the node that the caller calls ``name``."""
        from hashlib import blake2b

        content = self._content(name, snapshot)
        readings, unread = content[:2]
        digest = blake2b(digest_size=16)
        for part in (*((*path, text) for path, text in readings.items()), *((what,) for what in unread)):
            digest.update("".join(f"{len(word)}:{word}" for word in (*part, "\n")).encode("utf-8", "surrogatepass"))
        key = digest.digest()
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(len(unread))
        group.add(name, content)

    def _content(self, name: str, snapshot: Snapshot) -> _Content:
        """What is compared of a snapshot; notes which values cannot be."""
        readings = dict(sorted(self._select_readings(snapshot, name).items()))
        digests = _withheld_digests(snapshot)
        for path, text in readings.items():
            if WITHHELD in text:
                if path in digests:
                    readings[path] = f"{text}{_DIGEST_MARK}{digests[path]}"
                else:
                    self.not_compared.add(".".join(path))
        return readings, *unread_parts(snapshot), snapshot.version

    def classes(self, golden: Snapshot | None = None) -> list[NodeClass]:
        """Return the classes: the largest first, those of equal size by the name of their first node.

        With ``golden`` they are compared with that snapshot instead of the largest, and those that equal it come first.
        """
        groups = sorted(self._groups.values(), key=lambda group: (-len(group.nodes), group.size, group.first))
        if not groups:
            return []
        if golden is not None:
            expected = self._content(golden.node, golden)
            classes = [self._compare(group, expected if _is_equal(own, expected) else own, expected) for group, own in _contents(groups)]
            return sorted(classes, key=lambda node_class: node_class.kind != EQUAL)
        reference = groups[0].readings()
        return [self._compare(group, group.readings() if group is not groups[0] else reference, reference) for group in groups]

    def _compare(self, group: _Group, own: _Content, reference: _Content) -> NodeClass:
        nodes = tuple(sorted(group.nodes, key=natural_key))
        readings, unread, notes, version = own
        if own is reference:
            return NodeClass(EQUAL, nodes, unread=unread)
        expected, unread_there, notes_there, version_there = reference
        gaps, gaps_there = ReadingGaps(unread), ReadingGaps(unread_there)
        differing = {
            path
            for path in readings.keys() | expected.keys()
            if readings.get(path) != expected.get(path)
            and (path in readings or not gaps.gap(path))
            and (path in expected or not gaps_there.gap(path))
        }
        paths = {".".join(path) for path in differing}
        differing = {path for path in differing if self._repeat_of(".".join(path)) not in paths}
        differences = list(_take_missing(differing, readings, expected, notes, lambda count: (None, count)))
        differences += _take_missing(differing, expected, readings, notes_there, lambda count: (count, None))
        differences += [_difference(path, readings.get(path), expected.get(path)) for path in differing]
        if differences and version != version_there:  # another version may read more, or write it differently
            differences.append(Difference("snapshot-version", version, version_there))
        differences.sort(key=lambda difference: natural_key(difference.path))
        listed = tuple(differences[:DIFFERENCE_LIMIT])
        return NodeClass(ODD if differences else UNKNOWN, nodes, listed, len(differences) - len(listed), unread)


def _is_equal(one: _Content, other: _Content) -> bool:
    """Whether the same was read, and the same was not."""
    return one[0] == other[0] and one[1].keys() == other[1].keys()


def _contents(groups: Iterable[_Group]) -> Iterator[tuple[_Group, _Content]]:
    for group in groups:  # one at a time in memory
        yield group, group.readings()


def _difference(path: ReadingPath, value: str | None, expected: str | None) -> Difference:
    """A difference between two texts, without the digests of what is withheld in them."""
    shown, other = (text and text.partition(_DIGEST_MARK)[0] for text in (value, expected))
    return Difference(".".join(path), shown if shown != other else f"{shown} (another value)", other)


def _withheld_digests(snapshot: Snapshot) -> dict[ReadingPath, str]:
    digests: dict[ReadingPath, str] = {}
    for outcome in snapshot.collectors:
        for what, digest in outcome.digests.items():
            subtype, _, key = what.partition("/")
            digests[TYPES.get(outcome.name.partition(".")[0], ""), subtype, key] = digest
    return digests


def _take_missing(
    differing: set[ReadingPath],
    here: Readings,
    there: Readings,
    notes: Mapping[str, str],
    sides: Callable[[str], tuple[str | None, str | None]],
) -> Iterator[Difference]:
    """Remove from ``differing`` each measurement or subtype that is ``there`` and not ``here``, and yield one difference for it."""
    for size in (1, 2):
        absent: dict[tuple[str, ...], set[ReadingPath]] = {}
        for path in there:
            absent.setdefault(path[:size], set()).add(path)
        for head in sorted(absent.keys() - {path[:size] for path in here}):
            missing = absent[head]
            if missing <= differing:
                differing -= missing
                own = sorted({note for name, note in notes.items() if any(is_of(name, path) for path in missing)})
                count = count_of(len(missing), "reading")
                yield Difference(".".join(head), *sides(count), why="; ".join(own) or None)
