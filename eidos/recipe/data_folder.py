"""Recipes on a disk: which files of a folder are recipes, and their bytes.

Knows what a folder may hold beside recipes and what may fail on a disk; must not know what is in a recipe. Links are followed, because
Kubernetes lays out a mounted ConfigMap with them; a circle of them is refused, and so is everything that could block a reader or fill
its memory.
"""

from __future__ import annotations

import os
import stat

from eidos.errors import InvalidData, NotFound, Unavailable, os_error_reason
from eidos.files import read_named_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: The largest file of recipes that is read, in bytes, and how much all of a folder may hold.
LIMIT = 8 << 20
TOTAL = 32 << 20

#: Files and folders in one folder of recipes.
MAXIMUM_FILES = 10_000

#: Levels of folders.
DEPTH = 20

#: The files that recipes are made of, and the folders of more of them.
FILES = ("base.yaml", "catalog.yaml", "components.yaml", "rules.yaml", "machines.yaml", "comparisons.yaml", "sources.yaml", "releases.yaml")
FOLDERS = ("overlays/", "values/", "images/", "checks/")

#: Files beside them that only plans of bundles read, and those shipped alone.
PLAN_FILES = ("installations.yaml", "charts.yaml")

#: How their names end.
ENDINGS = (".yaml", ".yml", ".json")


def read_folder(path: str) -> dict[str, bytes]:
    """Contents of the recipe files below a folder, by path from it; others, and hidden ones, are passed over.

    Raises NotFound when none of them is one that eidos reads, Unavailable for what cannot be read, and InvalidData for names that
    are no text, for two names of one file, for what is no file, and for more than recipes can be.
    """
    contents: dict[str, bytes] = {}
    names: dict[str, str] = {}
    for name in sorted(_files(path, "", [0], DEPTH)):
        full = os.path.join(path, name)
        other = names.setdefault(canonical(name), name)
        if other != name:
            raise InvalidData(f"{full}: {other} has the same name with another suffix", "remove one of the two")
        contents[name] = read_file(full)
        if sum(map(len, contents.values())) > TOTAL:
            raise InvalidData(f"{path}: recipe files exceed {TOTAL >> 20} MiB", "check that this is the right folder")
    if not any(is_recipe(name) for name in names):
        hint = f"recipe files are {', '.join(FILES)} and {', '.join(f'{folder}*.yaml' for folder in FOLDERS)}"
        raise NotFound(f"{path}: no recipe files in this folder", hint)
    return contents


def read_file(path: str) -> bytes:
    """The bytes of one file of recipes, at most one more than LIMIT, so that a reader sees it is too large.

    Raises NotFound or Unavailable with path and reason.
    """
    return read_named_file(path, LIMIT)


def canonical(name: str) -> str:
    """The name under which a file lies over a shipped one, whatever its format.

    >>> canonical("overlays/mine.json"), canonical("base.yml")
    ('overlays/mine.yaml', 'base.yaml')
    """
    return f"{name.rpartition('.')[0]}.yaml"


def is_recipe(name: str) -> bool:
    """Whether a file of this canonical name is read.

    >>> is_recipe("base.yaml"), is_recipe("overlays/a/b.yaml"), is_recipe("overlay/a.yaml")
    (True, True, False)
    """
    return name in FILES or name.startswith(FOLDERS)


def _files(root: str, below: str, counter: list[int], depth: int) -> Iterator[str]:
    """Paths from ``root`` of the files in ``root/below`` and further down; ``counter`` counts files and folders."""
    folder = os.path.join(root, below)
    if not depth:
        raise InvalidData(f"{folder}: nested too deeply", "check for a loop of symbolic links")
    try:
        entries = os.listdir(folder)
    except OSError as fault:
        raise _unavailable(folder, fault) from fault
    for entry in entries:
        # An editor's backups, and the folders behind a mounted ConfigMap, which begin with a dot.
        if entry.startswith((".", "__pycache__")) or entry.endswith("~"):
            continue
        name, full = os.path.join(below, entry), os.path.join(folder, entry)
        counter[0] += 1
        if counter[0] > MAXIMUM_FILES:
            raise InvalidData(f"{root}: more than {MAXIMUM_FILES:,} files", "check that this is the right folder")
        try:
            mode = os.stat(full).st_mode
        except OSError as fault:
            if not entry.endswith(ENDINGS):
                continue
            if isinstance(fault, FileNotFoundError):
                raise NotFound(f"{full}: broken symbolic link", "remove the link or repair it") from fault
            raise _unavailable(full, fault) from fault
        if stat.S_ISDIR(mode):
            yield from _files(root, name, counter, depth - 1)
        elif entry.endswith(ENDINGS):
            if not name.isascii() and "\\udc" in ascii(name):
                raise InvalidData(f"{full!a}: file name is not UTF-8", "rename the file")
            if not stat.S_ISREG(mode):
                raise InvalidData(f"{full}: expected a file: the name is that of a recipe file", "remove it")
            yield name


def _unavailable(path: str, fault: OSError) -> Unavailable:
    return Unavailable(f"{path}: {os_error_reason(fault)}")
