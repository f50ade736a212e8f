"""Whether the kernel has the huge pages that it was booted with: their size, and their number.

Knows that ``hugepages`` counts pages of the ``hugepagesz`` before it, or of the default size (the kernel's admin-guide/mm/hugetlbpage);
must not know which size is good. A size that the processor or the kernel does not have is ignored at boot.

>>> requested_pages({"hugepagesz#1": "2M", "hugepages#2": "8", "hugepagesz#3": "1G", "hugepages#4": "0:1,1:1"})
[('hugepages#2', 2048, 8), ('hugepages#4', 1048576, 2)]
>>> requested_pages({"default_hugepagesz": "512M", "hugepages": "4"})
[('hugepages', 524288, 4)]
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.check.node_readings import not_a_number
from eidos.model.condition_nodes import Judgement
from eidos.model.quantity import parse_count

SIZE, COUNT, DEFAULT = "hugepagesz", "hugepages", "default_hugepagesz"
_GRUB, _POOL = "OS.grub.", "OS.memory.hugepages."
_UNITS = {"K": 1, "M": 1 << 10, "G": 1 << 20}


def judge(context: RuleContext) -> RuleResult:
    """Fails with each size that is not there, or each pool that is smaller; the path of the entry says which is judged."""
    node = context.node
    all_parameters, unread = read_instances(node, _GRUB, "", ("cmdline",))
    parameters = {name: text for name, text in all_parameters.items() if name.partition("#")[0] in (SIZE, COUNT, DEFAULT)}
    kinds = (SIZE, DEFAULT) if context.path.endswith(SIZE) else (SIZE, COUNT, DEFAULT)
    unread = {path: why for path, why in unread.items() if path[len(_GRUB) :].partition("#")[0] in kinds or path[:1] == "/" or "*" in path}
    if unread:
        return unknown_because(unread)
    pools, gaps = read_instances(node, _POOL, "kB.total", ("hugepages",))
    stated = {f"{_GRUB}{name}": text for name, text in parameters.items()}
    if context.path.endswith(SIZE):
        return _judge_sizes({path: text for path, text in stated.items() if COUNT not in path.partition("#")[0].split(".")}, pools, gaps)
    reserved = requested_pages(parameters)
    if not reserved:
        return RuleResult(not_applicable="no number of huge pages among the boot parameters")
    default, unread = read_each(node, ["OS.memory.hugepages.default-size-kib"]) if not all(size for _, size, _ in reserved) else ({}, {})
    unread.update({path: not_a_number(text) for path, text in default.items() if parse_count(text) is None})
    if unread:
        return unknown_because(unread)
    evidence = {**stated, **default}
    fewer: list[str] = []
    for _, size, count in reserved:
        size = size or parse_count(next(iter(default.values()), "0")) or 0
        total = pools.get(str(size))
        if total is not None:
            path = f"{_POOL}{size}kB.total"
            evidence[path] = total
            number = parse_count(total)
            if number is None:
                gaps[path] = not_a_number(total)
            elif number < count:
                fewer.append(f"{total} of {count} pages of {size} KiB")
    if fewer:
        return RuleResult(Judgement(False, evidence), actual=", ".join(fewer))
    gaps = {
        path: why
        for path, why in gaps.items()
        if path[:1] == "/" or "*" in path or path in {f"{_POOL}{size}kB.total" for _, size, _ in reserved}
    }
    if gaps:
        return unknown_because(gaps, evidence)
    if not pools:
        return RuleResult(not_applicable=node.absence(f"{_POOL}*kB.total") or "the kernel has no huge pages")
    return RuleResult(
        Judgement(True, evidence), actual=", ".join(f"{count} pages of {size or 'default'} KiB" for _, size, count in reserved)
    )


def _judge_sizes(sizes: dict[str, str], pools: dict[str, str], gaps: dict[str, str]) -> RuleResult:
    if not sizes:
        return RuleResult(not_applicable="no size of huge pages among the boot parameters")
    missing = {path: text for path, text in sizes.items() if str(size_kib(text)) not in pools}
    if gaps or not pools:
        return unknown_because(gaps or {f"{_POOL}*": "no huge pages were read"}, sizes)
    evidence = {**sizes, **{f"{_POOL}{size}kB.total": total for size, total in pools.items()}}
    return RuleResult(Judgement(not missing, evidence), actual=", ".join(dict.fromkeys((missing or sizes).values())))


def size_kib(text: str) -> int:
    """A size as the kernel reads it, in KiB; 0 for what is none."""
    number, unit = text[:-1], text[-1:].upper()
    return int(number) * _UNITS[unit] if unit in _UNITS and number.isdecimal() and len(number) < 10 else 0


def requested_pages(parameters: dict[str, str]) -> list[tuple[str, int, int]]:
    """Parameter, size in KiB (0: the default) and number of each pool that is asked for, in the order of the command line."""

    def position(name: str) -> int:
        number = name.partition("#")[2]
        return parse_count(number) or 0

    ordered = sorted(parameters, key=lambda name: (position(name), name.partition("#")[0] == COUNT))
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
