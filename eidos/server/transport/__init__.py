"""Connections, the event loop, worker processes and their supervisor.

Knows sockets and processes; must not know routes or documents.

The server stands on ``http.server``: :class:`~http.server.HTTPServer` binds, listens, accepts and closes (``listening_sockets``), and one
:class:`~http.server.BaseHTTPRequestHandler` is the connection and has the table of reason phrases (``connection``). Parsing, timeouts and
the loop are ours, because those of the base read a request in a thread that waits for as long as the client likes, have no deadlines,
accept what two parsers interpret differently (a bare LF, repeated lengths, white space before a colon: request smuggling), and take four
times as long. ``event_loop`` waits for all connections of a process at once, ``request_workers`` are its threads for responses that take
work, ``peer`` is the client at the other end, and ``supervisor`` starts the processes, which see one another's numbers in
``shared_state``; what waits for a thread outlives them in ``request_failover``, and open connections in ``connection_failover`` (a
``resumable_connection`` is one of these).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from eidos.http_wire.messages import ResponseEncoder
    from eidos.http_wire.request_head import HeadCache
    from eidos.server.instrumentation import Instrumentation
    from eidos.server.request_context import Application, RequestContext
    from eidos.server.server_settings import Settings
    from eidos.server.transport.connection import Connection
    from eidos.server.transport.peer import RequestIds
    from eidos.server.transport.request_workers import RequestJob

    class Loop(Protocol):
        """The event loop, as a connection sees it."""

        settings: Settings
        application: Application
        instrumentation: Instrumentation
        heads: HeadCache
        encoder: ResponseEncoder
        request_ids: RequestIds
        idle_timeout: float
        is_leaving: bool
        body_bytes: int

        def watch(self, connection: Connection, events: int) -> None:
            """Call :meth:`Connection.on_event` for these events from now on."""

        def resume_soon(self, connection: Connection) -> None:
            """Call :meth:`Connection.resume` after other connections have had their turn."""

        def submit(self, context: RequestContext, connection: Connection) -> RequestJob | None:
            """Have a worker thread answer a request; None when too many wait."""

        def abandon(self, job: RequestJob) -> None:
            """Cancel the deadline of a job; its response is not wanted any more."""

        def remove(self, connection: Connection) -> None:
            """Close the socket of a connection, and forget it."""
