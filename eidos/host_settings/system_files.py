r"""Settings in files that a system reads at boot, and of services: sysctls, modules, limits, units, files of /sys, CRI-O, the toolkit.

Knows sysctl.d(5), modprobe.d(5), modules-load.d(5), limits.conf(5), drop-ins of systemd.unit(5), systemctl(1), tmpfiles.d(5), drop-ins of
CRI-O, the container toolkit's own tool and what Bottlerocket calls its switches; must not know when a system has none of these. Each
setting has a file of its own, so that each can be taken back alone; :func:`folder_files` has all settings of a folder in one file, for who
brings them all.

Sources: systemd 257, sysctl.d(5) (dots or slashes separate; a name that has a dot itself is written with slashes), modules-load.d(5),
systemd.unit(5) (drop-ins, ``%`` begins a specifier), systemd.exec(5) (Limit… set both the soft and the hard limit), systemctl(1) (enable,
disable and mask with ``--now``), tmpfiles.d(5) (``w`` writes to files that exist, with patterns of the shell); kmod, modprobe.d(5) (a value
with spaces is quoted by double quotes, which the kernel removes; options of several files are joined in the order of the files' names, and
the kernel takes the last); Linux-PAM, limits.conf(5); CRI-O, crio.conf.d(5); Kubernetes, container runtimes (conmon_cgroup of CRI-O is pod
with the driver cgroupfs); NVIDIA Container Toolkit, installation (``nvidia-ctk config --set … --in-place``); Bottlerocket,
settings.nvidia-container-runtime.

>>> host = HostFacts("ubuntu")
>>> sysctl(Setting(SYSCTL, "vm/swappiness", "1"), host).files[0]
SettingFile(path='/etc/sysctl.d/95-eidos-vm.swappiness.conf', text='vm.swappiness = 1\n')
>>> unit(Setting(UNIT, "containerd.service.LimitSTACK", "67108864"), host).files[0].text
'[Service]\nLimitSTACK=67108864\n'
>>> unit_state(Setting("unit-state", "nvidia-imex.service", "masked"), host).commands
('systemctl mask --now nvidia-imex.service',)
"""

from __future__ import annotations

