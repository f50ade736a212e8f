"""A snapshot as tables, for people: all of it, or what matters on one screen.

Knows which readings identify a node or describe a device in one line, and what people look for in a snapshot in which order; must not know
where the text goes. Equal devices share a line, with their number. The complete table has a block of keys and values for each subtype; the
outcomes of the collectors come last, where they are visible without a pager.

>>> list(disks({"OS.storage": {"disk.a.model": "X", "disk.b.model": "X", "disk.a.size-bytes": "3840755982336"}}))
['1 x X, 3.8 TB', '1 x X']
"""

from __future__ import annotations

from eidos.formats.table import (
    GAP,
    INDENT,
    aligned_rows,
    display_width,
    heading,
    join_blocks,
    key_value_rows,
    line_width,
    pad,
    truncate,
    wrap,
)
from eidos.log import printable
from eidos.model.measurement import FAILED, OK, PARTIAL, SKIPPED, VOLATILE
from eidos.model.number_format import format_scalar
from eidos.model.snapshot import natural_key
from eidos.terminal import BOLD, GREEN, RED, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.model.measurement import Outcome, Reading, Subtype
    from eidos.model.snapshot import Snapshot

    Facts = dict[str, dict[str, str]]

    Row = tuple[str, str, str]

#: Outcomes that have a colour; what does not apply to a host has none.
OUTCOME_COLOURS = {OK: GREEN, PARTIAL: YELLOW, FAILED: RED}

#: A note beside its collector needs at least this many columns; else it goes below.
_MIN_NOTE_WIDTH = 24

#: States of a unit (org.freedesktop.systemd1(5), ActiveState) that have a colour.
_STATE_COLOURS = {"active": GREEN, "failed": RED}

#: Kinds of one sort of device that are shown.
SHOWN_KINDS = 3


def snapshot_table(snapshot: Snapshot, width: int, colour: bool = False) -> str:
    """``snapshot`` as lines of at most ``width`` columns; 0 or less: as long as they need to be."""
    width, bold = line_width(width), BOLD if colour else ""
    blocks = [_header(snapshot, width)]
    for measurement in snapshot.measurements:
        if not measurement.subtypes:
            blocks.append([heading(measurement.type, "no data", width, bold)])
        subtypes = sorted(measurement.subtypes, key=lambda subtype: natural_key(subtype.name))
        blocks.extend(_subtype(measurement.type, subtype, width, bold) for subtype in subtypes)
    if snapshot.collectors:
        blocks.append(_outcomes(snapshot.collectors, width, bold))
    return join_blocks(blocks)


def _header(snapshot: Snapshot, width: int) -> list[str]:
    facts = {"Node": snapshot.node, "Time": snapshot.timestamp, "Version": snapshot.version}
    return list(key_value_rows(((name, text or "unknown") for name, text in facts.items()), width, ""))


def _subtype(kind: str, subtype: Subtype, width: int, bold: str) -> list[str]:
    count = len(subtype.data)
    top = heading(f"{kind} · {subtype.name}", count_of(count, "reading"), width, bold)
    return [top, *key_value_rows(((key, _shown(value)) for key, value in sorted(subtype.data.items())), width)]


def _shown(value: Reading) -> str:
    # The kernel separates numbers with tabs; an escape for each would be noise.
    return format_scalar(value).replace("\t", " ") or '""'


def _outcomes(outcomes: tuple[Outcome, ...], width: int, bold: str) -> list[str]:
    rows = [(printable(o.name), o.outcome, f"{o.milliseconds:.1f}", printable(_note(o))) for o in outcomes]
    heads = ("Collector", "Outcome", "ms")
    widths = [max(display_width(head), *(display_width(row[number]) for row in rows)) for number, head in enumerate(heads)]
    widths[0] = min(widths[0], max(width - sum(widths[1:]) - len(GAP) * 3 - 3, 8))
    column = sum(widths) + len(GAP) * 3 + len(INDENT)
    fits_beside = width - column - 3 >= _MIN_NOTE_WIDTH
    lines = [heading("Collectors", _tally(outcomes), width, bold)]
    for name, outcome, time, note in rows:
        shown = paint(f"{outcome:{widths[1]}}", OUTCOME_COLOURS.get(outcome, ""), bool(bold and outcome in OUTCOME_COLOURS))
        start = f"{INDENT}{pad(truncate(name, widths[0]), widths[0])}{GAP}{shown}{GAP}{time:>{widths[2]}} ms"
        if not note:
            lines.append(start)
        elif fits_beside:
            first, *rest = wrap(note, width - column - 3)
            lines += [f"{start}{GAP}{first}", *(" " * (column + 3) + line for line in rest)]
        else:
            lines += [start, *(INDENT * 2 + line for line in wrap(note, width - len(INDENT) * 2))]
    return lines


