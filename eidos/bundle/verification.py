"""Whether a bundle is what it was made as: nothing changed, added, taken away, renamed, linked or given another mode.

Knows folders, archives and checksums; must not know what the files say. The world is closed: what the checksums do not name is a fault,
whatever it is. Nothing is followed and nothing is written: a folder is walked without its links, an archive is read in memory.
"""

from __future__ import annotations

import os
import stat

from eidos.bundle import checksums, tar_archive
from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from eidos.model.bundle import CHECKSUMS, mode_of
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: The largest file of a bundle that is read, and how many there may be.
LIMIT, MOST = tar_archive.FILE, tar_archive.ENTRIES

CHANGED, MISSING, ADDED, RENAMED, LINKED, MODE, OTHER = "changed", "missing", "added", "renamed", "linked", "mode", "other"


class Wrong(Record):
    """One thing that is wrong: ``kind``, the path that it is about, and more about it."""

    kind: str
    path: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}" + (f": {self.why}" if self.why else "")


class Found(Record):
    """A file that is there: its digest, and its mode."""

    digest: str
    mode: int


def verify(place: str) -> tuple[Wrong, ...]:
    """What is wrong with the bundle in a folder or an archive, by path; nothing when it is whole.

    Raises NotFound, InvalidInput or Unavailable for a place that is none or cannot be read, IntegrityError for what is no bundle at all.
    """
    try:
        if os.path.isdir(place):
            return folder(place)
        # Neither a pipe nor a device may hold us up.
        if not stat.S_ISREG(os.stat(place).st_mode):
            raise InvalidInput(f"{place}: it is neither a folder nor a file", "name the folder of a bundle, or its archive")
        with open(place, "rb") as file:
            data = file.read(tar_archive.PACKED + 1)
    except FileNotFoundError as fault:
        raise NotFound(f"{place}: there is no such folder or archive") from fault
    except ValueError as fault:
        raise NotFound(f"{place!r}: no file can have such a name") from fault
    except OSError as fault:
        raise Unavailable(f"{place}: {(fault.strerror or str(fault)).lower()}") from fault
    if len(data) > tar_archive.PACKED:
        raise IntegrityError(f"{place}: larger than {tar_archive.PACKED >> 20} MiB")
    if not tar_archive.is_archive(data):
        raise IntegrityError(f"{place}: it is neither a folder nor a tar.gz archive")
    return packed(data, place)


def folder(place: str) -> tuple[Wrong, ...]:
    """What is wrong with the bundle in a folder; raises IntegrityError when it holds none, OSError when it cannot be read."""
    listing = os.path.join(place, CHECKSUMS)
    try:
        listed = checksums.parse(read(listing), listing)
    except FileNotFoundError as fault:
        raise IntegrityError(f"{place}: it has no {CHECKSUMS}, so it is no bundle, or not a whole one") from fault
    found: dict[str, Found] = {}
    wrong: list[Wrong] = []
    folders = {path[:at] for path in listed for at, char in enumerate(path) if char == "/"}
    waiting = [""]
    count = 0
    while waiting:
        inside = waiting.pop()
        for entry in sorted(os.scandir(os.path.join(place, inside)), key=lambda entry: entry.name):
            count += 1
            if count > MOST:
                raise IntegrityError(f"{place}: more than {MOST:,} files")
            path = f"{inside}{entry.name}"
            status = entry.stat(follow_symlinks=False)
            kind = status.st_mode
            if stat.S_ISDIR(kind):
                if path in folders:
                    waiting.append(f"{path}/")
                else:
                    wrong.append(Wrong(ADDED, f"{path}/", "a folder"))
            elif stat.S_ISLNK(kind):
                wrong.append(Wrong(LINKED, path, f"a link to {os.readlink(entry.path)}"))
                listed.pop(path, None)
            elif not stat.S_ISREG(kind):
                wrong.append(Wrong(OTHER, path, "neither a file nor a folder"))
                listed.pop(path, None)
            else:
                if status.st_nlink > 1:
                    wrong.append(Wrong(LINKED, path, f"it has {status.st_nlink} names"))
                digest = checksums.sha256(read(entry.path)) if path != CHECKSUMS and status.st_size <= LIMIT else ""
                found[path] = Found(digest, stat.S_IMODE(kind))
    return _compared(listed, found, wrong)


def packed(data: bytes, name: str) -> tuple[Wrong, ...]:
    """What is wrong with the bundle in an archive; raises IntegrityError when it holds none."""
    found: dict[str, Found] = {}
    wrong: list[Wrong] = []
    folders: set[str] = set()
    listing: bytes | None = None
    for member in tar_archive.unpack(data, name):
        path = tar_archive.relative(member.path)
        if path is None:
            wrong.append(Wrong(OTHER, member.path, "its path leads out of the bundle"))
        elif member.kind == "folder":
            folders.add(path.rstrip("/"))
        elif member.kind:
            wrong.append(Wrong(LINKED if "link" in member.kind else OTHER, path, member.kind))
        elif path in found:
            wrong.append(Wrong(ADDED, path, "it is there twice"))
        else:
            found[path] = Found(checksums.sha256(member.content), member.mode)
            if path == CHECKSUMS:
                listing = member.content
    if listing is None:
        raise IntegrityError(f"{name}: it has no {tar_archive.ROOT}{CHECKSUMS}, so it is no bundle, or not a whole one")
    listed = checksums.parse(listing, f"{name}: {CHECKSUMS}")
    needed = {"", *(path[:at] for path in listed for at, char in enumerate(path) if char == "/")}
    wrong += [Wrong(ADDED, f"{path}/", "a folder") for path in folders - needed]
    bad = {entry.path for entry in wrong}
    return _compared({path: digest for path, digest in listed.items() if path not in bad or path in found}, found, wrong)


def read(path: str) -> bytes:
    """The bytes of a regular file, which may not be a link; raises OSError, or IntegrityError when it is too large."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise IntegrityError(f"{path}: larger than {LIMIT >> 20} MiB")
    return data


def _compared(listed: dict[str, str], found: dict[str, Found], wrong: Iterable[Wrong]) -> tuple[Wrong, ...]:
    faults = list(wrong)
    missing = {path: digest for path, digest in listed.items() if path not in found}
    for path, file in sorted(found.items()):
        if path == CHECKSUMS and path not in listed:
            pass
        elif path not in listed:
            before = next((old for old, digest in missing.items() if digest == file.digest), None)
            if before is None:
                faults.append(Wrong(ADDED, path))
            else:
                del missing[before]
                faults.append(Wrong(RENAMED, path, f"it was {before}"))
            continue
        elif file.digest != listed[path]:
            faults.append(Wrong(CHANGED, path))
        if file.mode != mode_of(path):
            faults.append(Wrong(MODE, path, f"{file.mode:04o}, and it was {mode_of(path):04o}"))
    faults += [Wrong(MISSING, path) for path in missing]
    return tuple(sorted(faults, key=lambda fault: (fault.path, fault.kind, fault.why)))
