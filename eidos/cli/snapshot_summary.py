"""A snapshot on one screen, for people: what could not be read, the system, the GPUs, the cluster, the units.

Knows which readings identify a node and in which order people look for them; must not know where the text goes, nor how to lay out
all the rest: ``snapshot_table`` does.
"""

from __future__ import annotations

from eidos.formats.table import aligned_rows, heading, join_blocks, line_width, wrap
from eidos.model.measurement import FAILED, OK, SKIPPED, VOLATILE
from eidos.model.number_format import format_scalar
from eidos.model.snapshot import natural_key
from eidos.terminal import BOLD, GREEN, RED, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from eidos.model.measurement import Outcome
    from eidos.model.snapshot import Snapshot

    Facts = dict[str, dict[str, str]]
    Row = tuple[str, str, str]

#: States of a unit (org.freedesktop.systemd1(5), ActiveState) that have a colour.
_STATE_COLOURS = {"active": GREEN, "failed": RED}


def snapshot_summary(snapshot: Snapshot, width: int, colour: bool = False) -> str:
    """The most important of ``snapshot``, in lines of at most ``width`` columns; 0 or less: as long as they need to be."""
    width = line_width(width)
    facts = {
        f"{measurement.type}.{subtype.name}": {key: format_scalar(value) for key, value in subtype.data.items()}
        for measurement in snapshot.measurements
        for subtype in measurement.subtypes
        if not subtype.name.endswith(VOLATILE)
    }
    count = sum(map(len, facts.values()))
    sections = {
        "Not read": list(_unread(snapshot.collectors)),
        "System": list(_system(snapshot, facts)),
        "GPU": list(_gpus(facts)),
        "Cluster": list(_cluster(facts)),
        "Units": list(_units(facts)),
    }
    blocks = []
    for title, rows in sections.items():
        if rows:
            lines = [heading(title, "", width, BOLD if colour else "")]
            groups = aligned_rows([(key, value) for key, value, _ in rows], width)
            for (_, _, shade), group in zip(rows, groups):
                lines += [paint(line.rstrip(), shade, colour and bool(shade)) for line in group]
            blocks.append(lines)
    blocks.append(wrap(f"{count_of(count, 'reading')}; show all with 'eidos snapshot -t table --all'", width))
    return join_blocks(blocks)


def _unread(outcomes: Iterable[Outcome]) -> Iterable[Row]:
    """A row for each reason; collectors that share one share the row, as their group when it is all of the group."""
    rows: dict[tuple[str, str], list[str]] = {}
    groups: dict[str, list[str]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.name.partition(".")[0], []).append(outcome.name)
        if outcome.outcome != OK or outcome.stale is not None:
            rows.setdefault((outcome.outcome, _reason(outcome)), []).append(outcome.name)
    for (kind, text), names in rows.items():
        group = names[0].partition(".")[0]
        title = group if len(names) > 1 and names == groups[group] else ", ".join(names)
        yield title, f"{kind}: {text}" if text else kind, {FAILED: RED, SKIPPED: ""}.get(kind, YELLOW)


def _reason(outcome: Outcome) -> str:
    parts = [outcome.reason or ""]
    if outcome.unreadable:
        path, why = next(iter(outcome.unreadable.items()))
        more = f", and {len(outcome.unreadable) - 1:,} more" if len(outcome.unreadable) > 1 else ""
        parts.append(f"{path}: {why}{more}")
    if outcome.stale is not None:
        parts.append(f"an answer of {outcome.stale:,} s ago")
    return "; ".join(filter(None, parts))


def _system(snapshot: Snapshot, facts: Facts) -> Iterable[Row]:
    release, sysctl, node = facts.get("OS.release", {}), facts.get("OS.sysctl", {}), facts.get("K8s.node", {})
    name = release.get("PRETTY_NAME") or f"{release.get('NAME', '')} {release.get('VERSION_ID', '')}".strip() or node.get("os-image", "")
    kernel = sysctl.get("/proc/sys/kernel/osrelease") or node.get("kernel-version", "")
    yield "Host", snapshot.node or "unknown", ""
    yield "Time", snapshot.timestamp or "unknown", ""
    yield "OS", name or "unknown", ""
    yield "Kernel", kernel or "unknown", ""


def _gpus(facts: Facts) -> Iterable[Row]:
    smi = facts.get("GPU.smi", {})
    if smi.get("driver"):
        yield "Driver", smi["driver"] + (f", CUDA {smi['cuda-version']}" if smi.get("cuda-version") else ""), ""
    kinds: dict[str, int] = {}
    for name in sorted(facts, key=natural_key):
        if name.startswith("GPU.gpu-"):
            mig = ", MIG enabled" if facts[name].get("mig.current", "").lower() == "enabled" else ""
            kind = facts[name].get("model", "unknown model") + mig
            kinds[kind] = kinds.get(kind, 0) + 1
    if not kinds and smi.get("gpu.model"):
        yield "GPUs", f"{smi.get('gpu-count', 'unknown number')} x {smi['gpu.model']}", ""
    for number, (kind, count) in enumerate(kinds.items()):
        yield "" if number else "GPUs", f"{count} x {kind}", ""


def _cluster(facts: Facts) -> Iterable[Row]:
    server, node = facts.get("K8s.server", {}), facts.get("K8s.node", {})
    runtime = f"{node.get('container-runtime-name', '')} {node.get('container-runtime-version', '')}".strip()
    for key, value in (("Kubernetes", server.get("version")), ("Provider", node.get("provider")), ("Runtime", runtime)):
        if value:
            yield key, value, ""


def _units(facts: Facts) -> Iterable[Row]:
    missing = []
    for path, unit in facts.items():
        kind, _, name = path.partition(".")
        if kind != "SystemD":
            continue
        if unit.get("LoadState") == "not-found":
            missing.append(name)
            continue
        active = unit.get("ActiveState", "unknown")
        yield name, active + (f" ({unit['SubState']})" if unit.get("SubState") else ""), _STATE_COLOURS.get(active, "")
    if missing:
        yield "not installed", ", ".join(missing), ""
