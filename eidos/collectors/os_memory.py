r"""Memory: size, huge pages, transparent huge pages, swap, ECC and DIMMs, in all and of each NUMA node.

Knows /proc/meminfo, /proc/swaps, and the files of sysfs that the kernel's Documentation/admin-guide/mm (hugetlbpage, transhuge, numaperf),
Documentation/ABI/testing/sysfs-kernel-mm-hugepages and sysfs-devices-edac name; must not know what is good for a machine. Sizes are in KiB.
What changes on its own (free pages, use of swap, error counters) is volatile::

    /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages   8192               hugepages.2048kB.total: 8192
    /sys/kernel/mm/transparent_hugepage/enabled    always [madvise] never       thp.enabled: madvise

>>> parse_meminfo("MemTotal:       2113462016 kB\nHugePages_Total:       0\n")
{'MemTotal': 2113462016, 'HugePages_Total': 0}
"""

from __future__ import annotations

from eidos.collectors._sysfs import Facts, numbered, selected_word
from eidos.model.measurement import SECRET, UNREADABLE, VOLATILE, WITHHELD, Gap, Subtype
from eidos.redact.harmless_forms import is_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part, Readings

MEMINFO = "/proc/meminfo"
SWAPS = "/proc/swaps"
NODES = "/sys/devices/system/node"
HUGEPAGES = "/sys/kernel/mm/hugepages"
THP = "/sys/kernel/mm/transparent_hugepage"
EDAC = "/sys/devices/system/edac/mc"

#: NUMA nodes, memory controllers and DIMMs, swap devices, page sizes: of each at most so many.
COUNT_LIMIT = 1024

#: Size limit of /proc/meminfo and /proc/swaps in bytes.
SWAPS_LIMIT = 1 << 16

#: Field of /proc/meminfo → key of a volatile reading, in KiB.
VOLATILE_MEMINFO = {"MemAvailable": "available-kib", "SwapFree": "swap-free-kib"}

#: File of a page size → key; the second ones are volatile.
HUGEPAGE_FILES = {"nr_hugepages": "total", "nr_overcommit_hugepages": "overcommit", "resv_hugepages": "reserved"}
VOLATILE_HUGEPAGE_FILES = {"free_hugepages": "free", "surplus_hugepages": "surplus"}

#: File of transparent huge pages → key.
THP_FILES = {
    "enabled": "thp.enabled",
    "defrag": "thp.defrag",
    "shmem_enabled": "thp.shmem-enabled",
    "khugepaged/defrag": "thp.khugepaged-defrag",
}


