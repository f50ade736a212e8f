"""What whoever runs the server does wrong, and what its surroundings do to it: flags, closed descriptors, a log that nobody reads."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eidos import log
from eidos.cli.options import parse_address
from eidos.model.record import replace
from eidos.server.access_log import AccessLog
from eidos.server.app import PATHS, App
from eidos.server.error_responses import hide_paths
from eidos.server.rate_limiter import RateLimiter
from eidos.server.request_metrics import ServerMetrics
from tests.support.in_process_server import FREE, Client, application, parse_error, read_data, request
from tests.support.program import CHECKOUT, PROGRAM, ROOT, eidos, environment
from tests.support.transport_process import children, everything
from tests.support.waiting import AMPLE_S, until

pytestmark = pytest.mark.slow

SERVE = [*PROGRAM, "serve", "--port=0"]


def port_of(pid: int) -> int:
    """The port that a process listens on, which may have no way to tell."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:  # closed meanwhile
            continue
        match = re.fullmatch(r"socket:\[(\d+)\]", target)
        inodes.add(match[1] if match else "")
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return next((int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes), 0)


@contextmanager
def served(command: list[str], stderr: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server and its port; it is killed at the end if it still runs."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, env=environment(), cwd=ROOT)
    try:
        until(lambda: process.poll() is not None or (children(process.pid) and port_of(process.pid)))
        assert process.poll() is None
        yield process, port_of(process.pid)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(AMPLE_S)


def ask(port: int, target: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), AMPLE_S) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return everything(sock)


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--host", f"{'a' * 80}.example"], 1, "invalid host name"),
        (["--host", "127.0.0.1:80"], 2, "use --port for the port"),
        (["--host", "[::1]:80"], 2, "invalid address '[::1]:80'"),
        (["--host", "http://[::1]"], 2, "invalid address"),
        (["--max-body", "2GiB"], 2, "invalid size '2GiB'"),
        (["--max-body", "4mib"], 2, "units are KiB, MiB"),
        (["--allowed-gpus", "h1000"], 2, "--allowed-gpus: invalid value 'h1000'; expected one of"),
    ],
)
def test_wrong_flags_are_named(flags: list[str], status: int, message: str) -> None:
    result = eidos("serve", *flags)
    assert result.status == status
    assert message in result.err
    assert "internal error" not in result.err


def test_a_variable_with_a_wrong_word_is_named() -> None:
    assert "EIDOS_ALLOWED_SERVICES: invalid value 'nope'; expected one of" in eidos("serve", env={"EIDOS_ALLOWED_SERVICES": "nope"}).err


def test_an_address_may_stand_in_brackets() -> None:
    assert (parse_address("[::1]"), parse_address("::"), parse_address("localhost")) == ("::1", "::", "localhost")


