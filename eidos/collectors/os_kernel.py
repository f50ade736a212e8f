r"""The kernel: taint, secure boot, lockdown, security modules, options, clock source, time synchronisation, pending reboot.

Knows the flags of Documentation/admin-guide/tainted-kernels, the EFI variable SecureBoot (UEFI 2.10, 3.3), securityfs, the kernel's
configuration file, adjtimex(2) and the marks that Debian's and systemd's tools leave in /run; must not know which option is good::

    /proc/sys/kernel/tainted                  12289        taint: 12289
                                                           taint.flags: proprietary-module out-of-tree-module unsigned-module
    /sys/kernel/security/lockdown   none [integrity]       lockdown: integrity
    /boot/config-6.8.0-60-generic     CONFIG_NUMA=y        config.NUMA: "y"

Options of the kernel are those of :data:`CONFIG_OPTIONS`; all of them would be thousands.

>>> taint_flags(12289)
'proprietary-module out-of-tree-module unsigned-module'
>>> parse_config(b"CONFIG_NUMA=y\n# CONFIG_MODULE_SIG_FORCE is not set\nCONFIG_HZ=250\nCONFIG_X=1\n")
{'HZ': '250', 'MODULE_SIG_FORCE': 'n', 'NUMA': 'y'}
"""

from __future__ import annotations

import os

from eidos.collectors._sysfs import FIRMWARE, Facts, selected_word
from eidos.errors import NotApplicable
from eidos.files.host import FileMissing, FileUnreadable
from eidos.model.measurement import SECRET, UNREADABLE, Gap
from eidos.redact.random_words import is_wordy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

TAINTED = "/proc/sys/kernel/tainted"
OSRELEASE = "/proc/sys/kernel/osrelease"
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
CLOCK = "/sys/devices/system/clocksource/clocksource0"
REBOOT_REQUIRED = "/run/reboot-required"
TIMESYNC_DONE = "/run/systemd/timesync/synchronized"

#: What a program that sets the clock leaves in /run while it runs → its name.
CLOCK_DAEMONS = {"/run/chrony/chronyd.pid": "chronyd", "/run/ntpd.pid": "ntpd", "/run/systemd/timesync": "systemd-timesyncd"}

#: Size limit of the kernel's configuration in bytes (that of Ubuntu has 290,000), and of what its packed form holds.
CONFIG_LIMIT = 2 << 20

#: Packages that wait for a reboot, at most.
PACKAGE_LIMIT = 50

#: Bit of the taint mask → word.
TAINT_WORDS = (
    "proprietary-module",
    "forced-module-load",
    "out-of-specification",
    "forced-module-unload",
    "machine-check",
    "bad-page",
    "requested-by-user",
    "oops",
    "acpi-table-overridden",
    "warning",
    "staging-module",
    "firmware-workaround",
    "out-of-tree-module",
    "unsigned-module",
    "soft-lockup",
    "live-patched",
    "auxiliary",
    "randomized-structs",
    "in-kernel-test",
)

#: Options of the kernel that matter to a GPU node: memory, NUMA, IOMMU, peer-to-peer, InfiniBand, modules, preemption, errors.
CONFIG_OPTIONS = (
    *(
        "AMD_IOMMU",
        "ARM64_4K_PAGES",
        "ARM64_64K_PAGES",
        "ARM_SMMU_V3",
        "ARM_SMMU_V3_SVA",
        "CGROUPS",
        "DEVICE_PRIVATE",
        "DMABUF_MOVE_NOTIFY",
    ),
    *("DMA_SHARED_BUFFER", "DRM_NOUVEAU", "EDAC", "EFI", "HMM_MIRROR", "HUGETLBFS", "HZ", "INFINIBAND", "INFINIBAND_ON_DEMAND_PAGING"),
    *("INFINIBAND_USER_MEM", "INTEL_IOMMU", "INTEL_IOMMU_DEFAULT_ON", "IOMMU_DEFAULT_DMA_LAZY", "IOMMU_DEFAULT_DMA_STRICT"),
    *("IOMMU_DEFAULT_PASSTHROUGH", "LIVEPATCH", "LOCALVERSION", "MEMCG", "MEMORY_HOTPLUG", "MLX5_CORE", "MLX5_INFINIBAND", "MODULES"),
    *("MODULE_SIG", "MODULE_SIG_ALL", "MODULE_SIG_FORCE", "NO_HZ_FULL", "NUMA", "NUMA_BALANCING", "NUMA_BALANCING_DEFAULT_ENABLED"),
    *("PCIEAER", "PCIEASPM", "PCI_P2PDMA", "PREEMPT", "PREEMPT_DYNAMIC", "PREEMPT_NONE", "PREEMPT_RT", "PREEMPT_VOLUNTARY"),
    *("SECURITY_LOCKDOWN_LSM", "SMP", "TRANSPARENT_HUGEPAGE", "TRANSPARENT_HUGEPAGE_ALWAYS", "TRANSPARENT_HUGEPAGE_MADVISE", "VFIO_PCI"),
    *("X86_MCE", "ZONE_DEVICE"),
)

#: Status bit of adjtimex(2) that says that the clock is not synchronized.
STA_UNSYNC = 0x40


def taint_flags(mask: int) -> str:
    """The words of a taint mask; bits that have none are ``bit-N``."""
    bits = [bit for bit in range(mask.bit_length()) if mask >> bit & 1][:64]
    return " ".join(TAINT_WORDS[bit] if bit < len(TAINT_WORDS) else f"bit-{bit}" for bit in bits)


