"""Whether a bundle is unchanged: no file was changed, added, removed, renamed or linked, or has dangerous or wrong permissions.

Knows folders, archives and checksums; must not know what is in the files, but for the sentence with which eidos signs its own. A bundle is
untrusted input: whatever the checksums do not list is a problem, nothing is followed and nothing is written, and time and memory are linear
in what is read and bounded. Of a mode only the execute bit counts, as in git: a clone or a copy under another umask is unchanged.
"""

from __future__ import annotations

import os
import stat

from eidos.bundle import checksums, tar_archive, zip_archive
from eidos.bundle.statement import statement_problem
from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.files import open_no_link
from eidos.model.bundle import (
    ATTESTATIONS,
    CHECKSUMS,
    MAX_BLOB_BYTES,
    STATEMENT,
    file_mode,
    is_attestation,
    is_image_blob,
    parse_signature_path,
)
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator
    from typing import BinaryIO

    from eidos.bundle.tar_archive import Member

#: Limits of what is read: bytes of one file, and number of files.
MAX_FILE_BYTES, MAX_FILES = tar_archive.MAX_FILE_BYTES, checksums.MAX_FILES

#: Where a bundle says who made it, and what eidos writes there (``templates/bundles/{all,every}``).
_ORIGINS = {"README.md": b"Built by eidos", "scripts/install.sh": b"# Installs or upgrades one component"}
_CONTENT_NEEDED = frozenset((CHECKSUMS, *_ORIGINS))

#: Bytes that are read at once.
_PIECE_BYTES = 1 << 18

#: Bytes of the statement and of a signature, and number of both, at most. Ours have some 3,000 bytes.
MAX_ATTESTATION_BYTES, MAX_ATTESTATIONS = 256 << 10, 64

#: Bits that no file of a bundle has: setuid, setgid, sticky, and writable by everybody.
_DANGEROUS = {0o4000: "setuid", 0o2000: "setgid", 0o1000: "sticky", 0o002: "world-writable"}

CHANGED, MISSING, ADDED, RENAMED, LINKED, MODE, OTHER = "changed", "missing", "added", "renamed", "linked", "mode", "other"


class BundleProblem(Record):
    """One difference from the bundle as it was made.

    ``kind`` is changed, missing, added, renamed, linked, mode or other; ``path`` is below the bundle's folder.
    """

    kind: str
    path: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}" + (f": {self.why}" if self.why else "")


class ActualFile(Record):
    """The digest and the mode of a file."""

    digest: str
    mode: int


class Inspection(Record):
    """What the checksums say about a bundle: its problems, the entries that were ignored, and whether eidos made it.

    ``attestations`` are its statement and signatures by path, which the checksums leave out. Without a problem the statement is about
    these checksums; who signed it is not known here.
    """

    problems: tuple[BundleProblem, ...]
    ignored: tuple[str, ...] = ()
    is_ours: bool = True
    attestations: dict[str, bytes] = {}


def verify_bundle(path: str) -> tuple[BundleProblem, ...]:
    """The problems of the bundle in a folder or an archive, sorted by path; none when it is unchanged.

    Raises NotFound, InvalidInput or Unavailable for a path that cannot be read, IntegrityError for a folder or an archive without a bundle.
    """
    return inspect_bundle(path).problems


def inspect_bundle(path: str, ignore: Collection[str] = ()) -> Inspection:
    """The bundle in a folder, a tar.gz or a zip archive, held against its checksums.

    Entries at its top that are named in ``ignore`` (``.git``) and that the checksums do not list are no problem. Raises as
    :func:`verify_bundle` does.
    """
    try:
        if os.path.isdir(path):
            return inspect_folder(path, ignore)
        # A pipe or a device could block for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InvalidInput(f"{path}: not a folder or a file", "name the folder of a bundle or its archive")
        with open(path, "rb") as file:
            return inspect_archive(file, path, ignore)
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such file or directory") from fault
    except ValueError as fault:
        raise NotFound(f"{path!r}: invalid file name") from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}") from fault


