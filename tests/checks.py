"""Runs everything that must hold before a change goes in: ``python3 -m tests``.

Knows the tools and their order; must not know any test. Where the tools of ``tests/requirements.txt`` are not installed it
makes a virtual environment with them (in ``.venv``, or the folder that TESTS_VENV names) and runs itself there. Needs Python
3.9 or newer, pip and, the first time, a network.

  --fast   a minute: one case of every fifth quick test
  --ci     also what is slow, all examples of laws, a sample of the mutants, and how many branches the tests reach
  --all    also whole grids, ten times as many examples, and every mutant

Other arguments go to pytest, and then only pytest runs, slow tests too. Exit status 1 when anything fails.

Tests start hundreds of processes in parallel, and a loaded machine may fail one of them. When a few tests fail, they run once more, one
after another: what fails alone too fails the run, and the failures of both runs are printed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from eidos.build.prerequisites import fail, install_hint, require_package_index

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "tests" / "requirements.txt"

#: One module of each tool; a single missing one calls for the environment.
TOOLS = ("coverage", "hypothesis", "jsonschema", "mypy", "pytest", "pytest_timeout", "ruff", "xdist", "yaml")

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
)

#: What computes as long as a tenth of the tests, in one process: it runs beside the others.
TYPES = ("mypy",)

CPUS = os.cpu_count() or 1


def in_parallel(workers: int) -> tuple[str, ...]:
    """What makes pytest divide the tests among workers."""
    return "-n", str(workers), "--dist", "loadscope", "--no-loadscope-reorder"


#: Tests wait for processes and sockets besides computing, so there is one worker more than there are processors.
PARALLEL = in_parallel(CPUS + 1)

#: The quick tests once more, which computes twice as long when it is watched; whether they pass was seen before.
WATCHED = ("pytest", "-q", "-p", "tests.support.branch_coverage", *in_parallel(CPUS), "--effort", "fast", "--ignore", "tests/project")

#: Branches that they reach within their own processes.
COVERAGE = (("coverage", "erase"), WATCHED, ("coverage", "combine", "-q"), ("coverage", "report"))

#: How many failed tests may run again: more of them have another cause than the load.
FEW = 3

#: The exit status of pytest when tests failed; it has others for its own failures and for modules that cannot be imported.
TESTS_FAILED = 1

#: Where pytest keeps the names of the tests that failed, and tests/conftest.py their number: a test that ends its worker has no name there.
LAST_FAILED, FAILURES = (ROOT / ".pytest_cache" / "v" / name for name in ("cache/lastfailed", "tests/failures"))

EFFORTS = {"--fast": "smoke", "--ci": "thorough", "--all": "all"}


def main(arguments: list[str]) -> int:
    """Run the checks; 0 when all hold."""
    in_environment = os.environ.pop("IN_TESTS_VENV", "")  # what runs from here starts anew
    if not all(importlib.util.find_spec(tool) for tool in TOOLS):
        if in_environment:
            sys.exit(f"error: {sys.prefix} lacks a tool of {REQUIREMENTS.name}\nhint: remove it, and run this again")
        python = environment(Path(os.environ.get("TESTS_VENV") or ROOT / ".venv"))
        os.execve(python, [python, "-m", "tests", *arguments], {**os.environ, "IN_TESTS_VENV": "1"})
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each worker and each program that a test starts would compile all anew
    mode = arguments.pop(0) if arguments and arguments[0] in EFFORTS else ""
    types = None if arguments else start(TYPES)
    with tempfile.TemporaryDirectory(prefix="eidos-tests-") as folder:
        steps = commands(mode, arguments)
        if mode != "--fast" and not arguments:  # the quick tests start few programs: those of the checkout
            os.environ["TESTS_PROGRAM"] = os.path.join(folder, "eidos.pyz")
            interpreters = [] if mode else ["--bytecode", sys.executable]
            steps.insert(len(CHECKS), ("build_zipapp", *interpreters, "-o", os.environ["TESTS_PROGRAM"]))
        failed = [command for command in steps if not (holds(command, may_repeat=not arguments) or command == WATCHED)]
    if types:
        print(f"$ {shlex.join(TYPES)}\n{types.communicate()[0]}", end="", flush=True)
        failed += [TYPES] if types.returncode else []
    for command in failed:
        print(f"failed: {shlex.join(command)}", file=sys.stderr)
    return 1 if failed else 0


def commands(mode: str, arguments: list[str]) -> list[tuple[str, ...]]:
    """What runs, in this order."""
    tests = ("pytest", "-rs", *PARALLEL, "--effort", EFFORTS.get(mode, "thorough" if arguments else "normal"), *arguments)
    if arguments:
        return [tests]
    if mode == "--ci":
        return [*CHECKS, tests, *COVERAGE, ("tests.mutation", "--sample", "20")]
    return [*CHECKS, tests, *([("tests.mutation",)] if mode == "--all" else [])]


def holds(command: tuple[str, ...], may_repeat: bool) -> bool:
    """Whether a tool succeeds, or the few tests that failed pass alone; its output says why not."""
    may_repeat = may_repeat and "loadscope" in command and command != WATCHED
    if may_repeat:
        LAST_FAILED.unlink(missing_ok=True)  # those of earlier runs would be counted, and run, too
    status = run(command)
    if status == TESTS_FAILED and may_repeat and LAST_FAILED.exists():
        names = list(json.loads(LAST_FAILED.read_text()))
        if len(names) == json.loads(FAILURES.read_text()) <= FEW:
            print(f"failed beside other tests, run again alone: {', '.join(names)}", flush=True)
            alone = (word for word in command if word not in PARALLEL)
            status = run((*alone, "--last-failed", "--last-failed-no-failures", "none"))
    return status == 0


def run(command: tuple[str, ...]) -> int:
    """The exit status of a tool."""
    print(f"$ {shlex.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode


def start(command: tuple[str, ...]) -> subprocess.Popen[str]:
    """Run a tool beside the others, and remember what it prints."""
    arguments = [sys.executable, "-m", *command]
    output, errors = subprocess.PIPE, subprocess.STDOUT
    return subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, text=True)


def environment(folder: Path) -> str:
    """The interpreter of a virtual environment with the pinned tools, made or renewed when the pins or Python have changed."""
    python, stamp = str(folder / "bin" / "python"), folder / "eidos-tools"
    state = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == state:
        return python
    has_ensurepip, has_pip = (importlib.util.find_spec(module) is not None for module in ("ensurepip", "pip"))
    hint = "install the tools of tests/requirements.txt into an environment and run the tests with its Python"
    if not has_ensurepip and not has_pip:
        fail(f"{sys.executable} has neither pip nor venv", install_hint("venv", "pip", otherwise=hint))
    if has_pip:  # else checked once the environment has it
        require_package_index(sys.executable, hint)
    print(f"$ python3 -m venv {folder}", flush=True)
    make = [sys.executable, "-m", "venv", "--clear", str(folder)]
    if not has_ensurepip:  # Debian keeps it in another package; the system's own pip serves as well
        make[4:4] = ["--without-pip", "--system-site-packages"]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(REQUIREMENTS)]
    for command in (make, install):
        if command is install and not has_pip:
            require_package_index(python, hint)
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
            fail(f"{shlex.join(command)} failed", install_hint("venv", "pip", otherwise=hint))
    stamp.write_text(state)
    return python
