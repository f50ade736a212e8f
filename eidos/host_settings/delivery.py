r"""The form in which a setting reaches one host.

Knows which form each system and service takes; must not know what the form looks like. A system that is not known gets none: a wrong
command is worse than none.

>>> deliver(Setting(SYSCTL, "vm/swappiness", "1"), HostFacts("ubuntu", service="eks")).form
'sysctl.d'
>>> deliver(Setting(SYSCTL, "vm/swappiness", "1"), HostFacts("ubuntu", service="aks")).form
'AKS node configuration'
>>> deliver(Setting(SYSCTL, "vm/swappiness", "1"), HostFacts("plan9"))
Traceback (most recent call last):
eidos.host_settings.setting.Unsettable: the system plan9 is not known
"""

from __future__ import annotations

from eidos.host_settings.setting import (
    BLACKLIST,
    BOOT,
    CHART,
    MODULE,
    MODULE_OPTION,
    SYSCTL,
    TOOLKIT,
    Delivery,
    HostFacts,
    Setting,
    Unsettable,
    safe_name,
)
from eidos.host_settings.system_files import FORMS
from eidos.model.record import replace

#: Systems whose /etc an administrator writes.
_WRITABLE = (
    *("ubuntu", "debian", "pop", "rhel", "rocky", "oraclelinux", "amazonlinux", "azurelinux", "sles"),
    *("flatcar", "fedora", "fedora-coreos"),
)

#: Services whose nodes are made from a template: what is set on a node is lost with it.
_USER_DATA = {
    "eks": "the launch template of the node group",
    "oke": "the cloud-init script of the node pool",
}


def with_parameter(setting: Setting, host: HostFacts) -> Setting:
    """The boot parameter that stands for a blacklisted module on a system without a list of its own; any other setting as it is."""
    if host.os in ("bottlerocket", "talos") and setting.kind == BLACKLIST:
        return Setting(BOOT, "module_blacklist", safe_name(setting.name, "module"))
    return setting


def deliver(setting: Setting, host: HostFacts) -> Delivery:
    """The form of a setting for a host. Raises Unsettable with the reason where there is none."""
    if host.os == "bottlerocket" and setting.kind == TOOLKIT:
        return FORMS[TOOLKIT](setting, host)
    setting = with_parameter(setting, host)
    # Each host needs one of these modules.
    if host.os in ("bottlerocket", "talos", "rhcos"):
        from eidos.host_settings import immutable_systems
    if setting.kind in (CHART, MODULE_OPTION) or host.service in ("aks", "gke"):
        from eidos.host_settings import node_pools
    if setting.kind == CHART:
        return node_pools.chart_value(setting)
    if setting.kind == MODULE_OPTION and host.driver_owner == "driver-container" and setting.name.startswith("nvidia"):
        return node_pools.driver_option(setting)
    if host.os == "bottlerocket":
        return immutable_systems.bottlerocket(setting)
    if host.os == "talos":
        return immutable_systems.talos(setting)
    if host.os == "rhcos":
        return immutable_systems.machine_config(setting)
    if host.service == "gke":
        return node_pools.gke(setting)
    if host.service == "aks":
        return node_pools.aks(setting)
    if host.os == "cos":
        raise Unsettable("the root file system of Container-Optimized OS is made anew at each boot")
    if host.os and host.os not in _WRITABLE:
        raise Unsettable(f"the system {host.os} is not known")
    if setting.kind == BOOT:
        delivery = _boot_parameter(setting, host)
    elif not host.os and setting.kind not in (SYSCTL, MODULE):
        raise Unsettable("the system of the host is not known")
    else:
        delivery = FORMS[setting.kind](setting, host)
    if host.service not in _USER_DATA:
        return delivery
    lasting = f"add the same to the user data in {_USER_DATA[host.service]}: new nodes do not have it"
    return replace(delivery, instruction=f"{delivery.instruction}; {lasting}" if delivery.instruction else lasting)


def _boot_parameter(setting: Setting, host: HostFacts) -> Delivery:
    if host.os == "flatcar":
        from eidos.host_settings.immutable_systems import butane

        return butane(setting)
    from eidos.host_settings.boot_parameters import boot_parameter

    return boot_parameter(setting, host)
