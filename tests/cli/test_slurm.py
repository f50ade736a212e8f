"""The scripts of the manual's page on Slurm, as they are printed there, with a Slurm that writes down what it is told."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from eidos.files.resources import read_text
from tests.support.program import eidos

HOSTS = Path(__file__).parent.parent / "hosts"
HEALTH, PROLOG = re.findall(r"^```sh\n(.*?)^```$", read_text("templates/help/slurm.md"), re.MULTILINE | re.DOTALL)
SHELLCHECK = shutil.which("shellcheck")


def run_script(folder: Path, script: str, status: int, line: str, reason: str = "none") -> tuple[int, list[str]]:
    """The exit status of a script, and the commands that it gave, when eidos and sinfo print this."""
    programs = {
        "eidos": f"echo 'eidos' \"$@\" >> {folder}/calls\nprintf '%s\\n' '{line}'\nexit {status}\n",
        "sinfo": f"printf '%s\\n' '{reason}'\n",
        "scontrol": f'echo scontrol "$@" >> {folder}/calls\n',
        "logger": f'echo logger "$@" >> {folder}/calls\n',
        "hostname": "echo gpu-07\n",
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    script = script.replace("/usr/local/bin/eidos", str(folder / "eidos")).replace("PATH=", f"PATH={folder}:")
    done = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, (folder / "calls").read_text().splitlines()


FAILING_LINE = "pcie-width: a GPU has fewer PCIe lanes, found 8 (gpu-3)"
DRAIN = f"scontrol update nodename=gpu-07 state=drain reason=eidos: {FAILING_LINE}"
RESUME = "scontrol update nodename=gpu-07 state=resume"


@pytest.mark.parametrize(
    ("status", "line", "reason", "commands"),
    [
        (4, FAILING_LINE, "none", [DRAIN]),
        (4, FAILING_LINE, "eidos: another finding", [DRAIN]),
        (4, FAILING_LINE, "Prolog error", [DRAIN]),
        (4, FAILING_LINE, "rack maintenance", []),
        (0, "ok: 31 passed", "eidos: another finding", [RESUME]),
        (0, "ok: 31 passed", "rack maintenance", []),
        (0, "ok: 31 passed", "none", []),
        (3, "unknown: no answer: gpu-recovery-action", "none", ["logger -t eidos status 3: unknown: no answer: gpu-recovery-action"]),
        (124, "", "eidos: another finding", ["logger -t eidos status 124: "]),
    ],
)
def test_the_health_check_drains_for_a_finding_and_resumes_what_it_drained(
    tmp_path: Path, status: int, line: str, reason: str, commands: list[str]
) -> None:
    """It ends with 0 whatever it did: slurmd would repeat it at its start."""
    assert run_script(tmp_path, HEALTH, status, line, reason) == (0, ["eidos check --quick --quiet --timeout 20s", *commands])


@pytest.mark.parametrize(
    ("status", "line", "expected", "commands"),
    [
        (4, FAILING_LINE, 1, [f"logger -t eidos prolog of job unknown: {FAILING_LINE}"]),
        (0, "ok: 31 passed", 0, []),
        (3, "unknown: no answer", 0, []),
    ],
)
def test_the_prolog_fails_for_a_finding_alone(tmp_path: Path, status: int, line: str, expected: int, commands: list[str]) -> None:
    assert run_script(tmp_path, PROLOG, status, line) == (expected, ["eidos check --quick --quiet --timeout 5s", *commands])


@pytest.mark.skipif(SHELLCHECK is None, reason="no shellcheck here")
def test_shellcheck_has_no_complaint(tmp_path: Path) -> None:
    for name, script in (("health", HEALTH), ("prolog", PROLOG)):
        (tmp_path / name).write_text(script)
        done = subprocess.run([str(SHELLCHECK), "--shell=sh", name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_a_quick_check_prints_one_line_and_exits_by_it() -> None:
    result = eidos("check", "--quick", "--quiet", "--root", str(HOSTS / "rhel-9"))
    assert (result.status, result.err) == (4, "")
    assert result.out.startswith("gpu-not-in-driver: a GPU on the PCI bus is missing from the driver, found ")
    assert result.out.count("\n") == 1
    result = eidos("check", "--quick", "--quiet", "--root", str(HOSTS / "ubuntu-22.04"))
    assert (result.status, result.out.partition(":")[0], result.out.count("\n")) == (3, "unknown", 1)
    assert eidos("check", "--quick", "--quiet", "--allow-unknown", "--root", str(HOSTS / "ubuntu-22.04")).status == 0
    result = eidos("check", "--quick", "--root", str(HOSTS / "rhel-9"), "--skip", "driver,pcie", "--fail-on", "warning")
    assert result.out.startswith("unknown: ")


@pytest.mark.parametrize("flags", [("--recipe", "x.yaml"), ("--gpu", "h100"), ("--intent", "training"), ("--only", "gpu")])
def test_what_a_quick_check_has_no_use_of_is_refused(flags: tuple[str, ...]) -> None:
    result = eidos("check", "--quick", *flags)
    assert result.status == 2
    assert result.err.startswith(f"error: --quick cannot be used with {flags[0]}\n")
