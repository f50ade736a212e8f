"""Remedies of checks that are settings come in the form of the host, go into the script, and lead back to what was before."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.check.check_lint import lint_checks
from eidos.check.definitions import CheckDefinition
from eidos.check.evaluation import choose_remedy
from eidos.check.fix_script import why_by_hand
from eidos.check.node_readings import NodeReadings
from eidos.check.setting_remedies import host_facts, setting_remedy, with_forms
from eidos.host_settings.setting import UNIT_STATES
from eidos.model.finding import DO, RUN, SETTING, WRITE, Remedy, RemedyStep
from eidos.model.measurement import Measurement, Subtype
from eidos.model.snapshot import Snapshot
from eidos.workflow import SnapshotOptions, take_snapshot
from tests.check.planted import FAULTS, Fault, check_data, plant, report_of
from tests.check.test_fix_script import failed, run, script
from tests.support.effort import examples
from tests.support.node_tree import read_tree

CHECKS = {check.id: check for check in check_data().checks}


def settings_of(check: CheckDefinition) -> list[RemedyStep]:
    return [step for each in check.remedies for step in each.remedy.steps if step.kind == SETTING]


WITH_SETTINGS = sorted(id for id, check in CHECKS.items() if settings_of(check))


def node(readings: dict[str, dict[str, str]], **derived: str) -> NodeReadings:
    """The readings of a node, by subtype, and names that are derived."""
    subtypes: dict[str, list[Subtype]] = {}
    for name, data in readings.items():
        kind, _, subtype = name.partition(".")
        subtypes.setdefault(kind, []).append(Subtype(subtype, {**data}))
    result = NodeReadings(Snapshot("", "", "", tuple(Measurement(kind, tuple(each)) for kind, each in subtypes.items())))
    result.derived.update({"node.driver-owner": "host", **{name.replace("_", "."): text for name, text in derived.items()}})
    return result


# What a check may write into its file.

#: Commands that set what a form sets.
_SETTING_COMMANDS = ("sysctl -w", "grubby", "update-grub", "systemctl enable", "systemctl disable", "systemctl mask", "nvidia-ctk config")


def test_no_check_writes_a_setting_by_hand() -> None:
    """But for a package that is installed first, whose units do not exist yet."""
    for check in CHECKS.values():
        for each in check.remedies:
            installs = any("install --" in step.text for step in each.remedy.steps)
            for step in each.remedy.steps:
                assert step.kind != WRITE, check.id
                assert installs or check.id == "time-not-synchronized" or not step.text.startswith(_SETTING_COMMANDS), (check.id, step.text)
    assert len(WITH_SETTINGS) >= 16


def test_lint_finds_settings_that_no_form_sets() -> None:
    def codes(*remedies: object) -> list[str]:
        entry = {"id": "a", "title": "b", "severity": "info", "expect": "OS.kmod.x absent", "reason": "c.", "remedy": list(remedies)}
        return [issue.rule for issue in lint_checks({"checks/x.yaml": {"checks": [entry]}}) if issue.rule != "unsourced-check"]

    text = {"steps": [{"do": "look"}]}
    boot = {"steps": [{"setting": "OS.grub.iommu", "value": "pt"}]}
    assert codes(boot, text) == []
    assert codes(text, boot) == ["unused-remedy"]
    assert codes({"steps": [{"setting": "GPU.smi.driver", "value": "580"}]}) == ["unknown-setting"]
    assert codes({"steps": [{"setting": "SystemD.a.service.UnitFileState", "value": "static"}]}) == ["unknown-setting"]
    assert codes({"steps": [{"setting": "OS.grub.iommu", "content": "pt"}]}) == ["form"]


# The form of each host.


@pytest.mark.parametrize(
    ("check", "system", "service", "first"),
    [
        ("iommu-translation", "ubuntu", "", "/etc/default/grub.d/95-eidos-iommu.cfg"),
        ("iommu-translation", "rhel", "", "grubby --update-kernel=ALL --args=iommu=pt"),
        ("iommu-translation", "talos", "", "eidos-patch.yaml"),
        ("iommu-translation", "rhcos", "", "eidos-machine-config.yaml"),
        ("iommu-translation", "bottlerocket", "", "eidos.toml"),
        ("iommu-translation", "flatcar", "", "eidos.bu"),
        ("iommu-translation", "plan9", "", "boot with iommu=pt"),
        ("nouveau-loaded", "rhel", "", "/etc/modprobe.d/zz-eidos-blacklist-nouveau.conf"),
        ("nouveau-loaded", "talos", "", "eidos-patch.yaml"),
        ("nouveau-loaded", "", "", "keep nouveau from being loaded"),
        ("fabric-manager-not-running", "ubuntu", "", "systemctl enable --now nvidia-fabricmanager.service"),
        ("fabric-manager-not-running", "rhcos", "", "eidos-machine-config.yaml"),
        ("fabric-manager-not-running", "bottlerocket", "eks", "use a node image"),
        ("imex-beside-dra", "ubuntu", "gke", "set nvidia-imex.service to masked by a privileged DaemonSet"),
        ("cgroup-version-1", "debian", "", "/etc/default/grub.d/95-eidos-systemd.unified_cgroup_hierarchy.cfg"),
        ("cgroup-version-1", "ubuntu", "aks", "use a node image with cgroup version 2"),
        ("rdma-memory-limit", "sles", "", "/etc/systemd/system/containerd.service.d/95-eidos-LimitMEMLOCK.conf"),
        ("rdma-memory-limit", "bottlerocket", "", "give the Pods"),
        ("cpu-governor", "azurelinux", "", "/etc/tmpfiles.d/95-eidos-scaling_governor.conf"),
        (
            "cpu-governor",
            "cos",
            "gke",
            "set /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor to performance by",
        ),
        ("toolkit-devices-unprivileged", "bottlerocket", "", "eidos.toml"),
        ("toolkit-no-cgroups", "ubuntu", "", "nvidia-ctk config --set nvidia-container-cli.no-cgroups=false --in-place"),
    ],
)
def test_each_host_gets_its_own_form(check: str, system: str, service: str, first: str) -> None:
    remedy = choose_remedy(CHECKS[check], node({}, query_os=system, query_service=service))
    assert remedy is not None
    assert (remedy.steps[0].file or remedy.steps[0].text).startswith(first)
    assert remedy.cost and (remedy.owner or remedy.steps[0].kind == DO)
    assert SETTING not in {step.kind for step in remedy.steps}


def test_modules_that_a_distribution_builds_are_not_built_by_dkms() -> None:
    """Ubuntu's linux-modules-nvidia come without DKMS."""
    check = CHECKS["driver-module-missing"]
    built = choose_remedy(check, node({"OS.packages": {"linux-modules-nvidia-580-server-generic": "6.8.0-60.63"}}, query_os="ubuntu"))
    own = choose_remedy(check, node({"OS.packages": {"nvidia-dkms-580": "580.178.04-0ubuntu1"}}, query_os="ubuntu"))
    assert built is not None and own is not None
    assert ["dkms" in step.text for step in built.steps] == [False] * 3
    assert "dkms autoinstall" in [step.text for step in own.steps]


