"""D-Bus values, messages and the handshake as bytes: the specification's examples, its limits, and every way to break a rule."""

from __future__ import annotations

import pytest

from eidos.dbus.marshalling import marshal
from eidos.dbus.message import (
    ERROR,
    MESSAGE_LIMIT_BYTES,
    METHOD_CALL,
    METHOD_RETURN,
    SIGNAL,
    Message,
    MessageParser,
    encode_message,
    is_valid_name,
)
from eidos.dbus.sasl import MAX_LINE_BYTES, Handshake
from eidos.dbus.signature import LocalProtocolError, RemoteProtocolError, Variant, is_valid_object_path, split_signature
from eidos.dbus.unmarshalling import unmarshal
from eidos.errors import DBusError
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.dbus.signature import Order

HELLO = Message(
    METHOD_CALL, 1, path="/org/freedesktop/DBus", interface="org.freedesktop.DBus", member="Hello", destination="org.freedesktop.DBus"
)

# The first messages of busctl (sd-bus) and dbus-send (libdbus), as they wrote them to a socket.
HELLO_OF_BUSCTL = bytes.fromhex(
    "6c01000100000000010000006d000000"  # little-endian, a call, no flags, version 1; no body, serial 1, 109 bytes of fields
    "01016f00150000002f6f72672f667265656465736b746f702f44427573000000"
    "030173000500000048656c6c6f000000"
    "02017300140000006f72672e667265656465736b746f702e4442757300000000"
    "06017300140000006f72672e667265656465736b746f702e4442757300000000"
)
HELLO_OF_DBUS_SEND = bytes.fromhex(
    "6c01000100000000010000006e000000"
    "01016f00150000002f6f72672f667265656465736b746f702f44427573000000"
    "06017300140000006f72672e667265656465736b746f702e4442757300000000"
    "02017300140000006f72672e667265656465736b746f702e4442757300000000"
    "030173000500000048656c6c6f000000"
)


@pytest.mark.parametrize(
    ("signature", "values", "order", "data"),
    [
        # "strings 'foo', '+' and 'bar' would be serialized in sequence as follows" (Marshalling basic types)
        ("sss", ["foo", "+", "bar"], "little", "03000000 666f6f00 01000000 2b000000 03000000 62617200"),
        # "an array containing only the 64-bit integer 5" (Marshalling containers)
        ("ax", [[5]], "big", "00000008 00000000 00000000 00000005"),
        ("y", [255], "little", "ff"),
        ("yn", [1, -2], "little", "01 00 feff"),
        ("yq", [1, 2], "big", "01 00 0002"),
        ("b", [True], "big", "00000001"),
        ("yx", [1, -1], "little", "01 00000000000000 ffffffffffffffff"),
        ("d", [1.0], "big", "3ff0000000000000"),
        ("d", [1.0], "little", "000000000000f03f"),
        ("g", ["a{sv}"], "little", "05 617b73767d 00"),
        ("o", ["/a"], "little", "02000000 2f6100"),
        ("v", [Variant(("u", 7))], "little", "01 75 00 00 07000000"),
        ("ay", [b"\1\2"], "little", "02000000 0102"),
        ("y(yu)", [1, (2, 3)], "little", "01 00000000000000 02 000000 03000000"),
        ("a{ys}", [{1: "a"}], "little", "0a000000 00000000 01 000000 01000000 6100"),
        ("at", [[]], "little", "00000000 00000000"),  # padding comes even before no elements
    ],
)
def test_values_have_the_bytes_of_the_specification(signature: str, values: list[object], order: Order, data: str) -> None:
    assert marshal(signature, values, order) == bytes.fromhex(data)
    assert unmarshal(signature, bytes.fromhex(data), order) == values


