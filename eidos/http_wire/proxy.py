"""The proxy between us and a server: whether there is one, and tunnels through it.

Knows HTTPS_PROXY, HTTP_PROXY and NO_PROXY, CONNECT (RFC 9110, section 9.3.6), and TLS within TLS for a proxy that is itself reached over
https; must not know what is sent. The variables are read by the rules of ``golang.org/x/net/http/httpproxy``, which kubectl follows: the
name in capitals wins; a value without a scheme is http; localhost and loopback addresses need no proxy; NO_PROXY is a list of host names
(that include their subdomains), names with a leading dot or ``*.`` (subdomains only), addresses, networks, each but these with an optional
port, or ``*``. Invalid entries are ignored.
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.http_wire import dialer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Address, IPv6Address
    from typing import Any

    from eidos.http_wire.url import Url


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


def check_proxy_url(text: str, subject: str) -> str:
    """The URL of a proxy without its path, maybe with a password. Raises InvalidInput for SOCKS, InvalidData for anything else."""
    parts = parse_base_url(text, subject, ("http", "https", "socks5", "socks5h"), "http://proxy.example.com:3128")
    if parts.scheme.startswith("socks"):
        raise InvalidInput(f"{subject}: {parts.scheme} is not supported", "use a proxy that speaks http or https")
    return f"{parts.scheme}://{parts.netloc}"


def parse_base_url(text: str, subject: str, schemes: tuple[str, ...], example: str = "https://api.example.com:6443") -> Any:
    """The parts of the URL of a server, as urlsplit gives them; messages do not show it, because it may hold a password."""
    from urllib.parse import urlsplit

    try:
        url = urlsplit(text)
        if url.scheme not in schemes:
            raise InvalidData(f"{subject} must be {' or '.join(schemes[:2])}, not {url.scheme!r}")
        # urlsplit parses the port only when it is read.
        is_complete = bool(url.hostname) and url.port != 0
    except ValueError:
        is_complete = False
    if not is_complete or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidData(f"{subject} is not a valid URL", f"write it like {example}")
    return url


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


class ProxyTunnel:
    """A proxy; ``auth_headers`` authenticate to it, ``name`` is its URL without the password that it may hold."""

    def __init__(self, url: str) -> None:
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(url)
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.auth_headers: dict[str, str] = {}
        if parts.username is not None:
            import base64

            userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.auth_headers["Proxy-Authorization"] = "Basic " + base64.b64encode(userinfo.encode()).decode()

    def connect(self, server: Url, context: ssl.SSLContext | None, name: str, deadline: float) -> Any:
        """A connection to ``server``, with TLS if there is a ``context``; raises OSErrors, as ``http_wire.dialer.open_connection`` does."""
        from http.client import HTTPException

        try:
            tls = dialer.make_tls_context() if self.scheme == "https" else None
            sock = dialer.open_connection(self.host, self.port, deadline, tls)
        except OSError as fault:
            raise ProxyRefused(dialer.translate_error(f"the proxy {self.name}", fault)) from fault
        try:
            if context is None:
                return sock
            deadline_socket = dialer.DeadlineSocket(sock, deadline)
            try:
                self._connect(server, deadline_socket)
            except ProxyRefused:
                raise
            except (OSError, HTTPException, ValueError) as fault:
                raise ProxyRefused(dialer.translate_error(f"the proxy {self.name}", fault)) from fault
            if self.scheme == "https":
                return TlsInTls(sock, deadline_socket, context, name)
            sock.settimeout(dialer.seconds_left(deadline))
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    def _connect(self, server: Url, deadline_socket: dialer.DeadlineSocket) -> None:
        import http.client

        to = f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"
        lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}", *(f"{name}: {value}" for name, value in self.auth_headers.items()), "", ""]
        deadline_socket.sendall("\r\n".join(lines).encode())
        response = http.client.HTTPResponse(deadline_socket, method="CONNECT")  # type: ignore[arg-type]  # of a socket it uses makefile() alone
        response.begin()
        if not 200 <= response.status < 300:
            hint = "list hosts to reach without the proxy in NO_PROXY"
            if response.status == 407:
                hint = "check the username and the password in its URL" if self.auth_headers else "add a username and a password to its URL"
            message = f"the proxy {self.name} cannot connect to {to}: status {response.status}"
            raise ProxyRefused(dialer.RequestError(message, hint, is_transient=response.status >= 500))


class ProxyRefused(OSError):
    """The proxy does not connect to the server, because of ``fault``."""

    def __init__(self, fault: Any) -> None:
        super().__init__(fault.message)
        self.fault = fault


class TlsInTls:
    """TLS within TLS, with the methods of a socket that :class:`eidos.http_wire.dialer.DeadlineSocket` calls."""

    def __init__(self, outer: socket.socket, deadline_socket: dialer.DeadlineSocket, context: ssl.SSLContext, name: str) -> None:
        import ssl

        self._outer, self._deadline_socket = outer, deadline_socket
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._do(self._tls.do_handshake)

    def settimeout(self, seconds: float) -> None:
        """Set the timeout of all of the next operation."""
        import time

        self._deadline_socket.deadline = time.monotonic() + seconds

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            data = data[self._do(self._tls.write, data) :]

    def recv_into(self, buffer: Any) -> int:
        """Receive what is available, and wait for the first byte."""
        import ssl

        try:
            return int(self._do(self._tls.read, len(buffer), buffer))
        except ssl.SSLZeroReturnError:
            return 0

    def fileno(self) -> int:
        """The descriptor of the outer socket."""
        return self._outer.fileno()

    def close(self) -> None:
        """Close it."""
        self._outer.close()

    def _do(self, step: Callable[..., Any], *arguments: Any) -> Any:
        import ssl

        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                part = bytearray(1 << 14)
                count = self._deadline_socket.recv_into(part)
                if count:
                    self._incoming.write(part[:count])
                else:
                    self._incoming.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        while self._outgoing.pending:
            self._deadline_socket.sendall(self._outgoing.read())