@pytest.mark.parametrize("system", ["ubuntu", "rhel", "talos", "bottlerocket", "rhcos", "flatcar", "cos", "plan9", ""])
def test_a_setting_never_reaches_a_document(system: str) -> None:
    for service in ("", "eks", "aks", "gke", "oke"):
        for id in WITH_SETTINGS:
            remedy = choose_remedy(CHECKS[id], node({}, query_os=system, query_service=service))
            assert remedy is None or SETTING not in {step.kind for step in (*remedy.steps, *remedy.revert)}


def test_what_a_command_needs_is_written_before_it_runs_once_and_a_person_comes_last() -> None:
    remedy = choose_remedy(CHECKS["nouveau-loaded"], node({}, query_os="ubuntu"))
    assert remedy is not None
    assert [step.kind for step in remedy.steps] == [WRITE, WRITE, RUN, DO]
    assert [step.text for step in remedy.revert] == [
        "rm /etc/modprobe.d/zz-eidos-nouveau-modeset.conf",
        "rm /etc/modprobe.d/zz-eidos-blacklist-nouveau.conf",
        "update-initramfs -u",
    ]


def test_grubby_keeps_the_other_words_of_a_list() -> None:
    readings = node({"OS.grub": {"pci": "realloc=off"}}, query_os="rhel")
    remedy = choose_remedy(CHECKS["acs-redirect"], readings)
    assert remedy is not None
    assert remedy.steps[0].text == "grubby --update-kernel=ALL --args=pci=realloc=off,disable_acs_redir=pci:0:0"
    assert [step.text for step in remedy.revert] == ["grubby --update-kernel=ALL --args=pci=realloc=off"]
    assert setting_remedy("OS.grub.pci", "realloc=off", readings) is not None