@pytest.mark.parametrize(
    ("signature", "data", "reason"),
    [
        ("b", "02000000", "invalid boolean"),
        ("u", "010000", "ends beyond"),
        ("yu", "01 010000 07000000", "padding that is not nul"),
        ("s", "05000000 616200", "ends beyond"),
        ("s", "ffffffff 616200", "ends beyond"),
        ("s", "02000000 616263", "nul in the wrong place"),
        ("s", "03000000 61006300", "nul in the wrong place"),
        ("s", "02000000 c32800", "not UTF-8"),
        ("s", "02000000 c0af00", "not UTF-8"),  # an overlong sequence
        ("s", "03000000 eda08000", "not UTF-8"),  # half a surrogate pair
        ("o", "02000000 612f00", "invalid object path"),
        ("o", "03000000 2f612f00", "invalid object path"),
        ("g", "01 61 00", "where a type should begin"),
        ("g", "05 61 00", "ends beyond"),
        ("v", "02 7575 00 00000000 00000000", "not the type of one value"),
        ("v", "00 00", "not the type of one value"),
        ("v", "01 ff 00", "no signature"),
        ("v", "01 75 01 00000000", "nul in the wrong place"),
        ("v", "09 75", "ends beyond"),
        ("ay", "05000000 0102", "ends beyond"),
        ("ay", "01000004 01", "at most 67108864"),
        ("au", "03000000 000000", "ends beyond"),
        ("a{yu}", "08000000 00000000 01 000001 07000000", "padding that is not nul"),
        ("y", "0102", "1 bytes more"),
        ("", "00", "1 bytes more"),
        ("y", "", "ends beyond"),
        ("z", "00", "where a type should begin"),
    ],
)
def test_bytes_that_break_a_rule_are_the_peers_fault(signature: str, data: str, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        unmarshal(signature, bytes.fromhex(data))


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("y", [256]),
        ("n", [40000]),
        ("u", [-1]),
        ("u", [True]),
        ("u", ["1"]),
        ("b", [1]),
        ("d", ["1"]),
        ("s", [b"x"]),
        ("s", ["a\0b"]),
        ("s", ["\ud800"]),
        ("o", ["a"]),
        ("g", ["aa"]),
        ("g", ["é"]),
        ("v", [7]),
        ("v", [Variant(("uu", 7))]),
        ("ay", [[1, 2]]),
        ("au", [(1, 2)]),
        ("a{su}", [[("a", 1)]]),
        ("(su)", [("a",)]),
        ("u", []),
        ("(", [1]),
    ],
)
def test_values_that_are_not_of_their_type_are_our_fault(signature: str, values: list[object]) -> None:
    with pytest.raises(LocalProtocolError):
        marshal(signature, values)


@pytest.mark.parametrize(
    "signature", ["", "s", "a{sv}", "(ii)(ii)", "aai", "a{s(aiai)}", "a" * 32 + "i", "(" * 32 + "i" + ")" * 32, "s" * 255]
)
def test_signatures(signature: str) -> None:
    assert "".join(split_signature(signature)) == signature


@pytest.mark.parametrize(
    "signature",
    [
        *("aa", "(ii", "ii)", "()", "{sv}", "a{s}", "a{}", "a{svv}", "a{(i)s}", "a{vs}", "r", "e", "m", "*", "?", "\0", "z", "a"),
        *("a" * 33 + "i", "(" * 33 + "i" + ")" * 33, "s" * 256),
    ],
)
def test_no_signatures(signature: str) -> None:
    with pytest.raises(DBusError):
        split_signature(signature)


def test_containers_may_be_64_deep_and_no_deeper() -> None:
    def nested(depth: int) -> Variant:
        value = Variant(("y", 1))
        for _ in range(depth - 1):
            value = Variant(("v", value))
        return value

    data = marshal("v", [nested(64)])
    assert unmarshal("v", data) == [nested(64)]
    with pytest.raises(LocalProtocolError, match="deeper than 64"):
        marshal("v", [nested(65)])
    with pytest.raises(RemoteProtocolError, match="deeper than 64"):
        unmarshal("v", b"\1v\0" + data)


def test_types_that_a_peer_invents_do_not_pile_up() -> None:
    from eidos.dbus import unmarshalling

    for number in range(2000):
        kind = "(" + "".join("yu"[number >> bit & 1] for bit in range(11)) + ")"
        with pytest.raises(RemoteProtocolError):
            unmarshal("v", bytes([len(kind)]) + kind.encode() + b"\0")
    assert len(unmarshalling._READERS) <= unmarshalling._READERS_LIMIT


