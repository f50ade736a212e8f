r"""The entry that the boot loader takes at the next boot, and the kernel's command line in it.

Knows how to tell systemd-boot from GRUB, and GRUB's environment block, its configuration, and its choice among entries of the Boot Loader
Specification; must not know GRUB's settings in /etc, of which all this is made. One loader's files may lie where another one boots; what
tells them apart are the variables of systemd's Boot Loader Interface.

>>> parse_environment("# GRUB Environment Block\nsaved_entry=abc-6.8\nkernelopts=root=/dev/a ro\n####")
{'saved_entry': 'abc-6.8', 'kernelopts': 'root=/dev/a ro'}
"""

from __future__ import annotations

from eidos.files.host import FileMissing, FileUnreadable
from eidos.model.measurement import UNREADABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.collectors._sysfs import Facts

ENTRIES = "/boot/loader/entries"
ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv")
CONFIGURATIONS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")

#: Variables of systemd's Boot Loader Interface, and one that every UEFI firmware has.
LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
STUB_INFO = "/sys/firmware/efi/efivars/StubInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

#: Where the EFI partition is mounted (systemd-boot(7)), and what is there when systemd-boot is installed or boots unified kernel images.
EFI_PARTITIONS = ("/efi", "/boot", "/boot/efi")
SYSTEMD_BOOT_FILES = ("loader/loader.conf", "EFI/systemd", "EFI/Linux")

#: Size limits of a file in bytes, and of GRUB's configuration; entries that are read.
FILE_LIMIT, CONFIGURATION_LIMIT, ENTRIES_LIMIT = 1 << 18, 4 << 20, 256


def next_boot_entry(facts: Facts) -> tuple[str, str | None] | None:
    """Path and command line of the entry, without a line when there is no entry; None when it is unknown, which is a gap."""
    why_unsure = _find_systemd_boot(facts)
    if why_unsure is None:
        return _grub_entry(facts)
    grub_file = next((path for path in (*ENVIRONMENTS, *CONFIGURATIONS) if _exists(facts, path)), None)
    if why_unsure and grub_file:
        facts.gap(UNREADABLE, grub_file, f"not used if systemd-boot boots, which is installed as well, and {why_unsure}")
        return None
    from eidos.collectors._systemd_boot import next_command_line  # few hosts have it

    return next_command_line(facts, EFI_PARTITIONS, why_unsure)


def _find_systemd_boot(facts: Facts) -> str | None:
    """None where GRUB boots; "" where systemd-boot does, and a reason where that, or which entry it takes, cannot be read.

    systemd-boot sets LoaderInfo, as GRUB 2.12 does; older versions of GRUB set nothing, and images without a boot loader StubInfo.
    """
    try:
        information = facts.host.read_bytes(LOADER_INFO, FILE_LIMIT)
        return "" if information[4:].decode("utf-16-le", "replace").startswith("systemd-boot") else None
    except FileMissing:
        pass
    except FileUnreadable as fault:
        _add_gap(facts, fault)
    if _exists(facts, SECURE_BOOT):
        return "the firmware chooses one" if _exists(facts, STUB_INFO) else None
    is_installed = any(_exists(facts, f"{folder}/{name}") for folder in EFI_PARTITIONS for name in SYSTEMD_BOOT_FILES)
    return "the EFI variables that choose one are not visible; mount /sys/firmware/efi/efivars" if is_installed else None


def _exists(facts: Facts, path: str) -> bool:
    try:
        return facts.host.exists(path)
    except FileUnreadable as fault:
        _add_gap(facts, fault)
        return False


def _add_gap(facts: Facts, fault: FileUnreadable) -> None:
    """Add the gap, unless the file is only missing in an archive: there GRUB's files decide, which an archive has."""
    if facts.host.known_absent is None:
        facts.unreadable(fault)


def _grub_entry(facts: Facts) -> tuple[str, str | None] | None:
    environment = _read_environment(facts)
    entries: dict[str, tuple[str, str]] = {}
    for name in [name for name in facts.names(ENTRIES) if name.endswith(".conf")][:ENTRIES_LIMIT]:
        path = f"{ENTRIES}/{name}"
        fields = [line.split(None, 1) for line in (facts.line(path, FILE_LIMIT) or "").splitlines()]
        # All of them count, in their order (UAPI Group, Boot Loader Specification, options).
        options = (
            " ".join(words[1] for words in fields if len(words) == 2 and words[0] == "options")
            .replace("$kernelopts", environment.get("kernelopts", ""))
            .replace("$tuned_params", environment.get("tuned_params", ""))
        )
        entries[name.removesuffix(".conf")] = path, options
    once, saved = environment.get("next_entry", ""), environment.get("saved_entry", "")
    if once and once not in entries:
        facts.gap(UNREADABLE, ENTRIES, "GRUB starts another entry than the default at the next boot (next_entry)")
        return None
    if once or saved in entries or len(entries) == 1:
        return entries.get(once or saved) or next(iter(entries.values()))
    if entries:
        facts.gap(UNREADABLE, ENTRIES, f"{len(entries)} entries, and none of them is GRUB's saved entry")
        return None
    for path in CONFIGURATIONS:
        text = facts.line(path, CONFIGURATION_LIMIT)
        lines = (line.split(None, 2) for line in (text or "").splitlines() if line.lstrip().startswith(("linux\t", "linux ", "linuxefi")))
        first = next((words for words in lines if len(words) >= 2), None)
        if first and text and 'set default="0"' in text:
            return path, first[2] if len(first) == 3 else ""
    return "", None


def _read_environment(facts: Facts) -> dict[str, str]:
    for path in ENVIRONMENTS:
        text = facts.line(path, FILE_LIMIT)
        if text is not None:
            return parse_environment(text)
    return {}


def parse_environment(text: str) -> dict[str, str]:
    """The variables of GRUB's environment block."""
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, equals, value in lines if equals}
