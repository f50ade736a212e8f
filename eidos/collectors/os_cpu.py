r"""Processors: model, topology, NUMA nodes, frequency scaling, idle states, isolation, microcode, vulnerabilities.

Knows the files of /sys/devices/system/cpu and of /proc/cpuinfo (the kernel's Documentation/ABI/testing/sysfs-devices-system-cpu,
admin-guide/cputopology, admin-guide/pm/cpufreq and cpuidle); must not know what is good for a machine. What every processor has for itself
is one reading while all agree; else the reading is ``mixed``, and one reading for each value lists its processors::

    cpu0/cpufreq/scaling_governor  performance     governor: mixed
    cpu1/cpufreq/scaling_governor  powersave       governor.performance: "0"
                                                   governor.powersave: "1"

>>> format_cpu_list([0, 1, 2, 5, 7, 8]), parse_cpu_list("0-2,5,7-8")
('0-2,5,7-8', [0, 1, 2, 5, 7, 8])
"""

from __future__ import annotations

import os

from eidos.collectors._sysfs import Facts, numbered
from eidos.model.measurement import UNREADABLE, Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.collectors import Sources
    from eidos.files.host import Directory
    from eidos.model.measurement import Part, Readings

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"
CPUINFO = "/proc/cpuinfo"

#: Size limit of /proc/cpuinfo in bytes: a processor with many flags has 3,000.
CPUINFO_LIMIT = 8 << 20

#: Processors of one list, at most (CONFIG_NR_CPUS is at most 8192).
CPU_LIMIT = 8192

#: NUMA nodes and vulnerabilities, at most.
NODE_LIMIT, VULNERABILITY_LIMIT = 1024, 100

#: File of :data:`CPUS` → key; the text is the reading.
TEXTS = {
    "online": "online",
    "offline": "offline",
    "isolated": "isolated",
    "nohz_full": "nohz-full",
    "smt/control": "smt",
    "cpuidle/current_driver": "idle.driver",
    "cpuidle/current_governor": "idle.governor",
    "cpuidle/current_governor_ro": "idle.governor",
    "cpufreq/boost": "boost",
    "intel_pstate/status": "intel-pstate.status",
    "intel_pstate/no_turbo": "intel-pstate.no-turbo",
    "amd_pstate/status": "amd-pstate.status",
}

#: File of a frequency policy → key.
POLICY_FILES = {
    "scaling_governor": "governor",
    "energy_performance_preference": "energy-performance-preference",
}

#: Names of Arm's processors, by implementer and part number (util-linux, sys-utils/lscpu-arm.c).
ARM_MODELS = {
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd84"): "Neoverse-V3",
    ("0x41", "0xd8e"): "Neoverse-N3",
}

#: Fields of /proc/cpuinfo that are readings, and their keys.
CPUINFO_FIELDS = {
    "model name": "model",
    "vendor_id": "vendor",
    "cpu family": "family",
    "model": "model-number",
    "stepping": "stepping",
    "microcode": "microcode",
}


def parse_cpu_list(text: str) -> list[int]:
    """The numbers in a list of ranges; ValueError if it is none, or longer than :data:`CPU_LIMIT`."""
    cpus: list[int] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        begin, end = int(first), int(last or first)
        if not 0 <= begin <= end < CPU_LIMIT or len(cpus) > CPU_LIMIT:
            raise ValueError(text)
        cpus.extend(range(begin, end + 1))
    return cpus


