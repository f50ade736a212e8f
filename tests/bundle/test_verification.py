"""Verification of bundles that may be hostile: what counts, what does not, and what it costs."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from eidos.bundle.checksums import format_checksums, sha256
from eidos.bundle.folder_writer import write_folder
from eidos.bundle.tar_archive import pack_tar_gz
from eidos.bundle.verification import Inspection, inspect_archive, inspect_bundle, verify_bundle
from eidos.bundle.zip_archive import pack_zip
from eidos.errors import IntegrityError
from eidos.workflow import make_recipe
from tests.support.bundle_files import build
from tests.support.program import ROOT, eidos

FILES = build(make_recipe({"gpu": "h100", "service": "eks"}), components=("gpu-operator",)).files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "bundle"
    write_folder(str(target), FILES)
    return target


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_another_umask_changes_nothing(tmp_path: Path, folder: Path, umask: int) -> None:
    """As after ``git clone``, ``cp -r`` and ``tar x``: of a mode only the execute bit counts."""
    copy = tmp_path / "copy"
    subprocess.run(f"umask {umask:04o}; cp -r '{folder}' '{copy}'", shell=True, check=True)
    for path in copy.rglob("*"):
        if path.is_file():
            path.chmod((0o777 if path.suffix == ".sh" else 0o666) & ~umask)
    assert verify_bundle(str(copy)) == ()


@pytest.mark.parametrize(
    ("mode", "why"), [(0o4755, "setuid"), (0o2755, "setgid"), (0o1755, "sticky"), (0o757, "world-writable"), (0o644, "not executable")]
)
def test_modes_that_matter_are_problems(folder: Path, mode: int, why: str) -> None:
    script = next(folder.rglob("*.sh"))
    script.chmod(mode)
    assert [(problem.kind, problem.why) for problem in verify_bundle(str(folder))] == [("mode", why)]


def test_what_lies_beside_a_bundle_can_be_ignored(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("x")
    (folder / ".gitattributes").write_text("x")
    assert {problem.path for problem in verify_bundle(str(folder))} == {".git/", ".gitattributes"}
    inspection = inspect_bundle(str(folder), [".git", ".gitattributes", "recipe.yaml", ".hg"])
    assert (inspection.problems, inspection.ignored) == ((), (".git", ".gitattributes"))
    changed = next(path for path in folder.iterdir() if path.suffix == ".yaml")
    changed.write_text("x")
    assert [str(problem) for problem in inspect_bundle(str(folder), [changed.name, ".git", ".gitattributes"]).problems] == [
        f"changed: {changed.name}"
    ], "what the checksums list is never ignored"


def test_a_bundle_of_another_tool_is_verified_by_its_checksums(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text("x")
    (tmp_path / "run.py").chmod(0o755)
    (tmp_path / "checksums.txt").write_bytes(format_checksums({"run.py": b"x"}))
    assert inspect_bundle(str(tmp_path)) == Inspection((), (), False)
    (tmp_path / "run.py").write_text("y")
    assert [str(problem) for problem in inspect_bundle(str(tmp_path)).problems] == ["changed: run.py"]


def test_a_zip_archive_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(pack_zip(FILES))
    assert verify_bundle(str(path)) == ()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("bundle/evil.sh", "x")
        link = zipfile.ZipInfo("bundle/link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../evil", "x")
    assert {str(problem) for problem in verify_bundle(str(path))} == {
        "added: evil.sh",
        "linked: link: a symbolic link",
        "other: ../evil: the path leads out of the bundle",
    }


def test_every_byte_of_a_zip_counts() -> None:
    """A changed byte is a problem or a refusal, or changes nothing that was packed."""
    data = pack_zip({"a.sh": b"echo\n" * 20, "b": b"x", "checksums.txt": format_checksums({"a.sh": b"echo\n" * 20, "b": b"x"})})
    harmless = 0
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x01
        try:
            harmless += not inspect_archive(io.BytesIO(bytes(changed)), "x.zip").problems
        except IntegrityError:
            continue
    assert harmless < len(data) / 2, "times, versions and the like"


def peak_kib(code: str, *arguments: str) -> int:
    """Peak memory of a process beyond that of one that imports and does nothing."""
    script = (
        "import sys\nfrom eidos.bundle.verification import verify_bundle\nfrom eidos.errors import IntegrityError\n"
        f"{code}\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    return int(done.stdout)


def hostile(name: str) -> bytes:
    if name == "ten gigabytes":
        info = tarfile.TarInfo("bundle/a")
        info.size = 8 << 30
        return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20), 1)
    if name == "zeros behind the end":
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(128)), packer.flush()])
    if name == "slashes":
        path = "a/" * 30_000 + "b"
        return packed_checksums(f"{'0' * 64}  {path}\n".encode())
    if name == "many lines":
        return packed_checksums(b"".join(b"%064x  %d\n" % (number, number) for number in range(60_000)))
    if name == "long name":
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("bundle/" + "/".join("abc" * 5_000)))
        return file.getvalue()
    files = {f"new/{number}": b"%d" % number for number in range(3_000)}
    lines = b"".join(b"%s  old/%d\n" % (sha256(b"%d" % number).encode(), number) for number in range(15_000))
    return pack_tar_gz({**files, "checksums.txt": lines})


def packed_checksums(text: bytes) -> bytes:
    return pack_tar_gz({"checksums.txt": text})


@pytest.mark.parametrize(
    "name", ["ten gigabytes", "zeros behind the end", "slashes", "many lines", "long name", pytest.param("renames", marks=pytest.mark.slow)]
)
def test_a_hostile_archive_costs_little(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(hostile(name))
    code = "try:\n    assert verify_bundle(sys.argv[1])\nexcept IntegrityError:\n    pass"
    assert peak_kib(code, str(path)) - peak_kib("pass") < 64 << 10


def test_overlapping_entries_of_a_zip_are_refused() -> None:
    data = bytearray(pack_zip({"a": b"x" * 1000, "b": b"x" * 1000}))
    second = data.rfind(b"PK\1\2")
    first = data.find(b"PK\1\2")
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    with pytest.raises(IntegrityError):
        inspect_archive(io.BytesIO(bytes(data)), "x.zip")


def zip_parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Entries, directory and the record at the end of a zip file without comments."""
    length, offset = (int.from_bytes(data[at : at + 4], "little") for at in (-10, -6))
    return data[:offset], data[offset : offset + length], data[-22:]


