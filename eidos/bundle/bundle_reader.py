"""Reads the files of a bundle from a folder or an archive: into memory, but for blobs of images, which are copied from disk.

Knows where a bundle has blobs, and how much may be read; must not know what is in the files, nor whether they are what the checksums say
(:mod:`eidos.bundle.verification`).
"""

from __future__ import annotations

import os
import stat

from eidos.bundle.tar_archive import relative_path
from eidos.bundle.verification import MAX_FILES, read_archive_members, read_regular_file
from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.model.bundle import CHECKSUMS, IMAGE_BLOBS, StoredFile, is_image_blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from typing import BinaryIO

#: The largest bundle whose content is read into memory, without blobs of images.
MAX_TOTAL_BYTES = 64 << 20


class _EveryPath:
    """Contains every path."""

    def __contains__(self, path: object) -> bool:
        return True


def open_files(path: str, stack: ExitStack, temporary: str | None = None) -> tuple[dict[str, bytes], dict[str, StoredFile]]:
    """The files of a bundle, and the blobs of its images, which are on disk until ``stack`` is closed; raises what :func:`read_files` does.

    Those of an archive are unpacked into a temporary folder, inside the folder ``temporary`` if that is named.
    """
    if os.path.isdir(path):
        return read_files(path), open_blobs(path)
    from eidos.files.atomic_write import TemporaryFolder

    unpacked: list[str] = []

    def open_blob(name: str) -> BinaryIO:
        if not unpacked:
            unpacked.append(stack.enter_context(TemporaryFolder(temporary)))
        return open(os.path.join(unpacked[0], name.rpartition("/")[2]), "xb")

    files = read_files(path, open_blob)
    return files, _stored_files(unpacked[0]) if unpacked else {}


def open_blobs(folder: str) -> dict[str, StoredFile]:
    """The blobs of images of the bundle in a folder, by path."""
    blobs = os.path.join(folder, IMAGE_BLOBS)
    return _stored_files(blobs) if os.path.isdir(blobs) else {}


def _stored_files(folder: str) -> dict[str, StoredFile]:
    entries = [
        entry for entry in os.scandir(folder) if is_image_blob(f"{IMAGE_BLOBS}{entry.name}") and entry.is_file(follow_symlinks=False)
    ]
    return {f"{IMAGE_BLOBS}{entry.name}": StoredFile(entry.path, entry.stat().st_size, entry.name) for entry in entries}


def read_files(path: str, open_blob: Callable[[str], BinaryIO] | None = None) -> dict[str, bytes]:
    """The files of the bundle in a folder, a tar.gz or a zip archive, by path; a link is none, and blobs of images are left out.

    Those of a tar.gz archive are written to what ``open_blob`` returns for their path. Raises NotFound, InvalidInput or Unavailable for a
    path that cannot be read, IntegrityError for what has no checksums or is too large.
    """
    try:
        files = _folder_files(path) if os.path.isdir(path) else _archive_files(path, open_blob)
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such file or directory") from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}") from fault
    if CHECKSUMS not in files:
        raise IntegrityError(f"{path}: not a bundle, or incomplete: no {CHECKSUMS}", "name the folder that holds install.sh")
    return files


def _archive_files(path: str, open_blob: Callable[[str], BinaryIO] | None) -> dict[str, bytes]:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InvalidInput(f"{path}: not a folder or a file", "name the folder of a bundle or its archive")
    files: dict[str, bytes] = {}
    size = 0
    with open(path, "rb") as file:
        for member in read_archive_members(file, path, _EveryPath(), open_blob):
            name = relative_path(member.path)
            if name is not None and not member.kind and not (is_image_blob(name) and not member.content):
                files[name] = member.content
                size += len(member.content)
                _check_size(path, size, len(files))
    return files


def _folder_files(root: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size, remaining = 0, [""]
    while remaining:
        folder = remaining.pop()
        for entry in os.scandir(os.path.join(root, folder)):
            if entry.is_dir(follow_symlinks=False):
                remaining.append(f"{folder}{entry.name}/")
                _check_size(root, size, len(remaining))
            elif entry.is_file(follow_symlinks=False) and not is_image_blob(f"{folder}{entry.name}"):
                files[f"{folder}{entry.name}"] = content = read_regular_file(entry.path)
                size += len(content)
                _check_size(root, size, len(files))
    return files


def _check_size(path: str, size: int, count: int) -> None:
    if size > MAX_TOTAL_BYTES:
        raise IntegrityError(f"{path}: larger than {MAX_TOTAL_BYTES >> 20} MiB", "check that this is a bundle")
    if count > MAX_FILES:
        raise IntegrityError(f"{path}: more than {MAX_FILES:,} files", "check that this is a bundle")
