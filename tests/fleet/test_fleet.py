"""Comparing many snapshots: what counts, what is unknown, how differences are phrased; hostlists."""

from __future__ import annotations

import base64
import marshal
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from eidos import formats, reading_selection
from eidos.errors import InvalidData, InvalidInput, Unavailable
from eidos.fleet import ssh
from eidos.fleet.bootstrap import RemoteProgram, build_program, exit_status, extract_output
from eidos.fleet.comparison import DIFFERENCE_LIMIT, Difference, FleetComparison, NodeClass
from eidos.fleet.hostlist import assign_file_names, fold_hostlist, parse_hostlist
from eidos.fleet.results import ResultsFolder
from eidos.fleet.ssh import explain_failure
from eidos.fleet.summary import FleetSummary, NoAnswer
from eidos.model.measurement import FAILED, OK, PARTIAL, SKIPPED, Measurement, Outcome, Subtype
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.process.run import EXITED, Command, ProgramResult

RULES = reading_selection.shipped_selection()

DRIVER, GPUS = ("GPU", "smi", "driver"), ("GPU", "smi", "gpu-count")


def node(name: str, changes: dict[tuple[str, str, str], Any] | None = None, **outcomes: Outcome) -> Snapshot:
    """A node with eight GPUs; a change to None takes a reading away."""
    readings: dict[tuple[str, str, str], Any] = {
        ("SystemD", "kubelet.service", "ActiveState"): "active",
        ("SystemD", "kubelet.service", "MainPID"): str(hash(name) % 10_000),
        ("OS", "release", "ID"): "ubuntu",
        ("OS", "sysctl", "/proc/sys/kernel/hostname"): name,
        ("OS", "sysctl", "/proc/sys/vm/swappiness"): "60",
        DRIVER: "580.82.07",
        GPUS: 8,
        **{("GPU", f"gpu-{number}", "uuid"): f"GPU-{name}-{number}" for number in range(8)},
        **{("GPU", f"gpu-{number}", "model"): "NVIDIA H100 80GB HBM3" for number in range(8)},
        **(changes or {}),
    }
    by_type: dict[str, dict[str, dict[str, Any]]] = {}
    for (kind, subtype, key), value in readings.items():
        if value is not None:
            by_type.setdefault(kind, {}).setdefault(subtype, {})[key] = value
    collectors = {name: Outcome(name, OK, 1.0) for name in ("systemd", "os.release", "os.sysctl", "gpu")}
    collectors.update({outcome.name: outcome for outcome in outcomes.values()})
    measurements = tuple(
        Measurement(kind, tuple(Subtype(name, data) for name, data in subtypes.items())) for kind, subtypes in by_type.items()
    )
    return Snapshot("2026-11-23T06:00:00Z", "1", name, measurements, tuple(collectors.values()))


def compare(*nodes: Snapshot) -> list[NodeClass]:
    fleet = FleetComparison(RULES.select_readings)
    for one in nodes:
        fleet.add(one.node, one)
    return fleet.classes()


def test_two_odd_nodes_of_sixty_four_in_a_sentence() -> None:
    seven: dict[tuple[str, str, str], Any] = {GPUS: 7, ("GPU", "gpu-7", "uuid"): None, ("GPU", "gpu-7", "model"): None}
    others = [node(f"gpu-{number:02}") for number in range(1, 65) if number not in (17, 40)]
    classes = compare(*others, node("gpu-17", {DRIVER: "570.86.15"}), node("gpu-40", seven))
    assert [(each.kind, len(each.nodes)) for each in classes] == [("equal", 62), ("odd", 1), ("odd", 1)]
    assert classes[1].differences == (Difference("GPU.smi.driver", "570.86.15", "580.82.07"),)
    assert [difference.path for difference in classes[2].differences] == ["GPU.gpu-7", "GPU.smi.gpu-count"]
    sentence = FleetSummary(tuple(classes)).sentence(RULES.phrases)
    assert sentence == "62 of 64 equal; gpu-17: driver 570.86.15, not 580.82.07; gpu-40: 7 GPUs"


