"""The one socket to a message bus, or to a service that speaks the bus's protocol on a socket of its own.

Knows unix sockets, deadlines, serials and replies; must not know systemd, nor what the objects are. Every failure is a DBusError or a
Timeout whose message begins with the socket's path. Calls are sent ahead of their replies, so that many objects cost one round trip;
signals and messages for other peers are skipped.

``socket`` is not imported: its C half has all that a unix socket needs, and a start takes 8 ms less.
"""

from __future__ import annotations

import _socket
import os
import time

from eidos.dbus.marshalling import marshal
from eidos.dbus.message import ERROR, METHOD_CALL, METHOD_RETURN, NO_AUTO_START, Message, MessageParser, encode_message
from eidos.dbus.sasl import Handshake
from eidos.dbus.signature import RemoteProtocolError
from eidos.errors import DBusError, Timeout, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Union

    from eidos.dbus.signature import Variant

    Properties = dict[str, Variant]
    PropertiesOrError = Union[Properties, "ErrorReply"]

#: Requests that may be unanswered at a time; a bus lets a client have 128 (max_replies_per_connection, dbus-daemon(1)).
MAX_PENDING_CALLS = 16

#: The longest path that fits in sockaddr_un beside its nul (unix(7)).
MAX_ADDRESS_BYTES = 107

_MAX_WAIT_S = 86_400.0

BUS_NAME, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"


class ErrorReply(DBusError):
    """An error reply: ``name`` is its D-Bus name, ``org.freedesktop.DBus.Error.AccessDenied`` for instance."""

    def __init__(self, message: str, hint: str | None = None, name: str = "") -> None:
        super().__init__(message, hint)
        self.name = name


