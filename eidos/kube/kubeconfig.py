"""Kubeconfig files: merges them and resolves a context.

Knows the format of the files (Kubernetes documentation, "kubeconfig (v1)") and which fields exclude one another; must not know where they
are looked up. The table in :mod:`eidos.kube.cluster_config` compares this with kubectl.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData, InvalidInput, NotFound
from eidos.kube.cluster import Cluster, ExecPlugin, User, server_and_proxy
from eidos.kube.config_files import read_pem_file
from eidos.suggest import did_you_mean
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

#: The extension of a cluster that is passed to plugins.
EXEC_EXTENSION = "client.authentication.k8s.io/exec"

EXEC_API_GROUP = "client.authentication.k8s.io/"

_PEM = b"-----BEGIN "

#: Where the YAML reader quotes a value that it rejects.
_QUOTED_VALUE = r"(the tag|the alias|tag handle|the number) \S+"


class ConfigEntry:
    """A mapping in a kubeconfig; methods read one of its fields, and raise InvalidData with its location when it has another type."""

    def __init__(self, location: str, body: Mapping[str, Any], folder: str) -> None:
        self.location = location
        self.body = body
        self.folder = folder

    def error(self, why: str, hint: str | None = None) -> InvalidData:
        """An error with the location of this mapping."""
        return InvalidData(f"{self.location}: {why}", hint)

    def text(self, key: str) -> str:
        """A string, or "" when the field is missing."""
        value = self.body.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        raise self.error(f"{key} is not a string", "put it in quotes" if isinstance(value, (int, float)) else None)

    def boolean(self, key: str) -> bool:
        """A boolean, or False when the field is missing."""
        value = self.body.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.error(f"{key} is neither true nor false")

    def path(self, key: str) -> str:
        """A path, resolved against the folder of the kubeconfig."""
        value = self.text(key)
        return os.path.join(self.folder, value) if value else ""

    def base64_bytes(self, key: str) -> bytes | None:
        """The bytes of a base64 string, or None when the field is missing."""
        import base64
        import binascii

        try:
            text = self.text(key).replace("\n", "").replace("\r", "")
            return base64.b64decode(text.encode(), validate=True) or None
        except (binascii.Error, UnicodeEncodeError) as fault:
            raise self.error(f"{key} is not base64", "set it with 'kubectl config set'") from fault

    def mapping(self, key: str) -> ConfigEntry | None:
        """A mapping, or None when the field is missing."""
        value = self.body.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(f"{key} is not a mapping")
        return ConfigEntry(f"{self.location}, {key}", value, self.folder)

    def mappings(self, key: str) -> list[ConfigEntry]:
        """A list of mappings, or [] when the field is missing."""
        value = self.body.get(key)
        if value is not None and not isinstance(value, list):
            raise self.error(f"{key} is not a list")
        entries = []
        for number, item in enumerate(value or ()):
            if not isinstance(item, dict):
                raise self.error(f"{key}[{number}] is not a mapping")
            entries.append(ConfigEntry(f"{self.location}, {key}[{number}]", item, self.folder))
        return entries

    def text_list(self, key: str) -> tuple[str, ...]:
        """A list of strings, or () when the field is missing."""
        value = self.body.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise self.error(f"{key} is not a list of strings", "put each value in quotes")
        return tuple(value or ())


class MergedKubeconfig:
    """Kubeconfig files, merged: the first definition of a name wins."""

    def __init__(self, files: Iterable[tuple[str, bytes]]) -> None:
        """``files`` are paths and contents; raises InvalidData for one that is not a kubeconfig."""
        self.current_context = self._current_context_file = ""
        self._entries: dict[str, dict[str, ConfigEntry]] = {"clusters": {}, "users": {}, "contexts": {}}
        for path, data in files:
            file = _parse(path, data)
            if not self.current_context:
                self.current_context, self._current_context_file = file.text("current-context"), path
            for kind, entries in self._entries.items():
                for name, entry in _entries_by_name(file, kind, path).items():
                    entries.setdefault(name, entry)

    def resolve_context(self, name: str, by_flag: bool, environ: Mapping[str, str]) -> Cluster:
        """The cluster and user of a context; ``namespace`` is "" when it has none. Raises what ``load_cluster`` does."""
        source = "--kube-context" if by_flag else f"{self._current_context_file}: current-context"
        context = self._get("contexts", name, source)
        server = self._get("clusters", context.text("cluster"), context.location)
        user_name = context.text("user")
        user = self._get("users", user_name, context.location) if user_name else None
        if not server.text("server"):
            raise server.error("server is not set")
        url, proxy = server_and_proxy(server.text("server"), server.text("proxy-url"), server.location, environ)
        ca, insecure = _ca_certificates(server), server.boolean("insecure-skip-tls-verify")
        if ca and insecure:
            raise server.error("insecure-skip-tls-verify and certificate-authority exclude each other", "remove one of them")
        credentials = User(user_name, user.location if user else context.location)
        if user and url.startswith("https:"):  # credentials are never sent in clear text
            credentials = _read_user(user_name, user, _exec_cluster_info(server, url, ca))
        tls_name = server.text("tls-server-name") or None
        return Cluster(url, ca, insecure, tls_name, proxy, credentials, context.text("namespace"), name, context.location)

    def _get(self, kind: str, name: str, source: str) -> ConfigEntry:
        entries = self._entries[kind]
        if name in entries:
            return entries[name]
        what = kind[:-1]
        message = f"{source}: no such {what} {name!r}" if name else f"{source}: {what} is not set"
        available = f"use one of {list_words(sorted(entries))}" if entries else f"add a {what} to the kubeconfig"
        raise NotFound(message, did_you_mean(name, entries, available))


def _parse(path: str, data: bytes) -> ConfigEntry:
    from eidos import formats

    try:
        tree = formats.from_text(data, path)
    except InvalidData as fault:
        import re

        # The value may be a password; from None, because a traceback would show the line.
        raise InvalidData(path + re.sub(_QUOTED_VALUE, r"\1 …", fault.message[len(path) :]), fault.hint) from None
    file = ConfigEntry(path, {} if tree is None else tree, os.path.dirname(os.path.abspath(path)))
    if not isinstance(file.body, dict):
        raise file.error("a kubeconfig is a mapping", "check that this is a kubeconfig")
    if file.text("kind") not in ("", "Config") or file.text("apiVersion") not in ("", "v1"):
        raise file.error(
            f"it is a {file.text('kind') or '?'} {file.text('apiVersion')}, not a Config v1", "check that this is a kubeconfig"
        )
    return file


def _entries_by_name(file: ConfigEntry, kind: str, path: str) -> dict[str, ConfigEntry]:
    entries: dict[str, ConfigEntry] = {}
    for item in file.mappings(kind):
        name, inner = item.text("name"), item.mapping(kind[:-1])
        if name in entries:
            raise file.error(f"{kind} has the name {name!r} twice", "remove one of them")
        entries[name] = ConfigEntry(f"{kind[:-1]} {name!r} of {path}", inner.body if inner else {}, file.folder)
    return entries


def _ca_certificates(cluster: ConfigEntry) -> bytes | None:
    """The certificates of the authorities that may sign the server's."""
    data = cluster.base64_bytes("certificate-authority-data")
    path = cluster.path("certificate-authority")
    if path:
        if data:
            raise cluster.error("certificate-authority and certificate-authority-data are both set", "remove one of them")
        data = read_pem_file(path, f"{cluster.location}: certificate-authority {path}")
    if data and _PEM + b"CERTIFICATE" not in data and _PEM + b"TRUSTED CERTIFICATE" not in data:
        raise cluster.error("its certificate-authority contains no PEM certificate")
    return data


