"""Archives of support tools: what is read of a good one, and that a hostile one is refused within bounds and leaves nothing outside."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.errors import EidosError, InvalidData, NotFound, Unavailable
from eidos.files import host_archive, tar_reader
from eidos.files.host import FileMissing, FileUnreadable, Host
from eidos.files.host_archive import unpack
from tests.support.effort import examples
from tests.support.support_archives import bug_report, sos_report

HOSTS = Path(__file__).parent.parent / "hosts"

#: Form → mode of tarfile.
MODES: dict[str, Any] = {"": "w", "gz": "w:gz", "xz": "w:xz"}

Member = tuple[str, str, bytes, str]


def archive(members: Iterable[Member], form: str = "") -> bytes:
    """A tar of (path, kind, content, target), as any program could write it."""
    kinds = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}
    kinds |= {"fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE, "block": tarfile.BLKTYPE}
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=MODES[form], format=tarfile.GNU_FORMAT) as tar:
        for path, kind, content, target in members:
            info = tarfile.TarInfo(path)
            info.type, info.size, info.linkname = kinds[kind], len(content), target
            tar.addfile(info, io.BytesIO(content))
    return output.getvalue()


def file(path: str, content: bytes = b"x\n") -> Member:
    return path, "file", content, ""


def unpacked(tmp_path: Path, data: bytes) -> tuple[host_archive.HostArchive, Path]:
    (tmp_path / "archive").write_bytes(data)
    folder = tmp_path / "folder"
    folder.mkdir()
    return unpack(str(tmp_path / "archive"), str(folder)), folder


@pytest.mark.parametrize("form", ["", "gz", "xz"])
def test_a_report_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    contents, folder = unpacked(tmp_path, sos_report(HOSTS / "ubuntu-22.04", form=form))
    host = Host(contents.root, frozenset(contents.absent))
    assert host.read_text("/etc/os-release") == (HOSTS / "ubuntu-22.04/usr/lib/os-release").read_text()
    assert host.read_text("/proc/sys/vm/swappiness") == (HOSTS / "ubuntu-22.04/proc/sys/vm/swappiness").read_text()
    assert "NVRM: Xid" in host.read_text("/dev/kmsg")
    assert contents.smi.startswith(b"\n==============NVSMI LOG")
    assert {oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()} == {"0o600"}
    assert not (folder / "var/log").exists()


@pytest.mark.parametrize("form", ["", "gz"])
def test_a_log_of_nvidia_is_read(tmp_path: Path, form: str) -> None:
    contents, _ = unpacked(tmp_path, bug_report(HOSTS / "ubuntu-22.04", form=form))
    host = Host(contents.root, frozenset(contents.absent))
    assert host.read_text("/proc/modules") == (HOSTS / "ubuntu-22.04/proc/modules").read_text()
    assert host.read_text("/proc/sys/kernel/osrelease") == "5.15.0-107-generic\n"
    assert "NVRM: Xid" in host.read_text("/dev/kmsg")
    assert b"NVSMI LOG" in contents.smi
    with pytest.raises(FileMissing):
        host.read_text("/proc/pci")
    with pytest.raises(FileUnreadable, match="not in the archive"):
        host.read_text("/proc/mounts")


def test_what_is_not_in_an_archive_is_unknown(tmp_path: Path) -> None:
    contents, _ = unpacked(tmp_path, archive([file("sos/etc/hostname"), ("sos/proc", "folder", b"", "")]))
    host = Host(contents.root, frozenset())
    assert host.exists("/etc/hostname")
    for read in (host.read_bytes, host.list_directory, host.open_directory, host.read_link, host.exists, host.real_path):
        with pytest.raises(FileUnreadable, match="not in the archive"):
            read("/sys/module/nouveau")
    with host.open_directory("/etc") as folder, pytest.raises(FileUnreadable, match="not in the archive"):
        folder.open_directory("modprobe.d")
    assert not Host(contents.root).exists("/sys/module/nouveau"), "of a tree that is complete it is absent"


LONG = "a" * 300

HOSTILE: dict[str, tuple[bytes, str]] = {
    "up": (archive([file("sos/../../etc/passwd")]), "leads out"),
    "up at once": (archive([file("../x")]), "leads out"),
    "absolute": (archive([file("/etc/passwd")]), "leads out"),
    "through a link": (archive([("sos/etc", "link", b"", "/tmp"), file("sos/etc/x")]), "through a link"),
    "through a link in steps": (archive([("sos/etc/a", "link", b"", "."), file("sos/etc/a/b/c")]), "through a link"),
    "through a file": (archive([file("sos/etc/a"), file("sos/etc/a/b")]), "through a link or a file"),
    "a folder through a link": (archive([("sos/etc", "link", b"", "/"), ("sos/etc/x", "folder", b"", "")]), "through a link"),
    "twice": (archive([file("sos/etc/a"), file("sos/etc/a")]), "twice"),
    "a link over a file": (archive([file("sos/etc/a"), ("sos/etc/a", "link", b"", "/x")]), "twice"),
    "a file over a link": (archive([("sos/etc/a", "link", b"", "/etc/passwd"), file("sos/etc/a")]), "twice"),
    "a hard link out": (archive([("sos/etc/a", "hard", b"", "../../../etc/passwd")]), "leads out"),
    "a hard link to a link": (archive([("sos/etc/a", "link", b"", "/etc/passwd"), ("sos/etc/b", "hard", b"", "sos/etc/a")]), ""),
    "deep": (archive([file("sos/etc/" + "a/" * 100 + "x")]), "too deep"),
    "a long name": (archive([file(f"sos/etc/{LONG}")]), "too deep or too long"),
    "two folders": (archive([file("one/etc/a"), file("two/etc/a")]), "beside the folder"),
    "no host": (archive([file("pictures/cat.png")]), "no folder etc"),
    "only devices": (archive([("sos/dev/sda", "block", b"", ""), ("sos/dev/null", "device", b"", "")]), "no folder etc"),
    "text": (b"hello\n" * 200, "not a tar archive"),
    "empty": (b"", "neither a report"),
    "half a block": (b"\0" * 100, "neither a report"),
    "a text": (b"hello\n", "neither a report"),
    "cut off": (archive([file("sos/etc/a", b"x" * 5000)])[:2000], "truncated"),
    "cut off gzip": (archive([file("sos/etc/a", os.urandom(50_000))], "gz")[:20_000], "truncated"),
    "cut off xz": (archive([file("sos/etc/a", os.urandom(50_000))], "xz")[:20_000], "truncated"),
    "damaged gzip": (b"\x1f\x8b\x08\0" + b"\0" * 6 + b"\xff" * 500, "damaged"),
    "damaged xz": (b"\xfd7zXZ\0" + b"\0" * 500, "damaged"),
    "another log": (b"_" * 44 + b"\n\nhello\n" * 200, "neither"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path: Path, name: str) -> None:
    data, words = HOSTILE[name]
    if not words:
        _, folder = unpacked(tmp_path, data)
        assert not (folder / "etc/b").exists()
        return
    with pytest.raises(InvalidData, match=words):
        unpacked(tmp_path, data)
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "folder"}
    assert all(".." not in path.parts for path in (tmp_path / "folder").rglob("*"))


def header(path: bytes, size: bytes, kind: bytes) -> bytes:
    """A header with a field of the size as it is given."""
    raw = path.ljust(100, b"\0") + b"0000600\0" + b"0000000\0" * 2 + size.ljust(12, b"\0") + b"0" * 11 + b"\0"
    raw += b" " * 8 + kind + b"\0" * 100 + b"ustar\0" + b"00" + b"\0" * 247
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header(b"sos/etc/a", b"\x80" + b"\xff" * 11, b"0"), "no valid size"),
        (header(b"x", b"77777777777", b"x"), "a record of more than"),
        (header(b"x", b"00000200001", b"L"), "a record of more than"),
        (header(b"x", b"00000000010", b"x") + b"99 path=a".ljust(512, b"\0"), "damaged pax record"),
        (header(b"x", b"00000000025", b"x") + b"12 path=abc\nunreadable".ljust(512, b"\0"), "damaged pax record"),
        (header(b"sos/etc/a", b"9", b"0"), "not a tar archive, or a damaged one"),
    ],
)
def test_a_header_that_claims_too_much_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        unpacked(tmp_path, data + b"\0" * 1024)


def test_a_bomb_costs_no_memory_and_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "ARCHIVE_LIMIT_BYTES", 2 << 20)
    monkeypatch.setattr(host_archive, "WRITTEN_LIMIT_BYTES", 1 << 20)
    inside = archive([file(f"sos/etc/{number}", b"\0" * (1 << 19)) for number in range(3)])
    outside = archive([file(f"sos/var/log/{number}", b"\0" * (1 << 19)) for number in range(6)])
    for number, (data, words) in enumerate(((inside, "more than 1 MiB of files"), (outside, "after decompression"))):
        for form, pack in (("gz", gzip.compress), ("xz", lzma.compress)):
            folder = tmp_path / f"{number}{form}"
            folder.mkdir()
            packed = pack(data)
            tracemalloc.start()
            with pytest.raises(InvalidData, match=words):
                unpacked(folder, packed)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < (2 << 20) + (form == "xz") * (10 << 20), "xz has a dictionary of 8 MiB"


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "ENTRIES_LIMIT", 10)
    with pytest.raises(InvalidData, match="more than 10 entries"):
        unpacked(tmp_path, archive([file(f"sos/var/log/{number}") for number in range(20)]))


def test_a_large_file_is_left_out_and_so_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_archive, "FILE_LIMIT_BYTES", 100)
    contents, _ = unpacked(tmp_path, archive([file("sos/etc/large", b"x" * 200), file("sos/etc/small")]))
    with pytest.raises(FileUnreadable, match="not in the archive"):
        Host(contents.root, frozenset()).read_text("/etc/large")


def test_a_link_is_followed_inside_the_root_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    targets = {"etc/a": str(tmp_path / "secret"), "etc/b": "../../secret", "etc/c": "../../../../../../etc/passwd"}
    contents, _ = unpacked(tmp_path, archive([(f"sos/{path}", "link", b"", target) for path, target in targets.items()]))
    host = Host(contents.root, frozenset())
    for path in targets:
        with pytest.raises(EidosError):
            host.read_text(f"/{path}")


def test_what_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        unpack(str(tmp_path / "none"), str(tmp_path))


MEMBERS = st.tuples(
    st.text("abe/.tcpros-\0é", max_size=12).map(lambda text: f"sos/{text}"),
    st.sampled_from(["file", "folder", "link", "hard", "fifo", "device"]),
    st.binary(max_size=40),
    st.text("ab/.", max_size=8),
)


def refused_or_read(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "archive").write_bytes(data)
        target = folder / "target"
        target.mkdir()
        with contextlib.suppress(InvalidData, Unavailable, NotFound):
            unpack(str(folder / "archive"), str(target))
        assert sorted(os.listdir(folder)) == ["archive", "target"]
        for path in target.rglob("*"):
            assert path.is_symlink() or path.is_dir() or path.is_file()


@settings(max_examples=examples(40))
@given(st.lists(MEMBERS, max_size=8), st.sampled_from(["", "gz"]))
def test_any_archive_is_read_or_refused(members: list[Member], form: str) -> None:
    refused_or_read(archive(members, form))


GOOD = archive(
    [file("sos/etc/hostname", b"gpu-07\n"), ("sos/etc/a", "link", b"", "hostname"), file("sos/sos_commands/kernel/sysctl_-a", b"a.b = 1\n")]
)
LOG = (
    b"_" * 44
    + b"\n\nStart of NVIDIA bug report log file.\n\nuname: Linux gpu-07 6.8.0 x\n"
    + b"_" * 44
    + b"\n\n*** /etc/issue\n*** ls: x\nUbuntu\n\n"
)


@settings(max_examples=examples(40))
@given(st.data())
def test_any_change_of_a_byte_is_read_or_refused(draw: st.DataObject) -> None:
    make: Callable[[], bytes] = draw.draw(st.sampled_from([lambda: GOOD, lambda: gzip.compress(GOOD), lambda: LOG]))
    data = bytearray(make())
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    refused_or_read(bytes(data[: draw.draw(st.integers(0, len(data)))]))


@settings(max_examples=examples(40))
@given(
    st.binary(max_size=400),
    st.lists(st.sampled_from([b"*** /", b"\n", b"_" * 44 + b"\n", b"*** ls: ", b"../", b"etc/x", b"dmesg:\n", b"[ 1.5] a"])),
)
def test_any_log_is_read_or_refused(data: bytes, parts: list[bytes]) -> None:
    refused_or_read(LOG + b"".join(parts) + data)