def inspect_folder(root: str, ignore: Collection[str] = ()) -> Inspection:
    """The bundle in a folder. Raises IntegrityError when it has no checksums, OSError when it cannot be read."""
    checksums_path = os.path.join(root, CHECKSUMS)
    try:
        listing = read_regular_file(checksums_path)
        expected = checksums.parse_checksums(listing, checksums_path)
    except FileNotFoundError as fault:
        raise IntegrityError(f"{root}: not a bundle, or incomplete: no {CHECKSUMS}", "name the folder that holds install.sh") from fault
    actual: dict[str, ActualFile] = {}
    problems: list[BundleProblem] = []
    folders = _parent_folders([*expected, STATEMENT])
    ignored = {name for name in ignore if name not in folders and name not in expected}
    observed: set[str] = set()
    remaining = [""]
    count = 0
    while remaining:
        folder = remaining.pop()
        for entry in os.scandir(os.path.join(root, folder)):
            path = f"{folder}{entry.name}"
            if path in ignored:
                observed.add(path)
                continue
            count += 1
            if count > 2 * MAX_FILES:
                raise IntegrityError(f"{root}: more than {MAX_FILES:,} files")
            status = entry.stat(follow_symlinks=False)
            kind = status.st_mode
            if stat.S_ISDIR(kind):
                if path in folders:
                    remaining.append(f"{path}/")
                    problems += _mode_problems(f"{path}/", kind & ~0o3000)
                else:
                    problems.append(BundleProblem(ADDED, f"{path}/", "a folder"))
            elif stat.S_ISLNK(kind):
                problems.append(BundleProblem(LINKED, path, f"a link to {os.readlink(entry.path)}"))
                expected.pop(path, None)
            elif not stat.S_ISREG(kind):
                problems.append(BundleProblem(OTHER, path, "not a file or a folder"))
                expected.pop(path, None)
            else:
                if status.st_nlink > 1:
                    problems.append(BundleProblem(LINKED, path, f"{status.st_nlink} hard links"))
                is_hashed = path != CHECKSUMS and status.st_size <= (MAX_BLOB_BYTES if is_image_blob(path) else MAX_FILE_BYTES)
                digest = _digest_of_file(entry.path, status.st_size) if is_hashed else ""
                actual[path] = ActualFile(digest, stat.S_IMODE(kind))
    origins = {path: read_regular_file(os.path.join(root, path)) for path in _ORIGINS if path in actual and path in expected}
    attestations = {path: read_regular_file(os.path.join(root, path)) for path in sorted(actual) if is_attestation(path)}
    return _conclude(listing, expected, actual, problems, observed, _is_ours(origins), attestations)


def inspect_archive(file: BinaryIO, name: str, ignore: Collection[str] = ()) -> Inspection:
    """The bundle in an archive. Raises IntegrityError when it is neither tar.gz nor zip, is damaged, or has no checksums."""
    actual: dict[str, ActualFile] = {}
    problems: list[BundleProblem] = []
    folders: set[str] = set()
    contents: dict[str, bytes] = {}
    for member in read_archive_members(file, name, _NeededContent()):
        path = tar_archive.relative_path(member.path)
        if path is None:
            problems.append(BundleProblem(OTHER, member.path[:200], "the path leads out of the bundle"))
        elif member.kind == "folder":
            folders.add(path.rstrip("/"))
            problems += _mode_problems(path, member.mode & ~0o3000)
        elif member.kind:
            problems.append(BundleProblem(LINKED if "link" in member.kind else OTHER, path, member.kind))
        elif path in actual:
            problems.append(BundleProblem(ADDED, path, "duplicate entry"))
        else:
            actual[path] = ActualFile(member.digest, member.mode)
            if path in _CONTENT_NEEDED or is_attestation(path):
                contents[path] = member.content
    if CHECKSUMS not in contents:
        hint = f"name the folder {tar_archive.ROOT} before you pack it, or unpack the archive and verify the folder"
        raise IntegrityError(f"{name}: not a bundle, or incomplete: no {tar_archive.ROOT}{CHECKSUMS}", hint)
    listing = contents.pop(CHECKSUMS)
    expected = checksums.parse_checksums(listing, f"{name}: {CHECKSUMS}")
    parents = _parent_folders([*expected, STATEMENT])
    problems += [BundleProblem(ADDED, f"{path}/", "a folder") for path in folders - {"", *parents}]
    tops = {name for name in ignore if name not in parents and name not in expected}
    observed = {top for path in (*actual, *(problem.path for problem in problems)) for top in [path.partition("/")[0]] if top in tops}
    actual = {path: entry for path, entry in actual.items() if path.partition("/")[0] not in observed}
    problems = [problem for problem in problems if problem.path.partition("/")[0] not in observed]
    reported = {problem.path for problem in problems}
    listed = {path: digest for path, digest in expected.items() if path not in reported or path in actual}
    attestations = {path: content for path, content in contents.items() if is_attestation(path)}
    return _conclude(listing, listed, actual, problems, observed, _is_ours(contents), attestations)


