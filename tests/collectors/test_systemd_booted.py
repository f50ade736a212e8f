"""The systemd collector against a systemd that has booted: from inside over its private socket, from outside over the system bus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eidos import log
from eidos.collectors import Sources
from eidos.collectors.systemd import PRIVATE_SOCKET, SYSTEM_BUS, collect, unit_object_path
from eidos.dbus.bus import Bus
from eidos.errors import DBusError
from eidos.files.host import Host
from eidos.model.measurement import SECRET, UNREADABLE, VOLATILE, WITHHELD, Gap, Subtype
from eidos.model.volatile import UNORDERED_UNIT_PROPERTIES, VOLATILE_UNIT_PROPERTIES
from tests.support.booted_machine import Machine, booted
from tests.support.waiting import AMPLE_S, until

pytestmark = [pytest.mark.root, pytest.mark.slow]

SERVICE = """
[Unit]
Description=Stands in for a container runtime

[Service]
Environment=LEVEL=info REGISTRY_PASSWORD=s3cr3t-one HTTPS_PROXY=http://bob:s3cr3t-two@proxy.example.com:3128
SetCredential=pull:s3cr3t-three
LoadCredential=other:/etc/hostname
StandardInput=data
StandardInputText=s3cr3t-four
ExecStart=/bin/sh -c "while :; do sleep 0.1; done" sh --token=s3cr3t-five --password s3cr3t-six --log-level=debug
MemoryMax=1G
CPUAccounting=yes
TasksMax=123
IPAddressDeny=192.0.2.0/24
SystemCallFilter=~reboot
"""
SECRETS = [f"s3cr3t-{number}" for number in ("one", "two", "three", "four", "five", "six")]

FILES = {
    "etc/systemd/system/containerd.service": SERVICE,
    "etc/systemd/system/eidos-test.timer": "[Timer]\nOnActiveSec=1ms\nAccuracySec=1ms\nUnit=eidos-test.service\n",
    "etc/systemd/system/eidos-test.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    "etc/systemd/system/eidos-test.socket": "[Socket]\nListenStream=/run/eidos-test.socket\nService=containerd.service\n",
    "etc/systemd/system/basic.target.d/eidos.conf": "[Unit]\nWants=containerd.service eidos-test.timer eidos-test.socket\n",
}

#: Prints the readings as JSON, taken inside the machine as the user that comes first, and what was logged meanwhile.
INSIDE = """
import json
import os
from eidos import log
from eidos.collectors import Sources
from eidos.collectors.systemd import collect
import eidos.dbus.bus, eidos.dbus.property_readings, eidos.redact.unit_properties
from eidos.files.host import Host
from eidos.model.measurement import Subtype
lines = []
log.configure("debug")
log.divert(lambda level, message, fields: lines.append(message))
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
parts = list(collect(Sources(Host(), tuple(sys.argv[2:]))))
print(json.dumps([{part.name: part.data for part in parts if isinstance(part, Subtype)}, lines]))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine"), FILES) as running:
        running.run("systemctl", "start", "eidos-test.service")  # as its timer does, now or in a moment
        yield running


def from_outside(machine: Machine, *units: str, volatile: bool = False) -> dict[str, dict[str, Any]]:
    sources = Sources(Host(str(machine.root)), units, volatile, time.monotonic() + AMPLE_S)
    parts = list(collect(sources))
    assert not [part for part in parts if isinstance(part, Gap) and part.kind != SECRET]
    return {part.name: dict(part.data) for part in parts if isinstance(part, Subtype)}