def zip_of(entries: bytes, directory: bytes, end: bytes) -> bytes:
    return entries + directory + end[:12] + len(directory).to_bytes(4, "little") + len(entries).to_bytes(4, "little") + end[20:]


def spoil_zip(how: str) -> bytes:
    """A zip file of an unchanged bundle in which some programs find something else than its directory lists."""
    entries, directory, end = zip_parts(pack_zip(FILES))
    hidden, _, _ = zip_parts(pack_zip({"evil.sh": b"echo"}))
    first_name = 46 + int.from_bytes(directory[28:30], "little")

    def field(header: bytes, at: int, value: int, size: int = 2) -> bytes:
        return header[:at] + value.to_bytes(size, "little") + header[at + size :]

    def with_extra(id: int, content: bytes) -> bytes:
        extra = id.to_bytes(2, "little") + len(content).to_bytes(2, "little") + content
        head = field(directory, 30, len(extra))
        return head[:first_name] + extra + head[first_name:]

    locator = b"PK\6\7" + bytes(16)
    last = directory.rfind(b"PK\1\2")
    spoilt = {
        "an entry that no directory lists": (entries + hidden, directory, end),
        "data between entries": (entries + b"x", directory, end),
        "another path for programs that know Unicode": (entries, with_extra(0x7075, b"\1\0\0\0\0../../evil.sh"), end),
        "an unknown extra field": (entries, with_extra(0x756E, bytes(14)), end),
        "a truncated extra field": (entries, with_extra(0x5455, b"")[:first_name] + directory[first_name:], end),
        "another size in the entry": (field(entries, 22, 1, 4), directory, end),
        "another method in the entry": (field(entries, 8, 8), directory, end),
        "a folder with content": (field(entries, 22, 4, 4), field(directory, 24, 4, 4), end),
        "fewer entries than the directory has": (entries, directory, field(field(end, 8, 1), 10, 1)),
        "a second directory": (entries, field(directory, last + 32, 20) + locator, end),
        "a symbolic link of another system": (entries, field(field(directory, last + 5, 5, 1), last + 40, 0o120777), end),
    }
    return zip_of(*spoilt[how])


