"""The program's own file as a ConfigMap carries it: for an agent or for a server, without what that does not run.

Knows how large a ConfigMap may be and where the running file is; must not know what the file for a purpose lacks:
``eidos/archive/purposes.py`` does. The result is, byte for byte, what ``build_zipapp.py --for agent`` (or ``server``) writes.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.files import read_named_file, resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes that a ConfigMap may hold (Kubernetes documentation, "ConfigMaps": 1 MiB), less the key and its metadata.
MAX_CONFIGMAP_BYTES = (1 << 20) - 4096

_BUILD = "build it with 'python3 build_zipapp.py', then pass --program dist/eidos.pyz"


def running_program() -> str:
    """The path of the running file. Raises InvalidInput in a checkout or an installed package."""
    path = resources.program_file()
    if path is None:
        raise InvalidInput("cannot put the program into a ConfigMap: eidos runs from a folder, not from one file", _BUILD)
    return path


def read_program(path: str, purpose: str, more: Mapping[str, bytes] = {}) -> bytes:
    """The bytes of the program at ``path`` for a purpose of :mod:`eidos.archive.purposes`, with ``more`` entries, such as plug-ins.

    Raises NotFound, Unavailable, or InvalidInput for a file that is another program, that lacks what the purpose needs, or that is too
    large for a ConfigMap.
    """
    import zipfile
    import zlib

    from eidos.archive.purposes import add_entries, select_entries

    try:
        content = select_entries(read_named_file(path, 64 << 20, hint=_BUILD), purpose)
        content = add_entries(content, more) if more else content
    except InvalidInput as fault:
        raise InvalidInput(f"{path}: {fault.message}", _BUILD) from fault
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as fault:  # of a damaged archive
        raise InvalidInput(f"{path} is not eidos: {fault}", _BUILD) from fault
    if len(content) > MAX_CONFIGMAP_BYTES and more:
        message = f"--plugin: with plug-ins, the program has {len(content):,} bytes; a ConfigMap holds at most {MAX_CONFIGMAP_BYTES:,}"
        raise InvalidInput(message, "send fewer or smaller plug-ins")
    if len(content) > MAX_CONFIGMAP_BYTES:
        hint = "install it on the nodes (--delivery hostpath) or in an image (--delivery image)"
        raise InvalidInput(
            f"{path} has {len(content):,} bytes without its bytecode; a ConfigMap holds at most {MAX_CONFIGMAP_BYTES:,}", hint
        )
    return content
