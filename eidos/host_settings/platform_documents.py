r"""All settings of a node, in the documents that its system and its service take.

Knows which documents those are, and which settings are brought on the node itself; must not know why a node has these settings, nor where
the documents are written. One document has all the settings that it accepts; a setting that neither a document nor the node accepts is
returned with the reason.

Sources: those of the forms, and Karpenter documentation, NodeClasses, spec.userData (MIME parts and TOML are merged with its own; with
amiFamily Custom nothing is added); awslabs/amazon-eks-ami, nodeadm, NodeConfig API (containerd.baseRuntimeSpec, in a MIME part of type
application/node.eks.aws); Oracle, Using Custom Cloud-init Initialization Scripts to Set Up Managed Nodes (the service's own script has to
be run); TuneD 2.20, sections main, sysctl, modules and bootloader of a profile; cloud-init 22.4, power_state.

>>> found = platform_documents([Setting(SYSCTL, "vm/swappiness", "1"), Setting(BOOT, "iommu", "pt")], HostFacts("cos", service="gke"))
>>> [document.form for document in found.documents], found.on_node
(['GKE node system configuration'], ())
>>> found.uncovered
((Setting(kind='boot', name='iommu', value='pt'), 'GKE has no setting for boot parameters of its nodes'),)
"""

from __future__ import annotations

from eidos.formats import to_yaml
from eidos.host_settings import boot_parameters, immutable_systems, node_pools
from eidos.host_settings.delivery import deliver, with_parameter
from eidos.host_settings.setting import (
    BLACKLIST,
    BOOT,
    CRIO,
    LIMIT,
    MODULE,
    MODULE_OPTION,
    SYSCTL,
    SYSFS,
    UNIT,
    UNIT_STATE,
    Delivery,
    HostFacts,
    Setting,
    SettingFile,
    Unsettable,
)
from eidos.host_settings.system_files import FORMS, dotted, folder_files
from eidos.model.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Callable

#: Form → all settings of that form in one document.
_DOCUMENTS: dict[str, Callable[..., Delivery]] = {
    "Bottlerocket settings": immutable_systems.bottlerocket,
    "Talos machine configuration": immutable_systems.talos,
    "MachineConfig": immutable_systems.machine_config,
    "AKS node configuration": node_pools.aks,
    "GKE node system configuration": node_pools.gke,
}

#: What the files of a folder can bring, with the commands that load them.
NODE_KINDS = (SYSCTL, BOOT, MODULE, MODULE_OPTION, LIMIT, UNIT, BLACKLIST, UNIT_STATE, SYSFS, CRIO)

#: The system of a node where its service decides it.
_SYSTEMS = {"openshift": "rhcos", "talos": "talos"}

#: Services whose node pools are not documented to take user data (CoreWeave documentation, Node Pool reference, as read 2026-11-29).
_WITHOUT_USER_DATA = ("aks", "gke", "cks")

#: Systems that Ignition provisions.
_IGNITION = ("flatcar", "fedora-coreos")

#: Systems whose tuning is TuneD's by default, and whose boot parameters it can set.
_TUNED = ("rhel", "rocky", "oraclelinux", "fedora")

_OKE_START = (
    'curl --fail -H "Authorization: Bearer Oracle" -L0 http://169.254.169.254/opc/v2/instance/metadata/oke_init_script'
    " | base64 --decode >/var/run/oke-init.sh"
)


class PlatformDocuments(Record):
    """How settings reach a node.

    ``documents`` are applied by a person, each with its instruction; ``on_node`` are settings that are brought on the node itself;
    ``uncovered`` are those that neither brings, with the reason as a phrase.
    """

    documents: tuple[Delivery, ...] = ()
    on_node: tuple[Setting, ...] = ()
    uncovered: tuple[tuple[Setting, str], ...] = ()


