r"""Loaded kernel modules, from /proc/modules.

Knows the format of that file; must not know any module. A line (the kernel's kernel/module/procfs.c) has name, size, references,
users, state, address and taints::

    nvidia_uvm 2080768 4 - Live 0x0000000000000000 (POE)
    nvidia 56819712 21 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 (POE)

and becomes ``nvidia: true``. Modules that are built into the kernel are not listed.

>>> parse_modules("nvidia 56819712 21 nvidia_uvm, Live 0x0000000000000000 (POE)\n")
(['nvidia'], [])
"""

from __future__ import annotations

from eidos.collectors._sysfs import Facts
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import UNREADABLE, Gap, Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

PATH = "/proc/modules"


def parse_modules(text: str) -> tuple[list[str], list[int]]:
    """Names of the modules, and the numbers of malformed lines."""
    names: list[str] = []
    malformed: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if len(fields) >= 3 and fields[1].isdigit():
            names.append(fields[0])
        elif fields:
            malformed.append(number)
    return names, malformed


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the modules, and a gap for malformed lines; a kernel without module support has no such file."""
    try:
        text, is_utf8 = decode_text(sources.host.read_bytes(PATH))
    except FileMissing:
        facts = Facts(sources, "kmod")
        why = "this kernel does not support modules" if sources.host.is_running_system else "not in the captured tree"
        facts.require_folders(f"no modules: {why} ({PATH} does not exist)", "/proc")
        yield from facts.gaps
        return
    except FileUnreadable as fault:
        yield Gap(UNREADABLE, PATH, fault.reason)
        return
    if not is_utf8:
        yield Gap(UNREADABLE, PATH, NOT_TEXT)
    names, malformed = parse_modules(text)
    if malformed:
        more = f" and {len(malformed) - 1} more" if len(malformed) > 1 else ""
        yield Gap(UNREADABLE, PATH, f"line {malformed[0]}{more}: not a module")
    yield Subtype("kmod", dict.fromkeys(names, True))
