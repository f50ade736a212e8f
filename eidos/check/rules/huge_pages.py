"""Whether the kernel has the huge pages that it was booted with: their size, and their number.

Knows that ``hugepages`` counts pages of the ``hugepagesz`` before it, or of the default size (Documentation/admin-guide/mm/hugetlbpage.rst);
must not know which size is good. A size that the processor or the kernel does not have is ignored at boot.

>>> requested_pages({"hugepagesz#1": "2M", "hugepages#2": "8", "hugepagesz#3": "1G", "hugepages#4": "0:1,1:1"})
[('hugepages#2', 2048, 8), ('hugepages#4', 1048576, 2)]
>>> requested_pages({"default_hugepagesz": "512M", "hugepages": "4"})
[('hugepages', 524288, 4)]
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition import Judgement

SIZE, COUNT, DEFAULT = "hugepagesz", "hugepages", "default_hugepagesz"
_GRUB, _POOL = "OS.grub.", "OS.memory.hugepages."
_UNITS = {"K": 1, "M": 1 << 10, "G": 1 << 20}


def judge(context: RuleContext) -> RuleResult:
    """Fails with each size that is not there, or each pool that is smaller; the path of the entry says which is judged."""
    node = context.node
    parameters = {path[len(_GRUB) :]: text for path, text in node.readings.items() if path.startswith(_GRUB)}
    parameters = {name: text for name, text in parameters.items() if name.partition("#")[0] in (SIZE, COUNT, DEFAULT)}
    _, unread = read_each(node, [f"{_GRUB}{name}" for name in parameters] or [f"{_GRUB}{SIZE}"])
    if unread:
        return unknown_because(unread)
    pools, gaps = read_instances(node, _POOL, "kB.total", ("hugepages",))
    sizes = {f"{_GRUB}{name}": text for name, text in parameters.items() if name.partition("#")[0] != COUNT}
    if context.path.endswith(SIZE):
        if not sizes:
            return RuleResult(not_applicable="no size of huge pages among the boot parameters")
        if not pools:
            return unknown_because(gaps or {f"{_POOL}*": "no huge pages were read"})
        missing = {path: text for path, text in sizes.items() if str(size_kib(text)) not in pools}
        return RuleResult(Judgement(not missing, missing or sizes), actual=", ".join(dict.fromkeys((missing or sizes).values())))
    wanted = requested_pages(parameters)
    if not wanted:
        return RuleResult(not_applicable="no number of huge pages among the boot parameters")
    pools.pop("*", None)
    evidence: dict[str, str] = {}
    fewer: dict[str, str] = {}
    default, unread = read_each(node, ["OS.memory.hugepages.default-size-kib"])
    for name, size, count in wanted:
        size = size or int(next(iter(default.values()), "0"))
        total = pools.get(str(size))
        if total is not None:
            pair = {f"{_GRUB}{name}": parameters[name], f"{_POOL}{size}kB.total": total}
            (evidence if int(total) >= count else fewer).update(pair)
    if fewer:
        shown = ", ".join(f"{text} of {path[len(_POOL) : -len('.total')]}" for path, text in fewer.items() if path.startswith(_POOL))
        return RuleResult(Judgement(False, fewer), actual=shown)
    if evidence and not gaps:
        return RuleResult(Judgement(True, evidence))
    return unknown_because(gaps, evidence) if gaps or not pools else RuleResult(not_applicable="the kernel has no pages of these sizes")


def size_kib(text: str) -> int:
    """A size as the kernel reads it, in KiB; 0 for what is none."""
    number, unit = text[:-1], text[-1:].upper()
    return int(number) * _UNITS[unit] if unit in _UNITS and number.isdecimal() and len(number) < 10 else 0


def requested_pages(parameters: dict[str, str]) -> list[tuple[str, int, int]]:
    """Parameter, size in KiB (0: the default) and number of each pool that is asked for, in the order of the command line."""

    def place(name: str) -> int:
        number = name.partition("#")[2]
        return int(number) if number.isdecimal() else 0

    ordered = sorted(parameters, key=lambda name: (place(name), name.partition("#")[0] == COUNT))
    # A name with a number repeats what the plain name has.
    ordered = [name for name in ordered if "#" in name or not any(each.startswith(f"{name}#") for each in parameters)]
    default = size = size_kib(parameters.get(DEFAULT, ""))
    pools = []
    for name in ordered:
        kind = name.partition("#")[0]
        if kind == SIZE:
            size = size_kib(parameters[name])
        elif kind == COUNT:
            words = [word.rpartition(":")[2] for word in parameters[name].split(",")]
            if all(word.isdecimal() and len(word) < 12 for word in words):
                pools.append((name, size, sum(map(int, words))))
            size = default
    return pools