def test_an_implied_difference_is_listed_but_not_named() -> None:
    cuda, gsp, swap = ("GPU", "smi", "cuda-version"), ("GPU", "gpu-3", "gsp.firmware-version"), ("OS", "sysctl", "/proc/sys/vm/swappiness")
    new, old = {cuda: "13.0", gsp: "580.82.07"}, {DRIVER: "570.86.15", cuda: "12.8", gsp: "570.86.15", swap: "1"}
    classes = compare(node("a1", new), node("a2", new), node("a3", old))
    assert {difference.path for difference in classes[1].differences} == {".".join(path) for path in old}
    sentence = "2 of 3 equal; a3: driver 570.86.15, not 580.82.07, and OS.sysctl./proc/sys/vm/swappiness 1, not 60"
    assert FleetSummary(tuple(classes)).sentence(RULES.phrases) == sentence
    # Another model of one GPU beside seven of eight is no part of the seven.
    classes = compare(node("a1"), node("a2"), node("a3", {GPUS: 7, ("GPU", "gpu-2", "model"): "NVIDIA H200"}))
    assert "7 GPUs, and GPU.gpu-2.model NVIDIA H200, not NVIDIA H100" in FleetSummary(tuple(classes)).sentence(RULES.phrases)


def test_many_differences_are_counted_and_a_missing_reading_is_unset() -> None:
    gone = {("OS", "sysctl", "/proc/sys/vm/swappiness"): None}
    sentence = FleetSummary(tuple(compare(node("a1"), node("a2"), node("a3", gone)))).sentence(RULES.phrases)
    assert sentence == "2 of 3 equal; a3: OS.sysctl: unset (others: 1 reading)"
    more = {("OS", "sysctl", f"/x{number}"): "1" for number in range(5)}
    sentence = FleetSummary(tuple(compare(node("a1"), node("a2"), node("a3", more)))).sentence(RULES.phrases)
    assert "a3: 5 differences, first OS.sysctl./x0: 1 (others: unset), and OS.sysctl./x1: 1 (others: unset), and " in sentence


def test_another_version_of_eidos_is_named_where_something_differs() -> None:
    newer = replace(node("a3", {GPUS: 7}), version="2")
    classes = compare(node("a1"), node("a2"), newer, replace(node("a4"), version="2"))
    assert [each.nodes for each in classes] == [("a1", "a2", "a4"), ("a3",)]
    assert FleetSummary(tuple(classes)).sentence(RULES.phrases) == "3 of 4 equal; a3: read by eidos 2, not 1, and 7 GPUs"


def test_where_no_class_is_the_largest() -> None:
    seven = {GPUS: 7}
    classes = compare(node("a1", seven), node("a2"), node("a3", {GPUS: 6}))
    sentence = FleetSummary(tuple(classes)).sentence(RULES.phrases)
    assert sentence == "no 2 of 3 known to be equal; compared with a1; a2: 8 GPUs; a3: 6 GPUs"
    classes = compare(node("a1", seven), node("a2"), node("a3", seven), node("a4"))
    sentence = FleetSummary(tuple(classes)).sentence(RULES.phrases)
    assert sentence == "2 of 4 equal (no majority), compared with a1; a[2,4]: 8 GPUs"
    assert FleetSummary(tuple(compare(node("a1")))).sentence(RULES.phrases) == "1 of 1 equal"


def test_what_could_not_be_read_anywhere_is_no_equality() -> None:
    lost = Outcome("gpu", FAILED, 1.0, "no driver")
    part = Outcome("os.sysctl", PARTIAL, 1.0, unreadable={"/proc/sys/x": "permission denied"})
    classes = compare(*(node(f"a{number}", it=lost, other=part) for number in range(3)))
    assert FleetSummary(tuple(classes)).sentence(RULES.phrases) == "3 of 3 equal, not read: gpu, os.sysctl (partly)"


def test_nodes_that_fail_alike_are_named_together() -> None:
    unanswered = {f"root@gpu-{n}": NoAnswer(f"ssh: connect to host gpu-{n} port 22: Connection refused") for n in range(10, 74)}
    sentence = FleetSummary((), unanswered).sentence(RULES.phrases)
    assert sentence == "no snapshot of 64 nodes; root@gpu-[10-73]: no snapshot (ssh: connect to host NODE port 22: Connection refused)"


