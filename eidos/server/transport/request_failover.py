"""Requests that wait for a thread, stored where they outlive their worker: in a queue of the kernel.

Knows how a connection and the request that was read from it are handed to another process; must not know threads, nor who takes over.

A worker sends what has to wait to itself, through a pair of sockets that its supervisor has too: a descriptor of the connection, and the
request that was read from it. Memory that both share says which of these still wait. A request that begins, or that nobody wants any
more, is withdrawn there before anything else happens to it: that is one store, and holds even if the worker is killed right after it.
When a worker is gone, its supervisor passes on what is left in the queue and was not withdrawn, and another worker goes on with it.

What is not stored, and lost when a worker is killed (SIGKILL, out of memory): a request that had begun, because nobody knows how far it
came, and what :meth:`FailoverQueue.enqueue` has no room for. Connections that nobody has accepted yet are safe: the kernel holds them in
the queue of the socket that all workers share. Other open connections are those of ``connection_failover``, if there is more than one
worker.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import select
import socket
from array import array
from collections import deque

from eidos import log
from eidos.errors import os_error_reason
from eidos.http_wire.request_head import Head
from eidos.server.rate_limiter import Decision

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.server.request_context import RequestContext

#: Bytes that are sent with a descriptor (what is longer is sent as a file in memory), and of all requests in one queue.
INLINE_BYTES, BYTES_LIMIT = 1500, 32 << 20

#: Requests in one queue, and bytes that the kernel stores for them, if it may: enough for those that may wait.
TICKETS, SEND_BUFFER = 1024, 1 << 20

#: The ticket of a request that is not in the queue.
_NONE = TICKETS


class QueuedRequest:
    """A request in the queue, under a ``ticket`` for as long as it waits; ``size`` is how much memory it takes."""

    __slots__ = ("_is_waiting", "size", "ticket")

    def __init__(self, is_waiting: mmap.mmap, ticket: int) -> None:
        self._is_waiting = is_waiting
        self.ticket = ticket
        self.size = 0
        is_waiting[ticket] = 1

    @property
    def is_withdrawn(self) -> bool:
        """Whether nobody else is to answer it."""
        return not self._is_waiting[self.ticket]

    def withdraw(self) -> None:
        """Let nobody else answer it, from any thread: before the request begins, and before anything is sent to its client."""
        self._is_waiting[self.ticket] = 0


class FailoverQueue:
    """A queue of such requests. Create it before the fork; who only receives from it calls :meth:`only_receive`."""

    def __init__(self) -> None:
        self.sender, self.receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.sender, self.receiver):
            end.setblocking(False)
        self.sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._is_waiting = mmap.mmap(-1, TICKETS + 1)
        self._queued: deque[QueuedRequest] = deque()  # what this process has sent and not removed, as it is in the queue
        self._bytes = self._count = self._failures = 0

    def only_receive(self) -> None:
        """Close the end that sends."""
        self.sender.close()

    def close(self) -> None:
        """Give up the queue in this process."""
        self.sender.close()
        self.receiver.close()
        self._is_waiting.close()

    # ---- in a worker ----

    def reserve(self) -> QueuedRequest:
        """A ticket for a request that :meth:`enqueue` is called with next."""
        self._count += 1
        return QueuedRequest(self._is_waiting, self._count % TICKETS if len(self._queued) < TICKETS - 1 else _NONE)

    def enqueue(self, queued: QueuedRequest, connection: int, request: Sequence[bytes]) -> bool:
        """Keep a request and the descriptor of its connection; False when there is no room for it, which only a log tells."""
        ticket, size = queued.ticket.to_bytes(2, "big"), sum(map(len, request))
        try:
            if queued.ticket == _NONE or self._bytes + size > BYTES_LIMIT:
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
            if size <= INLINE_BYTES:
                socket.send_fds(self.sender, [ticket, *request], [connection])
            else:
                file = _memory_file(request, size)
                try:
                    socket.send_fds(self.sender, [ticket], [connection, file])
                finally:
                    os.close(file)
        except OSError as fault:
            queued.ticket = _NONE
            self._failures += 1
            log.debug(f"cannot enqueue a waiting request: {os_error_reason(fault)}", failures=self._failures)
            return False
        queued.size = size
        self._queued.append(queued)
        self._bytes += size
        return True

    def remove_withdrawn(self) -> None:
        """Make room: remove what is withdrawn from the head of the queue, where it soon is, because requests begin in turn."""
        while self._queued and self._queued[0].is_withdrawn:
            self.receiver.recv(1)  # the kernel closes the descriptors that come with it
            self._bytes -= self._queued.popleft().size

    def adopt(self) -> tuple[socket.socket, bytes] | None:
        """The next connection and the request that was read from it; None when there is none, or another worker had it first."""
        received = self._receive()
        if received is None:
            return None
        data, descriptors = received
        connection = socket.socket(fileno=descriptors[0])
        connection.setblocking(False)
        if len(descriptors) == 1:
            return connection, data[2:]
        with open(descriptors[1], "rb") as file:
            return connection, file.read()

    # ---- in the supervisor ----

    def pass_on(self, successor: FailoverQueue) -> bool:
        """Give ``successor`` what is left here and not withdrawn, as much as it takes now; whether that was all."""
        while successor.has_room():
            received = self._receive()
            if received is None:
                return True
            data, descriptors = received
            try:
                if self._is_waiting[int.from_bytes(data[:2], "big")]:
                    socket.send_fds(successor.sender, [data], descriptors)
            except OSError as fault:
                log.warn(f"a waiting request was lost with its worker: {os_error_reason(fault)}")
            finally:
                _close(descriptors)
        return False

    def has_room(self) -> bool:
        """Whether another request can be sent."""
        poll = select.poll()
        poll.register(self.sender, select.POLLOUT)
        return bool(poll.poll(0))

    def _receive(self) -> tuple[bytes, list[int]] | None:
        """The next message and its descriptors; None when there is none."""
        while True:
            try:
                data, ancillary, flags, _ = self.receiver.recvmsg(INLINE_BYTES + 2, socket.CMSG_SPACE(2 * 4), socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            if not data:
                return None
            descriptors = [fd for _, _, content in ancillary for fd in array("i", content)]
            if not flags & socket.MSG_CTRUNC:
                return data, descriptors
            _close(descriptors)
            log.warn("a waiting request was lost with its worker: too many open files")


def _memory_file(content: Sequence[bytes], size: int) -> int:
    """The descriptor of a file in memory with this content."""
    if not hasattr(os, "memfd_create"):  # in an interpreter that was built for an old C library
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    file = os.memfd_create("request")
    try:
        if os.pwritev(file, content, 0) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.close(file)
        raise
    return file


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def pack_request(head: Head, context: RequestContext, began: float, after: bytes) -> tuple[bytes, bytes, bytes]:
    """A request that waits, in parts, none of which is copied: a line of JSON, the body, and what was received after it."""
    body, decision = context.request.body, context.decision
    fields = (head.method, head.target, dict(head.headers), head.is_http_1_0)
    line = json.dumps((fields, began, context.deadline.at, decision and vars(decision), len(body)))
    return (f"{line}\n".encode(), body, after)


def unpack_request(content: bytes) -> tuple[Head, bytes, float, float, Decision | None, bytes]:
    """What :func:`pack_request` wrote: head, body, when it began to come, its deadline, the limiter's decision, what came after."""
    line, _, rest = content.partition(b"\n")
    head, began, deadline, decision, size = json.loads(line)
    return Head(*head), rest[:size], began, deadline, decision and Decision(**decision), rest[size:]
