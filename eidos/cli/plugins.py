"""Folders of plug-ins that the user trusts: collectors, checks, recipe data and templates beside those of eidos.

Knows the layout of a plug-in, and whose folders may hold one; must not know what a collector reads, nor how data is merged. A plug-in is
code that runs with the rights of eidos: the folder, all above it and everything in it must belong to the user or to root, and nobody else
may write there. Files are read once, and what is run is what was read. One that was sent to a node is in the file of eidos there, and
named by its digest.
"""

from __future__ import annotations

import os
import stat

from eidos import collectors
from eidos.errors import InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.model.measurement import TYPES
from eidos.model.plugin import FOLDERS, Plugin, digest_of, format_sums, is_plugin_name, read_carried, split_reference
from eidos.recipe.data_folder import ENDINGS
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Files of documentation beside these.
IGNORED = ("README", "README.md", "LICENSE", "LICENSE.txt", "__pycache__")

#: Bytes of a file, and files of a plug-in.
FILE_LIMIT, FILES_LIMIT = 8 << 20, 10_000

#: Names that collectors of a plug-in cannot have besides those of our collectors: GPU.smi and GPU.gpu-0 are of the collector gpu.
_TAKEN = ("gpu.gpu", "gpu.smi")

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_plugin(path: str) -> Plugin:
    """The plug-in in a folder, whose collectors are among those of eidos from now on; NAME@sha256:DIGEST is one that this file carries.

    Raises NotFound or Unavailable for a folder that cannot be read, InvalidInput for one that others can write, for files that a plug-in
    does not have, and for a collector that there is already; IntegrityError when what is carried is not what the digest names.
    """
    reference = split_reference(path)
    plugin = _read_carried(*reference) if reference else _read_folder(path)
    known = collectors.list_collectors()
    added = {}
    for name in plugin.files:
        parts = name.split("/")
        if len(parts) == 1:
            raise InvalidInput(f"{path}/{name} is not a folder", "put the file into a folder of this name")
        if parts[-1] in IGNORED:
            continue
        if parts[0] in ("checks", "recipes") and not name.endswith(ENDINGS):
            raise InvalidInput(f"{path}/{name}: unexpected file", f"names of files there end with {list_words(ENDINGS)}")
        if parts[0] == "collectors" and not parts[-1].startswith("_"):
            collector = _collector_name(parts, path)
            if collector in known or collector in _TAKEN:
                raise InvalidInput(f"{path}/{name}: there are readings of {collector!r} already", "rename the file")
            added[collector] = name
    for collector, name in added.items():
        collectors.add_collector(collector, os.path.join(plugin.path, name), plugin.files[name])
    return plugin


def _read_carried(name: str, digest: str) -> Plugin:
    from eidos.files import resources

    def read_entry(path: str) -> bytes:
        try:
            return resources.read_bytes(path)
        except NotFound as fault:
            raise KeyError(path) from fault

    try:
        return read_carried(name, digest, read_entry)
    except KeyError:
        raise NotFound(f"plug-in {name!r} is not in this file of eidos", "name the folder of the plug-in") from None


def _read_folder(path: str) -> Plugin:
    try:
        folder = os.path.realpath(path)
        _check_folder(folder, path)
        files = dict(_read_files(folder, path))
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such folder", "name a folder with collectors/, checks/ or recipes/") from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}", "run as the user that owns it") from fault
    if not files:
        raise InvalidInput(f"{path}: no files in {list_words(f'{name}/' for name in FOLDERS)}", "see 'eidos help plugins'")
    name = os.path.basename(folder)
    if not is_plugin_name(name):
        hint = "rename the folder: letters, digits, '.', '_' and '-', such as acme-1.2"
        raise InvalidInput(f"{path}: {name!r} is not a name of a plug-in", hint)
    return Plugin(name, folder, digest_of(format_sums(files)), files)


def _collector_name(parts: Sequence[str], path: str) -> str:
    stem, dot, ending = parts[-1].partition(".")
    type_name, underscore, rest = stem.partition("_")
    is_valid = len(parts) == 2 and dot and ending == "py" and underscore and rest.isidentifier() and rest.islower() and rest.isascii()
    if not is_valid or type_name not in TYPES:
        hint = f"name it <type>_<name>.py, with a type of {list_words(TYPES)} and a name in lower case"
        raise InvalidInput(f"{path}/{'/'.join(parts)}: not the name of a collector", hint)
    return f"{type_name}.{rest}"


def _check_folder(folder: str, shown: str) -> None:
    """Refuse a folder that somebody else could replace, or that is reached by a path that somebody else could change."""
    status = os.stat(shown)
    if not stat.S_ISDIR(status.st_mode):
        raise InvalidInput(f"{shown} is not a folder", "name a folder with collectors/, checks/ or recipes/")
    _check_path(shown if os.path.isabs(shown) else os.path.join(os.getcwd(), shown))
    _check_owner(folder, status)


def _check_path(path: str) -> None:
    """Check each folder and each link that leads to an absolute path; sticky folders of root, such as /tmp, may be writable."""
    for end in [number for number, character in enumerate(path) if character == "/"] + [len(path)]:
        part = path[:end] or "/"
        status = os.lstat(part)
        if stat.S_ISLNK(status.st_mode):
            _check_owner(part, status)
            _check_path(os.path.join(os.path.dirname(part), os.readlink(part)))
        elif not (status.st_uid == 0 and status.st_mode & stat.S_ISVTX):
            _check_owner(part, status)


def _check_owner(path: str, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise InvalidInput(f"{path} belongs to user {status.st_uid}", "use a folder that belongs to you or to root")
    if status.st_mode & _OTHERS_WRITE and not stat.S_ISLNK(status.st_mode):  # links have no mode
        raise InvalidInput(f"{path}: others can write to it", f"run 'chmod go-w {path}'")


def _read_files(folder: str, shown: str) -> Iterator[tuple[str, bytes]]:
    for name in sorted(os.listdir(folder)):
        if name in IGNORED or name.startswith("."):
            continue
        if name not in FOLDERS:
            hint = f"a plug-in has {list_words(f'{name}/' for name in FOLDERS)}"
            raise InvalidInput(f"{shown}/{name}: unexpected file", hint)
        for number, path in enumerate(_walk(os.path.join(folder, name))):
            if number == FILES_LIMIT:
                raise InvalidInput(f"{shown}: more than {FILES_LIMIT:,} files", "check that this is the right folder")
            if not path[len(folder) :].isprintable() or "\\" in path[len(folder) :]:
                raise InvalidInput(f"{path!a}: the name of the file is not printable text without backslashes", "rename the file")
            yield path[len(folder) + 1 :], _read_file(path)


def _walk(path: str) -> Iterator[str]:
    """The files at a path and below, each folder checked before it is read."""
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        _check_owner(path, status)
        for name in sorted(os.listdir(path)):
            if name != "__pycache__" and not name.startswith("."):
                yield from _walk(os.path.join(path, name))
    elif stat.S_ISREG(status.st_mode):
        yield path
    else:
        raise InvalidInput(f"{path}: neither a file nor a folder", "replace links by what they point to")


def _read_file(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        _check_owner(path, os.fstat(fd))
        content = file.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise InvalidInput(f"{path}: larger than {FILE_LIMIT >> 20} MiB", "check that this is the right file")
    return content
