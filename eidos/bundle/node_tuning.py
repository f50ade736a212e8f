"""The node's part of a bundle: what the recipe says of the host, and the folder ``node/`` that brings it there.

Knows which readings of a recipe are settings of a host, which of them another component of the bundle sets, and what the folder holds;
must not know the form of a setting: :mod:`eidos.host_settings` does. ``apply.sh`` is the same in every bundle and reads the files beside
it.

Source of what the NodeWright package ``tuning`` takes, and of the programs it needs: NVIDIA/nodewright-packages, tuning/README.md (953809e)
and update_settings.sh (ee15aaf).
"""

from __future__ import annotations

from eidos.bundle.checksums import sha256
from eidos.bundle.install_plan import NODE_AGENT, NODE_TUNING
from eidos.errors import InvalidData
from eidos.files import resources
from eidos.host_settings import boot_parameters
from eidos.host_settings.platform_documents import platform_documents, with_system
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
    HostFacts,
    Setting,
    Unsettable,
    setting_of,
)
from eidos.host_settings.system_files import FOLDER_FILE, LAST_FILE, folder_files, sysctl_line
from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.templates.text_template import Markdown, escape_markdown, markdown_code
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from eidos.bundle.template_variables import Variables
    from eidos.host_settings.platform_documents import PlatformDocuments
    from eidos.host_settings.setting import Delivery
    from eidos.model.recipe import Component, Recipe

FOLDER = "node"

_NODEWRIGHT = "skyhook-operator"

#: Modules that come with the driver: where the GPU Operator installs that, its container loads them.
_DRIVER_MODULES = ("nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_peermem", "nvidia_fs", "gdrdrv")

#: Folder on the host → folder of the bundle.
_FOLDERS = {
    "/etc/sysctl.d": "sysctl.d",
    "/etc/modules-load.d": "modules-load.d",
    "/etc/modprobe.d": "modprobe.d",
    "/etc/security/limits.d": "limits.d",
    "/etc/tmpfiles.d": "tmpfiles.d",
    "/etc/crio/crio.conf.d": "crio.conf.d",
    "/etc/default/grub.d": "grub.d",
}
_UNITS = "/etc/systemd/system/"

_PERSISTENCE = "GPU.smi.gpu.persistence-mode"
_APPLY, _FUNCTIONS = "apply.sh", "functions.sh"
_APPLY_SOURCE, _FUNCTIONS_SOURCE = "templates/node/apply.sh", "templates/report/fix.sh"
_ROLE = {
    "ansible/site.yml": "templates/node/ansible-site.yml",
    "ansible/roles/node_tuning/tasks/main.yml": "templates/node/ansible-tasks.yml",
}

#: The files of eidos that a node part is made with.
SOURCES = (_APPLY_SOURCE, _FUNCTIONS_SOURCE, *_ROLE.values())

#: What shows a node with GPUs: a label of the GPU Operator, two of Node Feature Discovery (10de is NVIDIA's vendor ID), and GKE's own.
_GPU_NODES: tuple[dict[str, Any], ...] = (
    {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]},
    {"key": "feature.node.kubernetes.io/pci-10de.present", "operator": "In", "values": ["true"]},
    {"key": "feature.node.kubernetes.io/pci-0302_10de.present", "operator": "In", "values": ["true"]},
    {"key": "cloud.google.com/gke-accelerator", "operator": "Exists"},
)

#: Systems on which no script sets anything that lasts.
_DECLARED = ("bottlerocket", "talos", "rhcos", "cos")

#: Services whose nodes are made from templates: nobody runs Ansible on them.
_POOLS = ("eks", "aks", "gke", "oke", "lke", "cks")

_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


class NodePart(Record):
    """``files`` by path in the bundle; ``variables`` are for templates of components and of the bundle's README.

    ``settings`` are those of the host, with what brings each ("" for nothing) and the reason, ``documents`` the ways to a node.
    """

    files: dict[str, bytes]
    variables: Variables
    settings: tuple[tuple[Setting, str, str], ...] = ()
    documents: tuple[Delivery, ...] = ()


