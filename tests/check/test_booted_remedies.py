"""The script of remedies on a systemd that has booted: units, files and the sysctls of its network are set, checked, and taken back."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.booted_machine import Machine, booted

pytestmark = [pytest.mark.root, pytest.mark.slow]

SERVICE = "[Service]\nExecStart=/bin/sleep infinity\n\n[Install]\nWantedBy=basic.target\n"

#: What the node should be, besides what checks say.
RECIPE = """
kind: Recipe
apiVersion: recipe.dgxc.io/v1
metadata: {recipe-version: 1.0.0}
request: {os: debian}
measurements:
  - type: OS
    subtypes:
      - subtype: sysctl
        data: {/proc/sys/net/core/somaxconn: "16384", /proc/sys/net/ipv4/tcp_rmem: "4096 87380 536870912"}
  - type: SystemD
    subtypes:
      - {subtype: containerd.service, data: {LimitMEMLOCK: "67108864"}}
"""

FILES = {
    **{f"etc/systemd/system/{name}.service": SERVICE for name in ("containerd", "chrony", "systemd-timesyncd")},
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\nNAME="Debian GNU/Linux"\n',
    "etc/sysctl.d/95-eidos-net.core.somaxconn.conf": "net.core.somaxconn = 1000\n# left by somebody",
    "root/recipe.yaml": RECIPE,
}

#: What is wrong with the units, and with the sysctls of the network.
UNITS = {"SystemD.containerd.service.LimitMEMLOCK", "two-time-services"}
SYSCTLS = {"OS.sysctl./proc/sys/net/core/somaxconn", "OS.sysctl./proc/sys/net/ipv4/tcp_rmem", "sysctl-next-boot"}

#: Copies what sysctls are and what sets them: of a container's own ones no check takes them for the host's.
CAPTURE = """
rm -rf /tree && mkdir -p /tree/etc /tree/proc/sys/net/core /tree/proc/sys/net/ipv4
cp -a /etc/os-release /etc/sysctl.d /tree/etc
for name in core/somaxconn ipv4/tcp_rmem; do cat /proc/sys/net/$name >/tree/proc/sys/net/$name; done
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, pyz: Path) -> Iterator[Machine]:
    if not shutil.which("sysctl"):
        pytest.skip("setting sysctls needs sysctl (package procps)")
    with booted(tmp_path_factory.mktemp("remedies"), FILES, "--private-network") as running:
        (running.root / "root/eidos.pyz").write_bytes(pyz.read_bytes())
        running.run("systemctl", "disable", "systemd-timesyncd")  # removes links of this machine's own
        running.run("systemctl", "enable", "--now", "containerd", "chrony", "systemd-timesyncd")
        running.run("systemctl", "add-wants", "sysinit.target", "systemd-timesyncd.service")
        running.run("sysctl", "-w", "net.core.somaxconn=4096")
        yield running


def check(machine: Machine, *arguments: str) -> dict[str, dict[str, Any]]:
    """The findings that fail, by id."""
    if "/tree" in arguments:
        machine.run("sh", "-c", CAPTURE)
    words = ("check", "-r", "/root/recipe.yaml", "-t", "json", "--fail-on", "never", *arguments)
    report = json.loads(machine.run(os.path.realpath(sys.executable), "-I", "/root/eidos.pyz", *words))
    return {each["id"]: each for each in report["findings"] if each["status"] == "fail"}


def state(machine: Machine) -> dict[str, object]:
    """The files below /etc and /var/lib, and what units and sysctls are."""
    state: dict[str, object] = {}
    for top in ("etc", "var/lib/eidos"):
        for folder, folders, names in os.walk(machine.root / top):
            for name in (*folders, *names):
                path = Path(folder, name)
                content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
                state[str(path.relative_to(machine.root))] = (path.lstat().st_mode, content)
    for unit in ("containerd", "chrony", "systemd-timesyncd"):
        properties = ("UnitFileState", "ActiveState", "LimitMEMLOCK", "NeedDaemonReload")
        state[unit] = machine.run("systemctl", "show", unit, *(f"--property={name}" for name in properties))
    state["sysctls"] = machine.run("sysctl", "net.core.somaxconn", "net.ipv4.tcp_rmem")
    return state


@pytest.mark.parametrize(("root", "faults"), [("/", UNITS), ("/tree", SYSCTLS)], ids=["units", "sysctls"])
def test_applied_the_check_passes_and_reverted_everything_is_as_before(machine: Machine, root: str, faults: set[str]) -> None:
    arguments = ("--root", root) if root != "/" else ()
    wrong = check(machine, "--script", "/root/fix.sh", *arguments)
    assert wrong.keys() >= faults
    before = state(machine)
    assert "nothing was changed" in machine.run("sh", "/root/fix.sh")
    assert state(machine) == before
    applied = machine.run("sh", "/root/fix.sh", "--apply")
    assert check(machine, *arguments).keys() == wrong.keys() - faults
    if root == "/":
        assert "running: systemctl disable --now systemd-timesyncd.service" in applied
        limits = machine.run("systemctl", "show", "containerd", "--property=LimitMEMLOCK,ActiveState")
        assert set(limits.split()) == {"LimitMEMLOCK=67108864", "ActiveState=active"}
    else:
        assert machine.run("sysctl", "-n", "net.core.somaxconn").strip() == "16384"
    assert "nothing to change" in machine.run("sh", "/root/fix.sh", "--apply")
    machine.run("sh", "/root/fix.sh", "--revert")
    assert state(machine) == before
    assert check(machine, *arguments).keys() == wrong.keys()
