"""A message bus, and systemd behind it, on a real unix socket; it goes wrong on demand.

Knows the bus's side of the protocol: greeting, Hello, Properties.GetAll; must not know what a test wants to see. It is a forked
process, so that a test which forks itself has no threads beside it, and it is strict with what it is asked: a caller that
breaks a rule gets no answer but an error.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Union

from eidos.dbus.marshalling import marshal
from eidos.dbus.message import ERROR, METHOD_CALL, METHOD_RETURN, NO_AUTO_START, SIGNAL, Message, MessageParser, encode_message
from eidos.dbus.signature import Variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.dbus.signature import Order

GUID = b"1234deadbeef1234deadbeef1234dead"
GET_ALL = ("org.freedesktop.DBus.Properties", "GetAll")
UNITS = "/org/freedesktop/systemd1/unit/"

#: What goes wrong. Those of the greeting first, then those of the answers to GetAll.
GREETINGS = (
    "greet-silence",
    "greet-garbage",
    "greet-endless",
    "greet-no-id",
    "greet-early",
    "greet-reset",
    "greet-closed",
    "greet-rejected",
)
ANSWERS = (
    "silence",
    "garbage",
    "half",
    "half-closed",
    "closed",
    "two-gigabytes",
    "endless-field",
    "wrong-type",
    "bad-body",
    "flood",
    "serial-0",
)

Properties = Mapping[str, Variant]
#: What an object answers: its properties, or the name and text of an error.
Object = Union[Properties, tuple[str, str]]


@contextmanager
def fake_bus(
    path: Path,
    objects: Mapping[str, Object],
    *,
    fault: str = "",
    fault_at: int = 0,
    order: Order = "little",
    is_bus: bool = True,
    reject_user_ids: bool = False,
    signals: bool = False,
    backwards: bool = False,
    byte_by_byte: bool = False,
) -> Iterator[int]:
    """Serve ``objects`` (object path -> answer) at ``path``; gives the process id.

    ``fault`` is one of GREETINGS or ANSWERS, the latter in place of answer number ``fault_at``. ``is_bus`` wants Hello first, a
    private socket refuses it. ``reject_user_ids`` rejects every user id that is named, as across user namespaces. ``backwards``
    answers the requests that are there in reverse.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    here = os.getcwd()
    os.chdir(path.parent)  # the path may be longer than an address may be
    try:
        listener.bind(path.name)
    finally:
        os.chdir(here)
    listener.listen(8)
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                connection = listener.accept()[0]
                try:
                    _Peer(connection, objects, fault, fault_at, order, is_bus, reject_user_ids, signals, backwards, byte_by_byte).serve()
                except (OSError, EOFError):
                    pass
                connection.close()
        finally:
            os._exit(1)
    listener.close()
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class _Peer:
    def __init__(
        self,
        connection: socket.socket,
        objects: Mapping[str, Object],
        fault: str,
        fault_at: int,
        order: Order,
        is_bus: bool,
        reject_user_ids: bool,
        signals: bool,
        backwards: bool,
        byte_by_byte: bool,
    ) -> None:
        self.connection, self.objects, self.fault, self.fault_at, self.order = connection, objects, fault, fault_at, order
        self.is_bus, self.reject_user_ids, self.signals, self.backwards, self.byte_by_byte = (
            is_bus,
            reject_user_ids,
            signals,
            backwards,
            byte_by_byte,
        )
        self.named = not is_bus
        self.answered = 0
        self.serial = 1000

    def serve(self) -> None:
        self.greet()
        parser = MessageParser()
        while True:
            calls = []
            while (call := parser.next_message()) is not None:
                calls.append(call)
            for call in reversed(calls) if self.backwards else calls:
                self.answer(call)
            parser.feed(self.receive())

    def receive(self) -> bytes:
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        return data

    def send(self, data: bytes) -> None:
        if self.byte_by_byte:
            for at in range(len(data)):
                self.connection.sendall(data[at : at + 1])
        else:
            self.connection.sendall(data)

    def wait_for_ever(self) -> None:
        while True:
            time.sleep(600)

    def line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            more = self.connection.recv(1)
            if not more:
                raise EOFError
            line += more
        return line[:-2]

    def greet(self) -> None:
        fault = self.fault
        if fault == "greet-reset":
            raise EOFError  # closing with bytes unread is a reset for the other side
        if self.connection.recv(1) != b"\0":
            raise EOFError
        if fault == "greet-silence":
            self.wait_for_ever()
        if fault == "greet-garbage":
            self.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.wait_for_ever()
        if fault == "greet-endless":
            while True:
                self.send(b"OK " * 1000)
        line = self.line()
        if fault == "greet-closed":
            raise EOFError
        if fault == "greet-no-id":
            self.send(b"OK\r\n")
            self.wait_for_ever()
        if fault == "greet-early":
            self.send(b"OK " + GUID + b"\r\nl\1\0\1")
            self.wait_for_ever()
        if fault == "greet-rejected":
            self.send(b"REJECTED DBUS_COOKIE_SHA1\r\n")
            self.wait_for_ever()
        ours = b"AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode()
        if self.reject_user_ids:
            while line != b"AUTH EXTERNAL":
                self.send(b"REJECTED EXTERNAL DBUS_COOKIE_SHA1 ANONYMOUS\r\n")
                line = self.line()
            self.send(b"DATA\r\n")
            line, ours = self.line(), b"DATA"
        if line != ours:
            self.send(b'ERROR "what is this"\r\n')
            raise EOFError
        self.send(b"OK " + GUID + b"\r\n")
        if self.line() != b"BEGIN":
            raise EOFError

    def answer(self, call: Message) -> None:
        if call.kind != METHOD_CALL:
            raise EOFError
        if call.member == "Hello":
            if self.named:
                self.reply_error(call, "org.freedesktop.DBus.Error.UnknownMethod", "already said, or never to be said")
                return
            self.named = True
            self.reply(call, "s", [":1.7"])
            self.signal("org.freedesktop.DBus", "NameAcquired", "s", [":1.7"])
            return
        if not self.named:
            raise EOFError  # "If a client tries to send a message before Hello, it is disconnected"
        if self.answered == self.fault_at and self.fault in ANSWERS:
            self.go_wrong(call)
        self.answered += 1
        if self.signals:
            self.signal("org.freedesktop.systemd1.Manager", "UnitNew", "so", ["x.service", UNITS + "x_2eservice"])
            self.send(encode_message(Message(METHOD_RETURN, 77, reply_serial=4_000_000, order=self.order)))
        answer = self.objects.get(call.path, ("org.freedesktop.DBus.Error.UnknownObject", f"Unknown object '{call.path}'."))
        if (call.interface, call.member) != GET_ALL or call.signature != "s" or call.values() != [""]:
            answer = ("org.freedesktop.DBus.Error.InvalidArgs", "asked for something else")
        elif call.destination != "org.freedesktop.systemd1" or not call.flags & NO_AUTO_START:
            answer = ("org.freedesktop.DBus.Error.InvalidArgs", "asked somebody else, or to start it")
        if isinstance(answer, tuple):
            self.reply_error(call, *answer)
        else:
            self.reply(call, "a{sv}", [dict(answer)])

    def go_wrong(self, call: Message) -> None:
        fault = self.fault
        reply = self.reply_bytes(call, "a{sv}", [{"Id": Variant(("s", "x.service"))}])
        if fault == "garbage":
            self.send(b"\x15\x03\x01\x00\x02\x02\x50" * 20)
        elif fault in ("half", "half-closed"):
            self.send(reply[: len(reply) // 2])
        elif fault == "two-gigabytes":
            self.send(b"l\2\0\1" + (1 << 31).to_bytes(4, "little") + b"\1\0\0\0" + bytes(4))
        elif fault == "endless-field":
            self.send(b"l\2\0\1" + bytes(4) + b"\1\0\0\0" + (0xFFFFFFF0).to_bytes(4, "little"))
        elif fault == "wrong-type":
            self.send(self.reply_bytes(call, "s", ["a{sv}"]))
        elif fault == "bad-body":
            self.send(encode_message(Message(METHOD_RETURN, 9, reply_serial=call.serial, signature="a{sv}", body=b"\xff" * 40)))
        elif fault == "serial-0":
            self.send(reply[:8] + bytes(4) + reply[12:])
        elif fault == "flood":
            while True:
                self.signal("org.freedesktop.systemd1.Manager", "UnitNew", "so", ["x.service", UNITS + "x_2eservice"])
        if fault in ("closed", "half-closed"):
            raise EOFError
        self.wait_for_ever()

    def reply_bytes(self, call: Message, signature: str, values: list[object]) -> bytes:
        self.serial += 1
        body = marshal(signature, values, self.order)
        sender = ":1.0" if self.is_bus else ""
        return encode_message(
            Message(
                METHOD_RETURN, self.serial, 1, reply_serial=call.serial, sender=sender, signature=signature, body=body, order=self.order
            )
        )

    def reply(self, call: Message, signature: str, values: list[object]) -> None:
        self.send(self.reply_bytes(call, signature, values))

    def reply_error(self, call: Message, name: str, text: str) -> None:
        body = marshal("s", [text], self.order)
        self.serial += 1
        self.send(
            encode_message(Message(ERROR, self.serial, 1, error=name, reply_serial=call.serial, signature="s", body=body, order=self.order))
        )

    def signal(self, interface: str, member: str, signature: str, values: list[object]) -> None:
        self.serial += 1
        body = marshal(signature, values, self.order)
        self.send(
            encode_message(
                Message(
                    SIGNAL,
                    self.serial,
                    1,
                    path="/org/freedesktop/x",
                    interface=interface,
                    member=member,
                    sender="org.freedesktop.DBus",
                    signature=signature,
                    body=body,
                    order=self.order,
                )
            )
        )
