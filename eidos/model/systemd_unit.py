"""Names of systemd units.

Knows the syntax of ``systemd.unit(5)``; must not know which units exist, nor how they are read.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.wording import nearest

#: Unit types, each the suffix of its units' names ("The unit type suffix must be one of …", systemd.unit(5)).
TYPES = ("service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope")

#: "ASCII letters, digits, ':', '-', '_', '.', and '\\'", and '@' between a template and its instance.
CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@")

#: "The total length of the unit name including the suffix must not exceed 255 characters."
MAXIMUM_LENGTH = 255

HINT = "use a name like containerd.service or getty@tty1.service; types are " + ", ".join(TYPES)


def unit_name(text: str) -> str:
    """The full name of the unit that ``text`` names; without a type it is a service, as for systemctl.

    >>> unit_name("containerd"), unit_name("docker.socket"), unit_name("getty@tty1")
    ('containerd.service', 'docker.socket', 'getty@tty1.service')

    Raises InvalidInput for what cannot be the name of a unit that is loaded:

    >>> unit_name("contai nerd")
    Traceback (most recent call last):
    eidos.errors.InvalidInput: invalid unit name 'contai nerd': ' ' is not allowed
    """
    strange = next((c for c in text if c not in CHARACTERS), None)
    if strange is not None:
        raise InvalidInput(f"invalid unit name {text!r}: {strange!r} is not allowed", HINT)
    prefix, dot, suffix = text.rpartition(".")
    if suffix not in TYPES:
        meant = nearest(suffix, TYPES) if prefix else None
        if meant:
            raise InvalidInput(f"invalid unit name {text!r}: unknown unit type {suffix!r}", f"did you mean '{prefix}.{meant}'? {HINT}")
        prefix, suffix = text, "service"
    elif not dot:  # a service that is called like a type: "target"
        prefix, suffix = text, "service"
    name = f"{prefix}.{suffix}"
    if not prefix:
        raise InvalidInput(f"invalid unit name {text!r}: no name before the type", HINT)
    if prefix.startswith("@"):
        raise InvalidInput(f"invalid unit name {text!r}: no name before the @", HINT)
    if prefix.endswith("@"):
        raise InvalidInput(f"{text!r} is a template, not a unit", f"name an instance, such as {prefix}name.{suffix}")
    if len(name) > MAXIMUM_LENGTH:
        raise InvalidInput(f"invalid unit name {text[:40]!r}...: longer than {MAXIMUM_LENGTH} characters", HINT)
    return name