def make_node_part(recipe: Recipe, components: Sequence[Component], variables: Variables) -> NodePart:
    """The folder ``node/`` of a recipe; without any file where the recipe says nothing of the host."""
    readings = {
        f"{m.type}.{s.name}.{key}": (format_scalar(value), s.context.get(key, ""))
        for m in recipe.measurements
        for s in m.subtypes
        for key, value in s.data.items()
    }
    reasons: dict[Setting, str] = {}
    for path, (value, why) in readings.items():
        setting = setting_of(path, value)
        if setting is not None:
            reasons.setdefault(setting, why)
    persists = readings.get(_PERSISTENCE, ("",))[0] == "Enabled"
    if not reasons and not persists:
        return NodePart({}, {})
    try:
        return _node_part(reasons, persists, recipe, components, variables)
    except Unsettable as fault:
        raise InvalidData(f"{NODE_TUNING}: {fault}", "correct the reading in the recipe") from fault


def _node_part(
    reasons: Mapping[Setting, str], persists: bool, recipe: Recipe, components: Sequence[Component], variables: Variables
) -> NodePart:
    host = with_system(HostFacts(recipe.request.os, recipe.request.service))
    uncovered: list[tuple[Setting, str]] = []
    by_driver = _driver_container(components)
    settings = []
    for setting in reasons:
        if by_driver and setting.kind == MODULE and setting.name.replace("-", "_") in _DRIVER_MODULES:
            uncovered.append((setting, "it belongs to the driver, which the GPU Operator installs and loads"))
        else:
            settings.append(setting)
    platform = platform_documents(settings, host)
    on_node = list(platform.on_node)
    package = _nodewright_package(on_node, host) if any(component.id == _NODEWRIGHT for component in components) else {}
    if package:
        on_node = [setting for setting in on_node if not _is_in_package(setting, package)]
        platform = platform_documents([setting for setting in settings if setting in on_node or setting not in platform.on_node], host)
    uncovered += platform.uncovered
    files = _host_files(on_node)
    if persists and (on_node or host.os not in _DECLARED):
        files["persistence-mode"] = b"Enabled\n"
    if files:
        files[_APPLY] = resources.read_bytes(_APPLY_SOURCE)
        files[_FUNCTIONS] = b"# shellcheck shell=sh\n" + resources.read_bytes(_FUNCTIONS_SOURCE)
        agent_files = dict(files)
        if recipe.request.service not in _POOLS:
            files.update({name: resources.read_bytes(path) for name, path in _ROLE.items()})
    else:
        agent_files = {}
    for document in platform.documents:
        files.update({file.path: file.text.encode() for file in document.files})
    persistence = "" if not persists else "the driver container" if by_driver else "`apply.sh`" if files else "the system's image"
    carriers = tuple(_carriers(reasons, files, platform.documents, package, uncovered))
    added: Variables = {
        "host.settings-table": Markdown(_settings_table(carriers, reasons, persistence)),
        "host.documents": Markdown(_document_list(platform.documents)),
        "host.on-node": Markdown(_on_node_text(files, platform, recipe.request.service, package)),
        "host.persistence": Markdown(_persistence_text(persists, by_driver, bool(agent_files))),
        "host.uncovered": Markdown(_uncovered_list(uncovered) or "Nothing: every setting above has a way to the node."),
        "host.summary": Markdown(_summary(len(reasons) + persists, platform.documents, bool(agent_files))),
        "host.not-covered": Markdown(f"## Not covered by this bundle\n\n{_uncovered_list(uncovered)}" if uncovered else ""),
    }
    if any(component.id == NODE_AGENT for component in components):
        added.update(_agent_variables(agent_files))
    if "node-selector.accelerated" not in variables:
        terms = [{"matchExpressions": [expression]} for expression in _GPU_NODES]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        added.update({"host.affinity": {"nodeAffinity": required}, "host.expressions": [_GPU_NODES[0]]})
    if package:
        added["host.package"] = package
        added["host.package.interrupt"] = "reboot" if "grub.conf" in package else "restart_all_services"
    return NodePart({f"{FOLDER}/{path}": content for path, content in sorted(files.items())}, added, carriers, tuple(platform.documents))


def _driver_container(components: Iterable[Component]) -> bool:
    """Whether the GPU Operator of the bundle installs the driver."""
    for component in components:
        if component.id == "gpu-operator":
            driver = component.values.get("driver")
            return not (isinstance(driver, dict) and driver.get("enabled") is False)
    return False


