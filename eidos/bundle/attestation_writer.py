"""Adds a signature to a bundle: a file in the ``attestations`` of a folder, or the archive written again with it.

Knows folders and archives; must not know what a signature is. An archive is replaced in one step, so what carries the bundle carries its
signatures; its other files are the same, byte for byte.
"""

from __future__ import annotations

import os
import stat

from eidos.bundle.bundle_reader import open_files
from eidos.files.atomic_write import unwritable, write_file, write_pieces
from eidos.model.bundle import ATTESTATIONS, PLAIN, parse_signature_path


def add_signature(path: str, name: str, content: bytes) -> None:
    """Put a signature called ``name`` into the bundle at ``path``, in place of an earlier one of its key.

    Raises Unavailable when it cannot be written; the bundle is then as it was.
    """
    target = os.path.realpath(path)
    if not os.path.isdir(target):
        _rewrite_archive(target, name, content)
        return
    folder = os.path.join(target, ATTESTATIONS)
    try:
        if not os.path.isdir(folder):
            os.mkdir(folder)
            os.chmod(folder, 0o755)  # noqa: S103 - as every folder of a bundle
        names = [f"{ATTESTATIONS}{entry}" for entry in os.listdir(folder)]
        write_file(os.path.join(target, name), content, PLAIN)
        os.chmod(os.path.join(target, name), PLAIN)
        for earlier in _replaced(names, name):
            os.unlink(os.path.join(target, earlier))
    except OSError as fault:
        raise unwritable(path, fault) from fault


def _replaced(names: list[str], name: str) -> list[str]:
    """The signatures that another one of the same key takes the place of."""
    new = parse_signature_path(name)
    parsed = {path: parse_signature_path(path) for path in names if path != name}
    return [path for path, old in parsed.items() if old and new and (old.kind, old.key) == (new.kind, new.key)]


def _rewrite_archive(target: str, name: str, content: bytes) -> None:
    from contextlib import ExitStack

    from eidos.bundle.zip_archive import archive_pieces, is_zip

    with ExitStack() as stack:
        files, blobs = open_files(target, stack, os.path.dirname(target))
        for earlier in _replaced(list(files), name):
            del files[earlier]
        files[name] = content
        try:
            with open(target, "rb") as file:
                extension = ".zip" if is_zip(file.read(4)) else ".tar.gz"
            mode = stat.S_IMODE(os.stat(target).st_mode)
            pieces = archive_pieces(dict(sorted(files.items())), blobs, extension)
            if blobs:
                write_pieces(target, pieces, mode)
            else:
                write_file(target, b"".join(pieces), mode)
            os.chmod(target, mode)
        except OSError as fault:
            raise unwritable(target, fault) from fault
