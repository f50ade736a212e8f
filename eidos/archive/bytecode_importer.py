"""Imports the program's modules from one block of bytecode inside the archive.

Knows the block's format and the import protocol; must not know which modules there are, nor what they do. A folder of ``.pyc``
files per interpreter would work with the standard ``zipimport``, and cost more than a third of an empty start: each file is an
entry of the zip directory, which every start reads completely, and each import opens the archive again.

The block of one interpreter, written by ``build_zipapp.py`` and loaded by the archive's ``__main__.py``, are two files. The first::

    magic number of the interpreter's bytecode      4 bytes
    length, then marshalled code of this module     4 bytes little-endian, …
    marshalled index

The index maps a module's name to a tuple: whether it is a package, then offset and length of its code in the second file, whose name has
:data:`CODES` added, and the length of the marshalled code. If that is larger, the code is compressed with zlib (RFC 1950). For modules that
are imported together it is a marshalled mapping of their names to their code. The file is more than a megabyte, so only what is imported is
read, from the archive that was opened at the start: another that takes its place meanwhile makes no difference. The source lies
beside the block in packs (``eidos/archive/packs.py``): an interpreter without a block runs it, as all do the few modules that are in no
block, and tracebacks show it.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import FileLoader, Loader
    from types import CodeType, ModuleType
    from zipimport import zipimporter

    from eidos.archive.packs import ArchiveFiles

    Archive = zipimporter | FileLoader
    Entry = tuple[bool, int, int, int]
else:
    Loader = object  # importing importlib.abc takes time at every start


#: What is added to a block's name for that of its second file.
CODES = ".codes"


def install(block: bytes, index_offset: int, name: str, archive: Archive, root: str) -> None:
    """Import from the ``block`` called ``name`` before anything else; ``archive`` reads other files below ``root``."""
    index = marshal.loads(block[index_offset:])
    sys.meta_path.insert(0, BytecodeImporter(f"{name}{CODES}", index, archive, root))


class BytecodeImporter(Loader):
    """Finder and loader of the modules in one block: a MetaPathFinder and a Loader as importlib.abc describes them."""

    def __init__(self, codes: str, index: dict[str, Entry], archive: Archive, root: str) -> None:
        self._codes, self._index = codes, index
        self._archive, self._root = archive, root
        self._files: ArchiveFiles | None = None
        self._content: bytes | None = None
        self._groups: dict[int, dict[str, CodeType]] = {}
        try:
            self._fd, self._start = _open_stored_file(archive, codes)
        except (AttributeError, KeyError, OSError, ValueError):  # extracted, or zipimport differs here
            self.read_ahead()

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
        module.__file__ = module.__spec__.origin if module.__spec__ else self.get_filename(module.__name__)
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """The code of the module ``name``. Raises ImportError when it is not in the block."""
        _, offset, length, size = self._entry(name)
        if offset not in self._groups:
            data = os.pread(self._fd, length, self._start + offset) if self._content is None else self._content[offset : offset + length]
            if len(data) < length:
                raise ImportError(f"{self._root} was cut off while it ran", name=name)
            if length < size:
                data = __import__("zlib").decompress(data, 15, size)
            codes: dict[str, CodeType] | CodeType = marshal.loads(data)
            if not isinstance(codes, dict):
                return codes
            self._groups[offset] = codes
        return self._groups[offset][name]

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

    def read_ahead(self) -> None:
        """Read the code of all modules now: for a process that outlives what it was started from."""
        self._content = self._archive.get_data(self._root + self._codes)

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


def _open_stored_file(archive: Archive, name: str) -> tuple[int, int]:
    """A descriptor of the zip file, and where in it the content of the file ``name`` begins, which is not compressed.

    Raises AttributeError, KeyError, OSError or ValueError if the archive is not a zip file, or zipimport has no directory of it.
    """
    path = getattr(archive, "archive")  # noqa: B009 - no loader of files has it
    _, compression, _, _, offset, *_ = sys.modules["zipimport"]._zip_directory_cache[path][name]
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    header = os.pread(fd, 30, offset)  # APPNOTE.TXT, 4.3.7: the lengths of name and extra field are the last two numbers
    if compression or header[:4] != b"PK\x03\x04":
        os.close(fd)
        raise ValueError(name)
    return fd, offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
