"""Package data: recipes and templates, and which build this is.

Knows where the data is in the archive, in an installed package and in a checkout; must not know what the data means.

A path is relative to the project, with slashes: ``templates/fleet.yaml``. In the archive and in an installed package it is
below ``eidos/_data/``; the archive has recipes as a few JSON files there, because reading YAML takes far longer.
"""

from __future__ import annotations

import errno
import os
import sys

from eidos.errors import NotFound, Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.abc import FileLoader
    from typing import Any

    __loader__: FileLoader

#: The recipes in the archive, as :class:`RecipeParts` reads them.
RECIPES_PARTS = "recipes.parts"

#: The folders below ``recipes/`` with the values of charts, and with their images.
VALUES_FOLDER, IMAGES_FOLDER = "values/", "images/"

#: The values and images of charts in the archive, in the same form, by path, as :func:`load_chart_values` takes it.
VALUES_PARTS = "values.parts"

#: How many bytes of the parts are compressed together: a start decompresses what it parses, and little more.
CHUNK_BYTES = 1 << 15

#: The bundle templates in the archive: lists of path, content and how it is split, side by side because they compress each other; without
#: a path, a text that is in no file. Templates that are text lie only here; of data, the packs have the text, for the lines in messages.
TEMPLATES_JSON = "templates.json"

#: Format → the software bill of materials in the archive.
SBOM_FILES = {"cyclonedx": "sbom/eidos.cdx.json", "spdx": "sbom/eidos.spdx.json"}

# An absolute path stays as it is: the archive is known under the path it was started with, such as /a/../eidos.pyz.
_PACKAGE = os.path.dirname(os.path.dirname(__file__ if os.path.isabs(__file__) else os.path.abspath(__file__)))
_PACKAGED = os.path.join(_PACKAGE, "_data")
_CHECKOUT = os.path.dirname(_PACKAGE)

#: The content of RECIPES_PARTS, cached by the first read; None where the archive lacks it.
_recipes_cache: list[RecipeParts | None] = []

#: The content of VALUES_PARTS, cached by the first read; None where the archive lacks it.
_values_cache: list[RecipeParts | None] = []

#: The result of :func:`load_bundle_templates`, as JSON, once :func:`preload` was called.
_templates_cache: list[str] = []

#: Path → content of other files that :func:`preload` has read.
_files_cache: dict[str, bytes] = {}


