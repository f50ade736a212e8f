"""What can be set on a server, as one record.

Knows the names, units and defaults of what can be set; must not know where a value came from, nor what it does: ``cli.serve`` has a
flag for each that a user may set, the transport and the application read them. The limits of time and size without a flag are those
that no honest client meets.
"""

from __future__ import annotations

import os

from eidos.model.record import Record

#: Bytes of a request line without its CRLF (RFC 9112, section 3, asks for 8,000 at least), and of all header lines.
LINE_LIMIT, HEADERS_LIMIT = 8192, 65536

#: The most workers that are started when nobody says how many.
USUAL_WORKERS = 4


class Settings(Record):
    """All of it. Times are seconds, sizes bytes; a rate of 0 is no limit; an empty allow-list allows everything.

    ``rate`` and ``client_rate`` are requests a second, ``burst`` and ``client_burst`` how many may come at once, of everybody and of one
    client. ``max_connections`` holds for all workers together. ``trust_proxy`` is how many proxies in front write ``X-Forwarded-For``.
    ``request_timeout`` is for the work, ``header_timeout`` and ``read_timeout`` for a request to come, from its first byte,
    ``write_timeout`` for an answer to go, ``idle_timeout`` for the time between requests, ``drain_delay`` between the signal to stop and
    the last accepted connection, ``drain_timeout`` for what is in flight then, ``idle_grace`` for connections that are silent then.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    rate: float = 100.0
    burst: int = 200
    client_rate: float = 0.0
    client_burst: int = 0
    max_connections: int = 8192
    request_timeout: float = 30.0
    header_timeout: float = 5.0
    read_timeout: float = 10.0
    write_timeout: float = 30.0
    idle_timeout: float = 120.0
    drain_delay: float = 0.0
    drain_timeout: float = 30.0
    idle_grace: float = 1.0
    max_body: int = 4 << 20
    trust_proxy: int = 0
    user_header: str | None = None
    data: str | None = None
    allowed_gpus: tuple[str, ...] = ()
    allowed_services: tuple[str, ...] = ()
    allowed_intents: tuple[str, ...] = ()
    allowed_os: tuple[str, ...] = ()


def usual_workers() -> int:
    """One worker for each processor that this process may use, at most :data:`USUAL_WORKERS`."""
    return max(1, min(USUAL_WORKERS, len(os.sched_getaffinity(0))))
