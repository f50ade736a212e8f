r"""Settings of immutable systems, which are declared instead of changed: Bottlerocket, Talos, OpenShift's nodes and Flatcar.

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

from eidos.formats import to_json, to_yaml
from eidos.host_settings.boot_parameters import in_boot_order, parameter
from eidos.host_settings.setting import (
    BOOT,
    MODULE,
    MODULE_OPTION,
    PREFIX,
    SYSCTL,
    TOOLKIT,
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
from eidos.host_settings.system_files import FORMS, bottlerocket_switch, dotted, folder_files, sysctl_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_PLAIN_URL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/")


def bottlerocket(*settings: Setting) -> Delivery:
    """TOML for the user data of the node group, or for ``apiclient apply`` on a node. It has no limits of units and of sessions."""
    sysctls, modules = [], []
    switches: list[str] = []
    parameters: dict[str, list[str]] = {}
    for setting in settings:
        if setting.kind == TOOLKIT:
            switches.append(bottlerocket_switch(setting))
        elif setting.kind == SYSCTL:
            sysctl_line(setting)
            sysctls.append(f"{_toml(dotted(setting.name))} = {_toml(_value(setting))}\n")
        elif setting.kind == MODULE:
            modules.append(f"[settings.kernel.modules.{safe_name(setting.name, 'module')}]\nallowed = true\nautoload = true\n")
        elif setting.kind in (BOOT, MODULE_OPTION):
            name, equals, value = parameter(setting).partition("=")
            parameters.setdefault(name, []).extend([_toml(value)] if equals else [])
        else:
            raise Unsettable("Bottlerocket has no setting for it")
    tables = ["[settings.kernel.sysctl]\n" + "".join(sysctls)] if sysctls else []
    tables += ["[settings.nvidia-container-runtime]\n" + "".join(switches)] if switches else []
    tables += modules
    if parameters:
        lines = "".join(f"{_toml(name)} = [{', '.join(values)}]\n" for name, values in parameters.items())
        tables.append(f"[settings.boot]\nreboot-to-reconcile = true\n\n[settings.boot.kernel-parameters]\n{lines}")
    cost = "reboot" if parameters else "reload"
    file = SettingFile("eidos.toml", "\n".join(tables))
    what = "add eidos.toml to the user data of the node group, and run 'apiclient apply < eidos.toml' in the node's control container"
    return Delivery("Bottlerocket settings", (file,), instruction=what + _then(cost), cost=cost, owner="managed-service")


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


def talos(*settings: Setting) -> Delivery:
    """A patch of the machine configuration. It has no limits of units and of sessions."""
    sysctls: dict[str, str] = {}
    modules: dict[str, list[str]] = {}
    arguments: list[str] = []
    cost, more = "reload", ""
    for setting in settings:
        if setting.kind == SYSCTL:
            sysctl_line(setting)
            sysctls[dotted(setting.name)] = _value(setting)
        elif setting.kind in (MODULE, MODULE_OPTION):
            name, _, option = setting.name.partition("." if setting.kind == MODULE_OPTION else "\n")
            options = modules.setdefault(safe_name(name, "module"), [])
            if setting.kind == MODULE_OPTION:
                options.append(f"{safe_name(option, 'module option')}={_value(setting)}")
                cost = "reboot"
        elif setting.kind == BOOT:
            arguments.append(parameter(setting))
            cost = "reboot"
            more = (
                ", and upgrade the node to an image whose schematic has customization.extraKernelArgs with it: "
                "systemd-boot ignores the patch"
            )
        else:
            raise Unsettable("Talos has no setting for it")
    loaded = [{"name": name, **({"parameters": options} if options else {})} for name, options in modules.items()]
    parts: dict[str, Any] = {
        "sysctls": sysctls,
        "kernel": {"modules": loaded} if loaded else {},
        "install": {"extraKernelArgs": arguments} if arguments else {},
    }
    file = SettingFile("eidos-patch.yaml", to_yaml({"machine": {name: part for name, part in parts.items() if part}}))
    what = f"run 'talosctl patch mc --patch @eidos-patch.yaml' for the node{more}{_then(cost)}"
    return Delivery("Talos machine configuration", (file,), instruction=what, cost=cost)


def machine_config(*settings: Setting) -> Delivery:
    """A MachineConfig for a pool: its operator writes the files and sets the arguments, drains each node of the pool and reboots it."""
    word = file_word(settings[0].name) if len(settings) == 1 else "node-tuning"
    name = f"{PREFIX}{word}".lower().replace("_", "-").replace(":", "-").replace("@", "-").strip("-.")
    arguments, content = _ignition(settings)
    spec: dict[str, Any] = {"config": {"ignition": {"version": "3.2.0"}, **content}} if content else {}
    if arguments:
        spec["kernelArguments"] = arguments
    tree = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": "worker"}},
        "spec": spec,
    }
    what = "run 'oc apply -f eidos-machine-config.yaml' (role worker: change it for another pool); its nodes are drained and rebooted"
    file = SettingFile("eidos-machine-config.yaml", to_yaml(tree))
    return Delivery("MachineConfig", (file,), instruction=what, cost="reboot")


def _ignition(settings: Sequence[Setting]) -> tuple[list[str], dict[str, Any]]:
    """Arguments of the kernel, and the files and units of an Ignition config: a file for each folder, or that of the only setting."""
    arguments = [parameter(setting) for setting in in_boot_order(settings)]
    units, others = [], []
    for setting in settings:
        if setting.kind == UNIT_STATE:
            state = {"mask": True} if setting.value == "masked" else {"enabled": setting.value == "enabled"}
            units.append({"name": safe_name(setting.name, "unit", "@:"), **state})
        elif setting.kind != BOOT:
            if setting.kind not in FORMS:
                raise Unsettable("it is not a setting of a host")
            others.append(setting)
    files = FORMS[others[0].kind](others[0], HostFacts()).files if len(others) == len(settings) == 1 else folder_files(others)
    content: dict[str, Any] = {"storage": {"files": [_ignition_file(file) for file in files]}} if files else {}
    return arguments, {**content, "systemd": {"units": units}} if units else content


def _ignition_file(file: SettingFile) -> dict[str, Any]:
    return {"path": file.path, "mode": 0o644, "overwrite": True, "contents": {"source": data_url(file.text)}}


def ignition(*settings: Setting) -> Delivery:
    """An Ignition config, which Fedora CoreOS and Flatcar apply at the first boot; kernelArguments are of version 3.3 and newer."""
    arguments, content = _ignition(settings)
    tree: dict[str, Any] = {"ignition": {"version": "3.3.0"}}
    if arguments:
        tree["kernelArguments"] = {"shouldExist": arguments}
    tree.update(content)
    what = "merge eidos.ign into the Ignition config of the nodes (ignition.config.merge), and provision the node again"
    return Delivery("Ignition", (SettingFile("eidos.ign", to_json(tree)),), instruction=what, cost="reboot", is_reversible=False)


def data_url(text: str) -> str:
    r"""A text as a data URL (RFC 2397).

    >>> data_url("vm.swappiness = 1\n")
    'data:,vm.swappiness%20%3D%201%0A'
    """
    words = (chr(byte) if chr(byte) in _PLAIN_URL else f"%{byte:02X}" for byte in text.encode())
    return f"data:,{''.join(words)}"


def butane(setting: Setting) -> Delivery:
    """A boot parameter as a Butane config of Flatcar: Ignition applies it at the first boot, so a node is provisioned anew."""
    tree = {"variant": "flatcar", "version": "1.0.0", "kernel_arguments": {"should_exist": [parameter(setting)]}}
    what = "merge eidos.bu into the Butane config of the nodes, and provision the node again"
    return Delivery("Butane", (SettingFile("eidos.bu", to_yaml(tree)),), instruction=what, cost="reboot", is_reversible=False)
