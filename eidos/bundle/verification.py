"""Whether a bundle is unchanged: no file was changed, added, removed, renamed or linked, or has another mode.

Knows folders, archives and checksums; must not know what is in the files. Whatever the checksums do not list is a problem. Nothing is
followed and nothing is written: a folder is walked without its links, an archive is read in memory.
"""

from __future__ import annotations

import os
import stat

from eidos.bundle import checksums, tar_archive
from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from eidos.model.bundle import CHECKSUMS, file_mode
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Limits of what is read: bytes of one file, and number of files.
MAX_FILE_BYTES, MAX_FILES = tar_archive.MAX_FILE_BYTES, tar_archive.MAX_ENTRIES

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


def verify_bundle(path: str) -> tuple[BundleProblem, ...]:
    """The problems of the bundle in a folder or an archive, sorted by path; none when it is unchanged.

    Raises NotFound, InvalidInput or Unavailable for a path that cannot be read, IntegrityError for a folder or an archive without a bundle.
    """
    try:
        if os.path.isdir(path):
            return verify_folder(path)
        # A pipe or a device could block for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InvalidInput(f"{path}: not a folder or a file", "name the folder of a bundle or its archive")
        with open(path, "rb") as file:
            data = file.read(tar_archive.MAX_COMPRESSED_BYTES + 1)
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such file or directory") from fault
    except ValueError as fault:
        raise NotFound(f"{path!r}: invalid file name") from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {(fault.strerror or str(fault)).lower()}") from fault
    if len(data) > tar_archive.MAX_COMPRESSED_BYTES:
        raise IntegrityError(f"{path}: larger than {tar_archive.MAX_COMPRESSED_BYTES >> 20} MiB")
    if not tar_archive.is_gzip(data):
        raise IntegrityError(f"{path}: not a folder or a tar.gz archive")
    return verify_archive(data, path)


def verify_folder(root: str) -> tuple[BundleProblem, ...]:
    """The problems of the bundle in a folder. Raises IntegrityError when it has no checksums, OSError when it cannot be read."""
    checksums_path = os.path.join(root, CHECKSUMS)
    try:
        expected = checksums.parse_checksums(read_regular_file(checksums_path), checksums_path)
    except FileNotFoundError as fault:
        raise IntegrityError(f"{root}: not a bundle, or incomplete: no {CHECKSUMS}") from fault
    actual: dict[str, ActualFile] = {}
    problems: list[BundleProblem] = []
    folders = _parent_folders(expected)
    remaining = [""]
    count = 0
    while remaining:
        folder = remaining.pop()
        for entry in sorted(os.scandir(os.path.join(root, folder)), key=lambda entry: entry.name):
            count += 1
            if count > MAX_FILES:
                raise IntegrityError(f"{root}: more than {MAX_FILES:,} files")
            path = f"{folder}{entry.name}"
            status = entry.stat(follow_symlinks=False)
            kind = status.st_mode
            if stat.S_ISDIR(kind):
                if path in folders:
                    remaining.append(f"{path}/")
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
                is_hashed = path != CHECKSUMS and status.st_size <= MAX_FILE_BYTES
                digest = checksums.sha256(read_regular_file(entry.path)) if is_hashed else ""
                actual[path] = ActualFile(digest, stat.S_IMODE(kind))
    return _compare(expected, actual, problems)


def verify_archive(data: bytes, name: str) -> tuple[BundleProblem, ...]:
    """The problems of the bundle in a tar.gz archive. Raises IntegrityError when it has no checksums."""
    actual: dict[str, ActualFile] = {}
    problems: list[BundleProblem] = []
    folders: set[str] = set()
    checksums_file: bytes | None = None
    for member in tar_archive.read_members(data, name):
        path = tar_archive.relative_path(member.path)
        if path is None:
            problems.append(BundleProblem(OTHER, member.path, "the path leads out of the bundle"))
        elif member.kind == "folder":
            folders.add(path.rstrip("/"))
        elif member.kind:
            problems.append(BundleProblem(LINKED if "link" in member.kind else OTHER, path, member.kind))
        elif path in actual:
            problems.append(BundleProblem(ADDED, path, "duplicate entry"))
        else:
            actual[path] = ActualFile(checksums.sha256(member.content), member.mode)
            if path == CHECKSUMS:
                checksums_file = member.content
    if checksums_file is None:
        raise IntegrityError(f"{name}: not a bundle, or incomplete: no {tar_archive.ROOT}{CHECKSUMS}")
    expected = checksums.parse_checksums(checksums_file, f"{name}: {CHECKSUMS}")
    problems += [BundleProblem(ADDED, f"{path}/", "a folder") for path in folders - {"", *_parent_folders(expected)}]
    reported = {problem.path for problem in problems}
    return _compare({path: digest for path, digest in expected.items() if path not in reported or path in actual}, actual, problems)


def _parent_folders(paths: Iterable[str]) -> set[str]:
    return {path[:end] for path in paths for end, char in enumerate(path) if char == "/"}


def read_regular_file(path: str) -> bytes:
    """The bytes of a regular file, which may not be a link. Raises OSError, or IntegrityError when it is too large."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise IntegrityError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    return data


def _compare(expected: dict[str, str], actual: dict[str, ActualFile], others: Iterable[BundleProblem]) -> tuple[BundleProblem, ...]:
    """The problems of the files that are there and those that are not, and the others."""
    problems = list(others)
    missing = {path: digest for path, digest in expected.items() if path not in actual}
    for path, file in sorted(actual.items()):
        if path == CHECKSUMS and path not in expected:
            pass
        elif path not in expected:
            previous = next((old for old, digest in missing.items() if digest == file.digest), None)
            if previous is None:
                problems.append(BundleProblem(ADDED, path))
            else:
                del missing[previous]
                problems.append(BundleProblem(RENAMED, path, f"previously {previous}"))
            continue
        elif file.digest != expected[path]:
            problems.append(BundleProblem(CHANGED, path))
        if file.mode != file_mode(path):
            problems.append(BundleProblem(MODE, path, f"{file.mode:04o}, expected {file_mode(path):04o}"))
    problems += [BundleProblem(MISSING, path) for path in missing]
    return tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind, problem.why)))
