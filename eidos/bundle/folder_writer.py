"""A bundle in a folder, whole or not at all.

Knows folders, and what in them belongs to an earlier bundle; must not know what the files say. Everything is written into a new folder
beside the place (inside it, where the place itself must stay: a mount, somebody's working folder) and only then moved there, so that a
disk that fills leaves what was there before. Nothing is synced: it would take longer than all the rest, a bundle can be made again, and
``eidos verify`` finds out whether a machine that lost power has kept it. An earlier bundle that nobody has touched is replaced; anything
else in the place is refused, unless the caller insists: then the files that the earlier bundle's checksums name are replaced, and every
other file stays.
"""

from __future__ import annotations

import errno
import os
import stat

from eidos.bundle import checksums, verification
from eidos.errors import EidosError, InvalidInput, Unavailable
from eidos.model.bundle import CHECKSUMS, mode_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_HINTS = {
    errno.ENOSPC: "free some space, or write elsewhere with --output",
    errno.EDQUOT: "free some space, or write elsewhere with --output",
    errno.EACCES: "choose a folder that you may write to, with --output",
    errno.EROFS: "write to another file system, with --output",
}

#: What the system says of a folder that cannot be replaced by another, though one may write into it.
_PINNED = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)


class Occupied(InvalidInput):
    """The place holds what is not ours to replace."""


def check(folder: str, *, force: bool = False) -> None:
    """Raise Occupied when ``folder`` holds what may not be replaced, Unavailable when it cannot be written: before any work is done."""
    place = os.path.realpath(folder)
    try:
        names = os.listdir(place)
    except FileNotFoundError:
        _check_parent(folder, os.path.dirname(place))
        return
    except NotADirectoryError as fault:
        raise Occupied(f"{folder}: it is no folder", "name another one with --output") from fault
    except OSError as fault:
        raise _unavailable(folder, fault) from fault
    if not os.access(place, os.W_OK | os.X_OK):
        raise Unavailable(f"cannot write {folder}: it may not be written to", "choose a folder that you may write to")
    if not names:
        return
    earlier = _earlier(place)
    if earlier is None and not force:
        hint = "name another folder, or say --force: files of an earlier bundle are replaced, all others stay"
        raise Occupied(f"{folder}: it holds files that are not of a bundle: {_some(names)}", hint)
    if earlier is not None and not force:
        wrong = verification.folder(place)
        if wrong:
            hint = "name another folder, or say --force: files of the earlier bundle are replaced, all others stay"
            raise Occupied(f"{folder}: it holds a bundle that is not as it was made: {wrong[0]}", hint)


def write(folder: str, files: Mapping[str, bytes], *, force: bool = False, checked: bool = False) -> None:
    """Put ``files`` into ``folder``, with the modes of a bundle whatever the umask; ``checked`` says that :func:`check` was just asked.

    Raises Occupied or Unavailable; then the folder is as it was.
    """
    if not checked:
        check(folder, force=force)
    place = os.path.realpath(folder)
    for inside in (True,) if _stays(place) else (False, True):
        try:
            _put(place, files, force, inside)
        except OSError as fault:
            if inside or fault.errno not in _PINNED or not os.path.isdir(place):
                raise _unavailable(folder, fault) from fault
        except ValueError as fault:
            raise Unavailable(f"cannot write {folder!r}: no folder can have such a name") from fault
        else:
            return


def _stays(place: str) -> bool:
    """Whether the folder itself must stay where it is: it is somebody's working folder, a mount, or in a folder that may not change."""
    if not os.path.isdir(place):
        return False
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it is gone
        here = ""
    return f"{here}/".startswith(f"{place}/") or os.path.ismount(place) or not os.access(os.path.dirname(place), os.W_OK | os.X_OK)


def _put(place: str, files: Mapping[str, bytes], force: bool, inside: bool) -> None:
    """Fill a folder beside the place, or inside it, and move it, or what is in it, to where it belongs."""
    parent, name = os.path.split(place)
    earlier = _earlier(place)
    # Before there is anything of ours in the place.
    whole = os.path.lexists(place) and (not os.listdir(place) or (earlier is not None and not verification.folder(place)))
    fresh = os.path.join(place if inside else parent, f".{name[:100]}.eidos-{os.urandom(8).hex()}.tmp")
    try:
        _fill(fresh, files)
        if not inside and (not os.path.lexists(place) or not os.listdir(place)):
            os.rename(fresh, place)
        elif not inside and (not force or whole):
            _swap(fresh, place)
        else:
            _merge(fresh, place, files, set(earlier or ()))
    finally:
        remove(fresh)


