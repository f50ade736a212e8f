"""An artifact store in the folder of an OCI image layout, with no network.

Knows the image layout of the OCI image specification 1.1 (``oci-layout``, ``index.json``, ``blobs/sha256``) as skopeo and oras read and
write it; must not know what artifacts hold. A layout is untrusted input: no link in it is followed, and every blob is verified as it is
read.
"""

from __future__ import annotations

import os
import stat

from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.files import atomic_write, open_no_link
from eidos.model.record import replace
from eidos.oci.blob import PIECE_BYTES, verified
from eidos.oci.image_manifest import (
    MANIFEST_LIMIT,
    MANIFEST_TYPE,
    REF_NAME,
    Descriptor,
    index_to_bytes,
    manifest_descriptor,
    parse_index,
    parse_manifest,
    sha256_digest,
)
from eidos.oci.reference import is_digest, is_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.model.bundle import StoredFile
    from eidos.oci.blob import Blob

LAYOUT_FILE, INDEX_FILE, BLOBS = "oci-layout", "index.json", "blobs/sha256"

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class ImageLayout:
    """The layout in a folder; ``name`` is what messages call it."""

    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self._folder = folder

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is there, with the right content."""
        path = self._blob_path(digest)
        try:
            size = os.lstat(path).st_size
            for _ in verified(layout_pieces(path), Descriptor("", digest, size), digest):
                pass
        except (OSError, IntegrityError):
            return False
        return True

    def write_blob(self, blob: Blob) -> int:
        """Store a blob, completely or not at all; how many bytes were written."""
        path = self._blob_path(blob.digest)
        temporary = f"{path}.{os.urandom(6).hex()}.tmp"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(temporary, "xb") as file:
                file.writelines(verified(blob.pieces(), Descriptor("", blob.digest, blob.size), self.name))
            os.replace(temporary, path)
        except OSError as fault:
            raise atomic_write.unwritable(self.name, fault) from fault
        finally:
            remove_file(temporary)
        return blob.size

    def read_blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        """A blob, verified as it is read: IntegrityError when it is not what its digest says. Raises NotFound, Unavailable."""
        name = f"{self.name}: blob {descriptor.digest}"
        try:
            yield from verified(layout_pieces(self._blob_path(descriptor.digest)), descriptor, name)
        except FileNotFoundError as fault:
            raise NotFound(f"{name}: not in this layout", "copy the layout again") from fault
        except OSError as fault:
            raise Unavailable(f"{name}: {os_error_reason(fault)}") from fault

    def find_digest(self, target: str) -> str | None:
        """The digest of the manifest with a tag or a digest; None when there is none."""
        return next((each.digest for each in self._read_index() if target in (each.digest, _tag(each))), None)

    def read_manifest(self, target: str) -> tuple[bytes, str]:
        """The manifest with a tag or a digest, and its digest; with ``""`` the only one that is no referrer. Raises NotFound."""
        index = self._read_index()
        entries = [each for each in index if target in (each.digest, _tag(each))] if target else index
        if not target and len(entries) > 1:
            entries = [each for each in entries if parse_manifest(self._read_small(each.digest), self.name).subject is None]
        if not entries and is_digest(target):
            entries = [Descriptor(MANIFEST_TYPE, target, 0)]
        if not entries:
            tags = sorted({_tag(each) for each in index} - {""})
            raise NotFound(f"{self.name}: no manifest {target or 'at all'}", f"tags: {', '.join(tags[:12])}" if tags else None)
        if len({each.digest for each in entries}) > 1:
            tags = sorted(_tag(each) or each.digest for each in entries)
            raise InvalidInput(
                f"{self.name}: {len(entries)} manifests", f"name one with its reference, such as oci://example.com/x:{tags[0]}"
            )
        return self._read_small(entries[0].digest), entries[0].digest

    def write_manifest(self, data: bytes, target: str) -> None:
        """Store a manifest, and list it in the index under its tag or its digest."""
        digest = sha256_digest(data)
        self._write_small(digest, data)
        descriptor = manifest_descriptor(data, parse_manifest(data, self.name))
        descriptor = replace(descriptor, annotations={REF_NAME: target} if is_tag(target) else {})
        others = [each for each in self._read_index() if _tag(each) != target or not is_tag(target)]
        # A tag replaces the entry without one of the same manifest, and an entry with a tag is enough.
        if not is_tag(target) and any(each.digest == digest for each in others):
            return
        others = [each for each in others if each.digest != digest or _tag(each)]
        atomic_write.write_file(os.path.join(self._folder, INDEX_FILE), index_to_bytes((*others, descriptor)), 0o666)

    def list_referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:
        """The manifests of one artifact type whose subject is a manifest."""
        referrers = []
        for each in self._read_index():
            data = self._read_small(each.digest)
            manifest = parse_manifest(data, self.name) if each.media_type == MANIFEST_TYPE else None
            if manifest and manifest.subject and manifest.subject.digest == digest and manifest.artifact_type == artifact_type:
                referrers.append(manifest_descriptor(data, manifest))
        return tuple(referrers)

    def write_referrer(self, data: bytes, descriptor: Descriptor, subject: str) -> None:  # the index lists all
        """Store a manifest with a subject."""
        self.write_manifest(data, descriptor.digest)

    def create(self) -> None:
        """Make the folder a layout if it is empty or does not exist. Raises InvalidInput for a folder with other files."""
        try:
            os.makedirs(os.path.join(self._folder, BLOBS), exist_ok=True)
            names = set(os.listdir(self._folder))
            if LAYOUT_FILE not in names and names != {"blobs"}:
                raise InvalidInput(f"{self.name}: the folder has other files and is not an image layout", "name a new folder")
            if INDEX_FILE not in names:
                atomic_write.write_file(os.path.join(self._folder, INDEX_FILE), index_to_bytes(()), 0o666)
            if LAYOUT_FILE not in names:
                atomic_write.write_file(os.path.join(self._folder, LAYOUT_FILE), LAYOUT, 0o666)
        except OSError as fault:
            raise atomic_write.unwritable(self.name, fault) from fault

    def _read_index(self) -> tuple[Descriptor, ...]:
        return parse_index(self._read(INDEX_FILE), f"{self.name}: {INDEX_FILE}")

    def _read_small(self, digest: str) -> bytes:
        data = self._read(f"{BLOBS}/{digest.partition(':')[2]}")
        if sha256_digest(data) != digest:
            raise IntegrityError(f"{self.name}: manifest {digest} does not match its digest", "rebuild it or download it again")
        return data

    def _write_small(self, digest: str, data: bytes) -> None:
        atomic_write.write_file(self._blob_path(digest), data, 0o666)

    def _read(self, path: str) -> bytes:
        hint = "name the folder of an OCI image layout, or its archive"
        try:
            data = b"".join(layout_pieces(os.path.join(self._folder, path), MANIFEST_LIMIT + 1))
        except FileNotFoundError as fault:
            raise NotFound(f"{self.name}: no {path}", hint) from fault
        except OSError as fault:
            raise Unavailable(f"{self.name}: {path}: {os_error_reason(fault)}", hint) from fault
        if len(data) > MANIFEST_LIMIT:
            raise IntegrityError(f"{self.name}: {path} is larger than {MANIFEST_LIMIT >> 20} MiB")
        return data

    def _blob_path(self, digest: str) -> str:
        if not is_digest(digest):
            raise IntegrityError(f"{self.name}: invalid digest {digest[:80]!r}")
        return os.path.join(self._folder, BLOBS, digest.partition(":")[2])


def layout_pieces(path: str, limit: int = -1) -> Iterator[bytes]:
    """The content of a regular file, which may not be a link; at most ``limit`` bytes."""
    with open_no_link(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        while piece := file.read(PIECE_BYTES if limit < 0 else min(PIECE_BYTES, limit)):
            limit -= len(piece) if limit >= 0 else 0
            yield piece
            if limit == 0:
                return


def stored_pieces(file: StoredFile) -> Iterator[bytes]:
    """The content of a file of a bundle, verified as it is read: IntegrityError when its size or digest is another. Raises Unavailable."""
    try:
        yield from verified(layout_pieces(file.path), Descriptor("", f"sha256:{file.sha256}", file.size), file.path)
    except OSError as fault:
        raise Unavailable(f"{file.path}: {os_error_reason(fault)}") from fault


def _tag(descriptor: Descriptor) -> str:
    """The tag of an entry; other programs write a complete reference."""
    return descriptor.annotations.get(REF_NAME, "")


def remove_file(path: str) -> None:
    """Remove a temporary file, if it is there."""
    try:
        os.unlink(path)
    except OSError:  # it was renamed, or never made
        pass
