r"""Settings of services and of what they run with: states of units, files of /sys, CRI-O and the container toolkit.

Knows systemctl(1), tmpfiles.d(5), drop-ins of CRI-O, the toolkit's own tool and what Bottlerocket calls its switches; must not know when a
system has none of these.

Sources: systemd 257, systemctl(1) (enable, disable and mask with ``--now``) and tmpfiles.d(5) (``w`` writes to files that exist, with
patterns of the shell); CRI-O, crio.conf.d(5); Kubernetes, container runtimes (conmon_cgroup of CRI-O is pod with the driver cgroupfs);
NVIDIA Container Toolkit, installation (``nvidia-ctk config --set … --in-place``); Bottlerocket, settings.nvidia-container-runtime.

>>> unit_state(Setting("unit-state", "nvidia-imex.service", "masked"), HostFacts("ubuntu")).commands
('systemctl mask --now nvidia-imex.service',)
"""

from __future__ import annotations

from eidos.host_settings.setting import (
    PREFIX,
    UNIT_STATES,
    Delivery,
    HostFacts,
    Setting,
    SettingFile,
    Unsettable,
    file_word,
    safe_name,
)

#: Verb of systemctl for each state of :data:`UNIT_STATES`, and what takes it back where nothing says how the unit was.
_VERBS = {"enabled": ("enable --now", "disable --now"), "disabled": ("disable --now", "enable --now"), "masked": ("mask --now", "unmask")}

_OPPOSITES = {"true": "false", "false": "true"}

#: Keys of the container toolkit → what Bottlerocket calls them.
_BOTTLEROCKET = {
    "accept-nvidia-visible-devices-envvar-when-unprivileged": "visible-devices-envvar-when-unprivileged",
    "accept-nvidia-visible-devices-as-volume-mounts": "visible-devices-as-volume-mounts",
}


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