@pytest.mark.parametrize(
    ("file", "later"),
    [
        ("/etc/sysctl.d/90-site.conf", []),
        ("/etc/sysctl.d/95-eidos-vm.swappiness.conf", []),
        ("/etc/sysctl.d/99-site.conf", ["remove vm.swappiness from /etc/sysctl.d/99-site.conf, which is read later"]),
        ("/etc/sysctl.conf", ["remove vm.swappiness from /etc/sysctl.conf, which is read later"]),
    ],
)
def test_a_file_that_is_read_later_is_named(file: str, later: list[str]) -> None:
    path = "/proc/sys/vm/swappiness"
    boot = Subtype("boot-sysctl", {path: "60"}, {path: f"set in {file}"})
    readings = NodeReadings(Snapshot("", "", "", (Measurement("OS", (Subtype("sysctl", {path: "60"}), boot)),)))
    readings.derived["query.os"] = "ubuntu"
    remedy = setting_remedy(f"OS.sysctl.{path}", "1", readings)
    assert remedy is not None
    assert [step.text for step in remedy.steps if step.kind == DO] == later


# Back to what was before.


class Unit:
    """What systemctl(1) does to a unit file and its service."""

    def __init__(self, state: str, active: str) -> None:
        self.state, self.active = state, active

    def run(self, command: str) -> None:
        _, verb, *flags, _name = command.split()
        now = "--now" in flags
        assert not (self.state == "masked" and (verb in ("enable", "start"))), command
        if verb in ("enable", "disable", "mask"):
            self.state = {"enable": "enabled", "disable": "disabled", "mask": "masked"}[verb]
        if verb == "unmask":
            self.state = "disabled" if self.state == "masked" else self.state
        if verb == "start" or (verb == "enable" and now):
            self.active = "active"
        if verb == "stop" or (verb in ("disable", "mask") and now):
            self.active = "inactive"


@given(st.sampled_from(UNIT_STATES), st.sampled_from(["active", "inactive"]), st.sampled_from(UNIT_STATES))
def test_a_unit_gets_the_state_and_then_its_own_back(state: str, active: str, value: str) -> None:
    if state == "masked":
        active = "inactive"  # what is masked while it runs cannot be started again
    unit = Unit(state, active)
    readings = node({"SystemD.a.service": {"UnitFileState": state, "ActiveState": active}}, query_os="ubuntu")
    remedy = setting_remedy("SystemD.a.service.UnitFileState", value, readings)
    assert remedy is not None
    for step in remedy.steps:
        unit.run(step.text)
    assert (unit.state, unit.active) == (value, "active" if value == "enabled" else "inactive")
    for step in remedy.revert:
        unit.run(step.text)
    assert (unit.state, unit.active) == (state, active)


def test_a_governor_gets_its_value_back_where_it_is_one() -> None:
    line = "w /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor - - - -"
    for governor, is_reversible in (("powersave", True), ("mixed", False)):
        remedy = setting_remedy("OS.cpu.governor", "performance", node({"OS.cpu": {"governor": governor}}, query_os="debian"))
        assert remedy is not None
        assert (remedy.steps[0].text, remedy.is_reversible) == (f"{line} performance\n", is_reversible)
        assert (f"systemd-tmpfiles --create --inline '{line} {governor}'" in {step.text for step in remedy.revert}) == is_reversible


def test_a_sysctl_that_a_file_sets_is_set_again_and_put_back() -> None:
    (fault,) = [fault for fault in FAULTS if fault.check == "sysctl-next-boot"]
    (finding,) = [finding for finding in report_of(plant(fault)).findings if finding.id == fault.check]
    assert finding.remedy is not None
    assert [step.text for step in finding.remedy.steps] == ["sysctl -w vm.swappiness=1"]
    assert [step.text for step in finding.remedy.revert] == ["sysctl -w vm.swappiness=60"]
    assert "keep_live 'vm/swappiness'" in script(finding)