@pytest.mark.parametrize(
    ("path", "valid"),
    [
        ("/", True),
        ("/a/B_9", True),
        ("", False),
        ("a", False),
        ("//", False),
        ("/a//b", False),
        ("/a/", False),
        ("/a-b", False),
        ("/é", False),
    ],
)
def test_object_paths(path: str, valid: bool) -> None:
    assert is_valid_object_path(path) == valid


@pytest.mark.parametrize(
    ("name", "valid"),
    [("a.b", True), ("a", False), ("a..b", False), ("a.9b", False), (".a.b", False), ("a.b-c", False), ("a." + "b" * 254, False)],
)
def test_interface_names(name: str, valid: bool) -> None:
    assert is_valid_name(name) == valid


@pytest.mark.parametrize("data", [HELLO_OF_BUSCTL, HELLO_OF_DBUS_SEND])
def test_messages_of_other_implementations_are_read_and_have_as_many_bytes_as_ours(data: bytes) -> None:
    parser = MessageParser()
    parser.feed(data)
    assert parser.next_message() == HELLO
    assert parser.next_message() is None
    assert len(encode_message(HELLO)) == len(data)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_is_cut_into_its_messages_however_it_arrives(order: Order, size: int) -> None:
    sent = [
        replace(HELLO, order=order),
        Message(METHOD_RETURN, 2, 1, reply_serial=1, sender=":1.0", signature="s", body=marshal("s", [":1.42"], order), order=order),
        Message(ERROR, 3, error="a.b", reply_serial=9, order=order),
        Message(SIGNAL, 4, path="/", interface="a.b", member="C", sender="org.freedesktop.DBus", order=order),
    ]
    stream = b"".join(map(encode_message, sent))
    parser, parsed = MessageParser(), []
    for at in range(0, len(stream), size):
        parser.feed(stream[at : at + size])
        while (message := parser.next_message()) is not None:
            parsed.append(message)
    assert parsed == sent
    assert parsed[1].values() == [":1.42"]
    assert parser.buffered_bytes == 0


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"H", "invalid message"),  # one byte is enough to know
        (b"l\0", "type 0"),
        (b"l\2\0\2", "version 2"),
        (b"l\2\0\1" + b"\0\0\0\x80" + b"\1\0\0\0" + bytes(4), "announced a message of 2147483664 bytes"),
        (b"l\2\0\1" + bytes(4) + b"\1\0\0\0" + b"\xff\xff\xff\xff", "announced a message of"),
        (b"l\2\0\1" + bytes(12), "serial is 0"),
        (b"l\2\0\1" + bytes(4) + b"\1\0\0\0" + bytes(4), "without its reply_serial"),
        (b"l\1\0\1" + bytes(4) + b"\1\0\0\0" + bytes(4), "without its path"),
    ],
)
def test_a_stream_that_cannot_be_messages_is_refused_at_the_first_byte_that_shows_it(start: bytes, reason: str) -> None:
    parser = MessageParser()
    parser.feed(start)
    with pytest.raises(RemoteProtocolError, match=reason):
        parser.next_message()
    parser = MessageParser()
    for byte in start[:-1]:
        parser.feed(bytes([byte]))
        try:
            parser.next_message()
        except RemoteProtocolError:
            return
    parser.feed(start[-1:])
    with pytest.raises(RemoteProtocolError):
        parser.next_message()


def header(*fields: tuple[int, Variant]) -> bytes:
    data = marshal("yyyyuua(yv)", [ord("l"), METHOD_RETURN, 0, 1, 0, 1, list(fields)])
    return data + bytes(-len(data) % 8)


