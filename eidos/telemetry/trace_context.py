"""Trace context: extracts it from headers or the environment, and injects it into requests.

Knows W3C Trace Context (https://www.w3.org/TR/trace-context/: ``traceparent``, ``tracestate``), W3C Baggage
(https://www.w3.org/TR/baggage/) and the same in environment variables (OpenTelemetry, "Environment Variables as Context Propagation
Carriers"); must not know spans. Everything from outside is validated and bounded before it is passed on.
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


class SpanContext(Record):
    """The identity of a span: ids of 32 and 16 lower-case hexadecimal digits, the sampled flag, ``tracestate`` and ``baggage``."""

    trace_id: str
    span_id: str
    sampled: bool
    trace_state: str = ""
    baggage: str = ""

    def to_headers(self) -> dict[str, str]:
        """The headers that propagate it with a request."""
        headers = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"}
        if self.trace_state:
            headers["tracestate"] = self.trace_state
        if self.baggage:
            headers["baggage"] = self.baggage
        return headers


def parse_traceparent(text: str) -> tuple[str, str, bool] | None:
    """Trace id, span id and sampled flag of a ``traceparent``; None when it is invalid (section 3.2.2.3: then a new trace begins).

    A later version than 00 may have more fields, which are ignored (section 4).

    >>> parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
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


def extract_context(carrier: Mapping[str, str]) -> SpanContext | None:
    """The context in ``carrier`` (headers with names in lower case), or None without a valid ``traceparent``."""
    parent = parse_traceparent(carrier.get("traceparent", ""))
    if parent is None:
        return None
    state, baggage = carrier.get("tracestate"), carrier.get("baggage")
    return SpanContext(*parent, parse_tracestate(state) if state else "", parse_baggage(baggage) if baggage else "")


def context_from_environment(environ: Mapping[str, str]) -> SpanContext | None:
    """The context in the variables ``TRACEPARENT``, ``TRACESTATE`` and ``BAGGAGE``."""
    return extract_context({name: environ[name.upper()] for name in ("traceparent", "tracestate", "baggage") if name.upper() in environ})


def parse_tracestate(text: str) -> str:
    """``tracestate`` as it is passed on: "" when it is invalid, else its members as far as they fit.

    >>> parse_tracestate(" congo=t61rcWkgMzE , rojo=00f067aa0ba902b7,,")
    'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'
    """
    members = [member.strip(" \t") for member in text.split(",", STATE_MEMBERS * 4)]
    members = [member for member in members if member]
    keys = set()
    for member in members:
        key, equals, value = member.partition("=")
        if not equals or not _is_key(key) or not 0 < len(value) <= 256 or "=" in value or not _is_printable(value) or key in keys:
            return ""
        keys.add(key)
    if len(members) > STATE_MEMBERS:
        return ""
    while sum(map(len, members)) + len(members) - 1 > STATE_LIMIT:
        long = next((member for member in reversed(members) if len(member) > LONG_MEMBER), members[-1])
        members.remove(long)
    return ",".join(members)


def _is_key(key: str) -> bool:
    """Section 3.3.1.3.1: a simple key, or ``tenant@system``."""
    tenant, at, system = key.partition("@")
    allowed = all("a" <= char <= "z" or "0" <= char <= "9" or char in "_-*/" for char in tenant + system)
    if not allowed or not tenant or not (tenant[0].isalpha() or (at and tenant[0].isdigit())):
        return False
    return len(tenant) <= (241 if at else 256) and (not at or (0 < len(system) <= 14 and system[0].isalpha()))


def _is_printable(text: str) -> bool:
    return all(" " <= char <= "~" for char in text)


def parse_baggage(text: str) -> str:
    r"""``baggage`` as it is passed on, without invalid members and those that exceed the limits.

    >>> parse_baggage("userId=alice, serverNode=DF%2028;hop=1 ,nonsense, x=\n")
    'userId=alice,serverNode=DF%2028;hop=1'
    """
    members: list[str] = []
    size = 0
    for member in text.split(",", BAGGAGE_MEMBERS * 4)[: BAGGAGE_MEMBERS * 4]:
        member = member.strip(" \t")
        key = member.partition("=")[0].rstrip(" \t")
        if (
            "=" not in member.partition(";")[0]
            or not key
            or not _is_printable(member)
            or any(char in '(),/:;<=>?@[\\]{}" ' for char in key)
        ):
            continue
        size += len(member) + 1
        if len(members) == BAGGAGE_MEMBERS or size - 1 > BAGGAGE_LIMIT:
            break
        members.append(member)
    return ",".join(members)


def trace_id_from_request_id(request_id: str) -> str:
    """The trace id of a request without a ``traceparent``, from its UUID, so that one leads to the other in logs.

    The last digits of a random UUID (RFC 9562, section 5.4) are random, as sampling requires; any other id is hashed.

    >>> trace_id_from_request_id("0b0e7f4e-7f3c-4a8e-9c53-0d6f4f4f8b1a")
    '0b0e7f4e7f3c4a8e9c530d6f4f4f8b1a'
    """
    digits = request_id.replace("-", "").lower()
    if len(digits) == 32 and digits[12] == "4" and _HEX.issuperset(digits):
        return digits
    from hashlib import blake2b

    return blake2b(request_id.encode(errors="replace"), digest_size=16).hexdigest()