from eidos.host_settings.setting import (
    BLACKLIST,
    CRIO,
    LAST_PREFIX,
    LIMIT,
    MODULE,
    MODULE_OPTION,
    PREFIX,
    SYSCTL,
    SYSFS,
    TOOLKIT,
    UNIT,
    UNIT_STATE,
    UNIT_STATES,
    Delivery,
    HostFacts,
    Setting,
    SettingFile,
    Unsettable,
    file_word,
    one_line,
    safe_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Callable

#: The name of a file with all settings of its folder, without its ending: before those of one setting each, which a person chose.
FOLDER_FILE, LAST_FILE = "90-eidos", f"{LAST_PREFIX}all"

_SERVICE = "[Service]\n"

#: How files of one table begin: the second setting does not begin it again.
_HEADS = (_SERVICE, "[crio.runtime]\n")

#: Verb of systemctl for each state of :data:`UNIT_STATES`, and what takes it back where nothing says how the unit was.
_VERBS = {"enabled": ("enable --now", "disable --now"), "disabled": ("disable --now", "enable --now"), "masked": ("mask --now", "unmask")}

_OPPOSITES = {"true": "false", "false": "true"}

#: Keys of the container toolkit → what Bottlerocket calls them.
_BOTTLEROCKET = {
    "accept-nvidia-visible-devices-envvar-when-unprivileged": "visible-devices-envvar-when-unprivileged",
    "accept-nvidia-visible-devices-as-volume-mounts": "visible-devices-as-volume-mounts",
}


def sysctl_line(setting: Setting) -> str:
    """The line of sysctl.d(5); a list of numbers is separated by spaces.

    >>> sysctl_line(Setting(SYSCTL, "net/ipv4/conf/eth0.100/rp_filter", "2"))
    'net/ipv4/conf/eth0.100/rp_filter = 2'
    """
    name = safe_name(setting.name, "sysctl", "/:@")
    value = one_line(setting.value, f"the sysctl {name}")
    if not value:
        raise Unsettable(f"the sysctl {name} has an empty value")
    return f"{dotted(name)} = {value}"


def dotted(name: str) -> str:
    """The name of a sysctl with dots, but for one that has a dot itself."""
    return name if "." in name else name.replace("/", ".")


def sysctl(setting: Setting, host: HostFacts) -> Delivery:
    """A file of sysctl.d, loaded at once. Taken back, the old value is that of the other files, where one of them has it."""
    line = sysctl_line(setting)
    path = f"/etc/sysctl.d/{PREFIX}{file_word(setting.name)}.conf"
    return Delivery("sysctl.d", (SettingFile(path, f"{line}\n"),), (f"sysctl -p {path}",), ("sysctl --system",))


def module(setting: Setting, host: HostFacts) -> Delivery:
    """A file of modules-load.d, and the module loaded at once."""
    name = safe_name(setting.name, "module")
    file = SettingFile(f"/etc/modules-load.d/{PREFIX}{name}.conf", f"{name}\n")
    return Delivery("modules-load.d", (file,), (f"modprobe {name}",), (f"modprobe -r {name}",))


def module_option(setting: Setting, host: HostFacts) -> Delivery:
    r"""A file of modprobe.d, and a new initramfs, since modules are loaded from there too; the option holds from the next boot on.

    >>> module_option(Setting(MODULE_OPTION, "nvidia.NVreg_RegistryDwords", "a=1; b=2"), HostFacts("ubuntu")).files[0].text
    'options nvidia NVreg_RegistryDwords="a=1; b=2"\n'
    """
    name, _, option = setting.name.partition(".")
    safe_name(name, "module"), safe_name(option, "module option")
    value = one_line(setting.value, setting.name)
    if not set(value).isdisjoint("\"\\'"):
        raise Unsettable(f"the value of {setting.name} has a quote or a backslash")
    if not value or not set(value).isdisjoint(" #"):
        value = f'"{value}"'
    return _modprobe(f"{name}-{option}", f"options {name} {option}={value}\n", host)


def blacklist(setting: Setting, host: HostFacts) -> Delivery:
    """A file of modprobe.d that keeps a module from being loaded for its devices, and a new initramfs; it holds from the next boot on."""
    name = safe_name(setting.name, "module")
    return _modprobe(f"blacklist-{name}", f"blacklist {name}\n", host)


def _modprobe(word: str, text: str, host: HostFacts) -> Delivery:
    file = SettingFile(f"/etc/modprobe.d/{LAST_PREFIX}{word}.conf", text)
    commands = _INITRAMFS.get(host.os, ())
    return Delivery("modprobe.d", (file,), commands, commands, "drain the node and reboot it", "reboot")


#: What rebuilds the initial RAM disk: update-initramfs(8) of Debian, dracut(8) of the others.
_INITRAMFS = {
    **dict.fromkeys(("ubuntu", "debian", "pop"), ("update-initramfs -u",)),
    **dict.fromkeys(("rhel", "rocky", "oraclelinux", "amazonlinux", "sles", "azurelinux"), ("dracut --force",)),
}


def limit(setting: Setting, host: HostFacts) -> Delivery:
    """A file of limits.d for all users but root, for which ``*`` does not stand, and for root; sessions that begin later have it."""
    item = safe_name(setting.name, "limit")
    value = one_line(setting.value, f"the limit {item}")
    if value not in ("unlimited", "infinity", "-1") and not value.isdecimal():
        raise Unsettable(f"invalid value of a limit: {value!r}")
    text = "".join(f"{domain} - {item} {value}\n" for domain in ("*", "root"))
    file = SettingFile(f"/etc/security/limits.d/{PREFIX}{item}.conf", text)
    return Delivery("limits.d", (file,), instruction="log in again: sessions that are open keep their limits")


def unit(setting: Setting, host: HostFacts) -> Delivery:
    """A drop-in of a unit, and the unit restarted."""
    name, _, directive = setting.name.rpartition(".")
    safe_name(name, "unit", "@:\\"), safe_name(directive, "directive")
    if "\\" in name or not name.endswith(".service"):
        raise Unsettable(f"{name} is not a service")
    value = one_line(setting.value, setting.name).replace("%", "%%")
    if not value:
        raise Unsettable(f"{setting.name} has an empty value")
    file = SettingFile(f"/etc/systemd/system/{name}.d/{PREFIX}{directive}.conf", f"{_SERVICE}{directive}={value}\n")
    commands = ("systemctl daemon-reload", f"systemctl restart {name}")
    return Delivery("unit drop-in", (file,), commands, commands, cost="restart")


def unit_state(setting: Setting, host: HostFacts) -> Delivery:
    """A unit enabled and started, disabled and stopped, or masked and stopped."""
    name = safe_name(setting.name, "unit", "@:")
    if setting.value not in UNIT_STATES:
        raise Unsettable(f"invalid state of a unit: {setting.value!r}")
    verb, revert = _VERBS[setting.value]
    return Delivery("systemctl", (), (f"systemctl {verb} {name}",), (f"systemctl {revert} {name}",))


def sysfs_line(setting: Setting) -> str:
    """The line of tmpfiles.d(5) that writes the value.

    >>> sysfs_line(Setting("sysfs", "devices/system/cpu/cpu*/cpufreq/scaling_governor", "performance"))
    'w /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor - - - - performance'
    """
    return f"w /sys/{safe_name(setting.name, 'file of /sys', '/*')} - - - - {safe_name(setting.value, 'value')}"


def sysfs(setting: Setting, host: HostFacts) -> Delivery:
    """A file of tmpfiles.d, applied at once. What was written stays when the file is gone: only who knows the old value can revert it."""
    line = sysfs_line(setting)
    path = f"/etc/tmpfiles.d/{PREFIX}{file_word(setting.name.rpartition('/')[2].replace('*', 'x'))}.conf"
    return Delivery("tmpfiles.d", (SettingFile(path, f"{line}\n"),), (f"systemd-tmpfiles --create {path}",), ("systemd-tmpfiles --create",))


def crio(setting: Setting, host: HostFacts) -> Delivery:
    """A drop-in of CRI-O, and CRI-O restarted with the kubelet, which has to agree with it."""
    key, value = safe_name(setting.name, "setting"), safe_name(setting.value, "value")
    more = 'conmon_cgroup = "pod"\n' if (key, value) == ("cgroup_manager", "cgroupfs") else ""
    file = SettingFile(f"/etc/crio/crio.conf.d/{PREFIX}{key}.conf", f'[crio.runtime]\n{key} = "{value}"\n{more}')
    commands = ("systemctl restart crio kubelet",)
    return Delivery("CRI-O drop-in", (file,), commands, commands, cost="restart")


def bottlerocket_switch(setting: Setting) -> str:
    """The line of Bottlerocket's table ``settings.nvidia-container-runtime`` for a switch of the container toolkit."""
    key = safe_name(setting.name, "setting")
    if setting.value not in _OPPOSITES:
        raise Unsettable(f"invalid value of {key}: {setting.value!r}")
    if key not in _BOTTLEROCKET:
        raise Unsettable("Bottlerocket has no setting for it")
    return f"{_BOTTLEROCKET[key]} = {setting.value}\n"


def toolkit(setting: Setting, host: HostFacts) -> Delivery:
    """A switch of the container toolkit: by its own tool, or in the settings of Bottlerocket. Containers that start later have it."""
    key = safe_name(setting.name, "setting")
    if host.os != "bottlerocket":
        if setting.value not in _OPPOSITES:
            raise Unsettable(f"invalid value of {key}: {setting.value!r}")
        command, revert = (f"nvidia-ctk config --set {key}={value} --in-place" for value in (setting.value, _OPPOSITES[setting.value]))
        return Delivery("nvidia-ctk", (), (command,), (revert,))
    file = SettingFile("eidos.toml", f"[settings.nvidia-container-runtime]\n{bottlerocket_switch(setting)}")
    what = "add eidos.toml to the user data of the node group, and run 'apiclient apply < eidos.toml' in the node's control container"
    return Delivery("Bottlerocket settings", (file,), instruction=what, owner="managed-service")


#: Kind → its form on a system whose /etc is written by hand.
FORMS: dict[str, Callable[[Setting, HostFacts], Delivery]] = {
    SYSCTL: sysctl,
    MODULE: module,
    MODULE_OPTION: module_option,
    LIMIT: limit,
    UNIT: unit,
    BLACKLIST: blacklist,
    UNIT_STATE: unit_state,
    SYSFS: sysfs,
    CRIO: crio,
    TOOLKIT: toolkit,
}


def folder_files(settings: Iterable[Setting]) -> tuple[SettingFile, ...]:
    r"""All settings in one file for each folder, and for each unit, in the order of :data:`FORMS`; boot parameters have none here.

    >>> [(file.path, file.text) for file in folder_files([Setting(SYSCTL, "vm/swappiness", "1"), Setting(SYSCTL, "fs/nr_open", "8")])]
    [('/etc/sysctl.d/90-eidos.conf', 'vm.swappiness = 1\nfs.nr_open = 8\n')]
    """
    texts: dict[str, str] = {}
    order = list(FORMS)
    for setting in sorted((each for each in settings if each.kind in FORMS), key=lambda each: order.index(each.kind)):
        for file in FORMS[setting.kind](setting, HostFacts()).files:
            folder = file.path.rpartition("/")[0]
            path = f"{folder}/{LAST_FILE if folder.endswith('/modprobe.d') else FOLDER_FILE}.conf"
            head = next((head for head in _HEADS if file.text.startswith(head)), "")
            texts[path] = texts[path] + file.text[len(head) :] if path in texts else file.text
    return tuple(SettingFile(path, text) for path, text in texts.items())
