"""What tests of every kind share: the built file, the interpreters that it must run under, and how a run is divided."""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from eidos.archive import purposes
from eidos.build.interpreters import select_interpreters
from tests.fakes import nvml
from tests.support import effort
from tests.support.shared_build import build_once
from tests.support.tools import find_tools

# What differs is cut to a few lines wherever the tests run: with this variable pytest prints all of it.
os.environ.pop("CI", None)

ROOT = Path(__file__).resolve().parent.parent

#: Every minor version that eidos runs on.
MINORS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

#: Tests of the whole source: a process that has one of them parses all files.
SOURCE_TESTS = tuple(f"tests/project/test_{name}.py" for name in ("architecture", "names", "manual", "voice"))

#: What only a program of others imports, which has a package that takes a second.
collect_ignore = ["support/schemathesis_hooks.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what tests compare with, instead of comparing")
    parser.addoption("--effort", choices=sorted(effort.EFFORTS), default="thorough", help="see tests/support/effort.py [thorough]")
    parser.addoption("--seed", type=int, help="draws the sample of what is marked exhaustive [from the commit]")


def pytest_configure(config: pytest.Config) -> None:
    # What a shell starts in the background ignores SIGINT, nohup makes it ignore SIGHUP, and the programs of tests would inherit that.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    effort.set_effort(config.option.effort)
    if config.option.seed is None:
        config.option.seed = effort.default_seed(ROOT)


def pytest_report_header(config: pytest.Config) -> str:
    return f"effort: {config.option.effort}, --seed={config.option.seed}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as ``summary``."""
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            for name, text in getattr(report, "user_properties", ()) if getattr(report, "when", "") == "call" else ():
                if name == "summary":
                    terminalreporter.write_line(text)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep how many tests failed: pytest keeps only names, and none of a test that ended its worker."""
    cache = getattr(session.config, "cache", None)  # which -p no:cacheprovider takes away
    if cache is not None and not hasattr(session.config, "workerinput"):
        cache.set("tests/failures", session.testsfailed)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What is collected lives as long as the run: looking for garbage in it took a quarter of the time, here and in tests."""
    gc.disable()
    try:
        compile_share(session.config)
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def compile_share(config: pytest.Config) -> None:
    """Import every nth module of tests first: all workers read them at the same time, and each would compile all of them."""
    if not hasattr(config, "workerinput") or config.option.file_or_dir:
        return
    number, count = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
    for path in sorted(ROOT.glob("tests/*/test_*.py"))[number::count]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - it is told when the module is collected
            sys.modules.pop(name, None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not run at this effort, and let workers begin with what is slow."""
    out = effort.left_out(items, config.option.effort, config.option.seed)
    if out:
        config.hook.pytest_deselected(items=[item for item in items if item in out])
        items[:] = [item for item in items if item not in out]
    if hasattr(config, "workerinput"):
        # Folders differ in whether their tests compute or wait: mixed, they leave no processor idle.
        items.sort(key=lambda item: (item.get_closest_marker("slow") is None, zlib.crc32(module_of(item.nodeid).encode())))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Workers get one test after the other, and one of them all that read the whole source."""
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = lambda nodeid: "source" if module_of(nodeid) in SOURCE_TESTS else nodeid
    return scheduling


def module_of(nodeid: str) -> str:
    """The file of a test."""
    return nodeid.partition("::")[0]


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
    return find_tools(pytestconfig)


@pytest.fixture(scope="session")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Minor version → path of every CPython from 3.9 on that this machine has."""

    def look(folder: Path) -> None:
        paths_by_minor = {each.version.rpartition(".")[0]: each.path for each in select_interpreters(["auto"])}
        (folder / "paths.json").write_text(json.dumps(paths_by_minor), encoding="utf-8")

    paths = (build_once(tmp_path_factory, "interpreters", look) / "paths.json").read_text(encoding="utf-8")
    return dict(json.loads(paths))


@pytest.fixture(scope="session", params=MINORS)
def python(request: pytest.FixtureRequest, interpreters: dict[str, str]) -> str:
    """Path of one interpreter after the other; what this machine lacks is skipped, and said."""
    if request.param not in interpreters:
        pytest.skip(f"no CPython {request.param} here")
    return interpreters[request.param]


def build_eidos(folder: Path, *flags: str) -> None:
    command = [sys.executable, str(ROOT / "build_zipapp.py"), *flags, "-o", str(folder / "eidos.pyz")]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def select_purpose(pyz: Path, folder: Path, purpose: str) -> None:
    """Write what ``build_zipapp.py --for`` writes."""
    (folder / "eidos.pyz").write_bytes(purposes.select_entries(pyz.read_bytes(), purpose))
    (folder / "eidos.pyz").chmod(0o755)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built file: that which was built before the run, or else one with bytecode for every interpreter found."""
    program = os.environ.get("TESTS_PROGRAM")
    return Path(program) if program else build_once(tmp_path_factory, "dist", build_eidos) / "eidos.pyz"


@pytest.fixture(scope="session")
def agent_pyz(pyz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file for agents, which has no bytecode."""
    return build_once(tmp_path_factory, "agent", lambda folder: select_purpose(pyz, folder, purposes.AGENT)) / "eidos.pyz"


@pytest.fixture(scope="session")
def server_pyz(pyz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file for servers: all that is served and deployed, without bytecode."""
    return build_once(tmp_path_factory, "server", lambda folder: select_purpose(pyz, folder, purposes.SERVER)) / "eidos.pyz"


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake driver's library, in a folder with the links that a driver makes."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build the fake driver with")
    return build_once(tmp_path_factory, "nvml", nvml.build) / f"libnvidia-ml.so.{nvml.VERSION}"
