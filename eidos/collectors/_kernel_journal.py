"""Messages of the kernel since this boot in the files of systemd's journal, for what the kernel's own log has no more, or does not show.

Knows where the files are and which are the latest; must not know their format (:mod:`eidos.files.systemd_journal`), nor which messages
matter. Files of users and of other machines are not read. Members of the groups systemd-journal and adm may read them, and root.
"""

from __future__ import annotations

import errno
import os
import time

from eidos.errors import InvalidData, os_error_reason
from eidos.files.host import FileMissing, FileUnreadable
from eidos.files.systemd_journal import JournalFile
from eidos.model.measurement import UNREADABLE
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors._sysfs import Facts

#: Folders below which one is named after the machine (systemd-journald.service(8)), and files that are read.
FOLDERS, FILE_LIMIT = ("/run/log/journal", "/var/log/journal"), 64
MACHINE_ID, BOOT_ID = "/etc/machine-id", "/proc/sys/kernel/random/boot_id"


def journal_records(facts: Facts, before: float | None, stop_at: float) -> Iterator[tuple[float, str]]:
    """Yield seconds since boot and message of the records from ``before`` those seconds, the latest first.

    A file that cannot be read is a gap, and so are messages; one that may not be read ends it. ``stop_at`` is on ``time.monotonic()``.
    """
    boot_id, unread = (facts.line(BOOT_ID) or "").replace("-", ""), 0
    for path in journal_files(facts) if len(boot_id) == 32 else ():
        fd = -1
        try:
            fd = facts.host.open_file(path)
            for number, (seconds, message) in enumerate(JournalFile(fd).kernel_records(bytes.fromhex(boot_id))):
                if before is None or seconds < before:
                    unread += message is None
                    yield seconds, message or ""
                if not number % 128 and time.monotonic() > stop_at:
                    return facts.gap(UNREADABLE, path, "stopped shortly before the deadline")
        except FileMissing:  # renamed meanwhile
            continue
        except FileUnreadable as fault:
            is_denied = fault.errno in (errno.EACCES, errno.EPERM)
            facts.gap(UNREADABLE, path, fault.reason + ("; needs root or the group systemd-journal" if is_denied else ""))
            break
        except InvalidData as fault:
            facts.gap(UNREADABLE, path, fault.message)
        except (OSError, ValueError) as fault:
            facts.gap(UNREADABLE, path, os_error_reason(fault))
        finally:
            if fd >= 0:
                os.close(fd)
    if unread:
        facts.gap(UNREADABLE, "journal", f"compressed: {count_of(unread, 'long message')} of the kernel")
    return None


def journal_files(facts: Facts) -> list[str]:
    """The files of the system's journal on this machine, the latest first: ``system.journal``, ``system@ID-NUMBER-TIME.journal``."""
    machine = facts.line(MACHINE_ID)
    if not machine or not machine.isalnum():
        return []
    paths: dict[str, str] = {}
    for folder in (f"{parent}/{machine}" for parent in FOLDERS):
        for name in facts.names(folder):
            if name == "system.journal":
                paths[f"~{folder}"] = f"{folder}/{name}"
            elif name.startswith("system@"):  # of a journal that was not closed: system@TIME-NUMBER.journal~
                paths[name[len("system@") :] if name.endswith("~") else name.rpartition("-")[2]] = f"{folder}/{name}"
    return [paths[time_of_file] for time_of_file in sorted(paths, reverse=True)][:FILE_LIMIT]
