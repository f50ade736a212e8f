"""The systemd collector: what it makes of answers, where it asks, and what becomes of it when nobody answers."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from pathlib import Path

import pytest

from eidos.collectors import Sources, harmless_names
from eidos.collectors._sysfs import Facts
from eidos.collectors.systemd import PRIVATE_SOCKET, SYSTEM_BUS, _no_socket, collect, parse_unit_properties, unit_object_path
from eidos.dbus.property_readings import property_reading
from eidos.dbus.signature import Variant
from eidos.errors import DBusError, NotApplicable, Timeout
from eidos.files.host import Host
from eidos.model.measurement import SECRET, UNREADABLE, Gap, Subtype
from eidos.model.volatile import VOLATILE_UNIT_PROPERTIES
from tests.fakes.bus import ANSWERS, GREETINGS, fake_bus
from tests.support.waiting import AMPLE_S, DEADLINES_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.model.measurement import Part

SNAPSHOT = Path(__file__).resolve().parents[3] / "shared/fixtures/snapshots/h100-eks.yaml"
UNIT_NAMES = harmless_names("variables", "options")
UNITS = ("containerd.service", "crio.service")
CONTAINERD = {
    "Id": Variant(("s", "containerd.service")),
    "LoadState": Variant(("s", "loaded")),
    "LimitNOFILE": Variant(("t", (1 << 64) - 1)),
    "CPUUsageNSec": Variant(("t", 51207000)),
    "Environment": Variant(("as", ["LEVEL=info", "REGISTRY_TOKEN=abcdef123"])),
    "StatusText": Variant(("s", "serving https://bob:hunter2@example.com")),
}
CRIO = {
    "LoadState": Variant(("s", "not-found")),
    "LoadError": Variant(("(ss)", ("org.freedesktop.systemd1.NoSuchUnit", "Unit crio.service not found."))),
}
OBJECTS = {unit_object_path("containerd.service"): CONTAINERD, unit_object_path("crio.service"): CRIO}
EXPECTED = [
    Subtype(
        "containerd.service",
        {
            "Environment": "[LEVEL=info REGISTRY_TOKEN=<withheld>]",
            "Id": "containerd.service",
            "LimitNOFILE": (1 << 64) - 1,
            "LoadState": "loaded",
        },
    ),
    Gap(SECRET, "containerd.service Environment REGISTRY_TOKEN", "a secret"),
    Subtype("crio.service", {"LoadError": "[org.freedesktop.systemd1.NoSuchUnit Unit crio.service not found.]", "LoadState": "not-found"}),
]


def ask(root: Path, units: tuple[str, ...] = UNITS, *, volatile: bool = False, seconds: float = AMPLE_S) -> list[Part]:
    return list(collect(Sources(Host(str(root)), units, volatile, time.monotonic() + seconds)))


def test_every_unit_is_a_subtype_and_one_that_is_not_there_says_so(tmp_path: Path) -> None:
    with fake_bus(tmp_path / SYSTEM_BUS[1:], OBJECTS, signals=True):
        assert ask(tmp_path) == EXPECTED
        assert ask(tmp_path, ("crio.service", "crio.service")) == EXPECTED[2:]
        assert ask(tmp_path, ()) == []


def test_volatile_properties_stand_apart_and_only_on_request(tmp_path: Path) -> None:
    with fake_bus(tmp_path / SYSTEM_BUS[1:], OBJECTS):
        parts = ask(tmp_path, UNITS[:1], volatile=True)
    assert parts == [
        EXPECTED[0],
        Subtype("containerd.service.volatile", {"CPUUsageNSec": 51207000, "StatusText": "serving https://<withheld>@example.com"}),
        EXPECTED[1],
        Gap(SECRET, "containerd.service StatusText", "a secret"),
    ]


def test_the_private_socket_comes_first(tmp_path: Path) -> None:
    private = {path: {"Id": Variant(("s", "private"))} for path in OBJECTS}
    with fake_bus(tmp_path / SYSTEM_BUS[1:], OBJECTS), fake_bus(tmp_path / PRIVATE_SOCKET[1:], private, is_bus=False):
        assert ask(tmp_path) == [Subtype(unit, {"Id": "private"}) for unit in UNITS]


@pytest.mark.parametrize("fault", GREETINGS)
def test_a_private_socket_that_does_not_let_us_in_leaves_time_for_the_system_bus(tmp_path: Path, fault: str) -> None:
    with fake_bus(tmp_path / SYSTEM_BUS[1:], OBJECTS), fake_bus(tmp_path / PRIVATE_SOCKET[1:], {}, is_bus=False, fault=fault):
        for deadline_s in DEADLINES_S:
            with contextlib.suppress(Timeout):
                parts = ask(tmp_path, seconds=deadline_s)
                break
    assert parts == EXPECTED


def test_links_are_resolved_inside_the_root(tmp_path: Path) -> None:
    """``/var/run`` and ``/run`` are links on some hosts; an absolute one must not lead to this machine's own bus."""
    (tmp_path / "run/dbus").mkdir(parents=True)
    (tmp_path / "run/dbus/system_bus_socket").symlink_to("/elsewhere/socket")
    with fake_bus(tmp_path / "elsewhere/socket", OBJECTS):
        assert ask(tmp_path) == EXPECTED