def with_system(host: HostFacts) -> HostFacts:
    """The facts with the system that the service decides."""
    system = _SYSTEMS.get(host.service, "")
    return replace(host, os=system) if system and (not host.os or host.service == "talos") else host


def platform_documents(settings: Iterable[Setting], host: HostFacts) -> PlatformDocuments:
    """The documents for this host, and what is left for the node itself."""
    host = with_system(host)
    by_form: dict[str, list[Setting]] = {}
    on_node: list[Setting] = []
    uncovered: list[tuple[Setting, str]] = []
    for setting in settings:
        try:
            setting = with_parameter(setting, host)
            delivery = deliver(setting, host)
        except Unsettable as fault:
            # On the node its system is seen.
            if host.os or host.service in ("aks", "gke") or setting.kind not in NODE_KINDS:
                uncovered.append((setting, str(fault)))
            else:
                on_node.append(setting)
            continue
        if delivery.form in _DOCUMENTS:
            by_form.setdefault(delivery.form, []).append(setting)
        elif setting.kind in NODE_KINDS and delivery.form != "GPU Operator":
            on_node.append(setting)
        else:
            how = delivery.instruction or f"run '{'; '.join(delivery.commands)}' on the node"
            uncovered.append((setting, f"it is not in a file of /etc: {how}"))
    documents = [_DOCUMENTS[form](*group) for form, group in by_form.items()]
    if any(document.form == "Bottlerocket settings" for document in documents) and host.service == "eks":
        documents.append(_node_class(documents[0].files[0].text, "Bottlerocket"))
    if on_node and host.os in _IGNITION:
        documents.append(immutable_systems.ignition(*on_node))
    elif on_node and host.service not in _WITHOUT_USER_DATA:
        documents += _first_boot(on_node, host)
        if host.os in _TUNED and host.service not in ("eks", "oke"):
            documents.append(tuned_profile(on_node))
    return PlatformDocuments(tuple(documents), tuple(on_node), tuple(uncovered))


def on_host(settings: Sequence[Setting], host: HostFacts) -> list[Delivery]:
    """All settings in one file for each folder, with the commands that load them: for the first boot of a machine."""
    deliveries = []
    files = folder_files(settings)
    commands = [f"sysctl -p {file.path}" for file in files if file.path.startswith("/etc/sysctl.d/")]
    commands += [f"modprobe {setting.name}" for setting in settings if setting.kind == MODULE]
    units = list(dict.fromkeys(setting.name.rpartition(".")[0] for setting in settings if setting.kind == UNIT))
    if units:
        commands += ["systemctl daemon-reload", *(f"systemctl try-restart {unit}" for unit in units)]
    commands += [f"systemd-tmpfiles --create {file.path}" for file in files if file.path.startswith("/etc/tmpfiles.d/")]
    others = [setting for setting in settings if setting.kind in (MODULE_OPTION, BLACKLIST, UNIT_STATE)]
    commands += [command for setting in others for command in FORMS[setting.kind](setting, host).commands]
    if any(setting.kind == CRIO for setting in settings):
        commands.append("systemctl try-restart crio kubelet")
    commands = list(dict.fromkeys(commands))
    if files or commands:
        deliveries.append(Delivery("files", files, tuple(commands)))
    boot = [setting for setting in settings if setting.kind == BOOT]
    if boot:
        deliveries.append(boot_parameters.boot_parameters(boot, host))
    return deliveries


