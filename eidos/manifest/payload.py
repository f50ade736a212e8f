"""The program's own file, without what a node does not need, so that it fits into a ConfigMap.

Knows what the archive is made of (``build_zipapp.py``); must not know manifests. Bytecode is left out, and the source runs: the result
is, byte for byte, what ``build_zipapp.py --bytecode none`` writes.
"""

from __future__ import annotations

import sys

from eidos.errors import InvalidInput, NotFound, Unavailable

#: Bytes that a ConfigMap may hold, keys included (Kubernetes documentation, "ConfigMaps": 1 MiB), with room for the key.
LIMIT = (1 << 20) - 4096

#: Names in the archive that make it the program, and that of its bytecode.
_MARK, _BYTECODE, _FIRST = "eidos/archive/packs.py", "bytecode/", "__main__.pyc"

_BUILD = "build it with 'python3 build_zipapp.py --bytecode none -o dist/eidos-slim.pyz', and name it with --program"


def running_program() -> str:
    """The path of the file that is running; InvalidInput where there is none, in a checkout or an installed package."""
    path = getattr(getattr(sys.modules["__main__"], "__loader__", None), "archive", None)
    if not path:
        raise InvalidInput("a ConfigMap carries the program as one file, and this runs from a folder", _BUILD)
    return str(path)


def read_slim_program(path: str) -> bytes:
    """The bytes of the program at ``path`` without bytecode.

    Raises NotFound, Unavailable, or InvalidInput for what is not this program, or is too large for a ConfigMap.
    """
    import io
    import zipfile
    import zlib

    try:
        with open(path, "rb") as file:
            content = file.read((64 << 20) + 1)
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: there is no such file", _BUILD) from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {(fault.strerror or str(fault)).lower()}") from fault
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if _MARK not in names:
                raise InvalidInput(f"{path} is a zip file, and not one of eidos", _BUILD)
            if any(name == _FIRST or name.startswith(_BYTECODE) for name in names):
                content = _strip_bytecode(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as fault:  # a damaged one raises any of them
        raise InvalidInput(f"{path} is not eidos: {fault}", _BUILD) from fault
    if len(content) > LIMIT:
        hint = "put it onto the nodes, or into an image: --delivery hostpath, --delivery image"
        raise InvalidInput(f"{path} has {len(content):,} bytes without its bytecode, and a ConfigMap holds {LIMIT:,}", hint)
    return content


def _strip_bytecode(archive: object) -> bytes:
    """The archive without bytecode: as ``build_zipapp.archive`` writes it."""
    import io
    import zipfile

    assert isinstance(archive, zipfile.ZipFile)
    file = io.BytesIO()
    file.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(file, "w") as target:
        for info in archive.infolist():
            if info.filename != _FIRST and not info.filename.startswith(_BYTECODE):
                data = archive.read(info)
                plain = zipfile.ZipInfo(info.filename, info.date_time)
                plain.create_system, plain.external_attr = info.create_system, info.external_attr
                target.writestr(plain, data, info.compress_type, 9)
    return file.getvalue()