def test_the_name_of_a_node_is_a_word_of_its_own() -> None:
    sentence = FleetSummary((), {"a": NoAnswer("false exited with status 1")}).sentence(RULES.phrases)
    assert sentence == "no snapshot of 1 node; a: no snapshot (false exited with status 1)"
    sentence = FleetSummary((), {name: NoAnswer("no route to host") for name in ("host", "n1")}).sentence(RULES.phrases)
    assert sentence == "no snapshot of 2 nodes; host: no snapshot (no route to host); n1: no snapshot (no route to host)"


def test_the_name_of_a_node_at_the_end_of_another_name_is_its_own() -> None:
    unanswered = {f"gpu-{n}": NoAnswer(f"not allowed to get configmaps eidos-1a2b-gpu-{n}") for n in (1, 2)}
    sentence = FleetSummary((), unanswered).sentence(RULES.phrases)
    assert sentence == "no snapshot of 2 nodes; gpu-[1-2]: no snapshot (not allowed to get configmaps eidos-1a2b-NODE)"


def test_a_skipped_collector_gives_its_reason() -> None:
    bare = node(
        "gpu-3", {(*DRIVER[:2], key): None for key in ("driver", "gpu-count")}, gpu=Outcome("gpu", SKIPPED, 1.0, "no NVIDIA driver")
    )
    bare = Snapshot(bare.timestamp, bare.version, bare.node, tuple(m for m in bare.measurements if m.type != "GPU"), bare.collectors)
    classes = compare(node("gpu-1"), node("gpu-2"), bare)
    assert classes[1].differences == (Difference("GPU", None, "10 readings", "skipped: no NVIDIA driver"),)
    assert FleetSummary(tuple(classes)).sentence(RULES.phrases) == "2 of 3 equal; gpu-3: GPU: no data (skipped: no NVIDIA driver)"


GONE = {("GPU", "gpu-5", key): None for key in ("uuid", "model")}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({DRIVER: None}, Outcome("gpu", PARTIAL, 1.0, unreadable={"smi/driver": "unknown error"})),
        (GONE, Outcome("gpu", PARTIAL, 1.0, unreadable={"gpu-5": "GPU is lost"})),
        (GONE, Outcome("gpu", PARTIAL, 1.0, reason="no answer before the deadline")),
        ({("OS", "sysctl", "/proc/sys/vm/swappiness"): None}, Outcome("os.sysctl", PARTIAL, 1.0, unreadable={"/proc/sys/vm": "denied"})),
        ({("OS", "release", "ID"): None}, Outcome("os.release", PARTIAL, 1.0, unreadable={"/etc/os-release:3": "no NAME=value"})),
        ({("SystemD", "kubelet.service", "ActiveState"): None}, Outcome("systemd", PARTIAL, 1.0, unreadable={"kubelet.service": "no"})),
        ({("SystemD", "kubelet.service", "ActiveState"): None}, Outcome("systemd", FAILED, 1.0, reason="no bus")),
    ],
)
def test_what_was_not_read_is_neither_equal_nor_different(changes: dict[tuple[str, str, str], Any], outcome: Outcome) -> None:
    classes = compare(node("a1"), node("a2"), node("a3", changes, it=outcome))
    assert [(each.kind, each.nodes) for each in classes] == [("equal", ("a1", "a2")), ("unknown", ("a3",))]
    assert list(classes[1].unread) == [f"{outcome.name}: {what}" for what in outcome.unreadable] or list(classes[1].unread) == [
        outcome.name
    ]
    # And the other way round: the many could not read what one could.
    classes = compare(node("a1", changes, it=outcome), node("a2", changes, it=outcome), node("a3"))
    assert [(each.kind, each.nodes) for each in classes] == [("equal", ("a1", "a2")), ("unknown", ("a3",))]


def test_a_gap_hides_nothing_but_itself() -> None:
    gap = Outcome("gpu", PARTIAL, 1.0, unreadable={"smi/driver": "unknown error"})
    classes = compare(node("a1"), node("a2"), node("a3", {DRIVER: None, GPUS: 7}, it=gap), node("a4", {GPUS: None}, it=gap))
    assert [[d.path for d in each.differences] for each in classes] == [[], ["GPU.smi.gpu-count"], ["GPU.smi.gpu-count"]]
    assert [each.kind for each in classes] == ["equal", "odd", "odd"]


