"""``eidos fleet --hosts`` from the built file, over a real sshd: who is odd, who does not answer, and why."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eidos import formats
from eidos.fleet.bootstrap import _SCRIPT_START, RemoteProgram
from eidos.fleet.ssh import _answer
from eidos.fleet.summary import NoAnswer
from eidos.process.run import TIMED_OUT, Command, ProgramResult
from tests.bench import fleet as bench
from tests.bench.measure import peak
from tests.fakes import sshd
from tests.fakes.apiserver import ApiServer
from tests.fakes.oci_registry import OciRegistry
from tests.support import macos
from tests.support.program import CHECKOUT, Result, eidos, environment
from tests.support.waiting import AMPLE_S, until

pytestmark = pytest.mark.slow

HOSTS = Path(__file__).parent.parent / "hosts"

#: Eight that answer, as `--hosts` takes them.
EIGHT = "gpu-[01-08]"


def planted(folder: Path, name: str, changes: dict[str, str | None] | None = None) -> Path:
    """A copy of a captured host with a name of its own and other contents of some files; None removes one."""
    root = folder / name
    shutil.copytree(HOSTS / "ubuntu-22.04", root, symlinks=True)
    for path, content in {"etc/hostname": f"{name}.example.com\n", **(changes or {})}.items():
        if content is None:
            (root / path).unlink()
        else:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(content)
    return root


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    why = sshd.missing()
    if why:
        pytest.skip(why)
    roots = tmp_path_factory.mktemp("roots")
    with sshd.Sshd(tmp_path_factory.mktemp("sshd")) as server, socket.socket() as silent, socket.socket() as dead:
        for number in range(1, 9):
            name = f"gpu-{number:02}"
            changes: dict[str, str | None] = {}
            if number == 3:
                changes["proc/sys/kernel/osrelease"] = "5.15.0-1-odd\n"
            if number == 6:
                changes["proc/sys/net/core/somaxconn"] = "17\n"
                changes["proc/modules"] = None
            server.add(name, planted(roots, name, changes))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dead.bind(("127.0.0.1", 0))  # bound, not listening: a connection is refused
        server.add("dead", port=dead.getsockname()[1])
        server.add("silent", port=silent.getsockname()[1])
        server.add("hanging", first="sleep 600")
        server.add("old", path=server.old_python())
        server.add("none", path="/nonexistent", first="PATH=/nonexistent")
        server.add("refused", key="stranger")
        server.add("python2", path=server.python_2())
        server.add("broken", first=f"LOGIN_SHELL=/bin/sh PATH={server.unusable_python()}")
        for shell in ("fish", "tcsh", "zsh", "dash"):
            server.add(f"{shell}-without", shell=shell, path="/nonexistent")
            server.add(shell, planted(roots, shell), shell=shell)
        server.add("jump")
        server.add("behind-refused", jump="refused")
        server.add("behind-dead", jump="dead")
        server.add("behind-unknown", jump="jump.invalid")
        server.add("dead-behind", jump="jump", port=dead.getsockname()[1])
        server.add("no-proxy", proxy_command="false")
        server.add("2001:db8::1", planted(roots, "v6"))
        server.add("changed", known="changed")
        server.add("chatty", planted(roots, "chatty"), first="echo 'Welcome to chatty'; echo; trap 'echo bye' EXIT")
        server.add("cut", planted(roots, "cut"), first="""(eval "$SSH_ORIGINAL_COMMAND") | head -c 2000; exit""")
        server.add("garbage", first="head -c 100000 /dev/urandom; exit")
        server.add("endless", first="exec yes")
        server.add("closed", first="echo 'This account is currently not available.'; exit 1")
        server.add("asking", first="printf 'Password: ' >&2; sleep 600")
        own = 'export EIDOS_SKIP=os EIDOS_FORMAT=table EIDOS_OUTPUT=/tmp/x EIDOS_NONSENSE=1 XDG_CONFIG_HOME="$EIDOS_ROOT"'
        server.add("own-mind", planted(roots, "own-mind", {"eidos/config.yaml": "skip: os\n"}), first=own)
        yield server


@pytest.fixture(scope="module")
def program(pyz: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(pyz), "fleet"]


def run(program: list[str], fleet: sshd.Sshd | None, folder: Path, *arguments: str) -> tuple[Result, dict[str, Any]]:
    env = {"PATH": f"{fleet.bin}:{os.environ['PATH']}"} if fleet else {}
    folder.mkdir(exist_ok=True)
    done = eidos(*arguments, "-o", str(folder / "out"), program=program, env=env, cwd=folder)
    text = folder / "out" / "summary.yaml"
    return done, (formats.from_text(text.read_bytes(), str(text)) if text.exists() else {})


def test_the_odd_nodes_are_listed_and_no_others(program: list[str], fleet: sshd.Sshd, tmp_path: Path) -> None:
    done, summary = run(program, fleet, tmp_path, "--hosts", EIGHT, "--exit-code")
    assert done.status == 4, done.err
    first = done.out.splitlines()[0]
    assert first.startswith("6 of 8 equal; gpu-03: kernel 5.15.0-1-odd, not 5.15.0"), first
    assert "gpu-06: " in first
    kinds = {tuple(each["nodes"]): (each["kind"], {d["path"] for d in each.get("differences", ())}) for each in summary["classes"]}
    assert kinds == {
        ("gpu-01", "gpu-02", "gpu-04", "gpu-05", "gpu-07", "gpu-08"): ("equal", set()),
        ("gpu-03",): ("odd", {"OS.sysctl./proc/sys/kernel/osrelease"}),
        ("gpu-06",): ("odd", {"OS.kmod", "OS.sysctl./proc/sys/net/core/somaxconn"}),
    }
    assert sorted(os.listdir(tmp_path / "out")) == [*(f"gpu-{number:02}.yaml" for number in range(1, 9)), "summary.yaml"]
    node = (tmp_path / "out" / "gpu-05.yaml").read_text()
    assert "source-node: gpu-05.example.com" in node
    assert (tmp_path / "out" / "gpu-05.yaml").stat().st_mode & 0o777 == 0o600
    assert done.err == ""


def test_who_does_not_answer_and_why(program: list[str], fleet: sshd.Sshd, tmp_path: Path) -> None:
    names = [
        "gpu-01",
        "dead",
        "closed",
        "old",
        "none",
        "refused",
        "changed",
        "cut",
        "garbage",
        "endless",
        "chatty",
        *("python2", "broken", "behind-refused", "behind-dead", "behind-unknown", "dead-behind", "no-proxy"),
    ]
    (tmp_path / "hosts.txt").write_text("# all of them\n" + "".join(f"{name}  # {number}\n" for number, name in enumerate(names)))
    done, summary = run(program, fleet, tmp_path, "--hosts", "hosts.txt", "--exit-code", "-t", "json")
    assert done.status == 3, done.err
    whys = {silent["node"]: silent["why"] for silent in summary["unanswered"]}
    assert set(whys) == set(names) - {"gpu-01", "chatty"}, whys
    assert "Connection refused" in whys["dead"]
    assert whys["closed"] == "This account is currently not available."
    assert whys["old"].startswith("python3 on the node is 3.6.")
    assert whys["old"].endswith("; 3.9 or newer is required")
    assert whys["none"].startswith("python3 not found")
    assert "Permission denied" in whys["refused"]
    assert whys["changed"] == "Host key verification failed."
    assert whys["cut"].startswith("output ended after ")
    assert whys["garbage"].startswith("unexpected output")
    assert whys["endless"] == "more output than 8 MiB"
    assert whys["python2"] == "python3 on the node is older than 3.4; 3.9 or newer is required"
    assert whys["broken"].startswith("python3 cannot be executed")
    assert whys["behind-refused"] == "the jump host (ProxyJump or ProxyCommand) failed: root@127.0.0.1: Permission denied (publickey)."
    assert whys["behind-dead"].startswith("the jump host (ProxyJump or ProxyCommand) failed: ssh: connect to host 127.0.0.1 port")
    assert "Could not resolve hostname jump.invalid" in whys["behind-unknown"]
    assert whys["dead-behind"] == "the jump host cannot reach the node: connect failed: Connection refused"
    assert whys["no-proxy"] == "the jump host (ProxyJump or ProxyCommand) closed the connection"
    hints = {silent["node"]: silent.get("hint") for silent in summary["unanswered"]}
    assert hints["behind-dead"] == "run 'ssh -v behind-dead' to see which connection fails"
    assert "no snapshot of 16 of 18 nodes" in done.err
    assert json.loads(done.out)["nodes"]["answered"] == 2
    assert sorted(os.listdir(tmp_path / "out")) == ["chatty.yaml", "gpu-01.yaml", "summary.yaml"]


def test_who_never_answers(program: list[str], fleet: sshd.Sshd, tmp_path: Path) -> None:
    """However busy the machine is: each has the same end, and what it has printed by then is in the unit tests."""
    done, summary = run(program, fleet, tmp_path, "--hosts", "silent,hanging,asking", "--timeout", "3s")
    assert (done.status, summary["nodes"]["answered"]) == (3, 0), done.err
    whys = {each["node"]: each["why"] for each in summary["unanswered"]}
    assert whys["hanging"] == "no result within 3 s"
    assert whys["asking"] in ("no result within 3 s", "no result within 3 s: Password:")
    assert "timed out" in whys["silent"] or "no result" in whys["silent"]


def test_what_was_printed_until_the_timeout_is_the_reason() -> None:
    program = RemoteProgram(_SCRIPT_START + b"\n", "--mark")

    def why(output: bytes, errors: bytes) -> str:
        command = Command(("ssh", "a"), stdin=program.text, label="a")
        answer = _answer(ProgramResult(command, TIMED_OUT, -9, output, errors), program, "python3", 3.0)
        assert isinstance(answer, NoAnswer)
        return answer.why

    assert why(b"", b"Password: ") == "no result within 3 s: Password:"
    assert why(b"", b"") == "no result within 3 s"
    assert why(program.text, b"") == "its input was echoed back"


@pytest.mark.parametrize("shell", ["fish", "tcsh", "zsh", "dash"])
def test_login_shells_with_and_without_python(program: list[str], fleet: sshd.Sshd, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here (package {shell})")
    done, summary = run(program, fleet, tmp_path, "--hosts", f"{shell},{shell}-without")
    assert summary["unanswered"][0]["node"] == f"{shell}-without", done.err
    assert summary["unanswered"][0]["why"].startswith("python3 not found: ")
    assert "python3" in summary["unanswered"][0]["why"].partition(": ")[2]
    assert "--python" in summary["unanswered"][0]["hint"]
    assert summary["nodes"]["answered"] == 1


@pytest.mark.parametrize("host", ["gpu-01:{port}", "root@gpu-01:{port}", "[2001:db8::1]:{port}", "root@[2001:db8::1]", "2001:db8::1"])
def test_ports_and_addresses(program: list[str], fleet: sshd.Sshd, tmp_path: Path, host: str) -> None:
    done, summary = run(program, fleet, tmp_path, "--hosts", host.format(port=fleet.port))
    assert summary["nodes"]["answered"] == 1, (done, summary)
    done, summary = run(program, fleet, tmp_path / "other", "--hosts", f"{host.partition(':{')[0]}:1") if "{port}" in host else (done, {})
    if summary:
        assert "Connection refused" in summary["unanswered"][0]["why"], "the port is ssh's option, and wins over its configuration"


def test_what_a_node_has_set_for_eidos_does_not_count(program: list[str], fleet: sshd.Sshd, tmp_path: Path) -> None:
    done, summary = run(program, fleet, tmp_path, "--hosts", "gpu-01,gpu-02,own-mind")
    assert (done.status, done.out.partition("\n")[0]) == (0, "3 of 3 equal"), (done, summary)


def test_an_interrupt_ends_everything(program: list[str], fleet: sshd.Sshd, tmp_path: Path) -> None:
    command = [*program, "--hosts", "hanging,gpu-01", "-o", str(tmp_path / "out")]
    env = environment(PATH=f"{fleet.bin}:{os.environ['PATH']}")
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    until((tmp_path / "out" / "gpu-01.yaml").exists)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=AMPLE_S)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert f"{tmp_path}/out holds 1 of 2 snapshots and no summary" in err.decode()
    for child in children:
        assert not Path(f"/proc/{child}").exists()


def test_via_another_command(program: list[str], tmp_path: Path) -> None:
    """Without a shell in between, with a label before each line, as srun -l has it."""
    tool = tmp_path / "reach"
    tool.write_text(
        f'#!/bin/sh\nhost=$2; shift 2\nEIDOS_ROOT={HOSTS}/$host PATH={Path(sys.executable).parent}:$PATH "$@" | sed "s/^/$host: /"\n'
    )
    tool.chmod(0o755)
    done = eidos("--hosts", "debian-12,rhel-9", "--via", f"'{tool}' -w {{host}}", program=program, cwd=tmp_path)
    assert done.status == 0, done.err
    assert done.out.startswith("no 2 of 2 known to be equal; compared with debian-12; rhel-9: ")
    (folder,) = tmp_path.glob("fleet-2*Z")
    assert sorted(os.listdir(folder)) == ["debian-12.yaml", "rhel-9.yaml", "summary.yaml"]


def test_a_list_of_hosts_as_a_file_may_be(program: list[str], tmp_path: Path) -> None:
    reach = bench.prepare(tmp_path)
    (tmp_path / "hosts").write_bytes(b"\xef\xbb\xbfn1\r\n\r\n  n2,n3 # n4\r\nn1")
    done, summary = run(program, None, tmp_path, "--hosts", "hosts", "--via", f"{reach} {{host}}")
    assert (done.status, summary["classes"][0]["nodes"]) == (0, ["n1", "n2", "n3"]), done.err
    with (tmp_path / "large").open("wb") as file:
        file.write(b"n1\n")
        file.truncate((16 << 20) + 1)
    done = eidos("--hosts", "large", "--via", f"{reach} {{host}}", program=program, cwd=tmp_path)
    assert (done.status, "large: the list of hosts is larger than 16 MiB" in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("cat", "its input was echoed back"),  # as a terminal does
        ("exec {python} -I - </dev/null", "no output"),
        ("exec {python} -c 'import os; os.kill(os.getpid(), 9)'", "sh exited with status 137"),
    ],
)
def test_a_command_that_leads_nowhere(program: list[str], tmp_path: Path, tool: str, expected: str) -> None:
    via = f'sh -c "{tool.format(python=sys.executable)}" {{host}}'
    done, summary = run(program, None, tmp_path, "--hosts", "a", "--via", via)
    assert (done.status, summary["unanswered"][0]["why"]) == (3, expected), done.err


def test_snapshots_are_pushed_to_a_registry(program: list[str], tmp_path: Path) -> None:
    """What a later comparison reads is what the folder holds, without the summary."""
    reach = bench.prepare(tmp_path)
    with OciRegistry() as registry:
        target, plain = f"oci://{registry.host}/fleet:today", {"EIDOS_PLAIN_HTTP": "1"}
        words = ("--hosts", "n1,n2", "--via", f"{reach} {{host}}", "-o", "out", "--push", target)
        done = eidos(*words, program=program, cwd=tmp_path, env=plain)
        assert done.status == 0, done.err
        assert f"pushed 2 snapshots to {target}: sha256:" in done.err
        later = eidos("--from", target, "-t", "json", program=program, cwd=tmp_path, env=plain)
        assert (later.status, json.loads(later.out)["nodes"]["answered"]) == (0, 2), later.err
        refused = eidos(*words[:4], "-o", "again", "--push", "oci://127.0.0.1:1/fleet:today", program=program, cwd=tmp_path)
        assert (refused.status, "connection refused" in refused.err, "2 of 2" in refused.out) == (1, True, True), refused
        wrong = eidos(*words[:-1], "oci://nowhere", program=program, cwd=tmp_path)
        assert (wrong.status, "no repository" in wrong.err) == (2, True)


def test_a_machine_without_room_asks_fewer_at_a_time(program: list[str], tmp_path: Path) -> None:
    reach = bench.prepare(tmp_path)
    limited = ["sh", "-c", 'ulimit -n 30; exec "$@"', "sh", *program]
    done, summary = run(limited, None, tmp_path, "--hosts", "n[1-20]", "--via", f"{reach} {{host}}", "--parallel", "20")
    assert (done.status, summary["nodes"]["answered"]) == (0, 20), done


def test_a_disk_that_is_full(program: list[str], tmp_path: Path) -> None:
    reach = bench.prepare(tmp_path)
    limited = ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh", *program]  # blocks of 512 or 1024 bytes
    done = eidos("--hosts", "n[1-3]", "--via", f"{reach} {{host}}", "-o", "out", program=limited, cwd=tmp_path)
    assert done.status == 1
    assert "cannot write out/n" in done.err
    assert not (tmp_path / "out").exists()


def test_a_terminal_sees_how_far_it_is(program: list[str], tmp_path: Path) -> None:
    reach = bench.prepare(tmp_path)
    ours, theirs = os.openpty()
    command = [*program, "--hosts", "n[1-3]", "--via", f"{reach} {{host}}", "-o", str(tmp_path / "out")]
    subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, stderr=theirs, cwd=tmp_path, check=True, timeout=2 * AMPLE_S)
    os.close(theirs)
    written = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert re.match(r"\r0 of 3 snapshots, at most 0m[0-5]\ds left\x1b\[K", written), written
    assert re.search(r"\r1 of 3 snapshots, (about|at most) \dm\d\ds left", written), written
    assert written.endswith("\r3 of 3 snapshots\x1b[K\r\x1b[K")


def test_a_fleet_is_read_from_macos(pyz: Path, tmp_path: Path) -> None:
    reach = bench.prepare(tmp_path)
    words = ("--hosts", "n[1-5]", "--via", f"{reach} {{host}}", "--program", str(pyz))
    done, summary = run([*macos.PROGRAM, "fleet"], None, tmp_path, *words)
    assert (done.status, summary["nodes"]["answered"]) == (0, 5), done
    late = ("--hosts", "n[1-2]", "--via", "sh -c 'sleep 60 & sleep 60' {host}", "--timeout", "1s", "--program", str(pyz))
    done, summary = run([*macos.PROGRAM, "fleet"], None, tmp_path / "late", *late)
    assert (done.status, summary["nodes"]["answered"]) == (3, 0), done


#: Where nothing can be written, and /proc shows nothing.
BARE = """#!/bin/sh
shift
exec unshare -m sh -c 'mount -o remount,bind,ro / && mount -t tmpfs -o ro none /tmp && mount -t tmpfs -o ro none /proc && exec "$@"' sh "$@"
"""


def test_nothing_is_written_there(program: list[str], tmp_path: Path) -> None:
    tool = tmp_path / "bare"
    tool.write_text(BARE)
    tool.chmod(0o755)
    check = subprocess.run([tool, "x", "touch", "/eidos-was-here"], capture_output=True, text=True, check=False)
    if "Read-only file system" not in check.stderr:
        pytest.skip(f"no mount namespace: {check.stderr.strip()}")
    done, summary = run(program, None, tmp_path, "--hosts", "a", "--via", f"{tool} {{host}}", "--python", os.path.realpath(sys.executable))
    assert done.status == 0, (done.err, summary)
    outcomes = formats.from_text((tmp_path / "out" / "a.yaml").read_bytes(), "a")["collectors"]
    (release,) = (each for each in outcomes if each["name"] == "os.release")
    assert release["outcome"] == "partial" and "of this container or chroot" in str(release["unreadable"])  # without /proc it may be one


def test_nothing_of_its_cluster_is_cached_there(program: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with ApiServer() as server:
        server.put("/api/v1/nodes/gpu-1", {})
        env = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "KUBECONFIG": str(server.kubeconfig(tmp_path)), "NODE_NAME": "gpu-1"}
        arguments = ("--hosts", "gpu-1", "--via", "env HOST={host}", "--only", "k8s.node", "-o", "out")
        done = eidos(*arguments, program=program, env=env, cwd=tmp_path)
    assert done.status == 0, done
    outcomes = formats.from_text((tmp_path / "out" / "gpu-1.yaml").read_bytes(), "gpu-1")["collectors"]
    assert [(each["name"], each["outcome"]) for each in outcomes] == [("k8s.node", "ok")]
    assert os.listdir(home) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "eidos fleet needs --hosts, --kubernetes or --from"),
        (["--hosts=-oProxyCommand=x"], "invalid host name '-oProxyCommand=x': begins with '-'"),
        (["--hosts", "a;b"], "invalid host name 'a;b': contains ';'"),
        (["--hosts", "a", "--via", "srun"], "--via: 'srun' has no {host}"),
        (["--hosts", "a", "--via", "srun '{host}"], "no closing quotation"),
        (["--hosts", "a", "--parallel", "0"], "invalid number '0': expected 1 to 512"),
        (["--hosts", "a", "--python", "python3;x"], "invalid interpreter"),
        (["--hosts", "a", "--kubernetes"], "--hosts and --kubernetes cannot be used together"),
        (["--hosts", "a", "--keep"], "--keep needs --kubernetes"),
        (["--hosts", "a", "--only", "k8s.server"], "leave no collector that reads the node itself"),
        (["--hosts", "missing/hosts.txt"], "missing/hosts.txt: no such file"),
        (["--hosts", "hosts.txt"], "hosts.txt: no such file"),
        (["--hosts", "a", "-o", "cm://eidos/fleet"], "'cm://eidos/fleet' is not a folder"),
        (["--hosts", "a", "-o", "-"], "'-' is not a folder"),
        (["--hosts", "a", "-o", "full"], "full already contains 1 file"),
    ],
)
def test_invalid_arguments(program: list[str], tmp_path: Path, arguments: list[str], expected: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old.yaml").write_text("")
    done = eidos(*arguments, program=program, cwd=tmp_path)
    assert (done.status, expected in done.err) == (2, True), done.err
    assert os.listdir(tmp_path) == ["full"]


def test_memory_does_not_grow_with_the_fleet(pyz: Path, tmp_path: Path) -> None:
    """400 nodes of 71 kB, every 97th odd; the bench has 1,000."""
    reach = bench.prepare(tmp_path)
    few, many = (peak(bench.command(pyz, reach, count, tmp_path / str(count))) / 1024 for count in (50, 400))
    assert many < few + 16, f"{few:.1f} MiB for 50 nodes, {many:.1f} MiB for 400"
    summary = formats.from_text((tmp_path / "400" / "summary.yaml").read_bytes(), "summary.yaml")
    assert summary["nodes"] == {"total": 400, "answered": 400, "equal": 396, "odd": 4, "unknown": 0}
    assert summary["classes"][1]["nodes"] == [f"n{number:04}" for number in range(97, 400, 97)]


def test_a_checkout_has_no_program_to_send(tmp_path: Path) -> None:
    done = eidos("fleet", "--hosts", "a", program=CHECKOUT, cwd=tmp_path)
    assert done.status == 1
    assert "cannot send the program" in done.err


def test_nodes_that_are_read_are_judged(program: list[str], fleet: sshd.Sshd, tmp_path: Path) -> None:
    """Each finding once, with the nodes that have it; one that does not answer is not judged and not passed."""
    done, summary = run(program, fleet, tmp_path, "--hosts", "gpu-[01-03],dead", "--check")
    assert done.status == 4, done.err
    assert done.out.splitlines()[1].startswith("3 nodes checked: 1 error on all nodes, "), done.out
    assert "error: a CDI specification names libraries of another driver [cdi-of-other-driver]\n    3 nodes: gpu-[01-03]\n" in done.out
    assert summary["nodes"]["answered"] == 3
    findings = {each["id"]: each for each in summary["findings"]}
    assert findings["cdi-of-other-driver"]["nodes"] == ["gpu-01", "gpu-02", "gpu-03"]
    assert not any("dead" in each["nodes"] for each in summary["findings"])
