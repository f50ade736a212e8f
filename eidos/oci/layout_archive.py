"""Image layouts to read and to write: a folder, or a tar archive of one.

Knows archives as ``skopeo copy oci-archive:…`` reads and writes them; must not know what a layout holds. An archive is unpacked into a
temporary folder to be read, and written from one, completely or not at all. What does not belong to a layout is not unpacked.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from eidos.errors import IntegrityError, InvalidData, InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.files.atomic_write import TemporaryFolder, write_pieces
from eidos.oci.blob import PIECE_BYTES
from eidos.oci.image_layout import BLOBS, INDEX_FILE, LAYOUT_FILE, ImageLayout
from eidos.oci.reference import is_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of all blobs of an archive that is unpacked.
ARCHIVE_LIMIT_BYTES = 64 << 30


@contextmanager
def open_layout(path: str) -> Iterator[ImageLayout]:
    """The layout in a folder or an archive, to read it. Raises NotFound, Unavailable, IntegrityError for another archive."""
    if os.path.isdir(path):
        yield ImageLayout(path, path)
        return
    with unpacked_layout(path) as folder:
        yield ImageLayout(folder, path)


@contextmanager
def unpacked_layout(path: str) -> Iterator[str]:
    """A temporary folder with the layout in an archive; raises what :func:`open_layout` does."""
    with TemporaryFolder() as folder:
        _unpack_archive(path, folder)
        yield folder


@contextmanager
def create_layout(path: str) -> Iterator[ImageLayout]:
    """A layout to write: a folder, which may have other artifacts already; for a path that ends with ``.tar`` an archive.

    An archive is written at the end, and only if nothing was raised; a new folder is removed then. Raises InvalidInput, Unavailable.
    """
    if "://" in path or path.endswith((".tar.gz", ".tgz", ".zip")):
        why = "not a path" if "://" in path else "an archive of an image layout is not compressed"
        raise InvalidInput(f"--layout: {path!r}: {why}", "name a folder, or an archive like layout.tar")
    if not path.endswith(".tar"):
        is_new = not os.path.lexists(path)
        layout = ImageLayout(path, path)
        try:
            layout.create()
            yield layout
        except BaseException:
            if is_new:
                from shutil import rmtree

                rmtree(path, ignore_errors=True)
            raise
        return
    if os.path.isdir(path):
        raise InvalidInput(f"{path}: a folder, where the archive would be", "name another file")
    with TemporaryFolder(os.path.dirname(os.path.abspath(path))) as folder:
        layout = ImageLayout(folder, path)
        layout.create()
        yield layout
        _write_archive(folder, path)


def _unpack_archive(path: str, folder: str) -> None:
    """Unpack what belongs to a layout, and nothing else; blobs keep the names of their digests, which are verified when they are read."""
    from eidos.files.tar_reader import FILE, DecompressedStream, read_entries

    size = 0
    try:
        os.makedirs(os.path.join(folder, BLOBS))
        with open(path, "rb") as file:
            for entry, content in read_entries(DecompressedStream(file, path, limit_bytes=ARCHIVE_LIMIT_BYTES)):
                name = entry.path.removeprefix("./")
                is_blob = name.startswith(f"{BLOBS}/") and is_digest(f"sha256:{name[len(BLOBS) + 1 :]}")
                if entry.kind != FILE or not (is_blob or name in (LAYOUT_FILE, INDEX_FILE)):
                    continue
                size += entry.size
                if size > ARCHIVE_LIMIT_BYTES:
                    raise IntegrityError(f"{path}: more than {ARCHIVE_LIMIT_BYTES >> 30} GiB")
                with open(os.path.join(folder, name), "xb") as target:
                    while piece := content.read(PIECE_BYTES):
                        target.write(piece)
    except InvalidData as fault:
        raise IntegrityError(fault.message, "name the folder of an OCI image layout, or its archive") from fault
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such file or folder", "name the folder of an OCI image layout, or its archive") from fault
    except FileExistsError as fault:
        raise IntegrityError(f"{path}: {os.path.basename(fault.filename)} is repeated") from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}", "set TMPDIR to a folder with space") from fault
    if not os.path.exists(os.path.join(folder, INDEX_FILE)):  # as docker and podman save images by default
        hint = "name an archive of an OCI image layout, as 'podman save --format oci-archive' writes it"
        raise NotFound(f"{path}: no {INDEX_FILE}", hint)


def _write_archive(folder: str, path: str) -> None:
    from eidos.files.tar_writer import tar_pieces
    from eidos.oci.tar_layers import sources_of_folder

    names = [LAYOUT_FILE, INDEX_FILE, *sorted(f"{BLOBS}/{name}" for name in os.listdir(os.path.join(folder, BLOBS)))]
    write_pieces(path, tar_pieces(sources_of_folder(folder, names)), 0o666)
