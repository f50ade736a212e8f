r"""Authentication before the first message: SASL with the mechanism EXTERNAL.

Knows the specification's chapter "Authentication Protocol"; must not know sockets. EXTERNAL means that the peer knows our user from the
socket (SO_PEERCRED): the client names its user id, and where the peer knows it by another one, as across user namespaces, authenticates
as whatever the peer knows. The handshake looks like this, ``C`` being the client::

    C: \0AUTH EXTERNAL 30              "0" in hexadecimal
    S: OK 1234deadbeef1234deadbeef1234dead
    C: BEGIN

and, where the peer answers ``REJECTED EXTERNAL …`` instead::

    C: AUTH EXTERNAL
    S: DATA
    C: DATA
    S: OK 1234deadbeef1234deadbeef1234dead
    C: BEGIN
"""

from __future__ import annotations

from eidos.dbus.signature import RemoteProtocolError
from eidos.errors import DBusError

#: No line of a handshake comes near this; a peer that sends more without a line end is no message bus.
MAX_LINE_BYTES = 8192

_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


class Handshake:
    """The client's side: send :meth:`data_to_send`, :meth:`feed` what arrives, until :attr:`is_done`."""

    def __init__(self, uid: int) -> None:
        """``uid`` is our effective user id."""
        self.is_done = False
        self._names_uid = True
        self._buffer = bytearray()
        self._out = b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n"

    def data_to_send(self) -> bytes:
        """Return what is to be sent now, once."""
        out, self._out = self._out, b""
        return out

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived; RemoteProtocolError when they are no handshake, DBusError when the peer rejects us."""
        self._buffer += data
        while not self.is_done:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > MAX_LINE_BYTES:
                    raise RemoteProtocolError(f"sent {len(self._buffer)} bytes of greeting without a line end")
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._handle_line(line)
        if self._buffer:
            raise RemoteProtocolError(f"sent {bytes(self._buffer[:40])!r} before the greeting ended")

    def _handle_line(self, line: bytes) -> None:
        command, _, rest = line.partition(b" ")
        if command == b"OK":
            if len(rest) != 32 or not _HEXADECIMAL.issuperset(rest):
                raise RemoteProtocolError(f"greeted with {line[:80]!r}, which has no server id")
            self._out = b"BEGIN\r\n"
            self.is_done = True
        elif command == b"REJECTED" and self._names_uid and b"EXTERNAL" in rest.split():
            self._names_uid = False
            self._out = b"AUTH EXTERNAL\r\n"
        elif command == b"DATA" and not rest and not self._names_uid:
            self._out = b"DATA\r\n"
        elif command in (b"REJECTED", b"ERROR"):
            reply = line[:200].decode("ascii", "backslashreplace")
            raise DBusError(f"authentication rejected: {reply}", hint="run as root, or as a user that the bus accepts")
        else:
            raise RemoteProtocolError(f"sent an invalid greeting: {line[:80]!r}")
