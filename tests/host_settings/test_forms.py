"""A setting reaches each host in the form that its system reads, and its value arrives as it is or is refused."""

from __future__ import annotations

import json
import shlex
import subprocess
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.formats import from_text
from eidos.formats.toml_reader import parse_toml
from eidos.host_settings.boot_parameters import grub_drop_in, parameter
from eidos.host_settings.delivery import deliver
from eidos.host_settings.immutable_systems import data_url
from eidos.host_settings.node_pools import AKS_SYSCTLS, GKE_SYSCTLS, cloud_config, eks_user_data
from eidos.host_settings.setting import BOOT, CHART, KINDS, LIMIT, MODULE, MODULE_OPTION, SYSCTL, UNIT, HostFacts, Setting, Unsettable
from eidos.host_settings.setting import setting_of as read_setting
from eidos.model.finding import COSTS, OWNERS
from eidos.wording import quote_word

SWAPPINESS = Setting(SYSCTL, "vm/swappiness", "1")
IOMMU = Setting(BOOT, "iommu", "pt")
UMAD = Setting(MODULE, "ib_umad")
OPTION = Setting(MODULE_OPTION, "nvidia.NVreg_EnableGpuFirmware", "1")
STACK = Setting(UNIT, "containerd.service.LimitSTACK", "67108864")
MEMLOCK = Setting(LIMIT, "memlock", "unlimited")
EXAMPLES = (SWAPPINESS, IOMMU, UMAD, OPTION, STACK, MEMLOCK, Setting(CHART, "driver.version", "580.126.20"))

SYSTEMS = (
    *("ubuntu", "debian", "pop", "rhel", "rocky", "oraclelinux", "amazonlinux", "azurelinux", "sles", "fedora-coreos"),
    *("flatcar", "rhcos", "talos", "bottlerocket", "cos", "", "plan9"),
)
SERVICES = ("", "self-managed", "eks", "aks", "gke", "oke", "rke2")


@pytest.mark.parametrize(
    ("host", "setting", "form", "cost"),
    [
        (HostFacts("ubuntu"), SWAPPINESS, "sysctl.d", "reload"),
        (HostFacts("ubuntu"), UMAD, "modules-load.d", "reload"),
        (HostFacts("ubuntu"), OPTION, "modprobe.d", "reboot"),
        (HostFacts("ubuntu"), STACK, "unit drop-in", "restart"),
        (HostFacts("ubuntu"), MEMLOCK, "limits.d", "reload"),
        (HostFacts("ubuntu", boot_loader="grub"), IOMMU, "grub drop-in", "reboot"),
        (HostFacts("ubuntu", boot_loader="bls"), IOMMU, "by hand", "reboot"),
        (HostFacts("ubuntu", boot_loader="systemd-boot"), IOMMU, "by hand", "reboot"),
        (HostFacts("rhel", boot_loader="systemd-boot"), IOMMU, "by hand", "reboot"),
        (HostFacts("sles", boot_loader="systemd-boot"), IOMMU, "by hand", "reboot"),
        *((HostFacts(system, boot_loader="unknown"), IOMMU, "by hand", "reboot") for system in ("debian", "rhel", "sles")),
        (HostFacts("debian"), IOMMU, "grub drop-in", "reboot"),
        (HostFacts("pop"), IOMMU, "kernelstub", "reboot"),
        (HostFacts("rhel", boot_loader="bls"), IOMMU, "grubby", "reboot"),
        (HostFacts("amazonlinux", service="eks"), IOMMU, "grubby", "reboot"),
        (HostFacts("fedora-coreos"), IOMMU, "rpm-ostree", "reboot"),
        (HostFacts("sles"), IOMMU, "grub2-mkconfig", "reboot"),
        (HostFacts("flatcar"), IOMMU, "Butane", "reboot"),
        (HostFacts("flatcar"), SWAPPINESS, "sysctl.d", "reload"),
        (HostFacts("rhcos"), SWAPPINESS, "MachineConfig", "reboot"),
        (HostFacts("rhcos"), IOMMU, "MachineConfig", "reboot"),
        (HostFacts("talos"), SWAPPINESS, "Talos machine configuration", "reload"),
        (HostFacts("talos"), IOMMU, "Talos machine configuration", "reboot"),
        (HostFacts("bottlerocket", service="eks"), SWAPPINESS, "Bottlerocket settings", "reload"),
        (HostFacts("bottlerocket", service="eks"), OPTION, "Bottlerocket settings", "reboot"),
        (HostFacts("ubuntu", service="aks"), SWAPPINESS, "AKS node configuration", "drain"),
        (HostFacts("ubuntu", service="aks"), UMAD, "DaemonSet", "reload"),
        (HostFacts("cos", service="gke"), SWAPPINESS, "GKE node system configuration", "drain"),
        (HostFacts("cos", service="gke"), UMAD, "DaemonSet", "reload"),
        (HostFacts("ubuntu", driver_owner="driver-container"), OPTION, "GPU Operator", "drain"),
        (HostFacts("ubuntu"), Setting(CHART, "driver.version", "580.126.20"), "GPU Operator", "drain"),
    ],
    ids=lambda value: str(getattr(value, "os", "") or getattr(value, "kind", "") or value),
)
def test_each_host_has_its_form(host: HostFacts, setting: Setting, form: str, cost: str) -> None:
    delivery = deliver(setting, host)
    assert (delivery.form, delivery.cost) == (form, cost)
    assert delivery.files or delivery.commands or delivery.instruction


