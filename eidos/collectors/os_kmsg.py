r"""What the kernel has reported since boot: Xid and SXid of NVIDIA's driver, errors of PCI Express, memory and processors, hung tasks.

Knows the records of /dev/kmsg (the kernel's Documentation/ABI/testing/dev-kmsg) and the messages below; must not know what to do about
them: ``templates/xids.txt`` has NVIDIA's name and action for each Xid. Only the kernel's own records count, not what programs write there.
A record is priority, number, microseconds since boot and flags, a semicolon, the message, and lines that begin with a blank::

    4,1201,93018130,-;NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.

becomes ``xid.0000:3b:00.0.79: ROBUST_CHANNEL_GPU_HAS_FALLEN_OFF_THE_BUS`` with its action and bucket; how often and when (in seconds since
boot) is volatile. The log is a ring: what was overwritten, or all of it where the device cannot be read, is looked for in the files of
systemd's journal. ``first-record-seconds`` says when begins what was read.

>>> parse_xid("NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.")
('0000:3b:00.0', 79)
>>> parse_sxid("nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)")
('0000:05:00.0', 12028, 'non-fatal')
"""

from __future__ import annotations

import errno
import os
import stat
import time

from eidos.collectors._sysfs import Facts
from eidos.errors import EidosError, NotApplicable
from eidos.files.host import FileMissing, FileUnreadable, translate_os_error
from eidos.model.measurement import UNREADABLE
from eidos.nvidia.gpu_values import normalize_bus_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

PATH = "/dev/kmsg"
DEVICE = os.makedev(1, 11)

#: Bytes of one record (the kernel's limit is 8 KiB); records, and kinds of events, at most.
RECORD_LIMIT, RECORDS_LIMIT, KINDS_LIMIT = 8192, 200_000, 500

#: Size limit of a log that was captured into a file.
CAPTURED_LIMIT = 16 << 20

#: Seconds before the deadline at which reading stops.
MARGIN_S = 0.3

#: Texts that a message has → key; the first that matches. After the sources of Linux 6.12 (drivers/pci/pcie/aer.c, arch/x86/kernel/cpu/mce,
#: mm/oom_kill.c, kernel/hung_task.c, kernel/watchdog.c) and of NVIDIA/open-gpu-kernel-modules.
EVENTS = (
    ("GPU has fallen off the bus", "gpu-fallen-off-the-bus"),
    ("GPU Reset Required", "gpu-reset-required"),
    ("Node Reboot Required", "node-reboot-required"),
    ("NVRM: API mismatch", "nvrm-version-mismatch"),
    ("NVRM: The NVIDIA probe routine failed", "nvrm-probe-failed"),
    ("RmInitAdapter failed", "nvrm-init-failed"),
    ("request_free_mem_region() err", "uvm-hmm-failed"),
    ("AER: Corrected error", "aer-corrected"),
    ("AER: Correctable error", "aer-corrected"),
    ("AER: Multiple Corrected", "aer-corrected"),
    ("AER: Multiple Correctable", "aer-corrected"),
    ("AER: Uncorrected (Fatal)", "aer-fatal"),
    ("AER: Uncorrectable (Fatal)", "aer-fatal"),
    ("AER: Uncorrected (Non-Fatal)", "aer-non-fatal"),
    ("AER: Uncorrectable (Non-Fatal)", "aer-non-fatal"),
    ("[Hardware Error]: Machine check", "mce"),
    ("mce: [Hardware Error]", "mce"),
    ("Memory cgroup out of memory", "oom-cgroup"),
    ("Out of memory: Killed process", "oom"),
    (" blocked for more than ", "hung-task"),
    ("BUG: soft lockup", "soft-lockup"),
    ("hard LOCKUP", "hard-lockup"),
    (": Link down", "link-down"),
    (": NIC Link is Down", "link-down"),
    ("link is down", "link-down"),
)

#: What every message that matters has, for a quick look at all others.
_HINTS = (
    "Xid",
    "NVRM",
    "mem_region",
    "GPU",
    "AER:",
    "Hardware Error",
    "ut of memory",
    "blocked for",
    "ockup",
    "LOCKUP",
    "ink down",
    "ink is ",
)

