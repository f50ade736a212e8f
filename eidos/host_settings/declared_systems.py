r"""Settings of systems that are declared instead of changed: Bottlerocket, Talos, OpenShift's nodes and Flatcar.

Knows the document each of them takes and what it has no field for; must not know which node group or cluster it is applied to. Documents
are files with relative paths: a person, or a bundle, applies them.

Sources: Bottlerocket documentation, settings.kernel and settings.boot (sysctl, modules, kernel-parameters as lists, module parameters on
the command line, reboot-to-reconcile); Sidero documentation, Talos v1.13, NVIDIA GPU (machine.kernel.modules, machine.sysctls, ``talosctl
patch mc``) and Bootloader (systemd-boot ignores machine.install.extraKernelArgs: arguments are part of the image); OpenShift Container
Platform, MachineConfig (kernelArguments, Ignition 3.2 files with data URLs; the operator drains and reboots); Flatcar documentation, Kernel
modules and other settings, and Butane specification flatcar 1.0.0 (kernel_arguments.should_exist).

>>> print(bottlerocket(Setting(SYSCTL, "vm/swappiness", "1")).files[0].text, end="")
[settings.kernel.sysctl]
"vm.swappiness" = "1"
>>> print(talos(Setting(MODULE, "ib_umad")).files[0].text, end="")
machine:
  kernel:
    modules:
      - name: ib_umad
"""

from __future__ import annotations

from eidos.formats import to_yaml
from eidos.host_settings.boot_parameters import parameter
from eidos.host_settings.setting import (
    BOOT,
    MODULE,
    MODULE_OPTION,
    PREFIX,
    SYSCTL,
    UNIT_STATE,
    Delivery,
    HostFacts,
    Setting,
    SettingFile,
    Unsettable,
    file_word,
    one_line,
    safe_name,
)
from eidos.host_settings.system_files import FORMS, dotted, sysctl_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLAIN_URL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/")


def bottlerocket(setting: Setting) -> Delivery:
    """TOML for the user data of the node group, or for ``apiclient apply`` on a node. It has no limits of units and of sessions."""
    if setting.kind == SYSCTL:
        sysctl_line(setting)
        text = f"[settings.kernel.sysctl]\n{_toml(dotted(setting.name))} = {_toml(_value(setting))}\n"
    elif setting.kind == MODULE:
        text = f"[settings.kernel.modules.{safe_name(setting.name, 'module')}]\nallowed = true\nautoload = true\n"
    elif setting.kind in (BOOT, MODULE_OPTION):
        name, equals, value = parameter(setting).partition("=")
        values = f"[{_toml(value)}]" if equals else "[]"
        text = f"[settings.boot]\nreboot-to-reconcile = true\n\n[settings.boot.kernel-parameters]\n{_toml(name)} = {values}\n"
    else:
        raise Unsettable("Bottlerocket has no setting for it")
    cost = "reboot" if setting.kind in (BOOT, MODULE_OPTION) else "reload"
    what = "add eidos.toml to the user data of the node group, and run 'apiclient apply < eidos.toml' in the node's control container"
    return Delivery(
        "Bottlerocket settings", (SettingFile("eidos.toml", text),), instruction=what + _then(cost), cost=cost, owner="managed-service"
    )


def _then(cost: str) -> str:
    return "; then drain the node and reboot it" if cost == "reboot" else ""


def _toml(text: str) -> str:
    r"""A basic string of TOML.

    >>> _toml('a"\\b')
    '"a\\"\\\\b"'
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(setting: Setting) -> str:
    return one_line(setting.value, setting.name)


def talos(setting: Setting) -> Delivery:
    """A patch of the machine configuration. It has no limits of units and of sessions."""
    cost, more = "reload", ""
    tree: dict[str, Any]
    if setting.kind == SYSCTL:
        sysctl_line(setting)
        tree = {"sysctls": {dotted(setting.name): _value(setting)}}
    elif setting.kind == MODULE:
        tree = {"kernel": {"modules": [{"name": safe_name(setting.name, "module")}]}}
    elif setting.kind == MODULE_OPTION:
        name, _, option = setting.name.partition(".")
        option = safe_name(option, "module option")
        tree = {"kernel": {"modules": [{"name": safe_name(name, "module"), "parameters": [f"{option}={_value(setting)}"]}]}}
        cost = "reboot"
    elif setting.kind == BOOT:
        tree = {"install": {"extraKernelArgs": [parameter(setting)]}}
        cost = "reboot"
        more = (
            ", and upgrade the node to an image whose schematic has customization.extraKernelArgs with it: systemd-boot ignores the patch"
        )
    else:
        raise Unsettable("Talos has no setting for it")
    file = SettingFile("eidos-patch.yaml", to_yaml({"machine": tree}))
    what = f"run 'talosctl patch mc --patch @eidos-patch.yaml' for the node{more}{_then(cost)}"
    return Delivery("Talos machine configuration", (file,), instruction=what, cost=cost)


def machine_config(setting: Setting, role: str = "worker") -> Delivery:
    """A MachineConfig for a pool: its operator writes the file or sets the argument, drains each node of the pool and reboots it."""
    name = f"{PREFIX}{file_word(setting.name)}".lower().replace("_", "-").replace(":", "-").replace("@", "-").strip("-.")
    spec: dict[str, Any] = {"config": {"ignition": {"version": "3.2.0"}}}
    if setting.kind == BOOT:
        spec = {"kernelArguments": [parameter(setting)]}
    elif setting.kind == UNIT_STATE:
        state = {"mask": True} if setting.value == "masked" else {"enabled": setting.value == "enabled"}
        spec["config"]["systemd"] = {"units": [{"name": safe_name(setting.name, "unit", "@:"), **state}]}
    else:
        spec["config"]["storage"] = {"files": [_ignition_file(file) for file in _files(setting)]}
    tree = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
        "spec": spec,
    }
    what = f"run 'oc apply -f eidos-machine-config.yaml' (role {role}: change it for another pool); its nodes are drained and rebooted"
    file = SettingFile("eidos-machine-config.yaml", to_yaml(tree))
    return Delivery("MachineConfig", (file,), instruction=what, cost="reboot")


def _files(setting: Setting) -> tuple[SettingFile, ...]:
    form = FORMS.get(setting.kind)
    if form is None:
        raise Unsettable("it is not a setting of a host")
    return form(setting, HostFacts()).files


def _ignition_file(file: SettingFile) -> dict[str, Any]:
    return {"path": file.path, "mode": 0o644, "overwrite": True, "contents": {"source": data_url(file.text)}}


def data_url(text: str) -> str:
    r"""A text as a data URL (RFC 2397).

    >>> data_url("vm.swappiness = 1\n")
    'data:,vm.swappiness%20%3D%201%0A'
    """
    words = (chr(byte) if chr(byte) in _PLAIN_URL else f"%{byte:02X}" for byte in text.encode())
    return f"data:,{''.join(words)}"


def butane(setting: Setting) -> Delivery:
    """A Butane config of Flatcar: Ignition applies it at the first boot, so a node is provisioned anew."""
    tree: dict[str, Any] = {"variant": "flatcar", "version": "1.0.0"}
    if setting.kind == BOOT:
        tree["kernel_arguments"] = {"should_exist": [parameter(setting)]}
    else:
        tree["storage"] = {"files": [{"path": f.path, "mode": 0o644, "contents": {"inline": f.text}} for f in _files(setting)]}
    what = "merge eidos.bu into the Butane config of the nodes, and provision the node again"
    return Delivery("Butane", (SettingFile("eidos.bu", to_yaml(tree)),), instruction=what, cost="reboot", is_reversible=False)
