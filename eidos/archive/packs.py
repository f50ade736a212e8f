"""Reads files that lie together in packs inside the archive, and imports modules from their source there.

Knows the pack format, which pack holds which files, and the import protocol; must not know what any module or file is about.
Compressed one by one, the sources take a quarter more and the data half as much again, and each file 150 bytes of the zip
directory; so all but what every start reads lies in ``packs/``. A pack is a zlib stream (RFC 1950), or for code an xz stream, a
quarter smaller and slower to read, of::

    <length in bytes> <path below the archive's root>    a line for each file, sorted by path
                                                         an empty line
    contents                                             one after the other, nothing between them

An interpreter that the archive has bytecode for reads the lines of tracebacks here. Any other imports from here: the archive's
``__main__.py`` runs this file before the package ``eidos`` can be imported, so it must not import from it.
"""

from __future__ import annotations

import sys
from importlib.util import spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import FileLoader, Loader
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from zipimport import zipimporter

    Archive = zipimporter | FileLoader
else:
    Loader = object  # importing importlib.abc takes time at every start

#: Data lies in a pack for each folder and its folders, so that no start decompresses what another needs; code in one for each package.
DATA = "eidos/_data/"

#: Code of eidos that lies in a pack of its own, for ``eidos/archive/purposes.py`` to leave out: paths below ``eidos``, by the pack's name.
#: What ``eidos watch`` serves its metrics with is part of every file.
PARTS = {
    "server": (
        "bundle cli/bundle cli/bundle_arguments cli/serve oci server/access_log server/app server/handlers server/openapi "
        "server/parameters server/recipe_data server/request_document server/request_metrics server/routes server/static_content "
        "server/transport/supervisor"
    ),
    "full": (
        "bundle/attestation_writer bundle/evidence_archive bundle/template_lint check/check_lint cli/evidence cli/image cli/lint_report "
        "cli/mirror cli/pull cli/push cli/self_verify cli/sign cli/verify oci/image_push oci/program_image recipe/lint/references sign"
    ),
}
_PART_OF = {path: part for part, paths in PARTS.items() for path in paths.split()}

#: How an xz stream begins.
XZ = b"\xfd7zXZ\0"


def install(archive: Archive, root: str) -> None:
    """Import modules from their source before anything else; ``archive`` reads files below ``root``."""
    sys.meta_path.insert(0, SourceImporter(ArchiveFiles(archive, root)))


def pack_of(name: str) -> str:
    """The pack that holds the file ``name``, both as paths below the archive's root.

    >>> pack_of("eidos/cli/help.py"), pack_of("pynvml.py")
    ('packs/eidos', 'packs/pynvml')
    >>> pack_of("eidos/_data/templates/fleet.yaml"), pack_of("eidos/_data/templates/bundles/all/README.md")
    ('packs/templates', 'packs/templates-bundles')
    >>> pack_of("eidos/bundle/engine.py"), pack_of("eidos/bundle"), pack_of("eidos/server/transport/peer.py")
    ('packs/eidos-server', 'packs/eidos-server', 'packs/eidos')
    >>> pack_of("eidos/bundle/evidence_archive.py")
    'packs/eidos-full'
    """
    if name.startswith(DATA):
        return "packs/" + "-".join(name[len(DATA) :].split("/")[:-1][:2])
    package, *path = name.partition(".")[0].split("/")
    part = next((part for length in (3, 2, 1) if (part := _PART_OF.get("/".join(path[:length])))), "")
    return f"packs/{package}-{part}" if part and package == "eidos" else f"packs/{package}"


