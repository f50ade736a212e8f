"""Connections, the event loop, worker processes and their supervisor.

Knows sockets and processes; must not know routes or documents.

The server stands on ``http.server``: :class:`~http.server.HTTPServer` binds, listens, accepts and closes (``listening_sockets``), and one
:class:`~http.server.BaseHTTPRequestHandler` is the connection and has the table of reason phrases (``connection``). Parsing, timeouts and
the loop are ours, because those of the base read a request in a thread that waits for as long as the client likes, have no deadlines,
accept what two parsers interpret differently (a bare LF, repeated lengths, white space before a colon: request smuggling), and take four
times as long. ``event_loop`` waits for all connections of a process at once, ``request_workers`` are its threads for responses that take
work, and ``supervisor`` starts the processes, which see one another's numbers in ``shared_state``.
"""

from __future__ import annotations