def _tally(outcomes: tuple[Outcome, ...]) -> str:
    kinds = [outcome.outcome for outcome in outcomes]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _note(outcome: Outcome) -> str:
    counts = {"unreadable": len(outcome.unreadable), "absent": len(outcome.absent), "withheld": outcome.withheld}
    counted = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    age = f"cached {outcome.stale:,} s ago" if outcome.stale is not None else ""
    return "; ".join(part for part in (outcome.reason, age, counted) if part)


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
        "Devices and runtimes": [(name, text, "") for name, text in device_rows(facts)],
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
    yield from _hardware(facts)


def _hardware(facts: Facts) -> Iterable[Row]:
    """Rows about the machine: what it is called, its processors, its memory, and the devices on its PCI bus."""
    firmware, pci, cpu, memory = (facts.get(f"OS.{name}", {}) for name in ("machine", "pci", "cpu", "memory"))
    if firmware or pci:
        yield from _machine(firmware, pci)
    if cpu.get("model"):
        sockets = f"{cpu['sockets']} x " if cpu.get("sockets", "1") != "1" else ""
        counts = [f"{cpu[key]} {key}" for key in ("cores", "threads") if key in cpu]
        nodes = [f"{cpu['numa.nodes']} NUMA nodes"] if cpu.get("numa.nodes", "1") != "1" else []
        yield "CPU", ", ".join((sockets + cpu["model"], *counts, *nodes)), ""
    if memory.get("total-kib", "").isdecimal():
        yield "Memory", f"{int(memory['total-kib']) / (1 << 20):,.0f} GiB", ""


def _machine(firmware: dict[str, str], pci: dict[str, str]) -> Iterable[Row]:
    from eidos.recipe.machines import describe_gpus, device_ids, find_machines
    from eidos.recipe.store import shipped_store

    names = " or ".join(machine.title for machine in find_machines(firmware, pci, shipped_store().catalog))
    vendor, product = firmware.get("sys-vendor", ""), firmware.get("product-name", firmware.get("device-tree-model", ""))
    shown = product if product.startswith(vendor) else vendor if product == names else f"{vendor} {product}".strip()
    if names or shown:
        yield "Machine", f"{names} ({shown})" if names and shown else names or shown, ""
    kinds = {"nvswitch": "NVSwitch", "nic": "network card", "nvme": "NVMe disk"}
    counts = [count_of(len(device_ids(pci, kind)), word) for kind, word in kinds.items() if device_ids(pci, kind)]
    devices = ", ".join(filter(None, (describe_gpus(pci), *counts)))
    if devices:
        yield "Devices", devices.replace("NVSwitchs", "NVSwitches"), ""


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
    total, shown = smi.get("gpu-count", "unknown number"), sum(kinds.values())
    lines = [f"{count} x {kind}" for kind, count in kinds.items()]
    if not kinds and smi.get("gpu.model"):
        lines = [f"{total} x {smi['gpu.model']}"]
    elif total.isdecimal() and len(total) < 6 and int(total) > shown:
        lines.append(f"{int(total) - shown} of {total} not read")
    elif total == "0":
        lines = ["none"]
    for number, line in enumerate(lines):
        yield "" if number else "GPUs", line, ""


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


def device_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    """The rows of all of them; of many kinds the first ones, and how many more there are."""
    for name, lines in (("Cards", network_cards(facts)), ("RDMA", rdma_ports(facts)), ("Disks", disks(facts))):
        kinds = list(lines)
        for number, line in enumerate(kinds[:SHOWN_KINDS]):
            yield "" if number else name, line
        if len(kinds) > SHOWN_KINDS:
            yield "", f"and {len(kinds) - SHOWN_KINDS} more kinds"
    yield from runtimes(facts)


