"""Properties of systemd units, asked of systemd itself over D-Bus.

Knows where systemd listens, how it names its objects, and which properties are readings; must not know the wire protocol. systemd's
private socket is tried first: it answers root without a message bus, in processes that share systemd's PID namespace. The system bus
answers all users.

One subtype for each unit, named like the unit, with everything that ``org.freedesktop.DBus.Properties.GetAll`` returns for all of the
unit's interfaces (org.freedesktop.systemd1(5)): some 400 properties of a service. A unit that does not exist has them, too::

    - subtype: crio.service
      data:
        ActiveState: inactive
        LoadError: "[org.freedesktop.systemd1.NoSuchUnit Unit crio.service not found.]"
        LoadState: not-found

and is no failure. A reply for a real one:

>>> from eidos.dbus.signature import Variant
>>> reply = {
...     "LimitNOFILE": Variant(("t", 1048576)),
...     "Environment": Variant(("as", ["HTTPS_PROXY=http://bob:pw@example.com", "LEVEL=2"])),
...     "CPUUsageNSec": Variant(("t", 51207000)),
...     "After": Variant(("as", ["sysinit.target", "dbus.socket"])),
... }
>>> unit, volatile, secrets = parse_unit_properties(reply, harmless_names("variables", "options"))
>>> unit
{'After': '[dbus.socket sysinit.target]', 'Environment': '[HTTPS_PROXY=http://<withheld>@example.com LEVEL=2]', 'LimitNOFILE': 1048576}
>>> volatile, secrets
({'CPUUsageNSec': 51207000}, ['Environment HTTPS_PROXY'])
"""

from __future__ import annotations

import time

from eidos import log
from eidos.collectors import harmless_names
from eidos.errors import DBusError, EidosError, NotApplicable, NotFound, Timeout
from eidos.files.host import FileUnreadable
from eidos.model.measurement import REVEALED, SECRET, UNREADABLE, VOLATILE, WITHHELD, Gap, Subtype
from eidos.model.volatile import UNORDERED_UNIT_PROPERTIES, VOLATILE_UNIT_PROPERTIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.dbus.bus import Bus, ErrorReply
    from eidos.dbus.signature import Variant
    from eidos.files.host import Host
    from eidos.model.measurement import Part, Readings
    from eidos.redact.harmless_names import NameList

#: Where systemd listens, directly ("/run/systemd/private … is used internally", systemd(1)) and behind the message bus.
PRIVATE_SOCKET, SYSTEM_BUS = "/run/systemd/private", "/run/dbus/system_bus_socket"

SERVICE = "org.freedesktop.systemd1"
UNITS_PATH = "/org/freedesktop/systemd1/unit/"

#: Errors of a bus that systemd is not on, and of one that refuses this user.
ABSENT_ERRORS = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")
DENIED_ERRORS = ("org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")

#: Seconds before the deadline at which to give up, to leave time to report the reason; a tenth of the time when that is less.
MARGIN_S = 0.3


def collect(sources: Sources) -> Iterator[Part]:
    """Yield a subtype for each of ``sources.units``, and a gap for each unit that systemd refuses and each secret.

    Raises NotApplicable where no systemd is, DBusError or Timeout where it does not answer as it should.
    """
    try:
        sources.host.exists("/run")
    except FileUnreadable as fault:
        if fault.errno is None:  # what a container has there is not the host's
            yield Gap(UNREADABLE, fault.path, fault.reason)
            return
    left = sources.deadline - time.monotonic()
    bus = _connect(sources, sources.deadline - min(MARGIN_S, left / 10))
    from eidos.dbus.bus import ErrorReply

    try:
        names = harmless_names("variables", "options", revealed=sources.reveal)
        units = {unit_object_path(unit): unit for unit in sources.units}
        refusals: list[tuple[str, ErrorReply]] = []
        for path, answer in bus.get_all(SERVICE, list(units)):
            if isinstance(answer, ErrorReply):
                refusals.append((units[path], answer))
            else:
                yield from _parts(units[path], answer, sources, names)
        if refusals and len(refusals) == len(units):
            raise _refused(bus.path, refusals[0][1], sources.host)
        for unit, refusal in refusals:
            yield Gap(UNREADABLE, unit, refusal.message)
        for name in names.revealed:
            yield Gap(REVEALED, name, "requested")
    finally:
        bus.close()


