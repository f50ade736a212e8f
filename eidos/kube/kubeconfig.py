"""Kubeconfig files: their entries, merged, and what one context comes to.

Knows the form of the files (Kubernetes documentation, "kubeconfig (v1)") and which of their fields go together; must not know where they
are looked for. The table in :mod:`eidos.kube.cluster_config` says what we do as kubectl does.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData, InvalidInput, NotFound, Unavailable
from eidos.kube.cluster_config import Cluster, Exec, User, address, read_file
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

#: The extension of a cluster that its plugins are told of.
EXTENSION = "client.authentication.k8s.io/exec"

GROUP = "client.authentication.k8s.io/"

_PEM = b"-----BEGIN "

#: What the reader of documents repeats of a value that it cannot take.
_REPEATED = r"(the tag|the alias|tag handle|the number) \S+"


class Entry:
    """One named part of one file; every look at a field says, when it fails, where the field stands."""

    def __init__(self, where: str, body: Mapping[str, Any], folder: str) -> None:
        self.where = where
        self.body = body
        self.folder = folder

    def refuse(self, why: str, hint: str | None = None) -> InvalidData:
        """A failure that says where."""
        return InvalidData(f"{self.where}: {why}", hint)

    def text(self, key: str) -> str:
        """A field's text, "" when it is not said."""
        value = self.body.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        raise self.refuse(f"{key} is no text", "put it in quotes" if isinstance(value, (int, float)) else None)

    def flag(self, key: str) -> bool:
        """A field that is true or false."""
        value = self.body.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.refuse(f"{key} is neither true nor false")

    def path(self, key: str) -> str:
        """A field that names a file, from the folder of the kubeconfig."""
        value = self.text(key)
        return os.path.join(self.folder, value) if value else ""

    def data(self, key: str) -> bytes | None:
        """A field in base64."""
        import base64
        import binascii

        try:
            text = self.text(key).replace("\n", "").replace("\r", "")
            return base64.b64decode(text.encode(), validate=True) or None
        except (binascii.Error, UnicodeEncodeError) as fault:
            raise self.refuse(f"{key} is not base64", "kubectl config set writes it as it must be") from fault

    def inner(self, key: str) -> Entry | None:
        """A field that has fields."""
        value = self.body.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refuse(f"{key} is no mapping")
        return Entry(f"{self.where}, {key}", value, self.folder)

    def entries(self, key: str) -> list[Entry]:
        """A field that is a list of mappings."""
        value = self.body.get(key)
        if value is not None and not isinstance(value, list):
            raise self.refuse(f"{key} is no list")
        found = []
        for number, item in enumerate(value or ()):
            if not isinstance(item, dict):
                raise self.refuse(f"{key}[{number}] is no mapping")
            found.append(Entry(f"{self.where}, {key}[{number}]", item, self.folder))
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """A field that is a list of texts."""
        value = self.body.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise self.refuse(f"{key} is no list of texts", "put each of them in quotes")
        return tuple(value or ())


class Merged:
    """All files in the order in which they win."""

    def __init__(self, files: Iterable[tuple[str, bytes]]) -> None:
        """``files`` are paths and contents; InvalidData for what is no kubeconfig."""
        self.current = self._said = ""
        self._found: dict[str, dict[str, Entry]] = {"clusters": {}, "users": {}, "contexts": {}}
        for path, data in files:
            file = _parse(path, data)
            if not self.current:
                self.current, self._said = file.text("current-context"), path
            for kind, found in self._found.items():
                for name, entry in _named(file, kind, path).items():
                    found.setdefault(name, entry)

    def cluster(self, name: str, by_flag: bool, environ: Mapping[str, str]) -> Cluster:
        """What a context comes to; its ``namespace`` is "" when the context says none. Raises as ``cluster_config.load`` does."""
        asked = "--kube-context" if by_flag else f"{self._said}: current-context"
        context = self._get("contexts", name, asked)
        server = self._get("clusters", context.text("cluster"), context.where)
        user_name = context.text("user")
        user = self._get("users", user_name, context.where) if user_name else None
        url, proxy = address(_server(server), server.text("proxy-url"), server.where, environ)
        ca, insecure = _authority(server), server.flag("insecure-skip-tls-verify")
        if ca and insecure:
            raise server.refuse("insecure-skip-tls-verify and a certificate-authority do not go together", "leave out one of them")
        asks = User(user_name, user.where if user else context.where)
        if user and url.startswith("https:"):  # nothing secret goes where everybody can read along
            asks = _user(user_name, user, _told(server, url, ca))
        tls_name = server.text("tls-server-name") or None
        return Cluster(url, ca, insecure, tls_name, proxy, asks, context.text("namespace"), name, context.where)

    def _get(self, kind: str, name: str, asked: str) -> Entry:
        found = self._found[kind]
        if name in found:
            return found[name]
        what = kind[:-1]
        message = f"{asked}: there is no {what} {name!r}" if name else f"{asked}: it names no {what}"
        raise NotFound(
            message, did_you_mean(name, found, f"there are {', '.join(sorted(found)[:20])}" if found else f"no file has any {what}")
        )


def _parse(path: str, data: bytes) -> Entry:
    from eidos import formats

    try:
        tree = formats.from_text(data, path)
    except InvalidData as fault:
        import re

        # The value may be a password, and a traceback would show the line.
        raise InvalidData(path + re.sub(_REPEATED, r"\1 …", fault.message[len(path) :]), fault.hint) from None
    file = Entry(path, {} if tree is None else tree, os.path.dirname(os.path.abspath(path)))
    if not isinstance(file.body, dict):
        raise file.refuse("a kubeconfig is a mapping", "is this the file you meant?")
    if file.text("kind") not in ("", "Config") or file.text("apiVersion") not in ("", "v1"):
        raise file.refuse(f"it is a {file.text('kind') or '?'} {file.text('apiVersion')}, not a Config v1", "is this the file you meant?")
    return file


