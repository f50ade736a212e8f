"""The readings of one node as conditions look them up: what is there, what is known to be absent, what could not be read and why.

Knows which collector a path belongs to and what its outcome means for a reading that is missing; must not know any check. Reading less
never makes a reading absent: it is absent only where a collector that looked for it completed, or the source says that it has none.

>>> from eidos.model.measurement import Measurement, Outcome, Subtype
>>> from eidos.model.snapshot import Snapshot
>>> kmod = Measurement("OS", (Subtype("kmod", {"nvidia": True}),))
>>> node = NodeReadings(Snapshot("", "", "gpu-07", (kmod,), (Outcome("os.kmod", "ok", 1.0),)))
>>> node.read("OS.kmod.nvidia"), node.read("OS.kmod.nouveau")
('true', None)
>>> node.read("OS.sysctl./proc/sys/vm/swappiness")
Traceback (most recent call last):
eidos.model.condition_nodes.Unread: not collected
"""

from __future__ import annotations

from eidos.model.condition_nodes import Unread, matching_instances
from eidos.model.measurement import FAILED, PARTIAL, SKIPPED, TYPES, VOLATILE, WITHHELD
from eidos.model.quantity import parse_count
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eidos.model.finding import Remedy
    from eidos.model.measurement import Outcome
    from eidos.model.snapshot import Snapshot

_COLLECTOR_TYPES = {wire: key for key, wire in TYPES.items()}

#: Subtypes that list everything of their kind, so that what is not in them is absent, also in documents that have no outcomes.
_COMPLETE = ("OS.grub", "OS.kmod")

#: What a collector of GPUs reports of a host that has none.
_NO_GPU = ("no NVIDIA driver", "no NVIDIA driver loaded")

#: First words of names that are no readings.
DERIVED_ROOTS = ("query", "node", "recipe", "snapshot")

#: How the paths of all GPUs begin.
GPUS = "GPU.gpu-"

#: There is one wherever a driver answers.
GPU_COUNT = "GPU.smi.gpu-count"

NOT_COLLECTED, NOT_VOLATILE = "not collected", "taken without --volatile"