def build_commit() -> str:
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
        return digest_of_files({name: read_bytes(f"recipes/{name}") for name in _list_recipe_files()})
    return str(_build.DATA_DIGEST)


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 of the lines that ``sha256sum`` prints for files, sorted by path."""
    import hashlib

    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_of_folder(folder: str) -> str:
    """The digest of the files in a folder. Raises Unavailable when one cannot be read."""
    contents = {}
    try:
        for name, path in walk_files(folder):
            with open(path, "rb") as file:
                contents[name] = file.read()
    except OSError as fault:
        raise Unavailable(f"{folder}: {os_error_reason(fault)}") from fault
    return digest_of_files(contents)


def read_text(path: str) -> str:
    """The text of a data file. Raises NotFound when it does not exist, Unavailable when it cannot be read.

    >>> read_text("recipes/catalog.yaml").partition(" ")[0]
    '#'
    """
    return read_bytes(path).decode()


def read_bytes(path: str) -> bytes:
    """The content of a data file; fails as :func:`read_text` does."""
    if path in _files_cache:
        return _files_cache[path]
    parts = path.split("/")
    if not {"", ".", ".."}.intersection(parts):
        for root in (_PACKAGED, _CHECKOUT):
            try:
                return _load(os.path.join(root, *parts))
            except OSError as fault:
                if fault.errno not in (0, None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):  # zipimport's error has no number
                    raise Unavailable(f"data file {path}: {os_error_reason(fault)}") from fault
    raise NotFound(f"no data file {path!r} in eidos")


class RecipeParts:
    """The recipes of the archive, or the values of charts, of which each part is decompressed and parsed when it is read.

    The content is a line with the size of all parts and the sizes of the zlib streams (RFC 1950) that follow: the index as JSON, then
    :data:`CHUNK_BYTES` of the parts in each.

    ``index`` says where they are: of each file (``files``) the first and the last position of its JSON, or ``{"list": […]}`` or
    ``{"map": {…}}`` of such; what else is in it is the packer's.
    """

    def __init__(self, content: bytes) -> None:
        start = content.index(b"\n") + 1
        self.parsed_bytes, self.size, *lengths = 0, *map(int, content[:start].split())
        self._streams: list[bytes] = []
        for length in lengths:
            self._streams.append(content[start : start + length])
            start += length
        self._chunks: dict[int, bytes] = {}
        self.index: dict[str, Any] = _parse_json(self._chunk(0).decode())

    def read(self, span: Any) -> Any:
        """The tree at a place, which belongs to the caller."""
        if isinstance(span, list):
            start, end = span
            self.parsed_bytes += end - start
            first, last = start // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
            chunks = b"".join(map(self._chunk, range(first + 1, last + 2)))
            return _parse_json(chunks[start - first * CHUNK_BYTES : end - first * CHUNK_BYTES].decode())
        if "list" in span:
            return [self.read(each) for each in span["list"]]
        return {key: self.read(each) for key, each in span["map"].items()}

    def _chunk(self, number: int) -> bytes:
        if number not in self._chunks:
            self._chunks[number] = __import__("zlib").decompress(self._streams[number])
        return self._chunks[number]


def recipe_parts() -> RecipeParts | None:
    """The recipes of the archive; None elsewhere."""
    if not _recipes_cache:
        try:
            _recipes_cache.append(RecipeParts(_load_data(RECIPES_PARTS)))
        except OSError:
            _recipes_cache.append(None)
    return _recipes_cache[0]


def load_recipes() -> dict[str, object]:
    """All recipe documents: path below ``recipes/`` → tree. Raises InvalidData when one is malformed, Unavailable when there are none.

    >>> "catalog.yaml" in load_recipes()
    True
    """
    parts = recipe_parts()
    if parts is not None:
        return {path: parts.read(span) for path, span in parts.index["files"].items()}
    from eidos.formats import from_text

    names = [name for name in _list_recipe_files() if name.endswith(".yaml") and not name.startswith((VALUES_FOLDER, IMAGES_FOLDER))]
    if not names:
        raise Unavailable("cannot read the built-in recipes", f"check that {_CHECKOUT} is complete and was not moved")
    return {name: from_text(read_bytes(f"recipes/{name}"), f"recipes/{name}") for name in names}


def load_recipe_file(name: str) -> object:
    """One recipe document; None if the file does not exist. Raises InvalidData if it is malformed, Unavailable if no recipe can be read."""
    parts = recipe_parts()
    if parts is not None:
        return parts.read(parts.index["files"][name]) if name in parts.index["files"] else None
    from eidos.formats import from_text

    try:
        return from_text(read_bytes(f"recipes/{name}"), f"recipes/{name}")
    except NotFound:
        return load_recipes().get(name)  # which fails where there are none at all


def load_chart_values(path: str) -> object:
    """The tree of ``recipes/values/<path>.yaml``, or of ``recipes/images/<component>.yaml`` for the path ``images/<component>``.

    None if the file does not exist. Raises InvalidData if it is malformed.
    """
    if not _values_cache:
        try:
            _values_cache.append(RecipeParts(_load_data(VALUES_PARTS)))
        except OSError:
            _values_cache.append(None)
    parts = _values_cache[0]
    if parts is not None:
        span = parts.index["files"].get(path)
        return None if span is None else parts.read(span)
    from eidos.formats import from_text

    name = f"recipes/{'' if path.startswith(IMAGES_FOLDER) else VALUES_FOLDER}{path}.yaml"
    try:
        return from_text(read_bytes(name), name)
    except NotFound:
        return None


def chart_values_files() -> list[str]:
    """Paths below ``recipes/`` of the files that :func:`load_chart_values` reads; in a checkout, of all files beside them too."""
    load_chart_values("")
    parts = _values_cache[0]
    if parts is None:
        return [name for name in _list_recipe_files() if name.startswith((VALUES_FOLDER, IMAGES_FOLDER))]
    return [f"{'' if path.startswith(IMAGES_FOLDER) else VALUES_FOLDER}{path}.yaml" for path in parts.index["files"]]


def preload(paths: Iterable[str] = ()) -> None:
    """Read now what is otherwise read on demand, and the files at ``paths``: for a process that outlives the file it was started from."""
    import json

    getattr(__loader__, "read_ahead", lambda: None)()
    load_chart_values("")
    if not _templates_cache:
        _templates_cache.append(json.dumps(load_bundle_templates()))
    _files_cache.update({path: read_bytes(path) for path in paths})


def load_bundle_templates() -> dict[str, Any]:
    """All bundle templates: ``files`` maps the path below ``templates/bundles/`` to its text.

    In the archive YAML comes as a list of documents, and ``splits`` has what :func:`eidos.templates.template_syntax.split_text` returns
    for each text with placeholders; elsewhere it is empty.
    """
    if _templates_cache:
        cached: dict[str, Any] = _parse_json(_templates_cache[0])
        return cached
    try:
        entries: list[Any] = _parse_json(_load_data(TEMPLATES_JSON).decode())
        files = {name: content for name, content, _ in entries if name}
        return {"files": files, "splits": {content: split for _, content, split in entries if split}}
    except OSError:
        folder = os.path.join(_PACKAGED, "templates", "bundles")
        folder = folder if os.path.isdir(folder) else os.path.join(_CHECKOUT, "templates", "bundles")
        return {"files": {name: read_text(f"templates/bundles/{name}") for name, _ in walk_files(folder)}, "splits": {}}


def list_deployers() -> list[str]:
    """The names of the folders below ``templates/deployers/``."""
    try:
        from eidos import _build
    except ImportError:
        return sorted({name.partition("/")[0] for name, _ in walk_files(os.path.join(_CHECKOUT, "templates", "deployers"))})
    return list(_build.DEPLOYERS)


def carried_packages() -> list[tuple[str, str, str]]:
    """Name, version and licence (SPDX) of each package in the archive besides eidos itself; elsewhere, where they are installed, none."""
    try:
        from eidos import _build
    except ImportError:
        return []
    return list(_build.PACKAGES)


def program_file() -> str | None:
    """The path of the one file that runs; None in a checkout and in an installed package."""
    path = getattr(getattr(sys.modules["__main__"], "__loader__", None), "archive", None)
    return str(path) if path else None


def license_text(name: str) -> str:
    """The licence of a package that the archive carries, or of ``eidos``. Raises NotFound where it is not."""
    try:
        return read_text(f"licenses/{name}.txt")
    except NotFound:
        if name != "eidos":
            raise
    return read_text("LICENSE")


def walk_files(folder: str) -> Iterator[tuple[str, str]]:
    """Path below ``folder`` and path on disk of each regular file in it, sorted, without hidden files and caches."""
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in names:
            if not name.startswith(".") and not name.endswith(("~", ".pyc")):
                path = os.path.join(parent, name)
                paths.append((os.path.relpath(path, folder).replace(os.sep, "/"), path))
    return iter(sorted(paths))


class _JsonContext:
    """What ``json.loads`` makes numbers and mappings with; the C scanner reads these attributes."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _parse_json(text: str) -> Any:
    """``json.loads`` for a document of our own, by its C scanner alone: ``json`` imports ``re``, which takes longer than this."""
    try:
        make_scanner = __import__("_json").make_scanner
    except (ImportError, AttributeError):  # an interpreter without that extension
        import json

        trees = json.loads(text)
    else:
        trees, _ = make_scanner(_JsonContext)(text, 0)
    return trees


def _list_recipe_files() -> list[str]:
    folder = os.path.join(_PACKAGED, "recipes")
    return [name for name, _ in walk_files(folder if os.path.isdir(folder) else os.path.join(_CHECKOUT, "recipes"))]


def _load_data(name: str) -> bytes:
    return _load(os.path.join(_PACKAGED, name))


def _load(path: str) -> bytes:
    # Every loader has get_data: that of a checkout, of a zip, of the archive's bytecode.
    content: bytes = __loader__.get_data(path)
    return content
