r"""What brings a setting of a node to the value that a recipe recommends or a check names.

Knows which facts of a node decide the form of a setting, how a form becomes the steps of a remedy, and how the value of now comes back;
must not know any recipe or check, what a value means, nor any form: :mod:`eidos.host_settings` does. A reading that cannot be set directly
and a system that is not known get no remedy: a wrong command is worse than none. A setting that a service does not allow is reported.

>>> from eidos.check.node_readings import NodeReadings
>>> from eidos.model.snapshot import Snapshot
>>> remedy = setting_remedy("OS.sysctl./proc/sys/vm/swappiness", "1", NodeReadings(Snapshot("", "", "")))
>>> [step.to_tree() for step in remedy.steps][0]
{'write': '/etc/sysctl.d/95-eidos-vm.swappiness.conf', 'content': 'vm.swappiness = 1\n'}
>>> [step.text for step in remedy.revert]
['rm /etc/sysctl.d/95-eidos-vm.swappiness.conf', 'sysctl --system']
"""

from __future__ import annotations

from eidos.host_settings.delivery import deliver
from eidos.host_settings.setting import BOOT, SYSCTL, SYSFS, UNIT_STATE, HostFacts, Setting, Unsettable, setting_of
from eidos.host_settings.system_files import dotted, sysfs_line
from eidos.model.finding import COSTS, DO, RUN, SET, SETTING, WRITE, Remedy, RemedyStep
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eidos.check.node_readings import NodeReadings
    from eidos.host_settings.setting import Delivery

#: The boot loader, the gap where it is not decided, and where the parameters of the next boot come from, by the collector of boot settings.
_BOOT_LOADER, _UNDECIDED, _BOOT_SOURCE = "OS.boot.boot-loader", "boot/boot-loader", "OS.boot.command-line-source"

#: Readings of what the GPU Operator installs → the value of its chart that decides them.
_CHART_VALUES = {"GPU.smi.driver": "driver.version"}

#: Boot parameters that are a list, of which a tool that replaces them must not lose the others.
_LISTS = ("pci",)

#: What systemctl(1) does to a unit that was in a state, for those in which it can have been.
_UNIT_VERBS = {"enabled": "enable", "disabled": "disable", "masked": "mask"}


def setting_remedy(path: str, value: str | None, node: NodeReadings) -> Remedy | None:
    """The remedy for a setting that should be ``value``; None without one."""
    host = host_facts(node)
    if value and path in _CHART_VALUES and host.driver_owner == "driver-container":
        return Remedy((RemedyStep(SET, f"gpu-operator:{_CHART_VALUES[path]}={value}"),), "drain", "driver-container")
    setting = None if value is None else setting_of(path, value)
    if setting is None:
        return None
    try:
        return _remedy_for(setting, path, node, host)
    except Unsettable as fault:
        if host.service not in ("aks", "gke") or setting.kind != BOOT:
            return None
        what = RemedyStep(DO, f"{fault}: accept the finding with a waiver, or run such nodes elsewhere")
        return Remedy((what,), owner="managed-service")


def with_forms(remedy: Remedy, node: NodeReadings) -> Remedy | None:
    """A check's remedy with the steps that its settings take on this node; None where one of them has no form there.

    What a person does comes last, and a command that several settings need runs once, after all files are written.
    """
    host = host_facts(node)
    steps: list[RemedyStep] = []
    last: list[RemedyStep] = []
    revert = list(remedy.revert)
    for step in remedy.steps:
        setting = setting_of(step.file, step.text) if step.kind == SETTING else None
        if setting is None:
            steps.append(step)
            continue
        try:
            part = _remedy_for(setting, step.file, node, host)
        except Unsettable:
            return None
        steps += (each for each in part.steps if each.kind != DO)
        last += (each for each in part.steps if each.kind == DO)
        revert = [*part.revert, *revert]
        remedy = replace(
            remedy,
            cost=max(remedy.cost, part.cost, key=COSTS.index),
            owner=part.owner if remedy.owner in ("", "host") else remedy.owner,
            is_reversible=remedy.is_reversible and part.is_reversible,
        )
    return replace(remedy, steps=_once([*steps, *last]), revert=_once(revert))


def _once(steps: Iterable[RemedyStep]) -> tuple[RemedyStep, ...]:
    """The steps without those that come again later."""
    return tuple(reversed(dict.fromkeys(reversed([*steps]))))


def _remedy_for(setting: Setting, path: str, node: NodeReadings, host: HostFacts) -> Remedy:
    """The steps of a setting on a host, and back to the value of now. Raises Unsettable."""
    delivery = deliver(setting, host)
    actual = node.readings.get(path)
    if delivery.form == "grubby" and setting.name in _LISTS:
        others = [node.readings[each] for each in (path, *node.paths(f"{path}#")) if each in node.readings]
        words = dict.fromkeys(word for text in (*others, setting.value) for word in text.split(","))
        delivery = deliver(replace(setting, value=",".join(words)), host)
        actual = ",".join(others)
    remedy = remedy_of(delivery, _old_value(setting, actual, node, host))
    if setting.kind == SYSFS and actual in (None, "mixed"):
        remedy = replace(remedy, is_reversible=False)
    if setting.kind == UNIT_STATE and actual == "masked" != setting.value:
        remedy = replace(remedy, steps=(RemedyStep(RUN, f"systemctl unmask {setting.name}"), *remedy.steps))
    later = _later_file(setting, path, delivery, node)
    return replace(remedy, steps=(*remedy.steps, RemedyStep(DO, later))) if later else remedy