def format_cpu_list(cpus: Iterable[int]) -> str:
    """Numbers in ascending order as a list of ranges."""
    ranges: list[list[int]] = []
    for cpu in cpus:
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def summarize(key: str, values: dict[int, str]) -> Readings:
    """One reading of what each processor has for itself, or one for each value.

    >>> summarize("governor", {0: "performance", 1: "performance"}), summarize("governor", {0: "a", 1: "b", 2: "a"})
    ({'governor': 'performance'}, {'governor': 'mixed', 'governor.a': '0,2', 'governor.b': '1'})
    """
    cpus: dict[str, list[int]] = {}
    for cpu in sorted(values):
        cpus.setdefault(values[cpu], []).append(cpu)
    if len(cpus) == 1:
        return {key: next(iter(cpus))}
    return {key: "mixed", **{f"{key}.{value}": format_cpu_list(own) for value, own in sorted(cpus.items())}} if cpus else {}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the readings, and a gap for each file that cannot be read."""
    facts = Facts(sources, "cpu")
    facts.note_unmounted("/proc", "/sys")
    data: Readings = dict(_cpuinfo(facts))
    folder = facts.open_folder(CPUS)
    if folder is not None:
        with folder:
            data.update(_texts(facts))
            online = _online(facts, data)
            data.update(_topology(facts, folder, online))
            data.update(_policies(facts, folder, online))
            data.update(_idle_states(facts, online[0] if online else 0))
            data.update(_vulnerabilities(facts, folder))
    data.update(_numa(facts))
    if data and sources.host.is_running_system:
        data["page-size"] = os.sysconf("SC_PAGE_SIZE")
    if not data and not facts.gaps:
        facts.require_folders(f"neither {CPUS} nor {CPUINFO} exists", "/proc", "/sys")
    yield from facts.gaps
    if data:
        of_one = "of one processor" if "idle.states" in data else ""
        yield Subtype("cpu", data, {key: of_one for key in ("idle.states", "idle.disabled") if of_one})


def parse_cpuinfo(text: str) -> Readings:
    r"""The readings of /proc/cpuinfo.

    >>> parse_cpuinfo("processor\t: 0\nmodel name\t: X\nmicrocode\t: 0x1\n\nprocessor\t: 1\nmodel name\t: X\nmicrocode\t: 0x2\n")
    {'model': 'X', 'microcode': 'mixed', 'microcode.0x1': '0', 'microcode.0x2': '1'}
    """
    by_key: dict[str, dict[int, str]] = {}
    arm: dict[str, dict[int, str]] = {"CPU implementer": {}, "CPU part": {}}
    cpu = -1
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        name, value = name.rstrip(), value.strip()
        if name == "processor" and value.isdecimal() and len(value) < 6:
            cpu = int(value)
        elif colon and cpu >= 0 and name in CPUINFO_FIELDS:
            by_key.setdefault(CPUINFO_FIELDS[name], {})[cpu] = value
        elif colon and cpu >= 0 and name in arm:
            arm[name][cpu] = value
    parts = {(arm["CPU implementer"].get(cpu, ""), part) for cpu, part in arm["CPU part"].items()}
    if "model" not in by_key and len(parts) == 1:
        implementer, part = parts.pop()
        by_key["model"] = {0: ARM_MODELS.get((implementer, part), f"implementer {implementer}, part {part}")}
    return {each: value for key, values in by_key.items() for each, value in summarize(key, values).items()}


def _cpuinfo(facts: Facts) -> Readings:
    return {} if facts.is_of_container(CPUINFO) else parse_cpuinfo(facts.line(CPUINFO, CPUINFO_LIMIT) or "")


def _texts(facts: Facts) -> Iterator[tuple[str, str]]:
    for name, key in TEXTS.items():
        if name == "online" and facts.is_of_container(f"{CPUS}/{name}"):
            continue
        text = facts.line(f"{CPUS}/{name}")
        if text is not None and (text or key != "offline"):
            yield key, "" if text == "(null)" else text


def _cpu_list(facts: Facts, path: str, text: str | None) -> list[int]:
    try:
        return parse_cpu_list(text or "")
    except ValueError:
        facts.gap(UNREADABLE, path, "not a list of processors")
        return []


def _online(facts: Facts, data: Readings) -> list[int]:
    cpus = _cpu_list(facts, f"{CPUS}/online", str(data.get("online", "")))
    if cpus:
        data["threads"] = len(cpus)
    return cpus


def _topology(facts: Facts, folder: Directory, online: list[int]) -> Iterator[tuple[str, int]]:
    """Sockets and cores: each is looked up once, at its first processor."""
    for key, names in (("sockets", ("package_cpus_list", "core_siblings_list")), ("cores", ("core_cpus_list", "thread_siblings_list"))):
        left, count = set(online), 0
        unread = facts.unread_count
        for cpu in online:
            if cpu not in left:
                continue
            below = facts.open_folder(f"cpu{cpu}/topology", inside=folder)
            if below is None:
                return
            with below:
                texts = facts.lines(below, names[:1]) or facts.lines(below, names[1:])
            for name, text in texts.items():
                left.difference_update(_cpu_list(facts, f"{CPUS}/cpu{cpu}/topology/{name}", text))
            left.discard(cpu)
            count += 1
        if count and facts.unread_count == unread:
            yield key, count


def _policies(facts: Facts, folder: Directory, online: list[int]) -> Readings:
    """Governors and preferences of the frequency policies; a policy is of one processor unless there are fewer than processors."""
    below = facts.open_folder("cpufreq", inside=folder)
    if below is None:
        return {}
    values: dict[str, dict[int, str]] = {}
    data: Readings = {}
    unknown: set[str] = set()
    with below:
        policies = numbered(below.list_names(), "policy")[:CPU_LIMIT]
        names = [*POLICY_FILES, "scaling_driver"]
        for policy in policies:
            unread = facts.unread_count
            policy_folder = facts.open_folder(f"policy{policy}", inside=below)
            if policy_folder is None:
                unknown.update(POLICY_FILES.values() if facts.unread_count > unread else ())
                continue
            with policy_folder:
                file_names = names if len(policies) == len(online) else [*names, "affected_cpus"]
                texts = facts.lines(policy_folder, file_names)
                cpus = [policy]
                if "affected_cpus" in texts:
                    list_path = f"{policy_folder.path}/affected_cpus"
                    cpus = _cpu_list(facts, list_path, ",".join(texts["affected_cpus"].split()))
                if facts.unread_count > unread:
                    has_cpus = file_names is names or "affected_cpus" in texts
                    unknown.update(key for name, key in POLICY_FILES.items() if not (has_cpus and name in texts))
            if "scaling_driver" in names:  # the kernel has one driver at a time
                data.update({"scaling-driver": texts["scaling_driver"]} if "scaling_driver" in texts else {})
                names = [name for name in POLICY_FILES if name in texts or name == "scaling_governor"]
            for name, key in POLICY_FILES.items():
                if name in texts:
                    values.setdefault(key, {}).update(dict.fromkeys(cpus, texts[name]))
    for key, own in values.items():
        data.update({} if key in unknown else summarize(key, own))
    return data


def _idle_states(facts: Facts, cpu: int) -> Iterator[tuple[str, str]]:
    """The idle states of one processor, and which of them are disabled."""
    path = f"{CPUS}/cpu{cpu}/cpuidle"
    states = numbered(facts.names(path), "state")
    unread = facts.unread_count
    names = [(facts.line(f"{path}/state{state}/name") or f"state{state}", facts.line(f"{path}/state{state}/disable")) for state in states]
    if names and facts.unread_count == unread:
        yield "idle.states", " ".join(name for name, _ in names)
        if all(disabled for _, disabled in names):  # else it is not known of each
            yield "idle.disabled", " ".join(name for name, disabled in names if disabled != "0")


def _vulnerabilities(facts: Facts, folder: Directory) -> Iterator[tuple[str, str]]:
    below = facts.open_folder("vulnerabilities", inside=folder)
    if below is not None:
        with below:
            for name, text in facts.lines(below, sorted(below.list_names())[:VULNERABILITY_LIMIT]).items():
                yield f"vulnerability.{name}", text


def _numa(facts: Facts) -> Iterator[tuple[str, str | int]]:
    """The nodes that have processors, with their distances; GPUs of Grace Hopper and Grace Blackwell are nodes with memory alone."""
    folder = facts.open_folder(NODES)
    if folder is None:
        return
    with folder:
        nodes = numbered(folder.list_names(), "node")[:NODE_LIMIT]
        without, unread = 0, facts.unread_count
        for node in nodes:
            below = facts.open_folder(f"node{node}", inside=folder)
            if below is None:
                continue
            with below:
                texts = facts.lines(below, ("cpulist", "distance"))
            if "cpulist" not in texts:
                continue
            if not texts["cpulist"]:
                without += 1
                continue
            for name, key in (("cpulist", "cpus"), ("distance", "distances")):
                if name in texts:
                    yield f"numa.{node}.{key}", texts[name]
    yield "numa.nodes", len(nodes)
    if facts.unread_count == unread:
        yield "numa.nodes-without-cpus", without
