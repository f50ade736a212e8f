"""The node's part of a bundle: every setting has a way to the node or a reason, and what is applied is taken back to the byte."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import InvalidInput
from eidos.formats.toml_reader import parse_toml
from eidos.host_settings.platform_documents import on_host, platform_documents
from eidos.host_settings.setting import BOOT, KINDS, MODULE, SYSCTL, HostFacts, Setting, Unsettable
from eidos.model.bundle import Bundle, file_mode
from eidos.model.recipe import Recipe
from eidos.model.snapshot import Snapshot
from eidos.workflow import check_node, make_recipe
from tests.host_settings.test_forms import SERVICES, SYSTEMS
from tests.support.booted_machine import booted
from tests.support.bundle_files import build, load_documents, load_yaml
from tests.support.node_snapshots import tree_snapshot
from tests.support.node_tree import read_tree

SHELLCHECK = shutil.which("shellcheck") or ""

SCHEMAS = json.loads((Path(__file__).parent.parent / "schemas" / "deployers.json").read_text())

H100 = {"gpu": "h100", "intent": "training"}
UBUNTU = {**H100, "os": "ubuntu", "osv": "24.04", "service": "self-managed"}


@cache
def recipe_of(*query: tuple[str, str]) -> Recipe:
    return make_recipe(dict(query))


@cache
def bundle_of(*query: tuple[str, str], components: tuple[str, ...] | None = ("node-tuning",), agent: bool = False) -> Bundle:
    return build(recipe_of(*query), components=components, node_agent=agent)


def node_files(query: dict[str, str], **options: Any) -> dict[str, str]:
    """The files below node/, by their path there."""
    files = bundle_of(*query.items(), **options).files
    return {path[len("node/") :]: content.decode() for path, content in files.items() if path.startswith("node/")}


def written(files: dict[str, str], folder: Path) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.chmod(path, file_mode(name))
    return folder


def apply(folder: Path, root: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(folder / "apply.sh"), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "ROOT": str(root)})


#: The tool of the boot loader, and what it needs, by system.
SYSTEM_FILES = {
    "debian": {"usr/sbin/update-grub": "#!/bin/sh\n", "etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'},
    "ubuntu": {
        "usr/sbin/update-grub": "#!/bin/sh\n",
        "etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        "etc/default/grub.d/50-cloudimg-settings.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="console=ttyS0"\n',
        "lib/systemd/system/nvidia-persistenced.service": "[Service]\nExecStart=/usr/bin/nvidia-persistenced --no-persistence-mode -V\n",
    },
    "rhel": {"usr/sbin/grubby": "#!/bin/sh\n", "usr/bin/dracut": "#!/bin/sh\n", "boot/loader/entries/a.conf": "options ro\n"},
    "pop": {"usr/bin/kernelstub": "#!/bin/sh\n"},
    "systemd-boot": {"usr/bin/kernel-install": "#!/bin/sh\n", "etc/kernel/cmdline": "root=UUID=1 iommu=pt\n"},
}


def make_root(folder: Path, system: str) -> Path:
    files = {**SYSTEM_FILES[system], "etc/sysctl.conf": "vm.swappiness = 60\n", "proc/sys/net/core/rmem_max": "212992\n"}
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755 if "bin/" in path else 0o644)
    return folder


# ---- what the folder holds ----


def test_every_setting_of_the_recipe_is_in_the_folder() -> None:
    files = node_files({**UBUNTU, "gpu": "gb200"})
    assert "net.core.rmem_max = 536870912\n" in files["sysctl.d/90-eidos.conf"]
    assert files["units/containerd.service.d/90-eidos.conf"] == "[Service]\nLimitSTACK=67108864\n"
    assert files["grub.d/90-eidos.cfg"].startswith('GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT hugepagesz=2M"\n')
    words = files["boot-parameters"].split()
    assert words.index("hugepagesz=2M") < words.index("hugepages=5128"), "a number of pages before their size counts other pages"
    assert files["persistence-mode"] == "Enabled\n"
    table = files["README.md"]
    for reading in ("net/core/rmem_max", "hugepages", "containerd.service.LimitSTACK"):
        assert f"`{reading}`" in table
    assert "Nothing: every setting above has a way to the node." in table


def test_a_recipe_that_says_nothing_of_the_host_has_no_folder() -> None:
    recipe = Recipe.from_tree(
        {"measurements": [{"type": "K8s", "subtypes": [{"subtype": "config", "data": {"cdi": True}}]}]}, "recipe.yaml"
    )
    bundle = build(recipe, components=("cert-manager", "node-tuning"))
    assert not [path for path in bundle.files if path.startswith("node/")] and "## The nodes" not in bundle.files["README.md"].decode()


def test_named_components_come_without_it_and_it_comes_alone() -> None:
    recipe = recipe_of(*UBUNTU.items())
    only = build(recipe, components=("cert-manager",))
    assert not [path for path in only.files if path.startswith("node/")]
    left_out = build(recipe, sets=["node-tuning:enabled=false"])
    assert not [path for path in left_out.files if path.startswith("node/")] and "gpu-operator/values.yaml" in left_out.files
    alone = bundle_of(*UBUNTU.items())
    assert {path.partition("/")[0] for path in alone.files if "/" in path} == {"attestations", "node"}
    assert [result.id for result in alone.components] == ["node-tuning"]
    with pytest.raises(InvalidInput, match="node-tuning has no values"):
        build(recipe, sets=["node-tuning:vm.swappiness=1"])
    with pytest.raises(InvalidInput, match="--node-agent needs node-tuning"):
        build(recipe, sets=["node-tuning:enabled=false"], node_agent=True)


def test_modules_of_the_driver_are_of_whoever_installs_it() -> None:
    query = {**H100, "os": "ubuntu", "service": "eks"}
    alone, complete = node_files(query), node_files(query, components=None)
    assert "gdrdrv" in alone["modules-load.d/90-eidos.conf"]
    assert complete["modules-load.d/90-eidos.conf"] == "efa\n"
    why = "- module `gdrdrv`: it belongs to the driver, which the GPU Operator installs and loads."
    assert why in complete["README.md"] and why in bundle_of(*query.items(), components=None).files["README.md"].decode()


# ---- the form that the platform wants ----

PLATFORMS: tuple[tuple[dict[str, str], str, set[str]], ...] = (
    ({"service": "eks", "os": "ubuntu"}, "apply", {"user-data.mime", "ec2nodeclass-patch.yaml"}),
    ({"service": "eks", "os": "amazonlinux", "gpu": "gb200"}, "apply", {"user-data.mime", "ec2nodeclass-patch.yaml"}),
    ({"service": "eks", "os": "bottlerocket"}, "", {"eidos.toml", "ec2nodeclass-patch.yaml"}),
    ({"service": "gke", "os": "cos"}, "apply", {"node-system-config.yaml"}),
    ({"service": "aks", "os": "ubuntu"}, "apply", {"linuxosconfig.json"}),
    ({"service": "oke", "os": "oraclelinux"}, "apply", {"cloud-init.yaml"}),
    ({"service": "cks", "os": "ubuntu"}, "apply", set()),
    ({"service": "openshift"}, "", {"eidos-machine-config.yaml"}),
    ({"service": "talos"}, "", {"eidos-patch.yaml"}),
    ({"service": "self-managed", "os": "ubuntu"}, "apply", {"cloud-init.yaml", "ansible/site.yml"}),
    ({"service": "self-managed", "os": "rhel", "osv": "9.6"}, "apply", {"cloud-init.yaml", "ansible/site.yml", "tuned.conf"}),
    ({"service": "self-managed", "os": "flatcar"}, "apply", {"eidos.ign"}),
    ({}, "apply", {"cloud-init.yaml", "ansible/site.yml"}),
)


@pytest.mark.parametrize(
    ("query", "script", "expected"), PLATFORMS, ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else None
)
def test_each_platform_has_its_form(query: dict[str, str], script: str, expected: set[str]) -> None:
    # Not every system is in the catalog for every GPU: the settings are the same, the host differs.
    settings = [Setting(SYSCTL, "vm/swappiness", "1"), Setting(BOOT, "iommu", "pt"), Setting(MODULE, "efa")]
    facts = HostFacts(query.get("os", ""), query.get("service", ""))
    platform = platform_documents(settings, facts)
    names = {file.path for document in platform.documents for file in document.files}
    assert names == {name for name in expected if not name.startswith("ansible/")}
    assert bool(platform.on_node) == bool(script)
    assert all(document.instruction for document in platform.documents)
    try:
        files = node_files({**H100, **query})
    except InvalidInput:
        return  # no such system in the catalog
    assert expected <= set(files) | {"ansible/site.yml"} and ("apply.sh" in files) == bool(script)


def test_user_data_of_eks() -> None:
    files = node_files({**H100, "service": "eks", "os": "amazonlinux", "gpu": "gb200"})
    message = email.message_from_string(files["user-data.mime"])
    parts = {part.get_content_type(): str(part.get_payload()) for part in message.walk() if not part.is_multipart()}
    assert set(parts) == {"text/cloud-config", "application/node.eks.aws"}
    config = load_yaml(parts["text/cloud-config"])
    assert {file["path"] for file in config["write_files"]} >= {"/etc/sysctl.d/90-eidos.conf"}
    assert "systemctl try-restart containerd.service" in config["runcmd"]
    node_config = load_yaml(parts["application/node.eks.aws"])
    assert node_config["kind"] == "NodeConfig"
    (limit,) = node_config["spec"]["containerd"]["baseRuntimeSpec"]["process"]["rlimits"]
    assert limit == {"type": "RLIMIT_STACK", "soft": 67108864, "hard": 67108864}
    patch = load_yaml(files["ec2nodeclass-patch.yaml"])
    fields = SCHEMAS["karpenter.k8s.aws/v1/EC2NodeClass"]["properties"]
    for name, value in patch["spec"].items():
        assert not list(jsonschema.Draft202012Validator(fields[name]).iter_errors(value))
    assert patch["spec"] == {"amiFamily": "AL2023", "userData": files["user-data.mime"]}
    ubuntu = load_yaml(node_files({**H100, "service": "eks", "os": "ubuntu"})["ec2nodeclass-patch.yaml"])["spec"]
    assert ubuntu["amiFamily"] == "Custom" and "power_state" in ubuntu["userData"] and len(ubuntu["userData"]) < 16384


def test_what_managed_nodes_do_not_accept_is_listed_with_the_reason() -> None:
    files = node_files({**H100, "service": "gke", "os": "cos"})
    pool = load_yaml(files["node-system-config.yaml"])["linuxConfig"]["sysctl"]
    assert pool["net.core.rmem_max"] == "536870912"
    assert "net.ipv4.conf.all.arp_ignore = 1\n" in files["sysctl.d/90-eidos.conf"], "GKE has no setting for it"
    assert "net.core.rmem_max" not in files["sysctl.d/90-eidos.conf"]
    settings = [Setting(SYSCTL, "vm/swappiness", "1"), Setting(BOOT, "iommu", "pt")]
    platform = platform_documents(settings, HostFacts("ubuntu", service="aks"))
    assert json.loads(platform.documents[0].files[0].text) == {"sysctls": {"vmSwappiness": 1}}
    assert platform.uncovered == ((settings[1], "AKS has no setting for boot parameters of its nodes"),)


def test_nodes_of_oke_start_as_the_service_needs() -> None:
    document = platform_documents([Setting(SYSCTL, "vm/swappiness", "1")], HostFacts("oraclelinux", service="oke")).documents[0]
    commands = load_yaml(document.files[0].text)["runcmd"]
    assert "oke_init_script" in commands[0] and commands[1] == "bash /var/run/oke-init.sh"


def test_documents_hold_all_settings() -> None:
    boot = [Setting(BOOT, "hugepages", "8"), Setting(BOOT, "hugepagesz", "2M"), Setting(BOOT, "quiet")]
    settings = [Setting(SYSCTL, "vm/swappiness", "1"), Setting(SYSCTL, "fs/nr_open", "9"), Setting(MODULE, "ib_umad"), *boot]

    def text(system: str) -> str:
        (document,) = platform_documents(settings, HostFacts(system)).documents
        return document.files[0].text

    toml = parse_toml(text("bottlerocket"))["settings"]
    assert toml["kernel"]["sysctl"] == {"vm.swappiness": "1", "fs.nr_open": "9"} and toml["boot"]["reboot-to-reconcile"] is True
    assert toml["boot"]["kernel-parameters"] == {"hugepages": ["8"], "hugepagesz": ["2M"], "quiet": []}
    machine = load_yaml(text("talos"))["machine"]
    assert machine["sysctls"] == {"vm.swappiness": "1", "fs.nr_open": "9"}
    assert machine["install"]["extraKernelArgs"] == ["hugepages=8", "hugepagesz=2M", "quiet"]
    openshift = load_yaml(text("rhcos"))
    assert [file["path"] for file in openshift["spec"]["config"]["storage"]["files"]] == [
        "/etc/sysctl.d/90-eidos.conf",
        "/etc/modules-load.d/90-eidos.conf",
    ]
    assert openshift["metadata"]["name"] == "95-eidos-node-tuning"
    ignition = json.loads(text("fedora-coreos"))
    assert ignition["ignition"]["version"] == "3.3.0" and len(ignition["kernelArguments"]["shouldExist"]) == 3
    tuned = platform_documents(settings, HostFacts("rhel")).documents[-1].files[0].text
    assert "[sysctl]\nvm.swappiness = 1\n" in tuned and "cmdline_eidos = +hugepagesz=2M hugepages=8 quiet\n" in tuned
    (command,) = on_host(boot, HostFacts("rhel"))[0].commands
    assert command == "grubby --update-kernel=ALL --args='hugepagesz=2M hugepages=8 quiet'"
    assert on_host(boot, HostFacts("pop"))[0].commands == ("kernelstub --add-options 'hugepagesz=2M hugepages=8 quiet'",)
    (command,) = on_host(boot, HostFacts("fedora"))[0].commands
    assert command.count("--append-if-missing=") == 3


names = st.sampled_from(
    ["vm/swappiness", "net/core/rmem_max", "iommu", "ib_umad", "nvidia.NVreg_X", "memlock", "a.service.LimitCORE", "x;y"]
)
any_setting = st.builds(Setting, st.sampled_from(KINDS), names, st.sampled_from(["", "1", "a b", "$(x)", "a\nb", "unlimited", "é"]))


@given(st.lists(any_setting, max_size=6, unique=True), st.sampled_from(SYSTEMS), st.sampled_from((*SERVICES, "talos", "openshift")))
def test_no_setting_is_lost(settings: list[Setting], system: str, service: str) -> None:
    try:
        platform = platform_documents(settings, HostFacts(system, service=service))
    except Unsettable:
        return
    uncovered = {setting for setting, _ in platform.uncovered}
    assert all(why and why.isprintable() for _, why in platform.uncovered)
    assert uncovered.isdisjoint(platform.on_node)
    left = set(settings) - uncovered - set(platform.on_node)
    assert not left or platform.documents, "what is in no document and not on the node has a reason"


# ---- apply.sh, on another root ----


@pytest.mark.parametrize("system", SYSTEM_FILES)
def test_what_is_applied_is_taken_back_to_the_byte(system: str, tmp_path: Path) -> None:
    folder = written(node_files({**UBUNTU, "gpu": "gb200"}), tmp_path / "node")
    root = make_root(tmp_path / "root", system)
    before = read_tree(root)
    shown = apply(folder, root, "--dry-run")
    assert shown.returncode == 0 and read_tree(root) == before, shown.stderr
    assert "would write /etc/sysctl.d/90-eidos.conf" in shown.stdout and "net/core/rmem_max: 212992 -> 536870912" in shown.stdout
    done = apply(folder, root)
    assert done.returncode == 0, done.stderr
    assert (root / "etc/sysctl.d/90-eidos.conf").read_text() == (folder / "sysctl.d/90-eidos.conf").read_text()
    for cost in ("drain and reboot", "restart: run 'systemctl restart containerd.service'"):
        assert cost in done.stdout
    applied = read_tree(root)
    again = apply(folder, root)
    assert again.returncode == 0 and "nothing to change" in again.stdout and read_tree(root) == applied
    if system in ("debian", "ubuntu"):
        assert "hugepagesz=2M" in (root / "etc/default/grub.d/90-eidos.cfg").read_text()
    elif system == "systemd-boot":
        words = (root / "etc/kernel/cmdline").read_text().split()
        assert words[0] == "root=UUID=1" and "numa_balancing=disable" in words and len(words) == len(set(words))
    else:
        assert f"not run in another root: {'grubby' if system == 'rhel' else 'kernelstub'} " in done.stdout
    drop_in = root / "etc/systemd/system/nvidia-persistenced.service.d/90-eidos.conf"
    if system == "ubuntu":
        assert drop_in.read_text() == "[Service]\nExecStart=\nExecStart=/usr/bin/nvidia-persistenced -V\n"
    else:
        assert not drop_in.exists() and "this host has no nvidia-persistenced.service" in done.stdout
    reverted = apply(folder, root, "--revert")
    assert reverted.returncode == 0, reverted.stderr
    assert read_tree(root) == before


@pytest.mark.parametrize(
    ("path", "text", "warning"),
    [
        (
            "etc/sysctl.d/99-sysctl.conf",
            "# x\nnet/core/rmem_max=1000\n",
            "net.core.rmem_max is overridden: /etc/sysctl.d/99-sysctl.conf sets it to 1000",
        ),
        ("usr/lib/sysctl.d/zz.conf", "-vm.overcommit_memory = 0", "vm.overcommit_memory is overridden: /usr/lib/sysctl.d/zz.conf"),
        ("etc/sysctl.d/91-x.conf", "net.ipv4.tcp_rmem=4096\t87380 268435456\n", ""),
        ("etc/sysctl.d/10-x.conf", "net.core.rmem_max = 5\n", ""),
        ("etc/sysctl.d/99-x.conf.dpkg-old", "net.core.rmem_max = 5\n", ""),
        (
            "etc/default/grub.d/99-x.cfg",
            'GRUB_CMDLINE_LINUX_DEFAULT=" quiet"\n',
            "/etc/default/grub.d/99-x.cfg sets GRUB_CMDLINE_LINUX_DEFAULT anew",
        ),
        ("etc/default/grub.d/99-x.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT quiet"\n', ""),
        (
            "run/systemd/system/containerd.service.d/99-x.conf",
            "[Service]\nLimitSTACK=8\n",
            "LimitSTACK is overridden: /run/systemd/system/",
        ),
    ],
)
def test_what_overrides_a_setting_is_named(path: str, text: str, warning: str, tmp_path: Path) -> None:
    folder = written(node_files({**UBUNTU, "gpu": "gb200"}), tmp_path / "node")
    root = make_root(tmp_path / "root", "debian")
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    done = apply(folder, root)
    assert done.returncode == (3 if warning else 0), done.stderr
    assert warning in done.stderr if warning else not done.stderr


def test_what_an_earlier_bundle_brought_is_taken_back(tmp_path: Path) -> None:
    folder = written(node_files({**UBUNTU, "gpu": "gb200"}), tmp_path / "node")
    root = make_root(tmp_path / "root", "debian")
    before = read_tree(root)
    assert apply(folder, root).returncode == 0
    shutil.rmtree(folder / "units")
    shutil.rmtree(folder / "grub.d")
    (folder / "boot-parameters").unlink()
    (folder / "sysctl.d/90-eidos.conf").write_text("vm.swappiness = 1\n")
    done = apply(folder, root)
    for command in ("systemctl daemon-reload", "update-grub"):
        assert f"not run in another root: {command}\n" in done.stdout
    assert "removed /etc/systemd/system/containerd.service.d/90-eidos.conf" in done.stdout
    assert (root / "etc/sysctl.d/90-eidos.conf").read_text() == "vm.swappiness = 1\n"
    # The copy that was kept takes it back, without the bundle.
    shutil.rmtree(folder)
    copy = root / "var/lib/eidos/node-tuning/bundle"
    assert apply(copy, root, "--revert").returncode == 0 and read_tree(root) == before


#: Programs that read and change files, at each of which a run of the script may be killed.
PROGRAMS = ("cat", "cp", "mv", "mkdir", "chmod", "rm", "rmdir", "cmp")

#: More than any run uses.
LAST_PROGRAM = 50


def killed(folder: Path, root: Path, number: int, when: str, *flags: str) -> tuple[bool, str]:
    """Runs the script and kills it before or after the program of that number; whether it used so many, and its output."""
    programs = root.parent / "programs"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:
        real = shutil.which(name)
        count = f'echo >>"{programs}/count"; [ "$(wc -l <"{programs}/count")" -eq {number} ] || exec {real} "$@"'
        run_it = f'{real} "$@"; ' if when == "after" else ""
        (programs / name).write_text(f"#!/bin/sh\n{count}\n{run_it}kill -9 0\n")
        (programs / name).chmod(0o755)
    (programs / "count").write_text("")
    environment = {**os.environ, "ROOT": str(root), "PATH": f"{programs}:{os.environ['PATH']}"}
    command = ["sh", str(folder / "apply.sh"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, start_new_session=True)
    used = (programs / "count").read_text().count("\n")
    assert (done.returncode, used) == (-9, number) or (done.returncode == 0 and used < number), done.stderr
    return used == number, done.stdout


def root_to_kill_in(folder: Path, system: str) -> Path:
    """A root where a file of the bundle has another text, and /var is there or not."""
    root = make_root(folder / "root", system)
    (root / "etc/sysctl.d").mkdir()
    (root / "etc/sysctl.d/90-eidos.conf").write_text("vm.swappiness = 3\n")
    if system == "ubuntu":
        (root / "var/lib").mkdir(parents=True)
    return root


kills = pytest.mark.parametrize(
    ("number", "when", "system"),
    [
        pytest.param(number, when, system, id=f"{number}-{when}-{system}")
        for number in range(1, LAST_PROGRAM + 1)
        for when in ("before", "after")
        for system in ("ubuntu", "rhel")
    ],
)


@kills
@pytest.mark.exhaustive(sample=6)
def test_a_run_that_is_killed_can_be_repeated_and_taken_back(number: int, when: str, system: str, tmp_path: Path) -> None:
    folder = written(node_files({**UBUNTU, "gpu": "gb200"}), tmp_path / "node")
    root = root_to_kill_in(tmp_path, system)
    before = read_tree(root)
    killed(folder, root, number, when)
    assert apply(folder, root, "--revert").returncode == 0 and read_tree(root) == before
    killed(folder, root, number, when)
    assert apply(folder, root).returncode == 0
    assert (root / "etc/sysctl.d/90-eidos.conf").read_text() == (folder / "sysctl.d/90-eidos.conf").read_text()
    killed(folder, root, number, when, "--revert")
    assert apply(folder, root, "--revert").returncode == 0 and read_tree(root) == before


@kills
@pytest.mark.exhaustive(sample=6)
def test_an_upgrade_that_is_killed_can_be_repeated_and_taken_back(number: int, when: str, system: str, tmp_path: Path) -> None:
    """Commands run once more when their files or parameters may have changed since they last did."""
    tool = "not run in another root: " + ("update-grub" if system == "ubuntu" else "grubby ")
    folder = written(node_files({**UBUNTU, "gpu": "gb200"}), tmp_path / "node")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    shutil.rmtree(other / "units")
    for name in ("boot-parameters", "grub.d/90-eidos.cfg"):
        (other / name).write_text((folder / name).read_text().replace("hugepages=5128", "hugepages=64"))
    (other / "sysctl.d/90-eidos.conf").write_text("vm.swappiness = 1\n")
    root = root_to_kill_in(tmp_path, system)
    before = read_tree(root)
    assert apply(folder, root).returncode == 0
    killed(other, root, number, when)
    assert apply(other, root, "--revert").returncode == 0 and read_tree(root) == before, "taken back"
    assert apply(folder, root).returncode == 0
    _, output = killed(other, root, number, when)
    again = apply(other, root)
    assert again.returncode == 0 and tool in output + again.stdout, "repeated"
    assert (root / "etc/sysctl.d/90-eidos.conf").read_text() == "vm.swappiness = 1\n"
    killed(other, root, number, when, "--revert")
    again = apply(other, root)
    assert again.returncode == 0
    assert tool in again.stdout or (number, when) == (1, "before"), "applied anew unless nothing was taken back"
    assert apply(other, root, "--revert").returncode == 0 and read_tree(root) == before


def test_a_killed_restore_leaves_no_part_of_a_file_that_a_tool_wrote(tmp_path: Path) -> None:
    folder = written(node_files(UBUNTU), tmp_path / "node")
    root = make_root(tmp_path / "root", "rhel")
    before = read_tree(root)
    assert apply(folder, root).returncode == 0
    (root / "var/lib/eidos/node-tuning/generated").write_text("/boot/loader/entries/a.conf\n")
    (root / "boot/loader/entries/a.conf.eidos-new").write_text("opt")
    assert apply(folder, root, "--revert").returncode == 0 and read_tree(root) == before


@pytest.mark.root
def test_the_state_of_a_unit_is_recorded_once_systemd_answers(tmp_path: Path) -> None:
    """In a mount namespace, with a systemctl that is killed with the script when it is first asked for a state."""
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and mount namespaces")
    files = {name: text for name, text in node_files(UBUNTU).items() if name in ("apply.sh", "functions.sh", "persistence-mode")}
    folder = written(files, tmp_path / "node")
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/nvidia-persistenced.service").write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / "var-lib").mkdir()
    (tmp_path / "bin").mkdir()
    log = tmp_path / "log"
    program = tmp_path / "bin/systemctl"

    def run_script(answer: str, *flags: str) -> int:
        program.write_text(f'#!/bin/sh\necho "$@" >>{log}\ncase $1 in is-enabled) {answer} ;; esac\n')
        program.chmod(0o755)
        mounts = f"mount --bind {tmp_path}/etc /etc && mount --bind {tmp_path}/var-lib /var/lib"
        script = f"{mounts} && PATH={tmp_path}/bin:$PATH exec sh {folder}/apply.sh {' '.join(flags)}"
        environment = {name: value for name, value in os.environ.items() if name != "ROOT"}
        command = ["unshare", "--mount", "sh", "-c", script]
        return subprocess.run(command, capture_output=True, check=False, env=environment, start_new_session=True).returncode

    assert run_script("kill -9 0") == -9
    assert run_script("echo disabled; exit 1") == 0
    assert run_script("echo enabled", "--revert") == 0
    assert log.read_text().splitlines()[-1] == "disable --now nvidia-persistenced.service"
    assert not (tmp_path / "var-lib/eidos").exists()


def test_no_run_uses_more_programs_than_it_is_killed_at(tmp_path: Path) -> None:
    folder = written(node_files({**UBUNTU, "gpu": "gb200"}), tmp_path / "node")
    root = root_to_kill_in(tmp_path, "rhel")
    for flags in ((), ("--revert",)):
        assert killed(folder, root, LAST_PROGRAM, "before", *flags)[0] is False


def test_what_a_person_changed_since_is_left_alone(tmp_path: Path) -> None:
    folder = written(node_files(UBUNTU), tmp_path / "node")
    root = make_root(tmp_path / "root", "debian")
    assert apply(folder, root).returncode == 0
    (root / "etc/sysctl.d/90-eidos.conf").write_text("mine\n")
    done = apply(folder, root, "--revert")
    assert done.returncode == 1 and "was changed since" in done.stderr
    assert (root / "etc/sysctl.d/90-eidos.conf").read_text() == "mine\n"


def test_a_boot_loader_without_a_tool_is_reported(tmp_path: Path) -> None:
    folder = written(node_files(UBUNTU), tmp_path / "node")
    (tmp_path / "root").mkdir()
    done = apply(folder, tmp_path / "root")
    assert done.returncode == 3 and "append 'init_on_alloc=0 iommu=pt" in done.stderr
    assert apply(folder, tmp_path / "root", "--what").returncode == 2
    assert "Exit status" in apply(folder, tmp_path / "root", "--help").stdout


@pytest.mark.parametrize(
    ("loader", "target"), [("systemd-boot 255.4", "etc/kernel/cmdline"), ("GRUB 2.12", "etc/default/grub.d/90-eidos.cfg")]
)
def test_settings_of_grub_are_left_alone_where_systemd_boot_boots(loader: str, target: str, tmp_path: Path) -> None:
    folder = written(node_files(UBUNTU), tmp_path / "node")
    root = make_root(tmp_path / "root", "ubuntu")
    variable = root / "sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    variable.parent.mkdir(parents=True)
    variable.write_bytes(b"\6\0\0\0" + f"{loader}\0".encode("utf-16-le"))
    if "GRUB" not in loader:
        done = apply(folder, root, "--dry-run")
        assert done.returncode == 3 and "no tool for the boot loader of this host was found: append 'init_on_alloc=0" in done.stderr
    make_root(root, "systemd-boot")
    before = read_tree(root)
    done = apply(folder, root)
    assert done.returncode == 0 and "init_on_alloc=0" in (root / target).read_text(), done.stderr
    assert (root / "etc/default/grub.d/90-eidos.cfg").exists() == ("GRUB" in loader)
    assert apply(folder, root, "--revert").returncode == 0 and read_tree(root) == before


def test_every_kind_of_setting_has_its_file(tmp_path: Path) -> None:
    subtypes = [
        {"subtype": "boot-modprobe", "data": {"options.nouveau.modeset": "0", "blacklist.nouveau": "true"}},
        {"subtype": "cpu", "data": {"governor": "performance"}},
        {"subtype": "runtime", "data": {"crio.cgroup-manager": "systemd", "nvidia.cli.no-cgroups": False}},
    ]
    units = [{"subtype": "nvidia-imex.service", "data": {"UnitFileState": "masked"}}]
    document = {"request": {"os": "ubuntu"}, "measurements": [{"type": "OS", "subtypes": subtypes}, {"type": "SystemD", "subtypes": units}]}
    made = build(Recipe.from_tree(document, "recipe.yaml"), components=("node-tuning",)).files
    files = {path[len("node/") :]: content.decode() for path, content in made.items() if path.startswith("node/")}
    assert files["modprobe.d/zz-eidos-all.conf"] == "options nouveau modeset=0\nblacklist nouveau\n"
    assert files["tmpfiles.d/90-eidos.conf"].startswith("w /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor ")
    assert files["crio.conf.d/90-eidos.conf"] == '[crio.runtime]\ncgroup_manager = "systemd"\n'
    assert files["unit-states"] == "masked nvidia-imex.service\n"
    assert "- toolkit `nvidia-container-cli.no-cgroups=false`: it is not in a file of /etc: run 'nvidia-ctk config" in files["README.md"]
    commands = load_yaml(files["cloud-init.yaml"])["runcmd"]
    assert "systemctl mask --now nvidia-imex.service" in commands and "update-initramfs -u" in commands
    folder = written(files, tmp_path / "node")
    root = make_root(tmp_path / "root", "debian")
    before = read_tree(root)
    done = apply(folder, root, "--restart")
    for command in ("systemctl mask --now nvidia-imex.service", "systemctl try-restart crio kubelet", "systemd-tmpfiles --create "):
        assert f"not run in another root: {command}" in done.stdout
    reverted = apply(folder, root, "--revert")
    assert reverted.returncode == 0 and read_tree(root) == before, reverted.stderr


def boot(root: Path) -> None:
    """What the next boot makes of the files of a root: sysctl.d in its order, GRUB's parameters, modules."""
    folders = ("etc/sysctl.d", "usr/lib/sysctl.d")
    for path in sorted((path for folder in folders for path in (root / folder).glob("*.conf")), key=lambda path: path.name):
        for line in path.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                target = root / "proc/sys" / name.strip().replace(".", "/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(value.strip() + "\n")
    script = 'for file in "$0" "$1"/*.cfg; do . "$file"; done; printf "%s" "$GRUB_CMDLINE_LINUX_DEFAULT"'
    command = ["sh", "-c", script, str(root / "etc/default/grub"), str(root / "etc/default/grub.d")]
    (root / "proc/cmdline").write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout + "\n")
    modules = [line for path in (root / "etc/modules-load.d").glob("*.conf") for line in path.read_text().split()]
    (root / "proc/modules").write_text("".join(f"{name} 16384 0 - Live 0x0000000000000000\n" for name in modules))


