"""The script of remedies changes nothing without --apply, nothing twice, and takes back what it changed to the byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.check.fix_script import FUNCTIONS, fix_script, plan_remedies, why_by_hand
from eidos.check.node_readings import NodeReadings
from eidos.check.setting_remedies import setting_remedy
from eidos.files.resources import read_text
from eidos.model.check_report import CheckReport
from eidos.model.finding import DO, RUN, SET, WRITE, Finding, Remedy, RemedyStep
from eidos.model.snapshot import Snapshot
from tests.check.test_judge import snapshot
from tests.support.node_tree import read_tree

SHELLCHECK = shutil.which("shellcheck")

FORMS = {
    "OS.sysctl./proc/sys/vm/swappiness": "1",
    "OS.sysctl./proc/sys/net/ipv4/tcp_rmem": "4096\t87380\t6291456",
    "OS.kmod.ib_umad": "true",
    "OS.grub.iommu": "pt",
    "OS.grub.init_on_alloc": "0",
    "SystemD.containerd.service.LimitSTACK": "67108864",
}


def failed(id: str, remedy: Remedy | None, title: str = "", reason: str = "", expected: str = "", actual: str = "") -> Finding:
    return Finding(id, title or id, "fail", "warning", "kernel", id, expected, actual, reason, remedy=remedy)


def script(*findings: Finding) -> str:
    return fix_script(CheckReport("2026-11-29T06:00:00Z", "1.2.3", "gpu-07", findings=findings), read_text(FUNCTIONS))


def node(system: str = "ubuntu") -> NodeReadings:
    readings = NodeReadings(snapshot({"OS.sysctl": {"/proc/sys/vm/swappiness": "60"}}))
    readings.derived.update({"query.os": system, "node.driver-owner": "host"})
    return readings


def of_settings(system: str = "ubuntu") -> str:
    return script(*(failed(path, setting_remedy(path, value, node(system))) for path, value in FORMS.items()))


def run(text: str, root: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script on the files below ``root``."""
    file = root.parent / "fix.sh"
    file.write_bytes(text.encode())
    return subprocess.run(
        ["sh", str(file), *flags], capture_output=True, text=True, check=False, env={**os.environ, "ROOT": str(root), **environment}
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Another root, with a file that a remedy replaces, a link in the place of another, and sysctls."""
    root = tmp_path / "root"
    old = {
        "etc/sysctl.d/95-eidos-vm.swappiness.conf": "vm.swappiness = 7\n# mine",
        "etc/sysctl.d/99-sysctl.conf": "vm.swappiness = 10\n",
        "proc/sys/vm/swappiness": "60\n",
    }
    for path, text in old.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (root / "etc/sysctl.d/95-eidos-vm.swappiness.conf").chmod(0o640)
    (root / "etc/modules-load.d").mkdir()
    (root / "etc/modules-load.d/95-eidos-ib_umad.conf").symlink_to("/dev/null")
    return root


def test_nothing_changes_without_apply(root: Path) -> None:
    before = read_tree(root)
    done = run(of_settings(), root)
    assert (done.returncode, done.stderr, read_tree(root)) == (0, "", before)
    assert "would write /etc/sysctl.d/95-eidos-vm.swappiness.conf" in done.stdout
    assert done.stdout.count("would run: update-grub\n") == 1


def test_applied_twice_changes_once_and_reverted_gives_the_same_bytes(root: Path) -> None:
    before, text = read_tree(root), of_settings()
    done = run(text, root, "--apply")
    assert (done.returncode, done.stderr) == (0, "")
    assert (root / "etc/sysctl.d/95-eidos-vm.swappiness.conf").read_text() == "vm.swappiness = 1\n"
    assert (root / "etc/sysctl.d/95-eidos-net.ipv4.tcp_rmem.conf").read_text() == "net.ipv4.tcp_rmem = 4096 87380 6291456\n"
    assert (root / "etc/modules-load.d/95-eidos-ib_umad.conf").read_text() == "ib_umad\n"
    applied = read_tree(root)
    again = run(text, root, "--apply")
    assert (again.returncode, again.stderr, read_tree(root)) == (0, "", applied)
    assert "nothing to change" in again.stdout
    (root / "proc/sys/vm/swappiness").write_text("1\n")
    (state,) = (root / "var/lib/eidos").iterdir()
    assert (state / "fix.sh").read_text() == text
    done = run(text, root, "--revert")
    assert (done.returncode, done.stderr, read_tree(root)) == (0, "", before)
    assert "nothing to revert" in run(text, root, "--revert").stdout


def test_what_somebody_changed_since_is_left_alone(root: Path) -> None:
    text = of_settings()
    assert run(text, root, "--apply").returncode == 0
    mine = root / "etc/default/grub.d/95-eidos-iommu.cfg"
    mine.write_text("mine\n")
    done = run(text, root, "--revert")
    assert (done.returncode, mine.read_text()) == (1, "mine\n")
    assert "was changed since --apply" in done.stderr and "hint: " in done.stderr
    assert (root / "etc/sysctl.d/95-eidos-vm.swappiness.conf").read_text().endswith("# mine")


@pytest.mark.parametrize(("flags", "status"), [(["--aply"], 2), (["--apply", "--revert"], 2), (["--help"], 0)])
def test_wrong_usage_changes_nothing(root: Path, flags: list[str], status: int) -> None:
    before = read_tree(root)
    done = run(of_settings(), root, *flags)
    assert (done.returncode, read_tree(root)) == (status, before)
    assert "usage: " in done.stdout + done.stderr
    assert run(of_settings(), root / "none", "--apply").returncode == 1


def test_an_interrupted_apply_is_completed_or_reverted(root: Path) -> None:
    before = read_tree(root)
    blocked = root / "etc/default/grub.d"
    blocked.parent.mkdir()
    blocked.write_text("a file where a folder should be")
    done = run(of_settings(), root, "--apply")
    assert done.returncode != 0
    assert run(of_settings(), root, "--revert").returncode == 0
    blocked.unlink()
    blocked.parent.rmdir()
    assert read_tree(root) == before


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["'", "'\"'\"'", "$(touch /tmp/x)", "`id`", "\\", "a\n", "\n\n", "a\r\n", "EOF\n", '"$HOME"', "%s%n", "-n", "x\n# y", "\x1b[31m"]
)


@settings(max_examples=15, deadline=None)
@given(texts, texts, texts)
def test_a_file_has_the_text_whatever_it_holds(tmp_path_factory: pytest.TempPathFactory, content: str, title: str, reason: str) -> None:
    root = tmp_path_factory.mktemp("fix") / "root"
    root.mkdir()
    remedy = Remedy((RemedyStep(WRITE, content, "/etc/a b/it's $HOME.conf"),), "reload", "host")
    text = script(failed("a", remedy, title=title, reason=reason, expected=title, actual=reason))
    done = run(text, root, "--apply")
    assert (done.returncode, done.stderr) == (0, "")
    assert (root / "etc/a b/it's $HOME.conf").read_bytes() == content.encode()
    assert run(text, root, "--revert").returncode == 0
    assert read_tree(root) == {}


def test_what_a_script_cannot_do_is_a_comment() -> None:
    file = RemedyStep(WRITE, "a\n", "/etc/sysctl.d/a.conf")
    cases = {
        "no remedy is known": None,
        "driver container": Remedy((file,), owner="driver-container"),
        "cannot be reverted": Remedy((file,), is_reversible=False),
        "a person does": Remedy((RemedyStep(DO, "drain"), file)),
        "a person": Remedy((RemedyStep(SET, "gpu-operator:a=b"),)),
        "a person does a part": Remedy((file, RemedyStep(DO, "look"), RemedyStep(RUN, "sysctl --system"))),
        "applied elsewhere": Remedy((RemedyStep(WRITE, "a", "eidos.toml"),)),
        "applied": Remedy((RemedyStep(WRITE, "a", "/etc/../a"),)),
        "no known way back": Remedy((RemedyStep(RUN, "apt-get install x"),)),
        "known way back": Remedy((RemedyStep(RUN, "sysctl --system"),)),
        "cannot take its text": Remedy((RemedyStep(WRITE, "a\0", "/etc/a"),)),
    }
    for part, remedy in cases.items():
        assert part in why_by_hand(remedy)
        assert "put '" not in script(failed("x", remedy)).split("PLAN=")[1]
    other = Remedy((RemedyStep(WRITE, "b\n", file.file),))
    planned, others = plan_remedies([failed("a", Remedy((file,))), failed("b", Remedy((file,))), failed("c", other)])
    assert [[f.id for f in each.findings] for each in planned] == [["a", "b"]]
    assert [(finding.id, why) for finding, why in others] == [("c", "it writes other text into a file of another remedy")]


def test_a_value_of_now_gives_way_to_one_that_lasts() -> None:
    """Whichever comes first."""
    now = failed(
        "sysctl-next-boot", Remedy((RemedyStep(RUN, "sysctl -w vm.swappiness=60"),), revert=(RemedyStep(RUN, "sysctl -w vm.swappiness=1"),))
    )
    lasting = failed("OS.sysctl./proc/sys/vm/swappiness", setting_remedy("OS.sysctl./proc/sys/vm/swappiness", "1", node()))
    for findings in ((now, lasting), (lasting, now)):
        planned, others = plan_remedies(findings)
        assert [each.findings[0].id for each in planned] == [lasting.id]
        assert [(finding.id, why) for finding, why in others] == [(now.id, "a file of another remedy sets another value")]
    assert [each.findings[0].id for each in plan_remedies([now])[0]] == [now.id]


def test_a_reboot_is_left_to_a_person() -> None:
    remedy = Remedy((RemedyStep(WRITE, "a\n", "/etc/a"), RemedyStep(DO, "drain the node"), RemedyStep(RUN, "systemctl reboot")), "reboot")
    text = script(failed("a", remedy))
    assert "afterwards 1 'systemctl reboot'" in text
    assert "run '1'" not in text


@pytest.mark.skipif(SHELLCHECK is None, reason="no shellcheck here")
def test_shellcheck_is_content(tmp_path: Path) -> None:
    files = []
    ugly = failed("a", Remedy((RemedyStep(WRITE, "it's $HOME `x`\n", "/etc/a"), RemedyStep(RUN, "update-grub"))), title="$(x)\nexit 1")
    for name, text in {"ubuntu": of_settings(), "rhel": of_settings("rhel"), "ugly": script(ugly), "empty": script()}.items():
        files.append(tmp_path / f"{name}.sh")
        files[-1].write_text(text)
    done = subprocess.run([str(SHELLCHECK), "--severity=style", *map(str, files)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.root
def test_commands_run_once_in_order_and_what_they_wrote_is_restored(tmp_path: Path) -> None:
    """In a mount namespace: the scratch folders are /etc, /boot and /var/lib, programs are recorded."""
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and mount namespaces")
    for name in ("etc/default", "boot/grub", "boot/loader/entries", "var-lib", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").write_text("old\n")
    (tmp_path / "boot/loader/entries/a.conf").write_text("options quiet\n")
    log = tmp_path / "log"
    effects = {"update-grub": "date +%N >/boot/grub/grub.cfg", "grubby": "echo $* >>/boot/loader/entries/a.conf"}
    for name in ("sysctl", "modprobe", "systemctl", "update-grub", "grubby"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{log}\n{effects.get(name, ":")}\n')
        program.chmod(0o755)
    targets = {"boot": "boot", "var-lib": "var/lib", "etc": "etc"}
    binds = "".join(f"mount --bind {tmp_path}/{name} /{target} && " for name, target in targets.items())

    def in_namespace(text: str, flag: str) -> list[str]:
        (tmp_path / "fix.sh").write_text(text)
        log.write_text("")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f"{binds}PATH={tmp_path}/bin:$PATH exec sh {tmp_path}/fix.sh {flag}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return log.read_text().splitlines()

    folders = [tmp_path / name for name in ("etc", "boot", "var-lib")]
    before = [read_tree(folder) for folder in folders]
    # Sysctls of this machine: none is set, since its program only records.
    text = of_settings()
    assert in_namespace(text, "--apply") == [
        "sysctl -p /etc/sysctl.d/95-eidos-vm.swappiness.conf",
        "sysctl -p /etc/sysctl.d/95-eidos-net.ipv4.tcp_rmem.conf",
        "modprobe ib_umad",
        "update-grub",
        "systemctl daemon-reload",
        "systemctl restart containerd.service",
    ]
    assert in_namespace(text, "--apply") == []
    reverted = in_namespace(text, "--revert")
    assert reverted == ["systemctl daemon-reload", "systemctl restart containerd.service", "update-grub", "modprobe -r ib_umad"]
    assert [read_tree(folder) for folder in folders] == before
    text = of_settings("rhel")
    assert "grubby --update-kernel=ALL --args=iommu=pt" in in_namespace(text, "--apply")
    assert "grubby --update-kernel=ALL --remove-args=iommu=pt" in in_namespace(text, "--revert")
    assert [read_tree(folder) for folder in folders] == before


def test_a_boot_parameter_that_a_tool_replaces_gets_its_value_back() -> None:
    for system, old, revert in (
        ("rhel", "off", "grubby --update-kernel=ALL --args=iommu=off"),
        ("rhel", None, "grubby --update-kernel=ALL --remove-args=iommu=pt"),
        ("ubuntu", "off", "update-grub"),
    ):
        readings = NodeReadings(snapshot({"OS.grub": {"iommu": old} if old else {"quiet": True}}))
        readings.derived["query.os"] = system
        remedy = setting_remedy("OS.grub.iommu", "pt", readings)
        assert remedy is not None
        assert remedy.revert[-1].text == revert


def test_a_driver_of_the_operator_is_a_value_of_its_chart() -> None:
    readings = NodeReadings(Snapshot("", "", ""))
    readings.derived["node.driver-owner"] = "driver-container"
    remedy = setting_remedy("GPU.smi.driver", "580.126.20", readings)
    assert remedy is not None
    assert remedy.to_tree() == {"steps": [{"set": "gpu-operator:driver.version=580.126.20"}], "cost": "drain", "owner": "driver-container"}
    assert setting_remedy("GPU.smi.driver", "580.126.20", node()) is None
    for system, steps in {"talos": ["eidos-patch.yaml"], "rhcos": ["eidos-machine-config.yaml"], "cos": []}.items():
        remedy = setting_remedy("OS.sysctl./proc/sys/vm/swappiness", "1", node(system))
        assert [step.file for step in remedy.steps if step.file] == steps if remedy else steps == []
    readings.derived.update({"query.os": "cos", "query.service": "gke"})
    remedy = setting_remedy("OS.grub.iommu", "pt", readings)
    assert remedy is not None and remedy.owner == "managed-service" and "GKE has no setting" in remedy.steps[0].text
