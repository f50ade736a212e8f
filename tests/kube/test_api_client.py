"""The client of a Kubernetes API server, against one that speaks its protocol on loopback."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from eidos import log
from eidos.errors import EidosError, InvalidData, InvalidInput, KubeError, NotFound, Timeout
from eidos.kube import api_client
from eidos.kube.cluster_config import load_cluster
from tests.bench.kube import LEAST, LIMIT, OVER, PAGE, measured
from tests.fakes.apiserver import ApiServer
from tests.fakes.pods import pod
from tests.fakes.proxy import Listener, Proxy
from tests.support.waiting import AMPLE_S, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.kube.api_client import KubeClient

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"

Connect = Callable[..., "KubeClient"]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def connect(server: ApiServer, tmp_path: Path) -> Iterator[Connect]:
    """Makes clients, and ends them; ``cluster`` and ``user`` are what their kubeconfig says."""
    made: list[KubeClient] = []

    def connect(to: ApiServer = server, seconds: float = AMPLE_S, **config: Any) -> KubeClient:
        cluster = load_cluster({}, kubeconfig=str(to.kubeconfig(tmp_path, **config)))
        made.append(api_client.connect(cluster, deadline=time.monotonic() + seconds, environ={}))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture
def client(connect: Connect) -> KubeClient:
    return connect()


def names(objects: Any) -> list[str]:
    return [each["metadata"]["name"] for each in objects]


def nodes(server: ApiServer, count: int) -> None:
    for number in range(count):
        server.put(f"/api/v1/nodes/gpu-{number:02}", {"metadata": {"labels": {"rack": str(number % 2)}}})


# ---- requests ----


def test_connections_are_used_again(client: KubeClient, server: ApiServer) -> None:
    for _ in range(5):
        assert client.get("/version")["gitVersion"] == "v1.36.2"
    assert client.get("/api/v1/namespaces/default")["metadata"]["name"] == "default"
    assert server.connections == 1
    assert {each.headers["user-agent"].partition("/")[0] for each in server.requests} == {"eidos"}


def test_a_connection_that_was_ended_while_idle_is_opened_again(tmp_path: Path) -> None:
    with ApiServer() as server:
        cluster = load_cluster({}, kubeconfig=str(server.kubeconfig(tmp_path)))
        messages: list[str] = []
        with closing(api_client.connect(cluster, deadline=time.monotonic() + AMPLE_S, report=messages.append)) as client:
            client.get("/version")
            server.hang_up()
            assert client.create(CONFIGMAPS, {"metadata": {"name": "a"}})
            assert server.connections == 2
            assert messages == []


def test_threads_share_a_client(client: KubeClient, server: ApiServer) -> None:
    nodes(server, 8)
    names_read: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: names_read.append(client.get(f"/api/v1/nodes/gpu-{n:02}")["metadata"]["name"]))
        for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(AMPLE_S)
    assert sorted(names_read) == [f"gpu-{n:02}" for n in range(8)]
    assert server.connections <= 8


def test_a_deadline_that_has_passed(connect: Connect, server: ApiServer) -> None:
    with pytest.raises(Timeout):
        connect(seconds=-1).get("/version")
    assert server.requests == []


def test_a_path_before_all_paths(connect: Connect) -> None:
    with ApiServer(prefix="/k8s/clusters/c-1") as behind:
        behind.put("/api/v1/nodes/gpu-1", {})
        assert connect(behind).get("/api/v1/nodes/gpu-1")["metadata"]["name"] == "gpu-1"


def test_objects_are_made_changed_and_removed(client: KubeClient, server: ApiServer) -> None:
    made = client.create(CONFIGMAPS, {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"é": "ü"}})
    assert made["data"] == {"é": "ü"}
    assert made["metadata"]["managedFields"][0]["manager"] == "eidos"
    with pytest.raises(KubeError) as caught:
        client.create(CONFIGMAPS, {"metadata": {"name": "a"}})
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    assert client.delete(f"{CONFIGMAPS}/a") is True
    assert client.delete(f"{CONFIGMAPS}/a") is False
    assert [each.query.get("propagationPolicy") for each in server.requests if each.method == "DELETE"] == ["Background"] * 2
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        client.get(f"{CONFIGMAPS}/a")


def test_apply_owns_what_it_says(client: KubeClient, server: ApiServer) -> None:
    path, tree = f"{CONFIGMAPS}/a", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    assert client.apply(path, {**tree, "data": {"x": "1", "y": "1"}})["data"] == {"x": "1", "y": "1"}
    assert client.apply(path, {**tree, "data": {"x": "2"}})["data"] == {"x": "2"}
    server.put(f"{CONFIGMAPS}/b", {"data": {"x": "theirs"}}, manager="somebody")
    other = {**tree, "metadata": {"name": "b"}, "data": {"x": "ours"}}
    with pytest.raises(KubeError, match=r'conflict with "somebody" using v1: \.data\.x') as caught:
        client.apply(f"{CONFIGMAPS}/b", other)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")


def test_what_cannot_be_written(client: KubeClient) -> None:
    with pytest.raises(InvalidInput, match="not valid JSON"):
        client.create(CONFIGMAPS, {"data": {"x": float("nan")}})
    with pytest.raises(KubeError, match="may not be more than 1048576 bytes") as caught:
        client.create(CONFIGMAPS, {"metadata": {"name": "big"}, "data": {"x": "x" * 1_100_000}})
    assert caught.value.status == 422
    with pytest.raises(KubeError, match="Request entity too large: limit is 3145728") as caught:
        client.create(CONFIGMAPS, {"metadata": {"name": "big"}, "data": {"x": "x" * 3_300_000}})
    assert caught.value.status == 413
    with pytest.raises(NotFound, match='namespaces "none" not found'):
        client.create("/api/v1/namespaces/none/configmaps", {"metadata": {"name": "a"}})


# ---- TLS, credentials, proxies ----


def test_a_certificate_shows_who_asks(connect: Connect, server: ApiServer) -> None:
    import base64

    certificate, key = (base64.b64encode(each).decode() for each in server.certificate("carla"))
    client = connect(user={"client-certificate-data": certificate, "client-key-data": key})
    client.get("/version")
    assert server.requests[0].user == "carla"
    assert "authorization" not in server.requests[0].headers


def test_the_name_in_a_certificate(connect: Connect) -> None:
    assert connect(cluster={"tls-server-name": "kubernetes.default.svc"}).get("/version")


def test_a_certificate_that_is_not_checked(connect: Connect, server: ApiServer) -> None:
    records: list[tuple[str, str]] = []
    log.divert(lambda level, message, fields: records.append((level, message)))
    try:
        server.fault("", "wrong-ca", -1)
        insecure = {"certificate-authority-data": None, "insecure-skip-tls-verify": True}
        assert connect(cluster=insecure).get("/version")
    finally:
        log.divert(None)
    assert [level for level, message in records if "its certificate is not verified" in message] == ["warn"]


def test_an_authority_as_others_make_them(tmp_path: Path) -> None:
    """Without key identifiers, as EKS has them; Python from 3.13 on refuses it unless told otherwise."""
    import ipaddress
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.now(timezone.utc)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def signed(subject: str, public: Any, signer: Any, *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("kubernetes")).public_key(public)
        builder = (
            builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = signed("kubernetes", root.public_key(), root, (x509.BasicConstraints(True, None), True))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    pem = signed("server", leaf.public_key(), root, (address, False))
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    chain = tmp_path / "server.pem"
    chain.write_bytes(pem + leaf.private_bytes(*plain))
    with ApiServer() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.secure_with(context)
        server.ca_pem = ca
        cluster = load_cluster({}, kubeconfig=str(server.kubeconfig(tmp_path)))
        with closing(api_client.connect(cluster, deadline=time.monotonic() + AMPLE_S)) as client:
            assert client.get("/version")


def test_an_authority_that_is_none(connect: Connect) -> None:
    import base64

    garbage = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()
    with pytest.raises(InvalidData, match="certificate-authority"):
        connect(cluster={"certificate-authority-data": garbage}).get("/version")


def test_credentials_are_not_shown_where_anybody_reads_along(connect: Connect) -> None:
    with ApiServer(secure=False) as plain:
        client = connect(plain, cluster={"certificate-authority-data": None})
        assert client.get("/version")
        assert "authorization" not in plain.requests[0].headers


@pytest.mark.parametrize("secure", [True, False], ids=["https", "http"])
@pytest.mark.parametrize("password", ["", "us%65r:p%40ss"], ids=["open", "password"])
def test_through_a_proxy(connect: Connect, secure: bool, password: str) -> None:
    with ApiServer(secure=secure) as behind, Proxy(password and "user:p@ss") as proxy:
        url = f"http://{password and password + '@'}127.0.0.1:{proxy.port}"
        settings = {} if secure else {"certificate-authority-data": None}
        client = connect(behind, cluster={"proxy-url": url, **settings})
        for _ in range(3):
            assert client.get("/version")
        assert [line.split()[0] for line in proxy.requests] == (["CONNECT"] if secure else ["GET"])
        assert not any("proxy-authorization" in each.headers for each in behind.requests if secure)


def test_through_a_proxy_over_tls(connect: Connect, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS within TLS: the proxy's certificate is one that the system trusts, the server's is the kubeconfig's."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    server.make("/api/v1/pods", 600, pod)
    with Proxy("a:b", context) as proxy:
        client = connect(cluster={"proxy-url": f"https://a:b@127.0.0.1:{proxy.port}"})
        assert sum(map(len, client.list_pages("/api/v1/pods"))) == 600
        assert client.create(CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"x": "x" * 500_000}})
        assert len(proxy.requests) < 3, "a tunnel serves more than one request"


def test_a_proxy_that_leads_nowhere(connect: Connect) -> None:
    with Proxy("somebody:else") as proxy:
        with pytest.raises(
            KubeError, match=rf"the proxy http://127.0.0.1:{proxy.port} cannot connect to 127.0.0.1:\d+: status 407"
        ) as caught:
            connect(cluster={"proxy-url": f"http://me:secret@127.0.0.1:{proxy.port}"}).get("/version")
        assert "secret" not in caught.value.message
        assert caught.value.hint == "check the username and the password in its URL"
        assert len(proxy.requests) == 1
    with pytest.raises(KubeError, match=f"the proxy http://127.0.0.1:{proxy.port}: connection refused"):
        connect(cluster={"proxy-url": f"http://me:secret@127.0.0.1:{proxy.port}"}).get("/version")


def test_a_proxy_that_is_none_is_blamed_itself(connect: Connect) -> None:
    class NoProxy(Listener):
        def serve(self, sock: socket.socket) -> None:
            sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            sock.recv(1 << 16)
            sock.close()

    with NoProxy() as listener, pytest.raises(KubeError, match=f"the proxy http://127.0.0.1:{listener.port}: response is not HTTP"):
        connect(cluster={"proxy-url": f"http://127.0.0.1:{listener.port}"}).get("/version")


# ---- lists ----


def test_pages(client: KubeClient, server: ApiServer) -> None:
    nodes(server, 7)
    assert [names(page) for page in client.list_pages("/api/v1/nodes", page_size=3)] == [
        ["gpu-00", "gpu-01", "gpu-02"],
        ["gpu-03", "gpu-04", "gpu-05"],
        ["gpu-06"],
    ]
    assert [each.query["limit"] for each in server.requests] == ["3"] * 3
    assert names(client.list_objects("/api/v1/nodes", page_size=3)) == [f"gpu-{n:02}" for n in range(7)]
    assert names(client.list_objects("/api/v1/nodes", label_selector="rack=1")) == ["gpu-01", "gpu-03", "gpu-05"]
    assert names(client.list_objects("/api/v1/nodes", label_selector="rack in (1,2),!absent", field_selector="metadata.name!=gpu-03")) == [
        "gpu-01",
        "gpu-05",
    ]
    assert list(client.list_objects("/api/v1/pods")) == []
    assert server.requests[-1].query["limit"] == "250"


def test_the_next_page_is_fetched_while_one_is_read(client: KubeClient, server: ApiServer) -> None:
    nodes(server, 5)
    pages = client.list_pages("/api/v1/nodes", page_size=2)
    first = next(pages)
    until(lambda: len(server.requests) == 2)
    assert names(first) == ["gpu-00", "gpu-01"]
    second = next(pages)
    assert (first, names(second)) == ([], ["gpu-02", "gpu-03"])
    pages.close()  # type: ignore[attr-defined]  # who reads a list need not know that it can be closed
    assert client.get("/version")


def test_a_token_that_is_too_old_brings_another(client: KubeClient, server: ApiServer) -> None:
    nodes(server, 6)
    names_read: list[str] = []
    for page in client.list_pages("/api/v1/nodes", page_size=2):
        names_read += names(page)
        if len(names_read) == 2:
            until(lambda: len(server.requests) == 2)
            server.expire()
    assert names_read == [f"gpu-{n:02}" for n in range(6)]
    assert len(server.requests) == 4


def test_tokens_are_too_old_again_and_again(client: KubeClient, server: ApiServer) -> None:
    """A list that takes hours goes on, as long as each token that is too old brings one that is not."""
    nodes(server, 9)
    names_read: list[str] = []
    for page in client.list_pages("/api/v1/nodes", page_size=1):
        names_read += names(page)
        if len(names_read) % 2 and len(names_read) < 9:
            until(lambda expected: len(server.requests) == expected, 2 + len(names_read) // 2 * 3)
            server.expire()
    assert names_read == [f"gpu-{n:02}" for n in range(9)]
    assert len(server.requests) == 9 + 4


def test_a_token_that_is_too_old_and_brings_none(client: KubeClient, server: ApiServer) -> None:
    nodes(server, 6)
    server.fault("continue=", "410", 1)
    assert names(client.list_objects("/api/v1/nodes", page_size=2)) == [f"gpu-{n:02}" for n in range(6)]
    assert [bool(each.query.get("continue")) for each in server.requests] == [False, True, False, True, True]
    server.fault("continue=", "410", -1)
    with pytest.raises(KubeError, match="410"):
        list(client.list_objects("/api/v1/nodes", page_size=2))


def test_what_is_no_list(client: KubeClient, server: ApiServer) -> None:
    nameless = b'{"items": [{}]}', b'{"items": [{"metadata": []}]}', b'{"items": [{"metadata": {"name": 5}}]}'
    for body in (b'{"items": {}}', b'{"items": [1]}', b'{"kind": "Node"}', b'{"items": [], "metadata": 1}', *nameless):
        server.fault("", "bad-json", 1, body=body)
        with pytest.raises(KubeError, match="not a list of objects"):
            list(client.list_pages("/api/v1/nodes"))
    for body in (b'{"kind": "List"}', b'{"metadata": {}}'):
        server.fault("", "bad-json", 1, body=body)
        with pytest.raises(KubeError, match="to get nodes a: the response is not a Kubernetes object"):
            client.get("/api/v1/nodes/a")
    server.fault("", "bad-json", 1, body=b'{"items": null}')
    assert list(client.list_objects("/api/v1/nodes")) == []


def test_large_answers_come_packed(client: KubeClient, server: ApiServer) -> None:
    server.make("/api/v1/pods", 250, pod)
    assert client.get("/api/v1/pods")["items"][249] == json.loads(pod(249))
    assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_cluster(pyz: Path, tmp_path: Path) -> None:
    """Ten thousand pods of 8 kB, and one page of them."""
    peaks = measured(pyz, tmp_path, (PAGE, 10_000), 1)
    (_, least), (_, largest) = peaks[PAGE], peaks[10_000]
    assert least > LEAST << 10, "the process that reads the cluster was not seen"
    assert largest - least <= OVER << 10
    assert largest < LIMIT << 10


# ---- watches ----


def watched(client: KubeClient, server: ApiServer, count: int, seconds: float = AMPLE_S, **more: Any) -> list[tuple[str, str]]:
    """The first so many events."""
    result = []
    version = more.pop("version", str(server.store.version))
    events = client.watch("/api/v1/nodes", resource_version=version, deadline=time.monotonic() + seconds, **more)
    for kind, tree in events:
        result.append((kind, tree["metadata"].get("name", "")))
        if len(result) == count:
            break
    events.close()  # type: ignore[attr-defined]  # as above
    return result


def test_changes_arrive_as_watch_events(client: KubeClient, server: ApiServer) -> None:
    version = str(server.store.version)
    nodes(server, 2)
    server.put("/api/v1/nodes/gpu-01", {"spec": {"unschedulable": True}})
    server.remove("/api/v1/nodes/gpu-00")
    expected = [("ADDED", "gpu-00"), ("ADDED", "gpu-01"), ("MODIFIED", "gpu-01"), ("DELETED", "gpu-00")]
    assert watched(client, server, 4, version=version) == expected
    chosen = watched(client, server, 2, version=version, label_selector="rack=1")
    assert chosen == [("ADDED", "gpu-01"), ("DELETED", "gpu-01")], "what no longer has the label is gone for whoever chose by it"
    query = server.requests[-1].query
    assert (query["watch"], query["allowWatchBookmarks"], query["labelSelector"]) == ("true", "true", "rack=1")
    assert server.requests[-1].verb == "watch"
    assert server.requests[-1].headers["accept-encoding"] == "identity", "a proxy that packs would hold events back"


def test_a_watch_ends_at_its_deadline(client: KubeClient, server: ApiServer) -> None:
    began = time.monotonic()
    assert watched(client, server, 1, seconds=1.2) == []
    assert 1 <= time.monotonic() - began < AMPLE_S


def test_bookmarks_say_how_far_it_is(client: KubeClient, server: ApiServer) -> None:
    server.bookmark_every = 0.1
    assert watched(client, server, 1) == [("BOOKMARK", "")]


def test_a_stream_that_breaks_is_taken_up_again(client: KubeClient, server: ApiServer) -> None:
    """Nothing is lost, nothing comes twice."""
    version = str(server.store.version)
    nodes(server, 4)
    server.fault("EVENT ADDED gpu-02", "cut", 2)
    assert watched(client, server, 4, version=version) == [("ADDED", f"gpu-{n:02}") for n in range(4)]
    assert sum(each.verb == "watch" for each in server.requests) == 3


def test_a_stream_that_always_breaks(client: KubeClient, server: ApiServer) -> None:
    version = str(server.store.version)
    nodes(server, 1)
    server.fault("EVENT", "cut", -1)
    with pytest.raises(KubeError, match=r"truncated|without a response"):
        watched(client, server, 1, version=version)


def test_streams_that_end_at_once_are_resumed_after_a_pause(client: KubeClient, server: ApiServer) -> None:
    server.fault("watch=true", "bad-json", -1, body=b"")
    client.get("/version")  # the connection is there
    assert watched(client, server, 1, seconds=2.5) == []
    # One that ends sooner than after 0.1 s is followed by a pause that is longer: however slow the machine is, there are no more.
    assert 1 < sum(each.verb == "watch" for each in server.requests) <= 25


def test_a_version_that_is_too_old(client: KubeClient, server: ApiServer) -> None:
    """All comes again, and what this watch told of and is gone is said."""
    nodes(server, 2)
    version = str(server.store.version)
    server.put("/api/v1/nodes/gone", {})
    server.put("/api/v1/nodes/new", {})
    events = client.watch("/api/v1/nodes", resource_version=version, deadline=time.monotonic() + AMPLE_S)
    result = [(kind, tree["metadata"].get("name", "")) for kind, tree in (next(events), next(events))]
    assert result == [("ADDED", "gone"), ("ADDED", "new")]
    with server.store.changed:  # between two looks of the stream
        server.remove("/api/v1/nodes/gone")
        server.store.events.pop()
        server.expire()
    result = [(kind, tree["metadata"].get("name", "")) for kind, tree in (next(events) for _ in range(5))]
    assert result == [("ADDED", "gpu-00"), ("ADDED", "gpu-01"), ("ADDED", "new"), ("DELETED", "gone"), ("BOOKMARK", "")]
    server.put("/api/v1/nodes/last", {})
    assert next(events)[1]["metadata"]["name"] == "last"
    events.close()  # type: ignore[attr-defined]  # as above


def test_a_watch_that_may_not_be(client: KubeClient, server: ApiServer) -> None:
    server.forbidden.add(("watch", "nodes"))
    with pytest.raises(KubeError, match="not allowed to watch nodes") as caught:
        watched(client, server, 1)
    assert caught.value.status == 403


def test_a_watch_of_garbage(client: KubeClient, server: ApiServer) -> None:
    nameless = b'{"type": "ADDED", "object": {}}\n', b'{"type": "DELETED"}\n', b'{"type": "BOOKMARK", "object": 1}\n'
    bodies = ((b"garbage\n", "not JSON"), (b"[]\n", "not a JSON object"), *((body, "an event has no object") for body in nameless))
    for body, words in bodies:
        server.fault("watch=true", "bad-json", 1, body=body)
        with pytest.raises(KubeError, match=words):
            watched(client, server, 1)
    error = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "no\nmore", "reason": "InternalError"}}
    server.fault("watch=true", "bad-json", 1, body=json.dumps(error).encode() + b"\n")
    with pytest.raises(KubeError, match=r"cannot watch nodes: no\\nmore") as caught:
        watched(client, server, 1)
    assert (caught.value.status, caught.value.reason) == (500, "InternalError")


# ---- is the fake like the real one? ----


def shape(value: Any) -> Any:
    """What a tree is made of: names, and the types of the values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.mark.shared
