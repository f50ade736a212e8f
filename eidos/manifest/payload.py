"""The program's own file without bytecode, so that it fits into a ConfigMap.

Knows the entries of the archive (``build_zipapp.py``); must not know manifests. The result is, byte for byte, what
``build_zipapp.py --bytecode none`` writes.
"""

from __future__ import annotations

import sys

from eidos.errors import InvalidInput, NotFound, Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import zipfile

#: Bytes that a ConfigMap may hold (Kubernetes documentation, "ConfigMaps": 1 MiB), less the key and its metadata.
MAX_CONFIGMAP_BYTES = (1 << 20) - 4096

#: The entry that tells this program from other zip files, and the entries that are bytecode.
_MARKER, _BYTECODE_FOLDER, _MAIN_BYTECODE = "eidos/archive/packs.py", "bytecode/", "__main__.pyc"

_BUILD = "build it with 'python3 build_zipapp.py --bytecode none -o dist/eidos-slim.pyz', then pass --program dist/eidos-slim.pyz"


def running_program() -> str:
    """The path of the running file. Raises InvalidInput in a checkout or an installed package."""
    path = getattr(getattr(sys.modules["__main__"], "__loader__", None), "archive", None)
    if not path:
        raise InvalidInput("cannot put the program into a ConfigMap: eidos runs from a folder, not from one file", _BUILD)
    return str(path)


def read_slim_program(path: str) -> bytes:
    """The bytes of the program at ``path`` without bytecode.

    Raises NotFound, Unavailable, or InvalidInput for a file that is another program, or too large for a ConfigMap.
    """
    import io
    import zipfile
    import zlib

    try:
        with open(path, "rb") as file:
            content = file.read((64 << 20) + 1)
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such file", _BUILD) from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}") from fault
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if _MARKER not in names:
                raise InvalidInput(f"{path} is a zip file, but not eidos", _BUILD)
            if any(name == _MAIN_BYTECODE or name.startswith(_BYTECODE_FOLDER) for name in names):
                content = _strip_bytecode(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as fault:  # of a damaged archive
        raise InvalidInput(f"{path} is not eidos: {fault}", _BUILD) from fault
    if len(content) > MAX_CONFIGMAP_BYTES:
        hint = "install it on the nodes (--delivery hostpath) or in an image (--delivery image)"
        raise InvalidInput(
            f"{path} has {len(content):,} bytes without its bytecode; a ConfigMap holds at most {MAX_CONFIGMAP_BYTES:,}", hint
        )
    return content


def _strip_bytecode(archive: zipfile.ZipFile) -> bytes:
    """The archive without bytecode, as ``eidos.build.zipapp_builder.zip_archive`` writes it."""
    import io
    import zipfile

    file = io.BytesIO()
    file.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(file, "w") as target:
        for info in archive.infolist():
            if info.filename != _MAIN_BYTECODE and not info.filename.startswith(_BYTECODE_FOLDER):
                data = archive.read(info)
                plain = zipfile.ZipInfo(info.filename, info.date_time)
                plain.create_system, plain.external_attr = info.create_system, info.external_attr
                target.writestr(plain, data, info.compress_type, 9)
    return file.getvalue()