def _first_boot(settings: Sequence[Setting], host: HostFacts) -> list[Delivery]:
    """User data of new machines. Boot parameters have none where the system, and with it the tool of its boot loader, is not known."""
    deliveries = [delivery for delivery in on_host(settings, host) if delivery.files or delivery.commands]
    if not deliveries:
        return []
    if host.service == "eks":
        text = node_pools.eks_user_data(deliveries, reboots=True)
        if host.os in ("", "amazonlinux") and (config := nodeadm_config(settings)):
            part = f"--EIDOS\nContent-Type: application/node.eks.aws\n\n{config}\n--EIDOS--\n"
            text = text.removesuffix("--EIDOS--\n") + part
        what = "set user-data.mime as the user data of the launch template of the node group; nodes of the old version are replaced"
        if host.os == "ubuntu":
            family, more = "Custom", "; Karpenter adds nothing to it, so append your own part that joins the node to the cluster"
        else:
            family, more = "AL2023", ""
        launch = Delivery("launch template", (SettingFile("user-data.mime", text),), instruction=what, cost="drain")
        return [launch, _node_class(text, family, more)]
    if host.service == "oke":
        text = node_pools.cloud_config(deliveries, (_OKE_START, "bash /var/run/oke-init.sh"), reboots=True)
        what = "set cloud-init.yaml as the cloud-init script of the node pool, and replace its nodes"
    else:
        text = node_pools.cloud_config(deliveries, reboots=True)
        what = "use cloud-init.yaml as the user data of new machines"
    return [Delivery("cloud-init", (SettingFile("cloud-init.yaml", text),), instruction=what, cost="drain")]


def _node_class(user_data: str, family: str, more: str = "") -> Delivery:
    tree = {"spec": {"amiFamily": family, "userData": user_data}}
    what = (
        "run 'kubectl patch ec2nodeclass NAME --type=merge --patch-file ec2nodeclass-patch.yaml'; "
        f"Karpenter replaces the nodes of that class{more}"
    )
    return Delivery("Karpenter EC2NodeClass", (SettingFile("ec2nodeclass-patch.yaml", to_yaml(tree)),), instruction=what, cost="drain")


def nodeadm_config(settings: Iterable[Setting]) -> str:
    """The NodeConfig with the limits of containers that those of containerd's unit stand for; "" without any.

    >>> print(nodeadm_config([Setting(UNIT, "containerd.service.LimitSTACK", "67108864")]), end="")
    apiVersion: node.eks.aws/v1alpha1
    kind: NodeConfig
    spec:
      containerd:
        baseRuntimeSpec:
          process:
            rlimits:
              - type: RLIMIT_STACK
                soft: 67108864
                hard: 67108864
    """
    limits = []
    for setting in settings:
        unit, _, directive = setting.name.rpartition(".")
        if setting.kind == UNIT and unit == "containerd.service" and directive.startswith("Limit") and setting.value.isdecimal():
            number = int(setting.value[:20])
            limits.append({"type": f"RLIMIT_{directive[len('Limit') :]}", "soft": number, "hard": number})
    if not limits:
        return ""
    spec = {"containerd": {"baseRuntimeSpec": {"process": {"rlimits": limits}}}}
    return to_yaml({"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": spec})


def tuned_profile(settings: Sequence[Setting]) -> Delivery:
    """A profile of TuneD with sysctls, modules and boot parameters; it has no limits of units."""
    sysctls = [f"{dotted(setting.name)} = {setting.value}\n" for setting in settings if setting.kind == SYSCTL]
    modules = [f"{setting.name} = +r\n" for setting in settings if setting.kind == MODULE]
    words = [boot_parameters.parameter(setting) for setting in boot_parameters.in_boot_order(settings)]
    parts: dict[str, Any] = {
        "main": ["summary = Settings of GPU nodes\n", "include = throughput-performance\n"],
        "sysctl": sysctls,
        "modules": modules,
        "bootloader": [f"cmdline_eidos = +{' '.join(words)}\n"] if words else [],
    }
    text = "\n".join(f"[{name}]\n{''.join(lines)}" for name, lines in parts.items() if lines)
    what = (
        "copy tuned.conf to /etc/tuned/eidos/ and run 'tuned-adm profile eidos', where TuneD manages the nodes; not both this and apply.sh"
    )
    return Delivery("TuneD profile", (SettingFile("tuned.conf", text),), instruction=what, cost="reboot" if words else "reload")
