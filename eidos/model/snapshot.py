"""What one node is at one time: the document that ``eidos snapshot`` writes and other verbs read.

Knows the document's names and order, which are a contract with the Go program of the same name; must not know YAML, JSON or
files: it deals in plain trees. ``to_tree`` gives types in the order of :data:`~eidos.model.measurement.TYPES`, subtypes by name
with numbers by value (``gpu-2`` before ``gpu-10``), keys in code point order, collectors in the order in which they were given.

>>> shot = Snapshot("2026-11-23T06:00:00Z", "1.2.3", "gpu-07", (Measurement("OS", (Subtype("kmod", {"nvidia": True}),)),))
>>> shot.to_tree()["measurements"]
[{'type': 'OS', 'subtypes': [{'subtype': 'kmod', 'data': {'nvidia': True}}]}]
>>> shot.readings()
{'OS.kmod.nvidia': 'true'}
>>> Snapshot.from_tree(shot.to_tree(), "snapshot.yaml") == shot
True
>>> Snapshot.from_tree({"measurements": [{"type": "os", "subtypes": [{"subtype": "kmod", "data": {"x": []}}]}]}, "snapshot.yaml")
Traceback (most recent call last):
eidos.errors.InvalidData: snapshot.yaml: measurements[0].subtypes[0].data.x: expected a scalar, found a list
"""

from __future__ import annotations

from eidos.model.measurement import FAILED, OK, PARTIAL, SKIPPED, TYPES, Measurement, Outcome, Subtype, read_measurements
from eidos.model.number_format import format_scalar
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.tree_reader import TreeReader

KIND = "Snapshot"
API_VERSION = "snapshot.dgxc.io/v1"

#: How the line with digests begins.
DIGESTS = "eidos-digests "

_HINT = "run 'eidos snapshot -o node.yaml' to write a snapshot"

_ORDER = {wire: number for number, wire in enumerate(TYPES.values())}
_OUTCOMES = (OK, PARTIAL, SKIPPED, FAILED)


class Snapshot(Record):
    """One node at one time.

    ``timestamp`` is RFC 3339 in UTC, ``version`` that of the program that wrote it, ``node`` the node's name; each is empty where a
    document has none. ``plugins`` are names and digests of plug-ins that took part: ``acme@sha256:…``.
    """

    timestamp: str
    version: str
    node: str
    measurements: tuple[Measurement, ...] = ()
    collectors: tuple[Outcome, ...] = ()
    plugins: tuple[str, ...] = ()

    __slots__ = ("_readings",)  # no field: two snapshots are equal whether their readings were asked for or not

    def readings(self) -> dict[str, str]:
        """All readings as text, by their path: ``K8s.server.version``; not to be changed."""
        readings: dict[str, str] | None = getattr(self, "_readings", None)
        if readings is None:
            readings = {}
            for start, data in [(f"{m.type}.{s.name}.", s.data) for m in self.measurements for s in m.subtypes]:
                readings.update({start + key: value if type(value) is str else format_scalar(value) for key, value in data.items()})
            object.__setattr__(self, "_readings", readings)
        return readings

    def to_tree(self) -> dict[str, Any]:
        """The document as a plain tree."""
        return {
            "kind": KIND,
            "apiVersion": API_VERSION,
            "metadata": {
                "snapshot-timestamp": self.timestamp,
                "snapshot-version": self.version,
                "source-node": self.node,
                **({"plugins": " ".join(self.plugins)} if self.plugins else {}),  # metadata holds texts alone
            },
            "measurements": [
                {
                    "type": measurement.type,
                    "subtypes": [_subtype_tree(s) for s in sorted(measurement.subtypes, key=lambda s: natural_key(s.name))],
                }
                for measurement in sorted(self.measurements, key=lambda m: _ORDER.get(m.type, len(_ORDER)))
            ],
            "collectors": [_outcome_tree(outcome) for outcome in self.collectors],
        }

    @classmethod
    def from_tree(cls, tree: object, document: str) -> Snapshot:
        """The snapshot in a document, ours, the Go program's, aicr's or cnsctl's; ``document`` names it in messages.

        Types are read without regard to case; metadata, subtypes, data, context and collectors may be missing or null; unknown names are
        ignored. Raises InvalidData with the path and what was expected there.
        """
        from eidos.model.tree_reader import ANY_SCALAR, TreeReader  # one that is taken is not read

        root = TreeReader(tree, document, text_types=ANY_SCALAR)
        if tree is None:
            raise root.error("the document is empty", _HINT)
        if (root.tree.get("kind", KIND), root.tree.get("apiVersion", API_VERSION)) != (KIND, API_VERSION):
            from eidos.model import foreign_documents

            if foreign_documents.describe(root.tree):
                return cls._from_foreign(root)
        root.expect_kind(KIND, API_VERSION, _HINT)
        if "measurements" not in root:
            raise root.error("not a snapshot: it has no measurements", _HINT)
        metadata = root.mapping("metadata")
        return cls(
            timestamp=metadata.text("snapshot-timestamp"),
            version=metadata.text("snapshot-version"),
            node=metadata.text("source-node"),
            measurements=read_measurements(root.mappings("measurements")),
            collectors=tuple(map(_read_outcome, root.mappings("collectors"))),
            plugins=tuple(metadata.text("plugins").split()),
        )

    @classmethod
    def _from_foreign(cls, root: TreeReader) -> Snapshot:
        """The snapshot in a document of aicr or cnsctl, which have other names in the header."""
        from eidos.model import foreign_documents

        foreign_documents.check_snapshot(root)
        metadata = root.mapping("metadata").renamed(foreign_documents.METADATA)
        items = filter(foreign_documents.is_read, root.mappings("measurements"))
        measurements, outcomes = foreign_documents.correct_measurements(root, read_measurements(items))
        timestamp, version, node = (metadata.text(name) for name in ("snapshot-timestamp", "snapshot-version", "source-node"))
        return cls(timestamp, version, node, measurements, outcomes)


