"""Whose work this is: the trace that a caller says it belongs to, and what it carries along.

Knows W3C Trace Context (https://www.w3.org/TR/trace-context/: ``traceparent``, ``tracestate``) and W3C Baggage
(https://www.w3.org/TR/baggage/), and how environment variables carry the same (OpenTelemetry, "Environment Variables as Context
Propagation Carriers"); must not know spans. What comes from outside is checked and bounded before it goes anywhere.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Members and characters of ``tracestate`` that are passed on (section 3.3.1.1 and 3.3.1.5), of ``baggage`` likewise (section 3.3.2).
STATE_MEMBERS, STATE_LIMIT, BAGGAGE_MEMBERS, BAGGAGE_LIMIT = 32, 512, 64, 8192

#: A long member of ``tracestate`` is the first to go (section 3.3.1.5).
LONG_MEMBER = 128

_HEX = frozenset("0123456789abcdef")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Context(Record):
    """A place in a trace: ids in lower-case hexadecimal, 32 and 16 digits; whether it is recorded; what goes along with it."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""
    baggage: str = ""

    def headers(self) -> dict[str, str]:
        """What a request that is sent from here carries."""
        found = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"}
        if self.state:
            found["tracestate"] = self.state
        if self.baggage:
            found["baggage"] = self.baggage
        return found


def parse_parent(text: str) -> tuple[str, str, bool] | None:
    """Trace, span and whether it is sampled, of a ``traceparent``; None when it is none (section 3.2.2.3: then a trace begins).

    A later version than 00 may have more behind it, which is not read (section 4).

    >>> parse_parent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', True)
    """
    text = text.strip(" \t")
    if len(text) < 55 or text[2] != "-" or text[35] != "-" or text[52] != "-":
        return None
    version, trace, span, flags = text[:2], text[3:35], text[36:52], text[53:55]
    if not _HEX.issuperset(version + trace + span + flags) or version == "ff" or trace == _NO_TRACE or span == _NO_SPAN:
        return None
    if (version == "00" and len(text) != 55) or (len(text) > 55 and text[55] != "-"):
        return None
    return trace, span, bool(int(flags, 16) & 1)


def parse(carrier: Mapping[str, str]) -> Context | None:
    """What ``carrier`` (headers with names in lower case) says, or None when it names no trace."""
    parent = parse_parent(carrier.get("traceparent", ""))
    if parent is None:
        return None
    state, baggage = carrier.get("tracestate"), carrier.get("baggage")
    return Context(*parent, parse_state(state) if state else "", parse_baggage(baggage) if baggage else "")


def from_environment(environ: Mapping[str, str]) -> Context | None:
    """What the variables ``TRACEPARENT``, ``TRACESTATE`` and ``BAGGAGE`` say."""
    return parse({name: environ[name.upper()] for name in ("traceparent", "tracestate", "baggage") if name.upper() in environ})


def parse_state(text: str) -> str:
    """``tracestate`` as it is passed on: "" when it is none, else its first members as far as they fit.

    >>> parse_state(" congo=t61rcWkgMzE , rojo=00f067aa0ba902b7,,")
    'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'
    """
    members = [member.strip(" \t") for member in text.split(",", STATE_MEMBERS * 4)]
    members = [member for member in members if member]
    keys = set()
    for member in members:
        key, equals, value = member.partition("=")
        if not equals or not _is_key(key) or not 0 < len(value) <= 256 or "=" in value or not _printable(value) or key in keys:
            return ""
        keys.add(key)
    if len(members) > STATE_MEMBERS:
        return ""
    while sum(map(len, members)) + len(members) - 1 > STATE_LIMIT:
        long = next((member for member in reversed(members) if len(member) > LONG_MEMBER), members[-1])
        members.remove(long)
    return ",".join(members)


def _is_key(key: str) -> bool:
    """Section 3.3.1.3.1: a simple key, or one of a tenant and a system."""
    tenant, at, system = key.partition("@")
    allowed = all("a" <= char <= "z" or "0" <= char <= "9" or char in "_-*/" for char in tenant + system)
    if not allowed or not tenant or not (tenant[0].isalpha() or (at and tenant[0].isdigit())):
        return False
    return len(tenant) <= (241 if at else 256) and (not at or (0 < len(system) <= 14 and system[0].isalpha()))


def _printable(text: str) -> bool:
    return all(" " <= char <= "~" for char in text)


def parse_baggage(text: str) -> str:
    r"""``baggage`` as it is passed on: what is no member is left out, and so is what does not fit any more.

    >>> parse_baggage("userId=alice, serverNode=DF%2028;hop=1 ,nonsense, x=\n")
    'userId=alice,serverNode=DF%2028;hop=1'
    """
    found: list[str] = []
    size = 0
    for member in text.split(",", BAGGAGE_MEMBERS * 4)[: BAGGAGE_MEMBERS * 4]:
        member = member.strip(" \t")
        key = member.partition("=")[0].rstrip(" \t")
        if "=" not in member.partition(";")[0] or not key or not _printable(member) or any(char in '(),/:;<=>?@[\\]{}" ' for char in key):
            continue
        size += len(member) + 1
        if len(found) == BAGGAGE_MEMBERS or size - 1 > BAGGAGE_LIMIT:
            break
        found.append(member)
    return ",".join(found)


def trace_id_of(request_id: str) -> str:
    """The trace of a request that names none, from its UUID: whoever has one of the two in a log finds the other.

    The last digits of a random UUID (RFC 9562, section 5.4) are random, which sampling asks for; any other is hashed.

    >>> trace_id_of("0b0e7f4e-7f3c-4a8e-9c53-0d6f4f4f8b1a")
    '0b0e7f4e7f3c4a8e9c530d6f4f4f8b1a'
    """
    digits = request_id.replace("-", "").lower()
    if len(digits) == 32 and digits[12] == "4" and _HEX.issuperset(digits):
        return digits
    from hashlib import blake2b

    return blake2b(request_id.encode(errors="replace"), digest_size=16).hexdigest()
