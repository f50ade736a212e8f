"""Remedies of a kernel's sysctls, of modules and of boot parameters, on a kernel of its own: applied, booted with, and taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.virtual_machine import VirtualMachine, make_machine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

RECIPE = """
kind: Recipe
apiVersion: recipe.dgxc.io/v1
metadata: {recipe-version: 1.0.0}
request: {os: debian}
measurements:
  - type: OS
    subtypes:
      - {subtype: sysctl, data: {/proc/sys/vm/swappiness: "1", /proc/sys/kernel/numa_balancing: "0"}}
      - {subtype: kmod, data: {dummy: true}}
      - {subtype: grub, data: {init_on_alloc: "0"}}
"""

#: What is mended at once, and by the next boot.
NOW, NEXT_BOOT = {"OS.sysctl./proc/sys/vm/swappiness", "OS.kmod.dummy"}, {"OS.grub.init_on_alloc"}

#: Each line is a word and JSON.
STEP = r"""
judge() {
  python3 -I /root/eidos.pyz check -r /root/recipe.yaml -t json -o /root/report.json --fail-on never "$@" >/dev/null
  python3 -c '
import json
found = json.load(open("/root/report.json"))["findings"]
print("failed", json.dumps([each["id"] for each in found if each["status"] == "fail" and each["id"].startswith("OS.")]))'
}
show() {
  python3 -c '
import hashlib, json, os
state = {}
for folder, _, names in os.walk("/etc"):
    for name in names:
        path = os.path.join(folder, name)
        state[path] = os.readlink(path) if os.path.islink(path) else hashlib.sha256(open(path, "rb").read()).hexdigest()
state["swappiness"] = open("/proc/sys/vm/swappiness").read()
state["dummy"] = os.path.exists("/sys/module/dummy")
state["line"] = next(line.split("root=")[1] for line in open("/boot/grub/grub.cfg") if line.lstrip().startswith("linux"))
print("state", json.dumps(state))'
}
case $1 in
apply)
  update-grub >/dev/null 2>&1
  show
  judge --script /root/fix.sh
  sh /root/fix.sh --apply >/root/log 2>&1 || cat /root/log
  judge
  show
  ;;
booted)
  modprobe dummy  # as systemd-modules-load.service does
  sysctl -q -p /etc/sysctl.d/95-eidos-vm.swappiness.conf  # as systemd-sysctl.service does
  judge
  sh /root/fix.sh --revert >/root/log 2>&1 || cat /root/log
  judge
  show
  ;;
esac
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, pyz: Path) -> VirtualMachine:
    files: dict[str, str | bytes] = {
        "root/eidos.pyz": pyz.read_bytes(),
        "root/recipe.yaml": RECIPE,
        "etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
    }
    return make_machine(tmp_path_factory.mktemp("machine"), files, STEP)


def results(text: str, word: str) -> list[Any]:
    """The JSON of the lines that begin with a word."""
    return [json.loads(line.partition(" ")[2]) for line in text.splitlines() if line.startswith(f"{word} ")]


@pytest.mark.exhaustive(sample=0)
@pytest.mark.parametrize("kernel", ["bookworm"])
def test_what_is_set_holds_after_a_boot_and_is_taken_back(machine: VirtualMachine, kernel: str) -> None:
    text = machine.boot("apply")
    wrong, applied = results(text, "failed")
    before, after = results(text, "state")
    assert set(wrong) >= NOW | NEXT_BOOT, text
    assert set(applied) == set(wrong) - NOW, text
    assert (before["dummy"], after["dummy"]) == (False, True)
    assert after["line"].strip().endswith("init_on_alloc=0") and "init_on_alloc" not in before["line"]
    # The emulator boots as the boot loader would: with the parameters that its file has now.
    text = machine.boot("booted", after["line"].strip().partition(" ")[2])
    booted, reverted = results(text, "failed")
    assert set(booted) == set(applied) - NEXT_BOOT, text
    assert set(reverted) >= set(booted), text
    (restored,) = results(text, "state")
    assert restored == before