def _exec_cluster_info(cluster: ConfigEntry, url: str, ca: bytes | None) -> dict[str, Any]:
    """The cluster as it is passed to a plugin (client.authentication.k8s.io/v1, Cluster)."""
    import base64

    extensions = (entry.body.get("extension") for entry in cluster.mappings("extensions") if entry.text("name") == EXEC_EXTENSION)
    extension = next(extensions, None)
    info = {
        "server": url,
        "tls-server-name": cluster.text("tls-server-name"),
        "insecure-skip-tls-verify": cluster.boolean("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(ca).decode() if ca else "",
        "proxy-url": cluster.text("proxy-url"),
        "disable-compression": cluster.boolean("disable-compression"),
    }
    return {**{key: value for key, value in info.items() if value}, "config": extension}


def _read_user(name: str, user: ConfigEntry, cluster_info: dict[str, Any]) -> User:
    certificate, key = user.base64_bytes("client-certificate-data"), user.base64_bytes("client-key-data")
    certificate_file, key_file = user.path("client-certificate"), user.path("client-key")
    if certificate or certificate_file:
        for inline, file, what in ((certificate, certificate_file, "client-certificate"), (key, key_file, "client-key")):
            if inline and file:
                raise user.error(f"{what} and {what}-data are both set", "remove one of them")
        if not key and not key_file:
            raise user.error("a client-certificate needs a client-key")
        for data, what in ((certificate, "client-certificate-data"), (key, "client-key-data")):
            if data and _PEM not in data:
                raise user.error(f"{what} is not PEM")
    token, token_file = user.text("token"), user.path("tokenFile")
    username, password = user.text("username"), user.text("password")
    if (token or token_file) and (username or password):
        raise user.error("token and password exclude each other", "remove one of them")
    if user.body.get("auth-provider") is not None:
        raise InvalidInput(
            f"{user.location}: auth-provider is not supported", "use an exec plugin; Kubernetes removed auth-provider in 1.26"
        )
    if any(user.body.get(key) for key in ("as", "as-uid", "as-groups", "as-user-extra")):
        raise InvalidInput(f"{user.location}: impersonation (as, as-groups) is not supported", "choose a user with the required rights")
    plugin = user.mapping("exec")
    has_other = token or token_file or username or password or certificate or certificate_file
    return User(
        name,
        user.location,
        certificate,
        key,
        certificate_file,
        key_file,
        token,
        token_file,
        username,
        password,
        _read_plugin(plugin, cluster_info) if plugin and not has_other else None,
    )


def _read_plugin(entry: ConfigEntry, cluster_info: dict[str, Any]) -> ExecPlugin:
    version, command = entry.text("apiVersion"), entry.text("command")
    if version not in (f"{EXEC_API_GROUP}v1", f"{EXEC_API_GROUP}v1beta1"):
        raise entry.error(f"apiVersion {version!r} is neither {EXEC_API_GROUP}v1 nor {EXEC_API_GROUP}v1beta1", "use a newer plugin")
    if not command:
        raise entry.error("command is not set")
    mode = entry.text("interactiveMode") or ("IfAvailable" if version.endswith("v1beta1") else "")
    if mode not in ("Never", "IfAvailable", "Always"):
        raise entry.error(f"invalid interactiveMode {mode!r}; expected Never, IfAvailable or Always")
    if mode == "Always":
        raise InvalidInput(
            f"{entry.location}: {command} needs a terminal (interactiveMode Always), which eidos does not provide",
            "choose a user with a token (kubectl create token) or a certificate",
        )
    env = tuple((pair.text("name"), pair.text("value")) for pair in entry.mappings("env"))
    if any(not name or "=" in name or "\0" in name + value for name, value in env):
        raise entry.error("env has an entry with an invalid name")
    args = entry.text_list("args")
    if "\0" in command + "".join(args):
        raise entry.error("command or args contain a NUL")
    path = os.path.join(entry.folder, command) if os.sep in command else command
    return ExecPlugin(path, version, args, env, entry.text("installHint"), cluster_info if entry.boolean("provideClusterInfo") else None)