def parse_config(data: bytes) -> dict[str, str]:
    """Those of CONFIG_OPTIONS that a configuration of the kernel has; ``n`` for one that is not set."""
    options: dict[str, str] = {}
    for option in CONFIG_OPTIONS:
        name = f"CONFIG_{option}".encode()
        at = data.find(name)
        while at >= 0:  # once, unless another option begins with this one's name
            before, end = (b"\n\n\n" + data[max(at - 3, 0) : at])[-3:], at + len(name)
            if data[end : end + 1] == b"=" and before[-1:] == b"\n":
                line_end = data.find(b"\n", end)
                value = data[end + 1 : line_end if line_end >= 0 else len(data)]
                options[option] = value.strip(b'"').decode("utf-8", "replace")
                break
            if before == b"\n# " and (data[end : end + 12] + b"\n")[:12] == b" is not set\n":
                options[option] = "n"
                break
            at = data.find(name, end)
    return dict(sorted(options.items()))


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the readings, and a gap for each file that cannot be read."""
    facts = Facts(sources, "kernel")
    facts.note_unmounted("/proc", "/sys", "/run")
    mask = facts.number(TAINTED)
    if mask is not None and 0 <= mask < 1 << 64:
        facts.data["taint"] = mask
        facts.data["taint.flags"] = taint_flags(mask)
    _read_security(facts)
    _read_config(facts)
    for name, key in (("current_clocksource", "clock-source"), ("available_clocksource", "clock-sources")):
        facts.put(key, facts.line(f"{CLOCK}/{name}"))
    _read_time(facts)
    _read_reboot(facts)
    if facts.data and sources.host.is_running_system:
        facts.put("architecture", os.uname().machine)
    if not facts.data and not facts.gaps:
        raise NotApplicable(f"{TAINTED} does not exist")
    yield from facts.parts()


def _read_security(facts: Facts) -> None:
    try:
        data = facts.host.read_bytes(SECURE_BOOT, 64)
        if len(data) == 5:  # four bytes of attributes, and the value
            facts.put("secure-boot", "on" if data[4] == 1 else "off")
        else:
            facts.gap(UNREADABLE, SECURE_BOOT, "not one byte")
    except FileMissing:
        pass
    except FileUnreadable as fault:
        facts.unreadable(fault)
    if facts.has_firmware():
        facts.put("boot-mode", "efi" if facts.exists(f"{FIRMWARE}/efi") else "bios-or-device-tree")
    for name in ("lockdown", "lsm"):
        text = facts.line(f"/sys/kernel/security/{name}")
        facts.put(name, selected_word(text) if text else None)


def _read_config(facts: Facts) -> None:
    release = facts.line(OSRELEASE) or ""
    if not release or len(release) > 128 or not all(c.isalnum() or c in "._-+~" for c in release):
        if release:
            facts.gap(UNREADABLE, OSRELEASE, "not a release")
        return
    facts.put("release", release)
    for path in (f"/boot/config-{release}", f"/lib/modules/{release}/config", "/usr/lib/ostree-boot/config-" + release, "/proc/config.gz"):
        try:
            data = facts.host.read_bytes(path, CONFIG_LIMIT)
        except FileMissing:
            continue
        except FileUnreadable as fault:
            facts.unreadable(fault)
            continue
        options = parse_config(_unpack(data) if path.endswith(".gz") else data)
        if not options:
            facts.gap(UNREADABLE, path, "not a configuration of the kernel")
            continue
        facts.put("config-file", path)
        for option, value in options.items():
            facts.put(f"config.{option}", value)
        return
    facts.note_unmounted("/boot")


def _unpack(data: bytes) -> bytes:
    import zlib

    try:
        return zlib.decompressobj(31).decompress(data, CONFIG_LIMIT)
    except zlib.error:
        return b""


def _read_time(facts: Facts) -> None:
    facts.put("time.daemons", " ".join(sorted({name for path, name in CLOCK_DAEMONS.items() if facts.exists(path)})))
    if facts.exists(TIMESYNC_DONE):
        facts.put("time.timesyncd-synchronized", True)
    if facts.with_volatile and facts.host.is_running_system:
        state = _adjtimex()
        if state is None:
            facts.gap(UNREADABLE, "adjtimex", "this C library has no such function")
            return
        is_synchronized, offset_us, maximum_error_us, estimated_error_us = state
        facts.put_volatile("time.synchronized", is_synchronized)
        facts.put_volatile("time.offset-us", offset_us)
        facts.put_volatile("time.maximum-error-us", maximum_error_us)
        facts.put_volatile("time.estimated-error-us", estimated_error_us)


def _adjtimex() -> tuple[bool, int, int, int] | None:
    """Whether the clock is synchronized, then offset, maximum error and estimated error in microseconds; reading needs no right."""
    import ctypes  # takes longer than all else here, so only on request

    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_char * 256),
        )

    timex = Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    offset = timex.offset // 1000 if timex.status & 0x2000 else timex.offset  # STA_NANO
    return not timex.status & STA_UNSYNC, offset, timex.maxerror, timex.esterror


def _read_reboot(facts: Facts) -> None:
    required = facts.exists(REBOOT_REQUIRED)
    if facts.exists("/run"):
        facts.put("reboot-required", required)
    if required:
        names = sorted({line.strip() for line in (facts.line(f"{REBOOT_REQUIRED}.pkgs", 1 << 16) or "").splitlines() if line.strip()})
        if not all(is_wordy(name) for name in names):
            facts.gaps.append(Gap(SECRET, "reboot-required.packages", "not names of packages"))
        elif names:
            facts.put("reboot-required.packages", " ".join(names[:PACKAGE_LIMIT]))
