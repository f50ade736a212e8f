r"""The entry that systemd-boot takes at the next boot, and the kernel's command line in it.

Knows entries of both types of the Boot Loader Specification (UAPI.1, sorting), the order of versions (UAPI.10), loader.conf(5) and what
systemd-boot takes from variables; must not know GRUB, which has its own choice among such entries.

systemd-boot(7) takes the entry that the variable LoaderEntryOneShot names, else LoaderEntryPreferred and ``preferred``, else
LoaderEntryDefault and ``default`` of loader.conf, where ``@saved`` stands for LoaderEntryLastBooted; else the first in the order of
UAPI.1. What decides and cannot be read leaves the next boot unknown.

>>> sorted(["6.9.1-2", "6.10.0-1", "6.10.0~rc1-1"], key=version_key)
['6.9.1-2', '6.10.0~rc1-1', '6.10.0-1']
"""

from __future__ import annotations

import os

from eidos.collectors._boot_loader_specification import BootEntry, parse_boot_entry, read_variable, split_counter
from eidos.collectors._sysfs import mount_table
from eidos.errors import InvalidData
from eidos.files.host import FileMissing, FileUnreadable, Host
from eidos.model.measurement import UNREADABLE
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.collectors._sysfs import Facts

    VersionKey = tuple[tuple[int, int, str], ...]

#: Entries of a partition that are read, and the size limit of one in bytes.
_ENTRIES_LIMIT, _ENTRY_LIMIT = 128, 1 << 16

#: Size limit of the table of mounts, in bytes.
_MOUNTS_LIMIT = 8 << 20

_SAVED, _AUTOMATIC = "@saved", "auto-"

#: Separators in versions, from the one that sorts first; the end of a version comes between the first two (UAPI.10).
_SEPARATORS = {"~": 0, "-": 2, "^": 3, ".": 4}
_END, _LETTERS, _DIGITS = (1, 0, ""), 5, 6


def version_key(version: str) -> VersionKey:
    """A key that sorts versions as UAPI.10 does, the oldest first."""
    key: list[tuple[int, int, str]] = []
    at = 0
    while at < len(version):
        char = version[at]
        end = at + 1
        if char in _SEPARATORS:
            key.append((_SEPARATORS[char], 0, ""))
        elif char.isascii() and char.isalnum():
            while end < len(version) and version[end].isascii() and version[end].isalnum() and version[end].isdigit() == char.isdigit():
                end += 1
            digits = version[at:end].lstrip("0")
            key.append((_DIGITS, len(digits), digits) if char.isdigit() else (_LETTERS, 0, version[at:end]))
        at = end
    return (*key, _END)


def in_boot_order(entries: Iterable[BootEntry]) -> list[BootEntry]:
    """The entries in the order of UAPI.1, the one that is booted by default first."""
    ordered = sorted(entries, key=lambda entry: version_key(entry.name.rpartition(".")[0]), reverse=True)
    ordered.sort(key=lambda entry: version_key(entry.version) if entry.sort_key else (), reverse=True)
    ordered.sort(key=lambda entry: (entry.is_bad, not entry.sort_key, entry.sort_key, entry.machine_id if entry.sort_key else ""))
    return ordered


def next_command_line(facts: Facts, partitions: tuple[str, ...], why_unsure: str) -> tuple[str, str] | None:
    """Path of the entry of the next boot, and its command line; None when that is unknown, which is a gap then.

    ``partitions`` is where the EFI partition and the extended boot loader partition may be mounted; ``why_unsure`` is why the choice among
    entries cannot be read, "" when it can.
    """
    if _is_unmounted(facts, partitions):
        return None
    gap_count = len(facts.gaps)
    entries = in_boot_order(_read_entries(facts, partitions))
    settings = _read_settings(facts, partitions)
    variables = ("LoaderEntryOneShot", "LoaderEntryPreferred", "LoaderEntryDefault", "LoaderEntryLastBooted")
    try:
        oneshot, preferred, default, saved = map(read_variable, [facts] * 4, variables)
    except FileUnreadable as fault:
        facts.unreadable(fault)
        return None
    if len(facts.gaps) > gap_count:
        return None
    where = f"{partitions[0]}/loader/entries"
    if not entries:
        facts.gap(UNREADABLE, where, f"no entries of systemd-boot in {', '.join(partitions)}; mount the EFI partition")
        return None
    patterns = [oneshot, preferred, settings.get("preferred", ""), default, settings.get("default", "")]
    chosen = _choose(entries, [saved if pattern == _SAVED else pattern for pattern in patterns])
    if why_unsure and any(entry.options != chosen.options for entry in entries):
        facts.gap(UNREADABLE, where, f"entries differ, and {why_unsure}")
    elif chosen.options is None:
        facts.gap(UNREADABLE, chosen.path or where, "the entry of the next boot starts something else than a kernel of Linux")
    else:
        return chosen.path, chosen.options
    return None