def parse_unit_properties(properties: dict[str, Variant], names: NameList) -> tuple[Readings, Readings, list[str]]:
    """The readings of a unit, the volatile ones, and the property of each redacted secret."""
    from eidos.dbus.property_readings import property_reading
    from eidos.redact.unit_properties import redact_unit_property

    unit: Readings = {}
    volatile: Readings = {}
    secrets: list[str] = []
    for name in sorted(properties):
        signature, value = properties[name]
        if name in UNORDERED_UNIT_PROPERTIES and signature == "as" and isinstance(value, list):
            value = sorted(value)
        value, labels = redact_unit_property(name, value, names)
        secrets += labels
        (volatile if name in VOLATILE_UNIT_PROPERTIES else unit)[name] = property_reading(signature, value)
    return unit, volatile, secrets


def unit_object_path(unit: str) -> str:
    """The D-Bus object path of a unit: bytes other than letters, and digits after the first, are written ``_xx``.

    >>> unit_object_path("nvidia-imex.service")
    '/org/freedesktop/systemd1/unit/nvidia_2dimex_2eservice'
    """
    label = [chr(b) if chr(b).isalnum() and b < 128 and (at or not chr(b).isdigit()) else f"_{b:02x}" for at, b in enumerate(unit.encode())]
    return UNITS_PATH + ("".join(label) or "_")


def _parts(unit: str, properties: dict[str, Variant], sources: Sources, names: NameList) -> Iterator[Part]:
    if not sources.volatile:
        properties = {name: value for name, value in properties.items() if name not in VOLATILE_UNIT_PROPERTIES}
    data, volatile, secrets = parse_unit_properties(properties, names)
    yield Subtype(unit, data)
    from eidos.dbus.property_readings import property_reading

    withheld = [name for name, value in data.items() if WITHHELD in str(value)] if secrets else []
    yield from sources.digests(unit, {name: property_reading(*properties[name]) for name in withheld}, data)
    if sources.volatile:
        yield Subtype(unit + VOLATILE, volatile)
    for secret in secrets:
        yield Gap(SECRET, f"{unit} {secret}", "a secret")


def _connect(sources: Sources, deadline: float) -> Bus:
    """A connection to systemd through the first socket that answers."""
    faults: list[EidosError] = []
    absent = 0
    for socket_path, is_bus in ((PRIVATE_SOCKET, False), (SYSTEM_BUS, True)):
        try:
            path = sources.host.real_path(socket_path)
        except NotFound:
            absent += 1
            continue
        except EidosError as fault:
            faults.append(fault.with_traceback(None))
            continue
        from eidos.dbus.bus import Bus  # where no systemd runs, none is needed

        now = time.monotonic()
        try:
            # A silent socket may take half of the time, so that some is left to try the other.
            return Bus(path, deadline if is_bus else now + (deadline - now) / 2, hello=is_bus)
        except (DBusError, Timeout) as fault:
            log.debug(f"systemd: {fault.message}")
            faults.append(fault.with_traceback(None))  # the traceback would make a reference cycle with this frame
    if absent == 2:
        raise _no_socket(sources)
    first, last = faults[0], faults[-1]
    if first is last:
        hint = (
            last.hint
            or f"run as root in the host's PID namespace (hostPID: true, --host-pid) for {PRIVATE_SOCKET}, or make {SYSTEM_BUS} available"
        )
        raise (Timeout if isinstance(last, Timeout) else DBusError)(last.message, hint)
    raise (Timeout if isinstance(last, Timeout) else DBusError)(f"{last.message}; {first.message}", last.hint or first.hint)


def _no_socket(sources: Sources) -> Exception:
    """The error to raise where none of the sockets is: systemd may run all the same."""
    from eidos.collectors._sysfs import Facts

    facts = Facts(sources, "systemd")
    if sources.host.is_running_system and (facts.line("/proc/1/comm") == "systemd" or facts.note_unmounted("/run")):
        root = sources.host.root
        hint = "mount the host's / read-only and name it with --root"
        hint = hint if root == "/" else f"mount the host's /run/systemd and /run/dbus read-only below {root}"
        return DBusError(f"neither {PRIVATE_SOCKET} nor {SYSTEM_BUS} is mounted here", hint)
    return NotApplicable(f"no systemd: neither {PRIVATE_SOCKET} nor {SYSTEM_BUS} exists")


def _refused(path: str, refusal: ErrorReply, host: Host) -> Exception:
    """The error to raise when systemd refused every unit."""
    if refusal.name in ABSENT_ERRORS:
        if not host.exists(PRIVATE_SOCKET):
            return NotApplicable("no systemd: its name has no owner on the system bus")
        # Its socket exists: it runs, but has not connected to the bus, or not again since the bus was restarted.
        return DBusError(f"{path}: systemd is not on the bus", "retry after the host has booted, or run as root in its PID namespace")
    hint = "run as root, or allow this user to read properties in the D-Bus policy" if refusal.name in DENIED_ERRORS else refusal.hint
    return DBusError(f"{path}: {refusal.message}", hint)
