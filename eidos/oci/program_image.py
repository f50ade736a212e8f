"""Container images with a program on top of a base: one more layer, a new configuration, a new manifest.

Knows the image configuration of the OCI image specification 1.1 ("OCI Image Configuration"); must not know what the program does, nor what
is in the base. The same base and the same program give the same digest: nothing is added that depends on when or where it is done.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.files.tar_writer import TarSource, tar_pieces
from eidos.model.record import Record
from eidos.oci.blob import Blob, blob_of_bytes, blob_of_pieces
from eidos.oci.image_manifest import Descriptor, ImageManifest, parse_manifest, sha256_digest
from eidos.oci.reference import is_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.oci.artifact import ArtifactStore

CONFIG_TYPE, LAYER_TYPE = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"

#: The largest configuration.
CONFIG_LIMIT = 4 << 20

#: Annotation of a manifest: the digest of that of the base (OCI image specification, "Annotations").
BASE_DIGEST = "org.opencontainers.image.base.digest"


class ImageProgram(Record):
    """A program: its path in the image without the first slash, its content, what starts it, and labels that say which it is."""

    path: str
    content: bytes
    entrypoint: tuple[str, ...]
    labels: dict[str, str] = {}


class ImageResult(Record):
    """The digests of the new image and of its base, for which platform it is, and bytes of all layers."""

    digest: str
    base_digest: str
    platform: str
    size: int


def add_program(base: ArtifactStore, base_tag: str, target: ArtifactStore, tag: str, program: ImageProgram) -> ImageResult:
    """Store the image of ``base`` with ``base_tag`` ("": the only one) and the program in ``target``, under ``tag``.

    Raises what the stores raise, and InvalidData for anything but an image for Linux.
    """
    data, base_digest = base.read_manifest(base_tag)
    manifest = parse_manifest(data, base.name)
    config = _read_config(base, manifest)
    layer = blob_of_pieces(lambda: tar_pieces([_tar_source(program)]))
    config_blob = blob_of_bytes(_to_json(with_program(config, layer.digest, program)))
    for each in manifest.layers:
        _copy(base, target, each)
    for blob in (layer, config_blob):
        if not target.has_blob(blob.digest):
            target.write_blob(blob)
    layers = (*manifest.layers, Descriptor(LAYER_TYPE, layer.digest, layer.size))
    config_descriptor = Descriptor(CONFIG_TYPE, config_blob.digest, config_blob.size)
    image = ImageManifest(CONFIG_TYPE, layers, config_descriptor, annotations={BASE_DIGEST: base_digest}).to_bytes()
    target.write_manifest(image, tag)
    return ImageResult(sha256_digest(image), base_digest, f"{config['os']}/{config['architecture']}", sum(each.size for each in layers))


def with_program(config: dict[str, Any], diff_id: str, program: ImageProgram) -> dict[str, Any]:
    """The configuration of the image, from that of its base, without its command: that would be an argument of the program."""
    execution = {name: value for name, value in (config.get("config") or {}).items() if name not in ("Cmd", "Entrypoint")}
    labels = {**(execution.get("Labels") or {}), **program.labels}
    execution.update({"Entrypoint": list(program.entrypoint), "Labels": labels})
    rootfs = {"type": "layers", "diff_ids": [*config["rootfs"]["diff_ids"], diff_id]}
    tree = {**config, "config": execution, "rootfs": rootfs}
    if config.get("history"):  # one entry for each layer, or none at all
        entry = {"created_by": f"eidos image: {program.path}"}
        tree["history"] = [*config["history"], {**({"created": config["created"]} if config.get("created") else {}), **entry}]
    return tree


def _read_config(base: ArtifactStore, manifest: ImageManifest) -> dict[str, Any]:
    from eidos.formats import from_text

    hint = "copy an image with 'skopeo copy docker://IMAGE oci:base:latest'"
    if manifest.config.media_type != CONFIG_TYPE or manifest.subject is not None:
        raise InvalidData(f"{base.name}: not a container image, but {manifest.artifact_type or 'something else'}", hint)
    if manifest.config.size > CONFIG_LIMIT:
        raise InvalidData(f"{base.name}: the configuration is larger than {CONFIG_LIMIT >> 20} MiB", hint)
    data = b"".join(base.read_blob(manifest.config))
    config = from_text(data, f"{base.name}: configuration", CONFIG_LIMIT) if data.lstrip()[:1] == b"{" else None
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str) or not isinstance(config.get("os"), str):
        raise InvalidData(f"{base.name}: invalid configuration of the image", hint)
    if config["os"] != "linux":
        raise InvalidData(f"{base.name}: an image for {config['os'][:40]!r}; expected linux", hint)
    rootfs = config.get("rootfs")
    ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(ids, list) or len(ids) != len(manifest.layers) or not all(isinstance(each, str) and is_digest(each) for each in ids):
        raise InvalidData(f"{base.name}: the configuration does not list the layers of the manifest", hint)
    execution, history = config.get("config"), config.get("history")
    labels = execution.get("Labels") if isinstance(execution, dict) else None
    if not all(value is None or isinstance(value, kind) for value, kind in ((execution, dict), (history, list), (labels, dict))):
        raise InvalidData(f"{base.name}: invalid configuration of the image", hint)
    return config


def _copy(base: ArtifactStore, target: ArtifactStore, layer: Descriptor) -> None:
    if not target.has_blob(layer.digest):
        target.write_blob(Blob(layer.digest, layer.size, lambda: base.read_blob(layer)))


def _tar_source(program: ImageProgram) -> TarSource:
    from io import BytesIO

    return TarSource(program.path, 0o755, len(program.content), lambda: BytesIO(program.content))


def _to_json(tree: object) -> bytes:
    import json

    return json.dumps(tree, separators=(",", ":")).encode()