def _choose(entries: list[BootEntry], patterns: Iterable[str]) -> BootEntry:
    from fnmatch import fnmatchcase  # it imports ``re``, and few hosts have systemd-boot

    for pattern in (pattern.lower() for pattern in patterns if pattern):
        if pattern.startswith(_AUTOMATIC):
            return BootEntry(pattern, None)
        for entry in entries:
            # Up to version 248 the names had no ending.
            if any(fnmatchcase(name, pattern) for name in (entry.name.lower(), entry.name.lower().rpartition(".")[0])):
                return entry
    return entries[0]


def _is_unmounted(facts: Facts, partitions: tuple[str, ...]) -> bool:
    """Whether reading would mount a partition (systemd-gpt-auto-generator(8)), which is a gap then: reading changes nothing."""
    if not facts.host.is_running_system:
        return False
    try:
        table, root = mount_table(facts.host.root)
        lines = Host().read_text(table, _MOUNTS_LIMIT).split("\n")
    except (FileMissing, FileUnreadable):
        return False
    # Path → type of the file system (proc(5)); the last one hides the others.
    types = {fields[4]: kind.partition(" ")[0] for fields, kind in map(_split_mount, lines) if len(fields) > 4}
    for partition in partitions:
        if types.get(root.rstrip("/") + partition) == "autofs":
            facts.gap(UNREADABLE, f"{partition}/loader/entries", f"not mounted now; run 'ls {partition}' to have it mounted")
            return True
    return False


def _split_mount(line: str) -> tuple[list[str], str]:
    fields, _, kind = line.partition(" - ")
    return fields.split(" "), kind


def _read_settings(facts: Facts, partitions: tuple[str, ...]) -> dict[str, str]:
    """The settings of the first loader.conf."""
    for partition in partitions:
        text = facts.line(f"{partition}/loader/loader.conf", _ENTRY_LIMIT)
        if text is not None:
            fields = [line.split(None, 1) for line in text.splitlines() if not line.lstrip().startswith("#")]
            return {words[0]: words[1].strip() for words in fields if len(words) == 2}
    return {}


def _read_entries(facts: Facts, partitions: tuple[str, ...]) -> Iterator[BootEntry]:
    for partition in partitions:
        for path in _files(facts, f"{partition}/loader/entries", ".conf"):
            text = facts.line(path, _ENTRY_LIMIT)
            if text is not None:
                yield replace(parse_boot_entry(path.rpartition("/")[2], text), path=path)
        images = _files(facts, f"{partition}/EFI/Linux", ".efi")
        add_ons = _files(facts, f"{partition}/loader/addons", ".addon.efi") if images else []
        for path in images:
            entry = _read_image(facts, path)
            if entry is not None:
                yield entry
            for add_on in [*add_ons, *_files(facts, f"{path}.extra.d", ".addon.efi")]:
                facts.gap(UNREADABLE, add_on, "an add-on may change the command line of unified kernel images")


def _read_image(facts: Facts, path: str) -> BootEntry | None:
    from eidos.files.unified_kernel import read_unified_kernel

    try:
        fd = facts.host.open_file(path)
        try:
            line, text = read_unified_kernel(fd)
        finally:
            os.close(fd)
    except FileMissing:
        return None
    except FileUnreadable as fault:
        facts.unreadable(fault)
        return None
    except (OSError, InvalidData) as fault:
        facts.gap(UNREADABLE, path, fault.message if isinstance(fault, InvalidData) else (fault.strerror or str(fault)).lower())
        return None
    release = {name: value.strip("\"'") for name, _, value in (line.strip().partition("=") for line in text.splitlines())}
    version = next((release[name] for name in ("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID") if release.get(name)), "")
    name, is_bad = split_counter(path.rpartition("/")[2])
    return BootEntry(name, line, release.get("IMAGE_ID") or release.get("ID", ""), "", version, is_bad, path)


def _files(facts: Facts, folder: str, ending: str) -> list[str]:
    names = [name for name in facts.names(folder) if name.lower().endswith(ending) and not name.startswith(".")]
    if len(names) > _ENTRIES_LIMIT:
        facts.gap(UNREADABLE, folder, f"more than {_ENTRIES_LIMIT} entries")
    return [f"{folder}/{name}" for name in names[:_ENTRIES_LIMIT]]
