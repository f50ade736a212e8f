"""Manifests and indexes: what an artifact consists of.

Knows the OCI image specification 1.1 (image manifest, "Guidelines for Artifact Usage", image index), its limits, and that manifests of
Docker (image manifest version 2, schema 2) have the same fields; must not know how blobs are moved. A manifest of ours holds no time and
its fields have one order: the same artifact has the same digest.
"""

from __future__ import annotations

from eidos.errors import IntegrityError, InvalidData
from eidos.model.record import Record
from eidos.oci.reference import is_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
#: Docker's own kinds of a manifest and of an index.
DOCKER_MANIFEST_TYPE, DOCKER_INDEX_TYPE = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
TITLE, REF_NAME = "org.opencontainers.image.title", "org.opencontainers.image.ref.name"

#: The largest manifest that registries accept, and how many layers or manifests one may list.
MANIFEST_LIMIT, ENTRIES_LIMIT = 4 << 20, 10_000

#: The largest blob, in bytes.
BLOB_LIMIT = 1 << 40


class Descriptor(Record):
    """A blob or a manifest by its digest; ``artifact_type`` is that of a manifest in an index."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    artifact_type: str = ""

    @property
    def title(self) -> str:
        """The name of the file that a layer is; "" when it has none."""
        return self.annotations.get(TITLE, "")

    def to_tree(self) -> dict[str, Any]:
        """Its fields as the specification has them."""
        tree: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            tree["artifactType"] = self.artifact_type
        if self.annotations:
            tree["annotations"] = dict(sorted(self.annotations.items()))
        return tree


#: The configuration of an artifact that has none: the two bytes ``{}``.
EMPTY_CONTENT = b"{}"
EMPTY = Descriptor(EMPTY_TYPE, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2)


class ImageManifest(Record):
    """An artifact: its type, its layers, and the manifest that it is about, if it is about one."""

    artifact_type: str
    layers: tuple[Descriptor, ...]
    config: Descriptor = EMPTY
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    def to_bytes(self) -> bytes:
        """The manifest, the same bytes every time."""
        tree: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            **({} if self.artifact_type in ("", self.config.media_type) else {"artifactType": self.artifact_type}),
            "config": self.config.to_tree(),
            "layers": [layer.to_tree() for layer in self.layers],
        }
        if self.subject is not None:
            tree["subject"] = Descriptor(self.subject.media_type, self.subject.digest, self.subject.size).to_tree()
        if self.annotations:
            tree["annotations"] = dict(sorted(self.annotations.items()))
        return _to_json(tree)


def sha256_digest(data: bytes) -> str:
    """The digest of ``data``, as ``sha256:`` and 64 hexadecimal digits."""
    from hashlib import sha256

    return f"sha256:{sha256(data).hexdigest()}"


def manifest_descriptor(data: bytes, manifest: ImageManifest) -> Descriptor:
    """What an index or a subject says of a manifest whose bytes are ``data``."""
    return Descriptor(MANIFEST_TYPE, sha256_digest(data), len(data), manifest.annotations, manifest.artifact_type)


def index_to_bytes(manifests: Iterable[Descriptor]) -> bytes:
    """An image index."""
    return _to_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest.to_tree() for manifest in manifests]})


def _to_json(tree: object) -> bytes:
    import json

    return json.dumps(tree, ensure_ascii=True, separators=(",", ":")).encode()


def parse_manifest(data: bytes, name: str) -> ImageManifest:
    """The artifact that a manifest describes; ``name`` stands for it in messages.

    Raises IntegrityError for what is no image manifest, and InvalidData for an index, which is several.
    """
    tree = _parse(data, name)
    media_type = _text(tree, "mediaType", name)
    if media_type == INDEX_TYPE or "manifests" in tree:
        raise InvalidData(f"{name}: an index of several images, not an artifact of eidos", "name one of its manifests by digest")
    if media_type not in ("", MANIFEST_TYPE):
        raise InvalidData(f"{name}: a manifest of type {media_type[:100]!r}, not an artifact of eidos", "check the reference")
    config = _descriptor(tree.get("config"), f"{name}: config")
    layers = _descriptors(tree.get("layers"), f"{name}: layers")
    subject = tree.get("subject")
    return ImageManifest(
        # Before 1.1 the type of the configuration was that of the artifact ("Guidelines for Artifact Usage").
        _text(tree, "artifactType", name) or config.media_type,
        layers,
        config,
        None if subject is None else _descriptor(subject, f"{name}: subject"),
        _annotations(tree, name),
    )


class ContainerImage(Record):
    """What the manifest of a container image, or an index of several, consists of: further manifests, or blobs."""

    media_type: str
    manifests: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()


def parse_image(data: bytes, name: str) -> ContainerImage:
    """The container image, or the index of images, of OCI or of Docker; IntegrityError for anything else.

    >>> parse_image(b'{"schemaVersion": 2, "manifests": []}', "image").media_type
    'application/vnd.oci.image.index.v1+json'
    """
    tree = _parse(data, name)
    is_index = "manifests" in tree
    oci, docker = (INDEX_TYPE, DOCKER_INDEX_TYPE) if is_index else (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE)
    media_type = _text(tree, "mediaType", name) or oci
    if media_type not in (oci, docker):
        raise IntegrityError(f"{name}: a manifest of type {media_type[:100]!r}, not a container image", "copy the image again")
    if is_index:
        return ContainerImage(media_type, _descriptors(tree["manifests"], f"{name}: manifests"))
    config = _descriptor(tree.get("config"), f"{name}: config")
    return ContainerImage(media_type, (), (config, *_descriptors(tree.get("layers"), f"{name}: layers")))


def parse_index(data: bytes, name: str) -> tuple[Descriptor, ...]:
    """The manifests of an index; IntegrityError for anything else."""
    return _descriptors(_parse(data, name).get("manifests"), f"{name}: manifests")


def _parse(data: bytes, name: str) -> dict[str, Any]:
    from eidos.formats import from_text

    if len(data) > MANIFEST_LIMIT:
        raise IntegrityError(f"{name}: larger than {MANIFEST_LIMIT >> 20} MiB")
    try:
        tree = from_text(data, name, MANIFEST_LIMIT) if data.lstrip()[:1] == b"{" else None
    except InvalidData as fault:
        raise IntegrityError(fault.message, fault.hint) from fault
    if not isinstance(tree, dict) or tree.get("schemaVersion") != 2:
        raise IntegrityError(f"{name}: not an OCI manifest", "check the reference")
    return tree


def _descriptors(items: object, name: str) -> tuple[Descriptor, ...]:
    if not isinstance(items, list) or len(items) > ENTRIES_LIMIT:
        raise IntegrityError(f"{name}: expected a list of at most {ENTRIES_LIMIT:,} descriptors")
    return tuple(_descriptor(item, f"{name}[{number}]") for number, item in enumerate(items))


def _descriptor(tree: object, name: str) -> Descriptor:
    if not isinstance(tree, dict):
        raise IntegrityError(f"{name}: expected a descriptor")
    digest, size = _text(tree, "digest", name), tree.get("size")
    if not is_digest(digest):
        raise IntegrityError(f"{name}: invalid digest {digest[:80]!r}; expected sha256: and 64 hexadecimal digits")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= BLOB_LIMIT:
        raise IntegrityError(f"{name}: invalid size")
    return Descriptor(_text(tree, "mediaType", name), digest, size, _annotations(tree, name), _text(tree, "artifactType", name))


def _text(tree: dict[str, Any], field: str, name: str) -> str:
    value = tree.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 255 or not value.isprintable():
        raise IntegrityError(f"{name}: invalid {field}")
    return value


def _annotations(tree: dict[str, Any], name: str) -> dict[str, str]:
    annotations = tree.get("annotations") or {}
    if not isinstance(annotations, dict) or not all(isinstance(text, str) for pair in annotations.items() for text in pair):
        raise IntegrityError(f"{name}: invalid annotations")
    return annotations
