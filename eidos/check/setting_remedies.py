r"""What brings a setting of a node to the value that the recipe recommends.

Knows which facts of a node decide the form of a setting, and how a form becomes the steps of a remedy; must not know any recipe, what a
value means, nor any form: :mod:`eidos.host_settings` does. A reading that cannot be set directly and a system that is not known get no
remedy: a wrong command is worse than none. A setting that a service does not allow is reported.

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
from eidos.host_settings.setting import BOOT, SYSCTL, HostFacts, Setting, Unsettable, setting_of
from eidos.host_settings.system_files import dotted
from eidos.model.finding import DO, RUN, SET, WRITE, Remedy, RemedyStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.check.node_readings import NodeReadings
    from eidos.host_settings.setting import Delivery

#: Where the parameters of the next boot come from, by the collector of boot settings.
_BOOT_SOURCE = "OS.boot.command-line-source"

#: Readings of what the GPU Operator installs → the value of its chart that decides them.
_CHART_VALUES = {"GPU.smi.driver": "driver.version"}


def setting_remedy(path: str, value: str | None, node: NodeReadings) -> Remedy | None:
    """The remedy for a setting that should be ``value``; None without one."""
    host = host_facts(node)
    if value and path in _CHART_VALUES and host.driver_owner == "driver-container":
        return Remedy((RemedyStep(SET, f"gpu-operator:{_CHART_VALUES[path]}={value}"),), "drain", "driver-container")
    setting = None if value is None else setting_of(path, value)
    if setting is None:
        return None
    try:
        delivery = deliver(setting, host)
    except Unsettable as fault:
        if host.service not in ("aks", "gke") or setting.kind != BOOT:
            return None
        what = RemedyStep(DO, f"{fault}: accept the finding with a waiver, or run such nodes elsewhere")
        return Remedy((what,), owner="managed-service")
    actual = node.readings.get(path)
    return remedy_of(delivery, _old_parameter(setting, actual, host) or _live_values(setting, actual))


def host_facts(node: NodeReadings) -> HostFacts:
    """The facts of a node that decide how settings reach it."""
    names = node.derived
    # The catalog does not have Pop!_OS, which has its own boot loader.
    system = "pop" if node.readings.get("OS.release.ID") == "pop" else names.get("query.os", "")
    source = node.readings.get(_BOOT_SOURCE, "")
    loader = "" if not source else "grub" if "grub" in source else "bls"
    return HostFacts(system, names.get("query.osv", ""), names.get("query.service", ""), loader, names.get("node.driver-owner", ""))


def remedy_of(delivery: Delivery, live: tuple[str, ...] = ()) -> Remedy:
    """The steps of a delivery: files, commands, then what a person does. ``live`` are commands that give back the values of now."""
    steps = [RemedyStep(WRITE, file.text, file.path) for file in delivery.files]
    steps += [RemedyStep(RUN, command) for command in delivery.commands]
    steps += [RemedyStep(DO, delivery.instruction)] if delivery.instruction else []
    own = [file.path for file in delivery.files if file.path.startswith("/")]
    undone = [f"rm {path}" for path in own] + list(live or delivery.revert) if own or delivery.commands else []
    revert = tuple(RemedyStep(RUN, command) for command in undone)
    return Remedy(tuple(steps), delivery.cost, delivery.owner, delivery.is_reversible, revert)


def _old_parameter(setting: Setting, actual: str | None, host: HostFacts) -> tuple[str, ...]:
    """What gives a boot parameter the value back that a tool replaces (grubby), instead of removing it."""
    if setting.kind != BOOT or not actual or actual == setting.value:
        return ()
    try:
        delivery = deliver(Setting(BOOT, setting.name, actual), host)
    except Unsettable:
        return ()
    return delivery.commands if delivery.form == "grubby" else ()


def _live_values(setting: Setting, actual: str | None) -> tuple[str, ...]:
    """What gives a sysctl the value back that it has now; "" where that is not known, or could not be written safely."""
    if setting.kind != SYSCTL or not actual or not set(actual) <= set("0123456789 \t-abcdefghijklmnopqrstuvwxyz_"):
        return ()
    value = actual.replace("\t", " ")
    word = f"{dotted(setting.name)}={value}"
    return (f"sysctl -w '{word}'" if " " in word else f"sysctl -w {word}",)
