"""The laws of the wire: what is sent is what is read, and any bytes are values or a DBusError, whole or one at a time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eidos.dbus.marshalling import marshal
from eidos.dbus.message import ERROR, METHOD_CALL, METHOD_RETURN, SIGNAL, Message, MessageParser, encode_message
from eidos.dbus.property_readings import property_reading
from eidos.dbus.sasl import Handshake
from eidos.dbus.signature import INTEGERS, Variant, split_signature
from eidos.dbus.unmarshalling import unmarshal
from eidos.errors import DBusError

ORDERS = st.sampled_from(["little", "big"])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
PATHS = st.lists(st.text("abcXYZ_019", min_size=1, max_size=5), max_size=4).map(lambda elements: "/" + "/".join(elements))
NAMES = st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True), min_size=2, max_size=4).map(".".join)
MEMBERS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)

BASIC = st.sampled_from("ynqiuxthbdso")
SIGNATURES = st.recursive(
    BASIC | st.just("v"),
    lambda inner: st.one_of(
        inner.map("a{}".format),
        st.tuples(BASIC, inner).map(lambda pair: "a{" + pair[0] + pair[1] + "}"),
        st.lists(inner, min_size=1, max_size=3).map(lambda fields: "(" + "".join(fields) + ")"),
    ),
    max_leaves=6,
)


def values(kind: str) -> st.SearchStrategy[Any]:
    """Values of one single complete type."""
    code = kind[0]
    if code in INTEGERS:
        size, signed = INTEGERS[code]
        bits = size * 8
        return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)
    if code == "v":
        return SIGNATURES.filter(lambda inner: len(inner) < 20).flatmap(lambda inner: st.tuples(st.just(inner), values(inner)).map(Variant))
    if code == "(":
        return st.tuples(*map(values, split_signature(kind[1:-1])))
    if kind == "ay":
        return st.binary(max_size=9)
    if code == "a" and kind[1] == "{":
        return st.dictionaries(*map(values, split_signature(kind[2:-1])), max_size=3)
    if code == "a":
        return st.lists(values(kind[1:]), max_size=3)
    return {"b": st.booleans(), "d": st.floats(allow_nan=False), "s": TEXT, "o": PATHS}[code]


TYPED = SIGNATURES.flatmap(lambda kind: st.tuples(st.just(kind), values(kind)))


@given(TYPED, ORDERS)
def test_what_is_written_is_what_is_read(typed: tuple[str, Any], order: Any) -> None:
    kind, value = typed
    assert unmarshal(kind, marshal(kind, [value], order), order) == [value]


@given(TYPED, ORDERS)
def test_every_value_has_a_property_reading(typed: tuple[str, Any], order: Any) -> None:
    kind, value = typed
    assert type(property_reading(kind, value)) in (str, int, bool, float)


@given(TYPED, ORDERS, st.data())
def test_no_part_of_a_value_is_a_value(typed: tuple[str, Any], order: Any, data: st.DataObject) -> None:
    kind, value = typed
    encoded = marshal(kind, [value], order)
    part = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    try:
        unmarshal(kind, part, order)
    except DBusError:
        return
    raise AssertionError("part of a value was read as a value")


@given(TYPED, ORDERS, st.data())
def test_a_byte_that_changed_gives_values_or_an_error(typed: tuple[str, Any], order: Any, data: st.DataObject) -> None:
    kind, value = typed
    raw = bytearray(marshal(kind, [value], order))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        unmarshal(kind, bytes(raw), order)
    except DBusError:
        pass


@given(st.text("ynqiuxthbdsogva(){}rz\0", max_size=40), st.binary(max_size=200), ORDERS)
def test_any_signature_and_bytes_give_values_or_an_error(signature: str, data: bytes, order: Any) -> None:
    try:
        read = unmarshal(signature, data, order)
    except DBusError:
        return
    assert len(read) == len(split_signature(signature))


MESSAGES = st.builds(
    Message,
    kind=st.sampled_from([METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL]),
    serial=st.integers(1, (1 << 32) - 1),
    flags=st.integers(0, 255),
    path=PATHS,
    interface=NAMES,
    member=MEMBERS,
    error=NAMES,
    reply_serial=st.integers(1, (1 << 32) - 1),
    destination=NAMES,
    sender=st.just(":1.0"),
    signature=st.just("ay"),
    body=st.binary(max_size=30),
    order=ORDERS,
)


def read_all(chunks: list[bytes]) -> list[Message] | type[DBusError]:
    """All messages in a stream that comes in ``chunks``, or that it is none."""
    parser, read = MessageParser(), []
    try:
        for chunk in chunks:
            parser.feed(chunk)
            while (message := parser.next_message()) is not None:
                read.append(message)
                try:
                    message.values()
                except DBusError:
                    pass
    except DBusError:
        return DBusError
    return read


@given(st.lists(MESSAGES, max_size=3))
def test_a_stream_of_messages_is_those_messages_at_once_and_byte_by_byte(messages: list[Message]) -> None:
    stream = b"".join(map(encode_message, messages))
    assert read_all([stream]) == messages
    assert read_all([stream[at : at + 1] for at in range(len(stream))]) == messages


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda rest: b"l\2\0\1" + rest))
def test_any_stream_is_messages_or_an_error_and_the_same_one_byte_by_byte(stream: bytes) -> None:
    assert read_all([stream]) == read_all([stream[at : at + 1] for at in range(len(stream))])


@given(MESSAGES, st.data())
def test_a_message_with_a_byte_that_changed_is_a_message_or_an_error(message: Message, data: st.DataObject) -> None:
    changed = bytearray(encode_message(message))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    raw = bytes(changed)
    assert read_all([raw]) == read_all([raw[at : at + 1] for at in range(len(raw))])


WORDS = st.sampled_from([b"OK ", b"OK " + b"a" * 32, b"DATA", b"REJECTED", b" EXTERNAL", b"ERROR", b"\r\n", b"\r", b"\n", b"\0", b"\xff"])


@given(st.lists(WORDS | st.binary(max_size=8), max_size=12).map(b"".join))
def test_any_greeting_lets_us_in_or_is_an_error_and_the_same_byte_by_byte(greeting: bytes) -> None:
    def outcome(chunks: list[bytes]) -> object:
        auth = Handshake(0)
        try:
            for chunk in chunks:
                auth.feed(chunk)
        except DBusError:
            return DBusError
        return auth.is_done

    assert outcome([greeting]) == outcome([greeting[at : at + 1] for at in range(len(greeting))])
