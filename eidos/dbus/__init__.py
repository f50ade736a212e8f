"""A D-Bus client: it gets the properties of objects from a service.

Knows the D-Bus specification (https://dbus.freedesktop.org/doc/dbus-specification.html); must not know systemd or any other service.
``bus`` owns the one socket. ``sasl`` (authentication), ``message``, ``signature`` (of types), ``marshalling`` and ``unmarshalling`` touch
no socket: bytes in, values out. ``property_readings`` turns values into readings of a snapshot.
"""

from __future__ import annotations
