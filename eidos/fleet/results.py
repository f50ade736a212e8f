"""The folder of a fleet: a snapshot of each node, and their comparison.

Knows names and contents of the files; must not know how snapshots get here. Each is written atomically as it arrives, and not stored in
memory, but for what :class:`eidos.fleet.comparison.FleetComparison` stores.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData, InvalidInput, os_error_reason
from eidos.files.atomic_write import Unwritable, check_permission, write_file
from eidos.fleet.comparison import FleetComparison
from eidos.fleet.findings import FindingGroups
from eidos.fleet.hostlist import assign_file_names
from eidos.fleet.summary import FleetSummary, NoAnswer
from eidos.model.snapshot import natural_key
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Callable, Union

    from eidos.formats import Tree
    from eidos.model.check_report import CheckReport
    from eidos.model.snapshot import Snapshot
    from eidos.reading_selection import ReadingSelection

    NodeAnswer = Union[Snapshot, NoAnswer]
    JudgeNode = Callable[[Snapshot], CheckReport]

#: Files that do not belong to a node.
SUMMARY, CLUSTER = "summary", "cluster"


class FleetResults:
    """The answers of a fleet: how nodes compare, what is wrong with them, and which did not answer."""

    def __init__(self, rules: ReadingSelection, judge: JudgeNode | None = None) -> None:
        """With ``judge`` each snapshot is judged, too."""
        self._comparison = FleetComparison(rules.select_readings, rules.repeat_of)
        self._judge = judge
        self._findings = FindingGroups()
        self.unanswered: dict[str, NoAnswer] = {}
        self.answered = 0
        self._plugins: dict[str, None] = {}
        #: The readings of the cluster, which are read once and belong to each of its nodes.
        self.cluster: Snapshot | None = None

    def add(self, node: str, answer: NodeAnswer) -> None:
        """Compare and judge a node's snapshot, or note why there is none."""
        if isinstance(answer, NoAnswer):
            self.unanswered[node] = answer
            return
        self._comparison.add(node, answer)
        self.answered += 1
        self._plugins.update(dict.fromkeys(answer.plugins))
        if self._judge is None:
            return
        try:
            report = self._judge(with_cluster(answer, self.cluster) if self.cluster else answer)
            self._plugins.update(dict.fromkeys(report.plugins))
            self._findings.add(node, report)
        except (InvalidInput, InvalidData) as fault:  # no recipe for this node
            self._findings.not_judged[node] = fault.message

    def summarize(self, golden: Snapshot | None = None, golden_name: str = "") -> FleetSummary:
        """Compare the nodes with each other, or with ``golden``."""
        return FleetSummary(
            tuple(self._comparison.classes(golden)),
            dict(sorted(self.unanswered.items(), key=lambda item: natural_key(item[0]))),
            tuple(sorted(self._comparison.not_compared)),
            golden_name if golden is not None else "",
            self._findings.findings() if self._judge is not None else None,
            tuple(self._plugins),
        )


class ResultsFolder(FleetResults):
    """The folder to which the snapshots of ``nodes`` are written."""

    def __init__(self, path: str, nodes: Sequence[str], rules: ReadingSelection, new: bool = False, judge: JudgeNode | None = None) -> None:
        """Make the folder, as :func:`make_folder` does."""
        super().__init__(rules, judge)
        self.path = make_folder(path, new)
        self._files = assign_file_names(nodes, (SUMMARY, CLUSTER))

    def add(self, node: str, answer: NodeAnswer) -> None:
        """Write a node's snapshot, compare and judge it, or note why there is none."""
        if not isinstance(answer, NoAnswer):
            self.write(self._files[node], answer.to_tree())
        super().add(node, answer)

    def write(self, name: str, tree: Tree) -> None:
        """Write a document of the folder; Unwritable when it cannot be written."""
        from eidos import formats

        write_file(self._file(name), formats.to_yaml(tree).encode())

    def _file(self, name: str) -> str:
        return os.path.join(self.path, f"{name}.yaml")

    def snapshot_files(self) -> list[str]:
        """Names of the files with a snapshot: those of nodes that answered, sorted, and that of the cluster."""
        names = sorted(f"{name}.yaml" for name in (*self._files.values(), CLUSTER))
        return [name for name in names if os.path.exists(os.path.join(self.path, name))]

    def abandon(self, node_count: int) -> str | None:
        """Remove the folder of an interrupted run if it is empty; otherwise return a message that says what is in it."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:  # somebody removed it meanwhile
            return None
        except OSError:
            # The files are counted, because an interrupt may come between writing one and counting it.
            count = sum(os.path.exists(self._file(name)) for name in self._files.values())
            return f"{self.path} holds {count} of {node_count} snapshots and no summary"
        return None

    def write_summary(self, golden: Snapshot | None = None, golden_name: str = "") -> FleetSummary:
        """Compare the nodes, write the summary into the folder and return it."""
        summary = self.summarize(golden, golden_name)
        self.write(SUMMARY, summary.to_tree())
        return summary


def with_cluster(snapshot: Snapshot, cluster: Snapshot) -> Snapshot:
    """The snapshot of a node with the readings of its cluster that it does not have itself, and their outcomes."""
    from eidos.model.measurement import Measurement
    from eidos.model.record import replace

    parts = {measurement.type: list(measurement.subtypes) for measurement in snapshot.measurements}
    for measurement in cluster.measurements:
        own = {subtype.name for subtype in parts.setdefault(measurement.type, [])}
        parts[measurement.type] += (subtype for subtype in measurement.subtypes if subtype.name not in own)
    names = {outcome.name for outcome in cluster.collectors}
    outcomes = (*(outcome for outcome in snapshot.collectors if outcome.name not in names), *cluster.collectors)
    measurements = tuple(Measurement(kind, tuple(subtypes)) for kind, subtypes in parts.items())
    return replace(snapshot, measurements=measurements, collectors=outcomes)


def require_empty(path: str) -> None:
    """Raise InvalidInput when there are files at ``path`` already."""
    try:
        names = os.listdir(path)
    except OSError:  # make_folder() reports it
        return
    if names:
        hint = "choose a new folder: results of an earlier run would mix with these"
        raise InvalidInput(f"--output: {path} already contains {count_of(len(names), 'file')}", hint)


def make_folder(path: str, new: bool = False) -> str:
    """Make a folder for this user alone and return its path; with ``new`` one that did not exist, with a number at the end if need be.

    Raises InvalidInput when there are files in it already, Unwritable when it cannot be made.
    """
    requested, number = path, 1
    try:
        while new:
            try:
                os.mkdir(path, 0o700)
                break
            except FileExistsError:
                number += 1
                path = f"{requested}-{number}"
        require_empty(path)
        os.makedirs(path, 0o700, exist_ok=True)
        os.listdir(path)
    except OSError as fault:
        raise Unwritable(path, os_error_reason(fault), "choose another folder with --output") from fault
    check_permission(path, path)
    return path


def parse_snapshot(body: bytes) -> Snapshot:
    """Return the snapshot in a JSON document, with the digests that follow it; InvalidData when it is not one."""
    from eidos import formats
    from eidos.model.record import replace
    from eidos.model.snapshot import Snapshot, split_digests

    document, digests = split_digests(body)
    snapshot = Snapshot.from_tree(formats.from_text(document, "its output"), "its output")
    outcomes = tuple(replace(outcome, digests=digests.get(outcome.name, {})) for outcome in snapshot.collectors)
    return replace(snapshot, collectors=outcomes)
