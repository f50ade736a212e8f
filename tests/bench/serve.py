"""What the server costs: requests a second and p99 beside a stock ``ThreadingHTTPServer`` that sends the same bytes, memory, endurance.

Knows the figures that the server promises; prints what is seen beside them and asserts nothing but that no request is lost. Needs wrk.
With ``full`` the long runs are as long as the promises say: a million requests, a minute of pace, 200 restarts of workers and 50 of the
service behind nginx, 5,000 idle connections, 100,000 malformed requests.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from tests.bench.measure import percentile, scratch
from tests.bench.snapshot import build
from tests.server.test_limits import crowd
from tests.server.test_proxy import NGINX, rolling
from tests.server.test_wire import fuzz
from tests.server.test_workers import Load
from tests.support.certificates import make_certificate
from tests.support.program import ROOT, environment
from tests.support.server_process import free_port
from tests.support.transport_process import Service, children, everything
from tests.support.waiting import AMPLE_S, until

TARGET = "/v1/recipe?os=ubuntu&service=eks"

#: Without arguments, this module is the stock server: it sends what is given to it on standard input, whatever is asked.
STOCK = [sys.executable, "-m", "tests.bench.serve"]

#: Turns, and seconds of each.
TURNS, SECONDS = 3, 5

#: The limits that are on by default, too high to be reached: of what they refuse the bytes are others.
HIGH_LIMITS = ("--rate=1000000", "--burst=1000000", "--client-rate=500000", "--client-burst=500000")

#: The part of the processor time of the stock server that ours may take with its limits and its log.
CPU_GOAL = 0.25

#: Seconds in which a document of 4 MB is to be answered.
DOCUMENT_GOAL_S = 2.0

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class LoadResult(NamedTuple):
    """Of one run of wrk: requests a second, milliseconds of which 99 of 100 took less, and requests that failed."""

    rate: float
    p99: float
    failed: int


class Started:
    """A server in a process of its own, which says where it listens."""

    def __init__(self, command: Sequence[str], stdin: bytes = b"", port: int = 0) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=environment()
        )
        atexit.register(self.stop)  # whatever becomes of the measurement
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(stdin)
        self.process.stdin.close()
        if port:
            until(lambda: _answers(port))
        else:
            match = re.search(rb"http://[0-9.]+:(\d+)", self.process.stdout.readline())
            assert match, "it does not listen"
            port = int(match[1])
        self.port = port
        # What it says goes on, and must go somewhere.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(AMPLE_S)


def report(pyz: Path | None, runs: int, full: bool = False) -> None:
    """Print everything; ``runs`` are not used: these runs are of seconds."""
    del runs
    if shutil.which("wrk") is None:
        print("serve: needs wrk")
        return
    with scratch() as name:
        built = pyz or build(Path(name))
        _processor_time(built)
        _documents(built)
        _throughput(built)
        _pace(built, 60 if full else 10)
        _memory(built, 1_000_000 if full else 200_000)
        _proxied(built, 50 if full else 6)
    _restarts(200 if full else 20)
    _accepting()
    _connections(*(5000, 500) if full else (1000, 100))
    _malformed(100_000 if full else 10_000)


def _serve(pyz: Path, workers: int, *more: str) -> Started:
    return Started([sys.executable, str(pyz), "serve", "--port=0", f"--workers={workers}", *more])


def _quiet(pyz: Path, workers: int) -> Started:
    """Without limits and the access log."""
    port = free_port()
    command = [
        sys.executable,
        str(pyz),
        "serve",
        f"--port={port}",
        f"--workers={workers}",
        "--rate=0",
        "--client-rate=0",
        "--log-level=warn",
    ]
    return Started(command, port=port)


def _answers(port: int) -> bool:
    try:
        return b" 200 " in _answer(port, "/health")[:20]
    except OSError:
        return False


def wrk(port: int, seconds: float, connections: int = 16, target: str = TARGET) -> LoadResult:
    """Ask one target as fast as it is answered, on connections that are kept."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", f"http://127.0.0.1:{port}{target}"]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    rate, p99 = re.search(r"Requests/sec:\s+([0-9.]+)", out), re.search(r"99%\s+([0-9.]+)(us|ms|s)", out)
    assert rate
    assert p99
    errors = [int(number) for line in out.splitlines() if "errors" in line or "Non-2xx" in line for number in re.findall(r"\d+", line)]
    return LoadResult(float(rate[1]), float(p99[1]) * UNITS[p99[2]], sum(errors))


