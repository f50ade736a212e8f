"""Whether two values of a document mean the same.

Knows texts and numbers, withheld values, and what a side could not read; must not know the parts of a document, nor which readings count:
that is for :mod:`eidos.reading_selection`.
"""

from __future__ import annotations

from eidos.diff.tree_comparison import EQUAL, IGNORED, MISSING, NOT_COMPARED
from eidos.model.diff import ADDED, CHANGED, REMOVED, UNREAD
from eidos.model.measurement import WITHHELD
from eidos.model.number_format import format_scalar
from eidos.model.reading_gaps import ReadingGaps, is_of, unread_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.diff.tree_comparison import Address, Part
    from eidos.model.snapshot import Snapshot
    from eidos.reading_selection import ReadingSelection

METADATA = "metadata"

#: Words of an address of a reading: type, subtype, key.
_READING = 3


def plain_text(value: Any) -> Any:
    """A scalar as documents write it, so that 60 and "60" are the same; anything else as it is.

    >>> plain_text(60) == plain_text("60"), plain_text(True), plain_text([1])
    (True, 'true', [1])
    """
    return format_scalar(value) if isinstance(value, (str, int, float, bool)) else value


class PlainJudgement:
    """Judges every value of a document; of its metadata what the rules say counts. ``prefix`` words precede ``metadata`` in addresses."""

    def __init__(self, rules: ReadingSelection, prefix: int = 0) -> None:
        self._rules, self._prefix = rules, prefix

    def __call__(self, part: Part, address: Address, old: Any, new: Any) -> tuple[str, str]:
        """The kind of difference, and why."""
        words = address[self._prefix :]
        if words[:1] == (METADATA,) and not self._rules.counts(".".join(words)):
            return IGNORED, ""
        if part.essence:
            old, new = (value if value is MISSING else part.essence(value) for value in (old, new))
            if (old is None or old is MISSING) and (new is None or new is MISSING):
                return IGNORED, ""
        return _compare_texts(plain_text(old), plain_text(new)), ""


class ReadingJudgement:
    """Judges the readings of two snapshots: those that count, and none that a side could not read."""

    def __init__(self, rules: ReadingSelection, old: Snapshot, new: Snapshot) -> None:
        self._rules = rules
        self._own = rules.own_names(old.node), rules.own_names(new.node)
        self._unread = unread_parts(old)[0], unread_parts(new)[0]
        self._gaps = ReadingGaps(self._unread[0]), ReadingGaps(self._unread[1])
        names = tuple({outcome.name for outcome in snapshot.collectors} for snapshot in (old, new))
        #: Collectors that only the other side ran.
        self._not_run = (names[1] - names[0] if names[0] else set(), names[0] - names[1] if names[1] else set())

    def __call__(self, part: Part, address: Address, old: Any, new: Any) -> tuple[str, str]:
        """The kind of difference, and why."""
        if address[:1] == (METADATA,):
            return (_compare_texts(old, new) if self._rules.counts(".".join(address)) else IGNORED), ""
        if len(address) != _READING:
            return IGNORED, ""
        path = (address[0], address[1], address[2])
        if old is MISSING or new is MISSING:
            side = 0 if old is MISSING else 1
            if self._rules.reading_text(path, new if old is MISSING else old, self._own[1 - side]) is None:
                return IGNORED, ""
            why = self._why_unread(path, side)
            return (UNREAD, why) if why else (REMOVED if new is MISSING else ADDED, "")
        if old == new and type(old) is type(new) and not (isinstance(old, str) and WITHHELD in old):
            return EQUAL, ""  # Most are, and whether they count makes no difference.
        texts = [self._rules.reading_text(path, value, own) for value, own in zip((old, new), self._own)]
        return (IGNORED if None in texts else _compare_texts(*texts)), ""

    def _why_unread(self, path: tuple[str, str, str], side: int) -> str:
        gap = self._gaps[side].gap(path)
        if gap:
            return f"{gap}: {self._unread[side][gap]}"
        for name in self._not_run[side]:
            if is_of(name, path):
                return f"{name} was not collected"
        return ""


def _compare_texts(old: Any, new: Any) -> str:
    if old is MISSING or new is MISSING:
        return REMOVED if new is MISSING else ADDED
    hidden = [isinstance(text, str) and WITHHELD in text for text in (old, new)]
    if old == new:
        return NOT_COMPARED if any(hidden) else EQUAL
    # Two texts with something withheld in them differ in what they show; one without may be what the other does not show.
    return NOT_COMPARED if hidden[0] != hidden[1] else CHANGED