def everything(machine: Machine) -> list[str]:
    """The names of all units that are loaded."""
    return [line.split()[0] for line in machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend").splitlines()]


def test_inside_the_private_socket_answers(machine: Machine) -> None:
    readings, lines = json.loads(machine.python(INSIDE, "0", "containerd.service", "crio.service"))
    assert lines == []  # no word of a socket that refused
    unit = readings["containerd.service"]
    assert (unit["LoadState"], unit["ActiveState"], unit["Id"]) == ("loaded", "active", "containerd.service")
    assert (unit["MemoryMax"], unit["TasksMax"], unit["CPUAccounting"]) == (1 << 30, 123, True)
    assert readings["crio.service"]["LoadState"] == "not-found"
    assert readings["crio.service"]["LoadError"] == "[org.freedesktop.systemd1.NoSuchUnit Unit crio.service not found.]"


def test_outside_the_private_socket_refuses_us_and_the_system_bus_answers_the_same(machine: Machine) -> None:
    private = f"{machine.root}{PRIVATE_SOCKET}"
    with pytest.raises(DBusError, match=r"while waiting for|while sending"):
        bus = Bus(private, time.monotonic() + AMPLE_S, hello=False)
        list(bus.get_all("org.freedesktop.systemd1", [unit_object_path("containerd.service")]))
    lines: list[str] = []
    log.configure("debug")
    log.divert(lambda level, message, fields: lines.append(message))
    try:
        outside = from_outside(machine, "containerd.service", "crio.service")
    finally:
        log.divert(None)
        log.configure()
    assert len(lines) == 1
    assert lines[0].startswith(f"systemd: {private}: ")
    assert outside == json.loads(machine.python(INSIDE, "0", "containerd.service", "crio.service"))[0]


def test_a_user_without_rights_is_answered_by_the_system_bus(machine: Machine) -> None:
    readings, lines = json.loads(machine.python(INSIDE, "65534", "containerd.service"))
    assert lines == [f"systemd: {PRIVATE_SOCKET}: cannot connect: permission denied"]
    assert readings == from_outside(machine, "containerd.service")


def go(value: Any) -> str:
    """A value out of busctl's JSON as Go prints it."""
    if isinstance(value, list):
        return f"[{' '.join(map(go, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_property_that_busctl_shows_is_there_with_its_value(machine: Machine) -> None:
    units = [
        "containerd.service",
        "eidos-test.timer",
        "eidos-test.socket",
        "basic.target",
        "-.mount",
        "-.slice",
        "init.scope",
        "crio.service",
    ]
    ours = from_outside(machine, *units, volatile=True)
    for unit in units:
        path = unit_object_path(unit)
        shown = machine.run("busctl", "introspect", "org.freedesktop.systemd1", path, "--no-legend").splitlines()
        names = {line.split()[0].lstrip(".") for line in shown if line.split()[1] == "property"}
        answer = machine.run(
            "busctl", "--json=short", "call", "org.freedesktop.systemd1", path, "org.freedesktop.DBus.Properties", "GetAll", "s", ""
        )
        theirs = json.loads(answer)["data"][0]
        assert names == theirs.keys()
        assert len(names) > 90
        data, volatile = ours[unit], ours[unit + VOLATILE]
        assert data.keys() | volatile.keys() == names
        assert volatile.keys() == names & VOLATILE_UNIT_PROPERTIES
        for name, reading in data.items():
            kind, value = theirs[name]["type"], theirs[name]["data"]
            if WITHHELD in str(reading):
                continue
            value = sorted(value) if name in UNORDERED_UNIT_PROPERTIES else value
            expected = value if kind in ("s", "b", "t", "x") else go(value)
            assert (name, reading, type(reading)) == (name, expected, type(expected))


def test_all_units_of_all_types_are_read(machine: Machine) -> None:
    units = everything(machine)
    by_unit = from_outside(machine, *units)
    assert by_unit.keys() == set(units)
    assert len({unit.rpartition(".")[2] for unit in units}) >= 8
    assert all(by_unit[unit]["Id"] for unit in units)


#: Units that nothing on this machine changes but the test: its own, and those that only hold others together.
STEADY = (
    "containerd.service",
    "eidos-test.timer",
    "eidos-test.service",
    "eidos-test.socket",
    "basic.target",
    "-.mount",
    "-.slice",
    "init.scope",
)


def test_two_readings_of_an_idle_machine_are_the_same(machine: Machine) -> None:
    readings = [from_outside(machine, *STEADY, volatile=True)]
    busy = "containerd.service" + VOLATILE

    def has_worked() -> bool:
        readings[1:] = [from_outside(machine, *STEADY, volatile=True)]
        return bool(readings[1][busy]["CPUUsageNSec"] > readings[0][busy]["CPUUsageNSec"])

    until(has_worked)
    before, after = ({(unit, name): value for unit in STEADY for name, value in reading[unit].items()} for reading in readings)
    assert [(key, before.get(key), after.get(key)) for key in before.keys() | after.keys() if before.get(key) != after.get(key)] == []


def test_secrets_of_a_unit_stay_inside(machine: Machine) -> None:
    sources = Sources(Host(str(machine.root)), ("containerd.service",), True, time.monotonic() + AMPLE_S)
    parts = list(collect(sources))
    text = repr(parts)
    for secret in SECRETS:
        assert secret not in text
        assert " ".join(map(str, secret.encode())) not in text  # as the bytes of a credential are written
    data = next(part.data for part in parts if isinstance(part, Subtype))
    assert data["Environment"] == "[LEVEL=info REGISTRY_PASSWORD=<withheld> HTTPS_PROXY=http://<withheld>@proxy.example.com:3128]"
    assert data["SetCredential"] == "[[pull <withheld>]]"
    assert data["LoadCredential"] == "[[other /etc/hostname]]"
    assert data["StandardInputData"] == WITHHELD
    assert "sh --token=<withheld> --password <withheld> --log-level=debug]" in str(data["ExecStart"])
    withheld = sorted(part.what for part in parts if isinstance(part, Gap) and part.kind == SECRET)
    assert withheld == sorted(
        f"containerd.service {what}"
        for what in (
            "Environment REGISTRY_PASSWORD",
            "Environment HTTPS_PROXY",
            "SetCredential pull",
            "StandardInputData",
            *(f"{command} {option}" for command in ("ExecStart", "ExecStartEx") for option in ("--password", "--token")),
        )
    )


def test_a_template_is_refused_and_stops_nothing(machine: Machine) -> None:
    parts = list(collect(Sources(Host(str(machine.root)), ("getty@.service", "containerd.service"), deadline=time.monotonic() + AMPLE_S)))
    gap = next(part for part in parts if isinstance(part, Gap) and part.kind == UNREADABLE)
    assert gap.what == "getty@.service"
    assert "getty@.service" in gap.why
    assert any(isinstance(part, Subtype) and part.name == "containerd.service" for part in parts)


def test_how_long_it_takes(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """No time is asserted; the figure is for whoever reads the test's output."""
    source = """
import time
from eidos.collectors import Sources
from eidos.collectors.systemd import collect
from eidos.files.host import Host
times = []
for _ in range(20):
    began = time.perf_counter()
    parts = list(collect(Sources(Host())))
    times.append((time.perf_counter() - began) * 1000)
print(f"{sorted(times)[10]:.1f} ms (least {min(times):.1f}) for {sum(hasattr(part, 'data') for part in parts)} units")
"""
    lines = machine.python(source)
    with capsys.disabled():
        print(f"\n  systemd collector inside, {lines.strip()}", end="")
    assert Path(f"{machine.root}{SYSTEM_BUS}").exists()
