"""What a start imports: the difference to an empty zipapp, for each interpreter."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from eidos.formats import to_json
from eidos.model.measurement import Measurement, Subtype
from eidos.model.snapshot import Snapshot
from tests.bench.measure import empty_zipapp

#: Each of these costs a start more than all of the program's own code for ``--version``.
HEAVY = {"argparse", "concurrent", "ctypes", "dataclasses", "email", "http", "inspect", "json", "logging", "multiprocessing", "optparse"}
HEAVY |= {"pathlib", "pynvml", "shutil", "socket", "ssl", "string", "subprocess", "tempfile", "threading", "urllib", "xml", "yaml"}

#: What not even a start that does nothing but talk may need.
TALK = HEAVY | {"contextlib", "datetime", "decimal", "enum", "functools", "re", "struct", "textwrap", "traceback", "typing"}


def imported(python: str, *arguments: str | Path) -> set[str]:
    """Every module that a command imports, by its first name."""
    command = [python, "-I", "-S", "-X", "importtime", *map(str, arguments)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.fixture(scope="module")
def floor(python: str, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return imported(python, empty_zipapp(python, tmp_path_factory.mktemp("empty")))


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_a_start_that_only_talks_is_light(python: str, floor: set[str], pyz: Path, flag: str) -> None:
    new = imported(python, pyz, flag) - floor
    assert "eidos" in new
    assert not new & TALK


def test_a_snapshot_imports_no_parser_and_no_network(python: str, floor: set[str], pyz: Path) -> None:
    new = imported(python, pyz, "snapshot", "--only", "os", "-o", "-") - floor
    assert not new & (HEAVY - {"concurrent", "logging", "string", "threading"}), "those come with concurrent.futures"
    assert "difflib" not in new, "nothing was mistyped"


def test_a_saved_snapshot_in_json_is_checked_with_what_a_start_that_only_talks_has(
    python: str, floor: set[str], pyz: Path, tmp_path: Path
) -> None:
    path = tmp_path / "node.json"
    node = Snapshot("2026-11-29T06:00:00Z", "1.2.3", "gpu-07", (Measurement("OS", (Subtype("kmod", {"nvidia": True}),)),))
    path.write_text(to_json(node.to_tree()), encoding="utf-8")
    new = imported(python, pyz, "check", "-f", path, "--fail-on", "never") - floor
    assert not new & TALK
