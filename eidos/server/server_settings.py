"""The settings of a server, as one record.

Knows their names, units and defaults; must not know where a value comes from, nor what it does: ``cli.serve`` has a flag for each that
a user may set, the transport and the application read them. The limits without a flag are those that no honest client reaches.
"""

from __future__ import annotations

import os

from eidos.model.record import Record

#: The name of the service in responses and traces; its version is shown by ``GET /`` alone.
SERVICE_NAME = "eidos-api-server"

#: Workers that are started by default, at most.
DEFAULT_WORKERS_LIMIT = 4


class Settings(Record):
    """Times are seconds, sizes bytes; a rate of 0 is no limit; an empty allow-list allows everything.

    ``rate`` and ``client_rate`` are requests a second, ``burst`` and ``client_burst`` how many may come at once, of all clients and of
    one: eight clients that send as fast as they can leave a fifth to others. ``max_connections`` holds for all workers together.
    ``trust_proxy`` is how many proxies in front write ``X-Forwarded-For``.
    ``request_timeout`` is for the work, ``header_timeout`` and ``read_timeout`` for a request to arrive, from its first byte,
    ``write_timeout`` for a response to be sent, ``idle_timeout`` for the time between requests, ``drain_delay`` between the signal to
    stop and the last accepted connection, ``drain_timeout`` for what is in flight then, ``idle_grace`` for connections that are idle then.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    rate: float = 100.0
    burst: int = 200
    client_rate: float = 10.0
    client_burst: int = 20
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


def default_workers() -> int:
    """One worker for each processor that this process may use, at most :data:`DEFAULT_WORKERS_LIMIT`."""
    return max(1, min(DEFAULT_WORKERS_LIMIT, len(os.sched_getaffinity(0))))