def test_what_does_not_count() -> None:
    start = "[[/usr/bin/kubelet [/usr/bin/kubelet --hostname-override={}] false {} 240758742 0 0 {} 0 0]]"
    exec_start = ("SystemD", "kubelet.service", "ExecStart")
    root = ("OS", "grub", "root")
    threads = ("OS", "sysctl", "/proc/sys/kernel/threads-max")
    equal = compare(
        node(
            "a-1", {exec_start: start.format("a-1", 17544711, 99), root: "UUID=8d8e32b1-804b-9478-7a69-79ed1bc6e591", threads: "16512048"}
        ),
        node("a-2", {exec_start: start.format("a-2", 17599999, 3), root: "UUID=00000000-804b-9478-7a69-79ed1bc6e591", threads: "16512052"}),
    )
    assert [each.nodes for each in equal] == [("a-1", "a-2")]
    odd = compare(
        node("a-1", {exec_start: start.format("x --v=4", 1, 1), threads: "8256000"}), node("a-2", {exec_start: start, threads: "16"})
    )
    assert {difference.path for difference in odd[1].differences} == {
        "SystemD.kubelet.service.ExecStart",
        "OS.sysctl./proc/sys/kernel/threads-max",
    }


#: What is different on two machines that are set up alike: ours and another's.
ALIKE: list[tuple[tuple[str, str, str], Any, Any]] = [
    (("SystemD", "kubelet.service", "After"), "[a.service b.target]", "[b.target a.service]"),
    (("SystemD", "kubelet.service", "Job"), "[0 /]", "[7 /org/freedesktop/systemd1/job/7]"),
    (("SystemD", "kubelet.service", "ExecStart"), "[kubelet --node-ip 192.0.2.1 --v=2]", "[kubelet --node-ip 192.0.2.77 --v=2]"),
    (("SystemD", "kubelet.service", "Environment"), "[X=--hostname-override=one]", "[X=--hostname-override=two]"),
    (
        ("SystemD", "kubelet.service", "Wants"),
        r"[dev-disk-by\x2duuid-8d8e32b1\x2d804b\x2d9478\x2d7a69\x2d79ed1bc6e591.device]",
        r"[dev-disk-by\x2duuid-00000000\x2d804b\x2d9478\x2d7a69\x2d79ed1bc6e591.device]",
    ),
    (("SystemD", "kubelet.service", "EffectiveMemoryMax"), 2164260864000, 2164260868096),
    (("OS", "grub", "root"), "PARTUUID=1a2b3c4d-02", "PARTUUID=99999999-02"),
    (("OS", "grub", "rd.md.uuid"), "aabbccdd:11223344:55667788:99aabbcc", "00000000:11223344:55667788:99aabbcc"),
    (("OS", "grub", "ifname"), "net0:52:54:00:12:34:56", "net0:52:54:00:ab:cd:ef"),
    (("OS", "grub", "BOOT_IMAGE"), "(hd0,gpt2)/vmlinuz", "(hd3,gpt2)/vmlinuz"),
    (("OS", "sysctl", "/proc/sys/net/ipv4/tcp_fastopen_key"), "00000000-00000000-00000000-00000000", "<withheld>"),
    (("OS", "kmod", "tcp_diag"), True, None),
    (("GPU", "gpu-0", "pci.bus-id"), "00000000:18:00.0", "00000000:19:00.0"),
    (("GPU", "gpu-0", "retired-pages.single-bit"), 0, 2),
    (("K8s", "node", "capacity.memory"), "2113451496Ki", "2113451500Ki"),
    (("K8s", "node", "provider-id"), "aws:///us-west-2a/i-1", "aws:///us-west-2a/i-2"),
]


