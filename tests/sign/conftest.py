"""What the tests of signatures share: the command line, a keyring, and a key of each kind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sign.keys import Keys
from tests.support.program import Run, command_line


@pytest.fixture
def eidos(capfd: pytest.CaptureFixture[str]) -> Run:
    return command_line(capfd)


@pytest.fixture(scope="module")
def gpg_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A keyring of its own, at a path that is short enough for the socket of its agent."""
    home = Path("/tmp") / f"eidos-gpg-{os.getpid()}-{os.urandom(4).hex()}"
    home.mkdir(mode=0o700)
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")  # it would measure for seconds how many it can do
    try:
        yield home
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, gpg_home: Path) -> Keys:
    """A key of each kind."""
    return Keys(tmp_path_factory.mktemp("keys"), gpg_home)
