"""Whose request it is: the client's address and the request's id.

Knows ``X-Forwarded-For`` and the form of a UUID; must not know limits or logs.

Each proxy appends the address that a request came from, so only as many entries from the right can be trusted as there are proxies of
our own; whatever is left of them was written by the client.
"""

from __future__ import annotations

import random
import re
import socket

from eidos.http_wire.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.http_wire.request_head import Head

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def client_address(peer: str, forwarded: str | None, proxies: int) -> str:
    """The client behind ``proxies`` trusted proxies, of which ``peer`` is the nearest; ``peer`` when the entry is no address.

    >>> client_address("192.0.2.9", "203.0.113.7, 192.0.2.1", 1), client_address("192.0.2.9", "203.0.113.7, 192.0.2.1", 0)
    ('192.0.2.1', '192.0.2.9')
    >>> client_address("192.0.2.9", "203.0.113.7, [2001:db8::1]:443", 1), client_address("192.0.2.9", "unknown", 1)
    ('2001:db8::1', '192.0.2.9')
    """
    if not proxies or not forwarded:
        return peer
    entries = forwarded.rsplit(",", proxies)
    if len(entries) > proxies:
        del entries[0]
    return parse_address(entries[0].strip(" \t")) or peer


def parse_address(text: str) -> str | None:
    """An IP address, with or without a port, in its usual form; None when it is none."""
    if text[:1] == "[":
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return None


#: Ids whose first 62 random bits are alike; the last 60 are random for each, and of these samplers of traces look at 56.
IDS_ALIKE = 256


class RequestIds:
    """Gives requests their ids. Create one in each process, after the fork."""

    def __init__(self) -> None:
        self._bits = random.Random().getrandbits  # noqa: S311 - an id is no secret
        self._start, self._left = "", 0

    def choose(self, proposed: str | None) -> str:
        """The id that the client proposes, unchanged, if it is a UUID, else a new one of version 4 (RFC 9562, section 5.4)."""
        if proposed is not None and _UUID.fullmatch(proposed):
            return proposed
        bits = self._bits
        if not self._left:
            self._start, self._left = f"{bits(32):08x}-{bits(16):04x}-4{bits(12):03x}-{8 + bits(2):x}", IDS_ALIKE
        self._left -= 1
        return "%s%03x-%012x" % (self._start, bits(12), bits(48))  # noqa: UP031 - is the faster one


def make_request(head: Head, body: bytes, peer: str, proxies: int, request_ids: RequestIds) -> Request:
    """The request with this head and body, from ``peer``, the last of ``proxies`` trusted ones if there are any."""
    headers = head.headers
    client = client_address(peer, headers.get("x-forwarded-for"), proxies) if proxies else peer
    id = request_ids.choose(headers.get("x-request-id"))
    return Request(head.method, head.target, head.path, head.query, headers, body, client, peer, id)
