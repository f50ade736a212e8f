"""Where documents are read from and written to: standard streams, a file, a ConfigMap or a Secret, an object store, a registry.

Knows how ``--output`` and ``--file`` name a location, which format and width follow from it, and which locations cannot be
written; must not know what a document says. ``files.atomic_write`` and ``kube.document_store`` write, completely or not at all.

Functions that take ``values`` use the cluster that these select; without them, a location in a cluster is refused.
"""

from __future__ import annotations

import os
import sys
import time

from eidos.errors import InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.files import read_named_file
from eidos.files.atomic_write import Unwritable, check_permission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import ExitStack

    from eidos.cli.options import Values
    from eidos.kube.stored_object import ObjectReference
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.recipe.data_stack import DataPart

STDOUT = "-"

#: Extensions of archives that eidos does not write.
OTHER_ARCHIVES = frozenset(
    [".7z", ".bz2", ".cab", ".cpio", ".lz", ".lz4", ".lzma", ".rar", ".tar", ".tbz", ".tbz2", ".tlz", ".txz", ".tzst", ".xz", ".z", ".zst"]
)

#: Seconds that a cluster has to answer where no --timeout says otherwise.
CLUSTER_TIMEOUT_S = 30.0

#: The standard input that was read: it holds one document.
_consumed: list[object] = []

_URL_HINT = "write cm://namespace/name or secret://namespace/name for a cluster, a presigned https:// URL for an object store"
_CLUSTER_HINT = "write cm://namespace/name or secret://namespace/name for a document in a cluster"
_SNAPSHOT_HINT = "run 'eidos snapshot -o node.yaml' to write a snapshot"
_RECIPE_HINT = "run 'eidos recipe -o recipe.yaml' to write a recipe"


def is_in_cluster(location: str) -> bool:
    """Whether a location is a ConfigMap or a Secret."""
    return location.startswith(("cm://", "secret://"))


def is_in_registry(location: str) -> bool:
    """Whether a location is an artifact in a registry."""
    return location.startswith("oci://")


def is_remote(location: str) -> bool:
    """Whether a location is in a cluster or in a registry, rather than a path."""
    return is_in_cluster(location) or is_in_registry(location)


def is_in_object_store(location: str) -> bool:
    """Whether a location is a presigned URL, or a file that holds one."""
    return location.startswith(("https://", "http://", "@"))


def display_location(location: str) -> str:
    """A location for messages: of a presigned URL the origin alone, because the rest is a secret."""
    if not is_in_object_store(location):
        return location
    from eidos.cli import object_store_locations

    return object_store_locations.display_location(location)


def location_extension(location: str) -> str:
    """The extension of a file or of an object, in lower case."""
    if is_in_object_store(location):
        from eidos.cli import object_store_locations

        location = object_store_locations.object_path(location)
    return os.path.splitext(location)[1].lower()


def check_archive(location: str, flag: str) -> None:
    """Raise InvalidInput when the name ends like an archive that is neither tar.gz nor zip."""
    if location_extension(location) in OTHER_ARCHIVES:
        hint = "presign a URL for an object whose name ends with .tar.gz" if is_in_object_store(location) else f"use {flag} NAME.tar.gz"
        raise InvalidInput(f"{flag}: {display_location(location)}: eidos writes .tar.gz and .zip archives", hint)


def check_writable(location: str, values: Values | None = None) -> None:
    """Raise an EidosError when ``location`` clearly cannot be written: the user learns it before the work, not after."""
    if location == STDOUT:
        if sys.stdout is None:
            raise Unwritable("standard output", "it is closed", "open it, or write to a file with --output FILE")
        return
    if is_in_cluster(location):
        from eidos.cli import cluster_options

        selection, _ = _cluster_object(location, values, "writes to files and standard output")
        cluster_options.load_cluster(selection)
        return
    if is_in_object_store(location):
        from eidos.cli import object_store_locations

        object_store_locations.parse_location(location, values)
        return
    if is_in_registry(location):
        raise InvalidInput(f"{location!r} is in a registry, and this command writes to files", f"run 'eidos push FILE {location}' after it")
    if location.startswith(("/dev/", "/proc/")):  # another name for an open file, which has permissions of its own
        return
    try:
        folder = os.path.dirname(os.path.realpath(location))
    except FileNotFoundError as fault:  # from getcwd(3)
        hint = "change to another folder, or use an absolute path"
        raise Unwritable(location, "the current folder was removed", hint) from fault
    if os.path.isdir(location) or location.endswith("/"):
        raise Unwritable(location, "it is a folder", "name a file in that folder")
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise Unwritable(location, "its parent is a file, not a folder", "use a path whose parents are all folders")
        raise Unwritable(location, "the folder does not exist", _URL_HINT if "://" in location else "create the folder first")
    for path in (folder, location):
        if os.path.exists(path):
            check_permission(path, location)


