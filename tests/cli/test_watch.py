"""``eidos watch`` as a user runs it: lines, metrics, the program of --on-change, signals, exit statuses, and what does not grow."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from eidos.cli.watch import parse_listen_address
from eidos.errors import InvalidInput
from tests.support.program import PROGRAM, eidos, environment
from tests.support.waiting import AMPLE_S, until
from tests.workflow.test_document_schemas import faults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

NVIDIA, NOUVEAU = (f"{name} 1 0 - Live 0x0000000000000000\n" for name in ("nvidia", "nouveau"))

#: One collector, and one check that looks at it.
FEW = ("--interval", "20ms", "--timeout", "60s", "--only", "nouveau-loaded", "--without")
OTHERS = "gpu,systemd,k8s,os.boot,os.cpu,os.kernel,os.kmsg,os.kubelet,os.limits,os.machine,os.memory,os.modules,os.net,os.packages,os.pci"
QUICK = (*FEW, f"{OTHERS},os.rdma,os.runtime,os.storage,os.sysctl")


class Watch:
    """A running ``eidos watch`` of a small tree, killed at the end of a ``with`` if it still runs."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.root = folder / "root"
        (self.root / "proc").mkdir(parents=True)
        self.modules(NVIDIA)
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*PROGRAM, "watch", "--root", str(self.root), *QUICK, *flags],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(NODE_NAME="gpu-07"),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        assert "Traceback" not in self.errors()

    def modules(self, text: str) -> None:
        new = self.root / "proc" / "new"
        new.write_text(text, encoding="ascii")
        new.rename(self.root / "proc" / "modules")

    def errors(self) -> str:
        return self.err.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]

    def line(self, number: int) -> dict[str, Any]:
        """The line of this number, once it is there."""
        until(lambda: len(self.lines()) > number or self.process.poll() is not None)
        line = self.lines()[number]
        assert faults("change", line) == []
        return line

    def end(self, number: int) -> int:
        """The exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(AMPLE_S)

    def get(self, path: str) -> tuple[int, str]:
        """What is served, once it is."""
        until(lambda: "listening on " in self.errors() or self.process.poll() is not None)
        match = re.search(r"listening on http://127\.0\.0\.1:(\d+)", self.errors())
        assert match, self.errors()
        connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=AMPLE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def test_changes_are_lines_and_the_program_gets_them(tmp_path: Path) -> None:
    program = tmp_path / "on-change"
    program.write_text(f"#!/bin/sh\ncat >> {tmp_path}/got\necho chatter\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    with Watch(tmp_path, "--on-change", str(program)) as watch:
        assert watch.line(0)["sentence"] == "nothing wrong found, 1 passed"
        watch.modules(NVIDIA + NOUVEAU)
        line = watch.line(1)
        assert (line["kind"], line["apiVersion"], line["node"]) == ("NodeChange", "watch.dgxc.io/v1", "gpu-07")
        assert line["since"] <= line["time"]
        (finding,) = line["findings"]
        assert (finding["id"], finding["change"], finding["was"], finding["status"]) == ("nouveau-loaded", "appeared", "pass", "fail")
        assert line["readings"] == [{"path": "OS.kmod.nouveau", "group": "OS.kmod", "change": "added", "to": True}]
        (watch.root / "proc" / "new").symlink_to("modules")
        (watch.root / "proc" / "new").rename(watch.root / "proc" / "modules")  # a link to itself
        (finding,) = watch.line(2)["findings"]
        assert (finding["was"], finding["status"]) == ("fail", "unknown"), "what cannot be read is unknown, and that is a change"
        watch.modules(NVIDIA)
        (finding,) = watch.line(3)["findings"]
        assert (finding["change"], finding["status"]) == ("changed", "pass")
        until(lambda: (tmp_path / "got").read_bytes() == watch.out.read_bytes())
        assert f"warning: --on-change {program}: exit status 1\n" in watch.errors(), "and the watch goes on"
        assert watch.end(signal.SIGTERM) == 143
    assert len(watch.lines()) == 4


def test_metrics_follow_the_findings(tmp_path: Path) -> None:
    with Watch(tmp_path, "--listen", "127.0.0.1:0", "--log-level", "info") as watch:
        watch.line(0)
        assert watch.get("/health")[0] == 200
        until(lambda: watch.get("/ready")[0] == 200)
        assert 'eidos_finding{check="nouveau-loaded",severity="error",status="pass"} 1\n' in watch.get("/metrics")[1]
        watch.modules(NOUVEAU)
        watch.line(1)
        status, text = watch.get("/metrics")
        assert status == 200
        assert 'eidos_finding{check="nouveau-loaded",severity="error",status="fail"} 1\n' in text
        assert re.search(r"^eidos_watch_cycles_total [1-9]", text, re.MULTILINE)
        assert 'eidos_collector_success{collector="os.kmod"} 1\n' in text
        assert "eidos_watch_cycle_failures_total 0\n" in text
        os.kill(watch_children(watch)[0], signal.SIGKILL)
        until(lambda: "the process that serves metrics ended; it was started again" in watch.errors())
        until(lambda: is_served(watch))
        os.kill(watch.process.pid, signal.SIGKILL)
        watch.process.wait(AMPLE_S)
        until(lambda: not is_served(watch))  # what is exported would stay as it was for ever


def watch_children(watch: Watch) -> list[int]:
    """The children that live for longer than a cycle: the one that listens."""
    listening = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                links = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
            except OSError:
                continue
            if int(stat[1]) == watch.process.pid and any("eventpoll" in link for link in links):
                listening.append(int(name))
    return listening


def is_served(watch: Watch) -> bool:
    try:
        return watch.get("/metrics")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_between_two_cycles_ends_the_watch(tmp_path: Path, number: int, status: int) -> None:
    with Watch(tmp_path, "--interval", "1h") as watch:
        watch.line(0)
        assert watch.end(number) == status
        word = {143: "terminated", 130: "interrupted", 129: "hung up"}[status]
        assert watch.errors() == f"error: {word}\n"
    assert len(watch.lines()) == 1


def test_a_signal_within_a_cycle_ends_it_and_what_it_started(tmp_path: Path) -> None:
    program = tmp_path / "on-change"
    program.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid.new\nmv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 1000\n", encoding="utf-8"
    )
    program.chmod(0o755)
    with Watch(
        tmp_path, "--on-change", str(program), "--on-change-timeout", "1h", "--listen", "127.0.0.1:0", "--log-level", "info"
    ) as watch:
        until((tmp_path / "pid").exists)
        pid = int((tmp_path / "pid").read_text(encoding="ascii"))
        listener = watch_children(watch)
        assert watch.end(signal.SIGTERM) == 143
        for process in (pid, *listener):
            until(lambda process=process: not Path(f"/proc/{process}").exists())


@pytest.mark.exhaustive(sample=2, group="watch-status")
@pytest.mark.parametrize(
    ("modules", "flags", "status"),
    [
        (NVIDIA, (), 0),
        (NOUVEAU, (), 4),
        (NOUVEAU, ("--fail-on", "critical"), 0),
        ("", ("--only", "driver-library-mismatch", "--fail-on", "critical"), 3),
        ("", ("--only", "driver-library-mismatch", "--fail-on", "critical", "--allow-unknown"), 0),
    ],
)
def test_after_the_last_cycle_the_exit_status_is_that_of_check(tmp_path: Path, modules: str, flags: tuple[str, ...], status: int) -> None:
    (tmp_path / "proc").mkdir()
    if modules:
        (tmp_path / "proc" / "modules").write_text(modules, encoding="ascii")
    done = eidos("watch", "--root", str(tmp_path), *QUICK, "--count", "2", *flags)
    assert (done.status, done.err) == (status, "")
    assert len(done.out.splitlines()) == 1, "nothing changed from the first cycle to the second"


def test_a_root_that_is_gone_makes_everything_unknown(tmp_path: Path) -> None:
    """The program takes it away and brings it back, between two cycles: within one a part of it might be read."""
    program = tmp_path / "on-change"
    program.write_text(f"#!/bin/sh\ncd {tmp_path}\nif [ -e root ]; then mv root away; else mv away root; fi\n", encoding="utf-8")
    program.chmod(0o755)
    with Watch(tmp_path, "--on-change", str(program)) as watch:
        watch.line(0)
        line = watch.line(1)
        assert line["sentence"] == f"--root: no such folder or archive: '{watch.root}'"
        assert {(each["was"], each["status"]) for each in line["findings"]} == {("pass", "unknown")}
        assert f"error: cannot judge this node: {line['sentence']}\nhint: " in watch.errors()
        assert [each["status"] for each in watch.line(2)["findings"]] == ["pass"]


def test_a_reader_that_is_gone_ends_the_watch_silently(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    command = [*PROGRAM, "watch", "--root", str(tmp_path), *QUICK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(AMPLE_S) == 141


def test_a_reader_that_goes_later_ends_the_watch_although_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    command = [*PROGRAM, "watch", "--root", str(tmp_path), *QUICK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert process.wait(AMPLE_S) == 141
        assert process.stderr.read() == b""


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = eidos("watch", "--root", str(tmp_path), *QUICK, stdout=full)
    finally:
        os.close(full)
    assert done.status == 1
    assert done.err.startswith("error: cannot write standard output: no space left on device\n")


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for flags, status, message in (
        (("--root", "/no/such/folder"), 2, "--root: no such folder or archive: '/no/such/folder'"),
        (("--root", __file__), 2, f"--root: {__file__} is an archive, which does not change"),
        (("--interval", "1ms"), 2, "--interval: invalid interval '1ms': shorter than 0.01 s"),
        (("--count", "0"), 2, "--count: invalid number of cycles '0': expected a whole number from 1"),
        (("--on-change", "/no/such/program"), 2, "--on-change: cannot run '/no/such/program': no such program"),
        (("--without", "os,gpu,systemd,k8s"), 2, "--without leaves no collector"),
        (("--mark-node", "label"), 2, "--mark-node: the name of the node in Kubernetes is unknown"),
        (("--mark-node", "label", "--fail-on", "never"), 2, "--mark-node cannot be used with --fail-on never"),
        (("--listen", "192.0.2.1:1"), 1, "--listen: cannot listen on 192.0.2.1:1: cannot assign requested address"),
    ):
        done = eidos("watch", "--root", str(tmp_path), *flags)
        assert (done.status, done.out) == (status, "")
        assert done.err.startswith(f"error: {message}\n"), done.err


@pytest.mark.parametrize("value", ["9479", "127.0.0.1", "::1:9479", "[::1]", "a:b", "127.0.0.1:70000", ""])
def test_an_address_has_a_port(value: str) -> None:
    with pytest.raises(InvalidInput):
        parse_listen_address(value)


def grown(watch: Watch, cycles: int) -> tuple[int, int, int]:
    """Once so many cycles are over: resident kB, descriptors of the process at most, and processes that ended and were not collected."""

    def is_over(number: int) -> bool:
        time.sleep(0.2)  # each look costs as much as a cycle
        match = re.search(r"^eidos_watch_cycles_total (\d+)", watch.get("/metrics")[1], re.MULTILINE)
        return match is not None and int(match[1]) >= number

    for number in (*range(0, cycles, 20), cycles):
        until(is_over, number)
    pid = watch.process.pid
    resident = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    zombies = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        zombies += int(fields[1]) == pid and fields[0] == "Z"
    return resident, max(map(int, os.listdir(f"/proc/{pid}/fd"))), zombies


@pytest.mark.parametrize(("first", "last"), [(10, 30), (100, 400)])
@pytest.mark.slow
def test_a_week_of_cycles_takes_no_more_than_a_day(tmp_path: Path, first: int, last: int) -> None:
    """Several hundred cycles with changes, a program and a listener: memory, descriptors and children stay what they are."""
    program = tmp_path / "on-change"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/next > {tmp_path}/root/proc/modules; cat > /dev/null\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "next").write_text(NOUVEAU, encoding="ascii")
    flags = ("--interval", "10ms", "--listen", "127.0.0.1:0", "--log-level", "info", "--on-change", str(program))
    with Watch(tmp_path, *flags) as watch:
        resident, fd, _ = grown(watch, first)
        watch.modules(NVIDIA)
        after, fd_after, zombies = grown(watch, last)
        assert after - resident < 1024, f"{resident} kB after {first} cycles, {after} kB after {last}"
        assert fd_after < fd + 15, "a cycle that is under way has some of its own"
        assert zombies < 10, "those of the last cycle are collected in the next"
        assert len(watch.lines()) > 2