def test_a_host_without_systemd(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable) as caught:
        ask(tmp_path)
    assert caught.value.reason == "no systemd: neither /run/systemd/private nor /run/dbus/system_bus_socket exists"


@pytest.mark.parametrize("name", ["ServiceUnknown", "NameHasNoOwner"])
def test_a_bus_without_systemd_on_it_is_no_systemd_only_where_systemd_has_no_socket(tmp_path: Path, name: str) -> None:
    objects = dict.fromkeys(OBJECTS, (f"org.freedesktop.DBus.Error.{name}", "The name is not activatable"))
    with fake_bus(tmp_path / SYSTEM_BUS[1:], objects):
        with pytest.raises(NotApplicable, match="no systemd"):
            ask(tmp_path)
        (tmp_path / PRIVATE_SOCKET[1:]).parent.mkdir()
        (tmp_path / PRIVATE_SOCKET[1:]).touch()
        with pytest.raises(DBusError, match="systemd is not on the bus") as caught:
            ask(tmp_path)
        assert caught.value.hint


def test_a_unit_that_is_refused_is_unreadable_and_stops_nothing(tmp_path: Path) -> None:
    with fake_bus(tmp_path / SYSTEM_BUS[1:], {unit_object_path("crio.service"): CRIO}):
        subtype, gap = ask(tmp_path)
    assert subtype == EXPECTED[2]
    path = unit_object_path("containerd.service")
    assert gap == Gap(UNREADABLE, "containerd.service", f"org.freedesktop.DBus.Error.UnknownObject: Unknown object '{path}'.")


def test_a_policy_that_allows_nothing_is_a_failure_that_says_what_to_do(tmp_path: Path) -> None:
    objects = dict.fromkeys(OBJECTS, ("org.freedesktop.DBus.Error.AccessDenied", "Rejected send message"))
    with fake_bus(tmp_path / SYSTEM_BUS[1:], objects), pytest.raises(DBusError, match="AccessDenied: Rejected send message") as caught:
        ask(tmp_path)
    assert caught.value.message.startswith(str(tmp_path / SYSTEM_BUS[1:]))
    assert caught.value.hint
    assert "run as root" in caught.value.hint


@pytest.mark.parametrize("fault", [*GREETINGS, *ANSWERS])
def test_a_bus_that_goes_wrong_fails_before_the_deadline(tmp_path: Path, fault: str) -> None:
    with fake_bus(tmp_path / SYSTEM_BUS[1:], OBJECTS, fault=fault, fault_at=1):
        began = time.monotonic()
        parts: list[Part] = []
        with pytest.raises((DBusError, Timeout)) as caught:
            parts.extend(collect(Sources(Host(str(tmp_path)), UNITS, deadline=began + 0.5)))
        assert time.monotonic() - began < AMPLE_S
    assert str(tmp_path / SYSTEM_BUS[1:]) in caught.value.message
    assert parts == ([] if fault in GREETINGS else EXPECTED[:2])