def _throughput(pyz: Path) -> None:
    """In turns, so that whatever else the machine does falls on all of them alike."""
    ours = _quiet(pyz, 1)
    bytes_of_it = _answer(ours.port)
    ours.stop()
    servers: dict[str, Started] = {}
    loads: dict[str, list[LoadResult]] = {}
    for _ in range(TURNS):
        for name in ("stock", "stock, buffered", "one worker", "two workers", "two workers, limited and logged"):
            if name.startswith("stock"):
                server = Started([*STOCK, *name.split()[1:]], bytes_of_it)
            elif "limited" in name:
                server = _serve(pyz, 2, *HIGH_LIMITS)
            else:
                server = _quiet(pyz, 1 if "one" in name else 2)
            servers[name] = server
            wrk(server.port, 1)
            loads.setdefault(name, []).append(wrk(server.port, SECONDS))
            server.stop()
    stock = _median(loads["stock"])
    print(f"serve: a recipe of {len(bytes_of_it):,} bytes with its header, wrk -t1 -c16, medians of {TURNS} runs of {SECONDS} s")
    promises: Mapping[str, float] = {"one worker": 3, "two workers": 6}
    for name, turns in loads.items():
        it = _median(turns)
        promise = f" (at least {promises[name]:g}x)" if name in promises else ""
        print(
            f"  {name}: {it.rate:,.0f}/s, {it.rate / stock.rate:.1f}x{promise}; p99 {it.p99:.2f} ms, {it.p99 / stock.p99:.3f}x"
            f"{' (at most 0.1x)' if name == 'two workers' else ''}; {it.failed} failed"
        )


def _processor_time(pyz: Path) -> None:
    """Processor time of a request, of all processes of a server, with what is on by default and without; in turns."""
    ours = _quiet(pyz, 1)
    bytes_of_it = _answer(ours.port)
    ours.stop()
    kinds: dict[str, Callable[[], Started]] = {
        "stock": lambda: Started(STOCK, bytes_of_it),
        "default limits and log": lambda: _serve(pyz, 2, *HIGH_LIMITS),
        "default limits and log as JSON": lambda: _serve(pyz, 2, *HIGH_LIMITS, "--log-format=json"),
        "without limits and log": lambda: _quiet(pyz, 2),
    }
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(TURNS):
        for name, start in kinds.items():
            server = start()
            wrk(server.port, 1)
            before = _processor_seconds(server)
            load = wrk(server.port, SECONDS)
            spent[name].append((_processor_seconds(server) - before) / (load.rate * SECONDS) * 1e6)
            server.stop()
    stock = statistics.median(spent["stock"])
    print(f"serve: processor time of a request of {len(bytes_of_it):,} bytes, wrk -t1 -c16, medians of {TURNS} runs of {SECONDS} s")
    for name, times in spent.items():
        goal = f" (at most {CPU_GOAL}x)" if name == "default limits and log" else ""
        print(f"  {name}: {statistics.median(times):.0f} µs, {statistics.median(times) / stock:.2f}x{goal}")


