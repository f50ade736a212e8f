"""What a stranger meets first: an old Python, one without pip or parts of its library, a machine without a network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidos.build import prerequisites
from tests.archive.test_zipapp import old_interpreters, run
from tests.conftest import ROOT

#: What Debian leaves out of python3-minimal, as far as eidos or its build import it.
NOT_IN_MINIMAL = ("concurrent", "ctypes", "difflib", "html", "http", "json", "lzma", "shlex", "shutil", "socketserver", "uuid")

# Runs a script as an interpreter without some modules would.
WITHOUT_MODULES = """
import importlib.abc, os, runpy, sys
names, script, *arguments = sys.argv[1:]
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in names.split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in [name for name in sys.modules if name.partition(".")[0] in names.split(",")]:
    del sys.modules[name]
sys.meta_path.insert(0, Missing())
sys.argv = [script, *arguments]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""

DISTRIBUTIONS = {
    'ID=debian\nVERSION_ID="12"\n': "apt-get install python3-venv python3-pip",
    "NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n": "apt-get install python3-venv python3-pip",
    'ID="rhel"\nID_LIKE="fedora"\n': "dnf install python3-pip",
    'ID="amzn"\nID_LIKE="fedora"\n': "dnf install python3-pip",
    'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n': "zypper install python3-pip",
    "ID=alpine\n": "apk add py3-pip",
    "ID=arch\n": "pacman -S python-pip",
    "ID_LIKE=debian\nID=pop\n": "apt-get install python3-venv python3-pip",
    "": "otherwise",
    "ID=unheard-of\n": "otherwise",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """As much of a checkout as a build needs before it has the wheels; nothing was fetched yet."""
    shutil.copytree(ROOT / "eidos" / "build", tmp_path / "eidos" / "build", ignore=shutil.ignore_patterns("__pycache__"))
    checkout = (
        "eidos/__init__.py",
        "eidos/archive/__init__.py",
        "eidos/archive/bytecode_importer.py",
        "eidos/archive/purposes.py",
        "eidos/errors.py",
        "eidos/files/__init__.py",
        "eidos/files/resources.py",
        "build_zipapp.py",
        "tests/__init__.py",
        "tests/__main__.py",
        "tests/checks.py",
        "tests/requirements.txt",
    )
    for name in checkout:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def silent_index() -> Iterator[str]:
    """The address of a package index that never accepts a connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):  # the backlog is full once one of these gets no answer
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/simple"
        for one in waiting:
            one.close()


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and not name.startswith("PIP_")}
    return {**own, "PIP_CONFIG_FILE": os.devnull, **more}


@pytest.mark.parametrize("words", [("build_zipapp.py",), ("-m", "tests")], ids=["build", "tests"])
def test_an_old_python_gets_one_line_with_the_version_it_needs(words: tuple[str, ...]) -> None:
    old = old_interpreters()
    if not old:
        pytest.skip("no Python before 3.9 here")
    for python in old:
        version = run(python, "-c", "import sys; sys.stdout.write('%d.%d.%d' % sys.version_info[:3])").stdout
        done = run(python, "-B", *words, cwd=ROOT)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f" eidos needs Python 3.9 or newer; this is {version}\n")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("text", "hint"), DISTRIBUTIONS.items())
def test_the_package_to_install_is_that_of_the_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, hint: str) -> None:
    release = tmp_path / "os-release"
    release.write_text(text)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(os.path, "realpath", lambda path: path)
    assert prerequisites.install_hint("venv", "pip", otherwise="otherwise", os_release=str(release)) == hint
    monkeypatch.setattr(sys, "executable", "/opt/python/bin/python3")
    assert prerequisites.install_hint("pip", otherwise="otherwise", os_release=str(release)) == "otherwise"


def test_without_pip_a_build_names_what_to_install(tree: Path) -> None:
    done = run(sys.executable, "-S", tree / "build_zipapp.py", "--bytecode", "none", env=environment())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {sys.executable} has no pip\nhint: ")
    assert "--wheels" in done.stderr or "install" in done.stderr


# Runs the tests as an interpreter would that has none of their tools.
WITHOUT_TOOLS = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in sys.argv[1].split(",") else find_spec(name)
from tests import checks
sys.exit(checks.main([]))
"""


def test_without_pip_and_venv_the_tests_name_what_to_install(tree: Path) -> None:
    done = run(sys.executable, "-c", WITHOUT_TOOLS, "pytest,pip,ensurepip", env=environment(TESTS_VENV=str(tree / "venv")), cwd=tree)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {sys.executable} has neither pip nor venv\nhint: ")
    assert not (tree / "venv").exists()


@pytest.mark.parametrize("words", [("build_zipapp.py", "--bytecode", "none"), ("-c", WITHOUT_TOOLS, "pytest")], ids=["build", "tests"])
def test_an_index_that_does_not_answer_ends_it_soon(tree: Path, silent_index: str, words: tuple[str, ...]) -> None:
    """Pip alone would try six times for 15 seconds each, for each address."""
    env = environment(PIP_INDEX_URL=silent_index, TESTS_VENV=str(tree / "venv"))
    done = run(sys.executable, *words, env=env, cwd=tree)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: cannot reach the package index at {silent_index.split('/')[2]}: ")
    assert done.stderr.count("\n") == 2, "pip was not even started"


def test_a_build_without_a_network_says_so(tree: Path) -> None:
    unshare = ["unshare", "--net"]
    if os.geteuid() or subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("cannot make a network namespace here")
    command = [*unshare, sys.executable, "build_zipapp.py", "--bytecode", "none"]
    done = subprocess.run(command, cwd=tree, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: cannot reach the package index at ")
    assert done.stderr.count("\n") == 2, "pip was not even started"


@pytest.mark.slow
@pytest.mark.parametrize("words", [("recipe", "--gpu", "h100", "-t", "json"), ("snapshot",), ("recipe", "--gpuu", "h100"), ("serve",)])
@pytest.mark.parametrize("which", ["pyz", "server_pyz"])
def test_a_python_without_parts_of_its_library_gets_a_sentence(which: str, words: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(which)
    done = run(sys.executable, "-S", "-c", WITHOUT_MODULES, ",".join(NOT_IN_MINIMAL), file, *words)
    assert "Traceback" not in done.stderr
    assert "fault of eidos" not in done.stderr
    if "--gpuu" in words and which == "pyz":  # without bytecode nothing runs there
        assert (done.returncode, "'--gpuu'" in done.stderr) == (2, True), "a suggestion is not worth the message"
    elif done.returncode == 1:
        assert "a part of Python's standard library is not installed\nhint: install " in done.stderr
    else:
        assert done.returncode in (0, 2)


@pytest.mark.slow
def test_code_in_a_compressed_pack_needs_the_module_for_it(agent_pyz: Path) -> None:
    done = run(sys.executable, "-S", "-c", WITHOUT_MODULES, "lzma", agent_pyz, "--version")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"error: {sys.executable} has no module 'lzma': a part of Python's standard library is not installed\nhint: "
    )


def test_so_does_its_build(tree: Path) -> None:
    done = run(sys.executable, "-c", WITHOUT_MODULES, ",".join(NOT_IN_MINIMAL), tree / "build_zipapp.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert "a part of Python's standard library is not installed\nhint: install " in done.stderr
    assert "Traceback" not in done.stderr