def _fill(fresh: str, files: Mapping[str, bytes]) -> None:
    os.mkdir(fresh, 0o700)
    # The list of all comes last: nothing that was cut short looks like a bundle.
    for path in sorted(files, key=lambda path: (path == CHECKSUMS, path)):
        full = os.path.join(fresh, *path.split("/"))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        view = memoryview(files[path])
        try:
            while view:
                view = view[os.write(fd, view) :]
            os.fchmod(fd, mode_of(path))
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # some file systems say only here that they are full
    for place, _, _ in os.walk(fresh):
        os.chmod(place, 0o755)  # noqa: S103  # a bundle is there to be read by all, like the files in it


def _swap(fresh: str, place: str) -> None:
    """Replace a bundle that nobody has touched, as a whole."""
    old = f"{fresh}.old"
    os.rename(place, old)
    try:
        os.rename(fresh, place)
    except BaseException:
        os.rename(old, place)
        raise
    remove(old)


def _merge(fresh: str, place: str, files: Mapping[str, bytes], ours: set[str]) -> None:
    """Move single files into a folder that keeps what is not ours."""
    for path in files:
        _check_way(place, path, ours)
    listed = os.path.join(place, CHECKSUMS)
    if os.path.lexists(listed):
        os.unlink(listed)  # from here on until the end, nobody takes this for a whole bundle
    for path in sorted(ours - set(files)):
        _unlink(place, path)
    for path in sorted(files, key=lambda path: (path == CHECKSUMS, path)):
        target = os.path.join(place, *path.split("/"))
        _make_way(place, path)
        os.replace(os.path.join(fresh, *path.split("/")), target)


def _check_way(place: str, path: str, ours: set[str]) -> None:
    """Raise Occupied when a file that is not of the earlier bundle, or a link, stands where ``path`` must go."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        there = os.path.join(place, *parts[:end])
        shown = "/".join(parts[:end])
        try:
            kind = os.lstat(there).st_mode
        except FileNotFoundError:
            return
        if end < len(parts):
            if not stat.S_ISDIR(kind):
                raise Occupied(f"{there}: it is no folder, and the bundle needs one there", "move it away")
        elif path not in ours and path != CHECKSUMS:
            raise Occupied(f"{there}: it is not of an earlier bundle, and the bundle has a file of this name", "move it away")
        elif stat.S_ISDIR(kind):
            raise Occupied(f"{there}: it is a folder, and the bundle has the file {shown}", "move it away")


def _make_way(place: str, path: str) -> None:
    """Make the folders that ``path`` needs, with the mode of a bundle's whatever the umask."""
    parts = path.split("/")
    for end in range(1, len(parts)):
        way = os.path.join(place, *parts[:end])
        if not os.path.isdir(way):
            os.mkdir(way)
            os.chmod(way, 0o755)  # noqa: S103  # as in _fill


def _unlink(place: str, path: str) -> None:
    """Remove a file of the earlier bundle, and the folders that it leaves empty."""
    parts = path.split("/")
    for end in range(1, len(parts)):
        if os.path.islink(os.path.join(place, *parts[:end])):
            return
    try:
        os.unlink(os.path.join(place, *parts))
        for end in range(len(parts) - 1, 0, -1):
            os.rmdir(os.path.join(place, *parts[:end]))
    except OSError:  # it is gone already, or its folder holds something else
        return


def _earlier(place: str) -> dict[str, str] | None:
    """What the earlier bundle in a folder says it has; None when there is none."""
    try:
        listed = checksums.parse(verification.read(os.path.join(place, CHECKSUMS)), CHECKSUMS)
    except (OSError, EidosError):
        return None
    # Every bundle has its recipe; checksums of something else are not ours.
    return {**listed, CHECKSUMS: ""} if "recipe.yaml" in listed else None


def remove(folder: str) -> None:
    """Remove a folder of our own making, and everything in it; what is not there needs no removing."""
    for place, folders, names in os.walk(folder, topdown=False):
        for name in names:
            os.unlink(os.path.join(place, name))
        for name in folders:
            path = os.path.join(place, name)
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
    if not os.access(parent, os.W_OK | os.X_OK):
        raise Unavailable(f"cannot write {folder}: {parent} may not be written to", "choose a folder that you may write to")


def _some(names: list[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _unavailable(folder: str, fault: OSError) -> Unavailable:
    words = os.strerror(fault.errno) if fault.errno else str(fault)
    return Unavailable(f"cannot write {folder}: {words[:1].lower()}{words[1:]}", _HINTS.get(fault.errno or 0))
