"""The built file on another architecture: an emulated arm64 Python makes the same documents as the one that runs the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

EMULATOR = "qemu-aarch64-static"

#: Debian's packages that make an interpreter; "{}" is its minor version, of which each release of Debian has one.
PACKAGES = ("python3.{}-minimal", "libpython3.{}-minimal", "libpython3.{}-stdlib", "libc6", "zlib1g", "liblzma5", "libexpat1", "libffi8")
MINOR_VERSIONS = (11, 13, 12, 14)

HOST = ROOT / "tests" / "hosts" / "ubuntu-24.04-arm64-64k"
QUERY = ("--os=ubuntu", "--osv=24.04", "--service=eks", "--k8s=1.33", "--gpu=gb200", "--intent=training")

pytestmark = pytest.mark.slow


def fetch_interpreter(folder: Path) -> list[str]:
    """The command that runs an arm64 Python, which apt fetches into ``folder`` without touching what is installed; skips when it cannot."""
    for part in ("lists/partial", "cache/archives/partial", "packages", "root"):
        (folder / part).mkdir(parents=True)
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
    }
    apt = [
        "apt-get",
        "-q",
        "-o",
        "APT::Sandbox::User=root",
        *(word for name, value in settings.items() for word in ("-o", f"{name}={value}")),
    ]

    def succeeds(*command: str) -> bool:
        done = subprocess.run(command, cwd=folder / "packages", capture_output=True, text=True, timeout=100, check=False)
        return done.returncode == 0

    if not succeeds(*apt, "update"):
        pytest.skip("apt-get has no list of packages for arm64 here")
    for minor in MINOR_VERSIONS:
        if succeeds(*apt, "download", *(name.format(minor) for name in PACKAGES)):
            for package in (folder / "packages").glob("*.deb"):
                subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], check=True)
            return [EMULATOR, "-L", str(folder / "root"), str(folder / "root" / "usr" / "bin" / f"python3.{minor}"), "-I", "-S"]
    pytest.skip("apt-get has no Python for arm64 here")


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    for program in (EMULATOR, "apt-get", "dpkg"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (on Debian: apt-get install qemu-user-static)")
    python = fetch_interpreter(tmp_path_factory.mktemp("arm64"))
    probe = subprocess.run([*python, "-c", "import platform; print(platform.machine())"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"the emulator does not run here: {probe.stderr[-200:]}")
    assert probe.stdout == "aarch64\n"
    return python


@pytest.mark.exhaustive(sample=1)
@pytest.mark.parametrize("which", ["pyz", "server_pyz"])
def test_an_arm64_python_makes_the_same_documents(which: str, arm64: list[str], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file = str(request.getfixturevalue(which))

    def run(python: list[str], *arguments: str | Path) -> bytes:
        done = subprocess.run([*python, file, *map(str, arguments)], capture_output=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    native = [sys.executable, "-I", "-S"]
    assert run(arm64, "--version").startswith(b"eidos ")
    snapshots = [yaml.safe_load(run(python, "snapshot", "--root", HOST)) for python in (native, arm64)]
    assert snapshots[0]["measurements"] == snapshots[1]["measurements"] != []
    recipe = run(native, "recipe", *QUERY)
    assert run(arm64, "recipe", *QUERY) == recipe
    (tmp_path / "recipe.yaml").write_bytes(recipe)
    for name, python in (("native", native), ("arm64", arm64)):
        run(python, "bundle", "-q", "-f", tmp_path / "recipe.yaml", "--archive", tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "native.tar.gz").read_bytes() == (tmp_path / "arm64.tar.gz").read_bytes()