class Bus:
    """An open, authenticated connection; whoever opened it closes it."""

    def __init__(self, path: str, deadline: float, hello: bool = True) -> None:
        """Connect to the unix socket at ``path`` and authenticate before ``deadline``, in seconds of ``time.monotonic()``.

        ``hello``: this is a bus, where a client calls Hello first, and not a service's private socket. Raises DBusError when there is no
        listener, the peer rejects us or breaks the protocol, Timeout when it does not answer.
        """
        self.path = path
        self.deadline = deadline
        self._serial = 0
        self._parser = MessageParser()
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self._connect()
            self._authenticate()
            if hello:
                self._hello()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; again is harmless."""
        self._socket.close()

    def get_all(self, destination: str, objects: Sequence[str]) -> Iterator[tuple[str, PropertiesOrError]]:
        """Get the properties of each of ``objects`` from ``destination`` (org.freedesktop.DBus.Properties.GetAll).

        Yields, as replies arrive, the path of an object and its properties by name, those of all its interfaces ("An empty string may be
        provided for the interface name"), or the ErrorReply that came in their place. Raises DBusError or
        Timeout when the connection fails; what was yielded before remains valid.
        """
        body = marshal("s", [""])
        pending: dict[int, str] = {}
        unsent = iter(objects)
        while True:
            batch = b""
            while len(pending) < MAX_PENDING_CALLS:
                path = next(unsent, None)
                if path is None:
                    break
                self._serial += 1
                pending[self._serial] = path
                batch += encode_message(
                    Message(
                        METHOD_CALL,
                        self._serial,
                        NO_AUTO_START,
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
            if not pending:
                return
            reply = self._reply(pending)
            path = pending.pop(reply.reply_serial)
            yield path, self._properties(reply)

    def _properties(self, reply: Message) -> PropertiesOrError:
        if reply.kind == ERROR:
            return self._error_reply(reply)
        if reply.signature != "a{sv}":
            raise self._fault(RemoteProtocolError(f"unexpected reply type {reply.signature!r}; expected 'a{{sv}}'"))
        try:
            properties: Properties = reply.values()[0]
        except RemoteProtocolError as fault:
            raise self._fault(fault) from fault
        return properties

    def _error_reply(self, reply: Message) -> ErrorReply:
        # "If the first argument exists and is a string, it is an error message."
        text = ""
        if reply.signature[:1] == "s":
            try:
                text = reply.values()[0]
            except RemoteProtocolError as fault:
                raise self._fault(fault) from fault
        return ErrorReply(f"{reply.error}: {text[:1000]}" if text else reply.error, name=reply.error)

    def _connect(self) -> None:
        address, directory = os.fsencode(self.path), -1
        try:
            if len(address) > MAX_ADDRESS_BYTES:
                # /proc/self/fd is a short name for the folder, whatever its path; chdir would affect every thread.
                folder, name = os.path.split(address)
                directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                address = b"/proc/self/fd/%d/%b" % (directory, name)
            while True:
                self._socket.settimeout(self._left("connection not accepted"))
                try:
                    self._socket.connect(address)
                    return
                except BlockingIOError:  # a unix socket does not wait while the queue before it is full (connect(2), EAGAIN)
                    time.sleep(0.01)
        except _socket.timeout as fault:
            raise self._late("connection not accepted") from fault
        except OSError as fault:
            raise DBusError(f"{self.path}: cannot connect: {os_error_reason(fault)}", _hint(fault)) from fault
        finally:
            if directory >= 0:
                os.close(directory)

    def _authenticate(self) -> None:
        handshake = Handshake(os.geteuid())
        try:
            while True:
                data = handshake.data_to_send()
                if data:
                    self._send(data)
                if handshake.is_done:
                    return
                handshake.feed(self._receive("the greeting"))
        except Timeout:
            raise
        except DBusError as fault:
            raise self._fault(fault) from fault

    def _hello(self) -> None:
        self._serial += 1
        hello = Message(METHOD_CALL, self._serial, path=BUS_PATH, interface=BUS_NAME, member="Hello", destination=BUS_NAME)
        self._send(encode_message(hello))
        reply = self._reply({self._serial: BUS_PATH})
        if reply.kind == ERROR:
            raise self._fault(self._error_reply(reply))
        if reply.signature != "s":
            raise self._fault(RemoteProtocolError(f"unexpected reply type {reply.signature!r} to Hello; expected 's'"))

    def _reply(self, pending: dict[int, str]) -> Message:
        """Return the next reply to one of our calls; everything else (signals, calls, replies to other serials) is skipped."""
        while True:
            try:
                message = self._parser.next_message()
            except RemoteProtocolError as fault:
                raise self._fault(fault) from fault
            if message is None:
                self._parser.feed(self._receive("a message" if self._parser.buffered_bytes else "its reply"))
            elif message.kind in (METHOD_RETURN, ERROR) and message.reply_serial in pending:
                return message

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._left("request not accepted"))
            # No SIGPIPE when the peer has closed the socket: in a forked child it would end the process.
            self._socket.sendall(data, _socket.MSG_NOSIGNAL)
        except _socket.timeout as fault:
            raise self._late("request not accepted") from fault
        except OSError as fault:
            raise DBusError(f"{self.path}: connection closed while sending: {os_error_reason(fault)}", _hint(fault)) from fault

    def _receive(self, what: str) -> bytes:
        """Return bytes that have arrived, at least one; ``what`` names what they belong to, for messages."""
        try:
            self._socket.settimeout(self._left(f"{what} not received"))
            data = self._socket.recv(1 << 16)
        except _socket.timeout as fault:
            raise self._late(f"{what} not received") from fault
        except OSError as fault:
            raise DBusError(f"{self.path}: connection closed while waiting for {what}: {os_error_reason(fault)}", _hint(fault)) from fault
        if not data:
            raise DBusError(f"{self.path}: connection closed while waiting for {what}")
        return data

    def _left(self, why: str) -> float:
        """Return the seconds until the deadline, at most as many as a socket's timeout can hold."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self._late(why)
        return min(left, _MAX_WAIT_S)

    def _late(self, why: str) -> Timeout:
        return Timeout(f"{self.path}: {why} before the deadline", hint="raise --timeout, or exclude this collector with --skip")

    def _fault(self, fault: DBusError) -> DBusError:
        """Return the same error with the socket's path in front."""
        if fault.message.startswith(self.path):
            return fault
        where = f"{self.path}: {fault.message}"
        return ErrorReply(where, fault.hint, fault.name) if isinstance(fault, ErrorReply) else type(fault)(where, fault.hint)


def _hint(fault: OSError) -> str | None:
    if isinstance(fault, PermissionError):
        return "run as root, or as a user with access to this socket"
    if isinstance(fault, ConnectionRefusedError):
        return "start the service behind this socket; nothing listens on it"
    return None
