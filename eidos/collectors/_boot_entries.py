r"""The entry that the boot loader takes at the next boot, and the kernel's command line in it.

Knows how to tell systemd-boot from GRUB, and GRUB's environment block, its configuration, and its choice among entries of the Boot Loader
Specification; must not know GRUB's settings in /etc, of which all this is made. One loader's files may lie where another one boots; what
tells them apart are the variables of systemd's Boot Loader Interface.

>>> parse_environment("# GRUB Environment Block\nsaved_entry=abc-6.8\nkernelopts=root=/dev/a ro\n####")
{'saved_entry': 'abc-6.8', 'kernelopts': 'root=/dev/a ro'}
"""

from __future__ import annotations

from eidos.collectors._boot_loader_specification import VARIABLE, parse_boot_entry, read_variable
from eidos.files.host import FileUnreadable
from eidos.model.measurement import UNREADABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.collectors._sysfs import Facts

    #: Path and command line of an entry, without a line when there is no entry; None when it is unknown, which is a gap.
    NextEntry = tuple[str, str | None] | None

#: Boot loaders that are told apart.
GRUB, SYSTEMD_BOOT, _OTHER = "grub", "systemd-boot", "other"

ENTRIES = "/boot/loader/entries"
ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv")
CONFIGURATIONS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")

#: The variable in which a boot loader names itself, and one that every UEFI firmware has.
LOADER_INFO = VARIABLE.format("LoaderInfo")
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

#: Where the EFI partition is mounted (systemd-boot(7)), and what is there when systemd-boot is installed or boots unified kernel images.
EFI_PARTITIONS = ("/efi", "/boot", "/boot/efi")
SYSTEMD_BOOT_FILES = ("loader/loader.conf", "EFI/systemd", "EFI/Linux")

#: Size limits of a file in bytes, and of GRUB's configuration; entries that are read.
FILE_LIMIT, CONFIGURATION_LIMIT, ENTRIES_LIMIT = 1 << 18, 4 << 20, 256


def next_boot_entry(facts: Facts) -> tuple[str, NextEntry]:
    """The boot loader, "" where it is unknown, and the entry that it takes at the next boot."""
    unread = facts.unread_count
    loader, entry = _read_next_boot(facts)
    return loader, entry if facts.unread_count == unread else None  # what was not read may be what boots


def _read_next_boot(facts: Facts) -> tuple[str, NextEntry]:
    loader, why_unsure = _find_boot_loader(facts)
    if loader == _OTHER:
        return "", None
    if loader != SYSTEMD_BOOT and not why_unsure:
        has_grub, entry = _grub_entry(facts)
        return loader or (GRUB if has_grub else ""), entry
    grub_file = next((path for path in (*ENVIRONMENTS, *CONFIGURATIONS) if facts.exists(path, is_in_archives=False)), None)
    if why_unsure and grub_file:
        facts.gap(UNREADABLE, grub_file, f"GRUB may not be the boot loader: {why_unsure}")
        return loader, None
    from eidos.collectors._systemd_boot import next_command_line  # few hosts have it

    return loader, next_command_line(facts, EFI_PARTITIONS, why_unsure)


def _find_boot_loader(facts: Facts) -> tuple[str, str]:
    """The boot loader, "" where none names itself; and where it may be systemd-boot, why that cannot be read, else "".

    systemd-boot sets LoaderInfo, as GRUB 2.12 does; older versions of GRUB set nothing, and images without a boot loader StubInfo.
    Where it names another one, or cannot be read, the files of neither tell what the next boot is: _OTHER, and a gap.
    """
    try:
        name = read_variable(facts, "LoaderInfo").lower()
    except FileUnreadable as fault:
        name = ""
        if facts.host.known_absent is None:
            facts.unreadable(fault)
            return _OTHER, ""
    if name:
        loader = next((loader for loader in (SYSTEMD_BOOT, GRUB) if name.startswith(loader)), _OTHER)
        if loader == _OTHER:
            facts.gap(UNREADABLE, LOADER_INFO, "names another boot loader than GRUB and systemd-boot")
        return loader, ""
    if facts.exists(SECURE_BOOT, is_in_archives=False):
        return "", "the firmware chooses one" if facts.exists(VARIABLE.format("StubInfo"), is_in_archives=False) else ""
    paths = (f"{folder}/{name}" for folder in EFI_PARTITIONS for name in SYSTEMD_BOOT_FILES)
    is_installed = any(facts.exists(path, is_in_archives=False) for path in paths)
    return "", "the EFI variables that choose one are not visible; mount /sys/firmware/efi/efivars" if is_installed else ""


def _grub_entry(facts: Facts) -> tuple[bool, NextEntry]:
    """Whether a file of GRUB's own is there, and the entry that GRUB takes."""
    unread = facts.unread_count
    environment = _read_environment(facts)
    is_host = not facts.host.is_container_root  # what cannot be read in a container need not be there
    has_grub = environment is not None or (is_host and facts.unread_count > unread)
    environment = environment or {}
    entries: dict[str, tuple[str, str]] = {}
    for name in [name for name in facts.names(ENTRIES) if name.endswith(".conf")][:ENTRIES_LIMIT]:
        path = f"{ENTRIES}/{name}"
        options = parse_boot_entry(name, facts.line(path, FILE_LIMIT) or "").options
        if options is not None:  # GRUB skips an entry without a kernel of Linux (blscfg.c)
            for variable in ("kernelopts", "tuned_params"):
                options = options.replace(f"${variable}", environment.get(variable, ""))
            entries[name.removesuffix(".conf")] = path, options
    once, saved = environment.get("next_entry", ""), environment.get("saved_entry", "")
    if once and once not in entries:
        facts.gap(UNREADABLE, ENTRIES, "GRUB starts another entry than the default at the next boot (next_entry)")
        return has_grub, None
    if once or saved in entries or len(entries) == 1:
        return has_grub, entries.get(once or saved) or next(iter(entries.values()))
    if entries:
        facts.gap(UNREADABLE, ENTRIES, f"{len(entries)} entries, and none of them is GRUB's saved entry")
        return has_grub, None
    for path in CONFIGURATIONS:
        unread = facts.unread_count
        text = facts.line(path, CONFIGURATION_LIMIT)
        has_grub |= text is not None or (is_host and facts.unread_count > unread)
        lines = (line.split(None, 2) for line in (text or "").splitlines() if line.lstrip().startswith(("linux\t", "linux ", "linuxefi")))
        first = next((words for words in lines if len(words) >= 2), None)
        if first and text and 'set default="0"' in text:
            return True, (path, first[2] if len(first) == 3 else "")
    return has_grub, ("", None)


def _read_environment(facts: Facts) -> dict[str, str] | None:
    for path in ENVIRONMENTS:
        text = facts.line(path, FILE_LIMIT)
        if text is not None:
            return parse_environment(text)
    return None


def parse_environment(text: str) -> dict[str, str]:
    """The variables of GRUB's environment block."""
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, equals, value in lines if equals}
