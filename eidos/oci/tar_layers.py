"""Folders as layers: one reproducible tar archive for each component, and back into a folder.

Knows how files are divided among layers and which entries of an archive are unpacked; must not know what the files are for. An archive is
untrusted input: only regular files with a path inside the folder are unpacked, each once, within bounds of number and size; everything else
is refused, and nothing that is there is overwritten.
"""

from __future__ import annotations

import os

from eidos.errors import IntegrityError, InvalidData, Unavailable, os_error_reason
from eidos.files import open_no_link
from eidos.files.atomic_write import unwritable
from eidos.files.tar_reader import FILE, FOLDER, DecompressedStream, read_entries
from eidos.files.tar_writer import TarSource, tar_pieces
from eidos.model.bundle import IMAGE_BLOBS, MAX_BLOB_BYTES, MAX_BLOBS_BYTES, file_mode, is_image_blob, is_inside
from eidos.model.record import Record
from eidos.oci.artifact import ArtifactLayer
from eidos.oci.blob import PIECE_BYTES, Blob, PieceReader, blob_of_pieces
from eidos.oci.image_layout import layout_pieces
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eidos.files.tar_reader import ContentReader
    from eidos.model.bundle import StoredFile
    from eidos.oci.artifact import ArtifactStore
    from eidos.oci.image_manifest import Descriptor

#: The layer of the files that are in no folder.
ROOT_TITLE = "files.tar"


class UnpackLimits(Record):
    """What may be unpacked: number of files, bytes of one and of all."""

    files: int
    file_bytes: int
    total_bytes: int


def tar_layers(sources: Iterable[TarSource], media_type: str) -> tuple[ArtifactLayer, ...]:
    """A layer for the files of each top folder, sorted, and last one for those beside the folders.

    Raises InvalidData for a path that is too long for an archive, Unavailable for a file that cannot be read.
    """
    by_top: dict[str, list[TarSource]] = {}
    for source in sorted(sources, key=lambda source: source.path):
        top, slash, _ = source.path.partition("/")
        by_top.setdefault(top if slash else "", []).append(source)
    tops = [*(top for top in by_top if top), *([""] if "" in by_top else [])]
    return tuple(_layer(by_top[top], media_type, f"{top}.tar" if top else ROOT_TITLE) for top in tops)


def _layer(sources: Sequence[TarSource], media_type: str, title: str) -> ArtifactLayer:
    return ArtifactLayer(blob_of_pieces(lambda: tar_pieces(sources)), media_type, title)


def sources_of_contents(files: Mapping[str, bytes]) -> tuple[TarSource, ...]:
    """Files in memory, by path."""

    def source(path: str, content: bytes) -> TarSource:
        from io import BytesIO

        return TarSource(path, file_mode(path), len(content), lambda: BytesIO(content))

    return tuple(source(path, content) for path, content in files.items())


def sources_of_folder(folder: str, paths: Iterable[str]) -> tuple[TarSource, ...]:
    """Files of a folder, none of which may be a link. Raises Unavailable."""

    def source(path: str) -> TarSource:
        full = os.path.join(folder, *path.split("/"))
        try:
            return TarSource(path, file_mode(path), os.lstat(full).st_size, lambda: open_no_link(full))
        except OSError as fault:
            raise Unavailable(f"{full}: {os_error_reason(fault)}") from fault

    return tuple(source(path) for path in paths)


def blob_layers(files: Mapping[str, StoredFile], media_type: str) -> tuple[ArtifactLayer, ...]:
    """A layer for each file on disk, as it is: a registry that has one, perhaps as part of an image, is not sent it again."""

    def layer(path: str, file: StoredFile) -> ArtifactLayer:
        return ArtifactLayer(Blob(f"sha256:{file.sha256}", file.size, lambda: layout_pieces(file.path)), media_type, path)

    return tuple(layer(path, files[path]) for path in sorted(files))