def test_a_low_limit_of_open_files_is_an_error_at_start() -> None:
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 10 && exec "$@"', "-", *SERVE], capture_output=True, env=environment(), cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert b"open file limit too low: 10" in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-", ">&- 2>&-"])
def test_a_closed_standard_error_is_not_replaced_by_a_socket(closed: str) -> None:
    with served(["bash", "-c", f'exec "$@" {closed}', "-", *CHECKOUT, "serve", "--port=0", "--workers=2"], subprocess.DEVNULL) as (
        process,
        port,
    ):
        for pid in (process.pid, *children(process.pid)):
            for fd in (0, 1, 2):
                assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
        assert ask(port, "/v1/recipe").startswith(b"HTTP/1.1 200 ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(AMPLE_S) == 0


def test_a_log_that_is_not_read_delays_nothing() -> None:
    reading, writing = os.pipe()
    try:
        with served([*SERVE, "--workers=1"], writing) as (process, port):
            os.set_blocking(writing, False)
            for size in (4096, 1):
                try:
                    while True:
                        os.write(writing, b"x" * size)
                except BlockingIOError:
                    pass
            os.set_blocking(writing, True)
            worker = children(process.pid)[0]
            os.kill(worker, signal.SIGKILL)  # which is told
            until(lambda: children(process.pid) not in ([], [worker]))
            assert ask(port, "/v1/recipe?gpu=h100").startswith(b"HTTP/1.1 200 ")
            process.send_signal(signal.SIGTERM)
            assert process.wait(AMPLE_S) == 0
    finally:
        os.close(reading)
        os.close(writing)


def test_workers_that_end_after_a_signal_log_no_error() -> None:
    for _ in range(3):
        with served([*SERVE, "--workers=24", "--log-format=json"], subprocess.PIPE) as (process, _):
            process.send_signal(signal.SIGTERM)
            assert process.wait(AMPLE_S) == 0
            assert process.stderr is not None
            with process.stderr as log:
                lines = [json.loads(line) for line in log.read().splitlines()]
            assert [line["msg"] for line in lines if line["level"] != "info"] == []


def test_an_encoded_slash_is_shown_as_it_came() -> None:
    answer = Client(application()).get("/v1%2Frecipe")
    assert answer.status == 404
    assert parse_error(answer)["message"] == "unknown path /v1%2Frecipe"


def test_a_random_word_in_a_path_or_a_method_is_not_repeated() -> None:
    ask = Client(application())
    for method, target, message in (
        ("GET", "/v1/Zq7kD02mWx91LpTe", "unknown path /v1/<withheld>"),
        ("Zq7kD02mWx91LpTe", "/v1/recipe", "/v1/recipe does not support <withheld>"),
    ):
        assert parse_error(ask(method, target))["message"] == message


def test_an_intent_beside_measurements_is_meant() -> None:
    ask = Client(application())
    body = b"kind: Snapshot\nmeasurements: []\nintent: inference\n"
    answer = ask.post("/v1/recipe?intent=training", body)
    assert answer.status == 400
    assert parse_error(answer)["message"] == "intent: the parameter is 'training', but the body has 'inference'"
    alone = ask.post("/v1/recipe", body)
    assert alone.body == ask.post("/v1/recipe?intent=inference", body).body == ask.get("/v1/recipe?intent=inference").body


def test_reason_phrases_do_not_depend_on_the_interpreter() -> None:
    from eidos.http_wire.messages import Response, ResponseEncoder
    from eidos.server.transport.connection import Connection

    encode = ResponseEncoder(Connection.responses, "eidos").encode
    assert encode(Response(413, (), b"")).startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert encode(Response(414, (), b"")).startswith(b"HTTP/1.1 414 URI Too Long\r\n")


def test_a_client_that_leaves_is_no_warning() -> None:
    import time

    from eidos.errors import Timeout
    from eidos.server.deadline import Deadline

    gone = Deadline(time.monotonic() + 60)
    gone.cancel()
    with pytest.raises(Timeout, match="the client disconnected"):
        gone.check()
    late = Deadline(time.monotonic() - 1)
    late.cancel()  # as whoever answers instead does
    with pytest.raises(Timeout, match="the request took too long"):
        late.check()
    code = (
        "import time\n"
        "from tests.support.in_process_server import application, request\n"
        "context = request('POST', '/v1/recipe', b'gpu: h100')\n"
        "context.deadline.cancel()\n"
        "print(application().answer(context).status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), cwd=ROOT, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (b"503\n", b"")


def test_the_file_may_be_replaced_while_it_is_served(pyz: Path, tmp_path: Path) -> None:
    program = tmp_path / "eidos.pyz"
    program.write_bytes(pyz.read_bytes())
    command = [sys.executable, str(program), "serve", "--port=0", "--workers=1"]
    with (tmp_path / "log").open("wb") as log, served(command, log.fileno()) as (process, port):
        program.write_bytes(b"another version\n")
        recipe = ask(port, "/v1/recipe?gpu=gb200&service=eks&intent=training").partition(b"\r\n\r\n")[2]
        for target, body in (("/v1/bundle", recipe), ("/v1/bundle?archive=zip", recipe), ("/v1/recipe", b"a: [")):
            with socket.create_connection(("127.0.0.1", port), AMPLE_S) as sock:
                head = f"POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                sock.sendall(head.encode() + body)
                assert everything(sock)[9:12] == (b"400" if body == b"a: [" else b"200"), target
        process.send_signal(signal.SIGTERM)
        assert process.wait(AMPLE_S) == 0
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


def test_data_is_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    shutil.copytree(ROOT / "recipes", folder)
    settings = replace(FREE, data=str(folder))
    before, after = (Client(App(settings, ServerMetrics(PATHS), RateLimiter(settings, 1), *read_data(settings))) for _ in range(2))
    recipe = before.get("/v1/recipe?gpu=h100&service=eks").body
    bundle = before.post("/v1/bundle", recipe)
    assert bundle.status == 200
    for path in folder.rglob("*.yaml"):
        path.write_text("x: [")
    assert after.get("/v1/recipe?gpu=h100&service=eks").body == recipe
    assert after.post("/v1/bundle", recipe).body == bundle.body


def test_a_file_of_values_that_cannot_be_read_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "d/values/gpu-operator").mkdir(parents=True)
    (tmp_path / "d/base.yaml").write_text((ROOT / "recipes/base.yaml").read_text())
    (tmp_path / "d/values/gpu-operator/v26.7.0.keys.yaml").write_text("x: [")
    result = eidos("serve", "--data", "d", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert result.status == 2
    assert result.err.startswith("error: d/values/gpu-operator/v26.7.0.keys.yaml, line ")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("d/values/x.yaml, line 1: needed", "the recipe data/values/x.yaml, line 1: needed"),
        ("d: expected a mapping", "the recipe data: expected a mapping"),
        ("the body: gpu-operator needs dd/x and a/d/x", "the body: gpu-operator needs dd/x and a/d/x"),
    ],
)
def test_only_paths_are_withheld(message: str, shown: str) -> None:
    assert hide_paths(message, ["d"]) == shown