@pytest.mark.parametrize(
    ("host", "setting", "why"),
    [
        (HostFacts("cos", service="gke"), IOMMU, "GKE has no setting for boot parameters"),
        (HostFacts("ubuntu", service="aks"), IOMMU, "AKS has no setting for boot parameters"),
        (HostFacts("cos"), SWAPPINESS, "made anew at each boot"),
        (HostFacts("talos"), STACK, "Talos has no setting"),
        (HostFacts("bottlerocket"), MEMLOCK, "Bottlerocket has no setting"),
        (HostFacts("plan9"), SWAPPINESS, "plan9 is not known"),
        (HostFacts(), STACK, "not known"),
    ],
)
def test_a_setting_without_a_form_has_a_reason(host: HostFacts, setting: Setting, why: str) -> None:
    with pytest.raises(Unsettable, match=why):
        deliver(setting, host)


def test_new_nodes_of_a_node_group_need_it_too() -> None:
    assert "launch template" in deliver(SWAPPINESS, HostFacts("ubuntu", service="eks")).instruction
    assert deliver(SWAPPINESS, HostFacts("ubuntu", service="self-managed")).instruction == ""


texts = st.text(max_size=12) | st.sampled_from(
    ["$(reboot)", "`x`", "a;b", "a'b", 'a"b', "a\\", "a\nb", "%h", "-x", "a b", "\x00", "é", "#a"]
)
names = st.sampled_from([setting.name for setting in EXAMPLES]) | texts
any_setting = st.builds(Setting, st.sampled_from(KINDS), names, texts | st.integers(0, 1 << 70).map(str))
any_host = st.builds(
    HostFacts,
    st.sampled_from(SYSTEMS),
    st.sampled_from(SERVICES),
    st.sampled_from(["", "grub", "bls"]),
    st.sampled_from(OWNERS),
)


@given(any_setting, any_host)
def test_any_setting_has_a_form_or_is_refused(setting: Setting, host: HostFacts) -> None:
    try:
        delivery = deliver(setting, host)
    except Unsettable as fault:
        why = str(fault)
    else:
        why = "delivered"
    assert why and why.isprintable()
    if why != "delivered":
        return
    assert delivery.cost in COSTS and delivery.owner in OWNERS
    assert delivery.instruction.isprintable()
    for file in delivery.files:
        assert file.path.isprintable() and ".." not in file.path and file.text.endswith("\n")
        assert file.path.startswith("/etc/") or "/" not in file.path
        file.text.encode()
    for command in (*delivery.commands, *delivery.revert):
        # One simple command: whatever a value holds, the shell splits it into words and finds nothing else.
        assert command.isprintable()
        assert shlex.split(command, posix=True)
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        assert not {"(", ")", ";", "<", ">", "|", "&"} & {token[0] for token in lexer if token and not set(token) - set("();<>|&")}


values = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)


