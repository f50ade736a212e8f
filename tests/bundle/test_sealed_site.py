"""The manual's page on sites without a network: each of its commands, where no other network is, and nothing asks for one."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eidos.files.resources import read_text
from tests.support.program import PROGRAM, ROOT
from tests.support.sealed_site import IMAGES_ADDRESS, REGISTRY_ADDRESS, run_sealed, tagged_digests, unshare_command
from tests.support.smi_output import smi_output

pytestmark = pytest.mark.slow

BLOCK = {kind: re.compile(rf"^```{kind}\n(.*?)^```$", re.MULTILINE | re.DOTALL) for kind in ("sh", "yaml")}

PAGE = read_text("templates/help/sealed-sites.md")

#: Sections in a row that are on one side: whether that is outside, and their commands.
STEPS = [
    (outside, [line for _, section in sections for block in BLOCK["sh"].findall(section) for line in block.splitlines()])
    for outside, sections in itertools.groupby(
        re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL),
        key=lambda section: section[0].startswith("Outside: "),
    )
]

HOST = ROOT / "tests" / "hosts" / "ubuntu-22.04"

PROGRAMS = ("docker-registry", "skopeo", "ssh-keygen", "mount", "bash")


@pytest.fixture
def prefix() -> list[str]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: docker-registry, skopeo, openssh-client)")
    prefix = unshare_command()
    if prefix is None:
        pytest.skip("needs unshare --net --mount, which is not allowed or not there")
    return prefix


@pytest.fixture
def environ(tmp_path: Path, tools: dict[str, str]) -> dict[str, str]:
    """The programs of the page. The node is a captured host; the components have 13 images, to bound what this costs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("helm", "kubectl"):
        (programs / name).symlink_to(tools[name])
    (programs / "eidos").write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    (programs / "eidos").chmod(0o755)
    (tmp_path / "smi.xml").write_text(smi_output(HOST, "NVIDIA A100-SXM4-80GB", "Ampere", "535.54.03", "12.2"))
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "EIDOS_ROOT": str(HOST),
        "EIDOS_SMI": str(tmp_path / "smi.xml"),
        "EIDOS_SET": "kube-prometheus-stack:enabled=false",
        "EIDOS_BUNDLERS": "gpu-operator",
    }


@pytest.mark.timeout(300)
def test_every_command_of_the_page_works_without_a_network(tmp_path: Path, prefix: list[str], environ: dict[str, str]) -> None:
    assert [outside for outside, _ in STEPS] == [False, True, False]
    sides = {False: tmp_path / "site", True: tmp_path / "outside"}
    for folder in sides.values():
        folder.mkdir()
    ran: list[dict[str, Any]] = []
    for number, (outside, commands) in enumerate(STEPS):
        if number == 1:
            shutil.move(sides[False] / "node.yaml", sides[True])
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(sides[True] / "release")], check=True)
        elif number == 2:
            for name in ("carry", "release.pub"):
                shutil.move(sides[True] / name, sides[False])
            shutil.rmtree(sides[True])
            (policy,) = BLOCK["yaml"].findall(PAGE)
            (sides[False] / "policy.yaml").write_text(policy)
        run = run_sealed(prefix, tmp_path / "namespace", sides[outside], commands, environ, outside=outside)
        for result in run.results:
            allowed = (0, 4) if result["command"].startswith("eidos check ") else (0,)
            assert result["status"] in allowed, result
            assert "Traceback" not in result["err"]
        assert [result["command"] for result in run.results[: len(commands)]] == commands
        assert (run.lookups, run.without_route) == ([], 0)
        ran += run.results
    assert ran[-1]["out"].split() == ["cert-manager", "gpu-operator"]
    public, mirrored = (tagged_digests(tmp_path / "namespace", address) for address in (IMAGES_ADDRESS, REGISTRY_ADDRESS))
    assert len(public) == 13
    assert {f"gpu/{tag}": digest for tag, digest in public.items()}.items() <= mirrored.items()


def test_a_look_up_and_a_packet_for_elsewhere_are_noticed(tmp_path: Path, prefix: list[str], environ: dict[str, str]) -> None:
    ask = "import socket\ntry: socket.getaddrinfo('charts.example.com', 443)\nexcept socket.gaierror: print('not found')"
    connect = "import socket; print(socket.socket().connect_ex(('192.0.2.1', 443)))"
    commands = [shlex.join([sys.executable, "-c", text]) for text in (ask, connect)]
    run = run_sealed(prefix, tmp_path / "namespace", tmp_path, commands, environ, outside=False)
    assert [result["out"] for result in run.results] == ["not found\n", f"{errno.ENETUNREACH}\n"]
    assert set(run.lookups) == {"charts.example.com"}
    assert run.without_route > 0
