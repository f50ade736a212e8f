r"""An entry of the Boot Loader Specification, and the variables of systemd's Boot Loader Interface.

Knows the keys of entries of type 1, their boot counting (UAPI.1) and the form of a variable in efivarfs; must not know which entry a boot
loader takes.

>>> parse_boot_entry("arch.conf", "title Arch\nversion 6.9\nlinux /vmlinuz\noptions root=/dev/sda2 rw\noptions iommu=pt\n").options
'root=/dev/sda2 rw iommu=pt'
"""

from __future__ import annotations

from eidos.files.host import FileMissing
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.collectors._sysfs import Facts

#: Name of a variable of the Boot Loader Interface in efivarfs, and the size limit of one in bytes.
VARIABLE, _VARIABLE_LIMIT = "/sys/firmware/efi/efivars/{}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", 4096


class BootEntry(Record):
    """An entry: ``name`` of its file without the counter of boots, ``options`` of the kernel (None when it starts no kernel of Linux).

    ``is_bad`` is that no attempt to boot it is left; ``path`` is that of the file.
    """

    name: str
    options: str | None
    sort_key: str = ""
    machine_id: str = ""
    version: str = ""
    is_bad: bool = False
    path: str = ""


def read_variable(facts: Facts, name: str) -> str:
    """The text of a variable of the Boot Loader Interface, "" when it is not set. Raises FileUnreadable."""
    try:
        data = facts.host.read_bytes(VARIABLE.format(name), _VARIABLE_LIMIT)
    except FileMissing:
        return ""
    return data[4:].decode("utf-16-le", "replace").partition("\0")[0]  # efivarfs puts 4 bytes of attributes first


def parse_boot_entry(file_name: str, text: str) -> BootEntry:
    """The entry of Type 1 in a file ``loader/entries/<file_name>``."""
    fields: dict[str, str] = {}
    options: list[str] = []
    for line in text.splitlines():
        key, value = [*line.split(None, 1), "", ""][:2]
        if key == "options":
            options.append(value.strip())
        elif not key.startswith("#"):
            fields[key] = value.strip()
    name, is_bad = split_counter(file_name)
    sort_key, machine_id, version = (fields.get(key, "") for key in ("sort-key", "machine-id", "version"))
    return BootEntry(name, " ".join(options) if fields.get("linux") else None, sort_key, machine_id, version, is_bad)


def split_counter(file_name: str) -> tuple[str, bool]:
    """The name without ``+LEFT-DONE`` before its ending, and whether no attempt is left.

    >>> split_counter("a+0-3.conf"), split_counter("a+2.efi"), split_counter("a+b.conf")
    (('a.conf', True), ('a.efi', False), ('a+b.conf', False))
    """
    stem, dot, ending = file_name.rpartition(".")
    name, plus, counter = stem.rpartition("+")
    left, minus, done = counter.partition("-")
    if plus and left.isdecimal() and (done.isdecimal() or not minus):
        return f"{name}{dot}{ending}", not left.strip("0")
    return file_name, False
