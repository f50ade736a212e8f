"""Logins: tokens, basic authentication, files of docker and podman, credential helpers; and where a login must not go."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import trustme

from eidos.errors import EidosError, InvalidData, Timeout, Unavailable
from eidos.oci import auth_file as auth_file_module
from eidos.oci.artifact import Artifact, ArtifactLayer, open_artifact, push_artifact, read_attestations, read_layer
from eidos.oci.auth_file import Credential, auth_files, find_credential
from eidos.oci.blob import blob_of_bytes
from eidos.oci.reference import Reference
from eidos.oci.registry_client import RegistryClient, RegistryError, RegistrySettings
from eidos.oci.registry_store import RegistryStore
from tests.fakes.oci_registry import OciRegistry, ReceivedRequest, Reply
from tests.fakes.proxy import Proxy
from tests.oci.conftest import CLIENTS
from tests.support.waiting import AMPLE_S

USER, PASSWORD = "tester", "hunter2-hunter2"
ARTIFACT = Artifact("application/vnd.example.v1", (ArtifactLayer(blob_of_bytes(b"content"), "text/plain", "a"),))


def encoded(username: str = USER, password: str = PASSWORD) -> str:
    return b64encode(f"{username}:{password}".encode()).decode()


def auth_file(folder: Path, tree: object) -> dict[str, str]:
    """An environment with a file of logins."""
    (folder / "auth.json").write_text(json.dumps(tree))
    return {"REGISTRY_AUTH_FILE": str(folder / "auth.json")}


def store(registry: OciRegistry, environ: dict[str, str], report: Any = lambda message: None) -> RegistryStore:
    reference = Reference(registry.host, "team/a", "v1")
    client = RegistryClient(reference, RegistrySettings(plain_http=True, environ=environ), time.monotonic() + AMPLE_S, report)
    CLIENTS.append(client)
    return RegistryStore(client)


@pytest.mark.parametrize("tokens", [True, False])
def test_a_login_opens_a_registry(tmp_path: Path, tokens: bool) -> None:
    with OciRegistry(users={USER: PASSWORD}, tokens=tokens) as registry:
        environ = auth_file(tmp_path, {"auths": {registry.host: {"auth": encoded()}}})
        at = store(registry, environ)
        push_artifact(at, ARTIFACT, "v1")
        assert read_layer(at, open_artifact(at, "v1").manifest.layers[0], 100) == b"content"
        token_requests = [received.path for received in registry.requests if received.path.startswith("/token")]
        # One token to look, one to write; later requests have it.
        assert len(token_requests) == (2 if tokens else 0)
        assert all("service=fake+registry" in path and "scope=repository%3Ateam%2Fa%3Apull" in path for path in token_requests)


def test_an_identity_token_is_sent_as_one(tmp_path: Path) -> None:
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        push_artifact(store(registry, auth_file(tmp_path, {"auths": {registry.host: {"identitytoken": "identity"}}})), ARTIFACT, "v1")
        assert {received.method for received in registry.requests if received.path == "/token"} == {"POST"}


@pytest.mark.parametrize("login", [{"identitytoken": "identity"}, {"auth": encoded()}])
def test_a_challenge_without_a_scope_is_answered_for_the_repository(tmp_path: Path, login: dict[str, str]) -> None:
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{registry.host}/token",service="s"'}
        registry.before = lambda received: (
            None if received.path.startswith("/token") or "authorization" in received.headers else Reply(401, headers=challenge)
        )
        push_artifact(store(registry, auth_file(tmp_path, {"auths": {registry.host: login}})), ARTIFACT, "v1")
        assert {frozenset(scopes) for scopes in registry.issued.values()} == {
            frozenset(("repository:team/a:pull,push", "repository:team/a:pull"))
        }


@pytest.mark.parametrize(("login", "sent"), [({"identitytoken": "identity"}, ["a b"]), ({"auth": encoded()}, ["a", "b"])])
def test_several_scopes_are_a_list_for_an_identity_token(tmp_path: Path, login: dict[str, str], sent: list[str]) -> None:
    """As a registry asks for that mounts blobs of another repository."""
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{registry.host}/token",scope="a b"'}
        registry.before = lambda received: None if received.path.startswith("/token") else Reply(401, headers=challenge)
        with pytest.raises(EidosError):
            open_artifact(store(registry, auth_file(tmp_path, {"auths": {registry.host: login}})), "v1")
        assert {*sent} in registry.issued.values()


def test_a_token_that_expires_is_renewed(tmp_path: Path) -> None:
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        at = store(registry, auth_file(tmp_path, {"auths": {registry.host: {"auth": encoded()}}}))
        push_artifact(at, ARTIFACT, "v1")
        registry.issued.clear()
        push_artifact(at, ARTIFACT, "v2")
        assert registry.issued


def test_a_request_is_authenticated_once(tmp_path: Path) -> None:
    """A registry that refuses every token gets no more requests."""
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        at = store(registry, auth_file(tmp_path, {"auths": {registry.host: {"auth": encoded()}}}))
        registry.before = lambda received: registry.issued.clear()
        with pytest.raises(RegistryError, match="access denied: status 401") as fault:
            push_artifact(at, ARTIFACT, "v1")
        assert len(registry.requests) == 3
        assert "the rights of the login" in (fault.value.hint or "")


@pytest.mark.parametrize("tokens", [True, False])
def test_a_wrong_login_is_named_and_not_shown(tmp_path: Path, tokens: bool) -> None:
    with OciRegistry(users={USER: PASSWORD}, tokens=tokens) as registry:
        environ = auth_file(tmp_path, {"auths": {registry.host: {"auth": encoded(password="wrong-wrong")}}})
        with pytest.raises(EidosError) as fault:
            push_artifact(store(registry, environ), ARTIFACT, "v1")
        text = f"{fault.value.message} {fault.value.hint}"
        assert "login" in text
        assert "wrong-wrong" not in text
        assert encoded(password="wrong-wrong") not in text


def test_what_a_registry_repeats_of_a_login_is_not_shown(tmp_path: Path) -> None:
    """Its own words may be those of the request."""
    login = encoded(password="Winter2hunter")
    with OciRegistry(users={USER: "Winter2hunter"}) as registry:
        words = f"sent Basic {login}, which is Winter2hunter, to https://{USER}:Winter2hunter@example.com/?key=Winter2hunter"
        error = json.dumps({"errors": [{"code": "DENIED", "message": words}]}).encode()
        registry.before = lambda received: Reply(403, error) if received.writes and "authorization" in received.headers else None
        with pytest.raises(RegistryError, match="DENIED: sent <withheld>, which is <withheld>") as fault:
            push_artifact(store(registry, auth_file(tmp_path, {"auths": {registry.host: {"auth": login}}})), ARTIFACT, "v1")
        assert not any(secret in fault.value.message for secret in ("Winter2hunter", login))


def test_without_a_login_an_anonymous_token_is_requested() -> None:
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        with pytest.raises(EidosError, match="rejects access without a login"):
            push_artifact(store(registry, {}), ARTIFACT, "v1")
        assert not any("authorization" in received.headers for received in registry.requests)


def test_the_hint_of_a_refused_anonymous_token_is_to_log_in() -> None:
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        registry.before = lambda received: Reply(200, b'{"token": "anonymous"}') if received.path.startswith("/token") else None
        with pytest.raises(RegistryError, match="login required: status 401") as fault:
            push_artifact(store(registry, {}), ARTIFACT, "v1")
        assert "docker login" in (fault.value.hint or "")


def test_a_redirect_gets_no_login(tmp_path: Path) -> None:
    """Blobs of many registries lie elsewhere: there, a login would be in the wrong hands."""
    with OciRegistry(users={USER: PASSWORD}) as registry, OciRegistry() as elsewhere:
        at = store(registry, auth_file(tmp_path, {"auths": {registry.host: {"auth": encoded()}}}))
        push_artifact(at, ARTIFACT, "v1")
        elsewhere.blobs.update(registry.blobs)
        registry.redirect = f"http://{elsewhere.host}"
        layer = open_artifact(at, "v1").manifest.layers[0]
        assert read_layer(at, layer, 100) == b"content"
        assert elsewhere.requests
        assert not any("authorization" in received.headers for received in elsewhere.requests)
        assert all("authorization" in received.headers for received in registry.requests[-1:])


def _authority(folder: Path, name: str) -> ssl.SSLContext:
    """TLS of a server whose authority is in a file of this name."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(folder / name))
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_the_authority_of_a_registry_is_not_the_only_one_where_it_redirects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with an authority of its own may have a public store; the registry itself is trusted by that authority alone."""
    with OciRegistry(tls=_authority(tmp_path, "own.pem")) as registry, OciRegistry(tls=_authority(tmp_path, "public.pem")) as far:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))

        def tls_store(host: str) -> RegistryStore:
            settings = RegistrySettings(ca=(tmp_path / "own.pem").read_bytes())
            CLIENTS.append(RegistryClient(Reference(host, "team/a", "v1"), settings, time.monotonic() + AMPLE_S, lambda message: None))
            return RegistryStore(CLIENTS[-1])

        push_artifact(tls_store(registry.host), ARTIFACT, "v1")
        far.blobs.update(registry.blobs)
        registry.redirect = f"https://{far.host}"
        at = tls_store(registry.host)
        assert read_layer(at, open_artifact(at, "v1").manifest.layers[0], 100) == b"content"
        with pytest.raises(EidosError, match="certificate not trusted"):
            open_artifact(tls_store(far.host), "v1")


@pytest.mark.parametrize("location", ["http://192.0.2.1/page", "ftp://192.0.2.1/", "https://[", "https://192.0.2.1/page"])
def test_a_refusal_over_tls_has_its_status_wherever_it_leads(tmp_path: Path, location: str) -> None:
    """The referrers of a registry that has no API for them are then below their tag."""
    with OciRegistry(tls=_authority(tmp_path, "own.pem"), has_referrers=False) as registry:
        registry.before = lambda received: Reply(303, headers={"Location": location}) if "/referrers/" in received.path else None
        settings = RegistrySettings(ca=(tmp_path / "own.pem").read_bytes())
        client = RegistryClient(Reference(registry.host, "team/a", "v1"), settings, time.monotonic() + AMPLE_S, lambda message: None)
        CLIENTS.append(client)
        at = RegistryStore(client)
        digest = push_artifact(at, Artifact("application/vnd.example.v1", ARTIFACT.layers, {"a.sig": b"a"}), "v1").digest
        assert read_attestations(at, digest) == {"a.sig": b"a"}
        with pytest.raises(RegistryError, match="the registry failed: status 303") as fault:
            client.send("GET", client.url(f"referrers/{digest}"), (200,), follows_303=False)
        assert (fault.value.status, bool(fault.value.hint)) == (303, True)


def test_redirects_end(tmp_path: Path) -> None:
    with OciRegistry() as registry:
        at = store(registry, {})
        push_artifact(at, ARTIFACT, "v1")
        registry.redirect = f"http://{registry.host}"
        with pytest.raises(RegistryError, match="redirects in a row"):
            read_layer(at, ARTIFACT.manifest.layers[0], 100)


def test_a_token_server_in_clear_is_refused_for_a_registry_over_tls(tmp_path: Path) -> None:
    from eidos.oci.registry_auth import RegistryAuth

    environ = auth_file(tmp_path, {"auths": {"registry.example.com": {"auth": encoded()}}})
    sent: list[str] = []

    def send(method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        sent.append(url)
        return 200, b""

    reference = Reference("registry.example.com", "a", "v1")
    auth = RegistryAuth(reference, environ, time.monotonic() + AMPLE_S, send, allows_http=False)
    with pytest.raises(EidosError, match="is not encrypted") as fault:
        auth.renew('Bearer realm="http://auth.example.com/token"', None)
    assert "X-Forwarded-Proto" in (fault.value.hint or "")
    assert sent == []


@pytest.mark.parametrize(
    "reply", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a b"}', b'{"token": "a\\nb"}', b"\xff", b'{"token": "' + b"a" * 20_000]
)
def test_a_token_server_that_sends_no_token_is_named(reply: bytes) -> None:
    from eidos.oci.registry_auth import RegistryAuth

    reference = Reference("registry.example.com", "a", "v1")
    auth = RegistryAuth(reference, {}, time.monotonic() + AMPLE_S, lambda *request: (200, reply), allows_http=False)
    with pytest.raises(EidosError, match="sent no valid token"):
        auth.renew('Bearer realm="https://auth.example.com/token"', None)


def test_a_proxy_is_used_and_excepted() -> None:
    with OciRegistry() as registry, Proxy() as proxy:
        # A loopback address needs no proxy; a name does.
        reference = Reference(f"registry.test:{registry.port}", "team/a", "v1")
        settings = RegistrySettings(plain_http=True, environ={"HTTP_PROXY": f"127.0.0.1:{proxy.port}"})
        client = RegistryClient(reference, settings, time.monotonic() + AMPLE_S, lambda message: None)
        CLIENTS.append(client)
        with pytest.raises(EidosError):
            push_artifact(RegistryStore(client), ARTIFACT, "v1")
        assert proxy.requests[0].startswith(f"HEAD http://registry.test:{registry.port}/v2/team/a/blobs/")
        push_artifact(store(registry, {"HTTP_PROXY": f"127.0.0.1:{proxy.port}"}), ARTIFACT, "v1")
        assert not any(registry.host in line for line in proxy.requests)


# ---- files of logins ----


def find(environ: dict[str, str], host: str = "registry.example.com", repository: str = "a/b") -> Credential | None:
    return find_credential(host, repository, environ, time.monotonic() + AMPLE_S)


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["registry.example.com"], 0),
        (["registry.example.com/a/b", "registry.example.com"], 0),
        (["registry.example.com", "registry.example.com/a"], 1),
        (["https://registry.example.com"], 0),
        (["https://registry.example.com/v1/"], 0),
        (["other.example.com", "registry.example.com:5000", "registry.example.com/b", "example.com"], None),
    ],
)
def test_the_longest_prefix_of_a_repository_wins(tmp_path: Path, keys: list[str], chosen: int | None) -> None:
    credential = find(auth_file(tmp_path, {"auths": {key: {"auth": encoded(f"u{number}")} for number, key in enumerate(keys)}}))
    assert (credential and credential.username) == (None if chosen is None else f"u{chosen}")


def test_docker_hub_has_many_names(tmp_path: Path) -> None:
    environ = auth_file(tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": encoded()}}})
    for host in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        credential = find(environ, host)
        assert credential is not None
        assert (credential.username, credential.password) == (USER, PASSWORD)


def test_files_are_read_in_order(tmp_path: Path) -> None:
    environ = {
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "HOME": str(tmp_path),
    }
    assert find(environ) is None
    for folder, name, user in (
        (".docker", "config.json", "docker at home"),
        (".config/containers", "auth.json", "podman at home"),
        ("docker", "config.json", "docker"),
        ("config/containers", "auth.json", "podman"),
        ("run/containers", "auth.json", "run"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text(json.dumps({"auths": {"registry.example.com": {"auth": encoded(user)}}}))
        if "home" not in user:
            assert getattr(find(environ), "username", None) == user
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    assert getattr(find(environ), "username", None) == "podman at home"
    (tmp_path / ".config/containers/auth.json").unlink()
    assert getattr(find(environ), "username", None) == "docker at home"
    assert auth_files({})[0] == f"/run/containers/{os.getuid()}/auth.json"
    missing = str(tmp_path / "missing.json")
    with pytest.raises(Unavailable, match=f"REGISTRY_AUTH_FILE: {missing}: no such file"):
        find({**environ, "REGISTRY_AUTH_FILE": missing})


def test_a_login_is_read_behind_folders_that_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "file"), "XDG_CONFIG_HOME": "/dev/null", "DOCKER_CONFIG": str(tmp_path)}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {"auth": encoded()}}}))
    assert getattr(find(environ), "username", None) == USER
    assert find({**environ, "DOCKER_CONFIG": str(tmp_path / "file")}) is None
    with pytest.raises(Unavailable, match="not a directory"):
        find({"REGISTRY_AUTH_FILE": str(tmp_path / "file" / "auth.json")})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("closed", "outcome"),
    [
        ("run", USER),
        ("config", USER),
        ("docker", "docker/config.json: permission denied"),
        ("own", "own/auth.json: permission denied"),
        ("run/containers/auth.json", "run/containers/auth.json: permission denied"),
    ],
)
def test_a_login_is_read_behind_folders_of_root(closed: str, outcome: str) -> None:
    """As those of podman under sudo, or /run/containers without a session; docker's own file says why there is no login."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for below in ("run/containers", "config", "docker", "own"):
            (folder / below).mkdir(parents=True)
        login = json.dumps({"auths": {"registry.example.com": {"auth": encoded()}}})
        (folder / "docker" / "config.json").write_text(login)
        if closed.endswith(".json"):
            (folder / closed).write_text(login)
        (folder / closed).chmod(0o700)
        code = """
import os, sys, time
from eidos.errors import EidosError
from eidos.oci import auth_file
environ = dict(XDG_RUNTIME_DIR=f"{sys.argv[1]}/run", XDG_CONFIG_HOME=f"{sys.argv[1]}/config", DOCKER_CONFIG=f"{sys.argv[1]}/docker")
if sys.argv[2] == "own":
    environ["REGISTRY_AUTH_FILE"] = f"{sys.argv[1]}/own/auth.json"
for user in 0, 65534:  # root imports what there is
    os.setgroups([]); os.setgid(user); os.setuid(user)
    try:
        print(auth_file.find_credential("registry.example.com", "a", environ, time.monotonic() + 60).username)
    except EidosError as fault:
        print(fault.message)
"""
        done = subprocess.run([sys.executable, "-c", code, name, closed], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.strip().endswith(outcome)


@pytest.mark.parametrize(
    "content",
    [
        '{"auths": ["PASSWORD"]}',
        '{"auths": {"registry.example.com": {"auth": "PASSWORD"}}}',
        '{"auths": {"registry.example.com": {"auth": "UEFTU1dPUkQ="}}}',
        '{"auths": {"registry.example.com": {"auth": 1, "password": "PASSWORD"}}}',
        '{"credsStore": "../PASSWORD"}',
        '{"credHelpers": {"registry.example.com": 1}}',
        '["PASSWORD"]',
        'PASSWORD: "',
        "\x00PASSWORD",
    ],
)
def test_a_file_that_is_not_one_of_logins_is_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(content)
    with pytest.raises(InvalidData) as fault:
        find({"REGISTRY_AUTH_FILE": str(path)})
    assert str(path) in fault.value.message
    assert "PASSWORD" not in f"{fault.value.message} {fault.value.hint} {fault.value.excerpt}"
    assert fault.value.__cause__ is None


@pytest.mark.parametrize(
    "content", ["", "{}", '{"auths": {}}', '{"auths": null, "HttpHeaders": {}}', '{"auths": {"registry.example.com": {}}}']
)
def test_a_file_without_a_login_is_no_login(tmp_path: Path, content: str) -> None:
    (tmp_path / "auth.json").write_text(content)
    assert find({"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}) is None


# ---- credential helpers ----


def helper(folder: Path, script: str, tree: dict[str, Any] | None = None) -> dict[str, str]:
    program = folder / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {**auth_file(folder, tree or {"credsStore": "test"}), "PATH": f"{folder}:/usr/bin:/bin"}


def test_a_helper_gets_the_host(tmp_path: Path) -> None:
    script = f'[ "$1" = get ] || exit 9; read host; printf \'{{"ServerURL":"%s","Username":"%s","Secret":"{PASSWORD}"}}\' "$host" "$host"'
    credential = find(helper(tmp_path, script, {"credHelpers": {"registry.example.com": "test"}, "credsStore": "absent"}))
    assert credential is not None
    assert (credential.username, credential.password) == ("registry.example.com", PASSWORD)
    assert PASSWORD not in repr(credential)


@pytest.mark.parametrize("answer", ['echo \'{"Username": "a", "Secret": "b"}\'', "echo 'credentials not found in native keychain'; exit 1"])
def test_a_helper_runs_once_for_a_host(tmp_path: Path, answer: str) -> None:
    environ = helper(tmp_path, f"echo >>{tmp_path}/runs; {answer}")
    for host, repository in (("a.example.com", "x"), ("a.example.com", "y"), ("b.example.com", "x")):
        assert (find(environ, host, repository) is None) == ("exit" in answer)
    assert (tmp_path / "runs").read_text() == "\n\n"


def test_what_a_helper_prints_is_valid_for_some_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_file_module, "ANSWER_LIFETIME_S", -1.0)
    for number, answer in enumerate(('echo \'{"Username": "a", "Secret": "b"}\'', "echo credentials not found; exit 1")):
        environ = helper(tmp_path, f"echo >>{tmp_path}/runs{number}; {answer}")
        for _ in range(2):
            find(environ)
        assert (tmp_path / f"runs{number}").read_text() == "\n\n\n"[:-1]


@pytest.mark.parametrize("tokens", [True, False])
def test_a_password_that_expires_is_looked_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: bool) -> None:
    """A helper may print one that is valid for an hour, and a long upload takes more."""
    monkeypatch.setattr(auth_file_module, "ANSWER_LIFETIME_S", -1.0)
    (tmp_path / "password").write_text("first-password")
    environ = helper(tmp_path, f'printf \'{{"Username":"{USER}","Secret":"%s"}}\' "$(cat {tmp_path}/password)"')
    with OciRegistry(users={USER: "first-password"}, tokens=tokens) as registry:
        at = store(registry, environ)
        push_artifact(at, ARTIFACT, "v1")
        registry.users[USER] = "second-password"
        registry.issued.clear()
        (tmp_path / "password").write_text("second-password")
        push_artifact(at, ARTIFACT, "v2")
        assert open_artifact(at, "v2").manifest == ARTIFACT.manifest


def test_a_helper_may_have_an_identity_token(tmp_path: Path) -> None:
    credential = find(helper(tmp_path, 'echo \'{"Username":"<token>","Secret":"identity"}\''))
    assert credential is not None
    assert (credential.username, credential.identity_token) == ("", "identity")


def test_a_login_in_the_file_wins_over_the_store(tmp_path: Path) -> None:
    environ = helper(tmp_path, "exit 1", {"auths": {"registry.example.com": {"auth": encoded()}}, "credsStore": "test"})
    assert getattr(find(environ), "username", None) == USER


def test_a_helper_without_a_credential_is_no_login(tmp_path: Path) -> None:
    assert find(helper(tmp_path, "echo 'credentials not found in native keychain'; exit 1")) is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo TOP-SECRET >&2; echo TOP-SECRET; exit 3", "failed with status 3"),
        ("kill -9 $$", "failed with status 137"),
        ("echo TOP-SECRET", "printed no credential"),
        ('echo \'{"Username": 1, "Secret": "TOP-SECRET"}\'', "printed no credential"),
        ("yes TOP-SECRET", "printed too much"),
    ],
)
def test_what_a_helper_prints_is_not_shown(tmp_path: Path, script: str, message: str) -> None:
    with pytest.raises(EidosError) as fault:
        find(helper(tmp_path, script))
    assert f"docker-credential-test {message}" in fault.value.message
    assert "TOP-SECRET" not in f"{fault.value.message} {fault.value.hint}"


def test_a_helper_that_is_missing_or_waits_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="docker-credential-absent is not in PATH"):
        find({**helper(tmp_path, ""), **auth_file(tmp_path, {"credsStore": "absent"})})
    environ = helper(tmp_path, "sleep 60")
    with pytest.raises(Timeout, match="docker-credential-test timed out"):
        find_credential("registry.example.com", "a", environ, time.monotonic() + 0.2)


def test_nothing_secret_is_reported(tmp_path: Path) -> None:
    """Not when all fails, again and again."""
    reported: list[str] = []
    with OciRegistry(users={USER: PASSWORD}, tokens=True) as registry:
        faults = [503, 503]

        def fail(received: ReceivedRequest) -> int | None:
            return faults.pop() if faults and received.writes else None

        registry.before = fail
        at = store(registry, auth_file(tmp_path, {"auths": {registry.host: {"auth": encoded()}}}), reported.append)
        push_artifact(at, ARTIFACT, "v1")
        assert reported
        secrets = [PASSWORD, encoded(), *registry.issued]
        assert not any(secret in message for secret in secrets for message in reported)
