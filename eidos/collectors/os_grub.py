"""Parameters that the kernel was started with, from /proc/cmdline.

Knows that file; must not know how a command line is read, nor what any parameter means: :mod:`eidos.collectors._kernel_command_line` has
the rules.
"""

from __future__ import annotations

from eidos.collectors import harmless_names
from eidos.collectors._kernel_command_line import (
    CLOUD_CONFIG,
    command_line_readings,
    cut_cloud_config,
    parameter_readings,
    parse_command_line,
)
from eidos.collectors._sysfs import Facts
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import REVEALED, SECRET, UNREADABLE, Gap, Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part, Readings

PATH = "/proc/cmdline"


def _original_readings(line: str, cloud_configs: list[str]) -> Readings:
    parameters, rest = parse_command_line(line)
    return parameter_readings([*parameters, *((CLOUD_CONFIG, text) for text in cloud_configs)], rest)[0]


def collect(sources: Sources) -> Iterator[Part]:
    """Yield a gap for each secret among the parameters, then the parameters."""
    try:
        line, is_utf8 = decode_text(sources.host.read_bytes(PATH))
    except FileMissing:
        facts = Facts(sources, "grub")
        facts.require_folders(f"{PATH} does not exist", "/proc")
        yield from facts.gaps
        return
    except FileUnreadable as fault:
        yield Gap(UNREADABLE, PATH, fault.reason)
        return
    if not is_utf8:
        yield Gap(UNREADABLE, PATH, NOT_TEXT)
    names = harmless_names("boot-parameters", revealed=sources.reveal)
    line, cloud_configs = cut_cloud_config(line)
    readings, withheld = command_line_readings(line, cloud_configs, names)
    yield from sources.digests("grub", _original_readings(line, cloud_configs), readings[0])
    for name in withheld:
        yield Gap(SECRET, name, "on the kernel command line")
    for name in names.revealed:
        yield Gap(REVEALED, name, "requested")
    yield Subtype("grub", *readings)