def _conclude(
    listing: bytes,
    expected: dict[str, str],
    actual: dict[str, ActualFile],
    problems: list[BundleProblem],
    ignored: Iterable[str],
    is_ours: bool,
    attestations: dict[str, bytes],
) -> Inspection:
    """The result, once all is read; ``listing`` is the content of the checksums, ``expected`` what they list."""
    problems = list(problems)
    for path in [path for path in expected if path.startswith(ATTESTATIONS)]:
        problems.append(BundleProblem(OTHER, path, f"{CHECKSUMS} lists it, and signatures are about {CHECKSUMS}"))
        del expected[path]
    if len(attestations) > MAX_ATTESTATIONS:
        problems.append(BundleProblem(OTHER, ATTESTATIONS, f"more than {MAX_ATTESTATIONS} files"))
    for path, content in attestations.items():
        if len(content) > MAX_ATTESTATION_BYTES:
            problems.append(BundleProblem(OTHER, path, f"larger than {MAX_ATTESTATION_BYTES >> 10} KiB"))
        elif path == STATEMENT:
            why = statement_problem(content, checksums.sha256(listing))
            problems += [BundleProblem(CHANGED, path, why)] if why else []
        else:
            name = parse_signature_path(path)
            if name is None or name.digest != checksums.sha256(content)[:16]:
                problems.append(BundleProblem(CHANGED, path))
    return Inspection(_compare(expected, actual, problems, is_ours), tuple(sorted(ignored)), is_ours, attestations)


class _NeededContent:
    """Contains the path of each entry whose content is needed."""

    def __contains__(self, path: object) -> bool:
        name = str(path)[len(tar_archive.ROOT) :]
        return name in _CONTENT_NEEDED or is_attestation(name)


def read_archive_members(
    file: BinaryIO, name: str, keep: Container[str], open_blob: Callable[[str], BinaryIO] | None = None
) -> Iterator[Member]:
    """The entries of a tar.gz or a zip archive, as :func:`~eidos.bundle.tar_archive.read_members` has them; IntegrityError for another."""
    begin = file.read(4)
    file.seek(0)
    if zip_archive.is_zip(begin):
        return zip_archive.read_zip_members(file, name, keep)
    if not tar_archive.is_gzip(begin):
        raise IntegrityError(f"{name}: not a folder, a tar.gz or a zip archive", "unpack another kind of archive, and name its folder")
    return tar_archive.read_members(file, name, keep, open_blob)


def _is_ours(contents: dict[str, bytes]) -> bool:
    return any(mark in contents.get(path, b"") for path, mark in _ORIGINS.items())


def _mode_problems(path: str, mode: int) -> list[BundleProblem]:
    dangers = [word for bit, word in _DANGEROUS.items() if mode & bit]
    return [BundleProblem(MODE, path, ", ".join(dangers))] if dangers else []


def _parent_folders(paths: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    return folders


def _digest_of_file(path: str, size: int) -> str:
    """The SHA-256 of a regular file, which may not be a link, with no more than a piece of it in memory; "" if it has grown."""
    digest = checksums.Sha256(size)
    left = size + 1
    with open_no_link(path) as file:
        while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest() if left > 0 else ""


def read_regular_file(path: str) -> bytes:
    """The bytes of a regular file, which may not be a link. Raises OSError, or IntegrityError when it is too large."""
    with open_no_link(path) as file:
        data = file.read(min(os.fstat(file.fileno()).st_size, MAX_FILE_BYTES) + 1)  # so much is allocated at once
    if len(data) > MAX_FILE_BYTES:
        raise IntegrityError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    return data


def _compare(
    expected: dict[str, str], actual: dict[str, ActualFile], others: Iterable[BundleProblem], is_ours: bool
) -> tuple[BundleProblem, ...]:
    """The problems of the files that are there and those that are not, and the others."""
    problems = list(others)
    missing = {path: digest for path, digest in expected.items() if path not in actual}
    missing_by_digest: dict[str, list[str]] = {}
    for path in sorted(missing, reverse=True):
        missing_by_digest.setdefault(missing[path], []).append(path)
    for path, file in sorted(actual.items()):
        if path not in expected and (path == CHECKSUMS or is_attestation(path)):
            pass
        elif path not in expected:
            if missing_by_digest.get(file.digest):
                previous = missing_by_digest[file.digest].pop()
                del missing[previous]
                problems.append(BundleProblem(RENAMED, path, f"previously {previous}"))
            else:
                problems.append(BundleProblem(ADDED, path))
            problems += _mode_problems(path, file.mode)
            continue
        elif file.digest != expected[path]:
            problems.append(BundleProblem(CHANGED, path))
        problems += _mode_problems(path, file.mode)
        if is_ours and bool(file.mode & 0o100) != bool(file_mode(path) & 0o100):
            problems.append(BundleProblem(MODE, path, "executable" if file.mode & 0o100 else "not executable"))
    problems += [BundleProblem(MISSING, path) for path in missing]
    return tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind, problem.why)))
