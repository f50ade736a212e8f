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


class ReadingGaps:
    """What was not read, as :func:`unread_parts` has it, looked up by reading: documents may have thousands of both.

    A gap is named by the path of a file or a folder, by a subtype, or by ``subtype/key``; what a collector of a single subtype could not
    read may be any key of that.

    >>> gaps = ReadingGaps({"os.sysctl: /proc/sys/net": "permission denied", "gpu: gpu-0/ecc": "lost", "os.kmod": "failed"})
    >>> gaps.gap(("OS", "sysctl", "/proc/sys/net/core/x")), gaps.gap(("GPU", "gpu-0", "ecc")), gaps.gap(("OS", "kmod", "nvidia"))
    ('os.sysctl: /proc/sys/net', 'gpu: gpu-0/ecc', 'os.kmod')
    >>> gaps.gap(("OS", "sysctl", "/proc/sys/network")), gaps.gap(("GPU", "gpu-0", "model"))
    ('', '')
    """

    def __init__(self, unread: Mapping[str, str]) -> None:
        #: Type and own name of a collector → its gaps, with the names of folders as paths of readings begin; "" is all that it reads.
        self._gaps: dict[tuple[str, str], dict[str, str]] = {}
        #: The lengths of names of folders: a key may have a million slashes.
        self._lengths: dict[tuple[str, str], set[int]] = {}
        for what in unread:
            collector, _, gap = what.partition(": ")
            kind, _, own = collector.partition(".")
            owner, folder = (TYPES.get(kind, ""), own), f"{gap.rstrip('/')}/"
            gaps = self._gaps.setdefault(owner, {})
            gaps.setdefault(gap, what)
            if gap:
                gaps.setdefault(folder, what)
                self._lengths.setdefault(owner, set()).add(len(folder))

    def gap(self, path: ReadingPath) -> str:
        """The gap behind which the reading at ``path`` may exist; "" when there is none."""
        kind, subtype, key = path
        owners = ("", *(subtype[:end] for end in range(1, len(subtype)) if subtype[end] in "-."), subtype)
        for own in owners:
            gaps = self._gaps.get((kind, own))
            if gaps is None:
                continue
            if "" in gaps:
                return gaps[""]
            if key.startswith("/"):
                names = (key, *(key[:length] for length in self._lengths[kind, own]))
            elif own == subtype:
                return next(iter(gaps.values()))
            else:
                names = (subtype, f"{subtype}/{key}")
            for name in names:
                if name in gaps:
                    return gaps[name]
        return ""