SERIAL = (5, Variant(("u", 3)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header((5, Variant(("s", "3")))), "reply_serial is of type 's'"),
        (header(SERIAL, (6, Variant(("s", "no name")))), "as destination"),
        (header(SERIAL, (2, Variant(("s", "a")))), "as interface"),
        (header(SERIAL, (3, Variant(("s", "a.b")))), "as member"),
        (header(SERIAL, (8, Variant(("g", "s"))))[:-1] + b"\1", "padding|nul"),
    ],
)
def test_headers_that_break_a_rule_are_refused(data: bytes, reason: str) -> None:
    parser = MessageParser()
    parser.feed(data)
    with pytest.raises(RemoteProtocolError, match=reason):
        parser.next_message()


def test_unknown_fields_are_ignored() -> None:
    parser = MessageParser()
    parser.feed(header(SERIAL, (9, Variant(("u", 0))), (200, Variant(("as", ["x"])))))
    assert parser.next_message() == Message(METHOD_RETURN, 1, reply_serial=3)


def test_a_message_may_be_as_long_as_the_limit() -> None:
    body = marshal("ay", [bytes(MESSAGE_LIMIT_BYTES - 200)])
    message = Message(METHOD_RETURN, 1, reply_serial=1, signature="ay", body=body)
    parser = MessageParser()
    parser.feed(encode_message(message))
    assert parser.next_message() == message
    parser = MessageParser(limit_bytes=1000)
    parser.feed(encode_message(message)[:16])
    with pytest.raises(RemoteProtocolError, match="at most 1000"):
        parser.next_message()


@pytest.mark.parametrize(
    "message",
    [
        replace(HELLO, serial=0),
        replace(HELLO, path=""),
        replace(HELLO, path="org"),
        replace(HELLO, member="a.b"),
        replace(HELLO, interface="a"),
        replace(HELLO, destination=":1"),
    ],
)
def test_messages_that_must_not_be_sent(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        encode_message(message)


def shake_hands(uid: int, *answers: bytes) -> tuple[Handshake, list[bytes]]:
    handshake = Handshake(uid)
    sent_lines = [handshake.data_to_send()]
    for answer in answers:
        handshake.feed(answer)
        sent_lines.append(handshake.data_to_send())
    return handshake, sent_lines


OK = b"OK 1234deadbeef1234deadbeef1234dead\r\n"


def test_the_handshake_names_our_user() -> None:
    handshake, sent_lines = shake_hands(1000, OK)
    assert handshake.is_done
    assert sent_lines == [b"\0AUTH EXTERNAL 31303030\r\n", b"BEGIN\r\n"]
    assert handshake.data_to_send() == b""


def test_a_rejected_user_id_is_left_to_the_peer() -> None:
    handshake, sent_lines = shake_hands(0, b"REJECTED ANONYMOUS EXTERNAL\r\n", b"DATA\r\n", OK)
    assert handshake.is_done
    assert sent_lines == [b"\0AUTH EXTERNAL 30\r\n", b"AUTH EXTERNAL\r\n", b"DATA\r\n", b"BEGIN\r\n"]


def test_the_handshake_may_arrive_byte_by_byte() -> None:
    handshake, _ = shake_hands(0, *(OK[at : at + 1] for at in range(len(OK) - 1)))
    assert not handshake.is_done
    handshake.feed(b"\n")
    assert handshake.is_done


@pytest.mark.parametrize(
    "answers",
    [
        [b"REJECTED\r\n"],
        [b"REJECTED KERBEROS_V4\r\n"],
        [b"REJECTED EXTERNAL\r\n", b"REJECTED EXTERNAL\r\n"],
        [b"REJECTED EXTERNAL\r\n", b"ERROR\r\n"],
        [b"ERROR no\r\n"],
        [b"DATA\r\n"],
        [b"REJECTED EXTERNAL\r\n", b"DATA 00\r\n"],
        [b"AGREE_UNIX_FD\r\n"],
        [b"OK\r\n"],
        [b"OK x\r\n"],
        [b"\r\n"],
        [OK + b"l"],
        [b"\xff\xfe\r\n"],
        [b"x" * (MAX_LINE_BYTES + 1)],
        [b"x"] * (MAX_LINE_BYTES + 1),
    ],
)
def test_no_handshake(answers: list[bytes]) -> None:
    with pytest.raises(DBusError):
        shake_hands(0, *answers)
