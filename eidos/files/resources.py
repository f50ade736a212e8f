"""The data that eidos carries: recipes and templates, and what this build of it is.

Knows where data lies in the archive, in an installed package and in a checkout; must not know what the data means.

A path is relative to the project, with slashes: ``recipes/catalog.yaml``. In the archive and in an installed package it lies
below ``eidos/_data/``; in the archive it lies there once more as a few JSON files, because reading YAML takes far longer.
"""

from __future__ import annotations

import errno
import os

from eidos.errors import NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.abc import FileLoader
    from typing import Any

    __loader__: FileLoader

#: The recipes in the archive: path below ``recipes/`` → tree.
RECIPES_JSON = "recipes.json"

#: What is known of the values of charts lies below ``recipes/`` here.
VALUES = "values/"

#: The same in the archive: path below ``recipes/values/``, without its ending → tree.
VALUES_JSON = "values.json"

#: The templates of bundles in the archive: path below ``templates/bundles/`` → text, or the documents of what is data.
TEMPLATES_JSON = "templates.json"

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CARRIED = os.path.join(_PACKAGE, "_data")
_CHECKOUT = os.path.dirname(_PACKAGE)

#: What VALUES_JSON holds, once somebody has asked; None where there is none.
_values: list[dict[str, object] | None] = []

#: What :func:`template_tree` gives, as JSON, once somebody wanted it kept.
_templates: list[str] = []


def commit() -> str:
    """The commit this was built from, with ``-dirty`` when the tree differed from it; ``unknown`` outside the archive."""
    try:
        from eidos import _build
    except ImportError:
        return "unknown"
    return str(_build.COMMIT)


def data_digest() -> str:
    """SHA-256 of the recipe data, in hexadecimal, the same in the archive and in the checkout it was built from.

    It is the digest of the lines that ``sha256sum`` prints for the files below ``recipes/``, sorted by path, so anyone can
    check it: ``cd recipes && find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum``.
    """
    try:
        from eidos import _build
    except ImportError:
        import hashlib

        lines = [f"{hashlib.sha256(read_bytes(f'recipes/{name}')).hexdigest()}  {name}\n" for name in _recipe_names()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    return str(_build.DATA_DIGEST)


def read_text(path: str) -> str:
    """The text of a data file. Raises NotFound when there is none of that name, Unavailable when it cannot be read.

    >>> read_text("recipes/catalog.yaml").partition(" ")[0]
    '#'
    """
    return read_bytes(path).decode()


def read_bytes(path: str) -> bytes:
    """The content of a data file; fails as :func:`read_text` does."""
    parts = path.split("/")
    if not {"", ".", ".."}.intersection(parts):
        for place in (_CARRIED, _CHECKOUT):
            try:
                return _read(os.path.join(place, *parts))
            except OSError as fault:
                if fault.errno not in (0, None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):  # zipimport's error has no number
                    raise Unavailable(f"data file {path}: {(fault.strerror or str(fault)).lower()}") from fault
    raise NotFound(f"eidos carries no data file {path!r}")


def recipe_tree() -> dict[str, object]:
    """All recipe documents: path below ``recipes/`` → tree. Raises InvalidData when one is not well-formed, Unavailable without any.

    >>> "catalog.yaml" in recipe_tree()
    True
    """
    try:
        text = _read(os.path.join(_CARRIED, RECIPES_JSON))
    except OSError:
        from eidos.formats import from_text

        found = [name for name in _recipe_names() if name.endswith(".yaml") and not name.startswith(VALUES)]
        if not found:
            raise Unavailable("the recipes that eidos carries cannot be read", f"is {_CHECKOUT} still whole and where it was?") from None
        return {name: from_text(read_bytes(f"recipes/{name}"), f"recipes/{name}") for name in found}
    return _parsed(text.decode())


def values_tree(path: str) -> object:
    """The tree of ``recipes/values/<path>.yaml``; None when there is no such file. Raises InvalidData when it is not well-formed."""
    if not _values:
        try:
            _values.append(_parsed(_read(os.path.join(_CARRIED, VALUES_JSON)).decode()))
        except OSError:
            _values.append(None)
    trees = _values[0]
    if trees is not None:
        return trees.get(path)
    from eidos.formats import from_text

    name = f"recipes/{VALUES}{path}.yaml"
    try:
        return from_text(read_bytes(name), name)
    except NotFound:
        return None


def keep() -> None:
    """Read now what is otherwise read when it is needed: for a process that outlives the file that it came from."""
    import json

    values_tree("")
    if not _templates:
        _templates.append(json.dumps(template_tree()))


def template_tree() -> dict[str, Any]:
    """All templates of bundles: path below ``templates/bundles/`` → text; in the archive, documents, or {"pieces": a text taken apart}."""
    if _templates:
        return _parsed(_templates[0])
    try:
        carried: dict[str, Any] = _parsed(_read(os.path.join(_CARRIED, TEMPLATES_JSON)).decode())
        return carried
    except OSError:
        folder = os.path.join(_CARRIED, "templates", "bundles")
        folder = folder if os.path.isdir(folder) else os.path.join(_CHECKOUT, "templates", "bundles")
        return {name: read_text(f"templates/bundles/{name}") for name, _ in files(folder)}


def files(folder: str) -> Iterator[tuple[str, str]]:
    """Path below ``folder`` and path on disk of each regular file in it, sorted, without hidden files and caches."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in names:
            if not name.startswith(".") and not name.endswith(("~", ".pyc")):
                path = os.path.join(place, name)
                found.append((os.path.relpath(path, folder).replace(os.sep, "/"), path))
    return iter(sorted(found))


class _Plain:
    """How numbers and mappings are made: as ``json.loads`` makes them. The C scanner reads these names."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _parsed(text: str) -> dict[str, Any]:
    """``json.loads`` for a document of our own, by its scanner alone: the rest of ``json`` imports ``re``, which takes longer than this."""
    try:
        make_scanner = __import__("_json").make_scanner
    except (ImportError, AttributeError):  # an interpreter without that extension
        import json

        trees: dict[str, Any] = json.loads(text)
    else:
        trees, _ = make_scanner(_Plain)(text, 0)
    return trees


def _recipe_names() -> list[str]:
    carried = os.path.join(_CARRIED, "recipes")
    return [name for name, _ in files(carried if os.path.isdir(carried) else os.path.join(_CHECKOUT, "recipes"))]


def _read(path: str) -> bytes:
    # Every loader of files has get_data: of a checkout, of a zip, of the archive's bytecode.
    content: bytes = __loader__.get_data(path)
    return content