@given(values)
def test_a_sysctl_has_the_value_everywhere(value: str) -> None:
    setting = Setting(SYSCTL, "vm/swappiness", value)
    try:
        line = deliver(setting, HostFacts("ubuntu")).files[0].text
    except Unsettable:
        return
    value = value.strip(" ")
    assert line.rstrip("\n").partition(" = ")[2] == value
    trees = {name: deliver(setting, HostFacts(name)).files[0].text for name in ("bottlerocket", "talos", "rhcos")}
    assert parse_toml(trees["bottlerocket"]) == {"settings": {"kernel": {"sysctl": {"vm.swappiness": value}}}}
    assert from_text(trees["talos"], "a")["machine"]["sysctls"] == {"vm.swappiness": value}
    (file,) = from_text(trees["rhcos"], "a")["spec"]["config"]["storage"]["files"]
    assert unquote(file["contents"]["source"].removeprefix("data:,")) == line
    pool = deliver(setting, HostFacts("cos", service="gke")).files[0].text
    assert from_text(pool, "a") == {"linuxConfig": {"sysctl": {"vm.swappiness": value}}}


@settings(max_examples=25)
@given(st.text(st.sampled_from("ab1_.,:=/@+%-;&|<>(){}[]*?!~#^$`'\"\\ "), max_size=12))
def test_a_shell_reads_from_the_drop_in_what_grub_is_to_have(value: str) -> None:
    setting = Setting(BOOT, "pci", value)
    try:
        text = grub_drop_in(setting).text
    except Unsettable:
        assert set(value) & set("$`'\"\\ ")
        return
    done = subprocess.run(
        ["sh", "-c", f'set -eu; GRUB_CMDLINE_LINUX_DEFAULT=quiet\n{text}printf %s "$GRUB_CMDLINE_LINUX_DEFAULT"'],
        capture_output=True,
        text=True,
        check=True,
    )
    # GRUB's scripts quote as the shell does: one word for the kernel.
    assert shlex.split(done.stdout) == ["quiet", parameter(setting)]


def test_services_take_what_their_documents_list() -> None:
    assert json.loads(deliver(SWAPPINESS, HostFacts("ubuntu", service="aks")).files[0].text) == {"sysctls": {"vmSwappiness": 1}}
    for name, (_, least, greatest) in AKS_SYSCTLS.items():
        path = "/".join(name.split("."))
        for value, form in ((least, "AKS node configuration"), (greatest, "AKS node configuration"), (greatest + 1, "DaemonSet")):
            assert deliver(Setting(SYSCTL, path, str(value)), HostFacts(service="aks")).form == form, name
    names = [f"{folder}.{name}" for folder, text in GKE_SYSCTLS.items() for name in text.split()]
    assert len(names) == len(set(names)) and "vm.min_free_kbytes" in names


def test_user_data_has_files_and_commands_once() -> None:
    deliveries = [
        deliver(each, HostFacts("ubuntu", service="eks")) for each in (SWAPPINESS, STACK, Setting(UNIT, "kubelet.service.LimitCORE", "0"))
    ]
    text = cloud_config(deliveries)
    assert text.startswith("#cloud-config\n")
    tree = from_text(text, "user-data")
    assert tree["write_files"][0]["path"] == "/etc/sysctl.d/95-eidos-vm.swappiness.conf"
    assert tree["runcmd"].count("systemctl daemon-reload") == 1
    assert text in eks_user_data(deliveries)
    assert data_url("a b\n") == "data:,a%20b%0A"


@pytest.mark.parametrize(
    ("path", "value", "setting"),
    [
        ("OS.grub.iommu", "pt", IOMMU),
        ("OS.grub.hugepages#2", "8", Setting(BOOT, "hugepages", "8")),
        ("OS.kmod.ib_umad", "true", UMAD),
        ("OS.kmod.ib_umad", "false", None),
        ("SystemD.kubelet.service.LimitMEMLOCK", "18446744073709551615", Setting(UNIT, "kubelet.service.LimitMEMLOCK", "infinity")),
        ("SystemD.kubelet.service.ActiveState", "active", None),
        ("K8s.image.gpu-operator", "v26.3.3", None),
        ("OS", "", None),
    ],
)
def test_a_reading_is_a_setting_or_has_none(path: str, value: str, setting: Setting | None) -> None:
    assert read_setting(path, value) == setting


@pytest.mark.parametrize("text", ["", "iommu=pt", "a b", "it's", "pci=0:0,x", "é", "$(x)", "-", "a\nb", "~"])
def test_a_word_of_a_shell_is_quoted_as_the_standard_library_does(text: str) -> None:
    assert quote_word(text) == shlex.quote(text)
