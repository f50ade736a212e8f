"""What tests of every kind share: the built file, and the interpreters that it must run under."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import build_zipapp
from tests.support.tools import found_tools

# No law is about time. Where CI is set, hypothesis takes a profile of its own, which has no deadlines either.
settings.register_profile("eidos", deadline=None)
if "CI" not in os.environ:
    settings.load_profile("eidos")

ROOT = Path(__file__).resolve().parent.parent

#: Every minor version that eidos runs on.
MINORS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what tests compare with, instead of comparing")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected output is to be written."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def shared() -> Path:
    """The folder beside the repository with fixtures that are not part of it; tests that ask for it have the mark ``shared``."""
    folder = ROOT.parent / "shared" / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"needs the fixtures beside the repository, {folder}")
    return folder


@pytest.fixture(scope="session")
def tools(pytestconfig: pytest.Config) -> dict[str, str]:
    """Paths of a real helm and kubectl, by name."""
    return found_tools(pytestconfig)


@pytest.fixture(scope="session")
def interpreters() -> dict[str, str]:
    """Minor version → path of every CPython from 3.9 on that this machine has."""
    return {each.version.rpartition(".")[0]: each.path for each in build_zipapp.select_interpreters(["auto"])}


@pytest.fixture(scope="session", params=MINORS)
def python(request: pytest.FixtureRequest, interpreters: dict[str, str]) -> str:
    """Path of one interpreter after the other; what this machine lacks is skipped, and said."""
    if request.param not in interpreters:
        pytest.skip(f"no CPython {request.param} here")
    return interpreters[request.param]


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built file, with bytecode for every interpreter found."""
    path = tmp_path_factory.mktemp("dist") / "eidos.pyz"
    subprocess.run([sys.executable, str(ROOT / "build_zipapp.py"), "-o", str(path)], stdout=subprocess.DEVNULL, check=True)
    return path


@pytest.fixture(scope="session")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built file without bytecode."""
    path = tmp_path_factory.mktemp("slim") / "eidos.pyz"
    command = [sys.executable, str(ROOT / "build_zipapp.py"), "--bytecode", "none", "-o", str(path)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return path
