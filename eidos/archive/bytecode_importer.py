"""Imports the program's modules from one block of bytecode inside the archive.

Knows the block's form and the import protocol; must not know which modules there are, nor what they do. A folder of ``.pyc``
files per interpreter would do the same with the standard ``zipimport``, and cost more than a third of an empty start: each
file is an entry of the zip directory, which every start reads whole, and each import opens the archive again.

The block of one interpreter, built by ``build_zipapp.py`` and unpacked by the archive's ``__main__.py``::

    magic number of the interpreter's bytecode      4 bytes
    length, then marshalled code of this module     4 bytes little-endian, …
    length, then marshalled index                   4 bytes little-endian, …
    groups of modules                               marshalled code, one module's after the other's

The index is a pair: a dict, name → (whether it is a package, number of its group, offset in that, length), and a list with the
offset and length of each group. Group 0 is what every start needs. It is not compressed, and is the dictionary (RFC 1950, FDICT)
that zlib compresses the others with: one group for each folder of modules, those first that many others import, inflated as far as
the module that is asked for. The source lies beside the block in packs (``eidos/archive/packs.py``): it is what an interpreter without a
block runs, and what tracebacks show.
"""

from __future__ import annotations

import marshal
import sys
from _thread import allocate_lock
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import FileLoader, Loader
    from types import CodeType, ModuleType
    from typing import Any
    from zipimport import zipimporter

    from eidos.archive.packs import Files

    Archive = zipimporter | FileLoader
    Entry = tuple[bool, int, int, int]
    Index = tuple[dict[str, Entry], list[tuple[int, int]]]
else:
    Loader = object  # importlib.abc is not for every start


def install(block: bytes, at: int, archive: Archive, root: str) -> None:
    """Import from ``block`` before anything else; ``at`` is where its index stands, ``archive`` reads other files below ``root``."""
    size = int.from_bytes(block[at : at + 4], "little")
    index = marshal.loads(block[at + 4 : at + 4 + size])
    sys.meta_path.insert(0, Importer(block, at + 4 + size, index, archive, root))


class Importer(Loader):
    """Finder and loader of the modules in one block: a MetaPathFinder and a Loader as importlib.abc describes them."""

    def __init__(self, block: bytes, bodies: int, index: Index, archive: Archive, root: str) -> None:
        self._block, self._bodies, self._archive, self._root = block, bodies, archive, root
        self._index, self._places = index
        self._plain = block[bodies : bodies + self._places[0][1]]
        #: Of each group what was inflated, what is left to inflate, and how.
        self._groups: dict[int, tuple[bytes, bytes, Any]] = {}
        self._lock = allocate_lock()
        self._files: Files | None = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Say how to load ``name``, or None when it is not in the block."""
        if name not in self._index:
            return None
        file, package = self.get_filename(name), self._index[name][0]
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
        _, number, offset, length = self._entry(name)
        code: CodeType = marshal.loads(self._group(number, offset + length)[offset : offset + length])
        return code

    def get_source(self, name: str) -> str:
        """The text of the module ``name``, which lies in a pack beside the block."""
        return self.get_data(self.get_filename(name)).decode()

    def get_filename(self, name: str) -> str:
        """The whole path that the source of the module ``name`` has."""
        return self._root + name.replace(".", "/") + ("/__init__.py" if self._entry(name)[0] else ".py")

    def get_data(self, path: str) -> bytes:
        """Any file of the archive by its whole path; OSError when there is none."""
        try:
            content: bytes = self._archive.get_data(path)
        except OSError:  # not as it is
            if self._files is None:
                from eidos.archive.packs import Files

                self._files = Files(self._archive, self._root)
            return self._files.get(path)
        return content

    def is_package(self, name: str) -> bool:
        """Whether the module ``name`` is a package."""
        return self._entry(name)[0]

    def _group(self, number: int, end: int) -> bytes:
        """A group, as far as ``end`` at least."""
        if not number:
            return self._plain
        with self._lock:  # two threads may import at the same time
            if number not in self._groups:
                from zlib import decompressobj  # a shared library: a start that needs no packed module does without it

                offset, length = self._places[number]
                packed = self._block[self._bodies + offset : self._bodies + offset + length]
                self._groups[number] = (b"", packed, decompressobj(zdict=self._plain))
            body, packed, inflating = self._groups[number]
            if len(body) < end:
                body += inflating.decompress(packed, end - len(body))
                self._groups[number] = (body, inflating.unconsumed_tail, inflating)
            return body

    def _entry(self, name: str) -> Entry:
        try:
            return self._index[name]
        except KeyError:
            raise ImportError(f"{name} is not in the archive's bytecode", name=name) from None
