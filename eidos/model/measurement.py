"""Readings and what became of the attempt to take them.

Knows the wire names of DESIGN-level things (measurement types, outcomes); must not know where a reading comes from.

A collector yields *parts*: a :class:`Subtype` for each group of readings it took, and a :class:`Gap` for everything it
looked for and has no reading of. The three kinds of gap are three different things and are never mixed:

* ``unreadable``: it is there (or may be), and reading it failed: a permission, an I/O error, a value of another namespace;
* ``absent``: the source said that it has no such thing ("not supported by this driver");
* ``withheld``: it was read and holds a secret; the key stays, the value is :data:`WITHHELD`.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from eidos.model.tree_reader import TreeReader

    Reading = Union[str, int, float, bool]
    Readings = dict[str, Reading]
    Part = Union["Subtype", "Gap"]

#: Measurement types in the order in which documents list them, by the first word of a collector's name.
TYPES = {"k8s": "K8s", "systemd": "SystemD", "os": "OS", "gpu": "GPU"}

#: What stands in place of a secret.
WITHHELD = "<withheld>"

#: Suffix of a subtype that holds readings which change on their own.
VOLATILE = ".volatile"

UNREADABLE, ABSENT, SECRET = "unreadable", "absent", "withheld"
OK, PARTIAL, SKIPPED, FAILED = "ok", "partial", "skipped", "failed"


class Subtype(Record):
    """Readings of one source: ``name`` on the wire, ``data`` key → scalar, ``context`` key → one sentence."""

    name: str
    data: Readings
    context: dict[str, str] = {}


class Gap(Record):
    """Something looked for and not in the readings: ``kind`` (see above), ``what`` (path or key), ``why`` (one phrase)."""

    kind: str
    what: str
    why: str


class Measurement(Record):
    """Subtypes of one domain; ``type`` is one of the values of :data:`TYPES`."""

    type: str
    subtypes: tuple[Subtype, ...]


class Outcome(Record):
    """What became of a collector.

    ``outcome`` is ok, partial, skipped or failed; ``milliseconds`` its duration; ``reason`` and ``hint`` say why when it is not ok;
    ``unreadable`` and ``absent`` map path or key to reason; ``withheld`` counts secrets; ``stale`` is how many seconds ago the source
    said what the readings are, where that is not now.
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


def read_measurement(tree: TreeReader) -> Measurement:
    """The measurement in a mapping of a document; InvalidData with its path when there is none."""
    return Measurement(read_type(tree), tuple(map(read_subtype, tree.mappings("subtypes"))))


def read_type(tree: TreeReader) -> str:
    """The type that a mapping of a document names, in any case, as one of the values of :data:`TYPES`."""
    return tree.choice("type", tuple(TYPES.values()), ignore_case=True)


def read_subtype(tree: TreeReader) -> Subtype:
    """The subtype in a mapping of a document, with its readings and their context."""
    return Subtype(tree.name("subtype"), tree.scalars("data"), tree.text_map("context"))
