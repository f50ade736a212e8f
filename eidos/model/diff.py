"""What differs between two documents: the document that ``eidos diff`` writes.

Knows the document and how changes are counted; must not know YAML, JSON, how documents are compared, nor how a difference is shown.

>>> change = Change("GPU.smi.driver", CHANGED, "GPU.smi", "580.82.07", "580.126.20")
>>> diff = Diff("Snapshot", "1.2.3", changes=(change,))
>>> diff.to_tree()["changes"]
[{'path': 'GPU.smi.driver', 'group': 'GPU.smi', 'change': 'changed', 'from': '580.82.07', 'to': '580.126.20'}]
>>> diff.is_empty, diff.counts()["changed"]
(False, 1)
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KIND = "Diff"
API_VERSION = "diff.dgxc.io/v1"

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
#: What is known of one side only: the other could not read it.
UNREAD = "unread"
CHANGES = (ADDED, REMOVED, CHANGED)


class Change(Record):
    """One difference at ``path``: ``kind`` is added, removed, changed or unread; ``group`` what it is shown with.

    ``old`` and ``new`` are scalars or trees, None on the side that has nothing; ``why`` is the reason of what was not read, or the title of
    a finding.
    """

    path: str
    kind: str
    group: str
    old: Any = None
    new: Any = None
    why: str = ""

    def to_tree(self) -> dict[str, Any]:
        """The change in a document."""
        tree: dict[str, Any] = {"path": self.path, "group": self.group, "change": self.kind}
        if self.old is not None:
            tree["from"] = self.old
        if self.new is not None:
            tree["to"] = self.new
        return {**tree, "why": self.why} if self.why else tree


class ComparedDocument(Record):
    """One side of a comparison: what the user calls it, its node and its time, as far as it has them."""

    name: str = ""
    node: str = ""
    timestamp: str = ""


class Diff(Record):
    """The differences of two documents of one ``kind``, in the order in which documents list their parts.

    ``unread`` is what one side could not read, ``not_compared`` are the paths of withheld values: neither equal nor different. ``sentence``
    says the most important in words. ``patch`` are the operations of RFC 6902 that make the older document mean what the newer means.
    """

    kind: str
    version: str
    old: ComparedDocument = ComparedDocument()
    new: ComparedDocument = ComparedDocument()
    changes: tuple[Change, ...] = ()
    unread: tuple[Change, ...] = ()
    not_compared: tuple[str, ...] = ()
    sentence: str = ""
    patch: tuple[dict[str, Any], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known to differ."""
        return not self.changes

    def counts(self) -> dict[str, int]:
        """How many changes there are of each kind, and how much could not be compared."""
        counts = {kind: sum(change.kind == kind for change in self.changes) for kind in CHANGES}
        return {**counts, UNREAD: len(self.unread), "not-compared": len(self.not_compared)}

    def to_tree(self) -> dict[str, Any]:
        """The document as a plain tree."""
        metadata = {"diff-version": self.version, "compared-kind": self.kind}
        for side, document in (("from", self.old), ("to", self.new)):
            metadata.update({side: document.name, f"{side}-node": document.node, f"{side}-timestamp": document.timestamp})
        tree: dict[str, Any] = {"kind": KIND, "apiVersion": API_VERSION, "metadata": {k: v for k, v in metadata.items() if v}}
        tree["summary"] = {"sentence": self.sentence, **self.counts()}
        tree["changes"] = [change.to_tree() for change in self.changes]
        if self.unread:
            tree["unread"] = [change.to_tree() for change in self.unread]
        if self.not_compared:
            tree["not-compared"] = list(self.not_compared)
        return tree