def test_the_recovery_needs_nothing_but_memory() -> None:
    """Source that cannot be read any more, as in an archive that was replaced, is no second failure."""
    code = (
        "import linecache\n"
        "from eidos.server import middleware\n"
        "from tests.support.in_process_server import application, request\n"
        "def gone(*_): raise EOFError\n"
        "linecache.getlines = gone\n"
        "def fails(_): raise RuntimeError('secret')\n"
        "print(middleware.recovered(fails, request('GET', '/'), application().services.metrics, lambda _: '/').status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), cwd=ROOT, timeout=60, check=False)
    assert done.stdout == b"500\n", done.stderr
    assert b"internal error at <string>:6 in fails: RuntimeError" in done.stderr
    assert b"secret" not in done.stderr


@pytest.mark.parametrize(
    ("sent", "logged"), [("José".encode(), "José"), (b"Jos\xe9", "José"), (b'a"b\\c', 'a"b\\c'), (b"a\xc2\x85b", "a\\x85b")]
)
def test_the_log_writes_a_user_as_the_proxy_did(sent: bytes, logged: str) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as read:
        log.configure("info", "json")
        access_log = AccessLog(user_header="X-User", trust_proxy=1, descriptor=writing)
        log.configure()
        context = request("GET", "/", named={"x-user": sent.decode("latin-1")})
        access_log.write("info", "GET", "/", 200, 0.001, 0, context.request)
        access_log.flush()
        os.close(writing)
        assert json.loads(read.read())["user"] == logged


#: Makes socket(AF_INET6, …) fail as a kernel without IPv6 does, for itself and what it becomes (seccomp(2), filter mode).
WITHOUT_IPV6 = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
rows = [
    (0x20, 0, 0, 0), (0x15, 0, 3, number),  # which call; another one goes through
    (0x20, 0, 0, 16), (0x15, 0, 1, 10),  # its first argument; another one than AF_INET6, too
    (0x06, 0, 0, 0x00050000 | 97), (0x06, 0, 0, 0x7FFF0000),  # EAFNOSUPPORT; allowed
]
code = b"".join(struct.pack("HBBI", *row) for row in rows)
held = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rows), ctypes.addressof(held)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program) == 0, os.strerror(ctypes.get_errno())  # PR_SET_SECCOMP
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="a filter of system calls is written for two machines")
def test_every_address_is_ipv4_alone_where_the_kernel_has_no_ipv6() -> None:
    with served([sys.executable, "-c", WITHOUT_IPV6, *SERVE, "--host=::", "--quiet"], subprocess.DEVNULL) as (_, port):
        assert ask(port, "/health").startswith(b"HTTP/1.1 200")
