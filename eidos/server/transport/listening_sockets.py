"""The socket that a service listens on: one of its own, or one that systemd hands over.

Knows how a socket is bound and the protocol of socket activation (sd_listen_fds(3)); must not know who accepts.
"""

from __future__ import annotations

import errno
import os
import socket

from eidos import log
from eidos.errors import InvalidInput, Unavailable
from eidos.server.transport.event_loop import Listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from eidos.server.server_settings import Settings

#: The first descriptor that is handed over.
FIRST = 3

#: Descriptors that a process needs beside those of connections.
SPARE = 64

#: Every address, IPv4 and IPv6.
EVERY = "::"

#: Descriptors without which nothing can be served.
FEWEST = 24


def listen(settings: Settings, environ: MutableMapping[str, str]) -> Listener:
    """A socket that listens and never blocks: the one handed over, else a new one on host and port.

    Raises Unavailable when the address cannot be had, InvalidInput when what was handed over is not one listening socket.
    """
    listening = handed_over(environ) or _bound(settings.host, settings.port)
    listening.setblocking(False)
    if listening.family != socket.AF_UNIX:
        # Each connection inherits it: an answer is one write, and nothing is to be waited for.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Listener(listening, settings)


def handed_over(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd passes, or None; the variables are removed, because they are for this process alone."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return None
    if count != "1":
        raise InvalidInput(f"{count[:20]!r} sockets are handed over, and one is taken", "give the socket unit one ListenStream=")
    try:
        given = socket.socket(fileno=FIRST)
        listens = given.type == socket.SOCK_STREAM and given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as fault:
        raise InvalidInput(f"descriptor {FIRST} was handed over, and is no socket: {(fault.strerror or str(fault)).lower()}") from fault
    if not listens or given.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        raise InvalidInput("the socket that was handed over does not listen for streams", "use ListenStream= and Accept=no")
    given.set_inheritable(False)
    return given


def _bound(host: str, port: int) -> socket.socket:
    where = f"{'[' + host + ']' if ':' in host else host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # :: takes IPv4, too
            listening.bind(address)
            listening.listen(Listener.request_queue_size)
        except OSError:
            listening.close()
            raise
    except UnicodeError as fault:  # what the encoding of names (RFC 5891) says of a part that is too long, or of none
        raise Unavailable(f"cannot listen on {where}: there can be no such name", "choose another --host") from fault
    except OSError as fault:
        if host == EVERY and fault.errno == errno.EAFNOSUPPORT:  # a kernel without IPv6: every address that there is
            return _bound("0.0.0.0", port)  # noqa: S104 - it was asked for
        hints = {
            errno.EADDRINUSE: "another program listens there; stop it, or choose another --port",
            errno.EACCES: "ports below 1024 need a right; choose another --port",
            errno.EADDRNOTAVAIL: "this machine has no such address; choose another --host",
        }
        hint = hints.get(fault.errno or 0, "choose another --host")
        raise Unavailable(f"cannot listen on {where}: {(fault.strerror or str(fault)).lower()}", hint) from fault
    return listening


def url(listener: Listener) -> str:
    """Where the service is, as a URL; the real port when any was asked for."""
    name = listener.socket.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name if isinstance(name, str) else name.decode(errors='replace')}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def make_room(settings: Settings) -> None:
    """Let this process and its workers open as many files as they may, and say so when that is too few for all connections.

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
    if soft != resource.RLIM_INFINITY and soft < FEWEST:
        raise Unavailable(f"a process may open {soft} files here, and this one needs {FEWEST} at least", "raise 'ulimit -n'")
    wanted = -(-settings.max_connections // settings.workers) + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warn(f"a worker may open {soft} files and would need {wanted}", hint="raise 'ulimit -n', or lower --max-connections")
