"""Laws of the collectors of hardware, kernel and boot, and what they make of this machine's real files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.collectors import Sources, load_collector
from eidos.collectors.os_boot import parse_shell_assignments
from eidos.collectors.os_cpu import format_cpu_list, parse_cpu_list, summarize
from eidos.collectors.os_kernel import TAINT_WORDS, parse_config, taint_flags
from eidos.collectors.os_pci import RELATIONS, relation
from eidos.files.host import Host
from eidos.model.measurement import UNREADABLE, Gap, Subtype
from tests.support.effort import examples
from tests.support.node_tree import H100, Slot, config_space, write_slot

ROOT = Path(__file__).resolve().parents[2]


@given(st.sets(st.integers(0, 8191), max_size=300))
def test_a_list_of_processors_is_read_as_it_was_written(cpus: set[int]) -> None:
    text = format_cpu_list(sorted(cpus))
    assert parse_cpu_list(text) == sorted(cpus)
    assert len(text) <= sum(len(str(cpu)) + 1 for cpu in cpus)


@given(st.dictionaries(st.integers(0, 500), st.sampled_from(["performance", "powersave", "schedutil"]), max_size=50))
def test_a_summary_loses_no_processor(values: dict[int, str]) -> None:
    data = summarize("governor", values)
    listed = {cpu: key.removeprefix("governor.") for key, text in data.items() if key != "governor" for cpu in parse_cpu_list(str(text))}
    assert listed == (values if len(set(values.values())) > 1 else {})
    assert data.get("governor") == ("mixed" if listed else next(iter(values.values()), None))


names = st.lists(st.sampled_from("abc"), max_size=4).map(lambda tail: ("pci0", *tail))


@given(names, names, st.sampled_from([0, 1, None]), st.sampled_from([0, 1, None]))
def test_a_path_is_the_same_in_both_directions(
    one: tuple[str, ...], other: tuple[str, ...], node: int | None, other_node: int | None
) -> None:
    word = relation(one, node, other, other_node)
    assert word == relation(other, other_node, one, node) and word in RELATIONS
    away = relation(one, node, ("pci1", *other), other_node)
    assert away == ("NODE" if node is not None and node == other_node else "SYS")
    assert RELATIONS.index(word) <= RELATIONS.index(away)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("CONFIG_HZ=250", {"HZ": "250"}),
        ("CONFIG_HZ_100=y\nCONFIG_HZ=250\n", {"HZ": "250"}),
        ("# CONFIG_NUMA is not set", {"NUMA": "n"}),
        ("#\n# CONFIG_NUMA is not set\n", {"NUMA": "n"}),
        ("# CONFIG_NUMA is not set yet\n# x CONFIG_SMP=y\n", {}),
        ('\nCONFIG_LOCALVERSION="-é"\nCONFIG_SMP=y', {"LOCALVERSION": "-é", "SMP": "y"}),
    ],
)
def test_options_of_the_kernel_are_lines_of_their_own(text: str, options: dict[str, str]) -> None:
    assert parse_config(text.encode()) == options


def test_errors_of_pci_express_are_counted_on_request(tmp_path: Path) -> None:
    write_slot(tmp_path, Slot("0000:1b:00.0", "30200", H100, "nvidia", 0, ("pci0000:15", "0000:15:01.0")))
    folder = tmp_path / "sys/devices/pci0000:15/0000:15:01.0/0000:1b:00.0"
    for name, text in (("correctable", "RxErr 2\nBadTLP 1\nTOTAL_ERR_COR 3\n"), ("nonfatal", "TOTAL_ERR_NONFATAL 0\n"), ("fatal", "x\n")):
        (folder / f"aer_dev_{name}").write_text(text)
    for volatile in (False, True):
        parts = list(load_collector("os.pci")(Sources(Host(str(tmp_path)), volatile=volatile)))
        data = {
            key.partition(".aer-")[2]: value
            for part in parts
            if isinstance(part, Subtype)
            for key, value in part.data.items()
            if ".aer-" in key
        }
        assert data == ({"correctable": 3, "non-fatal": 0} if volatile else {})
    assert [part.what for part in parts if isinstance(part, Gap)] == [f"{folder.name}/aer_dev_fatal"]


@given(st.integers(0, (1 << len(TAINT_WORDS)) - 1))
def test_every_bit_of_a_taint_has_its_word(mask: int) -> None:
    assert sum(1 << TAINT_WORDS.index(word) for word in taint_flags(mask).split()) == mask


@pytest.mark.parametrize(
    ("before", "expected"),
    [((), "SrcValid"), ((0x1, 0x2, 0x3), "SrcValid"), (tuple(range(1, 9)), "SrcValid")],
)
def test_acs_is_read_behind_other_capabilities(before: tuple[int, ...], expected: str, tmp_path: Path) -> None:
    write_slot(tmp_path, Slot("0000:1b:00.0", "30200", H100, "nvidia", 0, ("pci0000:15", "0000:15:01.0")))
    config = tmp_path / "sys/devices/pci0000:15/0000:15:01.0/config"
    config.write_bytes(config_space(1, tuple(0x20 + number for number in before), 0x400))
    (part,) = load_collector("os.pci")(Sources(Host(str(tmp_path))))
    assert isinstance(part, Subtype) and part.data["0000:15:01.0.acs"] == expected


def test_capabilities_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    write_slot(tmp_path, Slot("0000:1b:00.0", "30200", H100, "nvidia", 0, ("pci0000:15", "0000:15:01.0")))
    config = bytearray(0x1000)
    config[0x100:0x104] = (0x0001 | 0x100 << 20).to_bytes(4, "little")
    (tmp_path / "sys/devices/pci0000:15/0000:15:01.0/config").write_bytes(config)
    (part,) = load_collector("os.pci")(Sources(Host(str(tmp_path))))
    assert isinstance(part, Subtype) and part.data["0000:15:01.0.acs"] == "unsupported"


words = st.text(st.sampled_from("abc =#\"'\\$;|"), max_size=12)


@settings(max_examples=examples(25))
@given(st.lists(st.tuples(st.sampled_from(["A", "B", "GRUB_X"]), words), max_size=4))
def test_assignments_are_read_as_the_shell_reads_them(pairs: list[tuple[str, str]]) -> None:
    script = "\n".join(f"{name}={shlex.quote(value)}" for name, value in pairs) + '\nC="$A${B} $GRUB_X"\n'
    show = '\nfor n in A B GRUB_X C; do eval "printf \'%s\\\\0\' \\"\\$$n\\""; done'
    done = subprocess.run(["sh", "-c", f"unset A B GRUB_X C\n{script}{show}"], capture_output=True, text=True, check=True)
    values, unknown = parse_shell_assignments(script)
    assert not unknown
    assert done.stdout.split("\0")[:4] == [values.get(name, "") for name in ("A", "B", "GRUB_X", "C")]


def test_what_a_program_writes_into_the_kernels_log_does_not_count() -> None:
    try:
        with open("/dev/kmsg", "wb", buffering=0) as log:
            log.write(b"<6>NVRM: Xid (PCI:0000:7f:00): 79, pid=1, written by a test")
    except OSError as fault:
        pytest.skip(f"cannot write into the kernel's log: {fault}")
    parts = list(load_collector("os.kmsg")(Sources(Host("/"), volatile=True)))
    if any(isinstance(part, Gap) and part.what == "/dev/kmsg" for part in parts):
        pytest.skip("cannot read the kernel's log")
    assert not any("0000:7f:00.0" in key for part in parts if isinstance(part, Subtype) for key in part.data)


def test_what_lxcfs_shows_is_not_the_hosts(tmp_path: Path) -> None:
    """In a mount namespace of its own another file lies over /proc/meminfo."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    script = f'mount --bind {tmp_path}/meminfo /proc/meminfo && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-m", "eidos", "snapshot", "--only", "os.memory", "-t", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if not done.stdout:
        pytest.skip(f"cannot bind a file here: {done.stderr.decode()}")
    document = json.loads(done.stdout)
    (outcome,) = document["collectors"]
    assert "lxcfs" in outcome[UNREADABLE]["/proc/meminfo"] and outcome["outcome"] == "partial"
    data = {key: value for m in document["measurements"] for s in m["subtypes"] for key, value in s["data"].items()}
    assert "total-kib" not in data


def test_a_library_of_the_driver_that_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    for path, text in {"sys/module/nvidia/version": "570.86.15\n", "proc/modules": ""}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    library = tmp_path / "usr/lib64/libnvidia-ml.so.1"
    library.parent.mkdir(parents=True)
    library.symlink_to(library.name)
    gaps = {part.what: part.why for part in load_collector("os.modules")(Sources(Host(str(tmp_path)))) if isinstance(part, Gap)}
    assert gaps["driver-library-version"] == "/usr/lib64/libnvidia-ml.so.1: too many levels of symbolic links"
