"""The proxy of a server, as Go's ``httpproxy`` reads it from the environment.

Knows HTTPS_PROXY, HTTP_PROXY and NO_PROXY; must not know how to connect through a proxy. The rules are those of
``golang.org/x/net/http/httpproxy``, which kubectl follows: the name in capitals wins; a value without a scheme is http; localhost and
loopback addresses need no proxy; NO_PROXY is a list of host names (that include their subdomains), names with a leading dot or ``*.``
(subdomains only), addresses, networks, each but these with an optional port, or ``*``. Invalid entries are ignored.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address


def proxy_from_environment(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy between us and the server, or None; ``host`` is without brackets.

    >>> names = {"https_proxy": "proxy.example.com:3128", "NO_PROXY": "10.0.0.0/8,.example.com,example.net:6443"}
    >>> proxy_from_environment("https", "192.0.2.1", 443, names)
    'http://proxy.example.com:3128'
    >>> [proxy_from_environment("https", host, 6443, names) for host in ("10.1.2.3", "a.example.com", "b.example.net", "127.0.0.1")]
    [None, None, None, None]
    """
    proxy = _either(environ, f"{scheme}_proxy")
    # In a CGI script, HTTP_PROXY is a header of the client.
    if not proxy or host == "localhost" or (scheme == "http" and environ.get("REQUEST_METHOD")):
        return None
    if _is_excepted(host.lower(), str(port), _either(environ, "no_proxy")):
        return None
    return proxy if proxy.lower().startswith(("http://", "https://", "socks5://", "socks5h://")) else f"http://{proxy}"


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
        excepted = _address(name)
        if excepted is not None:
            if excepted == address:
                return True
            continue
        name = name[1:] if name.startswith("*.") else name
        if host.endswith(name if name.startswith(".") else f".{name}") or host == name:
            return True
    return False


def _split(entry: str) -> tuple[str, str]:
    """Host and port of ``host:port`` or ``[address]:port``; the port is "" when there is none."""
    host, colon, port = entry.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return (host, port) if colon and ":" not in host else (entry, "")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    from ipaddress import ip_address

    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
