"""The OS collectors on the running system, in namespaces of their own, and on trees that somebody has spoilt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.collectors import Sources, _kernel_command_line, load_collector, os_kmod, os_release, os_sysctl
from eidos.errors import NotApplicable
from eidos.files.host import Host
from eidos.model.measurement import ABSENT, SECRET, UNREADABLE, VOLATILE, WITHHELD, Gap, Subtype
from eidos.model.volatile import is_volatile_sysctl
from eidos.workflow import SnapshotOptions, take_snapshot

ROOT = Path(__file__).resolve().parent.parent.parent
SYS = Path("/proc/sys")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of a captured host, to be spoilt."""
    copy = tmp_path / "host"
    shutil.copytree(ROOT / "tests/hosts/rhel-9", copy, symlinks=True)
    return copy


def ask(name: str, root: Path | str = "/", **more: Any) -> tuple[dict[str, Subtype], list[Gap]]:
    """Subtypes by name, and gaps, of one collector."""
    parts = list(load_collector(name)(Sources(host=Host(str(root)), **more)))
    return {part.name: part for part in parts if isinstance(part, Subtype)}, [part for part in parts if isinstance(part, Gap)]


# sysctl, on the running system


def test_what_it_says_is_what_the_files_hold() -> None:
    subtypes, _ = ask("os.sysctl")
    data = subtypes["sysctl"].data
    assert len(data) > 200
    wrong = {}
    for path, value in data.items():
        if os.path.isfile(path) and value != WITHHELD:
            text = Path(path).read_text(encoding="utf-8", errors="backslashreplace")
            if text.removesuffix("\n") != value:
                wrong[path] = (value, text)
    assert not wrong


def test_nothing_that_can_be_read_is_forgotten() -> None:
    """Against an independent walk: what is neither said nor a gap is volatile, a command, or a part of net that is not kept."""
    subtypes, gaps = ask("os.sysctl")
    known = [*subtypes["sysctl"].data, *(gap.what for gap in gaps)]
    accounted = set(known) | {path.rpartition("/")[0] for path in known}
    for folder, folders, files in os.walk(SYS):
        short = os.path.relpath(folder, SYS)
        folders[:] = [name for name in folders if f"{short}/{name}" not in os_sysctl.SKIPPED_FOLDERS]
        if short.startswith("net/") and short not in os_sysctl.NET_FOLDERS:
            continue
        for name in files:
            path = f"{folder}/{name}"
            relative = os.path.relpath(path, SYS)
            readable = os.stat(path).st_mode & 0o444
            if path not in accounted and readable and not is_volatile_sysctl(relative) and relative not in os_sysctl.TRIGGERS:
                pytest.fail(f"{path} is forgotten")


def test_two_looks_are_the_same() -> None:
    first, second = ask("os.sysctl"), ask("os.sysctl")
    assert first == second


def test_volatile_readings_come_on_request() -> None:
    subtypes, _ = ask("os.sysctl", volatile=True)
    volatile = subtypes["sysctl" + VOLATILE].data
    assert "/proc/sys/kernel/random/boot_id" in volatile
    assert not volatile.keys() & subtypes["sysctl"].data.keys()
    assert "sysctl" + VOLATILE not in ask("os.sysctl")[0]


def test_triggers_are_never_opened(tmp_path: Path) -> None:
    """As the kernel saw it: strace would show an open of each; here they are files that cannot be read without it being seen."""
    for short in (*os_sysctl.TRIGGERS, *(f"{folder}/status" for folder in os_sysctl.SKIPPED_FOLDERS), "vm/swappiness"):
        path = tmp_path / "proc/sys" / short
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
        os.utime(path, (1, 1))
    subtypes, gaps = ask("os.sysctl", tmp_path, volatile=True)
    assert subtypes["sysctl"].data == {"/proc/sys/vm/swappiness": "1"}
    assert not gaps
    touched = [str(path) for path in (tmp_path / "proc/sys").rglob("*") if path.is_file() and path.stat().st_atime != 1]
    assert touched in ([f"{tmp_path}/proc/sys/vm/swappiness"], []), "(nothing where the mount keeps no access times)"


def test_the_deadline_leaves_what_was_read(tree: Path) -> None:
    subtypes, gaps = ask("os.sysctl", tree, deadline=time.monotonic() - 1)
    assert subtypes["sysctl"].data == {}
    assert gaps == [Gap(UNREADABLE, "/proc/sys/*", "stopped shortly before the deadline")]


# sysctl, in namespaces


