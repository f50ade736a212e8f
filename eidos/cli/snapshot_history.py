"""The snapshots that ``eidos snapshot --remember`` kept, by node.

Knows where the state of a user's programs is (XDG Base Directory Specification), and how many snapshots of a node are kept; must not know
what is done with them. They are in ``$XDG_STATE_HOME/eidos/snapshots/<node>/<time>.yaml`` (``~/.local/state`` without the variable),
readable by their owner alone.
"""

from __future__ import annotations

import os

from eidos import log
from eidos.errors import EidosError, InvalidData, NotFound, Unavailable, os_error_reason
from eidos.files.atomic_write import Unwritable, write_file
from eidos.fleet.hostlist import assign_file_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.model.snapshot import Snapshot

#: Snapshots that are kept of a node.
MAXIMUM_SNAPSHOTS = 10

_EXTENSION = ".yaml"
_HINT = "run 'eidos snapshot --remember -o /dev/null' to keep one"


def history_folder(environ: Mapping[str, str]) -> str:
    """The folder of all remembered snapshots. Raises Unavailable when no variable says where that is."""
    folder = environ.get("XDG_STATE_HOME", "")
    if not folder.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            raise Unavailable("no folder for remembered snapshots: neither XDG_STATE_HOME nor HOME is set", "set XDG_STATE_HOME")
        folder = home.rstrip("/") + "/.local/state"
    return f"{folder}/eidos/snapshots"


def remember(snapshot: Snapshot, environ: Mapping[str, str]) -> None:
    """Keep a snapshot, and remove the oldest of its node above :data:`MAXIMUM_SNAPSHOTS`. Raises Unavailable when that is not possible."""
    from eidos.formats import to_yaml

    folder = _node_folder(snapshot.node, environ)
    try:
        root = history_folder(environ)
        os.makedirs(os.path.dirname(os.path.dirname(root)), 0o700, exist_ok=True)
        for path in (os.path.dirname(root), root, folder):
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
    except OSError as fault:
        raise Unwritable(folder, os_error_reason(fault), "set XDG_STATE_HOME to a folder that you can write to") from fault
    digits = "".join(char for char in snapshot.timestamp if char.isalnum())
    write_file(os.path.join(folder, f"{digits}{_EXTENSION}"), to_yaml(snapshot.to_tree()).encode(), 0o600)
    for name in _names(folder)[MAXIMUM_SNAPSHOTS:]:
        try:
            os.unlink(os.path.join(folder, name))
        except OSError as fault:  # another run removed it
            log.debug(f"cannot remove {name}: {os_error_reason(fault)}")


def load_last(node: str, environ: Mapping[str, str]) -> tuple[Snapshot, str]:
    """The snapshot of a node that was remembered last, and its path; a damaged one is passed over. NotFound when there is none."""
    from eidos.workflow import parse_snapshot

    folder = _node_folder(node, environ)
    for name in _names(folder):
        path = os.path.join(folder, name)
        try:
            with open(path, "rb") as file:
                snapshot = parse_snapshot(file.read(), path)
        except (OSError, InvalidData) as fault:
            log.warn(f"passing over a remembered snapshot: {fault.message if isinstance(fault, EidosError) else f'{path}: {fault}'}")
            continue
        if snapshot.node == node:
            return snapshot, path
    raise NotFound(f"no remembered snapshot of {node or 'this node'} in {folder}", _HINT)


def require_any(environ: Mapping[str, str]) -> None:
    """Raise NotFound when no snapshot of any node is remembered."""
    folder = history_folder(environ)
    try:
        has_any = bool(os.listdir(folder))
    except OSError:
        has_any = False
    if not has_any:
        raise NotFound(f"no remembered snapshots in {folder}", _HINT)


def _node_folder(node: str, environ: Mapping[str, str]) -> str:
    return os.path.join(history_folder(environ), assign_file_names([node], ())[node])


def _names(folder: str) -> list[str]:
    """The files of a node's snapshots, the newest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as fault:
        raise Unavailable(f"{folder}: {os_error_reason(fault)}") from fault
    return sorted((name for name in names if name.endswith(_EXTENSION) and not name.startswith(".")), reverse=True)
