"""Writes a bundle into a folder, completely or not at all.

Knows folders, and which files in them belong to an earlier bundle; must not know what is in the files. Everything is written into a
temporary folder beside the target (inside it, where the target itself cannot be replaced: a mount, a working folder) and then moved there,
so that a full disk leaves the earlier content. Nothing is synced: it would take longer than all the rest, a bundle can be made again, and
``eidos verify`` detects what a power failure lost. An earlier bundle that is unchanged is replaced; anything else is refused, unless the
caller forces it: then the files in the earlier bundle's checksums are replaced, and every other file stays.
"""

from __future__ import annotations

import errno
import os
import stat

from eidos.bundle import checksums, verification
from eidos.errors import EidosError, InvalidInput, Unavailable
from eidos.files.atomic_write import check_permission, unwritable
from eidos.model.bundle import ATTESTATIONS, CHECKSUMS, file_mode, is_attestation
from eidos.wording import list_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from eidos.model.bundle import StoredFile

#: Errors of a folder that cannot be replaced by another, though its files can.
_NOT_REPLACEABLE = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)


class FolderOccupied(InvalidInput):
    """The folder has files that may not be replaced."""


def check_folder(folder: str, *, force: bool = False) -> None:
    """Raise FolderOccupied when ``folder`` has files that may not be replaced, Unavailable when it cannot be written."""
    target = os.path.realpath(folder)
    try:
        names = os.listdir(target)
    except FileNotFoundError:
        _check_parent(folder, os.path.dirname(target))
        return
    except NotADirectoryError as fault:
        raise FolderOccupied(f"{folder}: not a folder", "name another one with --output") from fault
    except OSError as fault:
        raise unwritable(folder, fault) from fault
    check_permission(target, folder)
    if not names:
        return
    earlier = _earlier(target)
    if earlier is None and not force:
        hint = "name another folder, or use --force: it replaces files of an earlier bundle and keeps all others"
        raise FolderOccupied(f"{folder}: the folder has files that do not belong to a bundle: {list_first(sorted(names), 3)}", hint)
    if earlier is not None and not force:
        problems = verification.inspect_folder(target).problems
        if problems:
            hint = "name another folder, or use --force: it replaces files of the earlier bundle and keeps all others"
            raise FolderOccupied(f"{folder}: the bundle in this folder was modified: {problems[0]}", hint)


def write_folder(
    folder: str,
    files: Mapping[str, bytes],
    blobs: Mapping[str, StoredFile] | None = None,
    *,
    force: bool = False,
    is_checked: bool = False,
) -> None:
    """Write files, in memory and on disk, into ``folder``, with the modes of a bundle whatever the umask.

    ``is_checked`` skips :func:`check_folder`. Raises FolderOccupied, Unavailable, or IntegrityError for a file on disk that is not what its
    digest says, and leaves the folder as it was.
    """
    blobs = blobs or {}

    def fill(temporary: str) -> Collection[str]:
        _fill(temporary, files, blobs)
        return {*files, *blobs}

    fill_folder(folder, fill, force=force, is_checked=is_checked)


def fill_folder(folder: str, fill: Callable[[str], Collection[str]], *, force: bool = False, is_checked: bool = False) -> None:
    """Write what ``fill`` writes into an empty folder, whose paths it returns, as :func:`write_folder` writes files.

    It may be called a second time, when the first folder cannot take the place of ``folder``; what it raises leaves ``folder`` as it was.
    """
    if not is_checked:
        check_folder(folder, force=force)
    target = os.path.realpath(folder)
    for is_inside in (True,) if _is_fixed(target) else (False, True):
        try:
            _install(target, fill, force, is_inside)
        except OSError as fault:
            if is_inside or fault.errno not in _NOT_REPLACEABLE or not os.path.isdir(target):
                raise unwritable(folder, fault) from fault
        except ValueError as fault:
            raise Unavailable(f"cannot write {folder!r}: invalid folder name") from fault
        else:
            return


def _is_fixed(target: str) -> bool:
    """Whether the folder itself cannot be replaced: it is a working folder, a mount, or in a folder that is not writable."""
    if not os.path.isdir(target):
        return False
    try:
        current = os.path.realpath(os.getcwd())
    except OSError:  # it is gone
        current = ""
    return f"{current}/".startswith(f"{target}/") or os.path.ismount(target) or not os.access(os.path.dirname(target), os.W_OK | os.X_OK)


def _install(target: str, fill: Callable[[str], Collection[str]], force: bool, is_inside: bool) -> None:
    """Write a temporary folder beside the target, or inside it, and move it, or its files, to the target."""
    parent, name = os.path.split(target)
    earlier = _earlier(target)
    # Decided before the temporary folder is inside the target.
    is_unchanged = earlier is not None and not verification.inspect_folder(target).problems
    is_replaceable = os.path.lexists(target) and (is_unchanged or not os.listdir(target))
    temporary = os.path.join(target if is_inside else parent, f".{name[:100]}.eidos-{os.urandom(8).hex()}.tmp")
    try:
        os.mkdir(temporary, 0o700)
        files = fill(temporary)
        for each, _, _ in os.walk(temporary):
            os.chmod(each, 0o755)  # noqa: S103  # a bundle is there to be read by all, like the files in it
        if not is_inside and (not os.path.lexists(target) or not os.listdir(target)):
            os.rename(temporary, target)
        elif not is_inside and (not force or is_replaceable):
            _swap(temporary, target)
        else:
            _merge(temporary, target, files, set(earlier or ()))
    finally:
        remove_folder(temporary)


