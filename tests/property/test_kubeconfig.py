"""Laws of kubeconfigs: of each name the first file wins, and whatever the bytes are, a cluster comes out or the documented failure."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eidos.errors import InvalidData, InvalidInput, NotFound, Unavailable
from eidos.formats import to_yaml
from eidos.http_wire.proxy import proxy_from_environment
from eidos.kube.cluster import Cluster
from eidos.kube.cluster_config import load_cluster
from eidos.kube.kubeconfig import MergedKubeconfig
from tests.support.effort import examples

NAMES = st.sampled_from(["a", "b", "c"])

#: A certificate by its frame alone; nothing here opens it.
PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def entries(kind: str, bodies: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.dictionaries(NAMES, bodies, max_size=3).map(lambda entries: [{"name": name, kind: body} for name, body in entries.items()])


@st.composite
def kubeconfigs(draw: st.DrawFn) -> dict[str, Any]:
    """A file with some of the entries; each says a number of its own, so that it is seen whose it is."""
    number = st.integers(0, 999)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": draw(st.sampled_from(["", "a", "b", "c"])),
        "clusters": draw(entries("cluster", number.map(lambda n: {"server": f"https://192.0.2.1:{n + 1}"}))),
        "users": draw(entries("user", number.map(lambda n: {"token": f"t{n}"}))),
        "contexts": draw(entries("context", st.fixed_dictionaries({"cluster": NAMES, "user": NAMES, "namespace": NAMES}))),
    }


def first(files: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any] | None:
    bodies: list[dict[str, Any]] = [item[kind[:-1]] for file in files for item in file[kind] if item["name"] == name]
    return bodies[0] if bodies else None


@given(st.lists(kubeconfigs(), min_size=1, max_size=4), NAMES, st.booleans())
def test_of_each_name_the_first_file_wins(files: list[dict[str, Any]], name: str, as_json: bool) -> None:
    write = json.dumps if as_json else to_yaml
    merged = MergedKubeconfig((f"/f{number}", write(file).encode()) for number, file in enumerate(files))
    assert merged.current_context == next((file["current-context"] for file in files if file["current-context"]), "")
    context = first(files, "contexts", name)
    server = first(files, "clusters", context["cluster"]) if context else None
    user = first(files, "users", context["user"]) if context else None
    if not (context and server and user):
        with pytest.raises(NotFound):
            merged.resolve_context(name, True, {})
    else:
        cluster = merged.resolve_context(name, True, {})
        assert (cluster.server, cluster.user.token, cluster.namespace) == (server["server"], user["token"], context["namespace"])


def look(data: bytes, context: str | None = None) -> Cluster | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config")
        path.write_bytes(data)
        try:
            return load_cluster({"PATH": "/nonexistent"}, kubeconfig=str(path), context=context)
        except (InvalidData, InvalidInput, NotFound, Unavailable):  # and no other: a file that was named is never just skipped
            return None


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"")
@example(b"[]")
@example(b"clusters: {}")
@example(b"\xff\xfe")
def test_any_bytes(data: bytes) -> None:
    look(data)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(base64.b64encode(PEM).decode())
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2), max_leaves=4
)

OF_CLUSTER = (
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
    "extensions",
    "disable-compression",
)
OF_USER = (
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "token",
    "tokenFile",
    "username",
    "password",
    "exec",
    "auth-provider",
    "as",
    "as-groups",
)
OF_PLUGIN = ("apiVersion", "command", "args", "env", "installHint", "provideClusterInfo", "interactiveMode")
LIKELY = {
    "server": st.sampled_from(
        ["https://192.0.2.1:6443/x", "192.0.2.1:6443", "http://[2001:db8::1]", "https://a:b@example.com", "https://[::", ":"]
    ),
    "proxy-url": st.sampled_from(["http://proxy.example.com:3128", "socks5://192.0.2.9", "ftp://x", "https://u:p@proxy.example.com"]),
    "apiVersion": st.sampled_from(["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1", "v1"]),
    "interactiveMode": st.sampled_from(["Never", "IfAvailable", "Always", "sometimes"]),
    "command": st.sampled_from(["get-token", "./get-token"]),
    "args": st.just(["-x"]),
    "insecure-skip-tls-verify": st.booleans(),
    "provideClusterInfo": st.booleans(),
    "env": st.just([{"name": "A", "value": "b"}]),
    "extensions": st.just([{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}]),
}


def bodies(keys: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key: LIKELY.get(key, ANYTHING) | ANYTHING for key in keys})


@settings(max_examples=examples(150))
@given(bodies(OF_CLUSTER), bodies(OF_USER), st.none() | bodies(OF_PLUGIN), st.none() | st.just("c"))
def test_any_fields(cluster: dict[str, Any], user: dict[str, Any], plugin: dict[str, Any] | None, context: str | None) -> None:
    if plugin is not None:
        user = {"exec": plugin}
    tree = {
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": "https://example.com", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }
    resolved = look(json.dumps(tree).encode(), context)
    if resolved is not None:
        assert resolved.server.startswith(("http://", "https://")) and "?" not in resolved.server
        assert resolved.proxy is None or resolved.proxy.startswith(("http://", "https://"))
        if resolved.server.startswith("http://"):
            assert resolved.user == type(resolved.user)(resolved.user.name, resolved.user.source), "nothing secret goes in the clear"
        shown = repr(resolved) + repr(resolved.user)
        assert not any(secret in shown for secret in (resolved.user.token, resolved.user.password) if len(secret) > 3)


@given(st.text(max_size=40), st.sampled_from(["localhost", "127.0.0.9", "::1", "192.0.2.7", "a.example.com"]))
@example("[::1]:x,/8,1/2/3,.,*.,:80,[]", "::1")
def test_whatever_no_proxy_holds(exceptions: str, host: str) -> None:
    proxy = proxy_from_environment("https", host, 443, {"HTTPS_PROXY": "http://p", "NO_PROXY": exceptions})
    assert proxy in (None, "http://p")
    if host in ("localhost", "127.0.0.9", "::1"):
        assert proxy is None
