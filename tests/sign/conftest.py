"""What the tests of signatures share: the command line, a keyring, and a key of each kind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from eidos.cli import main
from tests.sign.keys import CommandLine, Keys
from tests.support.program import Result, environment


@pytest.fixture
def eidos(capfd: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs the command line in this process, with an environment of its own."""

    def call(*words: str, **variables: str) -> Result:
        with mock.patch.dict(os.environ, environment(**variables), clear=True):
            status = main(words)
        return Result(status, *capfd.readouterr())

    return call


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
