"""A D-Bus client that can do what eidos needs: ask a service for the properties of its objects.

Knows the D-Bus specification (https://dbus.freedesktop.org/doc/dbus-specification.html); must not know systemd or any other
service. ``wire`` turns values into bytes and back, ``message`` cuts a stream into messages, ``auth`` is the greeting; none of
the three touches a socket, so each can be fed byte by byte. ``bus`` owns the one socket.
"""

from __future__ import annotations
