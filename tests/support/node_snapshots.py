"""Snapshots of captured trees, taken in this process: no children, no deadline, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

from eidos.collectors import Sources, list_collectors, load_collector
from eidos.errors import EidosError, NotApplicable
from eidos.files.host import Host
from eidos.model.measurement import ABSENT, FAILED, OK, PARTIAL, SKIPPED, TYPES, UNREADABLE, VOLATILE, Gap, Measurement, Outcome, Subtype
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot

HOSTS = Path(__file__).parent.parent / "hosts"

TIME = "2026-11-29T06:00:00Z"

#: The same in seconds since the epoch.
NOW = 1795932000.0


def tree_snapshot(folder: Path, smi: bytes = b"", node: str = "gpu-07", known_absent: frozenset[str] | None = None) -> Snapshot:
    """The snapshot of a tree, as the runner of collectors makes it; collectors of a cluster are skipped."""
    sources = Sources(host=Host(str(folder), known_absent), smi=smi)
    subtypes: dict[str, dict[str, Subtype]] = {wire: {} for wire in TYPES.values()}
    outcomes = []
    for name in list_collectors():
        group = subtypes[TYPES[name.partition(".")[0]]]
        gaps: list[Gap] = []
        outcome, reason, hint = OK, None, None
        try:
            if name.startswith("k8s."):
                raise NotApplicable("no cluster is configured")
            for part in load_collector(name)(sources):
                if isinstance(part, Gap):
                    gaps.append(part)
                else:
                    before = group.get(part.name, Subtype(part.name, {}))
                    group[part.name] = Subtype(part.name, {**before.data, **part.data}, {**before.context, **part.context})
        except NotApplicable as why:
            outcome, reason, hint = SKIPPED, why.reason, why.hint
        except EidosError as fault:
            outcome, reason, hint = FAILED, fault.message, fault.hint
        unreadable, absent = ({gap.what: gap.why for gap in gaps if gap.kind == kind} for kind in (UNREADABLE, ABSENT))
        outcomes.append(Outcome(name, PARTIAL if outcome == OK and unreadable else outcome, 0.0, reason, hint, unreadable, absent))
    measurements = tuple(Measurement(wire, tuple(group.values())) for wire, group in subtypes.items())
    return Snapshot(TIME, "0.1.0", node, measurements, tuple(outcomes))


def without_reading(snapshot: Snapshot, path: str, why: str = "permission denied") -> Snapshot:
    """The same snapshot, as it is when one reading could not be read."""
    kind, _, rest = path.partition(".")
    measurements = []
    owner = ""
    for measurement in snapshot.measurements:
        parts = []
        for subtype in measurement.subtypes:
            key = rest[len(subtype.name) + 1 :]
            if measurement.type == kind and rest.startswith(f"{subtype.name}.") and key in subtype.data:
                owner = subtype.name
                subtype = replace(subtype, data={name: value for name, value in subtype.data.items() if name != key})
            parts.append(subtype)
        measurements.append(Measurement(measurement.type, tuple(parts)))
    group = next(key for key, wire in TYPES.items() if wire == kind)
    names = [outcome.name for outcome in snapshot.collectors]
    # A collector may have several subtypes: os.boot has boot-sysctl, too.
    collector = (
        group
        if group in names
        else max((n for n in names if f"{group}.{owner.partition(VOLATILE)[0]}-".startswith(f"{n}-")), key=len, default="")
    )
    key = rest[len(owner) + 1 :]
    what = key if owner == "sysctl" else f"{owner}/{key}"
    outcomes = tuple(
        replace(o, outcome=PARTIAL, unreadable={**o.unreadable, what: why}) if o.name == collector else o for o in snapshot.collectors
    )
    return replace(snapshot, measurements=tuple(measurements), collectors=outcomes)


def without_collector(snapshot: Snapshot, name: str, outcome: str = "") -> Snapshot:
    """The same snapshot, as it is when a collector failed (or with ``outcome`` empty was not run)."""
    group, _, subject = name.partition(".")
    measurements = tuple(
        Measurement(m.type, tuple(s for s in m.subtypes if m.type != TYPES[group] or (subject and s.name.partition(".")[0] != subject)))
        for m in snapshot.measurements
    )
    outcomes = tuple(
        Outcome(name, outcome, 0.0, "no answer before the deadline") if o.name == name else o
        for o in snapshot.collectors
        if o.name != name or outcome
    )
    return replace(snapshot, measurements=measurements, collectors=outcomes)
