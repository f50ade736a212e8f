"""Bundles in folders and archives: written whole or not at all, and found out when anything about them has changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shlex
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from eidos.bundle import checksums, folder_writer, tar_archive
from eidos.bundle.bundle_reader import read_files
from eidos.bundle.verification import BundleProblem, verify_bundle
from eidos.bundle.zip_archive import pack_zip
from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from eidos.workflow import make_recipe
from tests.support.bundle_files import build
from tests.support.program import PROGRAM, ROOT, eidos, environment

FILES = build(make_recipe({"gpu": "h100", "service": "eks"}), components=("gpu-operator",)).files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "bundle"
    folder_writer.write_folder(str(target), FILES)
    return target


def without(prefix: str) -> dict[str, bytes]:
    """A bundle with fewer files."""
    fewer = {path: content for path, content in FILES.items() if not path.startswith((prefix, "attestations/")) and path != "checksums.txt"}
    return {**fewer, "checksums.txt": checksums.format_checksums(fewer)}


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- folders ----


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        folder_writer.write_folder(str(tmp_path / "bundle"), FILES)
    finally:
        os.umask(before)
    for path in (tmp_path / "bundle").rglob("*"):
        expected = 0o755 if path.is_dir() or path.suffix == ".sh" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert verify_bundle(str(tmp_path / "bundle")) == ()


def test_sha256sum_agrees(folder: Path) -> None:
    for target in (folder, folder / "gpu-operator"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "checksums.txt"], cwd=target, check=True)
        assert verify_bundle(str(target)) == ()


def test_an_earlier_bundle_is_replaced_when_it_is_unchanged(folder: Path) -> None:
    fewer = without("cert-manager/")
    folder_writer.write_folder(str(folder), fewer)
    assert on_disk(folder) == fewer
    assert not list(folder.parent.glob(".*")), "nothing is left beside it"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder_writer.write_folder(str(tmp_path / "empty"), FILES)
    assert on_disk(tmp_path / "empty") == FILES


@pytest.mark.parametrize("mask", [0o022, 0o777])
def test_a_working_folder_stays_where_it_is(tmp_path: Path, mask: int) -> None:
    target = tmp_path / "here"
    target.mkdir()
    inode = target.stat().st_ino
    recipe = tmp_path / "recipe.yaml"
    assert eidos("recipe", "--gpu", "h100", "-o", str(recipe)).status == 0
    for _ in range(2):  # into an empty folder, then over a bundle
        before = os.umask(mask)
        try:
            done = eidos("bundle", "-f", str(recipe), "-o", ".", cwd=target)
        finally:
            os.umask(before)
        assert done.status == 0, done.err
        assert target.stat().st_ino == inode
        assert verify_bundle(str(target)) == ()
    assert sorted(os.listdir(tmp_path)) == ["here", "recipe.yaml"]
    assert not list(target.glob(".*")), "nothing is left in it"


def test_a_mount_is_taken(tmp_path: Path) -> None:
    target, recipe = tmp_path / "mount", tmp_path / "recipe.yaml"
    target.mkdir()
    unshared = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    if subprocess.run([*unshared, f"mount -t tmpfs none '{target}'"], capture_output=True, check=False).returncode:
        pytest.skip("no mount can be made here")
    assert eidos("recipe", "--gpu", "h100", "-o", str(recipe)).status == 0
    again = f"{shlex.join(PROGRAM)} bundle -f '{recipe}' -o '{target}'; {shlex.join(PROGRAM)} verify '{target}'"
    for mount in (f"mount -t tmpfs none '{target}'", f"mkdir '{tmp_path}/other'; mount --bind '{tmp_path}/other' '{target}'"):
        done = subprocess.run([*unshared, f"{mount}; {again}; {again}"], capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(": OK") == 2


def test_a_folder_with_other_files_is_refused_and_with_force_they_stay(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "gpu-operator" / "values.yaml").write_text("edited: true\n")
    with pytest.raises(folder_writer.FolderOccupied) as caught:
        folder_writer.write_folder(str(folder), FILES)
    assert "--force" in (caught.value.hint or "")
    assert (folder / "gpu-operator" / "values.yaml").read_text() == "edited: true\n"
    fewer = without("cert-manager/")
    folder_writer.write_folder(str(folder), fewer, force=True)
    assert on_disk(folder) == {**fewer, "notes.txt": b"mine"}
    assert [str(fault) for fault in verify_bundle(str(folder))] == ["added: notes.txt"]


def test_force_replaces_nothing_that_is_not_of_a_bundle(tmp_path: Path) -> None:
    target = tmp_path / "home"
    target.mkdir()
    (target / "README.md").write_text("mine")
    for force in (False, True):
        with pytest.raises(folder_writer.FolderOccupied, match=r"README\.md"):
            folder_writer.write_folder(str(target), FILES, force=force)
    assert on_disk(target) == {"README.md": b"mine"}
    (target / "README.md").unlink()
    (target / "gpu-operator").symlink_to(tmp_path)
    with pytest.raises(folder_writer.FolderOccupied, match="gpu-operator"):
        folder_writer.write_folder(str(target), FILES, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_checksums_cannot_make_force_delete_other_files(tmp_path: Path) -> None:
    """What a file in the folder claims to be of a bundle is inside the folder, or it is no bundle."""
    (tmp_path / "precious").write_text("mine")
    target = tmp_path / "out"
    target.mkdir()
    digest = "0" * 64
    (target / "checksums.txt").write_text(f"{digest}  ../precious\n{digest}  recipe.yaml\n")
    with pytest.raises(folder_writer.FolderOccupied):
        folder_writer.write_folder(str(target), FILES, force=False)
    assert (tmp_path / "precious").read_text() == "mine"
    (target / "checksums.txt").write_text(f"{digest}  link/precious\n{digest}  recipe.yaml\n")
    (target / "link").symlink_to(tmp_path)
    folder_writer.write_folder(str(target), FILES, force=True)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_disk_that_fills_leaves_what_was_there(tmp_path: Path, folder: Path) -> None:
    """A limit on the size of files stands in for a full disk: the system refuses the write half-way."""
    code = (
        "import resource, signal, sys\n"
        "from eidos.bundle import folder_writer\nfrom eidos.errors import Unavailable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    folder_writer.write_folder(sys.argv[1], {'a.txt': b'x' * 900, 'recipe.yaml': b'x' * 5000})\n"
        "except Unavailable as fault:\n    print(fault.message)\n"
    )
    for target in (tmp_path / "new", folder):
        command = [sys.executable, "-c", code, str(target)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert done.stdout.decode().startswith(f"cannot write {target}: file too large")
    assert on_disk(folder) == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


def test_targets_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="not a folder"):
        folder_writer.check_folder(str(tmp_path / "file"))
    with pytest.raises(Unavailable, match="does not exist"):
        folder_writer.check_folder(str(tmp_path / "no" / "such"))


# ---- what verify finds ----


def rename(folder: Path) -> None:
    (folder / "images.txt").rename(folder / "pictures.txt")


def link(folder: Path) -> None:
    (folder / "images.txt").rename(folder.parent / "images.txt")
    (folder / "images.txt").symlink_to("../images.txt")


def hard_link(folder: Path) -> None:
    os.link(folder / "images.txt", folder.parent / "images.txt")


def fifo(folder: Path) -> None:
    (folder / "images.txt").unlink()
    os.mkfifo(folder / "images.txt")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: (folder / "recipe.yaml").write_text("kind: Recipe\n"), ["changed: recipe.yaml"]),
        (lambda folder: (folder / "evil.sh").write_text("x"), ["added: evil.sh"]),
        (lambda folder: (folder / "gpu-operator" / ".hidden").write_text("x"), ["added: gpu-operator/.hidden"]),
        (lambda folder: (folder / "empty").mkdir(), ["added: empty/: a folder"]),
        (lambda folder: (folder / "images.txt").unlink(), ["missing: images.txt"]),
        (lambda folder: (folder / "install.sh").chmod(0o644), ["mode: install.sh: not executable"]),
        (lambda folder: (folder / "images.txt").chmod(0o4644), ["mode: images.txt: setuid"]),
        (rename, ["renamed: pictures.txt: previously images.txt"]),
        (link, ["linked: images.txt: a link to ../images.txt"]),
        (hard_link, ["linked: images.txt: 2 hard links"]),
        (fifo, ["other: images.txt: not a file or a folder"]),
        (lambda folder: (folder / "gpu-operator" / "checksums.txt").write_text(""), ["changed: gpu-operator/checksums.txt"]),
    ],
)
def test_every_change_is_reported(folder: Path, change: Callable[[Path], object], expected: list[str]) -> None:
    change(folder)
    assert [str(fault) for fault in verify_bundle(str(folder))] == expected


def test_files_of_one_content_are_renamed_in_their_order(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "checksums.txt").write_text(f"{digest}  a\n{digest}  b\n")
    for name in "yz":
        (tmp_path / name).write_text("x")
    assert [str(problem) for problem in verify_bundle(str(tmp_path))] == ["renamed: y: previously a", "renamed: z: previously b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense\n",
        "0" * 64 + "  ../x\n",
        "0" * 64 + "  /etc/passwd\n",
        "0" * 64 + "  a\n" + "0" * 64 + "  a\n",
        "0" * 64 + "  a",
        "\udc80",
    ],
)
def test_checksums_that_are_none(folder: Path, text: str) -> None:
    (folder / "checksums.txt").write_bytes(text.encode(errors="surrogateescape"))
    if text:
        with pytest.raises(IntegrityError):
            verify_bundle(str(folder))
    else:
        problems = {fault.kind: fault.path for fault in verify_bundle(str(folder))}
        assert problems.keys() == {"added", "changed"}
        assert problems["changed"] == "attestations/statement.json", "it is about other checksums"


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not a bundle"):
        verify_bundle(str(tmp_path))
    with pytest.raises(NotFound):
        verify_bundle(str(tmp_path / "nothing"))
    (tmp_path / "file").write_text("text")
    with pytest.raises(IntegrityError, match="not a folder, a tar"):
        verify_bundle(str(tmp_path / "file"))
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "checksums.txt").symlink_to("/etc/passwd")
    with pytest.raises((IntegrityError, Unavailable)):
        verify_bundle(str(tmp_path))


def test_a_bundle_that_was_packed_under_another_name(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "mine.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("mine/checksums.txt"))
    with pytest.raises(IntegrityError, match="not a bundle, or incomplete: no bundle") as caught:
        verify_bundle(str(tmp_path / "mine.tar.gz"))
    assert "name the folder bundle/ before you pack it" in str(caught.value.hint)


# ---- archives ----


def write(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(data)
    return str(path)


def test_an_archive_holds_the_bundle_and_nothing_of_its_maker(tmp_path: Path) -> None:
    data = tar_archive.pack_tar_gz(FILES)
    assert data == tar_archive.pack_tar_gz(dict(reversed(list(FILES.items()))))
    assert verify_bundle(write(tmp_path, data)) == ()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        for member in members:
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
        expected = {member.name: tar.extractfile(member) for member in members if member.isfile()}
        assert {name.removeprefix("bundle/"): file.read() for name, file in expected.items() if file} == FILES
    assert data[4:8] == b"\0\0\0\0", "gzip's time"


def test_tar_unpacks_it_with_its_modes(tmp_path: Path) -> None:
    write(tmp_path, tar_archive.pack_tar_gz(FILES))
    subprocess.run(["tar", "-xzpf", "bundle.tar.gz"], cwd=tmp_path, check=True)
    assert verify_bundle(str(tmp_path / "bundle")) == ()


def test_long_paths_fit_or_are_refused() -> None:
    long = "/".join(["a" * 60, "b" * 60, "c" * 60])
    members = tar_archive.read_members(io.BytesIO(tar_archive.pack_tar_gz({long: b"x"})), "x")
    assert [member.path for member in members if not member.kind] == [f"bundle/{long}"]
    with pytest.raises(Exception, match="too long"):
        tar_archive.pack_tar_gz({"a" * 300: b""})


def packed(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.USTAR_FORMAT, **records: str) -> bytes:
    """An archive by another hand: our files, with records in extended headers, and some members more."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", format=format) as tar:
        for path, content in FILES.items():
            info = tarfile.TarInfo(f"bundle/{path}")
            info.pax_headers = records
            info.size, info.mode = len(content), 0o755 if path.endswith(".sh") else 0o644
            tar.addfile(info, io.BytesIO(content))
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (member("bundle/evil.sh"), "added: bundle/evil.sh"),
        (member("../../evil"), "other: ../../evil: the path leads out of the bundle"),
        (member("/etc/evil"), "other: /etc/evil: the path leads out of the bundle"),
        (member("bundle/../../evil"), "other: bundle/../../evil: the path leads out of the bundle"),
        (member("elsewhere/x"), "other: elsewhere/x: the path leads out of the bundle"),
        (member("bundle/link", tarfile.SYMTYPE, "/etc/passwd"), "linked: link: a symbolic link"),
        (member("bundle/link", tarfile.LNKTYPE, "bundle/images.txt"), "linked: link: a hard link"),
        (member("bundle/dev", tarfile.CHRTYPE), "other: dev: a device"),
        (member("bundle/pipe", tarfile.FIFOTYPE), "other: pipe: a pipe"),
        (member("bundle/images.txt"), "added: images.txt: duplicate entry"),
        (member("bundle/folder", tarfile.DIRTYPE), "added: folder/: a folder"),
    ],
)
def test_what_an_archive_must_not_hold(tmp_path: Path, info: tarfile.TarInfo, expected: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    faults = [str(fault) for fault in verify_bundle(write(tmp_path, packed((info, b""))))]
    assert faults == [expected.replace("added: bundle/", "added: ")]
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "bundle.tar.gz"], "nothing is written"