def _host_files(settings: Sequence[Setting]) -> dict[str, bytes]:
    """The files of the folder that ``apply.sh`` brings."""
    files: dict[str, bytes] = {}
    written = list(folder_files(settings))
    boot = boot_parameters.in_boot_order(settings)
    if boot:
        written.append(boot_parameters.grub_file(boot))
        files["boot-parameters"] = "".join(f"{boot_parameters.parameter(setting)}\n" for setting in boot).encode()
    states = [f"{setting.value} {setting.name}\n" for setting in settings if setting.kind == UNIT_STATE]
    if states:
        files["unit-states"] = "".join(states).encode()
    for file in written:
        folder, _, name = file.path.rpartition("/")
        folder = f"units/{folder[len(_UNITS) :]}" if folder.startswith(_UNITS) else _FOLDERS[folder]
        files[f"{folder}/{name}"] = file.text.encode()
    return files


def _nodewright_package(settings: Iterable[Setting], host: HostFacts) -> dict[str, str]:
    """The ConfigMap of the package ``tuning``: names of files and their texts; what the package has no file for is left out.

    It sets boot parameters by ``update-grub``, which Debian and Ubuntu have.
    """
    lines: dict[str, list[str]] = {}
    ordered = list(settings)
    for setting in [*boot_parameters.in_boot_order(ordered), *ordered]:
        if setting.kind == SYSCTL:
            lines.setdefault("sysctl.conf", []).append(sysctl_line(setting))
        elif setting.kind == BOOT and host.os in ("ubuntu", "debian"):
            lines.setdefault("grub.conf", []).append(boot_parameters.parameter(setting))
        elif setting.kind == UNIT:
            unit, _, directive = setting.name.rpartition(".")
            name = f"service_{unit[: -len('.service')]}.conf"
            lines.setdefault(name, ["[Service]"]).append(f"{directive}={setting.value}")
    return {name: "".join(f"{line}\n" for line in dict.fromkeys(texts)) for name, texts in sorted(lines.items())}


def _is_in_package(setting: Setting, package: Mapping[str, str]) -> bool:
    return setting.kind in (SYSCTL, UNIT) or (setting.kind == BOOT and "grub.conf" in package)


def _agent_variables(files: Mapping[str, bytes]) -> Variables:
    """What the DaemonSet's manifest needs: the ConfigMap's data, where each key is mounted, and a digest that changes with them."""
    if not files:
        return {}
    keys = {path: "".join(char if char in _KEY else "-" for char in path.replace("/", ".")) for path in sorted(files)}
    digest = sha256(b"".join(path.encode() + b"\0" + files[path] + b"\0" for path in keys))
    items = [{"key": key, "path": path} for path, key in keys.items()]
    return {"host.files": {key: files[path].decode() for path, key in keys.items()}, "host.items": items, "host.digest": digest}


def setting_label(setting: Setting) -> str:
    """The kind of a setting, in words."""
    return setting.kind.replace("-", " ") if setting.kind != BOOT else "boot parameter"


def _carriers(
    reasons: Mapping[Setting, str],
    files: Mapping[str, bytes],
    documents: Sequence[Delivery],
    package: Mapping[str, str],
    uncovered: Sequence[tuple[Setting, str]],
) -> Iterator[tuple[Setting, str, str]]:
    """Each setting, what brings it ("" for nothing), and why it is set, or not brought."""
    left = dict(uncovered)
    pool = next((file.path for document in documents for file in document.files), "")
    for setting, why in reasons.items():
        if setting in left:
            yield setting, "", left[setting]
        elif package and _is_in_package(setting, package) and not _is_in(setting, files):
            yield setting, "NodeWright", why
        else:
            yield setting, _is_in(setting, files) or pool, why


def _settings_table(carriers: Iterable[tuple[Setting, str, str]], reasons: Mapping[Setting, str], persistence: str) -> str:
    has_reasons = any(reasons.values())
    rows = (
        ["| setting | value | brought by | why |", "|---|---|---|---|"]
        if has_reasons
        else ["| setting | value | brought by |", "|---|---|---|"]
    )
    for setting, by, _ in carriers:
        shown = (by if by == "NodeWright" else markdown_code(by)) if by else "not covered"
        name = f"{setting_label(setting)} {markdown_code(setting.name)}"
        why = f" {escape_markdown(reasons[setting])} |" if has_reasons else ""
        rows.append(f"| {name} | {markdown_code(setting.value or 'loaded')} | {shown} |{why}")
    if persistence:
        rows.append(f"| persistence mode | `Enabled` | {persistence} |{' |' if has_reasons else ''}")
    return "\n".join(rows)