def settings_of(snapshot: Snapshot, recipe: Recipe) -> dict[str, str]:
    """Path of each setting of the host in the recipe → what the check says of it."""
    settings = {
        f"OS.{subtype.name}.{key}"
        for measurement in recipe.measurements
        for subtype in measurement.subtypes
        for key in subtype.data
        if subtype.name in ("sysctl", "grub")
    }
    return {each.path: each.status for each in check_node(snapshot, recipe).findings if each.path in settings}


@pytest.mark.parametrize("overridden", [False, True])
def test_check_passes_after_apply_and_a_boot(overridden: bool, tmp_path: Path) -> None:
    recipe = recipe_of(*UBUNTU.items())
    folder = written(node_files(UBUNTU), tmp_path / "node")
    root = make_root(tmp_path / "root", "debian")
    (root / "etc/os-release").write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
    (root / "proc/sys/kernel").mkdir()
    (root / "proc/sys/kernel/osrelease").write_text("6.8.0-60-generic\n")
    (root / "etc/default/grub.d").mkdir(parents=True)
    (root / "etc/default/grub.d/00-x.cfg").write_text("")
    if overridden:
        (root / "etc/sysctl.d").mkdir()
        (root / "etc/sysctl.d/99-sysctl.conf").write_text("net.core.rmem_max = 212992\n")
    boot(root)
    before = settings_of(tree_snapshot(root), recipe)
    assert before["OS.sysctl./proc/sys/net/core/rmem_max"] == "fail" and before["OS.grub.iommu"] == "fail"
    assert apply(folder, root).returncode == (3 if overridden else 0)
    boot(root)
    after = settings_of(tree_snapshot(root), recipe)
    failed = {path for path, status in after.items() if status != "pass"}
    assert set(after) == set(before)
    assert failed == ({"OS.sysctl./proc/sys/net/core/rmem_max"} if overridden else set()), "the script and the check agree"