def parse_meminfo(text: str) -> dict[str, int]:
    """Field → number, as the file has them; of a node's file without "Node 0"."""
    fields: dict[str, int] = {}
    for line in text.splitlines():
        name, colon, value = line.rpartition(":")
        words = value.split()
        if colon and words and words[0].isdecimal() and len(words[0]) < 20:
            fields[name.split()[-1] if name.split() else ""] = int(words[0])
    return fields


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the readings, and a gap for each file that cannot be read."""
    memory = _Memory(Facts(sources, "memory"), sources.volatile)
    memory.facts.note_unmounted("/proc", "/sys")
    memory.read_meminfo()
    memory.read_hugepages(HUGEPAGES, "")
    memory.read_thp()
    memory.read_nodes()
    memory.read_swaps()
    memory.read_edac()
    if not memory.data and not memory.facts.gaps:
        memory.facts.require_folders(f"{MEMINFO} does not exist", "/proc", "/sys")
    yield from memory.facts.gaps
    yield from memory.withheld
    if memory.data:
        yield Subtype("memory", memory.data)
        if sources.volatile:
            yield Subtype("memory" + VOLATILE, memory.volatile)


class _Memory:
    """The readings so far."""

    def __init__(self, facts: Facts, with_volatile: bool) -> None:
        self.data: Readings = {}
        self.volatile: Readings = {}
        self.withheld: list[Gap] = []
        self.facts = facts
        self._with_volatile = with_volatile

    def read_meminfo(self) -> None:
        """The size of the memory, and how much is available."""
        text = None if self.facts.is_of_container(MEMINFO) else self.facts.line(MEMINFO, SWAPS_LIMIT)
        if text is None:
            return
        fields = parse_meminfo(text)
        if "MemTotal" in fields:
            self.data["total-kib"] = fields["MemTotal"]
        else:
            self.facts.gap(UNREADABLE, MEMINFO, "without MemTotal")
        if "Hugepagesize" in fields:
            self.data["hugepages.default-size-kib"] = fields["Hugepagesize"]
        self.volatile.update({key: fields[name] for name, key in VOLATILE_MEMINFO.items() if name in fields})

    def read_hugepages(self, path: str, prefix: str, only_allocated: bool = False) -> None:
        """The pool of each page size; of nodes without processors only those that have pages."""
        for name in self.facts.names(path)[:COUNT_LIMIT]:
            size = name.removeprefix("hugepages-")
            if size == name or not size.removesuffix("kB").isdecimal():
                continue
            keys_by_file = {**HUGEPAGE_FILES, **(VOLATILE_HUGEPAGE_FILES if self._with_volatile else {})}
            for file, key in keys_by_file.items():
                number = self.facts.number(f"{path}/{name}/{file}")
                if number or (number == 0 and not only_allocated):
                    into = self.volatile if file in VOLATILE_HUGEPAGE_FILES else self.data
                    into[f"{prefix}hugepages.{size}.{key}"] = number

    def read_thp(self) -> None:
        """How transparent huge pages are used."""
        for name, key in THP_FILES.items():
            text = self.facts.line(f"{THP}/{name}")
            if text is not None:
                self.data[key] = selected_word(text)

    def read_nodes(self) -> None:
        """Size and huge pages of each NUMA node."""
        for node in numbered(self.facts.names(NODES), "node")[:COUNT_LIMIT]:
            text = self.facts.line(f"{NODES}/node{node}/meminfo")
            total = parse_meminfo(text or "").get("MemTotal")
            if total is not None:
                self.data[f"numa.{node}.total-kib"] = total
            unread = self.facts.unread_count
            has_cpus = self.facts.line(f"{NODES}/node{node}/cpulist") != "" and self.facts.unread_count == unread
            self.read_hugepages(f"{NODES}/node{node}/hugepages", f"numa.{node}.", only_allocated=not has_cpus)

    def read_swaps(self) -> None:
        """The swap devices; a file's name is shown when it looks like a path."""
        text = None if self.facts.is_of_container(SWAPS) else self.facts.line(SWAPS, SWAPS_LIMIT)
        if text is None:
            return
        lines = [line.split() for line in text.splitlines()[1:] if line.strip()]
        self.data["swap.devices"] = len(lines)
        for number, words in enumerate(lines[:COUNT_LIMIT]):
            if len(words) != 5 or not words[2].isdecimal() or len(words[2]) > 18:
                self.facts.gap(UNREADABLE, SWAPS, f"line {number + 2}: not a swap device")
                continue
            name, kind, size, _, priority = words
            if not is_path(name):
                self.withheld.append(Gap(SECRET, f"swap.{number}.name", "a name that does not look like a path"))
                name = WITHHELD
            self.data.update(
                {
                    f"swap.{number}.name": name,
                    f"swap.{number}.type": kind,
                    f"swap.{number}.kib": int(size),
                    f"swap.{number}.priority": priority,
                }
            )

    def read_edac(self) -> None:
        """Memory controllers, their DIMMs, and their counts of corrected and uncorrected errors."""
        controllers = numbered(self.facts.names(EDAC), "mc")[:COUNT_LIMIT]
        if not controllers:
            return
        self.data["ecc.controllers"] = len(controllers)
        dimms: dict[str, int] = {}
        are_known = True
        for controller in controllers:
            path = f"{EDAC}/mc{controller}"
            name = self.facts.line(f"{path}/mc_name")
            if name is not None:
                self.data[f"ecc.mc{controller}"] = name
            for count in ("ce_count", "ue_count") if self._with_volatile else ():
                number = self.facts.number(f"{path}/{count}")
                if number is not None:
                    self.volatile[f"ecc.mc{controller}.{count.replace('_', '-')}"] = number
            for dimm in numbered(self.facts.names(path), "dimm")[:COUNT_LIMIT]:
                unread = self.facts.unread_count
                kind, size = self.facts.line(f"{path}/dimm{dimm}/dimm_mem_type"), self.facts.line(f"{path}/dimm{dimm}/size")
                are_known = are_known and self.facts.unread_count == unread
                if size != "0":
                    label = f"{kind or 'unknown type'}, {size or 'unknown'} MiB"
                    dimms[label] = dimms.get(label, 0) + 1
        if dimms and are_known:
            self.data["dimm.count"] = sum(dimms.values())
            self.data["dimm.kinds"] = "; ".join(f"{count} x {label}" for label, count in sorted(dimms.items()))