def test_when_both_sockets_fail_both_are_named(tmp_path: Path) -> None:
    for socket in (PRIVATE_SOCKET, SYSTEM_BUS):
        (tmp_path / socket[1:]).parent.mkdir(parents=True)
        (tmp_path / socket[1:]).touch()
    with pytest.raises(DBusError) as caught:
        ask(tmp_path)
    for socket in (PRIVATE_SOCKET, SYSTEM_BUS):
        assert f"{tmp_path}{socket}: cannot connect: connection refused" in caught.value.message
    assert caught.value.hint


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    with fake_bus(tmp_path / SYSTEM_BUS[1:], OBJECTS), fake_bus(tmp_path / PRIVATE_SOCKET[1:], {}, is_bus=False, fault="greet-closed"):
        ask(tmp_path)
        gc.collect()  # what other tests left in tracebacks
        before = len(os.listdir("/proc/self/fd"))
        ask(tmp_path)
        begun = collect(Sources(Host(str(tmp_path)), UNITS))
        assert next(begun) == EXPECTED[0]
        del begun
        assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(
    ("signature", "value", "expected"),
    [
        ("s", "a b", "a b"),
        ("b", False, False),
        ("t", (1 << 64) - 1, (1 << 64) - 1),
        ("x", -1, -1),
        ("d", 0.5, 0.5),
        ("d", float("inf"), "+Inf"),
        ("i", -999, "-999"),
        ("u", 4294967295, "4294967295"),
        ("n", -1, "-1"),
        ("q", 1, "1"),
        ("y", 255, "255"),
        ("o", "/", "/"),
        ("as", [], "[]"),
        ("as", ["a.target", "b.target"], "[a.target b.target]"),
        ("ay", b"\xff\x00", "[255 0]"),
        ("aay", [b"\1\2", b""], "[[1 2] []]"),
        ("(bs)", (False, ""), "[false ]"),
        ("(ss)", ("", ""), "[ ]"),
        ("(bas)", (False, []), "[false []]"),
        ("(aiai)", ([], []), "[[] []]"),
        ("(uo)", (0, "/"), "[0 /]"),
        ("a(sb)", [("/etc/x", True)], "[[/etc/x true]]"),
        ("a{su}", {"b": 1, "a": 2}, "map[a:2 b:1]"),
        ("a(iayu)", [(2, bytes(4), 0)], "[[2 [0 0 0 0] 0]]"),
        (
            "a(sasbttttuii)",
            [("/bin/a", ["/bin/a", "-x"], True, 1, 2, 3, 4, 5, 1, 0)],
            "[[/bin/a [/bin/a -x] true 1 2 3 4 5 1 0]]",
        ),
    ],
)
def test_values_are_written_as_the_go_program_wrote_them(signature: str, value: object, expected: object) -> None:
    reading = property_reading(signature, value)
    assert reading == expected
    assert type(reading) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "expected", "secrets"),
    [
        ("Environment", ["A=1", "DB_PASSWORD=x y", "TOKEN="], ["A=1", "DB_PASSWORD=<withheld>", "TOKEN="], 1),
        ("Environment", ["ARGS=--v=2 --token=abc"], ["ARGS=--v=2 --token=<withheld>"], 1),
        ("UnsetEnvironment", ["API_TOKEN=abc", "PATH"], ["API_TOKEN=<withheld>", "PATH"], 1),
        ("PassEnvironment", ["API_TOKEN"], ["API_TOKEN"], 0),
        ("LogExtraFields", [b"UNIT=1", b"SECRET=b"], [b"UNIT=1", "SECRET=<withheld>"], 1),
        ("SetCredential", [("tls", b"\1\2"), ("none", b"")], [("tls", "<withheld>"), ("none", b"")], 1),
        ("SetCredentialEncrypted", [("tls", b"\1\2")], [("tls", "<withheld>")], 1),
        ("LoadCredential", [("token", "/etc/credstore/token")], [("token", "/etc/credstore/token")], 0),
        ("StandardInputData", b"hunter2\n", "<withheld>", 1),
        ("StandardInputData", b"", b"", 0),
        (
            "ExecStartPre",
            [("/bin/a", ["/bin/a", "--token=abc", "--password", "hunter2", "https://u:pw@example.com/"], False, 1)],
            [("/bin/a", ["/bin/a", "--token=<withheld>", "--password", "<withheld>", "https://<withheld>@example.com/"], False, 1)],
            3,
        ),
        ("ExecMainStatus", 0, 0, 0),
        ("ExecPaths", ["/usr/bin", "/opt/bin"], ["/usr/bin", "/opt/bin"], 0),
        ("ExecSearchPath", ["/opt/bin"], ["/opt/bin"], 0),
        ("Options", "rw,username=a,password=b,vers=3", "rw,username=a,password=<withheld>,vers=3", 1),
        ("What", "https://u:pw@example.com/share", "https://<withheld>@example.com/share", 1),
        ("Documentation", ["man:x(8)", "https://u:pw@example.com"], ["man:x(8)", "https://<withheld>@example.com"], 1),
        ("KeyringMode", "private", "private", 0),
        ("HashedPassword", "hunter", "<withheld>", 1),
        *[(name, value, value, 0) for name in ("PassCredentials", "PassSecurity", "KeyringTokens") for value in (True, False, 4711)],
        ("LoadCredentialEncrypted", [("token", "/etc/credstore/token")], [("token", "/etc/credstore/token")], 0),
        ("Environment", ["Zq7kD02mWx91LpTe=1", "Zq7kD02mWx91LpTe"], ["<withheld>", "<withheld>"], 2),
        ("Environment", ["<withheld>"], ["<withheld>"], 0),
        ("ExecStart", ["run", "--token", "hunter"], "<withheld>", 1),
        ("ExecStart", "/bin/run --token hunter", "<withheld>", 1),
        ("ExecPaths", ["-/opt/a", "/usr/bin"], ["-/opt/a", "/usr/bin"], 0),
        ("Unheard", {"password": "hunter"}, "<withheld>", 1),
        (
            "LoadError",
            ("org.freedesktop.systemd1.NoSuchUnit", "Unit x not found."),
            ("org.freedesktop.systemd1.NoSuchUnit", "Unit x not found."),
            0,
        ),
        ("InvocationID", bytes(range(16)), bytes(range(16)), 0),
    ],
)
def test_secrets_stay_on_the_host(name: str, value: object, expected: object, secrets: int) -> None:
    from eidos.redact.unit_properties import redact_unit_property

    clean, labels = redact_unit_property(name, value, UNIT_NAMES)
    assert clean == expected
    assert len(labels) == secrets
    assert all(label.startswith(name) for label in labels)