@pytest.mark.parametrize(
    ("how", "refusal"),
    [
        ("an entry that no directory lists", "other data between them"),
        ("data between entries", "other data between them"),
        ("another path for programs that know Unicode", "extra field 0x7075"),
        ("an unknown extra field", "extra field 0x756e"),
        ("a truncated extra field", "damaged|extra field"),
        ("another size in the entry", "its header and the directory differ"),
        ("another method in the entry", "its header and the directory differ"),
        ("a folder with content", "folder with content"),
        ("fewer entries than the directory has", "expected 1"),
        ("a second directory", "second directory"),
        ("a symbolic link of another system", ""),
    ],
)
def test_a_zip_that_programs_read_differently_is_refused(how: str, refusal: str) -> None:
    if refusal:
        with pytest.raises(IntegrityError, match=refusal):
            inspect_archive(io.BytesIO(spoil_zip(how)), "x.zip")
    else:
        assert [problem.kind for problem in inspect_archive(io.BytesIO(spoil_zip(how)), "x.zip").problems] == ["linked"]


class Pipe(io.RawIOBase):
    """A file that cannot be sought, for which zip programs write descriptors behind the data."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override] # a buffer, but zipfile writes bytes
        self.content += data
        return len(data)


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "zip64"])
def test_a_zip_that_was_written_to_a_pipe_is_verified(is_large: bool) -> None:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in FILES.items():
            info = zipfile.ZipInfo(f"bundle/{path}")
            info.create_system, info.external_attr = 3, (0o755 if path.endswith(".sh") else 0o644) << 16
            with archive.open(info, "w", force_zip64=is_large) as file:
                file.write(content)
    assert inspect_archive(io.BytesIO(bytes(pipe.content)), "x.zip").problems == ()


def tar_of(*headers: tuple[tarfile.TarInfo, bytes], prefix: bytes = b"") -> bytes:
    """A tar.gz archive in which the header of the last entry has a size and a prefix of its own."""
    out = bytearray()
    for info, content in headers:
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT if prefix else tarfile.USTAR_FORMAT))
        if prefix and info is headers[-1][0]:
            header[345 : 345 + len(prefix)] = prefix
        header[124:136] = b"%011o\0" % len(content)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        out += header + content + bytes(-len(content) % 512)
    return gzip.compress(bytes(out) + bytes(1024), 1)


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.REGTYPE])
def test_entries_hidden_in_the_content_of_a_folder_or_a_link_are_refused(kind: bytes) -> None:
    outer = tarfile.TarInfo("bundle/gpu-operator/")
    outer.type, outer.linkname = kind, "x"
    hidden = tarfile.TarInfo("bundle/evil.sh").tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(IntegrityError, match="with content"):
        inspect_archive(io.BytesIO(tar_of((outer, hidden))), "x.tar.gz")


def test_a_prefix_that_not_every_program_reads_is_reported() -> None:
    files = {"checksums.txt": format_checksums({"a": b"x"}), "a": b"x"}
    archive = tar_of(*((tarfile.TarInfo(f"bundle/{path}"), content) for path, content in files.items()), prefix=b"../..")
    problems = [str(problem) for problem in inspect_archive(io.BytesIO(archive), "x.tar.gz").problems]
    assert problems == ["other: ../../bundle/a: the path leads out of the bundle", "missing: a"]


def test_a_world_writable_folder_is_a_problem_in_an_archive_too() -> None:
    folder = tarfile.TarInfo("bundle/gpu-operator/")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o777
    listing = format_checksums({"gpu-operator/a": b"x"})
    archive = tar_of((folder, b""), (tarfile.TarInfo("bundle/gpu-operator/a"), b"x"), (tarfile.TarInfo("bundle/checksums.txt"), listing))
    assert [str(problem) for problem in inspect_archive(io.BytesIO(archive), "x.tar.gz").problems] == [
        "mode: gpu-operator/: world-writable"
    ]


def test_of_very_many_problems_people_see_the_first_and_programs_all(folder: Path) -> None:
    for number in range(130):
        (folder / f"new-{number:03}").write_text("x")
    shown = eidos("verify", str(folder))
    assert shown.status == 5 and shown.out.splitlines()[-1] == "and 30 more; run with --format json for all"
    assert len(shown.out.splitlines()) == 101 and "130 problems" in shown.err
    assert len(json.loads(eidos("verify", str(folder), "-t", "json").out)["faults"]) == 130
