"""A line for each kind of network card, adapter and disk, and for each container runtime, of a snapshot.

Knows which readings describe a device in one line; must not know the rest of the summary. Equal devices share a line, with their number.

>>> list(disks({"OS.storage": {"disk.a.model": "X", "disk.b.model": "X", "disk.a.size-bytes": "3840755982336"}}))
['1 x X, 3.8 TB', '1 x X']
"""

from __future__ import annotations

from eidos.model.snapshot import natural_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Facts = dict[str, dict[str, str]]


#: Kinds of one sort of device that are shown.
SHOWN_KINDS = 3


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
    devices = _devices(facts.get("OS.net", {}), "", ".kind")
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
    for each in _devices(facts.get("OS.rdma", {}), "", ".port-1.state"):
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


def _devices(data: dict[str, str], prefix: str, mark: str) -> list[dict[str, str]]:
    """The readings of each device: those whose name ends in ``mark`` name one."""
    names = sorted((key[: -len(mark)] for key in data if key.startswith(prefix) and key.endswith(mark)), key=natural_key)
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