def write_document(
    location: str,
    text: str,
    values: Values | None = None,
    component: str = "document",
    deadline: float | None = None,
    mode: int = 0o600,
) -> None:
    """Write ``text``; raises an EidosError when the location is full, gone or not permitted.

    ``component`` and ``deadline`` (on ``time.monotonic``) are for a cluster: the label that says what the document is, and when to
    give up; ``mode`` is that of a new file.
    """
    if is_in_cluster(location):
        from eidos.cli import cluster_options
        from eidos.kube import document_store

        selection, target = _cluster_object(location, values, "writes to files and standard output")
        fmt = choose_format(selection["format"], location)
        client = cluster_options.connect(selection, deadline or time.monotonic() + selection.get("timeout", CLUSTER_TIMEOUT_S))
        try:
            document_store.write_document(client, target, text.encode(), form={"table": "txt"}.get(fmt, fmt), component=component)
        finally:
            client.close()
    else:
        write_bytes(location, text.encode(), values, deadline, mode)


def write_bytes(location: str, data: bytes, values: Values | None = None, deadline: float | None = None, mode: int = 0o666) -> None:
    """Write ``data`` to standard output, a file or an object store, as :func:`write_document` does."""
    from eidos.files import atomic_write

    if is_in_object_store(location):
        from eidos.cli import object_store_locations

        object_store_locations.store_object(location, data, values, deadline)
    elif location == STDOUT:
        atomic_write.write_stdout(data)
    else:
        atomic_write.write_file(location, data, mode)


def write_pieces(location: str, pieces: Iterable[bytes]) -> None:
    """Write a large file to standard output or a path, with no more than a piece of it in memory."""
    from eidos.files import atomic_write

    if location != STDOUT:
        atomic_write.write_pieces(location, pieces, 0o666)
        return
    for piece in pieces:
        atomic_write.write_stdout(piece)


def _cluster_object(location: str, values: Values | None, instead: str) -> tuple[Values, ObjectReference]:
    """The options that select a cluster, and the object in it; InvalidInput for an invalid name, and for a verb without such options."""
    from eidos.kube import stored_object

    target = stored_object.parse_reference(location)
    if values is None or "kubeconfig" not in values:
        raise InvalidInput(
            f"{location!r} is a {target.kind}, but this command {instead}", f"use kubectl get or kubectl apply to move a {target.kind}"
        )
    return values, target


def read_document(
    location: str,
    limit: int = 32 << 20,
    missing_hint: str | None = None,
    values: Values | None = None,
    expected: str = "a document",
) -> bytes:
    """The bytes of a file, of standard input for ``-``, or of an object in a cluster or in a registry.

    At most one byte more than ``limit`` is read, which tells a parser that the document is too large. ``missing_hint`` is the hint
    for a file that does not exist, ``expected`` what messages call the document. Raises NotFound or Unavailable with path and reason, and
    InvalidInput for an invalid location.
    """
    if is_in_cluster(location):
        return _read_from_cluster(location, limit, values)
    if is_in_registry(location):
        from eidos.cli.registry_locations import read_registry_document

        return read_registry_document(location, values, limit, expected)
    if location.startswith(("https://", "http://")):
        raise InvalidInput(f"{display_location(location)}: a document is not read from an object store", "download it, and name the file")
    try:
        if location == STDOUT:
            if sys.stdin is None:
                raise Unavailable("standard input is closed", "name a file with --file")
            if sys.stdin in _consumed:
                raise InvalidInput("standard input cannot be two documents", "name a file for one of them")
            _consumed[:] = [sys.stdin]
            return sys.stdin.buffer.read(limit + 1)
    except OSError as fault:
        raise Unavailable(f"{location}: {os_error_reason(fault)}") from fault
    try:
        return read_named_file(location, limit, hint=_CLUSTER_HINT if "://" in location else missing_hint)
    except Unavailable as fault:
        if isinstance(fault.__cause__, IsADirectoryError):
            raise InvalidInput(f"{location}: a folder, where {expected} is expected", "name a file") from fault
        raise


def _read_from_cluster(location: str, limit: int, values: Values | None) -> bytes:
    from eidos.cli import cluster_options
    from eidos.kube import document_store

    selection, target = _cluster_object(location, values, "reads files and standard input")
    client = cluster_options.connect(selection, time.monotonic() + selection.get("timeout", CLUSTER_TIMEOUT_S))
    try:
        return document_store.read_document(client, target, limit)
    finally:
        client.close()


def read_data(locations: Sequence[str], values: Values | None) -> tuple[DataPart, ...]:
    """The recipe data of folders, of objects in a cluster and of artifacts in a registry, in order.

    There are none for a single file, which replaces the shipped data.
    """
    from eidos.recipe.data_stack import part_of_keys, read_parts

    if len(locations) == 1 and not is_remote(locations[0]) and not os.path.isdir(locations[0]):
        return ()
    parts: list[DataPart] = []
    for location in locations:
        if is_in_cluster(location):
            parts.append(part_of_keys(location, _read_keys(location, values)))
        elif is_in_registry(location):
            parts.append(_read_registry_data(location, values))
        else:
            parts += read_parts([location])
    return tuple(parts)


