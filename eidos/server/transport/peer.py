"""Whose request it is: the address that counts, and the request's identity.

Knows ``X-Forwarded-For`` and the form of a UUID; must not know limits or logs.

Each proxy appends the address that it was asked by, so only as many entries from the right can be believed as there are proxies of our
own; whatever stands to the left was written by whoever asked.
"""

from __future__ import annotations

import random
import re
import socket

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def client_address(peer: str, forwarded: str | None, proxies: int) -> str:
    """The client behind ``proxies`` trusted proxies, of which ``peer`` is the nearest; ``peer`` when an entry is no address.

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
    return address(entries[0].strip(" \t")) or peer


def address(text: str) -> str | None:
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


#: Hexadecimal digits → those with the two highest bits 10.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4))


class Identities:
    """Gives requests their identity. Make one in each process, after the fork."""

    def __init__(self) -> None:
        self._bits = random.Random().getrandbits  # noqa: S311 - an identity is no secret

    def of(self, said: str | None) -> str:
        """What the client said, letter by letter, when it is a UUID, else a new one of version 4 (RFC 9562, section 5.4)."""
        if said is not None and _UUID.fullmatch(said):
            return said
        digits = "%032x" % self._bits(128)  # noqa: UP031 - is the faster one
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
