"""What can go wrong between a client and an API server: each fault, how the call ends, how often it was tried again, how long it took.

``pytest -s tests/kube/test_faults.py`` and ``python3 -m tests.bench kube`` print the table. Times are printed, and bounded by the
deadline of each call, but nothing else is asked of them.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eidos.errors import EidosError, KubeError, Timeout
from eidos.kube import api_client
from eidos.kube.cluster_config import load_cluster
from eidos.kube.responses import ObjectNotFound
from tests.fakes.apiserver import ApiServer
from tests.fakes.pods import pod
from tests.support.waiting import AMPLE_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.kube.api_client import KubeClient

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


Call = Callable[["KubeClient"], object]


class Fault(NamedTuple):
    """A row before it is run.

    ``spoils`` are the faults that the server is given (kind, times, more), ``ends`` is "answered" or the error and words of its message,
    ``retries`` how often it was tried again (None: as often as there was time).
    """

    name: str
    spoils: tuple[tuple[str, int, dict[str, Any]], ...]
    ends: str | tuple[type[EidosError], str]
    retries: int | None
    deadline: float = 8.0
    call: Call = lambda client: client.get("/version")
    cluster: Callable[[ApiServer, Path], dict[str, Any]] = lambda server, folder: {}


class Row(NamedTuple):
    """And after."""

    name: str
    ends: str
    fault: EidosError | None
    retries: int
    seconds: float
    messages: list[str]
    sent: int


def _create(client: KubeClient) -> object:
    return client.create(CONFIGMAPS, {"metadata": {"name": "made"}, "data": {}})


def _pods(client: KubeClient) -> object:
    count = 0
    for page in client.list_pages("/api/v1/pods"):
        count += len(page)
    assert count == 600, count
    return count


def _refused(server: ApiServer, folder: Path) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return {"cluster": {"server": f"https://127.0.0.1:{free.getsockname()[1]}"}}


def _never_accepts(server: ApiServer, folder: Path) -> dict[str, Any]:
    listener = socket.create_server(("127.0.0.1", 0))
    _held.append(listener)
    return {"cluster": {"server": f"https://127.0.0.1:{listener.getsockname()[1]}"}}


def _full(server: ApiServer, folder: Path) -> dict[str, Any]:
    """Whoever connects gets no answer, as from an address to which no route leads."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    _held.append(listener)
    for _ in range(3):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        _held.append(sock)
    return {"cluster": {"server": f"https://127.0.0.1:{port}"}}


def _plugin(server: ApiServer, folder: Path) -> dict[str, Any]:
    """A credential plugin whose first token is stale."""
    count, program = folder / "count", folder / "plugin.py"
    program.write_text(
        "import json, os, sys\n"
        f"path, good = {str(count)!r}, {server.token!r}\n"
        "token = good if os.path.exists(path) else 'stale'\n"
        "open(path, 'w').close()\n"
        "version = 'client.authentication.k8s.io/v1'\n"
        "print(json.dumps({'kind': 'ExecCredential', 'apiVersion': version, 'status': {'token': token}}))\n"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(program)],
        "interactiveMode": "Never",
    }
    return {"user": {"exec": plugin}}


_held: list[socket.socket] = []

ANY, END = -1, "answered"