def _read_registry_data(location: str, values: Values | None) -> DataPart:
    from eidos.cli import registry_locations
    from eidos.recipe.data_folder import read_folder
    from eidos.recipe.data_stack import DataPart

    with registry_locations.temporary_folder_of(location, values, registry_locations.DATA) as (folder, _):
        return DataPart(location, read_folder(folder))


def local_folder(location: str, values: Values | None, stack: ExitStack, kind: str = "BUNDLE") -> str:
    """A path: the location if it is one, or else a temporary folder, until ``stack`` is closed, with the files of an artifact.

    ``kind`` is BUNDLE, DATA or FLEET, as in :mod:`eidos.cli.registry_locations`.
    """
    if not is_in_registry(location):
        return location
    from eidos.cli import registry_locations

    return stack.enter_context(registry_locations.temporary_folder_of(location, values, getattr(registry_locations, kind)))[0]


def snapshot_folder(location: str, values: Values | None, stack: ExitStack) -> str | None:
    """The folder of snapshots at a location, as :func:`local_folder` has it; None for one document."""
    if is_in_registry(location):
        from eidos.cli.registry_locations import is_fleet

        return local_folder(location, values, stack, "FLEET") if is_fleet(location, values) else None
    return location if not is_remote(location) and os.path.isdir(location) else None


def _read_keys(location: str, values: Values | None) -> dict[str, bytes]:
    """The values of a ConfigMap or a Secret by key. Raises NotFound, InvalidInput, and what the client raises."""
    from eidos.cli import cluster_options
    from eidos.kube.stored_object import StoredObject

    selection, target = _cluster_object(location, values, "reads files and folders")
    client = cluster_options.connect(selection, time.monotonic() + selection.get("timeout", CLUSTER_TIMEOUT_S))
    try:
        stored = StoredObject.get(client, target)
    finally:
        client.close()
    if stored is None:
        raise NotFound(f"{location}: no such object", "create it with 'kubectl create configmap NAME --from-file=FOLDER'")
    keys = stored.keys()
    return {key: content for key in keys if (content := stored.value(key)) is not None}


def read_snapshot(location: str, values: Values | None = None, missing_hint: str = _SNAPSHOT_HINT) -> tuple[Snapshot, bytes]:
    """The snapshot at a location, and its bytes; raises an EidosError that says what is there instead."""
    from eidos.workflow import parse_snapshot

    data = read_document(location, missing_hint=missing_hint, values=values, expected="a snapshot")
    return parse_snapshot(data, _display_name(location)), data


def read_listed_snapshot(folder: str, name: str, missing_hint: str = _SNAPSHOT_HINT) -> tuple[Snapshot, bytes]:
    """The snapshot in a file of a folder. Raises as :func:`read_snapshot` and :func:`require_file`."""
    path = os.path.join(folder, name)
    require_file(path)
    return read_snapshot(path, missing_hint=missing_hint)


def require_file(path: str) -> None:
    """Raise InvalidInput for a pipe or a device in a folder: it may block, and a user who wants it read names it."""
    import stat

    try:
        mode = os.stat(path).st_mode
    except OSError:
        mode = stat.S_IFREG  # reading it tells why
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InvalidInput(f"{path}: not a file", "remove it, or name the files one by one")


def read_recipe(location: str, values: Values | None = None) -> Recipe:
    """The recipe at a location; raises an EidosError that says what is there instead."""
    return read_recipe_document(location, values)[0]


def read_recipe_document(location: str, values: Values | None = None) -> tuple[Recipe, bytes]:
    """The recipe at a location, and its bytes; raises as :func:`read_recipe`."""
    from eidos.workflow import parse_recipe

    data = read_document(location, missing_hint=_RECIPE_HINT, values=values, expected="a recipe")
    return parse_recipe(data, _display_name(location)), data


def _display_name(location: str) -> str:
    return "standard input" if location == STDOUT else location


def choose_format(requested: str | None, location: str, default: str = "yaml") -> str:
    """The requested format, or else that of the file's extension; in a cluster the default is YAML.

    >>> choose_format(None, "node.json"), choose_format(None, "-")
    ('json', 'yaml')
    >>> choose_format("table", "node.json"), choose_format(None, "a.yml", "table")
    ('table', 'yaml')
    """
    if is_in_cluster(location):
        default = "yaml"
    by_extension = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
    return requested or by_extension.get(location_extension(location), default)


def terminal_width(location: str) -> int:
    """Columns for a table: COLUMNS, else those of the terminal; 0, as wide as it takes, for a file or a pipe."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and len(columns) < 5 and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(1).columns if location == STDOUT else 0
    except OSError:
        return 0


def fit_table(location: str, lay_out: Callable[[int, bool], str]) -> str:
    """The table that ``lay_out`` makes of a width and whether to colour; on standard output with the characters that the locale has."""
    from eidos import terminal

    is_shown = location == STDOUT
    table = lay_out(terminal_width(location), is_shown and terminal.shows_colour(1))
    return terminal.fit_locale(table, "~") if is_shown else table
