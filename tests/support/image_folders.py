"""Small container images in folders, as skopeo and oras write them: for two architectures, of OCI or of Docker.

Knows manifests, image layouts and ``dir:`` folders; must not know eidos.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

#: Media types of an index, a manifest, a configuration and a layer.
OCI = tuple(f"application/vnd.oci.image.{kind}" for kind in ("index.v1+json", "manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip"))
DOCKER = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


class Image(NamedTuple):
    """An image: the digest of its index, its manifests without that, and its other blobs, by digest in hexadecimal."""

    media_type: str
    root: bytes
    manifests: dict[str, bytes]
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        """The digest of the index."""
        return f"sha256:{hex_digest(self.root)}"


def hex_digest(data: bytes) -> str:
    """The SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def make_image(types: tuple[str, ...], *layers: bytes, architectures: tuple[str, ...] = ("amd64", "arm64")) -> Image:
    """An image for some architectures, which have these layers."""
    blobs: dict[str, bytes] = {}
    manifests: dict[str, bytes] = {}

    def entry(media_type: str, data: bytes, into: dict[str, bytes]) -> dict[str, Any]:
        into[hex_digest(data)] = data
        return {"mediaType": media_type, "digest": f"sha256:{hex_digest(data)}", "size": len(data)}

    entries = []
    for architecture in architectures:
        platform = {"architecture": architecture, "os": "linux"}
        config = json.dumps({**platform, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        tree = {
            "schemaVersion": 2,
            "mediaType": types[1],
            "config": entry(types[2], config, blobs),
            "layers": [entry(types[3], layer, blobs) for layer in layers],
        }
        entries.append({**entry(types[1], json.dumps(tree, indent=1).encode(), manifests), "platform": platform})
    root = json.dumps({"schemaVersion": 2, "mediaType": types[0], "manifests": entries}, indent=1).encode()
    return Image(types[0], root, manifests, blobs)


def save_dir(image: Image, folder: Path) -> None:
    """Write an image as ``skopeo copy --all … dir:FOLDER`` does."""
    folder.mkdir(parents=True)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    files = {**image.blobs, **{f"{name}.manifest.json": data for name, data in image.manifests.items()}, "manifest.json": image.root}
    for name, data in files.items():
        (folder / name).write_bytes(data)


def save_layout(folder: Path, images: dict[str, Image]) -> None:
    """Write images as an OCI image layout, under these names."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for name, image in images.items():
        for hex, data in {**image.blobs, **image.manifests, hex_digest(image.root): image.root}.items():
            (folder / "blobs" / "sha256" / hex).write_bytes(data)
        annotations = {"org.opencontainers.image.ref.name": name}
        entries.append({"mediaType": image.media_type, "digest": image.digest, "size": len(image.root), "annotations": annotations})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