#: Records that are looked at together.
_BLOCK = 128


def parse_xid(message: str) -> tuple[str, int] | None:
    """The bus id and the code of an Xid."""
    _, marker, rest = message.partition("NVRM: Xid (PCI:")
    address, closing, rest = rest.partition("): ")
    bus_id = normalize_bus_id(address if "." in address else f"{address}.0") if marker and closing else None
    code = rest.partition(",")[0].strip()
    return (bus_id, int(code)) if bus_id and code.isdecimal() and len(code) < 6 else None


def parse_sxid(message: str) -> tuple[str, int, str] | None:
    """The bus id, the code and the severity (fatal, non-fatal) of an SXid; lines with details have no severity and are none."""
    _, marker, rest = message.partition("SXid (PCI:")
    address, closing, rest = rest.partition("): ")
    bus_id = normalize_bus_id(address)
    code, severity = [*(word.strip() for word in rest.split(",", 2)), "", ""][:2]
    is_one = marker and closing and bus_id and code.isdecimal() and len(code) < 9 and severity.lower() in ("fatal", "non-fatal")
    return (str(bus_id), int(code), severity.lower()) if is_one else None


def parse_record(record: str) -> tuple[int, float, str] | None:
    r"""Number, seconds since boot and message of a record of the kernel; None for one of a program, or for no record.

    >>> parse_record("4,1201,93018130,-;mce: [Hardware Error]: x\n SUBSYSTEM=pci\n"), parse_record("12,7,1,-;NVRM: forged")
    ((1201, 93.01813, 'mce: [Hardware Error]: x'), None)
    """
    head, semicolon, rest = record.partition(";")
    fields = head.split(",")
    if not semicolon or len(fields) < 3 or not all(field.isdecimal() and len(field) < 20 for field in fields[:3]):
        return None
    if int(fields[0][:9]) > 7:  # a facility other than the kernel's
        return None
    return int(fields[1]), int(fields[2]) / 1e6, rest.partition("\n")[0]


def may_report(records: str) -> bool:
    """Whether one of some records may report anything; of a hundred records nearly none does."""
    for hint in _HINTS:  # noqa: SIM110  # a generator takes twice as long
        if hint in records:
            return True
    return False


def event_keys(message: str) -> list[str]:
    """What a message reports, as keys."""
    keys = []
    xid = parse_xid(message)
    if xid:
        keys.append(f"xid.{xid[0]}.{xid[1]}")
    sxid = parse_sxid(message)
    if sxid:
        keys.append(f"sxid.{sxid[0]}.{sxid[1]}.{sxid[2]}")
    for text, key in EVENTS:
        if text in message:
            device = message.split()[1].rstrip(":") if key == "link-down" and len(message.split()) > 1 else ""
            keys.append(f"{key}.{device}" if device.count(":") == 2 and len(device) < 20 else key)
            break
    return keys