FAULTS = (
    Fault("nothing", (), END, 0),
    Fault("slow, 0.3 s", (("slow", 1, {"seconds": 0.3}),), END, 0),
    Fault("silent once", (("silent", 1, {"seconds": 30}),), END, 1, 5.0),
    Fault("silent", (("silent", ANY, {"seconds": 30}),), (Timeout, "timed out"), None, 1.5),
    Fault("a byte each 20 ms", (("trickle", ANY, {"seconds": 0.02}),), (Timeout, "timed out"), None, 1.5),
    Fault("truncated once", (("truncated", 1, {}),), END, 1),
    Fault("truncated", (("truncated", ANY, {}),), (KubeError, "truncated"), 3),
    Fault("reset twice", (("reset", 2, {}),), END, 2),
    Fault("reset", (("reset", ANY, {}),), (KubeError, "without a response|reset"), 3),
    Fault("a page truncated", (("truncated", 1, {"match": "continue="}),), END, 1, call=_pods),
    Fault("429, Retry-After 1", (("429", 1, {"after": 1}),), END, 1),
    Fault("429, Retry-After 3600", (("429", ANY, {"after": 3600}),), (KubeError, "429 TooManyRequests"), 0),
    Fault("500 twice, then fine", (("500", 2, {}),), END, 2),
    Fault("500", (("500", ANY, {}),), (KubeError, "500 InternalError"), 3),
    Fault("502, 503, 504", (("502", 1, {}), ("503", 1, {}), ("504", 1, {})), END, 3),
    Fault("500, a create", (("500", ANY, {}),), (KubeError, "cannot create configmaps"), 0, call=_create),
    Fault("503, a create", (("503", 1, {}),), END, 1, call=_create),
    Fault("no answer, a create", (("hang-up", ANY, {}),), (KubeError, "unknown whether"), 0, call=_create),
    Fault("expired certificate", (("expired-certificate", ANY, {}),), (KubeError, "certificate has expired"), 0),
    Fault("wrong CA", (("wrong-ca", ANY, {}),), (KubeError, "certificate not trusted"), 0),
    Fault(
        "wrong name", (), (KubeError, "certificate not trusted.*mismatch"), 0,
        cluster=lambda server, folder: {"cluster": {"tls-server-name": "other.example.com"}},
    ),
    Fault("redirect", (("redirect", ANY, {}),), (KubeError, "redirect to https://192.0.2.1/"), 0),
    Fault("a gigabyte, promised", (("gigabyte", ANY, {"promised": True}),), (KubeError, "larger than 64 MiB"), 0),
    Fault("a gigabyte", (("gigabyte", ANY, {}),), (KubeError, "larger than 64 MiB"), 0),
    Fault("a gigabyte, packed", (("bomb", ANY, {}),), (KubeError, "larger than 64 MiB"), 0),
    Fault("refused", (), (KubeError, "connection refused"), 3, cluster=_refused),
    Fault("a listener that never accepts", (), (Timeout, "timed out"), None, 1.5, cluster=_never_accepts),
    Fault("no connection comes about", (), (Timeout, "timed out"), None, 1.5, cluster=_full),
    Fault("garbage", (("garbage", ANY, {}),), (KubeError, "not HTTP"), 0),
    Fault("truncated JSON", (("bad-json", ANY, {}),), (KubeError, "not JSON"), 0),
    Fault("a JSON list", (("bad-json", ANY, {"body": b"[]"}),), (KubeError, "not a JSON object, but list"), 0),
    Fault("JSON that is nested", (("bad-json", ANY, {"body": b"[" * 200_000}),), (KubeError, "nested too deeply|not JSON"), 0),
    Fault("wrong content type", (("wrong-type", ANY, {}),), (KubeError, "text/html, not application/json"), 0),
    Fault("a page of a proxy, 503", (("wrong-type", ANY, {"code": 503}),), (KubeError, "503"), 3),
    Fault("a long page of a proxy, 503, once", (("wrong-type", 1, {"code": 503, "body": os.urandom(100_000)}),), END, 1),
    Fault("401, a token", (("401", ANY, {}),), (KubeError, "not authenticated"), 0),
    Fault("401, a plugin", (), END, 0, cluster=_plugin),
    Fault("403", (("403", ANY, {}),), (KubeError, "not allowed to list pods"), 0, call=_pods),
    Fault("403, truncated", (("truncated", ANY, {"code": 403, "size": 1000}),), (KubeError, "not allowed to list pods"), 0, call=_pods),
    Fault("404", (), (ObjectNotFound, 'nodes "none" not found'), 0, call=lambda client: client.get("/api/v1/nodes/none")),
)  # fmt: skip


def run(fault: Fault) -> Row:
    """One row; server and client are its own."""
    messages: list[str] = []
    with ApiServer() as server, tempfile.TemporaryDirectory(prefix="eidos-faults-") as name:
        server.make("/api/v1/pods", 600, pod)
        folder = Path(name)
        config = server.kubeconfig(folder, **fault.cluster(server, folder))
        for kind, times, more in fault.spoils:
            server.fault(more.get("match", ""), kind, times, **{name: value for name, value in more.items() if name != "match"})
        cluster = load_cluster({}, kubeconfig=str(config))
        began = time.monotonic()
        client = api_client.connect(cluster, deadline=began + fault.deadline, report=messages.append)
        error: EidosError | None = None
        try:
            fault.call(client)
        except EidosError as raised:
            error = raised
        seconds = time.monotonic() - began
        client.close()
        sent = len(server.requests)
        secret = server.token
    while _held:
        _held.pop().close()
    ending = END if error is None else f"{type(error).__name__}: {error.message}"
    assert secret not in ending + str(error and error.hint) + "".join(messages), "a message shows the token"
    return Row(fault.name, ending, error, sum("retrying in" in line for line in messages), seconds, messages, sent)


def table() -> str:
    """All of them, run."""
    return "\n".join([_line(Row("fault", "how the call ends", None, 0, 0, [], 0), head=True), *(_line(run(fault)) for fault in FAULTS)])


