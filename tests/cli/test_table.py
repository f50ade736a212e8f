"""The table that people read: aligned, within the terminal, and unable to steer it."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.cli.snapshot_table import snapshot_table
from eidos.formats import from_text
from eidos.formats.table import MAX_LINES, MIN_WIDTH, display_width, wrap
from eidos.model.measurement import Measurement, Outcome, Subtype
from eidos.model.snapshot import Snapshot

SNAPSHOT = Snapshot(
    timestamp="2026-11-23T06:00:00Z",
    version="1.2.3",
    node="gpu-07",
    measurements=(
        Measurement(
            "OS",
            (
                Subtype("grub", {"ro": "", "hugepages": "5128", "isolcpus": ",".join(str(cpu) for cpu in range(2, 24))}),
                Subtype("kmod", {"nvidia": True}),
                Subtype(
                    "sysctl",
                    {
                        "/proc/sys/vm/swappiness": "60",
                        "/proc/sys/kernel/sem": "32000\t1024000000\t500\t32000",
                        "/proc/sys/net/ipv4/conf/default/igmpv2_unsolicited_report_interval": "10000",
                    },
                ),
            ),
        ),
        Measurement("GPU", ()),
    ),
    collectors=(
        Outcome("os.grub", "ok", 0.4),
        Outcome("os.sysctl", "partial", 31.25, unreadable={"a": "b", "c": "d"}, withheld=1),
        Outcome("gpu", "skipped", 1.0, "no NVIDIA driver, although the PCI bus shows 8 devices", "load it"),
    ),
)

AT_80 = """\
    Node     gpu-07
    Time     2026-11-23T06:00:00Z
    Version  1.2.3

    OS · grub ─────────────────────────────────────────────────────────── 3 readings
      hugepages  5128
      isolcpus   2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23
      ro         ""

    OS · kmod ──────────────────────────────────────────────────────────── 1 reading
      nvidia  true

    OS · sysctl ───────────────────────────────────────────────────────── 3 readings
      /proc/sys/kernel/sem     32000 1024000000 500 32000
      /proc/sys/net/ipv4/conf/default/igmpv2_unsolicited_report_interval
                               10000
      /proc/sys/vm/swappiness  60

    GPU ──────────────────────────────────────────────────────────────────── no data

    Collectors ────────────────────────────────────────── 1 ok, 1 partial, 1 skipped
      os.grub    ok        0.4 ms
      os.sysctl  partial  31.2 ms  2 unreadable, 1 withheld
      gpu        skipped   1.0 ms  no NVIDIA driver, although the PCI bus shows 8
                                   devices
    """

AT_40 = """\
    Node     gpu-07
    Time     2026-11-23T06:00:00Z
    Version  1.2.3

    OS · grub ─────────────────── 3 readings
      hugepages  5128
      isolcpus   2,3,4,5,6,7,8,9,10,11,12,
                 13,14,15,16,17,18,19,20,21,
                 22,23
      ro         ""

    OS · kmod ──────────────────── 1 reading
      nvidia  true

    OS · sysctl ───────────────── 3 readings
      /proc/sys/kernel/sem
          32000 1024000000 500 32000
      /proc/sys/net/ipv4/conf/default/
      igmpv2_unsolicited_report_interval
          10000
      /proc/sys/vm/swappiness
          60

    GPU ──────────────────────────── no data

    Collectors ── 1 ok, 1 partial, 1 skipped
      os.grub    ok        0.4 ms
      os.sysctl  partial  31.2 ms
        2 unreadable, 1 withheld
      gpu        skipped   1.0 ms
        no NVIDIA driver, although the PCI
        bus shows 8 devices
    """


@pytest.mark.parametrize(("width", "expected"), [(80, AT_80), (40, AT_40)])
def test_what_it_looks_like(width: int, expected: str) -> None:
    assert snapshot_table(SNAPSHOT, width) == dedent(expected)


def test_without_a_width_nothing_is_wrapped() -> None:
    text = snapshot_table(SNAPSHOT, 0)
    assert "although the PCI bus shows 8 devices\n" in text
    assert "\n  /proc/sys/net/ipv4/conf/default/igmpv2_unsolicited_report_interval  10000\n" in text
    assert "\n  /proc/sys/vm/swappiness" + " " * (66 - 23) + "  60\n" in text


def test_a_snapshot_that_says_nothing() -> None:
    assert snapshot_table(Snapshot("", "", ""), 80) == "Node     unknown\nTime     unknown\nVersion  unknown\n"


def test_numbers_are_shown_as_written() -> None:
    shot = Snapshot("", "", "", (Measurement("OS", (Subtype("release", from_text("VERSION_ID: 24.10", "x")),)),))
    assert "  VERSION_ID  24.10\n" in snapshot_table(shot, 80)


def test_long_values_are_cut_after_some_lines() -> None:
    shot = Snapshot("", "", "", (Measurement("OS", (Subtype("grub", {"a": "x" * 5000, "b": "last"}),)),))
    lines = snapshot_table(shot, 80).splitlines()[5:]
    assert len(lines) == MAX_LINES + 1
    assert lines[MAX_LINES - 1].endswith("x…")
    assert lines[MAX_LINES].split() == ["b", "last"]


def test_wide_characters_are_aligned() -> None:
    shot = Snapshot("", "", "", (Measurement("OS", (Subtype("a", {"図図": "x", "é": "y", "e\u0301e": "z"}),)),))
    shown = {line.split()[0]: display_width(line[: -len(line.split()[1])]) for line in snapshot_table(shot, 80).splitlines()[5:]}
    assert set(shown.values()) == {8}


texts = st.one_of(st.text(max_size=60), st.text(st.sampled_from("abc/ ,\t\n\x1b図é\u0301\u202e\ud800"), max_size=300))
subtypes = st.builds(Subtype, texts, st.dictionaries(texts, st.one_of(texts, st.integers(), st.booleans(), st.floats()), max_size=6))
outcomes = st.builds(
    Outcome, texts, st.sampled_from(["ok", "failed"]), st.floats(0, 1e6), st.one_of(st.none(), texts), withheld=st.integers(0, 9)
)
snapshots = st.builds(
    Snapshot,
    texts,
    texts,
    texts,
    st.lists(st.builds(Measurement, st.sampled_from(["OS", "GPU"]), st.lists(subtypes, max_size=3).map(tuple)), max_size=3).map(tuple),
    st.lists(outcomes, max_size=3).map(tuple),
)


@given(snapshots, st.integers(-5, 200))
def test_no_line_is_wider_than_the_terminal_and_none_can_steer_it(snapshot: Snapshot, width: int) -> None:
    text = snapshot_table(snapshot, width)
    assert text.endswith("\n")
    text.encode()
    for line in text.removesuffix("\n").split("\n"):
        assert line.isprintable()
        assert line == line.rstrip()
        assert width <= 0 or display_width(line) <= max(width, MIN_WIDTH)


@given(st.text(st.characters(exclude_categories=["C"])), st.integers(3, 60), st.integers(1, 5))
def test_wrapping_loses_nothing_but_spaces(text: str, room: int, lines: int) -> None:
    pieces = wrap(text, room, lines)
    assert 1 <= len(pieces) <= lines
    assert all(display_width(piece) <= room for piece in pieces)
    original, shown = text.replace(" ", ""), "".join(pieces).replace(" ", "")
    assert original == shown or (len(pieces) == lines and original.startswith(shown.removesuffix("…")))
