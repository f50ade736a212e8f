"""The kernel's messages out of the journal, where its own log cannot be read or has no more of them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from eidos.collectors import Sources, os_kmsg
from eidos.collectors._kernel_journal import journal_files
from eidos.collectors._sysfs import Facts
from eidos.files.host import FileUnreadable, Host
from eidos.model.measurement import UNREADABLE, Gap, Subtype
from tests.support.journal_files import Record, build_journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.model.measurement import Readings

MACHINE, BOOT = "0123456789abcdef0123456789abcdef", "00112233-4455-6677-8899-aabbccddeeff"
XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus."
BOOT_ID = bytes.fromhex(BOOT.replace("-", ""))
LATE, EARLY = Record(90_000_000, XID, BOOT_ID), Record(5_000_000, XID.replace("3b", "5d"), BOOT_ID)
FORGED = Record(6_000_000, XID.replace("3b", "9d"), BOOT_ID, facility=1)


class RunningHost(Host):
    """A tree that counts as a mounted host of the running kernel."""

    is_running_system = True


@pytest.fixture
def host(tmp_path: Path) -> RunningHost:
    files = {"etc/machine-id": MACHINE, "proc/sys/kernel/random/boot_id": BOOT}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    return RunningHost(str(tmp_path))


def add_journal(host: Host, name: str, content: bytes, folder: str = "var/log") -> None:
    path = Path(host.root, folder, "journal", MACHINE, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def collect(host: Host, deadline: float = float("inf")) -> tuple[Readings, Readings, dict[str, str]]:
    parts = list(os_kmsg.collect(Sources(host, volatile=True, deadline=deadline)))
    data = {part.name: dict(part.data) for part in parts if isinstance(part, Subtype)}
    gaps = {part.what: part.why for part in parts if isinstance(part, Gap) and part.kind == UNREADABLE}
    return data.get("kmsg", {}), data.get("kmsg.volatile", {}), gaps


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os_kmsg, "DEVICE", -1)  # no device is the kernel's log


@pytest.mark.usefixtures("refused")
def test_without_the_log_its_messages_come_from_the_journal(host: Host) -> None:
    add_journal(host, "system.journal", build_journal([EARLY, FORGED, LATE]))
    add_journal(host, "user-1000.journal", b"nobody looks at it")
    data, volatile, gaps = collect(host)
    assert data["log-source"] == "journal" and data["log-read"] is True
    assert {key for key in data if key.startswith("xid.") and key.count(".") == 3} == {"xid.0000:3b:00.0.79", "xid.0000:5d:00.0.79"}
    assert (volatile["xid.0000:3b:00.0.79.last-seconds"], volatile["first-record-seconds"]) == (90.0, 5.0)
    assert gaps == {}


@pytest.mark.usefixtures("refused")
def test_without_a_readable_journal_both_are_named(host: Host) -> None:
    assert set(collect(host)[2]) == {"/dev/kmsg"}
    add_journal(host, "system.journal", b"LPKSHHRH")
    data, _, gaps = collect(host)
    assert data == {} and set(gaps) == {"/dev/kmsg", f"/var/log/journal/{MACHINE}/system.journal"}


@pytest.mark.usefixtures("refused")
def test_a_damaged_file_and_compressed_messages_are_gaps_beside_what_was_read(host: Host) -> None:
    add_journal(host, "system.journal", build_journal([LATE, Record(91_000_000, "x" * 600, BOOT_ID, is_compressed=True)]))
    add_journal(host, f"system@{1:032x}-{1:016x}-{7:016x}.journal", build_journal([EARLY])[:-16])
    data, volatile, gaps = collect(host)
    assert data["xid.0000:3b:00.0.79.bucket"] == "reboot" and volatile["xid.0000:3b:00.0.79.count"] == 1
    assert len(gaps) == 2 and gaps["journal"] == "compressed: 1 long message of the kernel"
    assert "stopped shortly before the deadline" in str(collect(host, deadline=time.monotonic())[2])


@pytest.mark.parametrize(("number", "is_read"), [(0, False), (7, True)])
def test_the_journal_has_what_the_log_has_lost(host: Host, number: int, is_read: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os_kmsg, "_texts", lambda _: [f"4,{number},80000000,-;x\n4,{number + 1},90000000,-;{XID}\n"])
    monkeypatch.delitem(sys.modules, "eidos.collectors._kernel_journal", raising=False)
    add_journal(host, "system.journal", build_journal([EARLY, LATE]), "run/log")
    data, volatile, _ = collect(host)
    assert ("xid.0000:5d:00.0.79" in data) is is_read and "log-source" not in data
    assert volatile["xid.0000:3b:00.0.79.count"] == 1, "what both have counts once"
    assert volatile["first-record-seconds"] == (5.0 if is_read else 80.0)
    assert ("eidos.collectors._kernel_journal" in sys.modules) is is_read


def test_files_are_those_of_the_system_the_latest_first(host: Host) -> None:
    names = [f"system@{1:032x}-{2:016x}-{time:016x}.journal" for time in (5, 9)] + [f"system@{8:016x}-{1:016x}.journal~", "system.journal"]
    for name in (*names, "user-1000.journal", "remote.journal"):
        add_journal(host, name, b"")
    names_in_order = [path.rpartition("/")[2] for path in journal_files(Facts(Sources(host), "kmsg"))]
    assert names_in_order == [names[3], names[1], names[2], names[0]]
    Path(host.root, "etc/machine-id").write_text("../../etc\n")
    assert journal_files(Facts(Sources(host), "kmsg")) == []


@pytest.mark.usefixtures("refused")
def test_a_refusal_names_the_group(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Host, path: str) -> int:
        raise FileUnreadable(path, "permission denied", 13)

    add_journal(host, "system.journal", b"")
    monkeypatch.setattr(
        RunningHost, "open_file", lambda self, path: refuse(self, path) if "journal" in path else Host.open_file(self, path)
    )
    gaps = collect(host)[2]
    assert gaps[f"/var/log/journal/{MACHINE}/system.journal"] == "permission denied; needs root or the group systemd-journal"
