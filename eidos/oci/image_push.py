"""Container images from an image layout to a registry: every architecture, with the digests that they have.

Knows in which order a registry accepts the parts of an image; must not know how a layout names images
(:mod:`eidos.oci.image_sources`), nor HTTP.
"""

from __future__ import annotations

from eidos.errors import IntegrityError
from eidos.oci.blob import Blob
from eidos.oci.image_layout import stored_pieces
from eidos.oci.image_manifest import MANIFEST_LIMIT, parse_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.model.bundle import StoredFile
    from eidos.oci.image_manifest import Descriptor
    from eidos.oci.registry_store import RegistryStore

#: Indexes in indexes, at most.
MAX_DEPTH = 4


def push_image(store: RegistryStore, image: Descriptor, files: Mapping[str, StoredFile], target: str) -> int:
    """Store an image under a tag or its digest, and return the bytes of the blobs that were sent; 0 when all were there.

    ``files`` are its manifests and blobs by digest. First blobs are sent, then manifests by their digests, those of an index before it, and
    last ``target``: whenever that is cut off, a tag names the earlier image or this one, complete. Raises IntegrityError for a file that
    is missing or does not match its digest, and what the store raises.
    """
    sent = 0
    present: set[str] = set()
    for manifest, data in _manifests(image.digest, files, 0, set()):
        parts = parse_image(data, f"manifest {manifest}")
        for digest in dict.fromkeys(blob.digest for blob in parts.blobs):
            if digest not in present and not store.has_blob(digest):
                sent += store.write_blob(_blob(digest, files))
            present.add(digest)
        store.write_manifest(data, target if manifest == image.digest else manifest, parts.media_type)
    return sent


def _manifests(digest: str, files: Mapping[str, StoredFile], depth: int, visited: set[str]) -> Iterator[tuple[str, bytes]]:
    """Digest and content of each manifest of an image, once, those that one lists before it."""
    if digest in visited:
        return
    visited.add(digest)
    blob = _blob(digest, files)
    if blob.size > MANIFEST_LIMIT or depth > MAX_DEPTH:
        raise IntegrityError(f"manifest {digest}: larger than {MANIFEST_LIMIT >> 20} MiB, or in more than {MAX_DEPTH} indexes")
    data = b"".join(blob.pieces())
    for manifest in parse_image(data, f"manifest {digest}").manifests:
        yield from _manifests(manifest.digest, files, depth + 1, visited)
    yield digest, data


def _blob(digest: str, files: Mapping[str, StoredFile]) -> Blob:
    file = files.get(digest)
    if file is None:
        raise IntegrityError(f"the image lacks {digest}", "build the bundle again with 'eidos bundle --images PATH'")
    return Blob(digest, file.size, lambda: stored_pieces(file))