@pytest.mark.parametrize(("path", "one", "other"), ALIKE)
def test_machines_that_are_set_up_alike(path: tuple[str, str, str], one: object, other: object) -> None:
    classes = compare(node("a-1", {path: one}), node("a-2", {path: other}))
    assert [each.nodes for each in classes] == [("a-1", "a-2")], classes


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        (("SystemD", "kubelet.service", "After"), "[a.service b.target]", "[a.service]"),
        (("SystemD", "kubelet.service", "Environment"), "[A=1 B=2]", "[B=2 A=1]"),
        (("OS", "grub", "root"), "PARTUUID=1a2b3c4d-02", "PARTUUID=1a2b3c4d-03"),
        (("GPU", "gpu-0", "pci.numa-node"), 0, 1),
        (("GPU", "gpu-0", "retired-pages.double-bit"), 0, 1),
    ],
)
def test_and_those_that_are_not(path: tuple[str, str, str], one: object, other: object) -> None:
    assert [each.kind for each in compare(node("a-1", {path: one}), node("a-2", {path: other}))] == ["equal", "odd"]


def test_a_rounded_number_is_marked() -> None:
    threads = ("OS", "sysctl", "/proc/sys/kernel/threads-max")
    (difference,) = compare(node("a-1", {threads: "16512048"}), node("a-2", {threads: "8256000"}))[1].differences
    assert (difference.value, difference.expected) == ("about 8200000", "about 16000000")


def test_a_name_that_may_be_a_word_is_left_where_it_stands() -> None:
    path = ("OS", "grub", "security")
    assert RULES.select_readings(node("apparmor", {path: "apparmor"}))[path] == "apparmor"
    assert RULES.select_readings(node("n", {path: "gpu-7 gpu-77"}), "root@gpu-7")[path] == "… gpu-77"


def test_documents_of_the_go_program(shared: Path) -> None:
    """They have no list of collectors, and what is volatile stands among the rest: an idle node is equal to itself an hour later."""
    text = (shared / "snapshots" / "h100-eks.yaml").read_text()
    later = text.replace("1754471", "1754474").replace("38444", "7").replace("ip-10-0-158-18", "ip-10-0-158-19").replace("0861d", "1972e")
    assert later != text
    classes = compare(*(Snapshot.from_tree(formats.from_text(document, "x"), "x") for document in (text, later)))
    assert [len(each.nodes) for each in classes] == [2]


def test_differences_are_bounded() -> None:
    many = {("OS", "kmod", f"module{number}"): True for number in range(DIFFERENCE_LIMIT + 50)}
    classes = compare(
        node("a1", {("OS", "kmod", "x"): 1}), node("a2", {("OS", "kmod", "x"): 1}), node("a3", {("OS", "kmod", "x"): 1, **many})
    )
    assert (len(classes[1].differences), classes[1].more) == (DIFFERENCE_LIMIT, 50)


def test_two_new_folders(tmp_path: Path) -> None:
    paths = [ResultsFolder(str(tmp_path / "fleet-1"), [], RULES, new=True).path for _ in range(3)]
    assert paths == [str(tmp_path / name) for name in ("fleet-1", "fleet-1-2", "fleet-1-3")]


def test_a_folder_that_somebody_removed_holds_nothing(tmp_path: Path) -> None:
    folder = ResultsFolder(str(tmp_path / "out"), [], RULES)
    (tmp_path / "out").rmdir()
    assert folder.abandon(3) is None


def test_a_folder_that_is_left_holds_what_lies_in_it(tmp_path: Path) -> None:
    """An interrupt between the file and its count made it say one too few."""
    folder = ResultsFolder(str(tmp_path / "out"), ["a", "b", "c"], RULES)
    folder.add("a", node("a"))
    (tmp_path / "out" / "b.yaml").touch()
    (tmp_path / "out" / "cluster.yaml").touch()
    assert folder.abandon(3) == f"{tmp_path}/out holds 2 of 3 snapshots and no summary"


def test_the_folder(tmp_path: Path) -> None:
    folder = ResultsFolder(str(tmp_path / "out"), ["summary", "a/../b"], RULES)
    folder.add("summary", node("summary"))
    folder.add("a/../b", node("b"))
    folder.unanswered["c"] = NoAnswer("0 of 3 nodes are available", reason="Unschedulable")
    tree = folder.write_summary().to_tree()
    assert tree["nodes"] == {"total": 3, "answered": 2, "equal": 2, "odd": 0, "unknown": 0}
    assert tree["unanswered"] == [{"node": "c", "why": "0 of 3 nodes are available", "reason": "Unschedulable"}]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_.._b.yaml", "summary-2.yaml", "summary.yaml"]
    assert formats.from_text((tmp_path / "out" / "summary.yaml").read_bytes(), "x") == tree
    assert (
        Snapshot.from_tree(formats.from_text((tmp_path / "out" / "summary-2.yaml").read_bytes(), "x"), "x").to_tree()
        == node("summary").to_tree()
    )


