"""Reading a host's files: nothing is changed, nothing is waited for, nothing outside the root is read, and a failure says which it is."""

from __future__ import annotations

import errno
import gc
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from eidos.errors import NotFound, Unavailable
from eidos.files.host import FileMissing, FileUnreadable, Host, translate_os_error
from tests.support.waiting import AMPLE_S

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(params=["plain", "walked"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """``Host.read`` of a path below ``tmp_path``, on both ways: as part of "/" and as a root of its own."""
    if request.param == "plain":
        return lambda path, *limit: Host().read_text(f"{tmp_path}{path}", *limit)
    return lambda path, *limit: Host(str(tmp_path)).read_text(path, *limit)


def descriptors() -> set[str]:
    gc.collect()  # what earlier tests have left open
    return set(os.listdir("/proc/self/fd"))


def test_text(read: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("größe\n", encoding="utf-8")
    assert read("/a") == "größe\n"


def test_empty(read: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert read("/a") == ""


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\x80b", b"\xed\xa0\x80", b"ok \xf0\x9f\x98"])
def test_not_utf_8_has_no_surrogates(read: Callable[..., str], tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    text = read("/a")
    text.encode("utf-8")
    assert "\\x" in text


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 65535, 65536])
def test_a_file_of_the_largest_size_is_read(read: Callable[..., str], tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(b"x" * size)
    assert read("/a", 65536) == "x" * size
    assert read("/a", max(size, 1)) == "x" * size


@pytest.mark.parametrize(("size", "limit", "why"), [(11, 10, "10 bytes"), (5000, 4096, "4 KiB"), ((1 << 20) + 1, 1 << 20, "1 MiB")])
def test_larger_than_the_limit_is_unreadable(read: Callable[..., str], tmp_path: Path, size: int, limit: int, why: str) -> None:
    (tmp_path / "a").write_bytes(b"x" * size)
    with pytest.raises(FileUnreadable, match=f"larger than {why}"):
        read("/a", limit)


def test_a_hundred_megabytes_are_not_read(read: Callable[..., str], tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(FileUnreadable, match="larger than 1 MiB"):
        read("/a")


def test_a_file_without_a_size_is_bounded_too() -> None:
    with pytest.raises(FileUnreadable, match="larger than 100 bytes"):
        Host().read_text("/proc/self/status", 100)
    assert len(Host().read_text("/proc/self/smaps")) > 4096, "more than comes with the first read"


def test_missing(read: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("/nothing", "/no/thing", "/file/below", "/" + "n" * 300):
        with pytest.raises(FileMissing) as fault:
            read(path)
        assert isinstance(fault.value, NotFound)
        assert path in fault.value.message


def test_links_in_a_circle_are_there_and_cannot_be_read(read: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileUnreadable, match="too many levels of symbolic links"):
        read("/a")


def test_what_is_no_file_is_never_opened(read: Callable[..., str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, kind in (("/fifo", "fifo"), ("/folder", "directory"), ("/link", "fifo"), ("/socket", "socket")):
            with pytest.raises(FileUnreadable, match=f"not a regular file: {kind}") as fault:
                read(path)
            assert isinstance(fault.value, Unavailable)
            assert fault.value.reason == f"not a regular file: {kind}"


def test_a_device_is_never_opened() -> None:
    with pytest.raises(FileUnreadable, match="not a regular file: character device"):
        Host().read_text("/dev/zero")
    with pytest.raises(FileUnreadable, match="not a regular file: character device"):
        Host("/dev").read_text("/zero")


def test_input_output_error() -> None:
    with pytest.raises(FileUnreadable) as fault:
        Host().read_text("/proc/self/mem")
    assert (fault.value.reason, fault.value.errno) == ("input/output error", errno.EIO)


def test_what_would_block_says_so() -> None:
    fault = translate_os_error(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "/proc/kmsg")
    assert isinstance(fault, FileUnreadable)
    assert fault.reason == "no data available without waiting"


UNPRIVILEGED = """
import json, os, sys
from eidos.files.host import FileUnreadable, Host
import eidos.files.path_walk
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
answers = []
for root, path in json.load(sys.stdin):
    try:
        answers.append(Host(root).read_text(path))
    except FileUnreadable as fault:
        answers.append(fault.reason)
print(json.dumps(answers))
"""


def test_no_permission(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "secret").write_text("secret")
    (tmp_path / "open" / "secret").chmod(0)
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "file").write_text("secret")
    (tmp_path / "closed").chmod(0o600)
    for folder in (tmp_path, *tmp_path.parents):
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid() and folder.name.startswith(("pytest", "test")):
            folder.chmod(0o755)
    reads = [
        ("/", f"{tmp_path}/open/secret"),
        (str(tmp_path), "/open/secret"),
        ("/", f"{tmp_path}/closed/file"),
        (str(tmp_path), "/closed/file"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED], input=json.dumps(reads), capture_output=True, text=True, cwd=ROOT, timeout=AMPLE_S, check=True
    )
    assert json.loads(done.stdout) == ["permission denied"] * 4


def test_a_file_that_vanishes_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with Host(str(tmp_path)).open_directory("/") as folder:
        regular, _, _ = folder.scan()
        (tmp_path / "a").unlink()
        ((name, content),) = folder.read_regular_files(regular)
        assert name == "a" and isinstance(content, FileMissing)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_files_of_a_folder_are_read_completely(tmp_path: Path, size: int, end: bytes) -> None:
    content = b"x" * size + end
    (tmp_path / "a").write_bytes(content)
    with Host(str(tmp_path)).open_directory("/") as folder:
        assert list(folder.read_regular_files(["a", "a"], 9001)) == [("a", content)] * 2
        ((_, result),) = folder.read_regular_files(["a"], 4097)
        assert result == content if len(content) <= 4097 else isinstance(result, FileUnreadable)


# Roots other than "/"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root, and beside it what must never be seen."""
    (tmp_path / "outside").write_text("outside")
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "inside").write_text("inside")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "target", ["inside", "/etc/inside", "../etc/./inside", "../../../../../etc/inside", "/../etc//inside", "./../etc/inside"]
)
def test_links_are_resolved_inside_the_root(root: Path, target: str) -> None:
    (root / "etc" / "link").symlink_to(target)
    host = Host(str(root))
    assert host.read_text("/etc/link") == "inside"
    assert host.read_link("/etc/link") == target
    assert host.real_path("/etc/link") == str(root / "etc" / "inside")
    assert host.exists("/etc/link")


@pytest.mark.parametrize("target", ["../../outside", "../../../outside", "/../outside", "..", "/outside"])
def test_links_never_lead_out(root: Path, target: str) -> None:
    (root / "etc" / "link").symlink_to(target)
    host = Host(str(root))
    with pytest.raises((FileMissing, FileUnreadable)):
        host.read_text("/etc/link")
    with pytest.raises(FileMissing):
        host.read_text(f"/etc/link/{'../' * 5}outside")


def test_an_absolute_link_out_of_the_real_root_finds_nothing(root: Path) -> None:
    (root / "etc" / "link").symlink_to(root.parent / "outside")
    assert Host().read_text(str(root / "etc" / "link")) == "outside"
    with pytest.raises(FileMissing):
        Host(str(root)).read_text("/etc/link")


def test_dots_in_the_path_itself_stay_inside(root: Path) -> None:
    host = Host(str(root))
    assert host.read_text("/../../etc/./inside") == "inside"
    with pytest.raises(FileMissing):
        host.read_text("/../outside")
    assert host.list_directory("/..") == ["etc"]


def test_a_chain_of_folders_that_are_links(root: Path) -> None:
    (root / "usr" / "etc").mkdir(parents=True)
    (root / "usr" / "etc" / "file").write_text("found")
    (root / "etc" / "a").symlink_to("/usr")
    (root / "usr" / "b").symlink_to("etc")
    assert Host(str(root)).read_text("/etc/a/b/file") == "found"
    assert Host(str(root)).list_directory("/etc/a/b/") == ["file"]


def test_forty_links_and_no_more(root: Path) -> None:
    (root / "l0").symlink_to("etc/inside")
    for i in range(1, 50):
        (root / f"l{i}").symlink_to(f"l{i - 1}")
    assert Host(str(root)).read_text("/l39") == "inside"
    with pytest.raises(FileUnreadable, match="too many levels"):
        Host(str(root)).read_text("/l40")


def test_a_slash_at_the_end_means_a_folder(root: Path) -> None:
    host = Host(str(root))
    (root / "link").symlink_to("etc/inside")
    for path in ("/etc/inside/", "/etc/inside/.", "/link/"):
        with pytest.raises(FileMissing, match="not a directory"):
            host.read_text(path)


def test_magic_links_of_procfs_are_text() -> None:
    """/proc/self/root leads to the real root when the kernel follows it, and here to the root of the tree."""
    host = Host("/proc/self")
    with pytest.raises(FileMissing):
        host.read_text("/root/etc/passwd")
    with pytest.raises(FileMissing):
        host.read_text("/cwd/pyproject.toml")
    assert host.exists("/root/status")
    assert host.read_link("/ns/net").startswith("net:[")


def test_no_race_leads_out(root: Path) -> None:
    """Somebody who may write below the root swaps a folder for a link out of it, again and again."""
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (outside / "file").write_text("outside")
    (root / "a").mkdir()
    (root / "a" / "file").write_text("inside")
    (root / "b").symlink_to(outside)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for source, target in (("a", "t"), ("b", "a"), ("t", "b")):
                os.rename(root / source, root / target)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        host, count = Host(str(root)), 0
        contents: set[str] = set()
        while count < 1500 or not contents:
            count += 1
            try:
                contents.add(host.read_text("/a/file"))
            except (FileMissing, FileUnreadable):
                pass
    finally:
        done.set()
        swapper.join()
    assert contents == {"inside"}


def test_descriptors_do_not_leak(root: Path) -> None:
    (root / "etc" / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    before = descriptors()
    host = Host(str(root))
    for path in ("/etc/inside", "/etc/loop", "/none", "/fifo", "/etc", "/etc/inside/x", "/../.."):
        for act in (host.read_text, host.exists, host.read_link, host.real_path, host.list_directory):
            try:
                act(path)
            except (FileMissing, FileUnreadable):
                pass
    del host, act
    assert descriptors() == before


def test_a_root_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileMissing):
        Host(str(tmp_path / "nothing")).read_text("/a")
    with pytest.raises(FileMissing, match="not a directory"):
        Host(str(tmp_path / "file")).read_text("/a")


@pytest.mark.parametrize("root", ["/", "//", "/./", "/proc/self/root", "/proc/.."])
def test_every_name_of_the_real_root_is_the_real_root(root: str) -> None:
    host = Host(root)
    assert host.read_text("/proc/self/comm")
    assert host.root == "/"


# The other questions


def test_listdir_is_sorted(root: Path) -> None:
    for name in ("b", "a", "Z"):
        (root / "etc" / name).touch()
    assert Host(str(root)).list_directory("/etc") == ["Z", "a", "b", "inside"]
    assert Host().list_directory(str(root / "etc")) == ["Z", "a", "b", "inside"]
    with pytest.raises(FileMissing):
        Host(str(root)).list_directory("/none")
    with pytest.raises(FileMissing, match="not a directory"):
        Host(str(root)).list_directory("/etc/inside")


def test_exists(root: Path) -> None:
    (root / "etc" / "dangling").symlink_to("nothing")
    for host, prefix in ((Host(str(root)), ""), (Host(), str(root))):
        assert host.exists(f"{prefix}/etc")
        assert host.exists(f"{prefix}/etc/inside")
        assert not host.exists(f"{prefix}/etc/dangling")
        assert not host.exists(f"{prefix}/etc/inside/x")


def test_readlink_of_what_is_none(root: Path) -> None:
    for host, prefix in ((Host(str(root)), ""), (Host(), str(root))):
        with pytest.raises(FileUnreadable, match="not a link"):
            host.read_link(f"{prefix}/etc/inside")
        with pytest.raises(FileMissing):
            host.read_link(f"{prefix}/etc/none")


def test_entries_part_files_folders_and_the_rest(root: Path) -> None:
    (root / "etc" / "link").symlink_to("inside")
    (root / "etc" / "folder").mkdir()
    os.mkfifo(root / "etc" / "fifo")
    with Host(str(root)).open_directory("/etc") as folder:
        regular, folders, others = folder.scan()
        assert (regular, folders, sorted(others)) == (["inside"], ["folder"], ["fifo", "link"])
        assert folder.read_link("link") == "inside"
        results = dict(folder.read_regular_files(["inside", "link", "fifo", "none"], is_checked=False))
        assert results.pop("inside") == b"inside" and isinstance(results.pop("none"), FileMissing)
        assert all(isinstance(result, FileUnreadable) for result in results.values())
        assert (folder.read_at("inside", 2, 3), folder.read_at("inside", 4, 9)) == (b"sid", b"de")
        with pytest.raises((FileMissing, FileUnreadable)):
            folder.open_directory("link")


def test_live_or_not(root: Path) -> None:
    assert Host().is_running_system
    assert not Host(str(root)).is_running_system
    (root / "proc").mkdir()
    (root / "proc" / "version").write_text("Linux version 6.8.0")
    assert not Host(str(root)).is_running_system
    (root / "proc" / "version").write_text("")
    assert not Host(str(root)).is_running_system, "empty is not what procfs says"