@pytest.mark.parametrize(
    ("unit", "label"),
    [
        ("containerd.service", "containerd_2eservice"),
        ("nvidia-dcgm.service", "nvidia_2ddcgm_2eservice"),
        ("getty@tty1.service", "getty_40tty1_2eservice"),
        ("9p.service", "_39p_2eservice"),
        ("a_b9.mount", "a_5fb9_2emount"),
        ("", "_"),
        ("\N{SUPERSCRIPT TWO}", "_c2_b2"),
        ("-.mount", "_2d_2emount"),
    ],
)
def test_unit_paths(unit: str, label: str) -> None:
    assert unit_object_path(unit) == f"/org/freedesktop/systemd1/unit/{label}"


@pytest.mark.shared
def test_readings_have_the_types_that_the_go_program_gave_them() -> None:
    """What its snapshot of a real host holds as text, number or boolean, we hold as the same."""
    if not SNAPSHOT.exists():
        pytest.skip(f"{SNAPSHOT} is not there")
    import yaml

    document = yaml.safe_load(SNAPSHOT.read_text())
    units = next(m for m in document["measurements"] if m["type"] == "SystemD")["subtypes"]
    data = next(s for s in units if s["subtype"] == "containerd.service")["data"]
    # Types as org.freedesktop.systemd1(5) declares them.
    kinds = {
        "ActiveState": ("s", "active"),
        "AllowIsolate": ("b", False),
        "AppArmorProfile": ("(bs)", (False, "")),
        "CacheDirectoryMode": ("u", 493),
        "CPUWeight": ("t", 18446744073709551615),
        "EffectiveMemoryNodes": ("ay", bytes([3, 0, 0, 0, 0, 0, 0, 0])),
        "ExecMainPID": ("u", 38444),
        "Job": ("(uo)", (0, "/")),
        "LoadError": ("(ss)", ("", "")),
        "LogLevelMax": ("i", -1),
        "OOMScoreAdjust": ("i", -999),
        "RestartPreventExitStatus": ("(aiai)", ([], [])),
        "SystemCallErrorNumber": ("i", 2147483646),
        "SystemCallFilter": ("(bas)", (False, [])),
        "WantedBy": ("as", ["multi-user.target"]),
        "ExecStart": (
            "a(sasbttttuii)",
            [("/usr/bin/containerd", ["/usr/bin/containerd"], False, 1754471111884832, 240758742, 0, 0, 38444, 0, 0)],
        ),
    }
    ours, volatile, secrets = parse_unit_properties({name: Variant(kind) for name, kind in kinds.items()}, UNIT_NAMES)
    assert ours == {name: data[name] for name in kinds}
    assert {type(value) for value in ours.values()} == {str, bool, int}
    assert not volatile
    assert not secrets
    assert VOLATILE_UNIT_PROPERTIES & data.keys() >= {"CPUUsageNSec", "MemoryCurrent", "TasksCurrent"}


@pytest.mark.parametrize(("root", "remedy"), [("/", "mount the host's / read-only and name it with --root"), ("/host", "below /host")])
def test_sockets_that_are_not_mounted(monkeypatch: pytest.MonkeyPatch, root: str, remedy: str) -> None:
    monkeypatch.setattr(Host, "is_running_system", True)
    monkeypatch.setattr(Facts, "line", lambda self, path: "systemd")
    fault = _no_socket(Sources(Host(root)))
    assert isinstance(fault, DBusError) and (fault.hint or "").endswith(remedy)