def digest_line(snapshot: Snapshot) -> str:
    r"""The digests of withheld values, in a line that follows the document and is no part of it.

    >>> shot = Snapshot("", "", "", (), (Outcome("os.grub", OK, 1.0, digests={"grub/pw": "0f"}),))
    >>> digest_line(shot), split_digests(b"{}\n" + digest_line(shot).encode())
    ('eidos-digests os.grub grub/pw 0f\n', (b'{}\n', {'os.grub': {'grub/pw': '0f'}}))
    """
    rows = []
    for outcome in snapshot.collectors:
        # A key with blanks in it would be read as several words.
        rows += [f"{outcome.name} {what} {digest}" for what, digest in sorted(outcome.digests.items()) if len(what.split()) == 1]
    return DIGESTS + "\t".join(rows) + "\n"


def split_digests(body: bytes) -> tuple[bytes, dict[str, dict[str, str]]]:
    """A document without the line of :func:`digest_line` behind it, and what that says: collector → ``subtype/key`` → digest."""
    begin = body.rfind(DIGESTS.encode())
    if begin < 0 or (begin and body[begin - 1 : begin] != b"\n"):
        return body, {}
    digests: dict[str, dict[str, str]] = {}
    for row in body[begin + len(DIGESTS) :].decode("utf-8", "replace").strip().split("\t"):
        words = row.split(" ")
        if len(words) == 3:
            digests.setdefault(words[0], {})[words[1]] = words[2]
    return body[:begin], digests


def natural_key(name: str) -> tuple[str | int, ...]:
    """A key that sorts numbers inside names by value; the name itself decides between ``gpu-1`` and ``gpu-01``.

    >>> sorted(["gpu-10", "gpu-2", "smi", "gpu-2.volatile"], key=natural_key)
    ['gpu-2', 'gpu-2.volatile', 'gpu-10', 'smi']
    """
    parts: list[str | int] = []
    start = 0
    for index in range(len(name) + 1):
        is_digit = index < len(name) and "0" <= name[index] <= "9"
        if index == len(name) or is_digit != bool(len(parts) % 2):
            text = name[start:index]
            parts.append(_number_key(text) if len(parts) % 2 else text)
            start = index
    if not len(parts) % 2:
        parts.append("")
    return (*parts, -1, name)


def _number_key(digits: str) -> int:
    """The number; of one with more digits than names have only how many there are, because int() takes quadratic time."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= 18 else 10**18 + len(digits)


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
    if outcome.revealed:
        tree["revealed"] = list(outcome.revealed)
    return tree


def _read_outcome(tree: TreeReader) -> Outcome:
    return Outcome(
        outcome=tree.choice("outcome", _OUTCOMES),
        name=tree.name("name"),
        milliseconds=tree.number("milliseconds"),
        reason=tree.text("reason") or None,
        hint=tree.text("hint") or None,
        unreadable=tree.text_map("unreadable"),
        absent=tree.text_map("absent"),
        withheld=int(tree.number("withheld")),
        stale=None if tree.tree.get("stale") is None else int(tree.number("stale")),
        revealed=tuple(tree.names("revealed")),
    )
