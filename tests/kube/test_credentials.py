"""What a user has to show: tokens, files, certificates and plugins, beside what kubectl shows for the same kubeconfig."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

from eidos.errors import EidosError, InvalidData, KubeError, Timeout, Unavailable
from eidos.kube.api_client import connect
from eidos.kube.cluster import User
from eidos.kube.cluster_config import load_cluster
from eidos.kube.credentials import Credentials
from tests.fakes.apiserver import ApiServer
from tests.support.transport_process import lives
from tests.support.waiting import AMPLE_S, until

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
V1, BETA = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


def credential(version: str = V1, **status: str) -> str:
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": status})


def plugin(folder: Path, body: str, **changes: Any) -> dict[str, Any]:
    """The user of a kubeconfig whose plugin is a shell script that counts its runs."""
    script = folder / "get-token"
    script.write_text(f"#!/bin/sh\necho run >>{folder}/runs\n{body}\n")
    script.chmod(0o755)
    return {"exec": {"apiVersion": V1, "command": "./get-token", "interactiveMode": "Never", **changes}}


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().split()) if (folder / "runs").exists() else 0


def asks(folder: Path, server: ApiServer, user: dict[str, Any], patience: float = AMPLE_S, **environ: str) -> Credentials:
    path = server.kubeconfig(folder, user=user)
    cluster = load_cluster(ENVIRON, kubeconfig=str(path))
    return Credentials(cluster.user, {**ENVIRON, **environ}, deadline=time.monotonic() + patience)


def refused(credentials: Credentials, kind: type[EidosError], *words: str) -> str:
    with pytest.raises(kind) as fault:
        credentials.authorization()
    message = f"{fault.value.message} {fault.value.hint}"
    assert "hunter2" not in "".join(traceback.format_exception(fault.type, fault.value, fault.tb))
    assert all(word in message for word in ("user 'tester' of /", *words)), message
    return message


# -- plugins --


def test_a_plugin_gets_its_input_and_runs_once(tmp_path: Path, server: ApiServer) -> None:
    body = f'echo "$KUBERNETES_EXEC_INFO" >{tmp_path}/info; echo "$GREETING $1 $2" >{tmp_path}/arguments; cat >{tmp_path}/stdin; cat <<E\n'
    user = plugin(tmp_path, f"{body}{credential(token='abc')}\nE", args=["-x", "a b"], env=[{"name": "GREETING", "value": "hi"}])
    credentials = asks(tmp_path, server, user, GREETING="no")
    assert [credentials.authorization() for _ in range(3)] == ["Bearer abc"] * 3
    assert credentials.certificate() is None
    assert runs(tmp_path) == 1
    assert json.loads((tmp_path / "info").read_text()) == {"kind": "ExecCredential", "apiVersion": V1, "spec": {"interactive": False}}
    assert (tmp_path / "arguments").read_text() == "hi -x a b\n"
    assert (tmp_path / "stdin").read_text() == ""


def test_a_credential_holds_until_it_expires(tmp_path: Path, server: ApiServer) -> None:
    soon = (datetime.now(timezone.utc) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%S.123Z")
    later = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number, (when, count) in enumerate(((soon, 2), (later, 1))):
        folder = tmp_path / str(number)
        folder.mkdir()
        credentials = asks(folder, server, plugin(folder, f"echo '{credential(token='abc', expirationTimestamp=when)}'"))
        assert [credentials.authorization() for _ in range(2)] == ["Bearer abc"] * 2
        assert runs(folder) == count, "what is about to expire is not used"


@pytest.mark.parametrize("when", ["2099-01-02 03:04:05Z", "2099-01-02t03:04:05z", "2099-01-02T03:04:05.5+01:00"])
def test_an_expiry_is_written_in_any_form_of_rfc_3339(tmp_path: Path, server: ApiServer, when: str) -> None:
    credentials = asks(tmp_path, server, plugin(tmp_path, f"echo '{credential(token='abc', expirationTimestamp=when)}'"))
    assert [credentials.authorization() for _ in range(2)] == ["Bearer abc"] * 2
    assert runs(tmp_path) == 1


def test_a_rejected_credential_is_renewed(tmp_path: Path, server: ApiServer) -> None:
    script = f'echo \'{{"kind":"ExecCredential","apiVersion":"{V1}","status":{{"token":"t\'$(wc -l <{tmp_path}/runs)\'"}}}}\''
    credentials = asks(tmp_path, server, plugin(tmp_path, script))
    first = credentials.authorization()
    assert first == "Bearer t1"
    assert credentials.invalidate(first)
    assert credentials.authorization() == "Bearer t2"
    assert credentials.invalidate(first), "another thread heard of it already"
    assert credentials.authorization() == "Bearer t2"


def test_threads_share_one_run(tmp_path: Path, server: ApiServer) -> None:
    credentials = asks(tmp_path, server, plugin(tmp_path, f"sleep 0.3; echo '{credential(token='abc')}'"))
    headers: list[str | None] = []
    threads = [threading.Thread(target=lambda: headers.append(credentials.authorization())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(AMPLE_S)
    assert headers == ["Bearer abc"] * 4
    assert runs(tmp_path) == 1


def test_a_plugin_that_hangs_is_killed_with_all_it_started(tmp_path: Path, server: ApiServer) -> None:
    user = plugin(tmp_path, f"trap '' TERM HUP; sleep 300 & echo $! >{tmp_path}/pid; sleep 300")
    pid_file = tmp_path / "pid"
    for patience in (0.5, 4, 30):  # a busy machine needs longer to start it
        began = time.monotonic()
        refused(asks(tmp_path, server, user, patience=patience), Timeout, "get-token timed out", "--timeout")
        assert time.monotonic() - began < patience + AMPLE_S
        if pid_file.exists() and pid_file.read_text():
            break
    pid = int(pid_file.read_text())
    until(lambda: not lives(pid))


def test_what_a_plugin_leaves_behind_does_not_hold_us(tmp_path: Path, server: ApiServer) -> None:
    """Its output is inherited by a child that goes on: the plugin has ended, and that is what counts."""
    credentials = asks(tmp_path, server, plugin(tmp_path, f"sleep 300 & echo '{credential(token='abc')}'"))
    began = time.monotonic()
    assert credentials.authorization() == "Bearer abc"
    assert time.monotonic() - began < AMPLE_S


#: What a plugin prints → whether kubectl and eidos take the credential.
PRINTED = {
    "no kind": ({"apiVersion": V1, "status": {"token": "abc"}}, True),
    "kind is empty": ({"kind": "", "apiVersion": V1, "status": {"token": "abc"}}, True),
    "kind is null": ({"kind": None, "apiVersion": V1, "status": {"token": "abc"}}, True),
    "unknown fields": ({"apiVersion": V1, "x": 1, "status": {"token": "abc", "y": 2}}, True),
    "another kind": ({"kind": "Pod", "apiVersion": V1, "status": {"token": "abc"}}, False),
    "no version": ({"kind": "ExecCredential", "status": {"token": "abc"}}, False),
    "neither": ({"status": {"token": "abc"}}, False),
    "no status": ({"apiVersion": V1}, False),
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_credential_with_and_without_its_kind(tmp_path: Path, server: ApiServer, name: str) -> None:
    printed, is_taken = PRINTED[name]
    credentials = asks(tmp_path, server, plugin(tmp_path, f"echo '{json.dumps(printed)}'"))
    if is_taken:
        assert credentials.authorization() == "Bearer abc"
    else:
        refused(credentials, InvalidData, "get-token")


@pytest.mark.parametrize("name", PRINTED)
def test_kubectl_takes_the_same_credentials(tools: dict[str, str], tmp_path: Path, server: ApiServer, name: str) -> None:
    printed, is_taken = PRINTED[name]
    path = server.kubeconfig(tmp_path, user=plugin(tmp_path, f"echo '{json.dumps(printed)}'"))
    before = len(server.requests)
    command = [tools["kubectl"], "--kubeconfig", str(path), "get", "--raw", "/version"]
    done = subprocess.run(command, env=ENVIRON, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    sent = [request.headers.get("authorization") for request in server.requests[before:]]
    assert ("Bearer abc" in sent) == is_taken, done.stderr


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("echo hunter2", InvalidData, ("printed no credential", "it is not a document")),
        ('echo \'{"kind": "hunter2"}\'', InvalidData, ("not an ExecCredential",)),
        ("printf '\\377\\376\\0hunter2'", InvalidData, ("printed no credential",)),
        (":", InvalidData, ("printed no credential",)),
        ("echo 'token: hunter2: x'", InvalidData, ("printed no credential: it is not a document",)),
        (f"echo '{credential(BETA, token='hunter2')}'", InvalidData, ("its version is not",)),
        (f"echo '{credential()}'", InvalidData, ("neither a token nor a certificate",)),
        (f"echo '{credential(clientKeyData='hunter2')}'", InvalidData, ("both required",)),
        (f"echo '{credential(token='hunter2', expirationTimestamp='soon')}'", InvalidData, ("expected an RFC 3339 time",)),
        (f"echo '{credential(token='two')}'".replace("two", "\\u0007hunter2"), InvalidData, ("characters that a header cannot hold",)),
        ("yes hunter2", InvalidData, ("printed more than 1 MiB",)),
        ("echo hunter2; echo 'please log in' >&2; exit 3", Unavailable, ("exited with status 3: please log in",)),
        (f"echo 'begins {'and goes on ' * 40}to its end' >&2; exit 3", Unavailable, ("status 3: …", " and goes on to its end")),
        ("kill -9 $$", Unavailable, ("was killed by signal 9",)),
        ("read answer </dev/tty || exit 1", Unavailable, ("exited with status", "log in")),
    ],
)
def test_a_plugin_that_fails(tmp_path: Path, server: ApiServer, body: str, kind: type[EidosError], words: tuple[str, ...]) -> None:
    message = refused(asks(tmp_path, server, plugin(tmp_path, body)), kind, "get-token", *words)
    assert "hunter2" not in message, "what a plugin prints is secret"


def test_a_plugin_is_not_taken_from_wherever_we_stand(tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    user = plugin(tmp_path, f"echo '{credential(token='abc')}'", command="get-token")
    monkeypatch.chdir(tmp_path)
    for path in (".", "", f":{tmp_path.name}"):
        refused(asks(tmp_path, server, user, PATH=path), Unavailable, "not found in PATH")
    assert asks(tmp_path, server, user, PATH=f"{tmp_path}:/bin").authorization() == "Bearer abc"


def test_a_plugin_that_is_not_there(tmp_path: Path, server: ApiServer) -> None:
    user = plugin(tmp_path, "", command="get-token-of-nobody", installHint="Get it at\n https://example.com")
    refused(asks(tmp_path, server, user), Unavailable, "not found in PATH", "Get it at https://example.com")
    user = plugin(tmp_path, "", command="./nothing")
    refused(asks(tmp_path, server, user), Unavailable, "not an executable file", "install it")
    user = plugin(tmp_path, "")
    (tmp_path / "get-token").chmod(0o644)
    refused(asks(tmp_path, server, user), Unavailable, "not an executable file")
    user = plugin(tmp_path, "")
    (tmp_path / "get-token").write_text("#!/nonexistent/interpreter\n")
    refused(asks(tmp_path, server, user), Unavailable, "cannot be run", "no such file")


# -- tokens and files --


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    credentials = Credentials(User("u", "user 'u'", token_file=str(path)), ENVIRON)
    with pytest.raises(Unavailable, match="does not exist"):
        credentials.authorization()
    path.write_text(" one\n")
    assert credentials.authorization() == "Bearer one"
    assert not credentials.invalidate()
    path.write_text("two\n")
    assert credentials.invalidate("Bearer one")
    assert credentials.authorization() == "Bearer two"
    path.unlink()
    assert credentials.authorization() == "Bearer two", "it is being written anew"
    path.write_bytes(b"\xff\xff")
    with pytest.raises(InvalidData, match="is not text"):
        credentials.authorization()
    path.write_text("two\nlines: hunter2")
    with pytest.raises(InvalidData, match="characters that a header cannot hold") as fault:
        credentials.authorization()
    assert "hunter2" not in str(fault.value)


def test_who_shows_nothing() -> None:
    credentials = Credentials(User("u", "user 'u'"), ENVIRON)
    assert (credentials.authorization(), credentials.certificate(), credentials.invalidate()) == (None, None, False)
    fixed = Credentials(User("u", "user 'u'", token="abc"), ENVIRON)
    assert (fixed.authorization(), fixed.invalidate()) == ("Bearer abc", False)
    basic = Credentials(User("u", "user 'u'", username="me", password="pa:ß"), ENVIRON)
    assert basic.authorization() == "Basic " + base64.b64encode("me:pa:ß".encode()).decode()


# -- certificates --


def test_a_certificate_is_presented_from_memory(tmp_path: Path, server: ApiServer) -> None:
    certificate, key = server.certificate("alice")
    user = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    path = server.kubeconfig(tmp_path, user=user)
    script = (
        "import os, ssl, sys, socket, tempfile\n"
        "from eidos.kube.cluster_config import load_cluster\nfrom eidos.kube.credentials import Credentials\n"
        f"cluster = load_cluster({{}}, kubeconfig={str(path)!r})\n"
        "context = ssl.create_default_context(cadata=cluster.ca.decode())\n"
        "print(Credentials(cluster.user, {}).load_certificate(context), os.listdir(tempfile.gettempdir()))\n"
        f"with context.wrap_socket(socket.create_connection(('127.0.0.1', {server.port})), server_hostname='localhost') as sock:\n"
        "    sock.sendall(b'GET /version HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "    print(sock.recv(100).split(b'\\r')[0].decode())\n"
    )
    (tmp_path / "tmp").mkdir()
    environ = {**ENVIRON, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True []\nHTTP/1.1 200 OK\n", "")
    assert server.requests[-1].user == "alice"


def test_a_certificate_in_files_is_read_again(tmp_path: Path, server: ApiServer) -> None:
    user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    credentials = asks(tmp_path, server, user)
    with pytest.raises(Unavailable, match=r"client-certificate .*/tls.crt: no such file"):
        credentials.certificate()
    for name in ("alice", "bob"):
        certificate, key = server.certificate(name)
        (tmp_path / "tls.crt").write_bytes(certificate)
        (tmp_path / "tls.key").write_bytes(key)
        assert credentials.certificate() == (certificate, key)
    assert credentials.load_certificate(ssl.create_default_context())


def test_a_certificate_and_a_key_that_do_not_go_together(tmp_path: Path, server: ApiServer) -> None:
    certificate, key = server.certificate("alice")
    (tmp_path / "key").write_bytes(key)
    command = ["openssl", "pkey", "-in", str(tmp_path / "key"), "-aes128", "-passout", "pass:abc", "-out", str(tmp_path / "locked")]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    context = ssl.create_default_context()
    for other, words in (
        (server.certificate("bob")[1], "do not match"),
        ((tmp_path / "locked").read_bytes(), "is encrypted"),
        (b"x", "do not match"),
    ):
        credentials = Credentials(User("u", "user 'u'", certificate, other), ENVIRON)
        with pytest.raises(InvalidData, match=words):
            credentials.load_certificate(context)


# -- beside kubectl --

#: Users of a kubeconfig; the two clients show the same to the server.
ALIKE: dict[str, dict[str, Any]] = {
    "token": {"token": "abc"},
    "token-file": {"tokenFile": "token"},
    "token-and-file": {"token": "abc", "tokenFile": "token"},
    "token-and-missing-file": {"token": "abc", "tokenFile": "nothing"},
    "password": {"username": "me", "password": "secret"},
    "plugin": {"exec": {"apiVersion": V1, "command": "./get-token", "interactiveMode": "IfAvailable", "provideClusterInfo": True}},
    "plugin-beta": {"exec": {"apiVersion": BETA, "command": "./get-token", "env": [{"name": "X", "value": "1"}]}},
    "token-before-plugin": {"token": "abc", "exec": {"apiVersion": BETA, "command": "./get-token"}},
    "password-before-plugin": {"username": "a", "password": "b", "exec": {"apiVersion": BETA, "command": "./get-token"}},
}


@pytest.mark.parametrize("name", ALIKE)
def test_kubectl_shows_the_same(tools: dict[str, str], tmp_path: Path, server: ApiServer, name: str) -> None:
    (tmp_path / "token").write_text("from-file\n")
    user = ALIKE[name]
    version = user.get("exec", {}).get("apiVersion", V1)
    plugin(tmp_path, f"echo \"$KUBERNETES_EXEC_INFO\" >>{tmp_path}/info; echo '{credential(version, token='plugged')}'")
    more = {"extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}]}
    path = server.kubeconfig(tmp_path, user=user, cluster=more)
    cluster = load_cluster(ENVIRON, kubeconfig=str(path))
    ours = Credentials(cluster.user, ENVIRON).authorization()
    before = len(server.requests)
    command = [tools["kubectl"], "--kubeconfig", str(path), "get", "--raw", "/version"]
    done = subprocess.run(command, env=ENVIRON, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    requests = server.requests[before:]
    assert requests, done.stderr
    assert requests[0].headers.get("authorization") == ours
    if (tmp_path / "info").exists():
        first, second = [json.loads(line) for line in (tmp_path / "info").read_text().splitlines() if line][:2]
        assert first == second


def test_kubectl_shows_the_same_certificate(tools: dict[str, str], tmp_path: Path, server: ApiServer) -> None:
    certificate, key = (base64.b64encode(pem).decode() for pem in server.certificate("carol"))
    path = server.kubeconfig(tmp_path, user={"client-certificate-data": certificate, "client-key-data": key})
    command = [tools["kubectl"], "--kubeconfig", str(path), "get", "--raw", "/version"]
    subprocess.run(command, env=ENVIRON, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    assert (server.requests[-1].user, server.requests[-1].headers.get("authorization")) == ("carol", None)
    cluster = load_cluster(ENVIRON, kubeconfig=str(path))
    assert Credentials(cluster.user, ENVIRON).certificate() == tuple(map(base64.b64decode, (certificate, key)))


#: Changes to a cluster → whether the two reach it.
REACHED: dict[str, tuple[dict[str, Any], bool]] = {
    "as it is": ({}, True),
    "another name": ({"tls-server-name": "kubernetes.default.svc"}, True),
    "a wrong name": ({"tls-server-name": "example.com"}, False),
    "no check": ({"insecure-skip-tls-verify": True, "certificate-authority-data": None}, True),
    "the system's authorities": ({"certificate-authority-data": None}, False),
    "another authority": ({"certificate-authority-data": base64.b64encode(trustme.CA().cert_pem.bytes()).decode()}, False),
}


@pytest.mark.parametrize("name", REACHED)
def test_kubectl_reaches_the_same_servers(
    tools: dict[str, str],
    tmp_path: Path,
    server: ApiServer,
    name: str,
) -> None:
    cluster, is_reached = REACHED[name]
    path = server.kubeconfig(tmp_path, cluster=cluster)
    command = [tools["kubectl"], "--kubeconfig", str(path), "get", "--raw", "/version"]
    done = subprocess.run(command, env=ENVIRON, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == is_reached, done.stderr
    client = connect(load_cluster(ENVIRON, kubeconfig=str(path)), deadline=time.monotonic() + AMPLE_S)
    try:
        if is_reached:
            assert client.get("/version") == json.loads(done.stdout)
        else:
            with pytest.raises(KubeError, match="certificate"):
                client.get("/version")
    finally:
        client.close()


def test_a_plugin_is_run_again_on_401_and_the_request_with_it(tmp_path: Path, server: ApiServer) -> None:
    script = f"[ $(wc -l <{tmp_path}/runs) = 1 ] && token=old || token={server.token}; printf '{credential(token='%s')}' $token"
    path = server.kubeconfig(tmp_path, user=plugin(tmp_path, script))
    client = connect(load_cluster(ENVIRON, kubeconfig=str(path)), deadline=time.monotonic() + AMPLE_S, environ=ENVIRON)
    assert client.get("/api/v1/namespaces/default")["kind"] == "Namespace"
    assert client.get("/api/v1/namespaces/default")["kind"] == "Namespace"
    assert runs(tmp_path) == 2
    client.close()
    # One who is refused for good is run twice, not for ever.
    (tmp_path / "get-token").write_text(f"#!/bin/sh\necho run >>{tmp_path}/runs\necho '{credential(token='bad')}'\n")
    client = connect(load_cluster(ENVIRON, kubeconfig=str(path)), deadline=time.monotonic() + AMPLE_S, environ=ENVIRON)
    with pytest.raises(KubeError) as fault:
        client.get("/api/v1/namespaces/default")
    assert fault.value.status == 401
    assert runs(tmp_path) == 4
    client.close()


def test_a_plugin_has_the_time_that_the_client_has_now(tmp_path: Path, server: ApiServer) -> None:
    """Many hours of one client: a plugin that is run again then had no time left, and was killed."""
    script = f"[ $(wc -l <{tmp_path}/runs) = 1 ] && token=old || token={server.token}; printf '{credential(token='%s')}' $token"
    path = server.kubeconfig(tmp_path, user=plugin(tmp_path, script))
    client = connect(load_cluster(ENVIRON, kubeconfig=str(path)), deadline=time.monotonic() - 1, environ=ENVIRON)
    with pytest.raises(Timeout):
        client.get("/version")
    client.deadline = time.monotonic() + AMPLE_S
    assert client.get("/api/v1/namespaces/default")["kind"] == "Namespace"
    client.close()
