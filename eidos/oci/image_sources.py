"""Container images in a folder, as tools that copy images write them.

Knows the image layout of OCI, in the folder itself or one for each repository below it, and the ``dir:`` folders of skopeo, which keep the
manifests of Docker as they are; must not know which images are wanted. A folder is untrusted input: no link in it is followed, manifests
are verified and bounded before they are parsed, and of blobs the size is compared; their content is verified by whoever copies them.
"""

from __future__ import annotations

import os
import stat

from eidos.errors import IntegrityError, InvalidInput, Unavailable, os_error_reason
from eidos.model.bundle import MAX_BLOB_BYTES, StoredFile, is_inside
from eidos.model.record import Record
from eidos.oci.image_layout import BLOBS, INDEX_FILE, layout_pieces
from eidos.oci.image_manifest import ENTRIES_LIMIT, MANIFEST_LIMIT, REF_NAME, Descriptor, parse_image, parse_index, sha256_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: The manifest of an image in a ``dir:`` folder, which is written last.
MANIFEST_FILE = "manifest.json"

#: Under which containerd exports and imports an image.
CONTAINERD_NAME = "io.containerd.image.name"

#: Indexes in indexes, and folders that are looked at for images, at most.
MAX_DEPTH, MAX_FOLDERS = 4, 20_000


class StoredImage(Record):
    """An image: its manifest or index, and the file of each of its manifests and blobs by digest, without ``sha256:``."""

    descriptor: Descriptor
    files: dict[str, StoredFile]


