"""Open connections that outlive their worker: its supervisor has a descriptor of each, and another worker goes on when it is killed.

Knows descriptors, and where a connection stands when its worker is gone; must not know HTTP.

A worker sends a descriptor of each connection that stays open to its supervisor, once. Memory that both share says of each how many bytes
its client has been sent when the last response is out, or that a request has begun. A request that begins is noted before anything is
taken from the socket, and a response before it is sent; each is one store, and holds even if the worker is killed right after it. When it
is gone, the kernel says how many bytes were sent (tcp(7), TCP_INFO). If they are as many, nothing had begun: another worker is sent the
connection, and reads on where this one stopped. If not, it is closed, and nobody begins a request for the second time.

Bytes of an incomplete request are not in the socket any more: they are sent to the supervisor, too, up to :data:`UNANSWERED_LIMIT`.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from array import array

from eidos import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of an incomplete request that another worker can go on with, and of all that were sent by one worker.
UNANSWERED_LIMIT, BYTES_LIMIT = 1 << 15, 32 << 20

#: What is noted while a request has begun; otherwise it is the number of bytes that were sent, and one.
_BEGUN = 0

#: Bytes that the kernel keeps for the supervisor, if it may, and closed connections that are reported at once.
_SEND_BUFFER, _REPORT = 1 << 20, 64

#: The number of the connection that a message is about, or _CLOSED: then numbers of connections follow.
_NUMBER, _CLOSED = struct.Struct("=i"), -1

#: Bytes of a message, at most, and messages that are received in one turn.
_MESSAGE_BYTES, _MESSAGES = _NUMBER.size + UNANSWERED_LIMIT, 1024

#: Where TCP_INFO has the state and the bytes that the client has acknowledged (linux/tcp.h, tcpi_bytes_acked), and its bytes up to there.
_STATE_AT, _ACKED_AT, _INFO_BYTES = 0, 120, 128

#: States of a connection over which a response can be sent (linux/tcp_states.h): TCP_ESTABLISHED, TCP_CLOSE_WAIT.
_OPEN_STATES = (1, 8)

#: Looks at what is on its way until two of them agree, at most.
_LOOKS = 64


class _Numbers:
    """Numbers of connections that one process gives out."""

    def __init__(self, start: int, end: int) -> None:
        self._next, self._end = start, end
        self._free: list[int] = []

    def take(self) -> int:
        """One that is free, or -1."""
        if self._free:
            return self._free.pop()
        if self._next == self._end:
            return -1
        self._next += 1
        return self._next - 1

    def put_back(self, number: int) -> None:
        """It is free again."""
        self._free.append(number)


class ConnectionFailover:
    """The connections of one worker, ``size`` that it accepted and ``size`` that it was given. Create it before the fork.

    Then each of the two processes closes the end that is the other's.
    """

    def __init__(self, size: int) -> None:
        self.worker_end, self.supervisor_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.worker_end, self.supervisor_end):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._size = size
        cells = memoryview(mmap.mmap(-1, 4 * size * 8)).cast("q")
        self._sent, self._sizes = cells[: 2 * size], cells[2 * size :]  # bytes that were sent, and one; bytes that were not answered
        self._accepted, self._inherited = _Numbers(0, size), _Numbers(size, 2 * size)
        self._closed: list[int] = []
        self._fds: dict[int, int] = {}
        self._unanswered: dict[int, bytes] = {}
        self._bytes = 0  # of these

    def __len__(self) -> int:
        """Connections that the supervisor has a descriptor of."""
        return len(self._fds)

    # ---- in a worker ----

    def add(self, fd: int) -> int:
        """Let the supervisor have a connection of which a request has begun; its number, or -1 when there is no room now."""
        number = self._accepted.take()
        if number >= 0 and not _send(self.worker_end, number, b"", fd):
            self._accepted.put_back(number)
            return -1
        return number

    def receive_inherited(self) -> tuple[int, int, int, bytes] | None:
        """A connection of a worker that is gone: its number here, descriptor, bytes that were sent, and bytes that were not answered.

        It is suspended. None when there is none.
        """
        received = _receive(self.worker_end)
        if received is None:
            return None
        number, fd, unanswered = received
        if fd < 0:
            log.warn("a connection was lost with its worker: too many open files")
            self.remove(number)
            return None
        return number, fd, self._sent[number] - 1, unanswered

    def begin(self, number: int) -> None:
        """A request begins: nobody else is to go on with the connection."""
        self._sent[number] = _BEGUN

    def suspend(self, number: int, sent: int, unanswered: bytes) -> bool:
        """Nothing has begun once ``sent`` bytes in all are out: another worker may go on, with ``unanswered`` before what is in the socket.

        False when there is no room for that now, and the worker alone can go on.
        """
        if unanswered and (len(unanswered) > UNANSWERED_LIMIT or not _send(self.worker_end, number, unanswered)):
            return False
        self._sizes[number] = len(unanswered)
        self._sent[number] = sent + 1
        return True

    def remove(self, number: int) -> None:
        """The connection is about to be closed."""
        self._sent[number] = _BEGUN
        self._closed.append(number)
        if len(self._closed) >= _REPORT:
            self.report_closed()

    def report_closed(self) -> None:
        """Let the supervisor close what is closed here; call it now and then."""
        while self._closed:
            some = self._closed[-_REPORT:]
            if not _send(self.worker_end, _CLOSED, array("i", some).tobytes()):
                return
            del self._closed[-_REPORT:]
            for number in some:  # it is used again when the supervisor will know
                if number < self._size:
                    self._accepted.put_back(number)

    # ---- in the supervisor ----

    def receive(self) -> bool:
        """Take some of what the worker has sent; whether there was anything."""
        for count in range(_MESSAGES):
            received = _receive(self.supervisor_end)
            if received is None:
                return count > 0
            number, fd, content = received
            if number == _CLOSED:
                for closed in array("i", content):
                    self._drop(closed)
            elif fd >= 0:
                self._fds[number] = fd
            elif content:
                self._store(number, content)
        return True

    def give(self, fd: int, sent: int, unanswered: bytes) -> bool:
        """Let the worker go on with a connection, whose descriptor is kept here then; False when it takes none now."""
        number = self._inherited.take()
        if number < 0:
            return False
        if unanswered:
            self._store(number, unanswered)
        self._sizes[number] = len(unanswered)
        self._sent[number] = sent + 1
        if not _send(self.supervisor_end, number, unanswered, fd):
            self._sent[number] = _BEGUN
            self._drop(number)
            return False
        self._fds[number] = fd
        return True

    def take_over(self) -> Iterator[tuple[int, int, bytes]]:
        """The connections of which nothing has begun, to be given to another worker: this one is gone. The others are closed."""
        while self.receive():
            pass
        for number, fd in self._fds.items():
            size, sent = self._sizes[number], self._sent[number] - 1
            unanswered = self._unanswered.get(number, b"") if size else b""
            if sent >= 0 and len(unanswered) == size and count_sent_bytes(fd) == sent:
                yield fd, sent, unanswered
            else:
                os.close(fd)
        self._fds.clear()

    def close(self) -> None:
        """Give up all connections in this process."""
        self.worker_end.close()
        self.supervisor_end.close()
        for number in list(self._fds):
            self._drop(number)

    def _store(self, number: int, unanswered: bytes) -> None:
        self._forget(number)
        self._unanswered[number] = unanswered
        self._bytes += len(unanswered)
        if self._bytes > BYTES_LIMIT:  # most of it was answered since
            for at, content in list(self._unanswered.items()):
                if at != number and (self._sent[at] == _BEGUN or self._sizes[at] != len(content)):
                    self._forget(at)
            if self._bytes > BYTES_LIMIT:
                self._forget(number)

    def _forget(self, number: int) -> None:
        self._bytes -= len(self._unanswered.pop(number, b""))

    def _drop(self, number: int) -> None:
        self._forget(number)
        if number >= self._size:
            self._inherited.put_back(number)
        fd = self._fds.pop(number, None)
        if fd is not None:
            os.close(fd)


def _send(channel: socket.socket, number: int, content: bytes, *fds: int) -> bool:
    try:
        channel.sendmsg([_NUMBER.pack(number), content], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else [])
    except OSError:  # full, or nobody is there
        return False
    return True


def _receive(channel: socket.socket) -> tuple[int, int, bytes] | None:
    """Number, descriptor and content of a message; -1 if there is no descriptor, or this process has too many open files."""
    try:
        data, ancillary, _, _ = channel.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return None
    if not data:
        return None
    (number,) = _NUMBER.unpack_from(data)
    fds = [fd for _, _, content in ancillary for fd in array("i", content)]
    return number, fds[0] if fds else -1, data[_NUMBER.size :]


def count_sent_bytes(fd: int) -> int:
    """Bytes that were sent over a TCP connection, acknowledged or not, while nobody sends more.

    -1 when it is closed, or no connection of TCP, or the kernel does not say (before Linux 4.2).
    """
    import fcntl
    import termios

    waiting = array("i", [0])
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    try:
        acked = -1
        for _ in range(_LOOKS):
            before = acked
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            if len(info) < _INFO_BYTES or info[_STATE_AT] not in _OPEN_STATES:
                return -1
            (acked,) = struct.unpack_from("=Q", info, _ACKED_AT)
            if acked == before:
                return int(acked + waiting[0])
            fcntl.ioctl(fd, termios.TIOCOUTQ, waiting)
    except OSError:
        return -1
    finally:
        sock.detach()
    return -1