@pytest.mark.parametrize(
    "tree",
    [[], {"masked": [{"path": "x"}]}, {"masked": [{"path": "*", "pattern": "("}]}, {"phrases": ["x"]}, {"identity": [3]}, {"identity": 3}],
)
def test_rules_that_are_none(tree: object) -> None:
    with pytest.raises(InvalidData, match=r"fleet\.yaml"):
        reading_selection.ReadingSelection(tree, "fleet.yaml").select_readings(node("a"))


@pytest.mark.parametrize(
    "text", ["a[", "a[]", "a[1-", "a[2-1]", "a[1][2]", "a[x]", "a b;c", "-a", "a@-x", "...", "x" * 300, "", "# nothing", "a[1-9999999]"]
)
def test_no_names(text: str) -> None:
    with pytest.raises(InvalidInput, match="--hosts"):
        parse_hostlist(text, "--hosts")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[2001:db8::1]:22", ["[2001:db8::1]:22"]),
        ("[2001:db8::1]", ["2001:db8::1"]),
        ("root@[2001:db8::1]", ["root@2001:db8::1"]),
        ("root@[fe80::1%eth0]:2222,gpu-[1-2]:22", ["root@[fe80::1%eth0]:2222", "gpu-1:22", "gpu-2:22"]),
        ("[fe::1]\n[::1]\n2001:db8::2", ["fe::1", "::1", "2001:db8::2"]),
        ("[1-2]\n", ["1", "2"]),
    ],
)
def test_addresses_and_ports(text: str, names: list[str]) -> None:
    assert parse_hostlist(text, "x") == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[2001:db8::zz]", "'2001:db8::zz' is not an IPv6 address"),
        ("[1:2]", "'1:2' is not an IPv6 address"),
        ("x[::1]", "invalid host name 'x[::1]'"),
        ("[::1]x", "only a port can follow an address"),
        ("[::1]:", "ends with ':'"),
        ("[::1]:x", "invalid host name"),
        ("[::1]:0", "invalid port"),
        ("[::1%]:22", "invalid host name"),
        ("[::1%;x]", "invalid host name"),
        ("gpu-01:65536", "invalid port"),
        ("gpu-01:99999999999", "invalid port"),
        ("gpu-01:", "ends with ':'"),
        ("gpu-01:\u0661", "contains"),
    ],
)
def test_invalid_addresses_and_ports(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_hostlist(text, "--hosts")
    assert words in raised.value.message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("all:\n  hosts:\n    gpu-01:\n      ansible_host: 192.0.2.1\n", "YAML"),
        ("---\n# ours\nall:\n  children: {gpu: {}}\n", "YAML"),
        ("gpu:\n  hosts:\n    gpu-[01:64]:\n", "YAML"),
        ("[gpu]\ngpu-01\n", "INI"),
        ("gpu-01\n\n[gpu:children]\na\n", "INI"),
        ("[gpu:vars]\nx=1\n", "INI"),
        ("gpu-01 ansible_host=192.0.2.1 ansible_user=root\ngpu-02\n", "INI"),
    ],
)
def test_an_inventory_of_ansible_is_refused_by_name(text: str, kind: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_hostlist(text, "hosts.yaml")
    assert raised.value.message == f"hosts.yaml: an Ansible inventory ({kind}) is not a list of hosts"
    assert raised.value.hint == "make a list: ansible all -i hosts.yaml --list-hosts | tail -n +2 > hosts.txt"


def test_what_ansible_lists_is_a_list() -> None:
    """What ``ansible all -i FILE --list-hosts`` prints, without its first line."""
    assert parse_hostlist("    gpu-01\n    gpu-02\n", "hosts.txt") == ["gpu-01", "gpu-02"]


SHELLS = {
    "bash": (127, "bash: line 1: python3: command not found\n"),
    "dash": (127, "sh: 1: python3: not found\n"),
    "fish": (127, "fish: Unknown command: python3\nfish: \npython3 -I -S -\n^~~~~~^\n"),
    "tcsh": (1, "python3: Command not found.\n"),
    "zsh": (127, "zsh:1: command not found: python3\n"),
    "ksh": (127, "ksh: python3: not found [No such file or directory]\n"),
    "a path": (127, "bash: line 1: /opt/python3: No such file or directory\n"),
    "silent": (127, ""),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_finds_no_python(shell: str) -> None:
    status, errors = SHELLS[shell]
    answer = explain_failure("gpu-01", "ssh", status, b"", errors, "/opt/python3" if shell == "a path" else "python3")
    lines = [line for line in errors.splitlines() if "python3" in line][:1]
    assert answer.why == "".join(["/opt/python3" if shell == "a path" else "python3", " not found", *(f": {line}" for line in lines)])
    assert answer.hint == "install it, or set its path with --python"


@pytest.mark.parametrize(
    ("status", "errors", "why"),
    [
        (
            126,
            "bash: line 1: /usr/bin/python3: Permission denied\n",
            "python3 cannot be executed: bash: line 1: /usr/bin/python3: Permission denied",
        ),
        (127, "sh: 1: python3: Permission denied\n", "python3 cannot be executed: sh: 1: python3: Permission denied"),
        (2, "Unknown option: -I\nusage: python3 [option] ...\n", "python3 on the node is older than 3.4; 3.9 or newer is required"),
        (255, "root@gpu-01: Permission denied (publickey).\n", "root@gpu-01: Permission denied (publickey)."),
        (
            255,
            "kex_exchange_identification: read: Connection reset by peer\n",
            "kex_exchange_identification: read: Connection reset by peer",
        ),
        (3, "", "ssh exited with status 3"),
        (1, "error: something else\n", "something else"),
    ],
)
def test_why_a_program_did_not_start(status: int, errors: str, why: str) -> None:
    answer = explain_failure("gpu-01", "ssh", status, b"", errors, "python3")
    assert answer.why == why
    assert bool(answer.hint) == any(word in errors for word in ("Permission denied", "Unknown option"))
    assert answer.hint is None or ("ssh-agent" in answer.hint) == (status == 255)


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        ("ssh: Could not resolve hostname bastion: Name or service not known", "failed: ssh: Could not resolve hostname bastion"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", "failed: ssh: connect to host 192.0.2.1"),
        ("root@bastion: Permission denied (publickey).", "failed: root@bastion: Permission denied"),
        ("Host key verification failed.", "failed: Host key verification failed."),
        (
            "channel 0: open failed: connect failed: No route to host\nstdio forwarding failed",
            "cannot reach the node: connect failed: No route",
        ),
        ("channel 0: open failed: administratively prohibited: open failed\nstdio forwarding failed", "cannot reach the node: admin"),
        ("/bin/sh: 1: exec: nc: not found", "failed: /bin/sh: 1: exec: nc: not found"),
        ("", "closed the connection"),
    ],
)
def test_a_jump_host_that_fails(cause: str, why: str) -> None:
    errors = f"{cause}\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n"
    answer = explain_failure("gpu-01", "ssh", 255, b"", errors, "python3")
    assert answer.why.startswith("the jump host")
    assert why in answer.why
    before = explain_failure("gpu-01", "ssh", 255, b"", f"a banner\n{errors}", "python3")
    assert before.why == answer.why or not cause, "the last line before ssh gives up"
    assert answer.hint == "run 'ssh -v gpu-01' to see which connection fails"


def test_limits_of_a_list() -> None:
    assert parse_hostlist("gpu-01:65535,a[999999999]", "x") == ["gpu-01:65535", "a999999999"]
    assert len(parse_hostlist("a[1-100000]", "x")) == 100_000
    for text in ("a[1-100001]", "a[1-99999],b,c", "a[1-50000],a[1-50001]", "a[1-9999999999]"):
        with pytest.raises(InvalidInput, match=r"more than 100,000 names|invalid range"):
            parse_hostlist(text, "x")
    assert parse_hostlist("x" * 255, "x") == ["x" * 255]
    with pytest.raises(InvalidInput, match="longer than 255 characters"):
        parse_hostlist("x" * 256, "x")
    with pytest.raises(InvalidInput, match="no letter or digit"):
        parse_hostlist("...", "x")


def test_addresses_in_brackets_are_not_folded() -> None:
    names = ["[fd00::1]:22", "[fd00::1]:23", "fd00::1", "fd00::2"]
    assert fold_hostlist(names) == "[fd00::1]:22,[fd00::1]:23,fd00::[1-2]"
    assert sorted(parse_hostlist(fold_hostlist(names), "x")) == sorted(names)


def test_names() -> None:
    assert parse_hostlist("gpu-[8-10,12], b ,gpu-9\n\tc[001-002].example.com # d", "x") == [
        *("gpu-8", "gpu-9", "gpu-10", "gpu-12", "b"),
        *("c001.example.com", "c002.example.com"),
    ]
    with pytest.raises(InvalidInput, match=r"hosts\.txt, line 2: "):
        parse_hostlist("a\n;\n", "hosts.txt")
    assert fold_hostlist([]) == ""
    assert assign_file_names(["a:b", "a_b", "..", ""], []) == {"a:b": "a_b", "a_b": "a_b-2", "..": "node", "": "node-2"}


@pytest.mark.parametrize("junk", [b"", b"hello\n", b"\xff\xfe", b"\n--eidos-0 begin", b"\n--eidos-0 begin\n{}", b"\n--eidos-0 pyth"])
def test_an_answer_that_is_none(junk: bytes) -> None:
    from eidos.errors import EidosError

    with pytest.raises(EidosError):
        extract_output(junk, "--eidos-0")


def test_what_is_no_name_is_shown_in_short() -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_hostlist("\0" * 100_000, "x")
    assert len(raised.value.message) < 400


def test_an_answer_among_other_output() -> None:
    assert extract_output(b"MARK = '--eidos-0'\n--eidos-0 begin\n{}\n\n--eidos-0 end 0\n", "--eidos-0") == b"{}\n\n"
    assert extract_output(b"Welcome\r\n\n--eidos-0 begin\n{\n}\n\n--eidos-0 end 0\nbye\n", "--eidos-0") == b"{\n}\n\n"
    assert extract_output(b"0: \n0: --eidos-0 begin\n0: {\n0: }\n0: \n0: --eidos-0 end 0\n", "--eidos-0") == b"{\n}\n\n"


def test_what_is_sent_is_ascii_and_small(pyz: Path, agent_pyz: Path) -> None:
    sent = build_program(str(pyz), ["snapshot", "--units", "ü"], "--eidos-0")
    assert sent.text.isascii()
    assert len(sent.text) < 2 * agent_pyz.stat().st_size
    data = sent.text.partition(b'DATA = """\n')[2].partition(b'"""')[0]
    files = marshal.loads(zlib.decompress(base64.decodebytes(data)))
    assert {f"licenses/{name}.txt" for name in ("eidos", "PyYAML", "nvidia-ml-py")} <= files.keys(), "what is sent is a copy"


def test_a_program_that_is_damaged(agent_pyz: Path, tmp_path: Path) -> None:
    content, path = agent_pyz.read_bytes(), tmp_path / "damaged.pyz"
    with zipfile.ZipFile(agent_pyz) as archive:
        first = next(info for info in archive.infolist() if info.compress_type == zipfile.ZIP_DEFLATED)
    at = first.header_offset + 30 + len(first.filename)
    path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])  # no such block (RFC 1951, section 3.2.3)
    with pytest.raises(Unavailable, match="cannot send the program"):
        build_program(str(path), ["snapshot"])


def test_a_program_that_was_ended_there() -> None:
    out = b"\n--eidos-0 begin\n\n--eidos-0 end 137\n"
    assert (exit_status(out, "--eidos-0"), exit_status(out[:20], "--eidos-0"), exit_status(b"", "--eidos-0")) == (137, 0, 0)
    result = ProgramResult(Command(("ssh",), label="gpu-1"), EXITED, 0, out)
    no_answer = ssh._answer(result, RemoteProgram(b"", "--eidos-0"), "python3", 60)
    assert isinstance(no_answer, NoAnswer)
    assert no_answer.why == "no snapshot in its output (exit status 137)"