def _later_file(setting: Setting, path: str, delivery: Delivery, node: NodeReadings) -> str:
    """What to do about a file that sets the same sysctl and is read after ours; "" where there is none."""
    if setting.kind != SYSCTL or delivery.form != "sysctl.d":
        return ""
    file = node.context(path.replace("OS.sysctl.", "OS.boot-sysctl.", 1)).removeprefix("set in ")
    own = delivery.files[0].path.rpartition("/")[2]
    if not file.startswith("/") or (file != "/etc/sysctl.conf" and file.rpartition("/")[2] <= own):
        return ""
    return f"remove {dotted(setting.name)} from {file}, which is read later"


def live_sysctls(values: Mapping[str, str], node: NodeReadings) -> Remedy | None:
    """What sets sysctls (name below /proc/sys → value) that files on the host set already; None where that cannot be written safely."""
    now = {name: node.readings.get(f"OS.sysctl./proc/sys/{name}") for name in values}
    run = [_live_value(Setting(SYSCTL, name), text) for name, text in values.items()]
    back = [_live_value(Setting(SYSCTL, name), text) for name, text in now.items()]
    if not all(run) or not all(back):
        return None
    steps, revert = (tuple(RemedyStep(RUN, command) for each in commands for command in each) for commands in (run, back))
    return Remedy(steps, "reload", "host", revert=revert)


def host_facts(node: NodeReadings) -> HostFacts:
    """The facts of a node that decide how settings reach it."""
    names = node.derived
    # The catalog does not have Pop!_OS, which has its own boot loader.
    system = "pop" if node.readings.get("OS.release.ID") == "pop" else names.get("query.os", "")
    return HostFacts(system, names.get("query.service", ""), _boot_loader(node), names.get("node.driver-owner", ""))


def _boot_loader(node: NodeReadings) -> str:
    """The boot loader as :class:`HostFacts` has it."""
    source = node.readings.get(_BOOT_SOURCE, "")
    loader = node.readings.get(_BOOT_LOADER, "grub" if source.startswith(("/boot/grub", "/etc/default/grub")) else "")
    if loader:
        return "bls" if loader == "grub" and source.startswith("/boot/loader/") else loader
    is_undecided = bool(source) or any(_UNDECIDED in outcome.unreadable for outcome in node.snapshot.collectors)
    return "unknown" if is_undecided else ""


def remedy_of(delivery: Delivery, live: tuple[str, ...] = ()) -> Remedy:
    """The steps of a delivery: files, commands, then what a person does. ``live`` are commands that give back the values of now."""
    steps = [RemedyStep(WRITE, file.text, file.path) for file in delivery.files]
    steps += [RemedyStep(RUN, command) for command in delivery.commands]
    steps += [RemedyStep(DO, delivery.instruction)] if delivery.instruction else []
    own = [file.path for file in delivery.files if file.path.startswith("/")]
    undone = [f"rm {path}" for path in own] + list(live or delivery.revert) if own or delivery.commands else []
    revert = tuple(RemedyStep(RUN, command) for command in undone)
    return Remedy(tuple(steps), delivery.cost, delivery.owner, delivery.is_reversible, revert)


def _old_value(setting: Setting, actual: str | None, node: NodeReadings, host: HostFacts) -> tuple[str, ...]:
    """What gives a setting the value back that it has now; () where the form's own way back does."""
    if setting.kind == UNIT_STATE:
        return _old_unit_state(setting, actual, node.readings.get(f"SystemD.{setting.name}.ActiveState"))
    if setting.kind == SYSFS and actual and actual != "mixed":
        try:
            return (f"systemd-tmpfiles --create --inline '{sysfs_line(replace(setting, value=actual))}'",)
        except Unsettable:
            return ()
    return _old_parameter(setting, actual, host) or _live_value(setting, actual)


def _old_unit_state(setting: Setting, state: str | None, active: str | None) -> tuple[str, ...]:
    """What brings a unit back to its state: a mask is taken away first, and what ran before runs again; () where that is not known."""
    verbs = ["unmask"] if setting.value == "masked" != state else []
    verbs += [_UNIT_VERBS[state]] if state in _UNIT_VERBS else []
    if active:
        verbs.append("start" if active == "active" and state != "masked" else "stop")
    return tuple(f"systemctl {verb} {setting.name}" for verb in verbs) if state else ()


def _old_parameter(setting: Setting, actual: str | None, host: HostFacts) -> tuple[str, ...]:
    """What gives a boot parameter the value back that a tool replaces (grubby), instead of removing it."""
    if setting.kind != BOOT or not actual or actual == setting.value:
        return ()
    try:
        delivery = deliver(Setting(BOOT, setting.name, actual), host)
    except Unsettable:
        return ()
    return delivery.commands if delivery.form == "grubby" else ()


def _live_value(setting: Setting, actual: str | None) -> tuple[str, ...]:
    """What gives a sysctl the value back that it has now; "" where that is not known, or could not be written safely."""
    if setting.kind != SYSCTL or not actual or not set(actual) <= set("0123456789 \t-abcdefghijklmnopqrstuvwxyz_"):
        return ()
    value = actual.replace("\t", " ")
    word = f"{dotted(setting.name)}={value}"
    return (f"sysctl -w '{word}'" if " " in word else f"sysctl -w {word}",)
