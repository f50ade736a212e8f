"""Imports the program's modules from one block of bytecode inside the archive.

Knows the block's form and the import protocol; must not know which modules there are, nor what they do. A folder of ``.pyc``
files per interpreter would do the same with the standard ``zipimport``, and cost more than a third of an empty start: each
file is an entry of the zip directory, which every start reads whole, and each import opens the archive again.

The block of one interpreter, built by ``build_zipapp.py`` and unpacked by the archive's ``__main__.py``::

    magic number of the interpreter's bytecode      4 bytes
    length, then marshalled code of this module     4 bytes little-endian, …
    length, then marshalled index                   4 bytes little-endian, …
    plain bodies                                    marshalled code of what every start needs
    packed bodies                                   the others, each compressed by zlib

The index is a dict: name → (file below the archive's root, offset among the bodies, length, whether packed); ``""`` stands for
all plain bodies together, which are also the dictionary (RFC 1950, FDICT) that the packed ones are compressed with. A package's
file ends in ``__init__.py``. The source lies beside the block: it is what an interpreter without a block runs, and what
tracebacks show.
"""

from __future__ import annotations

import marshal
import sys
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import Loader
    from types import CodeType, ModuleType
    from zipimport import zipimporter

    Entry = tuple[str, int, int, bool]
    Index = dict[str, Entry]
else:
    Loader = object  # importlib.abc is not for every start


def install(block: bytes, at: int, archive: zipimporter) -> None:
    """Import from ``block`` before anything else; ``at`` is where its index stands, ``archive`` reads its other files."""
    size = int.from_bytes(block[at : at + 4], "little")
    index = marshal.loads(block[at + 4 : at + 4 + size])
    sys.meta_path.insert(0, Importer(block, at + 4 + size, index, archive))


class Importer(Loader):
    """Finder and loader of the modules in one block: a MetaPathFinder and a Loader as importlib.abc describes them."""

    def __init__(self, block: bytes, bodies: int, index: Index, archive: zipimporter) -> None:
        self._block, self._bodies, self._index, self._archive = block, bodies, index, archive
        self._root = archive.archive + "/"

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Say how to load ``name``, or None when it is not in the block."""
        entry = self._index.get(name)
        if entry is None:
            return None
        file = self._root + entry[0]
        package = file.endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=file, is_package=package)
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(file[: -len("/__init__.py")])
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the making of the module to the import system."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code in its namespace."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """The code of the module ``name``; ImportError when it is not in the block."""
        _, offset, length, packed = self._entry(name)
        body = self._body(offset, length)
        if packed:
            from zlib import decompressobj  # a shared library: a start that needs no packed module does without it

            _, start, size, _ = self._entry("")
            body = decompressobj(zdict=self._body(start, size)).decompress(body)
        code: CodeType = marshal.loads(body)
        return code

    def get_source(self, name: str) -> str:
        """The text of the module ``name``, which lies beside the block."""
        return self.get_data(self._root + self._entry(name)[0]).decode()

    def get_data(self, path: str) -> bytes:
        """Any file of the archive by its whole path; OSError when there is none."""
        return self._archive.get_data(path)

    def is_package(self, name: str) -> bool:
        """Whether the module ``name`` is a package."""
        return self._entry(name)[0].endswith("/__init__.py")

    def _body(self, offset: int, length: int) -> bytes:
        return self._block[self._bodies + offset : self._bodies + offset + length]

    def _entry(self, name: str) -> Entry:
        try:
            return self._index[name]
        except KeyError:
            raise ImportError(f"{name} is not in the archive's bytecode", name=name) from None
