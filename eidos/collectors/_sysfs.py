"""Small files of sysfs, procfs and /etc as readings of one subtype: what is there becomes a reading, what cannot be read a gap.

Knows how the kernel reports that a device has no value, and which right is missing; must not know what any file means.
"""

from __future__ import annotations

import errno
import os

from eidos.errors import NotApplicable, NotFound
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import ABSENT, UNREADABLE, VOLATILE, Gap, Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eidos.collectors import Sources
    from eidos.files.host import Directory
    from eidos.model.measurement import Part, Reading, Readings

#: Size limit of one such file in bytes: a page is what sysfs gives (Documentation/filesystems/sysfs.rst).
LINE_LIMIT = 4096

#: Devices, interfaces or folders of one kind that are read; more are a gap.
ITEM_LIMIT = 1024

#: Folders of the kernel's, which a root without their mounts has empty (a chroot), and what is there once they are mounted.
_MOUNT_MARKS = {"/proc": "/proc/version", "/sys": "/sys/class", "/sys/class": "/sys/class"}

#: What the firmware describes: tables of ACPI, EFI, a device tree.
FIRMWARE = "/sys/firmware"

#: Links that a root may be, one after the other (path_resolution(7)).
_LINK_LIMIT = 40

#: How a driver answers that it has no value: of a speed while the link is down, of a counter that the hardware lacks.
_NO_VALUE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV, errno.ENODATA)


class Facts:
    """Readings of the subtype ``name``, in the order in which they are found, and gaps."""

    def __init__(self, sources: Sources, name: str) -> None:
        self.name = name
        self.host = sources.host
        self.with_volatile = sources.volatile
        self.data: Readings = {}
        self.volatile: Readings = {}
        self.gaps: list[Gap] = []
        #: How many gaps are UNREADABLE. What is put together from several files is known only where reading them adds none.
        self.unread_count = 0

    def put(self, key: str, value: Reading | None) -> None:
        """Add a reading, unless the value is None or empty."""
        if value is not None and value != "":
            self.data[key] = value

    def put_volatile(self, key: str, value: Reading | None) -> None:
        """Add a reading that changes on its own."""
        if value is not None and value != "":
            self.volatile[key] = value

    def gap(self, kind: str, what: str, why: str) -> None:
        """Add a gap."""
        self.gaps.append(Gap(kind, what, why))
        self.unread_count += kind == UNREADABLE and why != NOT_TEXT  # the rest of such a text is read

    def unreadable(self, fault: FileUnreadable) -> None:
        """Add a gap for a file that exists and cannot be read, with the right that would show it."""
        self.gap(UNREADABLE, fault.path, unreadable_reason(fault))

    def line(self, path: str, limit: int = LINE_LIMIT) -> str | None:
        """The text of a small file without the blanks around it; None when there is no such file or no value."""
        try:
            return self.decode(path, self.host.read_bytes(path, limit))
        except (FileMissing, FileUnreadable) as fault:
            return self.decode(path, fault)

    def decode(self, path: str, content: bytes | FileMissing | FileUnreadable) -> str | None:
        """What :meth:`line` returns, of a file whose content, or the error in its place, is known."""
        if isinstance(content, bytes):
            text, is_utf8 = decode_text(content)
            if not is_utf8:
                self.gap(UNREADABLE, path, NOT_TEXT)
            return text.strip(" \t\r\n\0")
        if isinstance(content, FileUnreadable):
            if content.errno in _NO_VALUE:
                self.gap(ABSENT, path, "no value")
            else:
                self.unreadable(content)
        return None

    def number(self, path: str) -> int | None:
        """The number in a small file; None when there is none. Anything else is a gap."""
        return self.parse_number(path, self.line(path))

    def parse_number(self, path: str, text: str | None) -> int | None:
        """The number that is the text of a small file."""
        if not text:
            return None
        try:
            return int(text, 0)
        except ValueError:
            pass
        try:
            return int(text)  # leading zeros
        except ValueError:
            self.gap(UNREADABLE, path, "not a number")
            return None

    def open_folder(self, path: str, inside: Directory | None = None) -> Directory | None:
        """An open folder, to be closed: the fast way to many files; None when there is none. ``path`` is relative if ``inside`` one."""
        try:
            return self.host.open_directory(path) if inside is None else inside.open_directory(path)
        except FileMissing:
            return None
        except FileUnreadable as fault:
            self.unreadable(fault)
            return None

    def lines(self, folder: Directory, names: Iterable[str]) -> dict[str, str]:
        """The texts of those of ``names`` in an open folder that are there."""
        result: dict[str, str] = {}
        for name, content in folder.read_regular_files(names, LINE_LIMIT, is_checked=False):
            text = self.decode(f"{folder.path}/{name}", content)
            if text is not None:
                result[name] = text
        return result

    def put_numa_node(self, key: str, path: str) -> None:
        """Add the NUMA node of a device; the kernel writes -1 where the platform names none."""
        node = self.number(path)
        self.put(key, node if node is not None and node >= 0 else None)

    def link_name(self, path: str) -> str | None:
        """The last component of a link's target; None when there is no such link."""
        try:
            return self.host.read_link(path).rstrip("/").rpartition("/")[2] or None
        except FileMissing:
            return None
        except FileUnreadable as fault:
            if fault.reason != "not a link":
                self.unreadable(fault)
            return None

    def names(self, path: str) -> list[str]:
        """Names in a folder, sorted, at most ITEM_LIMIT of them; none when there is no such folder."""
        try:
            names = self.host.list_directory(path)
        except FileMissing:
            return []
        except FileUnreadable as fault:
            self.unreadable(fault)
            return []
        if len(names) > ITEM_LIMIT:
            self.gap(UNREADABLE, path, f"more than {ITEM_LIMIT} entries")
        return names[:ITEM_LIMIT]

    def exists(self, path: str, is_in_archives: bool = True) -> bool:
        """Whether a file of any kind exists; what the kernel does not tell is a gap.

        With ``is_in_archives`` false, a file that an archive lacks is not a gap: others in it decide.
        """
        try:
            return self.host.exists(path)
        except FileUnreadable as fault:
            if is_in_archives or self.host.known_absent is None:
                self.unreadable(fault)
            return False

    def require_folders(self, reason: str, *folders: str) -> None:
        """Raise NotApplicable with ``reason``, unless something could not be read, as a folder that every host has and that is missing."""
        if not self.note_unmounted(*folders) and not self.unread_count:
            raise NotApplicable(reason)

    def note_unmounted(self, *folders: str) -> bool:
        """Add a gap for each folder that every host has and that is not mounted here; whether there was one."""
        if self.host.root == "/":
            marks, remedy = {folder: _MOUNT_MARKS[folder] for folder in folders if folder in _MOUNT_MARKS}, ""
        else:
            marks, remedy = dict(zip(folders, folders)) if self.is_partial_host else {}, f"; mount it read-only below {self.host.root}"
        missing = [folder for folder, mark in marks.items() if not self.exists(mark)]
        for folder in missing:
            self.gap(UNREADABLE, folder, f"not mounted here{remedy}")
        return bool(missing)

    def has_firmware(self) -> bool:
        """Whether the firmware's folder in sysfs is there; an empty one is a mount that engines hide it from containers with, a gap."""
        names = self.names(FIRMWARE)
        if not names and self.host.is_running_system and self.exists(FIRMWARE):
            self.gap(UNREADABLE, FIRMWARE, "hidden from this container; mount the host's /sys")
        return bool(names)

    @property
    def is_partial_host(self) -> bool:
        """Whether only some of the host's folders may be there: below another root than / of the running system."""
        return self.host.is_running_system and self.host.root != "/"

    def is_of_container(self, path: str) -> bool:
        """Whether a file shows this container's share of the host, which is then a gap."""
        from eidos.files.namespaces import is_overlaid

        is_overlaid_here = self.host.root == "/" and is_overlaid(path)
        if is_overlaid_here:
            self.gap(UNREADABLE, path, "shows this container's share instead of the host's (lxcfs); mount the host's /proc and /sys")
        return is_overlaid_here

    def put_lines(self, prefix: str, folder: str, files: Mapping[str, str]) -> None:
        """Add the text of each of ``files`` (key → name in ``folder``) that is there."""
        for key, name in files.items():
            self.put(f"{prefix}{key}", self.line(f"{folder}/{name}"))

    def put_counters(self, prefix: str, folder: str, names: tuple[str, ...]) -> None:
        """Add the counters that are there as volatile readings, when such are wanted; ``_`` becomes a dash in keys."""
        if self.with_volatile:
            for name in names:
                self.put_volatile(f"{prefix}{name.replace('_', '-')}", self.number(f"{folder}/{name}"))

    def parts(self) -> Iterator[Part]:
        """The gaps, then the subtype and the volatile one, each when it has readings."""
        yield from self.gaps
        if self.data:
            yield Subtype(self.name, self.data)
        if self.with_volatile and self.volatile:
            yield Subtype(self.name + VOLATILE, self.volatile)