@pytest.mark.parametrize(
    ("format", "records"),
    [
        (tarfile.USTAR_FORMAT, {}),
        (tarfile.GNU_FORMAT, {}),
        (tarfile.PAX_FORMAT, {"mtime": "1764460800.25", "atime": "1764460800.5", "uname": "gpu"}),
    ],
)
def test_another_tar_of_the_same_files_is_as_good(tmp_path: Path, format: int, records: dict[str, str]) -> None:
    assert verify_bundle(write(tmp_path, packed(format=format, **records))) == ()
    assert read_files(str(tmp_path / "bundle.tar.gz")) == FILES


@pytest.mark.parametrize("record", ["path", "linkpath", "size", "GNU.sparse.name", "SCHILY.xattr.security.capability", "hdrcharset"])
def test_records_that_give_an_entry_another_path_or_content_are_reported(tmp_path: Path, record: str) -> None:
    problems = verify_bundle(write(tmp_path, packed(format=tarfile.PAX_FORMAT, **{"mtime": "1.5", record: "../evil"})))
    assert {problem.kind for problem in problems} == {"other"}


@pytest.mark.parametrize("pack", [tar_archive.pack_tar_gz, pack_zip])
def test_files_that_an_archive_lacks_or_has_otherwise_are_named(tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    files = {**FILES, "recipe.yaml": b"kind: Recipe\n"}
    del files["images.txt"]
    assert [str(fault) for fault in verify_bundle(write(tmp_path, pack(files)))] == ["missing: images.txt", "changed: recipe.yaml"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:-200], "truncated|damaged"),
        (lambda data: data[:20], "truncated|damaged"),
        (lambda data: data + b"more", "after the end"),
        (lambda data: data[:100] + b"\0\0\0\0" + data[104:], "damaged|truncated|header|number"),
        (lambda _: gzip.compress(b"no tar at all" * 100), "number|header"),
        (lambda _: gzip.compress(b""), "truncated"),
        (lambda data: gzip.compress(gzip.decompress(data) + b"more" + bytes(508)), "after the end"),
        (lambda _: gzip.compress(bytes(1024)), "not a bundle"),
    ],
)
def test_archives_that_are_damaged(tmp_path: Path, spoil: Callable[[bytes], bytes], says: str) -> None:
    with pytest.raises(IntegrityError, match=says):
        verify_bundle(write(tmp_path, spoil(tar_archive.pack_tar_gz(FILES))))


