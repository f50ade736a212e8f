"""Images from a folder, for bundles that carry them: an OCI image layout in which every manifest and blob keeps its digest.

Knows which images a bundle needs, the names under which a layout lists them, and what a bundle says of those that it lacks; must not know
how tools store images (:mod:`eidos.oci.image_sources`), nor components. Blobs stay on disk, and are verified when they are copied.
"""

from __future__ import annotations

import os

from eidos.bundle.mirror_lists import path_in_registry
from eidos.bundle.registry_mirror import with_host
from eidos.errors import InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.model.bundle import IMAGE_BLOBS, IMAGES, MAX_BLOBS_BYTES, StoredFile
from eidos.model.record import Record, replace
from eidos.oci.image_layout import INDEX_FILE, LAYOUT, LAYOUT_FILE
from eidos.oci.image_manifest import REF_NAME, Descriptor, index_to_bytes
from eidos.oci.image_sources import CONTAINERD_NAME, ImageFolder
from eidos.templates.text_template import Markdown
from eidos.wording import count_of, list_words, quote_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from eidos.bundle.mirror_lists import NeededImage


#: Blobs of all images: each is a layer when the bundle is pushed, and registries accept manifests of 4 MiB.
MAX_BLOBS = 8_000


class CarriedImages(Record):
    """What a bundle has of images: its own files and those on disk by path, and variables of its README and scripts.

    ``missing`` are sentences with the command that fetches an image, ``warnings`` are about the rest of the folder.
    """

    files: dict[str, bytes]
    blobs: dict[str, StoredFile]
    variables: dict[str, Any]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]


def collect_images(folder: str, needed: Iterable[NeededImage], registry: str, archive: str = "") -> CarriedImages:
    """The images that a bundle needs, from a folder, which was unpacked from ``archive`` if that is not "".

    ``registry`` is the mirror from which the values of the bundle pull them, if there is one. Raises NotFound or Unavailable for a folder
    that cannot be read, IntegrityError for an image that is incomplete or does not match a digest, InvalidInput for too many.
    """
    if not os.path.isdir(folder):
        raise NotFound(
            f"--images: {folder}: no such folder", "name a folder of images, as 'skopeo.sh --save DIR' of 'eidos mirror' writes it"
        )
    source, target = ImageFolder(folder, "--images", archive), "DIR" if archive else folder
    entries: dict[str, Descriptor] = {}
    blobs: dict[str, StoredFile] = {}
    pairs: list[str] = []
    missing: list[NeededImage] = []
    try:
        for image in needed:
            image_files = source.find(_names(image), path_in_registry(image), image.digest)
            if image_files is None:
                missing.append(image)
                continue
            digest = image_files.descriptor.digest
            if image.digest and image.digest != digest:
                raise InvalidInput(f"--images: {image.source} has another digest there, {digest}", f"run '{copy_command(image, target)}'")
            entries[image.pulled] = replace(
                image_files.descriptor, annotations={CONTAINERD_NAME: _node_name(image.pulled), REF_NAME: image.pulled}
            )
            blobs.update({f"{IMAGE_BLOBS}{hex}": file for hex, file in image_files.files.items()})
            pairs.append(f"{digest.partition(':')[2]} {path_in_registry(image)}")
        unused = sorted(source.unused())
    except OSError as fault:
        raise Unavailable(f"--images: {fault.filename or folder}: {os_error_reason(fault)}") from fault
    if len(blobs) > MAX_BLOBS or sum(blob.size for blob in blobs.values()) > MAX_BLOBS_BYTES:
        hint = "build fewer components with --bundlers"
        raise InvalidInput(f"--images: more than {MAX_BLOBS:,} blobs, or than {MAX_BLOBS_BYTES >> 40} TiB", hint)
    index = index_to_bytes(entries[name] for name in sorted(entries))
    files = {f"{IMAGES}{LAYOUT_FILE}": LAYOUT, f"{IMAGES}{INDEX_FILE}": index} if entries else {}
    warnings = []
    if unused:
        warnings.append(f"--images: left out {count_of(len(unused), 'image')} that images.txt does not list: {list_words(unused)}")
    variables: dict[str, Any] = {}
    if entries:
        variables = {"images.note": _describe(len(entries), missing), "images.pairs": pairs, "images.registry": registry}
    where = f"{archive}: unpack it to DIR, and" if archive else f"{folder}:"
    sentences = tuple(
        f"{', '.join(image.components)}: no image {image.source} in {where} run '{copy_command(image, target)}'" for image in missing
    )
    return CarriedImages(files, blobs, variables, sentences, tuple(warnings))


def copy_command(image: NeededImage, folder: str) -> str:
    """The command that fetches an image into a folder, with the digests that it has.

    >>> from eidos.bundle.mirror_lists import NeededImage
    >>> copy_command(NeededImage("nvcr.io/nvidia/driver:1", "", ("a",)), "images")
    'mkdir -p images/nvidia/driver=1 && skopeo copy --all --preserve-digests docker://nvcr.io/nvidia/driver:1 dir:images/nvidia/driver=1'
    """
    target = os.path.join(folder, path_in_registry(image).replace(":", "=").replace("@", "="))
    copy = f"skopeo copy --all --preserve-digests docker://{quote_word(image.copied)}"
    return f"mkdir -p {quote_word(target)} && {copy} dir:{quote_word(target)}"


def _names(image: NeededImage) -> set[str]:
    """What a tool may call an image in an image layout."""
    names = {image.source, image.copied, image.pulled, path_in_registry(image), _node_name(image.source), _node_name(image.pulled)}
    return names | {name.partition("@")[0] for name in (image.source, image.pulled) if ":" in name.partition("@")[0].rpartition("/")[2]}


def _node_name(reference: str) -> str:
    """The name under which containerd has an image: complete, with a digest or a tag.

    >>> [_node_name(name) for name in ("busybox", "a/b:1", "quay.io/a:1@sha256:0")]
    ['docker.io/library/busybox:latest', 'docker.io/a/b:1', 'quay.io/a@sha256:0']
    """
    name, at, digest = with_host(reference).partition("@")
    head, _, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    return f"{head}/{last}@{digest}" if at else f"{head}/{last}:{tag if colon else 'latest'}"


def _describe(count: int, missing: list[NeededImage]) -> Markdown:
    """What a bundle says of the images that it carries and of those that it lacks."""
    lines = [
        f"`{IMAGES}` is an OCI image layout with {count_of(count, 'image')} of `images.txt`, with the digests that they were copied with.",
        "",
        f"- `{IMAGES}copy.sh REGISTRY` copies them to a registry with skopeo.",
        f"- `{IMAGES}load.sh`, run on each node, loads them into its containerd, where no registry can be reached.",
    ]
    if missing:
        commands = [f"$ {copy_command(image, 'DIR')}" for image in missing]
        lines += [
            "",
            "These are missing. Run this where their registries can be reached, and build the bundle again with `--images DIR`:",
            "",
        ]
        lines += ["```console", *commands, "```"]
    return Markdown("\n".join(["", "", *lines]))
