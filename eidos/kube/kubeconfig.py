"""Kubeconfig files: merges them and resolves a context.

Knows the format of the files (Kubernetes documentation, "kubeconfig (v1)") and which fields exclude one another; must not know where they
are looked up. The table in :mod:`eidos.kube.cluster_config` compares this with kubectl.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData, InvalidInput, NotFound
from eidos.kube.cluster import Cluster, ExecPlugin, User, server_and_proxy
from eidos.kube.config_files import read_pem_file
from eidos.model.tree_reader import QUOTED, TreeReader, quoted
from eidos.wording import did_you_mean, list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from typing_extensions import Self

#: The extension of a cluster that is passed to plugins.
EXEC_EXTENSION = "client.authentication.k8s.io/exec"

EXEC_API_GROUP = "client.authentication.k8s.io/"

_PEM = b"-----BEGIN "

#: Where the YAML reader quotes a value that it rejects.
_QUOTED_VALUE = r"(the tag|the alias|tag handle|the number) \S+"


class ConfigEntry(TreeReader):
    """A mapping in a kubeconfig, whose relative paths begin at ``folder``; no message shows a value of it, which may be a secret."""

    __slots__ = ("folder",)

    def __init__(self, tree: object, document: str, path: str = "", folder: str = "") -> None:
        super().__init__(tree, document, path, QUOTED)
        self.folder = folder

    def _reader(self, tree: object, name: str) -> Self:
        return type(self)(tree, self.document, self.location(name), self.folder)

    def flag(self, name: str, default: bool = False) -> bool:
        """A field that is true or false."""
        if self.tree.get(name) is not None and not isinstance(self.tree[name], bool):
            raise self.mismatch("true or false", self.tree[name], name)
        return bool(self.tree.get(name, default))

    def file_path(self, name: str) -> str:
        """A path, resolved against the folder of the kubeconfig."""
        value = self.text(name)
        return os.path.join(self.folder, value) if value else ""

    def base64_bytes(self, name: str) -> bytes | None:
        """The bytes of a base64 string, or None when the field is missing."""
        import base64
        import binascii

        try:
            text = self.text(name).replace("\n", "").replace("\r", "")
            return base64.b64decode(text.encode(), validate=True) or None
        except (binascii.Error, UnicodeEncodeError) as fault:
            raise self.error("not base64", "set it with 'kubectl config set'", name) from fault


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
        server = self._get("clusters", context.text("cluster"), context.document)
        user_name = context.text("user")
        user = self._get("users", user_name, context.document) if user_name else None
        if not server.text("server"):
            raise server.error("server is not set")
        url, proxy = server_and_proxy(server.text("server"), server.text("proxy-url"), server.document, environ)
        ca, insecure = _ca_certificates(server), server.flag("insecure-skip-tls-verify")
        if ca and insecure:
            raise server.error("insecure-skip-tls-verify and certificate-authority exclude each other", "remove one of them")
        credentials = User(user_name, user.document if user else context.document)
        if user and url.startswith("https:"):  # credentials are never sent in clear text
            credentials = _read_user(user_name, user, _exec_cluster_info(server, url, ca))
        tls_name = server.text("tls-server-name") or None
        return Cluster(url, ca, insecure, tls_name, proxy, credentials, context.text("namespace"), name, context.document)

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
    if tree is not None and not isinstance(tree, dict):
        raise InvalidData(f"{path}: a kubeconfig is a mapping", "check that this is a kubeconfig")
    file = ConfigEntry(tree, path, folder=os.path.dirname(os.path.abspath(path)))
    if file.text("kind") not in ("", "Config") or file.text("apiVersion") not in ("", "v1"):
        actual = f"kind {quoted(file.text('kind'))}, apiVersion {quoted(file.text('apiVersion'))}"
        raise file.error(f"expected a Config v1, found {actual}", "check that this is a kubeconfig")
    return file


def _entries_by_name(file: ConfigEntry, kind: str, path: str) -> dict[str, ConfigEntry]:
    entries: dict[str, ConfigEntry] = {}
    for item in file.mappings(kind):
        name, inner = item.text("name"), item.mapping(kind[:-1])
        if name in entries:
            raise file.error(f"{kind} has the name {name!r} twice", "remove one of them")
        entries[name] = ConfigEntry(inner.tree, f"{kind[:-1]} {name!r} of {path}", folder=file.folder)
    return entries


def _ca_certificates(cluster: ConfigEntry) -> bytes | None:
    """The certificates of the authorities that may sign the server's."""
    data = cluster.base64_bytes("certificate-authority-data")
    path = cluster.file_path("certificate-authority")
    if path:
        if data:
            raise cluster.error("certificate-authority and certificate-authority-data are both set", "remove one of them")
        data = read_pem_file(path, f"{cluster.document}: certificate-authority {path}")
    if data and _PEM + b"CERTIFICATE" not in data and _PEM + b"TRUSTED CERTIFICATE" not in data:
        raise cluster.error("its certificate-authority contains no PEM certificate")
    return data


