"""The connection, to a bus that speaks the real protocol on a real socket, and to one that breaks it."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from eidos.dbus.bus import MAX_ADDRESS_BYTES, MAX_PENDING_CALLS, Bus, ErrorReply
from eidos.dbus.signature import RemoteProtocolError, Variant
from eidos.errors import DBusError, Timeout
from tests.fakes.bus import ANSWERS, GREETINGS, UNITS, fake_bus
from tests.support.waiting import AMPLE_S, DEADLINES_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.dbus.bus import PropertiesOrError
    from eidos.dbus.signature import Order
    from tests.fakes.bus import Object

SYSTEMD = "org.freedesktop.systemd1"
PATHS = [f"{UNITS}unit{number}_2eservice" for number in range(40)]
OBJECTS = {path: {"Id": Variant(("s", path)), "Limit": Variant(("t", (1 << 64) - 1)), "Nice": Variant(("i", -5))} for path in PATHS}

#: Seconds after which a test gives up on a peer that never answers.
PATIENCE = 0.3


def ask(
    path: Path, paths: list[str] = PATHS, seconds: float = AMPLE_S, hello: bool = True, answer_s: float = float("inf")
) -> dict[str, PropertiesOrError]:
    """What the objects at ``path`` answer; ``answer_s`` are the seconds after the greeting."""
    bus = Bus(str(path), time.monotonic() + seconds, hello=hello)
    bus.deadline = min(bus.deadline, time.monotonic() + answer_s)
    try:
        return dict(bus.get_all(SYSTEMD, paths))
    finally:
        bus.close()


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("is_bus", [True, False])
def test_a_bus_and_a_private_socket_give_every_object(tmp_path: Path, order: Order, is_bus: bool) -> None:
    with fake_bus(tmp_path / "bus", OBJECTS, order=order, is_bus=is_bus):
        assert ask(tmp_path / "bus", hello=is_bus) == OBJECTS


def test_signals_stray_replies_and_other_orders_do_not_matter(tmp_path: Path) -> None:
    assert len(PATHS) > 2 * MAX_PENDING_CALLS
    with fake_bus(tmp_path / "bus", OBJECTS, signals=True, backwards=True):
        assert ask(tmp_path / "bus") == OBJECTS


def test_answers_may_come_byte_by_byte(tmp_path: Path) -> None:
    with fake_bus(tmp_path / "bus", OBJECTS, byte_by_byte=True):
        assert ask(tmp_path / "bus", PATHS[:3]) == {path: OBJECTS[path] for path in PATHS[:3]}


def test_a_peer_that_has_another_id_for_our_user_lets_us_in(tmp_path: Path) -> None:
    with fake_bus(tmp_path / "bus", OBJECTS, reject_user_ids=True):
        assert ask(tmp_path / "bus") == OBJECTS


def test_an_error_for_one_object_is_an_answer_like_the_others(tmp_path: Path) -> None:
    objects: dict[str, Object] = {**OBJECTS, PATHS[1]: ("org.freedesktop.DBus.Error.AccessDenied", "not for you")}
    with fake_bus(tmp_path / "bus", objects):
        answers = ask(tmp_path / "bus", [*PATHS[:3], "/nothing"])
    refused, unknown = answers.pop(PATHS[1]), answers.pop("/nothing")
    assert isinstance(refused, ErrorReply)
    assert refused.name == "org.freedesktop.DBus.Error.AccessDenied"
    assert refused.message == "org.freedesktop.DBus.Error.AccessDenied: not for you"
    assert isinstance(unknown, ErrorReply)
    assert answers == {path: OBJECTS[path] for path in (PATHS[0], PATHS[2])}


def test_a_path_may_be_longer_than_an_address(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 60) / ("e" * 60) / "bus"
    assert len(str(path)) > MAX_ADDRESS_BYTES
    with fake_bus(path, OBJECTS):
        before = os.listdir("/proc/self/fd")
        assert ask(path) == OBJECTS
        assert set(os.listdir("/proc/self/fd")) <= set(before)
    with pytest.raises(DBusError, match="cannot connect"):
        ask(tmp_path / ("n" * 120) / "bus")


#: What a fault's message contains.
MESSAGES = {
    "greet-silence": "the greeting not received before the deadline",
    "greet-garbage": "sent an invalid greeting",
    "greet-endless": "without a line end",
    "greet-no-id": "has no server id",
    "greet-early": "before the greeting ended",
    "greet-reset": "while waiting for the greeting|while sending",
    "greet-closed": "connection closed while waiting for the greeting",
    "greet-rejected": "authentication rejected",
    "silence": "its reply not received before the deadline",
    "garbage": "sent an invalid message",
    "half": "a message not received before the deadline",
    "half-closed": "connection closed while waiting for a message",
    "closed": "connection closed while waiting for its reply",
    "two-gigabytes": "announced a message of 2147483664 bytes",
    "endless-field": "announced a message of 4294967280 bytes|announced a message of 4294967296",
    "wrong-type": "unexpected reply type 's'",
    "bad-body": "at most 67108864",
    "flood": "before the deadline",
    "serial-0": "serial is 0",
}
WAITED_FOR = {"greet-silence", "silence", "half", "flood"}


@pytest.mark.parametrize("fault", [*GREETINGS, *ANSWERS])
def test_whatever_a_peer_does_there_is_an_error_that_says_it_in_time(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "bus"
    is_early, is_late = fault == "greet-silence", fault in WAITED_FOR
    for deadline_s in DEADLINES_S if is_late else (AMPLE_S,):
        with fake_bus(path, OBJECTS, fault=fault):
            began = time.monotonic()
            with pytest.raises((DBusError, Timeout)) as caught:
                ask(path, seconds=deadline_s if is_early else AMPLE_S, answer_s=deadline_s)
            took = time.monotonic() - began
        path.unlink()
        if re.search(MESSAGES[fault], caught.value.message):
            break
    assert re.search(MESSAGES[fault], caught.value.message)
    assert isinstance(caught.value, Timeout) == is_late
    assert str(path) in caught.value.message
    assert took < AMPLE_S
    if is_late:
        assert caught.value.hint
        assert took >= deadline_s - 0.01


def test_replies_before_a_fault_remain_valid(tmp_path: Path) -> None:
    with fake_bus(tmp_path / "bus", OBJECTS, fault="garbage", fault_at=2):
        bus = Bus(str(tmp_path / "bus"), time.monotonic() + AMPLE_S)
        received = []
        with pytest.raises(RemoteProtocolError):
            for path, _ in bus.get_all(SYSTEMD, PATHS):
                received.append(path)
        bus.close()
    assert received == PATHS[:2]


def test_without_a_listener(tmp_path: Path) -> None:
    with pytest.raises(DBusError, match="bus: cannot connect: no such file"):
        ask(tmp_path / "bus")
    (tmp_path / "file").write_text("")
    with pytest.raises(DBusError, match="connection refused") as caught:
        ask(tmp_path / "file")
    assert caught.value.hint == "start the service behind this socket; nothing listens on it"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_socket_that_we_may_not_use(tmp_path: Path) -> None:
    with fake_bus(tmp_path / "bus", OBJECTS):
        os.chmod(tmp_path / "bus", 0o600)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                for folder in (tmp_path, *tmp_path.parents):
                    if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
                        folder.chmod(0o755)
                os.setuid(65534)
                ask(tmp_path / "bus")
            except DBusError as fault:
                os.write(writing, f"{fault.message}|{fault.hint}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        message = os.read(reading, 4096).decode()
        os.close(reading)
        os.waitpid(pid, 0)
    assert message == f"{tmp_path / 'bus'}: cannot connect: permission denied|run as root, or as a user with access to this socket"


def test_a_queue_that_is_full_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "bus"))
    listener.listen(0)
    others = []
    try:
        while True:
            other = socket.socket(socket.AF_UNIX)
            others.append(other)
            other.setblocking(False)
            try:
                other.connect(str(tmp_path / "bus"))
            except BlockingIOError:
                break
        began = time.monotonic()
        with pytest.raises(Timeout, match="connection not accepted before the deadline"):
            ask(tmp_path / "bus", seconds=PATIENCE)
        assert PATIENCE - 0.01 <= time.monotonic() - began < AMPLE_S
    finally:
        for connection in (listener, *others):
            connection.close()


def test_a_peer_that_has_gone_costs_an_error_and_not_the_process(tmp_path: Path) -> None:
    """A forked collector has the default SIGPIPE, which would end it without a word."""
    with fake_bus(tmp_path / "bus", OBJECTS) as pid:
        bus = Bus(str(tmp_path / "bus"), time.monotonic() + AMPLE_S)
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            answers = bus.get_all(SYSTEMD, PATHS)
            next(answers)
            os.kill(pid, signal.SIGSTOP)
            bus._socket.shutdown(socket.SHUT_RDWR)
            with pytest.raises(DBusError, match="closed"):
                list(answers)
        finally:
            signal.signal(signal.SIGPIPE, before)
            bus.close()


def test_a_deadline_that_never_comes_or_is_over(tmp_path: Path) -> None:
    with fake_bus(tmp_path / "bus", OBJECTS):
        assert ask(tmp_path / "bus", seconds=float("inf")) == OBJECTS
        assert ask(tmp_path / "bus", seconds=1e12) == OBJECTS
        with pytest.raises(Timeout):
            ask(tmp_path / "bus", seconds=-1)
