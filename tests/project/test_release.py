"""The workflow of a release: linted, and its scripts run one after the other as a runner would, with our own files and registry.

What only a run on GitHub shows: that the actions do what they say, the attestation, the login, and that the release is there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import eidos
from eidos.archive.purposes import LEFT_OUT
from tests.conftest import ROOT
from tests.fakes.oci_registry import OciRegistry
from tests.sign.keys import make_ssh_key, need
from tests.support.tools import find_actionlint

WORKFLOWS = ROOT / ".github" / "workflows"
JOBS: dict[str, Any] = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]
SCRIPTS = {step["name"]: step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step}

#: Scripts of the release that run here, in order; "Test" is what CI runs anyway.
(TAG, BUILD, COMPARE, CHECKSUMS, SIGN, VERIFY, LOGIN, PUSH, ATTACH) = (name for name in SCRIPTS if name != "Test")

LINT = """
const { createLinter } = require(process.argv[2]);
const { readFileSync } = require("node:fs");
createLinter().then((lint) => {
  for (const file of process.argv.slice(3)) for (const each of lint(readFileSync(file, "utf8"), file)) console.log(JSON.stringify(each));
});
"""

#: What this actionlint, of 2022, does not know yet.
NEWER = ('label "ubuntu-24.04" is unknown', 'unknown permission scope "attestations"')

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def step(tmp_path: Path) -> Run:
    """Runs a script in a new folder, as a runner of GitHub does; programs in ``bin`` come first."""
    (tmp_path / "work").mkdir()
    (tmp_path / "bin").mkdir()

    def run(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        base = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path), "RUNNER_TEMP": str(tmp_path), "LC_ALL": "C.UTF-8"}
        github = {"GITHUB_REF_NAME": f"v{eidos.__version__}", "GITHUB_REPOSITORY": "Team/Eidos", "GITHUB_ACTOR": "someone"}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SCRIPTS[name]]
        environ = {**base, **github, **variables}
        return subprocess.run(command, cwd=tmp_path / "work", env=environ, capture_output=True, text=True, check=False, timeout=120)

    return run


def record(folder: Path, program: str) -> Path:
    """A program that writes its arguments and its input into a file; that file."""
    script, log = folder / "bin" / program, folder / f"{program}.log"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\n[ "{program}" != docker ] || cat >> {log}\n')
    script.chmod(0o755)
    return log


def write_files(folder: Path) -> None:
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        for file in ("eidos.pyz", "eidos-agent.pyz", "eidos.cdx.json"):
            (folder / name / file).write_text(file)


def test_the_workflow_has_the_promised_steps() -> None:
    assert set(JOBS["release"]["needs"]) == {"test", "build"}
    assert len(JOBS["build"]["strategy"]["matrix"]["runner"]) == 2
    names = [step.get("uses", "").partition("@")[0] for step in JOBS["release"]["steps"]]
    assert "actions/attest-build-provenance" in names
    for name, job in JOBS.items():
        assert ("permissions" in job) == (name == "release"), "only the release may write"


def test_the_tag_is_the_version(step: Run) -> None:
    pythonpath = {"PYTHONPATH": str(ROOT)}
    assert step(TAG, **pythonpath).returncode == 0
    assert step(TAG, **pythonpath, GITHUB_REF_NAME="v99.0.0").returncode != 0


def test_a_file_for_each_purpose_is_built(step: Run, tmp_path: Path) -> None:
    log = record(tmp_path, "python3")
    assert step(BUILD).returncode == 0
    expected = ["build_zipapp.py", *(f"build_zipapp.py --for {purpose}" for purpose in LEFT_OUT)]
    assert log.read_text().splitlines() == expected


@pytest.mark.parametrize("change", ["", "eidos.pyz", "more"])
def test_files_that_differ_are_not_released(step: Run, tmp_path: Path, change: str) -> None:
    write_files(tmp_path / "work")
    if change:
        (tmp_path / "work" / "second" / change).write_text("other")
    done = step(COMPARE)
    assert (done.returncode == 0) == (not change) == (tmp_path / "work" / "dist").exists()


def test_without_a_key_nothing_is_signed(step: Run, tmp_path: Path) -> None:
    write_files(tmp_path / "work")
    assert step(COMPARE).returncode == 0
    done = step(SIGN, SIGNING_KEY="")
    assert (done.returncode, "RELEASE_SIGNING_KEY" in done.stdout) == (1, True)
    assert not list((tmp_path / "work" / "dist").glob("*.sig"))


def test_the_login_gets_the_token_on_standard_input(step: Run, tmp_path: Path) -> None:
    log = record(tmp_path, "docker")
    assert step(LOGIN, REGISTRY="registry.example.com", TOKEN="not-a-secret").returncode == 0
    assert log.read_text() == "login registry.example.com --username someone --password-stdin\nnot-a-secret"


@pytest.mark.slow
def test_the_scripts_of_a_release_one_after_the_other(step: Run, tmp_path: Path, pyz: Path, agent_pyz: Path, server_pyz: Path) -> None:
    need("ssh-keygen", "sha256sum")
    for name in ("first", "second"):
        folder = tmp_path / "work" / name
        folder.mkdir()
        for file in (pyz, pyz.with_suffix(".cdx.json"), pyz.with_suffix(".spdx.json")):
            shutil.copy(file, folder)
        shutil.copy(agent_pyz, folder / "eidos-agent.pyz")
        shutil.copy(server_pyz, folder / "eidos-server.pyz")
    dist, key = tmp_path / "work" / "dist", make_ssh_key(tmp_path, "release")

    def succeed(name: str, **variables: str) -> str:
        done = step(name, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    succeed(COMPARE)
    succeed(CHECKSUMS)
    built = {"eidos.pyz", "eidos-agent.pyz", "eidos-server.pyz", "eidos.cdx.json", "eidos.spdx.json"}
    assert {line.split()[1] for line in (dist / "SHA256SUMS").read_text().splitlines()} == built
    succeed(SIGN, SIGNING_KEY=Path(key.private).read_text().rstrip("\n"))
    assert not (tmp_path / "key").exists(), "the private key is removed"
    signed = {*built, "SHA256SUMS"}
    assert {path.name for path in dist.iterdir()} == {*signed, *(f"{name}.sig" for name in signed), "release.pub"}
    assert (dist / "release.pub").read_text().split()[:2] == Path(key.public).read_text().split()[:2]
    assert (dist / "release.pub").stat().st_mode & 0o777 == 0o644
    assert succeed(VERIFY).count(": OK\n") == 3
    with OciRegistry() as registry:
        pushed = succeed(PUSH, REGISTRY=registry.host, EIDOS_PLAIN_HTTP="1").strip()
        assert ("team/eidos/eidos", pushed) in registry.manifests
        assert pyz.read_bytes() in registry.blobs.values()
    log = record(tmp_path, "gh")
    succeed(ATTACH)
    words = log.read_text().split()
    assert words[:3] == ["release", "create", f"v{eidos.__version__}"]
    assert {word.partition("/")[2] for word in words if word.startswith("dist/")} == {path.name for path in dist.iterdir()}
    # One changed byte, and it ends before anything is published.
    (dist / "eidos-agent.pyz").write_bytes(agent_pyz.read_bytes() + b"\n")
    assert step(VERIFY).returncode == 5


def test_the_scripts_are_clean_shell(tmp_path: Path) -> None:
    need("shellcheck")
    for number, script in enumerate(SCRIPTS.values()):
        (tmp_path / f"{number}.sh").write_text(f"#!/bin/bash\nset -eo pipefail\n{script}")
    done = subprocess.run(["shellcheck", *map(str, tmp_path.glob("*.sh"))], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_actionlint_finds_nothing(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    need("node")
    package = find_actionlint(pytestconfig)
    (tmp_path / "lint.cjs").write_text(LINT)
    (tmp_path / "wrong.yml").write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ matrix.x }}\n")

    def lint(*files: Path) -> list[str]:
        command = ["node", str(tmp_path / "lint.cjs"), str(package), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        problems = [json.loads(line) for line in done.stdout.splitlines()]
        return [f"{each['file']}:{each['line']}: {each['message']}" for each in problems if not each["message"].startswith(NEWER)]

    assert lint(*sorted(WORKFLOWS.glob("*.yml"))) == []
    assert re.search(r"wrong\.yml:6: property \"x\" is not defined", "\n".join(lint(tmp_path / "wrong.yml")))
