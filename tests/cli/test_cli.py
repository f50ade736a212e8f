"""What the command line prints and how it ends, run as a process of its own."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidos import __version__, collectors
from eidos.cli.commands import COMMANDS
from eidos.cli.help import TOPICS
from eidos.collectors import collector_choices, select_collectors
from eidos.files import resources
from eidos.files.resources import data_digest
from tests.support.program import PROGRAM, ROOT, Result, command_line, eidos, environment
from tests.support.waiting import AMPLE_S

Bus = Path


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for sockets, whose paths have at most 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="eidos-") as folder:
        yield Path(folder)


@pytest.fixture
def mute_bus(short_path: Path) -> Iterator[Bus]:
    """A host whose system bus lets everyone connect and never says a word; the fixture is its root."""
    folder = short_path / "run" / "dbus"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(folder / "system_bus_socket"))
        bus.listen()
        yield short_path


@pytest.fixture
def rude_bus(short_path: Path) -> Iterator[Bus]:
    """A host whose system bus hangs up on everyone; the fixture is its root."""
    folder = short_path / "run" / "dbus"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(folder / "system_bus_socket"))
        bus.listen()

        def hang_up() -> None:
            while True:
                try:
                    bus.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield short_path
        bus.shutdown(socket.SHUT_RDWR)
        thread.join()


# -- version and help --


def test_version() -> None:
    result = eidos("--version")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == f"eidos {__version__}"
    assert re.fullmatch(r"commit   (unknown|[0-9a-f]{40}(-dirty)?)", lines[1])
    assert lines[2:] == [f"python   {platform.python_version()}", f"recipes  sha256:{data_digest()}"]


@pytest.mark.parametrize(
    "words", [["version"], ["-V"], ["--debug", "--version"], ["version", "--log-format", "json"], ["version", "-t", "text"]]
)
def test_every_way_to_ask_for_the_version_says_the_same(words: list[str]) -> None:
    assert eidos(*words) == eidos("--version")


def test_version_for_programs() -> None:
    tree = json.loads(eidos("version", "-t", "json").out)
    assert list(tree) == ["version", "commit", "python", "recipes"]
    assert tree["version"] == __version__
    assert eidos("version", "-t", "yaml").out.startswith(f'version: "{__version__}"\n')


def test_version_into_a_file_but_not_where_snapshots_go(tmp_path: Path) -> None:
    assert eidos("version", "-o", str(tmp_path / "v")).out == ""
    assert (tmp_path / "v").read_text() == eidos("--version").out
    assert eidos("version", "-t", "text", env={"EIDOS_OUTPUT": str(tmp_path / "snapshot.yaml")}).out == eidos("--version").out


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview(words: list[str]) -> None:
    result = eidos(*words)
    assert (result.status, result.err) == (0, "")
    assert all(f"\n  {name} " in result.out for name in COMMANDS)
    assert result == eidos()


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_of_each_verb(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    result = command_line(capfd)(verb, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: eidos {verb}")
    assert "\nExamples:\n" in result.out
    assert result == command_line(capfd)(verb, "--no-such-flag", "-h")
    explained = command_line(capfd)("help", verb)
    assert explained == command_line(capfd)("--help", verb)
    assert explained.out == result.out + (f"\n{resources.read_text(f'templates/help/{verb}.md')}" if verb in TOPICS else "")


@pytest.mark.parametrize("topic", TOPICS)
def test_help_shows_each_page_of_the_manual(topic: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Word for word the Markdown file, readable on any terminal, with a title and nothing unfinished."""
    page = resources.read_text(f"templates/help/{topic}.md")
    result = command_line(capfd)("help", topic)
    assert (result.status, result.err) == (0, "")
    assert result.out.endswith(page)
    assert page.startswith("# ")
    assert page.isascii()
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    assert max(len(line) for line in prose.splitlines() if not line.startswith("|")) <= 80
    assert re.search(rf"^  {topic} +\S", command_line(capfd)("help").out.partition("\nManual ")[2], re.MULTILINE)


