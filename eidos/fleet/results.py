"""The folder of a fleet: a snapshot for each node, and what they have in common.

Knows names and forms of the files; must not know how snapshots come here. Each is written as it comes, whole or not at all, and then
forgotten: what stays in memory is what :class:`eidos.fleet.comparison.Fleet` keeps.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidInput
from eidos.files.atomic_write import Unwritable, write_file
from eidos.fleet.comparison import Fleet
from eidos.fleet.hostlist import file_names
from eidos.fleet.summary import Silence, Summary
from eidos.model.snapshot import natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.fleet.comparison_rules import Rules
    from eidos.fleet.ssh import Answer
    from eidos.formats import Tree

#: Files that are no node's.
SUMMARY, CLUSTER = "summary", "cluster"


class Folder:
    """Where the snapshots of ``nodes`` go."""

    def __init__(self, path: str, nodes: Sequence[str], rules: Rules, new: bool = False) -> None:
        """Make the folder; InvalidInput when there is something in it, Unwritable when it cannot be made.

        With ``new``, one beside it when it is there.
        """
        self.path = make(path, new)
        self._files = file_names(nodes, (SUMMARY, CLUSTER))
        self._fleet = Fleet(rules.counted)
        self.silent: dict[str, Silence] = {}
        self.answered = 0

    def put(self, node: str, answer: Answer) -> None:
        """Write a node's snapshot and compare it, or remember why there is none."""
        if isinstance(answer, Silence):
            self.silent[node] = answer
            return
        self.write(self._files[node], answer.to_tree())
        self._fleet.add(node, answer)
        self.answered += 1

    def write(self, name: str, tree: Tree) -> None:
        """Write a document of the folder; Unwritable when that cannot be done."""
        from eidos import formats

        write_file(self._file(name), formats.to_yaml(tree).encode())

    def _file(self, name: str) -> str:
        return os.path.join(self.path, f"{name}.yaml")

    def leave(self, asked: int) -> str | None:
        """What to say of the folder of a run that did not come to its end; None when nothing came into it, and it is gone."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:  # somebody removed it meanwhile
            return None
        except OSError:
            # Looked for, not counted on the way: an interrupt may come between the two.
            there = sum(os.path.exists(self._file(name)) for name in self._files.values())
            return f"{self.path} holds {there} of {asked} snapshots, and no summary"
        return None

    def summary(self) -> Summary:
        """How the nodes that answered stand to one another, written into the folder, too."""
        summary = Summary(tuple(self._fleet.classes()), dict(sorted(self.silent.items(), key=lambda item: natural(item[0]))))
        self.write(SUMMARY, summary.to_tree())
        return summary


def check(path: str) -> None:
    """Raise InvalidInput when there is something at ``path`` already, which the files of a fleet would lie among."""
    try:
        held = os.listdir(path)
    except OSError:  # make() says what is the matter
        return
    if held:
        hint = "name a new folder: what is left of another fleet would mislead"
        raise InvalidInput(f"--output: {path} holds {len(held)} files already", hint)


def make(path: str, new: bool = False) -> str:
    """Make a folder, for you alone, and say where; with ``new`` another than any that is there: two runs may begin at once.

    Raises InvalidInput when there is something in it already, Unwritable when it cannot be made.
    """
    wanted, number = path, 1
    try:
        while new:
            try:
                os.mkdir(path, 0o700)
                break
            except FileExistsError:
                number += 1
                path = f"{wanted}-{number}"
        check(path)
        os.makedirs(path, 0o700, exist_ok=True)
        os.listdir(path)
    except OSError as fault:
        raise Unwritable(path, (fault.strerror or str(fault)).lower(), "name another folder with --output") from fault
    if not os.access(path, os.W_OK | os.X_OK):
        raise Unwritable(path, "permission denied", "choose a place that you may write to, or run as a user who may")
    return path