def test_every_byte_of_an_archive_counts() -> None:
    """A bit turned over is found, or changes nothing that was packed. In the statement, a signature is what finds it."""
    data = gzip.decompress(tar_archive.pack_tar_gz(FILES))
    begin = data.index(FILES["attestations/statement.json"])
    statement = range(begin, begin + len(FILES["attestations/statement.json"]))
    for at in range(0, len(data), 997):
        if at in statement:
            continue
        spoilt = bytearray(data)
        spoilt[at] ^= 0x01
        try:
            expected = verify_bytes(gzip.compress(bytes(spoilt), 1))
        except IntegrityError:
            continue
        assert expected, at


def verify_bytes(data: bytes) -> tuple[BundleProblem, ...]:
    from eidos.bundle.verification import inspect_archive

    return inspect_archive(io.BytesIO(data), "bundle.tar.gz").problems


@pytest.mark.slow
def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(tar_archive.MAX_ARCHIVE_BYTES + (1 << 20)), 9)
    with pytest.raises(IntegrityError, match="MiB when unpacked"):
        verify_bundle(write(tmp_path, bomb))
    huge = bytearray(gzip.decompress(tar_archive.pack_tar_gz({"a": b""}))[512:1024])
    huge[124:136] = b"77777777777\0"
    huge[148:156] = b" " * 8
    huge[148:156] = b"%06o\0 " % sum(huge)
    with pytest.raises(IntegrityError, match="larger than"):
        verify_bundle(write(tmp_path, gzip.compress(bytes(huge))))
