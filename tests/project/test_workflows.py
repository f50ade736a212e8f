"""What runs on other machines: the workflows and the script that they share."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MINORS, ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_may_do_little(path: Path) -> None:
    text = path.read_text()
    used = re.findall(r"^\s*-?\s*uses:\s*(.+)$", text, re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", action), f"{action} is not pinned by its commit"
    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE), "nothing is granted to every job but reading"


def test_every_interpreter_is_tested() -> None:
    matrix = re.search(r"python: (\[.*\])", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert matrix
    assert tuple(ast.literal_eval(matrix[1])) == MINORS


def test_the_ci_script_runs_the_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert '-m tests "$@"' in script
    assert "python3 -m tests" in (ROOT / "README.md").read_text()


def test_the_ci_script_is_clean_shell() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("no shellcheck here")
    subprocess.run([shellcheck, str(ROOT / ".ci" / "run")], check=True)


@pytest.mark.parametrize("path", sorted((ROOT / ".github").glob("*.md")), ids=lambda path: path.name)
def test_files_that_the_papers_name_exist(path: Path) -> None:
    names = re.findall(r"`((?:eidos|tests|recipes|templates|\.ci|\.github)/[\w./-]*)`", path.read_text(encoding="utf-8"))
    assert not [name for name in names if not (ROOT / name).exists()]
