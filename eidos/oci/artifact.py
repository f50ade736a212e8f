"""Artifacts: what is pushed and pulled, in a registry or an image layout.

Knows in which order blobs, manifests and tags are written, so that a tag never names an incomplete artifact, and that files about an
artifact (attestations) are referrers of it; must not know bundles or documents. An artifact has no time in it: the same content has the
same digest, and of what the store has already nothing is sent again.
"""

from __future__ import annotations

from eidos.errors import IntegrityError, InvalidData
from eidos.model.record import Record
from eidos.oci.blob import Blob, blob_of_bytes
from eidos.oci.image_manifest import (
    EMPTY_CONTENT,
    TITLE,
    Descriptor,
    ImageManifest,
    manifest_descriptor,
    parse_manifest,
    sha256_digest,
)
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol

    class ArtifactStore(Protocol):
        """A registry or an image layout, such as :class:`~eidos.oci.registry_store.RegistryStore`."""

        @property
        def name(self) -> str: ...  # noqa: D102 - the stores say it

        def has_blob(self, digest: str) -> bool: ...  # noqa: D102 - as above

        def write_blob(self, blob: Blob) -> int: ...  # noqa: D102 - as above

        def read_blob(self, descriptor: Descriptor) -> Iterator[bytes]: ...  # noqa: D102 - as above

        def find_digest(self, target: str) -> str | None: ...  # noqa: D102 - as above

        def read_manifest(self, target: str) -> tuple[bytes, str]: ...  # noqa: D102 - as above

        def write_manifest(self, data: bytes, target: str) -> object: ...  # noqa: D102 - as above

        def list_referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]: ...  # noqa: D102 - as above

        def write_referrer(self, data: bytes, descriptor: Descriptor, subject: str) -> None: ...  # noqa: D102 - as above


#: The type of an artifact that holds a file about another one, such as a signature.
ATTESTATION = "application/vnd.eidos.attestation.v1"

#: The annotation of a signature: the digest of the statement that it signs.
SIGNED = "vnd.eidos.signed"

#: Files about one artifact, bytes of each, and of all, at most.
ATTESTATIONS_LIMIT, ATTESTATION_BYTES, ATTESTATIONS_BYTES = 256, 4 << 20, 64 << 20


class ArtifactLayer(Record):
    """One layer: its content, its media type, and the name of the file that it is."""

    blob: Blob
    media_type: str
    title: str

    @property
    def descriptor(self) -> Descriptor:
        """What the manifest says of it."""
        return Descriptor(self.media_type, self.blob.digest, self.blob.size, {TITLE: self.title})


class Artifact(Record):
    """An artifact to push: its type, its layers, and ``attestations``, files about it by name.

    ``statement`` is the name of the one that the others sign.
    """

    artifact_type: str
    layers: tuple[ArtifactLayer, ...]
    attestations: dict[str, bytes] = {}
    statement: str = ""

    @property
    def manifest(self) -> ImageManifest:
        """Its manifest."""
        return ImageManifest(self.artifact_type, tuple(layer.descriptor for layer in self.layers))

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return manifest_descriptor(self.manifest.to_bytes(), self.manifest).digest


class LayerResult(Record):
    """What became of a layer: ``is_new`` when the store did not have it."""

    title: str
    digest: str
    size: int
    is_new: bool


class PushResult(Record):
    """What was pushed, or with a dry run would be: ``uploaded_bytes`` of blobs that the store did not have, and what is new in it."""

    digest: str
    artifact_type: str
    layers: tuple[LayerResult, ...]
    attestations: tuple[str, ...] = ()
    uploaded_bytes: int = 0
    is_new: bool = False

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)


class PulledArtifact(Record):
    """An artifact in a store: its manifest and the digest of it."""

    manifest: ImageManifest
    digest: str


def push_artifact(store: ArtifactStore, artifact: Artifact, tag: str, *, is_dry_run: bool = False) -> PushResult:
    """Store an artifact under its digest, with its attestations, and then under ``tag`` unless that is "".

    First the blobs that are missing, then the manifest by its digest, then what is about it, and last the tag: whenever it is cut off, the
    tag names the earlier artifact or this one. With ``is_dry_run`` nothing is written. Raises what the store raises.
    """
    manifest = artifact.manifest
    data = manifest.to_bytes()
    subject = manifest_descriptor(data, manifest)
    results, uploaded = [], 0
    for layer in artifact.layers:
        sent = _write_missing(store, layer.blob, is_dry_run)
        results.append(LayerResult(layer.title, layer.blob.digest, layer.blob.size, sent is not None))
        uploaded += sent or 0
    _write_missing(store, blob_of_bytes(EMPTY_CONTENT), is_dry_run)
    is_new = store.find_digest(subject.digest) is None
    if is_new and not is_dry_run:
        store.write_manifest(data, subject.digest)
    statement = artifact.attestations.get(artifact.statement)
    signed = {SIGNED: sha256_digest(statement)} if statement is not None else {}
    attached = tuple(
        name
        for name, content in sorted(artifact.attestations.items())
        if _attach(store, subject, name, content, {} if name == artifact.statement else signed, is_dry_run)
    )
    if tag and store.find_digest(tag) != subject.digest:
        is_new = True
        if not is_dry_run:
            store.write_manifest(data, tag)
    return PushResult(subject.digest, artifact.artifact_type, tuple(results), attached, uploaded, is_new)


