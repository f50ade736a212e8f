"""Files that lie together in packs inside the archive, and the import of modules from their source there.

Knows how a pack is written, which files lie in which, and the import protocol; must not know what any module or file is about.
Compressed one by one, the sources take a quarter more and the data half as much again, and the zip directory 150 bytes for each
file; so all but what every start reads lies in ``packs/``. A pack is a zlib stream (RFC 1950) of these::

    <length in bytes> <path below the archive's root>    a line for each file, sorted by path
                                                         an empty line
    contents                                             one after the other, nothing between them

To an interpreter that the archive has bytecode for this is where tracebacks get their lines from; any other imports from here,
and then the archive's ``__main__.py`` runs this file before there is a package that it could belong to: it imports nothing of
the program's.
"""

from __future__ import annotations

import sys
from importlib.util import spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.abc import FileLoader, Loader
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from zipimport import zipimporter

    Archive = zipimporter | FileLoader
else:
    Loader = object  # importlib.abc is not for every start

#: Files below this folder have a pack of their own; any other lies in the pack of its top-level package.
DATA = "eidos/_data/"


def install(archive: Archive, root: str) -> None:
    """Import modules from their source before anything else; ``archive`` reads files below ``root``."""
    sys.meta_path.insert(0, Sources(Files(archive, root)))


def pack_of(name: str) -> str:
    """The pack that a file lies in, as a path below the archive's root.

    >>> pack_of("eidos/cli/help.py"), pack_of("pynvml.py"), pack_of("eidos/_data/recipes/base.yaml")
    ('packs/eidos', 'packs/pynvml', 'packs/data')
    """
    return "packs/data" if name.startswith(DATA) else "packs/" + name.partition("/")[0].partition(".")[0]


def packed(files: Mapping[str, bytes]) -> bytes:
    """The pack of these files.

    >>> Pack(packed({"a/b.py": b"pass", "a/c.py": b""})).get("a/b.py")
    b'pass'
    """
    from zlib import compress

    names = sorted(files)
    lines = [f"{len(files[name])} {name}\n" for name in names]
    return compress("".join([*lines, "\n"]).encode() + b"".join(files[name] for name in names), 9)


def packs(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The packs that hold all these files."""
    parts: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        parts.setdefault(pack_of(name), {})[name] = content
    return {place: packed(part) for place, part in parts.items()}


class Pack:
    """A pack, unpacked."""

    def __init__(self, data: bytes) -> None:
        from zlib import decompress

        self._content = decompress(data)
        end = 1 + self._content.index(b"\n\n")
        self._places: dict[str, tuple[int, int]] = {}
        at = end + 1
        for line in self._content[:end].decode().splitlines():
            length, _, name = line.partition(" ")
            self._places[name] = at, at + int(length)
            at += int(length)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def get(self, name: str) -> bytes:
        """The content of a file; KeyError when it is not in here."""
        start, end = self._places[name]
        return self._content[start:end]


class Files:
    """All files of an archive: those that lie in it as they are, and those in packs. A pack is unpacked when first asked for.

    ``archive`` is the loader of its ``__main__``, whether that lies in a zip or in the folder it was unpacked into.
    """

    def __init__(self, archive: Archive, root: str) -> None:
        self._archive, self.root = archive, root
        self._packs: dict[str, Pack | None] = {}

    def get(self, path: str) -> bytes:
        """The content of the file with this whole path; OSError when there is none."""
        try:
            content: bytes = self._archive.get_data(path)
        except OSError:
            name = path[len(self.root) :]
            pack = self.pack(name) if path.startswith(self.root) else None
            if pack is None or name not in pack:
                raise
            return pack.get(name)
        return content

    def pack(self, name: str) -> Pack | None:
        """The pack that the file ``name`` would lie in."""
        place = pack_of(name)
        if place not in self._packs:
            try:
                self._packs[place] = Pack(self._archive.get_data(self.root + place))
            except OSError as fault:
                if fault.errno not in (None, 0, 2):  # zipimport's error has no number; 2 is ENOENT
                    raise
                self._packs[place] = None
        return self._packs[place]


class Sources(Loader):
    """Finder and loader of the modules in packs: a MetaPathFinder and a Loader as importlib.abc describes them."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Say how to load ``name``, or None when it is in no pack."""
        file = self._file(name)
        return spec_from_file_location(name, self._files.root + file, loader=self) if file else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the making of the module to the import system."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code in its namespace."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """The code of the module ``name``; ImportError when it is in no pack."""
        path = self.get_filename(name)
        code: CodeType = compile(self.get_data(path), path, "exec", dont_inherit=True)
        return code

    def get_source(self, name: str) -> str:
        """The text of the module ``name``."""
        return self.get_data(self.get_filename(name)).decode()

    def get_data(self, path: str) -> bytes:
        """Any file of the archive by its whole path; OSError when there is none."""
        return self._files.get(path)

    def get_filename(self, name: str) -> str:
        """The whole path of the module ``name``."""
        file = self._file(name)
        if file is None:
            raise ImportError(f"{name} is not in the archive", name=name)
        return self._files.root + file

    def is_package(self, name: str) -> bool:
        """Whether the module ``name`` is a package."""
        return self.get_filename(name).endswith("/__init__.py")

    def _file(self, name: str) -> str | None:
        base = name.replace(".", "/")
        pack = self._files.pack(base)
        found = [file for file in (f"{base}/__init__.py", f"{base}.py") if pack is not None and file in pack]
        return found[0] if found else None