@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    folder = written(node_files(UBUNTU), tmp_path / "node")
    command = [SHELLCHECK, "--external-sources", str(folder / "apply.sh"), str(folder / "functions.sh")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def run_tool(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What a tool prints; skips where it is not installed."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


RHEL = {**UBUNTU, "os": "rhel", "osv": "9.6"}


@pytest.mark.slow
@pytest.mark.parametrize("query", [UBUNTU, RHEL], ids=["ubuntu", "rhel"])
def test_ansible_accepts_the_role(query: dict[str, str], tmp_path: Path) -> None:
    folder = written(node_files(query), tmp_path / "node")
    done = run_tool("ansible-playbook", "--syntax-check", "--inventory", "localhost,", str(folder / "ansible/site.yml"))
    assert done.returncode == 0, done.stderr


def document_of(system: str, service: str, tmp_path: Path) -> Path:
    """The first document for a host, with settings of every kind."""
    settings = [Setting(SYSCTL, "vm/swappiness", "1"), Setting(BOOT, "iommu", "pt"), Setting(MODULE, "ib_umad")]
    (document, *_) = platform_documents(settings, HostFacts(system, "", service)).documents
    path = tmp_path / document.files[0].path
    path.write_text(document.files[0].text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("system", "service"), [("ubuntu", "self-managed"), ("rhel", "self-managed"), ("oraclelinux", "oke")])
def test_cloud_init_accepts_the_user_data(system: str, service: str, tmp_path: Path) -> None:
    path = document_of(system, service, tmp_path)
    assert path.name == "cloud-init.yaml"
    done = run_tool("cloud-init", "schema", "--config-file", str(path))
    assert done.returncode == 0, done.stderr or done.stdout
    path.write_text(path.read_text().replace("runcmd:", "runcmd: {}\nx:", 1))
    assert run_tool("cloud-init", "schema", "--config-file", str(path)).returncode, "a fault is noticed"


@pytest.mark.slow
@pytest.mark.parametrize("system", ["flatcar", "fedora-coreos", "rhcos"])
def test_ignition_accepts_its_document(system: str, tmp_path: Path) -> None:
    path = document_of(system, "", tmp_path)
    tree = load_yaml(path.read_text())
    config = tree["spec"]["config"] if system == "rhcos" else tree  # OpenShift has it in a MachineConfig
    path.write_text(json.dumps(config))
    done = run_tool("ignition-validate", str(path))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    config["storage"]["files"][0]["path"] = "relative"
    path.write_text(json.dumps(config))
    assert run_tool("ignition-validate", str(path)).returncode, "a fault is noticed"


# ---- on running nodes ----


def test_the_agent_runs_the_script_of_the_bundle() -> None:
    query = tuple(UBUNTU.items())
    bundle = bundle_of(*query, components=("cert-manager",), agent=True)
    assert [result.id for result in bundle.components] == ["node-tuning", "node-agent", "cert-manager"]
    config, daemon_set = load_documents(bundle.files["node-agent/manifests/agent.yaml"])
    (volume,) = (volume for volume in daemon_set["spec"]["template"]["spec"]["volumes"] if "configMap" in volume)
    mounted = {item["path"]: config["data"][item["key"]] for item in volume["configMap"]["items"]}
    files = node_files(UBUNTU)
    assert mounted == {path: files[path] for path in mounted} and {"apply.sh", "functions.sh", "sysctl.d/90-eidos.conf"} <= set(mounted)
    (apply_container,) = daemon_set["spec"]["template"]["spec"]["initContainers"]
    assert apply_container["securityContext"] == {"privileged": True} and "nsenter -t 1 " in apply_container["command"][2]
    assert "docker.io/library/busybox:1.37.0" in bundle.files["images.txt"].decode()
    assert "privileged" in bundle.files["node-agent/README.md"].decode()
    assert not any(path.startswith("node-agent/") for path in bundle_of(*query, components=None).files), "it is off by default"
    mirrored = build(recipe_of(*UBUNTU.items()), components=("node-agent",), registry="mirror.example.com/x")
    assert b"mirror.example.com/x/library/busybox:1.37.0" in mirrored.files["node-agent/manifests/agent.yaml"]
    placed = build(recipe_of(*UBUNTU.items()), components=("node-agent",), accelerated_node_selector={"pool": "gpu"})
    pod = load_documents(placed.files["node-agent/manifests/agent.yaml"])[1]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"} and "affinity" not in pod and not placed.warnings


def test_nodewright_has_what_its_package_sets_and_the_folder_leaves_it_out() -> None:
    query = {**UBUNTU, "gpu": "gb200"}
    files = bundle_of(*query.items(), components=("node-tuning", "skyhook-operator")).files
    (object,) = load_documents(files["skyhook-operator/manifests/nodewright.yaml"])
    assert (object["apiVersion"], object["kind"]) == ("nodewright.nvidia.com/v1alpha1", "NodeWright")
    package = object["spec"]["packages"]["tuning"]
    schema = SCHEMAS["skyhook.nvidia.com/v1alpha1/Skyhook"]
    assert not [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(object["spec"])]
    assert package["interrupt"] == {"type": "reboot"} and object["spec"]["interruptionBudget"] == {"count": 1}
    assert set(package["configMap"]) == {"grub.conf", "service_containerd.conf", "sysctl.conf"}
    assert package["configMap"]["grub.conf"].startswith("hugepagesz=2M\n")
    alone = node_files(query)
    assert package["configMap"]["sysctl.conf"] == alone["sysctl.d/90-eidos.conf"]
    assert not {path for path in files if path.startswith(("node/sysctl.d", "node/boot", "node/grub.d", "node/units"))}
    on_rhel = bundle_of(*{**query, "os": "rhel", "osv": "9.6"}.items(), components=("node-tuning", "skyhook-operator")).files
    assert "node/boot-parameters" in on_rhel, "the package has update-grub only"
    assert b"grub.conf" not in on_rhel["skyhook-operator/manifests/nodewright.yaml"]


# ---- on a system that has booted ----


@pytest.mark.slow
def test_a_booted_system_is_set_checked_and_taken_back(tmp_path: Path) -> None:
    """Units, files and sysctls of a network namespace of its own; the kernel and its boot loader are the machine's."""
    network = {"net/core/somaxconn": "4097", "net/ipv4/tcp_fin_timeout": "59"}
    files = {
        "etc/systemd/system/containerd.service": "[Service]\nExecStart=/bin/sleep infinity\n",
        "usr/lib/systemd/system/nvidia-persistenced.service": (
            "[Service]\nExecStart=/bin/sleep infinity --no-persistence-mode\n[Install]\nWantedBy=basic.target\n"
        ),
        "etc/sysctl.d/99-site.conf": "net.ipv4.tcp_fin_timeout = 61\n",
    }
    part = {name: text for name, text in node_files(UBUNTU).items() if name in ("apply.sh", "functions.sh", "persistence-mode")}
    part["sysctl.d/90-eidos.conf"] = "".join(f"{name.replace('/', '.')} = {value}\n" for name, value in network.items())
    part["units/containerd.service.d/90-eidos.conf"] = "[Service]\nLimitSTACK=67108864\n"
    files.update({f"opt/node/{name}": text for name, text in part.items()})
    with booted(tmp_path, files, "--private-network") as machine:
        old = {name: machine.run("cat", f"/proc/sys/{name}") for name in network}
        output = machine.run("sh", "-c", "sh /opt/node/apply.sh --restart 2>&1; echo status $?")
        assert "status 3" in output and "net.ipv4.tcp_fin_timeout is overridden: /etc/sysctl.d/99-site.conf" in output
        assert {name: machine.run("cat", f"/proc/sys/{name}").strip() for name in network} == network, output
        assert machine.run("systemctl", "show", "--property=LimitSTACK", "--value", "containerd.service").strip() == "67108864"
        assert machine.run("systemctl", "is-enabled", "nvidia-persistenced.service").strip() == "enabled"
        start = machine.run("systemctl", "show", "--property=ExecStart", "nvidia-persistenced.service")
        assert "--no-persistence-mode" not in start
        assert "nothing to change" in machine.run("sh", "-c", "sh /opt/node/apply.sh; true")
        machine.run("sh", "/opt/node/apply.sh", "--revert")
        assert {name: machine.run("cat", f"/proc/sys/{name}") for name in network} == old
        assert machine.run("systemctl", "show", "--property=LimitSTACK", "--value", "containerd.service").strip() != "67108864"
        assert machine.run("sh", "-c", "systemctl is-enabled nvidia-persistenced.service; true").strip() == "disabled"
        assert not (machine.root / "var/lib/eidos/node-tuning").exists()
