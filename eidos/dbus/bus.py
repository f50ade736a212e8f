"""The one socket to a message bus, or to a service that speaks the bus's protocol itself.

Knows unix sockets, deadlines, serials and replies; must not know systemd, nor which objects it is asked about. Everything
that goes wrong is a DBusError or a Timeout whose message begins with the socket's path. Requests are sent ahead of their
replies, so that many objects cost one wait; signals and other peers' business between the replies are passed over.

``socket`` is not imported: its C half has all that a unix socket needs, and costs 8 ms less of a start.
"""

from __future__ import annotations

import _socket
import os
import time

from eidos.dbus import message as messages
from eidos.dbus.marshalling import marshal
from eidos.dbus.message import Message, Parser, encode
from eidos.dbus.sasl import Auth
from eidos.dbus.signature import PeerFault
from eidos.errors import DBusError, Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Union

    from eidos.dbus.signature import Variant

    Properties = dict[str, Variant]
    Answer = Union[Properties, "Refused"]

#: Requests that may be unanswered at a time; a bus lets a client have 128 (max_replies_per_connection, dbus-daemon(1)).
AHEAD = 16

#: The longest path that fits in sockaddr_un beside its nul (unix(7)).
MAX_PATH = 107

_LONGEST_WAIT = 86_400.0

BUS_NAME, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"


class Refused(DBusError):
    """An error reply: ``name`` is its D-Bus name, ``org.freedesktop.DBus.Error.AccessDenied`` for instance."""

    def __init__(self, message: str, hint: str | None = None, name: str = "") -> None:
        super().__init__(message, hint)
        self.name = name


