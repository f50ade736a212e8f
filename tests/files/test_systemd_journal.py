"""The files of systemd's journal: as journalctl reads them, as they are put together, and as damage leaves them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.files.systemd_journal import JournalFile
from tests.support.journal_files import Record, build_journal, write_real_journal

BOOT, OTHER_BOOT = bytes(range(16)), bytes(range(1, 17))
RECORDS = [
    Record(1, "before", OTHER_BOOT),
    *(Record(number * 1_000_001, f"message {number}", BOOT) for number in range(1, 8)),
    Record(9_000_000, "forged by a program", BOOT, facility=1),
    Record(10_000_000, "x" * 600, BOOT, is_compressed=True),
    Record(11_000_000, "y" * 2000, BOOT),
]
EXPECTED = [(11.0, "y" * 2000), (10.0, None), *((number * 1_000_001 / 1e6, f"message {number}") for number in range(7, 0, -1))]


def read(content: bytes, boot_id: bytes = BOOT) -> list[tuple[float, str | None]]:
    fd = os.memfd_create("journal")
    try:
        os.write(fd, content)
        return list(JournalFile(fd).kernel_records(boot_id))
    finally:
        os.close(fd)


@pytest.mark.parametrize("is_compact", [False, True], ids=["regular", "compact"])
def test_a_real_journal_has_the_messages_that_journalctl_shows(is_compact: bool, tmp_path: Path) -> None:
    path = tmp_path / "system.journal"
    write_real_journal(path, is_compact)
    boot_id = bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", ""))
    command = ["journalctl", "--file", str(path), "-k", "-q", "--all", "-o", "json"]
    lines = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry.get("SYSLOG_FACILITY") == "0" and isinstance(entry["MESSAGE"], str)]
    shown = [(int(entry["_SOURCE_MONOTONIC_TIMESTAMP"]) / 1e6, entry["MESSAGE"]) for entry in entries]
    records = [record for record in reversed(read(path.read_bytes(), boot_id)) if record[1] is None or record[1].isprintable()]
    assert len(shown) > 10
    assert [time for time, _ in records] == [time for time, text in shown if text.isprintable()]
    assert all(text is None or (time, text) in shown for time, text in records)
    assert all(len(text) >= 500 for (_, text), (_, ours) in zip(shown, records) if ours is None)


@pytest.mark.parametrize("is_compact", [False, True], ids=["regular", "compact"])
def test_records_are_the_kernels_own_of_this_boot_the_latest_first(is_compact: bool) -> None:
    content = build_journal(RECORDS, is_compact=is_compact)
    assert read(content) == EXPECTED
    assert read(content, bytes(16)) == []
    assert read(build_journal([], is_compact=is_compact)) == []


def test_what_is_no_journal_or_a_newer_one_is_refused() -> None:
    content = build_journal(RECORDS)
    for damaged in (b"", content[:200], b"X" + content[1:], content[:12] + bytes([36]) + content[13:]):
        with pytest.raises(InvalidData, match=r"not a file of systemd's journal|newer systemd"):
            read(damaged)


def test_a_file_that_is_cut_off_costs_the_messages_behind() -> None:
    content = build_journal(RECORDS)
    table = content[-16:]
    cut = bytearray(content[: content.index(b"y" * 2000)])
    cut += bytes(-len(cut) % 8)
    cut[120:128] = len(cut).to_bytes(8, "little")
    with pytest.raises(InvalidData, match="damaged"):
        read(bytes(cut) + table)


def test_lists_that_lead_in_a_circle_end() -> None:
    content = bytearray(build_journal(RECORDS))
    transport = content.index(b"_TRANSPORT=kernel") - 64
    first = int.from_bytes(content[transport + 48 : transport + 56], "little")
    content[first + 16 : first + 24] = first.to_bytes(8, "little")
    with pytest.raises(InvalidData, match="points backwards"):
        read(bytes(content))
    content = bytearray(build_journal(RECORDS))
    field = content.index(b"MESSAGE") - 40  # the first is the field's: it is written before every message
    content[field + 24 : field + 32] = field.to_bytes(8, "little")
    with pytest.raises(InvalidData, match="endless list"):
        read(bytes(content))


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 4000), st.sampled_from((0, 1, 2, 3, 6, 8, 16, 64, 127, 255))), max_size=12))
def test_any_damage_gives_records_or_the_documented_error(is_compact: bool, changes: list[tuple[int, int]]) -> None:
    content = bytearray(build_journal(RECORDS, is_compact=is_compact))
    for at, value in changes:
        content[at % len(content)] = value
    try:
        records = read(bytes(content))
    except InvalidData:
        return
    assert all(time >= 0 and len(text or "") < 1 << 16 for time, text in records)
