r"""The greeting that precedes messages: SASL with the mechanism EXTERNAL.

Knows the specification's chapter "Authentication Protocol"; must not know sockets. EXTERNAL means that the peer knows who we
are from the socket itself (SO_PEERCRED): first we name our user id, and where the peer sees us under another one, as across
user namespaces, we ask to be whoever it sees. A greeting looks like this, ``C`` being us::

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

from eidos.dbus.signature import PeerFault
from eidos.errors import DBusError

#: No line of a greeting comes near this; a peer that sends more without a line end is no message bus.
MAX_LINE = 8192

_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


class Auth:
    """Our side of the greeting: send what :meth:`data_to_send` gives, :meth:`feed` what comes, until :attr:`done`."""

    def __init__(self, uid: int) -> None:
        """``uid`` is our effective user id."""
        self.done = False
        self._named = True
        self._buffer = bytearray()
        self._out = b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n"

    def data_to_send(self) -> bytes:
        """What is to be sent now, once."""
        out, self._out = self._out, b""
        return out

    def feed(self, data: bytes) -> None:
        """Take what came; PeerFault when it is no greeting, DBusError when we are not let in."""
        self._buffer += data
        while not self.done:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > MAX_LINE:
                    raise PeerFault(f"sent {len(self._buffer)} bytes of greeting without a line end")
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._answer(line)
        if self._buffer:
            raise PeerFault(f"sent {bytes(self._buffer[:40])!r} before the greeting was over")

    def _answer(self, line: bytes) -> None:
        command, _, rest = line.partition(b" ")
        if command == b"OK":
            if len(rest) != 32 or not _HEXADECIMAL.issuperset(rest):
                raise PeerFault(f"greeted with {line[:80]!r}, which has no server id")
            self._out = b"BEGIN\r\n"
            self.done = True
        elif command == b"REJECTED" and self._named and b"EXTERNAL" in rest.split():
            self._named = False
            self._out = b"AUTH EXTERNAL\r\n"
        elif command == b"DATA" and not rest and not self._named:
            self._out = b"DATA\r\n"
        elif command in (b"REJECTED", b"ERROR"):
            said = line[:200].decode("ascii", "backslashreplace")
            raise DBusError(f"does not let us in: {said}", hint="run as root, or as a user that the bus knows")
        else:
            raise PeerFault(f"sent what is no greeting: {line[:80]!r}")
