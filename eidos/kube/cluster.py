"""A cluster and the user who connects to it, as records.

Knows what it takes to reach an API server: address, proxy, certificates, credentials; must not know where any of it is configured.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: The context of a pod that uses its service account, and the namespace of a context without one.
IN_CLUSTER, DEFAULT_NAMESPACE = "in-cluster", "default"


class ExecPlugin(Record):
    """A credential plugin: ``api_version`` is client.authentication.k8s.io/v1 or v1beta1, ``cluster_info`` is passed to it."""

    command: str
    api_version: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    install_hint: str = ""
    cluster_info: dict[str, Any] | None = None


class User(Record):
    """Credentials. Certificate and key are PEM, as bytes or in files; ``source`` tells, for messages, where they are configured."""

    name: str = ""
    source: str = ""
    certificate: bytes | None = None
    key: bytes | None = None
    certificate_file: str = ""
    key_file: str = ""
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    plugin: ExecPlugin | None = None

    def __repr__(self) -> str:
        return f"User({self.name!r})"  # the rest is secret


class Cluster(Record):
    """A cluster and its user.

    ``server`` is a URL, maybe with a path, without a query; ``ca`` are certificates in PEM, or None for those that the system trusts;
    ``proxy`` is a URL that may hold a password; ``source`` tells, for messages, where the cluster is configured.
    """

    server: str
    ca: bytes | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    proxy: str | None = None
    user: User = User()
    namespace: str = DEFAULT_NAMESPACE
    context: str = ""
    source: str = ""

    def __repr__(self) -> str:
        return f"Cluster({self.server!r}, {self.source})"


def server_and_proxy(server: str, proxy: str | None, source: str, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """URLs of a server and of its proxy: ``proxy``, or that of the environment. Raises InvalidData for anything but an http URL.

    >>> server_and_proxy("api.example.com:6443", None, "it", {}), server_and_proxy("https://example.com/k8s/?x=1", None, "it", {})
    (('http://api.example.com:6443', None), ('https://example.com/k8s', None))
    """
    from eidos.http_wire.proxy import check_proxy_url, parse_base_url, proxy_from_environment

    url = parse_base_url(server if "://" in server else f"http://{server}", f"{source}: the server", ("http", "https"))
    if "@" in url.netloc:
        raise InvalidData(f"{source}: the server's URL contains a username or password", "set username and password of the user instead")
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    proxy_url = proxy or proxy_from_environment(url.scheme, url.hostname or "", port, environ)
    if proxy_url:
        proxy_url = check_proxy_url(proxy_url, f"{source}: proxy-url" if proxy else f"{url.scheme.upper()}_PROXY")
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}", proxy_url or None
