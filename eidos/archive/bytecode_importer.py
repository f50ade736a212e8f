"""Imports the program's modules from one block of bytecode inside the archive.

Knows the block's format and the import protocol; must not know which modules there are, nor what they do. A folder of ``.pyc``
files per interpreter would work with the standard ``zipimport``, and cost more than a third of an empty start: each file is an
entry of the zip directory, which every start reads completely, and each import opens the archive again.

The block of one interpreter, written by ``build_zipapp.py`` and loaded by the archive's ``__main__.py``::

    magic number of the interpreter's bytecode      4 bytes
    length, then marshalled code of this module     4 bytes little-endian, …
    length, then marshalled index                   4 bytes little-endian, …
    code of each module                             marshalled, then compressed with zlib (RFC 1950)

The index maps a module's name to a tuple: whether it is a package, then offset and length of its code. The source lies beside the
block in packs (``eidos/archive/packs.py``): an interpreter without a block runs it, as all do the few modules that are in no block, and
tracebacks show it.
"""

from __future__ import annotations

import marshal
import sys
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import FileLoader, Loader
    from types import CodeType, ModuleType
    from zipimport import zipimporter

    from eidos.archive.packs import ArchiveFiles

    Archive = zipimporter | FileLoader
    Entry = tuple[bool, int, int]
else:
    Loader = object  # importing importlib.abc takes time at every start


def install(block: bytes, index_offset: int, archive: Archive, root: str) -> None:
    """Import from ``block`` before anything else; ``archive`` reads other files below ``root``."""
    size = int.from_bytes(block[index_offset : index_offset + 4], "little")
    codes_offset = index_offset + 4 + size
    index = marshal.loads(block[index_offset + 4 : codes_offset])
    sys.meta_path.insert(0, BytecodeImporter(block, codes_offset, index, archive, root))


class BytecodeImporter(Loader):
    """Finder and loader of the modules in one block: a MetaPathFinder and a Loader as importlib.abc describes them."""

    def __init__(self, block: bytes, codes_offset: int, index: dict[str, Entry], archive: Archive, root: str) -> None:
        self._block, self._codes_offset, self._index = block, codes_offset, index
        self._archive, self._root = archive, root
        self._files: ArchiveFiles | None = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """How to load ``name``: from the block, or a module of ours that was not compiled from its source. None when neither has it."""
        if name not in self._index:
            return self._source_spec(name) if name.startswith("eidos.") else None
        file, is_package = self.get_filename(name), self._index[name][0]
        spec = ModuleSpec(name, self, origin=file, is_package=is_package)
        # Without has_location: the import system would work out where bytecode of that file could be cached.
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(file[: -len("/__init__.py")])
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """None: the import system creates the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code in its namespace."""
        module.__file__ = self.get_filename(module.__name__)
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """The code of the module ``name``. Raises ImportError when it is not in the block."""
        from zlib import decompress

        _, offset, length = self._entry(name)
        start = self._codes_offset + offset
        code: CodeType = marshal.loads(decompress(self._block[start : start + length]))
        return code

    def get_source(self, name: str) -> str:
        """The text of the module ``name``, which lies in a pack beside the block."""
        return self.get_data(self.get_filename(name)).decode()

    def get_filename(self, name: str) -> str:
        """The full path of the source of the module ``name``."""
        return self._root + name.replace(".", "/") + ("/__init__.py" if self._entry(name)[0] else ".py")

    def get_data(self, path: str) -> bytes:
        """Any file of the archive by its full path. Raises OSError when there is none."""
        try:
            content: bytes = self._archive.get_data(path)
        except OSError:  # it may be in a pack
            return self._packed_files().read_bytes(path)
        return content

    def is_package(self, name: str) -> bool:
        """Whether the module ``name`` is a package."""
        return self._entry(name)[0]

    def _packed_files(self) -> ArchiveFiles:
        if self._files is None:
            from eidos.archive.packs import ArchiveFiles

            self._files = ArchiveFiles(self._archive, self._root)
        return self._files

    def _source_spec(self, name: str) -> ModuleSpec | None:
        from eidos.archive.packs import SourceImporter

        return SourceImporter(self._packed_files()).find_spec(name)

    def _entry(self, name: str) -> Entry:
        try:
            return self._index[name]
        except KeyError:
            raise ImportError(f"{name} is not in the archive's bytecode", name=name) from None