@settings(max_examples=examples(25))
@given(st.lists(st.sampled_from(["OS.grub.iommu", "OS.kmod.ib_umad", "OS.sysctl./proc/sys/vm/swappiness", "GPU.x"]), max_size=4))
def test_steps_of_a_person_stay_and_costs_are_the_highest(paths: list[str]) -> None:
    steps = [RemedyStep(SETTING, "true" if "kmod" in path else "1", path) for path in paths]
    remedy = with_forms(Remedy((*steps, RemedyStep(DO, "look")), "reload"), node({}, query_os="ubuntu"))
    assert remedy is not None
    assert remedy.cost == ("reboot" if "OS.grub.iommu" in paths else "reload")
    assert RemedyStep(DO, "look") in remedy.steps
    assert len(set(remedy.steps)) == len(remedy.steps) and len(set(remedy.revert)) == len(remedy.revert)


# In the script.


#: One fault of each check whose remedy is a setting, on hosts of one's own.
PLANTED = {fault.check: fault for fault in FAULTS if fault.check in WITH_SETTINGS and fault.host in ("hgx", "a100", "b200", "gb300")}

#: Remedies with a part that a script cannot do.
BY_HAND = ("fabric-without-umad", "time-not-synchronized", "toolkit-devices-unprivileged")


@pytest.mark.parametrize("fault", PLANTED.values(), ids=PLANTED)
def test_the_script_applies_it_and_gives_the_same_bytes_back(fault: Fault, tmp_path: Path) -> None:
    (finding,) = [finding for finding in report_of(plant(fault)).findings if finding.id == fault.check]
    why = why_by_hand(finding.remedy)
    assert bool(why) == (fault.check in BY_HAND), why
    if why:
        return
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    before, text = read_tree(root), script(finding)
    for flag in ("--apply", "--revert"):
        done = run(text, root, flag)
        assert (done.returncode, done.stderr) == (0, "")
        assert finding.remedy is not None
        for step in finding.remedy.steps:
            if step.kind == WRITE:
                file = root / step.file[1:]
                assert file.read_text() == step.text if flag == "--apply" else not file.exists()
    assert read_tree(root) == before


def test_a_remedy_without_a_way_back_of_its_own_is_not_applied() -> None:
    (fault,) = [fault for fault in FAULTS if fault.check == "unit-needs-reload"]
    (finding,) = [finding for finding in report_of(plant(fault)).findings if finding.id == fault.check]
    assert why_by_hand(finding.remedy)
    assert "put '" not in script(failed("x", finding.remedy)).split("PLAN=")[1]


@pytest.mark.parametrize(
    ("loader", "source", "form"),
    [
        ("grub", "/boot/grub/grub.cfg", "grub"),
        ("grub", "/boot/loader/entries/a.conf", "bls"),
        ("grub", "", "grub"),
        ("systemd-boot", "/boot/loader/entries/a.conf", "systemd-boot"),
        ("systemd-boot", "/boot/EFI/Linux/a.efi", "systemd-boot"),
        ("systemd-boot", "", "systemd-boot"),
        ("", "/etc/default/grub", "grub"),
        ("", "/boot/loader/entries/a.conf", "unknown"),
        ("", "/efi/loader/entries/a.conf", "unknown"),
        ("", "", ""),
    ],
)
def test_the_boot_loader_of_a_remedy_is_that_of_the_next_boot(loader: str, source: str, form: str) -> None:
    readings = {"boot-loader": loader, "command-line-source": source}
    assert host_facts(node({"OS.boot": {key: value for key, value in readings.items() if value}})).boot_loader == form


def test_no_tool_of_grub_is_proposed_where_it_is_not_decided_which_boot_loader_boots() -> None:
    tree = Path(__file__).parent.parent / "cases/os.boot/two-boot-loaders.in"
    snapshot = take_snapshot(SnapshotOptions(root=str(tree), collectors=("os.boot",)))
    assert host_facts(NodeReadings(snapshot)).boot_loader == "unknown"