class Bus:
    """An open connection, greeted and ready; whoever opened it closes it."""

    def __init__(self, path: str, deadline: float, hello: bool = True) -> None:
        """Connect to the unix socket at ``path`` and greet its owner, before ``deadline`` (seconds of ``time.monotonic()``).

        ``hello`` says that this is a bus, which wants to be asked for a name first; a service's private socket does not.
        Raises DBusError when nobody listens, we are not let in or the peer does not keep to the protocol, Timeout when it is
        silent.
        """
        self.path = path
        self.deadline = deadline
        self._serial = 0
        self._parser = Parser()
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self._connect()
            self._greet()
            if hello:
                self._hello()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; again is harmless."""
        self._socket.close()

    def get_all(self, destination: str, objects: Sequence[str], interface: str = "") -> Iterator[tuple[str, Answer]]:
        """Ask ``destination`` for the properties of each of ``objects`` (org.freedesktop.DBus.Properties.GetAll).

        Yields, as answers come, an object's path with its properties by name, or with the Refused that came in their place.
        An empty ``interface`` stands for all that the object has ("An empty string may be provided for the interface name").
        Raises DBusError or Timeout when the connection fails; what was yielded before holds.
        """
        body = marshal("s", [interface])
        waiting: dict[int, str] = {}
        todo = iter(objects)
        while True:
            batch = b""
            while len(waiting) < AHEAD:
                path = next(todo, None)
                if path is None:
                    break
                self._serial += 1
                waiting[self._serial] = path
                batch += encode(
                    Message(
                        messages.CALL,
                        self._serial,
                        messages.NO_AUTO_START,
                        path=path,
                        interface="org.freedesktop.DBus.Properties",
                        member="GetAll",
                        destination=destination,
                        signature="s",
                        body=body,
                    )
                )
            if batch:
                self._send(batch)
            if not waiting:
                return
            reply = self._reply(waiting)
            path = waiting.pop(reply.reply_serial)
            yield path, self._properties(reply)

    def _properties(self, reply: Message) -> Answer:
        if reply.kind == messages.ERROR:
            return self._refused(reply)
        if reply.signature != "a{sv}":
            raise self._fault(PeerFault(f"answered with {reply.signature!r} where 'a{{sv}}' was asked for"))
        try:
            properties: Properties = reply.values()[0]
        except PeerFault as fault:
            raise self._fault(fault) from fault
        return properties

    def _refused(self, reply: Message) -> Refused:
        """What an error reply says: "If the first argument exists and is a string, it is an error message"."""
        said = ""
        if reply.signature[:1] == "s":
            try:
                said = reply.values()[0]
            except PeerFault as fault:
                raise self._fault(fault) from fault
        return Refused(f"{reply.error}: {said[:1000]}" if said else reply.error, name=reply.error)

    def _connect(self) -> None:
        address, directory = os.fsencode(self.path), -1
        try:
            if len(address) > MAX_PATH:
                # /proc/self/fd leads to the folder by a short name, whatever its path; no chdir, which is the whole process's.
                folder, name = os.path.split(address)
                directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                address = b"/proc/self/fd/%d/%b" % (directory, name)
            while True:
                self._socket.settimeout(self._left("nobody accepted the connection"))
                try:
                    self._socket.connect(address)
                    return
                except BlockingIOError:  # a unix socket does not wait while the queue before it is full (connect(2), EAGAIN)
                    time.sleep(0.01)
        except _socket.timeout as fault:
            raise self._late("nobody accepted the connection") from fault
        except OSError as fault:
            raise DBusError(f"{self.path}: cannot connect: {fault.strerror or fault}", _hint(fault)) from fault
        finally:
            if directory >= 0:
                os.close(directory)

    def _greet(self) -> None:
        auth = Auth(os.geteuid())
        try:
            while True:
                data = auth.data_to_send()
                if data:
                    self._send(data)
                if auth.done:
                    return
                auth.feed(self._receive("the greeting"))
        except Timeout:
            raise
        except DBusError as fault:
            raise self._fault(fault) from fault

    def _hello(self) -> None:
        self._serial += 1
        hello = Message(messages.CALL, self._serial, path=BUS_PATH, interface=BUS_NAME, member="Hello", destination=BUS_NAME)
        self._send(encode(hello))
        reply = self._reply({self._serial: BUS_PATH})
        if reply.kind == messages.ERROR:
            raise self._fault(self._refused(reply))
        if reply.signature != "s":
            raise self._fault(PeerFault(f"answered Hello with {reply.signature!r} where 's' was asked for"))

    def _reply(self, waiting: dict[int, str]) -> Message:
        """The next reply to one of ours; everything else (signals, calls, replies to nobody) is passed over."""
        while True:
            try:
                message = self._parser.next()
            except PeerFault as fault:
                raise self._fault(fault) from fault
            if message is None:
                self._parser.feed(self._receive("a message" if self._parser.waiting else "its reply"))
            elif message.kind in (messages.RETURN, messages.ERROR) and message.reply_serial in waiting:
                return message

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._left("it does not read what we send"))
            # Not SIGPIPE, whatever the process does with it, when the peer has gone.
            self._socket.sendall(data, _socket.MSG_NOSIGNAL)
        except _socket.timeout as fault:
            raise self._late("it does not read what we send") from fault
        except OSError as fault:
            raise DBusError(f"{self.path}: closed while we were sending: {fault.strerror or fault}", _hint(fault)) from fault

    def _receive(self, what: str) -> bytes:
        """What has come, some bytes at least; ``what`` names what we are in the middle of."""
        try:
            self._socket.settimeout(self._left(f"{what} did not come"))
            data = self._socket.recv(1 << 16)
        except _socket.timeout as fault:
            raise self._late(f"{what} did not come") from fault
        except OSError as fault:
            raise DBusError(f"{self.path}: closed in the middle of {what}: {fault.strerror or fault}", _hint(fault)) from fault
        if not data:
            raise DBusError(f"{self.path}: closed in the middle of {what}")
        return data

    def _left(self, why: str) -> float:
        """Seconds until the deadline, and no more than a socket can count."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self._late(why)
        return min(left, _LONGEST_WAIT)

    def _late(self, why: str) -> Timeout:
        return Timeout(f"{self.path}: {why} before the deadline", hint="give it more time with --timeout, or leave it out with --skip")

    def _fault(self, fault: DBusError) -> DBusError:
        """The same fault with the socket's path before it."""
        if fault.message.startswith(self.path):
            return fault
        where = f"{self.path}: {fault.message}"
        return Refused(where, fault.hint, fault.name) if isinstance(fault, Refused) else type(fault)(where, fault.hint)


def _hint(fault: OSError) -> str | None:
    if isinstance(fault, PermissionError):
        return "run as root, or as a user that may use this socket"
    if isinstance(fault, ConnectionRefusedError):
        return "nobody listens there: is its service running?"
    return None
