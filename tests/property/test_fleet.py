"""Laws of comparing many snapshots."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eidos import reading_selection
from eidos.errors import InvalidInput
from eidos.fleet.comparison import FleetComparison
from eidos.fleet.hostlist import assign_file_names, fold_hostlist, parse_hostlist, split_port
from eidos.fleet.ssh import explain_failure
from eidos.model.measurement import Measurement, Subtype
from eidos.model.snapshot import Snapshot

RULES = reading_selection.shipped_selection()

#: Readings that tell which node it is, or change on their own.
OWN = (
    ("GPU", "gpu-0", "uuid"),
    ("GPU", "gpu-0", "serial"),
    ("SystemD", "kubelet.service", "InvocationID"),
    ("SystemD", "kubelet.service", "MainPID"),
    ("SystemD", "kubelet.service", "ActiveEnterTimestamp"),
    ("OS", "sysctl", "/proc/sys/kernel/hostname"),
    ("OS", "sysctl", "/proc/sys/kernel/random/boot_id"),
    ("K8s", "node", "provider-id"),
    ("K8s", "image", "nginx"),
    ("OS", "sysctl.volatile", "/proc/sys/fs/file-nr"),
)

SHARED = (("GPU", "smi", "driver"), ("OS", "kmod", "nvidia"), ("OS", "sysctl", "/proc/sys/vm/swappiness"), ("OS", "grub", "iommu"))

values = st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.floats(allow_nan=False))


def snapshot(name: str, readings: dict[tuple[str, str, str], Any]) -> Snapshot:
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for (kind, subtype, key), value in readings.items():
        tree.setdefault(kind, {}).setdefault(subtype, {})[key] = value
    return Snapshot("", "", name, tuple(Measurement(k, tuple(Subtype(n, d) for n, d in s.items())) for k, s in tree.items()))


def fleet_of(nodes: dict[str, dict[tuple[str, str, str], Any]], order: random.Random | None = None) -> Any:
    fleet, names = FleetComparison(RULES.select_readings), list(nodes)
    if order:
        order.shuffle(names)
    for name in names:
        fleet.add(name, snapshot(name, nodes[name]))
    return fleet.classes()


def written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, dict[tuple[str, str, str], Any]], dict[str, set[str]]]:
    """Nodes that are alike but for a minority, and what was planted on each of those: paths."""
    base = {path: draw(values) for path in SHARED}
    count = draw(st.integers(3, 12))
    odd = draw(st.sets(st.integers(0, count - 1), max_size=(count - 1) // 2))
    nodes: dict[str, dict[tuple[str, str, str], Any]] = {}
    planted: dict[str, set[str]] = {}
    for number in range(count):
        name = f"node-{number:02}"
        nodes[name] = {**base, **{path: draw(values) for path in draw(st.sets(st.sampled_from(OWN)))}}
        if number in odd:
            path = draw(st.sampled_from(SHARED))
            nodes[name][path] = f"{written(base[path])} and more"
            planted[name] = {".".join(path)}
    return nodes, planted


@given(fleets())
def test_every_planted_node_is_odd_and_no_other(fleet: tuple[dict[str, dict[tuple[str, str, str], Any]], dict[str, set[str]]]) -> None:
    nodes, planted = fleet
    classes = fleet_of(nodes)
    assert classes[0].kind == "equal"
    assert set(classes[0].nodes) == nodes.keys() - planted.keys()
    differing = {name: {difference.path for difference in one.differences} for one in classes[1:] for name in one.nodes}
    assert differing == planted


@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_makes_no_difference(fleet: tuple[dict[str, dict[tuple[str, str, str], Any]], Any], order: random.Random) -> None:
    assert fleet_of(fleet[0]) == fleet_of(fleet[0], order)


@given(st.lists(st.dictionaries(st.sampled_from(OWN), values), min_size=1, max_size=6))
def test_what_identifies_a_node_never_counts(own: list[dict[tuple[str, str, str], Any]]) -> None:
    classes = fleet_of({f"n{number}": {SHARED[0]: "x", **readings} for number, readings in enumerate(own)})
    assert [len(one.nodes) for one in classes] == [len(own)]


NAMES = st.from_regex(
    r"[a-z]{1,3}-?[0-9]{0,3}(\.[a-z]{1,3})?(:[1-9][0-9]{0,3})?|(u@)?\[fd0[0-9]::[0-9]\]:[1-9]{1,3}|fd00::[1-9]", fullmatch=True
)


@given(st.sets(NAMES, min_size=1, max_size=20))
def test_what_is_folded_unfolds(names: set[str]) -> None:
    assert set(parse_hostlist(fold_hostlist(names), "x")) == names


@given(st.lists(st.text(max_size=6), max_size=10, unique=True))
def test_names_of_files(names: list[str]) -> None:
    files = list(assign_file_names(names, ("summary",)).values())
    assert len({file.lower() for file in files} - {"summary"}) == len(names)
    assert all(file and "/" not in file and not file.startswith(".") and file.isascii() for file in files)


@given(st.text(max_size=40))
def test_any_text_is_a_list_of_hosts_or_invalid(text: str) -> None:
    try:
        names = parse_hostlist(text, "x")
    except InvalidInput:
        return
    assert names
    assert not any(name.startswith("-") or " " in name for name in names)
    for name in names:
        address, port = split_port(name)
        assert address
        assert port is None or 0 < port < 65536


@given(st.text(max_size=60), st.integers(0, 255), st.binary(max_size=20))
def test_any_failure_has_a_reason(errors: str, status: int, output: bytes) -> None:
    answer = explain_failure("gpu-01", "ssh", status, output, errors, "python3")
    assert answer.why
    assert "\n" not in answer.why