def mount_table(root: str) -> tuple[str, str]:
    """The table of the mounts that a path below ``root`` crosses (proc(5)), and the root as it names it.

    ``/proc/1/root``, or a link to it, leads into the mounts of process 1, and its realpath(3) names another folder here.

    >>> mount_table("/proc/1/root/mnt")
    ('/proc/1/mountinfo', '/mnt')
    """
    path = root = os.path.abspath(root)
    for _ in range(_LINK_LIMIT):
        _, proc, pid, name, *inside = [*path.split("/"), "", "", "", ""]
        if (proc, name) == ("proc", "root"):
            return f"/proc/{pid}/mountinfo", "/" + "/".join(inside).rstrip("/")
        try:
            path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        except OSError:
            break
    try:
        return "/proc/self/mountinfo", os.path.realpath(root)
    except OSError:  # before Python 3.13 a link that this user may not follow is one
        return "/proc/self/mountinfo", root


def unreadable_reason(fault: FileUnreadable) -> str:
    """The reason of a fault, with the right that is missing."""
    return f"{fault.reason}; needs root" if fault.errno in (errno.EACCES, errno.EPERM) else fault.reason


def has_folder(facts: Facts, path: str) -> bool:
    """Whether a folder can be listed or at least exists."""
    try:
        facts.host.open_directory(path).close()
    except NotFound:
        return False
    except FileUnreadable:
        pass
    return True


def selected_word(text: str) -> str:
    """The word in brackets of a choice as the kernel writes it; the text if there is none.

    >>> selected_word("always [madvise] never"), selected_word("performance")
    ('madvise', 'performance')
    """
    _, bracket, rest = text.partition("[")
    word, closing, _ = rest.partition("]")
    return word if bracket and closing else text


def numbered(names: Iterable[str], prefix: str) -> list[int]:
    """The numbers of those of ``names`` that are ``prefix`` and a number, in order.

    >>> numbered(["node10", "node2", "node", "nodes", "possible"], "node")
    [2, 10]
    """
    size = len(prefix)
    return sorted(int(name[size:]) for name in names if name.startswith(prefix) and name[size:].isdecimal() and len(name) < size + 10)