def _fill(temporary: str, files: Mapping[str, bytes], blobs: Mapping[str, StoredFile]) -> None:
    # Checksums come last: a folder that is incomplete has none.
    for path in sorted([*files, *blobs], key=lambda path: (path == CHECKSUMS, path)):
        pieces: Iterable[bytes] = (files[path],) if path in files else _pieces(blobs[path])
        full_path = os.path.join(temporary, *path.split("/"))
        os.makedirs(os.path.dirname(full_path), exist_ok=True)
        fd = os.open(full_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
            os.fchmod(fd, file_mode(path))
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # some file systems report only here that they are full


def _pieces(blob: StoredFile) -> Iterable[bytes]:
    from eidos.oci.image_layout import stored_pieces

    return stored_pieces(blob)


def _swap(temporary: str, target: str) -> None:
    """Replace an unchanged bundle by renaming folders."""
    old = f"{temporary}.old"
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(old, target)
        raise
    remove_folder(old)


def _merge(temporary: str, target: str, files: Collection[str], earlier: set[str]) -> None:
    """Move single files into a folder whose other files stay."""
    for path in files:
        _check_path(target, path, earlier)
    checksums_path = os.path.join(target, CHECKSUMS)
    if os.path.lexists(checksums_path):
        os.unlink(checksums_path)  # until the end, verification refuses this folder
    for path in sorted(earlier - set(files)):
        _unlink(target, path)
    for path in sorted(files, key=lambda path: (path == CHECKSUMS, path)):
        _make_parents(target, path)
        os.replace(os.path.join(temporary, *path.split("/")), os.path.join(target, *path.split("/")))


def _check_path(target: str, path: str, earlier: set[str]) -> None:
    """Raise FolderOccupied when a file that is not of the earlier bundle, or a link, is at ``path`` or at one of its folders."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        existing = os.path.join(target, *parts[:end])
        try:
            mode = os.lstat(existing).st_mode
        except FileNotFoundError:
            return
        if end < len(parts):
            if not stat.S_ISDIR(mode):
                raise FolderOccupied(f"{existing}: not a folder, and the bundle needs a folder here", "move it away")
        elif path not in earlier and path != CHECKSUMS:
            raise FolderOccupied(f"{existing}: this file would be overwritten, and it is not part of an earlier bundle", "move it away")
        elif stat.S_ISDIR(mode):
            raise FolderOccupied(f"{existing}: a folder, where the bundle needs the file {path}", "move it away")


def _make_parents(target: str, path: str) -> None:
    """Create the folders of ``path``, with a bundle's mode whatever the umask."""
    parts = path.split("/")
    for end in range(1, len(parts)):
        folder = os.path.join(target, *parts[:end])
        if not os.path.isdir(folder):
            os.mkdir(folder)
            os.chmod(folder, 0o755)  # noqa: S103  # as in _fill


def _unlink(target: str, path: str) -> None:
    """Remove a file of the earlier bundle, and folders that are then empty."""
    parts = path.split("/")
    for end in range(1, len(parts)):
        if os.path.islink(os.path.join(target, *parts[:end])):
            return
    try:
        os.unlink(os.path.join(target, *parts))
        for end in range(len(parts) - 1, 0, -1):
            os.rmdir(os.path.join(target, *parts[:end]))
    except OSError:  # it is gone already, or its folder holds something else
        return


def _earlier(target: str) -> dict[str, str] | None:
    """The files of the earlier bundle in a folder, from its checksums; None when there is none."""
    try:
        digests = checksums.parse_checksums(verification.read_regular_file(os.path.join(target, CHECKSUMS)), CHECKSUMS)
    except (OSError, EidosError):
        return None
    if "recipe.yaml" not in digests:  # every bundle has a recipe; other programs write checksums, too
        return None
    try:
        names = [f"{ATTESTATIONS}{name}" for name in os.listdir(os.path.join(target, ATTESTATIONS))]
    except OSError:
        names = []
    return {**digests, **dict.fromkeys(filter(is_attestation, names), ""), CHECKSUMS: ""}


def remove_folder(folder: str) -> None:
    """Remove a folder that this module wrote, and everything in it, if it is there."""
    for parent, folders, names in os.walk(folder, topdown=False):
        for name in names:
            os.unlink(os.path.join(parent, name))
        for name in folders:
            path = os.path.join(parent, name)
            if os.path.islink(path):
                os.unlink(path)
            else:
                os.rmdir(path)
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass


def _check_parent(folder: str, parent: str) -> None:
    if not os.path.isdir(parent):
        raise Unavailable(f"cannot write {folder}: {parent} does not exist", "create the folder first")
    check_permission(parent, folder)