def network_cards(facts: Facts) -> Iterator[str]:
    """The network cards: ``8 x mlx5_core, 400 Gb/s, MTU 9000, up``."""
    devices = _devices(facts.get("OS.net", {}), ".kind")
    yield from _count(
        _join(
            each.get("driver", "unknown driver"),
            _speed(each.get("speed-mbps", "")),
            each.get("firmware") and f"firmware {each['firmware']}",
            each.get("mtu") and f"MTU {each['mtu']}",
            each.get("state"),
        )
        for each in devices
        if each.get("kind") == "card"
    )


def rdma_ports(facts: Facts) -> Iterator[str]:
    """The ports of InfiniBand, RoCE and EFA adapters: ``8 x MT4129, firmware 28.39.1002, InfiniBand, 400 Gb/s, active``."""
    lines = []
    for each in _devices(facts.get("OS.rdma", {}), ".port-1.state"):
        ports = sorted({key.partition(".")[0] for key in each if key.startswith("port-")})
        lines += [
            _join(
                each.get("type") or each.get("driver", "unknown type"),
                each.get("firmware") and f"firmware {each['firmware']}",
                each.get(f"{port}.link-layer"),
                each.get(f"{port}.rate-gbps") and f"{each[f'{port}.rate-gbps']} Gb/s",
                each.get(f"{port}.state", "state unknown").lower(),
            )
            for port in ports
        ]
    yield from _count(lines)


def disks(facts: Facts) -> Iterator[str]:
    """The disks: ``8 x SAMSUNG MZWLO3T8HCLS-00A07, 3.8 TB``."""
    storage = facts.get("OS.storage", {})
    names = sorted({key.split(".")[1] for key in storage if key.startswith("disk.")}, key=natural_key)
    yield from _count(
        _join(
            storage.get(f"disk.{name}.model") or storage.get(f"disk.{name}.raid.level") or name,
            _size(storage.get(f"disk.{name}.size-bytes", "")),
            storage.get(f"disk.{name}.rotational") == "true" and "rotational",
        )
        for name in names
    )


def runtimes(facts: Facts) -> Iterator[tuple[str, str]]:
    """Each container runtime and the kubelet with its version and most important settings."""
    runtime, kubelet = facts.get("OS.runtime", {}), facts.get("OS.kubelet", {})
    for name in ("containerd", "crio", "docker"):
        if f"{name}.program" in runtime or f"{name}.config" in runtime:
            default = runtime.get(f"{name}.default-runtime")
            is_cdi = runtime.get(f"{name}.cdi-enabled") == "true"
            yield name, _join(runtime.get(f"{name}.version", "version unknown"), default and f"default runtime {default}", is_cdi and "CDI")
    specifications = [key for key in runtime if key.startswith("cdi.") and key.endswith(".kind")]
    for key in specifications:
        prefix = key[: -len("kind")]
        missing = runtime.get(f"{prefix}host-paths-missing", "0")
        yield (
            "CDI",
            _join(runtime[key], f"{runtime.get(f'{prefix}devices', '0')} devices", missing != "0" and f"{missing} host paths missing"),
        )
    if kubelet:
        policies = [
            kubelet.get(f"{name}ManagerPolicy") and f"{name} manager {kubelet[f'{name}ManagerPolicy']}" for name in ("cpu", "topology")
        ]
        yield "kubelet", _join(kubelet.get("version", "version unknown"), *policies)


def _devices(data: dict[str, str], mark: str) -> list[dict[str, str]]:
    """The readings of each device: those whose name ends in ``mark`` name one."""
    names = sorted((key[: -len(mark)] for key in data if key.endswith(mark)), key=natural_key)
    return [{key[len(name) + 1 :]: value for key, value in data.items() if key.startswith(f"{name}.")} for name in names]


def _count(lines: Iterable[str]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
    return (f"{count} x {line}" for line, count in counts.items())


def _join(*parts: str | bool | None) -> str:
    return ", ".join(str(part) for part in parts if part)


def _speed(mbps: str) -> str:
    return f"{int(mbps) / 1000:g} Gb/s" if mbps.isdecimal() else ""


def _size(size: str) -> str:
    """Bytes in the units that disks are sold by.

    >>> _size("3840755982336"), _size("10737418240"), _size("")
    ('3.8 TB', '10.7 GB', '')
    """
    if not size.isdecimal():
        return ""
    return f"{int(size) / 1e12:.1f} TB" if int(size) >= 1e12 else f"{int(size) / 1e9:.1f} GB"