def test_every_page_of_the_manual_is_a_topic() -> None:
    assert {path.stem for path in (ROOT / "templates" / "help").iterdir()} == set(TOPICS)


@pytest.mark.parametrize("words", [[], *([verb, "--help"] for verb in COMMANDS)])
def test_help_fits_eighty_columns(words: list[str]) -> None:
    assert max(map(len, eidos(*words).out.splitlines())) < 80


def test_examples_are_command_lines_that_work(tmp_path: Path) -> None:
    examples = re.findall(r"^  eidos ([^|\n]*)", eidos("snapshot", "--help").out, re.MULTILINE)
    assert len(examples) > 4
    for example in examples:
        assert eidos(*example.split(), "--list", cwd=tmp_path).status == 0, example


# Beside what Python itself has loaded, a start that only says what it is may load these and no more.
@pytest.mark.parametrize("words", [["--version"], ["--help"], []])
def test_a_start_imports_almost_nothing(words: list[str]) -> None:
    script = f"import sys; before = set(sys.modules); sys.argv[1:] = {words!r}; from eidos.cli import main; main()\n"
    script += "sys.stderr.write(' '.join(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-S", "-c", script], env=environment(), capture_output=True, text=True, check=True)
    loaded = {name for name in done.stderr.split() if not name.startswith("eidos")}
    # A checkout has to compute the digest of the recipes; the archive knows it.
    loaded = {name for name in loaded if not re.match("_?(hashlib|sha|md5|blake)", name)}
    # These are what the empty archive loads, too, to be started at all.
    assert loaded <= {"__future__", "_collections_abc", "_stat", "errno", "genericpath", "os", "os.path", "posixpath", "stat"}


# -- what a snapshot writes --


def test_a_snapshot_goes_to_standard_output() -> None:
    result = eidos("snapshot", "--only", "k8s")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("kind: Snapshot\napiVersion: snapshot.dgxc.io/v1\n")
    assert eidos("snapshot", "--only", "k8s", "-o", "-").out.splitlines()[0] == "kind: Snapshot"


def test_formats_and_the_name_of_the_file(tmp_path: Path) -> None:
    assert json.loads(eidos("snapshot", "--only", "k8s", "-t", "json").out)["kind"] == "Snapshot"
    assert eidos("snapshot", "--only", "k8s", "-t", "table").out.startswith("Not read ")
    for name, words, start in (
        ("a.json", [], "{"),
        ("a.JSON", [], "{"),
        ("a.yaml", [], "kind"),
        ("a", [], "kind"),
        ("b.json", ["-t", "yaml"], "kind"),
        ("a.txt", ["-t", "table"], "Not read"),
    ):
        result = eidos("snapshot", "--only", "k8s", "-o", name, *words, cwd=tmp_path)
        assert (result.status, result.out, result.err) == (0, "", "")
        assert (tmp_path / name).read_text().startswith(start)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600
    assert eidos("snapshot", "--only", "k8s", "-o", "c.json", cwd=tmp_path, env={"EIDOS_FORMAT": "yaml"}).status == 0
    assert (tmp_path / "c.json").read_text().startswith("kind")


def test_a_table_is_as_wide_as_columns_says() -> None:
    for columns in ("60", "100"):
        lines = eidos("snapshot", "--only", "k8s", "-t", "table", env={"COLUMNS": columns}).out.splitlines()
        assert max(map(len, lines)) <= int(columns)