class _Events:
    """Kinds of events, how often and when last each was reported, and when the first record that was read is from."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.last: dict[str, float] = {}
        self.first: float | None = None

    def add(self, seconds: float, message: str) -> None:
        for key in event_keys(message):
            if key in self.counts or len(self.counts) < KINDS_LIMIT:
                self.counts[key], self.last[key] = self.counts.get(key, 0) + 1, max(seconds, self.last.get(key, 0.0))


def collect(sources: Sources) -> Iterator[Part]:
    """Yield each kind of event, and if requested how often and when; a gap when the log cannot be read."""
    facts, events = Facts(sources, "kmsg"), _Events()
    is_complete, refused = False, None
    try:
        for text in _texts(sources):
            for record in text.split("\n") if events.first is None or may_report(text) else ():
                is_event = may_report(record)
                parsed = parse_record(record) if is_event or events.first is None else None
                if parsed is None:
                    continue
                number, seconds, message = parsed
                if events.first is None:
                    events.first, is_complete = seconds, number == 0
                if is_event:
                    events.add(seconds, message)
    except FileMissing as fault:
        if not sources.host.is_running_system:
            raise NotApplicable(f"{PATH} does not exist") from fault
        refused = "no such device here; mount it, with CAP_SYSLOG and the right to open devices (privileged)"
    except FileUnreadable as fault:
        needs = "; needs CAP_SYSLOG, or kernel.dmesg_restrict=0 (sysctl)" if fault.errno in (errno.EPERM, errno.EACCES) else ""
        refused = fault.reason + needs
    if not is_complete and sources.host.is_running_system:
        from eidos.collectors._kernel_journal import journal_records  # of most hosts the log is complete

        before = events.first
        for seconds, message in journal_records(facts, before, sources.deadline - MARGIN_S):
            events.first = seconds if events.first is None else min(seconds, events.first)
            if may_report(message):
                events.add(seconds, message)
        if before is None and events.first is not None:
            facts.put("log-source", "journal")
            refused = None
    if refused:
        facts.gap(UNREADABLE, PATH, refused)
    facts.put("log-read", True if events.first is not None else None)
    _put_events(facts, events)
    yield from facts.parts()


def _put_events(facts: Facts, events: _Events) -> None:
    names = _xid_names() if any(key.startswith("xid.") for key in events.counts) else {}
    for key in sorted(events.counts):
        code = key.rpartition(".")[2]
        if key.startswith("xid."):
            mnemonic, action, bucket = names.get(code, ("unknown", "unknown", "unknown"))
            facts.put(key, mnemonic)
            facts.put(f"{key}.action", action)
            facts.put(f"{key}.bucket", bucket)
        elif key.startswith("sxid."):
            facts.put(key.rpartition(".")[0], code)
        else:
            facts.put(key, True)
        facts.put_volatile(f"{key}.count", events.counts[key])
        facts.put_volatile(f"{key}.last-seconds", round(events.last[key], 3))
    facts.put_volatile("first-record-seconds", events.first)


def _texts(sources: Sources) -> Iterable[str]:
    """The records, each with its newline, many at a time."""
    host = sources.host
    if not host.is_running_system:
        return [host.read_text(PATH, CAPTURED_LIMIT)]
    return _read_device(_open_device(host.root), sources.deadline - MARGIN_S)


def _open_device(root: str) -> int:
    """A descriptor of the log's device: this root's, or else this container's, which shows the same log."""
    for path in dict.fromkeys((os.path.join(root, PATH.lstrip("/")), PATH)):
        try:
            status = os.lstat(path)
            if not stat.S_ISCHR(status.st_mode) or status.st_rdev != DEVICE:
                raise FileUnreadable(PATH, "not the kernel's log")
            return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as fault:
            error = translate_os_error(fault, PATH)
            if not isinstance(error, FileMissing):
                raise error from fault
    raise FileMissing(PATH)


def _read_device(fd: int, stop_at: float) -> Iterator[str]:
    try:
        for _ in range(RECORDS_LIMIT // _BLOCK):
            block = _read_block(fd)
            if not block:
                return
            yield b"".join(block).decode("utf-8", "replace")
            if time.monotonic() > stop_at:
                raise FileUnreadable(PATH, "stopped shortly before the deadline")
        raise FileUnreadable(PATH, f"more than {RECORDS_LIMIT} records")
    finally:
        os.close(fd)


def _read_block(fd: int) -> list[bytes]:
    """The next records of the log; none at its end."""
    block: list[bytes] = []
    for _ in range(RECORDS_LIMIT):
        try:
            block.append(os.read(fd, RECORD_LIMIT))
        except BlockingIOError:  # the end
            break
        except OSError as fault:
            if fault.errno == errno.EPIPE:  # overwritten while being read: the next one is there
                continue
            if block:  # the next call meets it again
                break
            raise translate_os_error(fault, PATH) from fault
        if len(block) == _BLOCK:
            break
    return block


def _xid_names() -> dict[str, tuple[str, str, str]]:
    """Code → mnemonic, action, bucket."""
    from eidos.files.resources import read_text

    names: dict[str, tuple[str, str, str]] = {}
    buckets: dict[str, str] = {}
    try:
        text = read_text("templates/xids.txt")
    except EidosError:
        return names
    for line in text.splitlines():
        words = line.split(None, 3)
        if words[:1] == ["bucket"]:
            buckets[words[1]] = words[2]
        elif len(words) == 4 and words[0].isdecimal():
            names[words[0]] = words[2], words[1], buckets.get(words[1], "unknown")
    return names