def _exec_cluster_info(cluster: ConfigEntry, url: str, ca: bytes | None) -> dict[str, Any]:
    """The cluster as it is passed to a plugin (client.authentication.k8s.io/v1, Cluster)."""
    import base64

    extensions = (entry.tree.get("extension") for entry in cluster.mappings("extensions") if entry.text("name") == EXEC_EXTENSION)
    extension = next(extensions, None)
    info = {
        "server": url,
        "tls-server-name": cluster.text("tls-server-name"),
        "insecure-skip-tls-verify": cluster.flag("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(ca).decode() if ca else "",
        "proxy-url": cluster.text("proxy-url"),
        "disable-compression": cluster.flag("disable-compression"),
    }
    return {**{key: value for key, value in info.items() if value}, "config": extension}


def _read_user(name: str, user: ConfigEntry, cluster_info: dict[str, Any]) -> User:
    certificate, key = user.base64_bytes("client-certificate-data"), user.base64_bytes("client-key-data")
    certificate_file, key_file = user.file_path("client-certificate"), user.file_path("client-key")
    if certificate or certificate_file:
        for inline, file, what in ((certificate, certificate_file, "client-certificate"), (key, key_file, "client-key")):
            if inline and file:
                raise user.error(f"{what} and {what}-data are both set", "remove one of them")
        if not key and not key_file:
            raise user.error("a client-certificate needs a client-key")
        for data, what in ((certificate, "client-certificate-data"), (key, "client-key-data")):
            if data and _PEM not in data:
                raise user.error(f"{what} is not PEM")
    token, token_file = user.text("token"), user.file_path("tokenFile")
    username, password = user.text("username"), user.text("password")
    if (token or token_file) and (username or password):
        raise user.error("token and password exclude each other", "remove one of them")
    if user.tree.get("auth-provider") is not None:
        raise InvalidInput(
            f"{user.document}: auth-provider is not supported", "use an exec plugin; Kubernetes removed auth-provider in 1.26"
        )
    if any(user.tree.get(key) for key in ("as", "as-uid", "as-groups", "as-user-extra")):
        raise InvalidInput(f"{user.document}: impersonation (as, as-groups) is not supported", "choose a user with the required rights")
    plugin = user.mapping("exec") if user.tree.get("exec") is not None else None
    has_other = token or token_file or username or password or certificate or certificate_file
    return User(
        name,
        user.document,
        certificate,
        key,
        certificate_file,
        key_file,
        token,
        token_file,
        username,
        password,
        _read_plugin(plugin, cluster_info) if plugin is not None and not has_other else None,
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
            f"{entry.document}: {entry.path}: {command} needs a terminal (interactiveMode Always), which eidos does not provide",
            "choose a user with a token (kubectl create token) or a certificate",
        )
    env = tuple((pair.text("name"), pair.text("value")) for pair in entry.mappings("env"))
    if any(not name or "=" in name or "\0" in name + value for name, value in env):
        raise entry.error("env has an entry with an invalid name")
    args = entry.texts("args")
    if "\0" in command + "".join(args):
        raise entry.error("command or args contain a NUL")
    path = os.path.join(entry.folder, command) if os.sep in command else command
    return ExecPlugin(path, version, args, env, entry.text("installHint"), cluster_info if entry.flag("provideClusterInfo") else None)
