"""What one node is at one time: the document that ``eidos snapshot`` writes and everything else reads.

Knows the document's names and order, which are a contract with the Go program of the same name; must not know YAML, JSON or
files: it deals in plain trees. ``to_tree`` gives types in the order of :data:`~eidos.model.measurement.TYPES`, subtypes by name
with numbers by value (``gpu-2`` before ``gpu-10``), keys in code point order, collectors in the order in which they were given.

>>> shot = Snapshot("2026-11-23T06:00:00Z", "1.2.3", "gpu-07", (Measurement("OS", (Subtype("kmod", {"nvidia": True}),)),))
>>> shot.to_tree()["measurements"]
[{'type': 'OS', 'subtypes': [{'subtype': 'kmod', 'data': {'nvidia': True}}]}]
>>> from_tree(shot.to_tree(), "snapshot.yaml") == shot
True
>>> from_tree({"measurements": [{"type": "os", "subtypes": [{"subtype": "kmod", "data": {"x": []}}]}]}, "snapshot.yaml")
Traceback (most recent call last):
eidos.errors.InvalidData: snapshot.yaml: measurements[0].subtypes[0].data.x: expected a scalar, found a list
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.measurement import FAILED, OK, PARTIAL, SKIPPED, TYPES, Measurement, Outcome, Subtype
from eidos.model.record import Record
from eidos.model.tree_reader import Reader, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KIND = "Snapshot"
API_VERSION = "snapshot.dgxc.io/v1"

_ORDER = {wire: number for number, wire in enumerate(TYPES.values())}
_OUTCOMES = (OK, PARTIAL, SKIPPED, FAILED)


class Snapshot(Record):
    """One node at one time.

    ``timestamp`` is RFC 3339 in UTC, ``version`` that of the program that wrote it, ``node`` the node's name; each is empty
    where a document does not say.
    """

    timestamp: str
    version: str
    node: str
    measurements: tuple[Measurement, ...] = ()
    collectors: tuple[Outcome, ...] = ()

    def to_tree(self) -> dict[str, Any]:
        """The document as a plain tree."""
        return {
            "kind": KIND,
            "apiVersion": API_VERSION,
            "metadata": {"snapshot-timestamp": self.timestamp, "snapshot-version": self.version, "source-node": self.node},
            "measurements": [
                {
                    "type": measurement.type,
                    "subtypes": [_subtype_tree(s) for s in sorted(measurement.subtypes, key=lambda s: natural(s.name))],
                }
                for measurement in sorted(self.measurements, key=lambda m: _ORDER.get(m.type, len(_ORDER)))
            ],
            "collectors": [_outcome_tree(outcome) for outcome in self.collectors],
        }


def natural(name: str) -> tuple[str | int, ...]:
    """A key that sorts numbers inside names by value; the name itself decides between ``gpu-1`` and ``gpu-01``.

    >>> sorted(["gpu-10", "gpu-2", "smi", "gpu-2.volatile"], key=natural)
    ['gpu-2', 'gpu-2.volatile', 'gpu-10', 'smi']
    """
    parts: list[str | int] = [""]
    for char in name:
        last = parts[-1]
        if "0" <= char <= "9":
            if isinstance(last, int):
                parts[-1] = last * 10 + int(char)
            else:
                parts.append(int(char))
        elif isinstance(last, str):
            parts[-1] = last + char
        else:
            parts.append(char)
    if isinstance(parts[-1], int):
        parts.append("")
    return (*parts, -1, name)


def _subtype_tree(subtype: Subtype) -> dict[str, Any]:
    tree: dict[str, Any] = {"subtype": subtype.name, "data": dict(sorted(subtype.data.items()))}
    if subtype.context:
        tree["context"] = dict(sorted(subtype.context.items()))
    return tree


def _outcome_tree(outcome: Outcome) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": outcome.name, "outcome": outcome.outcome, "milliseconds": outcome.milliseconds}
    for name in ("reason", "hint"):
        if getattr(outcome, name):
            tree[name] = getattr(outcome, name)
    for name in ("unreadable", "absent"):
        if getattr(outcome, name):
            tree[name] = dict(sorted(getattr(outcome, name).items()))
    if outcome.withheld:
        tree["withheld"] = outcome.withheld
    if outcome.stale is not None:
        tree["stale"] = outcome.stale
    return tree


def from_tree(tree: Any, where: str) -> Snapshot:
    """The snapshot in a document, ours or the Go program's; ``where`` names the document in messages.

    Types are read without regard to case; metadata, subtypes, data, context and collectors may be missing or null; names that
    we do not know are passed over. Raises InvalidData with the place and what was expected there.
    """
    if tree is None:
        raise InvalidData(f"{where}: the document is empty", "name a file that eidos snapshot has written")
    reader = Reader(where)
    root = reader.mapping(tree, "")
    _expect_kind(reader, root)
    metadata = reader.mapping(root.get("metadata"), "metadata")
    return Snapshot(
        timestamp=reader.text(metadata.get("snapshot-timestamp", ""), "metadata.snapshot-timestamp"),
        version=reader.text(metadata.get("snapshot-version", ""), "metadata.snapshot-version"),
        node=reader.text(metadata.get("source-node", ""), "metadata.source-node"),
        measurements=tuple(reader.measurement(item, at) for item, at in reader.items(root.get("measurements"), "measurements")),
        collectors=tuple(_outcome(reader, item, at) for item, at in reader.items(root.get("collectors"), "collectors")),
    )


def _expect_kind(reader: Reader, root: dict[str, Any]) -> None:
    for name, expected in (("kind", KIND), ("apiVersion", API_VERSION)):
        found = root.get(name, expected)
        if found != expected:
            raise reader.fault(name, f"expected {expected}, found {short(found)}", "name a file that eidos snapshot has written")
    if "measurements" not in root:
        raise reader.fault("", "this is no snapshot: it has no measurements", "name a file that eidos snapshot has written")


def _outcome(reader: Reader, value: Any, at: str) -> Outcome:
    tree = reader.mapping(value, at)
    stale = tree.get("stale")
    outcome = reader.name(tree.get("outcome"), f"{at}.outcome")
    if outcome not in _OUTCOMES:
        raise reader.fault(f"{at}.outcome", f"unknown outcome {short(outcome)}", f"outcomes are {', '.join(_OUTCOMES)}")
    return Outcome(
        name=reader.name(tree.get("name"), f"{at}.name"),
        outcome=outcome,
        milliseconds=reader.number(tree.get("milliseconds", 0), f"{at}.milliseconds"),
        reason=reader.text(tree.get("reason"), f"{at}.reason") or None,
        hint=reader.text(tree.get("hint"), f"{at}.hint") or None,
        unreadable=reader.texts(tree.get("unreadable"), f"{at}.unreadable"),
        absent=reader.texts(tree.get("absent"), f"{at}.absent"),
        withheld=int(reader.number(tree.get("withheld", 0), f"{at}.withheld")),
        stale=None if stale is None else int(reader.number(stale, f"{at}.stale")),
    )
