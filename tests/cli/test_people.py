"""What people see: one screen of a snapshot, colour with a meaning, columns that align, characters that the terminal has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos import log
from eidos.cli.fleet_progress import Progress, time_left
from eidos.cli.fleet_table import fleet_table
from eidos.cli.snapshot_table import snapshot_summary, snapshot_table
from eidos.fleet.results import ResultsFolder
from eidos.fleet.summary import FleetSummary, NoAnswer
from eidos.formats.table import MIN_WIDTH, aligned_rows, display_width
from eidos.model.measurement import Measurement, Outcome, Subtype
from eidos.model.snapshot import Snapshot
from eidos.reading_selection import shipped_selection
from eidos.terminal import is_ascii_only, shows_colour, to_ascii
from tests.cli.test_table import snapshots
from tests.conftest import ROOT
from tests.support import macos
from tests.support.program import eidos, environment

UNITS = {"containerd.service": ("loaded", "active", "running"), "kubelet.service": ("loaded", "failed", "failed")}
NODE = Snapshot(
    timestamp="2026-11-23T06:00:00Z",
    version="1.2.3",
    node="gpu-07",
    measurements=(
        Measurement("K8s", (Subtype("server", {"version": "v1.33.5"}), Subtype("node", {"provider": "eks"}))),
        Measurement(
            "SystemD",
            (
                *(
                    Subtype(n, {"LoadState": a, "ActiveState": b, "SubState": c, **dict.fromkeys(map(str, range(400)), "x")})
                    for n, (a, b, c) in UNITS.items()
                ),
                Subtype("crio.service", {"LoadState": "not-found", "ActiveState": "inactive"}),
            ),
        ),
        Measurement(
            "OS", (Subtype("release", {"PRETTY_NAME": "Ubuntu 24.04.3 LTS"}), Subtype("sysctl", {"/proc/sys/kernel/osrelease": "6.8.0"}))
        ),
        Measurement(
            "GPU",
            (
                Subtype("smi", {"driver": "580.82.07", "cuda-version": "13.0", "gpu-count": 8, "gpu.model": "NVIDIA H100"}),
                *(Subtype(f"gpu-{n}", {"model": "NVIDIA H100" if n < 7 else "NVIDIA H200"}) for n in range(8)),
            ),
        ),
    ),
    collectors=(
        Outcome("k8s.node", "failed", 1.0, "permission denied"),
        Outcome("os.release", "ok", 1.0),
        Outcome("os.sysctl", "partial", 1.0, unreadable={"/proc/sys/a": "permission denied", "/proc/sys/b": "x", "/proc/sys/c": "y"}),
    ),
)

SCREEN = """\
Not read ───────────────────────────────────────────────────────────────────────
  k8s.node   failed: permission denied
  os.sysctl  partial: /proc/sys/a: permission denied, and 2 more

System ─────────────────────────────────────────────────────────────────────────
  Host    gpu-07
  Time    2026-11-23T06:00:00Z
  OS      Ubuntu 24.04.3 LTS
  Kernel  6.8.0

GPU ────────────────────────────────────────────────────────────────────────────
  Driver  580.82.07, CUDA 13.0
  GPUs    7 x NVIDIA H100
          1 x NVIDIA H200

Cluster ────────────────────────────────────────────────────────────────────────
  Kubernetes  v1.33.5
  Provider    eks

Units ──────────────────────────────────────────────────────────────────────────
  containerd.service  active (running)
  kubelet.service     failed (failed)
  not installed       crio.service