def test_list() -> None:
    lines = eidos("snapshot", "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == list(collectors.list_collectors())
    assert json.loads(eidos("snapshot", "--list", "-t", "json", "--only", "gpu").out) == [
        {"name": "gpu", "summary": collectors.collector_summary("gpu")},
    ]


def test_groups_name_their_collectors() -> None:
    names = ["k8s", "os.grub", "os.kmod", "gpu", "gpu.topology"]
    assert select_collectors(["os"], names) == ["os.grub", "os.kmod"]
    assert select_collectors(["gpu"], names) == ["gpu", "gpu.topology"]
    assert select_collectors(["gpu.topology", "k8s"], names) == ["k8s", "gpu.topology"]
    assert select_collectors([], names) == []
    assert set(collector_choices()) >= set(collectors.list_collectors())


def test_only_and_skip() -> None:
    def listed(*words: str) -> list[str]:
        return [line.split()[0] for line in eidos("snapshot", "--list", *words).out.splitlines()]

    everything = list(collectors.list_collectors())
    assert listed("--only", "gpu,k8s.node") == ["k8s.node", "gpu"]
    assert listed("--skip", "k8s") == [name for name in everything if not name.startswith("k8s.")]
    assert listed("--only", "k8s.server", "--only", "gpu", "--skip", "gpu") == ["k8s.server"]


# -- what became of the collectors, and the exit status --


def test_skipped_is_not_failed() -> None:
    assert eidos("snapshot", "--only", "k8s").status == 0


def test_a_host_without_a_gpu_is_warned_of_once(tmp_path: Path) -> None:
    result = eidos("snapshot", "--only", "gpu", "--root", str(tmp_path))
    assert result.status == 0
    assert re.fullmatch(r"warning: gpu: skipped: [^\n]+\nhint: [^\n]+\n", result.err)
    assert "outcome: skipped" in result.out
    assert eidos("snapshot", "--only", "gpu", "--root", str(tmp_path), "--quiet").err == ""


def test_every_collector_failed(rude_bus: Bus) -> None:
    result = eidos("snapshot", "--only", "systemd,k8s", "--root", str(rude_bus))
    assert result.status == 1
    assert "outcome: failed" in result.out
    assert result.err.startswith("warning: systemd: failed: ")
    assert "\nerror: no collector succeeded\n" in result.err


def test_a_required_collector_that_is_not_ok(rude_bus: Bus, tmp_path: Path) -> None:
    location = tmp_path / "node.yaml"
    result = eidos("snapshot", "--skip", "systemd", "--require", "k8s.node,gpu", "--root", str(tmp_path), "-o", str(location))
    assert result.status == 3
    assert location.read_text().startswith("kind: Snapshot")
    assert "error: --require is not met: k8s.node is skipped, gpu is skipped\nhint: see " in result.err


def test_fail_fast_writes_nothing(rude_bus: Bus, tmp_path: Path) -> None:
    location = tmp_path / "node.yaml"
    result = eidos("snapshot", "--only", "systemd,k8s", "--root", str(rude_bus), "--fail-fast", "-o", str(location))
    assert (result.status, result.out) == (1, "")
    assert "error: systemd: " in result.err
    assert not location.exists()


def test_the_timeout_is_a_promise(mute_bus: Bus) -> None:
    began = time.monotonic()
    result = eidos("snapshot", "--only", "systemd,k8s", "--root", str(mute_bus), "--timeout", "500ms")
    assert time.monotonic() - began < AMPLE_S
    assert result.status == 1
    assert "outcome: failed" in result.out


def test_a_deadline_that_is_over_at_once() -> None:
    for timeout in ("1ns", "1us"):
        result = eidos("snapshot", "--timeout", timeout)
        assert (result.status, result.out) == (124, "")
        assert "hint: " in result.err


def test_log_format_json(rude_bus: Bus) -> None:
    result = eidos("snapshot", "--only", "systemd,k8s", "--root", str(rude_bus), "--log-format", "json", "--log-level", "info")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert {line["level"] for line in lines} == {"info", "warn", "error"}
    assert all({"time", "level", "msg"} <= line.keys() for line in lines)


# -- where output goes --


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("no/such/folder/x.yaml", "the folder does not exist"),
        (".", "it is a folder"),
        ("x/", "it is a folder"),
        ("file/x.yaml", "its parent is a file, not a folder"),
        ("/proc/x.yaml", ""),
        ("/dev/full", "no space left on device"),
    ],
)
def test_output_that_cannot_be_written(tmp_path: Path, location: str, why: str) -> None:
    (tmp_path / "file").touch()
    result = eidos("snapshot", "--only", "k8s", "-o", location, cwd=tmp_path)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"error: cannot write {location}: {why}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_root_that_holds_no_host_is_warned_of(tmp_path: Path) -> None:
    result = eidos("snapshot", "--root", str(tmp_path), "--only", "os")
    assert result.status == 0
    warning, hint = f"no operating system found below {str(tmp_path)!r}", "check that the host's file system is mounted there"
    assert result.err == f"warning: {warning}\nhint: {hint}\n"


