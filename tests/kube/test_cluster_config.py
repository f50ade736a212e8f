"""Which cluster a kubeconfig, an environment and a pod come to, beside what kubectl says of the same files."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from eidos.errors import EidosError, InvalidData, InvalidInput, NotApplicable, NotFound, Timeout, Unavailable
from eidos.formats import to_yaml
from eidos.kube.cluster import Cluster
from eidos.kube.cluster_config import SERVICE_ACCOUNT, load_cluster
from tests.conftest import ROOT
from tests.property.test_kubeconfig import PEM
from tests.support.waiting import AMPLE_S

NOWHERE = {"HOME": "/nonexistent", "PATH": os.environ["PATH"]}


def tree(**changes: Any) -> dict[str, Any]:
    """A kubeconfig with one context; ``cluster``, ``user`` and ``context`` are laid over its entries, anything else over the whole."""
    cluster, user, context = (changes.pop(key, {}) for key in ("cluster", "user", "context"))
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "prod", "context": {"cluster": "k", "user": "u", **context}}],
        **changes,
    }


def written(folder: Path, name: str = "config", **changes: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml(tree(**changes)))
    return path


def load(folder: Path, **changes: Any) -> Cluster:
    return load_cluster(NOWHERE, kubeconfig=str(written(folder, **changes)))


def refused(folder: Path, failure: type[EidosError], /, *words: str, **changes: Any) -> None:
    """What is said names the file, and all of ``words``."""
    with pytest.raises(failure) as fault:
        load(folder, **changes)
    message = f"{fault.value.message} {fault.value.hint}"
    assert all(word in message for word in (str(folder / "config"), *words)), message


# -- where it is looked for --


def test_nothing_is_configured(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="no cluster is configured: /nonexistent/") as fault:
        load_cluster(NOWHERE, root=str(tmp_path))
    assert "--kubeconfig" in (fault.value.hint or "")
    with pytest.raises(NotApplicable, match="KUBECONFIG: /x/a, /x/b: no such file"):
        load_cluster({**NOWHERE, "KUBECONFIG": "/x/a:/x/b:/x/a:"}, root=str(tmp_path))
    with pytest.raises(NotApplicable, match="KUBECONFIG: a URL is not a file"):
        load_cluster({**NOWHERE, "KUBECONFIG": "https://bob:hunter22@example.com/x?y=hunter22"}, root=str(tmp_path))
    with pytest.raises(NotApplicable):
        load_cluster({}, root=str(tmp_path))


def test_home_and_the_flag_and_the_variable(tmp_path: Path) -> None:
    written(tmp_path / ".kube", cluster={"server": "https://home.example.com"})
    variable = written(tmp_path, "variable", cluster={"server": "https://variable.example.com"})
    flag = written(tmp_path, "flag", cluster={"server": "https://flag.example.com"})
    environ = {"HOME": str(tmp_path)}
    assert load_cluster(environ).server == "https://home.example.com"
    environ["KUBECONFIG"] = f"/missing:{variable}"
    assert load_cluster(environ).server == "https://variable.example.com"
    assert load_cluster(environ, kubeconfig=str(flag)).server == "https://flag.example.com"
    with pytest.raises(NotFound, match="no such file"):
        load_cluster(environ, kubeconfig="/missing")
    with pytest.raises(Unavailable, match="is a directory"):
        load_cluster(environ, kubeconfig=str(tmp_path))


def test_paths_begin_at_their_own_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    users = [{"name": "u", "user": {"tokenFile": "token", "exec": {}}}]
    first = written(one, users=[], clusters=[])
    second = written(two, users=users, cluster={"certificate-authority": "ca.pem"})
    (two / "ca.pem").write_bytes(PEM)
    cluster = load_cluster({"KUBECONFIG": f"{first}:{os.path.relpath(second)}"})
    assert cluster.ca == PEM
    assert cluster.user.token_file == str(two / "token")
    assert cluster.source == f"context 'prod' of {first}"


def test_a_kubeconfig_in_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = written(tmp_path).read_text()
    writer = threading.Thread(target=lambda: pipe.write_text(text))
    writer.start()
    assert load_cluster(NOWHERE, kubeconfig=str(pipe)).server == "https://127.0.0.1:1"
    writer.join(5)


def test_json(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(json.dumps(tree(user={"token": "t"})))
    assert load_cluster(NOWHERE, kubeconfig=str(tmp_path / "config")).user.token == "t"


# -- in a pod --


def pod(root: Path, **files: str) -> dict[str, str]:
    folder = root / SERVICE_ACCOUNT
    folder.mkdir(parents=True)
    for name, text in {"token": "abc", "ca.crt": PEM.decode(), "namespace": "team\n", **files}.items():
        (folder / name.replace("_", ".")).write_text(text)
    return {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", **NOWHERE}


def test_the_service_account_of_a_pod(tmp_path: Path) -> None:
    environ = pod(tmp_path)
    cluster = load_cluster(environ, root=str(tmp_path))
    assert (cluster.server, cluster.ca, cluster.namespace, cluster.context) == ("https://10.96.0.1:443", PEM, "team", "in-cluster")
    assert cluster.user.token_file == str(tmp_path / SERVICE_ACCOUNT / "token") and not cluster.user.token
    assert load_cluster({**environ, "POD_NAMESPACE": "other"}, root=str(tmp_path)).namespace == "other"
    assert load_cluster(environ, root=str(tmp_path), namespace="flag").namespace == "flag"
    assert load_cluster({**environ, "KUBERNETES_SERVICE_HOST": "fd00::1"}, root=str(tmp_path)).server == "https://[fd00::1]:443"
    (tmp_path / SERVICE_ACCOUNT / "token").unlink()
    with pytest.raises(NotApplicable):
        load_cluster(environ, root=str(tmp_path))


def test_a_kubeconfig_wins_over_the_pod_and_takes_its_namespace(tmp_path: Path) -> None:
    environ = pod(tmp_path)
    path = str(written(tmp_path))
    assert load_cluster({**environ, "KUBECONFIG": path}, root=str(tmp_path)).server == "https://127.0.0.1:1"
    assert load_cluster({**environ, "KUBECONFIG": path}, root=str(tmp_path)).namespace == "team"
    path = str(written(tmp_path, context={"namespace": "ctx"}))
    assert load_cluster({**environ, "KUBECONFIG": path}, root=str(tmp_path)).namespace == "ctx"
    assert load_cluster(NOWHERE, kubeconfig=str(written(tmp_path)), root=str(tmp_path)).namespace == "default"
    # What sets no current-context is as good as nothing.
    path = str(written(tmp_path, **{"current-context": ""}))
    assert load_cluster(environ, kubeconfig=path, root=str(tmp_path)).context == "in-cluster"
    with pytest.raises(NotFound, match="sets no current-context"):
        load_cluster(NOWHERE, kubeconfig=path, root=str(tmp_path))


# -- what a context comes to --


def test_what_is_missing_is_named_with_what_there_is(tmp_path: Path) -> None:
    refused(tmp_path, NotFound, "current-context: no such context 'pord'", "did you mean 'prod'", **{"current-context": "pord"})
    refused(tmp_path, NotFound, "context 'prod'", "no such cluster 'zzz'", "use one of k", context={"cluster": "zzz"})
    refused(tmp_path, NotFound, "context 'prod'", "no such user 'zzz'", context={"user": "zzz"})
    with pytest.raises(NotFound, match="--kube-context: no such context 'x'"):
        load_cluster(NOWHERE, kubeconfig=str(tmp_path / "config"), context="x")
    with pytest.raises(NotFound, match="--kube-context: no such context 'x'"):
        load_cluster(NOWHERE, context="x", root=str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": {"server": "ftp://x"}}, ("cluster 'k'", "must be http or https")),
        ({"cluster": {"server": "https://a:b@x"}}, ("cluster 'k'", "contains a username or password")),
        ({"cluster": {"server": ""}}, ("cluster 'k'", "server is not set")),
        ({"cluster": {"certificate-authority-data": "%%"}}, ("cluster 'k'", "certificate-authority-data: not base64")),
        ({"cluster": {"certificate-authority-data": "AAAA"}}, ("cluster 'k'", "no PEM certificate")),
        (
            {"cluster": {"insecure-skip-tls-verify": True, "certificate-authority-data": base64.b64encode(PEM).decode()}},
            ("exclude each other",),
        ),
        ({"cluster": {"insecure-skip-tls-verify": "yes"}}, ("cluster 'k'", "insecure-skip-tls-verify: expected true or false, found text")),
        ({"user": {"token": 123}}, ("user 'u'", "token: expected text, found a number", "quotes")),
        ({"user": {"token": "a", "username": "b"}}, ("user 'u'", "exclude each other")),
        ({"user": {"client-certificate-data": base64.b64encode(PEM).decode()}}, ("needs a client-key",)),
        ({"clusters": {"a": 1}}, ("clusters: expected a list, found a mapping",)),
        ({"users": [{"name": "u", "user": {}}, {"name": "u", "user": {}}]}, ("users has the name 'u' twice",)),
        ({"kind": "Pod"}, ('expected a Config v1, found kind "Pod", apiVersion "v1"',)),
        ({"kind": "Zq7kD02mWx91LpTe", "apiVersion": "Zq7kD02mWx91LpTe"}, ('found kind "<withheld>", apiVersion "<withheld>"',)),
    ],
)
def test_what_does_not_have_its_form(tmp_path: Path, changes: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(tmp_path, InvalidData, *words, **changes)


V1 = "client.authentication.k8s.io/v1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": {"proxy-url": "socks5://192.0.2.1:1080"}}, ("proxy-url", "socks5 is not supported")),
        ({"user": {"auth-provider": {"name": "gcp"}}}, ("user 'u'", "auth-provider is not supported", "exec")),
        ({"user": {"as": "somebody"}}, ("user 'u'", "impersonation")),
        ({"user": {"exec": {"apiVersion": V1, "command": "x", "interactiveMode": "Always"}}}, ("needs a terminal", "token")),
    ],
)
def test_what_is_not_supported(tmp_path: Path, changes: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(tmp_path, InvalidInput, *words, **changes)


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}, ("v1alpha1", "neither")),
        ({"apiVersion": V1, "command": "x"}, ("invalid interactiveMode ''",)),
        ({"apiVersion": V1, "interactiveMode": "Never"}, ("command is not set",)),
        ({"apiVersion": V1, "interactiveMode": "Never", "command": "x", "args": [1]}, ("exec.args[0]: expected text, found a number",)),
    ],
)
def test_an_invalid_plugin(tmp_path: Path, plugin: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(tmp_path, InvalidData, "user 'u'", *words, user={"exec": plugin})


def test_a_broken_file_says_where(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("clusters: [\n")
    with pytest.raises(InvalidData, match=r"config, line \d"):
        load_cluster(NOWHERE, kubeconfig=str(tmp_path / "config"))


@pytest.mark.parametrize("name", ["token", "password", "tokenFile", "client-key", "client-key-data", "exec", "username"])
@pytest.mark.parametrize("value", [["hunter2"], {"hunter": "hunter2"}, 1234567])
def test_a_value_of_another_type_does_not_show(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(InvalidData) as raised:
        load(tmp_path, user={name: value})
    assert "hunter2" not in f"{raised.value.message} {raised.value.hint}"
    assert "1234567" not in f"{raised.value.message} {raised.value.hint}"
    assert "user 'u'" in raised.value.message


def test_a_switch_does_not_show_what_is_there_instead(tmp_path: Path) -> None:
    with pytest.raises(InvalidData) as raised:
        load(tmp_path, cluster={"insecure-skip-tls-verify": "hunter2"})
    assert "hunter2" not in str(raised.value)


def test_what_is_secret_does_not_show(tmp_path: Path) -> None:
    cluster = load(tmp_path, user={"token": "hunter2"}, cluster={"proxy-url": "http://me:hunter2@proxy.example.com:3128"})
    assert cluster.proxy == "http://me:hunter2@proxy.example.com:3128"
    assert "hunter2" not in repr(cluster) + repr(cluster.user)


@pytest.mark.parametrize("value", ["hunter2: x", "!hunter2", "!hunter2!x y", "*hunter2", '"hunter2', "%hunter2", "\thunter2\n\tx: y"])
def test_a_secret_does_not_show_where_a_file_is_broken(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config"
    path.write_text(f"users:\n- name: me\n  user:\n    token: {value}\n")
    with pytest.raises(InvalidData, match=f"{path}, line [45], column") as fault:
        load_cluster({"HOME": str(tmp_path)}, kubeconfig=str(path))
    assert "hunter2" not in "".join(traceback.format_exception(fault.type, fault.value, fault.tb))


def test_credentials_do_not_go_in_the_clear(tmp_path: Path) -> None:
    user = load(tmp_path, user={"token": "hunter2"}, cluster={"server": "http://192.0.2.1"}).user
    assert (user.name, user.token) == ("u", "")


# -- proxies --


#: Server, environment (``http://p:1`` is the proxy), whether it is used.
PROXIES: list[tuple[str, dict[str, str], bool]] = [
    ("https://192.0.2.1", {"HTTPS_PROXY": "http://p:1"}, True),
    ("https://192.0.2.1", {"https_proxy": "p:1"}, True),
    ("https://192.0.2.1", {"HTTP_PROXY": "http://p:1"}, False),
    ("http://192.0.2.1", {"HTTP_PROXY": "http://p:1"}, True),
    ("http://192.0.2.1", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, False),
    ("https://192.0.2.1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "192.0.2.0/24"}, False),
    ("https://192.0.2.1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "192.0.2.0/255.255.255.0"}, True),
    ("https://192.0.2.1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "192.0.2.1:443"}, False),
    ("https://192.0.2.1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "192.0.2.1:6443"}, True),
    ("https://[2001:db8::1]", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "2001:db8::/32"}, False),
    ("https://[2001:db8::1]", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[2001:db8::1]:443"}, False),
    ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "EXAMPLE.com"}, False),
    ("https://example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com"}, True),
    ("https://example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*.example.com"}, True),
    ("https://badexample.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, True),
    ("https://example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, *"}, False),
    ("https://localhost:6443", {"HTTPS_PROXY": "http://p:1"}, False),
    ("https://127.1.2.3", {"HTTPS_PROXY": "http://p:1"}, False),
]


@pytest.mark.parametrize(("server", "names", "is_used"), PROXIES)
def test_the_proxy_of_the_environment(tmp_path: Path, server: str, names: dict[str, str], is_used: bool) -> None:
    path = written(tmp_path, cluster={"server": server})
    assert load_cluster({**NOWHERE, **names}, kubeconfig=str(path)).proxy == ("http://p:1" if is_used else None)


def test_proxy_url_wins_and_ignores_no_proxy(tmp_path: Path) -> None:
    path = written(tmp_path, cluster={"server": "https://localhost", "proxy-url": "https://p.example.com"})
    environ = {**NOWHERE, "HTTPS_PROXY": "http://other:1", "NO_PROXY": "*"}
    assert load_cluster(environ, kubeconfig=str(path)).proxy == "https://p.example.com"


# -- beside kubectl --


def kubectl(program: str, path: Path, *words: str, **names: str) -> str:
    """What kubectl says, output and errors together."""
    command = [program, *(["--kubeconfig", str(path)] if path.name else []), *words]
    environ = {**NOWHERE, **names}
    done = subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )
    return done.stdout


#: Changes to a kubeconfig → what kubectl says of it, and the kind of our failure. The two refuse the same files.
BOTH_REFUSE: dict[str, tuple[dict[str, Any], str, type[EidosError]]] = {
    "missing-context": ({"current-context": "x"}, "context was not found", NotFound),
    "twice": ({"users": [{"name": "u", "user": {}}, {"name": "u", "user": {}}]}, "duplicate name", InvalidData),
    "kind": ({"kind": "Pod"}, "no kind", InvalidData),
    "number": ({"user": {"token": 1}}, "cannot unmarshal number", InvalidData),
    "base64": ({"cluster": {"certificate-authority-data": "LS0t*"}}, "illegal base64", InvalidData),
    "no-pem": ({"user": {"token": "t"}, "cluster": {"certificate-authority-data": "AAAA"}}, "unable to parse bytes as PEM", InvalidData),
    "missing-ca": ({"cluster": {"certificate-authority": "nope.pem"}}, "unable to read certificate-authority", Unavailable),
    "insecure-ca": (
        {
            "user": {"token": "t"},
            "cluster": {"insecure-skip-tls-verify": True, "certificate-authority-data": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"},
        },
        "insecure flag is not allowed",
        InvalidData,
    ),
    "two-methods": ({"user": {"token": "a", "username": "b", "password": "c"}}, "only one is allowed", InvalidData),
    "no-key": ({"user": {"client-certificate-data": base64.b64encode(PEM).decode()}}, "must be specified", InvalidData),
    "proxy": ({"cluster": {"proxy-url": "ftp://x"}}, "must be http, https, or socks5", InvalidData),
    "alpha": (
        {"user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}}},
        "invalid apiVersion",
        InvalidData,
    ),
    "no-mode": ({"user": {"exec": {"apiVersion": V1, "command": "x"}}}, "interactiveMode must be specified", InvalidData),
    "terminal": (
        {"user": {"exec": {"apiVersion": V1, "command": "true", "interactiveMode": "Always"}}},
        "standard input is not a terminal",
        InvalidInput,
    ),
    "auth-provider": ({"user": {"auth-provider": {"name": "gcp"}}}, "has been removed", InvalidInput),
}


#: A kubeconfig as a person writes it → whether kubectl and eidos read it.
WRITTEN = """\
apiVersion: v1
kind: Config
clusters:
- cluster:
    server: https://192.0.2.1:6443
  name: k
