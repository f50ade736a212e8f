r"""A setting of a host, the facts that decide its form, and the form itself.

Knows the kinds of settings and which texts are safe in every form; must not know any form. What cannot be written safely is refused as
:class:`Unsettable`, with the reason as a phrase: no form guesses at quoting that its reader does not define.

>>> setting_of("OS.sysctl./proc/sys/vm/swappiness", "1")
Setting(kind='sysctl', name='vm/swappiness', value='1')
>>> setting_of("SystemD.containerd.service.LimitSTACKSoft", "67108864")
Setting(kind='unit', name='containerd.service.LimitSTACK', value='67108864')
>>> setting_of("SystemD.nvidia-imex.service.UnitFileState", "masked")
Setting(kind='unit-state', name='nvidia-imex.service', value='masked')
>>> setting_of("OS.boot-modprobe.options.nouveau.modeset", "0")
Setting(kind='module-option', name='nouveau.modeset', value='0')
>>> setting_of("GPU.smi.driver", "580.126.20") is None
True
"""

from __future__ import annotations

from eidos.model.record import Record

#: Kinds of settings, and what ``name`` is: the path below /proc/sys, the parameter, the module, ``module.option``, the item of limits.conf,
#: ``unit.Directive``, the path of a value of the chart.
SYSCTL, BOOT, MODULE, MODULE_OPTION, LIMIT, UNIT, CHART = "sysctl", "boot", "module", "module-option", "limit", "unit", "chart"

#: The module that is not to be loaded by itself; the unit, whose value is one of :data:`UNIT_STATES`; the path below /sys, which may have
#: ``*``; the key of CRI-O's runtime table; the key of the container toolkit, with its table.
BLACKLIST, UNIT_STATE, SYSFS, CRIO, TOOLKIT = "module-blacklist", "unit-state", "sysfs", "crio", "toolkit"
KINDS = (SYSCTL, BOOT, MODULE, MODULE_OPTION, LIMIT, UNIT, CHART, BLACKLIST, UNIT_STATE, SYSFS, CRIO, TOOLKIT)

#: What a unit file can be (systemctl(1), is-enabled): started at boot, not started at boot, not startable at all.
UNIT_STATES = ("enabled", "disabled", "masked")

#: How the names of our files begin: late in the order of these folders, and before 99-sysctl.conf, which is the administrator's own.
PREFIX = "95-eidos-"

#: How the names of files of modprobe.d begin: of several files that set one option, the last one wins, and most begin with a letter.
LAST_PREFIX = "zz-eidos-"

#: systemd reports infinity as the largest number of 64 bits (org.freedesktop.systemd1(5)).
_INFINITY = str((1 << 64) - 1)

#: Directives of a unit that its D-Bus properties name alike, and that a drop-in can set.
_LIMITS = tuple(f"Limit{name}" for name in ("STACK", "MEMLOCK", "NOFILE", "NPROC", "CORE", "AS", "DATA", "RTPRIO", "NICE"))

#: Readings that one key of a program's configuration, or one file of /sys, decides.
_READINGS = {
    "OS.cpu.governor": (SYSFS, "devices/system/cpu/cpu*/cpufreq/scaling_governor"),
    "OS.runtime.crio.cgroup-manager": (CRIO, "cgroup_manager"),
    "OS.runtime.nvidia.cli.no-cgroups": (TOOLKIT, "nvidia-container-cli.no-cgroups"),
    "OS.runtime.nvidia.accept-devices-when-unprivileged": (TOOLKIT, "accept-nvidia-visible-devices-envvar-when-unprivileged"),
    "OS.runtime.nvidia.accept-devices-as-volume-mounts": (TOOLKIT, "accept-nvidia-visible-devices-as-volume-mounts"),
}

_OPTIONS, _BLACKLIST = "options.", "blacklist."

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Unsettable(Exception):
    """There is no form for this setting on this host; the text is the reason, as a phrase."""


class Setting(Record):
    """One setting: ``kind`` (:data:`KINDS`), ``name``, and ``value``: "" for a boot parameter without one and for a module."""

    kind: str
    name: str
    value: str = ""


class HostFacts(Record):
    """What decides the form: system and service as in a query, boot loader, owner of the driver.

    ``boot_loader`` is grub, bls (GRUB with entries of the Boot Loader Specification), systemd-boot, unknown, or "" where nothing is read of
    it and that of the distribution is assumed; ``driver_owner`` is one of ``Remedy.owner``.
    """

    os: str = ""
    service: str = ""
    boot_loader: str = ""
    driver_owner: str = ""


class SettingFile(Record):
    """A file: absolute where it lies on the host, relative where it is a document that somebody applies."""

    path: str
    text: str


class Delivery(Record):
    """How settings reach a host.

    ``files`` are written first, then ``commands`` run, then a person does what ``instruction`` says. ``revert`` are the commands that take
    it back after the files are restored or removed; :attr:`cost` and ``owner`` are those of a remedy. ``is_reversible`` is false where
    only a new node has the old setting.
    """

    form: str
    files: tuple[SettingFile, ...] = ()
    commands: tuple[str, ...] = ()
    revert: tuple[str, ...] = ()
    instruction: str = ""
    cost: str = "reload"
    owner: str = "host"
    is_reversible: bool = True


def setting_of(path: str, value: str) -> Setting | None:
    """The setting behind the path of a reading; None for a reading that nobody sets directly."""
    kind, _, rest = path.partition(".")
    subtype, _, key = rest.partition(".")
    if kind == "SystemD":
        unit, _, directive = rest.rpartition(".")
        directive = directive.removesuffix("Soft") if directive.startswith("Limit") else directive
        if directive == "UnitFileState" and value in UNIT_STATES:
            return Setting(UNIT_STATE, unit, value)
        if directive not in _LIMITS:
            return None
        return Setting(UNIT, f"{unit}.{directive}", "infinity" if value == _INFINITY else value)
    if kind != "OS" or not key:
        return None
    if subtype == "sysctl" and key.startswith("/proc/sys/"):
        return Setting(SYSCTL, key[len("/proc/sys/") :], value)
    if subtype == "grub":
        return Setting(BOOT, key.partition("#")[0], value)
    if subtype == "kmod" and value == "true":
        return Setting(MODULE, key)
    if subtype == "boot-modprobe" and key.startswith(_OPTIONS) and "." in key[len(_OPTIONS) :]:
        return Setting(MODULE_OPTION, key[len(_OPTIONS) :], value)
    if subtype == "boot-modprobe" and key.startswith(_BLACKLIST) and value == "true":
        return Setting(BLACKLIST, key[len(_BLACKLIST) :])
    return Setting(*_READINGS[path], value) if path in _READINGS else None


def safe_name(text: str, what: str, extra: str = "") -> str:
    """The text of a name that stands unquoted in a file or a path."""
    if not text or not set(text) <= _NAME | set(extra) or text.startswith("-") or ".." in text:
        raise Unsettable(f"invalid name of a {what}: {text!r}")
    return text


def one_line(text: str, what: str) -> str:
    """A value that stands on one line of a file, with spaces for tabs; no character in it ends the line or continues it."""
    text = text.replace("\t", " ").strip(" ")
    if not text.isprintable() or text.endswith("\\"):
        raise Unsettable(f"the value of {what} does not fit on one line")
    return text


def file_word(name: str) -> str:
    """A name as part of the name of a file."""
    return name.replace("/", ".")
