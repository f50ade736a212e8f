"""Readings and what became of the attempt to take them.

Knows the names of measurement types and outcomes on the wire, and patterns of paths; must not know where a reading comes from.

A collector yields *parts*: a :class:`Subtype` for each group of readings, and a :class:`Gap` for everything that it looked for without
getting a reading. The three kinds of gap are never mixed:

* ``unreadable``: it is there (or may be), and reading it failed: a permission, an I/O error, a value of another namespace;
* ``absent``: the source reported that it does not have it ("not supported by this driver");
* ``withheld``: it was read and may hold a secret; the key stays, the value is :data:`WITHHELD`.

Two more kinds are no gaps: ``revealed`` names a value that would be withheld, and is shown because the user asked for it; ``digest`` has
the digest of a withheld value in place of the reason, for a run that compares nodes.
"""

from __future__ import annotations

from eidos.model.number_format import format_scalar
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Union

    from eidos.model.tree_reader import TreeReader

    Reading = Union[str, int, float, bool]
    Readings = dict[str, Reading]
    Part = Union["Subtype", "Gap"]

#: Measurement types in the order in which documents list them, by the first word of a collector's name.
TYPES = {"k8s": "K8s", "systemd": "SystemD", "os": "OS", "gpu": "GPU"}

#: The value in place of a secret.
WITHHELD = "<withheld>"

#: Suffix of a subtype that holds readings which change on their own.
VOLATILE = ".volatile"

UNREADABLE, ABSENT, SECRET, REVEALED, DIGEST = "unreadable", "absent", "withheld", "revealed", "digest"
OK, PARTIAL, SKIPPED, FAILED = "ok", "partial", "skipped", "failed"


class Subtype(Record):
    """Readings of one source: ``name`` on the wire, ``data`` key → scalar, ``context`` key → one sentence."""

    name: str
    data: Readings
    context: dict[str, str] = {}


class Gap(Record):
    """What is missing among the readings: ``kind`` (see above), ``what`` (path or key), ``why`` (one phrase)."""

    kind: str
    what: str
    why: str


class Measurement(Record):
    """Subtypes of one domain; ``type`` is one of the values of :data:`TYPES`."""

    type: str
    subtypes: tuple[Subtype, ...]


class Outcome(Record):
    """What became of a collector.

    ``outcome`` is ok, partial, skipped or failed; ``milliseconds`` its duration; ``reason`` and ``hint`` explain any other than ok;
    ``unreadable`` and ``absent`` map path or key to reason; ``withheld`` counts secrets; ``stale`` is the age of the readings in seconds,
    where a cached answer of the source was used; ``revealed`` are the names whose values are shown because the user asked for them.
    ``withheld_names`` says what is withheld, and ``digests`` maps ``subtype/key`` to a digest of its value; neither is in a document.
    """

    name: str
    outcome: str
    milliseconds: float
    reason: str | None = None
    hint: str | None = None
    unreadable: dict[str, str] = {}
    absent: dict[str, str] = {}
    withheld: int = 0
    stale: int | None = None
    revealed: tuple[str, ...] = ()
    withheld_names: tuple[str, ...] = ()
    digests: dict[str, str] = {}


def read_measurements(trees: Iterable[TreeReader]) -> tuple[Measurement, ...]:
    """The measurements in mappings of a document. InvalidData with the path of what is none.

    Subtypes of one name are one subtype with the readings of all; two values of one reading are InvalidData.
    """
    types: dict[str, dict[str, list[tuple[Subtype, TreeReader]]]] = {}
    for tree in trees:
        subtypes = types.setdefault(read_type(tree), {})
        for item in tree.mappings("subtypes"):
            subtype = read_subtype(item)
            subtypes.setdefault(subtype.name, []).append((subtype, item))
    return tuple(Measurement(kind, tuple(map(_merge_subtypes, subtypes.values()))) for kind, subtypes in types.items())


def _merge_subtypes(occurrences: list[tuple[Subtype, TreeReader]]) -> Subtype:
    """One subtype of those with one name, in time that grows with what they hold."""
    first = occurrences[0][0]
    if len(occurrences) == 1:
        return first
    data, texts = dict(first.data), {key: {text: None} for key, text in first.context.items()}
    for subtype, tree in occurrences[1:]:
        for key, value in subtype.data.items():
            if format_scalar(data.setdefault(key, value)) != format_scalar(value):
                reason = f"subtype {first.name} occurs twice, and {key} is {format_scalar(data[key])!r} in the first"
                raise tree.error(f"{reason} and {format_scalar(value)!r} here", "remove one of the two values")
        for key, text in subtype.context.items():
            texts.setdefault(key, {})[text] = None
    return Subtype(first.name, data, {key: "; ".join(distinct) for key, distinct in texts.items()})


def read_type(tree: TreeReader) -> str:
    """The type that a mapping of a document names, in any case, as one of the values of :data:`TYPES`."""
    return tree.choice("type", tuple(TYPES.values()), ignore_case=True)


def read_subtype(tree: TreeReader) -> Subtype:
    """The subtype in a mapping of a document, with its readings and their context."""
    return Subtype(tree.name("subtype"), tree.scalars("data"), tree.text_map("context"))


class PathPatterns:
    """Paths, in which a * stands for anything.

    >>> patterns = PathPatterns(["OS.net.*.mac", "OS.release.ID"])
    >>> patterns.match("OS.net.eth0.mac"), patterns.match("OS.release.ID"), patterns.match("OS.release.NAME")
    (True, True, False)
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        self._paths = frozenset(pattern for pattern in patterns if "*" not in pattern)
        self._patterns = [pattern for pattern in patterns if "*" in pattern]
        self._starts = tuple(pattern.partition("*")[0] for pattern in self._patterns)

    def match(self, path: str) -> bool:
        """Whether a path is one of them."""
        return path in self._paths or (path.startswith(self._starts) and any(path_matches(pattern, path) for pattern in self._patterns))


def path_matches(pattern: str, path: str) -> bool:
    """Whether ``path`` matches ``pattern``, where a ``*`` stands for anything.

    >>> path_matches("SystemD.*.MainPID", "SystemD.containerd.service.MainPID"), path_matches("OS.grub.root", "OS.grub.rootwait")
    (True, False)
    """
    if "*" not in pattern:
        return pattern == path
    first, *rest = pattern.split("*")
    if not path.startswith(first) or not path.endswith(rest[-1]) or len(path) < sum(map(len, (first, *rest))):
        return False
    position = len(first)
    for part in rest[:-1]:
        start = path.find(part, position)
        if start < 0:
            return False
        position = start + len(part)
    return position <= len(path) - len(rest[-1])