def _is_in(setting: Setting, files: Mapping[str, bytes]) -> str:
    """The file of ``apply.sh`` that has a setting; "" for none."""
    unit = setting.name.rpartition(".")[0]
    path = {
        SYSCTL: f"sysctl.d/{FOLDER_FILE}.conf",
        MODULE: f"modules-load.d/{FOLDER_FILE}.conf",
        BOOT: "boot-parameters",
        MODULE_OPTION: f"modprobe.d/{LAST_FILE}.conf",
        BLACKLIST: f"modprobe.d/{LAST_FILE}.conf",
        LIMIT: f"limits.d/{FOLDER_FILE}.conf",
        SYSFS: f"tmpfiles.d/{FOLDER_FILE}.conf",
        CRIO: f"crio.conf.d/{FOLDER_FILE}.conf",
        UNIT_STATE: "unit-states",
        UNIT: f"units/{unit}.d/{FOLDER_FILE}.conf",
    }.get(setting.kind, "")
    if path not in files:
        return ""
    if setting.kind == SYSCTL:
        return path if f"{sysctl_line(setting)}\n" in files[path].decode() else ""
    return path


def _document_list(documents: Sequence[Delivery]) -> str:
    return "\n".join(
        f"- **{document.form}**, {', '.join(markdown_code(file.path) for file in document.files)}: {escape_markdown(document.instruction)}."
        for document in documents
    )


def _on_node_text(files: Mapping[str, bytes], platform: PlatformDocuments, service: str, package: Mapping[str, str]) -> str:
    parts = []
    if package:
        names = ", ".join(map(markdown_code, package))
        parts.append(
            f"NodeWright sets what its package has files for ({names}): see `{_NODEWRIGHT}/manifests/nodewright.yaml`. "
            "This folder leaves that out."
        )
    if _APPLY in files:
        parts.append(
            "On a running node copy this folder there and run `apply.sh` as root. It keeps every file that it replaces, says what needs a "
            "reload, a restart, a drain or a reboot, and compares afterwards: a setting that another file overrides is reported with the "
            "file, and the exit status is 3. Running it again changes nothing.\n\n"
            "```console\n$ sudo sh node/apply.sh --dry-run\n$ sudo sh node/apply.sh\n$ sudo sh node/apply.sh --revert\n```"
        )
        if service not in _POOLS:
            parts.append(
                "With Ansible: `ansible-playbook -i INVENTORY node/ansible/site.yml`, with `--check` to see what would be changed."
            )
        parts.append(
            f"`eidos bundle --node-agent` adds the component `{NODE_AGENT}`: a DaemonSet that runs this `apply.sh` on every GPU node. Its "
            "container is privileged and enters the namespaces of the host."
        )
    if platform.on_node and service in _POOLS:
        prefer = ": prefer the documents above where they have a setting" if platform.documents else ""
        parts.append(f"Nodes of {service} are replaced by new ones without it{prefer}.")
    return "\n\n".join(parts)


def _persistence_text(persists: bool, by_driver: bool, has_script: bool) -> str:
    if not persists or not has_script:
        return ""
    if by_driver:
        return (
            "Persistence mode: the driver container of the GPU Operator starts nvidia-persistenced. `apply.sh` does it only on a host that "
            "has nvidia-persistenced.service."
        )
    return "Persistence mode: `apply.sh` enables nvidia-persistenced.service where the host has it, without `--no-persistence-mode`."


def _uncovered_list(uncovered: Sequence[tuple[Setting, str]]) -> str:
    rows = ((setting, f"={setting.value}" if setting.value else "", why) for setting, why in uncovered)
    return "\n".join(f"- {setting_label(each)} {markdown_code(each.name + value)}: {escape_markdown(why)}." for each, value, why in rows)


def _summary(count: int, documents: Sequence[Delivery], has_script: bool) -> str:
    ways = [document.form for document in documents] + (["`node/apply.sh`"] if has_script else [])
    what = f"`node/` has the {count_of(count, 'setting')} of the host, which are not applied with the charts"
    return f"## The nodes\n\n{what}. Ways to the nodes: {', '.join(ways) or 'none'}. See `node/README.md`."