contexts:
- context: {cluster: k, user: u}
  name: prod
current-context: prod
users:
- name: u
  user:
    token: abc
"""
FORMS = {
    "as it is": (WRITTEN, True),
    "a marker at the end": (WRITTEN + "---\n", True),
    "a marker at the end without a line end": (WRITTEN + "---", True),
    "two markers at the end": (WRITTEN + "---\n---\n", True),
    "a marker and a comment": (WRITTEN + "--- \n# the end\n", True),
    "an end of the document": (WRITTEN + "...\n", True),
    "a marker at the start": ("# mine\n---\n" + WRITTEN, True),
    "a tab at the end of a value": (WRITTEN.replace("6443\n", "6443\t\n"), True),
    "a tab at the end of a key": (WRITTEN.replace("cluster:\n", "cluster:\t\n"), True),
    "a tab before a value": (WRITTEN.replace("server: ", "server:\t"), True),
    "a tab before a comment": (WRITTEN.replace("current-context: prod", "current-context: prod\t# mine"), True),
    "a tab after quotes": (WRITTEN.replace("abc", '"abc"\t'), True),
    "tabs in braces": (WRITTEN.replace("{cluster: k, user: u}", "{\tcluster:\tk,\tuser: u\t}"), True),
    "carriage returns": (WRITTEN.replace("\n", "\r\n"), True),
    "a byte order mark": ("\ufeff" + WRITTEN, True),
    "a tab as indentation": (WRITTEN.replace("    server", "\tserver"), False),
    "a tab after blanks": (WRITTEN.replace("    server", "    \tserver"), False),
    "a tab after a dash": (WRITTEN.replace("- name: u", "-\tname: u"), False),
}


@pytest.mark.parametrize("name", FORMS)
def test_tabs_and_markers(tmp_path: Path, name: str) -> None:
    text, is_read = FORMS[name]
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    if not is_read:
        with pytest.raises(InvalidData, match="line"):
            load_cluster(NOWHERE, kubeconfig=str(path))
        return
    cluster = load_cluster(NOWHERE, kubeconfig=str(path))
    assert (cluster.server, cluster.context, cluster.user.token) == ("https://192.0.2.1:6443", "prod", "abc")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.slow
def test_kubectl_reads_the_same_forms(tools: dict[str, str], tmp_path: Path, name: str) -> None:
    text, is_read = FORMS[name]
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    shown = kubectl(tools["kubectl"], path, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server} {.users[0].name}")
    assert (shown == "https://192.0.2.1:6443 u") == is_read, shown


@pytest.mark.shared
def test_the_files_of_the_cases_are_read(shared: Path, tmp_path: Path) -> None:
    for name in ("tabs-trailing", "trailing-doc", "plugin-nokind", "kubeconfig-tab"):
        text = (shared.parent / f"cases/kubeconfig/{name}.yaml").read_text()
        text = text.replace("<base64 of your CA>", base64.b64encode(PEM).decode()).replace("{cluster: c}", "{cluster: c, user: a}")
        path = tmp_path / name
        path.write_text(text)
        if name == "kubeconfig-tab":
            path.write_text(path.read_text() + "users:\n- name: a\n  user: {token: abc}\n")
        assert load_cluster(NOWHERE, kubeconfig=str(path)).context == "a"


@pytest.mark.parametrize("name", BOTH_REFUSE)
def test_kubectl_refuses_it_too(tools: dict[str, str], tmp_path: Path, name: str) -> None:
    changes, words, kind = BOTH_REFUSE[name]
    path = written(tmp_path, **changes)
    message = kubectl(tools["kubectl"], path, "get", "--raw", "/version")
    assert words in message
    with pytest.raises(kind):
        load_cluster(NOWHERE, kubeconfig=str(path))


def test_kubectl_merges_alike(tools: dict[str, str], tmp_path: Path) -> None:
    """``kubectl config view`` shows for each name what we take, and the current context."""
    one = written(tmp_path / "one", clusters=[], **{"current-context": ""}, context={"namespace": "one"}, user={"token": "first"})
    two = written(tmp_path / "two", context={"namespace": "two"}, user={"token": "second"}, cluster={"server": "https://192.0.2.1/x/"})
    names = {"KUBECONFIG": f"/missing:{one}:{two}"}
    view = json.loads(kubectl(tools["kubectl"], Path("."), "config", "view", "--raw", "--minify", "-o", "json", **names))
    cluster = load_cluster({**NOWHERE, **names})
    assert view["current-context"] == cluster.context
    assert view["contexts"][0]["context"]["namespace"] == cluster.namespace == "one"
    assert view["users"][0]["user"]["token"] == cluster.user.token == "first"
    assert view["clusters"][0]["cluster"]["server"].rstrip("/") == cluster.server


@pytest.mark.parametrize(("server", "names", "is_used"), PROXIES)
def test_kubectl_goes_the_same_way(
    tools: dict[str, str],
    tmp_path: Path,
    server: str,
    names: dict[str, str],
    is_used: bool,
) -> None:
    """A proxy that answers nothing but hears who comes; where kubectl goes without it there is nobody."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        at = f"127.0.0.1:{proxy.getsockname()[1]}"
        names = {name: value.replace("p:1", at) for name, value in names.items()}
        kubectl(
            tools["kubectl"],
            written(tmp_path, cluster={"server": server}, user={"token": "t"}),
            "get",
            "--raw",
            "/version",
            "--request-timeout=1s",
            **names,
        )
        proxy.setblocking(False)
        try:
            proxy.accept()[0].close()
            came = True
        except BlockingIOError:
            came = False
    assert came == is_used


def test_a_look_that_finds_nothing_imports_nothing_else() -> None:
    script = "from eidos.kube.cluster_config import load_cluster\ntry: load_cluster({})\nexcept Exception: pass\nprint(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = re.findall(r"'(eidos[.\w]*)'", done.stdout)
    assert set(loaded) == {"eidos", "eidos.errors", "eidos.kube", "eidos.kube.cluster_config", "eidos.kube.config_files"}
    assert not {"'ssl'", "'json'", "'yaml'", "'http'", "'subprocess'"} & set(re.findall(r"'\w+'", done.stdout))


def test_a_pipe_without_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    with pytest.raises(Timeout, match="no program writes to this pipe"):
        load_cluster(NOWHERE, kubeconfig=str(tmp_path / "pipe"))
    assert time.monotonic() - began < AMPLE_S
