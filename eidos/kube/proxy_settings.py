"""Which proxy a request to a server goes through, as Go's ``httpproxy`` reads the environment.

Knows HTTPS_PROXY, HTTP_PROXY and NO_PROXY; must not know how a proxy is spoken to. The rules are those of
``golang.org/x/net/http/httpproxy``, which kubectl follows: the name in capitals wins over the other; a value without a scheme is http;
localhost and loopback addresses never go through a proxy; NO_PROXY holds host names (with all below them), names with a leading dot
or ``*.`` (only what is below), addresses, networks, each but these with a port if need be, or ``*``. What cannot be read in it counts
for nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address


def from_environment(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy between us and the server, or None; ``host`` is without brackets.

    >>> names = {"https_proxy": "proxy.example.com:3128", "NO_PROXY": "10.0.0.0/8,.example.com,example.net:6443"}
    >>> from_environment("https", "192.0.2.1", 443, names)
    'http://proxy.example.com:3128'
    >>> [from_environment("https", host, 6443, names) for host in ("10.1.2.3", "a.example.com", "b.example.net", "127.0.0.1")]
    [None, None, None, None]
    """
    said = _either(environ, f"{scheme}_proxy")
    # A CGI script gets HTTP_PROXY from whoever asks it.
    if not said or host == "localhost" or (scheme == "http" and environ.get("REQUEST_METHOD")):
        return None
    if _is_excepted(host.lower(), str(port), _either(environ, "no_proxy")):
        return None
    return said if said.lower().startswith(("http://", "https://", "socks5://", "socks5h://")) else f"http://{said}"


def _either(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_excepted(host: str, port: str, exceptions: str) -> bool:
    from ipaddress import ip_network

    address = _address(host)
    if address is not None and address.is_loopback:
        return True
    for entry in exceptions.lower().split(","):
        entry = entry.strip()
        if entry == "*":
            return True
        name, slash, bits = entry.partition("/")
        if slash and bits.isdigit() and _address(name) is not None:
            try:
                network = ip_network(entry, strict=False)
            except ValueError:
                continue
            if address is not None and address in network:
                return True
            continue
        name, its_port = _split(entry)
        if not name or (its_port and its_port != port):
            continue
        given = _address(name)
        if given is not None:
            if given == address:
                return True
            continue
        name = name[1:] if name.startswith("*.") else name
        if host.endswith(name if name.startswith(".") else f".{name}") or host == name:
            return True
    return False


def _split(entry: str) -> tuple[str, str]:
    """Host and port of ``host:port`` or ``[address]:port``; what has no port is a host as a whole."""
    host, colon, port = entry.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return (host, port) if colon and ":" not in host else (entry, "")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    from ipaddress import ip_address

    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