SCRIPT = """
import json, sys
from eidos.collectors import Sources, os_sysctl
from eidos.files.host import Host
from eidos.model.measurement import Gap
host = Host(sys.argv[1])
parts = list(os_sysctl.collect(Sources(host=host)))
gaps = {part.what: part.why for part in parts if isinstance(part, Gap) and part.kind == "unreadable"}
print(json.dumps([host.is_running_system, host.foreign_namespaces(), gaps, sorted(parts[-1].data)]))
"""


def inside(*flags: str, root: str = "/", before: str = "") -> tuple[bool, dict[str, str], dict[str, str], list[str]]:
    """What the collector says in new namespaces: live, foreign ones, what is unreadable and why, and the keys."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare here")
    if subprocess.run(["unshare", *flags, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"not permitted: unshare {' '.join(flags)}")
    command = ["unshare", *flags, "sh", "-c", f'{before} exec "$0" "$@"', sys.executable, "-c", SCRIPT, root]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    live, foreign, gaps, keys = json.loads(done.stdout)
    return live, foreign, gaps, keys


@pytest.fixture(scope="module")
def initial() -> set[str]:
    """The namespaces that the tests themselves run in and that are not the host's: a container's."""
    return set(Host().foreign_namespaces())


def prefixes(keys: list[str], *names: str) -> list[str]:
    return [key for key in keys if key.startswith(tuple(f"/proc/sys/{name}" for name in names))]


def test_at_home_nothing_is_foreign(initial: set[str]) -> None:
    if initial:
        pytest.skip(f"these tests run in foreign namespaces: {', '.join(sorted(initial))}")
    subtypes, _ = ask("os.sysctl")
    keys = list(subtypes["sysctl"].data)
    assert prefixes(keys, "net/core/somaxconn")
    assert prefixes(keys, "kernel/shmmax", "kernel/sem", "kernel/hostname")


@pytest.mark.parametrize(
    ("flag", "kind", "right", "gap", "gone", "stays"),
    [
        ("-n", "net", "hostNetwork: true (--host-network)", "/proc/sys/net/*", ["net/"], "kernel/shmmax"),
        (
            "-i",
            "ipc",
            "hostIPC: true (--host-ipc)",
            "/proc/sys/kernel/shm*",
            ["kernel/shm", "kernel/msg", "kernel/sem", "fs/mqueue/"],
            "kernel/seccomp/",
        ),
        (
            "-u",
            "uts",
            "hostNetwork: true (--host-network)",
            "/proc/sys/kernel/hostname",
            ["kernel/hostname", "kernel/domainname"],
            "kernel/osrelease",
        ),
        ("-U", "user", "hostUsers: true", "/proc/sys/user/*", ["user/"], "vm/swappiness"),
    ],
)
def test_what_shows_a_container_is_unreadable(
    initial: set[str], flag: str, kind: str, right: str, gap: str, gone: list[str], stays: str
) -> None:
    live, foreign, gaps, keys = inside(flag)
    assert live
    assert set(foreign) == initial | {kind}
    assert foreign[kind] == right
    assert right in gaps[gap]
    assert not prefixes(keys, *gone)
    assert prefixes(keys, stays) or kind in initial


def test_a_pid_namespace(initial: set[str]) -> None:
    live, foreign, gaps, keys = inside("-p", "-f", "--mount-proc")
    assert live
    assert set(foreign) == initial | {"pid"}
    assert "hostPID: true" in gaps["/proc/sys/kernel/pid_max"]
    assert "/proc/sys/kernel/ns_last_pid" not in gaps, "volatile, and nobody asked"
    assert not prefixes(keys, "kernel/pid_max")


def test_a_host_mounted_into_a_container(tmp_path: Path, initial: set[str]) -> None:
    """As a Job with the host's root at /host: /host/proc/sys/net is the reader's own all the same."""
    (tmp_path / "host").mkdir()
    live, foreign, gaps, keys = inside("-m", "-n", "-u", root=f"{tmp_path}/host", before=f"mount --rbind / {tmp_path}/host &&")
    assert live
    assert {"net", "uts"} <= set(foreign)
    assert "needs hostNetwork: true" in gaps["/proc/sys/net/*"]
    assert not prefixes(keys, "net/", "kernel/hostname")
    assert prefixes(keys, "vm/swappiness")


def test_a_captured_tree_shows_what_it_shows(tree: Path) -> None:
    live, foreign, gaps, keys = inside("-n", "-i", "-u", root=str(tree))
    assert not live
    assert (foreign, gaps) == ({}, {})
    assert prefixes(keys, "net/core/somaxconn")


# sysctl, spoilt


def test_each_file_that_cannot_be_read_is_a_gap(tree: Path) -> None:
    vm = tree / "proc/sys/vm"
    os.mkfifo(vm / "a_fifo")
    with open(vm / "a_hundred_megabytes", "wb") as file:
        file.truncate(100 << 20)
    (vm / "dangling").symlink_to("nothing")
    (vm / "linked").symlink_to("swappiness")
    (vm / "linked_folder").symlink_to("../kernel")
    (vm / "binary").write_bytes(b"\xff\x00\x01\n")
    (vm / "empty").touch()
    subtypes, gaps = ask("os.sysctl", tree)
    assert {gap.what: gap.why for gap in gaps if gap.kind == UNREADABLE} == {
        "/proc/sys/vm/a_fifo": "not a regular file: fifo",
        "/proc/sys/vm/a_hundred_megabytes": "larger than 64 KiB",
        "/proc/sys/vm/linked_folder": "not a regular file: directory",
        "/proc/sys/vm/dangling": "dangling symbolic link",
        "/proc/sys/vm/binary": "not UTF-8",
    }
    data = subtypes["sysctl"].data
    assert data["/proc/sys/vm/linked"] == data["/proc/sys/vm/swappiness"] == "60"
    assert data["/proc/sys/vm/binary"] == "\\xff\x00\x01"
    assert data["/proc/sys/vm/empty"] == ""
    assert "/proc/sys/vm/dangling" not in data


def test_names_that_are_not_utf_8(tree: Path) -> None:
    (tree / "proc/sys/vm" / os.fsdecode(b"n\xffme")).write_text("1\n")
    (tree / "proc/sys/vm/größe").write_text("2\n", encoding="utf-8")
    data = ask("os.sysctl", tree)[0]["sysctl"].data
    assert data["/proc/sys/vm/n\\xffme"] == "1"
    assert data["/proc/sys/vm/größe"] == "2"
    json.dumps(data).encode()


def test_a_deep_tree_is_bounded(tree: Path) -> None:
    deep = tree / "proc/sys/vm" / "/".join("d" * 40)
    deep.mkdir(parents=True)
    (deep / "file").write_text("1")
    _, gaps = ask("os.sysctl", tree)
    assert [gap.why for gap in gaps] == ["nested too deeply"]


def test_several_key_value_lines_become_several_keys(tree: Path) -> None:
    data = ask("os.sysctl", tree)[0]["sysctl"].data
    assert {key: value for key, value in data.items() if "transports" in key} == {
        "/proc/sys/sunrpc/transports/tcp": "1048576",
        "/proc/sys/sunrpc/transports/udp": "32768",
        "/proc/sys/sunrpc/transports/rdma": "1048576",
        "/proc/sys/sunrpc/transports/rdma-bc": "1048576",
    }


def test_secrets_of_the_kernel_are_withheld(tree: Path) -> None:
    net = tree / "proc/sys/net"
    (net / "ipv4/tcp_fastopen_key").write_text("1b0f2d3c-00000000-00000000-00000001\n")
    (net / "core/netdev_rss_key").write_text("00:00:00:00\n")
    (net / "ipv6/conf/all/stable_secret").write_text("2001:db8::1\n")
    (tree / "proc/sys/kernel/core_pattern").write_text("|/usr/bin/collect --token hunter2 -p hunter %p\n")
    subtypes, gaps = ask("os.sysctl", tree)
    data = subtypes["sysctl"].data
    assert data["/proc/sys/net/ipv4/tcp_fastopen_key"] == data["/proc/sys/net/ipv6/conf/all/stable_secret"] == WITHHELD
    assert data["/proc/sys/net/core/netdev_rss_key"] == "00:00:00:00", "not set"
    assert data["/proc/sys/kernel/core_pattern"] == f"|/usr/bin/collect --token {WITHHELD} -p {WITHHELD} %p"
    assert [gap.what for gap in gaps if gap.kind == SECRET] == [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/net/ipv4/tcp_fastopen_key",
        "/proc/sys/net/ipv6/conf/all/stable_secret",
    ]


def test_a_secret_that_is_not_set_is_absent() -> None:
    if not (SYS / "net/ipv6/conf/all/stable_secret").exists() or "net" in Host().foreign_namespaces():
        pytest.skip("no IPv6 in this kernel, or not this process's")
    _, gaps = ask("os.sysctl")
    mine = [gap for gap in gaps if gap.what == "/proc/sys/net/ipv6/conf/all/stable_secret"]
    assert mine in ([Gap(ABSENT, mine[0].what, "not set")], [Gap(SECRET, mine[0].what, "a secret of the kernel")])


# The others


@pytest.mark.parametrize("name", ["os.grub", "os.kmod", "os.release", "os.sysctl"])
def test_a_tree_without_any_of_it_is_skipped(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="exist"):
        ask(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("os.grub", "proc/cmdline"),
        ("os.kmod", "proc/modules"),
        ("os.release", "usr/lib/os-release"),
        ("os.sysctl", "proc/sys/vm/swappiness"),
    ],
)
@pytest.mark.parametrize("fault", ["fifo", "folder", "large", "binary", "empty"])
def test_any_fault_is_a_gap_or_a_value(tree: Path, name: str, path: str, fault: str) -> None:
    file = tree / path
    file.unlink()
    if fault == "fifo":
        os.mkfifo(file)
    elif fault == "folder":
        file.mkdir()
    else:
        file.write_bytes({"large": b"x" * (1100 << 10), "binary": bytes(range(256)) * 4, "empty": b""}[fault])
    subtypes, gaps = ask(name, tree)
    if fault in ("fifo", "large") or (fault == "folder" and name != "os.sysctl"):
        assert [gap.kind for gap in gaps] == [UNREADABLE]
        assert gaps[0].why in ("not a regular file: fifo", "not a regular file: directory", "larger than 1 MiB", "larger than 64 KiB")
        assert name == "os.sysctl" or not subtypes, "what could not be read is not empty"
    if fault == "binary":
        assert "not UTF-8" in [gap.why for gap in gaps]
    for subtype in subtypes.values():
        json.dumps(subtype.data).encode()


def test_etc_has_precedence_over_usr_lib(tree: Path) -> None:
    (tree / "etc/os-release").unlink()
    (tree / "etc/os-release").write_text("ID=other\n")
    assert ask("os.release", tree)[0]["release"].data == {"ID": "other"}
    (tree / "etc/os-release").unlink()
    assert ask("os.release", tree)[0]["release"].data["ID"] == "rhel"
    os.mkfifo(tree / "etc/os-release")
    assert ask("os.release", tree) == ({}, [Gap(UNREADABLE, "/etc/os-release", "not a regular file: fifo")])


def test_malformed_lines_are_named_and_then_counted(tree: Path) -> None:
    (tree / "usr/lib/os-release").write_text("ID=a\n" + "?\n" * 100)
    subtypes, gaps = ask("os.release", tree)
    assert subtypes["release"].data == {"ID": "a"}
    assert len(gaps) == os_release.MALFORMED_LIMIT + 1
    assert gaps[0] == Gap(UNREADABLE, "/etc/os-release:2", "not an assignment")
    assert gaps[-1] == Gap(UNREADABLE, "/etc/os-release:*", "80 more lines")


def test_modules_of_lines_that_are_none(tree: Path) -> None:
    (tree / "proc/modules").write_text("nvidia 1 0 - Live 0x0\nnvi\n\nxyz\n")
    subtypes, gaps = ask("os.kmod", tree)
    assert subtypes["kmod"].data == {"nvidia": True}
    assert gaps == [Gap(UNREADABLE, "/proc/modules", "line 2 and 1 more: not a module")]


def test_modules_of_this_kernel() -> None:
    if not os.path.exists(os_kmod.PATH):
        with pytest.raises(NotApplicable, match="this kernel does not support modules"):
            ask("os.kmod")
        return
    subtypes, gaps = ask("os.kmod")
    assert not gaps
    assert set(subtypes["kmod"].data) == {line.split()[0] for line in Path(os_kmod.PATH).read_text().splitlines()}


@pytest.mark.parametrize(
    ("line", "data", "withheld"),
    [
        ("a=1 systemd.set_credential=pw:hunter2", {"a": "1", "systemd.set_credential": WITHHELD}, 1),
        ("rootflags=vers=3,password=x,ro", {"rootflags": f"vers=3,password={WITHHELD},ro"}, 1),
        ("netroot=iscsi:bob:pw@192.0.2.1::3260::iqn", {"netroot": f"iscsi:{WITHHELD}@192.0.2.1::3260::iqn"}, 1),
        ("https://bob:pw@example.com/x", {WITHHELD: ""}, 1),
        ("ro -- --token hunter2 x", {"ro": "", "--": f"--token {WITHHELD} {WITHHELD}"}, 2),
        ("token=a token=b", {"token#1": WITHHELD, "token#2": WITHHELD, "token": WITHHELD}, 2),
    ],
)
def test_secrets_on_the_kernels_command_line(tree: Path, line: str, data: dict[str, str], withheld: int) -> None:
    (tree / "proc/cmdline").write_text(line + "\n")
    subtypes, gaps = ask("os.grub", tree)
    assert subtypes["grub"].data == data
    assert [gap.kind for gap in gaps] == [SECRET] * withheld


def test_the_command_line_of_this_kernel() -> None:
    subtypes, _ = ask("os.grub")
    parameters, _ = _kernel_command_line.parse_command_line(Path("/proc/cmdline").read_text())
    assert {name for name, value in parameters if value is None and "://" not in name} <= set(subtypes["grub"].data)


@pytest.mark.shared
def test_the_go_programs_keys_and_ours(shared: Path, tmp_path: Path) -> None:
    """Its snapshot of a real H100 node, laid out as files again: we say the same, but for what changes on its own and triggers."""
    document = yaml.safe_load((shared / "snapshots/h100-eks.yaml").read_text(encoding="utf-8"))
    measurement = next(part for part in document["measurements"] if part["type"] == "OS")
    theirs = {part["subtype"]: part["data"] for part in measurement["subtypes"]}
    tables: dict[str, str] = {}
    # Of the command line it keeps no order; reversed, a size of pages comes before their number, as it must.
    for path, value in theirs["sysctl"].items():
        table, _, key = path.rpartition("/")
        if table.endswith("sunrpc/transports"):
            tables[table] = tables.get(table, "") + f"{key} {value}\n"
        else:
            tables[path] = f"{value}\n"
    tables["/proc/cmdline"] = " ".join(f"{name}={value}" if value else name for name, value in reversed(theirs["grub"].items())) + "\n"
    tables["/proc/modules"] = "".join(f"{name} 1 0 - Live 0x0\n" for name in theirs["kmod"])
    tables["/etc/os-release"] = "".join(f'{name}="{value}"\n' for name, value in theirs["release"].items())
    for path, text in tables.items():
        file = tmp_path / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    left_out = {path for path in theirs["sysctl"] if is_volatile_sysctl(path) or path.removeprefix("/proc/sys/") in os_sysctl.TRIGGERS}
    assert "/proc/sys/kernel/random/uuid" in left_out
    assert ask("os.sysctl", tmp_path)[0]["sysctl"].data == {key: value for key, value in theirs["sysctl"].items() if key not in left_out}
    for name in ("grub", "kmod", "release"):
        assert ask(f"os.{name}", tmp_path)[0][name].data == theirs[name]


def test_secrets_that_only_their_parameter_tells(tree: Path) -> None:
    key = "0123456789abcdef" * 4
    table = f'"data,,,rw,0 409600 crypt aes-xts-plain64 {key} 0 /dev/sda2 0"'
    (tree / "proc/cmdline").write_text(f"dm-mod.create={table} talos.config.inline=H4sIAAAA hostpw=hunter2 quiet\n")
    subtypes, gaps = ask("os.grub", tree)
    assert subtypes["grub"].data == {
        "dm-mod.create": "<withheld>",
        "talos.config.inline": "<withheld>",
        "hostpw": "<withheld>",
        "quiet": "",
    }
    assert [gap.kind for gap in gaps] == ["withheld"] * 3
    (tree / "proc/cmdline").write_text('dm-mod.create="root,,,ro,0 4096 linear /dev/sda1 0"\n')
    assert ask("os.grub", tree)[0]["grub"].data["dm-mod.create"] == "root,,,ro,0 4096 linear /dev/sda1 0"


@pytest.mark.parametrize("unit", ["/", "//", "//a:", "a=", "x=/", "=", ":@"])
def test_a_parameter_of_two_thousand_slashes_and_the_like_is_read(tree: Path, unit: str) -> None:
    (tree / "proc/cmdline").write_text(f"ro root=/dev/sda1 x={unit * 2040} quiet\n")
    subtypes, _ = ask("os.grub", tree)
    assert subtypes["grub"].data["root"] == "/dev/sda1"
    assert subtypes["grub"].data["quiet"] == ""
    assert "x" in subtypes["grub"].data


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a=b ", "x" * 1000 + " ", "/", 'a="b c" '])
def test_a_line_of_a_mebibyte_is_read_whatever_it_holds(tree: Path, unit: str) -> None:
    """Within the deadline; the time is ample, because what is tested is that it does not grow with the square."""
    line = "first=1 " + (unit * (1 << 20))[: (1 << 20) - 40] + ' "last=2"\n'
    (tree / "proc/cmdline").write_text(line)
    shot = take_snapshot(SnapshotOptions(root=str(tree), collectors=("os.grub",), timeout_s=200.0))
    assert [outcome.outcome for outcome in shot.collectors] == ["ok"]
    assert shot.measurements[0].subtypes[0].data["first"] == "1"