def _named(file: Entry, kind: str, path: str) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for item in file.entries(kind):
        name, inner = item.text("name"), item.inner(kind[:-1])
        if name in found:
            raise file.refuse(f"{kind} has the name {name!r} twice", "remove one of them")
        found[name] = Entry(f"{kind[:-1]} {name!r} of {path}", inner.body if inner else {}, file.folder)
    return found


def _server(cluster: Entry) -> str:
    server = cluster.text("server")
    if not server:
        raise cluster.refuse("it has no server")
    return server


def _authority(cluster: Entry) -> bytes | None:
    """The certificates that the server's is checked against."""
    data = cluster.data("certificate-authority-data")
    path = cluster.path("certificate-authority")
    if path:
        if data:
            raise cluster.refuse("certificate-authority and certificate-authority-data are both said", "leave out one of them")
        data = pem_file(path, f"{cluster.where}: certificate-authority {path}")
    if data and _PEM + b"CERTIFICATE" not in data and _PEM + b"TRUSTED CERTIFICATE" not in data:
        raise cluster.refuse("its certificate-authority holds no certificate in PEM")
    return data


def pem_file(path: str, what: str) -> bytes:
    """The bytes of a file that must be there."""
    data = read_file(path, what)
    if data is None:
        raise Unavailable(f"{what}: there is no such file", "the kubeconfig names it; has it moved?")
    return data


def _told(cluster: Entry, url: str, ca: bytes | None) -> dict[str, Any]:
    """What a plugin is told of the cluster (client.authentication.k8s.io/v1, Cluster)."""
    import base64

    extension = next((entry.body.get("extension") for entry in cluster.entries("extensions") if entry.text("name") == EXTENSION), None)
    told = {
        "server": url,
        "tls-server-name": cluster.text("tls-server-name"),
        "insecure-skip-tls-verify": cluster.flag("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(ca).decode() if ca else "",
        "proxy-url": cluster.text("proxy-url"),
        "disable-compression": cluster.flag("disable-compression"),
    }
    return {**{key: value for key, value in told.items() if value}, "config": extension}


def _user(name: str, user: Entry, told: dict[str, Any]) -> User:
    certificate, key = user.data("client-certificate-data"), user.data("client-key-data")
    certificate_file, key_file = user.path("client-certificate"), user.path("client-key")
    if certificate or certificate_file:
        for said, also, what in ((certificate, certificate_file, "client-certificate"), (key, key_file, "client-key")):
            if said and also:
                raise user.refuse(f"{what} and {what}-data are both said", "leave out one of them")
        if not key and not key_file:
            raise user.refuse("a client-certificate needs a client-key")
        for data, what in ((certificate, "client-certificate-data"), (key, "client-key-data")):
            if data and _PEM not in data:
                raise user.refuse(f"{what} holds no PEM")
    token, token_file = user.text("token"), user.path("tokenFile")
    username, password = user.text("username"), user.text("password")
    if (token or token_file) and (username or password):
        raise user.refuse("a token and a password do not go together", "leave out one of them")
    if user.body.get("auth-provider") is not None:
        raise InvalidInput(f"{user.where}: auth-provider is not supported", "Kubernetes took it away in 1.26; its plugins go under exec")
    if any(user.body.get(key) for key in ("as", "as-uid", "as-groups", "as-user-extra")):
        raise InvalidInput(f"{user.where}: acting as somebody else (as, as-groups) is not supported", "name a user who may do it")
    plugin = user.inner("exec")
    has_other = token or token_file or username or password or certificate or certificate_file
    return User(
        name,
        user.where,
        certificate,
        key,
        certificate_file,
        key_file,
        token,
        token_file,
        username,
        password,
        _plugin(plugin, told) if plugin and not has_other else None,
    )


def _plugin(said: Entry, told: dict[str, Any]) -> Exec:
    version, command = said.text("apiVersion"), said.text("command")
    if version not in (f"{GROUP}v1", f"{GROUP}v1beta1"):
        raise said.refuse(f"apiVersion {version!r} is neither {GROUP}v1 nor {GROUP}v1beta1", "a newer plugin speaks one of them")
    if not command:
        raise said.refuse("it has no command")
    mode = said.text("interactiveMode") or ("IfAvailable" if version.endswith("v1beta1") else "")
    if mode not in ("Never", "IfAvailable", "Always"):
        raise said.refuse(f"interactiveMode {mode!r} is none of Never, IfAvailable, Always")
    if mode == "Always":
        raise InvalidInput(
            f"{said.where}: {command} wants a terminal (interactiveMode Always), and eidos gives it none",
            "use a user with a token or a certificate: kubectl create token makes one",
        )
    env = tuple((pair.text("name"), pair.text("value")) for pair in said.entries("env"))
    if any(not name or "=" in name or "\0" in name + value for name, value in env):
        raise said.refuse("env has an entry whose name is none")
    args = said.texts("args")
    if "\0" in command + "".join(args):
        raise said.refuse("command or args hold a NUL")
    path = os.path.join(said.folder, command) if os.sep in command else command
    return Exec(path, version, args, env, said.text("installHint"), told if said.flag("provideClusterInfo") else None)