class Unpacker:
    """Unpacks layers into a new, private ``folder``; ``paths`` are the files that are there by now."""

    def __init__(self, folder: str, limits: UnpackLimits) -> None:
        self.paths: set[str] = set()
        self._folder = folder
        self._limits = limits
        self._bytes = self._blob_bytes = 0

    def unpack(self, store: ArtifactStore, layer: Descriptor) -> None:
        """Unpack one layer as it arrives. Raises IntegrityError for anything but what :func:`tar_layers` packs, and what the store raises.

        What was written before is left: the folder must not be used then.
        """
        name = f"{store.name}: layer {layer.title or layer.digest}"
        if layer.size > self._limits.total_bytes + (self._limits.files << 10):
            raise IntegrityError(f"{name}: {layer.size:,} bytes are more than a bundle can have")
        reader = PieceReader(store.read_blob(layer))
        try:
            stream = DecompressedStream(reader, name)  # type: ignore[arg-type]  # it only reads
            for entry, content in read_entries(stream):
                if entry.kind == FOLDER:
                    continue
                self._check(entry.path, entry.kind, entry.size, name)
                self._write(entry.path, _pieces(content))
            # What follows the end of the archive is padding; and its digest counts.
            while piece := stream.read(PIECE_BYTES):
                if piece.strip(b"\0"):
                    raise IntegrityError(f"{name}: unexpected data after the end of the archive")
            while reader.read(PIECE_BYTES):
                pass
        except InvalidData as fault:
            raise IntegrityError(fault.message, fault.hint) from fault
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as fault:
            raise IntegrityError(f"{name}: a path is both a file and a folder") from fault
        except OSError as fault:
            raise unwritable(self._folder, fault) from fault

    def unpack_blob(self, store: ArtifactStore, layer: Descriptor) -> None:
        """Write a layer that is one blob of an image as it is. Raises IntegrityError for another path or digest than it says."""
        path, name = layer.title, f"{store.name}: layer {layer.title[:200]!a}"
        self._blob_bytes += layer.size
        if not is_image_blob(path) or layer.digest != f"sha256:{path[len(IMAGE_BLOBS) :]}":
            raise IntegrityError(f"{name}: not the name of a blob with the digest {layer.digest}")
        if path in self.paths or layer.size > MAX_BLOB_BYTES or self._blob_bytes > MAX_BLOBS_BYTES or len(self.paths) >= self._limits.files:
            raise IntegrityError(f"{name}: it is there twice, or there are more images than a bundle can have")
        self.paths.add(path)
        try:
            self._write(path, store.read_blob(layer))
        except OSError as fault:
            raise unwritable(self._folder, fault) from fault

    def _check(self, path: str, kind: str, size: int, name: str) -> None:
        shown = path[:200].encode("ascii", "backslashreplace").decode()
        if kind != FILE:
            raise IntegrityError(f"{name}: {shown}: a {kind}; expected only files")
        if not is_inside(path):
            raise IntegrityError(f"{name}: {shown!r} leads out of the folder")
        if path in self.paths:
            raise IntegrityError(f"{name}: {shown} is there twice")
        self._bytes += size
        if size > self._limits.file_bytes:
            raise IntegrityError(f"{name}: {shown} is larger than {self._limits.file_bytes >> 20} MiB")
        if self._bytes > self._limits.total_bytes or len(self.paths) >= self._limits.files:
            raise IntegrityError(f"{name}: more than {self._limits.total_bytes >> 20} MiB, or {count_of(self._limits.files, 'file')}")
        self.paths.add(path)

    def _write(self, path: str, pieces: Iterator[bytes]) -> None:
        full = os.path.join(self._folder, *path.split("/"))
        os.makedirs(os.path.dirname(full), 0o755, exist_ok=True)
        fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.writelines(pieces)
            os.fchmod(fd, file_mode(path))


def _pieces(content: ContentReader) -> Iterator[bytes]:
    while piece := content.read(PIECE_BYTES):
        yield piece
