"""What changed on a node between two cycles of ``eidos watch``: one line of its output.

Knows the document and what is left out of it when empty; must not know how changes are found.

>>> finding = FindingChange("nouveau-loaded", APPEARED, "nouveau is loaded", "error", "fail", "pass")
>>> change = NodeChange("2026-11-29T06:01:00Z", "gpu-07", "1 new finding", {"error": 1}, "2026-11-29T06:00:00Z", (finding,))
>>> change.to_tree()["findings"]
[{'id': 'nouveau-loaded', 'change': 'appeared', 'title': 'nouveau is loaded', 'severity': 'error', 'status': 'fail', 'was': 'pass'}]
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.model.diff import Change

KIND = "NodeChange"
API_VERSION = "watch.dgxc.io/v1"

#: What became of a finding: it fails now and did not; it failed and does no more; anything else about it changed.
APPEARED, GONE, CHANGED = "appeared", "gone", "changed"


class FindingChange(Record):
    """A finding that is not what it was: ``status`` is that of now, ``was`` that of the cycle before ("" without one)."""

    id: str
    change: str
    title: str
    severity: str
    status: str
    was: str = ""
    path: str = ""
    expected: str = ""
    actual: str = ""
    reason: str = ""

    def to_tree(self) -> dict[str, str]:
        """Its fields, without the empty ones."""
        return {name: text for name, text in self.__dict__.items() if text}


class ReadingCount(Record):
    """How many readings of a ``group`` could not be read any more, or can be read now, and why they could not."""

    group: str
    readings: int
    why: str

    def to_tree(self) -> dict[str, Any]:
        """Its fields."""
        return dict(self.__dict__)


class NodeChange(Record):
    """What changed on ``node``; ``timestamp`` is when that was seen, ``since`` the time of the cycle before, "" in the first line.

    The first line is what the watch begins with: every finding that fails or is unknown. ``summary`` counts the findings of now, as a
    report does. ``readings`` are differences as ``eidos diff`` has them; ``unreadable`` and ``readable`` say what could be read before and
    cannot now, and what had not been read before. ``plugins`` are names and digests of plug-ins that took part.
    """

    timestamp: str
    node: str
    sentence: str
    summary: Mapping[str, int]
    since: str = ""
    findings: tuple[FindingChange, ...] = ()
    readings: tuple[Change, ...] = ()
    unreadable: tuple[ReadingCount, ...] = ()
    readable: tuple[ReadingCount, ...] = ()
    plugins: tuple[str, ...] = ()

    def to_tree(self) -> dict[str, Any]:
        """The document as a plain tree."""
        tree: dict[str, Any] = {"kind": KIND, "apiVersion": API_VERSION, "time": self.timestamp}
        if self.since:
            tree["since"] = self.since
        tree.update(node=self.node, sentence=self.sentence, summary=dict(self.summary))
        for name in ("findings", "readings", "unreadable", "readable"):
            if parts := getattr(self, name):
                tree[name] = [part.to_tree() for part in parts]
        if self.plugins:
            tree["plugins"] = list(self.plugins)
        return tree
