"""Whether the next boot sets what is set now: parameters of the kernel, and sysctls.

Knows the readings of both and which of them change by design; must not know which value is right. Of sysctls only those are compared that
a file in /etc sets: packages set values that services change on purpose. What the boot loader adds by itself is left out.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement
from eidos.model.measurement import WITHHELD

_NEXT_LINE, _LINE, _NEXT_SYSCTL, _SYSCTL = "OS.boot-cmdline.", "OS.grub.", "OS.boot-sysctl.", "OS.sysctl."

#: Parameters that a boot loader or an image adds, or that name what is booted.
_LOADERS = ("BOOT_IMAGE", "root", "initrd", "ro", "rw", "quiet", "splash", "vt.handoff", "console", "resume", "ostree", "rootflags", "rhgb")

#: Beginnings of parameters that tune a node: one that runs and that the next boot does not set is lost.
_TUNING = (
    *(
        "amd_iommu",
        "default_hugepagesz",
        "hugepages",
        "init_on_alloc",
        "intel_iommu",
        "iommu",
        "isolcpus",
        "mitigations",
        "modprobe.blacklist",
    ),
    *(
        "nohz_full",
        "numa_balancing",
        "pci",
        "processor.max_cstate",
        "rcu_nocbs",
        "rd.driver.blacklist",
        "skew_tick",
        "transparent_hugepage",
    ),
)

#: Sysctls that the kubelet, container networks or crash handlers change while they run, or that have no single value.
_CHANGED = (
    *("/proc/sys/kernel/core_", "/proc/sys/kernel/panic", "/proc/sys/kernel/keys/", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic"),
    *(
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv4/conf/",
        "/proc/sys/net/ipv6/conf/",
        "/proc/sys/net/bridge/",
        "/proc/sys/fs/file-max",
    ),
    *("/proc/sys/net/netfilter/", "/proc/sys/kernel/printk", "/proc/sys/fs/suid_dumpable"),
)


def judge(context: RuleContext) -> RuleResult:
    """Fails with each that differs."""
    return _sysctls(context) if context.path.endswith("sysctl") else _parameters(context)


def _parameters(context: RuleContext) -> RuleResult:
    node = context.node
    following, gaps = read_instances(node, _NEXT_LINE, "", ("grub", "/loader/", "/Loader", "/EFI/Linux"))
    present = {path[len(_LINE) :]: node.readings[path] for path in node.paths(_LINE)}
    _, unread = read_each(node, [f"{_LINE}{name}" for name in following if following[name] != WITHHELD and present.get(name) != WITHHELD])
    gaps.update({path: why for path, why in unread.items() if "#" not in path and path[len(_LINE) :] not in _LOADERS})
    if gaps:
        return unknown_because(gaps)
    if not following:
        return RuleResult(not_applicable=node.absence(f"{_NEXT_LINE}*") or "the settings of the boot loader are unknown")
    evidence: dict[str, str] = {}
    different: dict[str, str] = {}
    for name in [*following, *(name for name in present if name not in following and name.partition("#")[0].startswith(_TUNING))]:
        if (
            "#" in name
            or name in _LOADERS
            or (name.startswith("rd.") and name not in _TUNING)
            or f"{name}#1" in present
            or WITHHELD in (present.get(name), following.get(name))
        ):
            continue
        pair = {f"{_NEXT_LINE}{name}": following.get(name, ""), f"{_LINE}{name}": present.get(name, "")}
        if present.get(name) != following.get(name):
            different.update(pair)
        else:
            evidence.update(pair)
    changes = {path[len(_LINE) :]: text for path, text in different.items() if path.startswith(_LINE)}
    actual = ", ".join(f"{name}={present.get(name, 'not set')} now, {following.get(name, 'not set')} next" for name in changes)
    if different:
        return RuleResult(Judgement(False, different), actual=actual)
    return RuleResult(Judgement(True, evidence)) if evidence else RuleResult(not_applicable="the next boot sets no parameter of interest")


def _sysctls(context: RuleContext) -> RuleResult:
    node = context.node
    paths = _administrators(context)
    following, gaps = read_instances(node, _NEXT_SYSCTL, "", ("sysctl",))
    names = [name for name in following if name in paths and "*" not in name and not name.startswith(_CHANGED)]
    present, unread = read_each(node, [f"{_SYSCTL}{name}" for name in names])
    pairs = {name: (following[name], present[f"{_SYSCTL}{name}"]) for name in names if f"{_SYSCTL}{name}" in present}
    different = [name for name, (after, now) in pairs.items() if after.split() != now.split()]
    evidence = {path: text for name in different or pairs for path, text in zip((_NEXT_SYSCTL + name, _SYSCTL + name), pairs[name])}
    if different:
        shown = ", ".join(
            f"{name[10:].replace('/', '.')} is {pairs[name][1]}, {paths[name]} sets {pairs[name][0]}" for name in different[:3]
        )
        # Most nodes of a fleet need none.
        from eidos.check.setting_remedies import live_sysctls

        remedy = live_sysctls({name.removeprefix("/proc/sys/"): pairs[name][0] for name in different}, node)
        return RuleResult(Judgement(False, evidence), actual=shown.replace("\t", " "), remedy=remedy)
    if gaps or unread:
        return unknown_because({**gaps, **unread}, evidence)
    return RuleResult(Judgement(True, evidence)) if evidence else RuleResult(not_applicable="no file in /etc sets a sysctl of interest")


def _administrators(context: RuleContext) -> dict[str, str]:
    """Sysctl → the file in /etc that sets it, as the context of the readings says."""
    paths: dict[str, str] = {}
    for measurement in context.node.snapshot.measurements:
        for subtype in measurement.subtypes:
            if f"{measurement.type}.{subtype.name}." == _NEXT_SYSCTL:
                paths = {key: text.removeprefix("set in ") for key, text in subtype.context.items() if text.startswith("set in /etc/")}
    return paths
