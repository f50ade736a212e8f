"""The share of a node's readings that an agent reads: what is printed agrees with what is measured here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import combinations

import pytest

from eidos.files.host import Host
from eidos.manifest import AgentOptions, manifest_notes, read_share
from eidos.manifest.manifest_template import read_template
from tests.conftest import ROOT
from tests.support.program import eidos

RIGHTS = ("host-network", "host-ipc", "host-pid")

#: Points of percent by which a kernel with other modules, or a system with other boot parameters, may differ.
TOLERANCE = 6.0


def count_readings(*command: str) -> int:
    """The readings of the operating system without modules, which are many or none, that eidos takes as a child of ``command``."""
    line = [*command, sys.executable, "-m", "eidos", "snapshot", "--only", "os.grub,os.release,os.sysctl", "-t", "json", "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    return sum(len(part["data"]) for measurement in json.loads(done.stdout)["measurements"] for part in measurement["subtypes"])


@pytest.mark.root
def test_the_shares_are_those_measured_here() -> None:
    """As root; as user 0 of a container, without capabilities, on the host's namespaces; and in namespaces of its own."""
    if os.geteuid() != 0 or Host().foreign_namespaces():
        pytest.skip("this needs root, and the initial namespaces")
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    commands = (["unshare", "-m", "-C", *drop], ["unshare", "-m", "-C", "-n", "-u", "-i", "-p", "-f", "--mount-proc", *drop])
    if not shutil.which("setpriv") or any(
        subprocess.run([*command, "true"], capture_output=True, check=False).returncode for command in commands
    ):
        pytest.skip("not permitted: unshare, setpriv")
    everything = count_readings()
    shared, own = (100 * count_readings(*command) / everything for command in commands)
    share = read_share(AgentOptions())
    assert share is not None
    assert abs(own - float(share["share"])) <= TOLERANCE, own
    assert abs(shared - float(share["share.more"])) <= 1, shared


def test_the_share_grows_with_the_rights_and_is_complete_only_with_all() -> None:
    total = sum(row["count"] for row in read_template("agent")["readings"])
    for number in range(4):
        for rights in combinations(RIGHTS, number):
            share = read_share(AgentOptions(rights=rights))
            if number == 3:
                assert share is None
                continue
            assert share is not None
            assert share["share.flags"] == " ".join(f"--{right}" for right in RIGHTS if right not in rights)
            assert share["share.total"] == total
            assert (float(share["share"]), share["share.more"]) < (99.6, "99.6") or share["share"] == "99"
            for fewer in (set(rights) - {right} for right in rights):
                less = read_share(AgentOptions(rights=tuple(fewer)))
                assert less is not None
                assert less["share.read"] < share["share.read"]
    everything = read_share(AgentOptions(rights=("privileged",)))
    assert everything is not None
    assert everything["share.more"] == "100"


def test_facts_that_are_not_read_do_not_count() -> None:
    assert read_share(AgentOptions(without=("os",))) is read_share(AgentOptions(without=("os.sysctl",))) is None
    only = read_share(AgentOptions(without=("os.grub", "os.release")))
    assert only is not None
    assert only["share.total"] == sum(row["count"] for row in read_template("agent")["readings"] if row["fact"] == "os.sysctl")


@pytest.mark.parametrize(
    ("flags", "share", "more"),
    [
        ((), "29 %", "--host-network --host-ipc --host-pid"),
        (("--host-network",), "97 %", "--host-ipc --host-pid"),
        (("--host-network", "--host-ipc", "--host-pid"), "", ""),
        (("--without", "os"), "", ""),
    ],
)
def test_it_is_on_standard_error_and_at_the_top_of_the_manifest(flags: tuple[str, ...], share: str, more: str) -> None:
    done = eidos("manifest", "agent", "--delivery", "hostpath", *flags)
    top = " ".join(done.out.partition("Apply with")[0].replace("#", " ").split())
    assert done.status == 0
    for text in (done.err, top):
        assert (f"{share} of a node's operating system" in text) == bool(share)
        assert (f" {more} " in text) == bool(more)
    if not share:
        assert (done.err, top) == ("", "")


def test_the_manual_has_the_same_figures() -> None:
    share = read_share(AgentOptions())
    assert share is not None
    page = (ROOT / "templates/help/cluster.md").read_text(encoding="utf-8")
    assert f"it reads {share['share']} % of a node's" in page
    assert f"(measured on {share['share.measured-on']})" in " ".join(page.split())
    assert f"it reads {share['share.more']} %, still" in page


def test_an_explanation_does_not_repeat_it() -> None:
    assert eidos("manifest", "agent", "--explain-privileges").err == ""
    assert not any("namespaces of their own" in note for note in manifest_notes(AgentOptions(rights=RIGHTS)))