def _line(row: Row, head: bool = False) -> str:
    port = row.ends.split("127.0.0.1:")[1].split(":")[0].split("/")[0] if "127.0.0.1:" in row.ends else "-"
    ends = row.ends.replace(f"https://127.0.0.1:{port}", "SERVER")
    return f"{row.name:<30} {'retries' if head else row.retries:>7} {'seconds' if head else f'{row.seconds:.2f}':>8}  {ends[:120]}"


@pytest.fixture(scope="module", autouse=True)
def printed() -> Iterator[list[str]]:
    """The table, written when the last row is there."""
    lines = [_line(Row("fault", "how the call ends", None, 0, 0, [], 0), head=True)]
    yield lines
    print("\n" + "\n".join(lines))


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., KubeClient]]:
    """Makes clients of a server, and ends them."""
    made: list[KubeClient] = []

    def connect(server: ApiServer, **more: Any) -> KubeClient:
        cluster = load_cluster({}, kubeconfig=str(server.kubeconfig(tmp_path)))
        made.append(api_client.connect(cluster, deadline=time.monotonic() + AMPLE_S, **more))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault, printed: list[str]) -> None:
    row = run(fault)
    printed.append(_line(row))
    if isinstance(fault.ends, str):
        assert row.ends == fault.ends, row.ends
    else:
        kind, words = fault.ends
        assert type(row.fault) is kind, row.ends
        assert re.search(words, row.ends), row.ends
        assert "https://127.0.0.1:" in row.ends, "the address is named"
        assert row.fault is not None
        assert row.ends.isprintable()
    if fault.retries is not None:
        assert row.retries == fault.retries, row.messages
    assert row.seconds < AMPLE_S


def test_a_circuit_opens_after_five_failures(connect: Callable[..., KubeClient]) -> None:
    """A sixth attempt is not made, of whatever call."""
    with ApiServer() as server:
        server.fault("", "500", -1)
        messages: list[str] = []
        client = connect(server, report=messages.append)
        with pytest.raises(KubeError, match="500"):
            client.get("/version")
        with pytest.raises(KubeError, match="500"):
            client.get("/version")
        assert len(server.requests) == 5
        with pytest.raises(KubeError, match="failed 5 times in a row; next attempt") as caught:
            client.get("/version")
        assert len(server.requests) == 5
        assert caught.value.hint
        assert any("next attempt in" in line for line in messages)


def test_a_retry_waits_for_retry_after(connect: Callable[..., KubeClient]) -> None:
    """``Retry-After`` counts, not the back-off."""
    with ApiServer() as server:
        server.fault("", "429", 1, after=1)
        began = time.monotonic()
        client = connect(server)
        client.get("/version")
        assert time.monotonic() - began >= 1


def test_a_redirect_leads_nowhere(connect: Callable[..., KubeClient]) -> None:
    """Not to another server, with or without credentials."""
    with ApiServer() as server, ApiServer() as other:
        server.fault("", "redirect", -1, to=other.url + "/version", code=307)
        client = connect(server)
        with pytest.raises(KubeError, match="redirect to"):
            client.get("/version")
        assert other.connections == 0
        assert len(server.requests) == 1


def test_a_right_that_is_missing_is_named(connect: Callable[..., KubeClient]) -> None:
    with ApiServer() as server:
        server.forbidden |= {("list", "pods"), ("create", "configmaps"), ("get", "clusterpolicies")}
        client = connect(server)
        calls: tuple[tuple[Call, str, str], ...] = (
            (
                lambda each: list(each.list_pages("/api/v1/pods")),
                "not allowed to list pods",
                "grant the verb list on pods, API group core, in a ClusterRole",
            ),
            (
                _create,
                "not allowed to create configmaps in namespace default",
                "grant the verb create on configmaps",
            ),
            (
                lambda each: each.get("/apis/nvidia.com/v1/clusterpolicies/x"),
                "not allowed to get clusterpolicies.nvidia.com x",
                "the verb get on clusterpolicies, API group nvidia.com",
            ),
        )
        for call, message, hint in calls:
            with pytest.raises(KubeError) as caught:
                call(client)
            assert message in caught.value.message
            assert 'User "tester" cannot' in caught.value.message
            assert hint in (caught.value.hint or "")
            assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
        assert len(server.requests) == 3


def test_what_a_server_says_is_cleaned_and_bounded(connect: Callable[..., KubeClient]) -> None:
    body = json.dumps(
        {"kind": "Status", "status": "Failure", "message": "a\x1b[31m\nerror: b" + " c" * 2500, "reason": "\x07", "code": 400}
    )
    with ApiServer() as server:
        server.fault("", "400", 1, body=body.encode())
        client = connect(server)
        with pytest.raises(KubeError) as caught:
            client.get("/version")
        assert caught.value.message.isprintable()
        assert "a\\x1b[31m\\nerror: b" in caught.value.message
        assert len(caught.value.message) < 600