def test_the_fake_answers_in_the_shape_of_a_real_server(client: KubeClient, server: ApiServer, shared: Path) -> None:
    """Requests that were recorded, made again: the same status, and the same fields in the Status or the object."""
    import urllib.error
    import urllib.request

    folder = shared / "kube"
    context = ssl.create_default_context(cadata=server.ca_pem.decode())
    server.users["agent"] = "agent"
    server.forbidden |= {("list", "secrets")}
    server.put("/api/v1/namespaces/gpu-operator", {"status": {"phase": "Active"}})
    pods = json.loads((folder / "17-pods-all.json").read_bytes())["items"]
    for each in pods:
        server.put(f"/api/v1/namespaces/{each['metadata']['namespace']}/pods/{each['metadata']['name']}", each)

    def ask(method: str, path: str, body: bytes | None = None, kind: str = "application/json", token: str = "agent") -> tuple[int, bytes]:
        request = urllib.request.Request(server.url + path, body, {"Content-Type": kind, "Authorization": f"Bearer {token}"}, method=method)
        try:
            with urllib.request.urlopen(request, context=context, timeout=AMPLE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    maps, apply = "/api/v1/namespaces/gpu-operator/configmaps", "application/apply-patch+yaml"
    made = json.dumps(
        {"metadata": {"name": "aicr-snapshot", "labels": {"app": "demo"}}, "data": {"snapshot.yaml": "kind: Snapshot\n"}}
    ).encode()

    dry = b'{"metadata": {"name": "dry"}, "data": {"snapshot.yaml": ""}}'

    def applied(name: str) -> bytes:
        return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  snapshot.yaml: other\n".encode()

    one, new = f"{maps}/aicr-snapshot", f"{maps}/applied-new"
    requests: tuple[tuple[str, int, str, str, bytes | None, str], ...] = (
        ("01-version.json", 200, "GET", "/version", None, ""),
        ("14-pods-limit20-page1.json", 200, "GET", "/api/v1/pods?limit=20", None, ""),
        ("21-pods-empty-namespace.json", 200, "GET", "/api/v1/namespaces/kube-public/pods", None, ""),
        ("39-403-secrets-namespaced.json", 403, "GET", "/api/v1/namespaces/gpu-operator/secrets", None, ""),
        ("43-404-node.json", 404, "GET", "/api/v1/nodes/nope", None, ""),
        ("47-404-clusterpolicy.json", 404, "GET", "/apis/nvidia.com/v1/clusterpolicies/nope", None, ""),
        ("44-404-group.txt", 404, "GET", "/apis/nope.example.com/v1/things", None, ""),
        ("51-400-continue.json", 400, "GET", "/api/v1/pods?limit=20&continue=garbage", None, ""),
        ("52-400-limit.json", 400, "GET", "/api/v1/pods?limit=x", None, ""),
        ("56-configmap-create.json", 201, "POST", maps, made, "application/json"),
        ("57-configmap-create-409.json", 409, "POST", maps, made, "application/json"),
        ("59-configmap-apply-409-conflict.json", 409, "PATCH", f"{one}?fieldManager=demo", applied("aicr-snapshot"), apply),
        ("60-configmap-apply-force.json", 200, "PATCH", f"{one}?fieldManager=demo&force=true", applied("aicr-snapshot"), apply),
        ("61-configmap-apply-create-201.json", 201, "PATCH", f"{new}?fieldManager=demo&force=true", applied("applied-new"), apply),
        ("62-configmap-apply-again-200.json", 200, "PATCH", f"{new}?fieldManager=demo&force=true", applied("applied-new"), apply),
        ("64-configmap-apply-no-manager-400.json", 422, "PATCH", new, applied("applied-new"), apply),
        ("65-configmap-apply-name-mismatch.json", 400, "PATCH", f"{maps}/other?fieldManager=demo", applied("aicr-snapshot"), apply),
        ("66-configmap-merge-patch.json", 200, "PATCH", one, b'{"data": {"more": "1"}}', "application/merge-patch+json"),
        ("67-configmap-patch-415.json", 415, "PATCH", one, b'{"data": {}}', "application/json"),
        ("70-configmap-422.json", 422, "POST", maps, b'{"metadata": {"name": "Bad_Name"}}', "application/json"),
        ("71-configmap-dryrun.json", 201, "POST", f"{maps}?dryRun=All", dry, "application/json"),
        ("76-configmap-delete.json", 200, "DELETE", one, None, ""),
        ("77-configmap-delete-404.json", 404, "DELETE", one, None, ""),
        ("101-410-watch-too-old.ndjson", 200, "GET", "/api/v1/pods?watch=true&resourceVersion=1&timeoutSeconds=3", None, ""),
    )  # fmt: skip
    server.expire()
    for name, status, method, path, body, kind in requests:
        got, answer = ask(method, path, body, kind or "application/json")
        real = (folder / name).read_bytes()
        assert got == status, f"{name}: {got} {answer[:300]!r}"
        if name.endswith(".txt"):
            assert answer == real
            continue
        ours, theirs = json.loads(answer), json.loads(real)
        if "metadata" in theirs and "managedFields" in theirs["metadata"]:
            for each in (ours, theirs):
                each["metadata"]["managedFields"] = shape(each["metadata"]["managedFields"][0])
                each["metadata"]["managedFields"].pop("fieldsV1")
        if theirs.get("kind") == "PodList":
            ours["items"], theirs["items"] = [list(each) for each in ours["items"][:3]], [list(each) for each in theirs["items"][:3]]
        assert shape(ours) == shape(theirs), name
        if theirs.get("kind") == "Status" and status >= 400 and not name.startswith(("39", "59")):
            assert (ours["message"], ours.get("reason")) == (theirs["message"], theirs.get("reason")), name
    assert shape(json.loads(ask("GET", "/api/v1/nodes", token="bad")[1])) == shape(json.loads((folder / "41-401.json").read_bytes()))


def test_every_failure_is_one_that_is_documented(connect: Connect, server: ApiServer) -> None:
    for status in (*range(400, 432), 451, 499, 500, 501, 505, 599):
        server.calm()
        server.fault("", str(status), -1)
        with pytest.raises(EidosError) as caught:
            connect().get("/version")
        assert isinstance(caught.value, NotFound if status == 404 else KubeError)