class Pack:
    r"""The files of one pack.

    >>> from zlib import compress
    >>> pack = Pack(compress(b"5 a/b.py\n0 a/c.py\n\npass\n"))
    >>> "a/c.py" in pack, pack.read_bytes("a/b.py")
    (True, b'pass\n')
    """

    def __init__(self, data: bytes) -> None:
        # Some builds of Python lack the module lzma; interpreters that the archive has bytecode for read hardly any code here.
        self._content: bytes = __import__("lzma" if data.startswith(XZ) else "zlib").decompress(data)
        end = 1 + self._content.index(b"\n\n")
        self._spans: dict[str, tuple[int, int]] = {}
        offset = end + 1
        for line in self._content[:end].decode().splitlines():
            length, _, name = line.partition(" ")
            self._spans[name] = offset, offset + int(length)
            offset += int(length)

    def __contains__(self, name: str) -> bool:
        return name in self._spans

    def read_bytes(self, name: str) -> bytes:
        """The content of a file. Raises KeyError when the pack does not hold it."""
        start, end = self._spans[name]
        return self._content[start:end]


class ArchiveFiles:
    """All files of an archive: zip entries and files in packs. A pack is decompressed when a file of it is first read.

    ``archive`` is the loader of the archive's ``__main__``, in a zip or in the folder that it was extracted to.
    """

    def __init__(self, archive: Archive, root: str) -> None:
        self._archive, self.root = archive, root
        self._packs: dict[str, Pack | None] = {"packs/": None}  # that of data in no folder: CPython 3.14 reads a folder as empty

    def read_bytes(self, path: str) -> bytes:
        """The content of the file with this full path. Raises OSError when there is none."""
        try:
            content: bytes = self._archive.get_data(path)
        except OSError:
            name = path[len(self.root) :]
            pack = self.find_pack(name) if path.startswith(self.root) else None
            if pack is None or name not in pack:
                raise
            return pack.read_bytes(name)
        return content

    def find_pack(self, name: str) -> Pack | None:
        """The pack that would hold the file ``name``; None when the archive has no such pack."""
        path = pack_of(name)
        if path not in self._packs:
            try:
                self._packs[path] = Pack(self._archive.get_data(self.root + path))
            except OSError as fault:
                if fault.errno not in (None, 0, 2):  # zipimport's error has no number; 2 is ENOENT
                    raise
                self._packs[path] = None
        return self._packs[path]

    def lacks(self, name: str) -> bool:
        """Whether this archive was built without the pack that would hold the file ``name``."""
        try:
            self._archive.get_data(self.root + pack_of(name))
        except OSError:
            return True
        return False


class SourceImporter(Loader):
    """Finder and loader of the modules in packs: a MetaPathFinder and a Loader as importlib.abc describes them."""

    def __init__(self, files: ArchiveFiles) -> None:
        self._files = files

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """How to load ``name``; None when no pack holds it."""
        file = self._file(name)
        return spec_from_file_location(name, self._files.root + file, loader=self) if file else None

    def lacks(self, path: str) -> bool:
        """Whether the archive was built without the module or file at this path below its root, such as ``eidos/cli/serve``."""
        return self._files.lacks(path)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """None: the import system creates the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code in its namespace."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """The code of the module ``name``. Raises ImportError when no pack holds it."""
        path = self.get_filename(name)
        code: CodeType = compile(self.get_data(path), path, "exec", dont_inherit=True)
        return code

    def get_source(self, name: str) -> str:
        """The text of the module ``name``."""
        return self.get_data(self.get_filename(name)).decode()

    def get_data(self, path: str) -> bytes:
        """Any file of the archive by its full path. Raises OSError when there is none."""
        return self._files.read_bytes(path)

    def get_filename(self, name: str) -> str:
        """The full path of the source of the module ``name``."""
        file = self._file(name)
        if file is None:
            raise ImportError(f"{name} is not in the archive", name=name)
        return self._files.root + file

    def is_package(self, name: str) -> bool:
        """Whether the module ``name`` is a package."""
        return self.get_filename(name).endswith("/__init__.py")

    def _file(self, name: str) -> str | None:
        base = name.replace(".", "/")
        pack = self._files.find_pack(base)
        if pack is None:
            return None
        return next((file for file in (f"{base}/__init__.py", f"{base}.py") if file in pack), None)