class ImageFolder:
    """The images of a folder; messages begin with ``name``, and call the folder ``shown``.

    ``unused`` has what no search found, once all searches are done.
    """

    def __init__(self, folder: str, name: str, shown: str = "") -> None:
        self._folder, self._name, self._shown = folder, name, shown or folder
        self._used: set[str] = set()
        self._layouts: dict[str, tuple[Descriptor, ...] | None] = {}

    def find(self, names: Collection[str], target: str, digest: str = "") -> StoredImage | None:
        """The image with one of these names, or with this digest; ``target`` is its path, with tag or digest, in a registry.

        Raises IntegrityError for an image that is incomplete or does not match its digests, InvalidInput for two with one name.
        """
        image = self._find_in_layout("", names, digest)
        if image is not None:
            return image
        repository, mark, tag = target.partition("@")
        if not mark:
            repository, _, tag = target.rpartition(":") if ":" in target.rpartition("/")[2] else (target, "", "latest")
        saved = target.replace(":", "=").replace("@", "=")
        if os.path.lexists(os.path.join(self._folder, saved, MANIFEST_FILE)):
            self._used.add(saved)
            return self._collect(saved, MANIFEST_FILE, "", 0, _path_in_dir)
        return self._find_in_layout(repository, {*names, tag}, digest)

    def unused(self) -> Iterator[str]:
        """The names of images that no search found."""
        for number, (parent, folders, names) in enumerate(os.walk(self._folder)):
            folders.sort()
            path = "" if parent == self._folder else os.path.relpath(parent, self._folder)
            if MANIFEST_FILE in names and path not in self._used:
                yield path or self._shown
            for entry in (self._entries(path) or ()) if INDEX_FILE in names else ():
                if f"{path}@{entry.digest}" not in self._used:
                    yield "/".join(filter(None, (path, (_names(entry) or [entry.digest])[0])))
            if number > MAX_FOLDERS:
                raise InvalidInput(f"{self._name}: more than {MAX_FOLDERS:,} folders", "name a folder of images only")

    def _entries(self, layout: str) -> tuple[Descriptor, ...] | None:
        """What the index of a layout lists; None for another folder."""
        if layout not in self._layouts:
            is_layout = os.path.lexists(os.path.join(self._folder, layout, INDEX_FILE))
            name = f"{self._name}: {os.path.join(self._shown, layout, INDEX_FILE)}"
            self._layouts[layout] = parse_index(self._read(_join(layout, INDEX_FILE), name), name) if is_layout else None
        return self._layouts[layout]

    def _find_in_layout(self, layout: str, names: Collection[str], digest: str) -> StoredImage | None:
        entries = self._entries(layout) or ()
        matches = [each for each in entries if each.digest == digest] or [each for each in entries if set(_names(each)) & set(names)]
        if not matches:
            return None
        if len({each.digest for each in matches}) > 1:
            where = os.path.join(self._shown, layout)
            raise InvalidInput(f"{self._name}: {where}: two images {_names(matches[0])[0]}", "remove one of them from its index.json")
        self._used.add(f"{layout}@{matches[0].digest}")
        path = f"{BLOBS}/{matches[0].digest.partition(':')[2]}"
        return self._collect(layout, path, matches[0].digest, matches[0].size, lambda hex, is_manifest: f"{BLOBS}/{hex}")

    def _collect(self, folder: str, path: str, digest: str, size: int, path_of: Callable[[str, bool], str]) -> StoredImage:
        """The image whose manifest is at ``path`` of a folder, with all that belongs to it. ``digest`` is "" if it is not known."""
        name = f"{self._name}: {os.path.join(self._shown, folder).rstrip('/')}"
        files: dict[str, StoredFile] = {}
        root = None
        remaining = [(path, digest, size, 0)]
        while remaining:
            path, digest, size, depth = remaining.pop()
            data = self._read(_join(folder, path), f"{name}: manifest {digest or path}")
            actual = sha256_digest(data)
            if digest and (actual != digest or len(data) != size):
                raise IntegrityError(f"{name}: manifest {digest} does not match its digest", "copy the image again")
            image = parse_image(data, f"{name}: manifest {actual}")
            root = root or Descriptor(image.media_type, actual, len(data))
            files[actual.partition(":")[2]] = StoredFile(self._inside(_join(folder, path), name), len(data), actual.partition(":")[2])
            for each in image.blobs:
                self._add_blob(files, folder, each, path_of, name)
            new = [each for each in image.manifests if each.digest.partition(":")[2] not in files]
            remaining += [(path_of(each.digest.partition(":")[2], True), each.digest, each.size, depth + 1) for each in new]
            if depth >= MAX_DEPTH or len(files) + len(remaining) > ENTRIES_LIMIT:
                raise IntegrityError(f"{name}: indexes in more than {MAX_DEPTH} indexes, or more than {ENTRIES_LIMIT:,} blobs")
        assert root is not None
        return StoredImage(root, files)

    def _add_blob(
        self, files: dict[str, StoredFile], folder: str, blob: Descriptor, path_of: Callable[[str, bool], str], name: str
    ) -> None:
        hex = blob.digest.partition(":")[2]
        path = _join(folder, path_of(hex, False))
        full = self._inside(path, name)
        try:
            status = os.lstat(full)
        except FileNotFoundError as fault:
            raise IntegrityError(f"{name}: blob {blob.digest} is missing", "copy the image again, with every architecture") from fault
        except OSError as fault:
            raise Unavailable(f"{full}: {os_error_reason(fault)}") from fault
        if not stat.S_ISREG(status.st_mode) or status.st_size != blob.size:
            raise IntegrityError(f"{name}: blob {blob.digest} is not a file of {blob.size:,} bytes", "copy the image again")
        if blob.size > MAX_BLOB_BYTES:
            raise InvalidInput(f"{name}: blob {blob.digest} is larger than 8 GiB, which no archive of a bundle can have")
        files[hex] = StoredFile(full, blob.size, hex)

    def _inside(self, path: str, name: str) -> str:
        """The path below the folder; IntegrityError when a link leads elsewhere."""
        full = os.path.join(os.path.realpath(self._folder), *path.split("/"))
        if not is_inside(path) or os.path.realpath(full) != full:
            raise IntegrityError(f"{name}: {path} is a link, or behind one", "copy the image again")
        return full

    def _read(self, path: str, name: str) -> bytes:
        """A manifest or an index, bounded."""
        full = self._inside(path, name)
        try:
            data = b"".join(layout_pieces(full, MANIFEST_LIMIT + 1))
        except FileNotFoundError as fault:
            raise IntegrityError(f"{name} is missing", "copy the image again, with every architecture") from fault
        except OSError as fault:
            raise Unavailable(f"{full}: {os_error_reason(fault)}") from fault
        if len(data) > MANIFEST_LIMIT:
            raise IntegrityError(f"{name}: larger than {MANIFEST_LIMIT >> 20} MiB")
        return data


def _join(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path


def _path_in_dir(hex: str, is_manifest: bool) -> str:
    return f"{hex}.{MANIFEST_FILE}" if is_manifest else hex


def _names(entry: Descriptor) -> list[str]:
    return [entry.annotations[key] for key in (CONTAINERD_NAME, REF_NAME) if key in entry.annotations]