def _processor_seconds(server: Started) -> float:
    """User and system time of a server and its workers, until now."""
    ticks = 0
    for pid in (server.process.pid, *children(server.process.pid)):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _documents(pyz: Path) -> None:
    """How long large bodies of ``POST /v1/recipe`` take to be answered or refused."""
    size = 4 << 20
    readings = "".join(f"      a reading of some length {number:06d}: a value {number}\n" for number in range(80_000))
    many = "".join(f"- type: OS\n  subtypes:\n  - subtype: s{number}\n    data: {{a: 1}}\n" for number in range(70_000))
    head = "kind: Snapshot\napiVersion: snapshot.dgxc.io/v1\nmeasurements:\n"
    bodies = {
        "a snapshot": f"{head}- type: OS\n  subtypes:\n  - subtype: sysctl\n    data:\n{readings}"[:size].rpartition("\n")[0] + "\n",
        "70,000 small measurements": (head + many)[:size].rpartition("- type")[0],
        "comments": "# a line that says nothing\n" * (size // 28) + "gpu: h100\n",
        "one scalar": f"gpu: {'x' * (size - 10)}\n",
        "a key 60,000 times": "{" + ", ".join('"a": 1' for _ in range(60_000)) + "}",
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in bodies}
    statuses: dict[str, int] = {}
    server = _serve(pyz, 2, *HIGH_LIMITS)
    for _ in range(TURNS):
        for name, body in bodies.items():
            before, began = _processor_seconds(server), time.monotonic()
            with socket.create_connection(("127.0.0.1", server.port), timeout=AMPLE_S) as sock:
                sock.sendall(f"POST /v1/recipe HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                sock.sendall(body.encode())
                statuses[name] = int(everything(sock)[9:12])
            took[name].append((time.monotonic() - began, _processor_seconds(server) - before))
    server.stop()
    for name, times in took.items():
        megabytes = len(bodies[name]) / 1e6
        seconds, busy = (statistics.median(column) for column in zip(*times))
        took_it = f"after {seconds:.2f} s (below {DOCUMENT_GOAL_S:g} s), {busy:.2f} s of processor time"
        print(f"  {megabytes:.1f} MB of {name}: {statuses[name]} {took_it}")


def _accepting(connections: int = 2000) -> None:
    """New connections, all at once, each with a request; in turns."""
    took: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(TURNS):
        for workers, times in took.items():
            with Service(workers=workers, max_connections=2 * connections) as service:
                until(lambda count=workers, running=service: len(running.workers()) == count)
                service.get("/small")
                began = time.monotonic()
                socks = [service.connect() for _ in range(connections)]
                for sock in socks:
                    sock.sendall(b"GET /worker HTTP/1.1\r\nHost: a\r\n\r\n")
                for sock in socks:
                    sock.recv(1 << 12)
                times.append(time.monotonic() - began)
    one, two = (statistics.median(times) for times in took.values())
    print(f"  {connections:,} new connections: {one:.2f} s with one worker, {two:.2f} s with two, {two / one:.2f}x (at most 1x)")


def _median(turns: list[LoadResult]) -> LoadResult:
    return LoadResult(statistics.median(s.rate for s in turns), statistics.median(s.p99 for s in turns), sum(s.failed for s in turns))


def _answer(port: int, target: str = TARGET) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=AMPLE_S) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return everything(sock).replace(b"Connection: close\r\n", b"")


def _pace(pyz: Path, seconds: int) -> None:
    """A hundred requests a second, each timed from when it was due, and ten times the limit beside system endpoints."""
    server = _serve(pyz, 2, "--client-rate=0")
    took, wrong = _offer(server.port, 100, seconds)
    print(f"  100/s offered for {seconds} s: p99 {percentile(took, 0.99):.2f} ms (below 10 ms), {wrong} errors")
    server.stop()
    server = _serve(pyz, 2, "--client-rate=0")
    memory = _resident(server)
    health: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            began = time.monotonic()
            _answer(server.port, "/health")
            health.append((time.monotonic() - began) * 1000)

    thread = threading.Thread(target=watch)
    thread.start()
    took, late = _offer(server.port, 1000, seconds)
    done.set()
    thread.join()
    print(
        f"  1000/s offered against a limit of 100/s for {seconds} s: {late} of {len(took)} were refused; "
        f"/health at most {max(health):.1f} ms (50 ms); memory of a worker {memory:.1f} MiB, then {_resident(server):.1f} MiB"
    )
    server.stop()


def _offer(port: int, rate: int, seconds: int) -> tuple[list[float], int]:
    """Milliseconds of each of ``rate`` requests a second, and how many were not answered with 200."""
    took: list[float] = []
    wrong = 0
    clients = 4
    start = time.monotonic() + 0.1

    def client(number: int) -> None:
        nonlocal wrong
        with socket.create_connection(("127.0.0.1", port), timeout=AMPLE_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(number, rate * seconds, clients):
                due = start + at / rate
                time.sleep(max(0.0, due - time.monotonic()))
                sock.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                data = b""
                while b"\r\n\r\n" not in data:
                    data += sock.recv(1 << 16)
                top, _, body = data.partition(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", top)
                assert length
                while len(body) < int(length[1]):
                    body += sock.recv(1 << 16)
                took.append((time.monotonic() - max(due, start)) * 1000)
                wrong += not top.startswith(b"HTTP/1.1 200 ")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, wrong


def _resident(server: Started) -> float:
    """MiB of the largest worker."""
    sizes = []
    until(lambda: children(server.process.pid))
    for pid in children(server.process.pid):
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        sizes.append(int(match[1]) / 1024 if match else 0.0)
    return max(sizes)


def _memory(pyz: Path, requests: int) -> None:
    server = _quiet(pyz, 1)
    rate = wrk(server.port, 2).rate
    before = _resident(server)
    seconds = requests / rate
    load = wrk(server.port, max(2, seconds))
    print(
        f"  {load.rate * max(2, seconds):,.0f} requests of one worker: {before:.1f} MiB, then {_resident(server):.1f} MiB (at most 40 MiB)"
    )
    server.stop()


def _restarts(count: int) -> None:
    """Workers asked to leave one after the other, while others ask."""
    with Service(workers=2, idle_grace=0.1) as service, Load(service) as load:
        for _ in range(count):
            until(lambda: len(service.workers()) == 2)
            workers = service.workers()
            os.kill(workers[0], signal.SIGTERM)
            end = time.monotonic() + AMPLE_S
            while workers[0] in service.workers() or len(service.workers()) < 2:
                assert time.monotonic() < end
                time.sleep(0.005)
    print(f"  {count} restarts of workers under load: {load.answered:,} answered, {len(load.lost)} lost, {load.refused} not accepted")


def _proxied(pyz: Path, count: int) -> None:
    """Instances behind a proxy asked to stop one after the other, while others ask."""
    if NGINX is None:
        print("  restarts behind a proxy: needs nginx")
        return
    with scratch() as name:
        answered, lost = rolling(pyz, Path(name), make_certificate(Path(name)), count)
    print(f"  {count} restarts of two instances behind nginx under load: {answered:,} answered, {len(lost)} lost")


def _connections(idle: int, dribbling: int) -> None:
    with Service(workers=2, max_connections=8000, header_timeout=1.5) as service:
        answered, before, after = crowd(service, idle, dribbling)
    print(
        f"  {idle:,} idle and {dribbling} dribbling connections: {answered} others answered meanwhile; "
        f"descriptors of both workers and most threads of one {tuple(before)}, then {tuple(after)}"
    )


def _malformed(count: int) -> None:
    with Service(workers=2) as service:
        counts = fuzz(service, 7, count)
        descriptors = [len(os.listdir(f"/proc/{pid}/fd")) for pid in service.workers()]
    summary = ", ".join(f"{status}: {times:,}" for status, times in sorted(counts.items()))
    print(f"  {count:,} malformed requests: {summary}; descriptors of the workers afterwards: {descriptors}")


class Stock(BaseHTTPRequestHandler):
    """What the standard library's documentation would have you write: two writes an answer."""

    protocol_version = "HTTP/1.1"
    headers_and_body: tuple[list[tuple[str, str]], bytes] = ([], b"")

    def do_GET(self) -> None:
        """Send the same bytes each time."""
        fields, body = self.headers_and_body
        self.send_response_only(200)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def stock() -> None:
    """Serve what came on standard input, until ended."""
    top, _, body = sys.stdin.buffer.read().partition(b"\r\n\r\n")
    pairs = [line.split(": ", 1) for line in top.decode("latin-1").split("\r\n")[1:]]
    Stock.headers_and_body = [(name, value) for name, value in pairs], body
    if sys.argv[1:]:  # one write: Nagle's algorithm has nothing to wait for
        Stock.wbufsize = -1
    with ThreadingHTTPServer(("127.0.0.1", 0), Stock) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    stock()
