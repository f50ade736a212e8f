"""What a snapshot does not say: which readings may exist and were not read, and why.

Knows how collectors name what they could not read; must not know how snapshots are compared. Whoever compares two asks this before a
missing reading counts as a difference.
"""

from __future__ import annotations

from eidos.model.measurement import FAILED, PARTIAL, TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.model.snapshot import Snapshot

    #: Type, subtype, key.
    ReadingPath = tuple[str, str, str]


def unread_parts(snapshot: Snapshot) -> tuple[dict[str, str], dict[str, str]]:
    """Return what was not read, and why; and the notes of collectors that read nothing, by name."""
    unread: dict[str, str] = {}
    notes: dict[str, str] = {}
    for outcome in snapshot.collectors:
        unread.update({f"{outcome.name}: {what}": why for what, why in outcome.unreadable.items()})
        if outcome.outcome == FAILED or (outcome.outcome == PARTIAL and outcome.reason):
            unread[outcome.name] = outcome.reason or outcome.outcome
        elif outcome.reason:
            notes[outcome.name] = f"{outcome.outcome}: {outcome.reason}"
    return dict(sorted(unread.items())), notes


def is_of(collector: str, path: ReadingPath) -> bool:
    """Return whether a collector yields the reading at ``path``: ``os.boot`` has ``boot-cmdline``, too.

    >>> [is_of("os.boot", ("OS", subtype, "x")) for subtype in ("boot", "boot-cmdline", "boot.volatile", "bootstrap", "grub")]
    [True, True, True, False, False]
    """
    kind, _, own = collector.partition(".")
    return TYPES.get(kind) == path[0] and (own in ("", path[1]) or path[1].startswith((f"{own}-", f"{own}.")))


def is_hidden(path: ReadingPath, unread: Mapping[str, str]) -> bool:
    """Return whether the reading at ``path`` may exist and was not read.

    A gap is named by the path of a file or a folder, by a subtype, or by ``subtype/key``; what a collector of a single subtype could not
    read may be any key of that.
    """
    _, subtype, key = path
    for what in unread:
        collector, _, gap = what.partition(": ")
        if not is_of(collector, path):
            continue
        if not gap:
            return True
        if key.startswith("/"):
            if key == gap or key.startswith(gap.rstrip("/") + "/"):
                return True
        elif gap in (subtype, f"{subtype}/{key}") or collector.partition(".")[2] == subtype:
            return True
    return False