class NodeReadings:
    """A lookup of conditions; ``derived`` are names that are no readings: ``query.gpu``, ``node.…``.

    ``underived`` says of those that are not known why not; any other is absent. ``readings`` are all readings as text, by path.
    """

    def __init__(self, snapshot: Snapshot, derived: Mapping[str, str] | None = None) -> None:
        self.snapshot = snapshot
        self.derived = dict(derived or {})
        self.underived: dict[str, str] = {}
        self.outcomes = {outcome.name: outcome for outcome in snapshot.collectors}
        self.subtypes = {f"{m.type}.{s.name}" for m in snapshot.measurements for s in m.subtypes}
        self.readings = snapshot.readings()
        # By what their paths begin with, because conditions over instances look through one subtype or a few.
        self._by_subtype = [(f"{m.type}.{s.name}.", s.data) for m in snapshot.measurements for s in m.subtypes]
        self._starts = tuple([start for start, _ in self._by_subtype])
        self._compound_names = [name for name in self.outcomes if name.count(".") > 1 or "-" in name]
        self._volatile = [name for name in self.subtypes if name.endswith(VOLATILE)]
        self._absences: dict[str, str] = {}
        self._by_prefix: dict[str, list[str]] = {}
        #: What shows readings that could not be read, by the hints that it consists of: most findings of such a node have the same.
        self.hint_remedies: dict[tuple[str, ...], Remedy | None] = {}

    def read(self, path: str) -> str | None:
        """The text of a reading; None when it is known to be absent (:meth:`absence` says why), Unread when it is not known."""
        text = self.readings.get(path)
        if text is None:
            root = path.partition(".")[0]
            if root not in _COLLECTOR_TYPES:
                if path in self.underived:
                    raise Unread(self.underived[path])
                if root not in DERIVED_ROOTS:
                    raise Unread(f"{root!r} is not a type of measurement")
                return self.derived.get(path)
            self._absences[path] = self._absence(path)
        elif text == WITHHELD:
            raise Unread(f"withheld, because it may be a secret; show it with --reveal {path.rpartition('.')[2]}")
        return text

    def absence(self, path: str) -> str:
        """Why a reading is absent, as a phrase, once it was read; "" when nothing says so."""
        return self._absences.get(path, "")

    def context(self, path: str) -> str:
        """The sentence beside a reading in its document; "" for none."""
        for m in self.snapshot.measurements:
            for s in m.subtypes:
                prefix = f"{m.type}.{s.name}."
                if path.startswith(prefix) and path[len(prefix) :] in s.context:
                    return s.context[path[len(prefix) :]]
        return ""

    def paths(self, prefix: str) -> list[str]:
        """The paths of readings that begin so, in order."""
        if prefix not in self._by_prefix:
            self._by_prefix[prefix] = [
                path
                for start, data in self._by_subtype
                if start.startswith(prefix) or prefix.startswith(start)
                for key in data
                if (path := start + key).startswith(prefix)
            ]
        return self._by_prefix[prefix]

    def instances(self, prefix: str, suffix: str) -> Iterable[str]:
        """The texts for which there is a reading, and those of subtypes that could not be read (``gpu-3``)."""
        texts = dict.fromkeys(matching_instances(self.paths(prefix), prefix, suffix))
        kind, _, start = prefix.partition(".")
        for outcome in self._outcomes_of(f"{prefix}x{suffix}", kind):
            for what in outcome.unreadable:
                name, _, key = what.partition("/")
                if key and (path := f"{kind}.{name}.{key}").startswith(prefix) and path.endswith(suffix):
                    texts[path[len(prefix) : len(path) - len(suffix)]] = None
                elif start and name.startswith(start) and len(name) > len(start) and (not key or f".{key}" == suffix):
                    texts[name[len(start) :]] = None
        return texts

    def unread_instances(self, pattern: str) -> str:
        """Why there may be more of what ``*`` stands for in a path than there are readings of; "" when all of them were read."""
        prefix, _, suffix = pattern.partition("*")
        owners = self._outcomes_of(prefix, prefix.partition(".")[0])
        for outcome in owners:
            if outcome.outcome == FAILED or (outcome.outcome == PARTIAL and outcome.reason):
                return _phrase(outcome)
            if outcome.outcome == SKIPPED:
                return "" if _is_inapplicable(outcome) else _phrase(outcome)
        if VOLATILE + "." in prefix + suffix and not any(name.startswith(prefix.partition(VOLATILE)[0]) for name in self._volatile):
            return NOT_VOLATILE
        if prefix == GPUS:
            text = self.readings.get(GPU_COUNT, "0")
            count, shown = parse_count(text), sum(name.startswith(GPUS) and "." not in name[len(GPUS) :] for name in self.subtypes)
            if count is None:
                return not_a_number(text)
            if count > shown:
                return f"readings of {shown} of {count} GPUs"
        return "" if owners or any(name.startswith(prefix) for name in self.subtypes) else NOT_COLLECTED

    def _absence(self, path: str) -> str:
        """Why a reading is known to be absent; raises Unread when it is not."""
        kind, _, rest = path.partition(".")
        if not self.outcomes:
            if any(path.startswith(f"{name}.") for name in _COMPLETE if name in self.subtypes):
                return "not set"
            raise Unread("the snapshot does not say what was looked at")
        owners = self._outcomes_of(path, kind)
        if not owners:
            raise Unread(NOT_COLLECTED)
        absent = ""
        for outcome in owners:
            for what, why in outcome.unreadable.items():
                if _covers(what, rest):
                    raise Unread(why)
        for outcome in owners:
            explicit = next((why for what, why in outcome.absent.items() if _covers(what, rest)), "")
            if explicit:
                return explicit
            if outcome.outcome == FAILED or (outcome.outcome == PARTIAL and outcome.reason):
                raise Unread(_phrase(outcome))
            if outcome.outcome == SKIPPED:
                if not _is_inapplicable(outcome):
                    raise Unread(_phrase(outcome))
                absent = outcome.reason or "no such source"
            elif "./" not in rest:  # keys that are paths name theirs
                sources = {what: why for what, why in outcome.unreadable.items() if not self._names_a_reading(what, kind)}
                for what, why in sources.items():
                    raise Unread(f"{what}: {why}")
        if not absent and VOLATILE + "." in path and not any(path.startswith(f"{name}.") for name in self._volatile):
            raise Unread(NOT_VOLATILE)
        return absent or "not set"

    def _names_a_reading(self, what: str, kind: str) -> bool:
        """Whether a gap is about one subtype or one reading (``gpu-0/ecc.current``), and not about a source that may have had any."""
        subtype, slash, _ = what.partition("/")
        return bool(subtype and slash) and (f"{kind}.{subtype}" in self.subtypes or subtype.partition("-")[2].isdecimal())

    def unread_sources(self, path: str) -> dict[str, str]:
        """What the collector of a path could not read, and why: the path of a reading, or a file or folder that may have had some."""
        kind = path.partition(".")[0]
        gaps = {what: why for outcome in self._outcomes_of(path, kind) for what, why in outcome.unreadable.items()}
        return {f"{kind}.{what.replace('/', '.', 1)}" if self._names_a_reading(what, kind) else what: why for what, why in gaps.items()}

    def hint(self, path: str) -> str:
        """What the collector of a path suggests to do about what it did not read; "" when nothing."""
        return next((outcome.hint for outcome in self._outcomes_of(path, path.partition(".")[0]) if outcome.hint), "")

    def _outcomes_of(self, path: str, kind: str) -> list[Outcome]:
        """The outcome of the collector that a path belongs to; of all of its type where no name fits and its subtype is there."""
        if not self.outcomes:
            return []
        group = _COLLECTOR_TYPES.get(kind, "")
        rest = path.partition(".")[2]
        if group in self.outcomes:
            return [self.outcomes[group]]
        segment = rest.partition(".")[0].partition("-")[0]
        best = f"{group}.{segment}" if len(segment) < len(rest) and f"{group}.{segment}" in self.outcomes else ""
        for name in self._compound_names:
            own, _, subject = name.partition(".")
            if own == group and len(name) > len(best) and rest.startswith(subject) and rest[len(subject) : len(subject) + 1] in (".", "-"):
                best = name
        if best:
            return [self.outcomes[best]]
        if path.startswith(self._starts):
            return [outcome for name, outcome in self.outcomes.items() if name.partition(".")[0] == group]
        return []


def not_a_number(text: str) -> str:
    """The reason for a reading that should be a number and is not, as a phrase."""
    return f"{shorten(text, 40)!r} is not a number"


def _is_inapplicable(outcome: Outcome) -> bool:
    """Whether a collector was skipped because this host has no such thing; a hint says that it may have one all the same."""
    return not outcome.hint or outcome.reason in _NO_GPU


def _phrase(outcome: Outcome) -> str:
    return f"{outcome.name} {outcome.outcome}: {outcome.reason}" if outcome.reason else f"{outcome.name} {outcome.outcome}"


def _covers(what: str, rest: str) -> bool:
    """Whether a gap is about a reading, whose path is ``rest`` behind the type.

    A gap names a subtype and a key (``gpu-0/ecc.current``), a subtype, a key, a folder of keys or with a ``*`` the beginning of keys.
    """
    subtype, slash, key = what.partition("/")
    if slash and subtype and (rest == f"{subtype}.{key}" or rest.startswith(f"{subtype}.{key}.")):
        return True
    if rest.startswith(f"{what}."):
        return True
    if what.endswith("*"):
        return f".{what[:-1]}" in rest or rest.startswith(what[:-1])
    return rest.endswith(f".{what}") or f".{what}/" in rest
