r"""Limits of processes: those of sessions, the defaults of systemd, those that the container runtime and the kubelet run with, and cgroups.

Knows limits.conf(5), systemd-system.conf(5), /proc/PID/limits and cgroup2's files (Documentation/admin-guide/cgroup-v2); must not know
which limit a workload needs. Only what RDMA and containers depend on is read: locked memory, open files and stack::

    /etc/security/limits.d/mlx.conf   * soft memlock unlimited      session.*.soft.memlock: unlimited
    /etc/systemd/system.conf     DefaultLimitMEMLOCK=infinity       systemd.DefaultLimitMEMLOCK: infinity
    /proc/1234/limits (kubelet)  Max locked memory 65536 65536      process.kubelet.memlock: "65536"

The last line that sets a limit wins, and the context names its file.

>>> parse_limits("# x\n* soft memlock unlimited\n@gpu - nofile 1048576\nroot hard core 0\nwhat\n")
({('*', 'soft', 'memlock'): 'unlimited', ('@gpu', 'soft', 'nofile'): '1048576', ('@gpu', 'hard', 'nofile'): '1048576'}, [5])
"""

from __future__ import annotations

from eidos.collectors._sysfs import Facts
from eidos.errors import NotApplicable
from eidos.model.measurement import SECRET, UNREADABLE, VOLATILE, WITHHELD, Subtype
from eidos.redact.harmless_forms import is_harmless
from eidos.redact.random_words import is_wordy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

LIMITS = "/etc/security/limits.conf"
LIMITS_FOLDER = "/etc/security/limits.d"
SYSTEMD = ("/usr/lib/systemd", "/etc/systemd", "/run/systemd")
CGROUPS = "/sys/fs/cgroup"

#: Size limit of a file in bytes, and files of one folder, at most.
FILE_LIMIT, FILES_LIMIT = 1 << 18, 256

#: Items of limits.conf, and options of systemd.
ITEMS = ("memlock", "nofile", "stack")
SYSTEMD_OPTIONS = ("DefaultLimitMEMLOCK", "DefaultLimitNOFILE", "DefaultLimitSTACK", "DefaultTasksMax", "DefaultLimitNPROC")

#: Units whose main process is looked at, and lines of /proc/PID/limits → key.
UNITS = ("containerd", "crio", "docker", "kubelet")
PROCESS_LIMITS = {"Max locked memory": "memlock", "Max open files": "nofile", "Max stack size": "stack"}

Limits = dict[tuple[str, str, str], str]


def parse_limits(text: str) -> tuple[Limits, list[int]]:
    """(domain, soft or hard, item) → value, and the numbers of malformed lines."""
    limits: Limits = {}
    malformed: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if len(words) == 4 and words[1] in ("soft", "hard", "-"):
            for kind in ("soft", "hard") if words[1] == "-" else (words[1],):
                if words[2] in ITEMS:
                    limits[words[0], kind, words[2]] = words[3]
        elif words and not (len(words) == 2 and words[1] == "-"):
            malformed.append(number)
    return limits, malformed


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the limits, and a gap for each file that cannot be read."""
    facts = Facts(sources, "limits")
    context: dict[str, str] = {}
    facts.note_unmounted("/etc", "/sys")
    _read_sessions(facts, context)
    _read_systemd(facts, context)
    is_host = _read_cgroups(facts)
    _read_processes(facts, sources, is_host)
    if not facts.data and not facts.gaps:
        raise NotApplicable(f"neither {LIMITS} nor {CGROUPS} exists")
    for part in facts.parts():
        yield Subtype(part.name, part.data, context) if isinstance(part, Subtype) and not part.name.endswith(VOLATILE) else part


def _put(facts: Facts, key: str, value: str, path: str, context: dict[str, str]) -> None:
    if not is_harmless(value) and not is_wordy(value):
        facts.gap(SECRET, key, "not a limit")
        value = WITHHELD
    facts.put(key, value)
    if value:
        context[key] = f"set in {path}"


def _read_sessions(facts: Facts, context: dict[str, str]) -> None:
    for path in [LIMITS, *(f"{LIMITS_FOLDER}/{name}" for name in facts.names(LIMITS_FOLDER) if name.endswith(".conf"))][:FILES_LIMIT]:
        limits, malformed = parse_limits(facts.line(path, FILE_LIMIT) or "")
        if malformed:
            facts.gap(UNREADABLE, path, f"line {malformed[0]}: not a limit")
        for (domain, kind, item), value in limits.items():
            name = domain if is_wordy(domain.strip("@%*")) or domain == "*" else WITHHELD
            _put(facts, f"session.{name}.{kind}.{item}", value, path, context)


def _read_systemd(facts: Facts, context: dict[str, str]) -> None:
    paths = [f"{SYSTEMD[0]}/system.conf", f"{SYSTEMD[1]}/system.conf"]
    drop_ins: dict[str, str] = {}
    for folder in (SYSTEMD[0], SYSTEMD[2], SYSTEMD[1]):
        for name in facts.names(f"{folder}/system.conf.d")[:FILES_LIMIT]:
            if name.endswith(".conf"):
                drop_ins[name] = f"{folder}/system.conf.d/{name}"
    for path in [*paths, *(drop_ins[name] for name in sorted(drop_ins))]:
        for line in (facts.line(path, FILE_LIMIT) or "").splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and name.rstrip() in SYSTEMD_OPTIONS:
                _put(facts, f"systemd.{name.rstrip()}", value.strip(), path, context)


def _read_cgroups(facts: Facts) -> bool:
    """The version of cgroups and its controllers; whether what is there is the host's."""
    controllers = facts.line(f"{CGROUPS}/cgroup.controllers")
    if controllers is None:
        if facts.exists(f"{CGROUPS}/memory") or facts.exists(f"{CGROUPS}/cpu"):
            facts.put("cgroup.version", 1)
        return True
    facts.put("cgroup.version", 2)
    if facts.exists(f"{CGROUPS}/cgroup.type"):  # the root of the hierarchy has none
        facts.gap(UNREADABLE, f"{CGROUPS}/cgroup.controllers", "shows this container's cgroup instead of the host's; mount the host's /sys")
        return False
    facts.put("cgroup.controllers", controllers)
    facts.put("cgroup.subtree-control", facts.line(f"{CGROUPS}/cgroup.subtree_control"))
    return True


def _read_processes(facts: Facts, sources: Sources, is_host: bool) -> None:
    right = sources.host.foreign_namespaces().get("pid")
    for unit in UNITS if is_host else ():
        path = next(
            (p for p in (f"{CGROUPS}/{top}system.slice/{unit}.service/cgroup.procs" for top in ("", "systemd/")) if facts.exists(p)), ""
        )
        pid = (facts.line(path, FILE_LIMIT) or "").partition("\n")[0] if path else ""
        if right and path:
            facts.gap(UNREADABLE, f"process.{unit}", f"numbers of processes are those of this container; needs {right}")
        elif pid.isdecimal() and pid != "0":
            for line in (facts.line(f"/proc/{pid}/limits") or "").splitlines():
                words = line[26:].split()
                key = PROCESS_LIMITS.get(line[:26].rstrip())
                if key and len(words) >= 2:
                    facts.put(f"process.{unit}.{key}", words[0])
                    facts.put(f"process.{unit}.{key}-hard", words[1] if words[1] != words[0] else None)