def _write_missing(store: ArtifactStore, blob: Blob, is_dry_run: bool) -> int | None:
    """How many bytes were sent of a blob that was missing; None when it is there."""
    if store.has_blob(blob.digest):
        return None
    return blob.size if is_dry_run else store.write_blob(blob)


def _attach(store: ArtifactStore, subject: Descriptor, name: str, content: bytes, annotations: dict[str, str], is_dry_run: bool) -> bool:
    """Store a file about an artifact as a referrer of it; whether it was not there."""
    blob = blob_of_bytes(content)
    layer = Descriptor(_media_type(name), blob.digest, blob.size, {TITLE: name})
    manifest = ImageManifest(ATTESTATION, (layer,), subject=subject, annotations=annotations)
    data = manifest.to_bytes()
    descriptor = manifest_descriptor(data, manifest)
    if any(other.digest == descriptor.digest for other in store.list_referrers(subject.digest, ATTESTATION)):
        return False
    if not is_dry_run:
        _write_missing(store, blob, is_dry_run)
        store.write_referrer(data, descriptor, subject.digest)
    return True


def _media_type(name: str) -> str:
    return "application/json" if name.endswith(".json") else "application/octet-stream"


def open_artifact(store: ArtifactStore, target: str) -> PulledArtifact:
    """The artifact with a tag or a digest. Raises what the store raises, IntegrityError or InvalidData for another manifest."""
    data, digest = store.read_manifest(target)
    return PulledArtifact(parse_manifest(data, f"{store.name}: {target or digest}"), digest)


def read_layer(store: ArtifactStore, layer: Descriptor, limit: int) -> bytes:
    """The content of a layer; InvalidData when it is larger than ``limit`` bytes, before it is read."""
    if layer.size > limit:
        raise InvalidData(f"{store.name}: {layer.title or layer.digest} is larger than {limit >> 20} MiB", "check the reference")
    return b"".join(store.read_blob(layer))


def read_attestations(store: ArtifactStore, digest: str) -> Mapping[str, bytes]:
    """The files about the artifact with a digest, by name.

    Of several with one name, that with most signatures has it; a part of their digest is in the names of the others, and of signatures of
    those. Raises IntegrityError for a title that is not the name of a file, and for too many or too large ones.
    """
    contents: dict[tuple[str, str], bytes] = {}  # by name and digest
    signed: dict[tuple[str, str], set[str]] = {}
    size = 0
    referrers = store.list_referrers(digest, ATTESTATION)
    for number, referrer in enumerate(referrers):
        manifest = open_artifact(store, referrer.digest).manifest
        if manifest.subject is None or manifest.subject.digest != digest:
            raise IntegrityError(f"{store.name}: attestation {referrer.digest} is about another artifact")
        size += manifest.size
        if max(len(contents), number) + len(manifest.layers) > ATTESTATIONS_LIMIT or size > ATTESTATIONS_BYTES:
            limits = f"{count_of(ATTESTATIONS_LIMIT, 'file')} or {ATTESTATIONS_BYTES >> 20} MiB"
            raise IntegrityError(f"{store.name}: the attestations of {digest} are more than {limits}", "remove those that are not needed")
        for layer in manifest.layers:
            content = read_layer(store, layer, ATTESTATION_BYTES)
            name = layer.title
            if not is_file_name(name):
                raise IntegrityError(f"{store.name}: attestation {referrer.digest}: invalid file name {name[:80]!r}")
            contents[name, layer.digest] = content
            signed.setdefault((name, layer.digest), set()).update({manifest.annotations.get(SIGNED, "")} - {""})
    return _name_attestations(contents, signed)


def _name_attestations(contents: Mapping[tuple[str, str], bytes], signed: Mapping[tuple[str, str], set[str]]) -> dict[str, bytes]:
    votes = [digest for digests in signed.values() for digest in digests]
    ranked = sorted(contents, key=lambda key: (key[0], -votes.count(key[1]), key[1]))
    chosen = dict(reversed(ranked))
    others = {digest for name, digest in ranked if chosen[name] != digest}
    named = {}
    for name, digest in ranked:
        stem, dot, suffix = name.partition(".")
        is_other = digest in others or (signed[name, digest] and signed[name, digest] <= others)
        named[f"{stem}-{digest[7:19]}{dot}{suffix}" if is_other else name] = contents[name, digest]
    return named


def is_file_name(name: str) -> bool:
    r"""Whether a title is the name of one file, in any folder and on any system.

    >>> [is_file_name(name) for name in ("node.yaml", "../x", "a/b", "", ".hidden", "a\\b")]
    [True, False, False, False, False, False]
    """
    return 0 < len(name) <= 200 and name.isprintable() and not name.startswith(".") and not set(name) & {"/", "\\", ":"}
