"""The socket that a service listens on: one of its own, or one that systemd hands over.

Knows how a socket is bound and the protocol of socket activation (sd_listen_fds(3)); must not know who accepts from it.
"""

from __future__ import annotations

import errno
import os
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer

from eidos import log
from eidos.errors import InvalidInput, Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from eidos.server.server_settings import Settings

#: The first descriptor that is handed over.
FIRST_FD = 3

#: Descriptors that a process needs beside those of connections, and in all, to serve anything.
SPARE_FDS, MIN_FDS = 64, 24

#: Every address, IPv4 and IPv6.
ANY_ADDRESS = "::"


#: Seconds for which a connection without a request is left in the queue (tcp(7), TCP_DEFER_ACCEPT; the kernel rounds up).
DEFER_ACCEPT_S = 1


class ListeningServer(HTTPServer):
    """A socket that listens and never blocks; the event loop of each worker accepts from it.

    ``handed_over`` takes the place of a socket of its own; ``address`` is then not looked at.
    """

    request_queue_size = 4096  # the kernel takes less if net.core.somaxconn says so
    allow_reuse_port = False  # newer versions of the base set it; two services on one port would share its requests

    def __init__(self, family: int, address: Any, handed_over: socket.socket | None = None) -> None:
        self.address_family = family
        # The base would call the handler's class for each connection; here the event loop does, and with another one.
        super().__init__(address, BaseHTTPRequestHandler, bind_and_activate=handed_over is None)
        if handed_over is not None:
            self.socket.close()
            self.socket = handed_over
            self.server_address = handed_over.getsockname()
        self.socket.setblocking(False)
        if family != socket.AF_UNIX:
            # Each connection inherits it: a response is one write, and there is nothing to wait for.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A connection stays in the queue, which all workers share, until its request has come: none is lost with a worker.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT_S)

    def server_bind(self) -> None:
        """Bind as the base does, :: for IPv4 too, and without looking up the host's name, which may take long."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection that never blocks; BlockingIOError when none waits."""
        request, address = self.socket.accept()
        request.setblocking(False)
        return request, address

    @property
    def url(self) -> str:
        """Where the service is; with the real port when any was asked for."""
        name = self.socket.getsockname()
        if not isinstance(name, tuple):
            return f"unix:{name if isinstance(name, str) else name.decode(errors='replace')}"
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"http://{host}:{name[1]}"


def listen(settings: Settings, environ: MutableMapping[str, str]) -> ListeningServer:
    """The server of the socket that is handed over, else of a new one on host and port.

    Raises Unavailable when the address cannot be bound, InvalidInput when what was handed over is not one listening socket.
    """
    handed_over = take_handed_over(environ)
    if handed_over is not None:
        return ListeningServer(handed_over.family, handed_over.getsockname(), handed_over)
    return _bind(settings.host, settings.port)


def take_handed_over(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd passes, or None; the variables are removed, because they are for this process alone."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return None
    if count != "1":
        raise InvalidInput(f"{count[:20]!r} sockets passed by systemd; expected 1", "set one ListenStream= in the socket unit")
    try:
        sock = socket.socket(fileno=FIRST_FD)
        listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as fault:
        raise InvalidInput(f"descriptor {FIRST_FD}, passed by systemd, is not a socket: {os_error_reason(fault)}") from fault
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        raise InvalidInput("the socket passed by systemd is not a listening stream socket", "use ListenStream= and Accept=no")
    sock.set_inheritable(False)
    return sock


def _bind(host: str, port: int) -> ListeningServer:
    where = f"{'[' + host + ']' if ':' in host else host}:{port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return ListeningServer(family, address)
    except UnicodeError as fault:  # what the encoding of names (RFC 5891) says of a part that is too long, or of none
        raise Unavailable(f"cannot listen on {where}: invalid host name", "choose another --host") from fault
    except OSError as fault:
        if host == ANY_ADDRESS and fault.errno == errno.EAFNOSUPPORT:  # a kernel without IPv6: every address that there is
            return _bind("0.0.0.0", port)  # noqa: S104 - it was asked for
        hints = {
            errno.EADDRINUSE: "stop the program that listens there, or choose another --port",
            errno.EACCES: "choose a --port of 1024 or above, or grant CAP_NET_BIND_SERVICE",
            errno.EADDRNOTAVAIL: "choose a --host that is an address of this machine",
        }
        hint = hints.get(fault.errno or 0, "choose another --host")
        raise Unavailable(f"cannot listen on {where}: {os_error_reason(fault)}", hint) from fault


def raise_fd_limit(settings: Settings) -> None:
    """Let this process and its workers open as many files as they may; warn when that is too few for all connections.

    Raises Unavailable when it is too few for any.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass
    if soft != resource.RLIM_INFINITY and soft < MIN_FDS:
        raise Unavailable(f"open file limit too low: {soft}, at least {MIN_FDS} required", "raise 'ulimit -n'")
    needed = settings.max_connections + SPARE_FDS  # the supervisor has those of all workers
    if soft != resource.RLIM_INFINITY and soft < needed:
        log.warn(
            f"open file limit too low for --max-connections: {soft}, {needed} required",
            hint="raise 'ulimit -n', or lower --max-connections",
        )