824 readings; show all with 'eidos snapshot -t table --all'
"""


def test_a_snapshot_is_one_screen_and_what_was_not_read_comes_first() -> None:
    text = snapshot_summary(NODE, 80)
    assert text == SCREEN
    assert "unknown" in snapshot_summary(Snapshot("", "", ""), 80)


def test_all_shows_every_reading() -> None:
    words = ("snapshot", "--root", str(ROOT / "tests/hosts/ubuntu-22.04"), "--skip", "k8s", "-t", "table", "--timeout", "60s")
    short, long = eidos(*words), eidos(*words, "--all")
    assert (short.status, long.status) == (0, 0)
    assert "PRETTY_NAME" not in short.out
    assert "  PRETTY_NAME         Ubuntu 22.04.5 LTS\n" in long.out
    assert len(short.out.splitlines()) <= 30


def test_colours_have_a_meaning() -> None:
    lines = snapshot_summary(NODE, 80, colour=True).splitlines()
    shades = {re.sub(r"\x1b\[\d*m", "", line).split()[0]: line[:5] for line in lines if "\x1b[" in line}
    assert shades["kubelet.service"] == shades["k8s.node"] == "\x1b[31m"
    assert shades["containerd.service"] == "\x1b[32m"
    assert shades["os.sysctl"] == "\x1b[33m"
    assert re.sub(r"\x1b\[\d*m", "", "\n".join(lines) + "\n") == snapshot_summary(NODE, 80)


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "TERM": "xterm"}, False),
    ],
)
def test_the_environment_decides_about_colour_where_there_is_no_terminal(environ: dict[str, str], shown: bool) -> None:
    with open("/dev/null", "rb") as file:
        assert shows_colour(file.fileno(), environ) is shown
    words = ("snapshot", "--root", str(ROOT / "tests/hosts/ubuntu-22.04"), "--only", "os.release", "-t", "table")
    assert ("\x1b[" in eidos(*words, env=environ).out) is shown


@pytest.mark.parametrize(
    ("environ", "shown"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_a_terminal_has_colour_unless_it_is_refused(environ: dict[str, str], shown: bool) -> None:
    main, terminal = os.openpty()
    try:
        assert shows_colour(terminal, environ) is shown
    finally:
        os.close(main)
        os.close(terminal)


@pytest.mark.parametrize(
    ("environ", "ascii_only"),
    [
        ({}, True),
        ({"LANG": "C"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "C.utf8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ({"LC_CTYPE": "UTF-8", "LANG": "C"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
    ],
)
def test_the_locale_decides_about_characters(environ: dict[str, str], ascii_only: bool) -> None:
    assert is_ascii_only(environ) is ascii_only


@pytest.mark.parametrize("extra", [(), ("--all",)])
def test_a_table_is_readable_in_the_c_locale(extra: tuple[str, ...]) -> None:
    words = ("snapshot", "--root", str(ROOT / "tests/hosts/ubuntu-22.04"), "--only", "os", "-t", "table", *extra)
    plain = eidos(*words, env={"LC_ALL": "C"})
    assert plain.status == 0
    assert plain.out.isascii()
    assert "\\u" not in plain.out, "lines are drawn with ASCII, not escaped"
    assert " ----" in plain.out


@pytest.mark.parametrize("environ", [{"LC_ALL": "C"}, {"LC_ALL": "", "LANG": "C"}, {"LC_ALL": ""}, {"LC_ALL": "de_DE.ISO-8859-1"}])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("recipe", "--gpu", "h100", "-t", "table", "--explain"), " ----"),
        (("recipe", "list"), " ----"),
        (("snapshot", "--root", str(ROOT / "tests/hosts/ubuntu-22.04"), "--only", "os", "-t", "table"), " ----"),
        (("manifest", "agent", "--explain-privileges"), "FACT"),
        (("recipe", "--kernel", "x" * 90), "x..."),
        (("recipe", "--os", "ubuntu-é"), "\\xe9"),
        (("bundle", "-f", "é…"), "\\xe9...: no such file"),
        (("verify", "é…"), "\\xe9..."),
    ],
)
def test_output_and_messages_are_ascii_where_the_locale_has_nothing_else(
    environ: dict[str, str], words: tuple[str, ...], expected: str
) -> None:
    result = eidos(*words, env=environ)
    assert (result.out + result.err).isascii()
    assert expected in result.out + result.err


def test_a_mistake_is_marked_below_itself_where_characters_take_more_room() -> None:
    program = (sys.executable, "-c", 'from eidos import log; log.error("wrong", excerpt=("a…é!b", 3))')
    for environ in ({"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}):
        shown, mark = eidos(program=program, env=environ).err.splitlines()[1:3]
        assert shown[mark.index("^")] == "!"


LEVELS = 'from eidos import log; log.configure("debug"); log.debug("a"); log.warn("b", hint="c"); log.error("d")'


def shown_on_a_terminal(program: str, environ: dict[str, str]) -> str:
    main, terminal = os.openpty()
    try:
        subprocess.run([sys.executable, "-c", program], stderr=terminal, env={**environment(), **environ}, check=True)
    finally:
        os.close(terminal)
    printed = b""
    try:
        while piece := os.read(main, 4096):
            printed += piece
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(main)
    return printed.decode().replace("\r\n", "\n")


def test_messages_on_a_terminal_have_colours_with_a_meaning() -> None:
    coloured = "\x1b[1mdebug:\x1b[0m a\n\x1b[33mwarning:\x1b[0m b\n\x1b[36mhint:\x1b[0m c\n\x1b[31merror:\x1b[0m d\n"
    plain = "debug: a\nwarning: b\nhint: c\nerror: d\n"
    assert shown_on_a_terminal(LEVELS, {"TERM": "xterm"}) == coloured
    for environ in ({"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}, {}):
        assert shown_on_a_terminal(LEVELS, environ) == plain
    program = (sys.executable, "-c", LEVELS)
    assert eidos(program=program, env={"TERM": "xterm"}).err == plain
    assert eidos(program=program, env={"FORCE_COLOR": "1"}).err == coloured
    assert eidos(program=program, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).err == plain
    structured = 'from eidos import log; log.configure("debug", "json"); log.error("d", hint="c")'
    assert "\x1b" not in shown_on_a_terminal(structured, {"TERM": "xterm"})


@pytest.mark.parametrize(
    ("words", "shades"),
    [
        (("recipe", "--gpu", "h100", "-t", "table", "--explain"), {"OS": "1", "Constraints": "1", "Sources": "1"}),
        (("recipe", "--gpu", "a30", "--service", "gke", "-t", "table"), {"Warning": "33"}),
        (("recipe", "list"), {"--gpu": "1", "Layers,": "1"}),
        (("manifest", "agent", "--explain-privileges"), {"FACT": "1"}),
    ],
)
def test_tables_have_colours_that_do_not_change_their_text(words: tuple[str, ...], shades: dict[str, str]) -> None:
    coloured = eidos(*words, env={"FORCE_COLOR": "1", "COLUMNS": "100"}).out
    observed = {line.partition("m")[2].split()[0]: line[2:].partition("m")[0] for line in coloured.splitlines() if line.startswith("\x1b[")}
    assert {name: observed.get(name) for name in shades} == shades
    plain = eidos(*words, env={"COLUMNS": "100"}).out
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


def test_outcomes_have_the_colour_of_what_they_mean() -> None:
    lines = snapshot_table(NODE, 80, colour=True).splitlines()
    shades = {re.sub(r"\x1b\[\d*m", "", line).split()[0]: line.partition("\x1b[")[2][:2] for line in lines if line.startswith("  ")}
    assert (shades["k8s.node"], shades["os.release"], shades["os.sysctl"]) == ("31", "32", "33")
    assert re.sub(r"\x1b\[\d*m", "", "\n".join(lines) + "\n") == snapshot_table(NODE, 80)
    words = ("snapshot", "--root", str(ROOT / "tests/hosts/ubuntu-22.04"), "--only", "os.release", "-t", "table", "--all")
    assert "\x1b[1mOS" in eidos(*words, env={"FORCE_COLOR": "1"}).out
    assert "\x1b" not in eidos(*words).out


@given(st.text(st.sampled_from("ab─·…\n")), st.text())
def test_lines_become_ascii_of_the_same_width(drawn: str, text: str) -> None:
    assert to_ascii(text).isascii() or "\ud800" <= max(text) <= "\udfff"
    assert len(to_ascii(drawn)) == len(drawn)
    assert [char for char in to_ascii(drawn) if char in "ab\n"] == [char for char in drawn if char.isascii()]


keys = st.text(st.sampled_from("abc/図é"), min_size=1, max_size=70)
values = st.text(st.sampled_from("xyz "), max_size=90).map(lambda text: f"|{text}")


@given(st.lists(st.tuples(keys, values), max_size=8), st.integers(MIN_WIDTH, 120))
def test_all_values_of_a_section_begin_in_one_column(pairs: list[tuple[str, str]], width: int) -> None:
    columns = {display_width(line[: line.index("|")]) for lines in aligned_rows(pairs, width) for line in lines if "|" in line}
    assert len(columns) <= 1


@given(snapshots, st.integers(-5, 200))
def test_no_line_of_the_screen_is_wider_than_the_terminal_and_none_can_steer_it(snapshot: Snapshot, width: int) -> None:
    text = snapshot_summary(snapshot, width)
    text.encode()
    for line in text.removesuffix("\n").split("\n"):
        assert line.isprintable()
        assert line == line.rstrip()
        assert width <= 0 or display_width(line) <= max(width, MIN_WIDTH)


def unanswered_fleet() -> FleetSummary:
    refused = {
        f"gpu-{number}": NoAnswer(f"ssh: connect to host gpu-{number} port 22: Connection refused", "start sshd")
        for number in range(10, 74)
    }
    return FleetSummary((), {**refused, "gpu-99": NoAnswer("no answer within 60s")})


def test_a_reason_that_nodes_share_is_shown_once_with_their_list() -> None:
    text = fleet_table(unanswered_fleet(), [], 0)
    assert "  gpu-[10-73]  ssh: connect to host NODE port 22: Connection refused (start sshd)\n" in text
    assert "  gpu-99       no answer within 60s\n" in text
    assert text.partition("No snapshot")[2].count("Connection refused") == 1


def test_no_node_is_missing_from_the_list_of_a_reason() -> None:
    names = [f"rack-{letter}-node" for letter in "abcdefghijklmnopqrstuvwxyz"]
    text = fleet_table(FleetSummary((), dict.fromkeys(names, NoAnswer("no route to host"))), [], 40)
    listed = "".join(text.partition("No snapshot")[2].split())
    assert all(name in listed for name in names)


def test_a_fleet_names_the_folder_that_it_wrote() -> None:
    assert fleet_table(unanswered_fleet(), [], 80, "today").endswith("\n\nwrote 0 snapshots and summary.yaml to today\n")


def test_colours_of_a_fleet_do_not_change_its_text() -> None:
    text = fleet_table(unanswered_fleet(), [], 80, colour=True)
    assert "\x1b[31mNo snapshot" in text
    assert re.sub(r"\x1b\[\d*m", "", text) == fleet_table(unanswered_fleet(), [], 80)


def test_progress_on_a_terminal_shows_the_time_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main, terminal = os.openpty()
    with open(terminal, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("NO_COLOR", "1")
        log.configure("info")
        folder = ResultsFolder(str(tmp_path / "results"), ["a", "b"], shipped_selection())
        with Progress(2, 32, 60.0) as progress:
            folder.add("a", NoAnswer("no route to host"))
            progress.show(folder, "a: no snapshot: no route to host")
        log.configure()
        shown = ""
        while shown.count("0 of 2 snapshots") < 2 or not shown.endswith("\r\x1b[K"):  # a read of a terminal may end anywhere
            shown += os.read(main, 4096).decode()
    os.close(main)
    assert shown.startswith(
        "\r0 of 2 snapshots, at most 0m59s left\x1b[K\r\x1b[Kinfo: a: no snapshot: no route to host\r\n\r0 of 2 snapshots"
    )
    assert re.search(r"0 of 2 snapshots, 1 failed, (about|at most) \d+m\d\ds left", shown)


def test_progress_moves_when_no_node_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    main, terminal = os.openpty()
    with open(terminal, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress(2, 1, 60.0, interval_s=0.001):
            shown = ""
            while shown.count("0 of 2 snapshots, at most 1m") < 3:
                shown += os.read(main, 4096).decode()
    os.close(main)


def test_progress_off_a_terminal_is_a_line_of_the_log_now_and_then(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = ResultsFolder(str(tmp_path / "results"), ["a", "b"], shipped_selection())
    for level, interval_s, lines in (("info", 0.0, 2), ("info", 60.0, 0), ("warn", 0.0, 0)):
        log.configure(level)
        with Progress(2, 1, 60.0, interval_s=60.0, report_interval_s=interval_s) as progress:
            progress.show(folder)
        log.configure()
        shown = capfd.readouterr().err.splitlines()
        assert len(shown) == lines and all("0 of 2 snapshots, at most " in line for line in shown), (level, shown)
    with Progress(6000, 10, 60.0):
        assert "warning: 6,000 nodes, 10 at a time: at most 600m00s left\n" in capfd.readouterr().err


def test_a_list_of_very_many_hosts_is_refused_unless_it_is_meant() -> None:
    refused = eidos("fleet", "--hosts", "gpu-[1-5001]")
    assert refused.status == 2
    assert refused.err == "error: 5,001 hosts; expected at most 5,000\nhint: check the list, or use --max-hosts 5001\n"
    assert "expected 1 to 100,000" in eidos("fleet", "--hosts", "a", "--max-hosts", "0").err
    assert "2 hosts; expected at most 1\n" in eidos("fleet", "--hosts", "a,b", "--max-hosts", "1").err


@given(st.integers(0, 99), st.integers(1, 100), st.floats(0, 1000), st.floats(0, 1000), st.integers(1, 512), st.floats(1, 600))
def test_the_time_left_is_never_longer_than_the_timeouts(
    done: int, more: int, last: float, since: float, parallel: int, timeout: float
) -> None:
    def seconds(now: float) -> int:
        text = time_left(done, done + more, last, now, parallel, timeout)
        match = re.fullmatch(r"(?:about|at most) (\d+)m(\d\d)s left", text)
        assert match is not None, text
        minutes, rest = map(int, match.groups())
        return minutes * 60 + rest

    assert 0 <= seconds(last + since) <= max(0, -(-more // parallel) * timeout - since) + 1e-6
    assert done or seconds(last + since + 2) <= seconds(last + since), "it moves without an answer"


@pytest.mark.slow
def test_on_macos_the_verbs_work_that_need_no_linux(tmp_path: Path) -> None:
    for words in (
        ("version",),
        ("--version",),
        ("--help",),
        ("help", "secrets"),
        ("help", "recipe", "list"),
        ("completion", "zsh"),
        ("recipe", "list"),
        ("recipe", "list", "-t", "json", "-o", "list.json"),
        ("recipe", "lint"),
        ("recipe", "--gpu", "h100", "-o", "recipe.yaml"),
        ("recipe", "-f", str(ROOT / "tests/golden/compatibility/0.1.0/snapshot.yaml"), "--explain", "-t", "table"),
        ("bundle", "-f", "recipe.yaml", "-o", "bundle", "--archive", "bundle.tar.gz"),
        ("bundle", "lint"),
        ("verify", "bundle"),
        ("verify", "bundle.tar.gz"),
        ("manifest", "agent", "--delivery", "hostpath"),
        ("manifest", "agent", "--explain-privileges"),
        ("manifest", "server", "--delivery", "image", "registry.example.com/eidos@sha256:" + "0" * 64),
        ("snapshot", "--list"),
        ("snapshot", "--help"),
        ("serve", "--help"),
    ):
        result = eidos(*words, program=macos.PROGRAM, cwd=tmp_path)
        assert result.status == 0, (words, result.err)


@pytest.mark.parametrize("verb", ["snapshot", "serve"])
def test_on_macos_a_verb_that_needs_linux_says_so_in_one_sentence(verb: str, tmp_path: Path) -> None:
    result = eidos(verb, program=macos.PROGRAM, cwd=tmp_path)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"error: eidos {verb} needs Linux, and this is darwin\nhint: ")
    assert result.err.count("\n") == 2


def test_on_macos_a_mistake_is_explained_as_elsewhere(tmp_path: Path) -> None:
    for words in (("recipe", "--gpu", "h1000"), ("snapsot",), ("bundle", "-f", "missing.yaml"), ("verify", "missing")):
        result = eidos(*words, program=macos.PROGRAM, cwd=tmp_path)
        assert result == eidos(*words, cwd=tmp_path)
        assert result.status == 2


@pytest.mark.parametrize(
    "words", [("help",), ("version",), ("recipe", "list", "-t", "table"), ("completion", "bash"), ("snapshot", "--list")]
)
def test_a_closed_pipe_ends_it_silently(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert eidos(*words, stdout=writer)[::2] == (141, "")
    finally:
        os.close(writer)
