"""Files of systemd's journal: written by a real journald in namespaces of its own, or put together from records.

Knows the format as far as a reader follows it (https://systemd.io/JOURNAL_FILE_FORMAT), and how a journald is started without systemd.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

JOURNALD = "/lib/systemd/systemd-journald"
DATA, FIELD, ENTRY, ENTRY_ARRAY = 1, 2, 3, 6

# journald fills its file with what the kernel's log has, within a moment.
SCRIPT = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log/journal
echo 0123456789abcdef0123456789abcdef >/run/machine-id
mount --bind /run/machine-id /etc/machine-id
SYSTEMD_JOURNAL_COMPACT=$0 {journald} & pid=$!
for i in $(seq 100); do
  journalctl -D /run/log/journal -k -n 1 -q 2>/dev/null | grep -q . && break
  sleep 0.05
done
kill $pid; wait $pid
cp /run/log/journal/*/system.journal "$1"
"""


class Record(NamedTuple):
    """What a journal has of a message: ``facility`` 0 is the kernel's; a message that is compressed has no readable text."""

    microseconds: int
    message: str
    boot_id: bytes = bytes(16)
    facility: int = 0
    is_compressed: bool = False


def write_real_journal(path: Path, is_compact: bool) -> None:
    """Let a journald write what the kernel's log has; skips where that is not possible."""
    if os.geteuid() != 0 or not os.path.exists(JOURNALD) or not os.path.exists("/dev/kmsg") or shutil.which("journalctl") is None:
        pytest.skip("needs root, systemd-journald, journalctl and /dev/kmsg")
    command = ["unshare", "-m", "sh", "-ec", SCRIPT.format(journald=JOURNALD), str(int(is_compact)), str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"no journald here: {done.stderr.strip()[-200:]}")


def build_journal(records: Sequence[Record], *, is_compact: bool = False) -> bytes:
    """A file with these records, of the kernel's transport, and one of another; its entries are in arrays of two."""
    file = bytearray(264)
    wide = "I" if is_compact else "Q"

    def add(kind: int, content: bytes, flags: int = 0) -> int:
        file.extend(bytes(-len(file) % 8))
        file.extend(struct.pack("<BB6xQ", kind, flags, 16 + len(content)) + content)
        return len(file) - len(content) - 16

    def data(payload: bytes, flags: int = 0) -> int:
        return add(DATA, bytes(56 if is_compact else 48) + payload, flags)

    def set_number(at: int, number: int) -> None:
        file[at : at + 8] = struct.pack("<Q", number)

    transport, other = data(b"_TRANSPORT=kernel"), data(b"_TRANSPORT=syslog")
    set_number(other + 32, transport)
    fields = [add(FIELD, bytes(24) + name) for name in (b"_TRANSPORT", b"MESSAGE")]
    set_number(fields[0] + 32, other)
    set_number(fields[1] + 24, fields[0])
    entries = []
    for record in records:
        message = data(f"MESSAGE={record.message}".encode(), 4 if record.is_compressed else 0)
        time = data(b"_SOURCE_MONOTONIC_TIMESTAMP=%d" % record.microseconds)
        items = [transport, data(b"SYSLOG_FACILITY=%d" % record.facility), message, time]
        packed = b"".join(struct.pack("<I" if is_compact else "<QQ", *([item] if is_compact else [item, 0])) for item in items)
        entries.append(add(ENTRY, struct.pack("<QQQ16sQ", 1, 1, record.microseconds + 1, record.boot_id, 0) + packed))
    if entries:
        set_number(transport + 40, entries[0])
        link = transport + 48
        for start in range(1, len(entries), 2):
            pair = [*entries[start : start + 2], 0]
            array = add(ENTRY_ARRAY, struct.pack(f"<Q{len(pair)}{wide}", 0, *pair))
            set_number(link, array)
            link = array + 16
    table = len(file)
    file.extend(struct.pack("<QQ", fields[1], fields[1]))
    struct.pack_into("<8sII", file, 0, b"LPKSHHRH", 0, 4 | 16 * is_compact)
    struct.pack_into("<QQ", file, 120, table, 16)
    return bytes(file)
