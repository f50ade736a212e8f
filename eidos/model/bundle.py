"""Files that deploy a recipe, and what became of each component.

Knows paths, contents, modes and durations; must not know how a file is made, nor where it is written.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Digests of every file of a folder but this one, in the form of ``sha256sum -c``.
CHECKSUMS = "checksums.txt"

#: Limits of a path in a bundle: characters, and folders that it goes through. Ours have some 60 and 4.
MAX_PATH_LENGTH, MAX_PATH_DEPTH = 1024, 32

SCRIPT, PLAIN = 0o755, 0o644


def file_mode(path: str) -> int:
    """The mode of a bundle's file: readable by all, and executable when it is a script."""
    return SCRIPT if path.endswith(".sh") else PLAIN


def is_inside(path: str) -> bool:
    r"""Whether a relative path stays below its folder, on any system, and is neither too long nor too deep.

    >>> [is_inside(path) for path in ("a/b", "/a", "a/../b", "a//b", "", "a\\b")]
    [True, False, False, False, False, False]
    """
    if len(path) > MAX_PATH_LENGTH or path.count("/") > MAX_PATH_DEPTH:
        return False
    return path.isprintable() and "\\" not in path and not set(path.split("/")) & {"", ".", ".."}


class ComponentResult(Record):
    """One component: its id, the paths of its files, their size, how long it took, and why it failed, if it did."""

    id: str
    files: tuple[str, ...] = ()
    bytes: int = 0
    milliseconds: float = 0.0
    error: str = ""
    hint: str = ""

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without the empty ones."""
        tree: dict[str, Any] = {"id": self.id, "files": list(self.files), "bytes": self.bytes, "milliseconds": self.milliseconds}
        return {**tree, **{name: text for name, text in (("error", self.error), ("hint", self.hint)) if text}}


class Bundle(Record):
    """``files`` maps each path to its content, in the order of paths; its mode is :func:`file_mode`'s.

    ``unmirrored`` is what comes from elsewhere although there is a mirror, ``missing_charts`` are those that a folder of charts lacks.
    """

    files: dict[str, bytes]
    components: tuple[ComponentResult, ...]
    milliseconds: float = 0.0
    warnings: tuple[str, ...] = ()
    unmirrored: tuple[str, ...] = ()
    missing_charts: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(map(len, self.files.values()))

    @property
    def errors(self) -> dict[str, str]:
        """Why each component failed that did, by id."""
        return {result.id: result.error for result in self.components if result.error}

    def to_tree(self) -> dict[str, Any]:
        """The report, as a plain tree."""
        tree: dict[str, Any] = {"files": len(self.files), "bytes": self.bytes, "milliseconds": self.milliseconds}
        tree["components"] = [result.to_tree() for result in self.components]
        for name in ("warnings", "unmirrored", "missing_charts"):
            if getattr(self, name):
                tree[name.replace("_", "-")] = list(getattr(self, name))
        return tree
