"""Where a document goes, and comes from: standard streams, a file, a ConfigMap or a Secret.

Knows how ``--output`` is read, what follows from it for format and width, and which places cannot be written before any work is
done for them; must not know what is written. ``eidos.files.atomic_write`` and ``eidos.kube.document_store`` write, whole or not at all.

Functions that take ``values`` speak to the cluster that these say; without them, a place in a cluster is refused.
"""

from __future__ import annotations

import os
import sys
import time

from eidos.errors import InvalidInput, NotFound, Unavailable
from eidos.files.atomic_write import Unwritable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.kube.stored_object import Place

STDOUT = "-"

#: Seconds that a cluster may take where no --timeout says otherwise.
PATIENCE = 30.0

_IN_CLUSTER = "in a cluster a document is kept at cm://namespace/name, or secret://namespace/name"


def in_cluster(place: str) -> bool:
    """Whether a document is kept in a cluster."""
    return place.startswith(("cm://", "secret://"))


def check(place: str, values: Values | None = None) -> None:
    """Raise an EidosError when ``place`` clearly cannot be written: it is cheaper to hear it before the work than after."""
    if place == STDOUT:
        if sys.stdout is None:
            raise Unwritable("standard output", "it is closed", "open it, or write to a file with --output")
        return
    if in_cluster(place):
        from eidos.cli import cluster_options

        said, _ = _kept(place, values, "writes to files and standard output")
        cluster_options.load(said)
        return
    if place.startswith(("/dev/", "/proc/")):  # another name for something that is open already, with rights of its own
        return
    try:
        folder = os.path.dirname(os.path.realpath(place))
    except FileNotFoundError as fault:  # from getcwd(3)
        hint = "change to another folder, or give the whole path"
        raise Unwritable(place, "the current folder was removed", hint) from fault
    if os.path.isdir(place) or place.endswith("/"):
        raise Unwritable(place, "it is a folder", "name a file in it")
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise Unwritable(place, "what should be its folder is a file", "name a file in a folder")
        raise Unwritable(place, "its folder does not exist", _IN_CLUSTER if "://" in place else "create the folder first")
    for path in (folder, place):
        if os.path.exists(path) and not os.access(path, os.W_OK):
            if os.statvfs(path).f_flag & os.ST_RDONLY:
                raise Unwritable(place, "read-only file system", "write to another file system, or to standard output with -")
            raise Unwritable(place, "permission denied", "choose a place that you may write to, or run as a user who may")


def write(place: str, text: str, values: Values | None = None, what: str = "document", deadline: float | None = None) -> None:
    """Write ``text``; raises an EidosError when the place is full, gone or refused.

    ``what`` and ``deadline`` (on ``time.monotonic``) are for a cluster: the label that says what the document is, and when to give up.
    """
    from eidos.files import atomic_write

    if in_cluster(place):
        from eidos.cli import cluster_options
        from eidos.kube import document_store

        said, kept = _kept(place, values, "writes to files and standard output")
        form = format_for(said["format"], place)
        client = cluster_options.connect(said, deadline or time.monotonic() + said.get("timeout", PATIENCE))
        try:
            document_store.write(client, kept, text.encode(), form="txt" if form == "table" else form, component=what)
        finally:
            client.close()
    elif place == STDOUT:
        atomic_write.write_stdout(text.encode())
    else:
        atomic_write.write_file(place, text.encode())


def _kept(place: str, values: Values | None, instead: str) -> tuple[Values, Place]:
    """What the cluster is said to be, and the place in it; InvalidInput for a name that cannot be, and where no cluster can be said."""
    from eidos.kube import stored_object

    found = stored_object.parse(place)
    if values is None or "kubeconfig" not in values:
        raise InvalidInput(f"{place!r} names a {found.kind}, and this {instead}", f"kubectl get or kubectl apply moves a {found.kind}")
    return values, found


def read(
    place: str,
    limit: int = 32 << 20,
    missing: str = "'eidos snapshot -o node.yaml' writes a snapshot",
    values: Values | None = None,
) -> bytes:
    """The bytes of a file, of standard input for ``-``, or of what is kept in a cluster.

    At most one more than ``limit``, so that a reader sees it is too large.

    ``missing`` is the hint for a file that is not there. Raises NotFound or Unavailable with path and reason, and InvalidInput for
    what is no path.
    """
    if in_cluster(place):
        return _read_kept(place, limit, values)
    try:
        if place == STDOUT:
            if sys.stdin is None:
                raise Unavailable("standard input is closed", "give a file with --file")
            return sys.stdin.buffer.read(limit + 1)
        with open(place, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError as fault:
        raise NotFound(f"{place}: there is no such file", _IN_CLUSTER if "://" in place else missing) from fault
    except OSError as fault:
        raise Unavailable(f"{place}: {(fault.strerror or str(fault)).lower()}") from fault


def _read_kept(place: str, limit: int, values: Values | None) -> bytes:
    from eidos.cli import cluster_options
    from eidos.kube import document_store

    said, kept = _kept(place, values, "reads files and standard input")
    client = cluster_options.connect(said, time.monotonic() + said.get("timeout", PATIENCE))
    try:
        return document_store.read(client, kept, limit)
    finally:
        client.close()


def format_for(asked: str | None, place: str, otherwise: str = "yaml") -> str:
    """The format that was asked for, or else the one that the name of the file promises; what is kept in a cluster is a document.

    >>> format_for(None, "node.json"), format_for(None, "-"), format_for("table", "node.json"), format_for(None, "a.yml", "table")
    ('json', 'yaml', 'table', 'yaml')
    """
    if in_cluster(place):
        otherwise = "yaml"
    endings = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
    return asked or endings.get(os.path.splitext(place)[1].lower(), otherwise)


def width(place: str) -> int:
    """Columns to lay a table out for: what COLUMNS says, else what the terminal has; 0, as wide as it takes, for a file or a pipe."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and len(columns) < 5 and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(1).columns if place == STDOUT else 0
    except OSError:
        return 0
