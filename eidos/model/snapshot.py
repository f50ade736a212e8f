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
from eidos.model.written import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from eidos.model.measurement import Readings

    T = TypeVar("T")

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
    return tree


def from_tree(tree: Any, where: str) -> Snapshot:
    """The snapshot in a document, ours or the Go program's; ``where`` names the document in messages.

    Types are read without regard to case; metadata, subtypes, data, context and collectors may be missing or null; names that
    we do not know are passed over. Raises InvalidData with the place and what was expected there.
    """
    if tree is None:
        raise InvalidData(f"{where}: the document is empty", "name a file that eidos snapshot has written")
    reader = _Reader(where)
    root = reader.mapping(tree, "")
    reader.expect_kind(root)
    metadata = reader.mapping(root.get("metadata"), "metadata")
    return Snapshot(
        timestamp=reader.text(metadata.get("snapshot-timestamp", ""), "metadata.snapshot-timestamp"),
        version=reader.text(metadata.get("snapshot-version", ""), "metadata.snapshot-version"),
        node=reader.text(metadata.get("source-node", ""), "metadata.source-node"),
        measurements=tuple(reader.measurement(item, at) for item, at in reader.items(root.get("measurements"), "measurements")),
        collectors=tuple(reader.outcome(item, at) for item, at in reader.items(root.get("collectors"), "collectors")),
    )


class _Reader:
    """Reads parts of one document; ``at`` is always the place of the part."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fault(self, at: str, reason: str, hint: str | None = None) -> InvalidData:
        return InvalidData(f"{self.where}: {at}: {reason}" if at else f"{self.where}: {reason}", hint)

    def wrong(self, at: str, expected: str, found: object) -> InvalidData:
        return self.fault(at, f"expected {expected}, found {_noun(found)}")

    def expect_kind(self, root: dict[str, Any]) -> None:
        for name, expected in (("kind", KIND), ("apiVersion", API_VERSION)):
            found = root.get(name, expected)
            if found != expected:
                raise self.fault(name, f"expected {expected}, found {_short(found)}", "name a file that eidos snapshot has written")
        if "measurements" not in root:
            raise self.fault("", "this is no snapshot: it has no measurements", "name a file that eidos snapshot has written")

    def mapping(self, value: Any, at: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(at, "a mapping", value)
        return value

    def items(self, value: Any, at: str) -> list[tuple[Any, str]]:
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            raise self.wrong(at, "a list", value)
        return [(item, f"{at}[{number}]") for number, item in enumerate(value)]

    def text(self, value: Any, at: str) -> str:
        """Text; a number stands for what was written: versions are easily left without quotes."""
        if isinstance(value, (dict, list, tuple)):
            raise self.wrong(at, "text", value)
        return written(value)

    def name(self, value: Any, at: str) -> str:
        text = self.text(value, at)
        if not text:
            raise self.fault(at, "expected a name, found nothing")
        return text

    def texts(self, value: Any, at: str) -> dict[str, str]:
        return {key: self.text(item, f"{at}.{key}") for key, item in self.mapping(value, at).items()}

    def measurement(self, value: Any, at: str) -> Measurement:
        tree = self.mapping(value, at)
        name = self.name(tree.get("type"), f"{at}.type")
        if name.lower() not in TYPES:
            raise self.fault(f"{at}.type", f"unknown type {_short(name)}", f"types are {', '.join(TYPES.values())}")
        return Measurement(
            TYPES[name.lower()], tuple(self.subtype(item, place) for item, place in self.items(tree.get("subtypes"), f"{at}.subtypes"))
        )

    def subtype(self, value: Any, at: str) -> Subtype:
        tree = self.mapping(value, at)
        name = self.name(tree.get("subtype"), f"{at}.subtype")
        return Subtype(name, self.readings(tree.get("data"), f"{at}.data"), self.texts(tree.get("context"), f"{at}.context"))

    def readings(self, value: Any, at: str) -> Readings:
        data = self.mapping(value, at)
        for key, item in data.items():
            if not isinstance(item, (str, int, float)):
                hint = 'write "" for a value that is empty' if item is None else None
                raise self.fault(f"{at}.{key}", f"expected a scalar, found {_noun(item)}", hint)
        return data

    def outcome(self, value: Any, at: str) -> Outcome:
        tree = self.mapping(value, at)
        outcome = self.name(tree.get("outcome"), f"{at}.outcome")
        if outcome not in _OUTCOMES:
            raise self.fault(f"{at}.outcome", f"unknown outcome {_short(outcome)}", f"outcomes are {', '.join(_OUTCOMES)}")
        return Outcome(
            name=self.name(tree.get("name"), f"{at}.name"),
            outcome=outcome,
            milliseconds=self.number(tree.get("milliseconds", 0), f"{at}.milliseconds"),
            reason=self.text(tree.get("reason"), f"{at}.reason") or None,
            hint=self.text(tree.get("hint"), f"{at}.hint") or None,
            unreadable=self.texts(tree.get("unreadable"), f"{at}.unreadable"),
            absent=self.texts(tree.get("absent"), f"{at}.absent"),
            withheld=int(self.number(tree.get("withheld", 0), f"{at}.withheld")),
        )

    def number(self, value: Any, at: str) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value - value != 0 or value < 0:
            raise self.fault(at, f"expected a number, found {_short(value)}")
        return value


def _noun(value: object) -> str:
    if value is None:
        return "nothing"
    for kind, noun in ((dict, "a mapping"), ((list, tuple), "a list"), (str, "text"), (bool, "true or false"), ((int, float), "a number")):
        if isinstance(value, kind):
            return noun
    return f"a {type(value).__name__}"


def _short(value: object) -> str:
    if isinstance(value, (dict, list, tuple)) or value is None:
        return _noun(value)
    text = written(value)
    return f'"{text if len(text) <= 40 else text[:39] + "…"}"'