def test_a_root_that_cannot_be_looked_into_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    result = eidos("snapshot", "--root", "loop", cwd=tmp_path)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("error: --root: cannot read 'loop': too many levels of symbolic links\n")


@pytest.mark.parametrize("words", [["snapshot", "--only", "k8s"], ["version"]])
def test_output_from_a_folder_that_was_removed(tmp_path: Path, words: list[str]) -> None:
    """A relative path means nothing there; the absolute path of another file does."""
    script = 'mkdir "$0/gone" && cd "$0/gone" && rmdir ../gone && exec "$@"'
    for location, status in (("x.yaml", 1), (str(tmp_path / "x.yaml"), 0)):
        command = ["sh", "-c", script, str(tmp_path), *PROGRAM, *words, "-o", location]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status
        assert "the current folder was removed" in done.stderr if status else not done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = eidos("snapshot", "--only", "k8s", "-o", "x.yaml", cwd=tmp_path)
    assert result.status == 1
    assert "permission denied" in result.err


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["completion", "bash"], ["snapshot", "--only", "k8s"], ["snapshot", "--list"]]
)
def test_standard_output_that_is_full_or_gone(words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        result = eidos(*words, stdout=full.fileno())
    assert (result.status, result.err.splitlines()[0]) == (1, "error: cannot write standard output: no space left on device")
    reading, writing = os.pipe()
    os.close(reading)
    result = eidos(*words, stdout=writing)
    os.close(writing)
    assert (result.status, result.err) == (141, "")
    command = 'exec "$@" >&-'
    done = subprocess.run(["sh", "-c", command, "sh", *PROGRAM, *words], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: cannot write standard output: it is closed")


def test_standard_error_that_is_gone() -> None:
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *PROGRAM, "nonsense"], env=environment(), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


# -- signals --


def waiting_snapshot(root: object, location: Path) -> list[str]:
    """The command of a snapshot that waits for a bus which does not answer."""
    flags = ("--only", "systemd,k8s.node", "--root", str(root), "-o", str(location), "--log-level", "info", "--timeout", "10m")
    return [*PROGRAM, "snapshot", *flags]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_snapshot_leaves_nothing_behind(mute_bus: Bus, tmp_path: Path, number: signal.Signals, status: int) -> None:
    location = tmp_path / "out" / "node.yaml"
    location.parent.mkdir()
    # The tests themselves may run under nohup, and what is ignored stays so.
    command = ["env", "--default-signal=HUP,INT,TERM", *waiting_snapshot(mute_bus, location)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("info: k8s.node: skipped")
        process.send_signal(number)
        began = time.monotonic()
        rest = process.stderr.read()
    assert time.monotonic() - began < AMPLE_S
    assert process.returncode == status
    assert re.fullmatch(r"error: (interrupted|terminated|hung up)\n", rest)
    assert list(location.parent.iterdir()) == []


def test_a_second_signal_changes_nothing(mute_bus: Bus, tmp_path: Path) -> None:
    """It came while the first one's exception was on its way, and ended the program with a traceback."""
    location = tmp_path / "out" / "node.yaml"
    location.parent.mkdir()
    for pause in (0.0, 0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02):
        with subprocess.Popen(waiting_snapshot(mute_bus, location), env=environment(), stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("info: k8s.node: skipped")
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                process.send_signal(number)
                time.sleep(pause)
            rest = process.stderr.read()
        # Those that are there when it looks are handled in the order of their numbers.
        assert process.returncode in (129, 130, 143), rest
        assert re.fullmatch(r"error: (interrupted|terminated|hung up)\n", rest)
        assert list(location.parent.iterdir()) == []


def test_a_hangup_that_was_ignored_for_us_stays_ignored(mute_bus: Bus) -> None:
    words = ["snapshot", "--only", "systemd", "--root", str(mute_bus), "--timeout", "1s", "--quiet"]
    command = ["sh", "-c", 'trap "" HUP TERM; exec "$@"', "sh", *PROGRAM, *words]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 1


#: Runs the program, and interrupts it, not a child, when so many functions were called.
INTERRUPT = """
import os, signal, sys
from eidos.cli import program
left, parent = int(sys.argv.pop(1)), os.getpid()
def count(frame, event, argument):
    global left
    left -= event == "call"
    if left == 0:
        left = -1
        sys.setprofile(None)
        if os.getpid() == parent:
            signal.raise_signal(signal.SIGINT)
sys.setprofile(count)
program()
"""


def test_an_interrupt_at_any_moment_ends_without_a_traceback() -> None:
    statuses = set()
    for calls in (*range(25, 5000, 250), 1_000_000):
        command = [sys.executable, "-c", INTERRUPT, str(calls), "snapshot", "--only", "k8s,gpu", "--root", str(ROOT / "eidos")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        statuses.add(done.returncode)
        assert done.returncode in (0, 130), done.stderr
        assert "Traceback" not in done.stderr
    assert statuses == {0, 130}


def test_a_fault_of_our_own_is_one_line() -> None:
    script = "import eidos.cli; eidos.cli.commands.COMMANDS['snapshot'] = ('eidos.no_such_module', ''); eidos.cli.program()"

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-c", script, *words], env=environment(), capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    status, err = run("snapshot")
    assert status == 1
    assert err.startswith("error: internal error: ModuleNotFoundError: No module named 'eidos.no_such_module'\nhint: ")
    assert err.count("\n") == 2
    status, err = run("--debug", "snapshot")
    assert status == 1
    assert 'debug:   File "<string>", line 1, in <module>\n' in err


# -- the built file --


@pytest.mark.slow
def test_the_built_file_says_the_same_under_every_interpreter(pyz: Path, python: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    env = {"HOME": str(home), "PYTHONPATH": "/nonexistent"}
    bare, checkout = ([python, "-I", str(pyz)], [python, "-m", "eidos"])

    def both(*words: str) -> Result:
        built = eidos(*words, program=bare, cwd=Path("/"), env=env)
        assert built == eidos(*words, program=checkout, cwd=Path("/"))
        return built

    for verb in COMMANDS:
        assert both(verb, "--help").status == 0
    assert both().out.startswith(f"eidos {__version__} - ")
    assert both("snapsot").err.endswith("hint: did you mean 'snapshot'?\n")
    assert both("snapshot", "--list").err == ""
    # A checkout needs PyYAML for the words of the catalog, which the interpreters here may not have.
    built = eidos("completion", "bash", program=bare, cwd=Path("/"), env=env)
    assert built.out.endswith("complete -F _eidos eidos eidos.pyz\n")
    assert both("snapshot", "-t", "yml", "--log-level", "info").status == 2

    version = eidos("--version", program=bare, cwd=Path("/"), env=env)
    assert re.match(rf"eidos {__version__}\ncommit   [0-9a-f]{{40}}(-dirty)?\npython   3\.", version.out)
    assert version.out.endswith(f"recipes  sha256:{data_digest()}\n")
    location = tmp_path / "node.json"
    assert eidos("snapshot", "--only", "k8s", "-o", str(location), program=bare, cwd=Path("/"), env=env) == (0, "", "")
    assert json.loads(location.read_text())["collectors"][0]["outcome"] == "skipped"
